//! The functions that a path holds, each with what it is to be: one, several built by cargo-lambda, those of a SAM
//! template, or one in each directory below.

use super::deploy::Settings;
use super::put::Plan;
use super::source::{Language, Source, built};
use super::template::{self, Given};
use super::variables;
use anyhow::{Context, bail};
use std::fs;
use std::path::Path;

/// Most directories below one that are looked into for functions.
const BELOW: usize = 200;

/// A function to deploy.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it is to be.
    pub plan: Plan,
    /// Its code.
    pub source: Source,
    /// Its layers: ARNs, or directories and zips.
    pub layers: Vec<String>,
    /// What is to be said of it.
    pub notes: Vec<String>,
}

/// Which functions of a path are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Several {
    /// One: several are refused unless one is named.
    Refused,
    /// All of them.
    Meant,
}

/// The functions of a path. `name` names the one, or chooses among several.
pub fn items(
    path: &Path,
    name: Option<&str>,
    (settings, given): (&Settings, &Given),
    several: Several,
) -> anyhow::Result<Vec<Item>> {
    let template = match path.extension().and_then(|it| it.to_str()) {
        Some("yaml" | "yml" | "json") if path.is_file() => Some(path.to_owned()),
        _ => template::in_directory(path),
    };
    if let Some(template) = template {
        return of_template(&template, name, settings, given);
    }
    if several == Several::Meant && path.is_dir() && name.is_none() {
        let built = built(path);
        if built.len() > 1 {
            let each = built.iter().map(|(name, _)| item(path, Some(name), settings));
            return each.collect();
        }
        let found = Source::find(path, None);
        if found.as_ref().is_ok_and(|source| source.language.is_none())
            && settings.runtime.is_none()
        {
            return below(path, settings);
        }
    }
    Ok(vec![item(path, name, settings)?])
}

fn item(path: &Path, name: Option<&str>, settings: &Settings) -> anyhow::Result<Item> {
    let source = Source::find(path, name)?;
    let mut plan = plan(&source, name)?;
    let layers = apply(&mut plan, &source, settings)?;
    Ok(Item { plan, layers, notes: source.warnings.clone(), source })
}

fn of_template(
    path: &Path,
    name: Option<&str>,
    settings: &Settings,
    given: &Given,
) -> anyhow::Result<Vec<Item>> {
    let mut items = template::read(path, given)?;
    if let Some(name) = name {
        let names: Vec<String> = items.iter().map(|item| item.plan.name.clone()).collect();
        items.retain(|item| item.plan.name == name);
        if items.is_empty() {
            bail!("{} has no function {name}, only: {}", path.display(), names.join(", "));
        }
    }
    for item in &mut items {
        let layers = apply(&mut item.plan, &item.source, settings)?;
        item.layers.extend(layers);
        item.notes.extend(item.source.warnings.clone());
    }
    Ok(items)
}

/// The function in each directory right below this one.
fn below(path: &Path, settings: &Settings) -> anyhow::Result<Vec<Item>> {
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut folders: Vec<_> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|it| it.is_dir()).collect();
    folders.sort();
    folders.truncate(BELOW);
    let sources = folders.iter().filter_map(|folder| Source::find(folder, None).ok());
    let found: Vec<Source> = sources.filter(|source| source.handler.is_some()).collect();
    if found.is_empty() {
        bail!(
            "{} holds no function that is known by its files: a handler or lambda_handler in a .py or .js file, a bootstrap, \
             the output of cargo lambda build, a template.yaml; or say --runtime and --handler",
            path.display()
        );
    }
    let each = found.into_iter().map(|source| {
        let mut plan = plan(&source, None)?;
        let layers = apply(&mut plan, &source, settings)?;
        Ok(Item { plan, layers, notes: source.warnings.clone(), source })
    });
    each.collect()
}

/// What is to be deployed of a source by what its files tell.
fn plan(source: &Source, name: Option<&str>) -> anyhow::Result<Plan> {
    Ok(Plan {
        name: name.map_or_else(|| source.name.clone(), str::to_owned),
        language: source.language,
        handler: source.handler.clone().unwrap_or_default(),
        architecture: source.architecture,
        ..Plan::default()
    })
}

/// Puts what flags say over what files tell. Returns the layers that they name.
fn apply(plan: &mut Plan, source: &Source, settings: &Settings) -> anyhow::Result<Vec<String>> {
    if let Some(runtime) = &settings.runtime {
        plan.language = Language::of(runtime);
        plan.runtime = Some(runtime.clone());
    }
    if let Some(handler) = &settings.handler {
        plan.handler.clone_from(handler);
    }
    if plan.handler.is_empty() && plan.language == Some(Language::Native) {
        plan.handler = "bootstrap".to_owned();
    }
    if plan.runtime.is_none() && plan.language.is_none() {
        bail!(
            "{}: no file in it has a handler by its name; say which runtime and which entry, as in --runtime python3.11 \
             --handler app.handler",
            source.found
        );
    }
    if plan.handler.is_empty() {
        bail!(
            "{}: no function in it is named handler or lambda_handler; name one with --handler FILE.FUNCTION",
            source.found
        );
    }
    plan.memory_mib = settings.memory.or(plan.memory_mib);
    plan.timeout_s = settings.timeout.map(|limit| limit.seconds()).or(plan.timeout_s);
    plan.role = settings.role.clone().or(plan.role.take());
    plan.description = settings.description.clone().or(plan.description.take());
    if let Some(variables) = variables::read(&settings.env_file, &settings.env)? {
        plan.environment.get_or_insert_default().extend(variables);
    }
    for tag in &settings.tag {
        let (key, value) =
            tag.split_once('=').with_context(|| format!("--tag {tag:?} is not KEY=VALUE"))?;
        plan.tags.insert(key.to_owned(), value.to_owned());
    }
    Ok(settings.layer.clone())
}
