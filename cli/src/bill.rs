//! `peek bill`: what was billed and what was really used, from the accounts of a server.

use crate::client::default_data;
use crate::serve;
use anyhow::bail;
use scheduler::Prices;
use serde::Serialize;
use server::accounts::{self, Row, Sums};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `peek bill`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory of the server, which may be running [default: as of `peek serve`].
    #[arg(long, value_name = "DIR", env = "PEEK_DATA")]
    data: Option<PathBuf>,
    /// What one line is about; may be repeated [default: tenant, function and day].
    #[arg(long, value_name = "WHAT", value_enum)]
    by: Vec<By>,
    /// First day, as 2026-11-30, in UTC.
    #[arg(long, value_name = "DAY")]
    since: Option<String>,
    /// Last day.
    #[arg(long, value_name = "DAY")]
    until: Option<String>,
    /// Profile whose prices count: `local`, `study`, or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "local", env = "PEEK_PROFILE")]
    profile: String,
    /// How to print it.
    #[arg(long, value_name = "FORM", value_enum, default_value = "table")]
    output: Output,
}

/// What one line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Tenant,
    Function,
    Day,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

/// One line.
#[derive(Debug, PartialEq, Serialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    invocations: u64,
    billed_s: f64,
    billed_gib_s: f64,
    cpu_s: f64,
    cpu_unbilled_s: f64,
    memory_peak_mib: f64,
    cost_usd: f64,
}

/// Prints the accounts.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    for (name, day) in [("--since", &arguments.since), ("--until", &arguments.until)] {
        if let Some(day) = day
            && !is_day(day)
        {
            bail!("{name} {day} is no day as in 2026-11-30");
        }
    }
    let data = match arguments.data {
        Some(data) => data,
        None => default_data()?,
    };
    let prices = serve::profile(&arguments.profile)?.prices;
    let mut rows = accounts::read(&data)?;
    rows.retain(|row| {
        arguments.since.as_ref().is_none_or(|since| row.day >= *since)
            && arguments.until.as_ref().is_none_or(|until| row.day <= *until)
    });
    let by = match arguments.by.is_empty() {
        true => vec![By::Tenant, By::Function, By::Day],
        false => arguments.by,
    };
    let lines = lines(&rows, &by, prices);
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&lines)?),
        Output::Table => print!("{}", table(&lines, &by)),
    }
    Ok(ExitCode::SUCCESS)
}

fn is_day(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Sums of the rows that agree in what the lines are about, in its order.
fn lines(rows: &[Row], by: &[By], prices: Prices) -> Vec<Line> {
    type Key = (Option<String>, Option<String>, Option<String>);
    let mut sums: BTreeMap<Key, Sums> = BTreeMap::new();
    for row in rows {
        let part = |what, text: String| by.contains(&what).then_some(text);
        let key = (
            part(By::Tenant, row.tenant.to_string()),
            part(By::Function, row.function.clone()),
            part(By::Day, row.day.clone()),
        );
        sums.entry(key).or_default().add(&row.sums);
    }
    let line = |((tenant, function, day), sums): (Key, Sums)| {
        let billed_gib_s = sums.billed_mib_ms as f64 / 1024.0 / 1000.0;
        Line {
            tenant,
            function,
            day,
            invocations: sums.invocations,
            billed_s: sums.billed_ms as f64 / 1e3,
            billed_gib_s,
            cpu_s: sums.cpu_us as f64 / 1e6,
            cpu_unbilled_s: sums.cpu_unbilled_us as f64 / 1e6,
            memory_peak_mib: sums.memory_peak_bytes as f64 / 1_048_576.0,
            cost_usd: sums.invocations as f64 / 1e6 * prices.million_invocations_usd
                + billed_gib_s * prices.gib_second_usd,
        }
    };
    sums.into_iter().map(line).collect()
}

fn table(lines: &[Line], by: &[By]) -> String {
    let mut rows = vec![Vec::new()];
    for (what, name) in [(By::Tenant, "tenant"), (By::Function, "function"), (By::Day, "day")] {
        if by.contains(&what) {
            rows[0].push(name.to_owned());
        }
    }
    let numbers = [
        "invocations",
        "billed s",
        "billed GiB-s",
        "CPU s",
        "CPU s unbilled",
        "peak MiB",
        "cost USD",
    ];
    let texts = rows[0].len();
    rows[0].extend(numbers.map(str::to_owned));
    for line in lines {
        let mut row: Vec<String> =
            [&line.tenant, &line.function, &line.day].into_iter().flatten().cloned().collect();
        row.extend([
            line.invocations.to_string(),
            format!("{:.3}", line.billed_s),
            format!("{:.4}", line.billed_gib_s),
            format!("{:.3}", line.cpu_s),
            format!("{:.3}", line.cpu_unbilled_s),
            format!("{:.1}", line.memory_peak_mib),
            format!("{:.8}", line.cost_usd),
        ]);
        rows.push(row);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < texts { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::TenantId;

    fn row(tenant: u64, function: &str, day: &str, invocations: u64) -> Row {
        let sums = Sums {
            invocations,
            billed_ms: invocations * 1000,
            billed_mib_ms: invocations * 1000 * 512,
            cpu_us: invocations * 1500,
            cpu_unbilled_us: 7,
            memory_peak_bytes: invocations << 20,
        };
        let (function, day) = (function.to_owned(), day.to_owned());
        Row { tenant: TenantId::from_number(tenant), function, day, sums }
    }

    // Lines add up what agrees; a million invocations of 512 MiB for a second cost what the list says.
    #[test]
    fn lines_add_up() {
        let rows = [
            row(1, "f", "2026-11-29", 250_000),
            row(1, "f", "2026-11-30", 250_000),
            row(1, "g", "2026-11-30", 500_000),
            row(2, "f", "2026-11-30", 3),
        ];
        let by_tenant = lines(&rows, &[By::Tenant], Prices::default());
        assert_eq!(by_tenant.len(), 2);
        assert_eq!((by_tenant[0].invocations, by_tenant[0].function.as_deref()), (1_000_000, None));
        assert!((by_tenant[0].cost_usd - (0.20 + 500_000.0 * 0.000_016_666_7)).abs() < 1e-9);
        assert_eq!((by_tenant[0].cpu_s, by_tenant[0].memory_peak_mib), (1500.0, 500_000.0));
        assert_eq!(lines(&rows, &[By::Function, By::Day], Prices::default()).len(), 3);
        let text = table(&by_tenant, &[By::Tenant]);
        assert!(
            text.lines().nth(1).is_some_and(|line| line.starts_with("000000000001  ")),
            "{text}"
        );
    }

    // Days are days.
    #[test]
    fn days_are_days() {
        assert!(is_day("2026-11-30") && !is_day("2026-1-30") && !is_day("yesterday!"));
    }
}
