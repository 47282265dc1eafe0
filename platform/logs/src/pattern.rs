//! Filter patterns: terms, quoted phrases, `?` and `-` before them, and conditions on JSON.
//!
//! As the CloudWatch Logs user guide has them ("Filter pattern syntax", 2026); regular expressions (`%…%`) and
//! space-delimited patterns (`[…]`) are refused by name. Deliberately knows nothing of where messages come from.

mod json;

use crate::error::LogsError;
use json::Condition;

/// Characters of a pattern at most (service model, FilterPattern).
pub const PATTERN_CHARS: usize = 1024;

/// What messages must be like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pattern(Kind);

#[derive(Clone, Debug, Default, PartialEq)]
enum Kind {
    #[default]
    Everything,
    Terms {
        all: Vec<String>,
        /// Counts only where there is nothing else, as at the service.
        any: Vec<String>,
        none: Vec<String>,
    },
    Json(Condition),
}

impl Pattern {
    /// Reads a pattern. Errors: what it has that cannot be read, and where.
    pub fn parse(text: &str) -> Result<Self, LogsError> {
        let chars = text.chars().count();
        if chars > PATTERN_CHARS {
            return Err(invalid(&format!("it has {chars} characters, at most {PATTERN_CHARS}")));
        }
        let trimmed = text.trim();
        match trimmed.bytes().next() {
            None => Ok(Self::default()),
            Some(b'{') => json::parse(trimmed).map(|condition| Self(Kind::Json(condition))),
            Some(b'[') => Err(invalid(
                "space-delimited patterns in [ ] are not supported by this platform: use terms or a JSON pattern",
            )),
            Some(_) => terms(trimmed).map(Self),
        }
    }

    /// Whether a message is like that.
    pub fn matches(&self, message: &str) -> bool {
        match &self.0 {
            Kind::Everything => true,
            Kind::Terms { all, any, none } => {
                let has = |term: &String| message.contains(term.as_str());
                let is_any_alone = all.is_empty() && none.is_empty();
                all.iter().all(has)
                    && !none.iter().any(has)
                    && (!is_any_alone || any.is_empty() || any.iter().any(has))
            }
            Kind::Json(condition) => {
                // Most lines are no JSON: they need not be read to see that.
                message.trim_start().starts_with('{')
                    && serde_json::from_str(message).is_ok_and(|value| condition.holds(&value))
            }
        }
    }
}

fn terms(text: &str) -> Result<Kind, LogsError> {
    let (mut all, mut any, mut none) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = text;
    while !rest.is_empty() {
        let (list, begin) = match rest.as_bytes()[0] {
            b'?' => (&mut any, &rest[1..]),
            b'-' => (&mut none, &rest[1..]),
            _ => (&mut all, rest),
        };
        if begin.starts_with('%') {
            return Err(invalid("regular expressions in % % are not supported by this platform"));
        }
        let (term, after) = match begin.strip_prefix('"') {
            Some(quoted) => phrase(quoted)?,
            None => {
                let end = begin.find(char::is_whitespace).unwrap_or(begin.len());
                (begin[..end].to_owned(), &begin[end..])
            }
        };
        if term.is_empty() {
            return Err(invalid("a term is empty"));
        }
        list.push(term);
        rest = after.trim_start();
    }
    Ok(Kind::Terms { all, any, none })
}

/// A phrase up to its closing quote, and what comes after.
fn phrase(text: &str) -> Result<(String, &str), LogsError> {
    let mut phrase = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((phrase, &text[at + 1..])),
            '\\' => phrase.extend(chars.next().map(|(_, escaped)| escaped)),
            char => phrase.push(char),
        }
    }
    Err(invalid("a quoted phrase has no closing quote"))
}

fn invalid(why: &str) -> LogsError {
    LogsError::Invalid(format!("Invalid filter pattern: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, message: &str) -> bool {
        Pattern::parse(pattern).expect("a pattern").matches(message)
    }

    // Terms must all be there, case and all; phrases as they are; `-` must not be there, and `?` counts alone.
    #[test]
    fn terms_are_as_the_guide_has_them() {
        let message = "[ERROR 400] BAD REQUEST from 10.0.0.1";
        for (pattern, expected) in [
            ("", true),
            ("ERROR", true),
            ("error", false),
            ("ERROR REQUEST", true),
            ("ERROR GOOD", false),
            ("\"BAD REQUEST\"", true),
            ("\"REQUEST BAD\"", false),
            ("\"[ERROR 400]\"", true),
            ("ERROR -400", false),
            ("ERROR -\"GOOD REQUEST\"", true),
            ("-ERROR", false),
            ("?GOOD ?BAD", true),
            ("?GOOD ?FINE", false),
            ("ERROR ?GOOD", true),
            ("\"say \\\"hi\\\"\"", false),
        ] {
            assert_eq!(matches(pattern, message), expected, "{pattern}");
        }
        assert!(matches("\"say \\\"hi\\\"\"", "they say \"hi\" there"));
    }

    // What cannot be read is refused by name.
    #[test]
    fn what_is_absent_is_named() {
        for (pattern, word) in [
            ("%[0-9]+%", "regular expressions"),
            ("[ip, user]", "space-delimited"),
            ("\"open", "closing quote"),
            ("a -", "empty"),
            (&"x".repeat(1025), "1025 characters"),
        ] {
            let error = Pattern::parse(pattern).expect_err("refused").to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
