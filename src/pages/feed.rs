//! The feed of a provider's releases: Atom, RFC 4287.

use std::io;

use jiff::Timestamp;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::frame::Site;
use super::provider_page::{ListedRelease, ProviderFacts, platforms};
use crate::error::Refusal;
use crate::provider::{ReleaseId, Version};
use crate::registry::pages::PageKey;

/// The most entries of a feed: the newest ones.
const ENTRIES: usize = 50;

struct Entry {
    /// A name that never changes and that no other entry has (RFC 4287, 4.2.6).
    id: String,
    title: String,
    link: String,
    updated: Timestamp,
    summary: String,
}

/// The feed: the newest releases, and yanks. A version of which no date is known is not in it, because an entry must have
/// one.
///
/// # Errors
/// It cannot be made, which is a fault of tfreg.
pub fn feed(site: &Site, facts: &ProviderFacts) -> Result<Vec<u8>, Refusal> {
    let key = PageKey::Feed { provider: facts.provider.clone() };
    written(site, facts, &key).map_err(|error| {
        Refusal::new(&key, "the feed cannot be made")
            .found(error)
            .expected("an Atom feed")
            .remedy("report it to the authors of tfreg; or turn pages off")
    })
}

fn entries(site: &Site, facts: &ProviderFacts) -> Vec<Entry> {
    let provider = &facts.provider;
    let page = site.url(&PageKey::Provider { provider: provider.clone() });
    let of = |(version, listed): (&Version, &ListedRelease)| {
        let own = PageKey::Release { release: ReleaseId::new(provider, version) };
        let link = if facts.made.has(version) { site.url(&own) } else { page.clone() };
        let entry = |kind: &str, title: String, updated: Option<Timestamp>, summary: String| {
            let (id, link) = (format!("{page}#{version}{kind}"), link.clone());
            updated.map(|updated| Entry { id, title, link, updated, summary })
        };
        let prerelease = if version.is_prerelease() { " (pre-release)" } else { "" };
        let platforms = format!("Platforms: {}.", platforms(&listed.platforms));
        let published = entry("", format!("{provider} {version}{prerelease}"), listed.published, platforms);
        let when = listed.yanked.and_then(|yanked| yanked.when);
        let words = "New installations do not get this version.".to_owned();
        let yanked = entry("-yanked", format!("{provider} {version} was yanked"), when, words);
        [published, yanked]
    };
    let mut entries: Vec<Entry> = facts.versions.iter().flat_map(of).flatten().collect();
    entries.sort_by(|a, b| b.updated.cmp(&a.updated).then_with(|| a.id.cmp(&b.id)));
    entries.truncate(ENTRIES);
    entries
}

fn written(site: &Site, facts: &ProviderFacts, key: &PageKey) -> io::Result<Vec<u8>> {
    let entries = entries(site, facts);
    let page = site.url(&PageKey::Provider { provider: facts.provider.clone() });
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
    let feed = writer.create_element("feed").with_attribute(("xmlns", "http://www.w3.org/2005/Atom"));
    feed.write_inner_content(|writer| {
        text(writer, "id", &page)?;
        text(writer, "title", &format!("{}: {}", site.title(), facts.provider))?;
        let updated = entries.first().map_or(Timestamp::UNIX_EPOCH, |entry| entry.updated);
        text(writer, "updated", &updated.to_string())?;
        text(writer, "generator", "tfreg")?;
        link(writer, "self", &site.url(key))?;
        link(writer, "alternate", &page)?;
        writer.create_element("author").write_inner_content(|writer| text(writer, "name", site.title()))?;
        for entry in &entries {
            writer.create_element("entry").write_inner_content(|writer| {
                text(writer, "id", &entry.id)?;
                text(writer, "title", &entry.title)?;
                text(writer, "updated", &entry.updated.to_string())?;
                link(writer, "alternate", &entry.link)?;
                text(writer, "summary", &entry.summary)
            })?;
        }
        Ok(())
    })?;
    let mut bytes = writer.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

fn text(writer: &mut Writer<Vec<u8>>, name: &str, text: &str) -> io::Result<()> {
    // XML 1.0 has no way to write control characters.
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    writer.create_element(name).write_text_content(BytesText::new(&text))?;
    Ok(())
}

fn link(writer: &mut Writer<Vec<u8>>, rel: &str, href: &str) -> io::Result<()> {
    writer
        .create_element("link")
        .with_attribute(("rel", rel))
        .with_attribute(("href", href))
        .write_empty()?;
    Ok(())
}
