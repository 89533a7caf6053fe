//! Values as bytes: one byte that says how the rest is written, 1 for bincode and 2 for JSON. Data is bincode: dense,
//! and read by position. Small records of other rooms are JSON: read by name, so that they may gain fields. Decoding is
//! bounded by the length of what is stored and never panics. The only file that names bincode; its 2.0 format is stable
//! and small enough to be written anew if the crate should ever go.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

const BINARY: u8 = 1;
const JSON: u8 = 2;
/// No record is larger; a length beyond this in damaged bytes allocates nothing.
const MAX_BYTES: usize = 64 << 20;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_BYTES>()
}

/// The bytes of a value.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = vec![BINARY];
    encode_into(value, &mut bytes)?;
    Ok(bytes)
}

fn encode_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<()> {
    bincode::serde::encode_into_std_write(value, bytes, config())
        .map(drop)
        .map_err(|error| Error::Storage { operation: "encode", reason: error.to_string() })
}

/// The value of some bytes; `what` is named in the error.
pub fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T> {
    let (value, length) = decode_prefix(what, bytes)?;
    if length == bytes.len() { Ok(value) } else { Err(Error::corrupt(what, "has bytes after its end")) }
}

/// The bytes of a value, and after them of what a later format has to say beside it.
pub fn encode_with_rest<A: Serialize, B: Serialize>(value: &A, rest: Option<&B>) -> Result<Vec<u8>> {
    let mut bytes = encode(value)?;
    rest.map_or(Ok(()), |rest| encode_into(rest, &mut bytes))?;
    Ok(bytes)
}

/// Both of them; an older format wrote no rest.
pub fn decode_with_rest<A: DeserializeOwned, B: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<(A, Option<B>)> {
    let (value, length) = decode_prefix(what, bytes)?;
    let rest = bytes.get(length..).unwrap_or_default();
    if rest.is_empty() {
        return Ok((value, None));
    }
    let decoded = bincode::serde::decode_from_slice(rest, config());
    let (decoded, read) = decoded.map_err(|error| Error::corrupt(what, error.to_string()))?;
    if read == rest.len() { Ok((value, Some(decoded))) } else { Err(Error::corrupt(what, "has bytes after its end")) }
}

/// The first field (or fields) of a record, without reading the rest.
pub fn decode_first<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T> {
    decode_prefix(what, bytes).map(|(value, _)| value)
}

/// The bytes of a record that is read by name.
pub fn encode_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = vec![JSON];
    serde_json::to_writer(&mut bytes, value)
        .map_err(|error| Error::Storage { operation: "encode", reason: error.to_string() })?;
    Ok(bytes)
}

/// The record of some bytes; `what` is named in the error.
pub fn decode_json<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(body(what, bytes, JSON)?).map_err(|error| Error::corrupt(what, error.to_string()))
}

fn body<'a>(what: &'static str, bytes: &'a [u8], expected: u8) -> Result<&'a [u8]> {
    match bytes.split_first() {
        Some((version, body)) if *version == expected => Ok(body),
        Some((version, _)) => Err(Error::corrupt(
            what,
            format!(
                "has record version {version}, this build reads {expected}: a newer Savor wrote it, or its bytes are damaged; upgrade, or \
             restore a backup"
            ),
        )),
        None => Err(Error::corrupt(what, "is empty")),
    }
}

fn decode_prefix<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<(T, usize)> {
    let body = body(what, bytes, BINARY)?;
    bincode::serde::decode_from_slice(body, config())
        .map(|(value, length)| (value, length + 1))
        .map_err(|error| Error::corrupt(what, error.to_string()))
}

/// Little-endian bytes of floats.
pub fn encode_floats(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|float| float.to_le_bytes()).collect()
}

/// Replaces the content of `out` with the floats of some bytes.
pub fn decode_floats(bytes: &[u8], out: &mut Vec<f32>) -> Result<()> {
    let (floats, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(Error::corrupt("a vector", format!("has {} bytes, not a multiple of 4", bytes.len())));
    }
    out.clear();
    out.extend(floats.iter().map(|float| f32::from_le_bytes(*float)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        value: Option<f64>,
        names: Vec<String>,
    }

    proptest! {
        #[test]
        fn values_are_read_as_written(value: Option<f64>, names: Vec<String>) {
            prop_assume!(value.is_none_or(|value| !value.is_nan()));
            let sample = Sample { value, names };
            let bytes = encode(&sample).unwrap();
            prop_assert_eq!(decode_first::<Option<f64>>("sample", &bytes).unwrap(), value);
            prop_assert_eq!(&decode::<Sample>("sample", &bytes).unwrap(), &sample);
            if sample.value.is_none_or(f64::is_finite) {
                let bytes = encode_json(&sample).unwrap();
                prop_assert_eq!(decode_json::<Sample>("sample", &bytes).unwrap(), sample);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = decode::<Sample>("sample", &bytes);
            let _ = decode_json::<Sample>("sample", &bytes);
            let _ = decode_floats(&bytes, &mut Vec::new());
        }

        #[test]
        fn floats_are_read_as_written(floats: Vec<f32>) {
            let mut read = Vec::new();
            decode_floats(&encode_floats(&floats), &mut read).unwrap();
            prop_assert_eq!(read.iter().map(|f| f.to_bits()).collect::<Vec<_>>(), floats.iter().map(|f| f.to_bits()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_length_beyond_all_bounds_allocates_nothing() {
        let mut bytes = vec![BINARY, 0, 253];
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(decode::<Sample>("sample", &bytes).unwrap_err().code(), "corrupt");
    }

    #[test]
    fn a_record_of_another_version_is_refused() {
        assert!(decode::<u8>("sample", &[9, 1]).unwrap_err().to_string().contains("record version 9"));
        assert!(decode_json::<u8>("sample", &[BINARY, 1]).unwrap_err().to_string().contains("record version 1"));
    }
}
