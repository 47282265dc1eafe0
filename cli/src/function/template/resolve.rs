//! Intrinsic functions of templates, in the forms that can be known before anything is deployed.

use super::yaml::{Node, Value};
use anyhow::{Context, anyhow, bail};
use std::collections::BTreeMap;

/// What names in a template stand for.
#[derive(Debug, Default)]
pub struct Names {
    /// Values of parameters and of AWS's pseudo parameters.
    pub values: BTreeMap<String, String>,
    /// Functions: logical id and name.
    pub functions: BTreeMap<String, String>,
    /// Type and line of every resource, by logical id.
    pub resources: BTreeMap<String, (String, usize)>,
}

impl Names {
    /// A node as text. Errors: a function or a name that cannot be known here, with its line and what to do.
    pub fn text(&self, node: &Node) -> anyhow::Result<String> {
        self.resolve(node).with_context(|| format!("line {}", node.line))
    }

    /// A node as a number.
    pub fn number(&self, node: &Node) -> anyhow::Result<u32> {
        let text = self.text(node)?;
        text.trim().parse().map_err(|_| anyhow!("line {}: {text:?} is no number", node.line))
    }

    fn resolve(&self, node: &Node) -> anyhow::Result<String> {
        match (node.function.as_deref(), &node.value) {
            (None, Value::Scalar(text)) => Ok(text.clone()),
            (None, _) => bail!("a text was expected, not a list or a map"),
            (Some("Ref"), Value::Scalar(name)) => self.name(name),
            (Some("Sub"), Value::Scalar(text)) => self.substituted(text, &BTreeMap::new()),
            (Some("Sub"), Value::List(items)) => {
                let [text, own] = items.as_slice() else { bail!("!Sub takes a text and a map") };
                let own =
                    own.entries().iter().map(|(name, node)| Ok((name.clone(), self.text(node)?)));
                self.substituted(&self.text(text)?, &own.collect::<anyhow::Result<_>>()?)
            }
            (Some("GetAtt"), Value::Scalar(text)) => {
                let (name, attribute) =
                    text.split_once('.').context("!GetAtt takes NAME.ATTRIBUTE")?;
                self.attribute(name, attribute)
            }
            (Some("GetAtt"), Value::List(items)) => {
                let [name, attribute] = items.as_slice() else {
                    bail!("!GetAtt takes a name and an attribute")
                };
                self.attribute(&self.text(name)?, &self.text(attribute)?)
            }
            (Some("Join"), Value::List(items)) => {
                let [between, parts] = items.as_slice() else {
                    bail!("!Join takes a text and a list")
                };
                let parts = parts.items().iter().map(|part| self.text(part));
                Ok(parts.collect::<anyhow::Result<Vec<_>>>()?.join(&self.text(between)?))
            }
            (Some(function), _) => bail!(
                "!{function} is not worked out here (!Ref, !Sub, !GetAtt and !Join are): write the value, or make it a \
                 parameter with a Default"
            ),
        }
    }

    fn name(&self, name: &str) -> anyhow::Result<String> {
        if let Some(value) = self.values.get(name).or_else(|| self.functions.get(name)) {
            return Ok(value.clone());
        }
        match self.resources.get(name) {
            Some((kind, line)) => bail!(
                "{name} is a {kind} (line {line}), which this platform does not make: write a value instead of the reference, \
                 or make it a parameter with a Default"
            ),
            None => bail!(
                "{name} is neither a parameter with a Default nor a function: give it with --parameter {name}=VALUE"
            ),
        }
    }

    fn attribute(&self, name: &str, attribute: &str) -> anyhow::Result<String> {
        match (self.functions.get(name), attribute) {
            (Some(function), "Arn") => {
                let value = |name: &str| self.values.get(name).map_or("", String::as_str);
                Ok(format!(
                    "arn:aws:lambda:{}:{}:function:{function}",
                    value("AWS::Region"),
                    value("AWS::AccountId")
                ))
            }
            (Some(_), other) => bail!("{name}.{other} is not known here; {name}.Arn is"),
            (None, _) => {
                self.name(name).and_then(|_| bail!("{name}.{attribute} is not known here"))
            }
        }
    }

    fn substituted(&self, text: &str, own: &BTreeMap<String, String>) -> anyhow::Result<String> {
        let (mut done, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').context("a ${ is not closed")?;
            done.push_str(before);
            match (name.strip_prefix('!'), own.get(name), name.split_once('.')) {
                (Some(literal), ..) => done.push_str(&format!("${{{literal}}}")),
                (_, Some(value), _) => done.push_str(value),
                (_, _, Some((name, attribute))) => done.push_str(&self.attribute(name, attribute)?),
                _ => done.push_str(&self.name(name)?),
            }
            rest = after;
        }
        done.push_str(rest);
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse;
    use super::*;

    fn names() -> Names {
        let text = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        Names {
            values: text(&[
                ("Stage", "dev"),
                ("AWS::Region", "us-east-1"),
                ("AWS::AccountId", "1"),
            ]),
            functions: text(&[("Fn", "fn-name")]),
            resources: BTreeMap::from([(
                "Table".to_owned(),
                ("AWS::DynamoDB::Table".to_owned(), 9),
            )]),
        }
    }

    // The forms that can be known are worked out, nested ones too.
    #[test]
    fn known_forms_are_worked_out() {
        for (text, expected) in [
            ("!Ref Stage", "dev"),
            ("!Sub 'a-${Stage}-${!Kept}'", "a-dev-${Kept}"),
            ("!Sub ['${X}/${AWS::Region}', {X: !Ref Fn}]", "fn-name/us-east-1"),
            ("!GetAtt Fn.Arn", "arn:aws:lambda:us-east-1:1:function:fn-name"),
            ("!Sub '${Fn.Arn}:1'", "arn:aws:lambda:us-east-1:1:function:fn-name:1"),
            ("!Join ['-', [a, !Ref Stage]]", "a-dev"),
            ("{Ref: Stage}", "dev"),
        ] {
            let node = parse(text).expect("YAML");
            assert_eq!(names().text(&node).expect(text), expected);
        }
    }

    // What cannot be known is refused with what to do about it.
    #[test]
    fn unknown_forms_are_refused() {
        for (text, expected) in [
            ("!Ref Table", "AWS::DynamoDB::Table (line 9)"),
            ("!Ref Other", "--parameter Other=VALUE"),
            ("!ImportValue x", "!ImportValue is not worked out"),
            ("!GetAtt Table.Arn", "AWS::DynamoDB::Table"),
            ("[1]", "not a list"),
        ] {
            let error = format!("{:#}", names().text(&parse(text).expect("YAML")).expect_err(text));
            assert!(error.contains(expected), "{error}");
        }
    }
}
