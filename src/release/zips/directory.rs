//! The records of a zip: its end, its central directory, and the local headers (APPNOTE 4.3.7 to 4.3.16).
//!
//! Numbers are little-endian (4.4.1.1).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

const LOCAL_HEADER: u32 = 0x0403_4b50;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const ZIP64_END: u32 = 0x0606_4b50;
const ZIP64_LOCATOR: u32 = 0x0706_4b50;
const END: u32 = 0x0605_4b50;

const LOCAL_LEN: u64 = 30;
const CENTRAL_LEN: usize = 46;
const END_LEN: u64 = 22;
const ZIP64_LOCATOR_LEN: u64 = 20;
const ZIP64_END_LEN: u64 = 56;
/// How far before a file's end readers look for the end record: its comment has 16 bits for its length (4.4.12).
const END_SEARCH: u64 = END_LEN + 0xFFFF;
/// A central directory of more entries than a provider has; it is read into memory.
const MAX_DIRECTORY: u64 = 32 << 20;

/// General purpose bits (4.4.4): the two that describe deflate's effort, sizes behind the data, names in UTF-8.
const EFFORT: u16 = 0b110;
const HAS_DESCRIPTOR: u16 = 1 << 3;
const UTF8: u16 = 1 << 11;
const ENCRYPTED: u16 = 1;
/// The newest version needed to extract (4.4.3.2) that all readers know: zip64.
const ZIP64_VERSION: u16 = 45;
/// The extra fields (4.5, 4.6) that are accepted: sizes of zip64, and what usual programs write about times and owners,
/// which no reader of contents uses. Others may change a name or a file's kind (0x7075, 0x756e), or encrypt (0x9901), for
/// some readers.
const ZIP64_EXTRA: u16 = 1;
const NTFS_TIMES: u16 = 0x000a;
const UNIX_TIMES: u16 = 0x5455;
const UNIX_OWNER: u16 = 0x7875;
/// Host systems (4.4.2.2) whose external attributes have a unix mode. Source: Go's archive/zip, `FileHeader.Mode`.
const UNIX: u8 = 3;
const DARWIN: u8 = 19;
/// The attribute of MS-DOS for folders, in the lower half of the external attributes.
const DOS_FOLDER: u32 = 0x10;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Why a zip cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The file cannot be read.
    Io(io::Error),
    /// It is no zip, or not a whole one.
    Damaged(String),
    /// Readers do not agree on what is in it.
    Ambiguous(String),
}

/// An entry, as the central directory describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name; what is not UTF-8 in it is replaced, which is a doubt.
    pub(super) name: String,
    /// The whole unix mode, with the file type, if the host system has such modes.
    pub(super) mode: Option<u32>,
    pub(super) size: u64,
    pub(super) compressed: u64,
    pub(super) crc: u32,
    /// Where its data begins.
    pub(super) start: u64,
    raw_name: Vec<u8>,
    flags: u16,
    method: u16,
    /// Where its local header begins.
    header: u64,
    dos_attributes: u32,
}

impl Entry {
    /// Whether its method is one that clients know, and it is not encrypted.
    pub(super) fn is_readable(&self) -> bool {
        matches!(self.method, STORED | DEFLATED) && self.flags & ENCRYPTED == 0
    }

    pub(super) fn is_deflated(&self) -> bool {
        self.method == DEFLATED
    }

    /// The file type of the unix mode (stat(2)).
    pub(super) fn file_type(&self) -> u32 {
        self.mode.map_or(0, |mode| mode & 0o170_000)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.name.ends_with('/')
    }
}

/// Reads the central directory and all local headers. Also returns what readers may read differently.
pub(super) fn read(file: &File, max_entries: u64) -> Result<(Vec<Entry>, Vec<String>), Unreadable> {
    let len = file.metadata().map_err(Unreadable::Io)?.len();
    let end = End::find(file, len)?;
    if end.entries > max_entries {
        return Err(Unreadable::Damaged(format!("{} entries, more than {max_entries}", end.entries)));
    }
    if end.directory_len > MAX_DIRECTORY {
        return Err(Unreadable::Damaged(format!("a central directory of {} bytes", end.directory_len)));
    }
    let directory = bytes(file, end.directory, end.directory_len)?;
    let mut doubts = Vec::new();
    let mut rest = Fields(&directory);
    let mut entries = Vec::new();
    while !rest.0.is_empty() {
        entries.push(central_header(&mut rest, &mut doubts)?);
        if entries.len() as u64 > end.entries {
            break;
        }
    }
    if entries.len() as u64 != end.entries {
        let found =
            format!("{} entries in the central directory, and {} recorded", entries.len(), end.entries);
        return Err(Unreadable::Ambiguous(found));
    }
    let mut at = 0;
    for index in 0..entries.len() {
        let next = entries.get(index + 1).map_or(end.directory, |next| next.header);
        let Some(entry) = entries.get_mut(index) else { break };
        if entry.header != at {
            doubts.push(format!(
                "{:?} begins at byte {}, and what is before it ends at byte {at}",
                entry.name, entry.header
            ));
        }
        local_header(file, entry, next, &mut doubts)?;
        at = next;
    }
    if entries.is_empty() && end.directory != 0 {
        doubts.push(format!("{} bytes before the central directory, and no entry", end.directory));
    }
    Ok((entries, doubts))
}

/// What the end record says, or the zip64 one.
struct End {
    entries: u64,
    directory: u64,
    directory_len: u64,
}

impl End {
    fn find(file: &File, len: u64) -> Result<Self, Unreadable> {
        let from = len.saturating_sub(END_SEARCH);
        let tail = bytes(file, from, len - from)?;
        // Readers search backwards, so the last one counts.
        let signature = END.to_le_bytes();
        let Some(place) =
            (0..tail.len()).rev().find(|at| tail.get(*at..).is_some_and(|rest| rest.starts_with(&signature)))
        else {
            return Err(Unreadable::Damaged(no_zip(file, len)?));
        };
        let mut fields = Fields(tail.get(place + 4..).unwrap_or_default());
        let (disk, start_disk) = (fields.u16()?, fields.u16()?);
        let (on_disk, entries) = (fields.u16()?, fields.u16()?);
        let (directory_len, directory) = (fields.u32()?, fields.u32()?);
        let comment_len = fields.u16()?;
        let comment = fields.0;
        if comment.len() != usize::from(comment_len) {
            return Err(Unreadable::Ambiguous(format!(
                "an end record whose comment has {comment_len} bytes, and {} bytes behind it",
                comment.len()
            )));
        }
        let at = from + place as u64;
        if disk != 0 || start_disk != 0 || on_disk != entries {
            return Err(Unreadable::Ambiguous("a part of a zip on several disks".to_owned()));
        }
        let many = entries == u16::MAX || directory_len == u32::MAX || directory == u32::MAX;
        let narrow = Self {
            entries: entries.into(),
            directory: directory.into(),
            directory_len: directory_len.into(),
        };
        let (end, ends_at) = Self::zip64(file, at, narrow, many)?;
        if end.directory.checked_add(end.directory_len) != Some(ends_at) {
            return Err(Unreadable::Ambiguous(format!(
                "a central directory of {} bytes at byte {}, and its end record at byte {ends_at}",
                end.directory_len, end.directory
            )));
        }
        Ok(end)
    }

    /// The zip64 end record before the end record at `at`, which must be there only if it is needed: some readers look
    /// for it anyway, some only then. Returns where the first of the end records begins.
    fn zip64(file: &File, at: u64, narrow: Self, is_needed: bool) -> Result<(Self, u64), Unreadable> {
        let locator = match at.checked_sub(ZIP64_LOCATOR_LEN) {
            Some(place) => bytes(file, place, ZIP64_LOCATOR_LEN)?,
            None => Vec::new(),
        };
        let mut fields = Fields(&locator);
        let is_there = !locator.is_empty() && fields.u32()? == ZIP64_LOCATOR;
        match (is_there, is_needed) {
            (false, false) => return Ok((narrow, at)),
            (true, true) => {}
            (true, false) => {
                return Err(Unreadable::Ambiguous("a zip64 end record that is not needed".to_owned()));
            }
            (false, true) => {
                return Err(Unreadable::Ambiguous(
                    "an end record that needs a zip64 one, which is missing".to_owned(),
                ));
            }
        }
        let (disk, place, disks) = (fields.u32()?, fields.u64()?, fields.u32()?);
        if disk != 0 || disks != 1 || place.checked_add(ZIP64_END_LEN + ZIP64_LOCATOR_LEN) != Some(at) {
            return Err(Unreadable::Ambiguous(
                "a zip64 end record that is not before its locator".to_owned(),
            ));
        }
        let record = bytes(file, place, ZIP64_END_LEN)?;
        let mut fields = Fields(&record);
        let (signature, size) = (fields.u32()?, fields.u64()?);
        let (_, _, disk, start_disk) = (fields.u16()?, fields.u16()?, fields.u32()?, fields.u32()?);
        let (on_disk, entries) = (fields.u64()?, fields.u64()?);
        let (directory_len, directory) = (fields.u64()?, fields.u64()?);
        let differs = |narrow: u64, most: u64, wide: u64| narrow != most && narrow != wide;
        if signature != ZIP64_END
            || size != ZIP64_END_LEN - 12
            || (disk, start_disk) != (0, 0)
            || on_disk != entries
            || differs(narrow.entries, u16::MAX.into(), entries)
            || differs(narrow.directory, u32::MAX.into(), directory)
            || differs(narrow.directory_len, u32::MAX.into(), directory_len)
        {
            return Err(Unreadable::Ambiguous(
                "a zip64 end record that differs from the end record".to_owned(),
            ));
        }
        Ok((Self { entries, directory, directory_len }, place))
    }
}

/// The words for a file without an end record.
fn no_zip(file: &File, len: u64) -> Result<String, Unreadable> {
    let head = bytes(file, 0, len.min(4))?;
    Ok(match head.as_slice() {
        [] => "an empty file".to_owned(),
        [b'P', b'K', ..] => format!("a zip of {len} bytes that is cut short: no end record"),
        _ => "no zip: no end record".to_owned(),
    })
}

fn central_header(rest: &mut Fields<'_>, doubts: &mut Vec<String>) -> Result<Entry, Unreadable> {
    if rest.0.len() < CENTRAL_LEN || rest.u32()? != CENTRAL_HEADER {
        return Err(Unreadable::Damaged("a central directory with something else in it".to_owned()));
    }
    let (made_by, needed) = (rest.u16()?, rest.u16()?);
    let (flags, method) = (rest.u16()?, rest.u16()?);
    let _time = rest.u32()?;
    let crc = rest.u32()?;
    let (compressed, size) = (rest.u32()?, rest.u32()?);
    let (name_len, extra_len, comment_len) = (rest.u16()?, rest.u16()?, rest.u16()?);
    let disk = rest.u16()?;
    let _internal = rest.u16()?;
    let external = rest.u32()?;
    let header = rest.u32()?;
    let raw_name = rest.take(name_len.into())?.to_vec();
    let extra = rest.take(extra_len.into())?;
    let _comment = rest.take(comment_len.into())?;
    let name = String::from_utf8_lossy(&raw_name).into_owned();
    let mut doubt = |what: &str| doubts.push(format!("{name:?}: {what}"));
    if std::str::from_utf8(&raw_name).is_err() {
        doubt("a name that is not UTF-8");
    } else if !raw_name.is_ascii() && flags & UTF8 == 0 {
        doubt("a name with other characters than ASCII that is not marked as UTF-8");
    }
    if flags & !(EFFORT | HAS_DESCRIPTOR | UTF8 | ENCRYPTED) != 0 {
        doubt(&format!("general purpose bits {flags:#06x}"));
    }
    if needed > ZIP64_VERSION {
        doubt(&format!("version {needed} needed to extract"));
    }
    if disk != 0 {
        doubt("another disk");
    }
    let extra = Extra::parse(extra, Place::Central).unwrap_or_else(|what| {
        doubt(&what);
        Extra::default()
    });
    let [size, compressed, header] = extra
        .wide([size, compressed, header])
        .map_err(|what| Unreadable::Ambiguous(format!("{name:?}: {what}")))?;
    let [_, host] = made_by.to_le_bytes();
    let mode = matches!(host, UNIX | DARWIN).then_some(external >> 16);
    let entry = Entry {
        name,
        mode,
        size,
        compressed,
        crc,
        start: 0,
        raw_name,
        flags,
        method,
        header,
        dos_attributes: external & 0xFFFF,
    };
    doubts.extend(kind_doubts(&entry));
    Ok(entry)
}

/// Whether readers could take an entry for a folder, a file or something else.
fn kind_doubts(entry: &Entry) -> Option<String> {
    let doubt = |what: String| Some(format!("{:?}: {what}", entry.name));
    match (entry.is_folder(), entry.file_type()) {
        (true, 0 | 0o040_000) if entry.size == 0 && entry.crc == 0 => None,
        (true, 0 | 0o040_000) => doubt(format!("a folder with {} bytes", entry.size)),
        (false, 0o040_000) => doubt("a folder whose name does not end in a slash".to_owned()),
        (false, _) if entry.dos_attributes & DOS_FOLDER != 0 => {
            doubt("a file with the attribute of a folder".to_owned())
        }
        // A link is a rule of its own.
        (false, 0 | 0o100_000 | 0o120_000) => None,
        (_, other) => doubt(format!("file type {other:o}")),
    }
}

/// Compares an entry's local header with the central one, and sets where its data begins; what is behind its data must
/// end at `next`.
fn local_header(
    file: &File,
    entry: &mut Entry,
    next: u64,
    doubts: &mut Vec<String>,
) -> Result<(), Unreadable> {
    let name = entry.name.clone();
    let mut doubt = |what: &str| doubts.push(format!("{name:?}: {what}"));
    let fixed = bytes(file, entry.header, LOCAL_LEN)?;
    let mut fields = Fields(&fixed);
    if fields.u32()? != LOCAL_HEADER {
        return Err(Unreadable::Damaged(format!("{name:?}: no local header at byte {}", entry.header)));
    }
    let _needed = fields.u16()?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    let _time = fields.u32()?;
    let (crc, compressed, size) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let (name_len, extra_len) = (fields.u16()?, fields.u16()?);
    let behind = bytes(file, entry.header + LOCAL_LEN, u64::from(name_len) + u64::from(extra_len))?;
    let (local_name, extra) = behind.split_at_checked(name_len.into()).unwrap_or_default();
    if local_name != entry.raw_name {
        doubt(&format!("{:?} in its local header", String::from_utf8_lossy(local_name)));
    }
    if (flags, method) != (entry.flags, entry.method) {
        doubt("other flags or another method in its local header");
    }
    let has_descriptor = flags & HAS_DESCRIPTOR != 0;
    match Extra::parse(extra, Place::Local).and_then(|extra| extra.wide([size, compressed])) {
        Ok(wide) => {
            let same = (crc, wide) == (entry.crc, [entry.size, entry.compressed]);
            // Sizes behind the data: zeros before it.
            let comes_later = has_descriptor && (crc, wide) == (0, [0, 0]);
            if !(same || comes_later) {
                doubt("another size or checksum in its local header");
            }
        }
        Err(what) => doubt(&what),
    }
    if has_descriptor && entry.method == STORED && entry.size > 0 {
        doubt("data that is stored, and whose length is behind it");
    }
    entry.start = entry.header + LOCAL_LEN + u64::from(name_len) + u64::from(extra_len);
    let Some(left) = entry.start.checked_add(entry.compressed).and_then(|end| next.checked_sub(end)) else {
        doubt("it reaches into what is behind it");
        return Ok(());
    };
    if !has_descriptor {
        if left > 0 {
            doubt(&format!("{left} bytes between it and what is behind it"));
        }
        return Ok(());
    }
    let descriptor = match left {
        16 | 24 => bytes(file, next - left, left)?,
        _ => Vec::new(),
    };
    if !is_descriptor(&descriptor, entry) {
        doubt("the record behind its data is not its size and checksum");
    }
    Ok(())
}

/// Whether these bytes are the data descriptor of an entry (4.3.9), with its signature.
fn is_descriptor(bytes: &[u8], entry: &Entry) -> bool {
    let mut wanted = Vec::from(DESCRIPTOR.to_le_bytes());
    wanted.extend(entry.crc.to_le_bytes());
    for number in [entry.compressed, entry.size] {
        match (bytes.len(), u32::try_from(number)) {
            (16, Ok(number)) => wanted.extend(number.to_le_bytes()),
            (24, _) => wanted.extend(number.to_le_bytes()),
            _ => return false,
        }
    }
    bytes == wanted
}

/// The extra fields (4.5) that matter.
#[derive(Default)]
struct Extra<'a> {
    zip64: Option<&'a [u8]>,
}

/// Where an extra field is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Local,
    Central,
}

impl<'a> Extra<'a> {
    fn parse(bytes: &'a [u8], place: Place) -> Result<Self, String> {
        let damaged = || "damaged extra fields".to_owned();
        let mut extra = Self::default();
        let mut rest = Fields(bytes);
        while !rest.0.is_empty() {
            let (Ok(id), Ok(len)) = (rest.u16(), rest.u16()) else { return Err(damaged()) };
            let data = rest.take(len.into()).map_err(|_| damaged())?;
            let is_whole = match id {
                ZIP64_EXTRA if extra.zip64.is_none() => {
                    extra.zip64 = Some(data);
                    true
                }
                UNIX_TIMES => is_unix_times(data, place),
                UNIX_OWNER => is_unix_owner(data),
                NTFS_TIMES => data.len() == 32 && data.get(4..8) == Some(&[1, 0, 24, 0]),
                _ => return Err(format!("an extra field that programs do not read alike ({id:#06x})")),
            };
            if !is_whole {
                return Err(damaged());
            }
        }
        Ok(extra)
    }

    /// The numbers, of which those with all bits set are in the zip64 field, in their order (4.5.3).
    fn wide<const N: usize>(&self, numbers: [u32; N]) -> Result<[u64; N], String> {
        let mut rest = Fields(self.zip64.unwrap_or_default());
        let mut wide = [0; N];
        for (wide, number) in wide.iter_mut().zip(numbers) {
            *wide = match number {
                u32::MAX => rest.u64().map_err(|_| "a zip64 field that is too short".to_owned())?,
                number => number.into(),
            };
        }
        if rest.0.is_empty() { Ok(wide) } else { Err("a zip64 field that is not needed".to_owned()) }
    }
}

/// Whether a field has the times that its flags name. Source: Info-ZIP's extrafld.txt; its central field has the flags of
/// the local one, and the first time only.
fn is_unix_times(data: &[u8], place: Place) -> bool {
    let Some((flags, times)) = data.split_first() else { return false };
    let all = 4 * flags.count_ones() as usize;
    let first = if flags & 1 == 0 { 0 } else { 4 };
    *flags < 8 && (times.len() == all || place == Place::Central && times.len() == first)
}

/// Whether a field has a user and a group. Source: Info-ZIP's extrafld.txt: version 1, and each with its length.
fn is_unix_owner(data: &[u8]) -> bool {
    let after = |rest: &[u8]| {
        let (len, rest) = rest.split_first()?;
        matches!(len, 2 | 4 | 8).then(|| rest.get(usize::from(*len)..).map(<[u8]>::to_vec)).flatten()
    };
    let Some((1, rest)) = data.split_first() else { return false };
    after(rest).and_then(|rest| after(&rest)).is_some_and(|rest| rest.is_empty())
}

/// Bytes that are read number by number.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Unreadable> {
        let cut_short = || Unreadable::Damaged("a record that is cut short".to_owned());
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let mut number = [0; N];
        number.copy_from_slice(self.take(N)?);
        Ok(number)
    }

    fn u16(&mut self) -> Result<u16, Unreadable> {
        self.number().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        self.number().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Unreadable> {
        self.number().map(u64::from_le_bytes)
    }
}

/// The bytes of a part of the file.
fn bytes(file: &File, at: u64, len: u64) -> Result<Vec<u8>, Unreadable> {
    let len =
        usize::try_from(len).map_err(|_| Unreadable::Damaged("a record that is too long".to_owned()))?;
    let mut bytes = vec![0; len];
    match file.read_exact_at(&mut bytes, at) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Unreadable::Damaged(format!("no {len} bytes at byte {at}: it is cut short")))
        }
        Err(error) => Err(Unreadable::Io(error)),
    }
}
