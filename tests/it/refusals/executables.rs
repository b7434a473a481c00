//! The provider's executable in a tarball: there is exactly one, and it is for the tarball's platform.

use super::{EXECUTABLE, EXECUTABLE_MODE, NAME, good, linux, published, refuses};
use crate::support::archive::{Archive, genuine_executable};

#[test]
fn contents_without_the_one_executable() {
    let exe = linux();
    for (row, archive, texts) in [
        ("empty archive", Archive::new(), &["no provider executable in the archive", "an empty archive"][..]),
        (
            "only others",
            Archive::new().file("LICENSE", "x").file("f/README.md", "x"),
            &["no provider executable", "LICENSE", "f/README.md"],
        ),
        (
            "another type's",
            Archive::new().file("terraform-provider-other", &exe),
            &["no provider executable", "terraform-provider-other"],
        ),
        ("another case", Archive::new().file("Terraform-Provider-Sample", &exe), &["no provider executable"]),
        (
            "too deep",
            Archive::new().file("a/b/terraform-provider-sample", &exe),
            &["no provider executable", "a/b/terraform-provider-sample"],
        ),
        (
            "two at the root",
            good().file("terraform-provider-sample", &exe),
            &["more than one provider executable", EXECUTABLE, "\"terraform-provider-sample\""],
        ),
        (
            "root and folder",
            good().file("f/terraform-provider-sample", &exe),
            &["more than one provider executable", "f/terraform-provider-sample"],
        ),
        (
            "two folders",
            Archive::new()
                .file("a/terraform-provider-sample", &exe)
                .file("b/terraform-provider-sample", &exe),
            &["more than one"],
        ),
        (
            "another version's name",
            Archive::new().file("terraform-provider-sample_v1.1.0", &exe),
            &["another version than the tarball", "version 1.1.0", "version 1.2.0"],
        ),
        (
            "another version's name in a folder",
            Archive::new().file("f/terraform-provider-sample_v1.2.0-rc.1", &exe),
            &["another version", "1.2.0-rc.1"],
        ),
        (
            "a text that clients would start",
            good().file("terraform-provider-sample.md", "x"),
            &["clients would take for the provider's executable", "terraform-provider-sample.md"],
        ),
        (
            "a signature that clients would start",
            Archive::new().file("terraform-provider-sample.asc", "x").file(EXECUTABLE, &exe),
            &["clients would take for"],
        ),
        (
            "windows' name on linux",
            Archive::new().file("terraform-provider-sample.exe", &exe),
            &["clients would take for"],
        ),
    ] {
        refuses(row, NAME, &archive.gz(), &[], texts);
    }
}

fn patched(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn executables_of_something_else() {
    let exe = genuine_executable;
    let windows = exe("windows-amd64");
    let pe = u32::from_le_bytes(windows[0x3c..0x40].try_into().unwrap()) as usize;
    let name = |platform: &str| format!("terraform-provider-sample_1.2.0_{platform}.tar.gz");
    for (row, platform, bytes, found, expected) in [
        (
            "another architecture",
            "linux_amd64",
            exe("linux-arm64"),
            "ELF executable for arm64",
            "ELF executable for linux amd64",
        ),
        (
            "another architecture",
            "linux_arm64",
            exe("linux-amd64"),
            "ELF executable for amd64",
            "ELF executable for linux arm64",
        ),
        (
            "another architecture",
            "darwin_amd64",
            exe("darwin-arm64"),
            "Mach-O executable for darwin arm64",
            "Mach-O executable for darwin amd64",
        ),
        (
            "another architecture",
            "windows_386",
            exe("windows-amd64"),
            "PE executable for windows amd64",
            "PE executable for windows 386",
        ),
        (
            "darwin's on linux",
            "linux_arm64",
            exe("darwin-arm64"),
            "Mach-O executable for darwin arm64",
            "ELF executable for linux arm64",
        ),
        (
            "windows' on linux",
            "linux_amd64",
            exe("windows-amd64"),
            "PE executable for windows amd64",
            "ELF executable for linux amd64",
        ),
        (
            "freebsd's on linux",
            "linux_amd64",
            exe("freebsd-amd64"),
            "ELF executable for freebsd amd64",
            "ELF executable for linux amd64",
        ),
        (
            "linux's on freebsd",
            "freebsd_amd64",
            exe("linux-amd64"),
            "ELF executable for amd64",
            "ELF executable for freebsd amd64",
        ),
        (
            "linux's on windows",
            "windows_amd64",
            exe("linux-amd64"),
            "ELF executable for amd64",
            "PE executable for windows amd64",
        ),
        (
            "linux's on darwin",
            "darwin_arm64",
            exe("linux-arm64"),
            "ELF executable for arm64",
            "Mach-O executable for darwin arm64",
        ),
        (
            "object file",
            "linux_amd64",
            patched(exe("linux-amd64"), 16, &[1, 0]),
            "ELF object file (not linked) for amd64",
            "ELF",
        ),
        (
            "core dump",
            "linux_amd64",
            patched(exe("linux-amd64"), 16, &[4, 0]),
            "ELF file that is no executable",
            "ELF",
        ),
        (
            "dylib",
            "darwin_arm64",
            patched(exe("darwin-arm64"), 12, &[6, 0, 0, 0]),
            "Mach-O file that is no executable",
            "Mach-O",
        ),
        ("DLL", "windows_amd64", patched(windows.clone(), pe + 22, &[0x22, 0x20]), "PE library", "PE"),
        ("script", "linux_amd64", b"#!/bin/sh\nexec true\n".to_vec(), "a script", "ELF"),
        ("text", "linux_amd64", b"hello\n".to_vec(), "neither ELF, Mach-O nor PE", "ELF"),
        ("empty", "linux_amd64", Vec::new(), "an empty file", "ELF"),
        (
            "only magic",
            "linux_amd64",
            b"\x7fELF\x02\x01\x01".to_vec(),
            "an executable with damaged headers",
            "ELF",
        ),
        ("cut short", "windows_amd64", b"MZ".to_vec(), "an executable with damaged headers", "PE"),
        ("half", "linux_amd64", half(&exe("linux-amd64")), "an executable that is cut short", "ELF"),
        ("half", "linux_arm64", half(&exe("linux-arm64")), "an executable that is cut short", "ELF"),
        ("half", "darwin_arm64", half(&exe("darwin-arm64")), "an executable that is cut short", "Mach-O"),
        ("half", "windows_amd64", half(&windows), "an executable that is cut short", "PE"),
    ] {
        let archive = Archive::new().file("terraform-provider-sample", bytes);
        let problem = format!("terraform-provider-sample is not an executable for {platform}");
        let texts = [problem.as_str(), &format!("found:    {found}"), &format!("expected: {expected}")];
        refuses(&format!("{row}: {platform}"), &name(platform), &archive.gz(), &[], &texts);
    }
}

#[test]
fn executables_that_are_taken() {
    let windows = genuine_executable("windows-amd64");
    let windows_name = "terraform-provider-sample_1.2.0_windows_amd64.tar.gz";
    for (name, path, bytes, expected) in [
        (NAME, "terraform-provider-sample", &linux(), EXECUTABLE),
        (NAME, "./terraform-provider-sample", &linux(), EXECUTABLE),
        (NAME, EXECUTABLE, &linux(), EXECUTABLE),
        (NAME, "terraform-provider-sample_1.2.0", &linux(), EXECUTABLE),
        (NAME, "terraform-provider-sample_v1.2.0_x5", &linux(), EXECUTABLE),
        (NAME, "any folder/terraform-provider-sample", &linux(), EXECUTABLE),
        (NAME, "terraform-provider-sample/terraform-provider-sample_v1.2.0", &linux(), EXECUTABLE),
        (NAME, "terraform-provider-sample_v1.2.0/terraform-provider-sample", &linux(), EXECUTABLE),
        (windows_name, "terraform-provider-sample.exe", &windows, "terraform-provider-sample_v1.2.0.exe"),
        (windows_name, "terraform-provider-sample", &windows, "terraform-provider-sample_v1.2.0.exe"),
        (
            windows_name,
            "f/terraform-provider-sample_v1.2.0.exe",
            &windows,
            "terraform-provider-sample_v1.2.0.exe",
        ),
    ] {
        let archive = Archive::new().file(path, bytes);
        let expected = vec![(expected.to_owned(), EXECUTABLE_MODE, bytes.clone())];
        assert_eq!(published(path, name, &archive.gz(), &[]), expected, "{path}");
    }
}
