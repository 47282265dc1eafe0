//! When schedules are due: the expressions `rate(…)`, `cron(…)` and `at(…)`, and a table of what comes next.
//!
//! Words, fields and their meaning are those of Amazon EventBridge (user guides of EventBridge and EventBridge Scheduler,
//! 2026-11). Deliberately holds no clock, and knows nothing of what a schedule starts.
//!
//! ```
//! use jiff::{Timestamp, tz::TimeZone};
//! use timetable::Expression;
//!
//! let noon: Expression = "cron(0 12 ? * MON-FRI *)".parse().expect("a weekday's noon");
//! let sunday: Timestamp = "2026-11-29T08:00:00Z".parse().expect("a time");
//! let next = noon.next_after(sunday, &TimeZone::UTC).expect("noon comes again");
//! assert_eq!(next.to_string(), "2026-11-30T12:00:00Z");
//! ```

mod cron;
mod expression;
mod field;
mod schedule;
mod table;

pub use cron::Cron;
pub use expression::{Expression, ExpressionError, Rate};
pub use schedule::{Begin, Schedule};
pub use table::{Tick, Timetable};
