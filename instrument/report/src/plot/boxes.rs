//! Box plots of cold and warm latency, one row per runtime and memory.

use super::canvas::{self, Area, Axis, Key, Label, Shape, px};
use super::latency::{Latencies, latencies, span};
use super::{Drawing, Drawn, Plot};
use crate::metric;
use crate::number::{self, Unit};
use maud::{Markup, html};
use record::Record;

struct Boxes {
    rows: Vec<(String, Latencies)>,
    span: (f64, f64),
}

/// None where no record has a latency.
pub(super) fn plot(records: &[&Record]) -> Option<Plot> {
    let mut rows = Vec::new();
    for (runtime, sizes) in latencies(records) {
        for (memory, latencies) in sizes {
            rows.push((
                format!("{}, {}", metric::runtime(&runtime), super::mib(memory)),
                latencies,
            ));
        }
    }
    let span = span(rows.iter().flat_map(|(_, l)| l.cold.iter().chain(&l.warm)).copied())?;
    Some(Plot {
        stem: "coldstart_boxes".into(),
        title: "Cold and warm, side by side".into(),
        description: format!("Box plots of cold and warm latency for {} combinations of runtime and memory.", rows.len()),
        caption: "A box holds the middle half of the invocations, its line is the median, and whiskers reach from the fastest \
                  to the slowest: nothing is left out."
            .into(),
        drawing: Box::new(Boxes { rows, span }),
    })
}

impl Drawing for Boxes {
    fn draw(&self, width: f64) -> Drawn {
        let keys = [("s1", "warm"), ("s2", "cold")].map(|(class, words)| Key {
            class: class.into(),
            shape: Shape::Square,
            words: words.into(),
        });
        let (legend, top) = canvas::legend(&keys, width);
        let longest = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        // On a phone the name stands above its boxes instead of beside them.
        let beside = width > 500.0;
        let left = if beside { longest as f64 * canvas::CHARACTER + 14.0 } else { 6.0 };
        let pitch = if beside { 44.0 } else { 58.0 };
        let area = Area {
            left,
            right: width - canvas::RIGHT,
            top,
            bottom: top + self.rows.len() as f64 * pitch + 6.0,
        };
        let x = Axis::log(self.span, (area.left, area.right));
        let unit = Unit::Time(1e-3);
        let body = html! {
            (legend)
            (canvas::x_axis(area, &x, &Label { unit: &unit, name: "from send to the function’s first line" }))
            @for (i, (name, latencies)) in self.rows.iter().enumerate() {
                @let y = top + i as f64 * pitch;
                @let shift = if beside { 0.0 } else { 14.0 };
                @if beside {
                    text class="end strong" x=(px(left - 12.0)) y=(px(y + 28.0)) { (name) }
                } @else {
                    text class="strong" x="0" y=(px(y + 14.0)) { (name) }
                }
                (one(&latencies.warm, &x, y + 15.0 + shift, "s1"))
                (one(&latencies.cold, &x, y + 33.0 + shift, "s2"))
            }
        };
        Drawn { height: area.bottom + 44.0, body }
    }
}

fn one(sample: &[f64], x: &Axis, y: f64, class: &str) -> Markup {
    let (Some(least), Some(most)) = (sample.first(), sample.last()) else { return html! {} };
    let rank = |share: f64| sample[((sample.len() - 1) as f64 * share).round() as usize];
    let (low, median, high) = (rank(0.25), rank(0.5), rank(0.75));
    let ms = |x: f64| number::quantity(x, &Unit::Time(1e-3)).text();
    html! {
        g {
            title {
                "median " (ms(median)) ", middle half " (ms(low)) " to " (ms(high)) ", all " (ms(*least)) " to " (ms(*most))
            }
            path class=(format!("whisker {class}"))
                d=(format!("M{} {y}H{}", px(x.px(*least)), px(x.px(*most)), y = px(y))) {}
            rect class=(class) x=(px(x.px(low))) y=(px(y - 6.0)) rx="2" height="12"
                width=(px((x.px(high) - x.px(low)).max(2.0))) {}
            rect class="paper" x=(px(x.px(median) - 1.0)) y=(px(y - 6.0)) width="2" height="12" {}
        }
    }
}
