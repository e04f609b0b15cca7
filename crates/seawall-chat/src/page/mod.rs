//! The web client: one page of plain ES modules, carried in the binary. It is a client like any other and uses
//! nothing but the public REST API and gateway; start reading at `page.js`.
//!
//! A page that shows what strangers wrote must not run it: everything of theirs becomes text nodes (`dom.js`), and
//! the policy below would refuse scripts, styles and pictures from anywhere else even if that failed.

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, StatusCode};

/// `connect-src` names the schemes: browsers do not agree that 'self' means the socket of the same address too.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The page itself.
const INDEX: &str = include_str!("index.html");
/// What belongs to it, below `/app/`.
const FILES: &[(&str, &str, &str)] = &[
    ("api.js", JS, include_str!("api.js")),
    ("dom.js", JS, include_str!("dom.js")),
    ("gateway.js", JS, include_str!("gateway.js")),
    ("icon.svg", SVG, include_str!("icon.svg")),
    ("invites.js", JS, include_str!("invites.js")),
    ("outbox.js", JS, include_str!("outbox.js")),
    ("page.css", CSS, include_str!("page.css")),
    ("page.js", JS, include_str!("page.js")),
    ("people.js", JS, include_str!("people.js")),
    ("places.js", JS, include_str!("places.js")),
    ("state.js", JS, include_str!("state.js")),
    ("talk.js", JS, include_str!("talk.js")),
    ("timeline.js", JS, include_str!("timeline.js")),
    ("words.js", JS, include_str!("words.js")),
];

/// `/app` and its files, and `/` for people: who asks to upgrade there is a gateway client, and has to be taken out
/// before this router.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async || Redirect::to("/app")))
        .route("/app", get(async || file(HTML, INDEX)))
        .route("/app/{name}", get(named))
}

async fn named(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => file(kind, text),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // After an update every file must be the new one.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each `from "./x.js"` and `/app/x` that the files name.
    fn named_in(text: &str) -> impl Iterator<Item = &str> {
        let imports = text.split("from \"./").skip(1);
        let links = text.split("\"/app/").skip(1);
        imports.chain(links).filter_map(|rest| rest.split('"').next())
    }

    #[test]
    fn everything_the_page_names_is_served() {
        let texts = FILES.iter().map(|(_, _, text)| *text).chain([INDEX]);
        for name in texts.flat_map(named_in) {
            assert!(FILES.iter().any(|(known, ..)| *known == name), "{name}");
        }
    }

    #[test]
    fn nothing_of_the_page_reads_text_as_html_or_comes_from_elsewhere() {
        for (name, kind, text) in FILES.iter().filter(|(_, kind, _)| *kind != SVG) {
            for never in ["innerHTML =", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "url("]
            {
                assert!(!text.contains(never), "{name} ({kind}): {never}");
            }
        }
        assert!(!INDEX.contains("//") && !INDEX.contains("style="), "the policy would refuse it");
    }
}
