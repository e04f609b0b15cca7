//! What everybody is fed: one array of calls, made before anything is timed.
//!
//! A loop that asks the same question a million times measures the branch predictor. Here moments are
//! uneven, one call in a thousand fails, and time passes, so that windows turn and buckets end as they
//! do in service. Whoever takes `now` is told the stream's; whoever has a clock of its own reads that.

use std::time::Duration;

use seawall_policy::priority::Priority;
use seawall_policy::{Mono, Rng};

/// Calls of one lap: 256 KiB, which stays in a core's second cache and is read in order.
const CALLS: usize = 1 << 14;
/// One call in so many fails.
const ONE_FAILS_IN: u64 = 1_000;
/// Nanoseconds from one call to the next, on average: a million calls a second from each thread.
const APART_NS: u64 = 1_000;
/// The same stream in every run.
const SEED: u64 = 2_026;
/// The stream's clock begins here: well after zero, as every real one does.
const BEGINS: Duration = Duration::from_secs(1_000);

/// One call, as the world would have made it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// Since the lap began, in nanoseconds.
    after: u64,
    /// Who calls, hashed.
    pub who: u32,
    /// How much it matters.
    pub priority: Priority,
    /// What becomes of it.
    pub failed: bool,
}

/// All calls of one lap.
#[derive(Debug)]
pub(super) struct Stream {
    calls: Vec<Call>,
    lap_ns: u64,
}

/// Where somebody is in the stream. Laps follow one another without end, and time never goes back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    next: usize,
    lap_began: Mono,
    burst: usize,
}

/// A piece of a lap, and who walks it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk<'a> {
    calls: &'a [Call],
    lap_began: Mono,
    /// 0 or 1: which of the threads this is.
    pub seat: usize,
    /// Grows by one with each burst, and is the same for both threads.
    pub burst: usize,
}

impl Stream {
    pub(super) fn new() -> Stream {
        let mut rng = Rng::new(SEED);
        let mut after = 0;
        let calls = (0..CALLS).map(|_| {
            after += APART_NS / 2 + rng.below(APART_NS);
            let who = rng.below(u64::from(u32::MAX)) as u32;
            let priority = Priority::ALL[rng.below(Priority::ALL.len() as u64) as usize];
            Call { after, who, priority, failed: rng.below(ONE_FAILS_IN) == 0 }
        });
        let calls = calls.collect();
        Stream { calls, lap_ns: after }
    }

    /// One burst: passes the next `count` calls to `take`, a piece of a lap at a time.
    pub(super) fn walk(&self, place: &mut Place, count: usize, seat: usize, mut take: impl FnMut(Walk<'_>)) {
        place.burst += 1;
        let mut left = count;
        while left > 0 {
            let until = self.calls.len().min(place.next + left);
            left -= until - place.next;
            let Place { next, lap_began, burst } = *place;
            take(Walk { calls: &self.calls[next..until], lap_began, seat, burst });
            place.next = until % self.calls.len();
            if place.next == 0 {
                place.lap_began = Mono(place.lap_began.0 + self.lap_ns);
            }
        }
    }
}

impl Place {
    pub(super) fn start() -> Place {
        Place { next: 0, lap_began: Mono::default() + BEGINS, burst: 0 }
    }

    /// Not later than the next call.
    pub(super) fn now(self) -> Mono {
        self.lap_began
    }
}

impl<'a> Walk<'a> {
    /// The calls, each with its moment.
    #[inline]
    pub(super) fn calls(self) -> impl Iterator<Item = (&'a Call, Mono)> {
        self.calls.iter().map(move |call| (call, Mono(self.lap_began.0 + call.after)))
    }

    /// How many of the calls are let in.
    #[inline]
    pub(super) fn count(self, let_in: impl Fn(&Call, Mono) -> bool) -> usize {
        self.calls().map(|(call, now)| usize::from(let_in(call, now))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_and_a_lap_follows_a_lap() {
        let stream = Stream::new();
        let mut place = Place::start();
        let (mut seen, mut last) = (0, Mono::default());
        for count in [1, CALLS - 2, 700, 3 * CALLS] {
            stream.walk(&mut place, count, 0, |walk| {
                for (_, now) in walk.calls() {
                    assert!(now > last);
                    (seen, last) = (seen + 1, now);
                }
            });
        }
        assert_eq!(seen, 1 + CALLS - 2 + 700 + 3 * CALLS);
        let apart = last.since(Mono::default() + BEGINS).as_nanos() as f64 / seen as f64;
        assert!((apart / APART_NS as f64 - 1.0).abs() < 0.02, "{apart} ns apart");
    }

    #[test]
    fn about_one_call_in_a_thousand_fails_and_never_two_in_a_row() {
        let stream = Stream::new();
        let failed = stream.calls.iter().filter(|call| call.failed).count();
        assert!((8..=30).contains(&failed), "{failed} of {CALLS}");
        assert!(!stream.calls.windows(2).any(|pair| pair[0].failed && pair[1].failed));
    }

    #[test]
    fn everybody_is_given_the_same_stream() {
        let of = |stream: Stream| {
            stream.calls.iter().map(|c| (c.after, c.who, c.priority, c.failed)).collect::<Vec<_>>()
        };
        assert_eq!(of(Stream::new()), of(Stream::new()));
    }
}
