//! Whether tenants, or roles of one tenant, share hosts.
//!
//! Only instances that run at one instant count. An instance is beside another tenant's where a host has instances of
//! both; rounds are the clusters. A *try* to land beside a victim is one round: it succeeds where an instance of one
//! tenant is on a host of the other's, and one over the share of tries that succeed is how many an attacker needs. Where
//! none succeeded that is null, with the lower bound that so many failures give.

use crate::answers::Answers;
use crate::estimates::add_share;
use crate::finding::Finding;
use crate::placed::{HostSource, together};
use crate::statistics::cluster::Row;
use crate::statistics::{Interval, Method, binomial, set};
use crate::study::{Study, group, setting};
use record::{Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};

const EXPERIMENT: &str = "isolation";

/// Who an instance belongs to: the number of its account, and of its role there.
type Party = (u32, u32);

/// By round, the instances that ran at one instant: whose each is, and its host.
type Rounds<'a> = BTreeMap<u32, Vec<(Party, &'a str)>>;

/// Adds the findings of the experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    let records = study.of(EXPERIMENT, answers);
    if records.is_empty() {
        return;
    }
    let parties: BTreeSet<Party> = records.iter().filter_map(|record| party(record)).collect();
    let tenants = parties.iter().map(|(tenant, _)| tenant).collect::<BTreeSet<_>>().len();
    let roles = parties.iter().filter(|(tenant, _)| *tenant == 0).count();
    let rounds = rounds(study, &records);
    let rows = rounds.values().map(Vec::len).sum();
    let of_tenants = |metric: &str, unit: &str| {
        Finding::new(EXPERIMENT, metric, unit).with_setting("tenants", tenants as u64)
    };
    let coresident = of_tenants("isolation.cross_tenant_coresident", "fraction")
        .with_method("instances on a host that runs another tenant's at one instant", rows);
    let attempts = Finding::new(EXPERIMENT, "isolation.attempts_to_coreside", "count").with_method(
        "one over the share of rounds in which an instance of one tenant ran on a host of the other's",
        rounds.len(),
    );
    let by_role = Finding::new(EXPERIMENT, "isolation.cross_role_coresident", "fraction")
        .with_setting("roles", roles as u64)
        .with_method(
            "instances of one tenant on a host that runs another role's at one instant",
            rows,
        );
    let seen = of_tenants("isolation.hosts_seen", "count")
        .with_method("distinct hosts over all rounds", rows);
    if study.host == HostSource::None {
        let why = "nothing names the host, so nobody knows who shares one; a platform that reveals its hosts \
                   would tell";
        for finding in [coresident, attempts, by_role, seen] {
            answers.add_unknown(finding, why);
        }
        return;
    }
    if tenants < 2 {
        let why = "there was one account only; a second one of yours would tell (--account)";
        answers.add_unknown(coresident, why);
        answers.add_unknown(attempts, why);
    } else {
        let other = |one: Party, beside: Party| one.0 != beside.0;
        add_share(answers, coresident, &beside(&rounds, |_| true, other));
        add_attempts(answers, attempts, &rounds);
    }
    if roles < 2 {
        let why = "there was one role only; a second one of the same account would tell (--role)";
        answers.add_unknown(by_role, why);
    } else {
        let other = |one: Party, beside: Party| one.0 == beside.0 && one.1 != beside.1;
        add_share(answers, by_role, &beside(&rounds, |party| party.0 == 0, other));
    }
    add_hosts(study, answers, seen, &records);
}

fn party(record: &Record) -> Option<Party> {
    Some((setting(record, "tenant")?, setting(record, "role")?))
}

fn rounds<'a>(study: &Study, records: &[&'a Record]) -> Rounds<'a> {
    let placed = |records: Vec<&'a Record>| {
        let running = together(&records).into_values();
        running.filter_map(|record| Some((party(record)?, study.host.of(record)?))).collect()
    };
    group(records, |record| record.round)
        .into_iter()
        .map(|(round, records)| (round, placed(records)))
        .collect()
}

/// Of the instances of whoever counts, by round, whether another one on the same host is `other`.
fn beside(
    rounds: &Rounds,
    counts: impl Fn(Party) -> bool,
    other: impl Fn(Party, Party) -> bool,
) -> Vec<Row<bool>> {
    let mut rows = Vec::new();
    for (round, placed) in rounds {
        let mut hosts: BTreeMap<&str, BTreeSet<Party>> = BTreeMap::new();
        for (party, host) in placed {
            hosts.entry(host).or_default().insert(*party);
        }
        for (party, host) in placed.iter().filter(|(party, _)| counts(*party)) {
            let shared = hosts[host].iter().any(|beside| other(*party, *beside));
            rows.push(Row::new(u64::from(*round), shared));
        }
    }
    rows
}

fn add_attempts(answers: &mut Answers, finding: Finding, rounds: &Rounds) {
    let succeeded = |placed: &&Vec<(Party, &str)>| {
        let of = |first: bool| -> BTreeSet<&str> {
            let own = placed.iter().filter(|((tenant, _), _)| (*tenant == 0) == first);
            own.map(|(_, host)| *host).collect()
        };
        !of(true).is_disjoint(&of(false))
    };
    // A round in which one of the two did not run is no try.
    let both = |placed: &&Vec<(Party, &str)>| {
        placed.iter().any(|((tenant, _), _)| *tenant == 0)
            && placed.iter().any(|((tenant, _), _)| *tenant != 0)
    };
    let tries: Vec<&Vec<_>> = rounds.values().filter(both).collect();
    let hits = tries.iter().copied().filter(|placed| succeeded(placed)).count();
    if tries.is_empty() {
        answers.add_unknown(finding, "no round ran both tenants; see the failures for the reason");
        return;
    }
    let (low, high) = binomial::clopper_pearson(hits as f64, tries.len() as f64);
    let interval = Interval {
        low: Some(1.0 / high),
        high: (hits > 0).then(|| 1.0 / low),
        method: Method::ExactBinomial,
    };
    let finding = finding.with_interval(interval).with_clusters("round", tries.len());
    if hits == 0 {
        let why = format!(
            "none of {} tries succeeded, so only a lower bound is known: {:.1}; more rounds would raise it",
            tries.len(),
            1.0 / high
        );
        answers.add_unknown(finding, &why);
        return;
    }
    answers.add(finding.with_number(tries.len() as f64 / hits as f64));
}

fn add_hosts(study: &Study, answers: &mut Answers, finding: Finding, records: &[&Record]) {
    let answered = records.iter().filter(|record| record.outcome == Outcome::Ok);
    let hosts: BTreeSet<&str> = answered.filter_map(|record| study.host.of(record)).collect();
    if hosts.is_empty() {
        answers.add_unknown(finding, "no request was answered; see the failures for the reason");
        return;
    }
    let count = hosts.len() as f64;
    let interval = set::interval(count, set::Extent::AtLeast);
    answers.add(finding.with_number(count).with_interval(interval));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Value;

    /// Rounds of ten instances of each of three parties; `host` gives each one's by round, party and number.
    fn records(rounds: u32, host: impl Fn(u32, Party, u32) -> String) -> Vec<Record> {
        let mut records = Vec::new();
        for round in 0..rounds {
            for (tenant, role) in [(0, 0), (1, 0), (0, 1)] {
                records.extend((0..10).map(|number| {
                    Record {
                        experiment: EXPERIMENT.into(),
                        round,
                        setting: [("tenant", tenant), ("role", role)]
                            .map(|(name, value): (&str, u32)| (name.to_owned(), value.to_string()))
                            .into(),
                        function: format!("{round}-{tenant}-{role}").into(),
                        outcome: Outcome::Ok,
                        instance: format!("{round}-{tenant}-{role}-{number}").into(),
                        started_unix_ns: 1_000 * u64::from(round + 1),
                        finished_unix_ns: 1_000 * u64::from(round + 1) + 900,
                        host_ids: [("boot_id".to_owned(), host(round, (tenant, role), number))]
                            .into(),
                        ..Record::default()
                    }
                }));
            }
        }
        records
    }

    fn found(records: &[Record], metric: &str) -> Finding {
        let (findings, _) = crate::analyse(records);
        findings.into_iter().find(|one| one.metric == metric).expect("the metric")
    }

    fn number(records: &[Record], metric: &str) -> f64 {
        match found(records, metric).value {
            Value::Number(number) => number,
            other => panic!("{metric}: {other:?}"),
        }
    }

    // Hosts of one tenant each: nothing is shared between tenants, everything between roles, and no try succeeds.
    #[test]
    fn tenants_apart_are_found() {
        let records =
            records(30, |round, (tenant, _), number| format!("{round}-{tenant}-{}", number / 5));
        assert_eq!(number(&records, "isolation.cross_tenant_coresident"), 0.0);
        assert_eq!(number(&records, "isolation.cross_role_coresident"), 1.0);
        assert_eq!(number(&records, "isolation.hosts_seen"), 120.0);
        let attempts = found(&records, "isolation.attempts_to_coreside");
        assert_eq!(attempts.value, Value::Null);
        // 1 - 0.025^(1/30) is the upper end for 0 of 30.
        let (low, high) = attempts.ci95.expect("a bound");
        assert!((low.expect("a lower bound") - 1.0 / 0.1157).abs() < 0.01, "{low:?}");
        assert_eq!(high, None);
        let (_, problems) = crate::analyse(&records);
        assert!(problems.iter().any(|problem| problem.text.contains("none of 30 tries")));
    }

    // Two of each party's ten on a host that all share, in every third round: shares, and three tries to succeed.
    #[test]
    fn partly_shared_hosts_are_found() {
        let records =
            records(30, |round, (tenant, role), number| match number < 2 && round % 3 == 0 {
                true => format!("{round}-all"),
                false => format!("{round}-{tenant}-{role}"),
            });
        let share = number(&records, "isolation.cross_tenant_coresident");
        assert!((share - 0.2 / 3.0).abs() < 1e-9, "{share}");
        let by_role = number(&records, "isolation.cross_role_coresident");
        assert!((by_role - 0.2 / 3.0).abs() < 1e-9, "{by_role}");
        assert_eq!(number(&records, "isolation.attempts_to_coreside"), 3.0);
        let (low, high) =
            found(&records, "isolation.attempts_to_coreside").ci95.expect("both ends");
        assert!(low.expect("low") > 1.5 && high.expect("high") < 6.0);
    }

    // One account: what two would tell is null with the remedy, and roles are compared all the same.
    #[test]
    fn one_tenant_is_told() {
        let mut records = records(12, |round, (_, role), _| format!("{round}-{role}"));
        records.retain(|record| record.setting["tenant"] == "0");
        assert_eq!(found(&records, "isolation.cross_tenant_coresident").value, Value::Null);
        assert_eq!(number(&records, "isolation.cross_role_coresident"), 0.0);
        let (_, problems) = crate::analyse(&records);
        assert!(problems.iter().any(|problem| problem.text.contains("--account")));
    }

    // Where nothing names hosts, nothing is claimed.
    #[test]
    fn nameless_hosts_give_nulls() {
        let records = records(12, |_, _, _| "same".to_owned());
        let (findings, problems) = crate::analyse(&records);
        let of_it = findings.iter().filter(|one| one.metric.starts_with("isolation."));
        assert!(of_it.clone().count() == 4 && of_it.clone().all(|one| one.value == Value::Null));
        assert!(problems.iter().any(|problem| problem.text.contains("nothing names the host")));
    }
}
