//! What one line says.

use std::path::Path;
use std::time::Duration;

use seawall_policy::{Outcome, Wall};
use serde::Serialize;

use super::{Asked, Ended};
use crate::backend::Backend;

/// Stands for the outcome where no backend was asked.
const REFUSED: &str = "refused";
/// Ends what was cut.
const CUT: &str = "…";

/// One request.
pub(super) struct Line {
    asked: Asked,
    /// When it arrived.
    time: Wall,
    status: Option<u16>,
    outcome: &'static str,
    took: Duration,
    tries: u32,
    backend: Option<std::net::SocketAddr>,
}

/// The keys, in the order in which they are written.
#[derive(Serialize)]
struct Keys<'a> {
    time: String,
    client: std::net::IpAddr,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    route: Option<&'a str>,
    status: Option<u16>,
    outcome: &'static str,
    latency_ms: f64,
    tries: u32,
    backend: Option<std::net::SocketAddr>,
}

impl Line {
    pub(super) fn new(asked: Asked, ended: &Ended, backend: Option<&Backend>, wall: Wall) -> Line {
        // The wall clock is asked once, at the end: a request that arrives costs no second clock.
        let took_ms = i64::try_from(ended.took.as_millis()).unwrap_or(i64::MAX);
        Line {
            asked,
            time: Wall(wall.0.saturating_sub(took_ms)),
            status: ended.status.map(|status| status.as_u16()),
            outcome: ended.outcome.map_or(REFUSED, Outcome::as_str),
            took: ended.took,
            tries: ended.tries,
            backend: backend.map(Backend::addr),
        }
    }

    /// Into which file it goes.
    pub(super) fn path(&self) -> &Path {
        &self.asked.config.access_log.path
    }

    /// Appends itself and a line's end.
    pub(super) fn write(&self, to: &mut Vec<u8>) -> serde_json::Result<()> {
        let Asked { client, method, host, path, route, .. } = &self.asked;
        let keys = Keys {
            time: self.time.to_string(),
            client: *client,
            method,
            host,
            path,
            route: route.as_deref(),
            status: self.status,
            outcome: self.outcome,
            // To the microsecond: more is noise, and as digits more than half of the line.
            latency_ms: self.took.as_micros() as f64 / 1e3,
            tries: self.tries,
            backend: self.backend,
        };
        serde_json::to_writer(&mut *to, &keys)?;
        to.push(b'\n');
        Ok(())
    }
}

/// At most `max` bytes of `text` and a mark where there was more.
pub(super) fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_marked() {
        assert_eq!(cut("/short", 512), "/short");
        assert_eq!(cut("/aé", 3), "/a…");
        assert_eq!(cut(&"x".repeat(600), 512).len(), 512 + CUT.len());
    }
}
