//! The estimators' promises: what they say, and when they say nothing.

use std::time::Duration;

use proptest::prelude::*;
use seawall_policy::ladder::condition::Value;
use seawall_policy::ladder::{Core, preset};
use seawall_policy::signal::{Hour, Latency, Rate, Share, Spike};
use seawall_policy::{Mono, Rng, Wall};

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

const fn at(seconds: u64) -> Mono {
    at_ms(seconds * 1_000)
}

const fn at_ms(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

/// Seconds after a Monday's midnight in UTC.
const fn wall(seconds: u64) -> Wall {
    Wall(1_700_438_400_000 + seconds as i64 * 1_000)
}

fn assert_near(told: Option<f64>, expected: f64) {
    let told = told.expect("a value");
    assert!((told - expected).abs() <= expected * 0.001, "{told} told, {expected} expected");
}

// Share.

#[test]
fn a_feed_cache_is_judged_by_1000_look_ups_in_30_seconds() {
    let mut hits = Share::s1_feed_cache();
    assert_eq!(hits.at(at(0)), None);
    hits.add(at(0), 400, 999);
    assert_eq!(hits.at(at(0)), None);
    hits.add(at(0), 0, 1);
    assert_eq!(hits.at(at(0)), Some(0.4));
    assert_eq!(hits.at(at_ms(29_999)), Some(0.4));
    assert_eq!(hits.at(at(30)), None);
}

#[test]
fn a_shard_of_the_graph_is_judged_by_200_calls_in_10_seconds() {
    let mut errors = Share::s1_graph();
    errors.add(at(3), 2, 199);
    assert_eq!(errors.at(at(3)), None);
    errors.add(at(3), 0, 1);
    assert_eq!(errors.at(at(3)), Some(0.01));
    assert_eq!(errors.at(at_ms(12_999)), Some(0.01));
    assert_eq!(errors.at(at(13)), None);
}

#[test]
fn a_share_is_of_its_window_alone() {
    let mut errors = Share::s1_graph();
    (0..60).for_each(|s| errors.add(at(s), 0, 1_000));
    (60..70).for_each(|s| errors.add(at(s), 20, 1_000));
    assert_eq!(errors.at(at(69)), Some(0.02), "an hour of success does not outvote ten seconds of failure");
    let mut odd = Share::new(Duration::from_secs(10), 0);
    assert_eq!(odd.at(at(0)), None, "of nothing there is no share");
    odd.add(at(0), 9, 3);
    assert_eq!(odd.at(at(0)), Some(1.0), "a part larger than all is all");
}

// Latency.

#[test]
fn the_p95_of_ranking_takes_20_calls_in_10_seconds() {
    let mut ranking = Latency::s1_ranking();
    (0..19).for_each(|_| ranking.record(at(0), Duration::from_millis(150)));
    assert_eq!(ranking.at(at(0)), None);
    ranking.record(at(0), Duration::from_millis(150));
    let told = ranking.at(at_ms(9_999)).unwrap();
    assert!((0.145..0.155).contains(&told), "{told}");
    assert_eq!(ranking.at(at(10)), None);
}

#[test]
fn five_slow_calls_of_100_are_beyond_the_p95_and_six_are_not() {
    for (slow, is_slow) in [(5, false), (6, true)] {
        let mut ranking = Latency::s1_ranking();
        (slow..100).for_each(|_| ranking.record(at(0), Duration::from_millis(10)));
        // Cut off at the time-out of 150 ms, and counted as that.
        (0..slow).for_each(|_| ranking.record(at(0), Duration::from_millis(150)));
        assert_eq!(ranking.at(at(0)).unwrap() > 0.1, is_slow, "{slow} of 100");
    }
}

#[test]
fn a_quantile_takes_as_many_calls_as_leave_one_beyond_it() {
    for (quantile, calls) in [(0.5, 20), (0.95, 20), (0.98, 50), (0.99, 100), (0.999, 1_000), (7.0, 1_000)] {
        let mut latency = Latency::new(Duration::from_secs(10), quantile);
        (1..calls).for_each(|_| latency.record(at(0), Duration::from_millis(10)));
        assert_eq!(latency.at(at(0)), None, "{quantile}");
        latency.record(at(0), Duration::from_millis(10));
        assert!(latency.at(at(0)).is_some(), "{quantile}");
    }
}

// Rate.

#[test]
fn a_rate_is_known_once_its_window_has_passed_and_zero_is_a_rate() {
    let mut rate = Rate::new(Duration::from_secs(10), at(100));
    (100..110).for_each(|s| rate.add(at(s), 50));
    assert_eq!(rate.at(at_ms(109_999)), None);
    assert_near(rate.at(at(110)), 50.0);
    assert_eq!(rate.at(at(1_000)), Some(0.0));
}

proptest! {
    #[test]
    fn a_steady_rate_is_told_to_a_tenth(start in 0..1_000_u64, a_second in 1..10_000_u64, until in 20..90_u64) {
        let mut rate = Rate::new(Duration::from_secs(20), at(start));
        for s in 0..=until {
            rate.add(at(start + s), a_second);
        }
        let told = rate.at(at(start + until)).unwrap();
        prop_assert!((told / a_second as f64 - 1.0).abs() <= 0.1, "{told}");
    }
}

// Spike.

/// A day's curve: five times as much at 20:00 as at 8:00, and half of it on the weekend.
fn diurnal(second: u64) -> f64 {
    let hour = (second % DAY) as f64 / HOUR as f64;
    let curve = 1.0 + 2.0 / 3.0 * ((hour - 14.0) / 24.0 * std::f64::consts::TAU).sin();
    let weekend = (second / DAY) % 7 >= 5;
    300.0 * curve * if weekend { 0.5 } else { 1.0 }
}

/// Ten seconds' worth of it, with noise of a fifth.
fn traffic(second: u64, luck: &mut Rng) -> u64 {
    (diurnal(second) * 10.0 * (0.8 + 0.4 * luck.unit())) as u64
}

/// A spike detector that saw `days` of ordinary traffic, in steps of ten seconds.
fn seasoned(days: std::ops::Range<u64>) -> Spike {
    let mut spike = Spike::s3_requests(at(days.start * DAY));
    let mut luck = Rng::new(7);
    for s in (days.start * DAY..days.end * DAY).step_by(10) {
        spike.add(at(s), wall(s), traffic(s, &mut luck));
    }
    spike
}

#[test]
fn a_week_of_diurnal_traffic_is_never_three_times_its_usual_rate() {
    let mut spike = Spike::s3_requests(at(0));
    let mut ladder = Core::new(preset("s3-balancer").unwrap(), at(0));
    let mut luck = Rng::new(7);
    let mut highest: f64 = 0.0;
    for s in (0..14 * DAY).step_by(10) {
        spike.add(at(s), wall(s), traffic(s, &mut luck));
        let told = spike.at(at(s), wall(s));
        assert_eq!(told.is_some(), s >= 3 * DAY, "known from the fourth day on, at {s} s");
        highest = highest.max(told.unwrap_or(0.0));
        let changes = ladder.step(at(s), |signal| told.filter(|_| signal.what == "spike").map(Value::from));
        assert_eq!(changes, []);
    }
    assert!((1.0..3.0).contains(&highest), "{highest}");
}

#[test]
fn ten_times_the_usual_rate_is_a_spike_within_its_minute() {
    let mut spike = seasoned(0..7);
    let mut luck = Rng::new(1);
    for hour in (7 * DAY..8 * DAY).step_by(HOUR as usize) {
        let mut flooded = spike.clone();
        let noticed = (hour..hour + MINUTE).step_by(10).find(|s| {
            flooded.add(at(*s), wall(*s), 10 * traffic(*s, &mut luck));
            flooded.at(at(*s), wall(*s)).unwrap() > 4.0
        });
        assert!(noticed.is_some(), "at {}:00", hour % DAY / HOUR);
        for s in (hour..hour + HOUR).step_by(10) {
            spike.add(at(s), wall(s), traffic(s, &mut luck));
        }
    }
}

#[test]
fn a_spike_counts_a_minute_and_takes_less_than_600_requests_for_none() {
    let mut spike = Spike::s3_requests(at(0));
    let now = 10 * DAY;
    (1..=7).for_each(|day| spike.learn(hour_of(now - day * DAY, 1.0)));
    let mut late = Spike::s3_requests(at(now));
    spike.hours().for_each(|hour| late.learn(hour));
    (0..60).for_each(|s| late.add(at_ms((now + s) * 1_000 + 500), wall(now + s), 20));
    assert_eq!(late.at(at_ms(now * 1_000 + 59_999), wall(now + 59)), None, "the first minute is not over");
    // 20 a second where one is usual: but 10 a second, 600 a minute, are nothing to speak of.
    assert_near(late.at(at(now + 60), wall(now + 60)), 2.0);
    // Half a minute later 24 s of it are left, of the 54 s that nine buckets and none of the tenth hold.
    assert_near(late.at(at(now + 90), wall(now + 90)), 20.0 * 24.0 / 54.0 / 10.0);
}

fn hour_of(second: u64, rate: f64) -> Hour {
    Hour { number: wall(second).0 / 3_600_000, rate }
}

/// A steady 40 a second now, and these rates on the days before.
fn against(days: &[(u64, f64)]) -> Option<f64> {
    let now = 20 * DAY + 30 * MINUTE;
    let mut spike = Spike::new(Duration::from_secs(60), 60, at(now - 60));
    days.iter().for_each(|(back, rate)| spike.learn(hour_of(now - back * DAY, *rate)));
    (now - 60..now).for_each(|s| spike.add(at_ms(s * 1_000 + 500), wall(s), 40));
    spike.at(at(now), wall(now))
}

#[test]
fn it_takes_three_of_the_last_seven_days() {
    assert_eq!(against(&[]), None);
    assert_eq!(against(&[(1, 10.0), (2, 10.0)]), None);
    assert_eq!(against(&[(1, 10.0), (2, 10.0), (3, 10.0)]), Some(4.0));
    assert_eq!(against(&[(2, 10.0), (5, 10.0), (7, 10.0)]), Some(4.0), "missing days are no zeros");
    assert_eq!(against(&[(1, 10.0), (2, 10.0), (8, 10.0)]), None, "a week ago and a day is forgotten");
    assert_eq!(against(&[(0, 1.0), (1, 10.0), (2, 10.0)]), None, "today is not compared with itself");
}

#[test]
fn one_odd_day_of_three_and_three_of_seven_move_nothing() {
    for odd in [0.0, 10_000.0] {
        assert_eq!(against(&[(1, 10.0), (2, odd), (3, 10.0)]), Some(4.0), "{odd}");
        let week = [(1, odd), (2, odd), (3, odd), (4, 10.0), (5, 10.0), (6, 10.0), (7, 10.0)];
        assert_eq!(against(&week), Some(4.0), "{odd}");
    }
    assert_eq!(
        against(&[(1, 5.0), (2, 10.0), (3, 30.0), (4, 40.0)]),
        Some(2.0),
        "the mean of the middle two"
    );
    let broken = [(4, f64::NAN), (5, -1.0), (6, f64::INFINITY)];
    assert_eq!(against(&[&broken[..], &[(1, 10.0), (2, 10.0), (3, 10.0)]].concat()), Some(4.0));
}

#[test]
fn a_flood_that_lasts_is_one_until_the_fourth_day() {
    let mut spike = seasoned(0..7);
    let mut luck = Rng::new(3);
    let mut spikes = Vec::new();
    for s in (7 * DAY..12 * DAY).step_by(10) {
        spike.add(at(s), wall(s), 10 * traffic(s, &mut luck));
        if s % DAY == 12 * HOUR {
            spikes.push(spike.at(at(s), wall(s)).unwrap() > 4.0);
        }
    }
    assert_eq!(spikes, [true, true, true, true, false], "then most of the week has seen it");
}

#[test]
fn two_missing_days_of_a_week_change_little() {
    let mut spike = seasoned(0..2);
    for days in [3..4, 5..7] {
        let mut luck = Rng::new(days.start);
        for s in (days.start * DAY..days.end * DAY).step_by(10) {
            spike.add(at(s), wall(s), traffic(s, &mut luck));
        }
    }
    assert_eq!(spike.hours().count(), 5 * 24 - 1, "the last one is not over");
    let mut luck = Rng::new(9);
    for s in (7 * DAY..8 * DAY).step_by(10) {
        spike.add(at(s), wall(s), traffic(s, &mut luck));
        let told = spike.at(at(s), wall(s));
        assert!(told.is_none_or(|told| told < 3.0), "{told:?} at {s} s");
    }
}

#[test]
fn an_hour_of_which_less_than_half_was_seen_does_not_count() {
    let mut spike = Spike::s3_requests(at(0));
    for s in (31 * MINUTE..2 * HOUR + MINUTE).step_by(10) {
        spike.add(at(s), wall(s), 100);
    }
    assert_eq!(spike.hours().map(|hour| hour.number).collect::<Vec<_>>(), [hour_of(HOUR, 0.0).number]);
    assert_near(spike.hours().next().map(|hour| hour.rate), 10.0);
}

#[test]
fn what_a_paused_process_left_behind_belongs_to_no_hour() {
    let mut spike = Spike::s3_requests(at(0));
    (0..40 * MINUTE).step_by(10).for_each(|s| spike.add(at(s), wall(s), 100));
    // Asleep for ten minutes; the counter meanwhile went on.
    spike.add(at(50 * MINUTE), wall(50 * MINUTE), 1_000_000);
    (50 * MINUTE + 10..HOUR + MINUTE).step_by(10).for_each(|s| spike.add(at(s), wall(s), 100));
    let hour = spike.hours().next().unwrap();
    assert!((9.9..10.1).contains(&hour.rate), "{hour:?}");
}

#[test]
fn memory_is_a_week_however_long_it_runs() {
    let spike = seasoned(0..30);
    assert_eq!(spike.hours().count(), 7 * 24);
}

#[test]
fn a_wall_clock_put_back_neither_counts_twice_nor_waits() {
    let mut luck = Rng::new(11);
    // By half an hour, by three hours, by two days; and forward by a year and back again.
    for (forth, back) in [(0, 30 * MINUTE), (0, 3 * HOUR), (0, 2 * DAY), (365 * DAY, 365 * DAY)] {
        let mut spike = seasoned(0..7);
        let begin = 7 * DAY;
        for s in (begin..begin + 2 * DAY).step_by(10) {
            let told = match s - begin {
                0..HOUR => wall(s + forth),
                _ => wall(s + forth - back),
            };
            let second = (told.0 - wall(0).0) as u64 / 1_000;
            spike.add(at(s), told, traffic(second, &mut luck));
            let ratio = spike.at(at(s), told);
            assert!(ratio.is_none_or(|ratio| ratio < 3.0), "{ratio:?} at {s} s, put back by {back} s");
            assert!(ratio.is_some() || forth > 0 && s < begin + HOUR, "at {s} s, put back by {back} s");
        }
        let last = hour_of(begin + 2 * DAY + forth - back - HOUR - 10, 0.0).number;
        assert!(spike.hours().any(|hour| hour.number == last), "put back by {back} s, it goes on learning");
        assert!(spike.hours().count() <= 7 * 24);
    }
}

#[test]
fn people_who_change_to_summer_time_are_no_spike() {
    let mut spike = seasoned(0..7);
    let mut luck = Rng::new(5);
    for s in (7 * DAY..14 * DAY).step_by(10) {
        spike.add(at(s), wall(s), traffic(s + HOUR, &mut luck));
        assert!(spike.at(at(s), wall(s)).unwrap() < 3.0, "at {s} s");
    }
}

#[test]
fn what_was_learned_survives_a_restart_when_its_owner_keeps_it() {
    let old = seasoned(0..7);
    let mut new = Spike::s3_requests(at(0));
    old.hours().for_each(|hour| new.learn(hour));
    let mut luck = Rng::new(2);
    for s in (0..=MINUTE).step_by(10) {
        new.add(at(s), wall(7 * DAY + s), traffic(7 * DAY + s, &mut luck));
    }
    assert!((0.5..2.0).contains(&new.at(at(MINUTE), wall(7 * DAY + MINUTE)).unwrap()));
}

proptest! {
    /// Whatever clocks and counters say: no panic, no ratio that is not a number, and a week of memory.
    #[test]
    fn no_clock_confuses_it(
        steps in prop::collection::vec((0..200_000_000_000_000_u64, any::<i64>(), any::<u64>()), 1..200),
        hours in prop::collection::vec((any::<i64>(), any::<f64>()), 0..50),
    ) {
        let mut spike = Spike::s3_requests(Mono(0));
        hours.into_iter().for_each(|(number, rate)| spike.learn(Hour { number, rate }));
        let mut now = Mono(0);
        for (later, wall, events) in steps {
            now = Mono(now.0 + later);
            spike.add(now, Wall(wall), events);
            let told = spike.at(now, Wall(wall));
            prop_assert!(told.is_none_or(|told| told.is_finite() && told >= 0.0), "{told:?}");
        }
        prop_assert!(spike.hours().count() <= 7 * 24);
    }
}
