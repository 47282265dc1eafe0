//! Kinds of host, and how many of the hosts are of each.

use super::canvas::{self, Area, Axis, Key, Label, Shape, fit, px};
use super::{Drawing, Drawn, Plot, number, truth};
use crate::metric;
use crate::number::{self as form, Unit};
use analysis::Finding;
use maud::html;

/// Kinds drawn; the rest are rare.
const KINDS_MOST: usize = 12;

/// Height of one kind's name and bar, px.
const ROW: f64 = 44.0;

struct Kind {
    name: String,
    share: f64,
    low: f64,
    high: f64,
    truth: Option<f64>,
}

struct Kinds {
    kinds: Vec<Kind>,
}

/// None where no kind was told from others.
pub(super) fn plot(findings: &[Finding]) -> Option<Plot> {
    let mut kinds: Vec<Kind> = findings
        .iter()
        .filter(|f| f.metric == "hosts.type_share")
        .filter_map(|f| {
            let share = number(f)?;
            let (low, high) = f.ci95.unwrap_or((None, None));
            Some(Kind {
                name: metric::setting(&f.setting),
                share,
                low: low.unwrap_or(share),
                high: high.unwrap_or(share),
                truth: truth(f),
            })
        })
        .collect();
    kinds.sort_by(|a, b| b.share.total_cmp(&a.share));
    let all = kinds.len();
    kinds.truncate(KINDS_MOST);
    let most = kinds.first()?;
    let share = form::quantity(most.share, &Unit::Percent).text();
    Some(Plot {
        stem: "hosts_types".into(),
        title: "Kinds of host".into(),
        description: format!(
            "{all} kinds of host; the most frequent one, {}, is {share} of them.",
            most.name
        ),
        caption: "How many of the hosts that we met are of each kind, with intervals; a host counts once, however many instances it \
                  had. The mark, where there is one, is what the target declares."
            .into(),
        drawing: Box::new(Kinds { kinds }),
    })
}

impl Drawing for Kinds {
    fn draw(&self, width: f64) -> Drawn {
        let mut keys =
            vec![Key { class: "s1".into(), shape: Shape::Dot, words: "share found".into() }];
        if self.kinds.iter().any(|kind| kind.truth.is_some()) {
            keys.push(Key { class: "mark".into(), shape: Shape::Line, words: "declared".into() });
        }
        let (legend, top) = canvas::legend(&keys, width);
        let bottom = top + 10.0 + self.kinds.len() as f64 * ROW;
        let area =
            Area { left: 14.0, right: width - canvas::RIGHT - 12.0, top: top + 10.0, bottom };
        let ends = self.kinds.iter().map(|kind| kind.high.max(kind.truth.unwrap_or(0.0)));
        let most = canvas::round_up(ends.fold(0.0, f64::max)).min(1.0);
        let x = Axis::linear((0.0, most), (area.left, area.right));
        let body = html! {
            (legend)
            (canvas::x_axis(area, &x, &Label { unit: &Unit::Percent, name: "of all hosts" }))
            @for (row, kind) in self.kinds.iter().enumerate() {
                @let name = area.top + row as f64 * ROW + 14.0;
                @let y = name + 14.0;
                text class="strong" x=(px(area.left)) y=(px(name)) { (fit(&kind.name, area.right - area.left)) }
                path class="whisker s1" d=(format!("M{} {}H{}", px(x.px(kind.low)), px(y), px(x.px(kind.high)))) {}
                (canvas::dot((x.px(kind.share), y), "s1", &form::quantity(kind.share, &Unit::Percent).text()))
                @if let Some(truth) = kind.truth {
                    path class="mark" d=(format!("M{} {}v14", px(x.px(truth)), px(y - 7.0))) {}
                }
            }
        };
        Drawn { height: area.bottom + 44.0, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Each kind has its name, dot and mark; without shares there is nothing to draw.
    #[test]
    fn kinds_are_drawn() {
        let share = |name: &str, value: f64| {
            let mut finding = Finding::new("hosts", "hosts.type_share", "fraction")
                .with_setting("type", name)
                .with_number(value);
            finding.ci95 = Some((Some(value - 0.1), Some(value + 0.1)));
            finding.truth = Some(analysis::Value::Number(value));
            finding
        };
        let drawn = plot(&[share("rare", 0.2), share("usual", 0.8)]).expect("a plot").file();
        let at = |text: &str| drawn.find(text).unwrap_or_else(|| panic!("no {text}"));
        assert!(at(">usual<") < at(">rare<"), "the most frequent comes first");
        assert_eq!(drawn.matches("<circle class=\"s1\"").count(), 3, "two dots and the legend's");
        assert!(plot(&[]).is_none());
    }
}
