//! Searching in the owner's process, which alone has the index.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use super::limits::{HITS_BYTES_MAX, PATIENCE, QUERY_BYTES_MAX};
use super::{Hits, Query, Search};
use crate::owner::Client;
use crate::refusal::Refusal;

/// Where queries go.
const SEARCH: &str = "/-/owner/search";

/// What became of one.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Got {
    Found(Hits),
    Refused(Refusal),
}

/// Asks the owner. While it is not known who that is, or it does not answer, there is no index.
pub(super) async fn find(owner: &Client, query: &Query) -> Result<Hits, Refusal> {
    match owner.ask_page::<_, Got>(SEARCH, query, PATIENCE, HITS_BYTES_MAX).await {
        Some(Got::Found(hits)) => Ok(hits),
        Some(Got::Refused(refusal)) => Err(refusal),
        None => Err(Refusal::NotIndexed),
    }
}

/// The page other processes use. To be mounted at the root of the chat port, beside the owner's.
pub fn routes(search: &Search) -> Router {
    Router::new()
        .route(SEARCH, post(take))
        .layer(DefaultBodyLimit::max(QUERY_BYTES_MAX))
        .with_state(search.clone())
}

async fn take(State(search): State<Search>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(status) = search.owner().admits(&headers) {
        return answer(status, Body::empty());
    }
    let Ok(query) = serde_json::from_slice::<Query>(&body) else {
        return answer(StatusCode::BAD_REQUEST, Body::empty());
    };
    let got = search.find_here(query).await.map_or_else(Got::Refused, Got::Found);
    match serde_json::to_vec(&got) {
        Ok(json) => answer(StatusCode::OK, Body::from(json)),
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, Body::empty()),
    }
}

fn answer(status: StatusCode, body: Body) -> Response {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
