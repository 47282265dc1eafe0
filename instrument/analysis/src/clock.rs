//! What the exchanges say about the functions' clocks against the vantage point's.
//!
//! A request is not received before it is sent, nor a response before the function has finished. So each exchange bounds
//! the offset (function's clock minus vantage point's) from both sides, and all together to at most half the smallest
//! round trip on each side of the middle (Mills, *Network Time Protocol*, RFC 1305, appendix F). Deliberately knows nothing
//! of asymmetry: the bound holds for any.

use crate::study::between;
use record::{Outcome, Record};

/// The offset of the functions' clocks, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Clock {
    /// What is subtracted from a difference between the two clocks: 0 while 0 is possible.
    pub(crate) offset_ns: f64,
    /// How much smaller the true offset may be.
    pub(crate) below_ns: f64,
    /// How much larger the true offset may be.
    pub(crate) above_ns: f64,
    /// Whether one offset fits all exchanges.
    pub(crate) fit: Fit,
}

/// Whether one offset fits all exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Zero does: nothing is corrected.
    Same,
    /// One other than zero does, and is subtracted.
    Shifted,
    /// None does: clocks stepped, drifted or differ by host.
    Unsteady,
    /// No exchange says anything.
    Unknown,
}

impl Clock {
    /// The clock of all answered records.
    pub(crate) fn of(records: &[&Record]) -> Self {
        let answered = records
            .iter()
            .filter(|record| record.outcome == Outcome::Ok && record.started_unix_ns > 0);
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        for record in answered {
            high = high.min(started_ns(record) - record.sent_ns as f64);
            if record.finished_unix_ns > 0 {
                let finished = between(record.epoch_unix_ns, record.finished_unix_ns);
                low = low.max(finished - record.received_ns as f64);
            }
        }
        if !low.is_finite() || !high.is_finite() {
            return Self { offset_ns: 0.0, below_ns: 0.0, above_ns: 0.0, fit: Fit::Unknown };
        }
        let (fit, offset_ns) = if low > high {
            (low, high) = ever(records);
            (Fit::Unsteady, f64::midpoint(low, high))
        } else if low <= 0.0 && high >= 0.0 {
            (Fit::Same, 0.0)
        } else {
            (Fit::Shifted, f64::midpoint(low, high))
        };
        Self { offset_ns, below_ns: offset_ns - low, above_ns: high - offset_ns, fit }
    }

    /// From the request's sending to the handler's first statement on the vantage point's clock, nanoseconds.
    pub(crate) fn latency_ns(&self, record: &Record) -> f64 {
        started_ns(record) - self.offset_ns - record.sent_ns as f64
    }
}

/// Least and most by which a clock may be ahead at any time that steps or drifts: exchanges are taken in the order in which
/// they were sent, as many as one offset fits, and so on; of all such stretches the lowest and the highest end.
fn ever(records: &[&Record]) -> (f64, f64) {
    let whole = |record: &&Record| {
        record.outcome == Outcome::Ok && record.started_unix_ns > 0 && record.finished_unix_ns > 0
    };
    let mut ordered: Vec<&Record> = records.iter().copied().filter(whole).collect();
    ordered.sort_by_key(|record| (record.epoch_unix_ns, record.sent_ns));
    let mut stretches: Vec<(f64, f64)> = Vec::new();
    for (low, high) in ordered.into_iter().map(bounds_ns) {
        match stretches.last_mut() {
            Some(all) if low.max(all.0) <= high.min(all.1) => {
                *all = (low.max(all.0), high.min(all.1));
            }
            _ => stretches.push((low, high)),
        }
    }
    let wider = |all: (f64, f64), one: (f64, f64)| (all.0.min(one.0), all.1.max(one.1));
    stretches.into_iter().reduce(wider).unwrap_or((0.0, 0.0))
}

/// Least and most by which the function's clock may be ahead, by one exchange, nanoseconds.
pub(crate) fn bounds_ns(record: &Record) -> (f64, f64) {
    let finished = between(record.epoch_unix_ns, record.finished_unix_ns);
    (finished - record.received_ns as f64, started_ns(record) - record.sent_ns as f64)
}

/// The handler's first statement on the function's own clock, nanoseconds since the run began.
fn started_ns(record: &Record) -> f64 {
    between(record.epoch_unix_ns, record.started_unix_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(sent: u64, out: u64, ran: u64, back: u64) -> Record {
        Record {
            outcome: Outcome::Ok,
            epoch_unix_ns: 1_000_000,
            sent_ns: sent,
            started_unix_ns: 1_000_000 + sent + out,
            finished_unix_ns: 1_000_000 + sent + out + ran,
            received_ns: sent + out + ran + back,
            ..Record::default()
        }
    }

    fn shifted(mut record: Record, by: i64) -> Record {
        record.started_unix_ns = record.started_unix_ns.saturating_add_signed(by);
        record.finished_unix_ns = record.finished_unix_ns.saturating_add_signed(by);
        record
    }

    // One clock: nothing is corrected, and the bound is that of the quickest ways there and back.
    #[test]
    fn same_clock_is_left_alone() {
        let records = [exchange(0, 50, 10, 90), exchange(1000, 80, 10, 30)];
        let clock = Clock::of(&records.iter().collect::<Vec<_>>());
        assert_eq!(clock.fit, Fit::Same);
        assert_eq!((clock.offset_ns, clock.below_ns, clock.above_ns), (0.0, 30.0, 50.0));
        assert_eq!(clock.latency_ns(&records[1]), 80.0);
    }

    // Clocks that provably differ are corrected, and the truth is within the bound.
    #[test]
    fn shifted_clock_is_corrected_within_its_bound() {
        let records =
            [shifted(exchange(0, 50, 10, 90), 700), shifted(exchange(1000, 80, 10, 30), 700)];
        let clock = Clock::of(&records.iter().collect::<Vec<_>>());
        assert_eq!(clock.fit, Fit::Shifted);
        assert!((clock.offset_ns - 700.0).abs() <= clock.above_ns);
        assert_eq!(clock.above_ns, 40.0);
    }

    // A step in mid-study is seen, and its bound holds what was true before and after.
    #[test]
    fn stepping_clock_is_seen() {
        let records = [exchange(0, 50, 10, 90), shifted(exchange(1000, 80, 10, 30), 5000)];
        let clock = Clock::of(&records.iter().collect::<Vec<_>>());
        assert_eq!(clock.fit, Fit::Unsteady);
        let (low, high) = (clock.offset_ns - clock.below_ns, clock.offset_ns + clock.above_ns);
        assert!((-90.0..=0.0).contains(&low) && (5000.0..=5080.0).contains(&high), "{low} {high}");
    }
}
