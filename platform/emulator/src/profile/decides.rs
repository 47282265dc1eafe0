//! The scheduler's part of a profile in words: what it decides.
//!
//! Deliberately knows nothing of hosts, paths or clocks: a profile of `peek serve` has none of them.

use scheduler::policy::{Clock, KeepAlive, Placement};
use scheduler::{CpuCeiling, InitBilling, Profile, Reveal, Sharing};
use std::fmt::Write;

/// A profile without an emulated part in words: what the platform on this machine decides.
pub(super) fn of(profile: &Profile) -> String {
    let mut text = format!("{}: a platform on this machine\n", profile.name);
    let mut say = |topic: &str, words: String| {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {topic:<12} {words}");
    };
    say("placement", placement(profile));
    say("keep-alive", keep_alive(profile));
    say("hosts", hosts(profile));
    say("cpu", cpu(profile));
    say("limits", limits(profile));
    say("billing", billing(profile));
    say("rest", rest(profile));
    say("reveals", reveals(profile));
    text
}

pub(super) fn placement(profile: &Profile) -> String {
    let how = match &profile.placement {
        Placement::BinPack(_) => "new instances go to the fullest host that fits".to_owned(),
        Placement::Spread(spread) => {
            format!("a host for each instance up to {} hosts, then the emptiest", spread.max_hosts)
        }
        Placement::Random(random) => {
            format!("new instances go to any of at most {} hosts", random.max_hosts)
        }
        Placement::LeastContention(it) => format!(
            "new instances go to the host with the least contention, to another of at most {} while all use {:.0} % of \
             CPU, disk or network",
            it.max_hosts,
            100.0 * it.load_limit
        ),
        Placement::OnePerHost(_) => "each instance has a host of its own".to_owned(),
    };
    let whose = match profile.hosts.sharing {
        Sharing::PerTenant => "tenants never share a host".to_owned(),
        Sharing::Shared => "all tenants share hosts".to_owned(),
        Sharing::PerRole => "neither tenants nor roles share a host".to_owned(),
        Sharing::PerFunction => "no two functions share a host".to_owned(),
        Sharing::PartlyShared { shared_share } => {
            format!("tenants share {:.0} % of hosts", 100.0 * shared_share)
        }
    };
    let accounts: String = profile
        .accounts
        .iter()
        .map(|(account, isolation)| format!("; hosts of account {account} are one {isolation}'s"))
        .collect();
    let whose = whose + &accounts;
    let scaling = &profile.scaling;
    let most = match scaling.max_instances {
        Some(most) => format!("; at most {most} instances of a function"),
        None => String::new(),
    };
    let several = match scaling.requests_per_instance {
        1 => String::new(),
        most => format!("; an instance takes {most} requests at once"),
    };
    let share = match scaling.start_share {
        share if share < 1.0 => format!("; {:.0} % of requests at once start one", 100.0 * share),
        _ => String::new(),
    };
    let updates = match &profile.updates {
        Some(it) => format!("; updates take up to {} to be known everywhere", it.window),
        None => String::new(),
    };
    format!("{how}; {whose}{most}{several}{share}{updates}")
}

pub(super) fn keep_alive(profile: &Profile) -> String {
    let kept = match &profile.keep_alive {
        KeepAlive::None(_) => "no instance is kept".to_owned(),
        KeepAlive::Fixed(fixed) => format!("an idle instance is kept for {}", fixed.limit),
        KeepAlive::Halving(it) if it.clock == Clock::Instance => format!(
            "every {} an idle instance goes by a toss while more than {} are idle, all after {}",
            it.interval, it.floor, it.limit
        ),
        KeepAlive::Halving(it) => format!(
            "every {} half of a function's idle instances on a host go, down to {}, these after {}",
            it.interval, it.floor, it.limit
        ),
        KeepAlive::Memoryless(it) => {
            format!("an idle instance may go at any moment, after {} on average", it.mean)
        }
        KeepAlive::Bimodal(it) => format!(
            "{:.0} % of instances are kept for {}, the others for {}",
            100.0 * it.long_share,
            it.long,
            it.short
        ),
        KeepAlive::Sweep(it) => {
            format!("every {} what has been idle for {} goes", it.every, it.limit)
        }
        KeepAlive::MemoryPressure(it) => match it.pool {
            Some(pool) => format!("an idle instance stays until more than {pool} are needed"),
            None => "an idle instance stays until its memory is needed".to_owned(),
        },
        KeepAlive::Histogram(it) => format!(
            "learnt for each function from its idle times, by {}; {} where these do not tell",
            it.bin, it.limit
        ),
    };
    let cap = match profile.lifetime_cap {
        Some(cap) => format!("; none lives longer than {cap}"),
        None => String::new(),
    };
    let drawn = match profile.lifetime {
        Some(drawn) => format!("; half live longer than {}", drawn.median()),
        None => String::new(),
    };
    format!("{kept}{cap}{drawn}")
}

pub(super) fn cpu(profile: &Profile) -> String {
    match profile.cpu.ceiling {
        CpuCeiling::None => "no ceiling but the host's".to_owned(),
        CpuCeiling::Proportional { full } => format!("one CPU at {full}, in proportion"),
    }
}

pub(super) fn billing(profile: &Profile) -> String {
    let init = match profile.billing.init {
        InitBilling::Billed => "init is billed",
        InitBilling::Free => "init is free",
    };
    format!("rounded up to {}; {init}", profile.billing.grain)
}

fn hosts(profile: &Profile) -> String {
    let hosts = &profile.hosts;
    let cpus = f64::from(hosts.milli_cpus) / 1e3;
    format!(
        "of {} and {cpus} CPUs, {} started ahead; an empty one stays for {}",
        hosts.memory, hosts.warm, hosts.idle
    )
}

fn limits(profile: &Profile) -> String {
    let limits = &profile.limits;
    format!(
        "functions of {} to {}, at most {}, {} at once in one account; {} wait at most {}",
        limits.memory_min,
        limits.memory_max,
        limits.timeout_max,
        limits.account_concurrency,
        limits.queue,
        limits.queue_wait
    )
}

fn rest(profile: &Profile) -> String {
    match profile.rest_after {
        Some(after) => format!("an idle instance is frozen after {after}"),
        None => "an idle instance is never frozen".to_owned(),
    }
}

fn reveals(profile: &Profile) -> String {
    let name = match profile.reveal {
        Reveal::BootId => "/proc/sys/kernel/random/boot_id",
        Reveal::MachineId => "/etc/machine-id",
        Reveal::InstanceRootId => "the root line of /proc/self/cgroup",
        Reveal::None => return "nothing names a host".to_owned(),
    };
    format!("{name} names the host")
}
