//! A round: so many clients, each with one thing under way at a time, for so long.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::try_join_all;
use seawall_net::clock::SystemClock;
use seawall_policy::{Clock, Rng};

use super::op::{Key, Op};
use super::row::Row;
use super::side::{Client, Side};
use super::stale::Ledger;
use super::world::{Mix, Scale, World};
use crate::LabError;
use crate::bench::cpu::{self, Cpu};
use crate::bench::judge::Cost;

/// How long a checker waits when nothing is due.
const IDLE: Duration = Duration::from_millis(5);

/// What a round was like.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    pub operations: u64,
    pub took: Duration,
    /// CPU time of the side meanwhile.
    pub cpu: Cpu,
    /// CPU time of the load meanwhile: at `took` it was the load that could do no more.
    pub load: Duration,
    /// Hits and misses of its cache meanwhile, where it has one.
    pub hits: Option<(u64, u64)>,
    /// Transactions that had to be begun again.
    pub again: u64,
    /// Sorted, nanoseconds.
    pub delays: Vec<u32>,
}

impl Outcome {
    pub(super) fn cost(&self) -> Cost {
        Cost { operations: self.operations, cpu: self.cpu.total() }
    }

    /// The delay that `share` of the operations did not exceed, in milliseconds.
    pub(super) fn delay(&self, share: f64) -> f64 {
        let last = self.delays.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.delays.get(at).map_or(f64::NAN, |nanos| f64::from(*nanos) / 1e6)
    }
}

#[derive(Default)]
struct Tally {
    delays: Vec<u32>,
    again: u64,
}

impl Tally {
    fn count(&mut self, began: u64, now: u64) {
        self.delays.push(u32::try_from(now - began).unwrap_or(u32::MAX));
    }
}

/// The players' clock, and the seed of the round: each contender's client draws what the others' drew.
pub(super) struct Table<'a> {
    pub clock: &'a SystemClock,
    pub time: Duration,
    pub seed: u64,
}

impl Table<'_> {
    fn over(&self) -> u64 {
        self.clock.now().0 + self.time.as_nanos() as u64
    }

    fn rng(&self, client: usize) -> Rng {
        Rng::new(self.seed.wrapping_mul(1_000_003).wrapping_add(client as u64))
    }
}

/// A round of one row.
pub(super) async fn row(
    side: &mut Side,
    row: Row,
    scale: Scale,
    world: &World,
    table: &Table<'_>,
) -> Result<Outcome, LabError> {
    let tally = RefCell::new(Tally::default());
    let times = if side.is_slowed { 2 } else { 1 };
    let before = Before::look(side, table).await?;
    let over = table.over();
    let clients = side.clients.iter_mut().enumerate().map(|(i, client)| {
        let (tally, mut rng) = (&tally, table.rng(i));
        async move {
            loop {
                let began = table.clock.now().0;
                if began >= over {
                    return Ok::<_, LabError>(());
                }
                for _ in 0..times {
                    client.shot(row, scale, &world.fresh, &mut rng).await?;
                }
                tally.borrow_mut().count(began, table.clock.now().0);
            }
        }
    });
    try_join_all(clients).await?;
    before.outcome(side, table, tally.into_inner()).await
}

/// A round of a mix. Writes are noted in `ledger`, and some read again by another client a second later.
pub(super) async fn mix(
    side: &mut Side,
    mix: Mix,
    world: &World,
    ledger: &mut Ledger,
    table: &Table<'_>,
) -> Result<Outcome, LabError> {
    let tally = RefCell::new(Tally::default());
    let before = Before::look(side, table).await?;
    let over = table.over();
    let noted = RefCell::new(&mut *ledger);
    let clients = side.clients.iter_mut().enumerate().map(|(i, client)| {
        let (tally, noted, mut rng) = (&tally, &noted, table.rng(i));
        async move {
            loop {
                let began = table.clock.now().0;
                if began >= over {
                    return Ok::<_, LabError>(());
                }
                let mut op = world.next(mix, &mut rng);
                let written = stamped(&mut op, &mut noted.borrow_mut(), began);
                let again = client.call(&op).await?;
                let now = table.clock.now().0;
                let mut tally = tally.borrow_mut();
                tally.count(began, now);
                tally.again += again;
                let mut noted = noted.borrow_mut();
                written.iter().for_each(|(key, stamp)| noted.acknowledge(*key, *stamp, now));
            }
        }
    });
    let checks = check(&mut side.checker, &noted, table.clock, Some(over));
    futures_util::future::try_join(try_join_all(clients), checks).await?;
    before.outcome(side, table, tally.into_inner()).await
}

/// Makes the checks that are left, each when it is due.
pub(super) async fn settle(
    side: &mut Side,
    ledger: &mut Ledger,
    clock: &SystemClock,
) -> Result<(), LabError> {
    check(&mut side.checker, &RefCell::new(ledger), clock, None).await
}

/// Makes checks that are due, until a moment or until none is left.
async fn check(
    client: &mut Client,
    ledger: &RefCell<&mut Ledger>,
    clock: &SystemClock,
    until: Option<u64>,
) -> Result<(), LabError> {
    loop {
        let now = clock.now().0;
        if until.is_some_and(|until| now >= until) {
            return Ok(());
        }
        let due = ledger.borrow_mut().due(now);
        if let Some(check) = due {
            let shown = client.look(check.key).await?;
            ledger.borrow_mut().seen(check, shown);
        } else if ledger.borrow().next_due().is_none() && until.is_none() {
            return Ok(());
        } else {
            tokio::time::sleep(IDLE).await;
        }
    }
}

/// Fills stamps in; what is written, and by which stamp.
fn stamped(op: &mut Op, ledger: &mut Ledger, now: u64) -> Vec<(Key, u32)> {
    let one = |op: &mut Op, ledger: &mut Ledger| {
        let (key, stamp, is_deletion) = op.write()?;
        *stamp = ledger.begin(key, is_deletion, now);
        Some((key, *stamp))
    };
    match op {
        Op::Writes(writes) => writes.iter_mut().filter_map(|op| one(op, ledger)).collect(),
        op => one(op, ledger).into_iter().collect(),
    }
}

/// What is compared with the end of a round.
struct Before {
    at: u64,
    cpu: Cpu,
    load: Cpu,
    hits: Option<(u64, u64)>,
}

impl Before {
    async fn look(side: &mut Side, table: &Table<'_>) -> Result<Before, LabError> {
        let hits = side.hits().await?;
        Ok(Before { at: table.clock.now().0, cpu: side.used()?, load: cpu::used_by_this_thread()?, hits })
    }

    async fn outcome(self, side: &mut Side, table: &Table<'_>, tally: Tally) -> Result<Outcome, LabError> {
        let after = Before::look(side, table).await?;
        let hits = after.hits.zip(self.hits).map(|((hits, misses), (hits_before, misses_before))| {
            (hits.saturating_sub(hits_before), misses.saturating_sub(misses_before))
        });
        let mut delays = tally.delays;
        delays.sort_unstable();
        if delays.is_empty() {
            let detail = "nothing was answered in a round".to_owned();
            return Err(LabError::Load { side: side.name.to_owned(), errors: 0, detail });
        }
        Ok(Outcome {
            operations: delays.len() as u64,
            took: Duration::from_nanos(after.at - self.at),
            cpu: after.cpu - self.cpu,
            load: (after.load - self.load).total(),
            hits,
            again: tally.again,
            delays,
        })
    }
}
