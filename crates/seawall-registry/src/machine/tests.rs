//! The machine's promises: replay, indexes, all-or-nothing.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::read::{Instances, Read, look};

pub(crate) fn node(name: &str) -> NodeSpec {
    NodeSpec {
        name: name.into(),
        id: String::new(),
        address: "10.0.0.1".into(),
        datacenter: "dc1".into(),
        tagged: BTreeMap::new(),
        meta: BTreeMap::new(),
    }
}

pub(crate) fn web(id: &str) -> ServiceSpec {
    ServiceSpec {
        id: id.into(),
        name: "web".into(),
        tags: Vec::new(),
        address: String::new(),
        port: 80,
        socket_path: String::new(),
        meta: BTreeMap::new(),
        tagged: BTreeMap::new(),
        weights: Weights { passing: 1, warning: 1 },
        enable_tag_override: false,
        kind: String::new(),
    }
}

pub(crate) fn check(id: &str, service: &str) -> CheckSpec {
    CheckSpec {
        id: id.into(),
        name: id.into(),
        status: Status::Critical,
        notes: String::new(),
        output: String::new(),
        service_id: service.into(),
        kind: "ttl".into(),
        ttl_ms: None,
        deregister_after_ms: None,
        definition: json!({}),
        keep: true,
    }
}

pub(crate) fn register(node: NodeSpec, service: Option<ServiceSpec>, checks: Vec<CheckSpec>) -> Command {
    let registration = Registration { node, skip_node_update: false, service, checks, replace_checks: false };
    Command::Register(Box::new(registration))
}

fn service_topic() -> Topic {
    Topic::Service("web".into())
}

fn report(id: &str, status: Status) -> Command {
    Command::Report { node: "n1".into(), id: id.into(), status, output: String::new() }
}

#[test]
fn a_service_that_never_was_has_the_lowest_index_and_each_change_raises_it() {
    let mut m = Machine::new();
    assert_eq!(m.index_of(&service_topic()), 1);
    let steps = [
        register(node("n1"), Some(web("web")), vec![check("c", "web")]),
        report("c", Status::Passing),
        register(node("n1"), None, vec![check("node-check", "")]),
        Command::DeregisterService { node: "n1".into(), id: "web".into() },
    ];
    for (index, command) in (2..).zip(&steps) {
        let (_, fx) = m.apply(index, command);
        assert_eq!(m.index_of(&service_topic()), index);
        assert!(fx.touched.contains(&Touch::Service("web".into())));
    }
}

#[test]
fn a_write_elsewhere_leaves_the_index_alone() {
    let mut m = Machine::new();
    m.apply(2, &register(node("n1"), Some(web("web")), vec![]));
    let other = ServiceSpec { name: "db".into(), ..web("db") };
    m.apply(3, &register(node("n1"), Some(other), vec![]));
    m.apply(4, &Command::Put { key: "a".into(), value: vec![1], flags: 0, cas: None });
    assert_eq!(m.index_of(&service_topic()), 2);
}

#[test]
fn registering_the_same_again_changes_nothing_and_keeps_its_health() {
    let mut m = Machine::new();
    let again = register(node("n1"), Some(web("web")), vec![check("c", "web")]);
    m.apply(2, &again);
    m.apply(3, &report("c", Status::Passing));
    let (_, fx) = m.apply(4, &again);
    assert_eq!(m.check("n1", "c").unwrap().status, Status::Passing);
    assert_eq!(m.index_of(&service_topic()), 3);
    assert!(fx.touched.is_empty());
    assert!(fx.checks.contains(&("n1".into(), "c".into())), "its lease starts afresh all the same");
}

#[test]
fn a_registration_with_a_lost_check_does_nothing_at_all() {
    let mut m = Machine::new();
    let before = m.clone();
    let (reply, fx) = m.apply(2, &register(node("n1"), None, vec![check("a", ""), check("b", "nope")]));
    assert_eq!((reply, fx), (Reply::NoService("nope".into()), Effects::default()));
    assert_eq!(m, Machine { index: 2, ..before });
}

#[test]
fn the_list_of_services_changes_with_names_and_tags_only() {
    let mut m = Machine::new();
    let tagged = |id: &str, tags: &[&str]| ServiceSpec {
        tags: tags.iter().map(|t| (*t).to_owned()).collect(),
        ..web(id)
    };
    let steps = [
        (tagged("a", &["v1"]), 2),
        (tagged("b", &["v1"]), 2),
        (tagged("b", &["v1", "v2"]), 4),
        (tagged("a", &["v2"]), 4),
        (tagged("b", &["v2"]), 6),
    ];
    for (index, (service, expected)) in (2..).zip(steps) {
        m.apply(index, &register(node("n1"), Some(service), vec![]));
        assert_eq!(m.index_of(&Topic::Services), expected, "after {index}");
    }
}

#[test]
fn a_renamed_service_leaves_its_old_name() {
    let mut m = Machine::new();
    m.apply(2, &register(node("n1"), Some(web("x")), vec![check("c", "x")]));
    let renamed = ServiceSpec { name: "shop".into(), tags: vec!["t".into()], ..web("x") };
    m.apply(3, &register(node("n1"), Some(renamed), vec![]));
    assert_eq!((m.instances_of("web").count(), m.instances_of("shop").count(), m.instances()), (0, 1, 1));
    assert_eq!(m.index_of(&service_topic()), 3);
    let check = m.check("n1", "c").unwrap();
    assert_eq!((check.service_name.as_str(), check.service_tags.len()), ("shop", 1));
}

#[test]
fn replacing_checks_removes_those_not_named() {
    let mut m = Machine::new();
    m.apply(2, &register(node("n1"), Some(web("web")), vec![check("a", "web"), check("b", "web")]));
    let Command::Register(mut again) = register(node("n1"), Some(web("web")), vec![check("b", "web")]) else {
        unreachable!()
    };
    again.replace_checks = true;
    m.apply(3, &Command::Register(again));
    assert!(m.check("n1", "a").is_none() && m.check("n1", "b").is_some());
}

#[test]
fn a_node_takes_everything_with_it() {
    let mut m = Machine::new();
    m.apply(2, &register(node("n1"), Some(web("web")), vec![check("a", "web"), check("n", "")]));
    m.apply(3, &Command::DeregisterNode { node: "n1".into() });
    assert_eq!((m.instances(), m.checks().count(), m.nodes().count()), (0, 0, 0));
    assert_eq!(m.index_of(&Topic::Node("n1".into())), 3);
    assert_eq!(m.apply(4, &Command::DeregisterNode { node: "n1".into() }).0, Reply::NoNode);
}

#[test]
fn cas_compares_the_index_of_the_last_change() {
    let mut m = Machine::new();
    let put = |value: u8, cas| Command::Put { key: "k".into(), value: vec![value], flags: 0, cas };
    let steps = [
        (put(1, Some(5)), Reply::Differs),
        (put(1, Some(0)), Reply::Done),
        (put(2, Some(0)), Reply::Differs),
        (put(2, Some(3)), Reply::Done),
        (Command::Delete { key: "k".into(), cas: Some(3) }, Reply::Differs),
        (Command::Delete { key: "k".into(), cas: Some(5) }, Reply::Done),
        (Command::Delete { key: "k".into(), cas: Some(5) }, Reply::Done),
    ];
    for (index, (command, reply)) in (2..).zip(steps) {
        assert_eq!(m.apply(index, &command).0, reply, "at {index}: {command:?}");
    }
    assert_eq!(m.kv_size(), (0, 0));
}

#[test]
fn a_state_read_back_is_the_state_that_was_written() {
    let mut m = Machine::new();
    m.apply(2, &register(node("n1"), Some(web("web")), vec![check("a", "web")]));
    m.apply(3, &Command::Put { key: "k".into(), value: vec![0, 255], flags: 7, cas: None });
    m.apply(4, &Command::Delete { key: "k".into(), cas: None });
    let back: Machine = serde_json::from_slice(&serde_json::to_vec(&m).unwrap()).unwrap();
    assert_eq!((back.fingerprint(), &back), (m.fingerprint(), &m));
}

/// Commands over few names, so that they meet.
fn command() -> impl Strategy<Value = Command> {
    let small = || 0..3u8;
    let status = prop_oneof![Just(Status::Passing), Just(Status::Warning), Just(Status::Critical)];
    let service = (small(), small(), proptest::collection::vec(small(), 0..3), small());
    let service = service.prop_map(|(id, name, tags, port)| ServiceSpec {
        name: format!("s{name}"),
        tags: tags.iter().map(|t| format!("t{t}")).collect(),
        port: u16::from(port),
        ..web(&format!("i{id}"))
    });
    let one_check =
        (small(), 0..4u8, status.clone(), any::<bool>()).prop_map(|(id, service, status, keep)| {
            let service = if service == 3 { String::new() } else { format!("i{service}") };
            CheckSpec { status, keep, ..check(&format!("c{id}"), &service) }
        });
    let node = (small(), small(), small()).prop_map(|(name, address, zone)| NodeSpec {
        address: format!("10.0.0.{address}"),
        meta: [("zone".to_owned(), zone.to_string())].into(),
        ..node(&format!("n{name}"))
    });
    let checks = proptest::collection::vec(one_check, 0..3);
    let registration = (node, any::<bool>(), proptest::option::of(service), checks, any::<bool>());
    let register = registration.prop_map(|(node, skip_node_update, service, checks, replace_checks)| {
        Command::Register(Box::new(Registration { node, skip_node_update, service, checks, replace_checks }))
    });
    let key = || (small(), small()).prop_map(|(a, b)| format!("k{a}/{b}"));
    let cas = || proptest::option::of(0..40u64);
    let on = || small().prop_map(|n| format!("n{n}"));
    prop_oneof![
        4 => register,
        1 => on().prop_map(|node| Command::DeregisterNode { node }),
        1 => (on(), small()).prop_map(|(node, i)| Command::DeregisterService { node, id: format!("i{i}") }),
        1 => (on(), small()).prop_map(|(node, c)| Command::DeregisterCheck { node, id: format!("c{c}") }),
        3 => (on(), small(), status, small()).prop_map(|(node, c, status, o)| Command::Report {
            node, id: format!("c{c}"), status, output: o.to_string(),
        }),
        1 => (on(), small(), small(), 0..40u64).prop_map(|(node, i, c, modified)| Command::Reap {
            node, service: format!("i{i}"), check: format!("c{c}"), modified,
        }),
        2 => (key(), small(), cas()).prop_map(|(key, v, cas)| Command::Put { key, value: vec![v], flags: 0, cas }),
        1 => (key(), cas()).prop_map(|(key, cas)| Command::Delete { key, cas }),
        1 => small().prop_map(|a| Command::DeleteTree { prefix: format!("k{a}/") }),
    ]
}

/// Every question there is about those few names.
fn questions() -> Vec<Read> {
    let mut all = vec![
        Read::Nodes(vec![]),
        Read::Services(vec![]),
        Read::Services(vec![("zone".into(), "1".into())]),
        Read::ChecksIn(None, vec![]),
        Read::ChecksIn(Some(Status::Critical), vec![("zone".into(), "1".into())]),
        Read::Tree(String::new()),
        Read::Keys("k".into(), "/".into()),
    ];
    for i in 0..3 {
        let of = |passing| Instances {
            name: format!("s{i}"),
            tags: vec!["t1".into()],
            passing,
            node_meta: vec![],
        };
        all.extend([
            Read::CatalogService(Instances { tags: vec![], ..of(false) }),
            Read::HealthService(of(false)),
            Read::HealthService(Instances { tags: vec![], ..of(true) }),
            Read::ServiceChecks(format!("s{i}"), vec![("zone".into(), "2".into())]),
            Read::CatalogNode(format!("n{i}")),
            Read::NodeChecks(format!("n{i}")),
            Read::Tree(format!("k{i}/")),
        ]);
        all.extend((0..3).map(|j| Read::Key(format!("k{i}/{j}"))));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What watching rests on, and what replicas rest on.
    #[test]
    fn when_an_answer_changes_its_index_grows_and_whoever_waits_is_woken(
        commands in proptest::collection::vec(command(), 1..60)
    ) {
        let questions = questions();
        let mut m = Machine::new();
        let hub = crate::watch::Hub::new(usize::MAX / 2);
        let answers = |m: &Machine| -> Vec<(u64, String)> {
            questions.iter().map(|q| (m.index_of(&q.topic()), format!("{:?}", look(m, q)))).collect()
        };
        let mut before = answers(&m);
        for (index, command) in (2..).zip(&commands) {
            let watchers: Vec<_> = questions.iter().map(|q| hub.listen(&q.topic()).unwrap()).collect();
            let (_, fx) = m.apply(index, command);
            hub.wake(&fx.touched, index);
            let after = answers(&m);
            for (((old, new), question), watcher) in before.iter().zip(&after).zip(&questions).zip(&watchers) {
                prop_assert!(new.0 >= old.0, "the index of {:?} fell from {} to {}", question, old.0, new.0);
                if old.1 != new.1 {
                    prop_assert_eq!(new.0, index, "{:?} changed by {:?}", question, command);
                    prop_assert!(watcher.is_woken(), "{:?} not woken by {:?}", question, command);
                }
            }
            before = after;
        }
    }

    #[test]
    fn the_same_commands_give_the_same_state(commands in proptest::collection::vec(command(), 1..80)) {
        let replay = || {
            let mut m = Machine::new();
            for (index, command) in (2..).zip(&commands) {
                // Through the bytes of the log, as after a restart.
                let bytes = serde_json::to_vec(command).unwrap();
                m.apply(index, &serde_json::from_slice(&bytes).unwrap());
            }
            m
        };
        let (one, two) = (replay(), replay());
        prop_assert_eq!(one.fingerprint(), two.fingerprint());
        prop_assert_eq!(one.instances(), instances_counted(&one));
        prop_assert_eq!(one.checks_count(), one.checks().count());
        let keys: u64 = one.keys("").map(|(k, e)| (k.len() + e.value.len()) as u64).sum();
        prop_assert_eq!(one.kv_size().1, keys);
    }
}

/// Instances counted the slow way.
fn instances_counted(m: &Machine) -> usize {
    m.nodes().map(|n| m.services_on(&n.name).count()).sum()
}
