//! serenity, unmodified, against Seawall: log in, talk, be cut off, resume.
//!
//! Usage: seawall-serenity-client HOST:PORT ROUNDS
//!
//! Makes its users through the operator's API. In each round the connection is lost in one of three ways while a
//! peer goes on talking; nothing may be missing or come twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use serenity::all::{
    ChannelId, ClientBuilder, Context, EventHandler, GatewayIntents, GetMessages, Guild, GuildId, HttpBuilder,
    Message, Presence, Reaction, ReactionType, Ready, ResumedEvent, TypingStartEvent,
};
use serenity::async_trait;
use tokio::sync::{Mutex, watch};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// For anything that must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often one call waits for the rate limit, as any well-behaved client does.
const WAITS_MAX: u32 = 5;

/// What the library told us, in order.
#[derive(Default)]
struct Book {
    heard: Mutex<Vec<String>>,
    news: watch::Sender<usize>,
    context: Mutex<Option<Context>>,
}

impl Book {
    async fn note(&self, what: String) {
        let mut heard = self.heard.lock().await;
        heard.push(what);
        self.news.send_replace(heard.len());
    }

    /// Waits until something was heard after the first `from` notes.
    async fn until(&self, from: usize, what: &str) -> Result<(), Failed> {
        let mut news = self.news.subscribe();
        let waiting = async {
            loop {
                if self.heard.lock().await[from..].iter().any(|h| h == what) {
                    return;
                }
                if news.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| format!("never heard {what:?}").into())
    }

    async fn len(&self) -> usize {
        self.heard.lock().await.len()
    }
}

struct Handler(Arc<Book>);

#[async_trait]
impl EventHandler for Handler {
    async fn ready(&self, context: Context, _: Ready) {
        *self.0.context.lock().await = Some(context);
        self.0.note("ready".into()).await;
    }
    async fn cache_ready(&self, _: Context, guilds: Vec<GuildId>) {
        self.0.note(format!("guilds {}", guilds.len())).await;
    }
    async fn guild_create(&self, _: Context, guild: Guild, _: Option<bool>) {
        self.0.note(format!("guild {} of {}", guild.name, guild.member_count)).await;
    }
    async fn resume(&self, _: Context, _: ResumedEvent) {
        self.0.note("resumed".into()).await;
    }
    async fn message(&self, _: Context, message: Message) {
        self.0.note(format!("message {}", message.content)).await;
    }
    async fn reaction_add(&self, _: Context, reaction: Reaction) {
        self.0.note(format!("reaction {}", reaction.emoji)).await;
    }
    async fn typing_start(&self, _: Context, event: TypingStartEvent) {
        self.0.note(format!("typing {}", event.user_id)).await;
    }
    async fn presence_update(&self, _: Context, presence: Presence) {
        self.0.note(format!("presence {} {}", presence.user.id, presence.status.name())).await;
    }
}

/// Plain HTTP, apart from the library under test.
struct Rest {
    host: String,
    http: reqwest::Client,
}

impl Rest {
    async fn call(&self, method: &str, path: &str, token: Option<&str>, body: Value) -> Result<Value, Failed> {
        let mut waits = 0;
        loop {
            let mut request = self.http.request(method.parse()?, format!("http://{}{path}", self.host));
            if let Some(token) = token {
                request = request.header("authorization", format!("Bot {token}"));
            }
            if !body.is_null() {
                request = request.json(&body);
            }
            let answer = request.send().await?;
            let status = answer.status();
            let text = answer.text().await?;
            let said = if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? };
            match said["retry_after"].as_f64() {
                Some(seconds) if status == 429 && waits < WAITS_MAX => {
                    waits += 1;
                    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                }
                _ if status.is_success() => return Ok(said),
                _ => return Err(format!("{method} {path}: {status} {text}").into()),
            }
        }
    }

    async fn user(&self, name: &str) -> Result<(String, String), Failed> {
        let made = self.call("POST", "/api/admin/users", None, json!({"username": name, "bot": true})).await?;
        Ok((text(&made["user"]["id"])?, text(&made["token"])?))
    }

    /// Ends the one connection of a user in a way of the operator's API.
    async fn cut(&self, user: &str, how: &str) -> Result<(), Failed> {
        let sessions = self.call("GET", "/api/admin/sessions", None, Value::Null).await?;
        let mine = sessions.as_array().and_then(|all| all.iter().find(|s| s["user"]["id"] == json!(user)));
        let id = text(&mine.ok_or("no session")?["id"])?;
        self.call("POST", &format!("/api/admin/sessions/{id}/kick"), None, json!({"how": how})).await?;
        Ok(())
    }
}

fn text(value: &Value) -> Result<String, Failed> {
    Ok(value.as_str().ok_or_else(|| format!("{value} is no text"))?.to_owned())
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut args = std::env::args().skip(1);
    let host = args.next().ok_or("which server?")?;
    let rounds: u32 = args.next().ok_or("how many rounds?")?.parse()?;

    let rest = Rest { host: host.clone(), http: reqwest::Client::new() };
    let (me, token) = rest.user("tested").await?;
    let (peer, peer_token) = rest.user("peer").await?;
    let made = rest.call("POST", "/api/admin/guilds", None, json!({"name": "home", "owner_id": me})).await?;
    let guild = text(&made["id"])?;
    let channel = text(&made["channels"][0]["id"])?;
    rest.call("PUT", &format!("/api/admin/guilds/{guild}/members/{peer}"), None, Value::Null).await?;

    let book = Arc::new(Book::default());
    let http = HttpBuilder::new(format!("Bot {token}"))
        .proxy(format!("http://{host}"))
        .ratelimiter_disabled(true)
        .build();
    let mut client = ClientBuilder::new_with_http(http, GatewayIntents::all())
        .event_handler(Handler(book.clone()))
        .await?;
    let shards = client.shard_manager.clone();
    let running = tokio::spawn(async move { client.start().await });

    book.until(0, "ready").await?;
    book.until(0, "guild home of 2").await?;
    let context = book.context.lock().await.clone().ok_or("ready without a context")?;
    let room = ChannelId::new(channel.parse()?);
    let say = |what: String| {
        let path = format!("/api/v10/channels/{channel}/messages");
        let (rest, token) = (&rest, peer_token.clone());
        async move { rest.call("POST", &path, Some(&token), json!({"content": what})).await }
    };

    let mine = room.say(&context.http, "hello").await?;
    book.until(0, "message hello").await?;
    say("hi there".into()).await?;
    book.until(0, "message hi there").await?;
    let history = room.messages(&context.http, GetMessages::new().limit(10)).await?;
    let said: Vec<_> = history.iter().map(|m| m.content.as_str()).collect();
    assert_eq!(said, ["hi there", "hello"]);
    mine.react(&context.http, ReactionType::Unicode("👍".into())).await?;
    book.until(0, "reaction 👍").await?;
    rest.call("POST", &format!("/api/v10/channels/{channel}/typing"), Some(&peer_token), Value::Null).await?;
    book.until(0, &format!("typing {peer}")).await?;
    let members = GuildId::new(guild.parse()?).members(&context.http, Some(10), None).await?;
    assert_eq!(members.len(), 2);

    let mut expected: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..rounds {
        let (how, again) = [("tcp", "resumed"), ("reconnect", "resumed"), ("invalid", "ready")][round as usize % 3];
        let from = book.len().await;
        rest.cut(&me, how).await?;
        if how == "invalid" {
            // The session is gone, and with it what is said before the next one begins.
            book.until(from, again).await?;
        }
        for n in 0..5 {
            let what = format!("round {round} {n}");
            expected.insert(format!("message {what}"), 0);
            say(what).await?;
        }
        book.until(from, again).await?;
        book.until(from, &format!("message round {round} 4")).await?;
    }
    for heard in book.heard.lock().await.iter() {
        if let Some(times) = expected.get_mut(heard) {
            *times += 1;
        }
    }
    let wrong: Vec<_> = expected.iter().filter(|(_, times)| **times != 1).collect();
    assert!(wrong.is_empty(), "not heard exactly once: {wrong:?}");

    shards.shutdown_all().await;
    running.await??;
    println!("all is as a Discord client expects, {rounds} times cut off");
    Ok(())
}
