//! The pipelines in `drone/`, run as a Drone runner runs them: an S3 server is the build's bucket, staging and production,
//! each for a role of its own, and the real `terraform init` is the user.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tfreg::content::Digest;

use crate::support::archive::{Archive, genuine_executable, write};
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::drone::{Build, Drone, Missing, Step, pipelines, secrets, substitute};
use crate::support::iam::{self, Principal, Request};
use crate::support::reader::{self, Listed};
use crate::support::s3_server::S3Server;
use crate::support::{folder, key};

const TAG: &str = "terraform-provider-sample-v1.2.0";
const CANDIDATE: &str = "terraform-provider-sample-v1.2.0-rc.1";
const PLATFORMS: [&str; 4] = ["darwin-arm64", "linux-amd64", "linux-arm64", "windows-amd64"];
/// The buckets that the files name.
const ARTIFACTS: &str = "acme-artifacts";
const STAGING: &str = "acme-terraform-staging";
const PRODUCTION: &str = "acme-terraform-production";
/// The address of the staging registry that the files name.
const STAGING_URL: &str = "https://terraform.staging.example.com/";

/// A pipeline file, and the shell of its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Variant(&'static str, &'static str);

/// Drone's runner takes the image's /bin/sh, which is bash, dash, busybox, …
const VARIANTS: [Variant; 3] =
    [Variant("pipelines.yml", "bash"), Variant("pipelines.yml", "sh"), Variant("plugin.yml", "sh")];

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("drone").join(name)).unwrap()
}

/// What a build of a version leaves: tarballs, their `.sha256` and the manifest. Other `bits` are another build's.
fn release(version: &str, bits: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for platform in PLATFORMS {
        let exe = if platform.starts_with("windows") { ".exe" } else { "" };
        let tarball = Archive::new()
            .file(&format!("terraform-provider-sample{exe}"), genuine_executable(platform))
            .file("CHANGELOG.md", format!("This is {version}, {bits}.\n"))
            .gz();
        let name = format!("terraform-provider-sample-v{version}-{platform}-bin.tar.gz");
        let sidecar = format!("{}  {name}\n", Digest::of(&tarball));
        files.insert(format!("{name}.sha256"), sidecar.into_bytes());
        files.insert(name, tarball);
    }
    let manifest = br#"{"version":1,"metadata":{"protocol_versions":["6.0"]}}"#;
    files.insert("terraform-registry-manifest.json".to_owned(), manifest.to_vec());
    files
}

/// Where a release's tarballs are in the build's bucket.
fn prefix(version: &str) -> String {
    format!("terraform-provider-sample/v{version}/")
}

/// A company with a build server, three buckets and two registries.
struct World {
    root: TempDir,
    server: S3Server,
    drone: Drone,
    /// Stands for the CDN of the staging registry.
    staging: Preview,
}

impl World {
    fn new(variant: Variant) -> Self {
        Self::with_production_key(variant, "ed25519-passphrase")
    }

    /// A world whose production signs with another key than staging. (The other one there is, RSA, takes its time.)
    fn with_two_keys(variant: Variant) -> Self {
        Self::with_production_key(variant, "rsa3072-passphrase")
    }

    fn with_production_key(Variant(name, shell): Variant, production: &str) -> Self {
        let root = folder();
        for name in ["bin", "release", STAGING, PRODUCTION] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        // The user's own build. It leaves its tarballs in the bucket too, which `World::builds` does.
        let release = root.path().join("release");
        let make = format!("#!/bin/sh\nset -e\ntest \"$1\" = release\ncp -r {} build\n", release.display());
        let make = write(&root.path().join("bin"), "make", make);
        fs::set_permissions(make, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let staging = Preview::of(&root.path().join(STAGING));

        let server = S3Server::start(&[ARTIFACTS, STAGING, PRODUCTION]);
        let role = |account: u64, name: &str| format!("arn:aws:iam::{account}:role/{name}");
        let roles = [
            (ARTIFACTS, role(111_111_111_111, "artifacts-reader")),
            (STAGING, role(222_222_222_222, "staging-publisher")),
            (PRODUCTION, role(333_333_333_333, "production-publisher")),
        ];
        for (bucket, arn) in &roles {
            server.add_role(arn, &[bucket]);
        }
        let [artifacts, staging_role, production_role] = roles.map(|(_, arn)| arn);
        let staging_key = server.add_key(&[], &[&artifacts, &staging_role]);
        // In plugin.yml one step promotes to both.
        let both = [&*artifacts, &*production_role, &*staging_role];
        let production_key = server.add_key(&[], if name == "plugin.yml" { &both } else { &both[..2] });
        let text = |name: &str| fs::read_to_string(key(name)).unwrap();
        let secrets = [
            ("artifacts_role_arn", artifacts),
            ("staging_role_arn", staging_role),
            ("staging_aws_access_key_id", staging_key.id),
            ("staging_aws_secret_access_key", staging_key.secret),
            ("staging_signing_key", text("ed25519-passphrase.asc")),
            ("staging_signing_passphrase", text("ed25519-passphrase.txt")),
            ("production_role_arn", production_role),
            ("production_aws_access_key_id", production_key.id),
            ("production_aws_secret_access_key", production_key.secret),
            ("production_signing_key", text(&format!("{production}.asc"))),
            ("production_signing_passphrase", text(&format!("{production}.txt"))),
        ];

        let credentials = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let globals = server.envs().into_iter().filter(|(name, _)| !credentials.contains(&name.as_str()));
        let mut path = vec![root.path().join("bin")];
        path.push(Path::new(env!("CARGO_BIN_EXE_tfreg")).parent().unwrap().to_owned());
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        let drone = Drone {
            // The one thing that is adapted: this machine has no such host.
            file: file(name).replace(STAGING_URL, staging.url()),
            secrets: secrets.map(|(name, value)| (name.to_owned(), value)).into(),
            missing: Missing::Empty,
            globals: globals.collect(),
            path,
            shell,
        };
        assert!(drone.file.contains(staging.url()));
        Self { root, server, drone, staging }
    }

    /// A tag is pushed, and what the build makes of it is `files`.
    fn builds(&self, tag: &str, version: &str, files: &BTreeMap<String, Vec<u8>>) -> Vec<Step> {
        for (name, bytes) in files {
            self.server.put_directly(ARTIFACTS, &format!("{}{name}", prefix(version)), bytes.clone());
        }
        self.makes(files);
        self.run(&Build::of_tag(tag))
    }

    /// What `make release` makes from now on.
    fn makes(&self, files: &BTreeMap<String, Vec<u8>>) {
        let release = self.root.path().join("release");
        fs::remove_dir_all(&release).unwrap();
        fs::create_dir(&release).unwrap();
        for (name, bytes) in files {
            write(&release, name, bytes);
        }
    }

    fn promotes(&self, tag: &str, target: &'static str) -> Vec<Step> {
        self.run(&Build::promotion(tag, target))
    }

    fn run(&self, build: &Build) -> Vec<Step> {
        let steps = self.drone.run(build);
        // The CDN sees what is in the bucket.
        self.site(STAGING);
        steps
    }

    /// What is served of a bucket.
    fn site(&self, bucket: &str) -> PathBuf {
        let site = self.root.path().join(bucket);
        for (key, object) in self.server.objects(bucket) {
            let path = site.join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &object.bytes).unwrap();
        }
        site
    }

    /// What the registry in a bucket lists; whole, or the test fails.
    fn listed(&self, bucket: &str) -> Listed {
        let objects = self.server.objects(bucket).into_iter();
        let objects = objects.map(|(key, object)| (key, object.bytes.to_vec())).collect();
        reader::settled(&objects).unwrap();
        reader::read(&objects).unwrap()
    }

    /// `terraform init` from what a bucket serves; gives what it says, or nothing where there is no terraform.
    #[track_caller]
    fn init(&self, bucket: &str, version: &str) -> Option<String> {
        if !require_program("terraform") {
            return None;
        }
        let preview = Preview::of(&self.site(bucket));
        let terraform = Terraform::new(&preview, version);
        let ran = terraform.run(&["init", "-no-color"]).succeeds();
        assert!(
            ran.stdout.contains(&format!("Installed registry.example.com/acme/sample v{version}")),
            "{ran:#?}"
        );
        preview.stop();
        Some(ran.stdout)
    }
}

/// The step that publishes was the last one, and ended well.
#[track_caller]
fn published(steps: &[Step]) -> &Step {
    let last = steps.last().unwrap_or_else(|| panic!("no pipeline ran"));
    assert!(last.name.ends_with("/publish"), "{steps:#?}");
    last.ran.clone().succeeds();
    last
}

/// The step that publishes failed, saying each of `texts`.
#[track_caller]
fn fails<'a>(steps: &'a [Step], texts: &[&str]) -> &'a Step {
    let last = steps.last().unwrap_or_else(|| panic!("no pipeline ran"));
    assert!(last.name.ends_with("/publish") && last.ran.code != 0, "{steps:#?}");
    for text in texts {
        assert!(last.ran.stderr.contains(text), "expected {text:?}: {last:#?}");
    }
    last
}

fn names(steps: &[Step]) -> Vec<&str> {
    steps.iter().map(|step| step.name.as_str()).collect()
}

/// The hash that is listed for linux_amd64 in version 1.2.0.
fn linux(listed: &Listed) -> &str {
    &listed["1.2.0 linux_amd64"]
}

#[test]
fn the_files_have_nothing_that_drone_does_not_know() {
    let all = BTreeSet::from([
        "artifacts_role_arn",
        "staging_role_arn",
        "staging_aws_access_key_id",
        "staging_aws_secret_access_key",
        "staging_signing_key",
        "staging_signing_passphrase",
        "production_role_arn",
        "production_aws_access_key_id",
        "production_aws_secret_access_key",
        "production_signing_key",
        "production_signing_passphrase",
    ]);
    let readme = file("README.md");
    for name in ["pipelines.yml", "plugin.yml"] {
        let text = file(name);
        assert!(!text.contains("${"), "{name}: Drone would replace it");
        assert_eq!(substitute(&text, &BTreeMap::new()), text);
        let pipelines = pipelines(&text);
        let named: BTreeSet<String> = pipelines.iter().flat_map(secrets).collect();
        assert!(named.iter().map(String::as_str).eq(all.iter().copied()), "{name}: {named:?}");
        for pipeline in &pipelines {
            assert_eq!(pipeline["concurrency"], json!({ "limit": 1 }));
            assert_eq!(pipeline["trigger"]["ref"], json!(["refs/tags/terraform-provider-*-v*"]));
            assert_eq!(pipeline["clone"]["disable"] == true, pipeline["name"] != "tag", "{pipeline}");
            let commands =
                pipeline["steps"].as_array().unwrap().iter().filter_map(|step| step["commands"].as_array());
            for command in commands.flatten().map(|command| command.as_str().unwrap()) {
                // Runners echo a command in quotes before it; old ones take single quotes and no care.
                assert!(!command.contains(['\'', '`']), "{command}");
            }
        }
    }
    for secret in all {
        assert!(readme.contains(&format!("`{secret}`")), "README.md does not tell of {secret}");
    }
}

#[test]
fn staging_and_production_differ_only_in_secrets_and_targets() {
    let of_promotion = |name: &str| -> Vec<String> {
        let text = file("pipelines.yml");
        let document =
            text.split("---\n").find(|text| text.contains(&format!("name: promote-{name}\n"))).unwrap();
        let lines = document.lines().filter(|line| !line.trim_start().starts_with('#'));
        lines.map(|line| line.replace(name, "NAME")).collect()
    };
    let (staging, production) = (of_promotion("staging"), of_promotion("production"));
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).map(|line| line.trim().to_owned()).collect()
    };
    assert_eq!(only(&staging, &production), ["--replace \\"]);
    let tested_in = format!("TESTED_IN: {STAGING_URL}").replace("production", "NAME");
    assert_eq!(only(&production, &staging), [&*tested_in, "--expect-match \"$TESTED_IN\" --stable-only \\"]);
}

#[test]
fn a_tag_goes_to_staging_and_may_be_built_again() {
    for variant in VARIANTS {
        let world = World::new(variant);
        let first = release("1.2.0", "the first build");
        let steps = world.builds(TAG, "1.2.0", &first);
        assert_eq!(names(&steps), ["tag/build", "tag/publish"]);
        published(&steps);
        let listed = world.listed(STAGING);
        assert_eq!(listed.len(), 4, "{listed:?}");
        let again = world.builds(TAG, "1.2.0", &first);
        assert!(published(&again).ran.stdout.contains("Already published"), "{again:#?}");
        published(&world.builds(TAG, "1.2.0", &release("1.2.0", "the second build")));
        assert_ne!(linux(&world.listed(STAGING)), linux(&listed));
        assert!(world.server.objects(PRODUCTION).is_empty());
        let records =
            world.server.objects(STAGING).into_iter().filter(|(key, _)| key.ends_with("provenance.json"));
        let records: Vec<Value> =
            records.map(|(_, object)| serde_json::from_slice(&object.bytes).unwrap()).collect();
        assert_eq!(records.len(), 2, "one of each build");
        assert!(records.iter().all(|record| {
            let build = &record["predicate"]["buildDefinition"]["externalParameters"];
            build["tag"] == TAG && build["event"] == "tag"
        }));
    }
}

#[test]
fn a_build_that_fails_publishes_nothing() {
    for variant in VARIANTS {
        let world = World::new(variant);
        fs::remove_dir(world.root.path().join("release")).unwrap();
        let steps = world.run(&Build::of_tag(TAG));
        assert_eq!(names(&steps), ["tag/build"]);
        assert_ne!(steps[0].ran.code, 0);
        fs::create_dir(world.root.path().join("release")).unwrap();
        for (files, said) in [
            (BTreeMap::new(), "build/*.tar.gz"),
            (release("1.2.1", "of another version"), "1.2.1"),
            (
                release("1.2.0", "").into_iter().filter(|(name, _)| !name.contains("arm64")).collect(),
                "linux_arm64",
            ),
            (
                release("1.2.0", "")
                    .into_iter()
                    .map(|(name, bytes)| (name.replace("sample", "other"), bytes))
                    .collect(),
                "sample",
            ),
        ] {
            world.makes(&files);
            fails(&world.run(&Build::of_tag(TAG)), &[said]);
        }
        assert!(world.server.objects(STAGING).is_empty());
    }
}

#[test]
fn each_target_gets_the_original_tarballs() {
    for variant in VARIANTS {
        let world = World::with_two_keys(variant);
        published(&world.builds(TAG, "1.2.0", &release("1.2.0", "a build")));
        let tested = world.listed(STAGING);
        for target in ["staging", "staging-terraform", "production", "production-terraform"] {
            let steps = world.promotes(TAG, target);
            assert_eq!(steps.len(), 1, "{target}: {steps:#?}");
            let repeated = target != "production";
            assert_eq!(
                published(&steps).ran.stdout.contains("Already published"),
                repeated,
                "{target}: {steps:#?}"
            );
        }
        assert_eq!(world.listed(PRODUCTION), tested, "the same bits");
        let staging = world.init(STAGING, "1.2.0");
        let production = world.init(PRODUCTION, "1.2.0");
        assert!(staging.is_none() || staging != production, "each registry has a key of its own");
    }
}

#[test]
fn other_builds_start_nothing() {
    for variant in VARIANTS {
        let world = World::new(variant);
        for build in [
            Build::of_tag("v1.2.0"),
            Build::of_tag("other-v1.2.0"),
            Build::of_tag("terraform-provider-sample-1.2.0"),
            Build::of_tag("nightly/terraform-provider-sample-v1.2.0"),
            Build::promotion("v1.2.0", "production"),
            Build::promotion("v1.2.0", "staging"),
            Build::promotion(TAG, "prodution"),
            Build::promotion(TAG, "production-docker"),
            Build::promotion(TAG, ""),
            Build { event: "push", ..Build::of_tag(TAG) },
            Build { event: "pull_request", ..Build::of_tag(TAG) },
            Build { event: "rollback", ..Build::promotion(TAG, "production") },
        ] {
            let steps = world.run(&build);
            assert!(steps.is_empty(), "{variant:?} {build:?}: {steps:#?}");
        }
        // Of another provider of the same repository: a pipeline runs, and says that it is not its own.
        fails(
            &world.promotes("terraform-provider-other-v1.2.0", "production"),
            &["terraform-provider-other"],
        );
        assert!(world.server.objects(PRODUCTION).is_empty() && world.server.objects(STAGING).is_empty());
    }
}

#[test]
fn a_missing_secret_fails_and_writes_nothing() {
    for variant in VARIANTS {
        let mut world = World::new(variant);
        published(&world.builds(TAG, "1.2.0", &release("1.2.0", "a build")));
        // Something to do in each registry.
        world.makes(&release("1.2.0", "another build"));
        let other = release("1.2.0", "an older build");
        for (name, bytes) in &other {
            world.server.put_directly(ARTIFACTS, &format!("{}{name}", prefix("1.2.0")), bytes.clone());
        }
        let written = world.server.history().len();
        let all = std::mem::take(&mut world.drone.secrets);
        let mut cases = 0;
        for (build, registry) in [
            (Build::of_tag(TAG), "staging"),
            (Build::promotion(TAG, "staging"), "staging"),
            (Build::promotion(TAG, "production"), "production"),
        ] {
            let pipelines = pipelines(&world.drone.file);
            let name = |pipeline: &Value| pipeline["name"].as_str().unwrap().to_owned();
            let ours = pipelines.iter().find(|pipeline| {
                let name = name(pipeline);
                if build.event == "tag" {
                    name == "tag"
                } else {
                    name == "promote" || name.ends_with(registry)
                }
            });
            // What belongs to the other registry of a step is not missed; credentials are for both.
            let asked = secrets(ours.unwrap()).into_iter().filter(|name| {
                name.starts_with(registry) || name.starts_with("artifacts") || name.contains("_aws_")
            });
            for secret in asked {
                for missing in [Missing::Empty, Missing::Unset] {
                    cases += 1;
                    world.drone.missing = missing;
                    world.drone.secrets = all.clone();
                    world.drone.secrets.remove(&secret);
                    let steps = world.run(&build);
                    let step = fails(&steps, &[]);
                    assert!(step.ran.stderr.len() > 20, "{variant:?} {secret}: it is said why: {step:#?}");
                    assert_eq!(
                        world.server.history().len(),
                        written,
                        "{variant:?} {secret} {missing:?}: {step:#?}"
                    );
                    let said = ["set to nothing", "which is not set"];
                    let said = said.iter().any(|text| step.ran.stderr.contains(text));
                    assert!(said || missing == Missing::Unset, "{variant:?} {secret}: {step:#?}");
                }
            }
        }
        assert_eq!(cases, 2 * (5 + 6 + 6), "{variant:?}");
        // Nothing else was in the way.
        world.drone.secrets = all;
        published(&world.run(&Build::of_tag(TAG)));
        published(&world.promotes(TAG, "staging"));
        published(&world.promotes(TAG, "production"));
    }
}

#[test]
fn a_pre_release_reaches_production_by_name_only() {
    for variant in VARIANTS {
        let world = World::new(variant);
        published(&world.builds(CANDIDATE, "1.2.0-rc.1", &release("1.2.0-rc.1", "a build")));
        published(&world.promotes(CANDIDATE, "staging"));
        fails(&world.promotes(CANDIDATE, "production"), &["1.2.0-rc.1", "pre-release"]);
        let named =
            |name: &str, version: &str| Build::promotion(CANDIDATE, "production").param(name, version);
        for (name, version) in [
            ("TFREG_ALLOW_PRERELEASE", "1.2.0-rc.2"),
            ("TFREG_ALLOW_PRERELEASE", "true"),
            // What the files say cannot be said otherwise by a promotion.
            ("PLUGIN_STABLE_ONLY", "false"),
            ("STABLE_ONLY", "false"),
            ("DRONE_TAG", TAG),
        ] {
            fails(&world.run(&named(name, version)), &[]);
        }
        assert!(world.server.objects(PRODUCTION).is_empty());
        published(&world.run(&named("TFREG_ALLOW_PRERELEASE", "1.2.0-rc.1")));
        assert_eq!(world.listed(PRODUCTION), world.listed(STAGING));
    }
}

#[test]
fn a_release_does_not_fetch_its_candidates() {
    for variant in VARIANTS {
        let world = World::new(variant);
        published(&world.builds(CANDIDATE, "1.2.0-rc.1", &release("1.2.0-rc.1", "the candidate")));
        // The tag has no tarballs in the bucket: those of v1.2.0-rc.1 are not taken for them.
        fails(
            &world.promotes(TAG, "staging"),
            &[&format!("s3://{ARTIFACTS}/{}", prefix("1.2.0")), "nothing below"],
        );
        published(&world.builds(TAG, "1.2.0", &release("1.2.0", "the release")));
        world.server.clear_requests();
        published(&world.promotes(TAG, "production"));
        let requests = world.server.requests();
        assert!(requests.iter().any(|request| request.key.starts_with(&prefix("1.2.0"))));
        assert!(requests.iter().all(|request| !request.key.contains("rc.1")), "{requests:#?}");
    }
}

#[test]
fn other_bits_than_were_tested_are_refused() {
    for variant in VARIANTS {
        let world = World::new(variant);
        published(&world.builds(TAG, "1.2.0", &release("1.2.0", "the build that is in the bucket")));
        let original = world.listed(STAGING);
        world.makes(&release("1.2.0", "a later build"));
        published(&world.run(&Build::of_tag(TAG)));
        let later = world.listed(STAGING);
        for build in [
            Build::promotion(TAG, "production"),
            Build::promotion(TAG, "production-terraform").param("PLUGIN_REPLACE", "true"),
            Build::promotion(TAG, "production").param("PLUGIN_EXPECT_MATCH", "/").param("TESTED_IN", "/"),
        ] {
            let steps = world.run(&build);
            let step = fails(&steps, &["--expect-match", linux(&original), linux(&later)]);
            assert_eq!(step.ran.code, 3);
        }
        assert!(world.server.objects(PRODUCTION).is_empty());
        // The remedy: put the original back into staging, test it, and promote.
        published(&world.promotes(TAG, "staging"));
        published(&world.promotes(TAG, "production"));
        assert_eq!(world.listed(PRODUCTION), original);
        // And what is published in production stays, whatever staging has.
        published(&world.builds(TAG, "1.2.0", &release("1.2.0", "a build after the release")));
        for (build, code) in [
            (Build::promotion(TAG, "production"), 3),
            (Build::promotion(TAG, "production").param("PLUGIN_REPLACE", "true"), 3),
        ] {
            let steps = world.run(&build);
            assert_eq!(fails(&steps, &["does not change"]).ran.code, code);
        }
        assert_eq!(world.listed(PRODUCTION), original);
    }
}

/// The policies in the README let the roles do what a pipeline does, and no more.
#[test]
fn the_policy_of_the_source_role_is_enough_and_no_more() {
    let readme = file("README.md");
    let blocks: Vec<Value> = readme
        .split("```json\n")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect();
    let policy = blocks.iter().find(|block| block.to_string().contains("s3:GetObject")).unwrap();
    let world = World::new(VARIANTS[0]);
    published(&world.builds(TAG, "1.2.0", &release("1.2.0", "a build")));
    world.server.clear_requests();
    published(&world.promotes(TAG, "production"));
    let reader = Principal::Own("arn:aws:iam::111111111111:role/artifacts-reader".to_owned());
    let none = json!({ "Version": "2012-10-17", "Statement": [] });
    let allowed = |action: &'static str, resource: &str, prefix: Option<&str>| {
        let context = prefix.map(|prefix| ("s3:prefix".to_owned(), prefix.to_owned()));
        let request = Request {
            action,
            resource: format!("arn:aws:s3:::{resource}"),
            context: context.into_iter().collect(),
        };
        iam::allows(&reader, Some(policy), &none, &request)
    };
    let requests = world.server.requests().into_iter().filter(|request| request.bucket == ARTIFACTS);
    let mut counted = 0;
    for request in requests {
        assert_eq!(request.method, "GET");
        counted += 1;
        if request.key.is_empty() {
            assert!(allowed("s3:ListBucket", ARTIFACTS, Some(&prefix("1.2.0"))));
        } else {
            assert!(allowed("s3:GetObject", &format!("{ARTIFACTS}/{}", request.key), None), "{request:?}");
        }
    }
    assert_eq!(counted, 10, "a listing, four tarballs and what lies beside them");
    let tarball = format!("{ARTIFACTS}/{}x.tar.gz", prefix("1.2.0"));
    assert!(!allowed("s3:PutObject", &tarball, None) && !allowed("s3:DeleteObject", &tarball, None));
    assert!(!allowed("s3:GetObject", &format!("{ARTIFACTS}/other/x"), None));
    assert!(!allowed("s3:ListBucket", ARTIFACTS, Some("other/")));
    assert!(!allowed("s3:ListBucket", ARTIFACTS, None));
}

/// Tells what happens, so that whoever is to do it for real can follow. Run it with `--nocapture`.
#[test]
fn rehearsal() {
    let world = World::with_two_keys(VARIANTS[0]);
    let mut scene = 0;
    let mut scene = |text: &str| {
        scene += 1;
        println!("\n{scene}. {text}\n");
    };
    println!(
        "\nA rehearsal of drone/pipelines.yml: its steps run in bash as a Drone runner runs them. An S3 server stands for\n\
         the bucket of the build and for both registries, with a role for each. terraform is the real one."
    );

    scene("A release candidate is tagged. Drone builds it and publishes it to staging.");
    told("git push origin terraform-provider-sample-v1.2.0-rc.1");
    let first = release("1.2.0-rc.1", "the first build");
    published(tell(&world.builds(CANDIDATE, "1.2.0-rc.1", &first)));

    scene("The build is run again, with the same result. Nothing is left to do.");
    told("drone build restart acme/terraform-provider-sample 7");
    let again = world.builds(CANDIDATE, "1.2.0-rc.1", &first);
    assert!(published(tell(&again)).ran.stdout.contains("Already published"));

    scene(
        "The tag is moved, and built again with other contents. In staging it may be: the version is replaced.",
    );
    told("git push --force origin terraform-provider-sample-v1.2.0-rc.1");
    published(tell(&world.builds(CANDIDATE, "1.2.0-rc.1", &release("1.2.0-rc.1", "the second build"))));

    scene(
        "The candidate is promoted to production, by mistake: it is a pre-release, and nobody has named it.",
    );
    told("drone build promote acme/terraform-provider-sample 7 production");
    fails(tell(&world.promotes(CANDIDATE, "production")), &["pre-release"]);
    assert!(world.server.objects(PRODUCTION).is_empty());

    scene("It is promoted by name. The original tarballs give the very zips that staging lists.");
    told(
        "drone build promote acme/terraform-provider-sample 7 production --param=TFREG_ALLOW_PRERELEASE=1.2.0-rc.1",
    );
    let promotion = Build::promotion(CANDIDATE, "production").param("TFREG_ALLOW_PRERELEASE", "1.2.0-rc.1");
    published(tell(&world.run(&promotion)));
    assert_eq!(world.listed(PRODUCTION), world.listed(STAGING));

    scene("Users install it, from staging and from production.");
    for bucket in [STAGING, PRODUCTION] {
        told(&format!("terraform init    # the registry in s3://{bucket}"));
        for line in world.init(bucket, "1.2.0-rc.1").iter().flat_map(|said| said.lines()) {
            if line.contains("sample") {
                println!("  | {line}");
            }
        }
    }

    scene("The release is tagged, built and published to staging.");
    told("git push origin terraform-provider-sample-v1.2.0");
    published(tell(&world.builds(TAG, "1.2.0", &release("1.2.0", "the release"))));
    let original = world.listed(STAGING);

    scene(
        "Somebody builds the tag once more. Staging gets other bits; the bucket of the build keeps the first ones.",
    );
    told("drone build restart acme/terraform-provider-sample 9");
    world.makes(&release("1.2.0", "built twice"));
    published(tell(&world.run(&Build::of_tag(TAG))));
    let rebuilt = world.listed(STAGING);

    scene(
        "The promotion is refused: these are not the bits that were tested. Both hashes are told, nothing is written.",
    );
    told("drone build promote acme/terraform-provider-sample 9 production");
    let before = world.server.objects(PRODUCTION).len();
    let steps = world.promotes(TAG, "production");
    assert_eq!(fails(tell(&steps), &[linux(&original), linux(&rebuilt)]).ran.code, 3);
    assert_eq!(world.server.objects(PRODUCTION).len(), before);

    scene("The original is put back into staging by a promotion, tested there, and promoted.");
    told("drone build promote acme/terraform-provider-sample 9 staging");
    published(tell(&world.promotes(TAG, "staging")));
    told("drone build promote acme/terraform-provider-sample 9 production");
    published(tell(&world.promotes(TAG, "production")));
    assert_eq!(linux(&world.listed(PRODUCTION)), linux(&original));
    world.init(PRODUCTION, "1.2.0");
    println!(
        "\nProduction has 1.2.0-rc.1 and 1.2.0, with the bits that staging had. The rehearsal is over.\n"
    );
    drop(world.staging);
}

fn told(command: &str) {
    println!("  $ {command}");
}

/// Prints what steps have printed, without the runner's echo of their commands and without the lists of objects.
fn tell(steps: &[Step]) -> &[Step] {
    for step in steps {
        let code = step.ran.code;
        println!(
            "  step {}: {}",
            step.name,
            if code == 0 { "done".to_owned() } else { format!("exit code {code}") }
        );
        let left_out = ["+ ", "  + ", "  ~ ", "  = ", "wrote "];
        let said = step.ran.stderr.lines().chain(step.ran.stdout.lines());
        for line in said.filter(|line| !left_out.iter().any(|start| line.starts_with(start))) {
            println!("  | {line}");
        }
    }
    steps
}
