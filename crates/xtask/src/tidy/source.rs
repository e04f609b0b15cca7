//! Rust text with what a rule must not see blanked out: a comment *about* `tokio::spawn`, or a
//! string that holds a forbidden word, is no offence. Lines keep their numbers.
//!
//! This is a scanner for comments and literals, not a parser. It is right about everything rustfmt
//! leaves behind, and costs no dependency.

/// Code alone: comments and the insides of strings become blanks.
pub(crate) fn code(text: &str) -> String {
    blank(text, false)
}

/// Code and comments; only the insides of strings become blanks.
pub(crate) fn code_and_comments(text: &str) -> String {
    blank(text, true)
}

/// Code that is shipped: [`code`] without what stands under `#[cfg(test)]`.
pub(crate) fn shipped(text: &str) -> String {
    let mut code = code(text);
    let mut from = 0;
    while let Some(at) = ["#[cfg(test)]", "#[cfg(all(test"].iter().filter_map(|m| code[from..].find(m)).min()
    {
        let start = from + at;
        let end = item_end(&code, start);
        let blanks: String = code[start..end].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        code.replace_range(start..end, &blanks);
        from = start + blanks.len();
    }
    code
}

/// Whether a file is only ever compiled for tests.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/benches/")
}

/// Past the item that begins at `start`: its closing brace, or its semicolon.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[start..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return start + at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return start + at + 1,
            _ => (),
        }
    }
    code.len()
}

/// Characters to pass by before the next decision, and whether they are kept.
struct Token {
    len: usize,
    keep: bool,
}

fn blank(text: &str, comments: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let token = token(&chars, at, comments);
        for c in &chars[at..at + token.len] {
            out.push(if token.keep || *c == '\n' { *c } else { ' ' });
        }
        at += token.len;
    }
    out
}

fn token(chars: &[char], at: usize, comments: bool) -> Token {
    let rest = &chars[at..];
    match rest {
        ['/', '/', ..] => Token { len: until_newline(rest), keep: comments },
        ['/', '*', ..] => Token { len: block_comment(rest), keep: comments },
        ['r' | 'b' | 'c', ..] if !follows_name(chars, at) => match literal_prefix(rest) {
            Some(len) => Token { len, keep: false },
            None => Token { len: 1, keep: true },
        },
        ['"', ..] => Token { len: quoted(rest, '"'), keep: false },
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => Token { len: quoted(rest, '\''), keep: false },
        // Any other quote begins a lifetime.
        _ => Token { len: 1, keep: true },
    }
}

fn follows_name(chars: &[char], at: usize) -> bool {
    at.checked_sub(1).is_some_and(|before| chars[before].is_alphanumeric() || chars[before] == '_')
}

fn until_newline(rest: &[char]) -> usize {
    rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of `"…"` or `'…'`, quotes included, or up to the end where it never closes.
fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of `r"…"`, `br#"…"#`, `b"…"`, `b'…'`, if that is what stands here.
fn literal_prefix(rest: &[char]) -> Option<usize> {
    let letters = rest.iter().take(2).take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let hashes = rest[letters..].iter().take_while(|c| **c == '#').count();
    let open = letters + hashes;
    let raw = rest[..letters].contains(&'r');
    match rest.get(open)? {
        '"' if raw => Some(open + raw_string(&rest[open..], hashes)),
        quote @ ('"' | '\'') if hashes == 0 && rest[0] != 'r' => Some(open + quoted(&rest[open..], *quote)),
        _ => None,
    }
}

fn raw_string(rest: &[char], hashes: usize) -> usize {
    let closes = |at: usize| {
        rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (1..rest.len()).find(|at| closes(*at)).map_or(rest.len(), |at| at + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blank_and_lines_keep_their_numbers() {
        let text = "let a = \"x\\\"y\"; // z\n/* z /* z */\nz */ let b = r#\"x\"y\"#;\nlet c = b\"x\";\n";
        let code = code(text);
        assert_eq!(code.lines().count(), text.lines().count());
        assert!(!code.contains(['x', 'y', 'z']), "{code}");
        assert!(code.contains("let a =") && code.contains("let b =") && code.contains("let c ="), "{code}");
    }

    #[test]
    fn a_comment_may_be_kept() {
        assert_eq!(code_and_comments("f(\"x\"); // x").trim_end(), "f(   ); // x");
    }

    #[test]
    fn lifetimes_are_no_characters_and_a_quote_in_quotes_opens_nothing() {
        let text = "fn f<'a>(x: &'a str) { g('\"', '\\'', 'z'); h(x) }";
        let code = code(text);
        assert!(code.contains("<'a>(x: &'a str)") && code.contains("h(x)"), "{code}");
        assert!(!code.contains('z'), "{code}");
    }

    #[test]
    fn a_name_that_ends_in_r_or_b_opens_no_literal() {
        assert_eq!(code("ptr(a)"), "ptr(a)");
        assert_eq!(code("r#type"), "r#type");
    }

    #[test]
    fn what_stands_under_cfg_test_is_not_shipped() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { c() }\n}\n#[cfg(test)]\nmod more;\nfn d() {}\n";
        let shipped = shipped(text);
        assert!(shipped.contains("fn a()") && shipped.contains("fn d()"), "{shipped}");
        assert!(!shipped.contains("fn b") && !shipped.contains("mod more"), "{shipped}");
        assert_eq!(shipped.lines().count(), text.lines().count());
    }
}
