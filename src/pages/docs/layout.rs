//! Where a file belongs in the documentation, by its path.

use crate::error::Refusal;
use crate::registry::pages::DocsPath;

/// What a file of the folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A page, by its name: `index`, `resources/thing`.
    Page(String),
    /// An image.
    Image(DocsPath),
    /// Something else, which is left out.
    Other,
}

/// A kind of page: its folder, the older folder of the same (`website/docs/r`), and what one and many are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) folder: &'static str,
    older: &'static str,
    pub(super) one: &'static str,
    pub(super) many: &'static str,
    /// Whether names begin with the provider's type in configurations.
    pub(super) has_prefix: bool,
}

const fn kind(
    folder: &'static str,
    older: &'static str,
    one: &'static str,
    many: &'static str,
    has_prefix: bool,
) -> Kind {
    Kind { folder, older, one, many, has_prefix }
}

/// In the order of the navigation.
pub(super) const KINDS: [Kind; 7] = [
    kind("guides", "guides", "guide", "Guides", false),
    kind("functions", "functions", "function", "Functions", false),
    kind("ephemeral-resources", "ephemeral-resources", "ephemeral resource", "Ephemeral resources", true),
    kind("resources", "r", "resource", "Resources", true),
    kind("list-resources", "list-resources", "list resource", "List resources", true),
    kind("actions", "actions", "action", "Actions", true),
    kind("data-sources", "d", "data source", "Data sources", true),
];

/// The extensions of pages; the longest first.
const EXTENSIONS: [&str; 4] = [".html.markdown", ".html.md", ".markdown", ".md"];

/// The kind of a page by its name; `None` for the start page.
pub(super) fn kind_of(name: &str) -> Option<(&'static Kind, &str)> {
    let (folder, rest) = name.split_once('/')?;
    KINDS.iter().find(|kind| kind.folder == folder).map(|kind| (kind, rest))
}

/// The name of the page that a path without extension stands for; `None` if there cannot be one.
pub(super) fn page_name(path: &str) -> Option<String> {
    if path == "index" {
        return Some(path.to_owned());
    }
    let (folder, name) = path.split_once('/')?;
    let kind = KINDS.iter().find(|kind| kind.folder == folder || kind.older == folder)?;
    (!name.contains('/')).then(|| format!("{}/{name}", kind.folder))
}

/// The path without the extension of a page, if it has one.
pub(super) fn without_extension(path: &str) -> Option<&str> {
    EXTENSIONS.iter().find_map(|extension| path.strip_suffix(extension))
}

/// Where the file at a path, with slashes, belongs.
///
/// # Errors
/// It is a page or an image whose name cannot become a part of a key.
pub fn place(path: &str) -> Result<Place, Refusal> {
    if let Some(name) = without_extension(path).and_then(page_name) {
        return match super::page_path(&name) {
            Some(_) => Ok(Place::Page(name)),
            None => Err(bad_name(path)),
        };
    }
    let extension = path.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
    if !matches!(extension, "png" | "jpg" | "jpeg" | "gif" | "webp") {
        return Ok(Place::Other);
    }
    path.parse().map(Place::Image).map_err(|_| bad_name(path))
}

/// The refusal of a file's name.
pub(super) fn bad_name(path: &str) -> Refusal {
    Refusal::new(path, "the name of a file of the documentation cannot become a part of an address")
        .found(format!("{path:?}"))
        .expected("names of ASCII letters, digits, \".\", \"_\" and \"-\", four in a path at most")
        .remedy("rename the file")
}
