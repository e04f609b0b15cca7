//! Lines of JSON into a graph, as an export makes them.
//!
//! Doing it twice is harmless: ids are kept, an object that is there already is left as it is and counted as present,
//! an association is there once however often it is added. So whoever was interrupted begins again.
//!
//! Lines are done many at a time, because one by one each would wait for a commit of its own. Two lines about the same
//! object or pair of ids are done in their order. A line that is wrong costs itself alone. When the deadline is over, the
//! lines left are counted as rejected and may be sent again.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use seawall_net::body;
use seawall_net::problem::Problem;
use seawall_policy::deadline::Deadline;

use super::problems::{bad_request, may_come_back, problem};
use super::wire::{AssocLine, Imported, Line, LineProblem, ObjectLine, WireId};
use super::{Api, assoc_type, deadline, encoded, object_type};
use crate::call::{Done, Home, Refusal, Time, Write};
use crate::follower::View;
use crate::id::Id;
use crate::ticket::Ticket;

/// Lines under way at a time: enough to fill a group of commits.
const UNDER_WAY_MAX: usize = 128;
/// Problems told in full; all are counted. As many as any client of ours sends lines at a time.
const PROBLEMS_MAX: usize = 2000;

pub(super) async fn import(State(api): State<Arc<Api>>, request: Request) -> Result<Json<Imported>, Problem> {
    let (parts, body) = request.into_parts();
    let until = deadline(&parts, &api);
    let mut lines = Lines { body, left: BytesMut::new(), has_ended: false, read: 0, line_max: api.body_max };
    let mut told = Imported::default();
    let mut under_way = FuturesUnordered::new();
    // What the lines under way are about.
    let mut busy: HashSet<(Id, Id)> = HashSet::new();
    loop {
        // What is under way goes on while the next line is awaited.
        let next = tokio::select! {
            biased;
            Some(done) = under_way.next(), if !under_way.is_empty() => {
                note(&mut told, &mut busy, done);
                continue;
            }
            next = lines.next() => next?,
        };
        let Some((number, line)) = next else { break };
        let wanted = match body::parse::<Line>(&line) {
            Ok(wanted) => wanted,
            Err(wrong) => {
                reject(&mut told, number, wrong, false);
                continue;
            }
        };
        let about = match &wanted {
            Line::Object(ObjectLine { id: WireId(id), .. }) => (*id, *id),
            Line::Association(AssocLine { id1: WireId(id1), id2: WireId(id2), .. }) => {
                (*id1.min(id2), *id1.max(id2))
            }
            Line::Next(_) | Line::End(_) => continue,
        };
        while under_way.len() >= UNDER_WAY_MAX || busy.contains(&about) {
            let Some(done) = under_way.next().await else { break };
            note(&mut told, &mut busy, done);
        }
        busy.insert(about);
        let api = &api;
        under_way.push(async move { (number, about, one(api, wanted, until).await) });
    }
    while let Some(done) = under_way.next().await {
        note(&mut told, &mut busy, done);
    }
    told.problems.sort_by_key(|problem| problem.line);
    Ok(Json(told))
}

/// What became of a line.
enum Became {
    Object,
    Present,
    Added,
    Overwritten,
}

/// Why a line was not done, and whether it may be done another time.
type Rejected = (Problem, bool);

fn note(
    told: &mut Imported,
    busy: &mut HashSet<(Id, Id)>,
    (line, about, done): (u64, (Id, Id), Result<Became, Rejected>),
) {
    busy.remove(&about);
    match done {
        Ok(Became::Object) => told.objects += 1,
        Ok(Became::Present) => told.present += 1,
        Ok(Became::Added) => told.associations += 1,
        Ok(Became::Overwritten) => told.overwritten += 1,
        Err((wrong, again)) => reject(told, line, wrong, again),
    }
}

fn reject(told: &mut Imported, line: u64, wrong: Problem, again: bool) {
    told.rejected += 1;
    if told.problems.len() < PROBLEMS_MAX {
        let (code, message) = (wrong.code.to_owned(), wrong.message);
        told.problems.push(LineProblem { line, code, message, again });
    }
}

async fn one(api: &Api, line: Line, until: Deadline) -> Result<Became, Rejected> {
    let (write, id) = match line {
        Line::Object(line) => (object(api, &line).map_err(wrong)?, Some(line.id.0)),
        Line::Association(line) => (assoc(api, &line).map_err(wrong)?, None),
        // The caller passes over these.
        Line::Next(_) | Line::End(_) => return Ok(Became::Present),
    };
    // Nobody reads with it.
    let mut ticket = Ticket::default();
    match (api.service.write(write, None, &mut ticket, until).await, id) {
        (Err(Refusal::Used(_)), Some(id)) => present(api, id, until).await,
        (Err(refusal), _) => Err(refused(refusal)),
        (Ok(set), _) => Ok(match set.done {
            Done::AssocAdded(true) => Became::Added,
            Done::AssocAdded(false) => Became::Overwritten,
            _ => Became::Object,
        }),
    }
}

fn wrong(problem: Problem) -> Rejected {
    (problem, false)
}

fn refused(refusal: Refusal) -> Rejected {
    let again = may_come_back(&refusal);
    (problem(refusal), again)
}

/// The id was used before: by this object, or by one that was deleted since, which an import does not bring back.
async fn present(api: &Api, id: Id, until: Deadline) -> Result<Became, Rejected> {
    let view = View { ticket: None, critical: true, deadline: until };
    let state = api.service.follower().object(id, &view).await.map_err(refused)?.value;
    match state.object {
        Some(_) => Ok(Became::Present),
        None => Err(refused(Refusal::Used(id))),
    }
}

fn object(api: &Api, line: &ObjectLine) -> Result<Write, Problem> {
    let schema = api.service.schema();
    let kind = object_type(&schema, &line.otype)?;
    let data = encoded(&kind.fields, &line.fields)?;
    Ok(Write::ObjectAdd { otype: kind.otype, data, home: Home::Exactly(line.id.0) })
}

fn assoc(api: &Api, line: &AssocLine) -> Result<Write, Problem> {
    let schema = api.service.schema();
    let kind = assoc_type(&schema, &line.atype)?;
    let data = encoded(&kind.fields, &line.fields)?;
    let (id1, id2) = (line.id1.0, line.id2.0);
    Ok(Write::AssocAdd { id1, atype: kind.atype, id2, time: Time(line.time), data })
}

/// The lines of a body as they arrive, blank ones left out.
struct Lines {
    body: Body,
    left: BytesMut,
    has_ended: bool,
    /// Lines read, blank ones included.
    read: u64,
    line_max: usize,
}

impl Lines {
    /// Loses nothing when it is dropped half-way.
    async fn next(&mut self) -> Result<Option<(u64, Bytes)>, Problem> {
        loop {
            let line = match self.left.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    let line = self.left.split_to(end).freeze();
                    self.left.advance(1);
                    line
                }
                None if self.has_ended && self.left.is_empty() => return Ok(None),
                None if self.has_ended => self.left.split().freeze(),
                None => {
                    self.check(self.left.len())?;
                    self.more().await?;
                    continue;
                }
            };
            self.check(line.len())?;
            self.read += 1;
            if !line.trim_ascii().is_empty() {
                return Ok(Some((self.read, line)));
            }
        }
    }

    fn check(&self, len: usize) -> Result<(), Problem> {
        if len <= self.line_max {
            return Ok(());
        }
        let message = format!("line {} has more than {} bytes", self.read + 1, self.line_max);
        Err(bad_request("line_too_long", message))
    }

    async fn more(&mut self) -> Result<(), Problem> {
        let frame = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await;
        match frame {
            None => self.has_ended = true,
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.left.extend_from_slice(&data);
                }
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "an import broke off");
                let message =
                    "the body broke off before its end; what came before was done, send all of it again";
                return Err(bad_request("incomplete_body", message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn lines(pieces: &[&'static [u8]], line_max: usize) -> Result<Vec<(u64, Bytes)>, &'static str> {
        let body = Body::from_stream(stream::iter(
            pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece))).collect::<Vec<_>>(),
        ));
        let mut lines = Lines { body, left: BytesMut::new(), has_ended: false, read: 0, line_max };
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.map_err(|p| p.code)? {
            all.push(line);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn lines_are_found_however_they_arrive() {
        let wanted = vec![(1, Bytes::from_static(b"ab")), (4, Bytes::from_static(b"c\r"))];
        assert_eq!(lines(&[b"ab\n\n  \nc\r\n"], 10).await, Ok(wanted.clone()));
        assert_eq!(lines(&[b"a", b"b", b"\n\n", b"  \nc", b"\r"], 10).await, Ok(wanted));
        assert_eq!(lines(&[], 10).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn no_line_may_be_longer_than_allowed() {
        assert!(lines(&[b"1234567890\n1234567890"], 10).await.is_ok());
        assert_eq!(lines(&[b"12345678901\n"], 10).await, Err("line_too_long"));
        assert_eq!(lines(&[b"1\n", b"123456", b"78901"], 10).await, Err("line_too_long"));
    }
}
