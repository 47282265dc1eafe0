//! SAM templates: serverless functions and their layers, read whole or refused with what to do instead.
//!
//! Whatever of a template would be passed over in silence is refused: a function that runs without its table or its
//! queue is not the one that was written down. What has no meaning on this platform, and changes nothing of how a
//! function runs, is noted.

mod extras;
mod resolve;
mod yaml;

use super::items::Item;
use super::put::{Plan, Schedule, UrlPlan};
use super::source::{Language, Source};
use anyhow::{Context, bail};
use resolve::Names;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use yaml::{Node, Value};

const FUNCTION: &str = "AWS::Serverless::Function";
const LAYER: &str = "AWS::Serverless::LayerVersion";
/// Resources that a function needs nothing of: they say where logs go, who may call it, and what it may do at AWS.
const NOTED: [&str; 5] = [
    "AWS::Logs::LogGroup",
    "AWS::IAM::Role",
    "AWS::IAM::Policy",
    "AWS::Lambda::Permission",
    "AWS::CloudWatch::Alarm",
];
/// Properties of a function that are carried out.
const KNOWN: [&str; 16] = [
    "CodeUri",
    "InlineCode",
    "Handler",
    "Runtime",
    "MemorySize",
    "Timeout",
    "Environment",
    "Layers",
    "FunctionName",
    "Description",
    "Tags",
    "Architectures",
    "Role",
    "FunctionUrlConfig",
    "LoggingConfig",
    "Events",
];
/// Properties that change nothing of how a function runs here, and why.
const WITHOUT_MEANING: [(&str, &str); 6] = [
    ("Policies", "functions have no AWS account behind them"),
    ("PermissionsBoundary", "functions have no AWS account behind them"),
    ("Tracing", "trace ids are passed on anyhow"),
    ("RecursiveLoop", "loops end by the limits of concurrency"),
    ("SnapStart", "starts are fast without it"),
    ("AutoPublishAlias", "deploy with --publish, then create an alias"),
];

/// What a template is read with.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Values of parameters, `NAME=VALUE`.
    pub parameters: Vec<String>,
    /// Whether to pass over what is not supported, and say so.
    pub skips: Skips,
    /// Region of the endpoint.
    pub region: String,
}

/// Whether to pass over what is not supported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Skips {
    /// Refuse it.
    #[default]
    Nothing,
    /// Pass over it, and note it.
    Unsupported,
}

/// The template of a directory, if it has one.
pub fn in_directory(path: &Path) -> Option<PathBuf> {
    let names = ["template.yaml", "template.yml", "template.json"];
    names.into_iter().map(|name| path.join(name)).find(|path| path.is_file())
}

/// The functions of a template.
pub fn read(path: &Path, given: &Given) -> anyhow::Result<Vec<Item>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    let items = yaml::parse(&text).and_then(|tree| Template::new(&tree, folder, given)?.items());
    items.with_context(|| path.display().to_string())
}

struct Template<'t> {
    names: Names,
    globals: Option<&'t Node>,
    resources: &'t [(String, Node)],
    folder: PathBuf,
    skips: Skips,
    notes: Vec<String>,
}

impl<'t> Template<'t> {
    fn new(tree: &'t Node, folder: PathBuf, given: &Given) -> anyhow::Result<Self> {
        let resources = tree.get("Resources").map(Node::entries).unwrap_or_default();
        if resources.is_empty() {
            bail!("it has no Resources");
        }
        let mut names = Names { values: parameters(tree, given)?, ..Names::default() };
        for (id, node) in resources {
            let kind = kind(node);
            names.resources.insert(id.clone(), (kind.to_owned(), node.line));
        }
        for (id, node) in resources.iter().filter(|(_, node)| kind(node) == FUNCTION) {
            let name = property(node, "FunctionName").map(|node| names.text(node)).transpose()?;
            names.functions.insert(id.clone(), name.unwrap_or_else(|| id.clone()));
        }
        let globals = tree.get("Globals").and_then(|globals| globals.get("Function"));
        Ok(Self { names, globals, resources, folder, skips: given.skips, notes: Vec::new() })
    }

    fn items(mut self) -> anyhow::Result<Vec<Item>> {
        for (id, node) in self.resources {
            let kind = kind(node);
            if NOTED.contains(&kind) {
                self.notes.push(format!("{id} ({kind}) has no meaning here and is passed over"));
            } else if ![FUNCTION, LAYER].contains(&kind) {
                self.unsupported(format!(
                    "line {}: resource {id} is a {kind}, and this platform makes {FUNCTION} and {LAYER} only",
                    node.line
                ))?;
            }
        }
        let mut items = Vec::new();
        for (id, node) in self.resources {
            if kind(node) == FUNCTION {
                let item = self.item(id, node);
                items.push(item.with_context(|| format!("function {id}, line {}", node.line))?);
            }
        }
        if items.is_empty() {
            bail!("it has no {FUNCTION}");
        }
        items[0].notes.splice(0..0, self.notes);
        Ok(items)
    }

    fn unsupported(&mut self, what: String) -> anyhow::Result<()> {
        match self.skips {
            Skips::Nothing => bail!("{what}: take it out, or pass over it with --skip-unsupported"),
            Skips::Unsupported => {
                self.notes.push(format!("passed over: {what}"));
                Ok(())
            }
        }
    }

    fn item(&mut self, id: &str, node: &'t Node) -> anyhow::Result<Item> {
        self.check(node)?;
        let globals = self.globals;
        let get = |name: &str| property(node, name).or_else(|| globals?.get(name));
        let schedules = self.schedules(id, get("Events"))?;
        let text = |name: &str| get(name).map(|node| self.names.text(node)).transpose();
        let number = |name: &str| get(name).map(|node| self.names.number(node)).transpose();
        let runtime = text("Runtime")?;
        let handler = text("Handler")?;
        let source = self.source(id, node, runtime.as_deref())?;
        let language = runtime.as_deref().and_then(Language::of).or(source.language);
        let handler = handler.or_else(|| source.handler.clone());
        let architectures = get("Architectures").map(Node::items).unwrap_or_default();
        let machine = architectures.first().map(|node| self.names.text(node)).transpose()?;
        let plan = Plan {
            name: self.names.functions.get(id).cloned().unwrap_or_else(|| id.to_owned()),
            runtime,
            language,
            handler: handler.context("it has no Handler, and no file has one by its name")?,
            architecture: source.architecture.or(match machine.as_deref() {
                Some("arm64") => Some("arm64"),
                Some("x86_64") => Some("x86_64"),
                _ => None,
            }),
            memory_mib: number("MemorySize")?,
            timeout_s: number("Timeout")?,
            environment: self.environment(node)?,
            role: text("Role").ok().flatten().filter(|role| role.starts_with("arn:")),
            layers: None,
            logging: Some(self.map(get("LoggingConfig"))?).filter(|logging| !logging.is_empty()),
            tags: self.map(get("Tags"))?,
            description: text("Description")?,
            url: self.url(get("FunctionUrlConfig"))?,
            schedules,
        };
        let layers = self.layers(get("Layers"))?;
        Ok(Item { plan, source, layers, notes: Vec::new() })
    }

    /// Refuses what of a function is not carried out; notes what has no meaning.
    fn check(&mut self, node: &Node) -> anyhow::Result<()> {
        let properties = node.get("Properties").map(Node::entries).unwrap_or_default();
        let globals = self.globals.map(Node::entries).unwrap_or_default();
        for (name, node) in properties.iter().chain(globals) {
            if KNOWN.contains(&name.as_str()) {
                continue;
            }
            if let Some((_, why)) = WITHOUT_MEANING.iter().find(|(known, _)| known == name) {
                let note = format!("{name} has no meaning here: {why}");
                if !self.notes.contains(&note) {
                    self.notes.push(note);
                }
                continue;
            }
            let instead = match name.as_str() {
                "PackageType" | "ImageUri" | "ImageConfig" => "; build a zip instead of an image",
                _ => "",
            };
            self.unsupported(format!("line {}: {name} is not supported{instead}", node.line))?;
        }
        if node.get("Condition").is_some() {
            self.unsupported(format!("line {}: conditions are not worked out", node.line))?;
        }
        Ok(())
    }

    fn source(&self, id: &str, node: &Node, runtime: Option<&str>) -> anyhow::Result<Source> {
        if let Some(code) = property(node, "InlineCode") {
            let file = match runtime.and_then(Language::of) {
                Some(Language::Python) => "index.py",
                Some(Language::Node) => "index.js",
                _ => bail!("InlineCode needs a Runtime of Python or Node.js"),
            };
            let text = self.names.text(code)?;
            return Ok(Source::inline(id, file, text));
        }
        let uri = property(node, "CodeUri").or_else(|| self.globals?.get("CodeUri"));
        let uri = match uri {
            Some(uri) => self.names.text(uri)?,
            None => ".".to_owned(),
        };
        if uri.starts_with("s3://") {
            bail!("CodeUri {uri} is in S3: name a directory or a file here");
        }
        // A project of cargo-lambda names its program in its metadata, else it has the name of the function.
        let metadata = node.get("Metadata").and_then(|it| it.get("BuildProperties"));
        let binary =
            metadata.and_then(|it| it.get("Binary")).map(|it| self.names.text(it)).transpose()?;
        let path = self.folder.join(&uri);
        match Source::find(&path, Some(binary.as_deref().unwrap_or(id))) {
            Ok(source) => Ok(source),
            // With runtime and handler written down, nothing has to be guessed.
            Err(_) if path.is_dir() && runtime.is_some_and(|it| !it.starts_with("provided")) => {
                Source::plain(&path)
            }
            Err(error) => Err(error.context(format!("CodeUri {uri}"))),
        }
    }

    fn environment(&self, node: &Node) -> anyhow::Result<Option<BTreeMap<String, String>>> {
        let variables = |node: Option<&'t Node>| node.and_then(|it| it.get("Variables"));
        let own = property(node, "Environment").and_then(|it| it.get("Variables"));
        let shared = variables(self.globals.and_then(|it| it.get("Environment")));
        if own.is_none() && shared.is_none() {
            return Ok(None);
        }
        let mut all = self.map(shared)?;
        all.extend(self.map(own)?);
        Ok(Some(all))
    }

    fn map(&self, node: Option<&Node>) -> anyhow::Result<BTreeMap<String, String>> {
        let entries = node.map(Node::entries).unwrap_or_default();
        entries.iter().map(|(name, node)| Ok((name.clone(), self.names.text(node)?))).collect()
    }

    /// ARNs, or paths of the template's own layers.
    fn layers(&self, node: Option<&Node>) -> anyhow::Result<Vec<String>> {
        let items = node.map(Node::items).unwrap_or_default();
        let layer = |node: &Node| {
            let local = match (&node.function, &node.value) {
                (Some(function), Value::Scalar(id)) if function == "Ref" => self.layer(id),
                _ => None,
            };
            match local {
                Some(content) => {
                    let content = content.context("the layer has no ContentUri")?;
                    Ok(self.folder.join(self.names.text(content)?).to_string_lossy().into_owned())
                }
                None => self.names.text(node),
            }
        };
        items.iter().map(layer).collect()
    }

    /// Some where the id is a layer's: with its content, where that is named.
    fn layer(&self, id: &str) -> Option<Option<&'t Node>> {
        let (_, node) =
            self.resources.iter().find(|(name, node)| name == id && kind(node) == LAYER)?;
        Some(property(node, "ContentUri"))
    }
}

fn kind(node: &Node) -> &str {
    match node.get("Type").map(|node| &node.value) {
        Some(Value::Scalar(kind)) => kind,
        _ => "resource without a Type",
    }
}

fn property<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    node.get("Properties")?.get(name)
}

fn parameters(tree: &Node, given: &Given) -> anyhow::Result<BTreeMap<String, String>> {
    let region = given.region.clone();
    let mut values: BTreeMap<String, String> = [
        ("AWS::Region", region.as_str()),
        ("AWS::AccountId", "123456789012"),
        ("AWS::Partition", "aws"),
        ("AWS::StackName", "peek"),
        ("AWS::URLSuffix", "amazonaws.com"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let declared = tree.get("Parameters").map(Node::entries).unwrap_or_default();
    for (name, node) in declared {
        if let Some(Value::Scalar(default)) = node.get("Default").map(|node| &node.value) {
            values.insert(name.clone(), default.clone());
        }
    }
    for parameter in &given.parameters {
        let (name, value) = parameter
            .split_once('=')
            .with_context(|| format!("--parameter {parameter:?} is not NAME=VALUE"))?;
        if !declared.iter().any(|(known, _)| known == name) {
            bail!("--parameter {name}: the template has no such parameter");
        }
        values.insert(name.to_owned(), value.to_owned());
    }
    Ok(values)
}

#[cfg(test)]
mod tests;
