use bytes::Bytes;

use super::*;
use crate::event::Kind;
use crate::gateway::entry::{Entry, To, What};
use crate::id::Id;

fn slot(lsn: u64, bytes: usize) -> Arc<Slot> {
    let d = Bytes::from(vec![b' '; bytes]);
    let (to, t) = (To::Guild(Id(1)), Kind::TypingStart);
    let what = What::Dispatch { origin: None, to, t, author: None, mentions: Box::default(), d };
    Arc::new(Slot::new(Entry { lsn, what }))
}

fn lsns(slots: &[Arc<Slot>]) -> Vec<u64> {
    slots.iter().map(|s| s.entry().lsn).collect()
}

#[test]
fn the_oldest_entries_fall_out_by_number() {
    let ring = Ring::new(10, 3, BYTES_MAX);
    assert_eq!((ring.tail(), ring.head()), (10, 10));
    assert!(ring.after(10, 9).unwrap().is_empty());
    ring.push((11..=15).map(|lsn| slot(lsn, 0)));
    assert_eq!((ring.tail(), ring.head()), (12, 15));
    assert_eq!(lsns(ring.after(12, 9).unwrap().after(12).unwrap()), [13, 14, 15]);
    assert_eq!(ring.after(11, 9).unwrap_err(), FellOff);
}

#[test]
fn the_oldest_entries_fall_out_by_bytes_and_the_newest_stays() {
    let one = slot(1, 1000).cost();
    let ring = Ring::new(0, 99, 2 * one);
    ring.push((1..=3).map(|lsn| slot(lsn, 1000)));
    assert_eq!((ring.tail(), ring.head()), (1, 3));
    ring.push([slot(4, 9000)]);
    assert_eq!((ring.tail(), ring.head()), (3, 4));
    // And the count of bytes is still right.
    ring.push((5..=7).map(|lsn| slot(lsn, 1000)));
    assert_eq!((ring.tail(), ring.head()), (5, 7));
}

#[test]
fn a_batch_serves_everyone_whose_place_is_in_it() {
    let ring = Ring::new(0, 99, BYTES_MAX);
    ring.push((1..=9).map(|lsn| slot(lsn, 0)));
    let batch = ring.after(3, 4).unwrap();
    assert_eq!(batch.head(), 7);
    assert_eq!(lsns(batch.after(3).unwrap()), [4, 5, 6, 7]);
    assert_eq!(lsns(batch.after(6).unwrap()), [7]);
    assert!(batch.after(7).unwrap().is_empty() && batch.after(99).unwrap().is_empty());
    assert!(batch.after(2).is_none(), "what is before it is elsewhere");
}

#[test]
#[should_panic(expected = "in order")]
fn a_hole_is_our_own_mistake() {
    Ring::new(0, 9, BYTES_MAX).push([slot(2, 0)]);
}

#[test]
fn readers_see_no_hole_while_the_ring_turns() {
    let ring = Ring::new(0, 64, BYTES_MAX);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut at = 0;
                while at < 20_000 {
                    match ring.after(at, 16) {
                        Ok(batch) => {
                            let next: Vec<_> = (at + 1..=batch.head()).collect();
                            assert_eq!(lsns(batch.after(at).unwrap()), next);
                            at = batch.head();
                        }
                        Err(FellOff) => at = ring.tail(),
                    }
                }
            });
        }
        (1..=20_000).for_each(|lsn| ring.push([slot(lsn, 0)]));
    });
}
