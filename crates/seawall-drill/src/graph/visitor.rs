//! One client that makes objects and associations, changes and deletes them, and reads back what it wrote.
//!
//! What it writes about is its own: no other client changes these objects and pairs, so it always knows exactly what
//! it must read. Only one object belongs to all, and each has its own associations with it.
//!
//! A careful one writes with keys until it is answered. A careless one writes once, without a key, and gives up where
//! no answer comes: what it began there is the server's to put in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use seawall_policy::{Clock, Mono, Rng};

use super::caller::Caller;
use super::ledger::{Edge, FRIEND, LIKES, Ledger, List, Object, REQUESTED, inverse};
use super::resp::Reply;

/// Objects one client makes at most.
const OBJECTS_MAX: usize = 24;
/// Objects it has before it begins with associations.
const OBJECTS_MIN: usize = 4;
/// Between two of its operations, milliseconds at most.
const PAUSE_MS_MAX: u64 = 8;
/// Oddities described in words; all are counted.
const NAMED_MAX: usize = 5;
/// Longest list that is read back in one piece.
const LIST_MAX: usize = 1_000;

/// What visitors and the script tell each other.
#[derive(Debug, Default)]
pub struct Shared {
    /// No more writes.
    pub over: AtomicBool,
    /// Reads that did not show what their reader had written.
    pub broken: AtomicU64,
}

/// When a visitor last began what succeeded; 0: never.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// The moment.
    #[must_use]
    pub fn last(&self) -> Mono {
        Mono(self.0.load(Ordering::Relaxed))
    }
}

/// What a visitor can tell in the end.
#[derive(Debug, Default)]
pub struct Seen {
    /// What must be there.
    pub ledger: Ledger,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Writes that were given up.
    pub given_up: u64,
    /// Answers that are not what the ledger says.
    pub odd_answers: u64,
    /// Reads that did not show what was written.
    pub broken: u64,
    /// Some of these, in words.
    pub named: Vec<String>,
}

/// A client.
pub struct Visitor {
    caller: Caller,
    number: usize,
    is_careful: bool,
    /// Everybody's object.
    shared_object: u64,
    rng: Rng,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    pulse: Pulse,
    /// Objects it may still write about.
    mine: Vec<u64>,
    /// Operations begun: names keys, times and values.
    count: u64,
    /// What the last acknowledged write was about, to be looked at after a reconnection.
    last: Option<About>,
    opened: u64,
    seen: Seen,
}

#[derive(Debug, Clone, Copy)]
enum About {
    Object(u64),
    Edge(Edge),
}

impl Visitor {
    /// The `number`-th client of `to`.
    #[must_use]
    pub fn new(
        to: SocketAddr,
        number: usize,
        is_careful: bool,
        shared_object: u64,
        seed: u64,
        clock: Arc<dyn Clock>,
        shared: Arc<Shared>,
    ) -> Visitor {
        Visitor {
            caller: Caller::new(to),
            number,
            is_careful,
            shared_object,
            rng: Rng::new(seed),
            clock,
            shared,
            pulse: Pulse::default(),
            mine: Vec::new(),
            count: 0,
            last: None,
            opened: 0,
            seen: Seen::default(),
        }
    }

    /// Shows from outside that it gets answers.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Goes on until it is over.
    pub async fn run(mut self) -> Seen {
        while !self.shared.over.load(Ordering::Relaxed) {
            self.count += 1;
            self.step().await;
            tokio::time::sleep(Duration::from_millis(self.rng.below(PAUSE_MS_MAX))).await;
        }
        self.seen
    }

    async fn step(&mut self) {
        if self.mine.len() < OBJECTS_MIN {
            return self.make().await;
        }
        match self.rng.below(100) {
            0..8 if self.mine.len() < OBJECTS_MAX => self.make().await,
            0..20 => self.update().await,
            20..50 => self.like().await,
            50..60 => self.unlike().await,
            60..70 => self.request().await,
            70..80 => self.befriend().await,
            80..82 if self.mine.len() > OBJECTS_MIN + 2 => self.remove().await,
            _ => self.look_around().await,
        }
    }

    async fn make(&mut self) {
        let name = format!("v{}-{}", self.number, self.count);
        let written = self.write(&["OBJ.ADD", "user"], &["FIELDS", "name", &name]).await;
        if let Some(Reply::Number(id)) = written
            && let Ok(id) = u64::try_from(id)
        {
            self.mine.push(id);
            self.seen.ledger.objects.insert(id, Object { version: 1, name: Some(name) });
            self.acknowledged(About::Object(id)).await;
        } else if let Some(other) = written {
            self.odd(format!("OBJ.ADD of {name}: {other:?}"));
        }
    }

    async fn update(&mut self) {
        let id = self.any_of_mine();
        let name = format!("v{}-{}", self.number, self.count);
        let written = self.write(&["OBJ.UPDATE", &id.to_string()], &["FIELDS", "name", &name]).await;
        self.changed(id, Some(name), written, |version| version + 1).await;
    }

    async fn remove(&mut self) {
        let id = self.any_of_mine();
        let written = self.write(&["OBJ.DELETE", &id.to_string()], &[]).await;
        self.changed(id, None, written, |_| 1).await;
        self.mine.retain(|mine| *mine != id);
    }

    /// An object was changed, or may have been.
    async fn changed(
        &mut self,
        id: u64,
        name: Option<String>,
        written: Option<Reply>,
        expected: impl Fn(u64) -> u64,
    ) {
        let Some(reply) = written else {
            // Nothing is known of it from here on.
            self.seen.ledger.give_up(id, id);
            self.mine.retain(|mine| *mine != id);
            return;
        };
        let Some(object) = self.seen.ledger.objects.get_mut(&id) else { return };
        let expected = expected(object.version);
        *object = Object { version: object.version + 1, name };
        if reply.number() != Some(expected) {
            self.odd(format!("a change of {id}: {reply:?} instead of {expected}"));
        }
        self.acknowledged(About::Object(id)).await;
    }

    async fn like(&mut self) {
        let id1 = self.any_of_mine();
        // Whoever gives up would leave everybody's list in doubt.
        let is_shared = self.is_careful && self.rng.below(3) == 0;
        let id2 = if is_shared { self.shared_object } else { self.any_of_mine() };
        self.add((id1, LIKES, id2)).await;
    }

    async fn request(&mut self) {
        let edge = (self.any_of_mine(), REQUESTED, self.any_of_mine());
        self.add(edge).await;
    }

    async fn add(&mut self, edge: Edge) {
        let time = self.count;
        let ends = [edge.0.to_string(), edge.2.to_string()];
        let head = ["ASSOC.ADD", &ends[0], edge.1, &ends[1], "TIME", &time.to_string()];
        if let Some(reply) = self.about(edge, &head).await {
            let is_new = self.seen.ledger.add(edge, time);
            self.answered(edge, &reply, is_new).await;
        }
    }

    async fn unlike(&mut self) {
        let Some(edge) = self.any_edge(LIKES) else { return self.like().await };
        let ends = [edge.0.to_string(), edge.2.to_string()];
        if let Some(reply) = self.about(edge, &["ASSOC.DELETE", &ends[0], edge.1, &ends[1]]).await {
            let was = self.seen.ledger.delete(edge);
            self.answered(edge, &reply, was).await;
        }
    }

    async fn befriend(&mut self) {
        let Some(edge) = self.any_edge(REQUESTED) else { return self.request().await };
        let ends = [edge.0.to_string(), edge.2.to_string()];
        let head = ["ASSOC.CHANGETYPE", &ends[0], edge.1, &ends[1], FRIEND];
        if let Some(reply) = self.about(edge, &head).await {
            let was = self.seen.ledger.retype(edge, FRIEND);
            self.answered((edge.0, FRIEND, edge.2), &reply, was).await;
        }
    }

    /// Writes about a pair, unless it was given up before; gives it up where no answer comes.
    async fn about(&mut self, edge: Edge, head: &[&str]) -> Option<Reply> {
        if self.seen.ledger.is_doubtful(edge.0, edge.2) {
            return None;
        }
        let written = self.write(head, &[]).await;
        if written.is_none() {
            self.seen.ledger.give_up(edge.0, edge.2);
        }
        written
    }

    async fn answered(&mut self, edge: Edge, reply: &Reply, expected: bool) {
        if reply.number() != Some(expected.into()) {
            self.odd(format!("a write of {edge:?}: {reply:?} instead of {}", u8::from(expected)));
        }
        self.acknowledged(About::Edge(edge)).await;
    }

    /// One write: with a key until it is answered, or once without. `None`: given up.
    async fn write(&mut self, head: &[&str], tail: &[&str]) -> Option<Reply> {
        let began = self.clock.now();
        let key = format!("drill-{}-{}", self.number, self.count);
        let written = if self.is_careful {
            let command = [head, &["KEY", &key], tail].concat();
            self.caller.written(&command).await
        } else {
            self.caller.once(&[head, tail].concat()).await
        };
        if self.caller.opened() > self.opened {
            self.opened = self.caller.opened();
            // The first look at what was acknowledged before a crash, and nothing was written over it yet.
            if let Some(last) = self.last.filter(|last| !is_about(head, *last)) {
                self.look(last).await;
            }
        }
        match &written {
            Some(_) => {
                self.seen.acknowledged += 1;
                self.pulse.0.store(began.0, Ordering::Relaxed);
            }
            None => self.seen.given_up += 1,
        }
        written
    }

    /// After every other write its own client must see it at once.
    async fn acknowledged(&mut self, about: About) {
        self.last = Some(about);
        if self.rng.below(2) == 0 {
            self.look(about).await;
        }
    }

    async fn look_around(&mut self) {
        let id = self.any_of_mine();
        let about = match self.rng.below(3) {
            0 => About::Object(id),
            1 => About::Edge((id, LIKES, self.any_of_mine())),
            _ => About::Edge((id, FRIEND, self.any_of_mine())),
        };
        self.look(about).await;
    }

    async fn look(&mut self, about: About) {
        match about {
            About::Object(id) => self.look_at_object(id).await,
            About::Edge(edge) => {
                for side in [edge, inverse(edge)] {
                    if side.0 == self.shared_object {
                        self.look_at_edge(side).await;
                    } else {
                        self.look_at_list((side.0, side.1)).await;
                    }
                }
            }
        }
    }

    async fn look_at_object(&mut self, id: u64) {
        if self.seen.ledger.is_doubtful(id, id) {
            return;
        }
        let Some(reply) = self.read(&["OBJ.GET", &id.to_string()]).await else { return };
        let Some(object) = self.seen.ledger.objects.get(&id) else { return };
        if !shows(&reply, object) {
            let what = format!("object {id}: {reply:?} instead of {object:?}");
            self.broken(what);
        }
    }

    async fn look_at_list(&mut self, (id, atype): List) {
        if self.seen.ledger.has_doubt(id) {
            return;
        }
        let (own, most) = (id.to_string(), LIST_MAX.to_string());
        let Some(reply) = self.read(&["ASSOC.RANGE", &own, atype, "0", &most]).await else { return };
        let wanted = self.seen.ledger.list((id, atype));
        if pairs(&reply).as_deref() != Some(&wanted) {
            return self.broken(format!("list {id} {atype}: {reply:?} instead of {wanted:?}"));
        }
        let Some(reply) = self.read(&["ASSOC.COUNT", &own, atype]).await else { return };
        if reply.number() != Some(wanted.len() as u64) {
            self.broken(format!("count {id} {atype}: {reply:?} instead of {}", wanted.len()));
        }
    }

    async fn look_at_edge(&mut self, edge: Edge) {
        if self.seen.ledger.is_doubtful(edge.0, edge.2) {
            return;
        }
        let ends = [edge.0.to_string(), edge.2.to_string()];
        let Some(reply) = self.read(&["ASSOC.GET", &ends[0], edge.1, &ends[1]]).await else { return };
        let found = reply.items().first().and_then(|found| found.items().get(1)?.number());
        let wanted = self.seen.ledger.edges.get(&edge).copied();
        if found != wanted {
            self.broken(format!("{edge:?}: {reply:?} instead of {wanted:?}"));
        }
    }

    /// `None`: no answer, which says nothing about what is there.
    async fn read(&mut self, command: &[&str]) -> Option<Reply> {
        let began = self.clock.now();
        let reply = self.caller.once(command).await?;
        self.pulse.0.store(began.0, Ordering::Relaxed);
        Some(reply)
    }

    fn broken(&mut self, what: String) {
        self.seen.broken += 1;
        self.shared.broken.fetch_add(1, Ordering::Relaxed);
        self.name(what);
    }

    fn odd(&mut self, what: String) {
        self.seen.odd_answers += 1;
        self.name(what);
    }

    fn name(&mut self, what: String) {
        if self.seen.named.len() < NAMED_MAX {
            self.seen.named.push(what);
        }
    }

    fn any_of_mine(&mut self) -> u64 {
        self.mine[self.rng.below(self.mine.len() as u64) as usize]
    }

    fn any_edge(&mut self, atype: &str) -> Option<Edge> {
        let all: Vec<Edge> = self.seen.ledger.edges.keys().copied().filter(|edge| edge.1 == atype).collect();
        let n = self.rng.below(all.len().max(1) as u64) as usize;
        all.get(n).copied()
    }
}

/// Whether a command changes what it would be compared with.
fn is_about(head: &[&str], about: About) -> bool {
    let ids = match about {
        About::Object(id) => [id, id],
        About::Edge((id1, _, id2)) => [id1, id2],
    };
    ids.iter().any(|id| head.contains(&id.to_string().as_str()))
}

/// Whether an answer to OBJ.GET is this object.
#[must_use]
pub fn shows(reply: &Reply, object: &Object) -> bool {
    let Some(name) = &object.name else { return *reply == Reply::Nothing };
    let version = reply.field("version").and_then(Reply::number);
    version == Some(object.version) && reply.field("name").and_then(Reply::text) == Some(name)
}

/// The ends and times of a range without data; none when the answer is no range.
#[must_use]
pub fn pairs(reply: &Reply) -> Option<Vec<(u64, u64)>> {
    let Reply::Items(items) = reply else { return None };
    items.chunks(2).map(|pair| Some((pair.first()?.number()?, pair.get(1)?.number()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(numbers: &[i64]) -> Reply {
        Reply::Items(numbers.iter().map(|n| Reply::Number(*n)).collect())
    }

    #[test]
    fn a_range_is_read_as_pairs_or_not_at_all() {
        assert_eq!(pairs(&items(&[7, 10, 8, 9])), Some(vec![(7, 10), (8, 9)]));
        assert_eq!(pairs(&items(&[])), Some(vec![]));
        assert_eq!(pairs(&items(&[7, 10, 8])), None);
        assert_eq!(pairs(&Reply::Error("TRYAGAIN".to_owned())), None);
    }

    #[test]
    fn an_object_is_shown_by_its_version_and_its_name() {
        let text = |text: &str| Reply::Text(text.as_bytes().to_vec());
        let reply = Reply::Items(vec![
            text("type"),
            text("user"),
            text("version"),
            Reply::Number(2),
            text("name"),
            text("x"),
        ]);
        let object = |version, name: Option<&str>| Object { version, name: name.map(str::to_owned) };
        assert!(shows(&reply, &object(2, Some("x"))));
        assert!(!shows(&reply, &object(3, Some("x"))) && !shows(&reply, &object(2, Some("y"))));
        assert!(!shows(&reply, &object(2, None)) && shows(&Reply::Nothing, &object(2, None)));
    }
}
