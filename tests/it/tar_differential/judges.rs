//! What other programs read in a tarball.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tfreg::content::Digest;

/// A file as a reader sees it: its normal path, permission bits, SHA-256.
pub(crate) type File = (String, u32, String);

/// A program that reads tarballs.
pub(crate) trait Judge {
    fn name(&self) -> &'static str;
    fn read(&mut self, path: &Path) -> Result<Vec<File>, String>;

    /// What it must read in `path`, where we read `files`; `None` where it is not asked.
    fn expected(&self, _path: &Path, files: &[File]) -> Option<Vec<File>> {
        Some(files.to_vec())
    }
}

/// Without `.` and empty parts.
pub(crate) fn normal(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

fn output(command: &mut Command) -> Result<(Vec<u8>, String), String> {
    let output = command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok((output.stdout, stderr)) } else { Err(stderr) }
}

/// GNU tar: the listing on standard error, the contents one behind the other on standard output.
pub(super) struct GnuTar;

impl Judge for GnuTar {
    fn name(&self) -> &'static str {
        "GNU tar"
    }

    fn read(&mut self, path: &Path) -> Result<Vec<File>, String> {
        let mut command = Command::new("tar");
        command.args(["--quoting-style=literal", "--numeric-owner", "--warning=no-unknown-keyword"]);
        let (contents, listing) = output(command.args(["-P", "-xvvOzf"]).arg(path))?;
        let mut files = Vec::new();
        let mut rest = contents.as_slice();
        for line in listing.lines() {
            // Mode, owner, size, date, time and name.
            let (parts, text) = columns(line, 5).ok_or(line)?;
            if parts[0].starts_with('d') {
                continue;
            }
            let size: usize = parts[2].parse().map_err(|_| line)?;
            if !parts[0].starts_with('-') || size > rest.len() {
                return Err(line.to_owned());
            }
            let (content, behind) = rest.split_at(size);
            rest = behind;
            files.push((normal(text.as_bytes()), bits(parts[0]), Digest::of(content).to_string()));
        }
        if rest.is_empty() { Ok(files) } else { Err(format!("{} bytes more", rest.len())) }
    }
}

/// `-rwsr-xr-t` as a number.
fn bits(letters: &str) -> u32 {
    let letters: Vec<char> = letters.chars().skip(1).take(9).collect();
    letters.chunks(3).enumerate().fold(0, |mode, (at, three)| {
        let set = |nth: usize, set: &[char]| three.get(nth).is_some_and(|letter| set.contains(letter));
        let own = u32::from(set(0, &['r'])) << 2
            | u32::from(set(1, &['w'])) << 1
            | u32::from(set(2, &['x', 's', 't']));
        let special = if set(2, &['s', 'S', 't', 'T']) { 0o4000 >> at } else { 0 };
        mode | special | own << (6 - 3 * at)
    })
}

/// bsdtar as it is on macOS, where it takes a file `._NAME` for the extended attributes of what comes next, and shows the
/// others only. It must not see another executable for that.
pub(super) struct MacTar;

impl MacTar {
    fn hides(name: &str) -> bool {
        name.rsplit('/').next().is_some_and(|last| last.len() > 2 && last.starts_with("._"))
    }
}

impl Judge for MacTar {
    fn name(&self) -> &'static str {
        "bsdtar on macOS"
    }

    fn expected(&self, path: &Path, files: &[File]) -> Option<Vec<File>> {
        // Without such a file it reads as everywhere.
        if !files.iter().any(|(name, ..)| Self::hides(name)) {
            return None;
        }
        // Behind the last entry nothing comes that its attributes could be for: libarchive shows it, or says that the file is
        // cut short, depending on the padding. No program writes that.
        let (listing, _) = output(Command::new("bsdtar").arg("-tf").arg(path)).ok()?;
        let listing = String::from_utf8_lossy(&listing).into_owned();
        if listing.lines().last().is_some_and(|last| Self::hides(last.trim_end_matches('/'))) {
            return None;
        }
        Some(files.iter().filter(|(name, ..)| !Self::hides(name)).cloned().collect())
    }

    fn read(&mut self, path: &Path) -> Result<Vec<File>, String> {
        let bsdtar = |args: &[&str]| {
            let mut command = Command::new("bsdtar");
            output(command.args(["--options", "mac-ext", "--numeric-owner"]).args(args).arg(path))
        };
        let (listing, _) = bsdtar(&["-tvf"])?;
        let (contents, _) = bsdtar(&["-xOf"])?;
        let mut files = Vec::new();
        let mut rest = contents.as_slice();
        for line in String::from_utf8_lossy(&listing).lines() {
            // Mode, links, owner, group, size, three parts of a date, and name.
            let (parts, name) = columns(line, 8).ok_or(line)?;
            if parts[0].starts_with('d') {
                continue;
            }
            let size: usize = parts[4].parse().map_err(|_| line)?;
            if !parts[0].starts_with('-') || size > rest.len() {
                return Err(line.to_owned());
            }
            let (content, behind) = rest.split_at(size);
            rest = behind;
            files.push((normal(name.as_bytes()), bits(parts[0]), Digest::of(content).to_string()));
        }
        if rest.is_empty() { Ok(files) } else { Err(format!("{} bytes more", rest.len())) }
    }
}

/// The first words of a line, and what is behind the space that follows the last of them.
fn columns(line: &str, count: usize) -> Option<(Vec<&str>, &str)> {
    let mut parts = Vec::new();
    let mut text = line;
    for _ in 0..count {
        let (part, behind) = text.trim_start().split_once(' ')?;
        parts.push(part);
        text = behind;
    }
    Some((parts, text))
}

/// bsdtar, which writes what it reads as an mtree.
pub(crate) struct BsdTar;

impl Judge for BsdTar {
    fn name(&self) -> &'static str {
        "bsdtar"
    }

    /// It lists them in an order of its own.
    fn expected(&self, _path: &Path, files: &[File]) -> Option<Vec<File>> {
        let mut files = files.to_vec();
        files.sort();
        Some(files)
    }

    fn read(&mut self, path: &Path) -> Result<Vec<File>, String> {
        let mut archive = std::ffi::OsString::from("@");
        archive.push(path);
        let options = "mtree:!all,mtree:type,mtree:mode,mtree:size,mtree:sha256";
        let mut command = Command::new("bsdtar");
        command.args(["-cf", "-", "--format=mtree", "--options", options]);
        let (listing, complaints) = output(command.arg(archive))?;
        if !complaints.is_empty() {
            return Err(complaints);
        }
        let mut files = Vec::new();
        for line in String::from_utf8_lossy(&listing).lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let words: Vec<&str> = words.collect();
            let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            match value("type") {
                Some("dir") => {}
                Some("file") => {
                    let mode = u32::from_str_radix(value("mode").ok_or(line)?, 8).map_err(|_| line)?;
                    let digest = value("sha256digest").or(value("sha256")).ok_or(line)?;
                    files.push((normal(&unescaped(name)), mode, digest.to_owned()));
                }
                _ => return Err(line.to_owned()),
            }
        }
        files.sort();
        Ok(files)
    }
}

/// `\040` is a space.
fn unescaped(name: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), name.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let octal =
            behind.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        if let (b'\\', Some(byte)) = (first, octal) {
            bytes.push(byte);
            rest = &behind[3..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    bytes
}

/// A program that is fed with paths, and answers as `judge.py` says.
pub(crate) struct Fed {
    name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Fed {
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { name, child, stdin, stdout }
    }

    /// The entries in their order: name, permission bits, SHA-256.
    pub(crate) fn entries(&mut self, path: &Path) -> Result<Vec<(Vec<u8>, u32, String)>, String> {
        writeln!(self.stdin.as_ref().unwrap(), "{}", path.display()).unwrap();
        let first = self.line();
        let Some(count) = first.strip_prefix("N ") else { return Err(first) };
        let count: usize = count.parse().unwrap();
        let lines: Vec<String> = (0..count).map(|_| self.line()).collect();
        let entry = |line: &String| {
            let mut words = line.split(' ');
            let (mode, digest) = (words.next().unwrap(), words.next().unwrap());
            let name = hex::decode(words.next().unwrap_or_default()).unwrap();
            (name, u32::from_str_radix(mode, 8).unwrap(), digest.to_owned())
        };
        Ok(lines.iter().map(entry).collect())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "{} has ended: {line}", self.name);
        line.trim_end().to_owned()
    }
}

impl Judge for Fed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&mut self, path: &Path) -> Result<Vec<File>, String> {
        let entries = self.entries(path)?;
        Ok(entries.into_iter().map(|(name, mode, digest)| (normal(&name), mode, digest)).collect())
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        // At the end of its input it ends.
        self.stdin.take();
        let _ = self.child.wait();
    }
}
