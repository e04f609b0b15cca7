//! What a user or bot does through REST: guilds, channels, invites, and saying something.

use std::io::Read;

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::call::Chat;
use super::{ChannelVerb, InviteVerb, SendArgs};
use crate::cmd::terminal::{self, plain};
use crate::exit::Failure;

/// Most of standard input that is read for one message: far more than the server takes, so that it is the server
/// that says what is too long.
const TEXT_MAX: u64 = 64 * 1024;

pub(super) async fn guilds(chat: &Chat) -> Result<(), Failure> {
    let guilds = chat.user(Method::GET, "/users/@me/guilds", None).await?;
    list(chat, &guilds, |guild| format!("{:<20}  {}", text(&guild["id"]), text(&guild["name"])))
}

pub(super) async fn channel(chat: &Chat, verb: ChannelVerb) -> Result<(), Failure> {
    match verb {
        ChannelVerb::Create { guild, name, topic } => {
            let mut body = json!({"name": name, "type": 0});
            if let Some(topic) = topic {
                body["topic"] = json!(topic);
            }
            let made = chat.user(Method::POST, &format!("/guilds/{guild}/channels"), Some(&body)).await?;
            show(chat, &made, "id")
        }
        ChannelVerb::List { guild } => {
            let channels = chat.user(Method::GET, &format!("/guilds/{guild}/channels"), None).await?;
            list(chat, &channels, |channel| {
                let topic = channel["topic"].as_str().map(plain).unwrap_or_default();
                let line = format!("{:<20}  {:<24}  {topic}", text(&channel["id"]), text(&channel["name"]));
                line.trim_end().to_owned()
            })
        }
    }
}

pub(super) async fn invite(chat: &Chat, verb: InviteVerb) -> Result<(), Failure> {
    match verb {
        InviteVerb::Create { channel, max_age, max_uses } => {
            // Unique: an equal one that exists may be nearly used up.
            let body = json!({"max_age": max_age.as_secs(), "max_uses": max_uses, "unique": true});
            let made = chat.user(Method::POST, &format!("/channels/{channel}/invites"), Some(&body)).await?;
            show(chat, &made, "code")
        }
        InviteVerb::Use { code } => {
            let path = format!("/invites/{}", utf8_percent_encode(&code, NON_ALPHANUMERIC));
            let used = chat.user(Method::POST, &path, Some(&json!({}))).await?;
            if chat.json {
                return print(&terminal::json(&used));
            }
            print(&format!("joined {} ({})", text(&used["guild"]["name"]), text(&used["guild"]["id"])))
        }
    }
}

pub(super) async fn send(chat: &Chat, args: SendArgs) -> Result<(), Failure> {
    let content = if args.text == ["-"] { standard_input()? } else { args.text.join(" ") };
    let mut body = json!({ "content": content });
    if let Some(nonce) = args.nonce {
        body["nonce"] = json!(nonce);
        body["enforce_nonce"] = json!(true);
    }
    let message =
        chat.user(Method::POST, &format!("/channels/{}/messages", args.channel), Some(&body)).await?;
    show(chat, &message, "id")
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(TEXT_MAX)
        .read_to_string(&mut text)
        .map_err(|e| Failure::Failed(format!("cannot read standard input: {e}")))?;
    // The line end that every program writes last is not part of what it says.
    Ok(text.trim_end().to_owned())
}

/// What was made: all of it as JSON, or the one thing one goes on with.
fn show(chat: &Chat, made: &Value, key: &str) -> Result<(), Failure> {
    print(&if chat.json { terminal::json(made) } else { text(&made[key]) })
}

fn list(chat: &Chat, rows: &Value, line: impl Fn(&Value) -> String) -> Result<(), Failure> {
    let rows = rows.as_array().ok_or_else(|| Failure::Failed("unreadable answer: not a list".to_owned()))?;
    for row in rows {
        let line = if chat.json { terminal::json(row) } else { line(row) };
        if !terminal::line(&line)? {
            break;
        }
    }
    Ok(())
}

fn text(value: &Value) -> String {
    plain(value.as_str().unwrap_or("-"))
}

fn print(line: &str) -> Result<(), Failure> {
    terminal::line(line).map(drop)
}
