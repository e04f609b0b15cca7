//! Every bound of the graph that is not configuration or schema, in one place.

use std::time::Duration;

/// Ends that one `assoc_get` may name.
pub const POINTS_MAX: usize = 1000;

/// Objects that one multi-get may name. Redis clients send a few hundred at most.
pub const MANY_MAX: usize = 10_000;

/// Most associations one range can give, whatever the schema says (TAO's cap, typically 6,000).
pub const RANGE_MAX: u32 = 6000;

/// Edges of a list that are fetched together when it is first asked for: 99.5 % of lists are shorter than 25
/// (LinkBench's out-degrees), so one fill is enough for nearly all.
pub const HEAD_FIRST: u32 = 128;

/// Most edges of a list that are kept in memory; longer lists are kept at their head only.
pub const HEAD_MAX: u32 = RANGE_MAX;

/// Keys in one ticket; what goes beyond is folded into positions per database.
pub const TICKET_KEYS_MAX: usize = 64;

/// How long a ticket is worth anything: by then every follower has heard (p99 1 s, design map S1-31).
pub const TICKET_LIFE: Duration = Duration::from_secs(60);

/// Times a fill is asked again because the key changed while it was on its way.
pub const FILL_TRIES_MAX: u32 = 8;

/// Times an update that merges fields is tried again because somebody else changed the object meanwhile.
pub const UPDATE_TRIES_MAX: u32 = 16;

/// Changes taken from a stream at a time.
pub const NEWS_MAX: usize = 1000;

/// Longest idempotency key, in bytes.
pub const KEY_LEN_MAX: usize = 255;

/// How long a write between two databases may be under way before the repair scan takes it for left behind.
pub const INTENT_AGE: Duration = Duration::from_secs(10);

/// Intents one repair scan takes up.
pub const REPAIR_MAX: usize = 500;

/// Longest encoded fields of an object, in bytes: a batch of the store takes 1 MiB (`seawall_store::limits`).
pub const OBJECT_DATA_MAX: usize = 512 << 10;

/// Longest encoded fields of an association, in bytes: [`RANGE_MAX`] of them must fit into one answer of the store
/// (16 MiB). TAO's mean is 98 bytes.
pub const EDGE_DATA_MAX: usize = 2 << 10;
