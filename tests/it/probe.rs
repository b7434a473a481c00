//! `--probe-protocol`: what the executable for this machine answers, and that nothing of it is left.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tfreg::content::Scratch;
use tfreg::error::Error;
use tfreg::package::{BuildOptions, PackageSet};
use tfreg::probe::{Options, Outcome, Probe, probe};
use tfreg::release::archive::Limits;
use tfreg::release::file::ArtifactFile;
use tfreg::release::{Expected, Release};

use crate::support::archive::{Archive, write};
use crate::support::child::Running;
use crate::support::clients::require_program;
use crate::support::programs::unshared;
use crate::support::{Ran, folder, publish, ran, run, tarball, tree};

const MISLABELLED: &str = "the plugin protocol is mislabelled";
const NO_PLUGIN: &str = "the executable does not answer as a plugin";

/// This machine's platform, in Go's words.
fn host() -> (&'static str, &'static str) {
    let os = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        arch => arch,
    };
    (os, arch)
}

/// A place for a test: a tarball, a registry to be, and the temporary folder of the run.
struct Case {
    root: TempDir,
    site: PathBuf,
    temporary: PathBuf,
}

impl Case {
    fn new() -> Self {
        let root = folder();
        let (site, temporary) = (root.path().join("site"), root.path().join("tmp"));
        fs::create_dir(&temporary).unwrap();
        Self { root, site, temporary }
    }

    /// What a plugin has left in its folder; waits for it.
    #[track_caller]
    fn book(&self) -> String {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let folders = fs::read_dir(&self.temporary).unwrap().map(|entry| entry.unwrap().path());
            let mut books = folders.filter_map(|folder| fs::read_to_string(folder.join("book")).ok());
            if let Some(book) = books.find(|book| !book.is_empty()) {
                return book;
            }
            assert!(Instant::now() < deadline, "it was not started");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A tarball with this executable, for this machine.
    fn tarball_of(&self, executable: &[u8]) -> PathBuf {
        let (os, arch) = host();
        let name = format!("terraform-provider-sample_1.2.0_{os}_{arch}.tar.gz");
        write(self.root.path(), &name, Archive::new().file("terraform-provider-sample", executable).gz())
    }

    /// A tarball with a plugin of `plugin.c`.
    fn plugin(&self, mode: &str) -> PathBuf {
        self.plugin_with(mode, &[])
    }

    fn plugin_with(&self, mode: &str, defines: &[String]) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/plugin.c");
        let executable = self.root.path().join("plugin");
        let mut cc = Command::new("cc");
        cc.arg(format!("-DMODE={mode}")).args(defines);
        run(cc.arg("-o").arg(&executable).arg(source)).succeeds();
        self.tarball_of(&fs::read(executable).unwrap())
    }

    /// `tfreg publish --probe-protocol`
    fn publish(&self, tarball: PathBuf, protocols: &str) -> Command {
        let mut command = publish(&self.site, &[tarball]);
        command.args(["--probe-protocol", "--protocol", protocols]).env("TMPDIR", &self.temporary);
        command
    }

    /// Refused, with nothing written and nothing left.
    #[track_caller]
    fn refused(&self, row: &str, ran: Ran, texts: &[&str]) -> Ran {
        let ran = ran.refused(row, texts).refused(row, &["terraform-provider-sample"]);
        assert!(!self.site.exists(), "{row}: something was written");
        self.nothing_is_left(row);
        ran
    }

    #[track_caller]
    fn nothing_is_left(&self, row: &str) {
        let left: Vec<_> =
            fs::read_dir(&self.temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{row}: {left:?}");
    }

    /// Waits until no process is in the plugin's folder; they have been killed, so that takes no time. Linux only tells.
    #[track_caller]
    fn nobody_lives(&self, row: &str) {
        let deadline = Instant::now() + Duration::from_secs(5);
        let lives = || {
            let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
            let mut folders = processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
            folders.any(|folder| folder.starts_with(&self.temporary))
        };
        while lives() {
            assert!(Instant::now() < deadline, "{row}: a process lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether the plugins can be built here.
#[track_caller]
fn can_build() -> bool {
    require_program("cc")
}

/// Asks by the library, with little patience.
fn ask(tarball: &Path, protocol: &str, patience: Duration) -> Result<Probe, Error> {
    let release = Release::open(vec![ArtifactFile::at(tarball)], &Expected::default()).unwrap();
    let protocols = tfreg::provider::Protocols::new(protocol.split(',').map(|p| p.parse().unwrap()));
    let options = BuildOptions { limits: Limits::default(), jobs: 1, protocols, scratch: Scratch::default() };
    let packages = PackageSet::build(release, &options, &|_, _| {}).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let launcher = env!("CARGO_BIN_EXE_tfreg").into();
    runtime.block_on(probe(&packages, &Options { patience, launcher }))
}

/// The sample provider for this machine; it answers on Linux only.
fn sample(release: &str) -> PathBuf {
    tarball(release, &format!("linux-{}", host().1))
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_declared_rightly_is_published() {
    let case = Case::new();
    let platform = format!("{}_{}", host().0, host().1);
    let line = format!("\n{platform} speaks plugin protocol 6, as declared\n");
    let mut command = case.publish(sample("release-1.2.0"), "6.0");
    let dry = case.root.path().join("dry");
    let planned = run(command.arg("--dry-run").arg(&dry)).succeeds();
    assert!(planned.stdout.contains(&line), "{planned:#?}");
    let published = run(&mut case.publish(sample("release-1.2.0"), "6.0")).succeeds();
    assert!(published.stdout.contains(&line) && !published.stderr.contains("warning"), "{published:#?}");
    let again = run(case.publish(sample("release-1.2.0"), "6.0").args(["--format", "json"])).succeeds();
    let probe = &json(&again)["probe"];
    assert_eq!(*probe, serde_json::json!({ "platform": platform, "protocol": 6 }));
    let again = run(&mut case.publish(sample("release-1.2.0"), "6.0")).succeeds();
    assert!(again.stdout.contains(&line), "{again:#?}");
    let without = run(publish(&case.site, &[sample("release-1.2.0")]).args(["--format", "json"])).succeeds();
    assert_eq!(json(&without).get("probe"), None);
    case.nothing_is_left("published");
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_declared_wrongly_is_refused() {
    let case = Case::new();
    // Away from the manifest that is beside it, which is right.
    let original = sample("release-1.2.0");
    let copy = case.root.path().join(original.file_name().unwrap());
    fs::copy(original, &copy).unwrap();
    let texts =
        [MISLABELLED, "the executable speaks protocol 6", "5.0 (declared by --protocol)", "correct the"];
    let refused = run(&mut case.publish(copy.clone(), "5.0"));
    case.refused("5.0", refused, &texts);
    // A client that speaks 5 only would take it at its word.
    let refused = run(&mut case.publish(copy.clone(), "5.0,6.0"));
    let texts = [MISLABELLED, "offered protocol 5 alone", "speaks protocol 6", "5.0, 6.0 (declared by"];
    case.refused("5.0, 6.0", refused, &texts);
    let dry = case.root.path().join("dry");
    let refused =
        run(case.publish(copy.clone(), "5.0").arg("--dry-run").arg(&dry).args(["--format", "json"]));
    assert_eq!((refused.code, json(&refused)["outcome"].as_str()), (3, Some("refused")), "{refused:#?}");
    assert!(!dry.exists());

    let manifest = r#"{"version": 1, "metadata": {"protocol_versions": ["5.0"]}}"#;
    write(case.root.path(), "terraform-registry-manifest.json", manifest);
    let refused = run(&mut case.publish(copy, "5.0"));
    case.refused("two declare it", refused, &["5.0 (declared by --protocol and 1 more)"]);
}

#[test]
fn a_release_without_this_platform_is_not_checked() {
    let case = Case::new();
    let mut command = case.publish(tarball("release-1.2.0", "windows-amd64"), "6.0");
    let published = run(&mut command).succeeds();
    let text = "the plugin protocol is not checked: the release has no executable for";
    assert!(published.stderr.contains(&format!("warning: {text}")), "{published:#?}");
    assert!(!published.stdout.contains("speaks"), "{published:#?}");
    let again = json(&run(command.args(["--format", "json"])).succeeds());
    assert_eq!(again["probe"]["platform"], format!("{}_{}", host().0, host().1));
    assert!(again["probe"]["unchecked"].as_str().unwrap().starts_with("the release has no executable for"));
    assert!(again["probe"].get("protocol").is_none());
    assert!(again["warnings"][0].as_str().unwrap().starts_with(text), "{again:#}");
}

#[test]
fn every_declared_protocol_is_asked_for() {
    if !can_build() {
        return;
    }
    for (mode, protocols, expected) in [
        ("both", "5.0,6.0", Ok(6)),
        ("both", "6.0", Ok(6)),
        // Clients offer both, and get 6.
        ("both", "5.0", Err("the executable speaks protocol 6")),
        ("only_five", "5.1", Ok(5)),
        ("only_five", "6.0", Err("the executable speaks protocol 5")),
        ("only_five", "5.0,6.0", Err("offered protocol 6 alone, the executable speaks protocol 5")),
    ] {
        let case = Case::new();
        let found = ask(&case.plugin(mode), protocols, Duration::from_secs(10));
        match (found, expected) {
            (Ok(found), Ok(major)) => assert_eq!(found.outcome, Outcome::Speaks(major), "{mode} {protocols}"),
            (Err(Error::Refused(refusal)), Err(text)) => {
                assert_eq!((refusal.problem.as_str(), refusal.found.as_str()), (MISLABELLED, text));
            }
            (found, _) => panic!("{mode} {protocols}: {found:?}"),
        }
    }
}

#[test]
fn what_does_not_answer_is_refused() {
    if !can_build() {
        return;
    }
    for (mode, texts) in [
        // Its control characters reach no terminal.
        (
            "exits",
            &["exit status: 7", "standard error:", "            first\n", "\\u{1b}[31m/etc/sample\n"][..],
        ),
        ("crashes", &["no answer; it ended with signal: 9"]),
        ("garbage", &["the answer \"hello\": it does not begin"]),
        ("no_line_end", &["without a line end: \"1|6|unix|/tmp/x|grpc|\"; it ended with exit status: 0"]),
        ("endless", &["an answer without a line end: \"xxxx", "xxxx\"…"]),
        ("escapes", &["exit status: 4"]),
    ] {
        let case = Case::new();
        let refused = run(&mut case.publish(case.plugin(mode), "6.0"));
        let form = [NO_PLUGIN, "1|MAJOR|unix or tcp|ADDRESS|grpc|…", "within 10 s"];
        let remedy = ["by hand, with TF_PLUGIN_MAGIC_COOKIE=d602", "without --probe-protocol"];
        let refused = case.refused(mode, refused, &[texts, &form, &remedy].concat());
        assert!(refused.stderr.len() < 4000, "{mode}: {refused:#?}");
    }
}

#[test]
fn what_is_silent_is_stopped() {
    if !can_build() {
        return;
    }
    let case = Case::new();
    let before = Instant::now();
    let refused = ask(&case.plugin("silent"), "6.0", Duration::from_millis(700)).unwrap_err();
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    let text = refused.to_string();
    assert!(text.contains(NO_PLUGIN) && text.contains("no answer in 0.7 s"), "{text}");
    assert!(text.contains("waiting"), "{text}");
    case.nobody_lives("silent");
}

/// Linux starts no file that is open for writing.
#[test]
#[cfg(target_os = "linux")]
fn an_executable_that_is_being_written_is_waited_for() {
    use std::io::{BufRead as _, BufReader};

    let folder = folder();
    let executable = folder.path().join("true");
    fs::copy("/bin/true", &executable).unwrap();
    let writer = fs::OpenOptions::new().append(true).open(&executable).unwrap();
    let (word, pipe) = std::io::pipe().unwrap();
    let mut launcher = Command::new(env!("CARGO_BIN_EXE_tfreg"));
    launcher
        .args(["__probe", "-"])
        .args([folder.path(), Path::new("true")])
        .current_dir(folder.path())
        .stdin(pipe);
    let child = Running::start(&mut launcher);
    drop(launcher);
    let mut words = BufReader::new(word).lines();
    words.next().unwrap().unwrap();
    drop(writer);
    assert!(words.next().is_none(), "it was not started");
    assert!(child.output().status.success());
}

/// As whom tfreg is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    /// The user of this test.
    Itself,
    /// A user without any rights.
    AnotherUser,
    /// Root of a container that has taken all capabilities away.
    RootWithout,
}

const ANOTHER_USER: u32 = 60_123;

#[test]
#[cfg(target_os = "linux")]
fn a_hostile_executable_gets_at_nothing() {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    if !can_build() || !require_program("sh") {
        return;
    }
    let root = rustix::process::geteuid().is_root();
    let identities: &[As] = if root && require_program("setpriv") {
        &[As::Itself, As::AnotherUser, As::RootWithout]
    } else {
        &[As::Itself]
    };
    for identity in identities {
        let case = Case::new();
        let place = case.root.path();
        let network = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = place.join("socket");
        let _local = UnixListener::bind(&socket).unwrap();
        let secret_key = place.join("key.asc");
        fs::copy(crate::support::key("ed25519.asc"), &secret_key).unwrap();
        let port = network.local_addr().unwrap().port();
        let defines = [
            format!("-DKEY=\"{}\"", secret_key.display()),
            format!("-DSOCKET=\"{}\"", socket.display()),
            format!("-DPORT={port}"),
        ];
        let tarball = case.plugin_with("steals", &defines);
        let program = place.join("tfreg");
        if fs::hard_link(env!("CARGO_BIN_EXE_tfreg"), &program).is_err() {
            fs::copy(env!("CARGO_BIN_EXE_tfreg"), &program).unwrap();
        }
        if *identity == As::AnotherUser {
            fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
            for path in [&secret_key, &case.temporary, &place.to_owned(), &socket] {
                std::os::unix::fs::chown(path, Some(ANOTHER_USER), Some(ANOTHER_USER)).unwrap();
            }
        }
        fs::set_permissions(&secret_key, fs::Permissions::from_mode(0o600)).unwrap();
        // A shell with the same variables is above tfreg, as in a pipeline.
        let publish = |tarball: &Path| {
            let mut command = Command::new("sh");
            command.args(["-c", r#""$@"; exit $?"#, "sh"]);
            match identity {
                As::Itself => {}
                As::AnotherUser => {
                    let user = ANOTHER_USER.to_string();
                    command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
                }
                As::RootWithout => {
                    command.args(["setpriv", "--bounding-set=-all", "--inh-caps=-all"]);
                }
            }
            command.arg(&program).args(["publish", "--to"]).arg(&case.site);
            command.args([
                "--namespace",
                "acme",
                "--protocol",
                "6.0",
                "--probe-protocol",
                "--signing-key-file",
            ]);
            command.arg(&secret_key).arg(tarball).env("TMPDIR", &case.temporary).current_dir(place);
            run(command
                .envs([("TFREG_SIGNING_PASSPHRASE", "hush"), ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")]))
        };
        let row = format!("{identity:?}");
        let refused = publish(&tarball).refused(&row, &[NO_PLUGIN, "exit status: 7"]);
        let told = refused.stderr.split("on its standard error:\n").nth(1).unwrap();
        let told: Vec<&str> =
            told.lines().map(str::trim).take_while(|line| !line.starts_with("expected:")).collect();
        let confined = publish(&case.plugin("both")).succeeds();
        if confined.stderr.contains("was not confined") {
            assert!(std::env::var_os("CI").is_none(), "{row}: this machine should confine: {confined:#?}");
            eprintln!("*** SKIPPED: this machine cannot confine what is probed: {}", confined.stderr);
            return;
        }
        assert_eq!(told, ["tried all"], "{row}");
        case.nothing_is_left(&row);
    }
}

#[test]
fn what_logs_much_is_heard() {
    if !can_build() {
        return;
    }
    let case = Case::new();
    let found = ask(&case.plugin("noisy"), "6.0", Duration::from_secs(10)).unwrap();
    assert_eq!(found.outcome, Outcome::Speaks(6));
}

#[test]
fn what_it_has_started_is_killed_too() {
    if !can_build() {
        return;
    }
    for (mode, protocols, code) in [("family", "6.0", 0), ("family", "5.0", 3), ("orphan", "6.0", 3)] {
        let case = Case::new();
        let published = run(&mut case.publish(case.plugin(mode), protocols));
        assert_eq!(published.code, code, "{mode}: {published:#?}");
        case.nobody_lives(mode);
        case.nothing_is_left(mode);
    }
}

#[test]
fn an_interrupt_stops_it() {
    if !can_build() {
        return;
    }
    for signal in [Signal::INT, Signal::TERM] {
        let case = Case::new();
        let mut command = case.publish(case.plugin("silent"), "6.0");
        let child = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        assert_eq!(case.book(), "held");
        child.signal(signal);
        let before = Instant::now();
        let interrupted = ran(&child.output()).fails(1, &["error: interrupted"]);
        assert!(before.elapsed() < Duration::from_secs(5), "{signal:?}: {interrupted:#?}");
        case.nobody_lives("interrupted");
        case.nothing_is_left("interrupted");
        assert!(!case.site.exists());
    }
}

#[test]
fn it_gets_nothing_of_this_process() {
    if !can_build() {
        return;
    }
    let case = Case::new();
    let secrets = [
        ("TFREG_SIGNING_KEY", "not-a-key-but-secret"),
        ("TFREG_SIGNING_PASSPHRASE", "hush"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
        ("AWS_SESSION_TOKEN", "token"),
        ("LD_LIBRARY_PATH", "/nowhere"),
        ("TF_LOG", "TRACE"),
        ("DRONE_TOKEN", "drone"),
    ];
    let lines = |book: &str, kind: &str| -> Vec<String> {
        book.lines().filter_map(|line| line.strip_prefix(kind)).map(str::to_owned).collect()
    };
    let tarball = case.plugin("tells");
    // Whoever started this test may have left files open, which go to every child.
    run(Command::new(case.root.path().join("plugin")).current_dir(case.root.path())).succeeds();
    let files = lines(&fs::read_to_string(case.root.path().join("book")).unwrap(), "fd ");
    // So that another user can come by the folder's path, which is the usual case in /tmp.
    fs::set_permissions(case.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The key comes from its file, which goes before the variable.
    let mut command = case.publish(tarball, "6.0");
    command.envs(secrets).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = Running::start(&mut command);
    let book = case.book();
    let lines = |kind: &str| lines(&book, kind);
    child.signal(Signal::TERM);
    ran(&child.output()).fails(1, &["error: interrupted"]);
    let mut variables = lines("env ");
    // macOS adds one of its own.
    variables.retain(|variable| !variable.starts_with("__CF"));
    variables.sort();
    let private = lines("cwd ").pop().unwrap();
    let cookie = "TF_PLUGIN_MAGIC_COOKIE=d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";
    let home = variables.iter().find_map(|variable| variable.strip_prefix("HOME=")).unwrap().to_owned();
    assert_eq!(
        variables,
        [
            &format!("HOME={home}"),
            "PATH=/usr/bin:/bin",
            "PLUGIN_MAX_PORT=25000",
            "PLUGIN_MIN_PORT=10000",
            "PLUGIN_PROTOCOL_VERSIONS=5,6",
            cookie,
            &format!("TMPDIR={home}"),
        ]
    );
    // Spelled alike, but for the links of a path that getcwd resolves.
    assert!(private.ends_with(home.rsplit('/').next().unwrap()), "{private} {home}");
    assert!(Path::new(&home).starts_with(&case.temporary), "{home}");
    assert_eq!((lines("stdin "), lines("leads ")), (vec!["0".to_owned()], vec!["1".to_owned()]));
    assert_eq!(lines("fd "), files, "a file of tfreg is open");
    case.nothing_is_left("tells");
}

#[test]
fn a_long_temporary_folder_has_room_for_a_socket() {
    if !can_build() {
        return;
    }
    let case = Case::new();
    let long = case.temporary.join("a-workspace-of-a-runner".repeat(4));
    fs::create_dir(&long).unwrap();
    run(case.publish(case.plugin("listens"), "6.0").env("TMPDIR", &long)).succeeds();
    assert_eq!(tree(&long).len(), 0);
}

#[test]
fn what_cannot_run_here_is_not_checked() {
    if !can_build() {
        return;
    }
    let warned = |case: &Case, executable: PathBuf, texts: &[&str]| {
        let published = run(&mut case.publish(executable, "6.0")).succeeds();
        for text in texts.iter().chain(&["warning: the plugin protocol is not checked: "]) {
            assert!(published.stderr.contains(text), "expected {text:?}: {published:#?}");
        }
        case.nothing_is_left(texts[0]);
    };
    let case = Case::new();
    warned(&case, case.plugin("no_libraries"), &["exit status: 127", "shared libraries: libsample.so"]);
    if cfg!(target_os = "linux") {
        let case = Case::new();
        case.plugin("both");
        let good = fs::read(case.root.path().join("plugin")).unwrap();
        let (loader, none) = (b"/ld-linux", b"/xx-xxxxx");
        let at = good.windows(loader.len()).position(|bytes| bytes == loader).unwrap();
        let mut bad = good;
        bad[at..at + none.len()].copy_from_slice(none);
        warned(&case, case.tarball_of(&bad), &["its loader is not on this machine"]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_starts_nothing_is_explained() {
    let case = Case::new();
    let mount = "mount -t tmpfs -o noexec none $TMPDIR";
    let Some(mut command) = unshared(mount, r#"exec "$@""#) else { return };
    command.env("TMPDIR", &case.temporary);
    let publish = case.publish(sample("release-1.2.0"), "6.0");
    command.arg(publish.get_program()).args(publish.get_args());
    let published = run(&mut command).succeeds();
    assert!(
        published.stderr.contains("is not checked") && published.stderr.contains("noexec"),
        "{published:#?}"
    );
}
