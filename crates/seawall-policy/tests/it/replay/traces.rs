//! Lines in, records out.

use proptest::prelude::*;
use seawall_policy::Wall;
use seawall_policy::replay::trace::{Bad, KEYS_MAX, LINE_MAX, OUT_OF_ORDER_MAX, Reader};

use super::*;

/// Every record, and what was wrong with which line.
fn read(mut reader: Reader, lines: &[&str]) -> (Vec<Record>, Vec<(usize, Bad)>) {
    let (mut records, mut bad) = (Vec::new(), Vec::new());
    for (i, line) in lines.iter().enumerate() {
        match reader.line(line.as_bytes()) {
            Ok(record) => records.extend(record),
            Err(why) => bad.push((i + 1, why)),
        }
    }
    records.extend(std::iter::from_fn(|| reader.rest()));
    (records, bad)
}

const CSV: [&str; 5] = [
    "\u{feff}time,outcome,latency_ms",
    "# ended in this order",
    "100.5,success,20\r\n",
    "",
    "100,timeout,1500",
];

#[test]
fn the_same_calls_are_the_same_records_however_they_are_written() {
    let expected = vec![call(0, Outcome::Timeout, 1_500), call(500, Outcome::Success, 20)];
    let json = [
        r#"{"level":"info","ts":100.5,"outcome":"success","took":"20ms","x":{"y":[1,2]}}"#,
        r#"{"duration_s":1.5,"outcome":"timeout","ts":"100"}"#,
    ];
    let dates = [
        "latency,at,outcome",
        "20ms,2026-11-20T19:03:07.5Z,success",
        "1s500ms,\"2026-11-20T20:03:07+01:00\",TIMEOUT",
    ];
    let unix = [
        r#"{"time":1795201387.5,"outcome":"success","latency_ms":20}"#,
        r#"{"time":1795201387,"outcome":"timeout","latency_ms":1500}"#,
    ];
    for lines in [&CSV[..], &json, &dates, &unix] {
        assert_eq!(read(Reader::new(), lines), (expected.clone(), vec![]), "{lines:?}");
    }
}

#[test]
fn the_start_is_known_when_times_are_dates() {
    for (lines, start) in [
        (&CSV[..], None),
        (&["time,status,took_ms", "1795201387.25,200,1"][..], Some(Wall(1_795_201_387_250))),
    ] {
        let mut reader = Reader::new();
        lines.iter().for_each(|line| assert_eq!(reader.line(line.as_bytes()), Ok(None)));
        assert!(reader.rest().is_some());
        assert_eq!(reader.start(), start);
    }
}

#[test]
fn the_balancers_access_log_is_a_trace() {
    let line = |rest: &str| {
        format!(
            r#"{{"time":"2026-11-20T14:03:07.250Z","client":"::1","method":"POST","host":"a","path":"/","route":"a",{rest}}}"#
        )
    };
    let lines = [
        line(r#""status":502,"outcome":"unreachable","latency_ms":1.234,"tries":3,"backend":"127.0.0.1:1""#),
        line(r#""status":404,"outcome":"refused","latency_ms":0.0,"tries":0,"backend":null"#),
    ];
    let mut reader = Reader::by("backend");
    lines.iter().for_each(|line| assert_eq!(reader.line(line.as_bytes()), Ok(None)));
    let record = reader.rest().unwrap();
    let took = Duration::from_micros(1_234);
    let expected = Record { took, tries: 3, idempotent: false, ..call(0, Outcome::Unreachable, 0) };
    assert_eq!((record, reader.rest()), (of("127.0.0.1:1", expected), None));
    assert_eq!(reader.refused(), 1);
}

#[test]
fn each_bad_line_is_told_with_what_to_write_and_changes_nothing() {
    let long = format!("1,success,{}", "1".repeat(LINE_MAX));
    let rows = [
        "1,success,10",
        "1,success",
        "now,success,10",
        "1795201387,success,10",
        "1,fine,10",
        "1,success,soon",
        "1,success,-1",
        ",success,1",
        &long,
        "2,failed,10",
    ];
    let lines: Vec<&str> = std::iter::once(CSV[0]).chain(rows).collect();
    let (records, bad) = read(Reader::new(), &lines);
    assert_eq!(records, [call(0, Outcome::Success, 10), call(1_000, Outcome::Failed, 10)]);
    let advice = [
        "2 fields, where the header has 3",
        "time: use RFC 3339 such as",
        "time: a date, where the lines above have seconds",
        "outcome: use success, failed, timeout, unreachable, overloaded, abandoned or refused; it says \"fine\"",
        "latency: \"soon\" is not a duration",
        "latency: use a number from 0 up",
        "time: missing",
        "longer than 65536 bytes",
    ];
    assert_eq!(bad.len(), advice.len(), "{bad:#?}");
    for ((line, why), (i, advice)) in bad.iter().zip(advice.iter().enumerate()) {
        assert_eq!(*line, i + 3);
        assert!(why.to_string().starts_with(advice) && !why.is_header, "{why}");
    }
    assert_eq!(Reader::new().line(b"\xff\xfe").unwrap_err().to_string(), "not UTF-8 text");
}

#[test]
fn without_a_header_nothing_else_can_be_read() {
    let why = Reader::new().line(b"1795201387,success,12").unwrap_err();
    assert!(why.is_header && why.to_string().contains("no column is named time, ts or at"), "{why}");
    let why = Reader::by("pod").line(b"time,outcome,latency_ms").unwrap_err();
    assert!(why.is_header && why.to_string().contains("no column is named pod"), "{why}");
}

#[test]
fn a_line_that_is_too_late_even_for_those_that_wait_is_refused() {
    let mut reader = Reader::new();
    assert_eq!(reader.line(CSV[0].as_bytes()), Ok(None));
    for n in 0..=OUT_OF_ORDER_MAX {
        let given = reader.line(format!("{},success,0", n + 10).as_bytes()).unwrap();
        assert_eq!(given.is_some(), n == OUT_OF_ORDER_MAX);
    }
    let late = reader.line(b"9.5,success,0").unwrap_err();
    assert!(late.to_string().starts_with("time: began 500ms too early"), "{late}");
    // Not later than what was already given is in time.
    assert!(reader.line(b"10,success,0").unwrap().is_some());
}

#[test]
fn more_keys_than_are_kept_are_refused_and_known_ones_still_read() {
    let mut reader = Reader::by("user");
    assert_eq!(reader.line(b"time,outcome,latency_ms,user"), Ok(None));
    for n in 0..KEYS_MAX {
        assert!(reader.line(format!("1,success,0,u{n}").as_bytes()).is_ok());
    }
    let why = reader.line(b"1,success,0,another").unwrap_err();
    assert!(why.to_string().contains("more than 10000 different ones"), "{why}");
    assert!(reader.line(b"1,success,0,u7").is_ok());
    let why = reader.line(b"1,success,0,").unwrap_err();
    assert!(why.to_string().starts_with("user: missing"), "{why}");
}

/// Something like a line, and mostly none.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        "[0-9.eE+-]{0,12}",
        "[a-zé\"\\\\,:{}\\[\\] ]{0,8}",
        Just("success".to_owned()),
        Just("2026-11-20T14:03:07.25Z".to_owned()),
        Just("12ms".to_owned())
    ];
    let name = prop_oneof![
        Just("time"),
        Just("outcome"),
        Just("status"),
        Just("latency_ms"),
        Just("took"),
        Just("tries"),
        Just("priority"),
        Just("k"),
        Just("x")
    ];
    let pair = (name, value.clone(), any::<bool>());
    let json = prop::collection::vec(pair, 0..6).prop_map(|pairs| {
        let pair = |(name, value, quoted): &(&str, String, bool)| {
            if *quoted { format!("\"{name}\":{value:?}") } else { format!("\"{name}\":{value}") }
        };
        format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(",")).into_bytes()
    });
    let csv = prop::collection::vec(value, 0..5).prop_map(|values| values.join(",").into_bytes());
    prop_oneof![json, csv, prop::collection::vec(any::<u8>(), 0..40)]
}

proptest! {
    #[test]
    fn trace_fuzz_any_bytes_are_records_in_order_or_told(
        first in prop_oneof![Just(Vec::new()), Just(b"time,outcome,latency_ms,k".to_vec()), line()],
        lines in prop::collection::vec(line(), 0..30),
        by in prop_oneof![Just(None), Just(Some("k"))],
    ) {
        let mut reader = by.map_or_else(Reader::new, Reader::by);
        let mut given = 0;
        for line in std::iter::once(&first).chain(&lines) {
            given += u64::from(matches!(reader.line(line), Ok(Some(_))));
        }
        let rest: Vec<Record> = std::iter::from_fn(|| reader.rest()).collect();
        prop_assert_eq!(given, 0);
        prop_assert!(rest.is_sorted_by_key(|record| record.at));
        prop_assert!(rest.first().is_none_or(|record| record.at == Mono::default()));
        prop_assert!(rest.iter().all(|record| record.key.is_some() == by.is_some()));
    }

    #[test]
    fn trace_fuzz_whatever_the_order_of_the_lines_calls_come_in_the_order_they_began(
        times in prop::collection::vec(0_u32..1_000_000, 1..60),
    ) {
        let mut reader = Reader::new();
        prop_assert_eq!(reader.line(b"time,outcome,latency_ms"), Ok(None));
        for time in &times {
            prop_assert_eq!(reader.line(format!("{},success,0", f64::from(*time) / 1e3).as_bytes()), Ok(None));
        }
        let read: Vec<u64> = std::iter::from_fn(|| reader.rest()).map(|r| r.at.0).collect();
        let mut sorted = times.clone();
        sorted.sort();
        let expected: Vec<u64> = sorted.iter().map(|time| u64::from(time - sorted[0]) * 1_000_000).collect();
        prop_assert_eq!(read, expected);
    }
}
