use bytes::Bytes;
use seawall_policy::Clock;
use serde_json::value::RawValue;

use super::*;
use crate::gateway::journal::{RECORD_MAX, Reader, folder};
use crate::gateway::overlong::BATCH_BYTES;
use crate::gateway::scene::{Scene, connected, identified, reached};

/// Far beyond anything a test waits for.
const HANG: Duration = Duration::from_secs(60);
const BYTES: usize = 1 << 20;

/// Something a user is told, of a mebibyte.
fn told(user: Id, at: u64) -> News {
    let d = RawValue::from_string(format!("\"{}\"", "x".repeat(BYTES - 2))).unwrap();
    let to = Audience::Users(vec![user]);
    let event = Event { t: Kind::MessageCreate, to, author: None, mentions: vec![], d };
    News::Durable { shard: 0, at: Position(at), event }
}

#[tokio::test]
async fn a_flood_of_news_goes_into_several_batches_that_each_say_how_far_they_go() {
    let scene = Scene::new().await;
    let (hub, ann) = (scene.hub().await, scene.person(5).await);
    let (link, _peer) = connected().await;
    identified(&hub, &link, &ann).await;
    let first = hub.order().reached[0].0 + 1;
    let flood: Vec<News> = (first..).map(|at| told(ann.id, at)).take(2 * BATCH_BYTES / BYTES + 1).collect();
    let mut rest = flood.into_iter();
    let (whats, left) = hub.translate(&mut rest);
    let count = BATCH_BYTES / BYTES;
    assert_eq!((whats.len(), rest.len()), (count + 1, count + 1));
    assert_eq!(whats.last(), Some(&reached(first + count as u64 - 1)));
    assert!(hub.put_at_last(whats, &left).await);
    hub.take(rest.collect()).await;
    assert_eq!(hub.order().head(), 2 * count as u64 + 1);
}

#[tokio::test]
async fn what_no_journal_takes_ends_its_session_and_holds_up_nobody() {
    let scene = Scene::new().await;
    let (hub, ann, ben) = (scene.hub().await, scene.person(5).await, scene.person(6).await);
    let ((link, mut peer), (other, _other)) = (connected().await, connected().await);
    let (ann, ben) = (identified(&hub, &link, &ann).await, identified(&hub, &other, &ben).await);
    let long = to_session(ann.id, Kind::GuildCreate, Bytes::from(vec![b' '; RECORD_MAX / 2]));
    let short = to_session(ben.id, Kind::MessageCreate, "{}");
    let head = hub.order().head();
    let batch = vec![long.clone(), short, long, reached(9)];
    assert!(tokio::time::timeout(HANG, hub.put_at_last(batch, &[])).await.expect("it is tried for ever"));
    assert!(hub.session(ann.id).is_none());
    assert_eq!(peer.next().await.unwrap()["t"], "READY");
    assert_eq!(peer.next().await.unwrap()["op"], 9);
    assert_eq!(peer.next().await, Err(4000));
    assert!(hub.session(ben.id).is_some());
    assert_eq!(hub.order().head(), head + 2);
}

#[tokio::test]
async fn a_segment_says_nothing_of_news_that_are_not_in_the_journal_yet() {
    let scene = Scene::new().await;
    let (hub, ann) = (scene.hub().await, scene.person(5).await);
    let (link, _peer) = connected().await;
    identified(&hub, &link, &ann).await;
    let before = hub.order().reached.clone();
    let next = before[0].0 + 1;
    let (whats, left) = hub.translate(&mut vec![told(ann.id, next)].into_iter());
    scene.clock.skip(Duration::from_secs(60));
    hub.roll(scene.clock.now());
    let load = || Reader::open(&folder(&hub.journals, &hub.gateway), &hub.boot).unwrap().load(BYTES).unwrap();
    assert_eq!(load().positions, before);
    assert!(hub.put_at_last(whats, &left).await);
    assert_eq!(&*load().positions, &[Position(next)]);
}
