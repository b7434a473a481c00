//! The rooms of the library: each uses only those before it in [`ROOMS`], so a room can be read without those behind it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. `lib.rs` and `main.rs` are in no room.
const ROOMS: &[&str] = &[
    "error",
    "words",
    "provider",
    "content",
    "regular",
    "worker",
    "splice",
    "openpgp",
    "registry",
    "pages",
    "release",
    "package",
    "store",
    "kms",
    "cdn",
    "reader",
    "plan",
    "publish",
    "policy",
    "hosting",
    "probe",
    "verify",
    "promotion",
    "fetch",
    "serve",
    "logs",
    "workflow",
    "report",
    "cli",
];

/// The room of a file below `src`.
fn room_of(file: &Path) -> String {
    let first = file.components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The rooms that a line of code uses by a path from the root.
fn used(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    code.split("crate::").skip(1).map(|path| {
        let end = path.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(path.len());
        &path[..end]
    })
}

/// The lines of a file that use a room behind its own.
fn breaches(file: &Path, text: &str) -> Vec<String> {
    let place = |room: &str| ROOMS.iter().position(|other| *other == room);
    let room = room_of(file);
    let Some(own) = place(&room) else { return vec![format!("{}: no room of that name", file.display())] };
    let lines = text.lines().enumerate();
    let broken = lines.flat_map(|(number, line)| {
        let later = used(line).filter(move |used| place(used).is_none_or(|used| used > own));
        let file = file.display();
        later.map(move |used| format!("src/{file}:{}: uses {used}: {}", number + 1, line.trim()))
    });
    broken.collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn rooms_use_only_those_before_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    let mut broken = Vec::new();
    for path in found {
        let file = path.strip_prefix(&source).unwrap();
        if !matches!(file.to_str(), Some("lib.rs" | "main.rs")) {
            broken.extend(breaches(file, &fs::read_to_string(&path).unwrap()));
        }
    }
    broken.sort();
    assert!(broken.is_empty(), "the order of the rooms is {ROOMS:?}; it is broken by\n{}", broken.join("\n"));
}

#[test]
fn a_use_against_the_order_is_found() {
    let error = Path::new("error.rs");
    let said = breaches(error, "use std::io;\nuse crate::store::StoreError;\n// crate::cli is no use\n");
    assert_eq!(said, ["src/error.rs:2: uses store: use crate::store::StoreError;"]);
    let inline =
        breaches(Path::new("plan/planner.rs"), "    crate::publish::run(crate::registry::Key::Discovery)");
    assert_eq!(inline.len(), 1, "{inline:?}");
    assert_eq!(breaches(Path::new("attic.rs"), ""), ["attic.rs: no room of that name"]);
    assert!(breaches(Path::new("cli/mod.rs"), "use crate::report::Reporter;").is_empty());
}
