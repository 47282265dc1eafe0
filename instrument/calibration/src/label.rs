//! What can be known: a written rule of the profile and the plan alone, before any analysis.
//!
//! | metric | rule |
//! |---|---|
//! | placement.\*, hosts.\*, isolation.\*, anything by colevel | a host id, or a side channel through the disk counters |
//! | anything alone, at colevel 1 | always |
//! | placement.host_memory_mib | bin-packing, and a plan whose largest burst fills a host |
//! | placement.policy | spread over more hosts than the largest burst is one host for each instance; chance needs bursts in which instances meet |
//! | coldstart.new_host_extra_ms | bin-packing, and two functions of the chain at least fit a host |
//! | hosts.type\_share | the plan meets a thousand hosts |
//! | idle.\* | the limit lies within the longest delay, and all instances that rest at once find room |
//! | idle.policy | halving of parts that are at or below its floor is a fixed limit |
//! | idle.halving_interval_s | parts of a pool on a host of six or more, twice the floor, and two halvings before the limit |
//! | idle.policy | not judged where parts are between the floor and six: neither word could be told from the other |
//! | identity.host_id_source | not judged where each instance has a host of its own |
//! | isolation.\* | not judged where requests fail: full hosts are not quite full then |
//! | consistency.outdated\* | not judged where requests fail: their instances are counted, and not seen |
//! | lifetime.max_s | idle instances do not go by chance |
//! | clock.offset_ms | where clocks are set in mid-study, no one number is true: claiming any is wrong |
//! | anything, where the profile breaks what the analyses assume | perhaps |

use crate::draw::{Drawn, IdleDrawn, PlacementDrawn};
use crate::judge::Knowable;
use analysis::Finding;
use experiment::Study;

/// Metrics that say something of each host, or of the instances on one.
const BY_HOST: &[&str] = &[
    "placement.",
    "hosts.",
    "isolation.",
    "cpu.share_shared",
    "cpu.fairness",
    "coldstart.concurrent_latency_ms",
    "coldstart.new_host_extra_ms",
    "contention.worst_slowdown",
    "idle.busy_host_max_idle_s",
];

/// The rule in words, for the table of the score.
pub fn rule(metric: &str) -> &'static str {
    let by_host = BY_HOST.iter().any(|prefix| metric.starts_with(prefix));
    match metric {
        "placement.host_memory_mib" => "host id; packed hosts that the plan can fill",
        "placement.policy" => "host id; bursts in which instances meet",
        "identity.host_id_source" => "hosts on which instances meet",
        "idle.halving_interval_s" => {
            "parts of a pool on a host of six or more and twice the floor, two halvings before the limit"
        }
        "idle.policy" => {
            "limit within the delays, room for all that rest; parts of a pool above six or at the floor"
        }
        "lifetime.max_s" => "a cap, and idle instances do not go by chance",
        _ if metric.starts_with("idle.") => "limit within the delays, room for all that rest",
        _ if metric.starts_with("isolation.") => "host id; no request fails",
        _ if metric.starts_with("consistency.outdated") => "no request fails",
        _ if by_host => "host id",
        _ => "",
    }
}

/// What can be known of a finding's question on this platform with this plan; None where it is not judged.
pub fn knowable(drawn: &Drawn, study: &Study, finding: &Finding) -> Option<Knowable> {
    let metric = finding.metric.as_str();
    if is_between(drawn, study, metric) {
        return None;
    }
    Some(asked(drawn, study, finding))
}

/// Whether neither answer could be told from the truth.
fn is_between(drawn: &Drawn, study: &Study, metric: &str) -> bool {
    match (metric, drawn.idle) {
        // Parts that are halved once or never look like a limit with other losses, and like halving.
        ("idle.policy", IdleDrawn::Halving { floor, .. }) => {
            let part = part_on_host(drawn, study);
            let by_chance = matches!(drawn.placement, PlacementDrawn::Random(_));
            part < TELLING_PART.max(2 * floor) && (part > floor || by_chance)
        }
        // Where each instance has a host of its own, its name may as well be the instance's.
        ("identity.host_id_source", _) => drawn.placement == PlacementDrawn::OnePerHost,
        // Chances are those of a plan without failures: full hosts are not quite full with them.
        (metric, _) if metric.starts_with("isolation.") => drawn.failures > 0.0,
        // Answers that the vantage point never had are in the platform's counts.
        (metric, _) if metric.starts_with("consistency.outdated") => drawn.failures > 0.0,
        _ => false,
    }
}

fn asked(drawn: &Drawn, study: &Study, finding: &Finding) -> Knowable {
    let metric = finding.metric.as_str();
    let by_host = BY_HOST.iter().any(|prefix| metric.starts_with(prefix))
        || finding
            .setting
            .get("colevel")
            .and_then(serde_json::Value::as_u64)
            .is_some_and(|it| it > 1);
    if by_host && drawn.host_id.is_none() {
        return if drawn.counters { Knowable::Perhaps } else { Knowable::No };
    }
    if drawn.broken.is_some() {
        return Knowable::Perhaps;
    }
    let known = if metric.starts_with("idle.") {
        has_room(drawn, study) && idle(drawn, study, metric)
    } else {
        match metric {
            "placement.host_memory_mib" => {
                let filled = crate::plan::largest_burst(study) * study.scope.memory_min_mib;
                drawn.placement == PlacementDrawn::BinPack && filled >= drawn.host_memory_mib
            }
            "placement.policy" => placement(drawn, study),
            // Both new hosts and such as are there: the chain fills one after another, two functions at least on each.
            "coldstart.new_host_extra_ms" => {
                let fits = 2 * study.scope.starts.chain_memory_mib <= drawn.host_memory_mib;
                drawn.placement == PlacementDrawn::BinPack && fits
            }
            "hosts.type_share" => hosts_met(drawn, study) >= HOSTS_MIN,
            // An instance that goes by chance seldom reaches its cap.
            "lifetime.max_s" => {
                matches!(drawn.idle, IdleDrawn::Fixed(_) | IdleDrawn::Halving { .. })
            }
            _ => true,
        }
    };
    if known { Knowable::Yes } else { Knowable::Perhaps }
}

/// Hosts by which a share is known to three points: 1.96 sqrt(0.25 / n) = 0.03.
const HOSTS_MIN: u32 = 1_067;

/// Hosts that the plan meets, where each of its rounds meets others.
fn hosts_met(drawn: &Drawn, study: &Study) -> u32 {
    let scope = &study.scope.hosts;
    let of_round = match drawn.placement {
        // By chance, some are left out.
        PlacementDrawn::Random(hosts) => hosts.min(scope.instances) / 2,
        PlacementDrawn::Spread(hosts) => hosts.min(scope.instances),
        PlacementDrawn::BinPack => {
            scope.instances / (drawn.host_memory_mib / scope.memory_mib).max(1)
        }
        PlacementDrawn::OnePerHost => scope.instances,
    };
    of_round * scope.rounds
}

/// Whether bursts of this plan show which hosts the disk counters are of: instances that share one and instances that do not,
/// the same ones from look to look.
pub fn tells_by_counters(drawn: &Drawn, study: &Study) -> bool {
    let burst = study.scope.identity.pair_instances;
    let mixed = match drawn.placement {
        PlacementDrawn::BinPack => (2..burst).contains(&drawn.slots()),
        PlacementDrawn::Spread(hosts) | PlacementDrawn::Random(hosts) => {
            (2..=burst / 2).contains(&hosts)
        }
        PlacementDrawn::OnePerHost => false,
    };
    let reused = !matches!(drawn.idle, IdleDrawn::None | IdleDrawn::Odd);
    mixed
        && reused
        && drawn.broken.is_none()
        && drawn.max_instances.is_none_or(|most| most >= burst)
}

/// Whether all instances that rest at once find room: else the platform ends some for want of it. Half as much again is
/// for hosts that chance fills before others.
fn has_room(drawn: &Drawn, study: &Study) -> bool {
    drawn.room().is_none_or(|room| 2 * room >= 3 * study.scope.max_instances)
}

fn idle(drawn: &Drawn, study: &Study, metric: &str) -> bool {
    let (shortest, longest) = study.scope.idle.range;
    let (shortest_s, longest_s) = (shortest.as_secs_f64(), longest.as_secs_f64());
    let within = |limit_s: f64| (shortest_s * 1.05..longest_s * 0.95).contains(&limit_s);
    let pools_fit = drawn.max_instances.is_none_or(|most| most >= study.scope.idle.pool);
    match (drawn.idle, metric) {
        (IdleDrawn::None | IdleDrawn::Odd, _) => true,
        (IdleDrawn::Fixed(limit_s), _) => within(limit_s) && pools_fit,
        // Several delays below the mean, several above.
        (IdleDrawn::Memoryless(mean_s), _) => {
            mean_s >= 2.0 * shortest_s && mean_s * 2.0 <= longest_s
        }
        (IdleDrawn::Halving { limit_s, .. }, "idle.first_loss_s" | "idle.max_idle_s") => {
            within(limit_s)
        }
        (IdleDrawn::Halving { interval_s, limit_s, floor }, _) => {
            let part = part_on_host(drawn, study);
            let halves = metric == "idle.policy" || part >= TELLING_PART.max(2 * floor);
            within(limit_s) && pools_fit && halves && limit_s >= 2.0 * interval_s
        }
    }
}

/// Instances of one pool on one host from which on halvings are told apart.
const TELLING_PART: u32 = 6;

/// Instances of one pool on one host, where they are most; by chance a little less than evenly.
fn part_on_host(drawn: &Drawn, study: &Study) -> u32 {
    let pool = study.scope.idle.pool;
    match drawn.placement {
        PlacementDrawn::BinPack => drawn.slots().min(pool),
        PlacementDrawn::Spread(hosts) | PlacementDrawn::Random(hosts) => {
            pool.div_ceil(hosts.max(1))
        }
        PlacementDrawn::OnePerHost => 1,
    }
}

/// The word that is true of how idle instances go, as far as pools of this plan can tell; None where the profile's own is.
pub fn idle_word(drawn: &Drawn, study: &Study) -> Option<&'static str> {
    match drawn.idle {
        IdleDrawn::Halving { floor, .. } => {
            (part_on_host(drawn, study) <= floor).then_some("fixed")
        }
        _ => None,
    }
}

/// Whether bursts of this plan tell the policy from others. Packing needs hosts that take more than one instance; chance
/// needs bursts in which many of them meet.
fn placement(drawn: &Drawn, study: &Study) -> bool {
    let burst = f64::from(crate::plan::largest_burst(study));
    match drawn.placement {
        PlacementDrawn::BinPack | PlacementDrawn::Spread(_) => true,
        // Nothing names hosts on which no two instances meet.
        PlacementDrawn::OnePerHost => false,
        PlacementDrawn::Random(hosts) => burst * burst / f64::from(hosts) >= 40.0,
    }
}

/// The word that is true of how instances are placed, as far as bursts of this plan can tell; None where the profile's own
/// is.
pub fn placement_word(drawn: &Drawn, study: &Study) -> Option<&'static str> {
    match drawn.placement {
        PlacementDrawn::Spread(hosts) if hosts > crate::plan::largest_burst(study) => {
            Some("one_per_host")
        }
        _ => None,
    }
}
