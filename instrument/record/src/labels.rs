//! Named texts of a record: what was varied, and what may name the host.

use crate::text::Text;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::hash::{Hash, Hasher};
use std::ops::Index;
use std::slice;
use std::sync::Arc;

/// Texts by name, names ascending: few, immutable and shared. Changing them makes a copy.
///
/// Without any it is none, as the empty [`Text`] is.
#[derive(Clone, Default)]
pub struct Labels(Option<Arc<[(Text, Text)]>>);

impl Labels {
    /// The text of a name.
    pub fn get(&self, name: &str) -> Option<&Text> {
        self.all().iter().find(|(known, _)| *known == name).map(|(_, text)| text)
    }

    /// Whether there is a text of that name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all().len()
    }

    /// Names, ascending.
    pub fn keys(&self) -> impl Iterator<Item = &Text> {
        self.iter().map(|(name, _)| name)
    }

    /// Names and texts.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.all().iter())
    }

    /// The same with one text more, or another one of that name.
    pub fn insert(&mut self, name: impl Into<Text>, text: impl Into<Text>) {
        let more = [(name.into(), text.into())];
        *self = self.all().iter().cloned().chain(more).collect();
    }

    /// Removes all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_copy_of(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        }
    }

    fn all(&self) -> &[(Text, Text)] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// Names and texts of [`Labels`], names ascending.
#[derive(Clone, Debug)]
pub struct Iter<'a>(slice::Iter<'a, (Text, Text)>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Text, &'a Text);
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, text)| (name, text))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a Text, &'a Text);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Of several texts of one name, the last one counts.
impl<N: Into<Text>, T: Into<Text>> FromIterator<(N, T)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(texts: I) -> Self {
        let mut all: Vec<(Text, Text)> = Vec::new();
        for (name, text) in texts {
            let (name, text) = (name.into(), text.into());
            match all.binary_search_by(|(known, _)| known.cmp(&name)) {
                Ok(at) => all[at].1 = text,
                Err(at) => all.insert(at, (name, text)),
            }
        }
        if all.is_empty() { Self::default() } else { Self(Some(all.into())) }
    }
}

impl<N: Into<Text>, T: Into<Text>, const COUNT: usize> From<[(N, T); COUNT]> for Labels {
    fn from(texts: [(N, T); COUNT]) -> Self {
        texts.into_iter().collect()
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(texts: BTreeMap<String, String>) -> Self {
        texts.into_iter().collect()
    }
}

/// As of any map: asking for a name that is not there is a mistake of the program, and panics.
impl Index<&str> for Labels {
    type Output = Text;
    fn index(&self, name: &str) -> &Text {
        self.get(name).expect("a text of that name")
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.is_copy_of(other) || self.all() == other.all()
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.all().hash(hasher);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.is_copy_of(other) { Ordering::Equal } else { self.all().cmp(other.all()) }
    }
}

impl Debug for Labels {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Named;
        impl<'de> Visitor<'de> for Named {
            type Value = Labels;
            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut texts = Vec::new();
                while let Some(pair) = map.next_entry::<String, String>()? {
                    texts.push(pair);
                }
                Ok(texts.into_iter().collect())
            }
        }
        deserializer.deserialize_map(Named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Labels behave as a map of texts: ascending, each name once, the last text counts.
    #[test]
    fn labels_are_a_map() {
        let mut labels = Labels::from([("b", "2"), ("a", "1"), ("b", "3")]);
        let shared = labels.clone();
        labels.insert("c", "4");
        assert_eq!((labels.len(), shared.len()), (3, 2));
        assert_eq!(serde_json::to_string(&labels).expect("JSON"), r#"{"a":"1","b":"3","c":"4"}"#);
        let back: Labels = serde_json::from_str(r#"{"c":"4","b":"3","a":"1"}"#).expect("a map");
        assert_eq!(back, labels);
        assert_eq!((labels.get("b"), labels.get("d")), (Some(&Text::from("3")), None));
        assert!(shared < labels && !labels.contains_key("d"));
        labels.clear();
        assert!(labels.is_empty() && labels == Labels::default());
    }
}
