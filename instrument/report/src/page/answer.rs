//! One answer: a few big numbers, what they mean, how sure they are, and found against true.

use crate::metric;
use crate::number;
use crate::row::{self, Row};
use crate::verdict::Verdict;
use analysis::{Finding, Value};
use maud::{Markup, html};

/// A card among the answers.
pub(super) struct Answer {
    /// Its name, as in `Cold start`.
    pub(super) topic: String,
    /// Experiment whose section says more.
    pub(super) experiment: String,
    /// The big numbers.
    pub(super) figures: Vec<Figure>,
    /// One or two sentences.
    pub(super) words: String,
}

/// A big number or word.
pub(super) struct Figure {
    number: String,
    unit: String,
    caption: String,
    sure: String,
    mark: Option<(Verdict, String)>,
}

impl Figure {
    /// The finding as a big number, with a caption of the caller's.
    pub(super) fn of(finding: &Finding, caption: impl Into<String>) -> Self {
        let (number, unit) = match &finding.value {
            Value::Number(x) => {
                let quantity = number::headline(*x, &metric::unit(finding));
                (quantity.number, quantity.unit)
            }
            Value::Null => ("Not known".into(), String::new()),
            other => (capital(&row::value(finding, other)), String::new()),
        };
        let row = Row::of(finding);
        let mark = row.verdict.map(|verdict| (verdict, row.truth));
        let sure = if row.interval == row.found { String::new() } else { row.interval };
        Self { number, unit, caption: caption.into(), sure, mark }
    }

    /// The same with another unit beside the number.
    pub(super) fn with_unit(self, unit: impl Into<String>) -> Self {
        Self { unit: unit.into(), ..self }
    }
}

impl Answer {
    /// The card.
    pub(super) fn card(&self) -> Markup {
        let size = match self.figures.len() {
            0 | 1 => "answer",
            2 => "answer two",
            _ => "answer three",
        };
        html! {
            article class=(size) {
                h3 { a href=(format!("#{}", super::file_stem(&self.experiment))) { (self.topic) } }
                div class="figures" {
                    @for figure in &self.figures { (figure.markup()) }
                }
                p class="words" { (self.words) }
            }
        }
    }
}

impl Figure {
    fn markup(&self) -> Markup {
        let word = !self.number.starts_with(|c: char| c.is_ascii_digit());
        html! {
            div class="figure" {
                p class=(if word { "big word" } else { "big" }) {
                    (self.number)
                    @if !self.unit.is_empty() { span class="unit" { " " (self.unit) } }
                }
                @if !self.caption.is_empty() { p class="caption" { (self.caption) } }
                @if !self.sure.is_empty() {
                    p class="sure" {
                        // "At least" says by itself that it is a bound.
                        @if !self.sure.starts_with("at ") { "95 % interval " }
                        (self.sure)
                    }
                }
                @if let Some((verdict, truth)) = &self.mark { (mark(*verdict, truth)) }
            }
        }
    }
}

/// Found against true, as a sign and words.
pub(super) fn mark(verdict: Verdict, truth: &str) -> Markup {
    let words = match verdict {
        Verdict::Agrees => "true: ",
        Verdict::Close => "close to true: ",
        Verdict::Differs => "differs from true: ",
        Verdict::Open => "not found; true: ",
    };
    html! {
        p class=(format!("mark {}", verdict.class())) {
            span class="sign" aria-hidden="true" { (verdict.sign()) }
            span class="sr" { (verdict.words()) ", " }
            (words) (truth)
        }
    }
}

/// The text with its first letter large.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}
