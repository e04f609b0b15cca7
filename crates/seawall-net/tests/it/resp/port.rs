//! The server over real sockets.

use std::sync::Arc;
use std::time::Duration;

use seawall_net::listeners::Writes;
use seawall_net::resp::Limits;
use seawall_net::resp::decoder;

use super::{Peer, Port, SHORT, command};
use crate::HANG;

async fn connected(port: &Port) -> Peer {
    port.peer().await
}

fn has(port: &Port, line: &str) -> bool {
    port.host.metrics.encode().lines().any(|one| one == line)
}

async fn until(port: &Port, line: &str) {
    let seen = async {
        while !has(port, line) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(HANG, seen)
        .await
        .unwrap_or_else(|_| panic!("{line}\n{}", port.host.metrics.encode()));
}

#[tokio::test]
async fn answers_come_in_order_though_some_wait() {
    let port = Port::start(Limits::default()).await;
    let mut peer = connected(&port).await;
    let pipeline = [
        command(&["shelf.fast", "a"]),
        command(&["SHELF.SLOW", "b"]),
        command(&["shelf.fast", "c"]),
        command(&["shelf.slow", "d"]),
        command(&["ping"]),
        command(&["nosuch"]),
    ];
    peer.send(pipeline.concat()).await;
    // Both wait beside each other: none is begun only when the other is done.
    port.gate.add_permits(2);
    peer.hears(
        "$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n+PONG\r\n\
         -ERR unknown command 'nosuch', with args beginning with: \r\n",
    )
    .await;
}

#[tokio::test]
async fn what_changes_something_waits_and_is_waited_for() {
    let port = Port::start(Limits::default()).await;
    let mut peer = connected(&port).await;
    let pipeline = [
        command(&["shelf.slow", "a"]),
        command(&["shelf.put", "x"]),
        command(&["shelf.log"]),
        command(&["shelf.put", "y"]),
        command(&["shelf.fast", "b"]),
        command(&["shelf.log"]),
    ];
    peer.send(pipeline.concat()).await;
    port.gate.add_permits(1);
    peer.hears("$1\r\na\r\n").await;
    port.gate.add_permits(1);
    peer.hears("+OK\r\n*1\r\n$1\r\nx\r\n").await;
    port.gate.add_permits(1);
    peer.hears("+OK\r\n$1\r\nb\r\n*2\r\n$1\r\nx\r\n$1\r\ny\r\n").await;
    // Another connection has a memory of its own.
    let mut other = connected(&port).await;
    other.send(command(&["shelf.log"])).await;
    other.hears("*0\r\n").await;
}

#[tokio::test]
async fn more_wait_than_may_at_once_and_all_are_answered() {
    let port = Port::start(Limits::default()).await;
    let mut peer = connected(&port).await;
    let names: Vec<_> = (0..500).map(|n| format!("name-{n}")).collect();
    peer.send(names.iter().map(|name| command(&["shelf.slow", name])).collect::<Vec<_>>().concat()).await;
    port.gate.add_permits(500);
    for name in names {
        peer.hears(format!("${}\r\n{name}\r\n", name.len())).await;
    }
}

#[tokio::test]
async fn commands_may_arrive_byte_by_byte_and_be_large() {
    let port = Port::start(Limits::default()).await;
    let mut peer = connected(&port).await;
    for byte in command(&["shelf.fast", "hello"]).iter().chain(b"PING\r\n") {
        peer.send([*byte]).await;
    }
    peer.hears("$5\r\nhello\r\n+PONG\r\n").await;
    let large = "x".repeat(1_000_000);
    peer.send([command(&["shelf.fast", &large]), command(&["ping"])].concat()).await;
    peer.hears(format!("$1000000\r\n{large}\r\n+PONG\r\n")).await;
}

#[tokio::test]
async fn a_pipeline_may_be_longer_than_any_buffer_before_it_is_read() {
    let port = Port::start(Limits::default()).await;
    let mut peer = connected(&port).await;
    let one = command(&["shelf.long", "200"]);
    // 5 MB of questions, 21 MB of answers, and nobody reads until all is sent.
    peer.send(one.repeat(100_000)).await;
    peer.hears(format!("$200\r\n{}\r\n", "x".repeat(200)).repeat(100_000)).await;
    until(&port, "seawall_test_resp_commands_total 100000").await;
}

#[tokio::test]
async fn who_does_not_take_its_answers_is_cut_off() {
    let limits = Limits { unsent_max: 1 << 20, ..Limits::default() };
    let port = Port::start(limits).await;
    let mut peer = connected(&port).await;
    let mut other = connected(&port).await;
    // The kernel takes some megabytes of it; we keep one.
    for _ in 0..1000 {
        if tokio::io::AsyncWriteExt::write_all(&mut peer.0, &command(&["shelf.long", "100000"]))
            .await
            .is_err()
        {
            break;
        }
    }
    until(&port, "seawall_test_resp_cut_total{reason=\"unsent\"} 1").await;
    until(&port, "seawall_test_resp_open 1").await;
    other.send("INFO clients\r\n").await;
    let info =
        [other.line().await, other.line().await, other.line().await, other.line().await, other.line().await];
    assert!(info.contains(&"client_unsent_bytes:0".to_owned()), "{info:?}");
}

#[tokio::test]
async fn a_fault_is_the_last_that_is_answered() {
    let port = Port::start(Limits::default()).await;
    let mut peer = connected(&port).await;
    peer.send([&command(&["shelf.slow", "a"])[..], b"*x\r\nPING\r\n"].concat()).await;
    port.gate.add_permits(1);
    peer.ends("$1\r\na\r\n-ERR Protocol error: invalid multibulk length\r\n").await;
    let limits = decoder::Limits { args_max: 10, request_max: 100 };
    let port = Port::start(Limits { request: limits, ..Limits::default() }).await;
    let mut peer = connected(&port).await;
    peer.send(command(&["shelf.fast", &"x".repeat(100)])).await;
    peer.ends("-ERR Protocol error: invalid bulk length\r\n").await;
    until(&port, "seawall_test_resp_cut_total{reason=\"protocol\"} 1").await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let port = Port::start(Limits { connections_max: 1, ..Limits::default() }).await;
    let mut first = connected(&port).await;
    first.send("PING\r\n").await;
    first.hears("+PONG\r\n").await;
    connected(&port).await.ends("-ERR max number of clients reached\r\n").await;
    first.send("QUIT\r\n").await;
    first.ends("+OK\r\n").await;
    until(&port, "seawall_test_resp_open 0").await;
    let mut next = connected(&port).await;
    next.send("PING\r\n").await;
    next.hears("+PONG\r\n").await;
}

#[tokio::test]
async fn who_says_nothing_for_long_is_closed_and_who_talks_is_not() {
    let port = Port::start(Limits { idle_max: SHORT, ..Limits::default() }).await;
    let silent = connected(&port).await;
    let mut busy = connected(&port).await;
    let clock = &port.host.clock;
    let talking = async {
        let (begin, mut last) = (clock.now(), clock.now());
        while clock.now().since(begin) < 5 * SHORT {
            let asked = clock.now();
            if !busy.is_heard().await {
                // Only a machine that left us alone for as long may have closed it.
                let silence = clock.now().since(last);
                assert!(silence >= SHORT, "closed after {silence:?}");
                break;
            }
            last = asked;
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    tokio::join!(silent.ends(""), talking);
    busy.ends("").await;
    until(&port, "seawall_test_resp_cut_total{reason=\"idle\"} 2").await;
}

#[tokio::test]
async fn a_stop_lets_what_waits_be_answered_and_closes_the_silent() {
    let port = Port::start(Limits::default()).await;
    let silent = connected(&port).await;
    let mut waiting = connected(&port).await;
    waiting.send(command(&["shelf.slow", "a"])).await;
    until(&port, "seawall_test_resp_commands_total 1").await;
    port.host.tasks.stop(Duration::from_secs(4));
    silent.ends("").await;
    port.gate.add_permits(1);
    waiting.ends("$1\r\na\r\n").await;
    assert_eq!(port.drained.await.unwrap().left, 0);
}

#[tokio::test]
async fn a_panic_closes_one_connection() {
    let port = Port::start(Limits::default()).await;
    let mut peer = connected(&port).await;
    let mut other = connected(&port).await;
    peer.send(command(&["shelf.panic"])).await;
    peer.ends("").await;
    other.send("PING\r\nCLIENT LIST ID 1 2\r\n").await;
    other.hears("+PONG\r\n").await;
    other.line().await;
    let line = other.line().await;
    assert!(line.starts_with("id=2 addr=127.0.0.1:"), "{line}");
    until(&port, "seawall_test_resp_open 1").await;
}

#[tokio::test]
async fn who_finds_no_place_is_told_to_try_again() {
    let port = Port::with(Limits::default(), Writes::Open, 1).await;
    let (mut first, mut second) = (connected(&port).await, connected(&port).await);
    first.send(command(&["shelf.slow", "a"])).await;
    until(&port, "seawall_test_resp_commands_total 1").await;
    second.send([command(&["shelf.slow", "b"]), command(&["shelf.fast", "c"])].concat()).await;
    second.hears("-TRYAGAIN there is too much to do; retry in 1000 ms\r\n$1\r\nc\r\n").await;
    port.gate.add_permits(1);
    first.hears("$1\r\na\r\n").await;
}

#[tokio::test]
async fn an_exposed_port_reads_for_all_and_writes_for_those_it_knows() {
    let writes = Writes::Token(Arc::from(["s3cret".to_owned()]));
    let port = Port::with(Limits::default(), writes, 100).await;
    port.gate.add_permits(10);
    let mut peer = connected(&port).await;
    peer.send([command(&["shelf.fast", "a"]), command(&["shelf.put", "x"])].concat()).await;
    peer.hears("$1\r\na\r\n-NOAUTH Authentication required.\r\n").await;
    peer.send("AUTH s3cre\r\nAUTH s3cret\r\nshelf.put x\r\nshelf.log\r\n").await;
    peer.hears(
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n+OK\r\n+OK\r\n*1\r\n$1\r\nx\r\n",
    )
    .await;
    peer.send("RESET\r\nshelf.put x\r\nshelf.log\r\n").await;
    peer.hears("+RESET\r\n-NOAUTH Authentication required.\r\n*0\r\n").await;
}

#[tokio::test]
async fn hello_agrees_on_the_newer_form() {
    let port = Port::start(Limits::default()).await;
    let mut peer = connected(&port).await;
    peer.send("HELLO 3 AUTH default any SETNAME bob\r\nCLIENT GETNAME\r\nCONFIG GET sav?\r\nDBSIZE\r\n")
        .await;
    peer.hears(
        "%7\r\n$6\r\nserver\r\n$5\r\nshelf\r\n$7\r\nversion\r\n$1\r\n1\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n\
         $4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n\
         $3\r\nbob\r\n%1\r\n$4\r\nsave\r\n$0\r\n\r\n:7\r\n",
    )
    .await;
    peer.send("HELLO\r\n").await;
    peer.hears("%7\r\n").await;
    let mut old = connected(&port).await;
    old.send("HELLO 2\r\n").await;
    old.hears("*14\r\n").await;
}

#[tokio::test]
async fn tools_are_told_what_there_is() {
    let port = Port::start(Limits::default()).await;
    let mut peer = connected(&port).await;
    peer.send(
        "COMMAND COUNT\r\nCOMMAND INFO shelf.put nosuch\r\nCLIENT SETINFO LIB-NAME x\r\nINFO shelf\r\n",
    )
    .await;
    peer.hears(
        ":19\r\n*2\r\n*10\r\n$9\r\nshelf.put\r\n:2\r\n*1\r\n+write\r\n:0\r\n:0\r\n:0\r\n*2\r\n+@write\r\n+@slow\r\n\
         *0\r\n*0\r\n*0\r\n$-1\r\n+OK\r\n$19\r\n# Shelf\r\nboards:3\r\n\r\n",
    )
    .await;
    peer.send("COMMAND DOCS SHELF.LOG\r\nCLIENT INFO\r\n").await;
    peer.hears(
        "*2\r\n$9\r\nshelf.log\r\n*8\r\n$7\r\nsummary\r\n$0\r\n\r\n$5\r\nsince\r\n$5\r\n0.1.0\r\n$5\r\ngroup\r\n\
         $7\r\ngeneric\r\n$10\r\ncomplexity\r\n$4\r\nO(1)\r\n",
    )
    .await;
    peer.line().await;
    let line = peer.line().await;
    assert!(line.contains(" lib-name=x lib-ver=") && line.contains(" resp=2 "), "{line}");
}
