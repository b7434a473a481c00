//! The date of a version's first publish, in its entry of the index.

use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use crate::support::{DATE, folder, key, publish, run, tarball, tarballs, tfreg};

const INDEX: &str = "registry/acme/sample/versions";

/// The date of each version, as the index has it.
fn dates(site: &Path) -> Vec<(String, Option<String>)> {
    let index: Value = serde_json::from_slice(&std::fs::read(site.join(INDEX)).unwrap()).unwrap();
    let text = |entry: &Value, name: &str| entry.get(name).map(|value| value.as_str().unwrap().to_owned());
    let entries = index["versions"].as_array().unwrap().iter();
    entries.map(|entry| (text(entry, "version").unwrap(), text(entry, "published"))).collect()
}

#[track_caller]
fn assert_dates(site: &Path, expected: &[(&str, Option<&str>)]) {
    let owned = |(version, date): &(&str, Option<&str>)| ((*version).to_owned(), date.map(str::to_owned));
    assert_eq!(dates(site), expected.iter().map(owned).collect::<Vec<_>>());
}

#[test]
fn a_version_keeps_the_date_of_its_first_publish() {
    let root = folder();
    let site = root.path().join("site");
    // The build's start goes before SOURCE_DATE_EPOCH.
    let linux = [tarball("release-1.2.0", "linux-amd64")];
    run(publish(&site, &linux).env("DRONE_BUILD_STARTED", "1767322986")).succeeds();
    let first = [("1.2.0", Some("2026-01-02T03:03:06Z"))];
    assert_dates(&site, &first);

    // A platform is added, and others are replaced, at other times.
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    run(publish(&site, &tarballs("release-1.2.0-rebuilt")).arg("--replace")).succeeds();
    assert_dates(&site, &first);
    run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    let both = [first[0], ("1.10.0", Some(DATE))];
    assert_dates(&site, &both);

    let change = |args: &[&str]| {
        run(tfreg().args(args).arg("--to").arg(&site).env_remove("SOURCE_DATE_EPOCH")).succeeds();
    };
    change(&["yank", "acme/sample@1.2.0", "--yes"]);
    assert_dates(&site, &both[1..]);
    change(&["unyank", "acme/sample@1.2.0"]);
    assert_dates(&site, &both);
    let (new, old) = (key("rsa3072.asc"), key("ed25519.asc"));
    let (new, old) = (new.to_str().unwrap(), old.to_str().unwrap());
    change(&["resign", "acme/sample", "--signing-key-file", new, "--trust-key", old]);
    assert_dates(&site, &both);
    change(&["warn", "acme/sample", "Use another one."]);
    change(&["reindex", "acme/sample", "--yes"]);
    assert_dates(&site, &both);
}

#[test]
fn a_version_without_a_date_stays_without_one() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
    let text = std::fs::read_to_string(site.join(INDEX)).unwrap();
    let line = format!("      \"published\": \"{DATE}\",\n");
    assert!(text.contains(&line), "{text}");
    std::fs::write(site.join(INDEX), text.replace(&line, "")).unwrap();
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    assert_dates(&site, &[("1.2.0", None), ("1.10.0", Some(DATE))]);
}

#[test]
fn the_date_is_now_where_nothing_else_is_known() {
    let root = folder();
    for (name, variable) in [("unset", None), ("empty", Some(""))] {
        let site = root.path().join(name);
        let mut command = publish(&site, &[tarball("release-1.2.0", "linux-amd64")]);
        match variable {
            Some(text) => command.env("SOURCE_DATE_EPOCH", text),
            None => command.env_remove("SOURCE_DATE_EPOCH"),
        };
        let before = Timestamp::now().as_second();
        run(&mut command).succeeds();
        let after = Timestamp::now().as_second();
        let text = dates(&site).remove(0).1.unwrap();
        let date: Timestamp = text.parse().unwrap();
        assert!((before..=after).contains(&date.as_second()), "{text}");
        assert_eq!(
            text,
            Timestamp::from_second(date.as_second()).unwrap().to_string(),
            "whole seconds in UTC"
        );
    }
}

#[test]
fn a_date_that_is_no_number_of_seconds_is_refused() {
    let root = folder();
    let site = root.path().join("site");
    for text in ["yesterday", "-1", "2026-01-02T03:04:05Z", "1767322986.5", "99999999999999"] {
        let mut command = publish(&site, &[tarball("release-1.2.0", "linux-amd64")]);
        run(command.env("SOURCE_DATE_EPOCH", text))
            .fails(2, &["SOURCE_DATE_EPOCH", text, "seconds since 1970"]);
        assert!(!site.exists(), "{text}: something was written");
    }
}
