//! The codec without a socket: whatever the pieces, the commands are the same.

use proptest::prelude::*;
use seawall_net::resp::decoder::Limits;
use seawall_net::resp::{Decoder, Fault};

type Words = Vec<Vec<u8>>;

/// What a decoder finds in bytes that arrive in pieces of these sizes, and the most it held meanwhile besides what
/// had arrived.
fn decode(decoder: &mut Decoder, bytes: &[u8], pieces: &[usize]) -> (Vec<Words>, Option<Fault>, usize) {
    let (mut found, mut unread, mut held) = (Vec::new(), Vec::new(), 0);
    let mut rest = bytes;
    let mut sizes = pieces.iter().copied().chain(std::iter::repeat(usize::MAX));
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        rest = after;
        unread.extend_from_slice(piece);
        loop {
            let taken = match decoder.take(&unread) {
                Ok(taken) => taken,
                Err(fault) => return (found, Some(fault), held),
            };
            let is_whole = taken.command.is_some();
            if let Some(command) = taken.command {
                found.push(command.from(0).map(<[u8]>::to_vec).collect());
            }
            let bytes = taken.bytes;
            assert!(bytes <= unread.len() && (bytes > 0 || !is_whole));
            unread.drain(..bytes);
            held = held.max(decoder.held() + unread.len());
            if !is_whole {
                break;
            }
        }
    }
    (found, None, held)
}

const SMALL: Limits = Limits { args_max: 20, request_max: 200 };

/// Bytes that look like RESP, with mistakes.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        5 => (0..9_usize, "[a-z\\x00\r\n ]{0,9}").prop_map(|(n, text)| format!("${n}\r\n{text}\r\n").into_bytes()),
        5 => "[a-zA-Z.]{1,12}".prop_map(|word| format!("${}\r\n{word}\r\n", word.len()).into_bytes()),
        5 => (-2..5_i64).prop_map(|n| format!("*{n}\r\n").into_bytes()),
        2 => "[a-z\"'\\\\x0-9 ]{0,20}\r?\n".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
        1 => Just(b"\r\n".to_vec()),
        1 => (0..400_usize).prop_map(|n| format!("${n}\r\n{}\r\n", "x".repeat(n)).into_bytes()),
        1 => (0..40_usize).prop_map(|n| format!("*{n}\r\n").into_bytes()),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

/// Whole commands, as clients send them.
fn commands() -> impl Strategy<Value = Vec<Words>> {
    let word = proptest::collection::vec(any::<u8>(), 0..30);
    proptest::collection::vec(proptest::collection::vec(word, 1..6), 0..10)
}

proptest! {
    #[test]
    fn fuzz_any_split_gives_the_same_commands(
        bytes in nearly(),
        pieces in proptest::collection::vec(1..12_usize, 0..200),
    ) {
        let whole = decode(&mut Decoder::new(SMALL), &bytes, &[]);
        let split = decode(&mut Decoder::new(SMALL), &bytes, &pieces);
        let each = decode(&mut Decoder::new(SMALL), &bytes, &vec![1; bytes.len()]);
        prop_assert_eq!((&whole.0, whole.1), (&split.0, split.1));
        prop_assert_eq!((whole.0, whole.1), (each.0, each.1));
    }

    #[test]
    fn fuzz_random_bytes_end_in_commands_or_a_fault(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        is_stranger: bool,
    ) {
        let mut decoder = Decoder::new(SMALL);
        decoder.set_stranger(is_stranger);
        decode(&mut decoder, &bytes, &[7; 100]);
    }

    #[test]
    fn fuzz_memory_is_bounded_by_the_limits(bytes in nearly(), repeats in 1..20_usize) {
        let mut decoder = Decoder::new(SMALL);
        let (_, _, held) = decode(&mut decoder, &bytes.repeat(repeats), &[64; 1000]);
        // A request, a piece, the places of its arguments, and the words of a line.
        prop_assert!(held <= 200 + 64 + 64 * 1024 + 2048, "{held}");
    }

    #[test]
    fn fuzz_what_is_sent_is_what_is_found(
        sent in commands(),
        pieces in proptest::collection::vec(1..40_usize, 0..60),
    ) {
        let mut bytes = Vec::new();
        for words in &sent {
            bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
            for word in words {
                bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                bytes.extend_from_slice(word);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        let (found, fault, _) = decode(&mut Decoder::default(), &bytes, &pieces);
        prop_assert_eq!((found, fault), (sent, None));
    }
}

#[test]
fn a_command_may_be_as_long_as_the_limit_and_no_longer() {
    let limits = Limits { args_max: 2, request_max: 100 };
    let one = |n: usize| format!("*1\r\n${n}\r\n{}\r\n", "x".repeat(n)).into_bytes();
    let longest = (1..100).rev().find(|n| one(*n).len() <= 100).unwrap();
    let found = decode(&mut Decoder::new(limits), &one(longest), &[]);
    assert_eq!((found.0.len(), found.1), (1, None));
    assert_eq!(decode(&mut Decoder::new(limits), &one(longest + 1), &[]).1, Some(Fault::Length));
    assert_eq!(decode(&mut Decoder::new(limits), b"*3\r\n", &[]).1, Some(Fault::Count));
}

#[test]
fn a_line_may_be_as_long_as_redis_s_and_no_longer_however_it_arrives() {
    let line = |n: usize| [vec![b'x'; n], b"\n".to_vec()].concat();
    for pieces in [vec![], vec![1000; 100], vec![65_536], vec![65_537]] {
        let found = decode(&mut Decoder::default(), &line(65_536), &pieces);
        assert_eq!((found.0.len(), found.1), (1, None), "{}", pieces.len());
        let found = decode(&mut Decoder::default(), &line(65_537), &pieces);
        assert_eq!((found.0.len(), found.1), (0, Some(Fault::LongLine)), "{}", pieces.len());
    }
}

#[test]
fn nothing_is_kept_of_empty_lines() {
    let mut decoder = Decoder::default();
    let taken = decoder.take(b"\r\n\n*0\r\n*-1\r\n*1\r\n$4").unwrap();
    assert_eq!((taken.bytes, taken.command.is_none()), (12, true));
    let taken = decoder.take(b"*1\r\n$4\r\nPING\r\nrest").unwrap();
    assert_eq!((taken.bytes, taken.command.unwrap().name()), (14, &b"PING"[..]));
}
