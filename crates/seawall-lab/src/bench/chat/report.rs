//! What is printed: idle memory, the ceiling, what of ours are the sends, delays, and a line to quote.

use super::play::{Outcome, WINDOW};
use super::publisher::CONTENT;
use super::side::{SETTINGS, Side};
use super::{Figures, LISTENERS, RATES};
use crate::bench::bars::{Bar, ChatBars, ToCome};
use crate::bench::judge::{self, Judgement, Pair, Verdict, Why, median};
use crate::bench::{Options, Plant};
use crate::servers::program::Cores;

/// Says what is about to run: it takes a while.
pub(super) fn head(options: &Options, listeners: usize, cores: Cores, say: &mut dyn FnMut(&str)) {
    say(&format!(
        "chat: one message to {listeners} listeners, logged-in sessions with the journal on, against nats-server and nchan"
    ));
    let Options { rounds, seconds, .. } = options;
    say(&format!(
        "  {rounds} rounds of {seconds} s of each side in turns; 1 thread of load; {}",
        match cores {
            Cores { server: Some(server), load: Some(load) } => {
                format!("servers on core {server}, load on core {load}")
            }
            _ => "NOT tied to cores (fewer than two, or no taskset): servers and load disturb each other"
                .to_owned(),
        }
    ));
    let settings: Vec<String> = SETTINGS.iter().map(|(key, value)| format!("{key}={value}")).collect();
    say(&format!("  ours is configured with --set {}", settings.join(" --set ")));
    for plant in &options.plants {
        say(match plant {
            Plant::Itself => "  planted: a second nats-server in our place",
            Plant::SlowServer => "  planted: one more hop before our side, counted as ours",
            Plant::SlowBreaker => "  planted: nothing; this is not the bench of breakers",
        });
    }
}

/// Says who runs as which process.
pub(super) fn servers(sides: &[Side], say: &mut dyn FnMut(&str)) {
    let list: Vec<String> =
        sides.iter().filter_map(|side| Some(format!("{} {}", side.name, side.pid()?))).collect();
    say(&format!("  processes: {}", list.join(", ")));
}

/// Says everything that was measured; returns what it comes to.
pub(super) fn all(
    bars: &ChatBars,
    figures: &Figures,
    options: &Options,
    say: &mut dyn FnMut(&str),
) -> Verdict {
    ceiling(figures, say);
    sends(figures, say);
    delays(figures, say);
    idle(bars, figures, say);
    let against = |opponent: usize| compare(&bars.fan_out, figures, opponent, options.full);
    let (nats, nchan) = (against(1), against(2));
    for (judgement, opponent) in [(&nats, 1), (&nchan, 2), (&against(3), 3)] {
        let ratios: Vec<String> = judgement.ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        say(&format!(
            "  {}, ours / {}, by round: {}",
            bars.fan_out.measure.words(),
            figures.names[opponent],
            ratios.join(" ")
        ));
    }
    say(&summary(bars, figures, &nats, &nchan));
    // A bar to come is missed by nobody.
    match nats.verdict {
        Verdict::NotMeasured(why) => Verdict::NotMeasured(why),
        _ => Verdict::NotJudged,
    }
}

/// Ours against the side at `opponent`, round by round, by the CPU time of a delivery.
fn compare(to_come: &ToCome, figures: &Figures, opponent: usize, asked: bool) -> Judgement {
    let ToCome { what, measure, aim, source } = to_come.clone();
    let bar = Bar { what, measure, must: aim, aim: None, source };
    let pairs: Vec<Pair> = figures.ceiling[0]
        .iter()
        .zip(&figures.ceiling[opponent])
        .map(|(ours, theirs)| Pair { ours: ours.cost(), theirs: theirs.cost() })
        .collect();
    judge::judge(&bar, &pairs, asked)
}

fn ceiling(figures: &Figures, say: &mut dyn FnMut(&str)) {
    say(&format!(
        "  at the ceiling, {WINDOW} messages on their way; {} bytes of a message on the wire, all padded to ours of {CONTENT} characters:",
        figures.wire
    ));
    say(&format!(
        "  {:<24}{:>9}{:>12}{:>9}{:>13}{:>12}{:>8}{:>8}{:>11}{:>8}{:>11}{:>9}",
        "",
        "msg/s",
        "deliveries",
        "bytes",
        "deliveries/s",
        "CPU µs each",
        "user",
        "system",
        "delivered",
        "core",
        "load core",
        "p50 ms"
    ));
    for (name, outcomes) in figures.names.iter().zip(&figures.ceiling) {
        say(&row(name, outcomes));
    }
    for (name, outcomes) in
        figures.names.iter().zip(&figures.short).filter(|(_, outcomes)| !outcomes.is_empty())
    {
        say(&row(&format!("{name}, {CONTENT} bytes"), outcomes));
    }
}

/// Sums for what adds up, medians of the rounds for what does not.
fn row(name: &str, outcomes: &[Outcome]) -> String {
    let sum = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>();
    let seconds = sum(&|outcome| outcome.took.as_secs_f64());
    let deliveries = sum(&|outcome| outcome.deliveries as f64);
    let micros = |of: &dyn Fn(&Outcome) -> f64| sum(of) * 1e6 / deliveries;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    format!(
        "  {name:<24}{:>9.0}{deliveries:>12.0}{:>9.0}{:>13.0}{:>12.3}{:>8.3}{:>8.3}{:>11}{:>8}{:>11}{:>9.1}",
        sum(&|outcome| outcome.messages as f64) / seconds,
        sum(&|outcome| outcome.bytes as f64) / deliveries,
        deliveries / seconds,
        micros(&|outcome| outcome.cpu.total().as_secs_f64()),
        micros(&|outcome| outcome.cpu.user.as_secs_f64()),
        micros(&|outcome| outcome.cpu.system.as_secs_f64()),
        percent(outcomes.iter().map(|outcome| outcome.delivered).fold(1.0, f64::min)),
        percent(sum(&|outcome| outcome.cpu.total().as_secs_f64()) / seconds),
        percent(middle(outcomes.iter().map(Outcome::load_share))),
        middle(outcomes.iter().map(|outcome| outcome.delay(0.5))),
    )
}

/// What the durable sends are of our figures.
fn sends(figures: &Figures, say: &mut dyn FnMut(&str)) {
    let per_message = |outcomes: &[Outcome]| {
        let messages: u64 = outcomes.iter().map(|outcome| outcome.messages).sum();
        let cpu: f64 = outcomes.iter().map(|outcome| outcome.cpu.total().as_secs_f64()).sum();
        cpu * 1e6 / messages as f64
    };
    let Some(first) = figures.unheard.first() else { return };
    let (alone, whole) = (per_message(&figures.unheard), per_message(&figures.ceiling[0]));
    let deliveries: u64 = figures.ceiling[0].iter().map(|outcome| outcome.deliveries).sum();
    let messages: u64 = figures.ceiling[0].iter().map(|outcome| outcome.messages).sum();
    say(&format!(
        "  durable sends that nobody hears: {alone:.1} µs of CPU each at {:.0}/s; of the {whole:.1} µs a message costs that everybody hears they are {:.1} %; without them a delivery takes {:.3} µs",
        first.messages as f64 / first.took.as_secs_f64(),
        alone / whole * 100.0,
        (whole - alone) * messages as f64 / deliveries as f64,
    ));
}

fn delays(figures: &Figures, say: &mut dyn FnMut(&str)) {
    say(&format!(
        "  at fixed rates, ms from when a message was due; at {LISTENERS} listeners {} messages a second are offered",
        RATES.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
    ));
    say(&format!(
        "  {:<24}{:>8}{:>10}{:>10}{:>11}{:>8}{:>11}",
        "", "msg/s", "p50", "p99", "delivered", "core", "load core"
    ));
    for (rate, outcomes) in &figures.steady {
        for (name, outcome) in figures.names.iter().zip(outcomes) {
            say(&format!(
                "  {name:<24}{rate:>8}{:>10.2}{:>10.2}{:>9.1} %{:>6.0} %{:>9.0} %",
                outcome.delay(0.5),
                outcome.delay(0.99),
                outcome.delivered * 100.0,
                outcome.cpu.total().as_secs_f64() / outcome.took.as_secs_f64() * 100.0,
                outcome.load_share() * 100.0,
            ));
        }
    }
}

fn idle(bars: &ChatBars, figures: &Figures, say: &mut dyn FnMut(&str)) {
    let cells: Vec<String> = figures
        .names
        .iter()
        .zip(&figures.idle)
        .map(|(name, (bytes, _))| format!("{name} {:.2} KiB", bytes / 1024.0))
        .collect();
    let count = figures.idle.first().map_or(0, |(_, count)| *count);
    say(&format!(
        "  memory of an idle listener, of {count}: {}; coming bar ≤ {:.2} KiB",
        cells.join(", "),
        bars.idle_kib.aim
    ));
}

/// The line to quote.
fn summary(bars: &ChatBars, figures: &Figures, nats: &Judgement, nchan: &Judgement) -> String {
    let aim = bars.fan_out.aim;
    let word = match nats.verdict {
        Verdict::Met => "at the coming bar".to_owned(),
        Verdict::Missed => format!("below the coming bar, {:.2} × to go", aim / nats.ratio),
        Verdict::NotMeasured(Why::Spread) => "NOT MEASURED (the rounds differ by more than 10 %)".to_owned(),
        Verdict::NotMeasured(Why::FewRounds) => "NOT MEASURED (too few rounds)".to_owned(),
        Verdict::NotMeasured(_) => "NOT MEASURED (a round with too little CPU time)".to_owned(),
        Verdict::NotJudged => "not judged (smoke)".to_owned(),
    };
    let per_second = |side: usize| middle(figures.ceiling[side].iter().map(Outcome::per_second));
    format!(
        "chat: {word}: {:.2} × nats-server in deliveries per CPU-second (coming bar ≥ {aim:.2}, spread {:.1} %), {:.2} × in deliveries per second; nchan {:.2} × and {:.2} ×",
        nats.ratio,
        nats.spread * 100.0,
        per_second(0) / per_second(1),
        nchan.ratio,
        per_second(0) / per_second(2),
    )
}

fn middle(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    median(&figures)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::bars::Bars;
    use crate::bench::cpu::Cpu;

    /// Rounds of a second and a whole core, in which ours delivers this share of what nats-server does.
    fn figures(shares: &[f64]) -> Figures {
        let second = Duration::from_secs(1);
        let outcome = |deliveries: f64| Outcome {
            messages: 1_000,
            deliveries: deliveries as u64,
            took: second,
            cpu: Cpu { user: second, system: Duration::ZERO },
            delivered: 1.0,
            ..Outcome::default()
        };
        let ours = shares.iter().map(|share| outcome(1e6 * share)).collect();
        let theirs = |deliveries: f64| vec![outcome(deliveries); shares.len()];
        Figures {
            names: vec!["seawall chat", "nats-server", "nchan", "bare ring"],
            ceiling: vec![ours, theirs(1e6), theirs(5e5), theirs(3e6)],
            idle: vec![(1536.0, 8_000), (25_000.0, 8_000), (10_240.0, 8_000)],
            ..Figures::default()
        }
    }

    fn said(figures: &Figures, full: bool) -> (Verdict, Vec<String>) {
        let options =
            Options { seawall: "none".into(), rounds: 3, seconds: 1, full, quick: false, plants: Vec::new() };
        let mut lines = Vec::new();
        let verdict =
            all(&Bars::read().unwrap().chat, figures, &options, &mut |line| lines.push(line.to_owned()));
        (verdict, lines)
    }

    #[test]
    fn a_bar_to_come_is_stated_and_missed_by_nobody() {
        let (verdict, lines) = said(&figures(&[1.0, 1.0, 1.04]), true);
        assert_eq!(verdict, Verdict::NotJudged);
        assert_eq!(
            lines.last().unwrap(),
            "chat: below the coming bar, 1.30 × to go: 1.00 × nats-server in deliveries per CPU-second (coming bar ≥ 1.30, \
             spread 4.0 %), 1.00 × in deliveries per second; nchan 2.00 × and 2.00 ×"
        );
        let text = lines.join("\n");
        assert!(text.contains("of 8000: seawall chat 1.50 KiB"), "{text}");
        assert!(text.contains("ours / nats-server, by round: 1.00 1.00 1.04"), "{text}");
        let (verdict, lines) = said(&figures(&[1.4, 1.4, 1.4]), true);
        assert!(
            verdict == Verdict::NotJudged
                && lines.last().unwrap().starts_with("chat: at the coming bar: 1.40")
        );
    }

    #[test]
    fn rounds_that_disagree_and_smoke_say_nothing() {
        let (verdict, lines) = said(&figures(&[1.0, 1.2, 1.4]), true);
        assert_eq!(verdict, Verdict::NotMeasured(Why::Spread));
        assert!(lines.last().unwrap().starts_with("chat: NOT MEASURED (the rounds differ"), "{lines:?}");
        let (verdict, lines) = said(&figures(&[1.0]), false);
        assert_eq!(verdict, Verdict::NotJudged);
        assert!(lines.last().unwrap().starts_with("chat: not judged (smoke): "), "{lines:?}");
    }

    #[test]
    fn what_the_sends_cost_is_taken_off_a_delivery() {
        let mut figures = figures(&[1.0]);
        // 1,000 messages and a million deliveries in a second; 100 µs of each message are its send.
        let cpu = Cpu { user: Duration::from_millis(100), system: Duration::ZERO };
        let unheard = Outcome { messages: 1_000, took: Duration::from_secs(1), cpu, ..Outcome::default() };
        figures.unheard = vec![unheard];
        let text = said(&figures, false).1.join("\n");
        assert!(text.contains("100.0 µs of CPU each at 1000/s"), "{text}");
        assert!(text.contains("they are 10.0 %; without them a delivery takes 0.900 µs"), "{text}");
    }
}
