//! What one line says, by the names of its columns or keys.

use std::borrow::Cow;
use std::time::Duration;

use super::time::{self, Moment};
use crate::Outcome;
use crate::priority::Priority;

/// A value as it is written; what is empty, null, true or nested counts as not there.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Number(f64),
    Text(Cow<'a, str>),
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Slot {
    Time,
    Outcome,
    Status,
    /// With the nanoseconds of its unit, where the name has one.
    Took(Option<f64>),
    Tries,
    Method,
    Priority,
}

/// Names of one thing. Where a line has several, the first here counts.
const TIMES: [&str; 3] = ["time", "ts", "at"];
const TOOKS: [&str; 3] = ["latency", "took", "duration"];
/// What may follow the name of a latency.
const UNITS: [(&str, Option<f64>); 6] = [
    ("", None),
    ("_ns", Some(1.0)),
    ("_us", Some(1e3)),
    ("_ms", Some(1e6)),
    ("_s", Some(1e9)),
    ("_seconds", Some(1e9)),
];

/// Which outcomes there are, by name.
const OUTCOMES: [Outcome; 6] = [
    Outcome::Success,
    Outcome::Failed,
    Outcome::Timeout,
    Outcome::Unreachable,
    Outcome::Overloaded,
    Outcome::Abandoned,
];
/// Of a request that was answered without a call: says nothing of any callee.
pub(super) const REFUSED: &str = "refused";
/// nginx's own status for a client that left before it had its answer.
const CLIENT_CLOSED: u16 = 499;

impl Slot {
    /// What `name` stands for, and the place of that name among its like.
    pub(super) fn named(name: &str) -> Option<(Slot, usize)> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if let Some(at) = TIMES.iter().position(|other| is(other)) {
            return Some((Slot::Time, at));
        }
        for (at, base) in TOOKS.iter().enumerate() {
            let Some(start) = name.get(..base.len()).filter(|start| start.eq_ignore_ascii_case(base)) else {
                continue;
            };
            let unit = &name[start.len()..];
            if let Some((_, scale)) = UNITS.iter().find(|(u, _)| unit.eq_ignore_ascii_case(u)) {
                return Some((Slot::Took(*scale), at));
            }
        }
        let others = [
            ("outcome", Slot::Outcome),
            ("status", Slot::Status),
            ("tries", Slot::Tries),
            ("method", Slot::Method),
            ("priority", Slot::Priority),
        ];
        others.into_iter().find(|(other, _)| is(other)).map(|(_, slot)| (slot, 0))
    }
}

/// One line's values, each with the place of its name among its like.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    time: Option<(usize, Scalar<'a>)>,
    took: Option<(usize, Option<f64>, Scalar<'a>)>,
    outcome: Option<Scalar<'a>>,
    status: Option<Scalar<'a>>,
    tries: Option<Scalar<'a>>,
    method: Option<Scalar<'a>>,
    priority: Option<Scalar<'a>>,
    key: Option<Scalar<'a>>,
}

/// A line understood. `outcome` is none when no call was made.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    pub(super) moment: Moment,
    pub(super) took: Duration,
    pub(super) outcome: Option<Outcome>,
    pub(super) tries: u32,
    pub(super) idempotent: bool,
    pub(super) priority: Priority,
    pub(super) key: Option<String>,
}

impl<'a> Fields<'a> {
    pub(super) fn put(&mut self, slot: Slot, place: usize, value: Scalar<'a>) {
        match slot {
            Slot::Time if self.time.as_ref().is_none_or(|(first, _)| place < *first) => {
                self.time = Some((place, value));
            }
            Slot::Took(unit) if self.took.as_ref().is_none_or(|(first, ..)| place < *first) => {
                self.took = Some((place, unit, value));
            }
            Slot::Time | Slot::Took(_) => {}
            Slot::Outcome => self.outcome = Some(value),
            Slot::Status => self.status = Some(value),
            Slot::Tries => self.tries = Some(value),
            Slot::Method => self.method = Some(value),
            Slot::Priority => self.priority = Some(value),
        }
    }

    /// Whom the call belongs to.
    pub(super) fn put_key(&mut self, value: Scalar<'a>) {
        self.key = Some(value);
    }

    pub(super) fn read(&self) -> Result<Call, String> {
        let (_, time) = self.time.as_ref().ok_or("time: missing; name a key time, ts or at")?;
        let outcome = match (&self.outcome, &self.status) {
            (Some(word), _) => outcome_named(word)?,
            (None, Some(status)) => Some(outcome_of_status(status)?),
            (None, None) => return Err("outcome: missing; name a key outcome or status".to_owned()),
        };
        let (_, unit, took) =
            self.took.as_ref().ok_or("latency: missing; name a key latency_ms, took_ms or duration_ms")?;
        let tries = match &self.tries {
            Some(written) => tries(written)?,
            None => 1,
        };
        let priority = match &self.priority {
            Some(written) => priority(written)?,
            None => Priority::P0,
        };
        Ok(Call {
            moment: time::moment(time)?,
            took: time::took(took, *unit)?,
            outcome,
            tries,
            idempotent: self.method.as_ref().is_none_or(is_idempotent),
            priority,
            key: self.key.as_ref().map(word),
        })
    }
}

fn outcome_named(written: &Scalar<'_>) -> Result<Option<Outcome>, String> {
    let word = word(written);
    if word.eq_ignore_ascii_case(REFUSED) {
        return Ok(None);
    }
    let found = OUTCOMES.into_iter().find(|outcome| word.eq_ignore_ascii_case(outcome.as_str()));
    found.map(Some).ok_or_else(|| {
        let known = OUTCOMES.map(Outcome::as_str).join(", ");
        format!("outcome: use {known} or {REFUSED}; it says {word:?}")
    })
}

/// As the balancer judges: a 5xx is a failure, anything else is not, a 429 included, which is mostly about
/// one client. Without its `Retry-After` a 503 cannot be told from any other.
fn outcome_of_status(written: &Scalar<'_>) -> Result<Outcome, String> {
    match whole(written) {
        Some(status) if status == u64::from(CLIENT_CLOSED) => Ok(Outcome::Abandoned),
        Some(100..=499) => Ok(Outcome::Success),
        Some(500..=599) => Ok(Outcome::Failed),
        _ => Err(format!("status: use an HTTP status, 100 to 599; it says {}", word(written))),
    }
}

fn tries(written: &Scalar<'_>) -> Result<u32, String> {
    let tries = whole(written).and_then(|tries| u32::try_from(tries).ok());
    tries.ok_or_else(|| format!("tries: use a whole number; it says {}", word(written)))
}

fn priority(written: &Scalar<'_>) -> Result<Priority, String> {
    let word = word(written);
    Priority::parse(&word).map_err(|_| format!("priority: use p0, p1, p2, p3 or p4; it says {word:?}"))
}

/// As the balancer judges where no Idempotency-Key is known.
fn is_idempotent(method: &Scalar<'_>) -> bool {
    let method = word(method);
    ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].iter().any(|m| method.eq_ignore_ascii_case(m))
}

fn whole(written: &Scalar<'_>) -> Option<u64> {
    match written {
        Scalar::Number(n) if n.fract() == 0.0 && (0.0..1e15).contains(n) => Some(*n as u64),
        Scalar::Number(_) => None,
        Scalar::Text(text) => text.parse().ok(),
    }
}

fn word(written: &Scalar<'_>) -> String {
    match written {
        Scalar::Number(n) => n.to_string(),
        Scalar::Text(text) => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(named: &[(&str, &str)]) -> Result<Call, String> {
        let mut fields = Fields::default();
        for (name, value) in named {
            if let Some((slot, place)) = Slot::named(name) {
                fields.put(slot, place, Scalar::Text((*value).into()));
            }
        }
        fields.read()
    }

    #[test]
    fn the_first_of_several_names_counts_whatever_their_order() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0]] {
            let all = [("at", "1"), ("time", "2"), ("duration_s", "3"), ("latency_ms", "4")];
            let mut named = order.map(|i| all[i]).to_vec();
            named.push(("outcome", "success"));
            let call = fields(&named).unwrap();
            assert_eq!((call.moment.us, call.took), (2_000_000, Duration::from_millis(4)));
        }
    }

    #[test]
    fn a_status_is_judged_as_the_balancer_does() {
        for (status, outcome) in [
            ("200", Outcome::Success),
            ("302", Outcome::Success),
            ("404", Outcome::Success),
            ("429", Outcome::Success),
            ("499", Outcome::Abandoned),
            ("500", Outcome::Failed),
            ("503", Outcome::Failed),
            ("504", Outcome::Failed),
        ] {
            let call = fields(&[("ts", "1"), ("status", status), ("took_ms", "1")]).unwrap();
            assert_eq!(call.outcome, Some(outcome), "{status}");
        }
        for status in ["0", "99", "600", "200.5", "OK"] {
            assert!(fields(&[("ts", "1"), ("status", status), ("took_ms", "1")]).is_err(), "{status}");
        }
    }

    #[test]
    fn an_outcome_outranks_a_status_and_refused_is_no_call() {
        let line = |outcome| [("ts", "1"), ("outcome", outcome), ("status", "200"), ("took_ms", "1")];
        assert_eq!(fields(&line("Timeout")).unwrap().outcome, Some(Outcome::Timeout));
        assert_eq!(fields(&line("refused")).unwrap().outcome, None);
        let why = fields(&line("broken")).unwrap_err();
        assert!(why.contains("unreachable") && why.contains("\"broken\""), "{why}");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (left, missing) in [(0, "time"), (1, "outcome"), (2, "latency")] {
            let mut named = vec![("time", "1"), ("outcome", "success"), ("latency", "1ms")];
            named.remove(left);
            let why = fields(&named).unwrap_err();
            assert!(
                why.starts_with(&format!("{missing}: missing; name a key {missing}")) || missing == "time",
                "{why}"
            );
        }
    }

    #[test]
    fn the_method_says_what_may_happen_twice() {
        for (method, idempotent) in [("GET", true), ("put", true), ("POST", false), ("PATCH", false)] {
            let line = [("ts", "1"), ("status", "200"), ("took_ms", "1"), ("method", method)];
            assert_eq!(fields(&line).unwrap().idempotent, idempotent, "{method}");
        }
        assert!(fields(&[("ts", "1"), ("status", "200"), ("took_ms", "1")]).unwrap().idempotent);
    }
}
