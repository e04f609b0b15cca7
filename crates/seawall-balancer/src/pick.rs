//! Which backend of a pool gets the next try. Pure: looks at what is known and decides.
//!
//! ## The order of the questions
//!
//! 1. Is the pool's health to be believed? ([`Standing`])
//! 2. Who may be asked? Up, not ejected, not tried before in this request, admitted by its breaker.
//! 3. Of those, two at random; the one with fewer requests in flight.
//!
//! ## When health is ignored
//!
//! When fewer than `panic_threshold` of the backends whose health is known are usable, it is more likely
//! that the checks are wrong than that everything broke at once, and the few survivors could not carry the
//! load anyway: every backend is asked (fail-open, as the balancer document wants for "all backends down").
//! This is a state with a name, [`Mode::Panic`], seen in the log, in a metric and on the admin port.
//!
//! An ejection is honoured even then, as long as somebody is left: it rests on a connection refused within
//! the last seconds. Sending there again would cost the client a retry and bring the request to the same
//! survivors. When all are ejected, so is none.
//!
//! ## When nothing is known
//!
//! A newcomer gets no traffic before its first check has passed, unless nobody's health is known: a balancer
//! that was just started must not refuse everyone for the length of a check.

use std::sync::Arc;

use seawall_policy::breaker::{Breaker, Permit, State};
use seawall_policy::placement::p2c;
use seawall_policy::{Mono, Outcome, Rng};

use crate::backend::{Backend, Health};

/// How far the health of a pool's backends is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nobody to ask.
    Empty,
    /// No check has ended yet; everyone is asked.
    Unchecked,
    /// Those that are up are asked.
    Normal,
    /// Too few are up to believe it; everyone is asked.
    Panic,
}

impl Mode {
    /// As shown on the admin port and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Empty => "empty",
            Mode::Unchecked => "unchecked",
            Mode::Normal => "normal",
            Mode::Panic => "panic",
        }
    }
}

/// A pool's health at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What follows from the numbers.
    pub mode: Mode,
    /// Backends that are up and not ejected.
    pub up: usize,
    /// All backends.
    pub total: usize,
    all_ejected: bool,
}

impl Standing {
    /// Counts.
    #[must_use]
    pub fn of(members: &[Arc<Backend>], panic_threshold: f64, now: Mono) -> Standing {
        let (mut up, mut unchecked, mut ejected) = (0, 0, 0);
        for backend in members {
            match (backend.ejected_until(now), backend.health()) {
                (Some(_), _) => ejected += 1,
                (None, Health::Up) => up += 1,
                (None, Health::Unchecked) => unchecked += 1,
                (None, Health::Down) => {}
            }
        }
        let total = members.len();
        let known = total - unchecked;
        let mode = match known {
            _ if total == 0 => Mode::Empty,
            0 => Mode::Unchecked,
            _ if (up as f64) < panic_threshold * known as f64 => Mode::Panic,
            _ => Mode::Normal,
        };
        Standing { mode, up, total, all_ejected: ejected == total }
    }

    /// Why a backend is not asked, as far as its health goes.
    #[must_use]
    pub fn bars(&self, backend: &Backend, now: Mono) -> Option<Barred> {
        let ejected = backend.ejected_until(now).map(|until| Barred::Ejected { until });
        match self.mode {
            Mode::Panic | Mode::Unchecked | Mode::Empty => ejected.filter(|_| !self.all_ejected),
            Mode::Normal => match backend.health() {
                _ if ejected.is_some() => ejected,
                Health::Up => None,
                Health::Unchecked if self.up == 0 => None,
                Health::Unchecked => Some(Barred::Unchecked),
                Health::Down => Some(Barred::Down),
            },
        }
    }
}

/// Why a backend is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barred {
    /// Its checks fail.
    Down,
    /// Its first check has not passed yet, and others' have.
    Unchecked,
    /// It refused a connection a moment ago.
    Ejected {
        /// When it will be asked again.
        until: Mono,
    },
}

/// Which try this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The first. When every breaker is open, one that is open is asked all the same (registry document).
    First,
    /// A further one: only backends not tried before, only with their breaker's leave.
    Again,
    /// Everyone willing was tried and none could be connected to: anybody, preferably one not tried before.
    LastResort,
}

/// A backend drawn, with its breaker's leave unless there was none to be had.
pub(crate) struct Choice {
    pub(crate) index: usize,
    pub(crate) permit: Option<(Arc<Breaker>, Permit)>,
}

impl Choice {
    /// It is not asked after all: a breaker being tested gets its place back.
    pub(crate) fn give_back(self, now: Mono) {
        if let Some((breaker, permit)) = self.permit {
            breaker.report(permit, Outcome::Abandoned, now);
        }
    }
}

/// Draws a backend; `tried` are the indices of those this request was sent to before.
pub(crate) fn pick(
    members: &[Arc<Backend>],
    standing: &Standing,
    tried: &[usize],
    ask: Ask,
    rng: &mut Rng,
    now: Mono,
) -> Option<Choice> {
    let eligible = |i: &usize| standing.bars(&members[*i], now).is_none();
    let untried = |i: &usize| !tried.contains(i);
    let mut willing: Vec<usize> = (0..members.len()).filter(untried).filter(eligible).collect();
    let load = |i: usize| members[i].in_flight();
    if ask != Ask::LastResort {
        let mut left = willing.clone();
        while let Some(at) = p2c::choose(rng, left.len(), |i| load(left[i])) {
            // Asked of the one drawn only: a breaker being tested gives a place away with its leave.
            match members[left[at]].admit(now) {
                Some(permit) => return Some(Choice { index: left[at], permit: Some(permit) }),
                None => left.swap_remove(at),
            };
        }
        if ask == Ask::Again {
            return None;
        }
    } else if willing.is_empty() {
        willing = (0..members.len()).filter(untried).collect();
        if willing.is_empty() {
            willing = (0..members.len()).collect();
        }
    }
    let at = p2c::choose(rng, willing.len(), |i| load(willing[i]))?;
    Some(Choice { index: willing[at], permit: None })
}

/// Why a backend is not among the candidates of a first try, in words; `None` when it is.
pub(crate) fn why_not(backend: &Backend, standing: &Standing, now: Mono) -> Option<String> {
    let in_seconds = |until: Mono| until.since(now).as_secs_f64();
    match standing.bars(backend, now) {
        Some(Barred::Down) => {
            let fault = backend.last_fault().map_or_else(|| "recovering".to_owned(), |f| f.to_string());
            return Some(format!("down: {fault}"));
        }
        Some(Barred::Unchecked) => return Some("its first check has not passed yet".to_owned()),
        Some(Barred::Ejected { until }) => {
            return Some(format!("ejected for {:.1} s more: it refused a connection", in_seconds(until)));
        }
        None => {}
    }
    match backend.breaker_state(now) {
        State::Open { until } => {
            Some(format!("its breaker is open for {:.1} s more: too many requests failed", in_seconds(until)))
        }
        State::Closed | State::HalfOpen => None,
    }
}

#[cfg(test)]
mod tests {
    use seawall_policy::breaker;
    use seawall_policy::probe::{self, Seen};

    use super::*;

    const NOW: Mono = Mono(1_000_000_000);

    /// `u` up, `d` down, `?` unchecked, `e` up and ejected, `o` up with an open breaker, `E` unchecked and
    /// ejected.
    fn pool(states: &str) -> Vec<Arc<Backend>> {
        let policy = Arc::new(breaker::Policy::s3_balancer());
        let one = |(i, state): (usize, char)| {
            let b = Arc::new(Backend::new(([127, 0, 0, 1], 1 + i as u16).into(), &policy));
            match state {
                '?' | 'E' => None,
                'd' => b.checked(&probe::Policy::fast(), Err((Seen::Fail, "refused".into()))),
                _ => b.checked(&probe::Policy::fast(), Ok(())),
            };
            if matches!(state, 'e' | 'E') {
                b.begin(None, NOW).end(Outcome::Unreachable, true, NOW);
            }
            if state == 'o' {
                for _ in 0..20 {
                    b.begin(b.admit(NOW), NOW).end(Outcome::Failed, false, NOW);
                }
            }
            b
        };
        states.chars().enumerate().map(one).collect()
    }

    /// Everyone who is drawn in a thousand draws, as indices.
    fn drawn(members: &[Arc<Backend>], tried: &[usize], ask: Ask) -> Vec<usize> {
        let standing = Standing::of(members, 0.5, NOW);
        let mut all: Vec<usize> = (0..1000)
            .filter_map(|seed| pick(members, &standing, tried, ask, &mut Rng::new(seed), NOW))
            .map(|choice| choice.index)
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    #[test]
    fn who_is_asked_first() {
        for (states, mode, asked) in [
            ("", Mode::Empty, &[][..]),
            ("???", Mode::Unchecked, &[0, 1, 2]),
            ("uuu", Mode::Normal, &[0, 1, 2]),
            ("uud", Mode::Normal, &[0, 1]),
            // A newcomer waits for its first check, and is not counted among those whose health is known.
            ("u?", Mode::Normal, &[0]),
            ("ud", Mode::Normal, &[0]),
            // Fewer than half: health is ignored.
            ("udd", Mode::Panic, &[0, 1, 2]),
            ("d", Mode::Panic, &[0]),
            ("ddd?", Mode::Panic, &[0, 1, 2, 3]),
            // Ejections are honoured while somebody is left.
            ("ue", Mode::Normal, &[0]),
            ("uee", Mode::Panic, &[0]),
            ("dee", Mode::Panic, &[0]),
            ("ee", Mode::Panic, &[0, 1]),
            ("E?", Mode::Panic, &[1]),
            // An open breaker is left alone, unless all are open.
            ("uo", Mode::Normal, &[0]),
            ("oo", Mode::Normal, &[0, 1]),
            ("ood", Mode::Normal, &[0, 1]),
        ] {
            let members = pool(states);
            assert_eq!(Standing::of(&members, 0.5, NOW).mode, mode, "{states}");
            assert_eq!(drawn(&members, &[], Ask::First), asked, "{states}");
        }
    }

    #[test]
    fn who_is_asked_again() {
        for (states, tried, again, last) in [
            ("uu", &[0][..], &[1][..], &[1][..]),
            ("uuu", &[0, 1], &[2], &[2]),
            // The other one is down, or its breaker is open: only when nothing else can be connected to.
            ("ud", &[0], &[], &[1]),
            ("uo", &[0], &[], &[1]),
            ("uu", &[0, 1], &[], &[0, 1]),
            ("u", &[0], &[], &[0]),
        ] {
            let members = pool(states);
            assert_eq!(drawn(&members, tried, Ask::Again), again, "{states} after {tried:?}");
            assert_eq!(
                drawn(&members, tried, Ask::LastResort),
                last,
                "{states} after {tried:?}, last resort"
            );
        }
    }

    #[test]
    fn of_two_the_one_with_fewer_requests_in_flight_is_taken() {
        let members = pool("uu");
        let _busy = members[0].begin(None, NOW);
        assert_eq!(drawn(&members, &[], Ask::First), [1]);
    }

    #[test]
    fn a_threshold_of_zero_never_ignores_health() {
        let members = pool("dd");
        let standing = Standing::of(&members, 0.0, NOW);
        assert_eq!(standing.mode, Mode::Normal);
        assert!(pick(&members, &standing, &[], Ask::First, &mut Rng::new(1), NOW).is_none());
    }

    #[test]
    fn a_draw_that_comes_to_nothing_gives_its_probe_back() {
        let members = pool("o");
        let later = NOW + std::time::Duration::from_secs(30);
        let standing = Standing::of(&members, 0.5, later);
        for _ in 0..20 {
            let choice = pick(&members, &standing, &[], Ask::First, &mut Rng::new(1), later).unwrap();
            assert!(choice.permit.is_some(), "five places, each given back");
            drop(members[choice.index].begin(choice.permit, later));
        }
    }

    #[test]
    fn the_reasons_are_said_in_words() {
        let members = pool("ude?ouu");
        let standing = Standing::of(&members, 0.1, NOW);
        let said: Vec<Option<String>> = members.iter().map(|b| why_not(b, &standing, NOW)).collect();
        let said: Vec<&str> = said.iter().map(|s| s.as_deref().unwrap_or("-")).collect();
        assert_eq!(
            said[..5],
            [
                "-",
                "down: refused",
                "ejected for 1.0 s more: it refused a connection",
                "its first check has not passed yet",
                "its breaker is open for 30.0 s more: too many requests failed",
            ]
        );
    }
}
