//! Rows that ask for one thing, over and over.

use seawall_policy::Rng;

use super::op::{Data, Edge, Kind, Op};
use super::world::{Fresh, Scale, row_object};

/// What one operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// An object, one at a time.
    Get,
    /// The ten newest edges of a list: ids and times.
    Range,
    /// The same with their data.
    RangeData,
    /// [`Row::DEPTH`] objects, asked for one by one and all at once.
    Pipeline,
    /// As many in one command.
    MultiGet,
    /// An edge with its inverse and both counts, durable.
    Add,
}

impl Row {
    pub(super) const ALL: [Row; 6] =
        [Row::Get, Row::Range, Row::RangeData, Row::Pipeline, Row::MultiGet, Row::Add];
    /// Objects of the two rows that ask for many.
    pub(super) const DEPTH: usize = 16;

    pub(super) fn name(self) -> &'static str {
        match self {
            Row::Get => "OBJ.GET",
            Row::Range => "ASSOC.RANGE 0 10",
            Row::RangeData => "ASSOC.RANGE 0 10 WITHDATA",
            Row::Pipeline => "16 OBJ.GET, pipelined",
            Row::MultiGet => "OBJ.MGET of 16",
            Row::Add => "ASSOC.ADD, durable",
        }
    }

    /// What the opponent does.
    pub(super) fn theirs(self) -> &'static str {
        match self {
            Row::Get => "Redis GET",
            Row::Range => "Redis ZREVRANGE 0 9 WITHSCORES",
            Row::RangeData => "Redis ZREVRANGE, then MGET",
            Row::Pipeline => "Redis 16 GET, pipelined",
            Row::MultiGet => "Redis MGET of 16",
            Row::Add => "PostgreSQL transaction",
        }
    }

    /// An object that is there.
    pub(super) fn object(self, scale: Scale, rng: &mut Rng) -> u64 {
        row_object(rng.below(scale.row_objects))
    }

    /// An object with a list.
    pub(super) fn list(self, scale: Scale, rng: &mut Rng) -> u64 {
        row_object(rng.below(scale.row_lists))
    }

    /// An edge between two that are there.
    pub(super) fn link(self, scale: Scale, fresh: &Fresh, rng: &mut Rng) -> Op {
        let from = rng.below(scale.row_objects);
        let to = (from + 1 + rng.below(scale.row_objects - 1)) % scale.row_objects;
        let edge = Edge { id1: row_object(from), kind: Kind::Likes, id2: row_object(to) };
        Op::Link { edge, time: fresh.time(), data: Data { stamp: 0, len: 24 } }
    }
}
