//! Ways into a guild.

use seawall_policy::Wall;
use serde_json::{Value, json};

use super::call::{Call, Reply};
use super::rate::Bucket;
use super::{Answer, Table, channels, errors};
use crate::command::Command;
use crate::model::{Invite, iso};
use crate::owner::decide::invites::invite_json;
use crate::permissions::Permissions;
use crate::refusal::Refusal;
use crate::state::GuildState;

/// Seconds an invite is good for unless its maker says otherwise: a day.
const AGE_DEFAULT: u32 = 86_400;
/// Longest it may be good for, 0 (for ever) apart: a week.
const AGE_MAX: u32 = 604_800;
/// Uses, 0 (without limit) apart.
const USES_MAX: u32 = 100;
/// Longest code that is looked up.
const CODE_LEN_MAX: usize = 64;

pub(super) fn add(table: &mut Table) {
    table.get("/guilds/{guild_id}/invites", Bucket::Reads, of_guild);
    table.get("/channels/{channel_id}/invites", Bucket::Reads, of_channel);
    table.post("/channels/{channel_id}/invites", Bucket::Changes, create);
    table.get("/invites/{code}", Bucket::Reads, show);
    table.post("/invites/{code}", Bucket::Changes, accept);
    table.delete("/invites/{code}", Bucket::Changes, delete);
}

async fn of_guild(call: Call) -> Answer {
    let guild = call.guild_where(Permissions::MANAGE_GUILD).await?;
    let invites = call.api.storage.invites(guild.id).await.map_err(errors::trouble)?;
    Ok(Reply::Json(guild.look(|g| invites.iter().map(|i| full(i, g)).collect())))
}

async fn of_channel(call: Call) -> Answer {
    let channel = call.id("channel_id")?;
    let super::call::Place::Guild { guild, may, .. } = call.place().await? else {
        return Err(Refusal::WrongChannelType);
    };
    if !may.has(Permissions::MANAGE_CHANNELS) {
        return Err(Refusal::MissingPermissions);
    }
    let invites = call.api.storage.invites(guild.id).await.map_err(errors::trouble)?;
    let here = invites.iter().filter(|i| i.channel_id == channel);
    Ok(Reply::Json(guild.look(|g| here.map(|i| full(i, g)).collect())))
}

async fn create(mut call: Call) -> Answer {
    let channel = call.id("channel_id")?;
    let mut form = call.form().await?;
    let command = Command::CreateInvite {
        channel,
        max_age: form.count("max_age", AGE_MAX).unwrap_or(AGE_DEFAULT),
        max_uses: form.count("max_uses", USES_MAX).unwrap_or(0),
        unique: form.bool("unique").unwrap_or(false),
    };
    form.finish()?;
    let done = call.submit(command).await?;
    shown(&call, &channels::read(&done)?, full).await
}

/// Anyone who holds the code may see where it leads.
async fn show(call: Call) -> Answer {
    let invite = call.api.storage.invite(code(&call)?).await.map_err(errors::trouble)?;
    let invite = invite.ok_or(Refusal::UnknownInvite)?;
    shown(&call, &invite, partial).await
}

/// Joins.
async fn accept(call: Call) -> Answer {
    let code = code(&call)?.to_owned();
    let done = call.submit(Command::UseInvite { code }).await?;
    shown(&call, &channels::read(&done)?, partial).await
}

async fn delete(call: Call) -> Answer {
    let code = code(&call)?.to_owned();
    let done = call.submit(Command::DeleteInvite { code }).await?;
    shown(&call, &channels::read(&done)?, partial).await
}

fn code(call: &Call) -> Result<&str, Refusal> {
    let code = call.text("code");
    if (1..=CODE_LEN_MAX).contains(&code.len()) { Ok(code) } else { Err(Refusal::UnknownInvite) }
}

/// With what it leads to, whether the caller is in there or not.
async fn shown(call: &Call, invite: &Invite, write: fn(&Invite, &GuildState) -> Value) -> Answer {
    let state = call.api.replica.guild(invite.guild_id).await.map_err(errors::trouble)?;
    let state = state.ok_or(Refusal::UnknownInvite)?;
    let document = write(invite, &state.read().unwrap_or_else(std::sync::PoisonError::into_inner));
    Ok(Reply::Json(document))
}

/// What its maker and the guild's managers see.
fn full(invite: &Invite, guild: &GuildState) -> Value {
    let mut document = invite_json(guild, invite);
    document["expires_at"] = json!(expires_at(invite));
    document
}

/// What everyone sees: not how often it was used.
fn partial(invite: &Invite, guild: &GuildState) -> Value {
    let mut document = full(invite, guild);
    if let Value::Object(fields) = &mut document {
        for key in ["uses", "max_uses", "max_age", "temporary", "created_at"] {
            fields.remove(key);
        }
    }
    document
}

fn expires_at(invite: &Invite) -> Option<String> {
    if invite.max_age == 0 {
        return None;
    }
    let made = moment(&invite.created_at)?;
    Some(iso(Wall(made.0.saturating_add(i64::from(invite.max_age) * 1000))))
}

/// Reads what [`iso`] wrote: `2024-01-01T00:00:00.000000+00:00`.
fn moment(text: &str) -> Option<Wall> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hours, minutes, seconds, ms) = (number(11..13)?, number(14..16)?, number(17..19)?, number(20..23)?);
    // Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(Wall((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_were_written() {
        for ms in [0, 951_782_400_000, 1_709_251_199_999, 1_709_251_200_000, 1_795_201_387_250] {
            assert_eq!(moment(&iso(Wall(ms))), Some(Wall(ms)));
        }
        for odd in ["", "2024", "2024-01-01", "XXXX-01-01T00:00:00.000000+00:00", "２０２４"] {
            assert_eq!(moment(odd), None, "{odd}");
        }
    }
}
