//! TAOBench's workloads A (application) and O (overall), after its published parameters.
//!
//! Cheng et al., "TAOBench", PVLDB 15(9):1965-1977; weights from its repository (CC0-1.0, commit a122cfd). The
//! generator is our own. Each edge is made with two objects of its own: one in a *primary* shard, drawn evenly, and
//! one in a *remote* shard, drawn by weight. A run draws a shard by weight, then one of its edges evenly.
//!
//! The published driver reads every edge by its primary key, also what its operations call range, count or time. That
//! is `as-run` here; `as-named` asks for what the operation says.
//!
//! What differs: type rules (`unique` may be there once) and predicates are not executed, as the predicates are not
//! there either; a new edge leads from an end of one edge to the end of another; objects made in a run are not read.

use seawall_policy::Rng;

use super::draw::{Curve, Weights};
use super::op::{Data, Edge, Kind, Op};
use super::world::{Datum, Fresh, Loaded, Part};

/// Bytes of each value.
const VALUE: u32 = 150;
/// Virtual shards.
const SHARDS: usize = 50;
/// Edges a range gives at most: nearly all lists have one.
const RANGE: u32 = 100;

/// Of 50 shards, in percent: three are hot, the others share what is left.
fn primary_weights() -> Vec<f64> {
    let mut weights = vec![57.8, 22.3, 2.2];
    weights.resize(SHARDS, 0.376);
    weights
}

/// Published are the first eight and the tail, 0.03 % each. What lies between falls evenly, so that all are 100 %.
fn remote_weights() -> Vec<f64> {
    let mut weights = vec![69.4, 5.6, 4.2, 3.8, 3.6, 3.5, 2.3, 1.5];
    while weights.len() < SHARDS {
        let last = weights.last().copied().unwrap_or_default();
        weights.push(f64::max(last * 0.78, 0.03));
    }
    weights
}

const KINDS: [Kind; 4] = [Kind::Unique, Kind::Bidirectional, Kind::Both, Kind::Other];

/// Weights as published.
#[derive(Debug)]
pub(super) struct Config {
    /// read, write, read_txn, write_txn.
    operations: [f64; 4],
    /// obj_read, edge_point, edge_range, edge_count, edge_time.
    reads: [f64; 5],
    /// obj_add, obj_update, obj_delete, edge_add, edge_update, edge_delete.
    writes: [f64; 6],
    /// unique, bidirectional, both, other.
    kinds: [f64; 4],
}

pub(super) const A: Config = Config {
    operations: [171.0, 57.0, 15.0, 1.0],
    reads: [475.0, 68.0, 376.0, 39.0, 0.0],
    writes: [111.0, 214.0, 0.0, 10.0, 380.0, 0.0],
    kinds: [52.0, 200.0, 20.0, 728.0],
};

pub(super) const O: Config = Config {
    operations: [8387.0, 19.0, 242.0, 1.0],
    reads: [479.0, 475.0, 0.0, 0.0, 0.0],
    writes: [219.0, 75.0, 0.0, 1.0, 321.0, 0.0],
    kinds: [100.0, 130.0, 109.0, 366.0],
};

/// Objects against single edges in a read_txn.
const TXN_READS: [f64; 2] = [1.0, 5.0];

/// Items of a read_txn: p50 4, p90 49, p95 98, p99 241, p99.9 451, at most 500.
const TXN_READ_SIZES: Curve = Curve(&[
    (0.295, 2.0),
    (0.461, 3.0),
    (0.550, 4.0),
    (0.607, 5.0),
    (0.650, 6.0),
    (0.900, 49.0),
    (0.950, 98.0),
    (0.990, 241.0),
    (0.999, 451.0),
    (1.000, 500.0),
]);

/// Items of a write_txn and their weights; 6 and 103 have what is left of 100 so that the mean is 5.3.
const TXN_WRITE_SIZES: [(u64, f64); 9] =
    [(2, 10.9), (3, 29.5), (4, 35.4), (5, 4.6), (6, 0.85), (7, 11.2), (21, 5.4), (26, 2.1), (103, 0.05)];

/// One workload with the edges it runs on.
#[derive(Debug)]
pub(super) struct TaoBench {
    operations: Weights,
    reads: Weights,
    writes: Weights,
    kinds: Weights,
    txn_reads: Weights,
    txn_writes: Weights,
    primary: Weights,
    /// By primary shard.
    shards: Vec<Vec<Edge>>,
    number: u8,
}

impl TaoBench {
    /// Makes `count` edges, each with two objects.
    pub(super) fn load(config: &Config, number: u8, count: usize, rng: &mut Rng) -> (TaoBench, Loaded) {
        let kinds = Weights::new(config.kinds);
        let remote = Weights::new(remote_weights());
        let mut shards = vec![Vec::new(); SHARDS];
        let mut loaded = Loaded::default();
        for i in 0..count as u64 {
            let (primary, other) = (rng.below(SHARDS as u64) as usize, remote.pick(rng));
            let kind = KINDS[kinds.pick(rng)];
            let (id1, id2) =
                (Part::Tao(number, primary as u8).id(2 * i), Part::Tao(number, other as u8).id(2 * i + 1));
            let edge = Edge { id1, kind, id2 };
            shards[primary].push(edge);
            loaded.objects.extend([Datum { id: id1, len: VALUE }, Datum { id: id2, len: VALUE }]);
            loaded.edges.push((edge, i as u32 + 1, VALUE));
        }
        let bench = TaoBench {
            operations: Weights::new(config.operations),
            reads: Weights::new(config.reads),
            writes: Weights::new(config.writes),
            kinds,
            txn_reads: Weights::new(TXN_READS),
            txn_writes: Weights::new(TXN_WRITE_SIZES.map(|(_, weight)| weight)),
            primary: Weights::new(primary_weights()),
            shards,
            number,
        };
        (bench, loaded)
    }

    pub(super) fn next(&self, as_named: bool, fresh: &Fresh, rng: &mut Rng) -> Op {
        match self.operations.pick(rng) {
            0 => self.read(as_named, rng),
            1 => self.write(fresh, rng),
            2 => self.read_txn(rng),
            _ => {
                let size = TXN_WRITE_SIZES[self.txn_writes.pick(rng)].0;
                Op::Writes((0..size).map(|_| self.write(fresh, rng)).collect())
            }
        }
    }

    fn edge(&self, rng: &mut Rng) -> Edge {
        let mut shard = &self.shards[self.primary.pick(rng)];
        // A few hundred edges leave a shard empty now and then.
        while shard.is_empty() {
            shard = &self.shards[rng.below(SHARDS as u64) as usize];
        }
        shard[rng.below(shard.len() as u64) as usize]
    }

    fn end(&self, rng: &mut Rng) -> u64 {
        let edge = self.edge(rng);
        if rng.below(2) == 0 { edge.id1 } else { edge.id2 }
    }

    fn read(&self, as_named: bool, rng: &mut Rng) -> Op {
        let read = self.reads.pick(rng);
        if read == 0 {
            return Op::Get(self.end(rng));
        }
        let Edge { id1, kind, id2 } = self.edge(rng);
        match read {
            2 if as_named => Op::Range { id1, kind, limit: RANGE, high: None },
            3 if as_named => Op::Count { id1, kind },
            4 if as_named => Op::Range { id1, kind, limit: RANGE, high: Some(u32::MAX) },
            _ => Op::Points { id1, kind, id2s: vec![id2] },
        }
    }

    fn read_txn(&self, rng: &mut Rng) -> Op {
        let (mut objects, mut edges) = (Vec::new(), Vec::new());
        for _ in 0..TXN_READ_SIZES.draw(rng) {
            match self.txn_reads.pick(rng) {
                0 => objects.push(self.end(rng)),
                _ => edges.push(self.edge(rng)),
            }
        }
        Op::Many { objects, edges }
    }

    fn write(&self, fresh: &Fresh, rng: &mut Rng) -> Op {
        let data = Data { stamp: 0, len: VALUE };
        match self.writes.pick(rng) {
            0 => {
                let shard = self.primary.pick(rng) as u8;
                Op::Add { id: fresh.id(Part::Tao(self.number, shard)), data }
            }
            1 => Op::Update { id: self.end(rng), data },
            2 => Op::Delete { id: self.end(rng), stamp: 0 },
            3 => {
                let (from, to) = (self.edge(rng), self.edge(rng));
                let kind = KINDS[self.kinds.pick(rng)];
                Op::Link { edge: Edge { id1: from.id1, kind, id2: to.id2 }, time: fresh.time(), data }
            }
            4 => Op::Link { edge: self.edge(rng), time: fresh.time(), data },
            _ => Op::Unlink { edge: self.edge(rng), stamp: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 100_000;

    fn sorted(mut draw: impl FnMut(&mut Rng) -> u64) -> Vec<u64> {
        let mut rng = Rng::new(11);
        let mut all: Vec<u64> = (0..DRAWS).map(|_| draw(&mut rng)).collect();
        all.sort_unstable();
        all
    }

    fn at(sorted: &[u64], share: f64) -> u64 {
        sorted[(DRAWS as f64 * share) as usize - 1]
    }

    fn mean(all: &[u64]) -> f64 {
        all.iter().sum::<u64>() as f64 / all.len() as f64
    }

    fn near(found: f64, wanted: f64, part: f64) {
        assert!((found - wanted).abs() <= wanted * part, "{found}, not {wanted}");
    }

    #[test]
    fn shards_are_as_hot_as_published() {
        for weights in [primary_weights(), remote_weights()] {
            assert_eq!(weights.len(), SHARDS);
            near(weights.iter().sum(), 100.0, 0.01);
        }
    }

    #[test]
    fn transactions_are_as_large_as_published() {
        let reads = sorted(|rng| TXN_READ_SIZES.draw(rng));
        assert_eq!((at(&reads, 0.5), at(&reads, 0.29), *reads.last().unwrap() <= 500), (4, 2, true));
        for (share, size) in [(0.9, 49.0), (0.95, 98.0), (0.99, 241.0), (0.999, 451.0)] {
            near(at(&reads, share) as f64, size, 0.06);
        }
        near(mean(&reads), 19.2, 0.1);
        let weights = Weights::new(TXN_WRITE_SIZES.map(|(_, weight)| weight));
        let writes = sorted(|rng| TXN_WRITE_SIZES[weights.pick(rng)].0);
        let points = [0.5, 0.9, 0.95, 0.99].map(|share| at(&writes, share));
        assert_eq!(points, [4, 7, 21, 26]);
        near(mean(&writes), 5.3, 0.03);
    }

    fn shares(config: &Config, as_named: bool) -> (f64, [usize; 4]) {
        let mut rng = Rng::new(5);
        let (bench, _) = TaoBench::load(config, 0, 5_000, &mut rng);
        let fresh = Fresh::default();
        let (mut reads, mut items, mut ops) = (0, 0, [0; 4]);
        for _ in 0..DRAWS {
            let op = bench.next(as_named, &fresh, &mut rng);
            let touched = match &op {
                Op::Many { objects, edges } => objects.len() + edges.len(),
                Op::Writes(writes) => writes.len(),
                _ => 1,
            };
            items += touched;
            reads += if op.is_read() { touched } else { 0 };
            match op {
                Op::Get(_) => ops[0] += 1,
                Op::Points { .. } => ops[1] += 1,
                Op::Range { .. } => ops[2] += 1,
                Op::Count { .. } => ops[3] += 1,
                _ => (),
            }
        }
        (reads as f64 / items as f64, ops)
    }

    #[test]
    fn reads_have_the_share_of_items_the_paper_tells() {
        near(shares(&A, false).0, 0.880, 0.02);
        near(shares(&O, false).0, 0.9981, 0.002);
    }

    #[test]
    fn as_run_reads_edges_one_by_one_and_as_named_does_not() {
        let (_, [objects, points, ranges, counts]) = shares(&A, false);
        assert_eq!((ranges, counts), (0, 0));
        near(objects as f64 / points as f64, 475.0 / 483.0, 0.05);
        let (_, [_, points, ranges, counts]) = shares(&A, true);
        near(ranges as f64 / points as f64, 376.0 / 68.0, 0.06);
        near(counts as f64 / points as f64, 39.0 / 68.0, 0.1);
        // Nothing of O is named otherwise than it runs.
        let (_, [_, _, ranges, counts]) = shares(&O, true);
        assert_eq!((ranges, counts), (0, 0));
    }

    #[test]
    fn a_seed_makes_the_same_edges_again() {
        let load = || TaoBench::load(&A, 0, 100, &mut Rng::new(9)).1;
        let (one, other) = (load(), load());
        assert_eq!(one.edges, other.edges);
        assert_eq!((one.objects.len(), one.edges.len()), (200, 100));
    }
}
