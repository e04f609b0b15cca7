//! Our side: each mechanism with `now` passed in, and with the clock read as production reads it.
//!
//! Production reads the clock twice a request, once when it comes and once when its answer does, and
//! passes the moment on to whoever decides. So whoever is asked before the call and told after it pays
//! for two readings here, and whoever is only asked pays for one.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall_net::clock::SystemClock;
use seawall_policy::admission::{Ask, Chain, Parts, Places};
use seawall_policy::breaker::{self, Breaker};
use seawall_policy::deadline::Deadline;
use seawall_policy::inflight::Limit;
use seawall_policy::rate::{self, Limiter, Per, Rate};
use seawall_policy::retry::{Budget, BudgetPolicy};
use seawall_policy::shed::{self, Shedder};
use seawall_policy::{Clock, Mono, Outcome};

use super::burst::{LetIn, Subject};
use super::stream::{Call, Place, Walk};

/// Longer than any run, by the stream's clock as well: what is open stays open.
pub(super) const FOR_GOOD: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Places of a bulkhead: two threads never fill it.
pub(super) const PLACES: usize = 1_024;
/// The highest rate there is, and a second's worth of it at once.
const MILLION: u32 = 1_000_000;
/// How long whoever asks will wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// A mechanism twice.
pub(super) struct Pair {
    /// With `now` passed in.
    pub told: Subject,
    /// With its own readings of the clock; none where it asks for no time.
    pub reading: Option<Subject>,
}

impl Pair {
    fn new(told: Subject, reading: Subject) -> Pair {
        Pair { told, reading: Some(reading) }
    }
}

/// A word that shares its cache lines (two, because they are fetched in pairs) with nobody.
#[derive(Default)]
#[repr(align(128))]
struct Word(AtomicU64);

/// One relaxed `fetch_add` on a word that all threads share.
pub(super) fn shared_word() -> Subject {
    let word = Box::new(Word::default());
    Subject::new("fetch_add, one word for all", LetIn::All, move |walk| add(walk, &word))
}

/// One relaxed `fetch_add` on a word of each thread's own.
pub(super) fn own_word() -> Subject {
    let words: Box<[Word; 2]> = Box::default();
    Subject::new("fetch_add, a word each", LetIn::All, move |walk| add(walk, &words[walk.seat]))
}

fn add(walk: Walk<'_>, word: &Word) -> usize {
    walk.count(|_, _| black_box(word.0.fetch_add(1, Ordering::Relaxed)) < u64::MAX)
}

/// One reading of the clock production uses.
pub(super) fn clock_read() -> Subject {
    let clock = SystemClock::new();
    Subject::new("one reading of our clock", LetIn::All, move |walk| {
        walk.count(|_, _| black_box(clock.now()) > Mono::default())
    })
}

/// A call through a closed breaker.
pub(super) fn breaker_closed() -> Pair {
    breaker_behind(|| ())
}

/// The same behind a lock, as one might have written it: the bench must notice.
pub(super) fn breaker_behind_a_lock() -> Pair {
    let lock = Arc::new(Mutex::new(()));
    breaker_behind(move || drop(black_box(lock.lock())))
}

fn breaker_behind(door: impl Fn() + Clone + Send + Sync + 'static) -> Pair {
    let (told, reading, clock, same_door) = (closed(), closed(), SystemClock::new(), door.clone());
    let told = Subject::new("breaker, closed", LetIn::All, move |walk| {
        walk.count(|call, now| {
            door();
            through(&told, call, || now)
        })
    });
    let reading = Subject::new("breaker, closed; 2 readings", LetIn::All, move |walk| {
        walk.count(|call, _| {
            same_door();
            through(&reading, call, || clock.now())
        })
    });
    Pair::new(told, reading)
}

#[inline]
fn through(breaker: &Breaker, call: &Call, clock: impl Fn() -> Mono) -> bool {
    let Ok(permit) = breaker.admit(clock()) else { return false };
    black_box(breaker.report(black_box(permit), outcome(call), clock()));
    true
}

/// A call that an open breaker refuses.
pub(super) fn breaker_open() -> Pair {
    let clock = SystemClock::new();
    let (told, reading) = (open(Place::start().now()), open(clock.now()));
    let told = Subject::new("breaker, open", LetIn::None, move |walk| {
        walk.count(|_, now| black_box(told.admit(now)).is_ok())
    });
    let reading = Subject::new("breaker, open; 1 reading", LetIn::None, move |walk| {
        walk.count(|_, _| black_box(reading.admit(clock.now())).is_ok())
    });
    Pair::new(told, reading)
}

/// A request that a rate limit lets in.
pub(super) fn rate_allow() -> Pair {
    let (told, reading, clock) = (InTurns::new(generous), InTurns::new(generous), SystemClock::new());
    let told = Subject::new("rate limit, let in", LetIn::All, move |walk| {
        let limiter = told.of(walk);
        walk.count(|_, now| black_box(limiter.check(now)).is_ok())
    });
    let reading = Subject::new("rate limit, let in; 1 reading", LetIn::All, move |walk| {
        let limiter = reading.of(walk);
        walk.count(|_, _| black_box(limiter.check(clock.now())).is_ok())
    });
    Pair::new(told, reading)
}

/// A request that a rate limit refuses.
pub(super) fn rate_reject() -> Pair {
    let clock = SystemClock::new();
    let (told, reading) = (used_up(Place::start().now()), used_up(clock.now()));
    let told = Subject::new("rate limit, refused", LetIn::None, move |walk| {
        walk.count(|_, now| black_box(told.check(now)).is_ok())
    });
    let reading = Subject::new("rate limit, refused; 1 reading", LetIn::None, move |walk| {
        walk.count(|_, _| black_box(reading.check(clock.now())).is_ok())
    });
    Pair::new(told, reading)
}

/// A place taken and given back.
pub(super) fn bulkhead() -> Pair {
    let limit = Limit::new(PLACES);
    let told =
        Subject::new("bulkhead", LetIn::All, move |walk| walk.count(|_, _| black_box(limit.enter()).is_ok()));
    Pair { told, reading: None }
}

/// A first try paid in, and a retry paid for. Every call may be retried, so that both always succeed.
pub(super) fn budget() -> Pair {
    let new = || Budget::new(BudgetPolicy { ratio: 1.0, ..BudgetPolicy::default() });
    let (told, reading, clock) = (new(), new(), SystemClock::new());
    let told = Subject::new("retry budget", LetIn::All, move |walk| {
        walk.count(|_, now| {
            told.deposit(now);
            black_box(told.withdraw(now, 1))
        })
    });
    let reading = Subject::new("retry budget; 2 readings", LetIn::All, move |walk| {
        walk.count(|_, _| {
            reading.deposit(clock.now());
            black_box(reading.withdraw(clock.now(), 1))
        })
    });
    Pair::new(told, reading)
}

/// Everything a request passes on its way in, and what is told on its way out.
pub(super) fn chain() -> Pair {
    let (told, reading, clock) = (InTurns::new(whole_chain), InTurns::new(whole_chain), SystemClock::new());
    let told = Subject::new("whole chain", LetIn::All, move |walk| {
        let chain = told.of(walk);
        walk.count(|call, now| pass(chain, call, || now))
    });
    let reading = Subject::new("whole chain; 2 readings", LetIn::All, move |walk| {
        let chain = reading.of(walk);
        walk.count(|call, _| pass(chain, call, || clock.now()))
    });
    Pair::new(told, reading)
}

#[inline]
fn pass(chain: &Chain, call: &Call, clock: impl Fn() -> Mono) -> bool {
    let now = clock();
    let ask = Ask {
        who: Some(call.who.into()),
        deadline: Some(Deadline::after(now, PATIENCE)),
        ..Ask::new(call.priority)
    };
    let Ok(pass) = chain.admit(&ask, now) else { return false };
    black_box(black_box(pass).report(outcome(call), clock()));
    true
}

fn whole_chain() -> Chain {
    Chain::new(Parts {
        shed: Some(Shedder::new(shed::Policy::s0_chat())),
        rate: Some(generous()),
        places: Places::Fixed(Limit::new(PLACES)),
        breaker: Some(closed()),
    })
}

/// Several of a kind, one for each burst: what one burst used up is back before its next turn.
struct InTurns<T>(Box<[T]>);

impl<T> InTurns<T> {
    /// A burst takes a hundredth of a second's worth, and the others' bursts come between any two.
    const COUNT: usize = 16;

    fn new(new: impl Fn() -> T) -> InTurns<T> {
        InTurns((0..Self::COUNT).map(|_| new()).collect())
    }

    fn of(&self, walk: Walk<'_>) -> &T {
        &self.0[walk.burst % Self::COUNT]
    }
}

fn outcome(call: &Call) -> Outcome {
    if call.failed { Outcome::Failed } else { Outcome::Success }
}

/// Half of ten failed, or five in a row; four counters, for a dependency all threads share. The
/// stream's one failure in a thousand never trips it.
fn policy() -> breaker::Policy {
    breaker::Policy { shards: 4, ..breaker::Policy::s4_registry() }
}

fn closed() -> Breaker {
    Breaker::new(policy())
}

fn open(now: Mono) -> Breaker {
    let open = breaker::Open { for_: FOR_GOOD, max: FOR_GOOD, ..breaker::Open::default() };
    let breaker = Breaker::new(breaker::Policy { open, ..policy() });
    while let Ok(permit) = breaker.admit(now) {
        breaker.report(permit, Outcome::Failed, now);
    }
    breaker
}

fn generous() -> Limiter {
    Limiter::new(&rate::Policy { rate: Rate::new(MILLION, Per::Second), burst: MILLION, keys_max: 0 })
}

/// One an hour, and this hour's has been taken.
fn used_up(now: Mono) -> Limiter {
    let limiter = Limiter::new(&rate::Policy { rate: Rate::new(1, Per::Hour), burst: 1, keys_max: 0 });
    while limiter.check(now).is_ok() {}
    limiter
}
