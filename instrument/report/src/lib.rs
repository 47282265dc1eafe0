//! Findings and records in, a page to look at out: HTML, SVG, CSV, JSON and a table for the terminal.
//!
//! Deliberately measures and estimates nothing: every number is in the findings, or counted in the records that are drawn.

mod draw;
mod facts;
mod metric;
mod number;
mod page;
mod plot;
mod row;
mod table;
mod terminal;
mod verdict;

pub use draw::{DrawError, INVOCATIONS_CSV_MOST, ReportPaths, draw, write_findings};
pub use facts::{ExperimentText, StudyFacts};
pub use plot::{Tradeoff, tradeoff_svg};
pub use terminal::terminal_table;
