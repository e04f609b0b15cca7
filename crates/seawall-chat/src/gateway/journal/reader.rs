//! Reading: another gateway's journal or one's own, from any place that a mark names.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use seawall_store::Position;

use super::super::entry::{Entry, Mark, SessionId, What};
use super::super::frame::Slot;
use super::super::ring::Batch;
use super::Trouble;
use super::format::{self, Head, MAGIC, PREAMBLE, RECORD_HEAD, RecordHead, VERSION};
use super::sweep::is_held;

/// A journal on disk.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    /// In order, without a hole.
    segments: Vec<(PathBuf, Head)>,
}

/// All of a journal that its sessions can need.
#[derive(Debug)]
pub struct Load {
    /// The newest mark of every session that can still come back.
    pub marks: HashMap<SessionId, Mark>,
    /// Every entry after the lowest of them.
    pub batch: Batch,
    /// How far into each shard's change stream its entries go.
    pub positions: Box<[Position]>,
}

impl Reader {
    /// Looks at the heads of a journal's segments. `boot`: the machine's life now.
    ///
    /// # Errors
    /// It is not there, of another boot, of a newer build, or damaged.
    pub fn open(folder: &Path, boot: &str) -> Result<Reader, Trouble> {
        let trouble = |source| Trouble::Folder { folder: folder.to_owned(), source };
        let mut indices = Vec::new();
        for entry in fs::read_dir(folder).map_err(trouble)? {
            indices.extend(format::index_of(&entry.map_err(trouble)?.path()));
        }
        indices.sort_unstable();
        let newest = indices.last().copied();
        let mut segments = Vec::new();
        for index in indices {
            let file = format::file(folder, index);
            let mut source = match Source::open(&file) {
                // Its owner has thrown it away since we looked.
                Err(Trouble::Segment { source, .. })
                    if segments.is_empty() && source.kind() == io::ErrorKind::NotFound =>
                {
                    continue;
                }
                source => source?,
            };
            let Some(head) = source.head()? else {
                if Some(index) == newest {
                    break;
                }
                return Err(source.damaged("it has no head"));
            };
            if head.boot != boot {
                return Err(Trouble::OtherBoot { file });
            }
            let follows = segments.last().is_none_or(|(_, last): &(_, Head)| last.index + 1 == index);
            if head.index != index || !follows {
                return Err(source.damaged("a segment is missing"));
            }
            segments.push((file, head));
        }
        Ok(Reader { folder: folder.to_owned(), segments })
    }

    /// Whether the process that writes it lives.
    ///
    /// # Errors
    /// Its lock cannot be asked.
    pub fn is_live(&self) -> Result<bool, Trouble> {
        is_held(&self.folder).map_err(|source| Trouble::Folder { folder: self.folder.clone(), source })
    }

    /// The numbered entries after `after` with the notes between them, to the journal's end. Of a journal that is
    /// still written: to the end of the segments there were; go on with another reader, or with the ring.
    ///
    /// # Errors
    /// The journal begins later. What is wrong further on comes as the last item.
    pub fn entries(&self, after: u64) -> Result<Entries, Trouble> {
        let from = self.segments.iter().rposition(|(_, head)| head.after <= after);
        let Some(from) = from else {
            return Err(Trouble::TooOld { folder: self.folder.clone(), after });
        };
        Ok(self.entries_of(from, after))
    }

    fn entries_of(&self, from: usize, after: u64) -> Entries {
        let segments: VecDeque<_> = self.segments.iter().skip(from).cloned().collect();
        let at = segments.front().map_or(after, |(_, head)| head.after);
        Entries { segments, source: None, batch: Vec::new().into_iter(), after, at, has_ended: false }
    }

    /// Reads once what all its sessions need; after a crash they come back together. Payloads of more than `bytes_max`
    /// are too many to keep: then the newest are, and sessions that need others begin anew.
    ///
    /// # Errors
    /// It cannot be read or is damaged.
    pub fn load(&self, bytes_max: usize) -> Result<Load, Trouble> {
        self.fill(self.notes()?, bytes_max)
    }

    /// Who can come back, and from where on: which entries are needed.
    pub(super) fn notes(&self) -> Result<Notes, Trouble> {
        // The last segment may lack marks: its beginning may be torn. The one before has them all, because a writer
        // goes on only when a beginning is whole.
        let from = self.segments.len().saturating_sub(2);
        let positions = self.segments.last().map(|(_, head)| head.positions.clone()).unwrap_or_default();
        let mut notes = Notes { marks: HashMap::new(), positions, head: 0 };
        for entry in self.entries_of(from, 0) {
            notes.take(entry?);
        }
        Ok(notes)
    }

    /// The entries themselves. A journal that is still written has grown since the notes were taken: what came after
    /// them counts too, or its entries would be taken for something that is not in it.
    pub(super) fn fill(&self, mut notes: Notes, bytes_max: usize) -> Result<Load, Trouble> {
        let known = notes.head;
        let mut after = notes.marks.values().map(|mark| mark.fold.lsn).min().unwrap_or(known);
        let (mut slots, mut bytes) = (VecDeque::new(), 0);
        if !notes.marks.is_empty() {
            for entry in self.entries(after)? {
                let entry = entry?;
                if !entry.what.is_numbered() {
                    // Older ones would bring back what has changed since.
                    if entry.lsn >= known {
                        notes.take(entry);
                    }
                    continue;
                }
                bytes += payload(&entry);
                slots.push_back(Arc::new(Slot::new(entry)));
                while bytes > bytes_max
                    && let Some(oldest) = slots.pop_front()
                {
                    bytes -= payload(oldest.entry());
                    after += 1;
                }
            }
        }
        let Notes { mut marks, positions, .. } = notes;
        let before = marks.len();
        marks.retain(|_, mark| mark.fold.lsn >= after);
        if marks.len() < before {
            let (folder, sessions) = (self.folder.display(), before - marks.len());
            tracing::warn!(%folder, sessions, "journal holds more than is kept in memory, sessions begin anew");
        }
        Ok(Load { marks, batch: Batch::new(after, Vec::from(slots).into()), positions })
    }
}

/// What the notes of a journal say.
#[derive(Debug)]
pub(super) struct Notes {
    marks: HashMap<SessionId, Mark>,
    positions: Box<[Position]>,
    /// The last numbered entry there was.
    head: u64,
}

impl Notes {
    fn take(&mut self, entry: Entry) {
        self.head = entry.lsn;
        match entry.what {
            What::Session(mark) => {
                self.marks.insert(mark.fold.session, *mark);
            }
            What::Gone { session } => {
                self.marks.remove(&session);
            }
            What::Reached { positions } => self.positions = positions,
            What::Dispatch { .. } | What::View { .. } => {}
        }
    }
}

/// Bytes an entry takes in memory, besides some for its head.
fn payload(entry: &Entry) -> usize {
    match &entry.what {
        What::Dispatch { d, .. } => d.len(),
        _ => 0,
    }
}

/// Entries of a journal, batch after batch. Ends after the first error.
#[derive(Debug)]
pub struct Entries {
    segments: VecDeque<(PathBuf, Head)>,
    source: Option<Source>,
    batch: std::vec::IntoIter<Entry>,
    /// Numbered entries up to here are not wanted.
    after: u64,
    /// The last numbered entry that was read.
    at: u64,
    has_ended: bool,
}

impl Iterator for Entries {
    type Item = Result<Entry, Trouble>;

    fn next(&mut self) -> Option<Result<Entry, Trouble>> {
        if self.has_ended {
            return None;
        }
        let next = self.step().transpose();
        self.has_ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Entries {
    fn step(&mut self) -> Result<Option<Entry>, Trouble> {
        loop {
            for entry in self.batch.by_ref() {
                self.at += u64::from(entry.what.is_numbered());
                if entry.lsn != self.at {
                    return Err(self.damaged("an entry is missing"));
                }
                if entry.lsn > self.after || !entry.what.is_numbered() {
                    return Ok(Some(entry));
                }
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Gets the next batch; false where there is none.
    fn fill(&mut self) -> Result<bool, Trouble> {
        let is_last = self.segments.is_empty();
        if let Some(source) = &mut self.source {
            match source.record()? {
                Some(payload) => {
                    let entries = format::entries(&payload);
                    let entries = entries.map_err(|_| source.damaged("a batch cannot be read"))?;
                    self.batch = entries.into_iter();
                    return Ok(true);
                }
                None if !is_last && source.is_torn => {
                    return Err(source.damaged("it ends early, and another segment follows"));
                }
                None => {}
            }
        }
        let Some((file, head)) = self.segments.pop_front() else { return Ok(false) };
        let mut source = Source::open(&file)?;
        source.head()?;
        if head.after != self.at {
            return Err(source.damaged("entries are missing before it"));
        }
        self.source = Some(source);
        Ok(true)
    }

    fn damaged(&self, what: &'static str) -> Trouble {
        let (file, at) = self.source.as_ref().map(|s| (s.file.clone(), s.at)).unwrap_or_default();
        Trouble::Damaged { file, at, what }
    }
}

/// One segment being read.
#[derive(Debug)]
struct Source {
    file: PathBuf,
    from: BufReader<File>,
    at: u64,
    /// It ends inside a record.
    is_torn: bool,
}

impl Source {
    fn open(file: &Path) -> Result<Source, Trouble> {
        let from = File::open(file).map_err(|source| Trouble::Segment { file: file.to_owned(), source })?;
        Ok(Source { file: file.to_owned(), from: BufReader::new(from), at: 0, is_torn: false })
    }

    fn damaged(&self, what: &'static str) -> Trouble {
        Trouble::Damaged { file: self.file.clone(), at: self.at, what }
    }

    /// Up to `len` bytes; fewer only at the end.
    fn take(&mut self, len: usize) -> Result<Vec<u8>, Trouble> {
        let mut bytes = Vec::new();
        let read = self.from.by_ref().take(len as u64).read_to_end(&mut bytes);
        read.map_err(|source| Trouble::Segment { file: self.file.clone(), source })?;
        self.is_torn = bytes.len() < len;
        Ok(bytes)
    }

    /// None where the file ends before its head does.
    fn head(&mut self) -> Result<Option<Head>, Trouble> {
        let preamble = self.take(PREAMBLE)?;
        let (magic, version) = preamble.split_at(preamble.len().min(MAGIC.len()));
        if !MAGIC.starts_with(magic) {
            return Err(self.damaged("it is no journal"));
        }
        let Ok(version) = <[u8; 4]>::try_from(version) else { return Ok(None) };
        match u32::from_le_bytes(version) {
            VERSION => {}
            found if found > VERSION => return Err(Trouble::TooNew { file: self.file.clone(), found }),
            _ => return Err(self.damaged("there never was such a format")),
        }
        self.at = PREAMBLE as u64;
        let Some(payload) = self.record()? else { return Ok(None) };
        Head::decode(&payload).map(Some).map_err(|_| self.damaged("its head cannot be read"))
    }

    /// The next payload; none at the end, also where it comes early.
    fn record(&mut self) -> Result<Option<Bytes>, Trouble> {
        let head = self.take(RECORD_HEAD)?;
        let Ok(bytes) = <[u8; RECORD_HEAD]>::try_from(head.as_slice()) else {
            self.is_torn = !head.is_empty();
            return Ok(None);
        };
        let Some(RecordHead { len, crc }) = RecordHead::decode(bytes) else {
            return Err(self.damaged("a length is wrong"));
        };
        let payload = self.take(len)?;
        if self.is_torn {
            return Ok(None);
        }
        if crc32fast::hash(&payload) != crc {
            return Err(self.damaged("a check sum is wrong"));
        }
        self.at += (RECORD_HEAD + len) as u64;
        Ok(Some(payload.into()))
    }
}
