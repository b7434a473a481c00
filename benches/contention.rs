//! What concurrent publishers cost each other, what a large index costs, and how many round trips a publish takes one
//! after the other. Prints Markdown tables; `docs/performance.md` has the results of one machine.
//!
//! All requests go to the tests' S3 server in this process, over loopback, with the latency that a table names.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot run stops")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the tables are what it is for")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "durations and small counts are rounded for print"
)]

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
#[allow(clippy::case_sensitive_file_extension_comparisons, reason = "keys are what they are")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tfreg::plan::{Plan, PublishGoal, Published, Write};
use tfreg::publish::{Observer, Options, publish};
use tfreg::reader::Reader;
use tfreg::registry::{Key, VersionsDocument};
use tfreg::store::OnSent;
use tfreg::store::budget::{Budget, RealPace};
use tfreg::verify::{Scope, Unwatched, verify};
use tokio::runtime::Runtime;

use support::archive::{Archive, genuine_executable, write};
use support::in_process::{self, bucket, signer, wanted};
use support::s3_server::{RecordedRequest, S3Server};
use support::watched::listed;
use support::{folder, tarball, tarballs};

/// What a request takes more in the tables that say so.
const LATENCY: Duration = Duration::from_millis(50);
/// As many writes and reads at once as `tfreg publish` makes by default.
const JOBS: usize = 8;
const READS: usize = 64;
/// As long as `tfreg publish` goes on by default.
const PATIENCE: Duration = Duration::from_mins(5);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let began = Instant::now();
    publishers_on_one_index(&runtime);
    runtime.block_on(async {
        large_indexes().await;
        round_trips().await;
    });
    println!("\nAll of this took {:.0} s.", began.elapsed().as_secs_f64());
}

/// Counts the pauses of a publish.
#[derive(Default)]
struct Pauses(AtomicUsize);

impl Observer for Pauses {
    fn planned(&self, _: &Plan) {}

    fn sending(&self, _: &Write) -> OnSent {
        Arc::new(|_| {})
    }

    fn written(&self, _: &Key) {}

    fn waiting(&self, _: &str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Publishes as `tfreg publish` does once the tarballs are read; gives the time, and how often it lost a race.
async fn timed(server: &S3Server, wanted: &PublishGoal) -> (Duration, usize) {
    // A client, and so connections, of its own, as a process has.
    let store = in_process::registry(bucket(server, "s3://bucket"));
    let options = Options {
        jobs: JOBS,
        reads: READS,
        contention_timeout: PATIENCE,
        signer: Some(signer()),
        read_back: true,
        max_age: None,
    };
    let (budget, pauses) = (Budget::new(PATIENCE, Box::new(RealPace::default())), Pauses::default());
    let began = Instant::now();
    let outcome = publish(&store, wanted, &options, budget, &pauses).await.unwrap();
    let reader = Reader::Store(outcome.snapshot.unwrap_or_default().in_front_of(store));
    let scope = Scope::published(&wanted.provider, [wanted.packages.version().clone()], None);
    let verification = verify(&reader, &scope, READS, &Unwatched).await.unwrap();
    // As a publish judges what it has written: discovery is the host's own.
    assert_eq!(verification.publish_refusal(), None);
    (began.elapsed(), pauses.0.into_inner())
}

fn release(name: &str) -> PublishGoal {
    wanted(&tarballs(name), Published::Immutable)
}

/// A registry with one version that no benchmark publishes.
async fn registry() -> S3Server {
    let server = S3Server::start(&["bucket"]);
    timed(&server, &release("release-1.10.0")).await;
    server.clear_requests();
    server
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    values[values.len() / 2]
}

/// Versions `2.1.0` to `2.COUNT.0` of the sample provider, for one platform.
fn versions(count: usize) -> Vec<PublishGoal> {
    let root = folder();
    let manifest = json!({ "version": 1, "metadata": { "protocol_versions": ["6.0"] } }).to_string();
    let archive = Archive::new()
        .file("terraform-registry-manifest.json", manifest)
        .file("terraform-provider-sample", genuine_executable("linux-amd64"))
        .gz();
    let tarball = |minor| -> PathBuf {
        write(root.path(), &format!("terraform-provider-sample_2.{minor}.0_linux_amd64.tar.gz"), &archive)
    };
    (1..=count).map(|minor| wanted(&[tarball(minor)], Published::Immutable)).collect()
}

fn publishers_on_one_index(runtime: &Runtime) {
    println!("\n## Publishers on one index\n");
    println!(
        "| delay a request | publishers | all done, ms | from – to | against one | requests a success | lost races a success |"
    );
    println!("| --: | --: | --: | --: | --: | --: | --: |");
    let versions = versions(64);
    for latency in [Duration::ZERO, LATENCY] {
        let mut alone = None;
        for (publishers, runs) in [(1, 5), (4, 5), (16, 3), (64, 3)] {
            let mut results = Vec::new();
            for _ in 0..runs {
                let server = runtime.block_on(registry());
                server.set_latency(latency);
                let began = Instant::now();
                // A thread each, as they would be processes.
                let pauses: usize = std::thread::scope(|scope| {
                    let server = &server;
                    let start = |one| scope.spawn(move || runtime.block_on(timed(server, one)).1);
                    let running: Vec<_> = versions[..publishers].iter().map(start).collect();
                    running.into_iter().map(|one| one.join().unwrap()).sum()
                });
                let took = milliseconds(began.elapsed());
                // Nothing was lost.
                assert_eq!(listed(&server).len(), 4 + publishers);
                results.push((took, server.requests().len(), pauses));
            }
            let least = results.iter().map(|run| run.0).fold(f64::INFINITY, f64::min);
            let most = results.iter().map(|run| run.0).fold(0.0, f64::max);
            let (took, requests, pauses) = median(results);
            let alone = *alone.get_or_insert(took);
            let each = |count| count as f64 / publishers as f64;
            println!(
                "| {} ms | {publishers} | {took:.0} | {least:.0} – {most:.0} | {:.1} | {:.1} | {:.2} |",
                latency.as_millis(),
                took / alone,
                each(requests),
                each(pauses)
            );
        }
    }
}

/// An index as tfreg writes it, of `count` versions with 12 platforms each.
fn index(count: usize) -> Vec<u8> {
    let systems = ["darwin", "freebsd", "linux", "windows"].into_iter();
    let platforms: Vec<Value> = systems
        .flat_map(|os| ["386", "amd64", "arm64"].map(|arch| json!({ "os": os, "arch": arch })))
        .collect();
    let version =
        |n: usize| json!({ "version": format!("0.{n}.0"), "protocols": ["6.0"], "platforms": platforms });
    let document = json!({ "versions": (0..count).map(version).collect::<Vec<_>>() });
    let key = "registry/acme/sample/versions".parse().unwrap();
    VersionsDocument::parse(&key, &serde_json::to_vec_pretty(&document).unwrap()).unwrap().to_bytes()
}

/// How long serde_json takes to read an index into values and to drop them, in milliseconds.
fn plain(index: &[u8]) -> f64 {
    let began = Instant::now();
    drop(serde_json::from_slice::<Value>(index).unwrap());
    milliseconds(began.elapsed())
}

/// How long an index takes to be read, merged with a version, and written to memory, in milliseconds.
fn merge(index: &[u8]) -> f64 {
    let (key, version) = ("registry/acme/sample/versions".parse().unwrap(), "1.2.0".parse().unwrap());
    let platforms = BTreeSet::from(["linux_amd64".parse().unwrap()]);
    let began = Instant::now();
    let mut document = VersionsDocument::parse(&key, index).unwrap();
    document.list(&version, &["6.0".to_owned()], &platforms, jiff::Timestamp::UNIX_EPOCH).unwrap();
    let merged = document.to_bytes();
    let took = milliseconds(began.elapsed());
    assert!(merged.len() > index.len());
    took
}

async fn large_indexes() {
    println!("\n## A new version of four platforms into a large index, no delay\n");
    println!(
        "| versions in the index | index, KiB | ms | against ten | merged alone, ms | against plain parsing | requests | KiB sent | KiB received |"
    );
    println!("| --: | --: | --: | --: | --: | --: | --: | --: | --: |");
    let new = release("release-1.2.0");
    let mut smallest = None;
    for count in [10, 1_000, 10_000] {
        let index = index(count);
        let size = index.len();
        let mut results = Vec::new();
        for _ in 0..5 {
            let server = S3Server::start(&["bucket"]);
            server.put_directly(
                "bucket",
                ".well-known/terraform.json",
                "{\n  \"providers.v1\": \"/registry/\"\n}\n",
            );
            server.put_directly("bucket", "registry/acme/sample/versions", index.clone());
            let (took, _) = timed(&server, &new).await;
            let requests = server.requests();
            let sent: usize = requests.iter().map(|request| request.body_len).sum();
            let received: usize = requests.iter().map(|request| request.answer_len).sum();
            results.push((milliseconds(took), requests.len(), sent, received));
        }
        let (took, requests, sent, received) = median(results);
        let smallest = *smallest.get_or_insert(took);
        let merged = median((0..5).map(|_| merge(&index)).collect());
        println!(
            "| {count} | {} | {took:.0} | {:.1} | {merged:.1} | {:.2} | {requests} | {} | {} |",
            size >> 10,
            took / smallest,
            merged / median((0..5).map(|_| plain(&index)).collect()),
            sent >> 10,
            received >> 10
        );
    }
}

async fn round_trips() {
    println!("\n## Round trips one after the other, {} ms each\n", LATENCY.as_millis());
    println!("| publish | ms | ms / {} | in sequence | requests |", LATENCY.as_millis());
    println!("| :-- | --: | --: | --: | --: |");
    let (first, next) = (release("release-1.2.0"), release("release-1.10.0"));
    let further = [tarball("release-1.2.0-more", "darwin-amd64")];
    let further = wanted(&further, Published::Immutable);
    let mut explained = String::new();
    let server = S3Server::start(&["bucket"]);
    server.set_latency(LATENCY);
    for (name, what) in [
        ("first, 4 platforms", &first),
        ("new version, 4 platforms", &next),
        ("fifth platform of a version", &further),
        ("unchanged, 4 platforms", &next),
    ] {
        server.clear_requests();
        let (took, _) = timed(&server, what).await;
        let requests = server.requests();
        let trips = sequence(&requests);
        println!(
            "| {name} | {:.0} | {:.1} | {} | {} |",
            milliseconds(took),
            took.as_secs_f64() / LATENCY.as_secs_f64(),
            trips.len(),
            requests.len()
        );
        writeln!(explained, "\n{name}:\n").unwrap();
        for (number, trip) in trips.iter().enumerate() {
            writeln!(explained, "{}. {}", number + 1, describe(trip)).unwrap();
        }
    }
    println!("\nIn sequence:\n{explained}");
}

/// The requests by their place in the longest chain of such as began after the one before had ended.
fn sequence(requests: &[RecordedRequest]) -> Vec<Vec<&RecordedRequest>> {
    let mut by_start: Vec<&RecordedRequest> = requests.iter().collect();
    by_start.sort_by_key(|request| request.began);
    let mut trips: Vec<Vec<&RecordedRequest>> = Vec::new();
    for request in by_start {
        let after = trips.iter().take_while(|trip| trip.iter().any(|earlier| earlier.ended <= request.began));
        let place = after.count();
        if place == trips.len() {
            trips.push(Vec::new());
        }
        trips[place].push(request);
    }
    trips
}

/// What a trip's requests do, such as "GET index, HEAD 4 × zip".
fn describe(trip: &[&RecordedRequest]) -> String {
    let mut kinds: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for request in trip {
        let kind = match request.key.parse() {
            Ok(Key::Discovery) => "discovery",
            Ok(Key::Settings) => "settings",
            Ok(Key::Versions { .. }) => "index",
            Ok(Key::Download { .. }) => "document",
            Ok(Key::Zip { .. }) => "zip",
            Ok(Key::Sums { .. }) => "SHA256SUMS",
            Ok(Key::Signature { .. } | Key::ProvenanceSignature { .. }) => "signature",
            Ok(Key::Provenance { .. }) => "provenance",
            Ok(Key::Yanked { .. }) => "yanked",
            Ok(Key::MirrorIndex { .. } | Key::MirrorVersion { .. } | Key::MirrorKeys { .. }) => "mirror",
            Ok(Key::Kept(_)) => "of another registry",
            // A listing names a folder.
            Ok(Key::Page(_)) => "page",
            Err(_) => "folder",
        };
        let refused = if request.status == Some(412) { " (proof: answered 412)" } else { "" };
        *kinds.entry((format!("{}{refused}", request.method), kind)).or_default() += 1;
    }
    let each = kinds.into_iter().map(|((method, kind), count)| {
        if count == 1 { format!("{method} {kind}") } else { format!("{method} {count} × {kind}") }
    });
    each.collect::<Vec<_>>().join(", ")
}
