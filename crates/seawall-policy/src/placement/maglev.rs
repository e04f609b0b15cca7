//! Maglev: a table of flows to backends that many machines fill alike without talking (Eisenbud et al. 2016).
//!
//! Each member lists all entries of the table in an order of its own, drawn from its name. In turns, everybody
//! takes the first entry of its list that is still free. So the members' entries differ by one at most, and a
//! member that comes or goes changes little beyond its own.
//!
//! ## Against a ring
//!
//! A look-up is one multiplication and one read. Shares are exact where a ring's stray by a few per cent. But
//! when members change, entries of others change too, because a list then meets other entries taken. In 65,537
//! entries, losing one of 100 backends changes 1.6 % of them; with 1,000 backends, as in the paper's figure 12,
//! losing 1 % of them changes 3.3 %, and 5 %, 8.3 % (in ten times the entries 1.6 % and 5.9 %). Where that
//! matters, a flow table in front keeps what is open; the paper has one for the same reason.
//!
//! Routers that share flows by `hash % n` change 80 % of them from 3 to 5 machines where 40 % are due. When
//! the machines behind them share one such table, that costs nobody a connection: any of them sends a flow to
//! the backend it was sent to before.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Display;

use super::hash;
use super::ring::by_name;

/// Entries where nobody has a reason to say otherwise: the paper's default (section 5.3), which keeps shares
/// within 1 % of each other for up to 655 members. 256 KiB.
pub const SIZE_DEFAULT: u32 = 65_537;

/// Most entries: the paper's large table, 2.5 MiB, for up to 6,553 members.
pub const SIZE_MAX: u32 = 655_373;

/// A filled table. Immutable: build a new one when members change.
#[derive(Debug, Clone)]
pub struct Maglev<T> {
    members: Box<[T]>,
    /// For each entry an index into `members`; empty when there are none.
    table: Box<[u32]>,
}

impl<T: Clone + Display> Maglev<T> {
    /// A table over `members` with their weights: weight 2 gets twice the entries of weight 1, weight 0 none,
    /// any other at least one. Its size must be a prime, and is the next one from `size` on, at most
    /// [`SIZE_MAX`].
    ///
    /// A member's order of entries comes from what it displays as, so every machine that knows the same names
    /// fills the same table, in whichever order it learnt them. When there are more members than entries, the
    /// last by name get none; the paper advises a hundred entries a member.
    #[must_use]
    pub fn new(members: &[(T, u32)], size: u32) -> Maglev<T> {
        let mut named = by_name(members);
        named.retain(|(_, _, weight)| *weight > 0);
        let size = prime(size);
        let mut turns: Vec<Turns> = named
            .iter()
            .map(|(name, _, weight)| {
                let member = hash::of(name.as_bytes());
                Turns::new(hash::draw(member, 0), hash::draw(member, 1), *weight, size)
            })
            .collect();
        Maglev {
            members: named.iter().map(|(_, member, _)| (*member).clone()).collect(),
            table: fill(&mut turns, size),
        }
    }
}

impl<T> Maglev<T> {
    /// Who gets the flow with this hash; `None` when nobody has any weight.
    #[must_use]
    #[inline]
    pub fn lookup(&self, hash: u64) -> Option<&T> {
        // As even as a remainder for a good hash, and without the division. No entry is beyond the table,
        // for hash / 2^64 is below 1.
        let entry = (u128::from(hash) * self.table.len() as u128) >> 64;
        self.table.get(entry as usize).map(|member| &self.members[*member as usize])
    }

    /// The entries, as indices into [`members`](Maglev::members): for those who look up elsewhere, such as in
    /// the kernel.
    #[must_use]
    pub fn table(&self) -> &[u32] {
        &self.table
    }

    /// The members that have any weight, by name.
    #[must_use]
    pub fn members(&self) -> &[T] {
        &self.members
    }
}

/// A member's way through the table.
struct Turns {
    /// The entry it would take next.
    next: u32,
    /// How far it is from each entry of its list to the following one.
    skip: u32,
    /// How long from one of its turns to the next: the less the heavier.
    pause: u128,
}

impl Turns {
    fn new(offset: u64, skip: u64, weight: u32, size: u32) -> Turns {
        // The size is a prime, so that steps of any length from 1 to size - 1 come by every entry.
        let (next, skip) = (offset % u64::from(size), skip % u64::from(size - 1) + 1);
        Turns { next: next as u32, skip: skip as u32, pause: (1 << 64) / u128::from(weight) }
    }

    fn step(&mut self, size: u32) {
        self.next = (self.next + self.skip) % size;
    }
}

/// Members take entries in turns until all are taken.
fn fill(members: &mut [Turns], size: u32) -> Box<[u32]> {
    const FREE: u32 = u32::MAX;
    if members.is_empty() {
        return Box::default();
    }
    let mut table = vec![FREE; size as usize];
    // Whose turn it is: by time, then by name. All begin at once, so that the lightest gets an entry too.
    let mut queue: BinaryHeap<_> = (0..members.len()).map(|member| Reverse((0u128, member))).collect();
    for _ in 0..size {
        let Some(mut turn) = queue.peek_mut() else { break };
        let Reverse((time, member)) = &mut *turn;
        let taker = &mut members[*member];
        while table[taker.next as usize] != FREE {
            taker.step(size);
        }
        table[taker.next as usize] = *member as u32;
        *time += taker.pause;
    }
    table.into()
}

/// The first prime from `size` on, within 2 to [`SIZE_MAX`].
fn prime(size: u32) -> u32 {
    let is_prime = |n: u32| (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    (size.clamp(2, SIZE_MAX)..=SIZE_MAX).find(|n| is_prime(*n)).unwrap_or(SIZE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table_of(pairs: &[(u64, u64)], size: u32) -> Vec<u32> {
        let mut turns: Vec<Turns> =
            pairs.iter().map(|(offset, skip)| Turns::new(*offset, skip - 1, 1, size)).collect();
        fill(&mut turns, size).into()
    }

    #[test]
    fn the_papers_table_1_with_three_backends_and_after_the_second_is_removed() {
        assert_eq!(table_of(&[(3, 4), (0, 2), (3, 1)], 7), [1, 0, 1, 0, 2, 2, 0]);
        // The third is now number 1. Apart from the lost one's entries, the last changes hands.
        assert_eq!(table_of(&[(3, 4), (3, 1)], 7), [0, 0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn sizes_are_primes_and_bounded() {
        assert_eq!(
            [0, 2, 90, 65_536, 65_537, 655_360, u32::MAX].map(prime),
            [2, 2, 97, 65_537, 65_537, 655_373, 655_373]
        );
        assert_eq!((prime(SIZE_DEFAULT), prime(SIZE_MAX)), (SIZE_DEFAULT, SIZE_MAX));
    }

    #[test]
    fn the_ends_of_the_hash_are_the_ends_of_the_table() {
        let maglev = Maglev::new(&[("a", 1), ("b", 1), ("c", 1)], 7);
        let at = |entry: usize| Some(&maglev.members[maglev.table[entry] as usize]);
        assert_eq!((maglev.lookup(0), maglev.lookup(u64::MAX)), (at(0), at(6)));
    }

    #[test]
    fn weights_three_and_one_share_the_entries_three_to_one_and_none_has_none() {
        let maglev = Maglev::new(&[("a", 3), ("b", 1), ("c", 0), ("d", 1)], 1_009);
        let held = |m: u32| maglev.table.iter().filter(|owner| **owner == m).count();
        assert_eq!((maglev.members(), [held(0), held(1), held(2)]), (&["a", "b", "d"][..], [605, 202, 202]));
    }

    #[test]
    fn the_lightest_of_all_still_gets_an_entry() {
        let maglev = Maglev::new(&[("heavy", u32::MAX), ("light", 1)], 1_009);
        assert_eq!(maglev.table.iter().filter(|m| **m == 1).count(), 1);
    }

    #[test]
    fn nobody_and_more_members_than_entries_are_no_harm() {
        assert_eq!(Maglev::<String>::new(&[], 7).lookup(1), None);
        let crowd: Vec<_> = (0..20).map(|i| (format!("node-{i:02}"), 1)).collect();
        let maglev = Maglev::new(&crowd, 7);
        let mut entries = maglev.table.to_vec();
        entries.sort_unstable();
        assert_eq!(entries, [0, 1, 2, 3, 4, 5, 6]);
    }
}
