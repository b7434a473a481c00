//! Reads zips that other runs have published, for their hashes.

use std::io::{self, Write as _};

use futures::stream::TryStreamExt as _;

use crate::content::Sealed;
use crate::package::zip_hash;
use crate::plan::ReadZip;
use crate::registry::Key;
use crate::store::{RegistryStore, StoreError};
use crate::worker;

/// How many are read at once: each takes up to some 100 MB on disk, and occupies a core.
pub(super) const AT_ONCE: usize = 2;

/// Reads a zip to its end, into a temporary file; `None` only if the store answers that it does not exist.
pub(super) async fn read(store: &RegistryStore, key: &Key) -> Result<Option<ReadZip>, StoreError> {
    let Some(object) = store.open(key).await? else { return Ok(None) };
    tracing::debug!(%key, "reading the zip for its hashes");
    let failed = |error: io::Error| StoreError {
        doing: format!("cannot read {key} in {}", store.describe()),
        answer: format!("a temporary file cannot be used: {error} (another folder: TMPDIR)"),
        status: None,
        remedy: None,
    };
    let mut file = tempfile::tempfile().map_err(failed)?;
    let mut body = object.body;
    while let Some(piece) = body.try_next().await? {
        worker::compute(|| file.write_all(&piece)).map_err(failed)?;
    }
    let hashed = worker::compute(|| {
        let sealed = Sealed::from_file(file)?;
        let h1 = zip_hash(sealed.reader());
        Ok(ReadZip { len: sealed.len(), digest: sealed.digest(), h1 })
    });
    hashed.map(Some).map_err(failed)
}
