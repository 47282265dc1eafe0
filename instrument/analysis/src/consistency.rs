//! Whether an acknowledged update is everywhere, and if not, for how long not.
//!
//! An instance is *outdated* where a request that was sent after an acknowledgement is answered with another mark than the
//! acknowledged one. Of the instances asked within 1 s after it, that is the fraction; an outdated one that had served
//! nothing before is *new*: it was started with what had been replaced. What counts is when the request was sent, not
//! when it was answered: cold starts answer later than outdated instances that were idle, and would be left out. Rounds
//! are clusters, since all instances of one share its updates.

use crate::answers::Answers;
use crate::estimates::add_share;
use crate::finding::Finding;
use crate::statistics::binomial::clopper_pearson;
use crate::statistics::bracket;
use crate::statistics::cluster::Row;
use crate::statistics::set::{self, Extent};
use crate::study::{Study, between, group, setting};
use record::{Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Name of the experiment.
pub(crate) const EXPERIMENT: &str = "consistency";

/// Requests sent so long after an acknowledgement, or after the wait that was planned, are right after it, ns.
const RIGHT_AFTER_NS: u64 = 1_000_000_000;

/// One function with its one update: what ran there afterwards.
struct Update<'a> {
    kind: &'a str,
    concurrency: u32,
    round: u64,
    wait_ms: u64,
    /// By instance.
    instances: BTreeMap<&'a str, Use>,
    /// From the acknowledgement to the first request's sending and, at most, to the last handler's first statement, s.
    asked_s: (f64, f64),
}

/// One instance after an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Use {
    outdated: bool,
    new: bool,
    /// Asked right after the acknowledgement or the wait, and not only later.
    at_once: bool,
    /// Requests that it answered after the update, outdated.
    requests: u32,
}

/// Adds the findings of the experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    let records = study.of(EXPERIMENT, answers);
    if records.is_empty() {
        return;
    }
    let functions = group(&records, |record| (record.function.clone(), record.round));
    let updates: Vec<Update> =
        functions.values().filter_map(|records| Update::of(records)).collect();
    add_fractions(answers, &updates);
    add_requests(answers, &updates);
    add_waits(answers, &updates);
}

impl<'a> Update<'a> {
    /// None where nothing was answered after the update.
    fn of(records: &[&'a Record]) -> Option<Self> {
        let answered = |record: &&&Record| {
            record.outcome == Outcome::Ok && !record.instance.is_empty() && !record.mark.is_empty()
        };
        let of = |phase: &'static str| {
            records.iter().filter(answered).copied().filter(move |record| record.phase == phase)
        };
        let known: BTreeSet<&str> = of("before").map(|record| record.instance.as_str()).collect();
        let first = of("after").next()?;
        let wait_ms = (setting::<f64>(first, "wait_s")? * 1e3).round() as u64;
        let since = |record: &Record, at: u64| between(record.acknowledged_ns, at) / 1e9;
        let mut instances: BTreeMap<&str, Use> = BTreeMap::new();
        for record in of("after").chain(of("again")) {
            let it = instances.entry(record.instance.as_str()).or_default();
            let outdated = record.mark != record.mark_acknowledged;
            let since_ns = record.sent_ns.saturating_sub(record.acknowledged_ns);
            // Later bursts meet what the first one left: they tell how long an outdated instance serves, and nothing else.
            let at_once =
                record.phase == "after" && since_ns <= wait_ms * 1_000_000 + RIGHT_AFTER_NS;
            it.new = !known.contains(record.instance.as_str());
            it.at_once |= at_once;
            it.outdated |= at_once && outdated;
            it.requests += u32::from(outdated);
        }
        Some(Self {
            kind: first.setting.get("kind")?,
            concurrency: setting(first, "concurrency")?,
            round: u64::from(first.round),
            wait_ms,
            instances,
            asked_s: (
                of("after").map(|record| since(record, record.sent_ns)).reduce(f64::min)?,
                of("after").map(|record| since(record, begun_ns(record))).reduce(f64::max)?,
            ),
        })
    }

    /// The instances asked right after the update or the wait.
    fn at_once(&self) -> impl Iterator<Item = &Use> {
        self.instances.values().filter(|it| it.at_once)
    }

    fn is_outdated(&self) -> bool {
        self.at_once().any(|it| it.outdated)
    }

    fn rows(&self, hit: impl Fn(&Use) -> bool) -> impl Iterator<Item = Row<bool>> {
        self.at_once().map(move |it| Row::new(self.round, hit(it)))
    }
}

/// Share of updates that may still be under way after a wait, although none of `n` showed it (95 %).
///
/// Three of n, divided by the chance that an update that is under way shows it at all: at least the lower bound of the share
/// that do so without a wait. Where updates take times that are evenly spread, it is also the part of the longest time that
/// is still to come.
fn unseen(updates: &[Update], n: usize) -> f64 {
    let at_once: Vec<&Update> = updates.iter().filter(|update| update.wait_ms == 0).collect();
    let least = at_once.iter().map(|update| update.concurrency).min();
    let alike = at_once.iter().filter(|update| Some(update.concurrency) == least);
    let shown = alike.clone().filter(|update| update.is_outdated()).count();
    let shows = match shown {
        // Nothing to divide by: then nothing was seen of any update.
        0 => 1.0,
        _ => clopper_pearson(shown as f64, alike.count() as f64).0,
    };
    3.0 / (n as f64 * shows)
}

/// When its handler had begun at the latest, on the vantage point's clock.
fn begun_ns(record: &Record) -> u64 {
    record.received_ns.saturating_sub(record.function_ns)
}

fn add_fractions(answers: &mut Answers, updates: &[Update]) {
    let mut settings: BTreeMap<(&str, u32), Vec<&Update>> = BTreeMap::new();
    for update in updates.iter().filter(|update| update.wait_ms == 0) {
        settings.entry((update.kind, update.concurrency)).or_default().push(update);
    }
    let method = "instances asked within 1 s after the acknowledgement whose mark was not the acknowledged one";
    for ((kind, concurrency), updates) in &settings {
        let rows: Vec<_> = updates.iter().flat_map(|it| it.rows(|it| it.outdated)).collect();
        let finding = Finding::new(EXPERIMENT, "consistency.outdated_fraction", "fraction")
            .with_setting("kind", *kind)
            .with_setting("concurrency", *concurrency)
            .with_method(method, rows.len());
        add_share(answers, finding, &rows);
    }
    let all = settings.values().flatten();
    let rows: Vec<_> = all.flat_map(|it| it.rows(|it| it.outdated && it.new)).collect();
    let method = "the same, and had served nothing before: started with what had been replaced; of all instances asked";
    let finding = Finding::new(EXPERIMENT, "consistency.outdated_new_fraction", "fraction")
        .with_method(method, rows.len());
    add_share(answers, finding, &rows);
}

fn add_requests(answers: &mut Answers, updates: &[Update]) {
    let requests = updates.iter().flat_map(|update| update.instances.values());
    let outdated: Vec<u32> = requests.map(|it| it.requests).filter(|count| *count > 0).collect();
    let most = outdated.iter().copied().max().unwrap_or(0);
    let method = "most answers that one outdated instance gave after the acknowledgement; bursts follow each other";
    answers.add(
        Finding::new(EXPERIMENT, "consistency.max_requests_per_outdated_instance", "count")
            .with_method(method, outdated.len())
            .with_number(f64::from(most))
            .with_interval(set::interval(f64::from(most), Extent::AtLeast)),
    );
}

/// Adds the shares of outdated instances by wait, and the shortest wait from which on none was seen.
fn add_waits(answers: &mut Answers, updates: &[Update]) {
    let mut waits: BTreeMap<u64, Vec<&Update>> = BTreeMap::new();
    for update in updates {
        waits.entry(update.wait_ms).or_default().push(update);
    }
    for (wait_ms, updates) in &waits {
        let rows: Vec<_> = updates.iter().flat_map(|it| it.rows(|it| it.outdated)).collect();
        let method =
            "instances first asked after that wait whose mark was not the acknowledged one";
        let finding =
            Finding::new(EXPERIMENT, "consistency.outdated_after_wait_fraction", "fraction")
                .with_setting("wait_s", *wait_ms as f64 / 1e3)
                .with_method(method, rows.len());
        add_share(answers, finding, &rows);
    }
    let finding = Finding::new(EXPERIMENT, "consistency.safe_wait_s", "s");
    let outdated = updates.iter().filter(|update| update.is_outdated());
    let last_seen_s = outdated.clone().map(|update| update.asked_s.0).reduce(f64::max);
    let last_ms = outdated.map(|update| update.wait_ms).max();
    let safe = waits.iter().find(|(wait_ms, _)| last_ms.is_none_or(|last| **wait_ms > last));
    let low = last_seen_s.unwrap_or(0.0);
    let Some((wait_ms, clean)) = safe else {
        let finding = finding
            .with_method("shortest tested wait with no outdated use", updates.len())
            .with_interval(bracket::interval(Some(low), None));
        let why = "outdated instances were seen after the longest wait; longer waits would tell";
        return answers.add_unknown(finding, why);
    };
    let n = clean.len();
    let method = format!(
        "shortest tested wait from which on no instance was outdated; none after it in {n} updates, so at most 3/{n} \
         of updates have one (95 %)"
    );
    let reached_s = clean.iter().map(|update| update.asked_s.1).reduce(f64::max);
    let rest = unseen(updates, n);
    let high = reached_s.filter(|_| rest < 1.0).map(|reached_s| reached_s / (1.0 - rest));
    answers.add(
        finding
            .with_method(&method, n)
            .with_clusters("update", n)
            .with_number(*wait_ms as f64 / 1e3)
            .with_interval(bracket::interval(Some(low), high)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Value;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    const SECOND_NS: u64 = 1_000_000_000;
    const ACKNOWLEDGED_NS: u64 = 100 * SECOND_NS;

    /// One update: answers by instance, when they were sent since the acknowledgement (None: before it), and whether they
    /// are outdated.
    fn update(round: u32, wait_s: f64, answers: &[(&str, Option<f64>, bool)]) -> Vec<Record> {
        let record = |(instance, since_s, outdated): &(&str, Option<f64>, bool)| {
            let sent_ns = match since_s {
                Some(since_s) => ACKNOWLEDGED_NS + (since_s * 1e9) as u64,
                None => ACKNOWLEDGED_NS - SECOND_NS,
            };
            let mark = if *outdated { "old" } else { "new" };
            Record {
                experiment: EXPERIMENT.into(),
                round,
                phase: if since_s.is_some() { "after" } else { "before" }.into(),
                setting: [("kind", "code"), ("concurrency", "1"), ("wait_s", &wait_s.to_string())]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
                function: format!("f-{round}-{wait_s}").into(),
                mark: mark.into(),
                mark_acknowledged: if since_s.is_some() { "new" } else { "old" }.into(),
                acknowledged_ns: ACKNOWLEDGED_NS,
                sent_ns,
                received_ns: sent_ns + 10_000_000,
                outcome: Outcome::Ok,
                instance: (*instance).into(),
                ..Record::default()
            }
        };
        answers.iter().map(record).collect()
    }

    fn found(records: &[Record], metric: &str) -> Finding {
        crate::found::found(analyse, records, metric)
    }

    // An outdated instance that ran before is outdated and not new; one that did not is both; one asked later than 1 s
    // after the acknowledgement counts for its requests alone; a failure is missing data.
    #[test]
    fn instances_are_told_apart() {
        let mut records = update(
            0,
            0.0,
            &[
                ("kept", None, true),
                ("kept", Some(0.0), true),
                ("kept", Some(0.1), true),
                ("kept", Some(2.0), true),
                ("fresh", Some(0.0), false),
                ("stale", Some(0.0), true),
                ("late", Some(1.5), true),
            ],
        );
        records.push(Record { outcome: Outcome::TimedOut, ..records[1].clone() });
        let value = |metric: &str| found(&records, metric).value;
        assert_eq!(value("consistency.outdated_fraction"), Value::Number(2.0 / 3.0));
        assert_eq!(value("consistency.outdated_new_fraction"), Value::Number(1.0 / 3.0));
        let most = "consistency.max_requests_per_outdated_instance";
        assert_eq!(value(most), Value::Number(3.0));
    }

    // Where every update takes up to so long to be everywhere, the bracket contains that; 179 of 200 is the 0.1 % point of
    // a binomial of 0.95.
    #[test]
    fn safe_waits_are_covered() {
        let mut random = Pcg64::seed_from_u64(5);
        let covered = (0..200)
            .filter(|_| {
                let window_s = random.random_range(0.5..8.0);
                // Chance that a request meets what is left of the version before.
                let meets = random.random_range(0.3..1.0);
                let mut records = Vec::new();
                for round in 0..40 {
                    for wait_s in [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0] {
                        let outdated = wait_s < random.random_range(0.0..window_s)
                            && random.random_bool(meets);
                        records.extend(update(round, wait_s, &[("i", Some(wait_s), outdated)]));
                    }
                }
                let (low, high) =
                    found(&records, "consistency.safe_wait_s").ci95.expect("a bracket");
                low.is_none_or(|low| low <= window_s) && high.is_none_or(|high| window_s <= high)
            })
            .count();
        assert!(covered >= 179, "{covered}");
    }

    // Outdated after every wait: there is no safe one, and the longest bounds it from below.
    #[test]
    fn unsafe_waits_have_a_bound() {
        let records: Vec<Record> = [0.0, 5.0]
            .iter()
            .flat_map(|wait_s| update(0, *wait_s, &[("i", Some(*wait_s), true)]))
            .collect();
        let wait = found(&records, "consistency.safe_wait_s");
        assert_eq!((wait.value, wait.ci95), (Value::Null, Some((Some(5.0), None))));
    }
}
