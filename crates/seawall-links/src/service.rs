//! The operations: shorten, resolve, show, list, delete. No HTTP and no SQL.

use std::sync::Arc;

use bytes::Bytes;
use seawall_policy::deadline::Deadline;
use seawall_policy::placement::hash;
use seawall_policy::{Clock, Mono};
use seawall_store::Idem;
use siphasher::{sip, sip128};

use crate::allocator::{Allocator, DrawError};
use crate::cache::{Cache, Known};
use crate::degrade::Ladder;
use crate::metrics::{Create, Metrics, Redirect};
use crate::name::{self, BadAlias, Name};
use crate::safety::{Refused, Rules};
use crate::storage::{Inserted, Storage, Stored, Trouble};

/// Codes tried for one create. A generated code is taken only if someone chose it as an alias, so two would
/// do; more than a few means that something is wrong.
const CODES_TRIED_MAX: usize = 8;

/// What to shorten.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// As the client sent it.
    pub url: &'a str,
    /// The name it should have.
    pub alias: Option<&'a str>,
    /// The client's idempotency key. Its scope is the key together with the alias: the same key with another
    /// alias is another request, because it must live on the shard of that alias.
    pub key: Option<&'a str>,
}

/// Why an operation was not done.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// The URL is not accepted.
    Url(Refused),
    /// The alias is not accepted.
    Alias(BadAlias),
    /// The alias is in use, or was.
    AliasTaken,
    /// The idempotency key was used for another URL.
    KeyReused,
    /// There never was such a link.
    NotFound,
    /// The link was deleted.
    Deleted,
    /// All codes are used up.
    Exhausted,
    /// The store could not.
    Store(Trouble),
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Error {
        Error::Store(trouble)
    }
}

/// A link made now or before.
#[derive(Debug)]
pub struct Made {
    /// The link.
    pub link: Stored,
    /// Whether an earlier request with the same key had made it.
    pub again: bool,
}

/// The operations on one set of shards.
pub struct Service {
    /// The rows.
    pub storage: Arc<Storage>,
    /// What is known by heart.
    pub cache: Arc<Cache>,
    /// Codes.
    pub allocator: Allocator,
    /// Which URLs are accepted.
    pub rules: Rules,
    /// What is lost.
    pub ladder: Ladder,
    /// What is counted.
    pub metrics: Metrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids leased at a time.
    pub block_size: u32,
    /// Under which idempotency keys are hashed, so that nobody can make two meet.
    pub secret: [u8; 16],
}

impl Service {
    /// Makes a link, or finds the one an earlier request with the same key made.
    ///
    /// # Errors
    /// See [`Error`]. After a store's [`Trouble::Unknown`] only asking again with the same key will tell.
    pub async fn shorten(&self, ask: Ask<'_>, deadline: Deadline) -> Result<Made, Error> {
        let made = self.try_shorten(ask, deadline).await;
        self.metrics.create(match &made {
            Ok(made) if made.again => Create::Replayed,
            Ok(_) => Create::Created,
            Err(Error::Store(_) | Error::Exhausted) => Create::Unavailable,
            Err(_) => Create::Refused,
        });
        made
    }

    async fn try_shorten(&self, ask: Ask<'_>, deadline: Deadline) -> Result<Made, Error> {
        let url = self.rules.check(ask.url).map_err(Error::Url)?;
        match ask.alias {
            Some(alias) => self.shorten_as(alias, url, ask.key, deadline).await,
            None => self.shorten_somehow(url, ask.key, deadline).await,
        }
    }

    async fn shorten_as(
        &self,
        alias: &str,
        url: String,
        key: Option<&str>,
        deadline: Deadline,
    ) -> Result<Made, Error> {
        let name = Name::alias(alias).map_err(Error::Alias)?;
        let idem = key.map(|key| self.idem(name.hk(), key, Some(&name), &url));
        let link = self.link(name, url);
        match self.storage.insert(&link, idem, true, deadline).await {
            Ok(inserted) => Ok(self.made(inserted)),
            Err(Trouble::Conflict) => Err(Error::AliasTaken),
            Err(trouble) => Err(refused(trouble)),
        }
    }

    async fn shorten_somehow(
        &self,
        url: String,
        key: Option<&str>,
        deadline: Deadline,
    ) -> Result<Made, Error> {
        let idem = key.map(|key| self.idem(hash::hk(key.as_bytes()), key, None, &url));
        let wanted = idem.as_ref().map(|idem| self.storage.shards().index_of(idem.hk));
        let mut link = self.link(self.draw(wanted, deadline).await?, url);
        for _ in 0..CODES_TRIED_MAX {
            match self.storage.insert(&link, idem.clone(), false, deadline).await {
                Ok(inserted) => {
                    // The earlier request may be our own first try, of which we only heard nothing.
                    if inserted.link.name != link.name {
                        self.allocator.give_back(link.name);
                    }
                    return Ok(self.made(inserted));
                }
                // Somebody chose it as an alias.
                Err(Trouble::Conflict) => link.name = self.draw(wanted, deadline).await?,
                Err(trouble) => return Err(refused(trouble)),
            }
        }
        Err(Error::Exhausted)
    }

    async fn draw(&self, wanted: Option<u32>, deadline: Deadline) -> Result<Name, Error> {
        let lease = |shard| self.storage.lease(shard, self.block_size, deadline);
        self.allocator.draw(wanted, lease).await.map_err(|e| match e {
            DrawError::Exhausted => Error::Exhausted,
            // Nothing of the link was written, whatever became of the lease.
            DrawError::Lease(Trouble::Unknown) => Error::Store(Trouble::Busy),
            DrawError::Lease(trouble) => Error::Store(trouble),
        })
    }

    fn link(&self, name: Name, url: String) -> Stored {
        Stored { name, url, created_at: self.clock.wall(), deleted_at: None }
    }

    fn made(&self, inserted: Inserted) -> Made {
        let link = inserted.link;
        let shard = self.shard_of(&link.name);
        let known = Known::Link(Bytes::from(link.url.clone()));
        self.cache.remember(shard, &link.name, known, inserted.at, self.clock.now());
        Made { link, again: inserted.again }
    }

    /// The client's key as the store wants it: 16 bytes that only equal keys share, and a fingerprint of what
    /// was asked for.
    fn idem(&self, hk: i64, key: &str, alias: Option<&Name>, url: &str) -> Idem {
        // A key has no NUL, so key and alias cannot run into each other.
        let scope = format!("{key}\0{}", alias.map_or("", Name::as_str));
        let key = sip128::SipHasher24::new_with_key(&self.secret).hash(scope.as_bytes()).as_bytes();
        let fingerprint = sip::SipHasher24::new_with_key(&self.secret).hash(url.as_bytes());
        Idem { hk, key, fingerprint }
    }

    /// What is known of a name without waiting, if that may be trusted.
    #[must_use]
    pub fn recall(&self, name: &str, now: Mono) -> Option<Known> {
        let known = self.cache.get(name, now)?;
        let shard = self.storage.shards().index_of(hash::hk(name.as_bytes()));
        self.ladder.trusts_memory(shard).then_some(known)
    }

    /// What is known of a name, and how that was found out. Asks the store, and falls back on memory, however
    /// old, when that fails.
    ///
    /// # Errors
    /// [`Error::Store`] when neither knows.
    pub async fn resolve(&self, text: &str) -> Result<(Known, Redirect), Error> {
        let Some(name) = Name::parse(text).filter(|n| !name::is_reserved(n.as_str())) else {
            return Ok((Known::Unknown, Redirect::NotFound));
        };
        let now = self.clock.now();
        match self.storage.find(&name).await {
            Ok((found, at)) => {
                let known = match found {
                    Some(Stored { deleted_at: Some(_), .. }) => Known::Deleted,
                    Some(link) => Known::Link(Bytes::from(link.url)),
                    None => Known::Unknown,
                };
                self.cache.remember(self.shard_of(&name), &name, known.clone(), at, now);
                let how = outcome(&known, Redirect::Miss);
                Ok((known, how))
            }
            Err(trouble) => match self.cache.last(text) {
                Some(known) => {
                    let how = outcome(&known, Redirect::Stale);
                    Ok((known, how))
                }
                None => Err(trouble.into()),
            },
        }
    }

    /// A link, as it is in the store.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn show(&self, text: &str) -> Result<Stored, Error> {
        let name = Name::parse(text).ok_or(Error::NotFound)?;
        match self.storage.find(&name).await?.0 {
            None => Err(Error::NotFound),
            Some(Stored { deleted_at: Some(_), .. }) => Err(Error::Deleted),
            Some(link) => Ok(link),
        }
    }

    /// At most `limit` links after `after`, and whether there are more.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self, after: Option<&Name>, limit: usize) -> Result<(Vec<Stored>, bool), Error> {
        let mut links = self.storage.page(after, limit + 1).await?;
        let has_more = links.len() > limit;
        links.truncate(limit);
        Ok((links, has_more))
    }

    /// Deletes a link; deleting it again is fine.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, text: &str, deadline: Deadline) -> Result<(), Error> {
        let name = Name::parse(text).ok_or(Error::NotFound)?;
        match self.storage.delete(&name, self.clock.wall(), deadline).await {
            Ok(at) => {
                let shard = self.shard_of(&name);
                self.cache.forget(shard, name.as_str(), at);
                self.cache.remember(shard, &name, Known::Deleted, at, self.clock.now());
                Ok(())
            }
            Err(Trouble::Conflict) => Err(Error::NotFound),
            Err(trouble) => Err(trouble.into()),
        }
    }

    fn shard_of(&self, name: &Name) -> u32 {
        self.storage.shards().index_of(name.hk())
    }
}

/// How an answer counts that leads somewhere as `found`.
pub(crate) fn outcome(known: &Known, found: Redirect) -> Redirect {
    match known {
        Known::Link(_) => found,
        Known::Deleted => Redirect::Gone,
        Known::Unknown => Redirect::NotFound,
    }
}

fn refused(trouble: Trouble) -> Error {
    match trouble {
        Trouble::KeyReused => Error::KeyReused,
        other => Error::Store(other),
    }
}
