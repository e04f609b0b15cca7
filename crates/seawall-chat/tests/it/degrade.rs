//! Under load: what each tier gives up, what it keeps, and that what was left out is left out of replays too.

use std::time::Duration;

use seawall_chat::Config;
use seawall_policy::shed::{self, Shares, Step};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::time::Instant;

use crate::gateway_making::{
    ALL, Client, Person, Place, Process, call, config, guild, join, ok, person, say,
};
use crate::rest_making::{chat, world};

/// Ann listens, Ben is in the same guild.
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

async fn tier(p: &Process, level: Value) -> Value {
    ok(p.addr, "PUT", "admin/ladder", "", json!({ "level": level })).await
}

async fn typing(p: &Process, scene: &Scene) {
    let path = format!("v10/channels/{}/typing", scene.place.channel);
    ok(p.addr, "POST", &path, &scene.ben.token, Value::Null).await;
}

async fn shows(client: &mut Client, status: &str) {
    client.say(3, json!({"since": null, "status": status, "afk": false, "activities": []})).await;
    client.beat().await;
}

fn is_of(event: &(String, Value), t: &str, who: &Person) -> bool {
    event.0 == t && (event.1["user_id"] == who.id || event.1["user"]["id"] == who.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tier_gives_up_search_and_history_step_by_step_and_sending_never() {
    let chat = chat().await;
    let world = world(&chat).await;
    let me = &world.owner.token;
    for n in 0..30 {
        chat.say(&world.general, me, &format!("before {n}")).await;
    }
    let search = format!("/guilds/{}/messages/search?content=x", world.guild);
    let history = format!("/channels/{}/messages", world.general);
    let (later, busy) = ((202, Some(110_000)), (503, Some(130_000)));
    for (level, searched, most) in [(1, later, 30), (2, busy, 30), (3, busy, 25), (4, busy, 25)] {
        let told = chat.admin("PUT", "/ladder", json!({ "level": level })).await.ok();
        assert_eq!((&told["level"], &told["pinned"]), (&json!(level), &json!(level)), "{told}");
        crate::search::eventually(async || {
            let answer = chat.get(&search, me).await;
            (answer.status, answer.json()["code"].as_u64()) == searched
        })
        .await;
        let page = chat.get(&format!("{history}?limit=30"), me).await.ok();
        assert_eq!(page.as_array().unwrap().len(), most, "tier {level}");
        assert_eq!(chat.get(&format!("{history}?limit=7"), me).await.ok().as_array().unwrap().len(), 7);
        let said = chat.say(&world.general, me, &format!("in tier {level}")).await;
        let newest = chat.get(&format!("{history}?limit=1"), me).await.ok();
        assert_eq!(newest[0]["id"], said.as_str(), "what was just said is there to be read");
        let ready = chat.raw("GET", "/-/ready", "", b"").await;
        assert!(ready.status == 200 && ready.body.contains("degraded: tier 1, high load"), "{ready:?}");
        let level_said = format!("seawall_chat_ladder_level {level}\n");
        assert!(chat.raw("GET", "/metrics", "", b"").await.body.contains(&level_said));
    }
    let told = chat.admin("PUT", "/ladder", json!({ "level": null })).await.ok();
    assert_eq!((&told["level"], &told["pinned"]), (&json!(0), &Value::Null));
    assert_eq!(chat.admin("GET", "/ladder", Value::Null).await.ok(), told);
    let page = chat.get(&format!("{history}?limit=40"), me).await.ok();
    assert_eq!(page.as_array().unwrap().len(), 34);
    crate::search::eventually(async || chat.get(&search, me).await.status == 200).await;
    assert!(chat.raw("GET", "/-/ready", "", b"").await.body.contains(r#""state":"ready""#));
    for wrong in [json!({}), json!({ "level": 5 }), json!({ "level": -1 }), json!({ "level": "x" })] {
        assert_eq!(chat.admin("PUT", "/ladder", wrong.clone()).await.code(), (400, Some(50035)), "{wrong}");
    }
}

#[tokio::test]
async fn tier_1_delays_typing_and_keeps_messages_and_presences() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let scene = scene(&p).await;
    let mut ann = Client::with(p.addr, &scene.ann, ALL).await;
    let mut ben = Client::with(p.addr, &scene.ben, ALL).await;
    tier(&p, json!(1)).await;
    let begun = Instant::now();
    typing(&p, &scene).await;
    ann.dispatch("TYPING_START").await;
    assert!(begun.elapsed() >= Duration::from_millis(250));
    shows(&mut ben, "dnd").await;
    while ann.dispatch("PRESENCE_UPDATE").await["status"] != "dnd" {}
    // Whoever has spoken does not begin to type afterwards.
    typing(&p, &scene).await;
    say(p.addr, &scene.place, &scene.ben, "spoken").await;
    assert_eq!(ann.dispatch("MESSAGE_CREATE").await["content"], "spoken");
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(ann.beat().await.iter().all(|heard| heard["t"] != "TYPING_START"));
}

#[tokio::test]
async fn tier_2_tells_reactions_with_what_comes_next_or_a_second_later() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let scene = scene(&p).await;
    let mut ann = Client::with(p.addr, &scene.ann, ALL).await;
    let mut gone = Client::with(p.addr, &scene.ann, ALL).await;
    let said = say(p.addr, &scene.place, &scene.ben, "react to this").await;
    ann.dispatch("MESSAGE_CREATE").await;
    gone.dispatch("MESSAGE_CREATE").await;
    let path =
        format!("v10/channels/{}/messages/{}/reactions", scene.place.channel, said["id"].as_str().unwrap());
    let react = async |method, emoji: &str| {
        ok(p.addr, method, &format!("{path}/{emoji}/@me"), &scene.ben.token, Value::Null).await
    };
    // At tier 0 nothing else is needed: this returns without any event that follows.
    react("PUT", "%F0%9F%91%8D").await;
    ann.dispatch("MESSAGE_REACTION_ADD").await;
    gone.dispatch("MESSAGE_REACTION_ADD").await;

    tier(&p, json!(2)).await;
    // Told although nothing follows, late and in order. A presence of those who have just come would take it along, so
    // it may need another try.
    let mut tries = 0;
    loop {
        let begun = Instant::now();
        react("DELETE", "%F0%9F%91%8D").await;
        react("PUT", "%F0%9F%91%8D").await;
        ann.dispatch("MESSAGE_REACTION_REMOVE").await;
        let late = begun.elapsed();
        assert_eq!(ann.dispatch("MESSAGE_REACTION_ADD").await["emoji"]["name"], "\u{1f44d}");
        if late >= Duration::from_secs(1) {
            break;
        }
        tries += 1;
        assert!(tries < 10, "told at once: after {late:?}");
    }
    // In the order already, before the wait is over: whoever resumes is told.
    react("PUT", "%F0%9F%91%8E").await;
    let mut back = gone.resume(p.addr, &scene.ann).await;
    let replayed = back.until("RESUMED").await;
    let last = replayed.iter().rfind(|(t, _)| t.contains("REACTION")).unwrap();
    assert_eq!((last.0.as_str(), &last.1["emoji"]["name"]), ("MESSAGE_REACTION_ADD", &json!("\u{1f44e}")));
    ann.dispatch("MESSAGE_REACTION_ADD").await;

    // What follows takes it along.
    react("DELETE", "%F0%9F%91%8E").await;
    say(p.addr, &scene.place, &scene.ben, "next").await;
    let heard = ann.until("MESSAGE_CREATE").await;
    assert!(heard.iter().any(|(t, _)| t == "MESSAGE_REACTION_REMOVE"), "{heard:?}");
    // Whoever waits when the tier ends waits no longer than the others.
    react("PUT", "%F0%9F%91%8E").await;
    tier(&p, json!(0)).await;
    ann.dispatch("MESSAGE_REACTION_ADD").await;
    react("DELETE", "%F0%9F%91%8E").await;
    ann.dispatch("MESSAGE_REACTION_REMOVE").await;
}

#[tokio::test]
async fn tier_3_tells_no_presences_until_it_is_over_and_keeps_messages() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let scene = scene(&p).await;
    let mut ann = Client::with(p.addr, &scene.ann, ALL).await;
    let mut ben = Client::with(p.addr, &scene.ben, ALL).await;
    shows(&mut ben, "online").await;
    ann.dispatch("PRESENCE_UPDATE").await;
    tier(&p, json!(3)).await;
    ann.beat().await;
    shows(&mut ben, "dnd").await;
    shows(&mut ben, "idle").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    say(p.addr, &scene.place, &scene.ben, "heard all the same").await;
    let heard = ann.until("MESSAGE_CREATE").await;
    assert!(!heard.iter().any(|event| is_of(event, "PRESENCE_UPDATE", &scene.ben)), "{heard:?}");
    tier(&p, json!(0)).await;
    loop {
        let d = ann.dispatch("PRESENCE_UPDATE").await;
        if d["user"]["id"] == scene.ben.id {
            assert_eq!(d["status"], "idle", "as it is now, and not what it was in between");
            return;
        }
    }
}

#[tokio::test]
async fn tier_4_is_silent_while_messages_are_taken_and_afterwards_everybody_gets_them() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let scene = scene(&p).await;
    let mut stays = Client::with(p.addr, &scene.ann, ALL).await;
    let mut comes_back = Client::with(p.addr, &scene.ann, ALL).await;
    say(p.addr, &scene.place, &scene.ben, "before").await;
    stays.dispatch("MESSAGE_CREATE").await;
    comes_back.dispatch("MESSAGE_CREATE").await;
    tier(&p, json!(4)).await;
    stays.beat().await;
    for n in 0..20 {
        say(p.addr, &scene.place, &scene.ben, &format!("{n}")).await;
    }
    let path = format!("v10/channels/{}/messages?limit=20", scene.place.channel);
    let (status, kept) = call(p.addr, "GET", &path, &scene.ann.token, Value::Null).await;
    assert_eq!((status, kept.as_array().unwrap().len()), (200, 20));
    tokio::time::sleep(Duration::from_millis(300)).await;
    // A heartbeat is answered, and wakes nothing.
    assert_eq!((stays.beat().await, stays.beat().await), (vec![], vec![]));
    let mut comes_back = comes_back.resume(p.addr, &scene.ann).await;
    assert_eq!(comes_back.beat().await, [] as [Value; 0]);
    let mut new = Client::with(p.addr, &scene.ann, ALL).await;
    tier(&p, json!(0)).await;
    say(p.addr, &scene.place, &scene.ben, "after").await;
    for client in [&mut stays, &mut comes_back] {
        for n in 0..20 {
            assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], format!("{n}"));
        }
        assert_eq!(client.dispatch("MESSAGE_CREATE").await["content"], "after");
    }
    assert_eq!(new.dispatch("MESSAGE_CREATE").await["content"], "after");
}

#[tokio::test]
async fn what_the_shedder_left_out_is_left_out_of_a_replay_too() {
    let data = tempdir().unwrap();
    // Half of all presences, at any load.
    let half = Step { drop: Shares { p1: 0.5, ..Shares::default() }, ..Step::default() };
    let shed = shed::Policy { steps: vec![half], ..shed::Policy::s0_chat() };
    let p = Process::start_with(data.path(), Config { shed, ..config() }, &[]).await;
    let scene = scene(&p).await;
    let mut ann = Client::with(p.addr, &scene.ann, ALL).await;
    let gone = Client::with(p.addr, &scene.ann, ALL).await;
    let mut ben = Client::with(p.addr, &scene.ben, ALL).await;
    for n in 0..10 {
        shows(&mut ben, if n % 2 == 0 { "dnd" } else { "idle" }).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    say(p.addr, &scene.place, &scene.ben, "the end").await;
    let live = ann.until("MESSAGE_CREATE").await;
    let left_out = p.metric(r#"seawall_chat_events_shed_total{event="PRESENCE_UPDATE"}"#);
    assert!(left_out >= 3, "{left_out} were left out");
    let mut replayed = gone.resume(p.addr, &scene.ann).await;
    let again = replayed.until("MESSAGE_CREATE").await;
    let of_ben = |all: Vec<(String, Value)>| {
        all.into_iter()
            .filter(|e| e.1["user"]["id"] == scene.ben.id || e.0 == "MESSAGE_CREATE")
            .collect::<Vec<_>>()
    };
    assert_eq!(of_ben(again), of_ben(live));
}
