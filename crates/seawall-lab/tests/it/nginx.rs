//! nginx in each role, asked with an ordinary client.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use seawall_drill::Client;
use seawall_lab::servers::Server;
use seawall_lab::servers::nginx::{self, ORIGIN_BODY, Role};
use seawall_lab::servers::seawall::{Seawall, Setup, System};

async fn get(server: &Server, path: &str) -> Response<Bytes> {
    let request = Request::get(path).header("host", "test").body(Full::default()).unwrap();
    Client::new(server.address(), Duration::from_secs(5)).send(request, Duration::from_secs(5)).await.unwrap()
}

fn location(answer: &Response<Bytes>) -> &str {
    answer.headers()["location"].to_str().unwrap()
}

#[tokio::test]
async fn a_fixed_redirect_answers_301() {
    let server = nginx::start(Role::Redirect { to: "https://example.org/" }, None).await.unwrap();
    let answer = get(&server, "/anything").await;
    assert_eq!((answer.status().as_u16(), location(&answer)), (301, "https://example.org/"));
}

#[tokio::test]
async fn a_map_leads_each_code_to_its_own_target() {
    let links: Vec<_> = (0..3_000).map(|i| (format!("/C{i}x"), format!("https://example.org/{i}"))).collect();
    let server = nginx::start(Role::Map { links: &links }, None).await.unwrap();
    for (path, target) in [&links[0], &links[1_499], &links[2_999]] {
        let answer = get(&server, path).await;
        assert_eq!((answer.status().as_u16(), location(&answer)), (302, target.as_str()));
    }
}

#[tokio::test]
async fn a_proxy_passes_the_origins_answer_on() {
    let origin = nginx::start(Role::Origin, None).await.unwrap();
    let proxy = nginx::start(Role::Proxy { to: origin.address() }, Some(0)).await.unwrap();
    let answer = get(&proxy, "/x").await;
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, ORIGIN_BODY.as_bytes()));
}

#[tokio::test]
async fn a_dropped_server_leaves_no_process_behind() {
    let server = nginx::start(Role::Origin, Some(0)).await.unwrap();
    let process = format!("/proc/{}", server.pid());
    assert!(std::fs::exists(&process).unwrap());
    drop(server);
    assert!(!std::fs::exists(&process).unwrap());
}

#[tokio::test]
async fn a_configuration_nginx_refuses_is_quoted() {
    let links = [("/a".to_owned(), "x".to_owned()), ("/A".to_owned(), "y".to_owned())];
    let error = nginx::start(Role::Map { links: &links }, None).await.unwrap_err().to_string();
    assert!(error.contains("conflicting parameter"), "{error}");
}

#[tokio::test]
async fn a_binary_that_was_never_built_is_named() {
    let setup =
        Setup { binary: "target/no/such/seawall".into(), systems: vec![System::Links], ..Setup::default() };
    let error = Seawall::start(&setup).await.unwrap_err().to_string();
    assert!(error.contains("target/no/such/seawall") && error.contains("cargo build"), "{error}");
}
