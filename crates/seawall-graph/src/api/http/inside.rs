//! Looks inside: schema, versions in each place, changes, the state of each database.
//!
//! An audit needs to know what changed and what each memory says about it, and nothing else: it hears of changes here,
//! waits, and asks each place whether it still has something older than what it was told. Keys are not sampled from
//! what is stored: nearly all of that is in no memory and cannot be wrong there; what can be wrong is what changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use seawall_net::body;
use seawall_net::problem::Problem;
use seawall_store::Position;
use serde::Deserialize;
use serde_json::json;

use super::problems::{bad_query, bad_request, problem};
use super::wire::{Change, Changes, VersionThere, WireId, WireKey};
use super::{Api, assoc_type, deadline, named, parts, query};
use crate::call::Key;
use crate::limits::NEWS_MAX;
use crate::schema::{Schema, TEXT_MAX};
use crate::service::Place;
use crate::storage::News;

/// The media type of TOML.
const TOML: &str = "application/toml";

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum At {
    Follower,
    Leader,
    Source,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    at: Option<At>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HowChanges {
    shard: Option<u32>,
    after: Option<u64>,
    limit: Option<usize>,
}

pub(super) async fn schema(State(api): State<Arc<Api>>) -> Response {
    ([(CONTENT_TYPE, TOML)], api.service.schema().text()).into_response()
}

pub(super) async fn schema_put(State(api): State<Arc<Api>>, request: Request) -> Result<StatusCode, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = body::read(&parts.headers, body, TEXT_MAX).await?;
    let text = str::from_utf8(&bytes).map_err(|_| bad_request("bad_schema", "a schema is text in UTF-8"))?;
    let wrong = |problems: Vec<String>| bad_request("bad_schema", problems.join("\n"));
    let new = Schema::parse(text).map_err(wrong)?;
    // Asked again by who puts it in place, when nobody else can be faster.
    let losses = new.losses(&api.service.schema());
    if !losses.is_empty() {
        return Err(wrong(losses));
    }
    api.service.schema_put(new, deadline(&parts, &api)).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn object_version(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<VersionThere>, Problem> {
    version(&api, Key::Object(named(&id)?), request).await
}

pub(super) async fn list_version(
    State(api): State<Arc<Api>>,
    Path((id1, atype)): Path<(String, String)>,
    request: Request,
) -> Result<Json<VersionThere>, Problem> {
    let atype = assoc_type(&api.service.schema(), &atype)?.atype;
    version(&api, Key::List(named(&id1)?, atype), request).await
}

async fn version(api: &Arc<Api>, key: Key, request: Request) -> Result<Json<VersionThere>, Problem> {
    let mut parts = parts(request);
    let there: Where = query(&mut parts, api).await?;
    let place = match there.at {
        None | Some(At::Follower) => Place::Follower,
        Some(At::Leader) => Place::Leader,
        Some(At::Source) => Place::Source,
    };
    let version = api.service.version(place, key, deadline(&parts, api)).await.map_err(problem)?;
    Ok(Json(VersionThere { version: version.map(|version| version.0) }))
}

/// Without `after`: nothing, and where to begin.
pub(super) async fn changes(State(api): State<Arc<Api>>, request: Request) -> Result<Json<Changes>, Problem> {
    let mut parts = parts(request);
    let how: HowChanges = query(&mut parts, &api).await?;
    let upstream = api.service.upstream();
    let (shard, limit) = (how.shard.unwrap_or(0), how.limit.unwrap_or(NEWS_MAX));
    if shard >= upstream.shards() {
        return Err(bad_query(format!("shard: use 0 to {}, not {shard}", upstream.shards() - 1)));
    }
    if !(1..=NEWS_MAX).contains(&limit) {
        return Err(bad_query(format!("limit: use 1 to {NEWS_MAX}, not {limit}")));
    }
    let Some(after) = how.after else {
        let now = upstream.position(shard).await.map_err(problem)?;
        return Ok(Json(Changes { changes: Vec::new(), next: now.0 }));
    };
    match upstream.news(shard, Position(after), limit).await.map_err(problem)? {
        News::Changes { changes, up_to } => {
            let schema = api.service.schema();
            let changes = changes.iter().filter_map(|(_, change)| {
                let key = match change.key() {
                    Key::Object(id) => WireKey::Object(WireId(id)),
                    // Of a type that was retired meanwhile nobody can ask.
                    Key::List(id1, atype) => {
                        WireKey::List(WireId(id1), schema.assoc_kind(atype)?.name.to_string())
                    }
                };
                Some(Change { key, version: change.version().0 })
            });
            Ok(Json(Changes { changes: changes.collect(), next: up_to.0 }))
        }
        News::Missed { .. } => {
            let message = "these changes are not kept any more; begin again without `after`";
            Err(Problem::new(StatusCode::GONE, "changes_gone", message))
        }
    }
}

pub(super) async fn shards(State(api): State<Arc<Api>>) -> Response {
    Json(json!({ "shards": api.service.upstream().shard_reports() })).into_response()
}
