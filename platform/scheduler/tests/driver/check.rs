//! Each action as it comes: whether the books allow it, and its entry into them.
//!
//! Deliberately knows nothing of what must hold once all actions of an event are out.

use super::*;

impl Driver {
    /// Checks an action against the books, and notes it.
    pub(super) fn check(&mut self, action: &Action) {
        match *action {
            Action::StartHost { host, memory, tenant, .. } => {
                let book = HostBook {
                    memory,
                    tenant,
                    ready: false,
                    parties: Vec::new(),
                    instances: BTreeSet::new(),
                };
                assert!(self.hosts.insert(host, book).is_none(), "{host} is started once");
                self.open.push(Open::Host(host));
            }
            Action::StopHost { host } => {
                let book = self.hosts.remove(&host).expect("a host that is there");
                assert!(book.instances.is_empty(), "{host} is stopped with {:?}", book.instances);
                assert!(book.ready, "{host} is stopped before it is ready");
            }
            Action::Start { instance, host, function, epoch, purpose } => {
                self.check_start(instance, host, (function, epoch), purpose);
            }
            Action::Dispatch { instance, invocation, epoch, .. } => {
                self.check_dispatch(instance, invocation, epoch);
            }
            Action::Rest { instance } => {
                let it = self.instances.get_mut(&instance).expect("an instance that is there");
                match &mut it.doing {
                    Doing::Idle { asked_to_rest, .. } if !*asked_to_rest => *asked_to_rest = true,
                    other => panic!("{instance} rests while {other:?}"),
                }
                self.open.push(Open::Rest(instance));
            }
            Action::Reclaim { instance, reason } => self.check_reclaim(instance, reason),
            Action::Reject { invocation, ref reason } => {
                let it = self.invocations.get_mut(&invocation).expect("an invocation that came");
                assert!(matches!(it.stage, Stage::Waiting(_)), "{invocation} has two outcomes");
                it.stage = Stage::Ended;
                let function = it.function;
                self.check_rejection(function, reason);
            }
            Action::Expire { invocation, instance, timeout } => {
                let it = &self.instances[&instance];
                if it.doing == Doing::Serving {
                    return self.check_run_expires(instance, (invocation, timeout));
                }
                let Doing::Busy(runs, since, limit) = it.doing else {
                    panic!("{instance} expires while {:?}", it.doing)
                };
                assert_eq!((runs, limit), (invocation, timeout));
                assert!(since + limit <= self.now, "{invocation} expires early");
                self.end(invocation);
            }
            Action::Bill { invocation, duration, billed, .. } => {
                let it = self.invocations.get_mut(&invocation).expect("an invocation that came");
                it.bills += 1;
                assert_eq!((it.stage, it.bills), (Stage::Ended, 1), "{invocation} is billed once");
                assert!(billed >= duration);
            }
        }
    }

    fn check_start(
        &mut self,
        instance: InstanceId,
        host: HostId,
        (function, epoch): (FunctionId, Epoch),
        purpose: Purpose,
    ) {
        let settings = self.settings[&(function, epoch)].clone();
        assert!(self.is_used(function, epoch), "{instance} starts outdated");
        let book = self.hosts.get_mut(&host).expect("a host that is there");
        assert!(book.ready, "{instance} starts on {host} before that is ready");
        book.instances.insert(instance);
        let settings =
            FunctionSettings { isolation: self.functions[&function].1.isolation, ..settings };
        self.check_company(host, &settings);
        let memory = settings.memory;
        let (doing, born) = (Doing::Starting, self.now);
        let (orphan, outdated) = (false, 0);
        let it =
            InstanceBook { function, epoch, host, memory, doing, born, purpose, orphan, outdated };
        assert!(self.instances.insert(instance, it).is_none(), "{instance} starts once");
        let book = &self.hosts[&host];
        if matches!(self.profile.placement, Placement::OnePerHost(_)) {
            assert_eq!(book.instances.len(), 1, "{host} is one instance's");
        }
        let used: MemoryMib = book.instances.iter().map(|it| self.instances[it].memory).sum();
        assert!(used <= book.memory, "{host} has {used} of {}", book.memory);
        self.open.push(Open::Start(instance));
    }

    /// Whether a version may be used now: the present one, or for a while the one before.
    fn is_used(&self, function: FunctionId, epoch: Epoch) -> bool {
        let past = self.past.get(&function);
        self.functions.get(&function).is_some_and(|it| it.0 == epoch)
            || past.is_some_and(|&(before, until)| before == epoch && self.now < until)
    }

    fn check_dispatch(&mut self, instance: InstanceId, invocation: InvocationId, epoch: Epoch) {
        let now = self.now;
        let function = self.instances[&instance].function;
        assert!(self.is_used(function, epoch), "{invocation} runs old code");
        let it = self.instances.get_mut(&instance).expect("an instance that is there");
        let each = self.profile.scaling.requests_per_instance as usize;
        let several = each > 1;
        let running = self.runs.get(&instance).map_or(0, |it| it.runs.len());
        let has_room = several && it.doing == Doing::Serving && running < each;
        let idle = matches!(it.doing, Doing::Idle { .. });
        assert!(idle || has_room, "{instance} takes {running} and one more: {:?}", it.doing);
        let current = self.functions.get(&it.function).expect("a function that is there");
        assert_eq!(epoch, it.epoch);
        it.outdated += u32::from(epoch != current.0);
        assert!(it.outdated <= 1, "{instance} runs old code twice");
        assert!(!it.orphan, "{invocation} runs on an instance of a function that was removed");
        if let Some(cap) = self.profile.lifetime_cap {
            assert!(now < it.born + cap, "{instance} is used beyond its lifetime");
        }
        let timeout = current.1.timeout;
        it.doing = if several { Doing::Serving } else { Doing::Busy(invocation, now, timeout) };
        let book = self.invocations.get_mut(&invocation).expect("an invocation that came");
        assert!(matches!(book.stage, Stage::Waiting(_)), "{invocation} runs twice");
        assert_eq!(book.function, it.function);
        book.stage = Stage::Running;
        self.open.retain(|open| *open != Open::Rest(instance));
        self.open.push(Open::Run(instance, invocation));
        if several {
            self.add_run(instance, (invocation, timeout));
        }
    }

    fn check_reclaim(&mut self, instance: InstanceId, reason: StopReason) {
        self.close(instance);
        let it = self.instances.get_mut(&instance).expect("an instance that is there");
        assert!(it.doing != Doing::Stopping, "{instance} is reclaimed twice");
        let evictable = matches!(it.doing, Doing::Idle { .. });
        match reason {
            StopReason::IdleLimit | StopReason::Halving | StopReason::Evicted => {
                assert!(evictable, "{instance} goes for {reason:?} while {:?}", it.doing);
                assert_eq!(it.purpose, Purpose::OnDemand, "{instance} is to stay");
                let stays = matches!(self.profile.keep_alive, KeepAlive::MemoryPressure(_));
                assert!(!stays || reason == StopReason::Evicted, "{instance} goes for {reason:?}");
            }
            StopReason::Outdated => {
                let current = self.functions[&it.function].0 == it.epoch && !it.orphan;
                assert!(!current, "{instance} is not outdated");
            }
            _ => {}
        }
        let (function, purpose) = (it.function, it.purpose);
        if reason == StopReason::Unprovisioned {
            assert_eq!(purpose, Purpose::Provisioned);
            self.check_surplus(function);
        }
        let it = self.instances.get_mut(&instance).expect("an instance that is there");
        it.doing = Doing::Stopping;
        if let Some(gone) = self.runs.remove(&instance) {
            assert!(gone.runs.is_empty(), "{instance} goes for {reason:?} with {gone:?}");
        }
        self.open.push(Open::Reclaim(instance));
    }
}
