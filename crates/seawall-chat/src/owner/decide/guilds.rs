//! Guilds as a whole.

use serde_json::json;

use super::{Context, Hint, Plan, Row, event, guild_rights, need_in_guild};
use crate::command::Patch;
use crate::event::{Audience, Kind};
use crate::id::Id;
use crate::model::{Channel, Guild, Member, Role, User, iso};
use crate::owner::decide::members::member_json;
use crate::permissions::Permissions;
use crate::refusal::Refusal;
use crate::state::GuildState;

/// A new guild with `@everyone`, a channel `general`, and its owner as its only member. Gateways make GUILD_CREATE
/// of the event that tells of the owner's joining, as for everyone who joins.
#[must_use]
pub fn create(cx: &mut Context<'_>, name: String, owner: User) -> Plan {
    let id = (cx.ids)();
    let channel = Channel {
        id: (cx.ids)(),
        kind: Channel::TEXT,
        guild_id: Some(id),
        name: Some("general".to_owned()),
        topic: None,
        position: 0,
        parent_id: None,
        nsfw: false,
        rate_limit_per_user: 0,
        permission_overwrites: Vec::new(),
        last_message_id: None,
        recipients: Vec::new(),
    };
    let everyone = Role {
        id,
        name: "@everyone".to_owned(),
        color: 0,
        hoist: false,
        position: 0,
        permissions: Permissions::EVERYONE,
        mentionable: false,
    };
    let member = joining(owner, cx);
    let owner = member.user.id;
    let guild = Guild {
        id,
        name,
        icon: None,
        owner_id: owner,
        description: None,
        system_channel_id: Some(channel.id),
    };
    let state = GuildState {
        guild: guild.clone(),
        roles: [(id, everyone.clone())].into(),
        channels: [(channel.id, channel.clone())].into(),
        members: [(owner, member.clone())].into(),
    };
    let rows = vec![
        Row::GuildNew(guild),
        Row::Role(id, everyone),
        Row::Channel(id, channel.clone()),
        Row::Member(id, member.clone()),
    ];
    let told = event(Kind::MemberAdd, Audience::Guild(id), Some(owner), &member_json(id, &member));
    let mut plan = Plan::new(rows, vec![told], &state.guild_create(owner, &[&member], &[], false));
    plan.hints = vec![Hint::Channel(channel.id, id), Hint::Guild(owner, id)];
    plan
}

/// Somebody who becomes a member now.
#[must_use]
pub fn joining(user: User, cx: &Context<'_>) -> Member {
    Member { user, nick: None, roles: Vec::new(), joined_at: iso(cx.now), deaf: false, mute: false, flags: 0 }
}

/// What is wished for a guild.
#[derive(Debug, Default)]
pub struct Change {
    /// New name.
    pub name: Option<String>,
    /// New description.
    pub description: Patch<String>,
    /// New channel for news of members.
    pub system_channel_id: Patch<Id>,
    /// New owner.
    pub owner_id: Option<Id>,
}

/// Changes a guild.
///
/// # Errors
/// Not allowed, or the channel or the new owner is not there.
pub fn update(state: &GuildState, cx: &mut Context<'_>, change: Change) -> Result<Plan, Refusal> {
    need_in_guild(state, cx.actor, Permissions::MANAGE_GUILD)?;
    let mut next = state.clone_settings();
    if let Some(owner) = change.owner_id.filter(|owner| *owner != state.guild.owner_id) {
        if cx.actor.is_some_and(|actor| actor != state.guild.owner_id) {
            return Err(Refusal::MissingPermissions);
        }
        if !state.members.contains_key(&owner) {
            return Err(Refusal::UnknownMember);
        }
        next.guild.owner_id = owner;
    }
    if let Some(name) = change.name {
        next.guild.name = name;
    }
    patch(&mut next.guild.description, change.description);
    if let Patch::Set(channel) = change.system_channel_id {
        let is_text = state.channels.get(&channel).is_some_and(|c| c.kind == Channel::TEXT);
        if !is_text {
            let what = "Must be a text channel of this guild.";
            return Err(Refusal::field("system_channel_id", "CHANNEL_TYPE_INVALID", what));
        }
    }
    patch(&mut next.guild.system_channel_id, change.system_channel_id);
    if next.guild == state.guild {
        return Ok(Plan::nothing(&next.guild_json()));
    }
    let shown = next.guild_json();
    let told = event(Kind::GuildUpdate, Audience::Guild(next.guild.id), cx.actor, &shown);
    Ok(Plan::new(vec![Row::Guild(next.guild)], vec![told], &shown))
}

/// What becomes of an optional field.
pub(super) fn patch<T>(field: &mut Option<T>, patch: Patch<T>) {
    match patch {
        Patch::Keep => {}
        Patch::Clear => *field = None,
        Patch::Set(value) => *field = Some(value),
    }
}

/// Deletes a guild.
///
/// # Errors
/// Not its owner.
pub fn delete(state: &GuildState, cx: &mut Context<'_>) -> Result<Plan, Refusal> {
    guild_rights(state, cx.actor)?;
    let id = state.guild.id;
    if cx.actor.is_some_and(|actor| actor != state.guild.owner_id) {
        return Err(Refusal::MissingPermissions);
    }
    let told = event(Kind::GuildDelete, Audience::Guild(id), cx.actor, &json!({ "id": id }));
    let mut plan = Plan::new(vec![Row::GuildGone(id)], vec![told], &());
    plan.stale = state.members.keys().map(|user| Hint::Guild(*user, id)).collect();
    plan.stale.extend(state.channels.keys().map(|channel| Hint::Channel(*channel, id)));
    Ok(plan)
}

impl GuildState {
    /// What [`GuildState::guild_json`] needs, without members and channels, of which there may be many.
    fn clone_settings(&self) -> GuildState {
        GuildState {
            guild: self.guild.clone(),
            roles: self.roles.clone(),
            channels: Default::default(),
            members: Default::default(),
        }
    }

    /// The guild as it would be shown with these settings.
    pub(super) fn guild_json_with(&self, guild: Guild) -> serde_json::Value {
        GuildState { guild, ..self.clone_settings() }.guild_json()
    }
}
