//! What was billed against what the function used.

use super::canvas::{self, Area, Axis, Key, Label, Shape};
use super::{DOTS_MOST, Drawing, Drawn, Plot, spread};
use crate::number::Unit;
use maud::html;
use record::{Outcome, Record};

/// Used and billed time of each invocation, ms.
struct Bills {
    cold: Vec<(f64, f64)>,
    warm: Vec<(f64, f64)>,
}

/// None where nothing was billed.
pub(super) fn plot(records: &[&Record]) -> Option<Plot> {
    let of = |cold: bool| -> Vec<(f64, f64)> {
        let bills = records.iter().filter(|r| {
            r.outcome == Outcome::Ok && r.billed_ms > 0.0 && (r.instance_invocations == 1) == cold
        });
        let bills: Vec<_> = bills
            .map(|r| (r.function_ns as f64 / 1e6, r.billed_ms))
            .filter(|b| b.0 > 0.0)
            .collect();
        spread(&bills, DOTS_MOST / 2)
    };
    let bills = Bills { cold: of(true), warm: of(false) };
    let count = bills.cold.len() + bills.warm.len();
    if count == 0 {
        return None;
    }
    Some(Plot {
        stem: "accounting_bills".into(),
        title: "Billed against used".into(),
        description: format!("Billed time of {count} invocations against the time that the function used."),
        caption: "Each dot is one invocation. On the dotted line the bill is what the function saw itself of its run; above it is what is paid \
                  and not used."
            .into(),
        drawing: Box::new(bills),
    })
}

impl Drawing for Bills {
    fn draw(&self, width: f64) -> Drawn {
        let key = |class: &str, shape, words: &str| Key {
            class: class.into(),
            shape,
            words: words.into(),
        };
        let keys = [
            key("s1", Shape::Dot, "cold start"),
            key("s2", Shape::Dot, "warm"),
            key("guide", Shape::Line, "billed as used"),
        ];
        let (legend, top) = canvas::legend(&keys, width);
        let area =
            Area { left: 62.0, right: width - canvas::RIGHT, top: top + 26.0, bottom: top + 266.0 };
        let all = || self.cold.iter().chain(&self.warm).flat_map(|(used, billed)| [*used, *billed]);
        let ends = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
        let x = Axis::log(ends, (area.left, area.right));
        let y = Axis::log(ends, (area.bottom, area.top));
        let time = Unit::Time(1e-3);
        let body = html! {
            (legend)
            (canvas::y_axis(area, &y, &Label { unit: &time, name: "billed" }))
            (canvas::x_axis(area, &x, &Label { unit: &time, name: "used, by the function's own clock" }))
            (canvas::line(&[(x.px(ends.0), y.px(ends.0)), (x.px(ends.1), y.px(ends.1))], "guide"))
            @for (class, bills) in [("s1 faint", &self.cold), ("s2 faint", &self.warm)] {
                @for (used, billed) in bills { (canvas::dot((x.px(*used), y.px(*billed)), class, "one invocation")) }
            }
        };
        Drawn { height: area.bottom + 44.0, body }
    }
}
