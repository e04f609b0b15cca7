//! Which try of its caller a request is, told along with it.
//!
//! Each layer that retries multiplies what the layers above it do: reads of the graph tried 4 times, behind
//! a balancer that tries 3 times, behind a client that tries 4 times, are 4 × 3 × 4 = 48 calls of one. The
//! number of the try travels in [`HEADER`], and who serves a try other than the first need not retry below
//! ([`Policy::retries_below`]): somebody above is retrying already. Then these three layers make 9 calls at
//! most, one and the 3 + 2 + 3 retries ([`amplification`]).
//!
//! What was received is passed on. A service that serves attempt 2 calls its own callee with attempt 2,
//! lest the layer after next take it for a first try, and each retry of its own is the
//! [`next`](Attempt::next) one.

use super::policy::{ATTEMPTS_MAX, Policy};

/// The header that tells a callee which try this is, from 1.
pub const HEADER: &str = "x-seawall-attempt";

/// As they are written, without allocating.
const WRITTEN: [&str; ATTEMPTS_MAX as usize] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];

/// The number of a try, 1 to [`ATTEMPTS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(u32);

/// Why an attempt header was not understood. The request should be refused: guessing would be a silent
/// default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{HEADER} must be the number of this try, 1 to {ATTEMPTS_MAX}; leave it out at the first")]
pub struct AttemptError;

impl Attempt {
    /// Not a retry; also what a request without the header is.
    pub const FIRST: Attempt = Attempt(1);

    /// Reads the header's value.
    ///
    /// # Errors
    /// When it is not a plain decimal number from 1 to [`ATTEMPTS_MAX`].
    pub fn parse(value: &str) -> Result<Attempt, AttemptError> {
        let value = value.trim();
        let found = WRITTEN.iter().zip(1..).find(|(written, _)| **written == value);
        found.map(|(_, number)| Attempt(number)).ok_or(AttemptError)
    }

    /// The header's value.
    #[must_use]
    pub fn header_value(self) -> &'static str {
        WRITTEN[self.0 as usize - 1]
    }

    /// The number itself.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// Whether somebody above has tried before.
    #[must_use]
    pub fn is_retry(self) -> bool {
        self.0 > 1
    }

    /// The try after this one. Layers may add up to more than [`ATTEMPTS_MAX`]; from there on it stays.
    #[must_use]
    pub fn next(self) -> Attempt {
        Attempt(ATTEMPTS_MAX.min(self.0 + 1))
    }
}

/// Calls that the last callee of a chain sees at worst for one call of the first caller, whose policy comes
/// first. Each layer passes on and heeds [`HEADER`], as [`Policy::retries_below`] says.
#[must_use]
pub fn amplification(chain: &[&Policy]) -> u64 {
    // What the layers below make of a first try, and of a retry.
    let (mut of_first, mut of_retry) = (1u64, 1u64);
    for policy in chain.iter().rev() {
        let tries = u64::from(policy.amplification());
        let further = of_retry.saturating_mul(tries - 1);
        of_first = of_first.saturating_add(further);
        if policy.below_a_retry {
            of_retry = of_retry.saturating_add(further);
        }
    }
    of_first
}
