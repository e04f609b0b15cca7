//! The index against a list: whatever is said, changed and deleted, both find the same.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use seawall_chat::command::Command;
use seawall_chat::id::Id;
use seawall_chat::search::{Query, Sort};
use tempfile::tempdir;

use crate::search::{Searching, all, eventually};

const WORDS: [&str; 8] = ["gear", "Gear", "brass", "ENGINE", "東京都", "京", "élan", "x1"];

#[derive(Debug, Clone)]
enum Step {
    Say { channel: usize, words: Vec<usize> },
    Edit { which: usize, words: Vec<usize> },
    Pin { which: usize, pinned: bool },
    Delete { which: usize },
    DeleteMany { from: usize },
    DropChannel { channel: usize },
}

#[derive(Debug, Clone)]
struct Asked {
    channels: Vec<usize>,
    words: Vec<usize>,
    pinned: Option<bool>,
    min: Option<usize>,
    max: Option<usize>,
    offset: usize,
    limit: usize,
    is_oldest_first: bool,
}

/// A message as the list has it.
#[derive(Debug, Clone)]
struct Said {
    channel: usize,
    content: String,
    pinned: bool,
}

fn text(words: &[usize]) -> String {
    words.iter().map(|w| WORDS[*w]).collect::<Vec<_>>().join(" ")
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || prop::collection::vec(0..WORDS.len(), 1..4);
    let step = prop_oneof![
        8 => (0..3_usize, some()).prop_map(|(channel, words)| Step::Say { channel, words }),
        3 => (0..99_usize, some()).prop_map(|(which, words)| Step::Edit { which, words }),
        2 => (0..99_usize, any::<bool>()).prop_map(|(which, pinned)| Step::Pin { which, pinned }),
        3 => (0..99_usize).prop_map(|which| Step::Delete { which }),
        1 => (0..99_usize).prop_map(|from| Step::DeleteMany { from }),
        1 => (1..3_usize).prop_map(|channel| Step::DropChannel { channel }),
    ];
    prop::collection::vec(step, 1..60)
}

fn asked() -> impl Strategy<Value = Vec<Asked>> {
    let one = (
        prop::collection::vec(0..3_usize, 0..4),
        prop::collection::vec(0..WORDS.len(), 0..3),
        any::<Option<bool>>(),
        prop::option::of(0..99_usize),
        prop::option::of(0..99_usize),
        0..8_usize,
        1..=25_usize,
        any::<bool>(),
    );
    let one = one.prop_map(|(channels, words, pinned, min, max, offset, limit, is_oldest_first)| Asked {
        channels,
        words,
        pinned,
        min,
        max,
        offset,
        limit,
        is_oldest_first,
    });
    prop::collection::vec(one, 1..12)
}

/// Of the list, by looking at each: every word is there as a whole, or, of those without gaps, as a part.
fn matches(content: &str, word: &str) -> bool {
    let (content, word) = (content.to_lowercase(), word.to_lowercase());
    if word.chars().all(char::is_alphabetic) && !word.is_ascii() && word != "élan" {
        return content.contains(&word);
    }
    content.split(' ').any(|w| w == word)
}

async fn run(s: &Searching, ada: Id, steps: Vec<Step>, asked: Vec<Asked>) {
    let (guild, general) = s.p.guild(ada, "engines").await;
    let mut channels =
        [Some(general), Some(s.p.channel(guild, "b").await), Some(s.p.channel(guild, "c").await)];
    let ids = channels.map(Option::unwrap_or_default);
    let mut list: BTreeMap<Id, Said> = BTreeMap::new();
    for step in steps {
        let nth = |which: usize| list.keys().nth(which % list.len().max(1)).copied();
        match step {
            Step::Say { channel, words } => {
                let Some(id) = channels[channel] else { continue };
                let content = text(&words);
                let message = s.p.say(ada, id, &content).await.unwrap();
                list.insert(message, Said { channel, content, pinned: false });
            }
            Step::Edit { which, words } => {
                let Some(message) = nth(which) else { continue };
                let said = list.get_mut(&message).unwrap();
                said.content = text(&words);
                let command = Command::UpdateMessage {
                    channel: ids[said.channel],
                    message,
                    content: Some(said.content.clone()),
                    embeds: None,
                    components: None,
                    flags: None,
                };
                s.p.act(ada, command).await.unwrap();
            }
            Step::Pin { which, pinned } => {
                let Some(message) = nth(which) else { continue };
                let said = list.get_mut(&message).unwrap();
                said.pinned = pinned;
                s.p.act(ada, Command::Pin { channel: ids[said.channel], message, pinned }).await.unwrap();
            }
            Step::Delete { which } => {
                let Some(message) = nth(which) else { continue };
                let said = list.remove(&message).unwrap();
                s.p.act(ada, Command::DeleteMessage { channel: ids[said.channel], message }).await.unwrap();
            }
            Step::DeleteMany { from } => {
                let Some(first) = nth(from) else { continue };
                let channel = list[&first].channel;
                let messages: Vec<Id> = list
                    .range(first..)
                    .filter(|(_, s)| s.channel == channel)
                    .map(|(id, _)| *id)
                    .take(5)
                    .collect();
                if messages.len() < 2 {
                    continue;
                }
                list.retain(|id, _| !messages.contains(id));
                s.p.act(ada, Command::DeleteMessages { channel: ids[channel], messages }).await.unwrap();
            }
            Step::DropChannel { channel } => {
                let Some(id) = channels[channel].take() else { continue };
                list.retain(|_, said| said.channel != channel);
                s.p.operate(Command::DeleteChannel { channel: id }).await.unwrap();
            }
        }
    }
    // The last thing that happens: once it is found, so is everything before it.
    let marker = s.p.say(ada, general, "marker").await.unwrap();
    let marked = Query { content: "marker".to_owned(), ..all(guild, &[general]) };
    eventually(async || s.search.find(marked.clone()).await.is_ok_and(|hits| hits.total == 1)).await;
    s.p.act(ada, Command::DeleteMessage { channel: general, message: marker }).await.unwrap();
    eventually(async || s.search.find(marked.clone()).await.is_ok_and(|hits| hits.total == 0)).await;

    let whole = Asked {
        channels: vec![0, 1, 2],
        words: Vec::new(),
        pinned: None,
        min: None,
        max: None,
        offset: 0,
        limit: 25,
        is_oldest_first: false,
    };
    for a in std::iter::once(whole).chain(asked) {
        let nth = |which: usize| list.keys().nth(which % list.len().max(1)).copied();
        let (min, max) = (a.min.and_then(nth), a.max.and_then(nth));
        let query = Query {
            guild,
            channels: a.channels.iter().map(|c| ids[*c]).collect(),
            content: text(&a.words),
            pinned: a.pinned,
            min_id: min,
            max_id: max,
            offset: a.offset,
            limit: a.limit,
            sort: if a.is_oldest_first { Sort::Oldest } else { Sort::Newest },
            ..Query::default()
        };
        let is_found = |id: &Id, said: &Said| {
            a.channels.contains(&said.channel)
                && a.words.iter().all(|w| matches(&said.content, WORDS[*w]))
                && a.pinned.is_none_or(|pinned| said.pinned == pinned)
                && min.is_none_or(|min| *id > min)
                && max.is_none_or(|max| *id < max)
        };
        let mut wanted: Vec<Id> =
            list.iter().filter(|(id, said)| is_found(id, said)).map(|(id, _)| *id).collect();
        if !a.is_oldest_first {
            wanted.reverse();
        }
        let hits = s.find(query).await;
        assert_eq!(hits.total, wanted.len(), "{a:?}");
        let page = wanted.into_iter().skip(a.offset).take(a.limit).collect::<Vec<_>>();
        assert_eq!(hits.page.iter().map(|hit| hit.message).collect::<Vec<_>>(), page, "{a:?}");
    }
}

#[test]
fn the_index_finds_what_a_list_finds() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let data = tempdir().unwrap();
    let (s, ada) = runtime.block_on(async {
        let s = Searching::start(data.path(), 2).await;
        let ada = s.p.user("ada").await;
        (s, ada)
    });
    // Each case is a guild of its own beside those of the cases before.
    let mut runner = TestRunner::new(Config { cases: 8, max_shrink_iters: 40, ..Config::default() });
    let cases = runner.run(&(steps(), asked()), |(steps, asked)| {
        runtime.block_on(run(&s, ada, steps, asked));
        Ok(())
    });
    if let Err(wrong) = cases {
        panic!("{wrong}\n{runner}");
    }
}
