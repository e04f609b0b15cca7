//! Chat as its clients see it: [`listener`]s hold a gateway session as a stock library does, [`speaker`]s write by
//! REST, and [`tally`] compares what everybody heard with what is in the history.

pub mod listener;
pub mod speaker;
pub mod tally;

/// A message as far as a drill needs it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    /// Where.
    pub channel: u64,
    /// Its id; ids of one channel rise.
    pub id: u64,
    /// What; no two of a run are alike.
    pub content: String,
}

impl Said {
    /// From a message's JSON.
    #[must_use]
    pub fn of(message: &serde_json::Value) -> Option<Said> {
        let id = |field: &str| message[field].as_str()?.parse().ok();
        Some(Said {
            channel: id("channel_id")?,
            id: id("id")?,
            content: message["content"].as_str()?.to_owned(),
        })
    }
}
