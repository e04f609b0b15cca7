//! Everything that is there before the first round, made from one seed: the same for every contender.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use seawall_policy::Rng;

use super::linkbench::LinkBench;
use super::op::{Edge, Kind, Op};
use super::taobench::{self, TaoBench};

/// The seed of everything.
const SEED: u64 = 0x5EA_B00C;
/// Numbers of an id; above them stands the shard (16 bits).
const NUMBER_BITS: u32 = 47;
/// Shard numbers lie apart by as much, so that they are spread over all there are.
const APART: u64 = 311;
/// Objects made during a run are numbered from here.
const FRESH: u64 = 1 << 40;
/// Bytes of an object, and of an edge's data, in the rows that ask for one thing.
const OBJECT: u32 = 150;
const EDGE: u32 = 24;
/// Edges of each list there.
pub(super) const LIST: u64 = 50;

/// Who an object belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// The rows that ask for one thing; their shard.
    Row(u8),
    Link,
    /// A workload of TAOBench, and its shard.
    Tao(u8, u8),
}

impl Part {
    /// An object's id: at most 2^63 - 1, and in a logical shard that says where it belongs.
    pub(super) fn id(self, number: u64) -> u64 {
        let shard = match self {
            Part::Row(shard) => u64::from(shard % 16),
            Part::Link => 16 + number % 32,
            Part::Tao(workload, shard) => 48 + u64::from(workload) * 64 + u64::from(shard),
        };
        (shard * APART) << NUMBER_BITS | (number + 1)
    }
}

/// An object to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Datum {
    pub id: u64,
    /// Bytes.
    pub len: u32,
}

/// What is to be there: objects, and edges (without inverses) with time and bytes of data.
#[derive(Debug, Clone, Default)]
pub(super) struct Loaded {
    pub objects: Vec<Datum>,
    pub edges: Vec<(Edge, u32, u32)>,
}

/// Ids and times that nobody had before.
#[derive(Debug)]
pub(super) struct Fresh {
    number: AtomicU64,
    time: AtomicU32,
}

impl Default for Fresh {
    fn default() -> Fresh {
        Fresh { number: AtomicU64::new(FRESH), time: AtomicU32::new(1 << 30) }
    }
}

impl Fresh {
    pub(super) fn id(&self, part: Part) -> u64 {
        part.id(self.number.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn time(&self) -> u32 {
        self.time.fetch_add(1, Ordering::Relaxed)
    }
}

/// A mix of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mix {
    TaoAsRun,
    TaoAsNamed,
    TaoOverall,
    LinkBench,
}

impl Mix {
    pub(super) const ALL: [Mix; 4] = [Mix::TaoAsRun, Mix::TaoAsNamed, Mix::TaoOverall, Mix::LinkBench];

    pub(super) fn name(self) -> &'static str {
        match self {
            Mix::TaoAsRun => "TAOBench A, as run",
            Mix::TaoAsNamed => "TAOBench A, as named",
            Mix::TaoOverall => "TAOBench O",
            Mix::LinkBench => "LinkBench",
        }
    }
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    /// Edges the mixes run on, inverses not counted.
    pub edges: usize,
    /// Objects of the rows.
    pub row_objects: u64,
    /// Lists of the rows, of [`LIST`] edges each.
    pub row_lists: u64,
}

/// The mixes' data and what draws from it.
#[derive(Debug)]
pub(super) struct World {
    application: TaoBench,
    overall: TaoBench,
    links: LinkBench,
    pub fresh: Fresh,
    pub loaded: Loaded,
}

impl World {
    /// Two fifths of the edges for each workload of TAOBench, one for LinkBench.
    pub(super) fn make(scale: Scale) -> World {
        let mut rng = Rng::new(SEED);
        let fifth = scale.edges / 5;
        let (application, mut loaded) = TaoBench::load(&taobench::A, 0, 2 * fifth, &mut rng);
        let (overall, more) = TaoBench::load(&taobench::O, 1, 2 * fifth, &mut rng);
        let (links, rest) = LinkBench::load(fifth, &mut rng);
        for part in [more, rest] {
            loaded.objects.extend(part.objects);
            loaded.edges.extend(part.edges);
        }
        World { application, overall, links, fresh: Fresh::default(), loaded }
    }

    /// What a client does next.
    pub(super) fn next(&self, mix: Mix, rng: &mut Rng) -> Op {
        match mix {
            Mix::TaoAsRun => self.application.next(false, &self.fresh, rng),
            Mix::TaoAsNamed => self.application.next(true, &self.fresh, rng),
            Mix::TaoOverall => self.overall.next(true, &self.fresh, rng),
            Mix::LinkBench => self.links.next(&self.fresh, rng),
        }
    }
}

/// The object of the rows at `place`.
pub(super) fn row_object(place: u64) -> u64 {
    Part::Row((place % 16) as u8).id(place)
}

/// What the rows ask for: objects, the first of which have a list each.
pub(super) fn rows(scale: Scale) -> Loaded {
    let objects = (0..scale.row_objects).map(|i| Datum { id: row_object(i), len: OBJECT }).collect();
    let mut edges = Vec::new();
    for list in 0..scale.row_lists {
        for i in 1..=LIST.min(scale.row_objects - 1) {
            let id2 = row_object((list + i) % scale.row_objects);
            edges.push((Edge { id1: row_object(list), kind: Kind::Entry, id2 }, i as u32, EDGE));
        }
    }
    Loaded { objects, edges }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SMALL: Scale = Scale { edges: 300, row_objects: 200, row_lists: 10 };

    #[test]
    fn every_object_has_an_id_of_its_own_that_fits_63_bits() {
        let world = World::make(SMALL);
        let all: Vec<u64> =
            world.loaded.objects.iter().chain(&rows(SMALL).objects).map(|object| object.id).collect();
        let distinct: HashSet<_> = all.iter().copied().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|id| *id > 0 && *id <= i64::MAX as u64));
        let fresh = world.fresh.id(Part::Tao(1, 49));
        assert!(!distinct.contains(&fresh) && fresh <= i64::MAX as u64);
        assert_eq!(world.loaded.edges.len(), 300);
    }

    #[test]
    fn two_worlds_draw_the_same() {
        let (one, other) = (World::make(SMALL), World::make(SMALL));
        for mix in Mix::ALL {
            let (mut a, mut b) = (Rng::new(1), Rng::new(1));
            for _ in 0..1_000 {
                assert_eq!(one.next(mix, &mut a), other.next(mix, &mut b));
            }
        }
    }
}
