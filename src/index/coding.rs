//! Numbers as codes of eight bits.

/// The largest code; the smallest is its negative.
const MOST: f32 = 127.0;

/// What a code of 1 is worth: the largest value gets the largest code.
pub fn worth(values: &[f32]) -> f32 {
    values.iter().fold(0.0f32, |most, value| most.max(value.abs())) / MOST
}

/// The codes of values, the nearest or beside it: what they are off by is measured.
pub fn encode(values: &[f32], worth: f32) -> impl Iterator<Item = i32> {
    // So small a worth has no inverse; all codes are zero then, and all of the vector is error.
    let scale = if worth >= f32::MIN_POSITIVE { 1.0 / worth } else { 0.0 };
    values.iter().map(move |value| {
        // Added to 1.5 · 2²³, an f32 keeps no places behind the point; as fast as an addition on any processor.
        let rounded = (value * scale).clamp(-MOST, MOST) + 12_582_912.0;
        (rounded - 12_582_912.0) as i32
    })
}
