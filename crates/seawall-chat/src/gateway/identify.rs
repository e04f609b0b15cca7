//! Opening a session.
//!
//! ```text
//! token, limits ─ watch the user ─ load its guilds ─┬─ in the order: views, session, mark ─┬─ record ─ READY, guilds ─ live
//!                 (from here on no join is missed)  └─ from here on it is dirty and corked ┘  (cork out)
//! ```
//! READY and the guilds are numbered before they are made: one each. What happens between their making and their
//! number comes again afterwards; it says the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use seawall_net::host::chain;

use super::entry::{Mark, SessionId, What};
use super::fold::{Fold, Part};
use super::hub::{Hub, random};
use super::link::{Link, Phase};
use super::payload::{Close, Identify};
use super::ready;
use super::replica::{self, Shared};
use super::session::Session;
use super::view::View;
use crate::event::intents;
use crate::id::Id;
use crate::model::{Channel, User};
use crate::storage::{SessionRecord, Trouble};

/// Intents that Discord grants on request only.
const PRIVILEGED: u64 = intents::GUILD_MEMBERS | intents::GUILD_PRESENCES | intents::MESSAGE_CONTENT;
/// Guilds written before others may run.
const WRITE_AHEAD: usize = 16;

/// A guild that is about to be heard of. While its state is held, it is not forgotten.
pub(super) type Held = (Id, Option<Shared>);

/// What became of a wish to open or to resume.
pub(super) enum Outcome {
    /// It has a session.
    In(Arc<Session>),
    /// It may try again with IDENTIFY.
    Invalid,
}

/// The store cannot say who somebody is, or what it may see.
pub(super) fn no_answer(trouble: &Trouble) -> Close {
    tracing::warn!(error = %chain(trouble), "gateway cannot read what it needs, the client is sent away to try again");
    Close::Again("The service is not available; try again.")
}

impl Hub {
    /// Opens a session on a connection.
    pub(super) async fn identify(&self, link: &Arc<Link>, wish: Identify) -> Result<Outcome, Close> {
        if !self.config.privileged_intents && wish.intents & PRIVILEGED != 0 {
            return Err(Close::DisallowedIntents);
        }
        let known = self.storage.user_of_token(&wish.token).await.map_err(|t| no_answer(&t))?;
        let Some((user, token_hash)) = known else { return Err(Close::BadToken) };
        if self.is_draining() || !self.may_start(user.id) {
            return Ok(Outcome::Invalid);
        }
        let watch = Watch::new(self, user.id);
        let guilds = self.guilds_of(user.id, wish.part).await.map_err(|t| no_answer(&t))?;
        let is_home = wish.part.is_first() && !user.bot;
        let directs =
            if is_home { self.storage.directs_of(user.id).await.map_err(|t| no_answer(&t))? } else { vec![] };
        let session = self.enter(link, &wish, user.id, token_hash, &guilds)?;
        drop(watch);
        let record = SessionRecord {
            id: session.id.to_string(),
            user: user.id,
            token_hash,
            gateway: self.gateway.clone(),
            generation: 0,
            created: self.clock.wall(),
        };
        if let Err(trouble) = self.storage.session_put(&record).await {
            self.end(&session);
            return Err(no_answer(&trouble));
        }
        self.still_good(&session, &wish.token).await?;
        self.begin(link, &session, &user, &directs).await;
        self.metrics.identifies.inc();
        self.presences.due(&session);
        Ok(Outcome::In(session))
    }

    /// Whether a token is still good now that its session is in the order, where the news of a new one finds it. Before,
    /// they may have come to nobody.
    ///
    /// # Errors
    /// It is not; the session has ended.
    pub(super) async fn still_good(&self, session: &Arc<Session>, token: &str) -> Result<(), Close> {
        let close = match self.storage.user_of_token(token).await {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => Close::BadToken,
            Err(trouble) => no_answer(&trouble),
        };
        self.end_with(session, close);
        Err(close)
    }

    /// Loads the guilds of a user; which there are. What was committed by now has been followed then: the client is
    /// not told first what is, and then how it came to be. To be kept until [`Hub::view_of`] has seen them.
    pub(super) async fn guilds_of(&self, user: Id, part: Part) -> Result<Vec<Held>, Trouble> {
        let mut guilds = self.storage.guilds_of(user).await?;
        guilds.retain(|guild| part.has(*guild));
        let shards: BTreeSet<u32> = guilds.iter().map(|guild| self.storage.shard_of_guild(*guild)).collect();
        let mut held = Vec::with_capacity(guilds.len());
        for guild in guilds {
            held.push((guild, self.replica.loaded(guild).await?));
        }
        for shard in shards {
            let newest = self.storage.position(shard).await?;
            // Without an owner nothing is followed, and what is here is all there is to begin with.
            self.replica.followed(shard, newest).await;
        }
        Ok(held)
    }

    /// Puts the session into the order.
    fn enter(
        &self,
        link: &Arc<Link>,
        wish: &Identify,
        user: Id,
        token_hash: [u8; 32],
        guilds: &[Held],
    ) -> Result<Arc<Session>, Close> {
        let id = SessionId(random().map_err(|fault| {
            tracing::error!(error = %chain(&fault), "no session can be opened");
            Close::Again("The service is not available; try again.")
        })?);
        let mut order = self.order();
        let view = self.view_of(&mut order, user, wish.part, guilds);
        let told = if wish.intents & intents::GUILDS == 0 { 0 } else { view.guilds().len() as u64 };
        let fold = Fold {
            session: id,
            user,
            intents: wish.intents,
            part: wish.part,
            s: 1 + told,
            lsn: order.head(),
            view,
            skip: None,
        };
        let mark = Mark { token_hash, generation: 0, fold };
        let entry = What::Session(Box::new(mark.clone()));
        let session = Session::new(mark, wish.large_threshold, wish.presence.clone(), self.clock.now());
        {
            let mut state = session.lock();
            session.connect(&mut state, link, self.clock.now());
            state.is_dirty = true;
            state.is_corked = true;
        }
        self.open(&mut order, &session, vec![entry])
            .map_err(|_| Close::Again("The journal is full; try again."))?;
        Ok(session)
    }

    /// What a user sees now of those of its guilds that are here; kept up to date from now on.
    pub(super) fn view_of(
        &self,
        order: &mut super::hub::Order,
        user: Id,
        part: Part,
        guilds: &[Held],
    ) -> View {
        let joined = order.seen.iter().filter(|(guild, seen)| part.has(**guild) && seen.contains_key(&user));
        let mut all: Vec<Id> =
            joined.map(|(guild, _)| *guild).chain(guilds.iter().map(|held| held.0)).collect();
        all.sort_unstable();
        all.dedup();
        let mut view = Vec::new();
        for guild in all {
            let state = self.replica.here(guild);
            let Some(hidden) = state.and_then(|state| replica::hidden_from(&state, user)) else { continue };
            order.seen.entry(guild).or_default().insert(user, hidden.clone());
            view.push((guild, hidden));
        }
        View::new(view)
    }

    /// Writes READY and the guilds, then lets everything else out.
    async fn begin(&self, link: &Arc<Link>, session: &Arc<Session>, user: &User, directs: &[Channel]) {
        let (part, wants, view) = {
            let state = session.lock();
            (state.fold.part, state.fold.intents, state.acks.rewind(&state.fold).view)
        };
        let guilds: Vec<Id> = view.guilds().map(|(guild, _)| guild).collect();
        let d = ready::ready(user, session, part, &guilds, directs, &self.url);
        link.send(&ready::dispatch("READY", 1, &d.to_string()));
        if wants & intents::GUILDS != 0 {
            for (n, guild) in guilds.iter().enumerate() {
                let state = self.replica.here(*guild);
                let d = state.and_then(|state| ready::guild_create(self, &state, session, wants));
                let s = n as u64 + 2;
                match d {
                    Some(d) => link.send(&ready::dispatch("GUILD_CREATE", s, &d)),
                    // Left again in this moment; its number is given all the same.
                    None => link.send(&ready::dispatch("GUILD_DELETE", s, &format!(r#"{{"id":"{guild}"}}"#))),
                }
                // What is held is bounded, and a guild may be as large as the bound.
                if link.is_holding() {
                    link.drained().await;
                } else if n % WRITE_AHEAD == WRITE_AHEAD - 1 {
                    tokio::task::yield_now().await;
                }
                if link.phase() != Phase::Open {
                    break;
                }
            }
        }
        link.drained().await;
        session.lock().is_corked = false;
        self.push_dirty([session.clone()]);
    }
}

/// Keeps a user's views while its session is being made.
pub(super) struct Watch<'a> {
    hub: &'a Hub,
    user: Id,
}

impl<'a> Watch<'a> {
    pub(super) fn new(hub: &'a Hub, user: Id) -> Watch<'a> {
        hub.order().watch(user);
        Watch { hub, user }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.hub.order().unwatch(self.user);
    }
}
