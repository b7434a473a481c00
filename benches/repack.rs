//! What it costs to turn a `.tar.gz` into a checked zip: beside what compressing again costs, and beside what cannot be
//! left out. Prints Markdown tables; `docs/performance.md` has the results of one machine.
//!
//! The large executable is the file that `TFREG_BENCH_EXECUTABLE` names, or else `terraform` of PATH.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot run stops")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the tables are what it is for")]
#![allow(clippy::cast_precision_loss, reason = "times and sizes are rounded for print")]

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
#[allow(clippy::case_sensitive_file_extension_comparisons, reason = "keys are what they are")]
mod support;

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use tfreg::content::{Digest, Scratch, Sealed};
use tfreg::package::archive::{FileKind, ZipWriter, extract};
use tfreg::package::{BuildOptions, PackageSet};
use tfreg::release::archive::{ArchiveReader as _, CompressedForm, Limits};
use tfreg::release::file::ArtifactFile;
use tfreg::release::{Expected, Release};
use tfreg::splice::{DeflateRecorder, Unpacker};

use support::archive::{genuine_executable, noise, write};
use support::folder;

const NAME: &str = "terraform-provider-sample";
const CHUNK: usize = 128 * 1024;
const ROUNDS: usize = 7;

fn main() {
    let root = folder();
    let large = large_executable();
    let mut small = genuine_executable("linux-amd64");
    small.extend_from_slice(&large[large.len() / 2..][..(1 << 20).min(large.len() / 2)]);
    let inputs = [
        ("large executable", large.clone()),
        ("small executable", small),
        ("incompressible", noise(32 << 20)),
        ("very compressible", b"the quick brown fox jumps over the lazy dog\n".repeat(800_000)),
    ];
    for (name, contents) in inputs {
        let tarball = write(root.path(), "input.tar.gz", compressed(&tar(&contents)));
        one(name, &contents, &tarball);
    }
    release(&large);
}

fn large_executable() -> Vec<u8> {
    let named = std::env::var_os("TFREG_BENCH_EXECUTABLE").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("terraform"));
    let file = named.or_else(|| found.find(|path| path.is_file()));
    let file = file.unwrap_or_else(|| {
        eprintln!(
            "*** terraform is not here: this benchmark's own executable is taken. Better name a large one."
        );
        std::env::current_exe().unwrap()
    });
    std::fs::read(file).unwrap()
}

fn tar(contents: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(contents.len() as u64);
    header.set_mode(0o755);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, NAME, contents).unwrap();
    builder.into_inner().unwrap()
}

/// By `gzip -9`, as most releases are, or by zlib-rs where there is no gzip.
fn compressed(tar: &[u8]) -> Vec<u8> {
    let gzip = Command::new("gzip").args(["-9", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut gzip) = gzip else {
        eprintln!("*** gzip is not here: the tarballs are made by zlib-rs");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(tar).unwrap();
        return encoder.finish().unwrap();
    };
    let mut stdin = gzip.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(tar).unwrap());
        gzip.wait_with_output().unwrap().stdout
    })
}

/// Nanoseconds that this thread has had of a processor, user and system together.
fn processor() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The median of the processor's milliseconds, and what the work gave.
///
/// Short work is done many times, so that the clock's own time is none of it.
fn measure<T>(mut work: impl FnMut() -> T) -> (f64, T) {
    let began = Instant::now();
    let mut last = work();
    let times_each = (0.1 / began.elapsed().as_secs_f64()).ceil().clamp(1.0, 10_000.0);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = processor();
        let mut done = 0.0;
        while done < times_each {
            last = work();
            done += 1.0;
        }
        times.push((processor() - began) / 1e6 / times_each);
    }
    times.sort_by(f64::total_cmp);
    (times[ROUNDS / 2], last)
}

/// The chunks of a reader, to their end.
fn each_chunk(mut reader: impl Read, mut with: impl FnMut(&[u8])) {
    let mut buffer = vec![0; CHUNK];
    loop {
        match reader.read(&mut buffer).unwrap() {
            0 => return,
            count => with(&buffer[..count]),
        }
    }
}

fn one(name: &str, contents: &[u8], tarball: &Path) {
    let bytes = std::fs::read(tarball).unwrap();
    println!(
        "\n## {name}: {:.1} MB, {:.1} MB as tarball\n",
        contents.len() as f64 / 1e6,
        bytes.len() as f64 / 1e6
    );
    let (inflate, ()) =
        measure(|| each_chunk(MultiGzDecoder::new(BufReader::with_capacity(CHUNK, &bytes[..])), |_| {}));
    let (unpack, ()) = measure(|| each_chunk(Unpacker::new(&bytes[..], DeflateRecorder::default()), |_| {}));
    let (crc, _) = measure(|| crc32fast::hash(contents));
    let (contents_sha, _) = measure(|| Digest::of(contents));
    let (sha, _) = measure(|| Digest::of(&bytes));
    let (written, _) = measure(|| {
        let mut file = BufWriter::with_capacity(CHUNK, tempfile::tempfile().unwrap());
        bytes.chunks(CHUNK).for_each(|chunk| file.write_all(chunk).unwrap());
        file.into_inner().unwrap()
    });
    // Both decoders take the CRC-32 too. The tarball's SHA-256 and the zip's, which is as long.
    let limit = inflate.min(unpack) + 2.0 * sha + written;
    println!("| | CPU, ms | against the limit | zip against tarball |\n| :-- | --: | --: | --: |");
    let row = |what: &str, time: f64, len: Option<u64>| {
        let size = len.map_or(String::new(), |len| {
            format!("{:+.3} %", (len as f64 / bytes.len() as f64 - 1.0) * 100.0)
        });
        println!("| {what} | {time:.2} | {:.2} | {size} |", time / limit);
    };
    row("inflate and CRC-32 only, zlib-rs", inflate, None);
    row("inflate and CRC-32 only, tfreg's", unpack, None);
    row("CRC-32 only", crc, None);
    row("SHA-256 only, of the tarball", sha, None);
    row("SHA-256 only, of the contents", contents_sha, None);
    row("write only", written, None);
    row("**limit**: inflate by the faster, SHA-256 of tarball and zip, write", limit, None);
    let (time, len) = measure(|| recorded(tarball));
    row("**splice**, without the self-check", time, Some(len));
    let (time, zip) = measure(|| spliced(tarball));
    row("**splice**, as published", time, Some(zip.len()));
    let (time, ()) = measure(|| extract(&spliced(tarball), NAME, &mut std::io::sink()).unwrap());
    row("splice, and the finished zip decompressed by zlib-rs", time, Some(zip.len()));
    for level in [1, 6, 9] {
        let (time, len) = measure(|| crates(tarball, level));
        row(&format!("tar and zip crates, zlib-rs -{level}, no self-check"), time, Some(len));
    }
}

/// What `tfreg publish` does with a tarball.
fn spliced(tarball: &Path) -> Sealed {
    let mut zip = ZipWriter::new(&Scratch::default()).unwrap();
    ArtifactFile::at(tarball)
        .read(Limits::default(), &|_| {}, &mut |entry| {
            let CompressedForm::Recordable(recorder) = entry.compressed else {
                panic!("a tarball is compressed")
            };
            recorder.record(entry.size);
            zip.add_recorded(NAME, FileKind::Executable, entry.size, entry.content, recorder).unwrap();
            Ok(())
        })
        .unwrap();
    zip.finish().unwrap().zip
}

/// The same, but nothing is checked.
fn recorded(tarball: &Path) -> u64 {
    let mut file = BufWriter::with_capacity(CHUNK, tempfile::tempfile().unwrap());
    let (mut stream, mut len) = (Vec::new(), 0);
    let mut hash = <sha2::Sha256 as sha2::Digest>::new();
    ArtifactFile::at(tarball)
        .read(Limits::default(), &|_| {}, &mut |entry| {
            let CompressedForm::Recordable(recorder) = entry.compressed else {
                panic!("a tarball is compressed")
            };
            recorder.record(entry.size);
            let mut crc = crc32fast::Hasher::new();
            each_chunk(entry.content, |chunk| {
                crc.update(chunk);
                stream.clear();
                len += recorder.take(&mut stream).unwrap();
                sha2::Digest::update(&mut hash, &stream);
                file.write_all(&stream).unwrap();
            });
            Ok(())
        })
        .unwrap();
    file.flush().unwrap();
    len
}

/// What a program does that puts the usual crates together.
fn crates(tarball: &Path, level: i64) -> u64 {
    use zip::write::SimpleFileOptions;
    let digest = Digest::of_reader(&mut File::open(tarball).unwrap()).unwrap();
    let decoder = MultiGzDecoder::new(BufReader::with_capacity(CHUNK, File::open(tarball).unwrap()));
    let file = BufWriter::with_capacity(CHUNK, tempfile::tempfile().unwrap());
    let mut zip = zip::ZipWriter::new(file);
    let mut archive = tar::Archive::new(decoder);
    for entry in archive.entries().unwrap() {
        zip.start_file(NAME, SimpleFileOptions::default().compression_level(Some(level))).unwrap();
        each_chunk(entry.unwrap(), |chunk| zip.write_all(chunk).unwrap());
    }
    let mut file = zip.finish().unwrap().into_inner().unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let (zip_digest, len) = Digest::of_reader(&mut file).unwrap();
    assert!(zip_digest != digest.0);
    len
}

/// The machines of 64-bit little-endian ELF files, for which a header is changed in one place.
const MACHINES: [(&str, u16); 12] = [
    ("linux_amd64", 62),
    ("linux_arm64", 183),
    ("linux_loong64", 258),
    ("linux_mips64le", 8),
    ("linux_ppc64le", 21),
    ("linux_riscv64", 243),
    ("android_amd64", 62),
    ("android_arm64", 183),
    ("dragonfly_amd64", 62),
    ("illumos_amd64", 62),
    ("illumos_arm64", 183),
    ("solaris_amd64", 62),
];

/// A release of twelve platforms: repacked, beside reading and hashing its tarballs.
fn release(large: &[u8]) {
    let root = folder();
    let mut contents = genuine_executable("linux-amd64");
    contents.extend_from_slice(large);
    let mut paths = Vec::new();
    let mut bytes = 0;
    std::thread::scope(|scope| {
        let made: Vec<_> = MACHINES
            .iter()
            .map(|(platform, machine)| {
                let mut contents = contents.clone();
                let root = root.path();
                scope.spawn(move || {
                    contents[18..20].copy_from_slice(&machine.to_le_bytes());
                    // By zlib-rs, which is done sooner.
                    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                    encoder.write_all(&tar(&contents)).unwrap();
                    write(root, &format!("{NAME}_1.2.0_{platform}.tar.gz"), encoder.finish().unwrap())
                })
            })
            .collect();
        for tarball in made {
            let path = tarball.join().unwrap();
            bytes += path.metadata().unwrap().len();
            paths.push(path);
        }
    });
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "\n## a release of 12 platforms: {:.0} MB, {:.0} MB as tarballs; {jobs} at once\n",
        contents.len() as f64 * 12.0 / 1e6,
        bytes as f64 / 1e6
    );
    println!("| | wall, ms |\n| :-- | --: |");
    let fastest = |what: &str, work: &dyn Fn()| {
        let times = (0..3).map(|_| {
            let began = Instant::now();
            work();
            began.elapsed().as_secs_f64() * 1000.0
        });
        println!("| {what} | {:.0} |", times.fold(f64::MAX, f64::min));
    };
    fastest("read and hash the tarballs, one after the other", &|| {
        for path in &paths {
            Digest::of_reader(&mut File::open(path).unwrap()).unwrap();
        }
    });
    let contents = contents.as_slice();
    fastest("read and hash the tarballs, and what is in them, as fast as SHA-256 is", &|| {
        for path in &paths {
            Digest::of_reader(&mut File::open(path).unwrap()).unwrap();
            let _ = Digest::of(contents);
        }
    });
    fastest("twelve checked zips", &|| {
        let release =
            Release::open(paths.iter().map(|path| ArtifactFile::at(path)).collect(), &Expected::default())
                .unwrap();
        let protocols = tfreg::provider::Protocols::new(vec!["6.0".parse().unwrap()]);
        let options =
            BuildOptions { limits: Limits::default(), jobs, protocols, scratch: Scratch::default() };
        PackageSet::build(release, &options, &|_, _| {}).unwrap();
    });
}
