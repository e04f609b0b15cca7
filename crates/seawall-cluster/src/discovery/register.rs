//! Being found: register, keep the heartbeat going, come back after the registry forgot, leave when asked.
//!
//! A system does not wait for this: it serves whoever knows its address while the registry is down.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use seawall_net::host::chain;
use seawall_policy::Rng;
use serde_json::json;

use super::Discovery;
use super::watch_loop::back_off;

/// How long one call to the registry may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest answer read; they are empty or one sentence.
const BODY_MAX: usize = 64 * 1024;
/// Heartbeats per TTL: two may be lost before the instance is thought dead.
const BEATS_PER_TTL: u32 = 3;
/// A critical instance is forgotten after this; the least Consul's API allows.
const FORGET_AFTER: &str = "1m";

/// What is told to the registry about this process.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The service offered.
    pub service: String,
    /// Unique among all instances: survives a restart of the process, differs between processes.
    pub id: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Free for callers to select by.
    pub tags: Vec<String>,
    /// Free for callers to read.
    pub meta: BTreeMap<String, String>,
    /// Without a heartbeat for this long, the instance counts as dead.
    pub ttl: Duration,
}

impl Registration {
    fn body(&self) -> Bytes {
        let body = json!({
            "ID": self.id,
            "Name": self.service,
            "Address": self.addr.ip().to_string(),
            "Port": self.addr.port(),
            "Tags": self.tags,
            "Meta": self.meta,
            "Check": {
                "TTL": seawall_policy::duration::format(self.ttl),
                "Status": "passing",
                "DeregisterCriticalServiceAfter": FORGET_AFTER,
            },
        });
        Bytes::from(body.to_string())
    }

    fn path(&self, verb: &str) -> String {
        let id = utf8_percent_encode(&self.id, NON_ALPHANUMERIC);
        match verb {
            "pass" => format!("/v1/agent/check/pass/service%3A{id}"),
            _ => format!("/v1/agent/service/deregister/{id}"),
        }
    }
}

impl Discovery {
    pub(super) async fn keep_registered(&self, registration: Registration) {
        let tasks = &self.0.host.tasks;
        let mut rng = Rng::new(self.0.host.seed);
        let mut failures: u32 = 0;
        // The registry that answers is the one to stay with; the next one is asked after a failure only.
        let mut turn: usize = 0;
        let mut registered = false;
        while !tasks.is_stopping() {
            let told = if registered {
                self.put(&mut turn, &registration.path("pass"), Bytes::new()).await
            } else {
                self.put(&mut turn, "/v1/agent/service/register", registration.body()).await
            };
            let pause = match told {
                Ok(StatusCode::OK) => {
                    if !registered {
                        tracing::info!(service = registration.service, id = registration.id, "registered");
                    }
                    (registered, failures) = (true, 0);
                    registration.ttl / BEATS_PER_TTL
                }
                // The registry lost us, or never knew: tell it everything again, at once.
                Ok(StatusCode::NOT_FOUND) if registered => {
                    registered = false;
                    Duration::ZERO
                }
                Ok(status) => {
                    turn += 1;
                    self.warn(&registration, &format!("it answered {status}"), &mut failures);
                    back_off(failures, &mut rng)
                }
                Err(why) => {
                    turn += 1;
                    self.warn(&registration, &why, &mut failures);
                    back_off(failures, &mut rng).min(registration.ttl / BEATS_PER_TTL)
                }
            };
            tasks.sleep(pause).await;
        }
        if registered {
            match self.put(&mut turn, &registration.path("deregister"), Bytes::new()).await {
                Ok(_) => tracing::info!(service = registration.service, id = registration.id, "deregistered"),
                Err(why) => tracing::warn!(
                    id = registration.id,
                    why,
                    "could not deregister; the registry will notice"
                ),
            }
        }
    }

    fn warn(&self, registration: &Registration, why: &str, failures: &mut u32) {
        *failures += 1;
        if *failures == 1 {
            tracing::warn!(id = registration.id, why, "registry unreachable, going on unregistered");
        }
    }

    /// One call to the registry whose turn it is, or the next that may be called; it is its turn from then on.
    async fn put(&self, turn: &mut usize, path: &str, body: Bytes) -> Result<StatusCode, String> {
        let settings = &self.0.settings;
        let chosen = self.0.registries.in_turn(*turn, self.0.host.clock.coarse());
        let (place, chosen) = chosen.ok_or("no registry is configured")?;
        *turn = place;
        let registry = chosen.addr();
        let mut request = Request::builder()
            .method(Method::PUT)
            .uri(path)
            .header(http::header::HOST, registry.to_string())
            .header(http::header::CONTENT_TYPE, "application/json");
        if let Some(token) = &settings.token {
            request = request.header(http::header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|e| e.to_string())?;
        let answer = self.0.client.call(registry, request, PATIENCE, BODY_MAX).await;
        self.judge(chosen, answer.as_ref().is_ok_and(|answer| !answer.status().is_server_error()));
        Ok(answer.map_err(|e| chain(&e))?.status())
    }
}
