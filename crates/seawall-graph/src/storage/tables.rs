//! The tables.
//!
//! Everything about an object has the hash key of its logical shard, and everything about a list that of its first
//! end: co-located ids lie together, and moving a logical shard moves one range of each table.

use seawall_store::Migration;

/// The name of the set: files are `graph-0.db` and so on.
pub const SET: &str = "graph";

/// What whoever leads owns on each database.
pub const OWNER_SCOPE: &str = "graph";

/// The steps.
pub const SCHEMA: &[Migration] = &[Migration {
    version: 1,
    sql: "
        -- A deleted object keeps its row, without data: its id is never used again, and its version goes on.
        CREATE TABLE graph_objects (
            hk BIGINT NOT NULL,
            id BIGINT NOT NULL,
            otype BIGINT NOT NULL,
            version BIGINT NOT NULL,
            data BYTEA,
            PRIMARY KEY (hk, id)
        );

        CREATE TABLE graph_assocs (
            hk BIGINT NOT NULL,
            id1 BIGINT NOT NULL,
            atype BIGINT NOT NULL,
            id2 BIGINT NOT NULL,
            time BIGINT NOT NULL,
            data BYTEA NOT NULL,
            PRIMARY KEY (hk, id1, atype, id2)
        );
        -- A list in its order, read from the end.
        CREATE INDEX graph_assocs_time ON graph_assocs (hk, id1, atype, time, id2);

        -- step: by how much the last change changed the count. It is how a statement that counts also says whether
        -- there was something to count: of two statements in a batch only the database has seen both.
        CREATE TABLE graph_lists (
            hk BIGINT NOT NULL,
            id1 BIGINT NOT NULL,
            atype BIGINT NOT NULL,
            count BIGINT NOT NULL,
            version BIGINT NOT NULL,
            step BIGINT NOT NULL,
            PRIMARY KEY (hk, id1, atype)
        );

        -- Writes under way between two databases, at the lower of the two ids: one for each pair at a time.
        -- what: 1 add, 2 delete, 3 change of type. No index by age: there are only as many rows as such writes are
        -- under way or were left behind.
        CREATE TABLE graph_intents (
            hk BIGINT NOT NULL,
            low BIGINT NOT NULL,
            high BIGINT NOT NULL,
            number BYTEA NOT NULL,
            fingerprint BIGINT NOT NULL,
            at BIGINT NOT NULL,
            what BIGINT NOT NULL,
            id1 BIGINT NOT NULL,
            atype BIGINT NOT NULL,
            id2 BIGINT NOT NULL,
            inverse BIGINT,
            to_atype BIGINT,
            to_inverse BIGINT,
            time BIGINT NOT NULL,
            data BYTEA NOT NULL,
            PRIMARY KEY (hk, low, high)
        );

        -- One row, on the first database.
        CREATE TABLE graph_schema (
            hk BIGINT NOT NULL,
            number BIGINT NOT NULL,
            text TEXT NOT NULL,
            PRIMARY KEY (hk)
        );
        -- One row, on the first database: the process that leads.
        CREATE TABLE graph_leader (
            hk BIGINT NOT NULL,
            holder TEXT NOT NULL,
            address TEXT NOT NULL,
            renewed_at BIGINT NOT NULL,
            PRIMARY KEY (hk)
        );",
}];
