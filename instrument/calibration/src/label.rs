//! What can be known: a written rule of the profile and the plan alone, before any analysis.
//!
//! | metric | rule |
//! |---|---|
//! | placement.\*, hosts.\*, isolation.\*, anything by colevel | a host id, or a side channel through the disk counters |
//! | anything alone, at colevel 1 | always |
//! | placement.host_memory_mib | bin-packing, and a plan whose largest burst fills a host |
//! | placement.policy | spread over more hosts than the largest burst is one host for each instance |
//! | coldstart.new_host_extra_ms | bin-packing, and two functions of the chain at least fit a host |
//! | idle.policy, idle limits | the limit lies within the longest delay |
//! | idle.halving_interval_s | at least two halvings before the limit |
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

/// What can be known of a finding's question on this platform with this plan.
pub fn knowable(drawn: &Drawn, study: &Study, finding: &Finding) -> Knowable {
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
    let longest_s = study.scope.idle.range.1.as_secs_f64();
    let shortest_s = study.scope.idle.range.0.as_secs_f64();
    match (metric, drawn.idle) {
        ("idle.policy" | "idle.first_loss_s" | "idle.max_idle_s", IdleDrawn::Fixed(limit_s)) => {
            within(limit_s, shortest_s, longest_s)
        }
        ("idle.policy" | "idle.halving_interval_s", IdleDrawn::Halving(interval_s, limit_s)) => {
            match limit_s / interval_s >= 2.0 && limit_s < longest_s {
                true => Knowable::Yes,
                false => Knowable::Perhaps,
            }
        }
        // Both new hosts and such as are there: the chain fills one after another, two functions at least on each.
        ("coldstart.new_host_extra_ms", _) => {
            let fits = 2 * study.scope.starts.chain_memory_mib <= drawn.host_memory_mib;
            match drawn.placement == PlacementDrawn::BinPack && fits {
                true => Knowable::Yes,
                false => Knowable::Perhaps,
            }
        }
        ("placement.host_memory_mib", _) => {
            let filled = crate::plan::largest_burst(study) * study.scope.memory_min_mib;
            match drawn.placement == PlacementDrawn::BinPack && filled >= drawn.host_memory_mib {
                true => Knowable::Yes,
                false => Knowable::Perhaps,
            }
        }
        _ => Knowable::Yes,
    }
}

/// A limit that is searched between two delays, with room on both sides.
fn within(limit_s: f64, shortest_s: f64, longest_s: f64) -> Knowable {
    match (shortest_s * 1.05..longest_s * 0.95).contains(&limit_s) {
        true => Knowable::Yes,
        false => Knowable::Perhaps,
    }
}

/// The word that is true of how instances are placed, as far as bursts of this plan can tell.
pub fn placement_word(drawn: &Drawn, study: &Study) -> &'static str {
    match drawn.placement {
        PlacementDrawn::BinPack => "bin_pack",
        PlacementDrawn::Spread(hosts) if hosts > crate::plan::largest_burst(study) => {
            "one_per_host"
        }
        PlacementDrawn::Spread(_) => "spread",
    }
}
