//! The documentation of a version, as a publish brings it along.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::Pages;
use crate::error::Refusal;
use crate::pages::docs::versions::DocsVersions;
use crate::pages::docs::{self, Documentation};
use crate::provider::ReleaseId;
use crate::registry::pages::PageKey;

/// The files of a version's documentation; rendered once a run.
#[derive(Debug)]
pub struct DocsSource {
    /// Its files, or why they cannot be published.
    files: Result<BTreeMap<String, Bytes>, Box<Refusal>>,
    /// Whether the user has asked for it.
    pub is_named: bool,
    rendered: Mutex<Option<(ReleaseId, Arc<Documentation>)>>,
}

/// The documentation that a run brings.
#[derive(Debug)]
pub struct DocsOf<'a> {
    /// The version that it is of.
    pub release: ReleaseId,
    /// Its files.
    pub source: &'a DocsSource,
    /// The pages that this run has written already.
    pub written: &'a BTreeSet<PageKey>,
}

impl DocsSource {
    /// The files, by their paths in the folder, with slashes; those of `--docs`, if it `is_named`. If they are refused, a
    /// registry without pages does not need to know.
    #[must_use]
    pub fn new(files: Result<BTreeMap<String, Bytes>, Box<Refusal>>, is_named: bool) -> Self {
        Self { files, is_named, rendered: Mutex::default() }
    }

    /// The pages of a release.
    ///
    /// # Errors
    /// A file is refused: see [`docs::render`].
    pub fn rendered(&self, release: &ReleaseId) -> Result<Arc<Documentation>, Refusal> {
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, documentation)) = rendered.as_ref().filter(|(of, _)| of == release) {
            return Ok(Arc::clone(documentation));
        }
        let files = self.files.as_ref().map_err(|refusal| Refusal::clone(refusal))?;
        let documentation = Arc::new(docs::render(release, files)?);
        *rendered = Some((release.clone(), Arc::clone(&documentation)));
        Ok(documentation)
    }
}

impl DocsOf<'_> {
    /// Refuses to write a page of the documentation again that another run has changed since: two runs with different
    /// documentation of a version would overwrite each other endlessly.
    pub(super) fn check_overtaken(&self, page: &PageKey) -> Result<(), Refusal> {
        if !self.written.contains(page) {
            return Ok(());
        }
        Err(Refusal::new(page, "overtaken: another run has published other documentation of this version")
            .found("another page than the one that this run has written")
            .expected("the page of this run")
            .remedy("find out which was meant, and publish that one again; let one pipeline give --docs"))
    }
}

impl Pages<'_> {
    /// Adds the pages of a version's documentation.
    pub(super) fn documentation(&mut self, docs: &DocsOf<'_>) -> Result<(), Refusal> {
        let release = &docs.release;
        let documentation = docs.source.rendered(release)?;
        for (path, bytes) in &documentation.files {
            let key = PageKey::Docs { release: release.clone(), path: path.clone() };
            self.view.page_summary(&key);
            self.made.insert(key, bytes.clone());
        }
        let provider = &release.provider;
        let key = PageKey::DocsVersions { provider: provider.clone() };
        let earlier = self.view.page(&key);
        let versions =
            earlier.map(|page| DocsVersions::read(provider, &page)).transpose()?.unwrap_or_default();
        self.made.insert(key, versions.with(&release.version, &documentation.names).page(provider)?);
        Ok(())
    }
}
