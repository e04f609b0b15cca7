//! The graph: objects and associations, TAO's API, spoken to by any Redis client.

pub mod call;
pub mod edges;
pub mod id;
pub mod limits;
pub mod message;
