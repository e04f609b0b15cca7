//! Saying something: decided at once, written in order, and made once however often it is asked for.

use std::time::Duration;

use seawall_policy::deadline::Deadline;
use seawall_policy::{Mono, Wall};
use seawall_store::{Position, Rows, Written};
use serde_json::value::RawValue;

use super::actors::{Exit, Order, Stop};
use super::decide::messages::Answered;
use super::decide::{self, Plan, Row};
use super::limits::{NONCE_CHAIN_MAX, NONCE_KEPT, WRITE_PATIENCE};
use super::reign::stop_of;
use super::room::{RoomActor, Subject};
use super::writes;
use crate::command::{Done, MessageFields};
use crate::id::Id;
use crate::model::Message;
use crate::refusal::Refusal;
use crate::storage::{self, ops};

/// Members whose last words are remembered for the slow mode; beyond it those who may speak again are forgotten.
const SPOKE_MAX: usize = 65_536;

/// A message somebody wants to send.
pub(super) struct Draft {
    pub(super) order: Order,
    pub(super) channel: Id,
    pub(super) author: Id,
    pub(super) fields: MessageFields,
    pub(super) key: [u8; 16],
    /// How often its nonce was found to mean an older message.
    pub(super) chain: usize,
}

/// A message in flight.
pub(super) struct Sent {
    draft: Draft,
    id: Id,
    body: Box<RawValue>,
    /// What `spoke` had before.
    spoke: Option<Mono>,
}

impl RoomActor {
    /// Decides about a message and begins to write it.
    pub(super) async fn say(&mut self, draft: Draft) -> Option<Exit> {
        self.panic_if_planted(&draft);
        let plan = match self.plan_message(&draft).await {
            Ok(plan) => plan,
            Err(refusal) => {
                // The one that was sent before may be why this one is refused: too soon after it.
                let may_be_known = draft.order.is_retry || draft.fields.nonce.is_some();
                let known = if may_be_known { self.known_message(&draft).await } else { Ok(None) };
                let answer = match known {
                    Ok(Some(done)) => Ok(done),
                    Ok(None) => Err(Stop::Refused(refusal)),
                    Err(stop) => Err(stop),
                };
                draft.order.answer(answer);
                return None;
            }
        };
        let Some(Row::Message(message)) = plan.rows.first() else {
            draft.order.answer(Err(Stop::Refused(Refusal::Internal)));
            return None;
        };
        let id = message.id;
        self.show().await;
        let key = storage::idem(self.target.hk, draft.key, b"message");
        let batch = writes::batch(&self.target, &plan, key, self.reign.clock.wall(), false);
        let deadline = draft.order.deadline.min(self.reign.clock.now() + WRITE_PATIENCE);
        let spoke = self.note_spoken(&draft);
        let store = self.reign.storage.clone();
        let sent = Sent { draft, id, body: plan.reply, spoke };
        let writing = async move { store.write(batch, Deadline { at: deadline }).await };
        self.pipeline.push(sent, writing).await;
        None
    }

    async fn plan_message(&self, draft: &Draft) -> Result<Plan, Refusal> {
        let answered = match draft.fields.reply_to {
            None => Answered::Nothing,
            Some(id) => {
                let found = self
                    .reign
                    .storage
                    .message(self.target.home, draft.channel, id, draft.author)
                    .await
                    .map_err(Refusal::from)?;
                found.map_or(Answered::Gone, |message| Answered::Message(Box::new(message)))
            }
        };
        let room = self.room(draft.channel)?;
        let wait = self.slow_mode_left(draft);
        let fields = draft.fields.clone();
        self.decide(Some(draft.author), |cx| decide::messages::create(room, cx, fields, answered, wait))
    }

    fn slow_mode(&self, channel: Id) -> Option<Duration> {
        let Subject::Guild(state) = &self.subject else { return None };
        let seconds = state.channels.get(&channel)?.rate_limit_per_user;
        (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
    }

    fn slow_mode_left(&self, draft: &Draft) -> Option<f64> {
        let every = self.slow_mode(draft.channel)?;
        let spoke = self.spoke.get(&(draft.channel, draft.author))?;
        let past = self.reign.clock.now().since(*spoke);
        (past < every).then(|| (every - past).as_secs_f64())
    }

    fn note_spoken(&mut self, draft: &Draft) -> Option<Mono> {
        self.slow_mode(draft.channel)?;
        let now = self.reign.clock.now();
        if self.spoke.len() >= SPOKE_MAX {
            // Six hours are the longest slow mode.
            self.spoke.retain(|_, at| now.since(*at) < Duration::from_secs(6 * 3600));
        }
        if self.spoke.len() >= SPOKE_MAX {
            self.spoke.clear();
        }
        self.spoke.insert((draft.channel, draft.author), now)
    }

    /// A direct message somebody closed is shown again when something is said.
    async fn show(&mut self) {
        let Subject::Direct(channel) = &self.subject else { return };
        if self.is_shown {
            return;
        }
        let deadline = self.reign.clock.now() + WRITE_PATIENCE;
        let mut all_written = true;
        for user in &channel.recipients {
            for other in channel.recipients.iter().filter(|other| other.id != user.id) {
                let claim = ops::direct_claim(user.id, other.id, channel.id, true);
                let hk = storage::hk_user(user.id);
                all_written &= self.reign.hint(hk, claim, deadline).await.is_ok();
            }
        }
        self.is_shown = all_written;
    }

    /// A message was written, or was not.
    pub(super) async fn finish(&mut self, sent: Sent, written: Written) -> Option<Exit> {
        self.reign.notice(&written);
        let Sent { draft, id, body, spoke } = sent;
        let is_new = matches!(written, Written::Committed { again: false, .. });
        if !is_new && self.slow_mode(draft.channel).is_some() {
            let key = (draft.channel, draft.author);
            match spoke {
                Some(before) => self.spoke.insert(key, before),
                None => self.spoke.remove(&key),
            };
        }
        let answer = match written {
            Written::Committed { at, again: false, .. } => {
                self.note_said(draft.channel, id);
                Ok(Done { body, at: Some((self.shard, at)), again: false })
            }
            Written::Committed { at, rows, again: true } => match self.earlier(&draft, &rows, at).await {
                Ok(Earlier::Same(done)) => Ok(done),
                Ok(Earlier::TooOld(key)) if draft.chain < NONCE_CHAIN_MAX => {
                    let chain = draft.chain + 1;
                    return Box::pin(self.say(Draft { key, chain, ..draft })).await;
                }
                Ok(Earlier::TooOld(_)) => Err(Stop::Refused(Refusal::Overloaded)),
                Err(refusal) => Err(Stop::Refused(refusal)),
            },
            Written::Unknown => Err(Stop::Doubt),
            Written::Rejected(why) => Err(stop_of(why)),
        };
        let exit = match &answer {
            Err(Stop::Retry) => Some(Exit::Reload),
            Err(Stop::NotOwner) => Some(Exit::Leave),
            _ => None,
        };
        draft.order.answer(answer);
        exit
    }

    fn note_said(&mut self, channel: Id, message: Id) {
        let channel = match &mut self.subject {
            Subject::Guild(state) => state.channels.get_mut(&channel),
            Subject::Direct(channel) => Some(&mut **channel),
        };
        if let Some(channel) = channel {
            channel.last_message_id = channel.last_message_id.max(Some(message));
        }
    }

    /// The message an earlier try with the same key has made.
    async fn earlier(&self, draft: &Draft, rows: &[Rows], at: Position) -> Result<Earlier, Refusal> {
        let id = ops::made(rows, 0).ok_or(Refusal::Internal)?;
        if is_older(id, self.reign.clock.wall(), NONCE_KEPT) {
            return Ok(Earlier::TooOld(next_key(draft.key, id)));
        }
        let found = self.reign.storage.message(self.target.home, draft.channel, id, draft.author).await?;
        // It was sent, and somebody has deleted it since.
        let message = found.ok_or(Refusal::UnknownMessage)?;
        let message = Message { nonce: draft.fields.nonce.clone(), ..message };
        Ok(Earlier::Same(Done { body: decide::raw(&message), at: Some((self.shard, at)), again: true }))
    }

    /// Whether a message that is refused now was sent by an earlier try.
    async fn known_message(&self, draft: &Draft) -> Result<Option<Done>, Stop> {
        let mut key = draft.key;
        for _ in 0..NONCE_CHAIN_MAX {
            let ask = writes::was_done(&self.target, storage::idem(self.target.hk, key, b"message"));
            let committed = match self.reign.settle(ask, draft.order.deadline).await {
                Ok((committed, _)) => committed,
                Err(Stop::Retry) => return Ok(None),
                Err(stop) => return Err(stop),
            };
            match self.earlier(draft, &committed.rows, committed.at).await? {
                Earlier::Same(done) => return Ok(Some(done)),
                Earlier::TooOld(next) => key = next,
            }
        }
        Ok(None)
    }

    fn panic_if_planted(&self, draft: &Draft) {
        if !self.reign.has_panic {
            return;
        }
        let is_asked_for = draft.fields.content == "panic"
            && matches!(&self.subject, Subject::Guild(state) if state.guild.name == "panic-now");
        assert!(!is_asked_for, "planted: this guild panics when asked to");
    }
}

/// What an earlier try has made.
enum Earlier {
    /// The message.
    Same(Done),
    /// Something so long ago that the nonce means something else now; the key to go on with.
    TooOld([u8; 16]),
}

fn is_older(id: Id, now: Wall, age: Duration) -> bool {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    now.0.saturating_sub(id.time().0) > age
}

/// The key of the message after the one that had this key.
fn next_key(key: [u8; 16], had: Id) -> [u8; 16] {
    storage::nonce_key(had, had, &format!("{:032x}", u128::from_be_bytes(key)))
}
