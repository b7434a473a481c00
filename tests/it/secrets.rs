//! Secrets stay secret: no line of a secret key, no passphrase and no AWS secret in anything that tfreg prints or writes,
//! however it ends.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use rustix::process::Signal;

use crate::support::archive::{Archive, write};
use crate::support::child::Running;
use crate::support::s3_server::S3Server;
use crate::support::{Ran, folder, key, publish, run, tarball, tfreg, tree};

/// The texts that must not turn up, with their names.
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    /// Of the Ed25519 key with a passphrase, and of the one without.
    fn new() -> Self {
        let mut secrets = Vec::new();
        for name in ["ed25519.asc", "ed25519-passphrase.asc"] {
            let text = fs::read_to_string(key(name)).unwrap();
            for line in text.lines().filter(|line| line.len() > 8 && !line.contains("-----")) {
                // The beginning of a line could end a message that was cut.
                secrets.push(("the signing key", line[..line.len().min(24)].to_owned()));
            }
        }
        secrets.push(("the passphrase", passphrase()));
        Self(secrets)
    }

    #[track_caller]
    fn are_not_in(&self, row: &str, place: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        for (what, secret) in &self.0 {
            assert!(!text.contains(secret), "{row}: {what} is in {place}: {text}");
        }
    }

    #[track_caller]
    fn are_not_printed(&self, row: &str, ran: Ran) -> Ran {
        self.are_not_in(row, "standard output", ran.stdout.as_bytes());
        self.are_not_in(row, "standard error", ran.stderr.as_bytes());
        ran
    }

    /// Neither in the files of a folder nor in their names.
    #[track_caller]
    fn are_not_written(&self, row: &str, root: &Path) {
        for (name, bytes) in tree(root) {
            self.are_not_in(row, "a file's name", name.as_bytes());
            self.are_not_in(row, &name, &bytes);
        }
    }
}

fn passphrase() -> String {
    fs::read_to_string(key("ed25519-passphrase.txt")).unwrap().trim_end().to_owned()
}

fn key_text(name: &str) -> String {
    fs::read_to_string(key(name)).unwrap()
}

fn linux() -> PathBuf {
    tarball("release-1.2.0", "linux-amd64")
}

/// A publish with the key and the passphrase in the environment, as pipelines give them.
fn publish_from_environment(target: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = tfreg();
    command.arg("publish").arg("--to").arg(target).args(["--namespace", "acme"]).arg(linux());
    command.env("TFREG_SIGNING_KEY", key_text("ed25519-passphrase.asc"));
    command.env("TFREG_SIGNING_PASSPHRASE", passphrase());
    command
}

const WAYS: [&[&str]; 3] = [&["--verbose"], &["--verbose", "--format", "json"], &["--help"]];

#[test]
fn a_publish_tells_none() {
    let secrets = Secrets::new();
    for way in WAYS {
        let row = way.join(" ");
        let root = folder();
        let site = root.path().join("site");
        let ran = run(publish_from_environment(&site).args(way));
        secrets.are_not_printed(&row, ran).succeeds();
        secrets.are_not_written(&row, root.path());
        assert_eq!(site.exists(), !way.contains(&"--help"), "{row}");

        let mut from_files = publish(root.path().join("other"), &[linux()]);
        from_files.args(way).args(["--dry-run"]).arg(root.path().join("preview"));
        secrets.are_not_printed(&row, run(&mut from_files)).succeeds();
        secrets.are_not_written(&row, root.path());
    }
}

#[test]
fn a_publish_to_s3_tells_none() {
    let mut secrets = Secrets::new();
    let server = S3Server::start(&["bucket"]);
    secrets.0.push(("the AWS secret", server.secret_key().to_owned()));
    for (row, target, environment, code) in [
        ("published", "s3://bucket/prefix", None, 0),
        ("nothing to do", "s3://bucket/prefix", None, 0),
        ("no such bucket", "s3://other", None, 1),
        ("unknown access key", "s3://bucket", Some(("AWS_ACCESS_KEY_ID", "unknown")), 1),
        ("no such profile", "s3://bucket", Some(("AWS_PROFILE", "missing")), 1),
    ] {
        for way in [&["--verbose"][..], &["--verbose", "--format", "json"]] {
            let mut command = publish_from_environment(target);
            command.args(way).args(["--contention-timeout", "0"]).envs(server.envs()).envs(environment);
            if row == "no such profile" {
                command.env_remove("AWS_ACCESS_KEY_ID");
            }
            // The SDK's own logs can be asked for by a variable of this name elsewhere; here it must do nothing.
            let ran = run(command.env("RUST_LOG", "trace"));
            assert_eq!(secrets.are_not_printed(row, ran.clone()).code, code, "{row}: {ran:#?}");
        }
    }
    for (name, object) in server.objects("bucket") {
        secrets.are_not_in("published", &name, &object.bytes);
    }
    // A wrong secret is as secret as a right one.
    let wrong = "another-secret-that-must-not-be-printed-either";
    secrets.0.push(("the AWS secret", wrong.to_owned()));
    let mut command = publish_from_environment("s3://bucket");
    command.arg("--verbose").envs(server.envs()).env("AWS_SECRET_ACCESS_KEY", wrong);
    secrets.are_not_printed("wrong secret", run(&mut command)).fails(1, &[]);
}

/// What makes a command fail.
type Change<'a> = &'a dyn Fn(&mut Command) -> &mut Command;

/// Every way of failing that comes after a secret was given.
#[test]
fn failures_tell_none() {
    let secrets = Secrets::new();
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &[linux()])).succeeds();
    let bad = "terraform-provider-sample_1.2.0_linux_arm64.tar.gz";
    let bad = write(root.path(), bad, Archive::new().file("LICENSE", "x").gz());
    let file = write(root.path(), "file", "x");
    let text = key_text("ed25519-passphrase.asc");
    let rows: &[(&str, i32, Change<'_>)] = &[
        ("usage", 2, &|c| c.arg("--unknown")),
        ("bad protocol", 2, &|c| c.args(["--protocol", "4"])),
        ("no jobs", 2, &|c| c.args(["--jobs", "0"])),
        ("bad tarball", 3, &|c| c.arg(&bad).args(["--protocol", "6.0"])),
        ("no tarball", 1, &|c| c.arg("terraform-provider-sample_1.2.0_linux_arm.tar.gz")),
        ("unknown name", 3, &|c| c.arg("notes.txt")),
        ("other platforms", 3, &|c| c.args(["--expect-platform", "linux_arm64"])),
        ("other version", 3, &|c| c.args(["--expect-version", "9.9.9"])),
        ("other protocol", 3, &|c| c.args(["--protocol", "5.0"])),
        ("dry run into a file", 1, &|c| c.arg("--dry-run").arg(&file)),
        ("dry run into the target", 3, &|c| c.arg("--dry-run").arg(&site)),
        ("other contents", 3, &|c| {
            let rebuilt = tarball("release-1.2.0-rebuilt", "linux-amd64");
            c.env("TFREG_SIGNING_KEY", key_text("ed25519.asc")).arg(rebuilt)
        }),
        ("wrong passphrase", 3, &|c| c.env("TFREG_SIGNING_PASSPHRASE", passphrase() + "!")),
        ("no passphrase", 3, &|c| c.env_remove("TFREG_SIGNING_PASSPHRASE")),
        ("no key", 2, &|c| c.env_remove("TFREG_SIGNING_KEY")),
        ("key and passphrase exchanged", 3, &|c| {
            c.env("TFREG_SIGNING_KEY", passphrase()).env("TFREG_SIGNING_PASSPHRASE", &text)
        }),
        ("no key file", 1, &|c| c.args(["--signing-key-file", "missing.asc"])),
        ("a key of no file", 2, &|c| c.args(["--signing-key-file", &text])),
        ("a key of no file, in one line", 2, &|c| c.args(["--signing-key-file", &text.replace('\n', "\\n")])),
        ("a key in place of the passphrase's file", 2, &|c| c.args(["--signing-passphrase-file", &text])),
        ("a passphrase of no file", 1, &|c| c.args(["--signing-passphrase-file", &passphrase()])),
    ];
    for (row, code, change) in rows {
        for format in ["human", "json"] {
            let mut command = publish_from_environment(&site);
            if *row == "other contents" {
                command = tfreg();
                command.arg("publish").arg("--to").arg(&site).args(["--namespace", "acme"]);
            }
            change(command.args(["--verbose", "--format", format]));
            let ran = secrets.are_not_printed(row, run(command.current_dir(root.path())));
            assert_eq!(ran.code, *code, "{row}: {ran:#?}");
        }
    }
    secrets.are_not_written("failures", root.path());
}

/// What the OpenPGP library says of a key that it cannot read must not quote it.
#[test]
fn damaged_keys_are_not_quoted() {
    let secrets = Secrets::new();
    let text = key_text("ed25519.asc");
    let lines: Vec<&str> = text.lines().collect();
    let mut damaged: Vec<(String, String)> = (0..lines.len())
        .map(|n| (format!("without line {n}"), [&lines[..n], &lines[n + 1..]].concat().join("\n")))
        .collect();
    damaged.push(("backslash-n".to_owned(), text.replace('\n', "\\n")));
    damaged.push(("one line".to_owned(), text.replace('\n', "")));
    damaged.push(("a bad letter".to_owned(), lines.join("\n").replacen("lF", "!!", 1)));
    damaged.push(("quoted".to_owned(), format!("\"{text}\"")));
    damaged.push(("half".to_owned(), text[..text.len() / 2].to_owned()));
    damaged.push(("only the body".to_owned(), lines[2..lines.len() - 2].join("\n")));
    for (row, value) in damaged {
        let root = folder();
        let mut command = tfreg();
        command.arg("publish").arg("--to").arg(root.path().join("site")).args(["--namespace", "acme"]);
        let ran = run(command.arg(linux()).args(["--verbose"]).env("TFREG_SIGNING_KEY", &value));
        let ran = secrets.are_not_printed(&row, ran);
        assert!(matches!(ran.code, 0 | 3), "{row}: {ran:#?}");
    }
}

/// A variable that was expanded in the wrong place gives a key to an option, or to a command, that wants something else.
#[test]
fn a_key_in_the_wrong_place_is_neither_told_nor_written() {
    let secrets = Secrets::new();
    let text = key_text("ed25519.asc");
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.contains("---")).collect();
    // The whole, its body, its body in one line, its first and its second line, and as base64.
    let base64 = base64::engine::general_purpose::STANDARD.encode(&text);
    let body = (lines.join("\n"), lines.concat());
    for text in [&text, &body.0, &body.1, lines[0], lines[1], &base64] {
        stays_secret_where_it_does_not_belong(&secrets, text);
    }
}

fn stays_secret_where_it_does_not_belong(secrets: &Secrets, text: &str) {
    let fake = Path::new(text);
    for place in [
        "--namespace",
        "--to",
        "--protocol",
        "--base-url",
        "--expect-version",
        "--expect-platform",
        "--dry-run",
        "--signing-key-file",
        "--signing-passphrase-file",
        "--contention-timeout",
        "--jobs",
        "--format",
        "--unknown",
    ] {
        // Which way it is written matters to the first text only.
        for equals in [false, true].into_iter().take(if text.contains("---") { 2 } else { 1 }) {
            let root = folder();
            let mut command = publish("site", &[linux()]);
            if equals {
                command.arg(format!("{place}={text}"));
            } else {
                command.arg(place).arg(fake);
            }
            let ran = run(command.arg("--verbose").current_dir(root.path()));
            let ran = secrets.are_not_printed(place, ran);
            assert_eq!(ran.code, 2, "{place}: {ran:#?}");
            secrets.are_not_written(place, root.path());
            assert!(fs::read_dir(root.path()).unwrap().next().is_none(), "{place}: something was written");
        }
    }
    for variable in ["TFREG_TO", "TFREG_NAMESPACE", "TFREG_PROTOCOLS", "TFREG_BASE_URL"] {
        let root = folder();
        let mut command = tfreg();
        command.arg("publish").arg(linux()).arg("--signing-key-file").arg(key("ed25519.asc"));
        command.envs([("TFREG_TO", "site"), ("TFREG_NAMESPACE", "acme")]).env(variable, fake);
        let ran = run(command.arg("--verbose").current_dir(root.path()));
        let ran = secrets.are_not_printed(variable, ran);
        assert_eq!(ran.code, 2, "{variable}: {ran:#?}");
        assert!(fs::read_dir(root.path()).unwrap().next().is_none(), "{variable}: something was written");
    }
    for arguments in [&["publish", text][..], &[text], &["serve", text]] {
        secrets.are_not_printed("argument", run(tfreg().args(arguments))).fails(2, &[]);
    }
}

/// A setting of a Drone step that takes no secret gets one, by the step or by an entry of `registries`.
#[test]
fn a_key_in_another_setting_is_neither_told_nor_written() {
    let secrets = Secrets::new();
    let text = key_text("ed25519.asc");
    for (name, value) in [
        ("PLUGIN_SIGNING_KEY_FILE", text.as_str()),
        ("PLUGIN_SIGNING_PASSPHRASE_FILE", &text),
        ("PLUGIN_TO", &text),
        ("PLUGIN_REGISTRIES", r#"[{"to": "site", "signing_key_file": "$THE_KEY"}]"#),
    ] {
        let root = folder();
        let mut command = tfreg();
        command.arg("drone").env("DRONE_TAG", "v1.2.0").env("PLUGIN_TARBALLS", linux()).env("THE_KEY", &text);
        command.env("PLUGIN_NAMESPACE", "acme").env("PLUGIN_TO", "site").env(name, value);
        let ran = secrets.are_not_printed(name, run(command.current_dir(root.path())));
        ran.fails(2, &["holds a secret key (not repeated here)"]);
        assert!(fs::read_dir(root.path()).unwrap().next().is_none(), "{name}: something was written");
    }
}

/// A name that is no file's may be the secret itself.
#[test]
fn a_passphrase_in_place_of_the_keys_file_is_not_told() {
    let secrets = Secrets::new();
    let mut command = tfreg();
    command
        .args(["publish", "--to", "site", "--namespace", "acme", "--signing-key-file", &passphrase()])
        .arg(linux());
    secrets
        .are_not_printed("publish", run(&mut command))
        .fails(1, &["the file that --signing-key-file names"]);
    secrets.are_not_printed("key", run(tfreg().args(["key", &passphrase()]))).fails(1, &["cannot read"]);
}

#[test]
fn long_arguments_are_cut() {
    let long = "x,".repeat(5000);
    let ran = run(tfreg().args(["publish", "--to", "site", "--namespace", "acme", "--jobs", &long]))
        .fails(2, &["(10"]);
    assert!(ran.stderr.len() < 1500, "{ran:#?}");
}

/// A tfreg that has read nothing yet, as another user where this one is root, whom everything would be told.
#[cfg(target_os = "linux")]
fn waiting() -> Running {
    let user = "60124";
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -c unlimited; exec "$@""#, "sh"]);
    if rustix::process::geteuid().is_root() && crate::support::clients::require_program("setpriv") {
        command.args(["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]);
    }
    let root = folder();
    let program = root.path().join("tfreg");
    if fs::hard_link(env!("CARGO_BIN_EXE_tfreg"), &program).is_err() {
        fs::copy(env!("CARGO_BIN_EXE_tfreg"), &program).unwrap();
    }
    fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    command.arg(&program).args(["key", "-"]).env("TFREG_SIGNING_PASSPHRASE", "hush").current_dir("/tmp");
    let child = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()));
    let deadline = Instant::now() + Duration::from_mins(1);
    let limits = format!("/proc/{}/limits", child.id());
    let no_core = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("Max core file size"));
        line.is_some_and(|line| line.split_whitespace().skip(4).take(2).eq(["0", "0"]))
    };
    while !fs::read_to_string(&limits).is_ok_and(|text| no_core(&text)) {
        assert!(Instant::now() < deadline, "core dumps stay allowed");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
#[cfg(target_os = "linux")]
fn other_processes_read_nothing_and_crashes_write_nothing() {
    use std::os::unix::fs::MetadataExt as _;

    if !crate::support::clients::require_program("sh") {
        return;
    }
    // Unlike SIGQUIT, no shell makes its children ignore these; unlike SIGSEGV, the runtime does not handle them.
    for signal in [Signal::ABORT, Signal::TRAP] {
        let mut child = waiting();
        // What belongs to root in /proc is read by root only.
        let environ = format!("/proc/{}/environ", child.id());
        assert_eq!(fs::metadata(&environ).unwrap().uid(), 0, "{environ}");
        if !rustix::process::geteuid().is_root() {
            assert!(fs::read(&environ).is_err());
        }
        child.signal(signal);
        let status = child.wait().unwrap();
        assert_eq!((status.signal(), status.core_dumped()), (Some(signal.as_raw()), false));
    }
}
