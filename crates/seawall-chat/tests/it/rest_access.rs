//! Who gets what from every call: without a token, with a bad one, from outside the guild, in it but kept out of the
//! channel, in it with what everyone may, and its owner.

use std::collections::BTreeSet;

use seawall_chat::api;
use serde_json::{Value, json};

use crate::rest_making::{Chat, Person, chat, text};

/// Status and Discord's code; 0 where nothing went wrong.
type Code = (u16, u64);

const OK: Code = (200, 0);
const CREATED: Code = (201, 0);
const DONE: Code = (204, 0);
const NO_GUILD: Code = (404, 10004);
const NO_CHANNEL: Code = (404, 10003);
const NO_ACCESS: Code = (403, 50001);
const NO_RIGHT: Code = (403, 50013);

/// What a call is sent.
#[derive(Clone, Copy)]
enum Sent {
    Nothing,
    Name,
    Content,
    Nick,
    Overwrite,
    Order,
    Messages,
    Recipient,
}

struct Row {
    method: &'static str,
    path: &'static str,
    sent: Sent,
    outsider: Code,
    kept_out: Code,
    member: Code,
    owner: Code,
}

const fn row(method: &'static str, path: &'static str, sent: Sent, codes: [Code; 4]) -> Row {
    let [outsider, kept_out, member, owner] = codes;
    Row { method, path, sent, outsider, kept_out, member, owner }
}

/// Anyone with a token.
const fn open(method: &'static str, path: &'static str, sent: Sent, code: Code) -> Row {
    row(method, path, sent, [code; 4])
}

/// Anyone in the guild.
const fn inside(method: &'static str, path: &'static str, sent: Sent, code: Code) -> Row {
    row(method, path, sent, [NO_GUILD, code, code, code])
}

/// Who has a right in the guild.
const fn manage(method: &'static str, path: &'static str, sent: Sent, code: Code) -> Row {
    row(method, path, sent, [NO_GUILD, NO_RIGHT, NO_RIGHT, code])
}

/// Who sees the channel.
const fn seen(method: &'static str, path: &'static str, sent: Sent, code: Code) -> Row {
    row(method, path, sent, [NO_CHANNEL, NO_ACCESS, code, code])
}

/// Who has a right in the channel.
const fn manage_there(method: &'static str, path: &'static str, sent: Sent, code: Code) -> Row {
    row(method, path, sent, [NO_CHANNEL, NO_ACCESS, NO_RIGHT, code])
}

const CALLS: &[Row] = &[
    open("GET", "/gateway/bot", Sent::Nothing, OK),
    open("GET", "/oauth2/applications/@me", Sent::Nothing, OK),
    open("GET", "/applications/@me", Sent::Nothing, OK),
    // The application in the path is the owner's.
    row(
        "GET",
        "/applications/{application_id}/commands",
        Sent::Nothing,
        [NO_ACCESS, NO_ACCESS, NO_ACCESS, OK],
    ),
    row(
        "GET",
        "/applications/{application_id}/guilds/{guild_id}/commands",
        Sent::Nothing,
        [NO_GUILD, NO_ACCESS, NO_ACCESS, OK],
    ),
    open("GET", "/voice/regions", Sent::Nothing, OK),
    inside("GET", "/guilds/{guild_id}/emojis", Sent::Nothing, OK),
    inside("GET", "/guilds/{guild_id}/stickers", Sent::Nothing, OK),
    inside("GET", "/guilds/{guild_id}/threads/active", Sent::Nothing, OK),
    open("GET", "/users/@me", Sent::Nothing, OK),
    open("PATCH", "/users/@me", Sent::Nothing, OK),
    open("GET", "/users/{user_id}", Sent::Nothing, OK),
    open("GET", "/users/@me/guilds", Sent::Nothing, OK),
    inside("GET", "/users/@me/guilds/{guild_id}/member", Sent::Nothing, OK),
    // An owner would leave its guild alone.
    row("DELETE", "/users/@me/guilds/{guild_id}", Sent::Nothing, [NO_GUILD, DONE, DONE, (403, 50013)]),
    open("GET", "/users/@me/channels", Sent::Nothing, OK),
    open("POST", "/users/@me/channels", Sent::Recipient, OK),
    open("POST", "/guilds", Sent::Name, CREATED),
    inside("GET", "/guilds/{guild_id}", Sent::Nothing, OK),
    manage("PATCH", "/guilds/{guild_id}", Sent::Name, OK),
    manage("DELETE", "/guilds/{guild_id}", Sent::Nothing, DONE),
    manage("GET", "/guilds/{guild_id}/bans", Sent::Nothing, OK),
    manage("GET", "/guilds/{guild_id}/bans/{user_id}", Sent::Nothing, (404, 10026)),
    manage("PUT", "/guilds/{guild_id}/bans/{user_id}", Sent::Nothing, DONE),
    manage("DELETE", "/guilds/{guild_id}/bans/{user_id}", Sent::Nothing, (404, 10026)),
    inside("GET", "/guilds/{guild_id}/members", Sent::Nothing, OK),
    inside("GET", "/guilds/{guild_id}/members/search", Sent::Nothing, OK),
    inside("PATCH", "/guilds/{guild_id}/members/@me", Sent::Nick, OK),
    inside("PATCH", "/guilds/{guild_id}/members/@me/nick", Sent::Nick, OK),
    inside("GET", "/guilds/{guild_id}/members/{user_id}", Sent::Nothing, OK),
    manage("PUT", "/guilds/{guild_id}/members/{user_id}", Sent::Nothing, NO_RIGHT),
    manage("PATCH", "/guilds/{guild_id}/members/{user_id}", Sent::Nick, OK),
    manage("DELETE", "/guilds/{guild_id}/members/{user_id}", Sent::Nothing, DONE),
    manage("PUT", "/guilds/{guild_id}/members/{user_id}/roles/{role_id}", Sent::Nothing, DONE),
    manage("DELETE", "/guilds/{guild_id}/members/{user_id}/roles/{role_id}", Sent::Nothing, DONE),
    inside("GET", "/guilds/{guild_id}/roles", Sent::Nothing, OK),
    manage("POST", "/guilds/{guild_id}/roles", Sent::Name, OK),
    manage("PATCH", "/guilds/{guild_id}/roles", Sent::Order, OK),
    inside("GET", "/guilds/{guild_id}/roles/{role_id}", Sent::Nothing, OK),
    manage("PATCH", "/guilds/{guild_id}/roles/{role_id}", Sent::Name, OK),
    manage("DELETE", "/guilds/{guild_id}/roles/{role_id}", Sent::Nothing, DONE),
    seen("GET", "/channels/{channel_id}", Sent::Nothing, OK),
    manage_there("PATCH", "/channels/{channel_id}", Sent::Name, OK),
    manage_there("DELETE", "/channels/{channel_id}", Sent::Nothing, OK),
    manage_there("PUT", "/channels/{channel_id}/permissions/{overwrite_id}", Sent::Overwrite, DONE),
    manage_there("DELETE", "/channels/{channel_id}/permissions/{overwrite_id}", Sent::Nothing, DONE),
    seen("POST", "/channels/{channel_id}/typing", Sent::Nothing, DONE),
    inside("GET", "/guilds/{guild_id}/channels", Sent::Nothing, OK),
    manage("POST", "/guilds/{guild_id}/channels", Sent::Name, CREATED),
    row("PATCH", "/guilds/{guild_id}/channels", Sent::Order, [NO_CHANNEL, NO_ACCESS, NO_RIGHT, DONE]),
    manage("GET", "/guilds/{guild_id}/invites", Sent::Nothing, OK),
    manage_there("GET", "/channels/{channel_id}/invites", Sent::Nothing, OK),
    seen("POST", "/channels/{channel_id}/invites", Sent::Nothing, OK),
    open("GET", "/invites/{code}", Sent::Nothing, OK),
    open("POST", "/invites/{code}", Sent::Nothing, OK),
    row("DELETE", "/invites/{code}", Sent::Nothing, [(404, 10006), NO_RIGHT, NO_RIGHT, OK]),
    seen("GET", "/channels/{channel_id}/messages", Sent::Nothing, OK),
    seen("POST", "/channels/{channel_id}/messages", Sent::Content, OK),
    manage_there("POST", "/channels/{channel_id}/messages/bulk-delete", Sent::Messages, DONE),
    seen("GET", "/channels/{channel_id}/messages/pins", Sent::Nothing, OK),
    manage_there("PUT", "/channels/{channel_id}/messages/pins/{message_id}", Sent::Nothing, DONE),
    manage_there("DELETE", "/channels/{channel_id}/messages/pins/{message_id}", Sent::Nothing, DONE),
    seen("GET", "/channels/{channel_id}/messages/{message_id}", Sent::Nothing, OK),
    // The messages are the owner's.
    row(
        "PATCH",
        "/channels/{channel_id}/messages/{message_id}",
        Sent::Content,
        [NO_CHANNEL, NO_ACCESS, (403, 50005), OK],
    ),
    manage_there("DELETE", "/channels/{channel_id}/messages/{message_id}", Sent::Nothing, DONE),
    seen("GET", "/channels/{channel_id}/pins", Sent::Nothing, OK),
    manage_there("PUT", "/channels/{channel_id}/pins/{message_id}", Sent::Nothing, DONE),
    manage_there("DELETE", "/channels/{channel_id}/pins/{message_id}", Sent::Nothing, DONE),
    manage_there("DELETE", "/channels/{channel_id}/messages/{message_id}/reactions", Sent::Nothing, DONE),
    seen("GET", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}", Sent::Nothing, OK),
    manage_there(
        "DELETE",
        "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}",
        Sent::Nothing,
        DONE,
    ),
    seen("PUT", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me", Sent::Nothing, DONE),
    seen("DELETE", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me", Sent::Nothing, DONE),
    manage_there(
        "DELETE",
        "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/{user_id}",
        Sent::Nothing,
        DONE,
    ),
];

/// People and things to ask about, made anew for each row: what one row does is not seen by the next.
struct Scene {
    owner: Person,
    member: Person,
    kept_out: Person,
    outsider: Person,
    guild: String,
    channel: String,
    messages: [String; 2],
    role: String,
    code: String,
    /// Another member.
    bystander: String,
    /// A person, whom bots may write to.
    person: String,
}

async fn scene(chat: &Chat, n: usize) -> Scene {
    let owner = chat.user(&format!("owner{n}")).await;
    let member = chat.user(&format!("member{n}")).await;
    let kept_out = chat.user(&format!("keptout{n}")).await;
    let outsider = chat.user(&format!("outsider{n}")).await;
    let person = chat.admin("POST", "/users", json!({ "username": format!("person{n}") })).await.ok();
    let me = &owner.token;
    let made = chat.call("POST", "/guilds", me, json!({ "name": "guild" })).await.ok();
    let (guild, channel) = (text(&made["id"]), text(&made["channels"][0]["id"]));
    let bystander = chat.user(&format!("bystander{n}")).await.id;
    for user in [&member.id, &kept_out.id, &bystander] {
        chat.admin("PUT", &format!("/guilds/{guild}/members/{user}"), Value::Null).await.ok();
    }
    let deny = json!({ "type": 1, "deny": "1024" });
    chat.call("PUT", &format!("/channels/{channel}/permissions/{}", kept_out.id), me, deny).await.ok();
    let role = chat.call("POST", &format!("/guilds/{guild}/roles"), me, json!({ "name": "role" })).await.ok();
    let invite = chat.call("POST", &format!("/channels/{channel}/invites"), me, json!({})).await.ok();
    let messages = [chat.say(&channel, me, "one").await, chat.say(&channel, me, "two").await];
    Scene {
        owner,
        member,
        kept_out,
        outsider,
        guild,
        channel,
        messages,
        role: text(&role["id"]),
        code: text(&invite["code"]),
        bystander,
        person: text(&person["user"]["id"]),
    }
}

impl Scene {
    fn path(&self, row: &Row) -> String {
        let query = if row.path.ends_with("/search") { "?query=m" } else { "" };
        let path = format!("{}{query}", row.path);
        // Things are done to somebody else: to itself a member may do more.
        path.replace("{application_id}", &self.owner.id)
            .replace("{guild_id}", &self.guild)
            .replace("{channel_id}", &self.channel)
            .replace("{message_id}", &self.messages[0])
            .replace("{user_id}", if row.path.contains("members") { &self.bystander } else { &self.person })
            .replace("{role_id}", &self.role)
            .replace("{overwrite_id}", &self.role)
            .replace("{emoji}", "%F0%9F%94%A5")
            .replace("{code}", &self.code)
    }

    fn body(&self, row: &Row) -> Value {
        match row.sent {
            Sent::Nothing => Value::Null,
            Sent::Name => json!({ "name": "another name" }),
            Sent::Content => json!({ "content": "words" }),
            Sent::Nick => json!({ "nick": "nick" }),
            Sent::Overwrite => json!({ "type": 0, "allow": "2048" }),
            Sent::Order if row.path.ends_with("roles") => json!([{ "id": self.role, "position": 1 }]),
            Sent::Order => json!([{ "id": self.channel, "position": 1 }]),
            Sent::Messages => json!({ "messages": self.messages }),
            Sent::Recipient => json!({ "recipient_id": self.person }),
        }
    }
}

#[tokio::test]
async fn the_table_has_every_call() {
    // What search answers depends on how far its index is; `search_rest` has who finds what.
    let apart = [("GET", "/gateway"), ("GET", "/guilds/{guild_id}/messages/search")];
    let rows: BTreeSet<_> = CALLS.iter().map(|r| (r.method, r.path)).chain(apart).collect();
    let calls: BTreeSet<_> = api::calls().into_iter().collect();
    assert_eq!(rows, calls);
}

#[tokio::test]
async fn everyone_gets_what_is_theirs_and_nothing_else() {
    let chat = chat().await;
    let mut wrong = Vec::new();
    for (n, row) in CALLS.iter().enumerate() {
        let scene = scene(&chat, n).await;
        let (path, body) = (scene.path(row), scene.body(row));
        let callers = [
            ("nobody", "", (401, 0)),
            ("a forger", "MTIz.AAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", (401, 0)),
            ("an outsider", scene.outsider.token.as_str(), row.outsider),
            ("one kept out", &scene.kept_out.token, row.kept_out),
            ("a member", &scene.member.token, row.member),
            ("the owner", &scene.owner.token, row.owner),
        ];
        for (who, token, expected) in callers {
            let answer = chat.call(row.method, &path, token, body.clone()).await;
            let (status, code) = answer.code();
            if (status, code.unwrap_or(0)) != expected {
                wrong.push(format!(
                    "{} {} by {who}: {status} {code:?}, not {expected:?}",
                    row.method, row.path
                ));
            }
            let is_refused = status >= 400;
            let leaks = [&scene.guild, &scene.channel, &scene.messages[0], &scene.role];
            if is_refused && leaks.iter().any(|id| answer.body.contains(*id)) {
                wrong.push(format!("{} {} by {who}: {}", row.method, row.path, answer.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Who may not see a thing cannot find out whether there is one.
#[tokio::test]
async fn what_may_not_be_seen_answers_like_what_is_not_there() {
    let chat = chat().await;
    let scene = scene(&chat, 0).await;
    let mut wrong = Vec::new();
    for row in CALLS {
        let mut pairs = Vec::new();
        if row.outsider == NO_GUILD {
            pairs.push(("an outsider", &scene.outsider, scene.path(row).replace(&scene.guild, "1")));
        }
        if row.outsider == NO_CHANNEL && row.path.contains("{channel_id}") {
            pairs.push(("an outsider", &scene.outsider, scene.path(row).replace(&scene.channel, "1")));
        }
        if row.kept_out == NO_ACCESS && row.path.contains("{message_id}") {
            pairs.push(("one kept out", &scene.kept_out, scene.path(row).replace(&scene.messages[0], "1")));
        }
        for (who, person, unknown) in pairs {
            let body = scene.body(row);
            let there = chat.call(row.method, &scene.path(row), &person.token, body.clone()).await;
            let not_there = chat.call(row.method, &unknown, &person.token, body).await;
            if (there.status, &there.body) != (not_there.status, &not_there.body) {
                wrong.push(format!(
                    "{} {} by {who}: {} for what is there, {} for what is not",
                    row.method, row.path, there.body, not_there.body
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
