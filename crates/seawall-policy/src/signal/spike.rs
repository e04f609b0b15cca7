//! More traffic than this hour ever sees: the balancer document's "traffic spike detection".
//!
//! A threshold on the rate itself is either deaf by night or alarmed at noon: between 4 in the morning and the
//! evening's peak lies a factor of five and more. So the rate of the moment is compared with what the same
//! hour saw on the days before, and its *median* is what counts as usual: of seven days three may be anything
//! (an outage, an earlier attack, a holiday) without moving it beyond what the others saw.
//!
//! ## Why the hour of the day and not of the week
//!
//! An hour of the week comes once a week: three known ones take three weeks, and an operator who changes
//! machines monthly would never have them. The hour of the day is known after three days. The price is the
//! weekend: where a working day brings f times a Sunday's traffic, a Monday stands at f as long as two of three
//! known days are a weekend's, and at 1 once all seven are known. A threshold must be above that f; the
//! documents' presets use 4.
//!
//! ## What is left out of the history
//!
//! Hours of which less than half was seen; time in which nobody counted for over a minute (a paused process),
//! with its events; whatever a wall clock counts as the future, until it is. Hours are UTC, which has no
//! summer time: people's hour then moves by one against it, which is a slope of the day and no spike. The day
//! itself is not in its own comparison, so a flood that lasts is a spike for as long as it lasts, up to the
//! fourth day.
//!
//! History is lost with the process unless its owner keeps [`Spike::hours`] and hands them to
//! [`Spike::learn`].

use std::time::Duration;

use super::rate::Rate;
use crate::{Mono, Wall};

/// Days of history that are kept; each weekday once.
pub const DAYS_KEPT: usize = 7;
/// Days that must be known of an hour before it can be judged: the least whose median one odd day cannot move.
pub const DAYS_MIN: usize = 3;
/// Hours of a day.
pub const HOURS: usize = 24;

const HOUR_MS: i64 = 3_600_000;
/// An hour counts when at least this much of it was seen.
const SEEN_MIN: Duration = Duration::from_secs(1_800);
/// Counted less often than this, it is not known which hour the events belong to.
const GAP_MAX: Duration = Duration::from_secs(60);

/// What one hour saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hour {
    /// Hours since 1970-01-01T00:00:00Z.
    pub number: i64,
    /// Events a second, on average.
    pub rate: f64,
}

/// The rate of the moment as a multiple of the usual one.
#[derive(Debug, Clone)]
pub struct Spike {
    rate: Rate,
    /// What counts as usual at least, lest one request at night be a hundredfold.
    floor: f64,
    /// Of each hour of the day the last days, a ring by the day's number.
    known: Box<[[Option<Hour>; DAYS_KEPT]; HOURS]>,
    open: Open,
    counted: Mono,
}

/// The hour that is being counted.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    number: i64,
    events: u64,
    seen: Duration,
}

impl Spike {
    /// The rate of the moment is that of the last `window`. Fewer than `min` events in it are never a spike.
    #[must_use]
    pub fn new(window: Duration, min: u64, now: Mono) -> Spike {
        Spike {
            rate: Rate::new(window, now),
            floor: min.max(1) as f64 / window.as_secs_f64().max(f64::MIN_POSITIVE),
            known: Box::new([[None; DAYS_KEPT]; HOURS]),
            open: Open::default(),
            counted: now,
        }
    }

    /// What has happened since the last time. Call it each second or so, also when that is nothing.
    pub fn add(&mut self, now: Mono, wall: Wall, events: u64) {
        self.rate.add(now, events);
        let passed = now.since(self.counted);
        self.counted = self.counted.max(now);
        let number = wall.0.div_euclid(HOUR_MS);
        // A clock put back by minutes must not end an hour twice, one put back by days must not wait for it.
        if number > self.open.number || number < self.open.number - 1 {
            let past = std::mem::replace(&mut self.open, Open { number, ..Open::default() });
            if past.seen >= SEEN_MIN {
                self.learn(Hour { number: past.number, rate: past.events as f64 / past.seen.as_secs_f64() });
            }
        }
        if passed <= GAP_MAX {
            self.open.events = self.open.events.saturating_add(events);
            self.open.seen += passed;
        }
    }

    /// How many times the usual rate there is now: 4.2. `None` until a window has passed and three of the days
    /// before are known of this hour.
    #[must_use]
    pub fn at(&self, now: Mono, wall: Wall) -> Option<f64> {
        let rate = self.rate.at(now)?;
        let number = wall.0.div_euclid(HOUR_MS);
        let (mut rates, mut known) = ([0.0; DAYS_KEPT], 0);
        for hour in self.known[hour_of_day(number)].iter().flatten() {
            // Neither today nor what a clock once took for the future.
            let days = number.saturating_sub(hour.number) / HOURS as i64;
            if (1..=DAYS_KEPT as i64).contains(&days) {
                rates[known] = hour.rate;
                known += 1;
            }
        }
        (known >= DAYS_MIN).then(|| rate / median(&mut rates[..known]).max(self.floor))
    }

    /// What is known, for keeping: at most a week.
    pub fn hours(&self) -> impl Iterator<Item = Hour> {
        self.known.iter().flatten().flatten().copied()
    }

    /// Takes in an hour that was kept, or measured elsewhere. What is no rate is ignored.
    pub fn learn(&mut self, hour: Hour) {
        if hour.rate.is_finite() && hour.rate >= 0.0 {
            let day = hour.number.div_euclid(HOURS as i64).rem_euclid(DAYS_KEPT as i64);
            self.known[hour_of_day(hour.number)][day as usize] = Some(hour);
        }
    }
}

fn hour_of_day(number: i64) -> usize {
    number.rem_euclid(HOURS as i64) as usize
}

/// Of an even number the mean of the middle two: where they are two camps, neither alone is usual.
fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    let middle = rates.len() / 2;
    if rates.len() % 2 == 1 { rates[middle] } else { f64::midpoint(rates[middle - 1], rates[middle]) }
}
