//! Network mirrors: what clients demand of their documents, and what they lock.

use serde_json::json;

use super::lock_files::counted;
use super::sites::{Site, init, init_readonly, object};
use super::{Claim, Client, Kind, Seen, claim, installs};
use crate::support::clients::{Preview, Terraform};
use crate::support::host::{Host, Instead};

/// Which hashes a document of the mirror has.
#[derive(Clone, Copy)]
struct Hashes {
    zh: bool,
    h1: bool,
}

const BOTH: Hashes = Hashes { zh: true, h1: true };

/// What a client makes of a mirror with such documents, and locks.
fn mirrored(client: &Client, hashes: Hashes, content_type: &'static str, block: &str) -> Seen {
    let site = Site::new();
    write_mirror(&site, hashes);
    let host = Host::of(&site.path());
    host.instead("mirror/", Instead::Header("content-type", content_type));
    let directory = by_mirror(client.in_directory(Terraform::over(&host, "1.2.0")), &host, block);
    let ran = init(&directory);
    let word = if ran.code == 0 { counted(&directory) } else { "refuses".to_owned() };
    Seen::that(word, &ran)
}

/// Has a directory install `registry.example.com/acme/sample` from a host's mirror.
fn by_mirror(directory: Terraform, host: &Host, block: &str) -> Terraform {
    let main = std::fs::read_to_string(directory.path("main.tf")).unwrap();
    std::fs::write(directory.path("main.tf"), main.replace(&host.name(), "registry.example.com")).unwrap();
    let block = block.replace("{url}", &format!("{}mirror", host.url()));
    let configuration = format!("provider_installation {{\n  network_mirror {{\n    {block}\n  }}\n}}\n");
    std::fs::write(directory.path("cli.tfrc"), configuration).unwrap();
    directory
}

/// Writes a mirror of 1.2.0 beside a registry.
fn write_mirror(site: &Site, hashes: Hashes) {
    let document = std::fs::read(site.at("registry/acme/sample/1.2.0/download/linux/amd64")).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    let archives = document["packages"].as_object().unwrap().iter().map(|(platform, package)| {
        let kept = package["hashes"].as_array().unwrap().iter().filter(|hash| {
            let hash = hash.as_str().unwrap();
            hash.starts_with("zh:") && hashes.zh || hash.starts_with("h1:") && hashes.h1
        });
        let url = format!("../../../../{}", object(site, &format!("1.2.0_{platform}.zip")));
        (platform.clone(), json!({ "url": url, "hashes": kept.collect::<Vec<_>>() }))
    });
    let archives = archives.collect::<serde_json::Map<_, _>>();
    let folder = site.at("mirror/registry.example.com/acme/sample");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("index.json"), r#"{"versions": {"1.2.0": {}}}"#).unwrap();
    std::fs::write(folder.join("1.2.0.json"), json!({ "archives": archives }).to_string()).unwrap();
}

const JSON: &str = "application/json";
const USUAL: &str = "url = \"{url}/\"";

/// Which of the two a lock file is made by; the other one has to hold it.
#[derive(Clone, Copy, PartialEq)]
enum First {
    Registry,
    Mirror,
}

/// What `init -lockfile=readonly` by the one makes of the lock file of an `init` by the other.
fn one_after_the_other(client: &Client, first: First) -> Seen {
    let site = Site::new();
    write_mirror(&site, BOTH);
    let (host, preview) = (Host::of(&site.path()), Preview::of(&site.path()));
    host.instead("mirror/", Instead::Header("content-type", JSON));
    let by_registry = client.in_directory(Terraform::new(&preview, "1.2.0"));
    let by_mirror = by_mirror(client.in_directory(Terraform::over(&host, "1.2.0")), &host, USUAL);
    let (made, held) = match first {
        First::Registry => (by_registry, by_mirror),
        First::Mirror => (by_mirror, by_registry),
    };
    let ran = init(&made);
    if ran.code != 0 {
        return Seen::that("refuses at first", &ran);
    }
    std::fs::copy(made.path(".terraform.lock.hcl"), held.path(".terraform.lock.hcl")).unwrap();
    Seen::of(&init_readonly(&held))
}

/// What is locked where the mirror gives the own platform's `zh:`, which OpenTofu keeps since some release after 1.6.
fn with_zh(client: &Client) -> String {
    if client.is(Kind::OpenTofu, 1, 7) { "1 zh, 1 h1" } else { "0 zh, 1 h1" }.to_owned()
}

pub(super) fn claims() -> Vec<Claim> {
    vec![
        claim("both `h1:` and `zh:` of four platforms: locks", with_zh, |client| {
            mirrored(client, BOTH, JSON, USUAL)
        }),
        claim(
            "only `h1:`: locks",
            |_| "0 zh, 1 h1".to_owned(),
            |client| mirrored(client, Hashes { zh: false, ..BOTH }, JSON, USUAL),
        ),
        claim("only `zh:`: locks", with_zh, |client| {
            mirrored(client, Hashes { h1: false, ..BOTH }, JSON, USUAL)
        }),
        claim(
            "no hashes: locks",
            |_| "0 zh, 1 h1".to_owned(),
            |client| mirrored(client, Hashes { h1: false, zh: false }, JSON, USUAL),
        ),
        claim(
            "documents as `text/plain`",
            |_| "refuses".to_owned(),
            |client| mirrored(client, BOTH, "text/plain", USUAL),
        ),
        claim("documents with a charset", with_zh, |client| {
            mirrored(client, BOTH, "application/json; charset=utf-8", USUAL)
        }),
        claim(
            "an address without a slash at its end",
            |_| "refuses".to_owned(),
            |client| mirrored(client, BOTH, JSON, "url = \"{url}\""),
        ),
        claim(
            "`trust_all_hashes = true`: locks",
            // OpenTofu keeps hashes of other platforms for providers of its own public registry only.
            with_zh,
            |client| mirrored(client, BOTH, JSON, "url = \"{url}/\"\n    trust_all_hashes = true"),
        ),
        claim("`init -lockfile=readonly` by the registry's lock file", installs, |client| {
            one_after_the_other(client, First::Registry)
        }),
        claim("`init -lockfile=readonly` from the registry, by the mirror's lock file", installs, |client| {
            one_after_the_other(client, First::Mirror)
        }),
    ]
}
