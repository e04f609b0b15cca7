//! Codes: a counter that never repeats, shuffled so that nobody can count along.
//!
//! ## Why not random
//!
//! A random code must be looked up before it is used, and again when it is taken. A counter needs no look-up,
//! but `aaaaaab` after `aaaaaaa` tells everyone how many links there are and invites reading all of them. So
//! the counter goes through a keyed permutation of all 62^7 codes: no two ids share a code, ever, and without
//! the key the next code cannot be told from the last.
//!
//! ## How
//!
//! 62^7 lies just below 2^42. A balanced Feistel network over 21 + 21 bits with six rounds of SipHash-2-4 is a
//! permutation of 2^42; a value that lands outside 62^7 is sent through again until it lands inside
//! (*cycle-walking*), which keeps it a permutation of the smaller set. 2^42 / 62^7 is 1.25: a quarter of the
//! codes take a second walk, one in twenty-five a third.
//!
//! Changing anything here makes new codes meet old ones. The golden test says so.

use siphasher::sip::SipHasher24;

use crate::name::{self, Name};

/// Characters of a generated code.
pub const LEN: usize = 7;
/// How many there are: 62^7, 3.5 trillion.
pub const SPACE: u64 = 62u64.pow(LEN as u32);
/// Walks before an id is given up. Each ends with probability 0.8, so sixty-four fail once in 10^44.
const WALKS_MAX: usize = 64;

const ROUNDS: u8 = 6;
const HALF_BITS: u32 = 21;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Ids to codes and back, under one key.
#[derive(Clone)]
pub struct Codes {
    rounds: SipHasher24,
}

impl Codes {
    /// The permutation of this key. Every process that shares a store must have the same one.
    #[must_use]
    pub fn new(key: &[u8; 16]) -> Codes {
        Codes { rounds: SipHasher24::new_with_key(key) }
    }

    /// The code of an id. `None` when the id is not below [`SPACE`], when its walk was given up, and when its
    /// code is a reserved word (`metrics` has seven letters): such an id is skipped.
    #[must_use]
    pub fn code(&self, id: u64) -> Option<Name> {
        let text = base62(self.shuffle(id)?);
        if name::is_reserved(&text) { None } else { Name::parse(&text) }
    }

    /// The id a code was made from. `None` for what this key never makes.
    #[must_use]
    pub fn id(&self, code: &str) -> Option<u64> {
        walk(from_base62(code)?, |v| self.backward(v))
    }

    fn shuffle(&self, id: u64) -> Option<u64> {
        if id >= SPACE { None } else { walk(id, |v| self.forward(v)) }
    }

    fn forward(&self, v: u64) -> u64 {
        let (left, right) = (0..ROUNDS)
            .fold((v >> HALF_BITS, v & HALF_MASK), |(left, right), i| (right, left ^ self.round(i, right)));
        (left << HALF_BITS) | right
    }

    fn backward(&self, v: u64) -> u64 {
        let (left, right) = (0..ROUNDS)
            .rev()
            .fold((v >> HALF_BITS, v & HALF_MASK), |(left, right), i| (right ^ self.round(i, left), left));
        (left << HALF_BITS) | right
    }

    fn round(&self, i: u8, half: u64) -> u64 {
        let [a, b, c, ..] = half.to_le_bytes();
        self.rounds.hash(&[i, a, b, c]) & HALF_MASK
    }
}

/// Steps until the value lies inside the space. Since a permutation's cycles are closed and the start is inside,
/// the walk always ends; the bound is for the reader who does not want to trust that.
fn walk(start: u64, step: impl Fn(u64) -> u64) -> Option<u64> {
    let mut v = start;
    for _ in 0..WALKS_MAX {
        v = step(v);
        if v < SPACE {
            return Some(v);
        }
    }
    None
}

fn base62(mut v: u64) -> String {
    let mut digits = [b'0'; LEN];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(v % 62) as usize];
        v /= 62;
    }
    digits.iter().map(|d| char::from(*d)).collect()
}

fn from_base62(code: &str) -> Option<u64> {
    if code.len() != LEN {
        return None;
    }
    code.bytes().try_fold(0, |v, b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'A'..=b'Z' => b - b'A' + 10,
            b'a'..=b'z' => b - b'a' + 36,
            _ => return None,
        };
        Some(v * 62 + u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 16] = *b"sixteen bytes ok";

    #[test]
    fn the_same_key_gives_the_same_codes_in_every_version() {
        let codes = Codes::new(&KEY);
        let first: Vec<_> = (0..3).map(|id| codes.code(id).unwrap().to_string()).collect();
        assert_eq!(first, GOLDEN, "changing this makes new codes meet old ones");
    }
    const GOLDEN: [&str; 3] = ["M2jcd6D", "QMaOIHN", "Ho1VlxO"];

    #[test]
    fn two_hundred_thousand_ids_in_a_row_have_as_many_codes() {
        let codes = Codes::new(&KEY);
        let all: HashSet<_> = (0..200_000).map(|id| codes.code(id).unwrap()).collect();
        assert_eq!(all.len(), 200_000);
    }

    #[test]
    fn neighbours_do_not_look_alike() {
        let codes = Codes::new(&KEY);
        let same_places =
            |a: &Name, b: &Name| a.as_str().bytes().zip(b.as_str().bytes()).filter(|(x, y)| x == y).count();
        let all: Vec<_> = (0..10_000).map(|id| codes.code(id).unwrap()).collect();
        let shared: usize = all.windows(2).map(|w| same_places(&w[0], &w[1])).sum();
        // Two random codes share 7/62 places on average: 1,129 among 10,000 pairs.
        assert!((900..1_400).contains(&shared), "{shared}");
    }

    #[test]
    fn the_last_id_has_a_code_and_the_next_has_none() {
        let codes = Codes::new(&KEY);
        assert!(codes.code(SPACE - 1).is_some());
        assert_eq!(codes.code(SPACE), None);
        assert_eq!(codes.code(u64::MAX), None);
    }

    #[test]
    fn an_id_whose_code_is_a_reserved_word_is_skipped() {
        let codes = Codes::new(&KEY);
        let id = codes.id("metrics").unwrap();
        assert_eq!(codes.shuffle(id).map(base62).as_deref(), Some("metrics"));
        assert_eq!(codes.code(id), None);
    }

    proptest! {
        #[test]
        fn every_id_comes_back_from_its_code(key: [u8; 16], id in 0..SPACE) {
            let codes = Codes::new(&key);
            let value = codes.shuffle(id).unwrap();
            prop_assert!(value < SPACE);
            prop_assert_eq!(codes.id(&base62(value)), Some(id));
        }

        #[test]
        fn every_code_comes_from_one_id(key: [u8; 16], code in "[0-9A-Za-z]{7}") {
            let codes = Codes::new(&key);
            let id = codes.id(&code).unwrap();
            prop_assert_eq!(base62(codes.shuffle(id).unwrap()), code);
        }

        #[test]
        fn two_ids_never_share_a_code(key: [u8; 16], a in 0..SPACE, b in 0..SPACE) {
            let codes = Codes::new(&key);
            prop_assert_eq!(a == b, codes.shuffle(a) == codes.shuffle(b));
        }

        #[test]
        fn all_codes_are_seven_letters_or_digits(id in 0..SPACE) {
            let code = Codes::new(&KEY).code(id).unwrap();
            prop_assert!(code.as_str().len() == 7 && code.as_str().bytes().all(|b| b.is_ascii_alphanumeric()));
        }

        #[test]
        fn what_is_no_code_has_no_id(text in "\\PC{0,12}") {
            let id = Codes::new(&KEY).id(&text);
            prop_assert_eq!(id.is_some(), text.len() == 7 && text.bytes().all(|b| b.is_ascii_alphanumeric()));
        }
    }
}
