//! When was it over? The recovery time as the client saw it.
//!
//! Not "when the process was back" and not "when the first request worked": the service has recovered at the start
//! of the first stretch of some seconds in which as many requests succeeded as before the fault, give or take one
//! in a hundred. A lucky request in the middle of an outage does not count, nor does one unlucky one after it.

use std::time::Duration;

use crate::load::{BIN, Bin};

/// How much below the steady ratio still counts as recovered.
pub const TOLERANCE: f64 = 0.01;

/// When the service recovered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Recovery {
    /// So long after the fault; zero when clients noticed nothing.
    After(Duration),
    /// Not before the load ended.
    Never,
    /// The load ended before one window after the fault had passed, or there was none before it to compare with.
    Unknown,
}

/// Share of successes among the arrivals meant to start in `from..to`; none when there were none.
#[must_use]
pub fn success_ratio(bins: &[Bin], from: Duration, to: Duration) -> Option<f64> {
    let first = bin_of(from).min(bins.len());
    let last = bin_of(to).clamp(first, bins.len());
    ratio(&bins[first..last])
}

/// The start of the first `window` after the fault with a success ratio of at least `steady` − [`TOLERANCE`].
///
/// Requests count when they were *meant to start*, so an outage ends with the first users who were served, not when
/// the last of those who waited gave up.
#[must_use]
pub fn recovery(bins: &[Bin], fault: Duration, window: Duration, steady: Option<f64>) -> Recovery {
    let width = bin_of(window).max(1);
    let (Some(steady), Some(after)) = (steady, bins.get(bin_of(fault)..)) else { return Recovery::Unknown };
    if after.len() < width {
        return Recovery::Unknown;
    }
    let good = |w: &[Bin]| ratio(w).is_some_and(|ratio| ratio >= steady - TOLERANCE);
    match after.windows(width).position(good) {
        Some(0) => Recovery::After(Duration::ZERO),
        Some(n) => Recovery::After((BIN * (bin_of(fault) + n) as u32).saturating_sub(fault)),
        None => Recovery::Never,
    }
}

fn bin_of(at: Duration) -> usize {
    (at.as_nanos() / BIN.as_nanos()) as usize
}

fn ratio(bins: &[Bin]) -> Option<f64> {
    let (ok, bad) =
        bins.iter().fold((0u64, 0u64), |(ok, bad), b| (ok + u64::from(b.ok), bad + u64::from(b.bad)));
    (ok + bad > 0).then(|| ok as f64 / (ok + bad) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(5);

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Ten requests every tenth of a second, of which `failing(t)` fail.
    fn timeline(seconds: u32, failing: impl Fn(f64) -> u32) -> Vec<Bin> {
        (0..seconds * 10)
            .map(|n| {
                let bad = failing(f64::from(n) / 10.0);
                Bin { ok: 10 - bad, bad }
            })
            .collect()
    }

    fn after_fault_at_10(bins: &[Bin]) -> Recovery {
        recovery(bins, s(10.0), WINDOW, success_ratio(bins, s(0.0), s(10.0)))
    }

    #[test]
    fn an_outage_that_clients_do_not_see_takes_no_time() {
        assert_eq!(after_fault_at_10(&timeline(30, |_| 0)), Recovery::After(Duration::ZERO));
    }

    #[test]
    fn a_full_outage_is_as_long_as_it_is() {
        let bins = timeline(40, |t| if (10.0..22.0).contains(&t) { 10 } else { 0 });
        // A window may hold 1 % of failures, which is half a bin here: none that begins earlier is good.
        assert_eq!(after_fault_at_10(&bins), Recovery::After(s(12.0)));
    }

    #[test]
    fn a_lucky_second_in_the_middle_is_no_recovery() {
        let bins =
            timeline(40, |t| if (10.0..14.0).contains(&t) || (15.0..20.0).contains(&t) { 10 } else { 0 });
        assert_eq!(after_fault_at_10(&bins), Recovery::After(s(10.0)));
    }

    #[test]
    fn a_rare_error_afterwards_is_within_the_tolerance() {
        // Below 1 %: 4 of 500 in any window.
        let bins = timeline(40, |t| u32::from(t > 10.0 && ((t * 10.0).round() as u32).is_multiple_of(13)));
        assert_eq!(after_fault_at_10(&bins), Recovery::After(Duration::ZERO));
    }

    #[test]
    fn a_system_that_was_never_perfect_is_compared_with_itself() {
        let bins = timeline(40, |t| if (10.0..15.0).contains(&t) { 10 } else { 1 });
        // Steady is 90 %, so 89 % will do; the last failing bins fit in at most that one percent.
        let Recovery::After(took) = after_fault_at_10(&bins) else { panic!() };
        assert!((s(4.8)..=s(5.0)).contains(&took), "{took:?}");
    }

    #[test]
    fn no_recovery_before_the_end_is_never_and_no_time_is_unknown() {
        assert_eq!(after_fault_at_10(&timeline(30, |t| if t < 10.0 { 0 } else { 10 })), Recovery::Never);
        assert_eq!(after_fault_at_10(&timeline(13, |_| 0)), Recovery::Unknown);
        assert_eq!(recovery(&timeline(30, |_| 0), s(10.0), WINDOW, None), Recovery::Unknown);
    }

    #[test]
    fn silence_is_no_success() {
        let mut bins = timeline(30, |_| 0);
        bins[100..].fill(Bin::default());
        assert_eq!(after_fault_at_10(&bins), Recovery::Never);
    }

    #[test]
    fn a_fault_between_two_bins_is_counted_from_its_moment() {
        let bins = timeline(40, |t| if (10.0..12.0).contains(&t) { 10 } else { 0 });
        assert_eq!(recovery(&bins, s(10.05), WINDOW, Some(1.0)), Recovery::After(s(1.95)));
    }
}
