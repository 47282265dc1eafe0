//! Distribution functions of cold and warm latency, one panel per runtime.

use super::canvas::{self, Area, Axis, Key, Label, Shape, px};
use super::latency::{Latencies, latencies, span};
use super::{Drawing, Drawn, Plot};
use crate::metric;
use crate::number::Unit;
use maud::{Markup, html};
use record::Record;
use std::collections::BTreeMap;

/// Points of one line beyond which it is thinned, evenly by rank.
const POINTS_MOST: usize = 240;

struct Ecdf {
    panels: Vec<(String, BTreeMap<u32, Latencies>)>,
    span: (f64, f64),
    memories: Vec<u32>,
}

/// None where no record has a latency.
pub(super) fn plot(records: &[&Record]) -> Option<Plot> {
    let panels = latencies(records);
    let all =
        || panels.iter().flat_map(|(_, s)| s.values()).flat_map(|l| l.cold.iter().chain(&l.warm));
    let span = span(all().copied())?;
    let mut memories: Vec<u32> =
        panels.iter().flat_map(|(_, sizes)| sizes.keys()).copied().collect();
    memories.sort_unstable();
    memories.dedup();
    let names: Vec<&str> = panels.iter().map(|(name, _)| metric::runtime(name)).collect();
    let description = format!(
        "Distribution functions of {} latencies, cold and warm, for {}.",
        all().count(),
        names.join(", ")
    );
    Some(Plot {
        stem: "coldstart_distribution".into(),
        title: "How long until the function runs".into(),
        description,
        caption: "Share of invocations that reached the function’s first line within a time. Solid lines are cold starts, \
                  dashed ones warm; further left is faster. Each step is one invocation."
            .into(),
        drawing: Box::new(Ecdf { panels, span, memories }),
    })
}

impl Drawing for Ecdf {
    fn draw(&self, width: f64) -> Drawn {
        let mut keys: Vec<Key> = Vec::new();
        for (i, memory) in self.memories.iter().enumerate() {
            let class = format!("line {}", canvas::series(i));
            keys.push(Key { class, shape: Shape::Line, words: super::mib(*memory) });
        }
        keys.push(Key { class: "mark".into(), shape: Shape::Line, words: "warm".into() });
        let (legend, mut y) = canvas::legend(&keys, width);
        let panels: Vec<Markup> = self
            .panels
            .iter()
            .enumerate()
            .map(|(i, (runtime, lines))| {
                let area = Area {
                    left: 48.0,
                    right: width - canvas::RIGHT,
                    top: y + 30.0,
                    bottom: y + 170.0,
                };
                let last = i + 1 == self.panels.len();
                let name = if last { "from send to the function’s first line" } else { "" };
                y = area.bottom + if last { 50.0 } else { 32.0 };
                self.panel((runtime, lines), name, area)
            })
            .collect();
        let body = html! { (legend) @for panel in &panels { (panel) } };
        Drawn { height: y - 4.0, body }
    }
}

impl Ecdf {
    fn panel(
        &self,
        (runtime, lines): (&str, &BTreeMap<u32, Latencies>),
        name: &str,
        area: Area,
    ) -> Markup {
        let x = Axis::log(self.span, (area.left, area.right));
        let y = Axis::linear((0.0, 1.0), (area.bottom, area.top));
        let unit = Unit::Time(1e-3);
        html! {
            text class="name" x="0" y=(px(area.top - 14.0)) { (metric::runtime(runtime)) }
            (canvas::y_axis(area, &y, &Label { unit: &Unit::Percent, name: "" }))
            (canvas::x_axis(area, &x, &Label { unit: &unit, name }))
            @for (memory, latencies) in lines {
                @let class = canvas::series(self.memories.iter().position(|m| m == memory).unwrap_or(0));
                (line(&latencies.cold, (&x, &y), &format!("line {class}")))
                (line(&latencies.warm, (&x, &y), &format!("line dashed {class}")))
            }
        }
    }
}

/// The staircase of a sample that ascends, from 0 at its least to 1 at its greatest.
fn line(sample: &[f64], (x, y): (&Axis, &Axis), class: &str) -> Markup {
    let Some(first) = sample.first() else { return html! {} };
    let n = sample.len();
    let drawn = n.min(POINTS_MOST);
    let mut points = vec![(x.px(*first), y.px(0.0))];
    for i in 1..=drawn {
        let rank = i * n / drawn;
        points.push((x.px(sample[rank - 1]), y.px(rank as f64 / n as f64)));
    }
    canvas::steps(&points, class)
}
