//! What kinds of objects and associations there are.
//!
//! ```toml
//! [object.user]
//! number = 1                                     # for life: what is stored says 1, never "user"
//! fields.name = { number = 1, type = "text", required = true, max = 100 }
//! fields.karma = { number = 3, type = "real" }
//! retired = [2]                                  # field 2 is gone; what is stored of it is not shown
//!
//! [association.follows]
//! number = 1
//! inverse = "followed_by"                        # or "same", as for friends; none when left out
//! range_max = 6000                               # most associations one range gives
//! fields.note = { number = 1, type = "text", max = 200 }
//!
//! [association.followed_by]
//! number = 2
//! inverse = "follows"
//! fields.note = { number = 1, type = "text", max = 200 }
//! ```
//!
//! [`parse`](Schema::parse) tells everything that is wrong at once ([`mod@self::parse`]), [`losses`](Schema::losses) what
//! would be lost if one schema followed another ([`change`]), [`fields`] turns values into bytes and back.
//!
//! ## Why numbers
//!
//! Rows hold numbers: they are short, and a name can be corrected in the next database without touching a row. A number
//! is never given a second meaning, so bytes written years ago are read as what they were, or not at all.
//!
//! ## What is absent
//!
//! No type of the ends of an association, as in TAO: who may like what is the application's to say. No default values:
//! a field that was not given is not there.

pub mod change;
pub mod fields;
pub mod parse;
mod text;

use crate::call::{AssocType, ObjectType};

pub use self::fields::{
    FieldValue, check_complete, check_size, decode, encode_json, encode_text, merge, unset, value, walk,
};

/// The schema where none is configured.
const SOCIAL: &str = include_str!("social.toml");

/// Object types a schema may have, and as many association types. Facebook is said to have had some thousand in all.
pub const TYPES_MAX: usize = 1024;
/// Fields of one type.
pub const FIELDS_MAX: usize = 64;
/// Encoded fields of one object, in bytes, unless its type says otherwise (TAO's mean object has 673). A type may allow
/// up to [`OBJECT_DATA_MAX`](crate::limits::OBJECT_DATA_MAX).
pub const OBJECT_DATA_DEFAULT: u32 = 64 << 10;
/// Longest name of a type or field.
pub const NAME_MAX: usize = 64;
/// Longest schema, in bytes: a thousand types of a few lines each.
pub const TEXT_MAX: usize = 1 << 20;

/// A checked schema. Equal schemas say the same, however they were written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// Sorted by number.
    objects: Vec<ObjectKind>,
    /// Sorted by number.
    assocs: Vec<AssocKind>,
    /// Numbers of object types that are gone. Sorted.
    retired_objects: Vec<u16>,
    /// Numbers of association types that are gone. Sorted.
    retired_assocs: Vec<u16>,
    /// Places in `objects`, sorted by name.
    object_names: Vec<u16>,
    /// Places in `assocs`, sorted by name.
    assoc_names: Vec<u16>,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// A whole number of 64 bits with sign.
    Int,
    /// A number of 64 bits with a fraction; neither infinite nor NaN, which JSON cannot say.
    Real,
    /// Yes or no.
    Bool,
    /// UTF-8.
    Text,
    /// Anything; base64 in JSON.
    Bytes,
}

/// A field of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in stored data, never another's.
    pub number: u8,
    /// Its name in calls and answers.
    pub name: Box<str>,
    /// What it holds.
    pub holds: FieldType,
    /// Whether an object or association without it is refused.
    pub required: bool,
    /// Longest text or bytes, in bytes; 0 for what has a size of its own.
    pub max: u32,
}

/// A type of objects.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectKind {
    /// Its number.
    pub otype: ObjectType,
    /// Its name.
    pub name: Box<str>,
    /// Sorted by number.
    pub fields: Vec<Field>,
    /// Numbers of fields that are gone. Sorted.
    pub retired: Vec<u8>,
    /// Most bytes of encoded fields.
    pub data_max: u32,
}

/// What stands on the other end's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inverse {
    /// Nothing.
    None,
    /// The same type: who is my friend has me for one.
    Same,
    /// Another type, whose inverse is this one.
    Type(AssocType),
}

/// A type of associations.
#[derive(Debug, Clone, PartialEq)]
pub struct AssocKind {
    /// Its number.
    pub atype: AssocType,
    /// Its name.
    pub name: Box<str>,
    /// Sorted by number. Equal to those of the inverse, which gets the same data.
    pub fields: Vec<Field>,
    /// Numbers of fields that are gone. Sorted.
    pub retired: Vec<u8>,
    /// Most bytes of encoded fields.
    pub data_max: u32,
    /// What the other end's list gets.
    pub inverse: Inverse,
    /// Most associations one range gives (TAO: typically 6,000).
    pub range_max: u32,
}

impl FieldType {
    const ALL: [FieldType; 5] =
        [FieldType::Int, FieldType::Real, FieldType::Bool, FieldType::Text, FieldType::Bytes];

    /// As schema files have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FieldType::Int => "int",
            FieldType::Real => "real",
            FieldType::Bool => "bool",
            FieldType::Text => "text",
            FieldType::Bytes => "bytes",
        }
    }

    fn named(name: &str) -> Option<FieldType> {
        FieldType::ALL.into_iter().find(|holds| holds.name() == name)
    }

    /// Whether its values have a length that can be bounded.
    #[must_use]
    pub fn has_max(self) -> bool {
        matches!(self, FieldType::Text | FieldType::Bytes)
    }
}

impl Schema {
    /// Reads a schema file (TOML).
    ///
    /// # Errors
    /// Every problem at once, each with its line and advice.
    pub fn parse(text: &str) -> Result<Schema, Vec<String>> {
        parse::schema(text)
    }

    /// The one that is used where none is configured: a small social network.
    #[must_use]
    pub fn built_in() -> Schema {
        Schema::parse(SOCIAL).expect("the built-in schema is checked by a test")
    }

    /// The canonical text, which `parse` reads back to an equal schema; kept in the store.
    #[must_use]
    pub fn text(&self) -> String {
        text::of(self)
    }

    /// What would be lost or misread if `self` followed `old`; empty when nothing would.
    #[must_use]
    pub fn losses(&self, old: &Schema) -> Vec<String> {
        change::losses(old, self)
    }

    /// The object type of this name.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<&ObjectKind> {
        let places = &self.object_names;
        let at = places.binary_search_by(|&place| (*self.objects[usize::from(place)].name).cmp(name)).ok()?;
        self.objects.get(usize::from(places[at]))
    }

    /// The object type of this number.
    #[must_use]
    pub fn object_kind(&self, otype: ObjectType) -> Option<&ObjectKind> {
        self.objects.binary_search_by_key(&otype, |kind| kind.otype).ok().map(|at| &self.objects[at])
    }

    /// The association type of this name.
    #[must_use]
    pub fn assoc(&self, name: &str) -> Option<&AssocKind> {
        let places = &self.assoc_names;
        let at = places.binary_search_by(|&place| (*self.assocs[usize::from(place)].name).cmp(name)).ok()?;
        self.assocs.get(usize::from(places[at]))
    }

    /// The association type of this number.
    #[must_use]
    pub fn assoc_kind(&self, atype: AssocType) -> Option<&AssocKind> {
        self.assocs.binary_search_by_key(&atype, |kind| kind.atype).ok().map(|at| &self.assocs[at])
    }

    /// The type of the other direction.
    #[must_use]
    pub fn inverse(&self, atype: AssocType) -> Option<AssocType> {
        match self.assoc_kind(atype)?.inverse {
            Inverse::None => None,
            Inverse::Same => Some(atype),
            Inverse::Type(other) => Some(other),
        }
    }

    /// All object types, by number.
    #[must_use]
    pub fn objects(&self) -> &[ObjectKind] {
        &self.objects
    }

    /// All association types, by number.
    #[must_use]
    pub fn assocs(&self) -> &[AssocKind] {
        &self.assocs
    }

    /// Sorts, and makes the indexes by name. `parse` has made sure that there are at most [`TYPES_MAX`].
    fn of(
        mut objects: Vec<ObjectKind>,
        mut assocs: Vec<AssocKind>,
        mut retired_objects: Vec<u16>,
        mut retired_assocs: Vec<u16>,
    ) -> Schema {
        objects.sort_by_key(|kind| kind.otype);
        assocs.sort_by_key(|kind| kind.atype);
        retired_objects.sort_unstable();
        retired_assocs.sort_unstable();
        let mut object_names: Vec<u16> = (0..objects.len() as u16).collect();
        object_names.sort_by_key(|&place| &objects[usize::from(place)].name);
        let mut assoc_names: Vec<u16> = (0..assocs.len() as u16).collect();
        assoc_names.sort_by_key(|&place| &assocs[usize::from(place)].name);
        Schema { objects, assocs, retired_objects, retired_assocs, object_names, assoc_names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_by_name_and_number() {
        let schema = Schema::built_in();
        for kind in schema.objects() {
            assert_eq!(schema.object(&kind.name), Some(kind));
            assert_eq!(schema.object_kind(kind.otype), Some(kind));
        }
        for kind in schema.assocs() {
            assert_eq!(schema.assoc(&kind.name), Some(kind));
            assert_eq!(schema.assoc_kind(kind.atype), Some(kind));
        }
        assert_eq!(schema.object("usr"), None);
        assert_eq!(schema.assoc_kind(AssocType(999)), None);
    }

    #[test]
    fn the_built_in_schema_is_a_small_social_network() {
        let schema = Schema::built_in();
        let number = |name: &str| schema.assoc(name).unwrap().atype;
        for (one, other) in [
            ("follows", "followed_by"),
            ("authored", "authored_by"),
            ("likes", "liked_by"),
            ("commented_on", "has_comment"),
            ("shares", "shared_by"),
            ("member_of", "has_member"),
        ] {
            assert_eq!(schema.inverse(number(one)), Some(number(other)), "{one}");
            assert_eq!(schema.inverse(number(other)), Some(number(one)), "{other}");
        }
        assert_eq!(schema.inverse(number("friend")), Some(number("friend")));
        assert_eq!(schema.inverse(number("blocks")), None);
        for object in ["user", "post", "comment", "page"] {
            let kind = schema.object(object).unwrap();
            assert!(kind.fields.iter().any(|field| &*field.name == "created"), "{object}");
        }
        assert_eq!(schema.losses(&schema), [] as [&str; 0]);
    }
}
