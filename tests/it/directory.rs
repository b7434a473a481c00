//! Publishing to a directory: what is written, when nothing is, what merges and what is refused.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::child::Running;
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::programs::unshared;
use crate::support::{folder, key, publish, ran, run, tarball, tarballs, tfreg, tree, varies};

const VERSIONS: &str = "registry/acme/sample/versions";
const LINUX: &str = "registry/acme/sample/1.2.0/download/linux/amd64";

fn json(site: &Path, key: &str) -> Value {
    serde_json::from_slice(&std::fs::read(site.join(key)).unwrap()).unwrap()
}

/// Changes a document by hand.
fn edit(site: &Path, key: &str, change: impl FnOnce(&mut Value)) {
    let mut value = json(site, key);
    change(&mut value);
    std::fs::write(site.join(key), serde_json::to_vec(&value).unwrap()).unwrap();
}

/// What the file system knows of every file: a rewritten one has another inode or time.
fn states(site: &Path) -> Vec<(String, u64, i64, i64)> {
    let state = |key: String| {
        let metadata = std::fs::metadata(site.join(&key)).unwrap();
        (key, metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    };
    tree(site).into_keys().map(state).collect()
}

#[test]
fn a_first_publish_writes_the_whole_registry() {
    let root = folder();
    let site = root.path().join("deep/site");
    let published = run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    assert!(published.stdout.contains("Plan: 14 to create, 0 to change, 0 unchanged"), "{published:#?}");
    let keys: Vec<String> = tree(&site).into_keys().collect();
    assert_eq!(keys.len(), 14, "{keys:#?}");
    let sums = keys.iter().find(|key| key.ends_with("_SHA256SUMS")).unwrap();
    let text = std::fs::read_to_string(site.join(sums)).unwrap();
    assert_eq!(text.lines().count(), 4);
    for platform in ["darwin_arm64", "linux_amd64", "linux_arm64", "windows_amd64"] {
        let (os, arch) = platform.split_once('_').unwrap();
        let document = json(&site, &format!("registry/acme/sample/1.2.0/download/{os}/{arch}"));
        assert_eq!(document["shasums_url"], format!("/{sums}"));
        let line =
            format!("{}  {}\n", document["shasum"].as_str().unwrap(), document["filename"].as_str().unwrap());
        assert!(text.contains(&line), "{line}");
        assert!(site.join(document["download_url"].as_str().unwrap().trim_start_matches('/')).is_file());
    }
}

#[test]
fn the_same_again_writes_nothing() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let before = states(&site);
    let again = run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    assert!(again.stdout.contains("Already published, nothing to do"), "{again:#?}");
    assert_eq!(states(&site), before);
}

#[test]
fn zips_are_the_same_whoever_makes_them() {
    let root = folder();
    let zips = |name: &str, jobs: &str| {
        let site = root.path().join(name);
        run(publish(&site, &tarballs("release-1.2.0")).args(["--jobs", jobs])).succeeds();
        tree(&site).into_iter().filter(|(key, _)| !varies(key)).collect::<Vec<_>>()
    };
    assert_eq!(zips("a", "1"), zips("b", "4"));
}

#[test]
fn versions_and_platforms_merge() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let more = run(&mut publish(&site, &tarballs("release-1.2.0-more"))).succeeds();
    // Two zips, SHA256SUMS, signature and two documents; four documents and the index are moved.
    assert!(more.stdout.contains("Plan: 8 to create, 5 to change, 1 unchanged"), "{more:#?}");
    let index = json(&site, VERSIONS);
    let versions: Vec<_> =
        index["versions"].as_array().unwrap().iter().map(|entry| &entry["version"]).collect();
    assert_eq!(versions, ["1.2.0", "1.10.0"]);
    let platforms = index["versions"][0]["platforms"].as_array().unwrap();
    let names: Vec<String> = platforms
        .iter()
        .map(|p| format!("{}_{}", p["os"].as_str().unwrap(), p["arch"].as_str().unwrap()))
        .collect();
    assert_eq!(
        names,
        ["darwin_amd64", "darwin_arm64", "freebsd_amd64", "linux_amd64", "linux_arm64", "windows_amd64"]
    );
    let sums: std::collections::BTreeSet<String> = names
        .iter()
        .map(|name| json(&site, &format!("registry/acme/sample/1.2.0/download/{}", name.replace('_', "/"))))
        .map(|document| document["shasums_url"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(sums.len(), 1, "one SHA256SUMS for all: {sums:?}");
    let text = std::fs::read_to_string(site.join(sums.first().unwrap().trim_start_matches('/'))).unwrap();
    assert_eq!(text.lines().count(), 6);
    for release in ["release-1.2.0", "release-1.2.0-more", "release-1.10.0"] {
        let again = run(&mut publish(&site, &tarballs(release))).succeeds();
        assert!(again.stdout.contains("nothing to do"), "{release}: {again:#?}");
    }
}

#[test]
fn other_contents_are_refused_with_both_hashes_and_replaced_on_demand() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let before = states(&site);
    let theirs = json(&site, LINUX)["shasum"].as_str().unwrap().to_owned();
    let refused = run(&mut publish(&site, &tarballs("release-1.2.0-rebuilt"))).fails(
        3,
        &[LINUX, "published with other contents", "found:", &theirs, "expected:", "remedy:", "--replace"],
    );
    assert_eq!(states(&site), before);
    let replaced =
        run(publish(&site, &tarballs("release-1.2.0-rebuilt")).args(["--replace", "--format", "json"]))
            .succeeds();
    let replaced: Value = serde_json::from_str(&replaced.stdout).unwrap();
    let ours = replaced["platforms"][0]["zip_sha256"].as_str().unwrap();
    assert!(refused.stderr.contains(ours) && ours != theirs);
    assert_eq!(json(&site, LINUX)["shasum"], ours);
    // The earlier zip is still there for who has begun to install it, and all platforms are on the new SHA256SUMS.
    assert!(tree(&site).into_keys().any(|key| key.contains(&theirs[..16])));
    assert_eq!(
        json(&site, LINUX)["shasums_url"],
        json(&site, &LINUX.replace("amd64", "arm64"))["shasums_url"]
    );
}

#[test]
fn a_document_that_no_index_lists_still_decides() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
    // As a run leaves it that dies before it writes the index.
    std::fs::remove_file(site.join(VERSIONS)).unwrap();
    run(&mut publish(&site, &tarballs("release-1.2.0-rebuilt"))).fails(3, &["published with other contents"]);
    run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
    assert_eq!(json(&site, VERSIONS)["versions"][0]["version"], "1.2.0");
}

#[test]
fn lost_objects_are_put_back() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let before = tree(&site);
    for key in before.keys() {
        std::fs::remove_file(site.join(key)).unwrap();
        run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
        let after = tree(&site);
        assert!(after.keys().eq(before.keys()), "{key}");
        let differing: Vec<_> = after.iter().filter(|(key, bytes)| before[*key] != **bytes).collect();
        assert!(differing.iter().all(|(key, _)| varies(key)), "{key}: {differing:#?}");
    }
}

#[test]
fn protocols_of_a_version_do_not_change() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &[tarball("release-1.10.0", "linux_amd64")])).succeeds();
    edit(&site, VERSIONS, |index| index["versions"][0]["protocols"] = serde_json::json!(["5.0"]));
    let more = [tarball("release-1.10.0", "darwin_arm64")];
    run(&mut publish(&site, &more)).fails(3, &[VERSIONS, "other protocols", "5.0", "6.0"]);
    run(publish(&site, &more).arg("--replace")).succeeds();
    assert_eq!(json(&site, VERSIONS)["versions"][0]["protocols"], serde_json::json!(["6.0"]));
}

#[test]
fn what_is_not_understood_is_kept() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    edit(&site, VERSIONS, |index| {
        index["warnings"] = serde_json::json!(["this provider moves"]);
        index["versions"][0]["x"] = serde_json::json!({"a": [1.50]});
    });
    edit(&site, LINUX, |document| document["note"] = "hello".into());
    edit(&site, ".well-known/terraform.json", |document| document["modules.v1"] = "/m/".into());
    run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    run(&mut publish(&site, &tarballs("release-1.2.0-more"))).succeeds();
    let index = json(&site, VERSIONS);
    assert_eq!(index["warnings"][0], "this provider moves");
    assert_eq!(index["versions"][0]["x"]["a"][0].to_string(), "1.5");
    assert_eq!(json(&site, LINUX)["note"], "hello");
    assert_eq!(json(&site, ".well-known/terraform.json")["modules.v1"], "/m/");
}

#[test]
fn what_cannot_be_understood_stops_the_run() {
    for (key, contents) in [
        (VERSIONS, "not json"),
        (VERSIONS, ""),
        (VERSIONS, "{\"versions\": {}}"),
        (VERSIONS, "{\"versions\": [{\"version\": \"v1.0.0\"}]}"),
        (LINUX, "{}"),
        (LINUX, "{\"os\": \"linux\", \"arch\": \"arm64\"}"),
        (".well-known/terraform.json", "[]"),
    ] {
        let root = folder();
        let site = root.path().join("site");
        run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
        std::fs::write(site.join(key), contents).unwrap();
        let before = states(&site);
        run(&mut publish(&site, &tarballs("release-1.2.0-more")))
            .fails(3, &[key, "cannot be understood", "found:", "remedy:"]);
        assert_eq!(states(&site), before, "{key}: {contents}");
    }
}

#[test]
fn a_listed_platform_without_its_document_is_named() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    std::fs::remove_file(site.join(LINUX)).unwrap();
    run(&mut publish(&site, &tarballs("release-1.2.0-more"))).fails(3, &[LINUX, "missing", "linux_amd64"]);
}

#[test]
fn another_object_under_a_key_is_never_overwritten() {
    let root = folder();
    let site = root.path().join("site");
    let linux = [tarball("release-1.2.0", "linux-amd64")];
    run(&mut publish(&site, &linux)).succeeds();
    for suffix in ["linux_amd64.zip", "SHA256SUMS", "SHA256SUMS.A7F2BC5B6E845A69.sig"] {
        let key = tree(&site).into_keys().find(|key| key.ends_with(suffix)).unwrap();
        let good = std::fs::read(site.join(&key)).unwrap();
        std::fs::write(site.join(&key), "something else").unwrap();
        run(&mut publish(&site, &linux)).fails(3, &[&key, "found:", "expected:"]);
        assert_eq!(std::fs::read(site.join(&key)).unwrap(), b"something else");
        std::fs::write(site.join(&key), good).unwrap();
    }
}

#[test]
fn a_dry_run_leaves_what_a_run_would_write() {
    let root = folder();
    let (site, preview) = (root.path().join("site"), root.path().join("preview"));
    let planned = run(publish(&site, &tarballs("release-1.2.0")).arg("--dry-run").arg(&preview)).succeeds();
    assert!(!site.exists() && planned.stdout.contains("Plan: 14 to create"), "{planned:#?}");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    assert_same_but_for_signatures(&tree(&preview), &tree(&site));

    // An increment: only what would be written.
    let before = tree(&site);
    let increment = root.path().join("increment");
    run(publish(&site, &tarballs("release-1.2.0-more")).arg("--dry-run").arg(&increment)).succeeds();
    assert_eq!(tree(&site), before);
    run(&mut publish(&site, &tarballs("release-1.2.0-more"))).succeeds();
    let written = tree(&site).into_iter().filter(|(key, bytes)| before.get(key) != Some(bytes)).collect();
    assert_same_but_for_signatures(&tree(&increment), &written);

    let nothing = root.path().join("nothing");
    let planned = run(publish(&site, &tarballs("release-1.2.0")).arg("--dry-run").arg(&nothing)).succeeds();
    assert!(planned.stdout.contains("nothing to do") && tree(&nothing).is_empty(), "{planned:#?}");
}

type Tree = std::collections::BTreeMap<String, Vec<u8>>;

#[track_caller]
fn assert_same_but_for_signatures(a: &Tree, b: &Tree) {
    let keys = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(a), keys(b));
    for (key, bytes) in a.iter().filter(|(key, _)| !varies(key)) {
        assert!(*bytes == b[key], "{key} differs");
    }
}

#[test]
fn results_are_one_json_object() {
    let root = folder();
    let site = root.path().join("site");
    let mut command = publish(&site, &tarballs("release-1.2.0"));
    let published = run(command.args(["--format", "json", "--quiet"])).succeeds();
    assert_eq!(published.stderr, "");
    let report: Value = serde_json::from_str(&published.stdout).unwrap();
    assert_eq!(
        (&report["outcome"], &report["version"], &report["type"]),
        (&"published".into(), &"1.2.0".into(), &"sample".into())
    );
    assert_eq!(report["key_id"], "A7F2BC5B6E845A69");
    assert!(report["duration_ms"].is_u64());
    let files = tree(&site);
    let objects = report["objects"].as_array().unwrap();
    assert_eq!(objects.len(), files.len());
    for object in objects {
        let bytes = &files[object["key"].as_str().unwrap()];
        assert_eq!(object["action"], "created");
        assert_eq!(object["bytes"], bytes.len());
        assert_eq!(object["sha256"], tfreg::content::Digest::of(bytes).to_string());
    }
    let again = run(publish(&site, &tarballs("release-1.2.0")).args(["--format", "json"])).succeeds();
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["outcome"], "unchanged");

    let refused = run(publish(&site, &tarballs("release-1.2.0-rebuilt")).args(["--format", "json"]))
        .fails(3, &["error:"]);
    let refused: Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!((&refused["outcome"], &refused["exit_code"]), (&"refused".into(), &3.into()));
    assert!(refused["refusal"]["found"].as_str().unwrap().contains("SHA-256"));
}

#[test]
fn quiet_prints_nothing_and_plain_output_has_no_colours() {
    let root = folder();
    let site = root.path().join("site");
    let quiet = run(publish(&site, &tarballs("release-1.2.0")).arg("--quiet")).succeeds();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let plain = run(publish(&site, &tarballs("release-1.10.0")).arg("--verbose")).succeeds();
    assert!(!plain.stdout.contains('\u{1b}') && !plain.stderr.contains('\u{1b}'), "{plain:#?}");
}

#[test]
fn a_path_in_the_way_is_named() {
    let root = folder();
    let file = root.path().join("file");
    std::fs::write(&file, "x").unwrap();
    run(&mut publish(&file, &tarballs("release-1.2.0"))).fails(1, &["file", "remedy:"]);
    run(&mut publish(file.join("site"), &tarballs("release-1.2.0"))).fails(1, &["file/site"]);
    let site = root.path().join("site");
    std::fs::create_dir_all(site.join(VERSIONS)).unwrap();
    run(&mut publish(&site, &tarballs("release-1.2.0"))).fails(1, &[VERSIONS, "remedy:"]);
    assert_eq!(tree(&site).len(), 0);
}

#[test]
fn what_a_killed_run_left_is_removed() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let staging = site.join(".tfreg-staging");
    std::fs::create_dir(&staging).unwrap();
    std::fs::write(staging.join("object"), "half").unwrap();
    let again = run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    assert!(again.stdout.contains("nothing to do") && !staging.exists());
}

#[test]
fn sixteen_processes_publish_at_once() {
    let root = folder();
    let site = root.path().join("site");
    let releases = ["release-1.2.0", "release-1.2.0-more", "release-1.10.0"];
    let single = |release: &str| tarballs(release).into_iter().map(|path| vec![path]).collect::<Vec<_>>();
    let mut jobs: Vec<_> = releases.iter().flat_map(|release| single(release)).collect();
    jobs.extend(releases.iter().map(|release| tarballs(release)));
    jobs.extend([tarballs("release-1.2.0"), tarballs("release-1.10.0"), tarballs("release-1.2.0")]);
    assert_eq!(jobs.len(), 16);
    let spawn = |tarballs: &Vec<_>| {
        Running::start(publish(&site, tarballs).stdout(Stdio::piped()).stderr(Stdio::piped()))
    };
    let running: Vec<_> = jobs.iter().map(spawn).collect();
    for child in running {
        ran(&child.output()).succeeds();
    }
    let index = json(&site, VERSIONS);
    let counts: Vec<usize> = index["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["platforms"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [6, 4]);
    for release in releases {
        let again = run(&mut publish(&site, &tarballs(release))).succeeds();
        assert!(again.stdout.contains("nothing to do"), "{release}: {again:#?}");
    }
    assert!(tree(&site).into_keys().all(|key| !key.contains("tfreg-staging")));
    if !require_program("terraform") {
        return;
    }
    let preview = Preview::of(&site);
    for version in ["1.2.0", "1.10.0"] {
        Terraform::new(&preview, version).run(&["init"]).succeeds();
    }
}

/// Runs a shell command with `DIR` a small file system of its own, which is gone with the command; `None` where this
/// machine does not allow that.
fn with_small_disk(size: &str, script: &str, publish: &std::process::Command) -> Option<crate::support::Ran> {
    let root = folder();
    let mut command = unshared("mount -t tmpfs -o size=$SIZE none $DIR", script)?;
    command.env("DIR", root.path()).env("SIZE", size);
    command.arg(publish.get_program()).args(publish.get_args());
    Some(run(&mut command))
}

#[test]
fn a_full_disk_is_explained_and_leaves_a_whole_registry() {
    let publish = publish("SITE", &tarballs("release-1.2.0"));
    let script = r#"cd $DIR && "$@"; code=$?; find . -name '*tfreg-staging*'; test ! -e SITE/registry/acme/sample/versions || echo indexed; exit $code"#;
    let Some(full) = with_small_disk("40k", script, &publish) else { return };
    let full = full.fails(1, &["No space left", "remedy:", "make room", "Not written", "again is safe"]);
    assert!(!full.stdout.contains("tfreg-staging") && !full.stdout.contains("indexed"), "{full:#?}");
}

#[test]
fn a_read_only_disk_is_explained() {
    let publish = publish("SITE", &tarballs("release-1.2.0"));
    let script = r#"cd $DIR && mkdir SITE && mount -o remount,ro $DIR && "$@""#;
    let Some(refused) = with_small_disk("1m", script, &publish) else { return };
    refused.fails(1, &["Read-only file system", "remedy:", "right to write", "Nothing was written"]);
}

/// Holds the lock as another process does, on another machine, say.
fn hold_lock(site: &Path) -> std::fs::File {
    use std::io::Write as _;
    std::fs::create_dir_all(site).unwrap();
    let mut lock = std::fs::File::create(site.join(".tfreg-lock")).unwrap();
    lock.lock().unwrap();
    lock.write_all(b"4194304 build-7.example\n").unwrap();
    lock
}

#[test]
fn a_lock_that_is_kept_uses_up_the_budget() {
    let root = folder();
    let site = root.path().join("site");
    let lock = hold_lock(&site);
    let mut command = publish(&site, &[tarball("release-1.2.0", "linux-amd64")]);
    let ran = run(command.args(["--contention-timeout", "0"])).fails(
        4,
        &["another process (PID 4194304 on build-7.example) holds the lock", "/site/.tfreg-lock", "waiting"],
    );
    assert!(!ran.stderr.contains("was written by another publish"), "{ran:#?}");
    assert!(ran.stderr.contains("Nothing was written") && ran.stderr.contains("again is safe"), "{ran:#?}");
    drop(lock);
    run(&mut command).succeeds();
    assert!(!site.join(".tfreg-lock").exists());
}

#[test]
fn who_only_reads_stops_no_publish() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    let folders = ["", "store", "registry", "registry/acme/sample"];
    let locks: Vec<_> = folders.iter().map(|name| std::fs::File::open(site.join(name)).unwrap()).collect();
    for lock in &locks {
        lock.lock().unwrap();
    }
    let files: Vec<_> =
        tree(&site).into_keys().map(|key| std::fs::File::open(site.join(key)).unwrap()).collect();
    for lock in &files {
        lock.lock().unwrap();
    }
    run(publish(&site, &tarballs("release-1.2.0")).args(["--contention-timeout", "0"])).succeeds();
}

/// A named pipe, at which every reader waits for ever.
fn pipe(path: &Path) {
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, fifo, 0o644.into(), 0).unwrap();
}

/// Runs a command that must come to an end.
#[track_caller]
fn ends(command: &mut std::process::Command) -> crate::support::Ran {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running::start(command);
    let began = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < std::time::Duration::from_mins(2), "{command:?} waits for ever");
        std::thread::yield_now();
    }
    ran(&child.output())
}

#[test]
fn what_is_no_file_is_refused_by_name_and_never_waited_for() {
    let root = folder();
    let published = root.path().join("published");
    run(&mut publish(&published, &tarballs("release-1.2.0"))).succeeds();
    let files = tree(&published);
    let command = |name: &str, site: &Path| {
        let change = |further: &[&str]| {
            let mut change = tfreg();
            change.arg(name).arg(site).arg("acme/sample").args(further);
            change
        };
        match name {
            "publish" => publish(site, &tarballs("release-1.2.0-more")),
            "publish again" => publish(site, &tarballs("release-1.2.0")),
            "warn" => change(&["a warning"]),
            "yank" => change(&["1.2.0", "--yes"]),
            "reindex" => change(&["--yes"]),
            _ => {
                let mut verify = tfreg();
                verify.arg("verify").arg(site);
                verify
            }
        }
    };
    for key in files.keys() {
        let mut refused = 0;
        for name in ["publish", "publish again", "verify", "warn", "yank", "reindex"] {
            let site = tempfile::tempdir_in(root.path()).unwrap();
            for (key, bytes) in &files {
                let path = site.path().join(key);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            let path = site.path().join(key);
            std::fs::remove_file(&path).unwrap();
            let socket = key.ends_with("versions");
            let _listener = if socket {
                // Its end is a path of at most 108 bytes.
                let short = site.path().join("s");
                let listener = std::os::unix::net::UnixListener::bind(&short).unwrap();
                std::fs::rename(short, &path).unwrap();
                Some(listener)
            } else {
                pipe(&path);
                None
            };
            let kind = if socket { "a socket is there" } else { "a named pipe is there" };
            let ran = ends(&mut command(name, site.path()));
            if ran.code != 0 {
                let all = format!("{}{}", ran.stdout, ran.stderr);
                assert!(all.contains(kind) && all.contains(key), "{name} with {key}: {ran:#?}");
                refused += 1;
            }
        }
        // A record's signature is looked at by fewer commands.
        assert!(refused >= 1, "{key}: {refused}");
    }
}

#[test]
fn what_is_read_beside_a_registry_is_a_file_too() {
    let root = folder();
    let site = root.path().join("site");
    let at = |name: &str| root.path().join(name);
    let linux = tarball("release-1.2.0", "linux-amd64");
    let name = linux.file_name().unwrap().to_str().unwrap().to_owned();
    pipe(&at("pipe"));
    let with_key = |file: &Path, further: &[&str]| {
        let mut command = tfreg();
        command
            .args(["publish", "--namespace", "acme", "--to"])
            .arg(&site)
            .arg("--signing-key-file")
            .arg(file);
        command.args(further).arg(&linux);
        command
    };
    let pipe_name = at("pipe").display().to_string();
    ends(&mut with_key(&at("pipe"), &[])).fails(1, &["a named pipe is there", &pipe_name]);
    ends(&mut with_key(&key("ed25519.asc"), &["--signing-passphrase-file", &pipe_name]))
        .fails(1, &["a named pipe is there", "--signing-passphrase-file"]);
    ends(tfreg().arg("key").arg(at("pipe"))).fails(1, &["a named pipe is there"]);
    ends(tfreg().args(["verify", "https://127.0.0.1:9/", "--ca-file"]).arg(at("pipe")))
        .fails(1, &["a named pipe is there", "--ca-file"]);
    pipe(&at(&name));
    ends(&mut publish(&site, &[at(&name)])).refused("a tarball", &["not a regular file"]);
    std::fs::remove_file(at(&name)).unwrap();
    std::fs::copy(&linux, at(&name)).unwrap();
    for beside in [format!("{name}.sha256"), "terraform-registry-manifest.json".to_owned()] {
        pipe(&at(&beside));
        ends(&mut publish(&site, &[at(&name)])).refused(&beside, &[&beside, "not a small file"]);
        std::fs::remove_file(at(&beside)).unwrap();
    }
    assert!(!site.exists());
    // What a shell hands over is a pipe too, and somebody writes into it.
    if !require_program("bash") {
        return;
    }
    let shell = r#""$2" key <(cat "$1") && cat "$1" | "$2" key /dev/stdin"#;
    let mut handed_over = std::process::Command::new("bash");
    handed_over.args(["-c", shell, "bash"]).arg(key("ed25519.asc")).arg(env!("CARGO_BIN_EXE_tfreg"));
    run(&mut handed_over).succeeds();
}

#[test]
fn whatever_the_umask_a_web_server_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    if !require_program("bash") {
        return;
    }
    let root = folder();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let by = |umask: &str, site: &Path, release: &str| {
        let inner = publish(site, &tarballs(release));
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "bash"]);
        run(shell.arg(inner.get_program()).args(inner.get_args())).succeeds();
    };
    for (umask, file, folder) in [("077", 0o644, 0o755), ("022", 0o644, 0o755), ("002", 0o664, 0o775)] {
        let site = root.path().join(umask).join("deep/site");
        by(umask, &site, "release-1.2.0");
        let check = || {
            for key in tree(&site).into_keys() {
                let path = site.join(&key);
                assert_eq!(mode(&path), file, "umask {umask}: {key}");
                for above in path.ancestors().skip(1).take_while(|above| *above != root.path()) {
                    assert_eq!(mode(above), folder, "umask {umask}: {}", above.display());
                }
            }
        };
        check();
        // Replaced under another umask, documents stay as they are.
        by("077", &site, "release-1.10.0");
        if umask != "002" {
            check();
        }
        for (set, key) in [(0o640, VERSIONS), (0o604, LINUX)] {
            std::fs::set_permissions(site.join(key), std::fs::Permissions::from_mode(set)).unwrap();
        }
        by("077", &site, "release-1.2.0-more");
        assert_eq!((mode(&site.join(VERSIONS)), mode(&site.join(LINUX))), (0o640, 0o604));
    }
}

#[test]
fn a_replaced_link_has_the_mode_of_what_it_led_to() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let (document, elsewhere) = (site.join(VERSIONS), root.path().join("elsewhere"));
    std::fs::rename(&document, &elsewhere).unwrap();
    std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &document).unwrap();
    let before = std::fs::read(&elsewhere).unwrap();
    run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    let now = std::fs::symlink_metadata(&document).unwrap();
    assert!(now.is_file() && now.permissions().mode() & 0o7777 == 0o640, "{now:?}");
    assert_eq!(std::fs::read(&elsewhere).unwrap(), before, "what is outside of the registry is left alone");
    assert_eq!(json(&site, VERSIONS)["versions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_signal_ends_a_run_that_hangs() {
    let root = folder();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let site = root.path().join(format!("{signal:?}"));
        // A pipe that is full: whoever writes to it waits for its reader.
        let (reader, mut writer) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        while std::io::Write::write(&mut writer, &[0; 4096]).is_ok() {}
        while std::io::Write::write(&mut writer, &[0; 1]).is_ok() {}
        rustix::io::ioctl_fionbio(&writer, false).unwrap();
        let mut command = publish(&site, &[tarball("release-1.2.0", "linux-amd64")]);
        let mut child = Running::start(command.arg("--verbose").stdout(writer).stderr(Stdio::piped()));
        drop(command);
        let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        // Logged just before the plan is printed, which hangs.
        while !line.contains("planned") {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut stderr, &mut line).unwrap() > 0, "it ended early");
        }
        child.signal(signal);
        let mut said = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
        let status = child.wait().unwrap();
        assert!(status.code() == Some(1) && said.contains("interrupted"), "{status:?}: {said}");
        drop(reader);
    }
}

#[test]
fn a_dry_run_does_not_even_clean_up() {
    let root = folder();
    let site = root.path().join("site");
    std::fs::create_dir_all(site.join(".tfreg-staging")).unwrap();
    run(publish(&site, &tarballs("release-1.2.0")).arg("--dry-run").arg(root.path().join("preview")))
        .succeeds();
    assert!(site.join(".tfreg-staging").exists());
}

#[test]
fn who_holds_the_lock_is_waited_for() {
    let root = folder();
    let site = root.path().join("site");
    let lock = hold_lock(&site);
    let mut command = publish(&site, &tarballs("release-1.2.0"));
    let mut child = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("Plan: 14 to create") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut stdout, &mut line).unwrap() > 0, "it ended early");
    }
    assert_eq!(tree(&site).into_keys().collect::<Vec<_>>(), [".tfreg-lock"]);
    assert!(child.try_wait().unwrap().is_none());
    drop(lock);
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    ran(&child.output()).succeeds();
    assert_eq!(tree(&site).len(), 14);
}

#[test]
fn nothing_is_signed_that_is_not_proven() {
    type Edit = fn(&mut Value);
    let edits: [(&str, Edit, &str); 6] = [
        ("another zip", |document| document["shasum"] = "ab".repeat(32).into(), "cannot be proven"),
        ("another name", |document| document["filename"] = "x.zip".into(), "cannot be proven"),
        (
            "another platform's name",
            |document| document["filename"] = "terraform-provider-sample_1.2.0_linux_arm64.zip".into(),
            "cannot be proven",
        ),
        (
            "another tool's links",
            |document| document["shasums_url"] = "https://example.com/SUMS".into(),
            "cannot be proven",
        ),
        ("lines in the name", |document| document["filename"] = "x.zip\n\n".into(), "no plain file name"),
        (
            "escapes",
            |document| document["protocols"] = serde_json::json!(["\u{1b}]0;pwned\u{7}"]),
            "protocols",
        ),
    ];
    for (name, change, said) in edits {
        let root = folder();
        let site = root.path().join("site");
        run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
        edit(&site, LINUX, change);
        let before = tree(&site);
        let refused = run(&mut publish(&site, &tarballs("release-1.2.0-more")))
            .fails(3, &[LINUX, said, "found:", "remedy:"]);
        assert!(!refused.stderr.contains(['\u{1b}', '\u{7}']), "{name}: {refused:#?}");
        assert!(tree(&site) == before, "{name}");
        if name == "another zip" {
            // The platform's own tarball settles it.
            run(publish(&site, &tarballs("release-1.2.0")).arg("--replace")).succeeds();
            run(&mut publish(&site, &tarballs("release-1.2.0-more"))).succeeds();
        }
    }
}

#[test]
fn another_key_signs_only_what_is_in_its_run() {
    let root = folder();
    let site = root.path().join("site");
    let by = |key_name: &str, release: &str, args: &[&str]| {
        let mut command = tfreg();
        command
            .args(["publish", "--namespace", "acme", "--to"])
            .arg(&site)
            .arg("--signing-key-file")
            .arg(key(key_name));
        command.args(tarballs(release)).args(args);
        run(&mut command)
    };
    by("rsa3072.asc", "release-1.2.0", &[]).succeeds();
    by("p256.asc", "release-1.2.0-more", &[])
        .fails(3, &["cannot be proven", "remedy:", "with --replace-key", "sign with the key of the version"]);
    by("p256.asc", "release-1.10.0", &[]).succeeds();
    let before = tree(&site);
    for args in [&[][..], &["--replace"]] {
        by("p256.asc", "release-1.2.0", args).refused(
            "moved",
            &["published with another key", "B89BCD519BBF8ED5", "A969B8281FD51C14BF354275", "--replace-key"],
        );
        assert!(tree(&site) == before, "nothing is written");
    }
    let moved = by("p256.asc", "release-1.2.0", &["--replace-key"]).succeeds();
    assert!(moved.stdout.contains("~ 1.2.0: key B89BCD519BBF8ED5 -> 1FD51C14BF354275"), "{moved:#?}");
    by("p256.asc", "release-1.2.0-more", &[]).succeeds();
    let keys: std::collections::BTreeSet<String> = tree(&site)
        .into_iter()
        .filter(|(key, _)| key.contains("/download/"))
        .map(|(key, _)| json(&site, &key)["signing_keys"]["gpg_public_keys"][0]["key_id"].to_string())
        .collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
}

#[test]
fn a_part_of_a_version_heals_its_checksums_or_says_how() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    for suffix in ["_SHA256SUMS", "_SHA256SUMS.A7F2BC5B6E845A69.sig"] {
        let name = tree(&site).into_keys().find(|key| key.ends_with(suffix)).unwrap();
        let bytes = std::fs::read(site.join(&name)).unwrap();
        std::fs::remove_file(site.join(&name)).unwrap();
        run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")]))
            .fails(3, &["cannot be proven", "remedy:"]);
        run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
        assert!(site.join(&name).exists() && !bytes.is_empty());
    }
}
