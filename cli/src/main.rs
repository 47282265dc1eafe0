//! `peek`, the one binary: measures function platforms, and is one.

mod analyse;
mod bill;
mod calibrate;
mod clean;
mod client;
mod configuration;
mod dev;
mod directory;
mod doctor;
mod draw;
mod function;
mod price;
mod profile;
mod progress;
mod reading;
mod replay;
mod serve;
mod shell;
mod spent;
mod study;
mod terminal;
mod truth;
#[cfg(test)]
mod whole;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use configuration::Configuration;
use std::ffi::OsString;
use std::process::ExitCode;

/// Looks behind the curtain of serverless platforms.
#[derive(Debug, Parser)]
#[command(name = "peek", version, arg_required_else_help = true)]
struct Arguments {
    /// Configuration file: a section for each command, a key for each flag; `none` for no file and no variables
    /// [default: ./peek.toml and /etc/peek/peek.toml].
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PEEK_CONFIG",
        hide_env = true,
        help_heading = "Everywhere"
    )]
    config: Option<OsString>,
    /// Form of what this program logs to standard error; PEEK_LOG says how much (error, warn, info, debug).
    #[arg(
        long,
        global = true,
        value_name = "FORM",
        value_enum,
        default_value_t,
        env = "PEEK_LOG_FORMAT",
        hide_env = true,
        help_heading = "Everywhere"
    )]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    // For people.
    #[default]
    Text,
    // A JSON object for each line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure a platform from outside and leave a report.
    Study(study::Arguments),
    /// Run the platform alone: the AWS Lambda API on this machine.
    Serve(serve::Arguments),
    /// Run a platform of one's own on which what is saved runs, and print what it logs.
    Dev(dev::Arguments),
    /// Deploy, invoke, list and delete functions, and read their logs, on any endpoint of the Lambda API.
    #[command(name = "fn")]
    Function(function::Arguments),
    /// Print what functions logged; -f goes on as it comes.
    Logs(function::LogsArguments),
    /// Draw a study's report again from its records alone.
    Report(draw::Arguments),
    /// Score the instrument on random platforms whose truth is known.
    Calibrate(calibrate::Arguments),
    /// List platform profiles, or explain one and say what is wrong with it.
    Profile(profile::Arguments),
    /// Run a trace of invocations through the scheduler in virtual time, under one policy or several side by side.
    Replay(replay::Arguments),
    /// Analyse measurements that Peek did not make: tables of latencies or of idle pools.
    Analyse(analyse::Arguments),
    /// Say what was billed and what was really used, per tenant, function and day.
    Bill(bill::Arguments),
    /// Say what this machine offers to sandboxes, and the remedy for what is missing.
    Doctor,
    /// Find and remove what a killed study left on a target, or killed servers on this machine.
    Clean(clean::Arguments),
    /// Show every flag's value where the command line does not name it, and where it comes from.
    Config(configuration::ShowArguments),
    /// Print completions for a shell.
    Completions(shell::CompletionsArguments),
    /// Print a manual page, or write those of all commands.
    Man(shell::ManArguments),
    /// Print a systemd unit that runs the platform.
    Unit,
    /// Say which version this is, built from what and for what.
    Version(shell::VersionArguments),
    /// Lead a debugger into a sandbox; started by `peek dev` itself.
    #[command(hide = true)]
    Tunnel {
        /// A process in the sandbox.
        pid: u32,
        /// The port there.
        port: u16,
    },
    /// Own the sandboxes of a server; started by `peek serve` itself.
    #[command(hide = true)]
    Starter {
        /// What the server passes on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

/// The command line as it can be.
fn command() -> clap::Command {
    let mut command = Arguments::command();
    command.build();
    command
}

fn main() -> ExitCode {
    let given: Vec<OsString> = std::env::args_os().collect();
    if given.get(1).is_some_and(|word| word == "starter") {
        let rest: Vec<String> =
            given[2..].iter().map(|word| word.to_string_lossy().into_owned()).collect();
        sandbox::container::starter::main(&rest);
    }
    match read(given) {
        Ok((arguments, configuration)) => run(arguments, &configuration),
        Err(error) => failed(&error),
    }
}

/// Reads the command line, completed by files and variables. What clap refuses ends the program here, as it does.
fn read(given: Vec<OsString>) -> anyhow::Result<(Arguments, Configuration)> {
    let root = command();
    let configuration = Configuration::read(&root, configuration::file_in(&given))?;
    let completed = configuration.complete(&root, given)?;
    let arguments = Arguments::command()
        .try_get_matches_from(&completed.arguments)
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    match arguments {
        Ok(arguments) => Ok((arguments, configuration)),
        Err(error) => {
            let explained = completed.explain(&error);
            let _ = error.print();
            if let Some(explained) = explained {
                eprintln!("\n{explained}");
            }
            std::process::exit(error.exit_code())
        }
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // One line with all causes: `cannot x: cannot y: z`.
    eprintln!("peek: {error:#}");
    ExitCode::FAILURE
}

fn log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PEEK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

fn run(arguments: Arguments, configuration: &Configuration) -> ExitCode {
    log(arguments.log_format);
    let done = match arguments.command {
        Command::Study(arguments) => study::run(arguments),
        Command::Serve(arguments) => serve::run(arguments),
        Command::Dev(arguments) => dev::run(arguments),
        Command::Completions(arguments) => shell::completions(&arguments, command()),
        Command::Man(arguments) => shell::man(&arguments, &command()),
        Command::Unit => shell::unit(),
        Command::Version(arguments) => Ok(shell::version(&arguments)),
        Command::Tunnel { pid, port } => dev::tunnel(pid, port),
        Command::Function(arguments) => function::run(arguments),
        Command::Logs(arguments) => function::logs(&arguments),
        Command::Report(arguments) => draw::run(&arguments),
        Command::Calibrate(arguments) => calibrate::run(&arguments),
        Command::Profile(arguments) => profile::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Analyse(arguments) => analyse::run(&arguments),
        Command::Bill(arguments) => bill::run(arguments),
        Command::Doctor => doctor::run(),
        Command::Clean(arguments) => clean::run(&arguments),
        Command::Config(arguments) => configuration::show(&arguments, &command(), configuration),
        Command::Starter { .. } => Ok(ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| failed(&error))
}
