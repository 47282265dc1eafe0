//! The text of a profile, which several readers share: each reads sections of its own, and none is left unread.
//!
//! Deliberately knows nothing of what sections mean.

use super::ProfileError;
use super::error::Fault;
use serde::de::DeserializeOwned;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

/// A parsed text, with the places of its keys.
///
/// ```
/// use scheduler::{Profile, ProfileText};
///
/// #[derive(serde::Deserialize)]
/// struct Weather { rain: Rain }
/// #[derive(serde::Deserialize)]
/// struct Rain { mm: f64 }
///
/// let file = include_str!("../../../../profiles/local.toml").to_owned() + "\n[rain]\nmm = 2.5\n";
/// let text = ProfileText::parse(&file)?;
/// text.only(&[Profile::SECTIONS, &["rain"]])?;
/// let profile = Profile::from_text(&text)?;
/// let weather: Weather = text.read(&["rain"])?;
/// if weather.rain.mm < 0.0 {
///     return Err(text.fault("rain.mm", weather.rain.mm, "at least 0"));
/// }
/// # assert_eq!(profile.name, "local");
/// # Ok::<(), scheduler::ProfileError>(())
/// ```
#[derive(Debug)]
pub struct ProfileText<'t> {
    text: &'t str,
    table: Spanned<DeTable<'t>>,
}

impl<'t> ProfileText<'t> {
    /// Parses a text. Errors: the line where it is no TOML.
    pub fn parse(text: &'t str) -> Result<Self, ProfileError> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self { text, table }),
            Err(error) => {
                let line = error.span().map(|span| line_of(text, &span));
                Err(ProfileError { line, fault: Fault::Text(error.message().to_owned()) })
            }
        }
    }

    /// Refuses keys and sections that none of the readers knows.
    pub fn only(&self, readers: &[&[&str]]) -> Result<(), ProfileError> {
        let known: Vec<&str> = readers.concat();
        for key in self.table.get_ref().keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                let line = Some(line_of(self.text, &key.span()));
                let fault = unknown(key.get_ref(), &known);
                return Err(ProfileError { line, fault: Fault::Text(fault) });
            }
        }
        Ok(())
    }

    /// Reads the sections and keys of these names, as far as they are there, into a type that has a field for each.
    ///
    /// Errors: what is missing, superfluous or of the wrong type, with its line, its key and the nearest name that is known.
    pub fn read<T: DeserializeOwned>(&self, names: &[&str]) -> Result<T, ProfileError> {
        let mut own = DeTable::new();
        for (key, value) in self.table.get_ref() {
            if names.contains(&key.get_ref().as_ref()) {
                own.insert(key.clone(), value.clone());
            }
        }
        let own = Spanned::new(self.table.span(), own);
        T::deserialize(Deserializer::from(own)).map_err(|error| self.explain(&error))
    }

    /// The line of a key, as in `hosts.memory_mib`, from 1; where it is absent, that of its section.
    pub fn line(&self, key: &str) -> Option<usize> {
        let mut table = self.table.get_ref();
        let mut line = None;
        for name in key.split('.') {
            let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else {
                break;
            };
            line = Some(line_of(self.text, &key.span()));
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        line
    }

    /// That a key has a value out of its limits.
    pub fn fault(&self, key: &str, value: impl ToString, limit: &str) -> ProfileError {
        let (key, limit) = (key.to_owned(), limit.to_owned());
        let fault = Fault::Value { key: key.clone(), value: value.to_string(), limit };
        ProfileError { line: self.line(&key), fault }
    }

    /// Says where an error is and which name was meant.
    fn explain(&self, error: &toml::de::Error) -> ProfileError {
        let span = error.span().filter(|span| *span != self.table.span());
        let line = span.as_ref().map(|span| line_of(self.text, span));
        let message = error.message();
        let fault = match message.split_once(", expected ") {
            Some((what, names)) if what.starts_with("unknown") => {
                let known: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
                unknown(what.split('`').nth(1).unwrap_or(what), &known)
            }
            _ => match span.and_then(|span| key_at(self.table.get_ref(), &span)) {
                Some(key) => format!("{key}: {message}"),
                None => message.to_owned(),
            },
        };
        ProfileError { line, fault: Fault::Text(fault) }
    }
}

/// The line, from 1, on which a span starts.
fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

/// The innermost key whose value holds the span.
fn key_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let holds = |range: Range<usize>| range.start <= span.start && span.end <= range.end;
    table.iter().find_map(|(key, value)| {
        let inner = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, span),
            _ => None,
        };
        match inner {
            Some(inner) => Some(format!("{}.{inner}", key.get_ref())),
            None => holds(value.span()).then(|| key.get_ref().to_string()),
        }
    })
}

/// That a name is not known, and the nearest ones that are.
fn unknown(name: &str, known: &[&str]) -> String {
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match nearest(name, known) {
        Some(nearest) => format!("`{name}` is not known, `{nearest}` is near; known here: {list}"),
        None => format!("`{name}` is not known; known here: {list}"),
    }
}

/// The name among `known` that was probably meant by `name`; None where all differ in more than half of its letters.
pub fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let nearest = known.iter().min_by_key(|other| distance(name, other))?;
    (distance(name, nearest) <= name.len() / 2).then_some(nearest)
}

/// Letters to insert, remove or replace to come from one word to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &goal) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != goal);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    // The distance between two words is the number of letters by which they differ.
    #[test]
    fn distances_count_letters() {
        assert_eq!(distance("vcpu", "vcpus"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    // The nearest name is the one that differs least, and there is none where all are far.
    #[test]
    fn nearest_names() {
        assert_eq!(nearest("aws-2017", &["local", "aws-2018"]), Some("aws-2018"));
        assert_eq!(nearest("mine", &["local", "aws-2018"]), None);
        assert_eq!(nearest("mine", &[]), None);
    }

    // A key that no reader knows is refused with its line and the nearest name, one of a reader's is let through.
    #[test]
    fn sections_belong_to_readers() {
        let text = ProfileText::parse("a = 1\n[rain]\nmm = 2\n").expect("toml");
        assert!(text.only(&[&["a"], &["rain"]]).is_ok());
        let error = text.only(&[&["a"], &["rein", "snow"]]).expect_err("rain").to_string();
        assert_eq!(
            error,
            "line 2: `rain` is not known, `rein` is near; known here: `a`, `rein`, `snow`"
        );
    }

    // A value of the wrong type is refused with its line and its key, a text that is no TOML with its line.
    #[test]
    fn wrong_types_have_their_place() {
        #[derive(Debug, serde::Deserialize)]
        struct Weather {
            #[allow(dead_code, reason = "only read")]
            rain: std::collections::BTreeMap<String, f64>,
        }
        let text = ProfileText::parse("[rain]\nmm = \"much\"\n").expect("toml");
        let error = text.read::<Weather>(&["rain"]).expect_err("no number").to_string();
        assert!(error.starts_with("line 2: rain.mm: invalid type"), "{error}");
        let error = text.read::<Weather>(&[]).expect_err("no section").to_string();
        assert_eq!(error, "missing field `rain`");
        let error = ProfileText::parse("a = 1\nb =\n").expect_err("no value").to_string();
        assert!(error.starts_with("line 2: "), "{error}");
    }

    // A fault names the line of its key, or of its section where the key is absent.
    #[test]
    fn faults_have_their_line() {
        let text = ProfileText::parse("\n[rain]\n\nmm = -1\n").expect("toml");
        let error = text.fault("rain.mm", -1, "at least 0").to_string();
        assert_eq!(error, "line 4: rain.mm is -1, must be at least 0");
        assert_eq!((text.line("rain.inches"), text.line("snow.mm")), (Some(2), None));
    }
}
