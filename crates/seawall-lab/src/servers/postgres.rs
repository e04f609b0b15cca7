//! PostgreSQL, as it comes with Debian: a new cluster, durable as by default (`fsync` and synchronous commits on).
//!
//! It refuses to run as root; then it runs as Debian's `postgres` (or `nobody`, where there is none), and the folder
//! is given to that user. Clients come by TCP, as to everybody else, and need no password: it listens on 127.0.0.1
//! alone, for as long as a bench lasts.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_drill::fault::process::{Process, Spec};

use super::memory::within;
use super::program::{INITDB, POSTGRES, SETPRIV, pinned, postgres_folders};
use super::{LOOK_EVERY, READY_WITHIN, Server, Stop, folder, free_address};
use crate::LabError;

/// The user clients name; the cluster knows no other.
pub const USER: &str = "bench";
/// Hang guard for `initdb`, which takes a second or two.
const INITDB_WITHIN: Duration = Duration::from_secs(60);
/// Whose rights it may have instead of root's.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// Starts a new cluster on a free port, tied to `core` if one is given; its processes together are held to `group`,
/// if there is one.
///
/// # Errors
/// When it is not installed, or does not get ready; then with its own words.
pub async fn start(core: Option<u32>, group: Option<&Path>) -> Result<Server, LabError> {
    let folders = postgres_folders();
    let (initdb, binary) = (INITDB.find_among(folders.clone())?, POSTGRES.find_among(folders)?);
    let address = free_address()?;
    let folder = folder()?;
    let user = other_user()?;
    if let Some((uid, gid)) = user {
        chown(folder.path(), Some(uid), Some(gid)).map_err(LabError::io("give a folder to PostgreSQL"))?;
    }
    let data = folder.path().join("data");

    let make = ["--no-sync", "--no-instructions", "--auth=trust", "--encoding=UTF8", "--locale=C"];
    let mut args: Vec<OsString> = make.into_iter().map(Into::into).collect();
    args.extend(["--username".into(), USER.into(), "--pgdata".into(), data.clone().into()]);
    let (make, args) = as_user(user, (initdb, args))?;
    let folder_path = folder.path().to_owned();
    let spec =
        Spec { name: "initdb".to_owned(), binary: make, args, env: Vec::new(), folder: folder_path.clone() };
    let status = Process::start(&spec)?.ended(INITDB_WITHIN).await?;
    if !status.success() {
        let path = folder_path.join("initdb.stderr");
        let output = fs::read_to_string(&path).map_err(LabError::io("read what initdb said"))?;
        return Err(LabError::Failed { name: "initdb".to_owned(), status, output });
    }

    let mut args: Vec<OsString> = vec!["-D".into(), data.clone().into()];
    for setting in [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={}", address.port()),
        format!("unix_socket_directories={}", folder_path.display()),
        "max_connections=200".to_owned(),
    ] {
        args.extend(["-c".into(), setting.into()]);
    }
    let command = as_user(user, pinned(&binary, args, core))?;
    let accepting = &[address];
    let mut server =
        Server::start_listening("postgres", within(group, command), folder, address, accepting).await?;
    server.stop = Stop::Asked;
    let starting = async {
        // It accepts connections before it can serve them, and says the rest in this file.
        while !is_ready(&data) {
            server.process.alive()?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok::<_, LabError>(())
    };
    let Ok(started) = tokio::time::timeout(READY_WITHIN, starting).await else {
        let what = "wait for PostgreSQL to serve".to_owned();
        return Err(LabError::Io { what, source: ErrorKind::TimedOut.into() });
    };
    started.map(|()| server)
}

/// Whether the server of this folder serves: the eighth line of its file says so.
fn is_ready(data: &Path) -> bool {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    text.lines().nth(7).is_some_and(|status| status.trim() == "ready")
}

/// User and group that it may run as, where we are root.
fn other_user() -> Result<Option<(u32, u32)>, LabError> {
    let me = fs::metadata("/proc/self").map_err(LabError::io("ask who we are"))?;
    if me.uid() != 0 {
        return Ok(None);
    }
    let list = fs::read_to_string("/etc/passwd").map_err(LabError::io("read /etc/passwd"))?;
    let found = USERS.iter().find_map(|name| user_in(&list, name));
    found.map(Some).ok_or(LabError::Unreadable { what: "the user postgres or nobody", found: list })
}

/// User and group of `name` in the text of `/etc/passwd`.
fn user_in(list: &str, name: &str) -> Option<(u32, u32)> {
    let line = list.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let mut number = || fields.next()?.parse().ok();
    Some((number()?, number()?))
}

/// The command that runs another as `user`; it replaces itself, so the process id stays.
fn as_user(
    user: Option<(u32, u32)>,
    (binary, args): (PathBuf, Vec<OsString>),
) -> Result<(PathBuf, Vec<OsString>), LabError> {
    let Some((uid, gid)) = user else { return Ok((binary, args)) };
    let own = [format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()];
    let own = own.into_iter().map(OsString::from).chain([binary.into()]);
    Ok((SETPRIV.find()?, own.chain(args).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let list =
            "root:x:0:0:root:/:/bin/sh\npostgresql:x:7:8::/:\npostgres:x:101:104:PostgreSQL:/var:/bin/sh\n";
        assert_eq!(user_in(list, "postgres"), Some((101, 104)));
        assert_eq!(user_in(list, "nobody"), None);
    }
}
