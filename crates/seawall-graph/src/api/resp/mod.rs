//! The graph for Redis clients.
//!
//! ```text
//! seawall_net::resp ── Command ──▶ table: which one ──▶ parse: a Read or a Change
//!        ▲                                                   │
//!        └──── Reply ── encode ◀── memory, at once ◀── read ─┤
//!                                                            └─ change: one after the other
//! ```
//!
//! A read that memory answers costs no task and no allocation. One that it does not answer becomes a [`Later`], and so
//! does every change.

mod change;
mod encode;
mod errors;
mod parse;
mod read;
mod table;

use std::sync::Arc;

use seawall_net::admission::Admission;
use seawall_net::resp::decoder;
use seawall_net::resp::{Command, Commands, Limits, Next, Protocol, Reply, Server, Spec};
use seawall_policy::Mono;
use seawall_policy::deadline::Deadline;

use crate::config::Config;
use crate::schema::Schema;
use crate::service::Service;
use crate::ticket::Ticket;

use self::change::Change;
use self::read::Read;
pub use self::table::{SPECS, Verb};

/// The graph's commands.
pub struct Graph {
    service: Arc<Service>,
}

/// The port on which they are served. The gate is the one HTTP has.
#[must_use]
pub fn server(service: Arc<Service>, admission: Arc<Admission>, config: &Config) -> Server<Graph> {
    let request_max = usize::try_from(config.body_max).unwrap_or(usize::MAX);
    let limits = Limits {
        connections_max: config.connections_max,
        request: decoder::Limits { request_max, ..decoder::Limits::default() },
        deadline: config.deadline,
        ..Limits::default()
    };
    Server { commands: Graph { service }, admission, limits }
}

/// What is the same for all commands that arrived together.
pub struct Moment {
    schema: Arc<Schema>,
    deadline: Deadline,
}

/// A command that takes time.
pub enum Later {
    /// Asks.
    Read(Read, Deadline),
    /// Changes something.
    Change(Change, Deadline),
}

impl Commands for Graph {
    type Verb = Verb;
    type Memory = Ticket;
    type Moment = Moment;
    type Later = Later;

    fn name(&self) -> (&'static str, &'static str) {
        ("seawall", env!("CARGO_PKG_VERSION"))
    }

    fn specs(&self) -> &'static [Spec] {
        SPECS
    }

    #[inline]
    fn find(&self, name: &[u8]) -> Option<Verb> {
        Verb::find(name)
    }

    #[inline]
    fn spec(&self, verb: Verb) -> &'static Spec {
        verb.spec()
    }

    fn moment(&self, _now: Mono, deadline: Deadline) -> Moment {
        Moment { schema: self.service.schema(), deadline }
    }

    fn answer(
        &self,
        verb: Verb,
        command: &Command<'_>,
        moment: &Moment,
        ticket: &mut Ticket,
        reply: &mut Reply<'_>,
    ) -> Next<Later> {
        let Moment { schema, deadline } = moment;
        let asked = match verb {
            Verb::Ticket => {
                self.ticket(command, ticket, reply);
                return Next::Answered;
            }
            Verb::GraphSchema => {
                reply.bulk(schema.text().as_bytes());
                return Next::Answered;
            }
            // The two that are asked most are answered without being made into a value first.
            Verb::ObjGet if command.len() == 2 => Read::object(command),
            _ if verb.is_read() => Read::parse(verb, command, schema),
            _ => {
                return match Change::parse(verb, command, schema, self.service.clock().wall()) {
                    Ok(change) => Next::Later(Later::Change(change, *deadline)),
                    Err(words) => {
                        reply.error(words);
                        Next::Answered
                    }
                };
            }
        };
        let read = match asked {
            Ok(read) => read,
            Err(words) => {
                reply.error(words);
                return Next::Answered;
            }
        };
        if self.answer_now(&read, schema, ticket, *deadline, reply) {
            Next::Answered
        } else {
            Next::Later(Later::Read(read, *deadline))
        }
    }

    async fn wait<'a>(&'a self, later: Later, ticket: &'a Ticket, protocol: Protocol) -> Vec<u8> {
        let mut answer = Vec::new();
        let mut reply = Reply::new(&mut answer, protocol);
        match later {
            Later::Read(read, deadline) => self.read(&read, ticket, deadline, &mut reply).await,
            Later::Change(..) => reply.error("ERR a change has to wait for what is before it"),
        }
        answer
    }

    async fn wait_alone<'a>(&'a self, later: Later, ticket: &'a mut Ticket, protocol: Protocol) -> Vec<u8> {
        let mut answer = Vec::new();
        let mut reply = Reply::new(&mut answer, protocol);
        match later {
            Later::Read(read, deadline) => self.read(&read, ticket, deadline, &mut reply).await,
            Later::Change(change, deadline) => self.change(change, ticket, deadline, &mut reply).await,
        }
        answer
    }

    fn size(&self) -> u64 {
        self.service.follower().usage().items
    }

    fn sections(&self) -> Vec<(&'static str, String)> {
        let usage = self.service.follower().usage();
        let memory = format!("used_memory:{}\r\n", usage.bytes);
        let graph = format!(
            "keyspace_hits:{}\r\nkeyspace_misses:{}\r\nevicted_keys:{}\r\ncached_items:{}\r\n",
            usage.hits, usage.misses, usage.evicted, usage.items,
        );
        vec![("Memory", memory), ("Graph", graph)]
    }
}

impl Graph {
    /// `TICKET`: what this connection knows it wrote; with a text, what another knows as well.
    fn ticket(&self, command: &Command<'_>, ticket: &mut Ticket, reply: &mut Reply<'_>) {
        match command.get(1) {
            _ if command.len() > 2 => reply.error("ERR wrong number of arguments for 'ticket' command"),
            None => reply.bulk(ticket.text().as_bytes()),
            Some(text) => match std::str::from_utf8(text).ok().map(Ticket::parse) {
                Some(Ok(other)) => {
                    ticket.merge(&other, self.service.clock().wall());
                    reply.ok();
                }
                _ => reply.error("ERR this is not a ticket"),
            },
        }
    }
}
