//! The one brain of the platform: events and time in, actions out, and "wake me at".
//!
//! Owns placement, keep-alive, scaling, concurrency limits, versions, deadlines and billing. Deliberately holds no
//! clock, socket, thread, lock or unordered map, and never learns which driver it has.
//!
//! ```
//! use model::Time;
//! use scheduler::{Event, Profile, Scheduler};
//!
//! let mut scheduler = Scheduler::new(Profile::default(), 1);
//! scheduler.handle(Time::ZERO, Event::Timeout);
//! while let Some(action) = scheduler.poll_action() {
//!     println!("carry out {action:?}");
//! }
//! println!("come back at {:?}", scheduler.next_timeout());
//! ```

mod event;
mod profile;

mod capacity;
mod chain;
mod concurrency;
mod function;
mod habits;
mod host;
mod idleness;
mod instance;
mod invocation;
mod lanes;
mod line;
mod lots;
mod past;
mod provision;
mod rooms;
mod roster;
mod scheduler;
mod table;
mod timers;

pub mod policy;

mod action;
mod counters;
mod view;

pub use action::{Action, Rejection, StopReason};
pub use counters::Counters;
pub use event::{Epoch, Event, FunctionSettings, HostLoad};
pub use profile::{
    Billing, Cpu, CpuCeiling, CpuWeight, Events, Fault, Hosts, InitBilling, Limits, Prices,
    Profile, ProfileError, ProfileText, Reveal, Sharing, nearest,
};
pub use provision::{ProvisionStatus, Provisioned, Purpose};
pub use rooms::Owner;
pub use scheduler::Scheduler;
pub use view::{FunctionView, HostPhase, HostView, InstancePhase, InstanceView};
