//! Decay of idle pools: how many instances of a pool are left after some silence, and the halving found in it.

use super::canvas::{self, Area, Axis, Key, Label, Shape};
use super::{DOTS_MOST, Drawing, Drawn, Plot, number, spread};
use crate::number::{self as form, Unit};
use analysis::Finding;
use maud::html;
use record::{Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Halvings drawn at most; after that nothing of a pool is left.
const HALVINGS_MOST: usize = 12;

/// One pool, probed once.
#[derive(Clone, Copy)]
struct Pool {
    idle_s: f64,
    launched: usize,
    left: usize,
}

struct Decay {
    pools: Vec<Pool>,
    halving_s: Option<f64>,
    gone_s: Option<f64>,
}

/// None where no pool was launched and probed.
pub(super) fn plot(findings: &[Finding], records: &[&Record]) -> Option<Plot> {
    let pools = pools(records);
    let largest = pools.iter().map(|p| p.launched).max()?;
    let find = |metric: &str| {
        findings.iter().find(|f| f.metric == metric).and_then(number).filter(|x| *x > 0.0)
    };
    let halving_s = find("idle.halving_interval_s");
    let found = match halving_s {
        Some(s) => format!(
            " The dotted staircase halves the pool every {}, as found.",
            form::quantity(s, &Unit::Time(1.0)).text()
        ),
        None => String::new(),
    };
    Some(Plot {
        stem: "idle_pool".into(),
        title: "How an idle pool melts".into(),
        description: format!(
            "{} pools of up to {largest} instances: the share left against idle time.",
            pools.len()
        ),
        caption: format!(
            "Each dot is one pool of instances, launched together, left alone, and probed once.{found}"
        ),
        drawing: Box::new(Decay {
            pools: spread(&pools, DOTS_MOST),
            halving_s,
            gone_s: find("idle.max_idle_s"),
        }),
    })
}

fn pools(records: &[&Record]) -> Vec<Pool> {
    #[derive(Default)]
    struct Seen<'a> {
        launched: BTreeSet<&'a str>,
        probed: BTreeSet<&'a str>,
        received_ns: u64,
        sent_ns: Option<u64>,
    }
    let mut by_function: BTreeMap<&str, Seen> = BTreeMap::new();
    for record in records.iter().filter(|r| r.outcome == Outcome::Ok && !r.instance.is_empty()) {
        match record.phase.as_str() {
            "launch" => {
                let pool = by_function.entry(&record.function).or_default();
                pool.launched.insert(&record.instance);
                pool.received_ns = pool.received_ns.max(record.received_ns);
            }
            "probe" => {
                let pool = by_function.entry(&record.function).or_default();
                pool.probed.insert(&record.instance);
                pool.sent_ns =
                    Some(pool.sent_ns.map_or(record.sent_ns, |ns| ns.min(record.sent_ns)));
            }
            _ => {}
        }
    }
    let whole = by_function.into_values().filter(|pool| !pool.launched.is_empty());
    whole
        .filter_map(|pool| {
            Some(Pool {
                idle_s: pool.sent_ns?.saturating_sub(pool.received_ns) as f64 / 1e9,
                launched: pool.launched.len(),
                left: pool.launched.intersection(&pool.probed).count(),
            })
        })
        .collect()
}

impl Drawing for Decay {
    fn draw(&self, width: f64) -> Drawn {
        let mut keys =
            vec![Key { class: "s1".into(), shape: Shape::Dot, words: "one pool".into() }];
        if let Some(s) = self.halving_s {
            let words = format!("halving every {}", form::quantity(s, &Unit::Time(1.0)).text());
            keys.push(Key { class: "guide".into(), shape: Shape::Line, words });
        }
        let (legend, top) = canvas::legend(&keys, width);
        let area =
            Area { left: 48.0, right: width - canvas::RIGHT, top: top + 26.0, bottom: top + 246.0 };
        let longest = self.pools.iter().map(|p| p.idle_s).fold(0.0, f64::max);
        let end = canvas::round_up(longest);
        let x = Axis::linear((0.0, end), (area.left, area.right));
        let y = Axis::linear((0.0, 1.0), (area.bottom, area.top));
        let time = Unit::Time(1.0);
        let stairs: Vec<(f64, f64)> =
            self.stairs(end).into_iter().map(|(t, share)| (x.px(t), y.px(share))).collect();
        let body = html! {
            (legend)
            (canvas::y_axis(area, &y, &Label { unit: &Unit::Percent, name: "of the pool still there" }))
            (canvas::x_axis(area, &x, &Label { unit: &time, name: "idle time" }))
            (canvas::steps(&stairs, "guide"))
            @for pool in &self.pools {
                @let share = pool.left as f64 / pool.launched as f64;
                @let words = format!("{} of {} left after {}", pool.left, pool.launched, form::quantity(pool.idle_s, &time).text());
                (canvas::dot((x.px(pool.idle_s), y.px(share)), "s1 half", &words))
            }
        };
        Drawn { height: area.bottom + 44.0, body }
    }
}

impl Decay {
    /// The halving that was found, from a whole pool to the last survivors' end.
    fn stairs(&self, end: f64) -> Vec<(f64, f64)> {
        let Some(interval) = self.halving_s else { return Vec::new() };
        let mut points = vec![(0.0, 1.0)];
        let mut share = 1.0;
        for step in 1..=HALVINGS_MOST {
            let at = step as f64 * interval;
            if at >= self.gone_s.unwrap_or(end).min(end) {
                break;
            }
            share /= 2.0;
            points.push((at, share));
        }
        match self.gone_s {
            Some(gone) if gone <= end => points.extend([(gone, 0.0), (end, 0.0)]),
            _ => points.push((end, share)),
        }
        points
    }
}
