//! Pools that were asked for as a whole again and again: how many instances of each host were still there from look to look.
//!
//! Between two looks the instances of the first are idle; those that the second does not meet went in that time. Deliberately
//! judges nothing: [`super::halving`] does.

use crate::study::{Study, between, group};
use record::{Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};

/// From one look at a pool to the next, on one host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    /// Names the host's clock.
    pub(super) clock: String,
    /// When the median response of the first look arrived, s since the run began.
    pub(super) from_s: f64,
    /// When the median request of the second one was sent.
    pub(super) to_s: f64,
    pub(super) launched: u32,
    pub(super) alive: u32,
}

/// What was seen between looks whose requests were all answered; nothing where hosts have no names, since a pool would be
/// on several whose clocks differ.
pub(super) fn windows(study: &Study, records: &[&Record]) -> Vec<Window> {
    let looks: Vec<&Record> =
        records.iter().copied().filter(|record| record.phase == "look").collect();
    let pools = group(&looks, |record| (record.unit.clone(), record.function.clone()));
    pools.values().flat_map(|looks| of_pool(study, looks)).collect()
}

fn of_pool(study: &Study, looks: &[&Record]) -> Vec<Window> {
    let looks = group(looks, |record| record.round);
    let numbers: Vec<u32> = looks.keys().copied().collect();
    let pairs = numbers.windows(2).filter(|pair| pair[0] + 1 == pair[1]);
    pairs.flat_map(|pair| of_pair(study, &looks[&pair[0]], &looks[&pair[1]])).collect()
}

fn of_pair(study: &Study, before: &[&Record], after: &[&Record]) -> Vec<Window> {
    // What a request without an answer met may have been there all the time.
    if before.iter().chain(after).any(|record| record.outcome != Outcome::Ok) {
        return Vec::new();
    }
    let again: BTreeSet<&str> = after.iter().map(|record| record.instance.as_str()).collect();
    let launched: BTreeMap<&str, &Record> =
        before.iter().map(|record| (record.instance.as_str(), *record)).collect();
    let mut hosts: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for (instance, record) in &launched {
        let Some(host) = study.host.of(record) else { continue };
        let (all, alive) = hosts.entry(host).or_default();
        *all += 1;
        *alive += u32::from(again.contains(instance));
    }
    let from_s = middle(before.iter().map(|record| record.received_ns));
    let to_s = middle(after.iter().map(|record| record.sent_ns));
    let unit = before.first().map_or("", |record| record.unit.as_str());
    hosts
        .into_iter()
        .filter(|_| from_s < to_s)
        .map(|(host, (launched, alive))| Window {
            clock: format!("{unit} {host}"),
            from_s,
            to_s,
            launched,
            alive,
        })
        .collect()
}

/// The median, s.
pub(super) fn middle(times_ns: impl Iterator<Item = u64>) -> f64 {
    let mut times_ns: Vec<u64> = times_ns.collect();
    times_ns.sort_unstable();
    between(0, times_ns.get(times_ns.len() / 2).copied().unwrap_or(0)) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placed::HostSource;

    fn look(number: u32, instances: &[(&str, &str)]) -> Vec<Record> {
        let record = |(instance, host): &(&str, &str)| Record {
            unit: "watch".into(),
            function: "f".into(),
            phase: "look".into(),
            round: number,
            outcome: Outcome::Ok,
            instance: (*instance).into(),
            host_ids: [("env".to_owned(), (*host).to_owned())].into(),
            sent_ns: u64::from(number) * 10_000_000_000,
            received_ns: u64::from(number) * 10_000_000_000 + 4_000_000_000,
            ..Record::default()
        };
        instances.iter().map(record).collect()
    }

    // By host, what the next look meets again was there all the time; a look with a request that failed tells nothing, on
    // either side of it.
    #[test]
    fn losses_are_counted_by_host() {
        let mut looks = look(0, &[("a", "x"), ("b", "x"), ("c", "y")]);
        looks.extend(look(1, &[("a", "x"), ("d", "y"), ("c", "y")]));
        let mut failed = look(2, &[("a", "x"), ("d", "y"), ("c", "y")]);
        failed[1].outcome = Outcome::Failed;
        looks.extend(failed);
        looks.extend(look(3, &[("a", "x"), ("d", "y"), ("c", "y")]));
        let records: Vec<&Record> = looks.iter().collect();
        let study = Study::of_records(records.clone(), HostSource::Named("env".into()));
        let window = |host: &str, launched, alive| Window {
            clock: format!("watch {host}"),
            from_s: 4.0,
            to_s: 10.0,
            launched,
            alive,
        };
        assert_eq!(windows(&study, &records), [window("x", 2, 1), window("y", 1, 1)]);
        let nameless = Study::of_records(records.clone(), HostSource::None);
        assert_eq!(windows(&nameless, &records), []);
    }
}
