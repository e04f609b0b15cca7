use std::fs;
use std::net::TcpListener;

use crate::fleet::{Site, raw, request, seawall};

#[test]
fn bad_requests_get_a_clear_answer_and_store_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let up = site.up_all(&[]);
    let taken = r#"{"url":"https://example.org/","alias":"spring"}"#;
    let api = "/api/v1/links";
    let post = |body: &[u8]| request(site.balancer, "POST", api, "links.localhost", &[], body);
    assert_eq!(post(taken.as_bytes()).status, 201);
    let before = count(&site);
    let large = format!(r#"{{"url":"https://example.org/{}"}}"#, "x".repeat(1 << 20));
    for (body, status, code) in [
        ("{", 400, "bad_json"),
        ("[]", 400, "bad_body"),
        (r#"{"url":"ftp://example.org/"}"#, 400, "bad_scheme"),
        (r#"{"url":"javascript:alert(1)"}"#, 400, "bad_scheme"),
        (r#"{"url":"http://127.0.0.1/"}"#, 400, "private_target"),
        (r#"{"url":"http://2130706433/"}"#, 400, "private_target"),
        (r#"{"url":"http://0x7f.1/"}"#, 400, "private_target"),
        (r#"{"url":"http://[::ffff:10.0.0.1]/"}"#, 400, "private_target"),
        (r#"{"url":"http://localhost:9/"}"#, 400, "private_target"),
        (r#"{"url":"http://links.localhost/x"}"#, 400, "own_domain"),
        (r#"{"url":"https://example.org/","alias":"a b"}"#, 400, "bad_alias"),
        (taken, 409, "alias_taken"),
        (&large, 413, "body_too_large"),
    ] {
        let answer = post(body.as_bytes());
        let shown = &body[..body.len().min(80)];
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (status, Some(code)),
            "{shown}: {}",
            answer.text()
        );
        assert!(answer.json()["error"]["message"].as_str().unwrap().len() > 10, "{shown}");
    }
    let mut headers = format!("GET /{api} HTTP/1.1\r\nHost: links.localhost\r\n");
    for i in 0..10_000 {
        headers.push_str(&format!("X-{i}: y\r\n"));
    }
    for addr in [site.links, site.balancer, site.registry] {
        let answer = raw(addr, format!("{headers}\r\n").as_bytes(), true);
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (431, Some("head_too_large")));
    }
    let half =
        format!("POST {api} HTTP/1.1\r\nHost: links.localhost\r\nContent-Length: 40\r\n\r\n{{\"url\":");
    for addr in [site.links, site.balancer] {
        let answer = raw(addr, half.as_bytes(), true);
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (400, Some("incomplete_body")),
            "{}",
            answer.text()
        );
    }
    assert_eq!(count(&site), before, "something was stored");
    let rss_kib = resident_kib(up.process.pid());
    assert!(rss_kib < 300 * 1024, "{rss_kib} KiB resident after bad input");
}

#[test]
fn a_taken_port_says_by_whom_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let _up = site.up_all(&[]);
    let second = Site { folder: dir.path().join("second"), ..site.clone() };
    fs::create_dir(&second.folder).unwrap();
    let mut refused = second.up(&["links"]);
    assert_eq!(refused.ended(), Some(1));
    let said = refused.log();
    let line = said.lines().find(|l| l.starts_with("seawall: ")).unwrap();
    assert!(line.contains("another seawall") && line.contains("--set links.listen="), "{line}");

    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let foreign = Site { links: holder.local_addr().unwrap(), folder: dir.path().join("third"), ..site };
    fs::create_dir(&foreign.folder).unwrap();
    let mut refused = foreign.up(&["links"]);
    assert_eq!(refused.ended(), Some(1));
    assert!(refused.log().contains("another process"), "{}", refused.log());
}

#[test]
fn a_bad_data_folder_costs_one_line_and_exit_1() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let newer = dir.path().join("newer");
    fs::create_dir(&newer).unwrap();
    fs::write(newer.join("format"), "99\n").unwrap();
    for (data, word) in [(file.join("below"), "--data DIR"), (newer, "newer seawall")] {
        let output =
            seawall(&["up", "links", "--data", data.to_str().unwrap(), "--set", "links.listen=127.0.0.1:0"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let lines: Vec<&str> = said.lines().filter(|l| l.starts_with("seawall: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains(word), "{said}");
    }
}

#[test]
fn a_newer_store_file_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let mut up = site.up(&["links"]);
    up.ready(&[site.links]);
    up.process.terminate().unwrap();
    assert_eq!(up.ended(), Some(0));
    drop(up);
    // The file format's version is SQLite's user_version, at bytes 60 to 63 of the header (big endian).
    let file = fs::read_dir(dir.path().join("data"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "db"))
        .unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(&file, bytes).unwrap();
    let mut refused = site.up(&["links"]);
    assert_eq!(refused.ended(), Some(1), "{}", refused.log());
    let said = refused.log();
    assert!(
        said.lines().any(|l| l.starts_with("seawall: ") && l.contains("99") && l.contains("newer")),
        "{said}"
    );
}

#[test]
fn an_exposed_address_needs_consent() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let output = seawall(&["up", "links", "--data", data, "--set", "links.listen=192.0.2.1:7010"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("exposure.insecure"));
    let output = seawall(&[
        "up",
        "links",
        "--data",
        data,
        "--set",
        "links.listen=192.0.2.1:7010",
        "--set",
        "exposure.insecure=true",
    ]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("exposure.token_file"));
}

fn count(site: &Site) -> usize {
    let page = request(site.links, "GET", "/api/v1/links?limit=1000", "x", &[], b"");
    page.json()["links"].as_array().unwrap().len()
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
