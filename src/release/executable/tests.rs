//! Tests with the executables that Go builds for each of its ports, and with changed copies of them.

use std::io::Read as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn check(platform: &str, bytes: &[u8]) -> Result<(), (String, String)> {
    let expectation = Expectation::of(&platform.parse().unwrap()).unwrap();
    let mut examiner = expectation.examine(bytes.len() as u64);
    bytes.chunks(100_000).for_each(|piece| examiner.feed(piece));
    examiner.check()
}

#[test]
fn foreign_names_are_translated() {
    for (platform, hint) in [
        ("linux_aarch64", "arm64"),
        ("linux_aarch", "arm64"),
        ("macos_amd64", "darwin"),
        ("linux_i386", "386"),
    ] {
        let error = Expectation::of(&platform.parse().unwrap()).err().unwrap();
        assert!(error.contains(&format!("calls it {hint:?}")), "{error}");
    }
    assert!(Expectation::of(&"plan9_amd64".parse().unwrap()).is_err());
}

#[test]
fn this_test_program_is_for_this_machine() {
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let os = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    check(&format!("{os}_{arch}"), &program).unwrap();
    let other = if arch == "arm64" { "amd64" } else { "arm64" };
    let (found, expected) = check(&format!("{os}_{other}"), &program).unwrap_err();
    assert!(found.ends_with(arch) && expected.ends_with(other), "{found} / {expected}");
}

#[test]
fn what_is_no_executable_is_said_to_be_none() {
    for (head, text) in [
        (&b""[..], "empty"),
        (b"#!/bin/sh\n", "script"),
        (b"hello", "neither"),
        (b"\x7fELF\x02\x01", "damaged"),
        (b"MZ", "damaged"),
    ] {
        let (found, _) = check("linux_amd64", head).unwrap_err();
        assert!(found.contains(text), "{found}");
    }
}

proptest! {
    #[test]
    fn no_header_panics(magic in 0usize..6, mut bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let magics: [&[u8]; 6] = [b"\x7fELF\x01", b"\x7fELF\x02", &[0xcf, 0xfa, 0xed, 0xfe], &[0xca, 0xfe, 0xba, 0xbe], b"MZ", &[0xca, 0xfe, 0xba, 0xbf]];
        for (byte, magic) in bytes.iter_mut().zip(magics[magic]) { *byte = *magic; }
        let _ = check("linux_amd64", &bytes);
    }
}

/// The executables that Go builds for each of its ports, with zeros in the parts that are not read; by platform, such
/// as `linux_amd64`.
fn ports() -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/executables/ports.tar.gz");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    });
    entries.collect()
}

fn port(name: &str) -> Vec<u8> {
    ports().into_iter().find(|(port, _)| port == name).unwrap().1
}

/// Removes Go's record of the build.
fn without_record(mut bytes: Vec<u8>) -> Vec<u8> {
    let magic = b"\xff Go buildinf:";
    while let Some(at) = memchr::memmem::find(&bytes, magic) {
        bytes[at..at + magic.len()].fill(0);
    }
    bytes
}

#[test]
fn what_go_builds_is_taken_for_its_own_platform_alone() {
    let ports = ports();
    assert!(ports.len() > 30);
    for (name, bytes) in &ports {
        let (_, arch) = name.split_once('_').unwrap();
        for (os, _) in SYSTEMS {
            let platform = format!("{os}_{arch}");
            let outcome = check(&platform, bytes);
            assert_eq!(outcome.is_ok(), platform == *name, "{name} as {platform}: {outcome:?}");
        }
        let other = if arch == "amd64" { "arm64" } else { "amd64" };
        let os = name.split('_').next().unwrap();
        assert!(check(&format!("{os}_{other}"), bytes).is_err(), "{name} as {other}");
    }
}

#[test]
fn what_says_nothing_of_its_system_is_taken() {
    let taken = |bytes: &[u8]| -> Vec<&str> {
        let systems = SYSTEMS.iter().map(|(os, _)| *os);
        systems.filter(|os| check(&format!("{os}_amd64"), bytes).is_ok()).collect()
    };
    let silent = ["android", "dragonfly", "illumos", "linux", "solaris"];
    assert_eq!(taken(&without_record(port("linux_amd64"))), silent);
    assert_eq!(taken(&without_record(port("dragonfly_amd64"))), silent);
    // Their loader shows the system.
    assert_eq!(taken(&without_record(port("solaris_amd64"))), ["illumos", "solaris"]);
    assert_eq!(taken(&without_record(port("illumos_amd64"))), ["illumos", "solaris"]);
    // The header alone and a note alone show the BSDs too.
    for os in ["freebsd", "netbsd", "openbsd"] {
        let mut bytes = without_record(port(&format!("{os}_amd64")));
        assert_eq!(taken(&bytes), [os]);
        bytes[7] = 0;
        assert_eq!(taken(&bytes), [os]);
    }
}

#[test]
fn what_is_cut_short_is_refused() {
    for (name, bytes) in ports() {
        check(&name, &bytes).unwrap();
        for len in [bytes.len() / 2, bytes.len() * 3 / 4, bytes.len() - 5000] {
            let (found, _) = check(&name, &bytes[..len]).unwrap_err();
            assert!(found.contains("cut short"), "{name}, {len} of {}: {found}", bytes.len());
        }
        // Data after the end, such as an archive appended to a program, is accepted.
        check(&name, &[bytes.as_slice(), b"more"].concat()).unwrap();
    }
}

/// A universal binary of the executables for two processors; the second one begins at `second`.
fn universal(second: usize, sizes: [usize; 2], cpus: [macho_format::CpuType; 2]) -> Vec<u8> {
    let executables = [port("darwin_amd64"), port("darwin_arm64")];
    let mut bytes = 0xcafe_babe_u32.to_be_bytes().to_vec();
    bytes.extend(2_u32.to_be_bytes());
    for (nth, offset) in [16_384, second].into_iter().enumerate() {
        for word in [cpus[nth].0, 0, u32::try_from(offset).unwrap(), u32::try_from(sizes[nth]).unwrap(), 14] {
            bytes.extend(word.to_be_bytes());
        }
    }
    bytes.resize(16_384, 0);
    bytes.extend(&executables[0]);
    bytes.resize(bytes.len().max(second), 0);
    bytes.truncate(second);
    bytes.extend(&executables[1]);
    bytes
}

#[test]
fn a_universal_binary_holds_what_its_header_lists() {
    let sizes = [port("darwin_amd64").len(), port("darwin_arm64").len()];
    let cpus = [macho_format::CPU_TYPE_X86_64, macho_format::CPU_TYPE_ARM64];
    let second = (16_384 + sizes[0]).next_multiple_of(16_384);
    let whole = universal(second, sizes, cpus);
    for platform in ["darwin_amd64", "darwin_arm64"] {
        check(platform, &whole).unwrap();
    }
    assert!(check("linux_amd64", &whole).is_err());
    for (bytes, said) in [
        // The second one ends outside; so does a segment of the first.
        (whole[..whole.len() - 1].to_vec(), "cut short"),
        (universal(second, [sizes[0] / 2, sizes[1]], cpus), "cut short"),
        (universal(second, [second, sizes[1]], cpus), "damaged"),
        (universal(second, [0, sizes[1]], cpus), "damaged"),
        (universal(second, sizes, [cpus[0], macho_format::CPU_TYPE_X86]), "damaged"),
    ] {
        let (found, _) = check("darwin_amd64", &bytes).unwrap_err();
        assert!(found.contains(said), "{said}: {found}");
    }
}

#[test]
fn other_systems_of_apple_and_microsoft_are_refused() {
    let mut ios = port("darwin_arm64");
    // LC_BUILD_VERSION, whose third word is the platform.
    let at = (32..4096).step_by(4).find(|at| ios[*at..at + 8] == [0x32, 0, 0, 0, 24, 0, 0, 0]);
    let at = at.or_else(|| (32..4096).step_by(4).find(|at| ios[*at..at + 8] == [0x32, 0, 0, 0, 32, 0, 0, 0]));
    ios[at.unwrap() + 8] = 2;
    let (found, _) = check("darwin_arm64", &ios).unwrap_err();
    assert_eq!(found, "Mach-O executable for ios arm64");

    let mut firmware = port("windows_amd64");
    let headers = u32::from_le_bytes(firmware[60..64].try_into().unwrap()) as usize;
    firmware[headers + 24 + 68] = 10;
    let (found, _) = check("windows_amd64", &firmware).unwrap_err();
    assert_eq!(found, "PE driver or firmware for windows amd64");
    // The signature, which is at the end of the file, must be present.
    let mut signed = port("windows_amd64");
    let (end, directory) = (u32::try_from(signed.len()).unwrap(), headers + 24 + 112 + 4 * 8);
    signed[directory..directory + 4].copy_from_slice(&end.to_le_bytes());
    signed[directory + 4..directory + 8].copy_from_slice(&8_u32.to_le_bytes());
    assert!(check("windows_amd64", &signed).unwrap_err().0.contains("the signature"));
    signed.extend([0; 8]);
    check("windows_amd64", &signed).unwrap();
}
