//! A real S3 server that takes conditional writes and ignores their conditions is refused before anything is indexed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};

use crate::support::child::Running;
use crate::support::clients::{require, require_program};
use crate::support::{folder, publish, reader, run, tarballs, tree};

const ACCESS_KEY: &str = "accesskey";
const SECRET_KEY: &str = "secretkey";

/// A running `rclone serve s3`, with the folders in a folder as buckets; ended when dropped.
struct Rclone {
    _child: Running,
    /// Kept open for what it still says.
    _stderr: BufReader<ChildStderr>,
    endpoint: String,
}

impl Rclone {
    fn serve(root: &Path) -> Self {
        let mut command = rclone();
        command.args(["serve", "s3", "--addr", "127.0.0.1:0", "--auth-key"]);
        command.arg(format!("{ACCESS_KEY},{SECRET_KEY}")).arg(root);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = Running::start(&mut command);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        // It says its address when it listens: "… Starting s3 server on [http://127.0.0.1:PORT/]".
        let endpoint = loop {
            let start = said.len();
            if stderr.read_line(&mut said).unwrap() == 0 {
                let _ = child.wait();
                panic!("rclone ended early: {said}");
            }
            let line = &said[start..];
            if let Some((_, address)) = line.split_once("server on [") {
                break address.split(['/', ']']).take(3).collect::<Vec<_>>().join("/");
            }
        };
        Self { _child: child, _stderr: stderr, endpoint }
    }

    fn publish(&self, target: &str, release: &str) -> Command {
        let mut command = publish(target, &tarballs(release));
        command.envs([
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", "us-east-1"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("NO_PROXY", "127.0.0.1"),
            ("no_proxy", "127.0.0.1"),
        ]);
        command
    }
}

/// rclone without anything of the user's own.
fn rclone() -> Command {
    let mut command = Command::new("rclone");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RCLONE_")) {
        command.env_remove(name);
    }
    command.args(["--config", "/dev/null"]);
    command
}

/// Whether rclone is there, and is new enough to serve S3.
#[track_caller]
fn rclone_serves_s3() -> bool {
    require_program("rclone") && {
        let help = run(rclone().args(["serve", "--help"])).stdout;
        require("rclone 1.65 or later", help.lines().any(|line| line.trim_start().starts_with("s3 ")))
    }
}

#[test]
fn rclones_server_is_refused_by_name() {
    if !rclone_serves_s3() {
        return;
    }
    let root = folder();
    // rclone has to find its buckets when it starts. One is empty, and one has a registry.
    let (empty, full) = (root.path().join("empty"), root.path().join("full"));
    std::fs::create_dir(&empty).unwrap();
    run(&mut publish(&full, &tarballs("release-1.10.0"))).succeeds();
    let before = tree(&full);
    let listed = reader::read(&before).unwrap();
    let server = Rclone::serve(root.path());
    for (target, name) in [("s3://empty/some/prefix", "s3://empty/some/prefix/"), ("s3://full", "s3://full/")]
    {
        // The second time it finds the objects in store/ that the first one left.
        for _ in 0..2 {
            run(&mut server.publish(target, "release-1.2.0")).fails(
                3,
                &[
                    &format!("error: {name}: the store does not honour conditional writes"),
                    "was carried out",
                    "\n  expected: HTTP status 412",
                    "\n  remedy:   ",
                    "Nothing was indexed",
                ],
            );
        }
    }
    let left = tree(&empty);
    assert!(left.keys().all(|key| key.starts_with("some/prefix/store/")), "{:?}", left.keys());
    let mut after = tree(&full);
    assert_eq!(reader::read(&after).unwrap(), listed);
    after.retain(|key, _| before.contains_key(key) || !key.starts_with("store/"));
    assert!(after == before, "{:?}", after.keys());
}
