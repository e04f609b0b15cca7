//! A callee as its caller sees it: which policies hold for calls to it, and what it calls itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;

/// `[policy.call.NAME]`: joins the policies of calls to one callee, by their names.
///
/// The default has a deadline of 1 s (what the schema of all five documents' policies starts from) and nothing
/// else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Call {
    /// How long the caller waits in all, every try included.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// How long one try may take; without it, until the deadline.
    #[serde(with = "optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Whether each of these calls may safely happen twice: reads, and writes with an idempotency key.
    pub idempotent: bool,
    /// The breaker in front of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<String>,
    /// Which tries are repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// What retries and hedges may cost together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// When a second try is sent beside the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<String>,
    /// How many calls may be under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulkhead: Option<String>,
    /// What is answered when it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// The calls that this callee makes to answer one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
}

/// What replaces an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "use a word for what you answer yourself, such as \"chronological\", or another callee with its own \
                 limit: { to = \"db\", bulkhead = \"db-fallback\" }"
)]
pub enum Fallback {
    /// `"chronological"`: the caller's own, at nobody else's expense.
    Own(String),
    /// `{ to = "db", bulkhead = "db-fallback" }`: another call, with how many of those may be under way.
    Elsewhere(Elsewhere),
}

/// Another callee that is asked instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elsewhere {
    /// The name of a call.
    pub to: String,
    /// The name of a bulkhead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bulkhead: Option<String>,
}

impl Default for Call {
    fn default() -> Call {
        Call {
            deadline: Duration::from_secs(1),
            timeout: None,
            idempotent: false,
            breaker: None,
            retry: None,
            budget: None,
            hedge: None,
            bulkhead: None,
            fallback: None,
            calls: Vec::new(),
        }
    }
}

impl Call {
    /// How long the first try may take.
    #[must_use]
    pub fn try_timeout(&self) -> Duration {
        self.timeout.unwrap_or(self.deadline)
    }

    /// The call that replaces this one, if another callee does.
    #[must_use]
    pub fn fallback_to(&self) -> Option<&Elsewhere> {
        match &self.fallback {
            Some(Fallback::Elsewhere(elsewhere)) => Some(elsewhere),
            Some(Fallback::Own(_)) | None => None,
        }
    }

    /// Everything wrong with it alone, each with what to write instead; empty when all is well. What does not
    /// go together with other tables is found when a whole file is [parsed](super::parse).
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.deadline.is_zero() {
            wrong.push("deadline: use 1s or so; in 0 nothing is answered".to_owned());
        }
        if let Some(timeout) = self.timeout
            && (timeout.is_zero() || timeout > self.deadline)
        {
            let [timeout, deadline] = [timeout, self.deadline].map(duration::format);
            wrong.push(format!(
                "timeout: use more than 0 and at most the deadline ({deadline}); it says {timeout}"
            ));
        }
        let twice = self.calls.iter().enumerate().find(|(i, name)| self.calls[..*i].contains(name));
        if let Some((i, name)) = twice {
            wrong.push(format!("calls[{i}]: use each name once; {name} stands there twice"));
        }
        wrong
    }

    /// What it says, in sentences.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let mut said = Vec::new();
        let deadline = duration::format(self.deadline);
        said.push(match self.timeout {
            Some(timeout) => {
                let timeout = duration::format(timeout);
                format!("A call is given up after {deadline} in all, and a single try after {timeout}.")
            }
            None => format!("A call is given up after {deadline} in all; a single try may take as long."),
        });
        if self.idempotent {
            said.push("Each of these calls may safely happen twice.".to_owned());
        }
        let named = [
            ("The breaker in front of it is", &self.breaker),
            ("What is tried again says the retry policy", &self.retry),
            ("Retries and hedges are paid from the budget", &self.budget),
            ("When a second try is sent beside the first says the hedge policy", &self.hedge),
            ("How many calls may be under way at once says the bulkhead", &self.bulkhead),
        ];
        for (role, name) in named {
            said.extend(name.as_ref().map(|name| format!("{role} {name}.")));
        }
        match &self.fallback {
            Some(Fallback::Own(word)) => said.push(format!("When it cannot answer, callers get: {word}.")),
            Some(Fallback::Elsewhere(Elsewhere { to, bulkhead: Some(bulkhead) })) => {
                said.push(format!("When it cannot answer, {to} is asked, within the bulkhead {bulkhead}."));
            }
            Some(Fallback::Elsewhere(Elsewhere { to, bulkhead: None })) => {
                said.push(format!("When it cannot answer, {to} is asked, without limit."));
            }
            None => {}
        }
        if !self.calls.is_empty() {
            said.push(format!("To answer, it calls {}.", self.calls.join(", ")));
        }
        said
    }
}

/// A duration or none, as [`duration`] writes them.
mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::duration;

    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => duration::serialize(value, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| duration::parse(&text).map_err(serde::de::Error::custom)).transpose()
    }
}
