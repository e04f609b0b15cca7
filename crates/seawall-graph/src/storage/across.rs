//! Writes on two databases, which have no transaction in common.
//!
//! ```text
//! 1. low database:   the intent is written down         (key: the client's, or one drawn)
//! 2. high database:  its side of the write              (key: number + 2)
//! 3. low database:   its side, and the intent is gone   (key: number + 3)
//! ```
//!
//! Only then is it acknowledged. Whatever breaks off after 1 is completed later, by the client's second try, by the
//! next write of the same two ids or by the repair scan, and the keys see to it that each step happens once, whoever
//! takes it. Nothing is ever taken back. TAO writes the inverse first and the edge itself last; here it is the higher
//! id first, so that a write and one that comes from the other end find the same intent.
//!
//! Whoever leads does one write of a pair at a time, so an intent that is met is one that was left behind.

use seawall_policy::Wall;
use seawall_policy::deadline::Deadline;
use seawall_store::{Epoch, Op, Row, Sql, Value};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::plan::{Slot, Work};
use super::rows::{atype, data, id, one, opt_atype, time};
use super::trouble::{Committed, Stop};
use super::{Failed, Intent, Pair, Planned, Storage, Trouble, batch, write};
use crate::call::{Data, Done, Idempotency, Time};
use crate::id::Id;
use crate::message::Changeset;

/// Times a write makes room for itself by completing what was left behind. Once is enough while one process leads.
const INTENT_TRIES_MAX: u32 = 4;

/// The steps after the first; part of their keys, so they never change.
const HIGH_STEP: u8 = 2;
const LOW_STEP: u8 = 3;

pub(super) const INTENT_ADD: Sql = Sql {
    name: "write down an intent",
    text: "INSERT INTO graph_intents (hk, low, high, number, fingerprint, at, what, id1, atype, id2, inverse,
               to_atype, to_inverse, time, data)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
};
pub(super) const INTENT_END: Sql = Sql {
    name: "end an intent",
    text: "DELETE FROM graph_intents WHERE hk = $1 AND low = $2 AND high = $3 AND number = $4",
};
pub(super) const INTENT: Sql = Sql {
    name: "the intent of a pair",
    text: "SELECT low, high, number, fingerprint, at, what, id1, atype, id2, inverse, to_atype, to_inverse, time, data
           FROM graph_intents WHERE hk = $1 AND low = $2 AND high = $3",
};
pub(super) const INTENTS: Sql = Sql {
    name: "intents left behind",
    text: "SELECT low, high, number, fingerprint, at, what, id1, atype, id2, inverse, to_atype, to_inverse, time, data
           FROM graph_intents WHERE hk >= $1 AND at < $2 ORDER BY hk, low, high LIMIT $3",
};

const ADD: i64 = 1;
const DELETE: i64 = 2;
const CHANGE_TYPE: i64 = 3;

/// How writing an intent down ended.
pub(super) enum Intended {
    /// It stands there.
    Fresh,
    /// It did before, or there was nothing to do then: what that batch answered.
    Again(Committed),
    /// Another one of the same pair stands there.
    Occupied,
}

impl Storage {
    /// Intents of a database that were begun before `before`, at most `max`.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn intents(&self, shard: u32, before: Wall, max: usize) -> Result<Vec<Intent>, Trouble> {
        let shard = self.set.get(shard);
        let args = vec![shard.hk_min().into(), before.0.into(), Value::Int(max as i64)];
        let found = self.read(shard, &INTENTS, args).await?;
        found.rows.iter().map(|row| read_intent(shard.index(), row)).collect()
    }

    /// Completes one that was left behind. Doing so again is harmless.
    ///
    /// # Errors
    /// See [`Failed`]; it stays where it is then.
    pub async fn repair(
        &self,
        epochs: &[Epoch],
        intent: &Intent,
        deadline: Deadline,
    ) -> Result<Changeset, Failed> {
        if deadline.is_past(self.clock.now()) {
            return Err(Failed { shard: intent.shard, trouble: Trouble::Late });
        }
        self.complete(epochs, intent).await
    }

    pub(super) async fn across(
        &self,
        epochs: &[Epoch],
        pair: Pair,
        planned: &Planned,
        found: (Time, Data),
        key: Option<Idempotency>,
        deadline: Deadline,
    ) -> Result<Changeset, Failed> {
        let intent = self.intent(pair, planned, found, key);
        for _ in 0..INTENT_TRIES_MAX {
            let intended = self.intend(epochs, &intent, deadline).await;
            match intended.map_err(Failed::on(intent.shard))? {
                Intended::Fresh => return self.complete(epochs, &intent).await,
                Intended::Again(committed) if committed.rows.is_empty() => {
                    let done = Done::AssocChanged(false);
                    return Ok(Changeset { done, changes: Vec::new(), again: true });
                }
                Intended::Again(_) => {
                    // What counts is what was written down then: the time, for one, may be another now.
                    return match self.pending(pair).await.map_err(Failed::on(intent.shard))? {
                        Some(own) if own.number == intent.number => {
                            let set = self.complete(epochs, &own).await?;
                            Ok(Changeset { again: true, ..set })
                        }
                        _ => self.repeated(epochs, &intent).await,
                    };
                }
                Intended::Occupied => self.complete_pending(epochs, pair).await?,
            }
        }
        Err(Failed { shard: intent.shard, trouble: Trouble::Busy })
    }

    pub(super) fn intent(
        &self,
        pair: Pair,
        planned: &Planned,
        found: (Time, Data),
        key: Option<Idempotency>,
    ) -> Intent {
        let key = key.unwrap_or_else(|| self.draw(pair));
        Intent {
            shard: self.shard_of(pair.low),
            planned: planned.clone(),
            number: key.key,
            at: self.clock.wall(),
            fingerprint: key.fingerprint,
            found,
        }
    }

    /// A key for a write that came without one. Unlike any other: nothing else was ever drawn here at this moment of
    /// this clock as the n-th for this pair.
    fn draw(&self, pair: Pair) -> Idempotency {
        let n = self.drawn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let parts =
            [pair.low.get(), pair.high.get(), n, self.clock.now().0, self.clock.wall().0.cast_unsigned()];
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_le_bytes()).collect();
        Idempotency { key: xxh3_128(&bytes).to_le_bytes(), fingerprint: xxh3_64(&bytes) }
    }

    pub(super) async fn intend(
        &self,
        epochs: &[Epoch],
        intent: &Intent,
        deadline: Deadline,
    ) -> Result<Intended, Trouble> {
        let pair = intent.pair();
        let shard = self.of(pair.low);
        let make = || {
            let ops = vec![one(&INTENT_ADD, write_intent(intent))];
            batch(epochs, shard, pair.low.hk(), Some(intent.key()), ops, Vec::new())
        };
        match self.commit(shard, deadline, false, make).await {
            // The first of two tries had done it, unless somebody long before this call had.
            (Ok(committed), repeated) if !committed.again || (repeated && !committed.rows.is_empty()) => {
                Ok(Intended::Fresh)
            }
            (Ok(committed), _) => Ok(Intended::Again(committed)),
            (Err(Stop::Conflict), _) => Ok(Intended::Occupied),
            (Err(Stop::Trouble(trouble)), _) => Err(trouble),
        }
    }

    /// The intent that stands for a pair, if one does.
    async fn pending(&self, pair: Pair) -> Result<Option<Intent>, Trouble> {
        let shard = self.of(pair.low);
        let args = vec![pair.low.hk().into(), pair.low.into(), pair.high.into()];
        let found = self.read(shard, &INTENT, args).await?;
        found.rows.first().map(|row| read_intent(shard.index(), row)).transpose()
    }

    /// Completes what was left behind of a pair, so that the next write finds both sides the same.
    pub(super) async fn complete_pending(&self, epochs: &[Epoch], pair: Pair) -> Result<(), Failed> {
        let low = self.shard_of(pair.low);
        let Some(intent) = self.pending(pair).await.map_err(Failed::on(low))? else { return Ok(()) };
        match self.complete(epochs, &intent).await {
            Ok(_) => Ok(()),
            // What is not known is the fate of the other write; the caller's own was not begun.
            Err(Failed { shard, trouble: Trouble::Unknown }) => Err(Failed { shard, trouble: Trouble::Busy }),
            Err(failed) => Err(failed),
        }
    }

    /// The second step and the third. Both are taken even past the deadline of who asked: what was begun is finished.
    async fn complete(&self, epochs: &[Epoch], intent: &Intent) -> Result<Changeset, Failed> {
        let high = self.high_step(epochs, intent).await?;
        let low = self.low_step(epochs, intent).await?;
        write::answer(&intent.planned, &[high, low]).map_err(Failed::on(intent.shard))
    }

    /// The answer to a write that was completed before. The low side is asked first: where it does not know of it
    /// and no intent stands there, nothing may be done.
    pub(super) async fn repeated(&self, epochs: &[Epoch], intent: &Intent) -> Result<Changeset, Failed> {
        let low = self.low_step(epochs, intent).await?;
        let high = self.high_step(epochs, intent).await?;
        write::answer(&intent.planned, &[high, low]).map_err(Failed::on(intent.shard))
    }

    pub(super) async fn high_step(&self, epochs: &[Epoch], intent: &Intent) -> Result<Part, Failed> {
        self.step(epochs, intent, intent.pair().high, HIGH_STEP, Vec::new()).await
    }

    pub(super) async fn low_step(&self, epochs: &[Epoch], intent: &Intent) -> Result<Part, Failed> {
        let Pair { low, high } = intent.pair();
        let args = vec![low.hk().into(), low.into(), high.into(), intent.number.into()];
        self.step(epochs, intent, low, LOW_STEP, vec![one(&INTENT_END, args)]).await
    }

    async fn step(
        &self,
        epochs: &[Epoch],
        intent: &Intent,
        home: Id,
        step: u8,
        guards: Vec<Op>,
    ) -> Result<Part, Failed> {
        let shard = self.of(home);
        let failed = |trouble| Failed { shard: shard.index(), trouble };
        let Some(work) = Work::of(&intent.planned, &intent.found) else {
            return Err(failed(Trouble::Broken("an intent is about associations".to_owned())));
        };
        let is_here = |slot: Slot| self.shard_of(slot.id1) == shard.index();
        let key = Idempotency { key: step_key(intent.number, step), fingerprint: intent.fingerprint };
        let make = || {
            let draft = work.draft(guards.clone(), is_here);
            batch(epochs, shard, home.hk(), Some(key), draft.ops, draft.tell)
        };
        let committed = self.commit(shard, self.soon(), false, make).await.0;
        let committed = committed.map_err(|stop| failed(begun(stop)))?;
        let lists = work.draft(guards.clone(), is_here).lists;
        Ok((shard.index(), lists, committed))
    }
}

/// A database, where its answers stand, and the answers.
type Part = (u32, Vec<super::plan::Listed>, Committed);

/// After the first step every trouble means the same to who asked: it will be done, but when?
fn begun(stop: Stop) -> Trouble {
    let what = match stop {
        Stop::Conflict => "an intent is gone, and its answer too".to_owned(),
        Stop::Trouble(broken @ (Trouble::Broken(_) | Trouble::KeyReused)) => broken.to_string(),
        Stop::Trouble(_) => return Trouble::Unknown,
    };
    // Not a thing that passes: somebody must look at it.
    tracing::error!(
        what,
        "a write between two databases cannot be completed, the repair scan goes on trying"
    );
    Trouble::Unknown
}

fn step_key(number: [u8; 16], step: u8) -> [u8; 16] {
    let mut bytes = [step; 17];
    bytes[..16].copy_from_slice(&number);
    xxh3_128(&bytes).to_le_bytes()
}

fn write_intent(intent: &Intent) -> Vec<Value> {
    let Pair { low, high } = intent.pair();
    let (what, id1, atype, id2, inverse, to, to_inverse, time, data) = match &intent.planned {
        Planned::AssocAdd { id1, atype, id2, time, data, inverse } => {
            (ADD, *id1, *atype, *id2, *inverse, None, None, *time, data)
        }
        Planned::AssocDelete { id1, atype, id2, inverse } => {
            (DELETE, *id1, *atype, *id2, *inverse, None, None, intent.found.0, &intent.found.1)
        }
        Planned::AssocChangeType { id1, from, id2, to, inverse_from, inverse_to } => {
            let (time, data) = &intent.found;
            (CHANGE_TYPE, *id1, *from, *id2, *inverse_from, Some(*to), *inverse_to, *time, data)
        }
        Planned::ObjectAdd { .. } | Planned::ObjectReplace { .. } | Planned::ObjectDelete { .. } => {
            unreachable!("an object lives on one database")
        }
    };
    vec![
        low.hk().into(),
        low.into(),
        high.into(),
        intent.number.into(),
        intent.fingerprint.cast_signed().into(),
        intent.at.0.into(),
        what.into(),
        id1.into(),
        atype.into(),
        id2.into(),
        inverse.into(),
        to.into(),
        to_inverse.into(),
        time.into(),
        data.into(),
    ]
}

fn read_intent(shard: u32, row: &Row) -> Result<Intent, Trouble> {
    let wrong = |what: &str| Trouble::Broken(format!("an intent of {} has {what}", row.int(0).unwrap_or(0)));
    let number = row.blob(2)?.try_into().map_err(|_| wrong("a number of another length"))?;
    let (id1, atype_1, id2, inverse) = (id(row, 6)?, atype(row, 7)?, id(row, 8)?, opt_atype(row, 9)?);
    let (time, data): (Time, Data) = (time(row, 12)?, data(row, 13)?);
    let found = (time, data.clone());
    let planned = match row.int(5)? {
        ADD => Planned::AssocAdd { id1, atype: atype_1, id2, time, data, inverse },
        DELETE => Planned::AssocDelete { id1, atype: atype_1, id2, inverse },
        CHANGE_TYPE => Planned::AssocChangeType {
            id1,
            from: atype_1,
            id2,
            to: atype(row, 10)?,
            inverse_from: inverse,
            inverse_to: opt_atype(row, 11)?,
        },
        _ => return Err(wrong("a kind this build does not know")),
    };
    let intent = Intent {
        shard,
        planned,
        number,
        at: Wall(row.int(4)?),
        fingerprint: row.int(3)?.cast_unsigned(),
        found,
    };
    if (intent.pair().low.to_sql(), intent.pair().high.to_sql()) != (row.int(0)?, row.int(1)?) {
        return Err(wrong("other ends than it stands under"));
    }
    Ok(intent)
}
