//! A trace of invocations through the scheduler in virtual time: what a policy would have cost, and whom it kept waiting.
//!
//! Deliberately knows nothing of hosts beyond their memory: no CPU, disk or network is modelled, so that millions of
//! invocations take seconds. The decisions are those of the scheduler that runs live.

mod trace;

mod choice;
mod delay;

mod engine;
mod gauge;
mod sketch;

mod totals;

pub use choice::{Choice, ChoiceError};
pub use delay::{Delay, Timing};
pub use engine::Engine;
pub use totals::{ByFunction, Memory, Milliseconds, Totals};
pub use trace::{
    Arrival, AzureDays, Defaults, Facts, Functions, Problems, Source, Table, TraceError, open,
};

/// Invocations read ahead. Each touches about a dozen cache lines, and a second-level cache has 16,384 or so.
const AHEAD: usize = 128;

/// Runs every invocation of a trace through all engines, and says when the last one came.
///
/// Memory does not grow with the trace: it holds what is in flight, and some hundred bytes for each function.
///
/// # Errors
/// [`TraceError`], where a file cannot be read. Rows that say nothing sensible are no errors: they are in `problems`.
pub fn replay(
    source: &mut dyn Source,
    engines: &mut [Engine],
    problems: &mut Problems,
) -> Result<Functions, TraceError> {
    let mut functions = Functions::default();
    let mut last = model::Time::ZERO;
    let mut ahead = Vec::with_capacity(AHEAD);
    loop {
        while ahead.len() < AHEAD
            && let Some(arrival) = source.next(&mut functions, problems)?
        {
            ahead.push(arrival);
        }
        let Some(arrival) = ahead.last() else { break };
        last = arrival.at;
        for engine in engines.iter_mut() {
            // What they touch is in memory that the caches do not hold: it comes while others are worked on.
            engine.fetch(&ahead);
            ahead.iter().for_each(|arrival| engine.arrive(&functions, arrival));
        }
        ahead.clear();
    }
    for engine in engines.iter_mut() {
        engine.finish(last);
    }
    Ok(functions)
}
