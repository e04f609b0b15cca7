//! One client of the graph with a connection and a ticket of its own. A write is sent again with the same key until it
//! is answered, as any careful client does; what it wrote before is in its ticket, which outlives its connections.

use std::net::SocketAddr;
use std::time::Duration;

use super::resp::{Connection, Reply};

/// For one answer, connecting included.
const PATIENCE: Duration = Duration::from_secs(8);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);
/// Of one write: more than a minute of nobody being there.
const TRIES_MAX: u32 = 4_000;
/// Errors that ask for another try with the same key: the first word of each.
const TRY_AGAIN: [&str; 4] = ["TRYAGAIN", "LOADING", "UNKNOWN", "LATE"];

/// A client.
#[derive(Debug)]
pub struct Caller {
    to: SocketAddr,
    open: Option<Connection>,
    /// What the server gave after the last write.
    ticket: Option<String>,
    /// Connections made.
    opened: u64,
}

impl Caller {
    /// A client of `to`. Connects when it first asks.
    #[must_use]
    pub fn new(to: SocketAddr) -> Caller {
        Caller { to, open: None, ticket: None, opened: 0 }
    }

    /// How many connections it has made.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Asks once. `None`: no answer came, or one that says to come back later; whether a write was done is not known.
    pub async fn once(&mut self, command: &[&str]) -> Option<Reply> {
        let command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
        self.exchange(&[command]).await?.pop().filter(|reply| !is_try_again(reply))
    }

    /// Asks until it is answered, at most four thousand times, and takes the ticket with it.
    pub async fn written(&mut self, command: &[&str]) -> Option<Reply> {
        let command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
        for _ in 0..TRIES_MAX {
            let asked = self.exchange(&[command.clone(), vec!["TICKET".to_owned()]]).await;
            if let Some([reply, ticket]) = asked.as_deref()
                && !is_try_again(reply)
            {
                self.ticket = ticket.text().map(str::to_owned).filter(|ticket| !ticket.is_empty());
                return Some(reply.clone());
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    async fn exchange(&mut self, commands: &[Vec<String>]) -> Option<Vec<Reply>> {
        let answered = tokio::time::timeout(PATIENCE, self.try_exchange(commands)).await;
        let answered = answered.ok().and_then(Result::ok);
        if answered.is_none() {
            // An answer may still be on its way.
            self.open = None;
        }
        answered
    }

    async fn try_exchange(&mut self, commands: &[Vec<String>]) -> std::io::Result<Vec<Reply>> {
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let mut fresh = Connection::open(self.to).await?;
                if let Some(ticket) = &self.ticket {
                    fresh.ask(&[vec!["TICKET".to_owned(), ticket.clone()]]).await?;
                }
                self.opened += 1;
                self.open.insert(fresh)
            }
        };
        open.ask(commands).await
    }
}

fn is_try_again(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(why) if TRY_AGAIN.iter().any(|word| why.starts_with(word)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that hangs up on the first, says "later" to the second, and answers the third.
    #[tokio::test]
    async fn a_write_is_sent_again_until_it_is_answered_and_the_ticket_is_shown_again() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = server.local_addr().unwrap();
        let serve = async {
            let mut heard = Vec::new();
            for answers in [
                &[][..],
                &["-TRYAGAIN in 5 ms\r\n$1\r\nt\r\n", ":1\r\n$2\r\nt1\r\n", ""],
                &["+OK\r\n", ":2\r\n"],
            ] {
                let (mut stream, _) = server.accept().await.unwrap();
                for answer in answers {
                    let mut bytes = [0; 512];
                    let n = stream.read(&mut bytes).await.unwrap();
                    heard.push(String::from_utf8_lossy(&bytes[..n]).into_owned());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
            heard
        };
        let call = async {
            let mut caller = Caller::new(to);
            assert_eq!(caller.written(&["OBJ.DELETE", "7"]).await, Some(Reply::Number(1)));
            assert_eq!(caller.once(&["PING"]).await, None, "the server hung up");
            assert_eq!(caller.once(&["OBJ.GET", "7"]).await, Some(Reply::Number(2)));
        };
        let (heard, ()) = tokio::join!(serve, call);
        assert_eq!(heard[0], heard[1], "the same again");
        assert_eq!(heard[3], "*2\r\n$6\r\nTICKET\r\n$2\r\nt1\r\n");
    }
}
