//! What a session sees: its guilds, and in each the channels that are hidden from it.
//!
//! ## Why a sorted slice
//!
//! Sessions are many and nearly all idle, and their views nearly never change. A view is one shared allocation
//! of 24 bytes for each guild, found by halving; a change makes a new one. Marks of a session hold the view they
//! were made with at the price of a pointer.

use std::sync::Arc;

use crate::id::Id;

/// The guilds of one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View(Option<Arc<[Seen]>>);

/// One guild as one session sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    guild: Id,
    /// In order. None where nothing is hidden: an empty slice would be an allocation too.
    hidden: Option<Arc<[Id]>>,
}

impl View {
    /// A view of these guilds, each with the channels hidden in it. Of two with one id the later counts.
    pub fn new(guilds: impl IntoIterator<Item = (Id, Arc<[Id]>)>) -> View {
        let mut all: Vec<Seen> = Vec::new();
        for (guild, hidden) in guilds {
            put(&mut all, Seen { guild, hidden: ordered(hidden) });
        }
        View::of(all)
    }

    fn of(all: Vec<Seen>) -> View {
        View(if all.is_empty() { None } else { Some(all.into()) })
    }

    fn seen(&self) -> &[Seen] {
        self.0.as_deref().unwrap_or_default()
    }

    fn get(&self, guild: Id) -> Option<&Seen> {
        let seen = self.seen();
        seen.binary_search_by_key(&guild, |s| s.guild).ok().and_then(|at| seen.get(at))
    }

    /// Whether it sees anything of a guild.
    #[must_use]
    pub fn has(&self, guild: Id) -> bool {
        self.get(guild).is_some()
    }

    /// Whether it sees a channel of a guild. One it has never heard of is not hidden: the view is told first when
    /// a channel is made that it may not see.
    #[must_use]
    pub fn sees(&self, guild: Id, channel: Id) -> bool {
        let Some(seen) = self.get(guild) else { return false };
        seen.hidden.as_ref().is_none_or(|hidden| hidden.binary_search(&channel).is_err())
    }

    /// Its guilds in order, each with the channels hidden in it.
    pub fn guilds(&self) -> impl ExactSizeIterator<Item = (Id, &[Id])> {
        self.seen().iter().map(|s| (s.guild, s.hidden.as_deref().unwrap_or_default()))
    }

    /// The same with this guild as given, or without it.
    #[must_use]
    pub fn with(&self, guild: Id, hidden: Option<&Arc<[Id]>>) -> View {
        let mut all = self.seen().to_vec();
        match hidden {
            Some(hidden) => put(&mut all, Seen { guild, hidden: ordered(hidden.clone()) }),
            None => all.retain(|s| s.guild != guild),
        }
        View::of(all)
    }
}

fn put(all: &mut Vec<Seen>, seen: Seen) {
    match all.binary_search_by_key(&seen.guild, |s| s.guild) {
        Ok(at) => all[at] = seen,
        Err(at) => all.insert(at, seen),
    }
}

/// Looking up halves, so order is not left to whoever gives the channels.
fn ordered(hidden: Arc<[Id]>) -> Option<Arc<[Id]>> {
    if hidden.is_empty() {
        return None;
    }
    if hidden.is_sorted() {
        return Some(hidden);
    }
    let mut sorted = hidden.to_vec();
    sorted.sort_unstable();
    Some(sorted.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(ids: &[u64]) -> Arc<[Id]> {
        ids.iter().copied().map(Id).collect()
    }

    #[test]
    fn only_what_is_not_hidden_in_a_guild_of_its_own_is_seen() {
        let view = View::new([(Id(5), hidden(&[9, 7])), (Id(1), hidden(&[]))]);
        assert!(view.sees(Id(1), Id(7)) && view.sees(Id(5), Id(8)));
        assert!(!view.sees(Id(5), Id(7)) && !view.sees(Id(5), Id(9)));
        assert!(!view.sees(Id(2), Id(8)) && !view.has(Id(2)));
    }

    #[test]
    fn a_change_leaves_the_old_view_as_it_was() {
        let old = View::new([(Id(1), hidden(&[]))]);
        let new = old.with(Id(1), Some(&hidden(&[4]))).with(Id(3), Some(&hidden(&[])));
        assert!(old.sees(Id(1), Id(4)) && !old.has(Id(3)));
        assert!(!new.sees(Id(1), Id(4)) && new.has(Id(3)));
        assert_eq!(new.with(Id(3), None).with(Id(1), None), View::default());
    }

    #[test]
    fn a_view_of_one_guild_takes_one_small_allocation() {
        assert_eq!(size_of::<View>(), 16);
        assert_eq!(size_of::<Seen>(), 24);
    }
}
