//! JSON bodies the way Go reads them: field names in any case, with or without underscores.
//!
//! One stock client sends `{"Name":…,"TaggedAddresses":…}`, the next `{"name":…,"tagged_addresses":…}`. Names are
//! compared in lower case without underscores; the *keys* of maps (`Meta`) belong to the client and stay as
//! they are. `null` is the same as absent. Unknown fields are ignored, wrong types are not.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// One JSON object.
#[derive(Debug, Default)]
pub struct Fields(BTreeMap<String, (String, Value)>);

/// Decoding stopped; the text says where.
pub type Result<T> = std::result::Result<T, Refusal>;

fn failed(why: impl std::fmt::Display) -> Refusal {
    Refusal::bad(format!("Request decode failed: {why}"))
}

impl Fields {
    /// Reads a body that must be one JSON object.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn parse(body: &[u8]) -> Result<Fields> {
        if body.is_empty() {
            return Err(failed("the body is empty"));
        }
        match serde_json::from_slice(body).map_err(failed)? {
            Value::Object(map) => Ok(Fields::of(map)),
            other => Err(failed(format!("expected an object, got {}", kind(&other)))),
        }
    }

    fn of(map: Map<String, Value>) -> Fields {
        let present = map.into_iter().filter(|(_, value)| !value.is_null());
        Fields(present.map(|(name, value)| (name.replace('_', "").to_lowercase(), (name, value))).collect())
    }

    fn take<T>(
        &mut self,
        name: &str,
        want: &str,
        read: impl FnOnce(Value) -> std::result::Result<T, Value>,
    ) -> Result<Option<T>> {
        let Some((spelled, value)) = self.0.remove(name) else { return Ok(None) };
        let wrong =
            |value: Value| failed(format!("field {spelled:?}: expected {want}, got {}", kind(&value)));
        read(value).map(Some).map_err(wrong)
    }

    /// Whether anything is left that says something.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let empty = |value: &Value| match value {
            Value::String(s) => s.is_empty(),
            Value::Array(a) => a.is_empty(),
            Value::Object(o) => o.is_empty(),
            Value::Bool(b) => !b,
            _ => false,
        };
        self.0.values().all(|(_, value)| empty(value))
    }

    /// Whether a field is there and not empty.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let says = |(_, value): &(String, Value)| match value {
            Value::String(s) => !s.is_empty(),
            Value::Array(a) => !a.is_empty(),
            Value::Bool(b) => *b,
            _ => true,
        };
        self.0.get(name).is_some_and(says)
    }

    /// A text; empty if absent.
    ///
    /// # Errors
    /// Another type.
    pub fn text(&mut self, name: &str) -> Result<String> {
        let text = self.take(name, "text", |value| match value {
            Value::String(s) => Ok(s),
            other => Err(other),
        });
        text.map(Option::unwrap_or_default)
    }

    /// A text of which the first present of two names counts.
    ///
    /// # Errors
    /// Another type.
    pub fn text_of(&mut self, first: &str, second: &str) -> Result<String> {
        let (a, b) = (self.text(first)?, self.text(second)?);
        Ok(if a.is_empty() { b } else { a })
    }

    /// A switch; off if absent.
    ///
    /// # Errors
    /// Another type.
    pub fn flag(&mut self, name: &str) -> Result<bool> {
        let flag = self.take(name, "true or false", |value| value.as_bool().ok_or(value));
        flag.map(Option::unwrap_or_default)
    }

    /// A whole number from 0 to `max`, if present.
    ///
    /// # Errors
    /// Another type or range.
    pub fn number(&mut self, name: &str, max: u64) -> Result<Option<u64>> {
        let want = format!("a whole number from 0 to {max}");
        self.take(name, &want, |value| value.as_u64().filter(|n| *n <= max).ok_or(value))
    }

    /// A list of texts; empty if absent.
    ///
    /// # Errors
    /// Another type.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>> {
        let list = self
            .take(name, "a list of texts", |value| serde_json::from_value(value.clone()).map_err(|_| value));
        list.map(Option::unwrap_or_default)
    }

    /// A map from text to text; empty if absent.
    ///
    /// # Errors
    /// Another type.
    pub fn texts_by_name(&mut self, name: &str) -> Result<BTreeMap<String, String>> {
        let map = self.take(name, "an object of texts", |value| {
            serde_json::from_value(value.clone()).map_err(|_| value)
        });
        map.map(Option::unwrap_or_default)
    }

    /// An object, if present.
    ///
    /// # Errors
    /// Another type.
    pub fn object(&mut self, name: &str) -> Result<Option<Fields>> {
        self.take(name, "an object", |value| match value {
            Value::Object(map) => Ok(Fields::of(map)),
            other => Err(other),
        })
    }

    /// An object by the client's own keys; empty if absent.
    ///
    /// # Errors
    /// Another type, of it or of what is in it.
    pub fn objects_by_name(&mut self, name: &str) -> Result<Vec<(String, Fields)>> {
        let all = self.take(name, "an object of objects", |value| match value {
            Value::Object(map) if map.values().all(Value::is_object) => Ok(map),
            other => Err(other),
        })?;
        let pairs = all.unwrap_or_default().into_iter().filter_map(|(key, value)| match value {
            Value::Object(map) => Some((key, Fields::of(map))),
            _ => None,
        });
        Ok(pairs.collect())
    }

    /// A list of objects; empty if absent.
    ///
    /// # Errors
    /// Another type, of it or of what is in it.
    pub fn objects(&mut self, name: &str) -> Result<Vec<Fields>> {
        let all = self.take(name, "a list of objects", |value| match value {
            Value::Array(list) if list.iter().all(Value::is_object) => Ok(list),
            other => Err(other),
        })?;
        let objects = all.unwrap_or_default().into_iter().filter_map(|value| match value {
            Value::Object(map) => Some(Fields::of(map)),
            _ => None,
        });
        Ok(objects.collect())
    }

    /// A duration in Go's syntax, or as a whole number of nanoseconds.
    ///
    /// # Errors
    /// Another type or syntax.
    pub fn duration(&mut self, name: &str) -> Result<Option<Duration>> {
        let want = "a duration like \"10s\"";
        self.take(name, want, |value| match &value {
            Value::String(s) if s.is_empty() => Ok(Duration::ZERO),
            Value::String(s) => seawall_policy::duration::parse(s).map_err(|_| value),
            Value::Number(n) => n.as_u64().map(Duration::from_nanos).ok_or(value),
            _ => Err(value),
        })
    }

    /// Any JSON object as it came, if present.
    ///
    /// # Errors
    /// Another type.
    pub fn raw_object(&mut self, name: &str) -> Result<Option<Value>> {
        self.take(name, "an object", |value| if value.is_object() { Ok(value) } else { Err(value) })
    }
}

/// What a value is, shown short: a client's mistake should fit on one line.
fn kind(value: &Value) -> String {
    const SHOWN_MAX: usize = 40;
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(s) => format!("the text {:?}", s.chars().take(SHOWN_MAX).collect::<String>()),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}
