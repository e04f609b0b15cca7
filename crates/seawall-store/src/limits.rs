//! Every bound of the store, in one place. None is a promise about speed: each stops one caller, or one
//! slow disk, from taking the memory or the patience of all the others.

use std::time::Duration;

/// Batches committed together at most (design document, write path). One fsync then serves 256 callers.
pub const GROUP_BATCHES_MAX: usize = 256;

/// Bytes of batches committed together at most, so that one COMMIT stays short.
pub const GROUP_BYTES_MAX: usize = 1 << 20;

/// Batches waiting for a shard's writer; one more is rejected as busy. Sixteen full groups.
pub const WRITE_QUEUE_MAX: usize = 4096;

/// Bytes waiting for a shard's writer; what goes beyond is rejected as busy.
pub const WRITE_QUEUE_BYTES_MAX: usize = 32 << 20;

/// Reads waiting for a shard's readers; one more is refused as busy.
pub const READ_QUEUE_MAX: usize = 1024;

/// Reader threads, each with its own connection, per shard. A point read is about 8 µs, so two are
/// enough until the cores are.
pub const READERS: usize = 2;

/// Statements in one batch.
pub const BATCH_OPS_MAX: usize = 1024;

/// Bytes of arguments and events in one batch.
pub const BATCH_BYTES_MAX: usize = GROUP_BYTES_MAX;

/// Events in one batch.
pub const BATCH_EVENTS_MAX: usize = 1024;

/// Bytes of one event: topic, key and body.
pub const EVENT_BYTES_MAX: usize = 256 << 10;

/// Rows one read, or one batch through its RETURNING clauses, may give back.
pub const ROWS_MAX: usize = 10_000;

/// Bytes those rows may take.
pub const ROWS_BYTES_MAX: usize = 16 << 20;

/// How long one read may take, waiting included.
pub const READ_TIME_MAX: Duration = Duration::from_secs(5);

/// Virtual-machine steps between two looks at the clock in a running read (about a millisecond).
pub const READ_STEPS: i32 = 10_000;

/// Patience of the store's own small writes: claims, fences and cursors.
pub const CONTROL_TIME_MAX: Duration = Duration::from_secs(5);

/// Shortest wait before asking again for a lock another process holds.
pub const LOCK_RETRY_MIN: Duration = Duration::from_micros(200);

/// Longest such wait. SQLite's own busy handler sleeps up to 100 ms, ten commits of another process.
pub const LOCK_RETRY_MAX: Duration = Duration::from_millis(1);

/// Tries for a lock while a file is being opened: about 6 s, in which another process may be
/// creating or migrating it.
pub const OPEN_TRIES_MAX: u32 = 10_000;

/// How often another process's commits are looked for, and only while someone watches.
pub const WATCH_EVERY: Duration = Duration::from_millis(20);

/// How often old rows are looked for.
pub const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(1);

/// Old rows deleted in one step, so that no caller waits behind a long delete.
pub const HOUSEKEEPING_ROWS_MAX: usize = 2000;

/// The wait after a full step while nobody writes: 200,000 rows a second, and room in between for the
/// writers of other processes.
pub const HOUSEKEEPING_PAUSE: Duration = Duration::from_millis(10);

/// How long an idempotency key is remembered (design document).
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);

/// How long an event is kept for a registered cursor that has not passed it (design document).
pub const LOG_KEPT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long an event is kept although every registered cursor has passed it, so that a reader without
/// a cursor may be a moment late.
pub const LOG_KEPT_MIN: Duration = Duration::from_secs(60);

/// Shards a set may have.
pub const SHARDS_MAX: u32 = 1024;

/// Prepared statements kept per connection; a system has a few dozen.
pub const STATEMENTS_MAX: usize = 256;

/// Bytes the write-ahead file may keep after a checkpoint.
pub const WAL_BYTES_KEPT: i64 = 64 << 20;
