//! A bounded queue between async callers and the store's threads.
//!
//! Not a channel of the standard library, because the writer takes everything that fits into one group
//! at once, and because a queue of large batches must be bounded by bytes as well as by length.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Full or closed: the caller keeps its item.
pub(crate) struct Refused;

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    len_max: usize,
    bytes_max: usize,
}

struct State<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
    closed: bool,
}

/// What a thread got after waiting.
pub(crate) enum Taken<T> {
    /// At least one item, in order of arrival.
    Items(Vec<T>),
    /// Nothing came in time.
    Nothing,
    /// Closed and empty: the thread may end.
    Closed,
}

impl<T> Queue<T> {
    pub(crate) fn new(len_max: usize, bytes_max: usize) -> Queue<T> {
        let state = State { items: VecDeque::new(), bytes: 0, closed: false };
        Queue { state: Mutex::new(state), filled: Condvar::new(), len_max, bytes_max }
    }

    pub(crate) fn push(&self, item: T, bytes: usize) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed || state.items.len() >= self.len_max || state.bytes + bytes > self.bytes_max {
            return Err(Refused);
        }
        state.bytes += bytes;
        state.items.push_back((bytes, item));
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for the first item, at most `patience`, then takes what is there up to `len` items and
    /// `bytes` bytes; the first one always, however large.
    pub(crate) fn take(&self, len: usize, bytes: usize, patience: Duration) -> Taken<T> {
        let state = self.lock();
        let (mut state, _) = self
            .filled
            .wait_timeout_while(state, patience, |s| s.items.is_empty() && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        let mut room = bytes;
        while let Some((size, _)) = state.items.front() {
            if taken.len() == len || (!taken.is_empty() && *size > room) {
                break;
            }
            room = room.saturating_sub(*size);
            let (size, item) = state.items.pop_front().expect("the front was just seen");
            state.bytes -= size;
            taken.push(item);
        }
        match (taken.is_empty(), state.closed) {
            (false, _) => Taken::Items(taken),
            (true, false) => Taken::Nothing,
            (true, true) => Taken::Closed,
        }
    }

    /// Nothing more comes in; what is there is still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// No code panics while it holds this lock, and a half-done push would lose an item at worst.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn items<T>(taken: Taken<T>) -> Vec<T> {
        match taken {
            Taken::Items(items) => items,
            Taken::Nothing | Taken::Closed => Vec::new(),
        }
    }

    #[test]
    fn a_full_queue_refuses_by_length_and_by_bytes() {
        let q = Queue::new(2, 10);
        assert!(q.push('a', 4).is_ok());
        assert!(q.push('b', 7).is_err());
        assert!(q.push('b', 6).is_ok());
        assert!(q.push('c', 0).is_err());
        assert_eq!(items(q.take(9, 99, NOW)), ['a', 'b']);
        assert!(q.push('c', 10).is_ok());
    }

    #[test]
    fn a_group_ends_where_the_bytes_do_but_is_never_empty() {
        let q = Queue::new(9, 99);
        for (item, bytes) in [('a', 20), ('b', 3), ('c', 3), ('d', 3)] {
            assert!(q.push(item, bytes).is_ok());
        }
        assert_eq!(items(q.take(9, 6, NOW)), ['a']);
        assert_eq!(items(q.take(9, 6, NOW)), ['b', 'c']);
        assert_eq!(items(q.take(9, 6, NOW)), ['d']);
    }

    #[test]
    fn a_closed_queue_is_emptied_and_then_says_so() {
        let q = Queue::new(9, 99);
        assert!(q.push('a', 1).is_ok());
        q.close();
        assert!(q.push('b', 1).is_err());
        assert_eq!(items(q.take(9, 9, NOW)), ['a']);
        assert!(matches!(q.take(9, 9, NOW), Taken::Closed));
    }
}
