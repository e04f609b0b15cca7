use proptest::prelude::*;

use super::*;

const EMPTY: Limits = Limits { open: None, message_max: u32::MAX };

/// The head of an unfragmented binary frame of a client.
fn client(len: usize) -> Vec<u8> {
    let mut head = Vec::new();
    header(Opcode::Binary, len, &mut head);
    head[1] |= 0x80;
    head.extend_from_slice(&[1, 2, 3, 4]);
    head
}

#[test]
fn every_length_is_written_in_its_shortest_form() {
    for (len, expected) in [
        (0, &[0x82, 0][..]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (127, &[0x82, 126, 0, 127]),
        (65_535, &[0x82, 126, 0xff, 0xff]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let mut out = Vec::new();
        header(Opcode::Binary, len, &mut out);
        assert_eq!(out, expected, "{len}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    for len in [0, 125, 126, 127, 65_535, 65_536, 1 << 24] {
        let head = client(len);
        let Ok(Read::Head(read)) = read(&head, EMPTY) else { panic!("{len}") };
        assert_eq!((read.opcode, read.is_last, read.key), (Some(Opcode::Binary), true, [1, 2, 3, 4]));
        assert_eq!((read.bytes, read.total), (head.len(), head.len() + len));
    }
}

#[test]
fn part_of_a_head_says_how_much_more_it_wants_and_never_too_much() {
    for len in [0, 200, 70_000] {
        let head = client(len);
        for n in 0..head.len() {
            let Ok(Read::Wants(wants)) = read(&head[..n], EMPTY) else { panic!("{n} of {len}") };
            assert!(wants > n && wants <= head.len(), "{n} of {len}: {wants}");
        }
    }
}

#[test]
fn only_text_and_length_have_codes_of_their_own() {
    assert_eq!(Fault::Text.close_code(), 1007);
    assert_eq!(Fault::TooLong { max: 1 }.close_code(), 1009);
    assert_eq!(Fault::Unmasked.close_code(), 1002);
}

proptest! {
    #[test]
    fn unmasking_is_byte_by_byte_exclusive_or(
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
        begin in 0..9usize,
        key: [u8; 4],
    ) {
        let begin = begin.min(bytes.len());
        let mut fast = bytes.clone();
        unmask(&mut fast[begin..], key);
        let slow = bytes[begin..].iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]);
        prop_assert_eq!(&fast[..begin], &bytes[..begin]);
        prop_assert_eq!(fast[begin..].to_vec(), slow.collect::<Vec<_>>());
    }
}
