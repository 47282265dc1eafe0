//! `peek study`: plan, target, invocations, records, findings, report.

use crate::configuration::NONE;
use crate::directory::{Directory, Study, now};
use crate::progress::Progress;
use crate::reading::Reading;
use crate::{draw, serve, truth};
use analysis::{Problem, Thinned};
use anyhow::Context;
use experiment::{Basis, Ended, Kind, MemoryTime, Scale, Scope, Unit};
use model::Span;
use record::{Record, UnitWriter};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use target::{Live, LocalCommand, Target, Uri};

mod dry_run;
mod emulated;

/// Status of a study that was stopped and can be resumed: 128 + SIGINT, as shells have it.
const STOPPED: u8 = 130;

/// Options of `peek study`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to measure: `local` (the embedded platform), `lambda:http://HOST:PORT`, `aws:REGION`, or in virtual time
    /// `emulated:PROFILE` (a built-in name or a TOML file).
    #[arg(long, value_name = "URI", default_value = "local")]
    target: Uri,
    /// Only these experiments, by name.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    experiments: Vec<String>,
    /// As little as shows that everything works.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// At least the paper's design.
    #[arg(long)]
    full: bool,
    /// Where records and report go [default: peek-study-DATE-TIME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Finish the study in DIR that was stopped; nothing is measured twice.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "target", "experiments", "quick", "full", "seed", "profile"])]
    resume: Option<PathBuf>,
    /// Seed of the plan's random choices [default: drawn].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Profile of the platform that the target `local` starts: `local`, `study`, or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "study")]
    profile: String,
    /// Role that functions of an AWS target run as; may be repeated.
    #[arg(long, value_name = "ARN")]
    role: Vec<String>,
    /// Profile of the AWS credentials file with a further account of yours, for targets `lambda` and `aws`; may be
    /// repeated.
    #[arg(long, value_name = "NAME")]
    account: Vec<String>,
    /// Address of this machine, with a free port, that functions can reach: a sink listens there for the network
    /// experiment. The target `local` has its own.
    #[arg(long, value_name = "ADDR", value_parser = sink_address)]
    sink: Option<std::net::SocketAddr>,
    /// Most invocations at once: half of the target's quota.
    #[arg(long, value_name = "N", default_value_t = 500)]
    max_concurrency: u32,
    /// Name the experiments and the targets, and stop.
    #[arg(long)]
    list: bool,
    /// Print the plan (functions, invocations, expected time, on AWS expected cost), and stop.
    #[arg(long)]
    dry_run: bool,
    /// Print the findings as JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// Does a study, or the rest of one.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    let begun = match &arguments.resume {
        Some(directory) => Some(Directory::open(directory)?),
        None => None,
    };
    let study = match &begun {
        Some((_, study)) => study.clone(),
        None => begin(&arguments)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the study's threads")?;
    let emulated = matches!(study.target.parse(), Ok(Uri::Emulated(_)));
    if arguments.dry_run {
        let plan = if emulated {
            emulated::open(&study, arguments.max_concurrency)?.plan
        } else {
            runtime.block_on(open(&arguments, &study, None))?.plan
        };
        print!("{}", dry_run::table(&study.target, &plan.plan()));
        return Ok(ExitCode::SUCCESS);
    }
    let directory = match begun {
        Some((directory, _)) => directory,
        None => Directory::create(&arguments.out.clone().unwrap_or_else(default_out))?,
    };
    let measured = if emulated {
        emulated::measure(&arguments, &directory, study, &runtime)?
    } else {
        runtime.block_on(measure_live(&arguments, &directory, study))?
    };
    finish(&arguments, &directory, measured)
}

fn list() {
    println!("Experiments:");
    for kind in Kind::ALL {
        let about = kind.about();
        println!("  {:<12} {}", about.name, about.question);
    }
    println!("Targets:");
    println!(
        "  local                    the embedded platform, started on loopback with temporary state"
    );
    println!(
        "  lambda:http://HOST:PORT  any endpoint that speaks the Lambda API, keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    );
    println!("  aws:REGION               AWS Lambda in a region, with --role");
    println!(
        "  emulated:PROFILE         a platform in virtual time, by a TOML file or a built-in profile:"
    );
    for name in target::Emulated::built_in() {
        println!("    emulated:{name}");
    }
}

/// The study that the arguments ask for.
fn begin(arguments: &Arguments) -> anyhow::Result<Study> {
    // Known before anything is started: a wrong name costs nothing.
    let kinds = kinds(&arguments.experiments)?;
    let profile = match &arguments.target {
        Uri::Local => serve::profile(&arguments.profile).map(|_| &arguments.profile)?,
        Uri::Emulated(name) => target::Emulated::profile(name).map(|_| name)?,
        Uri::Lambda(_) | Uri::Aws(_) => &arguments.profile,
    };
    let seed = arguments.seed.unwrap_or_else(drawn_seed);
    let mut study = Study::begin(&arguments.target.to_string(), profile, seed);
    study.scale = match (arguments.quick, arguments.full) {
        (true, _) => "quick",
        (_, true) => "full",
        _ => "default",
    }
    .to_owned();
    study.experiments = kinds.into_iter().map(|kind| kind.about().name.to_owned()).collect();
    Ok(study)
}

/// An address that functions can be told.
fn sink_address(text: &str) -> Result<std::net::SocketAddr, String> {
    let address: std::net::SocketAddr =
        text.parse().map_err(|_| format!("{text:?} is not ADDRESS:PORT with a numeric address"))?;
    match address.ip().is_unspecified() {
        true => Err(format!("functions cannot reach {}; name one address", address.ip())),
        false => Ok(address),
    }
}

fn kinds(names: &[String]) -> anyhow::Result<Vec<Kind>> {
    if names.is_empty() {
        return Ok(Kind::ALL.to_vec());
    }
    let known = || Kind::ALL.map(|kind| kind.about().name).join(", ");
    names
        .iter()
        .map(|name| {
            Kind::named(name).with_context(|| {
                format!("--experiments names {name:?}, which is none of {}", known())
            })
        })
        .collect()
}

/// A seed that is short enough to be typed.
fn drawn_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |since| since.as_nanos() as u64 / 1_000 % 1_000_000)
}

fn default_out() -> PathBuf {
    let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S");
    PathBuf::from(format!("peek-study-{stamp}"))
}

/// A target that is open, and what the study will do there.
struct Opened {
    live: Live,
    plan: experiment::Study,
    _state: Option<TemporaryState>,
}

/// Directory with the temporary state of a local platform; removed with it.
struct TemporaryState(PathBuf);

impl Drop for TemporaryState {
    fn drop(&mut self) {
        // What is left in the temporary directory is the system's to remove.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn open(
    arguments: &Arguments,
    study: &Study,
    directory: Option<&Directory>,
) -> anyhow::Result<Opened> {
    let uri: Uri = study.target.parse().context("cannot use the study's target")?;
    let mut options = target::Options {
        study: format!("{:06}-{}", study.seed % 1_000_000, std::process::id()),
        seed: study.seed,
        roles: arguments.role.clone(),
        accounts: arguments.account.clone(),
        sink: arguments.sink,
        ..Default::default()
    };
    let mut state = None;
    if matches!(uri, Uri::Local) {
        let path = std::env::temp_dir().join(format!("peek-study-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        options.local = Some(local_command(study, &path, directory)?);
        state = Some(TemporaryState(path));
    }
    let live = Live::open(&uri, &options).await?;
    let plan = plan(study, &live, arguments.max_concurrency)?;
    Ok(Opened { live, plan, _state: state })
}

/// What a study will do on a target that is open.
fn plan<T: Target>(
    study: &Study,
    target: &T,
    max_concurrency: u32,
) -> anyhow::Result<experiment::Study> {
    let basis = Basis {
        scale: match study.scale.as_str() {
            "quick" => Scale::Quick,
            "full" => Scale::Full,
            _ => Scale::Default,
        },
        seed: study.seed,
        runtimes: target.runtimes(),
        memory_range_mib: target.memory_range_mib(),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        max_concurrency,
        tenants: target.facts().tenants,
        roles: target.facts().roles,
    };
    let scope = match target.uri() {
        Uri::Local => Scope::local(&basis),
        Uri::Lambda(_) | Uri::Aws(_) | Uri::Emulated(_) => Scope::cloud(&basis),
    };
    scope.check().context("cannot plan the study")?;
    Ok(experiment::Study { scope, experiments: kinds(&study.experiments)? })
}

/// `peek serve` with temporary state, as a user would start it.
fn local_command(
    study: &Study,
    state: &Path,
    directory: Option<&Directory>,
) -> anyhow::Result<LocalCommand> {
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command: Vec<OsString> = vec![this.into_os_string(), "serve".into()];
    // Two accounts, so that it can be seen whether tenants share hosts.
    // What people configure for servers of their own is none of a study's business.
    for argument in ["--config", NONE, "--listen", "127.0.0.1:0", "--tenants", "2", "--profile"] {
        command.push(argument.into());
    }
    command.push(study.profile.clone().into());
    command.push("--data".into());
    command.push(state.join("data").into_os_string());
    if let Some(directory) = directory {
        command.push("--journal".into());
        command.push(directory.journal().into_os_string());
    }
    let sink_port = free_port()?;
    command.push("--allow".into());
    command.push(format!("127.0.0.1:{sink_port}").into());
    Ok(LocalCommand { command, log: state.join("serve.log"), sink_port: Some(sink_port) })
}

/// A port that nobody uses now, so that the platform can open it to instances before anything listens there.
fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.context("cannot find a free port for the sink")?.port())
}

/// Where a study's records go: one file for each finished unit of work.
struct Files<'a> {
    directory: &'a Directory,
    study: Study,
    progress: Progress,
    began: Instant,
    /// Measured in earlier sittings, milliseconds.
    before_ms: u64,
    /// What each experiment still needs.
    left: BTreeMap<String, Span>,
    resumption: Resumption,
    /// The file of the unit that is under way, where its records come in parts.
    begun: Option<UnitWriter>,
}

/// How a study that was stopped goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resumption {
    /// Finished units are left out.
    Skip,
    /// Everything is done again to the same byte, and finished units are only not written again: in virtual time what
    /// went before decides what comes after.
    Replay,
}

/// What a study has come to.
struct Measured {
    study: Study,
    ended: Ended,
    /// Its records, where they have been read already.
    reading: Option<Reading>,
}

impl experiment::Sink for Files<'_> {
    type Error = anyhow::Error;

    fn is_finished(&self, experiment: &str, unit: &str) -> bool {
        self.resumption == Resumption::Skip && self.is_written(experiment, unit)
    }

    fn earlier(&mut self, experiment: &str) -> anyhow::Result<Vec<Record>> {
        match self.resumption {
            Resumption::Skip => Ok(record::read_experiment(&self.directory.records(), experiment)?),
            Resumption::Replay => Ok(Vec::new()),
        }
    }

    fn started(&mut self, experiment: &str, _unit: &Unit) {
        let left = self.left.get(experiment).copied().unwrap_or_default();
        self.progress.began(experiment, Duration::from(left));
    }

    fn progress(&mut self, done: Span, _expected: Span) {
        self.progress.set(Duration::from(done));
    }

    fn part(
        &mut self,
        experiment: &str,
        unit: &Unit,
        records: Vec<Record>,
    ) -> anyhow::Result<Vec<Record>> {
        if !self.is_written(experiment, &unit.name) {
            let writer = match self.begun.take() {
                Some(writer) => writer,
                None => UnitWriter::create(&self.directory.records(), experiment, &unit.name)?,
            };
            self.begun.insert(writer).write(&records)?;
        }
        Ok(Vec::new())
    }

    fn finished(
        &mut self,
        experiment: &str,
        unit: &Unit,
        records: &[Record],
    ) -> anyhow::Result<()> {
        if let Some(mut begun) = self.begun.take() {
            begun.write(records)?;
            begun.finish()?;
        } else if !self.is_written(experiment, &unit.name) {
            record::write_unit(&self.directory.records(), experiment, &unit.name, records)?;
        }
        if let Some(left) = self.left.get_mut(experiment) {
            *left = *left - unit.expected;
        }
        self.study.finished_at = now();
        self.study.measured_ms = self.before_ms + self.began.elapsed().as_millis() as u64;
        self.directory.save(&self.study)
    }

    fn problem(&mut self, experiment: &str, text: &str) {
        let problem = Problem { experiment: experiment.to_owned(), text: text.to_owned() };
        if !self.study.problems.contains(&problem) {
            self.progress.say(&format!("{experiment}: {text}"));
            self.study.problems.push(problem);
        }
    }
}

impl<'a> Files<'a> {
    fn new(
        directory: &'a Directory,
        study: Study,
        plan: &experiment::Study,
        resumption: Resumption,
    ) -> Self {
        let planned = plan.plan();
        let units = || planned.iter().flat_map(|planning| &planning.units);
        let left: BTreeMap<String, Span> = planned
            .iter()
            .map(|planning| {
                let all = planning.units.iter().fold(Span::ZERO, |sum, unit| sum + unit.expected);
                (planning.kind.about().name.to_owned(), all)
            })
            .collect();
        let expected = left.values().fold(Span::ZERO, |sum, span| sum + *span);
        Self {
            directory,
            before_ms: study.measured_ms,
            study: Study {
                planned_ms: expected.as_nanos() / 1_000_000,
                planned_requests: units().map(|unit| unit.invocations).sum(),
                planned_gib_s: units().map(|unit| unit.used).sum::<MemoryTime>().gib_s(),
                ..study
            },
            progress: Progress::new(Duration::from(expected)),
            began: Instant::now(),
            left,
            resumption,
            begun: None,
        }
    }

    fn is_written(&self, experiment: &str, unit: &str) -> bool {
        record::is_finished(&self.directory.records(), experiment, unit)
    }
}

async fn measure_live(
    arguments: &Arguments,
    directory: &Directory,
    mut study: Study,
) -> anyhow::Result<Measured> {
    let opened = open(arguments, &study, Some(directory)).await?;
    describe(&mut study, &opened.live);
    directory.save(&study)?;
    let files = Files::new(directory, study, &opened.plan, Resumption::Skip);
    let measured = measure(&opened.live, &opened.plan, files, stop_asked()).await;
    // Ends a local platform, which then has written its journal.
    drop(opened);
    let mut measured = measured?;
    if measured.ended == Ended::Complete && matches!(measured.study.target.parse(), Ok(Uri::Local))
    {
        let reading = Reading::of(directory)?;
        measured.study.truths = truths(directory, &measured.study, &reading)?;
        measured.reading = Some(reading);
    }
    Ok(measured)
}

/// Does a study, or the rest of it, and removes what it deployed.
async fn measure<T: Target>(
    target: &T,
    plan: &experiment::Study,
    mut files: Files<'_>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Measured> {
    let ended = experiment::run_study(target, plan, &mut files, stop).await;
    files.progress.close();
    let cleaned = target.cleanup().await;
    for (name, reason) in cleaned.left {
        experiment::Sink::problem(
            &mut files,
            "study",
            &format!("function {name} is left: {reason}"),
        );
    }
    Ok(Measured { study: files.study, ended: ended?, reading: None })
}

/// Draws the report, or says how to finish the study.
fn finish(
    arguments: &Arguments,
    directory: &Directory,
    Measured { study, ended, reading }: Measured,
) -> anyhow::Result<ExitCode> {
    directory.save(&study)?;
    if ended == Ended::Stopped {
        eprintln!("stopped; finish it with: peek study --resume {}", directory.path().display());
        return Ok(ExitCode::from(STOPPED));
    }
    let reading = match reading {
        Some(reading) => reading,
        None => Reading::of(directory)?,
    };
    let (findings, paths) = draw::draw(directory, &study, &reading)?;
    if arguments.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&findings).context("findings have a JSON form")?
        );
    } else {
        println!("{}", report::terminal_table(&findings));
        println!("report: {}", paths.html.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Fills in what the target says of itself.
fn describe<T: Target>(study: &mut Study, target: &T) {
    let facts = target.facts();
    study.limitations = facts
        .said
        .get("limitations")
        .map(|all| all.split(" | ").map(str::to_owned).collect())
        .unwrap_or_default();
    let sandbox = match facts.sandbox.as_str() {
        "" => "sandboxes of a kind that it does not name".to_owned(),
        kind => format!("sandboxes of kind {kind}"),
    };
    let said = |name: &str| facts.said.get(name).cloned().unwrap_or_default();
    study.about = match target.uri() {
        Uri::Local => format!(
            "Peek's own platform on this machine, profile {}, measured through its public API; {sandbox}.",
            study.profile
        ),
        Uri::Lambda(url) => format!("The Lambda API at {url}; {sandbox}."),
        Uri::Aws(region) => format!("AWS Lambda in {region}."),
        Uri::Emulated(_) => format!(
            "{}, emulated in virtual time by profile {}; {sandbox}. {}",
            said("about"),
            said("profile"),
            said("source")
        ),
    };
}

/// What profile and journals of the local platform say.
fn truths(
    directory: &Directory,
    study: &Study,
    reading: &Reading,
) -> anyhow::Result<Vec<analysis::Truth>> {
    let Thinned { records, left_out } = &reading.thinned;
    let mut truths = truth::of_profile(&serve::profile(&study.profile)?, records);
    truths.push(truth::clock::same());
    truths.extend(truth::Realised::read_all(directory.path())?.truths(records, left_out));
    Ok(truths)
}

/// Returns when the user or the system asks to stop.
async fn stop_asked() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut end) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = end.recv() => {}
    }
}
