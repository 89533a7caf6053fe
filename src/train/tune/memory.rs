//! How many trials fit beside each other. Estimates are generous and the free memory is halved: a search must never push
//! the server beside it out of memory.

use crate::config::{ModelKind, TrainConfig};

/// What is assumed where the system does not tell.
const UNKNOWN: u64 = 2 << 30;

/// Bytes that a search may use: half of what is free for this process.
pub fn available() -> u64 {
    let system = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
    });
    // A container's bound, where there is one.
    let number = |file: &str| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let bound = number("/sys/fs/cgroup/memory.max").zip(number("/sys/fs/cgroup/memory.current"));
    let free = bound.map(|(most, used)| most.saturating_sub(used));
    system.into_iter().chain(free).min().unwrap_or(UNKNOWN) / 2
}

/// Bytes that training and measuring a settled configuration take, at most: parts and what they are made from, and the
/// model that they become.
pub fn needed(config: &TrainConfig, users: usize, items: usize, pairs: usize, threads: usize) -> u64 {
    const FLOAT: usize = 4;
    // A column and a value, held twice while rows are put together.
    const ENTRY: usize = 16;
    let sides = users + items;
    let ials = 3 * sides * config.dimension * FLOAT;
    let filter = 4 * sides * config.filter.components * FLOAT + items * config.filter.neighbours * ENTRY;
    let linear = match config.linear.neighbours {
        0 => 3 * items * items * FLOAT,
        neighbours => items * neighbours * ENTRY + threads * neighbours * neighbours * 4 * FLOAT,
    };
    let sgd = 4 * sides * config.sgd.dimension * FLOAT;
    let model = match config.model {
        ModelKind::Ials => ials,
        ModelKind::Filter => filter,
        ModelKind::Linear => linear,
        // The item-item parts are merged into lists of their own.
        ModelKind::Blend => ials + 2 * (filter + linear),
        ModelKind::Bpr | ModelKind::Softmax => sgd,
        ModelKind::Ratings => 4 * sides * config.ratings.dimension * FLOAT,
        ModelKind::Popularity => 0,
    };
    let measuring = threads * items * 4 * FLOAT;
    (model + measuring + 4 * pairs * ENTRY) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_needs_more() {
        let small = TrainConfig { dimension: 32, model: ModelKind::Ials, ..TrainConfig::default() };
        let large = TrainConfig { dimension: 256, ..small.clone() };
        let blend = TrainConfig { model: ModelKind::Blend, ..large.clone() };
        let of = |config: &TrainConfig| needed(config, 30_000, 40_000, 800_000, 2);
        assert!(of(&small) < of(&large) && of(&large) < of(&blend));
        assert!((100 << 20..2 << 30).contains(&of(&blend)), "{}", of(&blend));
    }

    #[test]
    fn some_memory_is_there() {
        assert!(available() > 1 << 20);
    }
}
