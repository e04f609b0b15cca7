//! Clients written for Consul, unchanged, against our registry.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fleet::Site;

/// As published; kept in the build folder so that it is fetched once.
const PACKAGE: &str = "py-consul==1.8.0";

#[test]
fn a_stock_python_client_registers_watches_and_keeps_keys() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let mut up = site.up(&["registry"]);
    up.ready(&[site.registry]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/py_consul.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(site.registry.port().to_string())
        .env("PYTHONPATH", packages())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), "all is as a Consul client expects");
}

/// A folder with the client and what it needs, apart from the machine's own packages.
fn packages() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("py-consul");
    if !home.join("complete").exists() {
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--upgrade",
            PACKAGE,
            "--target",
        ];
        let output = Command::new("python3").args(install).arg(&home).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(home.join("complete"), "").unwrap();
    }
    home
}
