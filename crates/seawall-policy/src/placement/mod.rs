//! Where a key lives, and which of several to ask.
//!
//! | what is placed | by | because |
//! |---|---|---|
//! | data in shards | [`ranges`] of the [`hash`] | one interval of the primary key can be scanned, split, moved |
//! | owners, caches | a [`ring`] | adding the eleventh of anything moves 1/11 of the keys and no others |
//! | stateless calls | [`p2c`] | two random choices, the less busy of them: no shared state, no herd |
//!
//! Everything here must come to the same answer on every node, so it depends on bytes only: not on the order
//! of configuration, not on pointers, not on the standard library's hasher, whose result is no promise.

pub mod hash;
pub mod p2c;
pub mod ranges;
pub mod ring;
