//! Ways to break things from outside: connections through a proxy, processes through signals.
//!
//! Both work for any user on any Linux: no root, no kernel modules. (Many kernels have no netem, so delay and loss
//! cannot be left to them.)

pub mod process;
pub mod proxy;
mod pump;
mod toxic;

pub use toxic::{Stream, Toxic};
