//! How much a request matters, in five classes, for whoever must choose.
//!
//! The chat document (S0, Load Shedding Strategy) names them: P0 messages, P1 presence, P2 typing, P3 search,
//! P4 analytics. Other services map their own work onto the same five: what a user waits for and cannot do
//! without is P0, what nobody notices for an hour is P4.
//!
//! Between processes the class travels in `x-seawall-priority`, so that whatever is called on behalf of an
//! analytics job is shed with it, three hops down. A caller can only make itself *less* important than the
//! service thinks it is ([`Priority::lowered_to`]): otherwise everyone would be P0.

use serde::{Deserialize, Serialize};

/// The header that carries the class: `p0` to `p4`.
pub const HEADER: &str = "x-seawall-priority";

/// A class. Ordered by importance: `P0` is the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// What a user waits for and cannot do without. Never shed by load.
    P0,
    /// What a user would miss within seconds.
    P1,
    /// What may come late.
    P2,
    /// What may be asked again later.
    P3,
    /// What nobody waits for.
    P4,
}

/// Why a priority was not understood. Refuse the request: a guess would shed the wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{HEADER} must be p0, p1, p2, p3 or p4")]
pub struct ParseError;

impl Priority {
    /// All five, the most important first.
    pub const ALL: [Priority; 5] = [Priority::P0, Priority::P1, Priority::P2, Priority::P3, Priority::P4];

    /// Reads the header's value, or the name in a configuration file; upper case is accepted too.
    ///
    /// # Errors
    /// When it is none of the five.
    pub fn parse(value: &str) -> Result<Priority, ParseError> {
        let value = value.trim();
        Priority::ALL.into_iter().find(|p| value.eq_ignore_ascii_case(p.as_str())).ok_or(ParseError)
    }

    /// The header's value, and the name in metric labels and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::P0 => "p0",
            Priority::P1 => "p1",
            Priority::P2 => "p2",
            Priority::P3 => "p3",
            Priority::P4 => "p4",
        }
    }

    /// This class, or the one the caller asks for if that matters less.
    #[must_use]
    pub fn lowered_to(self, asked: Option<Priority>) -> Priority {
        asked.map_or(self, |asked| self.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_names_are_read_as_they_are_written() {
        for p in Priority::ALL {
            assert_eq!(Priority::parse(p.as_str()), Ok(p));
            assert_eq!(Priority::parse(&format!(" {} ", p.as_str().to_uppercase())), Ok(p));
        }
        for other in ["", "p", "p5", "0", "high", "p00", "p-1"] {
            assert_eq!(Priority::parse(other), Err(ParseError), "{other:?}");
        }
    }

    #[test]
    fn a_caller_can_make_itself_less_important_and_never_more() {
        assert_eq!(Priority::P1.lowered_to(Some(Priority::P4)), Priority::P4);
        assert_eq!(Priority::P1.lowered_to(Some(Priority::P0)), Priority::P1);
        assert_eq!(Priority::P1.lowered_to(None), Priority::P1);
    }
}
