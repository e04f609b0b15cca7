//! The part behind the question mark.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::refusal::Refusal;

/// Parameters of one request; more are refused.
const PARAMETERS_MAX: usize = 64;
/// Wait of a blocking query that names none (Consul's default).
pub const WAIT_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// Longest wait of a blocking query; longer ones are cut (Consul's cap).
pub const WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// The parameters, decoded, in order.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Takes a query string apart.
    ///
    /// # Errors
    /// Broken percent encoding, and more parameters than anyone needs.
    pub fn parse(text: &str) -> Result<Query, Refusal> {
        let mut pairs = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            if pairs.len() == PARAMETERS_MAX {
                return Err(Refusal::bad(format!(
                    "Too many query parameters; at most {PARAMETERS_MAX} are taken"
                )));
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((decode(name, true)?, decode(value, true)?));
        }
        Ok(Query(pairs))
    }

    /// The first value of a parameter; present without a value is an empty one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The first value, if it has one.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Every non-empty value of a parameter that may be repeated.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<String> {
        let of_name = self.0.iter().filter(|(n, value)| n == name && !value.is_empty());
        of_name.map(|(_, value)| value.clone()).collect()
    }

    /// A switch: there means on, unless it says otherwise.
    ///
    /// # Errors
    /// A value that is no boolean.
    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None => Ok(false),
            Some("") => Ok(true),
            Some(value) => {
                boolean(value).ok_or_else(|| Refusal::bad(format!("Invalid value for ?{name}: {value:?}")))
            }
        }
    }

    /// A number, if it is there and not empty.
    ///
    /// # Errors
    /// Anything but a whole number of 64 bits, answered with `text`.
    pub fn number(&self, name: &str, text: &str) -> Result<Option<u64>, Refusal> {
        self.text(name).map(|value| value.parse().map_err(|_| Refusal::bad(text))).transpose()
    }

    /// How long to wait at most.
    ///
    /// # Errors
    /// A wait that is no duration.
    pub fn wait(&self) -> Result<Duration, Refusal> {
        let Some(text) = self.text("wait") else { return Ok(WAIT_DEFAULT) };
        let wait = seawall_policy::duration::parse(text).map_err(|_| Refusal::bad("Invalid wait time"))?;
        Ok(if wait.is_zero() { WAIT_DEFAULT } else { wait.min(WAIT_MAX) })
    }

    /// The index to wait beyond and the time to do so, if the client wants to wait at all.
    ///
    /// # Errors
    /// An index that is no number, a wait that is no duration; both are checked even where one is not used.
    pub fn blocking(&self) -> Result<Option<(u64, Duration)>, Refusal> {
        let wait = self.wait()?;
        let index = self.number("index", "Invalid index")?.unwrap_or(0);
        Ok((index > 0).then_some((index, wait)))
    }

    /// `node-meta=key:value`, repeated.
    #[must_use]
    pub fn node_meta(&self) -> Vec<(String, String)> {
        let pair = |text: String| match text.split_once(':') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (text, String::new()),
        };
        let mut pairs: Vec<_> = self.all("node-meta").into_iter().map(pair).collect();
        pairs.sort();
        pairs
    }
}

/// What Go's ParseBool takes for a boolean.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Undoes percent encoding; in a query a plus is a space.
///
/// # Errors
/// A percent sign without two hexadecimal digits, and bytes that are no text.
pub fn decode(text: &str, plus: bool) -> Result<String, Refusal> {
    let bytes = text.as_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
        if digits.len() < 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            let shown = String::from_utf8_lossy(&bytes[at..(at + 3).min(bytes.len())]).into_owned();
            return Err(Refusal::bad(format!("Invalid URL escape {shown:?}")));
        }
    }
    let spaced = if plus { text.replace('+', " ") } else { text.to_owned() };
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(Refusal::bad("The URL does not decode to UTF-8 text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text).unwrap()
    }

    #[test]
    fn a_switch_is_on_when_it_is_there() {
        for (text, on) in [("passing", true), ("passing=1", true), ("passing=true", true), ("a=b", false)] {
            assert_eq!(query(text).flag("passing"), Ok(on), "{text}");
        }
        for off in ["passing=false", "passing=0"] {
            assert_eq!(query(off).flag("passing"), Ok(false));
        }
        assert_eq!(query("passing=maybe").flag("passing").unwrap_err().status.as_u16(), 400);
    }

    #[test]
    fn waits_are_go_durations_with_default_and_cap() {
        for (text, seconds) in
            [("", 300), ("wait=0s", 300), ("wait=120000ms", 120), ("wait=1m30s", 90), ("wait=2h", 600)]
        {
            assert_eq!(query(text).wait().unwrap().as_secs(), seconds, "{text}");
        }
        for text in ["wait=5", "wait=soon", "wait=-1s"] {
            assert_eq!(query(text).wait().unwrap_err().text, "Invalid wait time", "{text}");
        }
    }

    #[test]
    fn index_zero_does_not_wait() {
        assert_eq!(query("index=0&wait=30s").blocking(), Ok(None));
        assert_eq!(query("index=7&wait=30s").blocking(), Ok(Some((7, Duration::from_secs(30)))));
        for text in ["index=x", "index=-1", "index=99999999999999999999"] {
            assert_eq!(query(text).blocking().unwrap_err().text, "Invalid index", "{text}");
        }
    }

    #[test]
    fn a_plus_is_a_space_and_pairs_keep_their_order() {
        let q = query("tag=a+b&tag=c%2Bd&node-meta=zone:a&tag=");
        assert_eq!(q.all("tag"), ["a b", "c+d"]);
        assert_eq!(q.node_meta(), [("zone".into(), "a".into())]);
    }
}
