//! The best few of a catalogue of scores.

/// The `k` best unseen columns, the best first; equal scores by column, NaN last. `seen` is ascending; `order` is a
/// buffer. Linear in the catalogue, plus the sort of `k`.
pub fn unseen(scores: &[f32], seen: &[u32], k: usize, order: &mut Vec<u32>) -> Vec<u32> {
    order.clear();
    let mut seen = seen.iter().peekable();
    order.extend((0..scores.len() as u32).filter(|column| seen.next_if(|next| *next == column).is_none()));
    let score = |column: &u32| {
        let score = scores.get(*column as usize).copied().unwrap_or(f32::NEG_INFINITY);
        if score.is_nan() { f32::NEG_INFINITY } else { score }
    };
    let better = |a: &u32, b: &u32| score(b).total_cmp(&score(a)).then(a.cmp(b));
    if order.len() > k && k > 0 {
        order.select_nth_unstable_by(k - 1, better);
    }
    order.truncate(k);
    order.sort_unstable_by(better);
    order.clone()
}
