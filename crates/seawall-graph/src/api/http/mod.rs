//! The HTTP API: parse, call the service, encode. What each call takes and gives is in `openapi.json`, which is served
//! at `/openapi.json` and compared with the routes below by a test.
//!
//! | header | meaning |
//! |---|---|
//! | `Idempotency-Key` | a write sent again with the same key is done once (24 h) |
//! | `Seawall-Ticket` | in the answer to a write: what it changed. Sent with later calls: read at least this |
//! | `Seawall-Stale: true` | the shard could not be asked; this is what memory had |
//!
//! Errors are in [`problems`], what goes over the wire in [`wire`].

mod assocs;
mod export;
mod import;
mod inside;
mod objects;
pub mod problems;
pub mod wire;

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query, Request};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use seawall_net::problem::Problem;
use seawall_policy::deadline::Deadline;
use seawall_policy::priority::Priority;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::problems::{bad_query, bad_request, invalid, problem};
use self::wire::Fields;
use crate::call::{Data, Idempotency, Time, Write};
use crate::config::Config;
use crate::follower::{Answer, View};
use crate::id::Id;
use crate::limits::KEY_LEN_MAX;
use crate::message::Changeset;
use crate::schema::{AssocKind, Field, ObjectKind, Schema, decode};
use crate::service::Service;
use crate::ticket::Ticket;

/// Describes every call for programs.
const OPENAPI: &str = include_str!("openapi.json");

/// The header of an idempotency key.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of a ticket.
pub const TICKET: HeaderName = HeaderName::from_static("seawall-ticket");
/// The header of an answer that may be old.
pub const STALE: HeaderName = HeaderName::from_static("seawall-stale");
/// The header of a write that an earlier request with the same key had done.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What every handler needs.
pub(crate) struct Api {
    service: Arc<Service>,
    /// Largest body, and longest line of an import.
    body_max: usize,
}

/// How much a call matters. A read has a person waiting for it; a writer can try again; whole graphs and looks inside
/// can wait for a better moment.
#[must_use]
pub fn priority(method: &Method, path: &str) -> Priority {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match path {
        "/v1/export" | "/v1/import" | "/v1/changes" => Priority::P3,
        "/v1/objects/get" => Priority::P0,
        _ if path.starts_with("/v1/versions/") => Priority::P3,
        _ if is_read => Priority::P0,
        _ => Priority::P1,
    }
}

/// The API. No layer cuts a call off at its deadline: who does the work keeps it, and says whether it was begun.
pub(crate) fn router(service: Arc<Service>, config: &Config) -> Router {
    let body_max = usize::try_from(config.body_max).unwrap_or(usize::MAX);
    routes()
        .router
        .fallback(async || problems::no_page())
        .method_not_allowed_fallback(async || problems::wrong_method())
        .with_state(Arc::new(Api { service, body_max }))
}

/// All calls, and the list of them.
#[derive(Default)]
struct Routes {
    router: Router<Arc<Api>>,
    #[cfg(test)]
    list: Vec<(&'static str, &'static str)>,
}

impl Routes {
    fn with<H, T>(mut self, method: &'static str, path: &'static str, handler: H) -> Routes
    where
        H: Handler<T, Arc<Api>>,
        T: 'static,
    {
        self.router = self.router.route(path, on(filter(method), handler));
        #[cfg(test)]
        self.list.push((method, path));
        self
    }
}

fn filter(method: &str) -> MethodFilter {
    match method {
        "get" => MethodFilter::GET,
        "put" => MethodFilter::PUT,
        "patch" => MethodFilter::PATCH,
        "delete" => MethodFilter::DELETE,
        _ => MethodFilter::POST,
    }
}

fn routes() -> Routes {
    Routes::default()
        .with("post", "/v1/objects", objects::add)
        .with("post", "/v1/objects/get", objects::many)
        .with("get", "/v1/objects/{id}", objects::show)
        .with("patch", "/v1/objects/{id}", objects::update)
        .with("delete", "/v1/objects/{id}", objects::delete)
        .with("get", "/v1/assocs/{id1}/{type}", assocs::range)
        .with("get", "/v1/assocs/{id1}/{type}/count", assocs::count)
        .with("get", "/v1/assocs/{id1}/{type}/{id2}", assocs::points)
        .with("put", "/v1/assocs/{id1}/{type}/{id2}", assocs::add)
        .with("delete", "/v1/assocs/{id1}/{type}/{id2}", assocs::delete)
        .with("post", "/v1/assocs/{id1}/{type}/{id2}/retype", assocs::retype)
        .with("get", "/v1/schema", inside::schema)
        .with("put", "/v1/schema", inside::schema_put)
        .with("get", "/v1/versions/objects/{id}", inside::object_version)
        .with("get", "/v1/versions/lists/{id1}/{type}", inside::list_version)
        .with("get", "/v1/changes", inside::changes)
        .with("get", "/v1/shards", inside::shards)
        .with("get", "/v1/export", export::export)
        .with("post", "/v1/import", import::import)
        .with("get", "/openapi.json", async || ([(CONTENT_TYPE, "application/json")], OPENAPI))
}

/// How a read is to be answered: from the query and the headers.
struct Reading {
    ticket: Option<Ticket>,
    critical: bool,
    deadline: Deadline,
}

impl Reading {
    fn view(&self) -> View<'_> {
        View { ticket: self.ticket.as_ref(), critical: self.critical, deadline: self.deadline }
    }
}

/// How a write is to be done: from the headers.
struct Writing {
    key: Option<Vec<u8>>,
    /// What the client wrote before; what it writes now is noted here.
    ticket: Ticket,
    deadline: Deadline,
}

impl Writing {
    fn of(parts: &Parts, api: &Api) -> Result<Writing, Problem> {
        Ok(Writing {
            key: idempotency_key(&parts.headers)?,
            ticket: ticket(&parts.headers)?.unwrap_or_default(),
            deadline: deadline(parts, api),
        })
    }

    /// The client's key for this write.
    fn idempotency(&self, write: &Write) -> Result<Option<Idempotency>, Problem> {
        let key = self.key.as_deref();
        key.map(|key| Service::idempotency(key, write)).transpose().map_err(problem)
    }

    async fn write(mut self, api: &Api, write: Write) -> Result<(Changeset, Written), Problem> {
        let key = self.idempotency(&write)?;
        self.write_as(api, write, key).await
    }

    async fn write_as(
        &mut self,
        api: &Api,
        write: Write,
        key: Option<Idempotency>,
    ) -> Result<(Changeset, Written), Problem> {
        let done = api.service.write(write, key, &mut self.ticket, self.deadline).await.map_err(problem)?;
        let written = Written { ticket: self.ticket.text(), again: done.again };
        Ok((done, written))
    }
}

/// What an answer to a write says besides.
struct Written {
    ticket: String,
    again: bool,
}

impl Written {
    fn onto(self, answer: impl IntoResponse) -> Response {
        let mut response = answer.into_response();
        let headers = response.headers_mut();
        // base64url always fits a header.
        if let Ok(ticket) = HeaderValue::try_from(self.ticket) {
            headers.insert(TICKET, ticket);
        }
        if self.again {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// An answer to a read, marked if it may be old.
fn answered<T>(answer: Answer<T>, encode: impl FnOnce(T) -> Response) -> Response {
    let mut response = encode(answer.value);
    if answer.is_stale {
        response.headers_mut().insert(STALE, HeaderValue::from_static("true"));
    }
    response
}

/// The parameters of a read besides those of its own.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Consistency {
    Default,
    Critical,
}

fn reading(parts: &Parts, api: &Api, consistency: Option<&Consistency>) -> Result<Reading, Problem> {
    Ok(Reading {
        ticket: ticket(&parts.headers)?,
        critical: matches!(consistency, Some(Consistency::Critical)),
        deadline: deadline(parts, api),
    })
}

/// The port has put it there; without one, as in a test of the router alone, there is an hour.
fn deadline(parts: &Parts, api: &Api) -> Deadline {
    let hour = || {
        let most = std::time::Duration::from_millis(seawall_policy::deadline::REMAINING_MS_MAX);
        Deadline::after(api.service.clock().now(), most)
    };
    parts.extensions.get::<Deadline>().copied().unwrap_or_else(hour)
}

/// The query as what is expected here.
async fn query<Q: DeserializeOwned>(parts: &mut Parts, api: &Arc<Api>) -> Result<Q, Problem> {
    let read: Result<Query<Q>, QueryRejection> = Query::from_request_parts(parts, api).await;
    read.map(|Query(query)| query).map_err(|e| bad_query(e.body_text()))
}

/// The parts of a request that has no body of interest.
fn parts(request: Request) -> Parts {
    request.into_parts().0
}

/// One part of a path as what it should be.
fn named<T: FromStr<Err: Display>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|why| bad_request("bad_id", format!("{text:?}: {why}")))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(key), another) = (keys.next(), keys.next()) else { return Ok(None) };
    let key = key.as_bytes();
    let is_plain = (1..=KEY_LEN_MAX).contains(&key.len()) && key.iter().all(|b| (0x20..0x7f).contains(b));
    if is_plain && another.is_none() {
        return Ok(Some(key.to_vec()));
    }
    let advice = "Idempotency-Key: send it once, with 1 to 255 printable ASCII characters";
    Err(bad_request("bad_idempotency_key", advice))
}

fn ticket(headers: &HeaderMap) -> Result<Option<Ticket>, Problem> {
    let Some(text) = headers.get(TICKET) else { return Ok(None) };
    let ticket = text.to_str().ok().and_then(|text| Ticket::parse(text).ok());
    ticket.map(Some).ok_or_else(|| {
        bad_request("bad_ticket", "Seawall-Ticket: send it back as it came in an answer, or not at all")
    })
}

fn object_type<'s>(schema: &'s Schema, name: &str) -> Result<&'s ObjectKind, Problem> {
    let known = || schema.objects().iter().map(|kind| &*kind.name).collect::<Vec<_>>().join(", ");
    schema
        .object(name)
        .ok_or_else(|| invalid(format!("there is no object type `{}`; there are {}", cut(name), known())))
}

fn assoc_type<'s>(schema: &'s Schema, name: &str) -> Result<&'s AssocKind, Problem> {
    let known = || schema.assocs().iter().map(|kind| &*kind.name).collect::<Vec<_>>().join(", ");
    schema.assoc(name).ok_or_else(|| {
        invalid(format!("there is no association type `{}`; there are {}", cut(name), known()))
    })
}

/// What a stranger sent is not repeated at any length.
fn cut(name: &str) -> String {
    name.chars().take(crate::schema::NAME_MAX).collect()
}

fn encoded(fields: &[Field], given: &Fields) -> Result<Data, Problem> {
    crate::schema::encode_json(fields, given).map_err(invalid)
}

fn shown(fields: &[Field], data: &[u8]) -> Fields {
    decode(fields, data).map(|(field, value)| (field.name.to_string(), value.to_json())).collect()
}

/// Seconds since 1970, for associations whose time was left out.
fn seconds(service: &Service) -> Time {
    Time(u32::try_from(service.clock().wall().0 / 1000).unwrap_or(u32::MAX))
}

/// The ids of a path, with commas between.
fn ids(text: &str) -> Result<Vec<Id>, Problem> {
    text.split(',').map(named).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_route_is_described_and_every_description_has_a_route() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let described: BTreeSet<(&str, &str)> = paths
            .iter()
            .flat_map(|(path, calls)| {
                let methods = calls.as_object().unwrap().keys().filter(|key| *key != "parameters");
                methods.map(move |method| (method.as_str(), path.as_str()))
            })
            .collect();
        let routes = routes();
        assert_eq!(described, routes.list.iter().copied().collect());
        for (method, _) in routes.list {
            assert_eq!(filter(method) == MethodFilter::POST, method == "post", "{method}");
        }
    }

    #[test]
    fn the_document_refers_to_what_it_has_and_describes_every_part() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let mut refs = Vec::new();
        references(&document, &mut refs);
        assert!(refs.len() > 30, "{refs:?}");
        for pointer in refs {
            assert!(document.pointer(pointer.strip_prefix('#').unwrap()).is_some(), "{pointer}");
        }
        let paths = document["paths"].as_object().unwrap();
        let mut ids = BTreeSet::new();
        for (path, calls) in paths {
            let in_path: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            for (method, call) in calls.as_object().unwrap() {
                if method == "parameters" {
                    let named: BTreeSet<&str> = call
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|p| match p["$ref"].as_str() {
                            Some(pointer) => {
                                document.pointer(&pointer[1..]).unwrap()["name"].as_str().unwrap()
                            }
                            None => p["name"].as_str().unwrap(),
                        })
                        .collect();
                    assert_eq!(named, in_path, "{path}");
                    continue;
                }
                assert!(call["summary"].is_string() && call["responses"].is_object(), "{method} {path}");
                assert!(ids.insert(call["operationId"].as_str().unwrap()), "{method} {path}");
            }
            assert!(in_path.is_empty() || calls["parameters"].is_array(), "{path}");
        }
    }

    fn references<'d>(value: &'d Value, refs: &mut Vec<&'d str>) {
        match value {
            Value::Object(map) => {
                refs.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, refs));
            }
            Value::Array(all) => all.iter().for_each(|value| references(value, refs)),
            _ => {}
        }
    }

    #[test]
    fn reads_matter_most_and_whole_graphs_least() {
        for (method, path, priority) in [
            (Method::GET, "/v1/objects/5", Priority::P0),
            (Method::POST, "/v1/objects/get", Priority::P0),
            (Method::GET, "/v1/assocs/5/follows", Priority::P0),
            (Method::POST, "/v1/objects", Priority::P1),
            (Method::PUT, "/v1/assocs/5/follows/6", Priority::P1),
            (Method::GET, "/v1/export", Priority::P3),
            (Method::POST, "/v1/import", Priority::P3),
            (Method::GET, "/v1/versions/objects/5", Priority::P3),
        ] {
            assert_eq!(super::priority(&method, path), priority, "{method} {path}");
        }
    }

    #[test]
    fn a_key_is_one_to_255_printable_characters_sent_once() {
        let key = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
            }
            idempotency_key(&headers).map_err(|p| p.code)
        };
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[b"a b~"]), Ok(Some(b"a b~".to_vec())));
        for odd in [&[&b""[..]][..], &[&[b'k'; 256]], &[b"a\tb"], &["ä".as_bytes()], &[b"a", b"a"]] {
            assert_eq!(key(odd), Err("bad_idempotency_key"), "{odd:?}");
        }
    }
}
