//! The ready table: what runs, where, and one command to try.

use std::collections::BTreeMap;

use seawall_net::host::Endpoint;
use serde_json::json;

use super::System;

pub(super) fn print(ready: &BTreeMap<System, Vec<Endpoint>>, json: bool) {
    if json {
        let rows: Vec<_> = rows(ready)
            .map(|(system, e)| json!({"system": system.name(), "what": e.what, "address": e.addr, "try": e.try_it}))
            .collect();
        println!("{}", json!({ "ready": rows }));
        return;
    }
    let rows: Vec<[String; 4]> = rows(ready)
        .map(|(system, e)| {
            [system.name().to_owned(), e.what.to_owned(), e.addr.to_string(), e.try_it.clone()]
        })
        .collect();
    let head = ["system", "serves", "address", "try"].map(str::to_owned);
    let width = |column: usize| rows.iter().chain([&head]).map(|r| r[column].len()).max().unwrap_or(0);
    let (a, b, c) = (width(0), width(1), width(2));
    for [system, what, addr, try_it] in std::iter::once(&head).chain(&rows) {
        println!("{system:<a$}  {what:<b$}  {addr:<c$}  {try_it}");
    }
}

fn rows(ready: &BTreeMap<System, Vec<Endpoint>>) -> impl Iterator<Item = (System, &Endpoint)> {
    ready.iter().flat_map(|(system, endpoints)| endpoints.iter().map(|e| (*system, e)))
}
