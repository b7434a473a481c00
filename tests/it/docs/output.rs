//! `docs/json-output.md` has every member that is printed, and `docs/troubleshooting.md` no message that is not.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{codes, page, root};
use crate::support::archive::write;
use crate::support::clients::Preview;
use crate::support::examples::Fixture;
use crate::support::{Ran, folder, key, publish, run, tarballs, testdata, tfreg, tree};

/// The names of all members of a value, but of what is another document in it.
fn members(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                names.insert(name.clone());
                if !["publisher_policy", "bucket_policy"].contains(&&**name) {
                    members(value, names);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| members(value, names)),
        _ => {}
    }
}

#[test]
fn every_member_of_the_json_is_documented() {
    let root = folder();
    let site = root.path().join("site");
    let place = site.to_str().unwrap();
    let preview = root.path().join("preview");
    let refused = key("expired.asc");
    let cut = write(root.path(), "cut.gz", [0x1f, 0x8b, 8, 0]);
    let outputs = [
        run(publish(&site, &tarballs("release-1.2.0")).args(["--format", "json", "--probe-protocol"]))
            .succeeds(),
        run(publish(&site, &tarballs("release-1.10.0"))
            .args(["--format", "json", "--dry-run"])
            .arg(&preview))
        .succeeds(),
        run(publish(&site, &tarballs("release-1.2.0-rebuilt")).args(["--format", "json"])),
        run(tfreg().args(["warn", place, "acme/sample", "Soon.", "--format", "json"])).succeeds(),
        run(tfreg().args(["verify", place, "--format", "json"])).succeeds(),
        run(tfreg().args(["yank", place, "acme/sample@1.2.0", "--yes", "--format", "json"])).succeeds(),
        run(tfreg().args(["list", place, "--format", "json"])),
        run(tfreg().args(["list", place, "acme/sample", "--format", "json"])).succeeds(),
        run(tfreg().args(["unyank", place, "acme/sample@1.2.0", "--format", "json"])).succeeds(),
        run(tfreg().args(["list", place, "acme/sample@1.2.0", "--format", "json"])).succeeds(),
        run(tfreg().args(["verify", root.path().to_str().unwrap(), "--format", "json"])),
        run(tfreg().args(["policy", "--bucket", "registry-bucket", "--format", "json"])).succeeds(),
        run(tfreg()
            .args([
                "downloads",
                "--format",
                "json",
                "--by",
                "version,platform,client,day",
                "--since",
                "2026-01-01",
            ])
            .arg(testdata("logs")))
        .succeeds(),
        run(tfreg().args(["downloads", "--format", "json"]).arg(&cut)).succeeds(),
        run(tfreg().args(["key", "--format", "json"]).arg(key("ed25519.asc"))).succeeds(),
        mirrored(),
        run(tfreg().args(["key", "--format", "json"]).arg(refused)),
        run(tfreg().args(["publish", "--unknown", "--format", "json"])),
    ];
    let mut names = BTreeSet::new();
    for ran in outputs {
        let value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"));
        members(&value, &mut names);
    }
    let serving = Preview::of(&site);
    members(&serving.announced, &mut names);
    serving.stop();
    let documented: BTreeSet<String> = codes(&page("docs/json-output.md"))
        .into_iter()
        .map(|code| code.trim_end_matches("[]").to_owned())
        .collect();
    let missing: Vec<&String> = names.iter().filter(|name| !documented.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/json-output.md does not have {missing:?}");
    assert!(names.len() > 60, "{names:?}");
}

/// The result of a mirroring.
fn mirrored() -> Ran {
    let script = "tfreg mirror --to site --format json registry.example.org/acme/sample";
    run(&mut Fixture::new(script).bash(script)).succeeds()
}

/// Messages of which parts come from elsewhere: the AWS SDK, a status, or a value.
const FROM_ELSEWHERE: &[&str] = &[
    "HTTP status 403",
    "HTTP status 404 NoSuchBucket",
    "no credentials found in chain",
    "the tarball does not have the checksum in its .sha256 file",
    "the signing key has expired",
    "/.tfreg-lock",
];

#[test]
fn troubleshooting_has_no_message_that_the_program_has_not() {
    let mut source = String::new();
    for (path, bytes) in tree(&root().join("src")) {
        if Path::new(&path).extension().is_some_and(|extension| extension == "rs") {
            source.push_str(&String::from_utf8(bytes).unwrap());
        }
    }
    // A line that goes on.
    let mut joined = String::new();
    for (at, part) in source.split("\\\n").enumerate() {
        joined.push_str(if at == 0 { part } else { part.trim_start() });
    }
    let text = page("docs/troubleshooting.md");
    let (own, _) = text.split_once("\n## terraform init").unwrap();
    let rows: Vec<&str> = own.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 50, "{}", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let message = row.trim_start_matches("| ").split(" | ").next().unwrap();
        for code in codes(message).iter().filter(|code| !FROM_ELSEWHERE.contains(&code.as_str())) {
            let parts = code.split('…').map(|part| part.trim_matches([' ', ':', '(', ')']));
            for part in parts.filter(|part| !part.is_empty() && !FROM_ELSEWHERE.contains(part)) {
                if !joined.contains(part) {
                    wrong.push(format!("{code}: {part:?} is not in src"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
