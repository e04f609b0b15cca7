//! What clients see: users, guilds, channels, messages, exactly as Discord's v10 JSON spells them.
//!
//! Reading is lenient (unknown fields are ignored, absent ones have defaults), writing is complete: the strict
//! deserialisers of some client libraries want every field there, also those that never hold anything here.

use seawall_policy::Wall;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::Id;
use crate::permissions::Permissions;

/// A moment as Discord writes it: `2024-01-01T00:00:00.000000+00:00`.
#[must_use]
pub fn iso(wall: Wall) -> String {
    let text = wall.to_string();
    format!("{}000+00:00", text.trim_end_matches('Z'))
}

/// A user as others see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: Id,
    /// Its name; unique.
    pub username: String,
    /// Always "0": names are unique without it.
    #[serde(default = "zero")]
    pub discriminator: String,
    /// The name shown, where it differs.
    #[serde(default)]
    pub global_name: Option<String>,
    /// Hash of its picture; never set here.
    #[serde(default)]
    pub avatar: Option<String>,
    /// Whether a program speaks for it.
    #[serde(default)]
    pub bot: bool,
    /// Public flags.
    #[serde(default)]
    pub public_flags: u64,
    /// The same, under the name some libraries read.
    #[serde(default)]
    pub flags: u64,
}

fn zero() -> String {
    "0".to_owned()
}

/// A guild's settings, without what lives in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guild {
    /// Its id; also the id of its `@everyone` role.
    pub id: Id,
    /// Its name, 2 to 100 characters.
    pub name: String,
    /// Hash of its picture; never set here.
    #[serde(default)]
    pub icon: Option<String>,
    /// Who may do anything in it.
    pub owner_id: Id,
    /// What it is about.
    #[serde(default)]
    pub description: Option<String>,
    /// Where news of members goes.
    #[serde(default)]
    pub system_channel_id: Option<Id>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Its id.
    pub id: Id,
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// RGB.
    #[serde(default)]
    pub color: u32,
    /// Shown apart in lists.
    #[serde(default)]
    pub hoist: bool,
    /// Its rank; `@everyone` is 0. Ties are broken by id, the older is higher.
    #[serde(default)]
    pub position: i64,
    /// What its members may.
    pub permissions: Permissions,
    /// Whether anyone may mention it.
    #[serde(default)]
    pub mentionable: bool,
}

/// One exception a channel makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overwrite {
    /// A role or a member.
    pub id: Id,
    /// [`Overwrite::ROLE`] or [`Overwrite::MEMBER`].
    #[serde(rename = "type")]
    pub kind: u8,
    /// Given here.
    #[serde(default)]
    pub allow: Permissions,
    /// Taken here.
    #[serde(default)]
    pub deny: Permissions,
}

impl Overwrite {
    /// Of a role.
    pub const ROLE: u8 = 0;
    /// Of one member.
    pub const MEMBER: u8 = 1;
}

/// A channel: of a guild, or between people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// Its id.
    pub id: Id,
    /// [`Channel::TEXT`] and so on.
    #[serde(rename = "type")]
    pub kind: u8,
    /// The guild it belongs to; none for direct messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<Id>,
    /// Its name, 1 to 100 characters; none for direct messages.
    #[serde(default)]
    pub name: Option<String>,
    /// What it is about, up to 1,024 characters.
    #[serde(default)]
    pub topic: Option<String>,
    /// Its rank among the others.
    #[serde(default)]
    pub position: i64,
    /// The category it is in.
    #[serde(default)]
    pub parent_id: Option<Id>,
    /// For adults.
    #[serde(default)]
    pub nsfw: bool,
    /// Seconds between two messages of one member, 0 to 21,600.
    #[serde(default)]
    pub rate_limit_per_user: u32,
    /// Its exceptions.
    #[serde(default)]
    pub permission_overwrites: Vec<Overwrite>,
    /// The newest message; possibly deleted since.
    #[serde(default)]
    pub last_message_id: Option<Id>,
    /// Who is in a direct message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<User>,
}

impl Channel {
    /// Text in a guild.
    pub const TEXT: u8 = 0;
    /// A direct message of two.
    pub const DM: u8 = 1;
    /// Voice; may be made and shown, nobody can talk in it.
    pub const VOICE: u8 = 2;
    /// A group of channels.
    pub const CATEGORY: u8 = 4;
}

/// A user in a guild.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub user: User,
    /// The name shown in this guild.
    #[serde(default)]
    pub nick: Option<String>,
    /// Its roles, without `@everyone`.
    #[serde(default)]
    pub roles: Vec<Id>,
    /// Since when, as [`iso`] writes it.
    pub joined_at: String,
    /// Never set: there is no voice.
    #[serde(default)]
    pub deaf: bool,
    /// Never set.
    #[serde(default)]
    pub mute: bool,
    /// Member flags.
    #[serde(default)]
    pub flags: u64,
}

/// An emoji in a reaction. Only Unicode ones: guilds have none of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emoji {
    /// Always none.
    #[serde(default)]
    pub id: Option<Id>,
    /// The characters.
    pub name: String,
}

/// The longest emoji: a family of four with skin tones has 41 bytes.
const EMOJI_BYTES_MAX: usize = 64;

impl Emoji {
    /// Whether a text can be one emoji: characters from the blocks emoji come from, and what joins and changes them. Not
    /// a list of all there are, which grows every year: what is let through wrongly is shown as a box.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        // What makes a digit, `#` or `*` a keycap.
        let is_key = text.ends_with('\u{20E3}');
        let picture = |c: char| {
            matches!(c,
                '\u{A9}' | '\u{AE}' | '\u{203C}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{3030}' | '\u{303D}'
                | '\u{3297}' | '\u{3299}' | '\u{2190}'..='\u{2BFF}' | '\u{1F000}'..='\u{1FAFF}')
                || (is_key && (c.is_ascii_digit() || matches!(c, '#' | '*')))
        };
        // Tags spell the flags of England, Scotland and Wales.
        let joins = |c: char| matches!(c, '\u{200D}' | '\u{FE0F}' | '\u{20E3}' | '\u{E0020}'..='\u{E007F}');
        text.len() <= EMOJI_BYTES_MAX
            && text.chars().next().is_some_and(picture)
            && text.chars().all(|c| picture(c) || joins(c))
    }
}

/// Reactions with one emoji, as one reader sees them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reaction {
    /// How many.
    pub count: u64,
    /// Whether the reader is one of them.
    pub me: bool,
    /// With what.
    pub emoji: Emoji,
    /// Never.
    #[serde(default)]
    pub me_burst: bool,
    /// The count by kind.
    #[serde(default)]
    pub count_details: CountDetails,
    /// Never any.
    #[serde(default)]
    pub burst_colors: Vec<String>,
}

/// Reactions by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CountDetails {
    /// Paid ones: none.
    pub burst: u64,
    /// The others.
    pub normal: u64,
}

/// What a message answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The kind: 0, an answer.
    #[serde(rename = "type", default)]
    pub kind: u8,
    /// The message.
    #[serde(default)]
    pub message_id: Option<Id>,
    /// Its channel.
    #[serde(default)]
    pub channel_id: Option<Id>,
    /// Its guild.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<Id>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: Id,
    /// Where it was said.
    pub channel_id: Id,
    /// By whom.
    pub author: User,
    /// What, up to 2,000 characters.
    pub content: String,
    /// When, as [`iso`] writes it.
    pub timestamp: String,
    /// When it was last changed.
    #[serde(default)]
    pub edited_timestamp: Option<String>,
    /// Never read aloud.
    #[serde(default)]
    pub tts: bool,
    /// Whether it calls everyone.
    #[serde(default)]
    pub mention_everyone: bool,
    /// Whom it calls.
    #[serde(default)]
    pub mentions: Vec<User>,
    /// Which roles it calls.
    #[serde(default)]
    pub mention_roles: Vec<Id>,
    /// Files; none are kept.
    #[serde(default)]
    pub attachments: Vec<Value>,
    /// Embeds, as they were sent.
    #[serde(default)]
    pub embeds: Vec<Value>,
    /// Buttons and the like, as they were sent.
    #[serde(default)]
    pub components: Vec<Value>,
    /// Reactions; left out where there are none, as Discord does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// Whether it is pinned.
    #[serde(default)]
    pub pinned: bool,
    /// [`Message::PLAIN`] or [`Message::REPLY`].
    #[serde(rename = "type", default)]
    pub kind: u8,
    /// Message flags, as they were sent.
    #[serde(default)]
    pub flags: u64,
    /// The sender's own mark, given back to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Value>,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_reference: Option<Reference>,
    /// The message it answers, in full; null when that was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referenced_message: Option<Box<Message>>,
}

impl Message {
    /// An ordinary one.
    pub const PLAIN: u8 = 0;
    /// "… pinned a message".
    pub const PINNED: u8 = 6;
    /// An answer to another.
    pub const REPLY: u8 = 19;
}

/// A way into a guild.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Invite {
    /// What is shared.
    pub code: String,
    /// Where it leads.
    pub guild_id: Id,
    /// Which channel is shown first.
    pub channel_id: Id,
    /// Who made it.
    pub inviter: User,
    /// When, as [`iso`] writes it.
    pub created_at: String,
    /// Seconds it is good for; 0 for ever.
    pub max_age: u32,
    /// How often it may be used; 0 without limit.
    pub max_uses: u32,
    /// How often it was.
    pub uses: u32,
    /// Whether members who leave lose their place.
    #[serde(default)]
    pub temporary: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emoji_are_told_from_words() {
        for good in [
            "👍",
            "👍🏽",
            "❤️",
            "❤",
            "✅",
            "✔",
            "1️⃣",
            "#️⃣",
            "👨‍👩‍👧‍👦",
            "🇩🇪",
            "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
            "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
            "©",
            "™️",
            "ℹ️",
            "🅰️",
            "㊙️",
        ] {
            assert!(Emoji::is_one(good), "{good}");
        }
        for bad in [
            "", "a", "1", "name:123", "👍a", "👍 ", " ", "\n", "\0", "\u{7}", "é", "ä", "日", "€", "—",
            "\u{FE0F}", "\u{200D}",
        ] {
            assert!(!Emoji::is_one(bad), "{bad}");
        }
        assert!(!Emoji::is_one(&"👍".repeat(20)));
    }

    #[test]
    fn moments_are_written_with_microseconds_and_an_offset() {
        assert_eq!(iso(Wall(1_704_067_200_000)), "2024-01-01T00:00:00.000000+00:00");
    }
}
