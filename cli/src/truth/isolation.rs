//! Truths of the isolation experiment: expected by the profile's policy and the rounds as they were planned.

use super::{number, parameter};
use analysis::{Truth, Value};
use emulator::{Meeting, Party, shared};
use model::{MemoryMib, Span};
use record::Record;
use scheduler::Profile;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const EXPERIMENT: &str = "isolation";

/// What an endless repetition of these rounds would find on this platform.
pub(super) fn expected(profile: &Profile, records: &[Record]) -> Vec<Truth> {
    let own = records.iter().filter(|record| record.experiment == EXPERIMENT);
    let mut rounds: BTreeMap<u32, BTreeMap<u32, Party>> = BTreeMap::new();
    let mut settings = BTreeSet::new();
    for record in own {
        let of = |name: &str| record.setting.get(name)?.parse::<u32>().ok();
        let (Some(tenant), Some(role)) = (of("tenant"), of("role")) else { continue };
        let (Some(place), Some(instances)) = (of("place"), of("concurrency")) else { continue };
        rounds.entry(record.round).or_default().insert(place, Party { tenant, role });
        settings.insert((instances, record.memory_mib));
    }
    // All rounds are alike but for their order.
    let Some((instances, memory_mib)) = settings.last().copied() else { return Vec::new() };
    let orders: Vec<Vec<Party>> =
        rounds.into_values().map(|order| order.into_values().collect()).collect();
    let meeting =
        Meeting { orders, instances, memory: MemoryMib(memory_mib), gap: Span::from_secs(10) };
    let parties: BTreeSet<Party> = meeting.orders.iter().flatten().copied().collect();
    let tenants = parties.iter().map(|party| party.tenant).collect::<BTreeSet<_>>().len();
    let roles = parties.iter().filter(|party| party.tenant == 0).count();
    let found = shared(profile, &meeting);
    // Who never succeeds needs no number of tries, however large.
    let attempts = if found.round > 0.0 { number(1.0 / found.round) } else { Value::Null };
    let mut truths = Vec::new();
    if tenants > 1 {
        let setting = ("tenants", tenants);
        let share = number(found.cross_tenant);
        truths.push(truth("isolation.cross_tenant_coresident", Some(setting), share));
        truths.push(truth("isolation.attempts_to_coreside", None, attempts));
    }
    if roles > 1 {
        let share = number(found.cross_role);
        truths.push(truth("isolation.cross_role_coresident", Some(("roles", roles)), share));
    }
    truths
}

/// How many hosts the platform counted, by names that no two hosts share.
pub(super) fn realised<T: Ord>(
    hosts: &BTreeMap<String, BTreeSet<T>>,
    records: &[Record],
) -> Vec<Truth> {
    let own =
        |record: &&Record| record.experiment == EXPERIMENT && !record.setting.contains_key("void");
    let functions: BTreeSet<&str> =
        records.iter().filter(own).map(|record| record.function.as_str()).collect();
    let seen: BTreeSet<&T> =
        functions.into_iter().filter_map(|function| hosts.get(function)).flatten().collect();
    if seen.is_empty() {
        return Vec::new();
    }
    let value = number(seen.len() as f64);
    let kind = "realised".to_owned();
    vec![Truth { kind, ..truth("isolation.hosts_seen", None, value) }]
}

fn truth(metric: &str, setting: Option<(&str, usize)>, value: Value) -> Truth {
    let setting = setting.map(|(name, value)| (name.to_owned(), json!(value)));
    Truth {
        setting: setting.into_iter().collect(),
        kind: "expected".to_owned(),
        ..parameter(metric, value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{found, holds, numbers, one, platform, study};
    use analysis::{Finding, Value};
    use experiment::Kind;

    const SHARING: &str = "sharing = \"per_tenant\"";

    /// The first account of an emulated platform.
    const ACCOUNT: &str = "100000000001";

    fn measured(sharing: &str) -> Vec<Finding> {
        let target = platform(&[(SHARING, sharing)]);
        found(&target, &study(&target, &[Kind::Identity, Kind::Isolation]))
    }

    // Hosts of one tenant each: nothing is shared between tenants, and no number of tries is claimed.
    #[test]
    fn tenants_apart() {
        let findings = measured(SHARING);
        assert_eq!(numbers(one(&findings, "isolation.cross_tenant_coresident")), (0.0, 0.0));
        let roles = one(&findings, "isolation.cross_role_coresident");
        assert!(holds(roles) && numbers(roles).0 > 0.5, "{roles:?}");
        let attempts = one(&findings, "isolation.attempts_to_coreside");
        assert_eq!((&attempts.value, &attempts.truth), (&Value::Null, &Some(Value::Null)));
        let (seen, counted) = numbers(one(&findings, "isolation.hosts_seen"));
        assert_eq!(seen, counted);
    }

    // Hosts that all share, packed: every try succeeds, and the share is what packing makes of it.
    #[test]
    fn everybody_together() {
        let findings = measured("sharing = \"shared\"");
        let share = one(&findings, "isolation.cross_tenant_coresident");
        assert!(holds(share) && numbers(share).1 > 0.5, "{share:?}");
        assert_eq!(numbers(one(&findings, "isolation.attempts_to_coreside")), (1.0, 1.0));
        let (seen, counted) = numbers(one(&findings, "isolation.hosts_seen"));
        assert_eq!(seen, counted);
    }

    // Some hosts are everybody's, instances go anywhere: shares and tries lie in between, and within their intervals.
    #[test]
    fn partly_together() {
        let target = platform(&[
            (SHARING, "sharing = \"partly_shared\"\nshared_share = 0.1"),
            ("policy = \"bin_pack\"", "policy = \"random\"\nmax_hosts = 12"),
            // Each round draws its hosts anew, so that rounds are independent.
            ("idle_s = 3600.0", "idle_s = 5.0"),
        ]);
        let mut study = study(&target, &[Kind::Identity, Kind::Isolation]);
        study.scope.isolation.rounds = 100;
        study.scope.isolation.instances = 4;
        let findings = found(&target, &study);
        for metric in ["isolation.cross_tenant_coresident", "isolation.attempts_to_coreside"] {
            let finding = one(&findings, metric);
            assert!(holds(finding), "{finding:?}");
        }
        let share = numbers(one(&findings, "isolation.cross_tenant_coresident")).1;
        assert!(0.02 < share && share < 0.5, "{share}");
        let attempts = numbers(one(&findings, "isolation.attempts_to_coreside")).1;
        assert!(1.1 < attempts && attempts < 10.0, "{attempts}");
        let (seen, counted) = numbers(one(&findings, "isolation.hosts_seen"));
        assert_eq!(seen, counted);
    }

    // Hosts of one role each: nothing is shared at all.
    #[test]
    fn roles_apart() {
        let findings = measured("sharing = \"per_role\"");
        for metric in ["isolation.cross_tenant_coresident", "isolation.cross_role_coresident"] {
            assert_eq!(numbers(one(&findings, metric)), (0.0, 0.0), "{metric}");
        }
    }

    // Everybody shares hosts but one account, which asks for hosts of one role each: nobody meets it, nor do its roles meet.
    // Where it asks for its own hosts only, its roles do.
    #[test]
    fn an_account_keeps_apart() {
        let measured = |isolation: &str| {
            let account = format!("[accounts.\"{ACCOUNT}\"]\nisolation = \"{isolation}\"\n\n");
            let target = platform(&[
                (SHARING, "sharing = \"shared\""),
                ("[emulated]\n", &format!("{account}[emulated]\n")),
            ]);
            found(&target, &study(&target, &[Kind::Identity, Kind::Isolation]))
        };
        for (isolation, together) in [("role", 0.0), ("function", 0.0), ("tenant", 0.5)] {
            let findings = measured(isolation);
            let tenants = one(&findings, "isolation.cross_tenant_coresident");
            assert_eq!(numbers(tenants), (0.0, 0.0), "{isolation}");
            let roles = one(&findings, "isolation.cross_role_coresident");
            assert!(holds(roles) && numbers(roles).0 >= together, "{isolation}: {roles:?}");
            assert!(together > 0.0 || numbers(roles) == (0.0, 0.0), "{isolation}: {roles:?}");
        }
    }
}
