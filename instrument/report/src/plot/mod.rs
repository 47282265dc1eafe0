//! Plots as SVG, one file per kind, on a handful of primitives of our own.
//!
//! Each plot is drawn twice, wide and narrow, so that its text has the same size on a desk, on a phone and on paper. Colours are
//! classes with a light and a dark value, so a plot follows the reader's scheme inside the page and as a file of its own.
//! Deliberately estimates nothing: intervals and truths come from findings, distributions and counts from records.

mod boxes;
mod canvas;
mod consistency;
mod cpu;
mod ecdf;
mod exposure;
mod hosts;
mod idle;
mod latency;
mod lifetime;
mod map;
mod pool;
mod scaling;
mod source;
mod style;
mod tradeoff;

pub use tradeoff::{Tradeoff, tradeoff_svg};

pub(crate) use style::{DARK, LIGHT, Palette, sheet};

use analysis::{Finding, Findings};
use maud::{Markup, PreEscaped, html};
use record::Record;

/// Width of a plot on a desk and on paper, px.
const WIDE: f64 = 820.0;

/// Width of a plot on a phone, px.
const NARROW: f64 = 344.0;

/// What draws itself at any width.
trait Drawing {
    /// The plot's content at `width` px.
    fn draw(&self, width: f64) -> Drawn;
}

/// Content of an SVG and how high it became, px.
struct Drawn {
    height: f64,
    body: Markup,
}

/// One plot with its words.
pub(crate) struct Plot {
    /// Name of its file, and prefix of its ids.
    pub(crate) stem: String,
    /// What it shows, as a headline.
    pub(crate) title: String,
    /// What a reader who cannot see it should know.
    pub(crate) description: String,
    /// How to read it, below it.
    pub(crate) caption: String,
    drawing: Box<dyn Drawing>,
}

impl Plot {
    /// Both widths, for the page; its style sheet shows the one that fits.
    pub(crate) fn inline(&self) -> Markup {
        html! {
            (self.svg(WIDE, "wide"))
            (self.svg(NARROW, "narrow"))
        }
    }

    /// A file of its own, with its colours, that browsers and drawing programs show alike.
    pub(crate) fn file(&self) -> String {
        let drawn = self.drawing.draw(WIDE);
        let (width, height) = (WIDE + 48.0, drawn.height + 84.0);
        let body = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height)
                viewBox=(format!("0 0 {width} {height}")) role="img" class="plot" {
                title { (self.title) }
                desc { (self.description) }
                style { (PreEscaped(sheet())) }
                rect class="paper" width=(width) height=(height) {}
                text class="head" x="24" y="36" { (self.title) }
                g transform="translate(24 60)" { (drawn.body) }
            }
        };
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n", body.into_string())
    }

    fn svg(&self, width: f64, size: &str) -> Markup {
        let drawn = self.drawing.draw(width);
        let id = |part: &str| format!("{}-{size}-{part}", self.stem);
        html! {
            svg class=(format!("plot {size}")) viewBox=(format!("0 0 {width} {:.0}", drawn.height))
                role="img" aria-labelledby=(format!("{} {}", id("title"), id("desc"))) {
                title id=(id("title")) { (self.title) }
                desc id=(id("desc")) { (self.description) }
                (drawn.body)
            }
        }
    }
}

/// The plots of one experiment: those for which findings or records hold enough.
pub(crate) fn of_experiment(
    experiment: &str,
    findings: &Findings,
    records: &[Record],
) -> Vec<Plot> {
    let own: Vec<&Record> = records.iter().filter(|r| r.experiment == experiment).collect();
    let found = &findings.findings;
    let plots = match experiment {
        "identity" => vec![source::plot(&own, host_source(found))],
        "isolation" => vec![map::meetings(&own, host_source(found))],
        "hosts" => vec![hosts::plot(found)],
        "exposure" => vec![exposure::plot(found, &own)],
        "coldstart" => vec![ecdf::plot(&own), boxes::plot(&own)],
        "scaling" => vec![scaling::instances(found, &own), scaling::ramp(&own)],
        "placement" => map::plots(&own, host_source(found)),
        "idle" => vec![idle::plot(found, &own), pool::plot(found, &own)],
        "cpu" => vec![cpu::by_memory(found, &own), cpu::by_colevel(found)],
        "lifetime" => vec![lifetime::plot(&own)],
        "consistency" => vec![consistency::plot(found, &own)],
        _ => Vec::new(),
    };
    plots.into_iter().flatten().collect()
}

/// The source of host ids that the identity analysis found; None where hosts have no names.
fn host_source(findings: &[Finding]) -> Option<&str> {
    let word = findings.iter().find(|f| f.metric == "identity.host_id_source")?;
    match &word.value {
        analysis::Value::Word(word)
            if !matches!(word.as_str(), "none" | "unknown" | "io_side_channel") =>
        {
            Some(word)
        }
        _ => None,
    }
}

/// The number of a finding; None for words and nulls.
fn number(finding: &Finding) -> Option<f64> {
    match finding.value {
        analysis::Value::Number(x) if x.is_finite() => Some(x),
        _ => None,
    }
}

/// The declared truth of a finding as a number.
fn truth(finding: &Finding) -> Option<f64> {
    match finding.truth {
        Some(analysis::Value::Number(x)) if x.is_finite() => Some(x),
        _ => None,
    }
}

/// A memory size in words.
fn mib(memory: u32) -> String {
    crate::number::quantity(f64::from(memory), &crate::number::Unit::Mib).text()
}

/// A record's setting as a number.
fn setting(record: &Record, key: &str) -> Option<f64> {
    record.setting.get(key)?.parse().ok().filter(|x: &f64| x.is_finite())
}

/// Dots of single invocations or pairs that a plot draws at most; more would hide each other and bloat the page.
const DOTS_MOST: usize = 800;

/// At most `most` of `all`, evenly spread, the last always among them.
fn spread<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    if all.len() <= most || most == 0 {
        return all.to_vec();
    }
    (1..=most).map(|i| all[i * all.len() / most - 1]).collect()
}
