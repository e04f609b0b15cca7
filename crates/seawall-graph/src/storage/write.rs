//! Writes on one database: one batch each.

use seawall_policy::deadline::Deadline;
use seawall_store::{Epoch, Op, Position, Shard, Sql, Value};

use super::plan::{self, Slot, Work};
use super::rows::{any, id, one, version};
use super::trouble::{Committed, Failed, Stop};
use super::{Planned, Storage, Trouble, batch, news};
use crate::call::{Data, Done, Idempotency, Time, Version};
use crate::id::Id;
use crate::limits::UPDATE_TRIES_MAX;
use crate::message::{Change, Changed, Changeset, ObjectState};

pub(super) const OBJECT_ADD: Sql = Sql {
    name: "add an object",
    text: "INSERT INTO graph_objects (hk, id, otype, version, data) VALUES ($1, $2, $3, 1, $4)
           RETURNING version, id",
};
pub(super) const OBJECT_REPLACE: Sql = Sql {
    name: "replace an object's data",
    text: "UPDATE graph_objects SET version = version + 1, data = $4
           WHERE hk = $1 AND id = $2 AND otype = $3 AND version = COALESCE($5, version) AND data IS NOT NULL
           RETURNING version, id",
};
pub(super) const OBJECT_DELETE: Sql = Sql {
    name: "delete an object",
    text: "UPDATE graph_objects SET version = version + 1, data = NULL
           WHERE hk = $1 AND id = $2 AND data IS NOT NULL RETURNING version, id",
};

impl Storage {
    /// Does it, in the name of who leads (`epochs`, one for each database). Across databases: a durable intent, one
    /// side, then the other side and the end of the intent. Where its fate is unknown it is written again with its
    /// key, time permitting.
    ///
    /// # Errors
    /// See [`Failed`]. After all but [`Trouble::Unknown`] nothing was done.
    pub async fn write(
        &self,
        epochs: &[Epoch],
        planned: &Planned,
        key: Option<Idempotency>,
        deadline: Deadline,
    ) -> Result<Changeset, Failed> {
        if let Planned::AssocChangeType { id1, from, id2, to, .. } = *planned {
            let slot = Slot { id1, atype: from, id2 };
            if from == to {
                let found = self.edge(slot).await.map_err(Failed::on(self.shard_of(id1)))?.is_some();
                return Ok(Changeset { done: Done::AssocChanged(found), changes: Vec::new(), again: false });
            }
            return self.change_type(epochs, planned, slot, key, deadline).await;
        }
        let none = (Time(0), Data::default());
        match (Work::of(planned, &none), self.pair(planned)) {
            (None, _) => self.write_object(epochs, planned, key, deadline).await,
            (Some(_), Some(pair)) => self.across(epochs, pair, planned, none, key, deadline).await,
            (Some(work), None) => {
                let done = self.write_edges(epochs, planned, &work, Vec::new(), key, deadline).await;
                done.map_err(Failed::on(self.shard_of(planned.id())))
            }
        }
    }

    /// The new type's edge is made of the old one's, so that is read first, and the batch holds only while it stays
    /// the same.
    async fn change_type(
        &self,
        epochs: &[Epoch],
        planned: &Planned,
        old: Slot,
        key: Option<Idempotency>,
        deadline: Deadline,
    ) -> Result<Changeset, Failed> {
        let pair = self.pair(planned);
        let own = self.shard_of(old.id1);
        for _ in 0..UPDATE_TRIES_MAX {
            if let Some(pair) = pair {
                // One that was left behind may be about the very edge that is read next.
                self.complete_pending(epochs, pair).await?;
            }
            let Some(found) = self.edge(old).await.map_err(Failed::on(own))? else {
                return self.nothing_to_change(epochs, planned, key, deadline).await;
            };
            if let Some(pair) = pair {
                return self.across(epochs, pair, planned, found, key, deadline).await;
            }
            let Some(work) = Work::of(planned, &found) else { break };
            match self.write_edges(epochs, planned, &work, vec![old.is(&found)], key, deadline).await {
                Err(Stop::Conflict) => {}
                other => return other.map_err(Failed::on(own)),
            }
        }
        Err(Failed { shard: own, trouble: Trouble::Busy })
    }

    /// There is no such edge. With a key that is an answer to remember; and if the key is known already, the answer
    /// from then is the one to give.
    async fn nothing_to_change(
        &self,
        epochs: &[Epoch],
        planned: &Planned,
        key: Option<Idempotency>,
        deadline: Deadline,
    ) -> Result<Changeset, Failed> {
        let nothing = |again| Changeset { done: Done::AssocChanged(false), changes: Vec::new(), again };
        let Some(key) = key else { return Ok(nothing(false)) };
        let pair = self.pair(planned);
        let home = pair.map_or(planned.id(), |pair| pair.low);
        let shard = self.of(home);
        let make = || batch(epochs, shard, home.hk(), Some(key), Vec::new(), Vec::new());
        let committed =
            self.commit(shard, deadline, false, make).await.0.map_err(Failed::on(shard.index()))?;
        if committed.rows.is_empty() {
            return Ok(nothing(committed.again));
        }
        // What the edge was is not known any more, and not needed: only versions are told of what was done before.
        let unknown = (Time(0), Data::default());
        if let Some(pair) = pair {
            let intent = self.intent(pair, planned, unknown, Some(key));
            return self.repeated(epochs, &intent).await;
        }
        let Some(work) = Work::of(planned, &unknown) else { return Ok(nothing(true)) };
        // The guard's place in the batch, without which the answers would be looked for one too early.
        let lists = work.draft(vec![any(&plan::EDGE_IS, Vec::new())], |_| true).lists;
        answer(planned, &[(shard.index(), lists, committed)]).map_err(Failed::on(shard.index()))
    }

    async fn write_edges(
        &self,
        epochs: &[Epoch],
        planned: &Planned,
        work: &Work,
        guards: Vec<Op>,
        key: Option<Idempotency>,
        deadline: Deadline,
    ) -> Result<Changeset, Stop> {
        let home = planned.id();
        let shard = self.of(home);
        let mut lists = Vec::new();
        let make = || {
            let draft = work.draft(guards.clone(), |_| true);
            lists = draft.lists;
            batch(epochs, shard, home.hk(), key, draft.ops, draft.tell)
        };
        let committed = self.commit(shard, deadline, false, make).await.0?;
        if committed.again && committed.rows.is_empty() {
            // Asked before, when there was no edge whose type could be changed.
            return Ok(Changeset { done: Done::AssocChanged(false), changes: Vec::new(), again: true });
        }
        answer(planned, &[(shard.index(), lists, committed)]).map_err(Stop::Trouble)
    }

    async fn write_object(
        &self,
        epochs: &[Epoch],
        planned: &Planned,
        key: Option<Idempotency>,
        deadline: Deadline,
    ) -> Result<Changeset, Failed> {
        let id = planned.id();
        let shard = self.of(id);
        // Repeated without a key these two meet their own work, and the row tells.
        let is_once = match planned {
            Planned::ObjectAdd { .. } => true,
            Planned::ObjectReplace { if_version, .. } => if_version.is_some(),
            _ => false,
        };
        let make = || {
            let (ops, tell) = (vec![object_op(planned)], vec![news::object(id, 0)]);
            batch(epochs, shard, id.hk(), key, ops, tell)
        };
        match self.commit(shard, deadline, is_once, make).await {
            (Ok(committed), _) => object_done(planned, shard, &committed),
            (Err(Stop::Conflict), repeated) => {
                let found = self.object(id).await.map_err(Failed::on(shard.index()))?;
                object_refused(planned, repeated && key.is_none(), shard, found)
            }
            (Err(Stop::Trouble(trouble)), _) => Err(trouble),
        }
        .map_err(Failed::on(shard.index()))
    }
}

/// What the client hears: its own edge's part from wherever that lies, and all that changed.
pub(super) fn answer(
    planned: &Planned,
    parts: &[(u32, Vec<plan::Listed>, Committed)],
) -> Result<Changeset, Trouble> {
    let mut set = Changeset { done: Done::AssocChanged(false), changes: Vec::new(), again: false };
    let mut is_answered = false;
    for (shard, lists, committed) in parts {
        set.changes.extend(plan::changes(lists, *shard, committed)?);
        set.again = committed.again;
        if let Some(done) = plan::done(planned, lists, committed)? {
            (set.done, is_answered) = (done, true);
        }
    }
    if is_answered {
        Ok(set)
    } else {
        Err(Trouble::Broken("no batch answers for the edge asked for".to_owned()))
    }
}

fn object_op(planned: &Planned) -> Op {
    let id = planned.id();
    let mut args: Vec<Value> = vec![id.hk().into(), id.into()];
    match planned {
        Planned::ObjectAdd { otype, data, .. } => {
            args.extend([(*otype).into(), data.into()]);
            one(&OBJECT_ADD, args)
        }
        Planned::ObjectReplace { otype, data, if_version, .. } => {
            args.extend([(*otype).into(), data.into(), (*if_version).into()]);
            one(&OBJECT_REPLACE, args)
        }
        _ => any(&OBJECT_DELETE, args),
    }
}

/// What the object is from now on, if it has this version.
fn state_after(planned: &Planned, version: Version) -> ObjectState {
    let object = match planned {
        Planned::ObjectAdd { otype, data, .. } | Planned::ObjectReplace { otype, data, .. } => {
            Some((*otype, data.clone()))
        }
        _ => None,
    };
    ObjectState { version, object }
}

fn object_done(planned: &Planned, shard: &Shard, committed: &Committed) -> Result<Changeset, Trouble> {
    let Some(row) = committed.rows.first().and_then(|rows| rows.first()) else {
        let nothing =
            Changeset { done: Done::ObjectDeleted(false), changes: Vec::new(), again: committed.again };
        return match planned {
            Planned::ObjectDelete { .. } => Ok(nothing),
            _ => Err(Trouble::Broken("the statement returned no row".to_owned())),
        };
    };
    // Of a repeated request the id is the first one's, whatever was drawn for the second.
    let (version, id) = (version(row, 0)?, id(row, 1)?);
    let now = (!committed.again).then(|| state_after(planned, version));
    Ok(object_set(planned, shard, id, version, now, committed.at, committed.again))
}

fn object_set(
    planned: &Planned,
    shard: &Shard,
    id: Id,
    version: Version,
    now: Option<ObjectState>,
    at: Position,
    again: bool,
) -> Changeset {
    let done = match planned {
        Planned::ObjectAdd { .. } => Done::ObjectAdded(id),
        Planned::ObjectReplace { .. } => Done::ObjectUpdated(version),
        _ => Done::ObjectDeleted(true),
    };
    let change = Change::Object { id, version, now };
    Changeset { done, changes: vec![Changed { shard: shard.index(), at, change }], again }
}

/// The row met another state than expected: which one? It may be the first of two tries that had done it.
fn object_refused(
    planned: &Planned,
    is_own_perhaps: bool,
    shard: &Shard,
    (state, at): (ObjectState, Position),
) -> Result<Changeset, Trouble> {
    let id = planned.id();
    let before = match planned {
        Planned::ObjectReplace { if_version, .. } => *if_version,
        _ => Some(Version(0)),
    };
    let is_next = state.version.0.checked_sub(1).map(Version) == before;
    if is_own_perhaps && is_next && state == state_after(planned, state.version) {
        let version = state.version;
        return Ok(object_set(planned, shard, id, version, Some(state), at, false));
    }
    match (planned, &state.object) {
        (Planned::ObjectAdd { .. }, _) => Err(Trouble::Used),
        (_, None) => Err(Trouble::NoObject),
        (Planned::ObjectReplace { otype, .. }, Some((found, _))) if found != otype => Err(Trouble::OtherType),
        _ => Err(Trouble::Changed { current: state.version }),
    }
}
