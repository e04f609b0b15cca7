//! Guilds as a whole.

use seawall_chat::id::Id;
use seawall_chat::model::{Channel, Invite, Member, Overwrite, iso};
use seawall_chat::permissions::Permissions;
use seawall_chat::storage::{Home, Page, Trouble, hk_guild, hk_invite, ops};
use seawall_policy::{Clock, Wall};
use std::time::Duration;

use crate::storage::{Disk, channel, guild, member, message, role, user};

const G: u64 = 1;

async fn small_guild(disk: &Disk) {
    let ann = user(3, "ann");
    let made = vec![
        ops::guild_insert(&guild(G, 3)),
        ops::role_put(Id(G), &role(G, "@everyone")),
        ops::role_put(Id(G), &role(30, "mods")),
        ops::channel_put(Id(G), &channel(11, G)),
        ops::channel_put(Id(G), &channel(12, G)),
        ops::member_put(Id(G), &member(ann)),
    ];
    let done = disk.write(hk_guild(Id(G)), made).await;
    let made = (0..6).map(|op| ops::made(&done.rows, op)).collect::<Vec<_>>();
    assert_eq!(made, [Some(Id(G)), Some(Id(G)), Some(Id(30)), Some(Id(11)), Some(Id(12)), None]);
}

#[tokio::test]
async fn a_guild_reads_back_as_it_was_written() {
    let disk = Disk::new(3);
    small_guild(&disk).await;
    let hk = hk_guild(Id(G));
    let mut settings = guild(G, 3);
    (settings.description, settings.system_channel_id) = (Some("d".to_owned()), Some(Id(11)));
    let mut text = channel(11, G);
    (text.topic, text.parent_id, text.nsfw, text.rate_limit_per_user) =
        (Some("t".to_owned()), Some(Id(12)), true, 21_600);
    text.permission_overwrites = vec![
        Overwrite { id: Id(30), kind: 0, allow: Permissions::ALL, deny: Permissions(1) },
        Overwrite { id: Id(3), kind: 1, allow: Permissions(0), deny: Permissions(2) },
    ];
    let ann = Member { nick: Some("A".to_owned()), roles: vec![Id(30)], flags: 9, ..member(user(3, "ann")) };
    let ops = vec![
        ops::guild_update(&settings),
        ops::channel_put(Id(G), &text),
        ops::member_put(Id(G), &ann),
        ops::message_insert(Home::Guild(Id(G)), &message(20, 11, &ann.user, "x")),
        ops::message_insert(Home::Guild(Id(G)), &message(21, 11, &ann.user, "y")),
    ];
    let at = disk.write(hk, ops).await.at;
    let (state, position) = disk.elsewhere().guild(Id(G)).await.unwrap().unwrap();
    assert_eq!(position, at);
    assert_eq!(state.guild, settings);
    assert_eq!(state.roles.values().cloned().collect::<Vec<_>>(), [role(G, "@everyone"), role(30, "mods")]);
    text.last_message_id = Some(Id(21));
    assert_eq!(state.channels.values().cloned().collect::<Vec<_>>(), [text, channel(12, G)]);
    assert_eq!(state.members.values().cloned().collect::<Vec<_>>(), [ann]);
    assert!(disk.storage.guild(Id(2)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_role_that_is_gone_is_gone_from_members_and_overwrites() {
    let disk = Disk::new(1);
    small_guild(&disk).await;
    let hk = hk_guild(Id(G));
    let mut text = channel(11, G);
    let overwrite = |id, kind| Overwrite { id: Id(id), kind, allow: Permissions(0), deny: Permissions(1) };
    text.permission_overwrites = vec![overwrite(30, 0), overwrite(3, 1), overwrite(G, 0)];
    let ann = Member { roles: vec![Id(30)], ..member(user(3, "ann")) };
    disk.write(hk, vec![ops::channel_put(Id(G), &text), ops::member_put(Id(G), &ann)]).await;
    disk.write(hk, vec![ops::role_delete(Id(G), Id(30))]).await;
    let (state, _) = disk.storage.guild(Id(G)).await.unwrap().unwrap();
    assert!(state.members[&Id(3)].roles.is_empty());
    assert_eq!(state.channels[&Id(11)].permission_overwrites, [overwrite(3, 1), overwrite(G, 0)]);
    assert_eq!(
        disk.try_write(hk, vec![ops::role_delete(Id(G), Id(30))]).await,
        Err(Trouble::Conflict { op: 0 })
    );
}

#[tokio::test]
async fn members_come_leave_are_banned_and_keep_up_with_their_profiles() {
    let disk = Disk::new(1);
    small_guild(&disk).await;
    let (hk, storage) = (hk_guild(Id(G)), &disk.storage);
    let bob = user(4, "bob");
    disk.write(hk, vec![ops::member_put(Id(G), &member(bob.clone()))]).await;
    let renamed = user(4, "bobby");
    disk.write(hk, vec![ops::member_put(Id(G), &member(renamed.clone()))]).await;
    let (state, _) = storage.guild(Id(G)).await.unwrap().unwrap();
    assert_eq!(state.members[&Id(4)].user, renamed);
    assert_eq!(state.members.len(), 2);

    disk.write(hk, vec![ops::member_delete(Id(G), Id(4)), ops::ban_put(Id(G), &renamed)]).await;
    assert_eq!(
        disk.try_write(hk, vec![ops::member_delete(Id(G), Id(4))]).await,
        Err(Trouble::Conflict { op: 0 })
    );
    assert_eq!(storage.bans(Id(G)).await.unwrap(), [renamed]);
    assert!(storage.is_banned(Id(G), Id(4)).await.unwrap());
    assert!(!storage.is_banned(Id(G), Id(3)).await.unwrap());
    disk.write(hk, vec![ops::ban_delete(Id(G), Id(4))]).await;
    assert!(!storage.is_banned(Id(G), Id(4)).await.unwrap());
}

/// More than the store gives at once, in a few rows.
#[tokio::test]
async fn channels_with_much_to_say_load_whole() {
    let disk = Disk::new(1);
    small_guild(&disk).await;
    let large = |id| Channel { topic: Some("x".repeat(900 << 10)), ..channel(id, G) };
    for id in 100..120 {
        disk.write(hk_guild(Id(G)), vec![ops::channel_put(Id(G), &large(id))]).await;
    }
    let (state, _) = disk.storage.guild(Id(G)).await.unwrap().unwrap();
    let ids: Vec<_> = state.channels.keys().map(|id| id.0).collect();
    assert_eq!(ids, [11, 12].into_iter().chain(100..120).collect::<Vec<_>>());
}

#[tokio::test]
async fn twelve_thousand_members_load_whole() {
    let disk = Disk::new(1);
    small_guild(&disk).await;
    // The store gives at most 10,000 rows at once.
    for first in (100..12_099).step_by(500) {
        let some = first..(first + 500).min(12_099);
        let put = some.map(|i| ops::member_put(Id(G), &member(user(i, &format!("user {i}"))))).collect();
        disk.write(hk_guild(Id(G)), put).await;
    }
    let (state, _) = disk.storage.guild(Id(G)).await.unwrap().unwrap();
    assert_eq!(state.members.len(), 12_000);
    assert!((100..12_099).all(|i| state.members[&Id(i)].user.username == format!("user {i}")));
}

#[tokio::test]
async fn a_deleted_guild_leaves_nothing_that_can_be_reached_and_is_swept() {
    let disk = Disk::new(1);
    small_guild(&disk).await;
    let (hk, storage, home) = (hk_guild(Id(G)), &disk.storage, Home::Guild(Id(G)));
    let ann = user(3, "ann");
    for first in (1000..2100).step_by(500) {
        let mut put = Vec::new();
        for id in first..first + 500 {
            put.push(ops::message_insert(home, &message(id, 11, &ann, "x")));
            // Fewer than messages: the one list ends before the other.
            if id < 1500 {
                put.push(ops::reaction_add(home, Id(11), Id(id), "👍", Id(3), Wall(1)));
            }
        }
        disk.write(hk, put).await;
    }
    disk.write(hk, vec![ops::message_insert(home, &message(5000, 12, &ann, "other channel"))]).await;
    disk.write(hk, vec![ops::ban_put(Id(G), &ann)]).await;
    disk.write(hk, ops::guild_delete(Id(G))).await;
    assert!(storage.guild(Id(G)).await.unwrap().is_none());
    assert!(storage.bans(Id(G)).await.unwrap().is_empty());
    assert_eq!(disk.try_write(hk, ops::guild_delete(Id(G))).await, Err(Trouble::Conflict { op: 0 }));

    let mut steps = 1;
    while !storage.sweep_channel(home, Id(11)).await.unwrap() {
        steps += 1;
    }
    assert!(steps >= 3, "{steps} steps for 1,500 messages");
    let left = |c| storage.messages(home, Id(c), Page::Newest, 100, Id(3));
    assert!(left(11).await.unwrap().is_empty());
    assert_eq!(left(12).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_invite_is_good_until_its_uses_or_its_time_are_over() {
    let disk = Disk::new(3);
    let (hk, storage) = (hk_guild(Id(G)), &disk.storage);
    let now = disk.clock.wall();
    let invite = |code: &str, max_age, max_uses| Invite {
        code: code.to_owned(),
        guild_id: Id(G),
        channel_id: Id(11),
        inviter: user(3, "ann"),
        created_at: iso(now),
        max_age,
        max_uses,
        uses: 0,
        temporary: false,
    };
    for (code, max_age, max_uses) in [("ever", 0, 0), ("hour", 3600, 0), ("twice", 0, 2)] {
        disk.write(hk_invite(code), vec![ops::invite_hint_put(code, Id(G))]).await;
        assert_eq!(storage.invite(code).await.unwrap(), None, "a hint alone is no invite");
        disk.write(hk, vec![ops::invite_put(&invite(code, max_age, max_uses), now)]).await;
        assert_eq!(storage.invite(code).await.unwrap(), Some(invite(code, max_age, max_uses)));
    }
    // A code that leads somewhere leads nowhere else; noting it twice is harmless.
    disk.write(hk_invite("ever"), vec![ops::invite_hint_put("ever", Id(G))]).await;
    let stolen = disk.try_write(hk_invite("ever"), vec![ops::invite_hint_put("ever", Id(2))]).await;
    assert_eq!(stolen, Err(Trouble::Conflict { op: 0 }));

    let spend = |code: &'static str| {
        let now = disk.clock.wall();
        disk.try_write(hk, vec![ops::invite_use(Id(G), code, now)])
    };
    for code in ["ever", "hour", "twice", "twice"] {
        spend(code).await.unwrap();
    }
    assert_eq!(spend("twice").await, Err(Trouble::Conflict { op: 0 }));
    assert_eq!(storage.invite("twice").await.unwrap(), None);
    let codes = |all: Vec<Invite>| all.into_iter().map(|i| (i.code, i.uses)).collect::<Vec<_>>();
    let good = codes(storage.invites(Id(G)).await.unwrap());
    assert_eq!(good, [("ever".to_owned(), 1), ("hour".to_owned(), 1)]);

    disk.clock.skip(Duration::from_secs(3601));
    assert_eq!(spend("hour").await, Err(Trouble::Conflict { op: 0 }));
    assert_eq!(codes(storage.invites(Id(G)).await.unwrap()), [("ever".to_owned(), 1)]);
    let cleared = disk.write(hk, vec![ops::invites_clear(Id(G), disk.clock.wall())]).await;
    let mut codes = cleared.rows[0].iter().map(|row| row.text(0).unwrap()).collect::<Vec<_>>();
    codes.sort_unstable();
    assert_eq!(codes, ["hour", "twice"]);
    assert!(storage.invite("ever").await.unwrap().is_some());
    disk.write(hk, vec![ops::invite_delete(Id(G), "ever")]).await;
    disk.write(hk_invite("ever"), vec![ops::invite_hint_delete("ever")]).await;
    assert_eq!(storage.invite("ever").await.unwrap(), None);
}
