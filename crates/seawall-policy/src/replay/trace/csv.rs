//! Comma-separated values (RFC 4180) with a header; a field may be quoted, and none may span lines.

use std::borrow::Cow;

use super::fields::{Fields, Scalar, Slot};

/// Which columns are read.
#[derive(Debug)]
pub(super) struct Header {
    columns: Vec<(Option<(Slot, usize)>, bool)>,
}

impl Header {
    /// Reads the first line; `by` is the name of the key.
    pub(super) fn read(line: &str, by: Option<&str>) -> Result<Header, String> {
        let names = split(line)?;
        let columns: Vec<_> =
            names.iter().map(|name| (Slot::named(name.trim()), by == Some(name.trim()))).collect();
        let has =
            |is: fn(&Slot) -> bool| columns.iter().any(|(slot, _)| slot.is_some_and(|(slot, _)| is(&slot)));
        for (there, missing) in [
            (has(|s| *s == Slot::Time), "time, ts or at"),
            (has(|s| matches!(s, Slot::Outcome | Slot::Status)), "outcome or status"),
            (has(|s| matches!(s, Slot::Took(_))), "latency_ms, took_ms or duration_ms"),
            (by.is_none() || columns.iter().any(|(_, is_key)| *is_key), by.unwrap_or_default()),
        ] {
            if !there {
                return Err(format!(
                    "no column is named {missing}; begin with a header such as time,outcome,latency_ms"
                ));
            }
        }
        Ok(Header { columns })
    }

    /// Reads one line below it.
    pub(super) fn row<'a>(&self, line: &'a str) -> Result<Fields<'a>, String> {
        let values = split(line)?;
        let (found, wanted) = (values.len(), self.columns.len());
        if found != wanted {
            return Err(format!("{found} fields, where the header has {wanted}"));
        }
        let mut fields = Fields::default();
        for ((slot, is_key), value) in self.columns.iter().zip(values) {
            let value = match value {
                Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
                quoted => quoted,
            };
            if value.is_empty() {
                continue;
            }
            if *is_key {
                fields.put_key(Scalar::Text(value.clone()));
            }
            if let Some((slot, place)) = slot {
                fields.put(*slot, *place, Scalar::Text(value));
            }
        }
        Ok(fields)
    }
}

fn split(line: &str) -> Result<Vec<Cow<'_, str>>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let (field, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                (Cow::Borrowed(field), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(fields),
            None => return Err("a quoted field must end at a comma".to_owned()),
        }
    }
}

/// What stands between quotes, of which two in a row are one, and what follows.
fn quoted_field(quoted: &str) -> Result<(Cow<'_, str>, &str), String> {
    let mut from = 0;
    while let Some(at) = quoted[from..].find('"').map(|at| from + at) {
        if quoted[at + 1..].starts_with('"') {
            from = at + 2;
            continue;
        }
        // Owned also where it need not be: a quoted field is not trimmed.
        return Ok((Cow::Owned(quoted[..at].replace("\"\"", "\"")), &quoted[at + 1..]));
    }
    Err("a quoted field has no end in its line".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let header = Header::read("pod, Latency_ms ,x,time,status", Some("pod")).unwrap();
        let call = header.row("\"a, \"\"b\"\" \", 3 ,,7,503").unwrap().read().unwrap();
        assert_eq!((call.moment.us, call.key.as_deref()), (7_000_000, Some("a, \"b\" ")));
        assert_eq!(call.took, std::time::Duration::from_millis(3));
    }

    #[test]
    fn a_header_without_what_is_needed_says_what() {
        for (line, missing) in [
            ("1,2,3", "time, ts or at"),
            ("time,latency", "outcome or status"),
            ("time,outcome", "latency_ms"),
            ("time,outcome,latency", "named pod"),
        ] {
            let by = missing.contains("pod").then_some("pod");
            let why = Header::read(line, by).unwrap_err();
            assert!(why.contains(missing) && why.contains("time,outcome,latency_ms"), "{why}");
        }
    }

    #[test]
    fn a_row_that_does_not_fit_its_header_is_refused() {
        let header = Header::read("time,outcome,latency_ms", None).unwrap();
        for (row, why) in [
            ("1,success", "2 fields"),
            ("1,success,3,", "4 fields"),
            ("1,\"success,3", "no end"),
            ("1,\"success\"x,3", "must end at a comma"),
        ] {
            assert!(header.row(row).unwrap_err().contains(why), "{row}");
        }
    }
}
