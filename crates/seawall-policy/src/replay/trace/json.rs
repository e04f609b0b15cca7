//! A line of JSON: one object, of which only the known keys are kept.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de::DeserializeSeed};

use super::fields::{Fields, Scalar, Slot};

/// Reads one object; `by` is the name of the key.
pub(super) fn read<'a>(line: &'a str, by: Option<&str>) -> Result<Fields<'a>, String> {
    let mut from = serde_json::Deserializer::from_str(line);
    let fields = Object { by }.deserialize(&mut from).and_then(|fields| from.end().map(|()| fields));
    fields.map_err(|e| format!("not one JSON object: {e}"))
}

struct Object<'b> {
    by: Option<&'b str>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Fields<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Fields<'de>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
        let mut fields = Fields::default();
        while let Some(Text(name)) = map.next_key()? {
            let slot = Slot::named(&name);
            let is_key = self.by == Some(&*name);
            if slot.is_none() && !is_key {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Kept(Some(value)) = map.next_value()? else { continue };
            if is_key {
                fields.put_key(value.clone());
            }
            if let Some((slot, place)) = slot {
                fields.put(slot, place, value);
            }
        }
        Ok(fields)
    }
}

/// Text, borrowed from the line where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Text<'de>, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Reads)
    }
}

/// A value, if it is a number or text with something in it.
struct Kept<'a>(Option<Scalar<'a>>);

impl<'de> Deserialize<'de> for Kept<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Kept<'de>, D::Error> {
        from.deserialize_any(Keeps)
    }
}

struct Keeps;

impl<'de> Visitor<'de> for Keeps {
    type Value = Kept<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Kept<'de>, E> {
        Ok(Kept((!text.is_empty()).then_some(Scalar::Text(Cow::Borrowed(text)))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Kept<'de>, E> {
        Ok(Kept((!text.is_empty()).then(|| Scalar::Text(Cow::Owned(text.to_owned())))))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Kept<'de>, E> {
        Ok(Kept(Some(Scalar::Number(number))))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Kept<'de>, E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Kept<'de>, E> {
        self.visit_f64(number as f64)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Kept<'de>, E> {
        Ok(Kept(None))
    }

    fn visit_unit<E: Error>(self) -> Result<Kept<'de>, E> {
        Ok(Kept(None))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Kept<'de>, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Kept(None))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Kept<'de>, S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Kept(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    #[test]
    fn known_keys_are_kept_and_all_others_passed_over_however_deep() {
        let line = r#"{"x":{"time":[1,{"a":null}]},"time":7.25,"status":"200","latency_ms":3,"tries":2,
            "outcome":null,"method":"\u0047ET","pod":"a-1"}"#;
        let call = read(line, Some("pod")).unwrap().read().unwrap();
        assert_eq!((call.moment.us, call.outcome), (7_250_000, Some(Outcome::Success)));
        assert_eq!((call.tries, call.idempotent, call.key.as_deref()), (2, true, Some("a-1")));
    }

    #[test]
    fn a_value_of_another_kind_counts_as_missing() {
        for value in ["null", "true", "[1]", "{\"a\":1}", "\"\""] {
            let line = format!(r#"{{"time":{value},"status":200,"latency_ms":3}}"#);
            assert!(read(&line, None).unwrap().read().unwrap_err().starts_with("time: missing"), "{line}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for line in ["{", "{}x", "{\"time\":}", "{\"time\":1,}", "{1:2}", "{\"time\":1}{\"time\":2}"] {
            assert!(read(line, None).unwrap_err().starts_with("not one JSON object"), "{line}");
        }
    }
}
