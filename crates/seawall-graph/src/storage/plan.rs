//! A write to associations as statements. Pure: what is asked of the database and what is told of it stand beside
//! each other here, and no database is needed to read or test them.
//!
//! Two statements for each edge: first the list, which counts while the edge is as it was, then the edge. The list's
//! answer (version, count, step) is what the client hears, what followers hear, and all anybody needs to know.

use seawall_store::{Event, Op, Row, Sql, Value};

use super::rows::{any, one, small};
use super::trouble::Committed;
use super::{Planned, Trouble, news};
use crate::call::{AssocType, Data, Done, Time, Version};
use crate::id::Id;
use crate::message::{Change, Changed};
use seawall_store::Position;

/// A list that has no row has no edge, so what is inserted counts 1.
pub(super) const LIST_PUT: Sql = Sql {
    name: "count an association in",
    text: "INSERT INTO graph_lists (hk, id1, atype, count, version, step) VALUES ($1, $2, $3,
               (SELECT 1 - COUNT(*) FROM graph_assocs WHERE hk = $1 AND id1 = $2 AND atype = $3 AND id2 = $4), 1, 1)
           ON CONFLICT (hk, id1, atype) DO UPDATE SET
               count = graph_lists.count + excluded.count, version = graph_lists.version + 1, step = excluded.count
           RETURNING version, count, step",
};
pub(super) const EDGE_PUT: Sql = Sql {
    name: "put an association",
    text: "INSERT INTO graph_assocs (hk, id1, atype, id2, time, data) VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT (hk, id1, atype, id2) DO UPDATE SET time = excluded.time, data = excluded.data",
};
/// Touches nothing where the list never was.
pub(super) const LIST_CUT: Sql = Sql {
    name: "count an association out",
    text: "UPDATE graph_lists SET count = count - gone.n, version = version + 1, step = -gone.n
           FROM (SELECT COUNT(*) AS n FROM graph_assocs
                 WHERE hk = $1 AND id1 = $2 AND atype = $3 AND id2 = $4) AS gone
           WHERE hk = $1 AND id1 = $2 AND atype = $3
           RETURNING version, count, step",
};
pub(super) const EDGE_CUT: Sql = Sql {
    name: "cut an association",
    text: "DELETE FROM graph_assocs WHERE hk = $1 AND id1 = $2 AND atype = $3 AND id2 = $4",
};
/// Guards a batch that was made from what a read had found.
pub(super) const EDGE_IS: Sql = Sql {
    name: "is an association still so",
    text: "SELECT id2 FROM graph_assocs
           WHERE hk = $1 AND id1 = $2 AND atype = $3 AND id2 = $4 AND time = $5 AND data = $6",
};

/// The place of an edge in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    pub(super) id1: Id,
    pub(super) atype: AssocType,
    pub(super) id2: Id,
}

impl Slot {
    pub(super) fn args(self) -> Vec<Value> {
        // Room for time and data, which most statements add.
        let mut args = Vec::with_capacity(6);
        args.extend([self.id1.hk().into(), self.id1.into(), self.atype.into(), self.id2.into()]);
        args
    }

    /// Its guard: the edge is still what a read found.
    pub(super) fn is(self, (time, data): &(Time, Data)) -> Op {
        let mut args = self.args();
        args.extend([(*time).into(), data.into()]);
        one(&EDGE_IS, args)
    }
}

/// What a write does to edges. Every slot is in it once, however the two sides of a write fall together (an edge
/// from an id to itself; a type whose inverse is the type it is changed to).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Work {
    /// These are there from now on, with this time and data.
    pub(super) puts: Vec<Slot>,
    /// These are not.
    pub(super) cuts: Vec<Slot>,
    pub(super) time: Time,
    pub(super) data: Data,
}

impl Work {
    /// What is to be done; `found` is the edge whose type is to be changed. `None`: it is about an object.
    pub(super) fn of(planned: &Planned, found: &(Time, Data)) -> Option<Work> {
        let slot = |id1: &Id, atype: &AssocType, id2: &Id| Slot { id1: *id1, atype: *atype, id2: *id2 };
        let both = |id1, atype, id2, inverse: &Option<AssocType>| {
            let mut slots = vec![slot(id1, atype, id2)];
            slots.extend(inverse.as_ref().map(|inverse| slot(id2, inverse, id1)).filter(|s| *s != slots[0]));
            slots
        };
        let (puts, mut cuts, (time, data)) = match planned {
            Planned::AssocAdd { id1, atype, id2, time, data, inverse } => {
                (both(id1, atype, id2, inverse), Vec::new(), (*time, data.clone()))
            }
            Planned::AssocDelete { id1, atype, id2, inverse } => {
                (Vec::new(), both(id1, atype, id2, inverse), (Time(0), Data::default()))
            }
            Planned::AssocChangeType { id1, from, id2, to, inverse_from, inverse_to } => {
                (both(id1, to, id2, inverse_to), both(id1, from, id2, inverse_from), found.clone())
            }
            Planned::ObjectAdd { .. } | Planned::ObjectReplace { .. } | Planned::ObjectDelete { .. } => {
                return None;
            }
        };
        cuts.retain(|slot| !puts.contains(slot));
        Some(Work { puts, cuts, time, data })
    }

    /// The part of it that is in reach of one batch, after `guards`.
    pub(super) fn draft(&self, guards: Vec<Op>, is_here: impl Fn(Slot) -> bool) -> Draft {
        let mut draft = Draft { ops: guards, tell: Vec::new(), lists: Vec::new() };
        for slot in self.puts.iter().copied().filter(|s| is_here(*s)) {
            let op = draft.list(&LIST_PUT, slot, Some((self.time, self.data.clone())));
            let mut args = slot.args();
            args.extend([self.time.into(), (&self.data).into()]);
            draft.ops.push(one(&EDGE_PUT, args));
            draft.tell.push(news::put(slot, self.time, &self.data, op));
        }
        for slot in self.cuts.iter().copied().filter(|s| is_here(*s)) {
            let op = draft.list(&LIST_CUT, slot, None);
            draft.ops.push(any(&EDGE_CUT, slot.args()));
            draft.tell.push(news::cut(slot, op));
        }
        draft
    }
}

/// Statements and news of one batch, and where its answers stand.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) ops: Vec<Op>,
    pub(super) tell: Vec<Event>,
    /// In the order of what is told.
    pub(super) lists: Vec<Listed>,
}

/// Where to find one of a batch's answers: the slot, its list's statement, and what the edge
/// is from now on.
pub(super) type Listed = (Slot, usize, Option<(Time, Data)>);

impl Draft {
    fn list(&mut self, sql: &'static Sql, slot: Slot, now: Option<(Time, Data)>) -> usize {
        let op = self.ops.len();
        self.ops.push(any(sql, slot.args()));
        self.lists.push((slot, op, now));
        op
    }
}

/// What a committed batch did to lists. Of one that was done before only the versions are told: what was written then
/// need not be what is asked for now.
pub(super) fn changes(lists: &[Listed], shard: u32, committed: &Committed) -> Result<Vec<Changed>, Trouble> {
    let first = (committed.at.0 + 1).saturating_sub(lists.len() as u64);
    let mut changes = Vec::with_capacity(lists.len());
    for ((slot, op, now), at) in lists.iter().zip(first..) {
        let Some(row) = answer(committed, *op) else { continue };
        let (version, count) = (Version(small(row, 0)?), small(row, 1)?);
        let Slot { id1, atype, id2 } = *slot;
        let change = if committed.again {
            Change::List { id1, atype, version }
        } else {
            Change::Edge { id1, atype, version, count, id2, now: now.clone() }
        };
        changes.push(Changed { shard, at: Position(at), change });
    }
    Ok(changes)
}

/// What a committed batch means to its client, if the client's own edge is in it.
pub(super) fn done(
    planned: &Planned,
    lists: &[Listed],
    committed: &Committed,
) -> Result<Option<Done>, Trouble> {
    let (own, done): (Slot, fn(i64) -> Done) = match planned {
        Planned::AssocAdd { id1, atype, id2, .. } => {
            (Slot { id1: *id1, atype: *atype, id2: *id2 }, |step| Done::AssocAdded(step == 1))
        }
        Planned::AssocDelete { id1, atype, id2, .. } => {
            (Slot { id1: *id1, atype: *atype, id2: *id2 }, |step| Done::AssocDeleted(step == -1))
        }
        // Begun only where there was such an edge.
        Planned::AssocChangeType { id1, to, id2, .. } => {
            (Slot { id1: *id1, atype: *to, id2: *id2 }, |_| Done::AssocChanged(true))
        }
        Planned::ObjectAdd { .. } | Planned::ObjectReplace { .. } | Planned::ObjectDelete { .. } => {
            return Ok(None);
        }
    };
    let Some((_, op, _)) = lists.iter().find(|(slot, ..)| *slot == own) else { return Ok(None) };
    // No row: the list never was.
    let step = answer(committed, *op).map_or(Ok(0), |row| row.int(2))?;
    Ok(Some(done(step)))
}

fn answer(committed: &Committed, op: usize) -> Option<&Row> {
    committed.rows.get(op)?.first()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: AssocType = AssocType(1);
    const B: AssocType = AssocType(2);
    const C: AssocType = AssocType(3);
    const D: AssocType = AssocType(4);

    fn id(number: u64) -> Id {
        Id::try_from(number).unwrap()
    }

    fn add(id1: u64, atype: AssocType, id2: u64, inverse: Option<AssocType>) -> Planned {
        let (id1, id2) = (id(id1), id(id2));
        Planned::AssocAdd { id1, atype, id2, time: Time(9), data: Data::from(b"x".to_vec()), inverse }
    }

    fn retype(ends: [u64; 2], types: [AssocType; 2], inverses: [Option<AssocType>; 2]) -> Planned {
        let ([id1, id2], [from, to], [inverse_from, inverse_to]) = (ends.map(id), types, inverses);
        Planned::AssocChangeType { id1, from, id2, to, inverse_from, inverse_to }
    }

    fn work(planned: &Planned) -> Work {
        Work::of(planned, &(Time(5), Data::default())).unwrap()
    }

    fn slots(all: &[Slot]) -> Vec<(u64, u16, u64)> {
        all.iter().map(|slot| (slot.id1.get(), slot.atype.0, slot.id2.get())).collect()
    }

    fn touched(planned: &Planned) -> [Vec<(u64, u16, u64)>; 2] {
        let work = work(planned);
        [slots(&work.puts), slots(&work.cuts)]
    }

    #[test]
    fn both_sides_of_a_write_are_touched_and_each_once() {
        assert_eq!(touched(&add(7, A, 8, None)), [vec![(7, 1, 8)], vec![]]);
        assert_eq!(touched(&add(7, A, 8, Some(B))), [vec![(7, 1, 8), (8, 2, 7)], vec![]]);
        assert_eq!(touched(&add(7, A, 7, Some(A))), [vec![(7, 1, 7)], vec![]]);
        let inverses = [Some(B), Some(D)];
        let moved = touched(&retype([7, 8], [A, C], inverses));
        assert_eq!(moved, [vec![(7, 3, 8), (8, 4, 7)], vec![(7, 1, 8), (8, 2, 7)]]);
    }

    /// What is put is not cut, whichever of the two sides it belongs to.
    #[test]
    fn sides_that_fall_together_are_put() {
        let to_its_inverse = retype([7, 7], [A, B], [Some(B), Some(A)]);
        assert_eq!(touched(&to_its_inverse), [vec![(7, 2, 7), (7, 1, 7)], vec![]]);
        let changed_places = retype([7, 8], [A, B], [Some(B), Some(A)]);
        assert_eq!(touched(&changed_places), [vec![(7, 2, 8), (8, 1, 7)], vec![(7, 1, 8), (8, 2, 7)]]);
    }

    #[test]
    fn what_is_told_asks_for_the_numbers_of_its_own_list() {
        let planned = retype([7, 8], [A, C], [Some(B), Some(D)]);
        let work = work(&planned);
        let guard = work.puts[0].is(&(Time(5), Data::default()));
        let draft = work.draft(vec![guard], |_| true);
        assert_eq!((draft.ops.len(), draft.tell.len(), draft.lists.len()), (9, 4, 4));
        for (event, (slot, op, _)) in draft.tell.iter().zip(&draft.lists) {
            assert_eq!(event.numbers, Some(*op));
            let list = &draft.ops[*op];
            assert!(list.sql.name == LIST_PUT.name || list.sql.name == LIST_CUT.name);
            assert_eq!(list.args, slot.args());
        }
        let half = work.draft(Vec::new(), |slot| slot.id1 == id(8));
        assert_eq!((half.ops.len(), half.tell.len()), (4, 2));
    }

    #[test]
    fn each_piece_of_news_has_its_own_position_and_what_touched_nothing_none() {
        let planned = add(7, A, 8, Some(B));
        let lists = work(&planned).draft(Vec::new(), |_| true).lists;
        let row = |numbers: [i64; 3]| vec![Row::from(numbers.map(Value::Int).to_vec())];
        let rows = vec![row([4, 2, 1]), Vec::new(), Vec::new(), Vec::new()];
        let mut committed = Committed { at: Position(11), rows, again: false };
        let told = changes(&lists, 3, &committed).unwrap();
        assert_eq!(told.len(), 1, "the second list returned no row");
        assert_eq!((told[0].shard, told[0].at, told[0].change.version()), (3, Position(10), Version(4)));
        assert!(matches!(told[0].change, Change::Edge { count: 2, now: Some(_), .. }));
        assert_eq!(done(&planned, &lists, &committed), Ok(Some(Done::AssocAdded(true))));
        committed.again = true;
        let told = changes(&lists, 3, &committed).unwrap();
        assert!(matches!(told[0].change, Change::List { version: Version(4), .. }));
        committed.rows = vec![vec![Row::from(vec![Value::Null])]];
        assert!(changes(&lists, 3, &committed).is_err(), "foreign rows are no numbers");
        committed.rows = Vec::new();
        assert_eq!(changes(&lists, 3, &committed), Ok(Vec::new()));
    }
}
