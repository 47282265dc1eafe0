//! CPU share against memory size, and beside busy neighbours.

use super::canvas::{self, Area, Axis, Key, Label, Shape, px};
use super::{DOTS_MOST, Drawing, Drawn, Plot, number, spread, truth};
use crate::metric::{self, setting_number};
use crate::number::{self as form, Unit};
use analysis::Finding;
use maud::{Markup, html};
use record::{Outcome, Record};
use std::collections::BTreeMap;

/// One setting's share with interval and truth, CPUs.
struct Point {
    x: f64,
    share: f64,
    low: f64,
    high: f64,
    truth: Option<f64>,
    words: String,
}

struct Shares {
    series: Vec<(String, Vec<Point>)>,
    single: Vec<(f64, f64)>,
    axis: Label<'static>,
}

/// Unit of memory axes.
static MIB: Unit = Unit::Mib;

/// Unit of colevel axes.
static WHOLE: Unit = Unit::Count;

/// CPU share of an instance alone, by memory; None where nothing was found.
pub(super) fn by_memory(findings: &[Finding], records: &[&Record]) -> Option<Plot> {
    let points = points(findings, "cpu.share", "memory_mib").remove("")?;
    Some(Plot {
        stem: "cpu_memory".into(),
        title: "More memory, more CPU".into(),
        description: format!("CPU share of one instance alone against its memory size, {} sizes.", points.len()),
        caption: "Each faint dot is one instance, busy for one window; full dots are the estimates with their intervals. The dashed \
                  line, where there is one, is what the target declares."
            .into(),
        drawing: Box::new(Shares {
            series: vec![("found".into(), points)],
            single: spread(&single(records), DOTS_MOST),
            axis: Label { unit: &MIB, name: "memory size" },
        }),
    })
}

/// CPU share beside busy neighbours, by colevel; None where nothing was found.
pub(super) fn by_colevel(findings: &[Finding]) -> Option<Plot> {
    let series: Vec<(String, Vec<Point>)> =
        points(findings, "cpu.share_shared", "colevel").into_iter().collect();
    let most = series
        .iter()
        .flat_map(|(_, points)| points.iter().map(|p| p.x))
        .fold(None, |a: Option<f64>, b| Some(a.map_or(b, |a| a.max(b))))?;
    Some(Plot {
        stem: "cpu_colevel".into(),
        title: "Beside busy neighbours".into(),
        description: format!("CPU share of each instance when up to {most:.0} of them are busy on one host."),
        caption: "What each instance still gets when so many of them compute on one host at the same time. The dashed line, where there \
                  is one, is what the target declares."
            .into(),
        drawing: Box::new(Shares { series, single: Vec::new(), axis: Label { unit: &WHOLE, name: "busy instances on one host" } }),
    })
}

/// Points by the rest of their setting in words, ascending.
fn points(findings: &[Finding], metric: &str, key: &str) -> BTreeMap<String, Vec<Point>> {
    let mut series: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    for finding in findings.iter().filter(|f| f.metric == metric) {
        let (Some(share), Some(x)) = (number(finding), setting_number(&finding.setting, key))
        else {
            continue;
        };
        let mut rest = finding.setting.clone();
        rest.remove(key);
        let (low, high) = finding.ci95.unwrap_or((None, None));
        series.entry(metric::setting(&rest)).or_default().push(Point {
            x,
            share,
            low: low.unwrap_or(share),
            high: high.unwrap_or(share),
            truth: truth(finding),
            words: format!(
                "{}: {}",
                metric::setting(&finding.setting),
                form::quantity(share, &Unit::Cpus).text()
            ),
        });
    }
    series.values_mut().for_each(|points| points.sort_by(|a, b| a.x.total_cmp(&b.x)));
    series
}

/// Memory and share of each instance that was measured alone.
fn single(records: &[&Record]) -> Vec<(f64, f64)> {
    let alone = records.iter().filter(|r| r.outcome == Outcome::Ok && r.phase == "alone");
    alone
        .filter_map(|record| {
            let detail: serde_json::Value = serde_json::from_str(&record.detail).ok()?;
            let cpu = detail.get("cpu")?;
            let (used, window) = (cpu.get("cpu_ns")?.as_f64()?, cpu.get("window_ns")?.as_f64()?);
            (used > 0.0 && window > 0.0).then(|| (f64::from(record.memory_mib), used / window))
        })
        .collect()
}

impl Drawing for Shares {
    fn draw(&self, width: f64) -> Drawn {
        let all = || self.series.iter().flat_map(|(_, points)| points);
        let (legend, top) = canvas::legend(&self.keys(), width);
        let area =
            Area { left: 62.0, right: width - canvas::RIGHT, top: top + 26.0, bottom: top + 266.0 };
        let most =
            |numbers: &mut dyn Iterator<Item = f64>| canvas::round_up(numbers.fold(0.0, f64::max));
        let x = most(&mut all().map(|p| p.x).chain(self.single.iter().map(|s| s.0)));
        let y = most(
            &mut all()
                .map(|p| p.high.max(p.truth.unwrap_or(0.0)))
                .chain(self.single.iter().map(|s| s.1)),
        );
        let x = Axis::linear((0.0, x), (area.left, area.right));
        let y = Axis::linear((0.0, y), (area.bottom, area.top));
        let body = html! {
            (legend)
            (canvas::y_axis(area, &y, &Label { unit: &Unit::Cpus, name: "CPU time per second" }))
            (canvas::x_axis(area, &x, &self.axis))
            @for (memory, share) in &self.single {
                circle class="s6 faint" cx=(px(x.px(*memory))) cy=(px(y.px(*share))) r="3" {}
            }
            @for (i, (_, points)) in self.series.iter().enumerate() { (one(points, (&x, &y), &canvas::series(i))) }
        };
        Drawn { height: area.bottom + 44.0, body }
    }
}

impl Shares {
    fn keys(&self) -> Vec<Key> {
        let names = self.series.iter().enumerate();
        let mut keys: Vec<Key> = names
            .map(|(i, (name, _))| Key {
                class: canvas::series(i),
                shape: Shape::Dot,
                words: if name.is_empty() { "found".into() } else { name.clone() },
            })
            .collect();
        if self.series.iter().any(|(_, points)| points.iter().any(|p| p.truth.is_some())) {
            keys.push(Key { class: "mark".into(), shape: Shape::Line, words: "declared".into() });
        }
        keys
    }
}

fn one(points: &[Point], (x, y): (&Axis, &Axis), class: &str) -> Markup {
    let truths: Vec<(f64, f64)> =
        points.iter().filter_map(|p| Some((x.px(p.x), y.px(p.truth?)))).collect();
    html! {
        (canvas::line(&truths, "mark"))
        @for point in points {
            @let at = x.px(point.x);
            (canvas::interval(at, (y.px(point.low), y.px(point.high)), &format!("whisker {class}")))
            (canvas::dot((at, y.px(point.share)), class, &point.words))
        }
    }
}
