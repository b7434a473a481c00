//! Where links and images of a page lead: to pages and images of the same documentation, or to web addresses.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

use super::layout::{page_name, without_extension};
use crate::registry::pages::DocsPath;

/// The folder's address while links are resolved; it is never shown.
const FOLDER: &str = "http://docs.invalid/d/";

/// What there is to link to.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// The pages, by their names.
    pub(super) names: BTreeSet<String>,
    /// The images.
    pub(super) images: BTreeSet<DocsPath>,
}

/// Resolves the links of one page.
pub(super) struct Resolver {
    /// The page's name.
    here: String,
    base: Option<Url>,
    targets: Arc<Targets>,
    used: Mutex<BTreeSet<DocsPath>>,
}

impl Resolver {
    pub(super) fn new(here: &str, targets: &Arc<Targets>) -> Self {
        let base = Url::parse(&format!("{FOLDER}{here}")).ok();
        Self { here: here.to_owned(), base, targets: Arc::clone(targets), used: Mutex::default() }
    }

    /// The images that the page shows or links to.
    pub(super) fn used(&self) -> BTreeSet<DocsPath> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a link becomes; `None` if it leads nowhere that it may lead.
    pub(super) fn link(&self, value: &str) -> Option<String> {
        let value = value.trim();
        if let Some(fragment) = value.strip_prefix('#') {
            return is_fragment(fragment).then(|| format!("#{fragment}"));
        }
        if let Ok(url) = Url::parse(value) {
            return matches!(url.scheme(), "https" | "http" | "mailto").then(|| url.into());
        }
        let url = self.inside(value)?;
        let path = Self::path(&url)?;
        let fragment = url.fragment().filter(|fragment| is_fragment(fragment));
        let fragment = fragment.map_or(String::new(), |fragment| format!("#{fragment}"));
        if let Some(name) = self.page(&path) {
            return Some(format!("{}{name}.html{fragment}", self.up()));
        }
        self.image_at(&path)
    }

    /// What the address of an image becomes; `None` if it is not in the folder.
    pub(super) fn image(&self, value: &str) -> Option<String> {
        if Url::parse(value.trim()).is_ok() {
            return None;
        }
        self.image_at(&Self::path(&self.inside(value.trim())?)?)
    }

    fn image_at(&self, path: &str) -> Option<String> {
        let image: DocsPath = path.parse().ok()?;
        if !self.targets.images.contains(&image) {
            return None;
        }
        let link = format!("{}{image}", self.up());
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(image);
        Some(link)
    }

    /// The address of a relative link, if it names no other host.
    fn inside(&self, value: &str) -> Option<Url> {
        let url = self.base.as_ref()?.join(value).ok()?;
        (url.scheme() == "http" && url.host_str() == Some("docs.invalid") && url.port().is_none())
            .then_some(url)
    }

    /// The path in the folder, also of a link as the older layout writes it: `/docs/providers/NAME/r/thing.html`.
    fn path(url: &Url) -> Option<String> {
        if let Some(path) = url.path().strip_prefix("/d/") {
            return Some(path.to_owned());
        }
        let (_, path) = url.path().strip_prefix("/docs/providers/")?.split_once('/')?;
        Some(path.to_owned())
    }

    fn page(&self, path: &str) -> Option<String> {
        let path = if path.is_empty() { "index" } else { path };
        let path = without_extension(path).or_else(|| path.strip_suffix(".html")).unwrap_or(path);
        page_name(path).filter(|name| self.targets.names.contains(name))
    }

    /// The way from this page's folder to the documentation's.
    fn up(&self) -> &'static str {
        if self.here.contains('/') { "../" } else { "" }
    }
}

fn is_fragment(text: &str) -> bool {
    !text.is_empty() && text.len() <= 200 && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_folder_or_lead_to_the_web() {
        let names = ["index", "resources/thing", "data-sources/thing", "guides/start"];
        let names: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
        let images = BTreeSet::from(["images/a.png".parse().unwrap()]);
        let resolver = Resolver::new("resources/thing", &Arc::new(Targets { names, images }));
        for (value, expected) in [
            ("#argument-reference", Some("#argument-reference")),
            ("../data-sources/thing.md#x", Some("../data-sources/thing.html#x")),
            ("../data-sources/thing", Some("../data-sources/thing.html")),
            ("../d/thing.html", Some("../data-sources/thing.html")),
            ("/docs/providers/sample/r/thing.html", Some("../resources/thing.html")),
            ("thing.html.markdown", Some("../resources/thing.html")),
            ("../index.md", Some("../index.html")),
            ("..", Some("../index.html")),
            ("../images/a.png", Some("../images/a.png")),
            ("https://example.com/a?b=c", Some("https://example.com/a?b=c")),
            ("HTTPS://EXAMPLE.com", Some("https://example.com/")),
            ("mailto:a@example.com", Some("mailto:a@example.com")),
            ("other.md", None),
            ("../../secret.md", None),
            ("%2e%2e/%2e%2e/index.md", None),
            ("/etc/passwd", None),
            ("/index.html", None),
            ("//evil.example/x", None),
            ("\\\\evil.example\\x", None),
            ("javascript:alert(1)", None),
            (" java\nscript:alert(1)", None),
            ("JaVaScRiPt:alert(1)", None),
            ("data:text/html,x", None),
            ("vbscript:x", None),
            ("file:///etc/passwd", None),
            ("# x", None),
        ] {
            assert_eq!(resolver.link(value).as_deref(), expected, "{value:?}");
        }
        assert_eq!(resolver.used().len(), 1);
        assert_eq!(resolver.image("../images/a.png").as_deref(), Some("../images/a.png"));
        for bad in [
            "https://evil.example/a.png",
            "//evil.example/images/a.png",
            "../../images/a.png",
            "data:image/png,x",
        ] {
            assert_eq!(resolver.image(bad), None, "{bad}");
        }
    }
}
