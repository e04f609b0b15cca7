//! READY and GUILD_CREATE: all a client needs to begin with.

use std::sync::PoisonError;

use serde_json::{Value, json};

use super::fold::Part;
use super::hub::Hub;
use super::replica::Shared;
use super::session::Session;
use crate::event::intents;
use crate::id::Id;
use crate::model::{Channel, Member, User};
use crate::state::self_json;

/// From so many members on, nobody is told who they are unasked (Discord's limit).
const MEMBERS_TOLD_MAX: usize = 75_000;

/// The version that is told, whatever was asked for: the payloads are the same.
const VERSION: u32 = 10;

/// READY's payload.
pub(super) fn ready(
    user: &User,
    session: &Session,
    part: Part,
    guilds: &[Id],
    directs: &[Channel],
    url: &str,
) -> Value {
    let guilds: Vec<_> = guilds.iter().map(|id| json!({ "id": id, "unavailable": true })).collect();
    json!({
        "v": VERSION,
        "user": self_json(user),
        "guilds": guilds,
        "session_id": session.id,
        "session_type": "normal",
        "resume_gateway_url": url,
        "shard": part.shard(),
        "application": { "id": user.id, "flags": 0 },
        "private_channels": directs,
        "relationships": [],
        "presences": [],
        "user_settings": {},
        "guild_join_requests": [],
        "geo_ordered_rtc_regions": [],
    })
}

/// A dispatch of the first ones, which are in no journal.
pub(super) fn dispatch(t: &str, s: u64, d: &str) -> String {
    format!(r#"{{"op":0,"t":"{t}","d":{d},"s":{s}}}"#)
}

/// GUILD_CREATE's payload for one session; none where its user is no member.
pub(super) fn guild_create(hub: &Hub, state: &Shared, session: &Session, wants: u64) -> Option<String> {
    let state = state.read().unwrap_or_else(PoisonError::into_inner);
    let own = state.members.get(&session.user)?;
    let count = state.members.len();
    let is_large = count > session.large_threshold;
    let shows_presences = wants & intents::GUILD_PRESENCES != 0;
    let members: Vec<&Member> = if !shows_presences || count > MEMBERS_TOLD_MAX {
        vec![own]
    } else if is_large {
        let others = hub.presences.online_among(&state.members);
        std::iter::once(own).chain(others.into_iter().filter(|m| m.user.id != session.user)).collect()
    } else {
        state.members.values().collect()
    };
    let presences =
        if shows_presences { hub.presences.of(members.iter().map(|m| m.user.id)) } else { vec![] };
    Some(state.guild_create(session.user, &members, &presences, is_large).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dispatch_is_one_object() {
        let text = dispatch("READY", 1, r#"{"v":10}"#);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, json!({"op": 0, "t": "READY", "s": 1, "d": {"v": 10}}));
    }
}
