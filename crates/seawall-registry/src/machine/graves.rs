//! At which index something ceased to exist.
//!
//! Whoever watches a service must hear of its last instance leaving, so the absence of a thing has an index
//! too. Remembering every name that ever existed would grow without end; forgetting one would let its index
//! fall, and a watcher would sleep through the next change. So the oldest graves are levelled and leave one
//! number behind: the *floor*, the highest index among them. It is what every forgotten name answers with;
//! that may wake a watcher once for nothing and can never let one sleep.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Names remembered after their end, per kind of thing.
pub const GRAVES_MAX: usize = 10_000;

/// The index of a thing that never was: the lowest a client may be told, since 0 means "do not wait".
const NEVER: u64 = 1;

/// The ends of things of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Graves {
    by_name: BTreeMap<String, u64>,
    by_age: BTreeSet<(u64, String)>,
    floor: u64,
}

impl Graves {
    pub(super) fn new() -> Graves {
        Graves { by_name: BTreeMap::new(), by_age: BTreeSet::new(), floor: NEVER }
    }

    pub(super) fn bury(&mut self, name: &str, index: u64) {
        self.open(name);
        self.by_name.insert(name.to_owned(), index);
        self.by_age.insert((index, name.to_owned()));
        if self.by_name.len() > GRAVES_MAX
            && let Some((index, name)) = self.by_age.pop_first()
        {
            self.by_name.remove(&name);
            self.floor = self.floor.max(index);
        }
    }

    /// The thing exists again.
    pub(super) fn open(&mut self, name: &str) {
        if let Some(index) = self.by_name.remove(name) {
            self.by_age.remove(&(index, name.to_owned()));
        }
    }

    /// The index to answer with for a thing that does not exist.
    pub(super) fn index(&self, name: &str) -> u64 {
        self.by_name.get(name).copied().unwrap_or(0).max(self.floor)
    }

    /// The same for all names with a prefix.
    pub(super) fn index_under(&self, prefix: &str) -> u64 {
        let under = self.by_name.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        under.map(|(_, index)| *index).max().unwrap_or(0).max(self.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_name_never_answers_with_a_lower_index() {
        let mut graves = Graves::new();
        graves.bury("first", 7);
        for i in 0..GRAVES_MAX as u64 {
            graves.bury(&format!("n{i}"), 10 + i);
        }
        assert_eq!(graves.by_name.len(), GRAVES_MAX);
        assert!(graves.index("first") >= 7, "was 7 before it was forgotten");
        assert_eq!(graves.index("never"), 7);
        assert_eq!(graves.index("n5"), 15);
    }

    #[test]
    fn a_name_dug_up_again_leaves_nothing_behind() {
        let mut graves = Graves::new();
        graves.bury("web", 5);
        graves.open("web");
        assert_eq!((graves.index("web"), graves.by_age.len()), (1, 0));
    }

    #[test]
    fn a_prefix_remembers_the_latest_end_below_it() {
        let mut graves = Graves::new();
        graves.bury("a/1", 5);
        graves.bury("a/2", 9);
        graves.bury("b", 11);
        assert_eq!((graves.index_under("a/"), graves.index_under("c")), (9, 1));
    }
}
