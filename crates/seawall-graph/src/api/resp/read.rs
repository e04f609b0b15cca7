//! Reads: what is asked, from memory at once or by waiting.

use seawall_net::resp::{Command, Reply};
use seawall_policy::deadline::Deadline;

use super::errors::{SYNTAX, refuse};
use super::parse::{Words, Wrong, shown};
use super::table::Verb;
use super::{Graph, encode};
use crate::call::{AssocType, Key, Refusal, Time};
use crate::follower::View;
use crate::id::Id;
use crate::limits::{MANY_MAX, POINTS_MAX};
use crate::schema::{AssocKind, Schema};
use crate::service::Place;
use crate::ticket::Ticket;

/// A read, understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    pub(super) what: What,
    /// The source itself has to be asked.
    pub(super) is_critical: bool,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Object(Id),
    Objects(Vec<Id>),
    Count { id1: Id, atype: AssocType },
    Range { id1: Id, atype: AssocType, pos: u32, limit: u32, with_data: bool },
    TimeRange { id1: Id, atype: AssocType, high: Time, low: Time, limit: u32, with_data: bool },
    Points { id1: Id, atype: AssocType, id2s: Ends, high: Time, low: Time },
    Version(Place, Key),
}

/// The ends a point read names: nearly always one, and that takes no allocation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ends {
    One([Id; 1]),
    Many(Vec<Id>),
}

impl Ends {
    fn all(&self) -> &[Id] {
        match self {
            Ends::One(one) => one,
            Ends::Many(many) => many,
        }
    }
}

impl Read {
    /// `OBJ.GET id`.
    #[inline]
    pub(super) fn object(command: &Command<'_>) -> Result<Read, Wrong> {
        let id = Words::of(command).id()?;
        Ok(Read { what: What::Object(id), is_critical: false })
    }

    /// Any of those for which [`Verb::is_read`] holds.
    pub(super) fn parse(verb: Verb, command: &Command<'_>, schema: &Schema) -> Result<Read, Wrong> {
        let mut words = Words::of(command);
        let what = match verb {
            Verb::ObjGet => What::Object(words.id()?),
            Verb::ObjMGet => {
                if words.left() > MANY_MAX {
                    return Err(format!("ERR more than {MANY_MAX} ids"));
                }
                let mut ids = Vec::with_capacity(words.left());
                while words.left() > 0 {
                    ids.push(words.id()?);
                }
                What::Objects(ids)
            }
            Verb::AssocCount => {
                let (id1, kind) = (words.id()?, words.assoc(schema)?);
                What::Count { id1, atype: kind.atype }
            }
            Verb::AssocRange => {
                let (id1, kind, pos) = (words.id()?, words.assoc(schema)?, words.small()?);
                let limit = limit(&mut words, kind)?;
                What::Range { id1, atype: kind.atype, pos, limit, with_data: words.skip("withdata") }
            }
            Verb::AssocTimeRange => {
                let (id1, kind) = (words.id()?, words.assoc(schema)?);
                let (high, low) = (words.time()?, words.time()?);
                let limit = limit(&mut words, kind)?;
                let with_data = words.skip("withdata");
                What::TimeRange { id1, atype: kind.atype, high, low, limit, with_data }
            }
            Verb::AssocGet => return Read::points(words, schema),
            Verb::GraphVersion => version(&mut words, schema)?,
            _ => return Err(SYNTAX.to_owned()),
        };
        // A multi-get ends with its ids.
        let is_critical = words.skip("critical");
        words.end()?;
        Ok(Read { what, is_critical })
    }

    fn points(mut words: Words<'_>, schema: &Schema) -> Result<Read, Wrong> {
        let (id1, kind) = (words.id()?, words.assoc(schema)?);
        let first = words.id()?;
        let id2s = if words.is_number() {
            let mut id2s = vec![first];
            while words.is_number() {
                id2s.push(words.id()?);
                if id2s.len() > POINTS_MAX {
                    return Err(format!("ERR more than {POINTS_MAX} ids"));
                }
            }
            Ends::Many(id2s)
        } else {
            Ends::One([first])
        };
        let (mut high, mut low, mut is_critical) = (Time(u32::MAX), Time(0), false);
        while words.left() > 0 {
            match () {
                () if words.skip("high") => high = words.time()?,
                () if words.skip("low") => low = words.time()?,
                () if words.skip("critical") => is_critical = true,
                () => return Err(SYNTAX.to_owned()),
            }
        }
        Ok(Read { what: What::Points { id1, atype: kind.atype, id2s, high, low }, is_critical })
    }
}

/// How many associations at most; above the type's cap is an error rather than a surprise.
fn limit(words: &mut Words<'_>, kind: &AssocKind) -> Result<u32, Wrong> {
    let limit = words.small()?;
    if limit > kind.range_max {
        return Err(format!("ERR a range of '{}' gives {} associations at most", kind.name, kind.range_max));
    }
    Ok(limit)
}

fn version(words: &mut Words<'_>, schema: &Schema) -> Result<What, Wrong> {
    let place = match () {
        () if words.skip("follower") => Place::Follower,
        () if words.skip("leader") => Place::Leader,
        () if words.skip("source") => Place::Source,
        () => return Err(format!("ERR no place '{}'; use FOLLOWER, LEADER or SOURCE", shown(words.word()?))),
    };
    let key = match () {
        () if words.skip("obj") => Key::Object(words.id()?),
        () if words.skip("list") => Key::List(words.id()?, words.assoc(schema)?.atype),
        () => return Err(SYNTAX.to_owned()),
    };
    Ok(What::Version(place, key))
}

impl Graph {
    fn view<'t>(read: &Read, ticket: &'t Ticket, deadline: Deadline) -> View<'t> {
        View { ticket: (!ticket.is_empty()).then_some(ticket), critical: read.is_critical, deadline }
    }

    /// Answers from memory; false where it cannot, and then nothing was written.
    #[inline]
    pub(super) fn answer_now(
        &self,
        read: &Read,
        schema: &Schema,
        ticket: &Ticket,
        deadline: Deadline,
        reply: &mut Reply<'_>,
    ) -> bool {
        if read.is_critical {
            return false;
        }
        let follower = self.service.follower();
        let view = Graph::view(read, ticket, deadline);
        let found = match &read.what {
            What::Object(id) => {
                follower.object_now(*id, &view).map(|state| encode::object(&state, schema, reply))
            }
            What::Objects(ids) => {
                let begin = reply.len();
                reply.array(ids.len());
                let each = |id: &Id| {
                    follower.object_now(*id, &view).map(|state| encode::object(&state, schema, reply))
                };
                let all: Option<()> = ids.iter().map(each).collect();
                if all.is_none() {
                    reply.cut_back(begin);
                }
                all
            }
            What::Count { id1, atype } => {
                follower.count_now(*id1, *atype, &view).map(|count| encode::count(count, reply))
            }
            What::Range { id1, atype, pos, limit, with_data } => follower
                .range_now(*id1, *atype, *pos, *limit, &view)
                .map(|part| encode::part(&part, *atype, *with_data, schema, reply)),
            What::TimeRange { id1, atype, high, low, limit, with_data } => follower
                .time_range_now(*id1, *atype, *high, *low, *limit, &view)
                .map(|part| encode::part(&part, *atype, *with_data, schema, reply)),
            What::Points { id1, atype, id2s, high, low } => follower
                .points_now(*id1, *atype, id2s.all(), *high, *low, &view)
                .map(|part| encode::part(&part, *atype, true, schema, reply)),
            What::Version(..) => None,
        };
        found.is_some()
    }

    /// Answers, however long it takes.
    pub(super) async fn read(&self, read: &Read, ticket: &Ticket, deadline: Deadline, reply: &mut Reply<'_>) {
        if let Err(refusal) = self.try_read(read, ticket, deadline, reply).await {
            refuse(&refusal, reply);
        }
    }

    async fn try_read(
        &self,
        read: &Read,
        ticket: &Ticket,
        deadline: Deadline,
        reply: &mut Reply<'_>,
    ) -> Result<(), Refusal> {
        let follower = self.service.follower();
        let view = Graph::view(read, ticket, deadline);
        // The schema is asked for behind the data, which may be younger than the one the command was read with.
        let schema = || self.service.schema();
        match &read.what {
            What::Object(id) => {
                let state = follower.object(*id, &view).await?.value;
                encode::object(&state, &schema(), reply);
            }
            What::Objects(ids) => {
                let states = follower.objects(ids, &view).await?.value;
                let schema = schema();
                reply.array(states.len());
                states.iter().for_each(|state| encode::object(state, &schema, reply));
            }
            What::Count { id1, atype } => {
                encode::count(follower.count(*id1, *atype, &view).await?.value, reply);
            }
            What::Range { id1, atype, pos, limit, with_data } => {
                let part = follower.range(*id1, *atype, *pos, *limit, &view).await?.value;
                encode::part(&part, *atype, *with_data, &schema(), reply);
            }
            What::TimeRange { id1, atype, high, low, limit, with_data } => {
                let part = follower.time_range(*id1, *atype, *high, *low, *limit, &view).await?.value;
                encode::part(&part, *atype, *with_data, &schema(), reply);
            }
            What::Points { id1, atype, id2s, high, low } => {
                let part = follower.points(*id1, *atype, id2s.all(), *high, *low, &view).await?.value;
                encode::part(&part, *atype, true, &schema(), reply);
            }
            What::Version(place, key) => match self.service.version(*place, *key, deadline).await? {
                Some(version) => encode::count(version.0, reply),
                None => reply.null(),
            },
        }
        Ok(())
    }
}
