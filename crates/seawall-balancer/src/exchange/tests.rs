//! The decisions as tables, without a socket and without a clock.

use std::net::SocketAddr;

use http::HeaderValue;
use seawall_net::telemetry::Scope;
use seawall_policy::breaker::Trip;
use seawall_policy::probe;
use seawall_policy::retry::Attempt;

use super::*;
use crate::config::Route;
use crate::table::Known;

const NOW: Mono = Mono(1_000_000_000);
const DEADLINE: Mono = Mono(11_000_000_000);

fn addr(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn after(ms: u64) -> Mono {
    NOW + Duration::from_millis(ms)
}

/// A balancer for `one.test`, whose backends 1 to `n` are all up.
fn balancer_with(n: u16, change: impl FnOnce(&mut Config)) -> (Balancer, Scope) {
    let route = |host: &str, backends: Vec<SocketAddr>| Route {
        host: host.to_owned(),
        service: backends.is_empty().then(|| "nobody".to_owned()),
        backends,
        ..Route::default()
    };
    let routes = vec![route("one.test", (1..=n).map(addr).collect()), route("empty.test", Vec::new())];
    let mut config = Config { route: routes, ..Config::default() };
    change(&mut config);
    assert_eq!(config.check(), [] as [&str; 0]);
    let table = Known::new().table(&Arc::new(config), NOW);
    for backend in &table.pools[0].members {
        backend.checked(&probe::Policy::fast(), Ok(()));
    }
    let scope = Scope::new("balancer");
    (Balancer::new(table, Metrics::new(&scope), 7), scope)
}

fn balancer(n: u16) -> (Balancer, Scope) {
    balancer_with(n, |_| {})
}

/// What becomes of one try.
#[derive(Debug, Clone, Copy)]
enum Met {
    Status(u16),
    /// A status, with one header.
    With(u16, &'static str),
    /// No connection.
    Refused,
    /// No connection in time.
    NoConnection,
    /// The connection broke before an answer.
    Broke,
    /// No answer in time.
    Late,
}

/// What the client gets: a backend's status, or the code of ours.
#[derive(Debug, PartialEq)]
enum Got {
    Status(u16),
    Problem(u16, &'static str),
}

struct Call {
    method: Method,
    host: &'static str,
    headers: HeaderMap,
    replayable: bool,
    attempt: Attempt,
}

impl Call {
    fn of(method: Method) -> Call {
        let (host, headers) = ("one.test", HeaderMap::new());
        Call { method, host, headers, replayable: true, attempt: Attempt::FIRST }
    }

    fn get() -> Call {
        Call::of(Method::GET)
    }

    fn keyed(method: Method) -> Call {
        let mut call = Call::of(method);
        call.headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("k"));
        call
    }

    /// The second try of somebody above.
    fn retry() -> Call {
        Call { attempt: Attempt::FIRST.next(), ..Call::get() }
    }

    fn begin(&self, b: &Balancer, now: Mono) -> Next<Held> {
        let head = Head {
            method: &self.method,
            path: "/x",
            query: None,
            host: self.host,
            headers: &self.headers,
            peer: addr(9),
            attempt: self.attempt,
            deadline: DEADLINE,
        };
        b.on_head(&head, now, &mut Out::default())
    }

    /// Runs it to its end against what each try meets; returns the answer and the backends asked in turn.
    fn run(&self, b: &Balancer, met: &[Met]) -> (Got, Vec<u16>) {
        let mut met = met.iter();
        self.run_by(b, |_| *met.next().expect("one try more than expected"))
    }

    fn run_by(&self, b: &Balancer, mut meets: impl FnMut(u16) -> Met) -> (Got, Vec<u16>) {
        let (mut target, mut held) = match self.begin(b, NOW) {
            Next::Forward(target, held) => (target, held),
            Next::Refuse(p) => return (Got::Problem(p.status.as_u16(), p.code), Vec::new()),
            Next::Replied | Next::General | Next::Upgrade(_) => panic!("neither forwarded nor refused"),
        };
        let mut asked = Vec::new();
        loop {
            asked.push(target.addr.port());
            let met = meets(target.addr.port());
            let (step, status) = self.step(b, &mut held, met);
            match step {
                Step::Go => {
                    let status = status.expect("an answer to pass on");
                    b.on_end(held, Finish::Done(status), NOW);
                    return (Got::Status(status.as_u16()), asked);
                }
                Step::Retry(next, _) => target = next,
                Step::Give(p) => {
                    b.on_end(held, Finish::Abandoned, NOW);
                    return (Got::Problem(p.status.as_u16(), p.code), asked);
                }
            }
        }
    }

    fn step(&self, b: &Balancer, held: &mut Held, met: Met) -> (Step, Option<StatusCode>) {
        let mut headers = HeaderMap::new();
        let replayable = self.replayable;
        let failed = |outcome, reached| Upstream::Failed { outcome, reached, replayable };
        let mut answer = None;
        let mut with = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            answer = Some(status);
            status
        };
        let event = match met {
            Met::Status(status) => Upstream::Head { status: with(status), headers: &headers, replayable },
            Met::With(status, header) => {
                headers.insert(header, HeaderValue::from_static("1"));
                Upstream::Head { status: with(status), headers: &headers, replayable }
            }
            Met::Refused => failed(Outcome::Unreachable, false),
            Met::NoConnection => failed(Outcome::Timeout, false),
            Met::Broke => failed(Outcome::Unreachable, true),
            Met::Late => failed(Outcome::Timeout, true),
        };
        (b.on_upstream(held, event, NOW), answer)
    }
}

fn in_flight(b: &Balancer) -> usize {
    b.table().pools[0].members.iter().map(|m| m.in_flight()).sum()
}

#[test]
fn what_the_client_gets_and_how_many_backends_were_asked() {
    use Got::{Problem, Status};
    use Met::{Broke, Late, NoConnection, Refused, With};
    let post = || Call::of(Method::POST);
    let once = || Call { replayable: false, ..Call::get() };
    let ok = Met::Status(200);
    let s = Met::Status;
    for (n, call, met, got, asked) in [
        (3, Call::get(), &[ok][..], Status(200), 1),
        // A refusal that is the client's own is an answer like any other.
        (3, Call::get(), &[s(404)], Status(404), 1),
        (3, Call::get(), &[s(429)], Status(429), 1),
        (3, Call::get(), &[s(500)], Status(500), 1),
        // Repeated on another backend.
        (3, Call::get(), &[s(502), ok], Status(200), 2),
        (3, Call::get(), &[s(503), s(504), ok], Status(200), 3),
        (3, Call::get(), &[With(503, "retry-after"), ok], Status(200), 2),
        (3, Call::get(), &[Refused, ok], Status(200), 2),
        (3, Call::get(), &[NoConnection, ok], Status(200), 2),
        (3, Call::get(), &[Broke, ok], Status(200), 2),
        (3, Call::get(), &[Late, ok], Status(200), 2),
        (3, Call::of(Method::HEAD), &[Broke, ok], Status(200), 2),
        (3, Call::of(Method::OPTIONS), &[Broke, ok], Status(200), 2),
        (3, Call::of(Method::PUT), &[Broke, ok], Status(200), 2),
        (3, Call::of(Method::DELETE), &[Broke, ok], Status(200), 2),
        (3, Call::keyed(Method::POST), &[Broke, ok], Status(200), 2),
        (3, Call::keyed(Method::PATCH), &[s(503), ok], Status(200), 2),
        // Without a key a POST may happen once; a connection that was never made is no time at all.
        (3, post(), &[Broke], Problem(502, "bad_gateway"), 1),
        (3, post(), &[Late], Problem(504, "upstream_timeout"), 1),
        (3, post(), &[s(503)], Status(503), 1),
        (3, post(), &[Refused, ok], Status(200), 2),
        (3, post(), &[NoConnection, Broke], Problem(502, "bad_gateway"), 2),
        (3, Call::of(Method::from_bytes(b"BREW").unwrap()), &[Broke], Problem(502, "bad_gateway"), 1),
        // A body that is gone cannot be sent again.
        (3, once(), &[Broke], Problem(502, "bad_gateway"), 1),
        (3, once(), &[Refused], Problem(502, "bad_gateway"), 1),
        (3, once(), &[s(503)], Status(503), 1),
        // The backend knows better.
        (3, Call::get(), &[With(503, NO_RETRY)], Status(503), 1),
        // Three retries of a connection, two of a bad answer, one of none; each kind counts for itself.
        (9, Call::get(), &[Refused, Refused, Refused, Refused], Problem(502, "bad_gateway"), 4),
        (9, Call::get(), &[s(502), s(503), s(504)], Status(504), 3),
        (9, Call::get(), &[Late, Late], Problem(504, "upstream_timeout"), 2),
        (9, Call::get(), &[Refused, Late, s(503), Refused, s(503), ok], Status(200), 6),
        // The last failure decides, and a backend's own words are better than ours.
        (9, Call::get(), &[Broke, Late, s(503), s(503)], Status(503), 4),
        (9, Call::get(), &[s(503), s(503), Broke], Problem(502, "bad_gateway"), 3),
        (9, Call::get(), &[Refused, Late, Late], Problem(504, "upstream_timeout"), 3),
        (9, Call::get(), &[Refused, Refused, Refused, NoConnection], Problem(504, "upstream_timeout"), 4),
        // Somebody above retries already.
        (9, Call::retry(), &[Broke], Problem(502, "bad_gateway"), 1),
        (9, Call::retry(), &[Refused], Problem(502, "bad_gateway"), 1),
        (9, Call::retry(), &[s(503)], Status(503), 1),
        // Nobody is asked twice, except when no connection was made: then once more, anybody.
        (1, Call::get(), &[Broke], Problem(502, "bad_gateway"), 1),
        (1, Call::get(), &[s(503)], Status(503), 1),
        (2, Call::get(), &[Broke, Broke], Problem(502, "bad_gateway"), 2),
        (1, Call::get(), &[Refused, ok], Status(200), 2),
        (1, Call::get(), &[Refused, Refused], Problem(502, "bad_gateway"), 2),
        (2, Call::get(), &[Refused, Refused, ok], Status(200), 3),
        (2, post(), &[Refused, Refused, ok], Status(200), 3),
    ] {
        let (b, _) = balancer(n);
        let what = format!("{} of {n} meets {met:?}", call.method);
        let (answer, backends) = call.run(&b, met);
        assert_eq!((answer, backends.len()), (got, asked), "{what}");
        assert_eq!(in_flight(&b), 0, "{what}");
        let mut distinct = backends.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), asked.min(usize::from(n)), "{what}: {backends:?}");
    }
}

#[test]
fn what_is_refused_without_asking_anybody() {
    let (b, scope) = balancer(1);
    for (call, got) in [
        (Call { host: "two.test", ..Call::get() }, Got::Problem(404, "no_route")),
        (Call { host: "", ..Call::get() }, Got::Problem(404, "no_route")),
        (Call { host: "empty.test", ..Call::get() }, Got::Problem(503, "no_backends")),
        (Call::of(Method::TRACE), Got::Problem(405, "method_not_allowed")),
    ] {
        assert_eq!(call.run(&b, &[]), (got, Vec::new()));
    }
    assert_eq!(problem(Answer::NoBackends).retry_after, Some(1));
    let text = scope.encode();
    assert!(text.contains("seawall_balancer_requests_total{outcome=\"NoRoute\"} 2"), "{text}");
}

#[test]
fn a_host_is_matched_without_regard_to_case() {
    let (b, _) = balancer(1);
    assert_eq!(Call { host: "ONE.Test", ..Call::get() }.run(&b, &[Met::Status(200)]).0, Got::Status(200));
}

#[test]
fn another_backend_is_asked_at_once_and_the_same_one_after_a_pause() {
    let (b, _) = balancer_with(2, |c| c.retry.jitter = retry::Jitter::None);
    let call = Call::get();
    let Next::Forward(first, mut held) = call.begin(&b, NOW) else { panic!("refused") };
    assert_eq!((first.connect.as_secs(), first.respond.as_secs(), first.keep_body), (1, 3, true));
    let (Step::Retry(second, pause), _) = call.step(&b, &mut held, Met::Refused) else { panic!("no retry") };
    assert!(second.addr != first.addr && pause.is_zero());
    let (Step::Retry(_, pause), _) = call.step(&b, &mut held, Met::Refused) else { panic!("no retry") };
    assert_eq!(pause, Duration::from_millis(200), "the second wait of 100 ms doubling");
    b.on_end(held, Finish::Abandoned, NOW);
}

#[test]
fn the_try_after_one_that_was_late_has_half_as_much_time_again() {
    let (b, _) = balancer(3);
    let call = Call::get();
    let Next::Forward(first, mut held) = call.begin(&b, NOW) else { panic!("refused") };
    let (Step::Retry(refused, _), _) = call.step(&b, &mut held, Met::Refused) else { panic!("no retry") };
    let (Step::Retry(second, _), _) = call.step(&b, &mut held, Met::Late) else { panic!("no retry") };
    assert_eq!([first, refused, second].map(|target| target.respond.as_millis()), [3_000, 3_000, 4_500]);
    b.on_end(held, Finish::Abandoned, NOW);
}

#[test]
fn no_try_begins_after_the_deadline() {
    let (b, _) = balancer(3);
    let call = Call::get();
    for (now, again) in [(after(9_000), true), (after(10_000), false)] {
        let Next::Forward(_, mut held) = call.begin(&b, NOW) else { panic!("refused") };
        let late = Upstream::Failed { outcome: Outcome::Timeout, reached: true, replayable: true };
        let step = b.on_upstream(&mut held, late, now);
        assert_eq!(matches!(step, Step::Retry(..)), again, "{step:?}");
        b.on_end(held, Finish::Abandoned, now);
    }
}

#[test]
fn an_answer_that_is_final_stays_so_when_it_breaks_off() {
    let (b, _) = balancer(2);
    let call = Call::get();
    let Next::Forward(_, mut held) = call.begin(&b, NOW) else { panic!("refused") };
    assert!(matches!(call.step(&b, &mut held, Met::With(503, NO_RETRY)).0, Step::Go));
    assert!(matches!(call.step(&b, &mut held, Met::Broke).0, Step::Give(_)));
    b.on_end(held, Finish::Abandoned, NOW);
}

#[test]
fn with_a_single_try_no_body_is_kept() {
    let (b, _) = balancer_with(2, |c| {
        (c.retry.attempts, c.retry_connect.attempts, c.retry_timeout.attempts) = (1, 1, 1);
    });
    let Next::Forward(target, held) = Call::keyed(Method::POST).begin(&b, NOW) else { panic!("refused") };
    assert!(!target.keep_body);
    b.on_end(held, Finish::Abandoned, NOW);
    assert_eq!(Call::get().run(&b, &[Met::Broke]).0, Got::Problem(502, "bad_gateway"));
}

#[test]
fn a_good_head_with_a_bad_body_is_tried_elsewhere() {
    let (b, _) = balancer(2);
    let call = Call::get();
    let Next::Forward(first, mut held) = call.begin(&b, NOW) else { panic!("refused") };
    assert!(matches!(call.step(&b, &mut held, Met::Status(200)).0, Step::Go));
    let (Step::Retry(second, _), _) = call.step(&b, &mut held, Met::Broke) else { panic!("no retry") };
    assert_ne!(first.addr, second.addr);
    assert_eq!(in_flight(&b), 1);
    b.on_end(held, Finish::Done(StatusCode::OK), NOW);
    let failures: u64 = b.table().pools[0].members.iter().map(|m| m.failures()).sum();
    assert_eq!((in_flight(&b), failures), (0, 1));
}

#[test]
fn a_client_that_leaves_gives_its_place_and_its_probe_back() {
    let (b, scope) = balancer(1);
    for _ in 0..100 {
        let Next::Forward(_, held) = Call::get().begin(&b, NOW) else { panic!("refused") };
        assert_eq!(in_flight(&b), 1);
        b.on_end(held, Finish::Abandoned, NOW);
    }
    assert_eq!(in_flight(&b), 0);
    assert_eq!(b.table().pools[0].members[0].breaker_state(NOW).as_str(), "closed");
    assert!(scope.encode().contains("requests_total{outcome=\"Abandoned\"} 100"));
}

#[test]
fn half_of_twenty_answers_bad_leave_a_backend_alone() {
    let (b, scope) = balancer(2);
    // Backend 1 answers 500, which is never tried again; the other one is well.
    let meets = |port| if port == 1 { Met::Status(500) } else { Met::Status(200) };
    let asked: Vec<u16> = (0..200).flat_map(|_| Call::get().run_by(&b, meets).1).collect();
    let at_first = asked.iter().filter(|port| **port == 1).count();
    assert_eq!(at_first, 20, "as many as the breaker needs to judge");
    assert!(scope.encode().contains("breaker_trips_total 1"));
}

#[test]
fn with_every_breaker_open_everyone_is_asked() {
    let (b, _) = balancer(2);
    for _ in 0..100 {
        Call::get().run_by(&b, |_| Met::Status(500));
    }
    let states: Vec<&str> =
        b.table().pools[0].members.iter().map(|m| m.breaker_state(NOW).as_str()).collect();
    assert_eq!(states, ["open", "open"]);
    assert_eq!(Call::get().run(&b, &[Met::Status(200)]).0, Got::Status(200));
}

#[test]
fn a_backend_that_refuses_is_met_by_one_request() {
    let (b, scope) = balancer(2);
    let meets = |port| if port == 1 { Met::Refused } else { Met::Status(200) };
    let runs: Vec<(Got, Vec<u16>)> = (0..100).map(|_| Call::get().run_by(&b, meets)).collect();
    assert!(runs.iter().all(|(got, _)| *got == Got::Status(200)));
    assert_eq!(runs.iter().flat_map(|(_, asked)| asked).filter(|port| **port == 1).count(), 1);
    let text = scope.encode();
    assert!(
        text.contains("ejections_total 1") && text.contains("retries_total{reason=\"Connect\"} 1"),
        "{text}"
    );
}

/// Three backends whose breakers judge nothing, so that only the budget holds back.
fn balancer_without_breakers() -> (Balancer, Scope) {
    balancer_with(3, |c| c.breaker.trip = vec![Trip::External])
}

#[test]
fn while_everything_fails_retries_are_a_fifth_of_the_requests_and_ten_a_second() {
    let (b, scope) = balancer_without_breakers();
    let tries: usize = (0..10_000).map(|_| Call::get().run_by(&b, |_| Met::Status(502)).1.len()).sum();
    // All within one window of 10 s, whose floor is 100 and 3.
    assert_eq!(tries, 10_000 + 2_000 + 103);
    assert!(scope.encode().contains("retry_budget_exhausted_total"));
}

#[test]
fn too_busy_costs_double() {
    let (b, _) = balancer_without_breakers();
    let busy = |_| Met::With(503, "retry-after");
    let tries: usize = (0..10_000).map(|_| Call::get().run_by(&b, busy).1.len()).sum();
    assert_eq!(tries, 10_000 + 1_000 + 51);
}

#[test]
fn open_breakers_leave_nobody_to_retry_at() {
    let (b, _) = balancer(3);
    let tries: usize = (0..10_000).map(|_| Call::get().run_by(&b, |_| Met::Status(502)).1.len()).sum();
    assert!(tries <= 10_000 + 3 * 20, "{tries}: only while the three were being judged");
}

#[test]
fn a_request_works_with_the_table_it_began_with() {
    let (b, _) = balancer(2);
    let call = Call::get();
    let Next::Forward(_, mut held) = call.begin(&b, NOW) else { panic!("refused") };
    b.replace(Known::new().table(&Arc::new(Config { route: Vec::new(), ..Config::default() }), NOW));
    assert_eq!(call.run(&b, &[]).0, Got::Problem(404, "no_route"));
    assert!(matches!(call.step(&b, &mut held, Met::Broke).0, Step::Retry(..)));
    b.on_end(held, Finish::Done(StatusCode::OK), NOW);
}

#[test]
fn sixty_four_requests_spread_evenly() {
    let (b, _) = balancer(4);
    let held: Vec<Held> = (0..64)
        .map(|_| match Call::get().begin(&b, NOW) {
            Next::Forward(_, held) => held,
            _ => panic!("refused"),
        })
        .collect();
    let loads: Vec<usize> = b.table().pools[0].members.iter().map(|m| m.in_flight()).collect();
    assert!(loads.iter().all(|n| (14..=18).contains(n)), "{loads:?}");
    held.into_iter().for_each(|h| b.on_end(h, Finish::Abandoned, NOW));
}
