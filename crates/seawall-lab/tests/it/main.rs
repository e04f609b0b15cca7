//! Real servers and the bench's own machinery, in one binary.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;
mod nginx;
