//! What clients, `tfreg serve` and `tfreg verify` make of absolute links.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{BASE, DISCOVERY, SETTINGS, links, reindex_all, set, unfollowed};
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::host::Host;
use crate::support::{folder, publish, run, tarball, tarballs, tfreg};

#[test]
fn terraform_installs_before_and_after_with_an_old_lock_file() {
    if !require_program("terraform") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let preview = Preview::of(&site);
    let terraform = Terraform::new(&preview, "1.2.0");
    terraform.run(&["init", "-no-color"]).succeeds();
    let lock = terraform.lock_file();
    set(&site, &["--base-url", BASE]).succeeds();
    run(&mut reindex_all(&site, &["--yes"])).succeeds();
    assert_eq!(unfollowed(&site, BASE).0, [""; 0]);
    // The address is nobody's: only the preview's mapping lets it install.
    std::fs::remove_dir_all(terraform.path(".terraform")).unwrap();
    terraform.run(&["init", "-no-color", "-lockfile=readonly"]).succeeds();
    assert_eq!(terraform.lock_file(), lock);
    assert!(terraform.installed("1.2.0").exists());
    let fresh = Terraform::new(&preview, "1.2.0");
    fresh.run(&["init", "-no-color"]).succeeds();
    assert_eq!(fresh.lock_file(), lock);

    // Through a real host, by discovery, at the address that the documents name.
    let hosted = root.path().join("hosted");
    std::fs::create_dir(&hosted).unwrap();
    let host = Host::of(&hosted);
    let address = host.url();
    run(&mut publish(&hosted, &tarballs("release-1.2.0"))).succeeds();
    let over = Terraform::over(&host, "1.2.0");
    over.run(&["init", "-no-color"]).succeeds();
    let lock = over.lock_file();
    set(&hosted, &["--base-url", &address]).succeeds();
    run(&mut reindex_all(&hosted, &["--yes"])).succeeds();
    std::fs::remove_dir_all(over.path(".terraform")).unwrap();
    over.run(&["init", "-no-color", "-lockfile=readonly"]).succeeds();
    assert_eq!(over.lock_file(), lock);
}

/// The tree of a dry run has no settings in it.
#[test]
fn terraform_installs_from_the_tree_of_a_dry_run() {
    if !require_program("terraform") {
        return;
    }
    let root = folder();
    let (site, dry) = (root.path().join("site"), root.path().join("preview"));
    set(&site, &["--base-url", BASE]).succeeds();
    run(publish(&site, &tarballs("release-1.2.0")).arg("--dry-run").arg(&dry)).succeeds();
    let document = super::json(&dry, "registry/acme/sample/1.2.0/download/linux/amd64");
    assert!(document["download_url"].as_str().unwrap().starts_with(BASE), "{document}");
    let preview = Preview::of(&dry);
    let terraform = Terraform::new(&preview, "1.2.0");
    terraform.run(&["init", "-no-color"]).succeeds();
    assert!(terraform.installed("1.2.0").exists());
}

#[test]
fn a_preview_maps_the_address_to_its_own() {
    let root = folder();
    let site = root.path().join("site");
    set(&site, &["--base-url", BASE, "--document-max-age", "9"]).succeeds();
    run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
    let mirror = site.join("mirror/registry.example.com/acme/sample/1.2.0.json");
    std::fs::create_dir_all(mirror.parent().unwrap()).unwrap();
    std::fs::write(
        &mirror,
        format!("{{\"archives\": {{\"linux_amd64\": {{\"url\": \"{BASE}store/x.zip\"}}}}}}"),
    )
    .unwrap();
    let preview = Preview::of(&site);
    let address = preview.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let ask = |method: &str, path: &str| {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        write!(stream, "{method} /{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    };
    let document = "registry/acme/sample/1.2.0/download/linux/amd64";
    for path in [DISCOVERY, document, "mirror/registry.example.com/acme/sample/1.2.0.json"] {
        let (head, body) = ask("GET", path);
        assert!(
            head.starts_with("http/1.1 200") && head.contains("content-type: application/json"),
            "{head}"
        );
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert!(body.contains(preview.url()) && !body.contains(BASE), "{path}: {body}");
        let (head_only, nothing) = ask("HEAD", path);
        assert!(
            head_only.contains(&format!("content-length: {}", body.len())) && nothing.is_empty(),
            "{head_only}"
        );
    }
    let (head, _) = ask("GET", document);
    assert!(head.contains("cache-control: public, max-age=9,"), "{head}");
    // The settings say the true address, and files are not changed.
    assert!(ask("GET", SETTINGS).1.contains(BASE));
    assert!(std::fs::read_to_string(site.join(document)).unwrap().contains(BASE));
    // Every link can be followed as it stands.
    let mut found = Vec::new();
    links(&serde_json::from_str(&ask("GET", document).1).unwrap(), &mut found);
    assert_eq!(found.len(), 3);
    for link in found {
        let path = link.strip_prefix(preview.url()).unwrap_or_else(|| panic!("{link}"));
        assert!(ask("HEAD", path).0.starts_with("http/1.1 200"), "{link}");
    }
    // Settings that are changed meanwhile count at once; what is in the tree is found there all the same; such as are not understood stop a preview from starting.
    set(&site, &["--base-url", "https://other.example.com/"]).succeeds();
    assert!(ask("GET", DISCOVERY).1.contains(BASE), "this is not the registry's own any more");
    assert!(!ask("GET", document).1.contains(BASE), "its objects are here");
    std::fs::write(site.join(SETTINGS), "{").unwrap();
    run(tfreg().arg("serve").arg(&site).args(["--listen", "0"])).fails(3, &[SETTINGS]);
}

#[test]
fn verify_tells_of_links_and_settings_wherever_it_reads() {
    let root = folder();
    let site = root.path().join("site");
    let host = {
        std::fs::create_dir(&site).unwrap();
        Host::of(&site)
    };
    let certificate = host.certificate().display().to_string();
    let rules = || -> BTreeMap<String, BTreeSet<String>> {
        let directory = run(tfreg().arg("verify").arg(&site).args(["--quick", "--format", "json"]));
        let mut over = tfreg();
        over.args([
            "verify",
            &host.url(),
            "acme/sample",
            "--quick",
            "--format",
            "json",
            "--ca-file",
            &certificate,
        ]);
        let found = [("directory", directory), ("host", run(&mut over))].map(|(place, ran)| {
            let report: Value =
                serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
            let findings = report["findings"].as_array().unwrap().iter();
            let rules =
                findings.map(|finding| format!("{} {}", finding["rule"].as_str().unwrap(), finding["found"]));
            (place.to_owned(), rules.collect())
        });
        found.into()
    };
    let all = |rule: &str, text: &str| {
        let found = rules();
        let names = |rules: &BTreeSet<String>| {
            rules.len() == 1 && rules.iter().all(|found| found.starts_with(rule) && found.contains(text))
        };
        assert!(found.values().all(names), "{rule} {text}: {found:#?}");
    };
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    all("links-relative", "4 documents have links that begin with");
    set(&site, &["--base-url", &host.url()]).succeeds();
    // On the host itself nothing is wrong with its own address.
    let found = rules();
    assert!(found["directory"].iter().all(|rule| rule.starts_with("links-elsewhere")), "{found:#?}");
    run(&mut reindex_all(&site, &["--yes"])).succeeds();
    assert!(rules().values().all(BTreeSet::is_empty), "{:#?}", rules());
    set(&site, &["--base-url", "https://moved.example.com/"]).succeeds();
    let found = rules();
    assert!(found["directory"].iter().any(|rule| rule.starts_with("links-elsewhere")), "{found:#?}");
    std::fs::write(site.join(SETTINGS), r#"{"format": 2}"#).unwrap();
    all("settings-json", "2");
}
