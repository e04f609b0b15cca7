//! What is there in the end, read from the source itself and compared with what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use super::caller::Caller;
use super::ledger::{Ledger, List, TYPES, inverse};
use super::resp::Reply;
use super::visitor::{pairs, shows};

/// Edges of one page of a list.
const PAGE: usize = 500;
/// Pages of one list; no list of a drill is that long.
const PAGES_MAX: usize = 1_000;
/// Oddities described in words; all are counted.
const NAMED_MAX: usize = 10;

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Objects, associations and lists in which something acknowledged is missing, older or back again.
    pub lost: u64,
    /// Objects and lists that were changed more often than was acknowledged.
    pub twice: u64,
    /// Lists whose count is not that of their associations.
    pub miscounted: u64,
    /// Associations whose other direction is missing or different.
    pub unpaired: u64,
    /// Objects and lists that could not be read.
    pub unreadable: u64,
    /// Associations looked at.
    pub edges: u64,
    /// Some of what is wrong, in words.
    pub named: Vec<String>,
}

impl Findings {
    fn name(&mut self, what: String) {
        if self.named.len() < NAMED_MAX {
            self.named.push(what);
        }
    }
}

/// All that was walked: the ends of each list with their times, in its order.
type Walked = BTreeMap<List, Vec<(u64, u64)>>;

/// Compares everything.
pub async fn compare(ledger: &Ledger, caller: &mut Caller) -> Findings {
    let mut found = Findings::default();
    for id in ledger.objects.keys() {
        object(ledger, *id, caller, &mut found).await;
    }
    let mut lists: BTreeSet<List> = ledger.versions.keys().copied().collect();
    lists.extend(in_doubt(ledger));
    let walked = walk(&lists, caller, &mut found).await;
    for (list, there) in &walked {
        compare_list(ledger, *list, there, caller, &mut found).await;
    }
    pair(&walked, &mut found);
    found
}

/// Associations of what was given up whose other direction is missing: what the repair scan has left to do.
pub async fn left_to_repair(ledger: &Ledger, caller: &mut Caller) -> u64 {
    let mut found = Findings::default();
    let walked = walk(&in_doubt(ledger), caller, &mut found).await;
    pair(&walked, &mut found);
    found.unpaired + found.unreadable
}

/// All lists of all ids of which something was given up.
fn in_doubt(ledger: &Ledger) -> BTreeSet<List> {
    let ids: BTreeSet<u64> = ledger.doubtful.iter().flat_map(|pair| [pair.0, pair.1]).collect();
    ids.into_iter().flat_map(|id| TYPES.map(|atype| (id, atype))).collect()
}

async fn object(ledger: &Ledger, id: u64, caller: &mut Caller, found: &mut Findings) {
    let wanted = &ledger.objects[&id];
    if ledger.is_doubtful(id, id) {
        return;
    }
    let text = id.to_string();
    let Some(reply) = caller.written(&["OBJ.GET", &text, "CRITICAL"]).await else {
        found.unreadable += 1;
        return;
    };
    if !shows(&reply, wanted) {
        found.lost += 1;
        found.name(format!("object {id}: {reply:?} instead of {wanted:?}"));
    }
    match version(&["OBJ", &text], caller).await {
        Some(version) if version > wanted.version => {
            found.twice += 1;
            found.name(format!("object {id} has version {version} instead of {}", wanted.version));
        }
        Some(_) => {}
        None => found.unreadable += 1,
    }
}

async fn version(what: &[&str], caller: &mut Caller) -> Option<u64> {
    let command = [&["GRAPH.VERSION", "SOURCE"], what].concat();
    caller.written(&command).await?.number()
}

async fn walk(lists: &BTreeSet<List>, caller: &mut Caller, found: &mut Findings) -> Walked {
    let mut walked = Walked::new();
    for (id, atype) in lists {
        let id_text = id.to_string();
        let mut there = Vec::new();
        for page in 0..PAGES_MAX {
            let (pos, most) = ((page * PAGE).to_string(), PAGE.to_string());
            let range = caller.written(&["ASSOC.RANGE", &id_text, atype, &pos, &most, "CRITICAL"]).await;
            let Some(some) = range.as_ref().and_then(pairs) else {
                found.unreadable += 1;
                found.name(format!("list {id} {atype}: {range:?}"));
                break;
            };
            let is_last = some.len() < PAGE;
            there.extend(some);
            if is_last {
                break;
            }
        }
        let count = caller.written(&["ASSOC.COUNT", &id_text, atype, "CRITICAL"]).await;
        match count.as_ref().and_then(Reply::number) {
            Some(count) if count == there.len() as u64 => {}
            Some(count) => {
                found.miscounted += 1;
                found.name(format!("list {id} {atype} counts {count} and has {}", there.len()));
            }
            None => found.unreadable += 1,
        }
        found.edges += there.len() as u64;
        walked.insert((*id, *atype), there);
    }
    walked
}

async fn compare_list(
    ledger: &Ledger,
    list: List,
    there: &[(u64, u64)],
    caller: &mut Caller,
    found: &mut Findings,
) {
    let (id, atype) = list;
    // What was given up may be there or not.
    let known = |end: &&(u64, u64)| !ledger.is_doubtful(id, end.0);
    let wanted = ledger.list(list);
    if !there.iter().filter(known).eq(wanted.iter().filter(known)) {
        found.lost += 1;
        found.name(format!("list {id} {atype}: {there:?} instead of {wanted:?}"));
    }
    if ledger.has_doubt(id) {
        return;
    }
    let wanted = ledger.versions.get(&list).copied().unwrap_or(0);
    match version(&["LIST", &id.to_string(), atype], caller).await {
        Some(version) if version == wanted => {}
        Some(version) if version > wanted => {
            found.twice += 1;
            found.name(format!("list {id} {atype} has version {version} instead of {wanted}"));
        }
        Some(version) => {
            found.lost += 1;
            found.name(format!("list {id} {atype} has version {version} instead of {wanted}"));
        }
        None => found.unreadable += 1,
    }
}

/// Every association of the lists walked has its other direction, with the same time, where that was walked too.
fn pair(walked: &Walked, found: &mut Findings) {
    for ((id, atype), there) in walked {
        for (id2, time) in there {
            let (other, other_type, _) = inverse((*id, atype, *id2));
            let Some(back) = walked.get(&(other, other_type)) else { continue };
            if !back.contains(&(*id, *time)) {
                found.unpaired += 1;
                found.name(format!("{id} {atype} {id2} at {time} has no inverse like it"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{FRIEND, LIKED_BY, LIKES};
    use super::*;

    #[test]
    fn a_missing_or_different_direction_is_found() {
        let count = |walked: Walked| {
            let mut found = Findings::default();
            pair(&walked, &mut found);
            found.unpaired
        };
        let whole = Walked::from([((1, LIKES), vec![(2, 10)]), ((2, LIKED_BY), vec![(1, 10)])]);
        assert_eq!(count(whole), 0);
        let older = Walked::from([((1, LIKES), vec![(2, 10)]), ((2, LIKED_BY), vec![(1, 9)])]);
        assert_eq!(count(older), 2);
        let missing = Walked::from([((1, LIKES), vec![]), ((2, LIKED_BY), vec![(1, 9)])]);
        assert_eq!(count(missing), 1);
        assert_eq!(count(Walked::from([((1, FRIEND), vec![(1, 5)])])), 0, "its own other direction");
    }
}
