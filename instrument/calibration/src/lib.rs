//! The score of the instrument: random platforms whose truth is known, every experiment blind on each, and each finding
//! judged by its class.
//!
//! Deliberately has no part in any analysis: truths are joined after the findings are made.

mod criterion;
mod draw;
mod judge;
mod label;
mod list;
mod plan;
mod score;
mod table;
mod verdict;

pub use criterion::{Class, class};
pub use draw::{Broken, Drawn, IdleDrawn, PlacementDrawn};
pub use judge::{Answer, Judged, Knowable, judge};
pub use label::{idle_word, knowable, placement_word, rule, tells_by_counters};
pub use list::list;
pub use plan::{largest_burst, plan};
pub use score::{Confused, Coverage, MetricScore, Score, Worst};
pub use verdict::Verdict;
