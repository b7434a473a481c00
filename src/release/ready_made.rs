//! The SHA256SUMS of a release of ready-made zips, as release tools leave it, and its signature.
//!
//! It is published unchanged: its signature covers its bytes, and the hashes in users' lock files are its lines. So all
//! that could be wrong with it is refused here: clients must be able to read it, every zip must have its line, and every
//! line of a zip its zip.

use bytes::Bytes;

use super::file::Companion;
use super::manifest;
use super::name::ArtifactName;
use super::{Artifact, name};
use crate::content::Digest;
use crate::error::{Refusal, Result};
use crate::openpgp::certificate::PublishableKey;
use crate::provider::{ProviderType, Version};
use crate::registry::Checksums;

/// The name of a release's SHA256SUMS.
#[must_use]
pub fn sums_name(provider_type: &ProviderType, version: &Version) -> String {
    format!("terraform-provider-{provider_type}_{version}_SHA256SUMS")
}

const SIGNATURE: &str = ".sig";

/// The name of the signature of a SHA256SUMS.
#[must_use]
pub fn signature_name(sums: &str) -> String {
    format!("{sums}{SIGNATURE}")
}

/// Whether a file of this name is the signature of a SHA256SUMS.
#[must_use]
pub fn is_signature(name: &str) -> bool {
    name.starts_with("terraform-provider-") && name.ends_with("_SHA256SUMS.sig")
}

/// A SHA256SUMS that is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSums {
    /// Its name in messages.
    pub shown: String,
    /// Its file's name.
    pub name: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// Its lines.
    pub lines: Checksums,
    /// The signature beside it.
    pub signature: Option<Companion>,
    /// The names of lines that are neither zips nor the release's manifest.
    pub others: Vec<String>,
}

impl KeptSums {
    /// Reads the SHA256SUMS beside these zips of one version, which are in the order of their platforms; `None` if there
    /// is none. A release to which platforms came later has several, each in a folder of its own: the one that lists
    /// all that the others list is that of the version.
    ///
    /// # Errors
    /// It cannot be read, clients would stumble over it, it is not about exactly these zips, or of several none lists
    /// all.
    pub fn beside(zips: &[Artifact]) -> Result<Option<Self>> {
        let Some(Artifact { name: ArtifactName { provider_type, version, .. }, .. }) = zips.first() else {
            return Ok(None);
        };
        let name = sums_name(provider_type, version);
        let mut all: Vec<Self> = Vec::new();
        for zip in zips {
            let Some(Companion { shown, bytes }) = zip.file.beside(&name)? else { continue };
            if all.iter().any(|known| known.bytes == bytes) {
                continue;
            }
            let signature = zip.file.beside(&signature_name(&name))?;
            all.push(Self::parse(shown, bytes, signature, provider_type, version)?);
        }
        let lists_all = |sums: &Self| {
            let own = sums.lines.platforms(provider_type, version);
            all.iter().all(|other| {
                let listed = other.lines.platforms(provider_type, version);
                listed.iter().all(|(platform, digest)| own.get(platform) == Some(digest))
            })
        };
        let Some(kept) = all.iter().find(|sums| lists_all(sums)) else {
            let [a, b, ..] = all.as_slice() else { return Ok(None) };
            return Err(Refusal::new(&b.shown, "two files of this name, with other contents, in one run")
                .found(format!("SHA-256 {}", Digest::of(&b.bytes)))
                .expected(format!(
                    "SHA-256 {}, as {}; or a SHA256SUMS that lists all zips of the version, those of the other files with the \
                     same digests",
                    Digest::of(&a.bytes),
                    a.shown
                ))
                .remedy("give the zips of one release, from one folder")
                .into());
        };
        kept.check_zips(zips)?;
        Ok(Some(kept.clone()))
    }

    /// Reads a SHA256SUMS of this version. `shown` is its name in messages, and ends in its file's name.
    ///
    /// # Errors
    /// Clients would stumble over it, or it lists files of another version.
    pub fn parse(
        shown: String,
        bytes: Vec<u8>,
        signature: Option<Companion>,
        provider_type: &ProviderType,
        version: &Version,
    ) -> Result<Self, Refusal> {
        let lines = Checksums::parse(&bytes).map_err(|found| {
            Refusal::new(&shown, "clients would stumble over this SHA256SUMS")
                .found(found)
                .expected("on each line 64 lower-case hex digits, two spaces and a name, and a line feed behind the last")
                .remedy(
                    "have the release build write it as `sha256sum` does, and sign that; it is never changed here, \
                     because its signature covers its bytes",
                )
        })?;
        let foreign = lines.foreign(provider_type, version);
        if !foreign.is_empty() {
            return Err(Refusal::new(
                &shown,
                format!("it is not the SHA256SUMS of {provider_type} {version} alone"),
            )
            .found(foreign.join(", "))
            .expected(format!("zips terraform-provider-{provider_type}_{version}_OS_ARCH.zip"))
            .remedy("build the release again, each version in a folder of its own"));
        }
        let manifest = manifest::release_name(provider_type, version);
        let others = lines.besides(provider_type, version).into_iter().filter(|name| **name != *manifest);
        let others = others.map(str::to_owned).collect();
        let name = sums_name(provider_type, version);
        Ok(Self { shown, name, bytes: bytes.into(), lines, signature, others })
    }

    /// Checks that every zip has a line, and every line of a zip its zip.
    fn check_zips(&self, zips: &[Artifact]) -> Result<(), Refusal> {
        if let Some(zip) = zips.iter().find(|zip| self.lines.get(zip.file.name()).is_none()) {
            return Err(Refusal::new(zip.file.display(), "a zip that the release's SHA256SUMS does not list")
                .found(format!("no line for {} in {}", zip.file.name(), self.shown))
                .expected("a line for every zip: clients refuse a zip that the signed file does not confirm")
                .remedy(
                    "give the SHA256SUMS that the build of all these zips has made, with its signature; or take the zip away",
                ));
        }
        let Some(Artifact { name: ArtifactName { provider_type, version, .. }, .. }) = zips.first() else {
            return Ok(());
        };
        let mut listed = self.lines.platforms(provider_type, version);
        for zip in zips {
            listed.remove(&zip.name.platform);
        }
        if listed.is_empty() {
            return Ok(());
        }
        let missing: Vec<String> = listed.into_keys().map(|platform| platform.to_string()).collect();
        Err(Refusal::new(&self.shown, "it lists zips that are not in this run")
            .found(format!("no zip for {}", missing.join(", ")))
            .expected("the zip of every line: each line goes into users' lock files")
            .remedy(
                "give all zips of the release, such as its whole folder; also those that are published already; or build it again \
                 without those that are not to be published",
            ))
    }

    /// Checks the digest of the release's manifest, if there is a line for it.
    ///
    /// # Errors
    /// It is another file than the one that is listed.
    pub fn check_manifest(&self, manifest: &Companion, listed_as: &str) -> Result<(), Refusal> {
        let found = Digest::of(&manifest.bytes);
        match self.lines.get(listed_as) {
            Some(listed) if listed != found => Err(Refusal::new(
                &manifest.shown,
                "the manifest does not have the checksum in its SHA256SUMS file",
            )
            .found(format!("SHA-256 {found}"))
            .expected(format!("SHA-256 {listed}, the line {listed_as} of {}", self.shown))
            .remedy("give the manifest of the release, or build the release again")),
            _ => Ok(()),
        }
    }

    /// Verifies the signature beside it as clients do; `key_from` says where the key is from. `None` if there is no
    /// signature.
    ///
    /// # Errors
    /// Clients would not accept it.
    pub fn verify(&self, key: &PublishableKey, key_from: &str) -> Result<Option<&Companion>, Refusal> {
        let Some(signature) = &self.signature else { return Ok(None) };
        let Companion { shown, bytes } = signature;
        if bytes.trim_ascii_start().starts_with(b"-----BEGIN PGP") {
            return Err(Refusal::new(shown, "the signature is armored, and clients refuse that")
                .found("text: -----BEGIN PGP …")
                .expected("a binary detached signature, as `gpg --detach-sign` makes without --armor")
                .remedy(format!(
                    "make it binary: `gpg --dearmor <{0} >{0}.new && mv {0}.new {0}`, in its folder; and have the release \
                     build sign without --armor",
                    crate::words::quoted(&signature_name(&self.name))
                )));
        }
        match key.verify_upstream(&self.bytes, bytes) {
            Ok(()) => Ok(Some(signature)),
            Err(found) => Err(Refusal::new(shown, "the signature of SHA256SUMS does not verify")
                .found(format!("{found}; SHA-256 of SHA256SUMS: {}", Digest::of(&self.bytes)))
                .expected(format!("a signature of {} by key {} ({key_from})", self.shown, key.key_id()))
                .remedy(
                    "give the public key that signs this provider's releases by --public-key; if it is that one, something \
                     has changed SHA256SUMS after it was signed (GoReleaser 2.15.0 and 2.15.1 do, where `checksum` has no \
                     `ids`): mend that and build the release again; or sign it by a key of your own, with --sign-again in place of \
                     --public-key",
                )),
        }
    }

    /// Warnings for the user.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        if self.others.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "{}: it also lists {}; each line goes into every lock file, and the public registry refuses such a file",
            self.shown,
            self.others.join(", ")
        )]
    }
}

/// Whether two archives for one platform may be one zip from two folders: each is in the SHA256SUMS beside it. A release
/// to which platforms came later is given so. [`merge_given_twice`] decides once these files are read.
pub(super) fn may_be_given_twice(a: &Artifact, b: &Artifact) -> bool {
    a.name.form == name::Form::Zip && !a.file.is_beside(&b.file)
}

/// The refusal of two archives of one form for one platform.
pub(super) fn two_for_a_platform(a: &Artifact, b: &Artifact) -> Refusal {
    let platform = &b.name.platform;
    let what = b.name.form.word();
    Refusal::new(b.file.display(), format!("two {what}s for one platform in one run"))
        .found(format!("{platform}, and {platform} in {}", a.file.display()))
        .expected(format!("the {what}s of one version of one provider, one for each platform"))
        .remedy(format!("give only the {what}s that belong together, one for each platform"))
}

/// Leaves one of the zips that are given twice, in the order of their platforms.
///
/// # Errors
/// There are two zips for one platform that no SHA256SUMS beside them says to be one.
pub(super) fn merge_given_twice(archives: &mut Vec<Artifact>) -> Result<(), Refusal> {
    for pair in archives.windows(2) {
        let [a, b] = pair else { continue };
        let digest = |zip: &Artifact| zip.sidecar.as_ref().map(|sidecar| sidecar.digest);
        if a.name.platform == b.name.platform && (digest(a).is_none() || digest(a) != digest(b)) {
            return Err(two_for_a_platform(a, b));
        }
    }
    archives.dedup_by(|b, a| a.name.platform == b.name.platform);
    Ok(())
}

/// Checks that no zips and tarballs are given together.
///
/// # Errors
/// Both are there.
pub(super) fn check_one_form(archives: &[Artifact]) -> Result<(), Refusal> {
    let first = |form: name::Form| archives.iter().find(|archive| archive.name.form == form);
    let (Some(tarball), Some(zip)) = (first(name::Form::Tarball), first(name::Form::Zip)) else {
        return Ok(());
    };
    Err(Refusal::new(zip.file.display(), "tarballs and ready-made zips in one run")
        .found(format!("a zip, and the tarball {}", tarball.file.display()))
        .expected("one form for all platforms of a version")
        .remedy(
            "give the zips only, to publish them as they are with their SHA256SUMS; or the tarballs only, of which zips are \
             made: `dist/*.zip` or `dist/*.tar.gz` in place of a folder `dist/`, and in a bucket a prefix for each form",
        ))
}
