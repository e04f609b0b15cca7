//! Nobody above a tenth over the mean: requests for hot keys, and sets of keys.

use std::collections::BTreeMap;

use proptest::prelude::{any, prop_assert, proptest};
use seawall_policy::Rng;
use seawall_policy::placement::hash;
use seawall_policy::placement::report::sample;
use seawall_policy::placement::ring::{Bound, Ring};

use super::{count, keys, lose, named, ring};

#[test]
fn s3_29_a_key_with_half_of_all_requests_keeps_nobody_above_a_tenth_over_the_mean() {
    let ring = ring(&named("backend", 10));
    let (mut loads, mut rng) = (BTreeMap::<String, u64>::new(), Rng::new(29));
    let load_of = |loads: &BTreeMap<String, u64>, name: &String| loads.get(name).copied().unwrap_or(0);
    for in_flight in 0..10_000 {
        let key = if rng.below(2) == 0 { hash::of(b"popular") } else { rng.next_u64() };
        let to = ring.owner_below(key, Bound::default(), in_flight, |name| load_of(&loads, name));
        *loads.entry(to.unwrap().clone()).or_default() += 1;
    }
    // By its owner alone it would be 5,500 for one of ten.
    assert_eq!(loads.values().copied().max(), Some(1_100));
    // What the owner cannot take goes down one line, so that caches for the popular are few.
    let line = ring.owners(hash::of(b"popular"), 2);
    assert!(line.iter().all(|name| loads[*name] == 1_100), "{loads:?}");
}

#[test]
fn s3_29_below_the_bound_everyone_is_served_by_their_owner() {
    let ring = ring(&named("backend", 10));
    for key in sample(2_000) {
        assert_eq!(ring.owner_below(key, Bound::default(), 1_000, |_| 100), ring.owner(key));
    }
}

#[test]
fn s3_29_when_all_are_full_nobody_is_named_and_when_one_is_not_it_is_found() {
    let ring = ring(&named("backend", 10));
    assert_eq!(ring.owner_below(1, Bound::default(), 100, |_| 12), None);
    for key in sample(200) {
        let only =
            ring.owner_below(key, Bound::default(), 100, |name| if name == "backend-7" { 11 } else { 12 });
        assert_eq!(only.unwrap(), "backend-7");
    }
    assert_eq!(Ring::<String>::new(&[], 1_000).owner_below(1, Bound::default(), 0, |_| 0), None);
}

#[test]
fn a_bound_of_one_and_a_tenth_on_ten_is_eleven_and_not_twelve() {
    let bound = Bound::default();
    assert_eq!([bound.cap(100, 1, 10), bound.cap(101, 1, 10), bound.cap(0, 1, 10)], [11, 12, 0]);
    assert_eq!(
        (bound.cap(100, 3, 4), Bound::new(1.1), Bound::new(1.0).map(|b| b.cap(100, 1, 3))),
        (83, Ok(bound), Ok(34))
    );
    assert_eq!(bound.cap(u64::MAX, u32::MAX, 1), u64::MAX);
}

#[test]
fn a_bound_outside_one_to_ten_is_refused_with_what_to_use() {
    for wrong in [0.99, 0.0, -1.0, 10.01, f64::NAN, f64::INFINITY] {
        assert!(Bound::new(wrong).is_err(), "{wrong}");
    }
    assert_eq!(Bound::new(0.5).unwrap_err().to_string(), "bound: use 1 to 10, such as 1.10; it says 0.5");
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

    #[test]
    fn s0_9_an_assignment_keeps_everyone_at_a_tenth_over_the_mean_whatever_the_order_of_keys(
        weights in proptest::collection::vec(0u32..4, 1..9),
        seed in any::<u64>(),
        n in 0u64..600,
    ) {
        let members: Vec<_> = named("node", weights.len() as u32).into_iter().zip(&weights).map(|(m, w)| (m.0, *w)).collect();
        let (ring, mut keys) = (Ring::new(&members, 1_000), keys(seed, n));
        let total: u32 = weights.iter().sum();
        let Some(owners) = ring.assign(&keys, Bound::default()) else {
            prop_assert!(total == 0);
            return Ok(());
        };
        let loads = count(&owners);
        for (name, weight) in &members {
            let cap = (11 * n * u64::from(*weight)).div_ceil(10 * u64::from(total));
            prop_assert!(loads.get(name).copied().unwrap_or(0) <= cap, "{loads:?} above {cap}");
        }
        let placed: BTreeMap<u64, &String> = keys.iter().copied().zip(owners).collect();
        keys.reverse();
        let again = ring.assign(&keys, Bound::default()).unwrap();
        prop_assert!(keys.iter().zip(again).all(|(key, owner)| placed[key] == owner));
    }

    #[test]
    fn s0_10_a_reassignment_moves_what_the_lost_held_and_nothing_between_the_others(
        seed in any::<u64>(), n in 2u32..12, k in 1u32..11, a_member in 1u64..40,
    ) {
        let (all, left) = lose(seed, n, k.min(n - 1));
        let (before, after) = (Ring::new(&all, 1_000), Ring::new(&left, 1_000));
        let keys = keys(seed, a_member * u64::from(n));
        let held = before.assign(&keys, Bound::default()).unwrap();
        let now: Vec<_> = keys.iter().copied().zip(held.iter().map(|name| Some(*name))).collect();
        let moved = after.reassign(&before, &now, Bound::default()).unwrap();
        for (old, new) in held.iter().zip(&moved) {
            prop_assert!((old == new) == after.members().contains(old), "{old} to {new}");
        }
        let cap = Bound::default().cap(keys.len() as u64, 1, left.len() as u64);
        prop_assert!(count(&moved).values().all(|load| *load <= cap));
    }

    #[test]
    fn s0_10_a_reassignment_gives_newcomers_what_is_due_and_moves_no_more(
        seed in any::<u64>(), n in 2u32..12, k in 1u32..11, a_member in 1u64..40,
    ) {
        let k = k.min(n - 1);
        let (all, few) = lose(seed, n, k);
        let (before, after) = (Ring::new(&few, 1_000), Ring::new(&all, 1_000));
        let keys = keys(seed, a_member * u64::from(n));
        let held = before.assign(&keys, Bound::default()).unwrap();
        let now: Vec<_> = keys.iter().copied().zip(held.iter().map(|name| Some(*name))).collect();
        let owners = after.reassign(&before, &now, Bound::default()).unwrap();
        let moved = held.iter().zip(&owners).filter(|(old, new)| old != new).count() as u64;
        // k/n of the keys, and one for each member by rounding.
        let due = a_member * u64::from(k);
        prop_assert!(moved <= due + u64::from(n), "{moved} moved, {due} are due");
        let (loads, cap) = (count(&owners), Bound::default().cap(keys.len() as u64, 1, n.into()));
        prop_assert!(loads.values().all(|load| *load <= cap), "{loads:?} above {cap}");
        // A newcomer with less than the mean left no key behind that had it in line before its holder.
        for (key, owner) in keys.iter().zip(&owners) {
            let mut earlier = after.owners(*key, n as usize).into_iter().take_while(|name| name != owner);
            let has_mean = |name: &&String| loads.get(*name).copied().unwrap_or(0) >= keys.len().div_ceil(n as usize) as u64;
            prop_assert!(earlier.all(|name| before.members().contains(name) || has_mean(&name)));
        }
        // Said again, it changes nothing.
        let now: Vec<_> = keys.iter().copied().zip(owners.iter().map(|name| Some(*name))).collect();
        prop_assert!(after.reassign(&before, &now, Bound::default()).unwrap() == owners);
    }
}

#[test]
fn a_key_that_nobody_has_is_placed_as_if_all_were_new() {
    let ring = ring(&named("node", 8));
    let keys = keys(1, 2_000);
    let nobodys: Vec<_> = keys.iter().map(|key| (*key, None)).collect();
    assert_eq!(ring.reassign(&ring, &nobodys, Bound::default()), ring.assign(&keys, Bound::default()));
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(8))]

    /// With keys enough that chance among them is small: 40,000.
    #[test]
    fn s0_10_an_assignment_of_many_keys_moves_at_most_k_of_n_and_two_per_cent(
        seed in any::<u64>(), n in 4u32..16, k in 1u32..15,
    ) {
        let k = k.min(n - 1);
        let (all, left) = lose(seed, n, k);
        let (before, after, keys) = (ring(&all), ring(&left), keys(seed, 40_000));
        let (old, new) =
            (before.assign(&keys, Bound::default()).unwrap(), after.assign(&keys, Bound::default()).unwrap());
        let moved = old.iter().zip(&new).filter(|(old, new)| old != new).count() as f64 / 40_000.0;
        prop_assert!(moved <= f64::from(k) / f64::from(n) + 0.02, "{k} of {n} moved {moved}");
    }
}

/// What the module's table says: 10 members that lose one or gain one.
#[test]
fn an_assignment_of_a_hundred_keys_a_member_moves_half_a_per_cent_between_the_others_and_of_ten_four() {
    const SETS: u64 = 16;
    let mut between = BTreeMap::<(u64, usize), f64>::new();
    for seed in 0..SETS {
        let names = named(&format!("set-{seed}"), 11);
        let rings = [9, 10, 11].map(|n| (n, ring(&names[..n])));
        for a_member in [10, 100, 1_000] {
            let keys = keys(seed, 10 * a_member);
            let [nine, ten, eleven] =
                rings.each_ref().map(|(n, ring)| (n, ring.assign(&keys, Bound::default()).unwrap()));
            for (n, other) in [nine, eleven] {
                // Those who are in both are the first nine or ten.
                let stays = |name: &String| names[..*n.min(&10)].iter().any(|member| member.0 == *name);
                let moved = ten.1.iter().zip(other).filter(|(a, b)| *a != b && stays(a) && stays(b)).count();
                *between.entry((a_member, *n)).or_default() += moved as f64 / keys.len() as f64 / SETS as f64;
            }
        }
    }
    println!("keys a member and members after, and what moved between those that stay: {between:?}");
    for n in [9, 11] {
        assert!(between[&(1_000, n)] == 0.0 && between[&(100, n)] <= 0.006);
        assert!((0.02..0.06).contains(&between[&(10, n)]));
    }
}
