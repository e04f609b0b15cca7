//! What a client is told when it cannot have what it asked for: a status and a sentence, as plain text.
//!
//! Consul's clients print the body as it is ("Unexpected response code: 400 (Invalid index)"), and some compare
//! it, so the words are Consul's wherever it has words for the case.

use http::StatusCode;

use crate::service::Denied;
use crate::storage::Refused;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body.
    pub text: String,
    /// For 405: the methods that would do.
    pub allow: Option<&'static str>,
}

impl Refusal {
    /// A refusal with this status and text.
    #[must_use]
    pub fn new(status: StatusCode, text: impl Into<String>) -> Refusal {
        Refusal { status, text: text.into(), allow: None }
    }

    /// 400: the request itself is wrong.
    #[must_use]
    pub fn bad(text: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, text)
    }

    /// 405, naming the methods that would do.
    #[must_use]
    pub fn method(method: &str, allow: &'static str) -> Refusal {
        let text = format!("method {method} not allowed");
        Refusal { allow: Some(allow), ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text) }
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Refusal {
        let (status, text) = match denied {
            Denied::NoService(id) => (
                StatusCode::NOT_FOUND,
                format!(
                    "Unknown service ID {id:?}. Ensure that the service ID is passed, not the service name."
                ),
            ),
            Denied::NoCheck(id) => (
                StatusCode::NOT_FOUND,
                format!("Unknown check ID {id:?}. Ensure that the check ID is passed, not the check name."),
            ),
            Denied::NotTtl(id) => {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("CheckID {id:?} does not have associated TTL"))
            }
            Denied::Orphan(id) => {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("ServiceID {id:?} does not exist"))
            }
            Denied::Own => (
                StatusCode::BAD_REQUEST,
                "This entry describes the registry itself and cannot be changed; use another ID".to_owned(),
            ),
            Denied::Full(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
            Denied::Refused(refused) => match refused {
                Refused::Busy => (StatusCode::TOO_MANY_REQUESTS, refused.to_string()),
                Refused::ReadOnly => (StatusCode::SERVICE_UNAVAILABLE, refused.to_string()),
                Refused::Deposed | Refused::Unsettled => {
                    (StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader".to_owned())
                }
                Refused::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, refused.to_string()),
            },
        };
        Refusal::new(status, text)
    }
}
