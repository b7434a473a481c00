//! Parses one header: every field of its 512 bytes, strictly.

use std::ops::Range;

use super::number::{self, Form};
use super::{BLOCK, Fault, shown};

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::release) enum EntryType {
    /// A file.
    Regular,
    /// A folder.
    Directory,
}

/// The use of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderKind {
    Entry(EntryType),
    /// Records for the next entry.
    Pax,
    /// Records for all entries that follow.
    GlobalPax,
    /// The next entry's name.
    LongName,
}

/// The definition that a header follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Posix,
    Gnu,
}

/// The parsed contents of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: HeaderKind,
    pub(super) format: Format,
    /// With the prefix.
    pub(super) name: Vec<u8>,
    /// Permission bits.
    pub(super) mode: u32,
    /// Bytes of data after the header.
    pub(super) size: u64,
}

// POSIX.1-2017, pax, "ustar Interchange Format".
const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK_NAME: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const UNAME: Range<usize> = 265..297;
const GNAME: Range<usize> = 297..329;
const DEV_MAJOR: Range<usize> = 329..337;
const DEV_MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
const BEHIND_PREFIX: Range<usize> = 500..512;
/// The bytes where GNU has times, sparse maps and the real size.
const GNU_REST: Range<usize> = 345..512;
/// The bytes where Node.js' tar and star have the times of access and change, if the prefix is shorter.
const ATIME: Range<usize> = 476..488;
const CTIME: Range<usize> = 488..500;

const POSIX_MAGIC: &[u8] = b"ustar\x0000";
const GNU_MAGIC: &[u8] = b"ustar  \0";

/// Seconds; as many digits as a time in a pax header may have. Some programs cannot represent later times as a date.
const MAX_TIME: u64 = 999_999_999_999;

const S_IFMT: u64 = 0o170_000;
const S_IFREG: u64 = 0o100_000;
const S_IFDIR: u64 = 0o040_000;
const PERMISSIONS: u64 = 0o7_777;

/// Whether this block looks like a tar header at all: its checksum is right, or it has the magic.
pub(in crate::release) fn is_likely(block: &[u8; BLOCK]) -> bool {
    block[MAGIC].starts_with(b"ustar") || checksum(block).is_ok()
}

/// The name in a header's own field, to name the entry in a refusal.
pub(super) fn raw_name(block: &[u8; BLOCK]) -> &[u8] {
    up_to_nul(&block[NAME])
}

impl Header {
    /// Parses a header.
    pub(super) fn read(block: &[u8; BLOCK]) -> Result<Self, Fault> {
        checksum(block)?;
        let format = format(block)?;
        let number = |name, field: Range<usize>, form| number::read(name, &block[field], form);
        // The kind is checked first, because its message is the most helpful.
        let kind = kind(block)?;
        let size = number("size", SIZE, Form::OctalOrBase256)?;
        for (name, field) in [("uid", UID), ("gid", GID)] {
            if number(name, field.clone(), Form::OctalOrBase256)? > u64::from(u32::MAX) {
                return Err(Fault::new(
                    format!("its {name} is too large"),
                    shown(&block[field]),
                    "a number of 32 bits at most",
                ));
            }
        }
        if number("time of modification", MTIME, Form::OctalOrBase256)? > MAX_TIME {
            return Err(Fault::new(
                "its time of modification is too large",
                shown(&block[MTIME]),
                format!("at most {MAX_TIME} seconds"),
            ));
        }
        number("device number", DEV_MAJOR, Form::Octal)?;
        number("device number", DEV_MINOR, Form::Octal)?;
        let mode = mode(number("mode", MODE, Form::Octal)?, kind)?;
        text("user name", &block[UNAME])?;
        text("group name", &block[GNAME])?;
        if block[LINK_NAME].iter().any(|byte| *byte != 0) {
            return Err(Fault::new(
                "it has a link name, and is no link",
                shown(up_to_nul(&block[LINK_NAME])),
                "an empty link name",
            ));
        }
        let name = name(block, format)?;
        let expected = match kind {
            HeaderKind::Entry(_) => Some(format),
            HeaderKind::Pax | HeaderKind::GlobalPax => Some(Format::Posix),
            HeaderKind::LongName => Some(Format::Gnu),
        };
        if expected != Some(format) {
            return Err(Fault::new(
                "its type flag does not belong to its magic",
                format!("type flag {}, magic {}", shown(&[block[TYPE]]), shown(&block[MAGIC])),
                "x and g in POSIX headers, L in GNU headers",
            ));
        }
        if kind == HeaderKind::Entry(EntryType::Directory) && size != 0 {
            return Err(Fault::new(
                "it is a folder with a size",
                format!("{size} bytes"),
                "0 bytes: some tar programs skip them, others take them for entries",
            ));
        }
        if block[TYPE] == 0 && raw_name(block).ends_with(b"/") {
            return Err(Fault::new(
                "it has no type, and a name that ends with a slash",
                shown(raw_name(block)),
                "the type flag 5 for a folder",
            ));
        }
        Ok(Self { kind, format, name, mode, size })
    }
}

/// Checks the sum of all bytes, with those of the checksum's own field counted as spaces.
fn checksum(block: &[u8; BLOCK]) -> Result<(), Fault> {
    let wrong = |found: String, expected: String| {
        Fault::new("its checksum is wrong", found, expected)
            .remedy("fetch or build the tarball again; it is damaged, or no tar file")
    };
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = block[CHECKSUM].iter().map(|byte| u64::from(*byte)).sum();
    let sum = sum - own + 8 * u64::from(b' ');
    match number::read("checksum", &block[CHECKSUM], Form::Octal) {
        Ok(found) if found == sum => Ok(()),
        Ok(found) => Err(wrong(format!("{found:o}"), format!("{sum:o}"))),
        Err(fault) => Err(wrong(fault.found, fault.expected)),
    }
}

fn format(block: &[u8; BLOCK]) -> Result<Format, Fault> {
    let magic = &block[MAGIC];
    if magic == POSIX_MAGIC {
        return Ok(Format::Posix);
    }
    if magic == GNU_MAGIC {
        return Ok(Format::Gnu);
    }
    let problem = if magic.iter().all(|byte| *byte == 0) {
        "it is a header of the old v7 format, which not all tar programs tell from other formats"
    } else {
        "its magic and version are not those of a format that all tar programs read alike"
    };
    Err(Fault::new(
        problem,
        shown(magic),
        format!("{} (POSIX) or {} (GNU)", shown(POSIX_MAGIC), shown(GNU_MAGIC)),
    ))
}

fn kind(block: &[u8; BLOCK]) -> Result<HeaderKind, Fault> {
    let (words, remedy) = match block[TYPE] {
        b'0' | 0 => return Ok(HeaderKind::Entry(EntryType::Regular)),
        b'5' => return Ok(HeaderKind::Entry(EntryType::Directory)),
        b'x' => return Ok(HeaderKind::Pax),
        b'g' => return Ok(HeaderKind::GlobalPax),
        b'L' => return Ok(HeaderKind::LongName),
        b'1' => ("a hard link", HARD_LINK),
        b'2' | b'K' => ("a symbolic link", SYMBOLIC_LINK),
        b'3' | b'4' => ("a device", "leave it out"),
        b'6' => ("a named pipe", "leave it out"),
        b'S' => ("a sparse file", SPARSE),
        other => {
            return Err(Fault::new(
                "it is no regular file",
                format!("an entry of tar type {:?}", char::from(other)),
                "folders and regular files only",
            )
            .remedy("leave it out"));
        }
    };
    Err(Fault::new("it is no regular file", words, "folders and regular files only").remedy(remedy))
}

/// The remedy for a sparse file, for both tar programs.
pub(super) const SPARSE: &str = "make the tarball without --sparse (GNU tar), or with --no-read-sparse (bsdtar, which looks for \
                                 holes unless told not to)";
const HARD_LINK: &str = "make the tarball with --hard-dereference (GNU tar), or from a copy of the folder that `cp -R` makes \
                         (bsdtar has no such option); or leave out one of the two names";
const SYMBOLIC_LINK: &str = "replace it by the file itself: --dereference --hard-dereference (GNU tar) or -L (bsdtar); or leave it out";

fn mode(mode: u64, kind: HeaderKind) -> Result<u32, Fault> {
    let own = match kind {
        HeaderKind::Entry(EntryType::Directory) => S_IFDIR,
        _ => S_IFREG,
    };
    let file_type = mode & !PERMISSIONS;
    if file_type != 0 && (file_type & S_IFMT != own || file_type & !S_IFMT != 0) {
        return Err(Fault::new(
            "its mode has a file type that is not its own",
            format!("{mode:o}"),
            "permission bits, such as 755",
        ));
    }
    Ok(u32::try_from(mode & PERMISSIONS).unwrap_or_default())
}

fn name(block: &[u8; BLOCK], format: Format) -> Result<Vec<u8>, Fault> {
    let own = padded("name", &block[NAME])?;
    let prefix = match format {
        Format::Gnu => {
            nothing("behind the device numbers", &block[GNU_REST])?;
            &[]
        }
        Format::Posix => {
            nothing("behind the prefix", &block[BEHIND_PREFIX])?;
            prefix(block)?
        }
    };
    Ok(if prefix.is_empty() { own.to_vec() } else { [prefix, b"/", own].concat() })
}

fn prefix(block: &[u8; BLOCK]) -> Result<&[u8], Fault> {
    let field = &block[PREFIX];
    let short = &field[..ATIME.start - PREFIX.start];
    if short.last() != Some(&0) {
        return padded("prefix", field);
    }
    for field in [ATIME, CTIME] {
        number::read("prefix, or the time behind it,", &block[field], Form::Octal)?;
    }
    padded("prefix", short)
}

fn nothing(place: &str, field: &[u8]) -> Result<(), Fault> {
    if field.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    Err(Fault::new(
        format!("it has data {place}, which tar programs read differently"),
        shown(field.trim_ascii_end()),
        "only NUL bytes there",
    ))
}

/// The text of a field, after which there must be only NUL bytes.
fn padded<'a>(name: &str, field: &'a [u8]) -> Result<&'a [u8], Fault> {
    let text = up_to_nul(field);
    if field[text.len()..].iter().any(|byte| *byte != 0) {
        return Err(Fault::new(
            format!("its {name} has a NUL byte inside"),
            shown(field),
            "text, and NUL bytes up to the end of the field",
        ));
    }
    Ok(text)
}

fn text(name: &str, field: &[u8]) -> Result<(), Fault> {
    let text = padded(name, field)?;
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::new(format!("its {name} is not UTF-8"), shown(text), "text in UTF-8")),
    }
}

fn up_to_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}
