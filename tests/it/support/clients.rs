//! The real clients: terraform, and a preview that it installs from.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::child::Running;
use super::host::Host;
#[allow(unused_imports, reason = "the benchmarks have this file too, and ask for no program")]
pub(crate) use super::programs::{require, require_program};
use super::tunnel::Tunnel;
use super::{Ran, folder, run, tfreg};

/// A running `tfreg serve`; killed when dropped.
pub(crate) struct Preview {
    child: Running,
    stdout: BufReader<ChildStdout>,
    pub(crate) announced: Value,
}

impl Preview {
    pub(crate) fn of(directory: &Path) -> Self {
        let mut command = tfreg();
        command.args(["serve", "--listen", "127.0.0.1:0", "--format", "json"]).arg(directory);
        let mut child = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
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
        self.child.signal(Signal::INT);
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        self.child.wait().unwrap().code()
    }
}

/// A working directory of Terraform, or of another client, that installs `registry.example.com/acme/sample` from a preview.
pub(crate) struct Terraform {
    source: String,
    folder: TempDir,
    program: PathBuf,
    envs: Vec<(String, String)>,
}

pub(crate) const SOURCE: &str = "registry.example.com/acme/sample";

impl Terraform {
    /// A working directory for the sample provider in `version`.
    pub(crate) fn new(preview: &Preview, version: &str) -> Self {
        Self::in_folder(SOURCE, version, preview.announced["terraformrc"].as_str().unwrap())
    }

    /// A working directory for the sample provider in `version`, which the network mirror on `host` alone offers. The tunnel
    /// leads to it.
    pub(crate) fn mirrored(host: &Host, tunnel: &Tunnel, version: &str) -> Self {
        Self::mirrored_of(SOURCE, host, tunnel, version)
    }

    /// The same for a provider of any registry.
    pub(crate) fn mirrored_of(source: &str, host: &Host, tunnel: &Tunnel, version: &str) -> Self {
        let mirror = "provider_installation {\n  network_mirror {\n    url = \"https://registry.example.com/mirror/\"\n  }\n}\n";
        let mut terraform = Self::in_folder(source, version, mirror);
        std::fs::copy(host.certificate(), terraform.path("cert.pem")).unwrap();
        let envs = tunnel.environment();
        terraform.envs = envs.map(|(name, value)| (name.to_owned(), value)).into();
        terraform
    }

    fn in_folder(source: &str, version: &str, config: &str) -> Self {
        let (source, folder) = (source.to_owned(), folder());
        let terraform = Self { source, folder, program: "terraform".into(), envs: Vec::new() };
        std::fs::write(terraform.path("cli.tfrc"), config).unwrap();
        let block = format!(
            "terraform {{\n required_providers {{\n sample = {{ source = \"{}\", version = \"{version}\" }}\n }}\n}}\n",
            terraform.source
        );
        std::fs::write(terraform.path("main.tf"), block).unwrap();
        terraform
    }

    /// A working directory for the sample provider in `version`, found on a host by discovery, as users find it.
    pub(crate) fn over(host: &Host, version: &str) -> Self {
        let terraform = Self::in_folder(&format!("{}/acme/sample", host.name()), version, "");
        std::fs::copy(host.certificate(), terraform.path("cert.pem")).unwrap();
        terraform
    }

    /// The same for another client than the Terraform in `PATH`.
    pub(crate) fn by(self, program: &Path) -> Self {
        Self { program: program.to_owned(), ..self }
    }

    /// The same with a variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the client there, without anything of the user's own.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(&self.program);
        let foreign = |name: &str| ["TF_", "TOFU_", "OPENTOFU_"].iter().any(|start| name.starts_with(start));
        for (name, _) in std::env::vars_os().filter(|(name, _)| foreign(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("TF_CLI_CONFIG_FILE", self.path("cli.tfrc"))
            .env("HOME", self.folder.path())
            .env("CHECKPOINT_DISABLE", "1")
            .envs(self.envs.iter().cloned());
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
            ".terraform/providers/{}/{version}/linux_amd64/terraform-provider-sample_v{version}",
            self.source
        ))
    }
}
