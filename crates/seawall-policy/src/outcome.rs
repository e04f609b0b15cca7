//! What became of a call: the one vocabulary that retry, breaker, metrics and HTTP status share.

use serde::{Deserialize, Serialize};

/// How a call ended, as the one who made it must judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The callee did what was asked, or refused for a reason that is the caller's own (a 404, a conflict).
    Success,
    /// The callee answered that it could not (5xx), or answered nonsense.
    Failed,
    /// No answer in time.
    Timeout,
    /// The connection could not be made, or broke before an answer came.
    Unreachable,
    /// The callee is alive and said it has too much to do (429, 503 with Retry-After, RESOURCE_EXHAUSTED).
    Overloaded,
    /// The caller gave up for its own reasons; says nothing of the callee.
    Abandoned,
}

impl Outcome {
    /// Whether this counts against the callee.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Outcome::Failed | Outcome::Timeout | Outcome::Unreachable | Outcome::Overloaded)
    }

    /// The name used in metric labels and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failed => "failed",
            Outcome::Timeout => "timeout",
            Outcome::Unreachable => "unreachable",
            Outcome::Overloaded => "overloaded",
            Outcome::Abandoned => "abandoned",
        }
    }
}

/// Kinds of failure, named as in the metrics: what policies list when they say which failures they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// It answered that it could not.
    Failed,
    /// No answer in time.
    Timeout,
    /// No connection, or it broke.
    Unreachable,
    /// It said it has too much to do.
    Overloaded,
}

impl Class {
    /// Every kind there is.
    pub const ALL: [Class; 4] = [Class::Failed, Class::Timeout, Class::Unreachable, Class::Overloaded];

    /// The kind of failure this outcome is; none when it is no failure.
    #[inline]
    #[must_use]
    pub fn of(outcome: Outcome) -> Option<Class> {
        match outcome {
            Outcome::Failed => Some(Class::Failed),
            Outcome::Timeout => Some(Class::Timeout),
            Outcome::Unreachable => Some(Class::Unreachable),
            Outcome::Overloaded => Some(Class::Overloaded),
            Outcome::Success | Outcome::Abandoned => None,
        }
    }

    /// The name used in configuration, metric labels and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Failed => "failed",
            Class::Timeout => "timeout",
            Class::Unreachable => "unreachable",
            Class::Overloaded => "overloaded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_of_a_kind_with_its_own_name_and_nothing_else_is() {
        use Outcome::{Abandoned, Failed, Overloaded, Success, Timeout, Unreachable};
        for outcome in [Success, Failed, Timeout, Unreachable, Overloaded, Abandoned] {
            let class = Class::of(outcome);
            assert_eq!(class.is_some(), outcome.is_failure(), "{outcome:?}");
            assert!(class.is_none_or(|class| class.as_str() == outcome.as_str()), "{outcome:?}");
        }
    }

    #[test]
    fn a_kind_is_written_as_it_is_called() {
        for class in Class::ALL {
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("{:?}", class.as_str()));
        }
    }
}
