//! Where the gateway is, what an application is, and lists that are empty here because there is no such thing.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use http::HeaderMap;
use serde_json::{Value, json};

use super::call::{Call, Reply};
use super::rate::Bucket;
use super::{Answer, Api, Table, errors};
use crate::refusal::Refusal;

/// Flags of an application: it may ask for presences, members and message content.
const PRIVILEGED: u64 = 1 << 12 | 1 << 14 | 1 << 18;

pub(super) fn add(table: &mut Table) {
    table.on("GET", "/gateway", axum::routing::get(gateway));
    table.get("/gateway/bot", Bucket::Reads, gateway_bot);
    table.get("/oauth2/applications/@me", Bucket::Reads, application);
    table.get("/applications/@me", Bucket::Reads, application);
    table.get("/applications/{application_id}/commands", Bucket::Reads, commands);
    table.get("/applications/{application_id}/guilds/{guild_id}/commands", Bucket::Reads, guild_commands);
    table.get("/voice/regions", Bucket::Reads, nothing);
    table.get("/guilds/{guild_id}/emojis", Bucket::Reads, nothing_in_guild);
    table.get("/guilds/{guild_id}/stickers", Bucket::Reads, nothing_in_guild);
    table.get("/guilds/{guild_id}/threads/active", Bucket::Reads, threads);
}

/// The only call without a token: libraries ask before they log in.
async fn gateway(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let (told, mut response) = match api.stranger(Some(peer), &headers, api.clock.now()) {
        Ok(told) => (told, Reply::Json(json!({ "url": api.gateway_url })).into()),
        Err(limited) => (limited.told, errors::limited(limited.retry_after, limited.scope)),
    };
    told.write(response.headers_mut(), api.clock.wall());
    response
}

/// One shard is enough for any client here. Sessions are limited over five seconds and not over a day.
async fn gateway_bot(call: Call) -> Answer {
    Ok(Reply::Json(json!({
        "url": call.api.gateway_url,
        "shards": 1,
        "session_start_limit": {
            "total": 1000,
            "remaining": 1000,
            "reset_after": 0,
            "max_concurrency": call.api.identify_max,
        },
    })))
}

/// An application is its bot user: they share an id.
async fn application(call: Call) -> Answer {
    Ok(Reply::Json(json!({
        "id": call.me.id,
        "name": call.me.username,
        "icon": null,
        "description": "",
        "summary": "",
        "bot_public": false,
        "bot_require_code_grant": false,
        "verify_key": "",
        "owner": call.me,
        "team": null,
        "flags": PRIVILEGED,
        "bot": call.me,
    })))
}

/// Only one's own application has anything to show.
async fn commands(call: Call) -> Answer {
    if call.id("application_id")? != call.me.id {
        return Err(Refusal::MissingAccess);
    }
    Ok(none())
}

async fn guild_commands(call: Call) -> Answer {
    call.guild().await?;
    commands(call).await
}

async fn nothing(_: Call) -> Answer {
    Ok(none())
}

async fn nothing_in_guild(call: Call) -> Answer {
    call.guild().await?;
    Ok(none())
}

async fn threads(call: Call) -> Answer {
    call.guild().await?;
    Ok(Reply::Json(json!({ "threads": [], "members": [] })))
}

fn none() -> Reply {
    Reply::Json(Value::Array(Vec::new()))
}
