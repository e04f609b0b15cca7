//! Python clients as they are published, apart from the machine's own packages.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with a package and what it needs; kept in the build folder so that it is fetched once.
pub(crate) fn packages(package: &str) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    if !home.join("complete").exists() {
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--upgrade",
            package,
            "--target",
        ];
        let output = Command::new("python3").args(install).arg(&home).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(home.join("complete"), "").unwrap();
    }
    home
}

/// Runs `tests/clients/NAME` with a package at hand; what it printed. It must end well.
pub(crate) fn run(script: &str, package: &str, args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let output = Command::new("python3")
        .arg(script)
        .args(args)
        .env("PYTHONPATH", packages(package))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said.trim().to_owned()
}
