//! Ways into a guild.

use serde_json::{Value, json};

use seawall_policy::Wall;

use super::{Context, Hint, Plan, Row, event, extended, members, need_in_channel, too_many};
use crate::event::{Audience, Kind};
use crate::id::Id;
use crate::model::{Channel, Invite, User, iso};
use crate::permissions::Permissions;
use crate::refusal::Refusal;
use crate::state::GuildState;

/// What is wished for an invite.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Which channel it leads to.
    pub channel: Id,
    /// Seconds it is good for; 0 for ever.
    pub max_age: u32,
    /// Uses; 0 without limit.
    pub max_uses: u32,
    /// Another one even if an equal one exists.
    pub unique: bool,
}

/// A new invite, or an equal one of the same user that exists.
///
/// # Errors
/// Not seen, not allowed, not a place to be invited to, or too many.
pub fn create(
    state: &GuildState,
    cx: &mut Context<'_>,
    wish: Wish,
    inviter: User,
    existing: &[Invite],
    code: String,
) -> Result<Plan, Refusal> {
    let (channel, _) = need_in_channel(state, cx.actor, wish.channel, Permissions::CREATE_INVITE)?;
    if channel.kind == Channel::CATEGORY {
        return Err(Refusal::WrongChannelType);
    }
    let is_equal = |i: &&Invite| {
        i.uses == 0
            && (i.channel_id, i.inviter.id) == (wish.channel, inviter.id)
            && (i.max_age, i.max_uses) == (wish.max_age, wish.max_uses)
    };
    if let Some(equal) = existing.iter().find(is_equal).filter(|_| !wish.unique) {
        return Ok(Plan::nothing(&invite_json(state, equal)));
    }
    if existing.len() >= cx.limits.invites_max {
        return Err(too_many("invites", cx.limits.invites_max));
    }
    let invite = Invite {
        code: code.clone(),
        guild_id: state.guild.id,
        channel_id: wish.channel,
        inviter,
        created_at: iso(cx.now),
        max_age: wish.max_age,
        max_uses: wish.max_uses,
        uses: 0,
        temporary: false,
    };
    let shown = invite_json(state, &invite);
    let to = Audience::Channel { guild: state.guild.id, channel: wish.channel };
    let d = extended(&invite, json!({ "expires_at": expires(cx.now, wish.max_age) }));
    let told = event(Kind::InviteCreate, to, cx.actor, &d);
    let mut plan = Plan::new(vec![Row::Invite(invite)], vec![told], &shown);
    plan.hints = vec![Hint::Invite(code, state.guild.id)];
    Ok(plan)
}

fn expires(from: Wall, max_age: u32) -> Option<String> {
    (max_age > 0).then(|| iso(Wall(from.0.saturating_add(i64::from(max_age) * 1000))))
}

/// Takes an invite back.
///
/// # Errors
/// None there, or not allowed.
pub fn delete(state: &GuildState, cx: &mut Context<'_>, found: Option<&Invite>) -> Result<Plan, Refusal> {
    let invite = found.ok_or(Refusal::UnknownInvite)?;
    let guild = state.guild.id;
    if let Some(actor) = cx.actor {
        if !state.members.contains_key(&actor) {
            return Err(Refusal::UnknownInvite);
        }
        let here = state.permissions_in(actor, invite.channel_id);
        let is_allowed =
            here.has(Permissions::MANAGE_CHANNELS) || state.permissions(actor).has(Permissions::MANAGE_GUILD);
        if !is_allowed {
            return Err(Refusal::MissingPermissions);
        }
    }
    let d = json!({ "guild_id": guild, "channel_id": invite.channel_id, "code": invite.code });
    let to = Audience::Channel { guild, channel: invite.channel_id };
    let told = event(Kind::InviteDelete, to, cx.actor, &d);
    let rows = vec![Row::InviteGone(guild, invite.code.clone())];
    let mut plan = Plan::new(rows, vec![told], &invite_json(state, invite));
    plan.stale = vec![Hint::Invite(invite.code.clone(), guild)];
    Ok(plan)
}

/// Joins by invite. Who is in already uses none.
///
/// # Errors
/// None there, banned, or too many. `found` is one that is still good.
pub fn accept(
    state: &GuildState,
    cx: &mut Context<'_>,
    found: Option<&Invite>,
    user: User,
    guilds: usize,
    is_banned: bool,
) -> Result<Plan, Refusal> {
    let invite = found.ok_or(Refusal::UnknownInvite)?;
    if !state.channels.contains_key(&invite.channel_id) {
        return Err(Refusal::UnknownInvite);
    }
    if is_banned {
        return Err(Refusal::Banned);
    }
    if state.members.contains_key(&user.id) {
        return Ok(Plan::nothing(&invite_json(state, invite)));
    }
    let mut plan = members::join(state, cx, user, guilds)?;
    let invite = Invite { uses: invite.uses.saturating_add(1), ..invite.clone() };
    plan.reply = super::raw(&invite_json(state, &invite));
    plan.rows.push(Row::InviteUsed(state.guild.id, invite.code));
    Ok(plan)
}

/// An invite as REST shows it: with its guild and channel in short.
#[must_use]
pub fn invite_json(state: &GuildState, invite: &Invite) -> Value {
    let channel = state.channels.get(&invite.channel_id);
    let channel = channel.map(|c| json!({ "id": c.id, "name": c.name, "type": c.kind }));
    let guild = &state.guild;
    extended(
        invite,
        json!({
            "type": 0,
            "guild": {
                "id": guild.id,
                "name": guild.name,
                "icon": guild.icon,
                "splash": null,
                "banner": null,
                "description": guild.description,
                "features": [],
                "verification_level": 0,
                "vanity_url_code": null,
                "nsfw_level": 0,
                "premium_subscription_count": 0,
            },
            "channel": channel,
            "approximate_member_count": state.members.len(),
        }),
    )
}
