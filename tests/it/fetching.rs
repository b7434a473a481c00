//! Tarballs from `s3://BUCKET/PREFIX/`: exactly those below the prefix, with an account of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::s3_server::{AccessKey, Action, Matcher, S3Server};
use crate::support::{folder, publish, run, tarballs, tree};

/// Puts tarballs below a prefix, with what lies beside them and the `.sha256` files that a build leaves there.
fn upload(server: &S3Server, bucket: &str, prefix: &str, tarballs: &[PathBuf]) {
    for path in tarballs {
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = std::fs::read(path).unwrap();
        let sidecar = format!("{}  {name}\n", tfreg::content::Digest::of(&bytes));
        server.put_directly(bucket, &format!("{prefix}{name}"), bytes);
        server.put_directly(bucket, &format!("{prefix}{name}.sha256"), sidecar);
        let manifest = "terraform-registry-manifest.json";
        if let Ok(bytes) = std::fs::read(path.with_file_name(manifest)) {
            server.put_directly(bucket, &format!("{prefix}{manifest}"), bytes);
        }
    }
}

fn fetching(server: &S3Server, site: &Path, prefix: &str) -> Command {
    let mut command = publish(site, &[PathBuf::from(prefix)]);
    command.envs(server.envs());
    command
}

/// The credentials of a key instead of those that may do everything.
fn as_key<'a>(command: &'a mut Command, key: &AccessKey) -> &'a mut Command {
    command.env("AWS_ACCESS_KEY_ID", &key.id).env("AWS_SECRET_ACCESS_KEY", &key.secret)
}

#[test]
fn what_is_fetched_is_published_as_from_files() {
    let server = S3Server::start(&["artifacts"]);
    upload(&server, "artifacts", "sample/v1.2.0/", &tarballs("release-1.2.0"));
    // Neighbours that begin alike, and what else a build leaves.
    upload(&server, "artifacts", "sample/v1.2.0-dev.1/", &tarballs("release-1.10.0"));
    server.put_directly("artifacts", "sample/v1.2.0/teleport-v1.2.0-bin.tar.gz", "another product");
    server.put_directly("artifacts", "sample/v1.2.0/README.md", "hello");
    server.set_page_size(3);
    let root = folder();
    let (fetched, local) = (root.path().join("fetched"), root.path().join("local"));
    let ran = run(&mut fetching(&server, &fetched, "s3://artifacts/sample/v1.2.0/")).succeeds();
    assert!(ran.stderr.contains("Fetching 4 files"), "{ran:#?}");
    run(&mut publish(&local, &tarballs("release-1.2.0"))).succeeds();
    let documents = |site: &Path| {
        tree(site)
            .into_iter()
            .filter(|(key, _)| !key.contains("/provenance.json") && !key.ends_with(".sig"))
            .collect::<Vec<_>>()
    };
    assert!(documents(&fetched) == documents(&local), "where the tarballs come from does not matter");
    let (_, record) = tree(&fetched).into_iter().find(|(key, _)| key.ends_with("/provenance.json")).unwrap();
    let record = String::from_utf8(record).unwrap();
    assert!(record.contains(
        "\"s3://artifacts/sample/v1.2.0/terraform-provider-sample-v1.2.0-linux-amd64-bin.tar.gz\""
    ));
    let reads = server.requests();
    assert!(
        reads.iter().all(|request| request.method == "GET" && !request.key.contains("dev.1")),
        "{reads:#?}"
    );
    assert!(reads.iter().all(|request| !request.key.contains("teleport") && !request.key.contains("README")));
}

#[test]
fn sidecars_and_manifests_come_along() {
    let server = S3Server::start(&["artifacts"]);
    upload(&server, "artifacts", "v/", &tarballs("release-1.2.0"));
    let root = folder();
    let site = root.path().join("site");
    let sidecar = "v/terraform-provider-sample-v1.2.0-linux-amd64-bin.tar.gz.sha256";
    server.put_directly("artifacts", sidecar, format!("{}\n", "ab".repeat(32)));
    run(&mut fetching(&server, &site, "s3://artifacts/v/"))
        .refused("sidecar", &["linux-amd64-bin.tar.gz", "checksum", &format!("s3://artifacts/{sidecar}")]);
    server.delete_directly("artifacts", sidecar);
    let sums = "v/terraform-provider-sample_1.2.0_SHA256SUMS";
    let name = "terraform-provider-sample-v1.2.0-linux-amd64-bin.tar.gz";
    server.put_directly("artifacts", sums, format!("{}  {name}\n", "ab".repeat(32)));
    run(&mut fetching(&server, &site, "s3://artifacts/v/"))
        .refused("sums", &["linux-amd64-bin.tar.gz", "SHA256SUMS", &format!("s3://artifacts/{sums}")]);
    server.delete_directly("artifacts", sums);
    server.put_directly(
        "artifacts",
        "v/terraform-registry-manifest.json",
        r#"{"version":1,"metadata":{"protocol_versions":["5.0"]}}"#,
    );
    run(fetching(&server, &site, "s3://artifacts/v/").args(["--protocol", "6.0"]))
        .refused("manifest", &["s3://artifacts/v/terraform-registry-manifest.json", "5.0"]);
    server.put_directly("artifacts", "v/terraform-registry-manifest.json", "x".repeat(100_000));
    run(&mut fetching(&server, &site, "s3://artifacts/v/"))
        .refused("large", &["not a small file", "100000 bytes"]);
    assert!(!site.exists());
}

#[test]
fn bad_prefixes_are_refused_before_anything_is_fetched() {
    let server = S3Server::start(&["artifacts"]);
    upload(&server, "artifacts", "v1.2.0/", &tarballs("release-1.2.0"));
    upload(&server, "artifacts", "v1.10.0/", &tarballs("release-1.10.0"));
    server.put_directly("artifacts", "docs/README.md", "hello");
    let root = folder();
    let site = root.path().join("site");
    run(&mut fetching(&server, &site, "s3://artifacts/v1.2.0")).fails(2, &["slash", "v9.1.2-dev.1/"]);
    for (prefix, texts) in [
        ("s3://artifacts/v1.2/", &["s3://artifacts/v1.2/", "nothing below this prefix"][..]),
        ("s3://artifacts/docs/", &["no release tarball", "1 other file"]),
    ] {
        run(&mut fetching(&server, &site, prefix)).refused(prefix, texts);
    }
    run(fetching(&server, &site, "s3://artifacts/").args(["--expect-version", "1.2.0"]))
        .refused("versions", &["two versions in one run", "s3://artifacts/v1.10.0/"]);
    run(fetching(&server, &site, "s3://artifacts/v1.2.0/").args(["--expect-version", "1.2.1"]))
        .refused("version", &["another version"]);
    run(&mut fetching(&server, &site, "s3://nowhere/v1.2.0/")).fails(1, &["NoSuchBucket", "remedy:"]);
    assert!(server.requests().iter().all(|request| request.key.is_empty()), "only listings");
    assert!(!site.exists());
}

#[test]
fn an_answer_that_is_cut_short_is_read_again() {
    let server = S3Server::start(&["artifacts"]);
    upload(&server, "artifacts", "v/", &tarballs("release-1.2.0"));
    let rule = server.fault(Matcher::get().suffix("linux-amd64-bin.tar.gz").nth(1), Action::CutAnswer);
    let root = folder();
    run(&mut fetching(&server, &root.path().join("site"), "s3://artifacts/v/")).succeeds();
    drop(rule);
    server.fault(Matcher::get().suffix("linux-amd64-bin.tar.gz"), Action::CutAnswer);
    let mut other = fetching(&server, &root.path().join("other"), "s3://artifacts/v/");
    run(other.args(["--contention-timeout", "0"]))
        .fails(1, &["cannot read s3://artifacts/v/terraform-provider-sample-v1.2.0-linux-amd64-bin.tar.gz"]);
}

#[test]
fn source_and_target_are_accounts_of_their_own() {
    let server = S3Server::start(&["artifacts", "registry"]);
    upload(&server, "artifacts", "v/", &tarballs("release-1.2.0"));
    server.add_role("arn:aws:iam::111111111111:role/reader", &["artifacts"]);
    server.add_role("arn:aws:iam::222222222222:role/publisher", &["registry"]);
    let root = folder();
    let command = || {
        let mut command = publish("s3://registry/tf", &[PathBuf::from("s3://artifacts/v/")]);
        command.envs(server.envs());
        command
    };
    let drone = server
        .add_key(&[], &["arn:aws:iam::111111111111:role/reader", "arn:aws:iam::222222222222:role/publisher"]);
    run(as_key(&mut command(), &drone)).fails(1, &["cannot list s3://artifacts/v/", "403"]);
    let reader = ["--source-role-arn", "arn:aws:iam::111111111111:role/reader"];
    let publisher = ["--role-arn", "arn:aws:iam::222222222222:role/publisher"];
    run(as_key(command().args(reader), &drone)).fails(1, &["s3://registry/tf/", "403"]);
    run(as_key(command().args(publisher), &drone)).fails(1, &["cannot list s3://artifacts/v/"]);
    run(as_key(command().args(reader).args(["--role-arn", "arn:aws:iam::3:role/other"]), &drone))
        .fails(1, &["sts:AssumeRole", "arn:aws:iam::3:role/other"]);
    assert!(server.objects("registry").is_empty());
    run(as_key(command().args(reader).args(publisher), &drone)).succeeds();
    assert_eq!(server.objects("registry").len(), 14);

    // A profile goes before the credentials and the region of the environment.
    let target = server.add_key(&["registry"], &[]);
    let source = server.add_key(&["artifacts"], &[]);
    let config = root.path().join("config");
    let profile = format!(
        "[profile artifacts]\naws_access_key_id = {}\naws_secret_access_key = {}\nregion = eu-west-1\n",
        source.id, source.secret
    );
    std::fs::write(&config, profile).unwrap();
    server.clear_requests();
    let by_profile = |name: &str| {
        let mut command = command();
        command.args(["--source-profile", name]).env("AWS_CONFIG_FILE", &config);
        run(as_key(&mut command, &target))
    };
    by_profile("artifacts").succeeds();
    by_profile("nowhere").fails(1, &["The config profile (nowhere) could not be found", "--source-profile"]);
    server.verify();
}

#[test]
fn the_source_may_be_another_server() {
    let (artifacts, registry) = (S3Server::start(&["artifacts"]), S3Server::start(&["registry"]));
    upload(&artifacts, "artifacts", "v/", &tarballs("release-1.2.0"));
    let mut command = publish("s3://registry", &[PathBuf::from("s3://artifacts/v/")]);
    command.envs(registry.envs()).args(["--source-endpoint-url", &artifacts.endpoint()]);
    run(&mut command).succeeds();
    assert_eq!(registry.objects("registry").len(), 14);
    assert!(artifacts.requests().iter().all(|request| request.method == "GET"));
}
