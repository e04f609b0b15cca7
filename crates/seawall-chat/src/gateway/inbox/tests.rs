use seawall_net::telemetry::Scope;
use seawall_policy::shed::{self, Load};
use seawall_policy::{Wall, ladder};
use serde_json::value::to_raw_value;

use super::*;
use crate::event::Audience;

const ROOM: Audience = Audience::Channel { guild: Id(1), channel: Id(2) };

struct Scene {
    inbox: Inbox,
    metrics: Scope,
}

fn scene() -> Scene {
    let metrics = Scope::new("chat");
    let calm = Calm {
        admission: Admission::shedding(1000, shed::Policy::s0_chat(), &metrics),
        ladder: Ladder::new(ladder::Policy::s0_chat_verbatim(), Mono(0), &metrics),
    };
    Scene { inbox: Inbox::new(calm, Metrics::new(&metrics)), metrics }
}

impl Scene {
    fn load(&self, cpu: f64) {
        self.inbox.calm.admission.observe(Load { cpu, ..Load::default() }, Wall(0));
    }

    fn tier(&self, level: u8) {
        self.inbox.ladder().pin(Some(level), Mono(0)).unwrap();
    }

    fn shed(&self, event: &str) -> usize {
        let line = format!("seawall_chat_events_shed_total{{event=\"{event}\"}} ");
        let page = self.metrics.encode();
        page.lines().find_map(|l| l.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    }
}

fn event(t: Kind, author: u64) -> Event {
    Event { t, to: ROOM, author: Some(Id(author)), mentions: vec![], d: to_raw_value(&()).unwrap() }
}

fn at(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

#[derive(Debug, PartialEq)]
enum Told {
    Now,
    Later,
    Never,
}

fn typing(scene: &Scene) -> Told {
    if scene.inbox.ephemeral(event(Kind::TypingStart, 3), at(0)).is_some() {
        return Told::Now;
    }
    assert_eq!(scene.inbox.take(at(249)).0.len(), 0);
    if scene.inbox.take(at(250)).0.is_empty() { Told::Never } else { Told::Later }
}

#[test]
fn typing_is_late_from_85_percent_or_in_tier_1_and_lost_from_95_percent_or_in_tier_4() {
    for (load, tier, told) in [
        (0.0, 0, Told::Now),
        (0.84, 0, Told::Now),
        (0.70, 1, Told::Later),
        (0.85, 0, Told::Later),
        (0.94, 3, Told::Later),
        (0.95, 0, Told::Never),
        (0.95, 1, Told::Never),
        (0.0, 3, Told::Later),
        (0.0, 4, Told::Never),
    ] {
        let scene = scene();
        scene.load(load);
        scene.tier(tier);
        assert_eq!(typing(&scene), told, "load {load}, tier {tier}");
        assert_eq!(scene.shed("TYPING_START"), usize::from(told == Told::Never));
    }
}

#[test]
fn one_presence_in_ten_is_told_from_95_percent_and_none_in_tier_3() {
    for (load, tier, told) in [(0.94, 2, 1000), (0.95, 0, 100), (0.95, 2, 100), (0.0, 3, 0), (0.0, 4, 0)] {
        let scene = scene();
        scene.load(load);
        scene.tier(tier);
        let count = (0..1000).filter(|user| scene.inbox.presence(Id(*user), at(0))).count();
        assert_eq!(count, told, "load {load}, tier {tier}");
        assert_eq!(scene.shed("PRESENCE_UPDATE"), 1000 - told);
    }
}

#[test]
fn users_whose_presence_was_left_out_are_told_once_when_there_is_room_again() {
    let scene = scene();
    scene.tier(3);
    for user in [1, 2, 2, 3] {
        assert!(!scene.inbox.presence(Id(user), at(0)));
    }
    assert_eq!(scene.inbox.due(), Some(at(1000)));
    assert_eq!(scene.inbox.take(at(1000)).1, []);
    assert_eq!(scene.inbox.due(), Some(at(2000)));
    scene.tier(0);
    assert!(scene.inbox.presence(Id(3), at(1500)), "told by itself, and so not owed any more");
    let mut users = scene.inbox.take(at(2000)).1;
    users.sort_unstable();
    assert_eq!((users, scene.inbox.due()), (vec![Id(1), Id(2)], None));
}

#[test]
fn who_has_spoken_is_not_typing_any_more() {
    let scene = scene();
    scene.tier(1);
    for author in [3, 4] {
        assert!(scene.inbox.ephemeral(event(Kind::TypingStart, author), at(0)).is_none());
    }
    scene.inbox.said(&event(Kind::MessageUpdate, 4));
    scene.inbox.said(&event(Kind::MessageCreate, 3));
    let late: Vec<_> = scene.inbox.take(at(250)).0.into_iter().map(|event| event.author).collect();
    assert_eq!(late, [Some(Id(4))]);
}

#[test]
fn no_more_typing_waits_than_there_is_room_for() {
    let scene = scene();
    scene.tier(1);
    for author in 0..TYPING_MAX as u64 + 7 {
        assert!(scene.inbox.ephemeral(event(Kind::TypingStart, author), at(0)).is_none());
    }
    assert_eq!((scene.inbox.take(at(250)).0.len(), scene.shed("TYPING_START")), (TYPING_MAX, 7));
}
