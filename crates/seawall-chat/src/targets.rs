//! What this system promises, each with the place that asks for it. Drills measure these from outside; no test
//! judges time.

use std::time::Duration;

/// From the kill of a gateway until its sessions are served again (S0, RTO of a chat server).
pub const RTO_MAX: Duration = Duration::from_secs(60);

/// Acknowledged messages that a resumed session does not hear of: none (S0, RPO of messages).
pub const EVENTS_LOST_MAX: u64 = 0;

/// Messages a resumed session hears of twice: none (S0, exactly once to the client).
pub const EVENTS_REPEATED_MAX: u64 = 0;

/// From the panic of one guild's actor until that guild answers again.
pub const GUILD_RESTART_MAX: Duration = Duration::from_millis(100);

/// How far a client may be behind and still resume; beyond, reading the history is cheaper for both.
pub const RESUME_EVENTS_MAX: u64 = 5000;
