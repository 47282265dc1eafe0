//! `peek fn deploy`: what stands on disk, as functions of an endpoint.

use super::items::{Item, Several, items};
use super::put::{self, Put};
use super::template::{Given, Skips};
use super::{Output, layer, with_client};
use crate::client::{Client, Where};
use anyhow::bail;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

/// Options of `peek fn deploy`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A directory, a .zip, a .py or .js file, a program, a Rust project after `cargo lambda build`, a SAM template.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Name of the function [default: that of the directory or file]; of several, the one that is meant.
    #[arg(long, short, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    template: TemplateFlags,
    /// Publish a version of what was deployed.
    #[arg(long)]
    publish: bool,
    /// Form of the result.
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    place: Where,
}

/// What of a function is settings.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Settings {
    /// Runtime, as in python3.11, nodejs20.x, provided.al2023 [default: guessed from the files].
    #[arg(long, value_name = "NAME")]
    pub runtime: Option<String>,
    /// Entry, as in app.handler [default: guessed from the files].
    #[arg(long, value_name = "FILE.FUNCTION")]
    pub handler: Option<String>,
    /// Memory, MiB.
    #[arg(long, short, value_name = "MIB")]
    pub memory: Option<u32>,
    /// Longest time of one invocation, seconds; `off` for none, with `peek dev` only.
    #[arg(long, short, value_name = "SECONDS")]
    pub timeout: Option<TimeLimit>,
    /// An environment variable; may be repeated. All that are given replace all that the function had.
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// A file of lines KEY=VALUE; may be repeated; --env wins.
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// ARN of the role that the function has; made up where the endpoint is not AWS.
    #[arg(long, value_name = "ARN")]
    pub role: Option<String>,
    /// A layer: ARN of a version, or a directory or zip that becomes one; may be repeated.
    #[arg(long, value_name = "ARN|PATH")]
    pub layer: Vec<String>,
    /// A tag; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub tag: Vec<String>,
    /// Description.
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

/// How a template is read.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TemplateFlags {
    /// Value of a template's parameter; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub parameter: Vec<String>,
    /// Pass over what of a template is not supported, and say what that was, rather than refuse it.
    #[arg(long)]
    pub skip_unsupported: bool,
}

impl TemplateFlags {
    /// As templates are read with it, for an endpoint of this region.
    pub fn given(&self, region: &str) -> Given {
        Given {
            parameters: self.parameter.clone(),
            skips: if self.skip_unsupported { Skips::Unsupported } else { Skips::Nothing },
            region: region.to_owned(),
        }
    }
}

/// A limit of time, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLimit {
    /// So many seconds.
    Seconds(u32),
    /// None: for whoever looks into a function with a debugger.
    Off,
}

impl TimeLimit {
    /// What stands for no limit: a day.
    pub const OFF_S: u32 = 86_400;

    /// As a function's setting.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::Off => Self::OFF_S,
        }
    }
}

impl FromStr for TimeLimit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            text => text
                .parse()
                .map(Self::Seconds)
                .map_err(|_| "is neither seconds nor `off`".to_owned()),
        }
    }
}

/// Deploys.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.settings.timeout == Some(TimeLimit::Off) {
        bail!("--timeout off is for `peek dev`, whose platform knows no limit: name seconds");
    }
    with_client(&arguments.place, async |client| {
        let given = arguments.template.given(&client.place.region);
        let settings = (&arguments.settings, &given);
        let items = items(&arguments.path, arguments.name.as_deref(), settings, Several::Refused)?;
        let mut results = Vec::new();
        for mut item in items {
            say(&item);
            let put = put_item(&client, &mut item).await?;
            let version = match arguments.publish {
                true => Some(put::publish(&client, &item.plan.name).await?),
                false => None,
            };
            if arguments.output == Output::Text {
                report(&item, &put, version.as_deref());
            }
            results.push(json(&put, version.as_deref()));
        }
        if arguments.output == Output::Json {
            match results.as_slice() {
                [one] => println!("{one:#}"),
                several => println!("{:#}", json!({"Functions": several})),
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Brings one function to what it is to be, its layers first.
pub async fn put_item(client: &Client, item: &mut Item) -> anyhow::Result<Put> {
    let mut layers = Vec::new();
    for given in &item.layers {
        layers.push(layer::arn(client, given).await?);
    }
    item.plan.layers = (!layers.is_empty()).then_some(layers);
    put::put(client, &item.plan, item.source.zip()?).await
}

fn say(item: &Item) {
    let runtime = match (&item.plan.runtime, item.plan.language) {
        (Some(runtime), _) => runtime.clone(),
        (None, Some(language)) => format!("{language:?}").to_lowercase(),
        (None, None) => String::new(),
    };
    eprintln!("{}: {runtime}, handler {}", item.source.found, item.plan.handler);
    for note in &item.notes {
        eprintln!("note: {note}");
    }
}

fn json(put: &Put, version: Option<&str>) -> Value {
    json!({
        "Action": put.action.word(),
        "Version": version,
        "FunctionUrl": put.url,
        "Configuration": put.configuration,
    })
}

fn report(item: &Item, put: &Put, version: Option<&str>) {
    let text = |name: &str| put.configuration.get(name).and_then(Value::as_str).unwrap_or("?");
    println!("{} {}: {}", put.action.word(), item.plan.name, put.summary());
    println!("{}", text("FunctionArn"));
    if let Some(url) = &put.url {
        println!("{url}");
    }
    if let Some(version) = version {
        println!("published version {version}");
    }
    println!("try: peek fn invoke {} '{{\"n\": 1}}'", item.plan.name);
}
