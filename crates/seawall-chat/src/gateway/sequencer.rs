//! News in, entries out: the one task that follows what the owner tells.
//!
//! News are taken as many at a time as there are. They are applied to the guilds here, turned into entries for those
//! who have sessions here, and appended as one batch; then everyone who is behind is flushed. Events of guilds
//! nobody here is in leave no trace but how far they were followed.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use seawall_store::Position;
use serde_json::json;

use super::entry::{To, What};
use super::hub::{Hub, Order, Refused, to_session};
use super::journal::Trouble;
use super::overlong::Room;
use super::ready;
use super::replica;
use super::views::{self, Changes, Seen};
use crate::event::{Audience, Event, Kind, intents};
use crate::id::Id;
use crate::owner::{News, Subscription};

/// News taken at a time.
const NEWS_MAX: usize = 512;
/// Pause before a batch is tried again that the journal did not take, or a guild that could not be loaded.
const AGAIN: Duration = Duration::from_millis(200);
/// Times a guild that somebody joins is tried to be loaded, before the join is left to the next session. Everybody here
/// waits meanwhile.
const LOADS_MAX: u32 = 5;

impl Hub {
    /// Follows the news until the system stops.
    pub(super) async fn sequence(self: Arc<Self>, mut news: Subscription) {
        let mut effects = self.inbox.ladder().follow();
        loop {
            let due = self.inbox.due().into_iter().chain(self.wait_ends()).min();
            let due = due.map(|at| at.since(self.clock.now()));
            tokio::select! {
                first = news.next() => {
                    let mut batch = vec![first];
                    while batch.len() < NEWS_MAX
                        && let Some(next) = at_once(&mut news).await
                    {
                        batch.push(next);
                    }
                    self.take(batch).await;
                }
                () = self.wake.notified() => {}
                () = after(due) => self.release().await,
                _ = effects.changed() => self.changed(),
            }
            self.flush().await;
        }
    }

    /// Puts a batch of news in order.
    pub(super) async fn take(&self, batch: Vec<News>) {
        // Held until somebody hears of them; what nobody holds or hears of may be forgotten.
        let mut held = Vec::new();
        for news in &batch {
            held.extend(self.prepare(news).await);
        }
        let mut batch = batch.into_iter();
        while batch.len() > 0 {
            let (whats, left) = self.translate(&mut batch);
            if !self.put_at_last(whats, &left).await {
                return;
            }
        }
        let reached = self.order().reached.clone();
        self.replica.reached(&reached);
    }

    /// Puts in order what has waited for long enough, and flushes who has.
    async fn release(&self) {
        let now = self.clock.now();
        self.end_wait(now);
        let (typing, users) = self.inbox.take(now);
        let whats = {
            let order = self.order();
            let heard = typing.into_iter().filter(|event| is_heard(&order, event));
            let mut whats: Vec<What> = heard.map(|event| dispatch(event, None)).collect();
            for user in users {
                self.expand(&order, &self.presences.now(user), &mut whats);
            }
            whats
        };
        self.put_at_last(whats, &[]).await;
    }

    /// Puts entries in order, however long the journal refuses them. False when the system stops before.
    async fn put_at_last(&self, mut whats: Vec<What>, left: &[(Id, Id)]) -> bool {
        while let Err(refused) = self.put(whats, left) {
            whats = refused.whats;
            if let Trouble::TooLong { bytes } = refused.trouble
                && self.shorten(&mut whats, bytes)
            {
                continue;
            }
            // The journal has said why. Nothing is dispatched meanwhile: nobody could resume it.
            if !self.tasks.sleep(AGAIN).await {
                return false;
            }
        }
        true
    }

    fn put(&self, whats: Vec<What>, left: &[(Id, Id)]) -> Result<(), Refused> {
        let mut order = self.order();
        self.append(&mut order, whats)?;
        order.unlist(left);
        Ok(())
    }

    /// Loads the guild that a user of this process joins.
    async fn prepare(&self, news: &News) -> Option<replica::Shared> {
        let News::Durable { event, .. } = news else { return None };
        let (Kind::MemberAdd, Some(guild)) = (event.t, event.to.guild()) else { return None };
        let user = views::member_of(event)?;
        if !self.order().is_here(user) {
            return None;
        }
        for _ in 0..LOADS_MAX {
            match self.replica.loaded(guild).await {
                Ok(state) => return state,
                Err(trouble) => {
                    tracing::warn!(%guild, %trouble, "a guild that was joined cannot be loaded yet")
                }
            }
            if !self.tasks.sleep(AGAIN).await {
                return None;
            }
        }
        None
    }

    /// The entries of as much of a batch as one record may have, and which users have left which guilds.
    fn translate(&self, batch: &mut std::vec::IntoIter<News>) -> (Vec<What>, Vec<(Id, Id)>) {
        let now = self.clock.now();
        let mut order = self.order();
        let (mut whats, mut left) = (Vec::new(), Vec::new());
        let mut has_moved = false;
        let (mut moved, mut renewed, mut missed) = (Vec::new(), Vec::new(), Vec::new());
        let mut room = Room::default();
        while room.is_left(&whats)
            && let Some(news) = batch.next()
        {
            if let Some((shard, at)) = news.reached() {
                let Some(reached) = order.reached.get_mut(shard as usize) else { continue };
                // Told again after a change of owner.
                if at <= *reached {
                    continue;
                }
                *reached = at;
                has_moved = true;
            }
            match news {
                News::Durable { shard, at, event } => {
                    self.inbox.said(&event);
                    left.extend(self.durable(&mut order, (shard, at), event, &mut whats));
                }
                News::Moved { moved: session, .. } => moved.push(session),
                News::Renewed { renewed: token, .. } => renewed.push(token),
                News::Passed { .. } => {}
                News::Missed { shard, now } => missed.push((shard, now)),
                News::Ephemeral(event) => {
                    if is_heard(&order, &event)
                        && let Some(event) = self.inbox.ephemeral(event, now)
                    {
                        whats.push(dispatch(event, None));
                    }
                }
                News::Presence(presence) => {
                    self.presences.told(&presence);
                    if self.inbox.presence(presence.user, now) {
                        self.expand(&order, &presence, &mut whats);
                    }
                }
                News::Owner { epoch } => {
                    tracing::info!(epoch, "following an owner");
                    self.presences.doubt(now);
                    self.presences.report_all(order.sessions.values());
                }
            }
        }
        if has_moved {
            whats.push(What::Reached { positions: order.reached.clone() });
        }
        drop(order);
        moved.iter().for_each(|moved| self.moved(moved));
        renewed.iter().for_each(|renewed| self.renewed(renewed));
        missed.into_iter().for_each(|(shard, now)| self.missed(shard, now));
        (whats, left)
    }

    fn durable(
        &self,
        order: &mut Order,
        origin: (u32, Position),
        event: Event,
        whats: &mut Vec<What>,
    ) -> Vec<(Id, Id)> {
        let mut left = Vec::new();
        let Some(guild) = event.to.guild() else {
            if is_heard(order, &event) {
                whats.push(dispatch(event, Some(origin)));
            }
            return left;
        };
        let Some(state) = self.replica.apply(guild, origin.1, &event) else { return left };
        let Changes { before, after } = match order.seen.get_mut(&guild) {
            Some(seen) => {
                let state = state.read().unwrap_or_else(std::sync::PoisonError::into_inner);
                views::changes(&event, &state, guild, seen)
            }
            None => Changes::default(),
        };
        whats.extend(before);
        let (t, joined) = (event.t, views::member_of(&event));
        // A loss of the guild is in `seen` already, and whoever loses it is still to hear why.
        if order.is_heard(guild) || !after.is_empty() {
            whats.push(dispatch(event, Some(origin)));
        }
        for view in &after {
            if let What::View { user, hidden: None, .. } = view {
                if t == Kind::MemberRemove {
                    let d = json!({ "id": guild }).to_string();
                    whats.push(to_users(vec![*user], Kind::GuildDelete, d));
                }
                left.push((guild, *user));
            }
        }
        whats.extend(after);
        match (t, joined) {
            (Kind::MemberAdd, Some(user)) => {
                self.join(order, &state, guild, user, whats);
                self.introduce(guild, user, whats);
            }
            (Kind::GuildDelete, _) => self.replica.forget(guild),
            _ => {}
        }
        if order.seen.get(&guild).is_some_and(Seen::is_empty) {
            order.seen.remove(&guild);
        }
        left
    }

    /// Events of a shard are lost. No session that heard of it can go on, and no guild of it is as it was.
    fn missed(&self, shard: u32, now: Position) {
        tracing::error!(shard, at = now.0, "events were missed, all sessions begin anew");
        let all: Vec<_> = self.order().sessions.values().cloned().collect();
        all.iter().for_each(|session| self.end(session));
        self.replica.forget_all();
    }

    /// A user that has sessions here is in a guild from now on.
    fn join(&self, order: &mut Order, state: &replica::Shared, guild: Id, user: Id, whats: &mut Vec<What>) {
        let is_new = !order.seen.get(&guild).is_some_and(|seen| seen.contains_key(&user));
        if !order.is_here(user) || !is_new {
            return;
        }
        let Some(hidden) = replica::hidden_from(state, user) else { return };
        order.seen.entry(guild).or_default().insert(user, hidden.clone());
        for session in order.by_user.get(&user).cloned().unwrap_or_default() {
            let (part, wants) = {
                let state = session.lock();
                (state.fold.part, state.fold.intents)
            };
            if !part.has(guild) {
                continue;
            }
            order.list(guild, &session);
            if wants & intents::GUILDS != 0
                && let Some(d) = ready::guild_create(self, state, &session, wants)
            {
                whats.push(to_session(session.id, Kind::GuildCreate, d));
            }
        }
        whats.push(What::View { user, guild, hidden: Some(hidden) });
    }
}

/// Returns after this time; without one, never.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// What has arrived already.
async fn at_once(news: &mut Subscription) -> Option<News> {
    let mut next = std::pin::pin!(news.next());
    std::future::poll_fn(|cx| match next.as_mut().poll(cx) {
        Poll::Ready(news) => Poll::Ready(Some(news)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Whether anybody here could hear of it.
fn is_heard(order: &Order, event: &Event) -> bool {
    match &event.to {
        Audience::Guild(guild) | Audience::Channel { guild, .. } => order.is_heard(*guild),
        Audience::Users(users) => users.iter().any(|user| order.is_here(*user)),
    }
}

/// An event as an entry.
pub(super) fn dispatch(event: Event, origin: Option<(u32, Position)>) -> What {
    let Event { t, to, author, mentions, d } = event;
    let d = Bytes::from(String::from(Box::<str>::from(d)));
    What::Dispatch { origin, to: to.into(), t, author, mentions: mentions.into(), d }
}

pub(super) fn to_users(users: Vec<Id>, t: Kind, d: impl Into<Bytes>) -> What {
    let to = To::Users(users);
    What::Dispatch { origin: None, to, t, author: None, mentions: Box::default(), d: d.into() }
}

#[cfg(test)]
mod tests;
