use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn ids() -> impl Strategy<Value = Vec<Id>> {
    vec(any::<u64>().prop_map(Id), 0..5)
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<[u8; 16]>().prop_map(SessionId)
}

fn to() -> impl Strategy<Value = To> {
    prop_oneof![
        any::<u64>().prop_map(|g| To::Guild(Id(g))),
        any::<(u64, u64)>().prop_map(|(g, c)| To::Channel { guild: Id(g), channel: Id(c) }),
        ids().prop_map(To::Users),
        session().prop_map(To::Session),
    ]
}

fn positions() -> impl Strategy<Value = Vec<Position>> {
    vec(any::<u64>().prop_map(Position), 0..4)
}

fn mark() -> impl Strategy<Value = Mark> {
    let part = (any::<u32>(), 1..u32::MAX).prop_filter_map("a part", |(id, of)| Part::new(id % of, of));
    let view = vec((any::<u64>().prop_map(Id), ids().prop_map(Arc::from)), 0..4).prop_map(View::new);
    let rest = (any::<u64>(), any::<u64>(), any::<u64>(), view, option::of(positions().prop_map(Arc::from)));
    (any::<[u8; 32]>(), any::<u64>(), session(), any::<u64>(), part, rest).prop_map(
        |(token_hash, generation, session, user, part, (intents, s, lsn, view, skip))| {
            let fold = Fold { session, user: Id(user), intents, part, s, lsn, view, skip };
            Mark { token_hash, generation, fold }
        },
    )
}

fn what() -> impl Strategy<Value = What> {
    let origin = option::of((any::<u32>(), any::<u64>().prop_map(Position)));
    let author = option::of(any::<u64>().prop_map(Id));
    prop_oneof![
        (origin, to(), 0..KINDS.len(), author, ids(), "\\PC{0,40}").prop_map(
            |(origin, to, t, author, mentions, d)| What::Dispatch {
                origin,
                to,
                t: KINDS[t],
                author,
                mentions: mentions.into(),
                d: d.into(),
            }
        ),
        (any::<(u64, u64)>(), option::of(ids())).prop_map(|((user, guild), hidden)| What::View {
            user: Id(user),
            guild: Id(guild),
            hidden: hidden.map(Arc::from),
        }),
        mark().prop_map(|mark| What::Session(Box::new(mark))),
        session().prop_map(|session| What::Gone { session }),
        positions().prop_map(|p| What::Reached { positions: p.into() }),
    ]
}

fn encoded(entry: &Entry) -> Bytes {
    let mut out = Vec::new();
    entry.encode(&mut out);
    out.into()
}

proptest! {
    #[test]
    fn fuzz_entries_come_back(lsn in any::<u64>(), what in what()) {
        let entry = Entry { lsn, what };
        let bytes = encoded(&entry);
        prop_assert_eq!(Entry::decode(&bytes), Ok(entry));
        for len in 0..bytes.len() {
            prop_assert_eq!(Entry::decode(&bytes.slice(..len)), Err(Malformed));
        }
    }

    /// A changed byte gives another entry or none, and never a panic.
    #[test]
    fn fuzz_changed_bytes(what in what(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encoded(&Entry { lsn: 1, what }).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        // Read as something, it is written as something that reads the same.
        if let Ok(entry) = Entry::decode(&bytes.into()) {
            prop_assert_eq!(Entry::decode(&encoded(&entry)), Ok(entry));
        }
    }

    #[test]
    fn fuzz_any_bytes(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(entry) = Entry::decode(&bytes.into()) {
            prop_assert_eq!(Entry::decode(&encoded(&entry)), Ok(entry));
        }
    }
}

#[test]
fn a_length_that_the_bytes_could_not_hold_allocates_nothing() {
    // GUILD_MEMBERS_CHUNK to 2^63 users.
    let mut bytes = vec![1, DISPATCH, 0, TO_USERS];
    put_number(&mut bytes, 1 << 63);
    assert_eq!(Entry::decode(&bytes.into()), Err(Malformed));
}

/// The bytes are on disks: a kind's byte never changes.
#[test]
fn kinds_keep_their_bytes() {
    for (at, kind) in KINDS.iter().enumerate() {
        assert_eq!(usize::from(code(*kind)), at);
    }
    let names: Vec<_> = KINDS.iter().map(|k| k.name()).collect();
    assert_eq!(
        names.join(" "),
        "GUILD_CREATE GUILD_UPDATE GUILD_DELETE CHANNEL_CREATE CHANNEL_UPDATE CHANNEL_DELETE CHANNEL_PINS_UPDATE \
         GUILD_ROLE_CREATE GUILD_ROLE_UPDATE GUILD_ROLE_DELETE GUILD_MEMBER_ADD GUILD_MEMBER_UPDATE \
         GUILD_MEMBER_REMOVE GUILD_MEMBERS_CHUNK GUILD_BAN_ADD GUILD_BAN_REMOVE INVITE_CREATE INVITE_DELETE \
         PRESENCE_UPDATE MESSAGE_CREATE MESSAGE_UPDATE MESSAGE_DELETE MESSAGE_DELETE_BULK MESSAGE_REACTION_ADD \
         MESSAGE_REACTION_REMOVE MESSAGE_REACTION_REMOVE_ALL MESSAGE_REACTION_REMOVE_EMOJI TYPING_START USER_UPDATE \
         RESUMED RATE_LIMITED"
    );
}

#[test]
fn one_entry_byte_for_byte() {
    let what = What::Dispatch {
        origin: Some((0, Position(300))),
        to: To::Guild(Id(2)),
        t: Kind::TypingStart,
        author: Some(Id(3)),
        mentions: Box::default(),
        d: Bytes::from_static(b"{}"),
    };
    let bytes = encoded(&Entry { lsn: 129, what });
    assert_eq!(
        &*bytes,
        [
            0x81, 1, 1, 1, 0, 0xac, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 27, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 2, b'{',
            b'}'
        ]
    );
}
