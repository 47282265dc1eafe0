//! Texts and labels that came before, so that records which say the same hold it once.

use crate::labels::Labels;
use crate::text::{Quick, Text, Texts};
use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasherDefault;

/// What records have said so far. Holds [`Texts::MOST`] of each at most; beyond that it begins anew.
#[derive(Debug, Default)]
pub struct Repeated {
    texts: Texts,
    labels: HashSet<Labels, BuildHasherDefault<Quick>>,
}

impl Repeated {
    /// The text that equals this one.
    pub fn text(&mut self, text: &str) -> Text {
        self.texts.shared(text)
    }

    /// The labels that equal these.
    pub fn labels(&mut self, map: &BTreeMap<String, String>) -> Labels {
        if map.is_empty() {
            return Labels::default();
        }
        let texts =
            map.iter().map(|(name, text)| (self.texts.shared(name), self.texts.shared(text)));
        let labels = texts.collect();
        if let Some(known) = self.labels.get(&labels) {
            return known.clone();
        }
        if self.labels.len() >= Texts::MOST {
            self.labels.clear();
        }
        self.labels.insert(labels.clone());
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Equal labels are held once, and others stay apart.
    #[test]
    fn equal_labels_are_shared() {
        let mut shared = Repeated::default();
        let map = |text: &str| BTreeMap::from([("boot_id".to_owned(), text.to_owned())]);
        let one = shared.labels(&map("1"));
        assert!(shared.labels(&map("1")).is_copy_of(&one));
        assert_ne!(shared.labels(&map("2")), one);
        assert!(shared.labels(&BTreeMap::new()).is_empty());
    }
}
