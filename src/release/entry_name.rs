//! Names in a zip: those that every client's file system can store unchanged and distinct.
//!
//! A zip of one platform is unpacked on that platform, but also elsewhere: by mirrors, scanners and people. And one
//! release has one set of files. So one list of rules applies to all platforms, the strictest of each system:
//!
//! - Windows: Microsoft, "Naming Files, Paths, and Namespaces": reserved characters and device names, no space or dot at a
//!   component's end, case is ignored (NTFS compares by an upper-case table), streams behind a colon, 8.3 names.
//! - macOS: Apple File System Reference and "Frequently Asked Questions" of the Apple File System Guide: names are
//!   compared without regard to case and to normalisation, and code points that Unicode has not assigned are refused. HFS
//!   Plus (Technical Note TN1150, "Unicode Subtleties") decomposes names and ignores some code points in comparisons.
//! - Linux: bytes, 255 of them in a component; but ext4 and f2fs with `casefold` compare by full case folding after NFD,
//!   without the ignorable code points (Documentation/filesystems/ext4, "case-insensitive file name lookups").
//!
//! None of them treats compatibility equivalents (NFKC: `²` and `2`) as equal, and neither do these rules.

use std::collections::HashMap;
use std::fmt;

use icu_casemap::{CaseMapper, CaseMapperBorrowed};
use icu_normalizer::{DecomposingNormalizer, DecomposingNormalizerBorrowed};
use icu_properties::props::{BidiControl, DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};

/// The most bytes in UTF-8, and code units in UTF-16 after decomposition, of a component.
///
/// Source: `NAME_MAX` of Linux's file systems and `APFS`, in bytes; NTFS and HFS Plus, in UTF-16.
pub const MAX_COMPONENT: usize = 255;
/// The most bytes of a path.
///
/// Source: `PATH_MAX` is 1024 on macOS, and counts the folder of the user's configuration and
/// `.terraform/providers/HOST/NAMESPACE/TYPE/VERSION/PLATFORM/` too.
pub const MAX_PATH: usize = 512;

/// Why a name is not allowed in a zip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    /// An empty component, or `.` or `..`: readers drop these or refuse them.
    Part,
    /// A control character, or a separator of lines or paragraphs. Windows refuses those below U+0020, and terminals
    /// execute them.
    Control(char),
    /// One of `< > : " \ | ? *`. Source: "Naming Files, Paths, and Namespaces". A colon begins the name of a stream on
    /// NTFS, and a backslash separates folders.
    Reserved(char),
    /// A code point that is not visible. Source: Unicode's `Default_Ignorable_Code_Point` and `Bidi_Control`. HFS Plus
    /// ignores some of these in comparisons, casefolded Linux folders the others; and bidirectional overrides display
    /// `gpj.exe` as `exe.jpg`.
    Invisible(char),
    /// A code point that Unicode has not assigned, which APFS refuses, or one for private use, with which SMB clients
    /// replace the characters of [`NameFault::Reserved`].
    Unassigned(char),
    /// A component ends in a space or a dot, which Windows drops. Source: "Naming Files, Paths, and Namespaces".
    Ending(char),
    /// A component is a device's name, with any extension. Source: "Naming Files, Paths, and Namespaces": CON, PRN, AUX, NUL,
    /// COM and LPT with a digit or one of `¹²³`; CreateFile, "Consoles": CONIN$ and CONOUT$; `CLOCK$` of older releases.
    Device,
    /// A component has the form of the short names that Windows gives to other files, such as `TERRAF~1.EXE`, and would
    /// be written into such a file. Source: "Naming Files, Paths, and Namespaces", "Short vs. Long Names".
    Short,
    /// A component is longer than [`MAX_COMPONENT`].
    LongComponent,
    /// The path is longer than [`MAX_PATH`].
    LongPath,
}

impl NameFault {
    /// Whether clients on the system with Go's name `os` fail to install such a name, or install it under another one.
    #[must_use]
    pub fn fails_on(self, os: &str) -> bool {
        match self {
            Self::LongComponent => true,
            Self::Unassigned(_) => os == "darwin",
            Self::Control(_) | Self::Reserved(_) | Self::Ending(_) | Self::Device | Self::Short => {
                os == "windows"
            }
            Self::Part | Self::Invisible(_) | Self::LongPath => false,
        }
    }
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part => f.write_str("it has an empty part, or . or .."),
            Self::Control(c) => write!(f, "it has a control character ({})", code(*c)),
            Self::Reserved(c) => write!(f, "it has the character {c}, which Windows refuses"),
            Self::Invisible(c) => write!(f, "it has a character that is not seen ({})", code(*c)),
            Self::Unassigned(c) => {
                write!(f, "it has a character without a meaning, which macOS refuses ({})", code(*c))
            }
            Self::Ending(' ') => f.write_str("a part of it ends in a space, which Windows drops"),
            Self::Ending(_) => f.write_str("a part of it ends in a dot, which Windows drops"),
            Self::Device => f.write_str("a part of it is the name of a device on Windows"),
            Self::Short => {
                f.write_str("a part of it is like the short names that Windows gives to other files")
            }
            Self::LongComponent => {
                write!(f, "a part of it is longer than file systems allow: {MAX_COMPONENT} bytes")
            }
            Self::LongPath => write!(f, "it is longer than {MAX_PATH} bytes"),
        }
    }
}

fn code(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

/// Checks one name of a zip: a relative path, `/`-separated.
///
/// # Errors
/// A client's file system cannot store it, or would store it as another one.
pub fn check(path: &str) -> Result<(), NameFault> {
    for c in path.chars() {
        check_character(c)?;
    }
    path.split('/').try_for_each(check_component)?;
    if path.len() > MAX_PATH { Err(NameFault::LongPath) } else { Ok(()) }
}

fn check_character(c: char) -> Result<(), NameFault> {
    if matches!(c, '<' | '>' | ':' | '"' | '\\' | '|' | '?' | '*') {
        return Err(NameFault::Reserved(c));
    }
    if c.is_ascii_graphic() || c == ' ' {
        return Ok(());
    }
    if INVISIBLE.iter().any(|set| set.contains(c)) {
        return Err(NameFault::Invisible(c));
    }
    match CATEGORIES.get(c) {
        GeneralCategory::Control
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator
        | GeneralCategory::Format => Err(NameFault::Control(c)),
        GeneralCategory::Unassigned | GeneralCategory::PrivateUse | GeneralCategory::Surrogate => {
            Err(NameFault::Unassigned(c))
        }
        _ => Ok(()),
    }
}

fn check_component(part: &str) -> Result<(), NameFault> {
    if matches!(part, "" | "." | "..") {
        return Err(NameFault::Part);
    }
    if let Some(last) = part.chars().next_back().filter(|c| matches!(c, ' ' | '.')) {
        return Err(NameFault::Ending(last));
    }
    if is_device(part) {
        return Err(NameFault::Device);
    }
    if is_short(part) {
        return Err(NameFault::Short);
    }
    if part.len() > MAX_COMPONENT || NFD.normalize(part).encode_utf16().count() > MAX_COMPONENT {
        return Err(NameFault::LongComponent);
    }
    Ok(())
}

/// Whether Windows treats a component as a device's name: the part up to the first dot, without trailing spaces.
fn is_device(part: &str) -> bool {
    let base = part.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_uppercase();
    if matches!(base.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$") {
        return true;
    }
    let number = base.strip_prefix("COM").or_else(|| base.strip_prefix("LPT"));
    number.is_some_and(|number| {
        let mut number = number.chars();
        matches!((number.next(), number.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    })
}

/// Whether a component has the form of a generated short name: up to six characters, a tilde and a number, together eight
/// at the most; an extension of up to three.
fn is_short(part: &str) -> bool {
    let (base, extension) = part.split_once('.').unwrap_or((part, ""));
    let Some((before, number)) = base.rsplit_once('~') else { return false };
    base.chars().count() <= 8
        && !before.is_empty()
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && extension.chars().count() <= 3
        && !extension.contains('.')
}

const CASE: CaseMapperBorrowed<'static> = CaseMapper::new();
const NFD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizer::new_nfd();
const CATEGORIES: icu_properties::CodePointMapDataBorrowed<'static, GeneralCategory> =
    CodePointMapData::<GeneralCategory>::new();
const INVISIBLE: [icu_properties::CodePointSetDataBorrowed<'static>; 2] =
    [CodePointSetData::new::<DefaultIgnorableCodePoint>(), CodePointSetData::new::<BidiControl>()];

/// The comparison key of a path, which ignores every difference that some file system ignores: two paths that any file
/// system treats as one have the same key. It has as many components as the path.
#[must_use]
pub fn key(path: &str) -> String {
    if path.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-')) {
        return path.to_owned();
    }
    let parts: Vec<String> = path.split('/').map(component_key).collect();
    parts.join("/")
}

fn component_key(part: &str) -> String {
    let mut key = folded(part);
    // A letter that results from one step may be changed by another; the result is stable after few rounds.
    for _ in 0..4 {
        let again = folded(&key);
        if again == key {
            break;
        }
        key = again;
    }
    key.trim_end_matches([' ', '.']).to_owned()
}

/// Upper case first, as in NTFS: this changes `ı` to `I`, which no folding does. Then the canonical caseless match of
/// Unicode (D145).
fn folded(part: &str) -> String {
    let seen: String = part.chars().filter(|c| !INVISIBLE.iter().any(|set| set.contains(*c))).collect();
    let upper = seen.to_uppercase();
    let decomposed = NFD.normalize(&upper);
    NFD.normalize(&CASE.fold_string(&decomposed)).into_owned()
}

/// Two names that some file system treats as one, or a file and a folder of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The path that was added first, or the part of one that is a folder.
    pub first: String,
    /// The path that was added.
    pub second: String,
}

impl Clash {
    /// Whether no file system can store both: one would have to be a file and a folder, with the same spelling.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.second
            .strip_prefix(self.first.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The names of one archive, which must differ for every file system.
#[derive(Debug, Default)]
pub struct Names {
    nodes: Vec<Node>,
    /// Places by their parent and the component's [`key`].
    places: HashMap<(Option<usize>, String), usize>,
}

#[derive(Debug)]
struct Node {
    parent: Option<usize>,
    name: String,
    is_file: bool,
}

impl Names {
    /// Adds a file's path.
    ///
    /// # Errors
    /// The path equals one that was added, a file would have to be a folder, or one folder is spelled in two ways.
    pub fn add(&mut self, path: &str) -> Result<(), Clash> {
        let mut parent = None;
        let mut rest = path;
        loop {
            let (name, below) = match rest.split_once('/') {
                Some((name, below)) => (name, Some(below)),
                None => (rest, None),
            };
            let place = (parent, component_key(name));
            match self.places.get(&place).copied() {
                None => {
                    let index = self.nodes.len();
                    self.nodes.push(Node { parent, name: name.to_owned(), is_file: below.is_none() });
                    self.places.insert(place, index);
                    parent = Some(index);
                }
                Some(index) => {
                    let is_same_folder = self
                        .nodes
                        .get(index)
                        .is_some_and(|node| !node.is_file && below.is_some() && node.name == name);
                    if !is_same_folder {
                        return Err(Clash { first: self.path(index), second: path.to_owned() });
                    }
                    parent = Some(index);
                }
            }
            match below {
                Some(below) => rest = below,
                None => return Ok(()),
            }
        }
    }

    /// The paths of the files, in the order in which they were added.
    pub fn files(&self) -> impl Iterator<Item = String> {
        let files = self.nodes.iter().enumerate().filter(|(_, node)| node.is_file);
        files.map(|(index, _)| self.path(index))
    }

    fn path(&self, index: usize) -> String {
        let mut parts = Vec::new();
        let mut at = Some(index);
        while let Some(node) = at.and_then(|index| self.nodes.get(index)) {
            parts.push(node.name.as_str());
            at = node.parent;
        }
        parts.reverse();
        parts.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icu_normalizer::ComposingNormalizer;
    use proptest::prelude::*;

    #[test]
    fn what_some_file_system_cannot_hold_is_refused() {
        let long = "x".repeat(256);
        // 128 code points of 2 bytes, 3 UTF-16 units each once they are decomposed.
        let decomposes = "\u{390}".repeat(127);
        for (path, fault) in [
            ("", NameFault::Part),
            ("a//b", NameFault::Part),
            ("./a", NameFault::Part),
            ("a/..", NameFault::Part),
            ("a\nb", NameFault::Control('\n')),
            ("a\u{85}b", NameFault::Control('\u{85}')),
            ("a\u{2028}b", NameFault::Control('\u{2028}')),
            ("what?", NameFault::Reserved('?')),
            ("a*", NameFault::Reserved('*')),
            ("d/\"q\"", NameFault::Reserved('"')),
            ("<a", NameFault::Reserved('<')),
            ("a>", NameFault::Reserved('>')),
            ("a|b", NameFault::Reserved('|')),
            ("a\\b", NameFault::Reserved('\\')),
            ("LICENSE:stream", NameFault::Reserved(':')),
            ("terraform-provider-x_v1.0.0.", NameFault::Ending('.')),
            ("docs./a", NameFault::Ending('.')),
            ("terraform-provider-x_v1.0.0 ", NameFault::Ending(' ')),
            ("...", NameFault::Ending('.')),
            ("CON", NameFault::Device),
            ("d/nul.txt", NameFault::Device),
            ("Aux/x", NameFault::Device),
            ("prn .md", NameFault::Device),
            ("com0", NameFault::Device),
            ("COM9.tar.gz", NameFault::Device),
            ("lpt¹", NameFault::Device),
            ("LPT³.x", NameFault::Device),
            ("conin$", NameFault::Device),
            ("CONOUT$.x", NameFault::Device),
            ("TERRAF~1.EXE", NameFault::Short),
            ("d/terraf~1", NameFault::Short),
            ("ab~1234.md", NameFault::Short),
            ("a\u{200d}b", NameFault::Invisible('\u{200d}')),
            ("a\u{ad}b", NameFault::Invisible('\u{ad}')),
            ("\u{feff}a", NameFault::Invisible('\u{feff}')),
            ("a\u{202e}gpj.exe", NameFault::Invisible('\u{202e}')),
            ("a\u{61c}b", NameFault::Invisible('\u{61c}')),
            ("a\u{378}", NameFault::Unassigned('\u{378}')),
            ("a\u{ffff}", NameFault::Unassigned('\u{ffff}')),
            ("a\u{f03a}b", NameFault::Unassigned('\u{f03a}')),
            (&long, NameFault::LongComponent),
            (&decomposes, NameFault::LongComponent),
            (&format!("{}a", "a/".repeat(256)), NameFault::LongPath),
        ] {
            assert_eq!(check(path), Err(fault), "{path:?}");
        }
    }

    #[test]
    fn ordinary_names_are_taken() {
        for path in [
            "terraform-provider-x_v1.0.0",
            "LICENSE",
            "docs/guides/Getting started (2).md",
            ".github/x",
            "CONTRIBUTING",
            "COM10",
            "COMMON.txt",
            "nul-l",
            "backup~",
            "~1",
            "a-long-name~1",
            "a~b",
            "Übersicht/日本語.txt",
            "e\u{301}té",
            "m²",
            &"x".repeat(255),
        ] {
            assert_eq!(check(path), Ok(()), "{path:?}");
        }
    }

    #[test]
    fn names_that_a_file_system_takes_for_one_clash() {
        for (first, second) in [
            ("README", "readme"),
            ("Straße", "STRASSE"),
            ("terraform-provider-sample", "terraform-provider-ſample"),
            ("terraform-provider-k8s", "terraform-provider-\u{212a}8s"),
            ("\u{e9}", "e\u{301}"),
            ("\u{212b}", "\u{e5}"),
            ("i", "ı"),
            ("ΜΆΪΟΣ", "μάϊος"),
            ("ﬁle", "FILE"),
            ("a.", "a"),
            ("a ", "A"),
            ("a\u{200d}b", "ab"),
            ("docs/a", "Docs/b"),
            ("a", "a/b"),
            ("a/b", "A"),
            ("a/b/c", "a/b"),
        ] {
            let mut names = Names::default();
            names.add(first).unwrap();
            let clash = names.add(second).unwrap_err();
            assert_eq!(clash.second, second);
            assert!(first.starts_with(&clash.first), "{clash:?}");
        }
        let mut names = Names::default();
        for path in ["a/b", "a/c", "b", "a1", "m²", "m2", "d/a"] {
            assert_eq!(names.add(path), Ok(()), "{path}");
        }
        assert_eq!(names.files().collect::<Vec<_>>(), ["a/b", "a/c", "b", "a1", "m²", "m2", "d/a"]);
    }

    /// The changes that file systems make to a name before they compare it, each on its own.
    const FOLDINGS: &[fn(&str) -> String] = &[
        |name| name.to_lowercase(),
        |name| name.to_uppercase(),
        // NTFS: one code point becomes one, or stays.
        |name| {
            let one = |c: char| {
                let mut upper = c.to_uppercase();
                upper.next().filter(|_| upper.next().is_none()).unwrap_or(c)
            };
            name.chars().map(one).collect()
        },
        |name| DecomposingNormalizer::new_nfd().normalize(name).into_owned(),
        |name| ComposingNormalizer::new_nfc().normalize(name).into_owned(),
        |name| CaseMapper::new().fold_string(name).into_owned(),
        |name| {
            let decomposed = DecomposingNormalizer::new_nfd().normalize(name);
            let folded = CaseMapper::new().fold_string(&decomposed).into_owned();
            DecomposingNormalizer::new_nfd().normalize(&folded).into_owned()
        },
        |name| name.chars().map(|c| CaseMapper::new().simple_fold(c)).collect(),
        |name| name.split('/').map(|part| part.trim_end_matches([' ', '.'])).collect::<Vec<_>>().join("/"),
        |name| name.replace(['\u{200c}', '\u{200d}', '\u{feff}', '\u{202e}', '\u{206a}'], ""),
    ];

    fn is_below(path: &str, folder: &str) -> bool {
        path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    proptest! {
        /// No two files of an archive are equal after any of the foldings, and none is a folder of the other.
        #[test]
        fn accepted_names_differ_for_every_file_system(
            paths in prop::collection::vec("[aAkK\u{212a}sSſßẞiIıİéÉe\u{301}å\u{212b}ﬁfΣσς\u{200d}.~1/ ]{1,6}", 2..30),
        ) {
            let mut names = Names::default();
            let accepted: Vec<&String> =
                paths.iter().filter(|path| check(path).is_ok() && names.add(path).is_ok()).collect();
            for folding in FOLDINGS {
                let folded: Vec<String> = accepted.iter().map(|path| folding(path)).collect();
                for (at, one) in folded.iter().enumerate() {
                    for other in &folded[at + 1..] {
                        prop_assert_ne!(one, other);
                        prop_assert!(!is_below(one, other) && !is_below(other, one));
                    }
                }
            }
        }

        /// Any text is checked without a panic, in time that grows with its length only.
        #[test]
        fn any_text_is_judged(path in any::<String>()) {
            let _ = (check(&path), key(&path), Names::default().add(&path));
            prop_assert_eq!(key(&key(&path)), key(&path));
            prop_assert_eq!(key(&path).split('/').count(), path.split('/').count());
        }
    }
}
