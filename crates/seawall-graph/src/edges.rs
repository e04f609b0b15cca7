//! A run of a list's edges in one piece of memory, newest first.
//!
//! ```text
//! count: u32 | count × (time: u32, id2: u64, end of data: u32) | data of all, one after the other
//! ```
//!
//! Little-endian. Sixteen bytes an edge besides its data, no pointer, the n-th one found without a walk, and a run can
//! be shared between caches or sent as it is.

use std::cmp::Ordering;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::call::{Data, Edge, Time};
use crate::id::Id;

/// Bytes before the first entry.
const HEAD: usize = 4;
/// Bytes of an entry without its data.
const ENTRY: usize = 16;
/// Bytes of data one run may hold; what does not fit is left out of the end.
pub const DATA_MAX: usize = 64 << 20;

/// Edges of one list, newest first; among equal times the greater id comes first. No end appears twice.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub struct Edges(Bytes);

/// One of them, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeRef<'a> {
    /// The other end.
    pub id2: Id,
    /// What the list is sorted by.
    pub time: Time,
    /// Its encoded fields.
    pub data: &'a [u8],
}

/// Bytes that are no run of edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no run of edges")]
pub struct Malformed;

impl EdgeRef<'_> {
    /// As a value of its own.
    #[must_use]
    pub fn to_edge(self) -> Edge {
        Edge { id2: self.id2, time: self.time, data: Data::from(self.data.to_vec()) }
    }

    /// Where it stands in a list: before what is `Greater`.
    #[must_use]
    pub fn order(&self, time: Time, id2: Id) -> Ordering {
        (time, id2).cmp(&(self.time, self.id2))
    }
}

impl Default for Edges {
    fn default() -> Edges {
        Edges(Bytes::from_static(&[0; HEAD]))
    }
}

impl Edges {
    /// Edges that are in order already, as a statement with ORDER BY gives them. Beyond [`DATA_MAX`] bytes of data the
    /// rest is left out.
    pub fn of<'a>(edges: impl IntoIterator<Item = EdgeRef<'a>>) -> Edges {
        let (mut entries, mut data) = (Vec::new(), Vec::new());
        for edge in edges {
            if data.len() + edge.data.len() > DATA_MAX {
                break;
            }
            data.extend_from_slice(edge.data);
            entries.extend_from_slice(&edge.time.0.to_le_bytes());
            entries.extend_from_slice(&edge.id2.get().to_le_bytes());
            entries.extend_from_slice(&(data.len() as u32).to_le_bytes());
        }
        let mut bytes = Vec::with_capacity(HEAD + entries.len() + data.len());
        bytes.extend_from_slice(&((entries.len() / ENTRY) as u32).to_le_bytes());
        bytes.extend_from_slice(&entries);
        bytes.extend_from_slice(&data);
        Edges(bytes.into())
    }

    /// Bytes that were a run when memory took them in: no walk over them on each hit.
    pub(crate) fn from_memory(bytes: Bytes) -> Edges {
        debug_assert!(Edges(bytes.clone()).is_sound(), "memory gives back what it got");
        Edges(bytes)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.word(0) as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes they take.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// The n-th newest, from 0.
    #[must_use]
    pub fn get(&self, n: usize) -> Option<EdgeRef<'_>> {
        if n >= self.len() {
            return None;
        }
        let at = HEAD + n * ENTRY;
        let data = &self.0[HEAD + self.len() * ENTRY..];
        let start = if n == 0 { 0 } else { self.word(at - 4) as usize };
        let id = u64::from_le_bytes(self.0[at + 4..at + 12].try_into().expect("eight bytes"));
        let id2 = Id::try_from(id).expect("checked when the run was made");
        Some(EdgeRef { id2, time: Time(self.word(at)), data: &data[start..self.word(at + 12) as usize] })
    }

    /// All of them, newest first.
    pub fn iter(&self) -> impl Iterator<Item = EdgeRef<'_>> {
        (0..self.len()).filter_map(|n| self.get(n))
    }

    /// The first whose time is not above `high`: where a range of times begins.
    #[must_use]
    pub fn first_until(&self, high: Time) -> usize {
        let (mut low, mut end) = (0, self.len());
        while low < end {
            let middle = low.midpoint(end);
            if self.word(HEAD + middle * ENTRY) > high.0 {
                low = middle + 1;
            } else {
                end = middle;
            }
        }
        low
    }

    /// The edge to `id2`, by a walk.
    #[must_use]
    pub fn find(&self, id2: Id) -> Option<EdgeRef<'_>> {
        self.iter().find(|edge| edge.id2 == id2)
    }

    /// The same with `edge` in its place, instead of an older one to the same end.
    #[must_use]
    pub fn with(&self, edge: EdgeRef<'_>) -> Edges {
        let mut rest = self.iter().filter(|old| old.id2 != edge.id2).peekable();
        let mut new = Some(edge);
        Edges::of(std::iter::from_fn(|| {
            let is_due = rest.peek().is_none_or(|old| old.order(edge.time, edge.id2) == Ordering::Greater);
            if is_due && let Some(edge) = new.take() {
                return Some(edge);
            }
            rest.next()
        }))
    }

    /// The same without the edge to `id2`.
    #[must_use]
    pub fn without(&self, id2: Id) -> Edges {
        Edges::of(self.iter().filter(|edge| edge.id2 != id2))
    }

    /// The same, at most the `max` newest.
    #[must_use]
    pub fn cut(&self, max: usize) -> Edges {
        if self.len() <= max { self.clone() } else { Edges::of(self.iter().take(max)) }
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    /// Whether every place in it can be looked at.
    fn is_sound(&self) -> bool {
        let Some(head) = self.0.first_chunk::<HEAD>() else { return false };
        let count = u32::from_le_bytes(*head) as usize;
        let Some(data) = count.checked_mul(ENTRY).and_then(|n| self.0.len().checked_sub(HEAD + n)) else {
            return false;
        };
        let (mut start, mut before) = (0, None);
        for at in (0..count).map(|n| HEAD + n * ENTRY) {
            let end = self.word(at + 12) as usize;
            let id = u64::from_le_bytes(self.0[at + 4..at + 12].try_into().expect("eight bytes"));
            let place = (self.word(at), id);
            if end < start || end > data || Id::try_from(id).is_err() || before.is_some_and(|b| b <= place) {
                return false;
            }
            (start, before) = (end, Some(place));
        }
        start == data
    }
}

impl TryFrom<Bytes> for Edges {
    type Error = Malformed;

    fn try_from(bytes: Bytes) -> Result<Edges, Malformed> {
        let edges = Edges(bytes);
        if edges.is_sound() { Ok(edges) } else { Err(Malformed) }
    }
}

impl From<Edges> for Bytes {
    fn from(edges: Edges) -> Bytes {
        edges.0
    }
}

impl std::fmt::Debug for Edges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edges() -> impl Strategy<Value = Vec<(u32, u64, Vec<u8>)>> {
        let edge = (0..20_u32, 1..30_u64, proptest::collection::vec(any::<u8>(), 0..5));
        proptest::collection::vec(edge, 0..40)
    }

    fn edge((time, id2, data): &(u32, u64, Vec<u8>)) -> EdgeRef<'_> {
        EdgeRef { time: Time(*time), id2: Id::try_from(*id2).unwrap(), data }
    }

    /// The same list, kept the slow way.
    fn model(done: &[(u32, u64, Vec<u8>)]) -> Vec<(u32, u64, Vec<u8>)> {
        let mut list: Vec<(u32, u64, Vec<u8>)> = Vec::new();
        for one in done {
            list.retain(|old| old.1 != one.1);
            list.push(one.clone());
        }
        list.sort_by_key(|edge| std::cmp::Reverse((edge.0, edge.1)));
        list
    }

    proptest! {
        #[test]
        fn adding_and_taking_away_is_what_a_sorted_list_does(done in edges(), gone in 1..30_u64, high in 0..22_u32) {
            let run = done.iter().fold(Edges::default(), |run, one| run.with(edge(one)));
            let wanted = model(&done);
            let all = |run: &Edges| run.iter().map(|e| (e.time.0, e.id2.get(), e.data.to_vec())).collect::<Vec<_>>();
            prop_assert_eq!(all(&run), wanted.clone());
            prop_assert_eq!(&Edges::of(wanted.iter().map(edge)), &run);
            let first = wanted.iter().position(|e| e.0 <= high).unwrap_or(wanted.len());
            prop_assert_eq!(run.first_until(Time(high)), first);
            let without = run.without(Id::try_from(gone).unwrap());
            prop_assert_eq!(all(&without), wanted.iter().filter(|e| e.1 != gone).cloned().collect::<Vec<_>>());
            prop_assert_eq!(all(&run.cut(3)), wanted.iter().take(3).cloned().collect::<Vec<_>>());
            prop_assert_eq!(Edges::try_from(Bytes::from(run.clone())), Ok(run));
        }

        #[test]
        fn foreign_bytes_are_refused_or_can_be_walked(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(run) = Edges::try_from(Bytes::from(bytes)) {
                prop_assert_eq!(run.iter().count(), run.len());
            }
        }
    }
}
