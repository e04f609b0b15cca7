//! Channels of guilds and their exceptions.

use super::guilds::patch;
use super::{Context, Hint, Plan, Row, event, need_in_channel, need_in_guild, too_many};
use crate::command::{ChannelFields, Patch};
use crate::event::{Audience, Event, Kind};
use crate::id::Id;
use crate::model::{Channel, Invite, Overwrite};
use crate::permissions::Permissions;
use crate::refusal::Refusal;
use crate::state::GuildState;

/// A new channel.
///
/// # Errors
/// Not allowed, too many, or fields that do not fit.
pub fn create(state: &GuildState, cx: &mut Context<'_>, fields: ChannelFields) -> Result<Plan, Refusal> {
    let rights = need_in_guild(state, cx.actor, Permissions::MANAGE_CHANNELS)?;
    if state.channels.len() >= cx.limits.channels_max {
        return Err(too_many("guild channels", cx.limits.channels_max));
    }
    let kind = fields.kind.unwrap_or(Channel::TEXT);
    if ![Channel::TEXT, Channel::VOICE, Channel::CATEGORY].contains(&kind) {
        return Err(Refusal::field("type", "BASE_TYPE_CHOICES", "Value must be one of {0, 2, 4}."));
    }
    if fields.name.is_none() {
        return Err(Refusal::field("name", "BASE_TYPE_REQUIRED", "This field is required"));
    }
    let guild = state.guild.id;
    let last = state.channels.values().map(|c| c.position).max();
    let mut channel = Channel {
        id: (cx.ids)(),
        kind,
        guild_id: Some(guild),
        name: None,
        topic: None,
        position: last.map_or(0, |p| p.saturating_add(1)),
        parent_id: None,
        nsfw: false,
        rate_limit_per_user: 0,
        permission_overwrites: Vec::new(),
        last_message_id: None,
        recipients: Vec::new(),
    };
    set(&mut channel, state, cx, rights, fields)?;
    let told = told(state, cx, Kind::ChannelCreate, &channel);
    let id = channel.id;
    let mut plan = Plan::new(vec![Row::Channel(guild, channel.clone())], vec![told], &channel);
    plan.hints = vec![Hint::Channel(id, guild)];
    Ok(plan)
}

/// Changes a channel.
///
/// # Errors
/// Not seen, not allowed, or fields that do not fit.
pub fn update(
    state: &GuildState,
    cx: &mut Context<'_>,
    id: Id,
    fields: ChannelFields,
) -> Result<Plan, Refusal> {
    let (found, rights) = need_in_channel(state, cx.actor, id, Permissions::MANAGE_CHANNELS)?;
    let mut channel = found.clone();
    set(&mut channel, state, cx, rights, fields)?;
    Ok(changed(state, cx, found, channel))
}

/// Deletes a channel and what leads to it. Channels of a category stay, without it.
///
/// # Errors
/// Not seen or not allowed.
pub fn delete(state: &GuildState, cx: &mut Context<'_>, id: Id, invites: &[Invite]) -> Result<Plan, Refusal> {
    let (channel, _) = need_in_channel(state, cx.actor, id, Permissions::MANAGE_CHANNELS)?;
    let guild = state.guild.id;
    let mut rows = vec![Row::ChannelGone(guild, id)];
    let mut events = vec![told(state, cx, Kind::ChannelDelete, channel)];
    for child in state.channels.values().filter(|c| c.parent_id == Some(id)) {
        let child = Channel { parent_id: None, ..child.clone() };
        events.push(told(state, cx, Kind::ChannelUpdate, &child));
        rows.push(Row::Channel(guild, child));
    }
    if state.guild.system_channel_id == Some(id) {
        let mut settings = state.guild.clone();
        settings.system_channel_id = None;
        let shown = state.guild_json_with(settings.clone());
        events.push(event(Kind::GuildUpdate, Audience::Guild(guild), cx.actor, &shown));
        rows.push(Row::Guild(settings));
    }
    let codes = invites.iter().filter(|i| i.channel_id == id).map(|i| i.code.clone());
    // A guild has more invites than one commit takes rows; what stays leads nowhere and is refused as unknown.
    rows.extend(codes.take(INVITES_WITH_CHANNEL_MAX).map(|code| Row::InviteGone(guild, code)));
    let mut plan = Plan::new(rows, events, channel);
    plan.stale = vec![Hint::Channel(id, guild)];
    Ok(plan)
}

/// Invites that go with their channel in the same commit.
const INVITES_WITH_CHANNEL_MAX: usize = 256;

/// Sets one exception.
///
/// # Errors
/// Not seen, not allowed, or no such role.
pub fn set_overwrite(
    state: &GuildState,
    cx: &mut Context<'_>,
    id: Id,
    overwrite: Overwrite,
) -> Result<Plan, Refusal> {
    let (found, rights) = need_in_channel(state, cx.actor, id, Permissions::MANAGE_ROLES)?;
    let mut next = found.permission_overwrites.clone();
    next.retain(|o| o.id != overwrite.id);
    next.push(overwrite);
    check_overwrites(state, cx, rights, &found.permission_overwrites, &next)?;
    let channel = Channel { permission_overwrites: next, ..found.clone() };
    Ok(silent(changed(state, cx, found, channel)))
}

/// Takes one exception away; none is there: nothing happens.
///
/// # Errors
/// Not seen or not allowed.
pub fn delete_overwrite(
    state: &GuildState,
    cx: &mut Context<'_>,
    id: Id,
    target: Id,
) -> Result<Plan, Refusal> {
    let (found, rights) = need_in_channel(state, cx.actor, id, Permissions::MANAGE_ROLES)?;
    let mut next = found.permission_overwrites.clone();
    next.retain(|o| o.id != target);
    check_overwrites(state, cx, rights, &found.permission_overwrites, &next)?;
    let channel = Channel { permission_overwrites: next, ..found.clone() };
    Ok(silent(changed(state, cx, found, channel)))
}

/// The same, answered with nothing.
pub(super) fn silent(plan: Plan) -> Plan {
    Plan { reply: super::raw(&()), ..plan }
}

fn changed(state: &GuildState, cx: &Context<'_>, before: &Channel, channel: Channel) -> Plan {
    if *before == channel {
        return Plan::nothing(&channel);
    }
    let told = told(state, cx, Kind::ChannelUpdate, &channel);
    Plan::new(vec![Row::Channel(state.guild.id, channel.clone())], vec![told], &channel)
}

fn told(state: &GuildState, cx: &Context<'_>, t: Kind, channel: &Channel) -> Event {
    event(t, Audience::Channel { guild: state.guild.id, channel: channel.id }, cx.actor, channel)
}

fn set(
    channel: &mut Channel,
    state: &GuildState,
    cx: &Context<'_>,
    rights: Permissions,
    fields: ChannelFields,
) -> Result<(), Refusal> {
    if let Some(name) = fields.name {
        channel.name = Some(name);
    }
    patch(&mut channel.topic, fields.topic);
    if let Patch::Set(parent) = fields.parent_id {
        let is_category = state.channels.get(&parent).is_some_and(|c| c.kind == Channel::CATEGORY);
        if !is_category || channel.kind == Channel::CATEGORY {
            let what = "Category does not exist, or this channel cannot be in one";
            return Err(Refusal::field("parent_id", "CHANNEL_PARENT_INVALID", what));
        }
    }
    patch(&mut channel.parent_id, fields.parent_id);
    channel.position = fields.position.unwrap_or(channel.position);
    channel.nsfw = fields.nsfw.unwrap_or(channel.nsfw);
    channel.rate_limit_per_user = fields.rate_limit_per_user.unwrap_or(channel.rate_limit_per_user);
    if let Some(next) = fields.permission_overwrites
        && next != channel.permission_overwrites
    {
        if !rights.has(Permissions::MANAGE_ROLES) {
            return Err(Refusal::MissingPermissions);
        }
        check_overwrites(state, cx, rights, &channel.permission_overwrites, &next)?;
        channel.permission_overwrites = next;
    }
    Ok(())
}

/// Only bits one has oneself may be given or taken, and only to roles that exist. A member may have left: its
/// exception waits for it.
fn check_overwrites(
    state: &GuildState,
    cx: &Context<'_>,
    rights: Permissions,
    before: &[Overwrite],
    next: &[Overwrite],
) -> Result<(), Refusal> {
    if next.len() > cx.limits.overwrites_max {
        return Err(too_many("permission overwrites", cx.limits.overwrites_max));
    }
    for o in next {
        if next.iter().filter(|other| other.id == o.id).count() > 1 {
            let what = "One target appears more than once";
            return Err(Refusal::field("permission_overwrites", "OVERWRITE_TARGET_REPEATED", what));
        }
        if o.kind == Overwrite::ROLE && !state.roles.contains_key(&o.id) {
            return Err(Refusal::UnknownRole);
        }
    }
    let of = |set: &[Overwrite], id: Id| {
        let found = set.iter().find(|o| o.id == id);
        found.map_or((Permissions::NONE, Permissions::NONE), |o| (o.allow, o.deny))
    };
    for id in before.iter().chain(next).map(|o| o.id) {
        let ((allow, deny), (allows, denies)) = (of(before, id), of(next, id));
        let touched = Permissions(allow.0 ^ allows.0 | deny.0 ^ denies.0);
        if !rights.has(touched) {
            return Err(Refusal::MissingPermissions);
        }
    }
    Ok(())
}
