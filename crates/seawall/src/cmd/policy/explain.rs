//! `seawall policy explain`: what a policy does, in sentences.

use std::path::Path;
use std::process::ExitCode;

use seawall_policy::file::{Entry, Set};
use serde_json::{Value as Json, json};
use toml::Table;

use super::print;
use crate::cli::ConfigSource;
use crate::config::Config;
use crate::config::policies::{USES, read};
use crate::exit::Failure;

/// A policy with the name it is shown under.
struct Shown {
    name: String,
    kind: &'static str,
    /// `preset`, `file`, or `in use`.
    from: &'static str,
    sentences: Vec<String>,
    policy: Table,
}

pub(super) fn run(
    name: Option<&str>,
    policies: Option<&Path>,
    source: &ConfigSource,
    json: bool,
) -> Result<ExitCode, Failure> {
    let (set, warnings, sections) = match policies {
        Some(file) => {
            let loaded = read(file)?;
            (loaded.set, loaded.warnings.iter().map(ToString::to_string).collect(), Table::new())
        }
        None => {
            let config = Config::load(source.file.as_deref(), &source.set)?;
            let sections = Table::try_from(&config)
                .map_err(|e| Failure::Internal(format!("the configuration cannot be printed: {e}")))?;
            (config.policies, config.warnings, sections)
        }
    };
    let Some(name) = name else {
        let mut all = in_use(&sections, "");
        all.extend(set.entries().map(|entry| shown(&set, &entry)));
        return print(&if json { listed(&all, &warnings) } else { list(&all, &warnings) });
    };
    let mut found: Vec<Shown> = set.find(name).iter().map(|entry| shown(&set, entry)).collect();
    found.extend(in_use(&sections, name));
    if found.is_empty() {
        return Err(Failure::Usage(unknown(name, &set, &sections)));
    }
    print(&if json { explained(&found) } else { explain(&found) })
}

fn shown(set: &Set, entry: &Entry) -> Shown {
    Shown {
        name: entry.full_name(),
        kind: entry.kind(),
        from: if entry.is_preset() { "preset" } else { "file" },
        sentences: set.explain_entry(entry),
        policy: entry.table(),
    }
}

/// Whether a key is `of` or begins with it.
fn concerns(key: &str, of: &str) -> bool {
    of.is_empty() || key.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The policies that systems use: those whose key concerns `of`.
fn in_use(config: &Table, of: &str) -> Vec<Shown> {
    let mut used = Vec::new();
    for (key, kind) in USES.iter().filter(|(key, _)| concerns(key, of)) {
        let Some(policy) = key.split('.').try_fold(config, |at, part| at.get(part)?.as_table()) else {
            continue;
        };
        used.extend(Entry::of(kind, key, policy).map(|entry| Shown {
            name: (*key).to_owned(),
            kind,
            from: "in use",
            sentences: entry.explain(),
            policy: entry.table(),
        }));
    }
    used
}

fn unknown(name: &str, set: &Set, sections: &Table) -> String {
    if sections.contains_key(name) {
        return format!(
            "no policy stands in the section [{name}]; `seawall policy explain` lists all there are"
        );
    }
    // Known, and yet not found: no configuration was read.
    if USES.iter().any(|(key, _)| concerns(key, name)) {
        return format!(
            "what {name} uses stands in the configuration, which is not read with --policies; leave that out"
        );
    }
    let near = set.nearest(name);
    let meant = if near.is_empty() { String::new() } else { format!(", did you mean {}", near.join(" or ")) };
    format!("there is no policy called {name}{meant}; `seawall policy explain` lists all there are")
}

/// One line each.
fn list(all: &[Shown], warnings: &[String]) -> String {
    let mut text = String::new();
    for shown in all {
        let first = shown.sentences.first().map_or("", String::as_str);
        text += &format!("{:<34} {:<7} {first}\n", shown.name, shown.from);
    }
    warnings.iter().for_each(|warning| text += &format!("{warning}\n"));
    text
}

fn listed(all: &[Shown], warnings: &[String]) -> String {
    let rows: Vec<Json> = all
        .iter()
        .map(|s| json!({"name": s.name, "kind": s.kind, "from": s.from, "summary": s.sentences.first()}))
        .collect();
    format!("{}\n", json!({ "policies": rows, "warnings": warnings }))
}

/// Sentences, then keys.
fn explain(found: &[Shown]) -> String {
    let blocks: Vec<String> = found
        .iter()
        .map(|shown| {
            let sentences: Vec<String> = shown.sentences.iter().map(|s| format!("  {s}\n")).collect();
            format!(
                "{} ({}, {})\n{}\n{}",
                shown.name,
                shown.kind,
                shown.from,
                sentences.concat(),
                shown.policy
            )
        })
        .collect();
    blocks.join("\n")
}

fn explained(found: &[Shown]) -> String {
    let policies: Vec<Json> = found
        .iter()
        .map(|s| json!({"name": s.name, "kind": s.kind, "from": s.from, "sentences": s.sentences, "policy": s.policy}))
        .collect();
    format!("{}\n", json!({ "policies": policies }))
}
