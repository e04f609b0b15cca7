//! What may stand after the slash of a short link: a generated code, or an alias a person chose.
//!
//! Both live in one name space and are stored case-sensitive, so `/Launch` and `/launch` are two links. Only
//! characters that need no escaping anywhere in a URL are allowed; whatever else is asked for cannot exist and
//! is answered without a look at the store.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use seawall_policy::placement::hash;

/// Fewest characters of an alias: one and two are kept for paths of our own.
pub const LEN_MIN: usize = 3;
/// Most characters of an alias.
pub const LEN_MAX: usize = 64;

/// Names that are paths of ours already, may become so, or are asked for by browsers and crawlers.
/// Compared without regard to case: an alias `Admin` would mislead people just as well.
pub const RESERVED: &[&str] = &[
    "abuse",
    "about",
    "account",
    "admin",
    "api",
    "apple-touch-icon",
    "assets",
    "console",
    "dashboard",
    "docs",
    "favicon",
    "health",
    "healthz",
    "help",
    "login",
    "logout",
    "metrics",
    "openapi",
    "page",
    "ping",
    "preview",
    "privacy",
    "qr",
    "ready",
    "readyz",
    "report",
    "robots",
    "security",
    "settings",
    "signup",
    "static",
    "stats",
    "status",
    "support",
    "terms",
    "well-known",
    "www",
];

/// Files browsers and crawlers ask for. The full stop keeps them from being aliases; listed so that they are
/// answered without a look at the store and stay refused should the alphabet ever grow.
pub const RESERVED_FILES: &[&str] = &["favicon.ico", "robots.txt", "sitemap.xml", "security.txt"];

/// A name that could be a link's. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why an alias was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAlias {
    /// Too short, too long, or other characters.
    #[error("an alias has {LEN_MIN} to {LEN_MAX} characters of A-Z, a-z, 0-9, - and _")]
    Shape,
    /// One of [`RESERVED`].
    #[error("this alias is reserved; choose another")]
    Reserved,
}

impl Name {
    /// The name, if any link could have it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Name> {
        is_possible(text).then(|| Name(text.into()))
    }

    /// The name a person asks for.
    ///
    /// # Errors
    /// See [`BadAlias`].
    pub fn alias(text: &str) -> Result<Name, BadAlias> {
        if is_reserved(text) {
            return Err(BadAlias::Reserved);
        }
        Name::parse(text).ok_or(BadAlias::Shape)
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it lives: the hash key its row begins with.
    #[must_use]
    pub fn hk(&self) -> i64 {
        hash::hk(self.0.as_bytes())
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether any link could have this name.
#[must_use]
pub fn is_possible(text: &str) -> bool {
    (LEN_MIN..=LEN_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Whether the name is kept for ourselves.
#[must_use]
pub fn is_reserved(text: &str) -> bool {
    RESERVED.iter().chain(RESERVED_FILES).any(|r| r.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_three_to_sixty_four_plain_characters() {
        let longest = "x".repeat(64);
        for good in ["abc", "Launch-2026", "a_b", "---", &longest] {
            assert_eq!(Name::alias(good).unwrap().as_str(), good);
        }
        let too_long = "x".repeat(65);
        for odd in
            ["", "ab", &too_long, "a b", "a/b", "ab%63", "a.b", "straße", "abc\n", "日本語", "a+b", "\0\0\0"]
        {
            assert_eq!(Name::alias(odd), Err(BadAlias::Shape), "{odd:?}");
        }
    }

    #[test]
    fn our_own_paths_are_no_aliases_in_any_case() {
        for own in ["api", "API", "Admin", "metrics", "favicon.ico", "robots.txt"] {
            assert_eq!(Name::alias(own), Err(BadAlias::Reserved), "{own}");
        }
        assert!(Name::alias("apis").is_ok());
    }

    #[test]
    fn names_that_differ_in_case_are_different_names() {
        assert_ne!(Name::alias("Launch").unwrap(), Name::alias("launch").unwrap());
    }
}
