//! The virtual driver of the scheduler: modelled hosts, in virtual time, from one seed.
//!
//! A [`Region`] carries out what [`scheduler::Scheduler`] decides, as the server does live, but on hosts
//! that are numbers: how long starts take, how busy instances share a CPU, a disk and a network, what they can read of
//! their host. [`block_on`] runs whoever measures it and jumps from event to event. The same seed and profile give the
//! same answers to the nanosecond. Deliberately knows nothing of experiments, nor of what they look for.

mod executor;

mod latency;
mod profile;

mod drive;
mod function;
mod host;
mod load;
mod pool;
mod region;
mod reveal;
mod run;
mod work;

mod call;
mod counts;
mod expected;

pub use call::{Answer, Call, PlatformReport, Reply};
pub use counts::{Answers, Counts, FirstRun, FunctionCounts, Updated};
pub use executor::{Deadlock, Step, block_on};
pub use expected::{Expected, Measure, Meeting, Party, Shared, Start, shared};
pub use function::{Creation, Refused, Update};
pub use latency::{FitError, Latency, Published};
pub use profile::{BUILT_IN, ChangeModel, HostType, Platform, Seen, built_in};
pub use region::Region;
pub use scheduler::nearest;
