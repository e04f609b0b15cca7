//! The port that explains, and the port that does not.

use seawall_balancer::api::{Explained, Routes};

use crate::backend::{Backend, Does};
use crate::client::Client;
use crate::rig::{Rig, route, wait};

fn explain(rig: &Rig, query: &str) -> Explained {
    let answer = rig.ask(&format!("/explain?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn the_data_port_has_no_pages_of_its_own() {
    let backend = Backend::start(Does::Answer);
    let rig = Rig::with(&[&backend]);
    for path in ["/-/healthy", "/-/ready", "/metrics", "/backends"] {
        assert_eq!(rig.get(path).text(), backend.addr.port().to_string(), "{path} is the backend's");
        let strange = rig.client().call("GET", path, "Host: other.test\r\n", b"").unwrap();
        assert_eq!((strange.status, strange.code().as_str()), (404, "no_route"), "{path}");
    }
    let trace = rig.client().call("TRACE", "/", "", b"").unwrap();
    assert_eq!((trace.status, trace.code().as_str()), (405, "method_not_allowed"));
}

#[test]
fn the_admin_port_shows_backends_routes_and_nothing_else() {
    let (first, second) = (Backend::start(Does::Answer), Backend::start(Does::Answer));
    let rig = Rig::configured(&[&first, &second], |c| c.route.push(route("*.one.test", &[&first])));
    assert_eq!(rig.get("/").status, 200);
    let pools = rig.pools();
    assert_eq!(pools.len(), 2);
    assert_eq!((pools[0].source.as_str(), pools[0].mode.as_str()), ("config", "normal"));
    assert_eq!(pools[0].routes, ["one.test"]);
    let shown = rig.shown(&first);
    assert_eq!((shown.health.as_str(), shown.breaker.as_str(), shown.asked), ("up", "closed", true));
    let routes: Routes = serde_json::from_slice(&rig.ask("/routes").body).unwrap();
    let hosts: Vec<&str> = routes.routes.iter().map(|r| r.host.as_str()).collect();
    assert_eq!(hosts, ["one.test", "*.one.test"]);
    for (path, status) in [("/", 404), ("/nothing", 404), ("/-/healthy", 200), ("/metrics", 200)] {
        assert_eq!(rig.ask(path).status, status, "{path}");
    }
    let answer = Client::to(rig.admin).call("DELETE", "/backends", "", b"").unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"));
}

#[test]
fn a_decision_is_explained_in_words() {
    let (first, second) = (Backend::start(Does::Answer), Backend::start(Does::Answer));
    let rig = Rig::with(&[&first, &second]);
    second.set_ready(false);
    wait("it is down", || rig.shown(&second).health == "down");
    let said = explain(&rig, "host=one.test&path=/x");
    let (a, b) = (first.addr, second.addr);
    assert_eq!(
        said.decision,
        format!(
            "GET one.test/x goes by route one.test to pool {a},{b} (static; 1 of 2 up): {a} is asked; a failure is \
             tried again elsewhere, 3 tries in all"
        )
    );
    assert_eq!(said.candidates, [a.to_string()]);
    assert_eq!(said.others[0].why_not, "down: GET /-/ready answered 503");
    let post = explain(&rig, "host=one.test&path=/x&method=post");
    assert!(post.decision.contains("only a failed connection is tried again"), "{}", post.decision);
    let strange = explain(&rig, "host=two.test");
    assert!(strange.route.is_none() && strange.decision.contains("404 no_route"), "{}", strange.decision);
    for bad in ["", "hots=one.test", "host=one.test&path=x", "host=one.test&method=a%20b"] {
        let answer = rig.ask(&format!("/explain?{bad}"));
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_query"), "{bad}");
    }
}
