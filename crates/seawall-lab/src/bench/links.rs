//! Redirects: thousands of links, asked for at random, against an nginx `map` of the same links.
//!
//! The `map` is the cheapest redirect one can buy: a table in the memory of a web server. It cannot
//! gain a link without a reload and counts no click; what those cost is what this bench shows.

use std::collections::HashSet;

use super::contest::{Contest, Sample, Side};
use super::wrk::Wrk;
use super::{Options, Plant};
use crate::LabError;
use crate::servers::nginx::{self, Role};
use crate::servers::program::Cores;
use crate::servers::seawall::{Seawall, Setup, System};

/// Links of a full run: far more than fit any processor cache, few enough to create in seconds.
const LINKS: usize = 20_000;
/// Links of a smoke run.
const LINKS_SMOKE: usize = 500;
/// Links each side must resolve rightly before anything is measured.
const SAMPLES: usize = 20;
/// The `Host` of every request: the one short links begin with by default.
const HOST: &str = "links.localhost";

pub(super) async fn prepare(options: &Options, cores: Cores) -> Result<Contest, LabError> {
    let count = if options.full { LINKS } else { LINKS_SMOKE };
    let urls: Vec<String> = (0..count).map(|i| format!("https://example.org/articles/{i}/read")).collect();
    let (ours, links) = if options.plants(Plant::Itself) {
        let links: Vec<_> =
            urls.iter().enumerate().map(|(i, url)| (format!("/c{i:06}"), url.clone())).collect();
        (Side::new("nginx map too", nginx::start(Role::Map { links: &links }, cores.server).await?), links)
    } else {
        let setup = Setup {
            binary: options.seawall.clone(),
            systems: vec![System::Links],
            core: cores.server,
            ..Setup::default()
        };
        let seawall = Seawall::start(&setup).await?;
        let links = distinct(seawall.import(&urls).await?);
        (Side::new("seawall links", seawall.into_server()), links)
    };
    let theirs = Side::new("nginx map", nginx::start(Role::Map { links: &links }, cores.server).await?);
    let paths: Vec<String> = links.iter().map(|(path, _)| path.clone()).collect();
    let step = (links.len() / SAMPLES).max(1);
    Ok(Contest {
        name: "links",
        operation: format!("a redirect of one of {} links, chosen at random", links.len()),
        notes: vec![
            "the bar is for redirects with every click counted per link; this build counts them in total only",
        ],
        ours,
        theirs,
        load: Wrk::new(HOST, &paths, cores.load)?,
        host: HOST,
        samples: links.iter().step_by(step).map(sample).collect(),
        others: Vec::new(),
    })
}

fn sample((path, url): &(String, String)) -> Sample {
    Sample { path: path.clone(), status: 302, location: Some(url.clone()), body: None }
}

/// Path and target of each link. nginx compares paths without regard to case, codes differ in it: of
/// two that differ in nothing else (1 run in 400) one is left out, for both sides.
fn distinct(links: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut seen = HashSet::new();
    links
        .into_iter()
        .filter(|(code, _)| seen.insert(code.to_ascii_lowercase()))
        .map(|(code, url)| (format!("/{code}"), url))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_differ_in_case_alone_are_asked_for_once() {
        let links =
            ["aB7x3K", "q", "Ab7X3k"].map(|code| (code.to_owned(), "https://example.org/".to_owned()));
        let paths: Vec<_> = distinct(links.to_vec()).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["/aB7x3K", "/q"]);
    }
}
