//! What can be asked of the owner of a guild. Everything here serialises: the owner may be another process.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use seawall_store::Position;

use crate::id::Id;
use crate::model::Overwrite;
use crate::permissions::Permissions;

/// A wish of a user (or of the operator).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ask {
    /// Who asks; the owner checks what it may. `None` is the operator, who may everything.
    pub actor: Option<Id>,
    /// What.
    pub command: Command,
    /// Makes a repetition harmless: from the nonce with `enforce_nonce`, or drawn anew by the API for each request
    /// and kept over its own retries.
    pub key: [u8; 16],
    /// Milliseconds the caller still waits.
    pub patience_ms: u64,
}

/// A wish that was granted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// What REST answers; `null` where it answers nothing.
    pub body: Box<RawValue>,
    /// Shard and place in its order of commits; none where nothing was written.
    pub at: Option<(u32, Position)>,
    /// Whether an earlier try with the same key had done it.
    pub again: bool,
}

/// What becomes of a field that may be null.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patch<T> {
    /// It stays.
    #[default]
    Keep,
    /// It becomes null.
    Clear,
    /// It becomes this.
    Set(T),
}

/// What is wished for. Fields are as checked in form by the API (lengths, ranges); the owner checks everything that
/// depends on state: permissions, existence, counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A new user or bot (operator only). Answers `{"user", "token"}`; the token is never shown again.
    CreateUser {
        /// 2 to 32 characters, unique.
        username: String,
        /// The name shown.
        global_name: Option<String>,
        /// Whether a program.
        bot: bool,
    },
    /// A new token for a user; earlier ones stop working (operator only). Answers `{"token"}`.
    ResetToken {
        /// Whose.
        user: Id,
    },
    /// Changes one's own profile. Answers the user.
    UpdateUser {
        /// New name.
        username: Option<String>,
        /// New shown name.
        global_name: Patch<String>,
    },
    /// The direct-message channel with somebody, made if there is none. Answers the channel.
    OpenDirect {
        /// With whom.
        recipient: Id,
    },

    /// A new guild with `@everyone` and a channel `general`; the actor owns it (or `owner`, for the operator).
    /// Answers the guild as GUILD_CREATE shows it.
    CreateGuild {
        /// Its name.
        name: String,
        /// Its owner, when the operator makes it.
        owner: Option<Id>,
    },
    /// Changes a guild. Answers it.
    UpdateGuild {
        /// Which.
        guild: Id,
        /// New name.
        name: Option<String>,
        /// New description.
        description: Patch<String>,
        /// New channel for news of members.
        system_channel_id: Patch<Id>,
        /// New owner; only the owner may.
        owner_id: Option<Id>,
    },
    /// Deletes a guild; only its owner may.
    DeleteGuild {
        /// Which.
        guild: Id,
    },

    /// A new channel. Answers it.
    CreateChannel {
        /// Where.
        guild: Id,
        /// What it shall be.
        channel: ChannelFields,
    },
    /// Changes a channel. Answers it.
    UpdateChannel {
        /// Which.
        channel: Id,
        /// What shall change.
        change: ChannelFields,
    },
    /// Deletes a channel, or closes a direct message for the actor. Answers it.
    DeleteChannel {
        /// Which.
        channel: Id,
    },
    /// Sets one overwrite of a channel.
    SetOverwrite {
        /// Of which.
        channel: Id,
        /// The whole exception.
        overwrite: Overwrite,
    },
    /// Takes one overwrite away.
    DeleteOverwrite {
        /// Of which.
        channel: Id,
        /// Of which role or member.
        target: Id,
    },

    /// A new role. Answers it.
    CreateRole {
        /// Where.
        guild: Id,
        /// What it shall be.
        role: RoleFields,
    },
    /// Changes a role. Answers it.
    UpdateRole {
        /// Where.
        guild: Id,
        /// Which.
        role: Id,
        /// What shall change.
        change: RoleFields,
    },
    /// Deletes a role.
    DeleteRole {
        /// Where.
        guild: Id,
        /// Which.
        role: Id,
    },

    /// Adds a user to a guild (operator only; users join by invite). Answers the member.
    AddMember {
        /// Where.
        guild: Id,
        /// Whom.
        user: Id,
    },
    /// Changes a member; oneself only the nick. Answers it.
    UpdateMember {
        /// Where.
        guild: Id,
        /// Whom.
        user: Id,
        /// New nick.
        nick: Patch<String>,
        /// New roles, all of them.
        roles: Option<Vec<Id>>,
    },
    /// Gives or takes one role.
    SetMemberRole {
        /// Where.
        guild: Id,
        /// Whom.
        user: Id,
        /// Which.
        role: Id,
        /// Given or taken.
        has: bool,
    },
    /// Removes a member; oneself: leaves.
    RemoveMember {
        /// Where.
        guild: Id,
        /// Whom.
        user: Id,
    },
    /// Bans a user.
    Ban {
        /// From where.
        guild: Id,
        /// Whom.
        user: Id,
        /// Also deletes what it said in so many seconds, up to a week.
        delete_message_seconds: u32,
    },
    /// Takes a ban back.
    Unban {
        /// From where.
        guild: Id,
        /// Whom.
        user: Id,
    },

    /// A new invite. Answers it.
    CreateInvite {
        /// Which channel it leads to.
        channel: Id,
        /// Seconds it is good for; 0 for ever.
        max_age: u32,
        /// Uses; 0 without limit.
        max_uses: u32,
        /// Another code even if an equal invite exists.
        unique: bool,
    },
    /// Takes an invite back. Answers it.
    DeleteInvite {
        /// Which.
        code: String,
    },
    /// Joins by invite. Answers it.
    UseInvite {
        /// Which.
        code: String,
    },

    /// Says something. Answers the message.
    CreateMessage {
        /// Where.
        channel: Id,
        /// What.
        message: MessageFields,
    },
    /// Changes one's own message. Answers it.
    UpdateMessage {
        /// Where.
        channel: Id,
        /// Which.
        message: Id,
        /// New text.
        content: Option<String>,
        /// New embeds.
        embeds: Option<Vec<Value>>,
        /// New components.
        components: Option<Vec<Value>>,
        /// New flags.
        flags: Option<u64>,
    },
    /// Deletes a message.
    DeleteMessage {
        /// Where.
        channel: Id,
        /// Which.
        message: Id,
    },
    /// Deletes 2 to 100 messages of the last two weeks.
    DeleteMessages {
        /// Where.
        channel: Id,
        /// Which.
        messages: Vec<Id>,
    },
    /// Pins or unpins a message.
    Pin {
        /// Where.
        channel: Id,
        /// Which.
        message: Id,
        /// Pinned or not.
        pinned: bool,
    },
    /// Adds one's reaction.
    AddReaction {
        /// Where.
        channel: Id,
        /// To which.
        message: Id,
        /// With what.
        emoji: String,
    },
    /// Takes reactions away: one's own, another's, all with one emoji, or all.
    RemoveReactions {
        /// Where.
        channel: Id,
        /// From which.
        message: Id,
        /// With what; none: all.
        emoji: Option<String>,
        /// Whose; none: everyone's.
        user: Option<Id>,
    },
    /// Begins to write. Nothing is kept.
    Typing {
        /// Where.
        channel: Id,
    },

    /// A session shows this of itself; `status` of "offline" when it ends. Nothing is kept. The actor is the user.
    Presence {
        /// The gateway process it is on.
        gateway: String,
        /// Which of the user's sessions.
        session: String,
        /// `online`, `idle`, `dnd`, `invisible`, `offline`.
        status: String,
        /// What it does.
        activities: Vec<Box<RawValue>>,
    },
}

/// A channel as it is to be. On creation `name` is required and absent fields have defaults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelFields {
    /// Its name.
    pub name: Option<String>,
    /// Its kind; cannot be changed later.
    pub kind: Option<u8>,
    /// Its topic.
    pub topic: Patch<String>,
    /// Its rank.
    pub position: Option<i64>,
    /// Its category.
    pub parent_id: Patch<Id>,
    /// For adults.
    pub nsfw: Option<bool>,
    /// Slow mode, seconds.
    pub rate_limit_per_user: Option<u32>,
    /// All its exceptions.
    pub permission_overwrites: Option<Vec<Overwrite>>,
}

/// A role as it is to be. On creation absent fields have Discord's defaults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RoleFields {
    /// Its name.
    pub name: Option<String>,
    /// RGB.
    pub color: Option<u32>,
    /// Shown apart.
    pub hoist: Option<bool>,
    /// What its members may.
    pub permissions: Option<Permissions>,
    /// Whether anyone may mention it.
    pub mentionable: Option<bool>,
    /// Its rank.
    pub position: Option<i64>,
}

/// A message as it is to be.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageFields {
    /// The text.
    pub content: String,
    /// The sender's mark: a string of at most 25 characters, or a number.
    pub nonce: Option<Value>,
    /// What it answers.
    pub reply_to: Option<Id>,
    /// An answer to something that is gone is refused, rather than sent as a plain message.
    pub fail_if_not_exists: bool,
    /// Embeds.
    pub embeds: Vec<Value>,
    /// Buttons and the like.
    pub components: Vec<Value>,
    /// Message flags.
    pub flags: u64,
    /// Whom the text may call, as Discord's `allowed_mentions`; absent: everyone it names.
    pub allowed_mentions: Option<Value>,
}
