//! Exposure matrix: what of the host a function can read, by runtime.

use super::canvas::{self, Key, Shape, fit, px};
use super::{Drawing, Drawn, Plot};
use crate::metric;
use analysis::{Finding, Value};
use maud::html;
use record::{Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Height of one item's row, px.
const ROW: f64 = 23.0;

/// Width of one runtime's column, px.
const COLUMN: f64 = 66.0;

struct Matrix {
    columns: Vec<String>,
    /// Item and whether it could be read, by column; None where it was not tried.
    rows: Vec<(String, Vec<Option<bool>>)>,
}

/// None where no item was tried.
pub(super) fn plot(findings: &[Finding], records: &[&Record]) -> Option<Plot> {
    let mut readable = of_records(records);
    if readable.is_empty() {
        readable = of_findings(findings);
    }
    let columns: BTreeSet<String> = readable.keys().map(|(_, column)| column.clone()).collect();
    let mut columns: Vec<String> = columns.into_iter().collect();
    columns.sort_by_key(|name| name != "native");
    let items: BTreeSet<String> = readable.keys().map(|(item, _)| item.clone()).collect();
    let mut rows: Vec<(String, Vec<Option<bool>>)> = items
        .into_iter()
        .map(|item| {
            let cells = columns.iter().map(|c| readable.get(&(item.clone(), c.clone())).copied());
            (item.clone(), cells.collect())
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let hidden = |row: &(String, Vec<Option<bool>>)| !row.1.contains(&Some(true));
    rows.sort_by_key(hidden);
    let seen = rows.iter().filter(|row| !hidden(row)).count();
    Some(Plot {
        stem: "exposure_items".into(),
        title: "What a function can see of its host".into(),
        description: format!(
            "{seen} of {} items about the host can be read from inside.",
            rows.len()
        ),
        caption:
            "Full dots can be read from inside a function and hold something; empty ones cannot."
                .into(),
        drawing: Box::new(Matrix { columns, rows }),
    })
}

fn of_records(records: &[&Record]) -> BTreeMap<(String, String), bool> {
    let mut out = BTreeMap::new();
    for record in records.iter().filter(|r| r.outcome == Outcome::Ok) {
        let Ok(detail) = serde_json::from_str::<serde_json::Value>(&record.detail) else {
            continue;
        };
        let Some(items) = detail.get("exposure").and_then(|e| e.as_array()) else { continue };
        for exposed in items {
            let item = exposed.get("item").and_then(|i| i.as_str()).unwrap_or_default();
            let readable = exposed.get("readable").and_then(|r| r.as_bool()).unwrap_or_default();
            let column = metric::runtime(&record.runtime).to_string();
            *out.entry((item.to_string(), column)).or_insert(false) |= readable;
        }
    }
    out
}

fn of_findings(findings: &[Finding]) -> BTreeMap<(String, String), bool> {
    let items = findings.iter().filter(|f| f.metric == "exposure.item");
    items
        .filter_map(|f| {
            let Value::Bool(readable) = f.value else { return None };
            let mut rest = f.setting.clone();
            let item = metric::setting_text(&rest.remove("item")?);
            Some(((item, metric::setting(&rest)), readable))
        })
        .collect()
}

impl Drawing for Matrix {
    fn draw(&self, width: f64) -> Drawn {
        let keys = [("s2", "can be read"), ("hollow s6", "hidden")].map(|(class, words)| Key {
            class: class.into(),
            shape: Shape::Dot,
            words: words.into(),
        });
        let (legend, top) = canvas::legend(&keys, width);
        // Two blocks side by side where there is room, or the list would be long.
        let column = COLUMN.min((width - 170.0) / self.columns.len().max(1) as f64);
        let dots = column * self.columns.len() as f64;
        let blocks = if width / 2.0 - dots >= 180.0 && self.rows.len() > 8 { 2 } else { 1 };
        let wide = (width - 24.0 * (blocks as f64 - 1.0)) / blocks as f64;
        let each = self.rows.len().div_ceil(blocks);
        let first = top + 26.0;
        let body = html! {
            (legend)
            @for (block, rows) in self.rows.chunks(each.max(1)).enumerate() {
                @let left = block as f64 * (wide + 24.0);
                @for (i, name) in self.columns.iter().enumerate() {
                    text class="mid small" x=(px(left + wide - dots + (i as f64 + 0.5) * column)) y=(px(top + 12.0)) { (fit(name, column * 1.25)) }
                }
                @for (i, (item, cells)) in rows.iter().enumerate() {
                    @let y = first + i as f64 * ROW;
                    path class="grid" d=(format!("M{} {}h{}", px(left), px(y - 4.0), px(wide))) {}
                    text class="code strong" x=(px(left)) y=(px(y + 12.0)) { (fit(item, wide - dots - 4.0)) }
                    @for (c, cell) in cells.iter().enumerate() {
                        @let x = px(left + wide - dots + (c as f64 + 0.5) * column);
                        @match cell {
                            Some(true) => { circle class="s2" cx=(x) cy=(px(y + 8.0)) r="5" { title { "can be read" } } }
                            Some(false) => { circle class="hollow s6" cx=(x) cy=(px(y + 8.0)) r="4" { title { "hidden" } } }
                            None => {}
                        }
                    }
                }
            }
        };
        Drawn { height: first + each as f64 * ROW + 2.0, body }
    }
}
