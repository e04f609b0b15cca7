//! The shape of the house: files where one looks for them, of a size one can read, that speak of
//! the project alone and of nobody's machine.

use super::bans::{has_word, numbered};
use super::source::code_and_comments;
use super::tree::{Problem, Tree};
use crate::test;

/// Every system has the same files, so that who knows one finds the way in all.
const SYSTEM_FILES: &[&str] = &["lib", "config", "api", "stack", "service", "metrics", "targets"];

/// A system, and whether it keeps data of its own: then only `storage` knows the bytes.
const SYSTEMS: &[(&str, bool)] = &[
    ("seawall-registry", true),
    ("seawall-balancer", false),
    ("seawall-chat", true),
    ("seawall-graph", true),
    ("seawall-feed", true),
    ("seawall-links", true),
    ("seawall-operator", false),
];

/// At this length there is a seam, usually a role or a phase.
const LINES_MAX: usize = 800;

/// What `.ci/run` may say, besides comments: where, and the one command.
const CI_LINES: &[&str] = &["set -euo pipefail", "cd \"$(dirname \"$0\")/..\"", "cargo xtask ci"];

/// The one source of crates; a mirror in the lock file works on one machine only.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn system_files(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (krate, keeps_data) in SYSTEMS.iter().filter(|(krate, _)| tree.has(&format!("crates/{krate}"))) {
        let storage = keeps_data.then_some(&"storage");
        for file in SYSTEM_FILES.iter().chain(storage) {
            let path = format!("crates/{krate}/src/{file}.rs");
            if !tree.has(&path) && !tree.has(&format!("crates/{krate}/src/{file}/mod.rs")) {
                problems.push(Problem::of(&path, "every system has this file"));
            }
        }
    }
    problems
}

pub(crate) fn long_files(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.named(".rs") {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            problems.push(Problem::of(path, format!("{lines} lines: look for the seam (a role, a phase)")));
        }
    }
    problems
}

/// Work left for later belongs where work is planned, not in the code.
pub(crate) fn unfinished(tree: &Tree) -> Vec<Problem> {
    const NOTES: &[&str] = &["TODO", "FIXME", "XXX"];
    const MACROS: &[&str] = &["todo!(", "unimplemented!("];
    let mut problems = Vec::new();
    for (path, text) in tree.files() {
        let text = match path.rsplit('.').next() {
            Some("rs") => code_and_comments(text),
            Some("toml" | "sh" | "sql") => text.to_owned(),
            _ => continue,
        };
        for (number, line) in numbered(&text) {
            let note = NOTES.iter().find(|note| has_word(line, note));
            if let Some(word) = note.or_else(|| MACROS.iter().find(|name| line.contains(*name))) {
                problems.push(Problem::at(path, number, format!("`{word}`: finish it or take it out")));
            }
        }
    }
    problems
}

/// Absolute paths of one machine, which mean nothing on another.
pub(crate) fn machine_paths(tree: &Tree) -> Vec<Problem> {
    let roots = ["work", "root", "home"].map(|root| format!("/{root}/"));
    let mut problems = Vec::new();
    for (path, text) in tree.files() {
        for (number, line) in numbered(text) {
            if let Some(root) = roots.iter().find(|root| begins_path(line, root)) {
                problems.push(Problem::at(path, number, format!("`{root}`: a path of one machine")));
            }
        }
    }
    problems
}

/// Whether `root` stands there as the beginning of a path, not inside one or in an address.
fn begins_path(line: &str, root: &str) -> bool {
    line.match_indices(root).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-./~}*".contains(c))
    })
}

/// Hosts of package indexes: which mirror a machine uses is its own affair.
pub(crate) fn registry_hosts(tree: &Tree) -> Vec<Problem> {
    const HOSTS: &[(&str, &str)] = &[
        ("index", "crates.io"),
        ("static", "crates.io"),
        ("proxy", "golang.org"),
        ("registry", "npmjs.org"),
        ("files", "pythonhosted.org"),
    ];
    let hosts: Vec<_> = HOSTS.iter().map(|(host, domain)| format!("{host}.{domain}")).collect();
    let mut problems = Vec::new();
    for (path, text) in tree.files() {
        for (number, line) in numbered(text) {
            if let Some(host) = hosts.iter().find(|host| line.contains(*host)) {
                problems.push(Problem::at(path, number, format!("`{host}`: no package index is named here")));
            }
        }
    }
    let config = ".cargo/config.toml";
    for (number, line) in numbered(tree.text(config)) {
        let section = line.trim_start();
        if ["[source", "[registr"].iter().any(|begin| section.starts_with(begin)) {
            problems.push(Problem::at(config, number, "sources of crates are set per machine, not here"));
        }
    }
    problems
}

/// Every locked crate comes from crates.io or lies in the tree.
pub(crate) fn lock_sources(tree: &Tree) -> Vec<Problem> {
    let source = format!("source = \"{CRATES_IO}\"");
    numbered(tree.text("Cargo.lock"))
        .filter(|(_, line)| line.starts_with("source = ") && *line != source)
        .map(|(number, line)| Problem::at("Cargo.lock", number, format!("{line}: use crates.io")))
        .collect()
}

/// The server runs what everybody can run, and nothing else.
pub(crate) fn ci_script(tree: &Tree) -> Vec<Problem> {
    let path = ".ci/run";
    let lines: Vec<_> = numbered(tree.text(path))
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .collect();
    let mut problems: Vec<_> = lines
        .iter()
        .filter(|(_, line)| !CI_LINES.contains(line))
        .map(|(number, line)| {
            Problem::at(path, *number, format!("`{line}`: make it a stage of `cargo xtask ci`"))
        })
        .collect();
    if !lines.iter().any(|(_, line)| *line == "cargo xtask ci") {
        problems.push(Problem::of(path, "does not run `cargo xtask ci`"));
    }
    problems
}

/// The README tells a newcomer one command for all tests; `ci` runs that one.
pub(crate) fn readme_test_command(tree: &Tree) -> Vec<Problem> {
    let path = "README.md";
    let (mut fenced, mut told, mut problems) = (false, false, Vec::new());
    for (number, line) in numbered(tree.text(path)) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let command = line.trim().trim_start_matches("$ ").split('#').next().unwrap_or_default().trim();
        if !fenced || !is_test_command(command) {
            continue;
        }
        told |= command == test::README_LINE;
        if command != test::README_LINE {
            problems.push(Problem::at(path, number, format!("`{command}`: ci runs `{}`", test::README_LINE)));
        }
    }
    if !told {
        problems
            .push(Problem::of(path, format!("does not tell how to run all tests: `{}`", test::README_LINE)));
    }
    problems
}

fn is_test_command(command: &str) -> bool {
    command.contains("cargo") && command.split_whitespace().any(|word| matches!(word, "test" | "nextest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_without_one_of_its_files_is_found() {
        let mut files: Vec<(String, &str)> =
            SYSTEM_FILES.iter().map(|file| (format!("crates/seawall-links/src/{file}.rs"), "")).collect();
        files.push(("crates/seawall-links/src/storage/mod.rs".to_owned(), ""));
        let tree = |files: &[(String, &str)]| {
            Tree::of(&files.iter().map(|(path, text)| (path.as_str(), *text)).collect::<Vec<_>>())
        };
        assert_eq!(system_files(&tree(&files)), []);
        files.remove(3);
        let found = system_files(&tree(&files));
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().contains("seawall-links/src/stack.rs"));
    }

    #[test]
    fn a_system_that_does_not_exist_yet_needs_no_files() {
        assert_eq!(system_files(&Tree::of(&[("README.md", "")])), []);
    }

    #[test]
    fn line_801_is_one_too_many() {
        let text = "x\n".repeat(801);
        assert_eq!(long_files(&Tree::of(&[("a.rs", &text)])).len(), 1);
        assert_eq!(long_files(&Tree::of(&[("a.rs", &text[2..])])), []);
    }

    #[test]
    fn work_left_for_later_is_found_in_code_and_comments_not_in_strings() {
        for line in ["// TODO: more", "fn f() { todo!() }", "x(); // FIXME", "unimplemented!(\"x\")"] {
            assert_eq!(unfinished(&Tree::of(&[("a.rs", line)])).len(), 1, "{line}");
        }
        assert_eq!(unfinished(&Tree::of(&[("a.rs", "let words = [\"TODO\"];"), ("b.md", "TODO")])), []);
    }

    #[test]
    fn a_path_of_one_machine_is_found_in_any_file() {
        for root in ["work", "root", "home"] {
            let line = format!("see \"/{root}/x\" there");
            assert_eq!(machine_paths(&Tree::of(&[("docs/a.md", &line)])).len(), 1, "{line}");
            let address = format!("https://example.com/{root}/x and a/{root}/b");
            assert_eq!(machine_paths(&Tree::of(&[("docs/a.md", &address)])), []);
        }
    }

    #[test]
    fn a_package_index_is_found_in_text_and_in_cargo_s_settings() {
        let line = format!("get it from https://index.{}/x", "crates.io");
        assert_eq!(registry_hosts(&Tree::of(&[("docs/a.md", &line)])).len(), 1);
        let config = "[alias]\n[source.crates-io]\nreplace-with = \"mine\"\n[registries.mine]\n";
        assert_eq!(registry_hosts(&Tree::of(&[(".cargo/config.toml", config)])).len(), 2);
    }

    #[test]
    fn a_locked_crate_from_elsewhere_is_found() {
        let good = format!("source = \"{CRATES_IO}\"\n");
        assert_eq!(lock_sources(&Tree::of(&[("Cargo.lock", &good)])), []);
        let git = "source = \"git+https://example.com/x\"\n";
        assert_eq!(lock_sources(&Tree::of(&[("Cargo.lock", git)])).len(), 1);
    }

    #[test]
    fn a_second_command_for_the_server_is_found() {
        let good =
            "#!/usr/bin/env bash\n# why\nset -euo pipefail\ncd \"$(dirname \"$0\")/..\"\ncargo xtask ci\n";
        assert_eq!(ci_script(&Tree::of(&[(".ci/run", good)])), []);
        let more = format!("{good}cargo test --workspace\n");
        assert_eq!(ci_script(&Tree::of(&[(".ci/run", &more)])).len(), 1);
        assert_eq!(ci_script(&Tree::of(&[(".ci/run", "cargo xtask ci || true\n")])).len(), 2);
        assert_eq!(ci_script(&Tree::of(&[])).len(), 1);
    }

    #[test]
    fn another_test_command_in_the_readme_is_found() {
        let readme = |line: &str| format!("# Seawall\n```sh\n{line}\n```\nor `cargo test` at your leisure\n");
        let check = |line: &str| readme_test_command(&Tree::of(&[("README.md", &readme(line))])).len();
        assert_eq!(check("cargo xtask test   # 4 min"), 0);
        assert_eq!(check("cargo test --workspace"), 2);
        assert_eq!(check("cargo xtask test\ncargo nextest run"), 1);
        assert_eq!(check("cargo run -- up"), 1);
    }
}
