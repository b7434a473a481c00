//! Namespaces with an underscore, which not every client accepts.

use std::path::Path;

use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::{Ran, folder, run, tarballs, tfreg};

fn publish_in(namespace: &str, site: &Path, args: &[&str]) -> Ran {
    let mut command = crate::support::publish(site, &tarballs("release-1.2.0"));
    // An option is given once, so the command is made anew with another value.
    let words: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    command = tfreg();
    command.args(words.into_iter().map(|word| if word == "acme" { namespace.into() } else { word }));
    run(command.args(args))
}

/// A working directory that asks for the provider of another namespace.
fn terraform(preview: &Preview, namespace: &str) -> Terraform {
    let terraform = Terraform::new(preview, "1.2.0");
    let block = std::fs::read_to_string(terraform.path("main.tf")).unwrap();
    std::fs::write(terraform.path("main.tf"), block.replace("/acme/", &format!("/{namespace}/"))).unwrap();
    terraform
}

#[test]
fn an_underscore_is_published_with_a_warning() {
    let root = folder();
    let site = root.path().join("site");
    let warning = "\"my_org\" has an underscore, which Terraform before 1.16 and OpenTofu";
    let first = publish_in("my_org", &site, &[]).succeeds();
    assert_eq!(first.stderr.matches(warning).count(), 1, "{first:#?}");
    let again = publish_in("my_org", &site, &["--format", "json"]).succeeds();
    let again: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["outcome"], "unchanged");
    assert!(again["warnings"][0].as_str().unwrap().contains(warning), "{again:#}");
    let on = |args: &[&str]| run(tfreg().args(args).arg("--to").arg(&site)).succeeds();
    on(&["verify"]);
    on(&["verify", "my_org/sample@1.2.0"]);
    on(&["yank", "my_org/sample@1.2.0", "--yes"]);
    on(&["unyank", "my_org/sample@1.2.0"]);
    on(&["reindex", "my_org/sample", "--yes"]);
    let other = publish_in("my-org", &site, &[]).succeeds();
    assert!(!other.stderr.contains("underscore"), "{other:#?}");
}

/// The warning's claims, for the Terraform that is there: it refuses an underscore, and takes a dash.
#[test]
fn older_terraform_refuses_an_underscore() {
    if !require_program("terraform") {
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    for namespace in ["my_org", "my-org"] {
        publish_in(namespace, &site, &[]).succeeds();
    }
    let preview = Preview::of(&site);
    let version = terraform(&preview, "my-org").run(&["version", "-json"]).succeeds();
    let version: serde_json::Value = serde_json::from_str(&version.stdout).unwrap();
    let version: semver::Version = version["terraform_version"].as_str().unwrap().parse().unwrap();
    let init = terraform(&preview, "my_org").run(&["init"]);
    if version < semver::Version::new(1, 16, 0) {
        init.fails(1, &["Invalid provider namespace", "must contain only letters, digits"]);
    } else {
        init.succeeds();
    }
    terraform(&preview, "my-org").run(&["init"]).succeeds();
}

#[test]
fn an_underscore_is_refused_elsewhere() {
    let root = folder();
    let site = root.path().join("site");
    for namespace in ["_org", "org_", "my_--org"] {
        publish_in(namespace, &site, &[]).fails(2, &["is no valid namespace"]);
    }
    run(tfreg().arg("verify").arg(root.path()).arg("acme/google_beta"))
        .fails(2, &["is no valid provider type", "letters, digits and dashes"]);
    assert!(!site.exists());
}
