//! Outdated instances against the wait after an update.

use super::canvas::{self, Area, Axis, Key, Label, Shape};
use super::{Drawing, Drawn, Plot, number, setting};
use crate::metric::setting_number;
use crate::number::{self as form, Unit};
use analysis::Finding;
use maud::html;
use record::{Outcome, Record};
use std::collections::BTreeMap;

/// The share after one wait, with its interval.
struct Point {
    wait_s: f64,
    share: f64,
    low: f64,
    high: f64,
}

struct Waits {
    points: Vec<Point>,
    /// Wait and share of each update.
    updates: Vec<(f64, f64)>,
}

/// None where no update was found.
pub(super) fn plot(findings: &[Finding], records: &[&Record]) -> Option<Plot> {
    let of = findings.iter().filter(|f| f.metric == "consistency.outdated_after_wait_fraction");
    let mut points: Vec<Point> = of
        .filter_map(|finding| {
            let share = number(finding)?;
            let (low, high) = finding.ci95.unwrap_or((None, None));
            Some(Point {
                wait_s: setting_number(&finding.setting, "wait_s")?,
                share,
                low: low.unwrap_or(share),
                high: high.unwrap_or(share),
            })
        })
        .collect();
    points.sort_by(|a, b| a.wait_s.total_cmp(&b.wait_s));
    let longest = points.last()?.wait_s;
    Some(Plot {
        stem: "consistency_waits".into(),
        title: "After an update".into(),
        description: format!(
            "Share of instances that still ran what an update had replaced, after waits of up to {}.",
            form::quantity(longest, &Unit::Time(1.0)).text()
        ),
        caption: "Each faint dot is one update: the share of the instances first asked after that wait that still ran what was there before. \
                  Full dots are over all updates, with their intervals: none seen does not mean that none can be."
            .into(),
        drawing: Box::new(Waits { points, updates: updates(records) }),
    })
}

/// Updates that agree are one dot.
fn updates(records: &[&Record]) -> Vec<(f64, f64)> {
    let mut updates: BTreeMap<&str, (f64, u32, u32)> = BTreeMap::new();
    for record in records.iter().filter(|r| r.outcome == Outcome::Ok && r.phase == "after") {
        let Some(wait_s) = setting(record, "wait_s") else { continue };
        let (_, outdated, all) = updates.entry(&record.function).or_insert((wait_s, 0, 0));
        *outdated += u32::from(record.mark != record.mark_acknowledged);
        *all += 1;
    }
    let mut dots: Vec<(f64, f64)> = updates
        .into_values()
        .map(|(wait_s, outdated, all)| (wait_s, f64::from(outdated) / f64::from(all.max(1))))
        .collect();
    dots.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    dots.dedup();
    dots
}

impl Drawing for Waits {
    fn draw(&self, width: f64) -> Drawn {
        let keys = [
            Key { class: "s1".into(), shape: Shape::Dot, words: "all updates".into() },
            Key { class: "s6 faint".into(), shape: Shape::Dot, words: "one update".into() },
        ];
        let (legend, top) = canvas::legend(&keys, width);
        let area =
            Area { left: 56.0, right: width - canvas::RIGHT, top: top + 26.0, bottom: top + 226.0 };
        let x = self.points.iter().map(|p| p.wait_s).fold(0.0, f64::max);
        let shares = self.points.iter().map(|p| p.high).chain(self.updates.iter().map(|u| u.1));
        let y = canvas::round_up(shares.fold(0.0, f64::max)).min(1.0);
        let x = Axis::linear((0.0, canvas::round_up(x)), (area.left + 10.0, area.right));
        let y = Axis::linear((0.0, y), (area.bottom, area.top));
        let body = html! {
            (legend)
            (canvas::y_axis(area, &y, &Label { unit: &Unit::Percent, name: "outdated instances" }))
            (canvas::x_axis(area, &x, &Label { unit: &Unit::Time(1.0), name: "wait after the acknowledgement" }))
            @for (wait_s, share) in &self.updates {
                (canvas::dot((x.px(*wait_s), y.px(*share)), "s6 faint", "one update"))
            }
            @for point in &self.points {
                @let at = x.px(point.wait_s);
                (canvas::interval(at, (y.px(point.low), y.px(point.high)), "whisker s1"))
                (canvas::dot((at, y.px(point.share)), "s1", &form::quantity(point.share, &Unit::Percent).text()))
            }
        };
        Drawn { height: area.bottom + 44.0, body }
    }
}
