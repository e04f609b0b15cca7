//! One table read over what it begins from, with everything in it that does not fit.
//!
//! Reading stops at the first thing that does not fit. So what does not fit is taken out, what lies below it
//! shows through, and the table is read again, until nothing is left to complain about.

use std::collections::HashSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::kind::{Kind, Policy};

/// The span of what comes from a preset or default: no text is so long.
const BELOW: Range<usize> = usize::MAX..usize::MAX;

/// Elements of an array that are tried one by one; longer ones are blamed as a whole. No policy has more than 16.
const ELEMENTS_MAX: usize = 64;

/// Something in a table that does not fit; no span where the whole table does not.
pub(super) struct Misfit {
    pub(super) span: Option<Range<usize>>,
    pub(super) message: String,
}

/// Reads `own` over `base`, of the same kind; with misfits, what is left without them. At most `max` misfits.
pub(super) fn over(
    kind: &dyn Kind,
    base: &Policy,
    mut own: DeTable<'_>,
    max: usize,
) -> (Option<Policy>, Vec<Misfit>) {
    let text = kind.text(base);
    // What was just written can be read back.
    let base = DeTable::parse(&text).map(Spanned::into_inner).unwrap_or_default();
    let mut misfits = Vec::new();
    // Tables and arrays that something was taken out of.
    let mut incomplete = HashSet::new();
    while misfits.len() < max {
        let error = match kind.read(Spanned::new(BELOW, lay_over(&base, &own))) {
            Ok(policy) => return (Some(policy), misfits),
            Err(error) => error,
        };
        let mut is_better = false;
        for span in error.span().map(|span| culprits(kind, &base, &own, span)).unwrap_or_default() {
            // Whoever misses what was taken out has been complained about.
            let is_consequence = incomplete.contains(&span);
            if take_out(&mut own, &span, &mut incomplete) {
                is_better = true;
                if !is_consequence {
                    misfits.push(Misfit { span: Some(span), message: one_line(error.message()) });
                }
            }
        }
        if !is_better {
            misfits.push(Misfit { span: None, message: one_line(error.message()) });
            break;
        }
    }
    (None, misfits)
}

/// What to take out for an error at `span`. An array may be blamed for an element: then those which fail alone.
fn culprits(kind: &dyn Kind, base: &DeTable<'_>, own: &DeTable<'_>, span: Range<usize>) -> Vec<Range<usize>> {
    let Some(array) = find_array(own, &span).filter(|array| array.len() <= ELEMENTS_MAX) else {
        return vec![span];
    };
    let alone = |element: &Spanned<DeValue<'_>>| {
        let mut only = own.clone();
        for other in array.iter().filter(|other| other.span() != element.span()) {
            take_out(&mut only, &other.span(), &mut HashSet::new());
        }
        kind.read(Spanned::new(BELOW, lay_over(base, &only)))
    };
    let fails =
        |element: &&Spanned<DeValue<'_>>| alone(element).is_err_and(|e| e.span() == Some(span.clone()));
    let failing: Vec<_> = array.iter().filter(fails).map(Spanned::span).collect();
    if failing.is_empty() { vec![span] } else { failing }
}

/// The array at this place.
fn find_array<'t, 'i>(table: &'t DeTable<'i>, span: &Range<usize>) -> Option<&'t DeArray<'i>> {
    table.values().find_map(|value| match value.get_ref() {
        DeValue::Array(array) if value.span() == *span => Some(array),
        DeValue::Array(array) => {
            array.iter().filter_map(|element| element.get_ref().as_table()).find_map(|t| find_array(t, span))
        }
        DeValue::Table(table) => find_array(table, span),
        _ => None,
    })
}

/// `above` where it says something, else `below`.
fn lay_over<'t>(below: &DeTable<'t>, above: &DeTable<'t>) -> DeTable<'t> {
    let mut whole: DeTable<'t> =
        below.iter().map(|(k, v)| (Spanned::new(BELOW, k.get_ref().clone()), sunk(v))).collect();
    for (key, value) in above {
        let merged = match (below.get(key.get_ref().as_ref()).map(Spanned::get_ref), value.get_ref()) {
            (Some(DeValue::Table(below)), DeValue::Table(above)) if !is_other_kind(below, above) => {
                Spanned::new(value.span(), DeValue::Table(lay_over(below, above)))
            }
            _ => value.clone(),
        };
        // Out and in again: the map would keep the old key, and with it the old place.
        whole.remove(key.get_ref().as_ref());
        whole.insert(key.clone(), merged);
    }
    whole
}

/// Whether `above` names another alternative than `below`, whose keys then mean nothing to it.
fn is_other_kind(below: &DeTable<'_>, above: &DeTable<'_>) -> bool {
    let kind =
        |table: &DeTable<'_>| table.get("kind").and_then(|kind| kind.get_ref().as_str().map(str::to_owned));
    above.contains_key("kind") && kind(above) != kind(below)
}

/// The value, with no place in the text.
fn sunk<'t>(value: &Spanned<DeValue<'t>>) -> Spanned<DeValue<'t>> {
    let value = match value.get_ref() {
        DeValue::Table(table) => DeValue::Table(
            table.iter().map(|(k, v)| (Spanned::new(BELOW, k.get_ref().clone()), sunk(v))).collect(),
        ),
        DeValue::Array(array) => DeValue::Array(array.iter().map(sunk).collect::<DeArray<'t>>()),
        plain => plain.clone(),
    };
    Spanned::new(BELOW, value)
}

/// Takes out the key or element at this place, and notes whom it was taken from. False when there is none.
fn take_out(table: &mut DeTable<'_>, span: &Range<usize>, incomplete: &mut HashSet<Range<usize>>) -> bool {
    let found = table.iter().find(|(key, value)| key.span() == *span || value.span() == *span);
    if let Some(key) = found.map(|(key, _)| key.get_ref().to_string()) {
        table.remove(key.as_str());
        return true;
    }
    table.iter_mut().any(|(_, value)| {
        let around = value.span();
        let taken = take_out_of(value.get_mut(), span, incomplete);
        if taken {
            incomplete.insert(around);
        }
        taken
    })
}

fn take_out_of(value: &mut DeValue<'_>, span: &Range<usize>, incomplete: &mut HashSet<Range<usize>>) -> bool {
    match value {
        DeValue::Table(table) => take_out(table, span, incomplete),
        DeValue::Array(array) => {
            if array.iter().any(|element| element.span() == *span) {
                let others = std::mem::replace(array, DeArray::new())
                    .into_iter()
                    .filter(|element| element.span() != *span);
                *array = others.collect();
                return true;
            }
            array.iter_mut().any(|element| {
                let around = element.span();
                let taken = take_out_of(element.get_mut(), span, incomplete);
                if taken {
                    incomplete.insert(around);
                }
                taken
            })
        }
        _ => false,
    }
}

pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
