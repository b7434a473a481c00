//! What tfreg takes for a ready-made zip, others read as it does: Python's zipfile, Go's archive/zip, Info-ZIP and bsdtar.
//!
//! Zips that several programs make are changed at random, from a fixed seed. Of each that tfreg takes, all others must list
//! the same names and contents. `TFREG_ZIP_MUTATIONS` sets how many there are, `TFREG_ZIP_SEED` the seed.

mod mutate;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use sha2::{Digest as _, Sha256};
use tfreg::release::archive::Limits;
use tfreg::release::zips::{ExpectedZip, Inspection, inspect};

use crate::support::mutated::{Entry, executable, zip_of};
use crate::support::programs::{require_program, skipped};
use crate::support::{folder, testdata};
use crate::tar_differential::judges::{BsdTar, Fed, Judge as _, normal};
use crate::tar_differential::{go_program, number};
use mutate::{mutant, pieces};

/// Mutations in CI.
const MUTATIONS: u64 = 6_000;
const EXECUTABLE: &str = "terraform-provider-sample_v1.2.0";

fn ours(path: &Path) -> Inspection {
    let expected = ExpectedZip {
        provider_type: "sample".parse().unwrap(),
        version: "1.2.0".parse().unwrap(),
        platform: "linux_amd64".parse().unwrap(),
    };
    inspect(&File::open(path).unwrap(), &expected, Limits::default(), &|_| {}).unwrap()
}

/// Name and SHA-256 of an entry.
type Entries = Vec<(Vec<u8>, String)>;

/// The hash of a package, of what another program reads.
fn h1(entries: &Entries) -> String {
    let mut sorted = entries.clone();
    sorted.sort();
    let mut hash = Sha256::new();
    for (name, digest) in sorted {
        hash.update(format!("{digest}  "));
        hash.update(name);
        hash.update("\n");
    }
    format!("h1:{}", base64::engine::general_purpose::STANDARD.encode(hash.finalize()))
}

/// Info-ZIP: the names, and the contents one behind the other.
fn unzip(path: &Path) -> Result<(Vec<u8>, String), String> {
    let run = |arguments: &[&str]| {
        let mut command = Command::new("unzip");
        command.args(arguments).arg(path).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(output.stdout) } else { Err(format!("{}: {said}", output.status)) }
    };
    let names = run(&["-Z1"])?;
    Ok((names, tfreg::content::Digest::of(&run(&["-p"])?).to_string()))
}

struct Judges {
    python: Fed,
    go: Option<Fed>,
    has_unzip: bool,
    has_bsdtar: bool,
}

impl Judges {
    /// Panics if a judge reads another zip than we do.
    fn judge(&mut self, path: &Path, inspection: &Inspection, row: &str) {
        let fail = |judge: &str, found: &dyn std::fmt::Debug| -> ! {
            let kept = std::env::temp_dir().join("tfreg-zip-disagreement.zip");
            std::fs::copy(path, &kept).unwrap();
            panic!("{row}: {judge} reads {found:#?}\ntfreg: {inspection:#?}\nsee {}", kept.display());
        };
        let plain = |read: Result<Vec<(Vec<u8>, u32, String)>, String>| {
            read.map(|entries| {
                entries.into_iter().map(|(name, _, digest)| (name, digest)).collect::<Entries>()
            })
        };
        let mut entries =
            plain(self.python.entries(path)).unwrap_or_else(|error| fail("Python's zipfile", &error));
        let (_, contents) = entries.pop().unwrap();
        if Some(h1(&entries)) != inspection.h1.map(|h1| h1.to_string()) {
            fail("Python's zipfile", &entries);
        }
        if let Some(go) = &mut self.go {
            let found = plain(go.entries(path));
            if found.as_ref() != Ok(&entries) {
                fail("Go's archive/zip", &found);
            }
        }
        let files = || entries.iter().filter(|(name, _)| !name.ends_with(b"/"));
        if self.has_bsdtar {
            let mut wanted: Vec<(String, String)> =
                files().map(|(name, digest)| (normal(name), digest.clone())).collect();
            wanted.sort();
            let found = BsdTar
                .read(path)
                .map(|files| files.into_iter().map(|(name, _, digest)| (name, digest)).collect::<Vec<_>>());
            if found.as_ref() != Ok(&wanted) {
                fail("bsdtar", &found);
            }
        }
        // It shows other characters in its own way.
        let is_plain = |name: &[u8]| name.iter().all(u8::is_ascii_graphic);
        if self.has_unzip && entries.iter().all(|(name, _)| is_plain(name)) {
            let names: Vec<u8> =
                entries.iter().flat_map(|(name, _)| [name.as_slice(), b"\n"].concat()).collect();
            match unzip(path) {
                Ok(found) if found == (names, contents) => {}
                other => fail("unzip", &other),
            }
        }
    }
}

/// Zips that several programs make, by their names.
fn bases(root: &Path, go: Option<&Path>) -> Vec<(&'static str, Vec<u8>)> {
    let content = executable();
    let goreleaser = testdata("goreleaser-1.2.0/terraform-provider-sample_1.2.0_linux_amd64.zip");
    let mut bases = vec![
        ("the release in testdata", std::fs::read(goreleaser).unwrap()),
        (
            "the crate zip",
            zip_of(&[
                Entry::File("README.md", 0o644, b"hello"),
                Entry::File(EXECUTABLE, 0o755, &content),
                Entry::Folder("docs"),
                Entry::File("docs/caf\u{e9}.md", 0o644, b""),
            ]),
        ),
    ];
    let written = root.join("files");
    std::fs::create_dir(&written).unwrap();
    let files: Vec<PathBuf> = [EXECUTABLE, "LICENSE"].map(|name| written.join(name)).to_vec();
    for file in &files {
        std::fs::write(file, &content).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(file, mode).unwrap();
    }
    let python = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as z:\n for f in sys.argv[2:]: z.write(f, f.split('/')[-1])\n";
    let mut made = vec![("Python's zipfile", {
        let mut command = Command::new("python3");
        command.arg("-c").arg(python);
        command
    })];
    made.extend(go.map(|program| ("Go's archive/zip", Command::new(program))));
    for (name, mut command) in made {
        let path = root.join("base.zip");
        assert!(command.arg(&path).args(&files).status().unwrap().success(), "{name}");
        bases.push((name, std::fs::read(path).unwrap()));
    }
    bases
}

#[test]
fn what_is_taken_is_read_alike_by_all() {
    if !require_program("python3") {
        return;
    }
    let root = folder();
    let script = root.path().join("judge.py");
    std::fs::write(&script, include_str!("zip_differential/judge.py")).unwrap();
    let go = go_program(root.path(), "judge", include_str!("zip_differential/judge.go"));
    if go.is_none() {
        skipped("Go's archive/zip is NOT CHECKED: go is not installed");
    }
    let mut judges = Judges {
        python: Fed::start("Python's zipfile", Command::new("python3").arg(script)),
        go: go.as_ref().map(|program| Fed::start("Go's archive/zip", &mut Command::new(program))),
        has_unzip: require_program("unzip"),
        has_bsdtar: require_program("bsdtar"),
    };
    let bases = bases(root.path(), go.as_deref());
    let path = root.path().join("mutant.zip");
    for (writer, zip) in &bases {
        std::fs::write(&path, zip).unwrap();
        let inspection = ours(&path);
        assert_eq!(inspection.error(), None, "{writer}");
        judges.judge(&path, &inspection, writer);
    }
    let bases: Vec<_> = bases.iter().map(|(writer, zip)| (writer, pieces(zip))).collect();
    let (mutations, seed) = (number("TFREG_ZIP_MUTATIONS", MUTATIONS), number("TFREG_ZIP_SEED", 1989));
    let mut accepted = 0_u64;
    for nth in 0..mutations {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(1 << 32).wrapping_add(nth));
        let (writer, base) = &bases[random.usize(..bases.len())];
        std::fs::write(&path, mutant(base, &mut random)).unwrap();
        let inspection = ours(&path);
        if inspection.error().is_none() {
            accepted += 1;
            judges.judge(&path, &inspection, &format!("mutation {nth} of seed {seed}, made of {writer}"));
        }
    }
    println!("{mutations} mutations of {} zips: {accepted} accepted", bases.len());
    // A test that accepts nothing shows nothing.
    assert!(accepted * 50 > mutations, "only {accepted} of {mutations} were accepted");
}

/// Zips of which readers are known to read different things.
#[test]
fn zips_with_two_readings_are_refused() {
    let content = executable();
    let good = zip_of(&[Entry::File("README.md", 0o644, b"hello"), Entry::File(EXECUTABLE, 0o755, &content)]);
    let other = zip_of(&[Entry::File(EXECUTABLE, 0o755, &content)]);
    let at = |zip: &[u8], signature: &[u8]| zip.windows(4).position(|bytes| bytes == signature).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut zip = good.clone();
        change(&mut zip);
        zip
    };
    let end = at(&good, b"PK\x05\x06");
    let directory = at(&good, b"PK\x01\x02");
    let rows: &[(&str, &str, Vec<u8>)] = &[
        ("two zips, one behind the other", "central directory of", [other.clone(), good.clone()].concat()),
        ("a prefix", "central directory of", [b"#!/bin/sh\n".as_slice(), &good].concat()),
        (
            "a second end in the comment",
            "",
            with(&|zip| {
                zip[end + 20] = 22;
                let copy = zip[end..end + 20].to_vec();
                zip.extend(copy);
                zip.extend([0, 0]);
            }),
        ),
        ("bytes behind the end", "bytes behind it", with(&|zip| zip.extend(b"more"))),
        (
            "a gap before the directory",
            "central directory of",
            with(&|zip| drop(zip.splice(directory..directory, [0; 4]))),
        ),
        (
            "two entries at one place",
            "reaches into",
            with(&|zip| {
                let second = directory + 4 + at(&zip[directory + 4..], b"PK\x01\x02");
                let header = zip[directory + 42..directory + 46].to_vec();
                zip.splice(second + 42..second + 46, header);
            }),
        ),
        ("fewer entries than recorded", "recorded", with(&|zip| (zip[end + 8], zip[end + 10]) = (3, 3))),
        ("another size in the local header", "in its local header", with(&|zip| zip[22] ^= 1)),
        ("another name in the local header", "in its local header", with(&|zip| zip[30] ^= 1)),
        (
            "UTF-8 that is not marked",
            "not marked as UTF-8",
            with(&|zip| {
                (zip[30], zip[31]) = (0xc3, 0xa9);
                (zip[directory + 46], zip[directory + 47]) = (0xc3, 0xa9);
            }),
        ),
        ("a folder's attribute", "attribute of a folder", with(&|zip| zip[directory + 38] |= 0x10)),
        ("a device", "file type 60000", with(&|zip| zip[directory + 41] = 0x61)),
        ("several disks", "disks", with(&|zip| zip[end + 4] = 1)),
        (
            "strong encryption's bit",
            "general purpose bits",
            with(&|zip| {
                zip[6] |= 64;
                zip[directory + 8] |= 64;
            }),
        ),
        ("a newer version needed", "version 46", with(&|zip| zip[directory + 6] = 46)),
    ];
    let root = folder();
    let path = root.path().join("x.zip");
    std::fs::write(&path, &good).unwrap();
    assert_eq!(ours(&path).broken, []);
    for (row, text, zip) in rows {
        std::fs::write(&path, zip).unwrap();
        let inspection = ours(&path);
        let named = inspection
            .broken
            .iter()
            .any(|found| found.rule.name == "zip-ambiguous" && found.found.contains(text));
        assert!(named && inspection.error().is_some(), "{row}: {inspection:#?}");
    }
}
