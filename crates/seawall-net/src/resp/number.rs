//! Whole numbers in text, read as strictly as Redis reads them and written without allocation.

/// Longest number Redis looks at: a sign and 20 digits.
const DIGITS_MAX: usize = 21;

/// Reads a number as Redis does: no plus sign, no blank, no leading zero, nothing beyond 64 bits.
#[must_use]
pub fn parse_int(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > DIGITS_MAX {
        return None;
    }
    if text == b"0" {
        return Some(0);
    }
    let (is_negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    let mut value = 0_u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    if is_negative { 0_i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// The digits of a number, on the stack.
#[derive(Debug, Clone, Copy)]
pub struct Digits {
    bytes: [u8; 20],
    begin: u8,
}

impl Digits {
    /// Of this number.
    #[inline]
    #[must_use]
    pub fn of(mut value: u64) -> Digits {
        let mut bytes = [0; 20];
        let mut at = bytes.len();
        let mut pair = |at: &mut usize, pair: u32| {
            let pair = pair as usize * 2;
            *at -= 2;
            bytes[*at..*at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        };
        // Four at a time: divisions by a constant of 64 bits are what costs.
        while value >= 10_000 {
            let four = (value % 10_000) as u32;
            value /= 10_000;
            pair(&mut at, four % 100);
            pair(&mut at, four / 100);
        }
        let mut rest = value as u32;
        if rest >= 100 {
            pair(&mut at, rest % 100);
            rest /= 100;
        }
        if rest >= 10 {
            pair(&mut at, rest);
        } else {
            at -= 1;
            bytes[at] = b'0' + rest as u8;
        }
        Digits { bytes, begin: at as u8 }
    }

    /// As text.
    #[inline]
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.bytes[usize::from(self.begin)..]
    }
}

/// Writes a number.
#[inline]
pub fn push_int(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(Digits::of(value.unsigned_abs()).text());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_one_way_to_write_a_number_is_read() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
        ] {
            assert_eq!(parse_int(text.as_bytes()), value, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: i64) {
            let mut text = Vec::new();
            push_int(&mut text, value);
            prop_assert_eq!(text.clone(), value.to_string().into_bytes());
            prop_assert_eq!(parse_int(&text), Some(value));
        }
    }
}
