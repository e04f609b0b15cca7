//! Consul's HTTP API: parse, call, encode.
//!
//! [`mod@parse`] turns bytes into a [`Call`] without looking at any state, [`Registry`] carries it out,
//! [`encode`] writes Consul's JSON. This file is the thread through the three, with the headers every answer
//! bears.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use seawall_net::admission::Admitted;
use seawall_net::body::{BodyError, whole};

pub mod answers;
pub mod bodies;
pub mod encode;
pub mod fields;
pub mod parse;
pub mod query;
pub mod refusal;
pub mod route;

use answers::Answers;
use parse::{Call, Request, Rules, parse, too_large};
use refusal::Refusal;

use crate::machine::Topic;
use crate::read::Read;
use crate::service::Registry;

const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
const CONSISTENCY: HeaderName = HeaderName::from_static("x-consul-effective-consistency");
const CONTENT_HASH: HeaderName = HeaderName::from_static("x-consul-contenthash");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
const CSP: HeaderName = HeaderName::from_static("content-security-policy");
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// How long a client may take to send its body.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// What every request needs.
pub struct Api {
    registry: Arc<Registry>,
    rules: Rules,
    answers: Answers,
}

/// The whole API as a router.
pub fn router(registry: Arc<Registry>, rules: Rules) -> Router {
    let api = Arc::new(Api { registry, rules, answers: Answers::default() });
    // One entry: Consul's prefixes ("everything after /v1/kv/ is the key") are no path patterns.
    Router::new().fallback(answer).with_state(api)
}

async fn answer(State(api): State<Arc<Api>>, request: axum::extract::Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let method = parts.method.as_str();
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let body = match receive(body, &parts.headers, api.rules.body_max()).await {
        Ok(body) => body,
        // Who sends too much to the wrong place should hear of the place.
        Err(refusal) => return refuse(&route::route(method, path).err().unwrap_or(refusal)),
    };
    let done = match parse(method, path, query, body, &api.rules) {
        Ok(request) => api.call(request, parts.extensions.get::<Admitted>()).await,
        Err(refusal) => Err(refusal),
    };
    done.unwrap_or_else(|refusal| refuse(&refusal))
}

impl Api {
    async fn call(&self, request: Request, place: Option<&Admitted>) -> Result<Response<Body>, Refusal> {
        let (registry, me, pretty) = (&self.registry, &self.registry.me, request.pretty);
        match request.call {
            Call::RegisterService { service, checks, replace } => {
                registry.register_service(service, checks, replace).await?;
            }
            Call::DeregisterService(id) => registry.deregister_service(&id).await?,
            Call::Maintain { id, enable, reason } => registry.maintain(&id, enable, &reason).await?,
            Call::RegisterCheck(check) => registry.register_check(check).await?,
            Call::DeregisterCheck(id) => registry.deregister_check(&id).await?,
            Call::Report { id, status, output } => registry.report(&id, status, output).await?,
            Call::CatalogRegister(registration) => {
                registry.register(registration).await?;
                return Ok(json(encode::json(&true, pretty)));
            }
            Call::CatalogDeregister(command) => {
                registry.deregister(command).await?;
                return Ok(json(encode::json(&true, pretty)));
            }
            Call::Put { key, value, flags, cas } => {
                let done = registry.put(key, value, flags, cas).await?;
                return Ok(json(encode::json(&done, pretty)));
            }
            Call::Delete { key, cas } => {
                return Ok(json(encode::json(&registry.delete(key, cas).await?, pretty)));
            }
            Call::DeleteTree(prefix) => {
                registry.delete_tree(prefix).await?;
                return Ok(json(encode::json(&true, pretty)));
            }
            Call::AgentServices => {
                return Ok(json(encode::agent_services(&registry.agent_services(), me, pretty)));
            }
            Call::AgentChecks => return Ok(json(encode::agent_checks(&registry.agent_checks(), pretty))),
            Call::AgentSelf => return Ok(json(encode::json(&encode::agent_self(me), pretty))),
            Call::AgentMembers => return Ok(json(encode::json(&[encode::member(me)], pretty))),
            Call::Datacenters => return Ok(json(encode::json(&[&me.datacenter], pretty))),
            Call::Leader => return Ok(json(encode::json(&encode::peer(me), pretty))),
            Call::Peers => return Ok(json(encode::json(&[encode::peer(me)], pretty))),
            Call::AgentService { id, hash, wait } => {
                return self.agent_service(&id, hash.as_deref(), wait, pretty, place).await;
            }
            Call::AgentHealthByName { name, as_text } => {
                return Ok(self.health_by_name(&name, as_text, pretty));
            }
            Call::AgentHealthById { id, as_text } => return Ok(self.health_by_id(&id, as_text, pretty)),
            Call::Read { read, watch, consistency, raw } => {
                if let Some((index, wait)) = watch {
                    self.wait(&read.topic(), index, wait, place).await?;
                }
                return Ok(self.read(&read, consistency, raw, pretty));
            }
        }
        Ok(Response::new(Body::empty()))
    }

    /// Waits until the topic is beyond `index`, or for `wait` and a little more.
    async fn wait(
        &self,
        topic: &Topic,
        index: u64,
        wait: Duration,
        place: Option<&Admitted>,
    ) -> Result<(), Refusal> {
        let registry = &self.registry;
        // An index from a future we do not know, as after a restored backup: the client must learn the new one.
        let still = || {
            let (now, newest) = registry.index_of(topic);
            now <= index && index <= newest
        };
        if !still() {
            return Ok(());
        }
        // From here on this is a watcher, and counted as one.
        if let Some(place) = place {
            place.release();
        }
        let full = |_| {
            let text = "Too many clients are waiting for changes; try again, or ask another registry node";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
        };
        registry.wait_while(topic, registry.jittered(wait), still).await.map_err(full)
    }

    fn read(&self, read: &Read, consistency: &'static str, raw: bool, pretty: bool) -> Response<Body> {
        let (index, mut response) = if raw {
            let (index, view) = self.registry.look(read);
            (index, raw_value(encode::raw(&view)))
        } else {
            let (index, answer) = self.answers.get(&self.registry, read, pretty);
            let mut response = json(answer.body);
            *response.status_mut() = answer.status;
            (index, response)
        };
        let headers = response.headers_mut();
        headers.insert(INDEX, HeaderValue::from(index));
        headers.insert(LAST_CONTACT, HeaderValue::from_static("0"));
        headers.insert(KNOWN_LEADER, HeaderValue::from_static("true"));
        headers.insert(CONSISTENCY, HeaderValue::from_static(consistency));
        response
    }

    async fn agent_service(
        &self,
        id: &str,
        known: Option<&str>,
        wait: Duration,
        pretty: bool,
        place: Option<&Admitted>,
    ) -> Result<Response<Body>, Refusal> {
        let registry = &self.registry;
        let end = registry.now() + registry.jittered(wait);
        let mut name = None;
        let (hash, body) = loop {
            // The index before the service, so that no change falls between. The service's index grows with
            // every change of it, and of its checks as well: hence the loop.
            let index = name.as_ref().map(|name| registry.index_of(name).0);
            let unknown = || Refusal::new(StatusCode::NOT_FOUND, format!("unknown service ID: {id}"));
            let service = registry.agent_service(id).ok_or_else(unknown)?.service;
            let (hash, body) = encode::agent_service_hashed(&service, &registry.me, pretty);
            let left = end.since(registry.now());
            if known != Some(hash.as_str()) || left.is_zero() || registry.is_stopping() {
                break (hash, body);
            }
            let topic = Topic::Service(service.name.clone());
            match index {
                Some(index) if name.as_ref() == Some(&topic) => self.wait(&topic, index, left, place).await?,
                _ => name = Some(topic),
            }
        };
        let mut response = json(body);
        if let Ok(hash) = HeaderValue::from_str(&hash) {
            response.headers_mut().insert(CONTENT_HASH, hash);
        }
        Ok(response)
    }

    fn health_by_name(&self, name: &str, as_text: bool, pretty: bool) -> Response<Body> {
        let me = &self.registry.me;
        let ids = self.registry.agent_services();
        let of_name =
            ids.iter().filter(|s| s.name == name).filter_map(|s| self.registry.agent_service(&s.id));
        let each: Vec<_> = of_name.map(|instance| encode::agent_health(&instance, me)).collect();
        let absent = (StatusCode::NOT_FOUND, format!("ServiceName {name} Not Found"));
        let worst = each.iter().max_by_key(|(status, ..)| severity(*status));
        let (status, word) = worst.map_or(absent, |(status, word, _)| (*status, (*word).to_owned()));
        let bodies: Vec<_> = each.into_iter().map(|(.., body)| body).collect();
        health(status, word, as_text, encode::json(&bodies, pretty))
    }

    fn health_by_id(&self, id: &str, as_text: bool, pretty: bool) -> Response<Body> {
        let (status, word, body) = match self.registry.agent_service(id) {
            Some(instance) => {
                let (status, word, body) = encode::agent_health(&instance, &self.registry.me);
                (status, word.to_owned(), body)
            }
            None => {
                let nothing =
                    serde_json::json!({"AggregatedStatus": "critical", "Service": null, "Checks": []});
                (StatusCode::NOT_FOUND, format!("ServiceId {id} not found"), nothing)
            }
        };
        health(status, word, as_text, encode::json(&body, pretty))
    }
}

/// 200 before 429 before 503: the order of health, not of numbers.
fn severity(status: StatusCode) -> u8 {
    match status {
        StatusCode::OK => 0,
        StatusCode::TOO_MANY_REQUESTS => 1,
        _ => 2,
    }
}

fn health(status: StatusCode, word: String, as_text: bool, body: Bytes) -> Response<Body> {
    let mut response = if as_text { typed(TEXT, word.into()) } else { json(body) };
    *response.status_mut() = status;
    response
}

fn typed(kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A JSON answer; without a type where there is no body.
fn json(body: Bytes) -> Response<Body> {
    if body.is_empty() { Response::new(Body::empty()) } else { typed(JSON, body) }
}

/// A value as it was written. It may be a web page of anyone's: browsers must neither guess nor run it.
fn raw_value(value: Option<Bytes>) -> Response<Body> {
    let Some(value) = value else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let mut response = typed("text/plain", value);
    response.headers_mut().insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    response.headers_mut().insert(CSP, HeaderValue::from_static("sandbox"));
    response
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    let mut response = typed(TEXT, refusal.text.clone().into());
    *response.status_mut() = refusal.status;
    if let Some(allow) = refusal.allow {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// All of the body, if it is at most `max` bytes and comes in time.
async fn receive(body: Body, headers: &HeaderMap, max: usize) -> Result<Vec<u8>, Refusal> {
    match tokio::time::timeout(BODY_PATIENCE, whole(headers, body, max)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(BodyError::TooLarge)) => Err(too_large(max)),
        Ok(Err(BodyError::Broken)) => Err(Refusal::bad("The request body broke off")),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "The request body did not arrive in time")),
    }
}
