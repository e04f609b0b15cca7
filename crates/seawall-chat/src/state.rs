//! A guild as a whole, as owner and gateways keep it in memory: a fold of its events.
//!
//! The owner decides by it and makes the events; each gateway follows with the same [`GuildState::apply`]. Applying
//! is setting and removing, never adding up, so an event that the state already contains does no harm.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::event::{Event, Kind};
use crate::id::Id;
use crate::model::{Channel, Guild, Member, Role, User};
use crate::permissions::{self, Permissions};

/// One guild.
#[derive(Debug, Clone)]
pub struct GuildState {
    /// Its settings.
    pub guild: Guild,
    /// Its roles; `@everyone` has the guild's id.
    pub roles: BTreeMap<Id, Role>,
    /// Its channels.
    pub channels: BTreeMap<Id, Channel>,
    /// Its members.
    pub members: HashMap<Id, Member>,
}

/// An event's payload does not have the fields its kind has.
#[derive(Debug, thiserror::Error)]
#[error("a {kind} event without its fields")]
pub struct Malformed {
    /// Its name.
    pub kind: &'static str,
    /// What is missing.
    #[source]
    pub source: serde_json::Error,
}

#[derive(Deserialize)]
struct OfRole {
    role: Role,
}
#[derive(Deserialize)]
struct RoleGone {
    role_id: Id,
}
#[derive(Deserialize)]
struct Gone {
    id: Id,
}
#[derive(Deserialize)]
struct MemberGone {
    user: Gone,
}
#[derive(Deserialize)]
struct Said {
    id: Id,
    channel_id: Id,
}

impl GuildState {
    /// Follows one event of this guild.
    ///
    /// # Errors
    /// The payload is not what its kind has; nothing is changed.
    pub fn apply(&mut self, event: &Event) -> Result<(), Malformed> {
        let raw = event.d.get();
        let bad = |source| Malformed { kind: event.t.name(), source };
        match event.t {
            Kind::GuildUpdate => self.guild = serde_json::from_str(raw).map_err(bad)?,
            Kind::RoleCreate | Kind::RoleUpdate => {
                let OfRole { role } = serde_json::from_str(raw).map_err(bad)?;
                self.roles.insert(role.id, role);
            }
            Kind::RoleDelete => {
                let RoleGone { role_id } = serde_json::from_str(raw).map_err(bad)?;
                self.roles.remove(&role_id);
                for member in self.members.values_mut() {
                    member.roles.retain(|r| *r != role_id);
                }
                for channel in self.channels.values_mut() {
                    channel.permission_overwrites.retain(|o| o.id != role_id);
                }
            }
            Kind::ChannelCreate | Kind::ChannelUpdate => {
                let channel: Channel = serde_json::from_str(raw).map_err(bad)?;
                self.channels.insert(channel.id, channel);
            }
            Kind::ChannelDelete => {
                let Gone { id } = serde_json::from_str(raw).map_err(bad)?;
                self.channels.remove(&id);
            }
            Kind::MemberAdd | Kind::MemberUpdate => {
                let member: Member = serde_json::from_str(raw).map_err(bad)?;
                self.members.insert(member.user.id, member);
            }
            Kind::MemberRemove => {
                let MemberGone { user } = serde_json::from_str(raw).map_err(bad)?;
                self.members.remove(&user.id);
            }
            Kind::MessageCreate => {
                let said: Said = serde_json::from_str(raw).map_err(bad)?;
                if let Some(channel) = self.channels.get_mut(&said.channel_id) {
                    channel.last_message_id = channel.last_message_id.max(Some(said.id));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What a member may in the guild as a whole; nothing for who is none.
    #[must_use]
    pub fn permissions(&self, user: Id) -> Permissions {
        let Some(member) = self.members.get(&user) else { return Permissions::NONE };
        if self.guild.owner_id == user {
            return Permissions::ALL;
        }
        let of = |id: &Id| self.roles.get(id).map_or(Permissions::NONE, |r| r.permissions);
        let all = member.roles.iter().map(of).fold(of(&self.guild.id), Permissions::with);
        if all.has(Permissions::ADMINISTRATOR) { Permissions::ALL } else { all }
    }

    /// What a member may in a channel; nothing where there is no such member or channel.
    #[must_use]
    pub fn permissions_in(&self, user: Id, channel: Id) -> Permissions {
        let (Some(member), Some(channel)) = (self.members.get(&user), self.channels.get(&channel)) else {
            return Permissions::NONE;
        };
        let base = self.permissions(user);
        permissions::in_channel(base, &channel.permission_overwrites, self.guild.id, &member.roles, user)
    }

    /// Whether a member may see a channel.
    #[must_use]
    pub fn sees(&self, user: Id, channel: Id) -> bool {
        self.permissions_in(user, channel).has(Permissions::VIEW_CHANNEL)
    }

    /// The channels a member may not see, in order; usually none. With them and the guild a session knows which
    /// events are its own.
    #[must_use]
    pub fn hidden_from(&self, user: Id) -> Arc<[Id]> {
        self.channels.keys().copied().filter(|c| !self.sees(user, *c)).collect()
    }

    /// The rank of a member's highest role (position, then the older id above the younger); the owner's is above
    /// all. Who manages others must rank above them.
    #[must_use]
    pub fn rank(&self, user: Id) -> (i64, std::cmp::Reverse<Id>) {
        if self.guild.owner_id == user {
            return (i64::MAX, std::cmp::Reverse(Id(0)));
        }
        let roles = self.members.get(&user).map_or(&[][..], |m| &m.roles);
        let ranks = roles.iter().filter_map(|id| self.roles.get(id)).map(role_rank);
        ranks.max().unwrap_or((0, std::cmp::Reverse(self.guild.id)))
    }

    /// The payload of GUILD_CREATE for one member: everything that strict deserialisers want, with these members and
    /// presences (all of them in small guilds, otherwise whoever the session is to know).
    #[must_use]
    pub fn guild_create(&self, user: Id, members: &[&Member], presences: &[Value], is_large: bool) -> Value {
        let joined = self.members.get(&user).map(|m| m.joined_at.clone());
        let mut d = self.guild_json();
        let more = json!({
            "joined_at": joined,
            "large": is_large,
            "unavailable": false,
            "member_count": self.members.len(),
            "voice_states": [],
            "members": members,
            "channels": self.channels.values().collect::<Vec<_>>(),
            "threads": [],
            "presences": presences,
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        });
        if let (Value::Object(d), Value::Object(more)) = (&mut d, more) {
            d.extend(more);
        }
        d
    }

    /// The guild as REST and GUILD_UPDATE show it: settings and roles, with every field strict readers want.
    #[must_use]
    pub fn guild_json(&self) -> Value {
        json!({
            "id": self.guild.id,
            "name": self.guild.name,
            "icon": self.guild.icon,
            "splash": null,
            "discovery_splash": null,
            "owner_id": self.guild.owner_id,
            "afk_channel_id": null,
            "afk_timeout": 300,
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "roles": self.roles.values().map(role_json).collect::<Vec<_>>(),
            "emojis": [],
            "features": [],
            "mfa_level": 0,
            "application_id": null,
            "system_channel_id": self.guild.system_channel_id,
            "system_channel_flags": 0,
            "rules_channel_id": null,
            "vanity_url_code": null,
            "description": self.guild.description,
            "banner": null,
            "premium_tier": 0,
            "premium_subscription_count": 0,
            "preferred_locale": "en-US",
            "public_updates_channel_id": null,
            "nsfw_level": 0,
            "premium_progress_bar_enabled": false,
            "stickers": [],
        })
    }
}

/// The rank of a role among others.
#[must_use]
pub fn role_rank(role: &Role) -> (i64, std::cmp::Reverse<Id>) {
    (role.position, std::cmp::Reverse(role.id))
}

/// A role with every field strict readers want.
#[must_use]
pub fn role_json(role: &Role) -> Value {
    json!({
        "id": role.id,
        "name": role.name,
        "color": role.color,
        "colors": { "primary_color": role.color, "secondary_color": null, "tertiary_color": null },
        "hoist": role.hoist,
        "icon": null,
        "unicode_emoji": null,
        "position": role.position,
        "permissions": role.permissions,
        "managed": false,
        "mentionable": role.mentionable,
        "flags": 0,
    })
}

/// One's own profile, as READY and `GET /users/@me` show it.
#[must_use]
pub fn self_json(user: &User) -> Value {
    json!({
        "id": user.id,
        "username": user.username,
        "discriminator": user.discriminator,
        "global_name": user.global_name,
        "avatar": user.avatar,
        "bot": user.bot,
        "mfa_enabled": false,
        "locale": "en-US",
        "verified": true,
        "email": null,
        "flags": user.flags,
        "public_flags": user.public_flags,
    })
}
