//! What became of a call: the one vocabulary that retry, breaker, metrics and HTTP status share.

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
