//! Close frames: RFC 6455, sections 5.5.1 and 7.4.

use super::frame::{CONTROL_MAX, Fault, Opcode, header};

/// What a close frame carries.
pub(super) fn parse(payload: &[u8]) -> Result<(Option<u16>, &str), Fault> {
    match payload {
        [] => Ok((None, "")),
        [a, b, reason @ ..] => {
            let code = u16::from_be_bytes([*a, *b]);
            if !may_be_sent(code) {
                return Err(Fault::Close);
            }
            Ok((Some(code), std::str::from_utf8(reason).map_err(|_| Fault::Text)?))
        }
        [_] => Err(Fault::Close),
    }
}

/// Codes with a meaning between the two ends; the others are reserved, or for what no end can say of itself.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A whole close frame with a code and a reason, which is cut to the 123 bytes there is room for.
///
/// # Panics
/// With a code that must not be sent, such as 1005 or 1006.
pub fn close_frame(code: u16, reason: &str, out: &mut Vec<u8>) {
    assert!(may_be_sent(code), "close code {code} must not be sent");
    let mut end = reason.len().min(CONTROL_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = &reason[..end];
    header(Opcode::Close, 2 + reason.len(), out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut out = Vec::new();
        close_frame(4002, &"ü".repeat(100), &mut out);
        assert_eq!((out.len(), &out[..4]), (2 + 2 + 122, &[0x88, 124, 0x0f, 0xa2][..]));
        assert_eq!(parse(&out[2..]), Ok((Some(4002), "ü".repeat(61).as_str())));
    }

    #[test]
    fn every_fault_can_be_answered_with_its_code() {
        for fault in [Fault::Reserved, Fault::Text, Fault::TooLong { max: 1 }] {
            close_frame(fault.close_code(), &fault.to_string(), &mut Vec::new());
        }
    }

    #[test]
    #[should_panic(expected = "must not be sent")]
    fn a_code_that_no_end_can_say_of_itself_is_not_sent() {
        close_frame(1006, "", &mut Vec::new());
    }
}
