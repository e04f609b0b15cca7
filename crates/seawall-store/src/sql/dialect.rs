//! From the portable table definitions to SQLite's.
//!
//! Systems write BIGINT, DOUBLE PRECISION, TEXT, BYTEA (or BLOB) and BOOLEAN. SQLite would accept nearly
//! any word there and then store anything in any column; STRICT tables check, but know only their own
//! five words. So the types are translated and STRICT is added to every table. Statements that read or
//! change rows need no translation.

/// What a piece of SQL text is, as far as translating needs to know.
#[derive(PartialEq)]
enum Piece {
    Word,
    /// A quoted string or name, or a comment: copied as it is.
    Opaque,
    Other,
}

/// Translates the table definitions of a migration.
pub(crate) fn tables(portable: &str) -> String {
    let mut out = String::with_capacity(portable.len() + 64);
    let mut statement: Vec<String> = Vec::new();
    let mut double_at = None;
    for (piece, text) in pieces(portable) {
        if piece == Piece::Opaque {
            out.push_str(text);
            continue;
        }
        if piece == Piece::Word {
            let word = text.to_ascii_uppercase();
            match (word.as_str(), double_at.take()) {
                ("BIGINT" | "BOOLEAN", _) => out.push_str("INTEGER"),
                ("BYTEA", _) => out.push_str("BLOB"),
                ("PRECISION", Some(at)) => out.replace_range(at.., "REAL"),
                ("DOUBLE", _) => {
                    double_at = Some(out.len());
                    out.push_str(text);
                }
                _ => out.push_str(text),
            }
            statement.push(word);
            continue;
        }
        if text == ";" {
            end(&mut out, &mut statement);
        }
        out.push_str(text);
    }
    end(&mut out, &mut statement);
    out
}

/// At the end of a statement: a table that is not yet STRICT becomes so.
fn end(out: &mut String, statement: &mut Vec<String>) {
    let is_table =
        statement.first().is_some_and(|w| w == "CREATE") && statement.contains(&"TABLE".to_owned());
    if is_table && !statement.contains(&"STRICT".to_owned()) {
        // On its own line, so that a comment at the end of the last one does not swallow it.
        out.push_str("\nSTRICT");
    }
    statement.clear();
}

fn pieces(text: &str) -> impl Iterator<Item = (Piece, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let (piece, len) = match first {
            '\'' | '"' => (Piece::Opaque, rest[1..].find(first).map_or(rest.len(), |i| i + 2)),
            '-' if rest.starts_with("--") => (Piece::Opaque, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (Piece::Opaque, rest.find("*/").map_or(rest.len(), |i| i + 2)),
            c if is_word(c) => (Piece::Word, rest.find(|c| !is_word(c)).unwrap_or(rest.len())),
            c => (Piece::Other, c.len_utf8()),
        };
        let (text, after) = rest.split_at(len);
        rest = after;
        Some((piece, text))
    })
}

#[cfg(test)]
mod tests {
    use super::tables;

    #[test]
    fn portable_types_become_sqlites_and_tables_strict() {
        assert_eq!(
            tables("CREATE TABLE t (a BIGINT NOT NULL, b Double  Precision, c BYTEA, d boolean, e TEXT);"),
            "CREATE TABLE t (a INTEGER NOT NULL, b REAL, c BLOB, d INTEGER, e TEXT)\nSTRICT;"
        );
    }

    #[test]
    fn every_table_of_several_and_no_index_becomes_strict() {
        assert_eq!(
            tables("CREATE TABLE a (x BIGINT); CREATE INDEX i ON a (x);\ncreate table b (y TEXT) -- last"),
            "CREATE TABLE a (x INTEGER)\nSTRICT; CREATE INDEX i ON a (x);\ncreate table b (y TEXT) -- last\nSTRICT"
        );
    }

    #[test]
    fn what_is_quoted_or_commented_stays() {
        let same = "INSERT INTO t VALUES ('BIGINT; it''s', \"BYTEA\") /* BOOLEAN; */ -- BIGINT;\n";
        assert_eq!(tables(same), same);
        assert_eq!(tables("CREATE TABLE t (a ANY) STRICT"), "CREATE TABLE t (a ANY) STRICT");
    }
}
