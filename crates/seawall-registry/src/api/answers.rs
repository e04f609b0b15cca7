//! One evaluated, encoded answer for everyone who asks the same.
//!
//! A thousand clients watching one service of ten thousand instances would otherwise encode ten megabytes a
//! thousand times for every change (Consul's issue 4984). Here the first one woken encodes, the others wait
//! for it and share its bytes. An answer is right for as long as its topic's index stands still, so nothing
//! here ever has to be invalidated.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::encode::{self, Encoded};
use crate::read::Read;
use crate::service::Registry;

/// Answers kept; when one more comes, all go and those still asked for come back.
pub const ANSWERS_MAX: usize = 1024;
/// Bytes of them, likewise.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A read and whether it is indented.
type Question = (Read, bool);
/// The index an answer was made at, and the answer.
type Slot = Arc<Mutex<Option<(u64, Encoded)>>>;

/// The answers given lately.
#[derive(Default)]
pub struct Answers {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    slots: HashMap<Question, Slot>,
    bytes: usize,
}

impl Answers {
    /// The answer as of now, with its index; made only if nobody made it since the last change.
    #[must_use]
    pub fn get(&self, registry: &Registry, read: &Read, pretty: bool) -> (u64, Encoded) {
        let slot = self.slot((read.clone(), pretty));
        let mut made = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, _) = registry.index_of(&read.topic());
        if let Some((index, answer)) = &*made
            && *index == now
        {
            registry.metrics.answers_shared.inc();
            return (*index, answer.clone());
        }
        let (index, view) = registry.look(read);
        let answer = encode::view(&view, pretty);
        registry.metrics.answers_made.inc();
        let before = made.replace((index, answer.clone())).map_or(0, |(_, old)| old.body.len());
        drop(made);
        self.account(before, answer.body.len());
        (index, answer)
    }

    fn slot(&self, question: Question) -> Slot {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.slots.len() >= ANSWERS_MAX && !kept.slots.contains_key(&question) {
            *kept = Kept::default();
        }
        kept.slots.entry(question).or_default().clone()
    }

    fn account(&self, before: usize, after: usize) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes = (kept.bytes + after).saturating_sub(before);
        if kept.bytes > ANSWER_BYTES_MAX {
            *kept = Kept::default();
        }
    }
}
