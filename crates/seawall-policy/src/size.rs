//! Sizes as people write them: `"512KiB"`, `"64MiB"`.
//!
//! A number and a unit of bytes, in powers of 1,024 because memory and pages are counted so. `"64MB"` is refused:
//! half of those who write it mean 64,000,000. A bare number is refused as for [durations](crate::duration).
//!
//! In a config struct: `#[serde(with = "seawall_policy::size")]` on a `u64` of bytes.

use serde::{Deserialize, Deserializer, Serializer};

/// Largest first.
const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

/// Writes the largest unit that divides the size.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(size: &u64, to: S) -> Result<S::Ok, S::Error> {
    let whole = |(_, shift): &&(&str, u32)| *size > 0 && size.is_multiple_of(1u64 << shift);
    let (unit, shift) = UNITS.iter().find(whole).unwrap_or(&("B", 0));
    to.serialize_str(&format!("{}{unit}", size >> shift))
}

/// Reads a size.
///
/// # Errors
/// A text that is none, or more than 2^64 bytes; the message says what to write.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    let read = UNITS.iter().find_map(|(unit, shift)| {
        let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        number.checked_mul(1 << shift)
    });
    read.ok_or_else(|| {
        serde::de::Error::custom(format!("{text:?} is not a size; write \"512KiB\" or \"64MiB\""))
    })
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sized(#[serde(with = "super")] u64);

    #[test]
    fn sizes_read_back_as_written() {
        for (text, bytes) in
            [("0B", 0), ("512KiB", 512 << 10), ("256MiB", 256 << 20), ("3GiB", 3 << 30), ("1000B", 1000)]
        {
            let json = serde_json::json!(text);
            let size: Sized = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(size, Sized(bytes));
            assert_eq!(serde_json::to_value(&size).unwrap(), json);
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_advice() {
        for text in ["512", "1.5MiB", "-1B", "MiB", "99999999999GiB", "1kb", "64MB"] {
            let refused = serde_json::from_value::<Sized>(serde_json::json!(text)).unwrap_err().to_string();
            assert!(refused.contains("64MiB"), "{text}: {refused}");
        }
    }
}
