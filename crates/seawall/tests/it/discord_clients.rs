//! Clients written for Discord, unchanged, against our chat.

use crate::fleet::{CHAT_UNSHED, Site};
use crate::python;

/// As published.
const PACKAGE: &str = "discord.py==2.7.1";

#[test]
fn discord_py_talks_is_cut_off_four_ways_and_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let mut up = site.up(&CHAT_UNSHED);
    up.ready(&[site.chat]);
    let said = python::run("discord_py.py", PACKAGE, &[&site.chat.to_string()]);
    assert_eq!(said, "all is as a Discord client expects");
}
