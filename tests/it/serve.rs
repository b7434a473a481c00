//! What `tfreg serve` serves, and what not; its log, and how it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{ChildStdout, Stdio};

use rustix::process::Signal;

use crate::support::child::Running;
use crate::support::{folder, named_pipe, publish, run, tarballs, tfreg};

const VERSIONS: &str = "/registry/acme/sample/versions";

/// A running preview, of which the log is read.
struct Preview {
    child: Running,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Preview {
    fn start(directory: &Path, args: &[&str]) -> Self {
        let mut command = tfreg();
        command.arg("serve").arg(directory).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Running::start(&mut command);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Self { child, stdout, address }
    }

    /// Sends a request, and reads the answer to its end.
    fn ask(&self, method: &str, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn status(&self, path: &str) -> u16 {
        let answer = self.ask("GET", path, "");
        answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("{answer:?}"))
    }

    /// Stops it as Ctrl-C does; gives its exit code and its log.
    fn stop(mut self) -> (Option<i32>, String) {
        self.child.signal(Signal::INT);
        std::io::copy(&mut self.stdout, &mut std::io::sink()).unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

#[test]
fn only_regular_files_of_the_tree_are_served() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    std::fs::write(root.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../../secret", site.join("store/link")).unwrap();
    std::os::unix::fs::symlink("../..", site.join("store/above")).unwrap();
    std::os::unix::fs::symlink("../registry/acme/sample/versions", site.join("store/inside")).unwrap();
    std::os::unix::fs::symlink("nowhere", site.join("store/nothing")).unwrap();
    std::fs::write(site.join(".secret"), "secret").unwrap();
    named_pipe(&site.join("store/pipe"));

    let preview = Preview::start(&site, &["--listen", "0"]);
    for (path, status) in [
        (VERSIONS, 200),
        ("/.well-known/terraform.json", 200),
        ("/registry/acme/sample/versions?x=1", 200),
        ("/store/inside", 200),
        ("/registry/acme/sample/versions/", 404),
        ("/registry/acme/sample", 404),
        ("/registry/acme/sample/", 404),
        ("/", 404),
        ("/store/link", 404),
        ("/store/above/secret", 404),
        ("/store/nothing", 404),
        ("/.secret", 404),
        ("/../secret", 404),
        ("/registry/../../secret", 404),
        ("//registry/acme/sample/versions", 404),
        ("/registry//acme/sample/versions", 404),
        ("/%2e%2e/secret", 404),
        ("/registry%2facme/sample/versions", 404),
        ("/registry/acme/sample/versions%00", 404),
        ("/registry/acme/nothing/versions", 404),
        ("/store/pipe", 404),
    ] {
        assert_eq!(preview.status(path), status, "{path}");
    }
    assert_eq!(preview.stop().0, Some(0));
}

#[test]
fn answers_are_those_of_a_web_server_and_are_logged() {
    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    let index = std::fs::read_to_string(site.join(&VERSIONS[1..])).unwrap();
    let preview = Preview::start(&site, &["--listen", "0"]);
    let answer = preview.ask("GET", VERSIONS, "");
    assert!(answer.ends_with(&format!("\r\n\r\n{index}")), "{answer}");
    for header in ["content-type: application/json", "cache-control: ", "accept-ranges: bytes"] {
        assert!(answer.contains(header), "{header}: {answer}");
    }
    let head = preview.ask("HEAD", VERSIONS, "");
    assert!(
        head.ends_with("\r\n\r\n") && head.contains(&format!("content-length: {}", index.len())),
        "{head}"
    );
    let part = preview.ask("GET", VERSIONS, "Range: bytes=0-3\r\n");
    assert!(
        part.starts_with("HTTP/1.1 206") && part.ends_with(&format!("\r\n\r\n{}", &index[..4])),
        "{part}"
    );
    assert!(preview.ask("POST", VERSIONS, "").starts_with("HTTP/1.1 405"));
    assert!(preview.ask("GET", "/nothing", "").starts_with("HTTP/1.1 404"));
    let (code, log) = preview.stop();
    assert_eq!(code, Some(0), "{log}");
    let len = index.len();
    let expected = format!(
        "GET {VERSIONS} 200 {len}\nHEAD {VERSIONS} 200 0\nGET {VERSIONS} 206 4\nPOST {VERSIONS} 405 0\nGET /nothing 404 0\nstopped\n"
    );
    assert_eq!(log, expected);

    let quiet = Preview::start(&site, &["--listen", "127.0.0.1:0", "--quiet"]);
    assert_eq!(quiet.status(VERSIONS), 200);
    assert_eq!(quiet.stop(), (Some(0), String::new()));
}

#[test]
fn a_client_that_says_nothing_does_not_keep_it_from_ending() {
    let root = folder();
    let site = root.path().join("site");
    std::fs::create_dir(&site).unwrap();
    let preview = Preview::start(&site, &["--listen", "0"]);
    let mut silent = TcpStream::connect(&preview.address).unwrap();
    silent.write_all(b"GET /x HTTP/1.1\r\nHost:").unwrap();
    assert_eq!(preview.status("/x"), 404);
    let (code, log) = preview.stop();
    assert!(code == Some(0) && log.ends_with("stopped\n"), "{log}");
}

#[test]
fn a_pipe_where_the_index_belongs_is_passed_over() {
    let root = folder();
    let folder = root.path().join("registry/acme/sample");
    std::fs::create_dir_all(&folder).unwrap();
    named_pipe(&folder.join("versions"));
    let preview = Preview::start(root.path(), &["--listen", "0"]);
    assert_eq!(preview.status(VERSIONS), 404);
    assert_eq!(preview.stop().0, Some(0));
}

#[test]
fn an_address_is_a_port_or_an_address_with_one() {
    let root = folder();
    // Taken, so that only the message tells how it was read.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    run(tfreg().arg("serve").arg(root.path()).args(["--listen", &port.to_string()]))
        .fails(1, &[&format!("cannot listen on 127.0.0.1:{port}")]);
    for bad in ["x", "70000", "127.0.0.1"] {
        run(tfreg().arg("serve").arg(root.path()).args(["--listen", bad]))
            .fails(2, &["--listen", "or only a port"]);
    }
}
