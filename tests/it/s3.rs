//! Publishing to S3: what is sent, with which headers, in which order; and a store that cannot be trusted is refused.

use std::collections::BTreeMap;
use std::process::Command;

use crate::support::archive::gzip;
use crate::support::clients::Preview;
use crate::support::host::{Certificate, Host};
use crate::support::reader;
use crate::support::s3_server::{Action, Conditions, Matcher, S3Server};
use crate::support::watched::{listed, objects, watched};
use crate::support::{folder, publish, run, tarball, tarballs, tfreg, tree, varies};

fn publish_to(server: &S3Server, target: &str, tarballs: &[std::path::PathBuf]) -> Command {
    let mut command = publish(target, tarballs);
    command.envs(server.envs());
    command
}

#[test]
fn the_uploaded_tree_is_the_dry_runs() {
    let server = S3Server::start(&["bucket"]);
    let root = folder();
    let preview = root.path().join("preview");
    let target = "s3://bucket/some/prefix";
    run(publish_to(&server, target, &tarballs("release-1.2.0")).arg("--dry-run").arg(&preview)).succeeds();
    assert!(server.history().is_empty(), "a dry run writes nothing");
    run(&mut publish_to(&server, target, &tarballs("release-1.2.0"))).succeeds();
    let (planned, uploaded) = (tree(&preview), objects(&server, "some/prefix/"));
    assert!(planned.keys().eq(uploaded.keys()));
    for (key, bytes) in planned.iter().filter(|(key, _)| !varies(key)) {
        assert!(*bytes == uploaded[key], "{key}");
    }
    assert_eq!(reader::read(&uploaded).unwrap().len(), 4);
    server.verify();
}

#[test]
fn every_object_is_one_conditional_put_with_its_checksum() {
    let server = S3Server::start(&["bucket"]);
    run(&mut publish_to(&server, "s3://bucket", &tarballs("release-1.2.0"))).succeeds();
    run(publish_to(&server, "s3://bucket", &tarballs("release-1.2.0-more")).args(["--document-max-age", "5"])).succeeds();
    let requests = server.requests();
    let puts: Vec<_> = requests.iter().filter(|request| request.method == "PUT").collect();
    // The proof of conditional writes is two more each run, both refused.
    let effective: Vec<_> = puts.iter().filter(|put| put.status == Some(200)).collect();
    assert_eq!((puts.len(), effective.len()), (14 + 2 + 13 + 2, 14 + 13));
    for put in &puts {
        let conditional = put.headers.contains_key("if-none-match") != put.headers.contains_key("if-match");
        assert!(conditional, "{put:?}");
        assert_eq!(put.headers.get("x-amz-sdk-checksum-algorithm").map(String::as_str), Some("SHA256"));
        assert!(
            put.headers.contains_key("x-amz-checksum-sha256") && !put.query.contains_key("uploadId"),
            "{put:?}"
        );
        let store = put.key.starts_with("store/");
        assert!(!store || put.headers.contains_key("if-none-match") || put.status == Some(412), "{put:?}");
    }
    for (key, object) in server.objects("bucket") {
        let expected = if key.ends_with(".zip") {
            "application/zip"
        } else if key.ends_with("SHA256SUMS") {
            "text/plain; charset=utf-8"
        } else if key.ends_with(".sig") {
            "application/pgp-signature"
        } else {
            "application/json"
        };
        assert_eq!(object.content_type.as_deref(), Some(expected), "{key}");
        let age = if key.starts_with("store/") {
            "public, max-age=31536000, immutable"
        } else if key.starts_with(".well-known") {
            "public, max-age=60, must-revalidate"
        } else {
            "public, max-age=5, must-revalidate"
        };
        assert_eq!(object.cache_control.as_deref(), Some(age), "{key}");
    }
    assert!(requests.iter().all(|request| matches!(request.method.as_str(), "GET" | "HEAD" | "PUT")));
}

#[test]
fn parts_come_before_what_points_to_them() {
    let server = watched();
    for release in ["release-1.2.0", "release-1.10.0", "release-1.2.0-more"] {
        run(&mut publish_to(&server, "s3://bucket", &tarballs(release))).succeeds();
    }
    run(publish_to(&server, "s3://bucket", &tarballs("release-1.2.0-rebuilt")).arg("--replace")).succeeds();
    server.verify();
    assert!(server.history().len() > 35);
    assert_eq!(listed(&server).len(), 6 + 4);
}

#[test]
fn the_same_again_sends_no_write() {
    let server = S3Server::start(&["bucket"]);
    run(&mut publish_to(&server, "s3://bucket", &tarballs("release-1.2.0"))).succeeds();
    server.clear_requests();
    let again = run(&mut publish_to(&server, "s3://bucket", &tarballs("release-1.2.0"))).succeeds();
    assert!(again.stdout.contains("nothing to do"));
    assert!(server.requests().iter().all(|request| request.method != "PUT"));
}

#[test]
fn a_published_zip_is_not_sent_again() {
    let server = S3Server::start(&["bucket"]);
    run(&mut publish_to(&server, "s3://bucket", &tarballs("release-1.2.0"))).succeeds();
    for key in server.objects("bucket").into_keys().filter(|key| key.starts_with("registry/")) {
        server.delete_directly("bucket", &key);
    }
    server.clear_requests();
    run(&mut publish_to(&server, "s3://bucket", &tarballs("release-1.2.0"))).succeeds();
    let sent: Vec<_> =
        server.requests().into_iter().filter(|r| r.method == "PUT" && r.key.ends_with(".zip")).collect();
    assert!(sent.is_empty(), "{sent:#?}");
}

#[test]
fn requests_at_once_are_bounded() {
    let server = S3Server::start(&["bucket"]);
    run(publish_to(&server, "s3://bucket", &tarballs("release-1.2.0")).args(["--jobs", "2"])).succeeds();
    assert!(server.max_concurrent_puts() <= 2, "{}", server.max_concurrent_puts());
}

#[test]
fn only_not_found_means_empty() {
    let server = S3Server::start(&["bucket"]);
    run(&mut publish_to(&server, "s3://bucket", &tarballs("release-1.10.0"))).succeeds();
    let before = objects(&server, "");
    for (status, code, said) in [
        (403, "AccessDenied", "s3:ListBucket"),
        (400, "Whatever", "HTTP status 400"),
        (301, "PermanentRedirect", "AWS_REGION"),
        (500, "InternalError", "HTTP status 500"),
    ] {
        for key in ["versions", "linux/amd64", "terraform.json"] {
            server.clear_rules();
            server.fault(Matcher::get().suffix(key), Action::AnswerBefore(status, code));
            let tarballs = [tarball("release-1.2.0", "linux-amd64")];
            run(publish_to(&server, "s3://bucket", &tarballs).args(["--contention-timeout", "0"]))
                .fails(1, &["cannot read s3://bucket/", key, said]);
            assert_eq!(objects(&server, ""), before);
        }
    }
}

#[test]
fn broken_access_is_explained() {
    let server = S3Server::start(&["bucket"]);
    let tarballs = [tarball("release-1.2.0", "linux-amd64")];
    run(publish_to(&server, "s3://bucket", &tarballs).env("AWS_SECRET_ACCESS_KEY", "wrong"))
        .fails(1, &["HTTP status 403", "SignatureDoesNotMatch", "remedy:", "check the secret key"]);
    run(&mut publish_to(&server, "s3://missing", &tarballs))
        .fails(1, &["NoSuchBucket", "remedy:", "create the bucket"]);
    run(publish_to(&server, "s3://bucket", &tarballs).env("AWS_ENDPOINT_URL", "http://127.0.0.1:9"))
        .fails(1, &["cannot read s3://bucket/", "remedy:", "AWS_ENDPOINT_URL"]);
    run(publish_to(&server, "s3://bucket", &tarballs).env("AWS_CA_BUNDLE", "/nonexistent.pem"))
        .fails(1, &["AWS_CA_BUNDLE", "/nonexistent.pem"]);
    run(publish_to(&server, "s3://bucket", &tarballs)
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY"))
    .fails(1, &["remedy:", "AWS_PROFILE"]);
    run(publish_to(&server, "s3://bucket", &tarballs).env("AWS_ENDPOINT_URL", ""))
        .fails(2, &["AWS_ENDPOINT_URL is set to nothing"]);
    let root = folder();
    let bad = root.path().join("bundle.pem");
    for text in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
    ] {
        std::fs::write(&bad, text).unwrap();
        run(publish_to(&server, "s3://bucket", &tarballs).env("AWS_CA_BUNDLE", &bad))
            .fails(3, &["AWS_CA_BUNDLE", "not a file of certificates", "remedy:"]);
    }
    server.fault(Matcher::put(), Action::AnswerBefore(403, "AccessDenied"));
    run(&mut publish_to(&server, "s3://bucket", &tarballs))
        .fails(1, &["HTTP status 403", "s3:PutObject", "Nothing was written", "again is safe"]);
    assert!(server.history().is_empty());
}

/// As a small container image has it. The libraries below end the program, or refuse to begin, where a machine has no
/// certificates, even for a server that is asked by plain http.
#[test]
fn a_machine_without_certificates_needs_them_for_https_alone() {
    let server = S3Server::start(&["bucket"]);
    let root = folder();
    let release = tarballs("release-1.2.0");
    let empty = root.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let without =
        |command: &mut Command| run(command.env("SSL_CERT_FILE", &empty).env("SSL_CERT_DIR", root.path()));
    without(&mut publish_to(&server, "s3://bucket", &release)).succeeds();
    let site = root.path().join("site");
    run(&mut publish(&site, &release)).succeeds();
    let preview = Preview::of(&site);
    without(tfreg().args(["verify", preview.url(), "acme/sample"])).succeeds();
    preview.stop();

    let host = Host::of(&site);
    let remedy = ["certificate", "remedy:", "ca-certificates", "AWS_CA_BUNDLE"];
    let url = host.url();
    without(publish_to(&server, "s3://bucket", &release).env("AWS_ENDPOINT_URL", &url)).fails(1, &remedy);
    without(tfreg().args(["verify", &url, "acme/sample"])).fails(1, &remedy);
    let with_bundle = |command: &mut Command| without(command.env("AWS_CA_BUNDLE", host.certificate()));
    // The host is reached then; it is no S3 server.
    let ran = with_bundle(publish_to(&server, "s3://bucket", &release).env("AWS_ENDPOINT_URL", &url));
    assert!(!ran.stderr.contains("certificate"), "{ran:#?}");
    with_bundle(tfreg().args(["verify", &url, "acme/sample"])).succeeds();
}

#[test]
fn a_bucket_is_reached_by_certificates_of_both_kinds() {
    let server = S3Server::start(&["bucket"]);
    let port = server.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    let release = tarballs("release-1.2.0");
    let publish_by = |host: &Host, bundle: &Host, release: &[std::path::PathBuf]| {
        let mut command = publish_to(&server, "s3://bucket", release);
        let url = format!("https://{}", host.name());
        run(command.env("AWS_ENDPOINT_URL", url).env("AWS_CA_BUNDLE", bundle.certificate()))
    };
    let usual = Host::before(port, &Certificate::server());
    let authority = Host::before(port, &Certificate::authority(&["localhost"]));
    publish_by(&usual, &usual, &release).succeeds();
    let found = publish_by(&authority, &authority, &release).succeeds();
    assert!(found.stdout.contains("Already published"), "{found:#?}");
    publish_by(&authority, &authority, &tarballs("release-1.10.0")).succeeds();
    let other = Host::before(port, &Certificate::authority(&["localhost"]));
    publish_by(&authority, &other, &release).fails(1, &["certificate"]);
    let elsewhere = Host::before(port, &Certificate::authority(&["registry.example.com"]));
    publish_by(&elsewhere, &elsewhere, &release).fails(1, &["certificate"]);
}

#[test]
fn a_profile_with_its_endpoint_works() {
    let server = S3Server::start(&["bucket"]);
    let root = folder();
    let config = root.path().join("config");
    let text = format!(
        "[profile release]\nregion = eu-west-1\nendpoint_url = {}\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        server.endpoint(),
        server.access_key(),
        server.secret_key()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = publish("s3://bucket", &tarballs("release-1.2.0"));
    let names = ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"];
    command.envs(server.envs().into_iter().filter(|(name, _)| !names.contains(&name.as_str())));
    run(command.env("AWS_CONFIG_FILE", &config).env("AWS_PROFILE", "release")).succeeds();
    assert_eq!(listed(&server).len(), 4);
}

#[test]
fn requests_go_through_a_proxy() {
    let server = S3Server::start(&["bucket"]);
    let mut command = publish_to(&server, "s3://bucket", &tarballs("release-1.2.0"));
    // The name does not resolve; only the proxy, which is the server itself, can reach it.
    command.env("AWS_ENDPOINT_URL", "http://s3.example.invalid").env("HTTP_PROXY", server.endpoint());
    run(command.env_remove("NO_PROXY").env_remove("no_proxy")).succeeds();
    assert_eq!(listed(&server).len(), 4);
}

#[test]
fn a_store_that_ignores_conditions_is_refused_by_name() {
    for (conditions, said) in [(Conditions::Ignored, "was carried out"), (Conditions::NotImplemented, "501")]
    {
        // In an empty bucket, and in one that has a registry.
        for full in [false, true] {
            let server = S3Server::start(&["bucket"]);
            if full {
                run(&mut publish_to(&server, "s3://bucket/p", &tarballs("release-1.10.0"))).succeeds();
            }
            let before: BTreeMap<_, _> = objects(&server, "p/");
            server.set_conditions(conditions);
            let refused = run(&mut publish_to(&server, "s3://bucket/p", &tarballs("release-1.2.0")));
            refused
                .fails(3, &["s3://bucket/p/", "does not honour conditional writes", said, "412", "remedy:"]);
            let mut after = objects(&server, "p/");
            after.retain(|key, _| key.starts_with("registry/") || key.starts_with(".well-known/"));
            assert!(after.iter().all(|(key, bytes)| before.get(key) == Some(bytes)), "nothing is indexed");
        }
    }
}

/// S3 sends what is kept with its `Content-Encoding`, and Go's HTTP client, with which Terraform reads, decodes gzip.
#[test]
fn what_is_kept_compressed_is_read_as_clients_read_it() {
    let server = S3Server::start(&["bucket", "artifacts"]);
    let published = tarballs("release-1.2.0");
    run(&mut publish_to(&server, "s3://bucket", &published)).succeeds();
    let index = "registry/acme/sample/versions";
    let plain = server.objects("bucket")[index].bytes.clone();
    let parts =
        [index, "terraform.json", "/linux/amd64", "linux_amd64.zip", "SHA256SUMS", ".sig", "provenance.json"];
    for (key, object) in server.objects("bucket") {
        if parts.iter().any(|part| key.ends_with(part)) {
            server.encode_directly("bucket", &key, "gzip", gzip(&object.bytes));
        }
    }
    let verify = |args: &[&str]| {
        run(tfreg().args(["verify", "--format", "json", "s3://bucket"]).args(args).envs(server.envs()))
    };
    for args in [&[][..], &["--quick"]] {
        let ran = verify(args).succeeds();
        // But for its links, which begin at the host's root.
        let rules = ran.stdout.matches("\"rule\": ").count();
        assert!(rules == 1 && ran.stdout.contains("\"rule\": \"links-relative\""), "{ran:#?}");
    }
    let before = server.history().len();
    let ran = run(&mut publish_to(&server, "s3://bucket", &published)).succeeds();
    assert!(ran.stderr.contains("Already published") || ran.stdout.contains("Already published"), "{ran:#?}");
    assert_eq!(server.history().len(), before, "what clients get is right, so nothing is written");
    // What is written is written plain.
    run(&mut publish_to(&server, "s3://bucket", &tarballs("release-1.10.0"))).succeeds();
    let written = server.objects("bucket")[index].clone();
    assert_eq!(written.content_encoding, None);
    let text = String::from_utf8(written.bytes.to_vec()).unwrap();
    assert!(text.contains("\"1.2.0\"") && text.contains("\"1.10.0\""), "{text}");
    verify(&[]).succeeds();

    // What says that it is gzip, and is not, nobody can read; what is encoded otherwise Go hands on as it is.
    server.encode_directly("bucket", index, "gzip", plain.clone());
    let said = ["Content-Encoding is gzip, and the contents are not", "without the header Content-Encoding"];
    run(&mut publish_to(&server, "s3://bucket", &published)).fails(1, &said);
    server.encode_directly("bucket", index, "identity", plain);
    run(&mut publish_to(&server, "s3://bucket", &published)).succeeds();

    // A tarball is a gzip file, and not what is in it.
    for path in &published {
        let key = format!("v/{}", path.file_name().unwrap().to_str().unwrap());
        let bytes = std::fs::read(path).unwrap();
        server.put_directly("artifacts", &key, bytes.clone());
        server.encode_directly("artifacts", &key, "gzip", bytes);
    }
    let fetched = ["s3://artifacts/v/".into()];
    run(publish_to(&server, "s3://bucket/other", &fetched).args(["--protocol", "6.0"])).succeeds();
}
