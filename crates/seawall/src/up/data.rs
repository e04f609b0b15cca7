//! The data folder: made, checked and opened before anything else, so that a bad one costs one clear line.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

use seawall_net::host::Plants;
use seawall_policy::Clock;

use crate::config::{self, Config};

/// Changes when an older build could misread the folder as a whole; each file has a version of its own.
const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "format";

/// Makes the folder, or checks that this build can use the one there is.
pub(super) fn prepare(data: &Path) -> Result<(), String> {
    let unusable = |e: std::io::Error| {
        format!("the data folder {} cannot be used ({e}); choose another with --data DIR", data.display())
    };
    fs::create_dir_all(data).map_err(unusable)?;
    let file = data.join(FORMAT_FILE);
    match fs::read_to_string(&file) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found <= FORMAT => Ok(()),
            Ok(found) => Err(format!(
                "the data folder {} has format {found} and this build reads up to {FORMAT}; use a newer seawall",
                data.display()
            )),
            Err(_) => Err(format!("{} should hold a number; is this a seawall data folder?", file.display())),
        },
        Err(e) if e.kind() == ErrorKind::NotFound => {
            // Several processes may begin with one empty folder at once: none may see half a file.
            let half = data.join(format!("{FORMAT_FILE}.{}", std::process::id()));
            let mut made = fs::File::create(&half).map_err(unusable)?;
            writeln!(made, "{FORMAT}").and_then(|()| made.sync_all()).map_err(unusable)?;
            fs::rename(&half, &file).map_err(unusable)?;
            fs::File::open(data).and_then(|dir| dir.sync_all()).map_err(unusable)
        }
        Err(e) => Err(unusable(e)),
    }
}

/// A seed that differs between runs.
pub(super) fn seed() -> Result<u64, String> {
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut bytes))
        .map_err(|e| format!("cannot read /dev/urandom: {e}"))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The files of the data folder; none is opened yet.
pub(super) fn files(data: &Path, clock: Arc<dyn Clock>, seed: u64, plants: &Plants) -> seawall_store::Files {
    seawall_store::Files::new(seawall_store::Options {
        data: data.to_owned(),
        clock,
        seed,
        plants: seawall_store::Plants { ack_before_commit: plants.has("ack-before-commit") },
    })
}

/// Discovery settings, with the token read.
pub(super) fn discovery(config: &Config, data: &Path) -> Result<seawall_cluster::Settings, String> {
    let tokens =
        config::tokens(&config.discovery.token_file).map_err(|why| format!("discovery.token_file: {why}"))?;
    Ok(seawall_cluster::Settings {
        config: config.discovery.clone(),
        token: tokens.into_iter().next(),
        cache_dir: data.join("discovery"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_a_newer_build_is_refused_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        prepare(dir.path()).unwrap();
        fs::write(dir.path().join(FORMAT_FILE), "2\n").unwrap();
        let why = prepare(dir.path()).unwrap_err();
        assert!(why.contains("format 2") && why.contains("newer seawall") && !why.contains('\n'), "{why}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_says_what_to_do() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let why = prepare(&file.path().join("below-a-file")).unwrap_err();
        assert!(why.contains("--data DIR"), "{why}");
    }
}
