//! A short torture with a fixed seed; tools/torture.sh runs longer ones.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::process::Command;

#[test]
fn thirty_kills_lose_nothing_that_was_acknowledged() {
    let torture = Command::new(env!("CARGO_BIN_EXE_torture"))
        .args(["--seed", "2026", "--kills", "30", "--minutes", "5", "--savor", env!("CARGO_BIN_EXE_savor-victim")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&torture.stdout);
    assert!(torture.status.success(), "{said}\n{}", String::from_utf8_lossy(&torture.stderr));
    assert!(said.contains("30 kills, 0 lost"), "{said}");
}
