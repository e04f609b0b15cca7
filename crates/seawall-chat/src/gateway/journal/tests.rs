use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use seawall_policy::{Mono, Wall};
use seawall_store::Position;

use super::*;
use crate::event::{Kind, intents};
use crate::gateway::acks::Acks;
use crate::gateway::entry::{Entry, Mark, SessionId, To, What};
use crate::gateway::fold::{Fold, Part};
use crate::gateway::view::View;
use crate::id::Id;

const BOOT: &str = "b";
const KEEP: Duration = Duration::from_secs(600);

fn options(root: &Path) -> Options {
    Options {
        root: root.to_owned(),
        gateway: "0000abcd".to_owned(),
        boot: BOOT.to_owned(),
        segment_age: Duration::from_secs(60),
        segment_bytes: 1 << 20,
        keep: KEEP,
        is_mute: false,
    }
}

fn secs(s: u64) -> Mono {
    Mono(s * 1_000_000_000)
}

fn said(lsn: u64, guild: u64, text: &str) -> Entry {
    let (to, d) =
        (To::Channel { guild: Id(guild), channel: Id(lsn % 3) }, Bytes::copy_from_slice(text.as_bytes()));
    let (origin, mentions) = (Some((0, Position(lsn))), Box::default());
    Entry { lsn, what: What::Dispatch { origin, to, t: Kind::MessageCreate, author: None, mentions, d } }
}

fn reached(lsn: u64) -> Entry {
    Entry { lsn, what: What::Reached { positions: [Position(lsn)].into() } }
}

fn mark(session: u8, s: u64, lsn: u64) -> Mark {
    let view = View::new([(Id(1), [].into())]);
    let fold = Fold {
        session: SessionId([session; 16]),
        user: Id(u64::from(session)),
        intents: intents::KNOWN,
        part: Part::WHOLE,
        s,
        lsn,
        view,
        skip: None,
    };
    Mark { token_hash: [0; 32], generation: 1, fold }
}

fn opened(lsn: u64, mark: &Mark) -> Entry {
    Entry { lsn, what: What::Session(Box::new(mark.clone())) }
}

fn read(folder: &Path, after: u64) -> Result<Vec<Entry>, Trouble> {
    Reader::open(folder, BOOT)?.entries(after)?.collect()
}

fn segment(folder: &Path, index: u64) -> PathBuf {
    folder.join(format!("{index:08}.journal"))
}

#[test]
fn what_is_appended_is_read_across_segments() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(options(root.path()), secs(0), &[Position(5)]).unwrap();
    let all: Vec<_> = (1..=9).map(|lsn| said(lsn, 1, "{}")).collect();
    writer.append(&all[..4]).unwrap();
    assert!(!writer.is_due(secs(59)) && writer.is_due(secs(60)));
    writer.roll(secs(60), &[mark(1, 0, 0)]).unwrap();
    writer.append(&all[4..]).unwrap();
    writer.append([&reached(9)]).unwrap();
    let numbered = |after| -> Vec<_> {
        read(writer.folder(), after).unwrap().into_iter().filter(|e| e.what.is_numbered()).collect()
    };
    assert_eq!(numbered(0), all);
    assert_eq!(numbered(4), all[4..]);
    assert_eq!(numbered(7), all[7..]);
    let load = Reader::open(writer.folder(), BOOT).unwrap().load(1 << 20).unwrap();
    assert_eq!(load.marks, HashMap::from([(SessionId([1; 16]), mark(1, 0, 0))]));
    let slots: Vec<_> = load.batch.after(0).unwrap().iter().map(|s| s.entry().clone()).collect();
    assert_eq!((slots, &*load.positions), (all, &[Position(9)][..]));
}

#[test]
fn a_long_segment_is_due() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(options(root.path()), secs(0), &[]).unwrap();
    writer.append([&said(1, 1, &"x".repeat(1 << 20))]).unwrap();
    assert!(writer.is_due(secs(0)));
}

#[test]
fn only_sessions_that_can_come_back_are_loaded() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(options(root.path()), secs(0), &[]).unwrap();
    let (old, new, gone) = (mark(1, 1, 0), mark(1, 3, 2), mark(2, 1, 0));
    writer.append(&[opened(0, &old), opened(0, &gone), said(1, 1, "1"), said(2, 1, "2")]).unwrap();
    let end = Entry { lsn: 2, what: What::Gone { session: gone.fold.session } };
    writer.append(&[opened(2, &new), end, said(3, 1, "3")]).unwrap();
    let reader = Reader::open(writer.folder(), BOOT).unwrap();
    let load = reader.load(1).unwrap();
    assert_eq!(load.marks, HashMap::from([(new.fold.session, new)]));
    assert_eq!((load.batch.after(2).unwrap().len(), load.batch.after(1).is_none()), (1, true));
}

#[test]
fn a_journal_that_grows_while_it_is_read_says_how_far_its_entries_go() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(options(root.path()), secs(0), &[Position(0)]).unwrap();
    let (stays, goes, moves) = (mark(1, 0, 0), mark(2, 0, 0), mark(3, 0, 0));
    let first = [opened(0, &stays), opened(0, &goes), opened(0, &moves), said(1, 1, "one"), reached(1)];
    writer.append(&first).unwrap();
    let reader = Reader::open(writer.folder(), BOOT).unwrap();
    let notes = reader.notes().unwrap();
    writer.append(&[said(2, 1, "two"), reached(2)]).unwrap();
    let moved = Mark { generation: 2, ..mark(3, 2, 2) };
    let gone = Entry { lsn: 2, what: What::Gone { session: goes.fold.session } };
    writer.append(&[opened(2, &moved), gone, said(3, 1, "three"), reached(3)]).unwrap();
    let load = reader.fill(notes, 1 << 20).unwrap();
    assert_eq!(load.batch.head(), 3);
    assert_eq!(&*load.positions, &[Position(3)], "what is in it is not looked for elsewhere once more");
    let both = [stays, moved].map(|mark| (mark.fold.session, mark));
    assert_eq!(load.marks, HashMap::from(both), "a session is as its entries left it");
}

#[test]
fn of_more_than_fits_memory_the_newest_are_loaded() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(options(root.path()), secs(0), &[]).unwrap();
    let (pinned, young) = (mark(1, 1, 0), mark(2, 3, 2));
    writer.append(&[opened(0, &pinned), said(1, 1, "111"), said(2, 1, "22")]).unwrap();
    writer.append(&[opened(2, &young), said(3, 1, "333"), said(4, 1, "4")]).unwrap();
    let reader = Reader::open(writer.folder(), BOOT).unwrap();
    assert_eq!(reader.load(9).unwrap().marks.len(), 2);
    let load = reader.load(4).unwrap();
    assert_eq!(load.marks, HashMap::from([(young.fold.session, young)]));
    assert_eq!((load.batch.after(2).unwrap().len(), load.batch.head()), (2, 4));
    assert!(reader.load(3).unwrap().marks.is_empty());
}

#[test]
fn marks_of_many_large_sessions_fit_a_segment() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(options(root.path()), secs(0), &[]).unwrap();
    // Ten bytes each.
    let hidden = (0..RECORD_MAX as u64 / 40).map(|n| Id(u64::MAX - n)).rev().collect();
    let view = View::new([(Id(1), hidden)]);
    let marks: Vec<Mark> = (0..5)
        .map(|n| {
            let mark = mark(n, 0, 0);
            Mark { fold: Fold { view: view.clone(), ..mark.fold }, ..mark }
        })
        .collect();
    writer.roll(secs(60), &marks).unwrap();
    let load = Reader::open(writer.folder(), BOOT).unwrap().load(1 << 20).unwrap();
    assert_eq!(load.marks.len(), marks.len());
}

#[test]
fn a_segment_says_how_far_the_entries_in_the_journal_go() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(options(root.path()), secs(0), &[Position(0)]).unwrap();
    writer.append(&[opened(0, &mark(1, 0, 0)), said(1, 1, "one"), reached(1)]).unwrap();
    writer.break_file(true);
    writer.append(&[said(2, 1, "two"), reached(2)]).unwrap_err();
    writer.break_file(false);
    writer.roll(secs(60), &[mark(1, 0, 0)]).unwrap();
    let load = Reader::open(writer.folder(), BOOT).unwrap().load(1 << 20).unwrap();
    assert_eq!((load.batch.head(), &*load.positions), (1, &[Position(1)][..]));
}

#[test]
fn a_living_gateway_is_told_from_a_dead_one() {
    let root = tempfile::tempdir().unwrap();
    let writer = Writer::create(options(root.path()), secs(0), &[]).unwrap();
    let reader = Reader::open(writer.folder(), BOOT).unwrap();
    assert!(reader.is_live().unwrap());
    let again = Writer::create(options(root.path()), secs(0), &[]);
    assert!(matches!(again, Err(Trouble::Locked { .. })));
    drop(writer);
    assert!(!reader.is_live().unwrap());
}

/// Three batches in the first segment, two in the second; the places where each batch of the second ends.
fn written(root: &Path) -> (PathBuf, Vec<(u64, u64)>) {
    let mut writer = Writer::create(options(root), secs(0), &[Position(0)]).unwrap();
    writer.append(&[opened(0, &mark(1, 0, 0)), said(1, 1, "one")]).unwrap();
    writer.append(&[said(2, 1, "two"), reached(2)]).unwrap();
    writer.roll(secs(60), &[mark(1, 1, 1)]).unwrap();
    let file = segment(writer.folder(), 2);
    let mut ends = vec![(fs::metadata(&file).unwrap().len(), 2)];
    for batch in [&[said(3, 1, "three"), said(4, 1, "four"), reached(4)][..], &[said(5, 1, "five")]] {
        writer.append(batch).unwrap();
        ends.push((fs::metadata(&file).unwrap().len(), writer.head()));
    }
    (writer.folder().to_owned(), ends)
}

#[test]
fn a_tail_torn_at_any_byte_gives_the_whole_batches_before_it() {
    let root = tempfile::tempdir().unwrap();
    let (folder, ends) = written(root.path());
    let file = segment(&folder, 2);
    let whole = fs::read(&file).unwrap();
    for len in 0..=whole.len() {
        fs::write(&file, &whole[..len]).unwrap();
        let head = ends.iter().rev().find(|(end, _)| *end <= len as u64).map_or(2, |(_, head)| *head);
        let numbered = read(&folder, 0).unwrap().into_iter().filter(|e| e.what.is_numbered());
        assert_eq!(numbered.last().unwrap().lsn, head, "{len}");
        let load = Reader::open(&folder, BOOT).unwrap().load(1 << 20).unwrap();
        let mark = &load.marks[&SessionId([1; 16])];
        assert_eq!((load.batch.head(), load.batch.after(mark.fold.lsn).is_some()), (head, true), "{len}");
        assert_eq!(load.positions[0].0, if head < 4 { 2 } else { 4 }, "{len}");
    }
}

#[test]
fn a_changed_bit_anywhere_refuses_the_journal() {
    let root = tempfile::tempdir().unwrap();
    let (folder, _) = written(root.path());
    for index in [1, 2] {
        let file = segment(&folder, index);
        let whole = fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&file, &bytes).unwrap();
            let trouble = read(&folder, 0).unwrap_err();
            assert!(matches!(trouble, Trouble::Damaged { .. } | Trouble::TooNew { .. }), "{at}: {trouble}");
        }
        fs::write(&file, &whole).unwrap();
    }
    read(&folder, 0).unwrap();
}

#[test]
fn a_middle_that_ends_early_or_is_not_there_refuses_the_journal() {
    let root = tempfile::tempdir().unwrap();
    let (folder, _) = written(root.path());
    let file = segment(&folder, 1);
    let whole = fs::read(&file).unwrap();
    for len in 0..whole.len() {
        fs::write(&file, &whole[..len]).unwrap();
        assert!(matches!(read(&folder, 0), Err(Trouble::Damaged { .. })), "{len}");
    }
    fs::write(&file, &whole).unwrap();
    fs::rename(segment(&folder, 2), segment(&folder, 3)).unwrap();
    assert!(matches!(read(&folder, 0), Err(Trouble::Damaged { .. })));
    fs::remove_file(&file).unwrap();
    assert!(matches!(read(&folder, 0), Err(Trouble::Damaged { .. })), "it says that it is the second");
}

#[test]
fn other_boots_newer_builds_and_older_places_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let (folder, _) = written(root.path());
    assert!(matches!(Reader::open(&folder, "another"), Err(Trouble::OtherBoot { .. })));
    assert!(matches!(Reader::open(&root.path().join("no"), BOOT), Err(Trouble::Folder { .. })));
    fs::remove_file(segment(&folder, 1)).unwrap();
    assert_eq!(read(&folder, 2).unwrap().iter().filter(|e| e.what.is_numbered()).count(), 3);
    assert!(matches!(read(&folder, 1), Err(Trouble::TooOld { .. })));
    let mut bytes = fs::read(segment(&folder, 2)).unwrap();
    bytes[8] = 2;
    fs::write(segment(&folder, 2), &bytes).unwrap();
    let trouble = read(&folder, 2).unwrap_err();
    assert!(trouble.to_string().ends_with("has format 2; this build reads up to 1"), "{trouble}");
}

#[test]
fn a_segment_stays_while_a_mark_needs_it_and_a_while_longer() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(options(root.path()), secs(0), &[]).unwrap();
    let folder = writer.folder().to_owned();
    let first = || segment(&folder, 1).exists();
    writer.append(&[said(1, 1, ""), said(2, 1, "")]).unwrap();
    for minute in 1..30 {
        writer.roll(secs(minute * 60), &[mark(1, 1, 1)]).unwrap();
    }
    assert!(first(), "a session is still there");
    writer.roll(secs(30 * 60), &[mark(1, 2, 2)]).unwrap();
    writer.roll(secs(39 * 60), &[]).unwrap();
    assert!(first());
    writer.roll(secs(40 * 60), &[]).unwrap();
    assert!(!first());
    assert!(segment(&folder, 31).exists(), "its own ten minutes have begun when it was closed");
}

#[test]
fn a_failing_disk_is_told_and_nothing_half_written_stays() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(options(root.path()), secs(0), &[]).unwrap();
    writer.append([&said(1, 1, "one")]).unwrap();
    writer.break_file(true);
    let again = said(2, 1, "two");
    assert!(matches!(writer.append([&again]), Err(Trouble::Segment { .. })));
    assert!(writer.append([&again]).is_err());
    assert_eq!(writer.head(), 1);
    writer.break_file(false);
    // What an attempt may have left behind.
    let file = segment(writer.folder(), 1);
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend_from_slice(&[7; 4096]);
    fs::write(&file, &bytes).unwrap();
    writer.append([&again]).unwrap();
    assert_eq!(read(writer.folder(), 0).unwrap(), [said(1, 1, "one"), again]);
    // Nor does it where the next thing written is another segment.
    let whole = fs::metadata(&file).unwrap().len();
    writer.break_file(true);
    writer.append([&said(3, 1, "three")]).unwrap_err();
    writer.break_file(false);
    bytes = fs::read(&file).unwrap();
    bytes.extend_from_slice(&[7; 4096]);
    fs::write(&file, &bytes).unwrap();
    writer.roll(secs(60), &[]).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().len(), whole);
    writer.append([&said(3, 1, "three")]).unwrap();
    assert_eq!(read(writer.folder(), 0).unwrap().len(), 3);
}

#[test]
fn notes_lost_in_the_middle_are_damage_too() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(options(root.path()), secs(0), &[]).unwrap();
    writer.append([&said(1, 1, "one")]).unwrap();
    writer.append([&reached(1)]).unwrap();
    writer.roll(secs(60), &[]).unwrap();
    let file = segment(writer.folder(), 1);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(read(writer.folder(), 0), Err(Trouble::Damaged { .. })));
}

#[test]
fn a_mute_journal_has_nothing_in_it() {
    let root = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(Options { is_mute: true, ..options(root.path()) }, secs(0), &[]).unwrap();
    writer.append(&[opened(0, &mark(1, 0, 0)), said(1, 1, "")]).unwrap();
    assert!(read(writer.folder(), 0).unwrap().is_empty());
}

#[test]
fn dead_journals_are_swept_when_nobody_can_come_back() {
    let root = tempfile::tempdir().unwrap();
    let dead = Writer::create(options(root.path()), secs(0), &[]).unwrap().folder().to_owned();
    let alive = Options { gateway: "00001111".to_owned(), ..options(root.path()) };
    let alive = Writer::create(alive, secs(0), &[]).unwrap();
    fs::create_dir(root.path().join("other")).unwrap();
    let modified = fs::metadata(segment(&dead, 1)).unwrap().modified().unwrap();
    let ms = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let at = |s: i64| Wall(i64::try_from(ms).unwrap() + s * 1000);
    assert!(sweep(root.path(), at(599), KEEP).unwrap().is_empty());
    assert_eq!(sweep(root.path(), at(602), KEEP).unwrap(), [dead]);
    assert!(alive.folder().exists() && root.path().join("other").exists());
}

proptest! {
    /// Whatever a segment holds, it is read or refused; and what is read before the refusal is what was written.
    #[test]
    fn fuzz_any_change_of_a_segment(
        cut in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        junk in vec(any::<u8>(), 0..40),
    ) {
        let root = tempfile::tempdir().unwrap();
        let (folder, _) = written(root.path());
        let whole = read(&folder, 0).unwrap();
        let file = segment(&folder, 2);
        let mut bytes = fs::read(&file).unwrap();
        let at = at.index(bytes.len());
        bytes.splice(at..at + cut.index(bytes.len() - at), junk);
        fs::write(&file, bytes).unwrap();
        if let Ok(reader) = Reader::open(&folder, BOOT) {
            let entries: Vec<_> = reader.entries(0).unwrap().map_while(Result::ok).collect();
            prop_assert_eq!(&entries[..], &whole[..entries.len()]);
        }
    }
}

/// What can happen to a gateway with three sessions.
#[derive(Debug, Clone)]
enum Step {
    Said {
        guild: u64,
        content: usize,
    },
    View {
        user: u64,
        guild: u64,
        hidden: Option<Vec<u64>>,
    },
    /// The session is flushed to the head.
    Flush(usize),
    /// Its client says that it has all but the last few.
    Beat(usize, u64),
    /// Its client is cut off, or resumes with all but the last few of what it was sent.
    Cut(usize),
    Resume(usize, u64),
    Roll,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let session = 0..3_usize;
    vec(
        prop_oneof![
            6 => (0..3_u64, 0..4_usize).prop_map(|(guild, content)| Step::Said { guild, content }),
            2 => (1..3_u64, 0..3_u64, prop::option::of(vec(0..3_u64, 0..3)))
                .prop_map(|(user, guild, hidden)| Step::View { user, guild, hidden }),
            4 => session.clone().prop_map(Step::Flush),
            2 => (session.clone(), 0..4_u64).prop_map(|(at, lag)| Step::Beat(at, lag)),
            1 => session.clone().prop_map(Step::Cut),
            2 => (session, 0..6_u64).prop_map(|(at, lag)| Step::Resume(at, lag)),
            2 => Just(Step::Roll),
            2 => (1..200_u64).prop_map(Step::Wait),
        ],
        1..80,
    )
}

/// One session as its gateway and its client have it.
struct Session {
    fold: Fold,
    acks: Acks,
    is_cut: bool,
    /// What the client was given: number and place.
    heard: Vec<(u64, u64, bool)>,
}

impl Session {
    fn mark(&self) -> Mark {
        Mark { token_hash: [0; 32], generation: 1, fold: self.acks.rewind(&self.fold) }
    }
}

/// What a replay says the client is missing.
fn missed(mark: &Mark, entries: &[Entry], seq: u64) -> Vec<(u64, u64, bool)> {
    let mut fold = mark.fold.clone();
    let heard = entries.iter().filter_map(|e| fold.step(e).map(|h| (h.s, e.lsn, h.content)));
    heard.filter(|(s, ..)| *s > seq).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However a session was flushed, cut and resumed: its client has what one fold over everything gives, each
    /// once, in order; and the journal alone gives the same from every mark in it.
    #[test]
    fn live_and_replay_are_the_same(steps in steps()) {
        let root = tempfile::tempdir().unwrap();
        // Short enough that segments go.
        let options = Options { keep: Duration::from_secs(100), ..options(root.path()) };
        let mut writer = Writer::create(options, secs(0), &[]).unwrap();
        let folder = writer.folder().to_owned();
        let mut now = 0;
        let mut all: Vec<Entry> = Vec::new();
        let users = [1, 1, 2];
        let mut first: Vec<Mark> = (0..3).map(|at| mark(at as u8 + 1, 2, 0)).collect();
        for (mark, user) in first.iter_mut().zip(users) {
            mark.fold.user = Id(user);
        }
        // One that may not read, one that may, one with half the guilds.
        first[0].fold.intents = intents::GUILD_MESSAGES;
        first[2].fold.part = Part::new(0, 2).unwrap();
        let opened: Vec<_> = first.iter().map(|mark| opened(0, mark)).collect();
        writer.append(&opened).unwrap();
        let mut sessions: Vec<Session> = first
            .iter()
            .map(|mark| Session {
                fold: mark.fold.clone(),
                acks: Acks::new(&mark.fold, secs(0)),
                is_cut: false,
                heard: Vec::new(),
            })
            .collect();
        for step in steps {
            let lsn = all.len() as u64 + 1;
            match step {
                Step::Said { guild, content } => {
                    let mut entry = said(lsn, guild << 22, "{}");
                    if let What::Dispatch { author, mentions, .. } = &mut entry.what {
                        *author = (content == 1).then_some(Id(1));
                        *mentions = if content == 2 { [Id(1), Id(2)].into() } else { Box::default() };
                    }
                    writer.append([&entry]).unwrap();
                    all.push(entry);
                }
                Step::View { user, guild, hidden } => {
                    let hidden = hidden.map(|h| h.into_iter().map(Id).collect());
                    let what = What::View { user: Id(user), guild: Id(guild << 22), hidden };
                    let entry = Entry { lsn, what };
                    writer.append([&entry]).unwrap();
                    all.push(entry);
                }
                Step::Flush(at) => {
                    let session = &mut sessions[at];
                    if !session.is_cut {
                        // Whoever is not concerned moves on without a step.
                        let from = session.fold.lsn as usize;
                        if !all[from..].iter().any(|e| session.fold.hears(e)) {
                            let mut stepped = session.fold.clone();
                            prop_assert!(all[from..].iter().all(|e| stepped.step(e).is_none()));
                            session.fold.pass(all.len() as u64);
                            prop_assert_eq!(&stepped, &session.fold);
                        }
                        for entry in &all[from..] {
                            if let Some(heard) = session.fold.step(entry) {
                                session.heard.push((heard.s, entry.lsn, heard.content));
                            }
                        }
                    }
                }
                Step::Beat(at, lag) => {
                    let Session { fold, acks, is_cut, .. } = &mut sessions[at];
                    if !*is_cut {
                        acks.acked(fold.s.saturating_sub(lag), fold, secs(now));
                    }
                }
                Step::Cut(at) => sessions[at].is_cut = true,
                Step::Resume(at, lag) => {
                    let session = &mut sessions[at];
                    let seq = session.fold.s.saturating_sub(lag).max(session.acks.s());
                    session.heard.retain(|(s, ..)| *s <= seq);
                    let mark = session.mark();
                    let entries = read(&folder, mark.fold.lsn).unwrap();
                    session.heard.extend(missed(&mark, &entries, seq));
                    session.fold = mark.fold.clone();
                    session.fold.s = entries.iter().fold(mark.fold.s, |s, e| session.fold.step(e).map_or(s, |h| h.s));
                    session.fold.pass(all.len() as u64);
                    session.is_cut = false;
                }
                Step::Roll => {
                    let marks: Vec<_> = sessions.iter().map(Session::mark).collect();
                    writer.roll(secs(now), &marks).unwrap();
                }
                Step::Wait(s) => now += s,
            }
        }
        let reader = Reader::open(&folder, BOOT).unwrap();
        let load = reader.load(1 << 20).unwrap();
        for (session, first) in sessions.iter().zip(&first) {
            let everything = missed(first, &all, 0);
            prop_assert!(everything.iter().map(|(s, ..)| *s).eq((3..).take(everything.len())), "contiguous");
            prop_assert_eq!(&session.heard[..], &everything[..session.heard.len()]);
            prop_assert_eq!(session.fold.s, 2 + session.heard.len() as u64);
            // The journal's own mark is enough for everything the client may not have.
            let mark = &load.marks[&first.fold.session];
            prop_assert!(mark.fold.s <= session.acks.s());
            for seq in session.acks.s()..=session.fold.s {
                let mut fold = mark.fold.clone();
                let slots = load.batch.after(fold.lsn).expect("kept");
                let rest: Vec<_> = slots
                    .iter()
                    .filter_map(|slot| fold.step(slot.entry()).map(|h| (h.s, slot.entry().lsn, h.content)))
                    .filter(|(s, ..)| *s > seq)
                    .collect();
                prop_assert_eq!(&rest[..], &everything[(seq - 2) as usize..]);
            }
        }
    }
}
