//! The registry's settings: `tfreg init`, what every command makes of them, and absolute links.

mod align;
mod flags;
mod init;
mod readers;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::archive::{Archive, genuine_executable, write};
use crate::support::{Ran, run, tfreg, tree};

const DISCOVERY: &str = ".well-known/terraform.json";
const SETTINGS: &str = "registry/settings.json";
const BASE: &str = "https://registry.example.com/tf/";
/// The fingerprints of `ed25519.asc` and `p256.asc`.
const ED25519: &str = "4E8911C0E0EC692102243A48A7F2BC5B6E845A69";
const P256: &str = "5062C27F84CD6903A969B8281FD51C14BF354275";

/// `tfreg init TARGET ARG…`
fn init(target: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = tfreg();
    command.arg("init").arg(target).args(args);
    command
}

fn set(site: &Path, args: &[&str]) -> Ran {
    run(&mut init(site, args))
}

fn json(site: &Path, key: &str) -> Value {
    serde_json::from_slice(&std::fs::read(site.join(key)).unwrap()).unwrap()
}

/// The tarball of a pre-release, 1.2.0-rc.1 for linux_amd64.
fn candidate(folder: &Path) -> PathBuf {
    let manifest = br#"{"version":1,"metadata":{"protocol_versions":["6.0"]}}"#;
    let archive = Archive::new()
        .file("terraform-provider-sample", genuine_executable("linux-amd64"))
        .file("terraform-registry-manifest.json", manifest);
    write(folder, "terraform-provider-sample-v1.2.0-rc.1-linux-amd64-bin.tar.gz", archive.gz())
}

/// `tfreg reindex TARGET --all ARG…`, with nobody to answer.
fn reindex_all(target: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = tfreg();
    command.arg("reindex").arg(target).arg("--all").args(args).stdin(std::process::Stdio::null());
    command
}

/// The command in a refusal's remedy, between backticks.
fn remedy(ran: &Ran) -> Vec<String> {
    let line = ran.stderr.lines().find(|line| line.starts_with("  remedy: ")).unwrap();
    let command = line.split('`').nth(1).unwrap_or_else(|| panic!("no command in {line}"));
    let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
    assert_eq!(words[0], "tfreg", "{line}");
    words[1..].to_vec()
}

/// Carries out what the remedy says.
fn remedied(ran: &Ran, envs: &[(String, String)]) {
    run(tfreg().args(remedy(ran)).envs(envs.iter().cloned())).succeeds();
}

/// The links of a document, by their members, at any depth: every text that leads to an object.
fn links(document: &Value, found: &mut Vec<String>) {
    match document {
        Value::String(text) if text.contains("/store/") || text.ends_with("/registry/") => {
            found.push(text.clone());
        }
        Value::Array(list) => list.iter().for_each(|value| links(value, found)),
        Value::Object(object) => object.values().for_each(|value| links(value, found)),
        _ => {}
    }
}

/// Follows every link of every document as Renovate does: it takes it as it stands, without a base. Gives those that it
/// cannot follow, and how many there are.
fn unfollowed(site: &Path, base: &str) -> (Vec<String>, usize) {
    let files = tree(site);
    let (mut bad, mut count) = (Vec::new(), 0);
    for (key, bytes) in files.iter().filter(|(key, _)| key.contains("/download/") || *key == DISCOVERY) {
        let mut found = Vec::new();
        links(&serde_json::from_slice(bytes).unwrap(), &mut found);
        assert!(!found.is_empty(), "{key} has no links");
        for link in found {
            count += 1;
            let is_there = url::Url::parse(&link).is_ok()
                && link
                    .strip_prefix(base)
                    .is_some_and(|rest| rest == "registry/" || files.contains_key(rest));
            if !is_there {
                bad.push(format!("{key}: {link}"));
            }
        }
    }
    (bad, count)
}
