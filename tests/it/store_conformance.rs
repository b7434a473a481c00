//! One suite that every store must pass: a directory, the S3 server in process, and any S3 endpoint that
//! `TFREG_TEST_S3=s3://BUCKET/PREFIX` names (with the usual AWS variables), each run under a prefix of its own.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::TryStreamExt as _;
use tfreg::content::Digest;
use tfreg::content::Sealed;
use tfreg::store::access::Access;
use tfreg::store::directory::Directory;
use tfreg::store::s3::{Location, S3};
use tfreg::store::{
    Answer, Condition, Form, HttpHeaders, Listed, ObjectState, ObjectStore, OnSent, Revision,
};

use crate::support::folder;
use crate::support::in_process::bucket;
use crate::support::programs::skipped;
use crate::support::s3_server::{Action, Matcher, S3Server};

fn index(name: &str) -> String {
    format!("registry/acme/{name}/versions")
}

fn sealed(text: &str) -> Sealed {
    Sealed::from_bytes(text.to_owned())
}

fn unheard() -> OnSent {
    Arc::new(|_| {})
}

async fn put(store: &dyn ObjectStore, key: &str, body: &Sealed, condition: &Condition) -> Answer {
    store.put(key, body, &headers(), condition, unheard()).await
}

fn headers() -> HttpHeaders {
    HttpHeaders {
        content_type: Some("text/plain".to_owned()),
        cache_control: Some("public, max-age=60".to_owned()),
    }
}

/// An object's bytes, and what a later replace can be made to depend on.
async fn get(store: &dyn ObjectStore, key: &str) -> Option<(Bytes, Revision)> {
    let object = store.open(key, Form::Decoded).await.unwrap()?;
    let named = match &object.state {
        ObjectState::Named(revision) => Some(revision.clone()),
        ObjectState::Contents => None,
        ObjectState::Unnamed => panic!("{key}: a state without a name"),
    };
    let bytes = object.collect(1 << 24).await.unwrap().unwrap();
    let revision = named.unwrap_or_else(|| Revision(Digest::of(&bytes).to_string()));
    Some((bytes, revision))
}

async fn conforms(store: Arc<dyn ObjectStore>) {
    objects_are_created_once(&*store).await;
    documents_are_replaced_only_unchanged(&*store).await;
    files_are_streamed(&*store).await;
    folders_are_listed_exactly(&*store).await;
    limits_hold_whatever_is_announced(&*store).await;
    headers_are_kept_over_http(&*store).await;
    a_counter_loses_nothing(store).await;
}

async fn objects_are_created_once(store: &dyn ObjectStore) {
    let key = index("created");
    assert!(get(store, &key).await.is_none() && store.summary(&key).await.unwrap().is_none());
    assert!(store.head(&key).await.unwrap().is_none());
    assert!(matches!(put(store, &key, &sealed("one"), &Condition::Absent).await, Answer::Written));
    assert!(matches!(put(store, &key, &sealed("two"), &Condition::Absent).await, Answer::ConditionFailed(_)));
    assert!(matches!(put(store, &key, &sealed("one"), &Condition::Absent).await, Answer::ConditionFailed(_)));
    assert_eq!(get(store, &key).await.unwrap().0, "one");
    assert_eq!(store.head(&key).await.unwrap().unwrap().len, Some(3));
    let summary = store.summary(&key).await.unwrap().unwrap();
    assert_eq!((summary.len, summary.digest), (3, Digest::of(b"one")));
}

async fn documents_are_replaced_only_unchanged(store: &dyn ObjectStore) {
    let key = index("replaced");
    let nothing = Condition::Unchanged(Revision("\"00000000000000000000000000000000\"".to_owned()));
    assert!(matches!(put(store, &key, &sealed("x"), &nothing).await, Answer::ConditionFailed(_)), "absent");
    assert!(matches!(put(store, &key, &sealed("one"), &Condition::Absent).await, Answer::Written));
    assert!(
        matches!(put(store, &key, &sealed("x"), &nothing).await, Answer::ConditionFailed(_)),
        "another revision"
    );
    let first = get(store, &key).await.unwrap().1;
    assert_eq!(get(store, &key).await.unwrap().1, first);
    assert!(matches!(
        put(store, &key, &sealed("two"), &Condition::Unchanged(first.clone())).await,
        Answer::Written
    ));
    let stale = put(store, &key, &sealed("three"), &Condition::Unchanged(first)).await;
    assert!(matches!(stale, Answer::ConditionFailed(_)), "{stale:?}");
    assert_eq!(get(store, &key).await.unwrap().0, "two");
}

async fn files_are_streamed(store: &dyn ObjectStore) {
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| i.to_le_bytes()[usize::from(i % 7 == 0)]).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    let body = Sealed::from_file(file).unwrap();
    let key = index("streamed");
    let sent = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let on_sent: OnSent = Arc::new(move |bytes| {
        count.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(matches!(store.put(&key, &body, &headers(), &Condition::Absent, on_sent).await, Answer::Written));
    assert_eq!(sent.load(std::sync::atomic::Ordering::Relaxed), 3_000_000);
    assert_eq!(get(store, &key).await.unwrap().0, content);
    assert_eq!(store.summary(&key).await.unwrap().unwrap().digest, body.digest());
}

async fn folders_are_listed_exactly(store: &dyn ObjectStore) {
    let document =
        |version: &str, platform: &str| format!("registry/acme/listed/{version}/download/{platform}");
    // In the order of their bytes: a slash comes behind the dash of a pre-release.
    let keys = [
        document("1.2.0-rc.1", "linux/amd64"),
        document("1.2.0", "darwin/arm64"),
        document("1.2.0", "linux/amd64"),
        document("1.2.0", "linux/arm64"),
        document("1.20.0", "linux/amd64"),
        "registry/acme/listed/versions".to_owned(),
        document("1.2.0", "linux/amd64").replace("listed", "listed-too"),
    ];
    for (len, key) in keys.iter().enumerate().rev() {
        let body = sealed(&"x".repeat(len));
        let answer = put(store, key, &body, &Condition::Absent).await;
        assert!(matches!(answer, Answer::Written), "{key}: {answer:?}");
    }
    for (folder, expected) in [
        ("registry/acme/listed/1.2.0/", 1..4),
        ("registry/acme/listed/1.2.0", 1..4),
        ("registry/acme/listed/1.2.0/download/linux", 2..4),
        ("registry/acme/listed/", 0..6),
        ("registry/acme/listed/1.2", 0..0),
        ("registry/acme/listed/versions", 0..0),
        ("registry/nobody/", 0..0),
    ] {
        let found: Vec<Listed> = store.list(folder).try_collect().await.unwrap();
        let listed = |at: usize| Listed { key: keys[at].clone(), len: at as u64 };
        assert_eq!(found, expected.map(listed).collect::<Vec<_>>(), "{folder}");
    }
}

async fn limits_hold_whatever_is_announced(store: &dyn ObjectStore) {
    let key = index("limited");
    assert!(matches!(put(store, &key, &sealed("four"), &Condition::Absent).await, Answer::Written));
    for (limit, expected) in [(3, None), (4, Some("four")), (5, Some("four"))] {
        for (form, announced) in [(Form::Decoded, true), (Form::Stored, true), (Form::Stored, false)] {
            let mut object = store.open(&key, form).await.unwrap().unwrap();
            object.headers.len = object.headers.len.filter(|_| announced);
            let read = object.collect(limit).await.unwrap();
            assert_eq!(read.as_deref(), expected.map(str::as_bytes), "{limit} {form:?}");
        }
    }
}

/// Of files a web server decides.
async fn headers_are_kept_over_http(store: &dyn ObjectStore) {
    let key = index("with-headers");
    assert!(matches!(put(store, &key, &sealed("x"), &Condition::Absent).await, Answer::Written));
    let opened = store.open(&key, Form::Decoded).await.unwrap().unwrap().headers.http;
    let asked = store.head(&key).await.unwrap().unwrap().http;
    assert_eq!(opened, asked);
    assert!(asked.is_none_or(|http| http == headers()));
}

/// N workers add one M times each, by compare-and-swap: the sum must be N × M.
async fn a_counter_loses_nothing(store: Arc<dyn ObjectStore>) {
    const WORKERS: usize = 4;
    const INCREMENTS: usize = 5;
    let key = index("counter");
    assert!(matches!(put(&*store, &key, &sealed("0"), &Condition::Absent).await, Answer::Written));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (store, key) = (Arc::clone(&store), key.clone());
            tokio::spawn(async move {
                let mut done = 0;
                while done < INCREMENTS {
                    let (bytes, revision) = get(&*store, &key).await.unwrap();
                    let value: usize = std::str::from_utf8(&bytes).unwrap().parse().unwrap();
                    let next = sealed(&(value + 1).to_string());
                    match put(&*store, &key, &next, &Condition::Unchanged(revision)).await {
                        Answer::Written => done += 1,
                        Answer::ConditionFailed(_) => {}
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let (total, _) = get(&*store, &key).await.unwrap();
    assert_eq!(total, (WORKERS * INCREMENTS).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_conforms() {
    let root = folder();
    let site = root.path().join("site");
    conforms(Arc::new(Directory::open(&site).unwrap())).await;
    let left: Vec<_> = std::fs::read_dir(&site).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["registry"], "no temporary file is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_server_in_process_conforms() {
    let server = S3Server::start(&["bucket"]);
    // So that a listing has several pages, the last of them full or not.
    server.set_page_size(2);
    conforms(Arc::new(bucket(&server, "s3://bucket/some/prefix"))).await;
    assert!(server.objects("bucket").keys().all(|key| key.starts_with("some/prefix/registry/")));
    server.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_s3_endpoint_conforms() {
    let Ok(target) = std::env::var("TFREG_TEST_S3") else {
        skipped("TFREG_TEST_S3=s3://BUCKET/PREFIX names no other S3 endpoint to test");
        return;
    };
    let run = fastrand::u64(..);
    let location = Location::parse(&format!("{}/conformance-{run:x}", target.trim_end_matches('/'))).unwrap();
    conforms(Arc::new(S3::connect(location, &Access::default()).await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_fails_says_so() {
    let root = folder();
    let site = root.path().join("site");
    let listed =
        async |store: &dyn ObjectStore, folder: &str| store.list(folder).try_collect::<Vec<_>>().await;
    let directory = Directory::open(&site).unwrap();
    assert_eq!(listed(&directory, "registry/").await.unwrap(), []);
    put(&directory, &index("x"), &sealed("x"), &Condition::Absent).await;
    std::os::unix::fs::symlink("..", site.join("registry/acme/again")).unwrap();
    let error = listed(&directory, "registry/").await.unwrap_err().to_string();
    assert!(error.contains("cannot list") && error.contains("leads back"), "{error}");

    let server = S3Server::start(&["bucket"]);
    let store = bucket(&server, "s3://bucket");
    server.put_directly("bucket", "registry/acme/x/versions", "{}");
    server.fault(Matcher::list(), Action::AnswerBefore(403, "AccessDenied"));
    let error = listed(&store, "registry/").await.unwrap_err().to_string();
    assert!(
        error.contains("cannot list s3://bucket/registry/") && error.contains("grant s3:ListBucket"),
        "{error}"
    );
    server.clear_rules();
    // A read is repeated, a missing bucket is not taken for an empty one.
    server.fault(Matcher::list().nth(1), Action::AnswerBefore(500, "InternalError"));
    assert_eq!(listed(&store, "registry/").await.unwrap().len(), 1);
    assert!(listed(&bucket(&server, "s3://missing"), "registry/").await.is_err());
}
