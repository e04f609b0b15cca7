//! The faults a proxied connection can have, under the names toxiproxy gave them.

use std::time::Duration;

use seawall_policy::Rng;

/// A direction through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// One fault. A stream has at most one of each kind; setting another replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toxic {
    /// Every byte arrives `delay` later, give or take a `jitter` drawn for each read. Order is kept.
    Latency {
        /// Added to every byte.
        delay: Duration,
        /// Largest deviation, to either side.
        jitter: Duration,
    },
    /// At most this many bytes a second.
    Bandwidth {
        /// Bytes a second; 0 is taken as 1.
        bytes_per_second: u64,
    },
    /// The end of the stream arrives `delay` later.
    SlowClose {
        /// Added to the end of the stream.
        delay: Duration,
    },
    /// A black hole: data is thrown away. The connection is closed after `after`, or never when that is zero.
    Timeout {
        /// Since the fault was set, or since the connection was made if that is later.
        after: Duration,
    },
    /// The connection is reset (RST to both sides) after `after`.
    ResetPeer {
        /// Since the fault was set, or since the connection was made if that is later.
        after: Duration,
    },
    /// Data arrives in small pieces.
    Slicer {
        /// Bytes of a piece on average; 0 is taken as 1.
        average: usize,
        /// Largest deviation, to either side.
        variation: usize,
        /// Pause after each piece.
        delay: Duration,
    },
    /// The connection is closed when this many bytes have passed since it was made.
    LimitData {
        /// Bytes let through.
        bytes: u64,
    },
    /// One-way cut: nothing passes and nothing is lost, as on a broken cable where TCP keeps what it could not
    /// send. When the fault is removed, everything arrives. (New connections are still accepted: the proxy cannot
    /// lose a SYN.)
    Cut,
}

impl Toxic {
    /// toxiproxy's name for the kind; `cut` is ours.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Toxic::Latency { .. } => "latency",
            Toxic::Bandwidth { .. } => "bandwidth",
            Toxic::SlowClose { .. } => "slow_close",
            Toxic::Timeout { .. } => "timeout",
            Toxic::ResetPeer { .. } => "reset_peer",
            Toxic::Slicer { .. } => "slicer",
            Toxic::LimitData { .. } => "limit_data",
            Toxic::Cut => "cut",
        }
    }
}

/// All faults of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) latency: Option<(Duration, Duration)>,
    pub(super) bandwidth: Option<u64>,
    pub(super) slow_close: Duration,
    pub(super) timeout: Option<Duration>,
    pub(super) reset: Option<Duration>,
    pub(super) slicer: Option<(usize, usize, Duration)>,
    pub(super) limit: Option<u64>,
    pub(super) cut: bool,
}

impl Effect {
    pub(super) fn set(&mut self, toxic: Toxic) {
        match toxic {
            Toxic::Latency { delay, jitter } => self.latency = Some((delay, jitter)),
            Toxic::Bandwidth { bytes_per_second } => self.bandwidth = Some(bytes_per_second.max(1)),
            Toxic::SlowClose { delay } => self.slow_close = delay,
            Toxic::Timeout { after } => self.timeout = Some(after),
            Toxic::ResetPeer { after } => self.reset = Some(after),
            Toxic::Slicer { average, variation, delay } => {
                self.slicer = Some((average.max(1), variation, delay))
            }
            Toxic::LimitData { bytes } => self.limit = Some(bytes),
            Toxic::Cut => self.cut = true,
        }
    }

    /// How long after it was read a chunk is due; `luck` in 0..1 is the chunk's own.
    pub(super) fn delay(&self, luck: f64) -> Duration {
        let (delay, jitter) = self.latency.unwrap_or_default();
        let low = delay.saturating_sub(jitter);
        low + (delay + jitter).saturating_sub(low).mul_f64(luck)
    }

    /// How many of the `left` bytes to pass on at once, having passed `passed` before; 0 when the limit is reached.
    pub(super) fn piece(&self, left: usize, passed: u64, rng: &mut Rng) -> usize {
        let mut size = left;
        if let Some((average, variation, _)) = self.slicer {
            let low = average.saturating_sub(variation).max(1);
            size = size.min(low + rng.below((average + variation - low + 1) as u64) as usize);
        }
        if let Some(rate) = self.bandwidth {
            // A tenth of a second at a time, so that the rate looks even to the receiver.
            size = size.min((rate / 10).max(1) as usize);
        }
        if let Some(limit) = self.limit {
            size = size.min(usize::try_from(limit.saturating_sub(passed)).unwrap_or(usize::MAX));
        }
        size
    }

    /// The pause that a piece of that size costs.
    pub(super) fn pause(&self, size: usize) -> Duration {
        let line =
            self.bandwidth.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(size as f64 / rate as f64));
        line + self.slicer.map_or(Duration::ZERO, |(_, _, delay)| delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_goes_both_ways_and_never_below_zero() {
        let ms = Duration::from_millis;
        let mut effect = Effect::default();
        effect.set(Toxic::Latency { delay: ms(100), jitter: ms(20) });
        assert_eq!((effect.delay(0.0), effect.delay(0.5), effect.delay(1.0)), (ms(80), ms(100), ms(120)));
        effect.set(Toxic::Latency { delay: ms(10), jitter: ms(30) });
        assert_eq!((effect.delay(0.0), effect.delay(1.0)), (ms(0), ms(40)));
    }

    #[test]
    fn pieces_follow_the_narrowest_fault() {
        let mut rng = Rng::new(1);
        let mut effect = Effect::default();
        assert_eq!(effect.piece(1_000, 0, &mut rng), 1_000);
        effect.set(Toxic::Slicer { average: 50, variation: 10, delay: Duration::ZERO });
        assert!((0..100).all(|_| (40..=60).contains(&effect.piece(1_000, 0, &mut rng))));
        effect.set(Toxic::Bandwidth { bytes_per_second: 100 });
        assert_eq!(effect.piece(1_000, 0, &mut rng), 10);
        effect.set(Toxic::LimitData { bytes: 12 });
        assert_eq!((effect.piece(1_000, 8, &mut rng), effect.piece(1_000, 12, &mut rng)), (4, 0));
    }
}
