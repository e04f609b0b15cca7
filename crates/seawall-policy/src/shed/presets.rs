//! The chat document's steps.

use std::time::Duration;

use super::policy::{Choose, Delay, Policy, Shares, Step};
use crate::rate;

/// The names that [`preset`] knows.
pub const PRESETS: &[&str] = &["s0-chat"];

/// The preset of this name.
#[must_use]
pub fn preset(name: &str) -> Option<Policy> {
    (name == "s0-chat").then(Policy::s0_chat)
}

impl Policy {
    /// Chat (S0, Load Shedding Strategy): below 70 % everything; below 85 % half of P4 goes; below 95 % P3 and
    /// P4 go and P2 waits, 250 ms since the document says no number; above, P2 to P4 go and of P1 a tenth stays
    /// ("sample 10 %", read as what is let in).
    #[must_use]
    pub fn s0_chat() -> Policy {
        let below = |below, drop, delay| Step { below: Some(below), drop, delay };
        let none = Delay::default();
        let typing = Delay { p2: Duration::from_millis(250), ..none };
        Policy {
            steps: vec![
                below(0.70, Shares::default(), none),
                below(0.85, Shares { p4: 0.5, ..Shares::default() }, none),
                below(0.95, Shares { p3: 1.0, p4: 1.0, ..Shares::default() }, typing),
                Step { below: None, drop: Shares { p1: 0.9, p2: 1.0, p3: 1.0, p4: 1.0 }, delay: none },
            ],
            choose: Choose::Sample,
            queue_wait_max: Duration::from_millis(20),
            reconnect: rate::Policy::s0_reconnect(),
        }
    }
}
