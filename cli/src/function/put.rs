//! Creating a function or bringing it to what a plan says, and waiting until that is in force.
//!
//! Deliberately knows nothing of files and flags.

use super::beside;
use super::source::Language;
use crate::client::{Ask, CallError, Client, encode};
use anyhow::{Context, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a function may take to become active, or an update to be in force.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);
/// Wait before a state is asked for the second time; it doubles up to [`SETTLE_POLL_MOST`].
const SETTLE_POLL: Duration = Duration::from_millis(5);
const SETTLE_POLL_MOST: Duration = Duration::from_millis(500);
/// Functions of the Lambda API.
pub const FUNCTIONS: &str = "/2015-03-31/functions";
/// A role for endpoints that look at its form only; AWS's own documents use the account as an example.
const MADE_UP_ROLE: &str = "arn:aws:iam::123456789012:role/peek";

/// A function as it is to be. None leaves what is there, or takes the service's default.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Its runtime; None to have one of `language` that the endpoint has.
    pub runtime: Option<String>,
    /// Its language, where that is known.
    pub language: Option<Language>,
    /// Its entry.
    pub handler: String,
    /// Its machine; None for the service's default.
    pub architecture: Option<&'static str>,
    /// Memory in MiB.
    pub memory_mib: Option<u32>,
    /// Time limit in seconds.
    pub timeout_s: Option<u32>,
    /// All of its environment variables.
    pub environment: Option<BTreeMap<String, String>>,
    /// ARN of its role.
    pub role: Option<String>,
    /// ARNs of its layers.
    pub layers: Option<Vec<String>>,
    /// Its LoggingConfig.
    pub logging: Option<BTreeMap<String, String>>,
    /// Tags to have beside those that are there.
    pub tags: BTreeMap<String, String>,
    /// Description.
    pub description: Option<String>,
    /// Its URL; None leaves what is there.
    pub url: Option<UrlPlan>,
    /// When it is started by time.
    pub schedules: Vec<Schedule>,
}

/// A function's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPlan {
    /// `NONE` or `AWS_IAM`.
    pub auth: String,
    /// `BUFFERED` or `RESPONSE_STREAM`; None for the service's default.
    pub mode: Option<String>,
    /// Its Cors, as the API takes it.
    pub cors: Option<Value>,
}

/// A time at which a function is started, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name, unique in the account.
    pub name: String,
    /// As in `rate(5 minutes)`, `cron(0 12 * * ? *)`.
    pub expression: String,
    /// The event that the function gets.
    pub input: Option<String>,
    /// Time zone, as in `Europe/Berlin`.
    pub zone: Option<String>,
    /// Whether it is in force.
    pub is_enabled: bool,
}

/// What was done to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was not there.
    Created,
    /// It was, and something of it changed.
    Updated,
    /// It was as it should be.
    Unchanged,
}

impl Action {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// How a function is now.
#[derive(Clone, Debug)]
pub struct Put {
    /// What was done.
    pub action: Action,
    /// Its configuration, as the service has it.
    pub configuration: Value,
    /// Its URL, where the plan wants one.
    pub url: Option<String>,
}

impl Put {
    /// What it is, in a line.
    pub fn summary(&self) -> String {
        let text = |name: &str| self.configuration.get(name).and_then(Value::as_str).unwrap_or("?");
        let number = |name: &str| self.configuration.get(name).and_then(Value::as_u64).unwrap_or(0);
        format!(
            "{}, handler {}, {} MiB, {} s, {} bytes",
            text("Runtime"),
            text("Handler"),
            number("MemorySize"),
            number("Timeout"),
            number("CodeSize"),
        )
    }
}

/// Brings a function to what the plan says, with this zip as its code. Once it returns, invocations run nothing older.
pub async fn put(client: &Client, plan: &Plan, zip: Vec<u8>) -> anyhow::Result<Put> {
    let present = match configuration(client, &plan.name).await {
        Ok(present) => Some(present),
        Err(error) if error.code() == "ResourceNotFoundException" => None,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot look at function {}", plan.name));
        }
    };
    let cannot = || format!("cannot deploy function {}", plan.name);
    let mut put = match present {
        None => {
            create(client, plan, zip).await.with_context(cannot)?;
            let configuration = settle(client, &plan.name).await.with_context(cannot)?;
            Put { action: Action::Created, configuration, url: None }
        }
        Some(_) => {
            // An update that is under way would refuse ours.
            let present = settle_whatever(client, &plan.name).await.with_context(cannot)?;
            update(client, plan, (&present, zip)).await.with_context(cannot)?
        }
    };
    if let Some(url) = &plan.url {
        put.url = Some(beside::url(client, &plan.name, url).await?);
    }
    for schedule in &plan.schedules {
        let arn = put.configuration.get("FunctionArn").and_then(Value::as_str).unwrap_or_default();
        beside::schedule(client, arn, (schedule, plan.role.as_deref().unwrap_or(MADE_UP_ROLE)))
            .await?;
    }
    Ok(put)
}

/// Publishes a version. Returns its number.
pub async fn publish(client: &Client, name: &str) -> anyhow::Result<String> {
    let ask = Ask::lambda(Method::POST, format!("{FUNCTIONS}/{}/versions", encode(name)))
        .json(&json!({}));
    let answer = client
        .call(ask)
        .await
        .with_context(|| format!("cannot publish a version of {name}"))?
        .json()?;
    let version = answer.get("Version").and_then(Value::as_str).context("no version was named")?;
    let qualified = format!("{name}:{version}");
    settle(client, &qualified).await.with_context(|| format!("version {version} of {name}"))?;
    Ok(version.to_owned())
}

/// The configuration of a function.
pub async fn configuration(client: &Client, name: &str) -> Result<Value, CallError> {
    let (name, query) = match name.split_once(':') {
        Some((name, qualifier)) => (name, format!("?Qualifier={}", encode(qualifier))),
        None => (name, String::new()),
    };
    let path = format!("{FUNCTIONS}/{}/configuration{query}", encode(name));
    let answer = client.call(Ask::lambda(Method::GET, path)).await?;
    Ok(answer.json().unwrap_or_default())
}

async fn create(client: &Client, plan: &Plan, zip: Vec<u8>) -> anyhow::Result<()> {
    let role = match &plan.role {
        Some(role) => role.clone(),
        None if client.place.is_aws() => {
            bail!("a new function on AWS needs the ARN of a role that it may have: --role ARN")
        }
        None => MADE_UP_ROLE.to_owned(),
    };
    let mut body = settings(plan);
    body.insert("FunctionName".to_owned(), json!(plan.name));
    body.insert("Role".to_owned(), json!(role));
    body.insert("Code".to_owned(), json!({"ZipFile": BASE64_STANDARD.encode(zip)}));
    if !plan.tags.is_empty() {
        body.insert("Tags".to_owned(), json!(plan.tags));
    }
    if let Some(architecture) = plan.architecture {
        body.insert("Architectures".to_owned(), json!([architecture]));
    }
    let runtime = plan.runtime.clone();
    let runtime = runtime.or_else(|| plan.language.map(|language| language.runtime().to_owned()));
    body.insert(
        "Runtime".to_owned(),
        json!(runtime.context("no runtime is known: name one with --runtime")?),
    );
    let send = async |body: &Map<String, Value>| {
        client.call(Ask::lambda(Method::POST, FUNCTIONS).json(&Value::Object(body.clone()))).await
    };
    let error = match send(&body).await {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    // The endpoint has other versions of the language than the one that was tried first, and names them.
    let other = plan
        .language
        .filter(|_| plan.runtime.is_none() && error.code() == "InvalidParameterValueException");
    match other.and_then(|language| newest_in(&error.to_string(), language)) {
        Some(runtime) => {
            eprintln!("runtime {runtime}: the newest that this endpoint has");
            body.insert("Runtime".to_owned(), json!(runtime));
            send(&body).await?;
            Ok(())
        }
        None => Err(error.into()),
    }
}

async fn update(
    client: &Client,
    plan: &Plan,
    (present, zip): (&Value, Vec<u8>),
) -> anyhow::Result<Put> {
    let path = format!("{FUNCTIONS}/{}", encode(&plan.name));
    let mut action = Action::Unchanged;
    let wanted = changes(plan, present);
    // Settings first: new code may need them, as a variable or a handler; old code is about to go.
    if !wanted.is_empty() {
        let ask =
            Ask::lambda(Method::PUT, format!("{path}/configuration")).json(&Value::Object(wanted));
        client.call(ask).await?;
        settle(client, &plan.name).await?;
        action = Action::Updated;
    }
    let hash = BASE64_STANDARD.encode(Sha256::digest(&zip));
    if present.get("CodeSha256").and_then(Value::as_str) != Some(&hash) {
        let mut body = json!({"ZipFile": BASE64_STANDARD.encode(zip)});
        if let Some(architecture) = plan.architecture {
            body["Architectures"] = json!([architecture]);
        }
        client.call(Ask::lambda(Method::PUT, format!("{path}/code")).json(&body)).await?;
        action = Action::Updated;
    }
    let configuration = settle(client, &plan.name).await?;
    if !plan.tags.is_empty() {
        let arn =
            configuration.get("FunctionArn").and_then(Value::as_str).context("no ARN was named")?;
        let ask = Ask::lambda(Method::POST, format!("/2017-03-31/tags/{}", encode(arn)));
        client.call(ask.json(&json!({"Tags": plan.tags}))).await.context("cannot tag it")?;
    }
    Ok(Put { action, configuration, url: None })
}

/// The settings that the plan names, as the API takes them; without the runtime.
fn settings(plan: &Plan) -> Map<String, Value> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("Handler", Some(json!(plan.handler)));
    put("MemorySize", plan.memory_mib.map(|it| json!(it)));
    put("Timeout", plan.timeout_s.map(|it| json!(it)));
    put("Environment", plan.environment.as_ref().map(|it| json!({"Variables": it})));
    put("Layers", plan.layers.as_ref().map(|it| json!(it)));
    put("LoggingConfig", plan.logging.as_ref().map(|it| json!(it)));
    put("Description", plan.description.as_ref().map(|it| json!(it)));
    body
}

/// Those of the plan's settings that differ from what is there.
fn changes(plan: &Plan, present: &Value) -> Map<String, Value> {
    let mut wanted = settings(plan);
    if let Some(role) = &plan.role {
        wanted.insert("Role".to_owned(), json!(role));
    }
    let has = |name: &str| present.get(name).and_then(Value::as_str).unwrap_or_default();
    match (&plan.runtime, plan.language) {
        (Some(runtime), _) => {
            wanted.insert("Runtime".to_owned(), json!(runtime));
        }
        // A runtime that was chosen once stays, unless the language is another now.
        (None, Some(language)) if Language::of(has("Runtime")) != Some(language) => {
            wanted.insert("Runtime".to_owned(), json!(language.runtime()));
        }
        _ => {}
    }
    let logging = present.get("LoggingConfig").cloned().unwrap_or_default();
    wanted.retain(|name, value| match name.as_str() {
        "Environment" => {
            let none = json!({});
            let variables =
                |it: &Value| it.get("Variables").cloned().unwrap_or_else(|| none.clone());
            variables(value) != present.get(name).map_or_else(|| none.clone(), variables)
        }
        "LoggingConfig" => {
            let members = value.as_object().into_iter().flatten();
            let is_so = |(name, value): (&String, &Value)| logging.get(name) == Some(value);
            !members.map(is_so).all(|is_so| is_so)
        }
        "Layers" => {
            let layers = present.get(name).and_then(Value::as_array);
            let arns: Vec<Value> = layers
                .into_iter()
                .flatten()
                .filter_map(|layer| layer.get("Arn").cloned())
                .collect();
            *value != Value::Array(arns)
        }
        _ => present.get(name) != Some(value),
    });
    wanted
}

/// Waits until a function is active and its last update in force. Errors: it failed, with the reason; it takes too long.
async fn settle(client: &Client, name: &str) -> anyhow::Result<Value> {
    let configuration = settle_whatever(client, name).await?;
    let text = |name: &str| configuration.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("State") == "Failed" {
        bail!("it is Failed: {}", text("StateReason"));
    }
    if text("LastUpdateStatus") == "Failed" {
        bail!("its update Failed: {}", text("LastUpdateStatusReason"));
    }
    Ok(configuration)
}

/// Waits until nothing is under way, however it went.
async fn settle_whatever(client: &Client, name: &str) -> anyhow::Result<Value> {
    let (begun, mut wait) = (Instant::now(), SETTLE_POLL);
    loop {
        let configuration = configuration(client, name).await?;
        let is =
            |name: &str, word: &str| configuration.get(name).and_then(Value::as_str) == Some(word);
        if !is("State", "Pending") && !is("LastUpdateStatus", "InProgress") {
            return Ok(configuration);
        }
        if begun.elapsed() > SETTLE_LIMIT {
            bail!("it is still pending after {} s", SETTLE_LIMIT.as_secs());
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(SETTLE_POLL_MOST);
    }
}

/// The newest runtime of a language that a text names.
fn newest_in(text: &str, language: Language) -> Option<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '.'));
    let words = words.map(|word| word.trim_end_matches('.'));
    let version = |word: &str| -> Option<u32> {
        match language {
            Language::Native => word.strip_prefix("provided.al")?.parse().ok(),
            Language::Python => word.strip_prefix("python3.")?.parse().ok(),
            Language::Node => word.strip_prefix("nodejs")?.strip_suffix(".x")?.parse().ok(),
        }
    };
    let tried = language.runtime();
    let found = words.filter(|word| *word != tried).filter_map(|word| Some((version(word)?, word)));
    found.max().map(|(_, word)| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of the runtimes that a refusal names, the newest of the language is taken, by number and not by letter.
    #[test]
    fn runtimes_are_read_from_refusals() {
        let text =
            "Value python3.13 … enum value set: [nodejs18.x, provided.al2, python3.9, python3.11].";
        assert_eq!(newest_in(text, Language::Python).as_deref(), Some("python3.11"));
        assert_eq!(newest_in(text, Language::Node).as_deref(), Some("nodejs18.x"));
        assert_eq!(newest_in("none", Language::Python), None);
    }

    // Only what differs is sent: an update that changes nothing would still make every instance start anew.
    #[test]
    fn changes_are_what_differs() {
        let present = json!({
            "Runtime": "python3.11", "Handler": "app.handler", "MemorySize": 128, "Timeout": 3,
            "Environment": {"Variables": {"A1": "x"}},
        });
        let mut plan = Plan {
            name: "f".to_owned(),
            language: Some(Language::Python),
            handler: "app.handler".to_owned(),
            memory_mib: Some(128),
            environment: Some(BTreeMap::from([("A1".to_owned(), "x".to_owned())])),
            layers: Some(Vec::new()),
            ..Plan::default()
        };
        assert_eq!(changes(&plan, &present), Map::new());
        plan.memory_mib = Some(256);
        plan.environment = Some(BTreeMap::new());
        let names: Vec<String> = changes(&plan, &present).keys().cloned().collect();
        assert_eq!(names, ["MemorySize", "Environment"]);
        plan.language = Some(Language::Node);
        assert_eq!(changes(&plan, &present)["Runtime"], json!("nodejs22.x"));
    }
}
