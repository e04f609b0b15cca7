//! Refusals as Redis clients see them: a word in capitals that programs tell them by, then words for people.

use seawall_net::resp::Reply;

use crate::call::Refusal;

/// Where nobody says when to try again, in milliseconds.
const RETRY_MS: u64 = 1000;

/// Something else stands where an option's word or its value should.
pub(super) const SYNTAX: &str = "ERR syntax error";
/// No number, or one that is too small or too large.
pub(super) const NOT_A_NUMBER: &str = "ERR value is not an integer or out of range";

/// The error for a refusal.
pub(super) fn refuse(refusal: &Refusal, reply: &mut Reply<'_>) {
    let word = match refusal {
        Refusal::Invalid(_) | Refusal::Elsewhere(_) | Refusal::Broken(_) => "ERR",
        Refusal::NoObject(_) => "NOTFOUND",
        Refusal::OtherType(_) => "WRONGTYPE",
        Refusal::Changed { .. } => "CHANGED",
        Refusal::Used(_) => "USED",
        Refusal::KeyReused => "KEYREUSED",
        Refusal::ReadOnly { .. } | Refusal::Unavailable { .. } | Refusal::Busy => "TRYAGAIN",
        Refusal::Late => "LATE",
        Refusal::Unknown => "UNKNOWN",
        Refusal::Standby => "LOADING",
    };
    match refusal {
        Refusal::ReadOnly { retry_ms, .. } | Refusal::Unavailable { retry_ms, .. } => {
            reply.error(format!("{word} {refusal}; retry in {retry_ms} ms"));
        }
        Refusal::Busy => reply.error(format!("{word} {refusal}; retry in {RETRY_MS} ms")),
        _ => reply.error(format!("{word} {refusal}")),
    }
}
