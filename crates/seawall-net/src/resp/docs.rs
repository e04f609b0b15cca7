//! `COMMAND`: what a client's tool shows and completes.

use super::command::{Argument, Order, Spec};
use super::encoder::Reply;

/// One entry of plain `COMMAND` and of `COMMAND INFO`: ten values, as Redis 7 has them.
fn info(spec: &Spec, reply: &mut Reply<'_>) {
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.int(i64::from(spec.arity));
    reply.set(spec.flags.len());
    for flag in spec.flags {
        reply.simple(flag);
    }
    let (first, last, step) = spec.keys.unwrap_or_default();
    for number in [first, last, step] {
        reply.int(i64::from(number));
    }
    let categories = categories(spec);
    reply.set(categories.len());
    for category in &categories {
        reply.simple(category);
    }
    // Tips, and key specifications beyond first, last and step: none.
    reply.array(0);
    reply.array(0);
    reply.array(spec.subcommands.len());
    for spec in spec.subcommands {
        info(spec, reply);
    }
}

fn categories(spec: &Spec) -> Vec<&'static str> {
    let is = |flag| spec.flags.contains(&flag);
    let kind = match spec.order {
        Order::Write => Some("@write"),
        _ if is("readonly") => Some("@read"),
        _ => None,
    };
    let group = (spec.group == "connection").then_some("@connection");
    kind.into_iter().chain(group).chain([if is("fast") { "@fast" } else { "@slow" }]).collect()
}

/// What `COMMAND DOCS` says of one: its name, then a map.
fn docs(spec: &Spec, reply: &mut Reply<'_>) {
    reply.bulk(spec.name.as_bytes());
    reply.map(4 + usize::from(!spec.arguments.is_empty()) + usize::from(!spec.subcommands.is_empty()));
    for (key, value) in [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group),
        ("complexity", spec.complexity),
    ] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    if !spec.arguments.is_empty() {
        reply.bulk(b"arguments");
        arguments(spec.arguments, reply);
    }
    if !spec.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(spec.subcommands.len());
        for spec in spec.subcommands {
            docs(spec, reply);
        }
    }
}

fn arguments(list: &[Argument], reply: &mut Reply<'_>) {
    reply.array(list.len());
    for argument in list {
        let mut flags = Vec::new();
        flags.extend(argument.is_optional.then_some("optional"));
        flags.extend(argument.is_multiple.then_some("multiple"));
        let extra = [argument.token.is_some(), !flags.is_empty(), !argument.parts.is_empty()];
        reply.map(2 + extra.into_iter().filter(|is_there| *is_there).count());
        reply.bulk(b"name");
        reply.bulk(argument.name.as_bytes());
        reply.bulk(b"type");
        reply.bulk(argument.kind.as_str().as_bytes());
        if let Some(token) = argument.token {
            reply.bulk(b"token");
            reply.bulk(token.as_bytes());
        }
        if !flags.is_empty() {
            reply.bulk(b"flags");
            reply.set(flags.len());
            for flag in flags {
                reply.simple(flag);
            }
        }
        if !argument.parts.is_empty() {
            reply.bulk(b"arguments");
            arguments(argument.parts, reply);
        }
    }
}

/// A name, or a command's and its subcommand's with a bar between.
fn find<'t>(tables: &[&'t [Spec]], name: &[u8]) -> Option<&'t Spec> {
    let all = || tables.iter().flat_map(|table| table.iter());
    let subcommands = || all().flat_map(|spec| spec.subcommands);
    all().chain(subcommands()).find(|spec| name.eq_ignore_ascii_case(spec.name.as_bytes()))
}

/// Plain `COMMAND`.
pub(super) fn all(tables: &[&[Spec]], reply: &mut Reply<'_>) {
    reply.array(count(tables));
    tables.iter().flat_map(|table| table.iter()).for_each(|spec| info(spec, reply));
}

/// `COMMAND COUNT`.
pub(super) fn count(tables: &[&[Spec]]) -> usize {
    tables.iter().map(|table| table.len()).sum()
}

/// `COMMAND LIST`.
pub(super) fn list(tables: &[&[Spec]], reply: &mut Reply<'_>) {
    reply.array(count(tables));
    tables.iter().flat_map(|table| table.iter()).for_each(|spec| reply.bulk(spec.name.as_bytes()));
}

/// `COMMAND INFO`, of the named ones; of all, if none is named.
pub(super) fn infos<'n>(
    tables: &[&[Spec]],
    names: impl Iterator<Item = &'n [u8]> + Clone,
    reply: &mut Reply<'_>,
) {
    let named = names.clone().count();
    if named == 0 {
        return all(tables, reply);
    }
    reply.array(named);
    for name in names {
        match find(tables, name) {
            Some(spec) => info(spec, reply),
            None => reply.null(),
        }
    }
}

/// `COMMAND DOCS`, of the named ones; of all, if none is named. Names that are unknown are left out.
pub(super) fn docs_of<'n>(
    tables: &[&[Spec]],
    names: impl Iterator<Item = &'n [u8]> + Clone,
    reply: &mut Reply<'_>,
) {
    if names.clone().next().is_none() {
        reply.map(count(tables));
        return tables.iter().flat_map(|table| table.iter()).for_each(|spec| docs(spec, reply));
    }
    reply.map(names.clone().filter(|name| find(tables, name).is_some()).count());
    names.filter_map(|name| find(tables, name)).for_each(|spec| docs(spec, reply));
}
