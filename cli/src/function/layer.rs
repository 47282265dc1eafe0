//! Layers: by ARN, or published from a directory or a zip.

use super::source::{as_name, directory_zip};
use crate::client::{Ask, Client, encode};
use anyhow::{Context, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::{Value, json};
use std::path::Path;

/// The ARN of a layer's version. A path is published as a layer of its name first.
pub async fn arn(client: &Client, given: &str) -> anyhow::Result<String> {
    if given.starts_with("arn:") {
        return Ok(given.to_owned());
    }
    let path = Path::new(given);
    let zip = if path.is_dir() {
        directory_zip(path)?
    } else if path.extension().is_some_and(|it| it == "zip") {
        std::fs::read(path).with_context(|| format!("cannot read the layer {given}"))?
    } else {
        bail!("--layer {given:?} is none of: the ARN of a layer's version, a directory, a .zip");
    };
    let name = as_name(&path.file_stem().unwrap_or_default().to_string_lossy());
    let ask = Ask::lambda(Method::POST, format!("/2018-10-31/layers/{}/versions", encode(&name)));
    let body = json!({"Content": {"ZipFile": BASE64_STANDARD.encode(zip)}});
    let answer = client
        .call(ask.json(&body))
        .await
        .with_context(|| format!("cannot publish the layer {given}"))?;
    let answer = answer.json()?;
    let arn = answer.get("LayerVersionArn").and_then(Value::as_str).context("no ARN was named")?;
    eprintln!("layer {given}: {arn}");
    Ok(arn.to_owned())
}
