//! A reader for untrusted `.tar.gz` files.
//!
//! It reads a stream: memory stays bounded, whatever the sizes. `release::tar` defines the accepted tar files; absolute
//! paths, `..`, archives that are damaged, cut short or have data after their end, and archives over the [`Limits`] are
//! refused as well, and the refusal names the entry.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use super::archive::{ArchiveFile, ArchiveReader, CompressedForm, Limits, OnFile};
use super::entry_name;
use super::file::ArtifactFile;
use super::magic;
use super::tar::{EntryType, Fault, ReadError, Reader};
use crate::content::Digest;
use crate::error::{Error, Refusal, Result};
use crate::splice::{DeflateRecorder, Unpacker};

impl ArchiveReader for ArtifactFile {
    fn read(&self, limits: Limits, progress: &dyn Fn(u64), on_file: OnFile<'_>) -> Result<Digest> {
        read(self, limits, progress, on_file)
    }
}

fn read(
    tarball: &ArtifactFile,
    limits: Limits,
    progress: &dyn Fn(u64),
    on_file: OnFile<'_>,
) -> Result<Digest> {
    let file = tarball.open()?;
    let source = Source { state: Rc::new(RefCell::new(SourceState::default())), file, progress };
    let state = Rc::clone(&source.state);
    let recorder = DeflateRecorder::default();
    let unpacker = Unpacker::new(source, recorder.clone());
    let outcome = Reading {
        tarball,
        limits,
        recorder,
        entries: 0,
        unpacked: 0,
        kinds: BTreeMap::new(),
        read_error: Rc::default(),
    }
    .run(&mut Reader::new(unpacker), on_file);

    let mut state = state.borrow_mut();
    // An error of the disk appears as a damaged archive; the source has the real error.
    if let Some(error) = state.error.take() {
        return Err(Error::Io { context: format!("cannot read {}", tarball.display()), source: error });
    }
    outcome.map_err(|error| {
        // A file that is not gzip at all is not reported as damaged.
        let is_gzip = magic::GZIP.starts_with(&state.head[..state.head.len().min(2)]);
        if state.head.is_empty() || !is_gzip { magic::not_gzip(tarball, &state.head).into() } else { error }
    })?;
    Ok(Digest::from_hasher(std::mem::take(&mut state.hash)))
}

/// The tarball's bytes on their way to the decoder: hashed and counted; errors of the disk are stored separately.
struct Source<'a> {
    state: Rc<RefCell<SourceState>>,
    file: File,
    progress: &'a dyn Fn(u64),
}

#[derive(Default)]
struct SourceState {
    hash: Sha256,
    /// The file's first bytes.
    head: Vec<u8>,
    error: Option<io::Error>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            Ok(count) => {
                let mut state = self.state.borrow_mut();
                state.hash.update(&buffer[..count]);
                let missing = magic::LOOKED_AT.saturating_sub(state.head.len());
                state.head.extend_from_slice(&buffer[..count.min(missing)]);
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

fn damaged(tarball: &ArtifactFile, error: &io::Error) -> Refusal {
    Refusal::new(tarball.display(), "the archive is damaged or cut short")
        .found(error)
        .expected("a complete gzip-compressed tar file")
        .remedy("fetch or build the tarball again")
}

/// The refusal of a tar file that does not follow the profile.
fn outside(tarball: &ArtifactFile, entry: Option<&str>, fault: Fault) -> Refusal {
    let problem = match entry {
        Some(entry) => format!("{entry} in the archive: {}", fault.problem),
        None => fault.problem,
    };
    let remedy = fault.remedy.unwrap_or_else(|| "make the tarball again with tar --format=ustar".to_owned());
    Refusal::new(tarball.display(), problem).found(fault.found).expected(fault.expected).remedy(remedy)
}

/// The state of one pass over an archive.
struct Reading<'a> {
    tarball: &'a ArtifactFile,
    limits: Limits,
    recorder: DeflateRecorder,
    entries: u64,
    unpacked: u64,
    /// The type of each path.
    kinds: BTreeMap<String, EntryType>,
    /// Set by [`Content`] if the archive, not the callback, has failed.
    read_error: Rc<RefCell<Option<io::Error>>>,
}

impl Reading<'_> {
    fn run(mut self, archive: &mut Reader<impl Read>, on_file: OnFile<'_>) -> Result<()> {
        let tarball = self.tarball;
        let unreadable = |error| match error {
            ReadError::Io(error) => damaged(tarball, &error),
            ReadError::NotTar(block) => magic::not_tar(tarball, &block),
            ReadError::Outside(entry, fault) => outside(tarball, Some(&entry), fault),
            ReadError::Archive(fault) => outside(tarball, None, fault),
        };
        while let Some(member) = archive.next().map_err(unreadable)? {
            let entry_path = self.entry_path(&member.name, member.entry_type)?;
            self.count_entry(&entry_path)?;
            self.check_kind(&entry_path, member.entry_type)?;
            if member.entry_type == EntryType::Directory {
                continue;
            }
            self.count_bytes(&entry_path, member.size)?;
            let mut content = Content { inner: &mut *archive, error: Rc::clone(&self.read_error) };
            let file = ArchiveFile {
                path: &entry_path,
                mode: member.mode,
                size: member.size,
                content: &mut content,
                compressed: CompressedForm::Recordable(&self.recorder),
            };
            let outcome = on_file(file);
            if let Some(error) = self.read_error.borrow_mut().take() {
                return Err(damaged(tarball, &error).into());
            }
            outcome?;
        }
        Ok(())
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
        let text = std::str::from_utf8(raw)
            .map_err(|_| refuse_with("it is not UTF-8", "rename the file, or leave it out"))?;
        if text.starts_with('/') {
            return Err(refuse("it is absolute").into());
        }
        if kind == EntryType::Regular && text.ends_with('/') {
            return Err(refuse("a file whose name ends with a slash").into());
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return Err(refuse("it leads out of its folder").into());
        }
        if text.is_empty() || parts.is_empty() && kind != EntryType::Directory {
            return Err(refuse("it is empty").into());
        }
        let path = parts.join("/");
        if !path.is_empty() {
            self.check_name(&path)?;
        }
        Ok(path)
    }

    fn check_name(&self, path: &str) -> Result<()> {
        // Apple's tar hides the files in which it stores extended attributes.
        let is_apple_double = path.rsplit('/').next().is_some_and(|last| last.starts_with("._"));
        let remedy = if is_apple_double {
            "make the tarball on macOS with COPYFILE_DISABLE=1 in the environment of tar: files whose names begin with ._ are \
             extended attributes there; on other systems leave it out"
        } else {
            "rename the file, or leave it out"
        };
        entry_name::check(path).map_err(|fault| {
            Refusal::new(
                self.tarball.display(),
                format!("a name that not every file system can hold: {fault}"),
            )
            .found(format!("{:?}", path.chars().take(300).collect::<String>()))
            .expected("names that Windows, macOS and Linux hold as they are")
            .remedy(remedy)
            .into()
        })
    }

    /// A path that one entry makes a file and another makes a folder is refused: readers keep only one of them.
    fn check_kind(&mut self, path: &str, entry_type: EntryType) -> Result<()> {
        let is_file = |path: &str| self.kinds.get(path) == Some(&EntryType::Regular);
        let above = path.match_indices('/').map(|(at, _)| &path[..at]).find(|folder| is_file(folder));
        let inside = || {
            let folder = format!("{path}/");
            let mut behind = self.kinds.range(folder.clone()..);
            behind.next().map(|(other, _)| other).filter(|other| other.starts_with(&folder)).cloned()
        };
        let clash = match entry_type {
            _ if above.is_some() => above.map(str::to_owned),
            EntryType::Directory => is_file(path).then(|| path.to_owned()),
            EntryType::Regular => match self.kinds.get(path) {
                Some(EntryType::Directory) => Some(path.to_owned()),
                _ => inside(),
            },
        };
        if let Some(other) = clash {
            return Err(Refusal::new(self.tarball.display(), "two entries of the archive have one name")
                .found(format!(
                    "{other:?} and {path:?}, of which one is a file and the other makes it a folder"
                ))
                .expected("each path once, as a file or as a folder")
                .remedy("rename one of them, or leave it out")
                .into());
        }
        self.kinds.insert(path.to_owned(), entry_type);
        Ok(())
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
}

/// One entry's contents: exactly as many bytes as its header states, or an error.
struct Content<'a, R> {
    inner: &'a mut Reader<R>,
    error: Rc<RefCell<Option<io::Error>>>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let outcome = self.inner.read_data(buffer);
        if let Err(error) = &outcome
            && error.kind() != io::ErrorKind::Interrupted
        {
            *self.error.borrow_mut() = Some(io::Error::new(error.kind(), error.to_string()));
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::tar::EntryType;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::Write as _;
    use std::path::Path;

    fn header(kind: EntryType, size: u64) -> ::tar::Header {
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        header
    }

    fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
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
        let digest = ArtifactFile::at(file.path()).read(limits, &|_| {}, &mut |entry| {
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

    /// A tar file with one entry whose raw name the tar crate's builder would refuse.
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

        let mut builder = ::tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("path", long.as_bytes()), ("mtime", b"1.5".as_slice())]).unwrap();
        let mut short = ::tar::Header::new_ustar();
        short.set_size(1);
        short.set_mode(0o644);
        builder.append_data(&mut short, "short", &b"x"[..]).unwrap();
        let pax = builder.into_inner().unwrap();
        assert_eq!(read_bytes(&gzip(&pax), Limits::default()).unwrap(), vec![(long, b"x".to_vec())]);
    }

    #[test]
    fn bad_paths_and_kinds_are_refused() {
        for (name, kind, text) in [
            (&b"/etc/passwd"[..], EntryType::Regular, "absolute"),
            (b"../x", EntryType::Regular, "leads out"),
            (b"a/../../x", EntryType::Directory, "leads out"),
            (b"a\\b", EntryType::Regular, "the character \\"),
            (b"c:x", EntryType::Regular, "the character :"),
            (b"a\nb", EntryType::Regular, "control"),
            (b"terraform-provider-x_v1.0.0.", EntryType::Regular, "ends in a dot"),
            (b"aux.md", EntryType::Regular, "device"),
            (b"d ./", EntryType::Directory, "ends in a dot"),
            (b"./._.", EntryType::Regular, "COPYFILE_DISABLE=1"),
            (b"\xff", EntryType::Regular, "UTF-8"),
            (b"./", EntryType::Regular, "slash"),
            (b".", EntryType::Regular, "empty"),
            (b"", EntryType::Directory, "empty"),
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
            (whole.clone(), "a tar file that is not compressed"),
            (gzip(b"not a tar file"), "a text file in the gzip file"),
            (gzip(b""), "nothing in the gzip file"),
            (gzip(&[&whole[..], &[0; 100]].concat()), "whole blocks"),
            (Vec::new(), "an empty file"),
        ] {
            let found = refusal(&bytes, Limits::default());
            assert!(found.contains(text), "{text}: {found}");
        }
        assert!(read_bytes(&gzip(&[whole.as_slice(), &[0; 10240]].concat()), Limits::default()).is_ok());
    }

    #[test]
    fn a_missing_file_is_no_refusal() {
        let outcome = read(
            &ArtifactFile::at(Path::new("/nonexistent.tar.gz")),
            Limits::default(),
            &|_| {},
            &mut |_| Ok(()),
        );
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
            // The CRC-32 detects damage to the gzip file; damage inside it, made before compression, may change the
            // contents of the archive, but must have no worse effect.
            match read_bytes(&bytes, Limits::default()) {
                Ok(found) if !inside => prop_assert_eq!(found, files),
                Ok(_) => {}
                Err(error) => prop_assert_eq!(error.exit_code(), 3),
            }
        }
    }
}
