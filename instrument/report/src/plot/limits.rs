//! Searches for limits: what was accepted and what was refused, in the order in which it was tried.

use super::canvas::{self, Area, Axis, Key, Label, Shape, px};
use super::{Drawing, Drawn, Plot, setting};
use crate::number::Unit;
use maud::html;
use record::{Outcome, Record};

/// One search.
struct Search {
    words: &'static str,
    unit: Unit,
    /// Levels in the order of trying, and whether they were accepted.
    tries: Vec<(f64, bool)>,
}

struct Searches(Vec<Search>);

/// Height of one search, px.
const HEIGHT: f64 = 120.0;

/// None where nothing was searched.
pub(super) fn plot(records: &[&Record]) -> Option<Plot> {
    let searched = [
        ("timeout", "longest timeout", Unit::Time(1.0), 1.0),
        ("memory", "largest memory size", Unit::Mib, 1.0),
        ("payload", "largest request", Unit::Mib, 1.0 / 1024.0),
    ];
    let searches: Vec<Search> = searched
        .into_iter()
        .map(|(limit, words, unit, scale)| {
            let of = records.iter().filter(|r| {
                r.phase == "try" && r.setting.get("limit").is_some_and(|it| it == limit)
            });
            let mut tries: Vec<(u64, f64, bool)> = of
                .filter_map(|r| {
                    Some((r.sent_ns, setting(r, "level")? * scale, r.outcome == Outcome::Ok))
                })
                .collect();
            tries.sort_by_key(|(sent_ns, ..)| *sent_ns);
            Search { words, unit, tries: tries.into_iter().map(|(_, x, held)| (x, held)).collect() }
        })
        .filter(|search| !search.tries.is_empty())
        .collect();
    if searches.is_empty() {
        return None;
    }
    Some(Plot {
        stem: "limits_searches".into(),
        title: "How limits were found".into(),
        description: format!("Levels that were accepted and refused in {} searches.", searches.len()),
        caption: "Each dot is one try, from left to right in the order of trying. A search ends where what is accepted and what is refused \
                  are neighbours."
            .into(),
        drawing: Box::new(Searches(searches)),
    })
}

impl Drawing for Searches {
    fn draw(&self, width: f64) -> Drawn {
        let key = |class: &str, words: &str| Key {
            class: class.into(),
            shape: Shape::Dot,
            words: words.into(),
        };
        let (legend, top) = canvas::legend(&[key("s1", "accepted"), key("s2", "refused")], width);
        let areas: Vec<Area> = (0..self.0.len())
            .map(|i| {
                let top = top + 26.0 + i as f64 * (HEIGHT + 40.0);
                Area { left: 72.0, right: width - canvas::RIGHT, top, bottom: top + HEIGHT }
            })
            .collect();
        let bottom = areas.last().map_or(top, |area| area.bottom);
        let body = html! {
            (legend)
            @for (search, area) in self.0.iter().zip(&areas) {
                @let ends = search.tries.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), t| (low.min(t.0), high.max(t.0)));
                @let y = Axis::log(ends, (area.bottom, area.top));
                @let x = Axis::linear((0.0, search.tries.len() as f64), (area.left, area.right));
                (canvas::y_axis(*area, &y, &Label { unit: &search.unit, name: search.words }))
                path class="base" d=(format!("M{} {}H{}", px(area.left), px(area.bottom), px(area.right))) {}
                @for (number, (level, held)) in search.tries.iter().enumerate() {
                    (canvas::dot((x.px(number as f64 + 0.5), y.px(*level)), if *held { "s1" } else { "s2" }, search.words))
                }
            }
        };
        Drawn { height: bottom + 16.0, body }
    }
}
