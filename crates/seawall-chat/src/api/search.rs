//! Search: finding what was said in a guild.
//!
//! What the caller may see is decided here and goes into the query, so that what is hidden is not even counted; what
//! is shown is read from the store.

use serde_json::json;

use super::call::{Call, Guild, Reply};
use super::form::{brief, not_an_id, within};
use super::rate::Bucket;
use super::{Answer, Table, errors};
use crate::id::Id;
use crate::permissions::Permissions;
use crate::refusal::Refusal;
use crate::search::limits::{CHANNELS_MAX, CONTENT_MAX, LIMIT_MAX, OFFSET_MAX, USERS_MAX};
use crate::search::{AuthorType, Has, Query, Sort};
use crate::storage::Home;

/// What a caller needs in a channel whose messages it finds.
const READ: Permissions = Permissions(Permissions::VIEW_CHANNEL.0 | Permissions::READ_HISTORY.0);

pub(super) fn add(table: &mut Table) {
    table.get("/guilds/{guild_id}/messages/search", Bucket::Reads, search);
}

async fn search(call: Call) -> Answer {
    call.api.search.admit()?;
    let mut query = wanted(&call)?;
    let guild = call.guild().await?;
    query.guild = guild.id;
    query.channels = readable(&guild, call.me.id, &query.channels);
    let hits = call.api.search.find(query).await?;
    let mut messages = Vec::with_capacity(hits.page.len());
    for hit in hits.page {
        let reading = call.api.storage.message(Home::Guild(guild.id), hit.channel, hit.message, call.me.id);
        // The index may be a moment behind: what was deleted meanwhile is left out.
        if let Some(message) = reading.await.map_err(errors::trouble)? {
            messages.push([message]);
        }
    }
    Ok(Reply::Json(json!({
        "total_results": hits.total,
        "doing_deep_historical_index": false,
        "messages": messages,
    })))
}

/// Those of the named channels that somebody may read; of all, where none is named. Whether the others exist is not
/// told.
fn readable(guild: &Guild, who: Id, named: &[Id]) -> Vec<Id> {
    guild.look(|state| {
        let may = |id: &Id| state.permissions_in(who, *id).has(READ);
        let is_named = |id: &Id| named.is_empty() || named.contains(id);
        state.channels.keys().copied().filter(|id| is_named(id) && may(id)).collect()
    })
}

/// What is asked for; everything that is wrong with it is said at once.
fn wanted(call: &Call) -> Result<Query, Refusal> {
    let mut form = Parameters { call, wrong: Vec::new() };
    let (has, has_not) = form.choices("has", &Has::ALL);
    let (author_types, author_types_not) = form.choices("author_type", &AuthorType::ALL);
    let query = Query {
        guild: Id::default(),
        channels: form.ids("channel_id", CHANNELS_MAX),
        content: form.content(),
        authors: form.ids("author_id", USERS_MAX),
        author_types,
        author_types_not,
        mentions: form.ids("mentions", USERS_MAX),
        has,
        has_not,
        pinned: form.bool("pinned"),
        min_id: form.id("min_id"),
        max_id: form.id("max_id"),
        limit: form.number("limit", 1, LIMIT_MAX).unwrap_or(LIMIT_MAX),
        offset: form.number("offset", 0, OFFSET_MAX).unwrap_or(0),
        sort: form.sort(),
    };
    if form.wrong.is_empty() { Ok(query) } else { Err(Refusal::Form(form.wrong)) }
}

/// Parameters of a call's query, taken one by one.
struct Parameters<'a> {
    call: &'a Call,
    wrong: Vec<(String, String, String)>,
}

impl Parameters<'_> {
    fn wrong(&mut self, key: impl Into<String>, code: &str, message: impl Into<String>) {
        self.wrong.push((key.into(), code.to_owned(), message.into()));
    }

    fn content(&mut self) -> String {
        let content = self.call.query("content").unwrap_or_default();
        if content.chars().count() > CONTENT_MAX {
            let message = format!("Must be {CONTENT_MAX} or fewer in length.");
            self.wrong("content", "BASE_TYPE_MAX_LENGTH", message);
            return String::new();
        }
        content.to_owned()
    }

    fn id(&mut self, key: &str) -> Option<Id> {
        let text = self.call.query(key)?;
        let id = text.parse().ok();
        if id.is_none() {
            self.wrong(key, "NUMBER_TYPE_COERCE", not_an_id(&brief(text)));
        }
        id
    }

    fn ids(&mut self, key: &str, max: usize) -> Vec<Id> {
        let call = self.call;
        if call.queries(key).nth(max).is_some() {
            self.wrong(key, "BASE_TYPE_MAX_LENGTH", format!("Must be {max} or fewer in length."));
            return Vec::new();
        }
        let mut ids = Vec::new();
        for (i, text) in call.queries(key).enumerate() {
            match text.parse() {
                Ok(id) => ids.push(id),
                Err(_) => self.wrong(format!("{key}.{i}"), "NUMBER_TYPE_COERCE", not_an_id(&brief(text))),
            }
        }
        ids
    }

    /// What is to be so, and, after a minus, what is not.
    fn choices<T: Copy>(&mut self, key: &str, all: &[(&str, T)]) -> (Vec<T>, Vec<T>) {
        let call = self.call;
        let (mut so, mut not) = (Vec::new(), Vec::new());
        for (i, text) in call.queries(key).enumerate() {
            let (name, list) = match text.strip_prefix('-') {
                Some(name) => (name, &mut not),
                None => (text, &mut so),
            };
            match all.iter().find(|(known, _)| *known == name) {
                // Said twice it says no more.
                Some((_, choice)) if list.len() < all.len() => list.push(*choice),
                Some(_) => {}
                None => {
                    self.wrong(format!("{key}.{i}"), "BASE_TYPE_CHOICES", one_of(all.iter().map(|a| a.0)))
                }
            }
        }
        (so, not)
    }

    fn bool(&mut self, key: &str) -> Option<bool> {
        match self.call.query(key)? {
            "true" | "True" | "1" => Some(true),
            "false" | "False" | "0" => Some(false),
            _ => {
                self.wrong(key, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.");
                None
            }
        }
    }

    fn number(&mut self, key: &str, min: usize, max: usize) -> Option<usize> {
        let text = self.call.query(key)?;
        let Ok(number) = text.parse::<i64>() else {
            self.wrong(key, "NUMBER_TYPE_COERCE", format!("Value \"{}\" is not int.", brief(text)));
            return None;
        };
        match within(number, &(min as i64..=max as i64)) {
            Ok(()) => usize::try_from(number).ok(),
            Err((code, message)) => {
                self.wrong(key, code, message);
                None
            }
        }
    }

    /// The order of best first has no opposite.
    fn sort(&mut self) -> Sort {
        let by = self.choice("sort_by", &[("timestamp", false), ("relevance", true)]);
        let is_oldest_first = self.choice("sort_order", &[("desc", false), ("asc", true)]);
        match (by, is_oldest_first) {
            (true, _) => Sort::Relevance,
            (false, true) => Sort::Oldest,
            (false, false) => Sort::Newest,
        }
    }

    /// One of these; the first unless asked for another.
    fn choice<T: Copy>(&mut self, key: &str, all: &[(&str, T); 2]) -> T {
        let Some(text) = self.call.query(key) else { return all[0].1 };
        if let Some((_, choice)) = all.iter().find(|(known, _)| *known == text) {
            return *choice;
        }
        self.wrong(key, "BASE_TYPE_CHOICES", one_of(all.iter().map(|a| a.0)));
        all[0].1
    }
}

fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names = names.collect::<Vec<_>>().join(", ");
    format!("Value must be one of {{{names}}}.")
}
