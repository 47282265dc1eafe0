//! Idle survival: which instances were still there after how long, and the bracket of the limit.

use super::canvas::{self, Area, Axis, Key, Label, Shape, px};
use super::{DOTS_MOST, Drawing, Drawn, Plot, number, spread, truth};
use crate::metric::setting_number;
use crate::number::{self as form, Unit};
use analysis::Finding;
use maud::{Markup, html};
use record::{Outcome, Record};
use std::collections::BTreeMap;

/// Height of the two strips of single pairs above and below the curve, px.
const STRIP: f64 = 24.0;

/// One pair: idle time, s, and whether the same instance answered.
#[derive(Clone, Copy)]
struct Pair {
    idle_s: f64,
    alive: bool,
}

/// Alive fraction after a delay, with its interval.
struct Share {
    delay_s: f64,
    share: f64,
    low: f64,
    high: f64,
}

/// A limit with its bracket and truth, s.
struct Limit {
    words: &'static str,
    at: f64,
    low: f64,
    high: f64,
    truth: Option<f64>,
}

struct Idle {
    pairs: Vec<Pair>,
    shares: Vec<Share>,
    limits: Vec<Limit>,
    longest: f64,
}

/// None where neither pairs nor alive fractions are there.
pub(super) fn plot(findings: &[Finding], records: &[&Record]) -> Option<Plot> {
    let all = pairs(records);
    let pairs = spread(&all, DOTS_MOST);
    let shares = shares(findings);
    if pairs.is_empty() && shares.is_empty() {
        return None;
    }
    let limits: Vec<Limit> =
        [("idle.first_loss_s", "first loss"), ("idle.max_idle_s", "last survivor")]
            .into_iter()
            .filter_map(|(metric, words)| {
                limit(findings.iter().find(|f| f.metric == metric)?, words)
            })
            .collect();
    let times = pairs.iter().map(|p| p.idle_s).chain(shares.iter().map(|s| s.delay_s));
    let times = times.chain(limits.iter().map(|l| l.high.max(l.truth.unwrap_or(0.0))));
    let longest = times.filter(|t| t.is_finite()).fold(0.0, f64::max);
    Some(Plot {
        stem: "idle_survival".into(),
        title: "How long an idle instance stays".into(),
        description: format!("{} pairs of invocations: whether the instance of the first was still there for the second.", all.len()),
        caption: "Each dot above or below is one pair of invocations with that much silence between: above, the same instance \
                  answered; below, it was gone. The curve is the share still there with its interval; shaded bands are the \
                  brackets of the limits."
            .into(),
        drawing: Box::new(Idle { pairs, shares, limits, longest }),
    })
}

fn pairs(records: &[&Record]) -> Vec<Pair> {
    let mut by_function: BTreeMap<&str, (Option<&Record>, Option<&Record>)> = BTreeMap::new();
    for record in records.iter().filter(|r| r.outcome == Outcome::Ok && !r.instance.is_empty()) {
        let pair = by_function.entry(&record.function).or_default();
        match record.phase.as_str() {
            "first" => pair.0 = Some(record),
            "second" => pair.1 = Some(record),
            _ => {}
        }
    }
    let both = by_function.into_values().filter_map(|(first, second)| Some((first?, second?)));
    both.map(|(first, second)| Pair {
        idle_s: second.sent_ns.saturating_sub(first.received_ns) as f64 / 1e9,
        alive: first.instance == second.instance,
    })
    .collect()
}

fn shares(findings: &[Finding]) -> Vec<Share> {
    let mut shares: Vec<Share> = findings
        .iter()
        .filter(|f| f.metric == "idle.alive_fraction")
        .filter_map(|f| {
            let (low, high) = f.ci95.unwrap_or((None, None));
            let share = number(f)?;
            Some(Share {
                delay_s: setting_number(&f.setting, "delay_s")?,
                share,
                low: low.unwrap_or(0.0),
                high: high.unwrap_or(1.0),
            })
        })
        .collect();
    shares.sort_by(|a, b| a.delay_s.total_cmp(&b.delay_s));
    shares
}

fn limit(finding: &Finding, words: &'static str) -> Option<Limit> {
    let at = number(finding)?;
    let (low, high) = finding.ci95.unwrap_or((Some(at), Some(at)));
    Some(Limit {
        words,
        at,
        low: low.unwrap_or(at),
        high: high.unwrap_or(at),
        truth: truth(finding),
    })
}

impl Drawing for Idle {
    fn draw(&self, width: f64) -> Drawn {
        let mut keys = vec![
            Key { class: "s1".into(), shape: Shape::Dot, words: "still there".into() },
            Key { class: "s2".into(), shape: Shape::Dot, words: "gone".into() },
        ];
        if self.limits.iter().any(|l| l.truth.is_some()) {
            keys.push(Key { class: "mark".into(), shape: Shape::Line, words: "true limit".into() });
        }
        let (legend, top) = canvas::legend(&keys, width);
        let top = top + 44.0;
        let area = Area {
            left: 48.0,
            right: width - canvas::RIGHT,
            top,
            bottom: top + 2.0 * STRIP + 190.0,
        };
        let x = Axis::linear((0.0, canvas::round_up(self.longest)), (area.left, area.right));
        let inner = Area { top: area.top + STRIP, bottom: area.bottom - STRIP, ..area };
        let y = Axis::linear((0.0, 1.0), (inner.bottom, inner.top));
        let time = Unit::Time(1.0);
        let curve: Vec<(f64, f64)> =
            self.shares.iter().map(|s| (x.px(s.delay_s), y.px(s.share))).collect();
        let body = html! {
            (legend)
            @for limit in &self.limits { (band(limit, &x, area)) }
            (canvas::y_axis(inner, &y, &Label { unit: &Unit::Percent, name: "" }))
            (canvas::x_axis(area, &x, &Label { unit: &time, name: "idle time between two invocations" }))
            (canvas::line(&curve, "line s6"))
            @for (share, point) in self.shares.iter().zip(&curve) {
                (canvas::interval(point.0, (y.px(share.low), y.px(share.high)), "whisker s6"))
                (canvas::dot(*point, "s6", &format!("{} after {}", form::quantity(share.share, &Unit::Percent).text(), form::quantity(share.delay_s, &time).text())))
            }
            @for (i, pair) in self.pairs.iter().enumerate() {
                // Three lanes, so that neighbours can be told apart.
                @let lane = (i % 3) as f64 * 5.0;
                @let y = if pair.alive { area.top + 7.0 + lane } else { area.bottom - 17.0 + lane };
                circle class=(if pair.alive { "s1 half" } else { "s2 half" }) cx=(px(x.px(pair.idle_s))) cy=(px(y)) r="3" {}
            }
            (labels(&self.limits, &x, area))
        };
        Drawn { height: area.bottom + 44.0, body }
    }
}

fn band(limit: &Limit, x: &Axis, area: Area) -> Markup {
    let (left, right) = (x.px(limit.low), x.px(limit.high));
    html! {
        rect class="s5 soft" x=(px(left)) width=(px((right - left).max(2.0))) y=(px(area.top)) height=(px(area.bottom - area.top)) {}
        path class="whisker s5" d=(format!("M{} {}V{}", px(x.px(limit.at)), px(area.top), px(area.bottom))) {}
        @if let Some(truth) = limit.truth {
            path class="mark" d=(format!("M{} {}V{}", px(x.px(truth)), px(area.top), px(area.bottom))) {}
        }
    }
}

/// Names of the limits above the plot, in two lines where they would touch.
fn labels(limits: &[Limit], x: &Axis, area: Area) -> Markup {
    html! {
        @for (i, limit) in limits.iter().enumerate() {
            @let words = format!("{} {}", limit.words, form::quantity(limit.at, &Unit::Time(1.0)).text());
            @let half = words.chars().count() as f64 * canvas::CHARACTER / 2.0;
            @let at = x.px(limit.at).clamp(half, (area.right - half).max(half));
            text class="name mid" x=(px(at)) y=(px(area.top - 8.0 - (i % 2) as f64 * 17.0)) { (words) }
        }
    }
}
