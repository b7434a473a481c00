//! `tfreg downloads`: its counts beside those of another program, on logs that a script makes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::archive::write;
use crate::support::child::Running;
use crate::support::clients::{Terraform, require_program};
use crate::support::host::Host;
use crate::support::s3_server::S3Server;
use crate::support::{Ran, folder, publish, ran, run, tarball, testdata, tfreg, tree};

fn downloads(logs: &Path, args: &[&str]) -> Ran {
    run(tfreg().arg("downloads").arg(logs).args(args))
}

fn json_of(logs: &Path, args: &[&str]) -> Value {
    let ran = downloads(logs, &[&["--format", "json"], args].concat()).succeeds();
    let mut value: Value = serde_json::from_str(&ran.stdout).unwrap();
    value.as_object_mut().unwrap().remove("duration_ms").unwrap();
    value
}

/// Logs with this many requests, in folders of both formats and both versions.
fn make(folder: &Path, requests: usize) {
    let made =
        run(Command::new("python3").arg(testdata("make-logs.py")).arg(folder).arg(requests.to_string()));
    made.succeeds();
}

#[test]
fn the_counts_are_those_of_another_program() {
    if !require_program("python3") {
        return;
    }
    let root = folder();
    make(root.path(), 60_000);
    let counted = run(Command::new("python3").arg(testdata("count-logs.py")).arg(root.path())).succeeds();
    let ran = downloads(root.path(), &["--by", "version,platform,client,day", "--csv"]).succeeds();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(ran.stdout.lines().next(), counted.stdout.lines().next());
    let (expected, found) = (lines(&counted.stdout), lines(&ran.stdout));
    assert!(expected.len() > 500, "{}", expected.len());
    let differ: Vec<_> = expected.symmetric_difference(&found).take(10).collect();
    assert!(differ.is_empty() && ran.stdout.lines().count() == found.len(), "{differ:#?}");
    let malformed = counted.stderr.trim().strip_prefix("malformed ").unwrap();
    assert!(malformed.parse::<u64>().unwrap() > 10, "{malformed}");
    assert!(ran.stderr.contains(&format!("{malformed} lines are not understood")), "{ran:#?} {malformed}");

    // However many files are read at once.
    let all = json_of(root.path(), &["--by", "day"]);
    assert_eq!(json_of(root.path(), &["--by", "day", "--jobs", "1"]), all);
    // Days are counted from their beginning on.
    let rows = all["rows"].as_array().unwrap();
    let since: u64 = rows.iter().filter(|row| row["day"].as_str() >= Some("2026-01-31")).map(count).sum();
    assert!(since > 0 && since < all["downloads"].as_u64().unwrap());
    assert_eq!(json_of(root.path(), &["--since", "2026-01-31"])["downloads"], since);
}

fn count(row: &Value) -> u64 {
    row["downloads"].as_u64().unwrap()
}

#[test]
fn the_script_makes_the_logs_of_the_test_data() {
    if !require_program("python3") {
        return;
    }
    let root = folder();
    make(root.path(), 150);
    let all = ["--by", "version,platform,client,day"];
    assert_eq!(
        tree(root.path()).keys().collect::<Vec<_>>(),
        tree(&testdata("logs")).keys().collect::<Vec<_>>()
    );
    let counted = |folder: &Path| {
        let mut value = json_of(folder, &all);
        // The compressed ones depend on zlib; what is in them does not.
        value["rows"].take()
    };
    assert_eq!(counted(root.path()), counted(&testdata("logs")));
}

#[test]
fn people_get_a_table_and_what_is_missing() {
    insta::assert_snapshot!(downloads(Path::new("testdata/logs"), &[]).succeeds().stdout);
    insta::assert_snapshot!(
        downloads(Path::new("testdata/logs"), &["--by", "client", "--since", "2026-01-31"]).succeeds().stdout
    );
    let quiet = downloads(Path::new("testdata/logs"), &["--quiet"]).succeeds();
    assert!(quiet.stderr.is_empty() && quiet.stdout.trim_start().starts_with("PROVIDER"), "{quiet:#?}");
}

#[test]
fn a_terminal_has_bars() {
    if !require_program("script") {
        return;
    }
    let command = format!("'{}' downloads testdata/logs", env!("CARGO_BIN_EXE_tfreg"));
    let shown =
        run(Command::new("script").args(["-qec", &command, "/dev/null"]).env("TERM", "xterm")).succeeds();
    assert!(shown.stdout.contains("██"), "{shown:#?}");
    assert!(!downloads(Path::new("testdata/logs"), &[]).succeeds().stdout.contains('█'));
}

#[test]
fn logs_in_a_bucket_are_read_as_those_in_files() {
    let server = S3Server::start(&["registry-logs"]);
    server.set_page_size(2);
    for (path, bytes) in tree(&testdata("logs")) {
        server.put_directly("registry-logs", &format!("some/prefix/{path}"), bytes);
    }
    server.put_directly("registry-logs", "some/prefix-2/x", "no log\n");
    let place = "s3://registry-logs/some/prefix/";
    let ran = run(tfreg().args(["downloads", place, "--format", "json"]).envs(server.envs())).succeeds();
    let mut found: Value = serde_json::from_str(&ran.stdout).unwrap();
    found.as_object_mut().unwrap().remove("duration_ms");
    assert_eq!(found, json_of(&testdata("logs"), &[]));
    // tfreg's own requests name it, so that they can be told from those of users.
    let agents: Vec<String> =
        server.requests().iter().map(|request| request.headers["user-agent"].clone()).collect();
    assert!(
        agents.len() > 6 && agents.iter().all(|agent| agent.split(' ').any(|word| word == "app/tfreg")),
        "{agents:?}"
    );

    let both =
        run(tfreg().args(["downloads", place, "testdata/logs", "--format", "json"]).envs(server.envs()));
    let both: Value = serde_json::from_str(&both.succeeds().stdout).unwrap();
    assert_eq!(both["downloads"], 2 * found["downloads"].as_u64().unwrap());
    run(tfreg().args(["downloads", "s3://registry-logs/other/"]).envs(server.envs()))
        .refused("a prefix without logs", &["no log is there", "s3://registry-logs/other/"]);
}

#[test]
fn bad_logs_are_told_of_and_do_not_end_it() {
    let root = folder();
    let logs = root.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let good = fs::read(testdata("logs/cdn/EDFDVBD6EXAMPLE.2026-01-28-00.a1b2c3d4.gz")).unwrap();
    write(&logs, "1-cut.gz", &good[..good.len() / 2]);
    write(&logs, "2.parquet", "PAR1....");
    write(&logs, "3.txt", "Dear diary,\n\x1b[31m\n");
    write(&logs, "4.gz", &good);
    let ran = downloads(&logs, &["--format", "json"]).succeeds();
    for said in [
        "1-cut.gz: not read to its end",
        "2.parquet: not read",
        "it is Parquet",
        "3 lines are not understood",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {ran:#?}");
    }
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&value["files"], &value["malformed_lines"]), (&json!(4), &json!(3)));
    assert_eq!(value["damaged_files"].as_array().unwrap().len(), 2);
    assert!(value["downloads"].as_u64() >= json_of(&logs.join("4.gz"), &[])["downloads"].as_u64());

    downloads(&root.path().join("none"), &[]).fails(1, &["cannot read", "none"]);
    fs::create_dir(root.path().join("empty")).unwrap();
    downloads(&root.path().join("empty"), &[]).refused("an empty folder", &["no log is there"]);
    for (args, said) in [
        (&["--csv", "--format", "json"][..], "--csv and --format json"),
        (&["--by", "version,day,version"], "--by: version is named twice"),
        (&["--by", "moon"], "version, platform, client, day"),
        (&["--since", "yesterday"], "expected a date"),
    ] {
        downloads(&logs, args).fails(2, &[said]);
    }
    run(tfreg().arg("downloads")).fails(2, &["LOGS"]);
}

/// The user agents of real clients are told from those of others.
#[test]
fn the_real_terraform_is_told() {
    if !require_program("terraform") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
    let host = Host::of(&site);
    Terraform::over(&host, "1.2.0").run(&["init"]).succeeds();
    run(tfreg().args(["verify", &host.url(), "acme/sample"]).env("SSL_CERT_FILE", host.certificate()))
        .succeeds();
    let mut lines = vec!["#Fields: date time cs-method cs-uri-stem sc-status cs(User-Agent)\n".to_owned()];
    lines.extend(host.heard().iter().map(|heard| {
        let agent = heard.headers["user-agent"].replace(' ', "%20");
        format!("2026-01-01\t00:00:00\t{}\t{}\t200\t{agent}\n", heard.method, heard.path)
    }));
    let log = write(root.path(), "log", lines.concat());
    let told = json_of(&log, &["--by", "client"]);
    assert_eq!(
        told["rows"],
        json!([{ "provider": "acme/sample", "client": "Terraform", "downloads": 1 }]),
        "{told:#}"
    );
    assert_eq!(told["not_counted"]["by_tfreg"], 1, "{told:#}");
}

/// Standard output that cannot be written is a failure, and a reader that has had enough is none.
#[test]
fn csv_that_cannot_be_written_is_a_failure() {
    let mut command = tfreg();
    command.args(["downloads", "testdata/logs", "--csv"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    let child = Running::start(command.stdout(full).stderr(Stdio::piped()));
    ran(&child.output()).fails(1, &["cannot write the result to standard output"]);
}
