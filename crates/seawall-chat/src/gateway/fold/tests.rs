use super::*;
use crate::event::intents::*;

const ME: Id = Id(1);
const OTHER: Id = Id(2);
/// Of part 1 of 2: bit 22 is set.
const GUILD: Id = Id(1 << 22 | 5);
/// Of part 0 of 2.
const EVEN: Id = Id(2 << 22 | 5);
const STRANGE: Id = Id(3 << 22);
const OPEN: Id = Id(70);
const HIDDEN: Id = Id(71);

/// Discord's list: what a session needs in a guild, and what for something addressed to its user.
const NEEDS: [(Kind, Option<u64>, Option<u64>); 29] = [
    (Kind::GuildCreate, Some(GUILDS), Some(GUILDS)),
    (Kind::GuildUpdate, Some(GUILDS), Some(GUILDS)),
    (Kind::GuildDelete, Some(GUILDS), Some(GUILDS)),
    (Kind::ChannelCreate, Some(GUILDS), Some(GUILDS)),
    (Kind::ChannelUpdate, Some(GUILDS), Some(GUILDS)),
    (Kind::ChannelDelete, Some(GUILDS), Some(GUILDS)),
    (Kind::ChannelPinsUpdate, Some(GUILDS), Some(DIRECT_MESSAGES)),
    (Kind::RoleCreate, Some(GUILDS), Some(GUILDS)),
    (Kind::RoleUpdate, Some(GUILDS), Some(GUILDS)),
    (Kind::RoleDelete, Some(GUILDS), Some(GUILDS)),
    (Kind::MemberAdd, Some(GUILD_MEMBERS), Some(GUILD_MEMBERS)),
    (Kind::MemberUpdate, Some(GUILD_MEMBERS), Some(GUILD_MEMBERS)),
    (Kind::MemberRemove, Some(GUILD_MEMBERS), Some(GUILD_MEMBERS)),
    (Kind::MembersChunk, None, None),
    (Kind::BanAdd, Some(GUILD_MODERATION), Some(GUILD_MODERATION)),
    (Kind::BanRemove, Some(GUILD_MODERATION), Some(GUILD_MODERATION)),
    (Kind::InviteCreate, Some(GUILD_INVITES), Some(GUILD_INVITES)),
    (Kind::InviteDelete, Some(GUILD_INVITES), Some(GUILD_INVITES)),
    (Kind::PresenceUpdate, Some(GUILD_PRESENCES), Some(GUILD_PRESENCES)),
    (Kind::MessageCreate, Some(GUILD_MESSAGES), Some(DIRECT_MESSAGES)),
    (Kind::MessageUpdate, Some(GUILD_MESSAGES), Some(DIRECT_MESSAGES)),
    (Kind::MessageDelete, Some(GUILD_MESSAGES), Some(DIRECT_MESSAGES)),
    (Kind::MessageDeleteBulk, Some(GUILD_MESSAGES), Some(GUILD_MESSAGES)),
    (Kind::ReactionAdd, Some(GUILD_MESSAGE_REACTIONS), Some(DIRECT_MESSAGE_REACTIONS)),
    (Kind::ReactionRemove, Some(GUILD_MESSAGE_REACTIONS), Some(DIRECT_MESSAGE_REACTIONS)),
    (Kind::ReactionRemoveAll, Some(GUILD_MESSAGE_REACTIONS), Some(DIRECT_MESSAGE_REACTIONS)),
    (Kind::ReactionRemoveEmoji, Some(GUILD_MESSAGE_REACTIONS), Some(DIRECT_MESSAGE_REACTIONS)),
    (Kind::TypingStart, Some(GUILD_MESSAGE_TYPING), Some(DIRECT_MESSAGE_TYPING)),
    (Kind::UserUpdate, None, None),
];

fn hidden(ids: &[Id]) -> Arc<[Id]> {
    ids.into()
}

fn fold(intents: u64, part: Part) -> Fold {
    let view = View::new([(GUILD, hidden(&[HIDDEN])), (EVEN, hidden(&[]))]);
    Fold { session: SessionId([1; 16]), user: ME, intents, part, s: 9, lsn: 100, view, skip: None }
}

fn dispatch(lsn: u64, to: To, t: Kind) -> Entry {
    let d = Bytes::from_static(b"{}");
    Entry {
        lsn,
        what: What::Dispatch { origin: None, to, t, author: Some(OTHER), mentions: Box::default(), d },
    }
}

/// One step, and that `hears` had said the same.
fn step(fold: &mut Fold, entry: &Entry) -> Option<Heard> {
    let (before, said) = (fold.clone(), fold.hears(entry));
    let heard = fold.step(entry);
    if !said {
        assert_eq!(Fold { lsn: fold.lsn, ..before }, *fold, "what is not heard changes nothing");
    }
    assert!(said || heard.is_none());
    heard
}

/// Every kind, addressed in every way, under every intent alone, all and none, for the whole and for parts.
#[test]
fn the_table_of_who_hears_what() {
    let mut cases = 0;
    let places: [(To, Option<Id>, bool); 9] = [
        (To::Guild(GUILD), Some(GUILD), true),
        (To::Guild(EVEN), Some(EVEN), true),
        (To::Guild(STRANGE), Some(STRANGE), false),
        (To::Channel { guild: GUILD, channel: OPEN }, Some(GUILD), true),
        (To::Channel { guild: GUILD, channel: HIDDEN }, Some(GUILD), false),
        (To::Channel { guild: EVEN, channel: HIDDEN }, Some(EVEN), true),
        (To::Channel { guild: STRANGE, channel: OPEN }, Some(STRANGE), false),
        (To::Users(vec![OTHER, ME]), None, true),
        (To::Users(vec![OTHER]), None, false),
    ];
    let parts = [Part::WHOLE, Part::new(0, 2).unwrap(), Part::new(1, 2).unwrap()];
    let intents = (0..26).map(|bit| 1 << bit).filter(|i| KNOWN & i != 0).chain([0, KNOWN]);
    for intents in intents {
        for part in parts {
            for (to, guild, is_seen) in &places {
                for (t, in_guild, in_person) in NEEDS {
                    let needs = if guild.is_some() { in_guild } else { in_person };
                    let is_part = match (part.shard(), guild) {
                        ([_, 1], _) => true,
                        ([id, _], Some(guild)) => guild.0 >> 22 & 1 == u64::from(id),
                        ([id, _], None) => id == 0,
                    };
                    let is_said = matches!(t, Kind::MessageCreate | Kind::MessageUpdate) && guild.is_some();
                    let wanted = (*is_seen && is_part && needs.is_none_or(|n| n & intents != 0))
                        .then_some(Heard { s: 10, content: !is_said || intents & MESSAGE_CONTENT != 0 });
                    let mut fold = fold(intents, part);
                    let heard = step(&mut fold, &dispatch(101, to.clone(), t));
                    assert_eq!(heard, wanted, "{t:?} {to:?} {part:?} {intents:#x}");
                    assert_eq!((fold.lsn, fold.s), (101, if wanted.is_some() { 10 } else { 9 }));
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 23 * 3 * 9 * 29);
}

#[test]
fn a_session_of_its_own_hears_what_is_addressed_to_it_whatever_it_asked_for() {
    for (t, ..) in NEEDS {
        let to = |byte| To::Session(SessionId([byte; 16]));
        let mut fold = fold(0, Part::new(1, 2).unwrap());
        assert_eq!(step(&mut fold, &dispatch(101, to(1), t)), Some(Heard { s: 10, content: true }));
        assert_eq!(step(&mut fold, &dispatch(102, to(2), t)), None);
    }
}

#[test]
fn own_words_and_mentions_are_heard_without_the_intent_for_content() {
    let said = |author: Option<Id>, mentions: &[Id], t| {
        let (to, d) = (To::Guild(GUILD), Bytes::new());
        let what = What::Dispatch { origin: None, to, t, author, mentions: mentions.into(), d };
        step(&mut fold(GUILD_MESSAGES, Part::WHOLE), &Entry { lsn: 101, what }).unwrap().content
    };
    for t in [Kind::MessageCreate, Kind::MessageUpdate] {
        assert!(said(Some(ME), &[], t) && said(Some(OTHER), &[OTHER, ME], t));
        assert!(!said(Some(OTHER), &[OTHER], t) && !said(None, &[], t));
    }
    assert!(said(Some(OTHER), &[], Kind::MessageDelete), "nothing is said in it");
}

#[test]
fn what_is_addressed_to_a_user_about_a_guild_is_heard_by_the_part_that_has_it() {
    let of = |t, d: String| {
        let d = Bytes::from(d);
        let to = To::Users(vec![ME]);
        let what = What::Dispatch { origin: None, to, t, author: None, mentions: Box::default(), d };
        let entry = Entry { lsn: 101, what };
        [0, 1].map(|id| step(&mut fold(KNOWN, Part::new(id, 2).unwrap()), &entry).is_some())
    };
    assert_eq!(of(Kind::GuildDelete, format!(r#"{{"id":"{GUILD}"}}"#)), [false, true]);
    assert_eq!(of(Kind::GuildCreate, format!(r#"{{"id":"{EVEN}"}}"#)), [true, false]);
    assert_eq!(of(Kind::MemberRemove, format!(r#"{{"guild_id":"{GUILD}","user":{{}}}}"#)), [false, true]);
    assert_eq!(of(Kind::MessageCreate, format!(r#"{{"id":"{GUILD}"}}"#)), [true, false]);
    assert_eq!(of(Kind::UserUpdate, format!(r#"{{"id":"{GUILD}"}}"#)), [true, false]);
}

#[test]
fn a_view_counts_from_its_entry_on_and_for_its_user_alone() {
    let mut fold = fold(KNOWN, Part::WHOLE);
    let said = |lsn, guild| dispatch(lsn, To::Channel { guild, channel: OPEN }, Kind::MessageCreate);
    let view = |lsn, user, guild, hidden| Entry { lsn, what: What::View { user, guild, hidden } };
    assert!(step(&mut fold, &said(101, GUILD)).is_some());
    assert!(step(&mut fold, &view(102, OTHER, GUILD, None)).is_none());
    assert!(step(&mut fold, &said(103, GUILD)).is_some());
    step(&mut fold, &view(104, ME, GUILD, Some(hidden(&[OPEN]))));
    assert!(step(&mut fold, &said(105, GUILD)).is_none());
    step(&mut fold, &view(106, ME, STRANGE, Some(hidden(&[]))));
    assert!(step(&mut fold, &said(107, STRANGE)).is_some());
    step(&mut fold, &view(108, ME, STRANGE, None));
    assert!(step(&mut fold, &said(109, STRANGE)).is_none());
    assert_eq!((fold.s, fold.lsn), (12, 109), "contiguous");
}

#[test]
fn a_part_keeps_no_view_of_other_parts_guilds() {
    let mut fold = fold(KNOWN, Part::new(0, 2).unwrap());
    let before = fold.view.clone();
    let what = What::View { user: ME, guild: STRANGE, hidden: Some(hidden(&[])) };
    step(&mut fold, &Entry { lsn: 101, what });
    assert_eq!(fold.view, before);
}

#[test]
fn notes_and_entries_from_before_change_nothing() {
    let mut fold = fold(KNOWN, Part::WHOLE);
    let before = fold.clone();
    step(&mut fold, &dispatch(100, To::Guild(GUILD), Kind::MessageCreate));
    step(&mut fold, &Entry { lsn: 99, what: What::View { user: ME, guild: GUILD, hidden: None } });
    step(&mut fold, &Entry { lsn: 100, what: What::Gone { session: before.session } });
    step(&mut fold, &Entry { lsn: 100, what: What::Reached { positions: Box::default() } });
    assert_eq!(fold, before);
}

#[test]
fn what_a_session_had_elsewhere_is_passed_over_by_shard() {
    let mut fold = Fold { skip: Some([Position(7), Position(0)].into()), ..fold(KNOWN, Part::WHOLE) };
    let said = |lsn, origin: Option<(u32, u64)>| {
        let (to, d) = (To::Guild(GUILD), Bytes::new());
        let origin = origin.map(|(shard, at)| (shard, Position(at)));
        let t = Kind::MessageCreate;
        Entry { lsn, what: What::Dispatch { origin, to, t, author: None, mentions: Box::default(), d } }
    };
    let heard: Vec<_> = [Some((0, 7)), Some((0, 8)), Some((1, 0)), Some((1, 1)), Some((2, 0)), None]
        .into_iter()
        .zip(101..)
        .map(|(origin, lsn)| step(&mut fold, &said(lsn, origin)).is_some())
        .collect();
    assert_eq!(heard, [false, true, false, true, true, true]);
}

#[test]
fn an_idle_fold_is_small() {
    assert!(size_of::<Fold>() <= 96, "{}", size_of::<Fold>());
}
