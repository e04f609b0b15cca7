//! Who may depend on whom: the table of the design document, as data.
//!
//! A crate depends only downwards, so systems of one layer never import each other: what two of
//! them need moves down, or crosses the network as it would between machines.

use toml::{Table, Value};

use super::tree::{Problem, Tree, crate_of};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// Part of the product; depends on lower numbers only.
    Product(u8),
    /// For tests and benches: sees everything, seen by `dev-dependencies` only.
    Dev,
    /// Builds the rest, so depends on none of it.
    Build,
}

const LAYERS: &[(&str, Layer)] = &[
    ("seawall", Layer::Product(4)),
    ("seawall-registry", Layer::Product(3)),
    ("seawall-balancer", Layer::Product(3)),
    ("seawall-chat", Layer::Product(3)),
    ("seawall-graph", Layer::Product(3)),
    ("seawall-feed", Layer::Product(3)),
    ("seawall-links", Layer::Product(3)),
    ("seawall-operator", Layer::Product(3)),
    ("seawall-cluster", Layer::Product(2)),
    ("seawall-consensus", Layer::Product(2)),
    ("seawall-drill", Layer::Product(2)),
    ("seawall-store", Layer::Product(1)),
    ("seawall-net", Layer::Product(1)),
    ("seawall-policy", Layer::Product(0)),
    ("seawall-lab", Layer::Dev),
    ("seawall-sim", Layer::Dev),
    ("xtask", Layer::Build),
];

/// Arrows within one layer, each argued in the design document: `Tasks` and metrics.
const SIDEWAYS: &[(&str, &str)] = &[("seawall-store", "seawall-net")];

/// Crates that only some may see, ours and others'.
struct Reserved {
    name: &'static str,
    to: &'static [&'static str],
    why: &'static str,
}

const RESERVED: &[Reserved] = &[
    Reserved {
        name: "seawall-consensus",
        to: &["seawall-registry", "seawall-sim"],
        why: "whoever needs agreement asks the registry",
    },
    Reserved { name: "rusqlite", to: &["seawall-store"], why: "SQL engines live in the store" },
    Reserved { name: "tokio-postgres", to: &["seawall-store"], why: "SQL engines live in the store" },
    Reserved { name: "deadpool-postgres", to: &["seawall-store"], why: "SQL engines live in the store" },
    Reserved { name: "openraft", to: &["seawall-consensus"], why: "Raft lies behind one seam" },
];

/// Names that gather whatever nobody could place.
const NAMES_REFUSED: &[&str] = &["core", "common", "util", "utils", "types", "macros", "helpers", "shared"];

struct Dependency {
    name: String,
    dev: bool,
    value: Value,
}

/// Only downwards, and only to crates that have a place.
pub(crate) fn edges(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (krate, manifest) in tree.manifests() {
        let path = format!("crates/{krate}/Cargo.toml");
        let Some(layer) = layer(krate) else {
            problems.push(Problem::of(&path, format!("{krate} has no layer: place it in the table first")));
            continue;
        };
        for dependency in dependencies(manifest) {
            let Some(below) = layer_of_ours(&dependency.name, tree) else { continue };
            if let Err(why) = allowed(krate, layer, &dependency, below) {
                problems.push(Problem::of(
                    &path,
                    format!("{krate} may not depend on {}: {why}", dependency.name),
                ));
            }
        }
    }
    problems
}

fn allowed(krate: &str, layer: Layer, dependency: &Dependency, below: Layer) -> Result<(), &'static str> {
    match (layer, below) {
        (Layer::Build, _) => Err("what builds the tree must not need the tree"),
        (_, Layer::Build) => Err("it only builds the tree"),
        (Layer::Dev, _) => Ok(()),
        (Layer::Product(_), Layer::Dev) if dependency.dev => Ok(()),
        (Layer::Product(_), Layer::Dev) => Err("it is for tests and benches; use dev-dependencies"),
        (Layer::Product(upper), Layer::Product(lower)) => {
            let sideways = SIDEWAYS.contains(&(krate, dependency.name.as_str()));
            if lower < upper || sideways { Ok(()) } else { Err("a crate depends only downwards") }
        }
    }
}

/// Crates reserved to one place.
pub(crate) fn owned_dependencies(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (krate, manifest) in tree.manifests() {
        for dependency in dependencies(manifest) {
            let reserved = RESERVED.iter().find(|reserved| reserved.name == dependency.name);
            if let Some(Reserved { name, to, why }) =
                reserved.filter(|reserved| !reserved.to.contains(&krate))
            {
                let what = format!("{name} is for {} only: {why}", to.join(" and "));
                problems.push(Problem::of(&format!("crates/{krate}/Cargo.toml"), what));
            }
        }
    }
    problems
}

/// Versions and features stand in the root, so that building one crate and building all of them
/// compile the same dependencies once.
pub(crate) fn one_feature_list(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (krate, manifest) in tree.manifests() {
        for Dependency { name, value, .. } in dependencies(manifest) {
            let from_root = value.get("workspace").and_then(Value::as_bool) == Some(true);
            if !from_root || value.get("features").is_some() {
                let what = format!("{name}: version and features belong in [workspace.dependencies]");
                problems.push(Problem::of(&format!("crates/{krate}/Cargo.toml"), what));
            }
        }
    }
    problems
}

/// A crate that forgets this line has no lints: not even the one that forbids unsafe code.
pub(crate) fn inherited(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (krate, manifest) in tree.manifests() {
        let table = parse(manifest);
        let package = table.get("package");
        let from_root =
            |value: Option<&Value>| value.and_then(|v| v.get("workspace")) == Some(&Value::Boolean(true));
        let mut missing = Vec::new();
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !from_root(package.and_then(|package| package.get(key))) {
                missing.push(format!("{key}.workspace = true"));
            }
        }
        if !from_root(table.get("lints")) {
            missing.push("[lints] workspace = true".to_owned());
        }
        if !missing.is_empty() {
            let what = format!("lacks {}", missing.join(", "));
            problems.push(Problem::of(&format!("crates/{krate}/Cargo.toml"), what));
        }
    }
    problems
}

/// `crates/NAME/Cargo.toml`, nothing deeper and nothing elsewhere, but for clients of other people that tests and
/// soaks run: they are no part of the workspace.
pub(crate) fn flat(tree: &Tree) -> Vec<Problem> {
    let expected = |path: &str| {
        path == "Cargo.toml"
            || path.contains("/tests/clients/")
            || crate_of(path).is_some_and(|name| path == format!("crates/{name}/Cargo.toml"))
    };
    tree.named("Cargo.toml")
        .filter(|(path, _)| path.rsplit('/').next() == Some("Cargo.toml") && !expected(path))
        .map(|(path, _)| Problem::of(path, "crates lie flat in crates/"))
        .collect()
}

/// A crate is found where its name says, and its name says what it is for.
pub(crate) fn names(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (directory, manifest) in tree.manifests() {
        let path = format!("crates/{directory}/Cargo.toml");
        let table = parse(manifest);
        let name =
            table.get("package").and_then(|p| p.get("name")).and_then(Value::as_str).unwrap_or_default();
        if name != directory {
            problems.push(Problem::of(&path, format!("crate `{name}` lies in crates/{directory}")));
        }
        if let Some(refused) = name.rsplit(['-', '_']).next().filter(|last| NAMES_REFUSED.contains(last)) {
            problems.push(Problem::of(&path, format!("a crate named `{refused}` would gather everything")));
        }
    }
    problems
}

fn layer(krate: &str) -> Option<Layer> {
    LAYERS.iter().find(|(name, _)| *name == krate).map(|(_, layer)| *layer)
}

/// A crate of ours without a place is reported by its own manifest; here it is at the top, where
/// nobody may depend on it.
fn layer_of_ours(name: &str, tree: &Tree) -> Option<Layer> {
    layer(name).or_else(|| tree.has(&format!("crates/{name}/Cargo.toml")).then_some(Layer::Product(u8::MAX)))
}

/// All tables of dependencies in a manifest, the ones for one platform or `cfg` too.
fn dependencies(manifest: &str) -> Vec<Dependency> {
    let table = parse(manifest);
    let mut tables = vec![&table];
    if let Some(Value::Table(targets)) = table.get("target") {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let mut found = Vec::new();
    for table in tables {
        for key in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in table.get(key).and_then(Value::as_table).into_iter().flatten() {
                // `alias = { package = "real" }` counts as the real one.
                let name = value.get("package").and_then(Value::as_str).unwrap_or(name).to_owned();
                found.push(Dependency { name, dev: key == "dev-dependencies", value: value.clone() });
            }
        }
    }
    found
}

/// Cargo has read the file before us, so it parses; an empty table is then never seen.
fn parse(manifest: &str) -> Table {
    manifest.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"seawall-links\"\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n[dependencies]\nseawall-store.workspace = true\n[dev-dependencies]\nseawall-lab.workspace = true\n[lints]\nworkspace = true\n";

    /// The problems of all rules here, in one crate with these dependencies.
    fn found(krate: &str, dependencies: &str) -> Vec<String> {
        let tree = Tree::of(&[(&format!("crates/{krate}/Cargo.toml"), dependencies)]);
        [edges, owned_dependencies].iter().flat_map(|rule| rule(&tree)).map(|p| p.to_string()).collect()
    }

    #[test]
    fn a_good_crate_has_no_problem() {
        let tree = Tree::of(&[("crates/seawall-links/Cargo.toml", GOOD), ("Cargo.toml", "")]);
        for rule in [edges, owned_dependencies, one_feature_list, inherited, flat, names] {
            assert_eq!(rule(&tree), []);
        }
    }

    #[test]
    fn a_system_that_imports_a_system_is_found() {
        let problems = found("seawall-links", "[dependencies]\nseawall-registry.workspace = true\n");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("only downwards"), "{}", problems[0]);
    }

    #[test]
    fn not_even_its_tests_may() {
        let problems = found("seawall-links", "[dev-dependencies]\nseawall-registry.workspace = true\n");
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn an_arrow_hidden_behind_a_cfg_or_an_alias_is_found() {
        let hidden =
            "[target.'cfg(unix)'.dependencies]\nx = { package = \"seawall-drill\", workspace = true }\n";
        assert_eq!(found("seawall-policy", hidden).len(), 1);
    }

    #[test]
    fn the_store_may_use_net_and_net_not_the_store() {
        assert!(found("seawall-store", "[dependencies]\nseawall-net.workspace = true\n").is_empty());
        assert_eq!(found("seawall-net", "[dependencies]\nseawall-store.workspace = true\n").len(), 1);
    }

    #[test]
    fn the_lab_is_for_tests_only_and_xtask_depends_on_nothing_of_ours() {
        assert_eq!(found("seawall-links", "[dependencies]\nseawall-lab.workspace = true\n").len(), 1);
        assert_eq!(found("xtask", "[dependencies]\nseawall-policy.workspace = true\n").len(), 1);
    }

    #[test]
    fn consensus_is_for_registry_and_sim_only() {
        let line = "[dependencies]\nseawall-consensus.workspace = true\n";
        assert!(found("seawall-registry", line).is_empty() && found("seawall-sim", line).is_empty());
        assert_eq!(found("seawall", line).len(), 1);
    }

    #[test]
    fn an_sql_engine_outside_the_store_is_found() {
        let line = "[dev-dependencies]\nrusqlite.workspace = true\n";
        assert!(found("seawall-store", line).is_empty());
        assert_eq!(found("seawall-links", line).len(), 1);
    }

    #[test]
    fn a_crate_without_a_layer_is_found_and_so_is_who_uses_it() {
        let tree = Tree::of(&[
            ("crates/seawall-new/Cargo.toml", ""),
            ("crates/seawall/Cargo.toml", "[dependencies]\nseawall-new.workspace = true\n"),
        ]);
        assert_eq!(edges(&tree).len(), 2);
    }

    #[test]
    fn a_version_or_feature_of_its_own_is_found() {
        for own in ["bytes = \"1\"", "bytes = { workspace = true, features = [\"serde\"] }"] {
            let manifest = format!("[dependencies]\n{own}\n");
            assert_eq!(one_feature_list(&Tree::of(&[("crates/a/Cargo.toml", &manifest)])).len(), 1, "{own}");
        }
    }

    #[test]
    fn a_crate_without_the_house_s_lints_is_found() {
        let manifest = GOOD.replace("[lints]\nworkspace = true\n", "");
        let problems = inherited(&Tree::of(&[("crates/seawall-links/Cargo.toml", &manifest)]));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().contains("lacks [lints]"));
    }

    #[test]
    fn a_crate_inside_a_crate_or_elsewhere_is_found() {
        let tree = Tree::of(&[("crates/a/fuzz/Cargo.toml", ""), ("tools/Cargo.toml", "")]);
        assert_eq!(flat(&tree).len(), 2);
    }

    #[test]
    fn a_name_that_differs_from_its_directory_or_says_nothing_is_found() {
        let manifest = "[package]\nname = \"seawall-core\"\n";
        assert_eq!(names(&Tree::of(&[("crates/seawall-links/Cargo.toml", manifest)])).len(), 2);
        assert_eq!(names(&Tree::of(&[("crates/seawall-core/Cargo.toml", manifest)])).len(), 1);
    }
}
