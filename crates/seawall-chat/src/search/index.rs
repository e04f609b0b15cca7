//! The index on disk: opened or begun anew, written by one, searched by many.
//!
//! Each commit carries how far in every shard's change stream it has got. Both are one rename, so after a crash the
//! index goes on exactly where its documents end: nothing twice, nothing left out.
//!
//! ```text
//! <data>/chat/search/lock      held while somebody writes
//! <data>/chat/search/index/    the library's files; to be deleted at will, they are made again
//! ```

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_store::Position;
use serde::{Deserialize, Serialize};
use tantivy::collector::sort_key::{SortBySimilarityScore, SortByStaticFastValue};
use tantivy::collector::{Count, TopDocs};
use tantivy::indexer::IndexWriterOptions;
use tantivy::query::{BooleanQuery, ConstScoreQuery, Occur, RangeQuery, TermQuery, TermSetQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, IndexReader, IndexWriter, Order, ReloadPolicy, Searcher, TantivyError, Term};

use super::document::{CHANNEL, Change, Fields, ID, WORDS};
use super::limits::{LIMIT_MAX, MERGE_THREADS, OFFSET_MAX, WRITER_BYTES_MAX};
use super::query::{Hit, Hits, Query, Sort};
use super::words;
use crate::id::Id;

/// Rises when documents are made in another way; an index of another format is made again.
const FORMAT: u32 = 1;

/// What a commit says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    format: u32,
    /// One for each shard.
    positions: Vec<Position>,
}

/// Why the index cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Another process has not let go of it yet.
    #[error("another process writes to the index")]
    Held,
    /// Its folder is at fault.
    #[error("cannot use {folder}")]
    Folder {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The library says so.
    #[error("the index failed")]
    Index(#[from] TantivyError),
    /// A step panicked.
    #[error("the index panicked: {0}")]
    Panicked(String),
}

/// Whether what is there is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Go on with it, if it is whole.
    Keep,
    /// Begin anew.
    Fresh,
}

/// What is searched. Stays usable while somebody has it, whatever becomes of the files.
pub(super) struct Index {
    reader: IndexReader,
    fields: Fields,
}

/// What writes: one in the world, by the lock.
pub(super) struct Writer {
    // Dropped before the lock.
    writer: IndexWriter,
    index: Arc<Index>,
    _lock: File,
}

/// Opens the index. Together with how far it has got in each shard, or `None` when it is empty and to be built.
pub(super) fn open(
    folder: &Path,
    shards: u32,
    start: Start,
) -> Result<(Writer, Option<Vec<Position>>), Error> {
    let wrong = |source| Error::Folder { folder: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(wrong)?;
    let lock = File::create(folder.join("lock")).map_err(wrong)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::Held),
        Err(TryLockError::Error(error)) => return Err(wrong(error)),
    }
    let files = folder.join("index");
    if start == Start::Keep && files.exists() {
        match reopen(&files, shards) {
            Ok((index, positions)) => return Ok((Writer::new(&index, lock)?, Some(positions))),
            Err(why) => {
                tracing::warn!(why, "the search index is made again; searches are answered when it is done")
            }
        }
    }
    match std::fs::remove_dir_all(&files) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrong(error)),
        Ok(()) | Err(_) => {}
    }
    std::fs::create_dir_all(&files).map_err(wrong)?;
    let index = tantivy::Index::create_in_dir(&files, Fields::new().1)?;
    Ok((Writer::new(&index, lock)?, None))
}

/// The index that is there, if it is ours and whole, or why not.
fn reopen(files: &Path, shards: u32) -> Result<(tantivy::Index, Vec<Position>), String> {
    let failed = |error: TantivyError| format!("it cannot be read: {error}");
    let index = tantivy::Index::open_in_dir(files).map_err(failed)?;
    if index.schema() != Fields::new().1 {
        return Err("it has other fields".to_owned());
    }
    let payload = index.load_metas().map_err(failed)?.payload;
    let payload = payload.ok_or_else(|| "it was not finished".to_owned())?;
    let payload =
        serde_json::from_str::<Payload>(&payload).map_err(|e| format!("its state is no state: {e}"))?;
    if payload.format != FORMAT {
        return Err(format!("it has format {}, and this build makes {FORMAT}", payload.format));
    }
    if payload.positions.len() != shards as usize {
        return Err("it was made of another number of shards".to_owned());
    }
    let damaged = index.validate_checksum().map_err(failed)?;
    match damaged.iter().next() {
        Some(file) => Err(format!("{} of its files are damaged, such as {}", damaged.len(), file.display())),
        None => Ok((index, payload.positions)),
    }
}

impl Writer {
    fn new(index: &tantivy::Index, lock: File) -> Result<Writer, Error> {
        index.tokenizers().register(WORDS, words::of_documents());
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(MERGE_THREADS)
            .memory_budget_per_thread(WRITER_BYTES_MAX)
            .build();
        let writer = index.writer_with_options(options)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let index = Arc::new(Index { reader, fields: Fields::new().0 });
        Ok(Writer { writer, index, _lock: lock })
    }

    /// What is searched.
    pub(super) fn index(&self) -> Arc<Index> {
        self.index.clone()
    }

    /// Does what events say, in their order. Not found before [`Writer::commit`].
    pub(super) fn apply(&mut self, changes: &[Change]) -> Result<(), Error> {
        let fields = self.index.fields;
        for change in changes {
            match change {
                Change::Put(guild, message) => {
                    self.writer.delete_term(Fields::of(fields.id, message.id));
                    self.writer.add_document(fields.document(*guild, message))?;
                }
                Change::Gone(ids) => {
                    for id in ids {
                        self.writer.delete_term(Fields::of(fields.id, *id));
                    }
                }
                Change::ChannelGone(id) => {
                    self.writer.delete_term(Fields::of(fields.channel, *id));
                }
                Change::GuildGone(id) => {
                    self.writer.delete_term(Fields::of(fields.guild, *id));
                }
            }
        }
        Ok(())
    }

    /// Puts everything on disk, with how far it has got, and lets it be found.
    pub(super) fn commit(&mut self, positions: Vec<Position>) -> Result<(), Error> {
        let payload = serde_json::to_string(&Payload { format: FORMAT, positions });
        let payload = payload.map_err(|e| Error::Panicked(e.to_string()))?;
        let mut prepared = self.writer.prepare_commit()?;
        prepared.set_payload(&payload);
        prepared.commit()?;
        self.index.reader.reload()?;
        Ok(())
    }
}

impl Index {
    /// How many messages can be found.
    pub(super) fn documents(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Finds.
    pub(super) fn search(&self, query: &Query) -> Result<Hits, TantivyError> {
        let Some(wanted) = self.wanted(query) else { return Ok(Hits::default()) };
        let searcher = self.reader.searcher();
        // The bounds hold for whoever asks, also another process.
        let page =
            TopDocs::with_limit(query.limit.clamp(1, LIMIT_MAX)).and_offset(query.offset.min(OFFSET_MAX));
        let by_id = |order| (SortByStaticFastValue::<u64>::for_field(ID), order);
        let (total, found) = match query.sort {
            Sort::Newest => {
                let (total, found) = searcher.search(&wanted, &(Count, page.order_by(by_id(Order::Desc))))?;
                (total, addresses(found))
            }
            Sort::Oldest => {
                let (total, found) = searcher.search(&wanted, &(Count, page.order_by(by_id(Order::Asc))))?;
                (total, addresses(found))
            }
            Sort::Relevance => {
                let best = ((SortBySimilarityScore, Order::Desc), by_id(Order::Desc));
                let (total, found) = searcher.search(&wanted, &(Count, page.order_by(best)))?;
                (total, addresses(found))
            }
        };
        let page = found.into_iter().map(|at| hit(&searcher, at)).collect::<Result<Vec<_>, _>>()?;
        Ok(Hits { total, page: page.into_iter().flatten().collect() })
    }

    /// The query as the library has it; `None` when nothing can be found.
    fn wanted(&self, query: &Query) -> Option<BooleanQuery> {
        let fields = self.fields;
        let ids = |field, ids: &[Id]| TermSetQuery::new(ids.iter().map(|id| Fields::of(field, *id)));
        let marks = |field, marks: Vec<u64>| {
            TermSetQuery::new(marks.into_iter().map(|mark| Term::from_field_u64(field, mark)))
        };
        let mut all = Clauses(Vec::new());
        for word in words::of_query(&query.content) {
            let term = Term::from_field_text(fields.content, &word);
            all.0.push((Occur::Must, Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))));
        }
        let is_wordless = all.0.is_empty() && !query.content.trim().is_empty();
        if is_wordless || query.channels.is_empty() {
            return None;
        }
        all.must(ids(fields.guild, &[query.guild]));
        all.must(ids(fields.channel, &query.channels));
        if !query.authors.is_empty() {
            all.must(ids(fields.author, &query.authors));
        }
        if !query.mentions.is_empty() {
            all.must(ids(fields.mentions, &query.mentions));
        }
        if !query.author_types.is_empty() {
            all.must(marks(fields.author_type, query.author_types.iter().map(|t| *t as u64).collect()));
        }
        if !query.author_types_not.is_empty() {
            all.must_not(marks(
                fields.author_type,
                query.author_types_not.iter().map(|t| *t as u64).collect(),
            ));
        }
        for has in &query.has {
            all.must(marks(fields.has, vec![*has as u64]));
        }
        if !query.has_not.is_empty() {
            all.must_not(marks(fields.has, query.has_not.iter().map(|h| *h as u64).collect()));
        }
        if let Some(pinned) = query.pinned {
            all.must(TermSetQuery::new([Term::from_field_bool(fields.pinned, pinned)]));
        }
        if query.min_id.is_some() || query.max_id.is_some() {
            let bound =
                |id: Option<Id>| id.map_or(Bound::Unbounded, |id| Bound::Excluded(Fields::of(fields.id, id)));
            all.must(RangeQuery::new(bound(query.min_id), bound(query.max_id)));
        }
        Some(BooleanQuery::new(all.0))
    }
}

/// Conditions that are all to hold.
struct Clauses(Vec<(Occur, Box<dyn tantivy::query::Query>)>);

impl Clauses {
    /// A condition that says nothing of how good a message is.
    fn must(&mut self, query: impl tantivy::query::Query) {
        self.0.push((Occur::Must, Box::new(ConstScoreQuery::new(Box::new(query), 0.0))));
    }

    fn must_not(&mut self, query: impl tantivy::query::Query) {
        self.0.push((Occur::MustNot, Box::new(query)));
    }
}

fn addresses<T>(found: Vec<(T, DocAddress)>) -> Vec<DocAddress> {
    found.into_iter().map(|(_, at)| at).collect()
}

fn hit(searcher: &Searcher, at: DocAddress) -> Result<Option<Hit>, TantivyError> {
    let columns = searcher.segment_reader(at.segment_ord).fast_fields();
    let value = |name| Ok::<_, TantivyError>(columns.u64(name)?.first(at.doc_id).map(Id));
    let (channel, message) = (value(CHANNEL)?, value(ID)?);
    Ok(channel.zip(message).map(|(channel, message)| Hit { channel, message }))
}
