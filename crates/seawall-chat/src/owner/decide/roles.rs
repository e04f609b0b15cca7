//! Roles: made, changed and given only by who ranks above them, with no more than it may itself.

use std::cmp::Reverse;

use serde_json::json;

use super::{Context, Plan, Row, event, need_in_guild, too_many};
use crate::command::RoleFields;
use crate::event::{Audience, Kind};
use crate::id::Id;
use crate::model::Role;
use crate::permissions::Permissions;
use crate::refusal::Refusal;
use crate::state::{GuildState, role_json, role_rank};

/// A new role, just above `@everyone`.
///
/// # Errors
/// Not allowed, too many, or more than the one who asks may.
pub fn create(state: &GuildState, cx: &mut Context<'_>, fields: RoleFields) -> Result<Plan, Refusal> {
    let rights = need_in_guild(state, cx.actor, Permissions::MANAGE_ROLES)?;
    if state.roles.len() >= cx.limits.roles_max {
        return Err(too_many("guild roles", cx.limits.roles_max));
    }
    let guild = state.guild.id;
    let everyone = state.roles.get(&guild).map_or(Permissions::NONE, |r| r.permissions);
    let mut role = Role {
        id: (cx.ids)(),
        name: "new role".to_owned(),
        color: 0,
        hoist: false,
        position: 1,
        // By default what everyone may, as far as the one who asks may it.
        permissions: Permissions(everyone.0 & rights.0),
        mentionable: false,
    };
    if fields.permissions.is_some_and(|asked| !rights.has(asked)) {
        return Err(Refusal::MissingPermissions);
    }
    set(&mut role, fields);
    check_position(state, cx, &role)?;
    let d = json!({ "guild_id": guild, "role": role_json(&role) });
    let told = event(Kind::RoleCreate, Audience::Guild(guild), cx.actor, &d);
    let shown = role_json(&role);
    Ok(Plan::new(vec![Row::Role(guild, role)], vec![told], &shown))
}

/// Changes a role. Of `@everyone` only what it allows.
///
/// # Errors
/// Not allowed, not below the one who asks, or no such role.
pub fn update(state: &GuildState, cx: &mut Context<'_>, id: Id, fields: RoleFields) -> Result<Plan, Refusal> {
    let rights = need_in_guild(state, cx.actor, Permissions::MANAGE_ROLES)?;
    let found = state.roles.get(&id).ok_or(Refusal::UnknownRole)?;
    let guild = state.guild.id;
    if id != guild {
        check_below(state, cx.actor, found)?;
    }
    let mut role = found.clone();
    if id == guild {
        role.permissions = fields.permissions.unwrap_or(role.permissions);
    } else {
        set(&mut role, fields);
        if role.position != found.position {
            check_position(state, cx, &role)?;
        }
    }
    if !rights.has(Permissions(role.permissions.0 ^ found.permissions.0)) {
        return Err(Refusal::MissingPermissions);
    }
    let shown = role_json(&role);
    if role == *found {
        return Ok(Plan::nothing(&shown));
    }
    let d = json!({ "guild_id": guild, "role": shown });
    let told = event(Kind::RoleUpdate, Audience::Guild(guild), cx.actor, &d);
    Ok(Plan::new(vec![Row::Role(guild, role)], vec![told], &shown))
}

/// Deletes a role. Members and channels that name it forget it when they hear of it.
///
/// # Errors
/// Not allowed, not below the one who asks, `@everyone`, or no such role.
pub fn delete(state: &GuildState, cx: &mut Context<'_>, id: Id) -> Result<Plan, Refusal> {
    need_in_guild(state, cx.actor, Permissions::MANAGE_ROLES)?;
    let found = state.roles.get(&id).ok_or(Refusal::UnknownRole)?;
    let guild = state.guild.id;
    if id == guild {
        return Err(Refusal::MissingPermissions);
    }
    check_below(state, cx.actor, found)?;
    let d = json!({ "guild_id": guild, "role_id": id });
    let told = event(Kind::RoleDelete, Audience::Guild(guild), cx.actor, &d);
    Ok(Plan::new(vec![Row::RoleGone(guild, id)], vec![told], &()))
}

/// Only what ranks below one's own highest role is one's to manage.
///
/// # Errors
/// It does not.
pub fn check_below(state: &GuildState, actor: Option<Id>, role: &Role) -> Result<(), Refusal> {
    let is_below = actor.is_none_or(|actor| role_rank(role) < state.rank(actor));
    if is_below { Ok(()) } else { Err(Refusal::MissingPermissions) }
}

fn check_position(state: &GuildState, cx: &Context<'_>, role: &Role) -> Result<(), Refusal> {
    if role.position < 1 {
        return Err(Refusal::field("position", "NUMBER_TYPE_MIN", "Value should be 1 or more."));
    }
    // Compared as the newest of its position: a tie with one's own highest role would be decided by age.
    let rank = (role.position, Reverse(role.id));
    let is_below = cx.actor.is_none_or(|actor| rank < state.rank(actor));
    if is_below { Ok(()) } else { Err(Refusal::MissingPermissions) }
}

fn set(role: &mut Role, fields: RoleFields) {
    role.name = fields.name.unwrap_or_else(|| std::mem::take(&mut role.name));
    role.color = fields.color.unwrap_or(role.color);
    role.hoist = fields.hoist.unwrap_or(role.hoist);
    role.permissions = fields.permissions.unwrap_or(role.permissions);
    role.mentionable = fields.mentionable.unwrap_or(role.mentionable);
    role.position = fields.position.unwrap_or(role.position);
}
