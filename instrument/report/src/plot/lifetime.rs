//! Instances from the first to the last time they were seen, one row per function.

use super::canvas::{self, Area, Axis, Label, px};
use super::{Drawing, Drawn, Plot, setting, spread};
use crate::metric;
use crate::number::{self as form, Unit};
use analysis::Setting;
use maud::html;
use record::{Outcome, Record};
use std::collections::BTreeMap;

/// Functions that are drawn at most; evenly over settings.
const ROWS_MOST: usize = 36;

/// Instances of one function that are drawn at most; more would be thinner than a line.
const LIVES_MOST: usize = 200;

/// Height of one function's row, px.
const ROW: f64 = 12.0;

/// One function: its setting in words, and its instances' first and last sight, s since the watch began.
struct Row {
    words: String,
    lives: Vec<(f64, f64)>,
}

struct Lives {
    rows: Vec<Row>,
    end: f64,
}

/// None where nothing was watched.
pub(super) fn plot(records: &[&Record]) -> Option<Plot> {
    let seen = |r: &&&Record| r.outcome == Outcome::Ok && !r.instance.is_empty();
    let begin = records.iter().filter(seen).map(|r| r.sent_ns).min()?;
    type Key<'r> = (u64, u32, &'r str);
    let mut functions: BTreeMap<Key, BTreeMap<&str, (f64, f64)>> = BTreeMap::new();
    for record in records.iter().filter(seen) {
        let Some(interval_s) = setting(record, "interval_s") else { continue };
        let key = ((interval_s * 1e3) as u64, record.memory_mib, record.function.as_str());
        let at = (record.sent_ns - begin) as f64 / 1e9;
        let lives = functions.entry(key).or_default();
        let life = lives.entry(&record.instance).or_insert((at, at));
        *life = (life.0.min(at), life.1.max(at));
    }
    let rows: Vec<Row> = functions
        .into_iter()
        .map(|((interval_ms, memory_mib, _), lives)| {
            let interval_s = interval_ms as f64 / 1e3;
            let named = [("interval_s", interval_s.into()), ("memory_mib", memory_mib.into())];
            let named: Setting =
                named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let mut lives: Vec<(f64, f64)> = lives.into_values().collect();
            lives.sort_by(|a, b| a.0.total_cmp(&b.0));
            Row { words: metric::setting(&named), lives: spread(&lives, LIVES_MOST) }
        })
        .collect();
    let indices: Vec<usize> = (0..rows.len()).collect();
    let kept = spread(&indices, ROWS_MOST);
    let rows: Vec<Row> = rows
        .into_iter()
        .enumerate()
        .filter(|(i, _)| kept.contains(i))
        .map(|(_, row)| row)
        .collect();
    let end = rows.iter().flat_map(|row| row.lives.iter().map(|life| life.1)).fold(0.0, f64::max);
    Some(Plot {
        stem: "lifetime_lives".into(),
        title: "From first to last sight".into(),
        description: format!(
            "Instances of {} functions that are asked for all the time, over {}.",
            rows.len(),
            form::duration(end)
        ),
        caption: "Each row is one function, each bar one of its instances from the first to the last answer that it gave. A bar that reaches \
                  the right end was still there when the watch ended."
            .into(),
        drawing: Box::new(Lives { rows, end }),
    })
}

impl Drawing for Lives {
    fn draw(&self, width: f64) -> Drawn {
        let headed = |i: usize| i == 0 || self.rows[i - 1].words != self.rows[i].words;
        let mut y = 0.0;
        let mut placed = Vec::with_capacity(self.rows.len());
        for (i, row) in self.rows.iter().enumerate() {
            y += if headed(i) { 24.0 } else { 0.0 };
            placed.push((y, headed(i).then_some(&row.words), row));
            y += ROW;
        }
        let area = Area { left: 4.0, right: width - canvas::RIGHT, top: 4.0, bottom: y + 8.0 };
        let x = Axis::linear((0.0, self.end), (area.left, area.right));
        let body = html! {
            (canvas::x_axis(area, &x, &Label { unit: &Unit::Time(1.0), name: "since the watch began" }))
            @for (y, words, row) in &placed {
                @if let Some(words) = words { text class="strong" x="4" y=(px(y - 6.0)) { (words) } }
                @for (number, (from, to)) in row.lives.iter().enumerate() {
                    @let (left, right) = (x.px(*from), x.px(*to));
                    rect class=(canvas::series(number % 2)) x=(px(left)) y=(px(*y)) width=(px((right - left).max(1.0)))
                        height=(px(ROW - 3.0)) rx="2" { title { (form::duration(to - from)) } }
                }
            }
        };
        Drawn { height: area.bottom + 44.0, body }
    }
}
