//! Who may do what: Discord's permission bits and how roles and a channel's overwrites add up.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::Id;
use crate::model::Overwrite;

/// A set of permission bits. A decimal string in JSON; a number is accepted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Permissions(pub u64);

impl Permissions {
    /// No permission.
    pub const NONE: Permissions = Permissions(0);
    /// Every bit, known or not.
    pub const ALL: Permissions = Permissions(u64::MAX >> 1);
    /// Make invites.
    pub const CREATE_INVITE: Permissions = Permissions(1);
    /// Remove members.
    pub const KICK_MEMBERS: Permissions = Permissions(1 << 1);
    /// Remove members for good.
    pub const BAN_MEMBERS: Permissions = Permissions(1 << 2);
    /// Everything, overwrites included.
    pub const ADMINISTRATOR: Permissions = Permissions(1 << 3);
    /// Make, change and delete channels.
    pub const MANAGE_CHANNELS: Permissions = Permissions(1 << 4);
    /// Change the guild.
    pub const MANAGE_GUILD: Permissions = Permissions(1 << 5);
    /// React with an emoji that is not there yet.
    pub const ADD_REACTIONS: Permissions = Permissions(1 << 6);
    /// See a channel and read what comes.
    pub const VIEW_CHANNEL: Permissions = Permissions(1 << 10);
    /// Send messages.
    pub const SEND_MESSAGES: Permissions = Permissions(1 << 11);
    /// Delete and pin other people's messages.
    pub const MANAGE_MESSAGES: Permissions = Permissions(1 << 13);
    /// Embeds.
    pub const EMBED_LINKS: Permissions = Permissions(1 << 14);
    /// Files.
    pub const ATTACH_FILES: Permissions = Permissions(1 << 15);
    /// Read what was said before.
    pub const READ_HISTORY: Permissions = Permissions(1 << 16);
    /// Mention everyone.
    pub const MENTION_EVERYONE: Permissions = Permissions(1 << 17);
    /// Change one's own nick.
    pub const CHANGE_NICK: Permissions = Permissions(1 << 26);
    /// Change other members' nicks.
    pub const MANAGE_NICKS: Permissions = Permissions(1 << 27);
    /// Make, change and give roles below one's own.
    pub const MANAGE_ROLES: Permissions = Permissions(1 << 28);
    /// What `@everyone` of a new guild may: view, send, read, react and the like (Discord's default).
    pub const EVERYONE: Permissions = Permissions(1_071_698_660_929);

    /// Whether all of `other` are in it.
    #[must_use]
    pub fn has(self, other: Permissions) -> bool {
        self.0 & other.0 == other.0
    }

    /// With `other` added.
    #[must_use]
    pub fn with(self, other: Permissions) -> Permissions {
        Permissions(self.0 | other.0)
    }

    /// Without `other`.
    #[must_use]
    pub fn without(self, other: Permissions) -> Permissions {
        Permissions(self.0 & !other.0)
    }
}

/// What `member` may in a channel with these overwrites, given what its roles allow in the guild: first
/// `@everyone`'s overwrite, then all its roles' together, then its own.
#[must_use]
pub fn in_channel(
    base: Permissions,
    overwrites: &[Overwrite],
    guild: Id,
    roles: &[Id],
    member: Id,
) -> Permissions {
    if base.has(Permissions::ADMINISTRATOR) {
        return Permissions::ALL;
    }
    let apply = |p: Permissions, allow: Permissions, deny: Permissions| p.without(deny).with(allow);
    let mut all = base;
    if let Some(o) = overwrites.iter().find(|o| o.kind == Overwrite::ROLE && o.id == guild) {
        all = apply(all, o.allow, o.deny);
    }
    let (mut allow, mut deny) = (Permissions::NONE, Permissions::NONE);
    for o in overwrites.iter().filter(|o| o.kind == Overwrite::ROLE && o.id != guild && roles.contains(&o.id))
    {
        allow = allow.with(o.allow);
        deny = deny.with(o.deny);
    }
    all = apply(all, allow, deny);
    if let Some(o) = overwrites.iter().find(|o| o.kind == Overwrite::MEMBER && o.id == member) {
        all = apply(all, o.allow, o.deny);
    }
    // Who cannot see a channel can do nothing in it.
    if all.has(Permissions::VIEW_CHANNEL) { all } else { Permissions::NONE }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Permissions, D::Error> {
        // The same shape as an id: a decimal string or a number below 2^63.
        Id::deserialize(d).map(|id| Permissions(id.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUILD: Id = Id(1);
    const ME: Id = Id(9);

    fn overwrite(id: u64, kind: u8, allow: Permissions, deny: Permissions) -> Overwrite {
        Overwrite { id: Id(id), kind, allow, deny }
    }

    #[test]
    fn a_members_overwrite_beats_its_roles_and_a_roles_beats_everyones() {
        let view = Permissions::VIEW_CHANNEL;
        let everyone = overwrite(1, Overwrite::ROLE, Permissions::NONE, view);
        let role = overwrite(5, Overwrite::ROLE, view, Permissions::NONE);
        let me = overwrite(9, Overwrite::MEMBER, Permissions::NONE, view);
        let sees =
            |o: &[Overwrite], roles: &[Id]| in_channel(Permissions::EVERYONE, o, GUILD, roles, ME).has(view);
        assert!(!sees(&[everyone], &[]));
        assert!(sees(&[everyone, role], &[Id(5)]));
        assert!(!sees(&[everyone, role], &[Id(6)]));
        assert!(!sees(&[everyone, role, me], &[Id(5)]));
    }

    #[test]
    fn administrators_are_above_overwrites() {
        let deny = overwrite(9, Overwrite::MEMBER, Permissions::NONE, Permissions::ALL);
        assert_eq!(in_channel(Permissions::ADMINISTRATOR, &[deny], GUILD, &[], ME), Permissions::ALL);
    }

    #[test]
    fn who_cannot_see_can_do_nothing() {
        let deny = overwrite(1, Overwrite::ROLE, Permissions::NONE, Permissions::VIEW_CHANNEL);
        assert_eq!(in_channel(Permissions::EVERYONE, &[deny], GUILD, &[], ME), Permissions::NONE);
    }
}
