//! Names that someone may have meant.

/// Most names suggested.
const NAMES_MAX: usize = 3;

/// The names nearest to what was written, best first; none when all are far from it.
pub(super) fn nearest<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    // A third of the letters: "braker" is "breaker", and "feed" is not "rank".
    let far = (written.chars().count() / 3).max(2);
    let mut close: Vec<(usize, &str)> = names
        .into_iter()
        .map(|name| (if name.contains(written) { 1 } else { distance(written, name) }, name))
        .filter(|(apart, _)| *apart <= far && !written.is_empty())
        .collect();
    close.sort_unstable();
    close.dedup();
    close.truncate(NAMES_MAX);
    close.into_iter().map(|(_, name)| name).collect()
}

/// `; did you mean a, b or c?`, or nothing.
pub(super) fn did_you_mean(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("; did you mean {one}?"),
        [all @ .., last] => format!("; did you mean {} or {last}?", all.join(", ")),
    }
}

/// Letters to insert, drop or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_name_and_another_word_finds_none() {
        let names = ["s2-links", "s2-links-verbatim", "s1-feed", "ranking"];
        assert_eq!(nearest("s2-link", names), ["s2-links", "s2-links-verbatim"]);
        assert_eq!(nearest("rankign", names), ["ranking"]);
        assert_eq!(nearest("database", names), [""; 0]);
        assert_eq!(nearest("", names), [""; 0]);
    }

    #[test]
    fn distance_counts_letters() {
        for (a, b, apart) in
            [("", "", 0), ("a", "", 1), ("ab", "ba", 2), ("braker", "breaker", 1), ("ü", "u", 1)]
        {
            assert_eq!(distance(a, b), apart, "{a} {b}");
        }
    }
}
