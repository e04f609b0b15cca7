//! What a subscriber hears: durable news from the store's change stream, ephemeral ones from memory.
//!
//! Order and completeness of durable news are the store's: a feed reads each shard from where it got to, waits when
//! its listener is slow, and loses nothing. Ephemeral news (typing) are only given while there is room; presences
//! are asked for by number, so that a listener gets each user once and as it is now.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use seawall_store::Position;
use tokio::sync::{broadcast, mpsc, watch};

use super::News;
use super::limits::{CHANGES_MAX, NEWS_LOOK, RETRY_PAUSE};
use super::reign::Reign;
use crate::storage::{ChangesTrouble, Told};

/// The listener is gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// One listener's feed, as long as one reign lasts.
pub(super) struct Feed<'a> {
    reign: Arc<Reign>,
    gateway: String,
    to: mpsc::Sender<News>,
    /// How far it has heard each shard.
    from: &'a mut Vec<Position>,
    ephemerals: broadcast::Receiver<crate::event::Event>,
    presences: watch::Receiver<u64>,
    /// The number of the last presence that was told.
    number: u64,
}

/// Tells the presences of a gateway apart from those of one that is gone.
struct Listening<'a>(&'a Reign, &'a str);

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.presences().gateway_went(self.1, self.0.clock.now());
    }
}

impl<'a> Feed<'a> {
    /// From these positions on.
    pub(super) fn new(
        reign: &Arc<Reign>,
        gateway: String,
        to: mpsc::Sender<News>,
        from: &'a mut Vec<Position>,
    ) -> Feed<'a> {
        from.resize(reign.storage.shards() as usize, Position(0));
        Feed {
            reign: reign.clone(),
            gateway,
            to,
            from,
            ephemerals: reign.ephemerals.subscribe(),
            presences: reign.presence_number.subscribe(),
            number: 0,
        }
    }

    /// Until the reign is over.
    ///
    /// # Errors
    /// The listener is gone.
    pub(super) async fn run(mut self) -> Result<(), Gone> {
        let (reign, gateway) = (self.reign.clone(), self.gateway.clone());
        reign.presences().gateway_came(&gateway);
        let _listening = Listening(&reign, &gateway);
        self.tell(News::Owner { epoch: reign.epoch().0 }).await?;
        let shards = 0..reign.storage.shards();
        let mut changed = shards.map(|shard| reign.storage.changed(shard)).collect::<Vec<_>>();
        let mut looks_at_all = true;
        loop {
            for (shard, changed) in changed.iter_mut().enumerate() {
                if looks_at_all || changed.has_changed().unwrap_or(true) {
                    let newest = *changed.borrow_and_update();
                    self.durables(shard, newest).await?;
                }
            }
            self.ephemerals()?;
            let is_behind = self.presences()?;
            looks_at_all = tokio::select! {
                // Which of them it was, `changed` has forgotten by telling it.
                () = any(&mut changed) => true,
                event = self.ephemerals.recv() => {
                    if let Ok(event) = event {
                        self.offer(News::Ephemeral(event))?;
                    }
                    false
                }
                _ = self.presences.changed() => false,
                // The listener has taken something: there is room for more of them.
                _ = self.to.reserve(), if is_behind => false,
                () = tokio::time::sleep(NEWS_LOOK) => true,
                () = reign.lost() => return Ok(()),
                () = self.to.closed() => return Err(Gone),
            };
        }
    }

    /// Everything of a shard up to now, and at least up to `newest`. Most of what is committed tells nothing, such as
    /// the record of a session: that it was passed is told too, or whoever waits for that position waits in vain.
    async fn durables(&mut self, shard: usize, newest: Position) -> Result<(), Gone> {
        let index = u32::try_from(shard).unwrap_or(u32::MAX);
        while !self.reign.is_lost() {
            match self.reign.storage.follow(index, self.from[shard], CHANGES_MAX).await {
                Ok(told) => {
                    let is_end = told.is_empty();
                    let is_all = told.len() < CHANGES_MAX;
                    for (at, told) in told {
                        let news = match told {
                            Some(Told::Event(event)) => News::Durable { shard: index, at, event },
                            Some(Told::Moved(moved)) => News::Moved { shard: index, at, moved },
                            Some(Told::Renewed(renewed)) => News::Renewed { shard: index, at, renewed },
                            None => News::Passed { shard: index, at },
                        };
                        self.tell(news).await?;
                        self.from[shard] = at;
                    }
                    let is_behind = self.from[shard] < newest;
                    // Only where nothing was found: large events fill a read before there are many of them.
                    if is_end && is_behind {
                        self.tell(News::Passed { shard: index, at: newest }).await?;
                        self.from[shard] = newest;
                    }
                    if is_end || is_all && !is_behind {
                        return Ok(());
                    }
                }
                Err(ChangesTrouble::TooOld { oldest }) => {
                    let from = self.from[shard].0;
                    tracing::warn!(shard, from, oldest = oldest.0, gateway = self.gateway, "news missed");
                    self.tell(News::Missed { shard: index, now: oldest }).await?;
                    self.from[shard] = oldest;
                }
                Err(ChangesTrouble::Read(error)) => {
                    tracing::debug!(shard, %error, "cannot read the news; reading goes on");
                    tokio::time::sleep(RETRY_PAUSE * 10).await;
                }
            }
        }
        Ok(())
    }

    /// As many as there is room for. Who lags loses the oldest.
    fn ephemerals(&mut self) -> Result<(), Gone> {
        while self.to.capacity() > 0 {
            match self.ephemerals.try_recv() {
                Ok(event) => self.offer(News::Ephemeral(event))?,
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// As many as there is room for. True when others stay due.
    fn presences(&mut self) -> Result<bool, Gone> {
        self.presences.borrow_and_update();
        let room = self.to.capacity();
        let changed = self.reign.presences().since(self.number, room + 1);
        let is_behind = changed.len() > room;
        for (number, presence) in changed.into_iter().take(room) {
            self.offer(News::Presence(presence))?;
            self.number = number;
        }
        Ok(is_behind)
    }

    async fn tell(&self, news: News) -> Result<(), Gone> {
        self.to.send(news).await.map_err(|_| Gone)
    }

    fn offer(&self, news: News) -> Result<(), Gone> {
        match self.to.try_send(news) {
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Gone),
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
        }
    }
}

/// Returns when any of them has changed.
pub(crate) async fn any(changed: &mut [watch::Receiver<Position>]) {
    let mut waits = changed.iter_mut().map(|one| Box::pin(one.changed())).collect::<Vec<_>>();
    let all = poll_fn(|cx| {
        let is_any = waits.iter_mut().any(|wait| wait.as_mut().poll(cx).is_ready());
        if is_any { Poll::Ready(()) } else { Poll::Pending }
    });
    pin!(all).await;
}
