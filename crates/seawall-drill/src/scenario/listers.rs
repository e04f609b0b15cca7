//! Clients that list links: now and then, as a workload, or as a crowd that asks for more than there is.
//!
//! A crowd is a closed loop, unlike all other load here: so many clients, each of which asks again as soon as it is
//! answered. How fast a list is made differs from machine to machine, and a rate that is three times too much for
//! one is a calm day for another; three clients for each place are too many everywhere.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seawall_policy::Rng;
use tokio::task::JoinSet;

use super::DrillError;
use super::fleet::wire::{self, Refused};
use crate::client::{ANSWER_BYTES_MAX, Client};
use crate::load::{Call, Calling, Failure, Operation, Workload};

/// Name of the operation, and of its row in a report.
const LIST: &str = "list";

/// A client's patience, as that of those who follow links.
const DEADLINE: Duration = Duration::from_secs(3);

/// Links of a page: the most that links gives. A thousand rows take milliseconds to read and to write down, which is
/// what keeps a place taken.
const PAGE: usize = 1000;

/// Bytes of a listed link's URL; more would keep those busy who carry the page, and nobody longer in a place.
const URL_BYTES: usize = 100;

// Code, short URL, date and the names of the fields come to less than 200 bytes.
const _: () = assert!(PAGE * (URL_BYTES + 200) < ANSWER_BYTES_MAX, "a page is one that the client takes");

/// Links made at a time before the load: fewer than any fleet of a drill has places.
const MAKERS: usize = 8;

/// How long a refused client waits, milliseconds. Less than the second it is asked to: a crowd that obeyed would be
/// a smaller one.
const REFUSED_PAUSE_MS: (u64, u64) = (50, 150);

/// Makes a page of links.
pub(super) async fn fill(balancer: SocketAddr, seed: u64) -> Result<(), DrillError> {
    let mut makers = JoinSet::new();
    for maker in 0..MAKERS {
        makers.spawn(async move {
            let mut client = Client::new(balancer, DEADLINE);
            for number in (maker..PAGE).step_by(MAKERS) {
                let url = format!("https://example.com/{:x<width$}", number, width = URL_BYTES);
                let request = wire::create(&format!("listed-{seed}-{number}"), &url);
                let answer = client.send(request, DEADLINE).await.map_err(|error| Failure::from(&error));
                answer.and_then(|answer| wire::created(&answer))?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(made) = makers.join_next().await {
        made?.map_err(|failure| DrillError::NotServing {
            what: format!("making the links to be listed failed ({})", failure.kind()),
            within: DEADLINE,
        })?;
    }
    Ok(())
}

/// One list.
async fn list(client: &mut Client) -> Result<(), NotListed> {
    match client.send(wire::list(PAGE), DEADLINE).await {
        Ok(answer) => wire::listed(&answer).map_err(NotListed::Refused),
        Err(error) => Err(NotListed::Failed(Failure::from(&error))),
    }
}

enum NotListed {
    Refused(Refused),
    Failed(Failure),
}

/// Those who list now and then.
pub(super) struct Lists;

impl Workload for Lists {
    fn operations(&self) -> Vec<Operation> {
        vec![Operation { name: LIST, weight: 1 }]
    }

    fn call<'a>(&'a self, _operation: usize, _call: Call, client: &'a mut Client) -> Calling<'a> {
        Box::pin(async move {
            list(client).await.map_err(|why| match why {
                NotListed::Refused(refused) => Failure::Status(refused.status),
                NotListed::Failed(failure) => failure,
            })
        })
    }
}

/// What became of a crowd's lists.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) answered: u64,
    /// Not answered, by the server's word for why, or by how it failed.
    pub(super) refused: BTreeMap<String, u64>,
    /// Refused without being told when to come back.
    pub(super) not_told_when: u64,
}

impl Tally {
    fn count(&mut self, outcome: Result<(), NotListed>) {
        let why = match outcome {
            Ok(()) => {
                self.answered += 1;
                return;
            }
            Err(NotListed::Failed(failure)) => failure.kind(),
            Err(NotListed::Refused(refused)) => {
                self.not_told_when += u64::from(refused.status == 503 && !refused.says_when);
                if refused.code.is_empty() { format!("status {}", refused.status) } else { refused.code }
            }
        };
        *self.refused.entry(why).or_default() += 1;
    }

    fn add(&mut self, other: Tally) {
        self.answered += other.answered;
        self.not_told_when += other.not_told_when;
        for (why, n) in other.refused {
            *self.refused.entry(why).or_default() += n;
        }
    }

    /// Refused with this word.
    pub(super) fn refused_as(&self, code: &str) -> u64 {
        self.refused.get(code).copied().unwrap_or_default()
    }

    /// All there were.
    pub(super) fn asked(&self) -> u64 {
        self.answered + self.refused.values().sum::<u64>()
    }

    /// In words.
    pub(super) fn sentence(&self) -> String {
        let refused: Vec<String> = self.refused.iter().map(|(why, n)| format!("{n} {why}")).collect();
        let refused = if refused.is_empty() { "none refused".to_owned() } else { refused.join(", ") };
        format!("of {} lists {} were answered; {refused}", self.asked(), self.answered)
    }
}

/// Clients that ask again as soon as they are answered.
pub(super) struct Crowd {
    is_over: Arc<AtomicBool>,
    clients: JoinSet<Tally>,
}

impl Crowd {
    /// So many clients, all at once.
    pub(super) fn gather(size: usize, balancer: SocketAddr, seed: u64) -> Crowd {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut seeds = Rng::new(seed);
        let mut clients = JoinSet::new();
        for _ in 0..size {
            clients.spawn(one(balancer, Rng::new(seeds.next_u64()), is_over.clone()));
        }
        Crowd { is_over, clients }
    }

    /// No further lists; those under way are waited for by [`Crowd::gone`].
    pub(super) fn disperse(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// What became of all their lists. Returns when the last of them has left.
    pub(super) async fn gone(mut self) -> Result<Tally, DrillError> {
        self.disperse();
        let mut all = Tally::default();
        while let Some(one) = self.clients.join_next().await {
            all.add(one?);
        }
        Ok(all)
    }
}

async fn one(balancer: SocketAddr, mut rng: Rng, is_over: Arc<AtomicBool>) -> Tally {
    let mut client = Client::new(balancer, DEADLINE);
    let mut tally = Tally::default();
    while !is_over.load(Ordering::Relaxed) {
        let outcome = list(&mut client).await;
        let was_refused = outcome.is_err();
        tally.count(outcome);
        if was_refused {
            let (least, up_to) = REFUSED_PAUSE_MS;
            tokio::time::sleep(Duration::from_millis(least + rng.below(up_to - least))).await;
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::super::world::{Server, says};
    use super::*;

    async fn crowd(status: &'static str, body: &'static str) -> Tally {
        let server = Server::start(move |_| async move { says(status, body) }).await;
        let crowd = Crowd::gather(3, server.address, 1);
        tokio::time::sleep(Duration::from_millis(30)).await;
        crowd.gone().await.unwrap()
    }

    #[tokio::test]
    async fn a_crowd_asks_again_as_soon_as_it_is_answered() {
        let tally = crowd("200 OK", r#"{"links":[]}"#).await;
        assert!(tally.answered > 3 && tally.answered == tally.asked(), "{tally:?}");
    }

    #[tokio::test]
    async fn who_is_refused_is_counted_by_the_word_for_it_and_by_whether_it_was_told_when() {
        let told = crowd("503 Busy\r\nretry-after: 1", r#"{"error":{"code":"shed"}}"#).await;
        assert!(told.asked() >= 3 && told.refused_as("shed") == told.asked(), "{told:?}");
        assert_eq!(told.not_told_when, 0);

        let brief = crowd("503 Busy", "").await;
        assert!(brief.asked() >= 3 && brief.refused_as("status 503") == brief.asked(), "{brief:?}");
        assert_eq!(brief.not_told_when, brief.asked());
    }

    #[test]
    fn what_became_of_a_crowd_is_said_in_a_sentence() {
        let mut tally = Tally { answered: 2, ..Tally::default() };
        assert_eq!(tally.sentence(), "of 2 lists 2 were answered; none refused");
        tally.count(Err(NotListed::Failed(Failure::Timeout)));
        tally.add(Tally { refused: [("shed".to_owned(), 4)].into(), ..Tally::default() });
        assert_eq!(tally.sentence(), "of 7 lists 2 were answered; 4 shed, 1 timeout");
    }
}
