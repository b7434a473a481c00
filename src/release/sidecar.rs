//! The checksum that a release build writes beside a tarball or zip: its own `TARBALL.sha256`, or its line in the
//! release's SHA256SUMS.

use super::file::{ArtifactFile, Companion};
use super::name::{ArtifactName, Form};
use super::ready_made;
use crate::content::Digest;
use crate::error::{Refusal, Result};

/// The checksum that a tarball must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// The file with the checksum, as named in messages.
    pub shown: String,
    /// The checksum.
    pub digest: Digest,
}

/// The possible names of a release's SHA256SUMS beside its tarballs.
fn sums_of(name: &ArtifactName) -> [String; 2] {
    ["SHA256SUMS".to_owned(), ready_made::sums_name(&name.provider_type, &name.version)]
}

impl Sidecar {
    /// Whether a file of this name has checksums of tarballs.
    #[must_use]
    pub fn is_sidecar(name: &str) -> bool {
        name.strip_suffix(".sha256").is_some_and(|name| ArtifactName::form_of(name).is_some())
            || name == "SHA256SUMS"
            || (name.starts_with("terraform-provider-") && name.ends_with("_SHA256SUMS"))
    }

    /// Reads the files beside `tarball`, whose parsed name is `name`; `None` if none of them has its checksum.
    ///
    /// The tarball's own file may have both common forms: the bare digest, and `sha256sum`'s line with a name, which
    /// must be the tarball's. In a SHA256SUMS its line counts; a SHA256SUMS without such a line is for other files.
    ///
    /// # Errors
    /// A file cannot be read, or does not have exactly one checksum for this tarball.
    pub fn beside(artifact: &ArtifactFile, name: &ArtifactName) -> Result<Option<Self>> {
        let file = artifact.name();
        let mut found = None;
        if let Some(Companion { shown, bytes }) = artifact.beside(&format!("{file}.sha256"))? {
            match parse(&String::from_utf8_lossy(&bytes), file) {
                Ok(digest) => found = Some(Self { shown, digest }),
                Err(found) => {
                    return Err(Refusal::new(shown, "not the checksum of its tarball")
                        .found(found)
                        .expected(format!("one line: 64 hex digits, two spaces, {file}"))
                        .remedy(
                            "write it again with sha256sum, or remove it if it is not meant for this tarball",
                        )
                        .into());
                }
            }
        }
        for sums in sums_of(name) {
            let Some(Companion { shown, bytes }) = artifact.beside(&sums)? else { continue };
            let listed = listed(&String::from_utf8_lossy(&bytes), file).map_err(|found| {
                Refusal::new(&shown, format!("not one checksum of {file}"))
                    .found(found)
                    .expected(format!("one line: 64 hex digits, two spaces, {file}"))
                    .remedy("write it again with sha256sum, or remove it if it is not of this release")
            })?;
            let Some(digest) = listed else { continue };
            match &found {
                None => found = Some(Self { shown, digest }),
                Some(Self { digest: other, .. }) if *other == digest => {}
                Some(other) => {
                    let remedy = match name.form {
                        Form::Tarball => "write both again with sha256sum",
                        Form::Zip => "write the .sha256 file again; SHA256SUMS stays as it was signed",
                    };
                    return Err(Refusal::new(
                        artifact.display(),
                        format!("two files beside the {} give it different checksums", name.form.word()),
                    )
                    .found(format!("SHA-256 {digest}, from {shown}"))
                    .expected(format!("SHA-256 {}, from {}", other.digest, other.shown))
                    .remedy(format!("{remedy}, or remove the one that is not of this release"))
                    .into());
                }
            }
        }
        Ok(found)
    }

    /// Compares the checksum with the tarball's computed digest.
    ///
    /// # Errors
    /// They differ.
    pub fn check(&self, artifact: &ArtifactFile, found: &Digest) -> Result<(), Refusal> {
        if *found == self.digest {
            return Ok(());
        }
        let kind = if self.shown.ends_with(".sha256") { ".sha256" } else { "SHA256SUMS" };
        let what = ArtifactName::form_of(artifact.name()).unwrap_or(Form::Tarball).word();
        Err(Refusal::new(
            artifact.display(),
            format!("the {what} does not have the checksum in its {kind} file"),
        )
        .found(format!("SHA-256 {found}"))
        .expected(format!("SHA-256 {}, from {}", self.digest, self.shown))
        .remedy(format!("fetch the {what} again; if it was rebuilt, fetch its {kind} file as well")))
    }
}

/// The digest in the one line of a SHA256SUMS that names `name`; `None` where no line does.
fn listed(text: &str, name: &str) -> Result<Option<Digest>, String> {
    let names = |line: &&str| {
        // `sha256sum` writes a star before the name of a file that it read as binary.
        let named = line.split_ascii_whitespace().next_back().unwrap_or_default().trim_start_matches('*');
        named.rsplit('/').next() == Some(name) || line.contains(&format!("({name})"))
    };
    let mut lines = text.lines().map(str::trim).filter(names);
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => parse(line, name).map(Some),
        (Some(line), Some(second)) => Err(format!("{:?} and {:?}", shorten(line), shorten(second))),
    }
}

fn parse(text: &str, name: &str) -> Result<Digest, String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(format!("{} lines", text.lines().filter(|line| !line.trim().is_empty()).count()));
    };
    let (hex, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let digest = hex.to_ascii_lowercase().parse::<Digest>().map_err(|_| format!("{:?}", shorten(line)))?;
    let named = rest.trim_start().trim_start_matches('*');
    let base = named.rsplit('/').next().unwrap_or_default();
    if base.is_empty() || base == name { Ok(digest) } else { Err(format!("a checksum for {base:?}")) }
}

fn shorten(line: &str) -> String {
    line.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let hex = "ab".repeat(32);
        let digest = hex.parse::<Digest>().unwrap();
        for text in [
            format!("{hex}\n"),
            format!("{hex}  a.tar.gz\n"),
            format!("{hex} *a.tar.gz\r\n"),
            format!("{}  ./build/a.tar.gz", hex.to_uppercase()),
        ] {
            assert_eq!(parse(&text, "a.tar.gz"), Ok(digest), "{text}");
        }
    }

    #[test]
    fn the_line_of_a_tarball_is_found_among_others() {
        let (hex, other) = ("ab".repeat(32), "cd".repeat(32));
        let digest = hex.parse::<Digest>().unwrap();
        for (text, expected) in [
            (format!("{other}  b.tar.gz\n{hex}  a.tar.gz\n"), Some(digest)),
            (format!("{other}  aa.tar.gz\r\n{hex} *./dist/a.tar.gz\r\n"), Some(digest)),
            (format!("{other}  b.zip\n"), None),
            (String::new(), None),
            ("no checksums\n".to_owned(), None),
        ] {
            assert_eq!(listed(&text, "a.tar.gz"), Ok(expected), "{text}");
        }
        for text in [
            format!("{}  a.tar.gz\n", &hex[1..]),
            format!("{hex}  a.tar.gz\n{other}  dist/a.tar.gz\n"),
            format!("SHA256 (a.tar.gz) = {hex}\n"),
            "a.tar.gz\n".to_owned(),
        ] {
            assert!(listed(&text, "a.tar.gz").is_err(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let hex = "ab".repeat(32);
        for text in [
            String::new(),
            "hello".into(),
            hex[1..].into(),
            format!("{hex}  b.tar.gz"),
            format!("{hex}\n{hex}\n"),
            format!("SHA256 (a.tar.gz) = {hex}"),
        ] {
            assert!(parse(&text, "a.tar.gz").is_err(), "{text}");
        }
    }
}
