//! Clearing away what a deleted channel leaves: its messages may be millions, and one batch holds a writer up for
//! as long as it takes.

use seawall_store::Sql;

use super::rows::any;
use super::{Home, Storage, Trouble, batch};
use crate::id::Id;

/// Rows deleted in one step.
const STEP_ROWS: i64 = 500;

const MESSAGES: Sql = Sql {
    name: "sweep messages",
    text: "DELETE FROM chat_messages WHERE hk = $1 AND channel_id = $2 AND id IN
               (SELECT m.id FROM chat_messages AS m WHERE m.hk = $1 AND m.channel_id = $2
                ORDER BY m.id LIMIT $3)
           RETURNING id",
};
const REACTIONS: Sql = Sql {
    name: "sweep reactions",
    text: "DELETE FROM chat_reactions WHERE hk = $1 AND channel_id = $2 AND (message_id, emoji, user_id) IN
               (SELECT r.message_id, r.emoji, r.user_id FROM chat_reactions AS r
                WHERE r.hk = $1 AND r.channel_id = $2 ORDER BY r.message_id, r.emoji, r.user_id LIMIT $3)
           RETURNING message_id",
};

impl Storage {
    /// One step of deleting everything that was said in a channel that is gone. True when nothing is left. Whoever
    /// deletes a channel or a guild calls it until then; what stays behind when it dies is reachable by nobody.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn sweep_channel(&self, home: Home, channel: Id) -> Result<bool, Trouble> {
        let hk = home.hk(channel);
        let args = || vec![hk.into(), channel.into(), STEP_ROWS.into()];
        let sweep = batch(hk, None, vec![any(&REACTIONS, args()), any(&MESSAGES, args())]);
        let done = self.settle(sweep).await?;
        Ok(done.rows.iter().all(|rows| (rows.len() as i64) < STEP_ROWS))
    }
}
