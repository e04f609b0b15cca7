//! `docs/design-map.md` claims that rules of the design documents are kept. A claim counts when
//! the test it names exists.
//!
//! A table there has a column `Test` and a column `State` (others as one likes). State is `done`,
//! `part` or `open`. A `done` row names at least one test, in backticks: the path of a file, or a
//! function by its crate and modules (`seawall_policy::breaker::tests::fifth_failure_opens`). What
//! a row names must exist, in any state.

use super::bans::{has_word, numbered};
use super::source::code;
use super::tree::{Problem, Tree};

const FILE: &str = "docs/design-map.md";
const STATES: &[&str] = &["done", "part", "open"];

struct Columns {
    count: usize,
    test: usize,
    state: usize,
}

pub(crate) fn rows(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut columns: Option<Columns> = None;
    let mut judged = 0;
    let mut before = Vec::new();
    for (number, line) in numbered(tree.text(FILE)) {
        let Some(cells) = cells(line) else {
            columns = None;
            before.clear();
            continue;
        };
        if cells.iter().all(|cell| is_rule(cell)) {
            // The line above the dashes heads the table.
            columns = header(&before);
        } else if let Some(columns) = &columns {
            judged += 1;
            let found = judge(tree, columns, &cells);
            problems.extend(found.into_iter().map(|what| Problem::at(FILE, number, what)));
        }
        before = cells;
    }
    if judged == 0 {
        problems.push(Problem::of(FILE, "no table with the columns `Test` and `State`, or none with a row"));
    }
    problems
}

/// The cells of a table's line; `\|` is no border.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let hidden = inner.replace("\\|", "\u{0}");
    Some(hidden.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect())
}

fn is_rule(cell: &str) -> bool {
    cell.contains('-') && cell.chars().all(|c| matches!(c, '-' | ':'))
}

fn header(cells: &[String]) -> Option<Columns> {
    let column = |name: &str| cells.iter().position(|cell| cell.eq_ignore_ascii_case(name));
    Some(Columns { count: cells.len(), test: column("test")?, state: column("state")? })
}

fn judge(tree: &Tree, columns: &Columns, cells: &[String]) -> Vec<String> {
    if cells.len() != columns.count {
        return vec![format!("{} cells where the header has {}", cells.len(), columns.count)];
    }
    let (test, state) = (&cells[columns.test], &cells[columns.state]);
    let mut problems = Vec::new();
    if !STATES.contains(&state.as_str()) {
        problems.push(format!("state `{state}` is none of {}", STATES.join(", ")));
    }
    let named: Vec<&str> = test.split('`').skip(1).step_by(2).collect();
    if state == "done" && named.is_empty() {
        problems.push("done, but names no test in backticks".to_owned());
    }
    problems.extend(
        named.iter().filter(|name| !exists(tree, name)).map(|name| format!("there is no test `{name}`")),
    );
    problems
}

fn exists(tree: &Tree, name: &str) -> bool {
    if name.contains('/') {
        return tree.has(name);
    }
    let Some((path, function)) = name.rsplit_once("::") else { return false };
    let krate = path.split("::").next().unwrap_or_default().replace('_', "-");
    let home = format!("crates/{krate}/");
    let signature = format!("fn {function}");
    tree.named(".rs").any(|(path, text)| {
        // The quick look first: blanking comments is needed once in a hundred files.
        path.starts_with(&home) && text.contains(&signature) && has_word(&code(text), &signature)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(row: &str) -> Vec<String> {
        let map = format!("# Map\n\n| Rule | Code | Test | State |\n|---|:--|---|---|\n{row}\n");
        let tree = Tree::of(&[
            (FILE, &map),
            ("crates/seawall-policy/src/ring.rs", "#[test]\nfn a_key_has_one_owner() {}\n// fn gone() {}\n"),
            ("crates/seawall-links/testdata/resume/cut.txt", ""),
        ]);
        rows(&tree).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn good_rows_pass() {
        for row in [
            "| one owner | `ring` | `seawall_policy::ring::tests::a_key_has_one_owner` | done |",
            "| one owner | `ring` | `seawall-policy::a_key_has_one_owner` | part |",
            "| cut | | `crates/seawall-links/testdata/resume/cut.txt` | done |",
            "| a \\| b | | | open |",
        ] {
            assert_eq!(found(row), [""; 0], "{row}");
        }
    }

    #[test]
    fn a_test_that_does_not_exist_is_found() {
        for name in
            ["seawall_policy::ring::gone", "seawall_links::a_key_has_one_owner", "tests/gone.rs", "ring"]
        {
            let problems = found(&format!("| r | c | `{name}` | done |"));
            assert_eq!(problems.len(), 1, "{name}");
            assert!(problems[0].starts_with("docs/design-map.md:5: there is no test"), "{}", problems[0]);
        }
    }

    #[test]
    fn a_done_row_without_a_test_is_found() {
        assert_eq!(found("| r | c | by eye | done |").len(), 1);
    }

    #[test]
    fn another_state_or_a_lost_cell_is_found() {
        assert_eq!(found("| r | c | | nearly |").len(), 1);
        assert_eq!(found("| r | c | open |").len(), 1);
    }

    #[test]
    fn a_map_without_rows_is_found() {
        assert_eq!(rows(&Tree::of(&[])).len(), 1);
        assert_eq!(found("").len(), 1);
    }
}
