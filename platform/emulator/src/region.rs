//! One region in virtual time: what the scheduler decides is carried out on modelled hosts.
//!
//! Deliberately decides nothing itself. Whoever measures holds a [`Region`], calls it, sleeps in its time, and is run by
//! [`Region::run`].

use crate::call::{Answer, Call, Reply};
use crate::counts::{Counts, Running, Tallies};
use crate::executor::{Deadlock, Step, block_on};
use crate::function::{Bucket, Functions, tenant_id};
use crate::host::{Host, Resource};
use crate::profile::Platform;
use crate::run::{Instance, Pending, Run};
use model::{Agenda, HostId, InstanceId, InvocationId, Time};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use scheduler::{Event, Scheduler};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Wall clock at the beginning, nanoseconds since 1970: 2018-01-01T00:00:00Z, always.
pub(crate) const EPOCH_UNIX_NS: u64 = 1_514_764_800_000_000_000;

/// A region. Clones are handles on the same one.
#[derive(Clone)]
pub struct Region {
    pub(crate) state: Rc<RefCell<State>>,
}

/// All that is there.
pub(crate) struct State {
    pub(crate) now: Time,
    pub(crate) platform: Rc<Platform>,
    pub(crate) random: Pcg64,
    pub(crate) agenda: Agenda<Happening>,
    pub(crate) functions: Functions,
    pub(crate) hosts: BTreeMap<HostId, Host>,
    pub(crate) instances: BTreeMap<InstanceId, Instance>,
    /// What runs on them.
    pub(crate) runs: BTreeMap<InvocationId, Run>,
    pub(crate) bucket: Bucket,
    pub(crate) scheduler: Scheduler,
    /// What the scheduler is still to be told of the present moment.
    pub(crate) events: VecDeque<Event>,
    pub(crate) pending: BTreeMap<InvocationId, Pending>,
    pub(crate) next_invocation: u64,
    /// Code that was started before.
    pub(crate) codes: BTreeSet<String>,
    /// Hosts on which an instance ran.
    pub(crate) touched: BTreeSet<HostId>,
    pub(crate) running: Running,
    /// What happened, but for [`Counts::functions`].
    pub(crate) counts: Counts,
    pub(crate) tallies: Tallies,
    slots: Vec<Slot>,
    free: Vec<usize>,
}

/// What is due at some moment.
#[derive(Debug)]
pub(crate) enum Happening {
    Wake(SlotKey),
    GiveUp(SlotKey),
    Arrive(InvocationId),
    Deliver(InvocationId),
    HostReady(HostId),
    Started(InstanceId),
    /// A host's load is to be measured.
    Load(HostId),
    /// The part of a run that takes until now.
    PartOver(InvocationId),
    /// The profile changes.
    Change,
    /// Somebody is done at a resource, if nothing has changed there since.
    Done(HostId, Resource, u64),
}

/// Where a waiting future is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotKey {
    index: usize,
    generation: u64,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u64,
    told: Option<Told>,
    waker: Option<Waker>,
}

#[derive(Debug)]
pub(crate) enum Told {
    Now,
    Reply(Box<Reply>),
}

/// Waits for what is told to a slot.
struct Waiting<'a> {
    region: &'a Region,
    key: SlotKey,
}

impl Region {
    /// A region without functions. Everything random comes from `seed`.
    pub fn new(platform: Platform, seed: u64) -> Self {
        let bucket = Bucket { tokens: f64::from(platform.model.control.burst), at: Time::ZERO };
        let mut state = State {
            now: Time::ZERO,
            scheduler: Scheduler::new(platform.scheduler.clone(), seed),
            platform: Rc::new(platform),
            random: Pcg64::seed_from_u64(seed ^ 0x656d_756c_6174_6f72),
            agenda: Agenda::default(),
            functions: Functions::default(),
            hosts: BTreeMap::new(),
            instances: BTreeMap::new(),
            runs: BTreeMap::new(),
            bucket,
            events: VecDeque::new(),
            pending: BTreeMap::new(),
            next_invocation: 0,
            codes: BTreeSet::new(),
            touched: BTreeSet::new(),
            running: Running::default(),
            counts: Counts::default(),
            tallies: Tallies::default(),
            slots: Vec::new(),
            free: Vec::new(),
        };
        if let Some(change) = state.platform.model.change {
            state.agenda.put(change.at(), Happening::Change);
        }
        Self { state: Rc::new(RefCell::new(state)) }
    }

    /// Runs whoever measures to its end, jumping from event to event.
    ///
    /// # Errors
    /// [`Deadlock`] where it waits for what will never happen.
    pub fn run<F: Future>(&self, main: F) -> Result<F::Output, Deadlock> {
        block_on(main, || self.state.borrow_mut().step())
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.state.borrow().now
    }

    /// Wall clock of the vantage point at [`Time::ZERO`], nanoseconds since 1970.
    pub const fn epoch_unix_ns(&self) -> u64 {
        EPOCH_UNIX_NS
    }

    /// Returns at that moment, or at once where it has passed.
    pub async fn sleep_until(&self, at: Time) {
        let key = {
            let mut state = self.state.borrow_mut();
            if at <= state.now {
                return;
            }
            let key = state.slot();
            state.agenda.put(at, Happening::Wake(key));
            key
        };
        Waiting { region: self, key }.await;
    }

    /// Sends a request when it is due, and returns its answer or the lack of one.
    pub async fn call(&self, call: Call) -> Reply {
        self.sleep_until(call.at).await;
        let (key, function) = {
            let mut state = self.state.borrow_mut();
            // Whoever asks whether a function is gone does not count as its user.
            let function = call.function.clone();
            let is_there = state.functions.by_name.contains_key(&function);
            (state.send(call), is_there.then_some(function))
        };
        let reply = match (Waiting { region: self, key }).await {
            Told::Reply(reply) => *reply,
            Told::Now => Reply {
                received: self.now(),
                request_id: String::new(),
                answer: Answer::Nothing,
                report: None,
                again: false,
            },
        };
        if let Some(function) = function {
            self.state.borrow_mut().tallies.of(&function).answers.add(&reply);
        }
        reply
    }

    /// Account id of a tenant, from 0.
    pub fn account(&self, tenant: u32) -> String {
        tenant_id(tenant).to_string()
    }

    /// What it is.
    pub fn platform(&self) -> Rc<Platform> {
        Rc::clone(&self.state.borrow().platform)
    }

    /// What really happened so far.
    pub fn counts(&self) -> Counts {
        let state = self.state.borrow();
        let functions = state.tallies.0.iter().map(|(name, it)| (name.clone(), it.clone()));
        Counts { functions: functions.collect(), ..state.counts.clone() }
    }

    /// How much functions' clocks are ahead of the vantage point's now, hosts' own differences aside, ms.
    pub fn clock_offset_ms(&self) -> f64 {
        let state = self.state.borrow();
        let clock = &state.platform.model.clock;
        let drift_ns = clock.drift_ppm * 1e-6 * state.now.as_nanos() as f64;
        clock.offset_ms + (drift_ns + clock.stepped_ns(state.now)) / 1e6
    }
}

impl Future for Waiting<'_> {
    type Output = Told;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Told> {
        let mut state = self.region.state.borrow_mut();
        let Some(slot) = state.slots.get_mut(self.key.index) else { return Poll::Pending };
        match slot.told.take() {
            Some(told) => Poll::Ready(told),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.region.state.borrow_mut();
        let index = self.key.index;
        if let Some(slot) = state.slots.get_mut(index) {
            *slot = Slot { generation: slot.generation + 1, ..Slot::default() };
            state.free.push(index);
        }
    }
}

impl State {
    pub(crate) fn slot(&mut self) -> SlotKey {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        SlotKey { index, generation: self.slots[index].generation }
    }

    /// Tells a slot, if whoever waited there still does.
    pub(crate) fn tell(&mut self, key: SlotKey, told: Told) {
        let Some(slot) = self.slots.get_mut(key.index) else { return };
        if slot.generation == key.generation && slot.told.is_none() {
            slot.told = Some(told);
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }

    /// Lets the next thing happen.
    fn step(&mut self) -> Step {
        let timeout = self.scheduler.next_timeout();
        match (self.agenda.first(), timeout) {
            (None, None) => return Step::Nothing,
            (Some(at), timeout) if timeout.is_none_or(|timeout| at < timeout) => {
                if let Some((at, happening)) = self.agenda.pop() {
                    self.now = self.now.max(at);
                    self.happen(happening);
                }
            }
            (_, timeout) => {
                self.now = self.now.max(timeout.unwrap_or_default());
                self.feed(Event::Timeout);
            }
        }
        Step::Taken
    }

    /// From now on, idle instances are kept as the profile's change says.
    fn change(&mut self) {
        if let Some(change) = self.platform.model.change {
            self.scheduler.keep_alive_from_now(change.keep_alive());
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake(key) | Happening::GiveUp(key) => self.tell(key, Told::Now),
            Happening::Arrive(invocation) => self.arrive(invocation),
            Happening::Deliver(invocation) => self.deliver(invocation),
            Happening::HostReady(host) => self.feed(Event::HostReady { host }),
            Happening::Started(instance) => self.started(instance),
            Happening::Load(host) => self.measure(host),
            Happening::PartOver(invocation) => self.part_over(invocation),
            Happening::Change => self.change(),
            Happening::Done(host, resource, generation) => self.done(host, resource, generation),
        }
    }
}
