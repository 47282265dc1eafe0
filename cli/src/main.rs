//! `peek`, the one binary: measures function platforms, and is one.

mod analyse;
mod bill;
mod calibrate;
mod clean;
mod directory;
mod doctor;
mod draw;
mod price;
mod profile;
mod progress;
mod reading;
mod replay;
mod serve;
mod spent;
mod study;
mod truth;
#[cfg(test)]
mod whole;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Looks behind the curtain of serverless platforms.
#[derive(Debug, Parser)]
#[command(name = "peek", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure a platform from outside and leave a report.
    Study(study::Arguments),
    /// Run the platform alone: the AWS Lambda API on this machine.
    Serve(serve::Arguments),
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
    /// Find and remove what a killed study left on a target.
    Clean(clean::Arguments),
    /// Own the sandboxes of a server; started by `peek serve` itself.
    #[command(hide = true)]
    Starter {
        /// What the server passes on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::Starter { rest } = arguments.command {
        sandbox::container::starter::main(&rest);
    }
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("PEEK_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    let done = match arguments.command {
        Command::Study(arguments) => study::run(arguments),
        Command::Serve(arguments) => serve::run(arguments),
        Command::Report(arguments) => draw::run(&arguments),
        Command::Calibrate(arguments) => calibrate::run(&arguments),
        Command::Profile(arguments) => profile::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Analyse(arguments) => analyse::run(&arguments),
        Command::Bill(arguments) => bill::run(arguments),
        Command::Doctor => doctor::run(),
        Command::Clean(arguments) => clean::run(&arguments),
        Command::Starter { .. } => Ok(ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        // One line with all causes: `cannot x: cannot y: z`.
        eprintln!("peek: {error:#}");
        ExitCode::FAILURE
    })
}
