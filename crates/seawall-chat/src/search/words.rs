//! Words: what of a text can be searched for.
//!
//! Where words stand apart they are letters and digits in a row, lower-cased, without accents. Many scripts write
//! without gaps (Chinese, Japanese, Thai), or grow a word's end too much for whole words to be met (Korean). There a
//! text is taken as its single characters and its pairs of neighbours, and a query as its pairs: whoever searches for
//! 東京 finds 東京都, and who searches for 京 finds both. Emoji and other pictures are words of their own.
//!
//! ## What it does not do
//!
//! No stems and no stop words: both belong to one language, and a channel may have several.

use tantivy::tokenizer::{AsciiFoldingFilter, TextAnalyzer, Token, TokenStream, Tokenizer};

use super::limits::WORD_MAX;

/// What a document's text is taken apart with.
pub(super) fn of_documents() -> TextAnalyzer {
    TextAnalyzer::builder(Words { is_query: false }).filter(AsciiFoldingFilter).build()
}

/// The different words of a query; every one of them is in a text that is found.
pub(super) fn of_query(text: &str) -> Vec<String> {
    let mut analyzer = TextAnalyzer::builder(Words { is_query: true }).filter(AsciiFoldingFilter).build();
    let mut words = Vec::new();
    analyzer.token_stream(text).process(&mut |token| words.push(token.text.clone()));
    words.sort_unstable();
    words.dedup();
    words
}

#[derive(Clone)]
struct Words {
    is_query: bool,
}

/// What a character is to its neighbours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Part of a word.
    Letter,
    /// Of a script without gaps.
    Dense,
    /// A word by itself.
    Picture,
    /// An accent written apart; left out, and it ends no word.
    Accent,
    /// In between.
    Gap,
}

fn kind(c: char) -> Kind {
    match u32::from(c) {
        0x0300..=0x036F | 0xFE00..=0xFE0F | 0x200D => Kind::Accent,
        // Vowel signs and tone marks of these scripts are no letters by themselves; they count as characters.
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17DD => Kind::Dense,
        0x3040..=0x30FF | 0x31F0..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF if c.is_alphanumeric() => {
            Kind::Dense
        }
        0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFF66..=0xFF9F | 0x2_0000..=0x3_FFFF => Kind::Dense,
        0x2190..=0x2BFF | 0x1_F000..=0x1_FAFF => Kind::Picture,
        _ if c.is_alphanumeric() => Kind::Letter,
        // The mark that joins two consonants in the scripts of India is within a word.
        0x094D | 0x09CD | 0x0A4D | 0x0ACD | 0x0B4D | 0x0BCD | 0x0C4D | 0x0CCD | 0x0D4D => Kind::Letter,
        _ => Kind::Gap,
    }
}

/// Takes a whole text apart. Messages have 2,000 characters at most, so it may be done at once.
fn split(text: &str, is_query: bool) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut dense: Vec<char> = Vec::new();
    for c in text.chars() {
        let kind = kind(c);
        if kind == Kind::Accent {
            continue;
        }
        if kind != Kind::Letter {
            end_word(&mut word, &mut words);
        }
        if kind != Kind::Dense {
            end_dense(&mut dense, is_query, &mut words);
        }
        match kind {
            Kind::Letter => word.extend(c.to_lowercase()),
            Kind::Dense => dense.push(c),
            Kind::Picture => words.push(c.to_string()),
            Kind::Accent | Kind::Gap => {}
        }
    }
    end_word(&mut word, &mut words);
    end_dense(&mut dense, is_query, &mut words);
    words
}

fn end_word(word: &mut String, words: &mut Vec<String>) {
    // Lower-casing may have made accents of its own (İ).
    let letters = word.chars().filter(|c| kind(*c) != Kind::Accent).take(WORD_MAX).collect::<String>();
    word.clear();
    if !letters.is_empty() {
        words.push(letters);
    }
}

fn end_dense(run: &mut Vec<char>, is_query: bool, words: &mut Vec<String>) {
    if !is_query || run.len() == 1 {
        words.extend(run.iter().map(char::to_string));
    }
    words.extend(run.windows(2).map(|pair| pair.iter().collect::<String>()));
    run.clear();
}

impl Tokenizer for Words {
    type TokenStream<'a> = Stream;
    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream {
        Stream { words: split(text, self.is_query).into_iter(), token: Token::default() }
    }
}

struct Stream {
    words: std::vec::IntoIter<String>,
    token: Token,
}

impl TokenStream for Stream {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.next() else { return false };
        self.token.text = word;
        self.token.position = self.token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        of_documents().token_stream(text).process(&mut |token| words.push(token.text.clone()));
        words
    }

    #[test]
    fn letters_in_a_row_are_words_however_they_are_written() {
        assert_eq!(of_text("Don't PANIC, 42!"), ["don", "t", "panic", "42"]);
        assert_eq!(of_text("Élan e\u{301}lan ÜBER straße"), ["elan", "elan", "uber", "strasse"]);
        assert_eq!(of_text("ПРИВЕТ Γειά हिन्दी"), ["привет", "γειά", "हिन्दी"]);
        assert_eq!(of_text("İstanbul"), of_text("istanbul"));
    }

    #[test]
    fn scripts_without_gaps_are_found_by_any_two_neighbours() {
        assert_eq!(of_text("東京都"), ["東", "京", "都", "東京", "京都"]);
        assert_eq!(of_query("東京都"), ["京都", "東京"]);
        assert_eq!(of_query("京"), ["京"]);
        for (text, part) in [("สวัสดีครับ", "สวัสดี"), ("안녕하세요", "안녕"), ("こんにちは世界", "世界")]
        {
            let text = of_text(text);
            assert!(of_query(part).iter().all(|word| text.contains(word)), "{part}");
        }
    }

    #[test]
    fn pictures_are_words_and_signs_are_none() {
        assert_eq!(of_text("on🔥fire ❤\u{fe0f}"), ["on", "🔥", "fire", "❤"]);
        for nothing in ["", "  ", "\"'`", "+-&|!(){}[]^~*?:\\/", "\u{0}\u{7}", "、。！"] {
            assert_eq!(of_query(nothing), [] as [&str; 0], "{nothing:?}");
        }
    }

    #[test]
    fn what_looks_like_an_operator_is_a_word() {
        assert_eq!(of_query("a AND NOT content:b^2"), ["2", "a", "and", "b", "content", "not"]);
        assert_eq!(of_query("twice Twice"), ["twice"]);
    }

    #[test]
    fn a_long_word_is_found_by_its_beginning() {
        let long = "a".repeat(2000);
        assert_eq!(of_text(&long), ["a".repeat(WORD_MAX)]);
        assert_eq!(of_query(&long), of_text(&long));
    }
}
