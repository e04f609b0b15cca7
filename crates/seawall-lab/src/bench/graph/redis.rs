//! Redis alone, as people keep a graph in it: an object is a string, a list a sorted set by time, an edge's data a
//! string of its own. Several writes go in one `MULTI`. Nothing is durable and nothing is ever missing from memory.

use std::net::SocketAddr;

use seawall_policy::Rng;

use super::op::{Data, Edge, Key, Kind, Op, stamp};
use super::row::Row;
use super::wire::{Values, Wire, checked, command, whole, wrong};
use super::world::{Loaded, Scale};
use crate::LabError;

const SIDE: &str = "Redis";
/// Operations sent together while everything is put in.
const LOAD_DEPTH: usize = 256;

/// One client's connection.
#[derive(Debug)]
pub(super) struct Redis {
    pub wire: Wire,
}

pub(super) fn object_key(id: u64) -> Vec<u8> {
    format!("o:{id}").into_bytes()
}

pub(super) fn edge_key(Edge { id1, kind, id2 }: Edge) -> Vec<u8> {
    format!("d:{id1}:{}:{id2}", kind.number()).into_bytes()
}

pub(super) fn list_key(id1: u64, kind: Kind) -> Vec<u8> {
    format!("l:{id1}:{}", kind.number()).into_bytes()
}

impl Redis {
    pub(super) async fn connect(address: SocketAddr) -> Result<Redis, LabError> {
        Ok(Redis { wire: Wire::connect(address).await? })
    }

    /// Puts everything in.
    pub(super) async fn load(&mut self, loaded: &Loaded) -> Result<(), LabError> {
        let objects = loaded
            .objects
            .iter()
            .map(|object| Op::Add { id: object.id, data: Data { stamp: 0, len: object.len } });
        let edges = loaded.edges.iter().map(|(edge, time, len)| Op::Link {
            edge: *edge,
            time: *time,
            data: Data { stamp: 0, len: *len },
        });
        let (mut waiting, mut depth) = (0, 0);
        for op in objects.chain(edges) {
            waiting += put(&mut self.wire.out, &op);
            depth += 1;
            if depth == LOAD_DEPTH {
                self.settle(std::mem::take(&mut waiting)).await?;
                depth = 0;
            }
        }
        self.settle(waiting).await
    }

    /// Sends, and waits for so many answers.
    pub(super) async fn settle(&mut self, answers: usize) -> Result<(), LabError> {
        self.wire.send().await?;
        for _ in 0..answers {
            checked(SIDE, "an operation of a mix", self.wire.answer(whole).await?)?;
        }
        Ok(())
    }

    /// Does one operation of a mix.
    pub(super) async fn call(&mut self, op: &Op) -> Result<(), LabError> {
        if let Op::Range { id1, kind, limit, high } = op {
            return self.range(*id1, *kind, *limit, *high).await;
        }
        let answers = put(&mut self.wire.out, op);
        self.settle(answers).await
    }

    /// The ends by time, then their data.
    async fn range(&mut self, id1: u64, kind: Kind, limit: u32, high: Option<u32>) -> Result<(), LabError> {
        let (key, limit) = (list_key(id1, kind), limit.to_string());
        match high {
            None => {
                let last = (limit.parse::<u32>().unwrap_or(1) - 1).to_string();
                command(&mut self.wire.out, &[b"ZREVRANGE", &key, b"0", last.as_bytes(), b"WITHSCORES"]);
            }
            Some(high) => {
                let (high, limit) = (high.to_string(), limit.as_bytes());
                let words: [&[u8]; 8] =
                    [b"ZREVRANGEBYSCORE", &key, high.as_bytes(), b"0", b"WITHSCORES", b"LIMIT", b"0", limit];
                command(&mut self.wire.out, &words);
            }
        }
        self.wire.send().await?;
        let answer = checked(SIDE, "a range", self.wire.answer(whole).await?)?;
        let keys: Vec<Vec<u8>> = Values(answer).step_by(2).map(|id2| data_key(id1, kind, id2)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        get_all(&mut self.wire.out, &keys);
        self.settle(1).await
    }

    /// The stamp that a read shows now.
    pub(super) async fn look(&mut self, key: Key) -> Result<Option<u32>, LabError> {
        let key = match key {
            Key::Object(id) => object_key(id),
            Key::Edge(edge) => edge_key(edge),
        };
        command(&mut self.wire.out, &[b"GET", &key]);
        self.wire.send().await?;
        let answer = checked(SIDE, "a read", self.wire.answer(whole).await?)?;
        Ok(Values(answer).next().and_then(stamp))
    }

    /// One of a row that asks for one thing, whose answer must look right.
    pub(super) async fn shot(&mut self, row: Row, scale: Scale, rng: &mut Rng) -> Result<(), LabError> {
        let Wire { out, .. } = &mut self.wire;
        let get = |out: &mut Vec<u8>, rng: &mut Rng| {
            command(out, &[b"GET", &object_key(row.object(scale, rng))]);
        };
        let (answers, begin): (usize, &[u8]) = match row {
            Row::Get | Row::Add => {
                get(out, rng);
                (1, b"$150\r\n")
            }
            Row::Range => {
                let key = list_key(row.list(scale, rng), Kind::Entry);
                command(out, &[b"ZREVRANGE", &key, b"0", b"9", b"WITHSCORES"]);
                (1, b"*20\r\n")
            }
            Row::RangeData => return self.range(row.list(scale, rng), Kind::Entry, 10, None).await,
            Row::Pipeline => {
                (0..Row::DEPTH).for_each(|_| get(out, rng));
                (Row::DEPTH, b"$150\r\n")
            }
            Row::MultiGet => {
                let keys: Vec<_> = (0..Row::DEPTH).map(|_| object_key(row.object(scale, rng))).collect();
                get_all(out, &keys);
                (1, b"*16\r\n$150\r\n")
            }
        };
        self.wire.send().await?;
        for _ in 0..answers {
            let answer = self.wire.answer(whole).await?;
            if !answer.starts_with(begin) {
                return Err(wrong(SIDE, row.theirs(), answer, &String::from_utf8_lossy(begin)));
            }
        }
        Ok(())
    }
}

/// Hits and misses so far, as `INFO` tells them; ours has them in a section of its own.
pub(super) async fn hits(wire: &mut Wire, side: &str) -> Result<(u64, u64), LabError> {
    command(&mut wire.out, &[b"INFO"]);
    wire.send().await?;
    let answer = checked(side, "INFO", wire.answer(whole).await?)?;
    let text = String::from_utf8_lossy(answer);
    let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    match (of("keyspace_hits:"), of("keyspace_misses:")) {
        (Some(hits), Some(misses)) => Ok((hits, misses)),
        _ => Err(wrong(side, "INFO", answer, "keyspace_hits and keyspace_misses")),
    }
}

fn data_key(id1: u64, kind: Kind, id2: &[u8]) -> Vec<u8> {
    let mut key = format!("d:{id1}:{}:", kind.number()).into_bytes();
    key.extend_from_slice(id2);
    key
}

pub(super) fn get_all(out: &mut Vec<u8>, keys: &[Vec<u8>]) {
    let words: Vec<&[u8]> = std::iter::once(&b"MGET"[..]).chain(keys.iter().map(Vec::as_slice)).collect();
    command(out, &words);
}

/// Puts an operation together; returns how many answers it has.
fn put(out: &mut Vec<u8>, op: &Op) -> usize {
    match op {
        Op::Writes(writes) => {
            command(out, &[b"MULTI"]);
            let inside: usize = writes.iter().map(|op| commands(out, op)).sum();
            command(out, &[b"EXEC"]);
            inside + 2
        }
        Op::Link { .. } | Op::Unlink { .. } => {
            command(out, &[b"MULTI"]);
            let inside = commands(out, op);
            command(out, &[b"EXEC"]);
            inside + 2
        }
        _ => commands(out, op),
    }
}

fn commands(out: &mut Vec<u8>, op: &Op) -> usize {
    match op {
        Op::Get(id) => command(out, &[b"GET", &object_key(*id)]),
        Op::Many { objects, edges } => {
            let objects = objects.iter().map(|id| object_key(*id));
            let keys: Vec<_> = objects.chain(edges.iter().map(|edge| edge_key(*edge))).collect();
            get_all(out, &keys);
        }
        Op::Points { id1, kind, id2s } => {
            let keys: Vec<_> =
                id2s.iter().map(|id2| edge_key(Edge { id1: *id1, kind: *kind, id2: *id2 })).collect();
            get_all(out, &keys);
        }
        Op::Count { id1, kind } => command(out, &[b"ZCARD", &list_key(*id1, *kind)]),
        Op::Add { id, data } => command(out, &[b"SET", &object_key(*id), &data.text()]),
        // Only what is there is changed, as elsewhere.
        Op::Update { id, data } => command(out, &[b"SET", &object_key(*id), &data.text(), b"XX"]),
        Op::Delete { id, .. } => command(out, &[b"DEL", &object_key(*id)]),
        Op::Link { edge, time, data } => {
            let (time, text) = (time.to_string(), data.text());
            let both = [Some(*edge), edge.back()];
            for Edge { id1, kind, id2 } in both.into_iter().flatten() {
                let (key, id2_text) = (list_key(id1, kind), id2.to_string());
                command(out, &[b"ZADD", &key, time.as_bytes(), id2_text.as_bytes()]);
                command(out, &[b"SET", &edge_key(Edge { id1, kind, id2 }), &text]);
            }
            return 2 * both.iter().flatten().count();
        }
        Op::Unlink { edge, .. } => {
            let both = [Some(*edge), edge.back()];
            for Edge { id1, kind, id2 } in both.into_iter().flatten() {
                command(out, &[b"ZREM", &list_key(id1, kind), id2.to_string().as_bytes()]);
                command(out, &[b"DEL", &edge_key(Edge { id1, kind, id2 })]);
            }
            return 2 * both.iter().flatten().count();
        }
        Op::Range { .. } | Op::Writes(_) => return 0,
    }
    1
}
