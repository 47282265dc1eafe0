//! What still runs the version before an update.

use super::Expected;
use model::Span;
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Draws of ways.
const DRAWS: usize = 100_000;

impl Expected<'_> {
    /// Share of instances that run the version before an update, and of these the newly started ones, both of all, where
    /// they are first asked for so long after its acknowledgement.
    ///
    /// An update takes a time up to the window, any of them as likely, in which each request goes to an idle instance of the
    /// version before with one chance, and else starts one of it with another.
    pub fn outdated(&self, wait: Span) -> (f64, f64) {
        let Some(updates) = self.platform.scheduler.updates else { return (0.0, 0.0) };
        let window_s = updates.window.as_secs_f64();
        let out = &self.platform.model.path.out;
        let mut random = Pcg64::seed_from_u64(super::SEED);
        let draws = DRAWS;
        let under_way: f64 = (0..draws)
            .map(|_| wait.as_secs_f64() + out.draw_ms(&mut random) / 1e3)
            .map(|arrives_s| (1.0 - arrives_s / window_s).max(0.0))
            .sum();
        let under_way = under_way / draws as f64;
        let new = (1.0 - updates.reuse_chance) * updates.start_chance;
        (under_way * (updates.reuse_chance + new), under_way * new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Platform;
    use crate::profile::built_in;
    use scheduler::policy::Updates;

    fn aws() -> Platform {
        let mut platform = built_in("aws-2018").expect("it is there").expect("valid");
        (platform.scheduler.updates, platform.scheduler.lifetime) = (None, None);
        platform
    }

    // Atomic updates leave nothing behind; half of a window later half of the updates are under way; after it none is.
    #[test]
    fn updates_are_under_way_for_their_window() {
        let mut platform = aws();
        let outdated =
            |platform: &Platform, secs| Expected::of(platform).outdated(Span::from_secs(secs));
        assert_eq!(outdated(&platform, 0), (0.0, 0.0));
        platform.scheduler.updates =
            Some(Updates { window: Span::from_secs(6), reuse_chance: 0.5, start_chance: 0.2 });
        let (all, new) = outdated(&platform, 3);
        assert!((all - 0.3).abs() < 0.001 && (new - 0.05).abs() < 0.001, "{all} {new}");
        assert_eq!(outdated(&platform, 6), (0.0, 0.0));
    }
}
