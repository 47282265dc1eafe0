//! The progress bar: which experiment runs, how far it is, how long it will take.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// A bar over the expected time of a whole study, in milliseconds.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    expected: Duration,
    done: Duration,
}

impl Progress {
    /// A bar for a study that is expected to take this long; drawn on stderr where that is a terminal.
    pub fn new(expected: Duration) -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(millis(expected)),
            ProgressDrawTarget::stderr_with_hz(5),
        );
        let style = ProgressStyle::with_template("{prefix:>12} {wide_bar} {percent:>3} %  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("━╸─"));
        Self { bar, expected, done: Duration::ZERO }
    }

    /// A unit of work began: `left` is what its experiment still needs.
    pub fn began(&self, experiment: &str, left: Duration) {
        self.bar.set_prefix(experiment.to_owned());
        self.bar.set_message(format!(
            "{} here, {} in all",
            short(left),
            short(self.expected.saturating_sub(self.done))
        ));
        self.bar.tick();
    }

    /// This much of the expected time is done.
    pub fn set(&mut self, done: Duration) {
        self.done = done;
        self.bar.set_position(millis(done));
    }

    /// Says something above the bar.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// Takes the bar away.
    pub fn close(&self) {
        self.bar.finish_and_clear();
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// `1 min 20 s left`, `12 s left`.
pub fn short(span: Duration) -> String {
    let seconds = span.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
