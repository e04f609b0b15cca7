//! Every error a client of the HTTP API can get, in one place. What refuses a call is the same over RESP.
//!
//! | status | code | meaning |
//! |---|---|---|
//! | 400 | `invalid` | a name the schema does not have, a field or limit out of bounds; the message says which |
//! | 400 | `bad_id` | no id, in the path |
//! | 400 | `bad_json` | the body is not JSON |
//! | 400 | `bad_body` | JSON, but with an unknown, missing, repeated or wrongly typed field; the message names it |
//! | 400 | `incomplete_body` | the body broke off |
//! | 400 | `bad_query` | a parameter is wrong or unknown |
//! | 400 | `bad_idempotency_key` | not 1 to 255 printable ASCII characters, or sent twice |
//! | 400 | `bad_ticket` | `Seawall-Ticket` holds no ticket |
//! | 400 | `bad_schema` | the schema is not right, or would lose data; the message says all of it |
//! | 400 | `line_too_long` | a line of an import has more than `body_max` bytes |
//! | 404 | `no_object` | there is no such object |
//! | 404 | `not_found` | no such page |
//! | 405 | `method_not_allowed` | the page is there, the method is not |
//! | 409 | `changed` | the object has another version than `if_version` |
//! | 409 | `id_used` | an object with this id was made before, though it may be deleted |
//! | 409 | `other_type` | the object has another type than the fields are of |
//! | 410 | `changes_gone` | these changes are not kept any more; begin again without `after` |
//! | 413 | `body_too_large` | more than `body_max` bytes |
//! | 421 | `elsewhere` | the id lives on a shard that is not led here |
//! | 422 | `idempotency_key_reused` | the key was used for another request within a day |
//! | 500 | `store_failed` | our fault; the log says more |
//! | 503 | `read_only` | this shard takes no writes at the moment; reads go on; come back after `Retry-After` |
//! | 503 | `unavailable` | neither memory nor the store can answer; come back after `Retry-After` |
//! | 503 | `overloaded` | too much to do; come back after `Retry-After` |
//! | 503 | `standby` | another process leads this graph |
//! | 503 | `unknown_outcome` | perhaps done; send the same again with the same Idempotency-Key |
//! | 504 | `deadline_exceeded` | the time was over first |
//!
//! The port itself adds `shed` (503), `head_too_large` (431), `token_required` (401) and a few for malformed heads
//! (`seawall_net::server`).

use std::time::Duration;

use http::StatusCode;
use seawall_net::problem::Problem;

use crate::call::Refusal;

/// When whoever was refused because another process leads may look again: a lease lasts that long.
const STANDBY_RETRY: Duration = Duration::from_secs(3);
/// When whoever came while there was too much to do, or whose answer was lost, may come back.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// A refusal as clients of HTTP see it.
pub(super) fn problem(refusal: Refusal) -> Problem {
    let status = match &refusal {
        Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
        Refusal::NoObject(_) => StatusCode::NOT_FOUND,
        Refusal::OtherType(_) | Refusal::Changed { .. } | Refusal::Used(_) => StatusCode::CONFLICT,
        Refusal::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Elsewhere(_) => StatusCode::MISDIRECTED_REQUEST,
        Refusal::ReadOnly { .. }
        | Refusal::Unavailable { .. }
        | Refusal::Busy
        | Refusal::Unknown
        | Refusal::Standby => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Late => StatusCode::GATEWAY_TIMEOUT,
        Refusal::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let message = match &refusal {
        Refusal::Broken(why) => {
            tracing::error!(why, "a request failed through our own fault");
            "something is wrong on our side; it was logged".to_owned()
        }
        other => other.to_string(),
    };
    let problem = Problem::new(status, refusal.code(), message);
    match refusal {
        Refusal::ReadOnly { retry_ms, .. } | Refusal::Unavailable { retry_ms, .. } => {
            problem.retry_in(Duration::from_millis(retry_ms))
        }
        Refusal::Busy | Refusal::Unknown => problem.retry_in(BUSY_RETRY),
        Refusal::Standby => problem.retry_in(STANDBY_RETRY),
        _ => problem,
    }
}

/// Whether the same may be done another time.
pub(super) fn may_come_back(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::ReadOnly { .. }
            | Refusal::Unavailable { .. }
            | Refusal::Busy
            | Refusal::Unknown
            | Refusal::Standby
            | Refusal::Late
    )
}

pub(super) fn bad_request(code: &'static str, message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code, message)
}

pub(super) fn bad_query(message: impl Into<String>) -> Problem {
    bad_request("bad_query", message)
}

pub(super) fn invalid(message: impl Into<String>) -> Problem {
    problem(Refusal::Invalid(message.into()))
}

pub(super) fn no_page() -> Problem {
    let message = "there is no such page; /openapi.json describes those there are";
    Problem::new(StatusCode::NOT_FOUND, "not_found", message)
}

pub(super) fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this page does not take this method")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Version;
    use crate::id::Id;

    fn all() -> Vec<Refusal> {
        let id = Id::try_from(5_u64).unwrap();
        vec![
            Refusal::Invalid("x".to_owned()),
            Refusal::NoObject(id),
            Refusal::OtherType(id),
            Refusal::Changed { id, current: Version(3) },
            Refusal::Used(id),
            Refusal::KeyReused,
            Refusal::Elsewhere(id),
            Refusal::ReadOnly { shard: 0, retry_ms: 59_001 },
            Refusal::Unavailable { shard: 0, retry_ms: 1 },
            Refusal::Busy,
            Refusal::Late,
            Refusal::Unknown,
            Refusal::Standby,
            Refusal::Broken("a page of it".to_owned()),
        ]
    }

    #[test]
    fn the_tables_list_every_code() {
        let table = include_str!("problems.rs").split_once("\nuse ").unwrap().0;
        let page = include_str!("../../../../../docs/graph.md");
        let told = all().into_iter().map(|refusal| (problem(refusal.clone()), refusal));
        for (told, refusal) in told {
            let row = format!("| {} | `{}` |", told.status.as_u16(), refusal.code());
            assert!(table.contains(&row) && page.contains(&row), "{row}");
        }
        let body = include_str!("../../../../seawall-net/src/body.rs");
        let sources = [
            include_str!("problems.rs"),
            include_str!("mod.rs"),
            include_str!("objects.rs"),
            include_str!("assocs.rs"),
            include_str!("inside.rs"),
            include_str!("import.rs"),
            include_str!("export.rs"),
            body,
        ];
        let used: String =
            sources.iter().map(|source| source.split("#[cfg(test)]").next().unwrap()).collect();
        let is_code = |text: &&str| {
            ["bad_", "incomplete_", "body_too", "not_found", "method_not", "line_too", "changes_gone"]
                .iter()
                .any(|begin| text.starts_with(begin))
                && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        let codes: Vec<_> = used.split('"').filter(is_code).collect();
        assert!(codes.len() > 8, "{codes:?}");
        for code in codes {
            let row = format!("| `{code}` |");
            assert!(table.contains(&row) && page.contains(&row), "{code}");
        }
    }

    #[test]
    fn whoever_may_come_back_is_told_when_and_nobody_else() {
        for refusal in all() {
            let told = problem(refusal.clone());
            let is_late = refusal == Refusal::Late;
            assert_eq!(told.retry_after.is_some(), may_come_back(&refusal) && !is_late, "{refusal:?}");
        }
        assert_eq!(problem(Refusal::ReadOnly { shard: 0, retry_ms: 59_001 }).retry_after, Some(60));
    }

    #[test]
    fn our_own_faults_are_logged_and_not_told() {
        assert!(!problem(Refusal::Broken("a page of it".to_owned())).message.contains("page"));
    }
}
