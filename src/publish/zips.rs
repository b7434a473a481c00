//! Reads zips that other runs have published, for their hashes.

use std::fs::File;
use std::io;

use futures::stream::TryStreamExt as _;

use crate::content::{Spool, Spooled};
use crate::package::zip_hash;
use crate::plan::ReadZip;
use crate::registry::Key;
use crate::store::{RegistryStore, StoreError};
use crate::worker;

/// How many are read at once: each takes up to some 100 MB on disk, and occupies a core.
pub(super) const AT_ONCE: usize = 2;

/// Reads a zip to its end, for its hashes; `None` only if the store answers that it does not exist.
pub(super) async fn read(store: &RegistryStore, key: &Key) -> Result<Option<ReadZip>, StoreError> {
    let failed = |error| not_kept(store, key, &error);
    let file = tempfile::tempfile().map_err(failed)?;
    tracing::debug!(%key, "reading the zip for its hashes");
    let Some(spooled) = spool(store, key, file).await? else { return Ok(None) };
    let sealed = spooled.seal(None);
    let h1 = worker::compute(|| zip_hash(sealed.reader()));
    Ok(Some(ReadZip { len: sealed.len(), digest: sealed.digest(), h1 }))
}

/// Reads a zip to its end, into `file`; `None` only if the store answers that it does not exist.
///
/// # Errors
/// It cannot be read, or the file cannot be written.
pub async fn spool(store: &RegistryStore, key: &Key, file: File) -> Result<Option<Spooled>, StoreError> {
    let Some(object) = store.open(key).await? else { return Ok(None) };
    let failed = |error| not_kept(store, key, &error);
    let mut spool = Spool::into(file);
    let mut body = object.body;
    while let Some(piece) = body.try_next().await? {
        worker::compute(|| spool.write(&piece)).map_err(failed)?;
    }
    spool.finish().map(Some).map_err(failed)
}

fn not_kept(store: &RegistryStore, key: &Key, error: &io::Error) -> StoreError {
    StoreError {
        doing: format!("cannot read {key} in {}", store.describe()),
        answer: format!("a temporary file cannot be used: {error} (another folder: TMPDIR)"),
        status: None,
        remedy: None,
    }
}
