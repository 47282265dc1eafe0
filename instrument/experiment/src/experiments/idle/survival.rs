//! What earlier stages of the idle experiment saw: which instances were still there after which delay.

use model::Span;
use record::{Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Pools of which less than this part is left have begun to shrink; single losses have other causes.
const POOL_WHOLE: f64 = 0.8;

/// Pools of which more than this part is left have mostly been halved once at most.
const POOL_HALF: f64 = 0.5;

/// Part of single instances that are still there where pools are halved, at least.
const SINGLES_STAY: f64 = 0.9;

/// Instances seen again, of instances asked for, by delay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survival {
    pairs: BTreeMap<Span, Tally>,
    pools: BTreeMap<Span, Tally>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    alive: usize,
    all: usize,
}

impl Tally {
    fn fraction(self) -> f64 {
        self.alive as f64 / self.all.max(1) as f64
    }
}

impl Survival {
    /// Of one runtime and memory size. Void and failed requests are missing data.
    pub fn of(records: &[Record], runtime: &str, memory_mib: u32) -> Self {
        let mut functions: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for record in records {
            let wanted = record.runtime == runtime && record.memory_mib == memory_mib;
            if wanted && record.outcome == Outcome::Ok && !record.setting.contains_key("void") {
                functions.entry(&record.function).or_default().push(record);
            }
        }
        let mut survival = Self::default();
        for records in functions.values() {
            survival.count(records);
        }
        survival
    }

    fn count(&mut self, records: &[&Record]) {
        let instances = |phases: [&str; 2]| -> BTreeSet<&str> {
            let of = |record: &&&Record| phases.contains(&record.phase.as_str());
            records.iter().filter(of).map(|record| record.instance.as_str()).collect()
        };
        let (before, after) = (instances(["first", "launch"]), instances(["second", "probe"]));
        let setting = |name: &str| records.first().and_then(|record| record.setting.get(name));
        let delay = setting("delay_s").and_then(|text| text.parse().ok()).map(Span::from_secs_f64);
        let (Some(delay), false, false) = (delay, before.is_empty(), after.is_empty()) else {
            return;
        };
        let pool = setting("part").is_some_and(|part| part == "pool");
        let by_delay = if pool { &mut self.pools } else { &mut self.pairs };
        let tally = by_delay.entry(delay).or_default();
        tally.alive += before.intersection(&after).count();
        tally.all += before.len();
    }

    /// The longest delay before the limit (0 where there is none) and the shortest one beyond it: at that one and all longer
    /// ones most instances were gone. None where the limit is beyond every delay tried.
    pub fn bracket(&self) -> Option<(Span, Span)> {
        let kept = |tally: &Tally| tally.fraction() >= 0.5;
        let last_kept = self.pairs.iter().rfind(|(_, tally)| kept(tally)).map(|(delay, _)| *delay);
        let from = last_kept.unwrap_or(Span::ZERO);
        let gone = self.pairs.keys().find(|delay| **delay > from)?;
        Some((from, *gone))
    }

    /// Delays of pools that were probed.
    pub fn pool_delays(&self) -> Vec<Span> {
        self.pools.keys().copied().collect()
    }

    /// Whether pools shrank before the limit of single instances.
    pub fn pools_shrank(&self) -> bool {
        let limit = self.bracket().map_or(Span::MAX, |(kept, _)| kept);
        self.pools.range(..=limit).any(|(_, tally)| tally.fraction() < POOL_WHOLE)
    }

    /// About how often pools are halved, where they shrink and single instances stay: up to one interval, a pool has lost half
    /// of its part on average, since clocks of hosts are out of step.
    pub fn halving(&self) -> Option<Span> {
        if !self.pools_shrank() {
            return None;
        }
        let first = self.pools.iter().take(1);
        let early = self.pools.iter().skip(1).take_while(|(_, tally)| tally.fraction() > POOL_HALF);
        let early: Vec<(&Span, &Tally)> = first.chain(early).collect();
        let (last, _) = early.last()?;
        let (alive, all) = self
            .pairs
            .range(..=**last)
            .fold((0, 0), |(alive, all), (_, tally)| (alive + tally.alive, all + tally.all));
        // The least squares of a line through nothing lost at no time.
        let sum = |of: fn(f64, f64) -> f64| -> f64 {
            let one =
                |(delay, tally): &(&Span, &Tally)| of(delay.as_secs_f64(), 1.0 - tally.fraction());
            early.iter().map(one).sum()
        };
        let (squares, lost) = (sum(|idle_s, _| idle_s * idle_s), sum(|idle_s, lost| idle_s * lost));
        let stay = alive as f64 >= SINGLES_STAY * all as f64;
        (stay && lost > 0.0).then(|| Span::from_secs_f64(squares / (2.0 * lost)))
    }
}

/// The delay beyond which instances are gone, over all runtimes and sizes; None where it is not known for one of them.
pub(crate) fn idle_limit(records: &[Record]) -> Option<Span> {
    let settings: BTreeSet<(&str, u32)> = records
        .iter()
        .filter(|record| !record.runtime.is_empty())
        .map(|record| (record.runtime.as_str(), record.memory_mib))
        .collect();
    let limits: Option<Vec<Span>> = settings
        .into_iter()
        .map(|(runtime, size)| Survival::of(records, runtime, size).bracket().map(|(_, gone)| gone))
        .collect();
    limits?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(delay_s: u64, number: usize, again: &str) -> [Record; 2] {
        let record = |phase: &str, instance: &str| Record {
            function: format!("f-{delay_s}-{number}").into(),
            runtime: "provided.al2023".into(),
            memory_mib: 128,
            phase: phase.into(),
            outcome: Outcome::Ok,
            instance: instance.into(),
            setting: [("delay_s".to_owned(), delay_s.to_string())].into(),
            ..Record::default()
        };
        [record("first", "a"), record("second", again)]
    }

    fn survival(of_five_alive: &[(u64, usize)]) -> Survival {
        let records: Vec<Record> = of_five_alive
            .iter()
            .flat_map(|(delay, alive)| {
                (0..5).flat_map(move |i| pair(*delay, i, if i < *alive { "a" } else { "b" }))
            })
            .collect();
        Survival::of(&records, "provided.al2023", 128)
    }

    // Single losses before the limit do not move the bracket.
    #[test]
    fn brackets_follow_the_majority() {
        let bracket = survival(&[(1, 5), (2, 4), (4, 5), (8, 0), (16, 0)]).bracket();
        assert_eq!(bracket, Some((Span::from_secs(4), Span::from_secs(8))));
    }

    // Pools that are down to three quarters after half an interval tell it; where single instances go as well, nothing is
    // halved.
    #[test]
    fn intervals_are_guessed() {
        let mut seen = survival(&[(60, 5), (90, 5), (900, 5), (1_000, 0)]);
        assert_eq!(seen.halving(), None);
        for (delay_s, alive) in [(50, 85), (100, 65), (300, 30)] {
            seen.pools.insert(Span::from_secs(delay_s), Tally { alive, all: 100 });
        }
        let guess_s = seen.halving().expect("pools shrink").as_secs_f64();
        assert!((guess_s - 147.0).abs() < 1.0, "{guess_s}");
        seen.pairs.insert(Span::from_secs(60), Tally { alive: 3, all: 5 });
        assert_eq!(seen.halving(), None);
    }

    // Below the shortest delay the bracket begins at 0; beyond the longest there is none.
    #[test]
    fn ends_are_open() {
        let none_kept = survival(&[(1, 0), (2, 0)]).bracket();
        assert_eq!(none_kept, Some((Span::ZERO, Span::from_secs(1))));
        assert_eq!(survival(&[(1, 5), (2, 5)]).bracket(), None);
    }
}
