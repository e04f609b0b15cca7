use bytes::Bytes;
use seawall_policy::Clock;

use super::*;
use crate::gateway::journal::RECORD_MAX;
use crate::gateway::scene::{Scene, connected, identified, put, resumed};
use crate::gateway::session::State;

#[tokio::test]
async fn who_resumes_where_its_session_is_cannot_lose_it_to_an_earlier_attempt_elsewhere() {
    let scene = Scene::new().await;
    let (hub, other, ann) = (scene.hub().await, scene.hub().await, scene.person(5).await);
    let (link, _peer) = connected().await;
    let session = identified(&hub, &link, &ann).await;
    // Another gateway has read where the session is, and the journal there.
    let seen = scene.record(&session).await;
    let (link, _peer) = connected().await;
    assert!(resumed(&hub, &link, &ann, &session, 1).await);
    let from = (seen.gateway.as_str(), seen.generation);
    assert!(!scene.storage.session_take(&seen.id, from, &other.gateway).await.unwrap(), "too late");
    // What is in the journal since then says the same as the record: a later attempt moves it.
    let (link, _peer) = connected().await;
    assert!(resumed(&other, &link, &ann, &session, 2).await);
    assert_eq!(scene.record(&session).await.gateway, other.gateway);
}

#[tokio::test]
async fn two_attempts_at_one_session_leave_it_to_the_first() {
    let scene = Scene::new().await;
    let (old, hub, ann) = (scene.hub().await, scene.hub().await, scene.person(5).await);
    let (link, _peer) = connected().await;
    let session = identified(&old, &link, &ann).await;
    let seen = scene.record(&session).await;
    let (link, _peer) = connected().await;
    assert!(resumed(&hub, &link, &ann, &session, 1).await);
    let (late, _peer) = connected().await;
    // It has looked before the first was done.
    let second = hub.go_on(&late, session.id, 1, &seen).await;
    assert!(matches!(second, Err(Refusal::Close(Close::Again(_)))));
    let here = hub.session(session.id).expect("it is still there");
    assert!(here.lock().link.as_ref().is_some_and(|own| Arc::ptr_eq(own, &link)));
}

#[tokio::test]
async fn a_session_that_ended_while_it_was_taken_over_gets_no_connection() {
    let scene = Scene::new().await;
    let (hub, ann) = (scene.hub().await, scene.person(5).await);
    let (link, _peer) = connected().await;
    let session = identified(&hub, &link, &ann).await;
    hub.end(&session);
    let fold = session.lock().fold.clone();
    let (late, _peer) = connected().await;
    let attached = hub.attach(&mut hub.order(), &late, &session, fold, 1, true);
    assert!(matches!(attached, Err(Refusal::Invalid(_))));
    assert!(session.lock().link.is_none());
}

#[tokio::test]
async fn a_client_that_never_says_what_it_has_does_not_keep_the_journal() {
    let scene = Scene::new().await;
    let (hub, ann, ben) = (scene.hub().await, scene.person(5).await, scene.person(6).await);
    let ((mute, _peer), (link, _other)) = (connected().await, connected().await);
    let (mute, says) = (identified(&hub, &mute, &ann).await, identified(&hub, &link, &ben).await);
    let tell = |session: &Session| put(&hub, vec![to_session(session.id, Kind::MessageCreate, "{}")]);
    tell(&mute);
    tell(&says);
    hub.flush().await;
    scene.clock.skip(hub.marks_kept());
    {
        let State { acks, fold, .. } = &mut *says.lock();
        acks.acked(fold.s, fold, scene.clock.now());
    }
    tell(&says);
    hub.flush().await;
    hub.roll(scene.clock.now());
    assert_eq!((mute.mark().fold.s, says.mark().fold.s), (2, 2));
    let (link, _peer) = connected().await;
    assert!(!resumed(&hub, &link, &ann, &mute, 1).await, "nobody knows what it has missed");
    assert!(resumed(&hub, &link, &ben, &says, 2).await);
    let folder = journal::folder(&hub.journals, &hub.gateway);
    let load = Reader::open(&folder, &hub.boot).unwrap().load(1 << 20).unwrap();
    assert_eq!(load.marks.values().map(|mark| mark.fold.lsn).min(), Some(2));
}

#[tokio::test]
async fn more_than_a_journal_ever_takes_is_too_much_to_resume() {
    let scene = Scene::new().await;
    let (hub, session) = (scene.hub().await, SessionId([7; 16]));
    let long = to_session(session, Kind::GuildCreate, Bytes::from(vec![b' '; RECORD_MAX / 2]));
    let refused = hub.append(&mut hub.order(), vec![long.clone(), long]).expect_err("too long");
    assert!(matches!(not_taken(refused), Refusal::Invalid(Resume::TooFar)));
}
