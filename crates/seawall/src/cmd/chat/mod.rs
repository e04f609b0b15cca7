//! `seawall chat user|bot|guild|channel|invite|send|tail|sessions|kick`.
//!
//! Two kinds of caller: the operator, whose calls go to `/api/admin` and need no token from this machine unless the
//! server has exposure tokens; and a user or bot, who speaks Discord's REST and gateway with its own token, as any other
//! client does.

mod call;
mod operator;
mod session;
mod tail;
mod talk;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use seawall_policy::duration;

use crate::cli::ConfigSource;
use crate::config::Config;
use crate::exit::Failure;
use call::Chat;

/// Patience for one call.
const PATIENCE: Duration = Duration::from_secs(10);

const TOKENS: &str = "Tokens: who speaks is the user or bot whose token is in the file of --token-file, or in
SEAWALL_CHAT_TOKEN. The operator's commands (user, bot, guild create|add, sessions, kick) need none on the
server's own machine; from elsewhere, or if the server has exposure tokens, --token-file names one of those.";

#[derive(Args)]
#[command(after_help = TOKENS)]
pub(crate) struct ChatArgs {
    /// The chat server to talk to; the configured address when left out
    #[arg(long, value_name = "ADDR", global = true)]
    addr: Option<SocketAddr>,
    #[command(flatten)]
    source: ConfigSource,
    /// A file with the token to speak with
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// JSON, one object a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make users (operator)
    #[command(subcommand)]
    User(AccountVerb),
    /// Make bots (operator)
    #[command(subcommand)]
    Bot(AccountVerb),
    /// Make guilds and add people to them (operator); list one's own
    #[command(subcommand)]
    Guild(GuildVerb),
    /// Make and list channels
    #[command(subcommand)]
    Channel(ChannelVerb),
    /// Make and use invites
    #[command(subcommand)]
    Invite(InviteVerb),
    /// Say something; prints the message's id
    #[command(
        after_help = "  seawall chat send 1573512735910526984 The gate is closed\n  make test 2>&1 | tail -20 | seawall chat send 1573512735910526984 -\n  seawall chat send 1573512735910526984 --nonce deploy-118 Version 118 is live"
    )]
    Send(SendArgs),
    /// Print what is said, as it is said
    ///
    /// Keeps one gateway session: heartbeats, and after a lost connection resumes, so that nothing is missed and
    /// nothing printed twice. If the session itself is lost, it says so and begins another. Ends on SIGINT and
    /// SIGTERM.
    #[command(
        after_help = "  seawall chat tail\n  seawall chat tail --channel 1573512735910526984 --json | jq -r .d.content\n  seawall chat tail --from-resume tail.session"
    )]
    Tail(TailArgs),
    /// List gateway sessions (operator)
    Sessions,
    /// Throw a session off its connection, or out (operator)
    #[command(
        after_help = "  seawall chat kick 3f6c… --tcp\n\nIds are those that `seawall chat sessions` lists. Without an option: --reconnect."
    )]
    Kick(KickArgs),
}

#[derive(Subcommand)]
enum AccountVerb {
    /// Make one; prints its id and its token, which is never shown again
    #[command(
        after_help = "  seawall chat user create alice\n  seawall chat bot create beacon --shown Beacon"
    )]
    Create {
        /// Its name, 2 to 32 characters, unique
        name: String,
        /// The name shown to others, where it differs
        #[arg(long, value_name = "NAME")]
        shown: Option<String>,
    },
    /// Give it a new token; earlier ones stop working
    Token {
        /// Its name or id
        name: String,
    },
}

#[derive(Subcommand)]
enum GuildVerb {
    /// Make one, with a channel `general`; prints the ids of both
    #[command(after_help = "  seawall chat guild create \"Harbour crew\" --owner alice")]
    Create {
        /// Its name, 2 to 100 characters
        name: String,
        /// Whose it is: name or id
        #[arg(long, value_name = "USER")]
        owner: String,
    },
    /// Add a user to one
    Add {
        /// The guild's id
        #[arg(value_parser = id)]
        guild: String,
        /// Name or id
        user: String,
    },
    /// List those the token's user is in
    List,
}

#[derive(Subcommand)]
enum ChannelVerb {
    /// Make one; prints its id
    #[command(
        after_help = "  seawall chat channel create 1573512735910526983 night-watch --topic \"Who is on duty\""
    )]
    Create {
        /// The guild's id
        #[arg(value_parser = id)]
        guild: String,
        /// Its name, 1 to 100 characters
        name: String,
        /// What it is about
        #[arg(long)]
        topic: Option<String>,
    },
    /// List a guild's
    List {
        /// The guild's id
        #[arg(value_parser = id)]
        guild: String,
    },
}

#[derive(Subcommand)]
enum InviteVerb {
    /// Make one; prints its code
    #[command(after_help = "  seawall chat invite create 1573512735910526984 --max-age 7d --max-uses 5")]
    Create {
        /// The channel it leads to
        #[arg(value_parser = id)]
        channel: String,
        /// How long it is good, as 1d or 30m; 0s for ever
        #[arg(long, value_name = "TIME", default_value = "1d", value_parser = age)]
        max_age: Duration,
        /// How often it may be used; 0 without limit
        #[arg(long, value_name = "N", default_value_t = 0)]
        max_uses: u32,
    },
    /// Join by one
    Use {
        /// The code
        code: String,
    },
}

#[derive(Args)]
struct SendArgs {
    /// Where
    #[arg(value_parser = id)]
    channel: String,
    /// What; several words are joined, `-` reads standard input
    #[arg(required = true)]
    text: Vec<String>,
    /// Makes repeating harmless: the same nonce from the same user says it once
    #[arg(long, value_name = "NONCE")]
    nonce: Option<String>,
}

#[derive(Args)]
struct TailArgs {
    /// Only this channel
    #[arg(long, value_name = "CHANNEL", value_parser = id)]
    channel: Option<String>,
    /// End after so many lines
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Keep the session in this file and resume it when started again soon, printing what was said in between
    #[arg(long, value_name = "FILE")]
    from_resume: Option<PathBuf>,
}

#[derive(Args)]
struct KickArgs {
    /// The session's id
    session: String,
    /// Abort the connection without a word; its client will resume
    #[arg(long, group = "how")]
    tcp: bool,
    /// Ask its client to reconnect and resume
    #[arg(long, group = "how")]
    reconnect: bool,
    /// End the session; its client has to begin anew
    #[arg(long, group = "how")]
    invalid: bool,
}

pub(crate) fn run(args: ChatArgs) -> Result<ExitCode, Failure> {
    let ChatArgs { addr, source, token_file, json, verb } = args;
    let addr = match addr {
        Some(addr) => addr,
        None => Config::load(source.file.as_deref(), &source.set)?.chat.listen,
    };
    super::http::block_on(PATIENCE, async |server| {
        let chat = Chat::new(server, addr, token_file, json);
        match verb {
            Verb::User(verb) => operator::account(&chat, verb, false).await?,
            Verb::Bot(verb) => operator::account(&chat, verb, true).await?,
            Verb::Guild(GuildVerb::Create { name, owner }) => {
                operator::create_guild(&chat, &name, &owner).await?
            }
            Verb::Guild(GuildVerb::Add { guild, user }) => operator::add_member(&chat, &guild, &user).await?,
            Verb::Guild(GuildVerb::List) => talk::guilds(&chat).await?,
            Verb::Channel(verb) => talk::channel(&chat, verb).await?,
            Verb::Invite(verb) => talk::invite(&chat, verb).await?,
            Verb::Send(args) => talk::send(&chat, args).await?,
            Verb::Tail(args) => tail::run(&chat, args).await?,
            Verb::Sessions => operator::sessions(&chat).await?,
            Verb::Kick(args) => operator::kick(&chat, &args).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// An id as the server writes them.
fn id(text: &str) -> Result<String, String> {
    match text.parse::<u64>() {
        Ok(1..) => Ok(text.to_owned()),
        _ => Err("an id is a number, such as 1573512735910526984".to_owned()),
    }
}

/// A duration, which may also be in days.
fn age(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    match days {
        Some(days) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        None => duration::parse(text).map_err(|e| format!("{e}, or whole days as 7d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_may_be_in_days() {
        assert_eq!(age("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(age("90m"), Ok(Duration::from_secs(5_400)));
        assert!(age("1.5d").is_err() && age("d").is_err() && age("soon").is_err());
    }

    #[test]
    fn an_id_is_a_number_that_the_server_could_have_given() {
        assert!(id("1573512735910526984").is_ok());
        for wrong in ["", "0", "general", "-1", "99999999999999999999999"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }
}
