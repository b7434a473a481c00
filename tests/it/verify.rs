//! `tfreg verify`: a good registry passes wherever it is read; one change at a time of a good registry is named, and real
//! Terraform is asked about the same change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};

use crate::support::clients::{Preview, require_program};
use crate::support::host::{Certificate, Host, Instead, PRIVATE};
use crate::support::in_process::registry;
use crate::support::mutated::{
    Case, DISCOVERY, EXECUTABLE, Entry, HERE, INDEX, Signer, THERE, central, executable, expired, zip_of,
};
use crate::support::s3_server::{Action, Matcher, S3Server};
use crate::support::tunnel::Tunnel;
use crate::support::{Ran, folder, publish, run, tarball, tarballs, tfreg, tree};

/// `tfreg verify PLACE --format json ARG…`
fn verify(place: &str, args: &[&str]) -> Ran {
    run(tfreg().args(["verify", "--format", "json", place]).args(args))
}

fn verify_host(host: &Host, args: &[&str]) -> Ran {
    let certificate = host.certificate().display().to_string();
    let provider = ["--namespace", "acme", "--type", "sample", "--ca-file", &certificate];
    verify(&host.url(), &[&provider, args].concat())
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"))
}

/// The registries of these tests are at no address of their own, so this is said of all of them (see `settings`).
const RELATIVE: &str = "links-relative";

/// The other rules that are broken, each with where, what was found and what was expected.
fn findings(report: &Value) -> Vec<(String, String)> {
    let findings = report["findings"].as_array().unwrap().iter().filter(|f| f["rule"] != RELATIVE);
    findings.map(|f| (f["rule"].as_str().unwrap().to_owned(), f.to_string())).collect()
}

/// The rules that are broken, but for those that depend on where it is read.
fn verdict(report: &Value) -> BTreeSet<String> {
    findings(report).into_iter().map(|(rule, _)| rule).collect()
}

#[test]
fn a_good_registry_passes_wherever_it_is_read() {
    let root = folder();
    let site = root.path().join("site");
    let server = S3Server::start(&["bucket"]);
    for release in ["release-1.2.0", "release-1.2.0-more", "release-1.10.0"] {
        run(&mut publish(&site, &tarballs(release))).succeeds();
        run(publish("s3://bucket/some/prefix", &tarballs(release)).envs(server.envs())).succeeds();
    }
    let preview = Preview::of(&site);
    let host = Host::of(&site);
    let provider = ["--namespace", "acme", "--type", "sample"];
    let bucket = ["verify", "--format", "json", "s3://bucket/some/prefix"];
    let reports = [
        ("directory", verify(&site.display().to_string(), &[])),
        ("bucket", run(tfreg().args(bucket).envs(server.envs()))),
        ("preview", verify(preview.url(), &provider)),
        ("host", verify_host(&host, &[])),
        ("quick", verify_host(&Host::of(&site), &["--quick"])),
        ("one version", verify_host(&host, &["--version", "1.10.0"])),
    ];
    let mut hashes = BTreeSet::new();
    for (place, ran) in reports {
        let report = json(&ran.clone().succeeds());
        assert!(findings(&report).is_empty(), "{place}: {report:#}");
        assert_eq!(report["signers"][0]["key_id"], "A7F2BC5B6E845A69", "{place}");
        let (versions, platforms) = if place == "one version" { (1, 4) } else { (2, 10) };
        assert_eq!(report["checked"]["versions"], versions, "{place}");
        assert_eq!(report["checked"]["platforms"], platforms, "{place}");
        let zips = if place == "quick" { 0 } else { platforms };
        assert_eq!(report["checked"]["zips"], zips, "{place}");
        if platforms == 10 && zips > 0 {
            let packages = report["packages"].as_array().unwrap().iter();
            let of = |p: &Value| format!("{} {} {} {}", p["version"], p["platform"], p["sha256"], p["h1"]);
            hashes.insert(packages.map(of).collect::<Vec<_>>());
        }
        if let Some(counted) = report.get("unreferenced") {
            assert_eq!(counted["objects"], 0, "{place}");
            assert_eq!(counted["earlier_objects"], 4, "{place}: SHA256SUMS of the first run of 1.2.0");
        }
    }
    assert_eq!(hashes.len(), 1, "the same hashes wherever they are read");
    preview.stop();
}

#[test]
fn quick_downloads_no_zip() {
    let case = Case::new();
    verify_host(&case.host, &["--quick"]).succeeds();
    assert_eq!(case.host.gets(".zip"), 0);
    verify_host(&case.host, &[]).succeeds();
    assert_eq!(case.host.gets(".zip"), 8, "each once");
    // What quick cannot see.
    let mut bytes = std::fs::read(case.at(&case.zip_key())).unwrap();
    bytes[40] ^= 1;
    case.write(&case.zip_key(), bytes);
    verify_host(&case.host, &["--quick"]).succeeds();
    verify_host(&case.host, &[]).fails(3, &[]);
    case.remove(&case.zip_key());
    let report = json(&verify_host(&case.host, &["--quick"]).fails(3, &[]));
    assert_eq!(verdict(&report), BTreeSet::from(["zip-missing".to_owned()]));
}

#[test]
fn what_was_asked_for_must_be_there() {
    let case = Case::new();
    let site = case.site.display().to_string();
    let report = json(&verify(&site, &["--version", "9.9.9"]).fails(3, &[]));
    assert_eq!(verdict(&report), BTreeSet::from(["index-not-listed".to_owned()]));
    let report = json(&verify(&site, &["--namespace", "acme", "--type", "other"]).fails(3, &[]));
    assert_eq!(verdict(&report), BTreeSet::from(["index-missing".to_owned()]));
    let report = json(&verify(&site, &["--namespace", "nobody"]).fails(3, &[]));
    assert_eq!(verdict(&report), BTreeSet::from(["index-none".to_owned()]));
    run(tfreg().args(["verify", &site, "--type", "Sample"])).fails(2, &["--type"]);
    run(tfreg().args(["verify", "https://h/prefix/"])).fails(2, &["https://HOST/"]);
}

#[test]
fn doubtful_links_and_keys_that_expire_are_told_of() {
    let case = Case::new();
    case.edit(HERE, |v| {
        for member in ["download_url", "shasums_url", "shasums_signature_url"] {
            v[member] = json!(format!("http://registry.example.com{}", v[member].as_str().unwrap()));
        }
    });
    let report = json(&verify(&case.site.display().to_string(), &[]).succeeds());
    assert!(verdict(&report).contains("document-plain-http"), "{report:#}");

    let case = Case::new();
    case.write(DISCOVERY, r#"{"providers.v1": "http://registry.example.com/registry/"}"#);
    let report = json(&verify(&case.site.display().to_string(), &[]).succeeds());
    assert!(verdict(&report).contains("discovery-plain-http"), "{report:#}");

    let case = Case::new();
    case.edit(HERE, |v| v["filename"] = json!("sample.zip"));
    case.sums(|text| text.replace("terraform-provider-sample_1.2.0_linux_amd64.zip", "sample.zip"));
    let report = json(&verify_host(&case.host, &[]).succeeds());
    assert!(verdict(&report).contains("document-filename"), "{report:#}");

    let case = Case::new();
    case.embed(&Signer::expiring(30));
    let report = json(&verify_host(&case.host, &[]).succeeds());
    assert!(verdict(&report).contains("key-expires"), "{report:#}");
}

#[test]
fn no_bytes_in_any_file_make_it_panic() {
    let case = Case::new();
    let files: Vec<(String, Vec<u8>)> = tree(&case.site).into_iter().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = tfreg::store::directory::Directory::open(&case.site).unwrap();
    let reader = tfreg::reader::Reader::Store(registry(store));
    let scope = tfreg::verify::Scope {
        namespace: None,
        provider_type: None,
        versions: std::collections::BTreeSet::new(),
        depth: tfreg::verify::Depth::Full,
        extent: tfreg::verify::Extent::Registry,
        max_zip: tfreg::verify::MAX_ZIP,
    };
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let damage = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        prop::collection::vec(any::<u8>(), 0..64),
        any::<bool>(),
    );
    let judged = runner.run(&damage, |(file, at, bytes, whole)| {
        let (name, good) = &files[file.index(files.len())];
        let mut bad = bytes.clone();
        if !whole {
            let at = at.index(good.len());
            let end = good.len().min(at + bytes.len());
            bad = [&good[..at], &bytes, &good[end..]].concat();
        }
        case.write(name, &bad);
        let verification =
            runtime.block_on(tfreg::verify::verify(&reader, &scope, 8, &tfreg::verify::Unwatched));
        case.write(name, good);
        let verification = verification.map_err(|error| TestCaseError::fail(format!("{name}: {error}")))?;
        // Of every file it is noticed that it is another one: by its checksum, its signature, or what it says.
        prop_assert!(
            bad == *good
                || verification.findings.iter().any(|finding| finding.rule.name != RELATIVE)
                || is_overlooked(name, good, &bad),
            "{name}: {bad:?}"
        );
        Ok(())
    });
    judged.unwrap();
}

/// Whether a change of a document may leave it as good as it was: white space, or a member that nobody knows.
fn is_overlooked(name: &str, good: &[u8], bad: &[u8]) -> bool {
    let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    name.starts_with("registry/") && value(bad).is_some()
        || value(good) == value(bad) && value(good).is_some()
}

#[test]
fn the_hashes_are_those_of_lock_files() {
    if !require_program("terraform") {
        return;
    }
    let case = Case::new();
    let terraform = crate::support::clients::Terraform::over(&case.host, "1.2.0");
    terraform.run(&["init"]).succeeds();
    let lock = terraform.lock_file();
    let report = json(&verify(&case.site.display().to_string(), &["--version", "1.2.0"]).succeeds());
    let packages = report["packages"].as_array().unwrap();
    assert_eq!(packages.len(), 4);
    for package in packages {
        assert!(
            lock.contains(&format!("\"zh:{}\"", package["sha256"].as_str().unwrap())),
            "{package} {lock}"
        );
        let here = package["platform"] == "linux_amd64";
        assert_eq!(lock.contains(package["h1"].as_str().unwrap()), here, "{package} {lock}");
    }
}

#[test]
fn people_get_a_few_lines_and_each_finding_once() {
    let case = Case::new();
    let site = case.site.display().to_string();
    let good = run(tfreg().args(["verify", &site])).succeeds();
    for text in ["Good", "1 provider, 2 versions, 8 platforms; 8 zips read"] {
        assert!(good.stdout.contains(text), "{text}: {good:#?}");
    }
    // Seven of them are about links.
    assert!(good.stdout.lines().count() < 12 + 7 && !good.stdout.contains("State"), "{good:#?}");
    assert!(good.stdout.lines().skip(1).all(|line| line.chars().count() <= 80), "{good:#?}");
    let table = run(tfreg().args(["verify", "--verbose", &site])).succeeds();
    for text in ["What", "State", "Why it matters", "ok"] {
        assert!(table.stdout.contains(text), "{text}: {table:#?}");
    }
    assert!(table.stdout.lines().filter(|line| line.contains('│')).all(|line| line.chars().count() <= 80));
    let zip = case.zip_key();
    case.remove(&zip);
    let bad = run(tfreg().args(["verify", &site])).fails(3, &["clients would fail with this registry"]);
    for text in [
        "error: a zip is not there (zip-missing)",
        &zip,
        "  found:    it is not there",
        "  remedy:   publish",
    ] {
        assert!(bad.stdout.contains(text), "{text}: {bad:#?}");
    }
    assert_eq!(bad.stdout.matches("zip-missing").count(), 1, "{bad:#?}");
    assert!(!bad.stderr.contains(&zip), "{bad:#?}");
    let quiet = run(tfreg().args(["verify", "--quiet", &site]));
    assert_eq!(quiet.code, 3);
}

#[test]
fn a_missing_target_is_one_error() {
    let nothing = folder();
    let nowhere = nothing.path().join("nowhere").display().to_string();
    let ran = run(tfreg().args(["verify", &nowhere]));
    ran.refused("nowhere", &["there is no registry to verify", "no such directory"]);
    let report = json(&verify(&nothing.path().display().to_string(), &[]).fails(3, &[]));
    assert_eq!(verdict(&report), BTreeSet::from(["index-none".to_owned()]));
}

#[test]
fn a_version_need_not_be_every_providers() {
    let case = Case::new();
    let index = case.text(INDEX);
    case.write("registry/acme/other/versions", index.replace("1.2.0", "3.0.0"));
    let site = case.site.display().to_string();
    let ran = verify(&site, &["--version", "1.2.0"]);
    let report = json(&ran.clone().succeeds());
    assert_eq!(report["checked"]["providers"], 1, "{ran:#?}");
    let report = json(&verify(&site, &["--version", "9.9.9"]).fails(3, &[]));
    assert_eq!(verdict(&report), BTreeSet::from(["index-not-listed".to_owned()]));
    assert_eq!(findings(&report).len(), 1);
}

#[test]
fn documents_are_read_as_clients_read_them() {
    use std::io::Write as _;
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let case = Case::new();
    for key in [INDEX, DISCOVERY, HERE, &case.zip_key()] {
        let plain = std::fs::read(case.at(key)).unwrap();
        case.write(key, gzip(&plain));
        case.host.instead(key, Instead::Header("content-encoding", "gzip"));
    }
    let report = json(&verify_host(&case.host, &[]).succeeds());
    assert!(findings(&report).is_empty(), "{report:#}");
    // Few bytes on the way, and more than any index behind them.
    case.write(INDEX, gzip(&vec![b' '; 40 << 20]));
    let report = json(&verify_host(&case.host, &[]).fails(3, &[]));
    assert!(
        findings(&report).iter().any(|(rule, text)| rule == "index-unreadable" && text.contains("33554432"))
    );
}

#[test]
fn links_are_followed_to_where_registries_are_only() {
    let inside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let port = inside.local_addr().unwrap().port();
    for (target, remedy) in [
        (format!("http://127.0.0.1:{port}/latest/meta-data"), "--base-url of https"),
        (format!("http://localhost:{port}/"), "--base-url of https"),
        ("https://169.254.169.254/latest/meta-data".to_owned(), "correct the link"),
        ("https://[fd00:ec2::254]/".to_owned(), "correct the link"),
        ("https://10.11.12.13/x.zip".to_owned(), "--allow-private-links"),
    ] {
        let case = Case::new();
        case.edit(HERE, |v| v["download_url"] = json!(target));
        let report = json(&verify_host(&case.host, &[]).fails(3, &[]));
        let told = findings(&report);
        let named = |(rule, text): &&(String, String)| {
            rule == "zip-unreadable" && text.contains("not followed") && text.contains(remedy)
        };
        assert!(told.iter().any(|finding| named(&finding)), "{target}: {told:#?}");
    }
    assert!(inside.accept().is_err(), "nobody connected");
}

#[test]
fn a_private_link_is_followed_where_the_message_says_so() {
    let case = Case::new();
    let tunnel = Tunnel::to(case.host.port());
    let zip = format!("https://{PRIVATE}/{}", case.zip_key());
    case.edit(HERE, |v| v["download_url"] = json!(zip));
    let verify = |args: &[&str]| {
        let mut command = tfreg();
        command.args(["verify", "--format", "json", &case.host.url(), "acme/sample", "--ca-file"]);
        command.arg(case.host.certificate()).args(args);
        json(&run(tunnel.used_by(&mut command)))
    };
    let named = |report: &Value| {
        let told = findings(report);
        told.iter().any(|(rule, text)| rule == "zip-unreadable" && text.contains("--allow-private-links"))
    };
    let report = verify(&[]);
    assert!(named(&report), "{report:#}");
    assert_eq!(tunnel.asked(), [""; 0]);
    let report = verify(&["--allow-private-links"]);
    assert!(!verdict(&report).contains("zip-unreadable"), "{report:#}");
    assert!(tunnel.asked().contains(&format!("{PRIVATE}:443")), "{:?}", tunnel.asked());
}

#[test]
fn what_is_no_document_is_not_repeated() {
    let case = Case::new();
    case.write(&case.sums_key(), "AccessKeyId : hunter2\nToken : hunter2\n");
    case.write(INDEX, "{\"versions\": [], hunter2");
    let ran = verify_host(&case.host, &[]).fails(3, &[]);
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{ran:#?}");
    let case = Case::new();
    case.write(&case.sums_key(), "AccessKeyId : hunter2\nToken : hunter2\n");
    let ran = verify_host(&case.host, &[]).fails(3, &[]);
    assert!(ran.stdout.contains("no line begins with a checksum"), "{ran:#?}");
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{ran:#?}");
}

#[test]
fn a_zip_above_the_limit_is_not_read_to_its_end() {
    let case = Case::new();
    let large = vec![0; (1 << 20) + 1];
    case.zip(&large);
    let report = json(&verify_host(&case.host, &["--max-zip-mib", "1"]).fails(3, &[]));
    assert!(verdict(&report).contains("zip-too-large"), "{report:#}");
    // As the remedy says: now it is read.
    let report = json(&verify_host(&case.host, &["--max-zip-mib", "2"]).fails(3, &[]));
    assert!(!verdict(&report).contains("zip-too-large"), "{report:#}");
}

#[test]
fn an_unknown_issuer_is_named_as_the_remedy_says() {
    let case = Case::new();
    let url = case.host.url();
    let provider = ["verify", &url, "--namespace", "acme", "--type", "sample"];
    run(tfreg().args(provider)).fails(1, &["certificate is not trusted", "--ca-file", "SSL_CERT_FILE"]);
    run(tfreg().args(provider).arg("--ca-file").arg(case.host.certificate())).succeeds();
    run(tfreg().args(provider).env("SSL_CERT_FILE", case.host.certificate())).succeeds();
}

#[test]
fn a_certificate_of_openssl_req_is_trusted_where_it_is_named_itself() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let verify = |host: &Host, trusted: &Host| {
        run(tfreg().args(["verify", &host.url(), "acme/sample", "--ca-file"]).arg(trusted.certificate()))
    };
    let of = |certificate: &Certificate| Host::with(&site, certificate);
    let host = of(&Certificate::authority(&["localhost"]));
    verify(&host, &host).succeeds();
    let url = host.url();
    let named_by =
        |variable: &str| run(tfreg().args(["verify", &url, "acme/sample"]).env(variable, host.certificate()));
    named_by("AWS_CA_BUNDLE").succeeds();
    named_by("SSL_CERT_FILE").succeeds();
    // Not named at all, it is refused by the words that lead there.
    named_by("NO_VARIABLE").fails(1, &["it is a CA's own", "--ca-file", "SSL_CERT_FILE"]);

    // It stands for itself alone, under its names, in its time.
    let other = of(&Certificate::authority(&["localhost"]));
    verify(&host, &other).fails(1, &["certificate is not trusted"]);
    let elsewhere = of(&Certificate::authority(&["registry.example.com"]));
    verify(&elsewhere, &elsewhere).fails(1, &["certificate is not trusted", "for this host's name"]);
    let expired = of(&Certificate::expired_authority());
    verify(&expired, &expired).fails(1, &["certificate is not trusted", "renew the server's certificate"]);
}

#[test]
fn a_host_cannot_be_listed_and_what_cannot_be_read_is_no_verdict() {
    let case = Case::new();
    let url = case.host.url();
    let certificate = case.host.certificate().display().to_string();
    run(tfreg().args(["verify", &url, "--ca-file", &certificate])).fails(2, &["--namespace", "--type"]);
    // Nobody vouches for the certificate.
    let provider = ["--namespace", "acme", "--type", "sample"];
    run(tfreg().args(["verify", &url]).args(provider)).fails(1, &["cannot read", "remedy:"]);
    run(tfreg().args(["verify", &url, "--ca-file", "/nonexistent.pem"]).args(provider))
        .fails(1, &["--ca-file"]);
    case.host.instead("versions", Instead::Status(503));
    run(tfreg().args(["verify", &url, "--ca-file", &certificate]).args(provider))
        .fails(1, &["503", "versions"]);
}

#[test]
fn a_bucket_is_judged_by_its_own_headers_and_answers() {
    let root = folder();
    let server = S3Server::start(&["bucket"]);
    let publish =
        |release: &str| run(publish("s3://bucket", &tarballs(release)).envs(server.envs())).succeeds();
    publish("release-1.2.0");
    let verify = |args: &[&str]| {
        run(tfreg().args(["verify", "--format", "json", "s3://bucket"]).args(args).envs(server.envs()))
    };
    // Uploaded by hand: the wrong type, and nothing about caching.
    let bytes = server.objects("bucket")[DISCOVERY].bytes.clone();
    server.put_directly("bucket", DISCOVERY, bytes);
    let report = json(&verify(&["--quick"]).fails(3, &[]));
    assert!(verdict(&report).contains("discovery-content-type"), "{report:#}");
    assert!(verdict(&report).contains("discovery-cache"), "{report:#}");
    server.delete_directly("bucket", DISCOVERY);
    publish("release-1.2.0");

    server.put_directly("bucket", "store/acme/sample/1.2.0/notes.txt", "hello");
    let zip = "store/acme/sample/1.2.0/0123456789abcdef/terraform-provider-sample_1.2.0_linux_386.zip";
    server.put_directly("bucket", zip, "twelve bytes");
    let report = json(&verify(&[]).succeeds());
    assert_eq!(
        verdict(&report),
        BTreeSet::from(["object-foreign", "object-unreferenced"].map(str::to_owned))
    );
    assert_eq!(report["unreferenced"]["objects"], 1);
    assert_eq!(report["unreferenced"]["bytes"], 12);
    assert!(server.objects("bucket").contains_key(zip), "nothing is removed");

    // Without s3:ListBucket what is missing looks forbidden.
    server.fault(Matcher::any().contains("0.0.0-tfreg-verify"), Action::AnswerBefore(403, "AccessDenied"));
    let report = json(&verify(&["--namespace", "acme", "--type", "sample"]).fails(3, &[]));
    assert!(verdict(&report).contains("missing-status"), "{report:#}");
    server.fault(Matcher::get().suffix("versions"), Action::AnswerBefore(403, "AccessDenied"));
    verify(&[]).fails(1, &["403", "versions", "remedy:"]);
    drop(root);
}

/// What Terraform says of a change that `tfreg verify` names.
enum Terraform {
    /// It fails, with this on standard error.
    Fails(&'static str),
    /// It installs and starts all the same. Where verify says "error" nevertheless, the reason why.
    Installs(&'static str),
}
use Terraform::{Fails, Installs};

/// Where a change can be seen.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    Everywhere,
    /// A directory has no statuses and no headers.
    OnHost,
    /// A host cannot be listed.
    ByListing,
}
use Seen::{ByListing, Everywhere, OnHost};

/// One change of a good registry.
pub(crate) struct Mutation {
    pub(crate) name: &'static str,
    /// The rule that must be named, and what its finding must say.
    pub(crate) rule: &'static str,
    text: &'static str,
    seen: Seen,
    terraform: Terraform,
    pub(crate) change: fn(&Case),
}

impl Mutation {
    /// Whether Terraform 1.11.4 installs.
    pub(crate) fn installs(&self) -> bool {
        matches!(self.terraform, Installs(_))
    }
}

/// All of them.
pub(crate) fn mutations() -> Vec<Mutation> {
    [discovery_and_index(), documents_and_checksums(), signatures_and_zips()].into_iter().flatten().collect()
}

const ELSEWHERE: &str = "it is about another platform than the one that Terraform runs on here";
const OPENTOFU: &str =
    "Terraform passes packages over; OpenTofu refuses those whose zh: or size is not the own zip's";
const NEXT_PUBLISH: &str = "Terraform overlooks it; the next publish, and stricter readers, refuse it";

fn mutation(
    name: &'static str,
    rule: &'static str,
    text: &'static str,
    seen: Seen,
    terraform: Terraform,
    change: fn(&Case),
) -> Mutation {
    Mutation { name, rule, text, seen, terraform, change }
}

#[rustfmt::skip]
fn discovery_and_index() -> Vec<Mutation> { vec![
    mutation("discovery is gone", "discovery-missing", "not there", Everywhere, Fails("Invalid provider registry host"), |c| c.remove(DISCOVERY)),
    mutation("discovery is forbidden", "discovery-unreadable", "403", OnHost, Fails("could not connect"), |c| c.host.instead(DISCOVERY, Instead::Status(403))),
    mutation("discovery as text", "discovery-content-type", "text/plain", OnHost, Fails("unsupported Content-Type"), |c| c.host.instead(DISCOVERY, Instead::Header("content-type", "text/plain"))),
    mutation("discovery without a type", "discovery-content-type", "none", OnHost, Fails("Content-Type"), |c| c.host.instead(DISCOVERY, Instead::Header("content-type", ""))),
    mutation("discovery with a charset", "discovery-content-type-parameters", "charset", OnHost, Installs(""), |c| c.host.instead(DISCOVERY, Instead::Header("content-type", "application/json; charset=utf-8"))),
    mutation("discovery is no JSON", "discovery-json", "not strict JSON", Everywhere, Fails("discovery document"), |c| c.write(DISCOVERY, "{")),
    mutation("discovery with a byte order mark", "discovery-json", "not strict JSON", Everywhere, Fails("discovery document"), |c| { let text = c.text(DISCOVERY); c.write(DISCOVERY, format!("\u{feff}{text}")); }),
    mutation("discovery says it twice", "discovery-json", "twice", Everywhere, Installs("which of the two counts, readers do not agree on"), |c| c.write(DISCOVERY, r#"{"providers.v1": "/other/", "providers.v1": "/registry/"}"#)),
    mutation("discovery is huge", "discovery-size", "1 MiB", Everywhere, Fails("too large"), |c| c.write(DISCOVERY, format!("{{\"providers.v1\": \"/registry/\", \"x\": \"{}\"}}", "x".repeat(1 << 20)))),
    mutation("no provider registry", "discovery-service", "no \\\"providers.v1", Everywhere, Fails("Invalid provider registry host"), |c| c.write(DISCOVERY, r#"{"modules.v1": "/modules/"}"#)),
    mutation("the service is a number", "discovery-service", "a number", Everywhere, Fails("registry"), |c| c.write(DISCOVERY, r#"{"providers.v1": 1}"#)),
    mutation("the service by another protocol", "discovery-address", "ftp", Everywhere, Fails("unsupported scheme ftp"), |c| c.write(DISCOVERY, r#"{"providers.v1": "ftp://h/registry/"}"#)),
    mutation("no slash", "discovery-slash", "/registry/", Everywhere, Fails("does not have a provider named"), |c| c.write(DISCOVERY, r#"{"providers.v1": "/registry"}"#)),
    mutation("four redirects", "discovery-redirects", "4 redirects", OnHost, Fails("could not connect"), redirects),
    mutation("a redirect to plain http", "discovery-unreadable", "plain http", OnHost, Fails("could not connect"), |c| c.host.instead(DISCOVERY, Instead::Redirect("http://localhost:{port}/.well-known/terraform.json"))),
    mutation("another service address", "discovery-elsewhere", "/elsewhere/", ByListing, Fails("does not have a provider named"), |c| c.write(DISCOVERY, r#"{"providers.v1": "/elsewhere/"}"#)),
    mutation("discovery kept for a year", "discovery-cache", "31536000", OnHost, Installs(""), |c| c.host.instead(DISCOVERY, Instead::Header("cache-control", "max-age=31536000"))),

    mutation("the index is gone", "index-missing", "not there", Everywhere, Fails("does not have a provider named"), |c| c.remove(INDEX)),
    mutation("the index is forbidden", "index-unreadable", "403", OnHost, Fails("credentials"), |c| c.host.instead("/versions", Instead::Status(403))),
    mutation("the index as a page", "document-content-type", "text/html", OnHost, Installs(""), |c| c.host.instead("/versions", Instead::Header("content-type", "text/html"))),
    mutation("the index kept for a day", "document-cache", "86400", OnHost, Installs(""), |c| c.host.instead("/versions", Instead::Header("cache-control", "public, max-age=86400"))),
    mutation("the index without caching", "document-cache", "no Cache-Control", OnHost, Installs(""), |c| c.host.instead("/versions", Instead::Header("cache-control", ""))),
    mutation("the index is no JSON", "index-json", "not strict JSON", Everywhere, Fails("registry"), |c| c.write(INDEX, "<html>")),
    mutation("something behind the index", "index-json", "trailing", Everywhere, Installs(NEXT_PUBLISH), |c| { let text = c.text(INDEX); c.write(INDEX, format!("{text}{{}}")); }),
    mutation("no versions", "index-json", "no \\\"versions\\\"", Everywhere, Fails("was not found"), |c| c.write(INDEX, "{}")),
    mutation("versions are no list", "index-json", "not a list", Everywhere, Fails("registry"), |c| c.write(INDEX, r#"{"versions": {}}"#)),
    mutation("an empty index", "index-empty", "empty list", Everywhere, Fails("was not found"), |c| c.edit(INDEX, |v| v["versions"] = json!([]))),
    mutation("v in a version", "index-version", "v1.2.0", Everywhere, Fails("invalid version"), |c| c.edit(INDEX, |v| v["versions"][0]["version"] = json!("v1.2.0"))),
    mutation("v in another version", "index-version", "v1.10.0", Everywhere, Fails("invalid version"), |c| c.edit(INDEX, |v| v["versions"][1]["version"] = json!("v1.10.0"))),
    mutation("build metadata", "index-version", "+b1", Everywhere, Installs("the + does not survive in S3"), |c| c.edit(INDEX, |v| v["versions"][1]["version"] = json!("1.10.0+b1"))),
    mutation("a version is a number", "index-json", "not a string", Everywhere, Fails("registry"), |c| c.edit(INDEX, |v| v["versions"][1]["version"] = json!(1))),
    mutation("a version twice", "index-duplicate-version", "1.2.0", Everywhere, Installs(NEXT_PUBLISH), |c| c.edit(INDEX, |v| { let first = v["versions"][0].clone(); v["versions"].as_array_mut().unwrap().push(first); })),
    mutation("protocols of the index", "index-protocols", "v6.0", Everywhere, Installs("clients read them only to say which version fits them instead"), |c| c.edit(INDEX, |v| v["versions"][0]["protocols"] = json!(["v6.0"]))),
    mutation("no protocols in the index", "index-protocols", "no \\\"protocols\\\"", Everywhere, Installs("clients read them only to say which version fits them instead"), |c| c.edit(INDEX, |v| { v["versions"][0].as_object_mut().unwrap().remove("protocols"); })),
    mutation("other protocols than the index", "document-protocols-differ", "5.0", Everywhere, Installs("the next publish of the version refuses it; clients that look for a version that fits them are misled"), |c| c.edit(INDEX, |v| v["versions"][0]["protocols"] = json!(["5.0"]))),
    mutation("no platforms", "index-platforms", "empty list", Everywhere, Installs("Terraform asks for its own platform without looking; mirrors and the next publish look"), |c| c.edit(INDEX, |v| v["versions"][0]["platforms"] = json!([]))),
    mutation("a platform without arch", "index-platforms", "arch", Everywhere, Installs("Terraform asks for its own platform without looking; mirrors and the next publish look"), |c| c.edit(INDEX, |v| { v["versions"][0]["platforms"][0].as_object_mut().unwrap().remove("arch"); })),
    mutation("a platform twice", "index-duplicate-platform", "darwin_arm64", Everywhere, Installs(""), |c| c.edit(INDEX, |v| { let first = v["versions"][0]["platforms"][0].clone(); v["versions"][0]["platforms"].as_array_mut().unwrap().push(first); })),
    mutation("a platform of nobody", "index-unknown-platform", "aarch64", Everywhere, Installs("the document is missing too, which other platforms do not see"), |c| c.edit(INDEX, |v| v["versions"][0]["platforms"].as_array_mut().unwrap().push(json!({"os": "linux", "arch": "aarch64"})))),
    mutation("warnings are a text", "index-warnings", "a string", Everywhere, Fails("registry"), |c| c.edit(INDEX, |v| v["warnings"] = json!("old"))),
    mutation("warnings are numbers", "index-warnings", "a number", Everywhere, Fails("registry"), |c| c.edit(INDEX, |v| v["warnings"] = json!([1]))),
    mutation("a version is not listed", "index-lacks-version", "1.10.0", ByListing, Installs(""), |c| c.edit(INDEX, |v| { v["versions"].as_array_mut().unwrap().pop(); })),
    mutation("a platform is not listed", "index-lacks-platform", "darwin_arm64", ByListing, Installs(""), |c| c.edit(INDEX, |v| { v["versions"][0]["platforms"].as_array_mut().unwrap().remove(0); })),
    mutation("yanked and listed", "index-yanked", "1.2.0", Everywhere, Installs(""), |c| c.write("registry/acme/sample/1.2.0/yanked", r#"{"yanked": true}"#)),
    mutation("what is missing is forbidden", "missing-status", "403", OnHost, Installs("the version is there: only who asks for one that is not is told to log in"), |c| c.host.instead("0.0.0-tfreg-verify", Instead::Status(403))),
    mutation("what is missing is a page", "missing-status", "200", Everywhere, Installs("the version is there: only who asks for one that is not gets nonsense"), |c| c.write("registry/acme/sample/0.0.0-tfreg-verify/download/linux/amd64", "<html>")),
    mutation("what is missing may be kept for a week", "missing-cache", "604800", OnHost, Installs(""), |c| c.host.instead("0.0.0-tfreg-verify", Instead::Header("cache-control", "max-age=604800"))),
    mutation("what is missing was kept", "missing-cache", "3601", OnHost, Installs(""), |c| c.host.instead("0.0.0-tfreg-verify", Instead::Header("age", "3601"))),
    mutation("a stray file", "object-foreign", "notes.txt", ByListing, Installs(""), |c| c.write("store/acme/sample/notes.txt", "hello")),
    mutation("an object of nobody", "object-unreferenced", "linux_386.zip", ByListing, Installs(""), |c| c.write("store/acme/sample/1.2.0/0123456789abcdef/terraform-provider-sample_1.2.0_linux_386.zip", "zip")),
] }

/// Four redirects to the discovery document.
fn redirects(case: &Case) {
    case.host.instead(DISCOVERY, Instead::Redirect("{host}/hop-1"));
    case.host.instead("hop-1", Instead::Redirect("{host}/hop-2"));
    case.host.instead("hop-2", Instead::Redirect("{host}/hop-3"));
    case.host.instead("hop-3", Instead::Redirect("{host}/registry/discovery"));
    let text = case.text(DISCOVERY);
    case.write("registry/discovery", text);
    case.host.instead("registry/discovery", Instead::Header("content-type", "application/json"));
}

#[rustfmt::skip]
fn documents_and_checksums() -> Vec<Mutation> { vec![
    mutation("a document is gone", "document-missing", "not there", Everywhere, Fails("does not have a package available"), |c| c.remove(HERE)),
    mutation("another's document is gone", "document-missing", "not there", Everywhere, Installs(ELSEWHERE), |c| c.remove(THERE)),
    mutation("a document is forbidden", "document-unreadable", "403", OnHost, Fails("credentials"), |c| c.host.instead("1.2.0/download/linux/amd64", Instead::Status(403))),
    mutation("a document is no JSON", "document-json", "not strict JSON", Everywhere, Fails("registry"), |c| c.write(HERE, "no JSON")),
    mutation("no filename", "document-member", "filename", Everywhere, Fails("checksum list has no SHA-256 hash"), |c| c.edit(HERE, |v| { v.as_object_mut().unwrap().remove("filename"); })),
    mutation("another filename", "checksums-lack-platform", "other.zip", Everywhere, Fails("checksum list has no SHA-256 hash"), |c| c.edit(HERE, |v| v["filename"] = json!("other.zip"))),
    mutation("a filename with a folder", "document-member", "a/b.zip", Everywhere, Fails("checksum list has no SHA-256 hash"), |c| c.edit(HERE, |v| v["filename"] = json!("a/b.zip"))),
    mutation("another os", "document-platform", "darwin", Everywhere, Fails("registry"), |c| c.edit(HERE, |v| v["os"] = json!("darwin"))),
    mutation("another arch", "document-platform", "arm64", Everywhere, Fails("registry"), |c| c.edit(HERE, |v| v["arch"] = json!("arm64"))),
    mutation("no os", "document-member", "no \\\"os\\\"", Everywhere, Fails("registry"), |c| c.edit(HERE, |v| { v.as_object_mut().unwrap().remove("os"); })),
    mutation("arch is a number", "document-member", "a number", Everywhere, Fails("registry"), |c| c.edit(HERE, |v| v["arch"] = json!(64))),
    mutation("a short shasum", "document-member", "shasum", Everywhere, Fails("SHA256 hash"), |c| c.edit(HERE, |v| v["shasum"] = json!("abc"))),
    mutation("an upper-case shasum", "document-member", "shasum", Everywhere, Installs(NEXT_PUBLISH), |c| c.edit(HERE, |v| v["shasum"] = json!(v["shasum"].as_str().unwrap().to_uppercase()))),
    mutation("another shasum", "checksums-differ", "shasum", Everywhere, Fails("checksum"), |c| c.edit(HERE, |v| v["shasum"] = json!("0".repeat(64)))),
    mutation("v in a protocol", "document-protocols", "v6.0", Everywhere, Fails("invalid version string"), |c| c.edit(HERE, |v| v["protocols"] = json!(["v6.0"]))),
    mutation("a protocol of the future", "document-protocols", "7.0", Everywhere, Fails("Incompatible"), |c| c.edit(HERE, |v| v["protocols"] = json!(["7.0"]))),
    mutation("protocols are a text", "document-member", "not a list", Everywhere, Fails("registry"), |c| c.edit(HERE, |v| v["protocols"] = json!("6.0"))),
    mutation("another protocol", "document-protocols-differ", "5.0", Everywhere, Installs("the next publish of the version refuses it; clients that look for a version that fits them are misled"), |c| c.edit(HERE, |v| v["protocols"] = json!(["5.0"]))),
    mutation("no download_url", "document-member", "download_url", Everywhere, Fails("checksum"), |c| c.edit(HERE, |v| { v.as_object_mut().unwrap().remove("download_url"); })),
    mutation("a download_url by another protocol", "document-link", "ftp", Everywhere, Fails("URL"), |c| c.edit(HERE, |v| v["download_url"] = json!("ftp://h/x.zip"))),
    mutation("a download_url to nowhere", "zip-missing", "not there", Everywhere, Fails("404"), |c| c.edit(HERE, |v| v["download_url"] = json!("/nowhere/x.zip"))),
    mutation("no shasums_url", "document-member", "shasums_url", Everywhere, Fails("checksum list"), |c| c.edit(HERE, |v| { v.as_object_mut().unwrap().remove("shasums_url"); })),
    mutation("a shasums_url to nowhere", "checksums-missing", "not there", Everywhere, Fails("404"), |c| c.edit(HERE, |v| v["shasums_url"] = json!("/nowhere"))),
    mutation("no shasums_signature_url", "document-member", "shasums_signature_url", Everywhere, Fails("signature"), |c| c.edit(HERE, |v| { v.as_object_mut().unwrap().remove("shasums_signature_url"); })),
    mutation("a shasums_signature_url to nowhere", "signature-missing", "not there", Everywhere, Fails("404"), |c| c.edit(HERE, |v| v["shasums_signature_url"] = json!("/nowhere"))),
    mutation("no signing keys", "document-member", "gpg_public_keys", Everywhere, Fails("sign"), |c| c.edit(HERE, |v| { v.as_object_mut().unwrap().remove("signing_keys"); })),
    mutation("an empty list of keys", "document-member", "an empty list", Everywhere, Fails("sign"), |c| c.edit(HERE, |v| v["signing_keys"]["gpg_public_keys"] = json!([]))),
    mutation("no armor", "document-member", "ascii_armor", Everywhere, Fails("key"), |c| c.edit(HERE, |v| { v["signing_keys"]["gpg_public_keys"][0].as_object_mut().unwrap().remove("ascii_armor"); })),
    mutation("the trust signature is a number", "document-member", "trust_signature", Everywhere, Fails("registry"), |c| c.edit(HERE, |v| v["signing_keys"]["gpg_public_keys"][0]["trust_signature"] = json!(1))),
    mutation("no key id", "key-id", "none", Everywhere, Installs(""), |c| c.edit_all(|v| { v["signing_keys"]["gpg_public_keys"][0].as_object_mut().unwrap().remove("key_id"); })),
    mutation("another key id", "key-id", "0123456789ABCDEF", Everywhere, Installs(""), |c| c.edit_all(|v| v["signing_keys"]["gpg_public_keys"][0]["key_id"] = json!("0123456789ABCDEF"))),
    mutation("links of another version", "document-reuse", "1.10.0", Everywhere, Fails("checksum"), |c| { let other = c.linked("registry/acme/sample/1.10.0/download/linux/amd64", "download_url"); c.edit(HERE, |v| v["download_url"] = json!(format!("/{other}"))); }),
    mutation("the zip of another platform", "zip-reuse", "darwin/arm64", Everywhere, Installs(ELSEWHERE), |c| { let (from, to) = (c.text(HERE), c.text(THERE)); let value = |text: &str| serde_json::from_str::<Value>(text).unwrap()["shasum"].as_str().unwrap().to_owned(); c.replace(THERE, &value(&to), &value(&from)); }),

    mutation("packages are a list", "packages-member", "a list", Everywhere, Installs(OPENTOFU), |c| c.edit(HERE, |v| v["packages"] = json!([]))),
    mutation("a package of no size", "packages-member", "package_size", Everywhere, Installs(OPENTOFU), |c| c.edit(HERE, |v| v["packages"]["darwin_arm64"]["package_size"] = json!(0))),
    mutation("no packages in one document", "packages-some", "linux/amd64", Everywhere, Installs(""), |c| c.edit(HERE, |v| { v.as_object_mut().unwrap().remove("packages"); })),
    mutation("packages without the own platform", "packages-own-platform", "nothing for linux_amd64", Everywhere, Installs(OPENTOFU), |c| c.edit(HERE, |v| { v["packages"].as_object_mut().unwrap().remove("linux_amd64"); })),
    mutation("packages with another zip of the own platform", "packages-own-platform", "zh:000", Everywhere, Installs(OPENTOFU), |c| c.edit(HERE, |v| v["packages"]["linux_amd64"]["hashes"][0] = json!(format!("zh:{}", "0".repeat(64))))),
    mutation("packages without another platform", "packages-platforms", "windows_amd64", Everywhere, Installs(""), |c| c.edit(HERE, |v| { v["packages"].as_object_mut().unwrap().remove("windows_amd64"); })),
    mutation("packages with another zip of another platform", "packages-differ", "as SHA256SUMS says", Everywhere, Installs(OPENTOFU), |c| c.edit(HERE, |v| v["packages"]["darwin_arm64"]["hashes"][0] = json!(format!("zh:{}", "0".repeat(64))))),
    mutation("packages with another h1", "packages-differ", "as the zip says", Everywhere, Installs(OPENTOFU), |c| c.edit(HERE, |v| v["packages"]["darwin_arm64"]["hashes"][1] = json!(format!("h1:{}=", "A".repeat(43))))),
    mutation("packages with another h1 than the record", "packages-differ", "as the record of the publish says", Everywhere, Installs(OPENTOFU), |c| c.edit(HERE, |v| v["packages"]["linux_amd64"]["hashes"][1] = json!(format!("h1:{}=", "A".repeat(43))))),
    mutation("packages with another size", "packages-differ", "and 7 bytes", Everywhere, Installs(OPENTOFU), |c| c.edit(HERE, |v| v["packages"]["linux_amd64"]["package_size"] = json!(7))),

    mutation("SHA256SUMS is gone", "checksums-missing", "not there", Everywhere, Fails("404"), |c| c.remove(&c.sums_key())),
    mutation("SHA256SUMS is forbidden", "checksums-unreadable", "403", OnHost, Fails("403"), |c| c.host.instead("1.2.0_SHA256SUMS", Instead::Status(403))),
    mutation("a blank line", "checksums-blank-line", "line 1", Everywhere, Fails("panic"), |c| c.sums(|text| format!("\n{text}"))),
    mutation("a blank line at the end", "checksums-blank-line", "line 5", Everywhere, Fails("panic"), |c| c.sums(|text| format!("{text}\n"))),
    mutation("a star", "checksums-name", "*terraform", Everywhere, Fails("checksum list has no SHA-256 hash"), |c| c.sums(|text| text.replace("  ", " *"))),
    mutation("a folder in a name", "checksums-name", "./terraform", Everywhere, Fails("checksum list has no SHA-256 hash"), |c| c.sums(|text| text.replace("  ", "  ./"))),
    mutation("one space", "checksums-line", "line 1", Everywhere, Installs(NEXT_PUBLISH), |c| c.sums(|text| text.replace("  ", " "))),
    mutation("carriage returns", "checksums-line", "line 1", Everywhere, Installs(NEXT_PUBLISH), |c| c.sums(|text| text.replace('\n', "\r\n"))),
    mutation("no line end", "checksums-end", "no line end", Everywhere, Installs(NEXT_PUBLISH), |c| c.sums(|text| text.trim_end().to_owned())),
    mutation("a comment", "checksums-line", "hello", Everywhere, Installs("it leaves out the other platforms' checksums, so lock files made here fail elsewhere"), |c| c.sums(|text| format!("{text}hello\n"))),
    mutation("a name twice", "checksums-duplicate", "again", Everywhere, Installs(NEXT_PUBLISH), |c| c.sums(|text| format!("{text}{}\n", text.lines().next().unwrap()))),
    mutation("a platform is not in SHA256SUMS", "checksums-lack-platform", "darwin_arm64", Everywhere, Installs(ELSEWHERE), |c| c.sums(|text| text.lines().filter(|line| !line.contains("darwin")).fold(String::new(), |all, line| all + line + "\n"))),
    mutation("a foreign line", "checksums-foreign-line", "README", Everywhere, Installs(""), |c| c.sums(|text| format!("{text}{}  README.md\n", "0".repeat(64)))),
    mutation("platforms on two SHA256SUMS", "document-several-checksums", "_SHA256SUMS", Everywhere, Installs(""), |c| { let (sums, signature) = (c.sums_key(), c.signature_key()); let other = |key: &str| key.replace(sums.split('/').nth(4).unwrap(), "0123456789abcdef"); for key in [&sums, &signature] { let bytes = std::fs::read(c.at(key)).unwrap(); c.write(&other(key), bytes); } c.edit(THERE, |v| { v["shasums_url"] = json!(format!("/{}", other(&sums))); v["shasums_signature_url"] = json!(format!("/{}", other(&signature))); }); }),
    mutation("SHA256SUMS was changed", "object-folder", "SHA-256", Everywhere, Installs(""), |c| c.sums(|text| format!("{text}{}  other.zip\n", "0".repeat(64)))),
    mutation("no record", "record-missing", "nothing", Everywhere, Installs(""), |c| c.remove(&c.beside_sums("provenance.json"))),
    mutation("the record is no statement", "record-unreadable", "_type", Everywhere, Installs(""), |c| c.write(&c.beside_sums("provenance.json"), "{}")),
    mutation("the record is not signed", "record-unsigned", "nothing", Everywhere, Installs(""), |c| c.remove(&c.beside_sums("provenance.json.A7F2BC5B6E845A69.sig"))),
    mutation("the record was changed", "record-signature", "something else", Everywhere, Installs(""), |c| c.replace(&c.beside_sums("provenance.json"), "\n}", "\n }")),
    mutation("the record of another zip", "record-subjects", "linux_amd64", Everywhere, Installs(""), |c| c.edit(&c.beside_sums("provenance.json"), |v| for s in v["subject"].as_array_mut().unwrap() { s["digest"]["sha256"] = json!("0".repeat(64)); })),
] }

#[rustfmt::skip]
fn signatures_and_zips() -> Vec<Mutation> { vec![
    mutation("the signature is gone", "signature-missing", "not there", Everywhere, Fails("404"), |c| c.remove(&c.signature_key())),
    mutation("the signature is forbidden", "signature-unreadable", "403", OnHost, Fails("403"), |c| c.host.instead("1.2.0_SHA256SUMS.", Instead::Status(403))),
    mutation("the signature is armored", "signature-armored", "-----BEGIN", Everywhere, Fails("signature"), |c| c.write(&c.signature_key(), "-----BEGIN PGP SIGNATURE-----\n\niHUEABYKAB0=\n-----END PGP SIGNATURE-----\n")),
    mutation("the signature is a page", "signature-packets", "", Everywhere, Fails("signature"), |c| c.write(&c.signature_key(), "<html>")),
    mutation("the signature is empty", "signature-packets", "", Everywhere, Fails("signature"), |c| c.write(&c.signature_key(), "")),
    mutation("the signature is cut short", "signature-packets", "", Everywhere, Fails("signature"), |c| { let bytes = std::fs::read(c.at(&c.signature_key())).unwrap(); c.write(&c.signature_key(), &bytes[..bytes.len() / 2]); }),
    mutation("the signature of something else", "signature-unknown", "A7F2BC5B6E845A69", Everywhere, Fails("signature"), |c| { let signed = Signer::of("ed25519.asc").sign(b"something else", |b| b); c.write(&c.signature_key(), signed); }),
    mutation("another checksum in SHA256SUMS", "signature-unknown", "A7F2BC5B6E845A69", Everywhere, Fails("signature"), |c| { let text = c.text(&c.sums_key()); let last = text.lines().last().unwrap().to_owned(); c.write(&c.sums_key(), text.replace(&last[..4], "0000")); }),
    mutation("a foreign key signs", "signature-unknown", "B89BCD519BBF8ED5", Everywhere, Fails("unknown issuer"), |c| c.sign(&Signer::of("rsa3072.asc"), |b| b)),
    mutation("a foreign key is embedded", "signature-unknown", "A7F2BC5B6E845A69", Everywhere, Fails("unknown issuer"), |c| c.edit_all(|v| v["signing_keys"]["gpg_public_keys"][0]["ascii_armor"] = json!(Signer::of("rsa3072.asc").armored()))),
    mutation("the key is no key", "key-unreadable", "no armored key", Everywhere, Fails("key"), |c| c.edit_all(|v| v["signing_keys"]["gpg_public_keys"][0]["ascii_armor"] = json!("hello"))),
    mutation("the key is cut short", "key-unreadable", "key 1", Everywhere, Fails("key"), |c| c.edit_all(|v| { let armor = v["signing_keys"]["gpg_public_keys"][0]["ascii_armor"].as_str().unwrap().to_owned(); v["signing_keys"]["gpg_public_keys"][0]["ascii_armor"] = json!(armor[..armor.len() / 2]); })),
    mutation("a broken key first", "key-unreadable", "key 1", Everywhere, Fails("key"), |c| c.edit_all(|v| v["signing_keys"]["gpg_public_keys"].as_array_mut().unwrap().insert(0, json!({"key_id": "0", "ascii_armor": "hello"})))),
    mutation("a broken key last", "", "", Everywhere, Installs("clients stop at the first key that fits, and so does verify"), |c| c.edit_all(|v| v["signing_keys"]["gpg_public_keys"].as_array_mut().unwrap().push(json!({"key_id": "0", "ascii_armor": "hello"})))),
    mutation("another key first", "signature-not-first-key", "key 2", Everywhere, Installs(""), |c| c.edit_all(|v| v["signing_keys"]["gpg_public_keys"].as_array_mut().unwrap().insert(0, json!({"key_id": "0", "ascii_armor": Signer::of("rsa3072.asc").armored()})))),
    mutation("the key in a second armor block", "signature-unknown", "A7F2BC5B6E845A69", Everywhere, Fails("unknown issuer"), |c| c.edit_all(|v| { let armor = v["signing_keys"]["gpg_public_keys"][0]["ascii_armor"].as_str().unwrap().to_owned(); v["signing_keys"]["gpg_public_keys"][0]["ascii_armor"] = json!(Signer::of("rsa3072.asc").armored() + &armor); })),
    mutation("the secret key is published", "key-secret", "not repeated", Everywhere, Installs("everybody can sign in the publisher's name"), |c| c.edit_all(|v| v["signing_keys"]["gpg_public_keys"][0]["ascii_armor"] = json!(Signer::of("ed25519.asc").armored_secret()))),
    mutation("a signature over SHA-1", "signature-hash", "SHA1", Everywhere, Installs(""), |c| c.sign(&Signer::of("ed25519.asc"), |b| b.set_hash_algo(sequoia_openpgp::types::HashAlgorithm::SHA1))),
    mutation("the signature has expired", "signature-expired", "expired on", Everywhere, Fails("expired"), |c| c.sign(&Signer::of("ed25519.asc"), expired)),
    mutation("the signature is of the future", "signature-expired", "made on", Everywhere, Fails("expired"), |c| c.sign(&Signer::of("ed25519.asc"), |b| b.set_signature_creation_time(std::time::SystemTime::now() + std::time::Duration::from_hours(48)).unwrap())),
    mutation("a critical notation", "signature-critical", "a@example.com", Everywhere, Fails("critical notation"), |c| c.sign(&Signer::of("ed25519.asc"), |b| b.set_notation("a@example.com", b"1", None, true).unwrap())),
    mutation("an expired key", "key-doubtful", "Terraform 1.6.0 rejects", Everywhere, Installs(""), |c| c.resign("expired.asc")),
    mutation("a revoked key", "key-refused", "revoked", Everywhere, Fails("revoked"), |c| c.resign("revoked.asc")),
    mutation("a revoked subkey", "key-refused", "revoked", Everywhere, Fails("revoked"), |c| c.resign("subkey-revoked.asc")),
    mutation("an expired subkey", "key-doubtful", "expired", Everywhere, Installs(""), |c| c.resign("subkey-expired.asc")),
    mutation("a key of RFC 9580", "key-refused", "RFC 9580", Everywhere, Fails("sign"), |c| c.resign("v4-ed25519-alg27.asc")),
    mutation("a key of version 6", "key-refused", "version 6", Everywhere, Fails("sign"), |c| c.resign("v6.asc")),
    mutation("a key without a user id", "key-refused", "user id", Everywhere, Fails("key"), |c| c.resign("no-userid.asc")),
    mutation("a signing subkey", "", "", Everywhere, Installs("clients take it, and so does verify"), |c| { c.resign("ed25519-subkey.asc"); }),

    mutation("a zip is gone", "zip-missing", "not there", Everywhere, Fails("404"), |c| c.remove(&c.zip_key())),
    mutation("a zip is forbidden", "zip-unreadable", "403", OnHost, Fails("403"), |c| c.host.instead("1.2.0_linux_amd64.zip", Instead::Status(403))),
    mutation("a zip is empty", "zip-empty", "0 bytes", Everywhere, Fails(""), |c| c.write(&c.zip_key(), "")),
    mutation("a zip was changed", "zip-checksum", "SHA-256", Everywhere, Fails("checksum"), |c| { let mut bytes = std::fs::read(c.at(&c.zip_key())).unwrap(); bytes[40] ^= 1; c.write(&c.zip_key(), bytes); }),
    mutation("a zip is not to be kept", "store-cache", "may not be kept", OnHost, Installs(""), |c| c.host.instead("linux_amd64.zip", Instead::Header("cache-control", "no-store"))),
    mutation("a zip is no zip", "zip-damaged", "", Everywhere, Fails("zip"), |c| c.zip(b"this is no zip")),
    mutation("a zip is cut short", "zip-damaged", "", Everywhere, Fails("zip"), |c| { let bytes = std::fs::read(c.at(&c.zip_key())).unwrap(); c.zip(&bytes[..bytes.len() - 30]); }),
    mutation("a zip with damaged contents", "zip-damaged", "", Everywhere, Fails(""), |c| { let mut bytes = std::fs::read(c.at(&c.zip_key())).unwrap(); bytes[120] ^= 0xff; bytes[121] ^= 0xff; c.zip(&bytes); }),
    mutation("no executable", "zip-no-executable", "README.md", Everywhere, Fails("executable"), |c| c.zip(&zip_of(&[Entry::File("README.md", 0o644, b"hello")]))),
    mutation("the executable in a folder", "zip-no-executable", "nothing at the root", Everywhere, Fails("executable"), |c| c.zip(&zip_of(&[Entry::File(&format!("bin/{EXECUTABLE}"), 0o755, &executable())]))),
    mutation("the executable of another type", "zip-no-executable", "terraform-provider-other", Everywhere, Fails("executable"), |c| c.zip(&zip_of(&[Entry::File("terraform-provider-other_v1.2.0", 0o755, &executable())]))),
    mutation("two executables", "zip-several-executables", ".md", Everywhere, Fails("cannot start"), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable()), Entry::File("terraform-provider-sample.md", 0o644, b"hello")]))),
    mutation("the executable without a version", "zip-executable-name", EXECUTABLE, Everywhere, Installs(""), |c| c.zip(&zip_of(&[Entry::File("terraform-provider-sample", 0o755, &executable())]))),
    mutation("mode 0644", "zip-mode", "0644", Everywhere, Fails("cannot start"), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o644, &executable())]))),
    mutation("mode 0777", "zip-odd-mode", "0777", Everywhere, Installs(""), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o777, &executable())]))),
    mutation("mode 0700", "zip-mode", "0700", Everywhere, Installs("it starts for the user who installed it only, and plugin caches are shared"), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o700, &executable())]))),
    mutation("made by DOS", "zip-not-unix", EXECUTABLE, Everywhere, Fails("cannot start"), |c| c.zip(&central(zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable())]), |header| header[5] = 0))),
    mutation("a folder's entry", "zip-folder-entry", "docs/", Everywhere, Installs("what is installed has no folders' entries: the h1: hash of the zip, by `terraform providers lock` and mirrors, differs from it"), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable()), Entry::Folder("docs")]))),
    mutation("a symbolic link", "zip-symlink", "LICENSE", Everywhere, Installs("it installs a text file with the link's target in it"), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable()), Entry::Link("LICENSE", "COPYING")]))),
    mutation("the executable is a link", "zip-symlink", EXECUTABLE, Everywhere, Fails(""), |c| c.zip(&zip_of(&[Entry::Link(EXECUTABLE, "bin/sample"), Entry::File("bin/sample", 0o755, &executable())]))),
    mutation("a path above the root", "zip-path", "..", Everywhere, Fails(""), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable()), Entry::File("../outside", 0o644, b"x")]))),
    mutation("a name that is too long", "zip-name", "255", Everywhere, Fails("too long"), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable()), Entry::File(&"x".repeat(256), 0o644, b"x")]))),
    mutation("a name for Windows to refuse", "zip-name-elsewhere", "aux.md", Everywhere, Installs(""), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable()), Entry::File("aux.md", 0o644, b"x")]))),
    mutation("a name that ends in a dot", "zip-name-elsewhere", "ends in a dot", Everywhere, Installs(""), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable()), Entry::File(&format!("docs/{EXECUTABLE}."), 0o644, b"x")]))),
    mutation("a file and a folder of one name", "zip-same-name", "a/b", Everywhere, Fails(""), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable()), Entry::File("a", 0o644, b"x"), Entry::File("a/b", 0o644, b"x")]))),
    mutation("two names but for the case", "zip-same-name-elsewhere", "readme", Everywhere, Installs(""), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable()), Entry::File("README", 0o644, b"x"), Entry::File("readme", 0o644, b"x")]))),
    mutation("two names but for the normalisation", "zip-same-name-elsewhere", "and", Everywhere, Installs(""), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable()), Entry::File("caf\u{e9}", 0o644, b"x"), Entry::File("cafe\u{301}", 0o644, b"x")]))),
    mutation("half of the executable", "zip-wrong-executable", "cut short", Everywhere, Fails(""), |c| { let whole = executable(); c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, &whole[..whole.len() / 2])])); }),
    mutation("an unknown compression", "zip-method", EXECUTABLE, Everywhere, Fails(""), |c| c.zip(&central(zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable())]), |header| header[10] = 14))),
    mutation("encrypted", "zip-method", EXECUTABLE, Everywhere, Installs("Go unpacks it as it is; it was not really encrypted, as a real one would be damaged"), |c| c.zip(&central(zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable())]), |header| header[8] |= 1))),
    mutation("an entry twice", "zip-duplicate-entry", "twice", Everywhere, Installs("the second one wins here; which one does is up to the client"), |c| c.zip(&renamed(zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable()), Entry::File("terraform-provider-sample_v9.9.9", 0o755, &executable())]), "terraform-provider-sample_v9.9.9", EXECUTABLE))),
    mutation("the executable of another platform", "zip-wrong-executable", "arm64", Everywhere, Fails("cannot start"), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, &crate::support::archive::genuine_executable("linux-arm64"))]))),
    mutation("another name in a local header", "zip-ambiguous", "in its local header", Everywhere, Installs("clients read the central directory; programs that read a zip from its beginning see another file"), |c| c.zip(&local_name(zip_of(&[Entry::File(EXECUTABLE, 0o755, &executable()), Entry::File("README.md", 0o644, b"x")]), "README.md", "README.no"))),
    mutation("a script", "zip-wrong-executable", "a script", Everywhere, Installs("a script starts where its interpreter is, and speaks no plugin protocol by itself"), |c| c.zip(&zip_of(&[Entry::File(EXECUTABLE, 0o755, b"#!/bin/sh\nexit 0\n")]))),
] }

/// The same zip with another name in a local header.
fn local_name(mut zip: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let at = (0..zip.len()).find(|at| zip[*at..].starts_with(from.as_bytes())).unwrap();
    zip[at..at + to.len()].copy_from_slice(to.as_bytes());
    zip
}

/// The same zip with another name of the same length in it.
fn renamed(zip: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut zip = zip;
    let at: Vec<usize> =
        (0..zip.len() - from.len()).filter(|at| zip[*at..].starts_with(from.as_bytes())).collect();
    for at in at {
        zip[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    zip
}

/// Changes a good registry, and compares what is said with what was expected; every difference is one line.
fn try_out(mutation: &Mutation, terraform: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let case = Case::new();
    (mutation.change)(&case);
    let mut codes = BTreeMap::new();
    let places = [
        (
            "directory",
            Everywhere,
            OnHost,
            verify(&case.site.display().to_string(), &["--namespace", "acme", "--type", "sample"]),
        ),
        ("host", Everywhere, ByListing, verify_host(&case.host, &[])),
    ];
    for (place, _, blind, ran) in places {
        if !matches!(ran.code, 0 | 3) {
            wrong.push(format!("{place}: {ran:#?}"));
            continue;
        }
        let report = json(&ran);
        let (errors, found) = (report["errors"].as_u64().unwrap(), findings(&report));
        if (errors > 0) != (ran.code == 3) {
            wrong.push(format!("{place}: exit code {} with {errors} errors", ran.code));
        }
        codes.insert(place, ran.code);
        let named = found.iter().any(|(rule, text)| rule == mutation.rule && text.contains(mutation.text));
        if mutation.rule.is_empty() {
            if errors > 0 {
                wrong.push(format!("{place}: {found:?}"));
            }
        } else if named == (blind == mutation.seen) {
            wrong.push(format!("{place}: named {named}; found {found:#?}"));
        }
    }
    if !terraform {
        return wrong;
    }
    // Headers and statuses are the host's; what a listing tells is the directory's.
    let code = codes.get(if mutation.seen == ByListing { "directory" } else { "host" }).copied();
    let said = case.installs(Path::new("terraform"));
    match (&mutation.terraform, &said) {
        (Fails(text), Err(error)) if error.contains(text) || unwrapped(error).contains(text) => {}
        (Installs(_), Ok(())) => {}
        (_, Ok(())) => wrong.push("terraform installs".to_owned()),
        (_, Err(error)) => wrong.push(format!("terraform fails: {error}")),
    }
    match (&said, code, &mutation.terraform) {
        (Err(_), Some(0), _) => {
            wrong.push("terraform fails, and verify says no error".to_owned());
        }
        (Ok(()), Some(3), Installs("")) => {
            wrong.push("verify says error, terraform installs: why?".to_owned());
        }
        _ => {}
    }
    wrong
}

/// Terraform's message without its frame and its line breaks.
fn unwrapped(text: &str) -> String {
    let words = text.lines().map(|line| line.trim_matches(['│', '╷', '╵', ' ']));
    words.collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn try_all(mutations: &[Mutation]) {
    let terraform = require_program("terraform");
    let next = AtomicUsize::new(0);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut wrong = Vec::new();
            while let Some(mutation) = mutations.get(next.fetch_add(1, Ordering::Relaxed)) {
                let lines = try_out(mutation, terraform);
                wrong.extend(lines.into_iter().map(|line| format!("{}: {line}", mutation.name)));
            }
            wrong
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), mutations.len(), wrong.join("\n"));
}

#[test]
fn changes_of_discovery_and_index_are_named_as_terraform_meets_them() {
    try_all(&discovery_and_index());
}

#[test]
fn changes_of_documents_and_checksums_are_named_as_terraform_meets_them() {
    try_all(&documents_and_checksums());
}

#[test]
fn changes_of_signatures_and_zips_are_named_as_terraform_meets_them() {
    try_all(&signatures_and_zips());
}

#[test]
fn every_rule_has_a_change_that_breaks_it() {
    let tried: BTreeSet<&str> = mutations().iter().map(|mutation| mutation.rule).collect();
    // Tried elsewhere, or not to be had on a host with one certificate or with keys that do not age.
    let elsewhere = [
        "index-none",
        "index-not-listed",
        "discovery-plain-http",
        "document-plain-http",
        "document-filename",
        "key-expires",
        "zip-too-large",
        "root-listing",
        "settings-json",
        "links-relative",
        "links-elsewhere",
        // A registry with pages: `pages`.
        "page-missing",
        "page-outdated",
        "page-foreign",
        "page-link",
        "mirror-index-missing",
        "mirror-unreadable",
        "mirror-json",
        "mirror-version-missing",
        "mirror-lacks-version",
        "mirror-yanked",
        "mirror-lacks-platform",
        "mirror-other-platform",
        "mirror-hashes",
        "mirror-link",
        // Of other registries: `mirror_other`.
        "mirror-keys",
        "mirror-signature",
        "mirror-shasum",
        "mirror-zip",
    ];
    let rules: BTreeSet<&str> = tfreg::verify::rules().map(|rule| rule.name).collect();
    assert_eq!(rules.len(), tfreg::verify::rules().count(), "each name once");
    let untried: Vec<_> =
        rules.iter().filter(|rule| !tried.contains(*rule) && !elsewhere.contains(rule)).collect();
    assert!(untried.is_empty(), "{untried:?}");
    for rule in tfreg::verify::rules() {
        assert!(![rule.what, rule.why, rule.remedy].contains(&""), "{rule:?}");
    }
}

#[test]
fn a_publish_reads_back_what_it_has_published() {
    let root = folder();
    let site = root.path().join("site");
    let release = tarballs("release-1.2.0");
    let published = run(&mut publish(&site, &release)).succeeds();
    assert!(
        published.stdout.contains("verified: good; 4 platforms read back, zips not downloaded"),
        "{published:#?}"
    );
    // Also where nothing is left to do.
    let again = run(&mut publish(&site, &release)).succeeds();
    assert!(
        again.stdout.contains("Already published") && again.stdout.contains("verified: good"),
        "{again:#?}"
    );
    let skipped = run(publish(&site, &release).arg("--no-verify")).succeeds();
    assert!(!skipped.stdout.contains("verified"), "{skipped:#?}");
    let dry = root.path().join("dry");
    let planned = run(publish(&site, &release).arg("--dry-run").arg(&dry)).succeeds();
    assert!(!planned.stdout.contains("verified"), "{planned:#?}");

    // What a publish leaves as it is, and clients fail with.
    std::fs::write(site.join(DISCOVERY), r#"{"providers.v1": "/registry"}"#).unwrap();
    // Discovery is the host's own; that is told, and no reason to fail a release.
    let told = run(&mut publish(&site, &release)).succeeds();
    assert!(told.stderr.contains("discovery-slash"), "{told:#?}");
    std::fs::write(site.join(DISCOVERY), r#"{"providers.v1": "/registry/"}"#).unwrap();

    let lost = tree(&site).into_keys().find(|key| key.ends_with("darwin_arm64.zip")).unwrap();
    std::fs::remove_file(site.join(lost)).unwrap();
    let linux = [tarball("release-1.2.0", "linux-amd64")];
    let found = run(&mut publish(&site, &linux))
        .fails(3, &["zip-missing", "all is published, and clients would fail with it", "remedy:"]);
    assert!(found.stdout.contains("Already published"), "{found:#?}");
    let found = json(&run(publish(&site, &linux).args(["--format", "json"])).fails(3, &["error:"]));
    assert_eq!(found["outcome"], "unchanged");
    assert_eq!(found["verification"]["outcome"], "errors");
    assert_eq!(found["verification"]["findings"][0]["rule"], "zip-missing");
    let next = run(publish(&site, &tarballs("release-1.10.0")).arg("--no-verify")).succeeds();
    assert!(next.stdout.contains("Published"), "{next:#?}");
}

#[test]
fn a_publish_that_cannot_be_read_back_is_done_all_the_same() {
    let server = S3Server::start(&["bucket"]);
    let release = tarballs("release-1.2.0");
    run(publish("s3://bucket", &release).envs(server.envs())).succeeds();
    server.clear_requests();
    let unchanged = run(publish("s3://bucket", &release).envs(server.envs())).succeeds();
    assert!(unchanged.stdout.contains("verified: good"), "{unchanged:#?}");
    // Few and small: each document once more, the zips by HEAD, no listing.
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.method != "GET" || !request.key.ends_with(".zip")));
    assert!(requests.iter().all(|request| !request.key.is_empty()), "no listing");
    // Whether it is yanked is not asked again.
    assert_eq!(requests.len(), 16 + 14, "to see that nothing is to do, and to read it back");

    // The first time it is planned with, the second time read back.
    server.fault(Matcher::get().suffix("terraform.json").nth(2), Action::AnswerBefore(403, "AccessDenied"));
    let mut command = publish("s3://bucket", &release);
    let ran = run(command.args(["--format", "json"]).envs(server.envs()));
    let ran = ran.fails(1, &["all is published, but it could not be read back", "403", "terraform.json"]);
    assert_eq!(json(&ran)["outcome"], "unchanged");
    assert_eq!(json(&ran)["verification"]["outcome"], "unread");
}

#[test]
fn the_documentation_has_every_rule() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows = 0;
    for rule in tfreg::verify::rules() {
        let severity = if rule.severity == tfreg::verify::Severity::Error { "error" } else { "warning" };
        let row = format!("| `{}` | {severity} | {} | {} |", rule.name, rule.what, rule.why);
        assert!(text.contains(&row), "{row}");
        rows += 1;
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("| `")).count(), rows);
}

#[test]
fn a_version_that_was_put_back_is_not_yanked() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let place = site.to_str().unwrap();
    run(tfreg().args(["yank", place, "acme/sample", "1.2.0", "--yes"])).succeeds();
    run(tfreg().args(["unyank", place, "acme/sample", "1.2.0"])).succeeds();
    assert!(site.join("registry/acme/sample/1.2.0/yanked").exists(), "the record stays, and says so");
    let report = json(&verify(place, &[]).succeeds());
    assert!(findings(&report).is_empty(), "{report:#}");
    let report = json(&verify_host(&Host::of(&site), &[]).succeeds());
    assert!(findings(&report).is_empty(), "{report:#}");
}
