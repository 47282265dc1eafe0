//! The texts of records: immutable and shared, so that a million rows of one function hold its name once.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt::{self, Debug, Display, Formatter};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A text that costs next to nothing to copy, and to compare with its own copies.
///
/// It takes as much as a pointer does, since a record has many. The empty text, which most of these are, is none: what threads
/// share they count, and count it in turn.
#[derive(Clone, Default)]
pub struct Text(Option<Arc<Box<str>>>);

impl Text {
    /// As the language's own type.
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", |text| text)
    }

    fn is_copy_of(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        }
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self.as_str(), f)
    }
}

impl Debug for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Debug::fmt(self.as_str(), f)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self::default() } else { Self(Some(Arc::new(text.into()))) }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        if text.is_empty() { Self::default() } else { Self(Some(Arc::new(text.into()))) }
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.is_copy_of(other) || self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // As of a string, since texts are looked up by strings.
        self.as_str().hash(hasher);
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.is_copy_of(other) {
            true => Ordering::Equal,
            false => self.as_str().cmp(other.as_str()),
        }
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other.as_str()
    }
}

impl PartialEq<Text> for str {
    fn eq(&self, other: &Text) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<Text> for &str {
    fn eq(&self, other: &Text) -> bool {
        *self == other.as_str()
    }
}

impl PartialEq<Text> for String {
    fn eq(&self, other: &Text) -> bool {
        *self == other.as_str()
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// Texts that came before, so that equal ones become copies.
///
/// Holds the texts of the last [`Texts::MOST`] different ones at most; beyond that it begins anew.
#[derive(Debug, Default)]
pub struct Texts(HashSet<Text, BuildHasherDefault<Quick>>);

/// A hasher of few instructions (that of Firefox, eight bytes at a time). Whoever chooses texts that collide makes a
/// table of [`Texts::MOST`] slow, no more.
#[derive(Debug, Default)]
pub(crate) struct Quick(u64);

impl Quick {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(byte.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }
}

impl Texts {
    /// Different texts held at most: of more, hardly any comes again.
    pub const MOST: usize = 16 * 1024;

    /// The text that equals this one.
    pub fn shared(&mut self, text: &str) -> Text {
        if text.is_empty() {
            return Text::default();
        }
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        let text = Text::from(text);
        self.0.insert(text.clone());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Texts behave as the strings that they hold, whoever made them.
    #[test]
    fn texts_are_strings() {
        let (one, other) = (Text::from("one"), Text::from(String::from("one")));
        assert_eq!(one, other);
        assert!(!one.is_copy_of(&other) && one.is_copy_of(&one.clone()));
        let (first, second) = (Text::from("a"), Text::from("b"));
        assert!(first < second && Text::default().is_empty());
        assert_eq!(
            (format!("{one}"), format!("{one:?}")),
            ("one".to_owned(), "\"one\"".to_owned())
        );
        let json = serde_json::to_string(&one).expect("a string is JSON");
        assert_eq!(serde_json::from_str::<Text>(&json).expect("a string"), other);
    }

    // Equal texts become copies, and what is held has a limit.
    #[test]
    fn equal_texts_are_shared() {
        let mut texts = Texts::default();
        let one = texts.shared("one");
        assert!(texts.shared("one").is_copy_of(&one));
        for number in 0..2 * Texts::MOST {
            texts.shared(&number.to_string());
        }
        assert!(texts.0.len() <= Texts::MOST);
        assert_eq!(texts.shared("one"), one);
    }
}
