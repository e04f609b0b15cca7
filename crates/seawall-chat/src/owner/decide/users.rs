//! Users and their direct messages.

use crate::command::Patch;
use crate::event::{Audience, Event, Kind};
use crate::id::Id;
use crate::model::{Channel, User};
use crate::refusal::Refusal;
use crate::state::self_json;

use super::event;
use super::guilds::patch;

/// Only the operator makes users and hands out tokens.
///
/// # Errors
/// Somebody else asks.
pub fn need_operator(actor: Option<Id>) -> Result<(), Refusal> {
    if actor.is_none() { Ok(()) } else { Err(Refusal::MissingPermissions) }
}

/// A new user.
#[must_use]
pub fn create(id: Id, username: String, global_name: Option<String>, bot: bool) -> User {
    User {
        id,
        username,
        discriminator: "0".to_owned(),
        global_name,
        avatar: None,
        bot,
        public_flags: 0,
        flags: 0,
    }
}

/// The name is somebody else's.
#[must_use]
pub fn taken() -> Refusal {
    Refusal::field("username", "USERNAME_ALREADY_TAKEN", "This username is already taken.")
}

/// A user with another profile.
#[must_use]
pub fn update(before: &User, username: Option<String>, global_name: Patch<String>) -> User {
    let mut user = before.clone();
    user.username = username.unwrap_or(user.username);
    patch(&mut user.global_name, global_name);
    user
}

/// The event of a changed profile, for the user itself.
#[must_use]
pub fn updated(user: &User) -> Event {
    event(Kind::UserUpdate, Audience::Users(vec![user.id]), Some(user.id), &self_json(user))
}

/// Whether two may talk alone.
///
/// # Errors
/// They are one, or both are programs.
pub fn check_pair(actor: &User, other: &User) -> Result<(), Refusal> {
    let is_refused = actor.id == other.id || actor.bot && other.bot;
    if is_refused { Err(Refusal::CannotMessageUser) } else { Ok(()) }
}

/// A new direct message of two.
#[must_use]
pub fn direct(id: Id, a: User, b: User) -> Channel {
    Channel {
        id,
        kind: Channel::DM,
        guild_id: None,
        name: None,
        topic: None,
        position: 0,
        parent_id: None,
        nsfw: false,
        rate_limit_per_user: 0,
        permission_overwrites: Vec::new(),
        last_message_id: None,
        recipients: vec![a, b],
    }
}

/// A direct message as one of the two sees it: without itself.
#[must_use]
pub fn seen_by(channel: &Channel, user: Id) -> Channel {
    let mut seen = channel.clone();
    seen.recipients.retain(|r| r.id != user);
    seen
}

/// The events of a new direct message, one for each of the two.
#[must_use]
pub fn opened(channel: &Channel) -> Vec<Event> {
    let of =
        |user: Id| event(Kind::ChannelCreate, Audience::Users(vec![user]), None, &seen_by(channel, user));
    channel.recipients.iter().map(|r| of(r.id)).collect()
}
