//! Tower layers for the stacks of management APIs. A layer asks a policy, then calls or refuses; it decides
//! nothing itself.

pub mod deadline;
pub mod rate;
