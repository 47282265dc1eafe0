//! How often instances of different tenants and roles share hosts: by playing many rounds to the scheduler itself.
//!
//! Starts and hosts take no time here, and no request is lost: what is left is who is placed where, which is all that
//! the question is about. Deliberately knows nothing of how it is measured.

use model::{FunctionId, HostId, InstanceId, InvocationId, MemoryMib, RoleId, Span, Time};
use scheduler::{Action, Epoch, Event, FunctionSettings, Profile, Scheduler};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Rounds that are played.
const ROUNDS: usize = 1_000;
/// Seed of the scheduler's random choices: the same for every study, since they are no part of one.
const SEED: u64 = 2018;
/// Between the bursts of one round.
const APART: Span = Span::from_secs(1);

/// Who runs functions: account and role, from 0 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party {
    /// Account.
    pub tenant: u32,
    /// Role.
    pub role: u32,
}

/// What is done again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Orders in which parties start their bursts, one round after another, from the beginning again after the last.
    pub orders: Vec<Vec<Party>>,
    /// Instances of each party.
    pub instances: u32,
    /// Memory of each.
    pub memory: MemoryMib,
    /// From the end of a round to the next one.
    pub gap: Span,
}

/// What an endless repetition would find.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shared {
    /// Part of all instances beside another tenant's.
    pub cross_tenant: f64,
    /// Part of the first tenant's instances beside another of its roles.
    pub cross_role: f64,
    /// Part of the rounds in which tenants shared any host.
    pub round: f64,
}

/// Plays the rounds on a platform without anything else.
pub fn shared(profile: &Profile, meeting: &Meeting) -> Shared {
    let mut stage = Stage::new(profile);
    let (mut all, mut beside, mut own, mut own_beside, mut hits) = (0, 0, 0, 0, 0);
    for order in meeting.orders.iter().cycle().take(ROUNDS) {
        let placed = stage.round(order, meeting);
        let mut hosts: BTreeMap<HostId, BTreeSet<Party>> = BTreeMap::new();
        for (party, host) in &placed {
            hosts.entry(*host).or_default().insert(*party);
        }
        let mut hit = 0;
        for (party, host) in &placed {
            let others = &hosts[host];
            let tenants = others.iter().any(|other| other.tenant != party.tenant);
            all += 1;
            beside += u64::from(tenants);
            hit |= u64::from(tenants);
            if party.tenant == 0 {
                let role = |other: &Party| other.tenant == 0 && other.role != party.role;
                own += 1;
                own_beside += u64::from(others.iter().any(role));
            }
        }
        hits += hit;
    }
    let part = |of: u64, all: u64| if all == 0 { 0.0 } else { of as f64 / all as f64 };
    Shared {
        cross_tenant: part(beside, all),
        cross_role: part(own_beside, own),
        round: part(hits, ROUNDS as u64),
    }
}

/// A scheduler whose wishes come true at once.
struct Stage {
    scheduler: Scheduler,
    now: Time,
    next: u64,
    /// Instances that run: whose function each is of, where, and what it runs.
    running: BTreeMap<InstanceId, (FunctionId, HostId)>,
    dispatched: Vec<(InstanceId, InvocationId)>,
}

impl Stage {
    fn new(profile: &Profile) -> Self {
        Self {
            scheduler: Scheduler::new(profile.clone(), SEED),
            now: Time::ZERO,
            next: 0,
            running: BTreeMap::new(),
            dispatched: Vec::new(),
        }
    }

    /// Who ran where when all did; then everything ends.
    fn round(&mut self, order: &[Party], meeting: &Meeting) -> Vec<(Party, HostId)> {
        let mut owners = BTreeMap::new();
        for party in order {
            let function = FunctionId(self.number());
            owners.insert(function, *party);
            let settings = FunctionSettings {
                tenant: crate::function::tenant_id(party.tenant),
                role: RoleId(u64::from(party.role)),
                memory: meeting.memory,
                timeout: Span::from_secs(300),
                group: function,
                reserved_concurrency: None,
                isolation: None,
            };
            self.feed(Event::Deployed { function, epoch: Epoch(1), settings });
        }
        for function in owners.keys().copied().collect::<Vec<_>>() {
            for _ in 0..meeting.instances {
                let invocation = InvocationId(self.number());
                self.feed(Event::Invoked { invocation, function });
            }
            self.now += APART;
        }
        let ran = self.dispatched.iter().filter_map(|(instance, _)| self.running.get(instance));
        let placed = ran.map(|(function, host)| (owners[function], *host)).collect();
        // What waited for an instance runs now, and ends too.
        while !self.dispatched.is_empty() {
            for (instance, invocation) in std::mem::take(&mut self.dispatched) {
                self.feed(Event::Finished { instance, invocation });
                self.feed(Event::Idle { instance });
            }
        }
        for function in owners.into_keys() {
            self.feed(Event::Removed { function });
        }
        self.now += meeting.gap;
        self.feed(Event::Timeout);
        placed
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn feed(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.scheduler.handle(self.now, event);
            while let Some(action) = self.scheduler.poll_action() {
                match action {
                    Action::StartHost { host, .. } => events.push_back(Event::HostReady { host }),
                    Action::Start { instance, host, function, .. } => {
                        self.running.insert(instance, (function, host));
                        events.push_back(Event::Started { instance });
                    }
                    Action::Dispatch { instance, invocation, .. } => {
                        self.dispatched.push((instance, invocation));
                    }
                    Action::Rest { instance } => events.push_back(Event::Rested { instance }),
                    Action::Reclaim { instance, .. } => {
                        self.running.remove(&instance);
                        events.push_back(Event::Reclaimed { instance });
                    }
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scheduler::Sharing;

    /// Hosts of 3,328 MiB, packed.
    fn profile(sharing: Sharing) -> Profile {
        let mut profile = crate::built_in("aws-2018").expect("built in").expect("valid").scheduler;
        profile.hosts.sharing = sharing;
        profile
    }

    fn meeting(instances: u32) -> Meeting {
        let parties = [(0, 0), (1, 0), (0, 1)].map(|(tenant, role)| Party { tenant, role });
        Meeting {
            orders: vec![parties.to_vec()],
            instances,
            memory: MemoryMib(128),
            gap: Span::from_secs(10),
        }
    }

    // Hosts of one tenant, or of one role: nothing, or only roles, are beside each other.
    #[test]
    fn owners_keep_apart() {
        let found = shared(&profile(Sharing::PerTenant), &meeting(20));
        // 40 instances of the first tenant on hosts of 26: 20 and 6 share the first one, 14 are alone.
        let cross_role = 26.0 / 40.0;
        assert_eq!(found, Shared { cross_tenant: 0.0, cross_role, round: 0.0 });
        assert_eq!(shared(&profile(Sharing::PerRole), &meeting(20)), Shared::default());
    }

    // Packed hosts of 26 that all share, three bursts of 20 after each other: 26, 26 and 8 on a host, and the second burst
    // is on the first host with the first, and on the second with the third.
    #[test]
    fn shared_hosts_are_counted() {
        let found = shared(&profile(Sharing::Shared), &meeting(20));
        let beside = 52.0 / 60.0;
        assert_eq!(found, Shared { cross_tenant: beside, cross_role: 0.0, round: 1.0 });
        let small = shared(&profile(Sharing::Shared), &meeting(5));
        assert_eq!(small, Shared { cross_tenant: 1.0, cross_role: 1.0, round: 1.0 });
    }
}
