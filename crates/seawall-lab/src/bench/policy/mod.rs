//! What a decision costs: ours against the floor, and against the crates people use, in one process.
//!
//! ```text
//! stream.rs            what everybody is fed: the same calls, at the same moments, with the same failures
//! ours.rs, theirs.rs   who is measured, one closure each
//! burst.rs, line.rs    how long a call takes, with one thread and with two
//! contest.rs           who is compared with whom, by which bar
//! report.rs            what is printed
//! ```
//!
//! # The floor
//!
//! Nanoseconds are another machine's on another machine, so the bars are multiples of the least that
//! a decision can cost which anybody else must know of: one relaxed `fetch_add`, measured in the same
//! rounds. With two threads there are two floors. A mechanism that counts everybody in one word is
//! compared with a word that two threads fight for, and one that needs no such word with a word each.
//!
//! # `now`, and whoever reads the clock
//!
//! Our mechanisms are told the time, because a request passes several of them and the time can be read
//! once for all. The opponents read it themselves, some of them only when they need it. So everything
//! is shown twice: with `now` passed in, against the floor; and with its own readings, against them.
//! These are of the coarse clock, which is enough for windows of seconds, and only where the moment
//! decides something. What the same costs with the precise clock stands beside it.
//!
//! # Is it right?
//!
//! `--plant itself` puts a `fetch_add` in the place of our breaker, which must come out as 1.00;
//! `--plant slow-breaker` puts a lock before it, which must be a miss.

mod burst;
mod contest;
mod line;
mod ours;
mod report;
mod stream;
mod theirs;

use std::time::Duration;

use contest::Contest;

use super::Options;
use super::bars::PolicyBars;
use super::judge::Verdict;
use crate::LabError;
use crate::servers::program::Cores;

/// How long a round of a smoke run lasts, with one thread and with two.
const A_MOMENT: Duration = Duration::from_millis(100);

/// Runs it; the last line said is the one to quote.
///
/// # Errors
/// When somebody let in whom it should not, or the other way round.
pub(super) fn run(
    bars: &PolicyBars,
    options: &Options,
    cores: Cores,
    say: &mut dyn FnMut(&str),
) -> Result<Verdict, LabError> {
    let contest = Contest::new(bars, options);
    let time = if options.full { Duration::from_secs(options.seconds.into()) } else { A_MOMENT };
    report::head(options, time, cores, say);
    // A thread of its own: it is tied to a core, and what it calls must not find itself inside a runtime,
    // where tokio's locks make a task that never awaits wait for ever.
    let rounds = std::thread::scope(|scope| {
        let playing = scope.spawn(|| contest.play(cores, options.rounds, time));
        playing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let judged = contest.judge(&rounds, options.full);
    report::tables(&contest, &rounds, &judged, say);
    Ok(report::summary(&judged, say))
}
