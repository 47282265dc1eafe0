//! What the platform really did, line by line, for whoever wants to hold a measurement against it.

use anyhow::Context;
use model::Time;
use scheduler::{Action, Event};
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// A file of JSON lines: events and actions of the scheduler in their order, with their time.
///
/// Dispatches, starts and ends are written; what has no part in any truth (rests, bills) is left out.
#[derive(Debug)]
pub struct Journal {
    file: BufWriter<File>,
}

#[derive(Serialize)]
struct Line<'a, W> {
    at_ns: u64,
    #[serde(flatten)]
    what: &'a W,
}

#[derive(Serialize)]
struct Name<'a> {
    function: model::FunctionId,
    name: &'a str,
    memory_mib: u32,
}

impl Journal {
    /// Creates, or begins again, the file at `path`.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path)
            .with_context(|| format!("cannot write the journal {}", path.display()))?;
        Ok(Self { file: BufWriter::new(file) })
    }

    /// Notes which function a number stands for.
    pub fn name(&mut self, at: Time, function: &catalog::Function) {
        self.write(
            at,
            &Name { function: function.id, name: &function.name, memory_mib: function.memory.0 },
        );
    }

    /// Notes an event, where it tells of an instance's life or an invocation's end.
    pub fn event(&mut self, at: Time, event: &Event) {
        match event {
            Event::Started { .. }
            | Event::Finished { .. }
            | Event::Died { .. }
            | Event::Reclaimed { .. } => self.write(at, event),
            _ => {}
        }
    }

    /// Notes an action, where it makes or ends an instance or hands one an invocation.
    pub fn action(&mut self, at: Time, action: &Action) {
        match action {
            Action::StartHost { .. }
            | Action::Start { .. }
            | Action::Dispatch { .. }
            | Action::Reclaim { .. } => self.write(at, action),
            _ => {}
        }
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) {
        if let Err(error) = self.file.flush() {
            tracing::warn!(%error, "cannot write the journal");
        }
    }

    fn write(&mut self, at: Time, what: &impl Serialize) {
        let written = serde_json::to_writer(&mut self.file, &Line { at_ns: at.as_nanos(), what })
            .map_err(std::io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"));
        if let Err(error) = written {
            tracing::warn!(%error, "cannot write the journal");
        }
    }
}
