//! The `savor` binary.

fn main() {}
