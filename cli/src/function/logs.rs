//! `peek fn logs` and `peek logs`: what functions logged, once or as it comes.

use super::list;
use super::tail::{Event, Printer, Tail};
use super::{Output, with_client};
use crate::client::{Client, Where};
use crate::terminal::Paint;
use anyhow::{Context, bail};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Wait between two looks at an endpoint on this machine, and at one elsewhere, whose requests are counted.
const POLL_NEAR: Duration = Duration::from_millis(200);
const POLL_FAR: Duration = Duration::from_secs(1);

/// Options of `peek logs`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Function [default: all of them].
    function: Option<String>,
    /// Go on, with each line as it comes, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// From when: an age (30s, 10m, 2h, 1d) or a time (2026-11-30T12:00:00Z).
    #[arg(long, short, value_name = "AGE|TIME", default_value = "10m")]
    since: String,
    /// Only events that match this CloudWatch Logs filter pattern.
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    /// `json` prints one object for each event.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    place: Where,
}

/// Prints.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let since_ms = since(&arguments.since, Timestamp::now())?;
    with_client(&arguments.place, async |client| {
        tokio::select! {
            done = print_all(&client, arguments, since_ms) => done,
            stopped = tokio::signal::ctrl_c() => {
                stopped.context("cannot wait for Ctrl-C")?;
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

async fn print_all(
    client: &Client,
    arguments: &Arguments,
    since_ms: i64,
) -> anyhow::Result<ExitCode> {
    let is_near =
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|it| client.place.endpoint.contains(it));
    let poll = if is_near { POLL_NEAR } else { POLL_FAR };
    let mut printer = Printer::new(Paint::of_stdout());
    let mut tails = Vec::new();
    loop {
        for name in names(client, arguments.function.as_deref()).await? {
            if !tails.iter().any(|tail: &Tail| tail.function() == name) {
                tails.push(Tail::new(name, since_ms, arguments.filter.clone()));
            }
        }
        let mut events = Vec::new();
        for tail in &mut tails {
            let is_named = arguments.function.is_some() && !arguments.follow;
            events.extend(tail.next(client, is_named).await?);
        }
        events.sort_by_key(|event: &Event| event.time_ms);
        for event in &events {
            match arguments.output {
                Output::Text => println!("{}", printer.line(event)),
                Output::Json => println!("{}", json(event)),
            }
        }
        if !arguments.follow {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(poll).await;
    }
}

async fn names(client: &Client, named: Option<&str>) -> anyhow::Result<Vec<String>> {
    if let Some(name) = named {
        return Ok(vec![name.to_owned()]);
    }
    let functions = list::all(client).await?;
    let name = |function: &Value| Some(function.get("FunctionName")?.as_str()?.to_owned());
    Ok(functions.iter().filter_map(name).collect())
}

fn json(event: &Event) -> Value {
    json!({
        "function": event.function,
        "logStreamName": event.stream,
        "timestamp": event.time_ms,
        "message": event.message,
        "eventId": event.id,
    })
}

/// The moment that is meant, in milliseconds since 1970.
fn since(text: &str, now: Timestamp) -> anyhow::Result<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => bail!(
            "--since {text:?} is neither an age (30s, 10m, 2h, 1d) nor a time (2026-11-30T12:00:00Z)"
        ),
    };
    let count: i64 = text[..text.len() - 1].parse().with_context(|| {
        format!("--since {text:?} is neither an age (30s, 10m, 2h, 1d) nor a time (2026-11-30T12:00:00Z)")
    })?;
    Ok(now.as_millisecond().saturating_sub(count.saturating_mul(unit * 1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Ages and times are told apart; anything else is refused with an example of each.
    #[test]
    fn moments_are_read() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().expect("a time");
        let at = |text: &str| since(text, now).expect("a moment");
        assert_eq!(at("90s"), now.as_millisecond() - 90_000);
        assert_eq!(at("2h"), now.as_millisecond() - 7_200_000);
        assert_eq!(at("2026-11-30T12:00:00Z"), now.as_millisecond());
        for wrong in ["", "m", "5", "yesterday", "5w", "é"] {
            assert!(since(wrong, now).expect_err("refused").to_string().contains("10m"), "{wrong}");
        }
    }
}
