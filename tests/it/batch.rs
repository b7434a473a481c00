//! Several versions and providers in one run: a backfill.

mod refusals;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::Value;

use crate::support::archive::genuine_executable;
use crate::support::child::Running;
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::mutated::{Entry, Signer, zip_of};
use crate::support::reader;
use crate::support::s3_server::{Matcher, Point, S3Server};
use crate::support::{folder, key, publish, run, tarball, tarballs, testdata, tfreg, tree};

const PLATFORMS: [&str; 4] = ["darwin_arm64", "linux_amd64", "linux_arm64", "windows_amd64"];
const RELEASE: &str = "goreleaser-1.2.0";
const INDEX: &str = "registry/acme/sample/versions";

/// The zip of a platform, as a release tool makes it.
fn zip(provider_type: &str, version: &str, platform: &str) -> Vec<u8> {
    static EXECUTABLES: LazyLock<BTreeMap<&str, Vec<u8>>> = LazyLock::new(|| {
        let read = |platform: &&'static str| (*platform, genuine_executable(&platform.replace('_', "-")));
        PLATFORMS.iter().map(read).collect()
    });
    let extension = if platform.starts_with("windows") { ".exe" } else { "" };
    let name = format!("terraform-provider-{provider_type}_v{version}{extension}");
    zip_of(&[Entry::File(&name, 0o755, &EXECUTABLES[platform])])
}

/// Writes a signed release of a provider into `dist`.
fn release(dist: &Path, provider_type: &str, version: &str, platforms: &[&str], signer: &Signer) {
    std::fs::create_dir_all(dist).unwrap();
    let mut sums = Vec::new();
    for platform in platforms {
        let zip = zip(provider_type, version, platform);
        let name = format!("terraform-provider-{provider_type}_{version}_{platform}.zip");
        sums.push(format!("{}  {name}\n", tfreg::content::Digest::of(&zip)));
        std::fs::write(dist.join(name), zip).unwrap();
    }
    let name = format!("terraform-provider-{provider_type}_{version}_SHA256SUMS");
    let sums = sums.concat();
    let signature = signer.sign(sums.as_bytes(), |builder| builder);
    std::fs::write(dist.join(format!("{name}.sig")), signature).unwrap();
    std::fs::write(dist.join(name), sums).unwrap();
}

/// `tfreg publish --to TARGET --namespace acme --protocol 6.0 --public-key FILE ARTIFACT…`
fn backfill(target: impl AsRef<std::ffi::OsStr>, artifacts: &[PathBuf]) -> Command {
    let mut command = tfreg();
    command.arg("publish").arg("--to").arg(target).args(["--namespace", "acme", "--protocol", "6.0"]);
    command.arg("--public-key").arg(testdata(RELEASE).join("public-key.asc")).args(artifacts);
    command
}

/// The versions that an index lists, in its order.
fn listed(index: &[u8]) -> Vec<String> {
    let index: Value = serde_json::from_slice(index).unwrap();
    let versions = index["versions"].as_array().unwrap().iter();
    versions.map(|entry| entry["version"].as_str().unwrap().to_owned()).collect()
}

fn report(stdout: &str) -> Value {
    serde_json::from_str(stdout).unwrap()
}

#[test]
fn a_backfill_of_200_versions_is_killed_half_way_and_run_again() {
    let (root, server) = (folder(), S3Server::start(&["registry"]));
    let (dist, signer) = (root.path().join("dist"), Signer::of("ed25519.asc"));
    let versions: Vec<String> =
        (0..20).flat_map(|minor| (0..10).map(move |patch| format!("1.{minor}.{patch}"))).collect();
    for version in &versions {
        release(&dist, "sample", version, &PLATFORMS, &signer);
    }
    let artifacts = [dist];
    let publish = || {
        let mut command = backfill("s3://registry", &artifacts);
        command.envs(server.envs()).args(["--base-url", "https://registry.example.com/"]);
        command
    };
    // Whatever is listed is whole, at every write.
    let broken = Arc::new(Mutex::new(Vec::new()));
    {
        let broken = Arc::clone(&broken);
        server.on_write(Box::new(move |snapshot, event| {
            if event.key == INDEX {
                let objects = snapshot.bucket("registry").iter();
                let files: BTreeMap<String, Vec<u8>> =
                    objects.map(|(key, object)| (key.clone(), object.bytes.to_vec())).collect();
                if let Err(problem) = reader::read(&files) {
                    broken.lock().unwrap().push(problem);
                }
            }
        }));
    }

    // Killed among the documents of the second batch.
    let child = Arc::new(Mutex::new(None::<Running>));
    let at = Matcher::put().contains("/1.15.").contains("/download/").nth(7);
    let killed = Arc::clone(&child);
    let rule = server.kill_hook(at, Point::Before, move |_| {
        while killed.lock().unwrap().is_none() {
            std::thread::yield_now();
        }
        killed.lock().unwrap().as_mut().unwrap().kill().unwrap();
    });
    let running = Running::start(publish().stdout(std::process::Stdio::null()));
    *child.lock().unwrap() = Some(running);
    // It ends because it is killed.
    loop {
        if child.lock().unwrap().as_mut().unwrap().try_wait().unwrap().is_some() {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(rule.fired(), 1, "it ended by itself");
    drop(child.lock().unwrap().take());
    server.clear_rules();
    let objects = server.objects("registry");
    assert_eq!(listed(&objects[INDEX].bytes), versions[..100], "the first batch is listed, and nothing else");
    let requests_before = server.requests().len();

    // Run again.
    server.clear_requests();
    let ran = run(publish().args(["--format", "json"])).succeeds();
    let report = report(&ran.stdout);
    assert_eq!(report["outcome"], "published");
    let outcomes: Vec<&str> =
        report["versions"].as_array().unwrap().iter().map(|v| v["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes[..100], ["unchanged"; 100]);
    assert_eq!(outcomes[100..], ["published"; 100]);
    // Without a secret key there is no record.
    let findings = report["verification"]["findings"].as_array().unwrap();
    assert_eq!(report["verification"]["errors"], 0);
    assert!(findings.iter().all(|finding| finding["rule"] == "record-missing"), "{findings:?}");
    assert_eq!(report["verification"]["platforms"], 800);
    assert!(ran.stderr.contains("(200 of 200)"), "progress over all: {}", ran.stderr);
    let objects = server.objects("registry");
    assert_eq!(listed(&objects[INDEX].bytes), versions);
    assert_eq!(*broken.lock().unwrap(), Vec::<String>::new());
    // The index was written twice for 200 versions, and what was there already was not written again.
    let writes = |suffix: &str| server.history().iter().filter(|event| event.key.ends_with(suffix)).count();
    assert_eq!(writes("/versions"), 2);
    assert_eq!(writes(".zip"), 800);
    let requests = server.requests();
    let gets = |key: &str| requests.iter().filter(|request| request.key == key).count();
    assert!(gets(INDEX) <= 10, "{} requests for the index", gets(INDEX));
    println!("requests a version: {} killed, {} run again", requests_before / 200, requests.len() / 200);
    assert!(requests.len() / 200 <= 50, "{} requests a version", requests.len() / 200);
    assert!(requests.iter().filter(|request| request.method == "PUT").count() < 1200);

    if !require_program("terraform") {
        return;
    }
    let site = root.path().join("site");
    for (key, object) in &objects {
        let path = site.join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &object.bytes).unwrap();
    }
    let preview = Preview::of(&site);
    for version in ["1.0.0", "1.19.9"] {
        let terraform = Terraform::new(&preview, version);
        terraform.run(&["init"]).succeeds();
        assert!(terraform.lock_file().contains(&format!("\"{version}\"")));
    }
    // The newest one of a range.
    let terraform = Terraform::new(&preview, "~> 1.7.0");
    terraform.run(&["init"]).succeeds();
    assert!(terraform.lock_file().contains("\"1.7.9\""));
}

#[test]
fn a_run_that_stops_says_what_is_done() {
    let (root, server) = (folder(), S3Server::start(&["registry"]));
    let signer = Signer::of("ed25519.asc");
    // Two providers are two batches.
    for (provider_type, version) in [("other", "1.0.0"), ("sample", "0.9.0"), ("sample", "1.0.0")] {
        release(&root.path().join("dist"), provider_type, version, &["linux_amd64"], &signer);
    }
    let publish = || {
        let mut command = backfill("s3://registry", &[root.path().join("dist")]);
        command.envs(server.envs()).args(["--contention-timeout", "0"]);
        command
    };
    server.fault(
        Matcher::put().key(INDEX),
        crate::support::s3_server::Action::AnswerBefore(500, "InternalError"),
    );
    let ran = run(&mut publish()).fails(
        1,
        &[
            "Published to s3://registry/: 1 of 3 versions, the last one acme/other 1.0.0",
            "Not published, or not known to be: 2, the first one acme/sample 0.9.0",
            "Running the same command again is safe, and completes what is missing",
        ],
    );
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "{ran:#?}");
    let ran = run(publish().args(["--format", "json"])).fails(1, &[]);
    let failure = report(&ran.stdout);
    assert_eq!(failure["published_versions"], serde_json::json!(["acme/other 1.0.0"]));
    assert_eq!(failure["other_versions"], serde_json::json!(["acme/sample 0.9.0", "acme/sample 1.0.0"]));
    server.clear_rules();
    let ran = run(&mut publish()).succeeds();
    assert!(ran.stdout.contains("Published 2 of 3 versions to s3://registry/"), "{ran:#?}");
    assert!(ran.stdout.contains("acme/other 1.0.0                 1 platform, there already"), "{ran:#?}");

    // Another run writes nothing.
    server.clear_requests();
    let ran = run(&mut publish()).succeeds();
    assert!(
        ran.stdout.contains("Already published, nothing to do: 3 versions in s3://registry/"),
        "{ran:#?}"
    );
    assert!(server.requests().iter().all(|request| request.method != "PUT"));
}

#[test]
fn tarballs_and_zips_of_several_versions_and_providers_come_together() {
    let root = folder();
    let (site, dist) = (root.path().join("site"), root.path().join("dist"));
    let signer = Signer::of("ed25519.asc");
    release(&dist, "sample", "2.0.0-rc.1", &PLATFORMS, &signer);
    release(&dist, "other", "0.1.0", &PLATFORMS, &signer);
    std::fs::write(dist.join("notes.txt"), "").unwrap();
    let mut all: Vec<PathBuf> = [tarballs("release-1.10.0"), tarballs("release-1.2.0")].concat();
    all.push(dist);
    let publish = |target: &Path| {
        let mut command = tfreg();
        command.arg("publish").arg("--to").arg(target).args(["--namespace", "acme", "--protocol", "6.0"]);
        command.arg("--signing-key-file").arg(key("ed25519.asc")).args(&all);
        command
    };
    let ran = run(publish(&site).args(["--format", "json"])).succeeds();
    let report = report(&ran.stdout);
    let versions = report["versions"].as_array().unwrap();
    let names: Vec<String> = versions
        .iter()
        .map(|version| {
            format!("{} {}", version["provider"].as_str().unwrap(), version["version"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        names,
        ["acme/other 0.1.0", "acme/sample 1.2.0", "acme/sample 1.10.0", "acme/sample 2.0.0-rc.1"],
        "the oldest first, as semantic versions"
    );
    let members = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        members(&report),
        ["outcome", "target", "versions", "objects", "warnings", "left_alone", "verification", "duration_ms"]
    );
    let shared: Vec<&str> =
        report["objects"].as_array().unwrap().iter().map(|object| object["key"].as_str().unwrap()).collect();
    assert_eq!(shared, ["registry/acme/other/versions", ".well-known/terraform.json", INDEX]);
    for (version, name) in versions.iter().zip(&names) {
        let place = name.replace(' ', "/");
        let objects = version["objects"].as_array().unwrap();
        assert!(!objects.is_empty());
        for object in objects {
            assert!(object["key"].as_str().unwrap().contains(&*place), "{name}: {object}");
        }
    }
    assert_eq!(report["left_alone"][0]["count"], 1, "{:#}", report["left_alone"]);

    // One after the other, the same registry comes out; zips that were given up are the same zips.
    let (alone, given_up) = (root.path().join("alone"), root.path().join("given up"));
    for release in [tarballs("release-1.2.0"), tarballs("release-1.10.0"), vec![all.last().unwrap().clone()]]
    {
        let mut command = tfreg();
        command.arg("publish").arg("--to").arg(&alone).args(["--namespace", "acme", "--protocol", "6.0"]);
        run(command.arg("--signing-key-file").arg(key("ed25519.asc")).args(release)).succeeds();
    }
    run(publish(&given_up).args(["--max-kept-bytes", "0"])).succeeds();
    let comparable = |site: &Path| {
        let mut files = tree(site);
        files.retain(|key, _| !crate::support::varies(key));
        files
    };
    assert!(comparable(&site) == comparable(&alone), "the same as one after the other");
    assert!(comparable(&site) == comparable(&given_up), "the same as with zips that are made again");
    run(tfreg().arg("verify").arg(&given_up)).succeeds();

    // A dry run leaves what a run would write.
    let (preview, nothing) = (root.path().join("preview"), root.path().join("nothing"));
    let ran = run(publish(&nothing).arg("--dry-run").arg(&preview)).succeeds();
    assert!(ran.stdout.contains("Dry run:") && !nothing.exists(), "{ran:#?}");
    assert!(comparable(&preview) == comparable(&site));
}

#[test]
fn the_network_mirror_and_the_pages_follow_a_backfill() {
    let (root, signer) = (folder(), Signer::of("ed25519.asc"));
    let versions = ["0.9.0", "1.0.0", "1.1.0"];
    let releases = [("other", "0.1.0"), ("sample", "0.9.0"), ("sample", "1.0.0"), ("sample", "1.1.0")];
    let dists = releases.map(|(provider_type, version)| {
        let dist = root.path().join(format!("{provider_type}-{version}"));
        release(&dist, provider_type, version, &PLATFORMS[..2], &signer);
        dist
    });
    let new = |name: &str| {
        let site = root.path().join(name);
        let base = ["--base-url", "https://registry.example.com/"];
        run(tfreg().arg("init").arg(&site).args(base).args(["--network-mirror", "--pages"])).succeeds();
        site
    };
    let publish = |site: &Path, dists: &[PathBuf]| {
        let mut command = backfill(site, dists);
        command.env("SOURCE_DATE_EPOCH", "1767322986");
        command
    };
    let site = new("site");
    run(&mut publish(&site, &dists)).succeeds();

    let files = tree(&site);
    for (provider_type, versions) in [("sample", &versions[..]), ("other", &["0.1.0"])] {
        let folder = format!("mirror/registry.example.com/acme/{provider_type}");
        let index = report(str::from_utf8(&files[&format!("{folder}/index.json")]).unwrap());
        assert_eq!(index["versions"].as_object().unwrap().keys().collect::<Vec<_>>(), versions);
        let page = &files[&format!("providers/acme/{provider_type}/index.html")];
        for version in versions {
            let archives = report(str::from_utf8(&files[&format!("{folder}/{version}.json")]).unwrap());
            assert_eq!(archives["archives"].as_object().unwrap().len(), 2, "{version}");
            assert!(String::from_utf8_lossy(page).contains(version), "{provider_type}: {version}");
        }
    }
    // What a command that looks at everything finds to be done is nothing.
    let again =
        run(tfreg().arg("reindex").arg(&site).args(["--all", "--yes", "--format", "json"])).succeeds();
    assert_eq!(report(&again.stdout)["outcome"], "unchanged", "{again:#?}");
    run(tfreg().arg("verify").arg(&site)).succeeds();

    // Byte for byte what the versions give one after the other.
    let alone = new("alone");
    for dist in &dists {
        run(&mut publish(&alone, std::slice::from_ref(dist))).succeeds();
    }
    assert!(tree(&alone) == files, "the same as one after the other");

    // A dry run of providers that are all new leaves it too: the page of all providers has all of them. So it says: it is
    // made once, and then changed.
    let (empty, preview) = (new("empty"), root.path().join("preview"));
    let before = tree(&empty);
    let ran = run(publish(&empty, &dists).arg("--dry-run").arg(&preview)).succeeds();
    let mut planned = tree(&preview);
    planned.extend(before.clone());
    assert!(planned == files, "{ran:#?}");
    assert!(tree(&empty) == before);
    let page = String::from_utf8_lossy(&planned["index.html"]).into_owned();
    assert!(page.contains(">acme/other</a>") && page.contains(">acme/sample</a>"), "{page}");
    assert_eq!(ran.stdout.matches("+ index.html ").count(), 1, "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("~ index.html ").count(), 1, "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("+ .well-known/").count(), 1, "{}", ran.stdout);
}

#[test]
fn a_file_that_changes_after_it_was_checked_is_refused() {
    let (root, server) = (folder(), S3Server::start(&["registry"]));
    let copy = |release: &str| {
        let copied = |path: PathBuf| {
            let to = root.path().join(path.file_name().unwrap());
            std::fs::copy(path, &to).unwrap();
            to
        };
        tarballs(release).into_iter().map(copied).collect::<Vec<_>>()
    };
    let artifacts = [copy("release-1.2.0"), copy("release-1.10.0")].concat();
    let publish = || {
        let mut command = publish("s3://registry", &artifacts);
        command.envs(server.envs()).args(["--protocol", "6.0", "--max-kept-bytes", "0"]);
        command
    };
    // The first request comes when all is checked.
    let target = tarball("release-1.2.0", "linux-amd64").file_name().unwrap().to_owned();
    let changed = root.path().join(&target);
    let rule = server.kill_hook(Matcher::any().nth(1), Point::Before, move |_| {
        std::fs::copy(tarball("release-1.2.0-rebuilt", "linux-amd64"), &changed).unwrap();
    });
    let text = format!("{}: the file has changed since this run checked it", target.display());
    let ran = run(&mut publish());
    assert_eq!((rule.fired(), ran.code), (1, 3), "{ran:#?}");
    assert!(ran.stderr.contains(&text), "{ran:#?}");
    assert!(!server.objects("registry").contains_key(INDEX), "nothing is listed");
    // The remedy: nothing changes it while it is published.
    run(&mut publish()).succeeds();
}

#[test]
fn a_platform_that_came_later_has_a_folder_of_its_own() {
    let root = folder();
    let (first, second, site) = (root.path().join("a"), root.path().join("b"), root.path().join("site"));
    let signer = Signer::of("ed25519.asc");
    release(&first, "sample", "1.0.0", &PLATFORMS[..2], &signer);
    release(&second, "sample", "1.0.0", &PLATFORMS, &signer);
    let sums = std::fs::read(second.join("terraform-provider-sample_1.0.0_SHA256SUMS")).unwrap();
    for artifacts in [[first.clone(), second.clone()], [second.clone(), first.clone()]] {
        let _ = std::fs::remove_dir_all(&site);
        run(&mut backfill(&site, &artifacts)).succeeds();
        let files = tree(&site);
        let kept: Vec<&Vec<u8>> =
            files.iter().filter(|(key, _)| key.ends_with("_SHA256SUMS")).map(|(_, bytes)| bytes).collect();
        assert_eq!(kept, [&sums], "the one that lists all");
        assert_eq!(files.keys().filter(|key| key.contains("/download/")).count(), 4);
        run(tfreg().arg("verify").arg(&site)).succeeds();
    }
    // After the first one was published by itself.
    let _ = std::fs::remove_dir_all(&site);
    run(&mut backfill(&site, std::slice::from_ref(&first))).succeeds();
    run(&mut backfill(&site, &[first.clone(), second.clone()])).succeeds();
    run(tfreg().arg("verify").arg(&site)).succeeds();
    // Only the new platforms are in the second folder.
    for platform in &PLATFORMS[..2] {
        std::fs::remove_file(second.join(format!("terraform-provider-sample_1.0.0_{platform}.zip"))).unwrap();
    }
    let _ = std::fs::remove_dir_all(&site);
    run(&mut backfill(&site, &[first, second])).succeeds();
    run(tfreg().arg("verify").arg(&site)).succeeds();
}

#[test]
fn a_backfill_from_a_bucket_holds_one_release_at_a_time() {
    let (root, server) = (folder(), S3Server::start(&["artifacts"]));
    let signer = Signer::of("ed25519.asc");
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        let dist = root.path().join(version);
        release(&dist, "sample", version, &PLATFORMS, &signer);
        for (name, bytes) in tree(&dist) {
            server.put_directly("artifacts", &format!("sample/{version}/{name}"), bytes);
        }
    }
    let site = root.path().join("site");
    let mut command = backfill(&site, &[PathBuf::from("s3://artifacts/sample/")]);
    run(command.envs(server.envs()).args(["--max-kept-bytes", "0"])).succeeds();
    let zips = server.requests().iter().filter(|request| request.key.ends_with(".zip")).count();
    assert_eq!(zips, 24, "each zip is fetched to be checked, and again to be written");
    assert_eq!(listed(&std::fs::read(site.join(INDEX)).unwrap()), ["1.0.0", "1.1.0", "1.2.0"]);
    run(tfreg().arg("verify").arg(&site)).succeeds();
    server.clear_requests();
    let other = root.path().join("other");
    let mut command = backfill(&other, &[PathBuf::from("s3://artifacts/sample/")]);
    run(command.envs(server.envs())).succeeds();
    let zips = server.requests().iter().filter(|request| request.key.ends_with(".zip")).count();
    assert_eq!(zips, 12, "what fits is kept");
}

#[test]
fn h1_of_ready_made_zips_is_what_terraform_computes() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut backfill(&site, &[testdata(RELEASE)])).succeeds();
    let document: Value = serde_json::from_slice(
        &std::fs::read(site.join("registry/acme/sample/1.2.0/download/linux/amd64")).unwrap(),
    )
    .unwrap();
    for platform in PLATFORMS {
        let package = &document["packages"][platform];
        let name = format!("terraform-provider-sample_1.2.0_{platform}.zip");
        let zip = std::fs::File::open(testdata(RELEASE).join(&name)).unwrap();
        // The definition: the SHA-256 of a line for each file, in the order of names.
        let mut archive = zip::ZipArchive::new(zip).unwrap();
        let mut files = BTreeMap::new();
        for at in 0..archive.len() {
            let (mut file, mut bytes) = (archive.by_index(at).unwrap(), Vec::new());
            std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
            files.insert(file.name().unwrap().into_owned(), tfreg::content::Digest::of(&bytes));
        }
        let lines: Vec<String> = files.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
        let lines = lines.concat();
        let digest = sha2::Digest::finalize(sha2::Digest::chain_update(
            <sha2::Sha256 as sha2::Digest>::new(),
            lines.as_bytes(),
        ));
        let h1 = format!("h1:{}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest));
        let hashes: Vec<&str> =
            package["hashes"].as_array().unwrap().iter().map(|hash| hash.as_str().unwrap()).collect();
        assert!(hashes.contains(&&*h1), "{platform}: {hashes:?}, expected {h1}");
    }
    if !require_program("terraform") {
        return;
    }
    let preview = Preview::of(&site);
    let terraform = Terraform::new(&preview, "1.2.0");
    terraform.run(&["init"]).succeeds();
    let lock = terraform.lock_file();
    let h1 = lock.lines().find_map(|line| line.trim().trim_matches([',', '"']).strip_prefix("h1:"));
    let own = document["packages"]["linux_amd64"]["hashes"].to_string();
    assert!(own.contains(h1.unwrap()), "Terraform computed {h1:?}: {own}");
}
