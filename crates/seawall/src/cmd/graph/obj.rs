//! `seawall graph obj`.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use seawall_graph::api::http::wire::{
    Deleted, GetObjects, Made, NewObject, Object, Objects, UpdateObject, Updated, WireId,
};
use seawall_graph::id::Id;

use super::call::{Graph, fields, shown};
use super::{field, id};
use crate::exit::Failure;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Make one; prints its id
    #[command(
        after_help = "  seawall graph obj add user name=Ada created=1766102400\n  seawall graph obj add post --near 140737488355341 text=\"The gate is closed\""
    )]
    Add {
        /// The name of its type
        r#type: String,
        /// Its fields, as NAME=VALUE
        #[arg(value_parser = field, value_name = "FIELD")]
        fields: Vec<(String, String)>,
        /// Beside this one, so that both are read together
        #[arg(long, value_name = "ID", value_parser = id, conflicts_with = "id")]
        near: Option<Id>,
        /// With this id, as it had elsewhere
        #[arg(long, value_name = "ID", value_parser = id)]
        id: Option<Id>,
        /// Makes repeating harmless for a day: the same key makes one object
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// Read some
    Get {
        /// Which
        #[arg(required = true, value_parser = id, value_name = "ID")]
        ids: Vec<Id>,
        /// From the store itself
        #[arg(long)]
        critical: bool,
    },
    /// Change some fields of one; prints its version
    #[command(
        after_help = "  seawall graph obj update 140737488355341 about=Countess --unset picture --if-version 3"
    )]
    Update {
        /// Which
        #[arg(value_parser = id)]
        id: Id,
        /// Fields that get a value, as NAME=VALUE
        #[arg(value_parser = field, value_name = "FIELD")]
        fields: Vec<(String, String)>,
        /// A field that loses its value
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
        /// Only if it has this version
        #[arg(long, value_name = "N")]
        if_version: Option<u64>,
        /// Makes repeating harmless for a day
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// Delete one; its associations stay, and its id is never used again
    Delete {
        /// Which
        #[arg(value_parser = id)]
        id: Id,
    },
}

pub(super) async fn run(graph: &Graph, verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Add { r#type, fields: given, near, id, key } => {
            let schema = graph.schema().await?;
            // The server knows best which types there are.
            let known = schema.object(&r#type).map_or(&[][..], |kind| &kind.fields);
            let fields =
                if schema.object(&r#type).is_some() { fields(known, &given)? } else { Default::default() };
            let new = NewObject { otype: r#type, fields, near: near.map(WireId), id: id.map(WireId) };
            let made: Made = graph.call(Method::POST, "/v1/objects", key.as_deref(), Some(&new)).await?;
            graph.print(&made, || made.id.0.to_string())?;
        }
        Verb::Get { ids, critical } => return get(graph, &ids, critical).await,
        Verb::Update { id, fields: given, unset, if_version, key } => {
            let schema = graph.schema().await?;
            let object: Object = graph.get(&format!("/v1/objects/{id}")).await?;
            let known = schema.object(&object.otype).map_or(&[][..], |kind| &kind.fields);
            let change = UpdateObject { set: fields(known, &given)?, unset, if_version };
            let path = format!("/v1/objects/{id}");
            let done: Updated = graph.call(Method::PATCH, &path, key.as_deref(), Some(&change)).await?;
            graph.print(&done, || done.version.to_string())?;
        }
        Verb::Delete { id } => {
            let path = format!("/v1/objects/{id}");
            let done: Deleted = graph.call(Method::DELETE, &path, None, None::<&()>).await?;
            graph.print(&done, || (if done.deleted { "deleted" } else { "there was none" }).to_owned())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One by one, in the order asked for; exits 1 when one is not there.
async fn get(graph: &Graph, ids: &[Id], critical: bool) -> Result<ExitCode, Failure> {
    let ask = GetObjects { ids: ids.iter().copied().map(WireId).collect() };
    let consistency = if critical { "?consistency=critical" } else { "" };
    let path = format!("/v1/objects/get{consistency}");
    let found: Objects = graph.call(Method::POST, &path, None, Some(&ask)).await?;
    let mut all_there = true;
    for (id, object) in ids.iter().zip(&found.objects) {
        match object {
            Some(object) => graph.print(object, || {
                format!("{id}  {} v{}  {}", object.otype, object.version, shown(&object.fields))
            })?,
            None => {
                all_there = false;
                eprintln!("seawall: there is no object {id}");
            }
        }
    }
    Ok(if all_there { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
