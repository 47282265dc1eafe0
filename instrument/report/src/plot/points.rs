//! Estimates with intervals and truths against a number that was varied, in series: what the plots of shares and throughputs
//! have in common.

use super::canvas::{self, Area, Axis, Key, Label, Shape, px};
use super::{Drawing, Drawn, number, truth};
use crate::metric::{self, setting_number};
use crate::number as form;
use analysis::Finding;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// One setting's estimate with interval and truth.
pub(super) struct Point {
    pub(super) x: f64,
    y: f64,
    low: f64,
    high: f64,
    truth: Option<f64>,
    words: String,
}

/// Points in series, with single measurements behind them.
pub(super) struct Points {
    pub(super) series: Vec<(String, Vec<Point>)>,
    pub(super) single: Vec<(f64, f64)>,
    pub(super) x: Label<'static>,
    pub(super) y: Label<'static>,
}

/// The findings of a metric against the setting `key`, by the rest of their setting in words, ascending.
pub(super) fn points(
    findings: &[Finding],
    metric: &str,
    key: &str,
) -> BTreeMap<String, Vec<Point>> {
    let mut series: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    for finding in findings.iter().filter(|f| f.metric == metric) {
        let (Some(y), Some(x)) = (number(finding), setting_number(&finding.setting, key)) else {
            continue;
        };
        let mut rest = finding.setting.clone();
        rest.remove(key);
        let (low, high) = finding.ci95.unwrap_or((None, None));
        series.entry(metric::setting(&rest)).or_default().push(Point {
            x,
            y,
            low: low.unwrap_or(y),
            high: high.unwrap_or(y),
            truth: truth(finding),
            words: format!(
                "{}: {}",
                metric::setting(&finding.setting),
                form::quantity(y, &metric::unit(finding)).text()
            ),
        });
    }
    series.values_mut().for_each(|points| points.sort_by(|a, b| a.x.total_cmp(&b.x)));
    series
}

impl Drawing for Points {
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
            (canvas::y_axis(area, &y, &self.y))
            (canvas::x_axis(area, &x, &self.x))
            @for (at, value) in &self.single {
                circle class="s6 faint" cx=(px(x.px(*at))) cy=(px(y.px(*value))) r="3" {}
            }
            @for (i, (_, points)) in self.series.iter().enumerate() { (one(points, (&x, &y), &canvas::series(i))) }
        };
        Drawn { height: area.bottom + 44.0, body }
    }
}

impl Points {
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
            (canvas::dot((at, y.px(point.y)), class, &point.words))
        }
    }
}
