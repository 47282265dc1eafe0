//! `peek doctor`: one line for each thing that sandboxes need or can use.

use sandbox::doctor::{Standing, examine};
use std::process::ExitCode;

/// Prints what this machine offers. The status is 1 where no function could run in a container.
pub fn run() -> anyhow::Result<ExitCode> {
    let checks = examine();
    for check in &checks {
        let mark = match check.standing {
            Standing::Good => "ok     ",
            Standing::Lacking => "lacking",
            Standing::Fatal => "fatal  ",
        };
        let remedy = if check.remedy.is_empty() {
            String::new()
        } else {
            format!("; remedy: {}", check.remedy)
        };
        println!("{mark} {:<18} {}{remedy}", check.name, check.found);
    }
    let fatal = checks.iter().any(|check| check.standing == Standing::Fatal);
    Ok(if fatal { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
