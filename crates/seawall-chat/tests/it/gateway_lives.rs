//! Sessions that outlive their connection, their process, and the process after that.

use std::time::Duration;

use seawall_chat::Config;
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio_tungstenite::tungstenite::Message;

use crate::gateway_making::{
    ALL, Client, Person, Place, Process, call, config, guild, join, ok, person, say,
};

/// Everything but presences, which come when they like.
const CALM: u64 = ALL & !(1 << 8);

struct Scene {
    ann: Person,
    ben: Person,
    place: Place,
}

async fn scene(p: &Process) -> Scene {
    let (ann, ben) = (person(p.addr, "ann").await, person(p.addr, "ben").await);
    let place = guild(p.addr, &ann).await;
    join(p.addr, &place, &ben).await;
    Scene { ann, ben, place }
}

async fn say_all(p: &Process, scene: &Scene, words: std::ops::Range<usize>) {
    for n in words {
        say(p.addr, &scene.place, &scene.ann, &n.to_string()).await;
    }
}

/// Hears these, in order, once each, and RESUMED among them: what was said a moment ago may come after it.
async fn catches_up(client: &mut Client, words: std::ops::Range<usize>) {
    let (mut said, mut resumed) = (Vec::new(), 0);
    while resumed == 0 || said.len() < words.len() {
        let payload = client.next().await;
        assert_ne!(payload["op"], 9, "the session is invalid");
        resumed += usize::from(payload["t"] == "RESUMED");
        if payload["t"] == "MESSAGE_CREATE" {
            said.push(payload["d"]["content"].clone());
        }
    }
    assert_eq!(said, words.map(|n| json!(n.to_string())).collect::<Vec<_>>());
    assert!(client.beat().await.is_empty(), "nothing comes twice");
    assert_eq!(resumed, 1);
}

async fn is_invalid(client: &mut Client) {
    let answer = client.next().await;
    assert_eq!((&answer["op"], &answer["d"]), (&json!(9), &json!(false)), "{answer}");
}

#[tokio::test]
async fn after_a_dropped_connection_nothing_is_missing_and_nothing_doubled() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let scene = scene(&p).await;
    let mut client = Client::with(p.addr, &scene.ben, CALM).await;
    say_all(&p, &scene, 0..5).await;
    for n in 0..3 {
        assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], n.to_string());
    }
    // It heard three; two more are on their way when the cable is cut.
    say_all(&p, &scene, 5..8).await;
    let mut client = client.resume(p.addr, &scene.ben).await;
    catches_up(&mut client, 3..8).await;
    say_all(&p, &scene, 8..9).await;
    assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], "8");
    client.beat().await;
    let mut client = client.resume(p.addr, &scene.ben).await;
    catches_up(&mut client, 0..0).await;
    assert_eq!(p.metric(r#"seawall_chat_resumes_total{outcome="memory"}"#), 2);
}

#[tokio::test]
async fn after_a_kill_and_a_restart_nothing_is_missing_and_nothing_doubled() {
    let data = tempdir().unwrap();
    let mut p = Process::start(data.path()).await;
    let scene = scene(&p).await;
    let mut client = Client::with(p.addr, &scene.ben, CALM).await;
    let mut said = 0;
    for life in 0..3 {
        say_all(&p, &scene, said..said + 6).await;
        for n in said..said + 3 {
            assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], n.to_string());
        }
        p.kill();
        p = Process::start(data.path()).await;
        client = client.resume(p.addr, &scene.ben).await;
        catches_up(&mut client, said + 3..said + 6).await;
        said += 6;
        assert_eq!(p.metric(r#"seawall_chat_resumes_total{outcome="adopted"}"#), 1, "life {life}");
    }
    say_all(&p, &scene, said..said + 1).await;
    assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], said.to_string());
}

#[tokio::test]
async fn what_is_said_while_no_gateway_lives_is_heard_after_it() {
    let data = tempdir().unwrap();
    let (p, other) = (Process::start(data.path()).await, Process::start(data.path()).await);
    let scene = scene(&p).await;
    let client = Client::with(p.addr, &scene.ben, CALM).await;
    p.kill();
    // The other process takes the lease over and goes on.
    say_all(&other, &scene, 0..4).await;
    other.kill();
    let again = Process::start(data.path()).await;
    let mut client = client.resume(again.addr, &scene.ben).await;
    catches_up(&mut client, 0..4).await;
}

#[tokio::test]
async fn a_session_moves_to_another_process_and_the_old_one_lets_go() {
    let data = tempdir().unwrap();
    let (p, q) = (Process::start(data.path()).await, Process::start(data.path()).await);
    let scene = scene(&p).await;
    let mut client = Client::with(p.addr, &scene.ben, CALM).await;
    say_all(&q, &scene, 0..4).await;
    assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], "0");
    let mut client = client.resume(q.addr, &scene.ben).await;
    catches_up(&mut client, 1..4).await;
    say_all(&p, &scene, 4..6).await;
    assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], "4");
    let sessions = async || ok(p.addr, "GET", "admin/sessions", "", Value::Null).await;
    for _ in 0..100 {
        if sessions().await == json!([]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sessions().await, json!([]), "the old process keeps nothing");
    // And back again.
    let mut client = client.resume(p.addr, &scene.ben).await;
    catches_up(&mut client, 5..6).await;
}

#[tokio::test]
async fn without_a_journal_a_killed_session_begins_anew() {
    let data = tempdir().unwrap();
    let p = Process::start_with(data.path(), config(), &["no-journal"]).await;
    let scene = scene(&p).await;
    let client = Client::with(p.addr, &scene.ben, CALM).await;
    p.kill();
    let p = Process::start(data.path()).await;
    let mut client = client.resume(p.addr, &scene.ben).await;
    is_invalid(&mut client).await;
    client.s = 0;
    client.identify(&scene.ben, CALM).await;
}

#[tokio::test]
async fn a_change_of_sight_while_nobody_looked_is_a_doubt() {
    let data = tempdir().unwrap();
    let (p, other) = (Process::start(data.path()).await, Process::start(data.path()).await);
    let scene = scene(&p).await;
    let client = Client::with(p.addr, &scene.ben, CALM).await;
    p.kill();
    let path = format!("v10/channels/{}/permissions/{}", scene.place.channel, scene.place.guild);
    let hide = json!({"type": 0, "deny": "1024", "allow": "0"});
    ok(other.addr, "PUT", &path, &scene.ann.token, hide).await;
    let mut client = client.resume(other.addr, &scene.ben).await;
    is_invalid(&mut client).await;
}

#[tokio::test]
async fn forged_sessions_tokens_and_numbers_get_nothing() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let scene = scene(&p).await;
    let mut client = Client::with(p.addr, &scene.ben, CALM).await;
    client.beat().await;
    let (session, s) = (client.session.clone(), client.s);
    let (ann, ben) = (&scene.ann.token, &scene.ben.token);
    let strange = "0".repeat(32);
    for (token, id, seq) in [
        (ann.as_str(), session.as_str(), json!(s)),
        ("nobody's", &session, json!(s)),
        (ben, &strange, json!(s)),
        (ben, "../../../etc", json!(s)),
        (ben, "", json!(s)),
        (ben, &session, json!(s + 1)),
        (ben, &session, json!(u64::MAX)),
        (ben, &session, json!(1)),
        (ben, &session, json!(0)),
        (ben, &session, Value::Null),
    ] {
        let mut forger = Client::connect(p.addr, "?v=10").await;
        forger.say(6, json!({"token": token, "session_id": id, "seq": seq})).await;
        is_invalid(&mut forger).await;
    }
    say_all(&p, &scene, 0..1).await;
    assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], "0");
}

#[tokio::test]
async fn a_slow_reader_is_cut_and_resumes_and_disturbs_nobody() {
    let data = tempdir().unwrap();
    let small = Config { ring_entries: 1024, ring_bytes: 1 << 20, ..config() };
    let p = Process::start_with(data.path(), small, &[]).await;
    let scene = scene(&p).await;
    let slow = Client::narrow(p.addr, &scene.ben, CALM).await;
    let mut quick = Client::with(p.addr, &scene.ben, CALM).await;
    let words = "\u{1f30a}".repeat(2000);
    let mut heard = 0;
    while p.metric("seawall_chat_fallen_total") == 0 {
        say(p.addr, &scene.place, &scene.ann, &words).await;
        quick.dispatch("MESSAGE_CREATE").await;
        heard += 1;
        assert!(heard < 4000, "the slow reader was never cut");
    }
    let mut slow = slow.resume(p.addr, &scene.ben).await;
    let caught_up = slow.until("RESUMED").await;
    assert_eq!(caught_up.iter().filter(|(t, _)| t == "MESSAGE_CREATE").count(), heard);
    assert_eq!(p.metric(r#"seawall_chat_resumes_total{outcome="journal"}"#), 1);
    say_all(&p, &scene, 0..1).await;
    assert_eq!(slow.dispatch("MESSAGE_CREATE").await["content"], "0");
}

#[tokio::test]
async fn a_client_too_far_behind_begins_anew() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let scene = scene(&p).await;
    let client = Client::with(p.addr, &scene.ben, CALM).await;
    let mut quick = Client::with(p.addr, &scene.ben, CALM).await;
    for _ in 0..110 {
        // Cheap entries, many at a time.
        for _ in 0..50 {
            let path = format!("v10/channels/{}/typing", scene.place.channel);
            ok(p.addr, "POST", &path, &scene.ann.token, Value::Null).await;
        }
        for _ in 0..50 {
            quick.dispatch("TYPING_START").await;
        }
    }
    drop(quick);
    let mut client = client.resume(p.addr, &scene.ben).await;
    is_invalid(&mut client).await;
}

#[tokio::test]
async fn a_kicked_connection_resumes_and_a_kicked_session_does_not() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let scene = scene(&p).await;
    let mut client = Client::with(p.addr, &scene.ben, CALM).await;
    let kick = async |client: &Client, how: &str| {
        let path = format!("admin/sessions/{}/kick", client.session);
        call(p.addr, "POST", &path, "", json!({"how": how})).await.0
    };
    assert_eq!(kick(&client, "tcp").await, 204);
    assert_eq!(client.end().await, 0);
    say_all(&p, &scene, 0..2).await;
    let mut client = client.resume(p.addr, &scene.ben).await;
    catches_up(&mut client, 0..2).await;
    assert_eq!(kick(&client, "reconnect").await, 204);
    assert_eq!(client.next().await["op"], 7);
    assert_eq!(client.end().await, 4000);
    let mut client = client.resume(p.addr, &scene.ben).await;
    catches_up(&mut client, 0..0).await;
    assert_eq!(kick(&client, "invalid").await, 204);
    is_invalid(&mut client).await;
    assert_eq!(client.end().await, 4000);
    let mut client = client.resume(p.addr, &scene.ben).await;
    is_invalid(&mut client).await;
    assert_eq!(kick(&client, "tcp").await, 404);
}

#[tokio::test]
async fn who_stays_away_for_too_long_begins_anew() {
    let data = tempdir().unwrap();
    let p = Process::start_with(data.path(), Config { session_ttl: Duration::from_secs(1), ..config() }, &[])
        .await;
    let scene = scene(&p).await;
    let mut client = Client::with(p.addr, &scene.ben, CALM).await;
    client.raw(Message::Close(None)).await;
    client.end().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut client = client.resume(p.addr, &scene.ben).await;
    is_invalid(&mut client).await;
    assert_eq!(p.metric("seawall_chat_sessions"), 0);
}

#[tokio::test]
async fn a_process_that_stops_asks_its_clients_to_go_to_another() {
    let data = tempdir().unwrap();
    let (p, q) = (Process::start(data.path()).await, Process::start(data.path()).await);
    let scene = scene(&p).await;
    let mut client = Client::with(p.addr, &scene.ben, CALM).await;
    p.stop(Duration::from_secs(3));
    assert_eq!(client.next().await["op"], 7);
    assert_eq!(client.end().await, 4000);
    say_all(&q, &scene, 0..3).await;
    let mut client = client.resume(q.addr, &scene.ben).await;
    catches_up(&mut client, 0..3).await;
}

#[tokio::test]
async fn a_resume_on_a_living_connection_takes_its_place() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let scene = scene(&p).await;
    let mut old = Client::with(p.addr, &scene.ben, CALM).await;
    let mut new = Client::connect(p.addr, "?v=10").await;
    new.s = old.s;
    new.say(6, json!({"token": scene.ben.token, "session_id": old.session, "seq": old.s})).await;
    catches_up(&mut new, 0..0).await;
    assert_eq!(old.end().await, 4000);
    say_all(&p, &scene, 0..1).await;
    assert_eq!(new.dispatch("MESSAGE_CREATE").await["content"], "0");
}
