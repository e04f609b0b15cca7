//! The operator's calls, under `/api/admin`: users, guilds, sessions.
//!
//! | call | answer |
//! |---|---|
//! | `POST /users` [`NewUser`] | 201 `{"user","token"}`; the token is shown this once |
//! | `GET /users?username=` | the user of that name, in a list |
//! | `POST /users/{user_id}/token` | `{"token"}`; earlier ones stop working |
//! | `POST /guilds` [`NewGuild`] | 201 the guild, as GUILD_CREATE shows it |
//! | `GET /guilds?user_id=` | the guilds a user is in, as `[{"id","name","owner_id","members"}]` |
//! | `PUT /guilds/{guild_id}/members/{user_id}` | 201 the member; 204 where it was one already |
//! | `GET /sessions?limit=` | sessions of this process, 1,000 unless asked for more |
//! | `POST /sessions/{session_id}/kick` `{"how"}` | 204; see [`How`] |
//! | `GET /ladder` | what this process gives up under load: a [`Report`](crate::degrade::Report) |
//! | `PUT /ladder` `{"level"}` | the same, pinned at this level; with null no longer pinned |
//!
//! Errors look as everywhere else; who may not gets 403 with the code 50001.
//!
//! ## Who may
//!
//! Who shows one of the exposure tokens. Where there are none, whoever calls from this machine itself: a proxy on it
//! calls from it too, and need not say that it passes on what others ask, so who has one gives itself tokens. A call
//! that does say so is refused, and so is one made by a browser, which would make it for any page it shows; some
//! pages come from a name that was made to mean this machine, and that name is what they ask for.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, Query, RawPathParams, Request, State};
use axum::handler::Handler;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{get, post, put};
use http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN, VIA};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};
use seawall_net::listeners::Writes;
use seawall_policy::deadline::Deadline;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::call::{Reply, Unread};
use super::form::{Form, Text};
use super::{Answer, Api, Boxed, body, errors, guilds, users};
use crate::command::{Command, Done, Patch};
use crate::id::Id;
use crate::refusal::Refusal;

/// Whoever sets one of these did not call from here itself.
const PASSED_ON: [HeaderName; 5] = [
    HeaderName::from_static("x-forwarded-for"),
    FORWARDED,
    VIA,
    ORIGIN,
    HeaderName::from_static("sec-fetch-site"),
];

/// Sessions listed unless asked for another number.
const SESSIONS_DEFAULT: usize = 1000;

/// Questions about sessions that may wait for the gateway.
const QUESTIONS_MAX: usize = 16;

/// A new user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUser {
    /// Its name, 2 to 32 characters, unique.
    pub username: String,
    /// The name shown, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_name: Option<String>,
    /// Whether a program speaks for it.
    #[serde(default)]
    pub bot: bool,
}

/// A new guild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewGuild {
    /// Its name, 2 to 100 characters.
    pub name: String,
    /// Whose it is.
    pub owner_id: Id,
}

/// A session, as the gateway knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Whose.
    pub user: Id,
    /// Whether a client is there at the moment.
    pub connected: bool,
    /// The last sequence number it was given.
    pub s: u64,
    /// How many guilds it hears of.
    pub guilds: usize,
    /// What it asked to hear.
    pub intents: u64,
    /// The gateway process it is on.
    pub gateway: String,
}

/// How a session is ended, or only its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Its connection is aborted without a word, as a broken cable would. The session stays.
    Tcp,
    /// Its client is asked to come again (op 7, close 4000). The session stays.
    Reconnect,
    /// It is over (op 9 false).
    Invalid,
}

/// What the operator asks the gateway.
#[derive(Debug)]
pub enum Question {
    /// Which sessions there are.
    List(oneshot::Sender<Vec<Session>>),
    /// To end one; answers whether there was one.
    Kick {
        /// Which.
        session: String,
        /// How.
        how: How,
        /// Where the answer goes.
        answer: oneshot::Sender<bool>,
    },
}

/// The way to the gateway's sessions. The other end belongs to the gateway, so that neither needs the other to be
/// built.
#[derive(Debug, Clone)]
pub struct Sessions(mpsc::Sender<Question>);

impl Sessions {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Sessions, mpsc::Receiver<Question>) {
        let (ask, hear) = mpsc::channel(QUESTIONS_MAX);
        (Sessions(ask), hear)
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Result<T, Refusal> {
        let (answer, hear) = oneshot::channel();
        // A gateway that is stopping hears no more.
        self.0.send(question(answer)).await.map_err(|_| Refusal::Overloaded)?;
        hear.await.map_err(|_| Refusal::Overloaded)
    }
}

/// The calls with their gate.
pub(super) fn table(api: &Arc<Api>) -> Router<Arc<Api>> {
    Router::new()
        .route("/users", post(On(create_user)).get(On(find_user)))
        .route("/users/{user_id}/token", post(On(reset_token)))
        .route("/guilds", post(On(create_guild)).get(On(list_guilds)))
        .route("/guilds/{guild_id}/members/{user_id}", put(On(add_member)))
        .route("/ladder", get(On(show_ladder)).put(On(pin_ladder)))
        .route("/sessions", get(On(list_sessions)))
        .route("/sessions/{session_id}/kick", post(On(kick)))
        .layer(axum::middleware::from_fn_with_state(api.clone(), gate))
}

/// Lets the operator in, and tells everyone else nothing.
async fn gate(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    if is_operator(peer, request.headers(), &api.operators) {
        next.run(request).await
    } else {
        errors::response(&Refusal::MissingAccess)
    }
}

fn is_operator(peer: Option<SocketAddr>, headers: &HeaderMap, tokens: &Arc<[String]>) -> bool {
    if !tokens.is_empty() {
        let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        return Writes::Token(tokens.clone()).allows(shown);
    }
    let is_here = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_passed_on = PASSED_ON.iter().any(|name| headers.contains_key(name));
    is_here && !is_passed_on && headers.get(HOST).is_some_and(names_this_machine)
}

/// Whether `Host` has an address that only this machine has, or its one fixed name.
fn names_this_machine(host: &HeaderValue) -> bool {
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// One call of the operator.
struct Call {
    api: Arc<Api>,
    headers: HeaderMap,
    params: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Unread,
    deadline: Option<Deadline>,
}

/// A handler of an operator's call.
#[derive(Clone)]
struct On<F>(F);

impl<F, Fut> Handler<(), Arc<Api>> for On<F>
where
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send,
{
    type Future = Boxed<Response>;
    fn call(self, request: Request, api: Arc<Api>) -> Boxed<Response> {
        Box::pin(async move {
            let answer = match Call::new(api, request).await {
                Ok(call) => self.0(call).await,
                Err(refusal) => Err(refusal),
            };
            answer.map_or_else(|refusal| errors::response(&refusal), Response::from)
        })
    }
}

impl Call {
    async fn new(api: Arc<Api>, request: Request) -> Result<Call, Refusal> {
        let (mut head, body) = request.into_parts();
        let params =
            RawPathParams::from_request_parts(&mut head, &()).await.map_err(|_| Refusal::NotFound)?;
        let params = params.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let query = Query::<Vec<(String, String)>>::try_from_uri(&head.uri).map(|q| q.0).unwrap_or_default();
        let deadline = head.extensions.get::<Deadline>().copied();
        Ok(Call { api, headers: head.headers, params, query, body: Unread::new(body), deadline })
    }

    fn text(&self, name: &str) -> &str {
        self.params.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v)
    }

    fn query(&self, name: &str) -> Result<&str, Refusal> {
        let found = self.query.iter().find(|(k, v)| k == name && !v.is_empty());
        found
            .map(|(_, v)| v.as_str())
            .ok_or_else(|| Refusal::field(name, "BASE_TYPE_REQUIRED", "This field is required"))
    }

    async fn form(&mut self) -> Result<Form, Refusal> {
        let body = self.body.take();
        Form::new(body::read(&self.headers, body, self.api.body_max).await?)
    }

    async fn submit(&self, command: Command) -> Result<Done, Refusal> {
        self.api.submit(None, command, self.api.keys.next(), self.deadline).await
    }
}

fn id(text: &str, name: &str) -> Result<Id, Refusal> {
    let wrong =
        |_| Refusal::field(name, "NUMBER_TYPE_COERCE", super::form::not_an_id(&super::form::brief(text)));
    text.parse().map_err(wrong)
}

async fn create_user(mut call: Call) -> Answer {
    let mut form = call.form().await?;
    let username = form.text("username", users::USERNAME, Text::Line);
    form.require("username", username.as_ref());
    let global_name = form.text("global_name", users::GLOBAL_NAME, Text::Line);
    let bot = form.bool("bot").unwrap_or(false);
    form.finish()?;
    let command = Command::CreateUser { username: username.unwrap_or_default(), global_name, bot };
    Ok(Reply::Created(call.submit(command).await?.body))
}

async fn find_user(call: Call) -> Answer {
    let name = call.query("username")?;
    let storage = &call.api.storage;
    let found = storage.user_named(name).await.map_err(errors::trouble)?;
    let Some(id) = found else { return Ok(Reply::Json(json!([]))) };
    // A name may be claimed before its user is there, or after it was given up.
    let user = storage.user(id).await.map_err(errors::trouble)?;
    Reply::of(&user.into_iter().collect::<Vec<_>>())
}

async fn reset_token(call: Call) -> Answer {
    let user = id(call.text("user_id"), "user_id")?;
    let done = call.submit(Command::ResetToken { user }).await?;
    call.api.tokens.forget_all();
    Ok(Reply::Raw(done.body))
}

async fn create_guild(mut call: Call) -> Answer {
    let mut form = call.form().await?;
    let (name, owner) = (form.text("name", guilds::NAME, Text::Line), form.id("owner_id"));
    form.require("name", name.as_ref());
    form.require("owner_id", owner.as_ref());
    form.finish()?;
    let command = Command::CreateGuild { name: name.unwrap_or_default(), owner };
    Ok(Reply::Created(call.submit(command).await?.body))
}

async fn list_guilds(call: Call) -> Answer {
    let user = id(call.query("user_id")?, "user_id")?;
    let mut list = Vec::new();
    for id in call.api.storage.guilds_of(user).await.map_err(errors::trouble)? {
        let Some(state) = call.api.replica.guild(id).await.map_err(errors::trouble)? else { continue };
        let state = state.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.members.contains_key(&user) {
            let guild = &state.guild;
            let members = state.members.len();
            list.push(json!({
                "id": guild.id, "name": guild.name, "owner_id": guild.owner_id, "members": members,
            }));
        }
    }
    Ok(Reply::Json(Value::Array(list)))
}

async fn add_member(call: Call) -> Answer {
    let (guild, user) = (id(call.text("guild_id"), "guild_id")?, id(call.text("user_id"), "user_id")?);
    let done = call.submit(Command::AddMember { guild, user }).await?;
    // Nothing was written: it is a member already.
    Ok(if done.at.is_none() { Reply::Empty } else { Reply::Created(done.body) })
}

async fn list_sessions(call: Call) -> Answer {
    let limit = match call.query("limit") {
        Ok(text) => {
            text.parse().map_err(|_| Refusal::field("limit", "NUMBER_TYPE_COERCE", "Not a number"))?
        }
        Err(_) => SESSIONS_DEFAULT,
    };
    let sessions = match &call.api.sessions {
        Some(sessions) => sessions.ask(Question::List).await?,
        None => Vec::new(),
    };
    let mut names: HashMap<Id, String> = HashMap::new();
    let mut list = Vec::new();
    for session in sessions.into_iter().take(limit) {
        let username = match names.get(&session.user) {
            Some(known) => known.clone(),
            None => {
                let user = call.api.storage.user(session.user).await.map_err(errors::trouble)?;
                let name = user.map(|u| u.username).unwrap_or_default();
                names.insert(session.user, name.clone());
                name
            }
        };
        list.push(json!({
            "id": session.id,
            "user": { "id": session.user, "username": username },
            "connected": session.connected,
            "seq": session.s,
            "guilds": session.guilds,
            "intents": session.intents,
            "gateway": session.gateway,
        }));
    }
    Ok(Reply::Json(Value::Array(list)))
}

async fn kick(mut call: Call) -> Answer {
    let mut form = call.form().await?;
    let how = form.value("how");
    form.require("how", how.as_ref());
    let how = how.and_then(|how| {
        let known = serde_json::from_value::<How>(how).ok();
        if known.is_none() {
            form.wrong("how", "BASE_TYPE_CHOICES", "Value must be one of ('tcp', 'reconnect', 'invalid').");
        }
        known
    });
    form.finish()?;
    let (Some(how), Some(sessions)) = (how, &call.api.sessions) else { return Err(Refusal::NotFound) };
    let session = call.text("session_id").to_owned();
    let was_there = sessions.ask(|answer| Question::Kick { session, how, answer }).await?;
    if was_there { Ok(Reply::Empty) } else { Err(Refusal::NotFound) }
}

async fn show_ladder(call: Call) -> Answer {
    Reply::of(&call.api.ladder.report())
}

async fn pin_ladder(mut call: Call) -> Answer {
    let mut form = call.form().await?;
    let level = form.patch("level", |form| form.int("level", 0..=i64::from(u8::MAX)));
    let level = match level {
        Patch::Keep => {
            form.require("level", None::<&i64>);
            None
        }
        Patch::Clear => None,
        Patch::Set(level) => u8::try_from(level).ok(),
    };
    form.finish()?;
    let pinned = call.api.ladder.pin(level, call.api.clock.now());
    pinned.map_err(|unknown| Refusal::field("level", "BASE_TYPE_CHOICES", unknown.to_string()))?;
    show_ladder(call).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(peer: &str, headers: &[(&'static str, &'static str)], tokens: &[&str]) -> bool {
        let headers = headers
            .iter()
            .map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)))
            .collect::<HeaderMap>();
        let tokens = tokens.iter().map(|token| (*token).to_owned()).collect::<Arc<[String]>>();
        is_operator(Some(peer.parse().unwrap()), &headers, &tokens)
    }

    #[test]
    fn where_there_are_tokens_the_operator_has_one() {
        for peer in ["127.0.0.1:9", "[::1]:9", "192.0.2.1:9"] {
            // A proxy that says nothing of itself looks like this.
            assert!(!may(peer, &[("host", "127.0.0.1:7020")], &["s3cret"]), "{peer}");
            assert!(!may(peer, &[("authorization", "Bearer s3cre")], &["s3cret"]), "{peer}");
            assert!(may(peer, &[("authorization", "Bearer s3cret")], &["other", "s3cret"]), "{peer}");
            let passed_on = [("via", "1.1 a"), ("authorization", "Bearer s3cret")];
            assert!(may(peer, &passed_on, &["s3cret"]), "{peer}");
        }
    }

    #[test]
    fn where_there_are_none_the_operator_is_here() {
        for peer in ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            assert!(may(peer, &[("host", "127.0.0.1:7020")], &[]), "{peer}");
        }
        assert!(!may("192.0.2.1:9", &[("host", "127.0.0.1:7020")], &[]));
        assert!(!may("192.0.2.1:9", &[("host", "127.0.0.1"), ("authorization", "Bearer ")], &[]));
        for passed_on in ["x-forwarded-for", "forwarded", "via", "origin", "sec-fetch-site"] {
            let headers = [("host", "127.0.0.1:7020"), (passed_on, "127.0.0.1")];
            assert!(!may("127.0.0.1:9", &headers, &[]), "{passed_on}");
        }
        assert!(!is_operator(
            None,
            &HeaderMap::from_iter([(HOST, HeaderValue::from_static("::1"))]),
            &Arc::default()
        ));
    }

    /// A page of a name that its owner lets mean 127.0.0.1 is of one origin with this port.
    #[test]
    fn who_asks_for_another_name_is_not_here() {
        for host in ["localhost", "LocalHost:7020", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:7020"] {
            assert!(may("127.0.0.1:9", &[("host", host)], &[]), "{host}");
        }
        for host in
            ["evil.example:7020", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "", "a b", "@"]
        {
            assert!(!may("127.0.0.1:9", &[("host", host)], &[]), "{host}");
        }
        assert!(!may("127.0.0.1:9", &[], &[]));
    }
}
