//! The children of tests end with them: the guard and the watchdog of `support/child.rs`.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::support::child::{Running, WATCHDOG};
use crate::support::clients::Preview;
use crate::support::{folder, ran};

#[test]
#[ignore = "started by other tests, as a process of its own"]
fn watchdog() {
    if std::env::var_os(WATCHDOG).is_none() {
        return;
    }
    let mut groups = BTreeSet::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let (sign, group) = line.split_at(1);
        if sign == "+" {
            groups.insert(group.to_owned())
        } else {
            groups.remove(group)
        };
    }
    for group in groups {
        // Most have ended with their pipes.
        let _ =
            rustix::process::kill_process_group(Pid::from_raw(group.parse().unwrap()).unwrap(), Signal::KILL);
    }
}

/// The variable that makes a run of [`serves_until_it_is_killed`] serve.
const SERVED: &str = "TFREG_TEST_SERVED";

#[test]
#[ignore = "started by other tests, as a process of its own"]
fn serves_until_it_is_killed() {
    let Some(site) = std::env::var_os(SERVED) else { return };
    let preview = Preview::of(Path::new(&site));
    println!("{}", preview.url());
    std::io::stdin().read_line(&mut String::new()).unwrap();
    panic!("{} is served, and the test fails", preview.url());
}

/// A test binary with one test, which serves a registry; what else it prints; and the address of what it serves.
fn serving(site: &Path) -> (Running, BufReader<ChildStdout>, SocketAddr) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "children::serves_until_it_is_killed"]);
    command.env(SERVED, site).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut binary = Running::start(&mut command);
    let mut stdout = BufReader::new(binary.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("http://") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended early");
    }
    let (_, address) = line.trim().trim_end_matches('/').split_once("http://").unwrap();
    let address = address.parse().unwrap();
    TcpStream::connect(address).unwrap();
    (binary, stdout, address)
}

#[track_caller]
fn nobody_listens(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "a server is left running on {address}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_test_that_fails_leaves_no_server() {
    let site = folder();
    let (mut binary, mut stdout, address) = serving(site.path());
    drop(binary.stdin.take());
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    // 101: libtest has counted a failed test; an abort would have ended it by a signal.
    let ran = ran(&binary.output());
    assert!(ran.code == 101 && ran.stderr.contains("is served, and the test fails"), "{ran:#?}");
    nobody_listens(address);
}

#[test]
fn a_test_binary_that_is_killed_leaves_no_server() {
    let site = folder();
    let (mut binary, _stdout, address) = serving(site.path());
    binary.kill().unwrap();
    binary.wait().unwrap();
    nobody_listens(address);
}
