//! The commands `yank` and `unyank`: a version is taken out of the index, and put back as it was.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tfreg::plan::completeness::Trust;
use tfreg::plan::unyank::Unyank;
use tfreg::plan::yank::Yank;
use tfreg::plan::yank_expired::YankExpired;
use tfreg::provider::Version;

use super::{
    INDEX, RECORD, command, edit, every_request, json, on, provider, result, server, site, versions,
};
use crate::support::archive::{Archive, genuine_executable, write};
use crate::support::child::Running;
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::in_process::signer;
use crate::support::watched::{listed, objects};
use crate::support::{Ran, folder, publish, ran, run, tarballs, tfreg, tree};

#[test]
fn a_version_is_yanked_and_put_back_as_it_was() {
    let (_root, site) = site();
    edit(&site, INDEX, |index| index["versions"][0]["note"] = 1.into());
    let before = tree(&site);
    // Nobody is there to be asked.
    let asked = on(&site, "yank", &["1.2.0"]).fails(2, &["--yes", "fails for lock files"]);
    assert!(
        asked.stdout.contains("- 1.2.0 (darwin_arm64, linux_amd64, linux_arm64, windows_amd64)"),
        "{asked:?}"
    );
    assert_eq!(tree(&site), before);

    let yank = ["1.2.0", "--reason", "deletes tags", "--yes", "--format", "json"];
    let done = on(&site, "yank", &yank).succeeds();
    assert!(done.stderr.contains("fails for lock files"), "{done:?}");
    let done = result(done);
    let keys: Vec<&str> =
        done["objects"].as_array().unwrap().iter().map(|o| o["key"].as_str().unwrap()).collect();
    assert_eq!((&done["outcome"], keys), (&"changed".into(), vec![RECORD, INDEX]));
    assert_eq!(versions(&site), ["1.10.0"]);
    let record = json(&site, RECORD);
    assert_eq!((&record["yanked"], &record["reason"]), (&true.into(), &"deletes tags".into()));
    assert_eq!(json(&site, INDEX)["yanked"]["1.2.0"]["when"], record["when"]);
    assert!(tree(&site).len() == before.len() + 1, "objects stay");
    assert_eq!(result(on(&site, "yank", &yank))["outcome"], "unchanged");
    let other = on(&site, "yank", &["1.2.0", "--reason", "other"]).succeeds();
    assert!(
        other.stderr.contains("already yanked at") && other.stdout.contains("Nothing to do"),
        "{other:?}"
    );

    // A publish of it is refused, of another version not; what is not known in the record stays.
    let after = tree(&site);
    let remedy = format!("tfreg unyank {} acme/sample", site.display());
    for release in ["release-1.2.0", "release-1.2.0-more"] {
        run(&mut publish(&site, &tarballs(release)))
            .refused(release, &[RECORD, "version 1.2.0 is yanked", "deletes tags", &remedy]);
    }
    run(publish(&site, &tarballs("release-1.2.0-rebuilt")).arg("--replace"))
        .refused("--replace", &["is yanked"]);
    assert_eq!(tree(&site), after);
    run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    edit(&site, RECORD, |record| record["ticket"] = 7.into());

    let back = on(&site, "unyank", &["1.2.0"]).succeeds();
    assert!(
        back.stdout.contains("+ 1.2.0 (darwin_arm64, linux_amd64, linux_arm64, windows_amd64)"),
        "{back:?}"
    );
    let record = json(&site, RECORD);
    assert_eq!(
        (&record["yanked"], &record["ticket"], &record["reason"]),
        (&false.into(), &7.into(), &"deletes tags".into())
    );
    let mut now = tree(&site);
    assert!(now.remove(RECORD).is_some());
    let mut index = json(&site, INDEX);
    assert_eq!(index.as_object_mut().unwrap().remove("yanked").unwrap()["1.2.0"]["yanked"], false);
    let was: Value = serde_json::from_slice(&before[INDEX]).unwrap();
    assert_eq!(index, was, "its note included");
    let ran = on(&site, "unyank", &["1.2.0"]).succeeds();
    assert!(ran.stdout.contains("Nothing to do"), "{ran:?}");
    let ran = run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    assert!(ran.stdout.contains("Already published"), "{ran:?}");
    on(&site, "yank", &["1.2.0", "--yes"]).succeeds();
    let record = json(&site, RECORD);
    assert_eq!((&record["yanked"], record.get("reason"), record.get("unyanked")), (&true.into(), None, None));
}

/// Yanks with a terminal, on which somebody types `answer` and then nothing more; what is shown there is all in `stdout`.
fn yank_on_a_terminal(site: &Path, answer: &str) -> Ran {
    let tfreg = command("yank", site, &["1.2.0"]);
    let words = std::iter::once(tfreg.get_program()).chain(tfreg.get_args());
    let quoted: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &quoted.join(" "), "/dev/null"]);
    for (name, value) in tfreg.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let mut child =
        Running::start(script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    ran(&child.output())
}

#[test]
fn who_is_at_a_terminal_is_asked() {
    if !require_program("script") {
        return;
    }
    let (_root, site) = site();
    let before = tree(&site);
    for answer in ["n\n", "\n", "yesterday\n", ""] {
        let asked = yank_on_a_terminal(&site, answer);
        assert_eq!(asked.code, 1, "{answer:?}: {asked:?}");
        for text in ["fails for lock files", "- 1.2.0 (darwin_arm64", "Continue?", "[y/N]"] {
            assert!(asked.stdout.contains(text), "{answer:?}, {text}: {asked:?}");
        }
        assert_eq!(tree(&site), before, "{answer:?}");
    }
    let done = yank_on_a_terminal(&site, "Y\n").succeeds();
    // The plan was shown with the question, and is not shown again.
    assert_eq!(done.stdout.matches("Plan: ").count(), 1, "{done:?}");
    assert_eq!(versions(&site), ["1.10.0"]);
}

#[test]
fn what_cannot_be_yanked_or_put_back_is_refused() {
    let (_root, site) = site();
    let yank = |version: &str| on(&site, "yank", &[version, "--yes"]);
    let unyank = |version: &str| on(&site, "unyank", &[version]);
    yank("1.3.0").refused("not published", &[INDEX, "version 1.3.0 is not published"]);
    unyank("1.3.0").refused("not yanked", &["version 1.3.0 is not yanked"]);
    yank("1.2").fails(2, &["'1.2'", "VERSION"]);
    on(&site, "yank", &["1.2.0", "--reason", "a\nb", "--yes"]).fails(2, &["--reason"]);
    yank("1.2.0").succeeds();
    let whole = tree(&site);
    let document = "registry/acme/sample/1.2.0/download/linux/amd64";
    let linked = |member: &str| json(&site, document)[member].as_str().unwrap()[1..].to_owned();
    for key in
        [document.to_owned(), linked("download_url"), linked("shasums_url"), linked("shasums_signature_url")]
    {
        for damaged in [false, true] {
            if damaged && key.ends_with(".sig") {
                continue;
            }
            std::fs::remove_file(site.join(&key)).unwrap();
            if damaged {
                std::fs::write(site.join(&key), "{").unwrap();
            }
            unyank("1.2.0").refused(&key, &["version 1.2.0 cannot be put back", &key]);
            std::fs::write(site.join(&key), &whole[&key]).unwrap();
        }
    }
    assert_eq!(tree(&site), whole);
    // What is not understood is never taken for a version that is not yanked.
    for text in ["", "{}", r#"{"yanked":"no","when":"x"}"#, r#"{"yanked":false}"#] {
        std::fs::write(site.join(RECORD), text).unwrap();
        for ran in [yank("1.2.0"), unyank("1.2.0"), run(&mut publish(&site, &tarballs("release-1.2.0")))] {
            ran.refused(text, &[RECORD, "cannot be understood"]);
        }
    }
    // The index says it too, should the record be lost; and the version is put back by it.
    std::fs::remove_file(site.join(RECORD)).unwrap();
    run(&mut publish(&site, &tarballs("release-1.2.0")))
        .refused("no record", &[INDEX, "version 1.2.0 is yanked"]);
    unyank("1.2.0").succeeds();
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    edit(&site, INDEX, |index| index["yanked"] = serde_json::json!(["1.2.0"]));
    yank("1.2.0").refused("foreign marks", &[INDEX, "cannot be understood"]);
}

/// Adds pre-releases to the index, the second one without a date: 1.11.0-rc.1 of 2026-01-01 and so on, a month each.
fn add_prereleases(index: &mut Value) {
    let entries = index["versions"].as_array_mut().unwrap();
    for number in 1..=8 {
        let mut entry = entries[0].clone();
        entry["version"] = format!("1.11.0-rc.{number}").into();
        entry["published"] = format!("2026-{number:02}-01T00:00:00Z").into();
        if number == 2 {
            entry.as_object_mut().unwrap().remove("published");
        }
        entries.push(entry);
    }
}

#[test]
fn old_prereleases_are_yanked_but_for_the_newest() {
    let (_root, site) = site();
    edit(&site, INDEX, add_prereleases);
    let before = tree(&site);
    let args = ["--prereleases", "--older-than", "2026-06-15", "--keep", "3"];
    let asked = on(&site, "yank", &args).fails(2, &["--yes", "these pre-releases"]);
    let lines: Vec<&str> = asked.stdout.lines().filter_map(|line| line.trim().strip_prefix("- ")).collect();
    let names = ["1.11.0-rc.1 (", "1.11.0-rc.3 (", "1.11.0-rc.4 (", "1.11.0-rc.5 ("];
    assert!(
        lines.len() == 4 && lines.iter().zip(names).all(|(line, name)| line.starts_with(name)),
        "{asked:#?}"
    );
    let preview = site.with_extension("preview");
    on(&site, "yank", &[&args[..], &["--dry-run", preview.to_str().unwrap()]].concat()).succeeds();
    assert_eq!(tree(&site), before);
    assert_eq!(tree(&preview).len(), 5, "four records and the index");

    let yank = [&args[..], &["--reason", "expired", "--yes", "--format", "json"]].concat();
    let done = on(&site, "yank", &yank);
    assert!(done.stderr.contains("left alone") && done.stderr.contains(": 1.11.0-rc.2\n"), "{done:#?}");
    assert_eq!(result(done)["outcome"], "changed");
    let left = ["1.2.0", "1.10.0", "1.11.0-rc.2", "1.11.0-rc.6", "1.11.0-rc.7", "1.11.0-rc.8"];
    assert_eq!(versions(&site), left);
    let record = json(&site, "registry/acme/sample/1.11.0-rc.1/yanked");
    assert_eq!((&record["yanked"], &record["reason"]), (&true.into(), &"expired".into()));
    assert_eq!(tree(&site).len(), before.len() + 4, "objects stay");
    assert_eq!(result(on(&site, "yank", &yank))["outcome"], "unchanged");
    // Releases never expire, nor what is newer.
    let all = ["--prereleases", "--older-than", "2026-07-15", "--keep", "0", "--yes"];
    on(&site, "yank", &all).succeeds();
    assert_eq!(versions(&site), ["1.2.0", "1.10.0", "1.11.0-rc.2", "1.11.0-rc.8"]);

    for (args, said) in [
        (&["--prereleases"][..], "--older-than"),
        (&["--older-than", "90d"], "--prereleases"),
        (&["1.2.0", "--prereleases", "--older-than", "90d"], "cannot be used with"),
        (&["--prereleases", "--older-than", "soon"], "expected a date"),
        (&["--keep", "1"], "--prereleases"),
    ] {
        on(&site, "yank", args).fails(2, &[said]);
    }
    let of_a_version =
        ["yank", site.to_str().unwrap(), "acme/sample@1.2.0", "--prereleases", "--older-than", "90d"];
    run(tfreg().args(of_a_version)).fails(2, &["this command is about all versions"]);
}

#[test]
fn each_request_of_a_yank_of_old_prereleases_may_fail_or_be_its_last() {
    let (root, server) = (folder(), server());
    for version in ["1.11.0-rc.1", "1.11.0-rc.2"] {
        let tarball =
            Archive::new().file("terraform-provider-sample", genuine_executable("linux-amd64")).gz();
        let name = format!("terraform-provider-sample_{version}_linux_amd64.tar.gz");
        let mut command = publish("s3://bucket", &[write(root.path(), &name, tarball)]);
        run(command.args(["--protocol", "6.0"]).envs(server.envs())).succeeds();
    }
    let before = "2100-01-01T00:00:00Z".parse().unwrap();
    let goal = YankExpired { provider: provider(), before, keep: 1, reason: None, now: before };
    let args = ["--prereleases", "--older-than", "2100-01-01", "--keep", "1", "--yes"];
    every_request(&objects(&server, ""), (&goal, &signer()), "yank", &args, &|server| {
        let listed = listed(server);
        assert!(listed.len() == 9 && !listed.keys().any(|name| name.contains("rc.1")), "{listed:?}");
    });
}

#[test]
fn each_request_of_a_yank_may_fail_or_be_its_last() {
    let version: Version = "1.2.0".parse().unwrap();
    let base = objects(&server(), "");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let goal = Yank { provider: provider(), version, reason: None, now };
    every_request(&base, (&goal, &signer()), "yank", &["1.2.0", "--yes"], &|server| {
        assert_eq!(listed(server).len(), 4);
    });
}

#[test]
fn each_request_of_an_unyank_may_fail_or_be_its_last() {
    let server = server();
    run(command("yank", "s3://bucket", &["1.2.0", "--yes"]).envs(server.envs())).succeeds();
    let (version, now) = ("1.2.0".parse().unwrap(), jiff::Timestamp::UNIX_EPOCH);
    let goal = Unyank { provider: provider(), version, trust: Trust::default(), now };
    let base = objects(&server, "");
    every_request(&base, (&goal, &signer()), "unyank", &["1.2.0"], &|server| {
        assert_eq!(listed(server).len(), 8);
    });
}

#[test]
fn terraform_does_not_find_a_yanked_version() {
    if !require_program("terraform") {
        return;
    }
    let (_root, site) = site();
    let preview = Preview::of(&site);
    let before = Terraform::new(&preview, "1.2.0");
    before.run(&["init", "-no-color"]).succeeds();
    let lock = before.lock_file();
    on(&site, "yank", &["1.2.0", "--yes"]).succeeds();

    let range = Terraform::new(&preview, "~> 1.0");
    range.run(&["init", "-no-color"]).succeeds();
    assert!(range.lock_file().contains("1.10.0"));
    let pinned = Terraform::new(&preview, "1.2.0");
    pinned.run(&["init", "-no-color"]).fails(1, &["no available releases match"]);
    // A lock file that names it fails, in a fresh directory and where the version is installed.
    let locked = Terraform::new(&preview, "~> 1.0");
    std::fs::write(locked.path(".terraform.lock.hcl"), &lock).unwrap();
    let ran = locked.run(&["init", "-no-color"]);
    assert!(ran.code == 1 && ran.stderr.contains("1.2.0"), "{ran:?}");
    before.run(&["init", "-no-color"]).fails(1, &["1.2.0 is no", "available"]);

    on(&site, "unyank", &["1.2.0"]).succeeds();
    Terraform::new(&preview, "1.2.0").run(&["init", "-no-color"]).succeeds();
    locked.run(&["init", "-no-color", "-lockfile=readonly"]).succeeds();
    assert!(locked.installed("1.2.0").exists());
}
