//! `seawall policy replay`, as an operator who has a log and a doubt.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::fleet::{Site, binary, eventually, request, seawall};

/// One call a second for three minutes; for one of them the callee answers nobody.
const OUTAGE: std::ops::Range<u32> = 60..120;

fn outcome(second: u32) -> (&'static str, u32) {
    if OUTAGE.contains(&second) { ("timeout", 250) } else { ("success", 20) }
}

fn csv(dir: &Path) -> PathBuf {
    let row = |s: u32| format!("{s},{},{}\n", outcome(s).0, outcome(s).1);
    let file = dir.join("calls.csv");
    fs::write(&file, "time,outcome,latency_ms\n".to_owned() + &(0..180).map(row).collect::<String>())
        .unwrap();
    file
}

fn json_lines(dir: &Path) -> PathBuf {
    let row = |s: u32| {
        let (outcome, took) = outcome(s);
        format!("{{\"level\":\"info\",\"took\":\"{took}ms\",\"outcome\":\"{outcome}\",\"ts\":{s}.0}}\n")
    };
    let file = dir.join("calls.json");
    fs::write(&file, (0..180).map(row).collect::<String>()).unwrap();
    file
}

fn replay(args: &[&str], trace: &Path) -> Output {
    let args: Vec<&str> = ["policy", "replay"]
        .into_iter()
        .chain(args.iter().copied())
        .chain(["--trace", trace.to_str().unwrap()])
        .collect();
    seawall(&args)
}

fn good(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), &b""[..]), "{said}");
    said
}

#[test]
fn a_minute_of_outage_through_the_chat_breaker() {
    let dir = tempfile::tempdir().unwrap();
    let said = good(&replay(&["s0-chat"], &csv(dir.path())));
    let expected = "\
breaker.s0-chat (there is shed.s0-chat and ladder.s0-chat as well)
Trace: 180 calls in 2 min 59 s.

   +1:04.250  closed → open       a call ended as timeout and met { failures = 5 } in 10s; refuses for 30s
   +1:35.000  open → half-open    its time was over, and a call tests the callee
   +1:35.250  half-open → open    a probe ended as timeout; refuses for 1m
   +2:36.000  open → half-open    its time was over, and a call tests the callee
   +2:36.020  half-open → closed  the probe succeeded

                                  without it             with it
  succeeded                      120  66.7 %          84  46.7 %
  failed                          60  33.3 %           6   3.3 %
  given up by caller               0                   0
  refused at once                  0                  90  50.0 %
  waited on average                  96.7 ms             35.3 ms
  waited at most                    250.0 ms            250.0 ms

It spared the callee 90 calls, 54 of which would have failed; 36 would have succeeded and are lost.
Who was refused heard it at once, and not after 158.0 ms on average and 250.0 ms at most.
It opened once and was not closed for 91.8 s; 2 calls tested the callee, of which 1 succeeded.
A trace is open-loop: what is refused or repeated here changes nothing that follows in it.
";
    assert_eq!(said, expected);
}

#[test]
fn csv_json_lines_and_a_pipe_give_the_same_answer_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, json) = (csv(dir.path()), json_lines(dir.path()));
    for policy in [
        "s0-chat",
        "breaker.s2-links",
        "retry.s1-read",
        "s3-service-a",
        "rate.s2-create-link",
        "ladder.s1-feed",
    ] {
        for how in [&["--verbose"][..], &["--json"]] {
            let args: Vec<&str> = [policy].into_iter().chain(how.iter().copied()).collect();
            let answer = good(&replay(&args, &csv));
            assert_eq!(good(&replay(&args, &json)), answer, "{args:?}");
            let mut piped = Command::new(binary())
                .args(["policy", "replay", "--trace", "-"])
                .args(&args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            piped.stdin.take().unwrap().write_all(&fs::read(&csv).unwrap()).unwrap();
            assert_eq!(good(&piped.wait_with_output().unwrap()), answer, "{args:?}");
        }
    }
}

#[test]
fn programs_get_json() {
    let dir = tempfile::tempdir().unwrap();
    let said: Value = serde_json::from_str(&good(&replay(&["s0-chat", "--json"], &csv(dir.path())))).unwrap();
    assert_eq!(
        (&said["policy"], &said["start"], &said["bad_lines"]),
        (&"breaker.s0-chat".into(), &Value::Null, &0.into())
    );
    let report = &said["report"];
    assert_eq!(
        (&report["kind"], &report["trips"], &report["refused"]["calls"]),
        (&"breaker".into(), &1.into(), &90.into())
    );
    assert_eq!(report["changes"]["first"][0]["at_ms"], 64_250.0);
}

#[test]
fn a_policy_of_a_file_is_replayed_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policies.toml");
    fs::write(&file, "[policy.breaker.mine]\npreset = 's0-chat'\ntrip = [{ consecutive = 3 }]\n[policy.budget.none]\nratio = 0.0\nper_second = 0\nmin_concurrency = 0\n")
        .unwrap();
    let file = file.to_str().unwrap();
    let said = good(&replay(&["mine", "--policies", file], &csv(dir.path())));
    assert!(
        said.contains("+1:02.250  closed → open       a call ended as timeout and met { consecutive = 3 }"),
        "{said}"
    );
    let args = ["s1-read", "--policies", file, "--budget", "none", "--json"];
    let said: Value = serde_json::from_str(&good(&replay(&args, &csv(dir.path())))).unwrap();
    assert_eq!(
        (&said["report"]["load"]["retries"], &said["report"]["given_up"]["budget"]),
        (&0.into(), &60.into())
    );

    fs::write(file, "[policy.breaker.mine]\nwindow = '0s'\ncolour = 1\n").unwrap();
    let said = refused(&replay(&["mine", "--policies", file], &csv(dir.path())), 78);
    assert!(said.contains("policies.toml:2: policy.breaker.mine.window") && said.contains(":3:"), "{said}");
}

#[test]
fn every_bad_line_is_told_with_its_place_and_nothing_is_concluded_from_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("calls.csv");
    let long = "1".repeat(100_000);
    fs::write(
        &file,
        format!(
            "time,outcome,latency_ms\n1,success,5\nsoon,success,5\n2,fine,5\n3,success,{long}\n4,success,5"
        ),
    )
    .unwrap();
    let said = refused(&replay(&["s0-chat"], &file), 1);
    for part in [
        "calls.csv:3: time: use RFC 3339 such as 2026-11-20T14:03:07.250Z, or seconds; it says \"soon\"",
        "calls.csv:4: outcome: use success,",
        "calls.csv:5: longer than 65536 bytes",
        "3 lines could not be read; mend the trace, or go on without with --skip-bad",
    ] {
        assert!(said.contains(part), "{part}\nis not in\n{said}");
    }
    let output = replay(&["s0-chat", "--skip-bad"], &file);
    let answer = good(&output);
    assert!(
        answer.contains("3 lines could not be read and are missing here.\nTrace: 2 calls in 3.0 s."),
        "{answer}"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("calls.csv:4:"));

    fs::write(&file, "time,outcome,latency_ms\n".to_owned() + &"x\n".repeat(1_000)).unwrap();
    let said = refused(&replay(&["s0-chat"], &file), 1);
    assert_eq!(said.lines().count(), 20 + 2, "{said}");
    assert!(said.contains("and 980 lines more"), "{said}");
}

#[test]
fn what_cannot_be_asked_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let calls = csv(dir.path());
    for (args, advice) in [
        (&["s0-cat"][..], "did you mean"),
        (&["shed.s0-chat"], "--capacity"),
        (&["s0-chat", "--capacity", "5"], "--capacity says nothing to a breaker"),
        (&["s1-read", "--by", "outcome"], "--by says nothing to a retry"),
        (&["s1-read", "--budget", "mine"], "there is no budget called mine"),
    ] {
        let said = refused(&replay(args, &calls), 2);
        assert!(said.contains(advice), "{args:?}: {said}");
    }
    for (text, advice) in [
        ("1,success,5\n", "calls.csv:1: no column is named time, ts or at"),
        ("# nothing\n", "holds no call"),
        ("time,outcome,latency_ms\n", "holds no call"),
    ] {
        fs::write(&calls, text).unwrap();
        assert!(refused(&replay(&["s0-chat"], &calls), 1).contains(advice), "{advice}");
    }
    assert!(refused(&replay(&["s0-chat"], &dir.path().join("none")), 1).contains("cannot read"));
    assert!(refused(&replay(&["s0-chat"], dir.path()), 1).contains("cannot read"));
}

/// A backend that is always ready and fails whatever else it is asked.
fn failing() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::Read;
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4_096];
            let n = stream.read(&mut head).unwrap_or(0);
            let status = if head[..n].starts_with(b"GET /-/ready") { "200 OK" } else { "500 Oh" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    addr
}

#[test]
fn the_access_log_of_a_balancer_tells_what_its_breaker_did() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let log = dir.path().join("access.log");
    let file = dir.path().join("seawall.toml");
    let backend = failing();
    let route = format!("[[balancer.route]]\nhost = \"one.test\"\nbackends = [\"{backend}\"]\n");
    fs::write(&file, format!("[balancer.access_log]\npath = \"{}\"\n{route}", log.display())).unwrap();
    let mut up = site.up(&["balancer", "--config", file.to_str().unwrap()]);
    up.ready(&[site.admin]);
    let ask = |host: &str, path: &str| request(site.balancer, "GET", path, host, &[], b"").status;
    eventually("the backend is asked", || ask("one.test", "/first") == 500);
    while !up.log().contains("breaker changed state") {
        assert_eq!(ask("one.test", "/a?token=secret"), 500);
    }
    assert_eq!(ask("nobody.test", "/"), 404);
    // Written in the order in which requests ended, and the last one has.
    eventually("the log is written", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("nobody.test"))
    });

    let said: Value =
        serde_json::from_str(&good(&replay(&["s3-balancer", "--by", "backend", "--json"], &log))).unwrap();
    let report = &said["report"];
    let calls = report["trace"]["calls"]["calls"].as_u64().unwrap();
    assert_eq!((report["kind"].as_str(), report["trips"].as_u64()), (Some("breaker"), Some(1)), "{said}");
    assert_eq!(report["trace"]["calls"]["failed"].as_u64(), Some(calls), "{said}");
    let change = &report["changes"]["first"][0];
    assert_eq!((change["from"].as_str(), change["to"].as_str()), (Some("closed"), Some("open")));
    assert_eq!(change["key"].as_str(), Some(backend.to_string().as_str()));
    // The twentieth failure opened it, here as there: what came after is what it would have refused.
    assert_eq!(report["served"]["calls"].as_u64(), Some(20), "{said}");
    assert!(said["refused_lines"].as_u64().unwrap() >= 1 && said["start"].is_string(), "{said}");
    assert!(!fs::read_to_string(&log).unwrap().contains("secret"));

    let text = good(&replay(&["s3-balancer", "--by", "backend"], &log));
    assert!(
        text.contains("closed → open       a call ended as failed and met { ratio = 0.5, min = 20 } in 10s"),
        "{text}"
    );
}

#[test]
fn a_log_that_cannot_be_opened_stops_the_start_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let mut up = site.up(&["balancer", "--set", "balancer.access_log.path=/nowhere/access.log"]);
    assert_eq!(up.ended(), Some(1));
    let log = up.log();
    assert!(log.contains("balancer.access_log.path: cannot write to /nowhere/access.log"), "{log}");
}

#[test]
fn a_long_trace_is_read_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("calls.csv");
    let mut out = std::io::BufWriter::new(fs::File::create(&file).unwrap());
    writeln!(out, "time,outcome,latency_ms").unwrap();
    for n in 0..300_000 {
        writeln!(out, "{}.{:03},success,20", n / 1_000, n % 1_000).unwrap();
    }
    drop(out);
    let mut child = Command::new("sh")
        // 128 MiB of address space for what is otherwise a file of any length.
        .args(["-c", "ulimit -v 131072; exec \"$0\" policy replay s0-chat --trace \"$1\""])
        .arg(binary())
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < crate::fleet::HANG);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(good(&child.wait_with_output().unwrap()).contains("Trace: 300,000 calls"));
}
