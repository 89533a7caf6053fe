//! What a fuzzer does to files of vectors: what is read are so many finite numbers as the file holds.

use std::path::Path;

use super::{fvecs, npy};

/// The bytes of a `.npy` where they begin so, else those of `.fvecs`.
pub fn vectors(bytes: &[u8]) {
    let (path, length) = (Path::new("v"), bytes.len() as u64);
    let is_npy = bytes.starts_with(b"\x93NUMPY");
    let read = if is_npy { npy::read_from(path, bytes, length) } else { fvecs::read_from(path, bytes, length) };
    match read {
        Ok(matrix) => {
            assert!(matrix.data().iter().all(|value| value.is_finite()));
            let held = if is_npy { 4 * matrix.data().len() } else { matrix.rows() * (4 + 4 * matrix.dim()) };
            assert!(held <= bytes.len());
        }
        Err(error) => assert!(error.to_string().starts_with('v') || bytes.is_empty(), "{error}"),
    }
}

/// Inputs to begin with.
#[cfg(test)]
pub fn vector_seeds() -> Vec<Vec<u8>> {
    let npy = |version: u8, kind: &str, data: &[u8]| {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (2, 3), }}\n");
        let length = (header.len() as u32).to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length[..] };
        [b"\x93NUMPY", &[version, 0][..], length, header.as_bytes(), data].concat()
    };
    let floats: Vec<u8> = (0..6).flat_map(|n| (n as f32 / 2.0).to_le_bytes()).collect();
    let wide: Vec<u8> = (0..6).flat_map(|n| f64::from(n).to_le_bytes()).collect();
    let fvecs = [&2i32.to_le_bytes()[..], &floats[..8], &2i32.to_le_bytes(), &floats[8..16]].concat();
    vec![npy(1, "<f4", &floats), npy(2, "<f8", &wide), npy(3, "<f4", &floats), fvecs]
}
