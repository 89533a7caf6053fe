//! Tokens and what is kept of them. A token is `sk_ID_SECRET`: the id finds the key, so that a token of no key costs nothing, and
//! the secret, 260 random bits, is known by its Argon2id hash alone.

use argon2::{Algorithm, Argon2, Params, Version};
use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput, KeyInit, Update};
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};
use crate::record::{KeyKind, Token};
use crate::store::SecretHash;

const ID_LETTERS: usize = 12;
const SECRET_LETTERS: usize = 52;
/// Five bits each, none that is taken for another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// OWASP's first choice for Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = Params::DEFAULT_M_COST;
const PASSES: u32 = Params::DEFAULT_T_COST;
/// No stored hash may ask for more: 256 MiB, 16 passes.
const MOST_KIB: u32 = 256 << 10;
const MOST_PASSES: u32 = 16;

/// The kind and the id that a token names; `None` for a text that is no token.
pub fn parse(token: &str) -> Option<(KeyKind, &str)> {
    if token.len() != 2 + 1 + ID_LETTERS + 1 + SECRET_LETTERS {
        return None;
    }
    let (prefix, rest) = token.split_once('_')?;
    let (id, secret) = rest.split_once('_')?;
    let kind = [KeyKind::Secret, KeyKind::Publishable].into_iter().find(|kind| kind.prefix() == prefix)?;
    let all_letters = id.bytes().chain(secret.bytes()).all(|byte| LETTERS.contains(&byte));
    (all_letters && id.len() == ID_LETTERS).then_some((kind, id))
}

/// A new id.
pub fn id() -> Result<String> {
    letters(ID_LETTERS)
}

/// A new token for a key.
pub fn token(kind: KeyKind, id: &str) -> Result<Token> {
    Ok(Token::new(format!("{}_{id}_{}", kind.prefix(), letters(SECRET_LETTERS)?)))
}

fn letters(count: usize) -> Result<String> {
    let mut bytes = vec![0; count];
    random(&mut bytes)?;
    Ok(bytes.iter().filter_map(|byte| LETTERS.get(usize::from(byte & 31))).map(|letter| char::from(*letter)).collect())
}

/// Fills with the operating system's random bytes.
pub fn random(bytes: &mut [u8]) -> Result<()> {
    let source = |error: getrandom::Error| std::io::Error::other(error.to_string());
    getrandom::fill(bytes).map_err(|error| Error::io("random numbers of the system")(source(error)))
}

/// What is to be kept of a token. The work of Argon2.
pub fn hash(token: &Token) -> Result<SecretHash> {
    let mut salt = [0; SALT_BYTES];
    random(&mut salt)?;
    let hash = argon(token.reveal(), &salt, MEMORY_KIB, PASSES)?;
    Ok(SecretHash {
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        salt: hex(&salt),
        hash: hex(&hash),
        tag: tag(token.reveal(), &salt),
        until: None,
    })
}

/// What would be kept of a token that nobody has: always the same for an id, and for none foreseen without the key.
pub fn decoy(key: &[u8], id: &str) -> SecretHash {
    let [a, b, salt @ ..] = keyed(key, &[b"decoy/", id.as_bytes()].concat());
    let salt = salt.first_chunk::<SALT_BYTES>().unwrap_or(&[0; SALT_BYTES]);
    let hash = hex(&keyed(key, salt));
    SecretHash { memory_kib: MEMORY_KIB, passes: PASSES, salt: hex(salt), hash, tag: [a, b], until: None }
}

/// Whether a token may be the one that this was made of: a wrong one passes once in 65,536 times. Takes the same time for all.
pub fn may_match(stored: &SecretHash, token: &str) -> bool {
    unhex::<SALT_BYTES>(&stored.salt).is_some_and(|salt| bool::from(tag(token, &salt).ct_eq(&stored.tag)))
}

/// Whether a token is the one that this was made of, compared in constant time. The work of Argon2. Errors: [`Error::Corrupt`] if the
/// stored hash is none.
pub fn matches(stored: &SecretHash, token: &str) -> Result<bool> {
    let damaged = || Error::corrupt("an API key", "its hash is none; revoke it and make another");
    let salt = unhex::<SALT_BYTES>(&stored.salt).ok_or_else(damaged)?;
    let expected = unhex::<HASH_BYTES>(&stored.hash).ok_or_else(damaged)?;
    if stored.memory_kib > MOST_KIB || stored.passes > MOST_PASSES {
        return Err(damaged());
    }
    let hash = argon(token, &salt, stored.memory_kib, stored.passes)?;
    Ok(hash.ct_eq(&expected).into())
}

fn argon(token: &str, salt: &[u8], memory_kib: u32, passes: u32) -> Result<[u8; HASH_BYTES]> {
    let failed = |error: argon2::Error| Error::corrupt("an API key", format!("Argon2: {error}"));
    let params = Params::new(memory_kib, passes, Params::DEFAULT_P_COST, Some(HASH_BYTES)).map_err(failed)?;
    let mut hash = [0; HASH_BYTES];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(token.as_bytes(), salt, &mut hash).map_err(failed)?;
    Ok(hash)
}

fn tag(token: &str, salt: &[u8; SALT_BYTES]) -> [u8; 2] {
    let [a, b, ..] = keyed(salt, token.as_bytes());
    [a, b]
}

/// BLAKE2b of a text under a key of up to 64 bytes: nobody without the key can tell what it was made of.
pub fn keyed(key: &[u8], text: &[u8]) -> [u8; 32] {
    let Ok(mut mac) = <Blake2bMac<U32> as KeyInit>::new_from_slice(key) else {
        return [0; 32];
    };
    mac.update(text);
    mac.finalize_fixed().into()
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_kind_and_id_and_nothing_else_is_one() {
        let id = id().unwrap();
        for kind in [KeyKind::Secret, KeyKind::Publishable] {
            let token = token(kind, &id).unwrap();
            assert_eq!(parse(token.reveal()), Some((kind, id.as_str())));
            for cut in 0..token.reveal().len() {
                assert_eq!(parse(&token.reveal()[..cut]), None);
            }
            for wrong in
                [format!("{}a", token.reveal()), token.reveal().to_uppercase(), token.reveal().replace('_', "-")]
            {
                assert_eq!(parse(&wrong), None, "{wrong}");
            }
        }
        assert_eq!(parse(&"é".repeat(34)), None);
        assert_eq!(parse(&"_".repeat(68)), None);
    }

    #[test]
    fn a_hash_knows_its_token_and_no_other() {
        let (right, wrong) = (token(KeyKind::Secret, "x").unwrap(), token(KeyKind::Secret, "x").unwrap());
        let stored = hash(&right).unwrap();
        assert!(may_match(&stored, right.reveal()) && matches(&stored, right.reveal()).unwrap());
        assert!(!matches(&stored, wrong.reveal()).unwrap());
        let again = hash(&right).unwrap();
        assert!(again.hash != stored.hash && again.salt != stored.salt);
        let kept = serde_json::to_string(&stored).unwrap();
        assert!(!kept.contains(right.reveal()) && !kept.contains(right.reveal().rsplit('_').next().unwrap()));
    }

    #[test]
    fn the_tag_passes_hardly_any_wrong_token() {
        let stored = hash(&token(KeyKind::Secret, "x").unwrap()).unwrap();
        let passed = (0..20_000).filter(|number| may_match(&stored, &format!("sk_x_{number}"))).count();
        assert!(passed < 5, "{passed} of 20,000");
    }

    #[test]
    fn a_damaged_hash_is_an_error_and_asks_for_no_memory() {
        let token = token(KeyKind::Secret, "x").unwrap();
        let stored = hash(&token).unwrap();
        for damaged in [
            SecretHash { hash: "0".repeat(63), ..stored.clone() },
            SecretHash { salt: "zz".repeat(16), ..stored.clone() },
            SecretHash { memory_kib: u32::MAX, ..stored.clone() },
            SecretHash { passes: 1 << 20, ..stored.clone() },
            SecretHash { passes: 0, ..stored },
        ] {
            assert_eq!(matches(&damaged, token.reveal()).unwrap_err().code(), "corrupt");
        }
    }

    #[test]
    fn a_keyed_hash_depends_on_key_and_text() {
        let hashes = [keyed(&[1; 32], b"a"), keyed(&[2; 32], b"a"), keyed(&[1; 32], b"b")];
        assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2]);
        assert_eq!(hashes[0], keyed(&[1; 32], b"a"));
        assert_eq!(unhex::<32>(&hex(&hashes[0])), Some(hashes[0]));
    }
}
