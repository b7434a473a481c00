//! Tar files by every program that is here.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use super::go_program;
use super::mutate::piece;
use crate::support::programs::require_program;

/// A folder as releases have it, with a name too long for a header, in `files`.
fn files(root: &Path) -> std::path::PathBuf {
    let files = root.join("files");
    let long = files.join("docs").join("d".repeat(90)).join("r".repeat(60));
    std::fs::create_dir_all(&long).unwrap();
    for (name, content) in
        [("terraform-provider-x", "#!/bin/sh\n"), ("LICENSE", ""), ("docs/a b é.md", "text")]
    {
        std::fs::write(files.join(name), content.repeat(80)).unwrap();
    }
    std::fs::write(long.join("f.txt"), [7; 512]).unwrap();
    let executable = files.join("terraform-provider-x");
    std::fs::set_permissions(&executable, std::fs::Permissions::from_mode(0o755)).unwrap();
    // A fraction makes pax headers, and one time makes the same tar files each time.
    let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
    std::fs::File::options().append(true).open(&executable).unwrap().set_modified(time).unwrap();
    files
}

/// What a program writes on its standard output; `None` where it is missing.
fn written(command: &mut Command) -> Option<Vec<u8>> {
    let output = command.stderr(Stdio::inherit()).output().ok()?;
    assert!(output.status.success(), "{command:?}");
    Some(output.stdout)
}

const PYTHON: &str = "import sys, tarfile
with tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=int(sys.argv[1])) as archive:
    archive.add('.')";

const GO: &str = r#"package main
import ("archive/tar"; "os"; "path/filepath"; "io/fs"; "io")
func main() {
	out := tar.NewWriter(os.Stdout)
	err := filepath.Walk(".", func(path string, info fs.FileInfo, err error) error {
		if err != nil { return err }
		header, err := tar.FileInfoHeader(info, "")
		if err != nil { return err }
		header.Name = path
		if err := out.WriteHeader(header); err != nil { return err }
		if info.IsDir() { return nil }
		file, err := os.Open(path)
		if err != nil { return err }
		defer file.Close()
		_, err = io.Copy(out, file)
		return err
	})
	if err != nil { panic(err) }
	if err := out.Close(); err != nil { panic(err) }
}
"#;

/// The writers' names and what they write.
pub(super) fn all(root: &Path) -> Vec<(String, Vec<u8>)> {
    let files = files(root);
    let mut all =
        vec![("tfreg's tests, POSIX".to_owned(), own(false)), ("tfreg's tests, GNU".to_owned(), own(true))];
    let mut add = |name: String, command: &mut Command| {
        all.extend(written(command.current_dir(&files)).map(|tar| (name, tar)));
    };
    if require_program("tar") {
        for format in ["gnu", "oldgnu", "ustar", "posix"] {
            add(format!("GNU tar, {format}"), Command::new("tar").args(["-c", "--format", format, "."]));
        }
    }
    if require_program("bsdtar") {
        for format in ["ustar", "pax", "gnutar"] {
            add(
                format!("bsdtar, {format}"),
                Command::new("bsdtar").args(["-cf", "-", "--format", format, "."]),
            );
        }
    }
    if require_program("python3") {
        for format in ["0", "1", "2"] {
            // One that cannot hold the long name says so.
            add(format!("Python, format {format}"), Command::new("python3").args(["-c", PYTHON, format]));
        }
    }
    if require_program("busybox") {
        add("busybox".to_owned(), Command::new("busybox").args(["tar", "-cf", "-", "."]));
    }
    if let Some(program) = go_program(root, "writer", GO) {
        add("Go".to_owned(), &mut Command::new(program));
    }
    all
}

/// One of each kind of header.
fn own(is_gnu: bool) -> Vec<u8> {
    let mut tar = Vec::new();
    if is_gnu {
        tar.extend(piece(b'L', b"././@LongLink", &[b"d/".repeat(60).as_slice(), b"x\0"].concat(), true));
    } else {
        tar.extend(piece(
            b'g',
            b"pax_global_header",
            b"52 comment=0123456789abcdef0123456789abcdef01234567\n",
            false,
        ));
        tar.extend(piece(b'x', b"PaxHeaders/x", b"12 path=d/x\n", false));
    }
    tar.extend(piece(b'0', b"x", b"x", is_gnu));
    tar.extend(piece(b'5', b"e/", b"", is_gnu));
    tar.extend(piece(b'0', b"terraform-provider-x", &[b'p'; 700], is_gnu));
    tar.extend(piece(0, b"README.md", b"read me", is_gnu));
    tar.resize(tar.len() + 1024, 0);
    tar
}
