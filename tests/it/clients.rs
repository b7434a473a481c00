//! Publish, serve, and the clients: real `terraform`, `gpg`, `unzip` and `sha256sum` on what was published.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::{folder, key, publish, run, tarball, tarballs, tree};

/// A registry with 1.2.0 (two runs, six platforms) and 1.10.0.
fn registry(site: &Path) {
    run(&mut publish(site, &tarballs("release-1.2.0"))).succeeds();
    run(&mut publish(site, &tarballs("release-1.2.0-more"))).succeeds();
    run(&mut publish(site, &tarballs("release-1.10.0"))).succeeds();
}

fn hashes(lock_file: &str, scheme: &str) -> BTreeSet<String> {
    let lines = lock_file.lines().map(|line| line.trim().trim_matches([',', '"']));
    lines.filter_map(|line| line.strip_prefix(scheme)).map(str::to_owned).collect()
}

#[test]
fn terraform_installs_what_was_published() {
    if !require_program("terraform") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    registry(&site);
    let preview = Preview::of(&site);
    let terraform = Terraform::new(&preview, "1.2.0");
    let init = terraform.run(&["init"]).succeeds();
    assert!(init.stdout.contains("signed, key ID") || init.stdout.contains("self-signed"), "{init:#?}");

    // One `zh:` a platform, those of both runs, and the `h1:` of the one that was installed.
    let lock = terraform.lock_file();
    assert_eq!(hashes(&lock, "zh:").len(), 6, "{lock}");
    assert_eq!(hashes(&lock, "h1:").len(), 1, "{lock}");
    let sums: BTreeSet<String> = tree(&site)
        .into_iter()
        .filter(|(key, _)| key.ends_with("1.2.0_SHA256SUMS"))
        .map(|(_, bytes)| String::from_utf8(bytes).unwrap())
        .max_by_key(String::len)
        .unwrap()
        .lines()
        .map(|line| line[..64].to_owned())
        .collect();
    assert_eq!(hashes(&lock, "zh:"), sums);

    let version = run(Command::new(terraform.installed("1.2.0")).arg("--version")).succeeds();
    assert_eq!(version.stdout, "terraform-provider-sample v1.2.0\n");

    // A colleague on another platform, and CI with a read-only lock file.
    let lock = ["providers", "lock", "-platform=darwin_arm64", "-platform=windows_amd64"];
    terraform.run(&lock).succeeds();
    assert_eq!(hashes(&terraform.lock_file(), "h1:").len(), 3);
    std::fs::remove_dir_all(terraform.path(".terraform")).unwrap();
    terraform.run(&["init", "-lockfile=readonly"]).succeeds();

    let newest = Terraform::new(&preview, ">= 1.0.0");
    newest.run(&["init"]).succeeds();
    let version = run(&mut Command::new(newest.installed("1.10.0"))).succeeds();
    assert_eq!(version.stdout, "terraform-provider-sample v1.10.0\n", "1.10.0 is newer than 1.2.0");
    assert_eq!(preview.stop(), Some(0));
}

#[test]
fn terraform_installs_after_a_platform_was_added() {
    if !require_program("terraform") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
    let preview = Preview::of(&site);
    let terraform = Terraform::new(&preview, "1.2.0");
    terraform.run(&["init"]).succeeds();
    assert_eq!(hashes(&terraform.lock_file(), "zh:").len(), 1);

    run(&mut publish(&site, &[tarball("release-1.2.0", "darwin-arm64")])).succeeds();
    std::fs::remove_dir_all(terraform.path(".terraform")).unwrap();
    terraform.run(&["init", "-lockfile=readonly"]).succeeds();
    let fresh = Terraform::new(&preview, "1.2.0");
    fresh.run(&["init"]).succeeds();
    assert_eq!(hashes(&fresh.lock_file(), "zh:").len(), 2);
}

#[test]
fn terraform_follows_the_discovery_document_and_absolute_links() {
    if !require_program("terraform") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    // The preview's address must be known before the documents are written, so an empty tree is served first.
    std::fs::create_dir(&site).unwrap();
    let preview = Preview::of(&site);
    let mut command = publish(&site, &[tarball("release-1.2.0", "linux-amd64")]);
    run(command.args(["--base-url", preview.url()])).succeeds();
    let discovery = std::fs::read_to_string(site.join(".well-known/terraform.json")).unwrap();
    assert!(discovery.contains(&format!("\"{}registry/\"", preview.url())), "{discovery}");
    Terraform::new(&preview, "1.2.0").run(&["init"]).succeeds();
}

#[test]
fn terraform_refuses_what_was_tampered_with() {
    if !require_program("terraform") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let sums = tree(&site).into_keys().find(|key| key.ends_with("_SHA256SUMS")).unwrap();
    // The first line is another platform's, so only the signature can tell.
    let text = std::fs::read_to_string(site.join(&sums)).unwrap();
    assert!(text.lines().next().unwrap().ends_with("darwin_arm64.zip"));
    let other = if text.starts_with("00") { "11" } else { "00" };
    std::fs::write(site.join(&sums), text.replacen(&text[..2], other, 1)).unwrap();
    let preview = Preview::of(&site);
    Terraform::new(&preview, "1.2.0").run(&["init"]).fails(1, &["signature"]);
}

#[test]
fn the_zip_and_the_checksums_satisfy_the_ordinary_tools() {
    let root = folder();
    let site = root.path().join("site");
    registry(&site);
    let files = tree(&site);
    if !require_program("unzip") || !require_program("sha256sum") {
        return;
    }
    let together = root.path().join("together");
    std::fs::create_dir(&together).unwrap();
    for (key, bytes) in &files {
        std::fs::write(together.join(key.rsplit('/').next().unwrap()), bytes).unwrap();
        if key.ends_with(".zip") {
            run(Command::new("unzip").arg("-tq").arg(site.join(key))).succeeds();
        }
    }
    for version in ["1.2.0", "1.10.0"] {
        let name = format!("terraform-provider-sample_{version}_SHA256SUMS");
        let newest = files
            .iter()
            .filter(|(key, _)| key.ends_with(&name))
            .max_by_key(|(_, bytes)| bytes.len())
            .unwrap();
        std::fs::write(together.join(&name), newest.1).unwrap();
        run(Command::new("sha256sum").args(["--strict", "-c", &name]).current_dir(&together)).succeeds();
    }
}

#[test]
fn gpg_verifies_the_signature_with_the_embedded_key() {
    if !require_program("gpg") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    run(publish(&site, &tarballs("release-1.2.0")).arg("--signing-key-file").arg(key("rsa3072.asc")))
        .fails(2, &["cannot be used multiple times"]);
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let document = std::fs::read(site.join("registry/acme/sample/1.2.0/download/linux/amd64")).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    let home = root.path().join("gnupg");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let armor = root.path().join("key.asc");
    std::fs::write(&armor, document["signing_keys"]["gpg_public_keys"][0]["ascii_armor"].as_str().unwrap())
        .unwrap();
    let gpg = |args: &[&str]| {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--no-autostart", "--homedir"]).arg(&home).args(args);
        run(&mut command).succeeds()
    };
    gpg(&["--import", armor.to_str().unwrap()]);
    let at = |member: &str| site.join(document[member].as_str().unwrap().trim_start_matches('/'));
    let (sums, signature) = (at("shasums_url"), at("shasums_signature_url"));
    gpg(&["--verify", signature.to_str().unwrap(), sums.to_str().unwrap()]);
}

#[test]
fn serve_answers_as_a_registry_does() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    std::fs::create_dir(site.join(".tfreg-staging")).unwrap();
    std::fs::write(site.join(".tfreg-staging/object"), "half").unwrap();
    let preview = Preview::of(&site);
    let address = preview.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let head = |path: &str| {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        write!(stream, "GET /{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        answer.split("\r\n\r\n").next().unwrap().to_owned()
    };
    for key in tree(&site).into_keys().filter(|key| !key.contains("staging")) {
        let expected = match key.rsplit(['.', '/', '_']).next().unwrap() {
            "zip" => "application/zip",
            "sha256sums" | "SHA256SUMS" => "text/plain; charset=utf-8",
            "sig" => "application/pgp-signature",
            _ => "application/json",
        };
        let answer = head(&key);
        assert!(
            answer.starts_with("http/1.1 200") && answer.contains(&format!("content-type: {expected}")),
            "{key}: {answer}"
        );
        assert!(answer.contains("cache-control: public"), "{answer}");
    }
    for absent in [
        "",
        "registry",
        "registry/acme/sample/9.9.9/download/linux/amd64",
        ".tfreg-staging/object",
        "%2e%2e/etc/passwd",
        "%2etfreg-staging/object",
        "../../etc/passwd",
    ] {
        let answer = head(absent);
        assert!(answer.starts_with("http/1.1 404"), "{absent}: {answer}");
    }
    let block = preview.announced["required_providers"].as_str().unwrap();
    assert!(block.contains("registry.example.com/acme/sample") && block.contains("\"1.2.0\""), "{block}");
    assert_eq!(preview.stop(), Some(0));
}

#[test]
fn serve_refuses_what_it_cannot_serve() {
    let root = folder();
    let missing = root.path().join("missing");
    run(crate::support::tfreg().arg("serve").arg(&missing)).fails(3, &["no registry to serve", "remedy:"]);
    run(crate::support::tfreg().arg("serve").arg(root.path()).args(["--listen", "0.0.0.0:0"]))
        .fails(2, &["loopback"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    run(crate::support::tfreg().arg("serve").arg(root.path()).args(["--listen", &address]))
        .fails(1, &["--listen"]);
}
