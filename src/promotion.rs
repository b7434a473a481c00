//! `--expect-match`: the published zips must be, bit for bit, those that another registry lists.
//!
//! A zip is a function of its tarball, so the tarballs of a release that was tested in staging give the same zips as in
//! staging. Any other zips are refused before a byte is written.

use std::collections::BTreeSet;

use crate::error::{Refusal, Result};
use crate::package::PackageSet;
use crate::provider::{Platform, Provider};
use crate::reader::{ListedZips, Reader};

/// Checks that `packages` are exactly the zips that the registry at `reader` lists for `provider` in the same version.
///
/// # Errors
/// Fails if they differ, a platform is missing or extra, the version is not listed there, or the registry cannot be
/// read.
pub async fn expect_match(
    packages: &PackageSet,
    provider: &Provider,
    reader: &Reader,
    reads: usize,
) -> Result<()> {
    let version = packages.version();
    let place = reader.describe();
    let Some(listed) = reader.zips(provider, version, reads).await? else {
        return Err(Refusal::new(
            place,
            format!("{provider} {version} is not published there (--expect-match)"),
        )
        .found("no such version in its index")
        .expected(format!("{version}, with the zips of this run"))
        .remedy("publish the release there first, and test it there")
        .into());
    };
    compare(packages, &listed).map_err(|(found, expected)| {
        Refusal::new(place, format!("{provider} {version} has other contents there (--expect-match)"))
            .found(found)
            .expected(expected)
            .remedy(
                "these are not the bits that were tested there: find out which build was, and give its tarballs; or \
                 publish these there, and test them",
            )
            .into()
    })
}

/// Compares platform by platform; a difference is reported as the zip of this run and the listed one.
fn compare(packages: &PackageSet, listed: &ListedZips) -> Result<(), (String, String)> {
    let own = packages.packages().iter().map(|package| &package.platform);
    let platforms: BTreeSet<&Platform> = own.chain(listed.keys()).collect();
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    for platform in platforms {
        let ours = packages.get(platform);
        let theirs = listed.get(platform);
        if ours.map(|package| package.zip.digest()) == theirs.copied() {
            continue;
        }
        found.push(match ours {
            Some(package) => {
                format!("{platform}: SHA-256 {}, of {}", package.zip.digest(), package.origin())
            }
            None => format!("{platform}: not in this run"),
        });
        expected.push(match theirs {
            Some(digest) => format!("{platform}: SHA-256 {digest}"),
            None => format!("{platform}: not published there"),
        });
    }
    if found.is_empty() { Ok(()) } else { Err((found.join("\n"), expected.join("\n"))) }
}
