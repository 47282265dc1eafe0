//! Found against true: one mark per finding whose truth is declared.
//!
//! Deliberately simple and shown with its rule; scoring over many profiles is another place's job.

use analysis::{Finding, Value};

/// What comparing a finding with its declared truth says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// The same word or count, or the truth lies in the interval.
    Agrees,
    /// Outside the interval, but the number is within [`CLOSE`] of the truth, or within the metric's [`slack`].
    Close,
    /// Something else.
    Differs,
    /// The finding is null or `unknown`.
    Open,
}

/// Relative error that still counts as close: the ratio criterion's 2 % median error (design page TRUTH, section 2).
const CLOSE: f64 = 0.02;

/// Relative error that is rounding in a file, not a difference.
const ROUNDING: f64 = 1e-9;

/// Absolute error that still counts as close, in the metric's unit: the 95th percentile that the criterion of an absolute
/// metric allows (design page TRUTH, section 2). A freeze takes some milliseconds, whatever the policy says.
fn slack(metric: &str) -> f64 {
    match metric {
        "accounting.background_s" | "cpu.fairness" => 0.01,
        "accounting.background_cpu_share" => 0.02,
        _ => 0.0,
    }
}

impl Verdict {
    /// Compares; None where no truth is declared.
    pub(crate) fn of(finding: &Finding) -> Option<Self> {
        let truth = finding.truth.as_ref()?;
        Some(match (&finding.value, truth) {
            (_, Value::Null) => return None,
            (Value::Null, _) => Self::Open,
            (Value::Word(found), Value::Word(word)) if found == word => Self::Agrees,
            (Value::Word(found), _) if found == "unknown" => Self::Open,
            (Value::Bool(found), Value::Bool(true_one)) if found == true_one => Self::Agrees,
            (Value::Number(found), Value::Number(number)) => {
                Self::of_numbers(finding, *found, *number)
            }
            _ => Self::Differs,
        })
    }

    fn of_numbers(finding: &Finding, found: f64, truth: f64) -> Self {
        let within = |relative: f64| (found - truth).abs() <= relative * truth.abs();
        let (low, high) = finding.ci95.unwrap_or((Some(found), Some(found)));
        let covered = low.is_none_or(|low| low <= truth) && high.is_none_or(|high| truth <= high);
        if within(ROUNDING) || (covered && finding.ci95.is_some()) {
            Self::Agrees
        } else if (within(CLOSE) || (found - truth).abs() <= slack(&finding.metric))
            && finding.truth_kind.as_deref() != Some("realised")
        {
            Self::Close
        } else {
            Self::Differs
        }
    }

    /// The mark as a sign; never shown without [`Self::words`].
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Agrees => "✓",
            Self::Close => "≈",
            Self::Differs => "✗",
            Self::Open => "?",
        }
    }

    /// The mark as a word.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Close => "close",
            Self::Differs => "differs",
            Self::Open => "not known",
        }
    }

    /// Name of the mark's style.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Close => "close",
            Self::Differs => "differs",
            Self::Open => "open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(value: Value, ci95: Option<(Option<f64>, Option<f64>)>, truth: Value) -> Finding {
        Finding {
            experiment: "idle".into(),
            metric: "idle.max_idle_s".into(),
            setting: Default::default(),
            value,
            unit: "s".into(),
            ci95,
            n: 5,
            method: String::new(),
            ci_method: None,
            cluster: None,
            n_clusters: None,
            disturbed: None,
            stopped_by: None,
            forced_by: None,
            truth: Some(truth),
            truth_kind: Some("parameter".into()),
            paper: None,
        }
    }

    /// Each mark is reached, and an interval with an open end covers everything beyond its other end.
    #[test]
    fn marks_follow_the_rule() {
        use Value::{Null, Number, Word};
        let of = |v, ci, t| Verdict::of(&finding(v, ci, t));
        assert_eq!(
            of(Number(9.0), Some((Some(8.9), Some(9.1))), Number(9.05)),
            Some(Verdict::Agrees)
        );
        assert_eq!(
            of(Number(100.0), Some((Some(100.0), None)), Number(1e3)),
            Some(Verdict::Agrees)
        );
        assert_eq!(
            of(Number(0.252), Some((Some(0.251), Some(0.253))), Number(0.25)),
            Some(Verdict::Close)
        );
        assert_eq!(of(Number(12.0), None, Number(13.0)), Some(Verdict::Differs));
        assert_eq!(of(Number(12.0), None, Number(12.0)), Some(Verdict::Agrees));
        assert_eq!(of(Null, None, Number(13.0)), Some(Verdict::Open));
        assert_eq!(of(Word("unknown".into()), None, Word("fixed".into())), Some(Verdict::Open));
        assert_eq!(of(Word("spread".into()), None, Word("fixed".into())), Some(Verdict::Differs));
        assert_eq!(of(Number(1.0), None, Null), None);
    }

    /// A metric whose criterion is an absolute error is close within that.
    #[test]
    fn absolute_criteria_count() {
        let ends = Some((Some(0.0059), Some(0.0072)));
        let mut unpaid = finding(Value::Number(0.0065), ends, Value::Number(0.005));
        assert_eq!(Verdict::of(&unpaid), Some(Verdict::Differs));
        unpaid.metric = "accounting.background_s".into();
        assert_eq!(Verdict::of(&unpaid), Some(Verdict::Close));
        unpaid.value = Value::Number(0.0151);
        assert_eq!(Verdict::of(&unpaid), Some(Verdict::Differs));
    }

    /// A realised count has to be met exactly.
    #[test]
    fn realised_counts_are_exact() {
        let mut counted = finding(Value::Number(100.0), None, Value::Number(101.0));
        counted.truth_kind = Some("realised".into());
        assert_eq!(Verdict::of(&counted), Some(Verdict::Differs));
    }
}
