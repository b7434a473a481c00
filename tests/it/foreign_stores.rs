//! A real S3 server that ignores conditions without a word: rclone's. It is refused before anything is indexed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::support::clients::require_program;
use crate::support::{folder, publish, run, tarballs, tree};

/// A program that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn rclone_is_refused_before_anything_is_indexed() {
    let serves_s3 =
        || Command::new("rclone").args(["serve", "s3", "--help"]).output().is_ok_and(|o| o.status.success());
    if !require_program("rclone") {
        return;
    }
    assert!(serves_s3(), "this rclone has no `rclone serve s3`; 1.65 and later have");
    let root = folder();
    let bucket = root.path().join("data/bucket");
    std::fs::create_dir_all(&bucket).unwrap();
    let mut child = Command::new("rclone")
        .args([
            "serve",
            "s3",
            "--addr",
            "127.0.0.1:0",
            "--auth-key",
            "access,secret",
            "--config",
            "/dev/null",
        ])
        .arg(root.path().join("data"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let _server = Server(child);
    let mut lines = log.lines().map_while(Result::ok);
    let endpoint = lines
        .find_map(|line| {
            let start = line.find("http://127.0.0.1:")?;
            Some(line[start..].trim_end_matches(['/', ']']).to_owned())
        })
        .expect("rclone says where it listens");
    let mut command = publish("s3://bucket/p", &tarballs("release-1.2.0"));
    command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_REGION", "us-east-1").env("NO_PROXY", "127.0.0.1");
    command.env("AWS_ACCESS_KEY_ID", "access").env("AWS_SECRET_ACCESS_KEY", "secret");
    run(&mut command).fails(
        3,
        &[
            "s3://bucket/p/",
            "does not honour conditional writes",
            "If-None-Match",
            "was carried out",
            "remedy:",
        ],
    );
    let left: Vec<String> = tree(&bucket).into_keys().collect();
    assert!(left.iter().all(|key| key.starts_with("p/store/")), "{left:?}");
}
