//! Flows when machines come and go (balancer, S3): remainders against one Maglev table.

use seawall_policy::placement::maglev::{self, Maglev};
use seawall_policy::placement::{Kind, compare};

use super::{lose, named};

#[test]
fn s3_2_from_three_nodes_to_five_modulo_moves_eighty_per_cent_of_flows_and_one_maglev_table_forty() {
    let modulo = compare(Kind::Modulo, 3, 5, 100_000).unwrap();
    let maglev = compare(Kind::Maglev, 3, 5, 100_000).unwrap();
    println!("{modulo}\n{maglev}");
    assert!((modulo.change.movement.due - 0.40).abs() < 1e-12);
    assert!((modulo.change.movement.moved - 0.80).abs() <= 0.005, "{modulo}");
    assert!((modulo.change.movement.between_survivors - 0.40).abs() <= 0.005, "{modulo}");
    assert!((maglev.change.movement.moved - 0.40).abs() <= 0.005, "{maglev}");
    assert!(maglev.change.movement.between_survivors <= 0.005, "{maglev}");
}

#[test]
fn s3_2_one_of_three_lost_moves_a_third_of_flows_where_modulo_moves_two() {
    let moved = |kind| compare(kind, 3, 2, 100_000).unwrap().change.movement;
    let (modulo, maglev) = (moved(Kind::Modulo), moved(Kind::Maglev));
    assert!((modulo.moved - 2.0 / 3.0).abs() <= 0.005 && (maglev.moved - 1.0 / 3.0).abs() <= 0.005);
    assert!((modulo.between_survivors - 1.0 / 3.0).abs() <= 0.005 && maglev.between_survivors <= 0.005);
}

/// Entries of `before` that somebody else has in `after`, as a part of all.
fn changed(before: &Maglev<String>, after: &Maglev<String>) -> f64 {
    let owner = |of: &Maglev<String>, entry: usize| of.members()[of.table()[entry] as usize].clone();
    let entries = before.table().len();
    (0..entries).filter(|entry| owner(before, *entry) != owner(after, *entry)).count() as f64 / entries as f64
}

#[test]
fn maglev_shares_differ_by_one_entry_which_is_one_per_cent_from_a_hundred_entries_a_member() {
    for n in [1, 3, 10, 100, 655] {
        let maglev = Maglev::new(&named("backend", n), maglev::SIZE_DEFAULT);
        let mut held = vec![0u32; n as usize];
        maglev.table().iter().for_each(|member| held[*member as usize] += 1);
        let (most, least) = (held.iter().max().unwrap(), held.iter().min().unwrap());
        assert!(most - least <= 1 && f64::from(*most) / f64::from(*least) <= 1.01, "{n}: {least} to {most}");
    }
}

/// Eisenbud et al. 2016, section 5.3 and figure 12, which has a curve and no table: the bounds are ours.
#[test]
fn maglev_loses_one_of_a_hundred_for_at_most_two_per_cent_of_its_entries() {
    for seed in 0..5 {
        let (all, left) = lose(seed, 100, 1);
        let build = |members: &[_]| Maglev::new(members, maglev::SIZE_DEFAULT);
        let changed = changed(&build(&all), &build(&left));
        println!("1 of 100 lost: {:.2} % of the entries changed, 1 % are due", 100.0 * changed);
        assert!((0.0099..=0.02).contains(&changed), "{changed}");
    }
}

#[test]
fn maglev_with_a_thousand_backends_changes_at_most_four_per_cent_more_than_is_due() {
    for (k, size, most) in [
        (1, maglev::SIZE_DEFAULT, 0.010),
        (10, maglev::SIZE_DEFAULT, 0.040),
        (50, maglev::SIZE_DEFAULT, 0.090),
        (10, maglev::SIZE_MAX, 0.018),
    ] {
        let (all, left) = lose(u64::from(k), 1_000, k);
        let changed = changed(&Maglev::new(&all, size), &Maglev::new(&left, size));
        println!("{k} of 1000 lost in {size} entries: {:.2} % changed", 100.0 * changed);
        assert!(changed >= f64::from(k) / 1_000.0 - 0.001 && changed <= most, "{k} in {size}: {changed}");
    }
}

#[test]
fn every_machine_fills_the_same_table_whatever_it_heard_first() {
    let mut backends = named("backend", 20);
    let here = Maglev::new(&backends, 1_009);
    backends.reverse();
    let there = Maglev::new(&backends, 1_009);
    assert_eq!((here.table(), here.members()), (there.table(), there.members()));
}
