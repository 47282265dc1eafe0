//! Invocations per second on one core, by number of functions, and how it grows.
//!
//! Run with `cargo bench -p replay`, or `-- FUNCTIONS` for one size. Each function is invoked once in ten seconds on average
//! and runs for 50 ms, under fixed keep-alive of ten minutes: the share of cold starts, and what there is to do for each
//! invocation, do not depend on the number of functions. What is left is how the machine's caches bear it. The last column is
//! resident memory by function, instances included.

use model::{MemoryMib, Span, TenantId, Time};
use replay::{
    Arrival, Choice, Delay, Engine, Facts, Functions, Problems, Source, Timing, TraceError,
};
use std::time::Instant;

/// From invocation to invocation of one function, on average.
const EVERY_S: u64 = 10;

/// Invocations of one run: at a million per second, some seconds.
const LEAST: u64 = 3_000_000;

/// Invocations of each function at least, so that most of them find an instance.
const EACH: u64 = 4;

struct Steady {
    functions: u64,
    left: u64,
    nanos: u64,
    state: u64,
}

impl Steady {
    fn draw(&mut self) -> u64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.state >> 20
    }
}

impl Source for Steady {
    fn next(
        &mut self,
        functions: &mut Functions,
        _: &mut Problems,
    ) -> Result<Option<Arrival>, TraceError> {
        for number in functions.len() as u64..self.functions {
            functions.add(Facts {
                tenant: TenantId::from_number(number % 1_000),
                memory: MemoryMib(128),
            });
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.nanos += EVERY_S * 1_000_000_000 / self.functions;
        let function = (self.draw() % self.functions) as u32;
        let (at, duration) = (Time::from_nanos(self.nanos), Span::from_millis(50));
        Ok(Some(Arrival { at, function, duration, cold_extra: Span::ZERO }))
    }
}

fn main() {
    let asked = std::env::args().skip(1).find_map(|it| it.parse().ok());
    println!("functions  invocations/s  ns/invocation  against 1000  KiB/function");
    let mut first = None;
    for functions in asked.map_or(vec![1_000, 10_000, 100_000, 1_000_000], |it| vec![it]) {
        let before = resident_kib();
        let mut profile = scheduler::Profile::default();
        profile.limits.account_concurrency = u32::MAX;
        let profile = Choice::parse("fixed").expect("a policy").apply(&profile);
        let timing = Timing {
            cold: Delay::Constant(Span::from_millis(200)),
            warm: Delay::Constant(Span::ZERO),
            host: Delay::Constant(Span::ZERO),
        };
        let mut engines = [Engine::new("fixed", profile, timing, 1)];
        let left = LEAST.max(EACH * functions);
        let mut source = Steady { functions, left, nanos: 0, state: 1 };
        let start = Instant::now();
        let mut problems = Problems::default();
        replay::replay(&mut source, &mut engines, &mut problems).expect("nothing to read");
        let nanos = start.elapsed().as_nanos() as f64 / left as f64;
        let totals = engines[0].totals();
        assert_eq!(totals.cold + totals.warm, left, "every invocation ran");
        let base = *first.get_or_insert(nanos);
        let kib = resident_kib().saturating_sub(before) as f64 / functions as f64;
        println!(
            "{functions:>9} {:>14.0} {nanos:>14.0} {:>13.2} {kib:>13.2}",
            1e9 / nanos,
            nanos / base
        );
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
