//! A reader for `.tar.gz` files that trusts nothing in them.
//!
//! It streams: whatever the sizes, memory stays bounded. Absolute paths, `..`, links, devices, sparse files, archives
//! that are damaged, cut short or carry something behind their end, and archives over the [`Limits`] are refused, and
//! the refusal names the entry.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::rc::Rc;

use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType, PaxExtensions};

use super::file::TarballFile;
use crate::digest::Digest;
use crate::error::{Error, Refusal, Result};
use crate::splice::{Tape, Unpacker};

/// How much an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files and folders.
    pub entries: u64,
    /// Bytes of all files together, unpacked.
    pub unpacked_bytes: u64,
}

impl Default for Limits {
    /// 1,000 entries and 4 GiB.
    fn default() -> Self {
        Self { entries: 1_000, unpacked_bytes: 4 << 30 }
    }
}

/// Extension headers (long names, pax records) are small; anything larger is an attack or damage.
const MAX_EXTENSION: u64 = 64 * 1024;
/// Zero blocks behind the end of an archive: tar pads to its record size, 10 KiB by default.
const MAX_PADDING: u64 = 1024 * 1024;
const BLOCK: u64 = 512;
/// What the common file systems allow for a name, and what leaves room for the users' own folders in a path, in bytes.
const MAX_NAME: usize = 255;
const MAX_PATH: usize = 1_000;

/// A regular file in an archive, handed to the callback of [`read`].
pub struct Entry<'a> {
    /// Its path: relative, `/`-separated, without `.` and `..`.
    pub path: &'a str,
    /// Its length in bytes.
    pub size: u64,
    /// Its contents; ends after `size` bytes, or with an error.
    pub content: &'a mut dyn Read,
    /// Records the contents' compressed stream, if asked to before their first byte is read.
    pub tape: &'a Tape,
}

/// Reads the archive in `tarball` from beginning to end, calling `on_file` for each regular file in the archive's order.
///
/// `progress` is told of compressed bytes as they are read. Gives the SHA-256 of the tarball itself, taken from the
/// same single read as the contents, so that what was checked is what was used.
///
/// # Errors
/// The file cannot be read, the archive breaks a rule, or `on_file` fails.
pub fn read(
    tarball: &TarballFile,
    limits: Limits,
    progress: &dyn Fn(u64),
    on_file: &mut dyn FnMut(Entry<'_>) -> Result<()>,
) -> Result<Digest> {
    let file = tarball.open()?;
    let source = Source { state: Rc::new(RefCell::new(SourceState::default())), file, progress };
    let state = Rc::clone(&source.state);
    let tape = Tape::default();
    let mut archive = Archive::new(Tail::new(Unpacker::new(source, tape.clone())));
    let outcome =
        Reading { tarball, limits, tape, entries: 0, extensions: 0, unpacked: 0, read_error: Rc::default() }
            .run(&mut archive, on_file);

    // An error of the disk shows as a damaged archive; the source knows better.
    if let Some(error) = state.borrow_mut().error.take() {
        return Err(Error::Io { context: format!("cannot read {}", tarball.display()), source: error });
    }
    outcome?;
    check_end(tarball, archive.into_inner())?;
    Ok(Digest::from_hasher(std::mem::take(&mut state.borrow_mut().hash)))
}

/// The tarball's bytes on their way to the decoder: hashed, counted, and with the disk's own errors kept apart.
struct Source<'a> {
    state: Rc<RefCell<SourceState>>,
    file: File,
    progress: &'a dyn Fn(u64),
}

#[derive(Default)]
struct SourceState {
    hash: Sha256,
    error: Option<io::Error>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            Ok(count) => {
                self.state.borrow_mut().hash.update(&buffer[..count]);
                (self.progress)(count as u64);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let copy = io::Error::from(error.kind());
                self.state.borrow_mut().error = Some(error);
                Err(copy)
            }
        }
    }
}

/// The unpacked stream, with the number of zero bytes seen last: tells whether the archive ended with an end block.
struct Tail<R> {
    inner: R,
    trailing_zeros: u64,
}

impl<R> Tail<R> {
    fn new(inner: R) -> Self {
        Self { inner, trailing_zeros: 0 }
    }
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match buffer[..count].iter().rposition(|b| *b != 0) {
            Some(last) => self.trailing_zeros = (count - 1 - last) as u64,
            None => self.trailing_zeros += count as u64,
        }
        Ok(count)
    }
}

/// An archive ends with two zero blocks (POSIX.1-2017, pax, "ustar Interchange Format") and then only zeros.
fn check_end(tarball: &TarballFile, mut rest: Tail<Unpacker<Source<'_>>>) -> Result<()> {
    let first_end_block = rest.trailing_zeros >= BLOCK;
    rest.trailing_zeros = 0;
    let mut seen = 0;
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let count = match rest.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(tarball, &error).into()),
        };
        seen += count;
        if rest.trailing_zeros < seen || seen > MAX_PADDING {
            return Err(Refusal::new(tarball.display(), "the archive goes on behind its end")
                .found("data after the end-of-archive blocks")
                .expected("nothing but zero padding there")
                .remedy("make the tarball again; a concatenation of tar files is not accepted")
                .into());
        }
    }
    if !first_end_block || seen < BLOCK {
        return Err(Refusal::new(tarball.display(), "the archive is cut short")
            .found("no end-of-archive blocks")
            .expected("two zero blocks at the end of the tar file")
            .remedy("fetch or build the tarball again")
            .into());
    }
    Ok(())
}

fn damaged(tarball: &TarballFile, error: &io::Error) -> Refusal {
    Refusal::new(tarball.display(), "the archive is damaged or cut short")
        .found(error)
        .expected("a complete gzip-compressed tar file")
        .remedy("fetch or build the tarball again")
}

/// The state of one pass over an archive.
struct Reading<'a> {
    tarball: &'a TarballFile,
    limits: Limits,
    tape: Tape,
    entries: u64,
    extensions: u64,
    unpacked: u64,
    /// Set by [`Content`] when the archive, not the callback, is at fault.
    read_error: Rc<RefCell<Option<io::Error>>>,
}

impl Reading<'_> {
    fn run(
        mut self,
        archive: &mut Archive<impl Read>,
        on_file: &mut dyn FnMut(Entry<'_>) -> Result<()>,
    ) -> Result<()> {
        let tarball = self.tarball;
        let broken = |error: io::Error| damaged(tarball, &error);
        let mut long_name: Option<Vec<u8>> = None;
        for entry in archive.entries().map_err(broken)?.raw(true) {
            let mut entry = entry.map_err(broken)?;
            let kind = entry.header().entry_type();
            let size = entry.header().entry_size().map_err(broken)?;
            if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader | EntryType::GNULongName) {
                self.count_extension()?;
                let name = self.extension(kind, size, &mut entry)?;
                if name.is_some() && long_name.is_some() {
                    return Err(self
                        .refuse("two long names for one entry", "a second extension header")
                        .into());
                }
                long_name = name.or(long_name);
                continue;
            }
            let raw = long_name.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
            let entry_path = self.entry_path(&raw, kind)?;
            self.count_entry(&entry_path)?;
            match kind {
                EntryType::Directory => {}
                EntryType::Regular => {
                    self.count_bytes(&entry_path, size)?;
                    let mut content =
                        Content { inner: entry, left: size, error: Rc::clone(&self.read_error) };
                    let file = Entry { path: &entry_path, size, content: &mut content, tape: &self.tape };
                    let outcome = on_file(file);
                    if let Some(error) = self.read_error.borrow_mut().take() {
                        return Err(damaged(tarball, &error).into());
                    }
                    outcome?;
                }
                other => return Err(self.refuse_kind(&entry_path, other).into()),
            }
        }
        if long_name.is_some() {
            return Err(self
                .refuse("an extension header without its entry", "the end of the archive")
                .into());
        }
        Ok(())
    }

    /// Reads an extension header; gives the long name that it sets, if it does.
    fn extension(&self, kind: EntryType, size: u64, content: &mut dyn Read) -> Result<Option<Vec<u8>>> {
        if size > MAX_EXTENSION {
            let found = format!("an extension header of {size} bytes");
            return Err(self.refuse("an extension header is too large", &found).into());
        }
        let mut data = Vec::new();
        content.read_to_end(&mut data).map_err(|e| damaged(self.tarball, &e))?;
        if data.len() as u64 != size {
            return Err(damaged(self.tarball, &io::ErrorKind::UnexpectedEof.into()).into());
        }
        if kind == EntryType::GNULongName {
            while data.last() == Some(&0) {
                data.pop();
            }
            return Ok(Some(data));
        }
        let mut name = None;
        for record in PaxExtensions::new(&data) {
            let record = record.map_err(|e| damaged(self.tarball, &e))?;
            let key = String::from_utf8_lossy(record.key_bytes()).into_owned();
            match key.as_str() {
                "path" if kind == EntryType::XHeader => name = Some(record.value_bytes().to_vec()),
                // Readers disagree on these, and no release tarball needs them.
                key if key == "path" || key == "size" || key.starts_with("GNU.sparse") => {
                    return Err(self.refuse("an unsupported pax record", key).into());
                }
                _ => {}
            }
        }
        Ok(name)
    }

    fn entry_path(&self, raw: &[u8], kind: EntryType) -> Result<String> {
        let shown = String::from_utf8_lossy(raw).into_owned();
        let refuse_with = |why: &str, remedy: &str| {
            Refusal::new(self.tarball.display(), format!("an entry's path is refused: {why}"))
                .found(format!("{:?}", shown.chars().take(300).collect::<String>()))
                .expected("a relative path of plain names")
                .remedy(remedy)
        };
        let refuse =
            |why: &str| refuse_with(why, "make the tarball from inside its folder, with tar -C FOLDER");
        let rename = |why: &str| refuse_with(why, "rename the file, or leave it out");
        let text = std::str::from_utf8(raw).map_err(|_| rename("it is not UTF-8"))?;
        if text.starts_with('/') {
            return Err(refuse("it is absolute").into());
        }
        if text.chars().any(|c| c.is_control() || c == '\\' || c == ':') {
            return Err(rename("it has a control character, a backslash or a colon").into());
        }
        if text.len() > MAX_PATH || text.split('/').any(|part| part.len() > MAX_NAME) {
            return Err(rename("it is longer than users' file systems allow").into());
        }
        if kind == EntryType::Regular && text.ends_with('/') {
            return Err(refuse("a file whose name ends with a slash").into());
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return Err(refuse("it leads out of its folder").into());
        }
        if parts.is_empty() && kind != EntryType::Directory {
            return Err(refuse("it is empty").into());
        }
        Ok(parts.join("/"))
    }

    fn count_entry(&mut self, entry: &str) -> Result<()> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Refusal::new(self.tarball.display(), "the archive has too many entries")
                .found(format!("more than {} entries, {entry:?} being the first over", self.limits.entries))
                .expected(format!("at most {}", self.limits.entries))
                .remedy("leave out what does not belong into a provider, or raise --max-entries")
                .into());
        }
        Ok(())
    }

    fn count_extension(&mut self) -> Result<()> {
        self.extensions += 1;
        // At most a long name and a pax header belong to an entry, and one global header to the archive.
        if self.extensions > 2 * self.limits.entries + 1 {
            return Err(self.refuse("too many extension headers", &self.extensions.to_string()).into());
        }
        Ok(())
    }

    fn count_bytes(&mut self, entry: &str, size: u64) -> Result<()> {
        self.unpacked = self.unpacked.saturating_add(size);
        if self.unpacked > self.limits.unpacked_bytes {
            return Err(Refusal::new(self.tarball.display(), "the archive is too large unpacked")
                .found(format!("{} bytes up to and with {entry:?}", self.unpacked))
                .expected(format!("at most {} bytes", self.limits.unpacked_bytes))
                .remedy("leave out what does not belong into a provider, or raise --max-unpacked-bytes")
                .into());
        }
        Ok(())
    }

    fn refuse(&self, problem: &str, found: &str) -> Refusal {
        Refusal::new(self.tarball.display(), problem)
            .found(found)
            .expected("a plain tar file of folders and regular files")
            .remedy("make the tarball again with tar --format=ustar")
    }

    fn refuse_kind(&self, entry: &str, kind: EntryType) -> Refusal {
        let words = match kind {
            EntryType::Symlink => "a symbolic link".to_owned(),
            EntryType::Link => "a hard link".to_owned(),
            EntryType::Char | EntryType::Block => "a device".to_owned(),
            EntryType::Fifo => "a named pipe".to_owned(),
            EntryType::GNUSparse => "a sparse file".to_owned(),
            EntryType::GNULongLink => "a link".to_owned(),
            other => format!("an entry of tar type {:?}", char::from(other.as_byte())),
        };
        let remedy = match kind {
            EntryType::Symlink | EntryType::Link | EntryType::GNULongLink => {
                "replace it by the file itself (tar --dereference --hard-dereference), or leave it out"
            }
            EntryType::GNUSparse => "make the tarball without --sparse",
            _ => "leave it out",
        };
        Refusal::new(self.tarball.display(), "the archive holds something that is no regular file")
            .found(format!("{entry:?}, {words}"))
            .expected("folders and regular files only")
            .remedy(remedy)
    }
}

/// One entry's contents: exactly as many bytes as its header says, or an error.
struct Content<R> {
    inner: R,
    left: u64,
    error: Rc<RefCell<Option<io::Error>>>,
}

impl<R: Read> Read for Content<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let outcome = match self.inner.read(buffer) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends inside an entry")),
            outcome => outcome,
        };
        match outcome {
            Ok(count) => {
                self.left = self.left.saturating_sub(count as u64);
                Ok(count)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    *self.error.borrow_mut() = Some(io::Error::new(error.kind(), error.to_string()));
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::path::Path;

    fn header(kind: EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        header
    }

    fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in files {
            builder
                .append_data(&mut header(EntryType::Regular, content.len() as u64), name, *content)
                .unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    type Files = Vec<(String, Vec<u8>)>;

    fn read_bytes(bytes: &[u8], limits: Limits) -> Result<Files> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut files = Vec::new();
        let digest = read(&TarballFile::at(file.path()), limits, &|_| {}, &mut |entry| {
            let mut content = Vec::new();
            entry.content.read_to_end(&mut content).map_err(|e| Error::io("x", Path::new("x"), e))?;
            files.push((entry.path.to_owned(), content));
            Ok(())
        })?;
        assert_eq!(digest, Digest::of(bytes));
        Ok(files)
    }

    fn refusal(bytes: &[u8], limits: Limits) -> String {
        match read_bytes(bytes, limits) {
            Err(Error::Refused(refusal)) => refusal.to_string(),
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    /// A tar file with one entry whose name is written as it is, which the tar crate's builder would refuse.
    fn tar_with_raw_name(name: &[u8], kind: EntryType) -> Vec<u8> {
        let mut header = header(kind, 0);
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(3 * 512, 0);
        bytes
    }

    #[test]
    fn files_come_in_order_with_normal_paths() {
        let tar = tar_of(&[("./b", b"1"), ("a/./c", b""), ("z", &[7; 1000])]);
        let expected: Files =
            vec![("b".into(), b"1".to_vec()), ("a/c".into(), vec![]), ("z".into(), vec![7; 1000])];
        assert_eq!(read_bytes(&gzip(&tar), Limits::default()).unwrap(), expected);
        // Several gzip members, as pigz and bgzip write them, are one stream (RFC 1952, section 2.2).
        let members = [gzip(&tar[..700]), gzip(&tar[700..])].concat();
        assert_eq!(read_bytes(&members, Limits::default()).unwrap(), expected);
    }

    #[test]
    fn long_names_are_read_in_both_styles() {
        let long = format!("{}/{}", "d".repeat(90), "f".repeat(120));
        let gnu = tar_of(&[(&long, b"x")]);
        assert_eq!(read_bytes(&gzip(&gnu), Limits::default()).unwrap(), vec![(long.clone(), b"x".to_vec())]);

        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("path", long.as_bytes()), ("mtime", b"1.5".as_slice())]).unwrap();
        builder.append_data(&mut header(EntryType::Regular, 1), "short", &b"x"[..]).unwrap();
        let pax = builder.into_inner().unwrap();
        assert_eq!(read_bytes(&gzip(&pax), Limits::default()).unwrap(), vec![(long, b"x".to_vec())]);
    }

    #[test]
    fn bad_paths_and_kinds_are_refused() {
        for (name, kind, text) in [
            (&b"/etc/passwd"[..], EntryType::Regular, "absolute"),
            (b"../x", EntryType::Regular, "leads out"),
            (b"a/../../x", EntryType::Directory, "leads out"),
            (b"a\\b", EntryType::Regular, "backslash"),
            (b"c:x", EntryType::Regular, "colon"),
            (b"a\nb", EntryType::Regular, "control"),
            (b"\xff", EntryType::Regular, "UTF-8"),
            (b"./", EntryType::Regular, "slash"),
            (b".", EntryType::Regular, "empty"),
            (b"l", EntryType::Symlink, "symbolic link"),
            (b"l", EntryType::Link, "hard link"),
            (b"l", EntryType::Char, "device"),
            (b"l", EntryType::Fifo, "named pipe"),
            (b"l", EntryType::GNUSparse, "sparse"),
            (b"l", EntryType::Continuous, "tar type '7'"),
        ] {
            let text_found = refusal(&gzip(&tar_with_raw_name(name, kind)), Limits::default());
            assert!(text_found.contains(text), "{text}: {text_found}");
        }
    }

    #[test]
    fn limits_hold_before_anything_is_unpacked() {
        let tar = gzip(&tar_of(&[("a", b"12345"), ("b", b"67890")]));
        assert!(refusal(&tar, Limits { entries: 1, ..Limits::default() }).contains("--max-entries"));
        assert!(
            refusal(&tar, Limits { unpacked_bytes: 9, ..Limits::default() }).contains("--max-unpacked-bytes")
        );
        assert!(read_bytes(&tar, Limits { entries: 2, unpacked_bytes: 10 }).is_ok());
        // A header that promises more than the limit is refused without reading on.
        let mut huge = header(EntryType::Regular, 5 << 30);
        huge.set_path("huge").unwrap();
        huge.set_cksum();
        assert!(refusal(&gzip(huge.as_bytes()), Limits::default()).contains("\"huge\""));
    }

    #[test]
    fn ends_are_checked() {
        let whole = tar_of(&[("a", &[0; 2000])]);
        let content_only = whole.len() - 1024;
        for (bytes, text) in [
            (gzip(&whole[..content_only]), "cut short"),
            (gzip(&whole[..content_only + 512]), "cut short"),
            (gzip(&whole[..1000]), "cut short"),
            (gzip(&[whole.as_slice(), b"x"].concat()), "goes on behind its end"),
            (gzip(&[whole.as_slice(), &whole].concat()), "goes on behind its end"),
            (gzip(&[whole.as_slice(), &vec![0; 2 << 20]].concat()), "goes on behind its end"),
            ([gzip(&whole), b"trailing".to_vec()].concat(), "damaged"),
            (gzip(&whole)[..40].to_vec(), "damaged"),
            (whole.clone(), "damaged"),
            (gzip(b"not a tar file"), "damaged"),
            (Vec::new(), "damaged"),
        ] {
            let found = refusal(&bytes, Limits::default());
            assert!(found.contains(text), "{text}: {found}");
        }
        assert!(read_bytes(&gzip(&[whole.as_slice(), &[0; 10240]].concat()), Limits::default()).is_ok());
    }

    #[test]
    fn a_missing_file_is_no_refusal() {
        let outcome =
            read(&TarballFile::at(Path::new("/nonexistent.tar.gz")), Limits::default(), &|_| {}, &mut |_| {
                Ok(())
            });
        assert!(matches!(outcome, Err(Error::Io { .. })));
    }

    proptest! {
        #[test]
        fn mangled_input_is_refused_or_right(
            content in prop::collection::vec(any::<u8>(), 0..3000),
            mangle in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in prop::option::of(any::<prop::sample::Index>()),
            inside in any::<bool>(),
        ) {
            let files: Files = vec![("a".into(), content.clone()), ("d/b".into(), b"two".to_vec())];
            let mut bytes = tar_of(&[("a", &content), ("d/b", b"two")]);
            if !inside { bytes = gzip(&bytes); }
            for (index, value) in mangle { let at = index.index(bytes.len()); bytes[at] = value; }
            if let Some(cut) = cut { bytes.truncate(cut.index(bytes.len())); }
            if inside { bytes = gzip(&bytes); }
            // Damage to the gzip file is caught by its CRC-32; damage inside it, made before compression, may change
            // what is in the archive, but must not do anything worse.
            match read_bytes(&bytes, Limits::default()) {
                Ok(found) if !inside => prop_assert_eq!(found, files),
                Ok(_) => {}
                Err(error) => prop_assert_eq!(error.exit_code(), 3),
            }
        }
    }
}
