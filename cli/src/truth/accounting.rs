//! What is true of bills and of work after the response: the rounding rule, and how long the platform lets work go on.

use super::{number, parameter};
use analysis::Truth;
use emulator::Platform;
use model::{MemoryMib, Span};
use record::{Outcome, Record};
use scheduler::Profile;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// Work shorter than this has no share of a CPU that could be told.
const SHARE_MIN: Span = Span::from_secs(1);

/// What the profile's rounding makes of the durations that the platform reports, beside the function's own; and when
/// instances rest, which is when their work ends.
pub(super) fn of_profile(profile: &Profile, records: &[Record]) -> Vec<Truth> {
    let mut truths = bills(profile, records);
    if let Some(rest) = profile.rest_after {
        truths.push(parameter("accounting.background_s", number(rest.as_secs_f64())));
    }
    truths
}

/// How long an emulated platform lets work go on, and with how much of a CPU.
pub(super) fn of_platform(platform: &Platform, records: &[Record]) -> Vec<Truth> {
    let goes_on = platform.background_limit();
    let mut truths = bills(&platform.scheduler, records);
    truths.push(parameter("accounting.background_s", number(goes_on.as_secs_f64())));
    let left = records.iter().find(|it| it.experiment == "accounting" && it.phase == "leave");
    let memory = left.map(|record| MemoryMib(record.memory_mib));
    if let (Some(memory), true) = (memory, goes_on >= SHARE_MIN) {
        let ceilings = platform.model.host.iter().map(|kind| platform.cpu_ceiling(memory, kind));
        let ceiling = ceilings.fold(0.0, f64::max).min(1.0);
        let cpus = platform.model.background.cpus.unwrap_or(ceiling);
        truths.push(parameter("accounting.background_cpu_share", number(cpus)));
    }
    truths
}

/// For each size, duration and kind of start, the median of what is billed by the rule over what was used.
fn bills(profile: &Profile, records: &[Record]) -> Vec<Truth> {
    let mut settings: BTreeMap<(u32, u64, bool), Vec<f64>> = BTreeMap::new();
    for record in records {
        let billed = record.experiment == "accounting"
            && record.phase == "billed"
            && record.outcome == Outcome::Ok
            && !record.setting.contains_key("void");
        let duration_ms = record.setting.get("duration_ms").and_then(|it| it.parse::<f64>().ok());
        let (true, Some(duration_ms)) = (billed && record.function_ns > 0, duration_ms) else {
            continue;
        };
        let span = |ms: f64| Span::from_nanos((ms * 1e6).round() as u64);
        let cold = record.instance_invocations == 1;
        let init = (record.init_duration_ms > 0.0).then(|| span(record.init_duration_ms));
        let bill = profile.billing.billed(span(record.duration_ms), init);
        let over = bill.as_nanos() as f64 / record.function_ns as f64;
        let key = (record.memory_mib, (duration_ms * 1e3).round() as u64, cold);
        settings.entry(key).or_default().push(over);
    }
    let truth = |((memory_mib, duration_us, init), mut over): ((u32, u64, bool), Vec<f64>)| {
        over.sort_by(f64::total_cmp);
        let setting: BTreeMap<String, Json> = BTreeMap::from([
            ("memory_mib".to_owned(), json!(memory_mib)),
            ("duration_ms".to_owned(), json!(duration_us as f64 / 1e3)),
            ("init".to_owned(), json!(init)),
        ]);
        let middle = f64::midpoint(over[(over.len() - 1) / 2], over[over.len() / 2]);
        let kind = "expected".to_owned();
        Truth { setting, kind, ..parameter("accounting.billed_over_used", number(middle)) }
    };
    settings.into_iter().map(truth).collect()
}

#[cfg(test)]
mod tests {
    use super::super::measured::{covers, findings, number, of, platform, truth};
    use analysis::Value;
    use experiment::Kind;

    // The bill follows the rounding rule at every size and duration, with init billed or free, and coarse or fine.
    #[test]
    fn bills_are_found() {
        for (grain, init, seed) in [("100.0", "free", 1), ("1.0", "billed", 2)] {
            let changes = [
                ("grain_ms = 100.0", &format!("grain_ms = {grain}")[..]),
                ("init = \"free\"", &format!("init = \"{init}\"")[..]),
            ];
            let found = findings(platform("aws-2018", &changes), Kind::Accounting, seed, |scope| {
                scope.accounting.rounds = 12;
            });
            let bills = of(&found, "accounting.billed_over_used");
            assert_eq!(bills.len(), 18, "three sizes and durations, cold and warm");
            for bill in &bills {
                let (found, truth) = (number(&bill.value), truth(bill));
                assert!((found / truth - 1.0).abs() < 1e-6, "{bill:?}");
            }
            let cold = bills
                .iter()
                .find(|it| it.setting["init"] == true && it.setting["duration_ms"] == 10.0);
            let over = cold.map(|it| number(&it.value)).expect("a cold start of 10 ms");
            match init {
                "free" => assert!((over - 10.0).abs() < 0.1, "100 ms for 10: {over}"),
                _ => assert!(over > 10.0, "its init is paid for: {over}"),
            }
        }
    }

    // How long work goes on is found to 10 ms, none of it to an hour of it, where a silence is longer; its share of a CPU
    // where it goes on for a second or more.
    #[test]
    fn background_work_is_found() {
        for (for_s, seed) in [("0.0", 1), ("2.5", 2), ("100.0", 3)] {
            let changes = [("for_s = 0.0", &format!("for_s = {for_s}")[..])];
            let found = findings(platform("aws-2018", &changes), Kind::Accounting, seed, |scope| {
                scope.accounting.rounds = 1;
            });
            let length = of(&found, "accounting.background_s")[0];
            assert!((number(&length.value) - truth(length)).abs() <= 0.010, "{length:?}");
            assert!(covers(length, truth(length)), "{length:?}");
            let share = of(&found, "accounting.background_cpu_share")[0];
            match for_s {
                "0.0" => assert_eq!((&share.value, &share.truth), (&Value::Null, &None)),
                _ => assert!((number(&share.value) - truth(share)).abs() <= 0.02, "{share:?}"),
            }
        }
        let changes = [("for_s = 0.0", "for_s = 36000.0")];
        let found = findings(platform("aws-2018", &changes), Kind::Accounting, 4, |scope| {
            scope.accounting.rounds = 1;
        });
        let length = of(&found, "accounting.background_s")[0];
        assert_eq!(length.value, Value::Null);
        let (low, high) = length.ci95.expect("a bound");
        assert!(low.is_some_and(|low| low > 1_000.0) && high.is_none());
    }
}
