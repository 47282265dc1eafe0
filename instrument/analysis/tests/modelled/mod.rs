//! A platform as a model with known values, and the records that experiments on it would leave.
//!
//! Independent of the analyses: it draws from distributions and applies rules, and computes no statistic.

use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, LogNormal};
use rand_pcg::Pcg64;
use record::{Forced, Outcome, Record};
use std::collections::BTreeMap;

/// Wall clock of the vantage point at the run's beginning, nanoseconds.
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

/// One way between vantage point and function, nanoseconds.
pub const WAY_NS: u64 = 400_000;

/// Draws and the run's time.
pub struct Run {
    pub random: Pcg64,
    pub now_ns: u64,
}

/// What a request is for.
#[derive(Clone, Default)]
pub struct Request {
    pub experiment: &'static str,
    pub phase: &'static str,
    pub round: u32,
    pub function: String,
    pub instance: String,
    pub memory_mib: u32,
    pub setting: Vec<(&'static str, String)>,
    /// Served before by this instance, this request included.
    pub served: u64,
    /// From arrival to the handler's first statement, nanoseconds.
    pub start_ns: u64,
    /// In the handler, nanoseconds.
    pub run_ns: u64,
    pub host: Option<String>,
}

impl Run {
    pub fn new(seed: u64) -> Self {
        Self { random: Pcg64::seed_from_u64(seed), now_ns: 1_000_000_000 }
    }

    /// The record of a request that is sent now.
    pub fn record(&self, request: Request) -> Record {
        let started = self.now_ns + WAY_NS + request.start_ns;
        let setting = request.setting.into_iter().map(|(name, value)| (name.to_owned(), value));
        let host = request.host.into_iter().map(|host| ("boot_id".to_owned(), host));
        Record {
            experiment: request.experiment.into(),
            unit: format!("round-{}", request.round).into(),
            round: request.round,
            setting: setting.collect(),
            phase: request.phase.into(),
            function: request.function.into(),
            runtime: "nodejs".into(),
            memory_mib: request.memory_mib,
            epoch_unix_ns: EPOCH_NS,
            intended_ns: self.now_ns,
            sent_ns: self.now_ns,
            received_ns: started + request.run_ns + WAY_NS,
            attempts: 1,
            outcome: Outcome::Ok,
            forced_by: if request.served == 1 { Forced::FreshFunction } else { Forced::Nothing },
            started_unix_ns: EPOCH_NS + started,
            finished_unix_ns: EPOCH_NS + started + request.run_ns,
            function_ns: request.run_ns,
            init_unix_ns: EPOCH_NS + self.now_ns + WAY_NS,
            instance: request.instance.into(),
            instance_invocations: request.served,
            host_ids: host.collect(),
            ..Record::default()
        }
    }

    /// Cold starts as on AWS in 2018 (189.9 ms + lognormal of median 75.3 ms, sigma 1.29), each with two warm starts of
    /// 3 ms + lognormal of median 1 ms, sigma 0.5, that share part of their deviation.
    pub fn coldstarts(&mut self, rounds: u32) -> Vec<Record> {
        let cold = LogNormal::new(75.3_f64.ln(), 1.29).expect("sigma is positive");
        let warm = LogNormal::new(0.0, 0.35).expect("sigma is positive");
        let mut records = Vec::new();
        for round in 0..rounds {
            let shared = warm.sample(&mut self.random);
            for served in 1..=3 {
                let start_ms = match served {
                    1 => 189.9 + cold.sample(&mut self.random),
                    _ => 3.0 + shared * warm.sample(&mut self.random),
                };
                records.push(self.record(Request {
                    experiment: "coldstart",
                    phase: if served == 1 { "cold" } else { "warm" },
                    round,
                    function: format!("cold-{round}"),
                    instance: format!("cold-{round}"),
                    memory_mib: 128,
                    served,
                    start_ns: (start_ms * 1e6) as u64,
                    run_ns: 100_000,
                    ..Request::default()
                }));
                self.now_ns += 20_000_000_000;
            }
        }
        records
    }
}

/// Where instances go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    BinPack,
    Spread { hosts: usize },
    Random { hosts: usize },
    OnePerHost,
}

/// Hosts of one size.
pub struct Hosts {
    pub placing: Placing,
    pub memory_mib: u32,
    used_mib: Vec<u32>,
}

impl Hosts {
    pub fn new(placing: Placing, memory_mib: u32) -> Self {
        Self { placing, memory_mib, used_mib: Vec::new() }
    }

    fn place(&mut self, size_mib: u32, random: &mut Pcg64) -> usize {
        let fits = |used: &u32| used + size_mib <= self.memory_mib;
        let wanted = match self.placing {
            Placing::BinPack => (0..self.used_mib.len())
                .filter(|host| fits(&self.used_mib[*host]))
                .max_by_key(|host| (self.used_mib[*host], usize::MAX - host))
                .unwrap_or(self.used_mib.len()),
            Placing::Spread { hosts } if self.used_mib.len() < hosts => self.used_mib.len(),
            Placing::Spread { hosts } => {
                (0..hosts).min_by_key(|host| (self.used_mib[*host], *host)).unwrap_or(0)
            }
            Placing::Random { hosts } => random.random_range(0..hosts),
            Placing::OnePerHost => self.used_mib.len(),
        };
        if self.used_mib.len() <= wanted {
            self.used_mib.resize(wanted + 1, 0);
        }
        self.used_mib[wanted] += size_mib;
        wanted
    }

    /// The fills of a placement experiment: a ladder at two sizes, each ended by twelve of the smallest.
    pub fn fills(&mut self, run: &mut Run, rounds: u32) -> Vec<Record> {
        let mut records = Vec::new();
        let mut number = 0;
        for round in 0..rounds {
            for (burst_mib, size) in
                [128, 640].into_iter().flat_map(|mib| [5, 10, 15, 25].map(|size| (mib, size)))
            {
                self.used_mib.clear();
                number += 1;
                let phases = [("burst", burst_mib, size), ("fill", 128, 12)];
                for (phase, memory_mib, count) in phases {
                    for instance in 0..count {
                        let host = self.place(memory_mib, &mut run.random);
                        // Held until one moment, the burst twice as long as what ends it.
                        let start_ns = run.random.random_range(1_000_000..50_000_000);
                        let held = if phase == "burst" { 2 } else { 1 } * 500_000_000_u64;
                        run.now_ns +=
                            if phase == "fill" && instance == 0 { 500_000_000 } else { 0 };
                        records.push(run.record(Request {
                            experiment: "placement",
                            phase,
                            round,
                            function: format!("{phase}-{number}"),
                            instance: format!("{phase}-{number}-{instance}"),
                            memory_mib,
                            setting: vec![
                                ("burst_memory_mib", burst_mib.to_string()),
                                ("concurrency", size.to_string()),
                            ],
                            served: 1,
                            start_ns,
                            run_ns: held - start_ns,
                            host: Some(format!("host-{host}")),
                        }));
                    }
                }
                run.now_ns += 10_000_000_000;
            }
        }
        records
    }
}

/// How idle instances end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keeping {
    /// At one limit, s; pools stay whole until then.
    Fixed { limit_s: f64 },
    /// At one limit, s, and by halves before it.
    Halving { interval_s: f64, floor: u32, limit_s: f64 },
    /// At any time alike, s on average.
    Memoryless { mean_s: f64 },
    /// At once.
    None,
}

impl Keeping {
    fn limit_s(self) -> f64 {
        match self {
            Self::Fixed { limit_s } | Self::Halving { limit_s, .. } => limit_s,
            Self::Memoryless { mean_s } => mean_s,
            Self::None => 5.0,
        }
    }

    fn keeps_one(self, idle_s: f64, random: &mut Pcg64) -> bool {
        match self {
            Self::Fixed { limit_s } | Self::Halving { limit_s, .. } => {
                idle_s < limit_s && !random.random_bool(0.01)
            }
            Self::Memoryless { mean_s } => random.random::<f64>() < (-idle_s / mean_s).exp(),
            Self::None => false,
        }
    }

    /// The records of an idle experiment: a grid of delays from 1 to 20 s, delays around the limit, and pools.
    pub fn records(self, run: &mut Run) -> Vec<Record> {
        let limit_s = self.limit_s();
        let grid = (0..16).map(|step| 20_f64.powf(f64::from(step) / 15.0));
        let around = (0..21).map(|step| limit_s * (0.95 + 0.005 * f64::from(step)));
        let mut records = Vec::new();
        for (number, delay_s) in grid.chain(around).flat_map(|delay_s| [delay_s; 5]).enumerate() {
            records.extend(self.pair(run, number as u32, delay_s));
        }
        let spread = [0.9, 0.7, 0.5, 0.3, 0.1].map(|part| part * limit_s);
        let early = [0.25, 0.21, 0.18, 0.15, 0.12].map(|part| part * limit_s);
        let mut clocks = Clocks { host: 0, free: 12, phase: run.random.random() };
        for (number, delay_s) in
            spread.into_iter().chain(early).flat_map(|delay_s| [delay_s; 5]).enumerate()
        {
            records.extend(self.pool(run, &mut clocks, (number as u32, delay_s)));
        }
        records
    }

    fn pair(self, run: &mut Run, number: u32, delay_s: f64) -> Vec<Record> {
        let request = |phase, instance: String, served| Request {
            experiment: "idle",
            phase,
            round: number % 5,
            function: format!("pair-{number}"),
            instance,
            memory_mib: 128,
            setting: vec![("delay_s", format!("{delay_s:.3}")), ("part", "pair".to_owned())],
            served,
            start_ns: 1_000_000,
            run_ns: 100_000,
            host: Some(format!("host-{}", number / 12)),
        };
        let first = run.record(request("first", format!("pair-{number}"), 1));
        run.now_ns = first.received_ns + (delay_s * 1e9) as u64;
        // The platform counts from its own response to the request's arrival.
        let idle_s = delay_s + 2.0 * WAY_NS as f64 / 1e9;
        let alive = self.keeps_one(idle_s, &mut run.random);
        let (instance, served) =
            if alive { (format!("pair-{number}"), 2) } else { (format!("pair-{number}-again"), 1) };
        let second = run.record(request("second", instance, served));
        vec![first, second]
    }

    fn pool(
        self,
        run: &mut Run,
        clocks: &mut Clocks,
        (number, delay_s): (u32, f64),
    ) -> Vec<Record> {
        let request = |phase, instance: String, host: String| Request {
            experiment: "idle",
            phase,
            round: number % 5,
            function: format!("pool-{number}"),
            instance,
            memory_mib: 128,
            setting: vec![("delay_s", format!("{delay_s:.3}")), ("part", "pool".to_owned())],
            served: 1,
            start_ns: 1_000_000,
            run_ns: 300_000_000,
            host: Some(host),
        };
        let mut hosts: BTreeMap<usize, (f64, Vec<String>)> = BTreeMap::new();
        let mut records = Vec::new();
        for instance in 0..20 {
            let (host, phase) = clocks.place(&mut run.random);
            let name = format!("pool-{number}-{instance}");
            records.push(run.record(request("launch", name.clone(), format!("pool-host-{host}"))));
            hosts.entry(host).or_insert((phase, Vec::new())).1.push(name);
        }
        let from_ns = records[0].received_ns;
        let launched_ns = run.now_ns;
        run.now_ns = from_ns + (delay_s * 1e9) as u64;
        let window = (from_ns as f64 / 1e9, run.now_ns as f64 / 1e9);
        let mut met = Vec::new();
        for (host, (phase, mut names)) in hosts {
            self.shrink(&mut run.random, window, phase, &mut names);
            met.extend(names.into_iter().map(|name| (name, host)));
        }
        for instance in met.len()..20 {
            met.push((format!("pool-{number}-new-{instance}"), 100_000 + number as usize));
        }
        for (name, host) in met {
            records.push(run.record(request("probe", name, format!("pool-host-{host}"))));
        }
        // Pools start one after another and are silent together.
        run.now_ns = launched_ns + 230_000_000;
        records
    }

    fn shrink(
        self,
        random: &mut Pcg64,
        (from_s, to_s): (f64, f64),
        phase: f64,
        names: &mut Vec<String>,
    ) {
        match self {
            Self::Halving { interval_s, floor, limit_s } if to_s - from_s < limit_s => {
                let tick = |at_s: f64| (at_s / interval_s + phase).floor();
                for _ in 0..(tick(to_s) - tick(from_s)) as usize {
                    let stay = names.len().div_ceil(2).max(floor as usize).min(names.len());
                    names.truncate(stay);
                }
            }
            _ => names.retain(|_| self.keeps_one(to_s - from_s, random)),
        }
    }
}

/// Hosts of twelve, filled one after another, each with a clock of its own.
struct Clocks {
    host: usize,
    free: u32,
    phase: f64,
}

impl Clocks {
    fn place(&mut self, random: &mut Pcg64) -> (usize, f64) {
        if self.free == 0 {
            *self = Self { host: self.host + 1, free: 12, phase: random.random() };
        }
        self.free -= 1;
        (self.host, self.phase)
    }
}
