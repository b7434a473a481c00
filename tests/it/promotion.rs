//! Promotion: `--expect-match` lets only those zips pass that another registry lists.

use std::path::{Path, PathBuf};

use tfreg::content::Digest;

use crate::support::clients::Preview;
use crate::support::host::{Host, Instead, PRIVATE};
use crate::support::s3_server::{Action, Matcher, S3Server};
use crate::support::tunnel::Tunnel;
use crate::support::{Ran, folder, publish, run, tarball, tarballs, tree};

/// Publishes to `production`, where the zips must be those of `staging`.
fn promote(production: &Path, tarballs: &[PathBuf], staging: &str) -> Ran {
    run(publish(production, tarballs).args(["--expect-match", staging]))
}

fn digest_in(site: &Path, suffix: &str) -> String {
    let files = tree(site).into_iter();
    let mut zips = files.filter(|(key, _)| key.ends_with(suffix));
    Digest::of(&zips.next().unwrap().1).to_string()
}

#[test]
fn what_was_tested_is_published_wherever_it_is_read() {
    let root = folder();
    let (staging, bucket) = (root.path().join("staging"), S3Server::start(&["staging"]));
    let release = tarballs("release-1.2.0");
    run(&mut publish(&staging, &release)).succeeds();
    run(publish("s3://staging/some/prefix", &release).envs(bucket.envs())).succeeds();
    let preview = Preview::of(&staging);
    let places =
        [staging.display().to_string(), "s3://staging/some/prefix".to_owned(), preview.url().to_owned()];
    for (number, place) in places.iter().enumerate() {
        let production = root.path().join(format!("production-{number}"));
        let mut command = publish(&production, &release);
        let ran = run(command.args(["--expect-match", place]).envs(bucket.envs())).succeeds();
        assert!(ran.stderr.contains("Every zip is the one that"), "{ran:#?}");
        assert_eq!(digest_in(&production, "linux_amd64.zip"), digest_in(&staging, "linux_amd64.zip"));
    }
    preview.stop();
}

#[test]
fn a_host_is_trusted_by_its_certificate_and_never_left_for_plain_http() {
    let root = folder();
    let (staging, production) = (root.path().join("staging"), root.path().join("production"));
    let release = tarballs("release-1.2.0");
    run(&mut publish(&staging, &release)).succeeds();
    let host = Host::of(&staging);
    let promote = |certificate: Option<PathBuf>| {
        let mut command = publish(&production, &release);
        command.args(["--expect-match", &host.url()]);
        if let Some(certificate) = certificate {
            command.env("SSL_CERT_FILE", certificate);
        }
        run(&mut command)
    };
    promote(None).fails(1, &["cannot read", "certificate", "remedy:"]);
    assert!(!production.exists());
    let ran = promote(Some(host.certificate())).succeeds();
    assert!(ran.stderr.contains("Every zip is the one that"), "{ran:#?}");
    // Redirects are followed, but not to where anybody may answer.
    host.instead("/versions", Instead::Redirect("{host}/registry/acme/sample/moved"));
    std::fs::copy(staging.join("registry/acme/sample/versions"), staging.join("registry/acme/sample/moved"))
        .unwrap();
    promote(Some(host.certificate())).succeeds();
    host.instead("/linux/amd64", Instead::Redirect("http://localhost:{port}/registry/acme/sample/versions"));
    promote(Some(host.certificate())).fails(1, &["a redirect from https to plain http", "linux/amd64"]);
}

#[test]
fn a_private_address_is_asked_where_the_message_says_so() {
    let root = folder();
    let (staging, production) = (root.path().join("staging"), root.path().join("production"));
    let release = tarballs("release-1.2.0");
    run(&mut publish(&staging, &release)).succeeds();
    let discovery = format!(r#"{{"providers.v1": "https://{PRIVATE}/registry/"}}"#);
    std::fs::write(staging.join(".well-known/terraform.json"), discovery).unwrap();
    let host = Host::of(&staging);
    let tunnel = Tunnel::to(host.port());
    let promote = |args: &[&str]| {
        let mut command = publish(&production, &release);
        command.args(["--expect-match", &host.url()]).args(args).env("SSL_CERT_FILE", host.certificate());
        run(tunnel.used_by(&mut command))
    };
    promote(&[]).fails(1, &[PRIVATE, "give --allow-private-links"]);
    assert_eq!(tunnel.asked(), [""; 0]);
    promote(&["--allow-private-links"]).succeeds();
    assert!(tunnel.asked().contains(&format!("{PRIVATE}:443")), "{:?}", tunnel.asked());
    run(publish(&production, &release).arg("--allow-private-links")).fails(2, &["--expect-match"]);
}

#[test]
fn other_bits_are_refused_with_both_hashes() {
    let root = folder();
    let (staging, production) = (root.path().join("staging"), root.path().join("production"));
    run(&mut publish(&staging, &tarballs("release-1.2.0-rebuilt"))).succeeds();
    let preview = Preview::of(&staging);
    let original = tarball("release-1.2.0", "linux-amd64");
    let elsewhere = root.path().join("elsewhere");
    run(&mut publish(&elsewhere, std::slice::from_ref(&original))).succeeds();
    let (tested, given) = (digest_in(&staging, ".zip"), digest_in(&elsewhere, ".zip"));
    assert_ne!(tested, given);
    for place in [staging.display().to_string(), preview.url().to_owned()] {
        promote(&production, std::slice::from_ref(&original), &place).refused(
            &place,
            &[&place, "acme/sample 1.2.0", "linux_amd64", &tested, &given, "--expect-match"],
        );
        assert!(!production.exists(), "nothing is written");
    }
    preview.stop();
}

#[test]
fn platforms_that_are_missing_or_too_many_are_refused() {
    let root = folder();
    let (staging, production) = (root.path().join("staging"), root.path().join("production"));
    let place = staging.display().to_string();
    run(&mut publish(&staging, &tarballs("release-1.2.0"))).succeeds();
    promote(&production, &[tarball("release-1.2.0", "linux-amd64")], &place)
        .refused("missing", &["windows_amd64: not in this run", "darwin_arm64: SHA-256"]);
    let more = [tarballs("release-1.2.0"), tarballs("release-1.2.0-more")].concat();
    promote(&production, &more, &place).refused("too many", &["freebsd", "not published there"]);
    promote(&production, &tarballs("release-1.10.0"), &place)
        .refused("version", &["1.10.0 is not published there", "publish the release there first"]);
    promote(&production, &more, &root.path().join("nowhere").display().to_string())
        .refused("nothing", &["is not published there"]);
    assert!(!production.exists());
}

#[test]
fn what_cannot_be_read_is_not_taken_for_a_match() {
    let root = folder();
    let (staging, production) = (root.path().join("staging"), root.path().join("production"));
    let release = tarballs("release-1.2.0");
    run(&mut publish(&staging, &release)).succeeds();
    let preview = Preview::of(&staging);
    let document = staging.join("registry/acme/sample/1.2.0/download/linux/amd64");
    let good = std::fs::read(&document).unwrap();
    std::fs::write(&document, "{}").unwrap();
    promote(&production, &release, preview.url())
        .refused("damaged", &["linux/amd64", "cannot be understood"]);
    std::fs::remove_file(&document).unwrap();
    promote(&production, &release, preview.url()).refused("lost", &["linux/amd64", "is missing"]);
    std::fs::write(&document, good).unwrap();
    let discovery = staging.join(".well-known/terraform.json");
    std::fs::write(&discovery, r#"{"providers.v1": "/registry"}"#).unwrap();
    promote(&production, &release, preview.url()).refused("slash", &["without a slash"]);
    std::fs::remove_file(&discovery).unwrap();
    promote(&production, &release, preview.url()).refused("discovery", &["no provider registry", "404"]);
    let url = preview.url().to_owned();
    preview.stop();
    promote(&production, &release, &url).fails(1, &["cannot read", "remedy:"]);

    let bucket = S3Server::start(&["staging"]);
    bucket.fault(Matcher::get().suffix("versions"), Action::AnswerBefore(403, "AccessDenied"));
    let mut command = publish(&production, &release);
    run(command.args(["--expect-match", "s3://staging"]).envs(bucket.envs())).fails(1, &["403", "versions"]);
    assert!(!production.exists());
}

#[test]
fn the_place_is_checked_before_anything_is_read() {
    let root = folder();
    for bad in ["http://registry.example.com/", "ftp://h/", "https://h/prefix/", ""] {
        promote(root.path(), &tarballs("release-1.2.0"), bad).fails(2, &["--expect-match"]);
    }
}

#[test]
fn a_pre_release_is_published_only_where_it_is_named() {
    let root = folder();
    let original = tarball("release-1.2.0", "linux-amd64");
    let candidate = root.path().join("terraform-provider-sample_1.2.0-rc.1_linux_amd64.tar.gz");
    std::fs::copy(&original, &candidate).unwrap();
    let site = root.path().join("site");
    let stable = |tarball: &PathBuf, more: &[&str], allowed: &str| {
        let mut command = publish(&site, std::slice::from_ref(tarball));
        command.args(["--stable-only", "--protocol", "6.0", "--dry-run"]).arg(folder().path()).args(more);
        run(command.env("TFREG_ALLOW_PRERELEASE", allowed))
    };
    stable(&original, &[], "").succeeds();
    stable(&candidate, &[], "")
        .refused("not named", &["1.2.0-rc.1", "--stable-only", "--allow-prerelease 1.2.0-rc.1"]);
    stable(&candidate, &[], "1.2.0-rc.2").refused("another named", &["1.2.0-rc.1"]);
    stable(&candidate, &["--allow-prerelease", "terraform-provider-sample-v1.2.0-rc.1"], "").succeeds();
    stable(&candidate, &[], "1.2.0-rc.1").succeeds();
    stable(&candidate, &[], "soon").fails(2, &["--allow-prerelease"]);
    stable(&original, &["--expect-type", "other"], "")
        .refused("type", &["another provider than expected", "sample"]);
}
