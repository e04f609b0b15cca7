//! Rows as bytes, for the answers kept with idempotency keys.
//!
//! Format 1: a byte 1, then per statement a count of rows, per row a count of values, per value a tag
//! and its content. Counts and lengths are u32, numbers 8 bytes, everything little-endian.

use crate::value::{Row, Rows, Value};

const FORMAT: u8 = 1;

pub(crate) fn encode(all: &[Rows]) -> Vec<u8> {
    let mut out = vec![FORMAT];
    count(&mut out, all.len());
    for rows in all {
        count(&mut out, rows.len());
        for row in rows {
            count(&mut out, row.values().len());
            for value in row.values() {
                encode_value(&mut out, value);
            }
        }
    }
    out
}

fn encode_value(out: &mut Vec<u8>, value: &Value) {
    let mut tagged = |tag: u8, content: &[u8]| {
        out.push(tag);
        out.extend_from_slice(content);
    };
    match value {
        Value::Null => tagged(0, &[]),
        Value::Int(v) => tagged(1, &v.to_le_bytes()),
        Value::Real(v) => tagged(2, &v.to_le_bytes()),
        Value::Bool(v) => tagged(5, &[u8::from(*v)]),
        Value::Text(v) => {
            tagged(3, &[]);
            count(out, v.len());
            out.extend_from_slice(v.as_bytes());
        }
        Value::Blob(v) => {
            tagged(4, &[]);
            count(out, v.len());
            out.extend_from_slice(v);
        }
    }
}

fn count(out: &mut Vec<u8>, n: usize) {
    let n = u32::try_from(n).expect("an answer is bounded far below 4 GiB");
    out.extend_from_slice(&n.to_le_bytes());
}

/// `None` for bytes this build did not write and does not know.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Rows>> {
    let mut from = bytes.strip_prefix(&[FORMAT])?;
    let from = &mut from;
    let mut all = Vec::new();
    for _ in 0..take_count(from)? {
        let mut rows = Vec::new();
        for _ in 0..take_count(from)? {
            let values = (0..take_count(from)?).map(|_| decode_value(from)).collect::<Option<Vec<_>>>()?;
            rows.push(Row::from(values));
        }
        all.push(rows);
    }
    from.is_empty().then_some(all)
}

fn decode_value(from: &mut &[u8]) -> Option<Value> {
    let tag = take(from, 1)?[0];
    Some(match tag {
        0 => Value::Null,
        1 => Value::Int(i64::from_le_bytes(take(from, 8)?.try_into().ok()?)),
        2 => Value::Real(f64::from_le_bytes(take(from, 8)?.try_into().ok()?)),
        3 => {
            let len = take_count(from)?;
            Value::Text(String::from_utf8(take(from, len)?.to_vec()).ok()?)
        }
        4 => {
            let len = take_count(from)?;
            Value::Blob(take(from, len)?.to_vec())
        }
        5 => Value::Bool(take(from, 1)?[0] == 1),
        _ => return None,
    })
}

fn take<'a>(from: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(n)?;
    *from = rest;
    Some(taken)
}

fn take_count(from: &mut &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(take(from, 4)?.try_into().ok()?) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Int),
            (-1e300..1e300f64).prop_map(Value::Real),
            ".{0,9}".prop_map(Value::Text),
            proptest::collection::vec(any::<u8>(), 0..9).prop_map(Value::Blob),
            any::<bool>().prop_map(Value::Bool),
        ]
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            all in proptest::collection::vec(
                proptest::collection::vec(proptest::collection::vec(value(), 0..4).prop_map(Row::from), 0..4),
                0..4,
            )
        ) {
            prop_assert_eq!(decode(&encode(&all)), Some(all));
        }

        #[test]
        fn foreign_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(0u8..6, 0..60)) {
            if let Some(all) = decode(&bytes) {
                prop_assert_eq!(encode(&all), bytes);
            }
        }
    }
}
