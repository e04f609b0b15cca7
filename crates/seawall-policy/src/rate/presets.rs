//! The rate limits the documents ask for. None of them gives a number; these are ours.

use super::notation::{Per, Rate};
use super::policy::Policy;

/// The names [`preset`] knows.
pub const PRESETS: &[&str] = &["s2-create-link", "s0-reconnect"];

/// The policy of that name, if there is one.
#[must_use]
pub fn preset(name: &str) -> Option<Policy> {
    match name {
        "s2-create-link" => Some(Policy::create_link()),
        "s0-reconnect" => Some(Policy::s0_reconnect()),
        _ => None,
    }
}

impl Policy {
    /// Links (S2), Security: "rate limiting (prevent abuse)", without a number. All the document's users
    /// together create 18 links a second, and 1,800 after growing a hundredfold. 20 a second is more than one
    /// of them needs, and keeps each at 2 % of the thousand writes a database takes. A burst of 40 lets
    /// a page of links be imported at once. A client is forgotten after at most 2 s of silence, so 65,536
    /// hold everyone at 18 times those 1,800, were each link to come from another client.
    #[must_use]
    pub fn create_link() -> Policy {
        Policy { rate: Rate::new(20, Per::Second), burst: 40, keys_max: 65_536 }
    }

    /// Chat (S0), Load Shedding: reconnecting is "always allowed", and a gateway that dies sends back 80,000
    /// clients at once. At 2,000 a second they are all back after 40 s, within the document's minute for a
    /// gateway's failure. The burst is a tenth of a second's worth: enough for those whom one tick of a timer
    /// brings together, and little enough that the worst second carries 2,200 and not twice the rate.
    #[must_use]
    pub fn s0_reconnect() -> Policy {
        Policy { rate: Rate::new(2_000, Per::Second), burst: 200, keys_max: 0 }
    }
}
