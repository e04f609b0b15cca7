//! Cache-aside, as most people do it: Redis before PostgreSQL.
//!
//! A read asks Redis; what is missing is read from PostgreSQL and put into Redis with a time to live. A write goes to
//! PostgreSQL, and then deletes what Redis has of it. Nothing holds the two together: whoever read the old row before
//! a write and puts it into Redis after the delete leaves it there until its time is over. That is what the check of
//! stale reads counts.

use std::net::SocketAddr;

use super::op::{Edge, Key, Op, stamp};
use super::postgres::Postgres;
use super::redis::{self, Redis, edge_key, get_all, list_key, object_key};
use super::wire::{Values, checked, command, whole};
use crate::LabError;

/// As long as our follower trusts its memory.
const LIVES_SECONDS: &[u8] = b"60";
/// In Redis for what PostgreSQL does not have, so that it is not asked again.
const NOTHING: &[u8] = b"-";

/// One client's two connections.
#[derive(Debug)]
pub(super) struct Aside {
    cache: Redis,
    database: Postgres,
}

impl Aside {
    pub(super) async fn connect(cache: SocketAddr, database: SocketAddr) -> Result<Aside, LabError> {
        Ok(Aside { cache: Redis::connect(cache).await?, database: Postgres::connect(database).await? })
    }

    /// Does one operation of a mix; how often PostgreSQL had to begin again.
    pub(super) async fn call(&mut self, op: &Op) -> Result<u64, LabError> {
        if op.is_read() {
            return self.read(op).await.map(|_| 0);
        }
        let again = self.database.call(op).await?;
        let mut stale = Vec::new();
        touched(op, &mut stale);
        let words: Vec<&[u8]> = std::iter::once(&b"DEL"[..]).chain(stale.iter().map(Vec::as_slice)).collect();
        command(&mut self.cache.wire.out, &words);
        self.cache.settle(1).await?;
        Ok(again)
    }

    /// What a read shows, in the order of its keys.
    async fn read(&mut self, op: &Op) -> Result<Vec<Vec<u8>>, LabError> {
        let Some(keys) = keys(op) else {
            self.database.read(op).await?;
            return Ok(Vec::new());
        };
        get_all(&mut self.cache.wire.out, &keys);
        self.cache.wire.send().await?;
        let answer = checked("Redis", "MGET", self.cache.wire.answer(whole).await?)?;
        // Null is "-1", which no value of ours is.
        let mut shown: Vec<Vec<u8>> = Values(answer).map(<[u8]>::to_vec).collect();
        let missing: Vec<usize> = (0..keys.len()).filter(|place| shown[*place] == b"-1").collect();
        if missing.is_empty() {
            return Ok(shown);
        }
        let wanted = only(op, &missing);
        let mut found = vec![Vec::new(); missing.len()];
        for row in self.database.read(&wanted).await? {
            if let Some(place) = place(&wanted, row.statement, &row.first) {
                found[place].extend_from_slice(&row.last);
            }
        }
        for (place, mut value) in missing.iter().copied().zip(found) {
            if value.is_empty() {
                value = NOTHING.to_vec();
            }
            let words: [&[u8]; 5] = [b"SET", &keys[place], &value, b"EX", LIVES_SECONDS];
            command(&mut self.cache.wire.out, &words);
            shown[place] = value;
        }
        self.cache.wire.send().await?;
        for _ in &missing {
            // A cache that is too full to take something is no error of the caller's.
            self.cache.wire.answer(whole).await?;
        }
        Ok(shown)
    }

    /// The stamp that a read shows now.
    pub(super) async fn look(&mut self, key: Key) -> Result<Option<u32>, LabError> {
        let op = match key {
            Key::Object(id) => Op::Get(id),
            Key::Edge(Edge { id1, kind, id2 }) => Op::Points { id1, kind, id2s: vec![id2] },
        };
        Ok(self.read(&op).await?.first().and_then(|text| stamp(text)))
    }

    /// Hits and misses of the cache so far.
    pub(super) async fn hits(&mut self) -> Result<(u64, u64), LabError> {
        redis::hits(&mut self.cache.wire, "Redis").await
    }
}

/// Under what names Redis has it; none for what is not kept there (older history, 0.3 % of LinkBench's lists).
fn keys(op: &Op) -> Option<Vec<Vec<u8>>> {
    Some(match op {
        Op::Get(id) => vec![object_key(*id)],
        Op::Many { objects, edges } => {
            let objects = objects.iter().map(|id| object_key(*id));
            objects.chain(edges.iter().map(|edge| edge_key(*edge))).collect()
        }
        Op::Points { id1, kind, id2s } => {
            id2s.iter().map(|id2| edge_key(Edge { id1: *id1, kind: *kind, id2: *id2 })).collect()
        }
        Op::Range { id1, kind, high: None, .. } => vec![list_key(*id1, *kind)],
        Op::Count { id1, kind } => vec![count_key(&list_key(*id1, *kind))],
        _ => return None,
    })
}

fn count_key(list: &[u8]) -> Vec<u8> {
    [b"c", list].concat()
}

/// The part of a read that is at `places` of its keys.
fn only(op: &Op, places: &[usize]) -> Op {
    match op {
        Op::Many { objects, edges } => Op::Many {
            objects: places.iter().filter_map(|at| objects.get(*at)).copied().collect(),
            edges: places.iter().filter_map(|at| at.checked_sub(objects.len())).map(|at| edges[at]).collect(),
        },
        Op::Points { id1, kind, id2s } => {
            Op::Points { id1: *id1, kind: *kind, id2s: places.iter().map(|at| id2s[*at]).collect() }
        }
        _ => op.clone(),
    }
}

/// Which of a read's keys a row belongs to.
fn place(op: &Op, statement: usize, first: &[u8]) -> Option<usize> {
    let id = || Some(u64::from_be_bytes(first.try_into().ok()?));
    match op {
        Op::Many { objects, .. } if !objects.is_empty() => match statement {
            0 => {
                let id = id()?;
                objects.iter().position(|object| *object == id)
            }
            later => Some(objects.len() + later - 1),
        },
        Op::Many { .. } => Some(statement),
        Op::Points { id2s, .. } => {
            let id = id()?;
            id2s.iter().position(|id2| *id2 == id)
        }
        _ => Some(0),
    }
}

/// Everything a write changes, as Redis calls it.
fn touched(op: &Op, into: &mut Vec<Vec<u8>>) {
    match op {
        Op::Add { id, .. } | Op::Update { id, .. } | Op::Delete { id, .. } => into.push(object_key(*id)),
        Op::Link { edge, .. } | Op::Unlink { edge, .. } => {
            for edge in [Some(*edge), edge.back()].into_iter().flatten() {
                let list = list_key(edge.id1, edge.kind);
                into.extend([edge_key(edge), count_key(&list), list]);
            }
        }
        Op::Writes(writes) => writes.iter().for_each(|op| touched(op, into)),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use super::super::op::Kind;
    use super::*;

    #[test]
    fn what_is_missing_is_asked_for_and_finds_its_place() {
        let edge = |id2| Edge { id1: 1, kind: Kind::Other, id2 };
        let op = Op::Many { objects: vec![5, 6, 5], edges: vec![edge(7), edge(8)] };
        assert_eq!(keys(&op).unwrap().len(), 5);
        let wanted = only(&op, &[1, 4]);
        assert_eq!(wanted, Op::Many { objects: vec![6], edges: vec![edge(8)] });
        assert_eq!(place(&wanted, 0, &6_u64.to_be_bytes()), Some(0));
        assert_eq!(place(&wanted, 1, &8_u64.to_be_bytes()), Some(1));
        let wanted = only(&op, &[3]);
        assert_eq!(place(&wanted, 0, &7_u64.to_be_bytes()), Some(0));
    }

    #[test]
    fn a_write_forgets_both_ends() {
        let edge = Edge { id1: 1, kind: Kind::Both, id2: 2 };
        let mut names = Vec::new();
        touched(&Op::Writes(vec![Op::Unlink { edge, stamp: 0 }]), &mut names);
        assert_eq!(names.len(), 6);
        for read in [
            Op::Count { id1: 2, kind: Kind::Both },
            Op::Range { id1: 1, kind: Kind::Both, limit: 9, high: None },
            Op::Points { id1: 2, kind: Kind::Both, id2s: vec![1] },
        ] {
            assert!(names.contains(&keys(&read).unwrap()[0]), "{read:?}");
        }
    }
}
