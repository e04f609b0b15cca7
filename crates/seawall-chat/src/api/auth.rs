//! Who calls: the token in `Authorization`, and a short memory of what the store said about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use quick_cache::sync::Cache;
use seawall_policy::placement::hash;
use seawall_policy::{Clock, Mono};

use crate::model::User;
use crate::storage::{Storage, Trouble};

/// How long an answer is believed, "no such token" too. A token that is reset through another process works for so
/// long; through this one it is forgotten at once.
const TTL: Duration = Duration::from_secs(10);
/// Answers remembered, about 300 bytes each.
const TOKENS_MAX: usize = 16_384;
/// Longest text that is looked up; ours have 72 characters at most.
const TOKEN_LEN_MAX: usize = 128;

/// Somebody with a valid token.
#[derive(Debug)]
pub(super) struct Caller {
    /// Whom it belongs to, as of up to [`TTL`] ago.
    pub(super) user: User,
    /// Stands for the token in tables of limits.
    pub(super) key: u64,
}

#[derive(Clone)]
struct Entry {
    caller: Option<Arc<Caller>>,
    until: Mono,
    /// In which round the store was asked.
    round: u64,
}

/// The memory.
pub(super) struct Tokens {
    known: Cache<String, Entry>,
    /// Rises when everything is forgotten: an answer asked for before, however late it comes, is not believed after.
    round: AtomicU64,
}

impl Tokens {
    pub(super) fn new() -> Tokens {
        Tokens { known: Cache::new(TOKENS_MAX), round: AtomicU64::new(0) }
    }

    /// Whose token a request shows; `None` when it shows none that is valid.
    pub(super) async fn caller(
        &self,
        headers: &HeaderMap,
        storage: &Storage,
        clock: &dyn Clock,
    ) -> Result<Option<Arc<Caller>>, Trouble> {
        let Some(token) = shown(headers) else { return Ok(None) };
        let now = clock.now();
        let round = self.round.load(Ordering::Acquire);
        if let Some(entry) = self.known.get(token).filter(|e| now < e.until && e.round == round) {
            return Ok(entry.caller);
        }
        let found = storage.user_of_token(token).await?;
        let caller = found.map(|(user, token_hash)| Arc::new(Caller { user, key: hash::of(&token_hash) }));
        self.known.insert(token.to_owned(), Entry { caller: caller.clone(), until: now + TTL, round });
        Ok(caller)
    }

    /// Forgets everything: a token was reset or a profile changed. Both are rare, and finding the one entry would need
    /// a second index.
    pub(super) fn forget_all(&self) {
        self.round.fetch_add(1, Ordering::AcqRel);
        self.known.clear();
    }
}

/// The token, without the word that says what kind it is.
fn shown(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    let token = ["Bot ", "Bearer "]
        .into_iter()
        .find_map(|kind| {
            let (word, rest) = value.split_at_checked(kind.len())?;
            word.eq_ignore_ascii_case(kind).then_some(rest.trim_start())
        })
        .unwrap_or(value);
    let is_plain = (1..=TOKEN_LEN_MAX).contains(&token.len())
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    (is_plain && values.next().is_none()).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_comes_with_its_kind_or_without() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            shown(&headers).map(str::to_owned)
        };
        for value in ["a.b-c_9", "Bot a.b-c_9", "bot  a.b-c_9", "Bearer a.b-c_9"] {
            assert_eq!(read(&[value]).as_deref(), Some("a.b-c_9"), "{value}");
        }
        for odd in [&[][..], &[""], &["Bot "], &["Bot a b"], &["Basic YTpi=="], &["a", "b"]] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
        let long = HeaderValue::from_str(&"a".repeat(TOKEN_LEN_MAX + 1)).unwrap();
        assert_eq!(shown(&HeaderMap::from_iter([(AUTHORIZATION, long)])), None);
    }
}
