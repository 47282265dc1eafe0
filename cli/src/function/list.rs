//! `peek fn ls`: which functions there are.

use super::put::FUNCTIONS;
use super::{Output, with_client};
use crate::client::{Ask, Client, Where, encode};
use anyhow::Context;
use http::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Most pages that are asked for: 50 functions each (service model, ListFunctions).
const PAGES: usize = 10_000;

/// Options of `peek fn ls`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Form of the list.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    place: Where,
}

/// Lists.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    with_client(&arguments.place, async |client| {
        let functions = all(&client).await?;
        match arguments.output {
            Output::Json => println!("{:#}", json!({"Functions": functions})),
            Output::Text => print(&functions),
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The configuration of every function.
pub async fn all(client: &Client) -> anyhow::Result<Vec<Value>> {
    let mut functions = Vec::new();
    let mut marker = String::new();
    for _ in 0..PAGES {
        let path = match marker.as_str() {
            "" => format!("{FUNCTIONS}/"),
            marker => format!("{FUNCTIONS}/?Marker={}", encode(marker)),
        };
        let page = client
            .call(Ask::lambda(Method::GET, path))
            .await
            .context("cannot list functions")?
            .json()?;
        functions
            .extend(page.get("Functions").and_then(Value::as_array).cloned().unwrap_or_default());
        match page.get("NextMarker").and_then(Value::as_str) {
            Some(next) if !next.is_empty() => marker = next.to_owned(),
            _ => break,
        }
    }
    Ok(functions)
}

fn print(functions: &[Value]) {
    if functions.is_empty() {
        eprintln!("no functions; one is made by: peek fn deploy PATH");
        return;
    }
    let text = |function: &Value, name: &str| match function.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "-".to_owned(),
    };
    let columns = ["FunctionName", "Runtime", "MemorySize", "Timeout", "CodeSize", "LastModified"];
    let head = ["NAME", "RUNTIME", "MEMORY", "TIMEOUT", "BYTES", "MODIFIED"].map(str::to_owned);
    let rows = functions.iter().map(|function| columns.map(|column| text(function, column)));
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            // Numbers end under each other.
            if (2..5).contains(&column) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
