//! `seawall graph assoc`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use seawall_graph::api::http::wire::{Assocs, Count, Deleted, Put, PutAssoc, Retype, Retyped};
use seawall_graph::id::Id;

use super::call::{Graph, fields, part, shown};
use super::{field, id};
use crate::exit::Failure;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Add one, or overwrite it; its inverse comes of itself
    #[command(after_help = "  seawall graph assoc add 140737488355341 likes 281474976710677 reaction=heart")]
    Add {
        #[command(flatten)]
        edge: EdgeArgs,
        /// Its fields, as NAME=VALUE
        #[arg(value_parser = field, value_name = "FIELD")]
        fields: Vec<(String, String)>,
        /// What lists are sorted by: seconds since 1970; now when left out
        #[arg(long, value_name = "SECONDS")]
        time: Option<u32>,
        /// Makes repeating harmless for a day
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// Delete one and its inverse
    Delete {
        #[command(flatten)]
        edge: EdgeArgs,
    },
    /// Make one of another type of it, with that type's inverse
    #[command(
        after_help = "  seawall graph assoc retype 140737488355341 friend_requested 281474976710677 friend"
    )]
    Retype {
        #[command(flatten)]
        edge: EdgeArgs,
        /// The name of the new type
        to: String,
    },
    /// Read single ones
    Get {
        #[command(flatten)]
        list: ListArgs,
        /// The other ends
        #[arg(required = true, value_parser = id, value_name = "ID2")]
        id2s: Vec<Id>,
        #[command(flatten)]
        times: TimeArgs,
    },
    /// How long a list is
    Count {
        #[command(flatten)]
        list: ListArgs,
    },
    /// Part of a list, newest first
    Range {
        #[command(flatten)]
        list: ListArgs,
        /// How many of the newest to leave out
        #[arg(long, value_name = "N", default_value_t = 0)]
        pos: u32,
        #[command(flatten)]
        how: RangeArgs,
    },
    /// Part of a list between two times, newest first
    #[command(
        after_help = "  seawall graph assoc time-range 140737488355341 authored --low 1766000000 --data"
    )]
    TimeRange {
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        times: TimeArgs,
        #[command(flatten)]
        how: RangeArgs,
    },
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// Whose list
    #[arg(value_parser = id)]
    id1: Id,
    /// The name of the association type
    r#type: String,
}

#[derive(Args)]
pub(super) struct EdgeArgs {
    #[command(flatten)]
    list: ListArgs,
    /// The other end
    #[arg(value_parser = id)]
    id2: Id,
}

#[derive(Args)]
pub(super) struct TimeArgs {
    /// Nothing newer than this
    #[arg(long, value_name = "SECONDS")]
    high: Option<u32>,
    /// Nothing older than this
    #[arg(long, value_name = "SECONDS")]
    low: Option<u32>,
}

#[derive(Args)]
pub(super) struct RangeArgs {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    /// With the fields of each
    #[arg(long)]
    data: bool,
    /// From the store itself
    #[arg(long)]
    critical: bool,
}

impl ListArgs {
    fn path(&self) -> String {
        format!("/v1/assocs/{}/{}", self.id1, part(&self.r#type))
    }
}

impl EdgeArgs {
    fn path(&self) -> String {
        format!("{}/{}", self.list.path(), self.id2)
    }
}

impl TimeArgs {
    /// As parameters, each with an `&` before it.
    fn query(&self) -> String {
        let one =
            |name: &str, time: Option<u32>| time.map(|time| format!("&{name}={time}")).unwrap_or_default();
        one("high", self.high) + &one("low", self.low)
    }
}

impl RangeArgs {
    fn query(&self) -> String {
        let consistency = if self.critical { "&consistency=critical" } else { "" };
        format!("limit={}&data={}{consistency}", self.limit, self.data)
    }
}

pub(super) async fn run(graph: &Graph, verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Add { edge, fields: given, time, key } => {
            let fields = if given.is_empty() {
                Default::default()
            } else {
                let schema = graph.schema().await?;
                fields(schema.assoc(&edge.list.r#type).map_or(&[][..], |kind| &kind.fields), &given)?
            };
            let body = PutAssoc { time, fields };
            let put: Put = graph.call(Method::PUT, &edge.path(), key.as_deref(), Some(&body)).await?;
            graph.print(&put, || (if put.added { "added" } else { "overwritten" }).to_owned())?;
        }
        Verb::Delete { edge } => {
            let done: Deleted = graph.call(Method::DELETE, &edge.path(), None, None::<&()>).await?;
            graph.print(&done, || (if done.deleted { "deleted" } else { "there was none" }).to_owned())?;
        }
        Verb::Retype { edge, to } => {
            let path = format!("{}/retype", edge.path());
            let done: Retyped = graph.call(Method::POST, &path, None, Some(&Retype { to })).await?;
            graph.print(&done, || (if done.changed { "changed" } else { "there was none" }).to_owned())?;
        }
        Verb::Get { list, id2s, times } => {
            let id2s = id2s.iter().map(Id::to_string).collect::<Vec<_>>().join(",");
            let query = times.query();
            let query = query.strip_prefix('&').map(|query| format!("?{query}")).unwrap_or_default();
            show(graph, &format!("{}/{id2s}{query}", list.path())).await?;
        }
        Verb::Count { list } => {
            let count: Count = graph.get(&format!("{}/count", list.path())).await?;
            graph.print(&count, || count.count.to_string())?;
        }
        Verb::Range { list, pos, how } => {
            show(graph, &format!("{}?pos={pos}&{}", list.path(), how.query())).await?;
        }
        Verb::TimeRange { list, mut times, how } => {
            // One of them says that it is by time.
            times.low = times.low.or(Some(0));
            show(graph, &format!("{}?{}{}", list.path(), how.query(), times.query())).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One a line: `id2  time  fields`.
async fn show(graph: &Graph, path: &str) -> Result<(), Failure> {
    let found: Assocs = graph.get(path).await?;
    for assoc in &found.associations {
        let text = || {
            let fields = assoc.fields.as_ref().map(shown).unwrap_or_default();
            format!("{}  {}  {fields}", assoc.id2.0, assoc.time).trim_end().to_owned()
        };
        graph.print(assoc, text)?;
    }
    Ok(())
}
