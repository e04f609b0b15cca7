//! Objects.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use seawall_net::body;
use seawall_net::problem::Problem;
use serde::Deserialize;

use super::problems::{invalid, problem};
use super::wire::{Deleted, GetObjects, Made, NewObject, Object, Objects, UpdateObject, Updated, WireId};
use super::{
    Api, Consistency, Reading, Writing, answered, encoded, named, object_type, parts, query, reading, shown,
};
use crate::call::{Done, Home, Refusal, Version, Write};
use crate::id::Id;
use crate::limits::MANY_MAX;
use crate::message::{Change, Changeset, ObjectState};
use crate::schema::{ObjectKind, Schema, unset};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HowRead {
    consistency: Option<Consistency>,
}

pub(super) async fn add(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let writing = Writing::of(&parts, &api)?;
    let bytes = body::read(&parts.headers, body, api.body_max).await?;
    let wanted: NewObject = body::parse(&bytes)?;
    let schema = api.service.schema();
    let kind = object_type(&schema, &wanted.otype)?;
    let home = match (wanted.near, wanted.id) {
        (None, None) => Home::Anywhere,
        (Some(WireId(near)), None) => Home::Near(near),
        (None, Some(WireId(id))) => Home::Exactly(id),
        (Some(_), Some(_)) => return Err(invalid("near and id: an object has one place; send one of them")),
    };
    let data = encoded(&kind.fields, &wanted.fields)?;
    let (done, written) = writing.write(&api, Write::ObjectAdd { otype: kind.otype, data, home }).await?;
    let Done::ObjectAdded(id) = done.done else { return Err(odd()) };
    let made = Made { id: WireId(id), version: version_of(&done, id).unwrap_or(Version(1)).0 };
    Ok(written.onto((StatusCode::CREATED, Json(made))))
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (id, mut parts) = (named(&id)?, parts(request));
    let how: HowRead = query(&mut parts, &api).await?;
    let reading = reading(&parts, &api, how.consistency.as_ref())?;
    let answer = api.service.follower().object(id, &reading.view()).await.map_err(problem)?;
    let object = object(&api.service.schema(), id, &answer.value);
    let object = object.ok_or_else(|| problem(Refusal::NoObject(id)))?;
    Ok(answered(answer, |_| Json(object).into_response()))
}

pub(super) async fn many(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let how: HowRead = query(&mut parts, &api).await?;
    let reading = reading(&parts, &api, how.consistency.as_ref())?;
    let bytes = body::read(&parts.headers, body, api.body_max).await?;
    let wanted: GetObjects = body::parse(&bytes)?;
    if wanted.ids.len() > MANY_MAX {
        return Err(invalid(format!("ids: use at most {MANY_MAX}, not {}", wanted.ids.len())));
    }
    let ids: Vec<Id> = wanted.ids.into_iter().map(|WireId(id)| id).collect();
    let answer = api.service.follower().objects(&ids, &reading.view()).await.map_err(problem)?;
    let schema = api.service.schema();
    Ok(answered(answer, |states| {
        let objects = ids.iter().zip(&states).map(|(id, state)| object(&schema, *id, state)).collect();
        Json(Objects { objects }).into_response()
    }))
}

pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let id = named(&id)?;
    let (parts, body) = request.into_parts();
    let writing = Writing::of(&parts, &api)?;
    let bytes = body::read(&parts.headers, body, api.body_max).await?;
    let wanted: UpdateObject = body::parse(&bytes)?;
    let schema = api.service.schema();
    let kind = kind_of(&api, &schema, id, &writing).await?;
    let set = encoded(&kind.fields, &wanted.set)?;
    let names = wanted.unset.iter().map(String::as_bytes);
    let unset = unset(&kind.fields, names, &set).map_err(invalid)?;
    let write = Write::ObjectUpdate { id, set, unset, if_version: wanted.if_version.map(Version) };
    let (done, written) = writing.write(&api, write).await?;
    let Done::ObjectUpdated(version) = done.done else { return Err(odd()) };
    Ok(written.onto(Json(Updated { version: version.0 })))
}

/// The type of an object, whose fields are to be read. It never changes, so what memory says is right; where memory
/// knows of no object, the source is asked, because it may have been made a moment ago.
async fn kind_of<'s>(
    api: &Api,
    schema: &'s Schema,
    id: Id,
    writing: &Writing,
) -> Result<&'s ObjectKind, Problem> {
    for critical in [false, true] {
        let reading = Reading { ticket: None, critical, deadline: writing.deadline };
        let state = api.service.follower().object(id, &reading.view()).await.map_err(problem)?.value;
        if let Some((otype, _)) = state.object {
            return schema.object_kind(otype).ok_or_else(|| problem(Refusal::NoObject(id)));
        }
    }
    Err(problem(Refusal::NoObject(id)))
}

pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (id, parts) = (named(&id)?, parts(request));
    let writing = Writing::of(&parts, &api)?;
    let (done, written) = writing.write(&api, Write::ObjectDelete { id }).await?;
    let Done::ObjectDeleted(deleted) = done.done else { return Err(odd()) };
    Ok(written.onto(Json(Deleted { deleted })))
}

/// As clients see it; nothing where there is none, or its type was retired.
fn object(schema: &Schema, id: Id, state: &ObjectState) -> Option<Object> {
    let (otype, data) = state.object.as_ref()?;
    let kind = schema.object_kind(*otype)?;
    Some(Object {
        id: WireId(id),
        otype: kind.name.to_string(),
        version: state.version.0,
        fields: shown(&kind.fields, data.bytes()),
    })
}

fn version_of(done: &Changeset, id: Id) -> Option<Version> {
    done.changes.iter().find_map(|changed| match &changed.change {
        Change::Object { id: of, version, .. } if *of == id => Some(*version),
        _ => None,
    })
}

/// A write was answered with what belongs to another one.
pub(super) fn odd() -> Problem {
    problem(Refusal::Broken("a write was answered with what nobody asked".to_owned()))
}
