//! Reading a schema file, and saying all that is wrong with it.
//!
//! Whoever mends a schema should do so once, so nothing stops at the first problem: each value is read on its own, what
//! cannot be read is left out, and the rules between types are checked among the rest. A problem is
//! `line 12: object.user.fields.name.max: use 1 to 65536`, sorted by line.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    AssocKind, FIELDS_MAX, Field, FieldType, Inverse, NAME_MAX, OBJECT_DATA_DEFAULT, ObjectKind, Schema,
    TEXT_MAX, TYPES_MAX,
};
use crate::call::{AssocType, ObjectType};
use crate::limits::{EDGE_DATA_MAX, OBJECT_DATA_MAX, RANGE_MAX};

/// Problems told at once; who has more mends these first.
pub const PROBLEMS_MAX: usize = 100;

/// What a field cannot be called: answers carry these beside the fields.
const FIELD_NAMES_TAKEN: [&str; 4] = ["id", "type", "version", "time"];
/// What an association type cannot be called: `inverse` would not know what is meant.
const ASSOC_NAMES_TAKEN: [&str; 2] = ["none", "same"];

/// See [`Schema::parse`].
pub(super) fn schema(text: &str) -> Result<Schema, Vec<String>> {
    let mut problems = Problems::new(text);
    if text.len() > TEXT_MAX {
        problems.add(0, "", format_args!("a schema may have {TEXT_MAX} bytes, this one has {}", text.len()));
        return Err(problems.told());
    }
    let root = match DeTable::parse(text) {
        Ok(root) => root.into_inner(),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let words = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            problems.add(at, "", format_args!("{words}"));
            return Err(problems.told());
        }
    };
    let mut file = File { problems, types: Types::default() };
    file.read(&root);
    file.between();
    let File { problems, types } = file;
    if problems.found.is_empty() { Ok(types.schema()) } else { Err(problems.told()) }
}

/// What is wrong, by place.
struct Problems {
    /// Where each line begins.
    lines: Vec<usize>,
    found: Vec<(usize, String)>,
}

impl Problems {
    fn new(text: &str) -> Problems {
        let begins = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Problems { lines: std::iter::once(0).chain(begins).collect(), found: Vec::new() }
    }

    fn add(&mut self, at: usize, key: &str, advice: std::fmt::Arguments<'_>) {
        let line = self.lines.partition_point(|begin| *begin <= at);
        let between = if key.is_empty() { "" } else { ": " };
        self.found.push((line, format!("line {line}: {key}{between}{advice}")));
    }

    fn told(mut self) -> Vec<String> {
        self.found.sort_by_key(|(line, _)| *line);
        let more = self.found.len().saturating_sub(PROBLEMS_MAX);
        self.found.truncate(PROBLEMS_MAX);
        let mut told: Vec<String> = self.found.into_iter().map(|(_, problem)| problem).collect();
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        told
    }
}

/// A type as it stands in the file, before the rules between types.
struct Kind {
    key: String,
    at: usize,
    name: String,
    number: u16,
    fields: Vec<Field>,
    retired: Vec<u8>,
    data_max: u32,
    /// Of associations: what is written, and where.
    inverse: Option<(String, usize)>,
    range_max: u32,
}

#[derive(Default)]
struct Types {
    objects: Vec<Kind>,
    assocs: Vec<Kind>,
    retired_objects: Vec<u16>,
    retired_assocs: Vec<u16>,
}

impl Types {
    /// Only of what has no problem.
    fn schema(self) -> Schema {
        let numbers: BTreeMap<String, u16> =
            self.assocs.iter().map(|kind| (kind.name.clone(), kind.number)).collect();
        let objects = self.objects.into_iter().map(|kind| ObjectKind {
            otype: ObjectType(kind.number),
            name: kind.name.into(),
            fields: kind.fields,
            retired: kind.retired,
            data_max: kind.data_max,
        });
        let assocs = self.assocs.into_iter().map(|kind| AssocKind {
            atype: AssocType(kind.number),
            name: kind.name.into(),
            fields: kind.fields,
            retired: kind.retired,
            data_max: kind.data_max,
            inverse: match kind.inverse.as_ref().map(|(inverse, _)| inverse.as_str()) {
                None | Some("none") => Inverse::None,
                Some("same") => Inverse::Same,
                Some(other) => {
                    numbers.get(other).map_or(Inverse::None, |number| Inverse::Type(AssocType(*number)))
                }
            },
            range_max: kind.range_max,
        });
        Schema::of(objects.collect(), assocs.collect(), self.retired_objects, self.retired_assocs)
    }
}

type Pair<'a, 'i> = (&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

struct File {
    problems: Problems,
    types: Types,
}

impl File {
    fn wrong(&mut self, span: &Range<usize>, key: &str, advice: std::fmt::Arguments<'_>) {
        self.problems.add(span.start, key, advice);
    }

    fn read(&mut self, root: &DeTable<'_>) {
        for (name, value) in root {
            match &**name.get_ref() {
                "object" => self.types_of(value, "object"),
                "association" => self.types_of(value, "association"),
                "retired" => self.retired_types(value),
                other => self.wrong(
                    &name.span(),
                    other,
                    format_args!(
                        "there is no such section; use [object.NAME], [association.NAME] and [retired]"
                    ),
                ),
            }
        }
    }

    fn retired_types(&mut self, value: &Spanned<DeValue<'_>>) {
        let Some(table) = value.get_ref().as_table() else {
            return self.wrong(&value.span(), "retired", format_args!("write it as a section, [retired]"));
        };
        for (name, value) in table {
            let key = format!("retired.{}", name.get_ref());
            match &**name.get_ref() {
                "objects" => self.types.retired_objects = self.numbers(&key, value, u16::MAX),
                "associations" => self.types.retired_assocs = self.numbers(&key, value, u16::MAX),
                _ => self.wrong(
                    &name.span(),
                    &key,
                    format_args!("there is no such key; use objects and associations"),
                ),
            }
        }
    }

    fn types_of(&mut self, value: &Spanned<DeValue<'_>>, what: &'static str) {
        let Some(table) = value.get_ref().as_table() else {
            return self.wrong(&value.span(), what, format_args!("write it as sections, [{what}.NAME]"));
        };
        if table.len() > TYPES_MAX {
            return self.wrong(
                &value.span(),
                what,
                format_args!("a schema may have {TYPES_MAX} of these, this one has {}", table.len()),
            );
        }
        for pair in table {
            if let Some(kind) = self.kind(pair, what) {
                match what {
                    "object" => self.types.objects.push(kind),
                    _ => self.types.assocs.push(kind),
                }
            }
        }
    }

    fn kind(&mut self, (name, value): Pair<'_, '_>, what: &'static str) -> Option<Kind> {
        let is_assoc = what == "association";
        let key = format!("{what}.{}", name.get_ref());
        self.name(name, &key, if is_assoc { &ASSOC_NAMES_TAKEN } else { &[] });
        let Some(table) = value.get_ref().as_table() else {
            self.wrong(&value.span(), &key, format_args!("write it as a section, [{key}]"));
            return None;
        };
        let mut kind = Kind {
            key,
            at: name.span().start,
            name: name.get_ref().to_string(),
            number: 0,
            fields: Vec::new(),
            retired: Vec::new(),
            data_max: if is_assoc { EDGE_DATA_MAX as u32 } else { OBJECT_DATA_DEFAULT },
            inverse: None,
            range_max: RANGE_MAX,
        };
        let mut fields = None;
        for (name, value) in table {
            let key = format!("{}.{}", kind.key, name.get_ref());
            match &**name.get_ref() {
                "number" => kind.number = self.number(&key, value, u16::MAX).unwrap_or(0),
                "fields" => fields = Some((key, value)),
                "retired" => kind.retired = self.numbers(&key, value, u8::MAX),
                "data_max" => {
                    let most = if is_assoc { EDGE_DATA_MAX } else { OBJECT_DATA_MAX } as u32;
                    kind.data_max = self.size(&key, value, most).unwrap_or(kind.data_max);
                }
                "inverse" if is_assoc => match value.get_ref().as_str() {
                    Some(inverse) => kind.inverse = Some((inverse.to_owned(), value.span().start)),
                    None => self.wrong(
                        &value.span(),
                        &key,
                        format_args!("use \"none\", \"same\" or the name of the other type, in quotes"),
                    ),
                },
                "range_max" if is_assoc => {
                    kind.range_max = self.number(&key, value, RANGE_MAX).unwrap_or(kind.range_max);
                }
                _ if is_assoc => self.wrong(
                    &name.span(),
                    &key,
                    format_args!(
                        "there is no such key; use number, inverse, range_max, fields, data_max and retired"
                    ),
                ),
                _ => self.wrong(
                    &name.span(),
                    &key,
                    format_args!("there is no such key; use number, fields, data_max and retired"),
                ),
            }
        }
        // After all else, because `data_max` is the default of each field's `max`.
        if let Some((key, value)) = fields {
            kind.fields = self.fields(&key, value, &kind);
        }
        if !table.iter().any(|(name, _)| &**name.get_ref() == "number") {
            self.wrong(
                &name.span(),
                &kind.key,
                format_args!("the number is missing; write `number = N`, never used before"),
            );
        }
        Some(kind)
    }

    fn fields(&mut self, key: &str, value: &Spanned<DeValue<'_>>, kind: &Kind) -> Vec<Field> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong(
                &value.span(),
                key,
                format_args!("write fields as `fields.NAME = {{ number = 1, type = \"text\" }}`"),
            );
            return Vec::new();
        };
        if table.len() > FIELDS_MAX {
            self.wrong(
                &value.span(),
                key,
                format_args!("a type may have {FIELDS_MAX} fields, this one has {}", table.len()),
            );
            return Vec::new();
        }
        let mut fields: Vec<Field> = Vec::with_capacity(table.len());
        for pair in table {
            let key = format!("{key}.{}", pair.0.get_ref());
            self.name(pair.0, &key, &FIELD_NAMES_TAKEN);
            let Some(field) = self.field(&key, pair, kind.data_max) else { continue };
            if kind.retired.contains(&field.number) {
                let number = field.number;
                let advice = format_args!("number {number} is retired; take one that was never used");
                self.wrong(&pair.0.span(), &key, advice);
            }
            if let Some(other) = fields.iter().find(|other| other.number == field.number && field.number > 0)
            {
                let advice = format_args!("number {} is the field `{}` already", field.number, other.name);
                self.wrong(&pair.0.span(), &key, advice);
            }
            fields.push(field);
        }
        fields.sort_by_key(|field| field.number);
        fields
    }

    fn field(&mut self, key: &str, (name, value): Pair<'_, '_>, data_max: u32) -> Option<Field> {
        let Some(table) = value.get_ref().as_table() else {
            let advice = format_args!("write it as `{{ number = 1, type = \"text\" }}`");
            self.wrong(&value.span(), key, advice);
            return None;
        };
        let (mut number, mut holds, mut required, mut max) = (None, None, false, None);
        for (name, value) in table {
            let key = format!("{key}.{}", name.get_ref());
            match &**name.get_ref() {
                "number" => number = Some(self.number(&key, value, u8::MAX)),
                "type" => {
                    holds = Some(value.get_ref().as_str().and_then(FieldType::named));
                    if let Some(None) = holds {
                        let advice =
                            format_args!("use \"int\", \"real\", \"bool\", \"text\" or \"bytes\", in quotes");
                        self.wrong(&value.span(), &key, advice);
                    }
                }
                "required" => match value.get_ref().as_bool() {
                    Some(yes) => required = yes,
                    None => self.wrong(&value.span(), &key, format_args!("use true or false")),
                },
                "max" => max = Some((self.size(&key, value, data_max), value.span())),
                _ => self.wrong(
                    &name.span(),
                    &key,
                    format_args!("there is no such key; use number, type, required and max"),
                ),
            }
        }
        if number.is_none() {
            let advice =
                format_args!("the number is missing; write `number = N`, 1 to 255, never used before");
            self.wrong(&name.span(), key, advice);
        }
        if holds.is_none() {
            let advice =
                format_args!("the type is missing; write `type = \"text\"`, or int, real, bool, bytes");
            self.wrong(&name.span(), key, advice);
        }
        let holds = holds.flatten()?;
        if let Some((Some(_), span)) = &max
            && !holds.has_max()
        {
            let advice = format_args!("only text and bytes have a length; {} needs no `max`", holds.name());
            self.wrong(span, key, advice);
        }
        let max = match max {
            _ if !holds.has_max() => 0,
            Some((Some(max), _)) => max,
            _ => data_max,
        };
        let name = Box::from(&**name.get_ref());
        Some(Field { number: number.flatten().unwrap_or(0), name, holds, required, max })
    }

    fn name(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, key: &str, taken: &[&str]) {
        let text = &**name.get_ref();
        let is_right = text.len() <= NAME_MAX
            && text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !is_right {
            let advice = format_args!(
                "a name has 1 to {NAME_MAX} of a-z, 0-9 and _, and begins with a letter, such as `wall_post`"
            );
            self.wrong(&name.span(), key, advice);
        }
        if taken.contains(&text) {
            let advice = format_args!("`{text}` has a meaning of its own; choose another name");
            self.wrong(&name.span(), key, advice);
        }
    }

    /// A number from 1 to `max`; a complaint otherwise.
    fn number<N>(&mut self, key: &str, value: &Spanned<DeValue<'_>>, max: N) -> Option<N>
    where
        N: Copy + PartialOrd + From<u8> + TryFrom<u64> + std::fmt::Display,
    {
        let number = whole(value.get_ref()).and_then(|number| N::try_from(number).ok());
        let fits = number.filter(|number| *number >= N::from(1) && *number <= max);
        if fits.is_none() {
            self.wrong(&value.span(), key, format_args!("use 1 to {max}"));
        }
        fits
    }

    /// Bytes, as a number or as `"64KiB"`.
    fn size(&mut self, key: &str, value: &Spanned<DeValue<'_>>, max: u32) -> Option<u32> {
        let bytes = match value.get_ref() {
            DeValue::String(text) => size_of(text),
            other => whole(other),
        };
        let fits =
            bytes.and_then(|bytes| u32::try_from(bytes).ok()).filter(|bytes| (1..=max).contains(bytes));
        if fits.is_none() {
            self.wrong(&value.span(), key, format_args!("use 1 to {max} bytes, or a size such as \"4KiB\""));
        }
        fits
    }

    /// Numbers that are used no more, sorted.
    fn numbers<N>(&mut self, key: &str, value: &Spanned<DeValue<'_>>, max: N) -> Vec<N>
    where
        N: Copy + Ord + From<u8> + TryFrom<u64> + std::fmt::Display,
    {
        let Some(array) = value.get_ref().as_array() else {
            self.wrong(&value.span(), key, format_args!("use a list of numbers, such as [3, 7]"));
            return Vec::new();
        };
        let mut numbers: Vec<N> = array.iter().filter_map(|one| self.number(key, one, max)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The rules between types.
    fn between(&mut self) {
        let types = std::mem::take(&mut self.types);
        self.numbers_once(&types.objects, &types.retired_objects, "retired.objects");
        self.numbers_once(&types.assocs, &types.retired_assocs, "retired.associations");
        let by_name: BTreeMap<&str, &Kind> =
            types.assocs.iter().map(|kind| (kind.name.as_str(), kind)).collect();
        for kind in &types.assocs {
            self.inverse(kind, &by_name);
        }
        self.types = types;
    }

    fn numbers_once(&mut self, kinds: &[Kind], retired: &[u16], retired_key: &str) {
        let mut seen: BTreeMap<u16, &str> = BTreeMap::new();
        for kind in kinds.iter().filter(|kind| kind.number > 0) {
            if let Some(other) = seen.insert(kind.number, &kind.name) {
                let advice = format_args!("number {} is `{other}` already", kind.number);
                self.problems.add(kind.at, &kind.key, advice);
            }
            if retired.contains(&kind.number) {
                let advice =
                    format_args!("number {} is in {retired_key}; take one that was never used", kind.number);
                self.problems.add(kind.at, &kind.key, advice);
            }
        }
    }

    fn inverse(&mut self, kind: &Kind, by_name: &BTreeMap<&str, &Kind>) {
        let Some((inverse, at)) = &kind.inverse else { return };
        let key = format!("{}.inverse", kind.key);
        if ASSOC_NAMES_TAKEN.contains(&inverse.as_str()) {
            return;
        }
        if *inverse == kind.name {
            return self.problems.add(
                *at,
                &key,
                format_args!("write \"same\" for a type that is its own inverse"),
            );
        }
        let Some(other) = by_name.get(inverse.as_str()) else {
            let advice = format_args!("there is no [association.{inverse}]");
            return self.problems.add(*at, &key, advice);
        };
        if other.inverse.as_ref().is_none_or(|(back, _)| *back != kind.name) {
            let advice = format_args!(
                "[association.{inverse}] must say `inverse = \"{}\"`: each is the other's",
                kind.name
            );
            return self.problems.add(*at, &key, advice);
        }
        // Once for each pair.
        if kind.name < other.name
            && (&kind.fields, &kind.retired, kind.data_max) != (&other.fields, &other.retired, other.data_max)
        {
            let advice = format_args!(
                "both directions hold the same data, so [association.{inverse}] must have the same fields, retired \
                 and data_max"
            );
            self.problems.add(*at, &key, advice);
        }
    }
}

/// A whole number that is not negative.
fn whole(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

/// `"64KiB"` in bytes.
fn size_of(text: &str) -> Option<u64> {
    let value = toml::Value::String(text.to_owned());
    seawall_policy::size::deserialize(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Vec<String> {
        Schema::parse(text).expect_err(text)
    }

    #[test]
    fn everything_wrong_is_said_at_once_by_line_with_advice() {
        let text = r#"
[object.User]
number = 1
[object.user]
number = 0
fields.id = { number = 1, type = "int" }
fields.a = { number = 2, type = "int", max = 3 }
fields.b = { number = 2, type = "string" }
fields.c = { number = 2, type = "text", max = "2MiB" }
fields.d = { type = "text", requird = true }
fields.e = 5
colour = "red"
[association.likes]
number = 70000
inverse = "liked"
range_max = 6001
[association.same]
inverse = "same"
[objects.post]
number = 3
"#;
        let told = wrong(text);
        let lines: Vec<(usize, &str)> = told
            .iter()
            .map(|problem| {
                let (line, rest) = problem.strip_prefix("line ").unwrap().split_once(": ").unwrap();
                (line.parse().unwrap(), rest)
            })
            .collect();
        for (line, words) in [
            (2, "object.User: a name has 1 to 64 of a-z"),
            (5, "object.user.number: use 1 to 65535"),
            (6, "object.user.fields.id: `id` has a meaning of its own"),
            (7, "object.user.fields.a: only text and bytes have a length"),
            (8, "object.user.fields.b.type: use \"int\""),
            (9, "object.user.fields.c.max: use 1 to 65536 bytes"),
            (9, "object.user.fields.c: number 2 is the field `a` already"),
            (10, "object.user.fields.d: the number is missing"),
            (10, "object.user.fields.d.requird: there is no such key"),
            (11, "object.user.fields.e: write it as `{ number"),
            (12, "object.user.colour: there is no such key; use number, fields"),
            (14, "association.likes.number: use 1 to 65535"),
            (15, "association.likes.inverse: there is no [association.liked]"),
            (16, "association.likes.range_max: use 1 to 6000"),
            (17, "association.same: `same` has a meaning of its own"),
            (17, "association.same: the number is missing"),
            (19, "objects: there is no such section; use [object.NAME]"),
        ] {
            assert!(
                lines.iter().any(|(l, w)| *l == line && w.starts_with(words)),
                "{line} {words}\n{told:#?}"
            );
        }
        assert_eq!(told.len(), 17, "{told:#?}");
        assert!(lines.is_sorted_by_key(|(line, _)| *line));
    }

    #[test]
    fn what_is_no_toml_has_one_problem_with_its_line() {
        let told = wrong("[object.user]\nnumber = \n");
        assert!(told.len() == 1 && told[0].starts_with("line 2: "), "{told:?}");
        assert!(wrong(&"#".repeat(TEXT_MAX + 1))[0].contains("1048576 bytes"));
    }

    #[test]
    fn numbers_have_one_meaning_within_a_file() {
        let told = wrong(
            "[object.a]\nnumber = 1\n[object.b]\nnumber = 1\n[object.c]\nnumber = 9\nretired = [4]\n\
             fields.x = { number = 4, type = \"int\" }\n[retired]\nobjects = [9]\n",
        );
        let wanted = [
            "line 3: object.b: number 1 is `a` already",
            "line 5: object.c: number 9 is in retired.objects; take one that was never used",
            "line 8: object.c.fields.x: number 4 is retired; take one that was never used",
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn inverses_are_mutual_and_hold_the_same() {
        let two = |a: &str, b: &str| {
            let text = format!("[association.a]\nnumber = 1\n{a}\n[association.b]\nnumber = 2\n{b}\n");
            Schema::parse(&text)
        };
        let told = two("inverse = \"b\"", "").unwrap_err();
        assert_eq!(
            told,
            [
                "line 3: association.a.inverse: [association.b] must say `inverse = \"a\"`: each is the other's"
            ]
        );
        let told = two("inverse = \"a\"", "").unwrap_err();
        assert!(told[0].contains("write \"same\""), "{told:?}");
        let told =
            two("inverse = \"b\"", "inverse = \"a\"\nfields.x = { number = 1, type = \"int\" }").unwrap_err();
        assert!(told.len() == 1 && told[0].contains("must have the same fields"), "{told:?}");
        let good = two("inverse = \"b\"", "inverse = \"a\"").unwrap();
        assert_eq!(good.inverse(AssocType(1)), Some(AssocType(2)));
        let none = two("inverse = \"none\"", "inverse = \"same\"").unwrap();
        assert_eq!((none.inverse(AssocType(1)), none.inverse(AssocType(2))), (None, Some(AssocType(2))));
    }

    #[test]
    fn what_is_stored_of_one_thing_is_bounded() {
        let object =
            |data_max: &str| Schema::parse(&format!("[object.a]\nnumber = 1\ndata_max = {data_max}\n"));
        assert_eq!(object("\"512KiB\"").unwrap().object("a").unwrap().data_max, 512 << 10);
        assert!(object("\"513KiB\"").unwrap_err()[0].contains("use 1 to 524288 bytes"));
        let assoc =
            |data_max: u32| Schema::parse(&format!("[association.a]\nnumber = 1\ndata_max = {data_max}\n"));
        assert!(assoc(2048).is_ok());
        assert!(assoc(2049).unwrap_err()[0].contains("use 1 to 2048 bytes"));
    }

    #[test]
    fn there_are_only_so_many_types_and_fields() {
        let types: String = (1..=TYPES_MAX + 1).map(|n| format!("[object.o{n}]\nnumber = {n}\n")).collect();
        assert!(wrong(&types)[0].contains("may have 1024 of these, this one has 1025"));
        let fields: String = (1..=FIELDS_MAX + 1)
            .map(|n| format!("fields.f{n} = {{ number = {n}, type = \"int\" }}\n"))
            .collect();
        assert!(wrong(&format!("[object.o]\nnumber = 1\n{fields}"))[0].contains("may have 64 fields"));
        let odd: String = (1..=200).map(|n| format!("[object.O{n}]\nnumber = {n}\n")).collect();
        assert_eq!(wrong(&odd).last().unwrap(), "and 100 more");
    }

    proptest::proptest! {
        #[test]
        fn fuzz_a_schema_is_read_or_refused(text in "(\\[(object|association|retired)\\.?[a-z]{0,3}\\]\n|[a-z]{1,8} = [0-9\"{}\\[\\]a-z]{0,9}\n|(number|range_max|data_max) = -?[0-9]{1,12}\n|inverse = \"(same|none|a)\"\n){0,12}") {
            if let Ok(schema) = Schema::parse(&text) {
                proptest::prop_assert_eq!(Schema::parse(&schema.text()), Ok(schema));
            }
        }
    }
}
