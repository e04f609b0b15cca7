//! The graph against Redis, PostgreSQL, and the one before the other.
//!
//! ```text
//! world.rs        everything that is there before the first round, from one seed
//! taobench.rs     TAOBench's workloads A and O
//! linkbench.rs    LinkBench's mix
//! draw.rs, op.rs  their draws; what they ask for, and the schema
//! row.rs          rows that ask for one thing
//! side.rs         who plays: started, filled, asked
//! ours.rs, redis.rs, postgres.rs, aside.rs, wire.rs   how each is asked
//! play.rs         a round
//! stale.rs        reads that show less than was acknowledged a second before
//! report.rs       what is printed
//! ```
//!
//! # Rows and mixes
//!
//! Rows ask for one thing over and over, from memory (but for the durable write), and have bars. Mixes are what
//! graphs are asked in practice, with caches too small for everything; they have no bar but one: none of our reads is
//! stale.
//!
//! # Is it right?
//!
//! [`Plant::Itself`] puts a second Redis and a second PostgreSQL in our place: each row must come out as 1. In the mixes
//! a second Redis before PostgreSQL stands there, whose stale reads are said and nobody's fault.
//! [`Plant::SlowServer`] sends each request of our rows twice and counts it once: what was met must be missed.

mod aside;
mod draw;
mod linkbench;
mod op;
mod ours;
mod play;
mod postgres;
mod redis;
mod report;
mod row;
mod side;
mod stale;
mod taobench;
mod wire;
mod world;

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use seawall_net::clock::SystemClock;

use super::bars::GraphBars;
use super::judge::Verdict;
use super::{Options, Plant};
use crate::LabError;
use crate::servers::memory::Group;
use crate::servers::program::{Cores, tie_this_thread};
use play::{Outcome, Table};
use row::Row;
use side::{Limits, Memory, Side, Who};
use stale::Ledger;
use world::{Mix, Scale, World};

/// How much a run does.
#[derive(Debug, Clone, Copy)]
struct Size {
    scale: Scale,
    clients: usize,
    memory: Memory,
    time: Duration,
    /// Rounds of each mix that fill caches and are not counted.
    warm_up: u32,
}

/// Memory of a side beside its caches: the database's own, and the kernel's pages of its files.
const BESIDE: u64 = 512 << 20;
const MIB: u64 = 1 << 20;

impl Size {
    fn of(options: &Options) -> Size {
        let seconds = Duration::from_secs(options.seconds.into());
        let memory = |follower, leader, mib| Memory { follower, leader, bytes: mib * MIB };
        if !options.full {
            let scale = Scale { edges: 400, row_objects: 200, row_lists: 10 };
            let memory = memory("3MiB", "1MiB", 4);
            return Size { scale, clients: 8, memory, time: Duration::from_millis(100), warm_up: 0 };
        }
        if options.quick {
            let scale = Scale { edges: 100_000, row_objects: 10_000, row_lists: 200 };
            return Size { scale, clients: 64, memory: memory("6MiB", "2MiB", 8), time: seconds, warm_up: 1 };
        }
        let scale = Scale { edges: 1_000_000, row_objects: 100_000, row_lists: 2_000 };
        Size { scale, clients: 64, memory: memory("48MiB", "16MiB", 64), time: seconds, warm_up: 2 }
    }
}

/// Rounds of one row, ours and theirs.
#[derive(Debug)]
struct RowFigures {
    row: Row,
    ours: Vec<Outcome>,
    theirs: Vec<Outcome>,
}

/// Rounds of one mix, by side.
#[derive(Debug)]
struct MixFigures {
    mix: Mix,
    sides: Vec<Vec<Outcome>>,
    /// Checked and stale, by side.
    checks: Vec<(u64, u64)>,
}

/// Runs it; the last line said is the one to quote.
///
/// # Errors
/// When a program is missing or does not start, or somebody answers wrongly.
pub(super) fn run(
    bars: &GraphBars,
    options: &Options,
    cores: Cores,
    say: &mut dyn FnMut(&str),
) -> Result<Verdict, LabError> {
    // A thread of its own, tied to the load's core, with all clients on it.
    std::thread::scope(|scope| {
        let (lines, said) = channel();
        let playing = scope.spawn(move || {
            tie_this_thread(cores.load);
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().map_err(LabError::io("start a runtime"))?;
            runtime.block_on(play_all(bars, options, cores, lines))
        });
        said.iter().for_each(|line: String| say(&line));
        playing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

async fn play_all(
    bars: &GraphBars,
    options: &Options,
    cores: Cores,
    lines: Sender<String>,
) -> Result<Verdict, LabError> {
    // Nobody listening any more means the thread that says them is gone; then this one ends with it.
    let say = &mut |line: String| drop(lines.send(line));
    let size = Size::of(options);
    report::head(options, size, cores, say);
    let world = World::make(size.scale);
    let rows = play_rows(&world, size, options, cores).await?;
    let row_verdicts = report::rows(bars, &rows, options, say);
    let mixes = play_mixes(&world, size, options, cores, say).await?;
    report::mixes(&mixes, say);
    Ok(report::summary(bars, &row_verdicts, &mixes, options, say))
}

async fn play_rows(
    world: &World,
    size: Size,
    options: &Options,
    cores: Cores,
) -> Result<Vec<RowFigures>, LabError> {
    let loaded = world::rows(size.scale);
    let with = (options, cores);
    let start = |who| Side::start(who, Limits::default(), &loaded, size.clients, with);
    let mut redis = start(Who::Redis).await?;
    let mut postgres = start(Who::Postgres).await?;
    // In our place: one server for all rows, or a second one of each opponent.
    let (mut ours, mut second) = if options.plants(Plant::Itself) {
        let second = start(Who::Postgres).await?.planted("PostgreSQL too", options);
        (start(Who::Redis).await?.planted("Redis too", options), Some(second))
    } else {
        (start(Who::Ours).await?.planted(Who::Ours.name(), options), None)
    };
    let clock = SystemClock::new();
    let mut all = Vec::new();
    for row in Row::ALL {
        let mut figures = RowFigures { row, ours: Vec::new(), theirs: Vec::new() };
        let is_write = row == Row::Add;
        let theirs = if is_write { &mut postgres } else { &mut redis };
        let ours = match &mut second {
            Some(second) if is_write => second,
            _ => &mut ours,
        };
        for round in 0..options.rounds + u32::from(options.full) {
            let table = Table { clock: &clock, time: size.time, seed: u64::from(round) };
            let one = play::row(ours, row, size.scale, world, &table).await?;
            let other = play::row(theirs, row, size.scale, world, &table).await?;
            // The first one of a run for figures warms up.
            if round > 0 || !options.full {
                figures.ours.push(one);
                figures.theirs.push(other);
            }
        }
        all.push(figures);
    }
    Ok(all)
}

async fn play_mixes(
    world: &World,
    size: Size,
    options: &Options,
    cores: Cores,
    say: &mut dyn FnMut(String),
) -> Result<Vec<MixFigures>, LabError> {
    let limit = size.memory.bytes + BESIDE;
    let groups = [Who::Ours, Who::Aside].map(|who| Group::make(&format!("{who:?}").to_lowercase(), limit));
    let are_grouped = groups.iter().all(Option::is_some);
    let [ours, aside] =
        groups.each_ref().map(|group| group.as_ref().map(Group::folder).filter(|_| are_grouped));
    let memory = Some(size.memory);
    let first = if options.plants(Plant::Itself) { Who::Aside } else { Who::Ours };
    let players = [
        (first, Limits { cache: memory, group: ours }),
        (Who::Aside, Limits { cache: memory, group: aside }),
        (Who::Redis, Limits::default()),
        (Who::Postgres, Limits::default()),
    ];
    let mut sides = Vec::new();
    for (who, limits) in players {
        sides.push(Side::start(who, limits, &world.loaded, size.clients, (options, cores)).await?);
    }
    if first == Who::Aside {
        sides[0].name = "Redis before PostgreSQL too";
    }
    report::memory(&sides, &groups, (size.memory, limit), say)?;
    let clock = SystemClock::new();
    let mut ledgers: Vec<Ledger> = sides.iter().map(|_| Ledger::default()).collect();
    let mut all = Vec::new();
    for (place, mix) in Mix::ALL.into_iter().enumerate() {
        let mut figures = MixFigures { mix, sides: vec![Vec::new(); sides.len()], checks: Vec::new() };
        let before: Vec<_> = ledgers.iter().map(|ledger| (ledger.checked, ledger.stale)).collect();
        for round in 0..options.rounds + size.warm_up {
            let seed = 1_000 * (place as u64 + 1) + u64::from(round);
            let table = Table { clock: &clock, time: size.time, seed };
            for (i, side) in sides.iter_mut().enumerate() {
                let outcome = play::mix(side, mix, world, &mut ledgers[i], &table).await?;
                if round >= size.warm_up {
                    figures.sides[i].push(outcome);
                }
            }
            for (side, ledger) in sides.iter_mut().zip(&mut ledgers) {
                play::settle(side, ledger, &clock).await?;
            }
        }
        figures.checks = ledgers
            .iter()
            .zip(before)
            .map(|(ledger, (checked, stale))| (ledger.checked - checked, ledger.stale - stale))
            .collect();
        report::mix(&figures, &sides, say)?;
        all.push(figures);
    }
    // Servers first, then the groups they were in.
    drop(sides);
    Ok(all)
}
