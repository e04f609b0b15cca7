//! The tables.
//!
//! Everything that belongs to a guild has the guild's hash key, everything of a direct message its channel's,
//! everything of a user the user's: each decision is one batch on one shard. Four tables only help to find
//! something on another shard (`chat_homes`, `chat_user_guilds`, `chat_user_directs`, `chat_invite_codes`). They
//! are written before what they lead to, and one that leads nowhere does no harm.
//!
//! Profiles are copied to where they are shown (members, messages, bans, direct messages), because a page of
//! history or a guild must be one scan on one shard and users live on others.

use seawall_store::Migration;

/// The name of the set: files are `chat-0.db` and so on.
pub const SET: &str = "chat";

/// The steps.
pub const SCHEMA: &[Migration] = &[Migration {
    version: 1,
    sql: "
        CREATE TABLE chat_users (
            hk BIGINT NOT NULL,
            id BIGINT NOT NULL,
            username TEXT NOT NULL,
            global_name TEXT,
            avatar TEXT,
            bot BOOLEAN NOT NULL,
            flags BIGINT NOT NULL,
            created_at BIGINT NOT NULL,
            PRIMARY KEY (hk, id)
        );
        -- Who has a name. Claimed before the user is written, so that it is unique over all shards.
        CREATE TABLE chat_names (
            hk BIGINT NOT NULL,
            name TEXT NOT NULL,
            user_id BIGINT NOT NULL,
            PRIMARY KEY (hk, name)
        );
        -- Only hashes: who reads the file can log in as nobody.
        CREATE TABLE chat_tokens (
            hk BIGINT NOT NULL,
            user_id BIGINT NOT NULL,
            hash BYTEA NOT NULL,
            created_at BIGINT NOT NULL,
            PRIMARY KEY (hk, user_id, hash)
        );
        CREATE TABLE chat_user_guilds (
            hk BIGINT NOT NULL,
            user_id BIGINT NOT NULL,
            guild_id BIGINT NOT NULL,
            PRIMARY KEY (hk, user_id, guild_id)
        );
        -- The row of the older of two users decides which channel is theirs.
        CREATE TABLE chat_user_directs (
            hk BIGINT NOT NULL,
            user_id BIGINT NOT NULL,
            other_id BIGINT NOT NULL,
            channel_id BIGINT NOT NULL,
            is_open BOOLEAN NOT NULL,
            PRIMARY KEY (hk, user_id, other_id)
        );
        -- Where a channel lives; no guild: a direct message. Never changes.
        CREATE TABLE chat_homes (
            hk BIGINT NOT NULL,
            channel_id BIGINT NOT NULL,
            guild_id BIGINT,
            PRIMARY KEY (hk, channel_id)
        );
        CREATE TABLE chat_invite_codes (
            hk BIGINT NOT NULL,
            code TEXT NOT NULL,
            guild_id BIGINT NOT NULL,
            PRIMARY KEY (hk, code)
        );

        CREATE TABLE chat_directs (
            hk BIGINT NOT NULL,
            channel_id BIGINT NOT NULL,
            recipients TEXT NOT NULL,
            PRIMARY KEY (hk, channel_id)
        );

        CREATE TABLE chat_guilds (
            hk BIGINT NOT NULL,
            id BIGINT NOT NULL,
            name TEXT NOT NULL,
            icon TEXT,
            owner_id BIGINT NOT NULL,
            description TEXT,
            system_channel_id BIGINT,
            PRIMARY KEY (hk, id)
        );
        CREATE TABLE chat_roles (
            hk BIGINT NOT NULL,
            guild_id BIGINT NOT NULL,
            id BIGINT NOT NULL,
            name TEXT NOT NULL,
            color BIGINT NOT NULL,
            hoist BOOLEAN NOT NULL,
            position BIGINT NOT NULL,
            permissions BIGINT NOT NULL,
            mentionable BOOLEAN NOT NULL,
            PRIMARY KEY (hk, guild_id, id)
        );
        CREATE TABLE chat_channels (
            hk BIGINT NOT NULL,
            guild_id BIGINT NOT NULL,
            id BIGINT NOT NULL,
            kind BIGINT NOT NULL,
            name TEXT,
            topic TEXT,
            position BIGINT NOT NULL,
            parent_id BIGINT,
            nsfw BOOLEAN NOT NULL,
            slow_seconds BIGINT NOT NULL,
            overwrites TEXT NOT NULL,
            PRIMARY KEY (hk, guild_id, id)
        );
        CREATE TABLE chat_members (
            hk BIGINT NOT NULL,
            guild_id BIGINT NOT NULL,
            user_id BIGINT NOT NULL,
            profile TEXT NOT NULL,
            nick TEXT,
            roles TEXT NOT NULL,
            joined_at TEXT NOT NULL,
            flags BIGINT NOT NULL,
            PRIMARY KEY (hk, guild_id, user_id)
        );
        CREATE TABLE chat_bans (
            hk BIGINT NOT NULL,
            guild_id BIGINT NOT NULL,
            user_id BIGINT NOT NULL,
            profile TEXT NOT NULL,
            PRIMARY KEY (hk, guild_id, user_id)
        );
        CREATE TABLE chat_invites (
            hk BIGINT NOT NULL,
            guild_id BIGINT NOT NULL,
            code TEXT NOT NULL,
            channel_id BIGINT NOT NULL,
            inviter TEXT NOT NULL,
            created_at BIGINT NOT NULL,
            expires_at BIGINT,
            max_age BIGINT NOT NULL,
            max_uses BIGINT NOT NULL,
            uses BIGINT NOT NULL,
            temporary BOOLEAN NOT NULL,
            PRIMARY KEY (hk, guild_id, code)
        );

        -- Lists that are empty are NULL: most messages are only text.
        CREATE TABLE chat_messages (
            hk BIGINT NOT NULL,
            channel_id BIGINT NOT NULL,
            id BIGINT NOT NULL,
            author_id BIGINT NOT NULL,
            author TEXT NOT NULL,
            content TEXT NOT NULL,
            edited_at TEXT,
            kind BIGINT NOT NULL,
            flags BIGINT NOT NULL,
            nonce TEXT,
            reply_to BIGINT,
            mention_everyone BOOLEAN NOT NULL,
            mentions TEXT,
            mention_roles TEXT,
            embeds TEXT,
            components TEXT,
            pinned_at BIGINT,
            PRIMARY KEY (hk, channel_id, id)
        );
        CREATE INDEX chat_messages_pinned ON chat_messages (hk, channel_id, pinned_at)
            WHERE pinned_at IS NOT NULL;
        CREATE TABLE chat_reactions (
            hk BIGINT NOT NULL,
            channel_id BIGINT NOT NULL,
            message_id BIGINT NOT NULL,
            emoji TEXT NOT NULL,
            user_id BIGINT NOT NULL,
            reacted_at BIGINT NOT NULL,
            PRIMARY KEY (hk, channel_id, message_id, emoji, user_id)
        );
        -- A message beside the one it answers, so that a page stays one scan.
        CREATE VIEW chat_said AS
            SELECT m.hk AS hk, m.channel_id AS channel_id,
                   m.id AS id, m.author AS author, m.content AS content, m.edited_at AS edited_at,
                   m.kind AS kind, m.flags AS flags, m.reply_to AS reply_to,
                   m.mention_everyone AS mention_everyone, m.mentions AS mentions,
                   m.mention_roles AS mention_roles, m.embeds AS embeds, m.components AS components,
                   m.pinned_at AS pinned_at,
                   r.id AS r_id, r.author AS r_author, r.content AS r_content, r.edited_at AS r_edited_at,
                   r.kind AS r_kind, r.flags AS r_flags, r.reply_to AS r_reply_to,
                   r.mention_everyone AS r_mention_everyone, r.mentions AS r_mentions,
                   r.mention_roles AS r_mention_roles, r.embeds AS r_embeds, r.components AS r_components,
                   r.pinned_at AS r_pinned_at
            FROM chat_messages AS m LEFT JOIN chat_messages AS r
                ON r.hk = m.hk AND r.channel_id = m.channel_id AND r.id = m.reply_to;

        CREATE TABLE chat_sessions (
            hk BIGINT NOT NULL,
            id TEXT NOT NULL,
            user_id BIGINT NOT NULL,
            token_hash BYTEA NOT NULL,
            gateway TEXT NOT NULL,
            generation BIGINT NOT NULL,
            created_at BIGINT NOT NULL,
            seen_at BIGINT NOT NULL,
            PRIMARY KEY (hk, id)
        );
        CREATE INDEX chat_sessions_gateway ON chat_sessions (gateway);
        CREATE INDEX chat_sessions_seen ON chat_sessions (seen_at);

        -- One row, on the first shard: the process that decides.
        CREATE TABLE chat_owner (
            hk BIGINT NOT NULL,
            holder TEXT NOT NULL,
            address TEXT NOT NULL,
            secret TEXT NOT NULL,
            renewed_at BIGINT NOT NULL,
            PRIMARY KEY (hk)
        );",
}];
