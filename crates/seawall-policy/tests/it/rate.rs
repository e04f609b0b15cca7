//! Rate limits: our numbers where the documents have none, and an exact token bucket to agree with.

use proptest::collection::vec;
use proptest::prelude::*;
use seawall_policy::rate::{
    BURST_MAX, Core, Exhausted, KEYS_MAX, Keyed, Left, Limiter, PRESETS, Per, Policy, Rate, preset,
};
use seawall_policy::{Mono, Rng};

const SECOND: u64 = 1_000_000_000;

const fn at_ms(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

/// Admitted of so many who ask at this moment.
fn admitted(limiter: &Limiter, asking: u32, now: Mono) -> u32 {
    (0..asking).filter(|_| limiter.check(now).is_ok()).count() as u32
}

fn per_second(count: u32, burst: u32) -> Policy {
    Policy { rate: Rate::new(count, Per::Second), burst, keys_max: 64 }
}

#[test]
fn creating_links_takes_40_at_once_and_then_20_a_second() {
    let policy = preset("s2-create-link").unwrap();
    let limiter = Limiter::new(&policy);
    assert_eq!(admitted(&limiter, 100, at_ms(5_000)), 40);
    assert_eq!(admitted(&limiter, 100, at_ms(5_049)), 0);
    assert_eq!(admitted(&limiter, 100, at_ms(5_050)), 1);
    assert_eq!(admitted(&limiter, 100, at_ms(6_050)), 20);
    assert_eq!(admitted(&limiter, 100, at_ms(60_000)), 40);
}

#[test]
fn creating_links_is_limited_for_each_of_65_536_clients_by_itself() {
    let policy = preset("s2-create-link").unwrap();
    assert_eq!(policy.keys_max, 65_536);
    let keyed = Keyed::new(&policy, 1);
    for client in 0..1_000 {
        assert_eq!((0..100).filter(|_| keyed.check(client, at_ms(9)).is_ok()).count(), 40);
    }
    assert_eq!(keyed.forgotten(), 0);
}

#[test]
fn the_80_000_clients_of_a_dead_gateway_are_back_after_40_s_and_at_most_2_200_in_a_second() {
    let policy = preset("s0-reconnect").unwrap();
    assert_eq!(policy.keys_max, 0, "one limit for all");
    let limiter = Limiter::new(&policy);
    assert_eq!(admitted(&limiter, 80_000, at_ms(0)), 200);
    let mut back: Vec<u32> = vec![0; 60];
    let mut waiting = 80_000 - 200;
    for ms in 1..60_000 {
        let now = admitted(&limiter, waiting.min(300), at_ms(ms));
        waiting -= now;
        back[(ms / 1_000) as usize] += now;
    }
    assert_eq!(back[0] + 200, 2_198, "the burst and what the first 999 ms add");
    assert_eq!(back[1..39], [2_000; 38]);
    assert_eq!((waiting, back[39], back[40..].iter().sum::<u32>()), (0, 1_802, 0));
}

#[test]
fn the_presets_are_these_and_pass_their_own_check() {
    assert_eq!(PRESETS, ["s2-create-link", "s0-reconnect"]);
    for name in PRESETS {
        assert_eq!(preset(name).unwrap().check(), Vec::<String>::new());
    }
    assert_eq!(preset("create-link"), None);
    assert_eq!((Policy::default(), Policy::create_link()), (preset(PRESETS[0]).unwrap(), Policy::default()));
    assert_eq!(Policy::s0_reconnect(), preset(PRESETS[1]).unwrap());
}

#[test]
fn the_refused_hear_the_exact_moment_to_come_again() {
    let limiter = Limiter::new(&per_second(10, 2));
    assert_eq!(limiter.check_n(2, at_ms(1_000)), Ok(()));
    assert_eq!(limiter.check(at_ms(1_030)), Err(Exhausted { retry_at: at_ms(1_100) }));
    assert_eq!(limiter.check_n(2, at_ms(1_030)), Err(Exhausted { retry_at: at_ms(1_200) }));
    assert_eq!(limiter.check(Mono(at_ms(1_100).0 - 1)), Err(Exhausted { retry_at: at_ms(1_100) }));
    assert_eq!(limiter.check(at_ms(1_100)), Ok(()));
}

#[test]
fn more_at_once_than_the_burst_are_never_admitted_and_none_always() {
    let limiter = Limiter::new(&per_second(10, 2));
    assert_eq!(limiter.check_n(3, at_ms(0)), Err(Exhausted { retry_at: Mono(u64::MAX) }));
    assert_eq!(limiter.check_n(u32::MAX, at_ms(0)), Err(Exhausted { retry_at: Mono(u64::MAX) }));
    assert_eq!(limiter.check_n(2, at_ms(0)), Ok(()), "refusing cost nothing");
    assert_eq!(limiter.check_n(0, at_ms(0)), Ok(()));
}

#[test]
fn the_headers_say_what_is_left_and_in_how_many_seconds_all_is() {
    let (limiter, keyed) = (Limiter::new(&per_second(10, 30)), Keyed::new(&per_second(10, 30), 7));
    let told =
        |now| [(limiter.remaining(now), limiter.reset(now)), (keyed.remaining(5, now), keyed.reset(5, now))];
    assert_eq!(told(at_ms(500)), [(30, 0); 2]);
    for _ in 0..12 {
        assert_eq!((limiter.check(at_ms(500)), keyed.check(5, at_ms(500))), (Ok(()), Ok(())));
    }
    assert_eq!(told(at_ms(500)), [(18, 2); 2], "1.2 s are two");
    assert_eq!(told(at_ms(1_599)), [(28, 1); 2]);
    assert_eq!(told(at_ms(1_700)), [(30, 0); 2]);
    assert_eq!((keyed.remaining(6, at_ms(500)), keyed.reset(6, at_ms(500))), (30, 0));
}

#[test]
fn an_admission_says_what_it_leaves() {
    let keyed = Keyed::new(&per_second(1, 5), 7);
    let now = at_ms(5_000);
    let told = |left: Left| (left.remaining, left.full_at);
    assert_eq!(told(keyed.left(1, now)), (5, now));
    for taken in 1..=5 {
        let left = keyed.take(1, now).unwrap();
        assert_eq!(told(left), (5 - taken, Mono(now.0 + u64::from(taken) * SECOND)));
    }
    assert_eq!(keyed.take(1, now), Err(Exhausted { retry_at: at_ms(6_000) }));
    assert_eq!(told(keyed.left(1, now)), (0, at_ms(10_000)));
    assert_eq!(keyed.take(2, now).unwrap().remaining, 4, "another key");
    assert_eq!(told(keyed.left(1, at_ms(60_000))), (5, at_ms(60_000)));
}

#[test]
fn a_clock_that_seems_to_step_back_admits_nobody_twice() {
    let limiter = Limiter::new(&per_second(10, 2));
    assert_eq!(admitted(&limiter, 5, at_ms(1_000)), 2);
    assert_eq!(admitted(&limiter, 5, at_ms(400)), 0);
    assert_eq!(admitted(&limiter, 5, at_ms(1_100)), 1);
}

#[test]
fn a_policy_says_everything_that_is_wrong_with_it_and_explains_itself() {
    let silly = Policy { rate: Rate::new(1, Per::Hour), burst: 0, keys_max: KEYS_MAX + 1 };
    assert_eq!(
        silly.check(),
        [
            "burst: use 1 (evenly spaced) to 1000000, such as twice the rate; it says 0",
            "keys_max: use 0 (one limit for all) to 16777216, such as 65536; it says 16777217"
        ]
    );
    // It works all the same, with the nearest values that do.
    assert_eq!(admitted(&Limiter::new(&silly), 5, at_ms(0)), 1);
    assert_eq!(Policy { burst: BURST_MAX + 1, ..Policy::default() }.check().len(), 1);

    let told = |policy: Policy, facts: &[&str]| {
        let text = policy.explain().join("\n");
        for fact in facts {
            assert!(text.contains(fact), "{fact} in {text}");
        }
    };
    let link =
        ["20 requests a second", "one every 50ms", "40 may come at once; 2s later", "65536 keys", "1024 KiB"];
    told(Policy::create_link(), &link);
    told(
        Policy::s0_reconnect(),
        &["2000 requests a second", "200 may come at once; 100ms later", "share this one limit"],
    );
}

#[test]
fn a_policy_reads_as_it_is_written() {
    let policy: Policy = toml::from_str("rate = '600/m'\nkeys_max = 0").unwrap();
    assert_eq!(policy, Policy { rate: Rate::new(600, Per::Minute), burst: 40, keys_max: 0 });
    assert_eq!(toml::from_str::<Policy>(&toml::to_string(&policy).unwrap()).unwrap(), policy);
    let error = toml::from_str::<Policy>("rate = '20'").unwrap_err().to_string();
    assert!(error.contains("rate = '20'") && error.contains("write \"20/s\""), "{error}");
    assert!(toml::from_str::<Policy>("queue = 10").is_err());
}

#[test]
fn who_has_been_quiet_is_forgotten_without_loss() {
    // 64 slots for 1,000 keys, 10 of which owe something at any moment: each owes nothing after 100 ms.
    let keyed = Keyed::new(&per_second(10, 1), 3);
    let mut rng = Rng::new(9);
    for round in 0..1_000u64 {
        let now = at_ms(10 * round);
        let key = rng.next_u64();
        assert_eq!(keyed.check(key, now), Ok(()));
        assert!(keyed.check(key, now).is_err());
    }
    assert_eq!(keyed.forgotten(), 0);
}

#[test]
fn with_no_keys_to_remember_all_who_come_share_one_limit() {
    let keyed = Keyed::new(&Policy { keys_max: 0, ..per_second(10, 3) }, 3);
    let admitted = |now| (0..100).filter(|key| keyed.check(*key, now).is_ok()).count();
    assert_eq!([0, 50, 100, 400].map(|ms| admitted(at_ms(ms))), [3, 0, 1, 3]);
    assert_eq!((keyed.remaining(12_345, at_ms(400)), keyed.reset(12_345, at_ms(400))), (0, 1));
    assert_eq!(keyed.forgotten(), 0);
}

#[test]
fn nine_keys_taking_turns_in_one_set_of_eight_get_no_more_than_eight_limits() {
    let policy = Policy { keys_max: 8, ..per_second(10, 4) };
    let keyed = Keyed::new(&policy, 3);
    // A minute, each of the nine a thousand times a second.
    let admitted = (0..60_000).map(|ms| (0..9).filter(|key| keyed.check(*key, at_ms(ms)).is_ok()).count());
    let admitted: usize = admitted.sum();
    assert!((4_000..=8 * (4 + 600)).contains(&admitted), "{admitted}");
    assert!(keyed.forgotten() > 0);
}

#[test]
fn a_newcomer_too_deep_in_anothers_debt_displaces_nobody() {
    let keyed = Keyed::new(&Policy { keys_max: 8, ..per_second(10, 1) }, 3);
    for key in 0..8 {
        assert_eq!(keyed.check(key, at_ms(key)), Ok(()));
    }
    assert_eq!(keyed.check(8, at_ms(50)), Err(Exhausted { retry_at: at_ms(100) }));
    assert_eq!(keyed.forgotten(), 0);
    assert_eq!(keyed.check(8, at_ms(100)), Ok(()), "key 0 owes nothing any more");
    assert_eq!(keyed.forgotten(), 0);
    assert!((1..8).all(|key| keyed.check(key, at_ms(100)).is_err()), "and nobody else was touched");
}

#[test]
fn half_a_table_of_live_keys_displaces_about_one_in_a_hundred() {
    let keyed = Keyed::new(&Policy { keys_max: 8_192, ..per_second(1, 5) }, 11);
    assert!((0..4_096).all(|key| keyed.check(key, at_ms(0)).is_ok()));
    assert!((1..80).contains(&keyed.forgotten()), "{}", keyed.forgotten());
}

#[test]
fn where_a_key_lies_depends_on_the_seed() {
    // Which of 64 keys are displaced by the others, on 16 slots.
    let displaced = |seed| {
        let keyed = Keyed::new(&Policy { keys_max: 16, ..per_second(1, 9) }, seed);
        let admitted: Vec<bool> = (0..64).map(|key| keyed.check(key, at_ms(0)).is_ok()).collect();
        assert!(admitted.iter().all(|admitted| *admitted));
        (0..64).map(|key| keyed.remaining(key, at_ms(0))).collect::<Vec<_>>()
    };
    assert_eq!(displaced(1), displaced(1));
    assert_ne!(displaced(1), displaced(2));
}

#[test]
fn four_threads_share_one_limit_and_a_thousand_keys_exactly() {
    let policy = Policy { keys_max: 65_536, ..per_second(10, 50) };
    let (limiter, keyed) = (Limiter::new(&policy), Keyed::new(&policy, 1));
    let counted = |ask: &(dyn Fn() -> usize + Sync)| -> usize {
        std::thread::scope(|s| {
            let threads: Vec<_> = (0..4).map(|_| s.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        })
    };
    assert_eq!(counted(&|| admitted(&limiter, 1_000, at_ms(0)) as usize), 50);
    let all = || (0..40_000).filter(|i| keyed.check(i % 1_000, at_ms(0)).is_ok()).count();
    assert_eq!(counted(&all), 50_000);
    assert_eq!(keyed.forgotten(), 0);
}

/// Asked at each of these moments by a clock that moves in steps: how many were let in after each.
fn let_in_by_steps(policy: &Policy, step: u64, asked: impl Iterator<Item = u64>) -> Vec<(u64, u32)> {
    let limiter = Limiter::new(policy);
    let mut let_in = 0;
    let count = |at: u64| {
        let_in += u32::from(limiter.check(Mono(at / step * step)).is_ok());
        (at, let_in)
    };
    asked.map(count).collect()
}

#[test]
fn a_clock_that_is_late_by_up_to_a_step_lets_in_no_more_than_burst_and_rate_and_one_step_allow() {
    const STEP: u64 = 4_000_000;
    // A burst of 2 s, as it is made; and 10,000 a second with 10 at once: a burst is back within a millisecond.
    for (policy, apart, lasts) in [
        (preset("s2-create-link").unwrap(), 1_700_000, 2_000_000_000),
        (per_second(10_000, 10), 17_000, 1_000_000),
    ] {
        assert_eq!(policy.burst_lasts(), std::time::Duration::from_nanos(lasts));
        let moments = || (0..60_000).map(|i| 5 * SECOND + 3_999_999 + i * apart);
        let stepped = let_in_by_steps(&policy, STEP, moments());
        let precise = let_in_by_steps(&policy, 1, moments());
        let interval = SECOND / u64::from(policy.rate.count());
        for span in [10, 1_000, 30_000] {
            for i in (0..stepped.len() - span).step_by(97) {
                let ((from, before), (to, after)) = (stepped[i], stepped[i + span]);
                let most = u64::from(policy.burst) + (to - from + STEP) / interval + 1;
                assert!(u64::from(after - before) <= most, "{from} to {to}");
            }
        }
        let share = f64::from(stepped[59_999].1) / f64::from(precise[59_999].1);
        match lasts > STEP {
            true => assert!(share > 0.999, "{share}"),
            // Ten at each step of 4 ms are 2,500 a second: less than it might.
            false => assert!((0.2..0.3).contains(&share), "{share}"),
        }
    }
}

/// A bucket of tokens, exact: its content in tokens × nanoseconds of an interval, as whole numbers.
struct Bucket {
    interval: u128,
    most: u128,
    content: u128,
    filled: u64,
}

impl Bucket {
    /// As the limit rounds its interval, so does this.
    fn new(count: u32, per_ns: u64, burst: u32) -> Bucket {
        let interval = u128::from(per_ns.div_ceil(u64::from(count)));
        let most = interval * u128::from(burst);
        Bucket { interval, most, content: most, filled: 0 }
    }

    fn take(&mut self, n: u32, now: Mono) -> bool {
        self.content = self.most.min(self.content + u128::from(now.0 - self.filled));
        self.filled = now.0;
        let price = self.interval * u128::from(n);
        let affordable = price <= self.content;
        if affordable {
            self.content -= price;
        }
        affordable
    }
}

fn rate() -> impl Strategy<Value = (u32, Per, u64)> {
    let units = prop_oneof![
        Just((Per::Second, SECOND)),
        Just((Per::Minute, 60 * SECOND)),
        Just((Per::Hour, 3_600 * SECOND))
    ];
    (prop_oneof![1u32..20, 1u32..1_000_000], units).prop_map(|(count, (per, ns))| (count, per, ns))
}

/// How many ask together, and how many tenths of an interval after the last.
fn arrivals() -> impl Strategy<Value = Vec<(u32, u64)>> {
    vec((prop_oneof![8 => Just(1u32), 2 => 0u32..12], prop_oneof![4 => 0u64..15, 1 => 15u64..200]), 1..200)
}

proptest! {
    #[test]
    fn core_and_shells_equal_a_bucket_of_tokens(
        (count, per, per_ns) in rate(),
        burst in 1u32..20,
        arrivals in arrivals(),
        start in 0u64..(1 << 60),
        key: u64,
    ) {
        let policy = Policy { rate: Rate::new(count, per), burst, keys_max: 8 };
        let (mut core, limiter, keyed) = (Core::new(&policy), Limiter::new(&policy), Keyed::new(&policy, 5));
        let mut bucket = Bucket::new(count, per_ns, burst);
        let mut now = Mono(start);
        for (n, tenths) in arrivals {
            now = Mono(now.0 + per_ns / u64::from(count) * tenths / 10);
            let answer = core.check_n(n, now);
            prop_assert_eq!(limiter.check_n(n, now), answer);
            prop_assert_eq!(keyed.check_n(key, n, now), answer);
            prop_assert_eq!(bucket.take(n, now), answer.is_ok());
            prop_assert_eq!(u128::from(core.remaining(now)), bucket.content / bucket.interval);
            prop_assert_eq!(limiter.remaining(now), core.remaining(now));
            prop_assert_eq!(keyed.remaining(key, now), core.remaining(now));
            prop_assert_eq!((limiter.reset(now), keyed.reset(key, now)), (core.reset(now), core.reset(now)));
            if let Err(Exhausted { retry_at }) = answer && n <= burst {
                prop_assert!(core.clone().check_n(n, Mono(retry_at.0 - 1)).is_err());
                prop_assert_eq!(core.clone().check_n(n, retry_at), Ok(()));
            }
        }
    }

    #[test]
    fn no_interval_ever_sees_more_than_the_burst_and_the_rate_times_its_length(
        (count, per, per_ns) in rate(),
        burst in 1u32..20,
        arrivals in arrivals(),
    ) {
        let limiter = Limiter::new(&Policy { rate: Rate::new(count, per), burst, keys_max: 0 });
        let mut now = Mono(SECOND);
        let mut admitted: Vec<(u64, u32)> = vec![];
        for (n, tenths) in arrivals {
            now = Mono(now.0 + per_ns / u64::from(count) * tenths / 10);
            if limiter.check_n(n, now).is_ok() {
                admitted.push((now.0, n));
            }
        }
        for (from, (begins, _)) in admitted.iter().enumerate() {
            let mut seen = 0u128;
            for (ends, n) in &admitted[from..] {
                seen += u128::from(*n);
                // seen ≤ burst + count × t / per, without dividing.
                let [burst, count] = [burst, count].map(u128::from);
                let allowed = burst * u128::from(per_ns) + count * u128::from(ends - begins);
                prop_assert!(seen * u128::from(per_ns) <= allowed);
            }
        }
    }

    #[test]
    fn a_table_never_admits_more_than_its_slots_allow_however_many_keys_ask(
        asks in vec((0u64..40, 0u64..30), 1..400),
        seed: u64,
    ) {
        let policy = Policy { keys_max: 8, ..per_second(100, 3) };
        let keyed = Keyed::new(&policy, seed);
        let (mut now, mut admitted) = (at_ms(1_000), 0u64);
        for (key, passes) in asks {
            now = Mono(now.0 + passes * 1_000_000 / 10);
            admitted += u64::from(keyed.check(key, now).is_ok());
            prop_assert!(admitted <= 8 * (3 + (now.0 - at_ms(1_000).0) / 10_000_000));
        }
    }
}
