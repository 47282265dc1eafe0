//! The idle limit of instances on hosts that another instance keeps busy.
//!
//! A silence counts where the keeper had an instance on the host of the silent one and used it all the time: before the
//! silence, after it, and never with a gap of more than three times what was planned. What else was silent tells nothing.

use super::{EXPERIMENT, Pair, beyond, delay_ms, ways_s};
use crate::answers::Answers;
use crate::finding::Finding;
use crate::placed::HostSource;
use crate::statistics::bracket;
use crate::study::{Study, between, group, setting};
use record::{Outcome, Record};
use std::collections::BTreeMap;

/// Times the planned one that may lie between two uses of a host.
const GAPS_MAX: f64 = 3.0;

/// Adds the finding, where the experiment looked for it.
pub(super) fn analyse(study: &Study, answers: &mut Answers, records: &[&Record]) {
    let of = |phase: &str| -> Vec<&Record> {
        let answered = |record: &&&Record| record.phase == phase && record.outcome == Outcome::Ok;
        records.iter().filter(answered).copied().collect()
    };
    let (firsts, seconds, keeps) = (of("busy_first"), of("busy_second"), of("keep"));
    if firsts.is_empty() && keeps.is_empty() {
        return;
    }
    let finding = Finding::new(EXPERIMENT, "idle.busy_host_max_idle_s", "s");
    if study.host == HostSource::None {
        let why = "nothing names the host, so nobody knows which were kept busy";
        return answers.add_unknown(finding, why);
    }
    let uses = uses(study, &keeps);
    let second_of: BTreeMap<&str, &Record> =
        seconds.iter().map(|record| (record.function.as_str(), *record)).collect();
    let pairs: Vec<Pair> = firsts
        .iter()
        .filter_map(|first| {
            let second = second_of.get(first.function.as_str())?;
            let host = study.host.of(first)?;
            let busy = uses.get(host).is_some_and(|uses| uses.cover(first, second));
            let idle_s = between(first.received_ns, second.sent_ns) / 1e9;
            busy.then(|| Pair {
                delay_ms: delay_ms(first).unwrap_or_default(),
                idle_s,
                idle_most_s: idle_s + ways_s(study, first, second),
                alive: first.instance == second.instance,
            })
        })
        .collect();
    let method = "two requests with silence between, on hosts on which another function's instance was used all the \
                  time; the longest silence with a survivor";
    let finding = finding.with_method(method, pairs.len()).with_clusters("pair", pairs.len());
    add(answers, finding, &pairs);
}

/// When a host was used, ns, ascending, and at most so long apart.
struct Uses {
    at_ns: Vec<u64>,
    gap_ns: f64,
}

impl Uses {
    /// Whether the host was in use from the first's answer to the second's sending.
    fn cover(&self, first: &Record, second: &Record) -> bool {
        let (from, to) = (first.received_ns, second.sent_ns);
        let close = |a: u64, b: u64| between(a, b) <= self.gap_ns;
        let inside = self.at_ns.iter().copied().filter(|at| (from..=to).contains(at));
        let mut last = from;
        for at in inside {
            if !close(last, at) {
                return false;
            }
            last = at;
        }
        close(last, to)
    }
}

/// By host, when the keeper's instances there answered.
fn uses<'a>(study: &'a Study, keeps: &[&'a Record]) -> BTreeMap<String, Uses> {
    let by_host = group(keeps, |record| study.host.of(record).map(str::to_owned));
    let uses = |records: Vec<&Record>| {
        let each_s = records.iter().find_map(|record| setting::<f64>(record, "each_s"));
        let mut at_ns: Vec<u64> = records.iter().map(|record| record.received_ns).collect();
        at_ns.sort_unstable();
        Uses { at_ns, gap_ns: GAPS_MAX * 1e9 * each_s.unwrap_or(0.0) }
    };
    by_host.into_iter().filter_map(|(host, records)| Some((host?, uses(records)))).collect()
}

fn add(answers: &mut Answers, finding: Finding, pairs: &[Pair]) {
    if pairs.is_empty() {
        let why = "no silent instance shared a host with one that was used all the time";
        return answers.add_unknown(finding, why);
    }
    let lost = beyond(pairs).into_iter().filter(|pair| !pair.alive);
    let mut trials: Vec<(f64, bool)> = lost.map(|pair| (pair.idle_most_s, false)).collect();
    let alive = || pairs.iter().filter(|pair| pair.alive);
    trials.extend(alive().map(|pair| (pair.idle_s, true)));
    trials.push((0.0, true));
    let found = bracket::last_success(&trials);
    let survivor = alive().map(|pair| pair.idle_s).reduce(f64::max);
    let finding = finding.with_number(survivor).with_interval(found);
    match survivor {
        Some(_) => answers.add(finding),
        None => answers.add_unknown(finding, "no instance outlived the shortest silence"),
    }
    if survivor.is_some() && found.high.is_none() {
        let text = "idle.busy_host_max_idle_s: instances were still there after the longest silence, so the limit is \
                    only bounded from below; longer ones would close it";
        answers.note(EXPERIMENT, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A host is busy for a silence where it was used at both ends and never left alone for long in between.
    #[test]
    fn gaps_end_a_busy_time() {
        let first = Record { received_ns: 100, ..Record::default() };
        let second = Record { sent_ns: 200, ..Record::default() };
        let covers =
            |at_ns: &[u64]| Uses { at_ns: at_ns.to_vec(), gap_ns: 30.0 }.cover(&first, &second);
        assert!(covers(&[10, 110, 140, 170, 199, 500]));
        assert!(!covers(&[110, 140, 165]), "left alone at the end");
        assert!(!covers(&[135, 160, 190]), "left alone at the beginning");
        assert!(!covers(&[110, 140, 180, 190]), "left alone in between");
        assert!(!covers(&[]));
    }
}
