//! `seawall load` against a live system.

use crate::fleet::{Site, seawall};

#[test]
fn load_starts_what_it_was_told_to_and_counts_every_answer() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let mut up = site.up(&["registry"]);
    up.ready(&[site.registry]);
    let url = format!("http://{}/v1/status/leader", site.registry);
    let output = seawall(&["load", "--rate", "100", "--for", "1s", "--seed", "3", "--json", &url]);
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let (sent, ok) = (report["sent"].as_u64().unwrap(), report["ok"].as_u64().unwrap());
    assert!((50..200).contains(&sent) && ok == sent, "{report}");

    let missing = format!("http://{}/v1/no-such-page", site.registry);
    let output = seawall(&["load", "--rate", "50", "--for", "500ms", &missing]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("status 404"), "{output:?}");
    assert_eq!(seawall(&["load", "https://127.0.0.1/"]).status.code(), Some(2));
}
