//! The registry's settings, and the links of all its documents as a whole.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::error::Result;
use crate::reader::Reply;
use crate::registry::{BaseUrl, Key, Settings};
use crate::words::count;

use super::finding::{Finding, Group, Rule, Severity, rules};
use super::site::{self, RegistryView};

rules! { Documents:
    SETTINGS = "settings-json", Error,
        "the registry's settings cannot be understood",
        "every publish, and every other command that changes the registry, is refused",
        "correct registry/settings.json by hand";
    /// Source: the code of these programs; Terraform and OpenTofu resolve links against the document's address.
    RELATIVE = "links-relative", Warning,
        "links of download documents begin at the host's root",
        "Renovate, Terragrunt before 1.0, tfupdate and pull-through mirrors take them as they stand, and fail",
        "say where clients reach the registry by `tfreg init TARGET --base-url URL`, and move what is published by `tfreg reindex \
         TARGET --all`";
    ELSEWHERE = "links-elsewhere", Warning,
        "links of download documents do not begin with the address in the registry's settings",
        "some clients get them from another place than others, or not at all",
        "`tfreg reindex TARGET --all` brings all documents in line with the settings";
}

/// The texts with which the links of documents begin, each with the number of documents and the name of one of them.
#[derive(Debug, Default)]
pub(super) struct LinkBases(BTreeMap<String, (usize, String)>);

impl LinkBases {
    /// Adds documents whose links begin so.
    pub(super) fn add(&mut self, base: String, documents: usize, subject: String) {
        match self.0.entry(base) {
            Entry::Vacant(new) => drop(new.insert((documents, subject))),
            Entry::Occupied(mut known) => {
                let (all, first) = known.get_mut();
                *all += documents;
                if subject < *first {
                    *first = subject;
                }
            }
        }
    }

    /// Adds those of others.
    pub(super) fn extend(&mut self, others: Self) {
        others.0.into_iter().for_each(|(base, (documents, subject))| self.add(base, documents, subject));
    }
}

/// Reads the settings; none if the registry has none, or a host does not show them.
pub(super) async fn settings(site: &RegistryView<'_>) -> Result<(Option<Finding>, Option<Settings>)> {
    let url = site.url(&Key::Settings);
    let Reply::Found(document) = site.document(&url, site::DOCUMENT).await? else { return Ok((None, None)) };
    Ok(match Settings::parse(&document.bytes) {
        Ok(settings) => (None, Some(settings)),
        Err(refusal) => {
            let finding = SETTINGS.at(site.name(&url)).found(refusal.found).expected(refusal.expected);
            (Some(finding), None)
        }
    })
}

/// Checks the links of all documents. A preview maps the address in the settings to its own, so that of `site` is right too.
pub(super) fn check(site: &RegistryView<'_>, settings: Option<&Settings>, bases: &LinkBases) -> Vec<Finding> {
    let wanted = settings.and_then(Settings::base_url).map(BaseUrl::as_str);
    let own = site.store().is_none().then(|| site.host().as_str());
    let finding = |(base, (documents, subject)): (&String, &(usize, String))| {
        let rule = match wanted {
            Some(wanted) if base == wanted || own == Some(base) => return None,
            Some(_) => &ELSEWHERE,
            None if base.contains("://") => return None,
            None => &RELATIVE,
        };
        let (documents, verb) = (count(*documents, "document"), if *documents == 1 { "has" } else { "have" });
        let found = format!("{documents} {verb} links that begin with {base:?}");
        Some(rule.at(subject).found(found).expected(wanted.unwrap_or("links such as https://HOST/store/…")))
    };
    bases.0.iter().filter_map(finding).collect()
}
