//! Who calls whom, and what becomes of one request on the way.
//!
//! A call that retries multiplies whatever its callee does. On top of each other the documents' own retries (S1
//! below S3 below S4) make 4 × 3 × 4 = 48 calls of one. Two things keep that down: whoever serves a retry need
//! not retry below (`below_a_retry`), which leaves 1 + 3 + 2 + 3 = 9; and a budget keeps its level at 1 + its
//! ratio + its floor once failures are many, which is when it matters. The same path is then worth 1 + 3 × 0.21
//! = 1.6 calls.

use crate::file::call::Call;
use crate::file::problem::Finding;
use crate::file::set::Set;
use crate::file::worst::calls_each;
use crate::retry::{self, hedge};

/// Most calls below each other. A request that passes more services than this is lost in them.
pub const CALLS_DEPTH_MAX: usize = 16;

/// Most calls that one request may become: what one level of three tries makes (S3 and S4).
const CALLS_MAX: f64 = 3.0;

/// The calls of a file and what each does to one request.
pub(in crate::file) struct Graph {
    /// By name.
    nodes: Vec<Node>,
    /// Calls that come back to where they began: nothing can be multiplied there, nor above.
    circles: Vec<Vec<usize>>,
}

struct Node {
    step: Step,
    calls: Vec<usize>,
    fallback: Option<usize>,
    /// Known unless it leads into a circle.
    below: Option<Below>,
}

/// What lies below a call, itself included.
struct Below {
    /// The calls below each other that multiply most, the first [`CALLS_DEPTH_MAX`] of them.
    path: Path,
    /// How many there are below each other at most.
    depth: usize,
}

/// What one level makes of one request.
#[derive(Clone)]
struct Step {
    name: String,
    /// Tries and copies in all.
    tries: u32,
    /// Calls once failures are many: the budget has its say.
    calls: f64,
    /// Whether it retries also what is a retry already.
    below_a_retry: bool,
}

/// Calls below each other, outermost first.
#[derive(Clone)]
pub(in crate::file) struct Path(Vec<Step>);

impl Path {
    pub(in crate::file) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether anybody on it tries more than once.
    pub(in crate::file) fn multiplies(&self) -> bool {
        self.0.iter().any(|step| step.tries > 1)
    }

    /// What the innermost callee sees of one request, and of one that is a retry already, when each level makes
    /// so many calls.
    fn at_the_end(&self, calls: fn(&Step) -> f64) -> (f64, f64) {
        self.0.iter().rev().fold((1.0, 1.0), |(of_first, of_retry), step| {
            let further = of_retry * (calls(step) - 1.0);
            (of_first + further, if step.below_a_retry { of_retry + further } else { of_retry })
        })
    }

    /// One call more around it.
    fn under(&self, step: &Step) -> Path {
        let inner = self.0.iter().take(CALLS_DEPTH_MAX - 1);
        Path(std::iter::once(step).chain(inner).cloned().collect())
    }

    fn calls(&self) -> f64 {
        self.at_the_end(|step| step.calls).0
    }

    /// `4 × 3 × 4 = 48 calls along client → balancer → graph`.
    pub(in crate::file) fn product(&self) -> String {
        let joined =
            |each: fn(&Step) -> String, by: &str| self.0.iter().map(each).collect::<Vec<_>>().join(by);
        let names = joined(|step| step.name.clone(), " → ");
        let tries = joined(|step| step.tries.to_string(), " × ");
        let product: f64 = self.0.iter().map(|step| f64::from(step.tries)).product();
        let (most, _) = self.at_the_end(|step| f64::from(step.tries));
        let mut text = match self.len() {
            1 => format!("{most} calls at {names}"),
            _ if most < product => {
                format!("{most} calls along {names} ({tries} = {product} if retries were retried below)")
            }
            _ => format!("{tries} = {product} calls along {names}"),
        };
        if self.calls() < most {
            text.push_str(&format!(", or with budgets {:.1} when many fail", self.calls()));
        }
        text
    }
}

impl Graph {
    pub(in crate::file) fn of(set: &Set) -> Graph {
        let calls: Vec<(String, Call)> = set.own::<Call>().collect();
        let place = |name: &String| calls.binary_search_by(|(of, _)| of.cmp(name)).ok();
        let node = |(name, call): &(String, Call)| Node {
            step: Step::of(set, name.clone(), call),
            calls: call.calls.iter().filter_map(place).collect(),
            fallback: call.fallback_to().and_then(|elsewhere| place(&elsewhere.to)),
            below: None,
        };
        let mut graph = Graph { nodes: calls.iter().map(node).collect(), circles: Vec::new() };
        graph.multiply();
        graph
    }

    /// From the innermost calls outwards; whatever is left over then leads into a circle.
    fn multiply(&mut self) {
        let mut callers = vec![Vec::new(); self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate() {
            node.next().for_each(|next| callers[next].push(i));
        }
        let mut unsettled: Vec<usize> = self.nodes.iter().map(|node| node.next().count()).collect();
        let mut settled: Vec<usize> = (0..self.nodes.len()).filter(|i| unsettled[*i] == 0).collect();
        while let Some(i) = settled.pop() {
            self.nodes[i].below = Some(self.below(&self.nodes[i]));
            for caller in &callers[i] {
                unsettled[*caller] -= 1;
                if unsettled[*caller] == 0 {
                    settled.push(*caller);
                }
            }
        }
        let mut seen = vec![false; self.nodes.len()];
        for i in 0..self.nodes.len() {
            if self.nodes[i].below.is_none() && !seen[i] {
                self.circles.extend(self.circle_from(i, &mut seen));
            }
        }
    }

    /// Of a node whose calls are settled.
    fn below(&self, node: &Node) -> Below {
        let paths =
            node.calls.iter().filter_map(|call| self.worst_path(*call)).map(|path| path.under(&node.step));
        let path = paths.max_by(|a, b| a.calls().total_cmp(&b.calls()));
        let depths = node.next().filter_map(|next| Some(self.nodes[next].below.as_ref()?.depth));
        Below {
            path: path.unwrap_or_else(|| Path(vec![node.step.clone()])),
            depth: 1 + depths.max().unwrap_or(0),
        }
    }

    /// Whoever is left has one below that is left, so a walk comes round; none when it comes to where an earlier
    /// one has been.
    fn circle_from(&self, first: usize, seen: &mut [bool]) -> Option<Vec<usize>> {
        let mut walked = vec![first];
        loop {
            let last = walked[walked.len() - 1];
            seen[last] = true;
            let next = self.nodes[last].next().find(|next| self.nodes[*next].below.is_none())?;
            if let Some(begin) = walked.iter().position(|i| *i == next) {
                return Some(walked.split_off(begin));
            }
            if seen[next] {
                return None;
            }
            walked.push(next);
        }
    }

    /// The calls below each other that multiply a request to this callee most, its fallbacks included.
    fn worst_path(&self, node: usize) -> Option<&Path> {
        let mut worst: Option<&Path> = None;
        let mut node = &self.nodes[node];
        // Fallbacks of fallbacks; never in a circle, since nothing is known below one.
        while let Some(Below { path, .. }) = &node.below {
            if worst.is_none_or(|worst| worst.calls() < path.calls()) {
                worst = Some(path);
            }
            let Some(fallback) = node.fallback else { break };
            node = &self.nodes[fallback];
        }
        worst
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.nodes.binary_search_by(|node| node.step.name.as_str().cmp(name)).ok()
    }

    /// The calls below each other that multiply a request to `name` most.
    pub(in crate::file) fn path_from(&self, name: &str) -> Option<&Path> {
        self.worst_path(self.find(name)?)
    }

    /// Calls that a dead callee sees for each request to it.
    pub(in crate::file) fn calls_each(&self, name: &str) -> f64 {
        self.find(name).map_or(1.0, |i| self.nodes[i].step.calls)
    }

    /// Whom nobody in the file calls.
    fn outermost(&self) -> impl Iterator<Item = usize> {
        let mut called = vec![false; self.nodes.len()];
        self.nodes.iter().flat_map(Node::next).for_each(|i| called[i] = true);
        (0..self.nodes.len()).filter(move |i| !called[*i])
    }

    fn name(&self, node: usize) -> &str {
        &self.nodes[node].step.name
    }
}

impl Node {
    /// Who may be asked because this one is.
    fn next(&self) -> impl Iterator<Item = usize> {
        self.calls.iter().copied().chain(self.fallback)
    }
}

impl Step {
    fn of(set: &Set, name: String, call: &Call) -> Step {
        let retry: Option<retry::Policy> = call.retry.as_ref().and_then(|name| set.get(name));
        let budget: Option<retry::BudgetPolicy> = call.budget.as_ref().and_then(|name| set.get(name));
        let hedge: Option<hedge::Policy> = call.hedge.as_ref().and_then(|name| set.get(name));
        // Each try may be copied.
        let tries = retry.as_ref().map_or(1, retry::Policy::amplification)
            * hedge.as_ref().map_or(1, hedge::Policy::amplification);
        let calls = calls_each(tries, budget.as_ref());
        Step { name, tries, calls, below_a_retry: retry.is_some_and(|retry| retry.below_a_retry) }
    }
}

/// Calls that come back to where they began.
pub(super) fn circles(graph: &Graph) -> Vec<Finding> {
    let told = graph.circles.iter().map(|circle| {
        let names: Vec<&str> = circle.iter().chain(circle.first()).map(|i| graph.name(*i)).collect();
        let round = names.join(" → ");
        let advice = format!("use a call graph without circles: one request goes round {round} for ever");
        Finding::error(format!("policy.call.{}.calls", names[0]), advice)
    });
    told.collect()
}

/// Requests that become too many on their way, and ways that are too long.
pub(super) fn amplification(graph: &Graph) -> Vec<Finding> {
    let mut found = Vec::new();
    for i in graph.outermost() {
        let (Some(path), Some(below)) = (graph.worst_path(i), &graph.nodes[i].below) else { continue };
        let name = graph.name(i);
        if path.calls() > CALLS_MAX {
            let key = if path.len() > 1 { "calls" } else { "retry" };
            let advice = format!(
                "use a budget at each level, or retry at one level only: one request may become {}, and more than \
                 {CALLS_MAX} make an outage of a hiccup",
                path.product()
            );
            found.push(Finding::warning(format!("policy.call.{name}.{key}"), advice));
        }
        if below.depth > CALLS_DEPTH_MAX {
            let advice =
                format!("use at most {CALLS_DEPTH_MAX} calls below each other; there are {}", below.depth);
            found.push(Finding::error(format!("policy.call.{name}.calls"), advice));
        }
    }
    found
}
