//! What we depend on, from `cargo metadata`: licences, crates the design avoids, and the oldest
//! compiler that builds it all. (cargo-deny knows more, and wants a database from the network.)

use std::collections::BTreeSet;

use serde::Deserialize;

use super::tree::Problem;
use crate::run::{self, Failure};

/// No copyleft, not even per file. `A OR B` passes when one of them is here, `A AND B` when both.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Zlib",
];

/// A crate the design decided against.
struct Avoided {
    name: &'static str,
    /// Also `name-…`.
    family: bool,
    why: &'static str,
    /// Whether it may come along: as an opponent in the lab, or below a crate that needs it.
    nowhere: bool,
}

const AVOIDED: &[Avoided] = &[
    Avoided { name: "pingora", family: true, why: "the data path is ours to explain", nowhere: true },
    Avoided { name: "sozu", family: true, why: "AGPL", nowhere: true },
    Avoided { name: "rocksdb", family: false, why: "data lies in SQL engines one can open", nowhere: true },
    Avoided {
        name: "librocksdb-sys",
        family: false,
        why: "data lies in SQL engines one can open",
        nowhere: true,
    },
    Avoided { name: "sled", family: false, why: "data lies in SQL engines one can open", nowhere: true },
    Avoided { name: "monoio", family: true, why: "one runtime, tokio", nowhere: true },
    Avoided { name: "io-uring", family: false, why: "forbidden in many containers", nowhere: true },
    Avoided { name: "tokio-uring", family: false, why: "forbidden in many containers", nowhere: true },
    Avoided { name: "sqlx", family: true, why: "a write is data here, never a closure", nowhere: true },
    Avoided { name: "moka", family: false, why: "quick_cache on hot paths", nowhere: false },
    Avoided {
        name: "tokio-tungstenite",
        family: false,
        why: "the server has its own RFC 6455",
        nowhere: false,
    },
    Avoided { name: "tonic", family: true, why: "h2 carries gRPC", nowhere: false },
    Avoided { name: "failsafe", family: false, why: "a bench opponent only", nowhere: false },
    Avoided { name: "recloser", family: false, why: "a bench opponent only", nowhere: false },
    Avoided { name: "tower-resilience", family: true, why: "a bench opponent only", nowhere: false },
    Avoided { name: "governor", family: false, why: "a bench opponent only", nowhere: false },
];

/// Avoided in servers, welcome as an independent peer: in tests, and where we are a client ourselves.
const PEERS: &[&str] = &["tokio-tungstenite"];

/// Who speaks to servers as a client.
const CLIENTS: &[&str] = &["seawall", "seawall-drill", LAB];

/// Where an opponent may be named.
const LAB: &str = "seawall-lab";

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    rust_version: Option<String>,
    dependencies: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    /// `dev` or `build`; none for what is shipped.
    kind: Option<String>,
}

impl Named {
    fn is_peer_of(&self, package: &str) -> bool {
        let as_a_client = self.kind.as_deref() == Some("dev") || CLIENTS.contains(&package);
        as_a_client && PEERS.contains(&self.name.as_str())
    }
}

impl Metadata {
    /// Linux only, like the product: what other platforms would pull in is never compiled.
    pub(crate) fn read() -> Result<Metadata, Failure> {
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let args = ["metadata", "--locked", "--format-version", "1", "--filter-platform", &platform];
        let text = run::read(&mut run::cargo(args))?;
        serde_json::from_str(&text).map_err(|e| Failure::new(format!("cargo metadata: {e}")))
    }

    fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    fn others(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| !self.workspace_members.contains(&package.id))
    }
}

impl Package {
    fn problem(&self, what: String) -> Problem {
        Problem::of(&format!("{} {}", self.name, self.version), what)
    }
}

pub(crate) fn licences(metadata: &Metadata) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in &metadata.packages {
        match package.license.as_deref() {
            None => problems.push(package.problem("names no licence".to_owned())),
            Some(licence) if !accepted(licence) => {
                problems.push(package.problem(format!("licence `{licence}` is not on our list")));
            }
            Some(_) => (),
        }
    }
    problems
}

/// Avoided crates: some must be nowhere below us, some must only not be chosen by ourselves.
pub(crate) fn avoided(metadata: &Metadata) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in metadata.others() {
        if let Some(Avoided { why, .. }) = find(&package.name).filter(|avoided| avoided.nowhere) {
            problems.push(package.problem(format!("the design avoids it: {why}")));
        }
    }
    for package in metadata.ours().filter(|package| package.name != LAB) {
        for Named { name, .. } in package.dependencies.iter().filter(|named| !named.is_peer_of(&package.name))
        {
            if let Some(Avoided { why, .. }) = find(name).filter(|avoided| !avoided.nowhere) {
                problems.push(package.problem(format!("depends on {name}, which the design avoids: {why}")));
            }
        }
    }
    problems
}

fn find(name: &str) -> Option<&'static Avoided> {
    AVOIDED.iter().find(|avoided| {
        let rest = name.strip_prefix(avoided.name);
        rest.is_some_and(|rest| rest.is_empty() || avoided.family && rest.starts_with('-'))
    })
}

/// The compiler we state is the newest any dependency asks for: not older, or it would not build;
/// not newer without need.
pub(crate) fn rust_version(metadata: &Metadata) -> Vec<Problem> {
    let newest = metadata
        .others()
        .filter_map(|package| Some((version(package.rust_version.as_deref()?), package)))
        .max_by_key(|(version, _)| *version);
    let Some((needed, package)) = newest else { return Vec::new() };
    let stated = metadata.ours().filter_map(|package| package.rust_version.as_deref());
    let wrong: BTreeSet<_> = stated.filter(|stated| version(stated) != needed).collect();
    let tell = |stated: &str| {
        let asked = package.rust_version.as_deref().unwrap_or_default();
        let what =
            format!("rust-version is {stated}, and {} {} asks for {asked}", package.name, package.version);
        Problem::of("Cargo.toml", what)
    };
    wrong.into_iter().map(tell).collect()
}

/// `1.89` and `1.89.0` are the same.
fn version(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

/// An SPDX expression against our list.
fn accepted(expression: &str) -> bool {
    // The old form `MIT/Apache-2.0` means OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut ok = all_of(rest);
    while let ["OR", tail @ ..] = *rest {
        *rest = tail;
        // Read the other side in any case: it has to be passed by.
        ok |= all_of(rest);
    }
    ok
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut ok = one(rest);
    while let ["AND", tail @ ..] = *rest {
        *rest = tail;
        ok &= one(rest);
    }
    ok
}

fn one(rest: &mut &[&str]) -> bool {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let ok = any_of(rest);
            let closed = rest.first() == Some(&")");
            *rest = rest.get(1..).unwrap_or_default();
            ok && closed
        }
        [name, "WITH", exception, tail @ ..] => {
            *rest = tail;
            LICENCES.contains(&format!("{name} WITH {exception}").as_str())
        }
        [name, tail @ ..] => {
            *rest = tail;
            LICENCES.contains(name)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, licence: Option<&str>, rust: Option<&str>, dependencies: &[&str]) -> Package {
        Package {
            id: name.to_owned(),
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: licence.map(str::to_owned),
            rust_version: rust.map(str::to_owned),
            dependencies: dependencies
                .iter()
                .map(|name| Named { name: (*name).to_owned(), kind: None })
                .collect(),
        }
    }

    /// One crate of ours, one of others'.
    fn tree(ours: Package, other: Package) -> Metadata {
        Metadata { workspace_members: BTreeSet::from([ours.id.clone()]), packages: vec![ours, other] }
    }

    fn ours(dependencies: &[&str]) -> Package {
        package("seawall-net", Some("Apache-2.0 OR MIT"), Some("1.89"), dependencies)
    }

    #[test]
    fn licences_are_read_as_the_expressions_they_are() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "Unlicense OR MIT",
            "GPL-3.0-only OR (MIT AND BSD-3-Clause)",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
        ] {
            assert!(accepted(good), "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND MPL-2.0", "AGPL-3.0", "Unlicense", "MIT AND (", "", "MIT MIT"] {
            assert!(!accepted(bad), "{bad}");
        }
    }

    #[test]
    fn a_copyleft_dependency_is_found_and_one_without_a_licence() {
        for licence in [Some("MPL-2.0"), None] {
            let found = licences(&tree(ours(&[]), package("x", licence, None, &[])));
            assert_eq!(found.len(), 1);
        }
    }

    #[test]
    fn a_crate_the_design_avoids_is_found_however_deep() {
        for name in ["pingora-core", "sqlx", "sled"] {
            assert_eq!(avoided(&tree(ours(&[]), package(name, Some("MIT"), None, &[]))).len(), 1, "{name}");
        }
        assert_eq!(avoided(&tree(ours(&[]), package("sledgehammer", Some("MIT"), None, &[]))), []);
    }

    #[test]
    fn an_opponent_may_be_chosen_by_the_lab_only() {
        let governor = || package("governor", Some("MIT"), None, &[]);
        assert_eq!(avoided(&tree(ours(&["governor"]), governor())).len(), 1);
        let lab = package(LAB, Some("MIT"), Some("1.89"), &["governor"]);
        assert_eq!(avoided(&tree(lab, governor())), []);
    }

    #[test]
    fn a_peer_may_be_chosen_by_tests_and_clients_only() {
        let found = |ours: &str, name: &str, kind: Option<&str>| {
            let mut ours = package(ours, None, None, &[name]);
            ours.dependencies[0].kind = kind.map(str::to_owned);
            avoided(&tree(ours, package(name, Some("MIT"), None, &[]))).len()
        };
        assert_eq!(found("seawall-net", "tokio-tungstenite", Some("dev")), 0);
        assert_eq!(found("seawall-net", "tokio-tungstenite", None), 1);
        assert_eq!(found("seawall-drill", "tokio-tungstenite", None), 0);
        assert_eq!(found("seawall-net", "governor", Some("dev")), 1);
    }

    #[test]
    fn the_stated_compiler_is_exactly_the_newest_needed() {
        let check = |asked| rust_version(&tree(ours(&[]), package("x", Some("MIT"), Some(asked), &[]))).len();
        assert_eq!((check("1.89.0"), check("1.90"), check("1.70")), (0, 1, 1));
    }
}
