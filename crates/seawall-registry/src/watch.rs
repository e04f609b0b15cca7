//! Who waits for what, and how they are woken.
//!
//! A waiting client costs its connection, a place, and one receiver: no copy of what it watches, no task of
//! its own. Clients that wait for the same thing share one channel, so that a write looks up the few topics it
//! touched and nothing else, however many are waiting for other things.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seawall_policy::inflight::{Full, Limit, Place};
use tokio::sync::watch;

use crate::machine::{Topic, Touch};

/// All waiting clients.
pub struct Hub {
    topics: Mutex<Topics>,
    places: Limit,
}

#[derive(Default)]
struct Topics {
    exact: HashMap<Topic, Channel>,
    /// Apart, because a written key is looked up under each of its prefixes.
    prefixes: HashMap<String, Channel>,
}

#[derive(Default)]
struct Channel {
    sender: watch::Sender<u64>,
    /// Counted under the lock. The sender's own count falls only after a watcher has let go of it, so of two
    /// that leave at once each would take the other for one that stays.
    listeners: usize,
}

/// One client's wait. Dropping it ends the wait.
pub struct Watcher {
    hub: Arc<Hub>,
    topic: Topic,
    woken: watch::Receiver<u64>,
    _place: Place,
}

impl Hub {
    /// Room for `watchers_max` waiting clients.
    #[must_use]
    pub fn new(watchers_max: usize) -> Arc<Hub> {
        Arc::new(Hub { topics: Mutex::default(), places: Limit::new(watchers_max) })
    }

    /// Begins to listen. Look at the state after this call, not before, or a change may fall between.
    ///
    /// # Errors
    /// [`Full`] when as many wait already as may.
    pub fn listen(self: &Arc<Hub>, topic: &Topic) -> Result<Watcher, Full> {
        let place = self.places.admit()?;
        let mut topics = self.topics();
        let channel = match topic {
            Topic::Prefix(prefix) => topics.prefixes.entry(prefix.clone()).or_default(),
            other => topics.exact.entry(other.clone()).or_default(),
        };
        channel.listeners += 1;
        let woken = channel.sender.subscribe();
        Ok(Watcher { hub: self.clone(), topic: topic.clone(), woken, _place: place })
    }

    /// Wakes whoever waits for something that the command at `index` touched.
    pub fn wake(&self, touched: &BTreeSet<Touch>, index: u64) {
        let topics = self.topics();
        for touch in touched {
            if let Some(waiting) = topics.exact.get(&topic_of(touch)) {
                waiting.sender.send_replace(index);
            }
            if let Touch::Key(key) = touch
                && !topics.prefixes.is_empty()
            {
                let ends = key.char_indices().map(|(at, _)| at).chain([key.len()]);
                for waiting in ends.filter_map(|end| topics.prefixes.get(&key[..end])) {
                    waiting.sender.send_replace(index);
                }
            }
        }
    }

    /// Clients waiting now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.places.in_flight()
    }

    fn topics(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Whether there was a change since the last call of [`Watcher::woken`].
    #[must_use]
    pub fn is_woken(&self) -> bool {
        self.woken.has_changed().unwrap_or(false)
    }

    /// Returns after the next change of the topic (or for nothing: look again).
    pub async fn woken(&mut self) {
        if self.woken.changed().await.is_err() {
            // The channel lives in the hub for as long as we listen; were it gone, nothing could wake us.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut topics = self.hub.topics();
        // The last one takes the channel with it.
        let leave = |channel: &mut Channel| {
            channel.listeners -= 1;
            channel.listeners == 0
        };
        match &self.topic {
            Topic::Prefix(prefix) => {
                if topics.prefixes.get_mut(prefix).is_some_and(leave) {
                    topics.prefixes.remove(prefix);
                }
            }
            other => {
                if topics.exact.get_mut(other).is_some_and(leave) {
                    topics.exact.remove(other);
                }
            }
        }
    }
}

fn topic_of(touch: &Touch) -> Topic {
    match touch {
        Touch::Nodes => Topic::Nodes,
        Touch::Node(name) => Topic::Node(name.clone()),
        Touch::Services => Topic::Services,
        Touch::Instances => Topic::Instances,
        Touch::Service(name) => Topic::Service(name.clone()),
        Touch::Checks => Topic::Checks,
        Touch::Key(key) => Topic::Key(key.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> Topic {
        Topic::Service(name.into())
    }

    #[test]
    fn a_change_wakes_those_who_asked_for_it_and_nobody_else() {
        let hub = Hub::new(10);
        let (web, db) = (hub.listen(&service("web")).unwrap(), hub.listen(&service("db")).unwrap());
        hub.wake(&[Touch::Service("web".into())].into(), 7);
        assert!(web.is_woken() && !db.is_woken());
    }

    #[test]
    fn a_key_wakes_every_prefix_it_lies_under() {
        let hub = Hub::new(10);
        let listen = |prefix: &str| hub.listen(&Topic::Prefix(prefix.into())).unwrap();
        let under = [listen(""), listen("é/"), listen("é/ab")];
        let beside = [listen("é/abc"), listen("b")];
        hub.wake(&[Touch::Key("é/ab".into())].into(), 7);
        assert!(under.iter().all(Watcher::is_woken) && !beside.iter().any(Watcher::is_woken));
    }

    #[test]
    fn the_last_one_to_leave_takes_the_channel_away() {
        let hub = Hub::new(10);
        let (a, b) = (hub.listen(&Topic::Nodes).unwrap(), hub.listen(&Topic::Nodes).unwrap());
        let c = hub.listen(&Topic::Prefix("a/".into())).unwrap();
        drop(a);
        assert_eq!((hub.waiting(), hub.topics().exact.len()), (2, 1));
        drop((b, c));
        let topics = hub.topics();
        assert_eq!((hub.waiting(), topics.exact.len(), topics.prefixes.len()), (0, 0, 0));
    }

    #[test]
    fn watchers_that_leave_at_the_same_moment_leave_nothing_behind() {
        let hub = Hub::new(10);
        let (a, b) = (hub.listen(&Topic::Nodes).unwrap(), hub.listen(&Topic::Nodes).unwrap());
        // Gone from the hub, but its receiver is not dropped yet.
        let receiver = a.woken.clone();
        drop(a);
        drop(b);
        assert!(hub.topics().exact.is_empty());
        drop(receiver);
    }

    #[test]
    fn more_watchers_than_allowed_are_refused() {
        let hub = Hub::new(1);
        let _one = hub.listen(&Topic::Nodes).unwrap();
        assert!(hub.listen(&Topic::Nodes).is_err());
    }
}
