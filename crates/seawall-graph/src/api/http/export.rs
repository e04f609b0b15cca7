//! The whole graph as lines of JSON, so that another one can be made of it.
//!
//! Objects of all databases first, then associations, each pair of directions once. It is read in pages while others
//! write: what was there from the beginning to the end is in it, what changed meanwhile may be in it either way.
//!
//! An answer ends with `{"next": …}` where `limit` or its size stopped it, with `{"end": …}` where nothing follows. One
//! that ends with neither broke off.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use seawall_net::problem::Problem;
use serde::Deserialize;

use super::problems::{bad_query, problem};
use super::wire::{AssocLine, End, Line, ObjectLine, WireId};
use super::{Api, parts, query, shown};
use crate::call::{AssocType, Edge, Object, Refusal};
use crate::id::Id;
use crate::schema::{AssocKind, Inverse, Schema};

/// Rows read at a time: a few milliseconds of the store's time.
const PAGE: usize = 500;
/// Bytes of one piece of the answer. Its last line may go beyond.
const PIECE_MAX: usize = 1 << 20;
/// Lines a client may ask for at a time.
const LIMIT_MAX: u64 = 100_000;
/// Where `limit` is given, no answer is longer than this and a line: clients that want pages want to hold them.
const ANSWER_MAX: u64 = 8 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HowExport {
    after: Option<String>,
    limit: Option<u64>,
}

pub(super) async fn export(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Problem> {
    let mut parts = parts(request);
    let how: HowExport = query(&mut parts, &api).await?;
    if let Some(limit) = how.limit
        && !(1..=LIMIT_MAX).contains(&limit)
    {
        return Err(bad_query(format!("limit: use 1 to {LIMIT_MAX}, not {limit}")));
    }
    let at = match how.after {
        None => Cursor::START,
        Some(text) => {
            let at = text.parse::<Cursor>().ok().filter(|at| at.shard < api.service.upstream().shards());
            at.ok_or_else(|| bad_query("after: use the `next` of an earlier answer"))?
        }
    };
    let mut export = Export { at: Some(at), told: End::default(), bytes: 0, limit: how.limit, api };
    // The first piece is read before anything is promised: a refusal should have its own status.
    let first = export.piece().await.map_err(problem)?;
    let rest = stream::unfold(Some((first, export)), async |state| {
        let (piece, mut export) = state?;
        let next = match export.at {
            Some(_) => Some(export.piece().await),
            None => None,
        };
        Some(match next {
            None => (Ok(piece), None),
            Some(Ok(next)) => (Ok(piece), Some((next, export))),
            // Cutting the answer off is all that can be said by now.
            Some(Err(refusal)) => (Err(refusal), None),
        })
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(rest)).into_response())
}

/// An export under way.
struct Export {
    api: Arc<Api>,
    /// Nothing once the last line is written.
    at: Option<Cursor>,
    told: End,
    bytes: u64,
    limit: Option<u64>,
}

impl Export {
    /// The next lines: at least one.
    async fn piece(&mut self) -> Result<Bytes, Refusal> {
        let mut out = Vec::new();
        while out.len() < PIECE_MAX {
            let Some(at) = self.at else { break };
            let told = self.told.objects + self.told.associations;
            let left = self.limit.map(|limit| limit.saturating_sub(told));
            let is_long = self.limit.is_some() && self.bytes + out.len() as u64 >= ANSWER_MAX;
            if left == Some(0) || is_long {
                line(&mut out, &Line::Next(at.to_string()));
                self.at = None;
                break;
            }
            let rows = left.map_or(PAGE, |left| PAGE.min(usize::try_from(left).unwrap_or(PAGE)));
            self.page(at, rows, &mut out).await?;
        }
        self.bytes += out.len() as u64;
        Ok(out.into())
    }

    async fn page(&mut self, at: Cursor, rows: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let upstream = self.api.service.upstream();
        let schema = self.api.service.schema();
        let mut last = None;
        match at.place {
            Place::Objects(after) => {
                for object in upstream.page_objects(at.shard, after, rows).await? {
                    last = Some(Place::Objects(Some(object.id)));
                    self.told.objects += u64::from(object_line(&schema, &object, out));
                    if out.len() >= PIECE_MAX {
                        break;
                    }
                }
            }
            Place::Assocs(after) => {
                for (id1, atype, edge) in upstream.page_assocs(at.shard, after, rows).await? {
                    last = Some(Place::Assocs(Some((id1, atype, edge.id2))));
                    self.told.associations += u64::from(assoc_line(&schema, id1, atype, &edge, out));
                    if out.len() >= PIECE_MAX {
                        break;
                    }
                }
            }
        }
        self.at = match last {
            Some(place) => Some(Cursor { place, ..at }),
            None => at.next(upstream.shards()),
        };
        if self.at.is_none() {
            line(out, &Line::End(self.told));
        }
        Ok(())
    }
}

fn line(out: &mut Vec<u8>, line: &Line) {
    // Strings and numbers always serialise, and writing to memory does not fail.
    let _ = serde_json::to_writer(&mut *out, line);
    out.push(b'\n');
}

/// Whether there was anything to tell: what is of a retired type is not shown.
fn object_line(schema: &Schema, object: &Object, out: &mut Vec<u8>) -> bool {
    let Some(kind) = schema.object_kind(object.otype) else { return false };
    let fields = shown(&kind.fields, object.data.bytes());
    line(out, &Line::Object(ObjectLine { id: WireId(object.id), otype: kind.name.to_string(), fields }));
    true
}

fn assoc_line(schema: &Schema, id1: Id, atype: AssocType, edge: &Edge, out: &mut Vec<u8>) -> bool {
    let Some(kind) = schema.assoc_kind(atype).filter(|kind| is_told(kind, id1, edge.id2)) else {
        return false;
    };
    let told = AssocLine {
        id1: WireId(id1),
        atype: kind.name.to_string(),
        id2: WireId(edge.id2),
        time: edge.time.0,
        fields: shown(&kind.fields, edge.data.bytes()),
    };
    line(out, &Line::Association(told));
    true
}

/// Of two directions, one: an import makes the other of it.
fn is_told(kind: &AssocKind, id1: Id, id2: Id) -> bool {
    match kind.inverse {
        Inverse::None => true,
        Inverse::Same => id1 <= id2,
        Inverse::Type(other) => kind.atype < other,
    }
}

/// How far an export came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    shard: u32,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Objects(Option<Id>),
    Assocs(Option<(Id, AssocType, Id)>),
}

impl Cursor {
    const START: Cursor = Cursor { shard: 0, place: Place::Objects(None) };

    /// Where the next database, or the associations of the first, begin.
    fn next(self, shards: u32) -> Option<Cursor> {
        let shard = self.shard + 1;
        match self.place {
            Place::Objects(_) if shard < shards => Some(Cursor { shard, place: Place::Objects(None) }),
            Place::Objects(_) => Some(Cursor { shard: 0, place: Place::Assocs(None) }),
            Place::Assocs(_) => (shard < shards).then_some(Cursor { shard, place: Place::Assocs(None) }),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shard = self.shard;
        match self.place {
            Place::Objects(None) => write!(f, "o-{shard}"),
            Place::Objects(Some(id)) => write!(f, "o-{shard}-{id}"),
            Place::Assocs(None) => write!(f, "a-{shard}"),
            Place::Assocs(Some((id1, atype, id2))) => write!(f, "a-{shard}-{id1}-{}-{id2}", atype.0),
        }
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Cursor, ()> {
        let mut parts = text.split('-');
        let (kind, shard) = (parts.next(), parts.next().and_then(|shard| shard.parse().ok()).ok_or(())?);
        let parts: Vec<&str> = parts.collect();
        let id = |text: &str| text.parse::<Id>().map_err(|_| ());
        let place = match (kind, parts.as_slice()) {
            (Some("o"), []) => Place::Objects(None),
            (Some("o"), [after]) => Place::Objects(Some(id(after)?)),
            (Some("a"), []) => Place::Assocs(None),
            (Some("a"), [id1, atype, id2]) => {
                let atype = AssocType(atype.parse().map_err(|_| ())?);
                Place::Assocs(Some((id(id1)?, atype, id(id2)?)))
            }
            _ => return Err(()),
        };
        Ok(Cursor { shard, place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_leads_through_everything() {
        let id = |n: u64| Id::try_from(n).unwrap();
        for place in [
            Place::Objects(None),
            Place::Objects(Some(id(7))),
            Place::Assocs(None),
            Place::Assocs(Some((id(7), AssocType(2), id(9)))),
        ] {
            let at = Cursor { shard: 3, place };
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        for odd in
            ["", "o", "o-x", "x-0", "o-0-0", "o-0-5-6", "a-0-5-6", "a-0-5-70000-6", "a-0-5-6-7-8", "o--1"]
        {
            assert_eq!(odd.parse::<Cursor>(), Err(()), "{odd:?}");
        }
        let all: Vec<String> =
            std::iter::successors(Some(Cursor::START), |at| at.next(2)).map(|at| at.to_string()).collect();
        assert_eq!(all, ["o-0", "o-1", "a-0", "a-1"]);
    }

    #[test]
    fn of_two_directions_one_is_told() {
        let schema = Schema::built_in();
        let kind = |name: &str| schema.assoc(name).unwrap();
        let (low, high) = (Id::try_from(1_u64).unwrap(), Id::try_from(2_u64).unwrap());
        for (name, up, down) in [
            ("follows", true, true),
            ("followed_by", false, false),
            ("friend", true, false),
            ("blocks", true, true),
        ] {
            assert_eq!(
                (is_told(kind(name), low, high), is_told(kind(name), high, low)),
                (up, down),
                "{name}"
            );
        }
        assert!(is_told(kind("friend"), low, low));
    }
}
