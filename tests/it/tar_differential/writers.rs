//! Tar files by every program that is here.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use super::go_program;
use super::mutate::piece;
use crate::support::programs::{require_program, skipped};

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
    if require_program("node") {
        for portable in ["true", "false"] {
            let file = root.join("node.tar");
            let tar =
                written(Command::new("node").args(["-e", NODE]).arg(file).arg(portable).current_dir(&files));
            match tar.filter(|tar| !tar.is_empty()) {
                Some(tar) => all.push((format!("npm's tar, portable: {portable}"), tar)),
                None => skipped(
                    "npm's tar (the package tar of Node.js; Debian: node-tar) is NOT CHECKED: it is not installed",
                ),
            }
        }
    }
    if require_program("git") {
        all.push(("git archive".to_owned(), git_archive(root, &files)));
    }
    if require_program("bsdtar") {
        all.push(("bsdtar on macOS".to_owned(), of_macos(root)));
    }
    if let Some(program) = go_program(root, "writer", GO) {
        all.extend(written(Command::new(program).current_dir(&files)).map(|tar| ("Go".to_owned(), tar)));
    }
    all
}

/// The package `tar`, which npm has in it, and Debian in `node-tar`, which a Node.js of others cannot load. Writes nothing where it
/// is missing.
const NODE: &str = r#"
const fs = require("fs"), path = require("path");
const [file, portable] = process.argv.slice(1);
const beside = path.dirname(fs.realpathSync(process.execPath));
const places = ["/usr/share/nodejs", "/usr/share/nodejs/npm/node_modules", "/usr/lib/node_modules/npm/node_modules",
    path.join(beside, "../lib/node_modules/npm/node_modules")];
const loaded = (place) => {
    try {
        return require(path.join(place, "tar"));
    } catch {
        return undefined;
    }
};
const tar = places.map(loaded).find((tar) => tar);
if (tar) {
    tar.create({ file, sync: true, portable: portable === "true" }, ["."]);
    process.stdout.write(fs.readFileSync(file));
}
"#;

/// `git archive` of a commit that has the files, with the comment that names the commit.
fn git_archive(root: &Path, files: &Path) -> Vec<u8> {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(root.join("git")).arg("--work-tree").arg(files).args(args);
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "x").env(format!("GIT_{who}_EMAIL"), "x@example.com");
            command.env(format!("GIT_{who}_DATE"), "1700000000 +0000");
        }
        // Nothing of this machine's configuration.
        command.env("HOME", root).env("XDG_CONFIG_HOME", root).env("GIT_CONFIG_NOSYSTEM", "1");
        written(&mut command).unwrap()
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "x"]);
    git(&["archive", "--format=tar", "HEAD"])
}

/// What Apple's bsdtar makes of files with extended attributes: before each a `._` file that holds these (AppleDouble), and
/// pax headers with times of a file system that has fractions.
fn of_macos(root: &Path) -> Vec<u8> {
    let source = root.join("macos");
    std::fs::create_dir_all(source.join("docs")).unwrap();
    // RFC 1740, "AppleDouble": magic, version, the system, one entry (Finder's information) and its 32 bytes.
    let attributes =
        [&b"\0\x05\x16\x07\0\x02\0\0Mac OS X        "[..], b"\0\x01\0\0\0\x09\0\0\0\x26\0\0\0\x20", &[0; 32]]
            .concat();
    let mut names = Vec::new();
    for (folder, name) in [("", "docs"), ("", "terraform-provider-x"), ("", "LICENSE"), ("docs/", "a b é.md")]
    {
        let hidden = format!("{folder}._{name}");
        std::fs::write(source.join(&hidden), &attributes).unwrap();
        let path = format!("{folder}{name}");
        if name != "docs" {
            std::fs::write(source.join(&path), "content\n".repeat(80)).unwrap();
        }
        names.extend([hidden, path]);
    }
    let executable = source.join("terraform-provider-x");
    std::fs::set_permissions(&executable, std::fs::Permissions::from_mode(0o755)).unwrap();
    for name in &names {
        let time = UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        std::fs::File::open(source.join(name)).unwrap().set_modified(time).unwrap();
    }
    let mut command = Command::new("bsdtar");
    command.args(["-cnf", "-", "--format", "pax", "--uname", "runner", "--gname", "staff"]);
    written(command.args(names).current_dir(&source)).unwrap()
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
