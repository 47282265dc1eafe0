//! The driver's books, kept by the events that it sends: what it was told to do is done, or failed.
//!
//! Deliberately knows nothing of what the scheduler makes of it.

use super::*;

impl Driver {
    /// Notes what the driver itself says.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Deployed { function, epoch, settings }
            | Event::ConfigChanged { function, epoch, settings } => {
                self.note_settings(*function, *epoch, settings, event);
            }
            Event::LimitsChanged { tenant, group, reserved_concurrency } => {
                self.note_reserved((*tenant, *group), *reserved_concurrency);
            }
            Event::ProvisionedChanged { function, count } => {
                if self.functions.contains_key(function) {
                    self.provisioned.insert(*function, *count);
                }
            }
            Event::Removed { function } => {
                self.provisioned.remove(function);
                if let Some((_, gone)) = self.functions.remove(function) {
                    *self.lives.entry(*function).or_default() += 1;
                    self.forget_group((gone.tenant, gone.group));
                }
                self.past.remove(function);
                let of = self.instances.values_mut().filter(|it| it.function == *function);
                of.for_each(|it| it.orphan = true);
            }
            Event::HostReady { host } => {
                if let Some(it) = self.hosts.get_mut(host) {
                    it.ready = true;
                }
            }
            Event::HostFailed { host, .. } => {
                if self.hosts.get(host).is_some_and(|it| !it.ready) {
                    self.hosts.remove(host);
                }
            }
            Event::HostLost { host } => self.note_lost(*host),
            Event::Invoked { invocation, function } => self.note_invoked(*invocation, *function),
            Event::Cancelled { invocation } => {
                if let Some(it) = self.invocations.get_mut(invocation)
                    && matches!(it.stage, Stage::Waiting(_))
                {
                    it.stage = Stage::Ended;
                }
            }
            _ => self.note_instance(event),
        }
    }

    fn note_settings(
        &mut self,
        function: FunctionId,
        epoch: Epoch,
        settings: &FunctionSettings,
        event: &Event,
    ) {
        let known = self.functions.get(&function);
        if known.is_none() && matches!(event, Event::ConfigChanged { .. }) {
            return;
        }
        if known.is_some_and(|(now, _)| *now > epoch) {
            return;
        }
        if let (Some((now, _)), Some(updates)) = (known, self.profile.updates)
            && *now < epoch
        {
            self.past.insert(function, (*now, self.now + updates.window));
        }
        let before = self.functions.insert(function, (epoch, settings.clone()));
        if let Some((old, before)) = before {
            if (old, before.isolation != settings.isolation) == (epoch, true) {
                let of = self.instances.values_mut().filter(|it| it.function == function);
                of.for_each(|it| it.orphan = true);
                self.past.remove(&function);
            }
            self.forget_group((before.tenant, before.group));
        }
        self.note_reserved((settings.tenant, settings.group), settings.reserved_concurrency);
        self.settings.insert((function, epoch), settings.clone());
    }

    fn note_invoked(&mut self, invocation: InvocationId, function: FunctionId) {
        let stage = Stage::Waiting(self.now);
        let life = self.lives.get(&function).copied().unwrap_or(0);
        let book = InvocationBook { function, stage, bills: 0, life };
        self.invocations.entry(invocation).or_insert(book);
    }

    fn note_lost(&mut self, host: HostId) {
        let Some(gone) = self.hosts.remove(&host) else { return };
        for instance in gone.instances {
            if let Some(it) = self.instances.remove(&instance) {
                self.close(instance);
                if let Doing::Busy(invocation, ..) = it.doing {
                    self.end(invocation);
                }
                self.end_runs(instance);
            }
        }
        self.open.retain(|open| *open != Open::Host(host));
    }

    fn note_instance(&mut self, event: &Event) {
        let now = self.now;
        let (instance, next) = match *event {
            Event::Started { instance } => {
                (instance, Doing::Idle { since: now, asked_to_rest: false })
            }
            Event::Finished { instance, .. } => (instance, Doing::Finishing(now)),
            Event::Idle { instance } => {
                (instance, Doing::Idle { since: now, asked_to_rest: false })
            }
            Event::StartFailed { instance, .. } | Event::Died { instance } => {
                (instance, Doing::Stopping)
            }
            Event::Reclaimed { instance } => (instance, Doing::Stopping),
            _ => return,
        };
        let Some(it) = self.instances.get_mut(&instance) else { return };
        let was = it.doing;
        match (event, was) {
            (Event::Started { .. }, Doing::Starting) => {
                (it.doing, it.born) = (next, now);
                self.close(instance);
            }
            (Event::StartFailed { .. }, Doing::Starting) => self.close(instance),
            (Event::Finished { invocation, .. }, Doing::Busy(runs, ..)) if runs == *invocation => {
                it.doing = next;
                self.close(instance);
                self.open.push(Open::Finish(instance));
                self.end(runs);
            }
            (Event::Idle { .. }, Doing::Finishing(_)) => {
                it.doing = next;
                self.close(instance);
            }
            (Event::Finished { invocation, .. }, Doing::Serving) => {
                self.note_answered(instance, *invocation);
            }
            (Event::Idle { .. }, Doing::Serving) => self.note_free(instance),
            (Event::Died { .. }, Doing::Busy(runs, ..)) => {
                self.end(runs);
                self.close(instance);
            }
            (Event::Died { .. }, Doing::Serving) => {
                self.end_runs(instance);
                self.close(instance);
            }
            (Event::Died { .. }, Doing::Stopping) => {}
            (Event::Died { .. }, _) => self.close(instance),
            (Event::Reclaimed { .. }, Doing::Stopping) => {
                let host = it.host;
                self.instances.remove(&instance);
                if let Some(host) = self.hosts.get_mut(&host) {
                    host.instances.remove(&instance);
                }
            }
            _ => {}
        }
    }
}
