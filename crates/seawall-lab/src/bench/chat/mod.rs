//! One message, a thousand listeners: logged-in sessions with the journal on, against nats-server and nchan.
//!
//! ```text
//! side.rs        who is measured: started, filled with users, and let go
//! enter.rs       how a listener gets in
//! publisher.rs   how messages do
//! walk.rs        what arrives is counted by the heads of frames alone
//! crowd.rs       all of them on one thread
//! play.rs        a round at the ceiling, a round at a fixed rate
//! ring.rs        the bare ring: what a delivery costs without sessions, journal and store
//! report.rs      what is printed
//! ```
//!
//! # What is compared
//!
//! Whoever listens to chat is sent a MESSAGE_CREATE, several times as long as what was said. So that nobody wins by
//! saying less, the others' payloads are padded until a message has as many bytes on the wire as ours. A message
//! enters us by the same door as any bot's, and is on disk before anybody hears of it; what that costs is part of our
//! CPU time, and also measured apart, with nobody listening.
//!
//! # At the ceiling
//!
//! Below saturation a server that coalesces uses its whole core at any rate, so CPU time per delivery says nothing
//! there. At the ceiling, [`play::WINDOW`] messages are on their way: the next one leaves when *every* listener has
//! the one so many before it. Nobody can fall behind, so everybody gets everything, and the slowest sets the pace.
//! Below it, rates are fixed and delays are measured, from the moment a message was due.

mod crowd;
mod enter;
mod play;
mod publisher;
mod report;
mod ring;
mod side;
mod walk;

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Options;
use super::bars::ChatBars;
use super::judge::Verdict;
use crate::LabError;
use crate::servers::program::{Cores, tie_this_thread};
use crowd::Crowd;
use play::{Outcome, WINDOW};
use publisher::CONTENT;
use side::{Side, Who};

/// Listeners.
const LISTENERS: usize = 1_000;
/// Listeners of a smoke run.
const LISTENERS_SMOKE: usize = 20;
/// Listeners that only wait, and as many in a smoke run.
const IDLE: usize = 8_000;
const IDLE_SMOKE: usize = 50;
/// How long nothing happens before idle memory is looked at.
const SETTLE: Duration = Duration::from_secs(2);
/// Messages a second at which delays are measured, and the one of a smoke run.
const RATES: &[u32] = &[50, 200, 800];
const RATES_SMOKE: &[u32] = &[50];
/// Messages that show how many bytes one has on the wire.
const PROBES: u32 = 50;
/// Patience for each of them.
const PROBE_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a message on the wire where ours is not there to be measured.
const WIRE_BYTES: u64 = 800;
/// Descriptors besides those of listeners.
const DESCRIPTORS: u64 = 1_000;
/// Rounds of the others with the content alone, which nobody is judged by.
const SHORT_ROUNDS: u32 = 2;

/// In the order in which they play.
const SIDES: [Who; 4] = [Who::Ours, Who::Nats, Who::Nchan, Who::Ring];

/// Everything measured.
#[derive(Debug, Default)]
struct Figures {
    names: Vec<&'static str>,
    /// Bytes of a message on the wire.
    wire: u64,
    /// Per side: memory of an idle listener in bytes, and how many there were.
    idle: Vec<(f64, usize)>,
    /// Per side and round, at the ceiling.
    ceiling: Vec<Vec<Outcome>>,
    /// Per side, with the content alone.
    short: Vec<Vec<Outcome>>,
    /// Durable sends that nobody hears.
    unheard: Vec<Outcome>,
    /// Per rate and side.
    steady: Vec<(u32, Vec<Outcome>)>,
}

/// Runs it; the last line said is the one to quote.
///
/// # Errors
/// When a program is missing or does not start, or somebody was not sent what was said.
pub(super) async fn run(
    bars: &ChatBars,
    options: &Options,
    cores: Cores,
    say: &mut dyn FnMut(&str),
) -> Result<Verdict, LabError> {
    let listeners = if options.full { LISTENERS } else { LISTENERS_SMOKE };
    report::head(options, listeners, cores, say);
    let mut figures = Figures::default();
    let idle = idle_listeners(options);
    for who in [Who::Ours, Who::Nats, Who::Nchan] {
        let side = Side::start(who, options, cores).await?;
        figures.idle.push((on_a_thread(cores, || memory(&side, idle))?, idle));
    }
    let mut sides = Vec::new();
    for who in SIDES {
        sides.push(Side::start(who, options, cores).await?);
    }
    figures.names = sides.iter().map(|side| side.name).collect();
    report::servers(&sides, say);
    on_a_thread(cores, || measure(&sides, listeners, options, &mut figures))?;
    Ok(report::all(bars, &figures, options, say))
}

/// Runs `work` on a thread of its own, tied to the load's core.
fn on_a_thread<T: Send>(
    cores: Cores,
    work: impl FnOnce() -> Result<T, LabError> + Send,
) -> Result<T, LabError> {
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            tie_this_thread(cores.load);
            work()
        });
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// How many may only wait: each needs a descriptor here and one in the server, which inherits our limit.
fn idle_listeners(options: &Options) -> usize {
    if !options.full {
        return IDLE_SMOKE;
    }
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Refused, it stays as it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let allowed = maximum.or(current).unwrap_or(u64::MAX).saturating_sub(DESCRIPTORS);
    IDLE.min(usize::try_from(allowed).unwrap_or(usize::MAX))
}

/// Memory that one more idle listener takes, in bytes.
fn memory(side: &Side, count: usize) -> Result<f64, LabError> {
    let before = side.resident()?;
    let mut crowd = side.gather(count)?;
    crowd.rest(SETTLE)?;
    Ok((side.resident()? as f64 - before as f64) / count as f64)
}

fn measure(
    sides: &[Side],
    listeners: usize,
    options: &Options,
    figures: &mut Figures,
) -> Result<(), LabError> {
    let time = Duration::from_secs(options.seconds.into());
    let mut crowds = sides.iter().map(|side| side.gather(listeners)).collect::<Result<Vec<_>, _>>()?;
    let lengths = even_out(sides, &mut crowds, figures)?;
    figures.ceiling = vec![Vec::new(); sides.len()];
    for _ in 0..options.rounds {
        for (i, side) in sides.iter().enumerate() {
            let what = (WINDOW, lengths[i]);
            beat(&mut crowds)?;
            figures.ceiling[i].push(play::ceiling(&mut crowds[i], &|| side.used(), what, time)?);
        }
    }
    figures.short = vec![Vec::new(); sides.len()];
    for (i, side) in sides.iter().enumerate().skip(1) {
        for _ in 0..options.rounds.min(SHORT_ROUNDS) {
            let what = (WINDOW, CONTENT);
            beat(&mut crowds)?;
            figures.short[i].push(play::ceiling(&mut crowds[i], &|| side.used(), what, time)?);
        }
    }
    if let Some(unheard) = sides[0].unheard() {
        let mut crowd = unheard?;
        for _ in 0..options.rounds.min(SHORT_ROUNDS) {
            let what = (WINDOW, CONTENT);
            beat(&mut crowds)?;
            figures.unheard.push(play::ceiling(&mut crowd, &|| sides[0].used(), what, time)?);
        }
    }
    for rate in if options.full { RATES } else { RATES_SMOKE } {
        let mut outcomes = Vec::new();
        for (i, side) in sides.iter().enumerate() {
            beat(&mut crowds)?;
            outcomes.push(play::steady(&mut crowds[i], &|| side.used(), (*rate, lengths[i]), time)?);
        }
        figures.steady.push((*rate, outcomes));
    }
    Ok(())
}

/// Whoever has to says that it is still there, also while others play.
fn beat(crowds: &mut [Crowd]) -> Result<(), LabError> {
    crowds.iter_mut().try_for_each(Crowd::beat)
}

/// How long a content makes a message of each side as long on the wire as ours. Found out by sending some: one at a
/// time, so that nobody packs two together.
fn even_out(sides: &[Side], crowds: &mut [Crowd], figures: &mut Figures) -> Result<Vec<usize>, LabError> {
    let mut wire = Vec::new();
    for (side, crowd) in sides.iter().zip(crowds.iter_mut()) {
        crowd.begin()?;
        for sent in 1..=PROBES {
            crowd.send(crowd.now(), CONTENT)?;
            let late = crowd.after(PROBE_WITHIN);
            while crowd.heard.low < sent || !crowd.publisher.is_idle() {
                if crowd.now() > late {
                    let found = format!("{} deliveries of {sent} messages", crowd.heard.deliveries);
                    return Err(publisher::odd(
                        "a message at every listener of a side",
                        &format!("{}: {found}", side.name),
                    ));
                }
                crowd.turn(Duration::from_millis(20))?;
            }
        }
        wire.push(crowd.heard.bytes / crowd.heard.deliveries.max(1));
    }
    let is_ours = sides[0].is_durable();
    figures.wire = if is_ours { wire[0] } else { WIRE_BYTES };
    Ok(wire.iter().map(|bytes| CONTENT + figures.wire.saturating_sub(*bytes) as usize).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smoke_run_needs_no_more_descriptors_than_there_are() {
        let options = |full| Options {
            seawall: "none".into(),
            rounds: 1,
            seconds: 1,
            full,
            quick: false,
            plants: Vec::new(),
        };
        assert_eq!(idle_listeners(&options(false)), IDLE_SMOKE);
        assert!(idle_listeners(&options(true)) <= IDLE);
    }
}
