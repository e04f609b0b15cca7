//! From a command to a plan: reads what a decision needs to know, then decides.

use seawall_policy::Wall;

use super::actors::Wish;
use super::decide::guilds::Change;
use super::decide::messages::Room;
use super::decide::{Plan, Row, channels, guilds, invites, members, messages, reactions, roles, users};
use super::limits::WRITE_PATIENCE;
use super::room::{RoomActor, Subject};
use crate::command::{Ask, Command};
use crate::id::Id;
use crate::model::{Channel, Message, User};
use crate::permissions::Permissions;
use crate::refusal::Refusal;
use crate::state::GuildState;
use crate::storage::{self, ops};

/// Messages a ban takes with it, over all channels. Each is two statements of one batch.
const BAN_MESSAGES_MAX: usize = 400;
/// The letters of invite codes.
const CODE: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

impl RoomActor {
    /// What is to be done about a wish, other than saying something.
    pub(super) async fn plan(&self, wish: &Wish) -> Result<Plan, Refusal> {
        match wish {
            Wish::Profile(user, _) => self.profile(user),
            Wish::Ask(ask) => match &self.subject {
                Subject::Guild(state) => self.in_guild(state, ask).await,
                Subject::Direct(channel) => self.in_direct(channel, ask).await,
            },
        }
    }

    fn profile(&self, user: &User) -> Result<Plan, Refusal> {
        match &self.subject {
            Subject::Guild(state) => {
                self.decide(Some(user.id), |cx| members::profile(state, cx, user.clone()))
            }
            Subject::Direct(channel) => {
                let mut recipients = channel.recipients.clone();
                for recipient in recipients.iter_mut().filter(|r| r.id == user.id) {
                    recipient.clone_from(user);
                }
                Ok(Plan::new(vec![Row::Recipients(channel.id, recipients)], Vec::new(), &()))
            }
        }
    }

    async fn in_guild(&self, state: &GuildState, ask: &Ask) -> Result<Plan, Refusal> {
        let actor = ask.actor;
        match ask.command.clone() {
            Command::UpdateGuild { name, description, system_channel_id, owner_id, .. } => {
                let change = Change { name, description, system_channel_id, owner_id };
                self.decide(actor, |cx| guilds::update(state, cx, change))
            }
            Command::DeleteGuild { .. } => self.decide(actor, |cx| guilds::delete(state, cx)),
            Command::CreateChannel { channel, .. } => {
                self.decide(actor, |cx| channels::create(state, cx, channel))
            }
            Command::UpdateChannel { channel, change } => {
                self.decide(actor, |cx| channels::update(state, cx, channel, change))
            }
            Command::DeleteChannel { channel } => {
                let invites = self.reign.storage.invites(state.guild.id).await?;
                self.decide(actor, |cx| channels::delete(state, cx, channel, &invites))
            }
            Command::SetOverwrite { channel, overwrite } => {
                self.decide(actor, |cx| channels::set_overwrite(state, cx, channel, overwrite))
            }
            Command::DeleteOverwrite { channel, target } => {
                self.decide(actor, |cx| channels::delete_overwrite(state, cx, channel, target))
            }
            Command::CreateRole { role, .. } => self.decide(actor, |cx| roles::create(state, cx, role)),
            Command::UpdateRole { role, change, .. } => {
                self.decide(actor, |cx| roles::update(state, cx, role, change))
            }
            Command::DeleteRole { role, .. } => self.decide(actor, |cx| roles::delete(state, cx, role)),
            Command::AddMember { .. }
            | Command::UpdateMember { .. }
            | Command::SetMemberRole { .. }
            | Command::RemoveMember { .. }
            | Command::Ban { .. }
            | Command::Unban { .. } => self.about_member(state, ask).await,
            Command::CreateInvite { .. } | Command::DeleteInvite { .. } | Command::UseInvite { .. } => {
                self.about_invite(state, ask).await
            }
            _ => self.about_message(ask).await,
        }
    }

    async fn about_member(&self, state: &GuildState, ask: &Ask) -> Result<Plan, Refusal> {
        let actor = ask.actor;
        match ask.command.clone() {
            Command::AddMember { user, .. } => {
                let (user, guilds) = self.joiner(user).await?;
                self.decide(actor, |cx| members::add(state, cx, user, guilds))
            }
            Command::UpdateMember { user, nick, roles, .. } => {
                self.decide(actor, |cx| members::update(state, cx, user, nick, roles))
            }
            Command::SetMemberRole { user, role, has, .. } => {
                self.decide(actor, |cx| members::set_role(state, cx, user, role, has))
            }
            Command::RemoveMember { user, .. } => self.decide(actor, |cx| members::remove(state, cx, user)),
            Command::Ban { user, delete_message_seconds, .. } => {
                // Asked first: who may not ban learns nothing of who exists.
                super::decide::need_in_guild(state, actor, Permissions::BAN_MEMBERS)?;
                let found = self.reign.storage.user(user).await?.ok_or(Refusal::UnknownUser)?;
                let said = self.said_lately(state, user, delete_message_seconds).await?;
                self.decide(actor, |cx| members::ban(state, cx, found, &said))
            }
            Command::Unban { user, .. } => {
                super::decide::need_in_guild(state, actor, Permissions::BAN_MEMBERS)?;
                let bans = self.reign.storage.bans(state.guild.id).await?;
                let banned = bans.into_iter().find(|u| u.id == user);
                self.decide(actor, |cx| members::unban(state, cx, banned))
            }
            _ => Err(Refusal::Internal),
        }
    }

    /// A user who may join, and how many guilds it is in.
    async fn joiner(&self, user: Id) -> Result<(User, usize), Refusal> {
        let found = self.reign.storage.user(user).await?.ok_or(Refusal::UnknownUser)?;
        let guilds = self.reign.storage.guilds_of(user).await?;
        // A hint of this very guild is left over from an earlier try.
        let others = guilds.iter().filter(|guild| **guild != self.target.about).count();
        Ok((found, others))
    }

    async fn said_lately(
        &self,
        state: &GuildState,
        user: Id,
        seconds: u32,
    ) -> Result<Vec<(Id, Id)>, Refusal> {
        let mut said = Vec::new();
        if seconds == 0 {
            return Ok(said);
        }
        let since = Wall(self.reign.clock.wall().0.saturating_sub(i64::from(seconds) * 1000));
        for channel in state.channels.keys() {
            let left = BAN_MESSAGES_MAX.saturating_sub(said.len());
            if left == 0 {
                break;
            }
            let max = u32::try_from(left).unwrap_or(u32::MAX);
            let home = self.target.home;
            let ids = self.reign.storage.said_by(home, *channel, user, Id::at(since), max).await?;
            said.extend(ids.into_iter().map(|id| (*channel, id)));
        }
        Ok(said)
    }

    async fn about_invite(&self, state: &GuildState, ask: &Ask) -> Result<Plan, Refusal> {
        let (actor, store) = (ask.actor, &self.reign.storage);
        match ask.command.clone() {
            Command::CreateInvite { channel, max_age, max_uses, unique } => {
                let wish = invites::Wish { channel, max_age, max_uses, unique };
                let existing = store.invites(state.guild.id).await?;
                let inviter = match actor {
                    Some(user) => state.members.get(&user).map(|m| m.user.clone()),
                    // The operator's invites are the owner's.
                    None => state.members.get(&state.guild.owner_id).map(|m| m.user.clone()),
                };
                let inviter = inviter.ok_or(Refusal::UnknownChannel)?;
                let random = self.reign.random::<8>().await?;
                let code = random.iter().map(|b| char::from(CODE[usize::from(*b) % CODE.len()])).collect();
                self.decide(actor, |cx| invites::create(state, cx, wish, inviter, &existing, code))
            }
            Command::DeleteInvite { code } => {
                let found = store.invite(&code).await?;
                self.decide(actor, |cx| invites::delete(state, cx, found.as_ref()))
            }
            Command::UseInvite { code } => {
                let found = store.invite(&code).await?;
                let (user, guilds) = self.joiner(actor.ok_or(Refusal::Unauthorized)?).await?;
                let is_banned = store.is_banned(state.guild.id, user.id).await?;
                self.decide(actor, |cx| invites::accept(state, cx, found.as_ref(), user, guilds, is_banned))
            }
            _ => Err(Refusal::Internal),
        }
    }

    async fn in_direct(&self, channel: &Channel, ask: &Ask) -> Result<Plan, Refusal> {
        match &ask.command {
            Command::DeleteChannel { .. } => self.close(channel, ask.actor).await,
            Command::UpdateChannel { .. }
            | Command::SetOverwrite { .. }
            | Command::DeleteOverwrite { .. }
            | Command::CreateInvite { .. } => {
                Room::Direct(channel).rights(ask.actor)?;
                Err(Refusal::WrongChannelType)
            }
            _ => self.about_message(ask).await,
        }
    }

    /// A closed direct message is only not shown; the next message opens it again.
    async fn close(&self, channel: &Channel, actor: Option<Id>) -> Result<Plan, Refusal> {
        let user = actor.ok_or(Refusal::Unauthorized)?;
        Room::Direct(channel).rights(actor)?;
        let deadline = self.reign.clock.now() + WRITE_PATIENCE;
        for other in channel.recipients.iter().filter(|r| r.id != user) {
            let close = ops::direct_close(user, other.id);
            let closed = self.reign.hint(storage::hk_user(user), close, deadline).await;
            closed.map_err(|_| Refusal::Overloaded)?;
        }
        Ok(Plan::nothing(&users::seen_by(channel, user)))
    }

    async fn about_message(&self, ask: &Ask) -> Result<Plan, Refusal> {
        let actor = ask.actor;
        match ask.command.clone() {
            Command::UpdateMessage { channel, message, content, embeds, components, flags } => {
                let change = messages::Change { content, embeds, components, flags };
                let found = self.message(channel, message, actor).await?;
                let room = self.room(channel)?;
                self.decide(actor, |cx| messages::update(room, cx, found, change))
            }
            Command::DeleteMessage { channel, message } => {
                let found = self.message(channel, message, actor).await?;
                let room = self.room(channel)?;
                self.decide(actor, |cx| messages::delete(room, cx, found.as_ref()))
            }
            Command::DeleteMessages { channel, messages: ids } => {
                let room = self.room(channel)?;
                room.rights(actor)?;
                if room.guild().is_some() {
                    room.need(actor, Permissions::MANAGE_MESSAGES)?;
                }
                messages::check_many(room, self.reign.clock.wall(), &ids)?;
                let found = self.reign.storage.authors(self.target.home, channel, &ids).await?;
                let there = found.into_iter().map(|(id, _)| id).collect();
                let room = self.room(channel)?;
                self.decide(actor, |cx| messages::delete_many(room, cx, there))
            }
            Command::Pin { channel, message, pinned } => {
                let found = self.message(channel, message, actor).await?;
                let reader = actor.unwrap_or_default();
                let pins = self.reign.storage.pins(self.target.home, channel, reader).await?;
                let room = self.room(channel)?;
                self.decide(actor, |cx| messages::pin(room, cx, found, pinned, pins.len()))
            }
            Command::AddReaction { channel, message, emoji } => {
                let found = self.message(channel, message, actor).await?;
                let room = self.room(channel)?;
                self.decide(actor, |cx| reactions::add(room, cx, found.as_ref(), emoji))
            }
            Command::RemoveReactions { channel, message, emoji, user } => {
                let found = self.message(channel, message, user.or(actor)).await?;
                let room = self.room(channel)?;
                self.decide(actor, |cx| reactions::remove(room, cx, found.as_ref(), emoji, user))
            }
            _ => Err(Refusal::Internal),
        }
    }

    /// A message as somebody sees it. Read before it is asked whether that one may: the answer does not tell.
    async fn message(&self, channel: Id, id: Id, reader: Option<Id>) -> Result<Option<Message>, Refusal> {
        let home = self.target.home;
        Ok(self.reign.storage.message(home, channel, id, reader.unwrap_or_default()).await?)
    }
}
