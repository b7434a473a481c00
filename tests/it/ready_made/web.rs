//! A release on the web: the address of its SHA256SUMS, and the files beside it.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{RELEASE, STEM, has_the_release, keep, named};
use crate::support::host::{Host, Instead};
use crate::support::plain_host::PlainHost;
use crate::support::{folder, run, testdata, tree};

fn kept_from(site: &Path, host: &Host, folder: &str) -> Command {
    let mut command = keep(site, format!("{}{folder}{STEM}_SHA256SUMS", host.url()));
    command.env("AWS_CA_BUNDLE", host.certificate()).env("NO_PROXY", "localhost,127.0.0.1");
    command
}

fn published(site: &Path) -> Vec<(String, Vec<u8>)> {
    tree(site).into_iter().collect()
}

#[test]
fn a_release_is_fetched_from_beside_its_sha256sums_through_redirects() {
    let root = folder();
    let (files, site) = (root.path().join("www"), root.path().join("site"));
    for folder in ["download", "objects"] {
        std::fs::create_dir_all(files.join(folder)).unwrap();
    }
    // As code hosts have it: the files of a release are redirects to another place.
    let host = Host::of(&files);
    // The longer one of two names that begin alike counts first.
    for (name, bytes) in tree(&testdata(RELEASE)).into_iter().rev() {
        std::fs::write(files.join("objects").join(&name), bytes).unwrap();
        let to = format!("{{host}}/objects/{name}");
        host.instead(&format!("download/{name}"), Instead::Redirect(Box::leak(to.into_boxed_str())));
    }
    let ran = run(&mut kept_from(&site, &host, "download/")).succeeds();
    assert!(ran.stderr.contains("Fetching 4 zips from beside https://localhost"), "{ran:#?}");
    has_the_release(&published(&site));
    assert_eq!(host.gets("artifacts.json"), 0, "what is not listed is not fetched");

    let site = root.path().join("other");
    let refused = |row: &str, change: &dyn Fn(&Path), texts: &[&str], code: i32| {
        let files = root.path().join("changed");
        let _ = std::fs::remove_dir_all(&files);
        std::fs::create_dir(&files).unwrap();
        for (name, bytes) in tree(&testdata(RELEASE)) {
            std::fs::write(files.join(name), bytes).unwrap();
        }
        change(&files);
        let ran = run(&mut kept_from(&site, &Host::of(&files), ""));
        if code == 3 {
            ran.refused(row, texts)
        } else {
            ran.fails(code, texts)
        };
        assert!(!site.exists(), "{row}: something was written");
    };
    let zip = named("linux_amd64.zip");
    refused(
        "a changed zip",
        &|files| {
            let mut bytes = std::fs::read(files.join(&zip)).unwrap();
            bytes[600] ^= 1;
            std::fs::write(files.join(&zip), bytes).unwrap();
        },
        &["linux_amd64.zip: the zip does not have the checksum in its SHA256SUMS file"],
        3,
    );
    refused(
        "no zip",
        &|files| std::fs::remove_file(files.join(&zip)).unwrap(),
        &["linux_amd64.zip", "404"],
        1,
    );
    refused(
        "no signature",
        &|files| std::fs::remove_file(files.join(named("SHA256SUMS.sig"))).unwrap(),
        &["no signature of SHA256SUMS"],
        3,
    );
    refused(
        "no SHA256SUMS",
        &|files| std::fs::remove_file(files.join(named("SHA256SUMS"))).unwrap(),
        &["no SHA256SUMS is there"],
        3,
    );
    refused(
        "a large one",
        &|files| std::fs::write(files.join(named("SHA256SUMS")), "x".repeat(70_000)).unwrap(),
        &["more than 65536 bytes"],
        1,
    );
    let host = Host::of(&testdata(RELEASE));
    host.instead(&zip, Instead::Redirect("http://localhost:{port}/x.zip"));
    run(&mut kept_from(&site, &host, "")).fails(1, &["a redirect from https to plain http"]);
    run(keep(&site, "http://example.com/terraform-provider-sample_1.2.0_SHA256SUMS").env("NO_PROXY", "*"))
        .fails(2, &["expected https:// (http only on this machine)"]);
    assert!(!site.exists());
}

#[test]
fn a_zip_that_stops_on_its_way_is_resumed() {
    // How a server continues: from where it was asked to, from the beginning, or never to the end.
    for (row, ranges, is_cut_again) in
        [("ranges", true, false), ("no ranges", false, false), ("never", true, true)]
    {
        let root = folder();
        let site = root.path().join("site");
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        let host = PlainHost::with_ranges(move |path, from, stream| {
            let Ok(bytes) = std::fs::read(testdata(RELEASE).join(path)) else {
                let _ = stream
                    .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                return;
            };
            let is_cut = path.ends_with("linux_amd64.zip") && {
                let nth = seen.fetch_add(1, Ordering::SeqCst);
                nth == 0 || is_cut_again
            };
            let from = from.filter(|_| ranges).unwrap_or(0);
            let (status, range) = match from {
                0 => ("200 OK", String::new()),
                _ => (
                    "206 Partial Content",
                    format!("content-range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len()),
                ),
            };
            let rest = &bytes[from..];
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{range}connection: close\r\n\r\n",
                rest.len()
            );
            let sent = if is_cut { &rest[..rest.len() / 2] } else { rest };
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
        });
        let mut command = keep(&site, format!("{}{STEM}_SHA256SUMS", host.url()));
        let ran = run(command.env("NO_PROXY", "127.0.0.1"));
        if is_cut_again {
            ran.fails(1, &["linux_amd64.zip", "remedy:"]);
            assert!(!site.exists(), "{row}");
            assert_eq!(requests.load(Ordering::SeqCst), 6, "{row}: the first and five more");
        } else {
            ran.succeeds();
            has_the_release(&published(&site));
            assert_eq!(requests.load(Ordering::SeqCst), 2, "{row}");
        }
    }
}
