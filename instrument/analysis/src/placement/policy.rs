//! The word for a placement policy, from bursts of a ladder.
//!
//! What each policy would do with a burst of n instances of a size of which c fit on a host (c is the most ever seen):
//! - `one_per_host`: n hosts, always. Spreading over more hosts than the largest burst cannot be told from it;
//! - `bin_pack`: n / c hosts, rounded up; one more where earlier instances had left a gap;
//! - `spread`: all of its hosts, whatever n is, and counts that differ by one at most;
//! - `random`: counts as uneven as draws of a host for each instance.
//!
//! A word is given where nine bursts of ten are as it says and no other word explains as many. It takes bursts of at least
//! two sizes n, and for packing also one burst that fits on one host and one that does not; else a single host, or
//! hosts of one instance, fit every policy. An instance whose answer is missing may have been on any host. Deliberately knows nothing of what was on the hosts before.

use statrs::distribution::{ChiSquared, ContinuousCDF};
use std::collections::{BTreeMap, BTreeSet};

/// Share of bursts that must be as a word says.
const FIT: f64 = 0.9;

/// Share of bursts that must be packed without any gap.
const TIGHT: f64 = 0.6;

/// Of the most instances ever seen on a host, the part that a burst may bring to each host on average for it to leave room.
const ROOMY: f64 = 0.35;

/// Share of a burst's requests without an answer above which it says nothing.
const MISSING: f64 = 0.2;

/// A burst: instances of one function that ran at one instant, by host.
pub(super) struct Burst {
    pub(super) memory_mib: u32,
    pub(super) hosts: BTreeMap<String, u32>,
    /// Requests without an answer: they may have had an instance anywhere.
    pub(super) missing: u32,
}

impl Burst {
    fn size(&self) -> u32 {
        self.hosts.values().sum()
    }

    fn used(&self) -> u32 {
        self.hosts.len() as u32
    }

    fn most(&self) -> u32 {
        self.hosts.values().copied().max().unwrap_or(0)
    }

    fn least(&self) -> u32 {
        self.hosts.values().copied().min().unwrap_or(0)
    }
}

/// A policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    BinPack,
    Spread,
    Random,
    OnePerHost,
}

impl Word {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::BinPack => "bin_pack",
            Self::Spread => "spread",
            Self::Random => "random",
            Self::OnePerHost => "one_per_host",
        }
    }
}

/// The policy, or why it cannot be told and what would change that.
pub(super) fn policy(bursts: &[Burst]) -> Result<Word, &'static str> {
    let is_told = |burst: &&Burst| {
        burst.size() > 1 && f64::from(burst.missing) <= MISSING * f64::from(burst.size())
    };
    let bursts: Vec<&Burst> = bursts.iter().filter(is_told).collect();
    let sizes: BTreeSet<u32> = bursts.iter().map(|burst| burst.size()).collect();
    if bursts.len() < 3 || sizes.len() < 2 {
        return Err("too few bursts of different sizes ran; more steps of the ladder would tell");
    }
    if bursts.iter().all(|burst| burst.most() == 1) {
        return Ok(Word::OnePerHost);
    }
    let seen: BTreeSet<&str> =
        bursts.iter().flat_map(|burst| burst.hosts.keys().map(String::as_str)).collect();
    if seen.len() == 1 {
        return Err("all instances ran on one host; larger bursts would need more than one");
    }
    let packed = packs(&bursts);
    let spread = spreads(&bursts);
    match (packed, spread) {
        (true, false) => Ok(Word::BinPack),
        (false, true) => Ok(Word::Spread),
        (true, true) => {
            Err("the bursts fit packing and spreading alike; other burst sizes would tell")
        }
        (false, false) if is_random(&bursts, seen.len() as f64) => Ok(Word::Random),
        (false, false) => {
            Err("the bursts fit no policy known here; more rounds on empty hosts might tell")
        }
    }
}

fn share(bursts: &[&Burst], holds: impl Fn(&Burst) -> bool) -> f64 {
    bursts.iter().filter(|burst| holds(burst)).count() as f64 / bursts.len() as f64
}

/// Whether hosts are filled one after another.
fn packs(bursts: &[&Burst]) -> bool {
    let mut capacity: BTreeMap<u32, u32> = BTreeMap::new();
    for burst in bursts {
        let most = capacity.entry(burst.memory_mib).or_default();
        *most = burst.most().max(*most);
    }
    let on_full =
        |instances: u32, burst: &Burst| instances.div_ceil(capacity[&burst.memory_mib].max(1));
    let needed = |burst: &Burst| on_full(burst.size(), burst);
    let most_needed = |burst: &Burst| on_full(burst.size() + burst.missing, burst);
    // Where a host takes one instance only, packing and spreading look alike.
    let telling: Vec<&Burst> =
        bursts.iter().copied().filter(|burst| capacity[&burst.memory_mib] > 1).collect();
    let fits_on_one = telling.iter().any(|burst| needed(burst) == 1 && burst.used() <= 2);
    let needs_more = telling.iter().any(|burst| needed(burst) > 1);
    let grows = telling.iter().any(|burst| needed(burst) > 2);
    (fits_on_one && needs_more || grows)
        && share(&telling, |burst| burst.used() <= most_needed(burst) + 1) >= FIT
        && share(&telling, |burst| (needed(burst)..=most_needed(burst)).contains(&burst.used()))
            >= TIGHT
}

/// Whether all hosts get the same, and all are used as soon as there are instances for each.
fn spreads(bursts: &[&Burst]) -> bool {
    let hosts = bursts.iter().map(|burst| burst.used()).max().unwrap_or(0);
    let even = |burst: &Burst| {
        let (answered, all) = (burst.size().min(hosts), (burst.size() + burst.missing).min(hosts));
        (answered.saturating_sub(burst.missing)..=all).contains(&burst.used())
            && burst.most() - burst.least() <= 1 + burst.missing
    };
    share(bursts, even) >= FIT
}

/// Whether counts vary as those of independent draws among all hosts seen do, by the index of dispersion. Only bursts
/// that leave room count: where hosts are full, chance has no choice.
fn is_random(bursts: &[&Burst], hosts: f64) -> bool {
    let mut most: BTreeMap<u32, u32> = BTreeMap::new();
    for burst in bursts {
        let seen = most.entry(burst.memory_mib).or_default();
        *seen = burst.most().max(*seen);
    }
    let (mut statistic, mut freedom) = (0.0, 0.0);
    for burst in bursts {
        let expected = f64::from(burst.size()) / hosts;
        if expected > ROOMY * f64::from(most[&burst.memory_mib]) {
            continue;
        }
        let used: f64 =
            burst.hosts.values().map(|count| (f64::from(*count) - expected).powi(2)).sum();
        let unused = (hosts - f64::from(burst.used())) * expected.powi(2);
        statistic += (used + unused) / expected;
        freedom += hosts - 1.0;
    }
    let Ok(chi) = ChiSquared::new(freedom) else { return false };
    let below = chi.cdf(statistic);
    freedom >= 10.0 && (0.005..=0.995).contains(&below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    /// The ladder of a local study: three rounds, two sizes of which 12 and 2 fit on a host.
    const LADDER: [(u32, u32); 8] =
        [(128, 5), (128, 10), (128, 15), (128, 25), (640, 5), (640, 10), (640, 15), (640, 25)];

    fn bursts(rounds: u32, mut place: impl FnMut(u32, u32) -> u32) -> Vec<Burst> {
        let mut bursts = Vec::new();
        for _ in 0..rounds {
            for (memory_mib, size) in LADDER {
                let mut hosts = BTreeMap::new();
                for number in 0..size {
                    *hosts.entry(format!("host-{}", place(memory_mib, number))).or_default() += 1;
                }
                bursts.push(Burst { memory_mib, hosts, missing: 0 });
            }
        }
        bursts
    }

    fn fits(memory_mib: u32) -> u32 {
        1536 / memory_mib
    }

    // Each policy gets its own word on the ladder of a study, over many seeds and numbers of hosts.
    #[test]
    fn words_are_right() {
        for rounds in [1, 3, 10] {
            let packed = bursts(rounds, |memory_mib, number| number / fits(memory_mib));
            assert_eq!(policy(&packed), Ok(Word::BinPack));
            let alone = bursts(rounds, |_, number| number);
            assert_eq!(policy(&alone), Ok(Word::OnePerHost));
            for hosts in 2..25 {
                let spread = bursts(rounds, |_, number| number % hosts);
                assert_eq!(policy(&spread), Ok(Word::Spread), "{hosts} hosts");
            }
        }
    }

    // Random placement is never taken for anything else, and is mostly found.
    #[test]
    fn random_is_never_a_wrong_word() {
        let (mut found, mut all) = (0, 0);
        for seed in 0..100 {
            let mut random = Pcg64::seed_from_u64(seed);
            for hosts in [3, 5, 10, 20, 40] {
                let placed = bursts(3, |_, _| random.random_range(0..hosts));
                match policy(&placed) {
                    Ok(Word::Random) => found += 1,
                    Ok(other) => panic!("{other:?} for {hosts} hosts, seed {seed}"),
                    Err(_) => {}
                }
                all += 1;
            }
        }
        assert!(found * 20 >= all * 19, "{found} of {all}");
    }

    // A request of a hundred that fails hides neither packing nor spreading.
    #[test]
    fn failures_hide_no_policy() {
        let mut random = Pcg64::seed_from_u64(3);
        let mut fail = |mut bursts: Vec<Burst>| {
            for burst in &mut bursts {
                for count in burst.hosts.values_mut() {
                    let lost = (0..*count).filter(|_| random.random_bool(0.01)).count() as u32;
                    *count -= lost;
                    burst.missing += lost;
                }
                burst.hosts.retain(|_, count| *count > 0);
            }
            bursts
        };
        for hosts in [3, 7, 20] {
            let spread = fail(bursts(10, |_, number| number % hosts));
            assert_eq!(policy(&spread), Ok(Word::Spread), "{hosts} hosts");
        }
        let packed = fail(bursts(10, |memory_mib, number| number / fits(memory_mib)));
        assert_eq!(policy(&packed), Ok(Word::BinPack));
    }

    // Gaps that earlier functions left do not hide packing.
    #[test]
    fn packing_survives_gaps() {
        let mut random = Pcg64::seed_from_u64(1);
        for _ in 0..100 {
            let gap = random.random_range(0..3);
            let packed =
                bursts(
                    3,
                    |memory_mib, number| {
                        if number < gap { 99 } else { (number - gap) / fits(memory_mib) }
                    },
                );
            assert!(matches!(policy(&packed), Ok(Word::BinPack) | Err(_)));
        }
    }

    // One host, or one burst size, fits every policy.
    #[test]
    fn what_fits_everything_is_unknown() {
        assert!(policy(&bursts(3, |_, _| 0)).is_err());
        let mut same = bursts(3, |memory_mib, number| number / fits(memory_mib));
        same.retain(|burst| burst.size() == 5 && burst.memory_mib == 128);
        assert!(policy(&same).is_err());
        assert!(policy(&[]).is_err());
    }
}
