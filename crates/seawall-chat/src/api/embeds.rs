//! Embeds, components and the other structured parts of a message: limits, and the fields strict readers want.

use serde_json::{Map, Value, json};

use super::form::{Form, Text};

/// Embeds of one message.
const EMBEDS_MAX: usize = 10;
/// Characters of all texts of all embeds of a message together.
const TEXT_MAX: usize = 6000;
/// Fields of one embed.
const FIELDS_MAX: usize = 25;
/// Characters of an address.
const URL_MAX: usize = 2048;
/// Rows of buttons and the like; what is in them counts to [`BYTES_MAX`].
const COMPONENTS_MAX: usize = 40;
/// Bytes of all this as JSON, above what the limits on texts allow to anyone: it is kept, told and sent on as it is.
const BYTES_MAX: usize = 64 * 1024;

/// The embeds of a body, as they are kept and shown; none where there is no such field.
pub(super) fn embeds(form: &mut Form) -> Option<Vec<Value>> {
    let list = form.list("embeds", EMBEDS_MAX)?;
    let mut total = 0;
    let mut kept = Vec::with_capacity(list.len());
    for (i, value) in list.into_iter().enumerate() {
        let Some(mut inner) = form.within(&format!("embeds.{i}"), value) else { continue };
        let taken = embed(&mut inner, &mut total);
        // What is not listed (colour, timestamp) is kept as it was sent.
        let mut whole = form.absorb(inner);
        whole.retain(|_, v| !v.is_null());
        whole.extend(taken);
        kept.push(Value::Object(whole));
    }
    if total > TEXT_MAX {
        let message = format!("Embed size exceeds maximum size of {TEXT_MAX}");
        form.wrong("embeds", "MAX_EMBED_SIZE_EXCEEDED", message);
    }
    bounded(form, "embeds", kept)
}

/// One embed's limited texts, and how many characters they add.
fn embed(form: &mut Form, total: &mut usize) -> Map<String, Value> {
    let mut kept = Map::new();
    let mut text = |form: &mut Form, kept: &mut Map<String, Value>, key: &str, max: usize| {
        let Some(text) = form.text(key, 0..=max, Text::Lines) else { return };
        *total += text.chars().count();
        kept.insert(key.to_owned(), Value::String(text));
    };
    // The only kind that can be sent.
    form.value("type");
    kept.insert("type".to_owned(), json!("rich"));
    text(form, &mut kept, "title", 256);
    text(form, &mut kept, "description", 4096);
    for (key, of, max) in [("footer", "text", 2048), ("author", "name", 256)] {
        let Some(value) = form.value(key) else { continue };
        let Some(mut inner) = form.within(key, value) else { continue };
        let mut part = Map::new();
        text(&mut inner, &mut part, of, max);
        addresses(&mut inner, &mut part, &["url", "icon_url"]);
        let mut whole = form.absorb(inner);
        whole.extend(part);
        kept.insert(key.to_owned(), Value::Object(whole));
    }
    if let Some(list) = form.list("fields", FIELDS_MAX) {
        let mut fields = Vec::with_capacity(list.len());
        for (i, value) in list.into_iter().enumerate() {
            let Some(mut inner) = form.within(&format!("fields.{i}"), value) else { continue };
            let mut field = Map::new();
            text(&mut inner, &mut field, "name", 256);
            text(&mut inner, &mut field, "value", 1024);
            inner.require("name", field.get("name"));
            inner.require("value", field.get("value"));
            field.insert("inline".to_owned(), json!(inner.bool("inline").unwrap_or(false)));
            form.absorb(inner);
            fields.push(Value::Object(field));
        }
        kept.insert("fields".to_owned(), Value::Array(fields));
    }
    for key in ["image", "thumbnail"] {
        let Some(value) = form.value(key) else { continue };
        let Some(mut inner) = form.within(key, value) else { continue };
        let mut part = Map::new();
        addresses(&mut inner, &mut part, &["url"]);
        let mut whole = form.absorb(inner);
        whole.extend(part);
        kept.insert(key.to_owned(), Value::Object(whole));
    }
    addresses(form, &mut kept, &["url"]);
    kept
}

fn addresses(form: &mut Form, kept: &mut Map<String, Value>, keys: &[&str]) {
    for key in keys {
        let Some(url) = form.text(key, 0..=URL_MAX, Text::Line) else { continue };
        if !["http://", "https://", "attachment://"].iter().any(|scheme| url.starts_with(scheme)) {
            let message = "Scheme must be one of ('http', 'https').";
            form.wrong(key, "URL_TYPE_INVALID_SCHEME", message);
            continue;
        }
        kept.insert((*key).to_owned(), Value::String(url));
    }
}

/// Buttons and the like, kept as they were sent.
pub(super) fn components(form: &mut Form) -> Option<Vec<Value>> {
    let list = form.list("components", COMPONENTS_MAX)?;
    for (i, value) in list.iter().enumerate() {
        if !value.is_object() {
            form.wrong(
                &format!("components.{i}"),
                "MODEL_TYPE_CONVERT",
                "Only dictionaries may be used in a ModelType",
            );
        }
    }
    bounded(form, "components", list)
}

/// Whom a message may call: passed on to the owner, who knows who is there.
pub(super) fn allowed_mentions(form: &mut Form) -> Option<Value> {
    /// Users and roles that may be listed.
    const LISTED_MAX: usize = 100;
    let value = form.value("allowed_mentions")?;
    let mut inner = form.within("allowed_mentions", value)?;
    let parse = inner.list("parse", 3);
    for (i, word) in parse.iter().flatten().enumerate() {
        if !matches!(word.as_str(), Some("users" | "roles" | "everyone")) {
            let message = "Value must be one of ('users', 'roles', 'everyone').";
            inner.wrong(&format!("parse.{i}"), "BASE_TYPE_CHOICES", message);
        }
    }
    let (users, roles) = (inner.ids("users", LISTED_MAX), inner.ids("roles", LISTED_MAX));
    let replied_user = inner.bool("replied_user");
    form.absorb(inner);
    let mut kept = Map::new();
    kept.extend(parse.map(|p| ("parse".to_owned(), Value::Array(p))));
    kept.extend(users.map(|u| ("users".to_owned(), json!(u))));
    kept.extend(roles.map(|r| ("roles".to_owned(), json!(r))));
    kept.extend(replied_user.map(|r| ("replied_user".to_owned(), json!(r))));
    Some(Value::Object(kept))
}

fn bounded(form: &mut Form, key: &str, list: Vec<Value>) -> Option<Vec<Value>> {
    let bytes = list.iter().map(|v| v.to_string().len()).sum::<usize>();
    if bytes <= BYTES_MAX {
        return Some(list);
    }
    form.wrong(key, "BASE_TYPE_MAX_LENGTH", format!("Must be {BYTES_MAX} or fewer bytes as JSON."));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;

    fn taken(body: Value) -> Result<Vec<Value>, Vec<(String, String)>> {
        let mut form = Form::new(body).unwrap();
        let embeds = embeds(&mut form).unwrap_or_default();
        match form.finish() {
            Ok(()) => Ok(embeds),
            Err(Refusal::Form(wrong)) => Err(wrong.into_iter().map(|(p, c, _)| (p, c)).collect()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_sent_is_kept_and_completed() {
        let sent = json!({
            "title": "t", "description": "d", "url": "https://e.org/", "color": 255, "timestamp": null, "type": "link",
            "footer": { "text": "f", "x": 1 }, "author": { "name": "a" }, "image": { "url": "http://e.org/i" },
            "fields": [{ "name": "n", "value": "v" }, { "name": "n", "value": "v", "inline": true }],
        });
        let kept = taken(json!({ "embeds": [sent] })).unwrap();
        let wanted = json!([{
            "type": "rich", "title": "t", "description": "d", "url": "https://e.org/", "color": 255,
            "footer": { "text": "f", "x": 1 }, "author": { "name": "a" }, "image": { "url": "http://e.org/i" },
            "fields": [
                { "name": "n", "value": "v", "inline": false }, { "name": "n", "value": "v", "inline": true },
            ],
        }]);
        assert_eq!(Value::Array(kept), wanted);
        assert_eq!(taken(json!({ "embeds": null })), Ok(vec![]));
    }

    #[test]
    fn limits_are_told_where_they_were_broken() {
        let long = |n: usize| "x".repeat(n);
        for (embed, path, code) in [
            (json!({ "title": long(257) }), "embeds.0.title", "BASE_TYPE_MAX_LENGTH"),
            (json!({ "description": long(4097) }), "embeds.0.description", "BASE_TYPE_MAX_LENGTH"),
            (json!({ "footer": { "text": long(2049) } }), "embeds.0.footer.text", "BASE_TYPE_MAX_LENGTH"),
            (json!({ "author": { "name": long(257) } }), "embeds.0.author.name", "BASE_TYPE_MAX_LENGTH"),
            (json!({ "author": 5 }), "embeds.0.author", "DICT_TYPE_CONVERT"),
            (json!({ "fields": [{ "name": "n" }] }), "embeds.0.fields.0.value", "BASE_TYPE_REQUIRED"),
            (json!({ "fields": vec![json!({}); 26] }), "embeds.0.fields", "BASE_TYPE_MAX_LENGTH"),
            (json!({ "url": "javascript:x" }), "embeds.0.url", "URL_TYPE_INVALID_SCHEME"),
            (json!({ "colour": long(70_000) }), "embeds", "BASE_TYPE_MAX_LENGTH"),
            (json!(5), "embeds.0", "DICT_TYPE_CONVERT"),
        ] {
            let wrong = taken(json!({ "embeds": [embed] })).unwrap_err();
            assert_eq!(wrong, [(path.to_owned(), code.to_owned())]);
        }
        let two = json!({ "embeds": [{ "description": long(3001) }, { "description": long(3000) }] });
        assert_eq!(taken(two).unwrap_err()[0].1, "MAX_EMBED_SIZE_EXCEEDED");
        assert_eq!(taken(json!({ "embeds": vec![json!({}); 11] })).unwrap_err()[0].0, "embeds");
    }
}
