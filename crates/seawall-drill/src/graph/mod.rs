//! The graph as its clients see it, over RESP: [`caller`] asks, [`ledger`] knows what must be there, [`visitor`]s
//! write and read, and [`audit`] compares in the end.

pub mod audit;
pub mod caller;
pub mod ledger;
pub mod resp;
pub mod visitor;
