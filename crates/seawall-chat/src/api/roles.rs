//! Roles of a guild.

use serde_json::Value;

use super::call::{Call, Guild, Reply};
use super::form::{Form, Text};
use super::rate::Bucket;
use super::{Answer, Table, channels};
use crate::command::{Command, RoleFields};
use crate::refusal::Refusal;
use crate::state::role_json;

/// Characters of a role's name.
const NAME: std::ops::RangeInclusive<usize> = 1..=100;
/// White.
const COLOR_MAX: u32 = 0xFF_FFFF;

pub(super) fn add(table: &mut Table) {
    table.get("/guilds/{guild_id}/roles", Bucket::Reads, list);
    table.post("/guilds/{guild_id}/roles", Bucket::Changes, create);
    table.patch("/guilds/{guild_id}/roles", Bucket::Changes, arrange);
    table.get("/guilds/{guild_id}/roles/{role_id}", Bucket::Reads, show);
    table.patch("/guilds/{guild_id}/roles/{role_id}", Bucket::Changes, change);
    table.delete("/guilds/{guild_id}/roles/{role_id}", Bucket::Changes, delete);
}

async fn list(call: Call) -> Answer {
    Ok(all(&call.guild().await?))
}

fn all(guild: &Guild) -> Reply {
    Reply::Json(Value::Array(guild.look(|g| g.roles.values().map(role_json).collect())))
}

async fn show(call: Call) -> Answer {
    let role = call.id("role_id")?;
    let found = call.guild().await?.look(|g| g.roles.get(&role).map(role_json));
    found.map(Reply::Json).ok_or(Refusal::UnknownRole)
}

async fn create(mut call: Call) -> Answer {
    let guild = call.id("guild_id")?;
    let mut form = call.form().await?;
    let role = fields(&mut form);
    form.finish()?;
    Ok(Reply::Raw(call.submit(Command::CreateRole { guild, role }).await?.body))
}

async fn change(mut call: Call) -> Answer {
    let role = call.id("role_id")?;
    let guild = call.id("guild_id")?;
    let mut form = call.form().await?;
    let change = fields(&mut form);
    form.finish()?;
    Ok(Reply::Raw(call.submit(Command::UpdateRole { guild, role, change }).await?.body))
}

async fn delete(call: Call) -> Answer {
    let role = call.id("role_id")?;
    let guild = call.id("guild_id")?;
    call.submit(Command::DeleteRole { guild, role }).await?;
    Ok(Reply::Empty)
}

/// Several roles' ranks, one after the other: what an error stops has been done up to there. Answers all roles.
async fn arrange(mut call: Call) -> Answer {
    let guild = call.id("guild_id")?;
    for (role, position) in channels::positions(call.json().await?)? {
        let change = RoleFields { position: Some(position), ..RoleFields::default() };
        call.submit(Command::UpdateRole { guild, role, change }).await?;
    }
    // Looked up again, so that it has what was just done.
    Ok(all(&call.guild().await?))
}

fn fields(form: &mut Form) -> RoleFields {
    let color = form.count("color", COLOR_MAX);
    RoleFields {
        name: form.text("name", NAME, Text::Line),
        color: color.or_else(|| primary_color(form)),
        hoist: form.bool("hoist"),
        permissions: form.permissions("permissions"),
        mentionable: form.bool("mentionable"),
        position: form.int("position", 0..=channels::POSITION_MAX),
    }
}

/// The newer way to say it: up to three colours, of which the first is shown here.
fn primary_color(form: &mut Form) -> Option<u32> {
    let colors = form.value("colors")?;
    let mut colors = form.within("colors", colors)?;
    let primary = colors.count("primary_color", COLOR_MAX);
    form.absorb(colors);
    primary
}
