//! What goes over HTTP, as JSON. The command line reads and writes the same types.
//!
//! Ids are written as strings of decimal digits, because many a client holds numbers as doubles, which count to 2^53
//! only. Both are read.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::id::Id;

/// An id: a string when written, a string or number when read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireId(pub Id);

impl Serialize for WireId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for WireId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<WireId, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = WireId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id, such as \"140737488355341\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<WireId, E> {
                text.parse().map(WireId).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<WireId, E> {
                Id::try_from(number).map(WireId).map_err(E::custom)
            }
        }
        from.deserialize_any(Either)
    }
}

/// Fields by name. Bytes are base64.
pub type Fields = Map<String, Value>;

/// Asks for a new object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewObject {
    /// The name of its type.
    #[serde(rename = "type")]
    pub otype: String,
    /// Its fields.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Fields,
    /// An id it is to lie beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<WireId>,
    /// The id it had elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<WireId>,
}

/// An object was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its name for life.
    pub id: WireId,
    /// 1, unless it was made by an earlier try and changed since.
    pub version: u64,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its name for life.
    pub id: WireId,
    /// The name of its type.
    #[serde(rename = "type")]
    pub otype: String,
    /// How often it was changed, its making included.
    pub version: u64,
    /// Its fields.
    pub fields: Fields,
}

/// Asks for a change of an object.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateObject {
    /// Fields that get a value.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub set: Fields,
    /// Names of fields that lose theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<String>,
    /// Only if the object has this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
}

/// An object has this version now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    /// The version.
    pub version: u64,
}

/// Something is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Whether it was there.
    pub deleted: bool,
}

/// Asks for many objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetObjects {
    /// Which; at most [`MANY_MAX`](crate::limits::MANY_MAX).
    pub ids: Vec<WireId>,
}

/// Many objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objects {
    /// In the order asked for; null for what is not there.
    pub objects: Vec<Option<Object>>,
}

/// Asks for an association to be there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutAssoc {
    /// What both lists are sorted by: seconds since 1970; now when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<u32>,
    /// Its fields, on both sides.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Fields,
}

/// An association is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Whether it is new, and not an old one overwritten.
    pub added: bool,
}

/// Asks for an association to become one of another type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retype {
    /// The name of the type it gets.
    pub to: String,
}

/// An association is of another type now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retyped {
    /// Whether there was such an association.
    pub changed: bool,
}

/// An association, seen from its list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assoc {
    /// The other end.
    pub id2: WireId,
    /// What the list is sorted by.
    pub time: u32,
    /// Its fields, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Fields>,
}

/// Part of a list, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assocs {
    /// Its associations.
    pub associations: Vec<Assoc>,
}

/// How long a list is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Associations in it.
    pub count: u64,
}

/// The version of a key in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionThere {
    /// 0 where there never was anything; null where that memory does not hold the key.
    pub version: Option<u64>,
}

/// What changed: the name of an object or list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireKey {
    /// An object.
    Object(WireId),
    /// A list: whose, and the name of its type.
    List(WireId, String),
}

/// One change, in the order of commits of its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What changed.
    #[serde(flatten)]
    pub key: WireKey,
    /// The version it has since.
    pub version: u64,
}

/// Some changes of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The changes, oldest first.
    pub changes: Vec<Change>,
    /// Where to go on: give it as `after`.
    pub next: u64,
}

/// A line of an import or export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// An object.
    Object(ObjectLine),
    /// An association, from one of its ends; its inverse comes of itself.
    Association(AssocLine),
    /// An export goes on: give it as `after`. Passed over by an import.
    Next(String),
    /// An export is complete; without this line, it broke off. Passed over by an import.
    End(End),
}

/// An object, as it is carried from one graph to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectLine {
    /// Its name for life, kept.
    pub id: WireId,
    /// The name of its type.
    #[serde(rename = "type")]
    pub otype: String,
    /// Its fields.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Fields,
}

/// An association, as it is carried from one graph to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssocLine {
    /// One end.
    pub id1: WireId,
    /// The name of its type.
    #[serde(rename = "type")]
    pub atype: String,
    /// The other end.
    pub id2: WireId,
    /// What both lists are sorted by.
    pub time: u32,
    /// Its fields.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Fields,
}

/// What an export held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct End {
    /// Objects of this answer.
    pub objects: u64,
    /// Associations of this answer.
    pub associations: u64,
}

/// What became of an import.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Imported {
    /// Objects made.
    pub objects: u64,
    /// Objects that were there already, and were left as they are.
    pub present: u64,
    /// Associations added.
    pub associations: u64,
    /// Associations that were there already, and were overwritten.
    pub overwritten: u64,
    /// Lines that were not done.
    pub rejected: u64,
    /// The first of these, with what was wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<LineProblem>,
}

/// A line that was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineProblem {
    /// Which, from 1.
    pub line: u64,
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether the same line may be done another time.
    pub again: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_strings_and_read_as_either() {
        let made: Made = serde_json::from_value(json!({"id": 5, "version": 1})).unwrap();
        assert_eq!(serde_json::to_value(&made).unwrap(), json!({"id": "5", "version": 1}));
        let most = i64::MAX.to_string();
        assert!(serde_json::from_value::<WireId>(json!(most)).is_ok());
        for odd in [json!("05"), json!(0), json!(-1), json!(1.5), json!(null), json!("9223372036854775808")] {
            assert!(serde_json::from_value::<WireId>(odd.clone()).is_err(), "{odd}");
        }
    }

    #[test]
    fn lines_say_what_they_are() {
        let line = |text: &str| serde_json::from_str::<Line>(text);
        for text in [
            r#"{"object":{"id":"5","type":"user","fields":{"name":"Ada"}}}"#,
            r#"{"association":{"id1":"5","type":"follows","id2":"6","time":7}}"#,
            r#"{"next":"o-0-5"}"#,
            r#"{"end":{"objects":1,"associations":2}}"#,
        ] {
            assert_eq!(serde_json::to_string(&line(text).unwrap()).unwrap(), text);
        }
        for odd in ["{}", r#"{"object":{"id":"5"}}"#, r#"{"objekt":{}}"#, r#"{"next":"a","end":{}}"#, "5"] {
            assert!(line(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_change_names_its_key() {
        let id = WireId(Id::try_from(5_u64).unwrap());
        let list = Change { key: WireKey::List(id, "follows".to_owned()), version: 3 };
        assert_eq!(serde_json::to_value(&list).unwrap(), json!({"list": ["5", "follows"], "version": 3}));
        let object = Change { key: WireKey::Object(id), version: 3 };
        assert_eq!(serde_json::to_value(&object).unwrap(), json!({"object": "5", "version": 3}));
        assert_eq!(
            serde_json::from_value::<Change>(json!({"list": ["5", "follows"], "version": 3})).unwrap(),
            list
        );
    }
}
