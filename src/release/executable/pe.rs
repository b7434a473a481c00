//! PE. Source: Microsoft, "PE Format".

use object::read::pe::{ImageNtHeaders, ImageOptionalHeader as _, optional_header_magic};
use object::{LittleEndian, pe};

use super::sparse::Sparse;
use super::{Fault, FileFormat, within};

/// Describes the file type.
pub(super) fn describe(data: &Sparse) -> Result<FileFormat, Fault> {
    match optional_header_magic(data).map_err(|_| Fault::Damaged)? {
        pe::IMAGE_NT_OPTIONAL_HDR32_MAGIC => read::<pe::ImageNtHeaders32>(data),
        pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC => read::<pe::ImageNtHeaders64>(data),
        _ => Err(Fault::Damaged),
    }
}

fn read<H: ImageNtHeaders>(data: &Sparse) -> Result<FileFormat, Fault> {
    let dos = pe::ImageDosHeader::parse(data).map_err(|_| Fault::Damaged)?;
    let mut offset = dos.nt_headers_offset().into();
    let (headers, directories) = H::parse(data, &mut offset).map_err(|_| Fault::Damaged)?;
    let header = headers.file_header();
    let machine = header.machine.get(LittleEndian);
    let flags = header.characteristics.get(LittleEndian);
    let executable = flags.0 & pe::IMAGE_FILE_EXECUTABLE_IMAGE.0 != 0 && flags.0 & pe::IMAGE_FILE_DLL.0 == 0;
    let found = FileFormat::Pe { machine, executable, subsystem: headers.optional_header().subsystem() };
    if !executable {
        return Ok(found);
    }
    // Windows does not start a program whose headers are of the other width.
    let is_64 = matches!(machine, pe::IMAGE_FILE_MACHINE_AMD64 | pe::IMAGE_FILE_MACHINE_ARM64);
    if headers.is_type_64() != is_64 {
        return Err(Fault::Damaged);
    }
    within(&(0..headers.optional_header().size_of_headers().into()), data.len(), "headers")?;
    let sections = headers.sections(data, offset).map_err(|_| Fault::Damaged)?;
    let mut any = false;
    for section in sections.iter() {
        let from = section.pointer_to_raw_data.get(LittleEndian);
        let (size, used) =
            (section.size_of_raw_data.get(LittleEndian), section.virtual_size.get(LittleEndian));
        // The size in the file is rounded up, and the last section may be shorter: only the used part must be present.
        // A section of uninitialised data has no place in the file.
        let size = if used == 0 { size } else { size.min(used) };
        if from > 0 && size > 0 {
            any = true;
            within(&(from.into()..u64::from(from) + u64::from(size)), data.len(), "a section")?;
        }
    }
    // The signature is at the end of the file. Only this directory has a file offset instead of an address.
    if let Some(directory) = directories.get(pe::IMAGE_DIRECTORY_ENTRY_SECURITY) {
        let (from, size) = (directory.virtual_address.get(LittleEndian), directory.size.get(LittleEndian));
        if from > 0 && size > 0 {
            within(&(from.into()..u64::from(from) + u64::from(size)), data.len(), "the signature")?;
        }
    }
    if any { Ok(found) } else { Err(Fault::Damaged) }
}
