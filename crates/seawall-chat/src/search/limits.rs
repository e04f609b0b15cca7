//! Every bound of search, in one place.

use std::time::Duration;

/// Bytes of documents held in memory before they go to disk as a segment. The library takes no less than 15 MB; with
/// 32 a segment has some hundred thousand short messages.
pub const WRITER_BYTES_MAX: usize = 32 << 20;
/// Threads that merge segments; one, because sending messages comes before searching them.
pub const MERGE_THREADS: usize = 1;
/// How long a message may be on disk and not be found (research: 1 to 2 s).
pub const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// Changed messages after which is committed earlier (research: 5,000).
pub const COMMIT_CHANGES: usize = 5000;
/// How often the store is told how far the index has got, so that it need not keep what came before.
pub const CURSOR_EVERY: Duration = Duration::from_secs(10);
/// Events taken from the store at a time.
pub const CHANGES_MAX: usize = 512;
/// Messages taken from the store at a time while the index is built.
pub const PAGE_MAX: u32 = 500;
/// Guilds looked for at a time while the index is built.
pub const GUILDS_MAX: u32 = 500;
/// How long changes are gathered before they are read.
pub const GATHER: Duration = Duration::from_millis(200);
/// A look at the change stream without being woken.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The wait after the first thing that went wrong; doubled with each until [`PAUSE_MAX`].
pub const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest such wait: building the index reads every message there is.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Searches at work at once in the owner's process; each takes a thread, and most take a millisecond.
pub const SEARCHES_MAX: usize = 4;
/// How long a search may wait for its place, and how long another process waits for the owner's answer.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of a query between processes: the longest lists of ids and the longest content, escaped.
pub const QUERY_BYTES_MAX: usize = 64 << 10;
/// Bytes of the answer: 25 pairs of ids.
pub const HITS_BYTES_MAX: usize = 64 << 10;

/// Messages on a page (Discord).
pub const LIMIT_MAX: usize = 25;
/// Messages that may be passed over (Discord); further back one goes with `max_id`.
pub const OFFSET_MAX: usize = 9975;
/// Characters to search for (Discord).
pub const CONTENT_MAX: usize = 1024;
/// Authors, and users mentioned, that may be named (Discord).
pub const USERS_MAX: usize = 100;
/// Channels that may be named (Discord).
pub const CHANNELS_MAX: usize = 500;
/// Characters of a word that count; longer ones are found by their beginning.
pub const WORD_MAX: usize = 64;
