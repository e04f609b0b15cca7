//! What may be written only in its one place. Clippy bans some of this too, precisely; here it is
//! plain text, and sees what an `expect` above the line would hide from Clippy.

use super::source::{code, is_test_file, shipped};
use super::tree::{Problem, Tree, crate_of};

/// Tools that run beside the product: they measure real time and start real processes.
const TOOLS: &[&str] = &["xtask", "seawall-lab"];

/// Tasks are spawned through `Tasks`: a panic must end the system or close its connection, and a
/// bare spawn swallows it.
pub(crate) fn spawning(tree: &Tree) -> Vec<Problem> {
    let words = ["tokio::spawn", "task::spawn", "task::spawn_blocking", "task::spawn_local"];
    outside(tree, &["seawall-net"], &words, "spawn through seawall_net's Tasks, or nobody sees it panic")
}

/// Time is an argument, or a drill of a week would take a week.
pub(crate) fn clocks(tree: &Tree) -> Vec<Problem> {
    let words = ["Instant::now", "SystemTime::now"];
    outside(tree, &["seawall-net"], &words, "time is an argument: take `now`, or ask the Clock")
}

/// A loop that counts its own attempts and asks no policy has no budget and no jitter.
pub(crate) fn retry_loops(tree: &Tree) -> Vec<Problem> {
    const COUNTERS: &[&str] = &["attempt", "attempts", "tries", "retries"];
    // Whoever asks the policy, or carries out what an `Exchange` decided by it, has to count for it.
    const ASKING: &[&str] = &["retry::", "Step::Retry"];
    let mut problems = Vec::new();
    for (path, text) in product(tree, &["seawall-policy", "seawall-drill"]) {
        let text = shipped(text);
        if ASKING.iter().any(|asking| text.contains(asking)) {
            continue;
        }
        for (number, line) in numbered(&text) {
            let counted = COUNTERS.iter().any(|counter| {
                has_word(line, &format!("{counter} += 1")) || has_word(line, &format!("for {counter} in"))
            });
            if counted {
                problems.push(Problem::at(
                    path,
                    number,
                    "a retry loop made by hand: ask seawall_policy::retry",
                ));
            }
        }
    }
    problems
}

/// An ignored test is a skip nobody listed.
pub(crate) fn ignored_tests(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.named(".rs") {
        for (number, line) in numbered(&code(text)) {
            if line.trim_start().starts_with("#[ignore") {
                problems.push(Problem::at(path, number, "an ignored test: let it skip itself and say why"));
            }
        }
    }
    problems
}

fn outside(tree: &Tree, homes: &[&str], words: &[&str], instead: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in product(tree, homes) {
        for (number, line) in numbered(&shipped(text)) {
            if let Some(word) = words.iter().find(|word| has_word(line, word)) {
                problems.push(Problem::at(path, number, format!("`{word}` here: {instead}")));
            }
        }
    }
    problems
}

/// Rust files that are shipped, except in `homes`. Examples show how others use a crate: they bring their own clock
/// and tasks.
fn product<'a>(tree: &'a Tree, homes: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    tree.named(".rs").filter(move |(path, _)| {
        let krate = crate_of(path).unwrap_or_default();
        let is_example = path.contains("/examples/");
        !is_test_file(path) && !is_example && !homes.contains(&krate) && !TOOLS.contains(&krate)
    })
}

pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line))
}

/// Whether `word` stands there and is no part of a longer name.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, text: &str) -> Tree {
        Tree::of(&[(path, text)])
    }

    const LINKS: &str = "crates/seawall-links/src/service.rs";

    #[test]
    fn a_bare_spawn_is_found_outside_net() {
        for line in ["tokio::spawn(f());", "use tokio::task::spawn_blocking;", "    task::spawn(f());"] {
            assert_eq!(spawning(&at(LINKS, line)).len(), 1, "{line}");
            assert_eq!(spawning(&at("crates/seawall-net/src/tasks.rs", line)), []);
        }
        assert_eq!(spawning(&at(LINKS, "std::thread::spawn(f);\n// like tokio::spawn\n")), []);
    }

    #[test]
    fn a_clock_is_found_outside_net_tools_and_tests() {
        let line = "let now = Instant::now();";
        assert_eq!(clocks(&at(LINKS, line)).len(), 1);
        assert_eq!(clocks(&at(LINKS, "std::time::SystemTime::now()")).len(), 1);
        for free in [
            "crates/seawall-net/src/clock.rs",
            "crates/seawall-lab/src/lib.rs",
            "crates/seawall-links/tests/it/main.rs",
            "crates/seawall-policy/examples/breaker.rs",
        ] {
            assert_eq!(clocks(&at(free, line)), [], "{free}");
        }
        let tested = format!("#[cfg(test)]\nmod tests {{\n    fn f() {{ {line} }}\n}}\n");
        assert_eq!(clocks(&at(LINKS, &tested)), []);
    }

    #[test]
    fn a_retry_loop_made_by_hand_is_found() {
        for line in ["attempt += 1;", "for attempt in 0..3 {", "self.retries += 1;"] {
            assert_eq!(retry_loops(&at(LINKS, line)).len(), 1, "{line}");
        }
        for asks in ["use seawall_policy::retry::Policy;", "Step::Retry(target) => (),"] {
            assert_eq!(retry_loops(&at(LINKS, &format!("{asks}\nattempt += 1;\n"))), []);
        }
        assert_eq!(retry_loops(&at("crates/seawall-drill/src/load.rs", "attempts += 1;")), []);
        assert_eq!(retry_loops(&at(LINKS, "entries += 1; // attempt += 1")), []);
    }

    #[test]
    fn an_ignored_test_is_found_with_its_line() {
        let found =
            ignored_tests(&at("crates/a/tests/it/main.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n"));
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("crates/a/tests/it/main.rs:2:"));
    }

    #[test]
    fn a_part_of_a_longer_name_is_no_hit() {
        assert!(has_word("x = Instant::now()", "Instant::now"));
        assert!(!has_word("MyInstant::now()", "Instant::now"));
        assert!(!has_word("Instant::nowhere()", "Instant::now"));
    }
}
