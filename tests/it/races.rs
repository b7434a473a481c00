//! Several real processes publish at once, held at the same point by the server, so that they really meet.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tfreg::error::{Error, Refusal};
use tfreg::plan::{Goal, Observation, Step};
use tfreg::registry::Key;
use tfreg::store::directory::Directory;

use crate::support::child::Running;
use crate::support::in_process::{publish_with, registry};
use crate::support::s3_server::{Gate, Matcher, Point, S3Server};
use crate::support::watched::{listed, watched};
use crate::support::{Ran, folder, publish, ran, run, tarball, tarballs};

/// How long a test waits for processes to arrive; only a test that fails waits so long.
const LONG: Duration = Duration::from_mins(1);

fn to(server: &S3Server, tarballs: &[PathBuf]) -> Command {
    let mut command = publish("s3://bucket", tarballs);
    command.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn end(child: Running) -> Ran {
    ran(&child.output())
}

/// Two publishers read the same index, and are both held until both have.
fn both_read_the_same_index(server: &S3Server, one: &mut Command, two: &mut Command) -> (Ran, Ran) {
    let gate = Gate::arrive(2);
    server.gate(Matcher::get().suffix("versions").occurrences(1..=2), Point::After, &gate);
    let (one, two) = (Running::start(one), Running::start(two));
    (end(one), end(two))
}

#[test]
fn different_versions_over_one_index_both_survive() {
    let server = watched();
    run(&mut to(&server, &[tarball("release-1.2.0-more", "darwin-amd64")])).succeeds();
    let mut one = to(&server, &tarballs("release-1.2.0"));
    let mut two = to(&server, &tarballs("release-1.10.0"));
    let (one, two) = both_read_the_same_index(&server, &mut one, &mut two);
    one.succeeds();
    two.succeeds();
    assert_eq!(listed(&server).len(), 5 + 4);
    server.verify();
}

#[test]
fn different_platforms_of_a_version_end_on_one_checksum_file() {
    // Of a version that is new to both, and of one that has a platform already.
    for earlier in [false, true] {
        let server = watched();
        if earlier {
            run(&mut to(&server, &[tarball("release-1.2.0-more", "darwin-amd64")])).succeeds();
        }
        let mut one = to(&server, &[tarball("release-1.2.0", "linux-amd64")]);
        let mut two = to(&server, &[tarball("release-1.2.0", "darwin-arm64")]);
        let (one, two) = both_read_the_same_index(&server, &mut one, &mut two);
        one.succeeds();
        two.succeeds();
        assert_eq!(listed(&server).len(), 2 + usize::from(earlier));
        let documents = server.objects("bucket").into_iter().filter(|(key, _)| key.contains("/download/"));
        let sums: std::collections::BTreeSet<String> = documents
            .map(|(_, object)| serde_json::from_slice::<serde_json::Value>(&object.bytes).unwrap())
            .map(|document| document["shasums_url"].to_string())
            .collect();
        assert_eq!(sums.len(), 1, "{sums:?}");
        server.verify();
    }
}

#[test]
fn the_same_bytes_at_once_are_no_conflict() {
    let server = watched();
    let mut one = to(&server, &tarballs("release-1.2.0"));
    let mut two = to(&server, &tarballs("release-1.2.0"));
    let (one, two) = both_read_the_same_index(&server, &mut one, &mut two);
    one.succeeds();
    two.succeeds();
    assert_eq!(listed(&server).len(), 4);
    server.verify();
}

#[test]
fn of_different_bytes_exactly_one_wins() {
    let server = watched();
    let mut one = to(&server, &[tarball("release-1.2.0", "linux-amd64")]);
    let mut two = to(&server, &tarballs("release-1.2.0-rebuilt"));
    // Held where it is decided: before either has written its document.
    let gate = Gate::arrive(2);
    server.gate(Matcher::put().suffix("download/linux/amd64").occurrences(1..=2), Point::Before, &gate);
    let (one, two) = both_read_the_same_index(&server, &mut one, &mut two);
    let mut codes = [one.code, two.code];
    codes.sort_unstable();
    assert_eq!(codes, [0, 3], "{one:#?} {two:#?}");
    let loser = if one.code == 3 { one } else { two };
    loser.fails(3, &["published with other contents", "found:", "expected:"]);
    assert_eq!(listed(&server).len(), 1);
    server.verify();
}

#[test]
fn with_replace_the_overtaken_says_so() {
    let server = watched();
    run(&mut to(&server, &[tarball("release-1.2.0", "linux-amd64")])).succeeds();
    // The first has written its document and is held before it looks again; the second replaces it meanwhile.
    let mut first = to(&server, &tarballs("release-1.2.0-rebuilt"));
    let gate = Gate::manual();
    server.gate(Matcher::get().suffix("download/linux/amd64").nth(2), Point::Before, &gate);
    let first = Running::start(first.arg("--replace"));
    gate.wait_until_arrived(1, LONG);
    run(to(&server, &[tarball("release-1.2.0", "linux-amd64")]).arg("--replace")).succeeds();
    gate.release();
    end(first).fails(3, &["overtaken", "found:", "expected:", "remedy:"]);
    assert_eq!(listed(&server).len(), 1);
    server.verify();
}

#[test]
fn sixteen_publishers_over_one_index_lose_nothing() {
    let server = watched();
    let single = |release: &str| tarballs(release).into_iter().map(|path| vec![path]).collect::<Vec<_>>();
    let mut jobs = single("release-1.2.0");
    jobs.extend(single("release-1.2.0-more"));
    jobs.extend(single("release-1.10.0"));
    jobs.extend([tarballs("release-1.2.0"), tarballs("release-1.2.0-more"), tarballs("release-1.10.0")]);
    jobs.extend([tarballs("release-1.10.0"), tarballs("release-1.2.0"), tarballs("release-1.2.0")]);
    assert_eq!(jobs.len(), 16);
    // All have read the empty index before any goes on.
    let gate = Gate::arrive(16);
    server.gate(Matcher::get().suffix("versions").occurrences(1..=16), Point::After, &gate);
    let running: Vec<_> = jobs.iter().map(|tarballs| Running::start(&mut to(&server, tarballs))).collect();
    for child in running {
        end(child).succeeds();
    }
    assert_eq!(listed(&server).len(), 6 + 4);
    server.verify();
}

/// A goal that waits for others: what it misses is another thing in each round, or the same one.
struct Waits {
    rounds: usize,
    others_write: bool,
}

impl Goal for Waits {
    type RunState = usize;

    fn next(&self, _: &Observation, round: &mut usize) -> Result<Step, Refusal> {
        *round += 1;
        if *round > self.rounds {
            return Ok(Step::Ready(Box::default()));
        }
        let missing = if self.others_write { *round } else { 0 };
        Ok(Step::Wait(Box::new(Refusal::new("a document", "it is missing").found(missing))))
    }

    fn written(&self, _: &Key, _: &mut usize) {}

    fn indexed(&self) -> &'static str {
        ""
    }
}

#[tokio::test]
async fn others_are_waited_for_as_long_as_they_write() {
    let root = folder();
    let store = registry(Directory::open(root.path()).unwrap());
    let patience = Duration::from_mins(10);
    let wait =
        async |rounds, others_write| publish_with(&store, &Waits { rounds, others_write }, 1, patience).await;
    wait(20, true).await.unwrap();
    wait(5, false).await.unwrap();
    let error = wait(20, false).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    // Not for ever, either.
    let error = wait(usize::MAX, true).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
}
