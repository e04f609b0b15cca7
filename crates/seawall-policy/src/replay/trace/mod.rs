//! Reading a trace, line by line, without holding it.
//!
//! A trace is JSON, an object a line, or CSV with a header; the first line decides. What a [`Record`] needs
//! is found by name, and other columns and keys are passed over:
//!
//! | what | named | written |
//! |---|---|---|
//! | when the call began | `time`, `ts`, `at` | RFC 3339; or seconds, since 1970 or since any start |
//! | what came of it | `outcome` | the name of an [`Outcome`](crate::Outcome) |
//! | or else | `status` | an HTTP status, judged as the balancer does |
//! | how long it took | `latency`, `took`, `duration` | with `_ms`, `_s`, `_us` or `_ns` a number; or `"12ms"` |
//! | how often it was tried | `tries` | 1 when left out |
//! | how much it matters | `priority` | `p0` to `p4`; `p0` when left out |
//! | whether it may happen twice | `method` | POST, PATCH and what is unknown may not; it may when left out |
//!
//! The balancer's access log is such a trace. Its lines about requests that were answered without a call
//! (`"outcome":"refused"`) are counted and passed over, as are blank lines and those that begin with `#`.
//!
//! ## Why a line that cannot be read is an error
//!
//! A trace with the failures missing makes every policy look good. So each bad line is told, with what to
//! write instead, and whoever goes on all the same has decided to.

mod csv;
mod fields;
mod json;
mod order;
mod time;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use self::fields::{Call, Fields};
pub use self::order::OUT_OF_ORDER_MAX;
use self::order::Order;
use self::time::Moment;
use super::Record;
use crate::{Mono, Wall, duration};

/// Longest line, in bytes.
pub const LINE_MAX: usize = 64 * 1024;
/// Different keys of one trace; a breaker or rate limit is kept for each.
pub const KEYS_MAX: usize = 10_000;
/// Longest key, in bytes: as long as a path of the balancer's access log.
pub const KEY_LEN_MAX: usize = 512;

/// A line that was not understood: why, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Bad {
    why: String,
    /// Nothing after it can be read either: it was the header.
    pub is_header: bool,
}

/// Reads lines, gives records in the order in which the calls began.
#[derive(Debug, Default)]
pub struct Reader {
    by: Option<String>,
    format: Option<Format>,
    order: Order,
    keys: HashSet<Arc<str>>,
    /// Whether times are dates, as the first one was.
    dated: Option<bool>,
    start: Option<i64>,
    refused: u64,
}

#[derive(Debug)]
enum Format {
    Json,
    Csv(csv::Header),
}

impl Reader {
    /// Reads a trace of calls that all belong to one.
    #[must_use]
    pub fn new() -> Reader {
        Reader::default()
    }

    /// Reads a trace whose calls belong to different ones, told apart by the column or key of this name.
    #[must_use]
    pub fn by(name: &str) -> Reader {
        Reader { by: Some(name.to_owned()), ..Reader::default() }
    }

    /// Takes one line, with or without its end. Gives a record when more than [`OUT_OF_ORDER_MAX`] wait.
    ///
    /// # Errors
    /// [`Bad`], and then the line changes nothing.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Record>, Bad> {
        if line.len() > LINE_MAX {
            return Err(bad(format!("longer than {LINE_MAX} bytes; is it a trace?")));
        }
        let Ok(line) = str::from_utf8(line) else { return Err(bad("not UTF-8 text".to_owned())) };
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        let by = self.by.as_deref();
        let fields = match &self.format {
            Some(Format::Csv(header)) => header.row(line),
            Some(Format::Json) => json::read(line, by),
            None if line.starts_with('{') => {
                self.format = Some(Format::Json);
                json::read(line, by)
            }
            None => {
                let header = csv::Header::read(line, by).map_err(|why| Bad { why, is_header: true })?;
                self.format = Some(Format::Csv(header));
                return Ok(None);
            }
        };
        self.fields(&fields.map_err(bad)?).map_err(bad)
    }

    fn fields(&mut self, fields: &Fields<'_>) -> Result<Option<Record>, String> {
        let Call { moment, took, outcome, tries, idempotent, priority, key } = fields.read()?;
        let Some(outcome) = outcome else {
            self.refused += 1;
            return Ok(None);
        };
        self.check_clock(moment)?;
        let key = self.key(key)?;
        let record = Record { at: Mono::default(), outcome, took, tries, idempotent, priority, key };
        match self.order.put(moment.us, record) {
            Ok(first) => Ok(first.map(|first| self.let_go(first))),
            Err(late_us) => {
                let late = duration::format(Duration::from_micros(late_us.unsigned_abs()));
                Err(format!(
                    "time: began {late} too early, also for the {OUT_OF_ORDER_MAX} calls that wait; sort the trace by time"
                ))
            }
        }
    }

    /// The next of those that still wait, when all lines were taken.
    pub fn rest(&mut self) -> Option<Record> {
        let first = self.order.take()?;
        Some(self.let_go(first))
    }

    /// When the first call began, if the trace says so by date. Known with the first record.
    #[must_use]
    pub fn start(&self) -> Option<Wall> {
        self.start.filter(|_| self.dated == Some(true)).map(|us| Wall(us.div_euclid(1_000)))
    }

    /// Lines about requests that were answered without a call.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn let_go(&mut self, (us, record): (i64, Record)) -> Record {
        let since = us.saturating_sub(*self.start.get_or_insert(us));
        Record { at: Mono::default() + Duration::from_micros(since.unsigned_abs()), ..record }
    }

    /// A date among seconds since a start would put decades between two calls.
    fn check_clock(&mut self, moment: Moment) -> Result<(), String> {
        if *self.dated.get_or_insert(moment.is_date) == moment.is_date {
            return Ok(());
        }
        Err(match moment.is_date {
            true => {
                "time: a date, where the lines above have seconds since a start; use one of them".to_owned()
            }
            false => {
                "time: seconds since a start, where the lines above have dates; use one of them".to_owned()
            }
        })
    }

    fn key(&mut self, key: Option<String>) -> Result<Option<Arc<str>>, String> {
        let Some(by) = &self.by else { return Ok(None) };
        let key = key.ok_or_else(|| format!("{by}: missing; the calls cannot be told apart"))?;
        if let Some(known) = self.keys.get(key.as_str()) {
            return Ok(Some(known.clone()));
        }
        if key.len() > KEY_LEN_MAX {
            return Err(format!("{by}: longer than {KEY_LEN_MAX} bytes"));
        }
        if self.keys.len() == KEYS_MAX {
            return Err(format!(
                "{by}: more than {KEYS_MAX} different ones; tell calls apart by something else"
            ));
        }
        let key: Arc<str> = key.into();
        self.keys.insert(key.clone());
        Ok(Some(key))
    }
}

fn bad(why: String) -> Bad {
    Bad { why, is_header: false }
}
