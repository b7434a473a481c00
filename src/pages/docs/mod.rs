//! A provider's own documentation: Markdown in the layout that Terraform's and OpenTofu's public registries define
//! (<https://developer.hashicorp.com/terraform/registry/providers/docs>), rendered as pages of one version.
//!
//! The files are whoever's who built the release, so nothing in them is trusted: what a page shows is what the sanitizer
//! lets through, its links lead to pages of the same documentation or to web addresses, its images are files of the same
//! folder, and each file and the whole have limits.

mod front_matter;
mod layout;
mod links;
mod markdown;
mod navigation;
pub mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use askama::Template;
use bytes::Bytes;

use super::frame::{Frame, rendered};
use crate::error::Refusal;
use crate::provider::{Provider, ReleaseId, Version};
use crate::registry::pages::{DocsPath, PageKey};
use front_matter::FrontMatter;
pub use layout::{Place, place};
use links::{Resolver, Targets};
use markdown::{Heading, Text};
use navigation::{Navigation, ShownGroup};

/// The most files of a documentation.
pub const MAX_FILES: usize = 10_000;
/// The longest page, in bytes.
pub const MAX_PAGE: u64 = 512 * 1024;
/// The longest image, in bytes.
pub const MAX_IMAGE: u64 = 4 * 1024 * 1024;
/// The most bytes of all files.
pub const MAX_TOTAL: u64 = 128 * 1024 * 1024;

/// The start page's name.
const INDEX: &str = "index";

/// A version's documentation, rendered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Documentation {
    /// Its pages and images.
    pub files: BTreeMap<DocsPath, Vec<u8>>,
    /// The names of its pages: `index`, `resources/thing`.
    pub names: BTreeSet<String>,
}

#[derive(Template)]
#[template(path = "document.html")]
struct Page {
    frame: Frame,
    name: String,
    version: String,
    /// The same page in other versions.
    switch: String,
    /// The heading that the text begins with, as safe HTML.
    title: Option<String>,
    /// The heading of a text without one.
    heading: Option<String>,
    toc: Vec<Heading>,
    body: String,
    groups: Vec<ShownGroup>,
}

/// A page's source.
struct Source {
    matter: FrontMatter,
    text: String,
}

/// The key of the start page of a version's documentation.
#[must_use]
pub fn home(provider: &Provider, version: &Version) -> PageKey {
    let release = ReleaseId::new(provider, version);
    // `index.html` is such a path.
    page_path(INDEX).map_or_else(
        || PageKey::Release { release: release.clone() },
        |path| PageKey::Docs { release: release.clone(), path },
    )
}

fn page_path(name: &str) -> Option<DocsPath> {
    format!("{name}.html").parse().ok()
}

/// Renders the documentation of a release from its files, by their paths in the folder, with slashes. The pages say nothing
/// of the registry but the provider and its version, so they stay right when its settings change.
///
/// # Errors
/// The files exceed a limit, two of them are the same page, or one is not what its name says.
pub fn render(release: &ReleaseId, files: &BTreeMap<String, Bytes>) -> Result<Documentation, Refusal> {
    check_limits(files)?;
    let mut sources: BTreeMap<String, Source> = BTreeMap::new();
    let mut images: BTreeMap<DocsPath, &Bytes> = BTreeMap::new();
    for (path, bytes) in files {
        match place(path)? {
            Place::Page(name) => {
                let source = Source::read(path, bytes)?;
                if sources.insert(name.clone(), source).is_some() {
                    return Err(Refusal::new(path, "two files are the same page of the documentation")
                        .found(format!("another file for {name:?}"))
                        .expected("one file a page")
                        .remedy("remove one of the two"));
                }
            }
            Place::Image(image) => {
                check_image(path, bytes)?;
                images.insert(image, bytes);
            }
            Place::Other => {}
        }
    }
    if sources.is_empty() {
        return Err(Refusal::new("the documentation", "there is no page in the folder")
            .found(format!("{} files, none of which is a page", files.len()))
            .expected("index.md, or Markdown in resources/, data-sources/, functions/, guides/, …")
            .remedy("give the folder that holds index.md, such as docs/ or website/docs/"));
    }
    let start = Source { matter: FrontMatter::default(), text: String::new() };
    sources.entry(INDEX.to_owned()).or_insert(start);
    let names: BTreeSet<String> = sources.keys().cloned().collect();
    let matters = sources.iter().map(|(name, source)| (name.as_str(), &source.matter));
    let navigation = Navigation::new(release.provider.provider_type.as_str(), matters);
    let targets = Arc::new(Targets { names: names.clone(), images: images.keys().cloned().collect() });
    let mut documentation = Documentation { files: BTreeMap::new(), names };
    for (name, source) in &sources {
        let resolver = Arc::new(Resolver::new(name, &targets));
        let text = markdown::render(name, &source.text, &resolver)?;
        for image in resolver.used() {
            if let Some(bytes) = images.get(&image) {
                documentation.files.insert(image, bytes.to_vec());
            }
        }
        let (path, page) = page(release, name, source, text, &navigation)?;
        documentation.files.insert(path, page);
    }
    Ok(documentation)
}

fn page(
    release: &ReleaseId,
    name: &str,
    source: &Source,
    text: Text,
    navigation: &Navigation,
) -> Result<(DocsPath, Vec<u8>), Refusal> {
    let ReleaseId { provider, version } = release;
    let path = page_path(name).ok_or_else(|| layout::bad_name(name))?;
    let key = PageKey::Docs { release: release.clone(), path: path.clone() };
    let title = navigation.title(name).unwrap_or(name).to_owned();
    let release_key = PageKey::Release { release: release.clone() };
    let version_text = version.to_string();
    let home = home(provider, version);
    let mut crumbs: Vec<(&str, &PageKey)> = vec![(&version_text, &release_key), ("Documentation", &home)];
    if home != key {
        crumbs.push((&title, &key));
    }
    let others = PageKey::DocsVersions { provider: provider.clone() };
    let heading =
        if text.has_title { None } else { source.matter.page_title.clone().or(Some(title.clone())) };
    let frame = Frame::of_provider(None, &key, provider, &crumbs);
    let page = Page {
        frame: Frame { description: source.matter.description.clone(), ..frame },
        name: provider.to_string(),
        version: version.to_string(),
        switch: format!("{}#{name}", key.link_to(&others)),
        title: text.title,
        heading,
        toc: text.headings,
        body: text.html,
        groups: navigation.shown(name),
    };
    let bytes = rendered(&key, &page)?;
    Ok((path, bytes))
}

impl Source {
    fn read(path: &str, bytes: &Bytes) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Refusal::new(path, "a page of the documentation is not text")
                .found(format!("{error}"))
                .expected("Markdown in UTF-8")
                .remedy("save the file as UTF-8")
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (matter, rest) = front_matter::split(path, text)?;
        Ok(Self { matter, text: rest.to_owned() })
    }
}

fn check_limits(files: &BTreeMap<String, Bytes>) -> Result<(), Refusal> {
    let total: u64 = files.values().map(|bytes| bytes.len() as u64).sum();
    let limit = if files.len() > MAX_FILES {
        Some((format!("{} files", files.len()), format!("at most {MAX_FILES}")))
    } else if total > MAX_TOTAL {
        Some((format!("{total} bytes"), format!("at most {MAX_TOTAL}")))
    } else {
        None
    };
    if let Some((found, expected)) = limit {
        return Err(Refusal::new("the documentation", "it is too large")
            .found(found)
            .expected(expected)
            .remedy("leave out what is not documentation"));
    }
    for (path, bytes) in files {
        let is_image = matches!(place(path)?, Place::Image(_));
        let most = if is_image { MAX_IMAGE } else { MAX_PAGE };
        if bytes.len() as u64 > most && !matches!(place(path)?, Place::Other) {
            return Err(Refusal::new(path, "a file of the documentation is too large")
                .found(format!("{} bytes", bytes.len()))
                .expected(format!("at most {most}"))
                .remedy("split the page, or make the image smaller"));
        }
    }
    Ok(())
}

/// An image must be what its name says, because browsers get its type by its name.
fn check_image(path: &str, bytes: &[u8]) -> Result<(), Refusal> {
    let extension = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let is = match extension.as_str() {
        "png" => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
        "jpg" | "jpeg" => bytes.starts_with(b"\xff\xd8\xff"),
        "gif" => bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a"),
        "webp" => bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP"),
        _ => false,
    };
    if is {
        return Ok(());
    }
    Err(Refusal::new(path, "an image of the documentation is not what its name says")
        .found(format!("{} bytes that do not begin as a {extension} file does", bytes.len()))
        .expected(format!("a {extension} file"))
        .remedy("give the file the extension of its format, or remove it"))
}

#[cfg(test)]
mod tests;
