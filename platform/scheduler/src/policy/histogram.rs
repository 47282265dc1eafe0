//! Keep-alive that learns when each function is invoked again.

use super::{Idling, Keep, Moment};
use model::{Span, Time};

/// Bins of a function's histogram: four hours of minutes (Shahrad et al., ATC'20, 4.2).
const BINS: u64 = 240;
/// Percentile of idle times before which an instance is not needed (the same).
const HEAD: f64 = 0.05;
/// Percentile after which it is not waited for (the same).
const TAIL: f64 = 0.99;
/// By how much the window is opened at both ends (the same).
const MARGIN: f64 = 0.1;
/// Coefficient of variation of the bins' counts from which a histogram has a shape (the same).
const SHAPE: f64 = 2.0;
/// Idle times before a histogram is believed. Choice: the paper gives no figure, and 5 % of fewer than ten is none.
const LEAST: u32 = 10;

/// The policy of Shahrad et al. (USENIX ATC 2020, section 4.2). Per function, the times for which it was idle (from the end of
/// its last invocation in flight to the next one) are counted in 240 bins of `bin`. After an invocation its instances go
/// until the 5th percentile, less 10 %, has passed: then one is started ahead, and kept until the 99th percentile and 10 %
/// more. Where the 5th percentile is in the first bin, instances stay. A histogram without a shape (coefficient of variation
/// of its bins below 2), of fewer than ten times, or most of whose times are beyond its range, is not believed: instances
/// are kept for `limit`. The paper predicts the last kind from a time series; here `limit` serves it as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Width of a bin, more than zero; a minute in the paper.
    pub bin: Span,
    /// How long instances of other functions are kept, more than zero; the histogram's range, four hours, in the paper.
    pub limit: Span,
}

/// The idle times of one function.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habit {
    /// Bins that are not empty, in order, with their counts.
    bins: Vec<(u8, u32)>,
    inside: u32,
    beyond: u32,
    /// Sum of the squares of the counts.
    squares: u64,
}

/// When the instances of a function are wanted, from the end of its last invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// When one is started ahead; zero where they stay.
    pub(crate) ahead: Span,
    /// Until when it is kept.
    pub(crate) keep: Span,
}

impl Histogram {
    /// Counts one more idle time.
    pub(crate) fn note(&self, habit: &mut Habit, idle: Span) {
        let bin = idle.as_nanos() / self.bin.as_nanos().max(1);
        if bin >= BINS {
            habit.beyond = habit.beyond.saturating_add(1);
            return;
        }
        let bin = bin as u8;
        let index = habit.bins.partition_point(|&(other, _)| other < bin);
        match habit.bins.get_mut(index) {
            Some((other, count)) if *other == bin => *count = count.saturating_add(1),
            _ => habit.bins.insert(index, (bin, 1)),
        }
        habit.squares += 2 * u64::from(habit.bins[index].1) - 1;
        habit.inside = habit.inside.saturating_add(1);
    }

    /// What follows from the idle times so far.
    pub(crate) fn windows(&self, habit: &Habit) -> Windows {
        if !habit.is_telling() {
            return Windows { ahead: Span::ZERO, keep: self.limit };
        }
        let times = |bins: f64| Span::from_secs_f64(self.bin.as_secs_f64() * bins);
        Windows {
            ahead: times(f64::from(habit.percentile(HEAD)) * (1.0 - MARGIN)),
            keep: times((f64::from(habit.percentile(TAIL)) + 1.0) * (1.0 + MARGIN)),
        }
    }
}

impl Habit {
    fn is_telling(&self) -> bool {
        let n = f64::from(self.inside);
        let variation = (BINS as f64 * self.squares as f64 / (n * n) - 1.0).max(0.0).sqrt();
        self.inside >= LEAST && self.beyond <= self.inside && variation >= SHAPE
    }

    /// The bin in which this part of the times has been counted.
    fn percentile(&self, part: f64) -> u8 {
        let wanted = (f64::from(self.inside) * part).ceil() as u32;
        let mut counted = 0;
        let reached = |&&(_, count): &&(u8, u32)| {
            counted += count;
            counted >= wanted
        };
        self.bins.iter().find(reached).or(self.bins.last()).map_or(0, |&(bin, _)| bin)
    }
}

impl Keep for Histogram {
    fn until(&self, it: &Idling) -> Time {
        let windows = it.windows.unwrap_or(Windows { ahead: Span::ZERO, keep: self.limit });
        match it.moment {
            Moment::Ahead => it.now + (windows.keep - windows.ahead),
            Moment::Quiet if windows.ahead > Span::ZERO => it.now,
            Moment::Quiet | Moment::Busy => it.now + windows.keep,
        }
    }

    fn longest(&self) -> Option<Span> {
        let range = Span::from_secs_f64(self.bin.as_secs_f64() * BINS as f64 * (1.0 + MARGIN));
        Some(self.limit.max(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Histogram =
        Histogram { bin: Span::from_secs(60), limit: Span::from_secs(14_400) };

    fn after(times_s: &[u64]) -> Windows {
        let mut habit = Habit::default();
        times_s.iter().for_each(|&idle| POLICY.note(&mut habit, Span::from_secs(idle)));
        POLICY.windows(&habit)
    }

    // A function that comes every half hour is started ahead at 0.9 x 30 min and kept to 1.1 x 31 min.
    #[test]
    fn regular_functions_are_started_ahead() {
        let windows = after(&[1_805; 20]);
        assert_eq!(windows.ahead, Span::from_secs(30 * 54));
        assert_eq!(windows.keep, Span::from_secs(31 * 66));
    }

    // Percentiles are taken over the counts, and what returns within a minute stays.
    #[test]
    fn windows_are_percentiles() {
        let mut times = vec![30; 10];
        times.extend([3_605; 90]);
        times.push(6_000);
        let windows = after(&times);
        assert_eq!((windows.ahead, windows.keep), (Span::ZERO, Span::from_secs(61 * 66)));
    }

    // Few times, times without a shape and times beyond the range leave the fallback.
    #[test]
    fn what_does_not_tell_is_not_believed() {
        let fallback = Windows { ahead: Span::ZERO, keep: POLICY.limit };
        assert_eq!(after(&[1_805; 9]), fallback);
        let even: Vec<u64> = (0..240).map(|minute| minute * 60).collect();
        assert_eq!(after(&even), fallback);
        let mut beyond = vec![1_805; 20];
        beyond.extend([20_000; 21]);
        assert_eq!(after(&beyond), fallback);
    }
}
