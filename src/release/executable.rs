//! Checks whether an executable matches its tarball's name, and is complete: ELF, Mach-O or PE headers against
//! operating system, architecture and the file's length. A tarball with another platform's binary in it, or with an
//! incomplete one, would install and then fail on every user's machine.
//!
//! An executable is read once, from its beginning to its end, in bounded memory: `sparse` stores the parts that the
//! headers refer to. `elf`, `macho` and `pe` parse the formats, `systems` and `build_info` distinguish systems that
//! share a format.

mod build_info;
mod elf;
mod macho;
mod pe;
mod sparse;
mod systems;

use std::ops::Range;

use object::{Endianness, elf as elf_format, macho as macho_format, pe as pe_format};

use crate::provider::Platform;
use build_info::Search;
use sparse::Sparse;
use systems::Evidence;

/// How many bytes of an executable's beginning are kept: enough for its headers, and most often its notes.
pub const HEADER_BYTES: usize = 64 * 1024;

/// The identifiers of a `GOARCH` in the three formats; `None` if a format does not support it.
#[derive(Debug)]
struct Arch {
    name: &'static str,
    elf: Option<(elf_format::Machine, Width, Order)>,
    macho: Option<macho_format::CpuType>,
    pe: Option<pe_format::Machine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Bits32,
    Bits64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

const fn arch(
    name: &'static str,
    elf: Option<(elf_format::Machine, Width, Order)>,
    macho: Option<macho_format::CpuType>,
    pe: Option<pe_format::Machine>,
) -> Arch {
    Arch { name, elf, macho, pe }
}

/// Go's architectures (`go tool dist list`) that can hold a native executable.
const ARCHES: &[Arch] = &[
    arch(
        "386",
        Some((elf_format::EM_386, Width::Bits32, Order::Little)),
        Some(macho_format::CPU_TYPE_X86),
        Some(pe_format::IMAGE_FILE_MACHINE_I386),
    ),
    arch(
        "amd64",
        Some((elf_format::EM_X86_64, Width::Bits64, Order::Little)),
        Some(macho_format::CPU_TYPE_X86_64),
        Some(pe_format::IMAGE_FILE_MACHINE_AMD64),
    ),
    arch(
        "arm",
        Some((elf_format::EM_ARM, Width::Bits32, Order::Little)),
        Some(macho_format::CPU_TYPE_ARM),
        Some(pe_format::IMAGE_FILE_MACHINE_ARMNT),
    ),
    arch(
        "arm64",
        Some((elf_format::EM_AARCH64, Width::Bits64, Order::Little)),
        Some(macho_format::CPU_TYPE_ARM64),
        Some(pe_format::IMAGE_FILE_MACHINE_ARM64),
    ),
    arch("loong64", Some((elf_format::EM_LOONGARCH, Width::Bits64, Order::Little)), None, None),
    arch("mips", Some((elf_format::EM_MIPS, Width::Bits32, Order::Big)), None, None),
    arch("mips64", Some((elf_format::EM_MIPS, Width::Bits64, Order::Big)), None, None),
    arch("mips64le", Some((elf_format::EM_MIPS, Width::Bits64, Order::Little)), None, None),
    arch("mipsle", Some((elf_format::EM_MIPS, Width::Bits32, Order::Little)), None, None),
    arch("ppc64", Some((elf_format::EM_PPC64, Width::Bits64, Order::Big)), None, None),
    arch("ppc64le", Some((elf_format::EM_PPC64, Width::Bits64, Order::Little)), None, None),
    arch("riscv64", Some((elf_format::EM_RISCV, Width::Bits64, Order::Little)), None, None),
    arch("s390x", Some((elf_format::EM_S390, Width::Bits64, Order::Big)), None, None),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Elf,
    MachO,
    Pe,
}

/// Go's operating systems with the format of their executables.
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

/// Other names for Go's names; clients would never request a release under such a name.
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

/// Go's name for an operating system or architecture that is written in upper case, with underscores, or under another
/// common name. `None` if it is not known.
pub(super) fn go_name(word: &str) -> Option<&'static str> {
    let word: String =
        word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let systems = SYSTEMS.iter().map(|(name, _)| *name);
    let mut names = systems.chain(ARCHES.iter().map(|arch| arch.name));
    names
        .find(|name| *name == word)
        .or_else(|| ALIASES.iter().find(|(alias, _)| *alias == word).map(|(_, name)| *name))
}

/// The properties that an executable must have for a platform.
#[derive(Debug, Clone)]
pub struct Expectation {
    platform: Platform,
    format: Format,
    arch: &'static Arch,
}

impl Expectation {
    /// The properties of an executable for `platform`.
    ///
    /// # Errors
    /// The platform is not one of Go's; the text has Go's name for it if that is known.
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

    /// Begins to examine an executable of `size` bytes.
    #[must_use]
    pub fn examine(&self, size: u64) -> Examiner<'_> {
        let data = Sparse::new(size, HEADER_BYTES as u64);
        let mut examiner = Examiner { expectation: self, data, fed: 0, search: Search::default() };
        examiner.plan();
        examiner
    }

    fn accepts(&self, found: &FileFormat) -> bool {
        match found {
            FileFormat::Elf { machine, width, order, kind, evidence } => {
                self.format == Format::Elf
                    && self.arch.elf == Some((*machine, *width, *order))
                    && matches!(*kind, elf_format::ET_EXEC | elf_format::ET_DYN)
                    && evidence.allows(self.platform.os())
            }
            FileFormat::MachO { cpus, executable, system } => {
                self.format == Format::MachO
                    && *executable
                    && system.is_none()
                    && self.arch.macho.is_some_and(|wanted| cpus.contains(&wanted))
            }
            FileFormat::Pe { machine, executable, subsystem } => {
                self.format == Format::Pe
                    && *executable
                    && is_for_windows(*subsystem)
                    && self.arch.pe == Some(*machine)
            }
            FileFormat::Other(_) | FileFormat::CutShort { .. } => false,
        }
    }
}

/// An executable that is being read.
pub struct Examiner<'a> {
    expectation: &'a Expectation,
    data: Sparse,
    fed: u64,
    search: Search,
}

impl Examiner<'_> {
    /// Adds `bytes`, the next ones of the executable.
    pub fn feed(&mut self, bytes: &[u8]) {
        // The parts of the rest to keep are known once the beginning is complete.
        let head = (HEADER_BYTES as u64).min(self.data.len());
        let missing = usize::try_from(head.saturating_sub(self.fed)).unwrap_or(usize::MAX);
        let (first, rest) = bytes.split_at(missing.min(bytes.len()));
        self.take(first);
        if !first.is_empty() && self.fed == head {
            self.plan();
        }
        self.take(rest);
    }

    fn take(&mut self, bytes: &[u8]) {
        self.data.feed(bytes);
        self.fed += bytes.len() as u64;
        self.search.feed(bytes);
    }

    fn plan(&mut self) {
        let head = self.head();
        let mut search = Search::default();
        let wanted = match head {
            [0x7f, b'E', b'L', b'F', class, ..] => {
                let (wanted, writable) = if *class == 1 {
                    elf::wanted::<elf_format::FileHeader32<Endianness>>(&self.data)
                } else {
                    elf::wanted::<elf_format::FileHeader64<Endianness>>(&self.data)
                };
                search = Search::new(writable);
                search.feed(head);
                wanted
            }
            [0xca, 0xfe, 0xba, 0xbe | 0xbf, ..] => macho::wanted(&self.data),
            _ => Vec::new(),
        };
        self.search = search;
        for range in wanted {
            self.data.keep(range);
        }
    }

    fn head(&self) -> &[u8] {
        self.data.slice(&(0..self.fed.min(HEADER_BYTES as u64))).unwrap_or_default()
    }

    /// Checks the bytes that were fed so far, which must be at least [`HEADER_BYTES`] or all.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn check(&self) -> Result<(), (String, String)> {
        let found = self.describe();
        if self.expectation.accepts(&found) {
            Ok(())
        } else {
            Err((found.to_string(), self.expectation.to_string()))
        }
    }

    /// Describes the file type.
    fn describe(&self) -> FileFormat {
        let data = &self.data;
        let goos = self.search.goos();
        let described = match self.head() {
            [] => return FileFormat::Other("an empty file"),
            [0x7f, b'E', b'L', b'F', 1, ..] => {
                elf::describe::<elf_format::FileHeader32<Endianness>>(data, Width::Bits32, goos)
            }
            [0x7f, b'E', b'L', b'F', 2, ..] => {
                elf::describe::<elf_format::FileHeader64<Endianness>>(data, Width::Bits64, goos)
            }
            [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] => macho::describe(data),
            [0xca, 0xfe, 0xba, 0xbe | 0xbf, ..] => macho::describe_universal(data),
            [b'M', b'Z', ..] => pe::describe(data),
            [b'#', b'!', ..] => return FileFormat::Other("a script"),
            _ => return FileFormat::Other("neither ELF, Mach-O nor PE"),
        };
        match described {
            Ok(found) => found,
            Err(Fault::Damaged) => FileFormat::Other("an executable with damaged headers"),
            Err(Fault::Missing { what, end, len }) => FileFormat::CutShort { what, end, len },
        }
    }
}

/// Why a file is not a complete executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Its headers are not valid.
    Damaged,
    /// The file ends, after `len` bytes, before a part that its headers describe, which ends after `end` bytes.
    Missing { what: &'static str, end: u64, len: u64 },
}

/// Whether a part that headers describe lies in a file of `len` bytes.
fn within(range: &Range<u64>, len: u64, what: &'static str) -> Result<(), Fault> {
    if range.end <= len { Ok(()) } else { Err(Fault::Missing { what, end: range.end, len }) }
}

/// Source: "PE Format", Windows Subsystem: with a window, or in a console. Others are drivers, firmware, and Windows CE.
fn is_for_windows(subsystem: pe_format::Subsystem) -> bool {
    matches!(subsystem, pe_format::IMAGE_SUBSYSTEM_WINDOWS_GUI | pe_format::IMAGE_SUBSYSTEM_WINDOWS_CUI)
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

enum FileFormat {
    Elf {
        machine: elf_format::Machine,
        width: Width,
        order: Order,
        kind: elf_format::FileType,
        evidence: Evidence,
    },
    MachO {
        cpus: Vec<macho_format::CpuType>,
        executable: bool,
        /// The system that it is for, if that is not macOS.
        system: Option<&'static str>,
    },
    Pe {
        machine: pe_format::Machine,
        executable: bool,
        subsystem: pe_format::Subsystem,
    },
    Other(&'static str),
    /// See [`Fault::Missing`].
    CutShort {
        what: &'static str,
        end: u64,
        len: u64,
    },
}

impl std::fmt::Display for FileFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |matches: &dyn Fn(&Arch) -> bool, code: u32| {
            ARCHES
                .iter()
                .find(|arch| matches(arch))
                .map_or(format!("machine {code:#x}"), |arch| arch.name.to_owned())
        };
        match self {
            Self::Elf { machine, width, order, kind, evidence } => {
                let kind = match *kind {
                    elf_format::ET_EXEC | elf_format::ET_DYN => "executable",
                    elf_format::ET_REL => "object file (not linked)",
                    _ => "file that is no executable",
                };
                let arch = name(&|arch| arch.elf == Some((*machine, *width, *order)), u32::from(machine.0));
                write!(f, "ELF {kind} for {}{arch}", systems_text(evidence))
            }
            Self::MachO { cpus, executable, system } => {
                let kind = if *executable { "executable" } else { "file that is no executable" };
                let system = system.unwrap_or("darwin");
                let archs: Vec<_> =
                    cpus.iter().map(|cpu| name(&|arch| arch.macho == Some(*cpu), cpu.0)).collect();
                write!(f, "Mach-O {kind} for {system} {}", archs.join(" and "))
            }
            Self::Pe { machine, executable, subsystem } => {
                let kind = match executable {
                    true if is_for_windows(*subsystem) => "executable",
                    true => "driver or firmware",
                    false => "library",
                };
                write!(
                    f,
                    "PE {kind} for windows {}",
                    name(&|arch| arch.pe == Some(*machine), u32::from(machine.0))
                )
            }
            Self::Other(what) => f.write_str(what),
            Self::CutShort { what, end, len } => write!(
                f,
                "an executable that is cut short: it has {len} bytes, and its headers describe {what} that ends at {end}"
            ),
        }
    }
}

/// The systems that match the evidence, with a space behind them; empty if there is no evidence.
fn systems_text(evidence: &Evidence) -> String {
    if evidence.is_empty() {
        return String::new();
    }
    let left: Vec<&str> =
        SYSTEMS.iter().map(|(name, _)| *name).filter(|name| evidence.allows(name)).collect();
    match (left.as_slice(), &evidence.goos) {
        ([], Some(goos)) if evidence.sets.is_empty() => format!("{goos} "),
        ([], _) => "another system's ".to_owned(),
        (left, _) => format!("{} ", left.join(" or ")),
    }
}

#[cfg(test)]
mod tests;
