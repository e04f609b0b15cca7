//! What only who runs the server may: users, bots, guilds, sessions.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::call::Chat;
use super::{AccountVerb, KickArgs};
use crate::cmd::terminal::{self, plain};
use crate::exit::Failure;

/// Ids have more digits than that since 2015; whatever has fewer is a name.
const ID_DIGITS_MIN: usize = 15;

pub(super) async fn account(chat: &Chat, verb: AccountVerb, bot: bool) -> Result<(), Failure> {
    match verb {
        AccountVerb::Create { name, shown } => {
            let mut body = json!({"username": name, "bot": bot});
            if let Some(shown) = shown {
                body["global_name"] = json!(shown);
            }
            let made = chat.operator(Method::POST, "/users", Some(&body)).await?;
            credentials(chat, &made["user"]["id"], &made)
        }
        AccountVerb::Token { name } => {
            let user = find(chat, &name).await?;
            let made = chat.operator(Method::POST, &format!("/users/{user}/token"), Some(&json!({}))).await?;
            credentials(chat, &json!(user), &made)
        }
    }
}

/// The id and the token, this once.
fn credentials(chat: &Chat, id: &Value, made: &Value) -> Result<(), Failure> {
    if chat.json {
        return print(&terminal::json(made));
    }
    print(&format!("id     {}\ntoken  {}", text(id), text(&made["token"])))
}

pub(super) async fn create_guild(chat: &Chat, name: &str, owner: &str) -> Result<(), Failure> {
    let body = json!({"name": name, "owner_id": find(chat, owner).await?});
    let made = chat.operator(Method::POST, "/guilds", Some(&body)).await?;
    if chat.json {
        return print(&terminal::json(&made));
    }
    print(&format!("guild    {}\nchannel  {}", text(&made["id"]), text(&made["channels"][0]["id"])))
}

pub(super) async fn add_member(chat: &Chat, guild: &str, user: &str) -> Result<(), Failure> {
    let user = find(chat, user).await?;
    let path = format!("/guilds/{guild}/members/{user}");
    let member = chat.operator(Method::PUT, &path, Some(&json!({}))).await?;
    // Nothing is answered when the user was in it already.
    let added = !member.is_null();
    if chat.json {
        return print(&json!({"guild": guild, "user": user, "added": added}).to_string());
    }
    print(if added { "added" } else { "already a member" })
}

pub(super) async fn sessions(chat: &Chat) -> Result<(), Failure> {
    let sessions = chat.operator(Method::GET, "/sessions", None).await?;
    let sessions = sessions.as_array().ok_or_else(unreadable)?;
    if chat.json {
        return sessions.iter().try_for_each(|session| print(&terminal::json(session)));
    }
    print(&format!(
        "{:<32}  {:<20}  {:>9}  {:>8}  {:>6}  {:>8}  gateway",
        "session", "user", "connected", "seq", "guilds", "intents"
    ))?;
    sessions.iter().try_for_each(|s| {
        let connected = if s["connected"] == true { "yes" } else { "no" };
        print(&format!(
            "{:<32}  {:<20}  {connected:>9}  {:>8}  {:>6}  {:>8}  {}",
            text(&s["id"]),
            text(&s["user"]["username"]),
            s["seq"].to_string(),
            s["guilds"].to_string(),
            s["intents"].to_string(),
            text(&s["gateway"])
        ))
    })
}

pub(super) async fn kick(chat: &Chat, args: &KickArgs) -> Result<(), Failure> {
    let how = match (args.tcp, args.invalid) {
        (true, _) => "tcp",
        (_, true) => "invalid",
        _ => "reconnect",
    };
    let session = utf8_percent_encode(&args.session, NON_ALPHANUMERIC);
    let body = json!({"how": how});
    chat.operator(Method::POST, &format!("/sessions/{session}/kick"), Some(&body)).await?;
    if chat.json {
        return print(&terminal::json(&json!({"session": args.session, "how": how})));
    }
    Ok(())
}

/// The id of a user given by name or id.
async fn find(chat: &Chat, user: &str) -> Result<String, Failure> {
    if user.len() >= ID_DIGITS_MIN && user.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(user.to_owned());
    }
    let name = utf8_percent_encode(user, NON_ALPHANUMERIC);
    let found = chat.operator(Method::GET, &format!("/users?username={name}"), None).await?;
    match found[0]["id"].as_str() {
        Some(id) => Ok(id.to_owned()),
        None => Err(Failure::Failed(format!("there is no user called {}", plain(user)))),
    }
}

fn text(value: &Value) -> String {
    plain(value.as_str().unwrap_or("-"))
}

fn unreadable() -> Failure {
    Failure::Failed("unreadable answer: not a list".to_owned())
}

/// Whoever has read enough is no failure.
fn print(line: &str) -> Result<(), Failure> {
    terminal::line(line).map(drop)
}
