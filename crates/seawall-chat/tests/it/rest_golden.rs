//! Whole documents, field by field: strict deserialisers want every one of them, and nothing unexpected.

use serde_json::{Value, json};

use crate::rest_making::{Chat, World, chat, golden, text, world};

const EVERYONE: &str = "1071698660929";

fn user(name: &str) -> Value {
    json!({
        "id": "<id>", "username": name, "discriminator": "0", "global_name": null, "avatar": null, "bot": true,
        "public_flags": 0, "flags": 0,
    })
}

fn own(name: &str) -> Value {
    json!({
        "id": "<id>", "username": name, "discriminator": "0", "global_name": null, "avatar": null, "bot": true,
        "mfa_enabled": false, "locale": "en-US", "verified": true, "email": null, "flags": 0, "public_flags": 0,
    })
}

fn member(name: &str) -> Value {
    json!({
        "user": user(name), "nick": null, "roles": [], "joined_at": "<time>", "deaf": false, "mute": false, "flags": 0,
    })
}

fn role(name: &str, position: i64) -> Value {
    json!({
        "id": "<id>", "name": name, "color": 0,
        "colors": { "primary_color": 0, "secondary_color": null, "tertiary_color": null },
        "hoist": false, "icon": null, "unicode_emoji": null, "position": position, "permissions": EVERYONE,
        "managed": false, "mentionable": false, "flags": 0,
    })
}

fn channel(name: &str, position: i64) -> Value {
    json!({
        "id": "<id>", "type": 0, "guild_id": "<id>", "name": name, "topic": null, "position": position,
        "parent_id": null, "nsfw": false, "rate_limit_per_user": 0, "permission_overwrites": [],
        "last_message_id": null,
    })
}

fn hidden(guild: &str) -> Value {
    let mut hidden = channel("hidden", 1);
    hidden["permission_overwrites"] = json!([{ "id": guild, "type": 0, "allow": "0", "deny": "1024" }]);
    hidden
}

fn guild(world: &World, name: &str) -> Value {
    json!({
        "id": world.guild, "name": name, "icon": null, "splash": null, "discovery_splash": null,
        "owner_id": world.owner.id, "afk_channel_id": null, "afk_timeout": 300, "verification_level": 0,
        "default_message_notifications": 0, "explicit_content_filter": 0, "roles": [role("@everyone", 0)],
        "emojis": [], "features": [], "mfa_level": 0, "application_id": null, "system_channel_id": world.general,
        "system_channel_flags": 0, "rules_channel_id": null, "vanity_url_code": null, "description": null,
        "banner": null, "premium_tier": 0, "premium_subscription_count": 0, "preferred_locale": "en-US",
        "public_updates_channel_id": null, "nsfw_level": 0, "premium_progress_bar_enabled": false, "stickers": [],
    })
}

fn message(content: &str, author: &str) -> Value {
    json!({
        "id": "<id>", "channel_id": "<id>", "author": user(author), "content": content, "timestamp": "<time>",
        "edited_timestamp": null, "tts": false, "mention_everyone": false, "mentions": [], "mention_roles": [],
        "attachments": [], "embeds": [], "components": [], "pinned": false, "type": 0, "flags": 0,
    })
}

async fn get(chat: &Chat, path: &str, token: &str) -> Value {
    let answer = chat.get(path, token).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

#[tokio::test]
async fn oneself_and_the_application() {
    let chat = chat().await;
    let world = world(&chat).await;
    let me = &world.owner.token;
    golden(&get(&chat, "/users/@me", me).await, &own("owner"));
    golden(&get(&chat, &format!("/users/{}", world.member.id), me).await, &user("member"));
    let application = json!({
        "id": world.owner.id, "name": "owner", "icon": null, "description": "", "summary": "", "bot_public": false,
        "bot_require_code_grant": false, "verify_key": "", "owner": user("owner"), "team": null, "flags": 282_624,
        "bot": user("owner"),
    });
    for path in ["/applications/@me", "/oauth2/applications/@me"] {
        golden(&get(&chat, path, me).await, &application);
    }
    let bot = json!({
        "url": format!("ws://{}", chat.addr), "shards": 1,
        "session_start_limit": { "total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 16 },
    });
    golden(&get(&chat, "/gateway/bot", me).await, &bot);
    let (g, id) = (&world.guild, &world.owner.id);
    for path in [
        "/voice/regions".to_owned(),
        format!("/applications/{id}/commands"),
        format!("/applications/{id}/guilds/{g}/commands"),
        format!("/guilds/{g}/emojis"),
        format!("/guilds/{g}/stickers"),
    ] {
        golden(&get(&chat, &path, me).await, &json!([]));
    }
    let threads = json!({ "threads": [], "members": [] });
    golden(&get(&chat, &format!("/guilds/{g}/threads/active"), me).await, &threads);

    let changed = chat.call("PATCH", "/users/@me", me, json!({ "global_name": "The Owner" })).await.ok();
    let mut wanted = own("owner");
    wanted["global_name"] = json!("The Owner");
    golden(&changed, &wanted);
    golden(&get(&chat, "/users/@me", me).await, &wanted);
    let back =
        chat.call("PATCH", "/users/@me", me, json!({ "global_name": null, "username": "owner2" })).await.ok();
    golden(&back, &own("owner2"));
}

#[tokio::test]
async fn guilds() {
    let chat = chat().await;
    let world = world(&chat).await;
    let me = &world.owner.token;
    let path = format!("/guilds/{}", world.guild);
    golden(&get(&chat, &path, me).await, &guild(&world, "guild"));
    let mut counted = guild(&world, "guild");
    counted["approximate_member_count"] = json!(2);
    counted["approximate_presence_count"] = json!(0);
    golden(&get(&chat, &format!("{path}?with_counts=true"), me).await, &counted);
    let change = json!({ "name": "renamed", "description": "of what" });
    let mut renamed = guild(&world, "renamed");
    renamed["description"] = json!("of what");
    golden(&chat.call("PATCH", &path, me, change).await.ok(), &renamed);
    golden(&get(&chat, &path, me).await, &renamed);

    let short = |owner: bool, permissions: &str| {
        json!([{
            "id": world.guild, "name": "renamed", "icon": null, "banner": null, "owner": owner,
            "permissions": permissions, "features": [],
        }])
    };
    golden(&get(&chat, "/users/@me/guilds", me).await, &short(true, "9223372036854775807"));
    golden(&get(&chat, "/users/@me/guilds", &world.member.token).await, &short(false, EVERYONE));
    golden(&get(&chat, "/users/@me/guilds", &world.outsider.token).await, &json!([]));

    let made = chat.call("POST", "/guilds", me, json!({ "name": "second", "region": "x" })).await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    let mut wanted = guild(&world, "second");
    for key in ["id", "system_channel_id"] {
        wanted[key] = json!("<id>");
    }
    let mut self_member = member("owner");
    self_member["user"] = made["members"][0]["user"].clone();
    let more = json!({
        "joined_at": "<time>", "large": false, "unavailable": false, "member_count": 1, "voice_states": [],
        "members": [self_member], "channels": [channel("general", 0)], "threads": [], "presences": [],
        "stage_instances": [], "guild_scheduled_events": [], "soundboard_sounds": [],
    });
    wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    golden(&made, &wanted);
    let second = text(&made["id"]);
    let page = |query: &str| format!("/users/@me/guilds?{query}");
    let ids = async |query: String| {
        let page = get(&chat, &query, me).await;
        page.as_array().unwrap().iter().map(|g| text(&g["id"])).collect::<Vec<_>>()
    };
    let (first, second) = (world.guild.clone(), second);
    assert_eq!(ids(page("")).await, [first.clone(), second.clone()]);
    assert_eq!(ids(page("limit=1")).await, std::slice::from_ref(&first));
    assert_eq!(ids(page(&format!("after={first}"))).await, std::slice::from_ref(&second));
    assert_eq!(ids(page(&format!("before={second}"))).await, std::slice::from_ref(&first));
    assert_eq!(chat.call("DELETE", &format!("/guilds/{second}"), me, Value::Null).await.status, 204);
    assert_eq!(ids(page("")).await, [first]);
    assert_eq!(chat.get(&format!("/guilds/{second}"), me).await.code(), (404, Some(10004)));
}

#[tokio::test]
async fn channels_and_direct_messages() {
    let chat = chat().await;
    let world = world(&chat).await;
    let me = &world.owner.token;
    let (g, c) = (&world.guild, &world.general);
    golden(&get(&chat, &format!("/channels/{c}"), me).await, &channel("general", 0));
    let all = json!([channel("general", 0), hidden(g)]);
    golden(&get(&chat, &format!("/guilds/{g}/channels"), me).await, &all);

    let body = json!({ "name": "topics", "topic": "all", "type": 0, "nsfw": true, "rate_limit_per_user": 5, "position": 7 });
    let made = chat.call("POST", &format!("/guilds/{g}/channels"), me, body).await;
    assert_eq!(made.status, 201);
    let made = made.ok();
    let mut wanted = channel("topics", 7);
    for (key, value) in [("topic", json!("all")), ("nsfw", json!(true)), ("rate_limit_per_user", json!(5))] {
        wanted[key] = value;
    }
    golden(&made, &wanted);
    let path = format!("/channels/{}", text(&made["id"]));
    wanted["topic"] = Value::Null;
    wanted["name"] = json!("renamed");
    let change = json!({ "name": "renamed", "topic": null });
    golden(&chat.call("PATCH", &path, me, change).await.ok(), &wanted);
    let overwrite = json!({ "type": "member", "allow": "2048", "deny": null });
    let at = format!("{path}/permissions/{}", world.member.id);
    assert_eq!(chat.call("PUT", &at, me, overwrite).await.status, 204);
    wanted["permission_overwrites"] =
        json!([{ "id": world.member.id, "type": 1, "allow": "2048", "deny": "0" }]);
    golden(&get(&chat, &path, me).await, &wanted);
    assert_eq!(chat.call("DELETE", &at, me, Value::Null).await.status, 204);
    wanted["permission_overwrites"] = json!([]);
    let order =
        json!([{ "id": text(&made["id"]), "position": 3 }, { "id": c, "position": 4, "parent_id": null }]);
    assert_eq!(chat.call("PATCH", &format!("/guilds/{g}/channels"), me, order).await.status, 204);
    wanted["position"] = json!(3);
    golden(&chat.call("DELETE", &path, me, Value::Null).await.ok(), &wanted);
    assert_eq!(chat.get(&path, me).await.code(), (404, Some(10003)));
    golden(&get(&chat, &format!("/channels/{c}"), me).await, &channel("general", 4));

    let mut person = user("person");
    person["bot"] = json!(false);
    let direct = json!({
        "id": world.direct, "type": 1, "last_message_id": null, "flags": 0, "recipients": [person],
    });
    let theirs = &world.member.token;
    golden(&get(&chat, &format!("/channels/{}", world.direct), theirs).await, &direct);
    golden(&get(&chat, "/users/@me/channels", theirs).await, &json!([direct]));
    let found = chat.admin("GET", "/users?username=person", Value::Null).await.ok();
    let again = json!({ "recipient_id": found[0]["id"] });
    golden(&chat.call("POST", "/users/@me/channels", theirs, again).await.ok(), &direct);
    golden(
        &chat.call("DELETE", &format!("/channels/{}", world.direct), theirs, Value::Null).await.ok(),
        &direct,
    );
}

#[tokio::test]
async fn members_and_roles() {
    let chat = chat().await;
    let world = world(&chat).await;
    let me = &world.owner.token;
    let g = &world.guild;
    let path = format!("/guilds/{g}/members/{}", world.member.id);
    golden(&get(&chat, &path, me).await, &member("member"));
    golden(&get(&chat, &format!("/users/@me/guilds/{g}/member"), me).await, &member("owner"));
    let list = format!("/guilds/{g}/members");
    golden(&get(&chat, &format!("{list}?limit=1000"), me).await, &json!([member("owner"), member("member")]));
    golden(&get(&chat, &list, me).await, &json!([member("owner")]));
    let after = format!("{list}?limit=5&after={}", world.owner.id);
    golden(&get(&chat, &after, me).await, &json!([member("member")]));
    golden(&get(&chat, &format!("{list}/search?query=MEM&limit=5"), me).await, &json!([member("member")]));

    let roles = format!("/guilds/{g}/roles");
    golden(&get(&chat, &roles, me).await, &json!([role("@everyone", 0)]));
    let body = json!({ "name": "red", "colors": { "primary_color": 0xFF_0000 }, "permissions": "1024", "hoist": true });
    let made = chat.call("POST", &roles, me, body).await.ok();
    let mut red = role("red", 1);
    red["color"] = json!(0xFF_0000);
    red["colors"]["primary_color"] = json!(0xFF_0000);
    red["permissions"] = json!("1024");
    red["hoist"] = json!(true);
    golden(&made, &red);
    let id = text(&made["id"]);
    red["name"] = json!("crimson");
    let crimson = chat.call("PATCH", &format!("{roles}/{id}"), me, json!({ "name": "crimson" })).await.ok();
    golden(&crimson, &red);
    golden(&get(&chat, &format!("{roles}/{id}"), me).await, &red);
    red["position"] = json!(2);
    let moved = chat.call("PATCH", &roles, me, json!([{ "id": id, "position": 2 }])).await.ok();
    golden(&moved, &json!([role("@everyone", 0), red]));

    let given = format!("{path}/roles/{id}");
    assert_eq!(chat.call("PUT", &given, me, Value::Null).await.status, 204);
    let mut wanted = member("member");
    wanted["roles"] = json!([id]);
    golden(&get(&chat, &path, me).await, &wanted);
    assert_eq!(chat.call("DELETE", &given, me, Value::Null).await.status, 204);
    let both = json!({ "nick": "Mem", "roles": [id] });
    wanted["nick"] = json!("Mem");
    golden(&chat.call("PATCH", &path, me, both).await.ok(), &wanted);
    let theirs = &world.member.token;
    wanted["nick"] = Value::Null;
    let none = chat.call("PATCH", &format!("{list}/@me"), theirs, json!({ "nick": "" })).await.ok();
    golden(&none, &wanted);
    assert_eq!(chat.call("DELETE", &format!("{roles}/{id}"), me, Value::Null).await.status, 204);
    golden(&get(&chat, &path, me).await, &member("member"));
    assert_eq!(chat.call("DELETE", &path, me, Value::Null).await.status, 204);
    golden(&get(&chat, &format!("{list}?limit=9"), me).await, &json!([member("owner")]));
}

#[tokio::test]
async fn invites() {
    let chat = chat().await;
    let world = world(&chat).await;
    let me = &world.owner.token;
    let (g, c) = (&world.guild, &world.general);
    let made = chat
        .call("POST", &format!("/channels/{c}/invites"), me, json!({ "max_age": 3600, "max_uses": 5 }))
        .await;
    assert_eq!(made.status, 200);
    let made = made.ok();
    let partial = json!({
        "type": 0, "code": "<any>", "guild_id": g, "channel_id": c, "inviter": user("owner"), "expires_at": "<time>",
        "guild": {
            "id": g, "name": "guild", "icon": null, "splash": null, "banner": null, "description": null,
            "features": [], "verification_level": 0, "vanity_url_code": null, "nsfw_level": 0,
            "premium_subscription_count": 0,
        },
        "channel": { "id": c, "name": "general", "type": 0 },
        "approximate_member_count": 2,
    });
    let full = |uses: u32| {
        let mut full = partial.clone();
        full["uses"] = json!(uses);
        for (key, value) in [("max_uses", json!(5)), ("max_age", json!(3600)), ("temporary", json!(false))] {
            full[key] = value;
        }
        full["created_at"] = json!("<time>");
        full
    };
    golden(&made, &full(0));
    let code = text(&made["code"]);
    let path = format!("/invites/{code}");
    golden(&get(&chat, &path, &world.outsider.token).await, &partial);
    golden(&get(&chat, &format!("/guilds/{g}/invites"), me).await, &json!([full(0)]));
    golden(&get(&chat, &format!("/channels/{c}/invites"), me).await, &json!([full(0)]));
    let mut three = partial.clone();
    three["approximate_member_count"] = json!(3);
    let joined = chat.call("POST", &path, &world.outsider.token, Value::Null).await.ok();
    assert_eq!(joined["code"], code.as_str());
    golden(&get(&chat, &path, me).await, &three);
    let mut used = full(1);
    used["approximate_member_count"] = json!(3);
    golden(&get(&chat, &format!("/guilds/{g}/invites"), me).await, &json!([used]));
    golden(&chat.call("DELETE", &path, me, Value::Null).await.ok(), &three);
    assert_eq!(chat.get(&path, me).await.code(), (404, Some(10006)));
    let ever = chat.call("POST", &format!("/channels/{c}/invites"), me, json!({ "max_age": 0 })).await.ok();
    assert_eq!(ever["expires_at"], Value::Null);
    assert_eq!(
        chat.call("DELETE", &format!("/users/@me/guilds/{g}"), &world.outsider.token, Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(chat.get(&format!("/guilds/{g}"), &world.outsider.token).await.code(), (404, Some(10004)));
}

#[tokio::test]
async fn messages_reactions_and_pins() {
    let chat = chat().await;
    let world = world(&chat).await;
    let me = &world.owner.token;
    let c = &world.general;
    let path = format!("/channels/{c}/messages");
    let body = json!({
        "content": format!("hi <@{}>", world.member.id), "nonce": "abc",
        "embeds": [{ "title": "t", "fields": [{ "name": "n", "value": "v" }] }],
    });
    let said = chat.call("POST", &path, me, body).await;
    assert_eq!(said.status, 200);
    let said = said.ok();
    let mut wanted = message(&format!("hi <@{}>", world.member.id), "owner");
    wanted["nonce"] = json!("abc");
    wanted["mentions"] = json!([user("member")]);
    let fields = json!([{ "name": "n", "value": "v", "inline": false }]);
    wanted["embeds"] = json!([{ "type": "rich", "title": "t", "fields": fields }]);
    golden(&said, &wanted);
    let first = text(&said["id"]);
    let one = format!("{path}/{first}");
    let kept = get(&chat, &one, me).await;
    // The nonce is the sender's own and not part of the history for good.
    if kept.get("nonce").is_none() {
        wanted.as_object_mut().unwrap().remove("nonce");
    }
    golden(&kept, &wanted);

    let reply = json!({ "content": "re", "message_reference": { "message_id": first, "channel_id": c, "guild_id": world.guild } });
    let replied = chat.call("POST", &path, &world.member.token, reply).await.ok();
    let mut answer = message("re", "member");
    answer["type"] = json!(19);
    answer["mentions"] = json!([user("owner")]);
    answer["message_reference"] =
        json!({ "type": 0, "message_id": first, "channel_id": c, "guild_id": world.guild });
    answer["referenced_message"] = wanted.clone();
    if replied["referenced_message"].get("nonce").is_some() {
        answer["referenced_message"]["nonce"] = json!("abc");
    }
    golden(&replied, &answer);

    let react = format!("{one}/reactions/%F0%9F%94%A5");
    assert_eq!(chat.call("PUT", &format!("{react}/@me"), &world.member.token, Value::Null).await.status, 204);
    assert_eq!(chat.call("PUT", &format!("{react}/@me"), &world.member.token, Value::Null).await.status, 204);
    let mut seen = wanted.clone();
    let reaction = |mine: bool| {
        json!([{
            "count": 1, "me": mine, "emoji": { "id": null, "name": "🔥" }, "me_burst": false,
            "count_details": { "burst": 0, "normal": 1 }, "burst_colors": [],
        }])
    };
    seen["reactions"] = reaction(false);
    golden(&get(&chat, &one, me).await, &seen);
    seen["reactions"] = reaction(true);
    golden(&get(&chat, &one, &world.member.token).await, &seen);
    golden(&get(&chat, &react, me).await, &json!([user("member")]));
    golden(&get(&chat, &format!("{react}?after={}", world.member.id), me).await, &json!([]));
    assert_eq!(
        chat.call("DELETE", &format!("{react}/@me"), &world.member.token, Value::Null).await.status,
        204
    );
    golden(&get(&chat, &one, me).await, &wanted);

    let pin = format!("/channels/{c}/messages/pins/{first}");
    assert_eq!(chat.call("PUT", &pin, me, Value::Null).await.status, 204);
    wanted["pinned"] = json!(true);
    golden(&get(&chat, &format!("/channels/{c}/pins"), me).await, &json!([wanted]));
    let page = json!({ "items": [{ "pinned_at": "<time>", "message": wanted }], "has_more": false });
    golden(&get(&chat, &format!("/channels/{c}/messages/pins"), me).await, &page);
    assert_eq!(
        chat.call("DELETE", &format!("/channels/{c}/pins/{first}"), me, Value::Null).await.status,
        204
    );
    golden(&get(&chat, &format!("/channels/{c}/pins"), me).await, &json!([]));

    let edit = chat.call("PATCH", &one, me, json!({ "content": "changed", "embeds": null })).await.ok();
    let mut changed = message("changed", "owner");
    changed["edited_timestamp"] = json!("<time>");
    if edit.get("nonce").is_some() {
        changed["nonce"] = json!("abc");
    }
    golden(&edit, &changed);
    assert_eq!(chat.call("DELETE", &one, me, Value::Null).await.status, 204);
    assert_eq!(chat.get(&one, me).await.code(), (404, Some(10008)));
    let orphan = get(&chat, &format!("{path}/{}", text(&replied["id"])), me).await;
    assert_eq!(
        orphan.get("referenced_message"),
        Some(&Value::Null),
        "null says that it was deleted: {orphan}"
    );
}
