//! The brain of asynchronous invocation: which event is taken in, run, retried, given up, and when.
//!
//! An event is offered, stored by the driver, run until it succeeds or may not be run again, and finished. Of each event
//! the queue holds a number, times and sizes, in a bounded window; payloads stay in the store. Deliberately holds no
//! clock, socket, thread, lock or unordered map, and knows nothing of functions but that events of one lane are of one
//! function.
//!
//! ```
//! use model::{Span, Time};
//! use queue::{Event, EventId, Lane, Limits, Offer, Patience, Queue};
//!
//! let mut queue = Queue::new(Limits::default());
//! let patience = Patience { retries: 2, age: Span::from_secs(6 * 3600) };
//! let offer = Offer { event: EventId(1), lane: Lane(1), bytes: 2, patience };
//! queue.handle(Time::ZERO, Event::Offered(offer));
//! while let Some(action) = queue.poll_action() {
//!     println!("carry out {action:?}");
//! }
//! println!("come back at {:?}", queue.next_timeout());
//! ```

mod action;
mod event;
mod lane;
mod limits;
mod queue;

pub use action::{Action, Condition, Refusal};
pub use event::{Event, EventId, Held, Lane, Offer, Outcome, Patience};
pub use limits::Limits;
pub use queue::Queue;
