//! The platform's state as Prometheus reads it.

use super::{Platform, Shared};
use crate::metrics::{Text, write_process};
use sandbox::Kind;
use scheduler::{HostPhase, InstancePhase};
use std::sync::atomic::Ordering;

const MIB: f64 = 1_048_576.0;

impl<K: Kind> Platform<K> {
    /// All metrics in Prometheus's text format.
    pub fn write_metrics(&self) -> String {
        let mut text = Text::default();
        text.family("peek_build_info", "gauge", "Version of Peek.");
        text.value(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        self.0.write_state(&mut text);
        let backlog = self.backlog();
        let help = "Asynchronous events that are held: waiting, running, or being told of.";
        text.single("peek_events_held", "gauge", help, backlog.events as f64);
        text.single("peek_events_held_bytes", "gauge", "Bytes of them.", backlog.bytes as f64);
        text.single("peek_events_running", "gauge", "Those that run.", f64::from(backlog.running));
        let help = "How long ago the oldest of them was accepted; 0 without any.";
        let age = backlog.age.as_nanos() as f64 / 1e9;
        text.single("peek_events_oldest_age_seconds", "gauge", help, age);
        let counts = self.0.ledger.log_counts();
        let help = "Lines that were written to log files.";
        text.single("peek_log_lines_total", "counter", help, counts.lines as f64);
        let help = "Lines that were not kept since too many waited or a disk was full.";
        text.single("peek_log_lost_lines_total", "counter", help, counts.dropped as f64);
        let help = "Bytes of log files.";
        text.single("peek_log_bytes", "gauge", help, counts.bytes as f64);
        let help = "Invocations whose spans were not sent.";
        let dropped = self.0.ledger.spans_dropped();
        text.single("peek_spans_dropped_total", "counter", help, dropped as f64);
        self.0.ledger.metrics.write(&mut text);
        write_process(&mut text);
        text.finish()
    }
}

impl<K: Kind> Shared<K> {
    /// Hosts, instances and what waits. One look under the lock, which takes about as long as a few dispatches.
    fn write_state(&self, text: &mut Text) {
        let state = self.lock();
        let scheduler = &state.scheduler;
        let phases = ["waiting", "starting", "busy", "finishing", "idle", "resting", "stopping"];
        let mut instances = [0_u32; 7];
        for running in state.instances.values() {
            running.log.metrics.in_flight.store(0, Ordering::Relaxed);
        }
        for instance in scheduler.instances() {
            instances[index(instance.phase)] += 1;
            if let (InstancePhase::Busy(_), Some(running)) =
                (instance.phase, state.instances.get(&instance.instance))
            {
                running.log.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
            }
        }
        text.family("peek_instances", "gauge", "Function instances by state.");
        for (phase, count) in phases.iter().zip(instances) {
            text.value(&[("state", phase)], f64::from(count));
        }
        let (mut hosts, mut memory, mut used, mut fullest) = ([0_u32; 3], 0.0, 0.0, 0.0_f64);
        let mut milli_cpus = 0.0;
        for host in scheduler.hosts() {
            hosts[match host.phase {
                HostPhase::Starting => 0,
                HostPhase::Ready => 1,
                HostPhase::Leaving => 2,
            }] += 1;
            memory += f64::from(host.memory.0) * MIB;
            used += f64::from(host.used.0) * MIB;
            milli_cpus += f64::from(host.milli_cpus);
            fullest = fullest.max(f64::from(host.used.0) / f64::from(host.memory.0.max(1)));
        }
        text.family("peek_hosts", "gauge", "Hosts by state.");
        for (phase, count) in ["starting", "ready", "leaving"].iter().zip(hosts) {
            text.value(&[("state", phase)], f64::from(count));
        }
        let waiting: usize = scheduler.functions().map(|function| function.queued).sum();
        let counters = scheduler.counters().clone();
        drop(state);
        text.single("peek_hosts_memory_bytes", "gauge", "Memory of all hosts.", memory);
        let help = "Memory of all hosts that instances take, by their size.";
        text.single("peek_hosts_memory_used_bytes", "gauge", help, used);
        text.single("peek_hosts_cpus", "gauge", "CPUs of all hosts.", milli_cpus / 1e3);
        let help = "Share of the fullest host's memory that is taken.";
        text.single("peek_hosts_fullest_ratio", "gauge", help, fullest);
        let help = "Invocations that wait for an instance.";
        text.single("peek_invocations_waiting", "gauge", help, waiting as f64);
        let counts = [
            ("invoked", "Invocations that came.", counters.invoked),
            ("rejected", "Invocations that were never dispatched.", counters.rejected),
            ("cancelled", "Invocations whose caller left before.", counters.cancelled),
            ("cold_starts", "Dispatches to a new instance.", counters.cold_starts),
            ("warm_starts", "Dispatches to an idle instance.", counters.warm_starts),
            ("instances_started", "Instances whose start was ordered.", counters.instances_started),
            ("hosts_started", "Hosts whose start was ordered.", counters.hosts_started),
            ("late_events", "Events that came too late to matter.", counters.late_events),
        ];
        for (name, help, count) in counts {
            text.single(&format!("peek_scheduler_{name}_total"), "counter", help, count as f64);
        }
    }
}

fn index(phase: InstancePhase) -> usize {
    match phase {
        InstancePhase::Waiting => 0,
        InstancePhase::Starting => 1,
        InstancePhase::Busy(_) | InstancePhase::Serving(_) => 2,
        InstancePhase::Finishing => 3,
        InstancePhase::Idle => 4,
        InstancePhase::Resting => 5,
        InstancePhase::Stopping => 6,
    }
}
