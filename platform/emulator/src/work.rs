//! What a run does, part by part, and what it finds: the measurement function on modelled hosts.
//!
//! Deliberately knows nothing of scheduling: it tells the region when a run ends.

use crate::call::Answer;
use crate::host::Resource;
use crate::latency::chance;
use crate::pool::{Share, User};
use crate::region::{Happening, State};
use crate::reveal;
use crate::run::Part;
use model::{InstanceId, InvocationId, MemoryMib, Span, Time};
use probe::{BackgroundResult, CpuResult, DiskResult, FillResult, NetworkResult};
use scheduler::Purpose;

/// What the handler takes beside what it is asked: assumed, as a warm native probe takes on a machine of ours.
const HANDLER: Span = Span::from_micros(100);
/// Memory that a probe uses, MiB: assumed.
pub(crate) const MEMORY_USED_MIB: u32 = 20;
/// A pause that ends background work, as the probe has it.
const BACKGROUND_PAUSE: Span = Span::from_millis(500);
/// Pairs of `ran` that the probe keeps.
const PAIRS: usize = 4096;
/// Gaps that the probe counts as time without a CPU, ns.
const GAP_NS: u64 = 100_000;

/// What a part needs to be over.
enum Wait {
    /// Nothing.
    Over,
    /// Time.
    Until(Time),
    /// Its turn.
    Resource,
}

impl State {
    /// The handler's first statement.
    pub(crate) fn begin(&mut self, invocation: InvocationId) {
        let now = self.now;
        let crash = chance(&mut self.random, self.platform.model.faults.crash);
        let Some(run) = self.runs.get_mut(&invocation) else { return };
        let instance = run.instance;
        let Some(it) = self.instances.get_mut(&instance) else { return };
        (run.since, run.part_since) = (now, now);
        it.served += 1;
        run.number = it.served;
        if it.served == 1 {
            self.note_first_contact(instance);
        }
        if crash {
            return self.die(instance);
        }
        self.enter(invocation, Part::Barrier);
    }

    /// The present part is over, by time.
    pub(crate) fn part_over(&mut self, invocation: InvocationId) {
        let Some(part) = self.runs.get(&invocation).map(|run| run.part) else { return };
        match part {
            Part::Coming => self.begin(invocation),
            part => {
                self.leave(invocation, part);
                self.enter(invocation, part.next());
            }
        }
    }

    /// The present part is over, since its work on a resource is done.
    pub(crate) fn work_done(&mut self, invocation: InvocationId) {
        let Some(run) = self.runs.get(&invocation) else { return };
        let (part, rounds) = (run.part, run.rounds);
        let asked = run.request.disk.as_ref().map_or(0, |disk| disk.rounds);
        self.leave(invocation, part);
        let again = part == Part::DiskRead && rounds + 1 < asked;
        self.enter(invocation, if again { Part::DiskWrite } else { part.next() });
    }

    /// Goes through the parts until one takes time.
    fn enter(&mut self, invocation: InvocationId, mut part: Part) {
        loop {
            let now = self.now;
            let Some(run) = self.runs.get_mut(&invocation) else { return };
            (run.part, run.part_since) = (part, now);
            match self.wait_of(invocation, part) {
                Wait::Over if part == Part::End => return self.end(invocation),
                Wait::Over => part = part.next(),
                Wait::Until(at) => {
                    self.agenda.put(at, Happening::PartOver(invocation));
                    return;
                }
                Wait::Resource => return,
            }
        }
    }

    fn wait_of(&mut self, invocation: InvocationId, part: Part) -> Wait {
        let now = self.now;
        let run = &self.runs[&invocation];
        let instance = run.instance;
        let it = &self.instances[&instance];
        let user = User { instance, invocation: Some(invocation) };
        let (host, request) = (it.host, &run.request);
        let until = |at: Time| if at > now { Wait::Until(at) } else { Wait::Over };
        match part {
            Part::Coming => Wait::Over,
            Part::Barrier => match request.barrier_unix_ns {
                Some(unix_ns) => until(self.moment(host, unix_ns)),
                None => Wait::Over,
            },
            Part::Facts => {
                self.read_facts(invocation);
                Wait::Over
            }
            Part::Cpu => {
                let Some(cpu) = request.cpu.clone() else { return Wait::Over };
                let share = self.cpu_share(instance);
                self.join(user, Resource::Cpu, share);
                Wait::Until(now + Span::from_secs_f64(cpu.window_ms / 1e3))
            }
            Part::DiskWrite | Part::DiskRead => {
                let Some(disk) = request.disk.clone() else { return Wait::Over };
                let mib = (disk.block_bytes * disk.blocks) as f64 / f64::from(1 << 20);
                let limit = self.platform.model.limits.disk_mib;
                if disk.rounds == 0 || mib > f64::from(limit) {
                    self.problem(
                        invocation,
                        "disk",
                        format!("{mib:.0} MiB, /tmp holds {limit} MiB"),
                    );
                    return Wait::Over;
                }
                let ceiling = self.platform.disk_ceiling_mib_s();
                let resource =
                    if part == Part::DiskWrite { Resource::DiskWrite } else { Resource::DiskRead };
                self.join(user, resource, Share { ceiling, weight: 1.0, work: mib });
                Wait::Resource
            }
            Part::Fill => {
                self.fill(invocation);
                Wait::Over
            }
            Part::Network => {
                let Some(network) = request.network.clone() else { return Wait::Over };
                let memory = it.version.state.memory;
                let share = self.network_share(memory);
                self.join(user, Resource::Network, share);
                Wait::Until(now + Span::from_secs_f64(network.window_ms / 1e3))
            }
            Part::Counters => {
                self.read_counters_after(invocation);
                Wait::Over
            }
            Part::Hold => {
                let own = run.request.hold_ms.map_or(now, |ms| now + Span::from_secs_f64(ms / 1e3));
                let common =
                    run.request.hold_until_unix_ns.map(|unix_ns| self.moment(host, unix_ns));
                let least = run.since + HANDLER;
                until(own.max(common.unwrap_or(Time::ZERO)).max(least))
            }
            Part::End => Wait::Over,
        }
    }

    /// Notes what a part found.
    fn leave(&mut self, invocation: InvocationId, part: Part) {
        match part {
            Part::Cpu => self.note_cpu(invocation),
            Part::DiskWrite | Part::DiskRead => self.note_disk(invocation, part),
            Part::Network => self.note_network(invocation),
            _ => {}
        }
    }

    fn cpu_share(&self, instance: InstanceId) -> Share {
        let it = &self.instances[&instance];
        let memory = it.version.state.memory;
        let kind = &self.hosts[&it.host].kind;
        let ceiling =
            (self.platform.cpu_ceiling(memory, kind) * it.cpu_factor).min(f64::from(kind.vcpus));
        let weight = f64::from(self.platform.scheduler.cpu.weight(memory));
        Share { ceiling, weight, work: f64::INFINITY }
    }

    fn network_share(&self, memory: MemoryMib) -> Share {
        let ceiling = self.platform.network_ceiling_mbit_s(memory);
        Share { ceiling, weight: 1.0, work: f64::INFINITY }
    }

    fn read_facts(&mut self, invocation: InvocationId) {
        let now = self.now;
        let Some(run) = self.runs.get_mut(&invocation) else { return };
        let instance = run.instance;
        let Some(it) = self.instances.get(&instance) else { return };
        let Some(host) = self.hosts.get(&it.host) else { return };
        let model = &self.platform.model;
        if run.request.identity {
            run.response.identity = Some(reveal::identity(model, host, instance, now));
        }
        if run.request.exposure {
            run.response.exposure = Some(reveal::exposure(model, host));
        }
        if run.request.disk_counters {
            run.response.disk_before = reveal::disk_counters(model, host, now);
            if run.response.disk_before.is_none() {
                let text = "/proc/diskstats cannot be read".to_owned();
                run.response.problems.insert("disk_counters".to_owned(), text);
            }
        }
    }

    fn read_counters_after(&mut self, invocation: InvocationId) {
        let now = self.now;
        let Some(run) = self.runs.get_mut(&invocation) else { return };
        let instance = run.instance;
        let Some(it) = self.instances.get(&instance) else { return };
        let Some(host) = self.hosts.get(&it.host) else { return };
        if run.request.disk_counters {
            run.response.disk_after = reveal::disk_counters(&self.platform.model, host, now);
        }
    }

    /// All of /tmp is taken, or as much as was asked for.
    fn fill(&mut self, invocation: InvocationId) {
        let holds = u64::from(self.platform.model.limits.disk_mib) << 20;
        let Some(run) = self.runs.get_mut(&invocation) else { return };
        if let Some(fill) = &run.request.fill {
            let bytes = fill.most_bytes.min(holds);
            run.response.fill = Some(FillResult { bytes, full: bytes < fill.most_bytes });
        }
    }

    fn problem(&mut self, invocation: InvocationId, part: &str, text: String) {
        if let Some(run) = self.runs.get_mut(&invocation) {
            run.response.problems.insert(part.to_owned(), text);
        }
    }

    fn note_cpu(&mut self, invocation: InvocationId) {
        let used = self.leave_pool(self.user(invocation), Resource::Cpu);
        let period_ns = self.platform.model.cpu.period_ms * 1e6;
        let Some(run) = self.runs.get(&invocation) else { return };
        let Some(it) = self.instances.get(&run.instance) else { return };
        let vcpus = self.hosts[&it.host].kind.vcpus;
        let asked = run.request.cpu.as_ref().map_or(0, |cpu| cpu.threads);
        let threads = if asked == 0 { vcpus } else { asked.min(vcpus) };
        let window_ns = self.now.since(run.part_since).as_nanos();
        let started_unix_ns = self.wall(it.host, run.part_since);
        let share = used * 1e9 / window_ns.max(1) as f64 / f64::from(threads.max(1));
        let ran = ran(share.min(1.0), window_ns, period_ns);
        let cpu_ns = (used * 1e9).round() as u64;
        let result = CpuResult {
            window_ns,
            started_unix_ns,
            threads,
            cpu_ns,
            running_ns: cpu_ns,
            gap_ns: GAP_NS,
            ticks: ticks(&ran),
            ran,
        };
        if let Some(run) = self.runs.get_mut(&invocation) {
            run.response.cpu = Some(result);
        }
    }

    fn note_disk(&mut self, invocation: InvocationId, part: Part) {
        let Some(run) = self.runs.get(&invocation) else { return };
        let Some(host) = self.instances.get(&run.instance).map(|it| it.host) else { return };
        let Some(disk) = run.request.disk.as_ref() else { return };
        let mib = (disk.block_bytes * disk.blocks) as f64 / f64::from(1 << 20);
        let took = self.now.since(run.part_since);
        let started_unix_ns = self.wall(host, run.part_since);
        if let Some(host) = self.hosts.get_mut(&host) {
            match part {
                Part::DiskWrite => host.written_mib += mib,
                _ => host.read_mib += mib,
            }
        }
        let Some(run) = self.runs.get_mut(&invocation) else { return };
        let result = run.response.disk.get_or_insert_with(|| DiskResult {
            direct: true,
            started_unix_ns,
            ..DiskResult::default()
        });
        result.duration_ns += took.as_nanos();
        let speed = mib / took.as_secs_f64();
        match part {
            Part::DiskWrite => result.write_mib_s.push(speed),
            _ => {
                result.read_mib_s.push(speed);
                run.rounds += 1;
            }
        }
    }

    fn note_network(&mut self, invocation: InvocationId) {
        let megabits = self.leave_pool(self.user(invocation), Resource::Network);
        let Some(run) = self.runs.get(&invocation) else { return };
        let Some(it) = self.instances.get(&run.instance) else { return };
        let result = NetworkResult {
            sent_bytes: (megabits * 1e6 / 8.0) as u64,
            duration_ns: self.now.since(run.part_since).as_nanos(),
            started_unix_ns: self.wall(it.host, run.part_since),
        };
        if let Some(run) = self.runs.get_mut(&invocation) {
            run.response.network = Some(result);
        }
    }

    /// The handler's last statement.
    fn end(&mut self, invocation: InvocationId) {
        let now = self.now;
        let Some(mut run) = self.runs.remove(&invocation) else { return };
        let instance = run.instance;
        let Some(it) = self.instances.get_mut(&instance) else { return };
        let (host, since) = (it.host, run.since);
        let background = it.background.take();
        let (started, finished, init) = (
            self.wall(host, since),
            self.wall(host, now),
            self.wall(host, self.instances[&instance].since),
        );
        let next =
            run.request.background.as_ref().map(|work| self.background(instance, work.for_ms));
        let Some(it) = self.instances.get_mut(&instance) else { return };
        it.background = next;
        let response = &mut run.response;
        response.started_unix_ns = started;
        response.finished_unix_ns = finished;
        response.duration_ns = now.since(since).as_nanos();
        response.init_unix_ns = init;
        response.initialization = match it.purpose {
            Purpose::OnDemand => "on-demand",
            Purpose::Provisioned => "provisioned-concurrency",
        }
        .to_owned();
        response.instance.clone_from(&it.name);
        response.instance_tmp.clone_from(&it.name);
        response.invocations = run.number;
        response.runtime.clone_from(&it.version.state.runtime);
        "$LATEST".clone_into(&mut response.version);
        response.mark.clone_from(&it.version.state.mark);
        response.memory_mib = it.version.state.memory.0;
        response.background = background.map(|work| until(work, started));
        let answer = match run.request.fail.take() {
            Some(message) => Answer::FunctionError(format!("Probe: {message}")),
            None => Answer::Response(Box::new(run.response)),
        };
        self.finished(instance, invocation, answer);
    }

    fn user(&self, invocation: InvocationId) -> User {
        let run = &self.runs[&invocation];
        User { instance: run.instance, invocation: Some(invocation) }
    }

    /// What work after the response will have managed by its own end or the platform's.
    fn background(&self, instance: InstanceId, for_ms: f64) -> BackgroundResult {
        let it = &self.instances[&instance];
        let background = &self.platform.model.background;
        let asked = Span::from_secs_f64(for_ms / 1e3);
        let goes_on = asked.min(self.platform.background_limit());
        let cpus = background.cpus.unwrap_or_else(|| self.cpu_share(instance).ceiling.min(1.0));
        let started = self.wall(it.host, self.now);
        BackgroundResult {
            started_unix_ns: started,
            last_unix_ns: started + goes_on.as_nanos(),
            longest_gap_ns: 0,
            cpu_ns: (goes_on.as_nanos() as f64 * cpus) as u64,
            finished: goes_on == asked,
        }
    }
}

/// Background work as the next invocation finds it: cut where that begins, if it went on until then.
fn until(work: BackgroundResult, unix_ns: u64) -> BackgroundResult {
    if work.last_unix_ns <= unix_ns {
        let pause = unix_ns - work.last_unix_ns;
        let paused = !work.finished && pause < BACKGROUND_PAUSE.as_nanos();
        return BackgroundResult { longest_gap_ns: if paused { pause } else { 0 }, ..work };
    }
    let all = work.last_unix_ns.saturating_sub(work.started_unix_ns).max(1);
    let part = unix_ns.saturating_sub(work.started_unix_ns);
    BackgroundResult {
        last_unix_ns: unix_ns,
        cpu_ns: (work.cpu_ns as f64 * part as f64 / all as f64) as u64,
        finished: false,
        ..work
    }
}

/// When a thread with this share of a CPU ran: at the beginning of each of its quota's periods.
fn ran(share: f64, window_ns: u64, period_ns: f64) -> Vec<(u64, u64)> {
    if share >= 1.0 {
        return vec![(0, window_ns)];
    }
    let periods = (window_ns as f64 / period_ns).ceil() as usize;
    (0..periods.min(PAIRS))
        .map(|period| {
            let from = period as f64 * period_ns;
            let to = (from + share * period_ns).min(window_ns as f64);
            (from as u64, to as u64)
        })
        .filter(|(from, to)| to > from)
        .collect()
}

/// Milliseconds in which a stamp was taken.
fn ticks(ran: &[(u64, u64)]) -> u64 {
    ran.iter().map(|(from, to)| to.div_ceil(1_000_000) - from / 1_000_000).sum()
}

impl Part {
    fn next(self) -> Self {
        match self {
            Self::Coming => Self::Barrier,
            Self::Barrier => Self::Facts,
            Self::Facts => Self::Cpu,
            Self::Cpu => Self::DiskWrite,
            Self::DiskWrite => Self::DiskRead,
            Self::DiskRead => Self::Fill,
            Self::Fill => Self::Network,
            Self::Network => Self::Counters,
            Self::Counters => Self::Hold,
            Self::Hold | Self::End => Self::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A share of 7.7 % runs 7.7 ms of each 100, and the paper's ticks count the tick that is cut.
    #[test]
    fn quotas_run_in_bursts() {
        let pattern = ran(0.077, 1_000_000_000, 1e8);
        assert_eq!(pattern.len(), 10);
        assert_eq!(pattern[1], (100_000_000, 107_700_000));
        assert_eq!(ticks(&pattern), 80);
        assert_eq!(ticks(&ran(1.0, 1_000_000_000, 1e8)), 1000);
    }

    // Work that is cut by the next invocation has its part of the CPU time, and has not finished.
    #[test]
    fn background_work_is_cut() {
        let work = BackgroundResult {
            started_unix_ns: 1000,
            last_unix_ns: 2000,
            longest_gap_ns: 0,
            cpu_ns: 500,
            finished: true,
        };
        let cut = until(work.clone(), 1250);
        assert_eq!((cut.last_unix_ns, cut.cpu_ns, cut.finished), (1250, 125, false));
        assert_eq!(until(work.clone(), 5000), work);
    }
}
