//! The SQL engine. Everything that knows SQLite is below here; what a second engine would say
//! differently is in `sqlite` and `dialect`, what both say alike in `group`, `fence` and `schema`.

pub(crate) mod codec;
pub(crate) mod dialect;
pub(crate) mod fence;
pub(crate) mod group;
pub(crate) mod schema;
pub(crate) mod sqlite;
