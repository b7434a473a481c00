//! Mach-O. Source: `mach-o/loader.h` and `mach-o/fat.h` of Apple's SDK; XNU, `mach_loader.c`.

use std::ops::Range;

use object::read::macho::{FatArch, LoadCommandVariant, MachHeader, MachOFatFile32, MachOFatFile64};
use object::{Endianness, macho};

use super::sparse::Sparse;
use super::{Fault, FileFormat, HEADER_BYTES, within};

/// The most slices: macOS has never supported as many processors.
const MOST_SLICES: usize = 16;

/// Returns the parts of a universal binary to keep, from its beginning: the headers of its executables.
pub(super) fn wanted(data: &Sparse) -> Vec<Range<u64>> {
    let slices = slices(data).unwrap_or_default();
    slices.into_iter().map(|slice| slice.from..slice.from + slice.len.min(HEADER_BYTES as u64)).collect()
}

/// Describes a file for one processor.
pub(super) fn describe(data: &Sparse) -> Result<FileFormat, Fault> {
    let Executable { cpu, starts, system } = executable(data, 0, data.len())?;
    Ok(FileFormat::MachO { cpus: vec![cpu], executable: starts, system })
}

/// Describes a universal binary: its own header lists an executable for each processor.
pub(super) fn describe_universal(data: &Sparse) -> Result<FileFormat, Fault> {
    let slices = slices(data)?;
    let mut found = FileFormat::MachO {
        cpus: slices.iter().map(|slice| slice.cpu).collect(),
        executable: true,
        system: None,
    };
    for slice in &slices {
        let head = slice.from..slice.from + slice.len.min(HEADER_BYTES as u64);
        if data.slice(&head).is_none() {
            continue;
        }
        let inner = executable(data, slice.from, slice.len)?;
        if inner.cpu != slice.cpu {
            return Err(Fault::Damaged);
        }
        if let FileFormat::MachO { executable, system, .. } = &mut found {
            *executable &= inner.starts;
            *system = system.or(inner.system);
        }
    }
    Ok(found)
}

/// An executable in a universal binary.
struct Slice {
    cpu: macho::CpuType,
    from: u64,
    len: u64,
}

/// The slices of a universal binary, which must be in the file, after its header, and not overlap.
fn slices(data: &Sparse) -> Result<Vec<Slice>, Fault> {
    fn read<A: FatArch>(arches: &[A]) -> (Vec<Slice>, u64) {
        let slice =
            |arch: &A| Slice { cpu: arch.cputype(), from: arch.offset().into(), len: arch.size().into() };
        (arches.iter().map(slice).collect(), 8 + size_of_val(arches) as u64)
    }
    let head = data.slice(&(0..data.len().min(HEADER_BYTES as u64))).ok_or(Fault::Damaged)?;
    let (mut slices, mut end) = if head.get(3) == Some(&0xbe) {
        read(MachOFatFile32::parse(head).map_err(|_| Fault::Damaged)?.arches())
    } else {
        read(MachOFatFile64::parse(head).map_err(|_| Fault::Damaged)?.arches())
    };
    if slices.is_empty() || slices.len() > MOST_SLICES {
        return Err(Fault::Damaged);
    }
    slices.sort_by_key(|slice| slice.from);
    for slice in &slices {
        let range = slice.from..slice.from.saturating_add(slice.len);
        if slice.len == 0 || slice.from < end {
            return Err(Fault::Damaged);
        }
        within(&range, data.len(), "the executable for one processor")?;
        end = range.end;
    }
    Ok(slices)
}

struct Executable {
    cpu: macho::CpuType,
    /// Whether it is a program, not a library.
    starts: bool,
    /// The system that it is for, if that is not macOS.
    system: Option<&'static str>,
}

/// Reads the executable of `len` bytes that begins at `from`.
fn executable(data: &Sparse, from: u64, len: u64) -> Result<Executable, Fault> {
    match data.slice(&(from..from + 4.min(len))) {
        Some([0xce, 0xfa, 0xed, 0xfe] | [0xfe, 0xed, 0xfa, 0xce]) => {
            read::<macho::MachHeader32<Endianness>>(data, from, len)
        }
        Some([0xcf, 0xfa, 0xed, 0xfe] | [0xfe, 0xed, 0xfa, 0xcf]) => {
            read::<macho::MachHeader64<Endianness>>(data, from, len)
        }
        _ => Err(Fault::Damaged),
    }
}

fn read<H: MachHeader<Endian = Endianness>>(data: &Sparse, from: u64, len: u64) -> Result<Executable, Fault> {
    let damaged = |_| Fault::Damaged;
    let header = H::parse(data, from).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let mut found = Executable {
        cpu: header.cputype(endian),
        starts: header.filetype(endian) == macho::MH_EXECUTE,
        system: None,
    };
    if !found.starts {
        return Ok(found);
    }
    let end = size_of::<H>() as u64 + u64::from(header.sizeofcmds(endian));
    within(&(0..end), len, "load commands")?;
    let mut commands = header.load_commands(endian, data, from).map_err(damaged)?;
    let mut segments = 0;
    while let Some(command) = commands.next().map_err(damaged)? {
        let variant = command.variant().map_err(damaged)?;
        let (at, size, what): (u64, u64, _) = match variant {
            // __PAGEZERO has no bytes in the file.
            LoadCommandVariant::Segment32(segment, _) => {
                (segment.fileoff.get(endian).into(), segment.filesize.get(endian).into(), "a segment")
            }
            LoadCommandVariant::Segment64(segment, _) => {
                (segment.fileoff.get(endian), segment.filesize.get(endian), "a segment")
            }
            LoadCommandVariant::LinkeditData(part) => {
                (part.dataoff.get(endian).into(), part.datasize.get(endian).into(), "linker data")
            }
            LoadCommandVariant::Symtab(table) => {
                (table.stroff.get(endian).into(), table.strsize.get(endian).into(), "names of symbols")
            }
            LoadCommandVariant::BuildVersion(version, _) => {
                found.system = system(version.platform.get(endian));
                continue;
            }
            LoadCommandVariant::VersionMin(_) => {
                if command.cmd() != macho::LC_VERSION_MIN_MACOSX {
                    found.system = Some("another system of Apple's");
                }
                continue;
            }
            _ => continue,
        };
        if size > 0 {
            segments += usize::from(what == "a segment");
            within(&(at..at.saturating_add(size)), len, what)?;
        }
    }
    if segments == 0 { Err(Fault::Damaged) } else { Ok(found) }
}

/// The name of a platform other than macOS.
fn system(platform: macho::Platform) -> Option<&'static str> {
    match platform {
        macho::PLATFORM_MACOS => None,
        macho::PLATFORM_IOS | macho::PLATFORM_IOSSIMULATOR => Some("ios"),
        _ => Some("another system of Apple's"),
    }
}
