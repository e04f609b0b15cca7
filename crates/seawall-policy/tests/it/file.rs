//! Policy files: what is read, what is refused and at which line, and the contradictions of the documents.

mod contradictions;
mod explained;

use std::time::Duration;

use proptest::prelude::*;
use seawall_policy::file::{self, Call, Fallback, Loaded, Problem, Severity};
use seawall_policy::retry::{self, BudgetPolicy};
use seawall_policy::{breaker, ladder};

fn load(text: &str) -> Result<Loaded, Vec<Problem>> {
    file::parse(text, "policies.toml")
}

fn refused(text: &str) -> Vec<String> {
    let problems = load(text).expect_err("it was taken");
    assert!(problems.iter().any(|p| p.severity == Severity::Error), "{problems:#?}");
    problems.iter().map(ToString::to_string).collect()
}

fn warnings(text: &str) -> Vec<String> {
    let loaded = load(text).unwrap_or_else(|problems| panic!("it was refused: {problems:#?}"));
    assert!(loaded.warnings.iter().all(|p| p.severity == Severity::Warning));
    loaded.warnings.iter().map(ToString::to_string).collect()
}

/// One problem, which begins and goes on like this.
fn assert_one(problems: &[String], begins: &str, parts: &[&str]) {
    let [problem] = problems else { panic!("not one problem: {problems:#?}") };
    assert!(problem.starts_with(begins), "{problem}");
    for part in parts {
        assert!(problem.contains(part), "{part:?} is missing: {problem}");
    }
}

/// The five documents' calls as they are meant, from the corrected presets.
const CORRECTED: &str = "\
[policy.budget.edge]
[policy.bulkhead.db-fallback]
preset = 's3-service-b'
[policy.hedge.feed-read]
after = 'p95'

[policy.call.chat-db]
breaker = 's0-chat'
timeout = '500ms'
fallback = 'cached'
[policy.call.ranking]
breaker = 's1-feed'
timeout = '150ms'
fallback = 'light-model'
[policy.call.graph]
timeout = '50ms'
retry = 's1-read'
budget = 'edge'
hedge = 'feed-read'
[policy.call.post]
timeout = '100ms'
retry = 's1-write'
budget = 'edge'
[policy.call.redis]
timeout = '50ms'
breaker = 's2-links'
fallback = { to = 'db', bulkhead = 'db-fallback' }
[policy.call.db]
breaker = 's0-chat'
bulkhead = 's3-service-b'
[policy.call.backend]
deadline = '10s'
timeout = '3s'
breaker = 's3-balancer'
retry = 's3-request'
budget = 'edge'
bulkhead = 's3-service-a'
calls = ['redis', 'ranking', 'graph', 'post']
[policy.call.registry]
deadline = '10s'
timeout = '1s'
breaker = 's4-registry'
retry = 's4-discovery'
budget = 'edge'
[ladder.feed]
preset = 's1-feed'
[ladder.chat]
preset = 's0-chat'
[policy.rate.create-link]
preset = 's2-create-link'
[policy.shed.chat]
preset = 's0-chat'
[policy.adaptive.any]
";

// What is read.

#[test]
fn a_table_begins_from_its_preset_and_overrides_single_keys_also_nested_ones() {
    let text = "
[policy.breaker.mine]
preset = 's2-links'
open.for = '45s'
[policy.breaker.plain]
window = '20s'
[policy.breaker.plain.half_open]
admit = 7
";
    let set = load(text).unwrap().set;
    let mut expected = breaker::preset("s2-links").unwrap();
    expected.open.for_ = Duration::from_secs(45);
    assert_eq!(set.get::<breaker::Policy>("mine"), Some(expected));
    let mut expected = breaker::Policy { window: Duration::from_secs(20), ..breaker::Policy::default() };
    expected.half_open.admit = 7;
    assert_eq!(set.get::<breaker::Policy>("plain"), Some(expected));
    assert_eq!(
        set.get::<breaker::Policy>("s2-links"),
        breaker::preset("s2-links"),
        "presets are in every set"
    );
    assert_eq!(set.get::<breaker::Policy>("other"), None);
    assert_eq!(set.get::<retry::Policy>("mine"), None);
}

#[test]
fn another_kind_of_jitter_replaces_the_presets_with_all_its_keys() {
    let text = "
[policy.retry.full]
preset = 's1-read-verbatim'
jitter = { kind = 'full' }
[policy.retry.wider]
preset = 's1-read-verbatim'
jitter = { ratio = 0.5 }
[policy.retry.additive]
preset = 's1-read-verbatim'
jitter = { kind = 'additive', ratio = 0.1 }
";
    let set = load(text).unwrap().set;
    let jitter = |name: &str| set.get::<retry::Policy>(name).unwrap().jitter;
    assert_eq!(jitter("full"), retry::Jitter::Full);
    assert_eq!(jitter("wider"), retry::Jitter::Symmetric { ratio: 0.5 });
    assert_eq!(jitter("additive"), retry::Jitter::Additive { ratio: 0.1 });
}

#[test]
fn a_call_joins_policies_of_the_file_and_presets_by_name() {
    let text = "
[policy.budget.edge]
[policy.bulkhead.db-fallback]
preset = 's3-service-b'
[policy.call.db]
[policy.call.redis]
deadline = '500ms'
timeout = '50ms'
idempotent = true
breaker = 's2-links'
retry = 's1-read'
budget = 'edge'
fallback = { to = 'db', bulkhead = 'db-fallback' }
[policy.call.ranking]
fallback = 'chronological'
calls = ['redis']
";
    let set = load(text).unwrap().set;
    let call: Call = set.get("redis").unwrap();
    assert_eq!((call.deadline, call.timeout), (Duration::from_millis(500), Some(Duration::from_millis(50))));
    assert_eq!(call.fallback_to().unwrap().bulkhead.as_deref(), Some("db-fallback"));
    assert_eq!(set.get::<BudgetPolicy>("edge"), Some(BudgetPolicy::default()));
    let ranking: Call = set.get("ranking").unwrap();
    assert_eq!(ranking.fallback, Some(Fallback::Own("chronological".to_owned())));
    assert_eq!(ranking.deadline, Duration::from_secs(1), "the schema's default");
}

#[test]
fn a_ladder_is_written_rung_by_rung_or_begins_from_its_preset() {
    let text = "
[ladder.feed]
preset = 's1-feed'
[[ladder.mine.rung]]
level = 1
name = 'slow'
enter = 'load >= 70% for 30s'
exit = 'load < 60% for 30s'
effects = ['search=off']
";
    let set = load(text).unwrap().set;
    assert_eq!(set.get::<ladder::Policy>("feed"), ladder::preset("s1-feed"));
    assert_eq!(set.get::<ladder::Policy>("mine").unwrap().rung[0].name, "slow");
}

#[test]
fn every_preset_of_every_kind_passes_and_is_written_as_it_is_read() {
    let presets = file::Set::default();
    let mut count = 0;
    for entry in presets.entries() {
        let (kind, name) = (entry.kind(), entry.name());
        let section = if kind == "ladder" { "ladder.mine".to_owned() } else { format!("policy.{kind}.mine") };
        let text = format!("[{section}]\npreset = \"{name}\"\n");
        assert_eq!(warnings(&text), Vec::<String>::new(), "{kind} {name}");
        let mine = load(&text).unwrap().set.entry(kind, "mine").unwrap();
        assert_eq!(mine.table(), entry.table(), "{kind} {name}");
        let mut whole = toml::Table::new();
        let tables = toml::Table::from_iter([("mine".to_owned(), toml::Value::Table(entry.table()))]);
        whole.insert(kind.to_owned(), toml::Value::Table(tables));
        if kind != "ladder" {
            whole = toml::Table::from_iter([("policy".to_owned(), toml::Value::Table(whole))]);
        }
        let written = toml::to_string(&whole).unwrap();
        // Only here the third wait of the registry's client is complained about: it now stands in a file.
        let is_s4 = kind == "retry" && name.starts_with("s4-discovery");
        assert_eq!(warnings(&written).len(), usize::from(is_s4), "{written}");
        count += 1;
    }
    assert!(count >= 30, "{count}");
}

// What is refused.

#[test]
fn every_unknown_key_and_every_wrong_type_is_told_with_its_line() {
    let text = "\
[policy.breaker.x]
colour = 1
windw = '10s'
trip = [ { failures = 'five' },
         { ratio = 0.5, min = 20, max = 3 } ]
open = { for = 30, grwth = 2.0, max = '2m' }
half_open.admit = 'three'

[policy.retry.y]
attempts = '3'
on = [ 'failed', 'tmeout',
       'late' ]
jitter = { kind = 'sometimes' }
backoff.base = 5
";
    let problems = refused(text);
    let about: Vec<&str> = problems.iter().map(|p| p.split(": ").next().unwrap()).collect();
    let keys: Vec<&str> = problems.iter().map(|p| p.split(": ").nth(1).unwrap()).collect();
    assert_eq!(
        about
            .iter()
            .zip(&keys)
            .map(|(a, k)| format!("{} {k}", &a["policies.toml:".len()..]))
            .collect::<Vec<_>>(),
        [
            "2 policy.breaker.x.colour",
            "3 policy.breaker.x.windw",
            "4 policy.breaker.x.trip[0].failures",
            "5 policy.breaker.x.trip[1].max",
            "6 policy.breaker.x.open.for",
            "6 policy.breaker.x.open.grwth",
            "7 policy.breaker.x.half_open.admit",
            "10 policy.retry.y.attempts",
            "11 policy.retry.y.on[1]",
            "12 policy.retry.y.on[2]",
            "13 policy.retry.y.jitter.kind",
            "14 policy.retry.y.backoff.base",
        ],
        "{problems:#?}"
    );
    assert!(
        problems[5].contains("unknown field `grwth`") && problems[5].contains("`growth`"),
        "{}",
        problems[5]
    );
}

#[test]
fn a_duration_without_a_unit_is_refused_with_advice() {
    assert_one(
        &refused("[policy.breaker.x]\nopen = { for = '30' }\n"),
        "policies.toml:2: policy.breaker.x.open.for: ",
        &["\"30\" is not a duration", "\"30s\""],
    );
}

#[test]
fn what_a_policys_own_check_finds_is_told_at_the_line_of_its_key() {
    let text = "\
[policy.breaker.x]
window = '10s'

[policy.breaker.x.open]
for = '30s'
growth = 0.5

[policy.retry.y]
preset = 's1-read'
attempts = 11

[policy.budget.z]
ratio = 1.5
";
    let problems = refused(text);
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems[0].starts_with("policies.toml:6: policy.breaker.x.open.growth: use 1 (constant)"));
    assert!(problems[1].starts_with("policies.toml:10: policy.retry.y.attempts: use 1 (no retry) to 10"));
    assert!(problems[2].starts_with("policies.toml:13: policy.budget.z.ratio: use 0 to 1"));
}

#[test]
fn a_key_that_is_not_in_the_file_is_told_at_its_table() {
    // 2m is the default's, and the file only says `for`.
    assert_one(
        &refused("\n\n[policy.breaker.x.open]\nfor = '5m'\n"),
        "policies.toml:3: policy.breaker.x.open.max: use at least open.for (5m)",
        &[],
    );
}

#[test]
fn a_wrong_type_does_not_hide_what_is_wrong_elsewhere_in_its_table() {
    let text = "[policy.breaker.x]\nwindow = 10\nopen = { for = '0s' }\n";
    let problems = refused(text);
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[1].starts_with("policies.toml:3: policy.breaker.x.open.for: use 30s"));
}

#[test]
fn what_was_taken_out_is_not_missed() {
    let text = "[policy.breaker.x]\ntrip = [ { failures = 'five' } ]\nopen = { for = '5m', max = 5 }\n";
    let problems = refused(text);
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].starts_with("policies.toml:2: policy.breaker.x.trip[0].failures: "), "{problems:#?}");
    assert!(
        problems[1].starts_with("policies.toml:3: policy.breaker.x.open.max: invalid type"),
        "{problems:#?}"
    );
}

#[test]
fn a_text_that_is_no_toml_is_one_problem_with_its_line() {
    assert_one(&refused("[policy.breaker.x]\n\nwindow = \n"), "policies.toml:3: ", &[]);
    assert_one(&refused("[policy.budget.x]\n[policy.budget.x]\n"), "policies.toml:2: duplicate key", &[]);
    assert_one(&refused("x"), "policies.toml:1: ", &[]);
}

#[test]
fn names_of_nothing_are_told_with_the_nearest() {
    let text = "\
[policy.breaker.ranking]
[policy.call.a]
breaker = 'rankin'
retry = 's1-raed'
budget = 'edge'
hedge = 'none'
bulkhead = 's3-service-d'
calls = ['a-b', 'b']
fallback = { to = 'redis', bulkhead = 'zzz' }
[policy.call.b]
[policy.breaker.from]
preset = 's2-linsk'
[policy.braker.x]
";
    let problems = refused(text);
    for (line, part) in [
        (
            3,
            "policy.call.a.breaker: use the name of a breaker policy, or write [policy.breaker.rankin]; there is none; did you mean ranking?",
        ),
        (4, "did you mean s1-read"),
        (5, "[policy.budget.edge]; there is none"),
        (6, "[policy.hedge.none]"),
        (7, "did you mean s3-service-a, s3-service-b or s3-service-c?"),
        (8, "policy.call.a.calls[0]: use the name of a call"),
        (9, "policy.call.a.fallback.to"),
        (9, "policy.call.a.fallback.bulkhead"),
        (12, "policy.breaker.from.preset: use one of s2-links; there is none called \"s2-linsk\""),
        (13, "policy.braker: use one of call, breaker"),
    ] {
        let place = format!("policies.toml:{line}: ");
        assert!(
            problems.iter().any(|p| p.starts_with(&place) && p.contains(part)),
            "{line} {part}: {problems:#?}"
        );
    }
    assert_eq!(problems.len(), 10, "{problems:#?}");
}

#[test]
fn a_policy_that_cannot_be_read_is_not_also_a_name_of_nothing() {
    let text = "[policy.breaker.x]\nwindow = 1\n[policy.call.a]\nbreaker = 'x'\n";
    assert_one(&refused(text), "policies.toml:2: policy.breaker.x.window: ", &[]);
}

#[test]
fn names_are_short_and_plain_and_never_a_presets() {
    let long = "x".repeat(65);
    let text = format!(
        "[policy.budget.'a b']\n[policy.budget.{long}]\n[policy.breaker.s2-links]\n[policy.budget.Edge]\n"
    );
    let problems = refused(&text);
    assert_eq!(problems.len(), 4, "{problems:#?}");
    assert!(problems[2].starts_with("policies.toml:3: policy.breaker.s2-links: use another name"));
    assert!(problems[3].contains("1 to 64 characters a-z, 0-9 and -"));
}

#[test]
fn what_is_no_table_is_told_as_such() {
    for (text, begins) in [
        ("policy = 1", "policies.toml:1: policy: use tables"),
        ("policy.breaker = 1", "policies.toml:1: policy.breaker: use a table with a name"),
        ("policy.breaker.x = 's2-links'", "policies.toml:1: policy.breaker.x: use a table"),
        ("ladder = []", "policies.toml:1: ladder: use a table with a name"),
        ("[[policy.breaker.x]]", "policies.toml:1: policy.breaker.x: use a table"),
        ("[balancer]\nlisten = 1", "policies.toml:1: balancer: use [policy.KIND.NAME]"),
        ("[policy.breaker.x]\npreset = 7", "policies.toml:2: policy.breaker.x.preset: use one of"),
        ("[policy.call.x]\npreset = 'a'", "policies.toml:2: policy.call.x.preset: use none"),
        ("[policy.call.x]\nfallback = 7", "policies.toml:2: policy.call.x.fallback: use a word"),
    ] {
        assert_one(&refused(text), begins, &[]);
    }
}

#[test]
fn the_other_tables_of_a_configuration_file_are_somebody_elses() {
    let text = "[balancer]\nlisten = 1\n[policy.breaker.x]\nwindow = 1\n";
    let problems = file::parse_within(text, "seawall.toml").unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().starts_with("seawall.toml:4: policy.breaker.x.window: "));
}

#[test]
fn everything_has_an_end() {
    let many: String = (0..=file::POLICIES_MAX).map(|n| format!("[policy.budget.b{n}]\n")).collect();
    assert_one(&refused(&many), "policies.toml:1001: policy.budget.b1000: use at most 1000 policies", &[]);
    assert_one(&refused(&" ".repeat(file::TEXT_MAX + 1)), "policies.toml:1: use at most 1048576 bytes", &[]);
    let long: String = (0..=file::VALUES_MAX).map(|n| format!("k{n} = 1\n")).collect();
    assert_one(
        &refused(&format!("[policy.budget.b]\n{long}")),
        "policies.toml:1: policy.budget.b: use at most 1000 values",
        &[],
    );
    let wrong: String = (0..1_000).map(|n| format!("k{n} = 1\n")).collect();
    let problems = refused(&format!("[policy.budget.b]\n{wrong}"));
    assert_eq!(problems.len(), file::PROBLEMS_MAX + 1);
    assert!(problems[file::PROBLEMS_MAX].ends_with("there is more; mend these first"));
    for deep in [format!("policy{}", ".a".repeat(100_000)), format!("a = {}", "[".repeat(100_000))] {
        assert!(load(&deep).is_err());
    }
    let chain: String =
        (0..20).map(|n| format!("[policy.call.c{n}]\ncalls = ['c{}']\n", n + 1)).collect::<String>()
            + "[policy.call.c20]\n";
    assert_one(
        &refused(&chain),
        "policies.toml:2: policy.call.c0.calls: use at most 16 calls",
        &["there are 21"],
    );
}

// What may come.

/// Lines that are nearly right.
fn lines() -> impl Strategy<Value = String> {
    const NAME: &str = "(a|b|edge|s2-links|x y|\\.)";
    const KINDS: &str = "(call|breaker|retry|budget|hedge|shed|bulkhead|rate|adaptive|defaults)";
    const KEY: &str = "(deadline|timeout|retry|budget|breaker|hedge|bulkhead|fallback|calls|preset|window|trip|open|\
                       open\\.for|attempts|on|jitter|backoff|rung|level|enter|exit|rate|burst|steps|idempotent)";
    const VALUE: &str = "('[a-z0-9.% >()-]{0,12}'|'(a|b|edge|s1-read|s2-links|50ms|10s|0s|1h)'|[0-9]{1,20}|-?[0-9]\\.[0-9]|\
                         true|\\['a', 'b'\\]|\\[1, \\{\\}\\]|\\{ to = 'a', kind = 'full', for = '1s' \\}|\\[)";
    let matching = |pattern: String| proptest::string::string_regex(&pattern).expect("a pattern of ours");
    let line = prop_oneof![
        matching(format!("\\[policy\\.{KINDS}\\.{NAME}\\]")),
        matching(format!("\\[\\[?ladder\\.{NAME}(\\.rung)?\\]?\\]")),
        matching(format!("{KEY} = {VALUE}")),
        matching("[ -~]{0,30}".to_owned()),
    ];
    proptest::collection::vec(line, 0..24).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_taken_or_refused_and_every_problem_lies_within_it(text in lines()) {
        let last = text.matches('\n').count() + 1;
        let problems = match load(&text) {
            Ok(loaded) => {
                for entry in loaded.set.entries().filter(|entry| !entry.is_preset()) {
                    prop_assert!(loaded.set.explain(&entry.full_name()).is_some());
                }
                loaded.warnings
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                problems
            }
        };
        for problem in problems {
            prop_assert!((1..=last).contains(&problem.line), "{problem} of {last} lines");
            prop_assert!(!problem.message.contains('\n') && problem.message.len() > 3);
        }
    }

    #[test]
    fn any_characters_at_all_are_taken_or_refused(text in "\\PC{0,200}") {
        drop(load(&text));
    }
}
#[test]
fn a_number_that_is_none_is_told_at_its_key_and_nothing_panics() {
    for (key, written) in [
        ("policy.retry.x.jitter.ratio", "[policy.retry.x.jitter]\nkind = 'symmetric'\nratio ="),
        ("policy.retry.x.timeout_growth", "[policy.retry.x]\ntimeout_growth ="),
        ("policy.retry.x.backoff.factor", "[policy.retry.x.backoff]\nfactor ="),
        ("policy.budget.x.ratio", "[policy.budget.x]\nratio ="),
        ("policy.breaker.x.open.growth", "[policy.breaker.x.open]\ngrowth ="),
        ("policy.adaptive.x.tolerance", "[policy.adaptive.x]\ntolerance ="),
    ] {
        let kind = key.split('.').nth(1).unwrap();
        let call = match kind {
            "adaptive" => String::new(),
            kind => format!("[policy.call.y]\n{kind} = 'x'\ntimeout = '100ms'\nidempotent = true\n"),
        };
        for number in ["nan", "inf", "-inf", "-nan"] {
            let told = refused(&format!("{written} {number}\n{call}"));
            assert!(
                told.iter().any(|line| line.contains(&format!(" {key}: use "))),
                "{key} {number}: {told:?}"
            );
        }
    }
}
