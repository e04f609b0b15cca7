//! Who may do what: every command, by everybody.

use std::collections::HashMap;
use std::sync::Arc;

use seawall_chat::command::{ChannelFields, Command, MessageFields, Patch, RoleFields};
use seawall_chat::id::Id;
use seawall_chat::model::Overwrite;
use seawall_chat::owner::limits::Limits;
use seawall_chat::permissions::Permissions;
use tempfile::tempdir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::owner::{Process, body, id, message};

/// Those who ask, in the order of the table's columns.
const WHO: [&str; 6] = ["owner", "admin", "member", "muted", "stranger", "banned"];

/// A guild made for one case.
struct Scene {
    guild: Id,
    channel: Id,
    /// Only administrators see it.
    hidden: Id,
    /// A role at the bottom.
    role: Id,
    /// The administrators' role.
    admins: Id,
    /// A member nobody asks for anything.
    victim: Id,
    /// What the victim said, twice.
    said: [Id; 2],
    /// Who is banned.
    banned: Id,
    invite: String,
}

/// A user each, for all scenes.
#[derive(Clone)]
struct People(Arc<HashMap<&'static str, Id>>);

impl People {
    fn id(&self, who: &str) -> Id {
        self.0[who]
    }
}

async fn scene(p: &Process, people: &People) -> Scene {
    let owner = people.id("owner");
    let (guild, channel) = p.guild(owner, "case").await;
    for who in ["admin", "member", "muted", "victim"] {
        p.join(guild, people.id(who)).await;
    }
    let role = |permissions: Permissions, position| RoleFields {
        permissions: Some(permissions),
        position: Some(position),
        ..RoleFields::default()
    };
    let make = |role| Command::CreateRole { guild, role };
    let plain = p.operate(make(role(Permissions::NONE, 1))).await.unwrap();
    let admins = p.operate(make(role(Permissions::ADMINISTRATOR, 5))).await.unwrap();
    let (plain, admins) = (id(&body(&plain)), id(&body(&admins)));
    let give = Command::SetMemberRole { guild, user: people.id("admin"), role: admins, has: true };
    p.operate(give).await.unwrap();
    let overwrite = |id, kind, deny| Overwrite { id, kind, allow: Permissions::NONE, deny };
    let mute = Permissions::SEND_MESSAGES.with(Permissions::ADD_REACTIONS);
    let mute = overwrite(people.id("muted"), Overwrite::MEMBER, mute);
    p.operate(Command::SetOverwrite { channel, overwrite: mute }).await.unwrap();
    let hidden = p.channel(guild, "hidden").await;
    let hide = overwrite(guild, Overwrite::ROLE, Permissions::VIEW_CHANNEL);
    p.operate(Command::SetOverwrite { channel: hidden, overwrite: hide }).await.unwrap();
    let victim = people.id("victim");
    let said = [p.say(victim, channel, "one").await.unwrap(), p.say(victim, channel, "two").await.unwrap()];
    let react = Command::AddReaction { channel, message: said[0], emoji: "👍".to_owned() };
    p.act(victim, react).await.unwrap();
    let ban = Command::Ban { guild, user: people.id("banned"), delete_message_seconds: 0 };
    p.operate(ban).await.unwrap();
    let invite = Command::CreateInvite { channel, max_age: 0, max_uses: 0, unique: true };
    let invite = body(&p.act(owner, invite).await.unwrap())["code"].as_str().unwrap().to_owned();
    let banned = people.id("banned");
    Scene { guild, channel, hidden, role: plain, admins, victim, said, banned, invite }
}

type Make = fn(&Scene, Id) -> Command;

/// 0 is "done"; everything else a code. In the order of [`WHO`].
fn table() -> Vec<(&'static str, Make, [u32; 6])> {
    fn name(text: &str) -> Option<String> {
        Some(text.to_owned())
    }
    const MANAGE: [u32; 6] = [0, 0, 50013, 50013, 10004, 10004];
    const MANAGE_CHANNEL: [u32; 6] = [0, 0, 50013, 50013, 10003, 10003];
    const SPEAK: [u32; 6] = [0, 0, 0, 50013, 10003, 10003];
    const ANYONE: [u32; 6] = [0; 6];
    const NOBODY: [u32; 6] = [50013; 6];
    vec![
        (
            "create user",
            |_, a| Command::CreateUser { username: format!("x{a}"), global_name: None, bot: false },
            NOBODY,
        ),
        ("reset token", |s, _| Command::ResetToken { user: s.victim }, NOBODY),
        (
            "update user",
            |_, _| Command::UpdateUser { username: None, global_name: Patch::Set("n".to_owned()) },
            ANYONE,
        ),
        ("open direct", |s, _| Command::OpenDirect { recipient: s.victim }, ANYONE),
        ("create guild", |_, _| Command::CreateGuild { name: "mine".to_owned(), owner: None }, ANYONE),
        (
            "update guild",
            |s, _| Command::UpdateGuild {
                guild: s.guild,
                name: name("new"),
                description: Patch::Keep,
                system_channel_id: Patch::Keep,
                owner_id: None,
            },
            MANAGE,
        ),
        (
            "give guild away",
            |s, _| Command::UpdateGuild {
                guild: s.guild,
                name: None,
                description: Patch::Keep,
                system_channel_id: Patch::Keep,
                owner_id: Some(s.victim),
            },
            [0, 50013, 50013, 50013, 10004, 10004],
        ),
        (
            "delete guild",
            |s, _| Command::DeleteGuild { guild: s.guild },
            [0, 50013, 50013, 50013, 10004, 10004],
        ),
        (
            "create channel",
            |s, _| Command::CreateChannel {
                guild: s.guild,
                channel: ChannelFields { name: name("c"), ..ChannelFields::default() },
            },
            MANAGE,
        ),
        (
            "update channel",
            |s, _| Command::UpdateChannel {
                channel: s.channel,
                change: ChannelFields { name: name("c"), ..ChannelFields::default() },
            },
            MANAGE_CHANNEL,
        ),
        ("delete channel", |s, _| Command::DeleteChannel { channel: s.channel }, MANAGE_CHANNEL),
        (
            "set overwrite",
            |s, _| Command::SetOverwrite {
                channel: s.channel,
                overwrite: Overwrite {
                    id: s.role,
                    kind: Overwrite::ROLE,
                    allow: Permissions::SEND_MESSAGES,
                    deny: Permissions::NONE,
                },
            },
            MANAGE_CHANNEL,
        ),
        (
            "delete overwrite",
            |s, _| Command::DeleteOverwrite { channel: s.channel, target: s.role },
            MANAGE_CHANNEL,
        ),
        ("create role", |s, _| Command::CreateRole { guild: s.guild, role: RoleFields::default() }, MANAGE),
        (
            "update role",
            |s, _| Command::UpdateRole {
                guild: s.guild,
                role: s.role,
                change: RoleFields { name: name("r"), ..RoleFields::default() },
            },
            MANAGE,
        ),
        (
            "update a role not below one's own",
            |s, _| Command::UpdateRole {
                guild: s.guild,
                role: s.admins,
                change: RoleFields { name: name("r"), ..RoleFields::default() },
            },
            [0, 50013, 50013, 50013, 10004, 10004],
        ),
        ("delete role", |s, _| Command::DeleteRole { guild: s.guild, role: s.role }, MANAGE),
        (
            "add member",
            |s, _| Command::AddMember { guild: s.guild, user: s.banned },
            [50013, 50013, 50013, 50013, 10004, 10004],
        ),
        (
            "own nick",
            |s, a| Command::UpdateMember {
                guild: s.guild,
                user: a,
                nick: Patch::Set("n".to_owned()),
                roles: None,
            },
            [0, 0, 0, 0, 10004, 10004],
        ),
        (
            "another's nick",
            |s, _| Command::UpdateMember {
                guild: s.guild,
                user: s.victim,
                nick: Patch::Set("n".to_owned()),
                roles: None,
            },
            MANAGE,
        ),
        (
            "another's roles",
            |s, _| Command::UpdateMember {
                guild: s.guild,
                user: s.victim,
                nick: Patch::Keep,
                roles: Some(vec![s.role]),
            },
            MANAGE,
        ),
        (
            "a role not below one's own for oneself",
            |s, a| Command::SetMemberRole { guild: s.guild, user: a, role: s.admins, has: true },
            [0, 50013, 50013, 50013, 10004, 10004],
        ),
        (
            "set role",
            |s, _| Command::SetMemberRole { guild: s.guild, user: s.victim, role: s.role, has: true },
            MANAGE,
        ),
        ("kick", |s, _| Command::RemoveMember { guild: s.guild, user: s.victim }, MANAGE),
        ("leave", |s, a| Command::RemoveMember { guild: s.guild, user: a }, [50013, 0, 0, 0, 10004, 10004]),
        ("ban", |s, _| Command::Ban { guild: s.guild, user: s.victim, delete_message_seconds: 3600 }, MANAGE),
        ("unban", |s, _| Command::Unban { guild: s.guild, user: s.banned }, MANAGE),
        (
            "create invite",
            |s, _| Command::CreateInvite { channel: s.channel, max_age: 0, max_uses: 0, unique: false },
            [0, 0, 0, 0, 10003, 10003],
        ),
        (
            "delete invite",
            |s, _| Command::DeleteInvite { code: s.invite.clone() },
            [0, 0, 50013, 50013, 10006, 10006],
        ),
        ("use invite", |s, _| Command::UseInvite { code: s.invite.clone() }, [0, 0, 0, 0, 0, 40007]),
        ("send", |s, _| message(s.channel, "hello"), SPEAK),
        ("send where one cannot see", |s, _| message(s.hidden, "hello"), [0, 0, 50001, 50001, 10003, 10003]),
        (
            "reply",
            |s, _| Command::CreateMessage {
                channel: s.channel,
                message: MessageFields {
                    content: "yes".to_owned(),
                    reply_to: Some(s.said[0]),
                    ..MessageFields::default()
                },
            },
            SPEAK,
        ),
        (
            "edit another's message",
            |s, _| Command::UpdateMessage {
                channel: s.channel,
                message: s.said[0],
                content: name("no"),
                embeds: None,
                components: None,
                flags: None,
            },
            [50005, 50005, 50005, 50005, 10003, 10003],
        ),
        (
            "delete message",
            |s, _| Command::DeleteMessage { channel: s.channel, message: s.said[0] },
            MANAGE_CHANNEL,
        ),
        (
            "delete messages",
            |s, _| Command::DeleteMessages { channel: s.channel, messages: s.said.to_vec() },
            MANAGE_CHANNEL,
        ),
        ("pin", |s, _| Command::Pin { channel: s.channel, message: s.said[0], pinned: true }, MANAGE_CHANNEL),
        (
            "react",
            |s, _| Command::AddReaction { channel: s.channel, message: s.said[1], emoji: "🎉".to_owned() },
            SPEAK,
        ),
        (
            "react as somebody has",
            |s, _| Command::AddReaction { channel: s.channel, message: s.said[0], emoji: "👍".to_owned() },
            [0, 0, 0, 0, 10003, 10003],
        ),
        (
            "take one's own reaction back",
            |s, a| Command::RemoveReactions {
                channel: s.channel,
                message: s.said[0],
                emoji: name("👍"),
                user: Some(a),
            },
            [0, 0, 0, 0, 10003, 10003],
        ),
        (
            "take another's reaction away",
            |s, _| Command::RemoveReactions {
                channel: s.channel,
                message: s.said[0],
                emoji: name("👍"),
                user: Some(s.victim),
            },
            MANAGE_CHANNEL,
        ),
        (
            "take an emoji away",
            |s, _| Command::RemoveReactions {
                channel: s.channel,
                message: s.said[0],
                emoji: name("👍"),
                user: None,
            },
            MANAGE_CHANNEL,
        ),
        (
            "take all reactions away",
            |s, _| Command::RemoveReactions {
                channel: s.channel,
                message: s.said[0],
                emoji: None,
                user: None,
            },
            MANAGE_CHANNEL,
        ),
        ("typing", |s, _| Command::Typing { channel: s.channel }, SPEAK),
        (
            "presence",
            |_, a| Command::Presence {
                gateway: "g".to_owned(),
                session: a.to_string(),
                status: "online".to_owned(),
                activities: Vec::new(),
            },
            ANYONE,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_by_everybody() {
    let data = tempdir().unwrap();
    let limits = Limits { guilds_max: 10_000, ..Limits::default() };
    let p = Arc::new(Process::start_with(data.path(), 1, limits).await);
    let mut people = HashMap::new();
    for who in WHO.into_iter().chain(["victim"]) {
        people.insert(who, p.user(who).await);
    }
    let people = People(Arc::new(people));
    // Guilds are independent: their commits go to the disk together.
    let (at_once, mut cases) = (Arc::new(Semaphore::new(32)), JoinSet::new());
    for (what, make, expected) in table() {
        for (who, expected) in WHO.into_iter().zip(expected) {
            let (p, people, at_once) = (p.clone(), people.clone(), at_once.clone());
            cases.spawn(async move {
                let _turn = at_once.acquire().await.unwrap();
                let (scene, actor) = (scene(&p, &people).await, people.id(who));
                let done = p.act(actor, make(&scene, actor)).await;
                let code = done.err().map_or(0, |refusal| refusal.code());
                (code != expected).then(|| format!("{what} by {who}: {code}, not {expected}"))
            });
        }
    }
    let wrong = cases.join_all().await.into_iter().flatten().collect::<Vec<_>>();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_may_everything_that_needs_no_user() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let mut people = HashMap::new();
    for who in WHO.into_iter().chain(["victim"]) {
        people.insert(who, p.user(who).await);
    }
    let people = People(Arc::new(people));
    for (what, make, _) in table() {
        let scene = scene(&p, &people).await;
        let done = p.operate(make(&scene, scene.victim)).await;
        // These speak for a user, and the operator is none; a guild needs an owner.
        let code = match what {
            "update user"
            | "open direct"
            | "use invite"
            | "send"
            | "reply"
            | "react"
            | "typing"
            | "presence"
            | "send where one cannot see"
            | "react as somebody has" => 0,
            "create guild" => 10013,
            _ => {
                assert!(done.is_ok(), "{what}: {done:?}");
                continue;
            }
        };
        let refused = done.unwrap_err();
        assert_eq!((refused.code(), refused.status() >= 400), (code, true), "{what}");
    }
}
