//! What happened, as the owner tells it to the gateways: one record per event, never one per listener.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::Id;

/// A dispatch before it has a sequence number. Durable ones are written into the change stream in the same
/// commit as what they tell of; the others (typing) exist in memory only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// Which one.
    pub t: Kind,
    /// Who may hear of it.
    pub to: Audience,
    /// Whoever caused it; hears its own words also without the MESSAGE_CONTENT intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Id>,
    /// Users a message mentions; they hear its content too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<Id>,
    /// The payload, as every listener gets it.
    pub d: Box<RawValue>,
}

/// Who may hear of an event, intents apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Every member of a guild.
    Guild(Id),
    /// The members who may see a channel.
    Channel {
        /// The guild.
        guild: Id,
        /// The channel.
        channel: Id,
    },
    /// These users, wherever they are: direct messages, one's own profile.
    Users(Vec<Id>),
}

impl Audience {
    /// The guild it is about, if it is about one.
    #[must_use]
    pub fn guild(&self) -> Option<Id> {
        match self {
            Audience::Guild(guild) | Audience::Channel { guild, .. } => Some(*guild),
            Audience::Users(_) => None,
        }
    }
}

/// A dispatch's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A guild, with all a client needs of it.
    #[serde(rename = "GUILD_CREATE")]
    GuildCreate,
    /// A guild's settings changed.
    #[serde(rename = "GUILD_UPDATE")]
    GuildUpdate,
    /// A guild is gone, for this listener or for all.
    #[serde(rename = "GUILD_DELETE")]
    GuildDelete,
    /// A new channel.
    #[serde(rename = "CHANNEL_CREATE")]
    ChannelCreate,
    /// A channel changed.
    #[serde(rename = "CHANNEL_UPDATE")]
    ChannelUpdate,
    /// A channel is gone.
    #[serde(rename = "CHANNEL_DELETE")]
    ChannelDelete,
    /// Something was pinned or unpinned.
    #[serde(rename = "CHANNEL_PINS_UPDATE")]
    ChannelPinsUpdate,
    /// A new role.
    #[serde(rename = "GUILD_ROLE_CREATE")]
    RoleCreate,
    /// A role changed.
    #[serde(rename = "GUILD_ROLE_UPDATE")]
    RoleUpdate,
    /// A role is gone.
    #[serde(rename = "GUILD_ROLE_DELETE")]
    RoleDelete,
    /// Somebody joined.
    #[serde(rename = "GUILD_MEMBER_ADD")]
    MemberAdd,
    /// A member changed.
    #[serde(rename = "GUILD_MEMBER_UPDATE")]
    MemberUpdate,
    /// Somebody left or was removed.
    #[serde(rename = "GUILD_MEMBER_REMOVE")]
    MemberRemove,
    /// Members, as asked for.
    #[serde(rename = "GUILD_MEMBERS_CHUNK")]
    MembersChunk,
    /// Somebody may not come back.
    #[serde(rename = "GUILD_BAN_ADD")]
    BanAdd,
    /// Somebody may.
    #[serde(rename = "GUILD_BAN_REMOVE")]
    BanRemove,
    /// A new invite.
    #[serde(rename = "INVITE_CREATE")]
    InviteCreate,
    /// An invite is gone.
    #[serde(rename = "INVITE_DELETE")]
    InviteDelete,
    /// Somebody came, went, or does something else.
    #[serde(rename = "PRESENCE_UPDATE")]
    PresenceUpdate,
    /// Something was said.
    #[serde(rename = "MESSAGE_CREATE")]
    MessageCreate,
    /// A message changed.
    #[serde(rename = "MESSAGE_UPDATE")]
    MessageUpdate,
    /// A message is gone.
    #[serde(rename = "MESSAGE_DELETE")]
    MessageDelete,
    /// Messages are gone.
    #[serde(rename = "MESSAGE_DELETE_BULK")]
    MessageDeleteBulk,
    /// A reaction.
    #[serde(rename = "MESSAGE_REACTION_ADD")]
    ReactionAdd,
    /// A reaction is gone.
    #[serde(rename = "MESSAGE_REACTION_REMOVE")]
    ReactionRemove,
    /// All reactions of a message are gone.
    #[serde(rename = "MESSAGE_REACTION_REMOVE_ALL")]
    ReactionRemoveAll,
    /// All reactions with one emoji are gone.
    #[serde(rename = "MESSAGE_REACTION_REMOVE_EMOJI")]
    ReactionRemoveEmoji,
    /// Somebody began to write.
    #[serde(rename = "TYPING_START")]
    TypingStart,
    /// One's own profile changed.
    #[serde(rename = "USER_UPDATE")]
    UserUpdate,
    /// An answer is refused for now. Made by gateways, for one session each.
    #[serde(rename = "RATE_LIMITED")]
    RateLimited,
    /// A session goes on: everything it had missed was sent. Made by gateways, for one session each.
    #[serde(rename = "RESUMED")]
    Resumed,
}

/// Intents by name (Discord's bit numbers).
pub mod intents {
    /// Guilds, channels, roles.
    pub const GUILDS: u64 = 1;
    /// Who joins, leaves and changes.
    pub const GUILD_MEMBERS: u64 = 1 << 1;
    /// Bans.
    pub const GUILD_MODERATION: u64 = 1 << 2;
    /// Invites.
    pub const GUILD_INVITES: u64 = 1 << 6;
    /// Presences.
    pub const GUILD_PRESENCES: u64 = 1 << 8;
    /// Messages in guilds.
    pub const GUILD_MESSAGES: u64 = 1 << 9;
    /// Reactions in guilds.
    pub const GUILD_MESSAGE_REACTIONS: u64 = 1 << 10;
    /// Who is writing, in guilds.
    pub const GUILD_MESSAGE_TYPING: u64 = 1 << 11;
    /// Direct messages.
    pub const DIRECT_MESSAGES: u64 = 1 << 12;
    /// Reactions in direct messages.
    pub const DIRECT_MESSAGE_REACTIONS: u64 = 1 << 13;
    /// Who is writing, in direct messages.
    pub const DIRECT_MESSAGE_TYPING: u64 = 1 << 14;
    /// What messages say, also where the session is not concerned.
    pub const MESSAGE_CONTENT: u64 = 1 << 15;
    /// Every bit that means something; others are refused with 4013.
    pub const KNOWN: u64 = ((1 << 17) - 1) | (0b11 << 20) | (0b11 << 24);
}

impl Kind {
    /// Whether it is about reactions.
    #[must_use]
    pub fn is_reaction(self) -> bool {
        use Kind::{ReactionAdd, ReactionRemove, ReactionRemoveAll, ReactionRemoveEmoji};
        matches!(self, ReactionAdd | ReactionRemove | ReactionRemoveAll | ReactionRemoveEmoji)
    }

    /// As it stands in `t`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::GuildCreate => "GUILD_CREATE",
            Kind::GuildUpdate => "GUILD_UPDATE",
            Kind::GuildDelete => "GUILD_DELETE",
            Kind::ChannelCreate => "CHANNEL_CREATE",
            Kind::ChannelUpdate => "CHANNEL_UPDATE",
            Kind::ChannelDelete => "CHANNEL_DELETE",
            Kind::ChannelPinsUpdate => "CHANNEL_PINS_UPDATE",
            Kind::RoleCreate => "GUILD_ROLE_CREATE",
            Kind::RoleUpdate => "GUILD_ROLE_UPDATE",
            Kind::RoleDelete => "GUILD_ROLE_DELETE",
            Kind::MemberAdd => "GUILD_MEMBER_ADD",
            Kind::MemberUpdate => "GUILD_MEMBER_UPDATE",
            Kind::MemberRemove => "GUILD_MEMBER_REMOVE",
            Kind::MembersChunk => "GUILD_MEMBERS_CHUNK",
            Kind::BanAdd => "GUILD_BAN_ADD",
            Kind::BanRemove => "GUILD_BAN_REMOVE",
            Kind::InviteCreate => "INVITE_CREATE",
            Kind::InviteDelete => "INVITE_DELETE",
            Kind::PresenceUpdate => "PRESENCE_UPDATE",
            Kind::MessageCreate => "MESSAGE_CREATE",
            Kind::MessageUpdate => "MESSAGE_UPDATE",
            Kind::MessageDelete => "MESSAGE_DELETE",
            Kind::MessageDeleteBulk => "MESSAGE_DELETE_BULK",
            Kind::ReactionAdd => "MESSAGE_REACTION_ADD",
            Kind::ReactionRemove => "MESSAGE_REACTION_REMOVE",
            Kind::ReactionRemoveAll => "MESSAGE_REACTION_REMOVE_ALL",
            Kind::ReactionRemoveEmoji => "MESSAGE_REACTION_REMOVE_EMOJI",
            Kind::TypingStart => "TYPING_START",
            Kind::UserUpdate => "USER_UPDATE",
            Kind::RateLimited => "RATE_LIMITED",
            Kind::Resumed => "RESUMED",
        }
    }

    /// The intents of which a session needs one to hear of it: in a guild, and in a direct message. `None`: nobody
    /// needs any.
    #[must_use]
    pub fn intents(self) -> Option<(u64, u64)> {
        use intents::*;
        Some(match self {
            Kind::GuildCreate
            | Kind::GuildUpdate
            | Kind::GuildDelete
            | Kind::RoleCreate
            | Kind::RoleUpdate
            | Kind::RoleDelete
            | Kind::ChannelCreate
            | Kind::ChannelUpdate
            | Kind::ChannelDelete => (GUILDS, 0),
            Kind::ChannelPinsUpdate => (GUILDS, DIRECT_MESSAGES),
            Kind::MemberAdd | Kind::MemberUpdate | Kind::MemberRemove => (GUILD_MEMBERS, 0),
            Kind::BanAdd | Kind::BanRemove => (GUILD_MODERATION, 0),
            Kind::InviteCreate | Kind::InviteDelete => (GUILD_INVITES, 0),
            Kind::PresenceUpdate => (GUILD_PRESENCES, 0),
            Kind::MessageCreate | Kind::MessageUpdate | Kind::MessageDelete => {
                (GUILD_MESSAGES, DIRECT_MESSAGES)
            }
            Kind::MessageDeleteBulk => (GUILD_MESSAGES, 0),
            Kind::ReactionAdd
            | Kind::ReactionRemove
            | Kind::ReactionRemoveAll
            | Kind::ReactionRemoveEmoji => (GUILD_MESSAGE_REACTIONS, DIRECT_MESSAGE_REACTIONS),
            Kind::TypingStart => (GUILD_MESSAGE_TYPING, DIRECT_MESSAGE_TYPING),
            Kind::MembersChunk | Kind::UserUpdate | Kind::RateLimited | Kind::Resumed => return None,
        })
    }
}

/// What one user shows of itself, put together from all its sessions by the owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Presence {
    /// Who.
    pub user: Id,
    /// `online`, `idle`, `dnd` or `offline`; an invisible user is `offline` to everyone.
    pub status: String,
    /// What it does, as its client sent it.
    #[serde(default)]
    pub activities: Vec<Box<RawValue>>,
}
