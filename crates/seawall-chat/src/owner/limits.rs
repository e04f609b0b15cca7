//! Every bound of the owner, in one place.

use std::time::Duration;

/// How many of each thing there may be. The defaults are Discord's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Channels of a guild.
    pub channels_max: usize,
    /// Roles of a guild.
    pub roles_max: usize,
    /// Members of a guild.
    pub members_max: usize,
    /// Invites of a guild.
    pub invites_max: usize,
    /// Guilds a user may be in.
    pub guilds_max: usize,
    /// Pinned messages of a channel.
    pub pins_max: usize,
    /// Different emoji on one message.
    pub emoji_max: usize,
    /// Exceptions of a channel.
    pub overwrites_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            channels_max: 500,
            roles_max: 250,
            members_max: 100_000,
            invites_max: 1000,
            guilds_max: 200,
            pins_max: 50,
            emoji_max: 20,
            overwrites_max: 500,
        }
    }
}

/// Asks waiting for one actor; one more is answered as overloaded.
pub const ASKS_MAX: usize = 1024;
/// Messages of one guild on their way to the disk at once: one full group of the store's writer.
pub const IN_FLIGHT_MAX: usize = 256;
/// Actors alive at once. A guild's is a few kilobytes and its members.
pub const ACTORS_MAX: usize = 65_536;
/// An actor nobody asked anything for so long lets its memory go.
pub const ACTOR_IDLE: Duration = Duration::from_secs(600);
/// The pause before an actor that panicked is loaded again.
pub const RESTART_PAUSE: Duration = Duration::from_millis(10);
/// How often one ask may lose its actor to a panic before it is answered: perhaps it is what kills it.
pub const LOST_MAX: u32 = 3;
/// How often one ask may find that memory and store disagree.
pub const DISAGREED_MAX: u32 = 10;
/// The first pause before an ask is tried again.
pub const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// The longest a caller may wait.
pub const PATIENCE_MAX: Duration = Duration::from_secs(30);
/// The patience of one write.
pub const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// How long the same nonce means the same message. Discord says "the past few minutes".
pub const NONCE_KEPT: Duration = Duration::from_secs(600);
/// Messages with one nonce that are looked back through: a day of them, as long as the store keeps keys.
pub const NONCE_CHAIN_MAX: usize = 160;

/// News waiting for one subscriber.
pub const NEWS_MAX: usize = 1024;
/// Ephemeral news kept for who is slow; older ones are lost to it.
pub const EPHEMERALS_MAX: usize = 4096;
/// Events read from the store at a time.
pub const CHANGES_MAX: usize = 512;
/// A look at the change stream without being woken.
pub const NEWS_LOOK: Duration = Duration::from_secs(1);
/// An empty line to a remote subscriber after so much silence.
pub const NEWS_BEAT: Duration = Duration::from_secs(1);
/// A remote owner that says nothing for so long is gone.
pub const NEWS_SILENCE_MAX: Duration = Duration::from_secs(4);
/// The longest line of news: an event of the largest size the store takes, escaped.
pub const NEWS_LINE_MAX: usize = 2 << 20;

/// A gateway without a subscription for so long has lost its sessions' presences.
pub const GATEWAY_GONE: Duration = Duration::from_secs(10);
/// Changes of one user's presence within so long are told as one.
pub const PRESENCE_EVERY: Duration = Duration::from_millis(100);
/// Users who went offline and are still remembered, so that a subscriber who was away hears of it.
pub const OFFLINE_KEPT_MAX: usize = 65_536;
/// Sessions of one user whose presence counts.
pub const SESSIONS_MAX: usize = 64;
/// Bytes of a command that comes over the network.
pub const ASK_BYTES_MAX: usize = 1 << 20;
/// The age beyond which messages are not deleted in bulk.
pub const BULK_DELETE_AGE_MAX: Duration = Duration::from_secs(14 * 24 * 3600);
