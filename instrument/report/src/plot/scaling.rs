//! Scaling: instances against concurrent requests, and how fast a burst's requests begin to run.

use super::canvas::{self, Area, Axis, Key, Label, Shape};
use super::{Drawing, Drawn, Plot, number, setting};
use crate::metric::{self, setting_number};
use crate::number::{self as form, Unit};
use analysis::Finding;
use maud::html;
use record::{Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Bursts in the plot of beginnings; more lines could not be told apart.
const BURSTS_MOST: usize = 5;

/// One ladder step of the findings.
struct Step {
    concurrency: f64,
    instances: f64,
    low: f64,
    high: f64,
    words: String,
}

struct Instances {
    ladders: BTreeMap<u32, Vec<Step>>,
    counted: Vec<(f64, f64)>,
    most: (f64, f64),
}

/// Instances for N concurrent requests; None where neither findings nor records have any.
pub(super) fn instances(findings: &[Finding], records: &[&Record]) -> Option<Plot> {
    let mut ladders: BTreeMap<u32, Vec<Step>> = BTreeMap::new();
    for finding in findings.iter().filter(|f| f.metric == "scaling.instances") {
        let (Some(instances), Some(concurrency)) =
            (number(finding), setting_number(&finding.setting, "concurrency"))
        else {
            continue;
        };
        let memory = setting_number(&finding.setting, "memory_mib").unwrap_or(0.0) as u32;
        let (low, high) = finding.ci95.unwrap_or((None, None));
        ladders.entry(memory).or_default().push(Step {
            concurrency,
            instances,
            low: low.unwrap_or(instances),
            high: high.unwrap_or(instances),
            words: format!(
                "{}: {} instances",
                metric::setting(&finding.setting),
                form::quantity(instances, &Unit::Count).number
            ),
        });
    }
    for ladder in ladders.values_mut() {
        ladder.sort_by(|a, b| a.concurrency.total_cmp(&b.concurrency));
    }
    let counted = counted(records);
    let steps = ladders.values().flatten().map(|s| (s.concurrency, s.high.max(s.instances)));
    let most = steps
        .chain(counted.iter().copied())
        .fold((0.0, 0.0), |(x, y): (f64, f64), (a, b)| (x.max(a), y.max(b)));
    if most.0 <= 0.0 {
        return None;
    }
    Some(Plot {
        stem: "scaling_instances".into(),
        title: "Instances for concurrent requests".into(),
        description: format!(
            "Instances that ran at one instant against requests sent at once, up to {}.",
            form::count(most.0 as u64)
        ),
        caption: "Each faint dot is one burst to a fresh function; full dots are the medians with their intervals. On the dotted line \
                  every request gets an instance of its own."
            .into(),
        drawing: Box::new(Instances { ladders, counted, most }),
    })
}

/// Concurrency and distinct instances of each burst; bursts that agree are one dot.
fn counted(records: &[&Record]) -> Vec<(f64, f64)> {
    let mut bursts: BTreeMap<(u64, u32, u32), BTreeSet<&str>> = BTreeMap::new();
    for record in bursts_only(records) {
        let Some(concurrency) = setting(record, "concurrency") else { continue };
        let burst =
            bursts.entry((concurrency as u64, record.memory_mib, record.round)).or_default();
        burst.insert(&record.instance);
    }
    let dots: BTreeSet<(u64, usize)> =
        bursts.iter().map(|((concurrency, ..), seen)| (*concurrency, seen.len())).collect();
    dots.into_iter().map(|(concurrency, seen)| (concurrency as f64, seen as f64)).collect()
}

fn bursts_only<'a>(records: &'a [&'a Record]) -> impl Iterator<Item = &'a Record> {
    let answered = |r: &&Record| r.outcome == Outcome::Ok && !r.instance.is_empty();
    records.iter().copied().filter(|r| r.phase == "burst").filter(answered)
}

impl Drawing for Instances {
    fn draw(&self, width: f64) -> Drawn {
        let mut keys: Vec<Key> = self
            .ladders
            .keys()
            .enumerate()
            .filter(|(_, memory)| **memory > 0)
            .map(|(i, memory)| Key {
                class: canvas::series(i),
                shape: Shape::Dot,
                words: super::mib(*memory),
            })
            .collect();
        keys.push(Key {
            class: "guide".into(),
            shape: Shape::Line,
            words: "one per request".into(),
        });
        let (legend, top) = canvas::legend(&keys, width);
        let area =
            Area { left: 48.0, right: width - canvas::RIGHT, top: top + 24.0, bottom: top + 284.0 };
        let x = Axis::linear((0.0, canvas::round_up(self.most.0)), (area.left, area.right));
        let y = Axis::linear((0.0, canvas::round_up(self.most.1)), (area.bottom, area.top));
        let unit = Unit::Count;
        let end = self.most.0.min(self.most.1);
        let body = html! {
            (legend)
            (canvas::y_axis(area, &y, &Label { unit: &unit, name: "instances at one instant" }))
            (canvas::x_axis(area, &x, &Label { unit: &unit, name: "requests at once" }))
            (canvas::line(&[(x.px(0.0), y.px(0.0)), (x.px(end), y.px(end))], "guide"))
            @for (concurrency, instances) in &self.counted {
                (canvas::dot((x.px(*concurrency), y.px(*instances)), "s6 faint", "one burst"))
            }
            @for (i, ladder) in self.ladders.values().enumerate() {
                @let points: Vec<(f64, f64)> = ladder.iter().map(|s| (x.px(s.concurrency), y.px(s.instances))).collect();
                (canvas::line(&points, &format!("line half {}", canvas::series(i))))
                @for (step, point) in ladder.iter().zip(&points) {
                    (canvas::interval(point.0, (y.px(step.low), y.px(step.high)), &format!("whisker {}", canvas::series(i))))
                    (canvas::dot(*point, &canvas::series(i), &step.words))
                }
            }
        };
        Drawn { height: area.bottom + 44.0, body }
    }
}

/// Burst size and its beginnings, ms since the intended moment, ascending.
struct Ramp {
    bursts: Vec<(u64, Vec<f64>)>,
}

/// Requests that had begun to run against time since the burst; None where no burst answered.
pub(super) fn ramp(records: &[&Record]) -> Option<Plot> {
    let mut rounds: BTreeMap<(u64, u32, u32), Vec<f64>> = BTreeMap::new();
    for record in bursts_only(records) {
        let Some(concurrency) = setting(record, "concurrency") else { continue };
        if record.started_unix_ns == 0 {
            continue;
        }
        let meant = i128::from(record.epoch_unix_ns) + i128::from(record.intended_ns);
        let ms = (i128::from(record.started_unix_ns) - meant) as f64 / 1e6;
        let key = (concurrency as u64, record.round, record.memory_mib);
        rounds.entry(key).or_default().push(ms.max(0.0));
    }
    // The first round of each size.
    let mut bursts: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for ((concurrency, ..), mut begun) in rounds {
        begun.sort_by(f64::total_cmp);
        bursts.entry(concurrency).or_insert(begun);
    }
    let sizes: Vec<u64> = bursts.keys().copied().collect();
    let chosen = super::spread(&sizes, BURSTS_MOST);
    bursts.retain(|size, _| chosen.contains(size));
    let largest = *chosen.last()?;
    Some(Plot {
        stem: "scaling_ramp".into(),
        title: "How fast a burst is served".into(),
        description: format!("Requests that had begun to run against time since they were sent, for bursts of up to {largest}."),
        caption: "Each step is one request of a burst reaching the function’s first line; the first round of each size.".into(),
        drawing: Box::new(Ramp { bursts: bursts.into_iter().collect() }),
    })
}

impl Drawing for Ramp {
    fn draw(&self, width: f64) -> Drawn {
        let keys: Vec<Key> = self
            .bursts
            .iter()
            .enumerate()
            .map(|(i, (size, _))| Key {
                class: format!("line {}", canvas::series(i)),
                shape: Shape::Line,
                words: format!("{size} at once"),
            })
            .collect();
        let (legend, top) = canvas::legend(&keys, width);
        let area =
            Area { left: 48.0, right: width - canvas::RIGHT, top: top + 24.0, bottom: top + 244.0 };
        let latest = self
            .bursts
            .iter()
            .filter_map(|(_, begun)| begun.last())
            .fold(0.0, |a: f64, b| a.max(*b));
        let most = self.bursts.iter().map(|(_, begun)| begun.len()).max().unwrap_or(0);
        let x = Axis::linear((0.0, canvas::round_up(latest)), (area.left, area.right));
        let y = Axis::linear((0.0, canvas::round_up(most as f64)), (area.bottom, area.top));
        let (count, time) = (Unit::Count, Unit::Time(1e-3));
        let body = html! {
            (legend)
            (canvas::y_axis(area, &y, &Label { unit: &count, name: "requests that run" }))
            (canvas::x_axis(area, &x, &Label { unit: &time, name: "since the burst was to be sent" }))
            @for (i, (_, begun)) in self.bursts.iter().enumerate() {
                @let start = std::iter::once((x.px(0.0), y.px(0.0)));
                @let steps = begun.iter().enumerate().map(|(n, ms)| (x.px(*ms), y.px(n as f64 + 1.0)));
                @let points: Vec<(f64, f64)> = start.chain(steps).collect();
                (canvas::steps(&points, &format!("line {}", canvas::series(i))))
            }
        };
        Drawn { height: area.bottom + 44.0, body }
    }
}
