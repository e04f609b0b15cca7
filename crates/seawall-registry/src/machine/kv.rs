//! Keys and values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::Reply;
use super::graves::Graves;
use super::model::{Entry, Shared};
use super::{Effects, Touch};

/// All keys, in order, so that a prefix is a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kv {
    entries: BTreeMap<String, Shared<Entry>>,
    graves: Graves,
    bytes: u64,
}

impl Kv {
    pub(super) fn new() -> Kv {
        Kv { entries: BTreeMap::new(), graves: Graves::new(), bytes: 0 }
    }

    /// Bytes of all keys and values.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Shared<Entry>> {
        self.entries.get(key)
    }

    pub(super) fn under<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Shared<Entry>)> {
        self.entries.range(prefix.to_owned()..).take_while(move |(key, _)| key.starts_with(prefix))
    }

    pub(super) fn index(&self, key: &str) -> u64 {
        self.entries.get(key).map_or_else(|| self.graves.index(key), |entry| entry.modified)
    }

    pub(super) fn index_under(&self, prefix: &str) -> u64 {
        let newest = self.under(prefix).map(|(_, entry)| entry.modified).max().unwrap_or(0);
        newest.max(self.graves.index_under(prefix))
    }

    pub(super) fn put(
        &mut self,
        index: u64,
        (key, value, flags): (&str, &[u8], u64),
        cas: Option<u64>,
        fx: &mut Effects,
    ) -> Reply {
        let old = self.entries.get(key);
        if cas.is_some_and(|expected| expected != old.map_or(0, |entry| entry.modified)) {
            return Reply::Differs;
        }
        // Writing what is already there changes nothing, not even the index, and wakes nobody.
        if old.is_some_and(|entry| entry.flags == flags && entry.value == value) {
            return Reply::Done;
        }
        let created = old.map_or(index, |entry| entry.created);
        self.forget(key);
        self.graves.open(key);
        self.bytes += (key.len() + value.len()) as u64;
        let entry = Entry { value: value.to_vec(), flags, created, modified: index };
        self.entries.insert(key.to_owned(), Shared::new(entry));
        fx.touch(Touch::Key(key.to_owned()));
        Reply::Done
    }

    pub(super) fn delete(&mut self, index: u64, key: &str, cas: Option<u64>, fx: &mut Effects) -> Reply {
        let Some(old) = self.entries.get(key) else { return Reply::Done };
        if cas.is_some_and(|expected| expected != old.modified) {
            return Reply::Differs;
        }
        self.forget(key);
        self.graves.bury(key, index);
        fx.touch(Touch::Key(key.to_owned()));
        Reply::Done
    }

    pub(super) fn delete_tree(&mut self, index: u64, prefix: &str, fx: &mut Effects) -> Reply {
        let keys: Vec<String> = self.under(prefix).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.delete(index, &key, None, fx);
        }
        Reply::Done
    }

    fn forget(&mut self, key: &str) {
        if let Some(old) = self.entries.remove(key) {
            self.bytes -= (key.len() + old.value.len()) as u64;
        }
    }
}
