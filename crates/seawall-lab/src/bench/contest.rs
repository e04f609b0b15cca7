//! Two sides, one load, rounds in turns.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, LOCATION};
use http::{Request, Response};
use http_body_util::Full;
use seawall_drill::Client;

use super::Options;
use super::cpu::{self, Cpu};
use super::judge::Cost;
use super::wrk::{Summary, Wrk};
use crate::LabError;
use crate::servers::program::Cores;
use crate::servers::{Server, nginx};

/// Within this time a side must begin to answer rightly: a balancer, for one, learns of its
/// backends after it is ready itself.
const AGREE_WITHIN: Duration = Duration::from_secs(10);
/// How often it is asked until then.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Patience for one of those answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Seconds each side is loaded before the first round that counts: caches fill, buffers grow.
const WARM_UP_SECONDS: u32 = 1;

/// One side: the server clients see, and whatever it needs to be it.
#[derive(Debug)]
pub struct Side {
    /// For the report.
    pub name: &'static str,
    /// Where the load goes.
    pub address: SocketAddr,
    /// Processes whose CPU time and memory are this side's.
    pub servers: Vec<Server>,
}

impl Side {
    /// One server.
    #[must_use]
    pub fn new(name: &'static str, server: Server) -> Side {
        Side { name, address: server.address(), servers: vec![server] }
    }

    /// Puts a proxy before it, whose work counts as this side's.
    pub(super) async fn behind_a_hop(&mut self, cores: Cores) -> Result<(), LabError> {
        let hop = nginx::start(nginx::Role::Proxy { to: self.address }, cores.server).await?;
        self.address = hop.address();
        self.servers.push(hop);
        Ok(())
    }

    fn used(&self) -> Result<Cpu, LabError> {
        self.servers.iter().map(|server| cpu::used(server.pid())).sum()
    }

    /// Memory of its processes, in bytes.
    ///
    /// # Errors
    /// When one of them is gone.
    pub fn resident(&self) -> Result<u64, LabError> {
        self.servers.iter().map(|server| cpu::resident(server.pid())).sum()
    }
}

/// A path, and what both sides must answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// What is asked for.
    pub path: String,
    /// The right status.
    pub status: u16,
    /// The right `Location`.
    pub location: Option<String>,
    /// The right body, where it matters.
    pub body: Option<&'static str>,
}

/// What one side did in one round.
#[derive(Debug, Clone, Copy, Default)]
pub struct Round {
    /// The load generator's summary.
    pub load: Summary,
    /// CPU time of the side's processes meanwhile.
    pub cpu: Cpu,
}

impl Round {
    /// What the judge needs.
    #[must_use]
    pub fn cost(&self) -> Cost {
        Cost { operations: self.load.requests, cpu: self.cpu.total() }
    }
}

/// A bench, prepared.
#[derive(Debug)]
pub struct Contest {
    /// Of the bench.
    pub name: &'static str,
    /// What one operation is, in the report.
    pub operation: String,
    /// What a reader of the figures must know.
    pub notes: Vec<&'static str>,
    /// Our side.
    pub ours: Side,
    /// The opponent.
    pub theirs: Side,
    /// The load, the same for both.
    pub load: Wrk,
    /// The `Host` of every request.
    pub host: &'static str,
    /// What both must answer before anything is measured.
    pub samples: Vec<Sample>,
    /// Servers both lean on; their CPU time is nobody's.
    pub others: Vec<Server>,
}

impl Contest {
    /// Asks both sides for every sample: the speed of wrong answers is no figure.
    pub(super) async fn agree(&self) -> Result<(), LabError> {
        for side in [&self.ours, &self.theirs] {
            let mut client = Client::new(side.address, ANSWER_WITHIN);
            for sample in &self.samples {
                let asking = async {
                    loop {
                        let found = ask(&mut client, self.host, sample).await;
                        if found == sample.words() {
                            return;
                        }
                        tokio::time::sleep(ASK_EVERY).await;
                    }
                };
                if tokio::time::timeout(AGREE_WITHIN, asking).await.is_err() {
                    let found = ask(&mut client, self.host, sample).await;
                    let (side, path) = (side.name.to_owned(), sample.path.clone());
                    return Err(LabError::WrongAnswer { side, path, found, wanted: sample.words() });
                }
            }
        }
        Ok(())
    }

    /// Plays the rounds, (ours, theirs) each.
    pub(super) async fn play(&mut self, options: &Options) -> Result<Vec<(Round, Round)>, LabError> {
        if options.full {
            round(&mut self.load, &self.ours, WARM_UP_SECONDS).await?;
            round(&mut self.load, &self.theirs, WARM_UP_SECONDS).await?;
        }
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            let ours = round(&mut self.load, &self.ours, options.seconds).await?;
            let theirs = round(&mut self.load, &self.theirs, options.seconds).await?;
            rounds.push((ours, theirs));
        }
        Ok(rounds)
    }
}

async fn round(load: &mut Wrk, side: &Side, seconds: u32) -> Result<Round, LabError> {
    let before = side.used()?;
    let summary = load.run(side.address, seconds).await?;
    let cpu = side.used()? - before;
    let errors = summary.errors;
    if errors.total() > 0 || summary.requests == 0 {
        let detail = format!("{errors:?} of {} answers", summary.requests);
        return Err(LabError::Load { side: side.name.to_owned(), errors: errors.total(), detail });
    }
    Ok(Round { load: summary, cpu })
}

impl Sample {
    fn words(&self) -> String {
        words(self.status, self.location.as_deref(), self.body)
    }
}

fn words(status: u16, location: Option<&str>, body: Option<&str>) -> String {
    let mut text = status.to_string();
    if let Some(location) = location {
        text.push_str(&format!(" to {location}"));
    }
    if let Some(body) = body {
        text.push_str(&format!(" {body:?}"));
    }
    text
}

async fn ask(client: &mut Client, host: &str, sample: &Sample) -> String {
    let request = Request::get(&sample.path).header(HOST, host).body(Full::<Bytes>::default());
    let Ok(request) = request else { return "no request can be made of it".to_owned() };
    match client.send(request, ANSWER_WITHIN).await {
        Ok(answer) => describe(&answer, sample.body.is_some()),
        Err(error) => error.to_string(),
    }
}

fn describe(answer: &Response<Bytes>, with_body: bool) -> String {
    let location = answer.headers().get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let body = String::from_utf8_lossy(answer.body());
    words(answer.status().as_u16(), location.as_deref(), with_body.then_some(&body))
}
