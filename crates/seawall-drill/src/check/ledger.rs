//! The client's own book of every write: what it asked for, what it was told, and afterwards, what is there.
//!
//! A write has three ends, and the third is the one that matters. *Acknowledged*: it must be there for ever.
//! *Failed*: the server said it did nothing. *Unknown*: no answer came, so it may or may not be there, and both
//! are right, as long as asking again with the same key does not do it twice. Counting unknown as failed would
//! hide lost answers; counting it as acknowledged would accuse an innocent server.
//!
//! Every write has a key (an idempotency key, never used for another write) and a content that is unique to it.
//! An acknowledgement carries a value the server chose (a link's code) under which the content is found again.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seawall_policy::{Mono, Rng};
use serde::{Deserialize, Serialize};

/// Samples of what went wrong that a report names; the counts are complete.
const NAMED_MAX: usize = 10;

/// Every write of one run. Shared by all its clients.
#[derive(Debug)]
pub struct Ledger {
    writes_max: usize,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    writes: HashMap<String, Write>,
    /// Keys in the order they were acknowledged, for drawing one.
    acknowledged: Vec<String>,
    errors: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Write {
    content: String,
    acknowledged: Option<Acknowledged>,
    /// Values answered to the same key that differ from the first.
    others: Vec<String>,
    unknown: bool,
}

/// A write the server said is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its idempotency key.
    pub key: String,
    /// What was written.
    pub content: String,
    /// Where the server said it is.
    pub value: String,
    /// When it first said so.
    pub at: Mono,
}

/// The ledger holds as many writes as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ledger is full")]
pub struct Full;

/// What a read of an acknowledged value found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadBack {
    /// This content.
    Is(String),
    /// The server says there is nothing.
    Absent,
    /// No usable answer, and why: the write is neither proved nor lost.
    Unreadable(String),
}

/// What the ledger found after reading everything back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// Writes attempted, each key once.
    pub attempted: u64,
    /// Writes the server said are done.
    pub acknowledged: u64,
    /// Of those, found with their content.
    pub found: u64,
    /// Of those, not there or with another content.
    pub lost: u64,
    /// Age of the oldest lost write when it was looked for, seconds; 0 when none is lost.
    pub rpo_s: f64,
    /// Values answered to two writes with different keys, plus keys answered with two different values.
    pub duplicated: u64,
    /// Acknowledged writes that could not be read: neither proved nor lost.
    pub unreadable: u64,
    /// Writes still without an answer.
    pub unknown: u64,
    /// Errors the client saw, by kind.
    pub errors: BTreeMap<String, u64>,
    /// The first few of everything above that is wrong, in words.
    pub named: Vec<String>,
}

impl Ledger {
    /// A book for at most `writes_max` writes (about 300 bytes each).
    #[must_use]
    pub fn new(writes_max: usize) -> Ledger {
        Ledger { writes_max, book: Mutex::default() }
    }

    /// A panic elsewhere cannot leave the book half-written: every method makes one change.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the request leaves: from here on the write is unknown until something else is said.
    /// Asking again with a key already written keeps the first content.
    ///
    /// # Errors
    /// When the book is full; the write must then not be sent.
    pub fn attempt(&self, key: &str, content: &str) -> Result<(), Full> {
        let mut book = self.book();
        if book.writes.len() >= self.writes_max && !book.writes.contains_key(key) {
            return Err(Full);
        }
        book.writes.entry(key.to_owned()).or_insert_with(|| Write {
            content: content.to_owned(),
            acknowledged: None,
            others: Vec::new(),
            unknown: true,
        });
        Ok(())
    }

    /// The server said the write is done and lies at `value`. True when that agrees with what it said before.
    pub fn acknowledged(&self, key: &str, value: &str, now: Mono) -> bool {
        let mut book = self.book();
        let book = &mut *book;
        let Some(write) = book.writes.get_mut(key) else { return false };
        write.unknown = false;
        match &write.acknowledged {
            None => {
                write.acknowledged = Some(Acknowledged {
                    key: key.to_owned(),
                    content: write.content.clone(),
                    value: value.to_owned(),
                    at: now,
                });
                book.acknowledged.push(key.to_owned());
                true
            }
            Some(first) if first.value == value => true,
            Some(_) => {
                write.others.push(value.to_owned());
                false
            }
        }
    }

    /// The server said it did nothing.
    pub fn failed(&self, key: &str, kind: &str) {
        let mut book = self.book();
        if let Some(write) = book.writes.get_mut(key) {
            write.unknown = false;
        }
        *book.errors.entry(kind.to_owned()).or_default() += 1;
    }

    /// No answer that says either: it may be done or not.
    pub fn unknown(&self, kind: &str) {
        *self.book().errors.entry(kind.to_owned()).or_default() += 1;
    }

    /// Some acknowledged write, to read or to send again.
    #[must_use]
    pub fn draw(&self, rng: &mut Rng) -> Option<Acknowledged> {
        let book = self.book();
        let key = book.acknowledged.get(rng.below(book.acknowledged.len() as u64) as usize)?;
        book.writes.get(key)?.acknowledged.clone()
    }

    /// Keys and contents of the writes without an answer, to be asked again with the same key.
    #[must_use]
    pub fn unsettled(&self) -> Vec<(String, String)> {
        let book = self.book();
        let open = book.writes.iter().filter(|(_, w)| w.unknown && w.acknowledged.is_none());
        let mut open: Vec<_> = open.map(|(key, write)| (key.clone(), write.content.clone())).collect();
        open.sort();
        open
    }

    /// Everything acknowledged, oldest first.
    #[must_use]
    pub fn all_acknowledged(&self) -> Vec<Acknowledged> {
        let book = self.book();
        book.acknowledged.iter().filter_map(|key| book.writes.get(key)?.acknowledged.clone()).collect()
    }

    /// Reads every acknowledged write back and judges the run. `now` dates the loss: it is the time of looking.
    pub async fn verify<R>(&self, now: Mono, mut read: R) -> Verified
    where
        R: AsyncFnMut(&Acknowledged) -> ReadBack,
    {
        let mut verified = self.count();
        let mut rpo = Duration::ZERO;
        for write in self.all_acknowledged() {
            match read(&write).await {
                ReadBack::Is(content) if content == write.content => verified.found += 1,
                ReadBack::Unreadable(why) => {
                    verified.unreadable += 1;
                    verified.name(format!("{} could not be read: {why}", write.value));
                }
                wrong => {
                    let age = now.since(write.at);
                    rpo = rpo.max(age);
                    verified.lost += 1;
                    let found = match wrong {
                        ReadBack::Is(other) => format!("holds {other}"),
                        _ => "is not there".to_owned(),
                    };
                    verified.name(format!(
                        "lost: {} ({}), acknowledged {:.1} s before, {found}",
                        write.value,
                        write.content,
                        age.as_secs_f64()
                    ));
                }
            }
        }
        verified.rpo_s = rpo.as_secs_f64();
        verified
    }

    /// What needs no reading: counts, and values or keys answered twice.
    fn count(&self) -> Verified {
        let book = self.book();
        let mut verified = Verified {
            attempted: book.writes.len() as u64,
            acknowledged: book.acknowledged.len() as u64,
            unknown: book.writes.values().filter(|w| w.unknown).count() as u64,
            errors: book.errors.clone(),
            ..Verified::default()
        };
        let mut owner: HashMap<&str, &str> = HashMap::new();
        for key in &book.acknowledged {
            let Some(write) = book.writes.get(key) else { continue };
            if !write.others.is_empty() {
                verified.duplicated += 1;
                verified.name(format!(
                    "duplicated: key {key} was also answered with {}",
                    write.others.join(", ")
                ));
            }
            let first = write.acknowledged.iter().map(|a| &a.value);
            for value in first.chain(&write.others) {
                if let Some(other) = owner.insert(value, key).filter(|other| other != key) {
                    verified.duplicated += 1;
                    verified
                        .name(format!("duplicated: {value} was answered to key {other} and to key {key}"));
                }
            }
        }
        verified
    }
}

impl Verified {
    fn name(&mut self, what: String) {
        if self.named.len() < NAMED_MAX {
            self.named.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Mono {
        Mono(s * 1_000_000_000)
    }

    /// A book with these acknowledged (key, content, value), one a second from second 0.
    fn book(writes: &[(&str, &str, &str)]) -> Ledger {
        let ledger = Ledger::new(100);
        for (i, (key, content, value)) in writes.iter().enumerate() {
            ledger.attempt(key, content).unwrap();
            ledger.acknowledged(key, value, at(i as u64));
        }
        ledger
    }

    fn verify(ledger: &Ledger, server: &[(&str, &str)]) -> Verified {
        crate::block_on(ledger.verify(at(10), async |write: &Acknowledged| {
            match server.iter().find(|(value, _)| *value == write.value) {
                Some((_, "?")) => ReadBack::Unreadable("status 503".to_owned()),
                Some((_, content)) => ReadBack::Is((*content).to_owned()),
                None => ReadBack::Absent,
            }
        }))
        .unwrap()
    }

    #[test]
    fn a_server_that_kept_everything_is_clean() {
        let v = verify(&book(&[("k1", "a", "1"), ("k2", "b", "2")]), &[("1", "a"), ("2", "b")]);
        assert_eq!((v.acknowledged, v.found, v.lost, v.duplicated, v.rpo_s), (2, 2, 0, 0, 0.0));
        assert!(v.named.is_empty());
    }

    #[test]
    fn a_planted_loss_is_found_and_dated_by_the_oldest() {
        let v = verify(&book(&[("k1", "a", "1"), ("k2", "b", "2"), ("k3", "c", "3")]), &[("1", "a")]);
        assert_eq!((v.found, v.lost, v.rpo_s), (1, 2, 9.0));
        assert!(v.named[0].contains("2 (b)"), "{:?}", v.named);
    }

    #[test]
    fn another_content_under_the_value_is_a_loss() {
        let v = verify(&book(&[("k1", "a", "1")]), &[("1", "somebody else's")]);
        assert_eq!((v.found, v.lost), (0, 1));
    }

    #[test]
    fn one_value_for_two_keys_is_a_duplicate() {
        let v = verify(&book(&[("k1", "a", "1"), ("k2", "b", "1")]), &[("1", "b")]);
        assert_eq!((v.duplicated, v.lost), (1, 1));
    }

    #[test]
    fn two_values_for_one_key_is_a_duplicate() {
        let ledger = book(&[("k1", "a", "1")]);
        assert!(ledger.acknowledged("k1", "1", at(1)), "the same answer again is right");
        assert!(!ledger.acknowledged("k1", "7", at(2)));
        assert_eq!(verify(&ledger, &[("1", "a"), ("7", "a")]).duplicated, 1);
    }

    #[test]
    fn unknown_is_neither_lost_nor_failed_until_settled() {
        let ledger = Ledger::new(10);
        ledger.attempt("k1", "a").unwrap();
        ledger.unknown("timeout");
        ledger.attempt("k2", "b").unwrap();
        ledger.failed("k2", "status 400");
        assert_eq!(ledger.unsettled(), [("k1".to_owned(), "a".to_owned())]);
        let v = verify(&ledger, &[]);
        assert_eq!((v.attempted, v.unknown, v.lost, v.acknowledged), (2, 1, 0, 0));
        assert_eq!((v.errors["timeout"], v.errors["status 400"]), (1, 1));
        ledger.acknowledged("k1", "1", at(3));
        assert_eq!(verify(&ledger, &[("1", "a")]).unknown, 0);
    }

    #[test]
    fn what_cannot_be_read_is_not_called_lost() {
        let v = verify(&book(&[("k1", "a", "1")]), &[("1", "?")]);
        assert_eq!((v.lost, v.unreadable, v.found), (0, 1, 0));
    }

    #[test]
    fn a_full_book_says_so_and_still_takes_old_keys() {
        let ledger = Ledger::new(1);
        ledger.attempt("k1", "a").unwrap();
        assert_eq!(ledger.attempt("k2", "b"), Err(Full));
        assert_eq!(ledger.attempt("k1", "a"), Ok(()));
    }

    #[test]
    fn drawing_gives_only_acknowledged_writes() {
        let ledger = book(&[("k1", "a", "1")]);
        ledger.attempt("k2", "b").unwrap();
        let mut rng = Rng::new(1);
        assert!((0..20).all(|_| ledger.draw(&mut rng).unwrap().key == "k1"));
        assert_eq!(Ledger::new(1).draw(&mut rng), None);
    }
}
