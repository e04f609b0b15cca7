//! What is known of a connection: who it says it is, and which form of the protocol it speaks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use seawall_policy::Mono;

use super::encoder::Protocol;

/// Longest name a client may give itself, its library, or its library's version. Redis knows no limit.
const NAME_MAX: usize = 256;

/// A connection's own state.
#[derive(Debug)]
pub struct Session {
    /// What the others may read of it.
    pub(super) card: Arc<Card>,
    /// The form of the protocol it speaks.
    pub protocol: Protocol,
    /// It has shown a token, or none is asked for.
    pub(super) is_known: bool,
}

/// What `CLIENT LIST` shows of a connection.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) id: i64,
    peer: SocketAddr,
    local: SocketAddr,
    since: Mono,
    about: Mutex<About>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) library: String,
    pub(super) library_version: String,
    pub(super) protocol: Protocol,
}

impl Card {
    pub(super) fn about(&self) -> About {
        self.about.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut About)) {
        change(&mut self.about.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One line of `CLIENT LIST`: the fields of Redis's that mean something here.
    pub(super) fn line(&self, now: Mono, out: &mut String) {
        let About { name, library, library_version, protocol } = self.about();
        let Card { id, peer, local, since, .. } = self;
        let age = now.since(*since).as_secs();
        let resp = protocol.number();
        let _ = writeln!(
            out,
            "id={id} addr={peer} laddr={local} name={name} age={age} flags=N db=0 user=default resp={resp} \
             lib-name={library} lib-ver={library_version}"
        );
    }
}

/// A text that may stand in a line of `CLIENT LIST`: no blanks, no control characters.
pub(super) fn plain(text: &[u8]) -> Option<String> {
    let is_plain = text.len() <= NAME_MAX && text.iter().all(|byte| (b'!'..=b'~').contains(byte));
    is_plain.then(|| String::from_utf8_lossy(text).into_owned())
}

/// All connections of a port, for `CLIENT LIST`. Touched when one comes, goes or renames itself.
#[derive(Debug, Default)]
pub(super) struct Cards(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    last: i64,
    cards: BTreeMap<i64, Arc<Card>>,
}

impl Cards {
    pub(super) fn add(&self, peer: SocketAddr, local: SocketAddr, since: Mono) -> Arc<Card> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.last += 1;
        let card = Arc::new(Card { id: open.last, peer, local, since, about: Mutex::default() });
        open.cards.insert(card.id, card.clone());
        card
    }

    pub(super) fn remove(&self, id: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cards.remove(&id);
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cards.len()
    }

    /// Those with these ids; all of them, if none is named.
    pub(super) fn lines(&self, ids: &[i64], now: Mono) -> String {
        // The lines are written without the lock: connections come and go meanwhile.
        let cards: Vec<_> = {
            let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match ids {
                [] => open.cards.values().cloned().collect(),
                ids => ids.iter().filter_map(|id| open.cards.get(id).cloned()).collect(),
            }
        };
        let mut out = String::new();
        cards.iter().for_each(|card| card.line(now, &mut out));
        out
    }
}
