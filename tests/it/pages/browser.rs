//! The pages in a real browser: `browser.js` visits each of them at two widths, light and dark.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::with_pages;
use crate::support::clients::{Preview, require, require_program};
use crate::support::{folder, key, publish, run, tarballs, tfreg};

/// The file of axe-core: where `.ci/run` keeps it, or named by `TFREG_TEST_AXE`.
fn axe() -> PathBuf {
    let cache = || {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from)
    };
    let kept = || cache().join("tfreg-ci/axe/axe_playwright_python/axe.min.js");
    std::env::var_os("TFREG_TEST_AXE").map_or_else(kept, PathBuf::from)
}

/// A documentation as a provider's authors write it.
const DOCUMENTATION: &[(&str, &str)] = &[
    ("index.md", include_str!("docs/index.md")),
    ("resources/thing.md", include_str!("docs/thing.md")),
    (
        "resources/a_resource_with_a_very_long_name_that_does_not_fit.md",
        "---\nsubcategory: Things\n---\n# Long\n",
    ),
    (
        "data-sources/thing.md",
        "---\nsubcategory: Things\n---\n# sample_thing\n\nSee [the resource](../resources/thing.md).\n",
    ),
    ("functions/join_all.md", "# join_all\n\n```text\njoin_all(parts list(string)) string\n```\n"),
    (
        "guides/upgrade.md",
        "---\npage_title: Upgrade to 2.0\n---\nFirst, read [the changes](https://example.com/changes).\n",
    ),
];

/// One as nobody should write it.
const HOSTILE: &[(&str, &str)] = &[
    ("index.md", include_str!("docs/hostile.md")),
    (
        "guides/evil.md",
        "---\npage_title: \"<img src=x onerror=alert(1)>\"\nsubcategory: \"<script>alert(2)</script>\"\n---\n[a](javascript:alert(3))\n",
    ),
];

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn every_page_is_fit_for_people_and_shows_nothing_of_a_hostile_folder() {
    let has_axe = require("axe-core (.ci/run fetches it)", axe().is_file());
    if !require_program("node") || !require_program("chromium") || !has_axe {
        return;
    }
    let root = folder();
    let [site, good, hostile, first] =
        ["site", "good", "hostile", "first"].map(|name| root.path().join(name));
    write(&good, DOCUMENTATION);
    write(&hostile, HOSTILE);
    write(&first, &[("index.md", "# Sample Provider\n\nNothing is documented yet.\n")]);
    // The address of the preview is not known yet; nothing in the pages needs it but the feed.
    with_pages(&site);
    run(publish(&site, &tarballs("release-1.2.0")).arg("--docs").arg(&first)).succeeds();
    run(publish(&site, &tarballs("release-1.10.0")).arg("--docs").arg(&good)).succeeds();
    let mut other = tfreg();
    other.arg("publish").arg("--to").arg(&site).args(["--namespace", "other", "--docs"]).arg(&hostile);
    other.arg("--signing-key-file").arg(key("rsa3072.asc")).args(tarballs("release-1.2.0"));
    run(&mut other).succeeds();
    let at = site.to_str().unwrap();
    run(tfreg().args(["yank", at, "acme/sample", "1.2.0", "--yes", "--reason", "it leaks memory"]))
        .succeeds();
    run(tfreg().args(["warn", at, "acme/sample", "This provider moves to acme/better in spring."]))
        .succeeds();

    let preview = Preview::of(&site);
    let mut browser = Command::new("node");
    browser.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/pages/browser.js"));
    browser.args(["chromium"]).arg(root.path().join("profile")).arg(preview.url()).arg(axe());
    browser.args(std::env::var_os("TFREG_TEST_SCREENSHOTS"));
    let ran = run(&mut browser).succeeds();
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"));
    assert_eq!(report["problems"], serde_json::json!([]), "{report:#}");
    let count = |name: &str| report["counts"][name].as_u64().unwrap();
    // Two providers, three versions, documentations of six pages, of one and of two, with their lists.
    assert_eq!(count("pages"), 1 + 2 + 3 + 6 + 1 + 2 + 2, "{report:#}");
    assert!(count("visits") > 4 * count("pages") && count("rules") > 20, "{report:#}");
    assert_eq!(preview.stop(), Some(0));
}
