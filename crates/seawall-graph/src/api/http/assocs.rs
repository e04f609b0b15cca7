//! Associations and their lists.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use seawall_net::body;
use seawall_net::problem::Problem;
use serde::Deserialize;

use super::objects::odd;
use super::problems::{bad_query, invalid, problem};
use super::wire::{Assoc, Assocs, Count, Deleted, Put, PutAssoc, Retype, Retyped, WireId};
use super::{
    Api, Consistency, Writing, answered, assoc_type, encoded, ids, named, parts, query, reading, seconds,
    shown,
};
use crate::call::{Done, Time, Write};
use crate::follower::{Answer, Part};
use crate::limits::POINTS_MAX;
use crate::schema::AssocKind;

/// Associations of a range unless the client asks for another number.
const LIMIT_DEFAULT: u32 = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HowRange {
    pos: Option<u32>,
    limit: Option<u32>,
    high: Option<u32>,
    low: Option<u32>,
    data: Option<bool>,
    consistency: Option<Consistency>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HowPoints {
    high: Option<u32>,
    low: Option<u32>,
    consistency: Option<Consistency>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HowCount {
    consistency: Option<Consistency>,
}

/// By place, or where `high` or `low` is given, by time.
pub(super) async fn range(
    State(api): State<Arc<Api>>,
    Path((id1, atype)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (id1, mut parts) = (named(&id1)?, parts(request));
    let how: HowRange = query(&mut parts, &api).await?;
    let reading = reading(&parts, &api, how.consistency.as_ref())?;
    let schema = api.service.schema();
    let kind = assoc_type(&schema, &atype)?;
    let limit = how.limit.unwrap_or(LIMIT_DEFAULT.min(kind.range_max));
    if !(1..=kind.range_max).contains(&limit) {
        return Err(invalid(format!("limit: use 1 to {} for `{}`, not {limit}", kind.range_max, kind.name)));
    }
    let (follower, view) = (api.service.follower(), reading.view());
    let is_by_time = how.high.is_some() || how.low.is_some();
    let answer = match how.pos {
        Some(_) if is_by_time => {
            return Err(bad_query("pos: a range is by place or by time; leave out pos, or high and low"));
        }
        None if is_by_time => {
            let (high, low) = times(how.high, how.low)?;
            follower.time_range(id1, kind.atype, high, low, limit, &view).await
        }
        pos => follower.range(id1, kind.atype, pos.unwrap_or(0), limit, &view).await,
    };
    Ok(list(answer.map_err(problem)?, kind, how.data.unwrap_or(false)))
}

pub(super) async fn points(
    State(api): State<Arc<Api>>,
    Path((id1, atype, id2s)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (id1, id2s, mut parts) = (named(&id1)?, ids(&id2s)?, parts(request));
    let how: HowPoints = query(&mut parts, &api).await?;
    let reading = reading(&parts, &api, how.consistency.as_ref())?;
    let schema = api.service.schema();
    let kind = assoc_type(&schema, &atype)?;
    if id2s.len() > POINTS_MAX {
        return Err(invalid(format!("id2: use at most {POINTS_MAX} ids, not {}", id2s.len())));
    }
    let (high, low) = times(how.high, how.low)?;
    let answer = api.service.follower().points(id1, kind.atype, &id2s, high, low, &reading.view()).await;
    Ok(list(answer.map_err(problem)?, kind, true))
}

fn times(high: Option<u32>, low: Option<u32>) -> Result<(Time, Time), Problem> {
    let (high, low) = (high.unwrap_or(u32::MAX), low.unwrap_or(0));
    if high < low {
        return Err(bad_query(format!("high: {high} is below low, {low}")));
    }
    Ok((Time(high), Time(low)))
}

fn list(answer: Answer<Part>, kind: &AssocKind, data: bool) -> Response {
    answered(answer, |part| {
        let edges = (part.first..part.first + part.len).filter_map(|n| part.edges.get(n));
        let associations = edges.map(|edge| Assoc {
            id2: WireId(edge.id2),
            time: edge.time.0,
            fields: data.then(|| shown(&kind.fields, edge.data)),
        });
        Json(Assocs { associations: associations.collect() }).into_response()
    })
}

pub(super) async fn count(
    State(api): State<Arc<Api>>,
    Path((id1, atype)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (id1, mut parts) = (named(&id1)?, parts(request));
    let how: HowCount = query(&mut parts, &api).await?;
    let reading = reading(&parts, &api, how.consistency.as_ref())?;
    let atype = assoc_type(&api.service.schema(), &atype)?.atype;
    let answer = api.service.follower().count(id1, atype, &reading.view()).await.map_err(problem)?;
    Ok(answered(answer, |count| Json(Count { count }).into_response()))
}

pub(super) async fn add(
    State(api): State<Arc<Api>>,
    Path((id1, atype, id2)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (id1, id2) = (named(&id1)?, named(&id2)?);
    let (parts, body) = request.into_parts();
    let mut writing = Writing::of(&parts, &api)?;
    let bytes = body::read(&parts.headers, body, api.body_max).await?;
    // All of it has a default, so nothing need be said.
    let wanted: PutAssoc = if bytes.is_empty() { PutAssoc::default() } else { body::parse(&bytes)? };
    let schema = api.service.schema();
    let kind = assoc_type(&schema, &atype)?;
    let data = encoded(&kind.fields, &wanted.fields)?;
    let at = |time| Write::AssocAdd { id1, atype: kind.atype, id2, time, data: data.clone() };
    // A try again comes at another time and is the same request all the same.
    let key = writing.idempotency(&at(Time(wanted.time.unwrap_or(0))))?;
    let write = at(wanted.time.map_or_else(|| seconds(&api.service), Time));
    let (done, written) = writing.write_as(&api, write, key).await?;
    let Done::AssocAdded(added) = done.done else { return Err(odd()) };
    let status = if added { StatusCode::CREATED } else { StatusCode::OK };
    Ok(written.onto((status, Json(Put { added }))))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path((id1, atype, id2)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (id1, id2, parts) = (named(&id1)?, named(&id2)?, parts(request));
    let writing = Writing::of(&parts, &api)?;
    let atype = assoc_type(&api.service.schema(), &atype)?.atype;
    let (done, written) = writing.write(&api, Write::AssocDelete { id1, atype, id2 }).await?;
    let Done::AssocDeleted(deleted) = done.done else { return Err(odd()) };
    Ok(written.onto(Json(Deleted { deleted })))
}

pub(super) async fn retype(
    State(api): State<Arc<Api>>,
    Path((id1, atype, id2)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (id1, id2) = (named(&id1)?, named(&id2)?);
    let (parts, body) = request.into_parts();
    let writing = Writing::of(&parts, &api)?;
    let bytes = body::read(&parts.headers, body, api.body_max).await?;
    let wanted: Retype = body::parse(&bytes)?;
    let schema = api.service.schema();
    let (from, to) = (assoc_type(&schema, &atype)?.atype, assoc_type(&schema, &wanted.to)?.atype);
    let (done, written) = writing.write(&api, Write::AssocChangeType { id1, from, id2, to }).await?;
    let Done::AssocChanged(changed) = done.done else { return Err(odd()) };
    Ok(written.onto(Json(Retyped { changed })))
}
