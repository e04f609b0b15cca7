//! What is to be done about a wish: pure, so that every rule is a table of cases.
//!
//! Each function takes what is known (the guild, and rows read beforehand) and the wish, and gives a [`Plan`] or a
//! [`Refusal`]. The order of questions is always the same: may the one who asks know of the thing at all (else it
//! does not exist), may it do this to it, and only then: does the wish make sense.
//!
//! ## What is absent
//!
//! No read, no write, no clock. Ids and random codes are drawn by the caller.

pub mod channels;
pub mod guilds;
pub mod invites;
pub mod members;
pub mod mentions;
pub mod messages;
pub mod reactions;
pub mod roles;
pub mod users;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use seawall_policy::Wall;

use crate::event::{Audience, Event, Kind};
use crate::id::Id;
use crate::model::{Channel, Guild, Invite, Member, Message, Role, User};
use crate::owner::limits::Limits;
use crate::permissions::Permissions;
use crate::refusal::Refusal;
use crate::state::GuildState;

/// What is kept of a decision. All rows of a plan live in one shard and are written together.
#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    /// A new guild's settings.
    GuildNew(Guild),
    /// A guild's changed settings.
    Guild(Guild),
    /// A guild with everything in it goes.
    GuildGone(Id),
    /// A role.
    Role(Id, Role),
    /// A role goes.
    RoleGone(Id, Id),
    /// A channel.
    Channel(Id, Channel),
    /// A channel goes, with its messages.
    ChannelGone(Id, Id),
    /// A member.
    Member(Id, Member),
    /// A member goes.
    MemberGone(Id, Id),
    /// A ban.
    Ban(Id, User),
    /// A ban goes.
    BanGone(Id, Id),
    /// A new invite.
    Invite(Invite),
    /// An invite has one use less.
    InviteUsed(Id, String),
    /// An invite goes.
    InviteGone(Id, String),
    /// A new message.
    Message(Box<Message>),
    /// A message with other content.
    MessageChanged(Box<Message>),
    /// A message goes, with its reactions.
    MessageGone(Id, Id),
    /// A message is pinned or not: channel, message, since when.
    Pin(Id, Id, Option<Wall>),
    /// A reaction: channel, message, emoji, user, when.
    Reaction(Id, Id, String, Id, Wall),
    /// A direct message's people have other profiles.
    Recipients(Id, Vec<User>),
    /// Reactions go: channel, message, emoji or all, user or everyone.
    ReactionGone(Id, Id, Option<String>, Option<Id>),
}

/// A row on another shard that only helps to find something. Written before the plan's rows; harmless when left over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// Which guild a channel belongs to.
    Channel(Id, Id),
    /// A user is in a guild.
    Guild(Id, Id),
    /// Which guild an invite leads to.
    Invite(String, Id),
}

/// What is done if it can be written.
#[derive(Debug)]
pub struct Plan {
    /// What is kept. Nothing: there is nothing to write, and the events are ephemeral.
    pub rows: Vec<Row>,
    /// Who must hear what.
    pub events: Vec<Event>,
    /// What is answered.
    pub reply: Box<RawValue>,
    /// What must be found later.
    pub hints: Vec<Hint>,
    /// What need not be found any more; taken away after the commit.
    pub stale: Vec<Hint>,
}

impl Plan {
    /// Rows and events with this answer.
    #[must_use]
    pub fn new(rows: Vec<Row>, events: Vec<Event>, reply: &impl Serialize) -> Plan {
        Plan { rows, events, reply: raw(reply), hints: Vec::new(), stale: Vec::new() }
    }

    /// Nothing is to be done; it is as wished already.
    #[must_use]
    pub fn nothing(reply: &impl Serialize) -> Plan {
        Plan::new(Vec::new(), Vec::new(), reply)
    }
}

/// What every decision may look at besides its subject.
pub struct Context<'a> {
    /// Who asks; `None` is the operator.
    pub actor: Option<Id>,
    /// When.
    pub now: Wall,
    /// The bounds.
    pub limits: &'a Limits,
    /// The next fresh id.
    pub ids: &'a mut dyn FnMut() -> Id,
}

impl Context<'_> {
    /// Who asks, where only a user can.
    ///
    /// # Errors
    /// The operator is no user.
    pub fn user(&self) -> Result<Id, Refusal> {
        self.actor.ok_or(Refusal::Unauthorized)
    }
}

/// What the one who asks may in the guild.
///
/// # Errors
/// It is no member: to it there is no such guild.
pub fn guild_rights(state: &GuildState, actor: Option<Id>) -> Result<Permissions, Refusal> {
    let Some(user) = actor else { return Ok(Permissions::ALL) };
    if !state.members.contains_key(&user) {
        return Err(Refusal::UnknownGuild);
    }
    Ok(state.permissions(user))
}

/// As [`guild_rights`], and some of them are needed.
///
/// # Errors
/// Not a member, or not allowed.
pub fn need_in_guild(
    state: &GuildState,
    actor: Option<Id>,
    needed: Permissions,
) -> Result<Permissions, Refusal> {
    let rights = guild_rights(state, actor)?;
    if rights.has(needed) { Ok(rights) } else { Err(Refusal::MissingPermissions) }
}

/// A channel and what the one who asks may in it.
///
/// # Errors
/// There is none, or the one who asks is not in its guild, or it cannot see it.
pub fn channel_rights(
    state: &GuildState,
    actor: Option<Id>,
    channel: Id,
) -> Result<(&Channel, Permissions), Refusal> {
    let found = state.channels.get(&channel).ok_or(Refusal::UnknownChannel)?;
    let Some(user) = actor else { return Ok((found, Permissions::ALL)) };
    if !state.members.contains_key(&user) {
        return Err(Refusal::UnknownChannel);
    }
    let rights = state.permissions_in(user, channel);
    if rights.has(Permissions::VIEW_CHANNEL) { Ok((found, rights)) } else { Err(Refusal::MissingAccess) }
}

/// As [`channel_rights`], and some of them are needed.
///
/// # Errors
/// As there, or not allowed.
pub fn need_in_channel(
    state: &GuildState,
    actor: Option<Id>,
    channel: Id,
    needed: Permissions,
) -> Result<(&Channel, Permissions), Refusal> {
    let (found, rights) = channel_rights(state, actor, channel)?;
    if rights.has(needed) { Ok((found, rights)) } else { Err(Refusal::MissingPermissions) }
}

/// Whether the one who asks ranks above a member. The operator ranks above all, the owner above all but it.
#[must_use]
pub fn ranks_above(state: &GuildState, actor: Option<Id>, member: Id) -> bool {
    actor.is_none_or(|actor| state.rank(actor) > state.rank(member))
}

/// An event, its payload written once for everyone.
#[must_use]
pub fn event(t: Kind, to: Audience, author: Option<Id>, d: &impl Serialize) -> Event {
    Event { t, to, author, mentions: Vec::new(), d: raw(d) }
}

/// JSON as it goes out.
#[must_use]
pub fn raw(value: &impl Serialize) -> Box<RawValue> {
    // Our own types: strings, numbers, and maps with string keys. Nothing in them cannot be written.
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// A value with more fields.
#[must_use]
pub fn extended(value: &impl Serialize, more: Value) -> Value {
    let mut whole = serde_json::to_value(value).unwrap_or_default();
    if let (Value::Object(whole), Value::Object(more)) = (&mut whole, more) {
        whole.extend(more);
    }
    whole
}

/// A limit was met.
#[must_use]
pub fn too_many(what: &str, max: usize) -> Refusal {
    Refusal::TooMany { what: what.to_owned(), max: max as u64 }
}
