//! What tfreg takes for a tarball, others read as it does: GNU tar, bsdtar, Python's tarfile and Go's archive/tar.
//!
//! Tarballs that several programs make are changed at random, from a fixed seed. Of each that tfreg takes, all others must
//! read the same files: names, modes and contents. `TFREG_TAR_MUTATIONS` sets how many there are, `TFREG_TAR_SEED` the seed.

pub(crate) mod judges;
mod mutate;
mod writers;

use std::path::Path;
use std::process::{Command, Stdio};

use tfreg::content::Digest;
use tfreg::error::Error;
use tfreg::release::archive::{ArchiveReader as _, Limits};
use tfreg::release::file::ArtifactFile;

use crate::support::folder;
use crate::support::programs::{require, require_program, skipped};
use judges::{BsdTar, Fed, File, GnuTar, Judge, MacTar};
use mutate::{mutant, pieces};

/// Where it is on the machine; its lack is told of, and is no failure.
const GO: &str = "go";
/// Mutations in CI.
const MUTATIONS: u64 = 20_000;

pub(crate) fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// What tfreg reads. Two files of one name, and a file that is a folder too, are refused by who calls `read`.
fn ours(path: &Path) -> Result<Vec<File>, String> {
    let mut files: Vec<File> = Vec::new();
    let outcome = ArtifactFile::at(path).read(Limits::default(), &|_| {}, &mut |entry| {
        let mut content = Vec::new();
        entry
            .content
            .read_to_end(&mut content)
            .map_err(|source| Error::Io { context: String::new(), source })?;
        files.push((entry.path.to_owned(), entry.mode, Digest::of(&content).to_string()));
        Ok(())
    });
    outcome.map_err(|error| error.to_string())?;
    let clash = |(at, (name, ..)): (usize, &File)| {
        files.iter().enumerate().any(|(other, (path, ..))| {
            other != at
                && (path == name
                    || path.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('/')))
        })
    };
    if files.iter().enumerate().any(clash) { Err("two files of one name".to_owned()) } else { Ok(files) }
}

/// All judges that are here.
fn judges(root: &Path) -> Vec<Box<dyn Judge>> {
    let mut judges: Vec<Box<dyn Judge>> = Vec::new();
    if require_program("tar") {
        judges.push(Box::new(GnuTar));
    }
    if require_program("bsdtar") {
        judges.push(Box::new(BsdTar));
        judges.push(Box::new(MacTar));
    }
    if require_program("python3") {
        let script = root.join("judge.py");
        std::fs::write(&script, include_str!("tar_differential/judge.py")).unwrap();
        judges.push(Box::new(Fed::start("Python's tarfile", Command::new("python3").arg(script))));
    }
    match go_program(root, "judge", include_str!("tar_differential/judge.go")) {
        Some(program) => judges.push(Box::new(Fed::start("Go's archive/tar", &mut Command::new(program)))),
        None => skipped("Go's archive/tar is NOT CHECKED: go is not installed"),
    }
    judges
}

/// Builds a program of Go's standard library; `None` where there is no Go.
pub(crate) fn go_program(root: &Path, name: &str, source: &str) -> Option<std::path::PathBuf> {
    let mut version = Command::new(GO);
    version.arg("version").stdout(Stdio::null()).stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        return None;
    }
    let file = root.join(format!("{name}.go"));
    std::fs::write(&file, source).unwrap();
    let program = root.join(name);
    let mut build = Command::new(GO);
    build.env("GO111MODULE", "off").env("GOFLAGS", "").env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0");
    if std::env::var_os("HOME").is_none() {
        build.env("GOCACHE", root.join("go-cache"));
    }
    let status = build.arg("build").arg("-o").arg(&program).arg(&file).status().unwrap();
    require("a Go that builds its standard library", status.success()).then_some(program)
}

/// Panics if a judge reads another tarball than we do.
fn judged(path: &Path, files: &[File], judges: &mut [Box<dyn Judge>], row: &str) {
    for judge in judges {
        let Some(expected) = judge.expected(path, files) else { continue };
        let found = judge.read(path);
        if found.as_ref() != Ok(&expected) {
            let kept = std::env::temp_dir().join("tfreg-tar-disagreement.tar.gz");
            std::fs::copy(path, &kept).unwrap();
            panic!(
                "{row}: {} reads {found:#?}\ntfreg reads {expected:#?}\nsee {}",
                judge.name(),
                kept.display()
            );
        }
    }
}

#[test]
fn what_is_taken_is_read_alike_by_all() {
    let root = folder();
    let mut judges = judges(root.path());
    let bases = writers::all(root.path());
    let path = root.path().join("mutant.tar.gz");
    for (writer, tar) in &bases {
        std::fs::write(&path, crate::support::archive::gzip(tar)).unwrap();
        let files = ours(&path).unwrap_or_else(|error| panic!("{writer} is refused: {error}"));
        assert!(
            files
                .iter()
                .any(|(name, mode, _)| name.ends_with("terraform-provider-x") && mode & 0o755 == 0o755),
            "{writer}: {files:?}"
        );
        judged(&path, &files, &mut judges, writer);
    }
    let bases: Vec<_> = bases.iter().map(|(writer, tar)| (writer, pieces(tar))).collect();
    let (mutations, seed) = (number("TFREG_TAR_MUTATIONS", MUTATIONS), number("TFREG_TAR_SEED", 1988));
    let mut accepted = 0_u64;
    for nth in 0..mutations {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(1 << 32).wrapping_add(nth));
        let (writer, base) = &bases[random.usize(..bases.len())];
        std::fs::write(&path, mutant(base, &mut random)).unwrap();
        if let Ok(files) = ours(&path) {
            accepted += 1;
            judged(&path, &files, &mut judges, &format!("mutation {nth} of seed {seed}, made of {writer}"));
        }
    }
    let names: Vec<_> = judges.iter().map(|judge| judge.name()).collect();
    println!(
        "{mutations} mutations of {} tarballs: {accepted} accepted, each judged by {}",
        bases.len(),
        names.join(", ")
    );
    // A test that accepts nothing shows nothing.
    assert!(accepted * 50 > mutations, "only {accepted} of {mutations} were accepted");
}
