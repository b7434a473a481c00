//! Real providers, as their authors write them: built for several platforms, published from tarballs and from zips, installed and
//! applied by every client.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::lock_files::counted;
use super::sites::{Site, init};
use super::{Client, Row, clients, document, each, table};
use crate::support::archive::{Archive, write};
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::mutated::{Entry, zip_of};
use crate::support::{folder, run, testdata};

/// The providers of `testdata/provider-go`, with the protocol that each speaks and the one that it does not.
const PROVIDERS: [(&str, &str, &str); 2] = [("framework", "6.0", "5.0"), ("sdk", "5.0", "6.0")];
const PLATFORMS: [&str; 3] = ["linux_amd64", "darwin_arm64", "windows_amd64"];
const STEM: &str = "terraform-provider-sample_1.2.0";

/// The executable of a provider for a platform.
fn built(provider: &str, platform: &str, into: &Path) -> Vec<u8> {
    let executable = into.join(platform);
    let (os, arch) = platform.split_once('_').unwrap();
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-ldflags", "-s -w -X main.version=1.2.0", "-o"])
        .arg(&executable)
        .arg(".");
    go.current_dir(testdata("provider-go").join(provider));
    run(go.envs([("CGO_ENABLED", "0"), ("GOOS", os), ("GOARCH", arch)])).succeeds();
    std::fs::read(executable).unwrap()
}

/// The name of the executable in a package.
fn executable_name(platform: &str) -> String {
    let suffix = if platform.starts_with("windows") { ".exe" } else { "" };
    format!("terraform-provider-sample_v1.2.0{suffix}")
}

fn tarball(folder: &Path, platform: &str, executable: &[u8]) -> PathBuf {
    let archive = Archive::new().file(&executable_name(platform), executable).file("LICENSE", "None.\n");
    write(folder, &format!("{STEM}_{platform}.tar.gz"), archive.gz())
}

fn zip(folder: &Path, platform: &str, executable: &[u8]) -> PathBuf {
    let name = executable_name(platform);
    let entries = [Entry::File("LICENSE", 0o644, b"None.\n"), Entry::File(&name, 0o755, executable)];
    write(folder, &format!("{STEM}_{platform}.zip"), zip_of(&entries))
}

/// A provider's registries: one of its tarballs, one of its zips.
fn published(provider: &str, speaks: &str, does_not: &str) -> [(String, Site); 2] {
    let root = folder();
    let manifest = format!(r#"{{"version": 1, "metadata": {{"protocol_versions": ["{speaks}"]}}}}"#);
    let executables = PLATFORMS.map(|platform| (platform, built(provider, platform, root.path())));
    let tarballs = executables.each_ref().map(|(platform, bytes)| tarball(root.path(), platform, bytes));
    let zips = executables.each_ref().map(|(platform, bytes)| zip(root.path(), platform, bytes));
    [("tarballs", &tarballs), ("zips", &zips)].map(|(form, artifacts)| {
        let site = Site::empty();
        let mislabelled = site.publish(artifacts, &["--probe-protocol", "--protocol", does_not]);
        mislabelled.refused(provider, &["the plugin protocol is mislabelled"]);
        // The manifest beside them is as good as the option.
        let manifest = write(root.path(), "terraform-registry-manifest.json", &manifest);
        site.publish(artifacts, &["--probe-protocol"]).succeeds();
        std::fs::remove_file(manifest).unwrap();
        run(crate::support::tfreg().arg("verify").arg(site.path())).succeeds();
        (format!("{provider}, protocol {speaks}, from {form}"), site)
    })
}

/// Installs, applies, and finds that nothing is left to do.
fn applied(client: &Client, site: &Site, speaks: &str) -> Result<String, String> {
    let preview = Preview::of(&site.path());
    let directory = client.in_directory(Terraform::new(&preview, "1.2.0"));
    let block = std::fs::read_to_string(directory.path("main.tf")).unwrap();
    let resource = "resource \"sample_note\" \"one\" {\n  text = \"hello\"\n}\n\
                    output \"served\" {\n  value = sample_note.one.served\n}\n";
    std::fs::write(directory.path("main.tf"), block + resource).unwrap();
    let major = speaks.split('.').next().unwrap();
    for (args, expected) in [
        (&["apply", "-auto-approve", "-no-color"][..], format!("served = \"protocol {major}, v1.2.0\"")),
        (&["plan", "-detailed-exitcode", "-no-color"], "No changes".to_owned()),
        (&["destroy", "-auto-approve", "-no-color"], "1 destroyed".to_owned()),
    ] {
        if args[0] == "apply" {
            let ran = init(&directory);
            if ran.code != 0 {
                return Err(format!("{ran:#?}"));
            }
        }
        let ran = directory.run(args);
        if ran.code != 0 || !ran.stdout.contains(&expected) {
            return Err(format!("{args:?}: {ran:#?}"));
        }
    }
    Ok(format!("applies; {}", counted(&directory)))
}

#[test]
#[ignore = "builds providers with Go; tests/clients/run runs it"]
fn real_providers_serve_every_client() {
    if !require_program("go") {
        return;
    }
    let clients = clients();
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for (provider, speaks, does_not) in PROVIDERS {
        for (says, site) in published(provider, speaks, does_not) {
            let seen = each(clients.len(), |at| applied(&clients[at], &site, speaks));
            let mut words = Vec::new();
            for (client, seen) in clients.iter().zip(seen) {
                if seen.as_deref() != Ok("applies; 3 zh, 1 h1") {
                    wrong.push(format!("{says}, {}: {seen:?}", client.name()));
                }
                words.push(seen.unwrap_or_else(|_| "fails".to_owned()));
            }
            rows.push(Row { says, words });
        }
    }
    let text = table(&clients, &rows);
    println!("{text}");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    document("providers", &clients, &text);
}
