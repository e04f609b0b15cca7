//! Deadlines of checks: who must report by when, and who has been critical for how long.
//!
//! All of it lives in memory. A heartbeat that changes nothing renews a lease here and never becomes a
//! command; a check that turns does. After a restart, and after a pause of this process (a registry that slept
//! hears no heartbeats, which says nothing of those who sent them), every lease starts afresh.
//!
//! Consul keeps a report's text out of its log for five minutes unless the status changes with it. The same
//! here, in shorter steps: a text that changes alone is written at once if the last one is [`OUTPUT_EVERY`]
//! old, else when it is, and of several only the latest.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use seawall_policy::Mono;
use seawall_policy::lease::Table;

use crate::machine::{Check, Command, Machine, Status};

/// What a check says that was not heard from in time.
pub const TTL_EXPIRED: &str = "TTL expired";
/// How often deadlines are looked at: a tenth of the shortest sensible TTL.
pub const TICK: Duration = Duration::from_millis(100);
/// Ten missed ticks in a row: it was we who were away.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often critical services are looked at (registry protocol notes: every 30 s, as Consul).
pub const REAP_EVERY: Duration = Duration::from_secs(30);
/// A text alone makes at most one command in this time, per check.
pub const OUTPUT_EVERY: Duration = Duration::from_secs(30);

/// An expiry that is not applied by then is proposed again: the log may have taken it and its disk refused it.
/// Twice what a batch may take.
pub const EXPIRE_AGAIN: Duration = Duration::from_secs(10);

/// A check's node and id.
pub type CheckKey = (String, String);

/// The deadlines of every check.
pub struct Leases {
    table: Table<CheckKey>,
    critical_since: HashMap<CheckKey, Mono>,
    texts: HashMap<CheckKey, Text>,
    /// Expired, but not yet applied: when to propose it again.
    expiring: BTreeMap<CheckKey, Mono>,
}

/// A check whose text changed alone: when that may be written again, and what waits to be.
struct Text {
    free_at: Mono,
    waiting: Option<String>,
}

/// What a report of a check comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Beat {
    /// The lease was renewed; there is nothing to write.
    Renewed,
    /// Something changed: a command must carry it.
    Report,
}

impl Leases {
    /// Deadlines for everything in `machine`, as after a restart: each a full time to live from now.
    #[must_use]
    pub fn new(machine: &Machine, now: Mono) -> Leases {
        let mut leases = Leases {
            table: Table::new(PAUSE_MAX),
            critical_since: HashMap::new(),
            texts: HashMap::new(),
            expiring: BTreeMap::new(),
        };
        for check in machine.checks() {
            leases.settle(&(check.node.clone(), check.id.clone()), Some(check), now);
        }
        leases
    }

    /// A command registered, changed or removed this check; `check` is how it is now.
    pub fn settle(&mut self, key: &CheckKey, check: Option<&Check>, now: Mono) {
        self.expiring.remove(key);
        let Some(check) = check else {
            self.table.remove(key);
            self.critical_since.remove(key);
            self.texts.remove(key);
            return;
        };
        match check.ttl_ms {
            // It has expired already; only a report revives it.
            Some(_) if check.status == Status::Critical && check.output == TTL_EXPIRED => {
                self.table.remove(key);
            }
            Some(ms) => self.table.grant(key.clone(), Duration::from_millis(ms), now),
            None => {
                self.table.remove(key);
            }
        }
        if check.status == Status::Critical && check.deregister_after_ms.is_some() {
            self.critical_since.entry(key.clone()).or_insert(now);
        } else {
            self.critical_since.remove(key);
        }
    }

    /// A check's owner reports. `check` is what the registry holds of it.
    pub fn beat(&mut self, check: &Check, status: Status, output: &str, now: Mono) -> Beat {
        let key = (check.node.clone(), check.id.clone());
        // Heard from, whatever the log says to the report: from here on the deadline is a full time away.
        let is_alive = self.table.renew(&key, now);
        if let Some(ms) = check.ttl_ms.filter(|_| !is_alive) {
            self.table.grant(key.clone(), Duration::from_millis(ms), now);
            self.expiring.remove(&key);
        }
        // Without a lease an expiry was on its way: a report behind it must undo it.
        if status != check.status || !is_alive {
            self.texts.remove(&key);
            return Beat::Report;
        }
        if output == check.output {
            if let Some(text) = self.texts.get_mut(&key) {
                text.waiting = None;
            }
            return Beat::Renewed;
        }
        match self.texts.get_mut(&key) {
            Some(text) if now < text.free_at => {
                text.waiting = Some(output.to_owned());
                Beat::Renewed
            }
            _ => {
                self.texts.insert(key, Text { free_at: now + OUTPUT_EVERY, waiting: None });
                Beat::Report
            }
        }
    }

    /// Commands that are due now: checks whose time ran out, and texts that waited long enough.
    pub fn due(&mut self, machine: &Machine, now: Mono) -> Vec<Command> {
        if self.table.has_paused(now) {
            tracing::warn!("this process was paused; every lease starts afresh");
            self.critical_since.values_mut().for_each(|since| *since = now);
        }
        let report = |(node, id): CheckKey, status, output| Command::Report { node, id, status, output };
        let mut commands = Vec::new();
        self.expiring.extend(self.table.expired(now).into_iter().map(|key| (key, now)));
        self.expiring.retain(|key, again_at| {
            let check = machine.check(&key.0, &key.1);
            let is_due = check.is_some_and(|c| c.status != Status::Critical || c.output != TTL_EXPIRED);
            if is_due && *again_at <= now {
                *again_at = now + EXPIRE_AGAIN;
                commands.push(report(key.clone(), Status::Critical, TTL_EXPIRED.to_owned()));
            }
            is_due
        });
        for (key, text) in self.texts.iter_mut().filter(|(_, text)| text.free_at <= now) {
            if let (Some(output), Some(check)) = (text.waiting.take(), machine.check(&key.0, &key.1)) {
                commands.push(report(key.clone(), check.status, output));
                text.free_at = now + OUTPUT_EVERY;
            }
        }
        self.texts.retain(|_, text| text.free_at > now);
        commands
    }

    /// A command from [`Leases::due`] found no room: it will be due again.
    pub fn postpone(&mut self, command: Command, now: Mono) {
        let Command::Report { node, id, status, output } = command else { return };
        if status == Status::Critical && output == TTL_EXPIRED {
            self.expiring.insert((node, id), now);
        } else {
            self.texts.insert((node, id), Text { free_at: now, waiting: Some(output) });
        }
    }

    /// Services that have been critical for longer than they wanted to be kept.
    #[must_use]
    pub fn reap(&self, machine: &Machine, now: Mono) -> Vec<Command> {
        let overdue = self.critical_since.iter().filter_map(|((node, id), since)| {
            let check = machine.check(node, id)?;
            let after = Duration::from_millis(check.deregister_after_ms?);
            if now.since(*since) < after || check.service_id.is_empty() {
                return None;
            }
            Some(Command::Reap {
                node: node.clone(),
                service: check.service_id.clone(),
                check: id.clone(),
                modified: check.modified,
            })
        });
        overdue.collect()
    }

    /// Checks that must report.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none must.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::{check, node, register, web};

    const fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    /// `web` with a passing TTL check of 10 s that wants to be deregistered after 60 s.
    fn machine() -> Machine {
        let mut machine = Machine::new();
        let mut check = check("service:web", "web");
        (check.ttl_ms, check.deregister_after_ms, check.status) =
            (Some(10_000), Some(60_000), Status::Passing);
        machine.apply(2, &register(node("n1"), Some(web("web")), vec![check]));
        machine
    }

    fn apply(machine: &mut Machine, leases: &mut Leases, command: &Command, now: Mono) {
        let (_, fx) = machine.apply(machine.index() + 1, command);
        for key in &fx.checks {
            leases.settle(key, machine.check(&key.0, &key.1).map(|c| &**c), now);
        }
    }

    fn ticks(leases: &mut Leases, machine: &Machine, ms: std::ops::Range<u64>) -> Vec<(u64, Command)> {
        let tick = |ms| leases.due(machine, at(ms)).into_iter().map(move |c| (ms, c)).collect::<Vec<_>>();
        ms.step_by(100).flat_map(tick).collect()
    }

    #[test]
    fn a_check_not_heard_from_turns_critical_once() {
        let (mut m, mut now) = (machine(), 0);
        let mut leases = Leases::new(&m, at(now));
        let due = ticks(&mut leases, &m, 0..20_000);
        let [(10_000, Command::Report { status: Status::Critical, output, .. })] = due.as_slice() else {
            panic!("{due:?}")
        };
        assert_eq!(output, "TTL expired");
        now = 20_000;
        apply(&mut m, &mut leases, &due[0].1.clone(), at(now));
        assert_eq!(ticks(&mut leases, &m, 20_000..60_000), []);
        assert!(leases.is_empty());
    }

    #[test]
    fn a_heartbeat_that_changes_nothing_is_no_command() {
        let m = machine();
        let mut leases = Leases::new(&m, at(0));
        for s in 0..100 {
            assert_eq!(ticks(&mut leases, &m, s * 1000..(s + 1) * 1000), []);
            let check = m.check("n1", "service:web").unwrap();
            assert_eq!(leases.beat(check, Status::Passing, "", at(s * 1000 + 900)), Beat::Renewed);
        }
    }

    #[test]
    fn a_report_behind_an_expiry_undoes_it() {
        let m = machine();
        let mut leases = Leases::new(&m, at(0));
        assert_eq!(ticks(&mut leases, &m, 0..10_100).len(), 1);
        // The expiry is ordered but not applied: the machine still says passing.
        let check = m.check("n1", "service:web").unwrap();
        assert_eq!(leases.beat(check, Status::Passing, "", at(10_100)), Beat::Report);
    }

    #[test]
    fn a_registry_that_slept_expires_nobody() {
        let m = machine();
        let mut leases = Leases::new(&m, at(0));
        assert_eq!(ticks(&mut leases, &m, 0..5_000), []);
        assert_eq!(leases.due(&m, at(120_000)), []);
        assert_eq!(ticks(&mut leases, &m, 120_100..131_000)[0].0, 130_000, "a full fresh TTL");
    }

    #[test]
    fn a_text_that_changes_alone_is_written_now_and_then_and_the_latest_wins() {
        let mut m = machine();
        let mut leases = Leases::new(&m, at(0));
        let beat = |m: &Machine, leases: &mut Leases, text: &str, ms| {
            leases.beat(m.check("n1", "service:web").unwrap(), Status::Passing, text, at(ms))
        };
        assert_eq!(beat(&m, &mut leases, "one", 0), Beat::Report);
        let one = Command::Report {
            node: "n1".into(),
            id: "service:web".into(),
            status: Status::Passing,
            output: "one".into(),
        };
        apply(&mut m, &mut leases, &one, at(0));
        for (ms, text) in [(5_000, "two"), (14_000, "three"), (23_000, "four")] {
            assert_eq!(ticks(&mut leases, &m, ms - 5_000..ms), []);
            assert_eq!(beat(&m, &mut leases, text, ms), Beat::Renewed);
        }
        let due = ticks(&mut leases, &m, 23_000..32_000);
        assert!(
            matches!(&due[..], [(30_000, Command::Report { output, .. })] if output == "four"),
            "{due:?}"
        );
    }

    #[test]
    fn a_service_is_reaped_after_its_time_unless_it_recovers() {
        let mut m = machine();
        let mut leases = Leases::new(&m, at(0));
        let report = |status| Command::Report {
            node: "n1".into(),
            id: "service:web".into(),
            status,
            output: String::new(),
        };
        apply(&mut m, &mut leases, &report(Status::Critical), at(1_000));
        assert_eq!(leases.reap(&m, at(60_000)), []);
        let reap = leases.reap(&m, at(61_000));
        assert!(matches!(&reap[..], [Command::Reap { service, .. }] if service == "web"), "{reap:?}");
        apply(&mut m, &mut leases, &report(Status::Passing), at(61_000));
        assert_eq!(leases.reap(&m, at(900_000)), []);
        apply(&mut m, &mut leases, &reap[0], at(61_001));
        assert_eq!(m.instances(), 1, "it recovered between the decision and its turn in the log");
    }

    #[test]
    fn an_expiry_the_log_had_no_room_for_comes_again() {
        let m = machine();
        let mut leases = Leases::new(&m, at(0));
        for tick in [10_000, 10_100, 10_200] {
            let due = ticks(&mut leases, &m, if tick == 10_000 { 0 } else { tick }..tick + 100);
            assert_eq!(due.len(), 1, "at {tick}");
            leases.postpone(due[0].1.clone(), at(tick));
        }
    }

    #[test]
    fn an_expiry_whose_batch_was_refused_comes_again() {
        let m = machine();
        let mut leases = Leases::new(&m, at(0));
        let due = ticks(&mut leases, &m, 0..20_100);
        assert!(matches!(&due[..], [(10_000, _), (20_000, _)]), "{due:?}");
    }

    #[test]
    fn a_report_of_another_status_renews_before_it_is_applied() {
        let m = machine();
        let mut leases = Leases::new(&m, at(0));
        assert_eq!(ticks(&mut leases, &m, 0..9_900), []);
        let check = m.check("n1", "service:web").unwrap();
        assert_eq!(leases.beat(check, Status::Warning, "", at(9_900)), Beat::Report);
        // The report waits for a slow disk: an expiry now would be ordered behind it.
        assert_eq!(ticks(&mut leases, &m, 10_000..19_900), []);
    }

    #[test]
    fn a_heartbeat_calls_an_expiry_back_that_found_no_room() {
        let m = machine();
        let mut leases = Leases::new(&m, at(0));
        let due = ticks(&mut leases, &m, 0..10_100);
        leases.postpone(due[0].1.clone(), at(10_000));
        let check = m.check("n1", "service:web").unwrap();
        assert_eq!(leases.beat(check, Status::Passing, "", at(10_050)), Beat::Report);
        assert_eq!(ticks(&mut leases, &m, 10_100..20_000), []);
        // Also if the report was refused, the check still has a deadline.
        assert_eq!(ticks(&mut leases, &m, 20_000..20_200).len(), 1);
    }

    #[test]
    fn what_is_deregistered_leaves_no_deadline_behind() {
        let mut m = machine();
        let mut leases = Leases::new(&m, at(0));
        let gone = Command::DeregisterService { node: "n1".into(), id: "web".into() };
        apply(&mut m, &mut leases, &gone, at(1));
        assert!(leases.is_empty() && leases.critical_since.is_empty());
    }
}
