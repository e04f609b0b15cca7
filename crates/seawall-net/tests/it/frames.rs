//! The frames of a client, in whatever pieces: RFC 6455, sections 5 to 8, as far as they say MUST to a server.

use std::path::Path;

use proptest::prelude::*;
use seawall_net::ws::{Decoder, Event, Fault, MESSAGE_MAX, Opcode, header};

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// An event that owns what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Fault(Fault),
}

fn text(s: &str) -> Seen {
    Seen::Text(s.to_owned())
}

fn feed(decoder: &mut Decoder, bytes: &[u8], seen: &mut Vec<Seen>) {
    let mut buffer = bytes.to_vec();
    let mut events = decoder.feed(&mut buffer);
    while let Some(event) = events.next() {
        seen.push(match event {
            Ok(Event::Text(s)) => text(s),
            Ok(Event::Binary(b)) => Seen::Binary(b.to_vec()),
            Ok(Event::Ping(b)) => Seen::Ping(b.to_vec()),
            Ok(Event::Pong(b)) => Seen::Pong(b.to_vec()),
            Ok(Event::Close { code, reason }) => Seen::Close(code, reason.to_owned()),
            Err(fault) => Seen::Fault(fault),
        });
    }
}

/// What these bytes are, arriving at once and cut after each of `cuts`.
fn read_cut(bytes: &[u8], cuts: &[usize], message_max: u32) -> (Vec<Seen>, usize) {
    let (mut decoder, mut seen, mut begin) = (Decoder::new(message_max), Vec::new(), 0);
    for end in cuts.iter().copied().chain([bytes.len()]) {
        feed(&mut decoder, &bytes[begin..end], &mut seen);
        begin = end;
    }
    (seen, decoder.held())
}

/// What these bytes are: in one piece, in single bytes, and in two pieces wherever they may be cut.
fn read_with(bytes: &[u8], message_max: u32) -> Vec<Seen> {
    let (whole, held) = read_cut(bytes, &[], message_max);
    let all: Vec<_> = (1..bytes.len()).collect();
    let twos =
        all.iter().filter(|at| bytes.len() < 1000 || *at % 997 == 0 || **at < 20).map(std::slice::from_ref);
    for cuts in twos.chain([&all[..]]) {
        let (pieces, left) = read_cut(bytes, cuts, message_max);
        assert_eq!(pieces, whole, "cut at {:?}", &cuts[..1.min(cuts.len())]);
        assert_eq!(left == 0, held == 0, "cut at {:?}", &cuts[..1.min(cuts.len())]);
    }
    whole
}

fn read(bytes: &[u8]) -> Vec<Seen> {
    read_with(bytes, MESSAGE_MAX)
}

fn fault(bytes: &[u8]) -> Fault {
    match read(bytes).as_slice() {
        [Seen::Fault(fault)] => *fault,
        other => panic!("{other:?}"),
    }
}

/// A client's frame, with a mask that is none of its bytes' own.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, payload, [0x37, 0xfa, 0x21, 0x3d])
}

fn masked(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut out = Vec::new();
    header(Opcode::Text, payload.len(), &mut out);
    out[0] = first;
    out[1] |= 0x80;
    out.extend_from_slice(&key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

#[test]
fn an_idle_connection_keeps_sixteen_bytes() {
    let mut decoder = Decoder::default();
    assert_eq!(size_of::<Decoder>(), 16);
    for (bytes, is_held) in [
        (frame(FIN | TEXT, b"whole"), false),
        (frame(TEXT, b"begun"), true),
        (frame(FIN | PING, b""), true),
        (frame(CONTINUATION, b""), true),
        (frame(FIN | CONTINUATION, b"ended"), false),
        (frame(FIN | TEXT, b"half")[..7].to_vec(), true),
        (frame(FIN | TEXT, b"half")[7..].to_vec(), false),
    ] {
        feed(&mut decoder, &bytes, &mut Vec::new());
        assert_eq!(decoder.held() > 0, is_held, "{bytes:02x?}");
    }
}

#[test]
fn the_rfc_s_own_example_says_hello() {
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(read(&hello), [text("Hello")]);
}

#[test]
fn messages_of_every_width_of_length_arrive() {
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536] {
        let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        assert_eq!(read_with(&frame(FIN | BINARY, &payload), 1 << 20), [Seen::Binary(payload)]);
        assert_eq!(read_with(&frame(FIN | TEXT, &vec![b'*'; len]), 1 << 20), [text(&"*".repeat(len))]);
    }
}

#[test]
fn several_frames_in_one_read_are_several_events() {
    let bytes = [frame(FIN | TEXT, b"a"), frame(FIN | PONG, b""), frame(FIN | BINARY, b"\xff")].concat();
    assert_eq!(read(&bytes), [text("a"), Seen::Pong(vec![]), Seen::Binary(vec![0xff])]);
}

#[test]
fn an_unmasked_frame_is_a_fault() {
    assert_eq!(fault(b"\x81\x05Hello"), Fault::Unmasked);
    assert_eq!(fault(b"\x88\x00"), Fault::Unmasked);
}

#[test]
fn a_reserved_bit_is_a_fault() {
    for bit in [0x40, 0x20, 0x10] {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            assert_eq!(fault(&frame(FIN | bit | opcode, b"")), Fault::Reserved);
        }
    }
}

#[test]
fn an_unknown_opcode_is_a_fault() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        assert_eq!(fault(&frame(FIN | opcode, b"")), Fault::Opcode(opcode));
    }
}

#[test]
fn a_length_must_take_as_few_bytes_as_it_can() {
    let key = [0; 4];
    for head in [
        &[0x82, 0xfe, 0, 125][..],
        &[0x82, 0xfe, 0, 0],
        &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 5],
        &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
    ] {
        assert_eq!(fault(&[head, &key].concat()), Fault::Length, "{head:02x?}");
    }
}

#[test]
fn the_top_bit_of_a_length_must_be_zero() {
    assert_eq!(fault(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0]), Fault::Length);
    assert_eq!(fault(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Fault::Length);
}

#[test]
fn a_control_frame_carries_up_to_125_bytes() {
    for (opcode, seen) in [(PING, Seen::Ping(vec![7; 125])), (PONG, Seen::Pong(vec![7; 125]))] {
        assert_eq!(read(&frame(FIN | opcode, &[7; 125])), [seen]);
        assert_eq!(fault(&frame(FIN | opcode, &[7; 126])), Fault::LongControl);
    }
    assert_eq!(fault(&frame(FIN | CLOSE, &[7; 126])), Fault::LongControl);
}

#[test]
fn a_control_frame_comes_whole() {
    for opcode in [CLOSE, PING, PONG] {
        assert_eq!(fault(&frame(opcode, b"")), Fault::FragmentedControl);
    }
}

#[test]
fn fragments_make_one_message_of_the_first_ones_kind() {
    let parts =
        |kind| [frame(kind, b"ab"), frame(CONTINUATION, b""), frame(FIN | CONTINUATION, b"c")].concat();
    assert_eq!(read(&parts(TEXT)), [text("abc")]);
    assert_eq!(read(&parts(BINARY)), [Seen::Binary(b"abc".to_vec())]);
    let empty = [frame(TEXT, b""), frame(FIN | CONTINUATION, b"")].concat();
    assert_eq!(read(&empty), [text("")]);
}

#[test]
fn control_frames_between_fragments_are_read_at_once() {
    let bytes = [
        frame(TEXT, b"a"),
        frame(FIN | PING, b"1"),
        frame(CONTINUATION, b"b"),
        frame(FIN | PONG, b"2"),
        frame(FIN | CONTINUATION, b"c"),
        frame(FIN | TEXT, b"next"),
    ];
    let expected = [Seen::Ping(b"1".to_vec()), Seen::Pong(b"2".to_vec()), text("abc"), text("next")];
    assert_eq!(read(&bytes.concat()), expected);
}

#[test]
fn a_close_between_fragments_ends_the_message_too() {
    let bytes = [frame(TEXT, b"a"), frame(FIN | CLOSE, b""), frame(FIN | CONTINUATION, b"b")];
    assert_eq!(read(&bytes.concat()), [Seen::Close(None, String::new())]);
}

#[test]
fn a_message_inside_another_is_a_fault() {
    for kind in [TEXT, FIN | TEXT, BINARY, FIN | BINARY] {
        assert_eq!(fault(&[frame(TEXT, b"a"), frame(kind, b"b")].concat()), Fault::Interleaved);
    }
}

#[test]
fn a_continuation_of_nothing_is_a_fault() {
    for first in [CONTINUATION, FIN | CONTINUATION] {
        assert_eq!(fault(&frame(first, b"a")), Fault::NothingToContinue);
        let after = [frame(FIN | TEXT, b"whole"), frame(first, b"a")].concat();
        assert_eq!(read(&after), [text("whole"), Seen::Fault(Fault::NothingToContinue)]);
    }
}

#[test]
fn text_must_be_utf_8() {
    for bad in
        [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xce\xba\xe1", b"\xe2\x82"]
    {
        assert_eq!(fault(&frame(FIN | TEXT, bad)), Fault::Text, "{bad:02x?}");
        assert_eq!(fault(&[frame(TEXT, bad), frame(FIN | CONTINUATION, b"")].concat()), Fault::Text);
        assert_eq!(read(&frame(FIN | BINARY, bad)), [Seen::Binary(bad.to_vec())]);
    }
    assert_eq!(Fault::Text.close_code(), 1007);
}

#[test]
fn a_character_may_be_split_between_fragments() {
    let word = "κόσμε \u{10ffff} 漢";
    for at in 0..=word.len() {
        let (a, b) = word.as_bytes().split_at(at);
        assert_eq!(read(&[frame(TEXT, a), frame(FIN | CONTINUATION, b)].concat()), [text(word)]);
    }
    let bytes: Vec<_> = word.bytes().map(|byte| frame(CONTINUATION, &[byte])).collect();
    let all = [frame(TEXT, b""), bytes.concat(), frame(FIN | CONTINUATION, b"")].concat();
    assert_eq!(read(&all), [text(word)]);
}

#[test]
fn a_close_frame_has_no_code_or_one_that_may_be_sent() {
    assert_eq!(read(&frame(FIN | CLOSE, b"")), [Seen::Close(None, String::new())]);
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        let payload = [&u16::to_be_bytes(code)[..], b"bye"].concat();
        assert_eq!(read(&frame(FIN | CLOSE, &payload)), [Seen::Close(Some(code), "bye".to_owned())]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert_eq!(fault(&frame(FIN | CLOSE, &u16::to_be_bytes(code))), Fault::Close, "{code}");
    }
    assert_eq!(fault(&frame(FIN | CLOSE, b"\x03")), Fault::Close);
}

#[test]
fn the_reason_of_a_close_frame_must_be_utf_8() {
    assert_eq!(fault(&frame(FIN | CLOSE, b"\x03\xe8\xff")), Fault::Text);
    let long = [&b"\x03\xe8"[..], &[b'*'; 123]].concat();
    assert_eq!(read(&frame(FIN | CLOSE, &long)), [Seen::Close(Some(1000), "*".repeat(123))]);
}

#[test]
fn nothing_after_a_close_frame_or_a_fault_is_looked_at() {
    for (last, seen) in [
        (frame(FIN | CLOSE, b"\x03\xe8"), Seen::Close(Some(1000), String::new())),
        (b"\x81\x00".to_vec(), Seen::Fault(Fault::Unmasked)),
        (frame(FIN | TEXT, b"\xff"), Seen::Fault(Fault::Text)),
    ] {
        let bytes = [last, frame(FIN | TEXT, b"late"), b"\xff\xff\xff".to_vec()].concat();
        assert_eq!(read(&bytes), [seen]);
        assert_eq!(read_cut(&bytes, &[], MESSAGE_MAX).1, 0, "something is held for nobody");
    }
}

#[test]
fn a_message_that_is_too_long_is_told_apart_and_before_it_has_arrived() {
    let too_long = Fault::TooLong { max: MESSAGE_MAX };
    assert_eq!(MESSAGE_MAX, 4096);
    assert_eq!(read(&frame(FIN | TEXT, &[b'a'; 4096])), [text(&"a".repeat(4096))]);
    // Its length alone says so.
    assert_eq!(fault(&frame(FIN | TEXT, &[b'a'; 4097])[..4]), too_long);
    assert_eq!(fault(&[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), too_long);
    let parts = |n: usize| [frame(TEXT, &[b'a'; 4000]), frame(FIN | CONTINUATION, &vec![b'b'; n])].concat();
    assert_eq!(read(&parts(96)).len(), 1);
    assert_eq!(fault(&parts(97)), too_long);
    assert_eq!(too_long.close_code(), 1009);
}

#[test]
fn no_more_is_held_than_a_message_may_be_long() {
    let mut decoder = Decoder::new(1000);
    let mut seen = Vec::new();
    feed(&mut decoder, &frame(BINARY, &[1; 500]), &mut seen);
    for byte in &frame(FIN | CONTINUATION, &[2; 500])[..500] {
        feed(&mut decoder, &[*byte], &mut seen);
        assert!(decoder.held() < 2 * 1000 + 200, "{}", decoder.held());
    }
    assert_eq!(seen, []);
}

/// What a client sent, and what is to be seen of it.
#[derive(Debug, Clone)]
struct Said {
    bytes: Vec<u8>,
    seen: Vec<Seen>,
}

fn control() -> impl Strategy<Value = Said> {
    let payload = proptest::collection::vec(any::<u8>(), 0..=125);
    (any::<bool>(), payload, any::<[u8; 4]>()).prop_map(|(ping, payload, key)| {
        let bytes = masked(FIN | if ping { PING } else { PONG }, &payload, key);
        Said { bytes, seen: vec![if ping { Seen::Ping(payload) } else { Seen::Pong(payload) }] }
    })
}

/// A message in fragments cut anywhere, with control frames between them.
fn message() -> impl Strategy<Value = Said> {
    let content = prop_oneof![
        "\\PC{0,60}".prop_map(Seen::Text),
        "[a-z]{120,130}".prop_map(Seen::Text),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Seen::Binary),
    ];
    let cut = (any::<prop::sample::Index>(), proptest::option::of(control()), any::<[u8; 4]>());
    (content, proptest::collection::vec(cut, 0..4)).prop_map(|(content, mut cuts)| {
        let (kind, payload) = match &content {
            Seen::Binary(bytes) => (BINARY, bytes.clone()),
            Seen::Text(s) => (TEXT, s.clone().into_bytes()),
            other => panic!("no message: {other:?}"),
        };
        cuts.sort_by_key(|(at, ..)| at.index(payload.len() + 1));
        let (mut said, mut begin) = (Said { bytes: Vec::new(), seen: Vec::new() }, 0);
        for (i, (at, between, key)) in cuts.iter().enumerate() {
            let end = at.index(payload.len() + 1);
            let first = if i == 0 { kind } else { CONTINUATION };
            said.bytes.extend(masked(first, &payload[begin..end], *key));
            if let Some(between) = between {
                said.bytes.extend(&between.bytes);
                said.seen.extend(between.seen.clone());
            }
            begin = end;
        }
        let last = if cuts.is_empty() { kind } else { CONTINUATION };
        said.bytes.extend(frame(FIN | last, &payload[begin..]));
        said.seen.push(content);
        said
    })
}

fn cuts(bytes: &[u8], at: &[prop::sample::Index]) -> Vec<usize> {
    let mut cuts: Vec<_> = at.iter().map(|at| at.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    cuts
}

proptest! {
    #[test]
    fn fuzz_whatever_is_said_is_understood_in_any_pieces(
        said in proptest::collection::vec(prop_oneof![message(), control()], 0..6),
        at in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes: Vec<u8> = said.iter().flat_map(|said| said.bytes.clone()).collect();
        let expected: Vec<Seen> = said.into_iter().flat_map(|said| said.seen).collect();
        let (seen, held) = read_cut(&bytes, &cuts(&bytes, &at), MESSAGE_MAX);
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(held, 0);
    }

    #[test]
    fn fuzz_damaged_frames_are_the_same_fault_in_any_pieces(
        said in proptest::collection::vec(prop_oneof![message(), control()], 0..4),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        noise in proptest::collection::vec(any::<u8>(), 0..40),
        at in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut bytes: Vec<u8> = said.into_iter().flat_map(|said| said.bytes).chain(noise).collect();
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        const MAX: u32 = 256;
        let (whole, _) = read_cut(&bytes, &[], MAX);
        let (pieces, held) = read_cut(&bytes, &cuts(&bytes, &at), MAX);
        prop_assert_eq!(&pieces, &whole);
        prop_assert!(held <= 4 * MAX as usize + 200, "{}", held);
        let ends = |seen: &&Seen| matches!(seen, Seen::Fault(_) | Seen::Close(..));
        prop_assert!(whole.iter().rev().skip(1).find(ends).is_none(), "something follows the end: {:?}", whole);
    }
}

/// Cases worth keeping: bytes in hex, a line `----`, what is seen of them.
#[test]
fn fuzz_corpus_is_understood_as_it_says() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/ws-frames");
    let mut cases = 0;
    for file in corpus.read_dir().unwrap() {
        let path = file.unwrap().path();
        let case = std::fs::read_to_string(&path).unwrap();
        let (hex, expected) = case.split_once("\n----\n").unwrap();
        let hex: String = hex
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default())
            .flat_map(str::chars)
            .filter(|c| !c.is_whitespace())
            .collect();
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        let seen: Vec<String> = read(&bytes).iter().map(|seen| format!("{seen:?}")).collect();
        assert_eq!(seen, expected.lines().collect::<Vec<_>>(), "{}", path.display());
        cases += 1;
    }
    assert!(cases > 0, "nothing in {}", corpus.display());
}
