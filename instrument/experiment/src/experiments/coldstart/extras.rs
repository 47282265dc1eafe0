//! What makes a cold start dearer: a larger package, code that was never seen, neighbours that start too, a new host.
//!
//! A later cold start of known code is forced by an update of the environment, which leaves the code as it is. Starts at
//! once are a burst of one fresh function, held together, so that none is served by an instance of another. New hosts
//! come about by starting functions one after another and keeping them all, until their memory fills host after
//! host; which host was new the analysis takes from host ids.

use super::ColdStartStep;
use crate::bench::{Bench, CONTROL_CONCURRENCY, Setting, Shot, Try, lagging, mark, setting};
use crate::experiment::{Planned, Unit};
use crate::experiments::alternating;
use crate::memory_time::MemoryTime;
use crate::scope::Scope;
use crate::vantage::{Change, Code, Function, FunctionSpec, Sent, Vantage};
use model::Span;
use probe::Request;
use record::{Forced, Record};

pub(super) fn plan(scope: &Scope) -> Vec<Planned<ColdStartStep>> {
    let starts = &scope.starts;
    let sizes = starts.ballast_mib.len() as u64 + 1;
    let package = |round: u32| Planned {
        unit: Unit {
            name: format!("package-round-{round:04}"),
            functions: sizes,
            invocations: sizes * 2,
            used: MemoryTime::of_answers(sizes * 2, scope.memory_min_mib),
            expected: (scope.control * 2 + starts.start * 2 + scope.coldstart.spacing) * sizes,
        },
        step: ColdStartStep::Package { round },
    };
    let at_once = |round: u32, colevel: u32| Planned {
        unit: Unit {
            name: format!("together-round-{round:04}-colevel-{colevel:03}"),
            functions: 1,
            invocations: u64::from(colevel),
            used: MemoryTime::of(u64::from(colevel), scope.memory_min_mib, starts.hold.of(colevel)),
            expected: scope.control + starts.hold.of(colevel),
        },
        step: ColdStartStep::AtOnce { round, colevel },
    };
    let mut steps: Vec<_> = (0..starts.package_rounds).map(package).collect();
    // Rounds of all colevels, as long as each needs more of them.
    let most = starts.colevels.iter().map(|colevel| starts.bursts_of(*colevel)).max().unwrap_or(0);
    for round in 0..most {
        let wanted = alternating(&starts.colevels, round);
        let wanted = wanted.into_iter().filter(|colevel| round < starts.bursts_of(*colevel));
        steps.extend(wanted.map(|colevel| at_once(round, colevel)));
    }
    if starts.chain > 0 {
        let chain = u64::from(starts.chain);
        let unit = Unit {
            name: "chain".to_owned(),
            functions: chain,
            invocations: chain,
            used: MemoryTime::of_answers(chain, starts.chain_memory_mib),
            expected: scope.control * chain.div_ceil(CONTROL_CONCURRENCY as u64)
                + starts.start * chain,
        };
        steps.push(Planned { unit, step: ColdStartStep::Chain });
    }
    steps
}

/// One function per package size: its code's first start, and a later one.
pub(super) async fn package<V: Vantage>(bench: &Bench<'_, V>, round: u32) -> Vec<Record> {
    let mut sizes = bench.scope.starts.ballast_mib.clone();
    sizes.push(0);
    let mut records = Vec::new();
    for ballast_mib in bench.shuffled(sizes) {
        let starts = async |_| first_and_later(bench, round, ballast_mib).await;
        records.extend(bench.sound(starts).await);
    }
    records
}

async fn first_and_later<V: Vantage>(bench: &Bench<'_, V>, round: u32, ballast_mib: u32) -> Try {
    let spec = FunctionSpec {
        code: Code { ballast_mib },
        ..bench.spec(bench.scope.runtime(), bench.scope.memory_min_mib)
    };
    let mut function = match bench.deploy(spec).await {
        Ok(function) => function,
        Err(record) => return Try::failed(*record, round),
    };
    bench.rest(bench.scope.coldstart.spacing).await;
    let ballast = setting([("ballast_mib", ballast_mib.to_string())]);
    let one = |phase, forced_by| Shot {
        sent: Sent { intended: bench.soon(1), forced_by, ..Sent::default() },
        ..shot((phase, round), ballast.clone(), Request { identity: true, ..Request::default() })
    };
    let mut records = vec![bench.send(&function, &one("package", Forced::FreshFunction), 0).await];
    match bench.vantage.update(&mut function, Change::Environment).await {
        Ok(()) => records.push(bench.send(&function, &one("again", Forced::Update), 0).await),
        Err(error) => bench.problem(error.to_string()),
    }
    bench.remove(function).await;
    done(records)
}

/// So many starts of one fresh function at once.
pub(super) async fn at_once<V: Vantage>(
    bench: &Bench<'_, V>,
    (round, colevel): (u32, u32),
) -> Vec<Record> {
    let burst = async |attempt: u32| {
        let spec = bench.spec(bench.scope.runtime(), bench.scope.memory_min_mib);
        let function = match bench.deploy(spec).await {
            Ok(function) => function,
            Err(record) => return Try::failed(*record, round),
        };
        let intended = bench.soon(colevel);
        let hold = bench.scope.starts.hold.of(colevel) * u64::from(attempt + 1);
        let until = intended + hold;
        let shot = Shot {
            sent: Sent { intended, forced_by: Forced::FreshFunction, ..Sent::default() },
            ..shot(
                ("at_once", round),
                setting([("colevel", colevel.to_string())]),
                bench.held(until),
            )
        };
        let records = bench.burst(&function, &shot, colevel).await;
        bench.remove(function).await;
        Try { records, statistic: bench.scope.start, held_until: Some(until) }
    };
    bench.sound(burst).await
}

/// One start after another, each of a function of its own, all kept until the last.
pub(super) async fn chain<V: Vantage>(bench: &Bench<'_, V>) -> Vec<Record> {
    let starts = &bench.scope.starts;
    let spec = bench.spec(bench.scope.runtime(), starts.chain_memory_mib);
    let specs = vec![spec; starts.chain as usize];
    let (mut functions, mut records): (Vec<Function>, Vec<Record>) = Default::default();
    for deployed in bench.deploy_all(specs).await {
        match deployed {
            Ok(function) => functions.push(function),
            Err(record) => records.push(*record),
        }
    }
    for (function, number) in functions.iter().zip(0..) {
        let shot = Shot {
            sent: Sent {
                intended: bench.soon(1),
                forced_by: Forced::FreshFunction,
                ..Sent::default()
            },
            ..shot(
                ("chain", number),
                Setting::default(),
                Request { identity: true, ..Request::default() },
            )
        };
        let Try { records: mut one, statistic, .. } =
            done(vec![bench.send(function, &shot, number).await]);
        // Not done again where it is void: the function has its instance by then.
        if let Some(reason) = lagging(&one, statistic) {
            mark(&mut one, "void", &reason);
        }
        records.extend(one);
    }
    bench.remove_all(functions).await;
    records
}

fn shot((phase, round): (&'static str, u32), setting: Setting, request: Request) -> Shot {
    Shot { phase, round, setting, request, sent: Sent::default() }
}

/// What these requests are to measure is about as long as the shortest of them took.
pub(super) fn done(records: Vec<Record>) -> Try {
    let round_trip =
        |record: &Record| Span::from_nanos(record.received_ns.saturating_sub(record.sent_ns));
    let statistic = records.iter().map(round_trip).min().unwrap_or(Span::ZERO);
    Try { records, statistic, held_until: None }
}
