//! `peek fn rm`: functions that go.

use super::put::FUNCTIONS;
use super::{FAILED, Output, with_client};
use crate::client::{Ask, Where, encode};
use http::Method;
use serde_json::json;
use std::process::ExitCode;

/// Options of `peek fn rm`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Names or ARNs; NAME:VERSION deletes one version.
    #[arg(required = true, value_name = "FUNCTION")]
    functions: Vec<String>,
    /// Form of the result.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    place: Where,
}

/// Deletes each; the status is 2 where one could not be deleted, and the others are deleted all the same.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    with_client(&arguments.place, async |client| {
        let (mut removed, mut left) = (Vec::new(), Vec::new());
        for function in &arguments.functions {
            let path = format!("{FUNCTIONS}/{}", encode(function));
            match client.call(Ask::lambda(Method::DELETE, path)).await {
                Ok(_) => removed.push(function),
                Err(error) => left.push((function, error.to_string())),
            }
        }
        match arguments.output {
            Output::Json => {
                let left: Vec<_> = left
                    .iter()
                    .map(|(name, why)| json!({"FunctionName": name, "Reason": why}))
                    .collect();
                println!("{:#}", json!({"Removed": removed, "Left": left}));
            }
            Output::Text => {
                removed.iter().for_each(|name| println!("removed {name}"));
                left.iter().for_each(|(name, why)| eprintln!("peek: cannot remove {name}: {why}"));
            }
        }
        Ok(if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    })
}
