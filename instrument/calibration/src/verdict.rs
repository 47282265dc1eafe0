//! One finding of one study against its truth, by itself: right, wide, unknown or wrong.
//!
//! A score tells how errors are spread over hundreds of platforms. Of a single study only each finding's own error can be
//! judged: by what its class allows the 95th of a hundred platforms. Deliberately knows no rule of what can be known at all:
//! nothing claimed is "unknown", and the reader says whether that will do.

use crate::criterion::Class;
use crate::judge::{Answer, Judged};

/// What a class that has no limit of its own allows, as a part of the truth: as the others do.
const WITHIN: f64 = 0.10;

/// Relative error that is rounding: times are whole nanoseconds, and what is measured takes at least a millisecond.
pub(crate) const ROUNDING: f64 = 1e-6;

/// What one finding is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The word, the count, a number within its class's limit, or, in a class that is judged by its interval, one that is
    /// closed and holds the truth.
    Right,
    /// The number is further off, and its interval holds the truth: it claims no more than is so.
    Wide,
    /// Nothing was claimed, or, in a class that is judged by its interval, a number that has none.
    Unknown,
    /// Another word, another count, or a number that is off with an interval that does not hold the truth.
    Wrong,
}

impl Verdict {
    /// As a list calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wide => "wide",
            Self::Unknown => "unknown",
            Self::Wrong => "wrong",
        }
    }
}

impl Judged {
    /// What this finding is worth by itself; None where its metric is only printed.
    pub fn verdict(&self) -> Option<Verdict> {
        if self.class == Class::None {
            return None;
        }
        Some(match &self.answer {
            Answer::Unknown { .. } => Verdict::Unknown,
            Answer::Word { found, truth } if found == truth => Verdict::Right,
            Answer::Word { .. } => Verdict::Wrong,
            Answer::Number { .. } if self.is_within() => Verdict::Right,
            Answer::Number { ci95: Some((Some(low), Some(high))), truth, .. }
                if self.is_by_interval() && (low..=high).contains(&truth) =>
            {
                Verdict::Right
            }
            Answer::Number { ci95: None, .. } if self.is_by_interval() => Verdict::Unknown,
            Answer::Number { .. } if self.holds_truth() => Verdict::Wide,
            Answer::Number { .. } => Verdict::Wrong,
        })
    }

    /// Whether its class asks for an interval with the truth, and no more.
    fn is_by_interval(&self) -> bool {
        let by_interval = matches!(
            self.class,
            Class::Bracket { .. } | Class::Rare | Class::Tail | Class::Clock { .. }
        );
        by_interval && !self.realised
    }

    /// The largest error that is right, as [`Judged::error`] counts it.
    pub fn limit(&self) -> f64 {
        // What was counted in this very run is met or not.
        if self.realised {
            return ROUNDING;
        }
        match self.class {
            Class::Exact => ROUNDING,
            Class::Ratio { p95, .. } | Class::Clocked { p95, .. } | Class::Abs { p95 } => p95,
            Class::Clock { slack } => slack,
            Class::Bracket { .. } | Class::Rare | Class::Tail | Class::Word | Class::None => WITHIN,
        }
    }

    fn is_within(&self) -> bool {
        self.error().is_some_and(|error| error <= self.limit())
    }

    fn holds_truth(&self) -> bool {
        let Answer::Number { truth, ci95: Some((low, high)), .. } = self.answer else {
            return false;
        };
        // An interval that is open at both ends says nothing.
        (low.is_some() || high.is_some())
            && low.is_none_or(|low| low <= truth)
            && high.is_none_or(|high| truth <= high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Knowable, judge};
    use analysis::{Finding, Value};

    type Interval = Option<(Option<f64>, Option<f64>)>;

    fn verdict(metric: &str, found: Value, truth: Value, ci95: Interval) -> Option<Verdict> {
        let mut finding = Finding::new("x", metric, "s");
        (finding.value, finding.truth, finding.ci95) = (found, Some(truth), ci95);
        judge(&finding, 1, Knowable::Perhaps).expect("a truth").verdict()
    }

    fn number(metric: &str, found: f64, low: Option<f64>, high: Option<f64>) -> Option<Verdict> {
        verdict(metric, Value::Number(found), Value::Number(100.0), Some((low, high)))
    }

    // A tenth is the limit of what is measured, whatever the interval; beyond it only an interval with the truth saves it.
    #[test]
    fn numbers_have_limits() {
        let brackets = ["idle.max_idle_s", "lifetime.max_s"].map(|it| (it, Verdict::Right));
        let ratios = ["cpu.share", "idle.halving_interval_s"].map(|it| (it, Verdict::Wide));
        for (metric, held) in brackets.into_iter().chain(ratios) {
            assert_eq!(number(metric, 109.0, Some(108.0), Some(109.5)), Some(Verdict::Right));
            assert_eq!(number(metric, 111.0, Some(99.0), Some(120.0)), Some(held));
            assert_eq!(number(metric, 111.0, Some(101.0), Some(120.0)), Some(Verdict::Wrong));
            assert_eq!(number(metric, 25.0, Some(25.0), None), Some(Verdict::Wide));
            assert_eq!(number(metric, 25.0, None, None), Some(Verdict::Wrong));
        }
    }

    // Too few clusters give no interval: a number that is judged by one is then not judged, and any other is as it is.
    #[test]
    fn numbers_without_intervals_are_no_claim() {
        let bare = |metric: &str| verdict(metric, Value::Number(25.0), Value::Number(100.0), None);
        assert_eq!(bare("coldstart.new_host_extra_ms"), Some(Verdict::Unknown));
        assert_eq!(bare("cpu.share"), Some(Verdict::Wrong));
    }

    // Where the truth is nothing, no error is a part of it, and the interval says whether it was found.
    #[test]
    fn nothing_is_found_by_its_interval() {
        let nothing = |metric: &str, low: f64| {
            let ci95 = Some((Some(low), Some(1.0)));
            verdict(metric, Value::Number(0.1), Value::Number(0.0), ci95)
        };
        for metric in ["clock.offset_ms", "consistency.outdated_fraction"] {
            assert_eq!(nothing(metric, 0.0), Some(Verdict::Right));
            assert_eq!(nothing(metric, 0.05), Some(Verdict::Wrong));
        }
    }

    // A count is met or not; where failures hide some of it, its interval says so.
    #[test]
    fn counts_are_exact() {
        assert_eq!(number("placement.max_colevel", 99.0, None, None), Some(Verdict::Wrong));
        assert_eq!(number("placement.max_colevel", 100.0, None, None), Some(Verdict::Right));
        let most = "scaling.max_concurrent_instances";
        assert_eq!(number(most, 95.0, Some(95.0), None), Some(Verdict::Wide));
    }

    // Words are right, unknown or wrong, and what is only printed has no verdict.
    #[test]
    fn words_are_right_or_not() {
        let word = |found: &str| {
            let words = [found, "halving"].map(|word| Value::Word(word.to_owned()));
            let [found, truth] = words;
            verdict("idle.policy", found, truth, None)
        };
        assert_eq!(word("halving"), Some(Verdict::Right));
        assert_eq!(word("unknown"), Some(Verdict::Unknown));
        assert_eq!(word("fixed"), Some(Verdict::Wrong));
        let nothing = verdict("cpu.share", Value::Null, Value::Number(1.0), None);
        assert_eq!(nothing, Some(Verdict::Unknown));
        assert_eq!(number("coldstart.latency_ms.min", 1.0, None, None), None);
    }
}
