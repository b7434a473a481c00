//! Determines the operating system of an ELF executable, as far as the file shows it.
//!
//! The header's OSABI shows it for FreeBSD, NetBSD and OpenBSD if Go links the file. It is 0 for all other systems, and
//! often for these three too if another toolchain links the file. The other evidence is the loader (`PT_INTERP`), notes
//! (`PT_NOTE`), and Go's record of the build. Tests with the executables that Go builds for each of its ports showed
//! that static executables for Linux and DragonFly differ in Go's own record only, and so do those for Solaris and
//! illumos. Static executables of other languages without a note cannot be distinguished.

use object::elf;

/// Operating systems, with Go's names.
pub(super) type Systems = &'static [&'static str];

const LINUX: Systems = &["linux"];
const ANDROID: Systems = &["android"];
/// Android runs Linux.
const LINUX_KERNEL: Systems = &["linux", "android"];
const FREEBSD: Systems = &["freebsd"];
const DRAGONFLY: Systems = &["dragonfly"];
const NETBSD: Systems = &["netbsd"];
const OPENBSD: Systems = &["openbsd"];
/// illumos is the successor of OpenSolaris; the files have the same form.
const SOLARIS: Systems = &["solaris", "illumos"];
/// Not one of Go's systems.
const OTHER: Systems = &[];

/// The evidence for an executable's operating system.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// The systems that OSABI, notes and loader each allow.
    pub(super) sets: Vec<Systems>,
    /// `GOOS`, if Go recorded it.
    pub(super) goos: Option<String>,
}

impl Evidence {
    /// Whether the executable may be for `os`. FreeBSD, NetBSD and OpenBSD start only executables that are marked as
    /// theirs.
    pub(super) fn allows(&self, os: &str) -> bool {
        let is_said = !self.sets.is_empty() || !matches!(os, "freebsd" | "netbsd" | "openbsd");
        is_said
            && self.sets.iter().all(|systems| systems.contains(&os))
            && self.goos.as_ref().is_none_or(|goos| goos == os)
    }

    /// Whether there is no evidence.
    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.goos.is_none()
    }
}

/// Source: System V ABI, "ELF Identification", and the systems' `elf.h`.
pub(super) fn of_abi(abi: elf::OsAbi) -> Option<Systems> {
    match abi {
        elf::ELFOSABI_GNU => Some(LINUX_KERNEL),
        elf::ELFOSABI_FREEBSD => Some(FREEBSD),
        elf::ELFOSABI_NETBSD => Some(NETBSD),
        elf::ELFOSABI_OPENBSD => Some(OPENBSD),
        elf::ELFOSABI_SOLARIS => Some(SOLARIS),
        // No system, and Arm's own values, for ABIs before the EABI and for bare metal.
        elf::ELFOSABI_NONE | elf::ELFOSABI_ARM | elf::ELFOSABI_ARM_AEABI => None,
        _ => Some(OTHER),
    }
}

/// Source: each system's `crt1`; GNU's `NT_GNU_ABI_TAG` (glibc, `abi-tag.S`), whose first word is the system.
pub(super) fn of_note(name: &[u8], kind: u32, first_word: Option<u32>) -> Option<Systems> {
    match (name, kind, first_word) {
        (b"FreeBSD", ..) => Some(FREEBSD),
        (b"NetBSD", ..) => Some(NETBSD),
        (b"OpenBSD", ..) => Some(OPENBSD),
        (b"DragonFly", ..) => Some(DRAGONFLY),
        (b"Android", ..) => Some(ANDROID),
        // NT_GNU_ABI_TAG
        (b"GNU", 1, Some(system)) => Some(match system {
            0 => LINUX,
            2 => SOLARIS,
            3 => FREEBSD,
            4 => NETBSD,
            _ => OTHER,
        }),
        _ => None,
    }
}

/// Source: the loaders' own names: glibc (`shlib-versions`), musl, uClibc, bionic, and the BSDs' and Solaris's `rtld`.
/// `ld.so.1` is Solaris's on x86, and glibc's on MIPS and others.
pub(super) fn of_loader(path: &[u8], machine: elf::Machine) -> Option<Systems> {
    let path = std::str::from_utf8(path).ok()?;
    let base = path.rsplit('/').next().unwrap_or_default();
    let is_x86 = matches!(machine, elf::EM_386 | elf::EM_X86_64);
    match base {
        "linker" | "linker64" | "linker_asan" | "linker_asan64" => Some(ANDROID),
        "ld-elf.so.1" | "ld-elf32.so.1" => Some(FREEBSD),
        "ld-elf.so.2" => Some(DRAGONFLY),
        "ld.elf_so" => Some(NETBSD),
        "ld.so" if path.starts_with("/usr/libexec/") => Some(OPENBSD),
        "ld.so.1" if is_x86 => Some(SOLARIS),
        // GNU Hurd and Haiku.
        "ld.so" | "ld-x86-64.so.1" | "runtime_loader" => Some(OTHER),
        "ld.so.1" | "ld64.so.1" | "ld64.so.2" => Some(LINUX),
        _ if ["ld-linux", "ld-musl-", "ld-uClibc", "ld64-uClibc"]
            .iter()
            .any(|start| base.starts_with(start)) =>
        {
            Some(LINUX)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaders_belong_to_systems() {
        for (path, machine, systems) in [
            ("/lib64/ld-linux-x86-64.so.2", elf::EM_X86_64, Some(LINUX)),
            ("/nix/store/x-glibc-2.40/lib/ld-linux-x86-64.so.2", elf::EM_X86_64, Some(LINUX)),
            ("/lib/ld-musl-aarch64.so.1", elf::EM_AARCH64, Some(LINUX)),
            ("/lib/ld.so.1", elf::EM_MIPS, Some(LINUX)),
            ("/lib/ld64.so.1", elf::EM_S390, Some(LINUX)),
            ("/lib64/ld64.so.2", elf::EM_PPC64, Some(LINUX)),
            ("/lib/amd64/ld.so.1", elf::EM_X86_64, Some(SOLARIS)),
            ("/usr/lib/ld.so.1", elf::EM_386, Some(SOLARIS)),
            ("/system/bin/linker64", elf::EM_AARCH64, Some(ANDROID)),
            ("/libexec/ld-elf.so.1", elf::EM_X86_64, Some(FREEBSD)),
            ("/usr/libexec/ld-elf.so.2", elf::EM_X86_64, Some(DRAGONFLY)),
            ("/usr/libexec/ld.elf_so", elf::EM_X86_64, Some(NETBSD)),
            ("/usr/libexec/ld.so", elf::EM_X86_64, Some(OPENBSD)),
            ("/lib/ld.so", elf::EM_386, Some(OTHER)),
            ("/system/runtime_loader", elf::EM_X86_64, Some(OTHER)),
            ("/opt/own/loader", elf::EM_X86_64, None),
        ] {
            assert_eq!(of_loader(path.as_bytes(), machine), systems, "{path}");
        }
    }

    #[test]
    fn everything_that_is_said_must_agree() {
        let said = |sets: &[Systems], goos: Option<&str>| Evidence {
            sets: sets.to_vec(),
            goos: goos.map(ToOwned::to_owned),
        };
        for (evidence, allowed) in [
            (said(&[], None), &["linux", "android", "dragonfly", "solaris", "illumos"][..]),
            (said(&[], Some("dragonfly")), &["dragonfly"]),
            (said(&[SOLARIS], None), &["solaris", "illumos"]),
            (said(&[SOLARIS], Some("illumos")), &["illumos"]),
            (said(&[LINUX_KERNEL], None), &["linux", "android"]),
            (said(&[LINUX_KERNEL, ANDROID], None), &["android"]),
            (said(&[FREEBSD, LINUX], None), &[]),
            (said(&[], Some("freebsd")), &[]),
        ] {
            let all = ["linux", "android", "dragonfly", "solaris", "illumos", "freebsd", "netbsd", "openbsd"];
            let found: Vec<&str> = all.into_iter().filter(|os| evidence.allows(os)).collect();
            assert_eq!(found, allowed, "{evidence:?}");
        }
    }
}
