//! What must be in the graph, from what was acknowledged: a plain model that a client keeps for itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A type of association and its inverse.
pub const LIKES: &str = "likes";
/// The other direction of [`LIKES`].
pub const LIKED_BY: &str = "liked_by";
/// Becomes [`FRIEND`].
pub const REQUESTED: &str = "friend_requested";
/// The other direction of [`REQUESTED`].
pub const REQUESTED_BY: &str = "friend_requested_by";
/// Its own inverse.
pub const FRIEND: &str = "friend";

/// All types a drill writes; those of the schema that the graph has when nobody gave it another.
pub const TYPES: [&str; 5] = [LIKES, LIKED_BY, REQUESTED, REQUESTED_BY, FRIEND];

/// One direction of an association.
pub type Edge = (u64, &'static str, u64);

/// A list.
pub type List = (u64, &'static str);

/// The other direction.
#[must_use]
pub fn inverse((id1, atype, id2): Edge) -> Edge {
    let other = match atype {
        LIKES => LIKED_BY,
        LIKED_BY => LIKES,
        REQUESTED => REQUESTED_BY,
        REQUESTED_BY => REQUESTED,
        _ => FRIEND,
    };
    (id2, other, id1)
}

/// An object as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// How often it was changed.
    pub version: u64,
    /// Its one field; none if it is deleted.
    pub name: Option<String>,
}

/// What must be there.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Objects.
    pub objects: BTreeMap<u64, Object>,
    /// Both directions of every association, with its time.
    pub edges: BTreeMap<Edge, u64>,
    /// How often each list was changed.
    pub versions: HashMap<List, u64>,
    /// Pairs, the lower id first, of which a write got no answer and was given up: nothing is known of them.
    pub doubtful: BTreeSet<(u64, u64)>,
}

impl Ledger {
    /// An association was added or overwritten. Says whether it is new.
    pub fn add(&mut self, edge: Edge, time: u64) -> bool {
        let is_new = !self.edges.contains_key(&edge);
        for side in sides(edge) {
            self.edges.insert(side, time);
            *self.versions.entry((side.0, side.1)).or_default() += 1;
        }
        is_new
    }

    /// An association was deleted. Says whether it was there.
    pub fn delete(&mut self, edge: Edge) -> bool {
        let was = self.edges.contains_key(&edge);
        sides(edge).into_iter().for_each(|side| self.cut(side));
        was
    }

    /// An association got another type. Says whether it was there.
    pub fn retype(&mut self, edge: Edge, to: &'static str) -> bool {
        let Some(time) = self.edges.get(&edge).copied() else { return false };
        let new = (edge.0, to, edge.2);
        let kept = sides(new);
        sides(edge).into_iter().filter(|side| !kept.contains(side)).for_each(|side| self.cut(side));
        self.add(new, time);
        true
    }

    /// A list that never was is not changed by taking something out of it.
    fn cut(&mut self, side: Edge) {
        if let Some(version) = self.versions.get_mut(&(side.0, side.1)) {
            *version += 1;
        }
        self.edges.remove(&side);
    }

    /// A write about these two ids got no answer and was given up.
    pub fn give_up(&mut self, a: u64, b: u64) {
        self.doubtful.insert((a.min(b), a.max(b)));
    }

    /// Whether nothing is known of these two.
    #[must_use]
    pub fn is_doubtful(&self, a: u64, b: u64) -> bool {
        self.doubtful.contains(&(a.min(b), a.max(b)))
    }

    /// Whether anything about this id was given up: then versions and counts of its lists are not known.
    #[must_use]
    pub fn has_doubt(&self, id: u64) -> bool {
        self.doubtful.iter().any(|pair| pair.0 == id || pair.1 == id)
    }

    /// What must be in a list: the other ends with their times, newest first, the greater id first among equals.
    #[must_use]
    pub fn list(&self, (id1, atype): List) -> Vec<(u64, u64)> {
        let own = self.edges.range((id1, atype, 0)..=(id1, atype, u64::MAX));
        let mut list: Vec<(u64, u64)> = own.map(|(edge, time)| (edge.2, *time)).collect();
        list.sort_unstable_by_key(|(id2, time)| std::cmp::Reverse((*time, *id2)));
        list
    }

    /// What another client knows, whose writes were about other pairs.
    pub fn merge(&mut self, other: Ledger) {
        self.objects.extend(other.objects);
        self.edges.extend(other.edges);
        self.doubtful.extend(other.doubtful);
        for (list, version) in other.versions {
            *self.versions.entry(list).or_default() += version;
        }
    }
}

/// Both directions; an association from an id to itself of a type that is its own inverse has one.
fn sides(edge: Edge) -> Vec<Edge> {
    let other = inverse(edge);
    if other == edge { vec![edge] } else { vec![edge, other] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_a_write_are_known_and_counted() {
        let mut ledger = Ledger::default();
        assert!(ledger.add((1, LIKES, 2), 10));
        assert!(!ledger.add((2, LIKED_BY, 1), 20), "the same association from its other end");
        assert!(ledger.add((1, LIKES, 3), 20));
        assert_eq!(ledger.list((1, LIKES)), [(3, 20), (2, 20)]);
        assert_eq!((ledger.list((2, LIKED_BY)), ledger.versions[&(1, LIKES)]), (vec![(1, 20)], 3));
        assert!(ledger.delete((1, LIKES, 2)));
        assert!(!ledger.delete((1, LIKES, 2)));
        assert!(!ledger.delete((5, LIKES, 6)));
        assert_eq!((ledger.versions[&(1, LIKES)], ledger.versions.get(&(5, LIKES))), (5, None));
    }

    #[test]
    fn a_change_of_type_moves_both_sides() {
        let mut ledger = Ledger::default();
        assert!(!ledger.retype((1, REQUESTED, 2), FRIEND));
        ledger.add((1, REQUESTED, 2), 10);
        assert!(ledger.retype((1, REQUESTED, 2), FRIEND));
        assert_eq!((ledger.list((2, FRIEND)), ledger.list((1, FRIEND))), (vec![(1, 10)], vec![(2, 10)]));
        assert_eq!((ledger.list((2, REQUESTED_BY)), ledger.versions[&(2, REQUESTED_BY)]), (vec![], 2));
        assert!(ledger.add((3, FRIEND, 3), 1));
        assert_eq!(ledger.versions[&(3, FRIEND)], 1, "one side only");
    }

    #[test]
    fn what_was_given_up_is_in_doubt_from_both_ends() {
        let mut ledger = Ledger::default();
        ledger.give_up(9, 4);
        assert!(
            ledger.is_doubtful(4, 9) && ledger.has_doubt(9) && ledger.has_doubt(4) && !ledger.has_doubt(5)
        );
        let mut all = Ledger::default();
        all.add((1, LIKES, 7), 1);
        let mut other = Ledger::default();
        other.add((2, LIKES, 7), 2);
        all.merge(other);
        all.merge(ledger);
        assert_eq!((all.list((7, LIKED_BY)), all.versions[&(7, LIKED_BY)]), (vec![(2, 2), (1, 1)], 2));
        assert!(all.is_doubtful(4, 9));
    }
}
