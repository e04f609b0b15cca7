//! What would be lost if one schema followed another.
//!
//! Stored bytes know numbers only. So a number must go on meaning what it meant, a type of a field must go on being that
//! type, and what was accepted must go on being acceptable: otherwise somebody reads a name where a URL was written, or
//! cannot change an object without mending what nobody broke. What may always change: new types, new fields that are
//! not required, longer maxima, a field that is required no more, `range_max`.
//!
//! A type or field is given up by *retiring* its number: what is stored of it is not shown any more, and the number is
//! never given out again. That is said in the schema and kept there for ever, because only the schema remembers.

use super::{Field, Inverse, Schema};

pub(super) fn losses(old: &Schema, new: &Schema) -> Vec<String> {
    let mut lost = Lost(Vec::new());
    let objects = |schema: &Schema| {
        schema.objects.iter().map(|kind| (kind.otype.0, kind.name.to_string())).collect::<Vec<_>>()
    };
    let assocs = |schema: &Schema| {
        schema.assocs.iter().map(|kind| (kind.atype.0, kind.name.to_string())).collect::<Vec<_>>()
    };
    let retired = (&*old.retired_objects, &*new.retired_objects);
    lost.names("object", "retired.objects", retired, &objects(old), &objects(new));
    let retired = (&*old.retired_assocs, &*new.retired_assocs);
    lost.names("association", "retired.associations", retired, &assocs(old), &assocs(new));

    for was in &old.objects {
        let Some(is) = new.object(&was.name).filter(|is| is.otype == was.otype) else { continue };
        let key = format!("object.{}", was.name);
        lost.shrunk(&key, "data_max", was.data_max, is.data_max);
        lost.fields(&key, (&was.fields, &was.retired), (&is.fields, &is.retired));
    }
    for was in &old.assocs {
        let Some(is) = new.assoc(&was.name).filter(|is| is.atype == was.atype) else { continue };
        let key = format!("association.{}", was.name);
        lost.shrunk(&key, "data_max", was.data_max, is.data_max);
        lost.fields(&key, (&was.fields, &was.retired), (&is.fields, &is.retired));
        if was.inverse != is.inverse {
            let said = |schema: &Schema, inverse| match inverse {
                Inverse::None => "none".to_owned(),
                Inverse::Same => "same".to_owned(),
                Inverse::Type(other) => {
                    schema.assoc_kind(other).map_or(String::new(), |kind| kind.name.to_string())
                }
            };
            lost.0.push(format!(
                "{key}.inverse: it is \"{}\", and lists written so far would not fit \"{}\"; take a new type",
                said(old, was.inverse),
                said(new, is.inverse)
            ));
        }
    }
    lost.0
}

struct Lost(Vec<String>);

impl Lost {
    /// Numbers and names of types or fields: each must be what it was, or retired for good.
    fn names<N>(
        &mut self,
        key: &str,
        retired_key: &str,
        (were_retired, are_retired): (&[N], &[N]),
        old: &[(N, String)],
        new: &[(N, String)],
    ) where
        N: Copy + PartialEq + std::fmt::Display,
    {
        for (number, name) in old {
            let same_name = new.iter().find(|(_, other)| other == name);
            let same_number = new.iter().find(|(other, _)| other == number);
            match (same_name, same_number) {
                (_, Some((_, other))) if other != name => self.0.push(format!(
                    "{key}.{other}: number {number} is `{name}` already; take a number that was never used"
                )),
                (Some(_), Some(_)) => {}
                // Retired, and the name begins anew under another number: what is stored cannot be taken for it.
                _ if are_retired.contains(number) => {}
                (Some((other, _)), None) => self.0.push(format!(
                    "{key}.{name}: it has number {number}, not {other}; leave the number, or add {number} to {retired_key}"
                )),
                _ => self.0.push(format!(
                    "{key}.{name}: it is gone; to have what is stored of it not shown any more, add {number} to \
                     {retired_key}"
                )),
            }
        }
        for number in were_retired.iter().filter(|number| !are_retired.contains(number)) {
            self.0.push(format!("{retired_key}: {number} is missing; a retired number is never used again"));
        }
    }

    fn shrunk(&mut self, key: &str, what: &str, was: u32, is: u32) {
        if is < was {
            self.0.push(format!(
                "{key}.{what}: it is {was}, and what is stored may be as long; do not lower it"
            ));
        }
    }

    fn fields(&mut self, key: &str, (old, were): (&[Field], &[u8]), (new, are): (&[Field], &[u8])) {
        let names = |fields: &[Field]| {
            fields.iter().map(|field| (field.number, field.name.to_string())).collect::<Vec<_>>()
        };
        let of = format!("{key}.fields");
        self.names(&of, &format!("{key}.retired"), (were, are), &names(old), &names(new));
        for field in new {
            let key = format!("{of}.{}", field.name);
            let was = old.iter().find(|was| was.number == field.number && was.name == field.name);
            let Some(was) = was else {
                if field.required {
                    self.0.push(format!(
                        "{key}.required: what is stored does not have it; a new field cannot be required"
                    ));
                }
                continue;
            };
            if was.holds != field.holds {
                self.0.push(format!(
                    "{key}.type: it is \"{}\", and what is stored could not be read as \"{}\"; retire number {} and \
                     take a new field",
                    was.holds.name(),
                    field.holds.name(),
                    field.number
                ));
                continue;
            }
            if field.required && !was.required {
                self.0.push(format!("{key}.required: what is stored may not have it; leave it false"));
            }
            self.shrunk(&key, "max", was.max, field.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"
[object.user]
number = 1
retired = [9]
fields.name = { number = 1, type = "text", required = true, max = 100 }
fields.age = { number = 2, type = "int" }
[object.post]
number = 2
[association.likes]
number = 1
inverse = "liked_by"
[association.liked_by]
number = 2
inverse = "likes"
[association.blocks]
number = 3
[retired]
objects = [7]
"#;

    /// What would be lost if `from` became `to` in the schema above.
    fn lost(changes: &[(&str, &str)]) -> Vec<String> {
        let mut text = OLD.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        Schema::parse(&text).unwrap().losses(&Schema::parse(OLD).unwrap())
    }

    #[test]
    fn nothing_is_lost_by_growing() {
        let nothing: [&str; 0] = [];
        assert_eq!(lost(&[]), nothing);
        assert_eq!(lost(&[("max = 100", "max = 200"), ("required = true, ", "")]), nothing);
        assert_eq!(
            lost(&[("[object.post]", "fields.new = { number = 3, type = \"bytes\" }\n[object.post]")]),
            nothing
        );
        assert_eq!(
            lost(&[(
                "[retired]",
                "[object.page]\nnumber = 3\nfields.a = { number = 1, type = \"int\", required = true }\n[retired]"
            )]),
            nothing
        );
        assert_eq!(lost(&[("number = 3", "number = 3\nrange_max = 5")]), nothing);
    }

    #[test]
    fn nothing_is_lost_by_retiring() {
        let nothing: [&str; 0] = [];
        let age = "fields.age = { number = 2, type = \"int\" }\n";
        assert_eq!(lost(&[(age, ""), ("[9]", "[9, 2]")]), nothing);
        // The name begins anew.
        assert_eq!(
            lost(&[("number = 2, type = \"int\"", "number = 3, type = \"text\""), ("[9]", "[9, 2]")]),
            nothing
        );
        assert_eq!(
            lost(&[("[object.post]\nnumber = 2\n", ""), ("objects = [7]", "objects = [7, 2]")]),
            nothing
        );
    }

    #[test]
    fn each_loss_is_named_with_advice() {
        for (changes, wanted) in [
            (
                &[("fields.age = { number = 2, type = \"int\" }\n", "")][..],
                "object.user.fields.age: it is gone",
            ),
            (
                &[("[object.post]\nnumber = 2\n", "")],
                "object.post: it is gone; to have what is stored of it not shown any more, add 2 to retired.objects",
            ),
            (&[("fields.age", "fields.years")], "object.user.fields.years: number 2 is `age` already"),
            (
                &[("age = { number = 2", "age = { number = 3")],
                "object.user.fields.age: it has number 2, not 3",
            ),
            (&[("[object.post]", "[object.entry]")], "object.entry: number 2 is `post` already"),
            (&[("type = \"int\"", "type = \"real\"")], "object.user.fields.age.type: it is \"int\""),
            (
                &[("type = \"int\"", "type = \"int\", required = true")],
                "object.user.fields.age.required: what is stored may not",
            ),
            (
                &[(
                    "[object.post]",
                    "fields.b = { number = 3, type = \"int\", required = true }\n[object.post]",
                )],
                "object.user.fields.b.required: what is stored does not",
            ),
            (&[("max = 100", "max = 99")], "object.user.fields.name.max: it is 100"),
            (&[("[object.post]", "[object.post]\ndata_max = 1000")], "object.post.data_max: it is 65536"),
            (
                &[("number = 3", "number = 3\ninverse = \"same\"")],
                "association.blocks.inverse: it is \"none\"",
            ),
            (&[("[9]", "[]")], "object.user.retired: 9 is missing"),
            (&[("objects = [7]", "objects = []")], "retired.objects: 7 is missing"),
        ] {
            let told = lost(changes);
            assert!(told.len() == 1 && told[0].starts_with(wanted), "{changes:?}: {told:#?}");
        }
    }

    #[test]
    fn a_retired_number_and_a_moved_inverse_are_seen_together() {
        let told =
            lost(&[("inverse = \"liked_by\"", ""), ("inverse = \"likes\"", ""), ("max = 100", "max = 9")]);
        assert_eq!(told.len(), 3, "{told:#?}");
    }
}
