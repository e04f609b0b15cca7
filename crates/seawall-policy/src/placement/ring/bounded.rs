//! A ring on which nobody holds more than their share and a bit.
//!
//! Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016): a member is full at
//! `ceil(bound × mean)`, and what would go to a full one goes on to the next on the ring with room. Since the
//! bound is above 1 there is always one.
//!
//! ## What a change of members moves
//!
//! With a bound, what a lost member held may land on one that is then full and passes something on; and a
//! smaller mean makes some too full that were not. How much that is depends on how many keys a member has.
//! At a bound of 1.10, on average over 40 sets of names and keys, 10 members that lose one (due: 10 %) or gain
//! one (9.1 %) also moved, between those that stay:
//!
//! | keys a member | not with their first choice | [`assign`](Ring::assign): 10 to 9 | 10 to 11 | [`reassign`](Ring::reassign), both |
//! |---|---|---|---|---|
//! | 1,000 and more | none | none | none | none |
//! | 100 | 1.0 % | 0.3 % | 0.3 % | none |
//! | 10 | 8 % | 3.9 % | 3.7 % | none |
//!
//! So `assign`, which knows members and keys and nothing else, stays within k/n + 2 % from about a hundred keys
//! a member. For fewer (64 shards on 8 nodes, say) use `reassign`, which is told where each key is now.
//! Losing members then moves what they held and nothing else. A gain moves what is due: when n become n + k,
//! the cap falls from `bound × m/n` to `bound × m/(n+k)`, so those above it hold at most m × k/(n+k) too much,
//! all of which goes to the newcomers, who want that many. (Rounding may add a key a member.)

use std::collections::{BTreeMap, BTreeSet};

use super::Ring;

/// How far above the mean a member's load may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// In thousandths, because in floating point 1.1 × 10 is a little over 11, and the cap would be 12.
    permille: u32,
}

/// Not a number a bound can be.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("bound: use 1 to 10, such as 1.10; it says {0}")]
pub struct BoundError(pub f64);

impl Default for Bound {
    /// 1.10: the ring's promise of at most a tenth above the mean, held by force.
    fn default() -> Bound {
        Bound { permille: 1_100 }
    }
}

impl Bound {
    /// At most `factor` times the mean, to three decimals.
    ///
    /// # Errors
    /// Below 1 there would be keys without a place; above 10 it binds nobody.
    pub fn new(factor: f64) -> Result<Bound, BoundError> {
        let permille = (factor * 1_000.0).round();
        if !(1_000.0..=10_000.0).contains(&permille) {
            return Err(BoundError(factor));
        }
        Ok(Bound { permille: permille as u32 })
    }

    /// The most that a member with `weight` of all `weights` may hold of `total`.
    #[must_use]
    pub fn cap(self, total: u64, weight: u32, weights: u64) -> u64 {
        let allowed = u128::from(self.permille) * u128::from(total) * u128::from(weight);
        u64::try_from(allowed.div_ceil(1_000 * u128::from(weights.max(1)))).unwrap_or(u64::MAX)
    }

    /// Whether `load` is below that cap, without dividing.
    fn has_room(self, load: u64, total: u64, weight: u32, weights: u64) -> bool {
        let allowed = u128::from(self.permille) * u128::from(total) * u128::from(weight);
        // A load beyond all bounds saturates and is full, as it should be.
        (1_000 * u128::from(weights)).saturating_mul(u128::from(load)) < allowed
    }
}

impl<T> Ring<T> {
    /// Who takes the next request for this key: its owner, or the first on the ring after it who is below
    /// `bound` times the mean.
    ///
    /// `load` is what a member has in flight, `total` what all have together, both before this request; it
    /// may be asked about the same member several times. `None` when nobody has any points, and when everyone
    /// is full, which can only be if the loads add up to more than `total`: read one by one while requests
    /// come and go, they may. Then take [`owner`](Ring::owner).
    #[must_use]
    pub fn owner_below(
        &self,
        key_hash: u64,
        bound: Bound,
        total: u64,
        load: impl Fn(&T) -> u64,
    ) -> Option<&T> {
        let total = total.saturating_add(1);
        let room =
            |m: usize| bound.has_room(load(&self.members[m]), total, self.weights[m], self.weights_sum);
        self.first(key_hash, room).map(|m| &self.members[m])
    }

    /// Places all of `keys` (their hashes) so that nobody has more than `bound` times the mean, rounded up:
    /// the owner of each, in the order of `keys`. `None` when nobody has any points.
    ///
    /// The result depends on the members and on the set of keys, not on the order in which either is given:
    /// keys take their places by hash. (Two keys of one hash are one to the ring, and may trade places.)
    /// For few keys a member see [`reassign`](Ring::reassign).
    #[must_use]
    pub fn assign(&self, keys: &[u64], bound: Bound) -> Option<Vec<&T>> {
        let mut rooms = Rooms::new(self, keys.len(), bound)?;
        let mut owners = vec![0; keys.len()];
        for i in in_order(keys.len(), |i| keys[i]) {
            owners[i] = rooms.place(keys[i]);
        }
        Some(owners.into_iter().map(|m| &self.members[m]).collect())
    }

    /// The same for keys that already are somewhere, moving as few as can be: `held` is each key's hash and
    /// who has it now.
    ///
    /// A key moves when its holder is not on this ring, and when its holder has more than the bound allows
    /// (those of the highest hashes first). Where it goes is the first newcomer in its line, a member that was
    /// not on the ring `before`, as long as that has less than the mean; otherwise the first with room. A
    /// newcomer that then still has less than the mean takes keys in whose line it stands before their holder.
    #[must_use]
    pub fn reassign(&self, before: &Ring<T>, held: &[(u64, Option<&T>)], bound: Bound) -> Option<Vec<&T>>
    where
        T: Ord,
    {
        let mut rooms = Rooms::new(self, held.len(), bound)?;
        rooms.invite(before, held.len());
        let by_member: BTreeMap<&T, usize> = self.weighty().map(|m| (&self.members[m], m)).collect();
        let order = in_order(held.len(), |i| held[i].0);
        let mut owners: Vec<Option<usize>> = vec![None; held.len()];
        for &i in &order {
            let holder = held[i].1.and_then(|holder| by_member.get(holder)).copied();
            owners[i] = holder.filter(|m| rooms.take(*m));
        }
        let (settled, homeless): (Vec<usize>, Vec<usize>) = order.iter().partition(|i| owners[**i].is_some());
        // Who must move anyway fills the newcomers first: each of them spares a key that need not.
        for i in homeless {
            let key = held[i].0;
            owners[i] = rooms.welcome(key, None).or_else(|| Some(rooms.place(key)));
        }
        for i in settled {
            if let Some(newcomer) = rooms.welcome(held[i].0, owners[i]) {
                owners[i] = Some(newcomer);
            }
        }
        Some(owners.into_iter().flatten().map(|m| &self.members[m]).collect())
    }

    /// How many of `keys` each member may have.
    fn caps(&self, keys: usize, bound: Bound) -> Vec<u64> {
        self.weights.iter().map(|weight| bound.cap(keys as u64, *weight, self.weights_sum)).collect()
    }

    /// Indices of members that own anything at all.
    fn weighty(&self) -> impl Iterator<Item = usize> {
        (0..self.members.len()).filter(|m| self.weights[*m] > 0)
    }

    /// The first member from `key_hash` on that has room.
    fn first(&self, key_hash: u64, room: impl Fn(usize) -> bool) -> Option<usize> {
        let mut walk = self.walk(key_hash);
        let near = walk.by_ref().take(self.members.len()).find(|m| room(*m));
        // A turn around a ring whose members are all full would be a million questions; asking each once
        // tells whether going on makes sense.
        near.or_else(|| if self.weighty().any(&room) { walk.find(|m| room(*m)) } else { None })
    }
}

/// Places left while keys are assigned.
struct Rooms<'a, T> {
    ring: &'a Ring<T>,
    /// Up to the cap.
    left: Vec<u64>,
    /// Up to the mean, for newcomers; 0 for the others. Never more than is left.
    wanted: Vec<u64>,
}

impl<'a, T> Rooms<'a, T> {
    fn new(ring: &'a Ring<T>, keys: usize, bound: Bound) -> Option<Rooms<'a, T>> {
        if ring.points.is_empty() {
            return None;
        }
        Some(Rooms { ring, left: ring.caps(keys, bound), wanted: vec![0; ring.members.len()] })
    }

    /// Lets those who were not there `before` have as much as the mean.
    fn invite(&mut self, before: &Ring<T>, keys: usize)
    where
        T: Ord,
    {
        let old: BTreeSet<&T> = before.weighty().map(|m| &before.members[m]).collect();
        let mean = self.ring.caps(keys, Bound { permille: 1_000 });
        for m in self.ring.weighty().filter(|m| !old.contains(&self.ring.members[*m])) {
            self.wanted[m] = mean[m];
        }
    }

    /// Takes one of a member's places, if it has any left.
    fn take(&mut self, member: usize) -> bool {
        let had = self.left[member] > 0;
        self.left[member] -= u64::from(had);
        self.wanted[member] = self.wanted[member].saturating_sub(u64::from(had));
        had
    }

    /// Gives a key the first place there is from it on.
    fn place(&mut self, key: u64) -> usize {
        let found = self.ring.first(key, |m| self.left[m] > 0);
        // The caps add up to at least the number of keys, because a bound is at least 1.
        let member = found.expect("there are as many places as keys");
        self.take(member);
        member
    }

    /// Gives a key a place with the first newcomer in its line that wants one, and before its holder if it
    /// has one, who gets a place back.
    fn welcome(&mut self, key: u64, holder: Option<usize>) -> Option<usize> {
        if self.wanted.iter().all(|wanted| *wanted == 0) {
            return None;
        }
        let first = self.ring.walk(key).find(|m| Some(*m) == holder || self.wanted[*m] > 0);
        let newcomer = first.filter(|m| Some(*m) != holder)?;
        self.wanted[newcomer] -= 1;
        self.left[newcomer] -= 1;
        if let Some(holder) = holder {
            self.left[holder] += 1;
        }
        Some(newcomer)
    }
}

/// The numbers `0..n`, by the hash of what they stand for.
fn in_order(n: usize, hash: impl Fn(usize) -> u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|i| hash(*i));
    order
}
