//! Taking fields out of a body, one by one, and saying everything that is wrong with them at once.
//!
//! Lenient where clients differ: unknown fields are left alone, null is absent (except where null means "take it
//! away"), numbers may be whole floats or strings of digits.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::command::Patch;
use crate::id::Id;
use crate::permissions::Permissions;
use crate::refusal::Refusal;

/// Characters of a client's own value that are shown back to it.
const SHOWN_MAX: usize = 64;

/// What a text may hold besides its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// One line that people are shown: no control characters.
    Line,
    /// Several lines. Only NUL is refused: one of the databases cannot keep it.
    Lines,
}

/// An object of which fields are taken.
#[derive(Debug, Default)]
pub(super) struct Form {
    fields: Map<String, Value>,
    path: String,
    wrong: Vec<(String, String, String)>,
}

impl Form {
    /// The whole body.
    pub(super) fn new(body: Value) -> Result<Form, Refusal> {
        match body {
            Value::Object(fields) => Ok(Form { fields, ..Form::default() }),
            _ => {
                Err(Refusal::field("", "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType"))
            }
        }
    }

    /// An object inside, at `path`.
    pub(super) fn within(&mut self, path: &str, value: Value) -> Option<Form> {
        let path = self.at(path);
        if let Value::Object(fields) = value {
            return Some(Form { fields, path, wrong: Vec::new() });
        }
        self.push(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType");
        None
    }

    /// What was wrong inside is wrong here; answers what was not taken.
    pub(super) fn absorb(&mut self, inner: Form) -> Map<String, Value> {
        self.wrong.extend(inner.wrong);
        inner.fields
    }

    /// Everything that was wrong, if anything was.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        if self.wrong.is_empty() { Ok(()) } else { Err(Refusal::Form(self.wrong)) }
    }

    /// Notes that a field is wrong.
    pub(super) fn wrong(&mut self, key: &str, code: &str, message: impl Into<String>) {
        let path = self.at(key);
        self.push(path, code, message);
    }

    /// Notes the absence of a field that must be there.
    pub(super) fn require<T>(&mut self, key: &str, taken: Option<&T>) {
        let is_wrong_already = self.wrong.iter().any(|(path, ..)| *path == self.at(key));
        if taken.is_none() && !is_wrong_already {
            self.wrong(key, "BASE_TYPE_REQUIRED", "This field is required");
        }
    }

    /// A field as it is; null is absent.
    pub(super) fn value(&mut self, key: &str) -> Option<Value> {
        self.fields.remove(key).filter(|v| !v.is_null())
    }

    /// Whether the field is there and null.
    fn is_null(&self, key: &str) -> bool {
        self.fields.get(key).is_some_and(Value::is_null)
    }

    /// A field that null takes away.
    pub(super) fn patch<T>(&mut self, key: &str, take: impl FnOnce(&mut Form) -> Option<T>) -> Patch<T> {
        if self.is_null(key) {
            return Patch::Clear;
        }
        take(self).map_or(Patch::Keep, Patch::Set)
    }

    /// A text of so many characters.
    pub(super) fn text(&mut self, key: &str, length: RangeInclusive<usize>, kind: Text) -> Option<String> {
        match self.value(key)? {
            Value::String(text) => self.checked(key, text, length, kind),
            other => {
                let message = format!("Could not interpret \"{}\" as string.", shown(&other));
                self.wrong(key, "STRING_TYPE_CONVERT", message);
                None
            }
        }
    }

    fn checked(
        &mut self,
        key: &str,
        text: String,
        length: RangeInclusive<usize>,
        kind: Text,
    ) -> Option<String> {
        let count = text.chars().count();
        let (min, max) = length.into_inner();
        if text.chars().any(|c| c == '\0' || (kind == Text::Line && c.is_control())) {
            self.wrong(key, "STRING_TYPE_CONTROL", "Control characters may not be used here");
        } else if min > 1 && !(min..=max).contains(&count) {
            self.wrong(key, "BASE_TYPE_BAD_LENGTH", format!("Must be between {min} and {max} in length."));
        } else if count < min {
            self.wrong(key, "BASE_TYPE_REQUIRED", "This field is required");
        } else if count > max {
            self.wrong(key, "BASE_TYPE_MAX_LENGTH", format!("Must be {max} or fewer in length."));
        } else {
            return Some(text);
        }
        None
    }

    /// A whole number in a range.
    pub(super) fn int(&mut self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(key)?;
        let Some(number) = whole(&value) else {
            self.wrong(key, "NUMBER_TYPE_COERCE", format!("Value \"{}\" is not int.", shown(&value)));
            return None;
        };
        match within(number, &range) {
            Ok(()) => Some(number),
            Err((code, message)) => {
                self.wrong(key, code, message);
                None
            }
        }
    }

    /// [`Form::int`] from 0 up, for fields of fewer bits.
    pub(super) fn count(&mut self, key: &str, max: u32) -> Option<u32> {
        self.int(key, 0..=i64::from(max)).and_then(|n| u32::try_from(n).ok())
    }

    /// True or false.
    pub(super) fn bool(&mut self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(b) => Some(b),
            _ => {
                self.wrong(key, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.");
                None
            }
        }
    }

    /// An id.
    pub(super) fn id(&mut self, key: &str) -> Option<Id> {
        let value = self.value(key)?;
        let id = id_of(&value);
        if id.is_none() {
            self.wrong(key, "NUMBER_TYPE_COERCE", not_an_id(&shown(&value)));
        }
        id
    }

    /// A list of ids, at most so many.
    pub(super) fn ids(&mut self, key: &str, max: usize) -> Option<Vec<Id>> {
        let list = self.list(key, max)?;
        let mut ids = Vec::with_capacity(list.len());
        for (i, value) in list.iter().enumerate() {
            match id_of(value) {
                Some(id) => ids.push(id),
                None => {
                    self.wrong(&format!("{key}.{i}"), "NUMBER_TYPE_COERCE", not_an_id(&shown(value)));
                }
            }
        }
        (ids.len() == list.len()).then_some(ids)
    }

    /// A list of anything, at most so many.
    pub(super) fn list(&mut self, key: &str, max: usize) -> Option<Vec<Value>> {
        match self.value(key)? {
            Value::Array(list) if list.len() <= max => Some(list),
            Value::Array(_) => {
                self.wrong(key, "BASE_TYPE_MAX_LENGTH", format!("Must be {max} or fewer in length."));
                None
            }
            _ => {
                self.wrong(key, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
                None
            }
        }
    }

    /// Permission bits.
    pub(super) fn permissions(&mut self, key: &str) -> Option<Permissions> {
        let value = self.value(key)?;
        let bits = id_of(&value).map(|id| Permissions(id.0));
        if bits.is_none() {
            let message = format!("Value \"{}\" is not a valid permission set.", shown(&value));
            self.wrong(key, "PERMISSIONS_TYPE_CONVERT", message);
        }
        bits
    }

    fn at(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }

    fn push(&mut self, path: String, code: &str, message: impl Into<String>) {
        self.wrong.push((path, code.to_owned(), message.into()));
    }
}

/// An id as clients write it.
pub(super) fn id_of(value: &Value) -> Option<Id> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64().filter(|n| i64::try_from(*n).is_ok()).map(Id),
        _ => None,
    }
}

/// What is said of something that is no id.
pub(super) fn not_an_id(shown: &str) -> String {
    format!("Value \"{shown}\" is not snowflake.")
}

/// A whole number as clients write it: `5`, `5.0`, `"5"`.
pub(super) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            // Beyond 2^53 a float no longer says which whole number was meant.
            let float = number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= 9_007_199_254_740_992.0)?;
            Some(float as i64)
        }),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// What is wrong with a number outside its range.
pub(super) fn within(number: i64, range: &RangeInclusive<i64>) -> Result<(), (&'static str, String)> {
    let (min, max) = (range.start(), range.end());
    if number < *min {
        Err(("NUMBER_TYPE_MIN", format!("int value should be greater than or equal to {min}.")))
    } else if number > *max {
        Err(("NUMBER_TYPE_MAX", format!("int value should be less than or equal to {max}.")))
    } else {
        Ok(())
    }
}

/// A client's value, shown back to it in short.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    brief(&text)
}

/// The beginning of a text.
pub(super) fn brief(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(form: Form) -> Vec<(String, String)> {
        match form.finish() {
            Err(Refusal::Form(wrong)) => wrong.into_iter().map(|(path, code, _)| (path, code)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let mut form = Form::new(json!({
            "name": "x", "topic": 5, "line": "a\u{7}b", "limit": 101, "low": 0, "huge": 1e30, "flag": "yes",
            "owner": "12a", "ids": ["1", "b"], "many": [1, 2, 3], "bits": "-1", "long": "abc",
        }))
        .unwrap();
        assert_eq!(form.text("name", 2..=100, Text::Line), None);
        assert_eq!(form.text("topic", 0..=10, Text::Lines), None);
        assert_eq!(form.text("line", 1..=10, Text::Line), None);
        assert_eq!(form.int("limit", 1..=100), None);
        assert_eq!(form.int("low", 1..=100), None);
        assert_eq!(form.int("huge", 1..=100), None);
        assert_eq!(form.bool("flag"), None);
        assert_eq!(form.id("owner"), None);
        assert_eq!(form.ids("ids", 5), None);
        assert_eq!(form.list("many", 2), None);
        assert_eq!(form.permissions("bits"), None);
        assert_eq!(form.text("long", 0..=2, Text::Lines), None);
        let absent = form.text("absent", 1..=2, Text::Line);
        form.require("absent", absent.as_ref());
        let twice: Option<&String> = None;
        form.require("name", twice);
        let codes = wrong(form);
        let expected = [
            ("name", "BASE_TYPE_BAD_LENGTH"),
            ("topic", "STRING_TYPE_CONVERT"),
            ("line", "STRING_TYPE_CONTROL"),
            ("limit", "NUMBER_TYPE_MAX"),
            ("low", "NUMBER_TYPE_MIN"),
            ("huge", "NUMBER_TYPE_COERCE"),
            ("flag", "BOOLEAN_TYPE_CONVERT"),
            ("owner", "NUMBER_TYPE_COERCE"),
            ("ids.1", "NUMBER_TYPE_COERCE"),
            ("many", "BASE_TYPE_MAX_LENGTH"),
            ("bits", "PERMISSIONS_TYPE_CONVERT"),
            ("long", "BASE_TYPE_MAX_LENGTH"),
            ("absent", "BASE_TYPE_REQUIRED"),
        ];
        assert_eq!(codes, expected.map(|(path, code)| (path.to_owned(), code.to_owned())));
    }

    #[test]
    fn null_is_absent_or_takes_away() {
        let mut form = Form::new(json!({ "a": null, "b": null, "c": "x" })).unwrap();
        assert_eq!(form.int("a", 0..=1), None);
        assert_eq!(form.patch("b", |f| f.text("b", 1..=9, Text::Line)), Patch::Clear);
        assert_eq!(form.patch("c", |f| f.text("c", 1..=9, Text::Line)), Patch::Set("x".to_owned()));
        assert_eq!(form.patch("d", |f| f.text("d", 1..=9, Text::Line)), Patch::Keep);
        assert_eq!(form.finish(), Ok(()));
    }

    #[test]
    fn numbers_come_in_several_shapes() {
        for (value, number) in [
            (json!(5), Some(5)),
            (json!(5.0), Some(5)),
            (json!("5"), Some(5)),
            (json!(-5), Some(-5)),
            (json!(5.5), None),
            (json!(1e300), None),
            (json!("5.0"), None),
            (json!(true), None),
            (json!([5]), None),
        ] {
            assert_eq!(whole(&value), number, "{value}");
        }
    }

    #[test]
    fn what_is_wrong_inside_is_told_with_its_path() {
        let mut form = Form::new(json!({})).unwrap();
        let mut inner = form.within("embeds.0", json!({ "title": 5, "left": 1 })).unwrap();
        inner.text("title", 0..=9, Text::Lines);
        assert_eq!(form.absorb(inner).len(), 1);
        assert!(form.within("embeds.1", json!([])).is_none());
        let paths = wrong(form);
        assert_eq!(paths[0].0, "embeds.0.title");
        assert_eq!(paths[1], ("embeds.1".to_owned(), "DICT_TYPE_CONVERT".to_owned()));
        assert!(Form::new(json!([])).is_err());
    }
}
