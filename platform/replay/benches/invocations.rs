//! Invocations per second on one core, by number of functions, and how it grows.
//!
//! Run with `cargo bench -p replay`, or `-- FUNCTIONS` for one size. Each function is invoked once in ten seconds on average
//! and runs for 50 ms, under fixed keep-alive of ten minutes; what is measured begins when nearly all have an instance, so
//! that there is as much to do for an invocation at any size. `skewed`: the function of rank r is invoked in proportion to
//! 1 / r (of Azure's applications, the 18.6 % most popular have 99.6 % of invocations: Shahrad et al., ATC'20, 3.2).
//! `even`: all alike, the worst case for the machine's caches. Time is CPU time, so that other programs count less. The last
//! column is resident memory by function, instances included.

use model::{MemoryMib, Span, TenantId, Time};
use replay::{
    Arrival, Choice, Delay, Engine, Facts, Functions, Problems, Source, Timing, TraceError,
};
use std::cell::Cell;
use std::rc::Rc;

/// From invocation to invocation of one function, on average.
const EVERY_S: u64 = 10;

/// Invocations that are measured.
const MEASURED: u64 = 3_000_000;

/// Invocations before that, by function.
const BEFORE: u64 = 3;

#[derive(Clone, Copy, PartialEq)]
enum Popularity {
    Skewed,
    Even,
}

struct Steady {
    functions: u64,
    popularity: Popularity,
    left: u64,
    nanos: u64,
    state: u64,
    /// CPU time when the measurement began.
    begun: Rc<Cell<u64>>,
}

impl Steady {
    /// A number from 0 to 1 (Knuth's linear congruential generator, the upper bits).
    fn draw(&mut self) -> f64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Source for Steady {
    fn next(
        &mut self,
        functions: &mut Functions,
        _: &mut Problems,
    ) -> Result<Option<Arrival>, TraceError> {
        for number in functions.len() as u64..self.functions {
            let tenant = TenantId::from_number(number % 1_000);
            functions.add(Facts { tenant, memory: MemoryMib(128) });
        }
        if self.left == MEASURED {
            self.begun.set(cpu_nanos());
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.nanos += EVERY_S * 1_000_000_000 / self.functions;
        let all = self.functions as f64;
        let drawn = self.draw();
        let rank = match self.popularity {
            Popularity::Skewed => all.powf(drawn) - 1.0,
            Popularity::Even => all * drawn,
        };
        // Neighbours in rank are no neighbours in memory: multiplied by a prime.
        let function = (rank as u64 * 7_919 % self.functions) as u32;
        let (at, duration) = (Time::from_nanos(self.nanos), Span::from_millis(50));
        Ok(Some(Arrival { at, function, duration, cold_extra: Span::ZERO }))
    }
}

fn main() {
    let asked = std::env::args().skip(1).find_map(|it| it.parse().ok());
    for (name, popularity) in [("skewed", Popularity::Skewed), ("even", Popularity::Even)] {
        println!("{name}");
        println!("functions  invocations/s  ns/invocation  against 1000  KiB/function");
        let mut first = None;
        for functions in asked.map_or(vec![1_000, 10_000, 100_000, 1_000_000], |it| vec![it]) {
            let before = resident_kib();
            let mut profile = scheduler::Profile::default();
            (profile.limits.account_concurrency, profile.limits.queue) = (u32::MAX, u32::MAX);
            let profile = Choice::parse("fixed").expect("a policy").apply(&profile);
            let timing = Timing {
                cold: Delay::Constant(Span::from_millis(200)),
                warm: Delay::Constant(Span::ZERO),
                host: Delay::Constant(Span::ZERO),
            };
            let mut engines = [Engine::new("fixed", profile, timing, 1)];
            let all = MEASURED + BEFORE * functions;
            let begun = Rc::new(Cell::new(0));
            let (nanos, state) = (0, 1);
            let noted = Rc::clone(&begun);
            let mut source =
                Steady { functions, popularity, left: all, nanos, state, begun: noted };
            let mut problems = Problems::default();
            replay::replay(&mut source, &mut engines, &mut problems).expect("nothing to read");
            let nanos = (cpu_nanos() - begun.get()) as f64 / MEASURED as f64;
            let totals = engines[0].totals();
            assert_eq!(totals.cold + totals.warm, all, "every invocation ran");
            let base = *first.get_or_insert(nanos);
            let kib = resident_kib().saturating_sub(before) as f64 / functions as f64;
            let (rate, growth) = (1e9 / nanos, nanos / base);
            println!("{functions:>9} {rate:>14.0} {nanos:>14.0} {growth:>13.2} {kib:>13.2}");
        }
    }
}

/// CPU time of this thread, ns: the first figure of `schedstat`.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
