//! What tfreg says about a file that is no release tarball is done here, as a user would do it; then it is published.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::refusals::{EXECUTABLE, NAME};
use crate::support::archive::genuine_executable;
use crate::support::plain_host::PlainHost;
use crate::support::programs::{require_program, skipped};
use crate::support::{Ran, folder, publish, run};

/// A folder `release` with a provider's files, beside which the tarball is made.
struct Case(TempDir);

impl Case {
    fn new() -> Self {
        let case = Self(folder());
        let release = case.at("release");
        std::fs::create_dir(&release).unwrap();
        std::fs::write(release.join("LICENSE"), "license\n").unwrap();
        let executable = release.join(EXECUTABLE);
        std::fs::write(&executable, genuine_executable("linux-amd64")).unwrap();
        std::fs::set_permissions(executable, std::fs::Permissions::from_mode(0o755)).unwrap();
        case
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Runs a command in the folder; in it NAME stands for the tarball's name. Gives whether it was successful.
    fn try_shell(&self, command: &str) -> bool {
        let command = command.replace("NAME", NAME);
        let mut bash = Command::new("bash");
        bash.args(["-e", "-o", "pipefail", "-c", &command]).current_dir(self.0.path());
        run(&mut bash).code == 0
    }

    #[track_caller]
    fn shell(&self, command: &str) {
        assert!(self.try_shell(command), "{command}");
    }

    fn publish(&self) -> Ran {
        run(publish(self.at("site"), &[self.at(NAME)]).args(["--protocol", "6.0"]))
    }

    /// Is refused, with `texts`; gives what is said.
    #[track_caller]
    fn refused(&self, row: &str, texts: &[&str]) -> String {
        let ran = self.publish();
        ran.clone().refused(row, texts);
        assert!(!self.at("site").exists(), "{row}: something was written");
        ran.stderr
    }

    #[track_caller]
    fn published(&self) {
        self.publish().succeeds();
    }
}

/// Whether all are here.
#[track_caller]
fn require_all(programs: &[&str]) -> bool {
    programs.iter().all(|program| require_program(program))
}

/// The command in a message: what is between the last two backticks.
fn command(message: &str) -> &str {
    message.rsplit('`').nth(1).unwrap_or_else(|| panic!("no command in {message}"))
}

#[test]
fn other_files_are_converted_as_the_message_says() {
    if !require_program("bash") {
        return;
    }
    for (programs, make, says) in [
        (&["tar"][..], "tar -cf NAME -C release .", "a tar file that is not compressed"),
        (&["tar", "zstd"], "tar -cf - -C release . | zstd -q >NAME", "a Zstandard file"),
        (&["tar", "xz"], "tar -cf - -C release . | xz >NAME", "an xz file"),
        (&["tar", "bzip2"], "tar -cf - -C release . | bzip2 >NAME", "a bzip2 file"),
        (
            &["tar", "gzip"],
            "tar -cf - -C release . | gzip | gzip >NAME",
            "a gzip file in the gzip file: it is compressed twice",
        ),
        (
            &["tar", "zstd"],
            "tar -cf - -C release . | zstd -q | gzip >NAME",
            "a Zstandard file in the gzip file",
        ),
        (&["tar", "xz"], "tar -cf - -C release . | xz | gzip >NAME", "an xz file in the gzip file"),
        (&["bsdtar", "tar", "unzip"], "bsdtar --format zip -cf NAME -C release .", "a zip file"),
    ] {
        if !require_all(programs) || !require_program("gzip") {
            continue;
        }
        let case = Case::new();
        case.shell(make);
        let message = case.refused(make, &[says, NAME]);
        case.shell(command(&message));
        case.published();
    }
}

#[test]
fn an_executable_is_packed_as_the_message_says() {
    if !require_all(&["bash", "tar", "gzip"]) {
        return;
    }
    for make in ["cp release/* NAME", "gzip -c release/* >NAME"] {
        let case = Case::new();
        std::fs::remove_file(case.at("release/LICENSE")).unwrap();
        case.shell(make);
        let message = case.refused(make, &["an executable (ELF)"]);
        let pack = command(&message).replace("EXECUTABLE", &format!("-C release {EXECUTABLE}"));
        case.shell(&pack);
        case.published();
    }
}

/// Answers `file` with a redirect to `real`, which has the tarball; `closed` with S3's refusal.
fn download(tarball: Vec<u8>) -> PlainHost {
    PlainHost::start(move |path, stream| {
        use std::io::Write as _;
        let (head, body) = match path {
            "real" => ("200 OK\r\ncontent-type: application/gzip", tarball.as_slice()),
            "closed" => {
                ("403 Forbidden", &b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"[..])
            }
            _ => ("302 Found\r\nlocation: /real", &b"<!DOCTYPE html><title>Moved</title>"[..]),
        };
        let _ =
            write!(stream, "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let _ = stream.write_all(body);
    })
}

#[test]
fn a_page_is_fetched_again_as_the_message_says() {
    if !require_all(&["bash", "tar", "gzip", "curl"]) {
        return;
    }
    let case = Case::new();
    case.shell("tar -czf NAME -C release .");
    let host = download(std::fs::read(case.at(NAME)).unwrap());
    let fetch =
        |curl: &str, path: &str| format!("{curl} --noproxy '*' --silent --output NAME {}{path}", host.url());
    for (path, says) in [("file", "an HTML page"), ("closed", "an XML document")] {
        case.shell(&fetch("curl", path));
        let message = case.refused(path, &[says, "not a gzip-compressed tar file"]);
        std::fs::remove_file(case.at(NAME)).unwrap();
        let curl = command(&message);
        if path == "closed" {
            assert!(!case.try_shell(&fetch(curl, path)), "the pipeline is to end where the download fails");
        } else {
            case.shell(&fetch(curl, path));
            case.published();
            std::fs::remove_dir_all(case.at("site")).unwrap();
        }
    }
}

/// Whether a file in the case's folder can have holes.
fn has_holes(case: &Case) -> bool {
    let file = std::fs::File::create(case.at("hole")).unwrap();
    file.set_len(1 << 20).unwrap();
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)).is_ok_and(|at| at < 1 << 20)
}

#[test]
fn sparse_files_and_links_are_packed_as_the_message_says() {
    if !require_all(&["bash", "gzip"]) {
        return;
    }
    let holes = "truncate --size 1M release/data";
    for (program, before, make, texts, remade) in [
        (
            "tar",
            holes,
            "tar --sparse -czf NAME -C release .",
            &["a sparse file", "without --sparse (GNU tar)"][..],
            "tar -czf NAME -C release .",
        ),
        (
            "tar",
            holes,
            "tar --sparse --format=posix -czf NAME -C release .",
            &["a sparse file", "without --sparse (GNU tar)"],
            "tar --format=posix -czf NAME -C release .",
        ),
        (
            "bsdtar",
            holes,
            "bsdtar -czf NAME --format pax -C release .",
            &["a sparse file", "with --no-read-sparse (bsdtar"],
            "bsdtar --no-read-sparse -czf NAME --format pax -C release .",
        ),
        (
            "tar",
            "ln release/LICENSE release/COPYING",
            "tar -czf NAME -C release .",
            &["a hard link", "with --hard-dereference (GNU tar)"],
            "tar --hard-dereference -czf NAME -C release .",
        ),
        (
            "bsdtar",
            "ln release/LICENSE release/COPYING",
            "bsdtar -czf NAME -C release .",
            &["a hard link", "from a copy of the folder that `cp -R` makes (bsdtar"],
            "cp -R release copy; bsdtar -czf NAME -C copy .",
        ),
        (
            "tar",
            "ln -s LICENSE release/COPYING",
            "tar -czf NAME -C release .",
            &["a symbolic link", "--dereference --hard-dereference (GNU tar)"],
            "tar --dereference --hard-dereference -czf NAME -C release .",
        ),
        (
            "bsdtar",
            "ln -s LICENSE release/COPYING",
            "bsdtar -czf NAME -C release .",
            &["a symbolic link", "-L (bsdtar)"],
            "bsdtar -L -czf NAME -C release .",
        ),
        (
            "tar",
            "",
            "tar --format=v7 -czf NAME -C release .",
            &["the old v7 format", "tar --format=ustar"],
            "tar --format=ustar -czf NAME -C release .",
        ),
        (
            "tar",
            "",
            "tar --format=posix --pax-option=VENDOR.x=1 -czf NAME -C release .",
            &["a global pax header changes more", "without a global pax header"],
            "tar --format=posix -czf NAME -C release .",
        ),
        (
            "tar",
            "",
            "tar -P -czf NAME \"$PWD/release\"",
            &["it is absolute", "tar -C FOLDER"],
            "tar -C release -czf NAME .",
        ),
    ] {
        if !require_program(program) {
            continue;
        }
        let case = Case::new();
        if before == holes && !has_holes(&case) {
            skipped("the file system of TMPDIR has no sparse files");
            continue;
        }
        case.shell(before);
        case.shell(make);
        case.refused(make, texts);
        case.shell(remade);
        case.published();
    }
}
