//! Pools of idle instances: what was launched, what was still there, and which rule shrank them.
//!
//! A pool is probed once, since a probe uses its instances again. Deliberately judges pools only below the limit of single
//! instances: beyond it everything is gone, whatever the rule.

use super::halving::{self, Fit, Look, Observation};
use super::watched::{Window, middle};
use super::{LOSS_LEVEL, OTHER_CAUSES, POOL_MIN, delay_ms};
use crate::statistics::binomial;
use crate::study::{Study, group};
use record::{Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Pools below the limit that must have stayed whole, up to this part of it, for the limit to be the only rule.
const WATCHED: f64 = 0.5;

/// How much larger or smaller than found a rate may be: three standard errors of about a hundred losses.
const RATE_SURE: f64 = 1.3;

/// Standard deviations by which pools must differ from single instances to go sooner or later than they.
const CLEAR_DEVIATIONS: f64 = 4.0;

/// One pool.
pub(super) struct Pool {
    /// Delay as planned, ms.
    pub(super) delay_ms: u64,
    /// When the median response arrived, s since the run began.
    from_s: f64,
    /// When the median probe was sent.
    to_s: f64,
    /// By host: its name, instances launched and instances still there. One entry where nothing names the host.
    hosts: Vec<(String, u32, u32)>,
}

impl Pool {
    fn idle_s(&self) -> f64 {
        self.to_s - self.from_s
    }

    fn launched(&self) -> u32 {
        self.hosts.iter().map(|(_, launched, _)| launched).sum()
    }

    /// Share of the launched instances that were still there.
    pub(super) fn alive_fraction(&self) -> f64 {
        let alive: u32 = self.hosts.iter().map(|(_, _, alive)| alive).sum();
        f64::from(alive) / f64::from(self.launched().max(1))
    }
}

/// The pools whose requests were all answered.
pub(super) fn pools(study: &Study, records: &[&Record]) -> Vec<Pool> {
    let key = |record: &Record| (record.function.clone(), record.round, record.unit.clone());
    group(records, key).values().filter_map(|records| pool(study, records)).collect()
}

fn pool(study: &Study, records: &[&Record]) -> Option<Pool> {
    let of = |phase: &str| -> Vec<&Record> {
        records.iter().copied().filter(|record| record.phase == phase).collect()
    };
    let (launch, probe) = (of("launch"), of("probe"));
    // A probe without an answer may hide a survivor.
    if probe.iter().any(|record| record.outcome != Outcome::Ok) || probe.len() < launch.len() {
        return None;
    }
    let survivors: BTreeSet<&str> = probe.iter().map(|record| record.instance.as_str()).collect();
    let launched: BTreeMap<&str, &Record> = launch
        .iter()
        .filter(|record| record.outcome == Outcome::Ok && !record.instance.is_empty())
        .map(|record| (record.instance.as_str(), *record))
        .collect();
    // A host's clock may be another one in another stage, when the host's name is the same.
    let own = &launch.first()?.function;
    let clock = |record: &Record| match study.host.of(record) {
        Some(host) => format!("{} {host}", record.unit),
        None => own.to_string(),
    };
    let mut hosts: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for (instance, record) in &launched {
        let (all, alive) = hosts.entry(clock(record)).or_default();
        *all += 1;
        *alive += u32::from(survivors.contains(instance));
    }
    Some(Pool {
        delay_ms: delay_ms(launch.first()?)?,
        from_s: middle(launched.values().map(|record| record.received_ns)),
        to_s: middle(probe.iter().map(|record| record.sent_ns)),
        hosts: hosts.into_iter().map(|(clock, (all, alive))| (clock, all, alive)).collect(),
    })
}

/// The shortest idle time from which on every pool was wholly gone; None where the longest one had survivors.
pub(super) fn all_gone_s(pools: &[Pool]) -> Option<f64> {
    let survived = |pool: &&Pool| pool.alive_fraction() > 0.0;
    let last = pools.iter().filter(survived).map(Pool::idle_s).fold(0.0, f64::max);
    pools.iter().map(Pool::idle_s).filter(|idle_s| *idle_s > last).reduce(f64::min)
}

/// What pools do, where single instances go by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// The same.
    Alike,
    /// They lose clearly more.
    Sooner,
    /// They lose clearly less.
    Later,
}

/// How pools fare beside single instances that go at this `rate` in a second, each for itself.
pub(super) fn beside(pools: &[Pool], rate: f64) -> Beside {
    let alive: f64 =
        pools.iter().map(|pool| pool.alive_fraction() * f64::from(pool.launched())).sum();
    // How many are to be there, and by how much that varies.
    let left = |rate: f64, others: f64| {
        let (mut expected, mut variance) = (0.0, 0.0);
        for pool in pools {
            let all = f64::from(pool.launched());
            let stays = (1.0 - others) * (-rate * pool.idle_s().max(0.0)).exp();
            expected += all * stays;
            variance += all * stays * (1.0 - stays);
        }
        (expected, CLEAR_DEVIATIONS * variance.sqrt())
    };
    let (least, below) = left(RATE_SURE * rate, OTHER_CAUSES);
    let (most, above) = left(rate / RATE_SURE, 0.0);
    if alive < least - below {
        Beside::Sooner
    } else if alive > most + above {
        Beside::Later
    } else {
        Beside::Alike
    }
}

/// Which rule shrinks pools, given what was seen of those that were watched and the longest idle time that single instances
/// outlived, where longer ones ended them.
pub(super) fn judge(
    pools: &[Pool],
    windows: &[Window],
    limit_s: Option<f64>,
) -> Result<(&'static str, Option<Fit>), &'static str> {
    let watched: Vec<&Pool> = pools
        .iter()
        .filter(|pool| pool.idle_s() > 0.0 && limit_s.is_none_or(|limit| pool.idle_s() < limit))
        .collect();
    if watched.is_empty() {
        return Err(
            "no pool of idle instances was watched; with pools of 20 or more, halving could be told \
                    from a fixed limit",
        );
    }
    if watched.iter().map(|pool| pool.launched() as usize).max().unwrap_or(0) < POOL_MIN {
        return Err("pools had fewer than 20 instances; larger ones would tell how they shrink");
    }
    let whole = watched.iter().flat_map(|pool| &pool.hosts).all(|(_, launched, alive)| {
        let lost = u64::from(launched - alive);
        let by_chance =
            |lost: u64| 1.0 - binomial::cumulative(lost - 1, u64::from(*launched), OTHER_CAUSES);
        lost == 0 || by_chance(lost) >= LOSS_LEVEL
    });
    let longest = watched.iter().map(|pool| pool.idle_s()).fold(0.0, f64::max);
    match (whole, limit_s) {
        (true, None) => Err("nothing was lost within the longest delay; longer delays would tell"),
        (true, Some(limit)) if longest < WATCHED * limit => {
            Err("pools were watched for less than half of the limit; longer delays would tell")
        }
        (true, Some(_)) => Ok(("fixed", None)),
        (false, _) => {
            let observations = observations(&watched, windows);
            halving::fit(&observations)
                .map(|fit| ("halving", Some(fit)))
                .ok_or("pools shrink, but not by halves at a fixed interval; more pools, or host ids, might tell")
        }
    }
}

/// What is known of each host's clock: by pools that were probed once, of each host the first one, and by those that were
/// watched. Later pools go where a tick has just made room, and so see the next one later than chance would have it; who
/// watches sees that tick as well.
fn observations(pools: &[&Pool], windows: &[Window]) -> Vec<Observation> {
    let mut clocks: BTreeMap<&str, usize> = BTreeMap::new();
    let mut observations = Vec::new();
    let mut pools = pools.to_vec();
    pools.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
    for pool in pools {
        for (clock, launched, alive) in &pool.hosts {
            if clocks.contains_key(clock.as_str()) {
                continue;
            }
            let next = clocks.len();
            observations.push(Observation {
                clock: *clocks.entry(clock).or_insert(next),
                look: Look::Probe { delay_ms: pool.delay_ms },
                from_s: pool.from_s,
                to_s: pool.to_s,
                launched: *launched,
                alive: *alive,
            });
        }
    }
    for window in windows {
        let next = clocks.len();
        observations.push(Observation {
            clock: *clocks.entry(&window.clock).or_insert(next),
            look: Look::Watch,
            from_s: window.from_s,
            to_s: window.to_s,
            launched: window.launched,
            alive: window.alive,
        });
    }
    observations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(idle_s: f64, alive: u32) -> Pool {
        let hosts = vec![("a".to_owned(), 20, alive)];
        Pool { delay_ms: (idle_s * 1e3) as u64, from_s: 0.0, to_s: idle_s, hosts }
    }

    // Pools that lose half of what single instances keep go sooner, such as lose nothing later; those that lose the same do
    // not, and none at all neither.
    #[test]
    fn pools_are_held_against_single_instances() {
        let pools = |alive: [u32; 3]| -> Vec<Pool> {
            let delays = [250.0, 500.0, 1_000.0].into_iter().zip(alive);
            delays.flat_map(|(delay, alive)| (0..5).map(move |_| pool(delay, alive))).collect()
        };
        // One in two thousand seconds: 18, 16 and 12 of 20 stay.
        let rate = 1.0 / 2_000.0;
        assert_eq!(beside(&pools([15, 10, 6]), rate), Beside::Sooner);
        assert_eq!(beside(&pools([18, 15, 12]), rate), Beside::Alike);
        assert_eq!(beside(&pools([20, 20, 20]), rate), Beside::Later);
        assert_eq!(beside(&[], rate), Beside::Alike);
    }
}
