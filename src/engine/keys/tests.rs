//! A key's life: made, proven, rotated, expired, revoked.

use super::*;
use crate::config::Config;
use crate::record::{KeyKind, Scope};

fn engine() -> (Engine, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Engine::open(dir.path().join("data"), Config::default()).unwrap(), dir)
}

fn checked(engine: &Engine, token: &Token, now: Timestamp) -> std::result::Result<String, KeyRefusal> {
    match engine.look_up_key(token.reveal(), now)? {
        Lookup::Known(admitted) => Ok(admitted.key.id.clone()),
        Lookup::Unproven(unproven) => engine.prove_key(&unproven, now).map(|admitted| admitted.key.id.clone()),
    }
}

fn after(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_millis(now.millis() + seconds * 1000).unwrap()
}

/// The same token with its last letter changed.
fn wrong(token: &Token, letter: char) -> Token {
    let text = token.reveal();
    Token::new(format!("{}{letter}", &text[..text.len() - 1]))
}

#[test]
fn a_token_is_proven_once_and_then_known() {
    let (engine, _dir) = engine();
    assert!(!engine.has_keys());
    let made = engine.create_key(&KeyDesign::new("a", [Scope::Read])).unwrap();
    let now = Timestamp::now();
    assert!(matches!(engine.look_up_key(made.token.reveal(), now), Ok(Lookup::Unproven(_))));
    assert_eq!(checked(&engine, &made.token, now).as_ref(), Ok(&made.key.id));
    assert!(matches!(engine.look_up_key(made.token.reveal(), now), Ok(Lookup::Known(_))));
    assert!(engine.has_keys());
}

#[test]
fn keys_and_their_states_outlive_the_process() {
    let (engine, dir) = engine();
    let good = engine.create_key(&KeyDesign::new("good", [Scope::Read])).unwrap();
    let gone = engine.create_key(&KeyDesign::new("gone", [Scope::Operate])).unwrap();
    engine.revoke_key(&gone.key.id).unwrap();
    drop(engine);
    let engine = Engine::open(dir.path().join("data"), Config::default()).unwrap();
    let now = Timestamp::now();
    assert_eq!(checked(&engine, &good.token, now), Ok(good.key.id));
    assert_eq!(checked(&engine, &gone.token, now), Err(KeyRefusal::Revoked));
    assert_eq!(engine.keys().iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["good", "gone"]);
}

#[test]
fn a_revoked_key_is_refused_at_once_though_it_was_known() {
    let (engine, _dir) = engine();
    let made = engine.create_key(&KeyDesign::new("a", [Scope::Read])).unwrap();
    let now = Timestamp::now();
    checked(&engine, &made.token, now).unwrap();
    let revoked = engine.revoke_key(&made.key.id).unwrap().revoked;
    assert_eq!(checked(&engine, &made.token, now), Err(KeyRefusal::Revoked));
    assert_eq!(engine.revoke_key(&made.key.id).unwrap().revoked, revoked);
    assert_eq!(engine.rotate_key(&made.key.id, Span::days(1)).unwrap_err().code(), "conflict");
    assert_eq!(engine.revoke_key("nobody").unwrap_err().code(), "not_found");
}

#[test]
fn a_key_expires_at_its_moment() {
    let (engine, _dir) = engine();
    let design = KeyDesign { expires_in: Some(Span::seconds(60)), ..KeyDesign::new("a", [Scope::Read]) };
    let made = engine.create_key(&design).unwrap();
    let end = made.key.expires.unwrap();
    assert!(checked(&engine, &made.token, after(end, -1)).is_ok());
    assert_eq!(checked(&engine, &made.token, end), Err(KeyRefusal::Expired));
}

#[test]
fn a_rotated_secret_is_good_for_the_overlap_and_no_longer() {
    let (engine, _dir) = engine();
    let first = engine.create_key(&KeyDesign::new("a", [Scope::Read])).unwrap();
    let start = Timestamp::now();
    checked(&engine, &first.token, start).unwrap();
    let second = engine.rotate_key(&first.key.id, Span::seconds(3600)).unwrap();
    let end = second.key.overlap_until.unwrap();
    for token in [&first.token, &second.token] {
        assert!(checked(&engine, token, after(end, -1)).is_ok());
    }
    assert_eq!(checked(&engine, &first.token, end), Err(KeyRefusal::Unknown));
    assert!(checked(&engine, &second.token, end).is_ok());
    let third = engine.rotate_key(&first.key.id, Span::seconds(0)).unwrap();
    assert_eq!(third.key.overlap_until, None);
    let now = Timestamp::now();
    for token in [&first.token, &second.token] {
        assert_eq!(checked(&engine, token, now), Err(KeyRefusal::Unknown));
    }
    assert!(checked(&engine, &third.token, now).is_ok());
}

#[test]
fn a_second_rotation_does_not_lengthen_the_life_of_the_first_secret() {
    let (engine, _dir) = engine();
    let first = engine.create_key(&KeyDesign::new("a", [Scope::Read])).unwrap();
    let end = engine.rotate_key(&first.key.id, Span::seconds(60)).unwrap().key.overlap_until.unwrap();
    engine.rotate_key(&first.key.id, Span::days(1)).unwrap();
    assert!(checked(&engine, &first.token, after(end, -1)).is_ok());
    assert_eq!(checked(&engine, &first.token, end), Err(KeyRefusal::Unknown));
}

#[test]
fn a_key_has_so_many_secrets_at_once() {
    let (engine, _dir) = engine();
    let made = engine.create_key(&KeyDesign::new("a", [Scope::Read])).unwrap();
    let rotate = |overlap| engine.rotate_key(&made.key.id, Span::days(overlap));
    let refused = (0..SECRETS).find_map(|_| rotate(90).err()).unwrap();
    assert!(refused.code() == "conflict" && refused.to_string().contains("overlap of 0s"), "{refused}");
    let now = Timestamp::now();
    assert!(checked(&engine, &made.token, now).is_ok());
    let last = rotate(0).unwrap();
    assert_eq!(checked(&engine, &made.token, Timestamp::now()), Err(KeyRefusal::Unknown));
    assert!(checked(&engine, &last.token, Timestamp::now()).is_ok());
    rotate(90).unwrap();
}

#[test]
fn an_id_of_no_key_is_refused_as_that_of_a_key_is_and_after_the_same_work() {
    let (engine, _dir) = engine();
    let made = engine.create_key(&KeyDesign::new("a", [Scope::Read])).unwrap();
    let now = Timestamp::now();
    let text = made.token.reveal();
    let stranger = format!("{}{}{}", &text[..3], "zzzzzzzzzzzz", &text[15..]);
    let decoy = secret::decoy(&engine.inner.keys.pepper, "zzzzzzzzzzzz");
    let own = engine.inner.keys.live.load()[&made.key.id].secrets[0].clone();
    for (base, kept) in [(text, own), (&*stranger, decoy)] {
        let guess = |n: usize| {
            let letter = |shift: usize| char::from(b"abcdefghijkmnpqrstuvwxyz23456789"[n >> shift & 31]);
            format!("{}{}{}{}{}", &base[..base.len() - 4], letter(15), letter(10), letter(5), letter(0))
        };
        let guesses = |passes: bool| {
            let is_such = |guess: &String| guess != text && secret::may_match(&kept, guess) == passes;
            (0..1 << 20).map(guess).find(is_such).unwrap()
        };
        assert_eq!(engine.look_up_key(&guesses(false), now).err(), Some(KeyRefusal::Unknown));
        // One in 65,536 costs Argon2, and is wrong all the same.
        let Ok(Lookup::Unproven(unproven)) = engine.look_up_key(&guesses(true), now) else { panic!("refused without") };
        assert_eq!(engine.prove_key(&unproven, now).err(), Some(KeyRefusal::Unknown));
    }
}

#[test]
fn wrong_secrets_are_throttled_and_the_right_one_is_not() {
    let (engine, _dir) = engine();
    let made = engine.create_key(&KeyDesign::new("a", [Scope::Read])).unwrap();
    let now = Timestamp::now();
    let mut throttled = 0;
    for letter in "abcdefghijkmnpqrstuvwxyz23456789".chars().filter(|letter| !made.token.reveal().ends_with(*letter)) {
        match checked(&engine, &wrong(&made.token, letter), now) {
            Err(KeyRefusal::Throttled(wait)) => {
                assert!(wait <= Duration::from_secs(1));
                throttled += 1;
            }
            refused => assert_eq!(refused, Err(KeyRefusal::Unknown)),
        }
    }
    assert!(throttled > 10, "{throttled}");
    assert!(checked(&engine, &made.token, now).is_ok());
}

#[test]
fn a_secret_key_is_not_taken_as_a_publishable_one() {
    let (engine, _dir) = engine();
    let made = engine.create_key(&KeyDesign::new("a", [Scope::Read]).publishable()).unwrap();
    assert_eq!(made.key.kind, KeyKind::Publishable);
    let as_secret = Token::new(made.token.reveal().replacen("pk_", "sk_", 1));
    assert_eq!(checked(&engine, &as_secret, Timestamp::now()), Err(KeyRefusal::Unknown));
    assert!(engine.check_key("sk_").is_err());
}

#[test]
fn nothing_on_disk_tells_a_secret() {
    let (engine, dir) = engine();
    let made = engine.create_key(&KeyDesign::new("a", [Scope::Read])).unwrap();
    let secret = made.token.reveal().rsplit('_').next().unwrap().to_owned();
    drop(engine);
    let mut seen = 0;
    for entry in std::fs::read_dir(dir.path().join("data/rocksdb")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        seen += usize::from(bytes.windows(made.key.id.len()).any(|window| window == made.key.id.as_bytes()));
    }
    assert!(seen > 0, "the key itself is there");
}
