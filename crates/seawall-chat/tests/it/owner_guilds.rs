//! What follows from a command: rows, events, and what others see.

use seawall_chat::command::{ChannelFields, Command, MessageFields, Patch, RoleFields};
use seawall_chat::event::{Audience, Event};
use seawall_chat::id::Id;
use seawall_chat::model::{Channel, Overwrite};
use seawall_chat::owner::limits::Limits;
use seawall_chat::owner::{News, Subscription};
use seawall_chat::permissions::Permissions;
use seawall_chat::refusal::{BulkDelete, Refusal};
use seawall_chat::storage::Home;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::owner::{Process, body, hear, id, message};

/// The next durable event with this name, and its payload.
async fn event(news: &mut Subscription, name: &str) -> (Event, Value) {
    loop {
        if let News::Durable { event, .. } = hear(news).await
            && event.t.name() == name
        {
            let d = serde_json::from_str(event.d.get()).unwrap();
            return (event, d);
        }
    }
}

fn fields(content: &str) -> MessageFields {
    MessageFields { content: content.to_owned(), ..MessageFields::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_guild_is_there_with_all_that_it_needs() {
    let data = tempdir().unwrap();
    let p = Process::start_with(data.path(), 3, Limits::default()).await;
    let ada = p.user("ada").await;
    let mut news = p.listen("g");
    let (guild, channel) = p.guild(ada, "engines").await;
    let (told, d) = event(&mut news, "GUILD_MEMBER_ADD").await;
    assert_eq!((told.to, &d["guild_id"], id(&d["user"])), (Audience::Guild(guild), &json!(guild), ada));
    let (state, _) = p.storage.guild(guild).await.unwrap().unwrap();
    assert_eq!(state.roles[&guild].permissions, Permissions::EVERYONE);
    assert_eq!(state.channels[&channel].name.as_deref(), Some("general"));
    assert_eq!(p.storage.guilds_of(ada).await.unwrap(), [guild]);
    assert_eq!(p.storage.home(channel).await.unwrap(), Some(Home::Guild(guild)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_told_with_its_member_its_place_and_whom_it_calls() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ada, bob) = (p.user("ada").await, p.user("bob").await);
    let (guild, channel) = p.guild(ada, "engines").await;
    p.join(guild, bob).await;
    let mut news = p.listen("g");
    let role = RoleFields { name: Some("crew".to_owned()), mentionable: Some(true), ..RoleFields::default() };
    let role = id(&body(&p.act(ada, Command::CreateRole { guild, role }).await.unwrap()));
    let quieter = Permissions::EVERYONE.without(Permissions::MENTION_EVERYONE);
    let change = RoleFields { permissions: Some(quieter), ..RoleFields::default() };
    p.act(ada, Command::UpdateRole { guild, role: guild, change }).await.unwrap();
    let text = format!("<@{ada}> <@&{role}> <@77> @everyone");
    let first = p.say(bob, channel, &text).await.unwrap();
    let (told, d) = event(&mut news, "MESSAGE_CREATE").await;
    assert_eq!((told.author, told.mentions), (Some(bob), vec![ada]));
    assert_eq!(told.to, Audience::Channel { guild, channel });
    assert_eq!((&d["guild_id"], &d["channel_type"]), (&json!(guild), &json!(0)));
    assert!(d["member"]["joined_at"].is_string() && d["member"].get("user").is_none());
    assert_eq!((&d["mention_roles"], &d["mention_everyone"]), (&json!([role]), &json!(false)));
    // The owner may call everyone, unless the message says not to; and an answer calls who is answered.
    let quiet = json!({ "parse": ["users"], "replied_user": true });
    let mut answer = MessageFields { reply_to: Some(first), ..fields("@everyone") };
    for (allowed, everyone) in [(None, true), (Some(quiet), false)] {
        answer.allowed_mentions = allowed;
        let command = Command::CreateMessage { channel, message: answer.clone() };
        let done = body(&p.act(ada, command).await.unwrap());
        assert_eq!((&done["mention_everyone"], id(&done["mentions"][0])), (&json!(everyone), bob));
        assert_eq!((&done["type"], id(&done["referenced_message"])), (&json!(19), first));
        assert!(done.get("guild_id").is_none());
    }
    // What is answered is gone.
    p.act(bob, Command::DeleteMessage { channel, message: first }).await.unwrap();
    let plain = body(&p.act(ada, Command::CreateMessage { channel, message: answer.clone() }).await.unwrap());
    assert_eq!(plain["type"], 0);
    answer.fail_if_not_exists = true;
    let refused = p.act(ada, Command::CreateMessage { channel, message: answer }).await.unwrap_err();
    assert_eq!(refused.code(), 50035);
    assert_eq!(p.say(ada, channel, "").await, Err(Refusal::EmptyMessage));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_mode_holds_members_back_and_not_those_who_manage() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ada, bob) = (p.user("ada").await, p.user("bob").await);
    let (guild, channel) = p.guild(ada, "engines").await;
    p.join(guild, bob).await;
    let change = ChannelFields { rate_limit_per_user: Some(60), ..ChannelFields::default() };
    p.act(ada, Command::UpdateChannel { channel, change }).await.unwrap();
    for _ in 0..3 {
        p.say(ada, channel, "as often as I like").await.unwrap();
    }
    p.say(bob, channel, "once").await.unwrap();
    let Err(Refusal::SlowMode { retry_after }) = p.say(bob, channel, "twice").await else {
        panic!("not held back");
    };
    assert!((50.0..=60.0).contains(&retry_after), "{retry_after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_changed_pinned_reacted_to_and_deleted() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ada, bob) = (p.user("ada").await, p.user("bob").await);
    let (guild, channel) = p.guild(ada, "engines").await;
    p.join(guild, bob).await;
    let mut news = p.listen("g");
    let said = p.say(bob, channel, "one").await.unwrap();
    let edit = |flags, content: Option<&str>| Command::UpdateMessage {
        channel,
        message: said,
        content: content.map(str::to_owned),
        embeds: None,
        components: None,
        flags,
    };
    let edited = body(&p.act(bob, edit(None, Some("two"))).await.unwrap());
    assert_eq!((&edited["content"], edited["edited_timestamp"].is_string()), (&json!("two"), true));
    assert_eq!(p.act(bob, edit(None, Some(""))).await.unwrap_err(), Refusal::EmptyMessage);
    // Suppressing the embeds of others is for those who manage messages.
    p.act(ada, edit(Some(4), None)).await.unwrap();
    let (_, d) = event(&mut news, "MESSAGE_UPDATE").await;
    assert_eq!((id(&d), &d["content"], &d["guild_id"]), (said, &json!("two"), &json!(guild)));

    let react = |emoji: &str| Command::AddReaction { channel, message: said, emoji: emoji.to_owned() };
    p.act(ada, react("👍")).await.unwrap();
    assert_eq!(p.act(ada, react("👍")).await.unwrap().at, None);
    assert_eq!(p.act(ada, react("name:123")).await.unwrap_err(), Refusal::UnknownEmoji);
    let (_, d) = event(&mut news, "MESSAGE_REACTION_ADD").await;
    assert_eq!((&d["user_id"], &d["emoji"]["name"], &d["type"]), (&json!(ada), &json!("👍"), &json!(0)));
    assert_eq!((&d["message_author_id"], id(&d["member"]["user"])), (&json!(bob), ada));
    for n in 0..19u32 {
        let emoji = char::from_u32(0x1F600 + n).unwrap().to_string();
        p.act(bob, react(&emoji)).await.unwrap();
    }
    assert_eq!(p.act(bob, react("🎉")).await.unwrap_err(), Refusal::TooManyReactions);
    p.act(bob, react("👍")).await.unwrap();
    let remove = |emoji: Option<&str>, user| Command::RemoveReactions {
        channel,
        message: said,
        emoji: emoji.map(str::to_owned),
        user,
    };
    p.act(bob, remove(Some("👍"), Some(bob))).await.unwrap();
    let (_, d) = event(&mut news, "MESSAGE_REACTION_REMOVE").await;
    assert_eq!((&d["user_id"], d.get("member")), (&json!(bob), None));
    p.act(ada, remove(Some("👍"), None)).await.unwrap();
    event(&mut news, "MESSAGE_REACTION_REMOVE_EMOJI").await;
    p.act(ada, remove(None, None)).await.unwrap();
    event(&mut news, "MESSAGE_REACTION_REMOVE_ALL").await;
    let kept = p.storage.message(Home::Guild(guild), channel, said, ada).await.unwrap().unwrap();
    assert!(kept.reactions.is_empty());

    p.act(ada, Command::Pin { channel, message: said, pinned: true }).await.unwrap();
    let (_, d) = event(&mut news, "CHANNEL_PINS_UPDATE").await;
    assert!(d["last_pin_timestamp"].is_string());
    assert_eq!(event(&mut news, "MESSAGE_UPDATE").await.1["pinned"], true);
    assert_eq!(p.storage.pins(Home::Guild(guild), channel, ada).await.unwrap().len(), 1);
    for n in 0..49 {
        let message = p.say(bob, channel, &n.to_string()).await.unwrap();
        p.act(ada, Command::Pin { channel, message, pinned: true }).await.unwrap();
    }
    let one_more = p.say(bob, channel, "50").await.unwrap();
    let pin = Command::Pin { channel, message: one_more, pinned: true };
    assert_eq!(p.act(ada, pin).await.unwrap_err(), Refusal::TooManyPins);

    let many = |messages| Command::DeleteMessages { channel, messages };
    assert_eq!(p.act(ada, many(vec![said])).await.unwrap_err(), Refusal::BulkDelete(BulkDelete::Count));
    assert_eq!(
        p.act(ada, many(vec![said, Id(5)])).await.unwrap_err(),
        Refusal::BulkDelete(BulkDelete::TooOld)
    );
    // One of them is no message; it is passed over.
    p.act(ada, many(vec![said, one_more, Id(one_more.0 + 1)])).await.unwrap();
    let (_, d) = event(&mut news, "MESSAGE_DELETE_BULK").await;
    assert_eq!(d["ids"], json!([said, one_more]));
    let gone = Command::DeleteMessage { channel, message: said };
    assert_eq!(p.act(bob, gone).await.unwrap_err(), Refusal::UnknownMessage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_join_by_invite_and_leave_and_are_banned() {
    let data = tempdir().unwrap();
    let p = Process::start_with(data.path(), 3, Limits::default()).await;
    let (ada, bob, eve) = (p.user("ada").await, p.user("bob").await, p.user("eve").await);
    let (guild, channel) = p.guild(ada, "engines").await;
    let mut news = p.listen("g");
    let make = |unique| Command::CreateInvite { channel, max_age: 600, max_uses: 1, unique };
    let first = body(&p.act(ada, make(false)).await.unwrap());
    let same = body(&p.act(ada, make(false)).await.unwrap());
    let other = body(&p.act(ada, make(true)).await.unwrap());
    assert_eq!(first["code"], same["code"]);
    assert_ne!(first["code"], other["code"]);
    assert_eq!((&first["guild"]["name"], id(&first["channel"])), (&json!("engines"), channel));
    let (_, d) = event(&mut news, "INVITE_CREATE").await;
    assert!(d["expires_at"].is_string() && d["code"] == first["code"]);
    let accept = |invite: &Value| Command::UseInvite { code: invite["code"].as_str().unwrap().to_owned() };
    p.act(bob, accept(&first)).await.unwrap();
    assert_eq!(id(&event(&mut news, "GUILD_MEMBER_ADD").await.1["user"]), bob);
    // It was good for one.
    assert_eq!(p.act(eve, accept(&first)).await.unwrap_err(), Refusal::UnknownInvite);
    let said = p.say(bob, channel, "hello").await.unwrap();
    p.act(ada, Command::Ban { guild, user: bob, delete_message_seconds: 600 }).await.unwrap();
    assert_eq!(id(&event(&mut news, "GUILD_BAN_ADD").await.1["user"]), bob);
    assert_eq!(id(&event(&mut news, "GUILD_MEMBER_REMOVE").await.1["user"]), bob);
    assert_eq!(event(&mut news, "MESSAGE_DELETE_BULK").await.1["ids"], json!([said]));
    assert_eq!(p.act(bob, accept(&other)).await.unwrap_err(), Refusal::Banned);
    p.act(ada, Command::Unban { guild, user: bob }).await.unwrap();
    assert_eq!(p.act(ada, Command::Unban { guild, user: bob }).await.unwrap_err(), Refusal::UnknownBan);
    p.act(bob, accept(&other)).await.unwrap();
    p.act(bob, Command::RemoveMember { guild, user: bob }).await.unwrap();
    assert_eq!(p.say(bob, channel, "hello").await, Err(Refusal::UnknownChannel));
    // Hints are taken away when nobody waits any more.
    for _ in 0..500 {
        if p.storage.guilds_of(bob).await.unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the hint stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_and_overwrites_stay_within_what_one_has_oneself() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let (ada, bob) = (p.user("ada").await, p.user("bob").await);
    let (guild, channel) = p.guild(ada, "engines").await;
    p.join(guild, bob).await;
    let role = |permissions, position| RoleFields {
        permissions: Some(permissions),
        position: Some(position),
        ..RoleFields::default()
    };
    let make = |role| Command::CreateRole { guild, role };
    let rights = Permissions::MANAGE_ROLES.with(Permissions::MANAGE_CHANNELS);
    let steward = id(&body(&p.act(ada, make(role(rights, 3))).await.unwrap()));
    p.act(ada, Command::SetMemberRole { guild, user: bob, role: steward, has: true }).await.unwrap();
    // Bob may make roles of what he has himself, below his own.
    let mine = id(&body(&p.act(bob, make(role(Permissions::MANAGE_CHANNELS, 2))).await.unwrap()));
    for (wrong, why) in [
        (role(Permissions::BAN_MEMBERS, 1), "more than he has"),
        (role(Permissions::ADMINISTRATOR, 1), "everything"),
        (role(Permissions::NONE, 4), "above his own"),
    ] {
        assert_eq!(p.act(bob, make(wrong)).await.unwrap_err(), Refusal::MissingPermissions, "{why}");
    }
    let change = |role, change| Command::UpdateRole { guild, role, change };
    for (role, wrong) in [
        (mine, role(Permissions::KICK_MEMBERS, 2)),
        (mine, role(Permissions::MANAGE_CHANNELS, 4)),
        (steward, role(rights, 3)),
        (guild, role(Permissions::EVERYONE.with(Permissions::ADMINISTRATOR), 0)),
    ] {
        assert_eq!(p.act(bob, change(role, wrong)).await.unwrap_err(), Refusal::MissingPermissions);
    }
    let overwrite = |id, kind, allow| Command::SetOverwrite {
        channel,
        overwrite: Overwrite { id, kind, allow, deny: Permissions::NONE },
    };
    let refused = p.act(bob, overwrite(bob, Overwrite::MEMBER, Permissions::MANAGE_MESSAGES)).await;
    assert_eq!(refused.unwrap_err(), Refusal::MissingPermissions);
    p.act(bob, overwrite(mine, Overwrite::ROLE, Permissions::MANAGE_CHANNELS)).await.unwrap();
    let refused = p.act(ada, overwrite(Id(5), Overwrite::ROLE, Permissions::NONE)).await;
    assert_eq!(refused.unwrap_err(), Refusal::UnknownRole);
    // A role that is gone is gone from members and channels.
    p.act(ada, Command::SetMemberRole { guild, user: bob, role: mine, has: true }).await.unwrap();
    p.act(bob, Command::DeleteRole { guild, role: mine }).await.unwrap();
    let member = Command::UpdateMember { guild, user: bob, nick: Patch::Set("b".to_owned()), roles: None };
    assert_eq!(body(&p.act(bob, member).await.unwrap())["roles"], json!([steward]));
    assert_eq!(
        p.act(ada, Command::DeleteRole { guild, role: mine }).await.unwrap_err(),
        Refusal::UnknownRole
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_category_goes_and_its_channels_stay() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let ada = p.user("ada").await;
    let (guild, general) = p.guild(ada, "engines").await;
    let make = |name: &str, kind, parent_id| Command::CreateChannel {
        guild,
        channel: ChannelFields {
            name: Some(name.to_owned()),
            kind: Some(kind),
            parent_id,
            ..ChannelFields::default()
        },
    };
    let category = id(&body(&p.act(ada, make("c", Channel::CATEGORY, Patch::Keep)).await.unwrap()));
    let inside = make("inside", Channel::TEXT, Patch::Set(category));
    let inside = id(&body(&p.act(ada, inside).await.unwrap()));
    for wrong in [make("x", Channel::TEXT, Patch::Set(general)), make("x", 9, Patch::Keep)] {
        assert_eq!(p.act(ada, wrong).await.unwrap_err().code(), 50035);
    }
    assert_eq!(p.say(ada, category, "hello").await, Err(Refusal::WrongChannelType));
    let mut news = p.listen("g");
    p.act(ada, Command::DeleteChannel { channel: category }).await.unwrap();
    p.act(ada, Command::DeleteChannel { channel: general }).await.unwrap();
    assert_eq!(id(&event(&mut news, "CHANNEL_DELETE").await.1), category);
    assert_eq!(event(&mut news, "CHANNEL_UPDATE").await.1["parent_id"], Value::Null);
    assert_eq!(event(&mut news, "GUILD_UPDATE").await.1["system_channel_id"], Value::Null);
    let (state, _) = p.storage.guild(guild).await.unwrap().unwrap();
    assert_eq!(state.channels.keys().copied().collect::<Vec<_>>(), [inside]);
    assert_eq!((state.channels[&inside].parent_id, state.guild.system_channel_id), (None, None));
    assert_eq!(p.say(ada, general, "hello").await, Err(Refusal::UnknownChannel));
    p.act(ada, Command::DeleteGuild { guild }).await.unwrap();
    event(&mut news, "GUILD_DELETE").await;
    assert_eq!(p.say(ada, inside, "hello").await, Err(Refusal::UnknownChannel));
    assert_eq!(p.act(ada, Command::DeleteGuild { guild }).await.unwrap_err(), Refusal::UnknownGuild);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_talk_alone() {
    let data = tempdir().unwrap();
    let p = Process::start_with(data.path(), 3, Limits::default()).await;
    let (ada, bob, eve) = (p.user("ada").await, p.user("bob").await, p.user("eve").await);
    let mut news = p.listen("g");
    let open = |recipient| Command::OpenDirect { recipient };
    // Both at once, and again: one channel.
    let (one, two) = tokio::join!(p.act(ada, open(bob)), p.act(bob, open(ada)));
    let (one, two) = (body(&one.unwrap()), body(&two.unwrap()));
    let channel = id(&one);
    assert_eq!((id(&two), &one["type"]), (channel, &json!(1)));
    assert_eq!((id(&one["recipients"][0]), id(&two["recipients"][0])), (bob, ada));
    let mut told = [event(&mut news, "CHANNEL_CREATE").await, event(&mut news, "CHANNEL_CREATE").await];
    told.sort_by_key(|(_, d)| id(&d["recipients"][0]));
    assert_eq!((&told[0].0.to, &told[1].0.to), (&Audience::Users(vec![bob]), &Audience::Users(vec![ada])));
    let said = p.say(ada, channel, "hello").await.unwrap();
    let (told, d) = event(&mut news, "MESSAGE_CREATE").await;
    assert_eq!((told.to, &d["channel_type"]), (Audience::Users(vec![ada, bob]), &json!(1)));
    assert!(d.get("guild_id").is_none() && d.get("member").is_none());
    assert_eq!(p.say(eve, channel, "me too").await, Err(Refusal::UnknownChannel));
    let edit = Command::DeleteMessage { channel, message: said };
    assert_eq!(p.act(bob, edit).await.unwrap_err(), Refusal::MissingPermissions);
    p.act(bob, Command::Pin { channel, message: said, pinned: true }).await.unwrap();
    let refused = p.act(bob, Command::UpdateChannel { channel, change: ChannelFields::default() }).await;
    assert_eq!(refused.unwrap_err(), Refusal::WrongChannelType);
    // Closed, it is not shown; the next message shows it again.
    assert_eq!(p.storage.directs_of(bob).await.unwrap().len(), 1);
    p.act(bob, Command::DeleteChannel { channel }).await.unwrap();
    assert!(p.storage.directs_of(bob).await.unwrap().is_empty());
    p.say(ada, channel, "are you there?").await.unwrap();
    assert_eq!(p.storage.directs_of(bob).await.unwrap().len(), 1);
    assert_eq!(p.act(ada, open(ada)).await.unwrap_err(), Refusal::CannotMessageUser);
    assert_eq!(p.act(ada, open(Id(5))).await.unwrap_err(), Refusal::UnknownUser);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_profile_is_seen_everywhere_and_names_stay_unique() {
    let data = tempdir().unwrap();
    let p = Process::start_with(data.path(), 3, Limits::default()).await;
    let (ada, bob) = (p.user("ada").await, p.user("bob").await);
    let (guild, channel) = p.guild(ada, "engines").await;
    let direct = id(&body(&p.act(ada, Command::OpenDirect { recipient: bob }).await.unwrap()));
    let mut news = p.listen("g");
    let rename =
        |name: &str| Command::UpdateUser { username: Some(name.to_owned()), global_name: Patch::Keep };
    assert_eq!(p.act(ada, rename("BOB")).await.unwrap_err().code(), 50035);
    p.act(ada, rename("countess")).await.unwrap();
    let (told, d) = event(&mut news, "USER_UPDATE").await;
    assert_eq!((told.to, &d["username"]), (Audience::Users(vec![ada]), &json!("countess")));
    let mut again = p.listen("again");
    assert_eq!(event(&mut again, "GUILD_MEMBER_UPDATE").await.1["user"]["username"], "countess");
    let said = body(&p.act(ada, message(channel, "hello")).await.unwrap());
    assert_eq!(said["author"]["username"], "countess");
    let said = body(&p.act(ada, message(direct, "hello")).await.unwrap());
    assert_eq!(said["author"]["username"], "countess");
    let (state, _) = p.storage.guild(guild).await.unwrap().unwrap();
    assert_eq!(state.members[&ada].user.username, "countess");
    // The old name is free, the new one is not.
    p.user("ada").await;
    p.act(bob, rename("Countess")).await.unwrap_err();
    let twice = Command::CreateUser { username: "bob".to_owned(), global_name: None, bot: false };
    assert_eq!(p.operate(twice).await.unwrap_err().code(), 50035);
    // There and back again.
    p.act(bob, rename("robert")).await.unwrap();
    p.act(bob, rename("bob")).await.unwrap();
    p.user("robert").await;
    p.act(bob, rename("robert")).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_counted_is_bounded() {
    let data = tempdir().unwrap();
    let limits = Limits {
        channels_max: 2,
        roles_max: 2,
        members_max: 2,
        invites_max: 1,
        guilds_max: 2,
        ..Limits::default()
    };
    let p = Process::start_with(data.path(), 1, limits).await;
    let (ada, bob, eve) = (p.user("ada").await, p.user("bob").await, p.user("eve").await);
    let (guild, channel) = p.guild(ada, "engines").await;
    p.join(guild, bob).await;
    p.channel(guild, "second").await;
    p.act(ada, Command::CreateRole { guild, role: RoleFields::default() }).await.unwrap();
    let invite = |unique| Command::CreateInvite { channel, max_age: 0, max_uses: 0, unique };
    let code = body(&p.act(ada, invite(true)).await.unwrap())["code"].as_str().unwrap().to_owned();
    p.guild(ada, "second").await;
    let one_more = ChannelFields { name: Some("third".to_owned()), ..ChannelFields::default() };
    for (actor, command) in [
        (ada, Command::CreateChannel { guild, channel: one_more }),
        (ada, Command::CreateRole { guild, role: RoleFields::default() }),
        (ada, invite(true)),
        (ada, Command::CreateGuild { name: "third".to_owned(), owner: None }),
        (eve, Command::UseInvite { code }),
    ] {
        let refused = p.act(actor, command.clone()).await.unwrap_err();
        assert_eq!(refused.code(), 30001, "{command:?}: {refused}");
    }
}
