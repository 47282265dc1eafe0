//! Policies side by side: cold starts against the memory that waits for invocations.

use super::canvas::{self, Area, Axis, Key, Label, Shape, px};
use super::{Drawing, Drawn, Plot};
use crate::number::{self as form, Unit};
use maud::html;

/// One policy.
#[derive(Clone, Debug)]
pub struct Tradeoff {
    /// What it is called.
    pub name: String,
    /// Memory of idle instances over the time of the trace, MiB on average.
    pub idle_mib: f64,
    /// Cold starts among invocations, 0 to 1.
    pub cold_fraction: f64,
}

struct Policies {
    points: Vec<Tradeoff>,
}

/// One file of SVG with all policies; None where there are none.
pub fn tradeoff_svg(points: &[Tradeoff]) -> Option<String> {
    let best = points.iter().min_by(|a, b| a.cold_fraction.total_cmp(&b.cold_fraction))?;
    let plot = Plot {
        stem: "tradeoff".into(),
        title: "Cold starts against idle memory".into(),
        description: format!(
            "{} policies on one trace; {} has the fewest cold starts, {}.",
            points.len(),
            best.name,
            form::quantity(best.cold_fraction, &Unit::Percent).text()
        ),
        caption: String::new(),
        drawing: Box::new(Policies { points: points.to_vec() }),
    };
    Some(plot.file())
}

impl Drawing for Policies {
    fn draw(&self, width: f64) -> Drawn {
        let keys: Vec<Key> = self
            .points
            .iter()
            .enumerate()
            .map(|(i, point)| Key {
                class: canvas::series(i),
                shape: Shape::Dot,
                words: point.name.clone(),
            })
            .collect();
        let (legend, top) = canvas::legend(&keys, width);
        let area =
            Area { left: 62.0, right: width - canvas::RIGHT, top: top + 26.0, bottom: top + 306.0 };
        let most = |of: fn(&Tradeoff) -> f64| {
            canvas::round_up(self.points.iter().map(of).fold(0.0, f64::max))
        };
        let x = Axis::linear((0.0, most(|it| it.idle_mib)), (area.left, area.right));
        let y = Axis::linear((0.0, most(|it| it.cold_fraction)), (area.bottom, area.top));
        let body = html! {
            (legend)
            (canvas::y_axis(area, &y, &Label { unit: &Unit::Percent, name: "invocations that were cold" }))
            (canvas::x_axis(area, &x, &Label { unit: &Unit::Mib, name: "memory of idle instances, on average" }))
            @for (i, point) in self.points.iter().enumerate() {
                @let (at_x, at_y) = (x.px(point.idle_mib), y.px(point.cold_fraction));
                @let end = at_x > area.right - 160.0;
                (canvas::dot((at_x, at_y), &canvas::series(i), &words(point)))
                text class=(if end { "name end" } else { "name" })
                    x=(px(if end { at_x - 9.0 } else { at_x + 9.0 })) y=(px(at_y - 7.0)) { (point.name) }
            }
        };
        Drawn { height: area.bottom + 44.0, body }
    }
}

fn words(point: &Tradeoff) -> String {
    format!(
        "{}: {} cold, {} idle",
        point.name,
        form::quantity(point.cold_fraction, &Unit::Percent).text(),
        form::quantity(point.idle_mib, &Unit::Mib).text()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // Every policy has its dot and its name, and names cannot break the picture.
    #[test]
    fn policies_are_drawn() {
        let point = |name: &str, idle_mib, cold_fraction| Tradeoff {
            name: name.to_owned(),
            idle_mib,
            cold_fraction,
        };
        let svg = tradeoff_svg(&[point("fixed:600", 900.0, 0.1), point("<b>", 0.0, 1.0)]);
        let svg = svg.expect("two policies");
        // One in the legend and one in the area each.
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("fixed:600: 10") && svg.contains("&lt;b&gt;") && !svg.contains("<b>"));
        assert_eq!(tradeoff_svg(&[]), None);
    }
}
