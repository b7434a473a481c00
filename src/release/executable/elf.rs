//! ELF. Source: System V ABI, chapters 4 and 5.

use std::ops::Range;

use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, elf};

use super::sparse::Sparse;
use super::systems::{Evidence, of_abi, of_loader, of_note};
use super::{Fault, FileFormat, Order, Width, within};

/// Loader names and notes larger than this are not read.
const MOST: u64 = 64 * 1024;

/// Returns the parts of the file to keep, and those where Go's record may be, from the beginning of the file.
pub(super) fn wanted<H: FileHeader<Endian = Endianness>>(
    data: &Sparse,
) -> (Vec<Range<u64>>, Vec<Range<u64>>) {
    let (mut keep, mut writable) = (Vec::new(), Vec::new());
    let Ok(header) = H::parse(data) else { return (keep, writable) };
    let Ok(endian) = header.endian() else { return (keep, writable) };
    let range = |from: u64, len: u64| from..from.saturating_add(len);
    let (segments, sections) = tables(header, endian, data);
    keep.extend([segments, sections]);
    for segment in header.program_headers(endian, data).unwrap_or_default() {
        let (from, len) = segment.file_range(endian);
        match segment.p_type(endian) {
            elf::PT_NOTE | elf::PT_INTERP if len <= MOST => keep.push(range(from, len)),
            elf::PT_LOAD if segment.p_flags(endian).0 & elf::PF_W.0 != 0 => writable.push(range(from, len)),
            _ => {}
        }
    }
    (keep, writable)
}

/// Where the program headers and the section headers are.
fn tables<H: FileHeader<Endian = Endianness>>(
    header: &H,
    endian: Endianness,
    data: &Sparse,
) -> (Range<u64>, Range<u64>) {
    let table =
        |from: u64, count: u64, size: u16| from..from.saturating_add(count.saturating_mul(size.into()));
    let segments =
        table(header.e_phoff(endian).into(), header.e_phnum(endian).into(), header.e_phentsize(endian));
    let from = header.e_shoff(endian).into();
    // If there are very many, the first section header has their number; until it has been read, one is assumed.
    let count = if from == 0 { 0 } else { header.shnum(endian, data).unwrap_or(1) };
    (segments, table(from, count.into(), header.e_shentsize(endian)))
}

/// Describes the file type.
pub(super) fn describe<H: FileHeader<Endian = Endianness>>(
    data: &Sparse,
    width: Width,
    goos: Option<String>,
) -> Result<FileFormat, Fault> {
    let header = H::parse(data).map_err(|_| Fault::Damaged)?;
    let endian = header.endian().map_err(|_| Fault::Damaged)?;
    let order = if endian == Endianness::Little { Order::Little } else { Order::Big };
    let (machine, kind) = (header.e_machine(endian), header.e_type(endian));
    let mut evidence = Evidence { sets: Vec::new(), goos };
    evidence.sets.extend(of_abi(header.e_ident().os_abi));

    // Object files have no segments; they are reported as object files.
    if matches!(kind, elf::ET_EXEC | elf::ET_DYN) {
        let (segments, sections) = tables(header, endian, data);
        within(&segments, data.len(), "program headers")?;
        within(&sections, data.len(), "section headers")?;
        if data.slice(&segments).is_some() || segments.is_empty() {
            let segments = header.program_headers(endian, data).map_err(|_| Fault::Damaged)?;
            check_segments::<H>(segments, endian, data)?;
            for segment in segments {
                evidence.sets.extend(of_segment::<H>(segment, endian, machine, data));
            }
        }
        if data.slice(&sections).is_some() {
            check_sections(header, endian, data)?;
        }
    }
    Ok(FileFormat::Elf { machine, width, order, kind, evidence })
}

fn check_segments<H: FileHeader<Endian = Endianness>>(
    segments: &[H::ProgramHeader],
    endian: Endianness,
    data: &Sparse,
) -> Result<(), Fault> {
    let mut loads = 0;
    for segment in segments {
        let (from, len) = segment.file_range(endian);
        if segment.p_type(endian) == elf::PT_NULL || len == 0 {
            continue;
        }
        within(&(from..from.saturating_add(len)), data.len(), "a segment")?;
        loads += usize::from(segment.p_type(endian) == elf::PT_LOAD);
    }
    // Without a loadable segment the file cannot be started.
    if loads == 0 { Err(Fault::Damaged) } else { Ok(()) }
}

fn check_sections<H: FileHeader<Endian = Endianness>>(
    header: &H,
    endian: Endianness,
    data: &Sparse,
) -> Result<(), Fault> {
    let sections = header.section_headers(endian, data).map_err(|_| Fault::Damaged)?;
    for section in sections {
        // These have no bytes in the file: .bss, and the first one, whose size may be the number of sections.
        if matches!(section.sh_type(endian), elf::SHT_NULL | elf::SHT_NOBITS) {
            continue;
        }
        let (from, len): (u64, u64) = (section.sh_offset(endian).into(), section.sh_size(endian).into());
        if len > 0 {
            within(&(from..from.saturating_add(len)), data.len(), "a section")?;
        }
    }
    Ok(())
}

/// The operating system that a segment indicates, if it has notes or a loader, and was kept.
fn of_segment<H: FileHeader<Endian = Endianness>>(
    segment: &H::ProgramHeader,
    endian: Endianness,
    machine: elf::Machine,
    data: &Sparse,
) -> Vec<super::systems::Systems> {
    if let Ok(Some(path)) = segment.interpreter(endian, data) {
        return of_loader(path, machine).into_iter().collect();
    }
    let mut found = Vec::new();
    let Ok(Some(mut notes)) = segment.notes(endian, data) else { return found };
    while let Ok(Some(note)) = notes.next() {
        let first_word = note.desc().first_chunk::<4>().map(|word| match endian {
            Endianness::Little => u32::from_le_bytes(*word),
            Endianness::Big => u32::from_be_bytes(*word),
        });
        found.extend(of_note(note.name(), note.n_type(endian).0, first_word));
    }
    found
}
