//! PostgreSQL alone: TAO's three tables, prepared statements in binary, several of them in one round trip.
//!
//! Its protocol (version 3) is spoken here rather than by a driver: a client's task and channels would cost the load's
//! core, and what is sent together is plain to see. An edge with its inverse and both counts is **one statement**, the
//! least that PostgreSQL can do it with: `BEGIN`, four statements and `COMMIT` in one round trip, which do not even tell
//! new edges from overwritten ones, took as much CPU time or up to a fifth more (pgbench, 64 clients).

use std::net::SocketAddr;

use seawall_policy::Rng;

use super::op::{Data, Edge, Key, Kind, Op, stamp};
use super::row::Row;
use super::wire::Wire;
use super::world::{Fresh, Loaded, Scale};
use crate::LabError;
use crate::servers::postgres::USER;

const SIDE: &str = "PostgreSQL";
/// How often a transaction that another one was in the way of is begun again.
const AGAIN_MAX: u32 = 100;
/// Serialisation failure and deadlock.
const IN_THE_WAY: [&str; 2] = ["40001", "40P01"];
/// Bytes of rows sent at a time while everything is put in.
const COPY_CHUNK: usize = 64 << 10;

const TABLES: &str = "
CREATE TABLE objects (id bigint PRIMARY KEY, version bigint NOT NULL, data bytea NOT NULL);
CREATE TABLE assocs (id1 bigint, atype smallint, id2 bigint, time bigint NOT NULL, data bytea NOT NULL,
    PRIMARY KEY (id1, atype, id2));
CREATE TABLE counts (id1 bigint, atype smallint, count bigint NOT NULL, version bigint NOT NULL,
    PRIMARY KEY (id1, atype))";

const AFTER_LOAD: &str = "
CREATE INDEX assocs_by_time ON assocs (id1, atype, time DESC, id2 DESC);
INSERT INTO counts SELECT id1, atype, count(*), 1 FROM assocs GROUP BY 1, 2";

/// Outside of a transaction, one by one.
const TIDY: [&str; 2] = ["VACUUM ANALYZE", "CHECKPOINT"];

/// Name and text of each.
const STATEMENTS: &[(&str, &str)] = &[
    ("get", "SELECT data FROM objects WHERE id = $1"),
    ("many", "SELECT id, data FROM objects WHERE id = ANY($1)"),
    ("point", "SELECT id2, time, data FROM assocs WHERE id1 = $1 AND atype = $2 AND id2 = $3"),
    ("points", "SELECT id2, time, data FROM assocs WHERE id1 = $1 AND atype = $2 AND id2 = ANY($3)"),
    (
        "range",
        "SELECT id2, time, data FROM assocs WHERE id1 = $1 AND atype = $2 AND time <= $3 \
         ORDER BY time DESC, id2 DESC LIMIT $4",
    ),
    ("count", "SELECT count FROM counts WHERE id1 = $1 AND atype = $2"),
    ("add", "INSERT INTO objects VALUES ($1, 1, $2)"),
    ("update", "UPDATE objects SET data = $2, version = version + 1 WHERE id = $1"),
    ("delete", "DELETE FROM objects WHERE id = $1"),
    (
        "link",
        "WITH edge AS (INSERT INTO assocs VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (id1, atype, id2) DO UPDATE SET time = EXCLUDED.time, data = EXCLUDED.data \
         RETURNING id1, atype, (xmax = 0)::int AS fresh) \
         INSERT INTO counts SELECT id1, atype, fresh, 1 FROM edge ON CONFLICT (id1, atype) \
         DO UPDATE SET count = counts.count + EXCLUDED.count, version = counts.version + 1",
    ),
    // In the order of ids, so that two of them never wait for each other.
    (
        "link_both",
        "WITH edge AS (INSERT INTO assocs SELECT * FROM (VALUES \
         ($1::bigint, $2::smallint, $3::bigint, $4::bigint, $5::bytea), \
         ($3::bigint, $6::smallint, $1::bigint, $4::bigint, $5::bytea)) AS both_ways ORDER BY 1 \
         ON CONFLICT (id1, atype, id2) DO UPDATE SET time = EXCLUDED.time, data = EXCLUDED.data \
         RETURNING id1, atype, (xmax = 0)::int AS fresh) \
         INSERT INTO counts SELECT id1, atype, fresh, 1 FROM edge ORDER BY id1 ON CONFLICT (id1, atype) \
         DO UPDATE SET count = counts.count + EXCLUDED.count, version = counts.version + 1",
    ),
    (
        "unlink",
        "WITH gone AS (DELETE FROM assocs WHERE id1 = $1 AND atype = $2 AND id2 = $3 RETURNING id1, atype) \
         UPDATE counts SET count = count - 1, version = version + 1 FROM gone \
         WHERE counts.id1 = gone.id1 AND counts.atype = gone.atype",
    ),
];

/// A parameter, sent in binary.
enum Param<'a> {
    Big(i64),
    Small(i16),
    Bytes(&'a [u8]),
    Bigs(&'a [u64]),
}

/// One client's connection.
#[derive(Debug)]
pub(super) struct Postgres {
    wire: Wire,
}

/// A row that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Which of the statements sent together it answers, from 0.
    pub statement: usize,
    /// Its first value: an id.
    pub first: Vec<u8>,
    /// Its last value: data.
    pub last: Vec<u8>,
}

impl Postgres {
    /// Connects, without statements.
    async fn bare(address: SocketAddr) -> Result<Postgres, LabError> {
        let mut wire = Wire::connect(address).await?;
        let mut text = 196_608_u32.to_be_bytes().to_vec();
        text.extend_from_slice(format!("user\0{USER}\0database\0postgres\0\0").as_bytes());
        wire.out.extend_from_slice(&(text.len() as u32 + 4).to_be_bytes());
        wire.out.extend_from_slice(&text);
        let mut postgres = Postgres { wire };
        postgres.settle().await?;
        Ok(postgres)
    }

    pub(super) async fn connect(address: SocketAddr) -> Result<Postgres, LabError> {
        let mut postgres = Postgres::bare(address).await?;
        for (name, text) in STATEMENTS {
            postgres.message(b'P', &[name.as_bytes(), b"\0", text.as_bytes(), b"\0\0\0"]);
        }
        postgres.sync();
        postgres.settle().await?;
        Ok(postgres)
    }

    /// Makes the tables and puts everything in.
    pub(super) async fn load(address: SocketAddr, loaded: &Loaded) -> Result<(), LabError> {
        let mut postgres = Postgres::bare(address).await?;
        postgres.simple(TABLES).await?;
        let objects = loaded.objects.iter().map(|object| {
            let text = Data { stamp: 0, len: object.len }.text();
            format!("{}\t1\t{}\n", object.id, String::from_utf8_lossy(&text))
        });
        postgres.copy("objects", objects).await?;
        let edges = loaded.edges.iter().flat_map(|(edge, time, len)| {
            let text = Data { stamp: 0, len: *len }.text();
            [Some(*edge), edge.back()].into_iter().flatten().map(move |Edge { id1, kind, id2 }| {
                let kind = kind.number();
                format!("{id1}\t{kind}\t{id2}\t{time}\t{}\n", String::from_utf8_lossy(&text))
            })
        });
        postgres.copy("assocs", edges).await?;
        postgres.simple(AFTER_LOAD).await?;
        for line in TIDY {
            postgres.simple(line).await?;
        }
        Ok(())
    }

    async fn simple(&mut self, text: &str) -> Result<(), LabError> {
        self.message(b'Q', &[text.as_bytes(), b"\0"]);
        self.settle().await.map(|_| ())
    }

    async fn copy(&mut self, table: &str, rows: impl Iterator<Item = String>) -> Result<(), LabError> {
        self.message(b'Q', &[format!("COPY {table} FROM STDIN\0").as_bytes()]);
        for row in rows {
            self.message(b'd', &[row.as_bytes()]);
            if self.wire.out.len() >= COPY_CHUNK {
                self.wire.send().await?;
            }
        }
        self.message(b'c', &[]);
        self.settle().await.map(|_| ())
    }

    /// Does one operation of a mix; how often it had to be begun again.
    pub(super) async fn call(&mut self, op: &Op) -> Result<u64, LabError> {
        for again in 0..AGAIN_MAX {
            self.put(op);
            self.sync();
            let settled = self.settle().await;
            let is_in_the_way = |found: &str| IN_THE_WAY.iter().any(|code| found.starts_with(code));
            if matches!(&settled, Err(LabError::WrongAnswer { found, .. }) if is_in_the_way(found)) {
                continue;
            }
            return settled.map(|_| u64::from(again));
        }
        Err(LabError::Load {
            side: SIDE.to_owned(),
            errors: u64::from(AGAIN_MAX),
            detail: "a transaction that others were always in the way of".to_owned(),
        })
    }

    /// The same, for what it reads.
    pub(super) async fn read(&mut self, op: &Op) -> Result<Vec<Found>, LabError> {
        self.put(op);
        self.sync();
        self.settle().await
    }

    /// The stamp that a read shows now.
    pub(super) async fn look(&mut self, key: Key) -> Result<Option<u32>, LabError> {
        let op = match key {
            Key::Object(id) => Op::Get(id),
            Key::Edge(Edge { id1, kind, id2 }) => Op::Points { id1, kind, id2s: vec![id2] },
        };
        Ok(self.read(&op).await?.first().and_then(|row| stamp(&row.last)))
    }

    /// One of the row that writes.
    pub(super) async fn shot(
        &mut self,
        row: Row,
        scale: Scale,
        fresh: &Fresh,
        rng: &mut Rng,
    ) -> Result<(), LabError> {
        self.call(&row.link(scale, fresh, rng)).await.map(|_| ())
    }

    /// Puts the statements of an operation together. What stands before one `Sync` is one transaction.
    fn put(&mut self, op: &Op) {
        use Param::{Big, Bigs, Bytes, Small};
        let big = |id: u64| Big(id.cast_signed());
        let small = |kind: Kind| Small(kind.number());
        match op {
            Op::Get(id) => self.bind("get", &[big(*id)]),
            Op::Many { objects, edges } => {
                if !objects.is_empty() {
                    self.bind("many", &[Bigs(objects)]);
                }
                for Edge { id1, kind, id2 } in edges {
                    self.bind("point", &[big(*id1), small(*kind), big(*id2)]);
                }
            }
            Op::Points { id1, kind, id2s } => match id2s.as_slice() {
                [id2] => self.bind("point", &[big(*id1), small(*kind), big(*id2)]),
                id2s => self.bind("points", &[big(*id1), small(*kind), Bigs(id2s)]),
            },
            Op::Range { id1, kind, limit, high } => {
                let high = Big(high.map_or(i64::MAX, i64::from));
                self.bind("range", &[big(*id1), small(*kind), high, Big(i64::from(*limit))]);
            }
            Op::Count { id1, kind } => self.bind("count", &[big(*id1), small(*kind)]),
            Op::Add { id, data } => self.bind("add", &[big(*id), Bytes(&data.text())]),
            Op::Update { id, data } => self.bind("update", &[big(*id), Bytes(&data.text())]),
            Op::Delete { id, .. } => self.bind("delete", &[big(*id)]),
            Op::Link { edge: Edge { id1, kind, id2 }, time, data } => {
                let (time, text) = (Big(i64::from(*time)), data.text());
                match kind.inverse() {
                    None => self.bind("link", &[big(*id1), small(*kind), big(*id2), time, Bytes(&text)]),
                    Some(back) => self.bind(
                        "link_both",
                        &[big(*id1), small(*kind), big(*id2), time, Bytes(&text), small(back)],
                    ),
                }
            }
            Op::Unlink { edge, .. } => {
                for Edge { id1, kind, id2 } in [Some(*edge), edge.back()].into_iter().flatten() {
                    self.bind("unlink", &[big(id1), small(kind), big(id2)]);
                }
            }
            Op::Writes(writes) => {
                // In the order of ids: fewer transactions wait for each other in a circle.
                let mut writes: Vec<Op> = writes.clone();
                writes.sort_by_cached_key(|op| {
                    op.clone().write().map(|(key, ..)| match key {
                        Key::Object(id) => id,
                        Key::Edge(edge) => edge.id1,
                    })
                });
                writes.iter().for_each(|op| self.put(op));
            }
        }
    }

    fn message(&mut self, kind: u8, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.wire.out.push(kind);
        self.wire.out.extend_from_slice(&(length as u32 + 4).to_be_bytes());
        parts.iter().for_each(|part| self.wire.out.extend_from_slice(part));
    }

    /// Binds a statement and executes it, everything in binary.
    fn bind(&mut self, statement: &str, params: &[Param<'_>]) {
        let mut text = vec![0];
        text.extend_from_slice(statement.as_bytes());
        text.extend_from_slice(&[0, 0, 1, 0, 1]);
        text.extend_from_slice(&(params.len() as u16).to_be_bytes());
        for param in params {
            let bytes = match param {
                Param::Big(number) => number.to_be_bytes().to_vec(),
                Param::Small(number) => number.to_be_bytes().to_vec(),
                Param::Bytes(bytes) => bytes.to_vec(),
                Param::Bigs(numbers) => array(numbers),
            };
            text.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            text.extend_from_slice(&bytes);
        }
        text.extend_from_slice(&[0, 1, 0, 1]);
        self.message(b'B', &[&text]);
        self.message(b'E', &[&[0, 0, 0, 0, 0]]);
    }

    fn sync(&mut self) {
        self.message(b'S', &[]);
    }

    /// Sends, and reads until the server is ready again.
    async fn settle(&mut self) -> Result<Vec<Found>, LabError> {
        self.wire.send().await?;
        read(self.wire.answer(ready).await?)
    }
}

/// An array of bigint (type 20) as PostgreSQL takes it.
fn array(numbers: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20 + 12 * numbers.len());
    for word in [1, 0, 20, numbers.len() as u32, 1] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    for number in numbers {
        bytes.extend_from_slice(&8_u32.to_be_bytes());
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes
}

/// Kind and length of the message at the beginning.
fn head(bytes: &[u8]) -> Option<(u8, usize)> {
    let length: [u8; 4] = bytes.get(1..5)?.try_into().ok()?;
    Some((bytes[0], 1 + u32::from_be_bytes(length) as usize))
}

/// Where `ReadyForQuery` ends.
fn ready(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let (kind, length) = head(&bytes[at..])?;
        at += length;
        if at > bytes.len() {
            return None;
        }
        if kind == b'Z' {
            return Some(at);
        }
    }
}

/// The rows among messages; an error where there was one, its code first.
fn read(mut bytes: &[u8]) -> Result<Vec<Found>, LabError> {
    let (mut rows, mut bound) = (Vec::new(), 0_usize);
    while let Some((kind, length)) = head(bytes) {
        let (message, rest) = bytes.split_at(length.min(bytes.len()));
        bytes = rest;
        match kind {
            b'2' => bound += 1,
            b'D' => {
                let mut values = values(&message[5..]);
                if let Some(first) = values.next() {
                    let (first, last) = (first.to_vec(), values.last().unwrap_or(first).to_vec());
                    rows.push(Found { statement: bound.saturating_sub(1), first, last });
                }
            }
            b'E' => {
                let fields = || message[5..].split(|byte| *byte == 0).filter(|field| !field.is_empty());
                let field = |name: u8| fields().find(|field| field[0] == name).map(|field| &field[1..]);
                let text = |name| String::from_utf8_lossy(field(name).unwrap_or_default()).into_owned();
                return Err(LabError::WrongAnswer {
                    side: SIDE.to_owned(),
                    path: "a statement".to_owned(),
                    found: format!("{} {}", text(b'C'), text(b'M')),
                    wanted: "no error".to_owned(),
                });
            }
            _ => (),
        }
    }
    Ok(rows)
}

/// The values of a row; NULL is empty.
fn values(row: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = row.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        let (value, after) = after.split_at_checked(length)?;
        rest = after;
        Some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &[u8] = b"Z\0\0\0\x05I";

    #[test]
    fn answers_end_when_the_server_is_ready() {
        let done = b"C\0\0\0\x0dSELECT 1\0";
        let all = [done, READY].concat();
        assert_eq!(ready(&all), Some(all.len()));
        for cut in 0..all.len() {
            assert_eq!(ready(&all[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn the_first_and_last_value_of_a_row_are_kept() {
        let row = b"D\0\0\0\x14\0\x02\0\0\0\x02id\0\0\0\x04data";
        let bound = b"2\0\0\0\x04";
        let rows = read(&[bound, bound, &row[..], READY].concat()).unwrap();
        assert_eq!(rows, [Found { statement: 1, first: b"id".to_vec(), last: b"data".to_vec() }]);
    }

    #[test]
    fn an_error_begins_with_its_code() {
        let error = b"E\0\0\0\x1bSERROR\0C40P01\0Mdeadlock\0\0";
        let mut error = error.to_vec();
        error[4] = (error.len() - 1) as u8;
        let said = read(&[&error[..], READY].concat()).unwrap_err().to_string();
        assert!(said.contains("40P01 deadlock"), "{said}");
    }
}
