//! Fields to bytes and back.
//!
//! ```text
//! number: u8 | length: varint | value
//! ```
//!
//! One after the other, sorted by number, each at most once: equal fields are equal bytes. Whole numbers are zigzag
//! varints, reals eight bytes (little-endian), booleans one, texts and bytes what they are. A field costs two bytes
//! beside its value, and names are nowhere. The length stands before every value, so that whoever does not know a field
//! can pass over it.
//!
//! Reading never fails and never panics: what ends too early or is out of order ends the walk, and a value that its type
//! cannot have counts as none. Only our own damage could make such bytes; an answer with a field less is better than none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::{AssocKind, Field, FieldType};
use crate::call::Data;

/// Bytes of the longest varint.
const VARINT_MAX: usize = 10;

/// One decoded value; borrows from the encoded data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldValue<'a> {
    /// Of [`FieldType::Int`].
    Int(i64),
    /// Of [`FieldType::Real`].
    Real(f64),
    /// Of [`FieldType::Bool`].
    Bool(bool),
    /// Of [`FieldType::Text`].
    Text(&'a str),
    /// Of [`FieldType::Bytes`].
    Bytes(&'a [u8]),
}

impl FieldValue<'_> {
    /// As JSON carries it: bytes as base64, everything else as itself.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match *self {
            FieldValue::Int(number) => Value::from(number),
            // Finite, or it would not have been encoded.
            FieldValue::Real(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
            FieldValue::Bool(is) => Value::Bool(is),
            FieldValue::Text(text) => Value::from(text),
            FieldValue::Bytes(bytes) => Value::from(STANDARD.encode(bytes)),
        }
    }

    /// As RESP carries it, appended; [`encode_text`] reads it back.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        use std::io::Write;
        // Writing to memory does not fail.
        let _ = match *self {
            FieldValue::Int(number) => write!(out, "{number}"),
            FieldValue::Real(number) => write!(out, "{number}"),
            FieldValue::Bool(is) => write!(out, "{is}"),
            FieldValue::Text(text) => out.write_all(text.as_bytes()),
            FieldValue::Bytes(bytes) => out.write_all(bytes),
        };
    }
}

/// Fields under way to bytes: put in any order.
struct Encoder<'a> {
    fields: &'a [Field],
    /// Number and encoded value.
    values: Vec<(u8, Vec<u8>)>,
}

impl<'a> Encoder<'a> {
    fn new(fields: &'a [Field], given: usize) -> Encoder<'a> {
        Encoder { fields, values: Vec::with_capacity(given.min(fields.len())) }
    }

    /// The field that is meant.
    fn field(&self, name: &[u8]) -> Result<&'a Field, String> {
        let field = named(self.fields, name)?;
        match self.values.iter().any(|(number, _)| *number == field.number) {
            true => Err(format!("the field `{}` is given twice", field.name)),
            false => Ok(field),
        }
    }

    fn put(&mut self, field: &Field, value: FieldValue<'_>) -> Result<(), String> {
        let mut bytes = Vec::new();
        match value {
            FieldValue::Int(number) => varint(&mut bytes, zigzag(number)),
            FieldValue::Real(number) if number.is_finite() => bytes.extend_from_slice(&number.to_le_bytes()),
            FieldValue::Real(_) => return Err(expected(field)),
            FieldValue::Bool(is) => bytes.push(u8::from(is)),
            FieldValue::Text(text) => bytes.extend_from_slice(text.as_bytes()),
            FieldValue::Bytes(given) => bytes.extend_from_slice(given),
        }
        if field.holds.has_max() && bytes.len() > field.max as usize {
            let (name, max, len) = (&field.name, field.max, bytes.len());
            return Err(format!("the field `{name}` takes at most {max} bytes, and {len} were given"));
        }
        self.values.push((field.number, bytes));
        Ok(())
    }

    fn data(mut self) -> Data {
        self.values.sort_unstable_by_key(|(number, _)| *number);
        let size = self.values.iter().map(|(_, value)| value.len() + 4).sum();
        let mut out = Vec::with_capacity(size);
        for (number, value) in &self.values {
            put(&mut out, *number, value);
        }
        Data::from(out)
    }
}

/// From text values, as RESP carries them: whole numbers and reals in decimal, `true` or `false` (also `1` or `0`),
/// texts and bytes as they are.
///
/// # Errors
/// A field that the type does not have, is given twice, or cannot hold the value; the words name it.
pub fn encode_text(fields: &[Field], given: &[(&[u8], &[u8])]) -> Result<Data, String> {
    let mut encoder = Encoder::new(fields, given.len());
    for (name, value) in given {
        let field = encoder.field(name)?;
        let value = text_value(field.holds, value).ok_or_else(|| expected(field))?;
        encoder.put(field, value)?;
    }
    Ok(encoder.data())
}

fn text_value(holds: FieldType, value: &[u8]) -> Option<FieldValue<'_>> {
    let text = || std::str::from_utf8(value).ok();
    // `parse` would take a plus sign, and one number should be written in one way.
    let number = || text().filter(|text| !text.starts_with('+'));
    Some(match holds {
        FieldType::Int => FieldValue::Int(number()?.parse().ok()?),
        FieldType::Real => FieldValue::Real(number()?.parse().ok()?),
        FieldType::Bool => FieldValue::Bool(match value {
            b"true" | b"1" => true,
            b"false" | b"0" => false,
            _ => return None,
        }),
        FieldType::Text => FieldValue::Text(text()?),
        FieldType::Bytes => FieldValue::Bytes(value),
    })
}

/// From JSON values: bytes as base64 strings; whole numbers also as strings, because many clients hold numbers as
/// doubles.
///
/// # Errors
/// As [`encode_text`]. `null` is refused: to take a field away is an update's `unset`.
pub fn encode_json(fields: &[Field], given: &Map<String, Value>) -> Result<Data, String> {
    let mut encoder = Encoder::new(fields, given.len());
    for (name, value) in given {
        let field = encoder.field(name.as_bytes())?;
        let wrong = || expected(field);
        match (field.holds, value) {
            (FieldType::Int, Value::Number(number)) => {
                encoder.put(field, FieldValue::Int(number.as_i64().ok_or_else(wrong)?))?;
            }
            (FieldType::Int, Value::String(text)) => {
                let value = text_value(FieldType::Int, text.as_bytes()).ok_or_else(wrong)?;
                encoder.put(field, value)?;
            }
            (FieldType::Real, Value::Number(number)) => {
                encoder.put(field, FieldValue::Real(number.as_f64().ok_or_else(wrong)?))?;
            }
            (FieldType::Bool, Value::Bool(is)) => encoder.put(field, FieldValue::Bool(*is))?,
            (FieldType::Text, Value::String(text)) => encoder.put(field, FieldValue::Text(text))?,
            (FieldType::Bytes, Value::String(text)) => {
                let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
                encoder.put(field, FieldValue::Bytes(&bytes))?;
            }
            _ => return Err(wrong()),
        }
    }
    Ok(encoder.data())
}

fn expected(field: &Field) -> String {
    let what = match field.holds {
        FieldType::Int => "a whole number of 64 bits",
        FieldType::Real => "a number, not infinite",
        FieldType::Bool => "true or false",
        FieldType::Text => "text in UTF-8",
        FieldType::Bytes => "bytes; in JSON a string in base64",
    };
    format!("the field `{}` takes {what}", field.name)
}

fn named<'a>(fields: &'a [Field], name: &[u8]) -> Result<&'a Field, String> {
    fields.iter().find(|field| field.name.as_bytes() == name).ok_or_else(|| {
        // What a stranger sent is not repeated at any length.
        let name = String::from_utf8_lossy(&name[..name.len().min(super::NAME_MAX)]);
        let known: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
        match known.as_slice() {
            [] => format!("there is no field `{name}`; this type has none"),
            known => format!("there is no field `{name}`; there are {}", known.join(", ")),
        }
    })
}

/// The numbers of fields that an update takes away.
///
/// # Errors
/// A name that is no field, is required, or is given a value by the same update.
pub fn unset<'n>(
    fields: &[Field],
    names: impl IntoIterator<Item = &'n [u8]>,
    set: &Data,
) -> Result<Vec<u8>, String> {
    let mut numbers = Vec::new();
    for name in names {
        let field = named(fields, name)?;
        if field.required {
            return Err(format!("the field `{}` is required and cannot be unset", field.name));
        }
        if walk(set.bytes()).any(|(number, _)| number == field.number) {
            return Err(format!("the field `{}` is both set and unset", field.name));
        }
        numbers.push(field.number);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// All required fields are there.
///
/// # Errors
/// Names the first that is not.
pub fn check_complete(fields: &[Field], data: &Data) -> Result<(), String> {
    let missing =
        |field: &&Field| field.required && !walk(data.bytes()).any(|(number, _)| number == field.number);
    match fields.iter().find(missing) {
        Some(field) => Err(format!("the field `{}` is required", field.name)),
        None => Ok(()),
    }
}

/// The data is within its type's `data_max`.
///
/// # Errors
/// Names both sizes.
pub fn check_size(data_max: u32, data: &Data) -> Result<(), String> {
    let len = data.bytes().len();
    if len <= data_max as usize {
        return Ok(());
    }
    Err(format!("the fields take {len} bytes together, and the type allows {data_max}"))
}

impl AssocKind {
    /// Whether data of this type can be read as `other`'s: what changing an association's type asks for.
    ///
    /// # Errors
    /// Names the field that stands in the way.
    pub fn can_become(&self, other: &AssocKind) -> Result<(), String> {
        let (from, to) = (&self.name, &other.name);
        for field in &self.fields {
            let same = other.fields.iter().find(|same| same.number == field.number);
            let fits =
                |same: &Field| same.name == field.name && same.holds == field.holds && same.max >= field.max;
            if !same.is_some_and(fits) {
                return Err(format!("`{to}` has no field `{}` like that of `{from}`", field.name));
            }
        }
        for field in other.fields.iter().filter(|field| field.required) {
            if !self.fields.iter().any(|same| same.number == field.number && same.required) {
                return Err(format!("the field `{}` is required in `{to}` and not in `{from}`", field.name));
            }
        }
        if self.data_max > other.data_max {
            return Err(format!(
                "`{to}` allows {} bytes of fields and `{from}` {}",
                other.data_max, self.data_max
            ));
        }
        Ok(())
    }
}

/// Walks encoded data: field numbers with their raw values, in order.
pub fn walk(data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = data;
    let mut last = 0;
    std::iter::from_fn(move || {
        let (&number, after) = rest.split_first()?;
        let (len, after) = read_varint(after)?;
        let (value, after) = after.split_at_checked(usize::try_from(len).ok()?)?;
        // Also keeps number 0 out.
        if number <= last {
            return None;
        }
        (rest, last) = (after, number);
        Some((number, value))
    })
    .fuse()
}

/// Reads one raw value as its field says; nothing where the bytes are no such value.
#[must_use]
pub fn value(holds: FieldType, raw: &[u8]) -> Option<FieldValue<'_>> {
    match holds {
        FieldType::Int => match read_varint(raw)? {
            (number, []) => Some(FieldValue::Int(unzigzag(number))),
            _ => None,
        },
        FieldType::Real => {
            let number = f64::from_le_bytes(raw.try_into().ok()?);
            number.is_finite().then_some(FieldValue::Real(number))
        }
        FieldType::Bool => match raw {
            [0] => Some(FieldValue::Bool(false)),
            [1] => Some(FieldValue::Bool(true)),
            _ => None,
        },
        FieldType::Text => std::str::from_utf8(raw).ok().map(FieldValue::Text),
        FieldType::Bytes => Some(FieldValue::Bytes(raw)),
    }
}

/// Fields of a type with their values, by number; what the schema knows no longer is left out. `fields` are sorted by
/// number, as in [`ObjectKind`](super::ObjectKind).
pub fn decode<'a>(fields: &'a [Field], data: &'a [u8]) -> impl Iterator<Item = (&'a Field, FieldValue<'a>)> {
    let mut fields = fields.iter().peekable();
    walk(data).filter_map(move |(number, raw)| {
        while fields.next_if(|field| field.number < number).is_some() {}
        let field = fields.next_if(|field| field.number == number)?;
        Some((field, value(field.holds, raw)?))
    })
}

/// `old` with the fields of `set` in place of its own, and without those of `unset`.
#[must_use]
pub fn merge(old: &Data, set: &Data, unset: &[u8]) -> Data {
    let mut out = Vec::with_capacity(old.bytes().len() + set.bytes().len());
    let (mut old, mut set) = (walk(old.bytes()).peekable(), walk(set.bytes()).peekable());
    loop {
        let (number, value) = match (old.peek(), set.peek()) {
            (Some((a, _)), Some((b, _))) if a == b => {
                old.next();
                continue;
            }
            (Some((a, _)), Some((b, _))) if a < b => old.next(),
            (_, Some(_)) => set.next(),
            (_, None) => old.next(),
        }
        .unzip();
        let (Some(number), Some(value)) = (number, value) else { break };
        if !unset.contains(&number) {
            put(&mut out, number, value);
        }
    }
    Data::from(out)
}

fn put(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    out.push(number);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Seven bits a byte, lowest first; the highest bit says that more follow.
fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().take(VARINT_MAX).enumerate() {
        let bits = u64::from(byte & 0x7F);
        let shifted = bits << (7 * at);
        // The tenth byte has room for one bit.
        if shifted >> (7 * at) != bits {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

/// Small numbers of either sign become small ones without.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::schema::Schema;

    /// One field of each type, and some numbers between that are nobody's.
    fn fields() -> Vec<Field> {
        let text = "[object.a]\nnumber = 1\n\
            fields.age = { number = 2, type = \"int\" }\n\
            fields.weight = { number = 3, type = \"real\" }\n\
            fields.awake = { number = 5, type = \"bool\" }\n\
            fields.name = { number = 8, type = \"text\", max = 20, required = true }\n\
            fields.face = { number = 255, type = \"bytes\", max = 20 }\n";
        Schema::parse(text).unwrap().object("a").unwrap().fields.clone()
    }

    fn json(text: &Value) -> Result<Data, String> {
        encode_json(&fields(), text.as_object().unwrap())
    }

    fn shown(data: &Data) -> Value {
        Value::Object(
            decode(&fields(), data.bytes()).map(|(f, v)| (f.name.to_string(), v.to_json())).collect(),
        )
    }

    #[test]
    fn fields_are_two_bytes_and_their_value_in_order_of_numbers() {
        let data =
            json(&json!({"name": "ab", "age": -3, "awake": true, "face": "/w==", "weight": 0.5})).unwrap();
        let wanted = [
            &[2, 1, 5][..],
            &[3, 8, 0, 0, 0, 0, 0, 0, 0xE0, 0x3F],
            &[5, 1, 1],
            &[8, 2, b'a', b'b'],
            &[255, 1, 0xFF],
        ]
        .concat();
        assert_eq!(data.bytes()[..], wanted);
        let same: [(&[u8], &[u8]); 5] =
            [(b"face", b"\xFF"), (b"awake", b"1"), (b"name", b"ab"), (b"age", b"-3"), (b"weight", b".5")];
        assert_eq!(encode_text(&fields(), &same), Ok(data));
    }

    #[test]
    fn what_a_field_cannot_hold_is_refused_by_name() {
        for (odd, words) in [
            (json!({"age": 1.5}), "`age` takes a whole number"),
            (json!({"age": 9_223_372_036_854_775_808_u64}), "`age` takes a whole number"),
            (json!({"age": "+5"}), "`age` takes a whole number"),
            (json!({"age": null}), "`age` takes a whole number"),
            (json!({"weight": "1"}), "`weight` takes a number"),
            (json!({"awake": 1}), "`awake` takes true or false"),
            (json!({"name": 5}), "`name` takes text"),
            (json!({"name": "123456789012345678901"}), "`name` takes at most 20 bytes, and 21 were given"),
            (json!({"face": "%"}), "`face` takes bytes"),
            (json!({"nam": "x"}), "there is no field `nam`; there are age, weight, awake, name, face"),
        ] {
            let why = json(&odd).unwrap_err();
            assert!(why.contains(words), "{odd}: {why}");
        }
        for (name, odd, words) in [
            (&b"age"[..], &b"1e3"[..], "`age` takes a whole number"),
            (b"age", b"", "`age` takes a whole number"),
            (b"weight", b"inf", "`weight` takes a number"),
            (b"weight", b"NaN", "`weight` takes a number"),
            (b"awake", b"yes", "`awake` takes true or false"),
            (b"name", b"\xFF", "`name` takes text"),
            (b"\xFF", b"", "there is no field"),
        ] {
            let why = encode_text(&fields(), &[(name, odd)]).unwrap_err();
            assert!(why.contains(words), "{odd:?}: {why}");
        }
        let twice = encode_text(&fields(), &[(b"age", b"1"), (b"age", b"1")]);
        assert_eq!(twice, Err("the field `age` is given twice".to_owned()));
        assert!(encode_text(&[], &[(b"x", b"")]).unwrap_err().contains("this type has none"));
    }

    #[test]
    fn required_fields_must_be_there_and_stay_there() {
        let (without, with) = (json(&json!({"age": 1})).unwrap(), json(&json!({"name": ""})).unwrap());
        assert_eq!(check_complete(&fields(), &without), Err("the field `name` is required".to_owned()));
        assert_eq!(check_complete(&fields(), &with), Ok(()));
        let take = |name: &'static str, set: &Data| unset(&fields(), [name.as_bytes()], set);
        assert!(take("name", &without).unwrap_err().contains("required"));
        assert!(take("age", &without).unwrap_err().contains("both set and unset"));
        assert!(take("size", &without).unwrap_err().contains("no field `size`"));
        assert_eq!(take("face", &without), Ok(vec![255]));
        assert_eq!(check_size(3, &without), Ok(()));
        assert!(check_size(2, &without).unwrap_err().contains("take 3 bytes together"));
    }

    #[test]
    fn an_association_becomes_one_that_can_hold_what_it_holds() {
        let text = |b: &str| {
            format!(
                "[association.a]\nnumber = 1\nfields.x = {{ number = 1, type = \"text\", max = 9 }}\n[association.b]\nnumber = 2\n{b}"
            )
        };
        let becomes = |b: &str| {
            let schema = Schema::parse(&text(b)).unwrap();
            schema.assoc("a").unwrap().can_become(schema.assoc("b").unwrap())
        };
        assert_eq!(becomes("fields.x = { number = 1, type = \"text\", max = 10 }"), Ok(()));
        for b in [
            "",
            "fields.y = { number = 1, type = \"text\" }",
            "fields.x = { number = 1, type = \"bytes\" }",
            "fields.x = { number = 1, type = \"text\", max = 8 }",
            "fields.x = { number = 1, type = \"text\", required = true }",
            "data_max = 100\nfields.x = { number = 1, type = \"text\" }",
        ] {
            assert!(becomes(b).is_err(), "{b}");
        }
    }

    #[test]
    fn a_field_that_is_gone_is_not_shown_and_not_lost() {
        let (old, set) = (Data::from(vec![1, 1, 7, 4, 0, 9, 1, 1]), Data::from(vec![2, 1, 2]));
        assert_eq!(shown(&old), json!({}));
        assert_eq!(merge(&old, &set, &[]).bytes()[..], [1, 1, 7, 2, 1, 2, 4, 0, 9, 1, 1]);
    }

    fn values() -> impl Strategy<Value = BTreeMap<String, Value>> {
        let one = prop_oneof![
            any::<i64>().prop_map(|n| ("age".to_owned(), json!(n))),
            (-1e300..1e300_f64).prop_map(|n| ("weight".to_owned(), json!(n))),
            any::<bool>().prop_map(|is| ("awake".to_owned(), json!(is))),
            "\\PC{0,5}".prop_map(|text| ("name".to_owned(), json!(text))),
            vec(any::<u8>(), 0..20).prop_map(|bytes| ("face".to_owned(), json!(STANDARD.encode(bytes)))),
        ];
        vec(one, 0..8).prop_map(|all| all.into_iter().collect())
    }

    fn encoded(values: &BTreeMap<String, Value>) -> Data {
        encode_json(&fields(), &values.clone().into_iter().collect()).unwrap()
    }

    proptest! {
        #[test]
        fn json_and_text_read_back_what_was_written(values in values()) {
            let data = encoded(&values);
            prop_assert_eq!(&shown(&data), &json!(values));
            let fields = fields();
            let texts: Vec<(&Field, Vec<u8>)> = decode(&fields, data.bytes())
                .map(|(field, value)| {
                    let mut text = Vec::new();
                    value.write_text(&mut text);
                    (field, text)
                })
                .collect();
            let given: Vec<(&[u8], &[u8])> =
                texts.iter().rev().map(|(field, text)| (field.name.as_bytes(), &text[..])).collect();
            prop_assert_eq!(encode_text(&fields, &given), Ok(data));
        }

        #[test]
        fn merging_is_what_a_map_does(old in values(), set in values(), gone in vec(any::<prop::sample::Index>(), 0..3)) {
            let fields = fields();
            let gone: Vec<&Field> = gone.iter().map(|at| at.get(&fields)).collect();
            let numbers: Vec<u8> = gone.iter().map(|field| field.number).collect();
            let mut wanted = old.clone();
            wanted.extend(set.clone());
            wanted.retain(|name, _| !gone.iter().any(|field| *field.name == **name));
            prop_assert_eq!(merge(&encoded(&old), &encoded(&set), &numbers), encoded(&wanted));
        }

        #[test]
        fn fuzz_foreign_bytes_are_walked_without_harm(bytes in vec(prop_oneof![0..12_u8, any::<u8>()], 0..60)) {
            let fields = fields();
            let all: Vec<(u8, &[u8])> = walk(&bytes).collect();
            prop_assert!(all.windows(2).all(|two| two[0].0 < two[1].0));
            prop_assert!(decode(&fields, &bytes).count() <= all.len());
            let data = Data::from(bytes.clone());
            let merged = merge(&data, &Data::default(), &[]);
            prop_assert_eq!(walk(merged.bytes()).collect::<Vec<_>>(), all);
            for field in &fields {
                let _ = value(field.holds, &bytes);
            }
            let _ = check_complete(&fields, &data);
        }

        #[test]
        fn numbers_of_any_size_survive(number in any::<i64>(), raw in any::<u64>()) {
            prop_assert_eq!(unzigzag(zigzag(number)), number);
            let mut bytes = Vec::new();
            varint(&mut bytes, raw);
            prop_assert_eq!(read_varint(&bytes), Some((raw, &[][..])));
        }
    }
}
