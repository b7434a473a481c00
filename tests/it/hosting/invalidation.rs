//! `--invalidate`: a CloudFront of an emulator is told what has changed, or the user how to tell it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::python;
use crate::support::child::Running;
use crate::support::s3_server::{Action, Matcher, S3Server};
use crate::support::{Ran, folder, key, publish, run, tarballs, tfreg};

/// The emulator; it ends when it is dropped.
struct Emulator {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _child: Running,
    endpoint: String,
    distribution: String,
}

impl Emulator {
    fn start(python: Command) -> Self {
        Self::knowing(python, &[])
    }

    /// One that knows these keys too.
    fn knowing(mut python: Command, keys: &[(&str, &str)]) -> Self {
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hosting/cdn.py"));
        python.args(keys.iter().map(|(id, secret)| format!("{id}:{secret}")));
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

    /// The paths of the last invalidation, of this many.
    fn last(&mut self, count: usize) -> Value {
        let listed = self.ask(&["list"]);
        let all = listed["paths"].as_array().unwrap();
        assert_eq!(all.len(), count, "{listed}");
        assert_eq!(listed["signed_well"], json!(vec![true; count]));
        all[count - 1].clone()
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
        // The root of the host shows discovery, and clients ask for it there.
        paths.push(if base == "/" { "/" } else { "/.well-known/terraform.json" }.to_owned());
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
        late.stdout.contains("Published") && late.stderr.contains("what is in the registry is right"),
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

/// What a result as JSON says that it has changed, but for what never changes again: as paths, with the root for the first page.
fn changed(result: &Value) -> BTreeSet<String> {
    let objects = result["objects"].as_array().unwrap().iter();
    let objects = objects.filter(|object| object["action"] == "created" || object["action"] == "changed");
    let keys = objects.map(|object| object["key"].as_str().unwrap()).filter(|key| !key.starts_with("store/"));
    let mut paths: BTreeSet<String> = keys.map(|key| format!("/{key}")).collect();
    if paths.contains("/index.html") || paths.contains("/.well-known/terraform.json") {
        paths.insert("/".to_owned());
    }
    paths
}

fn set(paths: &Value) -> BTreeSet<String> {
    serde_json::from_value(paths.clone()).unwrap()
}

#[test]
fn every_command_tells_what_it_has_changed() {
    let Some(python) = python() else { return };
    let mut emulator = Emulator::start(python);
    let distribution = emulator.distribution.clone();
    let root = folder();
    let site = root.path().join("site");
    let mut init = tfreg();
    init.arg("init").arg(&site).args([
        "--base-url",
        "https://registry.example.com/",
        "--pages",
        "--network-mirror",
    ]);
    run(&mut init).succeeds();
    let of = |name: &str, args: &[&str]| {
        let mut command = tfreg();
        command.arg(name).arg(&site).arg("acme/sample").args(args);
        command
    };
    let (new, old) = (key("rsa3072.asc"), key("ed25519.asc"));
    let (new, old) = (new.to_str().unwrap(), old.to_str().unwrap());
    let release = publish(&site, &tarballs("release-1.2.0"));
    let mut all = tfreg();
    all.arg("reindex").arg(&site).args(["--all", "--yes"]);
    let commands = [
        release,
        of("warn", &["Old."]),
        of("yank", &["1.2.0", "--yes"]),
        of("unyank", &["1.2.0"]),
        of("resign", &["--signing-key-file", new, "--trust-key", old]),
        of("reindex", &["--yes"]),
        all,
    ];
    let mut root_was_told = false;
    for (at, mut command) in commands.into_iter().enumerate() {
        // What the last two mend.
        match at {
            5 => std::fs::remove_file(site.join("registry/acme/sample/versions")).unwrap(),
            6 => std::fs::remove_file(site.join("index.html")).unwrap(),
            _ => {}
        }
        command.args(["--format", "json", "--invalidate", &distribution]);
        let result = result(&run(&mut emulator.at(command)).succeeds());
        let told = &result["invalidation"];
        assert_eq!(
            (&told["outcome"], &told["distribution"]),
            (&json!("told"), &json!(distribution)),
            "{result}"
        );
        assert!(told["id"].as_str().is_some_and(|id| !id.is_empty()), "{told}");
        assert_eq!(set(&told["paths"]), changed(&result), "{at}");
        assert_eq!(set(&emulator.last(at + 1)), set(&told["paths"]), "{at}");
        root_was_told |= set(&told["paths"]).contains("/index.html");
    }
    assert!(root_was_told);
    let count = 7;

    // Nothing has changed, or would only change.
    let again = of("reindex", &["--yes", "--format", "json", "--invalidate", &distribution]);
    let again = result(&run(&mut emulator.at(again)).succeeds());
    assert_eq!(
        again["invalidation"],
        json!({"outcome": "not_needed", "distribution": distribution, "paths": []})
    );
    let preview = root.path().join("preview");
    let mut dry = of("warn", &["New.", "--format", "json", "--invalidate", &distribution, "--dry-run"]);
    dry.arg(&preview);
    assert_eq!(result(&run(&mut emulator.at(dry)).succeeds())["invalidation"], Value::Null);
    emulator.last(count);

    // CloudFront cannot be asked: the result has the command, which tells it.
    let late = of("warn", &["New.", "--format", "json", "--invalidate", &distribution]);
    let mut late = emulator.at(late);
    let late = result(&run(late.env("AWS_ENDPOINT_URL_CLOUDFRONT", "http://127.0.0.1:1/")).succeeds());
    let told = &late["invalidation"];
    assert_eq!((&late["outcome"], &told["outcome"]), (&json!("changed"), &json!("failed")), "{late}");
    assert!(told["message"].as_str().unwrap().contains(&distribution), "{told}");
    assert_eq!(set(&told["paths"]), changed(&late));
    let words: Vec<&str> = told["command"].as_str().unwrap().split(' ').collect();
    emulator.ask(&words);
    assert_eq!(set(&emulator.ask(&["list"])["paths"][count]), changed(&late));
}

fn result(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn what_a_failed_run_has_written_is_told_too() {
    let Some(python) = python() else { return };
    let server = S3Server::start(&["bucket"]);
    let mut emulator = Emulator::knowing(python, &[(server.access_key(), server.secret_key())]);
    server.fault(Matcher::put().suffix("sample/versions"), Action::AnswerBefore(403, "AccessDenied"));
    let mut command = publish("s3://bucket", &tarballs("release-1.2.0"));
    command.envs(server.envs()).env("AWS_ENDPOINT_URL_CLOUDFRONT", &emulator.endpoint);
    run(command.args(["--invalidate", &emulator.distribution.clone()])).fails(1, &["versions"]);
    let told = set(&emulator.last(1));
    let documents: BTreeSet<String> = server
        .objects("bucket")
        .keys()
        .filter(|key| key.contains("/download/"))
        .map(|key| format!("/{key}"))
        .collect();
    assert_eq!(documents.len(), 4);
    // It was sent; that it was not taken, only the answer says.
    let sent = BTreeSet::from(["/registry/acme/sample/versions".to_owned()]);
    assert_eq!(told, &documents | &sent);
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
