//! Events per second on one core, by number of live instances, and how it grows.
//!
//! Run with `cargo bench -p scheduler`. Steady state: half of the instances are busy, and each step invokes one function
//! and finishes the oldest invocation (Invoked, Finished, Idle), over functions of a hundred instances each in turn, so
//! that no two steps in a row touch the same function, host or instance. Beyond what the caches hold, memory is what it
//! waits for: the last column is what a pure logarithm would give.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark reads a clock"
)]

use model::{FunctionId, InstanceId, InvocationId, MemoryMib, RoleId, Span, TenantId, Time};
use scheduler::{Action, Epoch, Event, FunctionSettings, Profile, Scheduler};
use std::collections::VecDeque;
use std::time::Instant;

/// Instances that one function has here.
const INSTANCES_PER_FUNCTION: u64 = 100;

/// From one function to the next; a prime, so that each has its turn.
const STRIDE: u64 = 7919;

/// Events measured per size; at two million per second, one second.
const EVENTS: u64 = 2_000_000;

/// Runs per size, of which the fastest counts.
const RUNS: usize = 4;

struct Bench {
    scheduler: Scheduler,
    now: Time,
    invocations: u64,
    functions: u64,
    running: VecDeque<(InstanceId, InvocationId)>,
}

impl Bench {
    /// A scheduler with this many instances, all idle.
    fn new(live: u64) -> Self {
        let mut profile = Profile::default();
        profile.limits.account_concurrency = u32::MAX;
        let functions = live.div_ceil(INSTANCES_PER_FUNCTION);
        let mut bench = Self {
            scheduler: Scheduler::new(profile, 1),
            now: Time::ZERO,
            invocations: 0,
            functions,
            running: VecDeque::new(),
        };
        for function in 0..functions {
            let group = FunctionId(function);
            let settings = FunctionSettings {
                tenant: TenantId::from_number(function % 10),
                role: RoleId(0),
                memory: MemoryMib(128),
                timeout: Span::from_secs(900),
                group,
                reserved_concurrency: None,
                isolation: None,
            };
            let function = FunctionId(function);
            bench.handle(Event::Deployed { function, epoch: Epoch(1), settings });
        }
        let running: Vec<_> = (0..live).filter_map(|number| bench.invoke(number)).collect();
        for (instance, invocation) in running {
            bench.finish(instance, invocation);
        }
        for number in 0..live / 2 {
            let invoked = bench.invoke(number);
            bench.running.extend(invoked);
        }
        bench
    }

    /// Hands in one event, carries hosts and starts out at once, and returns what was dispatched.
    fn handle(&mut self, event: Event) -> Option<(InstanceId, InvocationId)> {
        let mut dispatched = None;
        let mut answers = vec![event];
        while let Some(event) = answers.pop() {
            self.scheduler.handle(self.now, event);
            while let Some(action) = self.scheduler.poll_action() {
                match action {
                    Action::StartHost { host, .. } => answers.push(Event::HostReady { host }),
                    Action::Start { instance, .. } => answers.push(Event::Started { instance }),
                    Action::Dispatch { instance, invocation, .. } => {
                        dispatched = Some((instance, invocation));
                    }
                    _ => {}
                }
            }
        }
        dispatched
    }

    fn invoke(&mut self, number: u64) -> Option<(InstanceId, InvocationId)> {
        self.now += Span::from_micros(1);
        self.invocations += 1;
        let invocation = InvocationId(self.invocations);
        let function = FunctionId(number * STRIDE % self.functions);
        self.handle(Event::Invoked { invocation, function })
    }

    fn finish(&mut self, instance: InstanceId, invocation: InvocationId) {
        self.now += Span::from_micros(1);
        self.handle(Event::Finished { instance, invocation });
        self.handle(Event::Idle { instance });
    }

    /// Events per second of warm invocations.
    fn measure(&mut self) -> f64 {
        let begun = self.scheduler.counters().events;
        let start = Instant::now();
        for number in 0..EVENTS / 3 {
            let invoked = self.invoke(number);
            self.running.extend(invoked);
            if let Some((instance, invocation)) = self.running.pop_front() {
                self.finish(instance, invocation);
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        (self.scheduler.counters().events - begun) as f64 / seconds
    }
}

fn main() {
    println!("instances   events/s   ns/event   against 100   log2 ratio");
    let mut first = None;
    for live in [100_u64, 1_000, 10_000, 100_000] {
        let mut bench = Bench::new(live);
        let made = bench.scheduler.instances().count();
        assert_eq!(made as u64, live, "every instance is there");
        // Other programs only ever make a run slower.
        let rate = (0..RUNS).map(|_| bench.measure()).fold(0.0, f64::max);
        assert_eq!(bench.scheduler.instances().count() as u64, live, "steady state");
        let base = *first.get_or_insert(rate);
        let log = (live as f64).log2() / 100_f64.log2();
        println!("{live:>9} {rate:>10.0} {:>10.0} {:>13.2} {log:>12.2}", 1e9 / rate, base / rate);
    }
}
