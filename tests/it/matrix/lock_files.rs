//! What `init` writes into lock files, and which lock files still hold after a registry was changed.

use std::collections::BTreeSet;

use super::sites::{Site, init, init_readonly};
use super::{Claim, Client, Seen, claim, installs, refuses};
use crate::support::clients::{Preview, Terraform};
use crate::support::{Ran, key, tarball, tarballs};

/// The schemes of a lock file's hashes, counted.
pub(super) fn counted(directory: &Terraform) -> String {
    let lock = directory.lock_file();
    format!("{} zh, {} h1", lock.matches("\"zh:").count(), lock.matches("\"h1:").count())
}

/// The hashes in the text of a lock file.
pub(super) fn hashes(lock: &str) -> BTreeSet<&str> {
    lock.split('"').filter(|part| part.starts_with("zh:") || part.starts_with("h1:")).collect()
}

/// What the first `init` locks.
fn locks(directory: &Terraform) -> Seen {
    let ran = init(directory);
    let word = if ran.code == 0 { counted(directory) } else { "refuses".to_owned() };
    Seen::that(word, &ran)
}

fn of_1_2_0(client: &Client, preview: &Preview) -> Terraform {
    client.in_directory(Terraform::new(preview, "1.2.0"))
}

/// What `init -lockfile=readonly` makes of a lock file that was made before `change`.
fn readonly_after(client: &Client, site: &Site, change: impl FnOnce(&Site)) -> Seen {
    let preview = Preview::of(&site.path());
    let directory = of_1_2_0(client, &preview);
    let first = init(&directory);
    if first.code != 0 {
        return Seen::that("refuses at first", &first);
    }
    change(site);
    Seen::of(&init_readonly(&directory))
}

pub(super) fn claims() -> Vec<Claim> {
    vec![
        claim(
            "one `init` of a version with four platforms locks",
            |_| "4 zh, 1 h1".to_owned(),
            |client| {
                let site = Site::new();
                locks(&of_1_2_0(client, &Preview::of(&site.path())))
            },
        ),
        claim(
            "the same where documents have no `packages`",
            |_| "4 zh, 1 h1".to_owned(),
            |client| {
                let site = Site::new();
                for platform in ["linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64"] {
                    let file = site.at(&format!("registry/acme/sample/1.2.0/download/{platform}"));
                    let mut document: serde_json::Value =
                        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
                    document.as_object_mut().unwrap().remove("packages").unwrap();
                    std::fs::write(file, document.to_string()).unwrap();
                }
                locks(&of_1_2_0(client, &Preview::of(&site.path())))
            },
        ),
        claim(
            "`providers lock` for three platforms locks",
            |_| "4 zh, 3 h1".to_owned(),
            |client| {
                let site = Site::new();
                let preview = Preview::of(&site.path());
                let directory = of_1_2_0(client, &preview);
                let lock = ["-platform=linux_amd64", "-platform=darwin_arm64", "-platform=windows_amd64"];
                let ran = directory.run(&[&["providers", "lock", "-no-color"][..], &lock].concat());
                let word = if ran.code == 0 { counted(&directory) } else { "refuses".to_owned() };
                Seen::that(word, &ran)
            },
        ),
        claim("`init -lockfile=readonly` by the lock file of an `init`", installs, |client| {
            readonly_after(client, &Site::new(), |_| {})
        }),
        claim("the same after a platform was added", installs, |client| {
            let site = Site::empty();
            site.publish(&[tarball("release-1.2.0", "linux-amd64")], &[]).succeeds();
            readonly_after(client, &site, |site| {
                site.publish(&[tarball("release-1.2.0", "darwin-arm64")], &[]).succeeds();
            })
        }),
        claim("the same after `tfreg resign` by another key", installs, |client| {
            readonly_after(client, &Site::new(), |site| {
                let (new, old) = (key("p256.asc"), key("rsa3072.asc"));
                let keys =
                    ["--signing-key-file", new.to_str().unwrap(), "--trust-key", old.to_str().unwrap()];
                site.change("resign", &keys);
            })
        }),
        claim("the same after `tfreg publish --replace` of another build", refuses, |client| {
            readonly_after(client, &Site::new(), |site| {
                site.publish(&tarballs("release-1.2.0-rebuilt"), &["--replace"]).succeeds();
            })
        }),
        claim("a lock file with `zh:` of all platforms and `h1:` of another one only", installs, |client| {
            let site = Site::new();
            let preview = Preview::of(&site.path());
            let directory = of_1_2_0(client, &preview);
            // As a colleague has made it.
            let made: Ran = directory.run(&["providers", "lock", "-no-color", "-platform=darwin_arm64"]);
            if made.code != 0 {
                return Seen::that("refuses at first", &made);
            }
            Seen::of(&init_readonly(&directory))
        }),
        claim("with a plugin cache, by a lock file without the own platform's `h1:`", installs, |client| {
            let site = Site::new();
            let preview = Preview::of(&site.path());
            let directory = of_1_2_0(client, &preview);
            let cache = directory.path("cache");
            std::fs::create_dir(&cache).unwrap();
            let directory = directory.with("TF_PLUGIN_CACHE_DIR", cache.to_str().unwrap());
            init(&directory).succeeds();
            std::fs::remove_file(directory.path(".terraform.lock.hcl")).unwrap();
            let made = directory.run(&["providers", "lock", "-no-color", "-platform=darwin_arm64"]);
            if made.code != 0 {
                return Seen::that("refuses at first", &made);
            }
            std::fs::remove_dir_all(directory.path(".terraform")).unwrap();
            Seen::of(&init(&directory))
        }),
    ]
}
