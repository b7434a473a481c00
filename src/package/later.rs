//! Zips that are checked, given up, and made again when they are written.
//!
//! The zips of a backfill together may be larger than the disk. A zip is a function of its archive, so its digest and
//! hashes, which are all that a plan needs, stay; the zip itself is made anew from the archive, under the same rules, and
//! [`Sealed::at_hand`] refuses another one than was checked.

use std::sync::Arc;

use async_trait::async_trait;

use super::{BuildOptions, Package, package};
use crate::content::{Remake, Sealed};
use crate::error::{Error, Result};
use crate::release::Artifact;

/// The zip of a package, to be made again.
pub(super) fn later(package: &Package, options: &BuildOptions) -> Sealed {
    let remade = Remade { source: Arc::clone(&package.source), options: options.clone() };
    package.zip.later(Arc::new(remade))
}

struct Remade {
    source: Arc<Artifact>,
    options: BuildOptions,
}

impl std::fmt::Debug for Remade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.source.file.display())
    }
}

#[async_trait(?Send)]
impl Remake for Remade {
    async fn remake(&self) -> Result<Sealed> {
        let file = self.source.file.fetched(&|_| {}).await?;
        let artifact = Artifact { file, ..(*self.source).clone() };
        let options = self.options.clone();
        // Uploads that are under way continue on other threads.
        let made = tokio::task::spawn_blocking(move || package(&artifact, &options, &|_| {}));
        let made = made.await.map_err(|error| Error::Io {
            context: format!("cannot make the zip of {} again", self.source.file.display()),
            source: std::io::Error::other(error),
        })?;
        Ok(made?.package.zip)
    }

    fn made_of(&self) -> String {
        self.source.file.display().to_owned()
    }
}
