//! What a mix asks for, in words that every contender understands.
//!
//! Ids are the same numbers for all of them. What is written carries a *stamp*, a number of that write, in its first
//! eight characters: that is how a read tells which write it shows (see `stale.rs`).

use std::sync::OnceLock;

use seawall_policy::Rng;

/// Shortest data: a stamp.
pub(super) const STAMP_LEN: usize = 8;
/// Longest data of an object and of an edge.
pub(super) const OBJECT_LEN_MAX: u64 = 4096;
pub(super) const EDGE_LEN_MAX: u64 = 255;
/// Random letters that data is cut from.
const LETTERS: usize = 1 << 16;

/// A type of association.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Kind {
    /// TAOBench's four; those in both directions are their own inverse.
    Unique = 1,
    Bidirectional = 2,
    Both = 3,
    Other = 4,
    /// LinkBench's two.
    LinkA = 5,
    LinkB = 6,
    /// Of the rows that ask for one thing: lists to read, and a pair to write.
    Entry = 7,
    Likes = 8,
    LikedBy = 9,
}

/// The schema the graph is given; numbers as in [`Kind`]. `range_max` × `data_max` is held to what one answer may be.
pub(super) const SCHEMA: &str = r#"
[object.item]
number = 1
fields.value = { number = 1, type = "text", max = 4096 }

[association.uniq]
number = 1
data_max = 300
fields.value = { number = 1, type = "text", max = 256 }

[association.bidirectional]
number = 2
inverse = "same"
data_max = 300
fields.value = { number = 1, type = "text", max = 256 }

[association.both]
number = 3
inverse = "same"
data_max = 300
fields.value = { number = 1, type = "text", max = 256 }

[association.other]
number = 4
data_max = 300
fields.value = { number = 1, type = "text", max = 256 }

[association.link_a]
number = 5
data_max = 300
fields.value = { number = 1, type = "text", max = 256 }

[association.link_b]
number = 6
data_max = 300
fields.value = { number = 1, type = "text", max = 256 }

[association.entry]
number = 7
data_max = 300
fields.value = { number = 1, type = "text", max = 256 }

[association.likes]
number = 8
inverse = "liked_by"
data_max = 300
fields.value = { number = 1, type = "text", max = 256 }

[association.liked_by]
number = 9
inverse = "likes"
data_max = 300
fields.value = { number = 1, type = "text", max = 256 }
"#;

impl Kind {
    /// As the schema calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Unique => "uniq",
            Kind::Bidirectional => "bidirectional",
            Kind::Both => "both",
            Kind::Other => "other",
            Kind::LinkA => "link_a",
            Kind::LinkB => "link_b",
            Kind::Entry => "entry",
            Kind::Likes => "likes",
            Kind::LikedBy => "liked_by",
        }
    }

    /// The type of the edge in the other direction.
    pub(super) fn inverse(self) -> Option<Kind> {
        match self {
            Kind::Bidirectional | Kind::Both => Some(self),
            Kind::Likes => Some(Kind::LikedBy),
            Kind::LikedBy => Some(Kind::Likes),
            _ => None,
        }
    }

    /// As a column holds it.
    pub(super) fn number(self) -> i16 {
        self as i16
    }
}

/// One edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Edge {
    pub id1: u64,
    pub kind: Kind,
    pub id2: u64,
}

impl Edge {
    /// The edge in the other direction, where its type has one.
    pub(super) fn back(self) -> Option<Edge> {
        Some(Edge { id1: self.id2, kind: self.kind.inverse()?, id2: self.id1 })
    }
}

/// Data to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Data {
    pub stamp: u32,
    /// Bytes.
    pub len: u32,
}

impl Data {
    /// Its text: the stamp, then letters.
    pub(super) fn text(self) -> Vec<u8> {
        let mut text = format!("{:08x}", self.stamp).into_bytes();
        let rest = (self.len as usize).saturating_sub(STAMP_LEN);
        let from = self.stamp as usize * 31 % (LETTERS - OBJECT_LEN_MAX as usize);
        text.extend_from_slice(&letters()[from..from + rest]);
        text
    }
}

/// The stamp in a text that [`Data::text`] made.
pub(super) fn stamp(text: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(text.get(..STAMP_LEN)?).ok()?, 16).ok()
}

fn letters() -> &'static [u8] {
    static ALL: OnceLock<Vec<u8>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut rng = Rng::new(0x1e77e5);
        (0..LETTERS).map(|_| b'a' + rng.below(26) as u8).collect()
    })
}

/// One thing a client does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Op {
    /// Reads an object.
    Get(u64),
    /// Reads objects and single edges together.
    Many { objects: Vec<u64>, edges: Vec<Edge> },
    /// Reads single edges of one list.
    Points { id1: u64, kind: Kind, id2s: Vec<u64> },
    /// Reads the newest edges of a list with their data, or those not above a time.
    Range { id1: u64, kind: Kind, limit: u32, high: Option<u32> },
    /// Asks how long a list is.
    Count { id1: u64, kind: Kind },
    /// Makes an object.
    Add { id: u64, data: Data },
    /// Changes one.
    Update { id: u64, data: Data },
    /// Takes one away.
    Delete { id: u64, stamp: u32 },
    /// Makes an edge, or overwrites it; with its inverse and both counts.
    Link { edge: Edge, time: u32, data: Data },
    /// Takes one away, with its inverse.
    Unlink { edge: Edge, stamp: u32 },
    /// Some writes together.
    Writes(Vec<Op>),
}

/// What a check reads again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Object(u64),
    Edge(Edge),
}

impl Key {
    /// One name for an edge and its inverse: a change of either is one of both.
    pub(super) fn either_way(self) -> Key {
        match self {
            Key::Edge(edge) => match edge.back() {
                Some(back) if back.id1 < edge.id1 => Key::Edge(back),
                _ => self,
            },
            Key::Object(_) => self,
        }
    }
}

impl Op {
    /// Whether it only reads.
    pub(super) fn is_read(&self) -> bool {
        use Op::{Count, Get, Many, Points, Range};
        matches!(self, Get(_) | Many { .. } | Points { .. } | Range { .. } | Count { .. })
    }

    /// What it writes, with a stamp to fill in; nothing for reads.
    pub(super) fn write(&mut self) -> Option<(Key, &mut u32, bool)> {
        match self {
            Op::Add { id, data } | Op::Update { id, data } => {
                Some((Key::Object(*id), &mut data.stamp, false))
            }
            Op::Delete { id, stamp } => Some((Key::Object(*id), stamp, true)),
            Op::Link { edge, data, .. } => Some((Key::Edge(*edge), &mut data.stamp, false)),
            Op::Unlink { edge, stamp } => Some((Key::Edge(*edge), stamp, true)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_as_long_as_said_and_shows_its_stamp() {
        for (number, len) in [(0, 8), (0x00ab_cdef, 150), (u32::MAX, 4096)] {
            let text = Data { stamp: number, len }.text();
            assert_eq!((text.len(), stamp(&text)), (len as usize, Some(number)));
            assert!(text.iter().all(u8::is_ascii_alphanumeric));
        }
        assert_eq!(stamp(b"short"), None);
    }

    #[test]
    fn an_edge_and_its_inverse_are_one_thing_to_check() {
        let edge = Edge { id1: 9, kind: Kind::Likes, id2: 4 };
        let back = edge.back().unwrap();
        assert_eq!((back.kind, back.back()), (Kind::LikedBy, Some(edge)));
        assert_eq!(Key::Edge(edge).either_way(), Key::Edge(back).either_way());
        let one_way = Key::Edge(Edge { kind: Kind::Other, ..edge });
        assert_eq!(one_way.either_way(), one_way);
    }

    #[test]
    fn the_schema_says_the_same_as_the_types() {
        let schema: toml::Table = SCHEMA.parse().unwrap();
        use Kind::{Bidirectional, Both, Entry, LikedBy, Likes, LinkA, LinkB, Other, Unique};
        for kind in [Unique, Bidirectional, Both, Other, LinkA, LinkB, Entry, Likes, LikedBy] {
            let said = &schema["association"][kind.name()];
            assert_eq!(said["number"].as_integer(), Some(i64::from(kind.number())), "{kind:?}");
            let inverse = kind.inverse().map(|back| if back == kind { "same" } else { back.name() });
            assert_eq!(said.get("inverse").and_then(|name| name.as_str()), inverse, "{kind:?}");
        }
    }
}
