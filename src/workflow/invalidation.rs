//! What runs after a publish where a CDN keeps documents for longer than their readers shall: it is told what has changed.

use std::collections::BTreeSet;

use url::Url;

use super::Observer;
use super::publish::Outcome;
use super::target::{self, Target};
use crate::cdn::{self, Distribution};
use crate::error::{Error, Result};
use crate::registry::{BaseUrl, Key, Links, Settings, WriteRule};
use crate::store::access::Access;
use crate::words;

/// The CDN, and the registry behind it.
pub struct Invalidation {
    /// The distribution.
    pub distribution: Distribution,
    /// The registry.
    pub target: Target,
    /// The account that writes the registry, and may tell the distribution.
    pub access: Access,
    /// Where clients reach a registry without settings.
    pub base_url: Option<BaseUrl>,
}

/// The objects that a run has written, also one that has failed.
#[must_use]
pub fn written(result: &Result<Outcome>) -> BTreeSet<Key> {
    match result {
        Ok(outcome) => outcome.written().cloned().collect(),
        Err(Error::Unfinished { state, .. }) => {
            state.written.iter().filter_map(|key| key.parse().ok()).collect()
        }
        Err(_) => BTreeSet::new(),
    }
}

impl Invalidation {
    /// Tells the distribution which of the written objects are documents, whose older copies it may have; what is in `store/` never
    /// changes. A failure is a warning with the command to run instead: what is published is right, and only copies are late.
    pub async fn run(&self, written: &BTreeSet<Key>, observer: &dyn Observer) {
        let documents = written.iter().filter(|key| key.write_rule() != WriteRule::CreateOnly);
        let documents: Vec<&Key> = documents.collect();
        if documents.is_empty() {
            return;
        }
        let base = match self.base().await {
            Ok(base) => base,
            Err(error) => {
                return observer.warn(&format!(
                    "the distribution {} was not told what has changed, since the registry's settings could not be read: {error}",
                    self.distribution
                ));
            }
        };
        let paths: Vec<String> = documents.iter().map(|key| format!("{base}{key}")).collect();
        let reference = format!("tfreg-{}", jiff::Timestamp::now().as_nanosecond());
        let count = words::count(paths.len(), "document");
        match cdn::invalidate(&self.distribution, &paths, &reference, &self.access).await {
            Ok(id) => observer.note(&format!(
                "The distribution {} asks for {count} again (invalidation {id})",
                self.distribution
            )),
            Err(error) => observer.warn(&format!(
                "{error}\n  it has older copies of {count} until these expire; what is published is right. To tell it: `{}`",
                self.command(&paths)
            )),
        }
    }

    fn command(&self, paths: &[String]) -> String {
        let paths: Vec<String> = paths.iter().map(|path| words::quoted(path)).collect();
        format!(
            "aws cloudfront create-invalidation --distribution-id {} --paths {}",
            self.distribution,
            paths.join(" ")
        )
    }

    /// The path of the registry on its host; ends in a slash.
    async fn base(&self) -> Result<String> {
        let store = target::open_store(&self.target, None, &self.access).await?;
        let links = match store.get(&Key::Settings).await? {
            Some(read) => Settings::parse(&read.bytes)?.links(),
            None => self.base_url.clone().map(Links::Absolute).unwrap_or_default(),
        };
        Ok(Url::parse(links.base()).map_or_else(|_| links.base().to_owned(), |url| url.path().to_owned()))
    }
}
