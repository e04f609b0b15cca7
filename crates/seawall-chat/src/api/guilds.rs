//! A guild as a whole, and who may not come back into it.

use serde_json::{Value, json};

use super::call::{Call, Reply};
use super::form::Text;
use super::rate::Bucket;
use super::{Answer, Table, errors};
use crate::command::Command;
use crate::permissions::Permissions;
use crate::refusal::Refusal;

/// Characters of a guild's name.
pub(super) const NAME: std::ops::RangeInclusive<usize> = 2..=100;
/// Characters of a description.
const DESCRIPTION_MAX: usize = 300;
/// Bans on a page, and unless asked for fewer.
const BANS_MAX: usize = 1000;
/// How far back a ban may delete messages: a week.
const DELETE_SECONDS_MAX: u32 = 604_800;

pub(super) fn add(table: &mut Table) {
    table.post("/guilds", Bucket::Changes, create);
    table.get("/guilds/{guild_id}", Bucket::Reads, show);
    table.patch("/guilds/{guild_id}", Bucket::Changes, change);
    table.delete("/guilds/{guild_id}", Bucket::Changes, delete);
    table.get("/guilds/{guild_id}/bans", Bucket::Reads, bans);
    table.get("/guilds/{guild_id}/bans/{user_id}", Bucket::Reads, show_ban);
    table.put("/guilds/{guild_id}/bans/{user_id}", Bucket::Changes, ban);
    table.delete("/guilds/{guild_id}/bans/{user_id}", Bucket::Changes, unban);
}

/// Discord took this away from programs; here it is how a guild comes to be.
async fn create(mut call: Call) -> Answer {
    let mut form = call.form().await?;
    let name = form.text("name", NAME, Text::Line);
    form.require("name", name.as_ref());
    form.finish()?;
    let name = name.unwrap_or_default();
    Ok(Reply::Created(call.submit(Command::CreateGuild { name, owner: None }).await?.body))
}

async fn show(call: Call) -> Answer {
    let with_counts = matches!(call.query("with_counts"), Some("true" | "True" | "1"));
    let guild = call.guild().await?;
    Ok(Reply::Json(guild.look(|g| {
        let mut document = g.guild_json();
        if with_counts {
            document["approximate_member_count"] = json!(g.members.len());
            document["approximate_presence_count"] = json!(0);
        }
        document
    })))
}

async fn change(mut call: Call) -> Answer {
    let guild = call.id("guild_id")?;
    let mut form = call.form().await?;
    let command = Command::UpdateGuild {
        guild,
        name: form.text("name", NAME, Text::Line),
        description: form.patch("description", |f| f.text("description", 0..=DESCRIPTION_MAX, Text::Lines)),
        system_channel_id: form.patch("system_channel_id", |f| f.id("system_channel_id")),
        owner_id: form.id("owner_id"),
    };
    form.finish()?;
    Ok(Reply::Raw(call.submit(command).await?.body))
}

async fn delete(call: Call) -> Answer {
    let guild = call.id("guild_id")?;
    call.submit(Command::DeleteGuild { guild }).await?;
    Ok(Reply::Empty)
}

async fn bans(call: Call) -> Answer {
    let limit = call.limit(1..=BANS_MAX as i64, BANS_MAX)?;
    let (before, after) = (call.query_id("before")?, call.query_id("after")?);
    let guild = call.guild_where(Permissions::BAN_MEMBERS).await?;
    let mut banned = call.api.storage.bans(guild.id).await.map_err(errors::trouble)?;
    banned.sort_unstable_by_key(|u| u.id);
    banned
        .retain(|u| before.is_none_or(|b| u.id < b) && (before.is_some() || after.is_none_or(|a| u.id > a)));
    // The page right before it, still in rising order.
    let skipped = if before.is_some() { banned.len().saturating_sub(limit) } else { 0 };
    let page = banned.iter().skip(skipped).take(limit).map(|u| json!({ "reason": null, "user": u }));
    Ok(Reply::Json(Value::Array(page.collect())))
}

async fn show_ban(call: Call) -> Answer {
    let user = call.id("user_id")?;
    let guild = call.guild_where(Permissions::BAN_MEMBERS).await?;
    let banned = call.api.storage.bans(guild.id).await.map_err(errors::trouble)?;
    let user = banned.into_iter().find(|u| u.id == user).ok_or(Refusal::UnknownBan)?;
    Ok(Reply::Json(json!({ "reason": null, "user": user })))
}

async fn ban(mut call: Call) -> Answer {
    let user = call.id("user_id")?;
    let guild = call.id("guild_id")?;
    let mut form = call.form().await?;
    let seconds = form.count("delete_message_seconds", DELETE_SECONDS_MAX);
    // The older name of the same.
    let days = form.count("delete_message_days", DELETE_SECONDS_MAX / 86_400);
    form.finish()?;
    let delete_message_seconds = seconds.or(days.map(|d| d * 86_400)).unwrap_or(0);
    call.submit(Command::Ban { guild, user, delete_message_seconds }).await?;
    Ok(Reply::Empty)
}

async fn unban(call: Call) -> Answer {
    let user = call.id("user_id")?;
    let guild = call.id("guild_id")?;
    call.submit(Command::Unban { guild, user }).await?;
    Ok(Reply::Empty)
}
