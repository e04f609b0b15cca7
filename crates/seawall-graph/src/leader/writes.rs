//! Writes: planned, and done by one batch, or by several where two databases are concerned.

use std::sync::Arc;

use seawall_policy::deadline::Deadline;
use seawall_policy::{Mono, Outcome};
use tokio::sync::{MutexGuard, oneshot};

use super::{Leader, Term};
use crate::call::{AssocType, Command, Data, Home, Idempotency, Key, ObjectType, Refusal, Version, Write};
use crate::degrade::{Pass, Way};
use crate::id::{Id, LogicalShard};
use crate::limits::UPDATE_TRIES_MAX;
use crate::message::{Changeset, Fill, ObjectState, State};
use crate::metrics::Writes;
use crate::schema::{check_complete, check_size, merge};
use crate::storage::{Failed, Planned, Trouble, birthplace};

/// Ids drawn for one new object. One in 2^47 is in use already by each object of its shard; two in a row mean that
/// something is wrong.
const DRAWS_MAX: u32 = 4;
/// Writes between two databases under way at a time: as many as the store's queue takes. One more is told that there is
/// too much to do.
pub(super) const APART_MAX: usize = 4096;
/// When a write to a database that takes none may be worth another try.
const WRITE_RETRY_MS: u64 = 1000;

/// Some fields of an object that are to change.
struct Update {
    id: Id,
    set: Data,
    unset: Vec<u8>,
    if_version: Option<Version>,
}

impl Leader {
    pub(super) async fn write(
        self: &Arc<Leader>,
        command: Command,
        deadline: Deadline,
    ) -> Result<Changeset, Refusal> {
        let answer = self.decide(command, deadline).await;
        self.metrics.write(Writes::of(&answer));
        answer
    }

    async fn decide(self: &Arc<Leader>, command: Command, deadline: Deadline) -> Result<Changeset, Refusal> {
        let term = self.term()?;
        let Command { write, key } = command;
        let planned = match write {
            Write::ObjectAdd { otype, data, home } => {
                return self.add(&term, otype, &data, home, key, deadline).await;
            }
            Write::ObjectUpdate { id, set, unset, if_version } => {
                let update = Update { id, set, unset, if_version };
                return self.update(&term, &update, key, deadline).await;
            }
            Write::ObjectDelete { id } => Planned::ObjectDelete { id },
            Write::AssocAdd { id1, atype, id2, time, data } => {
                Planned::AssocAdd { id1, atype, id2, time, data, inverse: self.inverse(atype)? }
            }
            Write::AssocDelete { id1, atype, id2 } => {
                Planned::AssocDelete { id1, atype, id2, inverse: self.inverse(atype)? }
            }
            Write::AssocChangeType { id1, from, id2, to } => Planned::AssocChangeType {
                id1,
                from,
                id2,
                to,
                inverse_from: self.inverse(from)?,
                inverse_to: self.inverse(to)?,
            },
        };
        match self.storage.pair(&planned) {
            None => self.commit(&term, &planned, key, deadline).await,
            Some(_) => self.commit_apart(term, planned, key, deadline).await,
        }
    }

    /// In a task of its own: of a write that takes several steps none is left out because whoever asked has left.
    async fn commit_apart(
        self: &Arc<Leader>,
        term: Arc<Term>,
        planned: Planned,
        key: Option<Idempotency>,
        deadline: Deadline,
    ) -> Result<Changeset, Refusal> {
        let place = self.apart.clone().try_acquire_owned().map_err(|_| Refusal::Busy)?;
        let (reply, answer) = oneshot::channel();
        let leader = self.clone();
        self.tasks.connection("graph-write", async move {
            let done = leader.commit(&term, &planned, key, deadline).await;
            drop(place);
            // Whoever asked may have left.
            drop(reply.send(done));
        });
        // It panicked: nobody knows how far it got.
        answer.await.unwrap_or(Err(Refusal::Unknown))
    }

    fn inverse(&self, atype: AssocType) -> Result<Option<AssocType>, Refusal> {
        let known = self.schema.load();
        match known.schema.assoc_kind(atype) {
            Some(_) => Ok(known.schema.inverse(atype)),
            None => Err(Refusal::Invalid(format!("the schema has no association type {}", atype.0))),
        }
    }

    async fn add(
        &self,
        term: &Term,
        otype: ObjectType,
        data: &Data,
        home: Home,
        key: Option<Idempotency>,
        deadline: Deadline,
    ) -> Result<Changeset, Refusal> {
        let shard = match (home, key) {
            (Home::Exactly(id), _) => {
                let planned = Planned::ObjectAdd { id, otype, data: data.clone() };
                return self.commit(term, &planned, key, deadline).await;
            }
            (Home::Near(id), _) => id.shard(),
            // Whoever asks again must come to the same database, or there would be two objects.
            (Home::Anywhere, Some(key)) => birthplace(&key),
            (Home::Anywhere, None) => self.somewhere(term),
        };
        let mut answer = Err(Refusal::Busy);
        for _ in 0..DRAWS_MAX {
            let id = Id::draw(shard, &mut term.rng());
            answer =
                self.commit(term, &Planned::ObjectAdd { id, otype, data: data.clone() }, key, deadline).await;
            if !matches!(answer, Err(Refusal::Used(_))) {
                break;
            }
        }
        answer
    }

    /// Any logical shard, preferably of a database that takes writes.
    fn somewhere(&self, term: &Term) -> LogicalShard {
        let draw = || LogicalShard(term.rng().next_u64() as u16);
        let takes_writes = |shard: &LogicalShard| {
            let database = self.storage.shard_of(Id::new(*shard, 1));
            self.ladders.may_write(database, self.clock.now()).is_ok()
        };
        (1..DRAWS_MAX).map(|_| draw()).find(takes_writes).unwrap_or_else(draw)
    }

    async fn update(
        &self,
        term: &Term,
        update: &Update,
        key: Option<Idempotency>,
        deadline: Deadline,
    ) -> Result<Changeset, Refusal> {
        let id = update.id;
        let _alone = self.locks.take(&id, &*self.clock, deadline).await?;
        // Memory first; after it was wrong, or says what would be a refusal, the store itself.
        let mut is_sure = false;
        for _ in 0..UPDATE_TRIES_MAX {
            let state = self.current(id, is_sure, deadline).await?;
            let planned = match self.replaced(update, &state)? {
                Some(planned) => planned,
                None if !is_sure => {
                    is_sure = true;
                    continue;
                }
                None if key.is_some() => hopeless(update, &state),
                None if state.object.is_none() => return Err(Refusal::NoObject(id)),
                None => return Err(Refusal::Changed { id, current: state.version }),
            };
            match self.commit(term, &planned, key, deadline).await {
                Err(Refusal::Changed { .. }) if update.if_version.is_none() => is_sure = true,
                Err(Refusal::NoObject(_) | Refusal::OtherType(_)) if !is_sure => is_sure = true,
                answer => return answer,
            }
        }
        Err(Refusal::Busy)
    }

    /// The object as it is, from memory or surely from the store.
    async fn current(&self, id: Id, is_sure: bool, deadline: Deadline) -> Result<ObjectState, Refusal> {
        let fill = Fill { key: Key::Object(id), edges: 0, at_least: Version(0), critical: is_sure };
        let filled = self.fill(fill, deadline).await?;
        match filled.state {
            State::Object(_) if filled.is_stale => {
                let shard = self.storage.shard_of(id);
                Err(Refusal::ReadOnly { shard, retry_ms: WRITE_RETRY_MS })
            }
            State::Object(state) => Ok(state),
            State::List(_) => {
                Err(Refusal::Broken("an object was asked for and a list was answered".to_owned()))
            }
        }
    }

    /// The whole new object; nothing if there is none, or not of the version that is asked for.
    fn replaced(&self, update: &Update, state: &ObjectState) -> Result<Option<Planned>, Refusal> {
        let Some((otype, old)) = &state.object else { return Ok(None) };
        if update.if_version.is_some_and(|wanted| wanted != state.version) {
            return Ok(None);
        }
        let data = merge(old, &update.set, &update.unset);
        let known = self.schema.load();
        let Some(kind) = known.schema.object_kind(*otype) else {
            return Err(Refusal::Invalid(format!("the schema has no object type {}", otype.0)));
        };
        check_complete(&kind.fields, &data).map_err(Refusal::Invalid)?;
        check_size(kind.data_max, &data).map_err(Refusal::Invalid)?;
        let if_version = Some(state.version);
        Ok(Some(Planned::ObjectReplace { id: update.id, otype: *otype, data, if_version }))
    }

    /// Does what is planned, puts what came of it into memory, and only then answers.
    pub(super) async fn commit(
        &self,
        term: &Term,
        planned: &Planned,
        key: Option<Idempotency>,
        deadline: Deadline,
    ) -> Result<Changeset, Refusal> {
        let _alone = self.alone(planned, deadline).await?;
        let now = self.clock.now();
        let (first, second) = self.storage.shards_of(planned);
        let passes = self.admit(first, second, now)?;
        let written = self.storage.write(&term.epochs, planned, key, deadline).await;
        let then = self.clock.now();
        self.metrics.store_write_seconds.observe(then.since(now).as_secs_f64());
        report(passes, written.as_ref().err());
        let set = written.map_err(|failed| self.refused(term, planned, failed))?;
        self.remember(&set);
        Ok(set)
    }

    /// The lock of the pair, where the write takes several steps.
    async fn alone(
        &self,
        planned: &Planned,
        deadline: Deadline,
    ) -> Result<Option<MutexGuard<'_, ()>>, Refusal> {
        match self.storage.pair(planned) {
            Some(pair) => self.locks.take(&pair, &*self.clock, deadline).await.map(Some),
            None => Ok(None),
        }
    }

    /// Leave to write to one database, or to both.
    pub(super) fn admit(
        &self,
        first: u32,
        second: Option<u32>,
        now: Mono,
    ) -> Result<Vec<(u32, Pass<'_>)>, Refusal> {
        let mut passes = Vec::with_capacity(2);
        let both = || std::iter::once(first).chain(second);
        for shard in both() {
            self.ladders.may_write(shard, now)?;
        }
        for shard in both() {
            passes.push((shard, self.ladders.admit(shard, Way::Write, now)?));
        }
        Ok(passes)
    }

    /// Puts what was written into memory.
    pub(super) fn remember(&self, set: &Changeset) {
        for changed in &set.changes {
            self.cache.apply(&changed.change);
        }
    }

    /// What a write that was not done means for who asked for it. Being fenced ends the term.
    pub(super) fn refused(&self, term: &Term, planned: &Planned, failed: Failed) -> Refusal {
        let Failed { shard, trouble } = failed;
        let id = planned.id();
        match trouble {
            Trouble::NoObject => Refusal::NoObject(id),
            Trouble::OtherType => Refusal::OtherType(id),
            Trouble::Changed { current } => Refusal::Changed { id, current },
            Trouble::Used => Refusal::Used(id),
            Trouble::KeyReused => Refusal::KeyReused,
            Trouble::Fenced => {
                tracing::warn!(shard, "another process leads now: a write was fenced");
                self.end(term);
                Refusal::Standby
            }
            trouble => unwritten(shard, trouble),
        }
    }
}

/// A replacement that can never happen, because no object has this version: it asks the store whether it knows the
/// key, and answers with what was answered then.
fn hopeless(update: &Update, state: &ObjectState) -> Planned {
    let otype = state.object.as_ref().map_or(ObjectType(0), |(otype, _)| *otype);
    let if_version = Some(update.if_version.filter(|_| state.object.is_some()).unwrap_or_default());
    Planned::ObjectReplace { id: update.id, otype, data: Data::default(), if_version }
}

/// What a database that did not write means for who asked.
pub(super) fn unwritten(shard: u32, trouble: Trouble) -> Refusal {
    match trouble {
        Trouble::Busy => Refusal::Busy,
        Trouble::ReadOnly => Refusal::ReadOnly { shard, retry_ms: WRITE_RETRY_MS },
        Trouble::Unknown => Refusal::Unknown,
        Trouble::Late => Refusal::Late,
        trouble => Refusal::Broken(trouble.to_string()),
    }
}

/// Tells the breakers how a write went: the database that failed, and those that did their part.
pub(super) fn report(passes: Vec<(u32, Pass<'_>)>, failed: Option<&Failed>) {
    for (shard, pass) in passes {
        pass.report(match failed {
            None => Outcome::Success,
            Some(failed) if failed.shard == shard => outcome(&failed.trouble),
            Some(_) => Outcome::Abandoned,
        });
    }
}

/// How a write counts that was not done.
fn outcome(trouble: &Trouble) -> Outcome {
    match trouble {
        Trouble::NoObject
        | Trouble::OtherType
        | Trouble::Changed { .. }
        | Trouble::Used
        | Trouble::KeyReused => Outcome::Success,
        // It is well, and somebody else's.
        Trouble::Fenced => Outcome::Abandoned,
        // A caller with no time to spare must not open the breaker for everyone.
        Trouble::Late => Outcome::Abandoned,
        Trouble::Busy => Outcome::Overloaded,
        Trouble::ReadOnly | Trouble::Unknown | Trouble::Broken(_) => Outcome::Failed,
    }
}
