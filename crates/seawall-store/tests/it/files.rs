//! Opening: what is created, what is refused, and in which words.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use seawall_store::{Files, Migration, OpenError, Plants, Position, ShardSet, hk};

use crate::support::{Engine, TABLES, TestClock, at, files, insert};

fn open(data: &Path, shards: u32, schema: &'static [Migration]) -> Result<ShardSet, OpenError> {
    store(data).open("test", shards, schema)
}

fn store(data: &Path) -> Files {
    files(data, &TestClock::new(), Plants::default())
}

fn sql(path: &Path, text: &str) {
    Connection::open(path).unwrap().execute_batch(text).unwrap();
}

fn refusal(data: &Path, shards: u32) -> String {
    open(data, shards, TABLES).map(drop).unwrap_err().to_string().replace(data.to_str().unwrap(), "DATA")
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let later = seawall_policy::Mono(u64::MAX);
    let data = data.path().join("made/on/the/way");
    for round in 1..4 {
        let store = files(&data, &clock, Plants::default());
        let set = store.open("test", 2, TABLES).unwrap();
        at(&set.get(0).write(insert(round), later).await);
        assert_eq!(crate::support::items(set.get(0)).await, (1..=round).collect::<Vec<_>>());
    }
    let names: std::collections::BTreeSet<_> =
        fs::read_dir(&data).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    // The last to close a file also takes its write-ahead file away: everything was closed.
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), ["test-0.db", "test-1.db"]);
}

#[tokio::test]
async fn a_set_that_is_open_is_not_opened_twice() {
    let e = Engine::new(2);
    let descriptors = || {
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        open.filter(|fd| fs::read_link(fd.path()).is_ok_and(|path| path == e.data().join("test-0.db")))
            .count()
    };
    let before = descriptors();
    let again: Vec<ShardSet> = (0..20).map(|_| e.files.open("test", 2, TABLES).unwrap()).collect();
    assert_eq!(descriptors(), before);
    at(&again[7].get(0).write(insert(1), e.later()).await);
    assert_eq!(e.items().await, [1]);
}

#[test]
fn a_key_lives_on_the_shard_its_hash_falls_into() {
    let e = Engine::new(4);
    for i in 0..1000 {
        let key = hk(format!("key {i}").as_bytes());
        assert_eq!(e.set.of(key).index(), e.set.index_of(key));
    }
    assert_eq!(
        (e.set.index_of(i64::MIN), e.set.index_of(-1), e.set.index_of(0), e.set.index_of(i64::MAX)),
        (0, 1, 2, 3)
    );
    let lows: Vec<i64> = e.set.iter().map(|s| s.hk_min()).collect();
    assert_eq!(lows, [i64::MIN, i64::MIN / 2, 0, i64::MAX / 2 + 1]);
}

#[test]
fn the_number_of_shards_is_fixed_at_creation() {
    let data = tempfile::tempdir().unwrap();
    drop(open(data.path(), 4, TABLES).unwrap());
    let text = "DATA/test-0.db was created as one of 4 shards, not 2; set the number back to 4";
    assert_eq!(refusal(data.path(), 2), text);
    let store = store(data.path());
    let _set = store.open("test", 4, TABLES).unwrap();
    assert!(matches!(store.open("test", 5, TABLES), Err(OpenError::Shards { found: 4, asked: 5, .. })));
    assert_eq!(refusal(data.path(), 0), "0 shards asked for; use 1 to 1024");
    drop(open(data.path(), 4, TABLES).unwrap());
}

#[test]
fn a_renamed_file_is_found_out() {
    let data = tempfile::tempdir().unwrap();
    drop(open(data.path(), 2, TABLES).unwrap());
    fs::rename(data.path().join("test-1.db"), data.path().join("test-0.db")).unwrap();
    assert_eq!(refusal(data.path(), 2), "DATA/test-0.db is shard 1 of the set \"test\"; was it renamed?");
}

#[test]
fn a_newer_file_is_refused_with_advice() {
    let advice = "start the newer build, or restore a backup from before the upgrade";
    let data = tempfile::tempdir().unwrap();
    drop(open(data.path(), 1, TABLES).unwrap());
    let path = data.path().join("test-0.db");
    sql(&path, "PRAGMA user_version = 2");
    assert_eq!(
        refusal(data.path(), 1),
        format!("DATA/test-0.db has format 2, this build knows up to 1; {advice}")
    );
    sql(&path, "PRAGMA user_version = 1; UPDATE sw_meta SET value = '7' WHERE name = 'schema'");
    assert_eq!(
        refusal(data.path(), 1),
        format!("DATA/test-0.db has schema 7, this build knows up to 1; {advice}")
    );
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("test-0.db");
    fs::write(&path, "not a database at all, but long enough to have a header".repeat(100)).unwrap();
    let before = fs::read(&path).unwrap();
    assert_eq!(
        refusal(data.path(), 1),
        "DATA/test-0.db is not a database; move it away, or restore it from a backup"
    );
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_file(&path).unwrap();
    sql(&path, "CREATE TABLE diary (day TEXT)");
    let before = fs::read(&path).unwrap();
    assert_eq!(
        refusal(data.path(), 1),
        "DATA/test-0.db is a SQLite database but not one of Seawall's; move it away"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_file_is_refused() {
    let data = tempfile::tempdir().unwrap();
    drop(open(data.path(), 1, TABLES).unwrap());
    let path = data.path().join("test-0.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..4096].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    assert_eq!(refusal(data.path(), 1), "DATA/test-0.db is damaged; restore it from a backup");
}

#[test]
fn an_unusable_directory_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("file");
    fs::write(&file, "").unwrap();
    let error = open(&file.join("below"), 1, TABLES).map(drop).unwrap_err();
    assert!(error.to_string().starts_with("cannot use the data directory"), "{error}");
    assert!(error.to_string().ends_with("choose a writable one with --data"), "{error}");
    // Where even root may not make a file.
    let error = open(Path::new("/proc/self"), 1, TABLES).map(drop).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot write /proc/self/test-0.db; check who owns it, or choose a writable directory with --data"
    );
}

const NEXT: &[Migration] =
    &[TABLES[0], Migration { version: 2, sql: "ALTER TABLE item ADD COLUMN size BIGINT" }];
const BROKEN: &[Migration] = &[
    TABLES[0],
    Migration {
        version: 2,
        sql: "CREATE TABLE more (hk BIGINT NOT NULL); CREATE TABLE item (hk BIGINT NOT NULL)",
    },
];

#[tokio::test]
async fn migrations_run_once_and_in_order() {
    let e = Engine::new(1);
    at(&e.write(insert(1)).await);
    for _ in 0..2 {
        let later = open(e.data(), 1, NEXT).unwrap();
        assert_eq!(crate::support::items(later.get(0)).await, [1]);
    }
    assert!(matches!(
        open(e.data(), 1, TABLES),
        Err(OpenError::TooNew { what: "schema", found: 2, known: 1, .. })
    ));
}

#[test]
fn a_migration_that_fails_leaves_the_file_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    drop(open(data.path(), 1, TABLES).unwrap());
    for _ in 0..2 {
        let error = open(data.path(), 1, BROKEN).map(drop).unwrap_err();
        assert!(matches!(error, OpenError::Migration { version: 2, .. }), "{error}");
    }
    drop(open(data.path(), 1, NEXT).unwrap());
}

#[test]
fn several_openers_of_a_new_directory_agree() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let openers: Vec<_> = (0..4)
        .map(|_| {
            let data = data.clone();
            std::thread::spawn(move || open(data.path(), 3, TABLES).map(drop))
        })
        .collect();
    for opener in openers {
        opener.join().unwrap().unwrap();
    }
    assert_eq!(open(data.path(), 3, TABLES).unwrap().len(), 3);
}

#[tokio::test]
async fn tables_are_strict_synchronous_and_without_foreign_keys() {
    let e = Engine::new(1);
    let raw = Connection::open(e.data().join("test-0.db")).unwrap();
    let lax: i64 = raw
        .query_row("SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite_%'", [], |r| r.get(0))
        .unwrap();
    let mode: String = raw.pragma_query_value(None, "journal_mode", |r| r.get(0)).unwrap();
    assert_eq!((lax, mode.as_str()), (0, "wal"));
    const PRAGMAS: seawall_store::Sql = seawall_store::Sql {
        name: "settings",
        text: "SELECT s.synchronous, f.foreign_keys, t.timeout
               FROM pragma_synchronous s, pragma_foreign_keys f, pragma_busy_timeout t",
    };
    let found = e.shard().read(seawall_store::Freshness::Any, &PRAGMAS, vec![]).await.unwrap();
    let row = &found.rows[0];
    assert_eq!((row.int(0), row.int(1), row.int(2)), (Ok(2), Ok(0), Ok(0)));
    assert_eq!(found.at, Position(0));
}
