//! Whether an executable is what its tarball's name says: ELF, Mach-O or PE headers against operating system and
//! architecture. A tarball with another platform's binary in it would install and then fail on every user's machine.

use object::{BigEndian, Endianness, elf, macho, pe};

use crate::provider::Platform;

/// How many bytes of an executable's beginning `describe` wants: enough for its headers and notes.
pub const HEADER_BYTES: usize = 64 * 1024;

/// What is known of a `GOARCH` in the three formats; `None` where the format has no such thing.
struct Arch {
    name: &'static str,
    elf: Option<(elf::Machine, Width, Order)>,
    macho: Option<macho::CpuType>,
    pe: Option<pe::Machine>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    Bits32,
    Bits64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

const fn arch(
    name: &'static str,
    elf: Option<(elf::Machine, Width, Order)>,
    macho: Option<macho::CpuType>,
    pe: Option<pe::Machine>,
) -> Arch {
    Arch { name, elf, macho, pe }
}

/// Go's architectures (`go tool dist list`) that can hold a native executable.
const ARCHES: &[Arch] = &[
    arch(
        "386",
        Some((elf::EM_386, Width::Bits32, Order::Little)),
        Some(macho::CPU_TYPE_X86),
        Some(pe::IMAGE_FILE_MACHINE_I386),
    ),
    arch(
        "amd64",
        Some((elf::EM_X86_64, Width::Bits64, Order::Little)),
        Some(macho::CPU_TYPE_X86_64),
        Some(pe::IMAGE_FILE_MACHINE_AMD64),
    ),
    arch(
        "arm",
        Some((elf::EM_ARM, Width::Bits32, Order::Little)),
        Some(macho::CPU_TYPE_ARM),
        Some(pe::IMAGE_FILE_MACHINE_ARMNT),
    ),
    arch(
        "arm64",
        Some((elf::EM_AARCH64, Width::Bits64, Order::Little)),
        Some(macho::CPU_TYPE_ARM64),
        Some(pe::IMAGE_FILE_MACHINE_ARM64),
    ),
    arch("loong64", Some((elf::EM_LOONGARCH, Width::Bits64, Order::Little)), None, None),
    arch("mips", Some((elf::EM_MIPS, Width::Bits32, Order::Big)), None, None),
    arch("mips64", Some((elf::EM_MIPS, Width::Bits64, Order::Big)), None, None),
    arch("mips64le", Some((elf::EM_MIPS, Width::Bits64, Order::Little)), None, None),
    arch("mipsle", Some((elf::EM_MIPS, Width::Bits32, Order::Little)), None, None),
    arch("ppc64", Some((elf::EM_PPC64, Width::Bits64, Order::Big)), None, None),
    arch("ppc64le", Some((elf::EM_PPC64, Width::Bits64, Order::Little)), None, None),
    arch("riscv64", Some((elf::EM_RISCV, Width::Bits64, Order::Little)), None, None),
    arch("s390x", Some((elf::EM_S390, Width::Bits64, Order::Big)), None, None),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Elf,
    MachO,
    Pe,
}

/// Operating systems of Go with the format of their executables.
const SYSTEMS: &[(&str, Format)] = &[
    ("android", Format::Elf),
    ("darwin", Format::MachO),
    ("dragonfly", Format::Elf),
    ("freebsd", Format::Elf),
    ("illumos", Format::Elf),
    ("linux", Format::Elf),
    ("netbsd", Format::Elf),
    ("openbsd", Format::Elf),
    ("solaris", Format::Elf),
    ("windows", Format::Pe),
];

/// What other worlds call Go's names; a release under such a name would never be asked for by a client.
const ALIASES: &[(&str, &str)] = &[
    ("aarch", "arm64"),
    ("aarch64", "arm64"),
    ("armv8", "arm64"),
    ("x64", "amd64"),
    ("x86", "386"),
    ("i386", "386"),
    ("i686", "386"),
    ("x8664", "amd64"),
    ("armv6", "arm"),
    ("armv7", "arm"),
    ("macos", "darwin"),
    ("macosx", "darwin"),
    ("osx", "darwin"),
    ("win", "windows"),
    ("win32", "windows"),
    ("win64", "windows"),
    ("amd64v1", "amd64"),
    ("amd64v2", "amd64"),
    ("amd64v3", "amd64"),
    ("amd64v4", "amd64"),
    ("arm64v80", "arm64"),
    ("386sse2", "386"),
    ("arm6", "arm"),
    ("arm7", "arm"),
];

/// Go's name for an operating system or architecture that is written in upper case, with underscores, or as others call it.
/// `None` where that is not known.
pub(super) fn go_name(word: &str) -> Option<&'static str> {
    let word: String =
        word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let systems = SYSTEMS.iter().map(|(name, _)| *name);
    let mut names = systems.chain(ARCHES.iter().map(|arch| arch.name));
    names
        .find(|name| *name == word)
        .or_else(|| ALIASES.iter().find(|(alias, _)| *alias == word).map(|(_, name)| *name))
}

/// What an executable must be to match a platform.
pub struct Expectation {
    platform: Platform,
    format: Format,
    arch: &'static Arch,
}

impl Expectation {
    /// What an executable for `platform` looks like.
    ///
    /// # Errors
    /// The platform is none of Go's; the text says what Go calls it where that is known.
    pub fn of(platform: &Platform) -> Result<Self, String> {
        let unknown =
            |what: &str, text: &str, known: Vec<&str>| match ALIASES.iter().find(|(alias, _)| *alias == text)
            {
                Some((_, name)) => format!("{what} {text:?}; Terraform, like Go, calls it {name:?}"),
                None => format!("{what} {text:?}; known are {}", known.join(", ")),
            };
        let (_, format) = SYSTEMS.iter().find(|(name, _)| *name == platform.os()).ok_or_else(|| {
            unknown("operating system", platform.os(), SYSTEMS.iter().map(|(name, _)| *name).collect())
        })?;
        let arch = ARCHES.iter().find(|arch| arch.name == platform.arch()).ok_or_else(|| {
            unknown("architecture", platform.arch(), ARCHES.iter().map(|arch| arch.name).collect())
        })?;
        Ok(Self { platform: platform.clone(), format: *format, arch })
    }

    /// Checks the first bytes of an executable (up to [`HEADER_BYTES`]).
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn check(&self, head: &[u8]) -> Result<(), (String, String)> {
        let found = describe(head);
        let accepted = match &found {
            Found::Elf { machine, width, order, system, kind } => {
                self.format == Format::Elf
                    && self.arch.elf == Some((*machine, *width, *order))
                    && matches!(*kind, elf::ET_EXEC | elf::ET_DYN)
                    && self.system_matches(*system)
            }
            Found::MachO { cpus, executable } => {
                self.format == Format::MachO
                    && *executable
                    && self.arch.macho.is_some_and(|wanted| cpus.contains(&wanted))
            }
            Found::Pe { machine, executable } => {
                self.format == Format::Pe && *executable && self.arch.pe == Some(*machine)
            }
            Found::Other(_) => false,
        };
        if accepted { Ok(()) } else { Err((found.to_string(), self.to_string())) }
    }

    /// Linux, Android, DragonFly, Solaris and illumos leave the ELF header's system unset or set it to GNU; the three
    /// BSDs set it, or carry a note with their name.
    fn system_matches(&self, system: Option<&'static str>) -> bool {
        match self.platform.os() {
            os @ ("freebsd" | "netbsd" | "openbsd") => system == Some(os),
            os => system.is_none_or(|system| system == os),
        }
    }
}

impl std::fmt::Display for Expectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = match self.format {
            Format::Elf => "ELF",
            Format::MachO => "Mach-O",
            Format::Pe => "PE",
        };
        write!(f, "{format} executable for {} {}", self.platform.os(), self.platform.arch())
    }
}

enum Found {
    Elf {
        machine: elf::Machine,
        width: Width,
        order: Order,
        system: Option<&'static str>,
        kind: elf::FileType,
    },
    MachO {
        cpus: Vec<macho::CpuType>,
        executable: bool,
    },
    Pe {
        machine: pe::Machine,
        executable: bool,
    },
    Other(&'static str),
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |matches: &dyn Fn(&Arch) -> bool, code: u32| {
            ARCHES
                .iter()
                .find(|arch| matches(arch))
                .map_or(format!("machine {code:#x}"), |arch| arch.name.to_owned())
        };
        match self {
            Self::Elf { machine, width, order, system, kind } => {
                let kind = match *kind {
                    elf::ET_EXEC | elf::ET_DYN => "executable",
                    elf::ET_REL => "object file (not linked)",
                    _ => "file that is no executable",
                };
                let arch = name(&|arch| arch.elf == Some((*machine, *width, *order)), u32::from(machine.0));
                let system = system.map_or(String::new(), |system| format!("{system} "));
                write!(f, "ELF {kind} for {system}{arch}")
            }
            Self::MachO { cpus, executable } => {
                let kind = if *executable { "executable" } else { "file that is no executable" };
                let archs: Vec<_> =
                    cpus.iter().map(|cpu| name(&|arch| arch.macho == Some(*cpu), cpu.0)).collect();
                write!(f, "Mach-O {kind} for darwin {}", archs.join(" and "))
            }
            Self::Pe { machine, executable } => {
                let kind = if *executable { "executable" } else { "library" };
                write!(
                    f,
                    "PE {kind} for windows {}",
                    name(&|arch| arch.pe == Some(*machine), u32::from(machine.0))
                )
            }
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// Says what the file that begins with `head` is.
fn describe(head: &[u8]) -> Found {
    let parsed = match head {
        [] => return Found::Other("an empty file"),
        [0x7f, b'E', b'L', b'F', 1, ..] => elf_file::<elf::FileHeader32<Endianness>>(head, Width::Bits32),
        [0x7f, b'E', b'L', b'F', 2, ..] => elf_file::<elf::FileHeader64<Endianness>>(head, Width::Bits64),
        [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => macho_file(head),
        [0xca, 0xfe, 0xba, 0xbe | 0xbf, ..] => macho_universal(head),
        [b'M', b'Z', ..] => pe_file(head),
        [b'#', b'!', ..] => return Found::Other("a script"),
        _ => return Found::Other("neither ELF, Mach-O nor PE"),
    };
    parsed.unwrap_or(Found::Other("an executable with damaged headers"))
}

fn elf_file<H: object::read::elf::FileHeader<Endian = Endianness>>(
    head: &[u8],
    width: Width,
) -> Option<Found> {
    let header = H::parse(head).ok()?;
    let endian = header.endian().ok()?;
    let order = if endian == Endianness::Little { Order::Little } else { Order::Big };
    let system = match header.e_ident().os_abi {
        elf::ELFOSABI_NONE => system_note::<H>(header, endian, head),
        elf::ELFOSABI_GNU => Some("linux"),
        elf::ELFOSABI_FREEBSD => Some("freebsd"),
        elf::ELFOSABI_NETBSD => Some("netbsd"),
        elf::ELFOSABI_OPENBSD => Some("openbsd"),
        elf::ELFOSABI_SOLARIS => Some("solaris"),
        _ => Some("another system's"),
    };
    Some(Found::Elf { machine: header.e_machine(endian), width, order, system, kind: header.e_type(endian) })
}

/// The BSD that a note of the executable names, where its notes lie within `head`.
fn system_note<H: object::read::elf::FileHeader<Endian = Endianness>>(
    header: &H,
    endian: Endianness,
    head: &[u8],
) -> Option<&'static str> {
    use object::read::elf::ProgramHeader as _;
    let segments = header.program_headers(endian, head).ok()?;
    for segment in segments {
        let Ok(Some(mut notes)) = segment.notes(endian, head) else { continue };
        while let Ok(Some(note)) = notes.next() {
            match note.name() {
                b"FreeBSD" => return Some("freebsd"),
                b"NetBSD" => return Some("netbsd"),
                b"OpenBSD" => return Some("openbsd"),
                _ => {}
            }
        }
    }
    None
}

fn macho_file(head: &[u8]) -> Option<Found> {
    fn read<H: object::read::macho::MachHeader<Endian = Endianness>>(head: &[u8]) -> Option<Found> {
        let header = H::parse(head, 0).ok()?;
        let endian = header.endian().ok()?;
        let executable = header.filetype(endian) == macho::MH_EXECUTE;
        Some(Found::MachO { cpus: vec![header.cputype(endian)], executable })
    }
    match head.first() {
        Some(0xce) => read::<macho::MachHeader32<Endianness>>(head),
        _ => read::<macho::MachHeader64<Endianness>>(head),
    }
}

/// A universal binary holds one executable an architecture; its own header lists them.
fn macho_universal(head: &[u8]) -> Option<Found> {
    let cpus = if head.get(3) == Some(&0xbe) {
        let fat = object::read::macho::MachOFatFile32::parse(head).ok()?;
        fat.arches().iter().map(|arch| arch.cputype.get(BigEndian)).collect()
    } else {
        let fat = object::read::macho::MachOFatFile64::parse(head).ok()?;
        fat.arches().iter().map(object::read::macho::FatArch::cputype).collect()
    };
    Some(Found::MachO { cpus, executable: true })
}

fn pe_file(head: &[u8]) -> Option<Found> {
    let dos = pe::ImageDosHeader::parse(head).ok()?;
    let offset = dos.nt_headers_offset() as usize;
    let (signature, rest) = head.get(offset..)?.split_first_chunk::<4>()?;
    if signature != b"PE\0\0" {
        return None;
    }
    let (header, _) = object::pod::from_bytes::<pe::ImageFileHeader>(rest).ok()?;
    let flags = header.characteristics.get(object::LittleEndian);
    let executable = flags.0 & pe::IMAGE_FILE_EXECUTABLE_IMAGE.0 != 0 && flags.0 & pe::IMAGE_FILE_DLL.0 == 0;
    Some(Found::Pe { machine: header.machine.get(object::LittleEndian), executable })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expectation(platform: &str) -> Expectation {
        Expectation::of(&platform.parse().unwrap()).unwrap()
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
        let head = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let head = &head[..HEADER_BYTES];
        let os = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        expectation(&format!("{os}_{arch}")).check(head).unwrap();
        let other = if arch == "arm64" { "amd64" } else { "arm64" };
        let (found, expected) = expectation(&format!("{os}_{other}")).check(head).unwrap_err();
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
            let (found, _) = expectation("linux_amd64").check(head).unwrap_err();
            assert!(found.contains(text), "{found}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(magic in 0usize..6, mut bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let magics: [&[u8]; 6] = [b"\x7fELF\x01", b"\x7fELF\x02", &[0xcf, 0xfa, 0xed, 0xfe], &[0xca, 0xfe, 0xba, 0xbe], b"MZ", &[0xca, 0xfe, 0xba, 0xbf]];
            for (byte, magic) in bytes.iter_mut().zip(magics[magic]) { *byte = *magic; }
            let _ = expectation("linux_amd64").check(&bytes);
        }
    }
}
