//! What a placement is like, in numbers: how evenly it spreads, and what a change of members moves.
//!
//! Anything that turns a hash into a member can be measured, by asking it about a sample of keys. The sample
//! is the same every time: the hashes of the numbers from 0 on. With n keys a member, chance alone moves a
//! share by about 1/√n of it; at 100,000 keys and ten members that is 1 %.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::hash;

/// The hashes of the first so many keys of the sample.
pub fn sample(keys: u64) -> impl Iterator<Item = u64> {
    (0..keys).map(|i| hash::of(&i.to_be_bytes()))
}

/// A placement to be measured: its members, which are taken to have equal weights, and where a hash goes.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, M, F> {
    /// All that should get a share, also those that get none.
    pub members: &'a [M],
    /// The member for a hash.
    pub place: F,
}

/// How evenly members share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Imbalance {
    /// How many share.
    pub members: usize,
    /// What each would have: keys, or a part of the circle.
    pub mean: f64,
    /// What the busiest has, in means.
    pub max_over_mean: f64,
    /// What the idlest has, in means.
    pub min_over_mean: f64,
    /// The standard deviation of all, in means.
    pub deviation_over_mean: f64,
}

impl Imbalance {
    /// Of what each member has: shares of a circle as well as counts. All 0 when there is nothing.
    #[must_use]
    pub fn of(loads: &[f64]) -> Imbalance {
        let members = loads.len();
        let mean = loads.iter().sum::<f64>() / members.max(1) as f64;
        if mean <= 0.0 {
            let none = 0.0;
            return Imbalance {
                members,
                mean,
                max_over_mean: none,
                min_over_mean: none,
                deviation_over_mean: none,
            };
        }
        let squares: f64 = loads.iter().map(|load| (load - mean) * (load - mean)).sum();
        Imbalance {
            members,
            mean,
            max_over_mean: loads.iter().copied().fold(0.0, f64::max) / mean,
            min_over_mean: loads.iter().copied().fold(f64::INFINITY, f64::min) / mean,
            deviation_over_mean: (squares / members as f64).sqrt() / mean,
        }
    }

    /// Of a sample of `keys`.
    pub fn measure<M: Ord>(view: &View<'_, M, impl Fn(u64) -> Option<M>>, keys: u64) -> Imbalance {
        let mut tally = Tally::new(view.members);
        sample(keys).for_each(|key| tally.count((view.place)(key).as_ref()));
        Imbalance::of(&tally.loads)
    }
}

impl fmt::Display for Imbalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Imbalance { members, max_over_mean, min_over_mean, deviation_over_mean, .. } = self;
        let members = if *members == 1 { "1 member".to_owned() } else { format!("{members} members") };
        write!(
            f,
            "{members}: the busiest has {max_over_mean:.3} times the mean, the idlest {min_over_mean:.3}, \
             standard deviation {:.2} %",
            100.0 * deviation_over_mean
        )
    }
}

/// What a change of members moves. All are parts of 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Movement {
    /// Keys that changed their member.
    pub moved: f64,
    /// Keys that had to: k/n when k of n leave, k/(n+k) when k join n.
    pub due: f64,
    /// What moved beyond that.
    pub excess: f64,
    /// Keys that changed from one to another although both were there before and after.
    pub between_survivors: f64,
}

impl fmt::Display for Movement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Movement { moved, due, excess, between_survivors } = self;
        write!(
            f,
            "{:.2} % of the keys move where {:.2} % are due ({:+.2} %), {:.2} % between members that stay",
            100.0 * moved,
            100.0 * due,
            100.0 * excess,
            100.0 * between_survivors
        )
    }
}

/// A change of members: what they had, what they have, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    /// How evenly they shared.
    pub before: Imbalance,
    /// How evenly they share.
    pub after: Imbalance,
    /// What changed hands.
    pub movement: Movement,
}

impl Change {
    /// Of a sample of `keys`, each placed once by either.
    pub fn measure<M: Ord>(
        before: &View<'_, M, impl Fn(u64) -> Option<M>>,
        after: &View<'_, M, impl Fn(u64) -> Option<M>>,
        keys: u64,
    ) -> Change {
        let (mut old, mut new) = (Tally::new(before.members), Tally::new(after.members));
        let (mut moved, mut between) = (0u64, 0u64);
        for key in sample(keys) {
            let (from, to) = ((before.place)(key), (after.place)(key));
            old.count(from.as_ref());
            new.count(to.as_ref());
            if from != to {
                let stays = |member: &M| old.index.contains_key(member) && new.index.contains_key(member);
                moved += 1;
                between +=
                    u64::from([&from, &to].into_iter().all(|member| member.as_ref().is_some_and(stays)));
            }
        }
        let part = |count: u64| count as f64 / keys.max(1) as f64;
        let survivors = old.index.keys().filter(|member| new.index.contains_key(*member)).count();
        let (moved, due) = (part(moved), due(old.loads.len(), new.loads.len(), survivors));
        Change {
            before: Imbalance::of(&old.loads),
            after: Imbalance::of(&new.loads),
            movement: Movement { moved, due, excess: moved - due, between_survivors: part(between) },
        }
    }
}

impl fmt::Display for Change {
    /// Three lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "before: {}\nafter: {}\n{}", self.before, self.after, self.movement)
    }
}

/// Keys of each member.
struct Tally<'a, M> {
    index: BTreeMap<&'a M, usize>,
    loads: Vec<f64>,
}

impl<M: Ord> Tally<'_, M> {
    fn new(members: &[M]) -> Tally<'_, M> {
        let index = members.iter().enumerate().map(|(i, member)| (member, i)).collect();
        Tally { index, loads: vec![0.0; members.len()] }
    }

    /// A key for nobody counts for nobody.
    fn count(&mut self, member: Option<&M>) {
        if let Some(at) = member.and_then(|member| self.index.get(member)) {
            self.loads[*at] += 1.0;
        }
    }
}

/// The least that can move between even placements: a survivor keeps the smaller of its two shares.
fn due(before: usize, after: usize, survivors: usize) -> f64 {
    match before.max(after) {
        0 => 0.0,
        most => 1.0 - survivors as f64 / most as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_three_and_seven_of_twelve() {
        let uneven = Imbalance::of(&[2.0, 3.0, 7.0]);
        assert_eq!((uneven.mean, uneven.max_over_mean, uneven.min_over_mean), (4.0, 1.75, 0.5));
        assert!((uneven.deviation_over_mean - (14.0f64 / 3.0).sqrt() / 4.0).abs() < 1e-12);
        assert_eq!(
            uneven.to_string(),
            "3 members: the busiest has 1.750 times the mean, the idlest 0.500, standard deviation 54.01 %"
        );
    }

    #[test]
    fn what_is_due_is_k_of_n_leaving_and_k_of_n_plus_k_joining() {
        for (due, parts) in [(due(10, 7, 7), 0.3), (due(7, 10, 7), 0.3), (due(10, 11, 10), 1.0 / 11.0)] {
            assert!((due - parts).abs() < 1e-12, "{due}");
        }
        assert!((due(10, 10, 9) - 0.1).abs() < 1e-12, "one replaced by another");
        assert_eq!([due(0, 0, 0), due(0, 5, 0), due(5, 5, 5)], [0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_swap_between_two_that_stay_is_seen() {
        let (all, fewer) = (["a", "b", "c"], ["a", "b"]);
        let before = View { members: &all, place: |hash: u64| Some(all[(hash % 3) as usize]) };
        // "a" and "b" trade places, and "c" goes to "a".
        let after = View { members: &fewer, place: |hash: u64| Some(["b", "a", "a"][(hash % 3) as usize]) };
        let movement = Change::measure(&before, &after, 30_000).movement;
        assert!(movement.moved == 1.0 && (movement.between_survivors - 2.0 / 3.0).abs() < 0.01);
        assert!((movement.excess - 2.0 / 3.0).abs() < 1e-12);
        assert!(
            movement
                .to_string()
                .starts_with("100.00 % of the keys move where 33.33 % are due (+66.67 %), 66.")
        );
    }

    #[test]
    fn nobody_and_nothing_are_zero_and_not_a_division_by_it() {
        let nobody: View<'_, u32, _> = View { members: &[], place: |_: u64| None };
        assert_eq!(Imbalance::measure(&nobody, 10).max_over_mean, 0.0);
        assert_eq!(Change::measure(&nobody, &nobody, 0).movement.moved, 0.0);
    }
}
