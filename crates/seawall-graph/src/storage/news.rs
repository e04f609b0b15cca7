//! What is told with each commit, and how followers read it.
//!
//! An event's key is an object's id, or a list's with the other end; its body begins with what happened. What only
//! the commit knows (version, count) follows as numbers, which the store appends. An event whose statement touched
//! nothing has no numbers, and nothing happened.
//!
//! ```text
//! object:  key id            body 0                        numbers version …
//! put:     key id1 atype id2 body 1 time: u32 data…        numbers version count step
//! cut:     key id1 atype id2 body 2                        numbers version count step
//! ```
//!
//! Keys are big-endian, bodies little-endian.

use bytes::Bytes;
use seawall_store::Event;

use super::plan::Slot;
use crate::call::{AssocType, Data, Time, Version};
use crate::id::Id;
use crate::message::Change;

/// The topic of everything told here.
const TOPIC: &str = "graph";

const OBJECT: u8 = 0;
const PUT: u8 = 1;
const CUT: u8 = 2;

/// Bytes of the numbers a list's statement returns.
const LIST_NUMBERS: usize = 24;

/// An object was made, changed or deleted; `op` returned its version.
pub(super) fn object(id: Id, op: usize) -> Event {
    told(id.get().to_be_bytes().to_vec(), vec![OBJECT], op)
}

/// An association is there, and this is what it is.
pub(super) fn put(slot: Slot, time: Time, data: &Data, op: usize) -> Event {
    let mut body = Vec::with_capacity(5 + data.bytes().len() + LIST_NUMBERS);
    body.push(PUT);
    body.extend_from_slice(&time.0.to_le_bytes());
    body.extend_from_slice(data.bytes());
    told(key(slot), body, op)
}

/// An association is gone.
pub(super) fn cut(slot: Slot, op: usize) -> Event {
    told(key(slot), vec![CUT], op)
}

fn key(slot: Slot) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    key.extend_from_slice(&slot.id1.get().to_be_bytes());
    key.extend_from_slice(&slot.atype.0.to_be_bytes());
    key.extend_from_slice(&slot.id2.get().to_be_bytes());
    key
}

fn told(key: Vec<u8>, body: Vec<u8>, op: usize) -> Event {
    Event { topic: TOPIC.to_owned(), key, body, numbers: Some(op) }
}

/// What an event says. `None` where nothing happened, and for what another build told of.
pub(super) fn read(event: Event) -> Option<Change> {
    if event.topic != TOPIC {
        return None;
    }
    let (what, rest) = event.body.split_first()?;
    if *what == OBJECT {
        let id = id(&event.key)?;
        return Some(Change::Object { id, version: Version(number(rest, 0)?), now: None });
    }
    let (id1, rest_of_key) = event.key.split_at_checked(8)?;
    let (atype, id2) = rest_of_key.split_at_checked(2)?;
    let (id1, atype, id2) = (id(id1)?, AssocType(u16::from_be_bytes(atype.try_into().ok()?)), id(id2)?);
    let (said, numbers) = rest.split_at_checked(rest.len().checked_sub(LIST_NUMBERS)?)?;
    let (version, count) = (Version(number(numbers, 0)?), number(numbers, 1)?);
    let now = match *what {
        PUT => {
            let (time, _) = said.split_first_chunk::<4>()?;
            let time = Time(u32::from_le_bytes(*time));
            let end = event.body.len() - LIST_NUMBERS;
            Some((time, Data::from(Bytes::from(event.body).slice(5..end))))
        }
        CUT if said.is_empty() => None,
        _ => return None,
    };
    Some(Change::Edge { id1, atype, version, count, id2, now })
}

fn id(bytes: &[u8]) -> Option<Id> {
    Id::try_from(u64::from_be_bytes(bytes.try_into().ok()?)).ok()
}

/// The n-th number, none of which is below 0.
fn number(bytes: &[u8], n: usize) -> Option<u64> {
    let (number, _) = bytes.get(n * 8..)?.split_first_chunk::<8>()?;
    u64::try_from(i64::from_le_bytes(*number)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id_of(number: u64) -> Id {
        Id::try_from(number).unwrap()
    }

    fn with(mut event: Event, numbers: &[i64]) -> Event {
        event.body.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
        event
    }

    #[test]
    fn what_is_told_is_what_is_read() {
        let slot = Slot { id1: id_of(7), atype: AssocType(300), id2: id_of(1 << 60) };
        let data = Data::from(b"fields".to_vec());
        let change = |now| Change::Edge {
            id1: slot.id1,
            atype: slot.atype,
            version: Version(5),
            count: 2,
            id2: slot.id2,
            now,
        };
        let told = with(put(slot, Time(9), &data, 0), &[5, 2, 1]);
        assert_eq!(read(told), Some(change(Some((Time(9), data)))));
        assert_eq!(read(with(cut(slot, 0), &[5, 2, -1])), Some(change(None)));
        let object = with(object(id_of(7), 0), &[3, 7]);
        let wanted = Change::Object { id: id_of(7), version: Version(3), now: None };
        assert_eq!(read(object), Some(wanted));
    }

    #[test]
    fn where_nothing_was_touched_nothing_happened() {
        let slot = Slot { id1: id_of(7), atype: AssocType(1), id2: id_of(8) };
        assert_eq!(read(cut(slot, 0)), None);
        assert_eq!(read(object(id_of(7), 0)), None);
    }

    proptest! {
        #[test]
        fn fuzz_foreign_bytes_are_no_news_or_some(
            ours in any::<bool>(),
            key in proptest::collection::vec(any::<u8>(), 0..24),
            body in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let topic = if ours { TOPIC } else { "other" };
            let read = read(Event::new(topic, &key, body));
            prop_assert!(ours || read.is_none());
        }

        /// Of bytes that look like ours nearly to the end.
        #[test]
        fn fuzz_cut_short_bytes_are_no_news_or_some(kind in 0_u8..4, len in 0_usize..48, key in 0_usize..20) {
            let mut body = vec![1; len];
            if let Some(first) = body.first_mut() {
                *first = kind;
            }
            let _ = read(Event::new(TOPIC, &vec![1; key], body));
        }
    }
}
