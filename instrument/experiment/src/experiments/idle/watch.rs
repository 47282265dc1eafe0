//! The watch stage: when do the clocks tick that halve idle pools?
//!
//! A pool that is probed once says how many ticks there were in its one silence, and where the clock of its host stands is not
//! known: only many hosts together tell the interval. Here pools are asked for as a whole again and again, several times within
//! an interval. What a tick took is started anew by the next look, so each later tick is seen as well, and a host tells its
//! interval by all its ticks together. A clock that starts as a pool falls idle is never heard so: that is for pools
//! probed once. Deliberately judges nothing: which instances were still there is for the analysis to see.

use super::{IdleStep, part_of};
use crate::bench::{Bench, Shot, setting};
use crate::experiment::Unit;
use crate::memory_time::MemoryTime;
use crate::scope::Scope;
use crate::vantage::{Function, Sent, Vantage};
use futures::future::join_all;
use model::{Span, Time};
use record::{Forced, Record};

/// Pools that are watched at the same time: as many as may run at once.
pub fn pools(scope: &Scope) -> u32 {
    let idle = &scope.idle;
    if idle.pools == 0 {
        return 0;
    }
    idle.watch.pools.min(scope.max_concurrency / idle.pool.max(1))
}

/// The stage as it is planned.
pub fn unit(scope: &Scope, name: String, memory_mib: u32) -> Unit {
    let pools = pools(scope);
    // Half of the longest delay is as good a guess of the limit as any, and five halvings before it.
    let interval = Span::from_nanos(scope.idle.range.1.as_nanos() / 10);
    let looks = 1 + u64::from(scope.idle.watch.looks);
    let invocations = u64::from(pools * scope.idle.pool) * looks;
    Unit {
        name,
        functions: u64::from(pools),
        invocations,
        used: MemoryTime::of(invocations, memory_mib, scope.hold.of(scope.idle.pool)),
        expected: scope.control + each(scope, interval) * looks,
    }
}

/// From one look to the next.
fn each(scope: &Scope, interval: Span) -> Span {
    let part = interval.as_nanos() / u64::from(scope.idle.watch.per_interval.max(1));
    Span::from_nanos(part).max(scope.hold.of(scope.idle.pool) * 2)
}

/// Uses pools that are halved every `interval` or so, all at the same moments.
pub async fn watch<V: Vantage>(
    bench: &Bench<'_, V>,
    step: &IdleStep,
    interval: Span,
) -> Vec<Record> {
    let specs =
        (0..pools(bench.scope)).map(|_| bench.spec(&step.runtime, step.memory_mib)).collect();
    let (mut records, mut functions) = (Vec::new(), Vec::new());
    for deployed in bench.deploy_all(specs).await {
        match deployed {
            Ok(function) => functions.push(function),
            Err(record) => records.push(*record),
        }
    }
    let each = each(bench.scope, interval);
    let lead = bench.scope.lead.of(bench.scope.idle.pool * functions.len() as u32);
    let begin = bench.vantage.now() + lead;
    let watched = functions.iter().map(|function| looks(bench, function, (begin, each)));
    records.extend(join_all(watched).await.into_iter().flatten());
    bench.remove_all(functions).await;
    records
}

/// Asks for all instances of a pool at once, again and again.
async fn looks<V: Vantage>(
    bench: &Bench<'_, V>,
    function: &Function,
    (begin, each): (Time, Span),
) -> Vec<Record> {
    let idle = &bench.scope.idle;
    let hold = bench.scope.hold.of(idle.pool);
    let mut records = Vec::new();
    let mut intended = begin;
    for look in 0..=idle.watch.looks {
        let forced_by = if look == 0 { Forced::FreshFunction } else { Sent::default().forced_by };
        let shot = Shot {
            phase: "look",
            round: look,
            setting: setting([
                ("each_s", format!("{:.3}", each.as_secs_f64())),
                ("part", "watched".to_owned()),
                ("stage", "watch".to_owned()),
            ]),
            request: bench.held(intended + hold),
            sent: Sent { intended, forced_by, ..Sent::default() },
        };
        records.extend(bench.burst(function, &shot, idle.pool).await);
        // Between three and five quarters, since evenly spaced looks might miss every tick, or meet it.
        intended += Span::from_nanos(each.as_nanos() * 3 / 4)
            + part_of(Span::from_nanos(each.as_nanos() / 2), look);
    }
    records
}
