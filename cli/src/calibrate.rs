//! `peek calibrate`: every experiment, blind, on random platforms, and each finding against its truth.

mod study;

use crate::truth;
use analysis::Problem;
use anyhow::Context;
use calibration::{Drawn, Judged, Score, judge, knowable};
use experiment::{Sink, Study, Unit, Vantage, run_study};
use indicatif::{ProgressBar, ProgressStyle};
use model::Span;
use record::Record;
use std::convert::Infallible;
use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use target::{Emulated, Uri};

/// Options of `peek calibrate`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many random platforms.
    #[arg(long, value_name = "N", default_value_t = 200)]
    profiles: u64,
    /// Begin no further platform after so many seconds, once there are --least.
    #[arg(long, value_name = "SECONDS")]
    within: Option<u64>,
    /// How many platforms at least, whatever they take.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "within")]
    least: u64,
    /// Seed of the first one; the others follow. `commit` is the one of a release: it comes from the hash of the commit that
    /// this program was built from, so that nobody has tuned on it.
    #[arg(long, value_name = "N|commit", default_value = "1", value_parser = seed)]
    seed: u64,
    /// Print the score as JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// Also write the score, every judgement, what could not be found and why, and every profile, to this
    /// directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Judge instead a study that was made, of the local platform or an emulated one, each finding against the truth of
    /// its profile; may be repeated.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["profiles", "within", "least", "seed", "out"])]
    study: Vec<PathBuf>,
}

/// Scores; the status is 1 where a criterion is not met.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !arguments.study.is_empty() {
        return study::run(&arguments.study, arguments.json);
    }
    let seeds = AtomicU64::new(arguments.seed);
    let end = arguments.seed.saturating_add(arguments.profiles);
    let scored: Mutex<Vec<Scored>> = Mutex::default();
    let failed: Mutex<Option<anyhow::Error>> = Mutex::default();
    let bar = bar(arguments.profiles);
    let began = Instant::now();
    let is_over = |seed: u64| {
        let begun = seed - arguments.seed;
        let late = |limit: u64| began.elapsed() >= Duration::from_secs(limit);
        begun >= arguments.least && arguments.within.is_some_and(late)
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = seeds.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || is_over(seed) || lock(&failed).is_some() {
                        return;
                    }
                    match platform(seed) {
                        Ok(found) => lock(&scored).push(found),
                        Err(error) => {
                            let error =
                                error.context(format!("cannot score the platform of seed {seed}"));
                            *lock(&failed) = Some(error);
                        }
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    if let Some(error) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error);
    }
    let mut scored = scored.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    scored.sort_by_key(|scored| scored.seed);
    let judged: Vec<Judged> = scored.iter().flat_map(|scored| scored.judged.clone()).collect();
    let score = Score::of(&judged, scored.len() as u64, arguments.seed);
    if let Some(out) = &arguments.out {
        keep(out, &score, &judged, &scored)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&score)?);
    } else {
        print!("{}", score.table());
    }
    Ok(match score.unmet().next() {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    })
}

/// A seed as it is given: a number, or that of the commit.
fn seed(text: &str) -> Result<u64, String> {
    match text {
        "commit" => of_commit(option_env!("PEEK_COMMIT").unwrap_or_default()),
        number => number.parse().map_err(|_| format!("{number:?} is neither a number nor commit")),
    }
}

/// The first eight digits of a commit's hash: seeds that follow stay far from the largest one.
fn of_commit(hash: &str) -> Result<u64, String> {
    let digits = hash.get(..8).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let reason =
        "this program does not know its commit: build it with ./run build, or name a number";
    digits.ok_or_else(|| reason.to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn bar(profiles: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{pos}/{len} platforms {bar:40} {eta} left");
    ProgressBar::new(profiles).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What came of one random platform.
struct Scored {
    seed: u64,
    judged: Vec<Judged>,
    problems: Vec<Problem>,
}

/// Measures and judges one random platform.
fn platform(seed: u64) -> anyhow::Result<Scored> {
    let drawn = Drawn::of(seed);
    let name = format!("random-{seed}");
    let platform = Emulated::platform(&name, drawn.text())?;
    let quota = platform.scheduler.limits.account_concurrency / 2;
    let target = Emulated::open(Uri::Emulated(name), platform, seed);
    let study =
        calibration::plan(seed, target.runtimes(), target.memory_range_mib(), quota.min(500));
    let mut memory = Memory::default();
    let Ok(_) = target.run(run_study(&target, &study, &mut memory, pending()))?;
    let records = memory.records;
    let (mut findings, problems) = analysis::analyse(&records);
    analysis::join_truth(&mut findings, &truths(&drawn, &study, &target, &records));
    let judged = findings
        .iter()
        .filter_map(|finding| judge(finding, seed, knowable(&drawn, &study, finding)?));
    Ok(Scored { seed, judged: judged.collect(), problems })
}

fn truths(
    drawn: &Drawn,
    study: &Study,
    target: &Emulated,
    records: &[Record],
) -> Vec<analysis::Truth> {
    let mut truths = truth::of_region(target.region(), records);
    for (metric, word) in [
        ("placement.policy", calibration::placement_word(drawn, study)),
        ("idle.policy", calibration::idle_word(drawn, study)),
    ] {
        let Some(word) = word else { continue };
        for truth in truths.iter_mut().filter(|truth| truth.metric == metric) {
            truth.value = analysis::Value::Word(word.to_owned());
        }
    }
    if drawn.broken == Some(calibration::Broken::ClockStep) {
        let (metric, kind) = ("clock.offset_ms".to_owned(), "parameter".to_owned());
        let (setting, value) = (analysis::Setting::new(), analysis::Value::Null);
        truths.push(analysis::Truth { metric, setting, value, kind });
    }
    // Where nothing names hosts, and this plan cannot show what the counters tell, neither word would be wrong.
    let by_counters = drawn.host_id.is_none() && drawn.counters;
    if by_counters && !calibration::tells_by_counters(drawn, study) {
        truths.retain(|truth| truth.metric != "identity.host_id_source");
    }
    truths
}

/// Records in memory: nothing is resumed.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) records: Vec<Record>,
}

impl Sink for Memory {
    type Error = Infallible;

    fn is_finished(&self, _: &str, _: &str) -> bool {
        false
    }

    fn earlier(&mut self, _: &str) -> Result<Vec<Record>, Infallible> {
        Ok(Vec::new())
    }

    fn started(&mut self, _: &str, _: &Unit) {}

    fn progress(&mut self, _: Span, _: Span) {}

    fn finished(&mut self, _: &str, _: &Unit, records: Vec<Record>) -> Result<(), Infallible> {
        self.records.extend(records);
        Ok(())
    }

    fn problem(&mut self, _: &str, _: &str) {}
}

/// Writes `score.json`, `judged.csv`, `problems.txt`, and every profile.
fn keep(out: &Path, score: &Score, judged: &[Judged], scored: &[Scored]) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    write("score.json", &serde_json::to_string_pretty(score)?)?;
    write("judged.csv", &calibration::list(judged)?)?;
    let problems: String = scored
        .iter()
        .flat_map(|scored| scored.problems.iter().map(|problem| (scored.seed, problem)))
        .map(|(seed, problem)| format!("{seed}: {}: {}\n", problem.experiment, problem.text))
        .collect();
    write("problems.txt", &problems)?;
    for scored in scored {
        let name = format!("random-{}.toml", scored.seed);
        write(&name, Drawn::of(scored.seed).text())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // A release's seed is its commit's, and a program that does not know its commit says what to do.
    #[test]
    fn seeds_come_from_commits() {
        assert_eq!(of_commit("a57ac62a522ad35a87bf53da8cb880db425169e3"), Ok(0xa57a_c62a));
        assert_eq!(seed("17"), Ok(17));
        for unknown in ["", "x", "not hexadecimal"] {
            let error = of_commit(unknown).expect_err("no hash");
            assert!(error.contains("./run build"), "{error}");
        }
        assert!(seed("one").is_err());
    }
}
