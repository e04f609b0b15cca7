//! A ladder driving a feature: a search that becomes simpler, then goes, as load grows, and comes back without
//! flapping.
//!
//! `cargo run -p seawall-policy --example ladder`
//!
//! The ladder is text, as it would stand in a configuration file. The load rises and falls over ten simulated
//! minutes; every change of a rung is printed with the numbers that caused it.

#![expect(clippy::print_stdout, reason = "an example speaks by printing")]

use std::time::Duration;

use seawall_policy::Mono;
use seawall_policy::ladder::condition::Value;
use seawall_policy::ladder::{Core, Pin, Policy};

const LADDER: &str = r#"
    [[rung]]
    level = 1
    name = "simple search"
    enter = "load >= 70% for 30s"
    exit = "load < 60% for 30s"
    dwell = "30s"
    effects = ["search=titles"]

    [[rung]]
    level = 2
    name = "no search"
    enter = "load >= 85% for 30s or index == down"
    exit = "load < 75% for 30s and index == up"
    dwell = "30s"
    effects = ["search=off"]
"#;

/// The feature asks the ladder and knows nothing of load.
fn search(ladder: &Core, words: &str) -> String {
    match ladder.effect("search") {
        None => format!("everything about {words:?}"),
        Some("titles") => format!("titles with {words:?}"),
        Some(_) => "search is off for a moment; everything else works".to_owned(),
    }
}

/// Up to 100 % in the middle, with a tooth that would make a plain threshold flap.
fn load(second: u64) -> f64 {
    let hill = 1.0 - (second as f64 - 300.0).abs() / 300.0;
    0.5 + 0.5 * hill + if second.is_multiple_of(2) { 0.02 } else { -0.02 }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let policy: Policy = toml::from_str(LADDER)?;
    let wrong = policy.check();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mut ladder = Core::new(policy, Mono(0));
    for second in 0..=600 {
        let now = Mono(0) + Duration::from_secs(second);
        let changes = ladder.step(now, |signal| match signal.what.as_str() {
            "load" => Some(Value::from(load(second))),
            "index" => Some(Value::from("up")),
            _ => None,
        });
        for change in changes {
            println!("{second:>4} s  {change}");
            println!("        search(\"tea\"): {}", search(&ladder, "tea"));
        }
    }
    // An operator may hold a rung, whatever the signals say.
    ladder.pin("no search", Pin::On)?;
    ladder.step(Mono(0) + Duration::from_secs(601), |_| None);
    println!("pinned  search(\"tea\"): {}", search(&ladder, "tea"));
    Ok(())
}
