//! The chat's web page, in real browser windows: two people find each other, talk, and lose nothing.

use crate::chat_server::{Chat, string};
use crate::fleet::{eventually, request};
use crate::webdriver::{Driver, ENTER, Window};

/// What the channel's messages say, the oldest first.
const SAID: &str = "#timeline .message .content";

fn log_in(window: &Window<'_>, chat: &Chat, token: &str) {
    window.go(&format!("http://{}/", chat.addr));
    window.write("#token", token);
    window.click("#login-form button");
    window.shows("#status", "Connected");
}

fn say(window: &Window<'_>, text: &str) {
    window.write("#text", &format!("{text}{ENTER}"));
}

fn times_said(window: &Window<'_>, text: &str) -> usize {
    window.texts(SAID).iter().filter(|said| *said == text).count()
}

#[test]
fn two_people_meet_in_two_browsers_and_talk() {
    let dir = tempfile::tempdir().unwrap();
    let chat = Chat::start(dir.path());
    let (alice_token, bob_token) = (chat.user("alice"), chat.user("bob"));
    chat.guild("Harbour crew", "alice");
    let driver = Driver::start(dir.path());
    let alice = driver.open(1280, 800);
    log_in(&alice, &chat, &alice_token);
    alice.shows("#place-list", "Harbour crew");

    // An invite brings bob in, whose window is as narrow as a phone.
    alice.click(".section-head button");
    alice.click("#invite-form .primary");
    eventually("there is a code", || !alice.texts("#invite-code")[0].is_empty());
    let code = alice.texts("#invite-code")[0].clone();
    alice.click("#invite-dialog [data-close]");
    let bob = driver.open(390, 844);
    log_in(&bob, &chat, &bob_token);
    bob.shows("#hint", "no guild yet");
    bob.click("#show-places");
    bob.click("#join");
    bob.write("#join-code", &code);
    bob.click("#join-form .primary");
    bob.shows("#channel-name", "general");
    alice.shows("[data-status=online] .name", "bob");

    // Typing, then saying.
    bob.write("#text", "are you");
    alice.shows("#typing", "bob is typing");
    bob.write("#text", &format!(" there?{ENTER}"));
    alice.shows(SAID, "are you there?");
    eventually("nobody types any more", || alice.texts("#typing")[0].is_empty());
    eventually("it is no longer pending", || bob.texts(".pending, .failed").is_empty());
    say(&alice, "here I am");
    bob.shows(SAID, "here I am");
    assert_eq!(times_said(&bob, "are you there?"), 1);

    // Whoever is not looking sees that there is something to read.
    let guild = chat.json(Some(&alice_token), &["guild", "list"])[0]["id"].clone();
    let made = chat.json(Some(&alice_token), &["channel", "create", &string(&guild), "night-watch"]);
    let other = string(&made[0]["id"]);
    alice.click(&format!("[data-channel='{other}']"));
    alice.shows("#channel-name", "night-watch");
    say(&bob, "come back");
    alice.shows(".place.unread", "general");
    alice.click(".place.unread");
    alice.shows(SAID, "come back");
    eventually("it is read", || alice.texts(".place.unread").is_empty());

    // A new page has the history.
    alice.reload();
    alice.shows(SAID, "come back");
    for said in ["are you there?", "here I am", "come back"] {
        assert_eq!(times_said(&alice, said), 1, "{said}");
    }

    // And whoever closes the window is gone.
    drop(bob);
    alice.shows("[data-status=offline] .name", "bob");
}

#[test]
fn a_cut_connection_is_resumed_with_what_was_said_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let chat = Chat::start(dir.path());
    let alice_token = chat.user("alice");
    let (_, channel) = chat.guild("Harbour crew", "alice");
    let driver = Driver::start(dir.path());
    let alice = driver.open(1280, 800);
    log_in(&alice, &chat, &alice_token);
    let said = |text: &str| {
        let sent = chat.run(Some(&alice_token), &["send", &channel, text]);
        assert!(sent.status.success(), "{sent:?}");
    };
    said("before");
    alice.shows(SAID, "before");

    let session = string(&chat.session("alice")["id"]);
    let kicked = chat.run(None, &["kick", &session, "--tcp"]);
    assert!(kicked.status.success(), "{kicked:?}");
    said("meanwhile");
    eventually("it has resumed", || {
        alice.script("return document.querySelector('#status').dataset.resumes") == "1"
    });
    said("after");
    alice.shows(SAID, "after");
    assert_eq!(alice.texts(SAID), ["before", "meanwhile", "after"]);
    assert_eq!(string(&chat.session("alice")["id"]), session, "it is still the same one");

    // Told that the session is gone, it begins another and reads the history.
    let kicked = chat.run(None, &["kick", &session, "--invalid"]);
    assert!(kicked.status.success(), "{kicked:?}");
    alice.shows("#status", "Reconnecting");
    said("while there was no session");
    alice.shows(SAID, "while there was no session");
    assert_eq!(alice.texts(SAID).len(), 4);
    assert_ne!(string(&chat.session("alice")["id"]), session);
}

#[test]
fn what_others_write_is_text_and_never_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let chat = Chat::start(dir.path());
    let alice_token = chat.user("alice");
    let (guild, channel) = chat.guild("<b>Harbour</b>", "alice");
    let mallory_token = chat.user("mallory");
    assert!(chat.run(None, &["guild", "add", &guild, "mallory"]).status.success());
    let attack = "<img src=x onerror=\"window.owned = true\"><script>window.owned = true</script>";
    let link = "javascript:window.owned=true https://example.org/?a=<b>";
    for text in [attack, link] {
        let sent = chat.run(Some(&mallory_token), &["send", &channel, text]);
        assert!(sent.status.success(), "{sent:?}");
    }
    let driver = Driver::start(dir.path());
    let alice = driver.open(1280, 800);
    log_in(&alice, &chat, &alice_token);
    alice.shows(SAID, link);
    assert_eq!(alice.texts(SAID), [attack, link]);
    alice.shows("#place-list h2", "<b>Harbour</b>");
    assert_eq!(alice.script("return document.querySelectorAll('#app img, #app script, #app b').length"), 0);
    let hrefs = alice.script("return [...document.querySelectorAll('#timeline a')].map(a => a.href)");
    assert_eq!(hrefs, serde_json::json!(["https://example.org/?a="]));
    assert_eq!(alice.script("return window.owned === undefined"), true);

    // A wrong token is answered where it was typed, and the right one is gone from the tab.
    alice.click("#log-out");
    alice.write("#token", &format!("wrong{ENTER}"));
    alice.shows("#login-error", "not valid");
    assert_eq!(alice.script("return sessionStorage.length"), 0);
}

#[test]
fn the_page_forbids_whatever_does_not_come_from_its_own_server() {
    let dir = tempfile::tempdir().unwrap();
    let chat = Chat::start(dir.path());
    let get = |path: &str| request(chat.addr, "GET", path, &chat.addr.to_string(), &[], b"");
    let home = get("/");
    assert_eq!((home.status, home.header("location")), (303, Some("/app")));
    for (path, kind) in
        [("/app", "text/html"), ("/app/page.js", "text/javascript"), ("/app/page.css", "text/css")]
    {
        let answer = get(path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self'; connect-src 'self' ws: wss:"), "{policy}");
        assert!(answer.status == 200 && answer.header("content-type").unwrap().starts_with(kind), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(get("/app/mod.rs").status, 404);
    assert_eq!(get("/app/..%2fmod.rs").status, 404);
}
