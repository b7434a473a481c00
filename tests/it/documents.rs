//! Documents that are large, or that hold what is not understood.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::{folder, publish, ran, run, tarballs, tfreg, tree};

const INDEX: &str = "registry/acme/sample/versions";
/// The largest document that is read.
const MOST: usize = 32 << 20;
const PLATFORMS: [&str; 12] = [
    "darwin_amd64",
    "darwin_arm64",
    "freebsd_386",
    "freebsd_amd64",
    "freebsd_arm",
    "freebsd_arm64",
    "linux_386",
    "linux_amd64",
    "linux_arm",
    "linux_arm64",
    "windows_386",
    "windows_amd64",
];

/// An index of `len` bytes at most, as tfreg writes it, or without any space; as full as it can be.
fn index(len: usize, spaces: bool) -> String {
    let entry = |number: usize| {
        let platforms = PLATFORMS.map(|name| name.split_once('_').unwrap());
        let value = serde_json::json!({
            "version": format!("0.{number}.0"),
            "protocols": ["6.0"],
            "platforms": platforms.map(|(os, arch)| serde_json::json!({"os": os, "arch": arch})),
        });
        if spaces {
            format!("    {}", format!("{value:#}").replace('\n', "\n    "))
        } else {
            value.to_string()
        }
    };
    let (begin, between, end) =
        if spaces { ("{\n  \"versions\": [\n", ",\n", "\n  ]\n}\n") } else { ("{\"versions\":[", ",", "]}") };
    let mut text = format!("{begin}{}", entry(0));
    for number in 1.. {
        let next = entry(number);
        if text.len() + between.len() + next.len() + end.len() > len {
            break;
        }
        write!(text, "{between}{next}").unwrap();
    }
    text + end
}

/// A registry with this index.
fn registry(site: &Path, index: &str) {
    std::fs::create_dir_all(site.join(INDEX).parent().unwrap()).unwrap();
    std::fs::write(site.join(INDEX), index).unwrap();
}

#[test]
fn an_index_that_could_not_be_read_again_is_not_written() {
    let root = folder();
    let site = root.path().join("site");
    registry(&site, &index(MOST, true));
    let before = tree(&site);
    let refused = run(publish(&site, &tarballs("release-1.2.0")).arg("--no-verify"));
    refused.refused("publish", &[INDEX, "too large to be read again", "tfreg yank /", "acme/sample VERSION"]);
    let mut dry = publish(&site, &tarballs("release-1.2.0"));
    run(dry.arg("--dry-run").arg(root.path().join("preview"))).refused("dry run", &["too large"]);
    assert!(tree(&site) == before, "something was written");
    // The remedy.
    run(tfreg().arg("yank").arg(&site).args(["acme/sample", "0.0.0", "--yes"])).succeeds();
    run(publish(&site, &tarballs("release-1.2.0")).arg("--no-verify")).succeeds();
    let len = std::fs::metadata(site.join(INDEX)).unwrap().len();
    assert!(len <= MOST as u64, "{len}");
    let again = run(publish(&site, &tarballs("release-1.2.0")).arg("--no-verify")).succeeds();
    assert!(again.stdout.contains("nothing to do"), "{again:#?}");
}

/// The most memory that a process had, and how it ended.
fn peak(mut child: Child) -> (u64, crate::support::Ran) {
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0);
        most = most.max(kib << 10);
        std::thread::yield_now();
    }
    (most, ran(&child.wait_with_output().unwrap()))
}

#[test]
fn a_large_index_is_merged_as_it_is_within_a_few_times_its_size() {
    if !Path::new("/proc/self/status").exists() {
        eprintln!("*** SKIPPED: this system does not tell how much memory a process has used");
        return;
    }
    let root = folder();
    let site = root.path().join("site");
    // Written back with spaces, it would be too large to be read again.
    let compact = index(MOST - 10_000, false);
    registry(&site, &compact);
    let mut command = publish(&site, &tarballs("release-1.2.0"));
    command.arg("--no-verify").stdout(Stdio::piped()).stderr(Stdio::piped());
    let (most, ran) = peak(command.spawn().unwrap());
    ran.succeeds();
    println!("{} MiB at the most, of an index of {} MiB", most >> 20, compact.len() >> 20);
    assert!(most < 8 * MOST as u64, "{} MiB", most >> 20);
    let merged = std::fs::read_to_string(site.join(INDEX)).unwrap();
    assert!(merged.len() < MOST && merged.len() > compact.len());
    // Every entry is there, byte for byte.
    let entries = compact.trim_start_matches("{\"versions\":[").trim_end_matches("]}");
    let (last, rest) = entries.rsplit_once(",{\"version\":").unwrap_or_default();
    assert!(merged.contains(last) && merged.contains(rest), "an entry has changed");
}

#[test]
fn what_is_not_understood_is_written_back_as_it_was() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let unknown = r#""x":{"$serde_json::private::Number": "7"},"y" :{"$serde_json::private::RawValue":"7"},"z":[1e400,  2.50]"#;
    let documents = [INDEX, "registry/acme/sample/1.2.0/download/linux/amd64"];
    for document in documents {
        let text = std::fs::read_to_string(site.join(document)).unwrap();
        std::fs::write(site.join(document), text.replacen('{', &format!("{{{unknown},"), 1)).unwrap();
    }
    run(&mut publish(&site, &tarballs("release-1.2.0-more"))).succeeds();
    run(tfreg().arg("warn").arg(&site).args(["acme/sample", "careful"])).succeeds();
    for document in documents {
        let text = std::fs::read_to_string(site.join(document)).unwrap();
        for kept in [
            r#""x": {"$serde_json::private::Number": "7"},"#,
            r#""y": {"$serde_json::private::RawValue":"7"},"#,
            r#""z": [1e400,  2.50],"#,
        ] {
            assert!(text.contains(kept), "{document}: {kept}: {text}");
        }
    }
}
