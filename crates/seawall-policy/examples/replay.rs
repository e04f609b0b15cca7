//! Would another breaker have served us better? Two policies on the same trace.
//!
//! `cargo run -p seawall-policy --example replay [FILE]`
//!
//! FILE is CSV with a header or JSON lines: when each call began, what came of it, how long that took (see
//! `seawall_policy::replay::trace`). Without one, the example makes up a service that is down for a minute:
//! each second a call, which fails after 100 ms.
//!
//! The library reads no files and no clocks. Lines go into a [`Reader`], which gives back records in the
//! order in which the calls began; each goes into a [`Replay`] for each policy; what is left when the lines
//! are over is asked for with `rest`.

#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::error::Error;
use std::io::{BufRead, BufReader};

use seawall_policy::breaker::{HalfOpen, Open, Policy, Trip};
use seawall_policy::duration;
use seawall_policy::replay::Replay;
use seawall_policy::replay::trace::Reader;

/// Changes shown one by one.
const SHOWN: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    // Opens on the fifth failure in 10 s, for 30 s, and twice as long each time it is not over.
    let patient = Policy::s0_chat();
    // Opens when half of the last calls failed, and asks again every 5 s.
    let eager = Policy {
        trip: vec![Trip::Ratio { ratio: 0.5, min: 4 }],
        open: Open { for_: duration::parse("5s")?, growth: 1.0, max: duration::parse("5s")? },
        half_open: HalfOpen { admit: 1, close_after: 1 },
        ..patient.clone()
    };
    let mut reader = Reader::new();
    let mut replays = [Replay::breaker(patient), Replay::breaker(eager)];
    for line in lines()? {
        let line = line?;
        // A trace without its bad lines is another trace: stop, and say which one it was.
        if let Some(record) = reader.line(line.as_bytes()).map_err(|bad| format!("{line:?}: {bad}"))? {
            replays.iter_mut().try_for_each(|replay| replay.step(&record))?;
        }
    }
    while let Some(record) = reader.rest() {
        replays.iter_mut().try_for_each(|replay| replay.step(&record))?;
    }
    for (name, replay) in ["patient", "eager"].into_iter().zip(replays) {
        println!("== {name}\n{}", replay.finish().text(reader.start(), SHOWN));
    }
    Ok(())
}

type Lines = Box<dyn Iterator<Item = std::io::Result<String>>>;

fn lines() -> std::io::Result<Lines> {
    Ok(match std::env::args().nth(1) {
        Some(file) => Box::new(BufReader::new(std::fs::File::open(file)?).lines()),
        None => Box::new(outage().into_iter().map(Ok)),
    })
}

/// Three minutes of one call a second, of which the second fails.
fn outage() -> Vec<String> {
    let call = |second| match second {
        60..120 => format!("{second},failed,100"),
        _ => format!("{second},success,20"),
    };
    std::iter::once("time,outcome,latency_ms".to_owned()).chain((0..180).map(call)).collect()
}
