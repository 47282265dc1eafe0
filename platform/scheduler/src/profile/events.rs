//! The section of a profile that is about asynchronous invocation.
//!
//! The scheduler itself has no use for it: its driver does.

use super::error::Fault;
use super::file::require;
use model::Span;
use serde::Deserialize;

/// How events of asynchronous invocations are tried again, and how many are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    /// Wait after a function's first, second, … error; the last one counts for all further. Not empty.
    pub retry_delays: Vec<Span>,
    /// Wait after an event was refused (throttled, or the platform's own error) for the first time; doubles each time.
    pub backoff_min: Span,
    /// Longest such wait.
    pub backoff_max: Span,
    /// Events held at once.
    pub held_max: u64,
    /// MiB of all events held at once.
    pub held_mib_max: u64,
    /// Events that run at once.
    pub running_max: u32,
}

impl Default for Events {
    /// Delays as AWS Lambda has them (developer guide, "Error handling for asynchronous invocation", 2026-11).
    fn default() -> Self {
        Self {
            retry_delays: vec![Span::from_secs(60), Span::from_secs(120)],
            backoff_min: Span::from_secs(1),
            backoff_max: Span::from_secs(300),
            held_max: 200_000,
            held_mib_max: 2048,
            running_max: 1000,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsSection {
    retry_delays_s: Option<Vec<f64>>,
    backoff_min_s: Option<f64>,
    backoff_max_s: Option<f64>,
    held_max: Option<u64>,
    held_mib_max: Option<u64>,
    running_max: Option<u32>,
}

/// Longest wait that can be named: the six hours that an event is kept.
const WAIT_MAX_S: f64 = 21_600.0;

pub(super) fn events(section: Option<&EventsSection>) -> Result<Events, Fault> {
    let mut events = Events::default();
    let Some(section) = section else { return Ok(events) };
    if let Some(delays) = &section.retry_delays_s {
        require(!delays.is_empty(), "events.retry_delays_s", "[]", "one delay at least")?;
        let delays = delays.iter().map(|delay| wait("events.retry_delays_s", *delay));
        events.retry_delays = delays.collect::<Result<_, _>>()?;
    }
    if let Some(seconds) = section.backoff_min_s {
        events.backoff_min = wait("events.backoff_min_s", seconds)?;
    }
    if let Some(seconds) = section.backoff_max_s {
        events.backoff_max = wait("events.backoff_max_s", seconds)?;
    }
    let (least, most) = (events.backoff_min, events.backoff_max);
    require(most >= least, "events.backoff_max_s", most, "at least events.backoff_min_s")?;
    if let Some(held) = section.held_max {
        require(held >= 1, "events.held_max", held, "at least 1")?;
        events.held_max = held;
    }
    if let Some(mib) = section.held_mib_max {
        require((1..=1 << 20).contains(&mib), "events.held_mib_max", mib, "1 to 1048576")?;
        events.held_mib_max = mib;
    }
    if let Some(running) = section.running_max {
        require((1..=100_000).contains(&running), "events.running_max", running, "1 to 100000")?;
        events.running_max = running;
    }
    Ok(events)
}

fn wait(key: &'static str, seconds: f64) -> Result<Span, Fault> {
    require((0.001..=WAIT_MAX_S).contains(&seconds), key, seconds, "0.001 to 21600 seconds")?;
    Ok(Span::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;

    const LOCAL: &str = include_str!("../../../../profiles/local.toml");

    fn read(section: &str) -> Result<Events, String> {
        let text = format!("{LOCAL}\n[events]\n{section}\n");
        Profile::from_toml(&text).map(|it| it.events).map_err(|error| error.to_string())
    }

    // What is not said is AWS's, what is said counts, and what is out of its limits is refused by key and limit.
    #[test]
    fn events_are_optional_and_checked() {
        assert_eq!(read(""), Ok(Events::default()));
        let events =
            read("retry_delays_s = [0.5]\nbackoff_min_s = 0.1\nheld_max = 7").expect("fine");
        assert_eq!(events.retry_delays, [Span::from_millis(500)]);
        assert_eq!((events.backoff_min, events.held_max), (Span::from_millis(100), 7));
        for (section, words) in [
            ("retry_delays_s = []", "events.retry_delays_s"),
            ("retry_delays_s = [-1.0]", "0.001 to 21600 seconds"),
            ("backoff_max_s = 0.5", "at least events.backoff_min_s"),
            ("running_max = 0", "events.running_max"),
            ("held_mib_max = 0", "events.held_mib_max"),
            ("retries = 1", "retries"),
        ] {
            let error = read(section).expect_err(section);
            assert!(error.contains(words), "{error}");
        }
    }
}
