//! The graph as clients see it: over HTTP and JSON, and over RESP.

pub mod http;
pub mod resp;
