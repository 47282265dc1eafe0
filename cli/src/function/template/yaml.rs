//! YAML as a tree that remembers lines and tags, as templates of CloudFormation need both.
//!
//! Deliberately knows no anchors: no template that a person writes has them, and they can grow without bound.

use anyhow::{anyhow, bail};
use saphyr_parser::{Event, Parser, Span, Tag};
use std::borrow::Cow;

/// Deepest nesting, and most nodes: far more than CloudFormation's own limit of 1 MB takes (quotas, 2026-11).
const DEPTH: usize = 64;
const NODES: usize = 200_000;

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its line, from 1.
    pub line: usize,
    /// Its intrinsic function, without `!` or `Fn::`, as in `Sub`.
    pub function: Option<String>,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text, number, truth value or nothing: as it is written.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in their order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value of a key; None where there is none, or the node is no map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Keys and values; none where it is no map.
    pub fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none where it is no list.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }
}

/// Reads the first document of a text; JSON is YAML. Errors name the line.
pub fn parse(text: &str) -> anyhow::Result<Node> {
    let mut reader = Reader { parser: Parser::new_from_str(text), nodes: 0 };
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd => bail!("it is empty"),
            event => return reader.node((event, span), 0),
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> anyhow::Result<(Event<'t>, Span)> {
        let next = self.parser.next_event().ok_or_else(|| anyhow!("it ends too early"))?;
        next.map_err(|error| anyhow!("line {}: {}", error.marker().line(), error.info()))
    }

    fn node(&mut self, (event, span): (Event<'t>, Span), depth: usize) -> anyhow::Result<Node> {
        let line = span.start.line();
        self.nodes += 1;
        if depth > DEPTH || self.nodes > NODES {
            bail!("line {line}: it has more than {DEPTH} levels or {NODES} nodes");
        }
        let (function, value) = match event {
            Event::Scalar(text, _, _, tag) => (intrinsic(tag), Value::Scalar(text.into_owned())),
            Event::SequenceStart(_, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
                (intrinsic(tag), Value::List(items))
            }
            Event::MappingStart(_, tag) => (intrinsic(tag), Value::Map(self.entries(depth)?)),
            Event::Alias(_) => {
                bail!("line {line}: anchors and aliases are not read here: write the value again")
            }
            _ => bail!("line {line}: it ends too early"),
        };
        Ok(short_form(Node { line, function, value }))
    }

    fn entries(&mut self, depth: usize) -> anyhow::Result<Vec<(String, Node)>> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (Event::Scalar(key, ..), _) => key.into_owned(),
                (_, span) => bail!("line {}: a key is no text", span.start.line()),
            };
            let event = self.next()?;
            let node = self.node(event, depth + 1)?;
            if entries.iter().any(|(name, _)| *name == key) {
                bail!("line {}: {key} is there twice", node.line);
            }
            entries.push((key, node));
        }
    }
}

fn intrinsic(tag: Option<Cow<'_, Tag>>) -> Option<String> {
    tag.filter(|tag| tag.handle == "!").map(|tag| tag.suffix.clone())
}

/// `{Fn::Sub: x}` and `{Ref: x}` as `!Sub x` and `!Ref x`.
fn short_form(node: Node) -> Node {
    let Value::Map(entries) = &node.value else { return node };
    let [(key, inner)] = entries.as_slice() else { return node };
    let name = match key.strip_prefix("Fn::") {
        Some(name) => name.to_owned(),
        None if key == "Ref" || key == "Condition" => key.clone(),
        None => return node,
    };
    Node { line: node.line, function: Some(name), value: inner.value.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Lines and intrinsic functions survive, in their short and their long form.
    #[test]
    fn trees_remember_lines_and_tags() {
        let tree = parse("A:\n  B: !Sub '${X}'\n  C:\n    Fn::Sub: y\n  D: [1, {Ref: z}]\n")
            .expect("YAML");
        let a = tree.get("A").expect("there");
        let b = a.get("B").expect("there");
        assert_eq!(
            (b.line, b.function.as_deref(), &b.value),
            (2, Some("Sub"), &Value::Scalar("${X}".to_owned()))
        );
        assert_eq!(a.get("C").expect("there").function.as_deref(), Some("Sub"));
        assert_eq!(a.get("D").expect("there").items()[1].function.as_deref(), Some("Ref"));
    }

    // What is no YAML, or more than a template can be, is refused with its line and never runs away.
    #[test]
    fn wrong_texts_are_refused() {
        for text in
            ["a: [1", "a: 1\na: 2\n", "a: &x 1\nb: *x\n", "", "? [a]\n: b\n", &"[".repeat(100)]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
