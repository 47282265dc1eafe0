//! How long idle instances stay.

use super::Expected;
use model::Span;
use scheduler::policy::{Clock, KeepAlive};

/// Draws of both ways together.
const DRAWS: usize = 20_000;

impl Expected<'_> {
    /// Chance that a single instance is still there when it is asked for again `delay_s` after its response arrived; None
    /// where that depends on what else happens on the platform.
    ///
    /// For the platform it is idle for longer, by the ways of that response and of the next request.
    pub fn alive(&self, delay_s: f64) -> Option<f64> {
        let within = |limit: Span| self.ways_shorter_than(limit.as_secs_f64() - delay_s);
        Some(match &self.platform.scheduler.keep_alive {
            KeepAlive::None(_) => 0.0,
            KeepAlive::Fixed(fixed) => within(fixed.limit),
            // Half of one is one: only the limit ends it.
            KeepAlive::Halving(it) if it.clock == Clock::Host || it.floor > 0 => within(it.limit),
            // One pair teaches no habit.
            KeepAlive::Histogram(it) => within(it.limit),
            KeepAlive::Halving(_) | KeepAlive::MemoryPressure(_) => return None,
            KeepAlive::Memoryless(it) => {
                self.over_ways(|way_s| (-(delay_s + way_s) / it.mean.as_secs_f64()).exp())
            }
            KeepAlive::Bimodal(it) => {
                let long = it.long_share;
                long * within(it.long) + (1.0 - long) * within(it.short)
            }
            // The sweeper's clock is out of step with whoever asks.
            KeepAlive::Sweep(it) => self.over_ways(|way_s| {
                let late_s = delay_s + way_s - it.limit.as_secs_f64();
                1.0 - (late_s / it.every.as_secs_f64()).clamp(0.0, 1.0)
            }),
        })
    }

    /// Chance that both ways together take less than this.
    fn ways_shorter_than(&self, seconds: f64) -> f64 {
        self.ways(|ways| ways.partition_point(|way| *way < seconds) as f64 / ways.len() as f64)
    }

    /// Mean of what depends on how long both ways together take, s.
    fn over_ways(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.ways(|ways| ways.iter().map(|way| of(*way)).sum::<f64>() / ways.len() as f64)
    }

    fn ways<T>(&self, read: impl Fn(&[f64]) -> T) -> T {
        let path = &self.platform.model.path;
        self.drawn_once(
            "ways".to_owned(),
            DRAWS,
            |random| (path.out.draw_ms(random) + path.back.draw_ms(random)) / 1e3,
            read,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latency;
    use crate::profile::built_in;
    use scheduler::policy::{Bimodal, Fixed, Memoryless, NoKeeping, Sweep};

    fn alive(keep_alive: KeepAlive, delay_s: f64) -> f64 {
        let mut platform = built_in("aws-2018").expect("built in").expect("valid");
        platform.model.path.out = Latency::constant(400.0);
        platform.model.path.back = Latency::constant(200.0);
        platform.scheduler.keep_alive = keep_alive;
        Expected::of(&platform).alive(delay_s).expect("known")
    }

    // Below the limit all are there, above it none, and the ways count as idle time.
    #[test]
    fn limits_are_sharp() {
        let limit = Span::from_secs(1620);
        let fixed = || KeepAlive::Fixed(Fixed { limit });
        assert_eq!((alive(fixed(), 1619.3), alive(fixed(), 1619.5)), (1.0, 0.0));
        assert_eq!(alive(KeepAlive::None(NoKeeping), 1.0), 0.0);
    }

    // Memoryless, bimodal and swept instances go as their closed forms say.
    #[test]
    fn closed_forms_come_out() {
        let mean = Span::from_secs(100);
        let memoryless = alive(KeepAlive::Memoryless(Memoryless { mean }), 99.4);
        assert!((memoryless - (-1.0_f64).exp()).abs() < 1e-9, "{memoryless}");
        let (short, long) = (Span::from_secs(100), Span::from_secs(900));
        let bimodal = || KeepAlive::Bimodal(Bimodal { short, long, long_share: 0.3 });
        assert_eq!([99.0, 100.0, 900.0].map(|delay_s| alive(bimodal(), delay_s)), [1.0, 0.3, 0.0]);
        let (limit, every) = (Span::from_secs(100), Span::from_secs(40));
        let sweep = || KeepAlive::Sweep(Sweep { limit, every });
        let swept = [99.0, 109.4, 140.0].map(|delay_s| alive(sweep(), delay_s));
        assert!(swept.iter().zip([1.0, 0.75, 0.0]).all(|(a, b)| (a - b).abs() < 1e-9), "{swept:?}");
    }
}
