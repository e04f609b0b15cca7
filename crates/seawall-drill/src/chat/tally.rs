//! What everybody heard against what is there: nothing missing, nothing twice, nothing invented, in order.

use std::collections::{BTreeMap, BTreeSet};

use super::Said;
use super::listener::Heard;

/// Samples of what went wrong that are named; the counts are complete.
const NAMED_MAX: usize = 10;

/// The comparison, over all sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages in the history.
    pub committed: u64,
    /// Deliveries that had to happen.
    pub due: u64,
    /// Committed messages a session was never told of.
    pub lost: u64,
    /// Times a session was told of a message again.
    pub doubled: u64,
    /// Messages a session was told of that are not in the history.
    pub invented: u64,
    /// Messages told after a younger one of the same channel.
    pub disordered: u64,
    /// Messages with the same content: one was sent, two are there.
    pub written_twice: u64,
    /// Sequence numbers that did not follow the one before.
    pub gaps: u64,
    /// The first few of all these, in words.
    pub named: Vec<String>,
}

/// Compares. Every session must have heard everything that is there.
#[must_use]
pub fn tally(committed: &[Said], sessions: &[Heard]) -> Tally {
    let mut tally = Tally { committed: committed.len() as u64, ..Tally::default() };
    let there: BTreeSet<&Said> = committed.iter().collect();
    let mut contents = BTreeSet::new();
    for said in committed {
        if !contents.insert(&said.content) {
            tally.written_twice += 1;
            tally.name(format!("{:?} was written twice", said.content));
        }
    }
    for (number, heard) in sessions.iter().enumerate() {
        tally.due += there.len() as u64;
        tally.gaps += u64::from(heard.gaps);
        let mut once = BTreeSet::new();
        let mut newest: BTreeMap<u64, u64> = BTreeMap::new();
        for said in &heard.said {
            if !once.insert(said) {
                tally.doubled += 1;
                tally.name(format!("session {number} heard {:?} again", said.content));
                continue;
            }
            if !there.contains(said) {
                tally.invented += 1;
                tally.name(format!("session {number} heard {:?}, which is not there", said.content));
            }
            let newest = newest.entry(said.channel).or_default();
            if said.id < *newest {
                tally.disordered += 1;
                tally.name(format!("session {number} heard {:?} too late", said.content));
            }
            *newest = said.id.max(*newest);
        }
        for missing in there.iter().filter(|said| !once.contains(*said)) {
            tally.lost += 1;
            tally.name(format!("session {number} never heard {:?}", missing.content));
        }
    }
    tally
}

impl Tally {
    fn name(&mut self, what: String) {
        if self.named.len() < NAMED_MAX {
            self.named.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(channel: u64, id: u64) -> Said {
        Said { channel, id, content: format!("{channel}/{id}") }
    }

    fn heard(said: &[Said]) -> Heard {
        Heard { said: said.to_vec(), ..Heard::default() }
    }

    #[test]
    fn who_heard_everything_once_and_in_order_is_fine() {
        let there = [said(1, 1), said(2, 2), said(1, 3)];
        // Two channels may overtake each other.
        let tally = tally(&there, &[heard(&there), heard(&[said(2, 2), said(1, 1), said(1, 3)])]);
        assert_eq!(tally, Tally { committed: 3, due: 6, ..Tally::default() });
    }

    #[test]
    fn every_way_to_be_wrong_is_counted() {
        let there = [said(1, 1), said(1, 2), said(1, 3)];
        let count = |told: &[Said]| {
            let t = tally(&there, &[heard(told)]);
            assert!(t.named.len() == usize::from(told != there), "{t:?}");
            (t.lost, t.doubled, t.invented, t.disordered)
        };
        assert_eq!(count(&there), (0, 0, 0, 0));
        assert_eq!(count(&[said(1, 1), said(1, 3)]), (1, 0, 0, 0));
        assert_eq!(count(&[said(1, 1), said(1, 2), said(1, 2), said(1, 3)]), (0, 1, 0, 0));
        assert_eq!(count(&[said(1, 1), said(1, 2), said(1, 3), said(1, 4)]), (0, 0, 1, 0));
        assert_eq!(count(&[said(1, 2), said(1, 1), said(1, 3)]), (0, 0, 0, 1));
    }

    #[test]
    fn one_nonce_and_two_messages_is_found() {
        let twin = Said { id: 9, ..said(1, 1) };
        assert_eq!(tally(&[said(1, 1), twin], &[]).written_twice, 1);
    }
}
