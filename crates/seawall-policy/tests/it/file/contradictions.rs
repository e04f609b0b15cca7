//! The contradictions that the documents hold, each with its document's numbers.

use super::{CORRECTED, assert_one, load, refused, warnings};

/// Feed (S1): "trigger: ranking service latency > 100 ms", of calls that are given up after 50.
const S1_UNREACHABLE: &str = "\
[policy.call.ranking]
timeout = '50ms'
breaker = 's1-feed-verbatim'
fallback = 'chronological'
[ladder.feed]
preset = 's1-feed-verbatim'
";

#[test]
fn s1_a_latency_of_100_ms_is_never_seen_of_calls_cut_at_50_ms() {
    assert_one(
        &refused(S1_UNREACHABLE),
        "policies.toml:5: ladder.feed.rung[0].enter: ",
        &["p95(ranking) > 100ms can never be seen", "calls to ranking are cut at 50ms", "below 50ms"],
    );
    let mended = S1_UNREACHABLE.replace("'50ms'", "'150ms'");
    assert_eq!(warnings(&mended), Vec::<String>::new());
}

#[test]
fn s1_beside_a_breaker_that_opens_the_unseen_latency_is_a_warning() {
    let text = "
[policy.call.ranking]
timeout = '50ms'
breaker = 's1-feed'
[[ladder.feed.rung]]
level = 1
name = 'ranking degraded'
enter = 'p99(ranking) > 100ms for 10s or breaker(ranking) != closed'
exit = 'p99(ranking) < 80ms for 60s'
effects = ['ranking=cached', 'candidates=half']
";
    assert_one(
        &warnings(text),
        "policies.toml:8: warning: ladder.feed.rung[0].enter: ",
        &["p99(ranking) > 100ms can never be seen"],
    );
}

#[test]
fn the_state_of_a_breaker_that_is_not_there_is_never_seen() {
    let text = "[policy.call.ranking]\ntimeout = '150ms'\n[ladder.feed]\npreset = 's1-feed'\n";
    assert_one(
        &warnings(text),
        "policies.toml:3: warning: ladder.feed.rung[0].enter: use a breaker in [policy.call.ranking]",
        &["breaker(ranking) != closed can never be seen"],
    );
}

#[test]
fn a_latency_is_seen_up_to_the_last_moment_of_the_last_try() {
    // 4 tries of 20 ms and at most 10 + 20 + 40 ms of waits with 20 % more are 164 ms.
    let with = |bound: &str| {
        format!(
            "[policy.budget.edge]\n[policy.call.graph]\ntimeout = '20ms'\nretry = 's1-read-verbatim'\nbudget = 'edge'\n\
             [[ladder.feed.rung]]\nlevel = 1\nname = 'slow'\neffects = ['a=b']\n\
             enter = 'p99(graph) {bound} for 10s'\nexit = 'p99(graph) < 10ms for 60s'\n"
        )
    };
    assert_eq!(warnings(&with("> 163ms")), Vec::<String>::new());
    assert_eq!(warnings(&with(">= 164ms")), Vec::<String>::new());
    let parts = ["cut at 164ms", "4 tries of 80ms together and 84ms of waits"];
    assert_one(&refused(&with("> 164ms")), "policies.toml:10: ladder.feed.rung[0].enter: ", &parts);
    let short = with("> 100ms").replace("timeout = '20ms'", "timeout = '20ms'\ndeadline = '100ms'");
    assert!(refused(&short).iter().any(|p| p.contains("cut at their deadline of 100ms")));
}

/// Registry client (S4): `MAX_RETRIES`, and a list of waits that the loop runs past.
const S4_SCHEDULE: &str = "\
[policy.retry.discovery]
attempts = 5
backoff.schedule = ['100ms', '500ms', '2s']
jitter = { kind = 'none' }
on = ['unreachable', 'timeout']
";

#[test]
fn a_time_that_is_no_latency_is_not_held_against_the_timeout_of_calls() {
    let rung = |signal: &str| {
        format!(
            "[policy.call.registry]\ntimeout = '50ms'\n[[ladder.x.rung]]\nlevel = 1\nname = 'stale'\n\
             enter = '{signal}(registry) > 10m'\nexit = '{signal}(registry) < 1m'\neffects = ['a=b']\n"
        )
    };
    assert!(
        warnings(&rung("age")).is_empty(),
        "how old an answer is has nothing to do with how long a call takes"
    );
    for latency in ["p50", "p95", "p99.9"] {
        assert_one(
            &refused(&rung(latency)),
            "policies.toml:6: ladder.x.rung[0].enter: ",
            &["can never be seen"],
        );
    }
}

#[test]
fn s4_three_waits_are_too_few_for_five_tries() {
    assert_one(
        &refused(S4_SCHEDULE),
        "policies.toml:3: policy.retry.discovery.backoff.schedule: use 4 waits for 5 tries, or attempts = 4; there are 3",
        &[],
    );
    assert_eq!(warnings(&S4_SCHEDULE.replace("= 5", "= 4")), Vec::<String>::new());
    let preset = "[policy.retry.discovery]\npreset = 's4-discovery-verbatim'\nattempts = 5\n";
    assert_one(
        &refused(preset),
        "policies.toml:1: policy.retry.discovery.backoff.schedule: use 4 waits",
        &[],
    );
}

#[test]
fn s4_a_third_wait_that_three_tries_never_come_to_is_a_warning() {
    assert_one(
        &warnings(&S4_SCHEDULE.replace("= 5", "= 3")),
        "policies.toml:3: warning: policy.retry.discovery.backoff.schedule: use 2 waits for 3 tries, or attempts = 4",
        &["1 of them never waited for"],
    );
}

/// Balancer (S3): "request timeout: 1 retry, increase timeout", within no total.
const S3_DEADLINE: &str = "\
[policy.call.backend]
deadline = '1s'
timeout = '500ms'
idempotent = true
retry = 's3-timeout'
";

#[test]
fn s3_a_longer_second_try_ends_after_the_deadline() {
    assert_one(
        &refused(S3_DEADLINE),
        "policies.toml:5: policy.call.backend.retry: ",
        &["2 tries of 1s250ms together take 1s250ms", "the deadline is 1s", "a deadline of 1s250ms"],
    );
    assert_eq!(warnings(&S3_DEADLINE.replace("500ms", "400ms")), Vec::<String>::new());
}

#[test]
fn s3_three_tries_of_two_seconds_and_their_waits_outlast_six() {
    let text = "
[policy.budget.edge]
[policy.retry.request]
attempts = 3
jitter = { kind = 'additive', ratio = 0.1 }
[policy.call.backend]
deadline = '6s'
timeout = '2s'
retry = 'request'
budget = 'edge'
";
    // 100 and 200 ms, each a tenth longer.
    assert_one(
        &refused(text),
        "policies.toml:9: policy.call.backend.retry: ",
        &["3 tries of 6s together and 330ms of waits take 6s330ms", "the deadline is 6s"],
    );
    assert_eq!(warnings(&text.replace("'6s'", "'6330ms'")), Vec::<String>::new());
}

#[test]
fn a_retry_after_a_timeout_needs_a_timeout_shorter_than_the_deadline() {
    let text = S3_DEADLINE.replace("timeout = '500ms'\n", "");
    assert_one(
        &refused(&text),
        "policies.toml:1: policy.call.backend.timeout: ",
        &["the deadline (1s)", "none of the 1"],
    );
    // What fails at once takes no time.
    let refused_only = text.replace("s3-timeout", "s3-connect");
    assert!(warnings(&refused_only).iter().all(|w| w.contains("4 calls")), "{:?}", warnings(&refused_only));
}

/// Links (S2): "Redis down: go straight to database".
const S2_FALLBACK: &str = "\
[policy.call.redis]
timeout = '50ms'
breaker = 's2-links-verbatim'
fallback = { to = 'db' }
[policy.call.db]
";

#[test]
fn s2_redis_down_turns_every_request_over_to_the_database() {
    assert_one(
        &refused(S2_FALLBACK),
        "policies.toml:4: policy.call.redis.fallback: use { to = \"db\", bulkhead = \"db-fallback\" }",
        &["with redis down, 1,000 calls a second to it become 1,000 more to db"],
    );
    let mended = S2_FALLBACK.replace("'db' }", "'db', bulkhead = 'db-fallback' }")
        + "[policy.bulkhead.db-fallback]\nin_flight = 50\n";
    assert_eq!(warnings(&mended), Vec::<String>::new());
}

/// Chat (S0): a tier begins with "high load" and ends when it does.
const S0_NO_GAP: &str = "\
[[ladder.chat.rung]]
level = 1
name = 'high load'
enter = 'load >= 70% for 30s'
exit = 'load < 70%'
effects = ['search=slow']
";

#[test]
fn s0_a_tier_left_at_the_load_that_enters_it_flaps() {
    assert_one(&refused(S0_NO_GAP), "policies.toml:5: ladder.chat.rung[0].exit: ", &["70%"]);
    assert_eq!(warnings(&S0_NO_GAP.replace("< 70%", "< 60%")), Vec::<String>::new());
}

/// Feed (S1) below balancer (S3) below registry client (S4), each with its own retries and no budget.
pub(super) const AMPLIFICATION: &str = "\
[policy.retry.s4-tries]
attempts = 4
on = ['unreachable', 'timeout']
[policy.retry.s3-tries]
attempts = 3
on = ['failed']
below_a_retry = true
[policy.retry.s1-tries]
attempts = 4
backoff = { base = '10ms', max = '100ms' }
on = ['timeout', 'unreachable']
below_a_retry = true
[policy.call.client]
deadline = '10s'
timeout = '2s'
retry = 's4-tries'
calls = ['balancer']
[policy.call.balancer]
timeout = '300ms'
retry = 's3-tries'
calls = ['graph']
[policy.call.graph]
timeout = '50ms'
retry = 's1-tries'
";

#[test]
fn s1_in_s3_in_s4_make_48_calls_of_one() {
    assert_one(
        &warnings(AMPLIFICATION),
        "policies.toml:17: warning: policy.call.client.calls: ",
        &["4 × 3 × 4 = 48 calls along client → balancer → graph", "more than 3"],
    );
}

#[test]
fn who_does_not_retry_below_a_retry_makes_9_of_the_48_and_budgets_make_less_than_2() {
    let heeded = AMPLIFICATION.replace("below_a_retry = true\n", "");
    assert_one(
        &warnings(&heeded),
        "policies.toml:15: warning: policy.call.client.calls: ",
        &["9 calls along"],
    );
    let paid = heeded.replace("calls = ['", "budget = 'edge'\ncalls = ['")
        + "budget = 'edge'\n[policy.budget.edge]\n";
    assert_eq!(warnings(&paid), Vec::<String>::new());
    let said = load(&paid).unwrap().set.explain("call.client").unwrap().join("\n");
    assert!(said.contains("or with budgets 1.6 when many fail"), "{said}");
}

#[test]
fn three_tries_at_one_level_are_enough_and_four_are_a_warning() {
    let text = "[policy.retry.mine]\nattempts = 3\non = ['unreachable']\n[policy.call.x]\nretry = 'mine'\n";
    assert_eq!(warnings(text), Vec::<String>::new());
    assert_one(
        &warnings(&text.replace("= 3", "= 4")),
        "policies.toml:5: warning: policy.call.x.retry: ",
        &["4 calls at x"],
    );
}

#[test]
fn the_worst_of_several_paths_counts_and_a_fallback_is_a_path() {
    let text = "
[policy.retry.two]
attempts = 2
on = ['unreachable']
below_a_retry = true
[policy.bulkhead.spare]
[policy.call.a]
retry = 'two'
calls = ['b', 'c']
[policy.call.b]
[policy.call.c]
fallback = { to = 'd', bulkhead = 'spare' }
[policy.call.d]
retry = 'two'
";
    assert_one(
        &warnings(text),
        "policies.toml:9: warning: policy.call.a.calls: ",
        &["2 × 2 = 4 calls along a → d"],
    );
}

#[test]
fn a_circle_of_calls_is_refused_with_the_way_round() {
    let text = "[policy.call.a]\ncalls = ['b']\n[policy.call.b]\ncalls = ['c', 'd']\n[policy.call.c]\ncalls = ['b']\n[policy.call.d]\n";
    assert_one(&refused(text), "policies.toml:4: policy.call.b.calls: ", &["b → c → b"]);
    assert_one(
        &refused("[policy.call.a]\ncalls = ['a']\n"),
        "policies.toml:2: policy.call.a.calls: ",
        &["a → a"],
    );
    let fallbacks = "[policy.bulkhead.x]\n[policy.call.a]\nfallback = { to = 'b', bulkhead = 'x' }\n\
                     [policy.call.b]\nfallback = { to = 'a', bulkhead = 'x' }\n";
    assert_one(&refused(fallbacks), "policies.toml:2: policy.call.a.calls: ", &["a → b → a"]);
}

#[test]
fn a_window_shorter_than_two_tries_is_a_warning() {
    // S3 names no window; at Hystrix's 10 s, tries of 6 s are too slow for it.
    let text = "[policy.call.backend]\ndeadline = '20s'\ntimeout = '6s'\nbreaker = 's3-balancer'\n";
    assert_one(
        &warnings(text),
        "policies.toml:4: warning: policy.call.backend.breaker: ",
        &["a window of 12s or more", "a try may take 6s", "in 10s the first failure is forgotten"],
    );
    assert_eq!(warnings(&text.replace("'6s'", "'5s'")), Vec::<String>::new());
    assert_one(&warnings(&text.replace("timeout = '6s'\n", "")), "policies.toml:3: warning: ", &["of 40s"]);
}

#[test]
fn a_probe_longer_than_the_open_time_is_written_off_and_never_closes() {
    let text = "\
[policy.breaker.quick]
window = '1s'
open = { for = '2s' }
[policy.call.report]
deadline = '3s'
breaker = 'quick'
";
    let problems = refused(text);
    let at_6 = "policies.toml:6: policy.call.report.breaker: use a breaker with open.for of 3s";
    assert!(problems[0].starts_with(at_6) && problems[0].contains("written off after 2s"), "{problems:#?}");
    let slower = text.replace("for = '2s'", "for = '3s'");
    assert_one(
        &warnings(&slower),
        "policies.toml:6: warning: policy.call.report.breaker: use a breaker with a window",
        &[],
    );
}

#[test]
fn an_open_time_shorter_than_the_window_is_a_warning() {
    let text = "[policy.breaker.x]\npreset = 's2-links-verbatim'\nopen = { for = '20s' }\n";
    assert_one(
        &warnings(text),
        "policies.toml:3: warning: policy.breaker.x.open.for: use at least the window (1m)",
        &["spares the callee for 20s", "75 % of the time"],
    );
    assert_eq!(warnings(&text.replace("20s", "60s")), Vec::<String>::new());
}

#[test]
fn s1_resource_exhausted_three_times_more_is_the_second_overload() {
    let text = "[policy.call.graph]\ntimeout = '50ms'\nidempotent = true\nretry = 's1-read-verbatim'\n";
    let problems = refused(text);
    assert!(
        problems[0].starts_with("policies.toml:1: policy.call.graph.budget: use a budget")
            && problems[0].contains("4 tries of what is too busy already are 4000 calls"),
        "{problems:#?}"
    );
    let mended = format!("{text}budget = 'edge'\n[policy.budget.edge]\n");
    assert_eq!(warnings(&mended), Vec::<String>::new());
}

#[test]
fn a_hedge_needs_a_budget_and_calls_that_may_happen_twice_and_time_to_be_sent() {
    let text = "\
[policy.hedge.late]
after = '50ms'
idempotent_only = false
[policy.call.graph]
timeout = '50ms'
hedge = 'late'
";
    let problems = refused(text);
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(
        problems[0].contains("policy.call.graph.budget: use a budget")
            && problems[0].contains("become 2000 calls")
    );
    let at_6 = "policies.toml:6: policy.call.graph.hedge: ";
    assert!(problems[1..].iter().all(|p| p.starts_with(at_6)), "{problems:#?}");
    assert!(problems.iter().any(|p| p.contains("after 50ms no call is under way")), "{problems:#?}");
    assert!(problems.iter().any(|p| p.contains("one call is sent up to 2 times")), "{problems:#?}");
    let mended = text.replace("timeout = '50ms'", "timeout = '150ms'\nidempotent = true\nbudget = 'edge'")
        + "[policy.budget.edge]\n";
    assert_eq!(warnings(&mended), Vec::<String>::new());
}

#[test]
fn s3_what_is_not_idempotent_is_not_tried_again_after_a_timeout() {
    let text = "[policy.retry.mine]\npreset = 's3-timeout'\nidempotent_only = false\n\
                [policy.call.post]\ntimeout = '100ms'\nretry = 'mine'\n";
    assert_one(
        &refused(text),
        "policies.toml:6: policy.call.post.retry: ",
        &["after \"timeout\" nobody knows whether it happened", "up to 2 tries"],
    );
    assert_eq!(warnings(&text.replace("idempotent_only = false\n", "")), Vec::<String>::new());
}

#[test]
fn all_contradictions_of_all_documents_are_told_at_once_by_line() {
    let all = format!(
        "{S1_UNREACHABLE}{S4_SCHEDULE}{S3_DEADLINE}{S2_FALLBACK}{S0_NO_GAP}{AMPLIFICATION}\
         [policy.call.post]\nhedge = 'h'\n[policy.hedge.h]\n"
    );
    let problems = refused(&all);
    let keys: Vec<&str> = problems
        .iter()
        .map(|p| {
            p.trim_start_matches(|c| c != ' ')
                .trim()
                .trim_start_matches("warning: ")
                .split(": ")
                .next()
                .unwrap()
        })
        .collect();
    assert_eq!(
        keys,
        [
            "ladder.feed.rung[0].enter",
            "policy.retry.discovery.backoff.schedule",
            "policy.call.backend.retry",
            "policy.call.redis.fallback",
            "ladder.chat.rung[0].exit",
            "policy.call.client.calls",
            "policy.call.post.budget",
        ],
        "{problems:#?}"
    );
}

#[test]
fn the_corrected_presets_of_all_documents_go_together_without_a_warning() {
    assert_eq!(warnings(CORRECTED), Vec::<String>::new());
}
