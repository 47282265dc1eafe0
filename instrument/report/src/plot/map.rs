//! Instance maps: which host got which instance over a ladder of bursts, or over rounds of several parties.

use super::canvas::{self, Key, Shape, px};
use super::{Drawing, Drawn, Plot, setting, spread};
use maud::{Markup, html};
use record::{Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Hosts drawn; a larger map would not be read.
const HOSTS_MOST: usize = 32;

/// Room for a host's name, px.
const LEFT: f64 = 60.0;

/// Least width of one burst's column, px.
const COLUMN_LEAST: f64 = 62.0;

/// Lines of squares in one cell before the squares become small.
const LINES_MOST: usize = 6;

/// Rounds of parties drawn; more columns would not be read.
const ROUNDS_MOST: usize = 6;

/// One burst: for each host (by its number in order of appearance) its instances, sorted by kind.
struct Burst {
    head: u64,
    hosts: BTreeMap<usize, Vec<Kind>>,
}

/// What an instance was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Made for the burst.
    New,
    /// Served the burst, but had served before.
    Reused,
    /// Of the smallest size, sent while the burst is held to see what still fits.
    Fill,
    /// Of the first tenant, in its first role.
    Victim,
    /// Of the first tenant, in another role.
    OtherRole,
    /// Of another tenant.
    OtherTenant,
}

impl Kind {
    fn of(record: &Record) -> Self {
        match record.phase.as_str() {
            "fill" => Self::Fill,
            _ if record.instance_invocations > 1 => Self::Reused,
            _ => Self::New,
        }
    }

    /// Whose it is, where several parties meet.
    fn of_party(record: &Record) -> Self {
        match (setting(record, "tenant"), setting(record, "role")) {
            (Some(0.0), Some(0.0)) => Self::Victim,
            (Some(0.0), _) => Self::OtherRole,
            _ => Self::OtherTenant,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::New | Self::Victim => "s1",
            Self::Reused => "hollow s1",
            Self::Fill | Self::OtherRole => "s2",
            Self::OtherTenant => "s3",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::New => "new instance",
            Self::Reused => "had served before",
            Self::Fill => "smallest size, to fill the gaps",
            Self::Victim => "one tenant",
            Self::OtherRole => "the same tenant, another role",
            Self::OtherTenant => "another tenant",
        }
    }
}

struct Map {
    bursts: Vec<Burst>,
    hosts: usize,
    /// What the numbers above the columns are.
    heads: &'static str,
}

/// One map per memory size of the bursts, of its first round; none where hosts have no names.
pub(super) fn plots(records: &[&Record], source: Option<&str>) -> Vec<Option<Plot>> {
    let Some(source) = source else { return Vec::new() };
    let memories: BTreeSet<u32> = records.iter().map(|r| burst_memory(r)).collect();
    memories.into_iter().map(|memory| of_memory(records, source, memory)).collect()
}

/// Memory size of the burst that a record belongs to, also where its own instance only fills gaps, MiB.
fn burst_memory(record: &Record) -> u32 {
    setting(record, "burst_memory_mib").map_or(record.memory_mib, |mib| mib as u32)
}

fn of_memory(records: &[&Record], source: &str, memory: u32) -> Option<Plot> {
    let named = |r: &&&Record| {
        let host = r.host_ids.get(source).is_some_and(|id| !id.is_empty());
        burst_memory(r) == memory && r.outcome == Outcome::Ok && host && !r.instance.is_empty()
    };
    let mut own: Vec<&Record> = records.iter().filter(named).copied().collect();
    let round = own.iter().map(|r| r.round).min()?;
    own.retain(|r| r.round == round);
    own.sort_by_key(|r| (r.sent_ns, r.sequence));
    let mut hosts: Vec<&str> = Vec::new();
    let mut seen: BTreeMap<u64, BTreeMap<&str, (usize, Kind)>> = BTreeMap::new();
    for record in own {
        let id = record.host_ids.get(source)?.as_str();
        let host = hosts.iter().position(|h| *h == id).unwrap_or_else(|| {
            hosts.push(id);
            hosts.len() - 1
        });
        let size = setting(record, "concurrency").unwrap_or(0.0) as u64;
        let burst = seen.entry(size).or_default();
        burst.entry(&record.instance).or_insert((host, Kind::of(record)));
    }
    let bursts: Vec<Burst> = seen.into_iter().map(|(size, seen)| burst(size, seen)).collect();
    let instances = bursts.iter().map(|b| b.hosts.values().map(Vec::len).sum::<usize>()).max()?;
    let count = hosts.len();
    Some(Plot {
        stem: format!("placement_map_{memory}"),
        title: format!("Where instances of {memory} MiB went"),
        description: format!("Map of {count} hosts: up to {instances} instances at one instant, burst by burst."),
        caption: "A column is one burst, a row one host in the order in which we met them, a square one instance. Full rows before \
                  new rows mean bin-packing; level rows mean spreading."
            .into(),
        drawing: Box::new(Map { bursts, hosts: count, heads: "requests at once" }),
    })
}

/// Who was beside whom, in the first rounds; None where hosts have no names.
pub(super) fn meetings(records: &[&Record], source: Option<&str>) -> Option<Plot> {
    let host = |r: &Record| r.host_ids.get(source?).filter(|id| !id.is_empty()).cloned();
    let sound = |r: &&&Record| {
        r.outcome == Outcome::Ok && !r.instance.is_empty() && !r.setting.contains_key("void")
    };
    let mut own: Vec<&Record> = records.iter().filter(sound).copied().collect();
    own.sort_by_key(|r| (r.round, r.sent_ns, r.sequence));
    let rounds: BTreeSet<u32> = own.iter().map(|r| r.round).collect();
    let last = *rounds.iter().take(ROUNDS_MOST).max()?;
    let mut hosts: Vec<String> = Vec::new();
    let mut seen: BTreeMap<u64, BTreeMap<&str, (usize, Kind)>> = BTreeMap::new();
    for record in own.into_iter().filter(|r| r.round <= last) {
        let id = host(record)?;
        let number = hosts.iter().position(|h| *h == id).unwrap_or_else(|| {
            hosts.push(id.to_string());
            hosts.len() - 1
        });
        let burst = seen.entry(u64::from(record.round) + 1).or_default();
        burst.insert(&record.instance, (number, Kind::of_party(record)));
    }
    let count = hosts.len();
    let bursts = seen.into_iter().map(|(round, seen)| burst(round, seen)).collect();
    Some(Plot {
        stem: "isolation_map".into(),
        title: "Who is beside whom".into(),
        description: format!("Map of {count} hosts over the first rounds, with instances by tenant and role."),
        caption: "A column is one round, a row one host in the order in which we met them, a square one instance. Two colours in one                   cell are neighbours on one host."
            .into(),
        drawing: Box::new(Map { bursts, hosts: count, heads: "round" }),
    })
}

fn burst(head: u64, seen: BTreeMap<&str, (usize, Kind)>) -> Burst {
    let mut hosts: BTreeMap<usize, Vec<Kind>> = BTreeMap::new();
    for (host, kind) in seen.into_values() {
        hosts.entry(host).or_default().push(kind);
    }
    hosts.values_mut().for_each(|kinds| kinds.sort_unstable());
    Burst { head, hosts }
}

/// Sizes of one cell and of the squares in it, px.
struct Cell {
    width: f64,
    height: f64,
    square: f64,
    across: usize,
}

impl Cell {
    fn for_most(most: usize, width: f64) -> Self {
        let inner = width - 16.0;
        let sized = |square: f64| {
            let across = ((inner + 2.0) / (square + 2.0)).floor().max(1.0) as usize;
            (square, across, most.div_ceil(across).max(1))
        };
        let sizes = [9.0, 7.0, 5.0, 3.0].map(sized);
        let (square, across, lines) =
            sizes.into_iter().find(|(.., lines)| *lines <= LINES_MOST).unwrap_or(sizes[3]);
        Self { width: width - 4.0, height: lines as f64 * (square + 2.0) + 10.0, square, across }
    }
}

impl Drawing for Map {
    fn draw(&self, width: f64) -> Drawn {
        let kinds: BTreeSet<Kind> =
            self.bursts.iter().flat_map(|b| b.hosts.values()).flatten().copied().collect();
        let keys: Vec<Key> = kinds
            .into_iter()
            .map(|kind| Key {
                class: kind.class().into(),
                shape: Shape::Square,
                words: kind.words().into(),
            })
            .collect();
        let (legend, top) = canvas::legend(&keys, width);
        let columns = ((width - LEFT) / COLUMN_LEAST).floor().max(1.0) as usize;
        let shown = spread(&self.bursts.iter().collect::<Vec<&Burst>>(), columns);
        let most = shown.iter().flat_map(|b| b.hosts.values().map(Vec::len)).max().unwrap_or(1);
        let column = ((width - LEFT) / shown.len().max(1) as f64).min(150.0);
        let cell = Cell::for_most(most, column);
        let first = top + 40.0;
        let rows = self.hosts.min(HOSTS_MOST);
        let bottom = first + rows as f64 * (cell.height + 4.0);
        let body = html! {
            (legend)
            text x=(px(LEFT)) y=(px(top + 10.0)) { (self.heads) }
            @for (i, burst) in shown.iter().enumerate() {
                text class="name mid" x=(px(LEFT + i as f64 * column + cell.width / 2.0)) y=(px(first - 10.0)) { (burst.head) }
            }
            @for host in 0..rows {
                @let y = first + host as f64 * (cell.height + 4.0);
                text x="0" y=(px(y + cell.height / 2.0 + 4.0)) { "host " (host + 1) }
                @for (i, burst) in shown.iter().enumerate() {
                    (squares(burst.hosts.get(&host).map_or(&[], Vec::as_slice), &cell, (LEFT + i as f64 * column, y)))
                }
            }
            @if self.hosts > rows {
                text x="0" y=(px(bottom + 16.0)) { "and " (self.hosts - rows) " more hosts" }
            }
        };
        Drawn { height: bottom + if self.hosts > rows { 24.0 } else { 4.0 }, body }
    }
}

fn squares(kinds: &[Kind], cell: &Cell, (x, y): (f64, f64)) -> Markup {
    let pitch = cell.square + 2.0;
    html! {
        rect class="cell" x=(px(x)) y=(px(y)) width=(px(cell.width)) height=(px(cell.height)) rx="4" {
            @if !kinds.is_empty() { title { (kinds.len()) " instances" } }
        }
        @for (n, kind) in kinds.iter().enumerate() {
            @let left = x + 6.0 + (n % cell.across) as f64 * pitch;
            @let top = y + 6.0 + (n / cell.across) as f64 * pitch;
            // A hollow square's outline lies inside it, so that all kinds have one size.
            @let inset = if *kind == Kind::Reused { 0.7 } else { 0.0 };
            rect class=(kind.class()) x=(px(left + inset)) y=(px(top + inset)) rx="1.5"
                width=(px(cell.square - 2.0 * inset)) height=(px(cell.square - 2.0 * inset)) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Neighbours of other tenants and roles have their own colours on one host; without names there is no map.
    #[test]
    fn parties_have_colours() {
        let record = |tenant: u32, role: u32| Record {
            outcome: Outcome::Ok,
            instance: format!("{tenant}-{role}").into(),
            setting: [("tenant", tenant), ("role", role)]
                .map(|(name, value)| (name.to_owned(), value.to_string()))
                .into(),
            host_ids: [("boot_id".to_owned(), "one".to_owned())].into(),
            ..Record::default()
        };
        let records = [record(0, 0), record(0, 1), record(1, 0)];
        let records: Vec<&Record> = records.iter().collect();
        let drawn = meetings(&records, Some("boot_id")).expect("a map").file();
        for class in ["s1", "s2", "s3"] {
            assert_eq!(drawn.matches(&format!("<rect class=\"{class}\"")).count(), 2, "{class}");
        }
        assert!(drawn.contains("host 1") && !drawn.contains("host 2"));
        assert!(meetings(&records, None).is_none());
    }
}
