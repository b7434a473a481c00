//! Platforms that come later to a version with a kept SHA256SUMS, and what other commands make of such a version.

use serde_json::Value;

use super::{LINKS, RELEASE, copied, findings, keep, named, sums};
use crate::support::mutated::Signer;
use crate::support::{folder, key, publish, run, tarball, testdata, tfreg, tree};

#[test]
fn a_platform_comes_with_a_new_sha256sums_that_lists_what_is_published() {
    let root = folder();
    let (dist, site) = (copied(root.path()), root.path().join("site"));
    let signer = Signer::of("ed25519.asc");
    let windows = dist.join(named("windows_amd64.zip"));
    let zip = std::fs::read(&windows).unwrap();
    std::fs::remove_file(&windows).unwrap();
    sums(&dist, &signer);
    run(&mut keep(&site, &dist)).succeeds();
    let index = |platform: &str| {
        let text = std::fs::read_to_string(site.join("registry/acme/sample/versions")).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let platforms = value["versions"][0]["platforms"].as_array().unwrap().clone();
        platforms
            .iter()
            .any(|p| format!("{}_{}", p["os"].as_str().unwrap(), p["arch"].as_str().unwrap()) == platform)
    };
    assert!(!index("windows_amd64"));

    // A SHA256SUMS of the new platform alone.
    let alone = root.path().join("alone");
    std::fs::create_dir(&alone).unwrap();
    std::fs::write(alone.join(named("windows_amd64.zip")), &zip).unwrap();
    sums(&alone, &signer);
    let before = tree(&site);
    run(keep(&site, &alone).args(["--protocol", "6.0"])).refused(
        "alone",
        &[
            "a platform is published that the release's SHA256SUMS does not list",
            "darwin_arm64: SHA-256",
            "linux_arm64: SHA-256",
        ],
    );
    // No SHA256SUMS at all, and a tarball.
    for (row, artifact) in [
        ("made", alone.join(named("windows_amd64.zip"))),
        ("tarball", tarball("release-1.2.0", "windows-amd64")),
    ] {
        for name in ["SHA256SUMS", "SHA256SUMS.sig"] {
            let _ = std::fs::remove_file(alone.join(named(name)));
        }
        let mut command = publish(&site, &[artifact]);
        run(command.args(["--protocol", "6.0"]))
            .refused(row, &["version 1.2.0 has the SHA256SUMS of its release", "_manifest.json"]);
    }
    assert!(tree(&site) == before, "nothing was written");

    // The remedy: all zips, and a SHA256SUMS of them.
    std::fs::write(&windows, &zip).unwrap();
    sums(&dist, &signer);
    run(&mut keep(&site, &dist)).succeeds();
    assert!(index("windows_amd64") && index("linux_amd64"));
    let documents = tree(&site).into_iter().filter(|(key, _)| key.contains("/download/"));
    let links: std::collections::BTreeSet<String> = documents
        .map(|(_, bytes)| {
            serde_json::from_slice::<Value>(&bytes).unwrap()["shasums_url"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(links.len(), 1, "{links:?}");
    assert_eq!(findings(&site), [LINKS]);

    // Another build of a published platform.
    let mut other = std::fs::read(testdata(RELEASE).join(named("linux_arm64.zip"))).unwrap();
    let time = other.windows(4).position(|at| at == b"PK\x01\x02").unwrap();
    other[time + 12] ^= 1;
    std::fs::write(dist.join(named("linux_arm64.zip")), other).unwrap();
    sums(&dist, &signer);
    run(&mut keep(&site, &dist))
        .refused("another build", &["published with other contents already", "linux_arm64"]);
}

#[test]
fn the_same_zips_without_their_sha256sums_do_not_take_its_place() {
    let root = folder();
    let (dist, site) = (copied(root.path()), root.path().join("site"));
    run(&mut keep(&site, &dist)).succeeds();
    let before = tree(&site);
    for name in ["SHA256SUMS", "SHA256SUMS.sig"] {
        std::fs::remove_file(dist.join(named(name))).unwrap();
    }
    run(&mut publish(&site, &[dist])).refused("made", &["version 1.2.0 has the SHA256SUMS of its release"]);
    assert!(tree(&site) == before);
    // On a staging registry, tarballs may take the place of all of it.
    run(publish(&site, &[testdata("release-1.2.0")]).arg("--replace")).succeeds();
    assert_eq!(findings(&site), [LINKS, "object-unreferenced"]);
}

#[test]
fn a_kept_version_is_yanked_put_back_listed_anew_and_signed_again() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut keep(&site, testdata(RELEASE))).succeeds();
    let place = site.to_str().unwrap();
    run(tfreg().args(["yank", place, "acme/sample@1.2.0", "--yes"])).succeeds();
    run(tfreg().args(["unyank", place, "acme/sample@1.2.0"])).succeeds();
    std::fs::remove_file(site.join("registry/acme/sample/versions")).unwrap();
    run(tfreg().args(["reindex", place, "acme/sample", "--yes"])).succeeds();
    let mut resign = tfreg();
    resign.args(["resign", place, "acme/sample", "--signing-key-file"]).arg(key("rsa3072.asc"));
    run(resign.arg("--trust-key").arg(testdata(RELEASE).join("public-key.asc"))).succeeds();
    let report = run(tfreg().args(["verify", place, "--format", "json"])).succeeds();
    assert!(report.stdout.contains("B89BCD519BBF8ED5"), "{report:#?}");
}
