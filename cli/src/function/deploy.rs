//! `peek fn deploy`: what stands on disk, as a function of an endpoint.

use super::put::{self, Plan, Put};
use super::source::{Language, Source};
use super::{Output, layer, variables, with_client};
use crate::client::{Client, Where};
use anyhow::{Context, bail};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `peek fn deploy`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A directory, a .zip, a .py or .js file, a program, a Rust project after `cargo lambda build`.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Name of the function [default: that of the directory or file].
    #[arg(long, short, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// Publish a version of what was deployed.
    #[arg(long)]
    publish: bool,
    /// Form of the result.
    #[arg(long, value_enum, default_value_t)]
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
    /// Longest time of one invocation, seconds.
    #[arg(long, short, value_name = "SECONDS")]
    pub timeout: Option<u32>,
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

/// Deploys.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let source = Source::find(&arguments.path, arguments.name.as_deref())?;
    let mut plan = plan(&source, arguments.name.clone(), &arguments.settings)?;
    with_client(&arguments.place, async |client| {
        say_source(&source, &plan);
        plan.layers = layers(&client, &arguments.settings).await?;
        let put = put::put(&client, &plan, source.zip()?).await?;
        let version = match arguments.publish {
            true => Some(put::publish(&client, &plan.name).await?),
            false => None,
        };
        report(&plan, &put, version.as_deref(), arguments.output);
        Ok(ExitCode::SUCCESS)
    })
}

/// What is to be deployed of a source, by flags first and by what its files tell else.
pub fn plan(source: &Source, name: Option<String>, settings: &Settings) -> anyhow::Result<Plan> {
    let language = match &settings.runtime {
        Some(runtime) => Language::of(runtime),
        None => source.language,
    };
    let is_native = language == Some(Language::Native);
    let handler = settings.handler.clone().or_else(|| source.handler.clone());
    let handler = handler.or_else(|| is_native.then(|| "bootstrap".to_owned()));
    if settings.runtime.is_none() && language.is_none() {
        bail!(
            "{}: no file in it has a handler by its name; say which runtime and which entry, as in --runtime python3.11 \
             --handler app.handler",
            source.found
        );
    }
    let handler = handler.with_context(|| {
        format!("{}: no function in it is named handler or lambda_handler; name one with --handler FILE.FUNCTION", source.found)
    })?;
    let tags = settings.tag.iter().map(|tag| {
        let (key, value) =
            tag.split_once('=').with_context(|| format!("--tag {tag:?} is not KEY=VALUE"))?;
        Ok((key.to_owned(), value.to_owned()))
    });
    Ok(Plan {
        name: name.unwrap_or_else(|| source.name.clone()),
        runtime: settings.runtime.clone(),
        language,
        handler,
        architecture: source.architecture,
        memory_mib: settings.memory,
        timeout_s: settings.timeout,
        environment: variables::read(&settings.env_file, &settings.env)?,
        role: settings.role.clone(),
        layers: None,
        tags: tags.collect::<anyhow::Result<BTreeMap<_, _>>>()?,
        description: settings.description.clone(),
    })
}

/// ARNs of the layers; those that are directories or zips are published before. None where none was given.
async fn layers(client: &Client, settings: &Settings) -> anyhow::Result<Option<Vec<String>>> {
    let mut arns = Vec::new();
    for given in &settings.layer {
        arns.push(layer::arn(client, given).await?);
    }
    Ok((!arns.is_empty()).then_some(arns))
}

fn say_source(source: &Source, plan: &Plan) {
    let runtime = match (&plan.runtime, plan.language) {
        (Some(runtime), _) => runtime.clone(),
        (None, Some(language)) => format!("{language:?}").to_lowercase(),
        (None, None) => String::new(),
    };
    eprintln!("{}: {runtime}, handler {}", source.found, plan.handler);
    for warning in &source.warnings {
        eprintln!("warning: {warning}");
    }
}

fn report(plan: &Plan, put: &Put, version: Option<&str>, output: Output) {
    if output == Output::Json {
        let result = json!({
            "Action": put.action.word(),
            "Version": version,
            "Configuration": put.configuration,
        });
        println!("{result:#}");
        return;
    }
    let text = |name: &str| put.configuration.get(name).and_then(|it| it.as_str()).unwrap_or("?");
    let number = |name: &str| put.configuration.get(name).and_then(|it| it.as_u64()).unwrap_or(0);
    println!(
        "{} {}: {}, handler {}, {} MiB, {} s, {} bytes",
        put.action.word(),
        plan.name,
        text("Runtime"),
        text("Handler"),
        number("MemorySize"),
        number("Timeout"),
        number("CodeSize"),
    );
    println!("{}", text("FunctionArn"));
    if let Some(version) = version {
        println!("published version {version}");
    }
    println!("try: peek fn invoke {} '{{\"n\": 1}}'", plan.name);
}
