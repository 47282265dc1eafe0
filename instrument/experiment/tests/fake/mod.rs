//! A vantage in virtual time on a little model platform: bin-packed hosts, keep-alive, CPU shares.
//!
//! The executor has one thread and jumps to the next timer when nothing else can go on.

use experiment::{Change, Function, FunctionSpec, Sent, Vantage, VantageError};
use model::{Span, Time};
use probe::{CpuResult, DiskResult, FillResult, NetworkResult, Request};
use record::{Outcome, Record};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

const EPOCH_UNIX_NS: u64 = 1_700_000_000_000_000_000;
const PATH: Span = Span::from_micros(200);
const WARM: Span = Span::from_micros(300);
/// What a host writes and sends, for all of its instances together.
pub const DISK_MIB_S: f64 = 400.0;
pub const NETWORK_MBIT_S: f64 = 900.0;
const TIMEOUT_MAX: Span = Span::from_secs(900);
const MEMORY_MAX_MIB: u32 = 10_240;
const PAYLOAD_MAX: usize = 6 << 20;
const DISK_MIB: u32 = 512;

/// How idle instances go.
#[derive(Clone, Copy, Debug)]
pub enum KeepAlive {
    /// All after this long.
    Fixed(Span),
    /// Half of a function's on a host each interval down to the floor, counted from its last use; the rest at the limit.
    Halving { interval: Span, floor: usize, limit: Span },
}

/// What the model platform is like.
#[derive(Clone, Debug)]
pub struct Profile {
    pub host_memory_mib: u32,
    pub keep_alive: KeepAlive,
    pub cpu_full_mib: u32,
    /// Runtimes whose functions cannot be created.
    pub broken: BTreeSet<String>,
    /// Every how many-th request leaves 500 ms late; 0 is none.
    pub late_each: u64,
    /// Between two starts of instances, which wait for each other.
    pub start_gap: Span,
    /// Whether removed functions still answer.
    pub removal: Removal,
    /// Whether updated functions still run what was there before.
    pub update: Update,
    /// Where instances find a sink.
    pub sink: Option<String>,
    /// CPUs of the machine that are idle at any time; None where nobody knows.
    pub idle_cpus: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    Atomic,
    Ignored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    Complete,
    Ignored,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            host_memory_mib: 1536,
            keep_alive: KeepAlive::Halving {
                interval: Span::from_secs(2),
                floor: 2,
                limit: Span::from_secs(6),
            },
            cpu_full_mib: 512,
            broken: BTreeSet::new(),
            late_each: 0,
            start_gap: Span::ZERO,
            removal: Removal::Complete,
            update: Update::Atomic,
            sink: Some("10.0.0.1:5201".to_owned()),
            idle_cpus: None,
        }
    }
}

struct Instance {
    id: u64,
    function: String,
    mark: String,
    memory_mib: u32,
    host: u64,
    invocations: u64,
    /// None while it is busy.
    idle: Option<Idle>,
}

#[derive(Clone, Copy)]
struct Idle {
    since: Time,
    dies: Time,
}

#[derive(Default)]
struct State {
    now: Time,
    timers: BTreeMap<(Time, u64), Waker>,
    next: u64,
    /// Mark by name.
    functions: BTreeMap<String, String>,
    instances: Vec<Instance>,
    computing: BTreeMap<u64, u32>,
    next_start: Time,
    running: u32,
    running_max: u32,
    instances_max: usize,
}

/// The vantage and its platform.
pub struct Fake {
    profile: Profile,
    state: RefCell<State>,
    sends: Cell<u64>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Fake {
    pub fn new(profile: Profile) -> Self {
        Self { profile, state: RefCell::default(), sends: Cell::new(0) }
    }

    /// Runs a future to its end, in no time.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(flag.clone());
        loop {
            if flag.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
                continue;
            }
            let due = self.state.borrow_mut().timers.pop_first();
            let ((at, _), waker) = due.expect("nothing can go on and no timer is set");
            let mut state = self.state.borrow_mut();
            state.now = state.now.max(at);
            drop(state);
            waker.wake();
        }
    }

    pub fn functions_left(&self) -> usize {
        self.state.borrow().functions.len()
    }

    pub fn running_max(&self) -> u32 {
        self.state.borrow().running_max
    }

    pub fn instances_max(&self) -> usize {
        self.state.borrow().instances_max
    }

    async fn rest(&self, span: Span) {
        let at = self.now() + span;
        self.sleep_until(at).await;
    }

    fn number(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        state.next += 1;
        state.next
    }

    /// An idle instance of the function, the most recently used first, or a new one on the fullest host with room.
    fn instance_for(&self, function: &Function) -> (u64, bool) {
        let id = self.number();
        let state = &mut *self.state.borrow_mut();
        let now = state.now;
        state.instances.retain(|instance| instance.idle.is_none_or(|idle| idle.dies > now));
        let idle = state
            .instances
            .iter_mut()
            .filter(|instance| instance.function == function.name && instance.idle.is_some())
            .max_by_key(|instance| instance.idle.map(|idle| (idle.since, instance.id)));
        if let Some(instance) = idle {
            instance.idle = None;
            instance.invocations += 1;
            return (instance.id, false);
        }
        let memory_mib = function.spec.memory_mib;
        let mut used: BTreeMap<u64, u32> = BTreeMap::new();
        for instance in &state.instances {
            *used.entry(instance.host).or_default() += instance.memory_mib;
        }
        let room = self.profile.host_memory_mib;
        let fits = used.iter().filter(|(_, used)| **used + memory_mib <= room);
        let fullest = fits.max_by_key(|(host, used)| (**used, u64::MAX - **host));
        let host = fullest.map_or(id, |(host, _)| *host);
        let (function, mark) = (function.name.clone(), state.functions[&function.name].clone());
        state.instances.push(Instance {
            id,
            function,
            mark,
            memory_mib,
            host,
            invocations: 1,
            idle: None,
        });
        state.instances_max = state.instances_max.max(state.instances.len());
        (id, true)
    }

    /// The instance becomes idle; when it and its neighbours of the same function go is decided anew.
    fn idle(&self, id: u64) {
        let state = &mut *self.state.borrow_mut();
        let now = state.now;
        let Some(at) = state.instances.iter().position(|instance| instance.id == id) else {
            return;
        };
        state.instances[at].idle = Some(Idle { since: now, dies: Time::MAX });
        let (function, host) = (state.instances[at].function.clone(), state.instances[at].host);
        let mut pool: Vec<&mut Idle> = state
            .instances
            .iter_mut()
            .filter(|instance| instance.function == function && instance.host == host)
            .filter_map(|instance| instance.idle.as_mut())
            .filter(|idle| idle.dies > now)
            .collect();
        let size = pool.len();
        for (number, idle) in pool.iter_mut().enumerate() {
            idle.dies = match self.profile.keep_alive {
                KeepAlive::Fixed(limit) => idle.since + limit,
                KeepAlive::Halving { interval, floor, limit } => {
                    let (mut left, mut halvings) = (size, 0);
                    while left > floor && number < left {
                        left = left.div_ceil(2).max(floor);
                        halvings += 1;
                    }
                    let dies = if number < left { limit } else { limit.min(interval * halvings) };
                    now + dies
                }
            };
        }
    }

    fn blank(&self, function: &Function, sent: Sent) -> Record {
        Record {
            function: function.name.clone().into(),
            runtime: function.spec.runtime.clone().into(),
            memory_mib: function.spec.memory_mib,
            mark_acknowledged: function.mark.clone().into(),
            acknowledged_ns: function.acknowledged.as_nanos(),
            epoch_unix_ns: EPOCH_UNIX_NS,
            intended_ns: sent.intended.as_nanos(),
            forced_by: sent.forced_by,
            attempts: 1,
            ..Record::default()
        }
    }

    /// Begins to use something of a host, and returns how much of it there is for each that uses it.
    async fn share_of(&self, host: u64, all: f64) -> f64 {
        *self.state.borrow_mut().computing.entry(host).or_default() += 1;
        // All that wait for the same barrier are counted before the first of them looks.
        self.rest(Span::from_nanos(1)).await;
        all / f64::from(self.state.borrow().computing[&host])
    }

    /// What is measured inside the instance.
    async fn detail(&self, request: &Request, host: u64, memory_mib: u32) -> probe::Response {
        let unix = |time: Time| EPOCH_UNIX_NS + time.as_nanos();
        let mut detail = probe::Response::default();
        if request.exposure {
            detail.exposure = Some(Vec::new());
        }
        if let Some(cpu) = &request.cpu {
            let ceiling = f64::from(memory_mib) / f64::from(self.profile.cpu_full_mib);
            let share = ceiling.min(self.share_of(host, 1.0).await);
            let window = Span::from_secs_f64(cpu.window_ms / 1e3);
            self.rest(window).await;
            *self.state.borrow_mut().computing.entry(host).or_default() -= 1;
            detail.cpu = Some(CpuResult {
                window_ns: window.as_nanos(),
                threads: 1,
                cpu_ns: (window.as_nanos() as f64 * share) as u64,
                ..CpuResult::default()
            });
        }
        if let Some(disk) = &request.disk {
            let mib = (disk.block_bytes * disk.blocks) as f64 / f64::from(1 << 20);
            let rate = self.share_of(host, DISK_MIB_S).await;
            detail.disk = Some(DiskResult {
                write_mib_s: vec![rate],
                started_unix_ns: unix(self.now()),
                ..DiskResult::default()
            });
            self.rest(Span::from_secs_f64(mib / rate)).await;
            *self.state.borrow_mut().computing.entry(host).or_default() -= 1;
        }
        if let Some(network) = &request.network {
            let rate = self.share_of(host, NETWORK_MBIT_S).await;
            let window = Span::from_secs_f64(network.window_ms / 1e3);
            detail.network = Some(NetworkResult {
                sent_bytes: (rate * 1e6 / 8.0 * window.as_secs_f64()) as u64,
                duration_ns: window.as_nanos(),
                started_unix_ns: unix(self.now()),
            });
            self.rest(window).await;
            *self.state.borrow_mut().computing.entry(host).or_default() -= 1;
        }
        if let Some(fill) = &request.fill {
            let bytes = fill.most_bytes.min(u64::from(DISK_MIB) << 20);
            detail.fill = Some(FillResult { bytes, full: bytes < fill.most_bytes });
        }
        detail
    }

    /// What runs inside the instance.
    async fn handle(&self, instance: u64, request: &Request, record: &mut Record) {
        let unix = |time: Time| EPOCH_UNIX_NS + time.as_nanos();
        let at = |unix_ns: u64| Time::from_nanos(unix_ns.saturating_sub(EPOCH_UNIX_NS));
        record.started_unix_ns = unix(self.now());
        if let Some(barrier) = request.barrier_unix_ns {
            self.sleep_until(at(barrier)).await;
        }
        let (host, invocations, memory_mib) = {
            let state = self.state.borrow();
            let found = state.instances.iter().find(|other| other.id == instance);
            record.mark = found.map_or_else(String::new, |found| found.mark.clone()).into();
            found.map_or((0, 0, 0), |found| (found.host, found.invocations, found.memory_mib))
        };
        record.instance = format!("{instance:032x}").into();
        record.instance_invocations = invocations;
        if request.identity {
            record.host_ids = [("cgroup".to_owned(), format!("host-{host}"))].into();
        }
        let detail = self.detail(request, host, memory_mib).await;
        if detail != probe::Response::default() {
            record.detail = serde_json::to_string(&detail).expect("JSON").into();
        }
        if let Some(ms) = request.hold_ms {
            self.rest(Span::from_secs_f64(ms / 1e3)).await;
        }
        if let Some(until) = request.hold_until_unix_ns {
            self.sleep_until(at(until)).await;
        }
        record.finished_unix_ns = unix(self.now());
        record.function_ns = record.finished_unix_ns - record.started_unix_ns;
    }
}

impl Vantage for Fake {
    fn now(&self) -> Time {
        self.state.borrow().now
    }

    fn epoch_unix_ns(&self) -> u64 {
        EPOCH_UNIX_NS
    }

    async fn sleep_until(&self, at: Time) {
        let number = self.number();
        std::future::poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            if state.now >= at {
                state.timers.remove(&(at, number));
                return Poll::Ready(());
            }
            state.timers.insert((at, number), context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn random(&self) -> u64 {
        self.number()
    }

    async fn deploy(&self, spec: FunctionSpec) -> Result<Function, VantageError> {
        let name = format!("function-{}", self.number());
        self.rest(Span::from_millis(12)).await;
        let refused =
            |reason| Err(VantageError { operation: "create", function: name.clone(), reason });
        if self.profile.broken.contains(&spec.runtime) {
            return refused(format!("runtime {} is not there", spec.runtime));
        }
        if spec.timeout > TIMEOUT_MAX || spec.memory_mib > MEMORY_MAX_MIB {
            return refused(format!("{} or {} MiB is too much", spec.timeout, spec.memory_mib));
        }
        self.state.borrow_mut().functions.insert(name.clone(), name.clone());
        Ok(Function { mark: name.clone(), name, spec, acknowledged: self.now(), package_mib: 1.0 })
    }

    /// Atomic, unless the profile ignores updates.
    async fn update(&self, function: &mut Function, change: Change) -> Result<(), VantageError> {
        self.rest(Span::from_millis(8)).await;
        function.mark = format!("{}-{}", function.name, self.number());
        if let Change::Memory(memory_mib) = change {
            function.spec.memory_mib = memory_mib;
        }
        if self.profile.update == Update::Atomic {
            let mut state = self.state.borrow_mut();
            state.functions.insert(function.name.clone(), function.mark.clone());
            state.instances.retain(|instance| instance.function != function.name);
        }
        function.acknowledged = self.now();
        Ok(())
    }

    async fn remove(&self, function: Function) -> Result<(), VantageError> {
        self.rest(Span::from_millis(5)).await;
        let mut state = self.state.borrow_mut();
        if self.profile.removal == Removal::Complete {
            state.functions.remove(&function.name);
            state.instances.retain(|instance| instance.function != function.name);
        }
        Ok(())
    }

    async fn invoke(&self, function: &Function, request: &Request, sent: Sent) -> Record {
        let mut record = self.blank(function, sent);
        self.sleep_until(sent.intended).await;
        self.sends.set(self.sends.get() + 1);
        if self.profile.late_each > 0 && self.sends.get().is_multiple_of(self.profile.late_each) {
            self.rest(Span::from_millis(500)).await;
        }
        record.sent_ns = self.now().as_nanos();
        self.rest(PATH).await;
        let known = self.state.borrow().functions.contains_key(&function.name);
        let size = serde_json::to_vec(request).expect("JSON").len();
        if !known || size > PAYLOAD_MAX {
            record.received_ns = self.now().as_nanos();
            record.http_status = if known { 413 } else { 404 };
            record.outcome = Outcome::Failed;
            return record;
        }
        let (instance, new) = self.instance_for(function);
        {
            let mut state = self.state.borrow_mut();
            state.running += 1;
            state.running_max = state.running_max.max(state.running);
        }
        let cold = match function.spec.runtime.as_str() {
            "python3.11" => Span::from_millis(25),
            "nodejs20.x" => Span::from_millis(60),
            _ => Span::from_millis(4),
        };
        if new {
            let state = &mut *self.state.borrow_mut();
            state.next_start = state.next_start.max(state.now) + self.profile.start_gap;
        }
        let start = self.state.borrow().next_start;
        let now = self.now();
        self.sleep_until(if new { start.max(now) + cold } else { now + WARM }).await;
        self.handle(instance, request, &mut record).await;
        self.state.borrow_mut().running -= 1;
        self.idle(instance);
        self.rest(PATH).await;
        record.received_ns = self.now().as_nanos();
        (record.outcome, record.http_status) = (Outcome::Ok, 200);
        record
    }

    fn runtimes(&self) -> Vec<String> {
        ["provided.al2023", "python3.11", "nodejs20.x"].map(str::to_owned).to_vec()
    }

    fn memory_range_mib(&self) -> (u32, u32) {
        (128, 10_240)
    }

    fn sink(&self) -> Option<String> {
        self.profile.sink.clone()
    }

    fn idle_cpu(&self) -> Option<Span> {
        let idle_s = self.profile.idle_cpus? * self.now().since(Time::ZERO).as_secs_f64();
        Some(Span::from_secs_f64(idle_s))
    }
}
