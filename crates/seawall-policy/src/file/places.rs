//! Where in the text each key stands.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Keys and lines of one text.
#[derive(Default)]
pub(super) struct Places {
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
    /// Where each key stands, in bytes.
    keys: BTreeMap<String, usize>,
    /// Which key a piece of the text belongs to: a key itself, or its value.
    spans: HashMap<(usize, usize), String>,
}

impl Places {
    /// Of a parsed text. TOML's parser allows no more than 80 levels, so this recursion is shallow.
    pub(super) fn new(text: &str, root: &DeTable<'_>) -> Places {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut places = Places { lines, keys: BTreeMap::new(), spans: HashMap::new() };
        places.note_table("", root);
        places
    }

    /// Of a text that is no TOML.
    pub(super) fn of_lines(text: &str) -> Places {
        Places::new(text, &DeTable::new())
    }

    fn note_table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path =
                if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
            self.note(&path, key.span());
            self.note_value(&path, value);
        }
    }

    fn note_value(&mut self, path: &str, value: &Spanned<DeValue<'_>>) {
        self.spans.insert((value.span().start, value.span().end), path.to_owned());
        match value.get_ref() {
            DeValue::Table(table) => self.note_table(path, table),
            DeValue::Array(array) => {
                for (i, element) in array.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    self.note(&path, element.span());
                    self.note_value(&path, element);
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, path: &str, span: Range<usize>) {
        self.keys.insert(path.to_owned(), span.start);
        self.spans.insert((span.start, span.end), path.to_owned());
    }

    /// The line of a byte, from 1.
    pub(super) fn line_at(&self, byte: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= byte).max(1)
    }

    /// The line of a key; of the nearest table around it when it is not in the text.
    pub(super) fn line_of(&self, key: &str) -> usize {
        let mut key = key;
        loop {
            if let Some(at) = self.keys.get(key) {
                return self.line_at(*at);
            }
            match key.rfind(['.', '[']) {
                Some(end) => key = &key[..end],
                None => return 1,
            }
        }
    }

    /// Whether a key stands in the text.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// The key that this piece of the text is, or is the value of.
    pub(super) fn key_of(&self, span: &Range<usize>) -> Option<&str> {
        self.spans.get(&(span.start, span.end)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_line_and_an_absent_one_its_tables() {
        let text = "[a]\nb = 1\n\n[a.c]\nd = [ 1,\n  { e = 2 } ]\n[[a.f]]\ng = 3\n";
        let root = DeTable::parse(text).unwrap();
        let places = Places::new(text, root.get_ref());
        for (key, line) in [
            ("a", 1),
            ("a.b", 2),
            ("a.c", 4),
            ("a.c.d", 5),
            ("a.c.d[0]", 5),
            ("a.c.d[1]", 6),
            ("a.c.d[1].e", 6),
            ("a.c.d[1].absent", 6),
            ("a.c.absent.too", 4),
            ("a.f[0].g", 8),
            ("a.f[0].absent", 7),
            ("nothing", 1),
        ] {
            assert_eq!(places.line_of(key), line, "{key}");
        }
        let [eight] =
            text.match_indices('3').map(|(at, _)| at..at + 1).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(places.key_of(&eight), Some("a.f[0].g"));
    }
}
