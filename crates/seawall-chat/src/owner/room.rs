//! The actor of a guild or of a direct message.
//!
//! It remembers the guild as a whole and decides by that. Messages are pipelined: the next is decided while those
//! before it are on their way to the disk. Every other wish waits until nothing is in flight, is written, and only
//! then changes what is remembered.

use std::collections::HashMap;
use std::sync::Arc;

use seawall_policy::Mono;
use tokio::sync::mpsc;

use super::actors::{Answer, Exit, Order, Place, Stop, Wish, next};
use super::decide::messages::Room;
use super::decide::{self, Context, Plan, Row};
use super::limits::{IN_FLIGHT_MAX, WRITE_PATIENCE};
use super::pipeline::Pipeline;
use super::reign::Reign;
use super::say::{Draft, Sent};
use super::writes::{self, Target};
use crate::command::{Ask, Command, Done};
use crate::id::Id;
use crate::model::Channel;
use crate::refusal::Refusal;
use crate::state::GuildState;
use crate::storage::{self, Home};

/// What an actor is about.
pub(super) enum Subject {
    /// A guild.
    Guild(Box<GuildState>),
    /// A direct message, with both as recipients.
    Direct(Box<Channel>),
}

/// The actor, from one load to the next.
pub(super) struct RoomActor {
    pub(super) reign: Arc<Reign>,
    pub(super) target: Target,
    pub(super) subject: Subject,
    pub(super) shard: u32,
    pub(super) pipeline: Pipeline<Sent>,
    /// When a member last spoke in a channel with slow mode. Forgotten when the actor is loaded again.
    pub(super) spoke: HashMap<(Id, Id), Mono>,
    /// Of a direct message: both have it in their lists.
    pub(super) is_shown: bool,
}

impl RoomActor {
    /// Serves until nobody asks any more or what is remembered may be wrong.
    pub(super) async fn run(
        reign: &Arc<Reign>,
        place: Place,
        asked: &mut mpsc::Receiver<Order>,
        is_first: bool,
    ) -> Exit {
        let Some(first) = next(reign, place, asked).await else { return Exit::Leave };
        let mut actor = match RoomActor::load(reign, place, is_first).await {
            Ok(Some(actor)) => actor,
            Ok(None) => {
                let gone = unknown(&first.wish);
                first.answer(Err(Stop::Refused(gone)));
                return Exit::Leave;
            }
            Err(stop) => {
                first.answer(Err(stop));
                return Exit::Reload;
            }
        };
        let mut waiting = Some(first);
        loop {
            let exit = if let Some(order) = waiting.take() {
                actor.serve(order).await
            } else {
                let has_room = actor.pipeline.has_room();
                tokio::select! {
                    biased;
                    (sent, written) = actor.pipeline.next() => actor.finish(sent, written).await,
                    order = next(reign, place, asked), if has_room => {
                        waiting = order;
                        let is_over = waiting.is_none() && (actor.pipeline.is_empty() || reign.is_lost());
                        is_over.then_some(Exit::Leave)
                    }
                }
            };
            if let Some(exit) = exit {
                return exit;
            }
        }
    }

    async fn load(reign: &Arc<Reign>, place: Place, is_first: bool) -> Result<Option<RoomActor>, Stop> {
        let target = reign.target(place);
        if !is_first {
            // What an earlier life began to write is committed before it is read, or not at all.
            let deadline = reign.clock.now() + WRITE_PATIENCE;
            reign.settle(writes::barrier(&target), deadline).await?;
        }
        let subject = match place {
            Place::Guild(id) => {
                let found = reign.storage.guild(id).await.map_err(Refusal::from)?;
                found.map(|(state, _)| Subject::Guild(Box::new(state)))
            }
            Place::Direct(id) => {
                let found = reign.storage.direct(id).await.map_err(Refusal::from)?;
                found.map(|channel| Subject::Direct(Box::new(channel)))
            }
            Place::User(_) | Place::Names => None,
        };
        let Some(subject) = subject else { return Ok(None) };
        let newest = match &subject {
            Subject::Guild(state) => state.channels.values().filter_map(|c| c.last_message_id).max(),
            Subject::Direct(channel) => channel.last_message_id,
        };
        reign.after(newest.unwrap_or_default());
        Ok(Some(RoomActor {
            shard: reign.storage.shard_of(target.hk),
            reign: reign.clone(),
            target,
            subject,
            pipeline: Pipeline::new(),
            spoke: HashMap::new(),
            is_shown: false,
        }))
    }

    async fn serve(&mut self, mut order: Order) -> Option<Exit> {
        if order.deadline <= self.reign.clock.now() {
            order.answer(Err(Stop::Refused(Refusal::Overloaded)));
            return None;
        }
        if let Wish::Ask(Ask { actor, command: Command::CreateMessage { channel, message }, key, .. }) =
            &mut order.wish
        {
            let Some(author) = *actor else {
                order.answer(Err(Stop::Refused(Refusal::Unauthorized)));
                return None;
            };
            let (channel, fields, key) = (*channel, std::mem::take(message), *key);
            return self.say(Draft { order, channel, author, fields, key, chain: 0 }).await;
        }
        if let Wish::Ask(Ask { actor, command: Command::Typing { channel }, .. }) = order.wish {
            let plan = self
                .room(channel)
                .and_then(|room| self.decide(actor, |cx| decide::messages::typing(room, cx)));
            let answer = plan.map(|plan| self.tell(plan)).map_err(Stop::Refused);
            order.answer(answer);
            return None;
        }
        while !self.pipeline.is_empty() {
            let (sent, written) = self.pipeline.next().await;
            if let Some(exit) = self.finish(sent, written).await {
                order.answer(Err(Stop::Retry));
                return Some(exit);
            }
        }
        self.change(order).await
    }

    /// The room a message command is about.
    pub(super) fn room(&self, channel: Id) -> Result<Room<'_>, Refusal> {
        match &self.subject {
            Subject::Guild(state) => Ok(Room::Guild(state, channel)),
            Subject::Direct(direct) if direct.id == channel => Ok(Room::Direct(direct)),
            Subject::Direct(_) => Err(Refusal::UnknownChannel),
        }
    }

    /// Decides in this moment.
    pub(super) fn decide<T>(&self, actor: Option<Id>, decide: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let ids = &mut || self.reign.next_id();
        decide(&mut Context { actor, now: self.reign.clock.wall(), limits: &self.reign.limits, ids })
    }

    /// Something ephemeral, or nothing at all.
    fn tell(&self, plan: Plan) -> Done {
        for event in plan.events {
            // Nobody listening is no fault.
            drop(self.reign.ephemerals.send(event));
        }
        Done { body: plan.reply, at: None, again: false }
    }

    /// Everything but messages: decided, written, remembered, in this order.
    async fn change(&mut self, order: Order) -> Option<Exit> {
        let (key, what) = match &order.wish {
            Wish::Ask(ask) => (ask.key, serde_json::to_vec(&ask.command).unwrap_or_default()),
            Wish::Profile(user, key) => (*key, serde_json::to_vec(user).unwrap_or_default()),
        };
        let key = storage::idem(self.target.hk, key, &what);
        if let Wish::Ask(Ask { command: Command::DeleteChannel { .. }, .. }) = &order.wish {
            // Of a direct message: for one of the two it is closed now.
            self.is_shown = false;
        }
        let plan = match self.plan(&order.wish).await {
            Ok(plan) => plan,
            Err(refusal) => {
                let known =
                    if order.is_retry { self.known_change(key, order.deadline).await } else { Ok(None) };
                let answer = match known {
                    Ok(Some(done)) => Ok(done),
                    Ok(None) => Err(Stop::Refused(refusal)),
                    Err(stop) => Err(stop),
                };
                order.answer(answer);
                return None;
            }
        };
        if plan.rows.is_empty() {
            let done = self.tell(plan);
            order.answer(Ok(done));
            return None;
        }
        let (answer, exit) = self.write(plan, key, order.deadline).await;
        order.answer(answer);
        exit
    }

    async fn write(
        &mut self,
        plan: Plan,
        key: seawall_store::Idem,
        deadline: Mono,
    ) -> (Answer, Option<Exit>) {
        for hint in &plan.hints {
            let (hk, op) = writes::note(hint);
            if let Err(stop) = self.reign.hint(hk, op, deadline).await {
                // Nothing but a hint was written, and a hint that leads nowhere does no harm.
                let stop = if stop == Stop::Doubt { Stop::Retry } else { stop };
                return (Err(stop), None);
            }
        }
        let batch = writes::batch(&self.target, &plan, key, self.reign.clock.wall(), true);
        let (committed, was_in_doubt) = match self.reign.settle(batch, deadline).await {
            Ok(settled) => settled,
            Err(stop) => {
                let exit = match stop {
                    Stop::Refused(_) => None,
                    Stop::NotOwner => Some(Exit::Leave),
                    Stop::Retry | Stop::Doubt | Stop::Lost => Some(Exit::Reload),
                };
                return (Err(stop), exit);
            }
        };
        let body = match (committed.again, writes::kept_answer(&committed.rows)) {
            (true, Some(kept)) => kept,
            _ => plan.reply.clone(),
        };
        let done = Done { body, at: Some((self.shard, committed.at)), again: committed.again };
        if committed.again {
            // Whether it was this plan or an earlier one that was written, memory does not know.
            return (Ok(done), was_in_doubt.then_some(Exit::Reload));
        }
        self.clear_away(&plan).await;
        (Ok(done), self.remember(&plan))
    }

    /// Follows what was committed.
    fn remember(&mut self, plan: &Plan) -> Option<Exit> {
        match &mut self.subject {
            Subject::Guild(state) => {
                if plan.rows.iter().any(|row| matches!(row, Row::GuildGone(_))) {
                    return Some(Exit::Leave);
                }
                for event in &plan.events {
                    if let Err(error) = state.apply(event) {
                        tracing::error!(%error, "an event of our own cannot be followed; the guild is loaded again");
                        return Some(Exit::Reload);
                    }
                }
            }
            Subject::Direct(channel) => {
                for row in &plan.rows {
                    if let Row::Recipients(_, recipients) = row {
                        channel.recipients.clone_from(recipients);
                    }
                }
            }
        }
        None
    }

    /// What a commit leaves behind: hints that lead nowhere, and the messages of channels that are gone.
    async fn clear_away(&self, plan: &Plan) {
        let mut swept = Vec::new();
        let mut is_all_gone = false;
        for row in &plan.rows {
            match (row, &self.subject) {
                (Row::ChannelGone(_, channel), _) => swept.push(*channel),
                (Row::GuildGone(_), Subject::Guild(state)) => {
                    is_all_gone = true;
                    swept.extend(state.channels.keys());
                }
                _ => {}
            }
        }
        let mut stale = plan.stale.iter().filter_map(writes::forget).collect::<Vec<_>>();
        if !is_all_gone {
            // Before anything else is decided: whoever left may join again, and then the hint is needed.
            forget(&self.reign, std::mem::take(&mut stale)).await;
        }
        if swept.is_empty() && stale.is_empty() {
            return;
        }
        let (reign, home) = (self.reign.clone(), self.target.home);
        self.reign.tasks.vital("chat-sweep", async move {
            forget(&reign, stale).await;
            sweep(&reign, home, swept).await;
        });
    }

    async fn known_change(&self, key: seawall_store::Idem, deadline: Mono) -> Result<Option<Done>, Stop> {
        match self.reign.settle(writes::was_done(&self.target, key), deadline).await {
            Ok((committed, _)) => {
                let body = writes::kept_answer(&committed.rows).unwrap_or_else(|| decide::raw(&()));
                Ok(Some(Done { body, at: Some((self.shard, committed.at)), again: true }))
            }
            Err(Stop::Retry) => Ok(None),
            Err(stop) => Err(stop),
        }
    }
}

/// What is refused where there is nothing.
fn unknown(wish: &Wish) -> Refusal {
    match wish {
        Wish::Profile(..) => Refusal::UnknownMember,
        Wish::Ask(ask) => match ask.command {
            Command::UpdateGuild { .. }
            | Command::DeleteGuild { .. }
            | Command::CreateChannel { .. }
            | Command::CreateRole { .. }
            | Command::UpdateRole { .. }
            | Command::DeleteRole { .. }
            | Command::AddMember { .. }
            | Command::UpdateMember { .. }
            | Command::SetMemberRole { .. }
            | Command::RemoveMember { .. }
            | Command::Ban { .. }
            | Command::Unban { .. } => Refusal::UnknownGuild,
            Command::DeleteInvite { .. } | Command::UseInvite { .. } => Refusal::UnknownInvite,
            _ => Refusal::UnknownChannel,
        },
    }
}

async fn forget(reign: &Reign, hints: Vec<(i64, seawall_store::Op)>) {
    for (hk, op) in hints {
        let deadline = reign.clock.now() + WRITE_PATIENCE;
        if reign.hint(hk, op, deadline).await.is_err() {
            tracing::debug!("a hint that leads nowhere stays");
        }
    }
}

async fn sweep(reign: &Reign, home: Home, channels: Vec<Id>) {
    for channel in channels {
        loop {
            match reign.storage.sweep_channel(home, channel).await {
                Ok(true) => break,
                Ok(false) if !reign.is_lost() => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%channel, %error, "messages of a deleted channel stay; nobody can reach them");
                    break;
                }
            }
            // Somebody else's batches go first.
            tokio::task::yield_now().await;
        }
    }
}

const _: () = assert!(IN_FLIGHT_MAX <= 256, "one group of the store's writer");
