//! Reads. Each is one statement, so that what it says was so at one moment.

use seawall_store::{ChangesError, Position, ReadError, Row, Rows, Sql, Value};
use tokio::time::timeout;

use super::plan::Slot;
use super::rows::{atype, data, id, otype, small, time, version};
use super::{News, READ_PATIENCE, Storage, Trouble, news};
use crate::call::{AssocType, Data, Edge, Object, Time};
use crate::edges::{EdgeRef, Edges};
use crate::id::Id;
use crate::limits::{NEWS_MAX, POINTS_MAX, RANGE_MAX};
use crate::message::{Head, ObjectState, Points, Range};

pub(super) const OBJECT: Sql = Sql {
    name: "an object",
    text: "SELECT version, otype, data FROM graph_objects WHERE hk = $1 AND id = $2",
};
/// A list without edges is one row without an edge.
pub(super) const HEAD: Sql = Sql {
    name: "the head of a list",
    text: "SELECT l.version, l.count, e.id2, e.time, e.data
           FROM graph_lists AS l LEFT JOIN graph_assocs AS e
               ON e.hk = l.hk AND e.id1 = l.id1 AND e.atype = l.atype
           WHERE l.hk = $1 AND l.id1 = $2 AND l.atype = $3
           ORDER BY e.time DESC, e.id2 DESC LIMIT $4",
};
pub(super) const RANGE: Sql = Sql {
    name: "a range of a list",
    text: "SELECT id2, time, data FROM graph_assocs
           WHERE hk = $1 AND id1 = $2 AND atype = $3 AND time <= $4 AND time >= $5
           ORDER BY time DESC, id2 DESC LIMIT $6 OFFSET $7",
};
pub(super) const POINTS: Sql = Sql {
    name: "some associations",
    text: "SELECT id2, time, data FROM graph_assocs WHERE hk = $1 AND id1 = $2 AND atype = $3
           AND id2 IN ($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
};
/// Ends that one statement asks for. TAOBench and LinkBench ask for 1 to 3 at a time, seldom for more than 10.
const POINTS_AT_ONCE: usize = 16;
pub(super) const EDGE: Sql = Sql {
    name: "an association",
    text: "SELECT time, data FROM graph_assocs WHERE hk = $1 AND id1 = $2 AND atype = $3 AND id2 = $4",
};
pub(super) const PAGE_OBJECTS: Sql = Sql {
    name: "a page of objects",
    text: "SELECT id, version, otype, data FROM graph_objects
           WHERE (hk, id) > ($1, $2) AND data IS NOT NULL ORDER BY hk, id LIMIT $3",
};
pub(super) const PAGE_ASSOCS: Sql = Sql {
    name: "a page of associations",
    text: "SELECT id1, atype, id2, time, data FROM graph_assocs
           WHERE (hk, id1, atype, id2) > ($1, $2, $3, $4) ORDER BY hk, id1, atype, id2 LIMIT $5",
};
/// The cheapest read: it finds nothing, and every answer carries its position.
pub(super) const NOTHING: Sql =
    Sql { name: "the newest position", text: "SELECT hk FROM graph_leader WHERE hk = $1 AND hk <> $1" };

impl Storage {
    /// An object, and the position at which it was so.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn object(&self, id: Id) -> Result<(ObjectState, Position), Trouble> {
        let found = self.read(self.of(id), &OBJECT, vec![id.hk().into(), id.into()]).await?;
        let Some(row) = found.rows.first() else { return Ok((ObjectState::default(), found.at)) };
        let object = if row.is_null(2) { None } else { Some((otype(row, 1)?, data(row, 2)?)) };
        Ok((ObjectState { version: version(row, 0)?, object }, found.at))
    }

    /// A list's count, version and `edges` newest edges (at most [`RANGE_MAX`], at least one), and the position at
    /// which it was so.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn head(&self, id1: Id, atype: AssocType, edges: u32) -> Result<(Head, Position), Trouble> {
        let limit = edges.clamp(1, RANGE_MAX);
        let args = vec![id1.hk().into(), id1.into(), atype.into(), i64::from(limit).into()];
        let found = self.read(self.of(id1), &HEAD, args).await?;
        let Some(first) = found.rows.first() else { return Ok((Head::default(), found.at)) };
        let (version, count) = (version(first, 0)?, small(first, 1)?);
        let rows = if first.is_null(2) { &[] } else { &found.rows[..] };
        Ok((Head { version, count, edges: run(rows, 2)? }, found.at))
    }

    /// Part of a list, newest first. At most [`RANGE_MAX`] edges.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn range(&self, range: &Range) -> Result<Edges, Trouble> {
        let Range { id1, atype, high, low, skip, limit } = *range;
        let mut args = vec![id1.hk().into(), id1.into(), atype.into(), high.into(), low.into()];
        args.extend([i64::from(limit.min(RANGE_MAX)).into(), i64::from(skip).into()]);
        let found = self.read(self.of(id1), &RANGE, args).await?;
        run(&found.rows, 0)
    }

    /// Those of the edges asked for that there are, in the order of their list. At most [`POINTS_MAX`] are looked
    /// for. More than sixteen are not all of one moment.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn points(&self, points: &Points) -> Result<Edges, Trouble> {
        let Points { id1, atype, id2s } = points;
        let mut wanted = id2s[..id2s.len().min(POINTS_MAX)].to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let mut found = Vec::new();
        for some in wanted.chunks(POINTS_AT_ONCE) {
            let mut args: Vec<Value> = vec![id1.hk().into(), (*id1).into(), (*atype).into()];
            args.extend(some.iter().map(|id2| Value::from(*id2)));
            // To ask for one of them again costs nothing.
            args.resize(3 + POINTS_AT_ONCE, some[0].into());
            for row in self.read(self.of(*id1), &POINTS, args).await?.rows {
                found.push(edge(&row, 0)?);
            }
        }
        found.sort_unstable_by_key(|edge| std::cmp::Reverse((edge.time, edge.id2)));
        Ok(Edges::of(found.iter().map(borrowed)))
    }

    /// The newest position of a database.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn position(&self, shard: u32) -> Result<Position, Trouble> {
        let shard = self.set.get(shard);
        Ok(self.read(shard, &NOTHING, vec![shard.hk_min().into()]).await?.at)
    }

    /// What happened on a database after `from`, at most `max` things (and at most [`NEWS_MAX`]).
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn news(&self, shard: u32, from: Position, max: usize) -> Result<News, Trouble> {
        let index = shard;
        let shard = self.set.get(index);
        let max = max.min(NEWS_MAX);
        // Asked before the news are: if nothing more is told, everything up to here is known.
        let newest = *self.changed(index).borrow();
        let events = match timeout(READ_PATIENCE, shard.changes(from, max)).await {
            Err(_) => return Err(Trouble::Late),
            Ok(Err(ChangesError::TooOld { .. })) => {
                return Ok(News::Missed { now: self.position(index).await? });
            }
            Ok(Err(ChangesError::Read(error))) => return Err(error.into()),
            Ok(Ok(events)) => events,
        };
        let last = events.last().map_or(from, |(at, _)| *at);
        // A full page may not be all; less than one is, for these news are small (see `EDGE_DATA_MAX`).
        let up_to = if events.len() < max { last.max(newest) } else { last };
        let changes = events.into_iter().filter_map(|(at, event)| Some((at, news::read(event)?))).collect();
        Ok(News::Changes { changes, up_to })
    }

    /// At most `max` objects of a database after an id, in the order of their rows: no object is left out or given
    /// twice while others come and go. Fewer than `max` are not the end, none is.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn page_objects(
        &self,
        shard: u32,
        after: Option<Id>,
        max: usize,
    ) -> Result<Vec<Object>, Trouble> {
        let after =
            after.map_or_else(|| vec![self.start(shard), 0.into()], |id| vec![id.hk().into(), id.into()]);
        let rows = self.page(shard, &PAGE_OBJECTS, after, max).await?;
        let object = |row: &Row| {
            let (id, version, otype) = (id(row, 0)?, version(row, 1)?, otype(row, 2)?);
            Ok(Object { id, otype, version, data: data(row, 3)? })
        };
        rows.iter().map(object).collect()
    }

    /// The same for associations.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn page_assocs(
        &self,
        shard: u32,
        after: Option<(Id, AssocType, Id)>,
        max: usize,
    ) -> Result<Vec<(Id, AssocType, Edge)>, Trouble> {
        let after = match after {
            Some((id1, atype, id2)) => Slot { id1, atype, id2 }.args(),
            None => vec![self.start(shard), 0.into(), 0.into(), 0.into()],
        };
        let rows = self.page(shard, &PAGE_ASSOCS, after, max).await?;
        rows.iter().map(|row| Ok((id(row, 0)?, atype(row, 1)?, edge(row, 2)?))).collect()
    }

    pub(super) async fn edge(&self, slot: Slot) -> Result<Option<(Time, Data)>, Trouble> {
        let found = self.read(self.of(slot.id1), &EDGE, slot.args()).await?;
        found.rows.first().map(|row| Ok((time(row, 0)?, data(row, 1)?))).transpose()
    }

    /// Before all rows of a database: every id is above 0.
    fn start(&self, shard: u32) -> Value {
        self.set.get(shard).hk_min().into()
    }

    /// Where as many rows as asked for are more than one answer holds, half of them are asked for, and so on down to
    /// one, which always fits.
    async fn page(
        &self,
        shard: u32,
        sql: &'static Sql,
        after: Vec<Value>,
        max: usize,
    ) -> Result<Rows, Trouble> {
        let mut max = max.clamp(1, seawall_store::limits::ROWS_MAX);
        loop {
            let mut args = after.clone();
            args.push(Value::Int(max as i64));
            match self.ask(self.set.get(shard), sql, args).await {
                Err(ReadError::TooMany) if max > 1 => max /= 2,
                other => return Ok(other?.rows),
            }
        }
    }
}

/// Edges whose end, time and data begin at a column, in order already.
fn run(rows: &[Row], column: usize) -> Result<Edges, Trouble> {
    let parts = rows.iter().map(|row| {
        let (id2, time) = (id(row, column)?, time(row, column + 1)?);
        Ok(EdgeRef { id2, time, data: row.blob(column + 2)? })
    });
    Ok(Edges::of(parts.collect::<Result<Vec<_>, Trouble>>()?))
}

fn edge(row: &Row, column: usize) -> Result<Edge, Trouble> {
    let (id2, time) = (id(row, column)?, time(row, column + 1)?);
    Ok(Edge { id2, time, data: data(row, column + 2)? })
}

fn borrowed(edge: &Edge) -> EdgeRef<'_> {
    EdgeRef { id2: edge.id2, time: edge.time, data: edge.data.bytes() }
}
