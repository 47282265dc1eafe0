//! How long idle instances stay.

use super::Expected;
use scheduler::policy::KeepAlive;

/// Draws of both ways together.
const DRAWS: usize = 100_000;

impl Expected<'_> {
    /// Chance that a single instance is still there when it is asked for again `delay_s` after its response arrived.
    ///
    /// For the platform it is idle for longer, by the ways of that response and of the next request.
    pub fn alive(&self, delay_s: f64) -> f64 {
        match &self.platform.scheduler.keep_alive {
            KeepAlive::None(_) => 0.0,
            KeepAlive::Fixed(fixed) => self.ways_shorter_than(fixed.limit.as_secs_f64() - delay_s),
            // Half of one is one: only the limit ends it.
            KeepAlive::Halving(it) => self.ways_shorter_than(it.limit.as_secs_f64() - delay_s),
        }
    }

    /// Chance that both ways together take less than this.
    fn ways_shorter_than(&self, seconds: f64) -> f64 {
        let path = &self.platform.model.path;
        self.drawn_once(
            "ways".to_owned(),
            DRAWS,
            |random| (path.out.draw_ms(random) + path.back.draw_ms(random)) / 1e3,
            |drawn| drawn.partition_point(|way| *way < seconds) as f64 / drawn.len() as f64,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latency;
    use crate::profile::built_in;

    // Below the limit all are there, above it none, and the ways count as idle time.
    #[test]
    fn limits_are_sharp() {
        let mut platform = built_in("aws-2018").expect("built in").expect("valid");
        platform.model.path.out = Latency::constant(400.0);
        platform.model.path.back = Latency::constant(200.0);
        let expected = Expected::of(&platform);
        assert_eq!((expected.alive(1619.3), expected.alive(1619.5)), (1.0, 0.0));
    }
}
