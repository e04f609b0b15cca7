//! `seawall status`: asks each system's own pages how it is.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::HOST;
use seawall_net::ops::Ready;
use serde_json::json;

use super::http::{Server, block_on};
use crate::cli::ConfigSource;
use crate::config::Config;
use crate::exit::Failure;
use crate::up::System;

/// A system that takes longer than this to say how it is, is not well.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn run(systems: &[System], source: &ConfigSource, json: bool) -> Result<ExitCode, Failure> {
    let config = Config::load(source.file.as_deref(), &source.set)?;
    let systems = if systems.is_empty() { &System::ALL[..] } else { systems };
    let rows = block_on(PATIENCE, async |server| {
        let mut rows = Vec::new();
        for system in systems {
            let addr = system.pages(&config);
            rows.push((*system, addr, ask(&server, addr).await));
        }
        Ok(rows)
    })?;
    let all_ready = rows.iter().all(|(_, _, answer)| answer.as_ref().is_ok_and(|r| r.ready));
    if json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(system, addr, answer)| match answer {
                Ok(ready) => {
                    json!({"system": system.name(), "address": addr, "answers": true, "ready": ready})
                }
                Err(why) => json!({"system": system.name(), "address": addr, "answers": false, "error": why}),
            })
            .collect();
        println!("{}", json!({ "systems": rows }));
    } else {
        println!("{:<10} {:<22} {:>8}  state", "system", "address", "restarts");
        for (system, addr, answer) in &rows {
            print_row(*system, *addr, answer);
        }
    }
    Ok(if all_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_row(system: System, addr: SocketAddr, answer: &Result<Ready, String>) {
    let (system, addr) = (system.name(), addr.to_string());
    match answer {
        Err(why) => println!("{system:<10} {addr:<22} {:>8}  no answer: {why}", "-"),
        Ok(ready) => {
            let last =
                ready.life.last_end.as_ref().map(|why| format!(" (last run {why})")).unwrap_or_default();
            println!("{system:<10} {addr:<22} {:>8}  {}{last}", ready.life.restarts, ready.state);
        }
    }
}

async fn ask(server: &Server, addr: SocketAddr) -> Result<Ready, String> {
    let request = Request::get("/-/ready")
        .header(HOST, addr.to_string())
        .body(Bytes::new())
        .map_err(|e| e.to_string())?;
    let answer = server.call(addr, request).await.map_err(|e| e.to_string())?;
    serde_json::from_slice(answer.body()).map_err(|_| "something else listens there".into())
}
