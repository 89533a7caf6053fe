//! NumPy's `.npy`, versions 1 to 3 (NumPy Enhancement Proposal 1): two-dimensional, `float32` or `float64`, little-endian, C
//! order. Its header is a Python dictionary; the three keys that it must have are read, as NumPy and others write them.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::{malformed, numbers};
use crate::error::{Error, Result};
use crate::linalg::Matrix;

/// NumPy itself writes far shorter ones for an array without named fields.
const LONGEST_HEADER: usize = 64 << 10;

/// Reads the array.
pub(super) fn read(path: &Path) -> Result<Matrix> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    read_from(path, BufReader::new(file), length)
}

/// Reads the array from bytes of this length; `path` is named in errors.
pub(super) fn read_from(path: &Path, mut reader: impl Read, length: u64) -> Result<Matrix> {
    let header = read_header(&mut reader).map_err(|reason| malformed(path, reason))?;
    let Header { wide, rows, dim, length: header_length } = header;

    let size = if wide { 8 } else { 4 };
    let bytes = rows.checked_mul(dim).and_then(|count| count.checked_mul(size));
    let held = length.saturating_sub(header_length as u64);
    if bytes.and_then(|bytes| u64::try_from(bytes).ok()) != Some(held) {
        return Err(malformed(path, format!("claims {rows} × {dim} numbers of {size} bytes, but {held} bytes follow")));
    }
    let decode = |bytes: &[u8]| match *bytes {
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
        _ => f32::NAN,
    };
    let values = numbers(path, reader, (rows * dim, dim), size, decode)?;
    Matrix::new(dim, values).map_err(|error| error.within(&path.display().to_string()))
}

struct Header {
    wide: bool,
    rows: usize,
    dim: usize,
    length: usize,
}

fn read_header(reader: &mut impl Read) -> std::result::Result<Header, String> {
    let short = |_| "ends within its header".to_string();
    let mut start = [0; 8];
    reader.read_exact(&mut start).map_err(short)?;
    if !start.starts_with(b"\x93NUMPY") {
        return Err("does not begin like a .npy file".into());
    }
    let (text_length, before) = match start[6] {
        1 => {
            let mut length = [0; 2];
            reader.read_exact(&mut length).map_err(short)?;
            (usize::from(u16::from_le_bytes(length)), 10)
        }
        2 | 3 => {
            let mut length = [0; 4];
            reader.read_exact(&mut length).map_err(short)?;
            (u32::from_le_bytes(length) as usize, 12)
        }
        version => return Err(format!("is of .npy version {version}, expected 1 to 3")),
    };
    if text_length > LONGEST_HEADER {
        return Err(format!("has a header of {text_length} bytes, expected at most {LONGEST_HEADER}"));
    }
    let mut text = vec![0; text_length];
    reader.read_exact(&mut text).map_err(short)?;
    let text = String::from_utf8(text).map_err(|_| "has a header that is not text")?;

    let kind = value_of(&text, "descr")?;
    let wide = match kind.trim_matches(['\'', '"']) {
        "<f4" => false,
        "<f8" => true,
        other => return Err(format!("holds numbers of type {other}, expected <f4 or <f8: use astype(\"<f4\")")),
    };
    match value_of(&text, "fortran_order")? {
        "False" => {}
        "True" => return Err("is in Fortran order, expected C order: use numpy.ascontiguousarray".into()),
        other => return Err(format!("has fortran_order {other}, expected True or False")),
    }
    let shape = value_of(&text, "shape")?;
    let inner = shape.strip_prefix('(').and_then(|shape| shape.strip_suffix(')')).ok_or("has a shape that is none")?;
    let sides: Vec<&str> = inner.split(',').map(str::trim).filter(|side| !side.is_empty()).collect();
    let &[rows, dim] = sides.as_slice() else {
        return Err(format!("has the shape ({inner}), expected two dimensions: vectors × values"));
    };
    let side = |text: &str| text.parse::<usize>().map_err(|_| format!("has the shape ({inner}), which is too large"));
    let (rows, dim) = (side(rows)?, side(dim)?);
    if dim == 0 {
        return Err(format!("has the shape ({inner}): vectors without values"));
    }
    Ok(Header { wide, rows, dim, length: before + text_length })
}

/// The text of the value of a key: up to the next comma, or the whole tuple.
fn value_of<'a>(text: &'a str, key: &str) -> std::result::Result<&'a str, String> {
    let missing = || format!("has no \"{key}\" in its header");
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    let after = quoted.iter().find_map(|key| text.split_once(key.as_str())).ok_or_else(missing)?.1;
    let value = after.trim_start().strip_prefix(':').ok_or_else(missing)?.trim_start();
    let end = if value.starts_with('(') { value.find(')').map(|end| end + 1) } else { value.find([',', '}']) };
    value.get(..end.ok_or_else(missing)?).map(str::trim_end).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((header.len() as u16).to_le_bytes()),
            _ => bytes.extend((header.len() as u32).to_le_bytes()),
        }
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn read_bytes(bytes: &[u8]) -> Result<Matrix> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("v.npy");
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    fn reason(bytes: &[u8]) -> String {
        read_bytes(bytes).unwrap_err().to_string().split_once("v.npy:").unwrap().1.trim().to_string()
    }

    const F4: &str = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n";

    #[test]
    fn both_widths_and_all_versions_are_read() {
        let narrow: Vec<u8> = (0..6).flat_map(|value| (value as f32 / 2.0).to_le_bytes()).collect();
        let wide: Vec<u8> = (0..6).flat_map(|value| (f64::from(value) / 2.0).to_le_bytes()).collect();
        let f8 = r#"{"shape":(2,3),"fortran_order":False,"descr":"<f8"}"#;
        for version in [1, 2, 3] {
            for bytes in [file(version, F4, &narrow), file(version, f8, &wide)] {
                let matrix = read_bytes(&bytes).unwrap();
                assert_eq!((matrix.rows(), matrix.dim()), (2, 3));
                assert_eq!(matrix.row(1), [1.5, 2.0, 2.5]);
            }
        }
        let empty = read_bytes(&file(1, &F4.replace("(2, 3)", "(0, 3)"), &[])).unwrap();
        assert_eq!((empty.rows(), empty.dim()), (0, 3));
    }

    #[test]
    fn what_is_not_read_is_said_with_what_to_do() {
        let data = [0; 24];
        assert!(reason(&file(1, &F4.replace("False", "True"), &data)).contains("numpy.ascontiguousarray"));
        assert!(reason(&file(1, &F4.replace("<f4", ">f4"), &data)).contains("type >f4, expected <f4 or <f8"));
        assert!(reason(&file(1, &F4.replace("(2, 3)", "(6,)"), &data)).contains("expected two dimensions"));
        assert!(reason(&file(1, &F4.replace("(2, 3)", "(2, 0)"), &[])).contains("vectors without values"));
        assert!(reason(&file(4, F4, &data)).contains("version 4"));
        assert!(reason(b"PK\x03\x04 not numpy at all").contains("does not begin like"));
        assert!(reason(&file(1, "{'descr': '<f4'}", &data)).contains("no \"fortran_order\""));
    }

    #[test]
    fn a_header_that_claims_more_than_the_file_holds_allocates_nothing() {
        let huge = F4.replace("(2, 3)", "(1000000000000, 64)");
        assert!(reason(&file(1, &huge, &[0; 24])).contains("but 24 bytes follow"));
        let beyond = F4.replace("(2, 3)", "(18446744073709551615, 64)");
        assert!(reason(&file(1, &beyond, &[0; 24])).contains("but 24 bytes follow"));
        assert!(reason(&file(1, F4, &[0; 23])).contains("but 23 bytes follow"));
        assert!(reason(&file(1, F4, &[0; 25])).contains("but 25 bytes follow"));
        let mut bytes = file(2, F4, &[0; 24]);
        bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(reason(&bytes).contains("header of 4294967295 bytes"));
    }

    #[test]
    fn a_value_that_is_no_number_is_named_by_its_row() {
        let mut data = [0; 24];
        data[16..20].copy_from_slice(&f32::NAN.to_le_bytes());
        assert_eq!(reason(&file(1, F4, &data)), "2: value 1: is NaN, expected a finite 32-bit number");
        let f8 = F4.replace("<f4", "<f8").replace("(2, 3)", "(1, 1)");
        assert!(reason(&file(1, &f8, &1e300f64.to_le_bytes())).starts_with("1: value 0: is inf"));
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_a_matrix_and_never_a_panic(
            at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = file(1, F4, &[0; 24]);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = read_bytes(&bytes);
            let cut = cut.index(bytes.len());
            prop_assert!(read_bytes(&bytes[..cut]).is_err());
        }
    }
}
