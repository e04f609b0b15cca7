//! The repository as text in memory, so that a rule is a function and its test a few strings.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::run::Failure;

/// Folders that are no part of the project, wherever they lie.
const PASSED_OVER: &[&str] = &[".git", "target", "seawall-data"];

/// Path from the top, with `/`, to content.
#[derive(Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, String>);

/// Something to mend, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    path: String,
    /// From 1; 0 is the whole file.
    line: usize,
    what: String,
}

impl Problem {
    pub(crate) fn at(path: &str, line: usize, what: impl Into<String>) -> Problem {
        Problem { path: path.to_owned(), line, what: what.into() }
    }

    pub(crate) fn of(path: &str, what: impl Into<String>) -> Problem {
        Problem::at(path, 0, what)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

impl Tree {
    /// Reads the current directory. Walks rather than asking git, so that it works in an archive.
    pub(crate) fn read() -> Result<Tree, Failure> {
        let mut tree = Tree::default();
        tree.walk(Path::new("."), "").map_err(|e| Failure::new(format!("cannot read the tree: {e}")))?;
        Ok(tree)
    }

    fn walk(&mut self, dir: &Path, prefix: &str) -> std::io::Result<()> {
        for entry in dir.read_dir()? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() && !PASSED_OVER.contains(&name.as_str()) {
                self.walk(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                // Pictures and the like exist, and say nothing a rule could read.
                let text = String::from_utf8(std::fs::read(entry.path())?).unwrap_or_default();
                self.0.insert(path, text);
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        Tree(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A file, or a folder that holds one.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        path.is_empty()
            || self.0.contains_key(path)
            || self.0.range(folder.clone()..).next().is_some_and(|(first, _)| first.starts_with(&folder))
    }

    /// The content; empty where there is no such file.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.0.get(path).map_or("", String::as_str)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Files whose path ends so.
    pub(crate) fn named<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files().filter(move |(path, _)| path.ends_with(ending))
    }

    /// Directory name and manifest of each crate.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter_map(|(path, text)| {
            let name = path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
            (!name.contains('/')).then_some((name, text))
        })
    }
}

/// The crate a path lies in, by directory name.
pub(crate) fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_when_a_file_in_it_is() {
        let tree = Tree::of(&[("docs/why.md", ""), ("docs-old.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/") && tree.has("docs/why.md"));
        assert!(!tree.has("doc") && !tree.has("docs/how.md"));
    }

    #[test]
    fn a_manifest_further_down_is_none_of_the_crates() {
        let tree =
            Tree::of(&[("crates/a/Cargo.toml", "A"), ("crates/a/fuzz/Cargo.toml", "F"), ("Cargo.toml", "T")]);
        assert_eq!(tree.manifests().collect::<Vec<_>>(), [("a", "A")]);
    }

    #[test]
    fn problems_read_like_a_compiler_s() {
        assert_eq!(Problem::at("a.rs", 3, "why").to_string(), "a.rs:3: why");
        assert_eq!(Problem::of("a.rs", "why").to_string(), "a.rs: why");
    }
}
