//! Documentation that is not true is a bug: warnings of rustdoc are errors, and a relative link in
//! a Markdown file must lead to a file that exists, and to a heading it has.

use std::collections::BTreeSet;

use crate::run::{self, Failure};
use crate::tidy::tree::{Problem, Tree};

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::usage(format!("docs takes no argument, not `{arg}`")));
    }
    let problems = dead_links(&Tree::read()?);
    for problem in &problems {
        println!("{problem}");
    }
    run::must(run::cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    match problems.len() {
        0 => Ok(()),
        n => Err(Failure::new(format!("{n} links lead nowhere"))),
    }
}

fn dead_links(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.named(".md") {
        for (number, line) in prose(text) {
            for link in links(&line) {
                if let Err(why) = follow(tree, path, link) {
                    problems.push(Problem::at(path, number, format!("link `{link}`: {why}")));
                }
            }
        }
    }
    problems
}

/// Lines outside fenced code, inline code blanked, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(i, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        let spoken = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        (!fenced).then_some((i + 1, spoken))
    })
}

/// Targets of `[text](target)` and `[name]: target`.
fn links(line: &str) -> Vec<&str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    // A title may follow the target: `(file.md "Title")`.
    inline.chain(definition).filter_map(|target| target.split_whitespace().next()).collect()
}

fn follow(tree: &Tree, from: &str, link: &str) -> Result<(), String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(());
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { from.to_owned() } else { resolve(from, file)? };
    if !tree.has(&path) {
        return Err(format!("there is no {path}"));
    }
    match anchor {
        Some(anchor) if path.ends_with(".md") && !headings(tree.text(&path)).contains(anchor) => {
            Err(format!("{path} has no heading #{anchor}"))
        }
        _ => Ok(()),
    }
}

/// `file` as seen from the file `from`, as a path from the top.
fn resolve(from: &str, file: &str) -> Result<String, String> {
    let mut parts: Vec<&str> = match file.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect(),
    };
    for part in file.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            parts.pop().ok_or("it leaves the repository")?;
        } else {
            parts.push(part);
        }
    }
    Ok(parts.join("/"))
}

/// Anchors as forges make them: lower case, blanks to hyphens, punctuation gone.
fn headings(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        let title = line.trim_start_matches('#');
        if !fenced && title.len() < line.len() && title.starts_with(' ') {
            found.insert(anchor(title.trim()));
        }
    }
    found
}

fn anchor(title: &str) -> String {
    title
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(readme: &str) -> Tree {
        Tree::of(&[
            ("README.md", readme),
            ("docs/why.md", "# Why?\n\n## What it is, and not\n[up](../README.md)\n"),
            ("crates/seawall/src/main.rs", ""),
        ])
    }

    #[test]
    fn links_to_files_folders_headings_and_the_web_are_followed_or_left() {
        let text = "[a](docs/why.md) [b](docs/why.md#what-it-is-and-not) [c](crates/seawall) [d](https://example.com/x)\n[e]: docs/why.md\n";
        assert_eq!(dead_links(&tree(text)), []);
    }

    #[test]
    fn a_dead_link_is_found_with_its_line() {
        for dead in ["[a](docs/how.md)", "[a](docs/why.md#how)", "[a](../x.md)", "[a]: docs/how.md"] {
            let found = dead_links(&tree(&format!("first line\n{dead}\n")));
            assert_eq!(found.len(), 1, "{dead}");
            assert!(found[0].to_string().starts_with("README.md:2: "), "{}", found[0]);
        }
    }

    #[test]
    fn code_is_no_link() {
        assert_eq!(dead_links(&tree("`x[0](gone.md)`\n```\n[a](gone.md)\n```\n")), []);
    }
}
