//! Conditions on JSON messages, as in `{ $.level = "ERROR" && $.durationMs > 100 }`.

use super::invalid;
use crate::error::LogsError;
use serde_json::Value;

/// How deep parentheses may be.
const DEPTH: usize = 16;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Is(Vec<Step>, Test),
}

/// A step of a selector.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

/// What must hold of what is selected.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    NotExists,
    Null,
    Bool(bool),
    Text { pattern: String, is_equal: bool },
    Number { comparison: Comparison, value: f64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Condition {
    pub fn holds(&self, value: &Value) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|it| it.holds(value)),
            Self::Any(conditions) => conditions.iter().any(|it| it.holds(value)),
            Self::Is(steps, test) => test.holds(select(value, steps)),
        }
    }
}

impl Test {
    fn holds(&self, value: Option<&Value>) -> bool {
        let Some(value) = value else { return *self == Self::NotExists };
        match self {
            Self::NotExists => false,
            Self::Null => value.is_null(),
            Self::Bool(expected) => value.as_bool() == Some(*expected),
            Self::Text { pattern, is_equal } => {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(_) | Value::Bool(_) => value.to_string(),
                    _ => return false,
                };
                is_like(&text, pattern) == *is_equal
            }
            Self::Number { comparison, value: bound } => {
                let number = value.as_f64();
                number.is_some_and(|number| comparison.holds(number, *bound))
            }
        }
    }
}

impl Comparison {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

fn select<'v>(value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Member(name) => value.get(name),
        Step::Element(index) => value.get(index),
    })
}

/// Whether a text is as a pattern in which `*` stands for anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut left) = text.strip_prefix(begin) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or("");
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

/// Reads a whole pattern, braces included.
pub(super) fn parse(text: &str) -> Result<Condition, LogsError> {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let inner = inner.ok_or_else(|| invalid("a JSON pattern ends with }"))?;
    let mut reader = Reader { rest: inner, depth: 0 };
    let condition = reader.any()?;
    reader.skip();
    match reader.rest.is_empty() {
        true => Ok(condition),
        false => Err(reader.unexpected("the end, && or ||")),
    }
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn any(&mut self) -> Result<Condition, LogsError> {
        let mut conditions = vec![self.all()?];
        while self.take("||") {
            conditions.push(self.all()?);
        }
        Ok(match conditions.len() {
            1 => conditions.remove(0),
            _ => Condition::Any(conditions),
        })
    }

    fn all(&mut self) -> Result<Condition, LogsError> {
        let mut conditions = vec![self.one()?];
        while self.take("&&") {
            conditions.push(self.one()?);
        }
        Ok(match conditions.len() {
            1 => conditions.remove(0),
            _ => Condition::All(conditions),
        })
    }

    fn one(&mut self) -> Result<Condition, LogsError> {
        if self.take("(") {
            self.depth += 1;
            if self.depth > DEPTH {
                return Err(invalid(&format!("more than {DEPTH} parentheses inside each other")));
            }
            let condition = self.any()?;
            self.depth -= 1;
            return match self.take(")") {
                true => Ok(condition),
                false => Err(self.unexpected(")")),
            };
        }
        let steps = self.selector()?;
        Ok(Condition::Is(steps, self.test()?))
    }

    fn selector(&mut self) -> Result<Vec<Step>, LogsError> {
        if !self.take("$") {
            return Err(self.unexpected("a selector that begins with $."));
        }
        let mut steps = Vec::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix('.') {
                let is_part = |char: char| char.is_alphanumeric() || "_-@".contains(char);
                let end = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
                if end == 0 {
                    return Err(self.unexpected("a member's name"));
                }
                steps.push(Step::Member(rest[..end].to_owned()));
                self.rest = &rest[end..];
            } else if let Some(rest) = self.rest.strip_prefix('[') {
                let (inner, after) =
                    rest.split_once(']').ok_or_else(|| self.unexpected("a selector's ]"))?;
                let quoted = |quote| {
                    inner.strip_prefix(quote).and_then(|inner: &str| inner.strip_suffix(quote))
                };
                steps.push(match (inner.parse(), quoted('"').or_else(|| quoted('\''))) {
                    (Ok(index), _) => Step::Element(index),
                    (_, Some(name)) => Step::Member(name.to_owned()),
                    _ => return Err(self.unexpected("an index or a quoted name in [ ]")),
                });
                self.rest = after;
            } else if steps.is_empty() {
                return Err(self.unexpected("a selector that begins with $."));
            } else {
                return Ok(steps);
            }
        }
    }

    fn test(&mut self) -> Result<Test, LogsError> {
        if self.word("NOT") {
            return match self.word("EXISTS") {
                true => Ok(Test::NotExists),
                false => Err(self.unexpected("EXISTS")),
            };
        }
        if self.word("IS") {
            return match () {
                () if self.word("NULL") => Ok(Test::Null),
                () if self.word("TRUE") => Ok(Test::Bool(true)),
                () if self.word("FALSE") => Ok(Test::Bool(false)),
                () => Err(self.unexpected("NULL, TRUE or FALSE")),
            };
        }
        let comparisons = [
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let found = comparisons.iter().find(|(sign, _)| self.take(sign));
        let Some((_, comparison)) = found.copied() else {
            return Err(self.unexpected("one of = != < > <= >= IS NOT"));
        };
        self.value(comparison)
    }

    fn value(&mut self, comparison: Comparison) -> Result<Test, LogsError> {
        self.skip();
        let is_text = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let is_equal = comparison == Comparison::Equal;
        if let Some(quoted) = self.rest.strip_prefix('"') {
            let (pattern, rest) = super::phrase(quoted)?;
            self.rest = rest;
            return match is_text {
                true => Ok(Test::Text { pattern, is_equal }),
                false => Err(invalid("texts can be compared with = and != only")),
            };
        }
        let is_end = |char: char| char.is_whitespace() || "()&|".contains(char);
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return Err(self.unexpected("a value"));
        }
        if word.starts_with('%') {
            return Err(invalid("regular expressions in % % are not supported by this platform"));
        }
        self.rest = rest;
        match word.parse() {
            Ok(value) => Ok(Test::Number { comparison, value }),
            Err(_) if is_text => Ok(Test::Text { pattern: word.to_owned(), is_equal }),
            Err(_) => Err(invalid(&format!("{word} is no number, which < and > need"))),
        }
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, sign: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self, word: &str) -> bool {
        self.skip();
        let is_it = self.rest.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word));
        let after = self.rest.get(word.len()..).unwrap_or("");
        let is_whole = !after.starts_with(|char: char| char.is_alphanumeric());
        if is_it && is_whole {
            self.rest = after;
        }
        is_it && is_whole
    }

    fn unexpected(&self, expected: &str) -> LogsError {
        let found: String = self.rest.trim_start().chars().take(20).collect();
        invalid(&format!("expected {expected} where it says {found:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Conditions hold as the guide's examples say, and not for what is no JSON.
    #[test]
    fn conditions_hold() {
        let message = serde_json::json!({
            "eventType": "UpdateTrail",
            "sourceIPAddress": "111.111.111.111",
            "arrayKey": ["value", "another value"],
            "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
            "SomeObject": null,
            "ThisFlag": true,
            "duration_ms": 12.5,
            "a.b": "dotted"
        });
        for (pattern, expected) in [
            (r#"{ $.eventType = "UpdateTrail" }"#, true),
            (r#"{ $.eventType = UpdateTrail }"#, true),
            (r#"{$.eventType="Update*"}"#, true),
            (r#"{ $.eventType = "*Trail" }"#, true),
            (r#"{ $.eventType = "*date*ai*" }"#, true),
            (r#"{ $.eventType = "update*" }"#, false),
            (r#"{ $.eventType != "NoTrail" }"#, true),
            (r#"{ $.missing != "NoTrail" }"#, false),
            (r#"{ $.sourceIPAddress != 123.123.* }"#, true),
            (r#"{ $.arrayKey[0] = "value" }"#, true),
            (r#"{ $.objectList[1].id = 2 }"#, true),
            (r#"{ $.objectList[1].id >= 3 }"#, false),
            (r#"{ $.SomeObject IS NULL }"#, true),
            (r#"{ $.SomeOtherObject NOT EXISTS }"#, true),
            (r#"{ $.ThisFlag IS TRUE }"#, true),
            (r#"{ $.ThisFlag IS FALSE }"#, false),
            (r#"{ $.duration_ms > 12 && $.duration_ms < 13 }"#, true),
            (
                r#"{ ($.duration_ms > 13 || $.eventType = "UpdateTrail") && ($.ThisFlag IS TRUE) }"#,
                true,
            ),
            (r#"{ $.duration_ms > 13 || $.eventType = "Up" && $.ThisFlag IS TRUE }"#, false),
            (r#"{ $.["a.b"] = "dotted" }"#, true),
            (r#"{ $["a.b"] = "dotted" }"#, true),
        ] {
            let pattern = pattern.replace("$.[", "$[");
            let condition = parse(&pattern).expect("a pattern");
            assert_eq!(condition.holds(&message), expected, "{pattern}");
        }
    }

    // What cannot be read says where.
    #[test]
    fn mistakes_are_placed() {
        let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(40), ")".repeat(40));
        for (pattern, word) in [
            ("{ a = 1 }", "$."),
            ("{ $.a }", "one of ="),
            ("{ $.a = }", "a value"),
            ("{ $.a = 1", "}"),
            ("{ $.a = 1 $.b = 2 }", "&&"),
            ("{ $.a < \"x\" }", "texts"),
            ("{ $.a < x }", "no number"),
            ("{ ($.a = 1 }", ")"),
            ("{ $.a = %x% }", "regular"),
            (&deep, "parentheses"),
        ] {
            let error = parse(pattern).expect_err("refused").to_string();
            assert!(error.contains(word), "{pattern}: {error}");
        }
    }
}
