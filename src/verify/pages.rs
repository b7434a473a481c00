//! The pages for people: there, saying what the documents say, and without links that lead to nothing.
//!
//! What a page must say is computed as a publish computes it, from what is read here. Rendered documentation cannot be made
//! again, because its sources are not in the registry: of it the links are followed.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::error::{Error, Result};
use crate::pages;
use crate::plan::pages::{current, site};
use crate::plan::{Action, Observation, Observed, Plan, Step};
use crate::provider::{Provider, Version};
use crate::reader::Reply;
use crate::registry::pages::PageKey;
use crate::registry::{Key, Settings};
use crate::store::{Document, Revision};
use crate::worker;

use super::finding::{Finding, Group, Rule, Severity, rules};
use super::scope::Depth;
use super::site::{DOCUMENT, RegistryView, Seen};

rules! { Pages:
    MISSING = "page-missing", Warning,
        "a page is not there",
        "people who follow a link to it, or type its address, see an error",
        "`tfreg reindex TARGET --all` writes the pages anew; those of a documentation come with a publish that has --docs";
    OUTDATED = "page-outdated", Warning,
        "a page is not what this tfreg would write from the documents",
        "people may read of another newest version, of other checksums or of another key than clients get",
        "`tfreg reindex TARGET --all` writes the pages anew";
    FOREIGN = "page-foreign", Error,
        "there is something else than a page of tfreg at the place of a page",
        "the next publish is refused, because it would overwrite what is not its own",
        "move that object to another key, or turn pages off by `tfreg init TARGET --pages=false`";
    LINK = "page-link", Warning,
        "a link of a page leads to nothing",
        "people who follow it see an error",
        "publish the version again with its --docs; `tfreg reindex TARGET --all` writes all other pages anew";
}

/// Checks the pages of a provider, of one of its versions if one is named; gives their number too.
pub(super) async fn check(
    view: &RegistryView<'_>,
    settings: &Settings,
    (provider, version): (&Provider, Option<&Version>),
    depth: Depth,
    reads: usize,
) -> Result<(u64, Vec<Finding>)> {
    let Some(site) = site(settings) else { return Ok((0, Vec::new())) };
    let mut seen = Observation::default();
    loop {
        let step = worker::compute(|| current(provider, version, &site, &seen));
        match step {
            Ok(Step::Read(missing)) => {
                let keys = missing.into_iter().map(|(key, _)| key);
                let mut keys: Vec<Key> = keys.filter(|key| !seen.objects.contains_key(key)).collect();
                keys.sort();
                for (key, found) in read(view, keys, reads).await? {
                    seen.objects.insert(key, found);
                }
            }
            Ok(Step::Ready(plan)) => return judge(view, &plan, &seen, depth, reads).await,
            // Nothing else follows from pages.
            Ok(_) => return Ok((0, Vec::new())),
            // What is wrong with a document is found by the rules for documents.
            Err(refusal) => {
                let page = refusal.subject.parse::<PageKey>().ok();
                let finding = page.map(|page| {
                    let subject = view.name(&view.url(&Key::Page(page)));
                    FOREIGN.at(subject).found(refusal.found).expected(refusal.expected)
                });
                return Ok((1, finding.into_iter().collect()));
            }
        }
    }
}

/// Reads objects that were not read for clients' sake already; what is answered otherwise is taken as absent, as people see
/// it.
async fn read(view: &RegistryView<'_>, keys: Vec<Key>, reads: usize) -> Result<Vec<(Key, Observed)>> {
    let reading = stream::iter(keys.into_iter().map(|key| async move {
        let seen = match view.take_kept(&key) {
            Some(kept) => kept,
            None => match view.document(&view.url(&key), DOCUMENT).await? {
                Reply::Found(fetched) => Seen::Document(fetched.bytes),
                _ => Seen::Absent,
            },
        };
        Ok(match seen {
            Seen::Document(bytes) => {
                (key, Observed::Document(Document { bytes, revision: Revision(String::new()) }))
            }
            Seen::Absent => (key, Observed::Absent),
        })
    }));
    reading.buffer_unordered(reads).try_collect().await
}

async fn judge(
    view: &RegistryView<'_>,
    plan: &Plan,
    seen: &Observation,
    depth: Depth,
    reads: usize,
) -> Result<(u64, Vec<Finding>)> {
    let mut findings = Vec::new();
    let mut followed: BTreeMap<Key, BTreeSet<String>> = BTreeMap::new();
    for write in plan.writes() {
        let subject = || view.name(&view.url(&write.key));
        match &write.action {
            Action::Create => findings.push(MISSING.at(subject()).found("nothing").expected("a page")),
            Action::Replace { .. } => {
                findings.push(OUTDATED.at(subject()).found("other contents").expected(format!(
                    "{} bytes, SHA-256 {}",
                    write.body.len(),
                    write.body.digest()
                )));
            }
            Action::Keep => {}
        }
        if let Some(document) = seen.document(&write.key) {
            follow(&write.key, &document.bytes, &mut followed);
        }
    }
    // Pages of documentation lead to each other; without --quick each is read.
    let mut known: BTreeSet<Key> = plan.writes().iter().map(|write| write.key.clone()).collect();
    loop {
        let next: Vec<Key> = followed.keys().filter(|key| known.insert((*key).clone())).cloned().collect();
        if next.is_empty() {
            break;
        }
        let found = if depth == Depth::Full {
            read(view, next, reads).await?
        } else {
            ask(view, next, reads).await?
        };
        for (key, found) in found {
            match found {
                Observed::Absent => {
                    let from = followed.get(&key).and_then(|from| from.first()).cloned().unwrap_or_default();
                    let subject = view.name(&view.url(&key));
                    findings.push(
                        LINK.at(from)
                            .found(format!("a link to {subject}, which is not there"))
                            .expected("a page"),
                    );
                }
                Observed::Document(document) => follow(&key, &document.bytes, &mut followed),
                Observed::Summary(_) | Observed::Zip(_) => {}
            }
        }
    }
    Ok((known.len() as u64, findings))
}

/// Whether objects are there, without their contents.
async fn ask(view: &RegistryView<'_>, keys: Vec<Key>, reads: usize) -> Result<Vec<(Key, Observed)>> {
    let asking = stream::iter(keys.into_iter().map(|key| async move {
        let is_there = matches!(view.head(&view.url(&key)).await?, Reply::Found(_));
        Ok::<_, Error>((!is_there).then_some((key, Observed::Absent)))
    }));
    let asked: Vec<Option<_>> = asking.buffer_unordered(reads).try_collect().await?;
    Ok(asked.into_iter().flatten().collect())
}

/// Adds the pages to which a page links, each with the page that links to it. Whether the objects of documents are there is
/// found by the rules for documents.
fn follow(key: &Key, bytes: &[u8], followed: &mut BTreeMap<Key, BTreeSet<String>>) {
    let Key::Page(page) = key else { return };
    if !page.content_type().starts_with("text/html") {
        return;
    }
    for target in pages::links(page, &String::from_utf8_lossy(bytes)) {
        if let Ok(target @ Key::Page(_)) = target.parse::<Key>() {
            followed.entry(target).or_default().insert(key.to_string());
        }
    }
}
