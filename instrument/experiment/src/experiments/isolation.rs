//! Isolation: do tenants, or functions with different roles, share hosts?
//!
//! The paper (section 4.2) runs a new function in each of two accounts per round for a week on AWS, and 500 in each
//! on Azure, and compares the hosts' names: none shared on AWS, 30 % of instances on Azure in 2017. Here each round has three
//! *parties*, where the target offers them: a tenant, another tenant, and the first one under another role. Each has a
//! fresh function; their bursts follow each other, in an order that changes from round to round, and are held together, so
//! that all instances run at one instant. Only accounts that the user owns are ever used.

use crate::bench::{Bench, Shot, Try, setting};
use crate::experiment::{About, Experiment, Need, Planned, Unit};
use crate::memory_time::MemoryTime;
use crate::scope::{IsolationScope, Scope};
use crate::vantage::{Function, FunctionSpec, Sent, Vantage};
use futures::future::join_all;
use model::{Span, Time};
use record::{Forced, Record};

/// The isolation experiment. A step is a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Isolation;

/// Who runs functions: an account and a role, from 0 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Party {
    tenant: u32,
    role: u32,
}

impl Experiment for Isolation {
    type Step = u32;

    fn about(&self) -> About {
        About {
            name: "isolation",
            question: "Do tenants, or functions with different roles, share hosts?",
            method: "Bursts of two accounts, and of a second role of the first one, to fresh \
                functions, one after another in an order that changes from round to round, held \
                together until all run; then their hosts' names are compared.",
            paper_design: "A new function in each of two accounts per round for a week on AWS, 500 \
                in each on Azure; no host was shared on AWS, and hosts of 30 % of instances on Azure.",
            needs: &[Need::EmptyHosts],
            leaves: "hosts that were started",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<u32>> {
        let parties = parties(&scope.isolation).len() as u64;
        if parties < 2 {
            return Vec::new();
        }
        let all = parties as u32 * scope.isolation.instances;
        let unit = |round: u32| Unit {
            name: format!("round-{round:04}"),
            functions: parties,
            invocations: u64::from(all),
            used: MemoryTime::of(u64::from(all), scope.memory_min_mib, scope.hold.of(all)),
            expected: scope.control * 2 + scope.hold.of(all) + scope.pause,
        };
        (0..scope.isolation.rounds)
            .map(|round| Planned { unit: unit(round), step: round })
            .collect()
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, round: &u32) -> Vec<Record> {
        let records = bench.sound(async |attempt| meet(bench, *round, attempt).await).await;
        bench.rest(bench.scope.pause).await;
        records
    }
}

/// Two tenants, and a second role of the first one, as far as there are so many.
fn parties(scope: &IsolationScope) -> Vec<Party> {
    let mut parties = vec![Party { tenant: 0, role: 0 }];
    if scope.tenants > 1 {
        parties.push(Party { tenant: 1, role: 0 });
    }
    if scope.roles > 1 {
        parties.push(Party { tenant: 0, role: 1 });
    }
    parties
}

/// One after another, each in turn first, and every other time backwards.
fn ordered(mut parties: Vec<Party>, round: u32) -> Vec<Party> {
    let first = (round / 2) as usize % parties.len().max(1);
    parties.rotate_left(first);
    if round % 2 == 1 {
        parties.reverse();
    }
    parties
}

async fn meet<V: Vantage>(bench: &Bench<'_, V>, round: u32, attempt: u32) -> Try {
    let scope = bench.scope;
    let parties = ordered(parties(&scope.isolation), round);
    let spec = bench.spec(scope.runtime(), scope.memory_min_mib);
    let specs =
        parties.iter().map(|&Party { tenant, role }| FunctionSpec { tenant, role, ..spec.clone() });
    let mut functions = Vec::new();
    for deployed in bench.deploy_all(specs.collect()).await {
        match deployed {
            Ok(function) => functions.push(function),
            Err(record) => return Try::failed(*record, round),
        }
    }
    let all = functions.len() as u32 * scope.isolation.instances;
    let hold = scope.hold.of(all) * u64::from(attempt + 1);
    let begin = bench.soon(all);
    let until = begin + hold;
    let apart = Span::from_nanos(hold.as_nanos() / functions.len().max(1) as u64);
    let bursts = functions.iter().enumerate().map(|(place, function)| {
        let intended = begin + apart * place as u64;
        send(bench, function, Burst { round, place, intended, until })
    });
    let records = join_all(bursts).await.into_iter().flatten().collect();
    bench.remove_all(functions).await;
    Try { records, statistic: hold, held_until: Some(until) }
}

/// One party's burst, and its place in the order of its round.
struct Burst {
    round: u32,
    place: usize,
    intended: Time,
    until: Time,
}

async fn send<V: Vantage>(bench: &Bench<'_, V>, function: &Function, burst: Burst) -> Vec<Record> {
    let IsolationScope { instances, tenants, roles, .. } = bench.scope.isolation;
    let shot = Shot {
        phase: "burst",
        round: burst.round,
        setting: setting([
            ("concurrency", instances.to_string()),
            ("place", burst.place.to_string()),
            ("tenant", function.spec.tenant.to_string()),
            ("role", function.spec.role.to_string()),
            ("tenants", tenants.min(2).to_string()),
            ("roles", roles.min(2).to_string()),
        ]),
        request: bench.held(burst.until),
        sent: Sent {
            intended: burst.intended,
            forced_by: Forced::FreshFunction,
            ..Sent::default()
        },
    };
    bench.burst(function, &shot, instances).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn scope(tenants: u32, roles: u32) -> IsolationScope {
        IsolationScope { rounds: 1, instances: 1, tenants, roles }
    }

    // Who is alone has nobody to share with; over six rounds each of three is first, and last, twice.
    #[test]
    fn everybody_is_first_and_last() {
        assert_eq!(parties(&scope(1, 1)).len(), 1);
        assert_eq!(parties(&scope(2, 1)).len(), 2);
        let three = parties(&scope(5, 5));
        assert_eq!(three.len(), 3);
        let ends = |at: fn(&[Party]) -> Option<&Party>| {
            let mut ends: Vec<(u32, u32)> = (0..6)
                .filter_map(|round| {
                    at(&ordered(three.clone(), round)).map(|it| (it.tenant, it.role))
                })
                .collect();
            ends.sort_unstable();
            ends
        };
        let twice = [(0, 0), (0, 0), (0, 1), (0, 1), (1, 0), (1, 0)];
        assert_eq!((ends(<[Party]>::first), ends(<[Party]>::last)), (twice.into(), twice.into()));
        let orders: BTreeSet<String> =
            (0..6).map(|round| format!("{:?}", ordered(three.clone(), round))).collect();
        assert_eq!(orders.len(), 6);
    }
}
