//! Prometheus's text format, version 0.0.4.

use std::fmt::Write;

/// What is written so far.
#[derive(Debug, Default)]
pub(crate) struct Text {
    text: String,
    family: String,
}

impl Text {
    /// Begins a metric: its name, type and meaning.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        name.clone_into(&mut self.family);
    }

    /// A value of the metric that was begun.
    pub fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.part("", labels, value);
    }

    /// A metric of one value without labels.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.value(&[], value);
    }

    /// A value of a part of the metric that was begun, as `_sum`.
    pub fn part(&mut self, part: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(&self.family);
        self.text.push_str(part);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{name}=\"");
            for char in value.chars() {
                match char {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    char => self.text.push(char),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// A bucket of the histogram that was begun.
    pub fn bucket(&mut self, labels: &[(&str, &str)], bound: &str, value: f64) {
        let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
        self.part("_bucket", &labels, value);
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What a label holds cannot end it.
    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.family("m", "gauge", "M.");
        text.value(&[("a", "x\"} 1\n\\")], 0.5);
        assert_eq!(text.finish(), "# HELP m M.\n# TYPE m gauge\nm{a=\"x\\\"} 1\\n\\\\\"} 0.5\n");
    }
}
