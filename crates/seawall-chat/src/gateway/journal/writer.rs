//! Writing: batches, segments, and what is thrown away.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_policy::Mono;
use seawall_store::Position;

use super::super::entry::{Entry, Mark, What};
use super::format::{self, Head, LOCK, put_entry, put_preamble, put_record};
use super::{Trouble, folder};

/// Where and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of all gateways' journals of this data folder.
    pub root: PathBuf,
    /// This gateway's name: a few letters and digits, never used before.
    pub gateway: String,
    /// The machine's life; [`super::boot_id`].
    pub boot: String,
    /// A new segment is due after this long, so that marks stay young. 60 s.
    pub segment_age: Duration,
    /// A new segment is due after this many bytes. 64 MiB.
    pub segment_bytes: u64,
    /// How long a segment stays that no mark needs any longer. 10 min, more than a session's life without a client.
    pub keep: Duration,
    /// A planted fault: entries are not written.
    pub is_mute: bool,
}

/// Bytes of marks in one record, one mark more or less: a thousand of sessions with hundreds of guilds.
const MARKS_BYTES: usize = 4 << 20;

/// A gateway's own journal. Blocking: its caller writes one batch at a time.
#[derive(Debug)]
pub struct Writer {
    options: Options,
    folder: PathBuf,
    /// The lock ends with it.
    _lock: File,
    open: Segment,
    /// Older ones, oldest first.
    closed: VecDeque<Closed>,
    /// The last numbered entry.
    head: u64,
    /// How far into each shard's change stream the entries in it go.
    reached: Box<[Position]>,
    /// What is about to be written; its room is used again.
    scratch: Vec<u8>,
    /// The last attempt failed, and was told of.
    is_failing: bool,
}

#[derive(Debug)]
struct Segment {
    index: u64,
    file: File,
    /// Bytes that are whole.
    len: u64,
    since: Mono,
}

#[derive(Debug)]
struct Closed {
    index: u64,
    /// Its last numbered entry.
    last: u64,
    /// Since when no mark of the newest segment needs it.
    idle_since: Option<Mono>,
}

impl Writer {
    /// Begins a journal in a folder of its own, after entry 0.
    ///
    /// # Errors
    /// The folder cannot be written, or somebody holds it.
    pub fn create(options: Options, now: Mono, positions: &[Position]) -> Result<Writer, Trouble> {
        let folder = folder(&options.root, &options.gateway);
        let lock = lock(&folder)?;
        let scratch = Vec::new();
        let head = Head {
            gateway: options.gateway.clone(),
            boot: options.boot.clone(),
            index: 1,
            after: 0,
            positions: positions.into(),
        };
        let mut bytes = Vec::new();
        put_head(&mut bytes, &head)?;
        let open = begin(&folder, &head, &bytes, now)?;
        let closed = VecDeque::new();
        let reached = positions.into();
        Ok(Writer {
            options,
            folder,
            _lock: lock,
            open,
            closed,
            head: 0,
            reached,
            scratch,
            is_failing: false,
        })
    }

    /// The last numbered entry in it.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes entries as one batch, which a reader finds whole or not at all. Numbered ones go on from
    /// [`Writer::head`]. A batch with durable entries, or with changes of view that come from them, ends with
    /// [`What::Reached`]: by it a reader knows where in the change stream to go on.
    ///
    /// # Errors
    /// None of them is in the journal, and none may be dispatched. Trying again later is right: the disk may have room.
    pub fn append<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) -> Result<(), Trouble> {
        self.scratch.clear();
        let (mut head, mut reached) = (self.head, None);
        put_record(&mut self.scratch, |out| {
            for entry in entries {
                head += u64::from(entry.what.is_numbered());
                if let What::Reached { positions } = &entry.what {
                    reached = Some(positions);
                }
                assert_eq!(entry.lsn, head, "numbered entries follow each other, notes stay");
                put_entry(out, entry);
            }
        })?;
        let written = self.write();
        self.tell(&written);
        written?;
        self.head = head;
        if let Some(positions) = reached {
            self.reached.clone_from(positions);
        }
        Ok(())
    }

    /// Writes the scratch buffer behind what is whole.
    fn write(&mut self) -> Result<(), Trouble> {
        if self.options.is_mute {
            return Ok(());
        }
        let Segment { file, len, index, .. } = &mut self.open;
        let written = (|| {
            if self.is_failing {
                // The attempt before may have left a part.
                file.set_len(*len)?;
                file.seek(SeekFrom::Start(*len))?;
            }
            file.write_all(&self.scratch)
        })();
        written.map_err(|source| Trouble::Segment { file: format::file(&self.folder, *index), source })?;
        *len += self.scratch.len() as u64;
        Ok(())
    }

    /// Says once that writing fails, and once that it does not any more.
    fn tell<T>(&mut self, result: &Result<T, Trouble>) {
        match result {
            Err(trouble) if !self.is_failing => {
                let source = std::error::Error::source(trouble).map(ToString::to_string);
                tracing::error!(%trouble, source, "journal cannot be written, dispatching nothing meanwhile");
            }
            Ok(_) if self.is_failing => tracing::info!("journal can be written again"),
            _ => {}
        }
        self.is_failing = result.is_err();
    }

    /// Whether the segment is old or long enough for [`Writer::roll`].
    #[must_use]
    pub fn is_due(&self, now: Mono) -> bool {
        now.since(self.open.since) >= self.options.segment_age || self.open.len >= self.options.segment_bytes
    }

    /// Begins a new segment with the marks of all sessions that could come back, and throws away what none of them
    /// needs and nobody has for a while.
    ///
    /// # Errors
    /// The old segment goes on; entries can be appended to it if there is room.
    pub fn roll<'a>(&mut self, now: Mono, marks: impl IntoIterator<Item = &'a Mark>) -> Result<(), Trouble> {
        let head = Head {
            gateway: self.options.gateway.clone(),
            boot: self.options.boot.clone(),
            index: self.open.index + 1,
            after: self.head,
            // Of what is in it, and not of what is about to be: a reader passes over everything up to there.
            positions: self.reached.clone(),
        };
        // A replay from the lowest mark needs every entry after it.
        let mut floor = self.head;
        let mut bytes = Vec::new();
        put_head(&mut bytes, &head)?;
        let mut marks = marks.into_iter().peekable();
        while marks.peek().is_some() {
            put_record(&mut bytes, |out| {
                let start = out.len();
                while out.len() - start < MARKS_BYTES
                    && let Some(mark) = marks.next()
                {
                    floor = floor.min(mark.fold.lsn);
                    put_entry(out, &Entry { lsn: self.head, what: What::Session(Box::new(mark.clone())) });
                }
            })?;
        }
        if self.is_failing {
            // A part at the end of a segment that is not the last would be damage.
            let Segment { file, len, index, .. } = &self.open;
            let trouble = |source| Trouble::Segment { file: format::file(&self.folder, *index), source };
            file.set_len(*len).map_err(trouble)?;
        }
        let begun = begin(&self.folder, &head, &bytes, now);
        self.tell(&begun);
        let before = std::mem::replace(&mut self.open, begun?);
        self.closed.push_back(Closed { index: before.index, last: self.head, idle_since: None });
        self.throw_away(now, floor);
        Ok(())
    }

    /// Only from the oldest on, so that what is left has no hole.
    fn throw_away(&mut self, now: Mono, floor: u64) {
        for closed in &mut self.closed {
            if closed.last <= floor {
                closed.idle_since.get_or_insert(now);
            } else {
                closed.idle_since = None;
            }
        }
        let keep = self.options.keep;
        let is_over = |c: &Closed| c.idle_since.is_some_and(|since| now.since(since) >= keep);
        while self.closed.front().is_some_and(is_over) {
            let Some(oldest) = self.closed.pop_front() else { break };
            let file = format::file(&self.folder, oldest.index);
            if let Err(error) = fs::remove_file(&file) {
                tracing::warn!(file = %file.display(), %error, "old journal segment cannot be removed");
            }
        }
    }
}

fn lock(folder: &Path) -> Result<File, Trouble> {
    let trouble = |source| Trouble::Folder { folder: folder.to_owned(), source };
    // What was said in private stays with whoever runs the gateway.
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(trouble)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(folder.join(LOCK));
    let file = file.map_err(trouble)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Trouble::Locked { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(trouble(source)),
    }
}

fn put_head(out: &mut Vec<u8>, head: &Head) -> Result<(), Trouble> {
    put_preamble(out);
    put_record(out, |out| head.encode(out))
}

/// A new file, written at once. What is left of an attempt that failed goes.
fn begin(folder: &Path, head: &Head, bytes: &[u8], since: Mono) -> Result<Segment, Trouble> {
    let path = format::file(folder, head.index);
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let begun = opened.and_then(|mut file| {
        // Half a beginning would be damage as soon as it is not the last segment.
        file.write_all(bytes).inspect_err(|_| drop(fs::remove_file(&path))).map(|()| file)
    });
    match begun {
        Ok(file) => Ok(Segment { index: head.index, file, len: bytes.len() as u64, since }),
        Err(source) => Err(Trouble::Segment { file: path, source }),
    }
}

#[cfg(test)]
impl Writer {
    /// Every write fails, as on a full disk, or does not any more.
    pub(super) fn break_file(&mut self, is_broken: bool) {
        let path =
            if is_broken { PathBuf::from("/dev/full") } else { format::file(&self.folder, self.open.index) };
        self.open.file = OpenOptions::new().write(true).open(path).expect("it is there");
    }
}
