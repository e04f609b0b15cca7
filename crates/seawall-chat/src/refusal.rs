//! Why something was not done, in Discord's numbers. What REST answers and what the owner sends to a gateway.

use serde::{Deserialize, Serialize};

/// A refusal. Its [`code`](Refusal::code) is what client libraries look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// No valid token.
    #[error("401: Unauthorized")]
    Unauthorized,
    /// There is no such channel, or it is none the caller may know of.
    #[error("Unknown Channel")]
    UnknownChannel,
    /// No such guild, or the caller is not in it.
    #[error("Unknown Guild")]
    UnknownGuild,
    /// No such invite, or its time is over.
    #[error("Unknown Invite")]
    UnknownInvite,
    /// No such member.
    #[error("Unknown Member")]
    UnknownMember,
    /// No such message.
    #[error("Unknown Message")]
    UnknownMessage,
    /// No such role.
    #[error("Unknown Role")]
    UnknownRole,
    /// No such user.
    #[error("Unknown User")]
    UnknownUser,
    /// Not an emoji.
    #[error("Unknown Emoji")]
    UnknownEmoji,
    /// Not banned.
    #[error("Unknown Ban")]
    UnknownBan,
    /// No such route.
    #[error("404: Not Found")]
    NotFound,
    /// Not with this method.
    #[error("405: Method Not Allowed")]
    WrongMethod,
    /// 50 pins are in the channel.
    #[error("Maximum number of pins reached for the channel (50)")]
    TooManyPins,
    /// 20 different emoji are on the message.
    #[error("Maximum number of reactions reached (20)")]
    TooManyReactions,
    /// A limit of this installation: what, and how many.
    #[error("Maximum number of {what} reached ({max})")]
    TooMany {
        /// Of what.
        what: String,
        /// How many there may be.
        max: u64,
    },
    /// The slow mode of a channel.
    #[error("You are being rate limited.")]
    SlowMode {
        /// Seconds.
        retry_after: f64,
    },
    /// Banned from this guild.
    #[error("The user is banned from this guild.")]
    Banned,
    /// May not see it.
    #[error("Missing Access")]
    MissingAccess,
    /// May see it, and not do this to it.
    #[error("Missing Permissions")]
    MissingPermissions,
    /// Somebody else's message.
    #[error("Cannot edit a message authored by another user")]
    NotAuthor,
    /// A message of nothing.
    #[error("Cannot send an empty message")]
    EmptyMessage,
    /// A direct message to oneself, or to a program from a program.
    #[error("Cannot send messages to this user")]
    CannotMessageUser,
    /// Not in this kind of channel.
    #[error("Cannot execute action on this channel type")]
    WrongChannelType,
    /// Bulk deletion of fewer than 2, more than 100, or of messages older than two weeks.
    #[error("{0}")]
    BulkDelete(BulkDelete),
    /// The body is no JSON.
    #[error("The request body contains invalid JSON.")]
    BadJson,
    /// Fields are wrong: path (`content`, `embeds.0.title`), code (`BASE_TYPE_MAX_LENGTH`), sentence.
    #[error("Invalid Form Body")]
    Form(Vec<(String, String, String)>),
    /// The body is larger than accepted.
    #[error("Request entity too large")]
    TooLarge,
    /// There is too much to do; not to be tried again soon.
    #[error("API resource is currently overloaded. Try again a little later")]
    Overloaded,
    /// The search index is not ready, or search is shed.
    #[error("Index not yet available. Try again later")]
    NotIndexed,
    /// Perhaps done; only asking again with the same nonce will tell. Libraries do that by themselves for a 504.
    #[error("It is not known whether this was done. Try again with the same nonce")]
    Unknown,
    /// A fault of ours; the log says more.
    #[error("500: Internal Server Error")]
    Internal,
}

/// What is wrong with a bulk deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum BulkDelete {
    /// Their number.
    #[error(
        "Provided too few or too many messages to delete. Must provide at least 2 and fewer than 100 messages to delete"
    )]
    Count,
    /// Their age.
    #[error("A message provided was too old to bulk delete")]
    TooOld,
}

impl Refusal {
    /// One wrong field.
    #[must_use]
    pub fn field(path: &str, code: &str, message: impl Into<String>) -> Refusal {
        Refusal::Form(vec![(path.to_owned(), code.to_owned(), message.into())])
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Unauthorized => 401,
            Refusal::UnknownChannel
            | Refusal::UnknownGuild
            | Refusal::UnknownInvite
            | Refusal::UnknownMember
            | Refusal::UnknownMessage
            | Refusal::UnknownRole
            | Refusal::UnknownUser
            | Refusal::UnknownBan
            | Refusal::NotFound => 404,
            Refusal::WrongMethod => 405,
            Refusal::SlowMode { .. } => 429,
            Refusal::Banned
            | Refusal::MissingAccess
            | Refusal::MissingPermissions
            | Refusal::NotAuthor
            | Refusal::CannotMessageUser => 403,
            Refusal::UnknownEmoji
            | Refusal::TooManyPins
            | Refusal::TooManyReactions
            | Refusal::TooMany { .. }
            | Refusal::EmptyMessage
            | Refusal::WrongChannelType
            | Refusal::BulkDelete(_)
            | Refusal::BadJson
            | Refusal::Form(_) => 400,
            Refusal::TooLarge => 413,
            Refusal::Overloaded => 503,
            Refusal::NotIndexed => 202,
            Refusal::Unknown => 504,
            Refusal::Internal => 500,
        }
    }

    /// Discord's JSON error code.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Refusal::Unauthorized | Refusal::NotFound | Refusal::WrongMethod => 0,
            Refusal::Unknown | Refusal::Internal => 0,
            Refusal::UnknownChannel => 10003,
            Refusal::UnknownGuild => 10004,
            Refusal::UnknownInvite => 10006,
            Refusal::UnknownMember => 10007,
            Refusal::UnknownMessage => 10008,
            Refusal::UnknownRole => 10011,
            Refusal::UnknownUser => 10013,
            Refusal::UnknownEmoji => 10014,
            Refusal::UnknownBan => 10026,
            Refusal::SlowMode { .. } => 20016,
            Refusal::TooManyPins => 30003,
            Refusal::TooManyReactions => 30010,
            Refusal::TooMany { .. } => 30001,
            Refusal::TooLarge => 40005,
            Refusal::Banned => 40007,
            Refusal::MissingAccess => 50001,
            Refusal::NotAuthor => 50005,
            Refusal::EmptyMessage => 50006,
            Refusal::CannotMessageUser => 50007,
            Refusal::MissingPermissions => 50013,
            Refusal::BulkDelete(BulkDelete::Count) => 50016,
            Refusal::WrongChannelType => 50024,
            Refusal::BulkDelete(BulkDelete::TooOld) => 50034,
            Refusal::Form(_) => 50035,
            Refusal::BadJson => 50109,
            Refusal::NotIndexed => 110_000,
            Refusal::Overloaded => 130_000,
        }
    }
}
