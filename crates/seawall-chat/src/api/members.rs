//! Who is in a guild.

use super::call::{Call, Reply};
use super::form::{Form, Text};
use super::rate::Bucket;
use super::{Answer, Table};
use crate::command::{Command, Patch};
use crate::id::Id;
use crate::model::Member;
use crate::refusal::Refusal;
use crate::state::GuildState;

/// Members on a page.
const LIMIT_MAX: i64 = 1000;
/// Characters of a nick.
const NICK_MAX: usize = 32;
/// Roles of one member.
const ROLES_MAX: usize = 250;

pub(super) fn add(table: &mut Table) {
    table.get("/guilds/{guild_id}/members", Bucket::Reads, list);
    table.get("/guilds/{guild_id}/members/search", Bucket::Reads, search);
    table.patch("/guilds/{guild_id}/members/@me", Bucket::Changes, change_me);
    table.patch("/guilds/{guild_id}/members/@me/nick", Bucket::Changes, change_me);
    table.get("/guilds/{guild_id}/members/{user_id}", Bucket::Reads, show);
    table.put("/guilds/{guild_id}/members/{user_id}", Bucket::Changes, add_member);
    table.patch("/guilds/{guild_id}/members/{user_id}", Bucket::Changes, change);
    table.delete("/guilds/{guild_id}/members/{user_id}", Bucket::Changes, remove);
    table.put("/guilds/{guild_id}/members/{user_id}/roles/{role_id}", Bucket::Changes, give_role);
    table.delete("/guilds/{guild_id}/members/{user_id}/roles/{role_id}", Bucket::Changes, take_role);
}

async fn list(call: Call) -> Answer {
    let limit = call.limit(1..=LIMIT_MAX, 1)?;
    let after = call.query_id("after")?.unwrap_or_default();
    let guild = call.guild().await?;
    guild.look(|g| page(g, limit, |m| m.user.id > after))
}

/// Those whose name or nick begins like this.
async fn search(call: Call) -> Answer {
    let limit = call.limit(1..=LIMIT_MAX, 1)?;
    let Some(query) = call.query("query").map(str::to_lowercase) else {
        return Err(Refusal::field("query", "BASE_TYPE_REQUIRED", "This field is required"));
    };
    let guild = call.guild().await?;
    let begins = |name: &str| name.to_lowercase().starts_with(&query);
    guild.look(|g| {
        page(g, limit, |m| {
            let shown = m.nick.as_deref().or(m.user.global_name.as_deref());
            begins(&m.user.username) || shown.is_some_and(begins)
        })
    })
}

/// The first so many by id.
fn page(guild: &GuildState, limit: usize, is_wanted: impl Fn(&Member) -> bool) -> Answer {
    let mut members: Vec<&Member> = guild.members.values().filter(|m| is_wanted(m)).collect();
    // A big guild need not be sorted for one page of it.
    if members.len() > limit {
        members.select_nth_unstable_by_key(limit, |m| m.user.id);
        members.truncate(limit);
    }
    members.sort_unstable_by_key(|m| m.user.id);
    Reply::of(&members)
}

async fn show(call: Call) -> Answer {
    let user = call.id("user_id")?;
    let member = call.guild().await?.look(|g| g.members.get(&user).cloned());
    Reply::of(&member.ok_or(Refusal::UnknownMember)?)
}

/// Discord's programs add users who let them; here users come by invite, and the owner refuses everyone else.
async fn add_member(call: Call) -> Answer {
    let user = call.id("user_id")?;
    let guild = call.id("guild_id")?;
    Ok(Reply::Created(call.submit(Command::AddMember { guild, user }).await?.body))
}

async fn change(mut call: Call) -> Answer {
    let user = call.id("user_id")?;
    let guild = call.id("guild_id")?;
    let mut form = call.form().await?;
    let roles = form.ids("roles", ROLES_MAX);
    let nick = nick(&mut form);
    form.finish()?;
    update(call, guild, user, nick, roles).await
}

async fn change_me(mut call: Call) -> Answer {
    let guild = call.id("guild_id")?;
    let mut form = call.form().await?;
    let nick = nick(&mut form);
    form.finish()?;
    let user = call.me.id;
    update(call, guild, user, nick, None).await
}

/// Muting, deafening and moving are of voice channels, and so without meaning here.
async fn update(call: Call, guild: Id, user: Id, nick: Patch<String>, roles: Option<Vec<Id>>) -> Answer {
    Ok(Reply::Raw(call.submit(Command::UpdateMember { guild, user, nick, roles }).await?.body))
}

/// An empty nick is none.
fn nick(form: &mut Form) -> Patch<String> {
    match form.patch("nick", |f| f.text("nick", 0..=NICK_MAX, Text::Line)) {
        Patch::Set(nick) if nick.is_empty() => Patch::Clear,
        other => other,
    }
}

async fn remove(call: Call) -> Answer {
    let user = call.id("user_id")?;
    let guild = call.id("guild_id")?;
    call.submit(Command::RemoveMember { guild, user }).await?;
    Ok(Reply::Empty)
}

async fn give_role(call: Call) -> Answer {
    set_role(call, true).await
}

async fn take_role(call: Call) -> Answer {
    set_role(call, false).await
}

async fn set_role(call: Call, has: bool) -> Answer {
    let (user, role) = (call.id("user_id")?, call.id("role_id")?);
    let guild = call.id("guild_id")?;
    call.submit(Command::SetMemberRole { guild, user, role, has }).await?;
    Ok(Reply::Empty)
}
