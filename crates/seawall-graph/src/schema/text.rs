//! A schema written down in the one way that all equal schemas share.

use std::fmt::Write;

use super::{Field, Inverse, OBJECT_DATA_DEFAULT, Schema};
use crate::limits::{EDGE_DATA_MAX, RANGE_MAX};

/// What is at its default is left out.
pub(super) fn of(schema: &Schema) -> String {
    let mut out = Text(String::new());
    if !schema.retired_objects.is_empty() || !schema.retired_assocs.is_empty() {
        out.line(format_args!("[retired]"));
        out.numbers("objects", &schema.retired_objects);
        out.numbers("associations", &schema.retired_assocs);
    }
    for kind in schema.objects() {
        out.head("object", &kind.name, kind.otype.0);
        out.body(kind.data_max, OBJECT_DATA_DEFAULT, &kind.retired, &kind.fields);
    }
    for kind in schema.assocs() {
        out.head("association", &kind.name, kind.atype.0);
        match kind.inverse {
            Inverse::None => {}
            Inverse::Same => out.line(format_args!("inverse = \"same\"")),
            // A checked schema has it.
            Inverse::Type(other) => {
                let name = schema.assoc_kind(other).map_or("", |other| &*other.name);
                out.line(format_args!("inverse = \"{name}\""));
            }
        }
        if kind.range_max != RANGE_MAX {
            out.line(format_args!("range_max = {}", kind.range_max));
        }
        out.body(kind.data_max, EDGE_DATA_MAX as u32, &kind.retired, &kind.fields);
    }
    out.0
}

struct Text(String);

impl Text {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn numbers<N: ToString>(&mut self, key: &str, numbers: &[N]) {
        if !numbers.is_empty() {
            let numbers: Vec<String> = numbers.iter().map(N::to_string).collect();
            self.line(format_args!("{key} = [{}]", numbers.join(", ")));
        }
    }

    fn head(&mut self, what: &str, name: &str, number: u16) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.line(format_args!("[{what}.{name}]"));
        self.line(format_args!("number = {number}"));
    }

    fn body(&mut self, data_max: u32, data_max_default: u32, retired: &[u8], fields: &[Field]) {
        if data_max != data_max_default {
            self.line(format_args!("data_max = {data_max}"));
        }
        self.numbers("retired", retired);
        for Field { number, name, holds, required, max } in fields {
            let required = if *required { ", required = true" } else { "" };
            let max =
                if holds.has_max() && *max != data_max { format!(", max = {max}") } else { String::new() };
            let holds = holds.name();
            self.line(format_args!(
                "fields.{name} = {{ number = {number}, type = \"{holds}\"{required}{max} }}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_equal_and_is_written_the_same() {
        let schema = Schema::built_in();
        let text = schema.text();
        assert_eq!(Schema::parse(&text).unwrap(), schema);
        assert_eq!(Schema::parse(&text).unwrap().text(), text);
    }

    #[test]
    fn equal_schemas_have_one_text() {
        let long = "[association.likes]\nrange_max = 10\nnumber = 2\ndata_max = \"1KiB\"\nretired = [9, 3]\n\
                    fields.why = { type = \"text\", number = 1, required = false, max = 1024 }\n\
                    [object.user]\nnumber = 1\n[retired]\nassociations = [7]\nobjects = []\n";
        let wanted = "[retired]\nassociations = [7]\n\n[object.user]\nnumber = 1\n\n[association.likes]\n\
                      number = 2\nrange_max = 10\ndata_max = 1024\nretired = [3, 9]\n\
                      fields.why = { number = 1, type = \"text\" }\n";
        assert_eq!(Schema::parse(long).unwrap().text(), wanted);
    }
}
