//! Where a key lives, and which of several to ask.
//!
//! | what is placed | by | because |
//! |---|---|---|
//! | data in shards | [`ranges`] of the [`hash`] | one interval of the primary key can be scanned, split, moved |
//! | owners, caches | a [`ring`] | adding the eleventh of anything moves 1/11 of the keys and no others |
//! | the same, when some keys are hot | a ring with [bounded](ring::Bound) load | a full member is passed over |
//! | the same, among a few | [`rendezvous`] | no table at all, exact shares, exact weights |
//! | flows | [`maglev`] | every table entry counts the same; a look-up is one read |
//! | links as their document has it | [`ring_crc32`] | data placed by it stays where it is |
//! | stateless calls | [`p2c`] | two random choices, the less busy of them: no shared state, no herd |
//!
//! What each of them costs is no matter of opinion: [`report`] measures how evenly a placement spreads and what
//! a change of members moves, and [`compare`] does both for each [`Kind`], modulo included.
//!
//! Everything here must come to the same answer on every node, so it depends on bytes only: not on the order
//! of configuration, not on pointers, not on the standard library's hasher, whose result is no promise, and
//! not on the machine's mathematics library. Look-ups allocate nothing, except for those that answer with a
//! list.

pub mod hash;
mod kind;
pub mod maglev;
pub mod p2c;
pub mod presets;
pub mod ranges;
pub mod rendezvous;
pub mod report;
pub mod ring;
pub mod ring_crc32;

pub use self::kind::{Comparison, KEYS_MAX, Kind, KindError, MEMBERS_MAX, OutOfRange, compare};
