//! Whether a test notices when a preset's number changes.
//!
//! The documents' numbers live in files named `presets.rs` and nowhere else. Each number in them is changed,
//! alone, and the tests must turn red: a preset that nobody asserts is a comment. A change that does not
//! compile shows nothing about tests, so another one is tried in its place.
//!
//! All this happens in copies under `target/mutants`, workspaces of one crate each: a tree that somebody
//! works in is never touched.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::run::{self, Failure};
use crate::tidy::tree::Tree;
use numbers::Number;
use sandbox::{Outcome, Sandbox};

mod numbers;
mod sandbox;

/// The crate whose presets are changed, and whose tests must notice.
const PACKAGE: &str = "seawall-policy";
/// Copies that work side by side: compiling one mutant keeps one core busy.
const COPIES_MAX: usize = 2;
/// A mutant that runs longer is stuck in a loop, and so a test would be.
const TIME_MAX: Duration = Duration::from_secs(180);
/// This takes minutes: whoever waits is told now and then how far it is.
const TOLD_EVERY: usize = 25;

/// A number, and the file it stands in.
struct Place<'a> {
    path: &'a str,
    text: &'a str,
    number: Number,
}

/// What became of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// A test failed.
    Killed,
    /// No test noticed that it became this.
    Survived(String),
    /// Nothing that was put in its place compiles.
    Uncompilable,
}

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let filter = match args {
        [] => "",
        [filter] if !filter.starts_with('-') => filter,
        _ => return Err(Failure::usage("mutate-presets takes at most one argument, part of a file's path")),
    };
    let tree = Tree::read()?;
    let places = places(&tree, filter);
    if places.is_empty() {
        return Err(Failure::usage(format!("no presets.rs of {PACKAGE} has `{filter}` in its path")));
    }
    let copies = thread::available_parallelism().map_or(1, usize::from).min(COPIES_MAX).min(places.len());
    println!("{} numbers in presets of {PACKAGE}; first without a change", places.len());
    let sandboxes = Sandbox::prepare(copies)?;

    let started = run::now();
    let fates = all_fates(&places, &sandboxes)?;
    let took = started.elapsed();
    for line in report(&places, &fates) {
        println!("{line}");
    }
    println!("{:.1} s a number, {} side by side", took.as_secs_f64() / places.len() as f64, sandboxes.len());
    println!("{}", summary(&fates));
    judge(&fates)
}

fn places<'a>(tree: &'a Tree, filter: &str) -> Vec<Place<'a>> {
    let home = format!("crates/{PACKAGE}/src/");
    let files = tree.named("/presets.rs").filter(|(path, _)| {
        // Not in the whole path: `rate` is in every `crates`.
        path.strip_prefix(&home).is_some_and(|path| path.contains(filter))
    });
    files
        .flat_map(|(path, text)| {
            numbers::find(text).into_iter().map(move |number| Place { path, text, number })
        })
        .collect()
}

/// The sandboxes take the next number each, until there are no more.
fn all_fates(places: &[Place<'_>], sandboxes: &[Sandbox]) -> Result<Vec<Fate>, Failure> {
    let (next, fates) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = |sandbox: &Sandbox| -> Result<(), Failure> {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = places.get(i) else { return Ok(()) };
            let fate = fate(place, |text| sandbox.test_with(Path::new(place.path), text, TIME_MAX))?;
            if fate != Fate::Killed {
                println!("{}", place.told(&fate));
            }
            let mut fates = fates.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            fates.insert(i, fate);
            if fates.len() % TOLD_EVERY == 0 {
                println!("{} of {}", fates.len(), places.len());
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = sandboxes.iter().map(|sandbox| scope.spawn(|| work(sandbox))).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    Ok(fates.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_values().collect())
}

/// Puts one value after the other in its place, until one compiles.
fn fate(place: &Place<'_>, mut test: impl FnMut(&str) -> Result<Outcome, Failure>) -> Result<Fate, Failure> {
    for new in &place.number.tries {
        match test(&place.number.replaced(place.text, new))? {
            Outcome::Red => return Ok(Fate::Killed),
            Outcome::Green => return Ok(Fate::Survived(new.clone())),
            Outcome::Uncompilable => (),
        }
    }
    Ok(Fate::Uncompilable)
}

impl Place<'_> {
    fn told(&self, fate: &Fate) -> String {
        let Number { line, old, tries, .. } = &self.number;
        let place = format!("{}:{line}", self.path);
        match fate {
            Fate::Killed => format!("{place}: {old}: killed"),
            Fate::Survived(new) => format!("{place}: {old} → {new}: survived"),
            Fate::Uncompilable => format!("{place}: {old}: none of {} compiles", tries.join(", ")),
        }
    }
}

/// How many numbers of each file were killed; and again, together, what was not.
fn report(places: &[Place<'_>], fates: &[Fate]) -> Vec<String> {
    let mut files = BTreeMap::<&str, (usize, usize)>::new();
    for (place, fate) in places.iter().zip(fates) {
        let (all, killed) = files.entry(place.path).or_default();
        *all += 1;
        *killed += usize::from(*fate == Fate::Killed);
    }
    let mut lines: Vec<_> =
        files.iter().map(|(path, (all, killed))| format!("{path}: {killed} of {all} killed")).collect();
    let alive = places.iter().zip(fates).filter(|(_, fate)| **fate != Fate::Killed);
    lines.extend(alive.map(|(place, fate)| place.told(fate)));
    lines
}

/// The line to quote.
fn summary(fates: &[Fate]) -> String {
    let [killed, survived, uncompilable] = counts(fates);
    let rest = if uncompilable > 0 { format!(", {uncompilable} not compilable") } else { String::new() };
    format!("mutate-presets: {} numbers, {killed} killed, {survived} survived{rest}", fates.len())
}

fn judge(fates: &[Fate]) -> Result<(), Failure> {
    match counts(fates) {
        [0, 0, _] => Err(Failure::new("nothing that was tried compiles: this shows nothing")),
        [_, 0, _] => Ok(()),
        [_, survived, _] => Err(Failure::new(format!("{survived} numbers of presets that no test asserts"))),
    }
}

/// Killed, survived, not compilable.
fn counts(fates: &[Fate]) -> [usize; 3] {
    let of = |wanted: fn(&Fate) -> bool| fates.iter().filter(|fate| wanted(fate)).count();
    [
        of(|fate| *fate == Fate::Killed),
        of(|fate| matches!(fate, Fate::Survived(_))),
        of(|fate| *fate == Fate::Uncompilable),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "crates/seawall-policy/src/breaker/presets.rs";

    #[test]
    fn presets_are_looked_for_in_one_crate_and_by_a_part_of_their_path() {
        let tree = Tree::of(&[
            (PATH, "f(5, 10)"),
            ("crates/seawall-policy/src/rate/presets.rs", "f(20)"),
            ("crates/seawall-policy/src/breaker/policy.rs", "f(1)"),
            ("crates/seawall-policy/tests/it/presets.rs", "f(2)"),
            ("crates/seawall-net/src/presets.rs", "f(3)"),
        ]);
        let found = |filter| places(&tree, filter).iter().map(|p| p.number.old.clone()).collect::<Vec<_>>();
        assert_eq!(found(""), ["5", "10", "20"]);
        assert_eq!(found("breaker"), ["5", "10"]);
        assert_eq!(found("rate"), ["20"]);
        assert!(found("chat").is_empty());
    }

    /// The fate of the 5 in `f(5)` where the tests answer so to what is put in its place.
    fn fate_of(outcomes: &[(&str, Outcome)]) -> Fate {
        let number = numbers::find("f(5)").remove(0);
        let place = Place { path: PATH, text: "f(5)", number };
        let mut outcomes = outcomes.iter();
        let fate = fate(&place, |text| {
            let (expected, outcome) = outcomes.next().unwrap();
            assert_eq!(text, *expected);
            Ok(*outcome)
        });
        assert!(outcomes.next().is_none());
        fate.unwrap()
    }

    #[test]
    fn what_does_not_compile_shows_nothing_and_something_else_is_tried() {
        use Outcome::{Green, Red, Uncompilable};
        assert_eq!(fate_of(&[("f(6)", Red)]), Fate::Killed);
        assert_eq!(fate_of(&[("f(6)", Green)]), Fate::Survived("6".to_owned()));
        assert_eq!(fate_of(&[("f(6)", Uncompilable), ("f(4)", Red)]), Fate::Killed);
        let all = [("f(6)", Uncompilable), ("f(4)", Uncompilable), ("f(10)", Uncompilable)];
        assert_eq!(fate_of(&all), Fate::Uncompilable);
    }

    #[test]
    fn a_survivor_is_named_with_its_line_and_fails() {
        let tree = Tree::of(&[(PATH, "f(5,\n10)")]);
        let places = places(&tree, "");
        let fates = [Fate::Killed, Fate::Survived("11".to_owned())];
        let lines = report(&places, &fates);
        assert_eq!(lines, [format!("{PATH}: 1 of 2 killed"), format!("{PATH}:2: 10 → 11: survived")]);
        assert_eq!(summary(&fates), "mutate-presets: 2 numbers, 1 killed, 1 survived");
        assert_eq!(judge(&fates).unwrap_err().code, 1);
    }

    #[test]
    fn all_killed_pass_and_what_never_compiles_is_counted_apart() {
        assert_eq!(judge(&[Fate::Killed, Fate::Uncompilable]), Ok(()));
        let line = summary(&[Fate::Killed, Fate::Uncompilable]);
        assert_eq!(line, "mutate-presets: 2 numbers, 1 killed, 0 survived, 1 not compilable");
        assert!(judge(&[Fate::Uncompilable]).is_err());
    }
}
