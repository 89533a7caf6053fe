//! The rooms and their order: a room imports only rooms to its left.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

/// From left to right; rooms in one cell do not import each other.
const LAYERS: &[&[&str]] = &[
    &["error", "fault"],
    &["record"],
    &["config", "progress"],
    &["linalg", "counters"],
    &["store"],
    &["ingest", "features"],
    &["eval", "index"],
    &["train"],
    &["snapshot"],
    &["recommend"],
    &["experiment", "monitor"],
    &["engine"],
    &["report"],
    &["server", "cli"],
    &["fuzzing"],
];

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn a_room_imports_only_rooms_to_its_left() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut rooms = BTreeSet::new();
    for file in files(&src) {
        let path = file.strip_prefix(&src).unwrap();
        let room = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        let own = layer(&room).unwrap_or_else(|| panic!("room {room} has no layer"));
        for (line, used) in imports(&std::fs::read_to_string(&file).unwrap()) {
            match layer(&used) {
                Some(other) if used != room && other >= own && !(used == "server" && room == "cli") => {
                    wrong.push(format!("{}:{line}: {room} imports {used}", path.display()));
                }
                _ => {}
            }
        }
        rooms.insert(room);
    }
    assert!(rooms.len() >= 14, "found only {rooms:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every `crate::room` of a file, with its line; also those in braces.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (place, _) in line.match_indices("crate::") {
            let rest = &line[place + "crate::".len()..];
            let names = rest.strip_prefix('{').map_or(rest, |inner| inner.split('}').next().unwrap_or(inner));
            for name in if rest.starts_with('{') { names.split(", ").collect() } else { vec![names] } {
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
                found.push((number + 1, name[..end].to_owned()));
            }
        }
    }
    found
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
