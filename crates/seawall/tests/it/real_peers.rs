//! The balancer between programs that others wrote: curl in front, nginx behind.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use seawall_lab::servers::Server;
use seawall_lab::servers::nginx::{self, ORIGIN_BODY, Role};

use crate::fleet::{Site, eventually, request};

fn curl(args: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "-H", "Host: origin.test"]).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn origin() -> Server {
    seawall_drill::block_on(nginx::start(Role::Origin, None)).unwrap().unwrap()
}

fn balanced(site: &Site, backends: &[SocketAddr]) -> crate::fleet::Up {
    let backends: Vec<String> = backends.iter().map(|b| format!("\"{b}\"")).collect();
    let file = site.folder.join("seawall.toml");
    let probe =
        "[balancer.probe]\nkind = \"tcp\"\ninterval = \"200ms\"\ntimeout = \"200ms\"\nrise = 1\nfall = 2\n";
    let route = format!("[[balancer.route]]\nhost = \"origin.test\"\nbackends = [{}]\n", backends.join(", "));
    fs::write(&file, format!("{probe}{route}")).unwrap();
    let mut up = site.up(&["balancer", "--config", file.to_str().unwrap()]);
    up.ready(&[site.admin]);
    eventually("the backends are up", || {
        request(site.balancer, "GET", "/", "origin.test", &[], b"").status == 200
    });
    up
}

#[test]
fn curl_and_nginx_meet_through_the_balancer() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let nginx = origin();
    let _up = balanced(&site, &[nginx.address()]);
    let url = format!("http://{}/page", site.balancer);
    assert_eq!(curl(&[&url]), ORIGIN_BODY);
    let head = curl(&["-I", &url]);
    assert!(head.starts_with("HTTP/1.1 200") && head.to_lowercase().contains("server: nginx"), "{head}");
    // A hundred requests on one connection, as a browser would.
    let many = format!("http://{}/page/[1-100]", site.balancer);
    let connects = curl(&["-o", "/dev/null", "-w", "%{http_code} %{num_connects}\\n", &many]);
    assert_eq!(connects.lines().filter(|l| *l == "200 0").count(), 99, "{connects}");
    let missing = request(site.balancer, "GET", "/page", "nobody.test", &[], b"");
    assert_eq!((missing.status, missing.json()["error"]["code"].as_str()), (404, Some("no_route")));
}

#[test]
fn an_origin_that_dies_costs_a_client_nothing_while_another_lives() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let (first, second) = (origin(), origin());
    let _up = balanced(&site, &[first.address(), second.address()]);
    let ask = || request(site.balancer, "GET", "/", "origin.test", &[], b"").status;
    assert!((0..50).all(|_| ask() == 200));
    drop(first);
    assert!((0..200).all(|_| ask() == 200));
    drop(second);
    let answer = request(site.balancer, "GET", "/", "origin.test", &[], b"");
    assert!(matches!(answer.status, 502 | 503) && answer.json()["error"]["code"].is_string(), "{answer:?}");
}
