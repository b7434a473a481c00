//! The names of a release's files, as clients know them and SHA256SUMS lists them.

use crate::openpgp::KeyId;
use crate::provider::{Platform, ProviderType, ReleaseId, Version};

const SUMS: &str = "SHA256SUMS";
const SIGNATURE: &str = ".sig";

/// A file of a release, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileName {
    /// `terraform-provider-TYPE_VERSION_OS_ARCH.zip`
    Zip(Platform),
    /// `terraform-provider-TYPE_VERSION_SHA256SUMS`
    Sums,
    /// `terraform-provider-TYPE_VERSION_SHA256SUMS.KEYID.sig`
    Signature(KeyId),
}

impl FileName {
    /// The file of this release that has this name; `None` for any other name.
    pub(super) fn of(release: &ReleaseId, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(&stem(&release.provider.provider_type, &release.version))?;
        match rest.strip_prefix('_')?.strip_prefix(SUMS) {
            Some("") => Some(Self::Sums),
            Some(rest) => signer(rest).map(Self::Signature),
            None => zip_platform(&release.provider.provider_type, &release.version, name).map(Self::Zip),
        }
    }

    /// The file's whole name.
    pub(super) fn in_full(&self, release: &ReleaseId) -> String {
        let stem = stem(&release.provider.provider_type, &release.version);
        match self {
            Self::Zip(platform) => format!("{stem}_{platform}.zip"),
            Self::Sums => format!("{stem}_{SUMS}"),
            Self::Signature(key_id) => format!("{stem}_{SUMS}.{key_id}{SIGNATURE}"),
        }
    }
}

/// `terraform-provider-TYPE_VERSION`, with which the names of all files begin.
fn stem(provider_type: &ProviderType, version: &Version) -> String {
    format!("terraform-provider-{provider_type}_{version}")
}

/// The key id in a signature's name, of which `rest` is behind the name of the file that is signed.
pub(super) fn signer(rest: &str) -> Option<KeyId> {
    rest.strip_prefix('.')?.strip_suffix(SIGNATURE)?.parse().ok()
}

/// The platform whose zip of this version has this file name; `None` for any other file.
pub(super) fn zip_platform(provider_type: &ProviderType, version: &Version, name: &str) -> Option<Platform> {
    let rest = name.strip_prefix(&stem(provider_type, version))?.strip_prefix('_')?;
    rest.strip_suffix(".zip")?.parse().ok()
}
