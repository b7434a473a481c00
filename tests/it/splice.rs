//! Files whose compression is kept: what others make of the zips, and that they stay the same.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tfreg::content::Digest;

use crate::support::archive::{Archive, genuine_executable, noise, write};
use crate::support::child::Running;
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::{folder, publish, run, tarballs, testdata, tree};

const TARBALL: &str = "terraform-provider-sample_1.2.0_linux_amd64.tar.gz";
const EXECUTABLE: &str = "terraform-provider-sample_v1.2.0";

/// A provider large enough for its compression to be kept: a genuine executable with something behind it.
fn large_executable() -> Vec<u8> {
    let mut bytes = genuine_executable("linux-amd64");
    let noise = noise(100_000);
    for round in 0..10 {
        bytes.extend_from_slice(&noise[round * 5000..round * 5000 + 40_000]);
        bytes.extend_from_slice("the quick brown fox ".repeat(500 + round).as_bytes());
    }
    bytes
}

/// A tar file with files before, between and behind two large ones.
fn large_tar() -> Vec<u8> {
    let manifest = r#"{ "version": 1, "metadata": { "protocol_versions": ["6.0"] } }"#;
    Archive::new()
        .file("README.md", "read me\n".repeat(300))
        .file("terraform-provider-sample", large_executable())
        .file("LICENSE", "the quick brown fox\n".repeat(100))
        .file("docs/large.txt", large_executable().iter().rev().copied().collect::<Vec<u8>>())
        .file("terraform-registry-manifest.json", manifest)
        .tar()
}

/// Files of a tar file, by name.
fn files(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().replace("terraform-provider-sample", EXECUTABLE);
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    });
    entries.collect()
}

/// Publishes a compressed tar file; gives the zip's path.
fn published(root: &Path, gz: &[u8]) -> PathBuf {
    let tarball = write(root, TARBALL, gz);
    let site = root.join("site");
    run(&mut publish(&site, &[tarball])).succeeds();
    let zip = tree(&site).into_keys().find(|key| key.ends_with(".zip")).unwrap();
    site.join(zip)
}

/// Pipes bytes through a program.
fn piped(command: &mut Command, bytes: &[u8]) -> Vec<u8> {
    let mut child = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).unwrap());
        let output = child.output();
        assert!(output.status.success(), "{command:?}");
        output.stdout
    })
}

/// Compressed by every means that there is here: what made it, and the bytes.
fn compressed(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for level in 0..=9 {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(tar).unwrap();
        all.push((format!("zlib-rs -{level}"), encoder.finish().unwrap()));
    }
    if require_program("gzip") {
        for level in ["-1", "-6", "-9"] {
            all.push((format!("gzip {level}"), piped(Command::new("gzip").args(["-c", level]), tar)));
        }
    }
    if require_program("python3") {
        let script = "import sys, zlib
level, strategy, flush, memory = map(int, sys.argv[1:])
c = zlib.compressobj(level, zlib.DEFLATED, 31, memory, strategy)
data = sys.stdin.buffer.read()
for at in range(0, len(data), 50000):
    sys.stdout.buffer.write(c.compress(data[at:at + 50000]))
    if flush:
        sys.stdout.buffer.write(c.flush(flush))
sys.stdout.buffer.write(c.flush())";
        // Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE and Z_FIXED; Z_PARTIAL_FLUSH, Z_SYNC_FLUSH, Z_FULL_FLUSH and Z_BLOCK.
        for (strategy, flush, memory) in [
            (0, 0, 8),
            (1, 0, 9),
            (2, 0, 8),
            (3, 0, 1),
            (4, 0, 8),
            (0, 1, 8),
            (0, 2, 8),
            (0, 3, 1),
            (0, 5, 8),
            (4, 2, 8),
        ] {
            let numbers = [6, strategy, flush, memory].map(|number: i32| number.to_string());
            let gz = piped(Command::new("python3").args(["-c", script]).args(&numbers), tar);
            all.push((format!("zlib, strategy {strategy}, flush {flush}, memory {memory}"), gz));
        }
    }
    for (program, arguments) in
        [("pigz", &["-c", "-i"][..]), ("bgzip", &["-c"]), ("libdeflate-gzip", &["-c", "-12"])]
    {
        if require_program(program) {
            all.push((program.to_owned(), piped(Command::new(program).args(arguments), tar)));
        }
    }
    // As pigz and bgzip do it: a gzip member for every so many bytes.
    for size in [10_000, 65_280, 131_072] {
        let members = tar.chunks(size).flat_map(crate::support::archive::gzip).collect();
        all.push((format!("members of {size}"), members));
    }
    all
}

#[test]
fn whatever_compressed_it_others_read_the_zip() {
    let tar = large_tar();
    let mut expected = files(&tar);
    expected.sort();
    let script = "import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
for name in z.namelist():
    open(sys.argv[2] + '/' + name.replace('/', '!'), 'wb').write(z.read(name))";
    let python = require_program("python3");
    let unzip = require_program("unzip");
    for (by, gz) in compressed(&tar) {
        let root = folder();
        let zip = published(root.path(), &gz);
        if unzip {
            run(Command::new("unzip").arg("-tq").arg(&zip)).succeeds();
        }
        if python {
            let out = root.path().join("out");
            std::fs::create_dir(&out).unwrap();
            run(Command::new("python3").args(["-c", script]).arg(&zip).arg(&out)).succeeds();
            let mut found: Vec<_> = tree(&out).into_iter().map(|(n, b)| (n.replace('!', "/"), b)).collect();
            found.sort();
            assert!(found == expected, "{by}");
        }
        let mut archive = zip::ZipArchive::new(std::fs::File::open(&zip).unwrap()).unwrap();
        for (name, bytes) in &expected {
            let mut entry = archive.by_name(name).unwrap();
            let mut found = Vec::new();
            entry.read_to_end(&mut found).unwrap();
            assert!(found == *bytes, "{by}: {name}");
        }
        // It is not compressed again: what nobody compressed stays so.
        let (zip, gz) = (zip.metadata().unwrap().len(), gz.len() as u64);
        assert!(zip < gz + gz / 10 + 40_000, "{by}: {gz} became {zip}");
    }
}

#[test]
fn terraform_installs_a_provider_whose_compression_was_kept() {
    if !require_program("terraform") {
        return;
    }
    for (by, gz) in
        compressed(&large_tar()).into_iter().filter(|(by, _)| by.ends_with("-9") || by.contains("members"))
    {
        let root = folder();
        published(root.path(), &gz);
        let preview = Preview::of(&root.path().join("site"));
        let terraform = Terraform::new(&preview, "1.2.0");
        terraform.run(&["init"]).succeeds();
        let version = run(Command::new(terraform.installed("1.2.0")).arg("--version")).succeeds();
        assert_eq!(version.stdout, "terraform-provider-sample v1.2.0\n", "{by}");
        assert!(std::fs::read(terraform.installed("1.2.0")).unwrap() == large_executable(), "{by}");
    }
}

#[test]
fn damage_never_makes_a_wrong_zip() {
    let tar = large_tar();
    let gz = crate::support::archive::gzip(&tar);
    let mut expected = files(&tar);
    expected.sort();
    let root = folder();
    for nth in 0..40 {
        let mut bad = gz.clone();
        let at = gz.len() * nth / 40 + nth * 37 % 100;
        if nth % 4 == 0 {
            bad.truncate(at);
        } else {
            bad[at] ^= 1 << (nth % 8);
        }
        let tarball = write(root.path(), TARBALL, &bad);
        let site = root.path().join(format!("site-{nth}"));
        let ran = run(&mut publish(&site, &[tarball]));
        if ran.code == 0 {
            let key = tree(&site).into_keys().find(|key| key.ends_with(".zip")).unwrap();
            let mut archive = zip::ZipArchive::new(std::fs::File::open(site.join(key)).unwrap()).unwrap();
            for (name, bytes) in &expected {
                let mut found = Vec::new();
                archive.by_name(name).unwrap().read_to_end(&mut found).unwrap();
                assert!(found == *bytes, "{nth}: {name}");
            }
        } else {
            // Of the beginning nothing is left to be recognised by.
            let said =
                if ran.stderr.contains("damaged") { "damaged" } else { "not a gzip-compressed tar file" };
            ran.refused(&format!("byte {at}"), &[TARBALL, said]);
            assert!(tree(&site).is_empty());
        }
    }
}

/// Published zips must come out the same from the next release of tfreg, on any machine.
#[test]
fn zips_are_pinned() {
    let root = folder();
    let mut found = String::new();
    for tarball in tarballs("compressions") {
        let name = tarball.file_stem().unwrap().to_str().unwrap().trim_end_matches(".tar").to_owned();
        let bytes = std::fs::read(&tarball).unwrap();
        let folder = root.path().join(&name);
        std::fs::create_dir(&folder).unwrap();
        let zip = std::fs::read(published(&folder, &bytes)).unwrap();
        let mut tar = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut tar).unwrap();
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&zip)).unwrap();
        for (name, expected) in files(&tar) {
            let mut bytes = Vec::new();
            archive.by_name(&name).unwrap().read_to_end(&mut bytes).unwrap();
            assert!(bytes == expected, "{name}");
        }
        found.push_str(&[Digest::of(&zip).to_string().as_str(), "  ", &name, "\n"].concat());
    }
    let expected = std::fs::read_to_string(testdata("compressions/SHA256SUMS")).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn the_executable_is_the_tarballs() {
    let root = folder();
    let zip = published(root.path(), &crate::support::archive::gzip(&large_tar()));
    let mut archive = zip::ZipArchive::new(std::fs::File::open(zip).unwrap()).unwrap();
    let entry = archive.by_name(EXECUTABLE).unwrap();
    assert_eq!((entry.unix_mode(), entry.size()), (Some(0o100_755), large_executable().len() as u64));
}
