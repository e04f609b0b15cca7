//! The store's own tables, what a file says about itself, and bringing it up to date.
//!
//! A file carries SQLite's `application_id` (it is one of ours), `user_version` (the format of the
//! tables here) and in `sw_meta` which shard of which set it is and how far its set's migrations went.
//! All of this is looked at before anything is changed: a file that is not ours stays untouched.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::dialect;
use crate::files::{Migration, OpenError};

/// "SEAW" in ASCII.
const APPLICATION_ID: i32 = 0x5345_4157;

/// The format of the tables below. Newer builds read older files; an older build refuses a newer one.
pub(crate) const FORMAT: u32 = 1;

const TABLES: &str = "
CREATE TABLE sw_meta (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL);

-- One row. trimmed: the highest position whose event was deleted.
CREATE TABLE sw_shard (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    trimmed BIGINT NOT NULL
);
INSERT INTO sw_shard (one, epoch, seq, trimmed) VALUES (1, 1, 0, 0);

CREATE TABLE sw_owner (scope TEXT PRIMARY KEY NOT NULL, epoch BIGINT NOT NULL);

-- What was answered to a batch with a key. at: milliseconds since 1970.
CREATE TABLE sw_idem (
    hk BIGINT NOT NULL,
    key BYTEA NOT NULL,
    fingerprint BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    answer BYTEA NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (hk, key)
);
CREATE INDEX sw_idem_at ON sw_idem (at);

CREATE TABLE sw_log (
    seq BIGINT PRIMARY KEY,
    hk BIGINT NOT NULL,
    at BIGINT NOT NULL,
    topic TEXT NOT NULL,
    key BYTEA NOT NULL,
    body BYTEA NOT NULL
);

CREATE TABLE sw_cursor (name TEXT PRIMARY KEY NOT NULL, seq BIGINT NOT NULL);
";

/// Which shard a file is.
pub(crate) struct Identity {
    pub(crate) set: &'static str,
    pub(crate) index: u32,
    pub(crate) shards: u32,
}

/// What was found at a path.
#[derive(PartialEq)]
pub(crate) enum Found {
    /// Nothing yet: a file of no pages.
    Fresh,
    /// One of ours.
    Ours,
}

/// Looks at a file without changing it.
pub(crate) fn inspect(connection: &Connection, path: &Path) -> Result<Found, Trouble> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    // Reading the list of tables is what finds a file that is no database, or a broken one.
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    let id = pragma("application_id")?;
    if id == 0 && tables == 0 {
        return Ok(Found::Fresh);
    }
    if id != i64::from(APPLICATION_ID) {
        return Err(OpenError::NotOurs { path: path.to_owned() }.into());
    }
    newer(path, "format", pragma("user_version")?, FORMAT)?;
    Ok(Found::Ours)
}

/// Makes our tables in a fresh file, checks an old one, and applies the migrations it lacks. The caller
/// holds no transaction; each step here is one, so that a crash leaves a whole version behind.
pub(crate) fn bring_up(
    connection: &Connection,
    path: &Path,
    identity: &Identity,
    migrations: &[Migration],
) -> Result<(), Trouble> {
    transaction(connection, || {
        // Another process may have been faster.
        if inspect(connection, path)? == Found::Fresh {
            create(connection, identity)?;
        }
        check(connection, path, identity, migrations)
    })?;
    for migration in migrations {
        transaction(connection, || {
            if schema_version(connection)? < i64::from(migration.version) {
                connection
                    .execute_batch(&dialect::tables(migration.sql))
                    .and_then(|()| set_meta(connection, "schema", &migration.version.to_string()))
                    .map_err(|source| OpenError::Migration {
                        path: path.to_owned(),
                        version: migration.version,
                        source,
                    })?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn create(connection: &Connection, identity: &Identity) -> Result<(), Trouble> {
    connection.execute_batch(&dialect::tables(TABLES))?;
    set_meta(connection, "set", identity.set)?;
    set_meta(connection, "shard", &identity.index.to_string())?;
    set_meta(connection, "shards", &identity.shards.to_string())?;
    set_meta(connection, "schema", "0")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    Ok(())
}

fn check(
    connection: &Connection,
    path: &Path,
    identity: &Identity,
    migrations: &[Migration],
) -> Result<(), Trouble> {
    let set = meta(connection, "set")?.unwrap_or_default();
    let index = number(meta(connection, "shard")?);
    if set != identity.set || index != i64::from(identity.index) {
        return Err(OpenError::OtherShard { path: path.to_owned(), set, index }.into());
    }
    let found = number(meta(connection, "shards")?);
    if found != i64::from(identity.shards) {
        return Err(OpenError::Shards { path: path.to_owned(), found, asked: identity.shards }.into());
    }
    let known = migrations.last().map_or(0, |m| m.version);
    newer(path, "schema", schema_version(connection)?, known)
}

fn newer(path: &Path, what: &'static str, found: i64, known: u32) -> Result<(), Trouble> {
    if found > i64::from(known) {
        return Err(OpenError::TooNew { path: path.to_owned(), what, found, known }.into());
    }
    Ok(())
}

fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    Ok(number(meta(connection, "schema")?))
}

/// -1 for what is not a number, so that it equals nothing we ask for.
fn number(text: Option<String>) -> i64 {
    text.and_then(|t| t.parse().ok()).unwrap_or(-1)
}

fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM sw_meta WHERE name = $1", [name], |row| row.get(0)).optional()
}

fn set_meta(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO sw_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2",
            params![name, value],
        )
        .map(drop)
}

fn transaction(connection: &Connection, work: impl FnOnce() -> Result<(), Trouble>) -> Result<(), Trouble> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = work().and_then(|()| Ok(connection.execute_batch("COMMIT")?));
    if done.is_err() && !connection.is_autocommit() {
        // The first error is the one to tell; a rollback that fails too changes nothing on disk.
        let _ = connection.execute_batch("ROLLBACK");
    }
    done
}

/// An error of the engine, which may mean "try again", or a verdict on the file.
pub(crate) enum Trouble {
    Engine(rusqlite::Error),
    Verdict(OpenError),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        Trouble::Engine(error)
    }
}

impl From<OpenError> for Trouble {
    fn from(verdict: OpenError) -> Trouble {
        Trouble::Verdict(verdict)
    }
}
