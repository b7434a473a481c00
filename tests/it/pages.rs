//! The pages for people: every command that changes what they show keeps them, and nothing else touches them.

mod browser;
mod overtaken;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::child::Running;
use crate::support::s3_server::{Gate, Matcher, Point};
use crate::support::watched::watched;
use crate::support::{Ran, folder, key, publish, ran, run, tarball, tarballs, testdata, tfreg, tree, varies};

const BASE: &str = "https://registry.example.com/";

/// A registry with pages, empty.
fn with_pages(site: &Path) {
    let args = ["--base-url", BASE, "--pages", "--title", "Acme providers"];
    run(tfreg().arg("init").arg(site).args(args)).succeeds();
}

fn page(site: &Path, path: &str) -> String {
    std::fs::read_to_string(site.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn is_page(path: &str) -> bool {
    path == "index.html" || path.starts_with("providers/")
}

fn pages(site: &Path) -> BTreeMap<String, Vec<u8>> {
    tree(site).into_iter().filter(|(path, _)| is_page(path)).collect()
}

/// What a command has written, by the report of `--format json`.
fn written(ran: &Ran) -> BTreeSet<String> {
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"));
    let objects = report["objects"].as_array().unwrap().iter();
    let changed = objects.filter(|object| object["action"] == "created" || object["action"] == "changed");
    changed.map(|object| object["key"].as_str().unwrap().to_owned()).collect()
}

fn pages_of(keys: &BTreeSet<String>) -> Vec<&str> {
    keys.iter().map(String::as_str).filter(|key| is_page(key)).collect()
}

/// Whether what is there is what a computation of all pages from the documents gives, and `verify` says so.
#[track_caller]
fn are_current(site: &Path) {
    let all = run(tfreg().arg("reindex").arg(site).args(["--all", "--yes", "--format", "json"])).succeeds();
    assert_eq!(written(&all), BTreeSet::new(), "{}", all.stdout);
    let verified = run(tfreg().arg("verify").arg(site).args(["--format", "json"]));
    let report: Value = serde_json::from_str(&verified.stdout).unwrap();
    let broken: Vec<&Value> = report["findings"].as_array().unwrap().iter().collect();
    let broken: Vec<_> = broken.iter().filter(|f| f["rule"].as_str().unwrap().starts_with("page-")).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(report["checked"]["pages"].as_u64().unwrap() > 3, "{report:#}");
}

/// The row of a version on the provider's page.
fn row_of(site: &Path, version: &str) -> String {
    let provider = page(site, "providers/acme/sample/index.html");
    let row =
        provider.lines().find(|line| line.starts_with("<tr>") && line.contains(&format!(">{version}<")));
    row.unwrap_or_else(|| panic!("{version} is not in {provider}")).to_owned()
}

#[test]
fn every_command_keeps_the_pages() {
    let root = folder();
    let site = root.path().join("site");
    let at = site.to_str().unwrap();
    with_pages(&site);
    assert_eq!(pages(&site), BTreeMap::new(), "there is nothing to show");
    let first = run(publish(&site, &tarballs("release-1.2.0")).args(["--format", "json"])).succeeds();
    let own = [
        "index.html",
        "providers/acme/sample/1.2.0/index.html",
        "providers/acme/sample/index.html",
        "providers/acme/sample/releases.atom",
    ];
    let keys = written(&first);
    let (assets, others): (Vec<&str>, Vec<&str>) =
        pages_of(&keys).into_iter().partition(|key| key.starts_with("providers/assets/"));
    assert_eq!((assets.len(), others.as_slice()), (2, &own[..]));
    are_current(&site);
    let again = run(publish(&site, &tarballs("release-1.2.0")).args(["--format", "json"])).succeeds();
    assert_eq!(written(&again), BTreeSet::new());

    // Another version: neither what pages load nor pages of versions that are not published are written.
    let second = run(publish(&site, &tarballs("release-1.10.0")).args(["--format", "json"])).succeeds();
    let own = own.map(|key| key.replace("1.2.0", "1.10.0"));
    assert_eq!(pages_of(&written(&second)), own);
    are_current(&site);
    let provider = page(&site, "providers/acme/sample/index.html");
    for text in [
        "version</span> = <span class=\"tf-hcl-text\">&#34;1.10.0&#34;</span>",
        "href=\"1.2.0/index.html\"",
        "href=\"1.10.0/index.html\"",
        "Acme providers",
    ] {
        assert!(provider.contains(text), "{text} is not in {provider}");
    }
    let release = page(&site, "providers/acme/sample/1.10.0/index.html");
    let zip = tree(&site).into_keys().find(|key| key.ends_with("1.10.0_linux_amd64.zip")).unwrap();
    assert!(release.contains(&format!("href=\"../../../../{zip}\"")) && release.contains("KiB"), "{release}");
    assert!(page(&site, "index.html").contains("<td>1.10.0</td>"));

    // A platform that comes later.
    run(&mut publish(&site, &tarballs("release-1.2.0-more"))).succeeds();
    assert!(page(&site, "providers/acme/sample/1.2.0/index.html").contains("freebsd_amd64"));
    are_current(&site);

    let reason = ["--reason", "a <b>bad</b> build"];
    run(tfreg().args(["yank", at, "acme/sample", "1.10.0", "--yes"]).args(reason)).succeeds();
    let provider = page(&site, "providers/acme/sample/index.html");
    assert!(provider.contains(">yanked <time") && provider.contains(">&#34;1.2.0&#34;</span>"), "{provider}");
    let release = page(&site, "providers/acme/sample/1.10.0/index.html");
    assert!(
        release.contains("a &#60;b&#62;bad&#60;/b&#62; build") && !release.contains("Use this version"),
        "{release}"
    );
    assert!(page(&site, "providers/acme/sample/releases.atom").contains("acme/sample 1.10.0 was yanked"));
    are_current(&site);
    // Its row keeps what the index does not have any more, also when another version is published.
    let row = row_of(&site, "1.10.0");
    assert_eq!(row.matches("<time").count(), 2, "when it was published, and yanked: {row}");
    assert!(row.contains("<td>darwin arm64, linux amd64 arm64, windows amd64</td><td>6.0</td>"), "{row}");
    run(&mut publish(&site, &[tarball("release-1.2.0-more", "darwin-amd64")])).succeeds();
    assert_eq!(row_of(&site, "1.10.0"), row);
    are_current(&site);
    // Without the record, the index says that it is yanked, and when.
    let record = site.join("registry/acme/sample/1.10.0/yanked");
    let kept = std::fs::read(&record).unwrap();
    std::fs::remove_file(&record).unwrap();
    run(tfreg().args(["reindex", at, "--all", "--yes"])).succeeds();
    let unknown = row_of(&site, "1.10.0");
    assert!(unknown.contains(">yanked <time") && unknown.contains("<td>unknown</td>"), "{unknown}");
    std::fs::write(&record, kept).unwrap();
    run(tfreg().args(["reindex", at, "--all", "--yes"])).succeeds();
    assert_eq!(row_of(&site, "1.10.0"), row);
    are_current(&site);
    run(tfreg().args(["unyank", at, "acme/sample", "1.10.0"])).succeeds();
    assert!(!page(&site, "providers/acme/sample/index.html").contains(">yanked"));
    assert!(!page(&site, "providers/acme/sample/1.10.0/index.html").contains(">yanked<"));
    are_current(&site);

    run(tfreg().args(["warn", at, "acme/sample", "moved to acme/other"])).succeeds();
    assert!(page(&site, "providers/acme/sample/index.html").contains("moved to acme/other"));
    are_current(&site);

    let p256 = "F2BC5B6E";
    let before = page(&site, "providers/acme/sample/1.2.0/index.html");
    let resign = ["resign", at, "acme/sample", "--signing-key-file"];
    let trusted = ["--trust-key", key("ed25519.asc").to_str().unwrap()].map(str::to_owned);
    run(tfreg().args(resign).arg(key("p256.asc")).args(trusted)).succeeds();
    let after = page(&site, "providers/acme/sample/1.2.0/index.html");
    assert!(
        before.contains("A7F2BC5B6E845A69") && before.contains(p256) && !after.contains("A7F2BC5B6E845A69"),
        "{after}"
    );
    are_current(&site);
}

#[test]
fn reindex_makes_the_pages_of_what_was_published_before() {
    let root = folder();
    let (site, other) = (root.path().join("site"), root.path().join("other"));
    for release in ["release-1.2.0", "release-1.10.0"] {
        run(publish(&site, &tarballs(release)).args(["--base-url", BASE])).succeeds();
    }
    let init = ["--base-url", BASE, "--pages"];
    let said = run(tfreg().arg("init").arg(&site).args(init)).succeeds();
    assert!(said.stderr.contains("reindex"), "{said:#?}");
    assert_eq!(pages(&site), BTreeMap::new());
    run(tfreg().arg("reindex").arg(&site).args(["--all", "--yes"])).succeeds();
    are_current(&site);
    // The same as if they had been on from the start.
    run(tfreg().arg("init").arg(&other).args(init)).succeeds();
    for release in ["release-1.2.0", "release-1.10.0"] {
        run(&mut publish(&other, &tarballs(release))).succeeds();
    }
    assert_eq!(pages(&site), pages(&other));

    // A page that was lost, or changed by hand, is found, and comes back.
    let lost = site.join("providers/acme/sample/1.2.0/index.html");
    std::fs::remove_file(&lost).unwrap();
    let index = page(&site, "index.html");
    std::fs::write(site.join("index.html"), index.replace("1.10.0", "9.9.9")).unwrap();
    let verified = run(tfreg().arg("verify").arg(&site)).succeeds();
    for rule in ["page-missing", "page-outdated"] {
        assert!(verified.stdout.contains(rule) || verified.stderr.contains(rule), "{rule}: {verified:#?}");
    }
    run(tfreg().arg("reindex").arg(&site).args(["--all", "--yes"])).succeeds();
    assert_eq!(pages(&site), pages(&other));

    // Another title and address reach every page.
    let changed = ["--base-url", "https://other.example.com/", "--title", "Renamed"];
    run(tfreg().arg("init").arg(&site).args(changed)).succeeds();
    run(tfreg().arg("reindex").arg(&site).args(["--all", "--yes"])).succeeds();
    for (path, bytes) in pages(&site) {
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("registry.example.com"), "{path}");
        assert!(text.contains("Renamed") || path.starts_with("providers/assets/"), "{path}");
    }
    are_current(&site);
    // Turned off, they stay; that is said.
    let off = run(tfreg().arg("init").arg(&site).arg("--pages=false")).succeeds();
    assert!(off.stderr.contains("remove index.html and providers/"), "{off:#?}");
    let before = pages(&site);
    run(tfreg().args(["warn", site.to_str().unwrap(), "acme/sample", "x"])).succeeds();
    assert_eq!(pages(&site), before);
}

#[test]
fn what_is_not_a_page_of_tfreg_is_never_overwritten() {
    let root = folder();
    for path in [
        "index.html",
        "providers/acme/sample/index.html",
        "providers/acme/sample/releases.atom",
        "providers/acme/sample/1.2.0/index.html",
    ] {
        let site = root.path().join(path.replace('/', "-"));
        with_pages(&site);
        let file = site.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "<html>our own page</html>").unwrap();
        let before = tree(&site);
        run(&mut publish(&site, &tarballs("release-1.2.0"))).refused(path, &[path, "has not written"]);
        assert_eq!(tree(&site), before, "{path}");
        // The remedies.
        std::fs::rename(&file, site.join("moved.html")).unwrap();
        run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
        std::fs::write(&file, "<html>our own page</html>").unwrap();
        let verified = run(tfreg().arg("verify").arg(&site)).fails(3, &[]);
        assert!(verified.stdout.contains("page-foreign"), "{verified:#?}");
        run(tfreg().arg("init").arg(&site).arg("--pages=false")).succeeds();
        run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    }
}

#[test]
fn the_same_release_gives_the_same_pages() {
    let root = folder();
    let made = |name: &str| {
        let site = root.path().join(name);
        with_pages(&site);
        run(publish(&site, &tarballs("release-1.2.0")).arg("--docs").arg(docs(root.path()))).succeeds();
        tree(&site).into_iter().filter(|(key, _)| !varies(key)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(made("one"), made("two"));
}

/// A folder of documentation.
fn docs(root: &Path) -> PathBuf {
    let docs = root.join("documentation");
    for (path, text) in [
        (
            "index.md",
            "---\ndescription: The sample provider\n---\n# Sample provider\n\n[A thing](resources/thing.md#argument-reference).\n",
        ),
        (
            "resources/thing.md",
            "---\nsubcategory: Things\n---\n# sample_thing\n\n## Argument Reference\n\n* `name` - a name.\n",
        ),
    ] {
        std::fs::create_dir_all(docs.join(path).parent().unwrap()).unwrap();
        std::fs::write(docs.join(path), text).unwrap();
    }
    docs
}

#[test]
fn documentation_is_published_with_a_version() {
    let root = folder();
    let site = root.path().join("site");
    with_pages(&site);
    let named = docs(root.path());
    let keys = |release: &str| {
        let ran =
            run(publish(&site, &tarballs(release)).arg("--docs").arg(&named).args(["--format", "json"]));
        pages_of(&written(&ran.succeeds())).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let first = keys("release-1.2.0");
    assert!(first.contains(&"providers/acme/sample/1.2.0/docs/resources/thing.html".to_owned()), "{first:?}");
    assert_eq!(keys("release-1.2.0"), [""; 0]);
    let second = keys("release-1.10.0");
    assert!(second.iter().all(|key| !key.contains("1.2.0")), "{second:?}");
    let others = page(&site, "providers/acme/sample/docs.html");
    for version in ["1.2.0", "1.10.0"] {
        assert!(others.contains(&format!("href=\"{version}/docs/resources/thing.html\"")), "{others}");
    }
    let thing = page(&site, "providers/acme/sample/1.2.0/docs/resources/thing.html");
    assert!(
        thing.contains("../../../docs.html#resources/thing") && thing.contains("sample_thing"),
        "{thing}"
    );
    assert!(page(&site, "providers/acme/sample/index.html").contains("href=\"1.10.0/docs/index.html\""));
    are_current(&site);
    // A publish without documentation leaves it, and so does every other command.
    run(&mut publish(&site, &tarballs("release-1.2.0-more"))).succeeds();
    assert!(page(&site, "providers/acme/sample/1.2.0/index.html").contains("href=\"docs/index.html\""));
    are_current(&site);
    // A corrected page is published by the same command.
    std::fs::write(named.join("index.md"), "# Corrected\n").unwrap();
    assert_eq!(keys("release-1.2.0"), ["providers/acme/sample/1.2.0/docs/index.html"]);
    // A lost page is a link that leads to nothing.
    std::fs::remove_file(site.join("providers/acme/sample/1.2.0/docs/resources/thing.html")).unwrap();
    let verified = run(tfreg().arg("verify").arg(&site)).succeeds();
    assert!(verified.stdout.contains("page-link"), "{verified:#?}");
    assert_eq!(keys("release-1.2.0"), ["providers/acme/sample/1.2.0/docs/resources/thing.html"]);
}

#[test]
fn documentation_is_found_beside_the_tarballs_and_its_faults_are_refused() {
    let root = folder();
    let release = root.path().join("release");
    std::fs::create_dir(&release).unwrap();
    for entry in std::fs::read_dir(testdata("release-1.2.0")).unwrap() {
        let file = entry.unwrap();
        std::fs::copy(file.path(), release.join(file.file_name())).unwrap();
    }
    std::fs::rename(docs(root.path()), release.join("docs")).unwrap();
    std::fs::create_dir(release.join("docs/images")).unwrap();
    std::fs::write(release.join("docs/images/a b.png"), "x").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", release.join("docs/resources/secret.md")).unwrap();
    let artifacts = [release.clone()];

    // Nobody asks for it where there are no pages; where it is asked for, that is said.
    let plain = root.path().join("plain");
    run(&mut publish(&plain, &artifacts)).succeeds();
    let named = root.path().join("named");
    let said = run(publish(&named, &artifacts).arg("--docs").arg(docs(root.path()))).succeeds();
    assert!(said.stderr.contains("tfreg init") && said.stderr.contains("--docs"), "{said:#?}");
    assert_eq!((pages(&plain), pages(&named)), (BTreeMap::new(), BTreeMap::new()));

    let site = root.path().join("site");
    with_pages(&site);
    run(&mut publish(&site, &artifacts)).refused("a name", &["images/a b.png", "rename the file"]);
    assert_eq!(pages(&site), BTreeMap::new());
    std::fs::rename(release.join("docs/images/a b.png"), release.join("docs/images/a.txt")).unwrap();
    run(&mut publish(&site, &artifacts)).succeeds();
    let all = pages(&site);
    assert!(all.contains_key("providers/acme/sample/1.2.0/docs/resources/thing.html"), "{:?}", all.keys());
    assert!(!all.keys().any(|key| key.contains("secret")), "links are not followed: {:?}", all.keys());

    let empty = root.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    run(publish(&site, &tarballs("release-1.10.0")).arg("--docs").arg(&empty))
        .refused("no page", &["empty", "there is no documentation", "index.md"]);
    run(publish(&site, &tarballs("release-1.10.0")).arg("--docs").arg(root.path().join("nowhere")))
        .fails(1, &["nowhere"]);
}

fn to(envs: Vec<(String, String)>, namespace: &str, tarballs: &[PathBuf]) -> Command {
    let mut command = tfreg();
    command.args(["publish", "--to", "s3://bucket", "--namespace", namespace, "--signing-key-file"]);
    command.arg(key("ed25519.asc")).args(tarballs).envs(envs);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn publishers_at_once_lose_nothing_on_the_pages() {
    let server = watched();
    let envs = || server.envs();
    run(tfreg().args(["init", "s3://bucket", "--base-url", BASE, "--pages"]).envs(envs())).succeeds();
    let jobs = [
        ("acme", tarballs("release-1.2.0")),
        ("acme", tarballs("release-1.10.0")),
        ("acme", vec![tarball("release-1.2.0-more", "darwin-amd64")]),
        ("other", tarballs("release-1.2.0")),
    ];
    // All have read the page of all providers before any goes on.
    let gate = Gate::arrive(4);
    server.gate(Matcher::get().key("index.html").occurrences(1..=4), Point::After, &gate);
    let running: Vec<_> =
        jobs.iter().map(|(namespace, files)| Running::start(&mut to(envs(), namespace, files))).collect();
    for child in running {
        ran(&child.output()).succeeds();
    }
    let all =
        run(tfreg().args(["reindex", "s3://bucket", "--all", "--yes", "--format", "json"]).envs(envs()));
    assert_eq!(written(&all.clone().succeeds()), BTreeSet::new(), "{}", all.stdout);
    let objects = server.objects("bucket");
    let text = |key: &str| String::from_utf8(objects[key].bytes.to_vec()).unwrap();
    let index = text("index.html");
    assert!(index.contains("acme/sample") && index.contains("other/sample"), "{index}");
    let provider = text("providers/acme/sample/index.html");
    assert!(
        provider.contains("href=\"1.2.0/index.html\"") && provider.contains("href=\"1.10.0/index.html\""),
        "{provider}"
    );
    assert!(text("providers/acme/sample/1.2.0/index.html").contains("darwin_amd64"));
    server.verify();
}

#[test]
fn verify_reads_every_document_once() {
    let server = watched();
    let envs = || server.envs();
    run(tfreg().args(["init", "s3://bucket", "--base-url", BASE, "--pages"]).envs(envs())).succeeds();
    run(&mut to(envs(), "acme", &tarballs("release-1.2.0"))).succeeds();
    run(&mut to(envs(), "acme", &tarballs("release-1.10.0"))).succeeds();
    run(tfreg().args(["yank", "s3://bucket", "acme/sample", "1.10.0", "--yes"]).envs(envs())).succeeds();
    server.clear_requests();
    let verified = run(tfreg().args(["verify", "s3://bucket", "--format", "json"]).envs(envs()));
    let report: Value = serde_json::from_str(&verified.stdout).unwrap();
    assert!(report["checked"]["pages"].as_u64().unwrap() > 3, "{report:#}");
    let requests = server.requests();
    let mut reads: BTreeMap<&str, usize> = BTreeMap::new();
    for request in requests.iter().filter(|request| request.method == "GET" && !request.key.is_empty()) {
        *reads.entry(&request.key).or_default() += 1;
    }
    for key in ["acme/sample/versions", "acme/sample/1.2.0/download/linux/amd64", "acme/sample/1.2.0/yanked"]
    {
        assert_eq!(reads.get(&*format!("registry/{key}")), Some(&1), "{key}: {reads:#?}");
    }
    let twice: Vec<_> = reads.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    // Without pages nothing is kept, and with them nothing is missed: the findings are those of the documents.
    assert!(
        report["findings"].as_array().unwrap().iter().all(|f| f["rule"] != "page-outdated"),
        "{report:#}"
    );
}

#[test]
fn a_publish_reads_its_own_pages_only() {
    let server = watched();
    let envs = || server.envs();
    run(tfreg().args(["init", "s3://bucket", "--base-url", BASE, "--pages"]).envs(envs())).succeeds();
    run(&mut to(envs(), "other", &tarballs("release-1.2.0"))).succeeds();
    run(&mut to(envs(), "acme", &tarballs("release-1.2.0"))).succeeds();
    server.clear_requests();
    run(to(envs(), "acme", &tarballs("release-1.10.0")).arg("--no-verify")).succeeds();
    let requests = server.requests();
    assert!(requests.iter().all(|request| !request.key.is_empty()), "nothing is listed");
    let others: Vec<&str> = requests
        .iter()
        .map(|request| request.key.as_str())
        .filter(|key| key.contains("/1.2.0/") || key.contains("/other/"))
        .collect();
    assert_eq!(others, [""; 0]);
    let reads = |key: &str| requests.iter().filter(|r| r.key == key && r.method != "PUT").count();
    assert_eq!(reads("index.html"), 2, "before it is written, and to see that nothing is left to do");
    server.verify();
}
