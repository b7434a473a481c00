//! Checksums of tarballs in files beside them: a .sha256 file for each, or one SHA256SUMS file for a release.

use super::NAME;
use crate::support::archive::write;
use crate::support::{folder, publish, run, tarball};

#[test]
fn sidecars() {
    let digest = "91c96892a96ebcadf39dc3aa1764e5fea392d099da5a83a16e551c09bd6406d2";
    let zeros = "0".repeat(64);
    let original = tarball("release-1.2.0", "linux-amd64");
    for (row, sidecar, texts) in [
        (
            "another checksum",
            format!("{zeros}  {NAME}\n"),
            &["the tarball does not have the checksum in its .sha256 file", digest, zeros.as_str()][..],
        ),
        ("another file's", format!("{digest}  other.tar.gz\n"), &["a checksum for \"other.tar.gz\""]),
        ("two lines", format!("{digest}  {NAME}\n{digest}  {NAME}\n"), &["2 lines"]),
        ("empty", String::new(), &["0 lines"]),
        ("too short", format!("{}\n", &digest[1..]), &["64 hex digits"]),
        ("an error page", "<html>404</html>\n".to_owned(), &["\"<html>404</html>\""]),
        ("BSD form", format!("SHA256 ({NAME}) = {digest}\n"), &["64 hex digits"]),
    ] {
        let root = folder();
        let site = root.path().join("site");
        let path = root.path().join(NAME);
        std::fs::copy(&original, &path).unwrap();
        write(root.path(), &format!("{NAME}.sha256"), &sidecar);
        let ran = run(publish(&site, &[path]).args(["--protocol", "6.0"]));
        ran.refused(row, texts).refused(row, &[&format!("{NAME}.sha256")]);
        assert!(!site.exists(), "{row}: something was written");
    }
    for (row, sidecar) in [
        ("bare", format!("{digest}\n")),
        ("no line end", digest.to_owned()),
        ("text mode", format!("{digest}  {NAME}\n")),
        ("binary mode", format!("{digest} *{NAME}\n")),
        ("of Windows", format!("{digest}  {NAME}\r\n")),
        ("upper case", format!("{}  {NAME}\n", digest.to_uppercase())),
        ("with a folder", format!("{digest}  ./build/{NAME}\n")),
    ] {
        let root = folder();
        let site = root.path().join("site");
        let path = root.path().join(NAME);
        std::fs::copy(&original, &path).unwrap();
        write(root.path(), &format!("{NAME}.sha256"), &sidecar);
        let ran = run(publish(&site, &[path]).args(["--protocol", "6.0"]));
        assert_eq!(ran.code, 0, "{row}: {ran:#?}");
    }
}

#[test]
fn the_sums_of_the_release() {
    let digest = "91c96892a96ebcadf39dc3aa1764e5fea392d099da5a83a16e551c09bd6406d2";
    let zeros = "0".repeat(64);
    let original = tarball("release-1.2.0", "linux-amd64");
    let release = "terraform-provider-sample_1.2.0_SHA256SUMS";
    let attempt = |files: &[(&str, String)]| {
        let root = folder();
        let site = root.path().join("site");
        let path = root.path().join(NAME);
        std::fs::copy(&original, &path).unwrap();
        for (name, text) in files {
            write(root.path(), name, text);
        }
        let ran = run(publish(&site, &[path]).args(["--protocol", "6.0"]));
        assert_eq!(site.exists(), ran.code == 0, "{files:?}");
        ran
    };
    let line = |digest: &str| format!("{zeros}  other.zip\n{digest}  {NAME}\n");
    for sums in ["SHA256SUMS", release] {
        attempt(&[(sums, line(digest))]).succeeds();
        attempt(&[(sums, line(digest)), (&format!("{NAME}.sha256"), digest.to_owned())]).succeeds();
        let other_files = attempt(&[(sums, format!("{zeros}  other.tar.gz\n"))]);
        other_files.succeeds();
        attempt(&[(sums, line(&zeros))]).refused(
            sums,
            &["the tarball does not have the checksum in its SHA256SUMS file", digest, &zeros, sums],
        );
        attempt(&[(sums, line(&zeros)), (&format!("{NAME}.sha256"), digest.to_owned())])
            .refused(sums, &["different checksums", digest, &zeros, sums, &format!("{NAME}.sha256")]);
        attempt(&[(sums, line(digest) + &line(&zeros))]).refused(sums, &["not one checksum", sums]);
        attempt(&[(sums, line("damaged"))]).refused(sums, &["not one checksum", "damaged", sums]);
    }
}
