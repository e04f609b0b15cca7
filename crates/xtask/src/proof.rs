//! `docs/proof.md`: what was run with large counts, on which commit, with which seed.
//!
//! A row is only worth something if it can be run again, so a tree with changes nobody committed
//! is refused, or says so in the row.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::run::{self, Failure};

const FILE: &str = "docs/proof.md";

const HEADER: &str = "# Proof

Long runs: appended by `cargo xtask soak` and `cargo xtask fuzz`, one row each, never edited.
A row can be run again: check out the commit and pass the seed.

| when (UTC) | commit | run | seed | result | counts |
|---|---|---|---|---|---|
";

/// The tree a run is about to prove something for.
pub(crate) struct Tree {
    commit: String,
}

/// One row, less what [`append`] adds by itself.
pub(crate) struct Run {
    /// As typed after `cargo xtask`.
    pub(crate) line: String,
    pub(crate) seed: u64,
    pub(crate) passed: bool,
    /// Name and number, in the order to print.
    pub(crate) counts: Vec<(String, String)>,
}

impl Tree {
    /// Asked before the run, so that nobody waits for hours to be refused.
    pub(crate) fn check(dirty_allowed: bool) -> Result<Tree, Failure> {
        let commit = run::read(run::command("git").args(["rev-parse", "--short=12", "HEAD"]))?;
        // Our own rows are no change to what is proved.
        let ours = format!(":!{FILE}");
        let changes = run::read(run::command("git").args(["status", "--porcelain", "--", ".", &ours]))?;
        Tree::judge(commit.trim(), !changes.is_empty(), dirty_allowed)
    }

    fn judge(commit: &str, dirty: bool, dirty_allowed: bool) -> Result<Tree, Failure> {
        match (dirty, dirty_allowed) {
            (false, _) => Ok(Tree { commit: commit.to_owned() }),
            (true, true) => Ok(Tree { commit: format!("{commit} + changes") }),
            (true, false) => Err(Failure::new(
                "the tree has uncommitted changes, so the row could not be run again; commit, or pass --dirty",
            )),
        }
    }
}

/// Adds a row; makes the file with its header first where there is none.
pub(crate) fn append(tree: &Tree, run: &Run) -> Result<(), Failure> {
    let when = run::read(run::command("date").args(["-u", "+%F %H:%M"]))?;
    let row = row(when.trim(), tree, run);
    write(Path::new(FILE), &row).map_err(|e| Failure::new(format!("cannot write {FILE}: {e}")))?;
    print!("{FILE}: {row}");
    Ok(())
}

fn row(when: &str, tree: &Tree, run: &Run) -> String {
    let counts: Vec<_> = run.counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let result = if run.passed { "passed" } else { "FAILED" };
    format!(
        "| {when} | {} | `{}` | {} | {result} | {} |\n",
        tree.commit,
        run.line,
        run.seed,
        counts.join(", ").replace('|', "/")
    )
}

fn write(path: &Path, row: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    if file.metadata()?.len() == 0 {
        file.write_all(HEADER.as_bytes())?;
    }
    file.write_all(row.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncommitted_changes_are_refused_or_said() {
        assert!(Tree::judge("abc", true, false).is_err());
        assert_eq!(Tree::judge("abc", true, true).unwrap().commit, "abc + changes");
        assert_eq!(Tree::judge("abc", false, false).unwrap().commit, "abc");
    }

    #[test]
    fn a_row_tells_commit_seed_result_and_counts() {
        let run = Run {
            line: "soak links-kills --kills 50".to_owned(),
            seed: 7,
            passed: false,
            counts: vec![("kills".to_owned(), "50".to_owned()), ("lost".to_owned(), "1".to_owned())],
        };
        let row = row("2026-01-02 03:04", &Tree { commit: "abc".to_owned() }, &run);
        assert_eq!(
            row,
            "| 2026-01-02 03:04 | abc | `soak links-kills --kills 50` | 7 | FAILED | kills 50, lost 1 |\n"
        );
    }

    #[test]
    fn the_header_is_written_once() {
        let dir = std::env::temp_dir().join(format!("xtask-proof-{}", std::process::id()));
        let path = dir.join("docs/proof.md");
        write(&path, "| first |\n").unwrap();
        write(&path, "| second |\n").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{HEADER}| first |\n| second |\n"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
