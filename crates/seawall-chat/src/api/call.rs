//! One call of a known caller, and what its handler may ask: path, query, body, what the caller may see.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use seawall_policy::deadline::Deadline;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::auth::Caller;
use super::form::{self, Form};
use super::{Api, body, errors};
use crate::command::{Ask, Command, Done};
use crate::id::Id;
use crate::model::{Channel, User};
use crate::permissions::Permissions;
use crate::refusal::Refusal;
use crate::state::GuildState;
use crate::storage::Home;

/// How long a write may take for who did not say. The port's own deadline is mostly shorter.
const PATIENCE: Duration = Duration::from_secs(10);
/// Parameters of a query that are looked at. A search may name 500 channels and 200 users.
const QUERY_MAX: usize = 1024;

/// What a call is answered with.
#[derive(Debug)]
pub(super) enum Reply {
    /// 200 and a document.
    Json(Value),
    /// 201 and a document.
    Created(Box<RawValue>),
    /// 200 and what the owner answered, untouched.
    Raw(Box<RawValue>),
    /// 204.
    Empty,
}

impl Reply {
    /// 200 and this.
    pub(super) fn of(document: &impl Serialize) -> Result<Reply, Refusal> {
        serde_json::value::to_raw_value(document).map(Reply::Raw).map_err(|e| {
            tracing::error!(error = %e, "an answer could not be written");
            Refusal::Internal
        })
    }
}

impl From<Reply> for Response {
    fn from(reply: Reply) -> Response {
        match reply {
            Reply::Json(document) => errors::json_bytes(StatusCode::OK, document.to_string()),
            Reply::Raw(raw) => errors::json_bytes(StatusCode::OK, String::from(Box::<str>::from(raw))),
            Reply::Created(raw) => {
                errors::json_bytes(StatusCode::CREATED, String::from(Box::<str>::from(raw)))
            }
            Reply::Empty => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
        }
    }
}

/// A guild the caller is in.
#[derive(Clone)]
pub(super) struct Guild {
    pub(super) id: Id,
    state: Arc<RwLock<GuildState>>,
}

impl Guild {
    /// Looks something up. Short, and nothing is waited for: the gateway follows the same state.
    pub(super) fn look<T>(&self, at: impl FnOnce(&GuildState) -> T) -> T {
        at(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A channel the caller may see.
pub(super) enum Place {
    /// In a guild, with what the caller may do there.
    Guild { guild: Guild, channel: Channel, may: Permissions },
    /// A direct message the caller is in.
    Direct(Channel),
}

impl Place {
    pub(super) fn home(&self) -> Home {
        match self {
            Place::Guild { guild, .. } => Home::Guild(guild.id),
            Place::Direct(_) => Home::Direct,
        }
    }

    /// Whether the caller may read what was said before it came.
    pub(super) fn has_history(&self) -> bool {
        match self {
            Place::Guild { may, .. } => may.has(Permissions::READ_HISTORY),
            Place::Direct(_) => true,
        }
    }
}

/// A body nobody has asked for yet. Never locked: the lock only lets a call be shared between threads while it waits,
/// which a body alone does not.
pub(super) struct Unread(Mutex<Body>);

impl Unread {
    pub(super) fn new(body: Body) -> Unread {
        Unread(Mutex::new(body))
    }

    pub(super) fn take(&mut self) -> Body {
        std::mem::take(self.0.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One call.
pub(super) struct Call {
    pub(super) api: Arc<Api>,
    pub(super) me: User,
    headers: HeaderMap,
    params: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Unread,
    deadline: Option<Deadline>,
}

impl Call {
    pub(super) async fn new(
        api: Arc<Api>,
        caller: Arc<Caller>,
        head: &mut Parts,
        body: Body,
    ) -> Result<Call, Refusal> {
        // Only a path whose escapes are no text fails.
        let params = RawPathParams::from_request_parts(head, &()).await.map_err(|_| Refusal::NotFound)?;
        let params = params.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let query = Query::<Vec<(String, String)>>::try_from_uri(&head.uri).map(|q| q.0).unwrap_or_default();
        Ok(Call {
            me: caller.user.clone(),
            api,
            headers: std::mem::take(&mut head.headers),
            params,
            query: query.into_iter().take(QUERY_MAX).collect(),
            body: Unread::new(body),
            deadline: head.extensions.get::<Deadline>().copied(),
        })
    }

    /// Until when the answer is of use, where its port says so.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// The channel or guild that limits are counted by.
    pub(super) fn major(&self) -> Option<Id> {
        let (_, value) = self.params.iter().find(|(k, _)| k == "channel_id" || k == "guild_id")?;
        value.parse().ok()
    }

    /// A piece of the path.
    pub(super) fn text(&self, name: &str) -> &str {
        self.params.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v)
    }

    /// An id in the path.
    pub(super) fn id(&self, name: &str) -> Result<Id, Refusal> {
        let text = self.text(name);
        let wrong = || Refusal::field(name, "NUMBER_TYPE_COERCE", form::not_an_id(&form::brief(text)));
        text.parse().map_err(|_| wrong())
    }

    /// A parameter of the query; an empty one is absent.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// All parameters of the query with this name that are not empty.
    pub(super) fn queries(&self, name: &str) -> impl Iterator<Item = &str> {
        self.query.iter().filter(move |(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// An id in the query.
    pub(super) fn query_id(&self, name: &str) -> Result<Option<Id>, Refusal> {
        let Some(text) = self.query(name) else { return Ok(None) };
        let wrong = || Refusal::field(name, "NUMBER_TYPE_COERCE", form::not_an_id(&form::brief(text)));
        text.parse().map(Some).map_err(|_| wrong())
    }

    /// `limit` in the query.
    pub(super) fn limit(&self, range: RangeInclusive<i64>, default: usize) -> Result<usize, Refusal> {
        let Some(text) = self.query("limit") else { return Ok(default) };
        let Ok(number) = text.parse::<i64>() else {
            let message = format!("Value \"{}\" is not int.", form::brief(text));
            return Err(Refusal::field("limit", "NUMBER_TYPE_COERCE", message));
        };
        form::within(number, &range).map_err(|(code, message)| Refusal::field("limit", code, message))?;
        Ok(usize::try_from(number).unwrap_or(default))
    }

    /// The body, whatever JSON it is. To be asked for once.
    pub(super) async fn json(&mut self) -> Result<Value, Refusal> {
        let body = self.body.take();
        body::read(&self.headers, body, self.api.body_max).await
    }

    /// The body as an object of fields.
    pub(super) async fn form(&mut self) -> Result<Form, Refusal> {
        Form::new(self.json().await?)
    }

    /// The guild in the path, to a member of it.
    pub(super) async fn guild(&self) -> Result<Guild, Refusal> {
        self.guild_of(self.id("guild_id")?).await
    }

    /// A guild, to a member of it. To everyone else there is none.
    pub(super) async fn guild_of(&self, id: Id) -> Result<Guild, Refusal> {
        let state = self.api.replica.guild(id).await.map_err(errors::trouble)?;
        let guild = Guild { id, state: state.ok_or(Refusal::UnknownGuild)? };
        let is_member = guild.look(|g| g.members.contains_key(&self.me.id));
        if is_member { Ok(guild) } else { Err(Refusal::UnknownGuild) }
    }

    /// A guild the caller may do something in.
    pub(super) async fn guild_where(&self, may: Permissions) -> Result<Guild, Refusal> {
        let guild = self.guild().await?;
        let has = guild.look(|g| g.permissions(self.me.id)).has(may);
        if has { Ok(guild) } else { Err(Refusal::MissingPermissions) }
    }

    /// The channel in the path, to who may see it. Outsiders are not told whether there is one; members are, they
    /// have it in their list.
    pub(super) async fn place(&self) -> Result<Place, Refusal> {
        let id = self.id("channel_id")?;
        match self.api.storage.home(id).await.map_err(errors::trouble)? {
            None => Err(Refusal::UnknownChannel),
            Some(Home::Direct) => {
                let found = self.api.storage.direct(id).await.map_err(errors::trouble)?;
                found
                    .filter(|c| c.recipients.iter().any(|r| r.id == self.me.id))
                    .map(Place::Direct)
                    .ok_or(Refusal::UnknownChannel)
            }
            Some(Home::Guild(guild)) => {
                let guild = match self.guild_of(guild).await {
                    Err(Refusal::UnknownGuild) => return Err(Refusal::UnknownChannel),
                    other => other?,
                };
                let me = self.me.id;
                let found =
                    guild.look(|g| g.channels.get(&id).cloned().map(|c| (c, g.permissions_in(me, id))));
                let (channel, may) = found.ok_or(Refusal::UnknownChannel)?;
                if !may.has(Permissions::VIEW_CHANNEL) {
                    return Err(Refusal::MissingAccess);
                }
                Ok(Place::Guild { guild, channel, may })
            }
        }
    }

    /// Has the owner do something for the caller.
    pub(super) async fn submit(&self, command: Command) -> Result<Done, Refusal> {
        self.submit_keyed(command, self.api.keys.next()).await
    }

    /// The same under a key of its own: who sends it twice has it done once.
    pub(super) async fn submit_keyed(&self, command: Command, key: [u8; 16]) -> Result<Done, Refusal> {
        self.api.submit(Some(self.me.id), command, key, self.deadline).await
    }
}

impl Api {
    /// Has the owner do something.
    pub(super) async fn submit(
        &self,
        actor: Option<Id>,
        command: Command,
        key: [u8; 16],
        deadline: Option<Deadline>,
    ) -> Result<Done, Refusal> {
        let left = deadline.map_or(PATIENCE, |d| d.remaining(self.clock.now()));
        let patience_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let is_of_guilds = is_of_guilds(&command);
        let done = self.owner.submit(Ask { actor, command, key, patience_ms }).await?;
        // Who reads after its own write must find it, in this process too.
        if is_of_guilds {
            self.replica.note(done.at);
        }
        Ok(done)
    }
}

/// Whether a command changes what the gateway follows. The others may commit without telling anything, and whoever
/// waited for news of such a place would wait in vain.
fn is_of_guilds(command: &Command) -> bool {
    !matches!(
        command,
        Command::CreateUser { .. }
            | Command::ResetToken { .. }
            | Command::UpdateUser { .. }
            | Command::OpenDirect { .. }
            | Command::Presence { .. }
    )
}
