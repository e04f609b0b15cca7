use std::sync::atomic::{AtomicU64, Ordering};

use seawall_policy::Wall;
use tokio::sync::oneshot;

use super::*;
use crate::gateway::ring::Batch;
use crate::gateway::scene::{Scene, connected, identified, resumed};

/// Goes on whenever it is looked at.
struct Steps(AtomicU64);

impl Clock for Steps {
    fn now(&self) -> Mono {
        Mono(self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn wall(&self) -> Wall {
        Wall(0)
    }
}

fn read(head: u64, is_live: bool) -> (Option<Arc<Load>>, bool) {
    let load = Load { marks: HashMap::new(), batch: Batch::new(head, [].into()), positions: [].into() };
    (Some(Arc::new(load)), is_live)
}

#[tokio::test]
async fn a_journal_that_is_still_written_is_read_after_whoever_needs_it_has_come() {
    let (strangers, clock) = (Strangers::default(), Steps(AtomicU64::new(0)));
    let (go, gate) = oneshot::channel::<()>();
    let slow = async {
        gate.await.unwrap();
        read(1, true)
    };
    let (first, second, third, ()) = tokio::join!(
        strangers.load("a", &clock, slow),
        // These come while it is being read.
        strangers.load("a", &clock, async { read(2, true) }),
        strangers.load("a", &clock, async { read(3, true) }),
        async { go.send(()).unwrap() },
    );
    let heads = [first, second, third].map(|load| load.unwrap().batch.head());
    assert_eq!(heads, [1, 2, 2], "together, but of no earlier reading");
    // Its gateway has died; once that is known it is read no more.
    for _ in 0..2 {
        let load = strangers.load("a", &clock, async { read(4, false) }).await;
        assert_eq!(load.unwrap().batch.head(), 4);
    }
    let load = strangers.load("a", &clock, async { panic!("it cannot have changed") }).await;
    assert_eq!(load.unwrap().batch.head(), 4);
}

#[tokio::test]
async fn a_client_that_has_hung_up_moves_no_session() {
    let scene = Scene::new().await;
    let (old, new, ann) = (scene.hub().await, scene.hub().await, scene.person(5).await);
    let (link, _peer) = connected().await;
    let session = identified(&old, &link, &ann).await;
    let record = scene.record(&session).await;
    let (late, peer) = connected().await;
    drop(peer);
    late.stream.readable().await.unwrap();
    while !late.is_left().await {
        tokio::task::yield_now().await;
    }
    assert!(!resumed(&new, &late, &ann, &session, 1).await);
    assert_eq!(scene.record(&session).await, record);
    let (link, _peer) = connected().await;
    assert!(resumed(&new, &link, &ann, &session, 1).await);
}
