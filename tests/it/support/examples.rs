//! The world in which the examples of `--help` and the commands of the documentation run as they stand.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::archive::write;
use super::child::Running;
use super::clients::{require, require_program};
use super::host::{Certificate, Host};
use super::kms::KmsServer;
use super::s3_server::S3Server;
use super::tunnel::Tunnel;
use super::{Ran, folder, key, publish, ran, run, tarball, testdata, tfreg, tree};

/// The world of an example:
///
/// | what | where |
/// |---|---|
/// | a release of acme/sample 1.2.0 for linux/amd64 and darwin/arm64, with its manifest | `build/`, also as `dist/` |
/// | for `dist/*.tar.gz`, the same for two platforms more | `dist/` |
/// | its documentation | `docs/` |
/// | the test data of this repository | `testdata/` |
/// | the key that signed it, without a passphrase, but for scripts that make one | `key.asc`, `TFREG_SIGNING_KEY` |
/// | a registry with that release (yanked, for `tfreg unyank`), but for scripts with `tfreg publish`, which find an empty place | `site/`, `s3://registry-bucket` |
/// | the same release in another registry, and its tarballs | `s3://staging`, `s3://artifacts/sample/v1.2.0/` |
/// | access logs of a registry | `logs/`, `s3://registry-logs/cdn/` |
/// | `site/` behind a web server, and the other registry | `https://registry.example.com/`, `https://staging.example.com/` |
/// | an S3 server with these buckets, and `production` | the AWS variables |
/// | every role that the script names | at that server |
/// | for `tfreg resign` and `tfreg mirror`, the public half of that key; another key | `public.asc`, `old-public.asc`; `new.asc` |
/// | for `gpg --quick-set-expire` and `gpg --verify`, that key in a key ring | `FINGERPRINT` |
/// | for `gpg --verify`, the record of the publish and its signature | `provenance.json`, `provenance.json.KEYID.sig` |
/// | what pipelines set: a tag, a passphrase (which the key does not need) | `DRONE_TAG`, `TAG`, `PASSPHRASE`, `passphrase.txt`, `TFREG_SIGNING_PASSPHRASE` |
/// | for `awskms:`, a key in AWS KMS | `alias/releases` and `key/1234abcd-12ab-34cd-56ef-1234567890ab` |
/// | a home | `HOME`, the folder itself |
/// | for `tfreg mirror`, another registry with that release; both registries with a network mirror | `https://registry.example.org/` |
/// | stand-ins for programs that reach into the world | `bin/`, see [`STANDINS`] |
///
/// To give examples something more, add it to [`Fixture::new`] and to this table.
pub(crate) struct Fixture {
    root: tempfile::TempDir,
    pub(crate) server: S3Server,
    kms: Option<KmsServer>,
    /// Another registry, and the proxy that leads to it.
    upstream: Option<(Host, Tunnel)>,
}

/// The public addresses of the registry in `site`, and of staging; hosts on this machine stand for them.
const HOST: &str = "https://registry.example.com/";
const STAGING: &str = "https://staging.example.com/";

/// The tag of the release in `build`.
pub(crate) const TAG: &str = "terraform-provider-sample-v1.2.0";

/// The passphrase of the keys that examples make.
const PASSPHRASE: &str = "correct horse";

/// Programs that examples pipe into or call beside tfreg and that this machine must not really run. Each fails unless it is
/// called as it would have to be.
const STANDINS: &[(&str, &str)] = &[(
    "aws",
    r#"#!/bin/bash -eu
case "$*" in
"s3api create-bucket --bucket registry-bucket --region us-east-1") ;;
"cloudformation deploy --stack-name registry"*" --template-file registry.json --capabilities CAPABILITY_IAM"*)
    shift 7
    for override in "${@:3}"; do jq -e --arg name "${override%%=*}" '.Parameters[$name]' registry.json >/dev/null; done
    jq -e .Resources.Distribution registry.json >/dev/null && echo "a stack" ;;
"cloudformation describe-stacks --stack-name registry --query Stacks[0].Outputs --output table") ;;
"acm request-certificate --region us-east-1 --domain-name registry.example.com --validation-method DNS") ;;
"s3api put-bucket-versioning --bucket registry-bucket --versioning-configuration Status=Enabled") ;;
"s3api put-bucket-policy --bucket registry-bucket --policy file://"*) jq -e .Statement "${6#file://}" >/dev/null ;;
"iam put-role-policy --role-name publisher --policy-name tfreg --policy-document file://"*) jq -e .Statement "${8#file://}" >/dev/null ;;
*) exit 1 ;;
esac
"#,
)];

/// Programs of examples that a machine may lack; a script with one of these words is skipped there, and fails in CI.
const PROGRAMS: &[&str] = &["jq", "man", "gpg", "curl", "openssl"];

/// Whether this machine has what `script` runs.
#[track_caller]
pub(crate) fn can_run(script: &str) -> bool {
    let mut needed = PROGRAMS.iter().filter(|program| script.contains(&format!("{program} ")));
    require_program("bash")
        && needed.all(|program| require_program(program))
        && (!script.contains("gpg ") || require_program("gpgconf"))
        && (!script.contains("tfreg serve ")
            || script.contains("--listen")
            || require("a free port 8080", wait_for_port()))
}

impl Fixture {
    pub(crate) fn new(script: &str) -> Self {
        let root = folder();
        let upstream = script.contains("tfreg mirror").then(|| {
            let host =
                Host::with(&root.path().join("upstream"), &Certificate::server_of(&["registry.example.org"]));
            let tunnel = Tunnel::to(host.port());
            (host, tunnel)
        });
        let fixture = Self {
            root,
            upstream,
            server: S3Server::start(&[
                "registry-bucket",
                "staging",
                "artifacts",
                "production",
                "registry-logs",
            ]),
            kms: script.contains("awskms:").then(|| {
                let kms = KmsServer::start();
                let secret = fs::read(key("ed25519.asc")).unwrap();
                kms.alias("releases", &kms.add("1234abcd-12ab-34cd-56ef-1234567890ab", &secret));
                kms
            }),
        };
        fixture.add_release();
        fixture.add_logs(script);
        fixture.add_keys(script);
        if script.contains("--public-key") {
            fixture.add_ready_made();
        }
        if script.contains("dist/*.tar.gz") {
            fixture.add_tarballs();
        }
        fs::create_dir(fixture.path("bin")).unwrap();
        for (name, text) in STANDINS {
            fixture.add_program(name, text);
        }
        let release = [tarball("release-1.2.0", "linux-amd64"), tarball("release-1.2.0", "darwin-arm64")];
        if script.contains("s3://staging") {
            run(publish("s3://staging", &release).envs(fixture.server.envs())).succeeds();
        }
        if script.contains(STAGING) {
            run(&mut publish(fixture.path("staging"), &release)).succeeds();
        }
        if !script.contains("tfreg publish") {
            run(&mut publish(fixture.path("site"), &release)).succeeds();
            run(publish("s3://registry-bucket", &release).envs(fixture.server.envs())).succeeds();
        }
        if fixture.upstream.is_some() {
            run(&mut publish(fixture.path("upstream"), &release)).succeeds();
            for target in [fixture.path("site").to_str().unwrap(), "s3://registry-bucket"] {
                let init = ["init", target, "--base-url", HOST, "--network-mirror"];
                run(tfreg().args(init).envs(fixture.server.envs())).succeeds();
            }
        }
        if script.contains("tfreg unyank") && !script.contains("tfreg yank") {
            for target in [fixture.path("site").to_str().unwrap(), "s3://registry-bucket"] {
                let yank = ["yank", target, "acme/sample", "1.2.0", "--yes"];
                run(tfreg().args(yank).envs(fixture.server.envs())).succeeds();
            }
        }
        if script.contains("gpg --verify") {
            for (path, bytes) in tree(&fixture.path("site")) {
                let name = path.rsplit('/').next().unwrap();
                if name.starts_with("provenance.json") {
                    fs::write(fixture.path(name), bytes).unwrap();
                }
            }
        }
        for word in script.split(|c: char| c.is_whitespace() || c == '"') {
            if word.starts_with("arn:aws:iam::") && word.contains(":role/") {
                fixture.server.add_role(word, &["registry-bucket", "staging", "artifacts", "production"]);
            }
        }
        fixture
    }

    fn add_release(&self) {
        let [build, dist] = ["build", "dist"].map(|name| self.path(name));
        fs::create_dir(&build).unwrap();
        // GoReleaser's name for it.
        std::os::unix::fs::symlink("build", dist).unwrap();
        let copy = |from: PathBuf| fs::copy(&from, build.join(from.file_name().unwrap())).unwrap();
        for platform in ["linux-amd64", "darwin-arm64"] {
            copy(tarball("release-1.2.0", platform));
        }
        copy(testdata("release-1.2.0/terraform-registry-manifest.json"));
        fs::create_dir(self.path("docs")).unwrap();
        fs::write(self.path("docs/index.md"), "# Sample provider\n").unwrap();
        for entry in fs::read_dir(&build).unwrap() {
            let path = entry.unwrap().path();
            let key = format!("sample/v1.2.0/{}", path.file_name().unwrap().to_str().unwrap());
            self.server.put_directly("artifacts", &key, fs::read(path).unwrap());
        }
        std::os::unix::fs::symlink(testdata(""), self.path("testdata")).unwrap();
    }

    /// A release of GoReleaser in `dist`, and the key that has signed it.
    fn add_ready_made(&self) {
        let dist = self.own_dist();
        for (name, bytes) in tree(&testdata("goreleaser-1.2.0")) {
            let earlier = self.path("releases/v1.2.0");
            fs::create_dir_all(&earlier).unwrap();
            fs::write(earlier.join(&name), &bytes).unwrap();
            fs::write(dist.join(name), bytes).unwrap();
        }
        fs::rename(dist.join("public-key.asc"), self.path("release-key.asc")).unwrap();
    }

    /// Tarballs in `dist` for all platforms that GoReleaser builds in the documentation.
    fn add_tarballs(&self) {
        let dist = self.own_dist();
        for (name, bytes) in tree(&testdata("release-1.2.0")) {
            fs::write(dist.join(name), bytes).unwrap();
        }
    }

    /// `dist` as an empty folder of its own.
    fn own_dist(&self) -> PathBuf {
        let dist = self.path("dist");
        fs::remove_file(&dist).unwrap();
        fs::create_dir(&dist).unwrap();
        dist
    }

    fn add_logs(&self, script: &str) {
        if script.contains("tfreg downloads") {
            std::os::unix::fs::symlink(testdata("logs"), self.path("logs")).unwrap();
            for (path, bytes) in tree(&testdata("logs/cdn")) {
                self.server.put_directly("registry-logs", &format!("cdn/{path}"), bytes);
            }
        }
    }

    fn add_keys(&self, script: &str) {
        if !script.contains("--quick-generate-key") {
            fs::copy(key("ed25519.asc"), self.path("key.asc")).unwrap();
            fs::write(self.path("passphrase.txt"), PASSPHRASE).unwrap();
        }
        if script.contains("tfreg resign") || script.contains("tfreg mirror") {
            fs::copy(key("rsa3072.asc"), self.path("new.asc")).unwrap();
            let public = run(tfreg().args(["key", "--public"]).arg(key("ed25519.asc"))).succeeds().stdout;
            for name in ["public.asc", "old-public.asc"] {
                fs::write(self.path(name), &public).unwrap();
            }
        }
        if script.contains("gpg ") {
            fs::create_dir(self.path(".gnupg")).unwrap();
            fs::set_permissions(self.path(".gnupg"), fs::Permissions::from_mode(0o700)).unwrap();
        }
        if script.contains("--quick-set-expire") || script.contains("gpg --verify") {
            run(&mut self.bash("gpg --batch --quiet --import key.asc")).succeeds();
        }
    }

    /// Puts a program into the folder that is searched first.
    pub(crate) fn add_program(&self, name: &str, text: &str) {
        let program = write(&self.path("bin"), name, text);
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.root.path().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// `bash -e` with the built tfreg, in the folder.
    pub(crate) fn bash(&self, script: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_tfreg")).parent().unwrap();
        let mut path = vec![self.path("bin"), binary.to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        let mut command = Command::new("bash");
        // The environment is that of `tfreg()`, without what the machine has set.
        for (name, value) in tfreg().get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .args(["-e", "-u", "-o", "pipefail", "-c", script])
            .current_dir(self.root.path())
            .envs(self.server.envs())
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", self.root.path())
            .env_remove("GNUPGHOME")
            .env("TFREG_SIGNING_KEY", fs::read_to_string(key("ed25519.asc")).unwrap())
            .env("TFREG_SIGNING_PASSPHRASE", "not needed")
            .env("DRONE_TAG", TAG)
            .env("TAG", TAG)
            .env("PASSPHRASE", PASSPHRASE)
            .env("FINGERPRINT", "4E8911C0E0EC692102243A48A7F2BC5B6E845A69")
            .env("MANPAGER", "cat")
            .stdin(Stdio::null());
        if let Some((host, tunnel)) = &self.upstream {
            command.env_remove("TF_CLI_CONFIG_FILE").env("SSL_CERT_FILE", host.certificate());
            tunnel.used_by(&mut command);
        }
        command.envs(self.kms.iter().map(|kms| ("AWS_ENDPOINT_URL_KMS", kms.url())));
        command
    }

    pub(crate) fn run(&self, script: &str) -> Ran {
        self.run_with(script, &[])
    }

    /// Runs a script with more variables.
    pub(crate) fn run_with(&self, script: &str, variables: &[(&str, &str)]) -> Ran {
        let bash = |script: &str| {
            let mut command = self.bash(script);
            command.envs(variables.iter().copied());
            command
        };
        if script.contains("tfreg serve ") {
            // The signal must reach tfreg itself.
            return serve(bash(&script.replacen("tfreg serve ", "exec tfreg serve ", 1)));
        }
        let (address, site) = if script.contains(STAGING) { (STAGING, "staging") } else { (HOST, "site") };
        if !script.contains(address) {
            return run(&mut bash(script));
        }
        let host = Host::of(&self.path(site));
        let at_host = |script: &str| {
            let mut command = bash(&script.replace(address, &host.url()));
            command.env("SSL_CERT_FILE", host.certificate()).env("CURL_CA_BUNDLE", host.certificate());
            run(&mut command)
        };
        // What the script itself publishes to the bucket is what the host serves then.
        match script.rfind(address).and_then(|at| script[..at].rfind('\n')) {
            Some(end) if !self.path(site).exists() => {
                // It may say in settings where that host is.
                let before = run(&mut bash(&script[..end].replace(address, &host.url())));
                if before.code != 0 {
                    return before;
                }
                for (key, object) in self.server.objects("registry-bucket") {
                    let path = self.path(site).join(key);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, object.bytes).unwrap();
                }
                at_host(&script[end..])
            }
            _ => at_host(script),
        }
    }
}

impl Drop for Fixture {
    /// Ends the agent that gpg has started.
    fn drop(&mut self) {
        let home = self.path(".gnupg");
        if home.exists() {
            drop(Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).output());
        }
    }
}

/// Serves until it listens, and is stopped then as by Ctrl-C.
fn serve(mut command: Command) -> Ran {
    let mut child = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    if line.contains("Ctrl-C stops") {
        child.signal(Signal::INT);
    }
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let mut ran = ran(&child.output());
    ran.stdout = line + &rest;
    assert!(ran.stdout.contains("Ctrl-C stops"), "{ran:#?}");
    ran
}

/// The default port of `tfreg serve` may be in use for a while, by another test or by whatever is on this machine.
fn wait_for_port() -> bool {
    let started = Instant::now();
    while std::net::TcpListener::bind("127.0.0.1:8080").is_err() {
        if started.elapsed() > Duration::from_secs(30) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    true
}
