//! What tfreg refuses, and the nearest things that it takes: names, checksums, manifests, contents, executables, options.
//!
//! Every refusal names the file, what was found, what was expected and what to do, and nothing is written.

mod checksums;
mod command_line;
mod contents;
mod executables;
mod manifests;
mod names;

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::support::archive::{Archive, genuine_executable, write};
use crate::support::{folder, publish, run, tarball, tree};

pub(super) const NAME: &str = "terraform-provider-sample_1.2.0_linux_amd64.tar.gz";
pub(super) const EXECUTABLE: &str = "terraform-provider-sample_v1.2.0";
const MANIFEST: &str = "terraform-registry-manifest.json";
const EXECUTABLE_MODE: u32 = 0o100_755;
const PLAIN_MODE: u32 = 0o100_644;

fn protocols(list: &str) -> String {
    format!(r#"{{"version": 1, "metadata": {{"protocol_versions": [{list}]}}}}"#)
}

fn linux() -> Vec<u8> {
    genuine_executable("linux-amd64")
}

/// A tarball's files: the executable, at the root.
pub(super) fn good() -> Archive {
    Archive::new().file(EXECUTABLE, linux())
}

/// Publishes one tarball, which is refused; says so with the tarball's name and `texts`.
#[track_caller]
pub(super) fn refuses(row: &str, name: &str, bytes: &[u8], args: &[&str], texts: &[&str]) {
    let root = folder();
    let site = root.path().join("site");
    let path = write(root.path(), name, bytes);
    let ran = run(publish(&site, &[path]).args(["--protocol", "6.0"]).args(args));
    ran.refused(row, texts).refused(row, &[name]);
    assert!(!site.exists(), "{row}: something was written");
}

/// Publishes one tarball, and gives the zip's entries: name, mode, contents.
#[track_caller]
fn published(row: &str, name: &str, bytes: &[u8], args: &[&str]) -> Vec<(String, u32, Vec<u8>)> {
    let root = folder();
    let site = root.path().join("site");
    let path = write(root.path(), name, bytes);
    let ran = run(publish(&site, &[path]).args(["--protocol", "6.0"]).args(args));
    assert_eq!(ran.code, 0, "{row}: {ran:#?}");
    entries(&site)
}

/// The entries of the one zip in a registry.
fn entries(site: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let files = tree(site);
    let mut zips = files.iter().filter(|(name, _)| Path::new(name).extension() == Some("zip".as_ref()));
    let (_, bytes) = zips.next().unwrap();
    assert!(zips.next().is_none(), "more than one zip");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        assert!(!entry.is_dir(), "a folder's entry breaks the h1: hash");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let name = String::from_utf8(entry.name_raw().to_vec()).unwrap();
        entries.push((name, entry.unix_mode().unwrap(), content));
    }
    entries
}

#[test]
fn a_bad_tarball_among_good_ones_stops_all() {
    let root = folder();
    let site = root.path().join("site");
    let bad = "terraform-provider-sample_1.2.0_windows_amd64.tar.gz";
    let paths = [
        tarball("release-1.2.0", "linux-amd64"),
        tarball("release-1.2.0", "darwin-arm64"),
        write(root.path(), bad, Archive::new().file("terraform-provider-sample.exe", "x").gz()),
    ];
    for jobs in ["1", "4"] {
        run(publish(&site, &paths).args(["--jobs", jobs])).refused(jobs, &[bad]);
        assert!(!site.exists());
    }
}

#[test]
fn a_refusal_as_json() {
    let root = folder();
    let site = root.path().join("site");
    let path = write(root.path(), NAME, Archive::new().file("LICENSE", "x").gz());
    let ran = run(publish(&site, &[path]).args(["--protocol", "6.0", "--format", "json"]))
        .fails(3, &["no provider executable"]);
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(value.to_string().contains("no provider executable"), "{value:#}");
    assert!(!site.exists());
}
