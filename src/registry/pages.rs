//! The keys of pages: HTML for people, beside the registry's documents, which are for clients.
//!
//! ```text
//! index.html                                     all providers
//! providers/assets/D.css, D.js                   what the pages load; D = first 16 hex digits of the file's SHA-256
//! providers/NS/TYPE/index.html                   a provider
//! providers/NS/TYPE/docs.html                    its documentation's pages, by version
//! providers/NS/TYPE/releases.atom                its feed
//! providers/NS/TYPE/VERSION/index.html           a version
//! providers/NS/TYPE/VERSION/docs/PATH            its documentation
//! ```

use std::fmt;
use std::str::FromStr;

use super::layout::NotAKey;
use crate::content::ShortDigest;
use crate::provider::{Provider, ReleaseId};

/// A page, or a file that pages load.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PageKey {
    /// The page of all providers.
    Registry,
    /// A file that all pages load. Its name has its digest, so pages of different releases of tfreg may stand side by side.
    Asset {
        /// The digest of its contents.
        digest: ShortDigest,
        /// Its kind.
        kind: AssetKind,
    },
    /// The page of a provider.
    Provider {
        /// The provider.
        provider: Provider,
    },
    /// The page that lists the pages of a provider's documentation, and the versions that have each.
    DocsVersions {
        /// The provider.
        provider: Provider,
    },
    /// The feed of a provider's releases.
    Feed {
        /// The provider.
        provider: Provider,
    },
    /// The page of a version.
    Release {
        /// The release.
        release: ReleaseId,
    },
    /// A file of a version's documentation.
    Docs {
        /// The release.
        release: ReleaseId,
        /// The file's path in the documentation.
        path: DocsPath,
    },
}

/// The kind of a file that pages load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssetKind {
    /// A stylesheet.
    Style,
    /// A script.
    Script,
}

/// The path of a file of a version's documentation: one to four names with slashes between them, each of ASCII letters,
/// digits, `.`, `_` and `-`, not beginning with a dot; the last one ends in `.html` or is an image's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocsPath(String);

/// The types of a documentation's files, by their extension. No SVG: a browser that opens one runs its scripts.
const TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
];
/// The most names in a path.
const MAX_NAMES: usize = 4;
/// The longest name, as file systems have it, with room to spare.
const MAX_NAME: usize = 120;

impl DocsPath {
    /// The path's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names of the path.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The content type by the extension.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        let found = TYPES.iter().find(|(extension, _)| self.0.rsplit('.').next() == Some(extension));
        found.map_or("application/octet-stream", |(_, name)| name)
    }

    /// Whether it is an image.
    #[must_use]
    pub fn is_image(&self) -> bool {
        self.content_type().starts_with("image/")
    }
}

impl FromStr for DocsPath {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name.len() <= MAX_NAME
                && !name.starts_with('.')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        let extension = text.rsplit_once('.').map(|(_, extension)| extension);
        let is_known = TYPES.iter().any(|(known, _)| extension == Some(known));
        if is_known && text.split('/').count() <= MAX_NAMES && text.split('/').all(is_name) {
            return Ok(Self(text.to_owned()));
        }
        Err(NotAKey)
    }
}

impl fmt::Display for DocsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AssetKind {
    fn extension(self) -> &'static str {
        match self {
            Self::Style => "css",
            Self::Script => "js",
        }
    }
}

impl PageKey {
    /// The content type that browsers get.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Registry | Self::Provider { .. } | Self::DocsVersions { .. } | Self::Release { .. } => {
                "text/html; charset=utf-8"
            }
            Self::Asset { kind: AssetKind::Style, .. } => "text/css; charset=utf-8",
            Self::Asset { kind: AssetKind::Script, .. } => "text/javascript; charset=utf-8",
            Self::Feed { .. } => "application/atom+xml; charset=utf-8",
            Self::Docs { path, .. } => path.content_type(),
        }
    }

    /// The relative link from this page to another object of the registry.
    #[must_use]
    pub fn link_to(&self, other: &impl fmt::Display) -> String {
        let (from, to) = (self.to_string(), other.to_string());
        let folders: Vec<&str> = from.split('/').collect();
        let folders = &folders[..folders.len() - 1];
        let parts: Vec<&str> = to.split('/').collect();
        let common = folders.iter().zip(&parts[..parts.len() - 1]).take_while(|(a, b)| a == b).count();
        format!("{}{}", "../".repeat(folders.len() - common), parts[common..].join("/"))
    }
}

impl fmt::Display for PageKey {
    /// The key, without the target's prefix and without a leading slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry => f.write_str("index.html"),
            Self::Asset { digest, kind } => write!(f, "providers/assets/{digest}.{}", kind.extension()),
            Self::Provider { provider } => write!(f, "providers/{provider}/index.html"),
            Self::DocsVersions { provider } => write!(f, "providers/{provider}/docs.html"),
            Self::Feed { provider } => write!(f, "providers/{provider}/releases.atom"),
            Self::Release { release: ReleaseId { provider, version } } => {
                write!(f, "providers/{provider}/{version}/index.html")
            }
            Self::Docs { release: ReleaseId { provider, version }, path } => {
                write!(f, "providers/{provider}/{version}/docs/{path}")
            }
        }
    }
}

impl FromStr for PageKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let parts: Vec<&str> = text.split('/').collect();
        let provider = |namespace: &str, provider_type: &str| -> Result<Provider, NotAKey> {
            Ok(Provider { namespace: namespace.parse()?, provider_type: provider_type.parse()? })
        };
        Ok(match parts.as_slice() {
            ["index.html"] => Self::Registry,
            ["providers", "assets", name] => {
                let (digest, extension) = name.split_once('.').ok_or(NotAKey)?;
                let kinds = [AssetKind::Style, AssetKind::Script];
                let kind = kinds.into_iter().find(|kind| kind.extension() == extension).ok_or(NotAKey)?;
                Self::Asset { digest: digest.parse().map_err(|_| NotAKey)?, kind }
            }
            ["providers", ns, ty, "index.html"] => Self::Provider { provider: provider(ns, ty)? },
            ["providers", ns, ty, "docs.html"] => Self::DocsVersions { provider: provider(ns, ty)? },
            ["providers", ns, ty, "releases.atom"] => Self::Feed { provider: provider(ns, ty)? },
            ["providers", ns, ty, version, "index.html"] => Self::Release {
                release: ReleaseId { provider: provider(ns, ty)?, version: version.parse()? },
            },
            ["providers", ns, ty, version, "docs", path @ ..] => Self::Docs {
                release: ReleaseId { provider: provider(ns, ty)?, version: version.parse()? },
                path: path.join("/").parse()?,
            },
            _ => return Err(NotAKey),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str); 9] = [
        ("index.html", "text/html; charset=utf-8"),
        ("providers/assets/ba7816bf8f01cfea.css", "text/css; charset=utf-8"),
        ("providers/assets/ba7816bf8f01cfea.js", "text/javascript; charset=utf-8"),
        ("providers/acme/my-x/index.html", "text/html; charset=utf-8"),
        ("providers/acme/my-x/docs.html", "text/html; charset=utf-8"),
        ("providers/acme/my-x/releases.atom", "application/atom+xml; charset=utf-8"),
        ("providers/acme/my-x/1.2.3-rc.1/index.html", "text/html; charset=utf-8"),
        ("providers/acme/my-x/1.2.3-rc.1/docs/resources/thing.html", "text/html; charset=utf-8"),
        ("providers/acme/my-x/1.2.3-rc.1/docs/images/a_b.png", "image/png"),
    ];

    #[test]
    fn keys_are_written_and_read() {
        for (text, content_type) in KEYS {
            let key: PageKey = text.parse().unwrap();
            assert_eq!((key.to_string().as_str(), key.content_type()), (text, content_type));
        }
    }

    #[test]
    fn other_names_are_no_keys() {
        for bad in [
            "",
            "/index.html",
            "index.htm",
            "providers/index.html",
            "providers/assets/ba7816bf8f01cfea.svg",
            "providers/assets/x.css",
            "providers/acme/x/v1.0.0/index.html",
            "providers/acme/x/1.0.0/docs/",
            "providers/acme/x/1.0.0/docs/../index.html",
            "providers/acme/x/1.0.0/docs/.hidden.html",
            "providers/acme/x/1.0.0/docs/a//b.html",
            "providers/acme/x/1.0.0/docs/a.svg",
            "providers/acme/x/1.0.0/docs/a b.html",
            "providers/acme/x/1.0.0/docs/a/b/c/d/e.html",
        ] {
            assert_eq!(bad.parse::<PageKey>(), Err(NotAKey), "{bad}");
        }
    }

    #[test]
    fn links_between_pages_are_relative() {
        let link = |from: &str, to: &str| from.parse::<PageKey>().unwrap().link_to(&to);
        let document = "providers/acme/x/1.0.0/docs/resources/a.html";
        assert_eq!(link("index.html", "providers/acme/x/index.html"), "providers/acme/x/index.html");
        assert_eq!(link("providers/acme/x/index.html", "index.html"), "../../../index.html");
        assert_eq!(link("providers/acme/x/index.html", "providers/acme/x/docs.html"), "docs.html");
        assert_eq!(link(document, document), "a.html");
        assert_eq!(link(document, "providers/acme/x/1.0.0/docs/index.html"), "../index.html");
        assert_eq!(link(document, "providers/acme/x/docs.html"), "../../../docs.html");
        assert_eq!(
            link("providers/acme/x/1.0.0/index.html", "store/acme/x/1.0.0/d/z.zip"),
            "../../../../store/acme/x/1.0.0/d/z.zip"
        );
    }
}
