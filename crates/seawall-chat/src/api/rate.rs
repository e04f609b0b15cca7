//! How often a token may call: one limit over everything, and one for each kind of call on each channel or guild.
//!
//! Libraries read the headers of every answer and wait by themselves before they would be refused, so what is told
//! must be exact: [`Keyed::take`] answers with what that very call has left.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use seawall_policy::placement::hash;
use seawall_policy::rate::{Keyed, Left, Per, Policy, Rate};
use seawall_policy::{Mono, Wall};
use serde::{Deserialize, Serialize};

use super::errors::Scope;
use crate::id::Id;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const RESET_AFTER: HeaderName = HeaderName::from_static("x-ratelimit-reset-after");
const BUCKET: HeaderName = HeaderName::from_static("x-ratelimit-bucket");

/// Keys each limit remembers: 16 bytes each, all taken at the start. Who has been quiet for as long as its burst
/// takes to come back needs no place, so this many tokens may be busy at once.
const KEYS_MAX: u32 = 16_384;

/// The `[chat.rates]` section: limits of one token, by kind of call, on one channel or guild each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// All calls of a token together (Discord: 50 a second).
    pub global: Policy,
    /// Messages sent (Discord: 5 in 5 seconds in a channel).
    pub messages: Policy,
    /// Messages changed.
    pub edits: Policy,
    /// Messages deleted.
    pub deletes: Policy,
    /// Reactions given and taken (Discord: one every quarter of a second).
    pub reactions: Policy,
    /// "… is typing".
    pub typing: Policy,
    /// Everything else that changes something.
    pub changes: Policy,
    /// Everything that only reads.
    pub reads: Policy,
    /// Calls without a valid token, by the caller's address: each may cost a look-up.
    pub strangers: Policy,
}

impl Default for Rates {
    fn default() -> Rates {
        let limit = |count, burst| Policy { rate: Rate::new(count, Per::Second), burst, keys_max: KEYS_MAX };
        Rates {
            global: limit(50, 50),
            messages: limit(1, 5),
            edits: limit(1, 5),
            deletes: limit(5, 5),
            reactions: limit(4, 4),
            typing: limit(1, 5),
            changes: limit(2, 10),
            reads: limit(20, 40),
            strangers: limit(20, 200),
        }
    }
}

impl Rates {
    /// Everything wrong, each with advice; empty when nothing is.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (key, policy) in self.named() {
            wrong.extend(policy.check().into_iter().map(|advice| format!("{key}.{advice}")));
            if policy.keys_max == 0 {
                wrong.push(format!(
                    "{key}.keys_max: use 1 or more, such as {KEYS_MAX}; 0 is one limit for everyone"
                ));
            }
        }
        wrong
    }

    fn named(&self) -> [(&'static str, &Policy); 9] {
        [
            ("global", &self.global),
            ("messages", &self.messages),
            ("edits", &self.edits),
            ("deletes", &self.deletes),
            ("reactions", &self.reactions),
            ("typing", &self.typing),
            ("changes", &self.changes),
            ("reads", &self.reads),
            ("strangers", &self.strangers),
        ]
    }
}

/// A kind of call, which has a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bucket {
    Messages,
    Edits,
    Deletes,
    Reactions,
    Typing,
    Changes,
    Reads,
    Strangers,
}

impl Bucket {
    /// As libraries know it: they take two routes with one name to share a limit.
    fn name(self) -> &'static str {
        match self {
            Bucket::Messages => "messages",
            Bucket::Edits => "edits",
            Bucket::Deletes => "deletes",
            Bucket::Reactions => "reactions",
            Bucket::Typing => "typing",
            Bucket::Changes => "changes",
            Bucket::Reads => "reads",
            Bucket::Strangers => "strangers",
        }
    }
}

struct Limit {
    keyed: Keyed,
    burst: u32,
}

impl Limit {
    fn new(policy: &Policy, seed: u64) -> Limit {
        Limit { keyed: Keyed::new(policy, seed), burst: policy.burst.max(1) }
    }
}

/// The limits of this process.
pub(super) struct Limits {
    global: Limit,
    messages: Limit,
    edits: Limit,
    deletes: Limit,
    reactions: Limit,
    typing: Limit,
    changes: Limit,
    reads: Limit,
    strangers: Limit,
}

/// What one call has left; becomes the headers of its answer, whatever that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    bucket: Bucket,
    limit: u32,
    remaining: u32,
    reset_after: Duration,
}

/// A call beyond its limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limited {
    pub(super) told: Told,
    pub(super) retry_after: f64,
    pub(super) scope: Scope,
}

impl Limits {
    pub(super) fn new(rates: &Rates, seed: u64) -> Limits {
        Limits {
            global: Limit::new(&rates.global, seed),
            messages: Limit::new(&rates.messages, seed),
            edits: Limit::new(&rates.edits, seed),
            deletes: Limit::new(&rates.deletes, seed),
            reactions: Limit::new(&rates.reactions, seed),
            typing: Limit::new(&rates.typing, seed),
            changes: Limit::new(&rates.changes, seed),
            reads: Limit::new(&rates.reads, seed),
            strangers: Limit::new(&rates.strangers, seed),
        }
    }

    /// Lets a caller's call in, or says when to come again. `major` is the channel or guild it is about.
    pub(super) fn admit(
        &self,
        bucket: Bucket,
        token: u64,
        major: Option<Id>,
        now: Mono,
    ) -> Result<Told, Limited> {
        let key = hash::of(&[token.to_be_bytes(), major.unwrap_or_default().0.to_be_bytes()].concat());
        let limit = self.of(bucket);
        let told = |left: Left| Told {
            bucket,
            limit: limit.burst,
            remaining: left.remaining,
            reset_after: left.full_at.since(now),
        };
        let refused = |retry_at: Mono, scope| Limited {
            told: Told { remaining: 0, ..told(limit.keyed.left(key, now)) },
            retry_after: seconds(retry_at.since(now)),
            scope,
        };
        if let Err(used_up) = self.global.keyed.check(token, now) {
            return Err(refused(used_up.retry_at, Scope::Global));
        }
        limit.keyed.take(key, now).map(told).map_err(|used_up| refused(used_up.retry_at, Scope::User))
    }

    /// The same for a caller without a valid token, known by its address. Who calls from this machine itself has none
    /// and is not limited: it could as well read the files.
    pub(super) fn admit_stranger(&self, address: Option<u64>, now: Mono) -> Result<Told, Limited> {
        let bucket = Bucket::Strangers;
        let limit = &self.strangers;
        let Some(address) = address else {
            return Ok(Told {
                bucket,
                limit: limit.burst,
                remaining: limit.burst,
                reset_after: Duration::ZERO,
            });
        };
        let told = |left: Left| Told {
            bucket,
            limit: limit.burst,
            remaining: left.remaining,
            reset_after: left.full_at.since(now),
        };
        limit.keyed.take(address, now).map(told).map_err(|used_up| Limited {
            told: Told { remaining: 0, ..told(limit.keyed.left(address, now)) },
            retry_after: seconds(used_up.retry_at.since(now)),
            scope: Scope::User,
        })
    }

    fn of(&self, bucket: Bucket) -> &Limit {
        match bucket {
            Bucket::Messages => &self.messages,
            Bucket::Edits => &self.edits,
            Bucket::Deletes => &self.deletes,
            Bucket::Reactions => &self.reactions,
            Bucket::Typing => &self.typing,
            Bucket::Changes => &self.changes,
            Bucket::Reads => &self.reads,
            Bucket::Strangers => &self.strangers,
        }
    }
}

/// In milliseconds, rounded up: who waits exactly so long is admitted.
fn seconds(wait: Duration) -> f64 {
    wait.as_nanos().div_ceil(1_000_000) as f64 / 1000.0
}

impl Told {
    /// The headers.
    pub(super) fn write(self, headers: &mut HeaderMap, wall: Wall) {
        let after = seconds(self.reset_after);
        let at = wall.0 as f64 / 1000.0 + after;
        let mut decimal = |name, value: f64| {
            if let Ok(value) = HeaderValue::from_str(&format!("{value:.3}")) {
                headers.insert(name, value);
            }
        };
        decimal(RESET, at);
        decimal(RESET_AFTER, after);
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(BUCKET, HeaderValue::from_static(self.bucket.name()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Mono = Mono(1_000_000_000);

    fn limits() -> Limits {
        Limits::new(&Rates::default(), 7)
    }

    #[test]
    fn the_default_is_right_and_a_wrong_one_is_named() {
        assert_eq!(Rates::default().check(), [] as [&str; 0]);
        let mut wrong = Rates::default();
        wrong.typing.burst = 0;
        wrong.reads.keys_max = 0;
        let said = wrong.check();
        assert!(said[0].starts_with("typing.burst: ") && said[1].starts_with("reads.keys_max: "), "{said:?}");
    }

    #[test]
    fn five_messages_in_five_seconds_and_the_headers_count_down() {
        let limits = limits();
        for left in [4, 3, 2, 1, 0] {
            let told = limits.admit(Bucket::Messages, 1, Some(Id(9)), START).unwrap();
            assert_eq!((told.limit, told.remaining), (5, left));
            assert_eq!(told.reset_after, Duration::from_secs(5 - u64::from(left)));
        }
        let limited = limits.admit(Bucket::Messages, 1, Some(Id(9)), START).unwrap_err();
        assert_eq!((limited.retry_after, limited.scope, limited.told.remaining), (1.0, Scope::User, 0));
        assert!(limits.admit(Bucket::Messages, 1, Some(Id(10)), START).is_ok(), "another channel");
        assert!(limits.admit(Bucket::Messages, 2, Some(Id(9)), START).is_ok(), "another token");
        assert!(limits.admit(Bucket::Edits, 1, Some(Id(9)), START).is_ok(), "another kind");
        let later = START + Duration::from_secs(1);
        assert!(limits.admit(Bucket::Messages, 1, Some(Id(9)), later).is_ok());
    }

    #[test]
    fn all_calls_of_a_token_have_one_limit_above() {
        let limits = limits();
        for channel in 0..50 {
            assert!(limits.admit(Bucket::Typing, 1, Some(Id(channel)), START).is_ok());
        }
        let limited = limits.admit(Bucket::Typing, 1, Some(Id(99)), START).unwrap_err();
        assert_eq!((limited.retry_after, limited.scope), (0.02, Scope::Global));
        assert!(limits.admit(Bucket::Typing, 2, Some(Id(99)), START).is_ok());
    }

    #[test]
    fn who_waits_as_long_as_told_is_admitted() {
        let limits = limits();
        let mut now = START;
        for _ in 0..200 {
            match limits.admit(Bucket::Reactions, 1, None, now) {
                Ok(_) => now = now + Duration::from_nanos(333),
                Err(limited) => {
                    now = now + Duration::from_secs_f64(limited.retry_after);
                    assert!(limits.admit(Bucket::Reactions, 1, None, now).is_ok());
                }
            }
        }
    }

    #[test]
    fn headers_are_written_as_libraries_read_them() {
        let told = limits().admit(Bucket::Messages, 1, None, START).unwrap();
        let mut headers = HeaderMap::new();
        told.write(&mut headers, Wall(1_704_067_200_250));
        let read = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!(read("x-ratelimit-limit"), "5");
        assert_eq!(read("x-ratelimit-remaining"), "4");
        assert_eq!(read("x-ratelimit-reset"), "1704067201.250");
        assert_eq!(read("x-ratelimit-reset-after"), "1.000");
        assert_eq!(read("x-ratelimit-bucket"), "messages");
    }
}
