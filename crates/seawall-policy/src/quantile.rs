//! Quantiles of how long calls took lately, such as the p95 of the last minute, in memory that never grows.
//!
//! ## Why a histogram
//!
//! The exact p95 needs every call of the window, sorted: at 10,000 calls a second and a minute that is 4.8
//! MB and a sort of 600,000 numbers. Here every call only counts into a bin, and bins are as wide as a
//! sixteenth of the power of two they begin at or above: 10.0 ms and 10.2 ms share one, as do 10 s and 10.2
//! s. A bin answers with its middle, so the answer is off by at most 1/32, 3.2 %, whatever the size of the
//! value. Hedging and degradation compare with thresholds that people chose to one digit; 3 % of them is
//! nothing.
//!
//! The range is 10 µs to one hour: 29 powers of two, 464 bins. What is shorter counts as 10 µs, what is
//! longer as an hour. With ten slots over the window, as in the breaker, that is 18.6 KB, taken at the
//! beginning and never again.
//!
//! ## When there is no answer
//!
//! Below [`MIN_SAMPLES`] calls in the window there is no quantile. It takes 20 for one of them to lie beyond
//! the p95; with fewer, a single slow call is the p95, and whoever acts on it acts on chance.

use std::time::Duration;

use crate::Mono;

/// Fewer calls in the window than this have no quantile: the p95 of 20 is the first that leaves one beyond
/// it. (The p99 of fewer than 100 is their slowest.)
pub const MIN_SAMPLES: u64 = 20;
/// What is shorter counts as this long.
pub const SHORTEST: Duration = Duration::from_micros(10);
/// What is longer counts as this long: the longest deadline that exists
/// ([`REMAINING_MS_MAX`](crate::deadline::REMAINING_MS_MAX)).
pub const LONGEST: Duration = Duration::from_secs(3_600);

/// Slots of a window.
const SLOTS: usize = 10;
/// Bins within a power of two: 2^4.
const BITS: u32 = 4;
/// The powers of two, in nanoseconds, that [`SHORTEST`] and [`LONGEST`] lie above.
const POWERS: std::ops::RangeInclusive<u32> = SHORTEST.as_nanos().ilog2()..=LONGEST.as_nanos().ilog2();
/// Most calls a bin counts in a tenth of the window, so that ten of them add up within 32 bits.
const COUNT_MAX: u32 = u32::MAX / SLOTS as u32;
const BINS: usize = ((*POWERS.end() - *POWERS.start() + 1) << BITS) as usize;

/// How long the calls of a sliding time window took. It slides by tenths: what is older than the window is
/// forgotten, some of it up to a tenth early.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// A histogram for each tenth of the window.
    slots: Box<[[u32; BINS]]>,
    /// Number of the newest slot since the clock's zero; slot `i` lies at `i % SLOTS`.
    newest: u64,
    slot_ns: u64,
}

impl Window {
    /// Nothing recorded. Takes all the memory it will ever have.
    #[must_use]
    pub fn new(window: Duration) -> Window {
        let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        Window { slots: vec![[0; BINS]; SLOTS].into(), newest: 0, slot_ns: (window_ns / SLOTS as u64).max(1) }
    }

    /// A call that ended `now` took so long.
    pub fn record(&mut self, now: Mono, took: Duration) {
        self.advance(now);
        let count = &mut self.slots[(self.newest % SLOTS as u64) as usize][bin(took)];
        *count = COUNT_MAX.min(*count + 1);
    }

    /// The time within which this share of the window's calls ended (0.95 for the p95), to within 3.2 %.
    /// `None` below [`MIN_SAMPLES`]. Shares outside 0 to 1 are cut. Looks through 4,640 counts: a third of
    /// a microsecond, so ask now and then rather than at every call.
    #[must_use]
    pub fn at(&self, now: Mono, share: f64) -> Option<Duration> {
        let bins = self.sum(now);
        let count = total(&bins);
        if count < MIN_SAMPLES {
            return None;
        }
        // A NaN becomes 0, and that the first.
        let rank = ((share * count as f64).ceil() as u64).clamp(1, count);
        let mut seen = 0;
        let found = bins.iter().position(|n| {
            seen += u64::from(*n);
            seen >= rank
        });
        found.map(middle)
    }

    /// Calls in the window.
    #[must_use]
    pub fn count(&self, now: Mono) -> u64 {
        total(&self.sum(now))
    }

    /// Forgets what has left the window. A clock that seems to step back counts into the newest slot.
    fn advance(&mut self, now: Mono) {
        let slot = now.0 / self.slot_ns;
        let passed = slot.saturating_sub(self.newest).min(SLOTS as u64);
        for back in 0..passed {
            self.slots[((slot - back) % SLOTS as u64) as usize].fill(0);
        }
        self.newest = self.newest.max(slot);
    }

    /// The slots that are still in the window, added up.
    fn sum(&self, now: Mono) -> [u32; BINS] {
        let slot = self.newest.max(now.0 / self.slot_ns);
        let oldest = slot.saturating_sub(SLOTS as u64 - 1);
        let mut sum = [0; BINS];
        for slot in oldest..=self.newest {
            let counts = &self.slots[(slot % SLOTS as u64) as usize];
            sum.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
        }
        sum
    }
}

fn total(bins: &[u32; BINS]) -> u64 {
    bins.iter().map(|n| u64::from(*n)).sum()
}

/// Where a time is counted: its power of two, and the next four bits.
fn bin(took: Duration) -> usize {
    // At most an hour, which fits.
    let ns = took.clamp(SHORTEST, LONGEST).as_nanos() as u64;
    let power = ns.ilog2();
    let within = (ns >> (power - BITS)) as usize & ((1 << BITS) - 1);
    ((power - POWERS.start()) as usize) << BITS | within
}

/// The middle of a bin.
fn middle(bin: usize) -> Duration {
    let power = *POWERS.start() + (bin >> BITS) as u32;
    let width = 1u64 << (power - BITS);
    let within = (bin & ((1 << BITS) - 1)) as u64;
    Duration::from_nanos((1 << power) + within * width + width / 2).clamp(SHORTEST, LONGEST)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    const fn at_ms(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    /// What the answer must be close to: the sorted list, and a count along it.
    fn exact(mut took: Vec<Duration>, share: f64) -> Duration {
        took.sort();
        took[((share * took.len() as f64).ceil() as usize).clamp(1, took.len()) - 1]
    }

    fn assert_close(told: Duration, exact: Duration) {
        let (told, exact) = (told.as_nanos() as f64, exact.clamp(SHORTEST, LONGEST).as_nanos() as f64);
        assert!((told - exact).abs() <= exact / 32.0, "{told} ns told, {exact} ns true");
    }

    #[test]
    fn every_bin_answers_for_its_own_times_within_one_part_in_32() {
        let mut ns = SHORTEST.as_nanos() as u64;
        while ns <= LONGEST.as_nanos() as u64 {
            for took in [ns, ns + ns / 3, ns + ns / 2 - 1].map(Duration::from_nanos) {
                assert_close(middle(bin(took)), took);
            }
            ns += ns / 64;
        }
        assert_eq!((bin(SHORTEST), bin(LONGEST)), (3, BINS - 6), "464 bins hold the range");
    }

    #[test]
    fn too_short_and_too_long_count_as_the_ends_of_the_range() {
        let mut window = Window::new(MINUTE);
        (0..50).for_each(|_| window.record(at_ms(0), Duration::ZERO));
        (0..50).for_each(|_| window.record(at_ms(0), Duration::MAX));
        assert_eq!(window.at(at_ms(0), 0.5), Some(SHORTEST));
        assert_close(window.at(at_ms(0), 0.51).unwrap(), LONGEST);
    }

    #[test]
    fn nineteen_calls_have_no_quantile_and_twenty_have() {
        let mut window = Window::new(MINUTE);
        (0..19).for_each(|_| window.record(at_ms(5), Duration::from_millis(3)));
        assert_eq!((window.at(at_ms(5), 0.95), window.count(at_ms(5))), (None, 19));
        window.record(at_ms(5), Duration::from_millis(900));
        // The twentieth lies beyond the p95.
        assert_close(window.at(at_ms(5), 0.95).unwrap(), Duration::from_millis(3));
        assert_close(window.at(at_ms(5), 0.951).unwrap(), Duration::from_millis(900));
    }

    #[test]
    fn calls_leave_with_their_tenth_of_the_window_also_when_nobody_calls() {
        let mut window = Window::new(MINUTE);
        (0..30).for_each(|_| window.record(at_ms(5_999), Duration::from_millis(1)));
        (0..40).for_each(|_| window.record(at_ms(6_000), Duration::from_millis(2)));
        assert_eq!([59_999, 60_000, 65_999, 66_000].map(|ms| window.count(at_ms(ms))), [70, 40, 40, 0]);
        assert_eq!(window.at(at_ms(66_000), 0.5), None);
        window.record(at_ms(3_600_000), Duration::from_millis(1));
        assert_eq!(window.count(at_ms(3_600_000)), 1);
    }

    #[test]
    fn a_share_that_is_none_is_cut_to_the_fastest_or_the_slowest() {
        let mut window = Window::new(Duration::ZERO);
        (1..=100).for_each(|ms| window.record(Mono(0), Duration::from_millis(ms)));
        for (share, ms) in [(-1.0, 1), (f64::NAN, 1), (7.0, 100), (f64::INFINITY, 100)] {
            assert_close(window.at(Mono(0), share).unwrap(), Duration::from_millis(ms));
        }
    }

    #[test]
    fn a_bin_that_is_full_stays_full_and_ten_of_them_add_up() {
        let mut window = Window::new(MINUTE);
        let bin = bin(Duration::from_millis(1));
        for slot in 0..10 {
            window.slots[slot as usize][bin] = COUNT_MAX;
            window.newest = slot;
            window.record(at_ms(slot * 6_000), Duration::from_millis(1));
        }
        assert_eq!(window.count(at_ms(54_000)), 10 * u64::from(COUNT_MAX));
        assert_close(window.at(at_ms(54_000), 1.0).unwrap(), Duration::from_millis(1));
    }

    #[test]
    fn recording_and_asking_allocate_nothing() {
        let mut window = Window::new(MINUTE);
        let info = allocation_counter::measure(|| {
            for ms in 0..20_000 {
                window.record(at_ms(ms * 10), Duration::from_micros(ms));
                if ms % 100 == 0 {
                    let _ = window.at(at_ms(ms * 10), 0.95);
                }
            }
        });
        assert_eq!(info.count_total, 0);
    }

    proptest! {
        #[test]
        fn it_answers_as_sorting_all_calls_of_the_window_would(
            calls in vec((0u64..900, 4_000u64..5_000_000_000_000), 1..600),
            share in 0.0f64..=1.0,
        ) {
            let mut window = Window::new(MINUTE);
            let (mut now, mut all) = (0, vec![]);
            for (passes, ns) in calls {
                now += passes;
                let took = Duration::from_nanos(ns);
                window.record(at_ms(now), took);
                all.push((now / 6_000, took));
            }
            let kept: Vec<_> =
                all.into_iter().filter(|(slot, _)| slot + 10 > now / 6_000).map(|(_, took)| took).collect();
            prop_assert_eq!(window.count(at_ms(now)), kept.len() as u64);
            match window.at(at_ms(now), share) {
                None => prop_assert!(kept.len() < 20),
                Some(told) => assert_close(told, exact(kept, share)),
            }
        }
    }
}
