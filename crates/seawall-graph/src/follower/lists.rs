//! Parts of lists: out of the head in memory where it reaches, out of the source where it does not.

use std::cmp::Ordering;

use super::{Answer, Follower, Part, View, fresh};
use crate::call::{AssocType, Key, Refusal, Time};
use crate::edges::{EdgeRef, Edges};
use crate::id::Id;
use crate::limits::{HEAD_FIRST, HEAD_MAX};
use crate::message::{Head, Points, Range};

/// Beyond so many ends, one walk over the list that looks each edge up is shorter than a walk for each end.
const WALKS_MAX: usize = 4;

impl Follower {
    /// How long a list is, from memory at once, or nothing: the caller then asks by [`Follower::count`].
    #[must_use]
    pub fn count_now(&self, id1: Id, atype: AssocType, view: &View<'_>) -> Option<u64> {
        let demand = self.demand_now(Key::List(id1, atype), view)?;
        fresh(self.cache.count(id1, atype, demand.at_least, self.clock.coarse()))
    }

    /// How long a list is.
    ///
    /// # Errors
    /// As [`Follower::object`].
    pub async fn count(&self, id1: Id, atype: AssocType, view: &View<'_>) -> Result<Answer<u64>, Refusal> {
        let head = self.head(id1, atype, 0, view).await?;
        Ok(Answer { value: head.value.count, is_stale: head.is_stale })
    }

    /// The `limit` newest of a list after the `pos` newest, from memory at once, or nothing: the caller then asks by
    /// [`Follower::range`]. No copy.
    #[must_use]
    pub fn range_now(
        &self,
        id1: Id,
        atype: AssocType,
        pos: u32,
        limit: u32,
        view: &View<'_>,
    ) -> Option<Part> {
        let demand = self.demand_now(Key::List(id1, atype), view)?;
        let end = pos.saturating_add(limit);
        let head = fresh(self.cache.head(id1, atype, end, demand.at_least, self.clock.coarse()))?;
        Some(Part::of(head.edges, pos, limit))
    }

    /// The `limit` newest of a list after the `pos` newest.
    ///
    /// # Errors
    /// As [`Follower::object`].
    pub async fn range(
        &self,
        id1: Id,
        atype: AssocType,
        pos: u32,
        limit: u32,
        view: &View<'_>,
    ) -> Result<Answer<Part>, Refusal> {
        if let Some(value) = self.range_now(id1, atype, pos, limit, view) {
            return Ok(Answer { value, is_stale: false });
        }
        let end = pos.saturating_add(limit);
        // A head longer than memory keeps is only asked for if the list is that long.
        let edges = if end > HEAD_MAX { HEAD_FIRST } else { end.max(HEAD_FIRST) };
        let head = self.head(id1, atype, edges, view).await?;
        if edges >= end || head.value.is_whole() {
            return Ok(head.map(|head| Part::of(head.edges, pos, limit)));
        }
        self.range_of_source(Range { id1, atype, high: Time(u32::MAX), low: Time(0), skip: pos, limit }, view)
            .await
    }

    /// [`Follower::time_range`] from memory at once, or nothing.
    #[must_use]
    pub fn time_range_now(
        &self,
        id1: Id,
        atype: AssocType,
        high: Time,
        low: Time,
        limit: u32,
        view: &View<'_>,
    ) -> Option<Part> {
        Part::between(&self.head_now(id1, atype, view)?, high, low, limit)
    }

    /// The `limit` newest of a list with a time from `low` to `high`, both included.
    ///
    /// # Errors
    /// As [`Follower::object`].
    pub async fn time_range(
        &self,
        id1: Id,
        atype: AssocType,
        high: Time,
        low: Time,
        limit: u32,
        view: &View<'_>,
    ) -> Result<Answer<Part>, Refusal> {
        if let Some(value) = self.time_range_now(id1, atype, high, low, limit, view) {
            return Ok(Answer { value, is_stale: false });
        }
        let head = self.head(id1, atype, HEAD_FIRST, view).await?;
        match Part::between(&head.value, high, low, limit) {
            Some(value) => Ok(Answer { value, is_stale: head.is_stale }),
            None => self.range_of_source(Range { id1, atype, high, low, skip: 0, limit }, view).await,
        }
    }

    /// [`Follower::points`] from memory at once, or nothing. Copies the answer if several ends are asked for.
    #[must_use]
    pub fn points_now(
        &self,
        id1: Id,
        atype: AssocType,
        id2s: &[Id],
        high: Time,
        low: Time,
        view: &View<'_>,
    ) -> Option<Part> {
        let head = self.head_now(id1, atype, view)?;
        match id2s {
            [_] => Part::picked(&head, id2s, high, low),
            _ => Part::picked(&head, &sorted(id2s), high, low),
        }
    }

    /// Those of `id2s` that there are, in list order, with a time from `low` to `high`.
    ///
    /// # Errors
    /// As [`Follower::object`].
    pub async fn points(
        &self,
        id1: Id,
        atype: AssocType,
        id2s: &[Id],
        high: Time,
        low: Time,
        view: &View<'_>,
    ) -> Result<Answer<Part>, Refusal> {
        if let Some(value) = self.points_now(id1, atype, id2s, high, low, view) {
            return Ok(Answer { value, is_stale: false });
        }
        let wanted = sorted(id2s);
        let head = self.head(id1, atype, HEAD_FIRST, view).await?;
        if let Some(value) = Part::picked(&head.value, &wanted, high, low) {
            return Ok(Answer { value, is_stale: head.is_stale });
        }
        let id2s = wanted.clone();
        let edges = self.upstream.points(Points { id1, atype, id2s }, view.deadline).await?;
        let edges = pick(&edges, &wanted, high, low);
        Ok(Answer { value: Part { first: 0, len: edges.len(), edges }, is_stale: false })
    }

    /// Whatever part of a list is in memory.
    fn head_now(&self, id1: Id, atype: AssocType, view: &View<'_>) -> Option<Head> {
        let demand = self.demand_now(Key::List(id1, atype), view)?;
        fresh(self.cache.head(id1, atype, 0, demand.at_least, self.clock.coarse()))
    }

    /// What no memory reaches. The source is asked, so it is as young as anybody can demand.
    async fn range_of_source(&self, range: Range, view: &View<'_>) -> Result<Answer<Part>, Refusal> {
        let edges = self.upstream.range(range, view.deadline).await?;
        Ok(Answer { value: Part { first: 0, len: edges.len(), edges }, is_stale: false })
    }
}

impl<T> Answer<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: change(self.value), is_stale: self.is_stale }
    }
}

impl Part {
    fn of(edges: Edges, pos: u32, limit: u32) -> Part {
        let first = edges.len().min(pos as usize);
        let len = (edges.len() - first).min(limit as usize);
        Part { edges, first, len }
    }

    /// What is between two times, if the head reaches far enough to say.
    fn between(head: &Head, high: Time, low: Time, limit: u32) -> Option<Part> {
        let first = head.edges.first_until(high);
        // The first below `low`: times are whole numbers.
        let end = low.0.checked_sub(1).map_or(head.edges.len(), |below| head.edges.first_until(Time(below)));
        let all = end.saturating_sub(first);
        let len = all.min(limit as usize);
        let is_answer = all >= limit as usize || end < head.edges.len() || head.is_whole();
        is_answer.then(|| Part { edges: head.edges.clone(), first, len })
    }

    /// The edges to `wanted` (sorted), if the head has all of them or all there are.
    fn picked(head: &Head, wanted: &[Id], high: Time, low: Time) -> Option<Part> {
        if let [id2] = wanted {
            // The usual case, without a copy.
            let found = head.edges.iter().position(|edge| edge.id2 == *id2);
            if found.is_none() && !head.is_whole() {
                return None;
            }
            let is_within = |n: &usize| head.edges.get(*n).is_some_and(|edge| is_between(edge, high, low));
            let len = usize::from(found.as_ref().is_some_and(is_within));
            return Some(Part { edges: head.edges.clone(), first: found.unwrap_or(0), len });
        }
        let has_all = || {
            if wanted.len() <= WALKS_MAX {
                wanted.iter().all(|id2| head.edges.find(*id2).is_some())
            } else {
                head.edges.iter().filter(|edge| wanted.binary_search(&edge.id2).is_ok()).count()
                    == wanted.len()
            }
        };
        if !head.is_whole() && !has_all() {
            return None;
        }
        let edges = pick(&head.edges, wanted, high, low);
        Some(Part { first: 0, len: edges.len(), edges })
    }

    /// The edges of the answer, newest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EdgeRef<'_>> {
        (self.first..self.first + self.len).map(|n| self.edges.get(n).expect("a part is within its run"))
    }
}

/// In order, each once.
fn sorted(ids: &[Id]) -> Vec<Id> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn pick(edges: &Edges, wanted: &[Id], high: Time, low: Time) -> Edges {
    Edges::of(
        edges.iter().filter(|edge| wanted.binary_search(&edge.id2).is_ok() && is_between(*edge, high, low)),
    )
}

fn is_between(edge: EdgeRef<'_>, high: Time, low: Time) -> bool {
    edge.time.cmp(&low) != Ordering::Less && edge.time.cmp(&high) != Ordering::Greater
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::call::Version;

    proptest! {
        /// A head that is cut anywhere says the same as the whole list, or nothing.
        #[test]
        fn what_a_head_answers_is_true_of_the_list(
            list in proptest::collection::btree_set((0..12_u32, 1..30_u64), 0..25),
            cut in 0..30_usize,
            high in 0..14_u32,
            low in 0..14_u32,
            limit in 0..10_u32,
            wanted in proptest::collection::btree_set(1..32_u64, 1..8),
        ) {
            let mut seen = std::collections::BTreeSet::new();
            let list = list.into_iter().rev().filter(|edge| seen.insert(edge.1)).collect::<Vec<_>>();
            let id = |number: u64| Id::try_from(number).unwrap();
            let all = Edges::of(list.iter().map(|(time, id2)| EdgeRef { id2: id(*id2), time: Time(*time), data: b"" }));
            let head = Head { version: Version(1), count: all.len() as u64, edges: all.cut(cut) };
            let pairs = |part: &Part| part.iter().map(|e| (e.time.0, e.id2.get())).collect::<Vec<_>>();
            let within = |edge: &&(u32, u64)| (low..=high).contains(&edge.0);

            let truth = list.iter().filter(within).take(limit as usize).copied().collect::<Vec<_>>();
            match Part::between(&head, Time(high), Time(low), limit) {
                Some(part) => prop_assert_eq!(pairs(&part), truth),
                None => prop_assert!(!head.is_whole()),
            }
            let truth = list.iter().filter(within).filter(|e| wanted.contains(&e.1)).copied().collect::<Vec<_>>();
            let wanted = wanted.into_iter().map(id).collect::<Vec<_>>();
            match Part::picked(&head, &wanted, Time(high), Time(low)) {
                Some(part) => prop_assert_eq!(pairs(&part), truth),
                None => prop_assert!(!head.is_whole()),
            }
        }
    }
}
