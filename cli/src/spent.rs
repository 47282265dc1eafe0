//! What a study was to take in time and money, and did.
//!
//! Deliberately no analysis: the plan and the clock of the program that measured are not in the records.

use crate::directory::Study;
use crate::price;
use analysis::Finding;
use record::Record;

/// What the invocations of a study took, summed as their records come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    invocations: usize,
    /// When the last answer arrived, on the vantage point's clock.
    last_ns: u64,
    /// What AWS charges for them.
    aws_usd: f64,
}

impl Spent {
    /// Adds an invocation.
    pub fn take(&mut self, record: &Record) {
        self.invocations += 1;
        self.last_ns = self.last_ns.max(record.received_ns);
        self.aws_usd += charged_usd(record);
    }
}

/// Findings of duration, where there was a plan, and of cost, where anybody charges or nobody does.
pub fn findings(study: &Study, spent: &Spent) -> Vec<Finding> {
    if study.planned_ms == 0 {
        return Vec::new();
    }
    let (kind, _) = study.target.split_once(':').unwrap_or((&study.target, ""));
    let took_s = match kind {
        // In virtual time, what it took is what its clock says.
        "emulated" => spent.last_ns as f64 / 1e9,
        _ => study.measured_ms as f64 / 1e3,
    };
    let finding = |metric: &str, unit: &str, which: &str, method: &str, number: f64| {
        Finding::new("study", metric, unit)
            .with_setting("kind", which)
            .with_method(method, spent.invocations)
            .with_number(number)
    };
    let planned = "sum of what the plan expects of each unit of work";
    let taken = "from first to last unit of work, without pauses between sittings";
    let mut findings = vec![
        finding("study.duration_s", "s", "planned", planned, study.planned_ms as f64 / 1e3),
        finding("study.duration_s", "s", "spent", taken, took_s),
    ];
    let free = "nobody charges for this target";
    match kind {
        "local" | "emulated" => {
            for which in ["planned", "spent"] {
                findings.push(finding("study.cost_usd", "usd", which, free, 0.0));
            }
        }
        "aws" => {
            // Studies of earlier programs did not say what they expected.
            if study.planned_requests > 0 {
                let method =
                    "what the plan expects every request to run, by AWS's public price list";
                let usd = price::aws_usd(study.planned_requests, study.planned_gib_s);
                findings.push(finding("study.cost_usd", "usd", "planned", method, usd));
            }
            let method = "run time and memory of every request by AWS's public price list; instances that start are \
                          not in it";
            findings.push(finding("study.cost_usd", "usd", "spent", method, spent.aws_usd));
        }
        _ => {}
    }
    findings
}

/// What AWS charges for a request.
pub(crate) fn charged_usd(record: &Record) -> f64 {
    if record.request_id.is_empty() || record.http_status != 200 {
        return 0.0;
    }
    let ran_ms = match record.billed_ms > 0.0 {
        true => record.billed_ms,
        // Billed by the millisecond, rounded up (AWS Lambda pricing page).
        false => (record.function_ns as f64 / 1e6).ceil(),
    };
    price::aws_usd(1, ran_ms / 1e3 * f64::from(record.memory_mib) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use analysis::Value;

    fn spent(records: &[Record]) -> Spent {
        let mut spent = Spent::default();
        records.iter().for_each(|record| spent.take(record));
        spent
    }

    fn numbers(target: &str, records: &[Record]) -> Vec<(String, f64)> {
        let mut study = Study::begin(target, "study", 1);
        (study.planned_ms, study.measured_ms) = (90_000, 100_000);
        let number = |finding: Finding| match finding.value {
            Value::Number(number) => (
                format!("{} {}", finding.metric, finding.setting["kind"].as_str().expect("text")),
                number,
            ),
            other => panic!("{other:?}"),
        };
        findings(&study, &spent(records)).into_iter().map(number).collect()
    }

    // A million requests of a second at 1 GiB cost what the price list says: 16.67 USD and 0.20 USD.
    #[test]
    fn prices_are_the_lists() {
        let record = Record {
            request_id: "r".into(),
            http_status: 200,
            memory_mib: 1024,
            function_ns: 999_000_001,
            ..Record::default()
        };
        let cost = spent(&vec![record; 1_000]).aws_usd * 1_000.0;
        assert!((cost - 16.8667).abs() < 1e-3, "{cost}");
        assert_eq!(charged_usd(&Record::default()), 0.0);
    }

    // Virtual time counts by its own clock, and what is free costs nothing.
    #[test]
    fn durations_are_the_targets() {
        let record = Record { received_ns: 3_600_000_000_000, ..Record::default() };
        let named = |name: &str, number: f64| (name.to_owned(), number);
        assert_eq!(
            numbers("emulated:aws-2018", &[record]),
            [
                named("study.duration_s planned", 90.0),
                named("study.duration_s spent", 3_600.0),
                named("study.cost_usd planned", 0.0),
                named("study.cost_usd spent", 0.0),
            ]
        );
        assert_eq!(numbers("local", &[])[1].1, 100.0);
        assert_eq!(numbers("aws:eu-west-1", &[]).len(), 3);
    }

    // What AWS is expected to charge stands beside what it does: 100 GiB-seconds are 0.17 cents, 5,000
    // requests 0.1.
    #[test]
    fn aws_has_an_expected_cost() {
        let mut study = Study::begin("aws:eu-west-1", "study", 1);
        (study.planned_ms, study.planned_requests, study.planned_gib_s) = (90_000, 5_000, 100.0);
        let found = findings(&study, &Spent::default());
        let planned = found.iter().find(|it| {
            it.metric == "study.cost_usd" && it.setting["kind"].as_str() == Some("planned")
        });
        let Some(Value::Number(usd)) = planned.map(|it| it.value.clone()) else {
            panic!("{found:?}")
        };
        assert!((usd - 0.002_666_67).abs() < 1e-8, "{usd}");
    }
}
