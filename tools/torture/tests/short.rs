//! A short torture with a fixed seed; tools/torture.sh runs longer ones.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::process::Command;

#[test]
fn thirty_kills_lose_nothing_that_was_acknowledged() {
    let torture = Command::new(env!("CARGO_BIN_EXE_torture"))
        .args(["--seed", "2026", "--kills", "30", "--seconds", "300", "--savor", env!("CARGO_BIN_EXE_savor-victim")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&torture.stdout);
    assert!(torture.status.success(), "{said}\n{}", String::from_utf8_lossy(&torture.stderr));
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("torture kills=3"), "{said}");
    assert!(last.contains(" lost=0 failed_opens=0 mixed=0 panics=0 seed=2026 wrong_answers=0 "), "{said}");
}
