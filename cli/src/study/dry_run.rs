//! What a study would do, printed before it does anything: invocations, time, and on AWS money.
//!
//! Deliberately knows nothing of how a plan is made.

use crate::price;
use crate::progress::short;
use experiment::{MemoryTime, Planning, Unit};
use model::Span;
use std::time::Duration;
use target::Uri;

/// What units of work add up to.
struct Sum {
    units: usize,
    functions: u64,
    invocations: u64,
    used: MemoryTime,
    expected: Span,
}

impl Sum {
    fn of<'a>(units: impl Iterator<Item = &'a Unit>) -> Self {
        let mut sum = Self {
            units: 0,
            functions: 0,
            invocations: 0,
            used: MemoryTime::default(),
            expected: Span::ZERO,
        };
        for unit in units {
            sum.units += 1;
            sum.functions += unit.functions;
            sum.invocations += unit.invocations;
            sum.used = sum.used + unit.used;
            sum.expected += unit.expected;
        }
        sum
    }

    fn row(&self, name: &str, charged: bool) -> String {
        let row = format!(
            "{name:<12} {:>6} {:>10} {:>12} {:>14}",
            self.units,
            self.functions,
            self.invocations,
            short(Duration::from(self.expected))
        );
        match charged {
            true => {
                let usd = price::aws_usd(self.invocations, self.used.gib_s());
                format!("{row} {usd:>9.2} USD\n")
            }
            false => row + "\n",
        }
    }
}

/// The plan as a table, with a cost where somebody is known to charge.
pub(super) fn table(target: &str, plan: &[Planning]) -> String {
    let charged = matches!(target.parse(), Ok(Uri::Aws(_)));
    let mut table = format!(
        "{:<12} {:>6} {:>10} {:>12} {:>14}{}\n",
        "experiment",
        "units",
        "functions",
        "invocations",
        "expected time",
        if charged { " expected cost" } else { "" }
    );
    for planning in plan {
        let name = planning.kind.about().name;
        table += &Sum::of(planning.units.iter()).row(name, charged);
    }
    table += &Sum::of(plan.iter().flat_map(|planning| &planning.units)).row("in all", charged);
    if charged {
        table += &format!(
            "The cost is by the public price list ({}), without free allowances. Requests that are held count from their \
             sending.\nNot in it: initialisation of cold starts, data transfer, logs, and rounds that have to be done \
             again.\n",
            price::SOURCE
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use experiment::Kind;

    fn plan() -> Vec<Planning> {
        let unit = |name: &str| Unit {
            name: name.to_owned(),
            functions: 1,
            invocations: 1_000_000,
            used: MemoryTime::of(1_000_000, 512, Span::from_secs(1)),
            expected: Span::from_secs(60),
        };
        vec![Planning { kind: Kind::ALL[0], units: vec![unit("a"), unit("b")] }]
    }

    // On AWS each row ends with what the price list says: twice 0.20 for the requests and 8.33 for 500,000 GiB-seconds.
    #[test]
    fn aws_has_a_cost() {
        let table = table("aws:eu-west-1", &plan());
        let rows: Vec<&str> = table.lines().collect();
        assert!(rows[0].ends_with("expected time expected cost"), "{table}");
        assert!(rows[1].ends_with("2 min 0 s     17.07 USD"), "{table}");
        assert!(rows[2].starts_with("in all") && rows[2].ends_with("17.07 USD"), "{table}");
        for word in ["Not in it", "2026-11", "cold starts", "data transfer"] {
            assert!(table.contains(word), "{table}");
        }
    }

    // Where nobody charges, or nobody knows who, no cost is shown.
    #[test]
    fn others_have_none() {
        for target in ["local", "lambda:http://127.0.0.1:9001", "emulated:aws-2018"] {
            let table = table(target, &plan());
            assert!(!table.contains("cost") && !table.contains("USD"), "{table}");
            assert_eq!(table.lines().count(), 3);
        }
    }
}
