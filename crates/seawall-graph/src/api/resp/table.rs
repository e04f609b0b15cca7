//! The graph's commands: their names, and what tools are told of them.

use seawall_net::resp::{Argument, Kind, NAME_MAX, Order, Spec, folded};
use seawall_policy::priority::Priority;

/// Which command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `OBJ.GET`
    ObjGet,
    /// `OBJ.MGET`
    ObjMGet,
    /// `OBJ.ADD`
    ObjAdd,
    /// `OBJ.UPDATE`
    ObjUpdate,
    /// `OBJ.DELETE`
    ObjDelete,
    /// `ASSOC.RANGE`
    AssocRange,
    /// `ASSOC.TIMERANGE`
    AssocTimeRange,
    /// `ASSOC.GET`
    AssocGet,
    /// `ASSOC.COUNT`
    AssocCount,
    /// `ASSOC.ADD`
    AssocAdd,
    /// `ASSOC.DELETE`
    AssocDelete,
    /// `ASSOC.CHANGETYPE`
    AssocChangeType,
    /// `TICKET`
    Ticket,
    /// `GRAPH.VERSION`
    GraphVersion,
    /// `GRAPH.SCHEMA`
    GraphSchema,
}

impl Verb {
    /// By its name, in whatever case.
    #[inline]
    #[must_use]
    pub fn find(name: &[u8]) -> Option<Verb> {
        let mut room = [0; NAME_MAX];
        Some(match folded(name, &mut room)? {
            b"obj.get" => Verb::ObjGet,
            b"assoc.range" => Verb::AssocRange,
            b"assoc.get" => Verb::AssocGet,
            b"assoc.count" => Verb::AssocCount,
            b"assoc.timerange" => Verb::AssocTimeRange,
            b"obj.mget" => Verb::ObjMGet,
            b"obj.add" => Verb::ObjAdd,
            b"obj.update" => Verb::ObjUpdate,
            b"obj.delete" => Verb::ObjDelete,
            b"assoc.add" => Verb::AssocAdd,
            b"assoc.delete" => Verb::AssocDelete,
            b"assoc.changetype" => Verb::AssocChangeType,
            b"ticket" => Verb::Ticket,
            b"graph.version" => Verb::GraphVersion,
            b"graph.schema" => Verb::GraphSchema,
            _ => return None,
        })
    }

    /// What is known of it.
    #[inline]
    #[must_use]
    pub fn spec(self) -> &'static Spec {
        &SPECS[self as usize]
    }

    /// Whether it asks for something that may be in memory or not.
    #[must_use]
    pub(super) fn is_read(self) -> bool {
        match self {
            Verb::ObjGet
            | Verb::ObjMGet
            | Verb::AssocRange
            | Verb::AssocTimeRange
            | Verb::AssocGet
            | Verb::AssocCount
            | Verb::GraphVersion => true,
            Verb::ObjAdd
            | Verb::ObjUpdate
            | Verb::ObjDelete
            | Verb::AssocAdd
            | Verb::AssocDelete
            | Verb::AssocChangeType
            | Verb::Ticket
            | Verb::GraphSchema => false,
        }
    }
}

const READ: Spec = Spec { group: "graph", flags: &["readonly", "fast"], keys: Some((1, 1, 1)), ..Spec::NONE };
const WRITE: Spec = Spec {
    group: "graph",
    flags: &["write"],
    keys: Some((1, 1, 1)),
    priority: Priority::P1,
    order: Order::Write,
    ..Spec::NONE
};

const ID: Argument = Argument::new("id", Kind::Integer);
const IDS: Argument = ID.many();
const ID1: Argument = Argument::new("id1", Kind::Integer);
const ID2: Argument = Argument::new("id2", Kind::Integer);
const TYPE: Argument = Argument::new("type", Kind::Text);
const LIMIT: Argument = Argument::new("limit", Kind::Integer);
const KEY: Argument = Argument::option("idempotency-key", "KEY", Kind::Text);
const CRITICAL: Argument = Argument::flag("critical", "CRITICAL");
const WITH_DATA: Argument = Argument::flag("withdata", "WITHDATA");
const PAIR: &[Argument] = &[Argument::new("name", Kind::Text), Argument::new("value", Kind::Text)];
const FIELDS: Argument = Argument {
    token: Some("FIELDS"),
    is_optional: true,
    is_multiple: true,
    parts: PAIR,
    ..Argument::new("fields", Kind::Block)
};
const UNSET: Argument = Argument {
    token: Some("UNSET"),
    is_optional: true,
    parts: &[
        Argument::new("count", Kind::Integer),
        Argument { is_multiple: true, ..Argument::new("name", Kind::Text) },
    ],
    ..Argument::new("unset", Kind::Block)
};
const HOME: Argument = Argument {
    is_optional: true,
    parts: &[
        Argument { token: Some("NEAR"), ..Argument::new("near", Kind::Integer) },
        Argument { token: Some("ID"), ..Argument::new("exactly", Kind::Integer) },
    ],
    ..Argument::new("home", Kind::OneOf)
};
const PLACE: Argument = Argument {
    parts: &[
        Argument { token: Some("FOLLOWER"), ..Argument::new("follower", Kind::Token) },
        Argument { token: Some("LEADER"), ..Argument::new("leader", Kind::Token) },
        Argument { token: Some("SOURCE"), ..Argument::new("source", Kind::Token) },
    ],
    ..Argument::new("place", Kind::OneOf)
};
const WHAT: Argument = Argument {
    parts: &[
        Argument { token: Some("OBJ"), parts: &[ID], ..Argument::new("object", Kind::Block) },
        Argument { token: Some("LIST"), parts: &[ID1, TYPE], ..Argument::new("list", Kind::Block) },
    ],
    ..Argument::new("what", Kind::OneOf)
};

/// In the order of [`Verb`].
pub const SPECS: &[Spec] = &[
    Spec {
        name: "obj.get",
        summary: "An object: its type, its version and its fields",
        arity: -2,
        arguments: &[ID, CRITICAL],
        ..READ
    },
    Spec {
        name: "obj.mget",
        summary: "Several objects, in the order asked for",
        complexity: "O(N) where N is the number of ids",
        arity: -2,
        keys: Some((1, -1, 1)),
        arguments: &[IDS],
        ..READ
    },
    Spec {
        name: "obj.add",
        summary: "Makes an object; its id",
        arity: -2,
        keys: None,
        arguments: &[TYPE, HOME, KEY, FIELDS],
        ..WRITE
    },
    Spec {
        name: "obj.update",
        summary: "Gives fields of an object a value, or takes it away; its version",
        arity: -2,
        arguments: &[ID, Argument::option("version", "IFVERSION", Kind::Integer), KEY, UNSET, FIELDS],
        ..WRITE
    },
    Spec {
        name: "obj.delete",
        summary: "Deletes an object; its associations stay",
        arity: -2,
        arguments: &[ID, KEY],
        ..WRITE
    },
    Spec {
        name: "assoc.range",
        summary: "Associations of a list, newest first, from a position on",
        complexity: "O(N) where N is the limit",
        arity: -5,
        arguments: &[ID1, TYPE, Argument::new("pos", Kind::Integer), LIMIT, WITH_DATA, CRITICAL],
        ..READ
    },
    Spec {
        name: "assoc.timerange",
        summary: "Associations of a list within two times, newest first",
        complexity: "O(log(M)+N) where M is the list's length and N the limit",
        arity: -6,
        arguments: &[
            ID1,
            TYPE,
            Argument::new("high", Kind::Integer),
            Argument::new("low", Kind::Integer),
            LIMIT,
            WITH_DATA,
            CRITICAL,
        ],
        ..READ
    },
    Spec {
        name: "assoc.get",
        summary: "Those of the named associations that there are, with their fields",
        complexity: "O(N) where N is the number of ends named",
        arity: -4,
        arguments: &[
            ID1,
            TYPE,
            ID2.many(),
            Argument::option("high", "HIGH", Kind::Integer),
            Argument::option("low", "LOW", Kind::Integer),
            CRITICAL,
        ],
        ..READ
    },
    Spec {
        name: "assoc.count",
        summary: "How many associations a list has",
        arity: -3,
        arguments: &[ID1, TYPE, CRITICAL],
        ..READ
    },
    Spec {
        name: "assoc.add",
        summary: "Makes an association and its inverse, or overwrites them",
        arity: -4,
        arguments: &[ID1, TYPE, ID2, Argument::option("time", "TIME", Kind::Integer), KEY, FIELDS],
        ..WRITE
    },
    Spec {
        name: "assoc.delete",
        summary: "Deletes an association and its inverse",
        arity: -4,
        arguments: &[ID1, TYPE, ID2, KEY],
        ..WRITE
    },
    Spec {
        name: "assoc.changetype",
        summary: "Makes an association, and its inverse, one of another type",
        arity: -5,
        arguments: &[ID1, TYPE, ID2, Argument::new("newtype", Kind::Text), KEY],
        ..WRITE
    },
    Spec {
        name: "ticket",
        summary: "What this connection wrote, to be read elsewhere; or takes over what another wrote",
        arity: -1,
        group: "graph",
        flags: &["fast"],
        arguments: &[Argument { is_optional: true, ..Argument::new("ticket", Kind::Text) }],
        order: Order::Alone,
        ..Spec::NONE
    },
    Spec {
        name: "graph.version",
        summary: "The version one place knows of an object or a list",
        arity: -4,
        keys: Some((3, 3, 1)),
        flags: &["readonly"],
        arguments: &[PLACE, WHAT],
        priority: Priority::P3,
        ..READ
    },
    Spec { name: "graph.schema", summary: "The schema as TOML", keys: None, ..READ },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_found_in_its_place_of_the_table() {
        for spec in SPECS {
            let found = Verb::find(spec.name.to_uppercase().as_bytes()).unwrap();
            assert_eq!(found.spec().name, spec.name);
            assert_eq!(spec.flags.contains(&"write"), spec.order == Order::Write, "{}", spec.name);
            assert!(spec.name.len() <= NAME_MAX);
        }
        assert_eq!(Verb::find(b"get"), None);
    }
}
