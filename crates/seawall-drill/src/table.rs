//! Columns that line up, for reports read on a terminal.

/// One row per entry, each column as wide as its widest cell; two spaces between columns and none at a line's end.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|c| rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str("  ");
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A number as a person would write it: whole when it is whole, otherwise three decimals at most.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Owned cells of one row.
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_clean() {
        let text = aligned(&[row(["measure", "unit", ""]), row(["lost", "writes", "x"])]);
        assert_eq!(text, "  measure  unit\n  lost     writes  x\n");
    }

    #[test]
    fn numbers_carry_no_needless_digits() {
        assert_eq!([number(30.0), number(0.25), number(1.0 / 3.0)], ["30", "0.25", "0.333"]);
    }
}
