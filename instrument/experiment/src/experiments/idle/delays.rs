//! Delays and starting times of the idle experiment. Pure arithmetic.

use model::Span;

/// `count` delays from one end of the range to the other, each the same factor longer than the one before.
pub fn geometric((from, to): (Span, Span), count: u32) -> Vec<Span> {
    let factor = to.as_secs_f64() / from.as_secs_f64();
    let steps = f64::from(count.max(2) - 1);
    (0..count).map(|i| millis(from.as_secs_f64() * factor.powf(f64::from(i) / steps))).collect()
}

/// `count` delays evenly within a bracket, its ends left out.
pub fn inside((from, to): (Span, Span), count: u32) -> Vec<Span> {
    let (from, width) = (from.as_secs_f64(), (to - from).as_secs_f64());
    let part = |i: u32| f64::from(i) / f64::from(count + 1);
    (1..=count).map(|i| millis(from + width * part(i))).collect()
}

/// `count` more delays up to a limit, each in the middle of what is then the widest gap.
pub fn in_gaps(tried: &[Span], limit: Span, count: u32) -> Vec<Span> {
    let mut points: Vec<Span> =
        tried.iter().copied().filter(|delay| *delay < limit).chain([Span::ZERO, limit]).collect();
    points.sort_unstable();
    let mut new = Vec::new();
    for _ in 0..count {
        let gaps = points.windows(2).map(|gap| gap[1] - gap[0]).enumerate();
        // Of equal gaps the first.
        let Some((at, _)) = gaps.rev().max_by_key(|(_, gap)| *gap) else { break };
        let middle = millis((points[at].as_secs_f64() + points[at + 1].as_secs_f64()) / 2.0);
        points.insert(at + 1, middle);
        new.push(middle);
    }
    new
}

/// To the nearest millisecond, so that a delay and its text are the same.
fn millis(secs: f64) -> Span {
    Span::from_millis((secs * 1e3).round() as u64)
}

/// When pools with these delays start, so that they are launched one after another and at most `at_once` are held at any
/// time, when they are launched and when they are probed.
///
/// Greedy, in the order given; the result has one start for each delay, counted from the first.
pub fn starts(delays: &[Span], hold: Span, at_once: usize) -> Vec<Span> {
    let slot = hold.max(Span::from_millis(1));
    let mut held: Vec<Span> = Vec::new();
    let mut starts = Vec::with_capacity(delays.len());
    let mut next = Span::ZERO;
    for delay in delays {
        loop {
            let windows = [next, next + hold + *delay];
            let fits = windows.iter().all(|begin| {
                let overlaps = |other: &&Span| **other < *begin + hold && *begin < **other + hold;
                held.iter().filter(overlaps).count() < at_once.max(1)
            });
            if fits {
                held.extend(windows);
                break;
            }
            next += slot;
        }
        starts.push(next);
        next += slot;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    // A grid begins and ends at the range's ends, and grows by one factor.
    #[test]
    fn grids_cover_the_range() {
        let grid = geometric((Span::from_secs(1), Span::from_secs(16)), 5);
        assert_eq!(grid, [1, 2, 4, 8, 16].map(Span::from_secs));
    }

    // Steps within a bracket leave out its ends, which were tested before.
    #[test]
    fn steps_are_inside() {
        let bracket = (Span::from_secs(8), Span::from_secs(9));
        assert_eq!(inside(bracket, 3), [8_250, 8_500, 8_750].map(Span::from_millis));
    }

    // Gaps are filled from the widest, so that delays end up even.
    #[test]
    fn gaps_are_filled() {
        let limit = Span::from_secs(8);
        assert_eq!(in_gaps(&[], limit, 3), [4, 2, 6].map(Span::from_secs));
        let tried = [Span::from_secs(2), Span::from_secs(20)];
        assert_eq!(in_gaps(&tried, limit, 2), [5_000, 3_500].map(Span::from_millis));
    }

    // At no moment are more pools held than allowed, be it for launching or for probing.
    #[test]
    fn pools_stay_within_bounds() {
        let hold = Span::from_millis(400);
        let delays: Vec<Span> =
            (0..30).map(|i| Span::from_millis(9_000 - 1_500 * (i / 5))).collect();
        for at_once in [1, 2, 4, 10] {
            let starts = starts(&delays, hold, at_once);
            let begins: Vec<Span> = starts
                .iter()
                .zip(&delays)
                .flat_map(|(start, delay)| [*start, *start + hold + *delay])
                .collect();
            let held_at = |moment: Span| {
                begins.iter().filter(|b| **b <= moment && moment < **b + hold).count()
            };
            assert!(begins.iter().all(|begin| held_at(*begin) <= at_once), "{at_once}");
        }
    }
}
