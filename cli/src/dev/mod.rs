//! `peek dev`: a platform of one's own, on which what is saved runs.
//!
//! Starts `peek serve` as a child, deploys the functions of a directory, and again whatever of them is saved; prints what they
//! log. Deliberately has no way into the platform but its public API.

mod check;
mod inspect;
mod platform;
mod redeploy;
mod watch;

use crate::client::{Client, Where};
use crate::function::{Printer, Settings, Tail, TemplateFlags, TimeLimit};
use crate::terminal::{Colour, Paint};
use anyhow::{Context, bail};
use platform::Platform;
use redeploy::Redeployer;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

pub use inspect::tunnel;

/// Wait between two looks into the functions' logs.
const LOG_POLL: Duration = Duration::from_millis(150);
/// First inspector port of Node.js, and of debugpy, by their own documents.
const NODE_PORT: u16 = 9229;
const PYTHON_PORT: u16 = 5678;

/// Options of `peek dev`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory of a function, of several, or of a SAM template; or a file.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Name of the function [default: that of the directory or file]; of several, the one that is meant.
    #[arg(long, short, value_name = "NAME")]
    name: Option<String>,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9470")]
    listen: SocketAddr,
    /// Where the platform keeps its data [default: a temporary directory, removed at the end].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Let idle instances run on: threads and timers work between invocations.
    #[arg(long)]
    no_freeze: bool,
    /// Have each function listen for a debugger (Node.js: inspector, Python: debugpy), at this port of this machine and the
    /// following ones [default: 9229, 5678]. Implies --no-freeze and --timeout off.
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    inspect: Option<u16>,
    /// What instances can reach: `routed` (the world, by NAT), `none`, or `auto` (routed where this machine can).
    #[arg(long, value_name = "KIND", default_value = "auto")]
    network: server::Network,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    template: TemplateFlags,
}

/// Runs until Ctrl-C or SIGTERM.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?
        .block_on(work(arguments))
}

/// Prints lines of `peek dev` itself.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    paint: Paint,
}

impl Voice {
    /// A line.
    pub fn say(self, text: &str) {
        println!("{} {text}", self.paint.paint(Colour::FAINT, "peek"));
    }

    /// A line on what went wrong.
    pub fn complain(self, text: &str) {
        println!(
            "{} {}",
            self.paint.paint(Colour::FAINT, "peek"),
            self.paint.paint(Colour::RED, text)
        );
    }
}

async fn work(mut arguments: Arguments) -> anyhow::Result<ExitCode> {
    let voice = Voice { paint: Paint::of_stdout() };
    let path = std::fs::canonicalize(&arguments.path)
        .with_context(|| format!("cannot find {}", arguments.path.display()))?;
    if arguments.inspect.is_some() {
        arguments.no_freeze = true;
        arguments.settings.timeout.get_or_insert(TimeLimit::Off);
    }
    let mut end = (
        signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?,
        signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
    );
    let mut platform = Platform::start(&arguments).await?;
    voice.say(&format!("platform at {}, data in {}", platform.endpoint, platform.place()));
    let place = Where { data: Some(platform.data().to_owned()), ..Where::default() };
    let client = Client::new(place.find().await?)?;
    let worked = tokio::select! {
        worked = serve(&client, &path, &arguments, voice) => worked,
        status = platform.ended() => bail!("the platform ended: {status}"),
        _ = end.0.recv() => Ok(()),
        _ = end.1.recv() => Ok(()),
    };
    voice.say("ending");
    platform.stop().await;
    worked.map(|()| ExitCode::SUCCESS)
}

/// Deploys, watches and prints, for ever.
async fn serve(
    client: &Client,
    path: &Path,
    arguments: &Arguments,
    voice: Voice,
) -> anyhow::Result<()> {
    let watch = watch::Watch::new(path)?;
    let mut redeployer = Redeployer::new(path, arguments, voice);
    redeployer.all(client).await;
    if !redeployer.has_any() {
        voice.say("nothing is deployed yet: waiting for a save");
    }
    instructions(&redeployer, client, arguments, voice);
    voice.say(&format!("watching {}; Ctrl-C ends", path.display()));
    let mut printer = Printer::new(voice.paint);
    let mut tails: Vec<Tail> = Vec::new();
    let mut are_logs_there = true;
    let mut saves = saves(watch);
    loop {
        tokio::select! {
            saved = saves.recv() => {
                saved.context("nobody watches any more")?.context("cannot watch for saves")?;
                redeployer.all(client).await;
            }
            () = tokio::time::sleep(LOG_POLL), if are_logs_there => {
                if let Err(error) = print_logs(client, (&redeployer.names(), &mut tails), &mut printer).await {
                    voice.complain(&format!("no logs from here on: {error:#}"));
                    are_logs_there = false;
                }
            }
        }
    }
}

/// A message for each time that something was saved. Saves that come while one waits to be taken are one with it.
fn saves(mut watch: watch::Watch) -> mpsc::Receiver<std::io::Result<()>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let changed = watch.changed().await;
            let is_over = changed.is_err();
            if sender.send(changed).await.is_err() || is_over {
                return;
            }
        }
    });
    receiver
}

async fn print_logs(
    client: &Client,
    (names, tails): (&[String], &mut Vec<Tail>),
    printer: &mut Printer,
) -> anyhow::Result<()> {
    for name in names {
        if !tails.iter().any(|tail| tail.function() == name) {
            let now_ms = jiff::Timestamp::now().as_millisecond();
            // What it logged between its deployment and now is not to be missed.
            tails.push(Tail::new(name.clone(), now_ms - 10_000, None));
        }
    }
    let mut events = Vec::new();
    for tail in tails {
        events.extend(tail.next(client, false).await?);
    }
    events.sort_by_key(|event| event.time_ms);
    for event in &events {
        println!("{}", printer.line(event));
    }
    Ok(())
}

fn instructions(redeployer: &Redeployer<'_>, client: &Client, arguments: &Arguments, voice: Voice) {
    let data = arguments.data.as_ref().map(|data| format!(" --data {}", data.display()));
    let endpoint = &client.place.endpoint;
    for name in redeployer.names() {
        let how = data.clone().unwrap_or_else(|| format!(" --endpoint {endpoint}"));
        voice.say(&format!("invoke: peek fn invoke {name} '{{}}'{how}"));
        voice.say(&format!(
            "or:     curl -d '{{}}' {endpoint}/2015-03-31/functions/{name}/invocations"
        ));
    }
}
