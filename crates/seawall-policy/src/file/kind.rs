//! The kinds of policy a file may hold. A new kind is a line in [`KINDS`].

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use super::call::Call;
use crate::retry::{self, BudgetPolicy, hedge};
use crate::{adaptive, breaker, inflight, ladder, rate, shed};

/// A policy whose type is known to its [`Kind`] only.
pub(super) type Policy = Arc<dyn Any + Send + Sync>;

/// All of them, in the order they are listed.
#[rustfmt::skip]
pub(super) static KINDS: &[&dyn Kind] = &[
    &Typed::of("policy.call", &[], |_| None, Call::check, Call::explain),
    &Typed::of("policy.breaker", breaker::PRESETS, breaker::preset, breaker::Policy::check, breaker::Policy::explain),
    &Typed::of("policy.retry", retry::PRESETS, retry::preset, retry::Policy::check, retry::Policy::explain),
    &Typed::of("policy.budget", &[], |_| None, BudgetPolicy::check, BudgetPolicy::explain),
    &Typed::of("policy.hedge", &[], |_| None, hedge::Policy::check, hedge::Policy::explain),
    &Typed::of("policy.bulkhead", inflight::PRESETS, inflight::preset, inflight::Policy::check, inflight::Policy::explain),
    &Typed::of("policy.rate", rate::PRESETS, rate::preset, rate::Policy::check, rate::Policy::explain),
    &Typed::of("policy.shed", shed::PRESETS, shed::preset, shed::Policy::check, shed::Policy::explain),
    &Typed::of("policy.adaptive", &[], |_| None, adaptive::Policy::check, adaptive::Policy::explain),
    &Typed::of("ladder", ladder::PRESETS, ladder::preset, ladder::Policy::check, ladder::Policy::explain),
];

/// What can be done with a kind of policy without knowing its type.
pub(super) trait Kind: Sync {
    /// Where its tables lie: `policy.breaker`.
    fn section(&self) -> &'static str;

    /// The names of its presets.
    fn presets(&self) -> &'static [&'static str];

    /// A preset.
    fn preset(&self, name: &str) -> Option<Policy>;

    /// What holds where a table says nothing.
    fn default(&self) -> Policy;

    /// Reads one; the error's span is that of the key or value that does not fit.
    fn read(&self, table: Spanned<DeTable<'_>>) -> Result<Policy, toml::de::Error>;

    /// Everything wrong with it, each as `key: advice`.
    fn check(&self, policy: &Policy) -> Vec<String>;

    /// In sentences.
    fn explain(&self, policy: &Policy) -> Vec<String>;

    /// As TOML.
    fn text(&self, policy: &Policy) -> String;

    /// Its Rust type.
    fn type_id(&self) -> TypeId;

    /// What it is called: the last part of its section.
    fn name(&self) -> &'static str {
        self.section().rsplit('.').next().unwrap_or_default()
    }
}

impl fmt::Debug for dyn Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The kind of this name.
pub(super) fn find(name: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.name() == name)
}

/// A kind whose policies are `P`.
struct Typed<P> {
    section: &'static str,
    presets: &'static [&'static str],
    preset: fn(&str) -> Option<P>,
    check: fn(&P) -> Vec<String>,
    explain: fn(&P) -> Vec<String>,
}

impl<P> Typed<P> {
    const fn of(
        section: &'static str,
        presets: &'static [&'static str],
        preset: fn(&str) -> Option<P>,
        check: fn(&P) -> Vec<String>,
        explain: fn(&P) -> Vec<String>,
    ) -> Typed<P> {
        Typed { section, presets, preset, check, explain }
    }
}

impl<P> Typed<P> {
    fn of_this(policy: &Policy) -> &P
    where
        P: 'static,
    {
        // A set files each policy under its own kind, and nobody else makes one.
        let Some(policy) = policy.downcast_ref() else { unreachable!("a policy under another kind's name") };
        policy
    }
}

impl<P: Default + Serialize + DeserializeOwned + Send + Sync + 'static> Kind for Typed<P> {
    fn section(&self) -> &'static str {
        self.section
    }

    fn presets(&self) -> &'static [&'static str] {
        self.presets
    }

    fn preset(&self, name: &str) -> Option<Policy> {
        (self.preset)(name).map(|policy| Arc::new(policy) as Policy)
    }

    fn default(&self) -> Policy {
        Arc::new(P::default())
    }

    fn read(&self, table: Spanned<DeTable<'_>>) -> Result<Policy, toml::de::Error> {
        P::deserialize(Deserializer::from(table)).map(|policy| Arc::new(policy) as Policy)
    }

    fn check(&self, policy: &Policy) -> Vec<String> {
        (self.check)(Typed::of_this(policy))
    }

    fn explain(&self, policy: &Policy) -> Vec<String> {
        (self.explain)(Typed::of_this(policy))
    }

    fn text(&self, policy: &Policy) -> String {
        // Every policy type is a table of plain values, which TOML can always hold.
        toml::to_string(Typed::<P>::of_this(policy)).unwrap_or_default()
    }

    fn type_id(&self) -> TypeId {
        TypeId::of::<P>()
    }
}
