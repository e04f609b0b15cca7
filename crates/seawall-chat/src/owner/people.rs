//! What is decided about users: who they are, their tokens, with whom they talk alone, and the guilds they make.
//!
//! These things live on several shards, so each is several batches. The first, keyed, fixes every id that the others
//! use: whoever tries again goes on where the first try ended.

use std::sync::Arc;

use seawall_policy::Mono;
use serde_json::json;

use super::actors::{Answer, Order, Place, Stop, Wish};
use super::decide::{self, Context, Plan, guilds, users};
use super::reign::Reign;
use super::writes;
use crate::command::{Ask, Command, Done, Patch};
use crate::id::Id;
use crate::model::User;
use crate::refusal::Refusal;
use crate::storage::{self, Home, Renewed, folded, hk_channel, hk_direct, hk_name, hk_user, idem, ops};

/// Does what one order asks, and answers it.
pub(super) async fn serve(reign: &Arc<Reign>, order: Order) {
    let desk = Desk { reign, deadline: order.deadline, is_retry: order.is_retry };
    let answer = match &order.wish {
        Wish::Ask(ask) => desk.ask(ask).await,
        Wish::Profile(..) => Err(Stop::Refused(Refusal::Internal)),
    };
    order.answer(answer);
}

struct Desk<'a> {
    reign: &'a Arc<Reign>,
    deadline: Mono,
    is_retry: bool,
}

impl Desk<'_> {
    async fn ask(&self, ask: &Ask) -> Answer {
        let (actor, key) = (ask.actor, ask.key);
        match ask.command.clone() {
            Command::CreateUser { username, global_name, bot } => {
                users::need_operator(actor)?;
                self.create(key, username, global_name, bot).await
            }
            Command::ResetToken { user } => {
                users::need_operator(actor)?;
                self.user(user).await?;
                let (token, at) = self.fresh_token(user).await?;
                Ok(done(&json!({ "token": token }), at, false))
            }
            Command::UpdateUser { username, global_name } => {
                self.update(ask, actor.ok_or(Refusal::Unauthorized)?, username, global_name).await
            }
            Command::OpenDirect { recipient } => {
                self.open(actor.ok_or(Refusal::Unauthorized)?, recipient).await
            }
            Command::CreateGuild { name, owner } => {
                // Only the operator makes guilds for others.
                let owner = actor.or(owner).ok_or(Refusal::UnknownUser)?;
                self.create_guild(ask, name, owner).await
            }
            _ => Err(Stop::Refused(Refusal::Internal)),
        }
    }

    async fn user(&self, id: Id) -> Result<User, Stop> {
        let found = self.reign.storage.user(id).await.map_err(Refusal::from)?;
        Ok(found.ok_or(Refusal::UnknownUser)?)
    }

    async fn create(
        &self,
        key: [u8; 16],
        username: String,
        global_name: Option<String>,
        bot: bool,
    ) -> Answer {
        let naming = self.reign.naming.lock().await;
        let id = self.claim_name(key, &username, self.reign.next_id()).await?;
        self.need_name(&username, id).await?;
        let user = users::create(id, username, global_name, bot);
        let hk = hk_user(id);
        let token = storage::make_token(id, &self.reign.random::<33>().await?);
        let now = self.reign.clock.wall();
        let token_put = ops::token_put(id, storage::token_hash(&token), now);
        let mut batch = writes::plain(hk, vec![ops::user_insert(&user, now), token_put]);
        batch.key = Some(idem(hk, key, b"create user"));
        batch.owned = Some(self.reign.owned(hk));
        let (committed, _) = self.reign.settle(batch, self.deadline).await?;
        drop(naming);
        let at = (self.reign.storage.shard_of(hk), committed.at);
        if !committed.again {
            return Ok(done(&json!({ "user": user, "token": token }), at, false));
        }
        // The token of the earlier try was never shown, and only its hash is kept.
        let user = self.user(id).await?;
        let (token, at) = self.fresh_token(id).await?;
        Ok(done(&json!({ "user": user, "token": token }), at, true))
    }

    /// Whether a new user still has its name: somebody may have taken it over since an earlier try of this key.
    async fn need_name(&self, username: &str, id: Id) -> Result<(), Stop> {
        let store = &self.reign.storage;
        let holder = store.user_named(username).await.map_err(Refusal::from)?;
        let is_lost = holder != Some(id) && store.user(id).await.map_err(Refusal::from)?.is_none();
        if is_lost { Err(users::taken().into()) } else { Ok(()) }
    }

    /// Claims a name for a user; `naming` is held. With a key tried before, the id of that try is given.
    async fn claim_name(&self, key: [u8; 16], username: &str, id: Id) -> Result<Id, Stop> {
        let hk = hk_name(username);
        let claim = |op| {
            let mut batch = writes::plain(hk, vec![op, writes::answer(&json!(id).to_string())]);
            batch.key = Some(idem(hk, key, b"claim a name"));
            batch
        };
        let first = self.reign.settle(claim(ops::name_claim(username, id)), self.deadline).await;
        let settled = match first {
            Err(Stop::Retry) => {
                // Somebody has it, unless whoever claimed it died before there was a user.
                let store = &self.reign.storage;
                let holder = store.user_named(username).await.map_err(Refusal::from)?.ok_or(Stop::Retry)?;
                // A write of it that nobody waited for any longer may still be on its way.
                let barrier = writes::barrier(&self.reign.target(Place::User(holder)));
                self.reign.settle(barrier, self.deadline).await?;
                if store.user(holder).await.map_err(Refusal::from)?.is_some() {
                    return Err(users::taken().into());
                }
                let take = ops::name_take_over(username, holder, id);
                self.reign.settle(claim(take), self.deadline).await
            }
            settled => settled,
        };
        let (committed, _) = settled?;
        let kept = writes::kept_answer(&committed.rows).and_then(|raw| serde_json::from_str(raw.get()).ok());
        Ok(kept.ok_or(Refusal::Internal)?)
    }

    async fn fresh_token(&self, user: Id) -> Result<(String, (u32, seawall_store::Position)), Stop> {
        let token = storage::make_token(user, &self.reign.random::<33>().await?);
        let (hk, token_hash) = (hk_user(user), storage::token_hash(&token));
        let put = ops::token_put(user, token_hash, self.reign.clock.wall());
        let mut batch = writes::plain(hk, vec![ops::tokens_revoke(user), put]);
        batch.tell = vec![storage::renewed(&Renewed { user, token_hash })];
        batch.owned = Some(self.reign.owned(hk));
        let (committed, _) = self.reign.settle(batch, self.deadline).await?;
        Ok((token, (self.reign.storage.shard_of(hk), committed.at)))
    }

    async fn update(
        &self,
        ask: &Ask,
        id: Id,
        username: Option<String>,
        global_name: Patch<String>,
    ) -> Answer {
        let before = self.user(id).await?;
        let user = users::update(&before, username, global_name);
        let is_renamed = folded(&user.username) != folded(&before.username);
        if is_renamed {
            let _naming = self.reign.naming.lock().await;
            self.claim_name(ask.key, &user.username, id).await?;
        }
        let hk = hk_user(id);
        let what = serde_json::to_vec(&ask.command).unwrap_or_default();
        let mut batch =
            writes::plain(hk, vec![ops::user_update(&user), writes::answer(decide::raw(&user).get())]);
        batch.key = Some(idem(hk, ask.key, &what));
        batch.owned = Some(self.reign.owned(hk));
        batch.tell = if user == before { Vec::new() } else { writes::told(&[users::updated(&user)], id) };
        let (committed, _) = self.reign.settle(batch, self.deadline).await?;
        if is_renamed {
            let release = ops::name_release(&before.username, id);
            self.reign.hint(hk_name(&before.username), release, self.deadline).await?;
        }
        if user != before || self.is_retry {
            self.spread(&user, ask.key).await?;
        }
        let at = (self.reign.storage.shard_of(hk), committed.at);
        Ok(done(&user, at, committed.again))
    }

    /// Tells every guild and direct message of a new profile.
    async fn spread(&self, user: &User, key: [u8; 16]) -> Result<(), Stop> {
        let store = &self.reign.storage;
        let guilds = store.guilds_of(user.id).await.map_err(Refusal::from)?;
        let directs = store.directs_of(user.id).await.map_err(Refusal::from)?;
        let places = guilds.into_iter().map(Place::Guild);
        for place in places.chain(directs.iter().map(|c| Place::Direct(c.id))) {
            let wish = Wish::Profile(user.clone(), key);
            match self.reign.order(place, wish, self.deadline, self.is_retry).await {
                // A hint that leads nowhere: it has left, or the guild is gone.
                Ok(_) | Err(Stop::Refused(Refusal::UnknownMember)) => {}
                Err(stop) => return Err(if stop == Stop::Lost { Stop::Doubt } else { stop }),
            }
        }
        Ok(())
    }

    async fn open(&self, actor: Id, recipient: Id) -> Answer {
        let (me, other) = (self.user(actor).await?, self.user(recipient).await?);
        users::check_pair(&me, &other)?;
        let (older, younger) = if actor < recipient { (&me, &other) } else { (&other, &me) };
        let store = &self.reign.storage;
        let known = store.direct_between(actor, recipient).await.map_err(Refusal::from)?;
        let found = match known {
            Some(id) => store.direct(id).await.map_err(Refusal::from)?,
            None => None,
        };
        let is_new = found.is_none();
        let mut id = known.unwrap_or_else(|| self.reign.next_id());
        for (user, with) in [(older.id, younger.id), (younger.id, older.id)] {
            // One that exists is opened again for who asks; a new one for both.
            let claim = ops::direct_claim(user, with, id, is_new || user == actor);
            let committed = self.reign.hint(hk_user(user), claim, self.deadline).await?;
            id = ops::made(&committed.rows, 0).ok_or(Refusal::Internal)?;
        }
        let channel = found.unwrap_or_else(|| users::direct(id, older.clone(), younger.clone()));
        let shown = users::seen_by(&channel, actor);
        if !is_new {
            return Ok(Done { body: decide::raw(&shown), at: None, again: false });
        }
        self.reign.hint(hk_channel(id), ops::home_put(id, Home::Direct), self.deadline).await?;
        let hk = hk_direct(id);
        let mut batch = writes::plain(hk, vec![ops::direct_put(id, &channel.recipients)]);
        batch.key = Some(idem(hk, storage::nonce_key(id, id, "open"), b"open"));
        batch.owned = Some(self.reign.owned(hk));
        batch.tell = writes::told(&users::opened(&channel), id);
        let (committed, _) = self.reign.settle(batch, self.deadline).await?;
        Ok(done(&shown, (store.shard_of(hk), committed.at), committed.again))
    }

    async fn create_guild(&self, ask: &Ask, name: String, owner: Id) -> Answer {
        let user = self.user(owner).await?;
        let ids = self.claim_guild(ask, owner).await?;
        let plan = self.decide_guild(ask, name, user, &ids);
        let target = self.reign.target(Place::Guild(ids[0]));
        for hint in &plan.hints {
            let (hk, op) = writes::note(hint);
            self.reign.hint(hk, op, self.deadline).await?;
        }
        let key = idem(target.hk, ask.key, b"create guild");
        let batch = writes::batch(&target, &plan, key, self.reign.clock.wall(), true);
        let (committed, _) = self.reign.settle(batch, self.deadline).await?;
        let body = writes::kept_answer(&committed.rows).unwrap_or(plan.reply);
        let at = Some((self.reign.storage.shard_of(target.hk), committed.at));
        Ok(Done { body, at, again: committed.again })
    }

    /// The ids of a new guild and its first channel, fixed before anything else is written.
    async fn claim_guild(&self, ask: &Ask, owner: Id) -> Result<[Id; 2], Stop> {
        let hk = hk_user(owner);
        let ids = [self.reign.next_id(), self.reign.next_id()];
        let hints = self.reign.storage.guilds_of(owner).await.map_err(Refusal::from)?;
        let max = self.reign.limits.guilds_max;
        let key = idem(hk, ask.key, b"claim a guild");
        let settled = if hints.len() < max {
            let put = ops::user_guild_put(owner, ids[0]);
            let mut batch = writes::plain(hk, vec![put, writes::answer(&json!(ids).to_string())]);
            batch.key = Some(key);
            self.reign.settle(batch, self.deadline).await
        } else {
            // The last that fitted may be what an earlier try has begun.
            let asked = writes::was_done(&self.reign.target(Place::User(owner)), key);
            self.reign.settle(asked, self.deadline).await
        };
        let (committed, _) = match settled {
            Err(Stop::Retry) => return Err(decide::too_many("guilds", max).into()),
            settled => settled?,
        };
        let kept = writes::kept_answer(&committed.rows).and_then(|raw| serde_json::from_str(raw.get()).ok());
        Ok(kept.ok_or(Refusal::Internal)?)
    }

    fn decide_guild(&self, ask: &Ask, name: String, owner: User, ids: &[Id; 2]) -> Plan {
        let mut ids = ids.iter().copied();
        let ids = &mut || ids.next().unwrap_or_else(|| self.reign.next_id());
        let now = self.reign.clock.wall();
        let mut cx = Context { actor: ask.actor, now, limits: &self.reign.limits, ids };
        guilds::create(&mut cx, name, owner)
    }
}

fn done(body: &impl serde::Serialize, at: (u32, seawall_store::Position), again: bool) -> Done {
    Done { body: decide::raw(body), at: Some(at), again }
}
