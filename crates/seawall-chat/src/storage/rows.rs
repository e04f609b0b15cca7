//! Between values and columns.

use seawall_store::{Op, Row, Sql, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::trouble::Trouble;
use crate::id::Id;

/// An id in a column.
pub(super) fn id(row: &Row, column: usize) -> Result<Id, Trouble> {
    Ok(Id(row.int(column)?.cast_unsigned()))
}

/// An id in a column that may be NULL.
pub(super) fn opt_id(row: &Row, column: usize) -> Result<Option<Id>, Trouble> {
    Ok(row.opt_int(column)?.map(|id| Id(id.cast_unsigned())))
}

/// Text in a column that may be NULL.
pub(super) fn opt_text(row: &Row, column: usize) -> Result<Option<String>, Trouble> {
    Ok(row.opt_text(column)?.map(str::to_owned))
}

/// A number that was small when it was written.
pub(super) fn small<T: TryFrom<i64>>(row: &Row, column: usize) -> Result<T, Trouble> {
    let number = row.int(column)?;
    T::try_from(number).map_err(|_| Trouble::Failed(format!("column {column} holds {number}, out of range")))
}

/// JSON in a column.
pub(super) fn json<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T, Trouble> {
    let wrong = |e| Trouble::Failed(format!("column {column} holds malformed JSON: {e}"));
    serde_json::from_str(row.text(column)?).map_err(wrong)
}

/// A list as JSON in a column; NULL is an empty one.
pub(super) fn list<T: DeserializeOwned>(row: &Row, column: usize) -> Result<Vec<T>, Trouble> {
    if row.is_null(column) { Ok(Vec::new()) } else { json(row, column) }
}

/// A value as JSON.
///
/// # Panics
/// Never: our own types have string keys and no serialiser that fails.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Value {
    Value::Text(serde_json::to_string(value).expect("our own types serialise"))
}

/// A list as JSON, an empty one as NULL.
pub(super) fn to_list<T: Serialize>(list: &[T]) -> Value {
    if list.is_empty() { Value::Null } else { to_json(list) }
}

impl From<Id> for Value {
    fn from(id: Id) -> Value {
        Value::Int(id.to_sql())
    }
}

/// A statement that must touch exactly one row.
pub(super) fn one(sql: &'static Sql, args: Vec<Value>) -> Op {
    Op { sql, args, expect: seawall_store::Expect::Rows(1) }
}

/// A statement that may touch any number of rows.
pub(super) fn any(sql: &'static Sql, args: Vec<Value>) -> Op {
    Op { sql, args, expect: seawall_store::Expect::Any }
}
