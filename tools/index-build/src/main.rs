//! Builds a snapshot bundle offline.

fn main() {}
