//! Highest random weight: every member draws a number for the key, the highest owns it (Thaler and
//! Ravishankar 1998).
//!
//! A ring spends thousands of points a member to come close to even shares; here they are even to within
//! chance, weights are exact, nothing is stored but the members, and losing one moves its keys to the others
//! in proportion to their weights. The price is that each look-up asks every member: some 4 ns each, and 15 with
//! unequal weights, where a ring takes 10 ns in all. So this is for a handful, and for the few look-ups where
//! exact shares matter more than time.
//!
//! ## Weights
//!
//! A member with weight w and a draw u between 0 and 1 scores w / −ln u; the highest score wins with
//! probability w / Σw, and changing one weight moves keys to or from that member only (Schindelhauer and
//! Schomaker 2005). Multiplying the draw by the weight, as is often done, gives a member of twice the weight
//! three times the keys of another.
//!
//! `f64::ln` comes from the machine's mathematics library, and two of them may differ in the last bit: rarely,
//! but then two nodes disagree about an owner for as long as both run. The logarithm here uses only addition,
//! multiplication and division, whose results IEEE 754 fixes to the bit and Rust never fuses. An integer
//! logarithm would do as well, and needs a table or 40 squarings for the same 13 digits.

use std::cmp::Ordering;
use std::f64::consts::{LN_2, SQRT_2};
use std::fmt::Display;

use super::hash;
use super::ring::by_name;

/// Members, each with its name's hash and its weight. Immutable: build a new one when members change.
#[derive(Debug, Clone)]
pub struct Rendezvous<T> {
    members: Box<[T]>,
    /// One for each member.
    names: Box<[u64]>,
    /// One for each member; empty when all weights are alike, and then the draws alone decide.
    weights: Box<[f64]>,
}

impl<T: Clone + Display> Rendezvous<T> {
    /// `members` with their weights: weight 2 owns twice as much as weight 1, weight 0 owns nothing.
    ///
    /// A member draws by what it displays as, so every node that knows the same names comes to the same
    /// owner, in whichever order it learnt them. No two may display alike: one of them would own nothing.
    #[must_use]
    pub fn new(members: &[(T, u32)]) -> Rendezvous<T> {
        let mut named = by_name(members);
        named.retain(|(_, _, weight)| *weight > 0);
        let alike = named.windows(2).all(|two| two[0].2 == two[1].2);
        let weighed = if alike { &[] } else { &named[..] };
        Rendezvous {
            members: named.iter().map(|(_, member, _)| (*member).clone()).collect(),
            names: named.iter().map(|(name, _, _)| hash::of(name.as_bytes())).collect(),
            weights: weighed.iter().map(|(_, _, weight)| f64::from(*weight)).collect(),
        }
    }
}

impl<T> Rendezvous<T> {
    /// Who owns the key with this hash (see [`hash::of`]); `None` when nobody has any weight.
    #[must_use]
    #[inline]
    pub fn owner(&self, key_hash: u64) -> Option<&T> {
        let draw = |m: &usize| self.draw(key_hash, *m);
        let best =
            (0..self.members.len()).map(|m| (m, draw(&m))).reduce(|a, b| if b.1.beats(&a.1) { b } else { a });
        best.map(|(m, _)| &self.members[m])
    }

    /// The owner and those who would own the key if it were not there, in that order: at most `n`, each once.
    #[must_use]
    pub fn owners(&self, key_hash: u64, n: usize) -> Vec<&T> {
        let mut line: Vec<_> = (0..self.members.len()).map(|m| (m, self.draw(key_hash, m))).collect();
        // Stable, so that equals stay in the order of their names, as in `owner`.
        line.sort_by(|a, b| b.1.order(&a.1));
        line.into_iter().take(n).map(|(m, _)| &self.members[m]).collect()
    }

    /// The members that have any weight, by name.
    #[must_use]
    pub fn members(&self) -> &[T] {
        &self.members
    }

    fn draw(&self, key_hash: u64, member: usize) -> Draw {
        let draw = hash::draw(self.names[member], key_hash);
        let score = self.weights.get(member).map_or(0.0, |weight| weight / cost(draw));
        Draw { score, draw }
    }
}

/// What a member drew for a key. Where all weights are alike all scores are 0.
struct Draw {
    score: f64,
    draw: u64,
}

impl Draw {
    fn order(&self, other: &Draw) -> Ordering {
        self.score.total_cmp(&other.score).then(self.draw.cmp(&other.draw))
    }

    fn beats(&self, other: &Draw) -> bool {
        self.order(other) == Ordering::Greater
    }
}

/// −ln of the draw as a number between 0 and 1 (to 13 digits); never below 2^-64.
fn cost(draw: u64) -> f64 {
    // draw = 2^exponent × mantissa, the mantissa between √½ and √2, where the series is short.
    let zeros = (draw | 1).leading_zeros();
    let mantissa = ((draw | 1) << zeros) as f64 / 2f64.powi(63);
    let (mantissa, halvings) = if mantissa > SQRT_2 {
        (mantissa / 2.0, f64::from(zeros))
    } else {
        (mantissa, f64::from(zeros) + 1.0)
    };
    // ln m = 2 artanh((m − 1) / (m + 1)) = 2 (s + s³/3 + s⁵/5 + …), and s² < 0.03.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let series = (0..9).rev().fold(0.0, |sum, i| sum * (s * s) + 1.0 / f64::from(2 * i + 1));
    (halvings * LN_2 - 2.0 * s * series).max(2f64.powi(-64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 100_000;

    fn keys() -> impl Iterator<Item = u64> {
        (0..KEYS).map(|i| hash::of(&i.to_be_bytes()))
    }

    fn share(of: &Rendezvous<&str>, member: &str) -> f64 {
        keys().filter(|k| of.owner(*k) == Some(&member)).count() as f64 / KEYS as f64
    }

    #[test]
    fn weights_two_one_and_none_get_two_thirds_one_third_and_nothing() {
        let members = Rendezvous::new(&[("a", 2), ("b", 1), ("c", 0)]);
        // Three standard deviations of a sample of 100,000.
        assert!((share(&members, "a") - 2.0 / 3.0).abs() < 0.0045, "{}", share(&members, "a"));
        assert_eq!((share(&members, "c"), members.owners(1, 9).len()), (0.0, 2));
    }

    #[test]
    fn a_changed_weight_moves_keys_to_or_from_that_member_only() {
        let before = Rendezvous::new(&[("a", 2), ("b", 1), ("c", 3)]);
        let after = Rendezvous::new(&[("a", 2), ("b", 5), ("c", 3)]);
        for key in keys() {
            let (old, new) = (before.owner(key), after.owner(key));
            assert!(old == new || new == Some(&"b"), "{old:?} to {new:?}");
        }
    }

    #[test]
    fn equal_weights_give_the_owners_that_no_weights_give() {
        let even = Rendezvous::new(&[("a", 1), ("b", 1), ("c", 1)]);
        // The fourth has next to nothing, so that the others are compared by their scores.
        let scored = Rendezvous::new(&[("a", u32::MAX), ("b", u32::MAX), ("c", u32::MAX), ("d", 1)]);
        assert!(keys().all(|k| even.owner(k) == scored.owner(k)));
    }

    #[test]
    fn the_logarithm_agrees_with_the_mathematics_library_to_eleven_digits() {
        let mut rng = crate::Rng::new(1);
        let draws = (0..100_000).map(|i| rng.next_u64() >> (i % 64));
        for draw in draws.chain([0, 1, 2, 3, 1 << 63, (1 << 63) + 1, (1 << 62) * 3]) {
            let exact = -(((draw | 1) as f64) / 2f64.powi(64)).ln();
            assert!(
                (cost(draw) - exact).abs() <= 1e-13 * exact.max(1.0),
                "{draw}: {} for {exact}",
                cost(draw)
            );
        }
    }

    #[test]
    fn the_logarithm_has_the_same_bits_everywhere() {
        // Computed by this code and by another language. A platform that finds others would disagree about
        // owners with the rest.
        let bits = [1, 12_345, 1 << 40, u64::MAX / 3, u64::MAX - 1].map(|draw| cost(draw).to_bits());
        let expected = [
            4_631_440_132_077_664_751,
            4_630_114_243_298_898_869,
            4_625_375_703_758_252_659,
            4_607_626_529_066_517_258,
            4_318_952_042_648_305_664,
        ];
        assert_eq!(bits, expected);
    }

    #[test]
    fn the_first_of_the_line_is_the_owner_and_the_second_its_heir() {
        let five = Rendezvous::new(&["a", "b", "c", "d", "e"].map(|name| (name, 1)));
        let four = Rendezvous::new(&["e", "d", "b", "a"].map(|name| (name, 1)));
        for key in keys().take(10_000) {
            let line = five.owners(key, 2);
            assert_eq!(five.owner(key), Some(line[0]));
            assert_eq!(four.owner(key), Some(if *line[0] == "c" { line[1] } else { line[0] }));
        }
    }

    #[test]
    fn nobody_owns_what_there_is_nobody_for() {
        let nobody = Rendezvous::<String>::new(&[]);
        assert!(nobody.owner(1).is_none() && nobody.owners(1, 3).is_empty());
    }
}
