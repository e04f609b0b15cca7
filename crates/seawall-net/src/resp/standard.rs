//! Commands that every port answers: those by which clients introduce themselves and tools find their way.

use std::fmt::Write;

use seawall_policy::Mono;
use seawall_policy::priority::Priority;

use super::command::{Argument, Kind, NAME_MAX, Order, Spec, folded, is_word};
use super::decoder::Command;
use super::docs;
use super::encoder::{Protocol, Reply};
use super::number::parse_int;
use super::server::{Commands, Port};
use super::session::{Session, plain};

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standard {
    Ping,
    Echo,
    Hello,
    Auth,
    Quit,
    Reset,
    Select,
    Client,
    Command,
    Info,
    Config,
    Time,
    DbSize,
    /// What browsers send when a page makes them talk to us.
    Browser,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It goes on.
    Stay,
    /// It is closed once the answers are sent.
    Close,
    /// It is closed, and nothing more is sent.
    Cut,
}

const CONNECTION: &[&str] = &["noscript", "loading", "stale", "fast"];
const SLOW: &[&str] = &["noscript", "loading", "stale"];

const NONE: Spec = Spec { group: "connection", flags: CONNECTION, ..Spec::NONE };
const SUB: Spec = Spec { flags: SLOW, ..NONE };
const SERVER: Spec = Spec { group: "server", flags: SLOW, ..Spec::NONE };

const USERNAME: Argument = Argument::new("username", Kind::Text);
const PASSWORD: Argument = Argument::new("password", Kind::Text);
const MESSAGE: Argument = Argument::new("message", Kind::Text);
const NAME: Argument = Argument::new("connection-name", Kind::Text);

const HELLO_OPTIONS: &[Argument] = &[
    Argument::new("protover", Kind::Integer),
    Argument {
        token: Some("AUTH"),
        is_optional: true,
        parts: &[USERNAME, PASSWORD],
        ..Argument::new("username_password", Kind::Block)
    },
    Argument::option("clientname", "SETNAME", Kind::Text),
];

/// As `COMMAND` shows them.
pub(super) const SPECS: &[Spec] = &[
    Spec {
        name: "ping",
        summary: "Says PONG, or what it was given",
        arity: -1,
        arguments: &[Argument { is_optional: true, ..MESSAGE }],
        ..NONE
    },
    Spec { name: "echo", summary: "Says what it was given", arity: 2, arguments: &[MESSAGE], ..NONE },
    Spec {
        name: "hello",
        summary: "Begins a conversation: the protocol's version, a token, a name",
        arity: -1,
        order: Order::Alone,
        arguments: &[Argument {
            is_optional: true,
            parts: HELLO_OPTIONS,
            ..Argument::new("arguments", Kind::Block)
        }],
        ..NONE
    },
    Spec {
        name: "auth",
        summary: "Shows a token, which writes through an exposed port want",
        arity: -2,
        order: Order::Alone,
        arguments: &[Argument { is_optional: true, ..USERNAME }, PASSWORD],
        ..NONE
    },
    Spec { name: "quit", summary: "Closes the connection", arity: -1, order: Order::Alone, ..NONE },
    Spec {
        name: "reset",
        summary: "Forgets what the connection agreed on: name, protocol, token, ticket",
        order: Order::Alone,
        ..NONE
    },
    Spec {
        name: "select",
        summary: "Chooses a database; there is only 0",
        arity: 2,
        arguments: &[Argument::new("index", Kind::Integer)],
        ..NONE
    },
    Spec {
        name: "client",
        summary: "Tells and sets what is known of connections",
        arity: -2,
        complexity: "Depends on subcommand.",
        flags: SLOW,
        subcommands: &[
            Spec { name: "client|getname", summary: "The name of this connection", arity: 2, ..SUB },
            Spec { name: "client|help", summary: "Tells what CLIENT can do", arity: 2, ..SUB },
            Spec { name: "client|id", summary: "The number of this connection", arity: 2, ..SUB },
            Spec { name: "client|info", summary: "What is known of this connection", arity: 2, ..SUB },
            Spec {
                name: "client|list",
                summary: "What is known of all connections, or of some by number",
                arity: -2,
                complexity: "O(N) where N is the number of connections",
                arguments: &[Argument::option("client-id", "ID", Kind::Integer).many()],
                ..SUB
            },
            Spec {
                name: "client|setinfo",
                summary: "Names the client's library, or that library's version",
                arity: 4,
                arguments: &[Argument {
                    parts: &[
                        Argument { token: Some("LIB-NAME"), ..Argument::new("libname", Kind::Text) },
                        Argument { token: Some("LIB-VER"), ..Argument::new("libver", Kind::Text) },
                    ],
                    ..Argument::new("attr", Kind::OneOf)
                }],
                ..SUB
            },
            Spec {
                name: "client|setname",
                summary: "Names this connection",
                arity: 3,
                arguments: &[NAME],
                ..SUB
            },
        ],
        ..NONE
    },
    Spec {
        name: "command",
        summary: "Tells which commands there are",
        arity: -1,
        complexity: "O(N) where N is the number of commands",
        subcommands: &[
            Spec { name: "command|count", summary: "How many there are", arity: 2, ..SERVER },
            Spec {
                name: "command|docs",
                summary: "Documentation, for tools",
                arity: -2,
                arguments: &[Argument {
                    is_optional: true,
                    ..Argument::new("command-name", Kind::Text).many()
                }],
                ..SERVER
            },
            Spec {
                name: "command|info",
                summary: "Arity, flags and places of keys, for tools",
                arity: -2,
                arguments: &[Argument {
                    is_optional: true,
                    ..Argument::new("command-name", Kind::Text).many()
                }],
                ..SERVER
            },
            Spec { name: "command|list", summary: "Their names", arity: 2, ..SERVER },
        ],
        ..SERVER
    },
    Spec {
        name: "info",
        summary: "How the server is, in sections",
        arity: -1,
        priority: Priority::P2,
        arguments: &[Argument { is_optional: true, ..Argument::new("section", Kind::Text).many() }],
        ..SERVER
    },
    Spec {
        name: "config",
        summary: "Tells parameters that Redis's tools ask for",
        arity: -2,
        complexity: "Depends on subcommand.",
        subcommands: &[Spec {
            name: "config|get",
            summary: "Parameters whose names match",
            arity: -3,
            arguments: &[Argument::new("parameter", Kind::Text).many()],
            ..SERVER
        }],
        ..SERVER
    },
    Spec { name: "time", summary: "Seconds since 1970, and microseconds of the second", ..SERVER },
    Spec { name: "dbsize", summary: "How many things are in memory", ..SERVER },
];

impl Standard {
    /// By its name, in whatever case.
    pub(super) fn find(name: &[u8]) -> Option<Standard> {
        let mut room = [0; NAME_MAX];
        Some(match folded(name, &mut room)? {
            b"ping" => Standard::Ping,
            b"echo" => Standard::Echo,
            b"hello" => Standard::Hello,
            b"auth" => Standard::Auth,
            b"quit" => Standard::Quit,
            b"reset" => Standard::Reset,
            b"select" => Standard::Select,
            b"client" => Standard::Client,
            b"command" => Standard::Command,
            b"info" => Standard::Info,
            b"config" => Standard::Config,
            b"time" => Standard::Time,
            b"dbsize" => Standard::DbSize,
            b"host:" | b"post" => Standard::Browser,
            _ => return None,
        })
    }

    pub(super) fn spec(self) -> &'static Spec {
        const BROWSER: Spec = Spec { arity: -1, ..Spec::NONE };
        match self {
            // No command, so it is not in the table.
            Standard::Browser => &BROWSER,
            standard => &SPECS[standard as usize],
        }
    }
}

/// A port and one of its connections, as a standard command sees them.
pub(super) struct Here<'h, C: Commands> {
    pub(super) port: &'h Port<C>,
    pub(super) session: &'h mut Session,
    pub(super) memory: &'h mut C::Memory,
    pub(super) now: Mono,
}

impl<C: Commands> Here<'_, C> {
    /// Answers one whose number of words was checked.
    pub(super) fn answer(&mut self, which: Standard, command: &Command<'_>, reply: &mut Reply<'_>) -> After {
        match which {
            Standard::Ping => match command.get(1) {
                None => reply.simple("PONG"),
                Some(_) if command.len() > 2 => wrong_number("ping", reply),
                Some(message) => reply.bulk(message),
            },
            Standard::Echo => reply.bulk(command.get(1).unwrap_or_default()),
            Standard::Hello => self.hello(command, reply),
            Standard::Auth => self.auth(command, reply),
            Standard::Quit => {
                reply.ok();
                return After::Close;
            }
            Standard::Reset => {
                *self.memory = C::Memory::default();
                self.session.is_known = self.port.is_open();
                self.session.card.change(|about| about.name.clear());
                self.speak(Protocol::Two, reply);
                reply.simple("RESET");
            }
            Standard::Select => match command.get(1).and_then(parse_int) {
                Some(0) => reply.ok(),
                Some(_) => reply.error("ERR DB index is out of range"),
                None => reply.error("ERR value is not an integer or out of range"),
            },
            Standard::Client => self.client(command, reply),
            Standard::Command => self.command(command, reply),
            Standard::Info => reply.verbatim(&self.info(command)),
            Standard::Config => config(command, reply),
            Standard::Time => self.time(reply),
            Standard::DbSize => reply.int(i64::try_from(self.port.commands.size()).unwrap_or(i64::MAX)),
            Standard::Browser => {
                tracing::warn!("a browser was made to talk to the RESP port; its connection is closed");
                return After::Cut;
            }
        }
        After::Stay
    }

    fn speak(&mut self, protocol: Protocol, reply: &mut Reply<'_>) {
        self.session.protocol = protocol;
        self.session.card.change(|about| about.protocol = protocol);
        reply.set_protocol(protocol);
    }

    fn hello(&mut self, command: &Command<'_>, reply: &mut Reply<'_>) {
        let protocol = match command.get(1).map(parse_int) {
            None => self.session.protocol,
            Some(None) => return reply.error("ERR Protocol version is not an integer or out of range"),
            Some(Some(2)) => Protocol::Two,
            Some(Some(3)) => Protocol::Three,
            Some(Some(_)) => return reply.error("NOPROTO unsupported protocol version"),
        };
        let mut options = command.from(2);
        while let Some(option) = options.next() {
            let mut rest = options.clone();
            match (rest.next(), rest.next()) {
                (Some(user), Some(token)) if is_word(option, "auth") => {
                    if !self.knows(Some(user), token) {
                        return reply.error(WRONG_PASSWORD);
                    }
                    options.nth(1);
                }
                (Some(name), _) if is_word(option, "setname") => {
                    if !self.set_name(name, reply) {
                        return;
                    }
                    options.next();
                }
                _ => {
                    let words = b"ERR Syntax error in HELLO option '";
                    return reply.error([words, until_zero(option), b"'"].concat());
                }
            }
        }
        self.speak(protocol, reply);
        let (server, version) = self.port.commands.name();
        reply.map(7);
        for (key, value) in [("server", server), ("version", version)] {
            reply.bulk(key.as_bytes());
            reply.bulk(value.as_bytes());
        }
        reply.bulk(b"proto");
        reply.int(protocol.number());
        reply.bulk(b"id");
        reply.int(self.session.card.id);
        for (key, value) in [("mode", "standalone"), ("role", "master")] {
            reply.bulk(key.as_bytes());
            reply.bulk(value.as_bytes());
        }
        reply.bulk(b"modules");
        reply.array(0);
    }

    fn auth(&mut self, command: &Command<'_>, reply: &mut Reply<'_>) {
        match (command.get(1), command.get(2)) {
            _ if command.len() > 3 => reply.error("ERR syntax error"),
            (Some(_), None) if self.port.is_open() => reply.error(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ),
            (Some(user), Some(token)) if self.knows(Some(user), token) => reply.ok(),
            (Some(token), None) if self.knows(None, token) => reply.ok(),
            _ => reply.error(WRONG_PASSWORD),
        }
    }

    /// Whether this token is one of ours; then its bearer is known from now on.
    fn knows(&mut self, user: Option<&[u8]>, token: &[u8]) -> bool {
        let is_default = user.is_none_or(|user| user == b"default");
        let is_known = is_default && self.port.allows(token);
        self.session.is_known |= is_known;
        is_known
    }

    /// False when an error was answered.
    fn set_name(&mut self, name: &[u8], reply: &mut Reply<'_>) -> bool {
        let Some(name) = plain(name) else {
            reply.error("ERR Client names cannot contain spaces, newlines or special characters.");
            return false;
        };
        self.session.card.change(|about| about.name = name);
        true
    }

    fn client(&mut self, command: &Command<'_>, reply: &mut Reply<'_>) {
        let Some(sub) = subcommand(Standard::Client, command, reply) else { return };
        match sub {
            "getname" => match self.session.card.about().name {
                name if name.is_empty() => reply.null(),
                name => reply.bulk(name.as_bytes()),
            },
            "id" => reply.int(self.session.card.id),
            "info" => {
                let mut line = String::new();
                self.session.card.line(self.now, &mut line);
                reply.verbatim(&line);
            }
            "list" => {
                let is_by_id = command.get(2).is_some_and(|word| is_word(word, "id")) && command.len() > 3;
                if command.len() > 2 && !is_by_id {
                    return reply.error("ERR syntax error");
                }
                let ids: Option<Vec<_>> = command.from(3).map(parse_int).collect();
                match ids {
                    Some(ids) if ids.is_empty() || is_by_id => {
                        reply.verbatim(&self.port.cards.lines(&ids, self.now));
                    }
                    _ => reply.error("ERR Invalid client ID"),
                }
            }
            "setname" => {
                if self.set_name(command.get(2).unwrap_or_default(), reply) {
                    reply.ok();
                }
            }
            "setinfo" => {
                let attribute = command.get(2).unwrap_or_default();
                let is_name = is_word(attribute, "lib-name");
                if !is_name && !is_word(attribute, "lib-ver") {
                    let words = b"ERR Unrecognized option '";
                    return reply.error([words, until_zero(attribute), b"'"].concat());
                }
                let Some(value) = command.get(3).and_then(plain) else {
                    let what = if is_name { "lib-name" } else { "lib-ver" };
                    return reply
                        .error(format!("ERR {what} cannot contain spaces, newlines or special characters."));
                };
                self.session.card.change(|about| {
                    *(if is_name { &mut about.library } else { &mut about.library_version }) = value;
                });
                reply.ok();
            }
            _ => help(Standard::Client, reply),
        }
    }

    fn command(&self, command: &Command<'_>, reply: &mut Reply<'_>) {
        let tables = [self.port.commands.specs(), SPECS];
        if command.len() == 1 {
            return docs::all(&tables, reply);
        }
        let Some(sub) = subcommand(Standard::Command, command, reply) else { return };
        match sub {
            "count" => reply.int(docs::count(&tables) as i64),
            "docs" => docs::docs_of(&tables, command.from(2), reply),
            "info" => docs::infos(&tables, command.from(2), reply),
            "list" => docs::list(&tables, reply),
            _ => help(Standard::Command, reply),
        }
    }

    fn info(&self, command: &Command<'_>) -> String {
        let wants = |section: &str| {
            command.len() == 1
                || command.from(1).any(|word| {
                    ["all", "everything", "default", section].iter().any(|one| is_word(word, one))
                })
        };
        let mut out = String::new();
        for (section, text) in self.port.sections(self.now) {
            if wants(&section.to_ascii_lowercase()) {
                let gap = if out.is_empty() { "" } else { "\r\n" };
                let _ = write!(out, "{gap}# {section}\r\n{text}");
            }
        }
        out
    }

    fn time(&self, reply: &mut Reply<'_>) {
        // The wall clock is kept in milliseconds.
        let seawall_policy::Wall(ms) = self.port.clock.wall();
        reply.array(2);
        reply.bulk_int(ms.div_euclid(1000));
        reply.bulk_int(ms.rem_euclid(1000) * 1000);
    }
}

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// What Redis's tools ask for, said in Redis's terms: nothing is written now and then, everything at once.
const PARAMETERS: &[(&str, &str)] =
    &[("appendfsync", "always"), ("appendonly", "yes"), ("databases", "1"), ("save", "")];

fn config(command: &Command<'_>, reply: &mut Reply<'_>) {
    match subcommand(Standard::Config, command, reply) {
        Some("get") => {
            let is_asked = |name: &str| command.from(2).any(|glob| matches(glob, name.as_bytes()));
            let found = || PARAMETERS.iter().filter(|(name, _)| is_asked(name));
            reply.map(found().count());
            for (name, value) in found() {
                reply.bulk(name.as_bytes());
                reply.bulk(value.as_bytes());
            }
        }
        Some(_) => help(Standard::Config, reply),
        None => {}
    }
}

/// Whether a pattern of `*`, `?` and plain characters matches; letters in any case.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut back = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                g += 1;
                back = Some((g, n));
            }
            Some(byte) if *byte == b'?' || byte.eq_ignore_ascii_case(&name[n]) => {
                g += 1;
                n += 1;
            }
            _ => match &mut back {
                Some((after_star, from)) => {
                    *from += 1;
                    (g, n) = (*after_star, *from);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

/// Which subcommand is meant; `help` for HELP. None when it is unknown, or has the wrong number of words, and that was
/// answered.
fn subcommand(of: Standard, command: &Command<'_>, reply: &mut Reply<'_>) -> Option<&'static str> {
    let spec = of.spec();
    let word = command.get(1).unwrap_or_default();
    let short = |sub: &Spec| sub.name.get(spec.name.len() + 1..).unwrap_or_default();
    let Some(found) = spec.subcommands.iter().find(|sub| is_word(word, short(sub))) else {
        if is_word(word, "help") {
            if command.len() == 2 {
                return Some("help");
            }
            wrong_number(&format!("{}|help", spec.name), reply);
            return None;
        }
        let name = spec.name.to_uppercase();
        let word = &until_zero(word)[..until_zero(word).len().min(QUOTED_MAX)];
        reply.error([b"ERR unknown subcommand '", word, b"'. Try ", name.as_bytes(), b" HELP."].concat());
        return None;
    };
    if !found.takes(command.len()) {
        wrong_number(found.name, reply);
        return None;
    }
    found.name.get(spec.name.len() + 1..)
}

fn help(of: Standard, reply: &mut Reply<'_>) {
    let spec = of.spec();
    let name = spec.name.to_uppercase();
    let lines = spec.subcommands.iter().flat_map(|sub| {
        let word = sub.name.rsplit('|').next().unwrap_or_default().to_uppercase();
        [word, format!("    {}.", sub.summary)]
    });
    let head = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let foot = ["HELP".to_owned(), "    Prints this help.".to_owned()];
    let lines: Vec<_> = [head].into_iter().chain(lines).chain(foot).collect();
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.simple(line));
}

/// How much of what a client sent an error repeats; Redis's number.
const QUOTED_MAX: usize = 128;

/// As C's strings end.
fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The error for a command that nobody knows, in Redis's words.
pub(super) fn unknown(command: &Command<'_>, reply: &mut Reply<'_>) {
    let quoted = |bytes: &[u8], max: usize| -> Vec<u8> {
        let bytes = until_zero(bytes);
        bytes[..bytes.len().min(max)].to_vec()
    };
    let mut arguments = Vec::new();
    for argument in command.from(1) {
        if arguments.len() >= QUOTED_MAX {
            break;
        }
        let shown = quoted(argument, QUOTED_MAX - arguments.len());
        arguments.push(b'\'');
        arguments.extend_from_slice(&shown);
        arguments.extend_from_slice(b"' ");
    }
    let name = quoted(command.name(), QUOTED_MAX);
    reply
        .error([&b"ERR unknown command '"[..], &name, b"', with args beginning with: ", &arguments].concat());
}

/// The error for a command with too few or too many words.
pub(super) fn wrong_number(name: &str, reply: &mut Reply<'_>) {
    reply.error(format!("ERR wrong number of arguments for '{name}' command"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_found_in_its_place_of_the_table() {
        for spec in SPECS {
            let found = Standard::find(spec.name.to_uppercase().as_bytes()).unwrap();
            assert_eq!(found.spec().name, spec.name);
        }
        assert_eq!(Standard::find(b"post"), Some(Standard::Browser));
        assert_eq!(Standard::find(b"get"), None);
        assert!(SPECS.iter().all(|spec| spec.name.len() <= NAME_MAX));
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (glob, name, wanted) in [
            ("*", "save", true),
            ("s*", "save", true),
            ("*e", "save", true),
            ("s?ve", "save", true),
            ("SAVE", "save", true),
            ("s", "save", false),
            ("*x*", "save", false),
            ("", "save", false),
            ("a*d*s", "appendfsync", false),
            ("a*f*c", "appendfsync", true),
        ] {
            assert_eq!(matches(glob.as_bytes(), name.as_bytes()), wanted, "{glob} {name}");
        }
    }
}
