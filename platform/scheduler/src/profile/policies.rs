//! The sections of a profile that choose policies. Each policy has keys of its own: none may be missing, none of another's
//! may be there.
//!
//! Deliberately knows nothing of the other sections.

use super::error::Fault;
use super::file::{needed, positive, require};
use crate::policy::{
    Bimodal, BinPack, Clock, Fixed, Halving, Histogram, KeepAlive, LeastContention, Lifetime,
    MemoryPressure, Memoryless, NoKeeping, OnePerHost, Placement, Random, Scaling, Spread, Sweep,
    Updates, Weights,
};
use model::{MemoryMib, Span};
use serde::Deserialize;

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlacementName {
    BinPack,
    Spread,
    Random,
    OnePerHost,
    LeastContention,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlacementSection {
    policy: PlacementName,
    max_hosts: Option<u32>,
    load_limit: Option<f64>,
    memory_weight: Option<f64>,
    cpu_weight: Option<f64>,
    disk_weight: Option<f64>,
    network_weight: Option<f64>,
    disk_mib_s: Option<f64>,
    network_mbit_s: Option<f64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeepAliveName {
    None,
    Fixed,
    Halving,
    Memoryless,
    Bimodal,
    Sweep,
    MemoryPressure,
    Histogram,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LifetimeName {
    Exponential,
    Lognormal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeepAliveSection {
    policy: KeepAliveName,
    limit_s: Option<f64>,
    interval_s: Option<f64>,
    floor: Option<u32>,
    clock: Option<Clock>,
    mean_s: Option<f64>,
    long_s: Option<f64>,
    long_share: Option<f64>,
    pool_mib: Option<u32>,
    lifetime_cap_s: Option<f64>,
    lifetime: Option<LifetimeName>,
    lifetime_median_s: Option<f64>,
    lifetime_sigma: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScalingSection {
    max_instances: Option<u32>,
    requests_per_instance: Option<u32>,
    start_share: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdatesSection {
    window_s: f64,
    reuse_chance: f64,
    start_chance: f64,
}

/// Requests that one instance may take at once: as many as Google's containers do today (Cloud Run, "Maximum concurrent
/// requests per instance", 2026-11).
const REQUESTS_MAX: u32 = 1000;
const LIMIT: &str = "keep_alive.limit_s";
const INTERVAL: &str = "keep_alive.interval_s";
const FLOOR: &str = "keep_alive.floor";
const CLOCK: &str = "keep_alive.clock";
const MEAN: &str = "keep_alive.mean_s";
const LONG: &str = "keep_alive.long_s";
const LONG_SHARE: &str = "keep_alive.long_share";
const POOL: &str = "keep_alive.pool_mib";

pub(super) fn placement(section: &PlacementSection) -> Result<Placement, Fault> {
    const KEY: &str = "placement.max_hosts";
    let choice = match section.policy {
        PlacementName::BinPack => "placement.policy bin_pack",
        PlacementName::Spread => "placement.policy spread",
        PlacementName::Random => "placement.policy random",
        PlacementName::OnePerHost => "placement.policy one_per_host",
        PlacementName::LeastContention => "placement.policy least_contention",
    };
    let max_hosts = || {
        let max_hosts = needed(section.max_hosts, KEY, choice)?;
        require(max_hosts >= 1, KEY, max_hosts, "at least 1")?;
        Ok(max_hosts)
    };
    let alone = || match section.max_hosts {
        Some(_) => Err(Fault::Foreign { key: KEY, policy: choice }),
        None => Ok(()),
    };
    if !matches!(section.policy, PlacementName::LeastContention)
        && let Some((key, _)) = section.load_keys().iter().find(|(_, value)| value.is_some())
    {
        return Err(Fault::Foreign { key, policy: choice });
    }
    Ok(match section.policy {
        PlacementName::BinPack => alone().map(|()| Placement::BinPack(BinPack))?,
        PlacementName::Spread => Placement::Spread(Spread { max_hosts: max_hosts()? }),
        PlacementName::Random => Placement::Random(Random { max_hosts: max_hosts()? }),
        PlacementName::OnePerHost => alone().map(|()| Placement::OnePerHost(OnePerHost))?,
        PlacementName::LeastContention => {
            Placement::LeastContention(least_contention(section, max_hosts()?, choice)?)
        }
    })
}

impl PlacementSection {
    /// The keys that only the policy has which weighs load, and what they are.
    fn load_keys(&self) -> [(&'static str, Option<f64>); 7] {
        [
            ("placement.load_limit", self.load_limit),
            ("placement.memory_weight", self.memory_weight),
            ("placement.cpu_weight", self.cpu_weight),
            ("placement.disk_weight", self.disk_weight),
            ("placement.network_weight", self.network_weight),
            ("placement.disk_mib_s", self.disk_mib_s),
            ("placement.network_mbit_s", self.network_mbit_s),
        ]
    }
}

fn least_contention(
    section: &PlacementSection,
    max_hosts: u32,
    choice: &'static str,
) -> Result<LeastContention, Fault> {
    let [load_limit, memory, cpu, disk, network, disk_mib_s, network_mbit_s] = section.load_keys();
    let value = |(key, value)| Ok((key, needed(value, key, choice)?));
    let weight = |entry| {
        let (key, weight) = value(entry)?;
        require((0.0..=1e6).contains(&weight), key, weight, "a weight from 0 to 1000000")?;
        Ok(weight)
    };
    let rate = |entry| {
        let (key, rate) = value(entry)?;
        require((1e-3..=1e9).contains(&rate), key, rate, "from 0.001 to 1000000000")?;
        Ok(rate)
    };
    let (key, load_limit) = value(load_limit)?;
    let holds = load_limit > 0.0 && load_limit <= 1.0;
    require(holds, key, load_limit, "more than 0 and at most 1")?;
    let weights = Weights {
        memory: weight(memory)?,
        cpu: weight(cpu)?,
        disk: weight(disk)?,
        network: weight(network)?,
    };
    let (disk_mib_s, network_mbit_s) = (rate(disk_mib_s)?, rate(network_mbit_s)?);
    Ok(LeastContention { max_hosts, load_limit, weights, disk_mib_s, network_mbit_s })
}

pub(super) fn keep_alive(section: &KeepAliveSection) -> Result<KeepAlive, Fault> {
    let (choice, own): (_, &[&str]) = match section.policy {
        KeepAliveName::None => ("keep_alive.policy none", &[]),
        KeepAliveName::Fixed => ("keep_alive.policy fixed", &[LIMIT]),
        KeepAliveName::Halving => ("keep_alive.policy halving", &[LIMIT, INTERVAL, FLOOR, CLOCK]),
        KeepAliveName::Memoryless => ("keep_alive.policy memoryless", &[MEAN]),
        KeepAliveName::Bimodal => ("keep_alive.policy bimodal", &[LIMIT, LONG, LONG_SHARE]),
        KeepAliveName::Sweep => ("keep_alive.policy sweep", &[LIMIT, INTERVAL]),
        KeepAliveName::MemoryPressure => ("keep_alive.policy memory_pressure", &[POOL]),
        KeepAliveName::Histogram => ("keep_alive.policy histogram", &[LIMIT, INTERVAL]),
    };
    let there = [
        (LIMIT, section.limit_s.is_some()),
        (INTERVAL, section.interval_s.is_some()),
        (FLOOR, section.floor.is_some()),
        (CLOCK, section.clock.is_some()),
        (MEAN, section.mean_s.is_some()),
        (LONG, section.long_s.is_some()),
        (LONG_SHARE, section.long_share.is_some()),
        (POOL, section.pool_mib.is_some()),
    ];
    if let Some(&(key, _)) = there.iter().find(|(key, there)| *there && !own.contains(key)) {
        return Err(Fault::Foreign { key, policy: choice });
    }
    let span = |value: Option<f64>, key| positive(key, needed(value, key, choice)?);
    let limit = || span(section.limit_s, LIMIT);
    Ok(match section.policy {
        KeepAliveName::None => KeepAlive::None(NoKeeping),
        KeepAliveName::Fixed => KeepAlive::Fixed(Fixed { limit: limit()? }),
        KeepAliveName::Halving => KeepAlive::Halving(Halving {
            interval: span(section.interval_s, INTERVAL)?,
            floor: needed(section.floor, FLOOR, choice)?,
            limit: limit()?,
            clock: section.clock.unwrap_or_default(),
        }),
        KeepAliveName::Memoryless => {
            KeepAlive::Memoryless(Memoryless { mean: span(section.mean_s, MEAN)? })
        }
        KeepAliveName::Bimodal => {
            let (short, long) = (limit()?, span(section.long_s, LONG)?);
            require(long >= short, LONG, long.as_secs_f64(), "at least keep_alive.limit_s")?;
            let long_share = needed(section.long_share, LONG_SHARE, choice)?;
            share(LONG_SHARE, long_share)?;
            KeepAlive::Bimodal(Bimodal { short, long, long_share })
        }
        KeepAliveName::Sweep => {
            KeepAlive::Sweep(Sweep { limit: limit()?, every: span(section.interval_s, INTERVAL)? })
        }
        KeepAliveName::MemoryPressure => {
            if let Some(pool) = section.pool_mib {
                require(pool >= 1, POOL, pool, "at least 1")?;
            }
            KeepAlive::MemoryPressure(MemoryPressure { pool: section.pool_mib.map(MemoryMib) })
        }
        KeepAliveName::Histogram => KeepAlive::Histogram(Histogram {
            bin: span(section.interval_s, INTERVAL)?,
            limit: limit()?,
        }),
    })
}

pub(super) fn lifetime_cap(section: &KeepAliveSection) -> Result<Option<Span>, Fault> {
    section.lifetime_cap_s.map(|cap| positive("keep_alive.lifetime_cap_s", cap)).transpose()
}

pub(super) fn lifetime(section: &KeepAliveSection) -> Result<Option<Lifetime>, Fault> {
    const MEDIAN: &str = "keep_alive.lifetime_median_s";
    const SIGMA: &str = "keep_alive.lifetime_sigma";
    let choice = match section.lifetime {
        None => "no keep_alive.lifetime",
        Some(LifetimeName::Exponential) => "keep_alive.lifetime exponential",
        Some(LifetimeName::Lognormal) => "keep_alive.lifetime lognormal",
    };
    let foreign = |key| Err(Fault::Foreign { key, policy: choice });
    let median = || positive(MEDIAN, needed(section.lifetime_median_s, MEDIAN, choice)?);
    match section.lifetime {
        None if section.lifetime_median_s.is_some() => foreign(MEDIAN),
        None | Some(LifetimeName::Exponential) if section.lifetime_sigma.is_some() => {
            foreign(SIGMA)
        }
        None => Ok(None),
        Some(LifetimeName::Exponential) => Ok(Some(Lifetime::Exponential { median: median()? })),
        Some(LifetimeName::Lognormal) => {
            let sigma = needed(section.lifetime_sigma, SIGMA, choice)?;
            require((0.0..=10.0).contains(&sigma), SIGMA, sigma, "from 0 to 10")?;
            Ok(Some(Lifetime::Lognormal { median: median()?, sigma }))
        }
    }
}

pub(super) fn scaling(section: &ScalingSection) -> Result<Scaling, Fault> {
    if let Some(most) = section.max_instances {
        require(most >= 1, "scaling.max_instances", most, "at least 1")?;
    }
    let start_share = section.start_share.unwrap_or(1.0);
    let holds = start_share > 0.0 && start_share <= 1.0;
    require(holds, "scaling.start_share", start_share, "more than 0 and at most 1")?;
    let requests_per_instance = section.requests_per_instance.unwrap_or(1);
    let holds = (1..=REQUESTS_MAX).contains(&requests_per_instance);
    let range = "from 1 to 1000";
    require(holds, "scaling.requests_per_instance", requests_per_instance, range)?;
    Ok(Scaling { max_instances: section.max_instances, requests_per_instance, start_share })
}

pub(super) fn updates(section: &UpdatesSection) -> Result<Updates, Fault> {
    share("updates.reuse_chance", section.reuse_chance)?;
    share("updates.start_chance", section.start_chance)?;
    Ok(Updates {
        window: positive("updates.window_s", section.window_s)?,
        reuse_chance: section.reuse_chance,
        start_chance: section.start_chance,
    })
}

/// That a number is a part of a whole.
pub(super) fn share(key: &'static str, share: f64) -> Result<(), Fault> {
    require((0.0..=1.0).contains(&share), key, share, "from 0 to 1")
}

#[cfg(test)]
mod tests {
    use crate::Profile;
    use crate::policy::{Clock, KeepAlive, Lifetime, Placement, Weights};

    const LOCAL: &str = include_str!("../../../../profiles/local.toml");
    const FIXED: &str = "policy = \"fixed\"\nlimit_s = 600.0";

    fn with(from: &str, to: &str) -> Result<Profile, String> {
        assert!(LOCAL.contains(from), "{from} is in local.toml");
        Profile::from_toml(&LOCAL.replacen(from, to, 1)).map_err(|error| error.to_string())
    }

    fn complaint(from: &str, to: &str) -> String {
        with(from, to).expect_err(to)
    }

    // What weighs load has all of its keys, and no other policy has one of them; values have their limits.
    #[test]
    fn load_is_weighed_by_its_own_keys() {
        const ALL: &str = "policy = \"least_contention\"\nmax_hosts = 7\nload_limit = 0.6\n\
            memory_weight = 1.0\ncpu_weight = 2.0\ndisk_weight = 0.5\nnetwork_weight = 0.0\n\
            disk_mib_s = 200.0\nnetwork_mbit_s = 1000.0";
        const PACKED: &str = "policy = \"bin_pack\"";
        let read = with(PACKED, ALL).expect("all keys are there").placement;
        let Placement::LeastContention(it) = read else { panic!("{read:?}") };
        let expected = Weights { memory: 1.0, cpu: 2.0, disk: 0.5, network: 0.0 };
        assert_eq!((it.max_hosts, it.load_limit, it.weights), (7, 0.6, expected));
        let lacks = complaint(PACKED, &ALL.replace("disk_weight = 0.5\n", ""));
        let expected =
            "placement.disk_weight is missing, placement.policy least_contention needs it";
        assert!(lacks.ends_with(expected), "{lacks}");
        let foreign = complaint(PACKED, &format!("{PACKED}\nload_limit = 0.5"));
        let expected =
            "placement.load_limit has no meaning with placement.policy bin_pack: remove it";
        assert!(foreign.ends_with(expected), "{foreign}");
        let large = complaint(PACKED, &ALL.replace("load_limit = 0.6", "load_limit = 1.5"));
        let expected = "placement.load_limit is 1.5, must be more than 0 and at most 1";
        assert!(large.ends_with(expected), "{large}");
        let misspelt = complaint(PACKED, &ALL.replace("cpu_weight", "cpu_wieght"));
        assert!(misspelt.contains("`cpu_wieght` is not known, `cpu_weight` is near"), "{misspelt}");
    }

    // Every policy can be chosen, with its own keys.
    #[test]
    fn policies_are_read() {
        let placement = |text: &str| with("policy = \"bin_pack\"", text).map(|it| it.placement);
        let random = placement("policy = \"random\"\nmax_hosts = 7").expect("random");
        assert!(matches!(random, Placement::Random(it) if it.max_hosts == 7));
        let alone = placement("policy = \"one_per_host\"").expect("one_per_host");
        assert!(matches!(alone, Placement::OnePerHost(_)));
        let keep = |text: &str| with(FIXED, text).expect(text).keep_alive;
        let memoryless = keep("policy = \"memoryless\"\nmean_s = 60");
        assert!(matches!(memoryless, KeepAlive::Memoryless(it) if it.mean.as_secs_f64() == 60.0));
        let bimodal = keep("policy = \"bimodal\"\nlimit_s = 60\nlong_s = 90\nlong_share = 0.18");
        assert!(matches!(bimodal, KeepAlive::Bimodal(it) if it.long_share == 0.18));
        let sweep = keep("policy = \"sweep\"\nlimit_s = 60\ninterval_s = 30");
        assert!(matches!(sweep, KeepAlive::Sweep(it) if it.every.as_secs_f64() == 30.0));
        let pressure = keep("policy = \"memory_pressure\"\npool_mib = 4096");
        assert!(matches!(pressure, KeepAlive::MemoryPressure(it) if it.pool.is_some()));
        let text =
            "policy = \"halving\"\nlimit_s = 60\ninterval_s = 9\nfloor = 1\nclock = \"instance\"";
        let halving = keep(text);
        assert!(matches!(halving, KeepAlive::Halving(it) if it.clock == Clock::Instance));
        let lifetime = format!(
            "{FIXED}\nlifetime = \"lognormal\"\nlifetime_median_s = 1\nlifetime_sigma = 0.5"
        );
        let lifetime = with(FIXED, &lifetime).expect("lifetime").lifetime;
        assert!(matches!(lifetime, Some(Lifetime::Lognormal { sigma: 0.5, .. })));
        let histogram = keep("policy = \"histogram\"\nlimit_s = 60\ninterval_s = 30");
        assert!(matches!(histogram, KeepAlive::Histogram(it) if it.bin.as_secs_f64() == 30.0));
        let updates = "[updates]\nwindow_s = 6\nreuse_chance = 0.5\nstart_chance = 0.25\n[reveal]";
        let updates = with("[reveal]", updates).expect("updates").updates.expect("there");
        assert_eq!((updates.reuse_chance, updates.start_chance), (0.5, 0.25));
        let scaling = "[scaling]\nmax_instances = 10\nrequests_per_instance = 4\nstart_share = 0.5\n\
                       [reveal]";
        let scaling = with("[reveal]", scaling).expect("scaling").scaling;
        assert_eq!((scaling.max_instances, scaling.start_share), (Some(10), 0.5));
        assert_eq!(scaling.requests_per_instance, 4);
    }

    // Keys that are missing, another policy's or out of range are named with the policy or the limit.
    #[test]
    fn policies_have_their_own_keys() {
        let ends = |text: String, end: &str| assert!(text.ends_with(end), "{text}");
        ends(
            complaint(FIXED, "policy = \"memoryless\"\nlimit_s = 3"),
            "keep_alive.limit_s has no meaning with keep_alive.policy memoryless: remove it",
        );
        ends(
            complaint(FIXED, "policy = \"bimodal\"\nlimit_s = 3\nlong_s = 2\nlong_share = 0.5"),
            "keep_alive.long_s is 2, must be at least keep_alive.limit_s",
        );
        ends(
            complaint(FIXED, "policy = \"bimodal\"\nlimit_s = 3\nlong_s = 4\nlong_share = 1.5"),
            "keep_alive.long_share is 1.5, must be from 0 to 1",
        );
        ends(
            complaint(FIXED, &format!("{FIXED}\nlifetime_median_s = 3")),
            "keep_alive.lifetime_median_s has no meaning with no keep_alive.lifetime: remove it",
        );
        ends(
            complaint("policy = \"bin_pack\"", "policy = \"one_per_host\"\nmax_hosts = 3"),
            "placement.max_hosts has no meaning with placement.policy one_per_host: remove it",
        );
        ends(
            complaint("[reveal]", "[scaling]\nstart_share = 0.0\n[reveal]"),
            "scaling.start_share is 0, must be more than 0 and at most 1",
        );
        ends(
            complaint("[reveal]", "[scaling]\nrequests_per_instance = 0\n[reveal]"),
            "scaling.requests_per_instance is 0, must be from 1 to 1000",
        );
        let text = complaint(FIXED, "policy = \"memoryles\"\nmean_s = 3");
        assert!(text.contains("`memoryles` is not known, `memoryless` is near"), "{text}");
    }

    // A share of shared hosts belongs to hosts that are partly shared.
    #[test]
    fn hosts_are_partly_shared() {
        let sharing = "sharing = \"per_tenant\"";
        let text = complaint(sharing, "sharing = \"partly_shared\"");
        assert!(
            text.ends_with("hosts.shared_share is missing, hosts.sharing partly_shared needs it")
        );
        let text = complaint(sharing, &format!("{sharing}\nshared_share = 0.5"));
        assert!(
            text.contains("hosts.shared_share has no meaning with another hosts.sharing"),
            "{text}"
        );
        let partly = with(sharing, "sharing = \"partly_shared\"\nshared_share = 0.25");
        assert_eq!(partly.expect("partly").hosts.shared_share(), 0.25);
    }
}
