//! `seawall chat`, command by command, as an operator and as somebody who talks.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Output, Stdio};

use crate::chat_server::{Chat, string};

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_operator_makes_people_and_guilds_and_they_talk() {
    let dir = tempfile::tempdir().unwrap();
    let chat = Chat::start(dir.path());
    let first = printed(&chat.run(None, &["user", "create", "alice"]));
    assert!(first.starts_with("id ") && first.contains("\ntoken "), "{first}");
    let taken = said(&chat.run(None, &["user", "create", "alice"]));
    assert!(taken.0 == Some(1) && taken.1.lines().count() == 1 && taken.1.contains("(code "), "{taken:?}");
    let bot = &chat.json(None, &["bot", "create", "beacon", "--shown", "The Beacon"])[0];
    assert_eq!((&bot["user"]["bot"], &bot["user"]["global_name"]), (&true.into(), &"The Beacon".into()));
    let beacon = string(&bot["token"]);

    // A reset token works, and the one before it does not.
    let old = string(&chat.json(None, &["user", "token", "alice"])[0]["token"]);
    let alice = string(&chat.json(None, &["user", "token", "alice"])[0]["token"]);
    assert_eq!(
        said(&chat.run(Some(&old), &["guild", "list"])),
        (Some(1), "seawall: 401: Unauthorized".into())
    );
    assert_eq!(said(&chat.run(None, &["user", "token", "nobody"])).0, Some(1));

    let (guild, channel) = chat.guild("Harbour crew", "alice");
    assert!(printed(&chat.run(Some(&alice), &["guild", "list"])).contains("Harbour crew"));
    assert_eq!(printed(&chat.run(None, &["guild", "add", &guild, "beacon"])), "added");
    assert_eq!(printed(&chat.run(None, &["guild", "add", &guild, "beacon"])), "already a member");
    let made =
        printed(&chat.run(Some(&alice), &["channel", "create", &guild, "night-watch", "--topic", "Who"]));
    let list = printed(&chat.run(Some(&beacon), &["channel", "list", &guild]));
    assert!(list.contains(&channel) && list.contains(&made) && list.contains("night-watch"), "{list}");

    let bob = chat.user("bob");
    let refused = said(&chat.run(Some(&bob), &["send", &channel, "let me in"]));
    assert!(refused.0 == Some(1) && refused.1.contains("(code "), "{refused:?}");
    let code = printed(
        &chat.run(Some(&alice), &["invite", "create", &channel, "--max-age", "1d", "--max-uses", "1"]),
    );
    assert!(printed(&chat.run(Some(&bob), &["invite", "use", &code])).contains("joined Harbour crew"));
    let unknown = said(&chat.run(Some(&bob), &["invite", "use", "nosuchcode"]));
    assert_eq!(unknown, (Some(1), "seawall: Unknown Invite (code 10006)".into()));

    // Said twice with one nonce is said once; words are joined; standard input is read.
    let once = printed(&chat.run(Some(&bob), &["send", &channel, "hello", "all", "--nonce", "n1"]));
    assert_eq!(printed(&chat.run(Some(&bob), &["send", &channel, "hello", "all", "--nonce", "n1"])), once);
    let mut piped = chat.command(Some(&bob), &["send", &channel, "-", "--json"]);
    let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(b"two\nlines\n").unwrap();
    let piped: serde_json::Value = serde_json::from_slice(&piped.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(piped["content"], "two\nlines");
}

#[test]
fn tail_resumes_after_a_cut_and_prints_everything_once() {
    let dir = tempfile::tempdir().unwrap();
    let chat = Chat::start(dir.path());
    let alice = chat.user("alice");
    let (_, channel) = chat.guild("Harbour crew", "alice");
    let mut tail = chat.command(Some(&alice), &["tail", "--count", "4"]);
    let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(tail.stderr.take().unwrap()).lines();
    assert_eq!(told.next().unwrap().unwrap(), "connected as alice");
    let say = |text: &str| assert!(chat.run(Some(&alice), &["send", &channel, text]).status.success());
    say("one");
    let session = string(&chat.session("alice")["id"]);
    for how in ["--tcp", "--reconnect"] {
        assert!(chat.run(None, &["kick", &session, how]).status.success());
        say(how.trim_matches('-'));
        assert_eq!(told.next().unwrap().unwrap(), "connection lost, reconnecting");
        assert_eq!(told.next().unwrap().unwrap(), "resumed");
    }
    say("a\u{1b}[2J\nb");
    let mut out = String::new();
    tail.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(tail.wait().unwrap().success());
    let texts: Vec<&str> =
        out.lines().filter_map(|line| line.split_once("#general  alice: ")).map(|l| l.1).collect();
    assert_eq!(texts, ["one", "tcp", "reconnect", r"a\u{1b}[2J\nb"], "{out}");
}

#[test]
fn a_tail_that_was_ended_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let chat = Chat::start(dir.path());
    let alice = chat.user("alice");
    let (guild, channel) = chat.guild("Harbour crew", "alice");
    let other = printed(&chat.run(Some(&alice), &["channel", "create", &guild, "other"]));
    let file = dir.path().join("tail.session");
    let tail =
        ["--json", "tail", "--channel", &channel, "--count", "1", "--from-resume", file.to_str().unwrap()];
    let say = |channel: &str, text: &str| {
        assert!(chat.run(Some(&alice), &["send", channel, text]).status.success())
    };
    let mut first = chat.command(Some(&alice), &tail);
    let mut first = first.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(first.stderr.take().unwrap()).lines();
    assert_eq!(told.next().unwrap().unwrap(), "connected as alice");
    say(&other, "not this");
    say(&channel, "one");
    let content =
        |out: &[u8]| serde_json::from_slice::<serde_json::Value>(out).unwrap()["d"]["content"].clone();
    assert_eq!(content(&first.wait_with_output().unwrap().stdout), "one");
    say(&channel, "two");
    let second = chat.run(Some(&alice), &tail);
    assert!(second.status.success(), "{second:?}");
    assert_eq!(content(&second.stdout), "two");
}

#[test]
fn what_cannot_be_done_is_said_in_one_line_with_a_fitting_code() {
    let dir = tempfile::tempdir().unwrap();
    let chat = Chat::start(dir.path());
    let some = "1573512735910526984";
    let without = said(&chat.run(None, &["send", some, "hi"]));
    assert!(without.0 == Some(2) && without.1.contains("--token-file"), "{without:?}");
    assert_eq!(said(&chat.run(Some("t"), &["send", "general", "hi"])).0, Some(2));
    assert_eq!(said(&chat.run(None, &["kick", "x", "--tcp", "--invalid"])).0, Some(2));
    assert_eq!(said(&chat.run(None, &["kick", "0123456789abcdef"])).0, Some(1));
    let wrong = said(&chat.run(Some("wrong.token.x"), &["tail"]));
    assert!(wrong.0 == Some(1) && wrong.1.contains("4004"), "{wrong:?}");
    // The token is never an argument, so nobody reads it in a list of processes.
    let file = dir.path().join("token");
    std::fs::write(&file, chat.user("alice") + "\n").unwrap();
    assert!(chat.run(None, &["guild", "list", "--token-file", file.to_str().unwrap()]).status.success());
    std::fs::write(&file, "\n").unwrap();
    assert_eq!(said(&chat.run(None, &["guild", "list", "--token-file", file.to_str().unwrap()])).0, Some(1));
}
