//! LinkBench's mix: what is asked of the store below the caches, a third of it writes.
//!
//! Armstrong et al., "LinkBench", SIGMOD 2013; parameters from its repository (Apache-2.0, commit ac67d54). The
//! generator is our own. Popularity falls with a power of the rank; ranks are scattered over the nodes, but for the
//! small part that goes with the number of links.
//!
//! What differs: lists end at 6,000 (TAO's limit, where LinkBench reads 10,000 and its longest list has 961,963);
//! nodes made in a run are not read; data has eight bytes at least, for the stamp.

use seawall_policy::Rng;

use super::draw::{Curve, Weights, geometric, log_normal, scatter, zipf};
use super::op::{Data, EDGE_LEN_MAX, Edge, Kind, OBJECT_LEN_MAX, Op, STAMP_LEN};
use super::world::{Datum, Fresh, Loaded, Part};

/// getlinklist, getnode, addlink, updatelink, updatenode, countlink, deletelink, addnode, deletenode, getlink.
const MIX: [f64; 10] = [
    50.7119145, 12.9326683, 8.9886601, 8.0122125, 7.366437, 4.8863567, 2.9907664, 2.5732789, 1.0115914,
    0.5261142,
];

/// Links of a node: 45.3 % have none, 95.8 % at most 5, p99 15, p99.9 264, p99.99 6,051 (cut to 6,000 here).
const DEGREES: Curve = Curve(&[
    (0.453, 0.0),
    (0.775, 1.0),
    (0.870, 2.0),
    (0.958, 5.0),
    (0.983, 10.0),
    (0.990, 15.0),
    (0.995, 25.0),
    (0.999, 264.0),
    (0.9999, 6_000.0),
    (1.0, 6_000.0),
]);

/// Shapes of popularity, and how much of it does not go with the number of links.
const LINK_READ: (f64, f64) = (0.8, 0.995);
const LINK_WRITE: (f64, f64) = (0.741, 0.95);
const NODE_READ: f64 = 0.625;
const NODE_UPDATE: f64 = 0.606;
/// Share of list reads that ask for older history.
const OLDER: f64 = 0.003;
/// Edges a list read gives at most.
const RANGE: u32 = 6_000;
/// How likely the link named is there, when one is read, updated, deleted, added.
const THERE_GET: f64 = 0.5;
const THERE_UPDATE: f64 = 0.9;
const THERE_DELETE: f64 = 0.9;
const THERE_ADD: f64 = 0.05;
/// Links a getlink names: geometric with this chance, 128 at most.
const MULTIGET: (f64, u64) = (0.382, 128);
/// Medians of payloads, bytes.
const LINK_DATA: f64 = 8.0;
const NODE_DATA: f64 = 128.0;

/// The graph it runs on.
#[derive(Debug)]
pub(super) struct LinkBench {
    mix: Weights,
    nodes: u64,
    /// All links, those of a node together.
    links: Vec<Edge>,
    /// Where each node's links begin, and where the last one's end.
    begins: Vec<usize>,
}

impl LinkBench {
    /// Makes nodes until there are `count` links.
    pub(super) fn load(count: usize, rng: &mut Rng) -> (LinkBench, Loaded) {
        let mut degrees = Vec::new();
        let mut links_left = count as u64;
        while links_left > 0 {
            // No more than there are nodes to lead to.
            let degree = DEGREES.draw(rng).min(links_left).min(degrees.len() as u64);
            links_left -= degree;
            degrees.push(degree);
        }
        let nodes = degrees.len() as u64;
        let mut loaded = Loaded::default();
        let (mut links, mut begins) = (Vec::with_capacity(count), vec![0]);
        for (node, degree) in (0..nodes).zip(degrees) {
            let len = log_normal(NODE_DATA, OBJECT_LEN_MAX, rng).max(STAMP_LEN as u64) as u32;
            loaded.objects.push(Datum { id: Part::Link.id(node), len });
            // Neighbours of a scattered node: each end is another one.
            let first = rng.below(nodes);
            for i in 0..degree {
                let mut to = (first + i) % nodes;
                if to == node {
                    to = (first + degree) % nodes;
                }
                let edge = Edge { id1: Part::Link.id(node), kind: kind(rng), id2: Part::Link.id(to) };
                loaded.edges.push((edge, links.len() as u32 + 1, link_len(rng)));
                links.push(edge);
            }
            begins.push(links.len());
        }
        (LinkBench { mix: Weights::new(MIX), nodes, links, begins }, loaded)
    }

    pub(super) fn next(&self, fresh: &Fresh, rng: &mut Rng) -> Op {
        match self.mix.pick(rng) {
            0 => {
                let (id1, kind) = (self.lister(LINK_READ, rng), kind(rng));
                let high = (rng.unit() < OLDER).then(|| rng.below(self.links.len() as u64) as u32 + 1);
                Op::Range { id1: Part::Link.id(id1), kind, limit: RANGE, high }
            }
            1 => Op::Get(self.node(NODE_READ, rng)),
            2 => self.link(THERE_ADD, fresh, rng),
            3 => self.link(THERE_UPDATE, fresh, rng),
            4 => Op::Update { id: self.node(NODE_UPDATE, rng), data: node_data(rng) },
            5 => Op::Count { id1: Part::Link.id(self.lister(LINK_READ, rng)), kind: kind(rng) },
            6 => Op::Unlink { edge: self.named(LINK_WRITE, THERE_DELETE, rng), stamp: 0 },
            7 => Op::Add { id: fresh.id(Part::Link), data: node_data(rng) },
            8 => Op::Delete { id: Part::Link.id(rng.below(self.nodes)), stamp: 0 },
            _ => {
                let Edge { id1, kind, id2 } = self.named(LINK_READ, THERE_GET, rng);
                let more = geometric(MULTIGET.0, MULTIGET.1, rng) - 1;
                let others = (0..more).map(|_| Part::Link.id(rng.below(self.nodes)));
                Op::Points { id1, kind, id2s: std::iter::once(id2).chain(others).collect() }
            }
        }
    }

    /// A node, by popularity.
    fn node(&self, shape: f64, rng: &mut Rng) -> u64 {
        Part::Link.id(scatter(zipf(self.nodes, shape, rng), self.nodes))
    }

    /// A node whose list is asked for.
    fn lister(&self, (shape, apart): (f64, f64), rng: &mut Rng) -> u64 {
        if rng.unit() < apart || self.links.is_empty() {
            return scatter(zipf(self.nodes, shape, rng), self.nodes);
        }
        // The owner of any link: nodes by the number of theirs.
        let link = rng.below(self.links.len() as u64) as usize;
        self.begins.partition_point(|begin| *begin <= link) as u64 - 1
    }

    /// A link of a popular node, which is there with the chance `there` (if that node has any).
    fn named(&self, popularity: (f64, f64), there: f64, rng: &mut Rng) -> Edge {
        let node = self.lister(popularity, rng);
        let own = &self.links[self.begins[node as usize]..self.begins[node as usize + 1]];
        if !own.is_empty() && rng.unit() < there {
            return own[rng.below(own.len() as u64) as usize];
        }
        let to = (node + 1 + rng.below(self.nodes.saturating_sub(1))) % self.nodes;
        Edge { id1: Part::Link.id(node), kind: kind(rng), id2: Part::Link.id(to) }
    }

    fn link(&self, there: f64, fresh: &Fresh, rng: &mut Rng) -> Op {
        let edge = self.named(LINK_WRITE, there, rng);
        Op::Link { edge, time: fresh.time(), data: Data { stamp: 0, len: link_len(rng) } }
    }
}

fn kind(rng: &mut Rng) -> Kind {
    if rng.below(2) == 0 { Kind::LinkA } else { Kind::LinkB }
}

fn link_len(rng: &mut Rng) -> u32 {
    log_normal(LINK_DATA, EDGE_LEN_MAX, rng).max(STAMP_LEN as u64) as u32
}

fn node_data(rng: &mut Rng) -> Data {
    Data { stamp: 0, len: log_normal(NODE_DATA, OBJECT_LEN_MAX, rng).max(STAMP_LEN as u64) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_degrees_are_those_of_the_paper() {
        let mut rng = Rng::new(2);
        let drawn: Vec<u64> = (0..200_000).map(|_| DEGREES.draw(&mut rng)).collect();
        let upto = |most: u64| drawn.iter().filter(|d| **d <= most).count() as f64 / drawn.len() as f64;
        for (most, share) in [(0, 0.453), (1, 0.775), (2, 0.870), (5, 0.958), (10, 0.983), (15, 0.990)] {
            assert!((upto(most) - share).abs() < 0.004, "{most}: {}", upto(most));
        }
        assert!((upto(264) - 0.999).abs() < 0.0005);
    }

    #[test]
    fn a_third_of_the_mix_writes() {
        assert!((MIX.iter().sum::<f64>() - 100.0).abs() < 1e-3);
        let mut rng = Rng::new(4);
        let (bench, loaded) = LinkBench::load(5_000, &mut rng);
        assert_eq!(loaded.edges.len(), 5_000);
        let fresh = Fresh::default();
        let ops: Vec<Op> = (0..100_000).map(|_| bench.next(&fresh, &mut rng)).collect();
        let share = |is: fn(&Op) -> bool| ops.iter().filter(|op| is(op)).count() as f64 / ops.len() as f64;
        assert!((share(Op::is_read) - 0.6906).abs() < 0.006, "{}", share(Op::is_read));
        assert!((share(|op| matches!(op, Op::Range { .. })) - 0.507).abs() < 0.006);
        assert!((share(|op| matches!(op, Op::Link { .. })) - 0.170).abs() < 0.006);
    }

    #[test]
    fn no_link_leads_to_itself() {
        for count in [3, 300, 5_000] {
            let mut rng = Rng::new(8);
            let (bench, loaded) = LinkBench::load(count, &mut rng);
            assert!(loaded.edges.iter().all(|(edge, ..)| edge.id1 != edge.id2), "{count}");
            assert_eq!(bench.begins.len() as u64, bench.nodes + 1);
            let fresh = Fresh::default();
            for _ in 0..10_000 {
                if let Op::Link { edge, .. } = bench.next(&fresh, &mut rng) {
                    assert_ne!(edge.id1, edge.id2);
                }
            }
        }
    }
}
