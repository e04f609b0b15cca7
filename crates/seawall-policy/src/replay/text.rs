//! A report in words, for somebody tired.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use super::tally::{Changes, Gate, Span, Tally, mean};
use super::{Report, breaker, bulkhead, ladder, rate, retry, shed};
use crate::{Mono, Wall};

/// Ends every report: what follows from reading what has already happened.
const OPEN_LOOP: &str =
    "A trace is open-loop: what is refused or repeated here changes nothing that follows in it.\n";

impl Report {
    /// What it would have done, with at most so many changes line by line. `start` is when the trace began,
    /// where that is known.
    #[must_use]
    pub fn text(&self, start: Option<Wall>, changes_max: usize) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = match self {
            Report::Breaker(report) => breaker_text(&mut text, report, start, changes_max),
            Report::Retry(report) => retry_text(&mut text, report, start),
            Report::Rate(report) => rate_text(&mut text, report, start, changes_max),
            Report::Bulkhead(report) => bulkhead_text(&mut text, report, start, changes_max),
            Report::Shed(report) => shed_text(&mut text, report, start, changes_max),
            Report::Ladder(report) => ladder_text(&mut text, report, start, changes_max),
        };
        text + OPEN_LOOP
    }
}

fn breaker_text(
    to: &mut String,
    report: &breaker::Report,
    start: Option<Wall>,
    changes_max: usize,
) -> fmt::Result {
    let breaker::Report { gate, probes, trips, not_closed, left_open, breakers } = report;
    gate_text(to, gate, start, changes_max)?;
    if *trips == 0 {
        writeln!(to, "It would never have opened.")?;
    } else {
        let all = if *breakers > 1 { format!(" by {breakers} breakers together") } else { String::new() };
        writeln!(
            to,
            "It opened {} and was not closed for {}{all}; {}, of which {} succeeded.",
            times(*trips),
            Short(*not_closed),
            count(probes.calls, "call tested the callee", "calls tested the callee"),
            Grouped(probes.succeeded),
        )?;
    }
    if *left_open > 0 {
        writeln!(
            to,
            "At the end of the trace {} not closed.",
            count(*left_open, "breaker was", "breakers were")
        )?;
    }
    Ok(())
}

fn retry_text(to: &mut String, report: &retry::Report, start: Option<Wall>) -> fmt::Result {
    let retry::Report { trace: span, served, load, busiest, .. } = report;
    trace(to, span, start)?;
    table(to, &[("without it", &span.calls), ("with it", served)], None)?;
    writeln!(
        to,
        "It mended {}, whose answers came {} later on average and {} at most.",
        count(report.mended, "failure", "failures"),
        Short(mean(report.mended_later, report.mended)),
        Short(report.mended_latest),
    )?;
    writeln!(
        to,
        "The callee had {} more to bear, {:.2} times its load; in the worst 10 s {} and {}, {:.2} times.",
        count(load.retries, "call", "calls"),
        load.amplification(),
        count(busiest.calls, "call", "calls"),
        count(busiest.retries, "retry", "retries"),
        busiest.amplification(),
    )?;
    if !report.given_up.is_empty() {
        let why = report.given_up.iter().map(|(why, n)| format!("{} {}", Grouped(*n), given_up(why)));
        writeln!(
            to,
            "Not retried, or not again: {}; their callers waited {} longer all together.",
            why.collect::<Vec<_>>().join(", "),
            Short(report.failed_later)
        )?;
    }
    writeln!(
        to,
        "A retry is taken to meet what the first call of the trace met that began then or later, and one budget to serve all."
    )
}

/// Why a failure was not retried, in words.
fn given_up(why: &'static str) -> &'static str {
    match why {
        "attempts" => "had all their tries",
        "class" => "failed in a way that is not retried",
        "not-idempotent" => "must not happen twice",
        "deadline" => "would have come too late",
        "budget" => "were beyond the budget",
        "only-elsewhere" => "were too busy, and only another callee may be asked",
        "trace-ended" => "would have come after the trace",
        other => other,
    }
}

fn rate_text(to: &mut String, report: &rate::Report, start: Option<Wall>, changes_max: usize) -> fmt::Result {
    let rate::Report { gate, busiest_second, keys, keys_refused, wants_keys } = report;
    gate_text(to, gate, start, changes_max)?;
    writeln!(to, "In the busiest second {}.", count(*busiest_second, "call began", "calls began"))?;
    if *keys > 0 {
        writeln!(
            to,
            "Of {}, {} refused something.",
            count(*keys, "key", "keys"),
            count(*keys_refused, "was", "were")
        )?;
    }
    if *wants_keys {
        writeln!(
            to,
            "The policy limits each caller by itself; here all had one limit together, for nothing told them apart."
        )?;
    }
    Ok(())
}

fn bulkhead_text(
    to: &mut String,
    report: &bulkhead::Report,
    start: Option<Wall>,
    changes_max: usize,
) -> fmt::Result {
    let bulkhead::Report { gate, places, wanted, taken, bulkheads } = report;
    gate_text(to, gate, start, changes_max)?;
    let each = if *bulkheads > 1 { format!(" in one of {bulkheads}") } else { String::new() };
    writeln!(
        to,
        "Of {} at most {} were taken at once{each}; without it {} would have been.",
        count(*places, "place", "places"),
        Grouped(*taken),
        Grouped(*wanted)
    )
}

fn shed_text(to: &mut String, report: &shed::Report, start: Option<Wall>, changes_max: usize) -> fmt::Result {
    let shed::Report { gate, classes, delayed, delayed_for, load } = report;
    gate_text(to, gate, start, changes_max)?;
    for (class, shed::Class { served, refused }) in classes {
        let all = served.calls + refused.calls;
        let refused = share(refused.calls, all);
        writeln!(to, "  {class} {} refused of {}", refused.trim_end(), Grouped(all))?;
    }
    writeln!(to, "The highest load was {:.0} %, of requests in flight alone.", 100.0 * load)?;
    if *delayed > 0 {
        let delayed_for = Short(mean(*delayed_for, *delayed));
        writeln!(
            to,
            "{} let in late, by {delayed_for} on average.",
            count(*delayed, "call was", "calls were")
        )?;
    }
    Ok(())
}

fn ladder_text(
    to: &mut String,
    report: &ladder::Report,
    start: Option<Wall>,
    changes_max: usize,
) -> fmt::Result {
    let ladder::Report { trace: span, changes: all, levels, unknown } = report;
    trace(to, span, start)?;
    changes(to, all, start, changes_max)?;
    writeln!(to)?;
    if all.first.is_empty() {
        writeln!(to, "No rung would have been entered.")?;
    }
    for (level, time) in levels {
        writeln!(to, "  level {level} for {}", Short(*time))?;
    }
    for (signal, share) in unknown.iter().filter(|(_, share)| **share > 0.0) {
        match *share >= 1.0 {
            true => writeln!(to, "Nothing in the trace tells {signal}: what waits for it never comes.")?,
            false => writeln!(to, "For {:.0} % of the time too few calls told {signal}.", 100.0 * share)?,
        }
    }
    Ok(())
}

/// What all policies that refuse have in common.
fn gate_text(to: &mut String, gate: &Gate, start: Option<Wall>, changes_max: usize) -> fmt::Result {
    trace(to, &gate.trace, start)?;
    changes(to, &gate.changes, start, changes_max)?;
    table(to, &[("without it", &gate.trace.calls), ("with it", &gate.served)], Some(gate.refused.calls))?;
    gate_words(to, gate)
}

fn trace(to: &mut String, span: &Span, start: Option<Wall>) -> fmt::Result {
    let from = start.map(|start| format!(" from {start}")).unwrap_or_default();
    writeln!(to, "Trace: {} in {}{from}.", count(span.calls.calls, "call", "calls"), Short(span.lasted))?;
    if span.tried_again > 0 {
        writeln!(
            to,
            "{} tried more than once already, and the trace tells of the last try only.",
            count(span.tried_again, "call was", "calls were")
        )?;
    }
    Ok(())
}

fn changes(to: &mut String, changes: &Changes, start: Option<Wall>, max: usize) -> fmt::Result {
    let shown = &changes.first[..changes.first.len().min(max)];
    if shown.is_empty() && changes.more == 0 {
        return Ok(());
    }
    writeln!(to)?;
    for change in shown {
        let date = start.map(|start| format!("  {}", after(start, change.at))).unwrap_or_default();
        let whose = change.key.as_ref().map(|key| format!("  {key}")).unwrap_or_default();
        let states = format!("{} → {}", change.from, change.to);
        writeln!(to, "  {:>10}{date}{whose}  {states:<18}  {}", Clock(change.at).to_string(), change.why)?;
    }
    let more = changes.first.len() as u64 - shown.len() as u64 + changes.more;
    if more > 0 {
        writeln!(to, "  and {}", count(more, "change more", "changes more"))?;
    }
    Ok(())
}

fn gate_words(to: &mut String, gate: &Gate) -> fmt::Result {
    let refused = &gate.refused;
    if refused.calls == 0 {
        return writeln!(to, "It would have refused nothing.");
    }
    writeln!(
        to,
        "It spared the callee {}, {} of which would have failed; {} would have succeeded and {} lost.",
        count(refused.calls, "call", "calls"),
        Grouped(refused.failed),
        Grouped(refused.succeeded),
        if refused.succeeded == 1 { "is" } else { "are" },
    )?;
    writeln!(
        to,
        "Who was refused heard it at once, and not after {} on average and {} at most.",
        Short(refused.mean()),
        Short(refused.longest),
    )
}

/// What callers saw, a column for each.
fn table(to: &mut String, columns: &[(&str, &Tally)], refused: Option<u64>) -> fmt::Result {
    writeln!(to)?;
    let all = columns.iter().map(|(_, tally)| tally.calls).max().unwrap_or_default();
    let mut row = |name: &str, cell: &dyn Fn(usize, &Tally) -> String| {
        let cells: Vec<String> =
            columns.iter().enumerate().map(|(i, (_, tally))| format!("{:>20}", cell(i, tally))).collect();
        writeln!(to, "{}", format!("  {name:<22}{}", cells.concat()).trim_end())
    };
    row("", &|i, _| columns[i].0.to_owned())?;
    row("succeeded", &|_, t| share(t.succeeded, all))?;
    row("failed", &|_, t| share(t.failed, all))?;
    row("given up by caller", &|_, t| share(t.abandoned, all))?;
    if let Some(refused) = refused {
        row("refused at once", &|i, _| share(if i == 0 { 0 } else { refused }, all))?;
    }
    row("waited on average", &|_, t| Short(t.mean()).to_string())?;
    row("waited at most", &|_, t| Short(t.longest).to_string())?;
    writeln!(to)
}

fn share(part: u64, all: u64) -> String {
    if part == 0 {
        return "0        ".to_owned();
    }
    format!("{} {:>5.1} %", Grouped(part), 100.0 * part as f64 / all.max(1) as f64)
}

pub(super) fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", Grouped(n), if n == 1 { one } else { many })
}

fn times(n: u64) -> String {
    match n {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{} times", Grouped(n)),
    }
}

fn after(start: Wall, at: Mono) -> Wall {
    Wall(start.0.saturating_add(i64::try_from(at.0 / 1_000_000).unwrap_or(i64::MAX)))
}

/// `1,234,567`.
struct Grouped(u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (i, digit) in digits.char_indices() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// A time from the begin of the trace: `+1:02:03.004`, the hours only when there are any.
struct Clock(Mono);

impl Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.0 / 1_000_000;
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        match hours {
            0 => write!(f, "+{minutes}:{seconds:02}.{:03}", ms % 1000),
            _ => write!(f, "+{hours}:{minutes:02}:{seconds:02}.{:03}", ms % 1000),
        }
    }
}

/// A length of time with three digits or so: `1.2 ms`, `34.1 s`, `2 h 10 min`.
pub(super) struct Short(pub(super) Duration);

impl Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match self.0.as_secs() {
            3_600.. => write!(f, "{} h {} min", self.0.as_secs() / 3_600, self.0.as_secs() / 60 % 60),
            120.. => write!(f, "{} min {} s", self.0.as_secs() / 60, self.0.as_secs() % 60),
            1.. => write!(f, "{seconds:.1} s"),
            0 if self.0.is_zero() => f.write_str("0 s"),
            0 => write!(f, "{:.1} ms", seconds * 1e3),
        }
    }
}
