//! Policies in the configuration file, and their names in the sections of systems.
//!
//! `[balancer.retry]` holds a policy's keys; `[balancer] retry = "mine"` names one instead, from the file's own
//! `[policy.retry.mine]` or among the presets. A name is replaced by the keys it stands for before the section
//! is read, so that systems know nothing of names.

use std::path::Path;

use seawall_policy::file::{self, Loaded};
use toml::{Table, Value};

use crate::exit::Failure;

/// Where systems keep policies, and of which kind.
pub(crate) const USES: [(&str, &str); 14] = [
    ("balancer.breaker", "breaker"),
    ("balancer.retry", "retry"),
    ("balancer.retry_connect", "retry"),
    ("balancer.retry_timeout", "retry"),
    ("balancer.retry_budget", "budget"),
    ("balancer.shed", "shed"),
    ("links.store_breaker", "breaker"),
    ("links.shed", "shed"),
    ("links.create_rate", "rate"),
    ("chat.shed", "shed"),
    ("chat.ladder", "ladder"),
    ("graph.store_breaker", "breaker"),
    ("graph.ladder", "ladder"),
    ("graph.shed", "shed"),
];

/// The same in each table of a list.
const USES_IN_LISTS: [(&str, &str, &str); 2] =
    [("balancer.route", "bulkhead", "bulkhead"), ("balancer.route", "rate", "rate")];

/// The tables that hold policies and belong to no system.
pub(crate) const SECTIONS: [&str; 2] = ["policy", "ladder"];

/// The policies of a file of nothing else.
///
/// # Errors
/// Everything wrong with it, each with its line.
pub(crate) fn read(path: &Path) -> Result<Loaded, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::Config(vec![format!("cannot read {}: {e}", path.display())]))?;
    file::parse(&text, &path.display().to_string()).map_err(|problems| Failure::Config(lines(&problems)))
}

/// One line for each.
pub(super) fn lines(problems: &[file::Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// Puts a policy's keys wherever its name stands. What is unknown is taken out and told; `written` are the
/// file's policies as they stand there, of which a bad one is no unknown name.
pub(super) fn resolve(table: &mut Table, policies: &file::Set, written: &Table) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, kind) in USES {
        if let Some((section, last)) = key.rsplit_once('.')
            && let Some(section) = find_mut(table, section)
        {
            wrong.extend(resolve_one(section, last, key, kind, policies, written));
        }
    }
    for (list, last, kind) in USES_IN_LISTS {
        let Some((section, name)) = list.rsplit_once('.') else { continue };
        let found = find_mut(table, section).and_then(|section| section.get_mut(name)?.as_array_mut());
        for (i, item) in found.into_iter().flatten().enumerate() {
            if let Some(item) = item.as_table_mut() {
                let key = format!("{list}[{i}].{last}");
                wrong.extend(resolve_one(item, last, &key, kind, policies, written));
            }
        }
    }
    wrong
}

/// Replaces the name at `last` of a section; `key` is where that is, for the message.
fn resolve_one(
    section: &mut Table,
    last: &str,
    key: &str,
    kind: &str,
    policies: &file::Set,
    written: &Table,
) -> Option<String> {
    let name = section.get(last)?.as_str()?.to_owned();
    if let Some(policy) = policies.entry(kind, &name) {
        section.insert(last.to_owned(), Value::Table(policy.table()));
        return None;
    }
    section.remove(last);
    if written.get(kind).is_some_and(|kind| kind.get(&name).is_some()) {
        return None;
    }
    let near = policies.nearest(&format!("{kind}.{name}"));
    let near: Vec<&str> = near.iter().filter_map(|full| full.strip_prefix(kind)?.strip_prefix('.')).collect();
    let meant =
        if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
    Some(format!(
        "{key}: use the keys of a {kind} policy or the name of one; there is none called {name:?}{meant} \
         (`seawall policy explain` lists them)"
    ))
}

fn find_mut<'t>(table: &'t mut Table, path: &str) -> Option<&'t mut Table> {
    path.split('.').try_fold(table, |at, part| at.get_mut(part)?.as_table_mut())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn every_use_is_a_section_that_holds_a_policy_of_its_kind() {
        let default = Table::try_from(Config::default()).unwrap();
        for (key, kind) in USES {
            let policy = key.split('.').try_fold(&default, |at, part| at.get(part)?.as_table()).unwrap();
            let table = |name: &str, inner: Table| Table::from_iter([(name.to_owned(), Value::Table(inner))]);
            let of_kind = table(kind, table("used", policy.clone()));
            // Ladders stand by themselves in a file, everything else below [policy].
            let whole = if kind == "ladder" { of_kind } else { table("policy", of_kind) };
            let text = toml::to_string(&whole);
            assert!(file::parse(&text.unwrap(), key).unwrap().set.entry(kind, "used").is_some(), "{key}");
        }
    }

    #[test]
    fn a_name_becomes_the_keys_it_stands_for_and_an_unknown_one_is_told() {
        let mut table: Table =
            "[balancer]\nbreaker = 's3-balancer-verbatim'\nretry = 's3-requst'\nretry_budget = { ratio = 0.1 }\n"
                .parse()
                .unwrap();
        let wrong = resolve(&mut table, &file::Set::default(), &Table::new());
        assert_eq!(wrong.len(), 1, "{wrong:#?}");
        assert!(wrong[0].starts_with("balancer.retry: ") && wrong[0].contains("s3-request"), "{wrong:#?}");
        let balancer = table["balancer"].as_table().unwrap();
        assert_eq!(balancer["breaker"]["open"]["growth"].as_float(), Some(1.0));
        assert!(!balancer.contains_key("retry") && balancer["retry_budget"]["ratio"].as_float() == Some(0.1));
    }

    #[test]
    fn a_route_names_its_bulkhead_and_its_rate() {
        let mut table: Table =
            "[[balancer.route]]\nhost = 'a.test'\n[[balancer.route]]\nhost = 'b.test'\nbulkhead = 's3-service-b'\nrate = 'fast'\n"
                .parse()
                .unwrap();
        let wrong = resolve(&mut table, &file::Set::default(), &Table::new());
        assert!(wrong.len() == 1 && wrong[0].starts_with("balancer.route[1].rate: "), "{wrong:#?}");
        assert_eq!(table["balancer"]["route"][1]["bulkhead"]["in_flight"].as_integer(), Some(50));
    }
}
