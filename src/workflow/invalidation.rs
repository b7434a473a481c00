//! What runs after a change where a CDN keeps documents for longer than their readers shall: it is told what has changed.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use url::Url;

use super::{Observer, Repacking};
use crate::cdn::{self, Distribution};
use crate::openpgp::KeyId;
use crate::openpgp::signer::Holder;
use crate::plan::{Plan, Write, settings_check};
use crate::publish;
use crate::registry::pages::PageKey;
use crate::registry::{BaseUrl, Key, Links, Settings, WriteRule};
use crate::release::Release;
use crate::store::OnSent;
use crate::store::access::Access;
use crate::words;

/// What a run has sent and written so far, and the settings that it has read. Its observer keeps it, so it is known of a run that
/// fails or is stopped too.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    sent: BTreeSet<Key>,
    written: BTreeSet<Key>,
    settings: Option<Settings>,
}

impl Ledger {
    fn with<T>(&self, act: impl FnOnce(&mut Entries) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The run has read the settings.
    pub fn settings(&self, settings: Option<&Settings>) {
        self.with(|entries| entries.settings = settings.cloned());
    }

    /// The run is about to send an object.
    pub fn sending(&self, key: &Key) {
        self.with(|entries| entries.sent.insert(key.clone()));
    }

    /// The run has written an object.
    pub fn written(&self, key: &Key) {
        self.with(|entries| entries.written.insert(key.clone()));
    }
}

/// The observer of a run whose ledger is kept.
pub struct Kept<'a, O> {
    /// What is told all.
    pub observer: &'a O,
    /// The ledger.
    pub ledger: &'a Ledger,
}

impl<O: publish::Observer> publish::Observer for Kept<'_, O> {
    fn planned(&self, plan: &Plan) {
        self.observer.planned(plan);
    }

    fn settings(&self, settings: Option<&Settings>) {
        self.ledger.settings(settings);
        self.observer.settings(settings);
    }

    fn sending(&self, write: &Write) -> OnSent {
        self.ledger.sending(&write.key);
        self.observer.sending(write)
    }

    fn written(&self, key: &Key) {
        self.ledger.written(key);
        self.observer.written(key);
    }

    fn waiting(&self, reason: &str) {
        self.observer.waiting(reason);
    }

    fn signing(&self, key: &KeyId, holder: Holder, count: usize) -> Box<dyn Send> {
        self.observer.signing(key, holder, count)
    }
}

impl<O: Observer> Observer for Kept<'_, O> {
    fn warn(&self, text: &str) {
        self.observer.warn(text);
    }

    fn note(&self, text: &str) {
        self.observer.note(text);
    }

    fn fetching(&self, count: usize, bytes: u64) -> Box<dyn Fn(u64) + Send + Sync> {
        self.observer.fetching(count, bytes)
    }

    fn repacking(&self, release: &Release, position: (usize, usize)) -> Box<dyn Repacking + '_> {
        self.observer.repacking(release, position)
    }
}

/// The CDN, and the registry behind it.
pub struct Invalidation {
    /// The distribution.
    pub distribution: Distribution,
    /// The account that writes the registry, and may tell the distribution.
    pub access: Access,
    /// Where clients reach a registry without settings.
    pub base_url: Option<BaseUrl>,
}

/// What the CDN was told.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The distribution.
    pub distribution: Distribution,
    /// The paths of what has changed, and others that lead to it; empty if nothing has.
    pub paths: Vec<String>,
    /// How it ended.
    pub end: End,
}

/// How telling the CDN ended.
#[derive(Debug, Clone)]
pub enum End {
    /// No document has changed.
    NotNeeded,
    /// It asks for the paths again.
    Told {
        /// The id of the invalidation.
        id: String,
    },
    /// It could not be told.
    Failed {
        /// Why.
        message: String,
        /// The command of the AWS CLI that tells it.
        command: String,
    },
}

/// How many paths a distribution takes at once ("Quotas on invalidations", CloudFront Developer Guide).
const MAX_PATHS: usize = 3000;

impl Invalidation {
    /// Tells the distribution which of the written objects are documents, whose older copies it may have; what is in `store/` never
    /// changes. Of a run that did not end well (`is_done`) whatever was sent may have been written. A failure is a warning with the
    /// command to run instead: what is in the registry is right, and only copies are late.
    pub async fn run(&self, ledger: &Ledger, is_done: bool, observer: &dyn Observer) -> Outcome {
        let (mut keys, links) = ledger.with(|entries| {
            let keys = if is_done { &entries.written } else { &entries.sent };
            let links = settings_check::links(entries.settings.as_ref(), self.base_url.as_ref());
            (keys.clone(), links)
        });
        keys.retain(|key| key.write_rule() != WriteRule::CreateOnly);
        let distribution = self.distribution.clone();
        if keys.is_empty() {
            return Outcome { distribution, paths: Vec::new(), end: End::NotNeeded };
        }
        let paths = paths(&keys, &base(&links));
        let reference = format!("tfreg-{}", jiff::Timestamp::now().as_nanosecond());
        let count = words::count(keys.len(), "document");
        let end = match cdn::invalidate(&distribution, &paths, &reference, &self.access).await {
            Ok(id) => {
                observer.note(&format!(
                    "The distribution {distribution} asks for {count} again (invalidation {id})"
                ));
                End::Told { id }
            }
            Err(error) => {
                let (message, command) = (error.to_string(), self.command(&paths));
                observer.warn(&format!(
                    "{message}\n  it has older copies of {count} until these expire; what is in the registry is right. To tell it: `{command}`",
                ));
                End::Failed { message, command }
            }
        };
        Outcome { distribution, paths, end }
    }

    fn command(&self, paths: &[String]) -> String {
        let paths: Vec<String> = paths.iter().map(|path| words::quoted(path)).collect();
        format!(
            "aws cloudfront create-invalidation --distribution-id {} --paths {}",
            self.distribution,
            paths.join(" ")
        )
    }
}

/// The path of the registry on its host; ends in a slash.
fn base(links: &Links) -> String {
    Url::parse(links.base()).map_or_else(|_| links.base().to_owned(), |url| url.path().to_owned())
}

/// The paths that lead to documents, sorted. Of too many the folders.
fn paths(keys: &BTreeSet<Key>, base: &str) -> Vec<String> {
    let is_root = base == "/";
    let mut paths: BTreeSet<String> = keys.iter().map(|key| format!("{base}{key}")).collect();
    let (discovery, front) = (Key::Discovery, Key::Page(PageKey::Registry));
    // The root of the host shows one of them, as the distribution's default root object.
    if is_root && (keys.contains(&discovery) || keys.contains(&front)) {
        paths.insert("/".to_owned());
    }
    // Clients ask for it there, wherever the registry is.
    if keys.contains(&discovery) {
        paths.insert(format!("/{discovery}"));
    }
    if paths.len() > MAX_PATHS {
        let folder = |path: String| match path.strip_prefix(base).and_then(|key| key.split_once('/')) {
            Some((folder, _)) => format!("{base}{folder}/*"),
            None => path,
        };
        paths = paths.into_iter().map(folder).collect();
    }
    paths.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: &[&str], base: &str) -> Vec<String> {
        paths(&keys.iter().map(|key| key.parse().unwrap()).collect(), base)
    }

    #[test]
    fn what_leads_to_a_document_is_named() {
        let discovery = ".well-known/terraform.json";
        assert_eq!(of(&["registry/acme/sample/versions"], "/"), ["/registry/acme/sample/versions"]);
        assert_eq!(of(&["index.html"], "/"), ["/", "/index.html"]);
        assert_eq!(of(&[discovery], "/"), ["/", "/.well-known/terraform.json"]);
        assert_eq!(of(&["index.html"], "/tf/"), ["/tf/index.html"]);
        assert_eq!(
            of(&[discovery], "/tf/"),
            ["/.well-known/terraform.json", "/tf/.well-known/terraform.json"]
        );
        let base = "https://registry.example.com/tf/".parse().map(Links::Absolute).unwrap();
        assert_eq!(super::base(&base), "/tf/");
        assert_eq!(super::base(&Links::RootRelative), "/");
    }

    #[test]
    fn of_more_than_a_distribution_takes_the_folders_are_named() {
        let versions = (0..MAX_PATHS).map(|n| format!("registry/acme/sample/1.{n}.0/download/linux/amd64"));
        let mut keys: BTreeSet<Key> = versions.map(|key| key.parse().unwrap()).collect();
        assert_eq!(paths(&keys, "/").len(), MAX_PATHS);
        keys.insert("index.html".parse().unwrap());
        keys.insert("providers/acme/sample/index.html".parse().unwrap());
        assert_eq!(paths(&keys, "/"), ["/", "/index.html", "/providers/*", "/registry/*"]);
        assert_eq!(paths(&keys, "/tf/"), ["/tf/index.html", "/tf/providers/*", "/tf/registry/*"]);
        keys.insert(Key::Discovery);
        assert_eq!(paths(&keys, "/tf/")[..2], ["/.well-known/terraform.json", "/tf/.well-known/*"]);
    }
}
