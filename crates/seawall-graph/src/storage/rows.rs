//! Between rows and values, and statements with what is expected of them.

use seawall_store::{Expect, Op, Row, Sql, Value};

use super::Trouble;
use crate::call::{AssocType, Data, ObjectType, Time, Version};
use crate::id::Id;

impl From<Id> for Value {
    fn from(id: Id) -> Value {
        Value::Int(id.to_sql())
    }
}

impl From<ObjectType> for Value {
    fn from(otype: ObjectType) -> Value {
        Value::Int(otype.0.into())
    }
}

impl From<AssocType> for Value {
    fn from(atype: AssocType) -> Value {
        Value::Int(atype.0.into())
    }
}

impl From<Time> for Value {
    fn from(time: Time) -> Value {
        Value::Int(time.0.into())
    }
}

impl From<&Data> for Value {
    fn from(data: &Data) -> Value {
        Value::Blob(data.bytes().to_vec())
    }
}

impl From<Version> for Value {
    fn from(version: Version) -> Value {
        // No list gets there; a caller's number may, and then equals none.
        Value::Int(i64::try_from(version.0).unwrap_or(i64::MAX))
    }
}

/// A statement that must touch exactly one row.
pub(super) fn one(sql: &'static Sql, args: Vec<Value>) -> Op {
    Op { sql, args, expect: Expect::Rows(1) }
}

/// A statement that may touch any number of rows.
pub(super) fn any(sql: &'static Sql, args: Vec<Value>) -> Op {
    Op { sql, args, expect: Expect::Any }
}

pub(super) fn id(row: &Row, column: usize) -> Result<Id, Trouble> {
    Ok(Id::try_from(row.int(column)?)?)
}

pub(super) fn otype(row: &Row, column: usize) -> Result<ObjectType, Trouble> {
    small(row, column).map(ObjectType)
}

pub(super) fn atype(row: &Row, column: usize) -> Result<AssocType, Trouble> {
    small(row, column).map(AssocType)
}

pub(super) fn opt_atype(row: &Row, column: usize) -> Result<Option<AssocType>, Trouble> {
    if row.is_null(column) { Ok(None) } else { atype(row, column).map(Some) }
}

pub(super) fn time(row: &Row, column: usize) -> Result<Time, Trouble> {
    small(row, column).map(Time)
}

pub(super) fn data(row: &Row, column: usize) -> Result<Data, Trouble> {
    Ok(Data::from(row.blob(column)?.to_vec()))
}

pub(super) fn version(row: &Row, column: usize) -> Result<Version, Trouble> {
    small(row, column).map(Version)
}

/// A number that fits what it is read into.
pub(super) fn small<T: TryFrom<i64>>(row: &Row, column: usize) -> Result<T, Trouble> {
    let number = row.int(column)?;
    T::try_from(number).map_err(|_| Trouble::Broken(format!("column {column} holds {number}")))
}
