//! Clients written for Consul, unchanged, against our registry.

use crate::fleet::Site;
use crate::python;

/// As published.
const PACKAGE: &str = "py-consul==1.8.0";

#[test]
fn a_stock_python_client_registers_watches_and_keeps_keys() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let mut up = site.up(&["registry"]);
    up.ready(&[site.registry]);
    let said = python::run("py_consul.py", PACKAGE, &[&site.registry.port().to_string()]);
    assert_eq!(said, "all is as a Consul client expects");
}
