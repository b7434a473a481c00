//! The examples of every command's `--help`, run as they stand; completions and man pages.
//!
//! The commands are found by walking `--help` from the root, so a new one is covered as soon as it is there. It must have
//! a section "Examples:" in its long help (`after_long_help`), of paragraphs like this:
//!
//! ```text
//!   What it does, in a line that ends with a colon:
//!     tfreg command --option value \
//!       argument
//! ```
//!
//! Each paragraph's commands are one script, run by `bash -e` in a folder of its own. What an example finds there, and how
//! to add to it, is in [`Fixture`]. Every command of the script must end with exit code 0.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::archive::write;
use crate::support::child::Running;
use crate::support::clients::{require, require_program};
use crate::support::host::Host;
use crate::support::s3_server::S3Server;
use crate::support::{Ran, folder, key, publish, ran, run, tarball, testdata, tfreg, tree};

/// The world of an example:
///
/// | what | where |
/// |---|---|
/// | a release of acme/sample 1.2.0 for linux/amd64 and darwin/arm64, with its manifest | `build/` |
/// | the key that signed it, without a passphrase | `key.asc`, `TFREG_SIGNING_KEY` |
/// | a registry with that release (yanked, for `tfreg unyank`), but for scripts with `tfreg publish`, which find an empty place | `site/`, `s3://registry-bucket` |
/// | the same release in another registry, and its tarballs | `s3://staging`, `s3://artifacts/sample/v1.2.0/` |
/// | `site/` behind a web server | `https://registry.example.com/` |
/// | an S3 server with these buckets, and `production` | the AWS variables |
/// | for `tfreg resign`, the public half of that key; another key | `public.asc`, `old-public.asc`; `new.asc` |
/// | what pipelines set: a tag, a passphrase (which the key does not need) | `DRONE_TAG`, `TFREG_SIGNING_PASSPHRASE` |
/// | a home | `HOME`, the folder itself |
/// | stand-ins for programs that reach into the world | `bin/`, see [`STANDINS`] |
///
/// To give examples something more, add it to [`Fixture::new`] and to this table.
struct Fixture {
    root: tempfile::TempDir,
    server: S3Server,
}

/// The public address of the registry in `site`; a host on this machine stands for it.
const HOST: &str = "https://registry.example.com/";

/// Programs that examples pipe into or call after tfreg and that this machine must not really run. Each fails unless it is
/// called as it would have to be.
const STANDINS: &[(&str, &str)] = &[(
    "aws",
    r#"#!/bin/bash -eu
[[ "$1 $2 $3 $4 $5" = "s3api put-bucket-policy --bucket registry-bucket --policy" && $6 = file://* ]]
jq -e .Statement "${6#file://}" >/dev/null
"#,
)];

/// Programs of examples that a machine may lack; a script with one of these words is skipped there, and fails in CI.
const PROGRAMS: &[&str] = &["jq", "man", "gpg", "curl"];

impl Fixture {
    fn new(script: &str) -> Self {
        let fixture = Self {
            root: folder(),
            server: S3Server::start(&["registry-bucket", "staging", "artifacts", "production"]),
        };
        let build = fixture.path("build");
        fs::create_dir(&build).unwrap();
        let copy = |from: PathBuf| fs::copy(&from, build.join(from.file_name().unwrap())).unwrap();
        for platform in ["linux-amd64", "darwin-arm64"] {
            copy(tarball("release-1.2.0", platform));
        }
        copy(testdata("release-1.2.0/terraform-registry-manifest.json"));
        fs::copy(key("ed25519.asc"), fixture.path("key.asc")).unwrap();
        if script.contains("tfreg resign") {
            fs::copy(key("rsa3072.asc"), fixture.path("new.asc")).unwrap();
            let public = run(tfreg().args(["key", "--public"]).arg(key("ed25519.asc"))).succeeds().stdout;
            for name in ["public.asc", "old-public.asc"] {
                fs::write(fixture.path(name), &public).unwrap();
            }
        }
        fs::create_dir(fixture.path("bin")).unwrap();
        for (name, text) in STANDINS {
            let program = write(&fixture.path("bin"), name, text);
            fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        let release = [tarball("release-1.2.0", "linux-amd64"), tarball("release-1.2.0", "darwin-arm64")];
        if script.contains("s3://staging") {
            run(publish("s3://staging", &release).envs(fixture.server.envs())).succeeds();
        }
        for entry in fs::read_dir(&build).unwrap() {
            let path = entry.unwrap().path();
            let key = format!("sample/v1.2.0/{}", path.file_name().unwrap().to_str().unwrap());
            fixture.server.put_directly("artifacts", &key, fs::read(path).unwrap());
        }
        if !script.contains("tfreg publish") {
            run(&mut publish(fixture.path("site"), &release)).succeeds();
            run(publish("s3://registry-bucket", &release).envs(fixture.server.envs())).succeeds();
        }
        if script.contains("tfreg unyank") {
            for target in [fixture.path("site").to_str().unwrap(), "s3://registry-bucket"] {
                let yank = ["yank", target, "acme/sample", "1.2.0", "--yes"];
                run(tfreg().args(yank).envs(fixture.server.envs())).succeeds();
            }
        }
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// `bash -e` with the built tfreg, in the folder.
    fn bash(&self, script: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_tfreg")).parent().unwrap();
        let mut path = vec![self.path("bin"), binary.to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        let mut command = Command::new("bash");
        // The environment is that of `tfreg()`, without what the machine has set.
        for (name, value) in tfreg().get_envs() {
            assert!(value.is_none());
            command.env_remove(name);
        }
        command
            .args(["-e", "-u", "-o", "pipefail", "-c", script])
            .current_dir(self.root.path())
            .envs(self.server.envs())
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", self.root.path())
            .env("TFREG_SIGNING_KEY", fs::read_to_string(key("ed25519.asc")).unwrap())
            .env("TFREG_SIGNING_PASSPHRASE", "not needed")
            .env("DRONE_TAG", "terraform-provider-sample-v1.2.0")
            .env("MANPAGER", "cat")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, script: &str) -> Ran {
        if script.contains("tfreg serve ") {
            return self.serve(script);
        }
        if script.contains(HOST) {
            let host = Host::of(&self.path("site"));
            let script = script.replace(HOST, &host.url());
            return run(self.bash(&script).env("SSL_CERT_FILE", host.certificate()));
        }
        run(&mut self.bash(script))
    }

    /// Serves until it listens, and is stopped then as by Ctrl-C.
    fn serve(&self, script: &str) -> Ran {
        // The signal must reach tfreg itself.
        let script = script.replacen("tfreg serve ", "exec tfreg serve ", 1);
        let mut child = Running::start(self.bash(&script).stdout(Stdio::piped()).stderr(Stdio::piped()));
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

/// Every command, by its words; the first is tfreg itself, without any.
fn commands() -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut next = 0;
    while let Some(command) = found.get(next).cloned() {
        next += 1;
        let help = help(&command);
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        for line in listed.take_while(|line| !line.is_empty()) {
            // What a command is about may go on in further lines, which are indented more.
            let Some(name) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) else { continue };
            let name = name.split_whitespace().next().unwrap();
            if name != "help" {
                found.push([command.clone(), vec![name.to_owned()]].concat());
            }
        }
    }
    assert!(found.len() > 6, "the walk has not found the commands: {found:?}");
    found
}

fn help(command: &[String]) -> String {
    let ran = run(tfreg().args(command).arg("--help")).succeeds();
    assert_eq!(ran.stderr, "");
    ran.stdout
}

/// The scripts of the section "Examples:", each with its description.
fn examples(command: &[String]) -> Vec<(String, String)> {
    let help = help(command);
    let mut examples: Vec<(String, String)> = Vec::new();
    let section = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    for line in section.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        if let Some(script) = line.strip_prefix("    ") {
            let (_, text) =
                examples.last_mut().unwrap_or_else(|| panic!("{command:?}: nothing is said of {line:?}"));
            text.push_str(script);
            text.push('\n');
        } else if !line.is_empty() {
            let said = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':'));
            let said = said.unwrap_or_else(|| {
                panic!("{command:?}: {line:?} is neither a command (four spaces) nor ends with a colon (two)")
            });
            examples.push((said.to_owned(), String::new()));
        }
    }
    examples
}

#[test]
fn every_example_of_every_help_works() {
    let mut skipped = !require_program("bash");
    for command in commands() {
        let examples = examples(&command);
        assert!(!examples.is_empty(), "tfreg {} has no examples in its --help", command.join(" "));
        let name = format!("tfreg {}", command.join(" "));
        for (said, script) in examples {
            assert!(
                script.contains(name.trim_end()),
                "{name}: {said}: the example is of another command: {script}"
            );
            let needed = PROGRAMS.iter().filter(|program| script.contains(&format!("{program} ")));
            if skipped || !needed.clone().all(|program| require_program(program)) {
                continue;
            }
            if script.contains("tfreg serve ") && !script.contains("--listen") {
                skipped |= !require("a free port 8080", wait_for_port());
            }
            let fixture = Fixture::new(&script);
            let before = tree(fixture.root.path());
            let ran = fixture.run(&script);
            assert!(ran.code == 0 && !ran.stderr.contains("error:"), "{name}: {said}:\n{script}\n{ran:#?}");
            // An example that does nothing to be seen would be none.
            let changed = tree(fixture.root.path()) != before;
            let silent = script.contains("source ");
            assert!(changed || silent || !ran.stdout.is_empty(), "{name}: {said}: it does nothing: {ran:#?}");
            println!("{name}: {said}");
        }
    }
}

#[test]
fn a_wrong_example_is_noticed() {
    if !require_program("bash") {
        return;
    }
    let fixture = Fixture::new("tfreg publish");
    for script in [
        "tfreg publish --to site --namespace acme --signing-key-file missing.asc build/*.tar.gz\n",
        "tfreg publish --unknown\n",
        "tfreg unknown\n",
        "tfreg key key.asc | jq .no_json\n",
        "aws s3api put-bucket-policy --bucket registry-bucket --policy file://missing.json\n",
    ] {
        assert_ne!(fixture.run(script).code, 0, "{script}");
    }
}

#[test]
fn bash_takes_its_completions() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(tfreg().args(["completions", shell])).succeeds();
        assert_eq!(script.stderr, "");
        for command in commands().into_iter().skip(1) {
            assert!(script.stdout.contains(&command.join(" ")), "{shell}: {command:?}");
        }
        if shell == "bash" && require_program("bash") {
            let file = write(folder.path(), "tfreg.bash", &script.stdout);
            run(Command::new("bash").arg("-n").arg(&file)).succeeds();
            let completed = format!(
                "source {}; COMP_WORDS=(tfreg publ); COMP_CWORD=1; _tfreg tfreg publ tfreg; echo \"${{COMPREPLY[@]}}\"",
                file.display()
            );
            assert_eq!(run(Command::new("bash").args(["-c", &completed])).succeeds().stdout, "publish\n");
        }
    }
    run(tfreg().args(["completions", "tcsh"])).fails(2, &["bash", "zsh", "fish"]);
}

#[test]
fn man_pages_render_without_warnings() {
    let root = folder();
    let pages = root.path().join("share/man1");
    let ran = run(tfreg().arg("man").arg(&pages)).succeeds();
    assert_eq!(ran.stdout, "");
    let printed = run(tfreg().arg("man")).succeeds().stdout;
    let files = tree(&pages);
    let name = |command: &Vec<String>| {
        let words: Vec<&str> = std::iter::once("tfreg").chain(command.iter().map(String::as_str)).collect();
        format!("{}.1", words.join("-"))
    };
    let mut expected: Vec<String> = commands().iter().map(name).collect();
    expected.sort();
    assert!(files.keys().eq(&expected), "{:?} {expected:?}", files.keys());
    assert_eq!(files["tfreg.1"], printed.as_bytes());
    assert!(ran.stderr.contains("tfreg-publish.1"), "{ran:#?}");
    let man = require_program("man");
    for (command, file) in commands().iter().map(|command| (command, name(command))) {
        if man {
            let mut man = Command::new("man");
            man.env("MANWIDTH", "120").env("LC_ALL", "C.UTF-8").env("MANROFFOPT", "-c -ww");
            let page = run(man.args(["--warnings=w", "--local-file"]).arg(pages.join(&file))).succeeds();
            assert_eq!(page.stderr, "", "{file}");
            // The examples are as they are in the help, line for line.
            for line in examples(command).iter().flat_map(|(_, script)| script.lines()) {
                let shown = page.stdout.lines().any(|shown| shown.trim() == line.trim());
                assert!(shown, "{file}: {line:?} is not in\n{}", page.stdout);
            }
        }
    }
    let file = write(root.path(), "file", "");
    run(tfreg().arg("man").arg(file)).fails(1, &["cannot create"]);
}
