//! Candidates for a host's name: how many different values each source had over all instances.

use super::canvas::px;
use super::{Drawing, Drawn, Plot};
use crate::metric;
use maud::html;
use record::{Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Height of one source's row, px.
const ROW: f64 = 34.0;

/// One source.
struct Source {
    words: String,
    distinct: usize,
    /// Style of its bar: the one that names the host stands out.
    class: &'static str,
}

struct Sources {
    sources: Vec<Source>,
    instances: usize,
}

/// None where no instance was asked who it is. `chosen` is the source that names the host.
pub(super) fn plot(records: &[&Record], chosen: Option<&str>) -> Option<Plot> {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut instances: BTreeSet<&str> = BTreeSet::new();
    for record in records.iter().filter(|r| r.outcome == Outcome::Ok && !r.host_ids.is_empty()) {
        instances.insert(&record.instance);
        for (source, value) in &record.host_ids {
            let seen = values.entry(source).or_default();
            if !value.is_empty() {
                seen.insert(value);
            }
        }
    }
    if instances.is_empty() {
        return None;
    }
    let sources: Vec<Source> = values
        .into_iter()
        .map(|(source, seen)| Source {
            words: metric::word("identity.host_id_source", source),
            distinct: seen.len(),
            class: if chosen == Some(source) { "s2" } else { "s6" },
        })
        .collect();
    Some(Plot {
        stem: "identity_sources".into(),
        title: "What could name the host".into(),
        description: format!("Distinct values of {} sources over {} instances.", sources.len(), instances.len()),
        caption: "How many different values each source had. As many as there are instances: it names the instance. One for all: it \
                  names nothing smaller than the machine. In between lies the name of a host; the one that was found to be it stands out."
            .into(),
        drawing: Box::new(Sources { sources, instances: instances.len() }),
    })
}

impl Drawing for Sources {
    fn draw(&self, width: f64) -> Drawn {
        let beside = width > 500.0;
        let left = if beside { 190.0 } else { 0.0 };
        let pitch = if beside { ROW } else { ROW + 18.0 };
        let room = width - left - 52.0;
        let body = html! {
            text x="0" y="14" { "different values over " (self.instances) " instances" }
            @for (i, source) in self.sources.iter().enumerate() {
                @let y = 30.0 + i as f64 * pitch;
                @let bar = y + if beside { 0.0 } else { 18.0 };
                @let length = room * source.distinct as f64 / self.instances.max(1) as f64;
                @if beside {
                    text class="strong end" x=(px(left - 12.0)) y=(px(y + 15.0)) { (source.words) }
                } @else {
                    text class="strong" x="0" y=(px(y + 11.0)) { (source.words) }
                }
                rect class="cell" x=(px(left)) y=(px(bar)) width=(px(room)) height="20" rx="3" {}
                rect class=(source.class) x=(px(left)) y=(px(bar)) width=(px(length.min(room))) height="20" rx="3" {}
                text class="name" x=(px(left + room + 10.0)) y=(px(bar + 15.0)) { (source.distinct) }
            }
        };
        Drawn { height: 30.0 + self.sources.len() as f64 * pitch, body }
    }
}
