//! The graph, spoken to in RESP.

use std::net::SocketAddr;

use seawall_policy::Rng;

use super::op::{Data, Edge, Key, Op, stamp};
use super::row::Row;
use super::wire::{Values, Wire, checked, command, whole, wrong};
use super::world::{Fresh, Loaded, Scale};
use crate::LabError;

const SIDE: &str = "seawall graph";
/// Commands sent together while everything is put in.
const LOAD_DEPTH: usize = 64;

/// One client's connection.
#[derive(Debug)]
pub(super) struct Ours {
    wire: Wire,
}

impl Ours {
    pub(super) async fn connect(address: SocketAddr) -> Result<Ours, LabError> {
        Ok(Ours { wire: Wire::connect(address).await? })
    }

    /// Puts in every `of`th of what is to be there, from `first` on.
    pub(super) async fn load(&mut self, loaded: &Loaded, first: usize, of: usize) -> Result<(), LabError> {
        let objects: Vec<_> = loaded.objects.iter().skip(first).step_by(of).collect();
        for some in objects.chunks(LOAD_DEPTH) {
            for object in some {
                write(&mut self.wire.out, &Op::Add { id: object.id, data: data(object.len) });
            }
            self.settle(some.len()).await?;
        }
        Ok(())
    }

    /// The same for edges, whose ends should be there before.
    pub(super) async fn load_edges(
        &mut self,
        loaded: &Loaded,
        first: usize,
        of: usize,
    ) -> Result<(), LabError> {
        let edges: Vec<_> = loaded.edges.iter().skip(first).step_by(of).collect();
        for some in edges.chunks(LOAD_DEPTH) {
            for (edge, time, len) in some {
                let op = Op::Link { edge: *edge, time: *time, data: data(*len) };
                write(&mut self.wire.out, &op);
            }
            self.settle(some.len()).await?;
        }
        Ok(())
    }

    async fn settle(&mut self, count: usize) -> Result<(), LabError> {
        self.wire.send().await?;
        for _ in 0..count {
            checked(SIDE, "a write", self.wire.answer(whole).await?)?;
        }
        Ok(())
    }

    /// Does one operation of a mix.
    pub(super) async fn call(&mut self, op: &Op) -> Result<(), LabError> {
        let count = match op {
            Op::Writes(writes) => {
                writes.iter().for_each(|op| write(&mut self.wire.out, op));
                writes.len()
            }
            Op::Many { objects, edges } => {
                if !objects.is_empty() {
                    many(&mut self.wire.out, objects.iter().copied());
                }
                edges.iter().for_each(|edge| point(&mut self.wire.out, *edge));
                usize::from(!objects.is_empty()) + edges.len()
            }
            Op::Get(_) | Op::Points { .. } | Op::Range { .. } | Op::Count { .. } => {
                read(&mut self.wire.out, op);
                1
            }
            _ => {
                write(&mut self.wire.out, op);
                1
            }
        };
        self.wire.send().await?;
        for _ in 0..count {
            let answer = self.wire.answer(whole).await?;
            // An update of what another client has deleted is an answer too.
            if !answer.starts_with(b"-NOTFOUND") {
                checked(SIDE, "an operation of a mix", answer)?;
            }
        }
        Ok(())
    }

    /// The stamp that a read shows now.
    pub(super) async fn look(&mut self, key: Key) -> Result<Option<u32>, LabError> {
        match key {
            Key::Object(id) => read(&mut self.wire.out, &Op::Get(id)),
            Key::Edge(edge) => point(&mut self.wire.out, edge),
        }
        self.wire.send().await?;
        let answer = checked(SIDE, "a read", self.wire.answer(whole).await?)?;
        Ok(shown(answer))
    }

    /// One of a row that asks for one thing, whose answer must look right.
    pub(super) async fn shot(
        &mut self,
        row: Row,
        scale: Scale,
        fresh: &Fresh,
        rng: &mut Rng,
    ) -> Result<(), LabError> {
        let Wire { out, .. } = &mut self.wire;
        let (answers, begin): (usize, &[u8]) = match row {
            Row::Get => {
                read(out, &Op::Get(row.object(scale, rng)));
                (1, b"*6\r\n")
            }
            Row::Range | Row::RangeData => {
                let id = row.list(scale, rng).to_string();
                let words: [&[u8]; 6] = [b"ASSOC.RANGE", id.as_bytes(), b"entry", b"0", b"10", b"WITHDATA"];
                let is_whole = row == Row::RangeData;
                command(out, &words[..if is_whole { 6 } else { 5 }]);
                (1, if is_whole { b"*10\r\n" } else { b"*20\r\n" })
            }
            Row::Pipeline => {
                (0..Row::DEPTH).for_each(|_| read(out, &Op::Get(row.object(scale, rng))));
                (Row::DEPTH, b"*6\r\n")
            }
            Row::MultiGet => {
                many(out, (0..Row::DEPTH).map(|_| row.object(scale, rng)));
                (1, b"*16\r\n*6\r\n")
            }
            Row::Add => {
                write(out, &row.link(scale, fresh, rng));
                (1, b":")
            }
        };
        self.wire.send().await?;
        for _ in 0..answers {
            let answer = self.wire.answer(whole).await?;
            if !answer.starts_with(begin) {
                return Err(wrong(SIDE, row.name(), answer, &String::from_utf8_lossy(begin)));
            }
        }
        Ok(())
    }

    /// Hits and misses of its memory so far.
    pub(super) async fn hits(&mut self) -> Result<(u64, u64), LabError> {
        super::redis::hits(&mut self.wire, SIDE).await
    }
}

/// What everything is when it is put in: stamp 0.
fn data(len: u32) -> Data {
    Data { stamp: 0, len }
}

/// The stamp in the field `value` of an answer.
fn shown(answer: &[u8]) -> Option<u32> {
    let mut values = Values(answer);
    values.find(|value| *value == b"value")?;
    stamp(values.next()?)
}

fn many(out: &mut Vec<u8>, ids: impl Iterator<Item = u64>) {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    let words: Vec<&[u8]> =
        std::iter::once(&b"OBJ.MGET"[..]).chain(ids.iter().map(String::as_bytes)).collect();
    command(out, &words);
}

fn point(out: &mut Vec<u8>, Edge { id1, kind, id2 }: Edge) {
    read(out, &Op::Points { id1, kind, id2s: vec![id2] });
}

fn read(out: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Get(id) => command(out, &[b"OBJ.GET", id.to_string().as_bytes()]),
        Op::Points { id1, kind, id2s } => {
            let ids: Vec<String> = id2s.iter().map(u64::to_string).collect();
            let id1 = id1.to_string();
            let first: [&[u8]; 3] = [b"ASSOC.GET", id1.as_bytes(), kind.name().as_bytes()];
            let words: Vec<&[u8]> = first.into_iter().chain(ids.iter().map(String::as_bytes)).collect();
            command(out, &words);
        }
        Op::Range { id1, kind, limit, high: None } => {
            let (id1, limit) = (id1.to_string(), limit.to_string());
            let name = kind.name().as_bytes();
            command(out, &[b"ASSOC.RANGE", id1.as_bytes(), name, b"0", limit.as_bytes(), b"WITHDATA"]);
        }
        Op::Range { id1, kind, limit, high: Some(high) } => {
            let (id1, limit, high) = (id1.to_string(), limit.to_string(), high.to_string());
            let name = kind.name().as_bytes();
            let (high, limit) = (high.as_bytes(), limit.as_bytes());
            command(out, &[b"ASSOC.TIMERANGE", id1.as_bytes(), name, high, b"0", limit, b"WITHDATA"]);
        }
        Op::Count { id1, kind } => {
            command(out, &[b"ASSOC.COUNT", id1.to_string().as_bytes(), kind.name().as_bytes()]);
        }
        _ => (),
    }
}

fn write(out: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Add { id, data } => {
            let (id, text) = (id.to_string(), data.text());
            command(out, &[b"OBJ.ADD", b"item", b"ID", id.as_bytes(), b"FIELDS", b"value", &text]);
        }
        Op::Update { id, data } => {
            command(out, &[b"OBJ.UPDATE", id.to_string().as_bytes(), b"FIELDS", b"value", &data.text()]);
        }
        Op::Delete { id, .. } => command(out, &[b"OBJ.DELETE", id.to_string().as_bytes()]),
        Op::Link { edge: Edge { id1, kind, id2 }, time, data } => {
            let (id1, id2, time) = (id1.to_string(), id2.to_string(), time.to_string());
            let words: [&[u8]; 9] = [
                b"ASSOC.ADD",
                id1.as_bytes(),
                kind.name().as_bytes(),
                id2.as_bytes(),
                b"TIME",
                time.as_bytes(),
                b"FIELDS",
                b"value",
                &data.text(),
            ];
            command(out, &words);
        }
        Op::Unlink { edge: Edge { id1, kind, id2 }, .. } => {
            let (id1, id2) = (id1.to_string(), id2.to_string());
            command(out, &[b"ASSOC.DELETE", id1.as_bytes(), kind.name().as_bytes(), id2.as_bytes()]);
        }
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_found_in_objects_and_edges() {
        let object =
            b"*6\r\n$4\r\ntype\r\n$4\r\nitem\r\n$7\r\nversion\r\n:3\r\n$5\r\nvalue\r\n$9\r\n000000ffx\r\n";
        assert_eq!(shown(object), Some(255));
        let edge = b"*1\r\n*3\r\n:7\r\n:1\r\n*2\r\n$5\r\nvalue\r\n$8\r\n00000002\r\n";
        assert_eq!(shown(edge), Some(2));
        assert_eq!((shown(b"*-1\r\n"), shown(b"*0\r\n")), (None, None));
    }
}
