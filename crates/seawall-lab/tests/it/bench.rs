//! The benches from end to end, nginx against nginx where there are servers: that they count, not how
//! fast anybody is.

use seawall_lab::bench::judge::Verdict;
use seawall_lab::bench::{Bench, Options, Plant, run};

async fn played(bench: Bench, plants: &[Plant]) -> (Verdict, Vec<String>) {
    let options = Options {
        seawall: "never started here".into(),
        rounds: 1,
        seconds: 1,
        full: false,
        quick: false,
        plants: plants.to_vec(),
    };
    let mut lines = Vec::new();
    let verdict = run(bench, &options, &mut |line| lines.push(line.to_owned())).await.unwrap();
    (verdict, lines)
}

#[tokio::test]
async fn a_smoke_run_shows_both_sides_and_judges_neither() {
    let (verdict, lines) = played(Bench::Links, &[Plant::Itself]).await;
    assert_eq!(verdict, Verdict::NotJudged);
    let text = lines.join("\n");
    for part in ["nginx map too", "CPU µs/op", "RAM MiB", "one of 500 links"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(lines.last().unwrap().starts_with("links: not judged (smoke): "), "{text}");
}

#[tokio::test]
async fn a_planted_hop_is_said_and_its_work_is_counted_as_ours() {
    let (_, lines) = played(Bench::Balancer, &[Plant::Itself, Plant::SlowServer]).await;
    let text = lines.join("\n");
    assert!(text.contains("planted: one more hop"), "{text}");
    // Two processes hold about twice the memory of one: both are looked at.
    let memory = |side: &str| {
        let row = lines.iter().find(|line| line.trim_start().starts_with(side) && !line.contains("against"));
        row.unwrap().split_whitespace().last().unwrap().parse::<f64>().unwrap()
    };
    assert!(memory("nginx proxy too") > 1.5 * memory("nginx proxy  "), "{text}");
}

/// Also that everybody lets in whom they must: otherwise this fails.
#[tokio::test]
async fn a_smoke_run_of_the_policies_shows_everybody_and_judges_nobody() {
    let (verdict, lines) = played(Bench::Policy, &[Plant::SlowBreaker]).await;
    assert_eq!(verdict, Verdict::NotJudged);
    let text = lines.join("\n");
    for part in [
        "planted: a lock before our breaker",
        "breaker, closed",
        "one reading of the coarse clock",
        "rate limit, refused; coarse clock",
        "rate limit, refused; precise clock",
        "whole chain; precise clock, twice",
        "failsafe, success rate",
        "recloser",
        "tower-resilience",
        "governor",
        "tokio Semaphore",
        "tower TpsBudget",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(!text.contains("MISSED") && !text.contains("met"), "{text}");
    assert!(lines.last().unwrap().starts_with("policy: not judged (smoke): "), "{text}");
}

/// Everybody but ourselves, from servers to stale reads.
#[tokio::test]
async fn a_smoke_run_of_the_graph_shows_rows_and_mixes_and_judges_neither() {
    let (verdict, lines) = played(Bench::Graph, &[Plant::Itself]).await;
    assert_eq!(verdict, Verdict::NotJudged);
    let text = lines.join("\n");
    for part in [
        "planted: in our place a second Redis",
        "ASSOC.RANGE 0 10 WITHDATA",
        "Redis 16 GET, pipelined",
        "PostgreSQL transaction",
        "TAOBench A, as named",
        "LinkBench",
        "stale reads a second after an acknowledged write",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(lines.last().unwrap().starts_with("graph: not judged (smoke): "), "{text}");
}
