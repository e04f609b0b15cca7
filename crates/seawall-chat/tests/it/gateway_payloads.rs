//! HELLO, READY and GUILD_CREATE as four client libraries have accepted them: every field of the golden payloads is
//! there, of the same type.

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::gateway_making::{ALL, Client, Process, guild, person};

const HELLO: &str = r#"{"op":10,"s":null,"t":null,"d":{"heartbeat_interval":41250}}"#;
const READY: &str = include_str!("../golden/ready.json");
const GUILD_CREATE: &str = include_str!("../golden/guild_create.json");

/// Everything the golden payload has, with its type; objects in lists are compared by the first of each.
fn compare(at: &str, golden: &Value, ours: &Value) {
    match (golden, ours) {
        (Value::Object(golden), Value::Object(ours)) => {
            for (key, value) in golden {
                let found = ours.get(key).unwrap_or_else(|| panic!("{at}.{key} is missing"));
                compare(&format!("{at}.{key}"), value, found);
            }
        }
        (Value::Array(golden), Value::Array(ours)) => {
            if let (Some(golden), Some(ours)) = (golden.first(), ours.first()) {
                compare(&format!("{at}[0]"), golden, ours);
            }
            assert!(golden.is_empty() || !ours.is_empty(), "{at} is empty");
        }
        // What may be null is null or what it is.
        (Value::Null, _) => {}
        (golden, ours) => {
            let same = std::mem::discriminant(golden) == std::mem::discriminant(ours);
            assert!(same, "{at}: {ours} instead of something like {golden}");
        }
    }
}

#[tokio::test]
async fn the_first_payloads_have_all_that_libraries_want() {
    let data = tempdir().unwrap();
    let p = Process::start(data.path()).await;
    let ann = person(p.addr, "ann").await;
    let place = guild(p.addr, &ann).await;
    let mut client = Client::connect_raw(p.addr, "?v=10&encoding=json").await;
    let golden: Value = serde_json::from_str(HELLO).unwrap();
    assert_eq!(client.next().await, golden);
    client.say(2, json!({"token": format!("Bot {}", ann.token), "intents": ALL, "shard": [0, 1]})).await;
    let ready = client.next().await;
    compare("READY", &serde_json::from_str(READY).unwrap(), &ready);
    assert_eq!(ready["d"]["guilds"], json!([{"id": place.guild, "unavailable": true}]));
    assert_eq!(ready["d"]["resume_gateway_url"], format!("ws://{}", p.addr));
    assert_eq!(ready["d"]["shard"], json!([0, 1]));
    let session = ready["d"]["session_id"].as_str().unwrap();
    assert!(session.len() == 32 && session.bytes().all(|b| b.is_ascii_hexdigit()), "{session}");
    let made = client.next().await;
    compare("GUILD_CREATE", &serde_json::from_str(GUILD_CREATE).unwrap(), &made);
    assert_eq!(made["d"]["members"][0]["user"]["id"], ann.id);
}
