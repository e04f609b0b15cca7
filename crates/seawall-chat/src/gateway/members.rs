//! GUILD_MEMBERS_CHUNK: the members a client asks for, in pieces.

use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};

use super::entry::What;
use super::hub::{Hub, to_session};
use super::payload::{Members, Which};
use super::session::Session;
use crate::event::Kind;
use crate::model::Member;
use crate::state::GuildState;

/// Members in one piece (Discord's number).
const CHUNK: usize = 1000;

impl Hub {
    /// Answers REQUEST_GUILD_MEMBERS. Of a guild the session does not see nothing is said.
    pub(super) fn members(&self, session: &Arc<Session>, wish: &Members) {
        if !session.lock().fold.view.has(wish.guild) {
            return;
        }
        let Some(state) = self.replica.here(wish.guild) else { return };
        let chunks: Vec<What> = {
            let state = state.read().unwrap_or_else(PoisonError::into_inner);
            let chunks = chunks(&state, wish, |members| {
                self.presences.of(members.iter().map(|member| member.user.id))
            });
            chunks.into_iter().map(|d| to_session(session.id, Kind::MembersChunk, d.to_string())).collect()
        };
        if let Err(refused) = self.append(&mut self.order(), chunks) {
            tracing::debug!(trouble = %refused.trouble, "members that were asked for are not sent");
        }
    }
}

fn chunks(state: &GuildState, wish: &Members, presences: impl Fn(&[&Member]) -> Vec<Value>) -> Vec<Value> {
    let mut gone = Vec::new();
    let found: Vec<&Member> = match &wish.which {
        Which::Ids(ids) => ids
            .iter()
            .filter_map(|id| {
                let member = state.members.get(id);
                if member.is_none() {
                    gone.push(*id);
                }
                member
            })
            .collect(),
        Which::Named(query, limit) => {
            let query = query.to_lowercase();
            let mut found: Vec<_> = state.members.values().filter(|m| is_named(m, &query)).collect();
            found.sort_unstable_by_key(|m| m.user.id);
            found.truncate(limit.unwrap_or(usize::MAX));
            found
        }
    };
    let count = found.len().div_ceil(CHUNK).max(1);
    let mut pieces: Vec<&[&Member]> = found.chunks(CHUNK).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let piece = |(index, members): (usize, &[&Member])| {
        let mut d = json!({
            "guild_id": state.guild.id,
            "members": members,
            "chunk_index": index,
            "chunk_count": count,
        });
        if index == 0 && !gone.is_empty() {
            d["not_found"] = json!(gone);
        }
        if wish.presences {
            d["presences"] = json!(presences(members));
        }
        if let Some(nonce) = &wish.nonce {
            d["nonce"] = json!(nonce);
        }
        d
    };
    pieces.into_iter().enumerate().map(piece).collect()
}

fn is_named(member: &Member, query: &str) -> bool {
    let begins = |name: &str| name.to_lowercase().starts_with(query);
    query.is_empty()
        || begins(&member.user.username)
        || member.user.global_name.as_deref().is_some_and(begins)
        || member.nick.as_deref().is_some_and(begins)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::id::Id;

    fn state(count: u64) -> GuildState {
        let member = |n: u64| {
            let user = json!({"id": Id(n), "username": format!("Name{n}")});
            let member: Member = serde_json::from_value(json!({"user": user, "joined_at": "x"})).unwrap();
            (Id(n), member)
        };
        GuildState {
            guild: serde_json::from_value(json!({"id": "1", "name": "g", "owner_id": "2"})).unwrap(),
            roles: BTreeMap::new(),
            channels: BTreeMap::new(),
            members: (1..=count).map(member).collect(),
        }
    }

    fn asked(count: u64, which: Which) -> Vec<Value> {
        let wish = Members { guild: Id(1), which, presences: true, nonce: Some("n".to_owned()) };
        chunks(&state(count), &wish, |members| vec![json!(members.len())])
    }

    #[test]
    fn all_members_come_in_pieces_of_a_thousand() {
        let pieces = asked(2001, Which::Named(String::new(), None));
        let sizes: Vec<_> = pieces.iter().map(|d| d["members"].as_array().unwrap().len()).collect();
        assert_eq!(sizes, [1000, 1000, 1]);
        for (index, piece) in pieces.iter().enumerate() {
            assert_eq!((&piece["chunk_index"], &piece["chunk_count"]), (&json!(index), &json!(3)));
            assert_eq!((&piece["nonce"], &piece["guild_id"]), (&json!("n"), &json!("1")));
            assert_eq!(piece["presences"], json!([sizes[index]]));
        }
    }

    #[test]
    fn a_name_is_looked_for_from_its_beginning_whatever_its_case() {
        let found = asked(20, Which::Named("nAmE1".to_owned(), Some(3)));
        let ids: Vec<_> =
            found[0]["members"].as_array().unwrap().iter().map(|m| m["user"]["id"].clone()).collect();
        assert_eq!(ids, ["1", "10", "11"]);
        let none = asked(20, Which::Named("x".to_owned(), Some(3)));
        assert_eq!((none.len(), &none[0]["chunk_count"], &none[0]["members"]), (1, &json!(1), &json!([])));
    }

    #[test]
    fn ids_of_nobody_are_said_to_be_not_found() {
        let found = asked(3, Which::Ids(vec![Id(2), Id(99)]));
        assert_eq!(found[0]["members"].as_array().unwrap().len(), 1);
        assert_eq!(found[0]["not_found"], json!(["99"]));
    }
}
