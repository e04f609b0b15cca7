//! The kinds of placement by name, and what each would do with a number of members.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::maglev::{self, Maglev};
use super::presets;
use super::rendezvous::Rendezvous;
use super::report::{Change, View, sample};
use super::ring::{Bound, POINTS_DEFAULT, Ring};

/// Most members that are compared: as many as a ring holds at its default number of points.
pub const MEMBERS_MAX: u32 = 256;

/// Most keys in a comparison's sample.
pub const KEYS_MAX: u64 = 1_000_000;

/// A way of placing keys on members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A [`Ring`] with its default points.
    Ring,
    /// The same, and nobody above the default [`Bound`].
    RingBounded,
    /// [`Rendezvous`].
    Rendezvous,
    /// [`Maglev`] with its default size.
    Maglev,
    /// The link document's [ring](super::ring_crc32).
    RingCrc32,
    /// The remainder of the hash: what not to do, to compare with.
    Modulo,
}

/// Not the name of a [`Kind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no kind of placement; use one of {}", names())]
pub struct KindError {
    /// What it says instead.
    pub name: String,
}

/// A comparison nobody should wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: use 1 to {max}; it says {found}")]
pub struct OutOfRange {
    /// Which number.
    pub what: &'static str,
    /// The most it may be.
    pub max: u64,
    /// What it is.
    pub found: u64,
}

/// How one kind spreads before and after a change of members, and what the change moves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// Of which kind.
    pub kind: Kind,
    /// Keys in the sample.
    pub keys: u64,
    /// Shares before and after, and movement.
    #[serde(flatten)]
    pub change: Change,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] =
        [Kind::Ring, Kind::RingBounded, Kind::Rendezvous, Kind::Maglev, Kind::RingCrc32, Kind::Modulo];

    /// The name used in commands and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Ring => "ring",
            Kind::RingBounded => "ring-bounded",
            Kind::Rendezvous => "rendezvous",
            Kind::Maglev => "maglev",
            Kind::RingCrc32 => "ring-crc32",
            Kind::Modulo => "modulo",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(name: &str) -> Result<Kind, KindError> {
        let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == name);
        found.ok_or_else(|| KindError { name: name.to_owned() })
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

fn names() -> String {
    Kind::ALL.map(Kind::as_str).join(", ")
}

/// Members in a comparison are called `node-0`, `node-1` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Node(u32);

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node-{}", self.0)
    }
}

/// What `kind` does with a sample of `keys` when the first `before` members become the first `after`.
///
/// # Errors
/// When a number is 0, or above [`MEMBERS_MAX`] or [`KEYS_MAX`].
pub fn compare(kind: Kind, before: u32, after: u32, keys: u64) -> Result<Comparison, OutOfRange> {
    let within = |what, found: u64, max: u64| {
        if (1..=max).contains(&found) { Ok(()) } else { Err(OutOfRange { what, max, found }) }
    };
    within("members before", before.into(), MEMBERS_MAX.into())?;
    within("members after", after.into(), MEMBERS_MAX.into())?;
    within("keys", keys, KEYS_MAX)?;
    let members: Vec<Node> = (0..before.max(after)).map(Node).collect();
    let view = |n: u32| {
        let members = &members[..n as usize];
        View { members, place: place(kind, members, keys) }
    };
    Ok(Comparison { kind, keys, change: Change::measure(&view(before), &view(after), keys) })
}

/// Where a kind puts the keys of the sample, given its members.
fn place(kind: Kind, members: &[Node], keys: u64) -> Box<dyn Fn(u64) -> Option<Node>> {
    let weighed: Vec<(Node, u32)> = members.iter().map(|member| (*member, 1)).collect();
    let ring = || Ring::new(&weighed, POINTS_DEFAULT);
    let n = members.len() as u32;
    match kind {
        Kind::Ring => {
            let ring = ring();
            Box::new(move |hash| ring.owner(hash).copied())
        }
        Kind::RingBounded => {
            let placed = assigned(&ring(), keys);
            Box::new(move |hash| placed.get(&hash).copied())
        }
        Kind::Rendezvous => {
            let members = Rendezvous::new(&weighed);
            Box::new(move |hash| members.owner(hash).copied())
        }
        Kind::Maglev => {
            let table = Maglev::new(&weighed, maglev::SIZE_DEFAULT);
            Box::new(move |hash| table.lookup(hash).copied())
        }
        Kind::RingCrc32 => {
            let ring = presets::s2_links(n);
            // The sample has hashes and no text; half of one is as good a checksum as any.
            Box::new(move |hash| Some(Node(ring.shard_at((hash >> 32) as u32))))
        }
        Kind::Modulo => Box::new(move |hash| Some(Node((hash % u64::from(n)) as u32))),
    }
}

/// The whole sample placed at once.
fn assigned(ring: &Ring<Node>, keys: u64) -> HashMap<u64, Node> {
    let hashes: Vec<u64> = sample(keys).collect();
    let owners = ring.assign(&hashes, Bound::default()).into_iter().flatten().copied();
    hashes.iter().copied().zip(owners).collect()
}

impl fmt::Display for Comparison {
    /// Four lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} keys\n{}", self.kind, self.keys, self.change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_name_and_others_are_told_which_there_are() {
        assert!(Kind::ALL.into_iter().all(|kind| kind.to_string().parse() == Ok(kind)));
        let wrong = "rng".parse::<Kind>().unwrap_err().to_string();
        assert_eq!(
            wrong,
            "\"rng\" is no kind of placement; use one of ring, ring-bounded, rendezvous, maglev, ring-crc32, modulo"
        );
    }

    #[test]
    fn a_comparison_is_four_lines_and_one_object() {
        let report = compare(Kind::Modulo, 1, 2, 4).unwrap();
        let text = report.to_string();
        assert!(
            text.starts_with("modulo, 4 keys\nbefore: 1 member: ") && text.lines().count() == 4,
            "{text}"
        );
        let object = serde_json::to_value(report).unwrap();
        assert_eq!((&object["kind"], &object["movement"]["due"]), (&"modulo".into(), &0.5.into()));
    }

    #[test]
    fn numbers_out_of_range_are_named_with_what_to_use() {
        let refused = |before, after, keys| compare(Kind::Ring, before, after, keys).unwrap_err().to_string();
        assert_eq!(refused(0, 1, 1), "members before: use 1 to 256; it says 0");
        assert_eq!(refused(1, 257, 1), "members after: use 1 to 256; it says 257");
        assert_eq!(refused(1, 1, 1_000_001), "keys: use 1 to 1000000; it says 1000001");
    }
}
