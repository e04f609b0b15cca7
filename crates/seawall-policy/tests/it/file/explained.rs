//! What a policy says, in sentences.

use seawall_policy::file;

use super::contradictions::AMPLIFICATION;
use super::{CORRECTED, load};

#[test]
fn a_policy_is_explained_by_its_name_and_by_its_full_name() {
    let set = load(CORRECTED).unwrap().set;
    for name in
        ["s2-links", "breaker.s2-links", "policy.breaker.s2-links", "edge", "ladder.feed", "create-link"]
    {
        let said = set.explain(name).unwrap_or_else(|| panic!("{name}"));
        assert!(!said.is_empty() && said.iter().all(|s| s.ends_with(['.', ':'])), "{name}: {said:#?}");
    }
    assert_eq!(set.explain("nothing"), None);
    assert_eq!(set.explain("breaker.edge"), None);
    assert_eq!(set.nearest("s2-lnks"), ["s2-links"]);
    assert_eq!(set.nearest("retry.s4-discvery"), ["retry.s4-discovery"]);
}

#[test]
fn a_name_of_several_kinds_is_explained_kind_by_kind() {
    let set = load(CORRECTED).unwrap().set;
    let kinds: Vec<_> = set.find("s0-chat").iter().map(|entry| entry.full_name()).collect();
    assert_eq!(kinds, ["breaker.s0-chat", "shed.s0-chat", "ladder.s0-chat"]);
    let said = set.explain("s0-chat").unwrap();
    for kind in kinds {
        assert!(said.contains(&format!("{kind}:")), "{said:#?}");
    }
}

#[test]
fn a_call_is_explained_with_its_worst_case_and_what_a_dead_callee_sees() {
    let set = load(CORRECTED).unwrap().set;
    let said = set.explain("backend").unwrap().join("\n");
    for part in [
        "A call is given up after 10s in all, and a single try after 3s.",
        "In the worst case it takes 9s300ms: 3 tries of 9s together and 300ms of waits.",
        "At 1,000 requests a second a dead callee sees 1210 calls a second until the breaker opens.",
        "budget edge",
        "it calls redis, ranking, graph, post",
    ] {
        assert!(said.contains(part), "{part:?} is missing:\n{said}");
    }
    let said = load(AMPLIFICATION).unwrap().set.explain("client").unwrap().join("\n");
    assert!(said.contains("sees 4000 calls a second."), "{said}");
    assert!(
        said.contains("One request may become 4 × 3 × 4 = 48 calls along client → balancer → graph."),
        "{said}"
    );
    assert!(said.contains("Warning: policy.call.client.calls: use a budget at each level"), "{said}");
}

#[test]
fn sets_are_equal_when_they_say_the_same() {
    let one = load("[policy.breaker.x]\npreset = 's0-chat'\n").unwrap().set;
    let same = load("[policy.breaker.x]\nwindow = '10s'\n").unwrap().set;
    let other = load("[policy.breaker.x]\nwindow = '11s'\n").unwrap().set;
    assert_eq!(one, same);
    assert_ne!(one, other);
    assert_ne!(one, file::Set::default());
}
