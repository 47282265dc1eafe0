//! How the scheduler's decisions are carried out: its events and actions, and what each takes on modelled hosts.
//!
//! Deliberately decides nothing.

use crate::call::{Answer, Call, PlatformReport, Reply};
use crate::host::{Host, Resource};
use crate::latency::{chance, varied};
use crate::pool::{Share, User};
use crate::region::{Happening, SlotKey, State, Told};
use crate::run::{Instance, Part, Pending, Run};
use crate::work::MEMORY_USED_MIB;
use model::{FunctionId, HostId, InstanceId, InvocationId, MemoryMib, Span, Time};
use probe::Response;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use scheduler::{Action, Epoch, Event, Purpose, Rejection};

/// Lowest part of an instance's ceiling of CPU that its own variation leaves.
const CPU_FACTOR_MIN: f64 = 0.1;

impl State {
    /// Sends a request; the slot will be told what comes of it.
    pub(crate) fn send(&mut self, call: Call) -> SlotKey {
        let Call { function, request, bytes, at: _, limit } = call;
        let key = self.slot();
        self.counts.requests += 1;
        self.counts.of(&function).first_sent.get_or_insert(self.now);
        self.agenda.put(self.now + limit, Happening::GiveUp(key));
        let faults = self.platform.model.faults;
        if chance(&mut self.random, faults.lost_request) {
            return key;
        }
        let waiting = (!chance(&mut self.random, faults.lost_reply)).then_some(key);
        if chance(&mut self.random, faults.duplicate) {
            self.on_its_way((function.clone(), request.clone(), bytes), None);
        }
        self.on_its_way((function, request, bytes), waiting);
        key
    }

    fn on_its_way(
        &mut self,
        (function, request, bytes): (String, probe::Request, u64),
        waiting: Option<SlotKey>,
    ) {
        self.next_invocation += 1;
        let invocation = InvocationId(self.next_invocation);
        let out = self.platform.model.path.out.draw(&mut self.random);
        let request = Some(request);
        let pending = Pending {
            function,
            request,
            bytes,
            waiting,
            answer: None,
            report: None,
            instance: None,
            again: false,
            sent: self.now,
            updated: None,
        };
        self.pending.insert(invocation, pending);
        self.agenda.put(self.now + out, Happening::Arrive(invocation));
    }

    /// A request is at the platform.
    pub(crate) fn arrive(&mut self, invocation: InvocationId) {
        let Some(pending) = self.pending.get(&invocation) else { return };
        let function = self.functions.by_name.get(&pending.function).map(|it| it.id);
        let Some(function) = function else {
            let reason = format!("ResourceNotFoundException: no function {}", pending.function);
            return self.answer(invocation, Answer::Refused { status: 404, reason });
        };
        let size_mib = pending.bytes as f64 / f64::from(1 << 20);
        let limit_mib = self.platform.model.limits.payload_mib;
        if size_mib > limit_mib {
            let reason =
                format!("RequestTooLargeException: {size_mib:.3} MiB, limit is {limit_mib} MiB");
            return self.answer(invocation, Answer::Refused { status: 413, reason });
        }
        if chance(&mut self.random, self.platform.model.faults.throttled) {
            let reason = "TooManyRequestsException: rate exceeded".to_owned();
            return self.answer(invocation, Answer::Refused { status: 429, reason });
        }
        self.feed(Event::Invoked { invocation, function });
    }

    /// Sends an answer on its way back.
    fn answer(&mut self, invocation: InvocationId, answer: Answer) {
        let back = self.platform.model.path.back.draw(&mut self.random);
        let Some(pending) = self.pending.get_mut(&invocation) else { return };
        if pending.answer.is_none() {
            pending.answer = Some(answer);
            self.agenda.put(self.now + back, Happening::Deliver(invocation));
        }
    }

    /// An answer is at the vantage point.
    pub(crate) fn deliver(&mut self, invocation: InvocationId) {
        let Some(pending) = self.pending.remove(&invocation) else { return };
        let Pending {
            function,
            waiting: Some(key),
            answer: Some(answer),
            report,
            updated,
            again,
            ..
        } = pending
        else {
            return;
        };
        if let (Some(updated), Answer::Response(_)) = (updated, &answer) {
            self.counts.functions.entry(function).or_default().updated.push(updated);
        }
        let request_id = format!("00000000-0000-4000-8000-{:012x}", invocation.0);
        let reply = Reply { received: self.now, request_id, answer, report, again };
        self.tell(key, Told::Reply(Box::new(reply)));
    }

    /// Tells the scheduler what happened and does what it says, and so on until it has nothing more to say.
    pub(crate) fn feed(&mut self, event: Event) {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            self.scheduler.handle(self.now, event);
            while let Some(action) = self.scheduler.poll_action() {
                self.carry_out(action);
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::StartHost { host, memory, .. } => self.start_host(host, memory),
            Action::StopHost { host } => drop(self.hosts.remove(&host)),
            Action::Start { instance, host, function, epoch, purpose } => {
                self.start((instance, host), (function, epoch), purpose);
            }
            Action::Dispatch { instance, invocation, cold, .. } => {
                self.dispatch(instance, invocation, cold);
            }
            Action::Rest { instance } => self.events.push_back(Event::Rested { instance }),
            Action::Reclaim { instance, .. } => {
                self.stop(instance);
                self.events.push_back(Event::Reclaimed { instance });
            }
            Action::Reject { invocation, reason } => {
                let (status, reason) = refusal(reason);
                self.answer(invocation, Answer::Refused { status, reason });
            }
            Action::Expire { invocation, instance, timeout } => {
                self.stop_run(instance, invocation);
                let text = format!("Sandbox.Timedout: task timed out after {timeout}");
                self.answer(invocation, Answer::FunctionError(text));
            }
            Action::Bill { invocation, duration, init, billed, .. } => {
                if let Some(pending) = self.pending.get_mut(&invocation) {
                    pending.report = Some(PlatformReport {
                        duration_ms: duration.as_millis_f64(),
                        billed_ms: billed.as_millis_f64(),
                        init_duration_ms: init.map_or(0.0, Span::as_millis_f64),
                        max_memory_mib: MEMORY_USED_MIB,
                    });
                }
            }
        }
    }

    fn start_host(&mut self, host: HostId, memory: MemoryMib) {
        let model = &self.platform.model;
        let ready = model.hosts.ready.draw(&mut self.random);
        let drawn = Host { memory, ..Host::draw(model, host, self.now, &mut self.random) };
        self.hosts.insert(host, drawn);
        self.agenda.put(self.now + ready, Happening::HostReady(host));
    }

    fn start(
        &mut self,
        (instance, host): (InstanceId, HostId),
        (function, epoch): (FunctionId, Epoch),
        purpose: Purpose,
    ) {
        let version = self.functions.versions.get(&(function, epoch)).cloned();
        let Some(version) = version else {
            // Removed since; the scheduler knows it too, and only waits for the end.
            let reason = "its function is gone".to_owned();
            return self.events.push_back(Event::StartFailed { instance, reason });
        };
        let platform = &self.platform;
        let starts = &platform.model.starts;
        let cold = platform.cold(&version.state.runtime, version.state.memory);
        let cold = cold.less(platform.model.path.out.median_ms());
        let mut latency_ms = cold.draw_ms(&mut self.random);
        latency_ms += starts.package_ms_per_mib * version.state.package_mib;
        if self.codes.contains(version.code()) {
            latency_ms -= starts.known_code_saves_ms;
        }
        let serial_ms = starts.serial_ms.min(latency_ms).max(0.0);
        let normal: f64 = StandardNormal.sample(&mut self.random);
        let cpu_factor = (1.0 + platform.model.cpu.ceiling_sd * normal).max(CPU_FACTOR_MIN);
        let (high, low) = (self.random.random::<u64>(), self.random.random::<u64>());
        let it = Instance {
            function,
            version,
            purpose,
            host,
            name: format!("{high:016x}{low:016x}"),
            start_rest: Span::from_secs_f64((latency_ms - serial_ms).max(0.0) / 1e3),
            since: self.now,
            cpu_factor,
            served: 0,
            first: None,
            runs: Vec::new(),
            used: false,
            background: None,
        };
        let memory = it.version.state.memory;
        self.instances.insert(instance, it);
        self.take_memory(host, memory);
        self.watch_load(host);
        if serial_ms > 0.0 {
            let share = Share { ceiling: 1.0, weight: 1.0, work: serial_ms / 1e3 };
            self.join(start_of(instance), Resource::Starter, share);
        } else {
            self.started_in_turn(instance);
        }
    }

    /// An instance had its turn on the host's starter; the rest of its start is its own.
    fn started_in_turn(&mut self, instance: InstanceId) {
        if let Some(it) = self.instances.get(&instance) {
            self.agenda.put(self.now + it.start_rest, Happening::Started(instance));
        }
    }

    pub(crate) fn started(&mut self, instance: InstanceId) {
        let fails = chance(&mut self.random, self.platform.model.faults.start_failure);
        let Some(it) = self.instances.get(&instance) else { return };
        if fails {
            let reason = "the sandbox did not start".to_owned();
            return self.feed(Event::StartFailed { instance, reason });
        }
        self.codes.insert(it.version.code().to_owned());
        self.feed(Event::Started { instance });
    }

    fn dispatch(&mut self, instance: InstanceId, invocation: InvocationId, cold: bool) {
        let warm = self.platform.model.warm.latency;
        let wait = if cold { Span::ZERO } else { warm.draw(&mut self.random) };
        let Some(it) = self.instances.get_mut(&instance) else { return };
        let Some(pending) = self.pending.get_mut(&invocation) else { return };
        pending.instance = Some(instance);
        pending.again = it.used;
        it.first = it.first.or(Some(self.now));
        let most = self.platform.scheduler.scaling.requests_per_instance as usize;
        assert!(it.runs.len() < most, "{instance:?} runs more than {most} invocations");
        it.runs.push(invocation);
        let run = Run {
            instance,
            number: 0,
            request: pending.request.take().unwrap_or_default(),
            response: Response::default(),
            part: Part::Coming,
            since: self.now,
            part_since: self.now,
            rounds: 0,
        };
        self.runs.insert(invocation, run);
        let (function, host, alone) = (it.function, it.host, it.runs.len() == 1);
        self.note_version(instance, invocation);
        let version = &self.instances[&instance].version;
        let (name, memory) = (version.function.clone(), version.state.memory);
        if alone {
            self.running.begin(&mut self.counts, (function, &name), (host, memory));
        }
        self.agenda.put(self.now + wait, Happening::PartOver(invocation));
    }

    /// A run is over.
    pub(crate) fn finished(
        &mut self,
        instance: InstanceId,
        invocation: InvocationId,
        answer: Answer,
    ) {
        self.count_out(instance, invocation);
        self.answer(invocation, answer);
        self.events.push_back(Event::Finished { instance, invocation });
        self.feed(Event::Idle { instance });
    }

    /// A runtime dies, and all that it runs with it.
    pub(crate) fn die(&mut self, instance: InstanceId) {
        for invocation in self.runs_of(instance) {
            let text = "Runtime.ExitError: the runtime exited".to_owned();
            self.answer(invocation, Answer::FunctionError(text));
            self.stop_run(instance, invocation);
        }
        self.feed(Event::Died { instance });
    }

    fn runs_of(&self, instance: InstanceId) -> Vec<InvocationId> {
        self.instances.get(&instance).map_or_else(Vec::new, |it| it.runs.clone())
    }

    /// Ends what an instance runs, without an answer.
    fn stop_run(&mut self, instance: InstanceId, invocation: InvocationId) {
        if self.runs.contains_key(&invocation) {
            let user = User { instance, invocation: Some(invocation) };
            for resource in
                [Resource::Cpu, Resource::DiskWrite, Resource::DiskRead, Resource::Network]
            {
                self.leave_pool(user, resource);
            }
            self.count_out(instance, invocation);
        }
    }

    /// Ends an instance.
    fn stop(&mut self, instance: InstanceId) {
        for invocation in self.runs_of(instance) {
            self.stop_run(instance, invocation);
        }
        self.leave_pool(start_of(instance), Resource::Starter);
        let Some(it) = self.instances.remove(&instance) else { return };
        if let Some(host) = self.hosts.get_mut(&it.host) {
            host.used = host.used - it.version.state.memory;
        }
    }

    /// A host has the memory of all instances on it, those that start included.
    fn take_memory(&mut self, host: HostId, memory: MemoryMib) {
        if let Some(it) = self.hosts.get_mut(&host) {
            it.used = it.used + memory;
            let (used, all) = (it.used, it.memory);
            assert!(used <= all, "{host:?} of {all} has instances of {used}");
        }
    }

    /// An invocation runs no more on its instance, which may run others.
    fn count_out(&mut self, instance: InstanceId, invocation: InvocationId) {
        self.runs.remove(&invocation);
        let Some(it) = self.instances.get_mut(&instance) else { return };
        it.used = true;
        it.runs.retain(|other| *other != invocation);
        if it.runs.is_empty() {
            self.running.end(it.function, (it.host, it.version.state.memory));
        }
    }

    /// Lets somebody use a resource of the host.
    pub(crate) fn join(&mut self, user: User, resource: Resource, share: Share) {
        let now = self.now;
        let Some(host) = self.instances.get(&user.instance).map(|it| it.host) else { return };
        let variation_sd = self.platform.model.variation_sd(resource);
        if let Some(it) = self.hosts.get_mut(&host) {
            let pool = it.pool(resource);
            if variation_sd > 0.0 && pool.is_idle() {
                pool.vary(varied(&mut self.random, variation_sd));
            }
            pool.join(now, user, share);
            self.announce(host, resource);
            self.watch_load(host);
        }
    }

    /// Takes somebody off a resource of the host; returns what was got there.
    pub(crate) fn leave_pool(&mut self, user: User, resource: Resource) -> f64 {
        let now = self.now;
        let Some(host) = self.instances.get(&user.instance).map(|it| it.host) else { return 0.0 };
        let Some(it) = self.hosts.get_mut(&host) else { return 0.0 };
        let before = it.pool(resource).generation();
        let got = it.pool(resource).leave(now, user);
        if it.pool(resource).generation() != before {
            self.note_beside(user.instance, resource);
            self.announce(host, resource);
        }
        got
    }

    /// Notes when the next one will be done at a resource, as things are now.
    fn announce(&mut self, host: HostId, resource: Resource) {
        let Some(it) = self.hosts.get_mut(&host) else { return };
        let pool = it.pool(resource);
        let generation = pool.generation();
        if let Some(at) = pool.next_done() {
            self.agenda.put(at, Happening::Done(host, resource, generation));
        }
    }

    pub(crate) fn done(&mut self, host: HostId, resource: Resource, generation: u64) {
        let now = self.now;
        let Some(it) = self.hosts.get_mut(&host) else { return };
        let pool = it.pool(resource);
        if pool.generation() != generation {
            return;
        }
        let done = pool.take_done(now);
        self.announce(host, resource);
        for User { instance, invocation } in done {
            self.note_beside(instance, resource);
            match invocation {
                None => self.started_in_turn(instance),
                Some(invocation) => self.work_done(invocation),
            }
        }
    }

    /// Wall clock of a host at a moment, nanoseconds since 1970.
    pub(crate) fn wall(&self, host: HostId, at: Time) -> u64 {
        let clock = &self.platform.model.clock;
        let own = self.hosts.get(&host).map_or(0.0, |it| it.ahead_ns);
        let ahead = clock.offset_ms * 1e6 + own + clock.drift_ppm * 1e-6 * at.as_nanos() as f64;
        let ahead = ahead + clock.stepped_ns(at);
        (crate::region::EPOCH_UNIX_NS + at.as_nanos()).saturating_add_signed(ahead as i64)
    }

    /// When the wall clock of a host says this, for whoever waits for it from now on.
    ///
    /// Where the clock is set meanwhile, the rest is reckoned again at that moment: probes look at least once a second.
    pub(crate) fn moment(&self, host: HostId, unix_ns: u64) -> Time {
        let clock = &self.platform.model.clock;
        let stepped_ns = clock.stepped_ns(self.now);
        let at = self.unstepped(host, unix_ns, stepped_ns);
        let then_ns = clock.stepped_ns(at);
        if then_ns == stepped_ns {
            return at;
        }
        let step = Time::ZERO + Span::from_secs_f64(clock.step_at_s);
        self.unstepped(host, unix_ns, then_ns).max(step)
    }

    /// When the wall clock of a host says this, if it is set ahead by so much throughout.
    fn unstepped(&self, host: HostId, unix_ns: u64, stepped_ns: f64) -> Time {
        let clock = &self.platform.model.clock;
        let own = self.hosts.get(&host).map_or(0.0, |it| it.ahead_ns) + stepped_ns;
        let since = unix_ns.saturating_sub(crate::region::EPOCH_UNIX_NS);
        if clock.drift_ppm == 0.0 {
            let ahead = (clock.offset_ms * 1e6 + own) as i64;
            return Time::from_nanos(since.saturating_add_signed(-ahead));
        }
        let at = (since as f64 - clock.offset_ms * 1e6 - own) / (1.0 + clock.drift_ppm * 1e-6);
        Time::from_nanos(at.max(0.0) as u64)
    }
}

/// An instance as it starts.
fn start_of(instance: InstanceId) -> User {
    User { instance, invocation: None }
}

/// Status and words of a refusal.
fn refusal(reason: Rejection) -> (u16, String) {
    let throttled = |what: &str| (429, format!("TooManyRequestsException: {what}"));
    match reason {
        Rejection::NoFunction => (404, "ResourceNotFoundException: no such function".to_owned()),
        Rejection::ReservedConcurrency { limit } => {
            throttled(&format!("the reserved concurrency of {limit} is used up"))
        }
        Rejection::AccountConcurrency { limit } => {
            throttled(&format!("the account's unreserved concurrency of {limit} is used up"))
        }
        Rejection::Queue => throttled("the queue is full"),
        Rejection::NoHost(why) => (503, format!("ServiceUnavailableException: {why}")),
        Rejection::StartFailed(why) => (502, format!("Runtime.InitError: {why}")),
    }
}
