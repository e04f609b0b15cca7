//! What clients could say to a gateway: payloads with every field as it should be, missing, something else, or there
//! twice; and good ones with some bytes changed. Each knows what may come of it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A payload longer than this cannot be one (Discord's limit).
const PAYLOAD_MAX: usize = 4096;
/// Close codes for payloads that come of what is in them, and WebSocket's own for text that is none.
const ALL_CODES: &[u16] = &[1007, 4001, 4002, 4003, 4004, 4005, 4010, 4013, 4014];

/// What each op's `d` is made of, as libraries write it. What is between @ is put in when it is said.
const SAID: &[(u64, &[(&str, &str)])] = &[
    (1, &[]),
    (
        2,
        &[
            ("token", r#""Bot @TOKEN@""#),
            ("intents", "33281"),
            ("properties", r#"{"os":"linux","browser":"x","device":"x"}"#),
            ("compress", "true"),
            ("large_threshold", "250"),
            ("shard", "[0,1]"),
            (
                "presence",
                r#"{"status":"idle","since":null,"afk":false,"activities":[{"name":"a","type":0}]}"#,
            ),
        ],
    ),
    (
        3,
        &[
            ("since", r#"{"secs_since_epoch":1,"nanos_since_epoch":2}"#),
            ("status", r#""dnd""#),
            ("afk", "false"),
            ("activities", r#"[{"name":"a game","type":0,"state":"on","url":"http://a"}]"#),
        ],
    ),
    (
        4,
        &[
            ("guild_id", r#""@GUILD@""#),
            ("channel_id", "null"),
            ("self_mute", "false"),
            ("self_deaf", "true"),
        ],
    ),
    (6, &[("token", r#""@TOKEN@""#), ("session_id", r#""@SESSION@""#), ("seq", "1")]),
    (
        8,
        &[
            ("guild_id", r#""@GUILD@""#),
            ("query", r#""""#),
            ("limit", "0"),
            ("presences", "true"),
            ("nonce", r#""n""#),
            ("user_ids", r#"["1","2"]"#),
        ],
    ),
    (31, &[("guild_ids", r#"["@GUILD@"]"#)]),
    (43, &[("guild_id", r#""@GUILD@""#), ("fields", r#"["status"]"#)]),
];

/// Opcodes that are numbers, but none a client sends.
const UNKNOWN: &[&str] = &["0", "5", "7", "9", "10", "11", "12", "99", "4294967298", "18446744073709551615"];
/// What is no opcode at all.
const NO_OPS: &[&str] =
    &["\"1\"", "-1", "1.5", "1e0", "null", "[2]", "{}", "true", "18446744073709551616", "1e999"];

/// What is put between the bytes of a good payload.
const PIECES: &[&[u8]] =
    &[b"null", b"\"", b"{", b"]", b",", b":", b"\\", b"-1", b"1e9", b"\0", b"\xff", b"\xed\xa0\x80"];

/// What may come of a payload: one of these codes, nothing, or a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) codes: &'static [u16],
    pub(super) stays: bool,
    pub(super) enters: bool,
}

const HEARD: Fate = Fate { codes: &[], stays: true, enters: false };
const ENTERS: Fate = Fate { codes: &[], stays: false, enters: true };

const fn ends(codes: &'static [u16]) -> Fate {
    Fate { codes, stays: false, enters: false }
}

/// Where somebody puts their own words for a field's.
#[derive(Debug, Clone)]
enum Twist {
    Keep,
    Drop,
    Instead(String),
    Twice(String),
}

/// What a payload's `d` is.
#[derive(Debug, Clone)]
enum D {
    Fields,
    Missing,
    Instead(String),
}

/// A payload, what may come of it before there is a session, and while there is one.
#[derive(Debug, Clone)]
pub(super) struct Said {
    text: Vec<u8>,
    before: Fate,
    within: Fate,
    /// A heartbeat, which is answered wherever it is said.
    pub(super) is_beat: bool,
}

/// A message on its way: which kind of frames, and how they are cut.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) said: Said,
    is_binary: bool,
    cuts: Vec<Index>,
    has_pings: bool,
    mask: [u8; 4],
}

impl Sent {
    pub(super) fn wants_a_session(&self) -> bool {
        self.said.text.windows(9).any(|part| part == b"@SESSION@")
    }

    /// The payload, with what is only known while the server runs.
    pub(super) fn payload(&self, names: &[(&str, &str)]) -> Vec<u8> {
        match String::from_utf8(self.said.text.clone()) {
            Ok(text) => names.iter().fold(text, |text, (name, is)| text.replace(name, is)).into_bytes(),
            Err(other) => other.into_bytes(),
        }
    }

    /// What may come of it.
    pub(super) fn fate(&self, payload: &[u8], is_within: bool) -> Fate {
        match self.fault(payload) {
            Some(code) => ends(code),
            None if is_within => self.said.within,
            None => self.said.before,
        }
    }

    /// What is wrong with it as a message, whatever it says. Found before what came earlier is obeyed.
    pub(super) fn fault(&self, payload: &[u8]) -> Option<&'static [u16]> {
        let is_text = std::str::from_utf8(payload).is_ok();
        match () {
            () if self.is_binary => Some(&[4002]),
            () if payload.len() > PAYLOAD_MAX && !is_text => Some(&[1007, 4002]),
            () if payload.len() > PAYLOAD_MAX => Some(&[4002]),
            () if !is_text => Some(&[1007]),
            () => None,
        }
    }

    /// Its frames.
    pub(super) fn frames(&self, payload: &[u8], out: &mut Vec<u8>) {
        let mut ends: Vec<usize> = self.cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        ends.sort_unstable();
        ends.push(payload.len());
        let (mut from, last) = (0, ends.len() - 1);
        for (n, to) in ends.into_iter().enumerate() {
            let opcode = if n > 0 { 0 } else { 1 + u8::from(self.is_binary) };
            frame(n == last, opcode, self.mask, &payload[from..to], out);
            if self.has_pings {
                frame(true, 9, self.mask, b"still there?", out);
            }
            from = to;
        }
    }
}

/// A client's frame.
pub(super) fn frame(is_last: bool, opcode: u8, mask: [u8; 4], payload: &[u8], out: &mut Vec<u8>) {
    out.push(u8::from(is_last) << 7 | opcode);
    match u16::try_from(payload.len()).unwrap() {
        short @ 0..126 => out.push(0x80 | short as u8),
        length => {
            out.push(0x80 | 126);
            out.extend(length.to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// JSON of any shape, as text: a tree could not hold all of it.
fn json() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        6 => ".{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        2 => select(&[r#""\ud800""#, r#""\u0000""#, r#""\ud83d\ude00""#, r#""1""#, r#""@TOKEN@""#, r#""@GUILD@""#][..])
            .prop_map(str::to_owned),
        1 => (1..5000_usize).prop_map(|n| format!("\"{}\"", "x".repeat(n))),
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        (0..300_u64).prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("a number", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        select(&["-0", "1e400", "-1E-400", "0.10", "18446744073709551616"][..]).prop_map(str::to_owned),
        (1..2000_usize).prop_map(|n| "9".repeat(n)),
    ];
    let deep = (1..2040_usize, any::<bool>()).prop_map(|(depth, is_list)| {
        let (open, close) = if is_list { ("[", "]") } else { (r#"{"a":"#, "}") };
        let depth = if is_list { depth } else { depth / 3 };
        format!("{}{}{}", open.repeat(depth), if is_list { "" } else { "0" }, close.repeat(depth))
    });
    let leaf = prop_oneof![
        3 => select(&["null", "true", "false", "[]", "{}"][..]).prop_map(str::to_owned),
        4 => number,
        4 => text,
        1 => deep,
    ];
    // Names repeat: an object may have one twice.
    let name = select(&["name", "type", "status", "activities", "state", "url", "id", "0", "é", ""][..]);
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let pair = (name.clone(), inner.clone()).prop_map(|(name, value)| format!(" \"{name}\" :{value}"));
        prop_oneof![
            vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(" ,\n"))),
            vec(pair, 0..5).prop_map(|pairs| format!("{{{} }}", pairs.join(","))),
        ]
    })
}

/// A payload of the grammar.
fn spoken() -> impl Strategy<Value = Said> {
    let op = prop_oneof![
        12 => select(SAID).prop_map(|(op, fields)| (op.to_string(), Some(op), fields)),
        1 => select(UNKNOWN).prop_map(|op| (op.to_owned(), None, SAID[1].1)),
        1 => select(NO_OPS).prop_map(|op| (op.to_owned(), None, SAID[1].1)),
    ];
    let twist = prop_oneof![
        20 => Just(Twist::Keep),
        1 => Just(Twist::Drop),
        2 => json().prop_map(Twist::Instead),
        1 => json().prop_map(Twist::Twice),
    ];
    let d = prop_oneof![8 => Just(D::Fields), 1 => Just(D::Missing), 2 => json().prop_map(D::Instead)];
    let more = vec((select(&["s", "t", "x", "op"][..]), json()), 0..2);
    (op, vec(twist, 8), d, more, any::<bool>()).prop_map(|((word, op, fields), twists, d, more, is_first)| {
        let is_kept = twists.iter().take(fields.len()).all(|twist| matches!(twist, Twist::Keep));
        let mut all = vec![format!("\"op\": {word}")];
        let written = match &d {
            D::Missing => None,
            D::Instead(text) => Some(text.clone()),
            D::Fields if op == Some(1) => Some("null".to_owned()),
            D::Fields => Some(object(fields, &twists)),
        };
        all.extend(written.map(|d| format!("\"d\":{d}")));
        if is_first {
            all.reverse();
        }
        all.extend(more.iter().map(|(name, value)| format!("\"{name}\":{value}")));
        let is_double = more.iter().any(|(name, _)| *name == "op");
        let (before, within) = match op {
            _ if is_double => (ends(&[4002]), ends(&[4002])),
            Some(op) => (before(op, &d, is_kept), within(op, &d)),
            None if UNKNOWN.contains(&word.as_str()) => (ends(&[4001]), ends(&[4001])),
            None => (ends(&[4002]), ends(&[4002])),
        };
        let is_beat = op == Some(1) && before.stays && before.codes.is_empty();
        Said { text: format!("{{{}}}", all.join(",")).into_bytes(), before, within, is_beat }
    })
}

fn object(fields: &[(&str, &str)], twists: &[Twist]) -> String {
    let mut pairs = Vec::new();
    for ((name, value), twist) in fields.iter().zip(twists) {
        match twist {
            Twist::Keep => pairs.push(format!("\"{name}\":{value}")),
            Twist::Drop => {}
            Twist::Instead(other) => pairs.push(format!("\"{name}\":{other}")),
            Twist::Twice(other) => pairs.extend([value, &other.as_str()].map(|v| format!("\"{name}\":{v}"))),
        }
    }
    format!("{{{}}}", pairs.join(","))
}

fn before(op: u64, d: &D, is_kept: bool) -> Fate {
    match op {
        1 => beat(d),
        2 if is_kept && matches!(d, D::Fields) => ENTERS,
        2 => Fate { codes: &[4002, 4004, 4010, 4013], stays: false, enters: true },
        // A session that is not known is no reason to go.
        6 => Fate { codes: &[4002, 4004], stays: true, enters: true },
        _ => ends(&[4003]),
    }
}

fn within(op: u64, d: &D) -> Fate {
    match op {
        1 => beat(d),
        2 | 6 => ends(&[4005]),
        3 | 8 => Fate { codes: &[4002], ..HEARD },
        // Voice and soundboards: allowed, whatever is in them.
        _ => HEARD,
    }
}

fn beat(d: &D) -> Fate {
    match d {
        D::Fields | D::Missing => HEARD,
        D::Instead(d) if d == "null" || d.parse::<u64>().is_ok() => HEARD,
        // A number that is none of ours, or none at all.
        D::Instead(d) if d.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            Fate { codes: &[4002], ..HEARD }
        }
        D::Instead(_) => ends(&[4002]),
    }
}

/// A change of some bytes.
#[derive(Debug, Clone)]
enum Change {
    Put(u8),
    Cut(usize),
    Again(usize),
    Insert(&'static [u8]),
}

/// A good payload with some bytes changed. What comes of it is not for us to know.
fn changed() -> impl Strategy<Value = Said> {
    let change = prop_oneof![
        any::<u8>().prop_map(Change::Put),
        prop::char::range('!', '~').prop_map(|c| Change::Put(c as u8)),
        (1..40_usize).prop_map(Change::Cut),
        (1..40_usize).prop_map(Change::Again),
        select(PIECES).prop_map(Change::Insert),
    ];
    (select(SAID), vec((any::<Index>(), change), 1..4)).prop_map(|((op, fields), changes)| {
        let d = object(fields, &vec![Twist::Keep; fields.len()]);
        let mut text = format!("{{\"op\":{op},\"d\":{d},\"s\":null,\"t\":null}}").into_bytes();
        for (at, change) in changes {
            let at = at.index(text.len() + 1);
            let upto = |count: usize| at..(at + count).min(text.len());
            match change {
                Change::Put(byte) if at < text.len() => text[at] = byte,
                Change::Put(byte) => text.push(byte),
                Change::Cut(count) => drop(text.drain(upto(count))),
                Change::Again(count) => {
                    let part = text[upto(count)].to_vec();
                    text.splice(at..at, part);
                }
                Change::Insert(bytes) => drop(text.splice(at..at, bytes.iter().copied())),
            }
        }
        let any = Fate { codes: ALL_CODES, stays: true, enters: true };
        Said { text, before: any, within: any, is_beat: false }
    })
}

fn sent(said: impl Strategy<Value = Said>) -> impl Strategy<Value = Sent> {
    let cuts = prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<Index>(), 0..4)];
    let is_binary = prop::bool::weighted(0.02);
    (said, is_binary, cuts, prop::bool::weighted(0.1), any::<[u8; 4]>())
        .prop_map(|(said, is_binary, cuts, has_pings, mask)| Sent { said, is_binary, cuts, has_pings, mask })
}

/// A conversation: what is said before a session is opened, as it should be, and after; or no session is.
fn talk<S: Strategy<Value = Said>>(said: fn() -> S) -> impl Strategy<Value = Vec<Sent>> {
    let login = sent(Just(SAID[1].1).prop_map(|fields| Said {
        text: format!("{{\"op\":2,\"d\":{}}}", object(fields, &vec![Twist::Keep; fields.len()])).into_bytes(),
        before: ENTERS,
        within: ends(&[4005]),
        is_beat: false,
    }));
    let login = prop_oneof![1 => Just(None), 3 => login.prop_map(Some)];
    (vec(sent(said()), 0..2), login, vec(sent(said()), 0..5))
        .prop_map(|(before, login, after)| before.into_iter().chain(login).chain(after).collect())
}

/// Conversations of the grammar.
pub(super) fn spoken_talks() -> impl Strategy<Value = Vec<Sent>> {
    talk(spoken)
}

/// Conversations of changed payloads.
pub(super) fn changed_talks() -> impl Strategy<Value = Vec<Sent>> {
    talk(changed)
}
