//! `tfreg publish --invalidate`: a CloudFront of an emulator is told what has changed, or the user how to tell it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::python;
use crate::support::child::Running;
use crate::support::{publish, run, tarballs, tfreg};

/// The emulator; it ends when it is dropped.
struct Emulator {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _child: Running,
    endpoint: String,
    distribution: String,
}

impl Emulator {
    fn start(mut python: Command) -> Self {
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hosting/cdn.py"));
        let mut child =
            Running::start(python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let (stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Ok(started) = serde_json::from_str::<Value>(&line) else {
            panic!("{line}: {}", String::from_utf8_lossy(&child.output().stderr));
        };
        let text = |name: &str| started[name].as_str().unwrap().to_owned();
        let (endpoint, distribution) = (text("endpoint"), text("distribution"));
        Self { stdin, stdout, _child: child, endpoint, distribution }
    }

    fn ask(&mut self, words: &[&str]) -> Value {
        writeln!(self.stdin, "{}", json!(words)).unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn at(&self, mut command: Command) -> Command {
        command.envs([
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("NO_PROXY", "127.0.0.1"),
        ]);
        command
    }
}

#[test]
fn the_distribution_is_told_what_has_changed() {
    let Some(python) = python() else { return };
    let mut emulator = Emulator::start(python);
    let distribution = emulator.distribution.clone();
    let release = |name: &str| {
        let mut command = publish("s3://registry-bucket/tf", &tarballs(name));
        command.args(["--invalidate", &distribution]);
        command
    };
    let mut first = emulator.at(release("release-1.2.0"));
    let told = run(&mut first).succeeds();
    assert!(told.stderr.contains("asks for 6 documents again"), "{told:#?}");
    let platforms = ["darwin/arm64", "linux/amd64", "linux/arm64", "windows/amd64"];
    let of_version = |base: &str| {
        let download = |platform: &&str| format!("{base}registry/acme/sample/1.2.0/download/{platform}");
        let mut paths = vec![format!("{base}.well-known/terraform.json")];
        paths.extend(platforms.iter().map(download));
        paths.push(format!("{base}registry/acme/sample/versions"));
        paths.sort();
        paths
    };
    // The root of the host is the registry, below the prefix.
    let sorted = |paths: &Value| {
        let mut paths: Vec<String> = serde_json::from_value(paths.clone()).unwrap();
        paths.sort();
        paths
    };
    let listed = emulator.ask(&["list"]);
    assert_eq!(listed["paths"].as_array().unwrap().len(), 1, "one batch: {listed}");
    assert_eq!(sorted(&listed["paths"][0]), of_version("/"));
    assert_eq!(listed["signed_well"], json!([true]));

    // What has not changed is not asked for again.
    run(&mut first).succeeds();
    assert_eq!(emulator.ask(&["list"]), listed);

    // Where the registry is below a path of its host, the settings say so. CloudFront may not be asked, and the message says what to do.
    let mut init = tfreg();
    init.args(["init", "s3://registry-bucket/below", "--base-url", "https://registry.example.com/a/b/"]);
    run(&mut emulator.at(init)).succeeds();
    let mut second = publish("s3://registry-bucket/below", &tarballs("release-1.2.0"));
    second.args(["--invalidate", &format!("arn:aws:cloudfront::123456789012:distribution/{distribution}")]);
    let mut second = emulator.at(second);
    let late = run(second.env("AWS_ENDPOINT_URL_CLOUDFRONT", "http://127.0.0.1:1/")).succeeds();
    assert!(
        late.stdout.contains("Published") && late.stderr.contains("what is published is right"),
        "{late:#?}"
    );
    let command = late.stderr.split('`').find(|text| text.starts_with("aws cloudfront ")).unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    emulator.ask(&words);
    let listed = emulator.ask(&["list"]);
    let all = listed["paths"].as_array().unwrap();
    assert_eq!(all.len(), 2, "{listed}");
    assert!(all.iter().any(|paths| sorted(paths) == of_version("/a/b/")), "{listed}");

    // There is no such distribution.
    let mut other = publish("s3://registry-bucket/other", &tarballs("release-1.2.0"));
    other.args(["--invalidate", "ENOSUCHDISTRIBUTION"]);
    let said = run(&mut emulator.at(other)).succeeds();
    assert!(said.stderr.contains("HTTP status 404 NoSuchDistribution"), "{said:#?}");
    assert!(said.stderr.contains("check the id in --invalidate"), "{said:#?}");
}

#[test]
fn what_is_no_distribution_is_refused() {
    let mut command = publish("site", &tarballs("release-1.2.0"));
    run(command.args(["--invalidate", "d111111abcdef8.cloudfront.net"]))
        .fails(2, &["--invalidate", "EDFDVBD6EXAMPLE"]);
    let mut policy = tfreg();
    policy.args(["policy", "--bucket", "registry-bucket", "--allow-invalidation"]);
    run(policy.args(["--cdn", "arn:aws:iam::123456789012:role/cdn"])).fails(2, &["--cdn"]);
    let distribution = "arn:aws:cloudfront::123456789012:distribution/EDFDVBD6EXAMPLE";
    let mut policy = tfreg();
    policy.args(["policy", "--bucket", "registry-bucket", "--allow-invalidation", "--format", "json"]);
    let printed = run(policy.args(["--cdn", distribution])).succeeds();
    let printed: Value = serde_json::from_str(&printed.stdout).unwrap();
    let statement = printed["publisher_policy"]["Statement"].as_array().unwrap().last().unwrap();
    assert_eq!(statement["Action"], json!(["cloudfront:CreateInvalidation"]));
    assert_eq!(statement["Resource"], json!([distribution]));
}
