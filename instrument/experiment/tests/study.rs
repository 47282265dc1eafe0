//! Studies of a model platform in virtual time: each experiment to its end, and what lies between them.

mod fake;

use experiment::{Basis, Ended, Kind, Scale, Scope, Sink, Study, Unit, Vantage, run_study};
use fake::{DISK_MIB_S, Fake, KeepAlive, NETWORK_MBIT_S, Profile, Removal, Update};
use model::{Span, Time};
use record::{Forced, Outcome, Record, Text};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::task::Poll;

/// Records in memory.
#[derive(Default)]
struct Memory {
    units: BTreeMap<(String, String), Vec<Record>>,
    problems: Vec<String>,
    experiments: Vec<String>,
    started: Vec<(String, String)>,
    progress: Vec<(Span, Span)>,
    finished: Cell<usize>,
}

impl Sink for Memory {
    type Error = Infallible;

    fn is_finished(&self, experiment: &str, unit: &str) -> bool {
        self.units.contains_key(&(experiment.to_owned(), unit.to_owned()))
    }

    fn earlier(&mut self, experiment: &str) -> Result<Vec<Record>, Infallible> {
        Ok(self.of(experiment).cloned().collect())
    }

    fn started(&mut self, experiment: &str, unit: &Unit) {
        if self.experiments.last().is_none_or(|last| last != experiment) {
            self.experiments.push(experiment.to_owned());
        }
        self.started.push((experiment.to_owned(), unit.name.clone()));
    }

    fn progress(&mut self, done: Span, expected: Span) {
        self.progress.push((done, expected));
    }

    fn finished(
        &mut self,
        experiment: &str,
        unit: &Unit,
        records: Vec<Record>,
    ) -> Result<(), Infallible> {
        let name = (experiment.to_owned(), unit.name.clone());
        assert!(self.units.insert(name, records).is_none(), "{} twice", unit.name);
        self.finished.set(self.finished.get() + 1);
        Ok(())
    }

    fn problem(&mut self, experiment: &str, text: &str) {
        self.problems.push(format!("{experiment}: {text}"));
    }
}

impl Memory {
    fn of(&self, experiment: &str) -> impl Iterator<Item = &Record> {
        self.units
            .iter()
            .filter(move |((name, _), _)| name == experiment)
            .flat_map(|(_, records)| records)
    }
}

fn study(scale: Scale, seed: u64, experiments: &[Kind]) -> Study {
    let scope = Scope::local(&Basis {
        scale,
        seed,
        runtimes: ["provided.al2023", "python3.11", "nodejs20.x"].map(str::to_owned).to_vec(),
        memory_range_mib: (128, 10_240),
        cores: 2,
        max_concurrency: 200,
        tenants: 2,
        roles: 4,
    });
    Study { scope, experiments: experiments.to_vec() }
}

fn complete(fake: &Fake, study: &Study) -> Memory {
    let mut memory = Memory::default();
    let Ok(ended) = fake.run(run_study(fake, study, &mut memory, pending()));
    assert_eq!(ended, Ended::Complete);
    assert_eq!(fake.functions_left(), 0);
    memory
}

/// Instances alive again, of instances, by delay in milliseconds, for pairs or pools.
fn survival(memory: &Memory, part: &str) -> BTreeMap<u64, (usize, usize)> {
    let mut functions: BTreeMap<&str, [BTreeSet<&str>; 2]> = BTreeMap::new();
    let mut delays = BTreeMap::new();
    for record in memory.of("idle").filter(|record| record.setting["part"] == part) {
        let again = matches!(record.phase.as_str(), "second" | "probe");
        functions.entry(&record.function).or_default()[usize::from(again)].insert(&record.instance);
        let delay_s: f64 = record.setting["delay_s"].parse().expect("a number");
        delays.insert(record.function.as_str(), (delay_s * 1e3).round() as u64);
    }
    let mut survival: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for (function, [before, after]) in &functions {
        let tally = survival.entry(delays[function]).or_default();
        tally.0 += before.intersection(after).count();
        tally.1 += before.len();
    }
    survival
}

/// Longest delay that most pairs survived and shortest that most did not, in milliseconds.
fn bracket(memory: &Memory) -> (u64, u64) {
    let pairs = survival(memory, "pair");
    let kept = pairs.iter().filter(|(_, (alive, all))| alive * 2 >= *all).map(|(delay, _)| *delay);
    let kept = kept.max().expect("some survived");
    let gone = pairs.keys().copied().find(|delay| *delay > kept).expect("some did not");
    (kept, gone)
}

fn detail(record: &Record) -> probe::Response {
    match record.detail.as_str() {
        "" => probe::Response::default(),
        detail => serde_json::from_str(detail).expect("the probe's schema"),
    }
}

/// How many were meant to share a host.
fn colevel(record: &Record) -> f64 {
    record.setting.get("colevel").map_or(1.0, |k| k.parse().expect("a number"))
}

fn cpu_share(record: &Record) -> f64 {
    let cpu = detail(record).cpu.expect("asked for");
    cpu.cpu_ns as f64 / cpu.window_ns as f64
}

// Each experiment ends, with records in the shape that analyses expect, none of them void, and no function left.
#[test]
fn all_experiments_end() {
    let fake = Fake::new(Profile::default());
    let memory = complete(&fake, &study(Scale::Quick, 1, &Kind::ALL));
    assert_eq!(memory.problems, Vec::<String>::new());
    let phases = |experiment: &str| -> BTreeSet<(String, String)> {
        let of = memory.of(experiment);
        of.map(|record| {
            let setting: Vec<&str> = record.setting.keys().map(Text::as_str).collect();
            (record.phase.to_string(), setting.join(" "))
        })
        .collect()
    };
    let shape = |pairs: &[(&str, &str)]| -> BTreeSet<(String, String)> {
        pairs.iter().map(|(phase, keys)| ((*phase).to_owned(), (*keys).to_owned())).collect()
    };
    // Nobody can watch disk counters here, so that the test of co-residency ends with its first look.
    let watch = ("watch", "concurrency slot written_mib");
    let names = [("again", "concurrency"), ("launch", "concurrency"), watch];
    assert_eq!(phases("identity"), shape(&names));
    let keys = "concurrency place role roles tenant tenants";
    assert_eq!(phases("isolation"), shape(&[("burst", keys)]));
    assert_eq!(phases("hosts"), shape(&[("burst", "concurrency")]));
    assert_eq!(phases("exposure"), shape(&[("read", "")]));
    let starts = [("package", "ballast_mib"), ("again", "ballast_mib"), ("at_once", "colevel")];
    let starts = [&starts[..], &[("cold", ""), ("warm", ""), ("chain", "")]].concat();
    assert_eq!(phases("coldstart"), shape(&starts));
    assert_eq!(phases("scaling"), shape(&[("burst", "concurrency")]));
    let keys = "burst_memory_mib concurrency";
    assert_eq!(phases("placement"), shape(&[("burst", keys), ("fill", keys)]));
    let keys = "delay_s part stage";
    assert_eq!(
        phases("idle"),
        shape(&[
            ("first", keys),
            ("second", keys),
            ("launch", keys),
            ("probe", keys),
            ("busy_first", keys),
            ("busy_second", keys),
            ("keep", "each_s part stage"),
        ])
    );
    for experiment in ["cpu", "disk", "network"] {
        let both = shape(&[("alone", ""), ("shared", "colevel")]);
        assert_eq!(phases(experiment), both, "{experiment}");
    }
    assert_eq!(phases("lifetime"), shape(&[("watch", "interval_s")]));
    assert_eq!(
        phases("accounting"),
        shape(&[("leave", "silence_s"), ("ask", "silence_s"), ("billed", "duration_ms")])
    );
    assert_eq!(phases("limits"), shape(&[("try", "level limit"), ("fill", "limit")]));
    let keys = "concurrency kind wait_s";
    assert_eq!(phases("consistency"), shape(&[("before", keys), ("after", keys), ("again", keys)]));
    for ((experiment, unit), records) in &memory.units {
        for record in records {
            assert_eq!(
                (record.experiment.as_str(), record.unit.as_str()),
                (&**experiment, &**unit)
            );
            // What is too large is meant to be refused.
            let meant = experiment == "limits" && record.phase == "try";
            assert!(meant || record.outcome == Outcome::Ok, "{experiment}/{unit}: {record:?}");
        }
    }
}

// The default study of a platform on this machine stays below three minutes, as its plan says, and within its bounds.
#[test]
fn default_study_is_short() {
    let fake = Fake::new(Profile::default());
    let study = study(Scale::Default, 1, &Kind::ALL);
    let memory = complete(&fake, &study);
    let took = fake.now().since(Time::ZERO);
    assert!(took < Span::from_secs(180), "{took}");
    let (done, expected) = *memory.progress.last().expect("progress was reported");
    assert_eq!(done, expected);
    assert!(expected < Span::from_secs(180), "{expected}");
    assert!(took.as_secs_f64() / expected.as_secs_f64() > 0.7, "{took} of {expected}");
    assert!(took.as_secs_f64() / expected.as_secs_f64() < 1.2, "{took} of {expected}");
    assert!(fake.running_max() <= study.scope.max_concurrency, "{}", fake.running_max());
    let most = study.scope.max_instances as usize;
    assert!(fake.instances_max() <= most, "{}", fake.instances_max());
    for planning in study.plan() {
        let experiment = planning.kind.about().name;
        let planned: u64 = planning.units.iter().map(|unit| unit.invocations).sum();
        assert!(memory.of(experiment).count() as u64 <= planned, "{experiment}");
    }
}

// What the experiments find is the model's truth: instances for N, hosts, idle limit, halving, CPU shares.
#[test]
fn truth_is_found() {
    for seed in [1, 2] {
        let fake = Fake::new(Profile::default());
        let memory = complete(&fake, &study(Scale::Default, seed, &Kind::ALL));
        assert_eq!(memory.problems, Vec::<String>::new());
        assert_truth(&memory);
    }
}

fn assert_truth(memory: &Memory) {
    for records in memory.units.iter().filter(|((name, _), _)| name == "scaling").map(|(_, r)| r) {
        let instances: BTreeSet<&str> = records.iter().map(|r| r.instance.as_str()).collect();
        assert_eq!(instances.len().to_string(), records[0].setting["concurrency"]);
        assert!(records.iter().all(|record| record.forced_by == Forced::FreshFunction));
    }
    for records in memory.units.iter().filter(|((name, _), _)| name == "placement").map(|(_, r)| r)
    {
        let mut used: BTreeMap<&str, u32> = BTreeMap::new();
        for record in records {
            *used.entry(&record.host_ids["cgroup"]).or_default() += record.memory_mib;
        }
        assert!(used.values().all(|used| *used <= 1536));
        assert!(used.values().any(|used| *used == 1536), "a host was filled: {used:?}");
    }
    let (kept, gone) = bracket(memory);
    assert!(kept <= 6_000 && 6_000 <= gone, "{kept} {gone}");
    assert!((gone - kept) as f64 <= 0.02 * 6_000.0, "{kept} {gone}");
    let pools: Vec<(u64, f64)> = survival(memory, "pool")
        .into_iter()
        .map(|(delay, (alive, all))| (delay, alive as f64 / all as f64))
        .collect();
    assert_eq!(pools.len(), 8);
    assert!(pools.is_sorted_by(|one, next| one.0 + 300 < next.0 && next.0 < one.0 + 1_700));
    for (delay_ms, alive) in pools {
        let ticks = delay_ms as f64 / 2_000.0;
        let (most, least) = (0.5_f64.powf(ticks.floor()), 0.5_f64.powf(ticks.ceil()));
        if delay_ms < 4_000 {
            // Of an odd number on a host the larger half stays.
            assert!(least - 0.1 <= alive && alive <= most + 0.15, "{delay_ms}: {alive}");
        }
    }
    for record in memory.of("cpu") {
        let share = (f64::from(record.memory_mib) / 512.0).min(1.0 / colevel(record));
        assert!((cpu_share(record) - share).abs() < 1e-6, "{record:?}");
    }
    for record in memory.of("disk") {
        let disk = detail(record).disk.expect("asked for");
        assert!((disk.write_mib_s[0] * colevel(record) / DISK_MIB_S - 1.0).abs() < 1e-6);
    }
    for record in memory.of("network") {
        let network = detail(record).network.expect("asked for");
        let mbit_s = network.sent_bytes as f64 * 8e3 / network.duration_ns as f64;
        assert!((mbit_s * colevel(record) / NETWORK_MBIT_S - 1.0).abs() < 1e-6, "{record:?}");
    }
}

// Without a sink nothing is sent for nothing: one plain request per round says why.
#[test]
fn networks_without_a_sink_say_so() {
    let fake = Fake::new(Profile { sink: None, ..Profile::default() });
    let memory = complete(&fake, &study(Scale::Quick, 1, &[Kind::Network]));
    assert_eq!(memory.of("network").count(), 3);
    for record in memory.of("network") {
        assert!(record.setting["unmeasured"].contains("no sink"), "{record:?}");
        assert_eq!(detail(record).network, None);
    }
}

// Where others keep the machine busy, what instances got of its CPUs is void, after a second try; where they leave some idle,
// nothing is.
#[test]
fn crowded_windows_are_void() {
    let study = study(Scale::Quick, 1, &[Kind::Cpu]);
    let asked = |idle_cpus| {
        let fake = Fake::new(Profile { idle_cpus, ..Profile::default() });
        let memory = complete(&fake, &study);
        let void = |record: &&Record| record.setting.contains_key("void");
        (memory.of("cpu").filter(void).count(), memory.of("cpu").count())
    };
    let (void, all) = asked(Some(0.8));
    assert_eq!(void, 0);
    assert_eq!(asked(Some(0.1)), (2 * all, 2 * all));
    assert_eq!(asked(None), (0, all));
}

// The same seed gives the same records, to the byte; another seed another order of experiments.
#[test]
fn seeds_determine_everything() {
    let kinds = [Kind::Identity, Kind::ColdStart, Kind::Scaling, Kind::Idle];
    let bytes = |seed| {
        let memory = complete(&Fake::new(Profile::default()), &study(Scale::Quick, seed, &kinds));
        let records: Vec<&Vec<Record>> = memory.units.values().collect();
        serde_json::to_vec(&records).expect("JSON")
    };
    assert_eq!(bytes(7), bytes(7));
    assert_ne!(bytes(7), bytes(8));
    let orders: BTreeSet<Vec<Kind>> =
        (0..20).map(|seed| study(Scale::Quick, seed, &Kind::ALL).order()).collect();
    assert!(orders.len() > 10);
}

// Stopped after any unit or at any moment, a study leaves no function, and the rest of it does what is left, nothing twice.
#[test]
fn stopped_studies_resume() {
    let study = study(Scale::Quick, 3, &[Kind::Exposure, Kind::Scaling, Kind::Idle, Kind::Cpu]);
    let names =
        |memory: &Memory| -> Vec<(String, String)> { memory.units.keys().cloned().collect() };
    let whole = complete(&Fake::new(Profile::default()), &study);
    for stop_after in 1..whole.units.len() {
        let mut memory = Memory::default();
        // A platform of its own for each run, as after a reboot.
        let first = Fake::new(Profile::default());
        let stopped = first.run(stop_when_finished(&first, &study, &mut memory, stop_after));
        assert_eq!(stopped, Ended::Stopped, "{stop_after}");
        assert_eq!(first.functions_left(), 0);
        assert!(memory.units.len() >= stop_after && memory.units.len() < whole.units.len());
        let done: BTreeSet<_> = memory.units.keys().cloned().collect();
        memory.started.clear();
        let second = Fake::new(Profile::default());
        let Ok(ended) = second.run(run_study(&second, &study, &mut memory, pending()));
        assert_eq!(ended, Ended::Complete);
        assert!(memory.started.iter().all(|unit| !done.contains(unit)));
        assert_eq!(names(&memory), names(&whole));
    }
    let (kept, gone) = bracket(&whole);
    assert!(kept <= 6_000 && 6_000 <= gone);
}

/// Runs until some units are finished, then stops in the middle of the next one.
async fn stop_when_finished(
    fake: &Fake,
    study: &Study,
    memory: &mut Memory,
    units: usize,
) -> Ended {
    let finished = std::rc::Rc::new(Cell::new(0));
    let mut counting = Counting { memory, finished: finished.clone() };
    let stop = poll_fn(|_| if finished.get() >= units { Poll::Ready(()) } else { Poll::Pending });
    let Ok(ended) = run_study(fake, study, &mut counting, stop).await;
    ended
}

/// Passes on and counts finished units, for whoever decides when to stop.
struct Counting<'a> {
    memory: &'a mut Memory,
    finished: std::rc::Rc<Cell<usize>>,
}

impl Sink for Counting<'_> {
    type Error = Infallible;

    fn is_finished(&self, experiment: &str, unit: &str) -> bool {
        self.memory.is_finished(experiment, unit)
    }

    fn earlier(&mut self, experiment: &str) -> Result<Vec<Record>, Infallible> {
        self.memory.earlier(experiment)
    }

    fn started(&mut self, experiment: &str, unit: &Unit) {
        self.memory.started(experiment, unit);
    }

    fn progress(&mut self, done: Span, expected: Span) {
        self.memory.progress(done, expected);
    }

    fn finished(
        &mut self,
        experiment: &str,
        unit: &Unit,
        records: Vec<Record>,
    ) -> Result<(), Infallible> {
        self.finished.set(self.finished.get() + 1);
        self.memory.finished(experiment, unit, records)
    }

    fn problem(&mut self, experiment: &str, text: &str) {
        self.memory.problem(experiment, text);
    }
}

// Stopped at any moment, in the middle of whatever, no function is left and no half unit is kept.
#[test]
fn stops_leave_nothing() {
    let study = study(Scale::Quick, 3, &[Kind::Identity, Kind::Placement, Kind::Idle]);
    for stop_ms in (0..60_000).step_by(3_777) {
        let fake = Fake::new(Profile::default());
        let mut memory = Memory::default();
        let stop = fake.sleep_until(Time::ZERO + Span::from_millis(stop_ms));
        let Ok(ended) = fake.run(run_study(&fake, &study, &mut memory, stop));
        assert_eq!(fake.functions_left(), 0, "{stop_ms}");
        if ended == Ended::Stopped {
            assert!(memory.units.len() < study.plan().iter().map(|p| p.units.len()).sum());
        }
    }
}

// A runtime whose functions cannot be created is a problem and a record, and the others are measured.
#[test]
fn failed_deploys_are_told() {
    let broken = BTreeSet::from(["python3.11".to_owned()]);
    let fake = Fake::new(Profile { broken, ..Profile::default() });
    let memory = complete(&fake, &study(Scale::Quick, 1, &[Kind::ColdStart, Kind::Exposure]));
    assert!(memory.problems.iter().any(|text| text.contains("runtime python3.11 is not there")));
    for experiment in ["coldstart", "exposure"] {
        let of = |runtime: &str| -> BTreeSet<(String, Outcome)> {
            let records = memory.of(experiment).filter(|record| record.runtime == runtime);
            records.map(|record| (record.phase.to_string(), record.outcome)).collect()
        };
        assert_eq!(of("python3.11"), [("deploy".to_owned(), Outcome::Failed)].into());
        assert!(of("nodejs20.x").iter().all(|(_, outcome)| *outcome == Outcome::Ok));
    }
}

// A burst of which a request left late is void, says so, and is done again once.
#[test]
fn late_bursts_are_void() {
    let fake = Fake::new(Profile { late_each: 40, ..Profile::default() });
    let memory = complete(&fake, &study(Scale::Quick, 1, &[Kind::Scaling]));
    let void: Vec<&Record> =
        memory.of("scaling").filter(|record| record.setting.contains_key("void")).collect();
    assert!(!void.is_empty());
    for record in void {
        assert!(record.setting["void"].starts_with("send lag 500.0 ms"), "{:?}", record.setting);
        let again = |other: &&Record| {
            other.unit == record.unit && other.setting.get("attempt").is_some_and(|n| n == "1")
        };
        let again: Vec<&Record> = memory.of("scaling").filter(again).collect();
        assert_eq!(again.len().to_string(), record.setting["concurrency"]);
    }
}

// A fixed limit is found as well, and pools that keep whole until then ask for no second look.
#[test]
fn fixed_limits_are_found() {
    for limit_ms in [1_300, 6_543, 11_000] {
        let keep_alive = KeepAlive::Fixed(Span::from_millis(limit_ms));
        let fake = Fake::new(Profile { keep_alive, ..Profile::default() });
        let memory = complete(&fake, &study(Scale::Default, 1, &[Kind::Idle]));
        let (kept, gone) = bracket(&memory);
        assert!(kept <= limit_ms && limit_ms <= gone, "{limit_ms}: {kept} {gone}");
        assert!((gone - kept) as f64 <= 0.02 * limit_ms as f64, "{limit_ms}: {kept} {gone}");
        for (delay_ms, (alive, all)) in survival(&memory, "pool") {
            assert_eq!(alive, if delay_ms < limit_ms { all } else { 0 }, "{limit_ms} {delay_ms}");
        }
    }
}

// Where starts are so slow that a pool is not held together at first, it is held again, and survives as it should.
#[test]
fn slow_pools_are_held_again() {
    let start_gap = Span::from_millis(30);
    let fake = Fake::new(Profile { start_gap, ..Profile::default() });
    let memory = complete(&fake, &study(Scale::Quick, 1, &[Kind::Idle]));
    let launches = |void: bool| {
        let launches = memory.of("idle").filter(|record| record.phase == "launch");
        launches.filter(|record| record.setting.contains_key("void") == void).count()
    };
    assert!(launches(true) > 0);
    let probes = memory.of("idle").filter(|record| record.phase == "probe").count();
    assert_eq!(launches(false), probes);
}

// A limit beyond the delays searched is a problem that says so, never a guess.
#[test]
fn limits_beyond_the_search_are_told() {
    let keep_alive = KeepAlive::Fixed(Span::from_secs(3_600));
    let fake = Fake::new(Profile { keep_alive, ..Profile::default() });
    let memory = complete(&fake, &study(Scale::Quick, 1, &[Kind::Idle]));
    assert!(memory.problems[0].contains("instances were still there after 13.0 s"));
    assert!(survival(&memory, "pair").values().all(|(alive, all)| alive == all));
}

// After an update each answer has the new mark where updates are atomic, and none where they are ignored.
#[test]
fn updates_are_seen() {
    for update in [Update::Atomic, Update::Ignored] {
        let fake = Fake::new(Profile { update, ..Profile::default() });
        let memory = complete(&fake, &study(Scale::Default, 1, &[Kind::Consistency]));
        let after = || memory.of("consistency").filter(|record| record.phase != "before");
        assert!(after().all(|record| {
            (record.mark == record.mark_acknowledged) == (update == Update::Atomic)
        }));
        let settings: BTreeSet<(&str, &str)> = after()
            .filter(|record| record.setting["wait_s"] == "0.000")
            .map(|record| (&record.setting["kind"][..], &record.setting["concurrency"][..]))
            .collect();
        assert_eq!(settings.len(), 8, "four kinds at two levels of concurrency: {settings:?}");
        assert!(after().all(|record| {
            let wait_s: f64 = record.setting["wait_s"].parse().expect("a number");
            let since_s = (record.sent_ns - record.acknowledged_ns) as f64 / 1e9;
            (wait_s..wait_s + 0.1).contains(&since_s)
        }));
    }
}

// A limit is the last level that was accepted, and its neighbour was refused.
#[test]
fn limits_are_neighbours() {
    let fake = Fake::new(Profile::default());
    let memory = complete(&fake, &study(Scale::Default, 1, &[Kind::Limits]));
    for (limit, last, step) in [("timeout", 900, 1), ("memory", 10_240, 64), ("payload", 6_144, 1)]
    {
        let of = |outcome: Outcome| {
            memory.of("limits").filter(move |record| {
                record.phase == "try"
                    && record.setting["limit"] == limit
                    && record.outcome == outcome
            })
        };
        let level = |record: &Record| record.setting["level"].parse::<u64>().expect("a number");
        assert_eq!(of(Outcome::Ok).map(level).max(), Some(last), "{limit}");
        assert_eq!(of(Outcome::Failed).map(level).min(), Some(last + step), "{limit}");
    }
}

// Where removed functions go on answering, the next experiment waits for the idle limit and says what disturbs it.
#[test]
fn disturbed_experiments_say_so() {
    let fake = Fake::new(Profile { removal: Removal::Ignored, ..Profile::default() });
    let study = study(Scale::Quick, 1, &[Kind::Identity, Kind::Scaling]);
    let mut memory = Memory::default();
    let Ok(ended) = fake.run(run_study(&fake, &study, &mut memory, pending()));
    assert_eq!(ended, Ended::Complete);
    let second = memory.experiments.last().expect("two ran").clone();
    let reason = |record: &Record| record.setting.get("disturbed").cloned();
    assert!(
        memory.of(&second).all(|record| {
            reason(record).is_some_and(|text| text.contains("still answers after"))
        })
    );
    assert!(memory.of(&memory.experiments[0]).all(|record| reason(record).is_none()));
}
