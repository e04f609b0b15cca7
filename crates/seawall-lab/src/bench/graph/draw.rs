//! Seeded draws: weighted choices, curves told by a few points, Zipf, geometric and log-normal numbers.

use seawall_policy::Rng;

/// A choice among some, each with a weight.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    /// Running sums, the last one that of all.
    sums: Vec<f64>,
}

impl Weights {
    pub(super) fn new(weights: impl IntoIterator<Item = f64>) -> Weights {
        let running = weights.into_iter().scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Weights { sums: running.collect() }
    }

    /// The place of one of them; 0 where there are none.
    pub(super) fn pick(&self, rng: &mut Rng) -> usize {
        let at = rng.unit() * self.sums.last().copied().unwrap_or_default();
        let place = self.sums.partition_point(|sum| *sum <= at);
        place.min(self.sums.len().saturating_sub(1))
    }
}

/// Whole numbers by a curve: so much of all is not above this. Between two points the logarithm grows evenly with the
/// share, which is how sizes with a long tail look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Curve(pub &'static [(f64, f64)]);

impl Curve {
    pub(super) fn draw(self, rng: &mut Rng) -> u64 {
        let share = rng.unit();
        let after = self.0.partition_point(|(upto, _)| *upto <= share).min(self.0.len() - 1);
        let (high_share, high) = self.0[after];
        let Some((low_share, low)) = after.checked_sub(1).map(|before| self.0[before]) else {
            return high as u64;
        };
        let part = (share - low_share) / (high_share - low_share);
        // From just above the lower point up to the upper one: (low, high].
        let low = low.max(0.5);
        (low * (high / low).powf(part)).floor() as u64 + 1
    }
}

/// A place in `0..n` whose popularity falls with its rank to the power of -`shape` (below 1).
pub(super) fn zipf(n: u64, shape: f64, rng: &mut Rng) -> u64 {
    let rank = n as f64 * rng.unit().powf(1.0 / (1.0 - shape));
    (rank as u64).min(n.saturating_sub(1))
}

/// Spreads ranks over `0..n`, so that what is popular is not what was made first. Each place has one rank, unless `n`
/// is a multiple of the prime.
pub(super) fn scatter(rank: u64, n: u64) -> u64 {
    const PRIME: u128 = 2_654_435_761;
    ((u128::from(rank) * PRIME + 12_345) % u128::from(n.max(1))) as u64
}

/// Tries until the first success, each succeeding with `p`; 1 to `max`.
pub(super) fn geometric(p: f64, max: u64, rng: &mut Rng) -> u64 {
    let failed = ((1.0 - rng.unit()).ln() / (1.0 - p).ln()).floor();
    (failed as u64 + 1).min(max)
}

/// Log-normal with this median and a deviation of 1, 1 to `max`.
pub(super) fn log_normal(median: f64, max: u64, rng: &mut Rng) -> u64 {
    // Box and Muller; 1 - unit is never 0.
    let normal = (-2.0 * (1.0 - rng.unit()).ln()).sqrt() * (std::f64::consts::TAU * rng.unit()).cos();
    ((median * normal.exp()).round() as u64).clamp(1, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 100_000;

    fn mean(mut draw: impl FnMut(&mut Rng) -> u64) -> f64 {
        let mut rng = Rng::new(1);
        (0..DRAWS).map(|_| draw(&mut rng) as f64).sum::<f64>() / DRAWS as f64
    }

    fn near(found: f64, wanted: f64, part: f64) {
        assert!((found - wanted).abs() <= wanted * part, "{found}, not {wanted}");
    }

    #[test]
    fn a_choice_follows_its_weights() {
        let weights = Weights::new([1.0, 0.0, 3.0]);
        let mut counts = [0_usize; 3];
        let mut rng = Rng::new(7);
        for _ in 0..DRAWS {
            counts[weights.pick(&mut rng)] += 1;
        }
        assert_eq!(counts[1], 0);
        near(counts[2] as f64 / counts[0] as f64, 3.0, 0.03);
        assert_eq!(Weights::new([]).pick(&mut rng), 0);
    }

    #[test]
    fn a_curve_goes_through_its_points() {
        let curve = Curve(&[(0.5, 2.0), (0.9, 10.0), (1.0, 100.0)]);
        let mut rng = Rng::new(3);
        let drawn: Vec<u64> = (0..DRAWS).map(|_| curve.draw(&mut rng)).collect();
        let upto = |most: u64| drawn.iter().filter(|n| **n <= most).count() as f64 / DRAWS as f64;
        near(upto(2), 0.5, 0.02);
        near(upto(10), 0.9, 0.02);
        assert!(drawn.iter().all(|n| (2..=100).contains(n)));
    }

    #[test]
    fn the_first_fifth_of_ranks_gets_what_zipf_says() {
        // The share of the first x of n is x^(1 - shape).
        let first = |shape| mean(|rng| u64::from(zipf(1_000, shape, rng) < 200));
        near(first(0.8), 0.2_f64.powf(0.2), 0.02);
        near(first(0.625), 0.2_f64.powf(0.375), 0.02);
    }

    #[test]
    fn scattered_ranks_meet_every_place_once() {
        let mut seen: Vec<u64> = (0..1_000).map(|rank| scatter(rank, 1_000)).collect();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..1_000));
    }

    #[test]
    fn geometric_and_log_normal_numbers_have_their_means() {
        // LinkBench: p = 0.382, mean 2.6.
        near(mean(|rng| geometric(0.382, 128, rng)), 2.618, 0.02);
        // e^(1/2) times the median.
        near(mean(|rng| log_normal(128.0, 1 << 20, rng)), 128.0 * 0.5_f64.exp(), 0.03);
    }
}
