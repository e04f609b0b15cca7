//! The documents' ladders, rung by rung. A test in `tests/it/ladder.rs` holds each number.
//!
//! The documents say when a level begins and never when it ends. A rung without an exit is never left, and one
//! whose exit is merely "no longer" is left and entered by noise, so the check refuses both. Hence also the
//! `-verbatim` variants take the documents' *triggers* to the letter, without a time to hold, without a minimum
//! of evidence and without grace, and get our exits and the least dwell there is. The balancer's and the
//! client's tables are used as they are written; they need no such variant, but for fail-closed.

use std::time::Duration;

use super::policy::{DWELL_MIN, Policy, Rung};

/// Names that [`preset`] knows.
pub const PRESETS: &[&str] = &[
    "s0-chat",
    "s0-chat-verbatim",
    "s1-feed",
    "s1-feed-verbatim",
    "s1-shard",
    "s3-balancer",
    "s4-client",
    "s4-client-closed",
    "s4-client-closed-verbatim",
];

/// Where nothing is left to call, a false all-clear must not bar the way back for long.
const HARD_LOSS: Duration = Duration::from_secs(10);

/// One of the documents' ladders by name.
#[must_use]
pub fn preset(name: &str) -> Option<Policy> {
    Some(match name {
        "s0-chat" => Policy::s0_chat(),
        "s0-chat-verbatim" => Policy::s0_chat_verbatim(),
        "s1-feed" => Policy::s1_feed(),
        "s1-feed-verbatim" => Policy::s1_feed_verbatim(),
        "s1-shard" => Policy::s1_shard(),
        "s3-balancer" => Policy::s3_balancer(),
        "s4-client" => Policy::s4_client(),
        "s4-client-closed" => Policy::s4_client_closed(),
        "s4-client-closed-verbatim" => Policy::s4_client_closed_verbatim(),
        _ => return None,
    })
}

impl Policy {
    /// Chat (S0), Feature Degradation Tiers. The document's conditions are words ("high load"); the numbers
    /// are those of its Load Shedding Strategy, so that a tier and a shedding step begin at the same load: the
    /// step at once, the tier when the load has lasted for as long as the tier will. Each is left ten points
    /// lower. The last is for an operator, and for the loss of the bus that carries events between gateways.
    #[must_use]
    pub fn s0_chat() -> Policy {
        let rungs = [
            Rung {
                enter: when("load >= 70% for 30s"),
                exit: when("load < 60% for 30s"),
                ..Rung::s0_tier_1()
            },
            Rung {
                enter: when("load >= 85% for 30s"),
                exit: when("load < 75% for 30s"),
                ..Rung::s0_tier_2()
            },
            Rung {
                enter: when("load >= 95% for 30s"),
                exit: when("load < 85% for 30s"),
                ..Rung::s0_tier_3()
            },
            Rung { enter: when("bus == lost for 15s"), exit: when("bus == up for 30s"), ..Rung::s0_tier_4() },
        ];
        Policy { rung: rungs.into() }
    }

    /// Chat (S0) to the letter: no condition has a number or names what to measure, so an operator judges.
    #[must_use]
    pub fn s0_chat_verbatim() -> Policy {
        let rungs = [Rung::s0_tier_1(), Rung::s0_tier_2(), Rung::s0_tier_3(), Rung::s0_tier_4()];
        Policy { rung: rungs.map(|rung| Rung { manual: true, ..rung }).into() }
    }

    /// Feed (S1), Graceful Degradation Levels, as they can be measured and left again.
    ///
    /// The first needs a call timeout above its 100 ms, of 150 ms: with the document's 50 ms no call ever takes
    /// as long. The second spares every cold start. The third speaks of the whole site, and so of how many
    /// shards are degraded: one bad shard of 100,000 must not stop all writes ([`Policy::s1_shard`] is each
    /// shard's own ladder). The fourth is entered when more than half of the observers agree, and left when
    /// the failover says that the region is home again: a region that merely answers is fenced and stale.
    #[must_use]
    pub fn s1_feed() -> Policy {
        let rungs = [
            Rung {
                enter: when("p95(ranking) > 100ms for 10s or breaker(ranking) != closed"),
                exit: when("p95(ranking) < 60ms for 30s"),
                ..Rung::s1_level_1()
            },
            Rung {
                enter: when("hit(feed-cache) < 50%"),
                exit: when("hit(feed-cache) > 60%"),
                grace: Duration::from_secs(120),
                ..Rung::s1_level_2()
            },
            Rung {
                enter: when("degraded(shards) > 20%"),
                exit: when("degraded(shards) < 10% for 60s"),
                ..Rung::s1_level_3()
            },
            Rung {
                enter: when("unreachable(region) > 50% for 15s"),
                exit: when("failover(region) == home"),
                ..Rung::s1_level_4()
            },
        ];
        Policy { rung: rungs.into() }
    }

    /// Feed (S1) with the document's triggers to the letter. The first cannot be reached with its call timeout
    /// of 50 ms, and the third stops the whole site for one bad shard.
    #[must_use]
    pub fn s1_feed_verbatim() -> Policy {
        let rungs = [
            Rung {
                enter: when("p95(ranking) > 100ms"),
                exit: when("p95(ranking) < 60ms"),
                ..Rung::s1_level_1()
            },
            Rung {
                enter: when("hit(feed-cache) < 50%"),
                exit: when("hit(feed-cache) > 60%"),
                ..Rung::s1_level_2()
            },
            Rung {
                enter: when("errors(graph) > 1%"),
                exit: when("errors(graph) < 0.2%"),
                ..Rung::s1_level_3()
            },
            Rung {
                enter: when("region == unreachable"),
                exit: when("region == reachable"),
                ..Rung::s1_level_4()
            },
        ];
        Policy { rung: rungs.map(|rung| Rung { dwell: DWELL_MIN, ..rung }).into() }
    }

    /// Feed (S1), level 3 of one shard of the graph: the document's 1 % of errors, of that shard's own calls.
    #[must_use]
    pub fn s1_shard() -> Policy {
        let rung = Rung {
            name: "shard degraded".to_owned(),
            enter: when("errors(shard) > 1%"),
            exit: when("errors(shard) < 0.2% for 60s"),
            ..Rung::s1_level_3()
        };
        Policy { rung: vec![rung] }
    }

    /// Balancer (S3): the four rows of Graceful Degradation, and the attack of Disaster Scenarios and Response.
    ///
    /// A spike is more than four times the usual rate, because three times for five minutes is the document's
    /// own load test, to be carried and not throttled. Losing the store or a checker is known from one who
    /// asks every few seconds, so it must last for three of its tries.
    #[must_use]
    pub fn s3_balancer() -> Policy {
        let rungs = [
            Rung {
                enter: when("checker == down for 15s"),
                exit: when("checker == up for 15s"),
                ..Rung::of(1, "health checker down", &["health=frozen", "checker=secondary", "alert=on"])
            },
            Rung {
                enter: when("store == down for 15s"),
                exit: when("store == up for 15s"),
                ..Rung::of(2, "configuration store down", &["configuration=cached", "alert=on"])
            },
            Rung {
                enter: when("spike(requests) > 4 for 30s"),
                exit: when("spike(requests) < 2 for 300s"),
                ..Rung::of(3, "traffic spike", &["rate-limit=strict", "scrubbing=wanted", "alert=on"])
            },
            Rung {
                enter: when("up(backends) <= 50%"),
                exit: when("up(backends) > 60% for 10s"),
                dwell: HARD_LOSS,
                ..Rung::of(4, "half of the backends down", &["traffic=to-the-rest"])
            },
            Rung {
                enter: when("up(backends) == 0%"),
                exit: when("up(backends) > 10% for 10s"),
                dwell: HARD_LOSS,
                ..Rung::of(5, "all backends down", &["traffic=to-any", "answer=cached-or-error", "alert=on"])
            },
        ];
        Policy { rung: rungs.into() }
    }

    /// Registry client (S4), Client Fallback Strategies and Fail-Open: fresh, cached, static, and with nothing
    /// left an empty list.
    #[must_use]
    pub fn s4_client() -> Policy {
        let rungs = [
            Rung::s4_cached(),
            Rung {
                enter: when("registry == down and cache == empty"),
                exit: when("registry == up for 10s or cache == filled"),
                ..Rung::s4(2, "static endpoints", &["instances=static", "log=warn"])
            },
            Rung {
                enter: when("registry == down and cache == empty and static == empty"),
                exit: when("registry == up for 10s or cache == filled or static == filled"),
                ..Rung::s4(3, "nothing known", &["instances=none", "log=error"])
            },
        ];
        Policy { rung: rungs.into() }
    }

    /// Registry client (S4), Fail-Closed, softened: what the cache holds is used until it is an hour old. The
    /// document refuses at once, so that every restart of the registry would be everyone's outage.
    #[must_use]
    pub fn s4_client_closed() -> Policy {
        let rungs = [
            Rung::s4_cached(),
            Rung {
                enter: when("registry == down and cache == empty or age(instances) > 1h"),
                exit: when("registry == up for 10s and age(instances) < 1m"),
                ..Rung::s4(2, "discovery failed", &["instances=refused", "log=error"])
            },
        ];
        Policy { rung: rungs.into() }
    }

    /// Registry client (S4), Fail-Closed to the letter: refused from the first failure on.
    #[must_use]
    pub fn s4_client_closed_verbatim() -> Policy {
        let rung = Rung {
            enter: when("registry == down"),
            exit: when("registry == up"),
            dwell: DWELL_MIN,
            ..Rung::s4(1, "discovery failed", &["instances=refused", "log=error"])
        };
        Policy { rung: vec![rung] }
    }
}

impl Rung {
    fn of(level: u8, name: &str, effects: &[&str]) -> Rung {
        Rung {
            level,
            name: name.to_owned(),
            dwell: Duration::from_secs(30),
            effects: effects.iter().map(|effect| (*effect).to_owned()).collect(),
            ..Rung::default()
        }
    }

    fn s0_tier_1() -> Rung {
        Rung::of(1, "high load", &["search=slow", "typing=delayed"])
    }

    fn s0_tier_2() -> Rung {
        Rung::of(2, "partial outage", &["search=off", "reactions=delayed"])
    }

    fn s0_tier_3() -> Rung {
        Rung::of(3, "major outage", &["presence=off", "history=limited"])
    }

    fn s0_tier_4() -> Rung {
        Rung::of(4, "critical", &["real-time=off", "delivery=push-only", "messages=queued"])
    }

    /// The lighter model before the cached scores: it is truer to the reader than what was true once.
    fn s1_level_1() -> Rung {
        Rung::of(1, "ranking degraded", &["ranking=light", "ranking-fallback=cached", "candidates=half"])
    }

    /// Reading posts from friends directly loads the graph just when the cache does not shield it: bounded.
    fn s1_level_2() -> Rung {
        let effects = ["ranking=chronological", "posts=bounded-pull", "cache-ttl=4x"];
        Rung::of(2, "feed cache degraded", &effects)
    }

    fn s1_level_3() -> Rung {
        Rung::of(3, "graph degraded", &["reads=stale", "writes=off", "banner=connectivity-issues"])
    }

    fn s1_level_4() -> Rung {
        Rung::of(4, "regional failover", &["region=backup", "staleness=shown"])
    }

    fn s4_cached() -> Rung {
        Rung {
            enter: when("registry == down"),
            exit: when("registry == up for 10s"),
            ..Rung::s4(1, "registry unreachable", &["instances=cached", "log=warn"])
        }
    }

    fn s4(level: u8, name: &str, effects: &[&str]) -> Rung {
        Rung { dwell: HARD_LOSS, ..Rung::of(level, name, effects) }
    }
}

/// A condition of ours.
fn when(text: &str) -> Option<super::Condition> {
    match text.parse() {
        Ok(condition) => Some(condition),
        Err(error) => panic!("a preset must be readable: {error}"),
    }
}
