//! The command line of publish: options that make no sense, and files and directories that cannot be used.

use super::{MANIFEST, NAME};
use crate::support::archive::write;
use crate::support::{folder, key, named_pipe, publish, run, tarball, tfreg, tree};

#[test]
fn command_lines_that_make_no_sense() {
    let tarball = tarball("release-1.2.0", "linux-amd64");
    let (tarball, key) = (tarball.to_str().unwrap(), key("ed25519.asc"));
    let key = key.to_str().unwrap();
    let (to, namespace, signing) = (["--to", "site"], ["--namespace", "acme"], ["--signing-key-file", key]);
    let whole = [&["publish"], &to[..], &namespace, &signing, &[tarball]].concat();
    let with = |more: &[&'static str]| [whole.as_slice(), more].concat();
    for (row, args, text) in [
        ("nothing", vec![], "Usage: tfreg"),
        ("unknown command", vec!["publsh"], "'publish'"),
        ("unknown option", with(&["--force"]), "--force"),
        ("no target", [&["publish"], &namespace[..], &signing, &[tarball]].concat(), "--to <TARGET>"),
        ("no namespace", [&["publish"], &to[..], &signing, &[tarball]].concat(), "--namespace <NS>"),
        ("no key", [&["publish"], &to[..], &namespace, &[tarball]].concat(), "no signing key"),
        (
            "upper-case namespace",
            [&["publish", "--namespace", "Acme"], &to[..], &signing, &[tarball]].concat(),
            "write \"acme\"",
        ),
        (
            "namespace with a slash",
            [&["publish", "--namespace", "a/b"], &to[..], &signing, &[tarball]].concat(),
            "underscores are allowed",
        ),
        (
            "empty namespace",
            [&["publish", "--namespace", ""], &to[..], &signing, &[tarball]].concat(),
            "--namespace",
        ),
        (
            "empty target",
            [&["publish", "--to", ""], &namespace[..], &signing, &[tarball]].concat(),
            "--to <TARGET>",
        ),
        (
            "target on the web",
            [&["publish", "--to", "https://example.com/"], &namespace[..], &signing, &[tarball]].concat(),
            "https:// cannot be written to",
        ),
        (
            "target without a bucket",
            [&["publish", "--to", "s3://"], &namespace[..], &signing, &[tarball]].concat(),
            "s3://",
        ),
        (
            "target with one slash",
            [&["publish", "--to", "s3:/bucket"], &namespace[..], &signing, &[tarball]].concat(),
            "s3:/bucket",
        ),
        ("protocol 4", with(&["--protocol", "4.0"]), "--protocol: \"4.0\" is no valid protocol"),
        ("protocol v6", with(&["--protocol", "v6.0"]), "expected MAJOR.MINOR"),
        ("one bad protocol of two", with(&["--protocol", "6.0,x"]), "\"x\" is no valid protocol"),
        ("no jobs", with(&["--jobs", "0"]), "--jobs <N>"),
        ("many jobs", with(&["--jobs", "257"]), "--jobs <N>"),
        ("half a version", with(&["--expect-version", "1.2"]), "--expect-version <V>"),
        ("half a platform", with(&["--expect-platform", "linux"]), "OS_ARCH"),
        ("relative base", with(&["--base-url", "store/"]), "--base-url: "),
        ("no time", with(&["--contention-timeout", "soon"]), "90s or 5m"),
        ("negative limit", with(&["--max-entries=-1"]), "--max-entries <N>"),
        ("fractional limit", with(&["--max-unpacked-bytes", "1.5"]), "--max-unpacked-bytes <BYTES>"),
        ("negative age", with(&["--document-max-age=-1"]), "--document-max-age <SECONDS>"),
        ("quiet and verbose", with(&["--quiet", "--verbose"]), "cannot be used with"),
        ("unknown format", with(&["--format", "yaml"]), "human, json"),
    ] {
        let root = folder();
        let ran = run(tfreg().args(args).current_dir(root.path()));
        assert_eq!(ran.code, 2, "{row}: {ran:#?}");
        assert!(ran.stderr.contains(text), "{row}: expected {text:?}: {ran:#?}");
        assert_eq!(ran.stdout, "", "{row}");
        assert!(tree(root.path()).is_empty(), "{row}: something was written");
        assert!(!root.path().join("site").exists(), "{row}: the target was made");
    }
}

#[test]
fn dry_runs_into_the_wrong_place() {
    let root = folder();
    let (site, other) = (root.path().join("site"), root.path().join("other"));
    std::fs::create_dir_all(&other).unwrap();
    write(&other, "file", "x");
    std::fs::create_dir_all(root.path().join("empty")).unwrap();
    let tarballs = [tarball("release-1.2.0", "linux-amd64")];
    for (row, preview, text) in [
        ("not empty", "other", "a directory with files in it"),
        ("the target", "site", "a directory of the target itself"),
        ("inside the target", "site/preview", "a directory of the target itself"),
        ("inside the target, said otherwise", "empty/../site/./preview", "a directory of the target itself"),
    ] {
        let preview = root.path().join(preview);
        let ran = run(publish(&site, &tarballs).arg("--dry-run").arg(&preview));
        ran.refused(row, &[&format!("{}: not a place for a dry run", preview.display()), text]);
        assert_eq!(tree(root.path()).into_keys().collect::<Vec<_>>(), ["other/file"], "{row}");
        assert!(!site.exists(), "{row}");
    }
    run(publish(&site, &tarballs).arg("--dry-run").arg(other.join("file"))).fails(1, &["other/file"]);
}

/// A link to the target's folder leads into the target as well.
#[test]
fn a_dry_run_into_the_target_by_a_link() {
    let root = folder();
    let (site, link) = (root.path().join("site"), root.path().join("link"));
    std::fs::create_dir(&site).unwrap();
    std::os::unix::fs::symlink(&site, &link).unwrap();
    let tarballs = [tarball("release-1.2.0", "linux-amd64")];
    for (target, preview) in
        [(&site, link.join("preview")), (&link, site.join("preview")), (&link, site.clone())]
    {
        let ran = run(publish(target, &tarballs).arg("--dry-run").arg(&preview));
        ran.refused("link", &["a directory of the target itself"]);
        assert_eq!(std::fs::read_dir(&site).unwrap().count(), 0);
    }
}

#[test]
fn files_that_cannot_be_read() {
    let good = tarball("release-1.2.0", "linux-amd64");
    let root = folder();
    let (missing, site) = (root.path().join("missing"), root.path().join("site"));
    let absent = root.path().join(NAME);
    run(publish(&site, std::slice::from_ref(&absent)).args(["--protocol", "6.0"]))
        .fails(1, &[&format!("cannot open {}", absent.display()), "No such file"]);
    run(publish(&site, std::slice::from_ref(&good)).arg("--signing-passphrase-file").arg(&missing))
        .fails(1, &["--signing-passphrase-file", "No such file"]);
    let mut no_key = tfreg();
    no_key.arg("publish").arg("--to").arg(&site).args(["--namespace", "acme", "--signing-key-file"]);
    run(no_key.arg(&missing).arg(&good))
        .fails(1, &[&format!("cannot read {}", missing.display()), "No such file"]);

    let folder_named_so = root.path().join("terraform-provider-sample_1.2.0_linux_arm64.tar.gz");
    std::fs::create_dir(&folder_named_so).unwrap();
    run(publish(&site, std::slice::from_ref(&folder_named_so)).args(["--protocol", "6.0"]))
        .fails(3, &[&folder_named_so.display().to_string(), "nothing in this folder", "remedy:"]);

    std::fs::copy(&good, &absent).unwrap();
    let sidecar = root.path().join(format!("{NAME}.sha256"));
    std::fs::create_dir(&sidecar).unwrap();
    run(publish(&site, std::slice::from_ref(&absent)).args(["--protocol", "6.0"]))
        .fails(3, &[&sidecar.display().to_string(), "not a small file", "remedy:"]);
    std::fs::remove_dir(&sidecar).unwrap();
    std::fs::create_dir(root.path().join(MANIFEST)).unwrap();
    run(publish(&site, std::slice::from_ref(&absent)).args(["--protocol", "6.0"]))
        .fails(3, &[MANIFEST, "not a small file", "remedy:"]);
    // To open a named pipe would be to wait for ever.
    std::fs::remove_dir(root.path().join(MANIFEST)).unwrap();
    named_pipe(&sidecar);
    run(publish(&site, std::slice::from_ref(&absent)).args(["--protocol", "6.0"]))
        .fails(3, &["not a small file"]);
    assert!(!site.exists());

    let file = write(root.path(), "file", "x");
    run(&mut publish(&file, std::slice::from_ref(&good))).fails(1, &[&file.display().to_string()]);
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
    run(&mut publish(file.join("site"), &[good])).fails(1, &[&file.display().to_string()]);
}
