//! The change stream: what is told with each commit, and who reads it.

use seawall_store::{ChangesError, Position, Sql, Written};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{ChangesTrouble, Committed, READ_PATIENCE, Storage, Trouble, WRITE_PATIENCE, read_shard};
use crate::event::Event;
use crate::id::Id;

/// The topic of events.
pub const TOPIC: &str = "chat";
/// The topic of sessions that another gateway has taken.
const SESSION: &str = "session";
/// The topic of users with a new token.
const TOKEN: &str = "token";

/// The cheapest read: it finds nothing, and every answer carries its position.
const NOTHING: Sql =
    Sql { name: "the newest position", text: "SELECT hk FROM chat_owner WHERE hk = $1 AND hk <> $1" };

/// A session that another gateway has taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Which.
    pub session: String,
    /// Who has it now.
    pub gateway: String,
    /// Its generation there.
    pub generation: u64,
}

/// A user's tokens are worth nothing any more, but for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// Whose.
    pub user: Id,
    /// The one that is good: its [hash](super::token_hash).
    pub token_hash: [u8; 32],
}

/// What a shard tells.
#[derive(Debug, Clone)]
pub enum Told {
    /// Something for sessions to hear.
    Event(Event),
    /// A session moved: the gateway that had it lets go.
    Moved(Moved),
    /// Tokens were revoked: every gateway ends the sessions that were opened with them.
    Renewed(Renewed),
}

/// An event as the store keeps it; `key` is the id of the guild, channel or user it is about.
///
/// # Panics
/// Never: an event serialises.
#[must_use]
pub fn event(event: &Event, key: Id) -> seawall_store::Event {
    let body = serde_json::to_vec(event).expect("an event serialises");
    seawall_store::Event::new(TOPIC, &key.0.to_be_bytes(), body)
}

pub(super) fn moved(moved: &Moved) -> seawall_store::Event {
    let body = serde_json::to_vec(moved).expect("three plain fields serialise");
    seawall_store::Event::new(SESSION, moved.session.as_bytes(), body)
}

pub(crate) fn renewed(renewed: &Renewed) -> seawall_store::Event {
    let body = serde_json::to_vec(renewed).expect("two plain fields serialise");
    seawall_store::Event::new(TOKEN, &renewed.user.0.to_be_bytes(), body)
}

/// What the store kept; `None` for something another build told of.
///
/// # Errors
/// [`Trouble::Failed`] when it is not what its topic has.
pub fn parse_event(event: &seawall_store::Event) -> Result<Option<Told>, Trouble> {
    let bad = |e| Trouble::Failed(format!("a malformed event of topic {}: {e}", event.topic));
    match event.topic.as_str() {
        TOPIC => serde_json::from_slice(&event.body).map(|e| Some(Told::Event(e))).map_err(bad),
        SESSION => serde_json::from_slice(&event.body).map(|m| Some(Told::Moved(m))).map_err(bad),
        TOKEN => serde_json::from_slice(&event.body).map(|r| Some(Told::Renewed(r))).map_err(bad),
        _ => Ok(None),
    }
}

impl Storage {
    /// The newest committed position of a shard.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn position(&self, shard: u32) -> Result<Position, Trouble> {
        let shard = self.shards.get(shard);
        Ok(read_shard(shard, &NOTHING, vec![shard.hk_min().into()]).await?.at)
    }

    /// Has a shard keep what it tells after `at` for a follower of this name, for days if need be. A later position
    /// lets go of what is before it.
    ///
    /// # Errors
    /// See [`Trouble`]; saying it again is harmless.
    pub async fn keep_changes(&self, shard: u32, follower: &str, at: Position) -> Result<(), Trouble> {
        let saving = self.shards.get(shard).cursor_save(follower, at);
        let written = timeout(WRITE_PATIENCE, saving).await.unwrap_or(Written::Unknown);
        Committed::of(written).map(|_| ())
    }

    /// At most `max` things a shard told after `from`, in the order of commits. For followers: going on from the
    /// last position leaves nothing out. What this build does not know has a position and nothing else.
    ///
    /// # Errors
    /// [`ChangesTrouble::TooOld`] when some of them are deleted.
    pub async fn follow(
        &self,
        shard: u32,
        from: Position,
        max: usize,
    ) -> Result<Vec<(Position, Option<Told>)>, ChangesTrouble> {
        let reading = self.shards.get(shard).changes(from, max);
        let events = timeout(READ_PATIENCE, reading).await.map_err(|_| Trouble::Busy)?;
        let events = events.map_err(|error| match error {
            ChangesError::TooOld { oldest } => ChangesTrouble::TooOld { oldest },
            ChangesError::Read(error) => ChangesTrouble::Read(error.into()),
        })?;
        let parsed = events.iter().map(|(at, event)| Ok((*at, parse_event(event)?)));
        parsed.collect::<Result<_, Trouble>>().map_err(ChangesTrouble::Read)
    }

    /// At most `max` events after `from`, in the order of commits, and nothing else that was told. For a gap that
    /// is read once; empty only where no event is left. Followers use [`Storage::follow`], because their position
    /// must move with what is left out here.
    ///
    /// # Errors
    /// [`ChangesTrouble::TooOld`] when some of them are deleted.
    pub async fn changes(
        &self,
        shard: u32,
        mut from: Position,
        max: usize,
    ) -> Result<Vec<(Position, Event)>, ChangesTrouble> {
        loop {
            let told = self.follow(shard, from, max).await?;
            let Some((last, _)) = told.last() else { return Ok(Vec::new()) };
            from = *last;
            let only = |(at, told)| match told {
                Some(Told::Event(event)) => Some((at, event)),
                Some(Told::Moved(_) | Told::Renewed(_)) | None => None,
            };
            let events = told.into_iter().filter_map(only).collect::<Vec<_>>();
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }
}
