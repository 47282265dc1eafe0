//! One finding against its truth.
//!
//! Deliberately knows nothing of other profiles: sums are [`crate::score`]'s.

use crate::criterion::{Class, class};
use crate::verdict::ROUNDING;
use analysis::{Finding, Value};

/// Whether what is asked can be known at all on this profile with this plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowable {
    /// It can.
    Yes,
    /// It cannot: claiming anything is wrong, and "unknown" right.
    No,
    /// The profile breaks what the analysis assumes: "unknown" is right, and so is the truth.
    Perhaps,
}

impl Knowable {
    /// As a list calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Perhaps => "perhaps",
        }
    }
}

/// What became of one finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Metric.
    pub metric: String,
    /// Seed of the profile.
    pub seed: u64,
    /// Setting in words.
    pub setting: String,
    /// What it is held to.
    pub class: Class,
    /// What is knowable.
    pub knowable: Knowable,
    /// What was found.
    pub answer: Answer,
    /// How the interval was made.
    pub ci_method: String,
    /// Whether the truth was counted in this very run: it is met or not, and no interval is judged by it.
    pub realised: bool,
}

/// What was found, beside the truth.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Nothing was claimed.
    Unknown {
        /// The truth as a word, where it is one.
        truth: String,
    },
    /// A word.
    Word {
        /// What was found.
        found: String,
        /// What is true.
        truth: String,
    },
    /// A number.
    Number {
        /// What was found.
        found: f64,
        /// What is true.
        truth: f64,
        /// Interval: the ends, open where None.
        ci95: Option<(Option<f64>, Option<f64>)>,
    },
}

/// Judges a finding whose truth was joined; None where it has none.
pub fn judge(finding: &Finding, seed: u64, knowable: Knowable) -> Option<Judged> {
    let truth = finding.truth.as_ref()?;
    let answer = match (&finding.value, truth) {
        (Value::Null, Value::Word(truth)) => Answer::Unknown { truth: truth.clone() },
        (Value::Word(found), _) if found == "unknown" => Answer::Unknown { truth: words(truth) },
        (Value::Null, _) => Answer::Unknown { truth: String::new() },
        (Value::Number(found), Value::Number(truth)) => {
            Answer::Number { found: *found, truth: *truth, ci95: finding.ci95 }
        }
        (found, truth) => Answer::Word { found: words(found), truth: words(truth) },
    };
    let setting =
        finding.setting.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>();
    Some(Judged {
        metric: finding.metric.clone(),
        seed,
        setting: setting.join(", "),
        class: class(&finding.metric),
        knowable,
        answer,
        ci_method: finding.ci_method.clone().unwrap_or_default(),
        realised: finding.truth_kind.as_deref() == Some("realised"),
    })
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Word(word) => word.clone(),
    }
}

impl Judged {
    /// Relative or absolute error, as the class counts it; None where there is no number.
    pub fn error(&self) -> Option<f64> {
        let Answer::Number { found, truth, .. } = self.answer else { return None };
        let error = (found - truth).abs();
        match self.class {
            Class::Abs { .. } => Some(error),
            _ if error == 0.0 => Some(0.0),
            _ => Some(error / truth.abs()),
        }
    }

    /// Whether the interval contains the truth, with a millionth of it for rounding; None where there is none, or none that
    /// is judged.
    pub fn covered(&self) -> Option<bool> {
        let Answer::Number { found, truth, ci95 } = self.answer else { return None };
        let (low, high) = ci95.filter(|_| !self.realised)?;
        if let Class::Clock { slack } = self.class
            && (found - truth).abs() <= slack * truth.abs()
        {
            return Some(true);
        }
        let slack = truth.abs() * ROUNDING + 1e-12;
        Some(
            low.is_none_or(|low| low <= truth + slack)
                && high.is_none_or(|high| truth <= high + slack),
        )
    }

    /// Half the interval's width as a part of the truth (absolute where the class is); None for an open one.
    pub fn half_width(&self) -> Option<f64> {
        let Answer::Number { truth, ci95: Some((Some(low), Some(high))), .. } = self.answer else {
            return None;
        };
        let half = (high - low) / 2.0;
        match self.class {
            Class::Abs { .. } => Some(half),
            _ if truth == 0.0 => None,
            _ => Some(half / truth.abs()),
        }
    }

    /// Whether it is plainly wrong: another word, another count, or a claim where nothing can be known.
    pub fn is_wrong(&self) -> bool {
        match (&self.answer, self.knowable) {
            (Answer::Unknown { .. }, _) => false,
            (_, Knowable::No) => true,
            (Answer::Word { found, truth }, _) => found != truth,
            // Where failures hide instances, a count that says so by its interval is right.
            (Answer::Number { truth, ci95: Some((low, high)), .. }, Knowable::Perhaps)
                if low.is_none_or(|low| low <= *truth)
                    && high.is_none_or(|high| *truth <= high) =>
            {
                false
            }
            (Answer::Number { .. }, _) => {
                let exact =
                    self.class == Class::Exact || (self.class == Class::Rare && self.realised);
                exact && self.error().is_some_and(|error| error > ROUNDING)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(metric: &str, value: Value, truth: Value) -> Judged {
        let mut finding = Finding::new("x", metric, "s");
        finding.value = value;
        finding.truth = Some(truth);
        finding.ci95 = Some((Some(9.0), None));
        judge(&finding, 1, Knowable::Yes).expect("a truth")
    }

    // A word is right or wrong, and "unknown" is neither.
    #[test]
    fn words_are_judged() {
        let word = |found: &str| {
            judged("idle.policy", Value::Word(found.to_owned()), Value::Word("fixed".to_owned()))
        };
        assert!(word("halving").is_wrong());
        assert!(!word("fixed").is_wrong());
        assert!(!word("unknown").is_wrong());
        assert!(matches!(word("unknown").answer, Answer::Unknown { .. }));
    }

    // An open end covers whatever is beyond it; errors are relative but where the class is absolute.
    #[test]
    fn numbers_are_judged() {
        let number =
            |metric: &str, truth: f64| judged(metric, Value::Number(10.0), Value::Number(truth));
        assert_eq!(number("cpu.share", 1e9).covered(), Some(true));
        assert_eq!(number("cpu.share", 8.0).covered(), Some(false));
        assert_eq!(number("cpu.share", 9.0 - 1e-6).covered(), Some(true));
        assert_eq!(number("cpu.share", 9.0 - 1e-4).covered(), Some(false));
        assert_eq!(number("cpu.share", 8.0).error(), Some(0.25));
        assert_eq!(number("cpu.fairness", 8.0).error(), Some(2.0));
        assert!(number("placement.max_colevel", 8.0).is_wrong());
        assert_eq!(number("cpu.share", 8.0).half_width(), None);
    }

    // Where nothing can be known, a claim is wrong whatever it says.
    #[test]
    fn claims_beyond_knowledge_are_wrong() {
        let mut finding = Finding::new("x", "idle.policy", "word").with_word("fixed");
        finding.truth = Some(Value::Word("fixed".to_owned()));
        assert!(judge(&finding, 1, Knowable::No).expect("a truth").is_wrong());
    }
}
