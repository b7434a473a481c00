//! Hosts that send slowly, or without an end: a reader gives up, says why, and closes the connection.
//!
//! The times are shorter than a user's, and no test depends on how long anything takes: what waits here waits until the reader
//! closes the connection.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;
use tfreg::reader::web::{Times, Web, address};
use tfreg::reader::{Fetched, Reply};
use tfreg::registry::Key;
use tfreg::store::StoreError;

use crate::support::archive::gzip;
use crate::support::plain_host::{PlainHost, wait_for_end};
use crate::support::{Ran, folder, publish, run, tarballs, tfreg};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_hours(1);

/// No time is over before its test is.
fn unhurried() -> Times {
    Times {
        head: LONG,
        document: LONG,
        object: LONG,
        bytes_per_second: 1024,
        window: LONG,
        pause: Duration::ZERO,
    }
}

/// A host that answers with `answer`, and tells when the reader has closed the connection behind it.
fn host(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> (PlainHost, Receiver<()>) {
    let (closed, is_closed) = channel();
    let closed = Mutex::new(closed);
    let host = PlainHost::start(move |_, stream| {
        answer(stream);
        wait_for_end(stream);
        let _ = closed.lock().unwrap().send(());
    });
    (host, is_closed)
}

/// Writes `piece` until the reader closes the connection.
fn for_ever(stream: &mut TcpStream, piece: &[u8]) {
    while stream.write_all(piece).is_ok() {}
}

fn say(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(text.as_bytes());
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn web(host: &PlainHost, times: Times) -> Web {
    Web::connect(address(&host.url()).unwrap(), None, false).unwrap().with_times(times)
}

/// Reads a document of at most 1 MiB.
fn fetch(host: &PlainHost, times: Times) -> Result<Reply<Fetched>, StoreError> {
    let web = web(host, times);
    block_on(web.fetch(&web.host().join("document").unwrap(), 1 << 20))
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    for head in ["content-length: 1000\r\n", ""] {
        let (host, closed) = host(move |stream| say(stream, &format!("HTTP/1.1 200 OK\r\n{head}\r\n{{")));
        let error = fetch(&host, Times { window: SHORT, ..unhurried() }).unwrap_err();
        assert!(error.answer.contains("1 bytes came in 0 seconds, which is below 1024"), "{error}");
        assert!(error.remedy.unwrap().contains("faster network"));
        closed.recv().unwrap();
        assert_eq!(host.requests(), 1, "what was waited for is not waited for again");
    }
}

#[test]
fn a_body_that_comes_too_slowly_is_given_up_while_it_comes() {
    let (host, closed) = host(|stream| {
        say(stream, "HTTP/1.1 200 OK\r\n\r\n");
        for_ever(stream, b"x");
    });
    // No network is as fast.
    let web = web(&host, Times { window: SHORT, bytes_per_second: u64::MAX, ..unhurried() });
    let error = block_on(async {
        let Reply::Found((_, mut pieces)) =
            web.stream(&web.host().join("zip").unwrap(), u64::MAX).await.unwrap()
        else {
            panic!("not found")
        };
        loop {
            if let Err(error) = pieces.next().await.unwrap() {
                return error.to_string();
            }
        }
    });
    assert!(error.contains("bytes per second"), "{error}");
    drop(web);
    closed.recv().unwrap();
}

#[test]
fn a_body_that_is_never_all_there_is_given_up() {
    let (host, closed) = host(|stream| say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"));
    let error = fetch(&host, Times { document: SHORT, bytes_per_second: 0, ..unhurried() }).unwrap_err();
    assert!(error.answer.contains("it was not all there"), "{error}");
    closed.recv().unwrap();
    assert_eq!(host.requests(), 1);
}

#[test]
fn a_host_that_does_not_answer_is_asked_three_times() {
    let (host, closed) = host(|_| {});
    let error = fetch(&host, Times { head: SHORT, ..unhurried() }).unwrap_err();
    assert!(error.answer.contains("no answer within"), "{error}");
    for _ in 0..3 {
        closed.recv().unwrap();
    }
    assert_eq!(host.requests(), 3);
}

#[test]
fn headers_without_an_end_are_given_up() {
    let (host, closed) = host(|stream| {
        say(stream, "HTTP/1.1 200 OK\r\n");
        for_ever(stream, b"x-more: and more\r\n");
    });
    fetch(&host, unhurried()).unwrap_err();
    closed.recv().unwrap();
}

#[test]
fn a_body_without_an_end_is_too_large() {
    let zeros = Arc::new(gzip(&vec![0; 1 << 16]));
    for (encoding, piece) in [("identity", Arc::new(vec![b' '; 1 << 16])), ("gzip", zeros)] {
        let (host, closed) = host(move |stream| {
            say(stream, &format!("HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\n\r\n"));
            for_ever(stream, &piece);
        });
        let reply = fetch(&host, unhurried()).unwrap();
        assert!(matches!(reply, Reply::TooLarge(limit) if limit == 1 << 20), "{encoding}: {reply:?}");
        closed.recv().unwrap();
    }
}

/// A registry in which what has `endless` in its path never ends.
fn site(root: PathBuf, endless: &'static str) -> PlainHost {
    PlainHost::start(move |path, stream| {
        let Ok(bytes) = std::fs::read(root.join(path)) else {
            return say(stream, "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n");
        };
        let content_type = path.parse::<Key>().map_or("application/octet-stream", |key| key.content_type());
        say(stream, &format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {content_type}\r\n\r\n"));
        let _ = stream.write_all(&bytes);
        if path.contains(endless) {
            for_ever(stream, &vec![b' '; 1 << 16]);
        }
    })
}

fn verify(root: &Path, endless: &'static str) -> Ran {
    let host = site(root.to_owned(), endless);
    let mut command = tfreg();
    command.args(["verify", &host.url(), "acme/sample", "--format", "json", "--max-zip-mib", "1"]);
    for name in ["HTTP_PROXY", "http_proxy"] {
        command.env_remove(name);
    }
    run(&mut command)
}

#[test]
fn a_registry_with_an_object_that_never_ends_is_judged_all_the_same() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let rules = |ran: &Ran| -> Vec<String> {
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap().iter();
        findings.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
    };
    let nothing = verify(&site, "none of them");
    for (endless, rule) in [
        ("linux_amd64.zip", "zip-too-large"),
        ("_SHA256SUMS", "checksums-unreadable"),
        ("/versions", "index-unreadable"),
        ("download/linux/amd64", "document-unreadable"),
    ] {
        let ran = verify(&site, endless).fails(3, &[]);
        assert!(rules(&ran).iter().any(|found| found == rule), "{endless}: {ran:#?}");
        assert!(!rules(&nothing).iter().any(|found| found == rule), "{endless}: {nothing:#?}");
    }
}
