//! Writes: one after the other, each noted in the connection's ticket.

use seawall_net::resp::{Command, Reply};
use seawall_policy::Wall;
use seawall_policy::deadline::Deadline;

use super::Graph;
use super::encode;
use super::errors::{SYNTAX, refuse};
use super::parse::{Words, Wrong, shown};
use super::table::Verb;
use crate::call::{Done, Home, ObjectType, Refusal, Time, Version, Write};
use crate::follower::View;
use crate::id::Id;
use crate::schema::{Schema, encode_text, unset};
use crate::service::Service;
use crate::ticket::Ticket;

/// A write, understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    what: What,
    /// The client's idempotency key.
    key: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    /// Nothing more has to be known.
    Known(Write),
    /// Some fields of an object, to be read as its type says.
    Update { id: Id, set: Vec<(Vec<u8>, Vec<u8>)>, unset: Vec<Vec<u8>>, if_version: Option<Version> },
}

impl Change {
    /// Any command that changes something.
    pub(super) fn parse(
        verb: Verb,
        command: &Command<'_>,
        schema: &Schema,
        wall: Wall,
    ) -> Result<Change, Wrong> {
        let mut words = Words::of(command);
        match verb {
            Verb::ObjAdd => object_add(&mut words, schema),
            Verb::ObjUpdate => object_update(&mut words),
            Verb::ObjDelete => {
                let id = words.id()?;
                known(Write::ObjectDelete { id }, &mut words)
            }
            Verb::AssocAdd => assoc_add(&mut words, schema, wall),
            Verb::AssocDelete => {
                let (id1, kind, id2) = (words.id()?, words.assoc(schema)?, words.id()?);
                known(Write::AssocDelete { id1, atype: kind.atype, id2 }, &mut words)
            }
            Verb::AssocChangeType => {
                let (id1, from, id2) = (words.id()?, words.assoc(schema)?, words.id()?);
                let to = words.assoc(schema)?.atype;
                known(Write::AssocChangeType { id1, from: from.atype, id2, to }, &mut words)
            }
            _ => Err(SYNTAX.to_owned()),
        }
    }
}

/// With no more options than a key.
fn known(write: Write, words: &mut Words<'_>) -> Result<Change, Wrong> {
    let key = if words.skip("key") { Some(words.word()?.to_vec()) } else { None };
    words.end()?;
    Ok(Change { what: What::Known(write), key })
}

fn object_add(words: &mut Words<'_>, schema: &Schema) -> Result<Change, Wrong> {
    let name = words.word()?;
    let kind = std::str::from_utf8(name).ok().and_then(|name| schema.object(name));
    let kind = kind.ok_or_else(|| format!("ERR unknown object type '{}'", shown(name)))?;
    let (mut home, mut key, mut pairs) = (Home::Anywhere, None, Vec::new());
    while words.left() > 0 {
        match () {
            () if home == Home::Anywhere && words.skip("near") => home = Home::Near(words.id()?),
            () if home == Home::Anywhere && words.skip("id") => home = Home::Exactly(words.id()?),
            () if words.skip("key") => key = Some(words.word()?.to_vec()),
            () if words.skip("fields") => pairs = words.pairs()?,
            () => return Err(SYNTAX.to_owned()),
        }
    }
    let data = encode_text(&kind.fields, &pairs).map_err(|e| format!("ERR {e}"))?;
    Ok(Change { what: What::Known(Write::ObjectAdd { otype: kind.otype, data, home }), key })
}

fn object_update(words: &mut Words<'_>) -> Result<Change, Wrong> {
    let id = words.id()?;
    let (mut if_version, mut key) = (None, None);
    let (mut gone, mut pairs) = (Vec::new(), Vec::new());
    while words.left() > 0 {
        match () {
            () if words.skip("ifversion") => {
                if_version = Some(Version(words.number(1, i64::MAX)?.unsigned_abs()));
            }
            () if words.skip("key") => key = Some(words.word()?.to_vec()),
            () if words.skip("unset") => {
                let count = words.small()? as usize;
                if count == 0 || count > words.left() {
                    return Err(SYNTAX.to_owned());
                }
                gone = Vec::with_capacity(count);
                for _ in 0..count {
                    gone.push(words.word()?.to_vec());
                }
            }
            () if words.skip("fields") => pairs = words.pairs()?,
            () => return Err(SYNTAX.to_owned()),
        }
    }
    if pairs.is_empty() && gone.is_empty() {
        return Err(SYNTAX.to_owned());
    }
    let set = pairs.into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    Ok(Change { what: What::Update { id, set, unset: gone, if_version }, key })
}

fn assoc_add(words: &mut Words<'_>, schema: &Schema, wall: Wall) -> Result<Change, Wrong> {
    let (id1, kind, id2) = (words.id()?, words.assoc(schema)?, words.id()?);
    let (mut time, mut key, mut pairs) = (None, None, Vec::new());
    while words.left() > 0 {
        match () {
            () if words.skip("time") => time = Some(words.time()?),
            () if words.skip("key") => key = Some(words.word()?.to_vec()),
            () if words.skip("fields") => pairs = words.pairs()?,
            () => return Err(SYNTAX.to_owned()),
        }
    }
    let data = encode_text(&kind.fields, &pairs).map_err(|e| format!("ERR {e}"))?;
    // Seconds, until 2106. A repeat with the same key comes later: that is why the key's fingerprint leaves the time out.
    let time = time.unwrap_or(Time(u32::try_from(wall.0 / 1000).unwrap_or_default()));
    let write = Write::AssocAdd { id1, atype: kind.atype, id2, time, data };
    Ok(Change { what: What::Known(write), key })
}

impl Graph {
    /// Does it, and answers what came of it.
    pub(super) async fn change(
        &self,
        change: Change,
        ticket: &mut Ticket,
        deadline: Deadline,
        reply: &mut Reply<'_>,
    ) {
        match self.try_change(change, ticket, deadline).await {
            Ok(Done::ObjectAdded(id)) => reply.int(id.to_sql()),
            Ok(Done::ObjectUpdated(version)) => encode::count(version.0, reply),
            Ok(
                Done::ObjectDeleted(is_so)
                | Done::AssocAdded(is_so)
                | Done::AssocDeleted(is_so)
                | Done::AssocChanged(is_so),
            ) => reply.int(i64::from(is_so)),
            Err(refusal) => refuse(&refusal, reply),
        }
    }

    async fn try_change(
        &self,
        change: Change,
        ticket: &mut Ticket,
        deadline: Deadline,
    ) -> Result<Done, Refusal> {
        let Change { what, key } = change;
        let write = match what {
            What::Known(write) => write,
            What::Update { id, set, unset, if_version } => {
                self.update(id, &set, &unset, if_version, ticket, deadline).await?
            }
        };
        let key = key.map(|key| Service::idempotency(&key, &write)).transpose()?;
        Ok(self.service.write(write, key, ticket, deadline).await?.done)
    }

    /// An update with its fields read as the object's type says.
    async fn update(
        &self,
        id: Id,
        set: &[(Vec<u8>, Vec<u8>)],
        gone: &[Vec<u8>],
        if_version: Option<Version>,
        ticket: &Ticket,
        deadline: Deadline,
    ) -> Result<Write, Refusal> {
        let otype = self.type_of(id, ticket, deadline).await?;
        let schema = self.service.schema();
        let kind = schema.object_kind(otype).ok_or(Refusal::OtherType(id))?;
        let pairs: Vec<_> = set.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let set = encode_text(&kind.fields, &pairs).map_err(Refusal::Invalid)?;
        let gone = gone.iter().map(Vec::as_slice);
        let unset = unset(&kind.fields, gone, &set).map_err(Refusal::Invalid)?;
        Ok(Write::ObjectUpdate { id, set, unset, if_version })
    }

    /// An object never changes its type, so whoever knows one is right; that there is none only the source knows.
    async fn type_of(&self, id: Id, ticket: &Ticket, deadline: Deadline) -> Result<ObjectType, Refusal> {
        for critical in [false, true] {
            let view = View { ticket: (!ticket.is_empty()).then_some(ticket), critical, deadline };
            let state = self.service.follower().object(id, &view).await?.value;
            if let Some((otype, _)) = state.object {
                return Ok(otype);
            }
        }
        Err(Refusal::NoObject(id))
    }
}
