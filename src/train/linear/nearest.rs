//! Which items an item is regressed on.

use crate::config::Similarity;
use crate::train::gram_row::{GramRow, strongest};

/// The `k` items most similar to `item`, whose row of the Gramian is `row`, ascending; `diagonal` is the Gramian's.
pub fn nearest(item: u32, row: &GramRow, diagonal: &[f32], k: usize, similarity: Similarity) -> Vec<u32> {
    let mass = |item: u32| diagonal.get(item as usize).copied().unwrap_or(0.0);
    let own = mass(item);
    let score = |other: u32| {
        let (common, theirs) = (row.value(other), mass(other));
        match similarity {
            Similarity::Cosine => common / (own * theirs).sqrt(),
            Similarity::Jaccard => common / (own + theirs - common).max(f32::MIN_POSITIVE),
            Similarity::Overlap => common,
        }
    };
    let others = row.touched().iter().filter(|other| **other != item);
    strongest(k, others.map(|&other| (other, score(other)))).into_iter().map(|(other, _)| other).collect()
}
