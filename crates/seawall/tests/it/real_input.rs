//! Ten thousand URLs that people wrote, found on this machine: import, resolve, restart, resolve again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fleet::{Site, binary};

/// Fewer than this, and the test says so instead of passing on little.
const URLS_MIN: usize = 10_000;
/// Enough; more would only take longer.
const URLS_MAX: usize = 12_000;
/// Largest file looked into.
const FILE_BYTES_MAX: u64 = 2 << 20;
/// Time to look for URLs; a machine full of documentation has enough in a fraction of it.
const SEARCH_MAX: Duration = Duration::from_secs(120);

#[test]
fn ten_thousand_real_urls_survive_import_and_restart() {
    let dir = tempfile::tempdir().unwrap();
    let urls = urls();
    assert!(
        urls.len() >= URLS_MIN,
        "only {} distinct URLs on this machine; {URLS_MIN} are needed",
        urls.len()
    );
    let list = dir.path().join("urls.txt");
    fs::write(&list, urls.iter().map(|u| format!("{u}\n")).collect::<String>()).unwrap();

    let site = Site::new(dir.path());
    let up = site.up_all(&[]);
    let map = dir.path().join("map.tsv");
    let import = ["links", "import", list.to_str().unwrap(), "--map", map.to_str().unwrap(), "--json"];
    let output = site.run(&import);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // What the shortener refuses on purpose (addresses inside a network, other schemes) is left out beforehand.
    assert_eq!(summary["imported"].as_u64().unwrap() as usize, urls.len(), "{summary} {said}");
    let links = read_map(&map);
    assert_eq!(links.len(), urls.len(), "a code was given twice");

    resolve_all(&site, &links);
    // Importing again within a day gives every URL the code it has.
    assert!(site.run(&import).status.success());
    assert_eq!(read_map(&map), links);
    let exported = site.run(&["links", "export"]);
    assert_eq!(exported.stdout.iter().filter(|b| **b == b'\n').count(), links.len());

    drop(up);
    let again = site.up_all(&[]);
    resolve_all(&site, &links);
    drop(again);
}

#[test]
fn an_import_shows_a_progress_bar_on_a_terminal_and_none_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::new(dir.path());
    let _up = site.up_all(&[]);
    let list = dir.path().join("urls.txt");
    fs::write(&list, (0..2_000).map(|i| format!("https://example.org/{i}\n")).collect::<String>()).unwrap();
    let server = site.links.to_string();
    let args = ["links", "--server", &server, "import", list.to_str().unwrap()];
    let plain = Command::new(binary()).args(args).output().unwrap();
    assert!(plain.status.success() && plain.stderr.is_empty(), "{plain:?}");
    // `script` gives the command a terminal.
    let line = format!("{} {}", binary().display(), args.join(" "));
    let shown =
        Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains("/2000") && shown.contains("imported 2000"), "{shown}");
}

fn read_map(file: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|l| l.split_once('\t').map(|(c, u)| (c.to_owned(), u.to_owned())).unwrap()).collect()
}

/// Asks curl for every code through the balancer, on one connection, as any client would.
fn resolve_all(site: &Site, links: &BTreeMap<String, String>) {
    let config: String = links
        .keys()
        .map(|code| format!("url = \"http://{}/{code}\"\noutput = \"/dev/null\"\n", site.balancer))
        .collect();
    let mut curl = Command::new("curl")
        .args([
            "-sS",
            "-H",
            "Host: links.localhost",
            "-w",
            "%{http_code} %{url} %{redirect_url}\\n",
            "-K",
            "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = curl.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || input.write_all(config.as_bytes()).unwrap());
    let mut output = String::new();
    curl.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    feeder.join().unwrap();
    assert!(curl.wait().unwrap().success());
    let mut resolved = 0;
    for line in output.lines() {
        let mut parts = line.splitn(3, ' ');
        let (status, asked, led) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let code = asked.rsplit('/').next().unwrap();
        assert_eq!(status, "302", "{line}");
        assert_eq!(led, links[code], "{line}");
        resolved += 1;
    }
    assert_eq!(resolved, links.len());
}

/// Distinct web addresses in the documentation and sources installed here.
fn urls() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let begun = Instant::now();
    let mut folders: Vec<PathBuf> =
        ["/usr/share/doc", "/usr/share/perl", "/usr/share/perl5", "/usr/lib/python3", "/usr/lib/python3.11"]
            .map(PathBuf::from)
            .into();
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    folders.extend(cargo.map(|c| c.join("registry").join("src")));
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            if found.len() >= URLS_MAX || begun.elapsed() > SEARCH_MAX {
                return found;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && entry.metadata().is_ok_and(|m| m.len() <= FILE_BYTES_MAX) {
                collect(&entry.path(), &mut found);
            }
        }
    }
    found
}

fn collect(file: &Path, found: &mut BTreeSet<String>) {
    let Ok(bytes) = fs::read(file) else { return };
    // Compressed and binary files hold nothing that people wrote.
    if bytes.contains(&0) {
        return;
    }
    let text = String::from_utf8_lossy(&bytes);
    for (at, _) in text.match_indices("http") {
        let rest = &text[at..];
        let end = rest
            .find(|c: char| !c.is_ascii_graphic() || "\"'<>()[]{}\\`|^,*#$".contains(c))
            .unwrap_or(rest.len());
        if let Some(url) = plain(rest[..end].trim_end_matches(['.', ':', ';', '!', '?'])) {
            found.insert(url);
        }
    }
}

/// The address as the shortener will keep it; none for what it refuses on purpose.
fn plain(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let host = url.host_str()?;
    let public = matches!(url.host()?, url::Host::Domain(d) if d.contains('.') && !d.ends_with("localhost") && !d.ends_with('.'));
    let ordinary =
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    (public && ordinary && !host.contains('%') && text.len() <= 2_000 && url.as_str() == text)
        .then(|| text.to_owned())
}
