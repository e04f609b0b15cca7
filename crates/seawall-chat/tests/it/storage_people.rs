//! Users, names, tokens, direct messages.

use seawall_chat::id::Id;
use seawall_chat::model::Channel;
use seawall_chat::storage::{
    Home, Trouble, hk_channel, hk_direct, hk_name, hk_user, make_token, ops, token_hash,
};
use seawall_policy::Wall;

use crate::storage::{Disk, message, user};

const NOW: Wall = Wall(1_800_000_000_000);

#[tokio::test]
async fn a_user_is_found_by_id_name_and_token() {
    let disk = Disk::new(3);
    let mut ann = user(3, "Ann");
    (ann.global_name, ann.bot, ann.flags, ann.public_flags) =
        (Some("Ann A.".to_owned()), true, u64::MAX, u64::MAX);
    let token = make_token(Id(3), &[5; 33]);
    disk.write(hk_name("Ann"), vec![ops::name_claim("Ann", Id(3))]).await;
    let made = vec![ops::user_insert(&ann, NOW), ops::token_put(Id(3), token_hash(&token), NOW)];
    assert_eq!(ops::made(&disk.write(hk_user(Id(3)), made).await.rows, 0), Some(Id(3)));

    let storage = &disk.storage;
    assert_eq!(storage.user(Id(3)).await.unwrap(), Some(ann.clone()));
    assert_eq!(storage.users(&[Id(9), Id(3)]).await.unwrap(), std::slice::from_ref(&ann));
    assert_eq!(storage.user_named("aNN").await.unwrap(), Some(Id(3)));
    assert_eq!(storage.user_of_token(&token).await.unwrap(), Some((ann.clone(), token_hash(&token))));
    for forged in [make_token(Id(3), &[6; 33]), make_token(Id(4), &[5; 33]), "x".to_owned(), String::new()] {
        assert_eq!(storage.user_of_token(&forged).await.unwrap(), None, "{forged}");
    }

    // A new token ends the old one, in one batch.
    let next = make_token(Id(3), &[8; 33]);
    let reset = vec![ops::tokens_revoke(Id(3)), ops::token_put(Id(3), token_hash(&next), NOW)];
    disk.write(hk_user(Id(3)), reset).await;
    assert_eq!(storage.user_of_token(&token).await.unwrap(), None);
    assert!(storage.user_of_token(&next).await.unwrap().is_some());

    ann.username = "Anna".to_owned();
    disk.write(hk_user(Id(3)), vec![ops::user_update(&ann)]).await;
    assert_eq!(disk.elsewhere().user(Id(3)).await.unwrap(), Some(ann));
    assert_eq!(
        disk.try_write(hk_user(Id(4)), vec![ops::user_update(&user(4, "no"))]).await,
        Err(Trouble::Conflict { op: 0 })
    );
}

#[tokio::test]
async fn one_user_has_a_name_however_it_is_written() {
    let disk = Disk::new(3);
    let claim = |name: &'static str, id| disk.try_write(hk_name(name), vec![ops::name_claim(name, Id(id))]);
    claim("Ann", 3).await.unwrap();
    claim("ann", 3).await.unwrap();
    assert_eq!(claim("ANN", 4).await, Err(Trouble::Conflict { op: 0 }));
    // Given back by who does not have it, it stays.
    disk.write(hk_name("ann"), vec![ops::name_release("ann", Id(4))]).await;
    assert_eq!(disk.storage.user_named("Ann").await.unwrap(), Some(Id(3)));
    // User 3 was never made: its name may be taken over, by one.
    assert_eq!(disk.storage.user(Id(3)).await.unwrap(), None);
    let take = |to| disk.try_write(hk_name("ann"), vec![ops::name_take_over("Ann", Id(3), Id(to))]);
    take(5).await.unwrap();
    assert_eq!(take(6).await, Err(Trouble::Conflict { op: 0 }));
    assert_eq!(disk.storage.user_named("ann").await.unwrap(), Some(Id(5)));
    disk.write(hk_name("ann"), vec![ops::name_release("aNN", Id(5))]).await;
    claim("ann", 7).await.unwrap();
}

#[tokio::test]
async fn no_file_holds_a_token() {
    let disk = Disk::new(1);
    let token = make_token(Id(3), &[0xa7; 33]);
    let hash = token_hash(&token);
    let made = vec![ops::user_insert(&user(3, "findable"), NOW), ops::token_put(Id(3), hash, NOW)];
    disk.write(hk_user(Id(3)), made).await;
    assert!(disk.storage.user_of_token(&token).await.unwrap().is_some());
    let secret = token.rsplit('.').next().unwrap();
    let (mut bytes, mut files) = (Vec::new(), 0);
    for entry in std::fs::read_dir(disk.path()).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
    assert!(files >= 2, "the database and its write-ahead file");
    // The search finds what is there.
    assert!(has(b"findable") && has(&hash));
    assert!(!has(token.as_bytes()) && !has(secret.as_bytes()) && !has(&[0xa7; 27]));
}

#[tokio::test]
async fn the_guilds_of_a_user_are_hints_that_come_and_go() {
    let disk = Disk::new(2);
    let hk = hk_user(Id(3));
    let puts = (1..=900).map(|g| ops::user_guild_put(Id(3), Id(g))).collect();
    disk.write(hk, puts).await;
    disk.write(hk, vec![ops::user_guild_put(Id(3), Id(5)), ops::user_guild_delete(Id(3), Id(7))]).await;
    let expected = (1..=900).filter(|g| *g != 7).map(Id).collect::<Vec<_>>();
    assert_eq!(disk.storage.guilds_of(Id(3)).await.unwrap(), expected);
    assert!(disk.storage.guilds_of(Id(4)).await.unwrap().is_empty());
}

#[tokio::test]
async fn two_who_open_a_direct_message_at_once_get_one_channel() {
    let disk = Disk::new(3);
    let (ann, bob) = (user(3, "ann"), user(4, "bob"));
    // Bob wants channel 50, Ann 51; both ask the row of the older of them first.
    let claim = |user, other, channel, open| ops::direct_claim(Id(user), Id(other), Id(channel), open);
    let ask = |op, hk| disk.write(hk, vec![op]);
    let bobs = ask(claim(3, 4, 50, false), hk_user(Id(3))).await;
    let anns = ask(claim(3, 4, 51, true), hk_user(Id(3))).await;
    assert_eq!(ops::made(&bobs.rows, 0), Some(Id(50)));
    assert_eq!(ops::made(&anns.rows, 0), Some(Id(50)));
    assert_eq!(disk.storage.direct_between(Id(4), Id(3)).await.unwrap(), Some(Id(50)));
    // A hint without its channel shows nothing.
    assert!(disk.storage.directs_of(Id(3)).await.unwrap().is_empty());

    ask(claim(4, 3, 50, true), hk_user(Id(4))).await;
    disk.write(hk_channel(Id(50)), vec![ops::home_put(Id(50), Home::Direct)]).await;
    disk.write(hk_direct(Id(50)), vec![ops::direct_put(Id(50), &[ann.clone(), bob.clone()])]).await;
    let said = message(60, 50, &ann, "psst");
    disk.write(hk_direct(Id(50)), vec![ops::message_insert(Home::Direct, &said)]).await;

    let storage = &disk.storage;
    let whole = storage.direct(Id(50)).await.unwrap().unwrap();
    assert_eq!((whole.kind, whole.guild_id, whole.last_message_id), (Channel::DM, None, Some(Id(60))));
    assert_eq!(whole.recipients, [ann.clone(), bob.clone()]);
    assert_eq!(storage.directs_of(Id(3)).await.unwrap()[0].recipients, std::slice::from_ref(&bob));
    assert_eq!(storage.directs_of(Id(4)).await.unwrap()[0].recipients, std::slice::from_ref(&ann));
    assert_eq!(storage.home(Id(50)).await.unwrap(), Some(Home::Direct));
    assert_eq!(storage.direct(Id(51)).await.unwrap(), None);

    // Closed for one, open for the other; a claim that does not open leaves it as it is.
    ask(claim(4, 3, 52, false), hk_user(Id(4))).await;
    ask(ops::direct_close(Id(3), Id(4)), hk_user(Id(3))).await;
    ask(claim(3, 4, 52, false), hk_user(Id(3))).await;
    assert!(storage.directs_of(Id(3)).await.unwrap().is_empty());
    assert_eq!(storage.directs_of(Id(4)).await.unwrap().len(), 1);
    ask(claim(3, 4, 52, true), hk_user(Id(3))).await;
    assert_eq!(storage.directs_of(Id(3)).await.unwrap()[0].id, Id(50));
}

#[tokio::test]
async fn a_channel_that_did_not_exist_is_found_once_it_does() {
    let disk = Disk::new(2);
    assert_eq!(disk.storage.home(Id(11)).await.unwrap(), None);
    let put = |home| vec![ops::home_put(Id(11), home)];
    disk.write(hk_channel(Id(11)), put(Home::Guild(Id(1)))).await;
    assert_eq!(disk.storage.home(Id(11)).await.unwrap(), Some(Home::Guild(Id(1))));
    // It never moves, whatever is written later.
    disk.write(hk_channel(Id(11)), put(Home::Direct)).await;
    assert_eq!(disk.storage.home(Id(11)).await.unwrap(), Some(Home::Guild(Id(1))));
    assert_eq!(disk.elsewhere().home(Id(11)).await.unwrap(), Some(Home::Guild(Id(1))));
}
