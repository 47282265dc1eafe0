//! What of a function stands beside it: its URL, and when it is started.

use super::yaml::Node;
use super::{Schedule, Template, UrlPlan};
use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

impl Template<'_> {
    /// The function's URL, where it is to have one.
    pub(super) fn url(&self, node: Option<&Node>) -> anyhow::Result<Option<UrlPlan>> {
        let Some(node) = node else { return Ok(None) };
        let auth = node.get("AuthType").context("FunctionUrlConfig has no AuthType")?;
        let mode = node.get("InvokeMode").map(|node| self.names.text(node)).transpose()?;
        let cors = node.get("Cors").map(|node| self.cors(node)).transpose()?;
        Ok(Some(UrlPlan { auth: self.names.text(auth)?, mode, cors }))
    }

    fn cors(&self, node: &Node) -> anyhow::Result<Value> {
        let mut cors = Map::new();
        for (name, node) in node.entries() {
            let value = match name.as_str() {
                "AllowCredentials" => json!(self.names.text(node)? == "true"),
                "MaxAge" => json!(self.names.number(node)?),
                "AllowHeaders" | "AllowMethods" | "AllowOrigins" | "ExposeHeaders" => {
                    let items = node.items().iter().map(|node| self.names.text(node));
                    json!(items.collect::<anyhow::Result<Vec<_>>>()?)
                }
                other => bail!("line {}: Cors has no {other}", node.line),
            };
            cors.insert(name.clone(), value);
        }
        Ok(Value::Object(cors))
    }

    /// The function's schedules; events of other kinds are refused.
    pub(super) fn schedules(
        &mut self,
        id: &str,
        node: Option<&Node>,
    ) -> anyhow::Result<Vec<Schedule>> {
        let mut schedules = Vec::new();
        for (name, node) in node.map(Node::entries).unwrap_or_default() {
            let kind = node.get("Type").map(|node| self.names.text(node)).transpose()?;
            let expression = match kind.as_deref() {
                Some("Schedule") => "Schedule",
                Some("ScheduleV2") => "ScheduleExpression",
                Some("Api" | "HttpApi") => {
                    self.unsupported(format!(
                        "line {}: event {name} needs an API gateway; a FunctionUrlConfig gives the function a URL here",
                        node.line
                    ))?;
                    continue;
                }
                other => {
                    let kind = other.unwrap_or("without a Type");
                    self.unsupported(format!(
                        "line {}: event {name} ({kind}) is not supported",
                        node.line
                    ))?;
                    continue;
                }
            };
            let get = |key: &str| node.get("Properties")?.get(key);
            let text = |key: &str| get(key).map(|node| self.names.text(node)).transpose();
            let is_off = text("Enabled")?.is_some_and(|it| it == "false")
                || text("State")?.is_some_and(|it| it == "DISABLED");
            schedules.push(Schedule {
                name: text("Name")?.unwrap_or_else(|| format!("{id}-{name}")),
                expression: text(expression)?.with_context(|| {
                    format!("line {}: event {name} has no {expression}", node.line)
                })?,
                input: text("Input")?,
                zone: text("ScheduleExpressionTimezone")?,
                is_enabled: !is_off,
            });
        }
        Ok(schedules)
    }
}
