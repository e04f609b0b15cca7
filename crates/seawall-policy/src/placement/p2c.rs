//! The power of two choices: draw two at random, take the less busy.
//!
//! With n calls on n backends chosen at random the busiest gets about ln n / ln ln n; with two choices it
//! gets ln ln n (Mitzenmacher 1996): for 1,000, some 5 or 6 against 3. Looking at all of them would even it
//! out fully, and is worse in practice: everyone who looks at the same slightly old figures sends to the same
//! one backend.

use crate::Rng;

/// The index, below `n`, of the less busy of two drawn at random; `None` when there are none. `load` is asked
/// at most twice and may return anything that compares, such as calls in flight.
#[inline]
pub fn choose<L: PartialOrd>(rng: &mut Rng, n: usize, load: impl Fn(usize) -> L) -> Option<usize> {
    if n < 2 {
        return (n == 1).then_some(0);
    }
    let first = rng.below(n as u64) as usize;
    // Drawn from the others: n - 1 places, with the first one's left out.
    let second = match rng.below(n as u64 - 1) as usize {
        i if i >= first => i + 1,
        i => i,
    };
    Some(if load(second) < load(first) { second } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The busiest of 1,000 backends after 1,000 calls.
    fn busiest(seed: u64, choose: impl Fn(&mut Rng, &[u32]) -> usize) -> u32 {
        let (mut rng, mut loads) = (Rng::new(seed), vec![0u32; 1_000]);
        for _ in 0..1_000 {
            let to = choose(&mut rng, &loads);
            loads[to] += 1;
        }
        loads.into_iter().max().unwrap()
    }

    #[test]
    fn a_thousand_calls_on_a_thousand_backends_pile_up_three_high_not_six() {
        for seed in 0..20 {
            let two = busiest(seed, |rng, loads| choose(rng, loads.len(), |i| loads[i]).unwrap());
            let one = busiest(seed, |rng, loads| rng.below(loads.len() as u64) as usize);
            assert!(two <= 4 && one > two, "seed {seed}: {two} against {one}");
        }
    }

    #[test]
    fn of_two_the_less_busy_is_always_taken() {
        let mut rng = Rng::new(1);
        assert!((0..100).all(|_| choose(&mut rng, 2, |i| [9, 3][i]) == Some(1)));
    }

    #[test]
    fn equals_share_evenly() {
        let (mut rng, mut taken) = (Rng::new(3), [0u32; 3]);
        (0..30_000).for_each(|_| taken[choose(&mut rng, 3, |_| 0).unwrap()] += 1);
        assert!(taken.iter().all(|n| (9_500..10_500).contains(n)), "{taken:?}");
    }

    #[test]
    fn none_of_none_and_the_only_one_of_one() {
        let mut rng = Rng::new(1);
        assert_eq!(choose(&mut rng, 0, |_| 0), None);
        assert_eq!(choose(&mut rng, 1, |_| 0), Some(0));
    }
}
