//! A sliding window of sums, in ten buckets.

use std::time::Duration;

use crate::Mono;

const BUCKETS: u64 = 10;

/// Sums of `N` kinds over the last window.
#[derive(Debug, Clone)]
pub(super) struct Buckets<const N: usize> {
    /// Each with its number since the clock's zero; bucket `i` lies at `i % BUCKETS`.
    slots: [(u64, [u64; N]); BUCKETS as usize],
    newest: u64,
    bucket_ns: u64,
}

impl<const N: usize> Buckets<N> {
    /// A window of at least ten nanoseconds; shorter ones are made that long.
    pub(super) fn new(window: Duration) -> Buckets<N> {
        let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        Buckets { slots: [(0, [0; N]); 10], newest: 0, bucket_ns: (window_ns / BUCKETS).max(1) }
    }

    /// Adds to the bucket `now` lies in. A clock that seems to step back adds to the newest, never to the past.
    pub(super) fn add(&mut self, now: Mono, counts: [u64; N]) {
        let number = (now.0 / self.bucket_ns).max(self.newest);
        self.newest = number;
        let slot = &mut self.slots[(number % BUCKETS) as usize];
        if slot.0 != number {
            *slot = (number, [0; N]);
        }
        for (sum, count) in slot.1.iter_mut().zip(counts) {
            *sum = sum.saturating_add(count);
        }
    }

    /// The sums, and over how much time: nine whole buckets and what has passed of the tenth.
    pub(super) fn sums(&self, now: Mono) -> ([u64; N], Duration) {
        let number = (now.0 / self.bucket_ns).max(self.newest);
        let mut sums = [0_u64; N];
        // One that was never written has number 0, and nothing in it.
        for (_, counts) in self.slots.iter().filter(|(at, _)| at.saturating_add(BUCKETS) > number) {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = sum.saturating_add(*count);
            }
        }
        let since = Mono(number.saturating_sub(BUCKETS - 1).saturating_mul(self.bucket_ns));
        (sums, now.since(since))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The window equals a list of everything, looked through each time.
        #[test]
        fn ten_buckets_are_a_window_to_a_tenth(
            events in prop::collection::vec((0..3_000_u64, 0..5_u64), 0..60),
            back in 0..300_u64,
        ) {
            let mut buckets = Buckets::<1>::new(Duration::from_nanos(1_000));
            let (mut now, mut all) = (0, Vec::new());
            for (later, count) in events {
                now += later;
                // Every now and then the clock stands a little behind.
                let told = if later % 7 == 0 { now.saturating_sub(back) } else { now };
                buckets.add(Mono(told), [count]);
                now = now.max(told);
                let newest = all.iter().map(|(bucket, _)| *bucket).max().unwrap_or(0);
                all.push(((told / 100).max(newest), count));
                let newest = all.iter().map(|(bucket, _)| *bucket).max().unwrap_or(0).max(told / 100);
                let expected: u64 =
                    all.iter().filter(|(bucket, _)| bucket + 10 > newest).map(|(_, count)| *count).sum();
                prop_assert_eq!(buckets.sums(Mono(told)).0, [expected]);
            }
        }
    }
}
