//! Messages, in guilds and between two.

use serde_json::{Value, json};

use seawall_policy::Wall;

use super::members::without_user;
use super::mentions::{Allowed, named};
use super::{Context, Plan, Row, channel_rights, event, extended, raw};
use crate::command::MessageFields;
use crate::event::{Audience, Event, Kind};
use crate::id::Id;
use crate::model::{Channel, Message, Reference, User, iso};
use crate::owner::limits::BULK_DELETE_AGE_MAX;
use crate::permissions::Permissions;
use crate::refusal::{BulkDelete, Refusal};
use crate::state::GuildState;

/// Where something is said.
#[derive(Clone, Copy)]
pub enum Room<'a> {
    /// In a channel of a guild.
    Guild(&'a GuildState, Id),
    /// Between the recipients of a direct message.
    Direct(&'a Channel),
}

impl<'a> Room<'a> {
    /// The channel and what the one who asks may in it. Between two, both may the same.
    ///
    /// # Errors
    /// Not there, or not to be seen by the one who asks.
    pub fn rights(self, actor: Option<Id>) -> Result<(&'a Channel, Permissions), Refusal> {
        match self {
            Room::Guild(state, channel) => channel_rights(state, actor, channel),
            Room::Direct(channel) => {
                let is_in = actor.is_none_or(|user| channel.recipients.iter().any(|r| r.id == user));
                let rights = Permissions::EVERYONE.without(Permissions::MANAGE_MESSAGES);
                if is_in { Ok((channel, rights)) } else { Err(Refusal::UnknownChannel) }
            }
        }
    }

    /// As [`Room::rights`], and some of them are needed.
    ///
    /// # Errors
    /// As there, or not allowed.
    pub fn need(self, actor: Option<Id>, needed: Permissions) -> Result<(&'a Channel, Permissions), Refusal> {
        let (channel, rights) = self.rights(actor)?;
        if rights.has(needed) { Ok((channel, rights)) } else { Err(Refusal::MissingPermissions) }
    }

    /// The channel's id.
    #[must_use]
    pub fn channel(self) -> Id {
        match self {
            Room::Guild(_, channel) => channel,
            Room::Direct(channel) => channel.id,
        }
    }

    /// Its guild.
    #[must_use]
    pub fn guild(self) -> Option<Id> {
        match self {
            Room::Guild(state, _) => Some(state.guild.id),
            Room::Direct(_) => None,
        }
    }

    /// Who hears of what happens in it.
    #[must_use]
    pub fn audience(self) -> Audience {
        match self {
            Room::Guild(state, channel) => Audience::Channel { guild: state.guild.id, channel },
            Room::Direct(channel) => Audience::Users(channel.recipients.iter().map(|r| r.id).collect()),
        }
    }

    /// A user in it.
    #[must_use]
    pub fn person(self, user: Id) -> Option<&'a User> {
        match self {
            Room::Guild(state, _) => state.members.get(&user).map(|m| &m.user),
            Room::Direct(channel) => channel.recipients.iter().find(|r| r.id == user),
        }
    }

    /// A payload with what says where: `guild_id`, and the member who does it.
    #[must_use]
    pub fn placed(self, mut d: Value, member: Option<Id>) -> Value {
        if let (Room::Guild(state, _), Value::Object(fields)) = (self, &mut d) {
            fields.insert("guild_id".to_owned(), json!(state.guild.id));
            if let Some(member) = member.and_then(|user| state.members.get(&user)) {
                fields.insert("member".to_owned(), without_user(member));
            }
        }
        d
    }
}

/// What is known of the message that is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answered {
    /// Nothing is answered.
    Nothing,
    /// This.
    Message(Box<Message>),
    /// Something that is gone.
    Gone,
}

/// Says something. `wait` is how many seconds are left of the slow mode for the one who asks.
///
/// # Errors
/// Not seen, not allowed, too soon, or a message of nothing.
pub fn create(
    room: Room<'_>,
    cx: &mut Context<'_>,
    fields: MessageFields,
    answered: Answered,
    wait: Option<f64>,
) -> Result<Plan, Refusal> {
    let author = cx.user()?;
    let (channel, rights) = room.need(cx.actor, Permissions::SEND_MESSAGES)?;
    if ![Channel::TEXT, Channel::DM].contains(&channel.kind) {
        return Err(Refusal::WrongChannelType);
    }
    if fields.content.is_empty() && fields.embeds.is_empty() && fields.components.is_empty() {
        return Err(Refusal::EmptyMessage);
    }
    if !fields.embeds.is_empty() && !rights.has(Permissions::EMBED_LINKS) {
        return Err(Refusal::MissingPermissions);
    }
    if fields.reply_to.is_some() && !rights.has(Permissions::READ_HISTORY) {
        return Err(Refusal::MissingPermissions);
    }
    let is_patient = rights.has(Permissions::MANAGE_MESSAGES) || rights.has(Permissions::MANAGE_CHANNELS);
    if let Some(retry_after) = wait.filter(|_| !is_patient) {
        return Err(Refusal::SlowMode { retry_after });
    }
    let referenced = match answered {
        Answered::Nothing => None,
        Answered::Message(message) => Some(message),
        Answered::Gone if fields.fail_if_not_exists => {
            let path = "message_reference";
            return Err(Refusal::field(path, "REPLIES_UNKNOWN_MESSAGE", "Unknown message"));
        }
        Answered::Gone => None,
    };
    let user = room.person(author).cloned().ok_or(Refusal::UnknownChannel)?;
    let mut message = Message {
        id: (cx.ids)(),
        channel_id: channel.id,
        author: user,
        content: fields.content,
        timestamp: iso(cx.now),
        edited_timestamp: None,
        tts: false,
        mention_everyone: false,
        mentions: Vec::new(),
        mention_roles: Vec::new(),
        attachments: Vec::new(),
        embeds: fields.embeds,
        components: fields.components,
        reactions: Vec::new(),
        pinned: false,
        kind: Message::PLAIN,
        flags: fields.flags,
        nonce: fields.nonce,
        message_reference: None,
        referenced_message: None,
    };
    let allowed = Allowed::of(fields.allowed_mentions.as_ref());
    call(room, rights, &allowed, &mut message);
    if let Some(mut referenced) = referenced {
        // One step back, not the whole conversation.
        referenced.referenced_message = None;
        if allowed.replied() && !message.mentions.iter().any(|u| u.id == referenced.author.id) {
            message.mentions.push(referenced.author.clone());
        }
        message.kind = Message::REPLY;
        message.message_reference = Some(Reference {
            kind: 0,
            message_id: Some(referenced.id),
            channel_id: Some(channel.id),
            guild_id: room.guild(),
        });
        message.referenced_message = Some(referenced);
    }
    let told = said(room, Kind::MessageCreate, &message);
    let reply = raw(&message);
    Ok(Plan { reply, ..Plan::new(vec![Row::Message(Box::new(message))], vec![told], &()) })
}

/// Fills in whom a message calls.
fn call(room: Room<'_>, rights: Permissions, allowed: &Allowed, message: &mut Message) {
    let names = named(&message.content);
    let may_call_all = rights.has(Permissions::MENTION_EVERYONE);
    message.mention_everyone = names.everyone && may_call_all && allowed.everyone();
    let users = names.users.iter().filter(|id| allowed.user(**id));
    message.mentions = users.filter_map(|id| room.person(*id)).cloned().collect();
    message.mention_roles = match room {
        Room::Guild(state, _) => {
            let is_called = |id: &&Id| {
                let role = state.roles.get(id).filter(|r| r.id != state.guild.id);
                allowed.role(**id) && role.is_some_and(|r| r.mentionable || may_call_all)
            };
            names.roles.iter().filter(is_called).copied().collect()
        }
        Room::Direct(_) => Vec::new(),
    };
}

/// The event of a new or changed message.
fn said(room: Room<'_>, t: Kind, message: &Message) -> Event {
    let kind = match room {
        Room::Guild(state, channel) => state.channels.get(&channel).map_or(Channel::TEXT, |c| c.kind),
        Room::Direct(_) => Channel::DM,
    };
    let d = room.placed(extended(message, json!({ "channel_type": kind })), Some(message.author.id));
    let mut told = event(t, room.audience(), Some(message.author.id), &d);
    told.mentions = message.mentions.iter().map(|u| u.id).collect();
    told
}

/// What is wished of a message that exists.
#[derive(Debug, Default)]
pub struct Change {
    /// New text.
    pub content: Option<String>,
    /// New embeds.
    pub embeds: Option<Vec<Value>>,
    /// New components.
    pub components: Option<Vec<Value>>,
    /// New flags.
    pub flags: Option<u64>,
}

/// Changes a message: one's own; of others' the flags only.
///
/// # Errors
/// Not seen, not one's own, not there, or nothing would be left.
pub fn update(
    room: Room<'_>,
    cx: &mut Context<'_>,
    found: Option<Message>,
    change: Change,
) -> Result<Plan, Refusal> {
    let (_, rights) = room.rights(cx.actor)?;
    let before = found.ok_or(Refusal::UnknownMessage)?;
    let is_own = cx.actor.is_none_or(|actor| actor == before.author.id);
    let is_only_flags = change.content.is_none() && change.embeds.is_none() && change.components.is_none();
    let may_flag = is_only_flags && rights.has(Permissions::MANAGE_MESSAGES);
    if !is_own && !may_flag {
        return Err(Refusal::NotAuthor);
    }
    if is_own
        && change.embeds.as_ref().is_some_and(|e| !e.is_empty())
        && !rights.has(Permissions::EMBED_LINKS)
    {
        return Err(Refusal::MissingPermissions);
    }
    let mut message = before.clone();
    message.content = change.content.unwrap_or(message.content);
    message.embeds = change.embeds.unwrap_or(message.embeds);
    message.components = change.components.unwrap_or(message.components);
    message.flags = change.flags.unwrap_or(message.flags);
    if message.content.is_empty() && message.embeds.is_empty() && message.components.is_empty() {
        return Err(Refusal::EmptyMessage);
    }
    if message == before {
        return Ok(Plan::nothing(&message));
    }
    if message.content != before.content {
        call(room, rights, &Allowed::of(None), &mut message);
    }
    if !is_only_flags {
        message.edited_timestamp = Some(iso(cx.now));
    }
    Ok(rewritten(room, message))
}

/// Keeps a changed message and tells of it as everyone sees it: without anyone's own reactions marked.
fn rewritten(room: Room<'_>, message: Message) -> Plan {
    let reply = raw(&message);
    let told = said(room, Kind::MessageUpdate, &neutral(message.clone()));
    Plan { reply, ..Plan::new(vec![Row::MessageChanged(Box::new(message))], vec![told], &()) }
}

fn neutral(mut message: Message) -> Message {
    for reaction in &mut message.reactions {
        reaction.me = false;
    }
    message
}

/// Deletes a message: one's own, or others' where that is allowed.
///
/// # Errors
/// Not seen, not allowed, or not there.
pub fn delete(room: Room<'_>, cx: &mut Context<'_>, found: Option<&Message>) -> Result<Plan, Refusal> {
    let (channel, rights) = room.rights(cx.actor)?;
    let message = found.ok_or(Refusal::UnknownMessage)?;
    let is_own = cx.actor.is_none_or(|actor| actor == message.author.id);
    if !is_own && !rights.has(Permissions::MANAGE_MESSAGES) {
        return Err(Refusal::MissingPermissions);
    }
    let d = room.placed(json!({ "id": message.id, "channel_id": channel.id }), None);
    let told = event(Kind::MessageDelete, room.audience(), cx.actor, &d);
    Ok(Plan::new(vec![Row::MessageGone(channel.id, message.id)], vec![told], &()))
}

/// Whether so many messages of a guild's channel, and so old ones, may be deleted at once.
///
/// # Errors
/// They may not.
pub fn check_many(room: Room<'_>, now: Wall, messages: &[Id]) -> Result<(), Refusal> {
    if room.guild().is_none() {
        return Err(Refusal::WrongChannelType);
    }
    let different = messages.iter().collect::<std::collections::BTreeSet<_>>();
    if !(2..=100).contains(&different.len()) {
        return Err(Refusal::BulkDelete(BulkDelete::Count));
    }
    let age_max = i64::try_from(BULK_DELETE_AGE_MAX.as_millis()).unwrap_or(i64::MAX);
    let oldest = Id::at(Wall(now.0.saturating_sub(age_max)));
    match different.first() {
        Some(first) if **first < oldest => Err(Refusal::BulkDelete(BulkDelete::TooOld)),
        _ => Ok(()),
    }
}

/// Deletes many messages of a guild's channel: those of them that are there.
///
/// # Errors
/// Not seen or not allowed.
pub fn delete_many(room: Room<'_>, cx: &mut Context<'_>, mut there: Vec<Id>) -> Result<Plan, Refusal> {
    let (channel, _) = room.need(cx.actor, Permissions::MANAGE_MESSAGES)?;
    let guild = room.guild().ok_or(Refusal::WrongChannelType)?;
    there.sort_unstable();
    there.dedup();
    if there.is_empty() {
        return Ok(Plan::nothing(&()));
    }
    let told = bulk_gone(guild, channel.id, cx.actor, &there);
    let rows = there.into_iter().map(|id| Row::MessageGone(channel.id, id)).collect();
    Ok(Plan::new(rows, vec![told], &()))
}

/// The event that tells of messages that are gone.
pub(super) fn bulk_gone(guild: Id, channel: Id, author: Option<Id>, ids: &[Id]) -> Event {
    let d = json!({ "ids": ids, "channel_id": channel, "guild_id": guild });
    event(Kind::MessageDeleteBulk, Audience::Channel { guild, channel }, author, &d)
}

/// Pins a message or takes the pin out. `pins` is how many the channel has.
///
/// # Errors
/// Not seen, not allowed, not there, or too many.
pub fn pin(
    room: Room<'_>,
    cx: &mut Context<'_>,
    found: Option<Message>,
    is_pinned: bool,
    pins: usize,
) -> Result<Plan, Refusal> {
    let needed = match room {
        Room::Guild(..) => Permissions::MANAGE_MESSAGES,
        Room::Direct(_) => Permissions::NONE,
    };
    let (channel, _) = room.need(cx.actor, needed)?;
    let mut message = found.ok_or(Refusal::UnknownMessage)?;
    if message.pinned == is_pinned {
        return Ok(Plan::nothing(&()));
    }
    if is_pinned && pins >= cx.limits.pins_max {
        return Err(Refusal::TooManyPins);
    }
    message.pinned = is_pinned;
    let last = is_pinned.then(|| iso(cx.now));
    let d = room.placed(json!({ "channel_id": channel.id, "last_pin_timestamp": last }), None);
    let rows = vec![Row::Pin(channel.id, message.id, is_pinned.then_some(cx.now))];
    let events = vec![
        event(Kind::ChannelPinsUpdate, room.audience(), cx.actor, &d),
        said(room, Kind::MessageUpdate, &neutral(message)),
    ];
    Ok(Plan::new(rows, events, &()))
}

/// Somebody begins to write. Nothing is kept.
///
/// # Errors
/// Not seen, or not allowed to write.
pub fn typing(room: Room<'_>, cx: &mut Context<'_>) -> Result<Plan, Refusal> {
    let user = cx.user()?;
    let (channel, _) = room.need(cx.actor, Permissions::SEND_MESSAGES)?;
    let seconds = cx.now.0.div_euclid(1000);
    let d = json!({ "channel_id": channel.id, "user_id": user, "timestamp": seconds });
    let member = match room {
        // The whole member: clients that do not know it yet show it by this.
        Room::Guild(state, _) => state.members.get(&user),
        Room::Direct(_) => None,
    };
    let mut d = room.placed(d, None);
    if let (Some(member), Value::Object(fields)) = (member, &mut d) {
        fields.insert("member".to_owned(), json!(member));
    }
    let told = event(Kind::TypingStart, room.audience(), Some(user), &d);
    Ok(Plan::new(Vec::new(), vec![told], &()))
}
