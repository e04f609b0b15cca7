//! What is odd, sent to a real Redis and to us: the answers must be the same bytes, and the connection must be closed
//! after the same ones.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use seawall_net::listeners::Writes;
use seawall_net::resp::Limits;

use super::Port;
use super::redis::Redis;
use crate::HANG;

/// Bytes, and what is sent once they are answered: it completes what is incomplete, or shows that we are still heard.
struct Case {
    input: Vec<u8>,
    then: Vec<u8>,
}

fn case(input: impl AsRef<[u8]>) -> Case {
    then(input, "PING\r\n")
}

fn then(input: impl AsRef<[u8]>, then: impl AsRef<[u8]>) -> Case {
    Case { input: input.as_ref().to_vec(), then: then.as_ref().to_vec() }
}

/// What a server says to a case: first to the input alone, then to what follows.
fn ask(addr: SocketAddr, case: &Case) -> (String, String) {
    let connect = || {
        let peer = TcpStream::connect(addr).unwrap();
        peer.set_read_timeout(Some(HANG)).unwrap();
        peer
    };
    // Whoever closes first makes the other's write or read fail, which says no more than that.
    let mut alone = Vec::new();
    let mut peer = connect();
    drop(peer.write_all(&case.input));
    drop(peer.shutdown(Shutdown::Write));
    drop(peer.read_to_end(&mut alone));

    // What HELLO says of the server, and the number of its connection, are its own affair.
    let begin = alone.windows(MARK.len()).position(|bytes| bytes == MARK).unwrap_or_default();
    let (mut first, mut second) = (vec![0; alone.len()], Vec::new());
    let mut peer = connect();
    drop(peer.write_all(&case.input));
    drop(peer.read_exact(&mut first));
    drop(peer.write_all(&case.then));
    drop(peer.shutdown(Shutdown::Write));
    drop(peer.read_to_end(&mut second));
    assert_eq!(first[begin..].escape_ascii().to_string(), alone[begin..].escape_ascii().to_string());
    let alone = &alone[begin..];
    (alone.escape_ascii().to_string(), second.escape_ascii().to_string())
}

const MARK: &[u8] = b"now-in-the-newer-form";

async fn compare(redis: &Redis, port: &Port, cases: Vec<Case>) {
    let (theirs, ours) = (redis.addr, port.addr);
    let asking = port.host.tasks.blocking(move || {
        let mut different = Vec::new();
        for case in &cases {
            let (wanted, told) = (ask(theirs, case), ask(ours, case));
            if wanted != told {
                let shown = &case.input[..case.input.len().min(100)];
                let then = &case.then[..case.then.len().min(100)];
                different.push(format!(
                    "{} … {}\n  redis: {wanted:?}\n  ours:  {told:?}",
                    shown.escape_ascii(),
                    then.escape_ascii()
                ));
            }
        }
        assert!(different.is_empty(), "{} of {}:\n{}", different.len(), cases.len(), different.join("\n"));
    });
    asking.await.unwrap();
}

fn protocol() -> Vec<Case> {
    let long = |begin: &str, byte: u8| [begin.as_bytes(), &vec![byte; 100_000]].concat();
    let mut all = vec![
        // Whole commands.
        case("*1\r\n$4\r\nPING\r\n"),
        case("*1\r\n$4\r\nping\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n"),
        case("PING\r\n"),
        case("PING\n"),
        case("  PING  \r\n"),
        case("PING hello\r\n"),
        case("\"PING\" 'a b'\r\n"),
        case("ECHO \"\\x41\\n\\q\\x4\"\r\n"),
        case("ECHO 'it\\'s \\n'\r\n"),
        case("ECHO fo\"o b\"\r\n"),
        case("ECHO \"\"\r\n"),
        case("ECHO a\x0bb\r\n"),
        case("ECHO \x0b\x0ca\r\n"),
        case("ECHO \u{e9}\r\n"),
        case(b"ECHO \xff\xfe\r\n"),
        case("ECHO a\rb\r\n"),
        case("\x0bPING\r\n"),
        case("ping\r\nPing\r\nPING\r\n"),
        // Nothing at all.
        case("\r\n"),
        case("\n\n\n"),
        case("   \r\n"),
        case("*0\r\n"),
        case("*-1\r\n"),
        case("*-9223372036854775808\r\n"),
        case("*0\r\n\r\n*1\r\n$4\r\nPING\r\n"),
        // Quotes.
        case("PING \"a\r\n"),
        case("PING 'a\r\n"),
        case("PING \"a\"b\r\n"),
        case("PING 'a'b\r\n"),
        case("PING \"a\\\"\r\n"),
        case("PING \"a\\\r\n"),
        case("PING a'b\r\n"),
        case("PING\r\nPING \"\r\nPING\r\n"),
        // Numbers of arguments.
        case("*\r\n"),
        case("*a\r\n"),
        case("*1a\r\n"),
        case("* 1\r\n"),
        case("*1 \r\n"),
        case("*+1\r\n"),
        case("*01\r\n"),
        case("*-0\r\n"),
        case("*1\n\r\n"),
        case("*1.0\r\n"),
        case("*2147483648\r\n"),
        case("*99999999999999999999\r\n"),
        case("*9999999999999999999999999\r\n"),
        case("PING\r\n*x\r\nPING\r\n"),
        // Any byte stands for the line feed.
        case("*1\rx$4\rxPING\rx"),
        case("*1\r\r$4\r\rPING\r\n"),
        case("*1\r\n$4\r\nPINGxx"),
        // Arguments.
        case("*1\r\n4\r\nPING\r\n"),
        case("*1\r\nPING\r\n"),
        case("*1\r\n:4\r\nPING\r\n"),
        case("*1\r\n\r\n"),
        case("*1\r\n\n\r\n"),
        case(b"*1\r\n\xff1\r\n"),
        case("*2\r\n$4\r\nPING\r\n*1\r\n$1\r\na\r\n"),
        case("*1\r\n$\r\n"),
        case("*1\r\n$-1\r\n"),
        case("*1\r\n$-0\r\n"),
        case("*1\r\n$a\r\n"),
        case("*1\r\n$04\r\nPING\r\n"),
        case("*1\r\n$+4\r\nPING\r\n"),
        case("*1\r\n$4 \r\nPING\r\n"),
        case("*1\r\n$536870913\r\n"),
        case("*1\r\n$9223372036854775807\r\n"),
        case("*1\r\n$9223372036854775808\r\n"),
        case("*1\r\n$3\r\nPING\r\n"),
        case("*1\r\n$5\r\nPING\r\n\r\n"),
        case("*1\r\n$0\r\n\r\n"),
        case("*2\r\n$0\r\n\r\n$0\r\n\r\n"),
        case("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"),
        case("*2\r\n$4\r\nECHO\r\n$4\r\na\r\nb\r\n"),
        case(b"*2\r\n$4\r\nECHO\r\n$3\r\n\0\xff\0\r\n"),
        case("*1\r\n$4\r\nPING\r\n*1\r\nx"),
        // Incomplete, then the rest.
        then("*", "1\r\n$4\r\nPING\r\n"),
        then("*1", "\r\n$4\r\nPING\r\n"),
        then("*1\r", "\n$4\r\nPING\r\n"),
        then("*1\r\n", "$4\r\nPING\r\n"),
        then("*1\r\n$", "4\r\nPING\r\n"),
        then("*1\r\n$4\r", "\nPING\r\n"),
        then("*1\r\n$4\r\nPI", "NG\r\n"),
        then("*1\r\n$4\r\nPING", "\r\n"),
        then("*1\r\n$4\r\nPING\r", "\nPING\r\n"),
        then("*2\r\n$4\r\nECHO\r\n$10\r\n0123456789", "\r\n"),
        then("*2\r\n$4\r\nECHO\r\n$100\r\n", [&[b'y'; 100][..], b"\r\n"].concat()),
        then("PI", "NG\r\n"),
        then("PING\r", "\n"),
        then("PING", "\n"),
        then("\"PI", "NG\"\r\n"),
        // A zero hides what is behind it.
        then(b"PI\0NG\r\nPING\r\n", long("", b'x')),
        then(b"*1\0\r\n$4\r\nPING\r\n", long("", b'x')),
        then(b"*1\r\n$4\0\r\nPING\r\n", long("", b'x')),
        then(b"*1\r\n\0$4\r\nPING\r\n", long("", b'x')),
        case(b"ECHO a\nb\0c\r\n"),
        // Without an end.
        case(long("", b'x')),
        case(long("PING ", b'x')),
        case(long("*", b'1')),
        case(long("*1\r\n$", b'1')),
        case(long("*1\r\n", b'y')),
        case(long("PING\r\n*", b'0')),
        // What the commands make of it.
        case("nosuch\r\n"),
        case("nosuch a b c\r\n"),
        case("NoSuch 'a\\x00b' \"c\\r\\nd\"\r\n"),
        case("*3\r\n$6\r\nno\r\nxx\r\n$1\r\na\r\n$3\r\nb\0c\r\n"),
        case(b"*2\r\n$3\r\n\xff\xfe\xfd\r\n$1\r\n\xfc\r\n"),
        case(format!("{} {}\r\n", "n".repeat(200), "a".repeat(200))),
        case(format!("nosuch {} {} {}\r\n", "a".repeat(60), "b".repeat(60), "c".repeat(60))),
        case(format!("nosuch {}\r\n", "a ".repeat(100))),
        case("ECHO\r\n"),
        case("ECHO a b\r\n"),
        case("PING a b\r\n"),
        case("QUIT\r\nPING\r\n"),
        case("QUIT now\r\n"),
        case("PING\r\nPOST / HTTP/1.1\r\nHost: x\r\n"),
        case("Host: x\r\nPING\r\n"),
        case("GETS /\r\n"),
        case("SELECT 0\r\n"),
        case("SELECT a\r\n"),
        case("SELECT 99\r\n"),
        case("SELECT -1\r\n"),
        case("SELECT\r\n"),
        case("RESET\r\n"),
        case("RESET now\r\n"),
        case("AUTH\r\n"),
        case("AUTH x\r\n"),
        case("AUTH x y\r\n"),
        case("AUTH default y\r\n"),
        case("AUTH x y z\r\n"),
        case("HELLO x\r\n"),
        case("HELLO 1\r\n"),
        case("HELLO 4\r\n"),
        case("HELLO 3 what\r\n"),
        case("HELLO 3 AUTH x\r\n"),
        case("HELLO 3 AUTH x y\r\n"),
        case("HELLO 3 SETNAME\r\n"),
        case("HELLO 3 SETNAME 'a b'\r\n"),
        case("CLIENT\r\n"),
        case("CLIENT what\r\n"),
        case("CLIENT GETNAME\r\n"),
        case("CLIENT SETNAME bob\r\nCLIENT GETNAME\r\nRESET\r\nCLIENT GETNAME\r\n"),
        case("CLIENT SETNAME 'a b'\r\n"),
        case("CLIENT SETNAME\r\n"),
        case("CLIENT GETNAME x\r\n"),
        case("CLIENT ID x\r\n"),
        case("CLIENT LIST what\r\n"),
        case("CLIENT LIST ID x\r\n"),
        case("CLIENT HELP x\r\n"),
        case("CONFIG\r\n"),
        case("CONFIG GET\r\n"),
        case("CONFIG GET save\r\n"),
        case("CONFIG GET databases-of-mine\r\n"),
        case("CONFIG what\r\n"),
        case("COMMAND what\r\n"),
        case("COMMAND INFO nosuch\r\n"),
        case("COMMAND DOCS nosuch\r\n"),
        case("COMMAND COUNT x\r\n"),
        case("TIME x\r\n"),
        case("DBSIZE x\r\n"),
    ];
    all.extend(
        [
            "CLIENT GETNAME\r\n",
            "CONFIG GET save\r\n",
            "COMMAND INFO nosuch\r\n",
            "COMMAND DOCS nosuch\r\n",
            "ECHO x\r\n",
            "nosuch\r\n",
            "*x\r\n",
            "RESET\r\nCLIENT GETNAME\r\n",
            "HELLO 5\r\nCLIENT GETNAME\r\n",
        ]
        .map(|input| case([b"HELLO 3\r\nECHO ", MARK, b"\r\n", input.as_bytes()].concat())),
    );
    all
}

#[tokio::test]
async fn what_is_odd_is_answered_as_redis_answers_it() {
    let redis = Redis::start(&[]);
    let port = Port::start(Limits::default()).await;
    compare(&redis, &port, protocol()).await;
}

#[tokio::test]
async fn strangers_may_send_as_little_as_to_redis() {
    let redis = Redis::start(&["--requirepass", "s3cret"]);
    let writes = Writes::Token(Arc::from(["s3cret".to_owned()]));
    let port = Port::with(Limits::default(), writes, 100).await;
    let arguments = |n: usize| format!("*{n}\r\n{}", "$6\r\nnosuch\r\n".repeat(n));
    let length = |n: usize| format!("*1\r\n${n}\r\n{}\r\n", "n".repeat(n));
    let auth = "AUTH s3cret\r\n";
    let cases = vec![
        // Reads are open here, so what is asked behind it is what nobody knows.
        then(arguments(10), "nosuch\r\n"),
        case(arguments(11)),
        case(format!("{auth}{}", arguments(11))),
        then(length(16_384), "nosuch\r\n"),
        case(length(16_385)),
        case(format!("{auth}{}", length(16_385))),
        case("*11\r\n"),
        case("*2147483648\r\n"),
        case("*1\r\n$16385\r\n"),
        case("*1\r\n$-5\r\n"),
        case("*1\r\n$9223372036854775808\r\n"),
        then("AUTH wrong\r\n", "AUTH s3cret\r\nPING\r\n"),
        then("AUTH default wrong\r\n", "AUTH default s3cret\r\nPING\r\n"),
        then("AUTH bob s3cret\r\n", "AUTH s3cret\r\nPING\r\n"),
        then("HELLO 3 AUTH default wrong\r\n", "AUTH s3cret\r\nPING\r\n"),
        then("HELLO 3 AUTH bob s3cret\r\n", "AUTH s3cret\r\nPING\r\n"),
    ];
    compare(&redis, &port, cases).await;
}
