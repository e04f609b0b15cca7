//! Our side: each mechanism with `now` passed in, and with its own readings of the clock.
//!
//! Where production has read the clock anyway, for a latency, it passes the moment on. Where it has not, the
//! mechanism reads it itself, as every opponent does: the coarse one ([`Clock::coarse`]), and a breaker only
//! when the moment decides something. Whoever is asked before the call and told after it may pay for two
//! readings, whoever is only asked pays for one. The same with the precise clock is shown beside it, and not
//! judged.

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

/// A mechanism three times.
pub(super) struct Trio {
    /// With `now` passed in.
    pub told: Subject,
    /// With its own readings of the clock; none where it asks for no time.
    pub reading: Option<Readings>,
}

/// A mechanism that reads the clock itself.
pub(super) struct Readings {
    /// The coarse one: what is compared with opponents.
    pub coarse: Subject,
    /// The precise one, for whoever wants to know.
    pub precise: Subject,
}

impl Trio {
    fn new(told: Subject, coarse: Subject, precise: Subject) -> Trio {
        Trio { told, reading: Some(Readings { coarse, precise }) }
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

/// The precise clock.
fn precise() -> impl Now {
    let clock = SystemClock::new();
    move || clock.now()
}

/// The coarse one.
fn coarse() -> impl Now {
    let clock = SystemClock::new();
    move || clock.coarse()
}

/// What a mechanism reads.
trait Now: Fn() -> Mono + Send + Sync + 'static {}
impl<F: Fn() -> Mono + Send + Sync + 'static> Now for F {}

/// One reading of the precise clock.
pub(super) fn precise_clock() -> Subject {
    clock_read("one reading of the precise clock", precise())
}

/// One reading of the coarse clock.
pub(super) fn coarse_clock() -> Subject {
    clock_read("one reading of the coarse clock", coarse())
}

fn clock_read(name: &'static str, clock: impl Now) -> Subject {
    Subject::new(name, LetIn::All, move |walk| walk.count(|_, _| black_box(clock()) > Mono::default()))
}

/// A call through a closed breaker.
pub(super) fn breaker_closed() -> Trio {
    breaker_behind(|| ())
}

/// The same behind a lock, as one might have written it: the bench must notice.
pub(super) fn breaker_behind_a_lock() -> Trio {
    let lock = Arc::new(Mutex::new(()));
    breaker_behind(move || drop(black_box(lock.lock())))
}

fn breaker_behind(door: impl Fn() + Clone + Send + Sync + 'static) -> Trio {
    let (told, same_door) = (closed(), door.clone());
    let told = Subject::new("breaker, closed", LetIn::All, move |walk| {
        walk.count(|call, now| {
            same_door();
            let Ok(permit) = told.admit(now) else { return false };
            black_box(told.report(black_box(permit), outcome(call), now));
            true
        })
    });
    Trio::new(
        told,
        breaker_reading("breaker, closed; coarse clock", coarse(), door.clone()),
        breaker_reading("breaker, closed; precise clock", precise(), door),
    )
}

/// It reads the clock once a call: its ratio asks when a success came, and no rule how long a call took.
fn breaker_reading(name: &'static str, clock: impl Now, door: impl Fn() + Send + Sync + 'static) -> Subject {
    let breaker = closed();
    Subject::new(name, LetIn::All, move |walk| {
        walk.count(|call, _| {
            door();
            let Ok(permit) = breaker.admit_by(&clock) else { return false };
            black_box(breaker.report_by(black_box(permit), outcome(call), &clock));
            true
        })
    })
}

/// A call that an open breaker refuses.
pub(super) fn breaker_open() -> Trio {
    let told = open(Place::start().now());
    let told = Subject::new("breaker, open", LetIn::None, move |walk| {
        walk.count(|_, now| black_box(told.admit(now)).is_ok())
    });
    Trio::new(
        told,
        breaker_open_reading("breaker, open; coarse clock", coarse()),
        breaker_open_reading("breaker, open; precise clock", precise()),
    )
}

fn breaker_open_reading(name: &'static str, clock: impl Now) -> Subject {
    let breaker = open(clock());
    Subject::new(name, LetIn::None, move |walk| {
        walk.count(|_, _| black_box(breaker.admit_by(&clock)).is_ok())
    })
}

/// A request that a rate limit lets in.
pub(super) fn rate_allow() -> Trio {
    let told = InTurns::new(generous);
    let told = Subject::new("rate limit, let in", LetIn::All, move |walk| {
        let limiter = told.of(walk);
        walk.count(|_, now| black_box(limiter.check(now)).is_ok())
    });
    Trio::new(
        told,
        rate_allow_reading("rate limit, let in; coarse clock", coarse()),
        rate_allow_reading("rate limit, let in; precise clock", precise()),
    )
}

fn rate_allow_reading(name: &'static str, clock: impl Now) -> Subject {
    let limiters = InTurns::new(generous);
    Subject::new(name, LetIn::All, move |walk| {
        let limiter = limiters.of(walk);
        walk.count(|_, _| black_box(limiter.check(clock())).is_ok())
    })
}

/// A request that a rate limit refuses.
pub(super) fn rate_reject() -> Trio {
    let told = used_up(Place::start().now());
    let told = Subject::new("rate limit, refused", LetIn::None, move |walk| {
        walk.count(|_, now| black_box(told.check(now)).is_ok())
    });
    Trio::new(
        told,
        rate_reject_reading("rate limit, refused; coarse clock", coarse()),
        rate_reject_reading("rate limit, refused; precise clock", precise()),
    )
}

fn rate_reject_reading(name: &'static str, clock: impl Now) -> Subject {
    let limiter = used_up(clock());
    Subject::new(name, LetIn::None, move |walk| walk.count(|_, _| black_box(limiter.check(clock())).is_ok()))
}

/// A place taken and given back.
pub(super) fn bulkhead() -> Trio {
    let limit = Limit::new(PLACES);
    let told =
        Subject::new("bulkhead", LetIn::All, move |walk| walk.count(|_, _| black_box(limit.enter()).is_ok()));
    Trio { told, reading: None }
}

/// A first try paid in, and a retry paid for. Every call may be retried, so that both always succeed.
pub(super) fn budget() -> Trio {
    let told = ample();
    let told = Subject::new("retry budget", LetIn::All, move |walk| {
        walk.count(|_, now| {
            told.deposit(now);
            black_box(told.withdraw(now, 1))
        })
    });
    Trio::new(
        told,
        budget_reading("retry budget; coarse clock, twice", coarse()),
        budget_reading("retry budget; precise clock, twice", precise()),
    )
}

fn budget_reading(name: &'static str, clock: impl Now) -> Subject {
    let budget = ample();
    Subject::new(name, LetIn::All, move |walk| {
        walk.count(|_, _| {
            budget.deposit(clock());
            black_box(budget.withdraw(clock(), 1))
        })
    })
}

/// Everything a request passes on its way in, and what is told on its way out.
pub(super) fn chain() -> Trio {
    let told = InTurns::new(whole_chain);
    let told = Subject::new("whole chain", LetIn::All, move |walk| {
        let chain = told.of(walk);
        walk.count(|call, now| pass(chain, call, || now))
    });
    Trio::new(
        told,
        chain_reading("whole chain; coarse clock, twice", coarse()),
        chain_reading("whole chain; precise clock, twice", precise()),
    )
}

fn chain_reading(name: &'static str, clock: impl Now) -> Subject {
    let chains = InTurns::new(whole_chain);
    Subject::new(name, LetIn::All, move |walk| {
        let chain = chains.of(walk);
        walk.count(|call, _| pass(chain, call, &clock))
    })
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

fn ample() -> Budget {
    Budget::new(BudgetPolicy { ratio: 1.0, ..BudgetPolicy::default() })
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
