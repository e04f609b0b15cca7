//! GUILD_MEMBERS_CHUNK: the members a client asks for, in pieces.
//!
//! All members of a large guild are tens of megabytes, which go through the journal and the ring as everything does. So
//! they are for who hears of members anyway, and once in a while.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use seawall_policy::Mono;
use serde_json::{Value, json};

use super::entry::What;
use super::hub::{Hub, to_session};
use super::payload::{Members, Which};
use super::session::{Session, State};
use crate::event::{Kind, intents};
use crate::model::Member;
use crate::state::GuildState;

/// Members in one piece (Discord's number).
const CHUNK: usize = 1000;
/// A session is told all members of one guild once in so long (Discord's limit).
const ALL_EVERY: Duration = Duration::from_secs(30);
/// The client's event that asks for members, as RATE_LIMITED names it.
const REQUEST_MEMBERS: u8 = 8;

/// What becomes of a wish.
#[derive(Debug, PartialEq)]
enum Verdict {
    Answer,
    /// Too soon; it may ask again after this time.
    Wait(Duration),
    Ignore,
}

impl Hub {
    /// Answers REQUEST_GUILD_MEMBERS. Nothing is said of a guild the session does not see, nor of all members to a
    /// session that has not the intent for them.
    pub(super) fn members(&self, session: &Arc<Session>, wish: &Members) {
        let verdict = judge(&mut session.lock(), wish, self.clock.now());
        match verdict {
            Verdict::Answer => self.tell_members(session, wish),
            Verdict::Wait(time) => {
                let mut meta = json!({ "guild_id": wish.guild });
                if let Some(nonce) = &wish.nonce {
                    meta["nonce"] = json!(nonce);
                }
                let retry_after = time.as_secs_f64();
                let d = json!({ "opcode": REQUEST_MEMBERS, "retry_after": retry_after, "meta": meta });
                self.tell_one(session, to_session(session.id, Kind::RateLimited, d.to_string()));
            }
            Verdict::Ignore => {}
        }
    }

    fn tell_one(&self, session: &Session, what: What) {
        if let Err(refused) = self.append(&mut self.order(), vec![what]) {
            let (session, trouble) = (session.id, refused.trouble);
            tracing::debug!(%session, %trouble, "members that were asked for are not sent");
        }
    }

    fn tell_members(&self, session: &Arc<Session>, wish: &Members) {
        let Some(state) = self.replica.here(wish.guild) else { return };
        let chunks: Vec<What> = {
            let state = state.read().unwrap_or_else(PoisonError::into_inner);
            let chunks = chunks(&state, wish, |members| {
                self.presences.of(members.iter().map(|member| member.user.id))
            });
            chunks.into_iter().map(|d| to_session(session.id, Kind::MembersChunk, d.to_string())).collect()
        };
        // One by one: others have something to say in between.
        chunks.into_iter().for_each(|chunk| self.tell_one(session, chunk));
    }
}

/// Decides about a wish, and remembers that it is answered.
fn judge(state: &mut State, wish: &Members, now: Mono) -> Verdict {
    if !state.fold.view.has(wish.guild) {
        return Verdict::Ignore;
    }
    if !matches!(wish.which, Which::Named(_, None)) {
        return Verdict::Answer;
    }
    if state.fold.intents & intents::GUILD_MEMBERS == 0 {
        return Verdict::Ignore;
    }
    // So it is never longer than there are guilds.
    state.told_all.retain(|(_, at)| now.since(*at) < ALL_EVERY);
    match state.told_all.iter().find(|(guild, _)| *guild == wish.guild) {
        Some((_, at)) => Verdict::Wait(ALL_EVERY.saturating_sub(now.since(*at))),
        None => {
            state.told_all.push((wish.guild, now));
            Verdict::Answer
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
    use crate::gateway::entry::{Mark, SessionId};
    use crate::gateway::fold::{Fold, Part};
    use crate::gateway::payload::Shown;
    use crate::gateway::view::View;
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

    #[test]
    fn all_members_are_for_who_hears_of_members_and_once_in_a_while() {
        let session = |intents| {
            let view = View::new([(Id(1), [].into()), (Id(2), [].into())]);
            let (session, part) = (SessionId([1; 16]), Part::WHOLE);
            let fold = Fold { session, user: Id(9), intents, part, s: 1, lsn: 1, view, skip: None };
            Session::new(Mark { token_hash: [0; 32], generation: 0, fold }, 50, Shown::default(), Mono(0))
        };
        let ask = |session: &Session, guild, which, at| {
            let wish = Members { guild: Id(guild), which, presences: false, nonce: None };
            judge(&mut session.lock(), &wish, Mono(0) + Duration::from_secs(at))
        };
        let all = || Which::Named(String::new(), None);
        let deaf = session(intents::GUILDS);
        assert_eq!(ask(&deaf, 1, all(), 0), Verdict::Ignore);
        for few in [Which::Named(String::new(), Some(100)), Which::Ids(vec![Id(9)])] {
            assert_eq!(ask(&deaf, 1, few, 0), Verdict::Answer);
        }
        let hears = session(intents::GUILD_MEMBERS);
        assert_eq!(ask(&hears, 3, all(), 0), Verdict::Ignore, "it is not in that guild");
        assert_eq!(ask(&hears, 1, all(), 0), Verdict::Answer);
        assert_eq!(ask(&hears, 2, all(), 10), Verdict::Answer);
        assert_eq!(ask(&hears, 1, all(), 10), Verdict::Wait(Duration::from_secs(20)));
        assert_eq!(ask(&hears, 1, all(), 30), Verdict::Answer);
        assert_eq!(ask(&hears, 1, all(), 30), Verdict::Wait(ALL_EVERY));
        assert_eq!(hears.lock().told_all.len(), 2);
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
