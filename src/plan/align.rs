//! Bringing every document of the registry in line with its settings: documents that were published before the settings
//! changed, and the discovery document.
//!
//! Whatever documents depend on the settings is made anew here, by the same pure functions as in a publish. What clients
//! choose from stays: no version is listed or taken out, and no object of `store/` is touched. A document is replaced only
//! if it has not changed since it was read, so a publish at the same time loses nothing; and that publish sees the new
//! settings in its last observation.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, ConditionCheck, Goal, Observation, Plan, ReadKind, Step, Write, keep, names, replace};
use crate::content::Sealed;
use crate::error::Refusal;
use crate::provider::ReleaseId;
use crate::registry::{DownloadDocument, Folder, Key, Links, Settings, discovery};
use crate::words::count;

/// Brings all documents in line.
#[derive(Debug)]
pub struct Align;

/// What changes in the documents of a version.
#[derive(Default)]
struct Moved {
    documents: usize,
    /// The bases that their links had.
    bases: BTreeSet<String>,
}

impl Goal for Align {
    type RunState = ();

    fn next(&self, seen: &Observation, (): &mut ()) -> Result<Step, Refusal> {
        if let Some(step) = seen.missing([(Key::Discovery, ReadKind::Read)]) {
            return Ok(step);
        }
        let folder = Folder::registry();
        let Some(listing) = seen.folders.get(&folder) else { return Ok(Step::List(folder)) };
        let keys: Vec<Key> = listing.iter().filter_map(|listed| listed.key.parse().ok()).collect();
        let documents: Vec<&Key> = keys.iter().filter(|key| matches!(key, Key::Download { .. })).collect();
        if let Some(step) = seen.missing(documents.iter().map(|key| ((*key).clone(), ReadKind::Read))) {
            return Ok(step);
        }
        if documents.is_empty() && seen.document(&Key::Discovery).is_none() {
            return Err(Refusal::new(folder, "nothing is published here")
                .found("no download document, and no discovery document")
                .expected("a registry to which something was published")
                .remedy("check the target; what is published from now on is in line with the settings"));
        }
        let mut plan = Plan::default();
        // Without settings every publish decides by its own flags, and there is nothing to be in line with.
        let links = seen.settings().map(Settings::links);
        if links.is_none() {
            plan.warnings.push(
                "the registry has no settings, so links stay as they are; `tfreg init TARGET --base-url URL` says where \
                 clients reach it"
                    .to_owned(),
            );
        }
        let mut moved: BTreeMap<&ReleaseId, Moved> = BTreeMap::new();
        for key in documents {
            let (Key::Download { release, platform }, Some(read)) = (key, seen.document(key)) else {
                continue;
            };
            let document = DownloadDocument::parse(key, platform, &read.bytes)?;
            let wanted = aligned(&document, links.as_ref(), &mut plan);
            if wanted == document {
                plan.writes.push(keep(key.clone(), &read.bytes));
                continue;
            }
            let moved = moved.entry(release).or_default();
            moved.documents += 1;
            moved.bases.extend(document.link_bases().map(str::to_owned));
            plan.writes.push(replace(key.clone(), read, wanted.to_bytes()));
        }
        if let Some(links) = &links {
            for (ReleaseId { provider, version }, Moved { documents, bases }) in moved {
                let (from, to) = (names(bases), links.base());
                let documents = count(documents, "document");
                plan.changes.push(format!("~ {provider} {version}: links of {documents}: {from} -> {to}"));
            }
            align_discovery(links, seen, &mut plan)?;
        }
        plan.condition_check = condition_check(seen, &plan);
        Ok(Step::Ready(Box::new(plan)))
    }

    fn written(&self, _: &Key, (): &mut ()) {}

    fn indexed(&self) -> &'static str {
        "The index was not changed by this run."
    }
}

/// The document as it has to be: a further member that is derived from the settings, or from other documents of the version,
/// is set here. Files that are derived from a provider's index are writes of their own in [`Align::next`], behind the
/// documents.
fn aligned(document: &DownloadDocument, links: Option<&Links>, plan: &mut Plan) -> DownloadDocument {
    let Some(links) = links else { return document.clone() };
    for link in document.foreign_links() {
        let key = document.key();
        plan.warnings.push(format!("{key}: {link} leads out of the registry; it is left as it is"));
    }
    document.linked(links)
}

fn align_discovery(links: &Links, seen: &Observation, plan: &mut Plan) -> Result<(), Refusal> {
    let key = Key::Discovery;
    let Some(read) = seen.document(&key) else {
        plan.changes.push(format!("+ discovery: {}", links.service()));
        let body = Sealed::from_bytes(discovery::document(links));
        plan.writes.push(Write { key, body, action: Action::Create });
        return Ok(());
    };
    plan.writes.push(match discovery::moved(links, &read.bytes)? {
        None => keep(key, &read.bytes),
        Some((from, bytes)) => {
            plan.changes.push(format!("~ discovery: {from} -> {}", links.service()));
            replace(key, read, bytes)
        }
    });
    Ok(())
}

/// A document that is there.
fn condition_check(seen: &Observation, plan: &Plan) -> Option<ConditionCheck> {
    let is_there = |write: &&Write| seen.document(&write.key).is_some();
    let write = plan.writes.iter().find(is_there)?;
    Some(ConditionCheck::there(&write.key, seen.document(&write.key)?))
}
