//! The S3 server of the tests, tested with the real SDK.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::{AggregatedBytes, ByteStream};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;

use crate::support::child::Running;
use crate::support::s3_server::{
    Action, Conditions, Gate, Matcher, Point, S3Server, Snapshot, StoredObject, Writer,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The SDK's client without retries, for plain functions.
struct Client {
    sdk: aws_sdk_s3::Client,
    runtime: tokio::runtime::Runtime,
}

/// What came of a request.
#[derive(Debug, PartialEq)]
enum Failure {
    /// The status and the error code.
    Answer(u16, String),
    /// No answer, or half of one.
    Connection,
}

fn answer<T>(status: u16, code: &str) -> Result<T, Failure> {
    Err(Failure::Answer(status, code.to_owned()))
}

impl Client {
    fn new(server: &S3Server) -> Self {
        Self::with_keys(server, server.access_key(), server.secret_key())
    }

    fn with_keys(server: &S3Server, access_key: &str, secret_key: &str) -> Self {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(server.endpoint())
            .force_path_style(true)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(access_key, secret_key, None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { sdk: aws_sdk_s3::Client::from_conf(config), runtime }
    }

    fn run<T, E: ProvideErrorMetadata>(
        &self,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure> {
        self.runtime.block_on(request).map_err(|error| match &error {
            SdkError::ServiceError(answer) => {
                Failure::Answer(answer.raw().status().as_u16(), error.code().unwrap_or_default().to_owned())
            }
            SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => Failure::Connection,
            _ => panic!("unexpected {}", error.code().unwrap_or("error")),
        })
    }

    fn put_request(&self, key: &str, body: &'static str) -> PutObjectFluentBuilder {
        let body = ByteStream::from_static(body.as_bytes());
        self.sdk.put_object().bucket("one").key(key).body(body)
    }

    fn put(&self, key: &str, body: &'static str) -> Result<String, Failure> {
        self.run(self.put_request(key, body).send()).map(|put| put.e_tag.unwrap())
    }

    fn create(&self, key: &str, body: &'static str) -> Result<String, Failure> {
        let put = self.put_request(key, body).if_none_match("*");
        self.run(put.send()).map(|put| put.e_tag.unwrap())
    }

    fn replace(&self, key: &str, body: &'static str, etag: &str) -> Result<String, Failure> {
        let put = self.put_request(key, body).if_match(etag);
        self.run(put.send()).map(|put| put.e_tag.unwrap())
    }

    fn get(&self, key: &str) -> Result<Bytes, Failure> {
        let got = self.run(self.sdk.get_object().bucket("one").key(key).send())?;
        let body = self.runtime.block_on(got.body.collect());
        body.map(AggregatedBytes::into_bytes).map_err(|_| Failure::Connection)
    }
}

fn start() -> (S3Server, Client) {
    let server = S3Server::start(&["one", "two"]);
    let client = Client::new(&server);
    (server, client)
}

fn content(server: &S3Server) -> BTreeMap<String, Bytes> {
    server.objects("one").into_iter().map(|(key, object)| (key, object.bytes)).collect()
}

/// Sends raw bytes and reads until the server closes.
fn raw(server: &S3Server, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.endpoint().trim_start_matches("http://")).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn sha256_base64(bytes: &[u8]) -> String {
    let sha256 = Some(s3s::crypto::Checksum::new());
    let mut hasher = s3s::checksum::ChecksumHasher { sha256, ..Default::default() };
    hasher.update(bytes);
    hasher.finalize().checksum_sha256.unwrap()
}

// Operations

#[test]
fn an_object_keeps_its_content_and_headers() {
    let (server, client) = start();
    let checksum = sha256_base64(b"{}");
    let put = client.put_request("a b/ü+.json", "{}").content_type("application/json");
    let put = put.cache_control("no-cache").checksum_sha256(&checksum);
    let put = client.run(put.checksum_algorithm(ChecksumAlgorithm::Sha256).send()).unwrap();
    assert_eq!(put.checksum_sha256(), Some(checksum.as_str()));

    let get = client.sdk.get_object().bucket("one").key("a b/ü+.json");
    let got = client.run(get.clone().checksum_mode(ChecksumMode::Enabled).send()).unwrap();
    assert_eq!(got.e_tag, put.e_tag);
    assert_eq!(got.content_type(), Some("application/json"));
    assert_eq!(got.cache_control(), Some("no-cache"));
    assert_eq!(got.checksum_sha256(), Some(checksum.as_str()));
    let body = client.runtime.block_on(got.body.collect()).unwrap();
    assert_eq!(body.into_bytes(), "{}");
    assert_eq!(client.run(get.send()).unwrap().checksum_sha256(), None);

    let head = client.sdk.head_object().bucket("one").key("a b/ü+.json");
    let head = client.run(head.checksum_mode(ChecksumMode::Enabled).send()).unwrap();
    assert_eq!((head.e_tag, head.content_length), (put.e_tag.clone(), Some(2)));
    assert_eq!(head.checksum_sha256.as_ref(), Some(&checksum));
    assert_eq!(head.cache_control.as_deref(), Some("no-cache"));

    let stored = server.objects("one").remove("a b/ü+.json").unwrap();
    assert_eq!(stored.bytes, "{}");
    assert_eq!(Some(&stored.etag), put.e_tag.as_ref());
    assert!(stored.etag.starts_with('"') && stored.etag.ends_with('"'));
    assert_eq!(stored.content_type.as_deref(), Some("application/json"));
    assert_eq!(stored.cache_control.as_deref(), Some("no-cache"));
    assert_eq!(stored.checksum_sha256, Some(checksum));
    assert_eq!(stored.sdk_checksum_algorithm.as_deref(), Some("SHA256"));
    assert!(stored.last_modified.elapsed().unwrap() < PATIENCE);
    assert!(server.objects("two").is_empty());
}

#[test]
fn signatures_are_checked() {
    let (server, _) = start();
    let wrong = Client::with_keys(&server, server.access_key(), "wrong");
    assert_eq!(wrong.put("k", "v"), answer(403, "SignatureDoesNotMatch"));
    let unknown = Client::with_keys(&server, "unknown", server.secret_key());
    assert_eq!(unknown.get("k"), answer(403, "InvalidAccessKeyId"));
    let unsigned = raw(&server, "GET /one/k HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(unsigned.starts_with(b"HTTP/1.1 403"));
    assert!(server.history().is_empty());
}

#[test]
fn what_is_missing_is_named() {
    let (_server, client) = start();
    assert_eq!(client.get("k"), answer(404, "NoSuchKey"));
    let sdk = &client.sdk;
    let got = client.run(sdk.get_object().bucket("three").key("k").send());
    assert_eq!(got.map(|_| ()), answer(404, "NoSuchBucket"));
    let put = client.run(sdk.put_object().bucket("three").key("k").send());
    assert_eq!(put.map(|_| ()), answer(404, "NoSuchBucket"));
    let list = client.run(sdk.list_objects_v2().bucket("three").send());
    assert_eq!(list.map(|_| ()), answer(404, "NoSuchBucket"));
    // An answer to HEAD has no body and so no code: the SDK makes its own of the status.
    let head = client.run(sdk.head_object().bucket("one").key("k").send());
    assert_eq!(head.map(|_| ()), answer(404, "NotFound"));
    let head = client.run(sdk.head_bucket().bucket("three").send());
    assert_eq!(head.map(|_| ()), answer(404, "NotFound"));
    client.run(sdk.head_bucket().bucket("one").send()).unwrap();
}

#[test]
fn other_operations_are_not_implemented() {
    let (server, client) = start();
    let sdk = &client.sdk;
    let multipart = sdk.create_multipart_upload().bucket("one").key("k");
    assert_eq!(client.run(multipart.send()).map(|_| ()), answer(501, "NotImplemented"));
    let part = sdk.upload_part().bucket("one").key("k").upload_id("u").part_number(1);
    assert_eq!(client.run(part.send()).map(|_| ()), answer(501, "NotImplemented"));
    let delete = sdk.delete_object().bucket("one").key("k");
    assert_eq!(client.run(delete.send()).map(|_| ()), answer(501, "NotImplemented"));
    let copy = sdk.copy_object().bucket("one").key("k").copy_source("one/x");
    assert_eq!(client.run(copy.send()).map(|_| ()), answer(501, "NotImplemented"));
    assert_eq!(client.run(sdk.list_buckets().send()).map(|_| ()), answer(501, "NotImplemented"));
    let folders = sdk.list_objects_v2().bucket("one").delimiter("/");
    assert_eq!(client.run(folders.send()).map(|_| ()), answer(501, "NotImplemented"));
    assert!(server.history().is_empty());
}

#[test]
fn a_listing_comes_in_pages() {
    let (server, client) = start();
    for n in 0..7 {
        server.put_directly("one", &format!("p/{n}"), "x");
    }
    server.put_directly("one", "o", "x");
    server.put_directly("one", "q", "x");
    let list = |max_keys| {
        let list = client.sdk.list_objects_v2().bucket("one").prefix("p/");
        let pages = list.set_max_keys(max_keys).into_paginator().send().collect::<Vec<_>>();
        let pages = client.runtime.block_on(pages).into_iter().map(Result::unwrap);
        let keys = |page: Vec<aws_sdk_s3::types::Object>| page.into_iter().map(|o| o.key.unwrap());
        pages.map(|page| keys(page.contents.unwrap_or_default()).collect()).collect()
    };
    let pages: Vec<Vec<String>> = list(Some(3));
    assert_eq!(pages, [vec!["p/0", "p/1", "p/2"], vec!["p/3", "p/4", "p/5"], vec!["p/6"]]);
    assert_eq!(list(Some(7)).len(), 1);
    server.set_page_size(4);
    assert_eq!(list(None), [vec!["p/0", "p/1", "p/2", "p/3"], vec!["p/4", "p/5", "p/6"]]);

    let list = client.sdk.list_objects_v2().bucket("one");
    let bad = client.run(list.clone().continuation_token("p/1").send());
    assert_eq!(bad.map(|_| ()), answer(400, "InvalidArgument"));
    let none = client.run(list.clone().max_keys(0).send()).unwrap();
    assert_eq!((none.key_count, none.is_truncated), (Some(0), Some(false)));
    let rest = client.run(list.start_after("p/6").send()).unwrap();
    assert_eq!(rest.contents()[0].key(), Some("q"));
    assert_eq!(rest.contents()[0].e_tag(), Some(server.objects("one")["q"].etag.as_str()));
}

#[test]
fn reads_may_have_conditions_and_ranges() {
    let (_server, client) = start();
    let etag = client.put("k", "0123456789").unwrap();
    let get = || client.sdk.get_object().bucket("one").key("k");
    assert_eq!(
        client.run(get().if_none_match(&etag).send()).map(|_| ()).unwrap_err(),
        Failure::Answer(304, String::new())
    );
    client.run(get().if_match(&etag).if_none_match("\"other\"").send()).unwrap();
    let mismatch = client.run(get().if_match("\"other\"").send());
    assert_eq!(mismatch.map(|_| ()), answer(412, "PreconditionFailed"));
    for (range, expected, content_range) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=8-", "89", "bytes 8-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
    ] {
        let got = client.run(get().range(range).send()).unwrap();
        assert_eq!(got.content_range(), Some(content_range));
        let body = client.runtime.block_on(got.body.collect()).unwrap();
        assert_eq!(body.into_bytes(), expected);
    }
    let beyond = client.run(get().range("bytes=10-").send());
    assert_eq!(beyond.map(|_| ()), answer(416, "InvalidRange"));
}

#[test]
fn checksums_are_verified_before_storing() {
    let (server, client) = start();
    let wrong = client.put_request("k", "good").checksum_sha256(sha256_base64(b"bad"));
    assert_eq!(client.run(wrong.send()).map(|_| ()), answer(400, "BadDigest"));
    assert!(server.history().is_empty());

    client.put("plain", "good").unwrap();
    assert_eq!(server.objects("one")["plain"].checksum_sha256, None);
    assert_eq!(server.objects("one")["plain"].sdk_checksum_algorithm, None);

    // With `WhenRequired` the SDK announces the algorithm of its own, and computes nothing.
    let hollow = client.put_request("k", "v").checksum_algorithm(ChecksumAlgorithm::Sha256);
    assert_eq!(client.run(hollow.send()).map(|_| ()), answer(400, "InvalidRequest"));

    let config = client.sdk.config().to_builder();
    let config = config.request_checksum_calculation(RequestChecksumCalculation::WhenSupported);
    let sdk = aws_sdk_s3::Client::from_conf(config.build());

    // The body from a file, in chunks, with its checksum in a trailer.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let bytes = (0..500_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
    file.write_all(&bytes).unwrap();
    let body = client.runtime.block_on(ByteStream::from_path(file.path())).unwrap();
    let put = sdk.put_object().bucket("one").key("file").body(body);
    client.run(put.checksum_algorithm(ChecksumAlgorithm::Sha256).send()).unwrap();
    let stored = server.objects("one").remove("file").unwrap();
    assert!(stored.bytes == bytes);
    assert_eq!(stored.checksum_sha256, Some(sha256_base64(&bytes)));
    let request = server.requests().pop().unwrap();
    assert_eq!(request.headers["x-amz-trailer"], "x-amz-checksum-sha256");
    assert!(request.body_len > bytes.len());
    assert!(client.get("file").unwrap() == bytes);

    // The checksum that the SDK sends of itself.
    let put = sdk.put_object().bucket("one").key("crc").body(ByteStream::from_static(b"v"));
    client.run(put.send()).unwrap();
    let headers = server.requests().pop().unwrap().headers;
    assert!(headers.keys().any(|name| name.starts_with("x-amz-checksum-crc")), "{headers:?}");
}

// Conditional writes

#[test]
fn conditional_writes_follow_aws() {
    let (server, client) = start();
    assert_eq!(client.replace("k", "0", "\"x\""), answer(404, "NoSuchKey"));
    let etag = client.create("k", "1").unwrap();
    assert_eq!(client.create("k", "2"), answer(412, "PreconditionFailed"));
    let next = client.replace("k", "3", &etag).unwrap();
    assert_eq!(client.replace("k", "4", &etag), answer(412, "PreconditionFailed"));
    assert_eq!(client.replace("k", "4", "*"), answer(501, "NotImplemented"));
    let put = client.put_request("new", "5").if_none_match(&next);
    assert_eq!(client.run(put.send()).map(|_| ()), answer(501, "NotImplemented"));
    assert_eq!(content(&server), BTreeMap::from([("k".to_owned(), Bytes::from("3"))]));
    // The same content has the same ETag.
    assert_eq!(client.replace("k", "3", &next).as_ref(), Ok(&next));
}

#[test]
fn conditions_may_be_ignored_or_refused() {
    let (server, client) = start();
    server.set_conditions(Conditions::Ignored);
    client.create("k", "1").unwrap();
    client.create("k", "2").unwrap();
    client.replace("k", "3", "\"x\"").unwrap();
    client.replace("absent", "3", "\"x\"").unwrap();
    server.set_conditions(Conditions::NotImplemented);
    assert_eq!(client.create("new", "4"), answer(501, "NotImplemented"));
    assert_eq!(client.replace("k", "4", "\"x\""), answer(501, "NotImplemented"));
    client.put("k", "5").unwrap();
    server.set_conditions(Conditions::Honoured);
    assert_eq!(client.create("k", "6"), answer(412, "PreconditionFailed"));
    assert_eq!(content(&server)["k"], "5");
}

#[test]
fn of_concurrent_creates_one_succeeds() {
    let (server, _) = start();
    server.gate(Matcher::put(), Point::Before, &Gate::arrive(32));
    let results: Vec<_> = thread::scope(|scope| {
        let create = || Client::new(&server).create("k", "v");
        let threads: Vec<_> = (0..32).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let lost = answer(412, "PreconditionFailed");
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|result| **result == lost).count(), 31);
    assert_eq!((server.history().len(), server.max_concurrent_puts()), (1, 32));
}

#[test]
fn a_counter_loses_no_increment() {
    let (server, client) = start();
    client.put("n", "0").unwrap();
    let (threads, increments) = (6, 10);
    let barrier = Barrier::new(threads);
    let increment = |client: &Client| {
        let get = client.sdk.get_object().bucket("one").key("n");
        let got = client.run(get.send()).unwrap();
        let body = client.runtime.block_on(got.body.collect()).unwrap().to_vec();
        let next = String::from_utf8(body).unwrap().parse::<usize>().unwrap() + 1;
        let put = client.sdk.put_object().bucket("one").key("n").if_match(got.e_tag.unwrap());
        client.run(put.body(next.to_string().into_bytes().into()).send())
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let client = Client::new(&server);
                barrier.wait();
                for _ in 0..increments {
                    while let Err(failure) = increment(&client) {
                        assert_eq!(failure, Failure::Answer(412, "PreconditionFailed".into()));
                    }
                }
            });
        }
    });
    let values: Vec<_> = server.history().into_iter().map(|e| e.after.unwrap().bytes).collect();
    let expected: Vec<_> = (0..=threads * increments).map(|n| n.to_string()).collect();
    assert_eq!(values, expected);
}

// Inspection

#[test]
fn observers_see_every_state() {
    let (server, client) = start();
    let states = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&states);
    server.on_write(Box::new(move |snapshot: &Snapshot, event| {
        let keys: Vec<_> = snapshot.bucket(&event.bucket).keys().cloned().collect();
        seen.lock().unwrap().push(format!("{}: {}", event.key, keys.join(" ")));
    }));
    client.put("a", "1").unwrap();
    client.create("a", "2").unwrap_err();
    server.put_directly("two", "z", "z");
    client.put("b", "3").unwrap();
    client.put("a", "4").unwrap();
    server.delete_directly("one", "b");
    server.delete_directly("one", "b");
    assert_eq!(*states.lock().unwrap(), ["a: a", "z: z", "b: a b", "a: a b", "b: a"]);

    let bytes = |object: Option<StoredObject>| object.map(|object| object.bytes);
    let history = server.history().into_iter();
    let history: Vec<_> = history.map(|e| (e.key, bytes(e.before), bytes(e.after), e.writer)).collect();
    let some = |text: &'static str| Some(Bytes::from(text));
    let expected = [
        ("a", None, some("1"), Writer::Client),
        ("z", None, some("z"), Writer::Test),
        ("b", None, some("3"), Writer::Client),
        ("a", some("1"), some("4"), Writer::Client),
        ("b", some("3"), None, Writer::Test),
    ];
    assert_eq!(history, expected.map(|(key, b, a, by)| (key.to_owned(), b, a, by)));
}

#[test]
fn a_panic_of_an_observer_or_a_hook_fails_the_test() {
    let (server, client) = start();
    server.on_write(Box::new(|_, _| panic!("not this")));
    server.kill_hook(Matcher::get(), Point::Before, |_| panic!("nor {}", "that"));
    client.put("k", "v").unwrap();
    client.get("k").unwrap_err();
    let text = |result: thread::Result<()>| *result.unwrap_err().downcast::<String>().unwrap();
    let failure = text(catch_unwind(AssertUnwindSafe(|| server.verify())));
    assert!(failure.contains("not this") && failure.contains("nor that"), "{failure}");
    server.verify();
    server.fault(Matcher::head().when(|_| panic!("nor here")), Action::DropBefore);
    client.run(client.sdk.head_bucket().bucket("one").send()).unwrap_err();
    let failure = text(catch_unwind(AssertUnwindSafe(|| server.verify())));
    assert!(failure.contains("nor here"), "{failure}");
    client.put("k", "w").unwrap();
    let failure = text(catch_unwind(AssertUnwindSafe(|| drop(server))));
    assert!(failure.contains("not this"), "{failure}");
}

#[test]
fn requests_are_recorded() {
    let (server, client) = start();
    client.put("k y", "12345").unwrap();
    client.get("k y").unwrap();
    client.get("absent").unwrap_err();
    client.run(client.sdk.list_objects_v2().bucket("one").prefix("k ").send()).unwrap();
    let requests = server.requests();
    let [put, got, get, list] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((put.method.as_str(), put.bucket.as_str(), put.key.as_str()), ("PUT", "one", "k y"));
    assert_eq!((put.ordinal, put.body_len, put.status, put.executed), (1, 5, Some(200), Some(200)));
    assert_eq!(put.headers["content-length"], "5");
    assert!(!put.headers.contains_key("authorization"));
    assert_eq!((put.answer_len, got.answer_len), (0, 5));
    // One after the other.
    assert!(requests.iter().is_sorted_by_key(|request| (request.began, request.ended)));
    assert!(requests.windows(2).all(|pair| pair[0].ended <= pair[1].began));
    assert_eq!((get.method.as_str(), get.status), ("GET", Some(404)));
    assert_eq!((list.key.as_str(), list.query["prefix"].as_str()), ("", "k "));
    server.clear_requests();
    assert!(server.requests().is_empty());
}

// Faults

#[test]
fn answers_may_be_errors() {
    let (server, client) = start();
    let slow = server.fault(Matcher::put().nth(2), Action::AnswerBefore(503, "SlowDown"));
    let late = Matcher::put().suffix(".json").nth(1);
    let late = server.fault(late, Action::AnswerAfter(500, "InternalError"));
    client.put("a", "1").unwrap();
    assert_eq!(client.put("b", "2"), answer(503, "SlowDown"));
    assert_eq!(client.put("c.json", "3"), answer(500, "InternalError"));
    client.put("d.json", "4").unwrap();
    assert_eq!(content(&server).into_keys().collect::<Vec<_>>(), ["a", "c.json", "d.json"]);
    assert_eq!((slow.fired(), late.fired()), (1, 1));
    let outcomes = |r: &[_]| r.iter().map(outcome).collect::<Vec<_>>();
    let expected =
        [(Some(200), Some(200)), (None, Some(503)), (Some(200), Some(500)), (Some(200), Some(200))];
    assert_eq!(outcomes(&server.requests()), expected);
}

fn outcome(r: &crate::support::s3_server::RecordedRequest) -> (Option<u16>, Option<u16>) {
    (r.executed, r.status)
}

#[test]
fn connections_may_be_dropped() {
    let (server, client) = start();
    client.put("first", "opens a connection that is used again").unwrap();
    server.fault(Matcher::put().key("before"), Action::DropBefore);
    server.fault(Matcher::put().key("after"), Action::DropAfter);
    server.fault(Matcher::put().key("cut"), Action::CutAnswer);
    for key in ["before", "after", "cut"] {
        assert_eq!(client.put(key, key), Err(Failure::Connection), "{key}");
        client.put("fine", "x").unwrap();
    }
    assert_eq!(content(&server).into_keys().collect::<Vec<_>>(), ["after", "cut", "fine", "first"]);
    let outcomes: Vec<_> = server.requests().iter().map(outcome).collect();
    let (fine, lost) = ((Some(200), Some(200)), (Some(200), None));
    assert_eq!(outcomes, [fine, (None, None), fine, lost, fine, lost, fine]);

    server.fault(Matcher::get(), Action::CutAnswer);
    server.fault(Matcher::head(), Action::CutAnswer);
    assert_eq!(client.get("after"), Err(Failure::Connection));
    let head = client.run(client.sdk.head_object().bucket("one").key("after").send());
    assert_eq!(head.map(|_| ()), Err(Failure::Connection));
    server.clear_rules();
    assert_eq!(client.get("after").unwrap(), "after");
}

#[test]
fn a_drop_is_a_close_of_the_connection() {
    let (server, _) = start();
    let request = "GET /one/k HTTP/1.1\r\nhost: x\r\n\r\n";
    server.fault(Matcher::any().nth(1), Action::DropBefore);
    server.fault(Matcher::any().ordinal(2), Action::DropAfter);
    server.fault(Matcher::any().ordinal(3), Action::CutAnswer);
    assert_eq!(raw(&server, request), b"");
    assert_eq!(raw(&server, request), b"");
    let cut = String::from_utf8(raw(&server, request)).unwrap();
    let (head, body) = cut.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
    let length = head.split_once("content-length: ").unwrap().1.lines().next().unwrap();
    assert_eq!(body.len(), length.parse::<usize>().unwrap() / 2);
}

#[test]
fn a_large_answer_is_cut_in_the_middle() {
    let (server, client) = start();
    server.put_directly("one", "k", vec![7; 1_000_000]);
    server.fault(Matcher::get(), Action::CutAnswer);
    let got = client.run(client.sdk.get_object().bucket("one").key("k").send()).unwrap();
    assert_eq!(got.content_length(), Some(1_000_000));
    let mut body = got.body;
    let mut received = 0;
    let end = client.runtime.block_on(async {
        loop {
            match body.next().await {
                Some(Ok(chunk)) => received += chunk.len(),
                end => return end,
            }
        }
    });
    assert!(matches!(end, Some(Err(_))));
    assert_eq!(received, 500_000);
}

#[test]
fn matchers_select() {
    let (server, client) = start();
    let fail = |matcher| server.fault(matcher, Action::AnswerBefore(400, "Scripted"));
    let scripted = Failure::Answer(400, "Scripted".to_owned());
    let conditional = fail(Matcher::put().header("if-none-match").occurrences(2..=3));
    client.create("c", "1").unwrap();
    client.put("c", "2").unwrap();
    assert_eq!(client.create("d", "1").unwrap_err(), scripted);
    assert_eq!(client.create("d", "1").unwrap_err(), scripted);
    client.create("d", "1").unwrap();
    assert_eq!(conditional.fired(), 2);

    fail(Matcher::list());
    fail(Matcher::get().contains("mid").bucket("one"));
    fail(Matcher::method("PUT").when(|request| request.body_len == 3));
    let list = client.run(client.sdk.list_objects_v2().bucket("one").send());
    assert_eq!(list.unwrap_err(), scripted);
    assert_eq!(client.get("a/mid/b").unwrap_err(), scripted);
    assert_eq!(client.put("k", "123").unwrap_err(), scripted);
    client.put("a/mid/b", "1234").unwrap();
    assert_eq!(client.get("c").unwrap(), "2");
    let two = client.run(client.sdk.get_object().bucket("two").key("a/mid/b").send());
    assert_eq!(two.map(|_| ()), answer(404, "NoSuchKey"));
}

// Gates and hooks

#[test]
fn a_gate_opens_when_all_have_arrived() {
    let (server, _) = start();
    let gate = Gate::arrive(3);
    server.gate(Matcher::put(), Point::Before, &gate);
    thread::scope(|scope| {
        for key in ["a", "b", "c"] {
            let server = &server;
            scope.spawn(move || Client::new(server).put(key, "v").unwrap());
        }
    });
    Client::new(&server).put("d", "v").unwrap();
    assert_eq!((gate.arrived(), server.max_concurrent_puts()), (4, 3));
    server.clear_requests();
    assert_eq!(server.max_concurrent_puts(), 0);
}

#[test]
fn two_writers_are_stopped_at_the_same_point() {
    let (server, client) = start();
    let etag = client.put("k", "0").unwrap();
    let gate = Gate::manual();
    server.gate(Matcher::put().header("if-match"), Point::Before, &gate);
    let late = Gate::manual();
    let late_rule = server.gate(Matcher::put().key("late"), Point::After, &late);
    thread::scope(|scope| {
        let (sent, results) = mpsc::channel();
        for body in ["1", "2"] {
            let (server, etag, sent) = (&server, &etag, sent.clone());
            let replace = move || Client::new(server).replace("k", body, etag);
            scope.spawn(move || sent.send(replace()).unwrap());
        }
        gate.wait_until_arrived(2, PATIENCE);
        assert_eq!(content(&server)["k"], "0");
        gate.release_one();
        assert!(results.recv_timeout(PATIENCE).unwrap().is_ok());
        assert!(results.try_recv().is_err());
        gate.release();
        let second = results.recv_timeout(PATIENCE).unwrap();
        assert_eq!(second, answer(412, "PreconditionFailed"));

        let put = scope.spawn(|| client.put("late", "v"));
        late.wait_until_arrived(1, PATIENCE);
        assert_eq!(content(&server)["late"], "v");
        assert!(!put.is_finished());
        late.release();
        put.join().unwrap().unwrap();
    });
    assert_eq!(late_rule.fired(), 1);
    assert_eq!(server.history().len(), 3);
    let impatient = AssertUnwindSafe(|| late.wait_until_arrived(2, Duration::ZERO));
    assert!(catch_unwind(impatient).is_err());
}

#[test]
fn a_request_meets_its_gate_and_then_its_fault() {
    let (server, client) = start();
    let gate = Gate::arrive(1);
    server.gate(Matcher::put(), Point::After, &gate);
    server.fault(Matcher::put(), Action::DropAfter);
    assert_eq!(client.put("k", "v"), Err(Failure::Connection));
    assert_eq!((gate.arrived(), server.history().len()), (1, 1));
}

/// Not a test: the process that the next tests kill. It knows the server from its environment.
#[test]
#[ignore = "started by other tests, as a process of its own"]
fn child_process() {
    let Ok(key) = std::env::var("S3_SELFTEST_KEY") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        let sdk = aws_sdk_s3::Client::new(&config.load().await);
        let body = ByteStream::from_static(b"child");
        sdk.put_object().bucket("one").key(key).body(body).send().await.unwrap();
    });
}

fn spawn_child(server: &S3Server, key: &str) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "s3_server_selftest::child_process"]).envs(server.envs());
    command.env("S3_SELFTEST_KEY", key);
    Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

#[test]
fn the_environment_is_enough_for_a_child() {
    let (server, _) = start();
    assert!(spawn_child(&server, "k").wait().unwrap().success());
    assert_eq!(content(&server)["k"], "child");
}

#[test]
fn a_child_is_killed_within_its_request() {
    for (point, stored) in [(Point::Before, 0), (Point::After, 1)] {
        let (server, _) = start();
        let (spawned, children) = mpsc::channel::<Running>();
        let (killed, ends) = mpsc::channel();
        let channels = Mutex::new((children, killed));
        let rule = server.kill_hook(Matcher::put().nth(1), point, move |request| {
            assert_eq!((request.key.as_str(), request.status), ("k", None));
            let (children, killed) = &*channels.lock().unwrap();
            let mut child = children.recv_timeout(PATIENCE).unwrap();
            child.kill().unwrap();
            killed.send(child.wait().unwrap()).unwrap();
        });
        spawned.send(spawn_child(&server, "k")).unwrap();
        assert_eq!(ends.recv_timeout(PATIENCE).unwrap().code(), None);
        assert_eq!(rule.fired(), 1);
        assert_eq!(server.history().len(), stored, "{point:?}");
    }
}

#[test]
fn a_request_outlives_its_client() {
    let (server, _) = start();
    let gate = Gate::manual();
    server.gate(Matcher::put(), Point::Before, &gate);
    let (written, writes) = mpsc::channel();
    let written = Mutex::new(written);
    server.on_write(Box::new(move |_, event| {
        written.lock().unwrap().send(event.key.clone()).unwrap();
    }));
    let mut child = spawn_child(&server, "k");
    gate.wait_until_arrived(1, PATIENCE);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(server.history().is_empty());
    gate.release();
    assert_eq!(writes.recv_timeout(PATIENCE).unwrap(), "k");
}

// The server itself

#[test]
fn servers_are_independent_and_end_with_their_connections() {
    let (first, _) = start();
    let (second, client) = start();
    assert_ne!(first.endpoint(), second.endpoint());
    client.put("k", "v").unwrap();
    assert!(first.objects("one").is_empty());

    let gate = Gate::manual();
    second.gate(Matcher::get(), Point::Before, &gate);
    let address = second.endpoint().trim_start_matches("http://").to_owned();
    let mut idle = TcpStream::connect(&address).unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    thread::scope(|scope| {
        let held = scope.spawn(|| client.get("k"));
        gate.wait_until_arrived(1, PATIENCE);
        drop(second);
        assert_eq!(held.join().unwrap(), Err(Failure::Connection));
    });
    match idle.read(&mut [0]) {
        Ok(0) => {}
        other => assert_eq!(other.unwrap_err().kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(TcpStream::connect(&address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let servers: Vec<_> = (0..8).map(|_| S3Server::start(&[])).collect();
    assert_eq!(servers.iter().map(S3Server::endpoint).collect::<BTreeSet<_>>().len(), 8);
}
