//! The score: each metric over all profiles, against its criterion.
//!
//! Coverage is tested per metric against a binomial of 0.95, from both sides, or from below alone where intervals are
//! conservative, at a family-wise error of 1 % over all metrics (Holm, *Scandinavian Journal of Statistics* 6, 1979); of
//! each profile and metric one setting counts, chosen at random, so that trials are independent.

use crate::criterion::Class;
use crate::judge::{Answer, Judged, Knowable};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;
use statrs::distribution::{Binomial, DiscreteCDF};
use std::collections::BTreeMap;

/// What intervals promise.
const NOMINAL: f64 = 0.95;
/// Family-wise error of all tests of coverage.
const FAMILY: f64 = 0.01;
/// Share of words that may be unknown where they can be known.
const UNKNOWN_MAX: f64 = 0.05;

/// All metrics over all profiles.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Profiles.
    pub profiles: u64,
    /// Seed of the first one; the others follow.
    pub seed: u64,
    /// By name.
    pub metrics: Vec<MetricScore>,
    /// Coverage pooled over the metrics of one interval method, where the plan of the score tests both sides.
    pub methods: Vec<Coverage>,
    /// True words, and what was found instead, with counts.
    pub confusion: Vec<Confused>,
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricScore {
    /// Name.
    pub metric: String,
    /// Class of its criterion.
    pub class: &'static str,
    /// What a platform must be like for the metric to be known there, in words; empty where nothing is asked.
    pub rule: &'static str,
    /// Profiles in which it could be judged.
    pub profiles: u64,
    /// Findings, settings counted apart.
    pub findings: u64,
    /// Share of those that could be known, and were not.
    pub unknown: f64,
    /// Findings that were plainly wrong.
    pub wrong: u64,
    /// Median error over profiles, relative (absolute for class abs); None without numbers.
    pub error_median: Option<f64>,
    /// 95th percentile of it.
    pub error_p95: Option<f64>,
    /// Coverage of the intervals.
    pub coverage: Option<Coverage>,
    /// Median of half the intervals' widths, as errors are counted.
    pub half_width: Option<f64>,
    /// Where it was worst: the seed of the profile and the setting.
    pub worst: Option<Worst>,
    /// Whether its criterion is met.
    pub met: bool,
    /// What is not met, in words; empty where all is.
    pub unmet: Vec<String>,
}

/// How often intervals held the truth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Coverage {
    /// Metric or method.
    pub of: String,
    /// Intervals that held it.
    pub held: u64,
    /// Intervals.
    pub of_all: u64,
    /// Probability of so unusual a count by chance.
    pub p: f64,
    /// Whether it is accepted.
    pub accepted: bool,
}

/// The worst of a metric's findings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worst {
    /// Seed of its profile.
    pub seed: u64,
    /// Setting in words.
    pub setting: String,
    /// Its error.
    pub error: f64,
}

/// A true word, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Confused {
    /// Metric.
    pub metric: String,
    /// The truth.
    pub truth: String,
    /// What was found.
    pub found: String,
    /// How often.
    pub count: u64,
}

impl Score {
    /// Sums up what was judged over profiles with seeds from `seed` on.
    pub fn of(judged: &[Judged], profiles: u64, seed: u64) -> Self {
        let mut by_metric: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
        for one in judged {
            by_metric.entry(&one.metric).or_default().push(one);
        }
        let mut metrics: Vec<MetricScore> =
            by_metric.iter().map(|(metric, of_it)| MetricScore::of(metric, of_it)).collect();
        hold(&mut metrics);
        for metric in &mut metrics {
            metric.conclude();
        }
        Self { profiles, seed, metrics, methods: methods(judged), confusion: confusion(judged) }
    }

    /// Metrics whose criterion is not met.
    pub fn unmet(&self) -> impl Iterator<Item = &MetricScore> {
        self.metrics.iter().filter(|metric| !metric.met)
    }
}

impl MetricScore {
    fn of(metric: &str, judged: &[&Judged]) -> Self {
        let class = judged.first().map_or(Class::None, |one| one.class);
        let knowable: Vec<&Judged> =
            judged.iter().copied().filter(|one| one.knowable == Knowable::Yes).collect();
        let unknown = knowable.iter().filter(|one| matches!(one.answer, Answer::Unknown { .. }));
        let unknown = unknown.count() as f64 / (knowable.len().max(1)) as f64;
        let chosen = chosen(&knowable);
        let errors = ascending(chosen.iter().filter_map(|one| one.error()));
        let widths = ascending(chosen.iter().filter_map(|one| one.half_width()));
        let worst = knowable
            .iter()
            .filter_map(|one| Some((one.error()?, one)))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let mut seeds: Vec<u64> = judged.iter().map(|one| one.seed).collect();
        seeds.dedup();
        Self {
            metric: metric.to_owned(),
            class: class.name(),
            rule: crate::label::rule(metric),
            profiles: seeds.len() as u64,
            findings: judged.len() as u64,
            unknown,
            wrong: judged.iter().filter(|one| one.is_wrong()).count() as u64,
            error_median: quantile(&errors, 0.5),
            error_p95: quantile(&errors, 0.95),
            coverage: class.has_coverage().then(|| coverage(metric, class, &chosen)).flatten(),
            half_width: quantile(&widths, 0.5),
            worst: worst.map(|(error, one)| Worst {
                seed: one.seed,
                setting: one.setting.clone(),
                error,
            }),
            met: false,
            unmet: Vec::new(),
        }
    }

    /// Says what of the criterion is not met, once coverage has been judged over all metrics.
    fn conclude(&mut self) {
        let class = crate::criterion::class(&self.metric);
        if class == Class::None {
            self.met = true;
            return;
        }
        let mut unmet = Vec::new();
        if self.wrong > 0 {
            unmet.push(format!("{} of {} are wrong", self.wrong, self.findings));
        }
        let mut limit = |what: &str, found: Option<f64>, most: f64| {
            if let Some(found) = found.filter(|found| *found > most) {
                unmet.push(format!("{what} is {found:.3}, at most {most}"));
            }
        };
        match class {
            Class::Ratio { median, p95 } | Class::Clocked { median, p95 } => {
                limit("median error", self.error_median, median);
                limit("95th percentile of errors", self.error_p95, p95);
            }
            Class::Abs { p95 } => limit("95th percentile of errors", self.error_p95, p95),
            Class::Bracket { width: Some(width) } => {
                limit("median half-width", self.half_width, width / 2.0);
            }
            Class::Word => limit("share of unknown", Some(self.unknown), UNKNOWN_MAX),
            _ => {}
        }
        if let Some(coverage) = self.coverage.as_ref().filter(|coverage| !coverage.accepted) {
            unmet
                .push(format!("{} of {} intervals hold the truth", coverage.held, coverage.of_all));
        }
        self.met = unmet.is_empty();
        self.unmet = unmet;
    }
}

/// Of each profile one finding, at random by the profile's seed, so that the same score comes out again.
fn chosen<'a>(judged: &[&'a Judged]) -> Vec<&'a Judged> {
    let mut by_seed: BTreeMap<u64, Vec<&Judged>> = BTreeMap::new();
    for one in judged.iter().filter(|one| matches!(one.answer, Answer::Number { .. })) {
        by_seed.entry(one.seed).or_default().push(one);
    }
    let one = |(seed, of_it): (&u64, &Vec<&'a Judged>)| {
        let drawn = Pcg64Mcg::seed_from_u64(*seed).next_u64();
        of_it[(drawn % of_it.len() as u64) as usize]
    };
    by_seed.iter().map(one).collect()
}

fn coverage(of: &str, class: Class, chosen: &[&Judged]) -> Option<Coverage> {
    let covered: Vec<bool> = chosen.iter().filter_map(|one| one.covered()).collect();
    let (held, all) = (covered.iter().filter(|held| **held).count() as u64, covered.len() as u64);
    // Exact binomial intervals are conservative whatever is made of them, one over a share for instance.
    let binomial = chosen.iter().all(|one| one.ci_method == "exact binomial");
    let p = unusual(held, all, class.is_conservative() || binomial)?;
    Some(Coverage { of: of.to_owned(), held, of_all: all, p, accepted: true })
}

/// Probability of so few (or, from both sides, so many) intervals that hold the truth; None without intervals.
fn unusual(held: u64, all: u64, from_below: bool) -> Option<f64> {
    if all == 0 {
        return None;
    }
    let binomial = Binomial::new(NOMINAL, all).ok()?;
    let below = binomial.cdf(held);
    if from_below {
        return Some(below);
    }
    let above = if held == 0 { 1.0 } else { binomial.sf(held - 1) };
    Some((2.0 * below.min(above)).min(1.0))
}

/// Judges all coverages together: the smallest probability against the family's error over all, and so on, until one
/// passes.
fn hold(metrics: &mut [MetricScore]) {
    let mut tests: Vec<(usize, f64)> = metrics
        .iter()
        .enumerate()
        .filter_map(|(number, metric)| Some((number, metric.coverage.as_ref()?.p)))
        .collect();
    tests.sort_by(|a, b| a.1.total_cmp(&b.1));
    let all = tests.len();
    for (rank, (number, p)) in tests.into_iter().enumerate() {
        if p > FAMILY / (all - rank) as f64 {
            break;
        }
        if let Some(coverage) = &mut metrics[number].coverage {
            coverage.accepted = false;
        }
    }
}

/// Coverage by interval method, pooled; brackets and binomials from below.
fn methods(judged: &[Judged]) -> Vec<Coverage> {
    let mut by_method: BTreeMap<(&str, bool), Vec<bool>> = BTreeMap::new();
    for one in judged.iter().filter(|one| one.knowable == Knowable::Yes) {
        if let (true, Some(covered)) = (one.class.has_coverage(), one.covered()) {
            let key = (one.ci_method.as_str(), one.class.is_conservative());
            by_method.entry(key).or_default().push(covered);
        }
    }
    let pooled = |((method, from_below), covered): ((&str, bool), Vec<bool>)| {
        let (held, all) =
            (covered.iter().filter(|held| **held).count() as u64, covered.len() as u64);
        let p = unusual(held, all, from_below)?;
        let share = held as f64 / all as f64;
        let accepted = share >= 0.94 && (from_below || share <= 0.96);
        Some(Coverage { of: method.to_owned(), held, of_all: all, p, accepted })
    };
    by_method.into_iter().filter_map(pooled).collect()
}

fn confusion(judged: &[Judged]) -> Vec<Confused> {
    let mut counts: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for one in judged.iter().filter(|one| one.class == Class::Word) {
        let (found, truth) = match &one.answer {
            Answer::Word { found, truth } => (found.clone(), truth.clone()),
            Answer::Unknown { truth } => ("unknown".to_owned(), truth.clone()),
            Answer::Number { .. } => continue,
        };
        let truth = match one.knowable {
            Knowable::No => format!("{truth} (cannot be known)"),
            Knowable::Perhaps => format!("{truth} (assumptions broken)"),
            Knowable::Yes => truth,
        };
        *counts.entry((one.metric.clone(), truth, found)).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|((metric, truth, found), count)| Confused { metric, truth, found, count })
        .collect()
}

fn ascending(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value of that rank, the smallest with at least the share of values at or below it.
fn quantile(ascending: &[f64], share: f64) -> Option<f64> {
    let rank = (share * ascending.len() as f64).ceil().max(1.0) as usize;
    ascending.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::judge;
    use analysis::{Finding, Value};

    fn number(metric: &str, seed: u64, found: f64, half: f64) -> Judged {
        let mut finding = Finding::new("x", metric, "s").with_number(found);
        finding.truth = Some(Value::Number(1.0));
        finding.ci95 = Some((Some(found - half), Some(found + half)));
        finding.ci_method = Some("cluster bootstrap".to_owned());
        judge(&finding, seed, Knowable::Yes).expect("a truth")
    }

    fn metric(judged: &[Judged]) -> MetricScore {
        Score::of(judged, judged.len() as u64, 1).metrics.remove(0)
    }

    // Good figures meet their criterion, biased ones and too narrow ones do not, and the worst profile is named.
    #[test]
    fn ratios_are_scored() {
        let spread = |seed: u64| ((seed as f64 * 0.618_034).fract() - 0.5) * 0.04;
        let good: Vec<Judged> =
            (0..200).map(|seed| number("cpu.share", seed, 1.0 + spread(seed), 0.019)).collect();
        assert_eq!(metric(&good).unmet, [""; 0]);
        let biased: Vec<Judged> =
            (0..200).map(|seed| number("cpu.share", seed, 1.1 + spread(seed), 0.5)).collect();
        assert!(metric(&biased).unmet[0].starts_with("median error"));
        let narrow: Vec<Judged> =
            (0..200).map(|seed| number("cpu.share", seed, 1.0 + spread(seed), 0.01)).collect();
        assert!(metric(&narrow).unmet[0].contains("intervals hold"));
        let mut one_off = good.clone();
        one_off[7] = number("cpu.share", 7, 1.5, 1.0);
        assert_eq!(metric(&one_off).worst.expect("errors").seed, 7);
    }

    // A conservative interval may always hold the truth; another one may not.
    #[test]
    fn coverage_is_tested_from_its_sides() {
        let wide = |metric: &str| -> Vec<Judged> {
            (0..2_000).map(|seed| number(metric, seed, 1.0, 0.001)).collect()
        };
        assert!(metric(&wide("idle.alive_fraction")).met);
        assert!(!metric(&wide("cpu.share")).met);
    }

    // One wrong word is too many, few unknown ones are not, and both are in the matrix.
    #[test]
    fn words_are_scored() {
        let word = |seed: u64, found: &str| {
            let mut finding = Finding::new("x", "idle.policy", "word").with_word(found);
            finding.truth = Some(Value::Word("fixed".to_owned()));
            judge(&finding, seed, Knowable::Yes).expect("a truth")
        };
        let mut judged: Vec<Judged> = (0..100).map(|seed| word(seed, "fixed")).collect();
        judged[3] = word(3, "unknown");
        assert!(metric(&judged).met);
        judged[4] = word(4, "halving");
        let score = Score::of(&judged, 100, 1);
        assert_eq!(score.metrics[0].wrong, 1);
        assert_eq!(score.unmet().count(), 1);
        assert_eq!(score.confusion.len(), 3);
    }

    // Of several settings of one profile one counts.
    #[test]
    fn settings_of_one_profile_are_one_trial() {
        let judged: Vec<Judged> =
            (0..50).map(|number_of| number("cpu.share", number_of / 10, 1.0, 0.1)).collect();
        assert_eq!(metric(&judged).coverage.expect("intervals").of_all, 5);
    }
}
