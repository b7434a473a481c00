//! Checks that other readers can read the compressed streams that are copied into a zip.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use fastrand::Rng;

use super::super::archive::{FileKind, ZipWriter};
use crate::content::Scratch;
use crate::splice::tests::encoder::{Maker, gzip, without_distances};
use crate::splice::tests::zlib_prefix;
use crate::splice::{DeflateRecorder, Unpacker};

/// Streams in a run; `TFREG_STREAMS` sets another number, for runs by hand.
const STREAMS: usize = 300;

/// Reads all entries of the zips that follow, which checks their CRC-32, as Terraform does.
const GO: &str = r#"package main

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
)

func main() {
	archive, err := zip.OpenReader(os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, file := range archive.File {
		content, err := file.Open()
		if err == nil {
			_, err = io.Copy(io.Discard, content)
		}
		if err != nil {
			fmt.Println(file.Name, err)
			os.Exit(1)
		}
	}
}
"#;
const PYTHON: &str = "import sys, zipfile
bad = zipfile.ZipFile(sys.argv[1]).testzip()
sys.exit(bad and f'{bad} is damaged')";

/// Whether a program is installed. In CI required programs must be: only Go may be missing.
fn is_there(program: &str, argument: &str, may_be_missing: bool) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let there = command.status().is_ok();
    if !there {
        let in_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
        assert!(may_be_missing || !in_ci, "{program} is not installed, and CI may skip no test");
        // Written to standard error directly, because tests capture `eprintln!`.
        let mut stderr = std::io::stderr();
        let _ = writeln!(
            stderr,
            "\n*** NOT CHECKED, because {program} is not installed: that it reads what is copied\n"
        );
    }
    there
}

/// The readers of this machine: each a command that ends with success if it can read all of the zip.
fn readers(zip: &Path, folder: &Path) -> Vec<Command> {
    let command = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).arg(zip);
        command
    };
    let mut readers = Vec::new();
    if is_there("unzip", "-v", false) {
        readers.push(command("unzip", &["-tqq"]));
    }
    if is_there("7z", "i", false) {
        readers.push(command("7z", &["t"]));
    }
    if is_there("bsdtar", "--version", false) {
        readers.push(command("bsdtar", &["-xOf"]));
    }
    if is_there("python3", "--version", false) {
        readers.push(command("python3", &["-c", PYTHON]));
    }
    if is_there("go", "version", true) {
        let (source, program) = (folder.join("main.go"), folder.join("reader"));
        std::fs::write(&source, GO).unwrap();
        let built = Command::new("go").arg("build").arg("-o").arg(&program).arg(&source).status();
        assert!(built.unwrap().success());
        readers.push(command(program.to_str().unwrap(), &[]));
    }
    readers
}

/// A gzip file and its contents: blocks of every form, many of them with one bit changed in a header so that zlib still
/// accepts it.
fn file(random: &mut Rng) -> (Vec<u8>, Vec<u8>) {
    match random.u8(..8) {
        0 => {
            let len = random.usize(..100_000);
            let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..254)).take(len).collect();
            (gzip(&without_distances(&bytes), &bytes, random), bytes)
        }
        1 => Maker::new(random).file(),
        _ => loop {
            let (mut stream, _) = Maker::new(random).stream(3000);
            for _ in 0..random.usize(1..4) {
                let most = if random.bool() { stream.len().min(80) } else { stream.len() };
                let at = random.usize(..most);
                stream[at] ^= 1 << random.u8(..8);
            }
            if let Ok((bytes, taken)) = zlib_prefix(&stream) {
                return (gzip(&stream[..taken], &bytes, random), bytes);
            }
        },
    }
}

#[test]
fn others_read_what_is_copied() {
    let wanted = std::env::var("TFREG_STREAMS").ok().and_then(|count| count.parse().ok()).unwrap_or(STREAMS);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("streams.zip");
    let readers = readers(&path, folder.path());
    for round in 0..wanted.div_ceil(STREAMS) {
        let mut zip = ZipWriter::new(&Scratch::default()).unwrap();
        for nth in 0..STREAMS {
            let seed = (round * STREAMS + nth) as u64;
            let mut random = Rng::with_seed(seed);
            let (gz, bytes) = file(&mut random);
            let recorder = DeflateRecorder::default();
            let mut unpacker = Unpacker::new(gz.as_slice(), recorder.clone());
            // Some begin after other bytes, on which their first copies depend.
            let before = if bytes.len() > 1000 && random.bool() { random.usize(..500) } else { 0 };
            std::io::Read::read_exact(&mut unpacker, &mut vec![0; before]).unwrap();
            let size = (bytes.len() - before) as u64;
            if size == 0 {
                continue;
            }
            recorder.record(size);
            zip.add_recorded(&seed.to_string(), FileKind::Plain, size, &mut unpacker, &recorder).unwrap();
        }
        let zip = zip.finish().unwrap().zip;
        std::io::copy(&mut zip.reader(), &mut std::fs::File::create(&path).unwrap()).unwrap();
        for mut reader in readers.iter().map(again) {
            let output = reader.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let printed =
                String::from_utf8_lossy(&output.stdout[..output.stdout.len().min(1000)]).into_owned();
            assert!(
                output.status.success(),
                "{reader:?} cannot read an entry, named by its seed: {printed}{said}"
            );
        }
    }
}

fn again(command: &Command) -> Command {
    let mut again = Command::new(command.get_program());
    again.args(command.get_args());
    again
}
