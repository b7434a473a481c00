//! The real clients: terraform, and a preview that it installs from.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::host::Host;
use super::{Ran, folder, run, tfreg};

/// Whether a program that a test needs is there; see [`require`].
#[track_caller]
pub(crate) fn require_program(name: &str) -> bool {
    let mut command = Command::new(name);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    require(name, command.status().is_ok())
}

/// Gives whether something that a test needs is there. In CI (`CI=true`) a missing one is a failure; on a user's machine
/// the test says loudly that it is skipped.
#[track_caller]
pub(crate) fn require(what: &str, there: bool) -> bool {
    if there {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{what} is not installed, and CI may skip no test"
    );
    let test = std::panic::Location::caller();
    eprintln!("\n*** SKIPPED, because {what} is not installed: {test}\n");
    false
}

/// A running `tfreg serve`; stopped with Ctrl-C's signal when dropped.
pub(crate) struct Preview {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) announced: Value,
}

impl Preview {
    pub(crate) fn of(directory: &Path) -> Self {
        let mut command = tfreg();
        command.args(["serve", "--listen", "127.0.0.1:0", "--format", "json"]).arg(directory);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.ends_with("\n}\n") {
            assert!(stdout.read_line(&mut text).unwrap() > 0, "serve ended early: {text}");
        }
        Self { child, stdout, announced: serde_json::from_str(&text).unwrap() }
    }

    pub(crate) fn url(&self) -> &str {
        self.announced["url"].as_str().unwrap()
    }

    /// Stops it as Ctrl-C does; gives its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.interrupt()
    }

    fn interrupt(&mut self) -> Option<i32> {
        run(Command::new("kill").args(["-INT", &self.child.id().to_string()]));
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).ok()?;
        self.child.wait().ok()?.code()
    }
}

impl Drop for Preview {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.interrupt();
        }
    }
}

/// A Terraform working directory that installs `registry.example.com/acme/sample` from a preview.
pub(crate) struct Terraform {
    folder: TempDir,
}

pub(crate) const SOURCE: &str = "registry.example.com/acme/sample";

impl Terraform {
    /// A working directory for the sample provider in `version`.
    pub(crate) fn new(preview: &Preview, version: &str) -> Self {
        let terraform = Self { folder: folder() };
        std::fs::write(terraform.path("cli.tfrc"), preview.announced["terraformrc"].as_str().unwrap())
            .unwrap();
        let block = format!(
            "terraform {{\n required_providers {{\n sample = {{ source = \"{SOURCE}\", version = \"{version}\" }}\n }}\n}}\n"
        );
        std::fs::write(terraform.path("main.tf"), block).unwrap();
        terraform
    }

    /// A working directory for the sample provider in `version`, found on a host by discovery, as users find it.
    pub(crate) fn over(host: &Host, version: &str) -> Self {
        let terraform = Self { folder: folder() };
        std::fs::write(terraform.path("cli.tfrc"), "").unwrap();
        std::fs::copy(host.certificate(), terraform.path("cert.pem")).unwrap();
        let source = format!("{}/acme/sample", host.name());
        let block = format!(
            "terraform {{\n required_providers {{\n sample = {{ source = \"{source}\", version = \"{version}\" }}\n }}\n}}\n"
        );
        std::fs::write(terraform.path("main.tf"), block).unwrap();
        terraform
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs terraform there, without anything of the user's own.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new("terraform");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TF_")) {
            command.env_remove(name);
        }
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("TF_CLI_CONFIG_FILE", self.path("cli.tfrc"))
            .env("HOME", self.folder.path())
            .env("CHECKPOINT_DISABLE", "1");
        if self.path("cert.pem").exists() {
            command.env("SSL_CERT_FILE", self.path("cert.pem"));
        }
        run(&mut command)
    }

    pub(crate) fn lock_file(&self) -> String {
        std::fs::read_to_string(self.path(".terraform.lock.hcl")).unwrap()
    }

    /// The installed executable of the sample provider.
    pub(crate) fn installed(&self, version: &str) -> PathBuf {
        self.path(&format!(
            ".terraform/providers/{SOURCE}/{version}/linux_amd64/terraform-provider-sample_v{version}"
        ))
    }
}
