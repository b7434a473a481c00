//! Renovate, which reads registries by code of its own: its datasource for providers, and what it writes into lock files.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::lock_files::hashes;
use super::sites::{Site, init, init_readonly};
use super::{clients, document_as};
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::host::{Certificate, Host};
use crate::support::programs::skipped;
use crate::support::tunnel::Tunnel;
use crate::support::{run, tarballs, tfreg};

const NAME: &str = "registry.example.com";

/// A registry with 1.2.0 and 1.10.0, whose documents have absolute links or links from its root.
fn published(base_url: bool) -> Site {
    let site = Site::empty();
    if base_url {
        let url = format!("https://{NAME}/");
        run(tfreg().arg("init").arg(site.path()).args(["--base-url", &url])).succeeds();
    }
    for release in ["release-1.2.0", "release-1.10.0"] {
        site.publish(&tarballs(release), &[]).succeeds();
    }
    site
}

/// A registry's host, and Node.js as it reaches it from a working directory.
fn node(site: &Site, directory: &Terraform) -> (Host, Tunnel, Command) {
    let host = Host::with(&site.path(), &Certificate::authority(&[NAME]));
    let tunnel = Tunnel::to(host.port());
    let mut node = Command::new("node");
    node.current_dir(directory.path("."));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RENOVATE_")) {
        node.env_remove(name);
    }
    // A cache of an earlier run, or of the user's own, would answer in place of the registry.
    let own = directory.path("renovate");
    std::fs::create_dir_all(&own).unwrap();
    node.env("RENOVATE_BASE_DIR", &own).env("HOME", &own).env("TMPDIR", &own);
    node.env("NODE_EXTRA_CA_CERTS", host.certificate()).env("LOG_LEVEL", "fatal");
    tunnel.used_by(&mut node);
    (host, tunnel, node)
}

/// What Renovate's own parts make of a folder whose lock file has 1.2.0.
fn parts(package: &Path, site: &Site, directory: &Terraform) -> Value {
    let (_host, _tunnel, mut node) = node(site, directory);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/renovate.mjs");
    let ran = run(node.arg(script).arg(package)).succeeds();
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The version to which the whole program would update that folder. Where there is no code host it does no more than report.
fn offered(package: &Path, site: &Site, directory: &Terraform) -> String {
    let (_host, tunnel, mut node) = node(site, directory);
    for args in [&["init", "--quiet"][..], &["add", "main.tf", ".terraform.lock.hcl"]] {
        run(Command::new("git").args(args).current_dir(directory.path("."))).succeeds();
    }
    let report = directory.path("report.json");
    node.arg(package.join("node_modules/renovate/dist/renovate.js"));
    node.args([
        "--platform=local",
        "--onboarding=false",
        "--enabled-managers=terraform",
        "--report-type=file",
        "--report-path",
    ])
    .arg(&report);
    run(&mut node).succeeds();
    assert!(!tunnel.asked().is_empty(), "the registry was not asked");
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let dependency = &report["repositories"]["local"]["packageFiles"]["terraform"][0]["deps"][0];
    assert_eq!(dependency["lockedVersion"], "1.2.0", "{report:#}");
    dependency["updates"][0]["newVersion"].as_str().unwrap_or_else(|| panic!("{report:#}")).to_owned()
}

#[test]
#[ignore = "needs the npm package renovate; tests/clients/run installs it"]
fn renovate_updates_lock_files() {
    let Some(package) = std::env::var_os("TFREG_RENOVATE").map(PathBuf::from) else {
        skipped("TFREG_RENOVATE names no folder with Renovate");
        return;
    };
    if !require_program("git") || !require_program("node") || !require_program("terraform") {
        return;
    }
    let (mut version, mut lines) = (String::new(), Vec::new());
    for base_url in [true, false] {
        let site = published(base_url);
        let preview = Preview::of(&site.path());
        let directory = Terraform::new(&preview, "1.2.0");
        init(&directory).succeeds();
        assert_eq!(offered(&package, &site, &directory), "1.10.0");
        let seen = parts(&package, &site, &directory);
        assert_eq!(seen["dependency"]["registryUrls"][0], format!("https://{NAME}"), "{seen:#}");
        assert_eq!(seen["releases"], serde_json::json!(["1.2.0", "1.10.0"]), "{seen:#}");
        if !base_url {
            assert_eq!(seen["lock"], Value::Null, "{seen:#}");
            let error = seen["error"].as_str().unwrap();
            lines.push(format!(
                "links from the root: offers 1.10.0 for 1.2.0; the lock file stays, and it says: \"{error}\""
            ));
            continue;
        }
        // Each client installs by its lock file, which has what the clients themselves write for these platforms.
        let lock = seen["lock"].as_str().unwrap_or_else(|| panic!("{seen:#}"));
        for client in clients() {
            let directory = client.in_directory(Terraform::new(&preview, "1.10.0"));
            std::fs::write(directory.path(".terraform.lock.hcl"), lock).unwrap();
            init_readonly(&directory).succeeds();
        }
        let whole = Terraform::new(&preview, "1.10.0");
        let platforms = ["linux_amd64", "linux_arm64", "darwin_arm64", "windows_amd64"];
        let platforms = platforms.map(|platform| format!("-platform={platform}"));
        whole
            .run(&[&["providers", "lock"][..], &platforms.each_ref().map(String::as_str)].concat())
            .succeeds();
        assert_eq!(hashes(lock), hashes(&whole.lock_file()));
        lines.push(format!(
            "`base_url` is set: offers 1.10.0 for 1.2.0; updates the lock file with the {} hashes that \
             `terraform providers lock` writes for all platforms, and every client installs by it",
            hashes(lock).len()
        ));
        seen["version"].as_str().unwrap().clone_into(&mut version);
    }
    document_as("renovate", &format!("Renovate {version}:\n\n- {}\n", lines.join("\n- ")));
}
