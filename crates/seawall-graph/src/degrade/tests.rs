use std::sync::atomic::{AtomicU64, Ordering};

use seawall_net::telemetry::Scope;
use seawall_policy::Wall;

use super::*;

/// A clock turned by hand, in milliseconds.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Mono {
        Mono((1_000 + self.0.load(Ordering::Relaxed)) * 1_000_000)
    }
    fn wall(&self) -> Wall {
        Wall(0)
    }
}

struct Rig {
    ladders: Ladders,
    hand: Arc<Hand>,
}

impl Rig {
    fn new() -> Rig {
        let hand = Arc::new(Hand::default());
        let clock: Arc<dyn Clock> = hand.clone();
        let config = Config { shards: 3, ..Config::default() };
        let ladders = Ladders::new(&config, &clock, &Metrics::new(&Scope::new("graph")));
        ladders.set_stage(Stage::Leading);
        Rig { ladders, hand }
    }

    fn now(&self) -> Mono {
        self.hand.now()
    }

    fn calls(&self, shard: u32, way: Way, outcome: Outcome, times: usize) {
        for _ in 0..times {
            if let Ok(pass) = self.ladders.admit(shard, way, self.now()) {
                pass.report(outcome);
            }
        }
    }

    /// A second with so many good reads of the second shard, and then a look at it.
    fn second(&self, reads: usize) {
        self.hand.0.fetch_add(1000, Ordering::Relaxed);
        self.calls(1, Way::Read, Outcome::Success, reads);
        self.ladders.step(self.now());
    }

    fn says(&self) -> String {
        self.ladders.state().borrow().to_string()
    }
}

#[test]
fn one_percent_of_errors_make_reads_stale_and_refuse_writes_of_that_shard_alone() {
    let rig = Rig::new();
    rig.calls(1, Way::Read, Outcome::Success, 300);
    rig.calls(1, Way::Read, Outcome::Failed, 4);
    rig.second(0);
    assert!(rig.ladders.prefers_memory(1));
    let refused = Refusal::ReadOnly { shard: 1, retry_ms: 10_000 };
    assert_eq!(rig.ladders.may_write(1, rig.now()), Err(refused));
    for shard in [0, 2] {
        assert!(!rig.ladders.prefers_memory(shard));
        assert_eq!(rig.ladders.may_write(shard, rig.now()), Ok(()));
    }
    assert_eq!(rig.says(), "degraded: answers are from memory and may be old (shard 1); no writes (shard 1)");
    assert!(rig.ladders.state().borrow().is_ready());
    let report = rig.ladders.report(1);
    assert_eq!((report.level, report.reads), (3, "closed"));
    assert!(report.why.contains("errors(shard)"), "{}", report.why);
}

#[test]
fn four_errors_of_a_quiet_shard_are_an_accident() {
    let rig = Rig::new();
    rig.calls(1, Way::Read, Outcome::Failed, 4);
    rig.second(100);
    assert_eq!(rig.says(), "ready");
}

#[test]
fn a_quiet_shard_comes_back_by_the_calls_the_leader_makes_itself() {
    let rig = Rig::new();
    rig.calls(1, Way::Read, Outcome::Success, 300);
    rig.calls(1, Way::Read, Outcome::Failed, 4);
    rig.second(0);
    assert_eq!(rig.ladders.probes(0), 0, "nobody asks a shard that is well");
    for second in 0.. {
        let probes = rig.ladders.probes(1);
        if probes == 0 {
            break;
        }
        assert!(second < 120, "still degraded after two minutes");
        rig.second(usize::try_from(probes).unwrap());
    }
    // Ten seconds until the errors are forgotten, sixty without any.
    assert_eq!(rig.says(), "ready");
    assert_eq!(rig.ladders.may_write(1, rig.now()), Ok(()));
}

#[test]
fn writes_that_fail_are_left_alone_and_reads_go_on() {
    let rig = Rig::new();
    rig.calls(1, Way::Write, Outcome::Failed, 5);
    let refused = Refusal::ReadOnly { shard: 1, retry_ms: 30_000 };
    assert_eq!(rig.ladders.admit(1, Way::Write, rig.now()).err(), Some(refused));
    assert!(rig.ladders.admit(1, Way::Read, rig.now()).is_ok());
    assert!(rig.ladders.admit(0, Way::Write, rig.now()).is_ok());
    assert_eq!(rig.says(), "degraded: no writes (shard 1)");
}

#[test]
fn while_a_shard_cannot_be_read_it_is_not_written_either() {
    let rig = Rig::new();
    rig.calls(2, Way::Read, Outcome::Timeout, 5);
    let retry_ms = 30_000;
    assert_eq!(
        rig.ladders.admit(2, Way::Read, rig.now()).err(),
        Some(Refusal::Unavailable { shard: 2, retry_ms })
    );
    assert_eq!(rig.ladders.may_write(2, rig.now()), Err(Refusal::ReadOnly { shard: 2, retry_ms }));
    // Its time is over: a few may test it, and the leader does so by itself.
    rig.hand.0.store(31_000, Ordering::Relaxed);
    assert_eq!(rig.ladders.probes(2), 3);
    rig.calls(2, Way::Read, Outcome::Success, 2);
    assert_eq!((rig.says().as_str(), rig.ladders.probes(2)), ("ready", 0));
}

#[test]
fn being_busy_is_no_loss_and_leaving_says_nothing() {
    let rig = Rig::new();
    rig.calls(1, Way::Write, Outcome::Overloaded, 300);
    for _ in 0..300 {
        drop(rig.ladders.admit(1, Way::Write, rig.now()));
    }
    rig.second(300);
    assert_eq!(rig.says(), "ready");
}

#[test]
fn a_pin_holds_until_it_is_taken_off_and_only_where_it_was_put() {
    let rig = Rig::new();
    assert!(rig.ladders.pin(0, Some(2), rig.now()).is_err(), "there is no level 2");
    rig.ladders.pin(0, Some(3), rig.now()).unwrap();
    assert!(rig.ladders.prefers_memory(0) && !rig.ladders.prefers_memory(1));
    assert_eq!(rig.ladders.report(0).pinned, Some(3));
    rig.ladders.pin(0, None, rig.now()).unwrap();
    assert_eq!(rig.says(), "ready");
}

#[test]
fn who_stands_by_is_not_ready_and_news_that_fail_are_said() {
    let rig = Rig::new();
    rig.ladders.news(0, false);
    assert_eq!(rig.says(), "degraded: changes cannot be followed (shard 0)");
    rig.ladders.news(0, true);
    assert_eq!(rig.says(), "ready");
    rig.ladders.set_stage(Stage::Standby);
    assert!(!rig.ladders.state().borrow().is_ready());
}
