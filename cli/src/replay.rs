//! `peek replay`: what other policies would have made of a trace, and what they would have cost.

use crate::serve;
use anyhow::Context;
use emulator::Platform;
use model::{MemoryMib, Span};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use replay::{Choice, Defaults, Delay, Engine, Problems, Timing, Totals};
use report::{Tradeoff, tradeoff_svg};
use scheduler::Profile;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use target::Emulated;

/// Draws that stand for the distribution of cold and warm starts of an emulated profile.
const DRAWS: usize = 4096;

/// Cold start on a profile that does not say, ms: a native function of `peek serve` (docs/SPECIFICATION.md, Speed).
const COLD_MS: f64 = 8.0;

/// Options of `peek replay`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A CSV with the columns time_s, function, tenant, duration_ms and memory_mib, in order of time; or the Azure Functions
    /// data set of 2019: its directory, or one file of invocations.
    #[arg(long, value_name = "FILE|DIR")]
    trace: PathBuf,
    /// The platform: a built-in profile, or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "local")]
    profile: String,
    /// Keep-alive policies to set side by side: profile, none, fixed, halving, memoryless, bimodal, sweep, histogram, each
    /// with :SECONDS where it has a limit, and memory_pressure with :MIB.
    #[arg(long, value_name = "POLICY", value_delimiter = ',', default_value = "profile")]
    policies: Vec<String>,
    /// Cold start instead of the profile's, ms.
    #[arg(long, value_name = "MS")]
    cold_ms: Option<f64>,
    /// Seed of everything random.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// Also write replay.json and tradeoff.svg to this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// All that a replay says.
#[derive(Serialize)]
struct Outcome {
    trace: String,
    profile: String,
    seed: u64,
    functions: usize,
    /// Rows left out since they say nothing sensible.
    unreadable_rows: u64,
    /// Rows used otherwise than they say, or completed by a default.
    changed_rows: u64,
    problems: Vec<String>,
    policies: Vec<Totals>,
    /// How long the replay took, s.
    took_s: f64,
    /// Invocations of all policies per second of that time.
    invocations_per_s: f64,
}

/// Replays and prints.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (profile, timing) = platform(arguments)?;
    let mut engines = Vec::new();
    for text in &arguments.policies {
        let choice = Choice::parse(text).context("cannot use --policies")?;
        let profile = choice.apply(&profile);
        engines.push(Engine::new(&choice.name, profile, timing.clone(), arguments.seed));
    }
    let defaults = Defaults { seed: arguments.seed, ..Defaults::default() };
    let mut problems = Problems::default();
    let start = Instant::now();
    let functions = replay::open(&arguments.trace, defaults)
        .and_then(|mut trace| replay::replay(trace.as_mut(), &mut engines, &mut problems))
        .context("cannot replay --trace")?;
    let took_s = start.elapsed().as_secs_f64();
    let policies: Vec<Totals> = engines.iter().map(Engine::totals).collect();
    let all: u64 = policies.iter().map(|it| it.invocations).sum();
    let outcome = Outcome {
        trace: arguments.trace.display().to_string(),
        profile: profile.name.clone(),
        seed: arguments.seed,
        functions: functions.len(),
        unreadable_rows: problems.rows,
        changed_rows: problems.changed,
        problems: problems.first,
        policies,
        took_s,
        invocations_per_s: all as f64 / took_s.max(1e-9),
    };
    for problem in &outcome.problems {
        eprintln!("peek: {problem}");
    }
    let rest = (outcome.unreadable_rows + outcome.changed_rows) - outcome.problems.len() as u64;
    if rest > 0 {
        eprintln!("peek: and {rest} more like these");
    }
    if let Some(directory) = &arguments.out {
        write(directory, &outcome)?;
    }
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&outcome)?),
        false => print!("{}", table(&outcome)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The profile, and what starts take on it.
fn platform(arguments: &Arguments) -> anyhow::Result<(Profile, Timing)> {
    let constant = |ms: f64| Delay::Constant(Span::from_secs_f64(ms / 1e3));
    if let Some(ms) = arguments.cold_ms {
        anyhow::ensure!((0.0..=1e9).contains(&ms), "--cold-ms is {ms}, must be from 0 to 1e9");
    }
    let own = arguments.cold_ms.map(constant);
    let text = match arguments.profile.as_str() {
        "local" | "study" => None,
        name => Some(Emulated::profile_text(name)?),
    };
    // A profile of `peek serve` has no part that is emulated.
    let Some(text) = text.filter(|text| text.lines().any(|line| line.trim() == "[emulated]"))
    else {
        let timing = Timing {
            cold: own.unwrap_or(constant(COLD_MS)),
            warm: constant(0.0),
            host: constant(0.0),
        };
        return Ok((serve::profile(&arguments.profile)?, timing));
    };
    let platform = Emulated::platform(&arguments.profile, &text)?;
    let timing = Timing {
        cold: own.unwrap_or(drawn(&cold(&platform))),
        warm: drawn(&platform.model.warm.latency),
        host: drawn(&platform.model.hosts.ready),
    };
    Ok((platform.scheduler, timing))
}

/// Cold starts of the runtime that starts fastest, at the smallest memory.
fn cold(platform: &Platform) -> emulator::Latency {
    let runtime = platform.model.runtimes.first().map_or("", String::as_str);
    platform.cold(runtime, MemoryMib(platform.scheduler.limits.memory_min.0))
}

fn drawn(latency: &emulator::Latency) -> Delay {
    let mut random = Pcg64::seed_from_u64(2018);
    Delay::Drawn((0..DRAWS).map(|_| latency.draw(&mut random)).collect())
}

fn write(directory: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make --out {}", directory.display()))?;
    write("replay.json", serde_json::to_string_pretty(outcome)? + "\n")?;
    let points: Vec<Tradeoff> = outcome.policies.iter().map(tradeoff).collect();
    match tradeoff_svg(&points) {
        Some(svg) => write("tradeoff.svg", svg),
        None => Ok(()),
    }
}

fn tradeoff(of: &Totals) -> Tradeoff {
    Tradeoff {
        name: of.policy.clone(),
        idle_mib: of.memory.idle_mib_s / of.seconds.max(1e-9),
        cold_fraction: of.cold_fraction,
    }
}

/// A line of the table: its name, and what it says of a policy.
type Line = (&'static str, fn(&Totals) -> String);

fn table(outcome: &Outcome) -> String {
    let rows: [Line; 14] = [
        ("invocations", |it| it.invocations.to_string()),
        ("  rejected", |it| it.rejected.to_string()),
        ("  ran into their timeout", |it| it.expired.to_string()),
        ("cold", |it| percent(it.cold_fraction)),
        ("  of the median function", |it| percent(it.cold_fraction_by_function.p50)),
        ("  at the 75th percentile", |it| percent(it.cold_fraction_by_function.p75)),
        ("start p50, ms", |it| format!("{:.1}", it.start_ms.p50)),
        ("  p99, ms", |it| format!("{:.1}", it.start_ms.p99)),
        ("response p99, ms", |it| format!("{:.1}", it.response_ms.p99)),
        ("hosts, MiB on average", |it| mean(it, it.memory.hosts_mib_s)),
        ("instances, MiB on average", |it| mean(it, it.memory.instances_mib_s)),
        ("  idle, MiB s", |it| format!("{:.0}", it.memory.idle_mib_s)),
        ("  idle, of instances", |it| percent(it.memory.idle_mib_s / it.memory.instances_mib_s)),
        ("cost, USD", |it| format!("{:.4}", it.cost_usd)),
    ];
    let mut text = format!(
        "{} on {}: {} functions, {} policies in {:.2} s ({:.0} invocations/s)\n",
        outcome.trace,
        outcome.profile,
        outcome.functions,
        outcome.policies.len(),
        outcome.took_s,
        outcome.invocations_per_s
    );
    let wide = outcome.policies.iter().map(|it| it.policy.len()).max().unwrap_or(0).max(12);
    let mut line = |name: &str, of: &dyn Fn(&Totals) -> String| {
        text += &format!("{name:<26}");
        for policy in &outcome.policies {
            text += &format!("  {:>wide$}", of(policy));
        }
        text += "\n";
    };
    line("", &|it| it.policy.clone());
    for (name, of) in rows {
        line(name, &of);
    }
    text
}

fn percent(part: f64) -> String {
    if part.is_finite() { format!("{:.2} %", 100.0 * part) } else { "-".to_owned() }
}

fn mean(of: &Totals, mib_s: f64) -> String {
    format!("{:.0}", mib_s / of.seconds.max(1e-9))
}
