//! Values, rows, and asking them for what they hold without a panic.

/// One value, as a portable column holds it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// BIGINT.
    Int(i64),
    /// DOUBLE PRECISION. SQLite keeps NaN as NULL.
    Real(f64),
    /// TEXT.
    Text(String),
    /// BYTEA, which SQLite calls BLOB.
    Blob(Vec<u8>),
    /// BOOLEAN. SQLite gives it back as the integers 0 and 1; [`Row::bool`] accepts both.
    Bool(bool),
}

impl Value {
    /// Bytes of payload, as the limits count them.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Value::Null | Value::Bool(_) => 1,
            Value::Int(_) | Value::Real(_) => 8,
            Value::Text(t) => t.len(),
            Value::Blob(b) => b.len(),
        }
    }

    /// What an error message calls this kind of value.
    fn kind(&self) -> &'static str {
        match self {
            Value::Null => "NULL",
            Value::Int(_) => "an integer",
            Value::Real(_) => "a real number",
            Value::Text(_) => "text",
            Value::Blob(_) => "bytes",
            Value::Bool(_) => "a boolean",
        }
    }
}

impl From<i64> for Value {
    fn from(v: i64) -> Value {
        Value::Int(v)
    }
}

impl From<f64> for Value {
    fn from(v: f64) -> Value {
        Value::Real(v)
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Value {
        Value::Bool(v)
    }
}

impl From<String> for Value {
    fn from(v: String) -> Value {
        Value::Text(v)
    }
}

impl From<&str> for Value {
    fn from(v: &str) -> Value {
        Value::Text(v.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(v: Vec<u8>) -> Value {
        Value::Blob(v)
    }
}

impl From<&[u8]> for Value {
    fn from(v: &[u8]) -> Value {
        Value::Blob(v.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(v: [u8; N]) -> Value {
        Value::Blob(v.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Value {
        v.map_or(Value::Null, Into::into)
    }
}

/// A column held something else than it was asked for: the statement and its reader disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column} is {found}, not {wanted}")]
pub struct Mismatch {
    /// Which column, from 0.
    pub column: usize,
    /// What it was asked for.
    pub wanted: &'static str,
    /// What it held.
    pub found: &'static str,
}

/// One row of an answer. Columns are counted from 0, in the order the statement names them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row(Vec<Value>);

/// The rows of one statement's answer.
pub type Rows = Vec<Row>;

impl Row {
    /// The value of a column, if the row has that many.
    #[must_use]
    pub fn get(&self, column: usize) -> Option<&Value> {
        self.0.get(column)
    }

    /// All values, in order.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.0
    }

    /// Whether a column is NULL. A column the row does not have is not.
    #[must_use]
    pub fn is_null(&self, column: usize) -> bool {
        matches!(self.get(column), Some(Value::Null))
    }

    /// An integer. Fails on any other kind of value, NULL included.
    pub fn int(&self, column: usize) -> Result<i64, Mismatch> {
        match self.get(column) {
            Some(Value::Int(v)) => Ok(*v),
            other => Err(mismatch(column, "an integer", other)),
        }
    }

    /// A real number; an integer is taken as one. Fails on any other kind of value.
    pub fn real(&self, column: usize) -> Result<f64, Mismatch> {
        match self.get(column) {
            Some(Value::Real(v)) => Ok(*v),
            Some(Value::Int(v)) => Ok(*v as f64),
            other => Err(mismatch(column, "a real number", other)),
        }
    }

    /// Text. Fails on any other kind of value.
    pub fn text(&self, column: usize) -> Result<&str, Mismatch> {
        match self.get(column) {
            Some(Value::Text(v)) => Ok(v),
            other => Err(mismatch(column, "text", other)),
        }
    }

    /// Bytes. Fails on any other kind of value.
    pub fn blob(&self, column: usize) -> Result<&[u8], Mismatch> {
        match self.get(column) {
            Some(Value::Blob(v)) => Ok(v),
            other => Err(mismatch(column, "bytes", other)),
        }
    }

    /// A boolean, or the integers 0 and 1 that SQLite keeps instead. Fails on any other value.
    pub fn bool(&self, column: usize) -> Result<bool, Mismatch> {
        match self.get(column) {
            Some(Value::Bool(v)) => Ok(*v),
            Some(Value::Int(v @ (0 | 1))) => Ok(*v == 1),
            other => Err(mismatch(column, "a boolean", other)),
        }
    }

    /// As [`Row::int`], with NULL as `None`.
    pub fn opt_int(&self, column: usize) -> Result<Option<i64>, Mismatch> {
        if self.is_null(column) { Ok(None) } else { self.int(column).map(Some) }
    }

    /// As [`Row::text`], with NULL as `None`.
    pub fn opt_text(&self, column: usize) -> Result<Option<&str>, Mismatch> {
        if self.is_null(column) { Ok(None) } else { self.text(column).map(Some) }
    }

    /// As [`Row::blob`], with NULL as `None`.
    pub fn opt_blob(&self, column: usize) -> Result<Option<&[u8]>, Mismatch> {
        if self.is_null(column) { Ok(None) } else { self.blob(column).map(Some) }
    }
}

impl From<Vec<Value>> for Row {
    fn from(values: Vec<Value>) -> Row {
        Row(values)
    }
}

fn mismatch(column: usize, wanted: &'static str, found: Option<&Value>) -> Mismatch {
    Mismatch { column, wanted, found: found.map_or("missing", Value::kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_type_is_an_error_that_names_column_and_both_kinds() {
        let row = Row::from(vec![Value::Int(7), Value::Null, Value::from("x")]);
        assert_eq!(row.int(0), Ok(7));
        assert_eq!(row.text(0).unwrap_err().to_string(), "column 0 is an integer, not text");
        assert_eq!(row.int(1).unwrap_err().to_string(), "column 1 is NULL, not an integer");
        assert_eq!(row.blob(3).unwrap_err().to_string(), "column 3 is missing, not bytes");
        assert_eq!(row.bool(0).unwrap_err().to_string(), "column 0 is an integer, not a boolean");
    }

    #[test]
    fn null_is_none_only_where_it_was_asked_for() {
        let row = Row::from(vec![Value::from(None::<i64>), Value::from(Some("x"))]);
        assert_eq!(row.opt_int(0), Ok(None));
        assert_eq!(row.opt_text(1), Ok(Some("x")));
        assert!(row.opt_int(1).is_err());
    }

    #[test]
    fn a_boolean_reads_back_from_the_integer_sqlite_keeps() {
        let row = Row::from(vec![Value::Int(1), Value::Int(0), Value::Bool(true)]);
        assert_eq!((row.bool(0), row.bool(1), row.bool(2)), (Ok(true), Ok(false), Ok(true)));
    }
}
