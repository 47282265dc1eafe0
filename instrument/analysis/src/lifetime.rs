//! How long an instance lives that is asked for every so often.
//!
//! A lifetime is from the first to the last request that an instance answered. It has ended where another instance answered
//! later and this one did not again; one that answered last may live on, and its lifetime is a lower bound. What is in
//! between is estimated with both (Kaplan and Meier). The longest one that ended bounds a cap from both sides: it was
//! reached, and one interval later it was not.

use crate::answers::Answers;
use crate::finding::Finding;
use crate::statistics::bracket;
use crate::statistics::kaplan_meier::{Duration, End, curve, quantile, quantile_interval};
use crate::study::{Study, group, setting};
use record::{Outcome, Record};
use std::collections::BTreeMap;

/// Name of the experiment.
pub(crate) const EXPERIMENT: &str = "lifetime";

/// One interval and memory size.
struct One {
    memory_mib: u32,
    interval_s: f64,
    functions: usize,
    lives: Vec<Duration>,
}

/// Adds the findings of the experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    let records = study.of(EXPERIMENT, answers);
    let interval_ms = |record: &Record| {
        setting::<f64>(record, "interval_s").map(|interval_s| (interval_s * 1e3).round() as u64)
    };
    for ((memory_mib, interval_ms), records) in
        group(&records, |record| (record.memory_mib, interval_ms(record)))
    {
        let Some(interval_ms) = interval_ms else { continue };
        let functions = group(&records, |record| record.function.clone());
        let one = One {
            memory_mib,
            interval_s: interval_ms as f64 / 1e3,
            functions: functions.len(),
            lives: functions.values().flat_map(|records| lives(records)).collect(),
        };
        one.add(answers);
    }
}

/// Lifetimes of one function's instances.
fn lives(records: &[&Record]) -> Vec<Duration> {
    let mut seen: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut last = 0;
    for record in records {
        if record.outcome != Outcome::Ok || record.instance.is_empty() {
            continue;
        }
        let sent = record.sent_ns;
        let span = seen.entry(&record.instance).or_insert((sent, sent));
        *span = (span.0.min(sent), span.1.max(sent));
        last = last.max(sent);
    }
    let life = |(from, to): &(u64, u64)| Duration {
        length: (to - from) as f64 / 1e9,
        end: if *to < last { End::Seen } else { End::Censored },
    };
    seen.values().map(life).collect()
}

impl One {
    fn finding(&self, statistic: &str) -> Finding {
        let method = "from the first to the last answer of an instance; Kaplan-Meier, since some outlive the watch";
        Finding::new(EXPERIMENT, &format!("lifetime.{statistic}_s"), "s")
            .with_setting("memory_mib", self.memory_mib)
            .with_setting("interval_s", self.interval_s)
            .with_method(method, self.lives.len())
            .with_clusters("function", self.functions)
    }

    fn add(&self, answers: &mut Answers) {
        let steps = curve(&self.lives);
        for (name, p) in [("p5", 0.05), ("median", 0.5), ("p95", 0.95)] {
            let finding = self.finding(name).with_interval(quantile_interval(&self.lives, p));
            match quantile(&steps, p) {
                Some(length) => answers.add(finding.with_number(length)),
                None => answers.add_unknown(
                    self.bounded(finding),
                    "too many instances outlive the watch; a longer one would tell",
                ),
            }
        }
        self.add_longest(answers);
    }

    /// What outlives the watch bounds every quantile that is not reached.
    fn bounded(&self, finding: Finding) -> Finding {
        if finding.ci95.is_some_and(|(low, _)| low.is_some()) {
            return finding;
        }
        let ended = self.lives.iter().filter(|life| life.end == End::Seen);
        let low = ended.map(|life| life.length).reduce(f64::max);
        finding.with_interval(bracket::interval(low, None))
    }

    fn add_longest(&self, answers: &mut Answers) {
        let longest = self.lives.iter().max_by(|a, b| a.length.total_cmp(&b.length));
        let Some(longest) = longest else {
            let why = "no request was answered; see the failures for the reason";
            return answers.add_unknown(self.finding("max"), why);
        };
        let ended = self.lives.iter().filter(|life| life.end == End::Seen);
        let ended = ended.map(|life| life.length).reduce(f64::max);
        let high = ended.filter(|it| *it >= longest.length).map(|it| it + self.interval_s);
        let mut finding = self
            .finding("max")
            .with_number(longest.length)
            .with_interval(bracket::interval(Some(longest.length), high));
        finding.method = "the longest from first to last answer: reached, and one interval later not; open where \
                          it outlived the watch"
            .to_owned();
        answers.add(finding);
        if high.is_none() {
            let text = "lifetime.max_s: the oldest instance outlived the watch, so the longest lifetime is only \
                        bounded from below; a longer watch would close it";
            answers.note(EXPERIMENT, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Value;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    /// Answers of functions asked every `interval_s` for `watch_s`, whose instances live as long as `draw` says.
    fn watched(
        functions: u32,
        (interval_s, watch_s): (f64, f64),
        mut draw: impl FnMut() -> f64,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        for function in 0..functions {
            let (mut born_s, mut dies_s, mut number) = (0.0, draw(), 0);
            for request in 0..(watch_s / interval_s) as u32 {
                let now_s = f64::from(request) * interval_s;
                if now_s >= dies_s {
                    (born_s, dies_s, number) = (now_s, now_s + draw(), number + 1);
                }
                assert!(born_s <= now_s);
                records.push(Record {
                    experiment: EXPERIMENT.into(),
                    phase: "watch".into(),
                    function: format!("f-{function}").into(),
                    memory_mib: 128,
                    setting: [("interval_s".to_owned(), interval_s.to_string())].into(),
                    sent_ns: (now_s * 1e9) as u64 + 1,
                    outcome: Outcome::Ok,
                    instance: format!("i-{number}").into(),
                    ..Record::default()
                });
            }
        }
        records
    }

    fn found(records: &[Record], metric: &str) -> Finding {
        crate::found::found(analyse, records, metric)
    }

    // A cap is between the longest lifetime and one interval more, and all lifetimes are the last interval before it.
    #[test]
    fn caps_are_caught() {
        let records = watched(4, (30.0, 3_000.0), || 700.0);
        let longest = found(&records, "lifetime.max_s");
        assert_eq!(
            (longest.value, longest.ci95),
            (Value::Number(690.0), Some((Some(690.0), Some(720.0))))
        );
        for metric in ["lifetime.p5_s", "lifetime.median_s", "lifetime.p95_s"] {
            assert_eq!(found(&records, metric).value, Value::Number(690.0), "{metric}");
        }
    }

    // Exponential lifetimes of which the watch cuts off many: the median's interval covers. 179 of 200 is the 0.1 % point of
    // a binomial of 0.95.
    #[test]
    fn medians_are_covered() {
        let mut random = Pcg64::seed_from_u64(3);
        let covered = (0..200)
            .filter(|_| {
                let mean_s = random.random_range(500.0..3_000.0);
                let records =
                    watched(20, (10.0, 4_000.0), || -mean_s * (1.0 - random.random::<f64>()).ln());
                // What is seen of a lifetime is the whole intervals in it.
                let truth = (mean_s * 2.0_f64.ln() / 10.0).floor() * 10.0;
                let (low, high) = found(&records, "lifetime.median_s").ci95.expect("an interval");
                low.is_none_or(|low| low <= truth) && high.is_none_or(|high| truth <= high)
            })
            .count();
        assert!(covered >= 179, "{covered}");
    }

    // Where nothing ends there is no median, and the longest is open above.
    #[test]
    fn endless_lives_have_bounds() {
        let records = watched(3, (10.0, 1_000.0), || f64::INFINITY);
        assert_eq!(found(&records, "lifetime.median_s").value, Value::Null);
        let longest = found(&records, "lifetime.max_s");
        assert_eq!(
            (longest.value, longest.ci95),
            (Value::Number(990.0), Some((Some(990.0), None)))
        );
    }

    // Where each request meets another instance, lifetimes are nothing.
    #[test]
    fn single_use_has_no_lifetime() {
        let records = watched(3, (10.0, 1_000.0), || 5.0);
        assert_eq!(found(&records, "lifetime.median_s").value, Value::Number(0.0));
        assert_eq!(found(&records, "lifetime.max_s").ci95, Some((Some(0.0), Some(10.0))));
    }
}
