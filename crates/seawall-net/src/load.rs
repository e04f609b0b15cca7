//! How busy this process is, measured a few times a second for those who shed by it.
//!
//! Two things are measured besides the requests in flight, which each request knows.
//!
//! **Queue wait**: how late a timer of the system's own runtime fires. A task that is ready waits behind all others
//! that are, and the timer's task waits as they do. One late firing means nothing (the kernel ran someone else for a
//! moment), a queue that never empties does: so it is the *least* lateness within a second that counts, as in CoDel,
//! which tells a standing queue from a burst the same way.
//!
//! **Processor**: the process's own CPU time over what the machine could have given it.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use seawall_policy::shed::Load;

use crate::admission::Admission;
use crate::host::Host;

/// How often it is looked.
const TICK: Duration = Duration::from_millis(100);
/// Looks that are weighed together: one second.
const TICKS: usize = 10;
/// The kernel's unit in `/proc/self/stat` (`USER_HZ`), the same on every Linux we run on.
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

/// Publishes the load to `admission` until the system stops. Does nothing where nobody is shed.
pub fn watch(admission: &Arc<Admission>, host: &Host) {
    if !admission.is_shedding() {
        return;
    }
    let (admission, host) = (admission.clone(), host.clone());
    let tasks = host.tasks.clone();
    tasks.vital("load", async move {
        let cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
        let mut late = [Duration::ZERO; TICKS];
        let mut used = cpu_seconds();
        let mut since = host.clock.now();
        for tick in (0..TICKS).cycle() {
            let due = host.clock.now() + TICK;
            if !host.tasks.sleep(TICK).await {
                return;
            }
            let now = host.clock.now();
            late[tick] = now.since(due);
            if tick + 1 < TICKS {
                continue;
            }
            let (before, elapsed) = (used, now.since(since).as_secs_f64());
            (used, since) = (cpu_seconds(), now);
            let cpu = (used - before) / (elapsed * cores).max(f64::MIN_POSITIVE);
            let queue_wait = late.iter().copied().min().unwrap_or_default();
            admission.observe(Load { queue_wait, cpu, ..Load::default() }, host.clock.wall());
        }
    });
}

/// CPU time of this process so far; 0 where the kernel does not say, which reads as no load.
fn cpu_seconds() -> f64 {
    fs::read_to_string("/proc/self/stat").ok().and_then(|stat| parse_stat(&stat)).unwrap_or(0.0)
}

/// User and system time, fields 14 and 15. The second field, the command, may contain anything, spaces and
/// parentheses too: fields are counted from the last `)`.
fn parse_stat(stat: &str) -> Option<f64> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace().skip(11);
    let [user, system]: [f64; 2] = [fields.next()?.parse().ok()?, fields.next()?.parse().ok()?];
    Some((user + system) / CLOCK_TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_command() {
        let stat = "42 (sea) wall (x)) S 1 42 42 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 4 0 100 0 0";
        assert_eq!(parse_stat(stat), Some(3.0));
        assert_eq!(parse_stat("42 (cut"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn work_is_seen() {
        let before = cpu_seconds();
        let mut x = 1u64;
        while cpu_seconds() < before + 0.02 {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(cpu_seconds() > before);
    }
}
