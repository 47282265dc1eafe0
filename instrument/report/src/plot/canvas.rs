//! The primitives: axes with round ticks, legends, lines, steps, dots, intervals.

use crate::number::{self, Unit};
use maud::{Markup, html};
use std::fmt::Write;

/// Rough width of one character of a plot's 12 px text, px; errs on the wide side.
pub(super) const CHARACTER: f64 = 6.9;

/// Room that every plot leaves right of its area, px.
pub(super) const RIGHT: f64 = 14.0;

/// Number of colours for series.
pub(super) const SERIES: usize = 6;

/// The area that data are drawn in, px from the top left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
}

/// Maps numbers to pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// A linear axis from `low` to `high`; widened where the two are the same.
    pub(super) fn linear((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { scale: Scale::Linear, low, high, from, to }
    }

    /// A logarithmic axis that holds `low` to `high`, both positive, with some air.
    pub(super) fn log((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let low = low.max(f64::MIN_POSITIVE * 1e10).log10();
        let high = high.max(f64::MIN_POSITIVE * 1e10).log10();
        let air = ((high - low) * 0.03).max(0.05);
        Self { scale: Scale::Log, low: low - air, high: high + air, from, to }
    }

    /// Where `x` is drawn; numbers beyond the axis are drawn at its end.
    pub(super) fn px(&self, x: f64) -> f64 {
        let x = match self.scale {
            Scale::Log if x > 0.0 => x.log10(),
            Scale::Log => self.low,
            Scale::Linear => x,
        };
        let share = ((x - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + share * (self.to - self.from)
    }

    /// About `most` round numbers on the axis, ascending.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        match self.scale {
            Scale::Log => self.log_ticks(most),
            Scale::Linear => linear_ticks(self.low, self.high, most),
        }
    }

    fn log_ticks(&self, most: usize) -> Vec<f64> {
        let decades = (self.low.floor() as i32)..=(self.high.ceil() as i32);
        let all = |steps: &[f64]| -> Vec<f64> {
            let on_axis = |x: &f64| (self.low..=self.high).contains(&x.log10());
            let decade = |e: i32| steps.iter().map(move |step| step * 10f64.powi(e));
            decades.clone().flat_map(decade).filter(on_axis).collect()
        };
        let finest: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        let ticks = finest.iter().map(|steps| all(steps)).find(|ticks| ticks.len() <= most);
        ticks.unwrap_or_else(|| {
            let ticks = all(&[1.0]);
            let step = ticks.len().div_ceil(most.max(1));
            ticks.into_iter().step_by(step.max(1)).collect()
        })
    }
}

fn linear_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let rough = (high - low) / most.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power);
    let step = steps.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(10.0 * power);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last.min(first + 50)).map(|i| i as f64 * step).collect()
}

/// The least round number at or above `x`, as the end of an axis from 0.
pub(super) fn round_up(x: f64) -> f64 {
    if x <= 0.0 || !x.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(x.log10().floor());
    let steps = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|m| m * power).find(|y| *y >= x * 0.999_999).unwrap_or(10.0 * power)
}

/// What an axis says: unit of its numbers, and its name.
pub(super) struct Label<'a> {
    pub(super) unit: &'a Unit,
    pub(super) name: &'a str,
}

/// Grid, numbers and name of a horizontal axis below `area`. Takes 40 px there.
pub(super) fn x_axis(area: Area, axis: &Axis, label: &Label) -> Markup {
    let most = ((area.right - area.left) / 82.0).floor().max(2.0) as usize;
    html! {
        @for tick in axis.ticks(most) {
            path class="grid" d=(format!("M{} {}V{}", px(axis.px(tick)), px(area.top), px(area.bottom))) {}
            @let text = tick_text(tick, label.unit);
            // The last number ends where the picture does.
            @let most = area.right + RIGHT - text.chars().count() as f64 * CHARACTER / 2.0;
            text class="mid" x=(px(axis.px(tick).min(most))) y=(px(area.bottom + 17.0)) { (text) }
        }
        path class="base" d=(format!("M{} {}H{}", px(area.left), px(area.bottom), px(area.right))) {}
        text class="end" x=(px(area.right)) y=(px(area.bottom + 36.0)) { (label.name) }
    }
}

/// Grid, numbers and name of a vertical axis left of `area`; the name stands above it, level.
pub(super) fn y_axis(area: Area, axis: &Axis, label: &Label) -> Markup {
    let most = ((area.bottom - area.top) / 44.0).floor().max(2.0) as usize;
    html! {
        @for tick in axis.ticks(most) {
            path class="grid" d=(format!("M{} {}H{}", px(area.left), px(axis.px(tick)), px(area.right))) {}
            text class="end" x=(px(area.left - 8.0)) y=(px(axis.px(tick) + 4.0)) { (tick_text(tick, label.unit)) }
        }
        text x="0" y=(px(area.top - 12.0)) { (label.name) }
    }
}

fn tick_text(tick: f64, unit: &Unit) -> String {
    if tick == 0.0 { "0".into() } else { number::quantity(tick, unit).text() }
}

/// One entry of a legend: classes of its swatch, and its words.
pub(super) struct Key {
    pub(super) class: String,
    pub(super) shape: Shape,
    pub(super) words: String,
}

/// Shape of a swatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Line,
    Dot,
    Square,
}

/// A legend in lines of at most `width` px, and its height, px.
pub(super) fn legend(keys: &[Key], width: f64) -> (Markup, f64) {
    let mut places = Vec::with_capacity(keys.len());
    let (mut x, mut y) = (0.0, 0.0);
    for key in keys {
        let wide = 26.0 + key.words.chars().count() as f64 * CHARACTER + 14.0;
        if x > 0.0 && x + wide - 14.0 > width {
            (x, y) = (0.0, y + 20.0);
        }
        places.push((x, y));
        x += wide;
    }
    let body = html! {
        @for (key, (x, y)) in keys.iter().zip(&places) {
            @let (x, y) = (*x, *y + 10.0);
            @match key.shape {
                Shape::Line => { path class=(key.class) d=(format!("M{} {}h18", px(x), px(y))) {} }
                Shape::Dot => { circle class=(key.class) cx=(px(x + 9.0)) cy=(px(y)) r="4.5" {} }
                Shape::Square => { rect class=(key.class) x=(px(x + 4.0)) y=(px(y - 5.0)) width="10" height="10" rx="2" {} }
            }
            text class="strong" x=(px(x + 25.0)) y=(px(y + 4.0)) { (key.words) }
        }
    };
    (body, if keys.is_empty() { 0.0 } else { y + 28.0 })
}

/// A line through points in pixels; empty for none.
pub(super) fn line(points: &[(f64, f64)], class: &str) -> Markup {
    let mut d = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        // Writing into a String cannot fail.
        let _ = write!(d, "{}{} {}", if i == 0 { "M" } else { "L" }, px(*x), px(*y));
    }
    html! { @if !d.is_empty() { path class=(class) d=(d) {} } }
}

/// A staircase through points in pixels: level until the next point's x, then straight to its y.
pub(super) fn steps(points: &[(f64, f64)], class: &str) -> Markup {
    let mut d = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        // Writing into a String cannot fail.
        let _ = match i {
            0 => write!(d, "M{} {}", px(*x), px(*y)),
            _ => write!(d, "H{}V{}", px(*x), px(*y)),
        };
    }
    html! { @if !d.is_empty() { path class=(class) d=(d) {} } }
}

/// A dot with words that appear when it is pointed at.
pub(super) fn dot((x, y): (f64, f64), class: &str, words: &str) -> Markup {
    html! { circle class=(class) cx=(px(x)) cy=(px(y)) r="4.5" { title { (words) } } }
}

/// A vertical interval with caps at `x`, from `low` to `high` px.
pub(super) fn interval(x: f64, (low, high): (f64, f64), class: &str) -> Markup {
    let (low, high) = (px(low), px(high));
    let (left, right) = (px(x - 4.0), px(x + 4.0));
    let d = format!("M{left} {low}H{right}M{left} {high}H{right}M{} {low}V{high}", px(x));
    html! { path class=(class) d=(d) {} }
}

/// Class of the series with this number, from 0.
pub(super) fn series(i: usize) -> String {
    format!("s{}", i % SERIES + 1)
}

/// A coordinate with one decimal where it needs it.
pub(super) fn px(x: f64) -> String {
    let text = format!("{x:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// Text cut to about `width` px.
pub(super) fn fit(text: &str, width: f64) -> String {
    let most = (width / CHARACTER).floor().max(2.0) as usize;
    if text.chars().count() <= most {
        return text.into();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks are round, inside the axis, and few.
    #[test]
    fn ticks_are_round() {
        assert_eq!(
            Axis::linear((0.0, 100.0), (0.0, 1.0)).ticks(5),
            [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
        );
        let log = Axis::log((0.5, 700.0), (0.0, 1.0)).ticks(5);
        assert_eq!(log, [1.0, 10.0, 100.0]);
        assert!(Axis::log((1e-300, 1e300), (0.0, 1.0)).ticks(6).len() <= 6);
    }

    /// Numbers beyond an axis, and zero on a logarithmic one, stay in the picture.
    #[test]
    fn everything_is_on_the_axis() {
        let axis = Axis::log((1.0, 10.0), (40.0, 140.0));
        for x in [-1.0, 0.0, 1e-9, 5.0, 1e9] {
            assert!((40.0..=140.0).contains(&axis.px(x)));
        }
        assert!(Axis::linear((3.0, 3.0), (0.0, 1.0)).px(3.0).is_finite());
    }
}
