//! The one configuration file: a section per system, every key optional, every problem reported at once.
//!
//! `seawall.toml` at the root of the source shows each key at its default with a comment, and a test
//! compares it with [`Config::default`]. `config explain` reads those comments, so they are the reference.

pub(crate) mod policies;

use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_net::listeners::Exposure;
use seawall_policy::file;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

use crate::exit::Failure;

/// The file that ships, and documents every key.
pub(crate) const SHIPPED: &str = include_str!("../../../seawall.toml");
/// Read when it is there and `--config` names no other.
const DEFAULT_FILE: &str = "seawall.toml";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) up: Up,
    pub(crate) log: Log,
    pub(crate) exposure: ExposureSection,
    pub(crate) discovery: seawall_cluster::discovery::Config,
    pub(crate) registry: seawall_registry::Config,
    pub(crate) balancer: seawall_balancer::Config,
    pub(crate) links: seawall_links::Config,
    pub(crate) chat: seawall_chat::Config,
    pub(crate) graph: seawall_graph::Config,
    /// `[policy.KIND.NAME]`, as written.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub(crate) policy: Table,
    /// `[ladder.NAME]`, as written.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub(crate) ladder: Table,
    /// Both, read, with every preset.
    #[serde(skip)]
    pub(crate) policies: file::Set,
    /// What someone should know about the policies.
    #[serde(skip)]
    pub(crate) warnings: Vec<String>,
}

/// The `[up]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Up {
    /// Threads of each system's runtime.
    pub(crate) workers: usize,
    /// Time to finish what was begun after SIGTERM.
    #[serde(with = "seawall_policy::duration")]
    pub(crate) drain: Duration,
}

impl Default for Up {
    fn default() -> Up {
        Up { workers: 1, drain: Duration::from_secs(10) }
    }
}

/// The `[log]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `text` or `json`, on standard error.
    pub(crate) format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,seawall_links=debug`.
    pub(crate) level: String,
}

impl Default for Log {
    fn default() -> Log {
        Log { format: LogFormat::Text, level: "info".into() }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// The `[exposure]` section.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ExposureSection {
    /// Listen on addresses that other machines can reach, without encryption.
    pub(crate) insecure: bool,
    /// A file with one token a line; writes through such an address want one of them.
    pub(crate) token_file: PathBuf,
}

impl Config {
    /// The configuration of this run: defaults, then the file, then each `--set`.
    ///
    /// # Errors
    /// Everything wrong with the file and the settings, each with its key.
    pub(crate) fn load(file: Option<&Path>, set: &[String]) -> Result<Config, Failure> {
        let mut wrong = Vec::new();
        let (mut table, loaded) = match read(file)? {
            Some((path, text)) => {
                let name = path.display().to_string();
                let table = parse(&text, &name)?;
                let loaded = file::parse_within(&text, &name);
                let told = loaded.map_err(|problems| wrong.extend(policies::lines(&problems)));
                (table, told.unwrap_or_default())
            }
            None => (Table::new(), file::Loaded::default()),
        };
        let [policy, ladder] = policies::SECTIONS.map(|section| section_of(&mut table, section));
        // Before the settings too, so that one of them can change a key of a policy that the file names.
        wrong.extend(policies::resolve(&mut table, &loaded.set, &policy));
        for setting in set {
            if let Err(why) = apply(&mut table, setting) {
                wrong.push(why);
            }
        }
        wrong.extend(policies::resolve(&mut table, &loaded.set, &policy));
        wrong.extend(misfits(&table));
        if !wrong.is_empty() {
            return Err(Failure::Config(wrong));
        }
        let mut config = fit(table).map_err(|why| Failure::Config(vec![why]))?;
        config.warnings = policies::lines(&loaded.warnings);
        (config.policy, config.ladder, config.policies) = (policy, ladder, loaded.set);
        let wrong = config.check();
        if wrong.is_empty() { Ok(config) } else { Err(Failure::Config(wrong)) }
    }

    /// Everything wrong with the values, each with its key and advice.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.up.workers == 0 || self.up.workers > 256 {
            wrong.push("up.workers: use 1 to 256".into());
        }
        if let Err(e) = EnvFilter::try_new(&self.log.level) {
            wrong.push(format!("log.level: {e}; use error, warn, info, debug or trace"));
        }
        wrong.extend(self.discovery.check());
        wrong.extend(self.registry.check());
        wrong.extend(self.balancer.check());
        wrong.extend(self.links.check());
        wrong.extend(self.chat.check());
        wrong.extend(self.graph.check());
        wrong
    }

    /// The exposure rule, with its tokens read.
    ///
    /// # Errors
    /// A token file that cannot be read or holds no token.
    pub(crate) fn exposure(&self) -> Result<Exposure, Failure> {
        let tokens = match tokens(&self.exposure.token_file) {
            Ok(tokens) => tokens,
            Err(why) => return Err(Failure::Failed(format!("exposure.token_file: {why}"))),
        };
        Ok(Exposure { insecure: self.exposure.insecure, tokens: tokens.into() })
    }
}

/// The tokens of a file, one a line; none when no file is named.
pub(crate) fn tokens(file: &Path) -> Result<Vec<String>, String> {
    if file.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    let tokens: Vec<String> =
        text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    if tokens.is_empty() { Err(format!("{} holds no token", file.display())) } else { Ok(tokens) }
}

fn read(file: Option<&Path>) -> Result<Option<(PathBuf, String)>, Failure> {
    let path = match file {
        Some(named) => named,
        None if Path::new(DEFAULT_FILE).exists() => Path::new(DEFAULT_FILE),
        None => return Ok(None),
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(e) => Err(Failure::Config(vec![format!("cannot read {}: {e}", path.display())])),
    }
}

/// A text that is no TOML has one problem, with its line.
fn parse(text: &str, name: &str) -> Result<Table, Failure> {
    text.parse().map_err(|e: toml::de::Error| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Failure::Config(vec![format!("{name}:{line}: {}", one_line(e.message()))])
    })
}

/// Takes out a table; what is no table has been complained about.
fn section_of(table: &mut Table, section: &str) -> Table {
    match table.remove(section) {
        Some(Value::Table(section)) => section,
        _ => Table::new(),
    }
}

/// Applies one `key=value`; the value is TOML, or a plain string where it is none.
fn apply(table: &mut Table, setting: &str) -> Result<(), String> {
    let Some((key, text)) = setting.split_once('=') else {
        return Err(format!("--set {setting}: write it as key=value, for example --set links.shards=4"));
    };
    let value = format!("v = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| Value::String(text.to_owned()));
    let mut path: Vec<&str> = key.trim().split('.').collect();
    let Some(last) = path.pop().filter(|l| !l.is_empty()) else {
        return Err(format!("--set {setting}: the key is missing"));
    };
    if path.first().is_some_and(|first| policies::SECTIONS.contains(first)) {
        return Err(format!("--set {setting}: write policies into a file, where each problem has its line"));
    }
    let mut at = table;
    for part in path {
        let next = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
        at = match next {
            Value::Table(t) => t,
            _ => return Err(format!("--set {setting}: {part} is a value, not a section")),
        };
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

/// Each key that does not fit, tried one by one against the defaults so that one mistake does not hide the next.
fn misfits(table: &Table) -> Vec<String> {
    leaves(table)
        .into_iter()
        .flat_map(|(path, value)| {
            let name = path.join(".");
            match value {
                // Of an array of sections each is tried alone.
                Value::Array(sections) if sections.iter().any(Value::is_table) => sections
                    .into_iter()
                    .enumerate()
                    .map(|(i, section)| (format!("{name}[{i}]"), path.clone(), Value::Array(vec![section])))
                    .collect(),
                value => vec![(name, path, value)],
            }
        })
        .filter_map(|(name, path, value)| {
            let alone = path
                .iter()
                .rev()
                .fold(value, |inner, key| Value::Table(Table::from_iter([(key.clone(), inner)])));
            let why = fit(alone.as_table()?.clone()).err()?;
            Some(format!("{name}: {why}"))
        })
        .collect()
}

/// The configuration that has these values above the defaults.
///
/// Laid over the defaults before it is read, so that setting one key of a section never changes another.
fn fit(table: Table) -> Result<Config, String> {
    let mut whole = Table::try_from(Config::default()).map_err(|e| one_line(&e.to_string()))?;
    lay_over(&mut whole, table);
    Value::Table(whole).try_into().map_err(|e: toml::de::Error| one_line(e.message()))
}

fn lay_over(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if !is_choice(below) => lay_over(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Whether a table is one of several alternatives, of which each has keys of its own, so that it is replaced as a
/// whole: its default holds nothing but its `kind`.
fn is_choice(default: &Table) -> bool {
    default.len() == 1 && default.contains_key("kind")
}

/// Every value with its key; of alternatives, the whole table.
fn leaves(table: &Table) -> Vec<(Vec<String>, Value)> {
    // A default that cannot be written down is told by `fit`.
    let default = Table::try_from(Config::default()).unwrap_or_default();
    let mut leaves = Vec::new();
    collect(table, Some(&default), &mut Vec::new(), &mut leaves);
    leaves
}

fn collect(
    table: &Table,
    default: Option<&Table>,
    path: &mut Vec<String>,
    leaves: &mut Vec<(Vec<String>, Value)>,
) {
    for (key, value) in table {
        path.push(key.clone());
        let default = default.and_then(|d| d.get(key)).and_then(Value::as_table);
        match value {
            Value::Table(inner) if !inner.is_empty() && !default.is_some_and(is_choice) => {
                collect(inner, default, path, leaves);
            }
            leaf => leaves.push((path.clone(), leaf.clone())),
        }
        path.pop();
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the shipped file says about `key`: the comment beside it, or above its section.
pub(crate) fn comment(key: &str) -> Option<String> {
    let (section, name) = key.rsplit_once('.').unwrap_or((key, ""));
    let mut current = "";
    let mut above = Vec::new();
    for line in SHIPPED.lines() {
        let line = line.trim();
        if let Some(text) = line.strip_prefix('#') {
            above.push(text.trim());
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            current = header.trim_start_matches('[').split(']').next().unwrap_or_default();
            if current == key {
                return Some(above.join(" "));
            }
        }
        let is_key = line.split('=').next().map(str::trim) == Some(name) && !name.is_empty();
        if current == section && is_key {
            let beside = line.split_once(" # ").map(|(_, c)| c.trim());
            return Some(beside.map_or_else(|| above.join(" "), str::to_owned));
        }
        above.clear();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_shows_every_key_at_its_default() {
        let mut shipped: Table = SHIPPED.parse().unwrap();
        // A policy's name stands for its keys.
        assert!(policies::resolve(&mut shipped, &file::Set::default(), &Table::new()).is_empty());
        let default: Table = toml::to_string(&Config::default()).unwrap().parse().unwrap();
        assert_eq!(shipped, default);
    }

    #[test]
    fn every_key_of_the_shipped_file_is_explained() {
        for (path, value) in leaves(&SHIPPED.parse().unwrap()) {
            if !value.is_array() || !value.as_array().unwrap().iter().any(Value::is_table) {
                let key = path.join(".");
                assert!(comment(&key).is_some_and(|c| !c.is_empty()), "{key} has no comment");
            }
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bad.toml");
        std::fs::write(&file, "[links]\ncolour = 1\nin_flight_max = \"many\"\n[nonsense]\nx = 1\n").unwrap();
        let set = ["links.listen=nowhere".to_owned(), "oops".to_owned()];
        let Err(Failure::Config(wrong)) = Config::load(Some(&file), &set) else { panic!("accepted") };
        assert_eq!(wrong.len(), 5, "{wrong:#?}");
        for part in ["links.colour", "links.in_flight_max", "nonsense", "links.listen", "oops"] {
            assert!(wrong.iter().any(|w| w.contains(part)), "{part} is missing from {wrong:#?}");
        }
    }

    #[test]
    fn no_mistake_hides_another_in_routes_or_probes_and_a_bad_log_level_is_no_surprise() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bad.toml");
        let route = "[[balancer.route]]\nhost = '*'\n";
        std::fs::write(&file, format!("{route}hots = 1\n{route}service = 'a'\n{route}servce = 'a'\n"))
            .unwrap();
        let Err(Failure::Config(wrong)) = Config::load(Some(&file), &[]) else { panic!("accepted") };
        let about: Vec<&str> = wrong.iter().map(|w| w.split_once(": ").unwrap().0).collect();
        assert_eq!(about, ["balancer.route[0]", "balancer.route[2]"], "{wrong:#?}");
        let probe = ["balancer.probe={kind=\"tcp\",fal=3,interval=1}".to_owned()];
        let Err(Failure::Config(wrong)) = Config::load(Some(Path::new("/dev/null")), &probe) else {
            panic!("accepted")
        };
        let about: Vec<&str> = wrong.iter().map(|w| w.split_once(": ").unwrap().0).collect();
        assert_eq!(about, ["balancer.probe.fal", "balancer.probe.interval"], "{wrong:#?}");
        let level = ["log.level=info,seawall=loud".to_owned()];
        let Err(Failure::Config(wrong)) = Config::load(Some(Path::new("/dev/null")), &level) else {
            panic!("accepted")
        };
        assert!(wrong[0].starts_with("log.level: "), "{wrong:#?}");
    }

    #[test]
    fn setting_one_key_of_a_section_changes_no_other() {
        let set = ["balancer.retry.attempts=1".to_owned(), "balancer.breaker.window=20s".to_owned()];
        let mut expected = Config::default();
        expected.balancer.retry.attempts = 1;
        expected.balancer.breaker.window = Duration::from_secs(20);
        assert_eq!(Config::load(Some(Path::new("/dev/null")), &set).unwrap(), expected);
        let jitter = ["balancer.retry.jitter={kind=\"symmetric\",ratio=0.2}".to_owned()];
        assert!(Config::load(Some(Path::new("/dev/null")), &jitter).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn any_settings_are_taken_or_refused(set in proptest::collection::vec("[a-z.]{0,12}=?[ -~]{0,20}", 0..4), known in "links\\.listen|balancer\\.route|discovery\\.static|up", value in "[ -~]{0,30}") {
            let mut set = set;
            set.push(format!("{known}={value}"));
            drop(Config::load(Some(Path::new("/dev/null")), &set));
        }
    }

    #[test]
    fn a_setting_overrides_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("seawall.toml");
        std::fs::write(&file, "[up]\nworkers = 2\n").unwrap();
        let set = ["up.workers=3".to_owned(), "links.listen=127.0.0.1:1".to_owned()];
        let config = Config::load(Some(&file), &set).unwrap();
        assert_eq!((config.up.workers, config.links.listen.port()), (3, 1));
    }
}
