//! Random platforms: what is drawn of each, from a seed, over wide ranges.
//!
//! A quarter of them break what the analyses assume. The profile's text ([`text`]) is a whole one, so that any of them can be
//! kept in a file and measured by itself. Deliberately knows nothing of what a study does.

mod text;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// One random platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Its seed.
    pub seed: u64,
    /// Where hosts are named, or nothing.
    pub host_id: Option<&'static str>,
    /// Whether the disk counters are the host's.
    pub counters: bool,
    /// How instances are placed.
    pub placement: PlacementDrawn,
    /// Memory of a host, MiB.
    pub host_memory_mib: u32,
    /// How idle instances go.
    pub idle: IdleDrawn,
    /// Instances of one function at most, if that is limited.
    pub max_instances: Option<u32>,
    /// What the analyses assume, and is not so.
    pub broken: Option<Broken>,
    /// Shares of the kinds of host, ascending.
    pub host_shares: Vec<f64>,
    /// Share of invocations that fail, and as many of starts.
    pub failures: f64,
    text: String,
}

/// How instances are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementDrawn {
    /// The fullest host that fits.
    BinPack,
    /// Evenly over so many hosts.
    Spread(u32),
    /// By chance over so many hosts.
    Random(u32),
    /// A host for each instance.
    OnePerHost,
}

impl PlacementDrawn {
    /// Hosts at most; None for any number.
    pub const fn max_hosts(self) -> Option<u32> {
        match self {
            Self::Spread(hosts) | Self::Random(hosts) => Some(hosts),
            Self::BinPack | Self::OnePerHost => None,
        }
    }
}

/// How idle instances go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum IdleDrawn {
    /// At once.
    None,
    /// After this many seconds.
    Fixed(f64),
    /// By halves.
    Halving {
        /// From one halving to the next, s.
        interval_s: f64,
        /// When the last ones go, s.
        limit_s: f64,
        /// How many halvings leave alone.
        floor: u32,
    },
    /// By chance, after so many seconds on average.
    Memoryless(f64),
    /// By a rule that has no word: it is among what is [`Broken`].
    Odd,
}

/// An assumption that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Ways there and back differ by far.
    AsymmetricPath,
    /// Hosts' clocks differ, and drift.
    Clocks,
    /// All hosts' clocks are set ahead or back by some seconds, once in the study.
    ClockStep,
    /// Replies are lost, and requests come twice.
    Replies,
    /// Shares differ from instance to instance.
    Variation,
    /// Two idle limits, by chance.
    Bimodal,
    /// An idle limit that is looked at now and then.
    Sweep,
    /// Idle instances go when memory is short, the least recently used first.
    MemoryPressure,
    /// Idle pools are halved by clocks of the instances.
    InstanceClocks,
    /// Instances live for a while that is drawn for each.
    Lifetimes,
    /// Only a part of concurrent requests have an instance started.
    PartStarts,
    /// Idle instances are kept by another rule from some moment of the study on.
    PolicyChange,
    /// An instance serves several requests at once.
    Several,
}

const BROKEN: [Broken; 13] = [
    Broken::AsymmetricPath,
    Broken::Clocks,
    Broken::ClockStep,
    Broken::Replies,
    Broken::Variation,
    Broken::Bimodal,
    Broken::Sweep,
    Broken::MemoryPressure,
    Broken::InstanceClocks,
    Broken::Lifetimes,
    Broken::PartStarts,
    Broken::PolicyChange,
    Broken::Several,
];

/// Memory of the smallest instance, MiB.
pub(crate) const SMALLEST_MIB: u32 = 128;

const SOURCES: [&str; 6] = ["instance_root_id", "cgroup", "env", "boot_id", "machine_id", "ip"];
const RUNTIMES: [&str; 2] = ["native", "scripted"];

impl Drawn {
    /// The platform of a seed.
    pub fn of(seed: u64) -> Self {
        Draw { random: Pcg64Mcg::seed_from_u64(seed ^ 0x9e37_79b9_7f4a_7c15) }.platform(seed)
    }

    /// The profile as a file has it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Instances of the smallest size that fit on a host.
    pub fn slots(&self) -> u32 {
        self.host_memory_mib / SMALLEST_MIB
    }

    /// Instances of the smallest size that fit on all of one owner's hosts; None where there may be any number of hosts.
    pub fn room(&self) -> Option<u32> {
        self.placement.max_hosts().map(|hosts| hosts.saturating_mul(self.slots()))
    }
}

struct Draw {
    random: Pcg64Mcg,
}

impl Draw {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.random.random_range(low..high)
    }

    /// Between two values, each factor as likely.
    fn scaled(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.random_range(0..of.len())]
    }

    fn chance(&mut self, share: f64) -> bool {
        self.random.random_bool(share)
    }

    fn platform(&mut self, seed: u64) -> Drawn {
        let broken = self.chance(0.25).then(|| self.one(&BROKEN));
        let host_id = self.chance(0.85).then(|| self.one(&SOURCES));
        let counters = self.chance(0.6);
        let placement = match self.random.random_range(0..20) {
            0..8 => PlacementDrawn::BinPack,
            8..13 => PlacementDrawn::Spread(self.scaled(3.0, 300.0) as u32),
            13..17 => PlacementDrawn::Random(self.scaled(3.0, 60.0) as u32),
            _ => PlacementDrawn::OnePerHost,
        };
        // Few hosts are larger ones, or idle instances would have to go for want of room.
        let least =
            placement.max_hosts().map_or(12.0, |hosts| (1_200.0 / f64::from(hosts)).max(12.0));
        let host_memory_mib = 64 * (2.0 * self.scaled(least / 2.0, least.max(20.0) * 2.0)) as u32;
        let mut host_shares: Vec<f64> =
            (0..self.random.random_range(1..4)).map(|_| self.between(0.15, 1.0)).collect();
        let sum: f64 = host_shares.iter().sum();
        host_shares.iter_mut().for_each(|share| *share = (*share / sum * 1e3).round() / 1e3);
        let mut drawn = Drawn {
            seed,
            host_id,
            counters,
            placement,
            host_memory_mib,
            idle: self.idle(broken),
            max_instances: self.chance(0.15).then(|| self.random.random_range(60..190)),
            broken,
            host_shares,
            failures: self.one(&[0.0, 0.0, 0.002, 0.01]),
            text: String::new(),
        };
        drawn.text = self.text(&drawn);
        drawn
    }

    fn idle(&mut self, broken: Option<Broken>) -> IdleDrawn {
        let odd = [Broken::Bimodal, Broken::Sweep, Broken::MemoryPressure];
        if broken.is_some_and(|broken| odd.contains(&broken)) {
            return IdleDrawn::Odd;
        }
        let halving = broken == Some(Broken::InstanceClocks);
        match self.random.random_range(0..20) {
            0 if !halving => IdleDrawn::None,
            1..9 if !halving => IdleDrawn::Fixed(self.scaled(90.0, 6_000.0).round()),
            9..13 if !halving => IdleDrawn::Memoryless(self.scaled(150.0, 2_400.0).round()),
            _ => {
                let interval_s = self.scaled(60.0, 900.0).round();
                let limit_s = (interval_s * self.between(3.5, 7.0)).round().min(6_500.0);
                IdleDrawn::Halving { interval_s, limit_s, floor: self.random.random_range(1..4) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The same seed gives the same platform, another one another.
    #[test]
    fn platforms_come_from_their_seed() {
        assert_eq!(Drawn::of(7), Drawn::of(7));
        assert_ne!(Drawn::of(7).text(), Drawn::of(8).text());
    }

    // A quarter breaks the assumptions, and every policy is drawn.
    #[test]
    fn all_kinds_are_drawn() {
        let drawn: Vec<Drawn> = (0..400).map(Drawn::of).collect();
        let broken = drawn.iter().filter(|it| it.broken.is_some()).count();
        assert!((70..=130).contains(&broken), "{broken}");
        for kind in BROKEN {
            assert!(drawn.iter().any(|it| it.broken == Some(kind)), "{kind:?} is never drawn");
        }
        for idle in [
            |idle: IdleDrawn| idle == IdleDrawn::None,
            |idle| matches!(idle, IdleDrawn::Fixed(_)),
            |idle| matches!(idle, IdleDrawn::Halving { .. }),
            |idle| matches!(idle, IdleDrawn::Memoryless(_)),
            |idle| idle == IdleDrawn::Odd,
        ] {
            assert!(drawn.iter().any(|it| idle(it.idle)));
        }
        for placement in [
            |placement: PlacementDrawn| placement == PlacementDrawn::BinPack,
            |placement| matches!(placement, PlacementDrawn::Spread(_)),
            |placement| matches!(placement, PlacementDrawn::Random(_)),
            |placement| placement == PlacementDrawn::OnePerHost,
        ] {
            assert!(drawn.iter().any(|it| placement(it.placement)));
        }
        for broken in BROKEN {
            assert!(drawn.iter().any(|it| it.broken == Some(broken)), "{broken:?}");
        }
        assert!(drawn.iter().any(|it| it.host_id.is_none()));
    }
}
