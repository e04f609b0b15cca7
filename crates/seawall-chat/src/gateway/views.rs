//! Which changes of view an event brings, and whether sessions learn of them before it or after it.
//!
//! Who loses sight of something must still hear the event that says so; who gains sight must hear the event that
//! shows it. A channel that is made is hidden first, from those who may not know of it, and one that is deleted is
//! forgotten last.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::entry::What;
use crate::event::{Audience, Event, Kind};
use crate::id::Id;
use crate::state::GuildState;

/// What is hidden from each user of this process in one guild.
pub(super) type Seen = HashMap<Id, Arc<[Id]>>;

/// Changes of view around one event.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub(super) before: Vec<What>,
    pub(super) after: Vec<What>,
}

/// Whether what somebody sees may depend on an event of this kind.
pub(super) fn may_change(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::GuildUpdate
            | Kind::GuildDelete
            | Kind::ChannelCreate
            | Kind::ChannelUpdate
            | Kind::ChannelDelete
            | Kind::RoleCreate
            | Kind::RoleUpdate
            | Kind::RoleDelete
            | Kind::MemberAdd
            | Kind::MemberUpdate
            | Kind::MemberRemove
    )
}

/// What the event changes for those who are in the guild already; `state` contains it. `seen` is brought up to date.
/// Who is in `seen` and no member any more loses the guild.
pub(super) fn changes(event: &Event, state: &GuildState, guild: Id, seen: &mut Seen) -> Changes {
    let mut changes = Changes::default();
    if !may_change(event.t) {
        return changes;
    }
    // What happens to one member changes nothing for the others.
    let only = member_of(event);
    seen.retain(|user, hidden| {
        if only.is_some_and(|only| only != *user) {
            return true;
        }
        let is_member = event.t != Kind::GuildDelete && state.members.contains_key(user);
        let now = is_member.then(|| state.hidden_from(*user));
        if now.as_ref() == Some(hidden) {
            return true;
        }
        let is_first = match &now {
            Some(now) => goes_before(event, hidden, now),
            None => false,
        };
        let view = What::View { user: *user, guild, hidden: now.clone() };
        if is_first {
            changes.before.push(view)
        } else {
            changes.after.push(view)
        }
        match now {
            Some(now) => {
                *hidden = now;
                true
            }
            None => false,
        }
    });
    changes
}

/// Whom an event about one member is about.
pub(super) fn member_of(event: &Event) -> Option<Id> {
    #[derive(Deserialize)]
    struct OfMember {
        user: Of,
    }
    #[derive(Deserialize)]
    struct Of {
        id: Id,
    }
    let is_of_member = matches!(event.t, Kind::MemberAdd | Kind::MemberUpdate | Kind::MemberRemove);
    let of = || serde_json::from_str::<OfMember>(event.d.get()).ok();
    is_of_member.then(of).flatten().map(|of| of.user.id)
}

fn goes_before(event: &Event, old: &[Id], new: &[Id]) -> bool {
    let Audience::Channel { channel, .. } = &event.to else { return false };
    match event.t {
        Kind::ChannelCreate => true,
        // Gained: hidden before, not any more.
        Kind::ChannelUpdate => old.contains(channel) && !new.contains(channel),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::model::{Channel, Guild, Member, Overwrite, Role, User};
    use crate::permissions::Permissions;

    const GUILD: Id = Id(1);
    const OWNER: Id = Id(2);
    const ME: Id = Id(3);
    const ROOM: Id = Id(10);

    fn parsed<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn state() -> GuildState {
        let user = |id: Id| parsed::<User>(json!({"id": id, "username": "u"}));
        let member = |id| parsed::<Member>(json!({"user": user(id), "joined_at": "x"}));
        let role: Role =
            parsed(json!({"id": GUILD, "name": "@everyone", "permissions": Permissions::EVERYONE}));
        GuildState {
            guild: parsed::<Guild>(json!({"id": GUILD, "name": "g", "owner_id": OWNER})),
            roles: BTreeMap::from([(GUILD, role)]),
            channels: BTreeMap::from([(ROOM, channel(false))]),
            members: [OWNER, ME].map(|id| (id, member(id))).into(),
        }
    }

    fn channel(is_hidden: bool) -> Channel {
        let deny = Overwrite {
            id: GUILD,
            kind: Overwrite::ROLE,
            allow: Permissions::NONE,
            deny: Permissions::VIEW_CHANNEL,
        };
        let overwrites = if is_hidden { vec![deny] } else { vec![] };
        parsed(json!({"id": ROOM, "type": 0, "guild_id": GUILD, "permission_overwrites": overwrites}))
    }

    fn event(t: Kind, to: Audience, d: &impl serde::Serialize) -> Event {
        Event { t, to, author: None, mentions: vec![], d: to_raw_value(d).unwrap() }
    }

    fn of_room(t: Kind, d: &Channel) -> Event {
        event(t, Audience::Channel { guild: GUILD, channel: ROOM }, d)
    }

    fn hidden(ids: &[Id]) -> What {
        What::View { user: ME, guild: GUILD, hidden: Some(ids.into()) }
    }

    /// Applies, and says what changed for `ME`.
    fn after(state: &mut GuildState, seen: &mut Seen, event: &Event) -> Changes {
        state.apply(event).unwrap();
        changes(event, state, GUILD, seen)
    }

    #[test]
    fn sight_is_lost_after_the_event_and_gained_before_it() {
        let (mut state, mut seen) = (state(), Seen::from([(ME, [].into()), (OWNER, [].into())]));
        let hide = of_room(Kind::ChannelUpdate, &channel(true));
        let lost = after(&mut state, &mut seen, &hide);
        assert_eq!(lost, Changes { before: vec![], after: vec![hidden(&[ROOM])] });
        let show = of_room(Kind::ChannelUpdate, &channel(false));
        let gained = after(&mut state, &mut seen, &show);
        assert_eq!(gained, Changes { before: vec![hidden(&[])], after: vec![] });
    }

    #[test]
    fn a_hidden_channel_is_hidden_before_it_is_told_and_forgotten_after_it_is_gone() {
        let (mut state, mut seen) = (state(), Seen::from([(ME, [].into())]));
        state.channels.clear();
        let made = after(&mut state, &mut seen, &of_room(Kind::ChannelCreate, &channel(true)));
        assert_eq!(made, Changes { before: vec![hidden(&[ROOM])], after: vec![] });
        let gone = after(&mut state, &mut seen, &of_room(Kind::ChannelDelete, &channel(true)));
        assert_eq!(gone, Changes { before: vec![], after: vec![hidden(&[])] });
    }

    #[test]
    fn who_leaves_loses_the_guild_after_the_event() {
        let (mut state, mut seen) = (state(), Seen::from([(ME, [].into()), (OWNER, [].into())]));
        let d = json!({"guild_id": GUILD, "user": {"id": ME}});
        let left = after(&mut state, &mut seen, &event(Kind::MemberRemove, Audience::Guild(GUILD), &d));
        assert_eq!(left.after, [What::View { user: ME, guild: GUILD, hidden: None }]);
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), [OWNER]);
    }

    #[test]
    fn a_guild_that_is_deleted_is_lost_by_all() {
        let (mut state, mut seen) = (state(), Seen::from([(ME, [].into()), (OWNER, [].into())]));
        let gone = event(Kind::GuildDelete, Audience::Guild(GUILD), &json!({"id": GUILD}));
        assert_eq!(after(&mut state, &mut seen, &gone).after.len(), 2);
        assert!(seen.is_empty());
    }

    #[test]
    fn messages_change_no_view() {
        let mut seen = Seen::from([(ME, [ROOM].into())]);
        let said = event(Kind::MessageCreate, Audience::Channel { guild: GUILD, channel: ROOM }, &json!({}));
        assert_eq!(changes(&said, &state(), GUILD, &mut seen), Changes::default());
    }
}
