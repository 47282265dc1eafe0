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
use crate::statistics::bracket;
use crate::statistics::cluster::Row;
use crate::statistics::set::{self, Extent};
use crate::study::{Study, between, group, setting};
use record::{Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};

const EXPERIMENT: &str = "consistency";

/// Requests sent so long after an acknowledgement, or after the wait that was planned, are right after it, s.
const RIGHT_AFTER_S: f64 = 1.0;

/// One function with its one update: what ran there afterwards.
struct Update<'a> {
    kind: &'a str,
    concurrency: u32,
    round: u64,
    wait_ms: u64,
    /// By instance.
    instances: BTreeMap<&'a str, Use>,
    /// From the acknowledgement to the first request's sending and the last answer's arrival, s.
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
        let wait_s: f64 = setting(first, "wait_s")?;
        let since = |record: &Record, at: u64| between(record.acknowledged_ns, at) / 1e9;
        let mut instances: BTreeMap<&str, Use> = BTreeMap::new();
        for record in of("after").chain(of("again")) {
            let it = instances.entry(record.instance.as_str()).or_default();
            let outdated = record.mark != record.mark_acknowledged;
            let late_s = since(record, record.sent_ns) - wait_s;
            it.new = !known.contains(record.instance.as_str());
            let at_once = record.phase == "after" && late_s <= RIGHT_AFTER_S;
            it.at_once |= at_once;
            it.outdated |= at_once && outdated;
            it.requests += u32::from(outdated);
        }
        Some(Self {
            kind: first.setting.get("kind")?,
            concurrency: setting(first, "concurrency")?,
            round: u64::from(first.round),
            wait_ms: (wait_s * 1e3).round() as u64,
            instances,
            asked_s: (
                of("after").map(|record| since(record, record.sent_ns)).reduce(f64::min)?,
                of("after").map(|record| since(record, record.received_ns)).reduce(f64::max)?,
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
        let method = "instances first asked after that wait whose mark was not the acknowledged one";
        let finding = Finding::new(EXPERIMENT, "consistency.outdated_after_wait_fraction", "fraction")
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
    // While an update is under way on evenly spread hosts, what is left of it after a part of its time is the other part.
    let rest = 3.0 / n as f64;
    let reached_s = clean.iter().map(|update| update.asked_s.1).reduce(f64::max);
    let high = reached_s.filter(|_| rest < 1.0).map(|reached_s| reached_s / (1.0 - rest));
    answers.add(
        finding
            .with_method(&method, n)
            .with_clusters("update", n)
            .with_number(*wait_ms as f64 / 1e3)
            .with_interval(bracket::interval(Some(low), high)),
    );
}
