//! Commands as a person types them into telnet: words on a line, in quotes where they hold blanks.

use super::decoder::Span;

/// The words of a line, one after the other in `words`, and where each lies there; false where a quote has no end, or
/// is followed by something other than a blank. The rules are Redis's, its odd ones included: a quote may open inside
/// a word, and a vertical tab parts words only where no word has begun.
pub(super) fn split(line: &[u8], words: &mut Vec<u8>, spans: &mut Vec<Span>) -> bool {
    let at = |n: usize| line.get(n).copied();
    let mut n = 0;
    loop {
        while at(n).is_some_and(is_blank) {
            n += 1;
        }
        if n >= line.len() {
            return true;
        }
        let begin = words.len();
        let mut quote = None;
        loop {
            let Some(byte) = at(n) else {
                if quote.is_some() {
                    return false;
                }
                break;
            };
            n += 1;
            match (quote, byte) {
                (Some(b'"'), b'\\') => n += escaped(&line[n..], words),
                (Some(b'\''), b'\\') if at(n) == Some(b'\'') => {
                    words.push(b'\'');
                    n += 1;
                }
                (Some(open), byte) if open == byte => {
                    if at(n).is_some_and(|next| !is_blank(next)) {
                        return false;
                    }
                    break;
                }
                (None, b' ' | b'\n' | b'\r' | b'\t') => break,
                (None, b'"' | b'\'') => quote = Some(byte),
                (_, byte) => words.push(byte),
            }
        }
        spans.push(Span::new(begin, words.len()));
    }
}

/// What stands behind a backslash between double quotes; how much of it was used.
fn escaped(rest: &[u8], words: &mut Vec<u8>) -> usize {
    if let [b'x', high, low, ..] = rest
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        words.push(high << 4 | low);
        return 3;
    }
    let Some(byte) = rest.first() else {
        // A backslash at the very end is itself; the quote has no end then.
        words.push(b'\\');
        return 0;
    };
    words.push(match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => *other,
    });
    1
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// What C's `isspace` says.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (mut words, mut spans) = (Vec::new(), Vec::new());
        split(line, &mut words, &mut spans)
            .then(|| spans.iter().map(|span| words[span.range()].to_vec()).collect())
    }

    #[test]
    fn words_are_parted_as_redis_parts_them() {
        for (line, wanted) in [
            (&b"set a b"[..], Some(vec![&b"set"[..], b"a", b"b"])),
            (b"  set\t a  ", Some(vec![b"set", b"a"])),
            (b"", Some(vec![])),
            (b"   ", Some(vec![])),
            (b"\"\" ''", Some(vec![b"", b""])),
            (b"\"a b\" 'c d'", Some(vec![b"a b", b"c d"])),
            (b"fo\"o b\"", Some(vec![b"foo b"])),
            (br#""\x41\n\r\t\b\a\q\x4""#, Some(vec![b"A\n\r\t\x08\x07qx4"])),
            (br"'it\'s' '\n'", Some(vec![b"it's", b"\\n"])),
            (b"a\x0bb \x0bc", Some(vec![b"a\x0bb", b"c"])),
            (b"\"a\"b", None),
            (b"\"a", None),
            (b"'a", None),
            (br#""a\""#, None),
            (br#""a\"#, None),
            (b"a'b'c", None),
        ] {
            let wanted = wanted.map(|words| words.into_iter().map(<[u8]>::to_vec).collect());
            assert_eq!(words(line), wanted, "{}", line.escape_ascii());
        }
    }
}
