//! Policies by name: the presets, and those of one file.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;

use toml::de::DeTable;

use super::call::Call;
use super::kind::{self, KINDS, Kind, Policy};
use super::nearest::nearest;
use super::problem::Finding;
use super::worst;

/// The policies of one file, and every preset. The default is the presets alone.
#[derive(Clone, Default)]
pub struct Set {
    /// By kind and name.
    own: BTreeMap<(&'static str, String), Policy>,
    /// What was found when the file was read.
    warnings: Vec<Finding>,
}

/// One policy of a [`Set`].
#[derive(Clone)]
pub struct Entry {
    kind: &'static dyn Kind,
    name: String,
    is_preset: bool,
    policy: Policy,
}

impl Entry {
    /// A policy that stands somewhere else than in a file of policies, such as in a system's section. None when
    /// there is no such kind, or the table does not fit it.
    #[must_use]
    pub fn of(kind: &str, name: &str, table: &toml::Table) -> Option<Entry> {
        let kind = kind::find(kind)?;
        let text = toml::to_string(table).ok()?;
        let policy = kind.read(DeTable::parse(&text).ok()?).ok()?;
        Some(Entry { kind, name: name.to_owned(), is_preset: false, policy })
    }

    /// `breaker`, `retry`, and so on.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind.name()
    }

    /// What it is called within its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `breaker.s2-links`: no other policy is called so.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.kind(), self.name)
    }

    /// Whether it is built in and stands in no file.
    #[must_use]
    pub fn is_preset(&self) -> bool {
        self.is_preset
    }

    /// Every key with its value, presets and defaults included, as TOML.
    #[must_use]
    pub fn text(&self) -> String {
        self.kind.text(&self.policy)
    }

    /// The same as a table.
    #[must_use]
    pub fn table(&self) -> toml::Table {
        // What was just written can be read back.
        self.text().parse().unwrap_or_default()
    }

    /// What it says by itself, in sentences. [`Set::explain`] also looks at what it is joined with.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        self.kind.explain(&self.policy)
    }
}

impl Set {
    pub(super) fn insert(&mut self, kind: &'static dyn Kind, name: &str, policy: Policy) {
        self.own.insert((kind.name(), name.to_owned()), policy);
    }

    pub(super) fn warn(&mut self, warnings: Vec<Finding>) {
        self.warnings = warnings;
    }

    /// The policy of this type and name, from the file or among the presets.
    #[must_use]
    pub fn get<P: Clone + 'static>(&self, name: &str) -> Option<P> {
        let kind = KINDS.iter().find(|kind| kind.type_id() == TypeId::of::<P>())?;
        let own = self.own.get(&(kind.name(), name.to_owned())).cloned();
        own.or_else(|| kind.preset(name))?.downcast_ref().cloned()
    }

    /// The policy of this kind and name, from the file or among the presets.
    #[must_use]
    pub fn entry(&self, kind: &str, name: &str) -> Option<Entry> {
        let kind = kind::find(kind)?;
        let own = self.own.get(&(kind.name(), name.to_owned())).cloned();
        let (is_preset, policy) = match own {
            Some(policy) => (false, policy),
            None => (true, kind.preset(name)?),
        };
        Some(Entry { kind, name: name.to_owned(), is_preset, policy })
    }

    /// Those of the file by kind and name, then the presets.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let own = KINDS.iter().flat_map(|kind| self.own_of(*kind));
        let presets = KINDS.iter().flat_map(|kind| kind.presets().iter().map(|name| (kind.name(), *name)));
        own.chain(presets.filter_map(|(kind, name)| self.entry(kind, name)))
    }

    fn own_of(&self, kind: &'static dyn Kind) -> impl Iterator<Item = Entry> {
        let all = self.own.iter().filter(move |((of, _), _)| *of == kind.name());
        all.map(move |((_, name), policy)| Entry {
            kind,
            name: name.clone(),
            is_preset: false,
            policy: policy.clone(),
        })
    }

    /// Those of the file of type `P`.
    pub(super) fn own<P: Clone + 'static>(&self) -> impl Iterator<Item = (String, P)> {
        let kind = KINDS.iter().find(|kind| kind.type_id() == TypeId::of::<P>());
        let entries = kind.into_iter().flat_map(|kind| self.own_of(*kind));
        entries.filter_map(|entry| Some((entry.name, entry.policy.downcast_ref::<P>()?.clone())))
    }

    /// Everything called `name`: `s2-links` may be a breaker and a retry policy; `breaker.s2-links` is one, and
    /// so is `policy.breaker.s2-links`. None when nothing is.
    #[must_use]
    pub fn find(&self, name: &str) -> Vec<Entry> {
        let name = name.strip_prefix("policy.").unwrap_or(name);
        match name.split_once('.') {
            Some((kind, name)) => self.entry(kind, name).into_iter().collect(),
            None => KINDS.iter().filter_map(|kind| self.entry(kind.name(), name)).collect(),
        }
    }

    /// Names of policies that may have been meant by one that is unknown, best first.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Vec<String> {
        let entries: Vec<Entry> = self.entries().collect();
        let full: Vec<String> = entries.iter().map(Entry::full_name).collect();
        let names = if name.contains('.') {
            nearest(name.strip_prefix("policy.").unwrap_or(name), full.iter().map(String::as_str))
        } else {
            nearest(name, entries.iter().map(Entry::name))
        };
        names.into_iter().map(str::to_owned).collect()
    }

    /// The names of one kind: from the file, then the presets.
    pub(super) fn names(&self, kind: &str) -> Vec<String> {
        self.entries().filter(|entry| entry.kind() == kind).map(|entry| entry.name).collect()
    }

    /// Everything called `name`, in sentences; none when nothing is. When it is several things, each begins with
    /// its full name.
    #[must_use]
    pub fn explain(&self, name: &str) -> Option<Vec<String>> {
        let found = self.find(name);
        let is_several = found.len() > 1;
        let mut said = Vec::new();
        for entry in &found {
            if is_several {
                said.push(format!("{}:", entry.full_name()));
            }
            said.extend(self.explain_entry(entry));
        }
        (!found.is_empty()).then_some(said)
    }

    /// What a policy says, what follows from what it is joined with, and the warnings that concern it.
    #[must_use]
    pub fn explain_entry(&self, entry: &Entry) -> Vec<String> {
        let mut said = entry.explain();
        if let Some(call) = entry.policy.downcast_ref::<Call>() {
            said.extend(worst::explain(self, &entry.name, call));
        }
        let of_this = format!("{}.{}", entry.kind.section(), entry.name);
        let concerns = |key: &str| {
            key.strip_prefix(&of_this).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let warnings = self.warnings.iter().filter(|found| !entry.is_preset && concerns(&found.key));
        said.extend(warnings.map(|Finding { key, message, .. }| format!("Warning: {key}: {message}.")));
        said
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries().filter(|e| !e.is_preset).map(|e| e.full_name())).finish()
    }
}

/// Two sets are equal when they say the same under the same names.
impl PartialEq for Set {
    fn eq(&self, other: &Set) -> bool {
        let written = |set: &Set| -> Vec<_> {
            set.entries().filter(|e| !e.is_preset).map(|e| (e.full_name(), e.text())).collect()
        };
        written(self) == written(other)
    }
}
