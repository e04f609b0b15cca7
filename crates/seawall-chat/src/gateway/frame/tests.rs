use std::io::Read;

use flate2::{Decompress, FlushDecompress};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::gateway::entry::To;
use crate::id::Id;

fn slot(t: Kind, d: &str) -> Slot {
    let d = Bytes::copy_from_slice(d.as_bytes());
    let what =
        What::Dispatch { origin: None, to: To::Guild(Id(1)), t, author: None, mentions: Box::default(), d };
    Slot::new(Entry { lsn: 1, what })
}

/// The frames of a server's byte stream: opcode and payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert_eq!(first & 0xf0, 0x80, "whole, nothing reserved");
        let (len, rest) = match second {
            126 => (u16::from_be_bytes(rest[..2].try_into().unwrap()) as usize, &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            len => (usize::from(*len), rest),
        };
        frames.push((first & 0x0f, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty());
    frames
}

/// What a client makes of each frame's payload, with one decoder for the whole connection.
enum Decoder {
    None,
    Zlib(Decompress),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

impl Decoder {
    fn new(compression: Compression) -> Decoder {
        match compression {
            Compression::None => Decoder::None,
            Compression::Zlib => Decoder::Zlib(Decompress::new(true)),
            Compression::Zstd => Decoder::Zstd(zstd::stream::raw::Decoder::new().unwrap()),
        }
    }

    fn decode(&mut self, opcode: u8, payload: &[u8]) -> String {
        let mut out = Vec::new();
        match self {
            Decoder::None => {
                assert_eq!(opcode, 1);
                out.extend_from_slice(payload);
            }
            Decoder::Zlib(decoder) => {
                assert_eq!(opcode, 2);
                assert!(payload.ends_with(&[0, 0, 0xff, 0xff]), "clients wait for it");
                let end = decoder.total_in() + payload.len() as u64;
                while decoder.total_in() < end || out.len() == out.capacity() {
                    out.reserve(4096);
                    let rest = &payload[payload.len() - (end - decoder.total_in()) as usize..];
                    decoder.decompress_vec(rest, &mut out, FlushDecompress::Sync).unwrap();
                }
            }
            Decoder::Zstd(decoder) => {
                assert_eq!(opcode, 2);
                let mut source = payload;
                // One payload in, everything out: clients do not wait for more.
                let mut buffer = vec![0; payload.len() + (256 << 10)];
                loop {
                    use zstd::stream::raw::Operation;
                    let status = decoder.run_on_buffers(source, &mut buffer).unwrap();
                    source = &source[status.bytes_read..];
                    out.extend_from_slice(&buffer[..status.bytes_written]);
                    if source.is_empty() && status.bytes_written == 0 {
                        break;
                    }
                }
            }
        }
        String::from_utf8(out).unwrap()
    }
}

const ALL: [Compression; 3] = [Compression::None, Compression::Zlib, Compression::Zstd];

#[derive(Debug, Clone)]
enum Sent {
    Control(String),
    Dispatch { which: usize, s: u64, content: bool },
}

proptest! {
    /// Listeners with one ring between them: each decoder gets its own connection's frames, in any mixture.
    #[test]
    fn real_decoders_read_any_mixture(
        said in vec("\\PC{0,300}", 1..6),
        sent in vec(
            prop_oneof![
                "\\PC{0,200}".prop_map(|text| Sent::Control(json!({ "op": 11, "d": text }).to_string())),
                (any::<usize>(), any::<u64>(), any::<bool>())
                    .prop_map(|(which, s, content)| Sent::Dispatch { which, s, content }),
            ],
            1..40,
        ),
    ) {
        let slots: Vec<Slot> = said
            .iter()
            .map(|text| slot(Kind::MessageCreate, &json!({ "content": text, "id": "7" }).to_string()))
            .collect();
        for compression in ALL {
            let (mut codec, mut out, mut wanted) = (Codec::new(compression), Vec::new(), Vec::new());
            for sent in &sent {
                match sent {
                    Sent::Control(text) => {
                        write_control(&mut out, text, &mut codec);
                        wanted.push(text.clone());
                    }
                    Sent::Dispatch { which, s, content } => {
                        let which = which % slots.len();
                        write_dispatch(&mut out, &slots[which], *s, *content, &mut codec);
                        let text = if *content { json!(said[which]) } else { json!("") };
                        let d = format!(r#"{{"content":{text},"id":"7"}}"#);
                        wanted.push(format!(r#"{{"op":0,"t":"MESSAGE_CREATE","d":{d},"s":{s}}}"#));
                    }
                }
            }
            let mut decoder = Decoder::new(compression);
            let got: Vec<_> = frames(&out).iter().map(|(op, p)| decoder.decode(*op, p)).collect();
            prop_assert_eq!(got, wanted);
        }
    }

    #[test]
    fn blanking_leaves_everything_else(content in "\\PC{0,40}", other in "[a-z_]{1,12}", value in "\\PC{0,40}") {
        prop_assume!(!["content", "embeds", "attachments", "components"].contains(&&*other));
        let d = json!({ "content": content, &other: { "content": value }, "embeds": [1, { "a": [] }] });
        let blank: Value = serde_json::from_slice(&without_content(d.to_string().as_bytes())).unwrap();
        let kept = if other == "referenced_message" { json!({ "content": "" }) } else { d[&other].clone() };
        prop_assert_eq!(blank, json!({ "content": "", &other: kept, "embeds": [] }));
    }
}

#[test]
fn large_payloads_pass_block_bounds() {
    for len in [120, 130, 65_400, 65_536, 131_000, 131_072, 400_000] {
        let d = json!({ "text": "ab".repeat(len / 2) }).to_string();
        let (guild, wanted) = (
            slot(Kind::GuildCreate, &d),
            format!(r#"{{"op":0,"t":"GUILD_CREATE","d":{d},"s":18446744073709551615}}"#),
        );
        for compression in ALL {
            let (mut codec, mut out) = (Codec::new(compression), Vec::new());
            write_dispatch(&mut out, &guild, u64::MAX, true, &mut codec);
            write_control(&mut out, &wanted, &mut codec);
            let mut decoder = Decoder::new(compression);
            for (opcode, payload) in frames(&out) {
                assert!(decoder.decode(opcode, &payload) == wanted, "{compression:?} {len}");
            }
        }
    }
}

#[test]
fn a_whole_zlib_stream_is_one_that_a_plain_reader_takes() {
    let (mut codec, mut out) = (Codec::new(Compression::Zlib), Vec::new());
    write_control(&mut out, "{\"op\":10}", &mut codec);
    write_control(&mut out, "{\"op\":11}", &mut codec);
    let stream: Vec<u8> = frames(&out).into_iter().flat_map(|(_, payload)| payload).collect();
    let mut text = [0; 18];
    flate2::read::ZlibDecoder::new(&stream[..]).read_exact(&mut text).unwrap();
    assert_eq!(&text, b"{\"op\":10}{\"op\":11}");
}

#[test]
fn what_was_said_is_blank_also_in_the_message_it_answers() {
    let said = json!({
        "id": "1", "content": "secret", "embeds": [{}], "attachments": [{}], "components": [{}],
        "referenced_message": { "id": "2", "content": "secret", "referenced_message": null },
    });
    let mut out = Vec::new();
    let slot = slot(Kind::MessageUpdate, &said.to_string());
    write_dispatch(&mut out, &slot, 3, false, &mut Codec::default());
    let text = String::from_utf8(frames(&out)[0].1.clone()).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let d = serde_json::from_str::<Value>(&text).unwrap()["d"].take();
    assert_eq!(
        d,
        json!({
            "id": "1", "content": "", "embeds": [], "attachments": [], "components": [],
            "referenced_message": { "id": "2", "content": "", "referenced_message": null },
        })
    );
    assert_eq!(slot.payload(false).unwrap(), d_bytes(&text));
}

fn d_bytes(text: &str) -> Bytes {
    let d: std::collections::BTreeMap<&str, &RawValue> = serde_json::from_str(text).unwrap();
    Bytes::copy_from_slice(d["d"].get().as_bytes())
}

#[test]
fn escaped_names_hide_nothing_and_what_cannot_be_read_says_nothing() {
    assert_eq!(without_content(br#"{"\u0063ontent":"secret"}"#), br#"{"content":""}"#);
    assert_eq!(without_content(br#"{"referenced_message":"secret"}"#), b"{}");
    assert_eq!(without_content(br#"["secret"]"#), b"{}");
    let deep = format!("{}null{}", r#"{"referenced_message":"#.repeat(9), "}".repeat(9));
    assert_eq!(without_content(deep.as_bytes()), b"{}");
}

#[test]
fn a_payload_is_kept_once_and_a_codec_is_two_bytes() {
    let slot = slot(Kind::TypingStart, "{}");
    let What::Dispatch { d, .. } = &slot.entry().what else { unreachable!() };
    assert!(slot.open.text.as_ptr_range().contains(&d.as_ptr()));
    assert_eq!(size_of::<Codec>(), 2);
    assert!(size_of::<Slot>() <= SLOT_BYTES, "{}", size_of::<Slot>());
}
