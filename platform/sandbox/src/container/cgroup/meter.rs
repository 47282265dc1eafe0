//! What an instance has used, read twice per invocation without opening a file each time.
//!
//! The files stay open while an instance is in steady use and are closed when it rests, so that an idle one holds none.

use super::{Cgroups, GroupName};
use crate::Usage;
use model::Span;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The counters of one instance.
#[derive(Debug, Default)]
pub(in crate::container) struct Meter(Mutex<Option<Files>>);

#[derive(Debug)]
struct Files {
    cpu: Option<File>,
    memory: Option<File>,
}

impl Meter {
    /// What the instance has used; zeros where its machine does not count.
    pub fn read(&self, cgroups: &Cgroups, name: &GroupName) -> Usage {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let files = files.get_or_insert_with(|| {
            let (cpu, memory) = cgroups.usage_files(name);
            let open = |path: Option<PathBuf>| path.and_then(|path| File::open(path).ok());
            Files { cpu: open(cpu), memory: open(memory) }
        });
        let cpu = match cgroups {
            // In microseconds, on the first line.
            Cgroups::V2(_) => number(files.cpu.as_ref()).map(Span::from_micros),
            _ => number(files.cpu.as_ref()).map(Span::from_nanos),
        };
        let memory_peak_bytes = number(files.memory.as_ref()).unwrap_or(0);
        Usage { cpu: cpu.unwrap_or_default(), memory_peak_bytes, ..Usage::default() }
    }

    /// Closes the files until the next reading.
    pub fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The first number in a file.
fn number(file: Option<&File>) -> Option<u64> {
    let mut text = [0; 64];
    let length = file?.read_at(&mut text, 0).ok()?;
    let digits = |byte: &&u8| byte.is_ascii_digit();
    let begin = text[..length].iter().position(u8::is_ascii_digit)?;
    let number = text[begin..length].iter().take_while(digits);
    Some(
        number
            .fold(0_u64, |sum, byte| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0'))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    // Plain counters and the first line of v2's statistics are read; what is no number is none.
    #[test]
    fn numbers_are_read() {
        for (text, expected) in
            [("123\n", Some(123)), ("usage_usec 42\nuser_usec 7\n", Some(42)), ("max\n", None)]
        {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            assert_eq!(number(Some(&file)), expected, "{text}");
        }
        assert_eq!(number(None), None);
    }
}
