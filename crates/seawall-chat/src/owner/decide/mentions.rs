//! Whom a text calls: `<@id>`, `<@!id>`, `<@&id>`, `@everyone`, `@here`, as far as `allowed_mentions` lets it.

use serde::Deserialize;
use serde_json::Value;

use crate::id::Id;

/// Everyone a text may call at once; more are not called.
const MENTIONS_MAX: usize = 100;

/// Whom a text names, each once, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Users.
    pub users: Vec<Id>,
    /// Roles.
    pub roles: Vec<Id>,
    /// `@everyone` or `@here`.
    pub everyone: bool,
}

/// Looks for them.
#[must_use]
pub fn named(text: &str) -> Named {
    let mut found =
        Named { everyone: text.contains("@everyone") || text.contains("@here"), ..Named::default() };
    for part in text.split("<@").skip(1) {
        let Some((inside, _)) = part.split_once('>') else { continue };
        let (list, digits) = match inside.strip_prefix('&') {
            Some(role) => (&mut found.roles, role),
            None => (&mut found.users, inside.strip_prefix('!').unwrap_or(inside)),
        };
        if let Ok(id) = digits.parse::<Id>()
            && !list.contains(&id)
            && list.len() < MENTIONS_MAX
        {
            list.push(id);
        }
    }
    found
}

/// Discord's `allowed_mentions`, read leniently: what is malformed allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Allowed {
    parse: Vec<String>,
    users: Vec<Id>,
    roles: Vec<Id>,
    replied_user: bool,
}

impl Allowed {
    /// As it came with a message; absent, everything is allowed.
    #[must_use]
    pub fn of(value: Option<&Value>) -> Allowed {
        match value {
            None | Some(Value::Null) => Allowed {
                parse: ["users", "roles", "everyone"].map(str::to_owned).to_vec(),
                replied_user: true,
                ..Allowed::default()
            },
            Some(value) => serde_json::from_value(value.clone()).unwrap_or_default(),
        }
    }

    /// Whether a user may be called.
    #[must_use]
    pub fn user(&self, id: Id) -> bool {
        self.any("users") || self.users.contains(&id)
    }

    /// Whether a role may be called.
    #[must_use]
    pub fn role(&self, id: Id) -> bool {
        self.any("roles") || self.roles.contains(&id)
    }

    /// Whether everyone may be called.
    #[must_use]
    pub fn everyone(&self) -> bool {
        self.any("everyone")
    }

    /// Whether the author of what is answered is called.
    #[must_use]
    pub fn replied(&self) -> bool {
        self.replied_user
    }

    fn any(&self, what: &str) -> bool {
        self.parse.iter().any(|p| p == what)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_found_once_and_in_order() {
        let found = named("<@2> <@!1> <@2> <@&9> <@x> <@ <@&> <@+3> hi");
        assert_eq!(found, Named { users: vec![Id(2), Id(1)], roles: vec![Id(9)], everyone: false });
        assert!(named("so @here").everyone);
    }

    #[test]
    fn a_wall_of_names_calls_a_hundred() {
        let text = (0..500).map(|i| format!("<@{i}>")).collect::<String>();
        assert_eq!(named(&text).users.len(), MENTIONS_MAX);
    }

    #[test]
    fn allowed_mentions_absent_allow_all_and_given_allow_what_they_list() {
        let all = Allowed::of(None);
        assert!(all.user(Id(1)) && all.role(Id(1)) && all.everyone() && all.replied());
        let none = Allowed::of(Some(&json!({ "parse": [] })));
        assert!(!none.user(Id(1)) && !none.role(Id(1)) && !none.everyone() && !none.replied());
        let one = Allowed::of(Some(&json!({ "users": ["7"], "replied_user": true })));
        assert!(one.user(Id(7)) && !one.user(Id(8)) && one.replied());
        assert_eq!(Allowed::of(Some(&json!(3))), Allowed::default());
    }
}
