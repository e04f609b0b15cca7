//! What memory keeps of a key, and what that costs.
//!
//! ## Why so tight
//!
//! A graph's items are small (an object of 150 bytes, a list of four edges), so what stands around them decides how
//! many fit. A key is twelve bytes; version, count and age share two words; and the bytes lie in one allocation behind
//! their reference count, cut to sixteen, where a `Vec` inside a `Bytes` would take two allocations and keep whatever
//! the parser had reserved too much. Copying costs tens of nanoseconds once; a budget that counts is worth that.

use std::hash::{BuildHasher, Hash, Hasher};

use bytes::Bytes;
use quick_cache::{Equivalent, Weighter};

use crate::call::{AssocType, Key, ObjectType, Version};
use crate::edges::Edges;
use crate::id::Id;
use crate::limits::HEAD_MAX;
use crate::message::{Head, ObjectState, State};

/// Bytes of one place in quick_cache's slab: key, entry, its links and its flags. A test compares it with what
/// quick_cache says.
pub(super) const SLOT: u64 = 72;
/// Up to so many bytes lie together with their reference count.
const TOGETHER_MAX: usize = 256;
/// Versions and counts above this do not fit beside the age. A million changes a second take nine years to get there.
const NUMBER_MAX: u64 = 1 << 48;

/// A key in twelve bytes: the id, then 0 for the object or 1 more than the list's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed([u32; 3]);

impl Packed {
    pub(super) fn key(self) -> Key {
        let [low, high, list] = self.0;
        let id = Id::try_from(u64::from(high) << 32 | u64::from(low)).expect("packed from an id");
        match list.checked_sub(1) {
            None => Key::Object(id),
            Some(atype) => Key::List(id, AssocType(atype as u16)),
        }
    }
}

impl From<Key> for Packed {
    fn from(key: Key) -> Packed {
        let id = key.id().get();
        let list = match key {
            Key::Object(_) => 0,
            Key::List(_, atype) => u32::from(atype.0) + 1,
        };
        Packed([id as u32, (id >> 32) as u32, list])
    }
}

impl Hash for Packed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.key().hash());
    }
}

/// A key with its hash, computed once for segment and table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sought {
    pub(super) packed: Packed,
    pub(super) hash: u64,
}

impl From<Key> for Sought {
    fn from(key: Key) -> Sought {
        Sought { packed: key.into(), hash: key.hash() }
    }
}

impl Hash for Sought {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Packed> for Sought {
    fn equivalent(&self, key: &Packed) -> bool {
        self.packed == *key
    }
}

/// Hands on the hash a key brings along.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ready;

/// The hash, once it was handed over.
#[derive(Debug, Default)]
pub(super) struct Given(u64);

impl BuildHasher for Ready {
    type Hasher = Given;

    fn build_hasher(&self) -> Given {
        Given::default()
    }
}

impl Hasher for Given {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys bring their hash along");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What is known of a key, in 48 bytes besides its data.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// An object's fields, or a run of edges.
    bytes: Bytes,
    /// 48 bits of version, then the upper half of the age.
    version: u64,
    /// 48 bits of count (of an object: 0 if there is none, else 1 more than its type), then the lower half of the age.
    count: u64,
}

impl Entry {
    /// Of a state that was true at `seconds`. Nothing if it would take more than `size_max` bytes; a list is cut until
    /// it does not.
    pub(super) fn of(state: &State, seconds: u32, size_max: u64) -> Option<Entry> {
        let (version, count, bytes) = match state {
            State::Object(ObjectState { version, object: None }) => (*version, 0, Bytes::new()),
            State::Object(ObjectState { version, object: Some((otype, data)) }) => {
                if data.bytes().len() as u64 > size_max {
                    return None;
                }
                (*version, u64::from(otype.0) + 1, own(data.bytes()))
            }
            State::List(head) => {
                let mut edges = head.edges.cut(HEAD_MAX as usize);
                // Halving ends after as many rounds as its length has bits.
                while edges.size() as u64 > size_max && !edges.is_empty() {
                    edges = edges.cut(edges.len() / 2);
                }
                // What has no edges needs no bytes.
                let bytes = if edges.is_empty() { Bytes::new() } else { own(&Bytes::from(edges)) };
                (head.version, head.count, bytes)
            }
        };
        if version.0 >= NUMBER_MAX || count >= NUMBER_MAX {
            return None;
        }
        let (upper, lower) = (u64::from(seconds >> 16), u64::from(seconds & 0xFFFF));
        Some(Entry { bytes, version: version.0 << 16 | upper, count: count << 16 | lower })
    }

    pub(super) fn version(&self) -> Version {
        Version(self.version >> 16)
    }

    /// When it was known to be true, in seconds.
    pub(super) fn seconds(&self) -> u32 {
        ((self.version & 0xFFFF) << 16 | self.count & 0xFFFF) as u32
    }

    /// Of a list: how many edges there are in it.
    pub(super) fn count(&self) -> u64 {
        self.count >> 16
    }

    /// As an object.
    pub(super) fn object(&self) -> ObjectState {
        let object =
            self.count().checked_sub(1).map(|otype| (ObjectType(otype as u16), self.bytes.clone().into()));
        ObjectState { version: self.version(), object }
    }

    /// As a list.
    pub(super) fn head(&self) -> Head {
        let edges =
            if self.bytes.is_empty() { Edges::default() } else { Edges::from_memory(self.bytes.clone()) };
        Head { version: self.version(), count: self.count(), edges }
    }

    /// As what its key is.
    pub(super) fn state(&self, key: Key) -> State {
        match key {
            Key::Object(_) => State::Object(self.object()),
            Key::List(..) => State::List(self.head()),
        }
    }

    /// Whether the `edges` newest of a list are here, or all there are.
    pub(super) fn holds(&self, edges: u32) -> bool {
        let kept = match self.bytes.first_chunk::<4>() {
            Some(len) => u32::from_le_bytes(*len),
            None => 0,
        };
        kept >= edges || u64::from(kept) >= self.count()
    }

    /// Bytes outside its slot.
    pub(super) fn heap(&self) -> u64 {
        heap(self.bytes.len())
    }
}

/// Counts what an entry takes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weight;

impl Weighter<Packed, Entry> for Weight {
    fn weight(&self, _: &Packed, entry: &Entry) -> u64 {
        SLOT + entry.heap()
    }
}

/// What an allocator takes for `len` bytes of ours: glibc puts 8 before each piece and rounds up to 16.
fn heap(len: usize) -> u64 {
    let piece = |len: usize| (len as u64 + 8).next_multiple_of(16);
    match len {
        0 => 0,
        1..=TOGETHER_MAX => piece(len.next_multiple_of(16) + 8),
        // And 24 for the reference count, which lies by itself.
        _ => piece(len) + piece(24),
    }
}

/// A copy in one piece of just its size, so that nobody's spare room is kept alive and the weight is true. Cloning it
/// never allocates.
fn own(bytes: &[u8]) -> Bytes {
    fn together<const N: usize>(bytes: &[u8]) -> Bytes {
        let mut piece = [0; N];
        piece[..bytes.len()].copy_from_slice(bytes);
        let mut owned = Bytes::from_owner(piece);
        owned.truncate(bytes.len());
        owned
    }
    match bytes.len().div_ceil(16) {
        0 => Bytes::new(),
        1 => together::<16>(bytes),
        2 => together::<32>(bytes),
        3 => together::<48>(bytes),
        4 => together::<64>(bytes),
        5 => together::<80>(bytes),
        6 => together::<96>(bytes),
        7 => together::<112>(bytes),
        8 => together::<128>(bytes),
        9 => together::<144>(bytes),
        10 => together::<160>(bytes),
        11 => together::<176>(bytes),
        12 => together::<192>(bytes),
        13 => together::<208>(bytes),
        14 => together::<224>(bytes),
        15 => together::<240>(bytes),
        16 => together::<256>(bytes),
        _ => {
            let owned = Bytes::from(bytes.to_vec());
            // The first clone gives it its reference count: now, and not on somebody's hit.
            drop(owned.clone());
            owned
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Data, Time};
    use crate::edges::EdgeRef;

    fn id(number: u64) -> Id {
        Id::try_from(number).unwrap()
    }

    #[test]
    fn keys_survive_packing() {
        for number in [1, 77, 1 << 47, i64::MAX as u64] {
            for key in [
                Key::Object(id(number)),
                Key::List(id(number), AssocType(0)),
                Key::List(id(number), AssocType(u16::MAX)),
            ] {
                assert_eq!(Packed::from(key).key(), key);
            }
        }
    }

    #[test]
    fn states_survive_being_kept() {
        let edges = Edges::of([EdgeRef { id2: id(9), time: Time(5), data: b"abc" }]);
        for state in [
            State::Object(ObjectState::default()),
            State::Object(ObjectState { version: Version(7), object: None }),
            State::Object(ObjectState {
                version: Version(8),
                object: Some((ObjectType(0), Data::default())),
            }),
            State::Object(ObjectState {
                version: Version(9),
                object: Some((ObjectType(u16::MAX), vec![7; 5000].into())),
            }),
            State::List(Head::default()),
            State::List(Head { version: Version(3), count: 1 << 40, edges: Edges::default() }),
            State::List(Head { version: Version(NUMBER_MAX - 1), count: 1, edges }),
        ] {
            let key = if matches!(state, State::Object(_)) {
                Key::Object(id(1))
            } else {
                Key::List(id(1), AssocType(1))
            };
            for seconds in [0, 0xFFFF, 0x1_0000, u32::MAX] {
                let entry = Entry::of(&state, seconds, 10_000).unwrap();
                assert_eq!(
                    (entry.state(key), entry.version(), entry.seconds()),
                    (state.clone(), state.version(), seconds)
                );
            }
        }
        let beyond = State::Object(ObjectState { version: Version(NUMBER_MAX), object: None });
        assert!(Entry::of(&beyond, 0, 10_000).is_none());
    }

    #[test]
    fn what_is_too_large_is_cut_or_not_kept() {
        let object = State::Object(ObjectState {
            version: Version(1),
            object: Some((ObjectType(1), vec![0; 101].into())),
        });
        assert!(Entry::of(&object, 0, 100).is_none());
        let edges =
            Edges::of((1..=100).rev().map(|n| EdgeRef { id2: id(n), time: Time(n as u32), data: b"" }));
        let list = State::List(Head { version: Version(1), count: 100, edges: edges.clone() });
        let kept = Entry::of(&list, 0, 1000).unwrap().head();
        assert_eq!((kept.count, kept.edges.clone()), (100, edges.cut(50)));
        assert!(!kept.is_whole());
    }

    #[test]
    fn weights_are_what_the_allocator_hands_out() {
        for len in (0..300).chain([1000, 4096, 100_000]) {
            let bytes = vec![1; len];
            let mut owned = Bytes::new();
            let info = allocation_counter::measure(|| owned = own(&bytes));
            assert_eq!(owned, bytes);
            // The counter sees what was asked for, not the allocator's own 8 bytes and rounding for each piece.
            let (asked, pieces) = (info.bytes_current as u64, info.count_current as u64);
            assert!(heap(len) >= asked + 8 * pieces, "{len}: {asked} in {pieces}");
            assert!(heap(len) <= asked + 24 * pieces, "{len}: {asked} in {pieces}");
            let again = allocation_counter::measure(|| drop(owned.clone()));
            assert_eq!(again.count_total, 0, "{len}: a hit does not allocate");
        }
    }
}
