//! `peek fn`: functions on any endpoint of the Lambda API, without an AWS CLI.

mod beside;
mod deploy;
mod invoke;
mod items;
mod layer;
mod list;
mod logs;
mod put;
mod remove;
mod source;
mod tail;
mod template;
mod variables;

use crate::client::{Client, Where};
use anyhow::Context;
use std::future::Future;
use std::process::ExitCode;

pub use deploy::{Settings, TemplateFlags, TimeLimit, put_item};
pub use items::{Item, Several, items};
pub use logs::Arguments as LogsArguments;
pub use put::Action;
pub use source::{Language, left_out};
pub use tail::{Printer, Tail};

/// Status where the function itself failed.
const FUNCTION_FAILED: u8 = 1;
/// Status of any other failure.
const FAILED: u8 = 2;

/// Options of `peek fn`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create a function, or update it, from a directory, a zip, a file or a program.
    Deploy(deploy::Arguments),
    /// Invoke a function; the status is 1 where it failed, 2 where it could not be invoked.
    Invoke(invoke::Arguments),
    /// Print what functions logged.
    Logs(logs::Arguments),
    /// List functions.
    #[command(visible_alias = "list")]
    Ls(list::Arguments),
    /// Delete functions.
    #[command(visible_alias = "delete")]
    Rm(remove::Arguments),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    // For people.
    #[default]
    Text,
    // For programs.
    Json,
}

/// Runs one of the commands.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let done = match arguments.command {
        Command::Deploy(arguments) => deploy::run(&arguments),
        Command::Invoke(arguments) => invoke::run(&arguments),
        Command::Logs(arguments) => return logs(&arguments),
        Command::Ls(arguments) => list::run(&arguments),
        Command::Rm(arguments) => remove::run(&arguments),
    };
    Ok(done.unwrap_or_else(failed))
}

/// Runs `peek logs`.
pub fn logs(arguments: &LogsArguments) -> anyhow::Result<ExitCode> {
    Ok(logs::run(arguments).unwrap_or_else(failed))
}

fn failed(error: anyhow::Error) -> ExitCode {
    eprintln!("peek: {error:#}");
    ExitCode::from(FAILED)
}

/// Runs what needs a client, on a thread of its own choice.
fn with_client<F: Future<Output = anyhow::Result<ExitCode>>>(
    place: &Where,
    work: impl FnOnce(Client) -> F,
) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?
        .block_on(async { work(Client::new(place.find().await?)?).await })
}
