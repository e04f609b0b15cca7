//! The management API: parse, call the service, encode.
//!
//! | call | answer |
//! |---|---|
//! | `POST /api/v1/links` [`CreateLink`], `Idempotency-Key` optional | 201 [`Link`]; repeated: the same, and `Idempotent-Replayed: true` |
//! | `GET /api/v1/links?limit=&after=` | 200 [`ListPage`] |
//! | `GET /api/v1/links/{code}` | 200 [`Link`] |
//! | `DELETE /api/v1/links/{code}` | 204, also when it was deleted before |
//!
//! Errors are in [`problems`].

pub mod problems;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use seawall_net::body;
use seawall_net::problem::Problem;
use seawall_policy::deadline::Deadline;
use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::service::{Ask, Service};
use crate::storage::Stored;

pub(crate) use problems::problem;

/// Links of a page unless the client asks for another number.
pub const LIMIT_DEFAULT: usize = 100;
/// Most links of a page. A thousand links of the longest URLs are 8 MB, below what the store gives at once.
pub const LIMIT_MAX: usize = 1000;
/// Longest idempotency key.
pub const KEY_LEN_MAX: usize = 255;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What to shorten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateLink {
    /// Where the link leads: absolute, http or https.
    pub url: String,
    /// The name it should have, instead of a generated code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its code or alias.
    pub code: String,
    /// What to give to people.
    pub short_url: String,
    /// Where it leads, in parsed form: `HTTP://Example.org` was kept as `http://example.org/`.
    pub url: String,
    /// When it was made, as RFC 3339 in UTC with milliseconds.
    pub created_at: String,
}

/// Some links, in an order that is stable and says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    /// The links.
    pub links: Vec<Link>,
    /// Where the next page begins: give it as `after`. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What every handler needs.
pub(crate) struct Api {
    pub(crate) service: Arc<Service>,
    /// What short links begin with, without the last slash.
    pub(crate) public_url: String,
    pub(crate) body_max: usize,
}

impl Api {
    fn link(&self, link: Stored) -> Link {
        Link {
            short_url: format!("{}/{}", self.public_url, link.name),
            code: link.name.to_string(),
            url: link.url,
            created_at: link.created_at.to_string(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paging {
    limit: Option<usize>,
    after: Option<String>,
}

pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    Extension(deadline): Extension<Deadline>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let key = idempotency_key(&head.headers)?;
    let bytes = body::read(&head.headers, body, api.body_max).await?;
    let wanted = body::parse::<CreateLink>(&bytes)?;
    let ask = Ask { url: &wanted.url, alias: wanted.alias.as_deref(), key };
    let made = api.service.shorten(ask, deadline).await.map_err(problem)?;
    let mut response = (StatusCode::CREATED, Json(api.link(made.link))).into_response();
    if made.again {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Result<Json<ListPage>, Problem> {
    let Query(paging) = paging.map_err(|e| problems::bad_query(e.body_text()))?;
    let limit = paging.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(problems::bad_query(format!("limit: use 1 to {LIMIT_MAX}, not {limit}")));
    }
    let after = match paging.after {
        None => None,
        Some(text) => match Name::parse(&text) {
            Some(name) => Some(name),
            None => return Err(problems::bad_query("after: use the `next` of an earlier page")),
        },
    };
    let (links, has_more) = api.service.list(after.as_ref(), limit).await.map_err(problem)?;
    let next = links.last().filter(|_| has_more).map(|last| last.name.to_string());
    Ok(Json(ListPage { links: links.into_iter().map(|link| api.link(link)).collect(), next }))
}

pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    Path(code): Path<String>,
) -> Result<Json<Link>, Problem> {
    let link = api.service.show(&code).await.map_err(problem)?;
    Ok(Json(api.link(link)))
}

pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(deadline): Extension<Deadline>,
    Path(code): Path<String>,
) -> Result<StatusCode, Problem> {
    api.service.delete(&code, deadline).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The client's key, if it sent one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(key), another) = (keys.next(), keys.next()) else { return Ok(None) };
    let is_plain =
        |key: &&str| (1..=KEY_LEN_MAX).contains(&key.len()) && key.bytes().all(|b| (0x20..0x7f).contains(&b));
    match key.to_str().ok().filter(is_plain) {
        Some(key) if another.is_none() => Ok(Some(key)),
        _ => Err(problems::bad_key()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&[u8]]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        }
        idempotency_key(&headers).map(|k| k.map(str::to_owned)).map_err(|p| p.code)
    }

    #[test]
    fn a_key_is_one_to_255_printable_characters_sent_once() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[b"a b~"]), Ok(Some("a b~".to_owned())));
        assert_eq!(key(&[&[b'k'; 255]]), Ok(Some("k".repeat(255))));
        let odd: [&[&[u8]]; 5] = [&[b""], &[&[b'k'; 256]], &[b"a\tb"], &["ä".as_bytes()], &[b"a", b"a"]];
        for odd in odd {
            assert_eq!(key(odd), Err("bad_idempotency_key"), "{odd:?}");
        }
    }

    #[test]
    fn what_the_command_line_sends_and_reads_round_trips() {
        let plain = CreateLink { url: "http://x/".to_owned(), alias: None };
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"url":"http://x/"}"#);
        let page: ListPage = serde_json::from_str(r#"{"links":[]}"#).unwrap();
        assert_eq!(page, ListPage { links: vec![], next: None });
    }
}
