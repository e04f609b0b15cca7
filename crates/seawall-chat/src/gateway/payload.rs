//! What clients say: the payloads of each opcode, read leniently, and the close codes for what cannot be read.
//!
//! Nothing here recurses into what a client nests: unknown fields are skipped without a stack, and what other
//! clients get to see of a payload is taken apart and put together anew.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Number;
use serde_json::value::{RawValue, to_raw_value};

use super::fold::Part;
use crate::event::intents;
use crate::id::Id;

/// Activities a client may show at a time.
const ACTIVITIES_MAX: usize = 8;
/// Characters of an activity's name or state (Discord's limit).
const ACTIVITY_TEXT_MAX: usize = 128;
/// Bytes of a nonce in a request for members; a longer one is left out, as Discord does.
const NONCE_BYTES_MAX: usize = 32;
/// Users that can be asked for by id at a time, and found by a query.
pub(super) const MEMBERS_ASKED_MAX: usize = 100;
/// Parts a client may divide its guilds into.
const PARTS_MAX: u32 = 16_384;

/// Why the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// Come back and resume: drain, silence, too slow.
    Again(&'static str),
    /// An opcode nobody knows.
    UnknownOp,
    /// A payload that cannot be read.
    Decode,
    /// Something else before IDENTIFY.
    NotAuthenticated,
    /// A token nobody has.
    BadToken,
    /// IDENTIFY or RESUME a second time.
    AlreadyAuthenticated,
    /// Too many events.
    TooMany,
    /// A part of guilds that cannot be.
    BadPart,
    /// A version or encoding that is not spoken here.
    BadVersion,
    /// Intents that do not exist.
    BadIntents,
    /// Intents that are not granted here.
    DisallowedIntents,
    /// A violation of WebSocket itself.
    WebSocket(u16, &'static str),
}

impl Close {
    /// The code on the wire.
    pub(super) fn code(self) -> u16 {
        match self {
            Close::Again(_) => 4000,
            Close::UnknownOp => 4001,
            Close::Decode => 4002,
            Close::NotAuthenticated => 4003,
            Close::BadToken => 4004,
            Close::AlreadyAuthenticated => 4005,
            Close::TooMany => 4008,
            Close::BadPart => 4010,
            Close::BadVersion => 4012,
            Close::BadIntents => 4013,
            Close::DisallowedIntents => 4014,
            Close::WebSocket(code, _) => code,
        }
    }

    /// The reason beside it.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Close::Again(why) | Close::WebSocket(_, why) => why,
            Close::UnknownOp => "Unknown opcode.",
            Close::Decode => "Error while decoding payload.",
            Close::NotAuthenticated => "Not authenticated.",
            Close::BadToken => "Authentication failed.",
            Close::AlreadyAuthenticated => "Already authenticated.",
            Close::TooMany => "Rate limited.",
            Close::BadPart => "Invalid shard.",
            Close::BadVersion => "Invalid API version.",
            Close::BadIntents => "Invalid intent(s).",
            Close::DisallowedIntents => "Disallowed intent(s).",
        }
    }
}

/// One payload of a client.
#[derive(Debug)]
pub(super) enum Op {
    /// It is there, and this is the last number it got.
    Heartbeat(Option<u64>),
    /// It opens a session.
    Identify(Box<Identify>),
    /// It goes on with one.
    Resume(Box<Resume>),
    /// What its user shows.
    Presence(Shown),
    /// It wants members of a guild.
    Members(Box<Members>),
    /// Something that is allowed and means nothing here: voice, soundboards.
    Ignored,
}

/// IDENTIFY.
#[derive(Debug, PartialEq)]
pub(super) struct Identify {
    pub(super) token: String,
    pub(super) intents: u64,
    pub(super) part: Part,
    pub(super) large_threshold: usize,
    pub(super) presence: Shown,
}

/// RESUME.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resume {
    pub(super) token: String,
    pub(super) session: String,
    /// None where the client has none: it then has nothing to resume.
    pub(super) seq: Option<u64>,
}

/// What a session shows of its user.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// `online`, `idle`, `dnd`, `invisible` or `offline`.
    pub(super) status: &'static str,
    /// What it does; names and states only.
    pub(super) activities: Vec<Box<RawValue>>,
}

impl Default for Shown {
    fn default() -> Shown {
        Shown { status: "online", activities: Vec::new() }
    }
}

impl PartialEq for Shown {
    fn eq(&self, other: &Shown) -> bool {
        let texts = |shown: &Shown| shown.activities.iter().map(|a| a.get().to_owned()).collect::<Vec<_>>();
        self.status == other.status && texts(self) == texts(other)
    }
}

/// REQUEST_GUILD_MEMBERS.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Members {
    pub(super) guild: Id,
    /// Which: by the beginning of their name, or by id.
    pub(super) which: Which,
    pub(super) presences: bool,
    pub(super) nonce: Option<String>,
}

/// Which members are wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Whose name begins so, and how many at most; none: all there are.
    Named(String, Option<usize>),
    /// These users.
    Ids(Vec<Id>),
}

#[derive(Deserialize)]
struct Outer<'a> {
    op: u64,
    #[serde(borrow, default)]
    d: Option<&'a RawValue>,
}

/// Reads a payload. Who `is_in` has opened a session on this connection; the others may only knock.
pub(super) fn read(text: &str, is_in: bool) -> Result<Op, Close> {
    let Outer { op, d } = serde_json::from_str(text).map_err(|_| Close::Decode)?;
    let d = d.map_or("null", RawValue::get);
    match (op, is_in) {
        (1, _) => heartbeat(d).map(Op::Heartbeat),
        (2 | 6, true) => Err(Close::AlreadyAuthenticated),
        (2, false) => identify(d).map(|i| Op::Identify(Box::new(i))),
        (6, false) => resume(d).map(|r| Op::Resume(Box::new(r))),
        (3 | 4 | 8 | 31 | 43, false) => Err(Close::NotAuthenticated),
        (3, true) => presence(d).map(Op::Presence),
        (4 | 31 | 43, true) => Ok(Op::Ignored),
        (8, true) => members(d).map(|m| Op::Members(Box::new(m))),
        _ => Err(Close::UnknownOp),
    }
}

fn parse<'a, T: Deserialize<'a>>(d: &'a str) -> Result<T, Close> {
    serde_json::from_str(d).map_err(|_| Close::Decode)
}

fn heartbeat(d: &str) -> Result<Option<u64>, Close> {
    // A number that was never given says nothing; so does one that is no number of ours.
    parse::<Option<Number>>(d).map(|n| n.and_then(|n| n.as_u64()))
}

/// Libraries differ in whether they write the scheme.
fn bare(token: &str) -> String {
    token.strip_prefix("Bot ").unwrap_or(token).to_owned()
}

fn identify(d: &str) -> Result<Identify, Close> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        token: Cow<'a, str>,
        intents: Number,
        #[serde(default)]
        large_threshold: Option<Number>,
        #[serde(borrow, default)]
        shard: Option<&'a RawValue>,
        #[serde(borrow, default)]
        presence: Option<&'a RawValue>,
    }
    let wire: Wire<'_> = parse(d)?;
    let intents = wire.intents.as_u64().ok_or(Close::BadIntents)?;
    if intents & !intents::KNOWN != 0 {
        return Err(Close::BadIntents);
    }
    let part = match wire.shard {
        None => Part::WHOLE,
        Some(shard) => {
            let [id, of]: [u32; 2] = serde_json::from_str(shard.get()).map_err(|_| Close::BadPart)?;
            Part::new(id, of).filter(|_| of <= PARTS_MAX).ok_or(Close::BadPart)?
        }
    };
    let large_threshold = wire.large_threshold.and_then(|n| n.as_u64()).unwrap_or(50).clamp(50, 250);
    Ok(Identify {
        token: bare(&wire.token),
        intents,
        part,
        large_threshold: large_threshold as usize,
        presence: wire.presence.map_or(Ok(Shown::default()), |p| presence(p.get()))?,
    })
}

fn resume(d: &str) -> Result<Resume, Close> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        token: Cow<'a, str>,
        session_id: String,
        #[serde(default)]
        seq: Option<Number>,
    }
    let wire: Wire<'_> = parse(d)?;
    let seq = wire.seq.and_then(|n| n.as_u64());
    Ok(Resume { token: bare(&wire.token), session: wire.session_id, seq })
}

fn presence(d: &str) -> Result<Shown, Close> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow, default)]
        status: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        activities: Option<Vec<&'a RawValue>>,
    }
    let wire: Wire<'_> = parse(d)?;
    let status = match wire.status.as_deref() {
        None | Some("online") => "online",
        Some("idle") => "idle",
        Some("dnd") => "dnd",
        Some("invisible") => "invisible",
        Some("offline") => "offline",
        Some(_) => return Err(Close::Decode),
    };
    let all = wire.activities.unwrap_or_default();
    let activities =
        all.into_iter().take(ACTIVITIES_MAX).map(|a| activity(a.get())).collect::<Result<_, _>>()?;
    Ok(Shown { status, activities })
}

/// An activity as others may see it: other people's clients need not be able to read whatever this one can write.
fn activity(d: &str) -> Result<Box<RawValue>, Close> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(rename = "type", default)]
        kind: Option<Number>,
        #[serde(borrow, default)]
        state: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        url: Option<Cow<'a, str>>,
    }
    let wire: Wire<'_> = parse(d)?;
    let cut = |text: &str| text.chars().take(ACTIVITY_TEXT_MAX).collect::<String>();
    let mut activity = serde_json::json!({
        "name": cut(&wire.name),
        "type": wire.kind.and_then(|n| n.as_u64()).filter(|kind| *kind <= 5).unwrap_or(0),
        "created_at": 0,
    });
    for (key, text) in [("state", &wire.state), ("url", &wire.url)] {
        if let Some(text) = text {
            activity[key] = cut(text).into();
        }
    }
    to_raw_value(&activity).map_err(|_| Close::Decode)
}

fn members(d: &str) -> Result<Members, Close> {
    /// Some libraries write a list where one will do.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(Id),
        Many(Vec<Id>),
    }
    #[derive(Deserialize)]
    struct Wire {
        guild_id: OneOrMany,
        #[serde(default)]
        query: Option<String>,
        #[serde(default)]
        limit: Option<Number>,
        #[serde(default)]
        user_ids: Option<OneOrMany>,
        #[serde(default)]
        presences: Option<bool>,
        #[serde(default)]
        nonce: Option<String>,
    }
    let wire: Wire = parse(d)?;
    let guild = match wire.guild_id {
        OneOrMany::One(id) => id,
        OneOrMany::Many(ids) => *ids.first().ok_or(Close::Decode)?,
    };
    let limit = wire.limit.and_then(|n| n.as_u64()).unwrap_or(0);
    let which = match (wire.user_ids, wire.query) {
        (Some(OneOrMany::One(id)), _) => Which::Ids(vec![id]),
        (Some(OneOrMany::Many(ids)), _) => Which::Ids(ids.into_iter().take(MEMBERS_ASKED_MAX).collect()),
        (None, Some(query)) if query.is_empty() && limit == 0 => Which::Named(query, None),
        (None, Some(query)) => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(MEMBERS_ASKED_MAX);
            Which::Named(query, Some(if limit == 0 { MEMBERS_ASKED_MAX } else { limit }))
        }
        (None, None) => return Err(Close::Decode),
    };
    let nonce = wire.nonce.filter(|nonce| nonce.len() <= NONCE_BYTES_MAX);
    Ok(Members { guild, which, presences: wire.presences.unwrap_or(false), nonce })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str, is_in: bool) -> u16 {
        read(text, is_in).expect_err(text).code()
    }

    fn opened(d: &str) -> Result<Identify, Close> {
        match read(&format!(r#"{{"op":2,"d":{d}}}"#), false)? {
            Op::Identify(identify) => Ok(*identify),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_read_is_4002_and_what_nobody_knows_4001() {
        for text in
            ["", "{", "[]", "null", "7", r#"{"d":1}"#, r#"{"op":"1"}"#, r#"{"op":-1}"#, r#"{"op":1.5}"#]
        {
            assert_eq!(fails(text, true), 4002, "{text}");
        }
        for text in [r#"{"op":0}"#, r#"{"op":5,"d":null}"#, r#"{"op":11}"#, r#"{"op":99}"#] {
            assert_eq!((fails(text, true), fails(text, false)), (4001, 4001), "{text}");
        }
    }

    #[test]
    fn before_identify_only_heartbeats_are_heard_and_after_it_no_second_one() {
        for op in [3, 4, 8, 31, 43] {
            assert_eq!(fails(&format!(r#"{{"op":{op},"d":{{}}}}"#), false), 4003);
        }
        for op in [2, 6] {
            assert_eq!(fails(&format!(r#"{{"op":{op},"d":{{}}}}"#), true), 4005);
        }
        for (d, seq) in [("null", None), ("251", Some(251)), ("-1", None)] {
            let Ok(Op::Heartbeat(got)) = read(&format!(r#"{{"op":1,"d":{d}}}"#), false) else {
                panic!("{d}")
            };
            assert_eq!(got, seq);
        }
        assert_eq!(fails(r#"{"op":1,"d":"x"}"#, true), 4002);
    }

    #[test]
    fn identify_is_read_as_each_library_writes_it() {
        // serenity's moment, twilight's extra fields and scheme, discord.py's compress.
        let text = r#"{"token":"Bot abc","intents":513,"compress":true,"capabilities":0,"large_threshold":250,
            "properties":{"os":"linux","browser":"x","device":"x"},"shard":[1,4],
            "presence":{"status":"idle","afk":false,"activities":[{"name":"a game","type":0,"x":[[[]]]}],
                "since":{"secs_since_epoch":1,"nanos_since_epoch":2}}}"#;
        let identify = opened(text).unwrap();
        assert_eq!((identify.token.as_str(), identify.intents, identify.large_threshold), ("abc", 513, 250));
        assert_eq!(identify.part, Part::new(1, 4).unwrap());
        assert_eq!(identify.presence.status, "idle");
        let shown: serde_json::Value = serde_json::from_str(identify.presence.activities[0].get()).unwrap();
        assert_eq!(shown, serde_json::json!({"name": "a game", "type": 0, "created_at": 0}));
        let bare = opened(r#"{"token":"abc","intents":0,"presence":null,"shard":null}"#).unwrap();
        assert_eq!((bare.part, bare.large_threshold, bare.presence), (Part::WHOLE, 50, Shown::default()));
    }

    #[test]
    fn identify_names_what_is_wrong_with_it() {
        for (d, code) in [
            (r#"{"intents":0}"#, 4002),
            (r#"{"token":"a"}"#, 4002),
            (r#"{"token":1,"intents":0}"#, 4002),
            (r#"{"token":"a","intents":-1}"#, 4013),
            (r#"{"token":"a","intents":1.5}"#, 4013),
            (r#"{"token":"a","intents":262144}"#, 4013),
            (r#"{"token":"a","intents":18446744073709551615}"#, 4013),
            (r#"{"token":"a","intents":0,"shard":[1,1]}"#, 4010),
            (r#"{"token":"a","intents":0,"shard":[0,0]}"#, 4010),
            (r#"{"token":"a","intents":0,"shard":[-1,2]}"#, 4010),
            (r#"{"token":"a","intents":0,"shard":[0]}"#, 4010),
            (r#"{"token":"a","intents":0,"shard":"0"}"#, 4010),
            (r#"{"token":"a","intents":0,"shard":[0,100000]}"#, 4010),
            (r#"{"token":"a","intents":0,"presence":{"status":"away"}}"#, 4002),
        ] {
            assert_eq!(opened(d).expect_err(d).code(), code, "{d}");
        }
    }

    #[test]
    fn depth_costs_no_stack_and_reaches_nobody() {
        let deep = "[".repeat(2000) + &"]".repeat(2000);
        assert!(matches!(read(&format!(r#"{{"op":4,"d":{deep}}}"#), true), Ok(Op::Ignored)));
        assert_eq!(fails(&format!(r#"{{"op":2,"d":{deep}}}"#), false), 4002);
        let shown = format!(r#"{{"op":3,"d":{{"status":"dnd","activities":[{{"name":"x","y":{deep}}}]}}}}"#);
        let Ok(Op::Presence(shown)) = read(&shown, true) else { panic!("refused") };
        assert!(!shown.activities[0].get().contains('['));
    }

    #[test]
    fn members_are_asked_for_by_name_or_by_id() {
        let read = |d: &str| match read(&format!(r#"{{"op":8,"d":{d}}}"#), true) {
            Ok(Op::Members(members)) => Ok(*members),
            Ok(other) => panic!("{other:?}"),
            Err(close) => Err(close.code()),
        };
        let all = read(r#"{"guild_id":"10","query":"","limit":0,"presences":true,"nonce":"n"}"#).unwrap();
        let which = Which::Named(String::new(), None);
        let nonce = Some("n".to_owned());
        assert_eq!(all, Members { guild: Id(10), which, presences: true, nonce });
        let some = |d| read(d).unwrap().which;
        assert_eq!(some(r#"{"guild_id":10,"query":"ab","limit":5}"#), Which::Named("ab".to_owned(), Some(5)));
        assert_eq!(
            some(r#"{"guild_id":["10"],"query":"ab","limit":0}"#),
            Which::Named("ab".to_owned(), Some(100))
        );
        assert_eq!(some(r#"{"guild_id":"10","user_ids":"3"}"#), Which::Ids(vec![Id(3)]));
        assert_eq!(some(r#"{"guild_id":"10","user_ids":["3",4],"limit":0}"#), Which::Ids(vec![Id(3), Id(4)]));
        assert_eq!(read(r#"{"guild_id":"10"}"#), Err(4002));
        assert_eq!(read(r#"{"guild_id":[],"query":""}"#), Err(4002));
        let long = format!(r#"{{"guild_id":"10","query":"","nonce":"{}"}}"#, "n".repeat(33));
        assert_eq!(read(&long).unwrap().nonce, None);
    }

    #[test]
    fn a_resume_without_a_number_is_read() {
        let text = r#"{"op":6,"d":{"token":"Bot t","session_id":"s","seq":null}}"#;
        let Ok(Op::Resume(resume)) = read(text, false) else { panic!("refused") };
        assert_eq!(*resume, Resume { token: "t".to_owned(), session: "s".to_owned(), seq: None });
        assert_eq!(fails(r#"{"op":6,"d":{"token":"t"}}"#, false), 4002);
    }
}
