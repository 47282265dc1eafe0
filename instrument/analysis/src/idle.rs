//! How long an idle instance is kept, and how a pool of them shrinks.
//!
//! A *pair* is two requests to a fresh function with silence between; its instance is alive where both met the same one.
//! Idle time runs from the first response's arrival to the second request's sending; the platform may count a little
//! more, by the ways of the response and the request, so a loss bounds the limit only with that added. Single losses are no
//! limit: instances also end for other reasons ([`OTHER_CAUSES`]), so a delay counts as beyond it where all of its
//! pairs were gone, or more than those reasons explain. A request that failed is missing data.
//! [`singles`] says how the pairs' survival falls, [`pools`] how pools shrink, [`watched`] when those did that were looked at
//! again and again, and [`halving`] fits the one rule that METRICS has a number for.

mod busy;
mod halving;
mod pools;
mod singles;
mod watched;

use crate::answers::Answers;
use crate::estimates::add_share;
use crate::finding::Finding;
use crate::statistics::cluster::Row;
use crate::statistics::{binomial, bootstrap, bracket};
use crate::study::{Study, between, group, setting};
use pools::{Beside, Pool};
use record::{Outcome, Record, Text};
use singles::Survival;
use std::collections::BTreeMap;
use watched::Window;

const EXPERIMENT: &str = "idle";

/// Share of instances that end for other reasons than idleness, at most (TRUTH, 4).
const OTHER_CAUSES: f64 = 0.02;

/// How unlikely losses by other causes must be before they count as the limit's: three of five do, two do not, since
/// dozens of delays are tried.
const LOSS_LEVEL: f64 = 0.001;

/// Instances of a pool, at least, for its decay to be told.
const POOL_MIN: usize = 20;

/// Adds the findings of the experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    let records = study.of(EXPERIMENT, answers);
    if records.is_empty() {
        return;
    }
    let settings = group(&records, |record| (record.runtime.clone(), record.memory_mib));
    let varied = settings.len() > 1;
    busy::analyse(study, answers, &records);
    let mut outcomes = Vec::new();
    for ((runtime, memory_mib), records) in settings {
        let one = One { runtime, memory_mib, varied };
        let pairs = pairs(study, &records);
        let pools = pools::pools(study, &records);
        let watched_pairs = records.iter().any(|record| record.phase == "first");
        if watched_pairs || pools.is_empty() {
            one.add_limits(answers, &pairs);
        }
        one.add_fractions(answers, &pairs, &pools);
        let windows = watched::windows(study, &records);
        outcomes.push(judge(study, &pairs, (&pools, &windows)));
    }
    add_policy(answers, &outcomes);
}

/// Two requests to one instance, or not.
struct Pair {
    /// Delay as planned, in milliseconds so that it can be a key.
    delay_ms: u64,
    /// Idle time as the vantage point saw it, s.
    idle_s: f64,
    /// The most that it may have been for the platform, s.
    idle_most_s: f64,
    alive: bool,
}

/// The answered pairs.
fn pairs(study: &Study, records: &[&Record]) -> Vec<Pair> {
    let key = |record: &Record| (record.function.clone(), record.round, record.unit.clone());
    let pair = |records: &Vec<&Record>| {
        let of = |phase: &str| {
            let answered = |record: &&&Record| {
                record.phase == phase
                    && record.outcome == Outcome::Ok
                    && !record.instance.is_empty()
            };
            records.iter().find(answered).copied()
        };
        let (first, second) = (of("first")?, of("second")?);
        let idle_s = between(first.received_ns, second.sent_ns) / 1e9;
        Some(Pair {
            delay_ms: delay_ms(first)?,
            idle_s,
            idle_most_s: idle_s + ways_s(study, first, second),
            alive: first.instance == second.instance,
        })
    };
    group(records, key).values().filter_map(pair).collect()
}

/// The planned delay, ms.
fn delay_ms(record: &Record) -> Option<u64> {
    let delay_s: f64 = setting(record, "delay_s")?;
    (0.0..1e9).contains(&delay_s).then(|| (delay_s * 1e3).round() as u64)
}

/// How long a response and the next request can have been under way at most: the response until it arrived, and the
/// request until its handler began, since the platform had decided by then.
fn ways_s(study: &Study, first: &Record, second: &Record) -> f64 {
    let clock = study.clock(&first.runtime);
    let at =
        |record: &Record, unix_ns: u64| between(record.epoch_unix_ns, unix_ns) - clock.offset_ns;
    let back = match first.finished_unix_ns {
        0 => 0.0,
        finished => first.received_ns as f64 - at(first, finished),
    };
    let out = match second.started_unix_ns {
        0 => 0.0,
        started => at(second, started) - second.sent_ns as f64,
    };
    (back.max(0.0) + out.max(0.0) + clock.below_ns + clock.above_ns) / 1e9
}

/// Whether so many losses of so many pairs are the limit's.
fn is_beyond(lost: usize, all: usize) -> bool {
    let by_chance =
        1.0 - binomial::cumulative((lost as u64).saturating_sub(1), all as u64, OTHER_CAUSES);
    lost > 0 && (lost == all || by_chance < LOSS_LEVEL)
}

/// The pairs at delays that count as beyond the limit.
fn beyond(pairs: &[Pair]) -> Vec<&Pair> {
    let mut delays: BTreeMap<u64, Vec<&Pair>> = BTreeMap::new();
    for pair in pairs {
        delays.entry(pair.delay_ms).or_default().push(pair);
    }
    let lost = |pairs: &[&Pair]| pairs.iter().filter(|pair| !pair.alive).count();
    delays.into_values().filter(|pairs| is_beyond(lost(pairs), pairs.len())).flatten().collect()
}

/// One runtime and memory size.
struct One {
    runtime: Text,
    memory_mib: u32,
    varied: bool,
}

impl One {
    fn finding(&self, metric: &str, unit: &str) -> Finding {
        Finding::new(EXPERIMENT, metric, unit)
            .with_setting("runtime", self.runtime.as_str())
            .with_setting("memory_mib", self.memory_mib)
    }

    /// Adds the shortest idle time with a loss and the longest with a survivor.
    fn add_limits(&self, answers: &mut Answers, pairs: &[Pair]) {
        let method = "two requests to a fresh function with silence between, several pairs per delay, delays \
                      searched and confirmed";
        let finding = |metric: &str| {
            self.finding(metric, "s")
                .with_method(method, pairs.len())
                .with_clusters("pair", pairs.len())
        };
        let (first, longest) = (finding("idle.first_loss_s"), finding("idle.max_idle_s"));
        if pairs.is_empty() {
            let why = "no pair of requests was answered; see the failures for the reason";
            answers.add_unknown(first, why);
            answers.add_unknown(longest, why);
            return;
        }
        let beyond: Vec<&Pair> = beyond(pairs).into_iter().filter(|pair| !pair.alive).collect();
        let survivor =
            pairs.iter().filter(|pair| pair.alive).map(|pair| pair.idle_s).reduce(f64::max);
        let loss = beyond.iter().map(|pair| pair.idle_s).reduce(f64::min);
        let mut trials: Vec<(f64, bool)> =
            beyond.iter().map(|pair| (pair.idle_most_s, false)).collect();
        trials.extend(pairs.iter().filter(|pair| pair.alive).map(|pair| (pair.idle_s, true)));
        // Nothing is idle for less than no time.
        trials.push((0.0, true));
        let first_loss = bracket::first_failure(&trials);
        let first = first.with_number(loss).with_interval(first_loss);
        match loss {
            Some(_) => answers.add(first),
            None => answers.add_unknown(
                first,
                "no delay lost more instances than other causes end; longer delays would",
            ),
        }
        self.note_single_losses(answers, pairs, first_loss.high);
        let max_idle = bracket::last_success(&trials);
        let longest = longest.with_number(survivor).with_interval(max_idle);
        match survivor {
            Some(_) => answers.add(longest),
            None => answers.add_unknown(
                longest,
                "no instance outlived the shortest delay; shorter ones might",
            ),
        }
        if survivor.is_some() && max_idle.high.is_none() {
            let text = "idle.max_idle_s: instances were still there after the longest delay, so the limit is \
                        only bounded from below; longer delays would close it";
            answers.note(EXPERIMENT, text);
        }
    }

    /// Says how many instances went before the limit, one here and one there.
    fn note_single_losses(&self, answers: &mut Answers, pairs: &[Pair], limit: Option<f64>) {
        let early =
            |pair: &&Pair| !pair.alive && limit.is_none_or(|limit| pair.idle_most_s < limit);
        let count = pairs.iter().filter(early).count();
        if count > 0 {
            let text = format!(
                "{count} of {} single instances ({} at {} MiB) were gone before the limit, no more per delay \
                 than other causes end; they do not count as it",
                pairs.len(),
                self.runtime,
                self.memory_mib
            );
            answers.note(EXPERIMENT, &text);
        }
    }

    /// Adds the shares of instances still there, by delay.
    fn add_fractions(&self, answers: &mut Answers, pairs: &[Pair], pools: &[Pool]) {
        let finding = |metric: &str, delay_ms: u64| {
            let finding = Finding::new(EXPERIMENT, metric, "fraction")
                .with_setting("delay_s", delay_ms as f64 / 1e3);
            if !self.varied {
                return finding;
            }
            finding
                .with_setting("runtime", self.runtime.as_str())
                .with_setting("memory_mib", self.memory_mib)
        };
        let mut delays: BTreeMap<u64, Vec<Row<bool>>> = BTreeMap::new();
        for (number, pair) in (0..).zip(pairs) {
            delays.entry(pair.delay_ms).or_default().push(Row::new(number, pair.alive));
        }
        for (delay_ms, rows) in delays {
            let mut finding = finding("idle.alive_fraction", delay_ms)
                .with_method("pairs whose second request met the same instance", rows.len());
            finding.cluster = Some("pair".to_owned());
            add_share(answers, finding, &rows);
        }
        let mut delays: BTreeMap<u64, Vec<Vec<f64>>> = BTreeMap::new();
        for pool in pools {
            delays.entry(pool.delay_ms).or_default().push(vec![pool.alive_fraction()]);
        }
        for (delay_ms, fractions) in delays {
            let method = "instances of a pool still there, mean of pools, each probed once";
            answers.add(
                finding("idle.pool_alive_fraction", delay_ms)
                    .with_method(method, fractions.len())
                    .with_clusters("pool", fractions.len())
                    .with_number(bootstrap::mean(&fractions)),
            );
        }
    }
}

/// A word of METRICS, with the fit where it is halving; or why there is none.
type Judged = Result<(&'static str, Option<halving::Fit>), &'static str>;

/// What kind of rule the pairs and pools of one runtime and memory size follow.
fn judge(study: &Study, pairs: &[Pair], (pools, windows): (&[Pool], &[Window])) -> (Judged, usize) {
    let trials: Vec<(f64, bool)> = pairs.iter().map(|pair| (pair.idle_s, pair.alive)).collect();
    let loss =
        beyond(pairs).iter().filter(|pair| !pair.alive).map(|pair| pair.idle_s).reduce(f64::min);
    // From the last survivor to the first loss nobody knows on which side of the limit a pool was.
    let limit = loss.map(|loss| {
        let before = |pair: &&Pair| pair.alive && pair.idle_s < loss;
        pairs.iter().filter(before).map(|pair| pair.idle_s).fold(0.0, f64::max)
    });
    let word = match singles::survival(&trials) {
        Survival::TooFew if pairs.is_empty() && !pools.is_empty() => {
            pools::judge(pools, windows, pools::all_gone_s(pools))
        }
        Survival::TooFew => Err("too few pairs were answered; more rounds would tell"),
        Survival::AllGone if pools.iter().any(|pool| pool.alive_fraction() > 0.0) => Err(
            "no single instance outlived any delay, and instances of pools did, so the rule changed meanwhile or is \
                 another one for each; measured again, it would be one of them",
        ),
        Survival::AllGone if never_reused(study) => Ok(("none", None)),
        Survival::AllGone => Err(
            "no instance outlived the shortest delay, but some outlive none at all; shorter delays would \
                 tell",
        ),
        Survival::Gradual => {
            Err("single instances go gradually, but not as by chance alone; more delays would tell")
        }
        Survival::Memoryless { rate } => match pools::beside(pools, rate) {
            Beside::Alike => Ok(("random", None)),
            Beside::Sooner => Err(
                "single instances go by chance, and pools sooner than that, so something else shrinks those; a rule of \
                 both has no word",
            ),
            Beside::Later => Err(
                "single instances go by chance, and pools outlive that, so the rule changed meanwhile; measured again, it \
                 would be one of both",
            ),
        },
        Survival::AllThere => pools::judge(pools, windows, limit),
        Survival::Sharp => pools::judge(pools, windows, limit),
    };
    (word, trials.len() + pools.len())
}

/// Whether requests that followed a response at once met new instances, in the experiment that sends such.
fn never_reused(study: &Study) -> bool {
    let warm: Vec<_> = study
        .requests("coldstart")
        .filter(|record| record.phase == "warm" && record.outcome == Outcome::Ok)
        .collect();
    let fresh = warm.iter().filter(|record| record.instance_invocations == 1).count();
    warm.len() >= 5 && fresh * 10 >= warm.len() * 9
}

/// Adds the policy's word over all runtimes and sizes, and the halving's interval.
fn add_policy(answers: &mut Answers, outcomes: &[(Judged, usize)]) {
    let rows = outcomes.iter().map(|(_, rows)| rows).sum();
    let policy = Finding::new(EXPERIMENT, "idle.policy", "word").with_method(
        "how the survival of single instances falls with idle time, and how pools shrink before that",
        rows,
    );
    let interval = Finding::new(EXPERIMENT, "idle.halving_interval_s", "s");
    let words: Vec<_> = outcomes.iter().filter_map(|(judged, _)| judged.as_ref().ok()).collect();
    let reason = outcomes.iter().find_map(|(judged, _)| judged.as_ref().err());
    let Some((word, _)) = words.first() else {
        let why = reason.copied().unwrap_or("nothing was measured");
        answers.add_unknown(policy, why);
        answers.add_unknown(interval, &format!("the policy is unknown: {why}"));
        return;
    };
    if words.iter().any(|(other, _)| other != word) {
        let why = "runtimes or sizes differ in it; measured apart, each would have its own";
        answers.add_unknown(policy, why);
        answers.add_unknown(interval, why);
        return;
    }
    answers.add(policy.with_word(word));
    let fits: Vec<_> = words.iter().filter_map(|(_, fit)| fit.as_ref()).collect();
    let Some(fit) = fits.into_iter().max_by_key(|fit| fit.observations) else { return };
    let interval = interval
        .with_method(
            "most likely interval, from the pools' sizes per host against their idle time, clocks of hosts \
             being out of step",
            fit.observations,
        )
        .with_clusters("host", fit.clocks)
        .with_number(fit.interval_s);
    answers.add_with(interval, fit.ci);
}
