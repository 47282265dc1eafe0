//! `peek clean`: what killed studies left on a target.

use anyhow::Context;
use std::process::ExitCode;
use target::Uri;

/// Options of `peek clean`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where: `lambda:http://HOST:PORT` or `aws:REGION`. A local target leaves nothing.
    #[arg(long, value_name = "URI")]
    target: Uri,
    /// A role, as `peek study` was given; AWS targets only.
    #[arg(long, value_name = "ARN")]
    role: Vec<String>,
    /// Profile of a further account, as `peek study` was given.
    #[arg(long, value_name = "NAME")]
    account: Vec<String>,
}

/// Removes functions that studies made and could not remove. The status is 1 where some are left.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if matches!(arguments.target, Uri::Local) {
        println!(
            "nothing to clean: the local platform ends with its study, with all that it holds"
        );
        return Ok(ExitCode::SUCCESS);
    }
    let options = target::Options {
        study: "clean".to_owned(),
        roles: arguments.role.clone(),
        accounts: arguments.account.clone(),
        ..Default::default()
    };
    let cleaned = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?
        .block_on(target::clean(&arguments.target, &options))?;
    for name in &cleaned.removed {
        println!("removed {name}");
    }
    for (name, reason) in &cleaned.left {
        println!("left {name}: {reason}");
    }
    println!("{} removed, {} left", cleaned.removed.len(), cleaned.left.len());
    Ok(if cleaned.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
