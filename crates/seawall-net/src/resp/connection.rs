//! One connection: reads what has arrived, answers all of it, sends the answers in one piece.
//!
//! ## Whose memory
//!
//! Buffers belong to the thread. A connection has bytes of its own only while a command has arrived in part or answers
//! were not taken, so ten thousand silent clients cost their tasks and nothing else, and a busy one finds the buffer
//! in the processor's cache, wherever the last one left it.
//!
//! ## Commands that wait
//!
//! What memory answers is answered at once, also behind a command that waits: answers keep their order because what
//! was waited for is put between them. Up to [`WAITING_MAX`] commands of a connection wait beside each other. One that
//! changes something begins when all before it are answered, and those behind it begin when it is.
//!
//! ## Why answers are kept for a client that does not read
//!
//! Clients send a pipeline of any length before they read the first answer. A server that stops reading until its
//! answers are taken then waits for a client that waits for it. So we go on reading and keep the answers, up to
//! `unsent_max`; who is beyond is cut off, as in Redis.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use seawall_policy::admission::{Ask, Refusal};
use seawall_policy::priority::Priority;
use seawall_policy::shed::Decision;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::command::Order;
use super::decoder::Decoder;
use super::encoder::{Protocol, Reply};
use super::server::{Commands, Cut, Next, Port};
use super::session::{Card, Session};
use super::standard::{After, Here, Standard, unknown, wrong_number};
use super::together::Together;

/// Bytes read at a time. A read that does not fill it tells that there is nothing more, which spares another.
const READ: usize = 64 * 1024;
/// Reads of one connection before the others have their turn.
const READS_MAX: u32 = 4;
/// Once so much is answered it is sent, before more is.
const ANSWERS: usize = 256 * 1024;
/// A thread's buffer that a long answer made larger is given back.
const ANSWERS_KEPT: usize = 1 << 20;
/// Commands of one connection that wait at the same time.
const WAITING_MAX: usize = 64;
/// Bytes for commands that arrive in part, kept for the next one.
const UNREAD_KEPT: usize = 4096;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers { input: vec![0; READ], output: Vec::new() });
}

/// Used by one connection at a time, and never while it waits.
struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
}

pub(super) struct Connection<C: Commands> {
    port: Arc<Port<C>>,
    stream: TcpStream,
    decoder: Decoder,
    session: Session,
    memory: C::Memory,
    /// What has arrived and is not answered.
    unread: Vec<u8>,
    /// There may be a whole command in it.
    is_due: bool,
    /// Answers the client has not taken.
    unsent: Vec<u8>,
    /// How many of these bytes it has taken.
    sent: usize,
    /// Closed when all answers are taken.
    is_ending: bool,
    idle: Pin<Box<Sleep>>,
    /// Something was answered since `idle` was set.
    is_busy: bool,
    draining: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// `idle` and `draining` may have fired without being looked at.
    is_unsettled: bool,
}

/// What ends a turn.
enum Turn<L> {
    Closed,
    Wait(Batch<L>),
}

/// What there is to wait for, and the answers around it.
struct Batch<L> {
    answers: Vec<u8>,
    /// Each with the place in `answers` where its own belongs.
    waiting: Vec<(usize, Waiting<L>)>,
    is_alone: bool,
}

struct Waiting<L> {
    later: L,
    /// To be waited before it begins: there is much to do.
    delay: Duration,
    protocol: Protocol,
}

enum Served<L> {
    /// Nothing whole is left.
    All,
    /// There are enough answers to be sent first.
    Enough,
    /// The rest begins when this is answered.
    Wait(Batch<L>),
    /// The connection is to be closed at once.
    Cut,
}

impl<C: Commands> Connection<C> {
    pub(super) fn new(port: Arc<Port<C>>, stream: TcpStream, card: Arc<Card>) -> Connection<C> {
        let is_known = port.is_open();
        let mut decoder = Decoder::new(port.limits.request);
        decoder.set_stranger(!is_known);
        Connection {
            idle: Box::pin(tokio::time::sleep(port.limits.idle_max)),
            draining: Some(Box::pin(port.draining())),
            session: Session { card, protocol: Protocol::default(), is_known },
            port,
            stream,
            decoder,
            memory: C::Memory::default(),
            unread: Vec::new(),
            is_due: false,
            unsent: Vec::new(),
            sent: 0,
            is_ending: false,
            is_busy: false,
            is_unsettled: true,
        }
    }

    /// Until either side ends it.
    pub(super) async fn run(mut self) {
        loop {
            let turn = poll_fn(|cx| BUFFERS.with_borrow_mut(|buffers| self.turn(cx, buffers))).await;
            let Ok(Turn::Wait(batch)) = turn else { return };
            // Boxed, so that the many who do not wait do not carry the room for it.
            let answers = Box::pin(self.wait(batch)).await;
            self.is_unsettled = true;
            if self.keep(&answers).is_err() {
                return;
            }
        }
    }

    /// As far as it goes without waiting.
    fn turn(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<io::Result<Turn<C::Later>>> {
        let Buffers { input, output } = buffers;
        let mut has_worked = false;
        let mut reads = 0;
        loop {
            if self.is_ending {
                // What stands behind the last command is not for us.
                (self.is_due, self.unread) = (false, Vec::new());
            }
            let served = if self.is_due {
                let unread = std::mem::take(&mut self.unread);
                self.serve_kept(unread, output)
            } else {
                if !self.unsent.is_empty() {
                    self.send(cx, output)?;
                }
                if self.is_ending {
                    if self.unsent.is_empty() {
                        return Poll::Ready(Ok(Turn::Closed));
                    }
                    return self.pend(cx, has_worked);
                }
                if reads == READS_MAX {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                reads += 1;
                let mut arrived = ReadBuf::new(input);
                match Pin::new(&mut self.stream).poll_read(cx, &mut arrived)? {
                    Poll::Pending => return self.pend(cx, has_worked),
                    Poll::Ready(()) => {}
                }
                let arrived = arrived.filled();
                if arrived.is_empty() {
                    return Poll::Ready(Ok(Turn::Closed));
                }
                has_worked = true;
                if self.unread.is_empty() {
                    let (used, served) = self.serve(arrived, output);
                    self.unread.extend_from_slice(&arrived[used..]);
                    served
                } else {
                    let mut unread = std::mem::take(&mut self.unread);
                    unread.extend_from_slice(arrived);
                    self.serve_kept(unread, output)
                }
            };
            self.is_due = false;
            match served {
                Served::All => self.send(cx, output)?,
                Served::Enough => {
                    self.is_due = true;
                    self.send(cx, output)?;
                }
                Served::Wait(mut batch) => {
                    self.is_due = !self.unread.is_empty();
                    if batch.is_alone {
                        // It may take a disk's time: what is known already is told now.
                        self.send(cx, output)?;
                    } else {
                        batch.answers.extend_from_slice(output);
                        output.clear();
                    }
                    return Poll::Ready(Ok(Turn::Wait(batch)));
                }
                Served::Cut => {
                    output.clear();
                    return Poll::Ready(Ok(Turn::Closed));
                }
            }
        }
    }

    fn serve_kept(&mut self, mut unread: Vec<u8>, output: &mut Vec<u8>) -> Served<C::Later> {
        let (used, served) = self.serve(&unread, output);
        unread.drain(..used);
        if unread.is_empty() && unread.capacity() > UNREAD_KEPT {
            unread = Vec::new();
        }
        self.unread = unread;
        served
    }

    /// Answers all whole commands of `bytes` to the end of `output`, or says why it stopped before. How many bytes
    /// are done with.
    fn serve(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> (usize, Served<C::Later>) {
        let Connection { port, decoder, session, memory, is_ending, .. } = self;
        // A tick earlier than it is: near enough for a deadline, and a tenth of the cost.
        let now = port.clock.coarse();
        let moment = port.commands.moment(now, port.deadline(now));
        let mut waiting = Vec::new();
        let (mut used, mut commands) = (0, 0);
        let mut reply = Reply::new(output, session.protocol);
        let (mut is_alone, mut is_cut, mut is_enough) = (false, false, false);
        loop {
            if reply.len() >= ANSWERS || waiting.len() >= WAITING_MAX {
                is_enough = true;
                break;
            }
            let taken = match decoder.take(&bytes[used..]) {
                Ok(taken) => taken,
                Err(fault) => {
                    port.counts.cut(Cut::Protocol);
                    let mut words = b"ERR ".to_vec();
                    fault.words(&mut words);
                    reply.error(words);
                    *is_ending = true;
                    break;
                }
            };
            let Some(command) = taken.command else {
                used += taken.bytes;
                break;
            };
            let verb = match port.commands.find(command.name()) {
                Some(verb) => Ok(verb),
                None => match Standard::find(command.name()) {
                    Some(standard) => Err(standard),
                    None => {
                        unknown(&command, &mut reply);
                        used += taken.bytes;
                        commands += 1;
                        continue;
                    }
                },
            };
            let spec = match verb {
                Ok(verb) => port.commands.spec(verb),
                Err(standard) => standard.spec(),
            };
            if spec.order != Order::Free && !waiting.is_empty() {
                // It will be read again when those before it are answered.
                break;
            }
            used += taken.bytes;
            commands += 1;
            if !spec.takes(command.len()) {
                wrong_number(spec.name, &mut reply);
                continue;
            }
            if spec.order == Order::Write && !session.is_known {
                reply.error("NOAUTH Authentication required.");
                continue;
            }
            // P0 is never shed, so it need not be asked.
            let decision = match spec.priority {
                Priority::P0 => Decision::Admit,
                priority => port.admission.decide(priority),
            };
            let delay = match decision {
                Decision::Admit => Duration::ZERO,
                Decision::Delay(delay) => delay,
                Decision::Reject => {
                    drop(port.admission.refuse(Refusal::Shed, now));
                    refused(&mut reply);
                    continue;
                }
            };
            match verb {
                Ok(verb) => match port.commands.answer(verb, &command, &moment, memory, &mut reply) {
                    Next::Answered => {}
                    Next::Later(later) => {
                        let protocol = session.protocol;
                        waiting.push((reply.len(), Waiting { later, delay, protocol }));
                        if spec.order != Order::Free {
                            is_alone = true;
                            break;
                        }
                    }
                },
                Err(standard) => {
                    let mut here = Here { port: &**port, session, memory, now };
                    match here.answer(standard, &command, &mut reply) {
                        After::Stay => decoder.set_stranger(!session.is_known),
                        After::Close => {
                            *is_ending = true;
                            break;
                        }
                        After::Cut => {
                            is_cut = true;
                            break;
                        }
                    }
                }
            }
        }
        port.counts.commands.inc_by(commands);
        let served = match () {
            () if is_cut => Served::Cut,
            () if !waiting.is_empty() => Served::Wait(Batch { answers: Vec::new(), waiting, is_alone }),
            () if is_enough => Served::Enough,
            () => Served::All,
        };
        (used, served)
    }

    /// Waits for a batch; the answers.
    async fn wait(&mut self, batch: Batch<C::Later>) -> Vec<u8> {
        let Batch { answers, waiting, is_alone } = batch;
        let port = &self.port;
        let (places, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let mut waited = match (is_alone, waiting) {
            (true, waiting) => {
                let mut waited = Vec::with_capacity(1);
                for Waiting { later, delay, protocol } in waiting {
                    let answering = port.commands.wait_alone(later, &mut self.memory, protocol);
                    waited.push(admitted(port, delay, answering).await);
                }
                waited
            }
            (false, waiting) => {
                let memory = &self.memory;
                let each = waiting.into_iter().map(|Waiting { later, delay, protocol }| {
                    admitted(port, delay, port.commands.wait(later, memory, protocol))
                });
                Together::new(each).await
            }
        };
        if let ([0], true, [_]) = (&places[..], answers.is_empty(), &waited[..]) {
            return waited.swap_remove(0);
        }
        let mut all = Vec::with_capacity(answers.len() + waited.iter().map(Vec::len).sum::<usize>());
        let mut from = 0;
        for (place, waited) in places.into_iter().zip(waited) {
            // Those of one who began alone were sent before.
            let place = place.min(answers.len());
            all.extend_from_slice(&answers[from..place]);
            all.extend_from_slice(&waited);
            from = place;
        }
        all.extend_from_slice(&answers[from..]);
        all
    }

    /// Sends what the client takes of the answers, and keeps the rest.
    fn send(&mut self, cx: &mut Context<'_>, output: &mut Vec<u8>) -> io::Result<()> {
        let mut at = 0;
        if self.unsent.is_empty() {
            while at < output.len() {
                match Pin::new(&mut self.stream).poll_write(cx, &output[at..]) {
                    Poll::Ready(written) => at += some(written)?,
                    Poll::Pending => break,
                }
            }
        }
        let kept = self.keep(&output[at..]);
        output.clear();
        output.shrink_to(ANSWERS_KEPT);
        kept?;
        while self.sent < self.unsent.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unsent[self.sent..]) {
                Poll::Ready(written) => {
                    let written = some(written)?;
                    self.sent += written;
                    self.port.unsent.fetch_sub(written, Ordering::Relaxed);
                }
                Poll::Pending => return Ok(()),
            }
        }
        self.unsent = Vec::new();
        self.sent = 0;
        Ok(())
    }

    /// Keeps answers until the client takes them.
    fn keep(&mut self, answers: &[u8]) -> io::Result<()> {
        if answers.is_empty() {
            return Ok(());
        }
        let limits = &self.port.limits;
        let own = self.unsent.len() - self.sent + answers.len();
        let all = self.port.unsent.fetch_add(answers.len(), Ordering::Relaxed) + answers.len();
        // What was sent makes room, once that is worth moving the rest.
        if self.sent > self.unsent.len() / 2 {
            self.unsent.drain(..self.sent);
            self.sent = 0;
        }
        self.unsent.extend_from_slice(answers);
        // A single answer, however long, is always taken: it exists already.
        if own > limits.unsent_max.max(answers.len()) || all > limits.unsent_total_max.max(answers.len()) {
            self.port.counts.cut(Cut::Unsent);
            let id = self.session.card.id;
            tracing::warn!(client = id, bytes = own, "a client does not take its answers and is cut off");
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }

    /// Nothing can be done now. Looks at what else could end the connection, but only where it was not bytes that
    /// woke us: on the way of each request that would cost as much as the request.
    fn pend(&mut self, cx: &mut Context<'_>, has_worked: bool) -> Poll<io::Result<Turn<C::Later>>> {
        let closed = Poll::Ready(Ok(Turn::Closed));
        if self.port.is_draining() && self.unsent.is_empty() {
            return closed;
        }
        self.is_busy |= has_worked;
        if has_worked && !self.is_unsettled {
            return Poll::Pending;
        }
        self.is_unsettled = false;
        if let Some(draining) = &mut self.draining
            && draining.as_mut().poll(cx).is_ready()
        {
            self.draining = None;
            if self.unsent.is_empty() {
                return closed;
            }
        }
        loop {
            ready!(self.idle.as_mut().poll(cx));
            if !std::mem::take(&mut self.is_busy) {
                self.port.counts.cut(Cut::Idle);
                return closed;
            }
            // A far future that the clock cannot hold is far enough without it.
            let Some(next) = Instant::now().checked_add(self.port.limits.idle_max) else {
                return Poll::Pending;
            };
            self.idle.as_mut().reset(next);
        }
    }
}

impl<C: Commands> Drop for Connection<C> {
    fn drop(&mut self) {
        self.port.unsent.fetch_sub(self.unsent.len() - self.sent, Ordering::Relaxed);
    }
}

/// Something was written, or nothing ever will be.
fn some(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        written => written,
    }
}

/// An answer that takes time, with a place at the gate for as long.
async fn admitted<C: Commands>(
    port: &Port<C>,
    delay: Duration,
    answering: impl Future<Output = Vec<u8>>,
) -> Vec<u8> {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let now = port.clock.now();
    // Whether it is shed was decided when it was read.
    match port.admission.admit(&Ask::new(Priority::P0), now) {
        Ok(_place) => answering.await,
        Err(refusal) => {
            drop(port.admission.refuse(refusal, now));
            let mut answer = Vec::new();
            refused(&mut Reply::new(&mut answer, Protocol::Two));
            answer
        }
    }
}

/// The error for one who is left out: Redis's word for what is worth trying again.
fn refused(reply: &mut Reply<'_>) {
    reply.error("TRYAGAIN there is too much to do; retry in 1000 ms");
}
