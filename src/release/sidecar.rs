//! `TARBALL.sha256`, the checksum that a release build leaves beside a tarball.

use super::file::{Companion, TarballFile};
use crate::digest::Digest;
use crate::error::{Refusal, Result};

/// The checksum that a tarball must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// The file that says so, as messages call it.
    pub shown: String,
    /// What it says.
    pub digest: Digest,
}

impl Sidecar {
    /// Reads the sidecar of `tarball`; `None` where there is none.
    ///
    /// Both forms in use are taken: the bare digest, and `sha256sum`'s line with a name, which must be the tarball's.
    ///
    /// # Errors
    /// It cannot be read, or says something else than one checksum for this tarball.
    pub fn beside(tarball: &TarballFile) -> Result<Option<Self>> {
        let name = tarball.name();
        let Some(Companion { shown, bytes }) = tarball.beside(&format!("{name}.sha256"))? else {
            return Ok(None);
        };
        match parse(&String::from_utf8_lossy(&bytes), name) {
            Ok(digest) => Ok(Some(Self { shown, digest })),
            Err(found) => Err(Refusal::new(shown, "not the checksum of its tarball")
                .found(found)
                .expected(format!("one line: 64 hex digits, two spaces, {name}"))
                .remedy("write it again with sha256sum, or remove it if it is not meant for this tarball")
                .into()),
        }
    }

    /// Checks the digest that the tarball was found to have.
    ///
    /// # Errors
    /// It is another one.
    pub fn check(&self, tarball: &TarballFile, found: &Digest) -> Result<(), Refusal> {
        if *found == self.digest {
            return Ok(());
        }
        Err(Refusal::new(tarball.display(), "the tarball does not have the checksum in its .sha256 file")
            .found(format!("SHA-256 {found}"))
            .expected(format!("SHA-256 {}, from {}", self.digest, self.shown))
            .remedy("fetch the tarball again; if it was rebuilt, fetch its .sha256 file as well"))
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
