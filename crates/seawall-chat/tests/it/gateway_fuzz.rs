//! Whatever enters at the gateway's socket: it is obeyed, ignored, or answered by the close code that is documented for
//! it, and nobody else notices.

mod grammar;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::gateway_making::{ALL, Client, HANG, Person, Place, Process, config, guild, join, person, say};
use grammar::{Sent, frame};

const QUERY: &str = "?v=10&encoding=json";
/// Conversations after which somebody else logs in.
const LOGIN_EVERY: u32 = 16;

/// One server for all conversations: Ann listens in a guild, Ben talks.
struct Scene {
    p: Process,
    ann: Person,
    ben: Person,
    place: Place,
    _data: TempDir,
}

/// What somebody was sent.
#[derive(Debug, Default)]
struct Answer {
    payloads: Vec<Value>,
    /// The goodbye's code; none where there was no goodbye.
    code: Option<u16>,
}

/// Where a conversation may be.
#[derive(Debug)]
struct Expected {
    is_before: bool,
    is_within: bool,
    codes: BTreeSet<u16>,
    beats: usize,
}

impl Scene {
    async fn start() -> (Scene, Client) {
        let data = tempdir().unwrap();
        let config = seawall_chat::Config {
            identify_max: u32::MAX,
            // Nobody beats while others talk.
            heartbeat_interval: Duration::from_secs(600),
            // Sessions that were left are given up while others talk.
            session_ttl: Duration::from_secs(1),
            ..config()
        };
        let p = Process::start_with(data.path(), config, &[]).await;
        let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
        let place = guild(p.addr, &ann).await;
        join(p.addr, &place, &ben).await;
        let listening = Client::with(p.addr, &ann, ALL).await;
        (Scene { p, ann, ben, place, _data: data }, listening)
    }

    /// One conversation, and what it must not have done.
    async fn check(&self, n: u32, talk: &[Sent], listening: &mut Client) -> TestCaseResult {
        let (mut session, mut wire) = (String::new(), Vec::new());
        if talk.iter().any(Sent::wants_a_session) {
            session = Client::with(self.p.addr, &self.ben, 0).await.session;
        }
        let names =
            [("@TOKEN@", &*self.ben.token), ("@GUILD@", &*self.place.guild), ("@SESSION@", &*session)];
        let payloads: Vec<_> = talk.iter().map(|sent| sent.payload(&names)).collect();
        talk.iter().zip(&payloads).for_each(|(sent, payload)| sent.frames(payload, &mut wire));
        frame(true, 1, [0; 4], br#"{"op":1,"d":null}"#, &mut wire);
        frame(true, 8, [0; 4], &1000_u16.to_be_bytes(), &mut wire);

        let socket = Client::connect(self.p.addr, QUERY).await.into_socket();
        let content = format!("meanwhile {n}");
        let (answer, _) =
            tokio::join!(converse(socket, &wire), say(self.p.addr, &self.place, &self.ann, &content));
        let shown: Vec<_> = payloads.iter().map(|payload| String::from_utf8_lossy(payload)).collect();
        let expected = expected(talk, &payloads);
        prop_assert!(expected.is_met(&answer), "{:#?}\n{:?} instead of {:?}", shown, answer, expected);

        while listening.dispatch("MESSAGE_CREATE").await["content"] != content {}
        if n.is_multiple_of(LOGIN_EVERY) {
            let mut new = Client::with(self.p.addr, &self.ben, ALL).await;
            new.beat().await;
            prop_assert_eq!(new.close(1000).await, 1000);
        }
        prop_assert_eq!(self.p.host.tasks.connection_panics(), 0, "{:#?}", shown);
        Ok(())
    }
}

impl Expected {
    fn is_met(&self, answer: &Answer) -> bool {
        let beats = answer.payloads.iter().filter(|payload| payload["op"] == 11).count();
        let is_known = |payload: &Value| matches!(payload["op"].as_u64(), Some(0 | 7 | 9 | 11));
        let is_good = match answer.code {
            // Our own goodbye came back: nothing was wrong with what came before, the last heartbeat was heard.
            Some(1000) => (self.is_before || self.is_within) && beats >= self.beats,
            Some(code) => self.codes.contains(&code),
            None => false,
        };
        is_good && answer.payloads.iter().all(is_known)
    }
}

/// What may come of it all.
fn expected(talk: &[Sent], payloads: &[Vec<u8>]) -> Expected {
    let mut now = Expected { is_before: true, is_within: false, codes: BTreeSet::new(), beats: 1 };
    for (sent, payload) in talk.iter().zip(payloads) {
        // What is no payload ends the connection as soon as it is there, whatever was to be obeyed before.
        now.codes.extend(sent.fault(payload).into_iter().flatten());
        let mut next = Expected { is_before: false, is_within: false, ..now };
        for (is_here, is_within) in [(now.is_before, false), (now.is_within, true)] {
            if is_here {
                let fate = sent.fate(payload, is_within);
                next.codes.extend(fate.codes);
                next.is_before |= fate.stays && !is_within;
                next.is_within |= fate.enters || (fate.stays && is_within);
            }
        }
        next.beats += usize::from(sent.said.is_beat);
        now = next;
    }
    now
}

/// Says all of it and reads until the goodbye, or the end.
async fn converse(mut socket: TcpStream, wire: &[u8]) -> Answer {
    let (mut answer, mut unread) = (Answer::default(), Vec::new());
    let talk = async {
        // The server may be gone already.
        drop(socket.write_all(wire).await);
        while answer.code.is_none() {
            while let Some((opcode, payload)) = next_frame(&mut unread) {
                match opcode {
                    1 => answer.payloads.push(serde_json::from_slice(&payload).unwrap()),
                    8 => answer.code = payload.first_chunk().map(|code| u16::from_be_bytes(*code)),
                    10 => assert_eq!(payload, b"still there?"),
                    other => panic!("a frame of opcode {other}"),
                }
            }
            if answer.code.is_none() && !matches!(socket.read_buf(&mut unread).await, Ok(1..)) {
                break;
            }
        }
    };
    timeout(HANG, talk).await.expect("silence");
    answer
}

/// A server's frame, once it is whole.
fn next_frame(unread: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (head, short) = (*unread.first()?, *unread.get(1)?);
    let (from, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(*unread.get(2..)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*unread.get(2..)?.first_chunk()?) as usize),
        short => (2, usize::from(short)),
    };
    let payload = unread.get(from..from + length)?.to_vec();
    unread.drain(..from + length);
    assert_eq!(head & 0xf0, 0x80, "whole frames without extensions");
    Some((head & 0x0f, payload))
}

/// Asks for one property with one server.
fn check(name: &'static str, talks: impl Strategy<Value = Vec<Sent>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (scene, listening) = runtime.block_on(Scene::start());
    let (listening, n) = (RefCell::new(listening), RefCell::new(0));
    let (source_file, test_name) = (Some(file!()), Some(name));
    let config = Config { source_file, test_name, max_shrink_iters: 200, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&talks, |talk| {
        *n.borrow_mut() += 1;
        runtime.block_on(scene.check(*n.borrow(), &talk, &mut listening.borrow_mut()))
    });
    if let Err(wrong) = outcome {
        panic!("{wrong}\n{runner}");
    }
    runtime.block_on(scene.check(0, &[], &mut listening.borrow_mut())).unwrap();
}

#[test]
fn what_is_said_is_obeyed_ignored_or_answered_by_its_code() {
    check("what_is_said_is_obeyed_ignored_or_answered_by_its_code", grammar::spoken_talks());
}

#[test]
fn a_payload_with_changed_bytes_harms_nobody() {
    check("a_payload_with_changed_bytes_harms_nobody", grammar::changed_talks());
}

#[test]
fn what_may_come_of_a_conversation_is_told_apart() {
    let answer = |code, beats| Answer { payloads: vec![json!({"op": 11}); beats], code };
    let expected = expected(&[], &[]);
    assert!(expected.is_met(&answer(Some(1000), 1)));
    for wrong in [answer(Some(1000), 0), answer(Some(4002), 1), answer(None, 1)] {
        assert!(!expected.is_met(&wrong), "{wrong:?}");
    }
    let odd = Answer { payloads: vec![json!({"op": 11}), json!({"op": 3})], code: Some(1000) };
    assert!(!expected.is_met(&odd));
}
