//! Every error a client can get, in one place.
//!
//! | status | code | meaning |
//! |---|---|---|
//! | 400 | `bad_json` | the body is not JSON |
//! | 400 | `bad_body` | JSON, but with an unknown, missing, repeated or wrongly typed field; the message names it |
//! | 400 | `incomplete_body` | the body broke off |
//! | 400 | `bad_url` | not an absolute URL with a host |
//! | 400 | `bad_scheme` | neither http nor https |
//! | 400 | `url_too_long` | longer than `url_len_max`, as sent or once escaped |
//! | 400 | `url_credentials` | a user name or password in the URL |
//! | 400 | `private_target` | a host that only one machine or network can reach |
//! | 400 | `own_domain` | a link to ourselves |
//! | 400 | `bad_alias` | not 3 to 64 characters of `A-Za-z0-9_-`, or reserved |
//! | 400 | `bad_idempotency_key` | not 1 to 255 printable ASCII characters, or sent twice |
//! | 400 | `bad_query` | `limit` or `after` is wrong, or there is an unknown parameter |
//! | 404 | `link_not_found` | there never was such a link |
//! | 404 | `not_found` | no such page |
//! | 405 | `method_not_allowed` | the page is there, the method is not |
//! | 409 | `alias_taken` | the alias is in use, or was: a deleted one is not given out again |
//! | 410 | `link_deleted` | there was such a link |
//! | 413 | `body_too_large` | more than `body_max` bytes |
//! | 422 | `idempotency_key_reused` | the key was used for another URL within a day |
//! | 500 | `internal` | our fault; the log says more |
//! | 503 | `store_unavailable` | the store failed repeatedly and is left alone; come back after `Retry-After` |
//! | 503 | `store_busy` | nothing was done; come back after `Retry-After` |
//! | 503 | `store_read_only` | disk full, or another database has taken over; nothing was done |
//! | 503 | `outcome_unknown` | perhaps done; send the same again with the same Idempotency-Key |
//! | 503 | `codes_exhausted` | no code is left for this shard |
//! | 504 | `deadline_exceeded` | the time was over first |
//!
//! The port itself adds `overloaded` and `shed` (503), `rate_limited` (429), `head_too_large` (431),
//! `token_required` (401) and a few for malformed heads (`seawall_net::server`).

use http::StatusCode;
use seawall_net::problem::Problem;

use crate::safety::Refused;
use crate::service::Error;
use crate::storage::Trouble;

/// Seconds until a busy store, or one whose answer was lost, is worth asking again.
const BUSY_RETRY_SECONDS: u32 = 1;
/// Seconds until a full disk is worth looking at again: somebody must have made room.
const READ_ONLY_RETRY_SECONDS: u32 = 10;

/// An error of the service as clients see it.
pub(crate) fn problem(error: Error) -> Problem {
    match error {
        Error::Url(why) => bad_request(url_code(&why), why.to_string()),
        Error::Alias(why) => bad_request("bad_alias", why.to_string()),
        Error::AliasTaken => {
            Problem::new(StatusCode::CONFLICT, "alias_taken", "this alias is taken; choose another")
        }
        Error::KeyReused => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "this Idempotency-Key was used for another URL; use a new key for each link",
        ),
        Error::NotFound => unknown(),
        Error::Deleted => deleted(),
        Error::Exhausted => {
            tracing::error!("no code is left to be given out");
            unavailable("codes_exhausted", "no code is left; choose an alias")
        }
        Error::Store(trouble) => store_problem(trouble),
    }
}

fn url_code(why: &Refused) -> &'static str {
    match why {
        Refused::TooLong { .. } => "url_too_long",
        Refused::Malformed(_) => "bad_url",
        Refused::Scheme => "bad_scheme",
        Refused::Credentials => "url_credentials",
        Refused::PrivateTarget => "private_target",
        Refused::OwnDomain => "own_domain",
    }
}

fn store_problem(trouble: Trouble) -> Problem {
    match trouble {
        Trouble::Open(left) => unavailable("store_unavailable", "the store is not answering").retry_in(left),
        Trouble::Busy => unavailable("store_busy", "the store has too much to do; nothing was done")
            .retry_after(BUSY_RETRY_SECONDS),
        Trouble::ReadOnly => {
            unavailable("store_read_only", "the store takes no writes at the moment; nothing was done")
                .retry_after(READ_ONLY_RETRY_SECONDS)
        }
        Trouble::Unknown => unavailable(
            "outcome_unknown",
            "it may or may not have been done; send the same again with the same Idempotency-Key",
        )
        .retry_after(BUSY_RETRY_SECONDS),
        Trouble::Late => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "deadline_exceeded",
            "the call took longer than its deadline; nothing was done",
        ),
        Trouble::Conflict | Trouble::KeyReused => internal("the store answered what nobody asked"),
        Trouble::Broken(why) => internal(&why),
    }
}

pub(crate) fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "link_not_found", "there is no such link")
}

pub(crate) fn deleted() -> Problem {
    Problem::new(StatusCode::GONE, "link_deleted", "this link was deleted")
}

pub(crate) fn damaged() -> Problem {
    internal("a stored URL is not fit for a header")
}

pub(crate) fn no_page() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is no such page; the API begins with /api/v1/links",
    )
}

pub(crate) fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this page does not take this method")
}

pub(crate) fn bad_query(message: impl Into<String>) -> Problem {
    bad_request("bad_query", message)
}

pub(crate) fn bad_key() -> Problem {
    bad_request(
        "bad_idempotency_key",
        "Idempotency-Key: send it once, with 1 to 255 printable ASCII characters",
    )
}

pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code, message)
}

fn unavailable(code: &'static str, message: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
}

fn internal(why: &str) -> Problem {
    tracing::error!(why, "a request failed through our own fault");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "something is wrong on our side; it was logged",
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn whoever_may_come_back_is_told_when() {
        let retry = |trouble| problem(Error::Store(trouble)).retry_after;
        assert_eq!(retry(Trouble::Open(Duration::from_millis(59_001))), Some(60));
        assert_eq!(retry(Trouble::Open(Duration::ZERO)), Some(1));
        assert_eq!(retry(Trouble::Busy), Some(1));
        assert_eq!(retry(Trouble::Unknown), Some(1));
        assert_eq!(retry(Trouble::Late), None);
    }

    #[test]
    fn the_table_above_lists_every_code() {
        let source = include_str!("problems.rs");
        let (table, code) = source.split_once("\nuse ").unwrap();
        let body = include_str!("../../../seawall-net/src/body.rs");
        let used =
            [code.split("#[cfg(test)]").next().unwrap(), body.split("#[cfg(test)]").next().unwrap()].concat();
        let is_code =
            |text: &&str| text.contains('_') && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let codes: Vec<_> = used.split('"').skip(1).step_by(2).filter(is_code).collect();
        assert!(codes.len() > 20, "{codes:?}");
        for code in codes {
            assert!(table.contains(&format!("| `{code}` |")), "{code} is not in the table");
        }
    }
}
