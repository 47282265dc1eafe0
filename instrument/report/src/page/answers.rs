//! The answers: what was found, in words and big numbers, before anything else.

mod tenancy;

use super::answer::{Answer, Figure, capital};
use crate::metric::{self, setting_number};
use crate::number::{self, Unit};
use crate::row;
use crate::verdict::Verdict;
use analysis::{Finding, Findings, Value};
use maud::{Markup, html};

/// Relative difference up to which shares per MiB count as the same: proportional to memory.
const PROPORTIONAL: f64 = 0.1;

/// The section of answers, with how many of them agree with the declared truth.
pub(super) fn section(findings: &Findings) -> Markup {
    let answers = answers(&findings.findings);
    html! {
        section id="answers" class="answers" aria-labelledby="answers-head" {
            h2 id="answers-head" { "What we found" }
            @if answers.is_empty() {
                p class="nothing" { "Nothing could be found in this study. The problems below say why." }
            }
            div class="grid" { @for answer in &answers { (answer.card()) } }
            (score(&findings.findings))
        }
    }
}

/// All answers, in the order of the page.
fn answers(findings: &[Finding]) -> Vec<Answer> {
    let chosen = row::answers(findings);
    let mut answers: Vec<Answer> = [
        latency(&chosen, "coldstart.latency_ms.p50", "Cold start"),
        latency(&chosen, "warmstart.latency_ms.p50", "Warm start"),
        scaling(&chosen),
        exposure(&chosen, findings),
        identity(&chosen),
        placement(&chosen),
        idle(&chosen),
        cpu(&chosen, findings),
    ]
    .into_iter()
    .flatten()
    .collect();
    answers.extend(tenancy::answers(&chosen));
    let composed = |metric: &str| COMPOSED.contains(&metric) || tenancy::COMPOSED.contains(&metric);
    let others = chosen.iter().filter(|f| !composed(&f.metric));
    answers.extend(others.map(|finding| other(finding)));
    answers
}

/// Metrics that an answer above takes up; others get a card of their own.
const COMPOSED: [&str; 14] = [
    "coldstart.latency_ms.p50",
    "warmstart.latency_ms.p50",
    "scaling.max_concurrent_instances",
    "scaling.requests_per_instance",
    "placement.policy",
    "placement.max_colevel",
    "placement.host_memory_mib",
    "idle.policy",
    "idle.max_idle_s",
    "idle.first_loss_s",
    "idle.halving_interval_s",
    "cpu.share",
    "exposure.count",
    "identity.host_id_source",
];

fn all<'a>(chosen: &[&'a Finding], metric: &str) -> Vec<&'a Finding> {
    chosen.iter().copied().filter(|f| f.metric == metric).collect()
}

fn one<'a>(chosen: &[&'a Finding], metric: &str) -> Option<&'a Finding> {
    chosen.iter().copied().find(|f| f.metric == metric)
}

fn word_of(finding: &Finding) -> &str {
    match &finding.value {
        Value::Word(word) => word,
        _ => "",
    }
}

fn latency(chosen: &[&Finding], metric: &str, topic: &str) -> Option<Answer> {
    let own = all(chosen, metric);
    let first = own.first()?;
    let memory = setting_number(&first.setting, "memory_mib");
    let same = own.iter().all(|f| setting_number(&f.setting, "memory_mib") == memory);
    let caption = |f: &&Finding| {
        let runtime = f.setting.get("runtime").map(metric::setting_text).unwrap_or_default();
        if same { metric::runtime(&runtime).to_string() } else { metric::setting(&f.setting) }
    };
    let size = match memory.filter(|_| same) {
        Some(memory) => format!(", with {}", number::quantity(memory, &Unit::Mib).text()),
        None => String::new(),
    };
    let kind = if topic.starts_with("Cold") {
        "when an instance has to be made"
    } else {
        "when an instance is waiting"
    };
    Some(Answer {
        topic: topic.into(),
        experiment: first.experiment.clone(),
        figures: own.iter().map(|f| Figure::of(f, caption(f))).collect(),
        words: format!("Median time from send to the function’s first line {kind}{size}."),
    })
}

fn scaling(chosen: &[&Finding]) -> Option<Answer> {
    let most = one(chosen, "scaling.max_concurrent_instances");
    let each = one(chosen, "scaling.requests_per_instance");
    let finding = most.or(each)?;
    let words = match (each.map(|f| &f.value), most) {
        (Some(Value::Number(n)), Some(_)) if (*n - 1.0).abs() < 1e-9 => {
            "One instance for each concurrent request: this many ran at one instant for one function."
        }
        (_, Some(_)) => "The most instances of one function that ran at one instant.",
        (_, None) => "Requests that one instance serves at once.",
    };
    let unit = if most.is_some() { "instances" } else { "requests" };
    Some(Answer {
        topic: "Scaling".into(),
        experiment: finding.experiment.clone(),
        figures: vec![figure_with_unit(finding, "at once", unit)],
        words: words.into(),
    })
}

fn figure_with_unit(finding: &Finding, caption: &str, unit: &str) -> Figure {
    let figure = Figure::of(finding, caption);
    if matches!(finding.value, Value::Number(_)) { figure.with_unit(unit) } else { figure }
}

fn placement(chosen: &[&Finding]) -> Option<Answer> {
    let policy = one(chosen, "placement.policy");
    let colevel = one(chosen, "placement.max_colevel");
    let memory = one(chosen, "placement.host_memory_mib");
    let finding = policy.or(colevel).or(memory)?;
    let words = match policy.map(word_of) {
        Some("bin_pack") => {
            "New instances fill the hosts that are in use before another one is taken."
        }
        Some("spread") => "New instances are spread evenly over hosts.",
        Some("random") => "New instances go to hosts at random.",
        Some("one_per_host") => "Each instance has a host to itself.",
        _ => "How a host is chosen for a new instance could not be told.",
    };
    let mut figures: Vec<Figure> = policy.into_iter().map(|f| Figure::of(f, "")).collect();
    if let Some(finding) = colevel {
        let caption = match metric::setting(&finding.setting) {
            setting if setting.is_empty() => "share a host".into(),
            setting => format!("of {setting} share a host"),
        };
        figures.push(figure_with_unit(finding, &caption, "instances"));
    }
    figures.extend(memory.map(|f| Figure::of(f, "of a host go to instances")));
    Some(Answer {
        topic: "Placement".into(),
        experiment: finding.experiment.clone(),
        figures,
        words: words.into(),
    })
}

fn idle(chosen: &[&Finding]) -> Option<Answer> {
    let policy = one(chosen, "idle.policy");
    let halving = one(chosen, "idle.halving_interval_s").filter(|f| f.value != Value::Null);
    let mut limits = all(chosen, "idle.max_idle_s");
    if limits.is_empty() {
        limits = all(chosen, "idle.first_loss_s");
    }
    let finding = limits.first().copied().or(halving).or(policy)?;
    let mut figures: Vec<Figure> = Vec::new();
    figures.extend(halving.map(|f| Figure::of(f, "half of a pool goes")));
    let several = limits.len() > 1;
    figures.extend(limits.iter().map(|f| {
        let words = if f.metric == "idle.max_idle_s" { "the last go" } else { "the first go" };
        match metric::setting(&f.setting) {
            setting if several => Figure::of(f, format!("{words} ({setting})")),
            _ => Figure::of(f, words),
        }
    }));
    if figures.is_empty() {
        figures.extend(policy.map(|f| Figure::of(f, "")));
    }
    let words = match policy.map(word_of) {
        Some("halving") => {
            "Idle instances go by halves: every interval half of a pool, until the last go."
        }
        Some("fixed") => "Every idle instance is kept for the same fixed time.",
        Some("random") => "Idle instances go at random times.",
        Some("memory_pressure") => "Idle instances go when their memory is needed.",
        Some("adaptive") => "The time for which idle instances are kept follows how they are used.",
        Some("none") => "Idle instances were never taken away while we watched.",
        _ => "How long an instance without work is kept.",
    };
    Some(Answer {
        topic: "Idle instances".into(),
        experiment: finding.experiment.clone(),
        figures,
        words: words.into(),
    })
}

fn cpu(chosen: &[&Finding], findings: &[Finding]) -> Option<Answer> {
    let own = all(chosen, "cpu.share");
    let first = own.first()?;
    let words = if is_proportional(findings) {
        "CPU time per second that one instance gets alone, in proportion to its memory."
    } else {
        "CPU time per second that one instance gets alone."
    };
    Some(Answer {
        topic: "CPU share".into(),
        experiment: first.experiment.clone(),
        figures: own.iter().map(|f| Figure::of(f, metric::setting(&f.setting))).collect(),
        words: words.into(),
    })
}

/// Whether all shares per MiB lie within [`PROPORTIONAL`] of each other, over at least three sizes.
fn is_proportional(findings: &[Finding]) -> bool {
    let shares = findings.iter().filter(|f| f.metric == "cpu.share");
    let per_mib: Vec<f64> = shares
        .filter_map(|f| match f.value {
            Value::Number(share) => Some(share / setting_number(&f.setting, "memory_mib")?),
            _ => None,
        })
        .collect();
    let least = per_mib.iter().copied().fold(f64::INFINITY, f64::min);
    let most = per_mib.iter().copied().fold(0.0, f64::max);
    per_mib.len() >= 3 && least > 0.0 && most <= least * (1.0 + PROPORTIONAL)
}

fn exposure(chosen: &[&Finding], findings: &[Finding]) -> Option<Answer> {
    let own = all(chosen, "exposure.count");
    let first = own.first()?;
    let mut items: Vec<String> = findings
        .iter()
        .filter(|f| f.metric == "exposure.item")
        .filter_map(|f| f.setting.get("item").map(metric::setting_text))
        .collect();
    items.sort_unstable();
    items.dedup();
    let unit = if items.is_empty() { "items".into() } else { format!("of {} items", items.len()) };
    let figure = |f: &&Finding| figure_with_unit(f, &metric::setting(&f.setting), &unit);
    Some(Answer {
        topic: "What the host shows".into(),
        experiment: first.experiment.clone(),
        figures: own.iter().map(figure).collect(),
        words: "Files, variables and devices that tell a function something about the machine under it.".into(),
    })
}

fn identity(chosen: &[&Finding]) -> Option<Answer> {
    let finding = one(chosen, "identity.host_id_source")?;
    let hidden = word_of(finding) == "none";
    let figure = Figure::of(finding, if hidden { "" } else { "names the host" });
    let words = if hidden {
        "Nothing that a function can read names its host, so what depends on hosts could not be measured."
    } else {
        "By this, instances on the same host can be told from those on another."
    };
    Some(Answer {
        topic: "Names of hosts".into(),
        experiment: finding.experiment.clone(),
        figures: vec![figure],
        words: words.into(),
    })
}

fn other(finding: &Finding) -> Answer {
    let setting = metric::setting(&finding.setting);
    Answer {
        topic: capital(finding.metric.split('.').next().unwrap_or_default()),
        experiment: finding.experiment.clone(),
        figures: vec![Figure::of(finding, setting)],
        words: format!("{}.", metric::words(&finding.metric)),
    }
}

/// How many findings agree with what the target declares, one small mark each.
fn score(findings: &[Finding]) -> Markup {
    let mut verdicts: Vec<(Verdict, &Finding)> =
        findings.iter().filter_map(|f| Some((Verdict::of(f)?, f))).collect();
    verdicts.sort_by_key(|(verdict, finding)| (*verdict, metric::order(&finding.metric)));
    let how_many = |verdict: Verdict| verdicts.iter().filter(|(v, _)| *v == verdict).count();
    let parts: Vec<String> = [Verdict::Agrees, Verdict::Close, Verdict::Differs, Verdict::Open]
        .into_iter()
        .filter(|verdict| how_many(*verdict) > 0)
        .map(|v| format!("{} {} {}", number::count(how_many(v) as u64), v.sign(), v.words()))
        .collect();
    html! {
        @if !verdicts.is_empty() {
            div class="score" {
                h3 { "Found against true" }
                p {
                    "This target declares how it works, so the instrument can be checked on it. The experiments never see the "
                    "declaration. Of " (number::count(verdicts.len() as u64)) " findings with a known truth: " (parts.join(", ")) "."
                }
                p class="strip" aria-hidden="true" {
                    @for (verdict, finding) in &verdicts {
                        span class=(format!("tile {}", verdict.class())) title=(metric::words(&finding.metric)) { (verdict.sign()) }
                    }
                }
            }
        }
    }
}
