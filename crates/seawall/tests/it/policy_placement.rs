//! `seawall policy placement`, as someone who is about to add a server.

use std::process::Output;

use serde_json::Value;

use crate::fleet::seawall;

fn placement(args: &str) -> Output {
    let args: Vec<&str> = ["policy", "placement"].into_iter().chain(args.split_whitespace()).collect();
    seawall(&args)
}

fn said(args: &str) -> String {
    let output = placement(args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn object(args: &str) -> Value {
    serde_json::from_str(&said(&format!("{args} --json"))).unwrap()
}

/// A part of 1 that changed hands.
fn part(report: &Value, of: &str) -> f64 {
    report["movement"][of].as_f64().unwrap()
}

#[test]
fn s0_12_a_ring_of_ten_that_becomes_eleven_moves_about_nine_per_cent() {
    let text = said("ring --members 10 --to 11");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (4, "ring, 100000 keys"), "{text}");
    assert!(lines[1].starts_with("before: 10 members: the busiest has 1.0"), "{text}");
    assert!(lines[2].starts_with("after: 11 members: the busiest has 1.0"), "{text}");
    assert!(lines[3].contains(" of the keys move where 9.09 % are due ("), "{text}");
    assert!(lines[3].ends_with(" 0.00 % between members that stay"), "{text}");

    let report = object("ring --members 10 --to 11");
    assert!((part(&report, "moved") - 0.09).abs() < 0.005, "{report}");
    assert_eq!((report["kind"].as_str(), report["keys"].as_u64()), (Some("ring"), Some(100_000)));
    assert_eq!(
        (report["before"]["members"].as_u64(), report["after"]["members"].as_u64()),
        (Some(10), Some(11))
    );
}

#[test]
fn two_of_twelve_that_leave_move_a_sixth_and_the_remainder_of_the_hash_moves_nearly_all() {
    let ring = object("ring --members 12 --to 10 --keys 20000");
    assert!(
        (part(&ring, "moved") - 1.0 / 6.0).abs() < 0.02 && part(&ring, "between_survivors") == 0.0,
        "{ring}"
    );
    let modulo = object("modulo --members 12 --to 10 --keys 20000");
    assert!(part(&modulo, "moved") > 0.8 && part(&modulo, "between_survivors") > 0.6, "{modulo}");
    assert_eq!(said("maglev --members 3 --to 5 --keys 1000"), said("maglev --members 3 --to 5 --keys 1000"));
}

#[test]
fn every_kind_in_the_help_is_taken_and_another_is_a_usage_error_that_names_them() {
    for kind in ["ring", "ring-bounded", "rendezvous", "maglev", "ring-crc32", "modulo"] {
        let report = object(&format!("{kind} --members 2 --to 3 --keys 100"));
        assert_eq!((report["kind"].as_str(), report["keys"].as_u64()), (Some(kind), Some(100)));
        assert!(said("--help").contains(kind));
    }
    let wrong = placement("rng --members 2 --to 3");
    let why = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!((wrong.status.code(), wrong.stdout.as_slice()), (Some(2), &b""[..]), "{why}");
    assert!(why.contains("ring, ring-bounded, rendezvous, maglev, ring-crc32, modulo"), "{why}");
}

#[test]
fn numbers_nobody_can_have_are_usage_errors_that_say_what_to_use() {
    for (args, why) in [
        ("ring --members 0 --to 3", "'--members <N>': 0 is not in 1..=256"),
        ("ring --members 3 --to 257", "'--to <M>': 257 is not in 1..=256"),
        ("ring --members 3 --to 4 --keys 0", "'--keys <K>': 0 is not in 1..=1000000"),
        ("ring --members 3 --to 4 --keys 1000001", "'--keys <K>': 1000001 is not in 1..=1000000"),
        ("ring --members 3", "--to <M>"),
        ("--members 3 --to 4", "<KIND>"),
    ] {
        let output = placement(args);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(why), "{args}: {told}");
    }
}
