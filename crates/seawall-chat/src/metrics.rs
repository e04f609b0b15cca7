//! Everything this system counts. Labels come from the closed sets below.

use prometheus_client::encoding::EncodeLabelSet;
use seawall_net::telemetry::{Counter, Family, Gauge, Scope};

use crate::event::Kind;

/// What became of a wish to resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Served from what this process has in memory.
    Memory,
    /// Served with the help of this process's own journal.
    Journal,
    /// Taken over from another process, or from an earlier one.
    Adopted,
    /// No such session, or not with this token.
    Unknown,
    /// The session exists and cannot be continued without a doubt.
    Doubt,
    /// Too far behind.
    TooFar,
}

impl Resume {
    fn name(self) -> &'static str {
        match self {
            Resume::Memory => "memory",
            Resume::Journal => "journal",
            Resume::Adopted => "adopted",
            Resume::Unknown => "unknown",
            Resume::Doubt => "doubt",
            Resume::TooFar => "too_far",
        }
    }
}

/// Close codes that are told apart; any other counts as `other`.
const CODES: &[(u16, &str)] = &[
    (1000, "1000"),
    (1001, "1001"),
    (1002, "1002"),
    (1007, "1007"),
    (4000, "4000"),
    (4001, "4001"),
    (4002, "4002"),
    (4003, "4003"),
    (4004, "4004"),
    (4005, "4005"),
    (4007, "4007"),
    (4008, "4008"),
    (4009, "4009"),
    (4010, "4010"),
    (4012, "4012"),
    (4013, "4013"),
    (4014, "4014"),
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Name {
    event: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

/// Handles, made once per start.
#[derive(Clone)]
pub struct Metrics {
    /// Sessions this process keeps, connected or waited for.
    pub sessions: Gauge,
    /// Gateway connections.
    pub connections: Gauge,
    /// Guilds held in memory.
    pub guilds: Gauge,
    /// Entries put in order.
    pub entries: Counter,
    /// Dispatches written to sessions.
    pub dispatches: Counter,
    /// Sessions opened.
    pub identifies: Counter,
    /// Bytes written to the journal.
    pub journal_bytes: Counter,
    /// Sessions cut because they fell behind what is kept in memory.
    pub fallen: Counter,
    /// Events left out because there was too much to do.
    shed: Family<Name, Counter>,
    resumes: Family<Outcome, Counter>,
    closes: Family<Code, Counter>,
}

impl Metrics {
    /// The metrics of this system.
    #[must_use]
    pub fn new(scope: &Scope) -> Metrics {
        Metrics {
            sessions: scope.gauge("sessions", "Sessions kept here, connected or waited for"),
            connections: scope.gauge("connections", "Gateway connections"),
            guilds: scope.gauge("guilds", "Guilds held in memory"),
            entries: scope.counter("entries", "Dispatches and changes of view put in order"),
            dispatches: scope.counter("dispatches", "Dispatches written to sessions"),
            identifies: scope.counter("identifies", "Sessions opened"),
            journal_bytes: scope.counter("journal_bytes", "Bytes written to the journal"),
            fallen: scope.counter("fallen", "Sessions cut because they fell behind what is kept in memory"),
            shed: scope.counters("events_shed", "Events left out because there was too much to do"),
            resumes: scope.counters("resumes", "Wishes to resume, by what became of them"),
            closes: scope.counters("closes", "Connections closed by either end, by code"),
        }
    }

    /// Counts an event that was left out.
    pub fn shed(&self, event: Kind) {
        self.shed.get_or_create(&Name { event: event.name() }).inc();
    }

    /// Counts a wish to resume.
    pub fn resume(&self, outcome: Resume) {
        self.resumes.get_or_create(&Outcome { outcome: outcome.name() }).inc();
    }

    /// Counts the end of a connection; 0 is one without a code.
    pub fn close(&self, code: u16) {
        let known = CODES.iter().find(|(known, _)| *known == code);
        let code = known.map_or(if code == 0 { "none" } else { "other" }, |(_, name)| name);
        self.closes.get_or_create(&Code { code }).inc();
    }
}
