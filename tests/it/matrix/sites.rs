//! Registries that every client can read: signed by an RSA key, which the oldest take too. What redirects do to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{Claim, Client, Seen, claim, installs, installs_if, refuses};
use crate::support::clients::Terraform;
use crate::support::host::{Host, Instead};
use crate::support::{Ran, folder, key, run, tarballs, tfreg, tree};

/// A registry with 1.2.0 and 1.10.0, four platforms each.
pub(super) struct Site {
    root: tempfile::TempDir,
}

impl Site {
    pub(super) fn new() -> Self {
        static PUBLISHED: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
        let published = PUBLISHED.get_or_init(|| {
            let site = Self::empty();
            for release in ["release-1.2.0", "release-1.10.0"] {
                site.publish(&tarballs(release), &[]).succeeds();
            }
            tree(&site.path())
        });
        let site = Self::empty();
        for (key, bytes) in published {
            let file = site.at(key);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        site
    }

    /// One with nothing in it.
    pub(super) fn empty() -> Self {
        Self { root: folder() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.root.path().join("site")
    }

    pub(super) fn at(&self, key: &str) -> PathBuf {
        self.path().join(key)
    }

    pub(super) fn publish(&self, tarballs: &[PathBuf], args: &[&str]) -> Ran {
        let mut command = tfreg();
        command.arg("publish").arg("--to").arg(self.path()).args([
            "--namespace",
            "acme",
            "--signing-key-file",
        ]);
        run(command.arg(key("rsa3072.asc")).args(args).args(tarballs))
    }

    /// `tfreg COMMAND SITE acme/sample ARG…`
    pub(super) fn change(&self, command: &str, args: &[&str]) {
        run(tfreg().arg(command).arg(self.path()).arg("acme/sample").args(args)).succeeds();
    }
}

/// The first `init` of a fresh directory.
pub(super) fn init(directory: &Terraform) -> Ran {
    directory.run(&["init", "-no-color"])
}

/// As who has checked out a lock file and nothing else.
pub(super) fn init_readonly(directory: &Terraform) -> Ran {
    let installed = directory.path(".terraform");
    if installed.exists() {
        std::fs::remove_dir_all(installed).unwrap();
    }
    directory.run(&["init", "-no-color", "-lockfile=readonly"])
}

/// A copy of a file at another place of the registry.
pub(super) fn copy(site: &Site, from: &str, to: &str) {
    let to = site.at(to);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(site.at(from), to).unwrap();
}

/// What a client makes of a host after `change`.
fn over(client: &Client, change: impl FnOnce(&Site, &Host)) -> Seen {
    let site = Site::new();
    let host = Host::of(&site.path());
    change(&site, &host);
    Seen::of(&init(&client.in_directory(Terraform::over(&host, "1.2.0"))))
}

/// The key of the object that ends so.
pub(super) fn object(site: &Site, end: &str) -> String {
    let mut found = tree(&site.path()).into_keys().filter(|key| key.ends_with(end));
    found.next().unwrap_or_else(|| panic!("no {end}"))
}

/// Discovery that `count` redirects lead to.
fn discovery_by(client: &Client, count: usize) -> Seen {
    over(client, |site, host| {
        copy(site, DISCOVERY, "elsewhere/terraform.json");
        host.instead("elsewhere", JSON);
        for hop in 1..count {
            let to = if hop + 1 == count {
                "elsewhere/terraform.json".to_owned()
            } else {
                format!("hop-{}.", hop + 1)
            };
            host.instead(&format!("hop-{hop}."), Instead::Redirect(format!("{{host}}/{to}").leak()));
        }
        host.instead(DISCOVERY, Instead::Redirect("{host}/hop-1."));
    })
}

const DISCOVERY: &str = ".well-known/terraform.json";
const JSON: Instead = Instead::Header("content-type", "application/json");

pub(super) fn claims() -> Vec<Claim> {
    vec![
        claim("discovery by one redirect", installs, |client| {
            over(client, |site, host| {
                copy(site, DISCOVERY, "elsewhere/terraform.json");
                host.instead("elsewhere", JSON);
                host.instead(DISCOVERY, Instead::Redirect("{host}/elsewhere/terraform.json"));
            })
        }),
        claim(
            "a relative service address, resolved against the address after the redirect",
            installs,
            |client| {
                over(client, |site, host| {
                    std::fs::create_dir(site.at("elsewhere")).unwrap();
                    std::fs::write(
                        site.at("elsewhere/terraform.json"),
                        r#"{"providers.v1": "../registry/"}"#,
                    )
                    .unwrap();
                    host.instead("elsewhere", JSON);
                    host.instead(DISCOVERY, Instead::Redirect("{host}/elsewhere/terraform.json"));
                })
            },
        ),
        claim("discovery by three redirects", installs, |client| discovery_by(client, 3)),
        claim(
            "discovery by four redirects",
            |client| installs_if(client.follows_ten_redirects()),
            |client| discovery_by(client, 4),
        ),
        claim("discovery by eleven redirects", refuses, |client| discovery_by(client, 11)),
        claim("`versions` by a redirect", installs, |client| {
            over(client, |site, host| {
                copy(site, "registry/acme/sample/versions", "moved/index");
                host.instead("sample/versions", Instead::Redirect("{host}/moved/index"));
            })
        }),
        claim("a download document by a redirect", installs, |client| {
            over(client, |site, host| {
                copy(site, "registry/acme/sample/1.2.0/download/linux/amd64", "moved/document");
                host.instead("1.2.0/download/linux/amd64", Instead::Redirect("{host}/moved/document"));
            })
        }),
        claim("SHA256SUMS, its signature and the zip by redirects", installs, |client| {
            over(client, |site, host| {
                let sums = "1.2.0_SHA256SUMS";
                let signature = "1.2.0_SHA256SUMS.B89BCD519BBF8ED5.sig";
                let zip = "1.2.0_linux_amd64.zip";
                for (end, to) in [(sums, "moved/a"), (signature, "moved/b"), (zip, "moved/c")] {
                    copy(site, &object(site, end), to);
                }
                host.instead(signature, Instead::Redirect("{host}/moved/b"));
                host.instead(sums, Instead::Redirect("{host}/moved/a"));
                host.instead(zip, Instead::Redirect("{host}/moved/c"));
            })
        }),
    ]
}

/// A copy of a tarball under another name.
pub(super) fn renamed(folder: &Path, tarball: &Path, name: &str) -> PathBuf {
    let to = folder.join(name);
    std::fs::copy(tarball, &to).unwrap();
    to
}
