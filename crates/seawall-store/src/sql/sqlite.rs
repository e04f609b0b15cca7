//! SQLite itself: connections, statements and what its errors mean.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, ToSql, ffi};

use crate::limits;
use crate::types::Sql;
use crate::value::{Row, Rows, Value};

/// Opens a file. Creates it only if asked to: a file that has vanished under a running process must
/// not come back empty.
pub(crate) fn connect(path: &Path, create: bool) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags)?;
    // Ours is finer, jittered, and knows the callers' deadlines.
    connection.busy_timeout(Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(limits::STATEMENTS_MAX);
    Ok(connection)
}

/// What holds for a connection's life. Apart from `connect`, because even these need to read the file,
/// and a file that is not ours must not be touched.
pub(crate) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // A commit that was answered survives a power cut: NORMAL would lose the last ones.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The bundled build turns them on; other engines we support make them costly or forbid them.
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "journal_size_limit", limits::WAL_BYTES_KEPT)
}

/// The same for a reader, which must never write.
pub(crate) fn configure_reader(connection: &Connection) -> rusqlite::Result<()> {
    configure(connection)?;
    connection.pragma_update(None, "query_only", true)
}

/// Why a statement did not work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A uniqueness rule: the data is in another state than the caller thought.
    Conflict,
    /// More rows than a caller may take at once.
    TooMany,
    /// Wrong whenever and wherever it runs.
    Invalid(String),
    /// The engine could not; says nothing about the statement.
    Engine(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        const UNIQUE: [i32; 3] =
            [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY, ffi::SQLITE_CONSTRAINT_ROWID];
        match error.sqlite_error() {
            Some(e) if UNIQUE.contains(&e.extended_code) => Failure::Conflict,
            Some(e) => match e.code {
                ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::ParameterOutOfRange
                // Plain SQLITE_ERROR: a table or column that is not there, a syntax error.
                | ErrorCode::Unknown => Failure::Invalid(error.to_string()),
                _ => Failure::Engine(error),
            },
            None => Failure::Invalid(error.to_string()),
        }
    }
}

/// Whether another process holds the lock we asked for.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether the engine refuses writes but is otherwise well: nothing of the transaction happened.
pub(crate) fn is_read_only(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::ReadOnly))
}

/// How much a caller may still get back.
pub(crate) struct Room {
    rows: usize,
    bytes: usize,
}

impl Room {
    pub(crate) fn new() -> Room {
        Room { rows: limits::ROWS_MAX, bytes: limits::ROWS_BYTES_MAX }
    }

    fn take(&mut self, row: &Row) -> Result<(), Failure> {
        let bytes = row.values().iter().map(Value::size).sum::<usize>();
        match (self.rows.checked_sub(1), self.bytes.checked_sub(bytes)) {
            (Some(rows), Some(bytes)) => {
                *self = Room { rows, bytes };
                Ok(())
            }
            _ => Err(Failure::TooMany),
        }
    }
}

/// Runs a statement; gives its rows and how many rows it touched.
pub(crate) fn run(
    connection: &Connection,
    sql: &Sql,
    args: &[Value],
    room: &mut Room,
) -> Result<(Rows, u64), Failure> {
    let mut statement = connection.prepare_cached(sql.text).map_err(|e| named(sql, e.into()))?;
    bind(&mut statement, sql, args)?;
    if statement.column_count() == 0 {
        let touched = statement.raw_execute().map_err(|e| named(sql, e.into()))?;
        return Ok((Rows::new(), touched as u64));
    }
    let rows = collect(&mut statement, room).map_err(|e| named(sql, e))?;
    let touched = rows.len() as u64;
    Ok((rows, touched))
}

/// Runs a statement that must not write.
pub(crate) fn query(
    connection: &Connection,
    sql: &Sql,
    args: &[Value],
    room: &mut Room,
) -> Result<Rows, Failure> {
    let mut statement = connection.prepare_cached(sql.text).map_err(|e| named(sql, e.into()))?;
    if !statement.readonly() {
        return Err(Failure::Invalid(format!("statement {}: a read must not write", sql.name)));
    }
    bind(&mut statement, sql, args)?;
    collect(&mut statement, room).map_err(|e| named(sql, e))
}

fn collect(statement: &mut Statement<'_>, room: &mut Room) -> Result<Rows, Failure> {
    let columns = statement.column_count();
    let mut rows = Rows::new();
    let mut cursor = statement.raw_query();
    while let Some(found) = cursor.next()? {
        let values = (0..columns).map(|i| value(found.get_ref(i)?)).collect::<Result<Vec<_>, Failure>>()?;
        let row = Row::from(values);
        room.take(&row)?;
        rows.push(row);
    }
    Ok(rows)
}

/// SQLite numbers `$1` by first appearance, not by its number, so each is bound by its name.
fn bind(statement: &mut Statement<'_>, sql: &Sql, args: &[Value]) -> Result<(), Failure> {
    let mut highest = 0;
    for index in 1..=statement.parameter_count() {
        let number = statement
            .parameter_name(index)
            .and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok())
            .filter(|n| *n > 0)
            .ok_or_else(|| invalid(sql, "placeholders are $1, $2 and so on"))?;
        highest = highest.max(number);
        let Some(arg) = args.get(number - 1) else {
            return Err(invalid(sql, &format!("${number} has no argument among {}", args.len())));
        };
        statement.raw_bind_parameter(index, arg).map_err(|e| named(sql, e.into()))?;
    }
    if highest < args.len() {
        return Err(invalid(sql, &format!("{} arguments for {highest} placeholders", args.len())));
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(v) => ValueRef::Integer(*v),
            Value::Real(v) => ValueRef::Real(*v),
            Value::Text(v) => ValueRef::Text(v.as_bytes()),
            Value::Blob(v) => ValueRef::Blob(v),
            Value::Bool(v) => ValueRef::Integer(i64::from(*v)),
        }))
    }
}

fn value(found: ValueRef<'_>) -> Result<Value, Failure> {
    Ok(match found {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(v) => Value::Int(v),
        ValueRef::Real(v) => Value::Real(v),
        ValueRef::Text(v) => Value::Text(
            String::from_utf8(v.to_vec())
                .map_err(|_| Failure::Invalid("text that is not UTF-8".to_owned()))?,
        ),
        ValueRef::Blob(v) => Value::Blob(v.to_vec()),
    })
}

fn invalid(sql: &Sql, what: &str) -> Failure {
    Failure::Invalid(format!("statement {}: {what}", sql.name))
}

fn named(sql: &Sql, failure: Failure) -> Failure {
    match failure {
        Failure::Invalid(what) => invalid(sql, &what),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &'static str, args: &[Value]) -> Result<Rows, Failure> {
        let connection = Connection::open_in_memory().unwrap();
        run(&connection, &Sql { name: "test", text }, args, &mut Room::new()).map(|(rows, _)| rows)
    }

    fn error(text: &'static str, args: &[Value]) -> String {
        match ask(text, args) {
            Err(Failure::Invalid(what)) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn placeholders_are_bound_by_number_not_by_appearance() {
        let rows = ask("SELECT $2, $1, $2", &[Value::Int(1), Value::Int(2)]).unwrap();
        assert_eq!(rows, [Row::from(vec![Value::Int(2), Value::Int(1), Value::Int(2)])]);
    }

    #[test]
    fn wrong_arguments_are_clear_errors() {
        let one = [Value::Int(1)];
        assert_eq!(error("SELECT $1, $2", &one), "statement test: $2 has no argument among 1");
        assert_eq!(error("SELECT 1", &one), "statement test: 1 arguments for 0 placeholders");
        assert_eq!(error("SELECT ?", &one), "statement test: placeholders are $1, $2 and so on");
        assert!(error("SELECT x", &[]).contains("no such column: x"));
    }

    #[test]
    fn an_answer_is_bounded_by_rows_and_by_bytes() {
        let series =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT i FROM n";
        assert_eq!(ask(series, &[Value::Int(limits::ROWS_MAX as i64)]).unwrap().len(), limits::ROWS_MAX);
        assert!(matches!(ask(series, &[Value::Int(limits::ROWS_MAX as i64 + 1)]), Err(Failure::TooMany)));
        let wide = [Value::Int(limits::ROWS_BYTES_MAX as i64 + 1)];
        assert!(matches!(ask("SELECT zeroblob($1)", &wide), Err(Failure::TooMany)));
    }
}
