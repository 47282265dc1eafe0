//! What makes a cold start dearer: a larger package, code that was never seen, a host that was never seen, and neighbours
//! that start at the same time.
//!
//! Differences are of medians, between requests of the same rounds. A host is new to the first record that names it. Of
//! starts at once only those count whose host was seen before, so that what a new host costs is in its own figure alone;
//! the colevel is the number of starts of one burst on one host, whatever was intended. Clocks that differ drop out of
//! differences.

use super::{EXPERIMENT, Start};
use crate::answers::Answers;
use crate::finding::Finding;
use crate::placed::HostSource;
use crate::sharing::keep_usual;
use crate::statistics::{CLUSTERS_MIN, Interval, NoInterval, bootstrap, order_statistic};
use crate::study::{Study, group, setting};
use record::{Outcome, Record};
use std::collections::BTreeMap;

/// Why something is null.
const NO_STARTS: &str = "no cold start was answered with it; see the failures for the reason";
const NO_HOSTS: &str = "nothing names the host, so nobody knows which starts shared one, or were the first on one; \
    a platform that reveals its hosts would tell";

/// Adds the findings of the requests that look at what makes cold starts dearer.
pub(super) fn analyse(study: &Study, answers: &mut Answers, records: &[&Record]) {
    let of = |phases: &[&str]| -> Vec<&Record> {
        records.iter().copied().filter(|it| phases.contains(&it.phase.as_str())).collect()
    };
    add_packages(study, answers, &of(&["package", "again"]));
    add_at_once(study, answers, &of(&["at_once"]));
    add_new_hosts(study, answers, &of(&["chain"]));
}

/// A cold start's latency, ms: infinite where it failed, None where it was no cold start or was refused.
fn latency_ms(study: &Study, record: &Record) -> Option<f64> {
    match record.outcome {
        Outcome::Ok if Start::Cold.is(study, record) && record.started_unix_ns > 0 => {
            Some(study.clock(&record.runtime).latency_ns(record) / 1e6)
        }
        Outcome::Ok | Outcome::Throttled => None,
        _ => Some(f64::INFINITY),
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    order_statistic::quantile(&values, 0.5).filter(|median| median.is_finite())
}

/// Latencies of one round by ballast, of first and of later starts of the same code.
#[derive(Default)]
struct Round {
    first: BTreeMap<u32, Vec<f64>>,
    later: BTreeMap<u32, Vec<f64>>,
}

/// Which latencies of a round.
type Pick<'p> = &'p dyn Fn(&Round) -> Option<&Vec<f64>>;

fn add_packages(study: &Study, answers: &mut Answers, records: &[&Record]) {
    let mut rounds: BTreeMap<u32, Round> = BTreeMap::new();
    let mut sizes: Vec<u32> = Vec::new();
    for record in records {
        let Some(ballast) = setting::<u32>(record, "ballast_mib") else { continue };
        sizes.push(ballast);
        let round = rounds.entry(record.round).or_default();
        let starts = if record.phase == "again" { &mut round.later } else { &mut round.first };
        starts.entry(ballast).or_default().extend(latency_ms(study, record));
    }
    sizes.sort_unstable();
    sizes.dedup();
    let rounds: Vec<Round> = rounds.into_values().collect();
    let finding = |metric: &str, size: u32, forced_by: &str, method: &str| Finding {
        forced_by: Some(forced_by.to_owned()),
        ..Finding::new(EXPERIMENT, metric, "ms")
            .with_setting("package_mib", size)
            .with_method(method, records.len())
            .with_clusters("round", rounds.len())
    };
    for size in sizes {
        let first: Pick = &move |round: &Round| round.first.get(&size);
        if size > 0 {
            let method = "median cold start of functions with so much incompressible ballast less that of those \
                          without, all of code never seen";
            let found = finding("coldstart.package_extra_ms", size, "fresh_function", method);
            add_difference(answers, found, &rounds, (first, &|round| round.first.get(&0)));
        }
        let method = "median first cold start of code never seen less that of a later cold start of the same code, which an update \
                      of the environment forced; package_mib is ballast beside the probe";
        let found =
            finding("coldstart.first_code_extra_ms", size, "fresh_function, update", method);
        add_difference(answers, found, &rounds, (first, &move |round| round.later.get(&size)));
    }
}

/// Adds the difference of two medians, with rounds as clusters.
fn add_difference(
    answers: &mut Answers,
    finding: Finding,
    rounds: &[Round],
    (of, from): (Pick, Pick),
) {
    let all = |rounds: &[&Round], pick: Pick| {
        median(rounds.iter().filter_map(|round| pick(round)).flatten().copied().collect())
    };
    let difference = |rounds: &[&Round]| Some(all(rounds, of)? - all(rounds, from)?);
    match difference(&rounds.iter().collect::<Vec<_>>()) {
        Some(value) => {
            answers.add_with(finding.with_number(value), bootstrap::interval(rounds, difference));
        }
        None => answers.add_unknown(finding, NO_STARTS),
    }
}

/// The first time that each host was met, nanoseconds since the run began.
fn first_met<'a>(study: &'a Study) -> BTreeMap<&'a str, u64> {
    let mut met: BTreeMap<&str, u64> = BTreeMap::new();
    for record in &study.records {
        if let Some(host) = study.host.of(record) {
            let first = met.entry(host).or_insert(record.sent_ns);
            *first = record.sent_ns.min(*first);
        }
    }
    met
}

/// Latencies by colevel and round.
type Levels = BTreeMap<u32, BTreeMap<u32, Vec<f64>>>;

fn add_at_once(study: &Study, answers: &mut Answers, records: &[&Record]) {
    let finding = |colevel: u32| {
        Finding::new(EXPERIMENT, "coldstart.concurrent_latency_ms", "ms")
            .with_setting("colevel", colevel)
    };
    if study.host == HostSource::None {
        for colevel in group(records, |record| setting::<u32>(record, "colevel")).into_keys() {
            answers.add_unknown(finding(colevel.unwrap_or(0)), NO_HOSTS);
        }
        return;
    }
    let met = first_met(study);
    // By what was intended, since each has its own number of bursts.
    let mut intended: BTreeMap<Option<u32>, Levels> = BTreeMap::new();
    let mut new_hosts = 0;
    let key = |record: &Record| {
        let host = study.host.of(record).map(str::to_owned);
        (record.function.clone(), (record.round, setting::<u32>(record, "colevel")), host)
    };
    for ((_, (round, meant), host), records) in group(records, key) {
        let starts: Vec<f64> =
            records.iter().filter_map(|record| latency_ms(study, record)).collect();
        let Some(host) = host.filter(|_| starts.iter().all(|ms| ms.is_finite())) else { continue };
        if records.iter().any(|record| met.get(host.as_str()) == Some(&record.sent_ns)) {
            new_hosts += starts.len();
        } else if !starts.is_empty() {
            let levels = intended.entry(meant).or_default();
            levels.entry(starts.len() as u32).or_default().entry(round).or_default().extend(starts);
        }
    }
    let mut levels = Levels::new();
    for mut of_it in intended.into_values() {
        keep_usual(&mut of_it);
        for (level, rounds) in of_it {
            let merged = levels.entry(level).or_default();
            rounds.into_iter().for_each(|(round, of)| merged.entry(round).or_default().extend(of));
        }
    }
    if new_hosts > 0 {
        let text = format!(
            "{new_hosts} of {} starts at once met a host not seen before, and are in no figure of those",
            records.len()
        );
        answers.note(EXPERIMENT, &text);
    }
    for (colevel, rounds) in &levels {
        let clusters: Vec<Vec<f64>> = rounds.values().cloned().collect();
        let method = "cold starts of one burst of a fresh function on one host that was there: mean of instances, from the first byte \
                      sent to the handler's first statement";
        let found = Finding { forced_by: Some("fresh_function".to_owned()), ..finding(*colevel) }
            .with_method(method, clusters.iter().map(Vec::len).sum())
            .with_clusters("round", clusters.len())
            .with_number(bootstrap::mean(&clusters));
        let runtime = records.first().map_or("", |record| record.runtime.as_str());
        let clock = study.clock(runtime);
        let interval = bootstrap::mean_interval(&clusters).map(|it| Interval {
            low: it.low.map(|low| low - clock.above_ns / 1e6),
            high: it.high.map(|high| high + clock.below_ns / 1e6),
            ..it
        });
        answers.add_with(found, interval);
    }
    if levels.is_empty() && !records.is_empty() {
        let why = "no host that had been seen before started instances of one burst; a longer study would see more";
        answers.add_unknown(finding(1), why);
    }
}

/// A start of the chain: on a host not seen before, or on one that was there.
struct Link {
    ms: f64,
    is_first: bool,
}

fn add_new_hosts(study: &Study, answers: &mut Answers, records: &[&Record]) {
    if records.is_empty() {
        return;
    }
    let finding = Finding {
        forced_by: Some("fresh_function".to_owned()),
        ..Finding::new(EXPERIMENT, "coldstart.new_host_extra_ms", "ms")
    };
    if study.host == HostSource::None {
        answers.add_unknown(finding, NO_HOSTS);
        return;
    }
    let met = first_met(study);
    let link = |record: &&Record| {
        let host = study.host.of(record)?;
        let ms = latency_ms(study, record).filter(|ms| ms.is_finite())?;
        Some(Link { ms, is_first: met.get(host) == Some(&record.sent_ns) })
    };
    let links: Vec<Link> = records.iter().filter_map(link).collect();
    let difference = |links: &[&Link]| {
        let of = |is_first: bool| {
            let of_it = links.iter().filter(|link| link.is_first == is_first);
            median(of_it.map(|link| link.ms).collect())
        };
        Some(of(true)? - of(false)?)
    };
    let new = links.iter().filter(|link| link.is_first).count();
    let finding = finding
        .with_method(
            "median cold start on hosts not seen before less that on hosts seen before, one start after another, all kept",
            links.len(),
        )
        .with_clusters("start", links.len());
    let fewer = new.min(links.len() - new);
    let interval = match fewer < CLUSTERS_MIN {
        true => Err(NoInterval::TooFewClusters { found: fewer }),
        false => bootstrap::interval(&links, difference),
    };
    match difference(&links.iter().collect::<Vec<_>>()) {
        Some(value) => answers.add_with(finding.with_number(value), interval),
        None => {
            let why = format!(
                "of {} starts, kept one after another, {new} met a host not seen before: both kinds are needed",
                links.len()
            );
            answers.add_unknown(finding, &why);
        }
    }
}
