//! Objects and associations as answers.

use seawall_net::resp::{Protocol, Reply};

use crate::call::AssocType;
use crate::follower::Part;
use crate::message::ObjectState;
use crate::schema::{Field, FieldType, FieldValue, Schema, value, walk};

/// A number that is never negative.
pub(super) fn count(count: u64, reply: &mut Reply<'_>) {
    reply.int(i64::try_from(count).unwrap_or(i64::MAX));
}

/// An object as a map: its type, its version, then its fields by name; nothing where there is none.
pub(super) fn object(state: &ObjectState, schema: &Schema, reply: &mut Reply<'_>) {
    let Some((otype, data)) = &state.object else { return reply.null() };
    let data = data.bytes();
    let kind = schema.object_kind(*otype);
    let fields = kind.map_or(&[][..], |kind| &kind.fields);
    reply.map(2 + known(fields, data).count());
    // `bulk`, made ready: every object has them.
    reply.raw(b"$4\r\ntype\r\n");
    match kind {
        Some(kind) => reply.bulk(kind.name.as_bytes()),
        // A type taken out of the schema; what is stored of it is still there.
        None => reply.bulk_int(i64::from(otype.0)),
    }
    reply.raw(b"$7\r\nversion\r\n");
    int(i64::try_from(state.version.0).unwrap_or(i64::MAX), reply);
    known(fields, data).for_each(|(field, raw)| pair(field, raw, reply));
}

/// The fields there are that the schema knows, each with its encoded value.
fn known<'a>(fields: &'a [Field], data: &'a [u8]) -> impl Iterator<Item = (&'a Field, &'a [u8])> {
    let mut fields = fields.iter();
    let mut next = fields.next();
    walk(data).filter_map(move |(number, raw)| {
        // Both are sorted by number.
        while next.is_some_and(|field| field.number < number) {
            next = fields.next();
        }
        next.filter(|field| field.number == number).map(|field| (field, raw))
    })
}

/// Associations: end and time of each in turn; with data, each as end, time and a map of its fields.
pub(super) fn part(part: &Part, atype: AssocType, with_data: bool, schema: &Schema, reply: &mut Reply<'_>) {
    let edges = (part.first..part.first + part.len).filter_map(|n| part.edges.get(n));
    if !with_data {
        reply.array(2 * part.len);
        edges.for_each(|edge| {
            reply.int(edge.id2.to_sql());
            reply.int(i64::from(edge.time.0));
        });
        return;
    }
    let fields = schema.assoc_kind(atype).map_or(&[][..], |kind| &kind.fields);
    reply.array(part.len);
    edges.for_each(|edge| {
        reply.array(3);
        reply.int(edge.id2.to_sql());
        reply.int(i64::from(edge.time.0));
        reply.map(known(fields, edge.data).count());
        known(fields, edge.data).for_each(|(field, raw)| pair(field, raw, reply));
    });
}

#[inline]
fn pair(field: &Field, raw: &[u8], reply: &mut Reply<'_>) {
    reply.bulk(field.name.as_bytes());
    // Bytes are bytes here: that text is UTF-8 was checked when it was written.
    if matches!(field.holds, FieldType::Text | FieldType::Bytes) {
        return reply.bulk(raw);
    }
    match value(field.holds, raw) {
        Some(FieldValue::Int(number)) => int(number, reply),
        Some(FieldValue::Real(number)) => reply.double(number),
        Some(FieldValue::Bool(is)) if reply.protocol() == Protocol::Three => reply.boolean(is),
        // What a write takes, so that what is read can be written.
        Some(FieldValue::Bool(is)) => reply.bulk(if is { b"true" } else { b"false" }),
        Some(FieldValue::Text(text)) => reply.bulk(text.as_bytes()),
        Some(FieldValue::Bytes(bytes)) => reply.bulk(bytes),
        None => reply.null(),
    }
}

/// Among values of a map: text in the older form, as HGETALL has it.
fn int(number: i64, reply: &mut Reply<'_>) {
    match reply.protocol() {
        Protocol::Two => reply.bulk_int(number),
        Protocol::Three => reply.int(number),
    }
}
