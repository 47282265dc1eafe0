//! One scheduler in virtual time, and the books of what it does.
//!
//! Deliberately decides nothing: events and actions pass through, and take the time that [`Timing`] says.

use crate::delay::Timing;
use crate::gauge::Gauge;
use crate::sketch::Sketch;
use crate::totals::{ByFunction, Memory, Milliseconds, Totals, USD_PER_GB_S, USD_PER_REQUEST};
use crate::trace::{Arrival, Functions};
use model::{Agenda, FunctionId, HostId, InstanceId, InvocationId, RoleId, Span, Time, fetch};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use scheduler::{Action, Epoch, Event, FunctionSettings, Profile, Scheduler};
use std::collections::{HashMap, VecDeque};

/// A scheduler with its invocations and instances.
pub struct Engine {
    policy: String,
    scheduler: Scheduler,
    timing: Timing,
    random: Pcg64,
    now: Time,
    /// The last arrival.
    last: Time,
    agenda: Agenda<What>,
    events: VecDeque<Event>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    in_flight: u64,
    functions: Vec<Book>,
    /// Memory of instances, MiB, and whether each is still starting.
    instances: HashMap<InstanceId, (u32, bool)>,
    hosts: HashMap<HostId, u32>,
    counts: Counts,
}

/// Something that will happen.
#[derive(Debug)]
enum What {
    Ready(HostId),
    Started(InstanceId),
    Finished(InstanceId, InvocationId),
}

/// An invocation that waits or runs.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Grows each time that the slot is used: an invocation of another number is gone.
    number: u32,
    function: u32,
    at: Time,
    duration: Span,
    cold_extra: Span,
    /// Memory of the instance that it runs on; 0 while it waits.
    busy_mib: u32,
}

/// What is counted of a function.
#[derive(Clone, Copy, Debug)]
struct Book {
    memory_mib: u32,
    ran: u32,
    cold: u32,
}

struct Counts {
    invocations: u64,
    cold: u64,
    warm: u64,
    rejected: u64,
    expired: u64,
    start: Sketch,
    response: Sketch,
    held: Gauge,
    busy: Gauge,
    starting: Gauge,
    host: Gauge,
    billed_mib_s: f64,
}

impl Engine {
    /// An engine without functions. Everything random comes from `seed`.
    ///
    /// Freezing idle instances is left out: it takes no memory or time that is counted here.
    pub fn new(policy: &str, mut profile: Profile, timing: Timing, seed: u64) -> Self {
        profile.rest_after = None;
        let gauge = Gauge::default();
        Self {
            policy: policy.to_owned(),
            scheduler: Scheduler::new(profile, seed),
            timing,
            random: Pcg64::seed_from_u64(seed ^ 0x7265_706c_6179),
            now: Time::ZERO,
            last: Time::ZERO,
            agenda: Agenda::default(),
            events: VecDeque::new(),
            slots: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
            functions: Vec::new(),
            instances: HashMap::new(),
            hosts: HashMap::new(),
            counts: Counts {
                invocations: 0,
                cold: 0,
                warm: 0,
                rejected: 0,
                expired: 0,
                start: Sketch::new(),
                response: Sketch::new(),
                held: gauge,
                busy: gauge,
                starting: gauge,
                host: gauge,
                billed_mib_s: 0.0,
            },
        }
    }

    /// Has the cache fetch what these invocations will touch, and what as many that end next will.
    pub(crate) fn fetch(&self, arrivals: &[Arrival]) {
        let mut comes = Vec::with_capacity(arrivals.len());
        for arrival in arrivals {
            self.functions.get(arrival.function as usize).into_iter().for_each(fetch);
            comes.push(FunctionId(u64::from(arrival.function)));
        }
        let mut ends = Vec::with_capacity(arrivals.len());
        for what in self.agenda.soon().take(arrivals.len()) {
            if let What::Finished(instance, invocation) = *what {
                fetch(&self.slots[slot_of(invocation)]);
                ends.push(instance);
            }
        }
        self.scheduler.fetch(&comes, &ends);
    }

    /// Takes in one invocation; functions that are new are deployed first. Arrivals come in the order of time.
    pub fn arrive(&mut self, functions: &Functions, arrival: &Arrival) {
        self.advance(arrival.at);
        self.now = self.now.max(arrival.at);
        for number in self.functions.len()..functions.len() {
            self.deploy(functions, number);
        }
        let slot = Slot {
            number: 0,
            function: arrival.function,
            at: arrival.at,
            duration: arrival.duration,
            cold_extra: arrival.cold_extra,
            busy_mib: 0,
        };
        let invocation = self.occupy(slot);
        self.counts.invocations += 1;
        let function = FunctionId(u64::from(arrival.function));
        self.tell(Event::Invoked { invocation, function });
    }

    /// The trace is over at this time: brings the integrals to it, and lets what runs end.
    pub fn finish(&mut self, last: Time) {
        self.advance(last);
        self.last = last;
        let counts = &mut self.counts;
        for gauge in [&mut counts.held, &mut counts.busy, &mut counts.starting, &mut counts.host] {
            gauge.settle(last);
        }
        let integrals = (counts.held, counts.busy, counts.starting, counts.host);
        while self.in_flight > 0 && self.step(Time::MAX) {}
        let counts = &mut self.counts;
        (counts.held, counts.busy, counts.starting, counts.host) = integrals;
    }

    /// What came of it.
    pub fn totals(&self) -> Totals {
        let counts = &self.counts;
        let ran = counts.cold + counts.warm;
        let gb_s = counts.billed_mib_s / 1024.0;
        let (held, busy) = (counts.held.mib_s(), counts.busy.mib_s());
        let starting = counts.starting.mib_s();
        Totals {
            policy: self.policy.clone(),
            seconds: self.last.as_secs_f64(),
            invocations: counts.invocations,
            cold: counts.cold,
            warm: counts.warm,
            rejected: counts.rejected,
            expired: counts.expired,
            cold_fraction: counts.cold as f64 / ran.max(1) as f64,
            cold_fraction_by_function: ByFunction::of(
                self.functions.iter().map(|it| (it.cold, it.ran)),
            ),
            start_ms: milliseconds(&counts.start),
            response_ms: milliseconds(&counts.response),
            memory: Memory {
                hosts_mib_s: counts.host.mib_s(),
                instances_mib_s: held,
                busy_mib_s: busy,
                starting_mib_s: starting,
                idle_mib_s: (held - busy - starting).max(0.0),
            },
            instances: self.scheduler.counters().instances_started,
            peak_mib: counts.held.most_mib(),
            hosts: self.scheduler.counters().hosts_started,
            billed_gb_s: gb_s,
            cost_usd: gb_s * USD_PER_GB_S + ran as f64 * USD_PER_REQUEST,
        }
    }

    fn deploy(&mut self, functions: &Functions, number: usize) {
        let facts = functions.facts(number);
        self.functions.push(Book { memory_mib: facts.memory.0, ran: 0, cold: 0 });
        let function = FunctionId(number as u64);
        let settings = FunctionSettings {
            tenant: facts.tenant,
            role: RoleId(0),
            memory: facts.memory,
            timeout: self.scheduler.profile().limits.timeout_max,
            group: function,
            reserved_concurrency: None,
            isolation: None,
        };
        self.tell(Event::Deployed { function, epoch: Epoch(1), settings });
    }

    /// Lets everything happen that is due until then.
    fn advance(&mut self, to: Time) {
        while self.step(to) {}
    }

    /// Lets the next thing happen, if it is due by then.
    fn step(&mut self, to: Time) -> bool {
        let next = self.agenda.first();
        let timeout = self.scheduler.next_timeout();
        if let Some(timeout) = timeout.filter(|it| *it <= to && next.is_none_or(|at| *it <= at)) {
            self.now = self.now.max(timeout);
            self.tell(Event::Timeout);
            return true;
        }
        if next.is_none_or(|at| at > to) {
            return false;
        }
        let Some((at, what)) = self.agenda.pop() else { return false };
        self.now = self.now.max(at);
        match what {
            What::Ready(host) => self.tell(Event::HostReady { host }),
            What::Started(instance) => self.started(instance),
            What::Finished(instance, invocation) => self.finished(instance, invocation),
        }
        true
    }

    fn started(&mut self, instance: InstanceId) {
        self.no_longer_starting(instance);
        self.tell(Event::Started { instance });
    }

    fn finished(&mut self, instance: InstanceId, invocation: InvocationId) {
        // One that ran into its timeout is gone.
        let Some(slot) = self.vacate(invocation) else { return };
        self.counts.response.note(self.now.since(slot.at));
        self.tell(Event::Finished { instance, invocation });
        self.tell(Event::Idle { instance });
    }

    /// Tells the scheduler what happened and does what it says.
    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            self.scheduler.handle(self.now, event);
            while let Some(action) = self.scheduler.poll_action() {
                self.carry_out(action);
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::StartHost { host, memory, .. } => {
                self.hosts.insert(host, memory.0);
                self.counts.host.add(now, memory.0);
                let delay = self.timing.host.draw(&mut self.random);
                self.put(delay, What::Ready(host));
            }
            Action::StopHost { host } => {
                let mib = self.hosts.remove(&host).unwrap_or(0);
                self.counts.host.take(now, mib);
            }
            Action::Start { instance, function, .. } => {
                let mib = self.functions[function.0 as usize].memory_mib;
                self.instances.insert(instance, (mib, true));
                self.counts.held.add(now, mib);
                self.counts.starting.add(now, mib);
                let delay = self.timing.cold.draw(&mut self.random);
                self.put(delay, What::Started(instance));
            }
            Action::Dispatch { instance, invocation, cold, .. } => {
                self.dispatch(instance, invocation, cold);
            }
            Action::Rest { instance } => self.events.push_back(Event::Rested { instance }),
            Action::Reclaim { instance, .. } => {
                self.no_longer_starting(instance);
                let (mib, _) = self.instances.remove(&instance).unwrap_or_default();
                self.counts.held.take(now, mib);
                self.events.push_back(Event::Reclaimed { instance });
            }
            Action::Reject { invocation, .. } => {
                self.counts.rejected += 1;
                self.vacate(invocation);
            }
            Action::Expire { invocation, .. } => {
                self.counts.expired += 1;
                if let Some(slot) = self.vacate(invocation) {
                    self.counts.response.note(now.since(slot.at));
                }
            }
            Action::Bill { billed, memory, .. } => {
                self.counts.billed_mib_s += billed.as_secs_f64() * f64::from(memory.0);
            }
        }
    }

    fn dispatch(&mut self, instance: InstanceId, invocation: InvocationId, cold: bool) {
        let wait = if cold { Span::ZERO } else { self.timing.warm.draw(&mut self.random) };
        let slot = &mut self.slots[slot_of(invocation)];
        let Slot { function, at, duration, cold_extra, .. } = *slot;
        let book = &mut self.functions[function as usize];
        slot.busy_mib = book.memory_mib;
        book.ran += 1;
        book.cold += u32::from(cold);
        self.counts.busy.add(self.now, book.memory_mib);
        self.counts.start.note(self.now.since(at) + wait);
        match cold {
            true => self.counts.cold += 1,
            false => self.counts.warm += 1,
        }
        let extra = if cold { cold_extra } else { Span::ZERO };
        self.put(wait + extra + duration, What::Finished(instance, invocation));
    }

    fn no_longer_starting(&mut self, instance: InstanceId) {
        if let Some((mib, starting @ true)) = self.instances.get_mut(&instance) {
            *starting = false;
            self.counts.starting.take(self.now, *mib);
        }
    }

    /// Notes what happens after this time.
    fn put(&mut self, after: Span, what: What) {
        self.agenda.put(self.now + after, what);
    }

    /// Gives an invocation a slot and a number that no other ever has.
    fn occupy(&mut self, slot: Slot) -> InvocationId {
        self.in_flight += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(slot);
            self.slots.len() as u32 - 1
        });
        let number = self.slots[index as usize].number + 1;
        self.slots[index as usize] = Slot { number, ..slot };
        InvocationId(u64::from(number) << 32 | u64::from(index))
    }

    /// Takes an invocation out of its slot, where it still is there.
    fn vacate(&mut self, invocation: InvocationId) -> Option<Slot> {
        let slot = &mut self.slots[slot_of(invocation)];
        if u64::from(slot.number) != invocation.0 >> 32 {
            return None;
        }
        let gone = *slot;
        slot.number += 1;
        self.free.push(slot_of(invocation) as u32);
        self.in_flight -= 1;
        if gone.busy_mib > 0 {
            self.counts.busy.take(self.now, gone.busy_mib);
        }
        Some(gone)
    }
}

fn slot_of(invocation: InvocationId) -> usize {
    (invocation.0 & u64::from(u32::MAX)) as usize
}

fn milliseconds(sketch: &Sketch) -> Milliseconds {
    Milliseconds {
        mean: sketch.mean_ms(),
        p50: sketch.quantile_ms(0.5),
        p95: sketch.quantile_ms(0.95),
        p99: sketch.quantile_ms(0.99),
        p999: sketch.quantile_ms(0.999),
        max: sketch.most_ms(),
    }
}
