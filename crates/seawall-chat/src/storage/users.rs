//! Users, their names and tokens, and which guilds they may be in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use seawall_store::{Row, Sql};
use sha2::{Digest, Sha256};

use super::rows::{id, opt_text};
use super::{Storage, Trouble, folded, hk_name, hk_user};
use crate::id::Id;
use crate::model::User;

const USER: Sql = Sql {
    name: "a user",
    text: "SELECT id, username, global_name, avatar, bot, flags FROM chat_users WHERE hk = $1 AND id = $2",
};
const USER_OF_TOKEN: Sql = Sql {
    name: "the user of a token",
    text: "SELECT u.id, u.username, u.global_name, u.avatar, u.bot, u.flags
           FROM chat_tokens AS t JOIN chat_users AS u ON u.hk = t.hk AND u.id = t.user_id
           WHERE t.hk = $1 AND t.user_id = $2 AND t.hash = $3",
};
const NAME: Sql =
    Sql { name: "who has a name", text: "SELECT user_id FROM chat_names WHERE hk = $1 AND name = $2" };
const GUILDS_OF: Sql = Sql {
    name: "the guilds of a user",
    text: "SELECT guild_id FROM chat_user_guilds WHERE hk = $1 AND user_id = $2 AND guild_id > $3
           ORDER BY guild_id LIMIT $4",
};

/// A token for a user: `base64url(id).base64url(6 bytes).base64url(27 bytes)`, the bytes random.
#[must_use]
pub fn make_token(user: Id, random: &[u8; 33]) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}.{}", part(user.to_string().as_bytes()), part(&random[..6]), part(&random[6..]))
}

/// Whose token this says it is; `None` where it has not even the form of one.
#[must_use]
pub fn token_user(token: &str) -> Option<Id> {
    let mut parts = token.split('.');
    let (user, middle, secret) = (parts.next()?, parts.next()?, parts.next()?);
    // 8 and 36 characters are the 6 and 27 bytes.
    if parts.next().is_some() || middle.len() != 8 || secret.len() != 36 {
        return None;
    }
    let decimal = URL_SAFE_NO_PAD.decode(user).ok()?;
    std::str::from_utf8(&decimal).ok()?.parse().ok()
}

/// What is kept of a token. A plain hash is enough: nobody can guess 27 random bytes.
#[must_use]
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Storage {
    /// A user.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn user(&self, id: Id) -> Result<Option<User>, Trouble> {
        self.read(&USER, hk_user(id), vec![id.into()]).await?.rows.first().map(user).transpose()
    }

    /// These users, in this order; those that do not exist are left out.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn users(&self, ids: &[Id]) -> Result<Vec<User>, Trouble> {
        let mut users = Vec::with_capacity(ids.len());
        for id in ids {
            users.extend(self.user(*id).await?);
        }
        Ok(users)
    }

    /// The user of a token and the token's hash; `None` for a token that is malformed, forged or revoked.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn user_of_token(&self, token: &str) -> Result<Option<(User, [u8; 32])>, Trouble> {
        let Some(id) = token_user(token) else { return Ok(None) };
        let hash = token_hash(token);
        let found = self.read(&USER_OF_TOKEN, hk_user(id), vec![id.into(), hash.into()]).await?;
        found.rows.first().map(|row| Ok((user(row)?, hash))).transpose()
    }

    /// Who has claimed a name, however it is written. That user may not exist: whoever claims a name dies before it
    /// is made, and the name may be taken over then.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn user_named(&self, username: &str) -> Result<Option<Id>, Trouble> {
        let found = self.read(&NAME, hk_name(username), vec![folded(username).into()]).await?;
        found.rows.first().map(|row| id(row, 0)).transpose()
    }

    /// The guilds a user may be in, oldest first. Hints: the guild's members are the truth.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn guilds_of(&self, user: Id) -> Result<Vec<Id>, Trouble> {
        self.pages(&GUILDS_OF, hk_user(user), user, |row| id(row, 0), |guild| *guild).await
    }
}

/// A user of a row of the columns `id, username, global_name, avatar, bot, flags`.
fn user(row: &Row) -> Result<User, Trouble> {
    let flags = row.int(5)?.cast_unsigned();
    Ok(User {
        id: id(row, 0)?,
        username: row.text(1)?.to_owned(),
        discriminator: "0".to_owned(),
        global_name: opt_text(row, 2)?,
        avatar: opt_text(row, 3)?,
        bot: row.bool(4)?,
        public_flags: flags,
        flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whose_it_is() {
        let token = make_token(Id(80_351_110_224_678_912), &[7; 33]);
        assert_eq!(token, "ODAzNTExMTAyMjQ2Nzg5MTI.BwcHBwcH.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH");
        assert_eq!(token_user(&token), Some(Id(80_351_110_224_678_912)));
    }

    #[test]
    fn what_has_not_the_form_of_a_token_is_none() {
        let good = make_token(Id(5), &[1; 33]);
        for bad in ["", ".", "..", "a.b.c", &good[1..], &format!("{good}."), &format!("{good}x")] {
            assert_eq!(token_user(bad), None, "{bad}");
        }
        let negative = format!("{}{}", URL_SAFE_NO_PAD.encode("-5"), &good[2..]);
        assert_eq!(token_user(&negative), None);
    }
}
