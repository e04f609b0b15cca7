//! Who is in a guild, under which name, with which roles, and who may not come back.

use serde_json::{Value, json};

use super::guilds::{joining, patch};
use super::roles::check_below;
use super::{Context, Hint, Plan, Row, event, extended, guild_rights, need_in_guild, ranks_above, too_many};
use crate::command::Patch;
use crate::event::{Audience, Event, Kind};
use crate::id::Id;
use crate::model::{Member, User};
use crate::permissions::Permissions;
use crate::refusal::Refusal;
use crate::state::GuildState;

/// A member as its events show it.
#[must_use]
pub fn member_json(guild: Id, member: &Member) -> Value {
    extended(member, json!({ "guild_id": guild }))
}

/// A member as messages and reactions carry it: whoever reads them knows the user already.
#[must_use]
pub fn without_user(member: &Member) -> Value {
    let mut shown = extended(member, json!({}));
    if let Value::Object(fields) = &mut shown {
        fields.remove("user");
    }
    shown
}

/// Adds a user without asking it: the operator's right. Who is in already stays as it is.
///
/// # Errors
/// Not the operator, or too many.
pub fn add(state: &GuildState, cx: &mut Context<'_>, user: User, guilds: usize) -> Result<Plan, Refusal> {
    guild_rights(state, cx.actor)?;
    if cx.actor.is_some() {
        return Err(Refusal::MissingPermissions);
    }
    join(state, cx, user, guilds)
}

/// A user becomes a member. `guilds` is how many it is in.
///
/// # Errors
/// Too many members, or too many guilds.
pub(super) fn join(
    state: &GuildState,
    cx: &mut Context<'_>,
    user: User,
    guilds: usize,
) -> Result<Plan, Refusal> {
    let guild = state.guild.id;
    if let Some(member) = state.members.get(&user.id) {
        return Ok(Plan::nothing(member));
    }
    if guilds >= cx.limits.guilds_max {
        return Err(too_many("guilds", cx.limits.guilds_max));
    }
    if state.members.len() >= cx.limits.members_max {
        return Err(too_many("guild members", cx.limits.members_max));
    }
    let member = joining(user, cx);
    let id = member.user.id;
    let told = event(Kind::MemberAdd, Audience::Guild(guild), Some(id), &member_json(guild, &member));
    let mut plan = Plan::new(vec![Row::Member(guild, member.clone())], vec![told], &member);
    plan.hints = vec![Hint::Guild(id, guild)];
    Ok(plan)
}

/// Changes a member's nick or its roles.
///
/// # Errors
/// Not allowed, not below the one who asks, or no such member or role.
pub fn update(
    state: &GuildState,
    cx: &mut Context<'_>,
    user: Id,
    nick: Patch<String>,
    roles: Option<Vec<Id>>,
) -> Result<Plan, Refusal> {
    let rights = guild_rights(state, cx.actor)?;
    let found = state.members.get(&user).ok_or(Refusal::UnknownMember)?;
    let mut member = found.clone();
    if nick != Patch::Keep {
        let is_self = cx.actor == Some(user);
        let needed = if is_self { Permissions::CHANGE_NICK } else { Permissions::MANAGE_NICKS };
        let is_allowed = rights.has(needed) || is_self && rights.has(Permissions::MANAGE_NICKS);
        if !is_allowed || !is_self && !ranks_above(state, cx.actor, user) {
            return Err(Refusal::MissingPermissions);
        }
        patch(&mut member.nick, nick);
        member.nick = member.nick.filter(|nick| !nick.is_empty());
    }
    if let Some(mut roles) = roles {
        roles.sort_unstable();
        roles.dedup();
        let touched = roles.iter().filter(|r| !found.roles.contains(r));
        let touched = touched.chain(found.roles.iter().filter(|r| !roles.contains(r)));
        for role in touched {
            check_gift(state, cx.actor, rights, *role)?;
        }
        member.roles = roles;
    }
    Ok(changed(state, cx, found, member))
}

/// Gives a role or takes it.
///
/// # Errors
/// Not allowed, the role is not below the one who asks, or no such member or role.
pub fn set_role(
    state: &GuildState,
    cx: &mut Context<'_>,
    user: Id,
    role: Id,
    has: bool,
) -> Result<Plan, Refusal> {
    let rights = guild_rights(state, cx.actor)?;
    check_gift(state, cx.actor, rights, role)?;
    let found = state.members.get(&user).ok_or(Refusal::UnknownMember)?;
    let mut member = found.clone();
    member.roles.retain(|r| *r != role);
    if has {
        member.roles.push(role);
        member.roles.sort_unstable();
    }
    Ok(super::channels::silent(changed(state, cx, found, member)))
}

fn check_gift(state: &GuildState, actor: Option<Id>, rights: Permissions, role: Id) -> Result<(), Refusal> {
    if !rights.has(Permissions::MANAGE_ROLES) {
        return Err(Refusal::MissingPermissions);
    }
    let found = state.roles.get(&role).ok_or(Refusal::UnknownRole)?;
    // Everyone has it, and nobody loses it.
    if role == state.guild.id {
        return Err(Refusal::UnknownRole);
    }
    check_below(state, actor, found)
}

fn changed(state: &GuildState, cx: &Context<'_>, before: &Member, member: Member) -> Plan {
    if *before == member {
        return Plan::nothing(&member);
    }
    let told = updated(state.guild.id, cx.actor, &member);
    Plan::new(vec![Row::Member(state.guild.id, member.clone())], vec![told], &member)
}

fn updated(guild: Id, author: Option<Id>, member: &Member) -> Event {
    event(Kind::MemberUpdate, Audience::Guild(guild), author, &member_json(guild, member))
}

/// A member's user has another profile.
///
/// # Errors
/// It is no member any more.
pub fn profile(state: &GuildState, cx: &mut Context<'_>, user: User) -> Result<Plan, Refusal> {
    let found = state.members.get(&user.id).ok_or(Refusal::UnknownMember)?;
    let member = Member { user, ..found.clone() };
    Ok(changed(state, cx, found, member))
}

/// Removes a member, or lets it leave. The owner cannot leave what is its own.
///
/// # Errors
/// Not allowed, not below the one who asks, or no such member.
pub fn remove(state: &GuildState, cx: &mut Context<'_>, user: Id) -> Result<Plan, Refusal> {
    let is_self = cx.actor == Some(user);
    let needed = if is_self { Permissions::NONE } else { Permissions::KICK_MEMBERS };
    need_in_guild(state, cx.actor, needed)?;
    let found = state.members.get(&user).ok_or(Refusal::UnknownMember)?;
    if state.guild.owner_id == user || !is_self && !ranks_above(state, cx.actor, user) {
        return Err(Refusal::MissingPermissions);
    }
    let mut plan = Plan::new(vec![Row::MemberGone(state.guild.id, user)], vec![gone(state, cx, found)], &());
    plan.stale = vec![Hint::Guild(user, state.guild.id)];
    Ok(plan)
}

fn gone(state: &GuildState, cx: &Context<'_>, member: &Member) -> Event {
    let guild = state.guild.id;
    let d = json!({ "guild_id": guild, "user": member.user });
    event(Kind::MemberRemove, Audience::Guild(guild), cx.actor, &d)
}

/// Bans a user, whether it is a member or not. What it said lately goes, as far as `said` (channel, message) lists it.
///
/// # Errors
/// Not allowed, or not below the one who asks.
pub fn ban(state: &GuildState, cx: &mut Context<'_>, user: User, said: &[(Id, Id)]) -> Result<Plan, Refusal> {
    need_in_guild(state, cx.actor, Permissions::BAN_MEMBERS)?;
    let (guild, id) = (state.guild.id, user.id);
    if state.guild.owner_id == id || cx.actor == Some(id) || !ranks_above(state, cx.actor, id) {
        return Err(Refusal::MissingPermissions);
    }
    let d = json!({ "guild_id": guild, "user": user });
    let mut rows = vec![Row::Ban(guild, user)];
    let mut events = vec![event(Kind::BanAdd, Audience::Guild(guild), cx.actor, &d)];
    let mut stale = Vec::new();
    if let Some(member) = state.members.get(&id) {
        rows.push(Row::MemberGone(guild, id));
        events.push(gone(state, cx, member));
        stale.push(Hint::Guild(id, guild));
    }
    for channel in state.channels.keys() {
        let ids = said.iter().filter(|(c, _)| c == channel).map(|(_, message)| *message).collect::<Vec<_>>();
        if !ids.is_empty() {
            events.push(super::messages::bulk_gone(guild, *channel, cx.actor, &ids));
        }
        rows.extend(ids.into_iter().map(|message| Row::MessageGone(*channel, message)));
    }
    Ok(Plan { stale, ..Plan::new(rows, events, &()) })
}

/// Takes a ban back.
///
/// # Errors
/// Not allowed, or not banned.
pub fn unban(state: &GuildState, cx: &mut Context<'_>, banned: Option<User>) -> Result<Plan, Refusal> {
    need_in_guild(state, cx.actor, Permissions::BAN_MEMBERS)?;
    let user = banned.ok_or(Refusal::UnknownBan)?;
    let guild = state.guild.id;
    let d = json!({ "guild_id": guild, "user": user });
    let told = event(Kind::BanRemove, Audience::Guild(guild), cx.actor, &d);
    Ok(Plan::new(vec![Row::BanGone(guild, user.id)], vec![told], &()))
}
