//! What clients of links do during a drill: follow links that were promised, make new ones, and ask again.
//!
//! Every write carries an idempotency key and goes into the ledger before it leaves. Every read is of a link that
//! was acknowledged, so *not found* is an error here and not an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use seawall_policy::{Clock, Rng};

use super::DrillError;
use super::fleet::wire;
use crate::check::ledger::{Acknowledged, Ledger, ReadBack, Verified};
use crate::client::Client;
use crate::load::{Call, Calling, Failure, Operation, Workload};

/// Names of the operations, and of their rows in a report.
pub(super) const FOLLOW: &str = "GET";
pub(super) const CREATE: &str = "POST with key";
pub(super) const AGAIN: &str = "POST again with the same key";

/// A client's patience. Longer than any retry inside should take; a user would have given up.
const DEADLINE: Duration = Duration::from_secs(3);

/// Writes one run may make: about 60 MB of ledger.
const WRITES_MAX: usize = 200_000;

/// Links that exist before the load begins, so that there is something to follow.
const PRIMED: usize = 20;

pub(super) struct Traffic {
    pub(super) ledger: Ledger,
    clock: Arc<dyn Clock>,
    /// Weights of follow, create, again.
    mix: [u32; 3],
}

impl Traffic {
    pub(super) fn new(clock: Arc<dyn Clock>, mix: [u32; 3]) -> Traffic {
        Traffic { ledger: Ledger::new(WRITES_MAX), clock, mix }
    }

    pub(super) fn connect(balancer: SocketAddr) -> Client {
        Client::new(balancer, DEADLINE)
    }

    /// Makes the first links, one after the other. A fleet that cannot even do that is not drilled.
    pub(super) async fn prime(&self, balancer: SocketAddr, seed: u64) -> Result<(), DrillError> {
        let mut client = Traffic::connect(balancer);
        // Not the seed's own stream: the calls of the load draw their keys from that.
        let mut rng = Rng::new(!seed);
        for _ in 0..PRIMED {
            self.create(&mut rng, &mut client).await.map_err(|failure| DrillError::NotServing {
                what: format!("making a link before the load failed ({})", failure.kind()),
                within: DEADLINE,
            })?;
        }
        Ok(())
    }

    async fn create(&self, luck: &mut Rng, client: &mut Client) -> Result<(), Failure> {
        let key = format!("{:016x}{:016x}", luck.next_u64(), luck.next_u64());
        let url = format!("https://example.com/drill/{key}");
        self.write(&key, &url, client).await
    }

    async fn write(&self, key: &str, url: &str, client: &mut Client) -> Result<(), Failure> {
        self.ledger.attempt(key, url).map_err(|_| Failure::Wrong("the ledger is full"))?;
        let outcome = match client.send(wire::create(key, url), DEADLINE).await {
            Ok(answer) => wire::created(&answer),
            Err(error) => Err(Failure::from(&error)),
        };
        match outcome {
            Ok(code) if self.ledger.acknowledged(key, &code, self.clock.now()) => Ok(()),
            Ok(_) => Err(Failure::Wrong("another code for the same key")),
            Err(failure) => {
                match failure {
                    // Refused by the server itself: nothing was done.
                    Failure::Status(400..500) => self.ledger.failed(key, &failure.kind()),
                    _ => self.ledger.unknown(&failure.kind()),
                }
                Err(failure)
            }
        }
    }

    async fn follow(&self, luck: &mut Rng, client: &mut Client) -> Result<(), Failure> {
        let link = self.ledger.draw(luck).ok_or(Failure::Wrong("nothing to follow"))?;
        match read(&link, client).await? {
            Some(location) if location == link.content => Ok(()),
            Some(_) => Err(Failure::Wrong("led elsewhere")),
            None => Err(Failure::Wrong("acknowledged link not found")),
        }
    }

    async fn again(&self, luck: &mut Rng, client: &mut Client) -> Result<(), Failure> {
        let link = self.ledger.draw(luck).ok_or(Failure::Wrong("nothing to ask again"))?;
        self.write(&link.key, &link.content, client).await
    }

    /// Asks once more, with the same key, for every write that got no answer.
    pub(super) async fn settle(&self, balancer: SocketAddr) {
        let mut client = Traffic::connect(balancer);
        for (key, url) in self.ledger.unsettled() {
            // What fails again stays unknown and is reported as that.
            let _ = self.write(&key, &url, &mut client).await;
        }
    }

    /// Reads everything back.
    pub(super) async fn verify(&self, balancer: SocketAddr) -> Verified {
        let mut client = Traffic::connect(balancer);
        self.ledger.verify(self.clock.now(), async |link| read_back(link, &mut client).await).await
    }
}

/// Where an acknowledged link leads now.
async fn read(link: &Acknowledged, client: &mut Client) -> Result<Option<String>, Failure> {
    match client.send(wire::follow(&link.value), DEADLINE).await {
        Ok(answer) => Ok(wire::followed(&answer)?.map(str::to_owned)),
        Err(error) => Err(Failure::from(&error)),
    }
}

/// The same, in the ledger's words.
pub(super) async fn read_back(link: &Acknowledged, client: &mut Client) -> ReadBack {
    match read(link, client).await {
        Ok(Some(location)) => ReadBack::Is(location),
        Ok(None) => ReadBack::Absent,
        Err(failure) => ReadBack::Unreadable(failure.kind()),
    }
}

impl Workload for Traffic {
    fn operations(&self) -> Vec<Operation> {
        let names = [FOLLOW, CREATE, AGAIN];
        names.into_iter().zip(self.mix).map(|(name, weight)| Operation { name, weight }).collect()
    }

    fn call<'a>(&'a self, operation: usize, mut call: Call, client: &'a mut Client) -> Calling<'a> {
        Box::pin(async move {
            match operation {
                0 => self.follow(&mut call.luck, client).await,
                1 => self.create(&mut call.luck, client).await,
                _ => self.again(&mut call.luck, client).await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::world::{Answer, Server, clock, says};
    use super::*;

    /// How a server of links may misbehave.
    #[derive(Clone, Copy, PartialEq)]
    enum Bug {
        None,
        /// Acknowledges and forgets.
        Forgets,
        /// Makes a new link for a key it knows.
        IgnoresKeys,
        /// Gives everybody the same code.
        RepeatsCodes,
        /// Does the work and answers 500.
        LosesAnswers,
    }

    #[derive(Default)]
    struct Links {
        codes: Mutex<HashMap<String, String>>,
        urls: Mutex<HashMap<String, String>>,
        next: AtomicU64,
    }

    impl Links {
        fn answer(&self, bug: Bug, request: &str) -> Answer {
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("\r\nhost: links.localhost"), "{head}");
            if let Some(rest) = head.strip_prefix("GET /") {
                let code = rest.split(' ').next().unwrap();
                return match self.urls.lock().unwrap().get(code) {
                    Some(url) => says(&format!("302 Found\r\nlocation: {url}"), ""),
                    None => says("404 Not Found", ""),
                };
            }
            let key = head.split("\r\nidempotency-key: ").nth(1).unwrap().split("\r\n").next().unwrap();
            let url =
                serde_json::from_str::<serde_json::Value>(body).unwrap()["url"].as_str().unwrap().to_owned();
            let mut codes = self.codes.lock().unwrap();
            if bug == Bug::IgnoresKeys {
                codes.remove(key);
            }
            let number = match bug {
                Bug::RepeatsCodes => 1,
                _ => self.next.fetch_add(1, Ordering::Relaxed),
            };
            let code = codes.entry(key.to_owned()).or_insert_with(|| format!("c{number}")).clone();
            if bug != Bug::Forgets {
                self.urls.lock().unwrap().insert(code.clone(), url);
            }
            match bug {
                Bug::LosesAnswers if number < 10 => says("500 Internal Server Error", ""),
                _ => says("201 Created", &format!(r#"{{"code":"{code}"}}"#)),
            }
        }
    }

    /// Ten creates, ten repeats, ten reads; what the clients saw go wrong, and what the ledger says.
    async fn drill(bug: Bug) -> (Vec<String>, Verified) {
        let links = Arc::new(Links::default());
        let server = Server::start(move |request| {
            let answer = links.answer(bug, &request);
            async move { answer }
        })
        .await;
        let traffic = Traffic::new(clock(), [1, 1, 1]);
        let mut client = Traffic::connect(server.address);
        let mut seen = Vec::new();
        for operation in [1, 2, 0] {
            for number in 0..10 {
                let call = Call { number, luck: Rng::new(operation * 100 + number) };
                if let Err(failure) = traffic.call(operation as usize, call, &mut client).await {
                    seen.push(failure.kind());
                }
            }
        }
        traffic.settle(server.address).await;
        (seen, traffic.verify(server.address).await)
    }

    #[tokio::test]
    async fn an_honest_server_is_clean() {
        let (seen, v) = drill(Bug::None).await;
        assert_eq!(seen, Vec::<String>::new());
        assert_eq!((v.acknowledged, v.found, v.lost, v.duplicated, v.unknown), (10, 10, 0, 0, 0));
    }

    #[tokio::test]
    async fn a_server_that_forgets_is_caught_by_readers_and_by_the_ledger() {
        let (seen, v) = drill(Bug::Forgets).await;
        assert_eq!(seen, vec!["acknowledged link not found"; 10]);
        assert_eq!((v.lost, v.found), (10, 0));
    }

    #[tokio::test]
    async fn a_server_that_ignores_keys_is_caught_by_asking_again() {
        let (seen, v) = drill(Bug::IgnoresKeys).await;
        assert_eq!(seen, vec!["another code for the same key"; 10]);
        assert!(v.duplicated > 0 && v.lost == 0);
    }

    #[tokio::test]
    async fn a_code_given_twice_is_caught_by_where_it_leads() {
        let (seen, v) = drill(Bug::RepeatsCodes).await;
        assert!(seen.contains(&"led elsewhere".to_owned()));
        assert_eq!((v.duplicated, v.lost), (9, 9));
    }

    #[tokio::test]
    async fn a_lost_answer_is_unknown_and_settled_with_the_same_key() {
        let (seen, v) = drill(Bug::LosesAnswers).await;
        assert_eq!(seen.iter().filter(|kind| *kind == "status 500").count(), 10);
        assert_eq!((v.attempted, v.acknowledged, v.unknown), (10, 10, 0));
        assert_eq!((v.found, v.lost, v.duplicated), (10, 0, 0));
    }
}
