//! Oneself, others, one's guilds and direct messages.

use serde_json::{Value, json};

use super::call::{Call, Reply};
use super::form::Text;
use super::rate::Bucket;
use super::{Answer, Table, channels, errors};
use crate::command::Command;
use crate::refusal::Refusal;
use crate::state::self_json;

/// Guilds on a page, and unless asked for fewer.
const GUILDS_MAX: usize = 200;
/// Characters of a user's name.
pub(super) const USERNAME: std::ops::RangeInclusive<usize> = 2..=32;
/// Characters of a shown name.
pub(super) const GLOBAL_NAME: std::ops::RangeInclusive<usize> = 1..=32;

pub(super) fn add(table: &mut Table) {
    table.get("/users/@me", Bucket::Reads, me);
    table.patch("/users/@me", Bucket::Changes, change_me);
    table.get("/users/{user_id}", Bucket::Reads, show);
    table.get("/users/@me/guilds", Bucket::Reads, guilds);
    table.get("/users/@me/guilds/{guild_id}/member", Bucket::Reads, own_member);
    table.delete("/users/@me/guilds/{guild_id}", Bucket::Changes, leave);
    table.get("/users/@me/channels", Bucket::Reads, directs);
    table.post("/users/@me/channels", Bucket::Changes, open_direct);
}

async fn me(call: Call) -> Answer {
    // The caller as authentication knows it may be seconds old.
    let fresh = call.api.storage.user(call.me.id).await.map_err(errors::trouble)?;
    Ok(Reply::Json(self_json(&fresh.ok_or(Refusal::Unauthorized)?)))
}

async fn change_me(mut call: Call) -> Answer {
    let mut form = call.form().await?;
    let username = form.text("username", USERNAME, Text::Line);
    let global_name = form.patch("global_name", |f| f.text("global_name", GLOBAL_NAME, Text::Line));
    form.finish()?;
    call.submit(Command::UpdateUser { username, global_name }).await?;
    call.api.tokens.forget_all();
    me(call).await
}

async fn show(call: Call) -> Answer {
    let id = call.id("user_id")?;
    let user = call.api.storage.user(id).await.map_err(errors::trouble)?;
    Reply::of(&user.ok_or(Refusal::UnknownUser)?)
}

async fn guilds(call: Call) -> Answer {
    let max = GUILDS_MAX as i64;
    let limit = call.limit(1..=max, GUILDS_MAX)?;
    let (before, after) = (call.query_id("before")?, call.query_id("after")?);
    let with_counts = matches!(call.query("with_counts"), Some("true" | "True" | "1"));
    let mut ids = call.api.storage.guilds_of(call.me.id).await.map_err(errors::trouble)?;
    ids.retain(|id| before.is_none_or(|b| *id < b) && after.is_none_or(|a| *id > a));
    ids.sort_unstable();
    if before.is_some() && after.is_none() {
        // The page right before it, still in rising order.
        ids.reverse();
    }
    let mut page: Vec<Value> = Vec::new();
    for id in ids {
        if page.len() == limit {
            break;
        }
        // The list of guilds is a hint; who is a member is said by the guild.
        let guild = match call.guild_of(id).await {
            Err(Refusal::UnknownGuild) => continue,
            other => other?,
        };
        page.push(guild.look(|g| {
            let mut entry = json!({
                "id": g.guild.id,
                "name": g.guild.name,
                "icon": g.guild.icon,
                "banner": null,
                "owner": g.guild.owner_id == call.me.id,
                "permissions": g.permissions(call.me.id),
                "features": [],
            });
            if with_counts {
                entry["approximate_member_count"] = json!(g.members.len());
                entry["approximate_presence_count"] = json!(0);
            }
            entry
        }));
    }
    if before.is_some() && after.is_none() {
        page.reverse();
    }
    Ok(Reply::Json(Value::Array(page)))
}

async fn own_member(call: Call) -> Answer {
    let member = call.guild().await?.look(|g| g.members.get(&call.me.id).cloned());
    Reply::of(&member.ok_or(Refusal::UnknownGuild)?)
}

async fn leave(call: Call) -> Answer {
    let guild = call.id("guild_id")?;
    call.submit(Command::RemoveMember { guild, user: call.me.id }).await?;
    Ok(Reply::Empty)
}

async fn directs(call: Call) -> Answer {
    let channels = call.api.storage.directs_of(call.me.id).await.map_err(errors::trouble)?;
    let shown = channels.iter().map(|c| channels::direct_json(c, call.me.id));
    Ok(Reply::Json(shown.collect()))
}

async fn open_direct(mut call: Call) -> Answer {
    let mut form = call.form().await?;
    let recipient = form.id("recipient_id");
    form.require("recipient_id", recipient.as_ref());
    form.finish()?;
    let recipient = recipient.ok_or(Refusal::UnknownUser)?;
    let done = call.submit(Command::OpenDirect { recipient }).await?;
    channels::shown_direct(&call, done)
}
