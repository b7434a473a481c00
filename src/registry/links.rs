//! The links in documents: from the host's root, or absolute.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use super::layout::Key;
use crate::provider::InvalidName;

/// The form of the links in documents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Links {
    /// `/store/…`: one tree works on every host, and the tree of a dry run can be served unchanged. Clients resolve
    /// such a link against the document's final URL.
    #[default]
    RootRelative,
    /// `https://HOST/PREFIX/store/…`.
    Absolute(BaseUrl),
}

/// The absolute URL under which a registry's keys are served; ends in a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// The URL, ending in a slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the path has more than its slash: the registry is below a prefix of its host.
    #[must_use]
    pub fn has_path(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| url.path() != "/")
    }

    /// Reads the address of a registry for its settings, which all documents get: as [`FromStr`], and https, or http on a
    /// loopback address (a preview).
    ///
    /// # Errors
    /// The text is not such a URL.
    pub fn of_registry(text: &str) -> Result<Self, InvalidName> {
        let base: Self = text.parse()?;
        let is_loopback = |url: &Url| match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if Url::parse(&base.0).is_ok_and(|url| url.scheme() == "https" || is_loopback(&url)) {
            return Ok(base);
        }
        let rule = "expected https; http is for a loopback address such as http://127.0.0.1:8080/".to_owned();
        Err(InvalidName { what: "base URL", found: text.to_owned(), rule })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid =
            |rule: &str| InvalidName { what: "base URL", found: text.to_owned(), rule: rule.to_owned() };
        let url = Url::parse(text).map_err(|_| invalid("expected https://HOST/ or https://HOST/PREFIX/"))?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
            return Err(invalid("expected https://HOST/ or https://HOST/PREFIX/"));
        }
        if url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(invalid("it may have no user, password, query or fragment"));
        }
        let mut base = url.to_string();
        if !base.ends_with('/') {
            base.push('/');
        }
        Ok(Self(base))
    }
}

impl Links {
    /// The text with which every link begins.
    #[must_use]
    pub fn base(&self) -> &str {
        match self {
            Self::RootRelative => "/",
            Self::Absolute(base) => &base.0,
        }
    }

    /// The link to an object.
    #[must_use]
    pub fn to(&self, key: &Key) -> String {
        format!("{}{key}", self.base())
    }

    /// The address of the provider registry service. Its trailing slash is required: clients do not add one.
    #[must_use]
    pub fn service(&self) -> String {
        format!("{}registry/", self.base())
    }

    /// The object that a link points to, on any host and under any prefix; `None` if the link has no key of a registry.
    #[must_use]
    pub fn target(link: &str) -> Option<Key> {
        Self::split(link).map(|(_, key)| key)
    }

    /// The link to another object, on the host and under the prefix of `link`; `None` if that has no key of a registry.
    #[must_use]
    pub fn beside(link: &str, key: &Key) -> Option<String> {
        Self::split(link).map(|(base, _)| format!("{base}{key}"))
    }

    /// The text with which a link to an object begins; `None` if it has no key of a registry.
    #[must_use]
    pub fn base_of(link: &str) -> Option<&str> {
        Self::split(link).map(|(base, _)| base)
    }

    fn split(link: &str) -> Option<(&str, Key)> {
        let end = link.find(['?', '#']).unwrap_or(link.len());
        link[..end]
            .match_indices('/')
            .find_map(|(at, _)| Some((&link[..=at], link[at + 1..end].parse().ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<Key> {
        let store = "store/acme/my-x/1.2.3-rc.1/ba7816bf8f01cfea/terraform-provider-my-x_1.2.3-rc.1";
        let keys = [
            "registry/settings.json".to_owned(),
            "registry/acme/my-x/versions".to_owned(),
            "registry/acme/my-x/1.2.3-rc.1/download/linux/amd64".to_owned(),
            format!("{store}_linux_amd64.zip"),
            format!("{store}_SHA256SUMS"),
            format!("{store}_SHA256SUMS.0123456789ABCDEF.sig"),
        ];
        keys.iter().map(|key| key.parse().unwrap()).collect()
    }

    #[test]
    fn links_lead_to_keys_and_back() {
        let absolute = |text: &str| Links::Absolute(text.parse().unwrap());
        for (links, start) in [
            (Links::RootRelative, "/"),
            (absolute("https://example.com"), "https://example.com/"),
            (absolute("https://example.com/store/registry"), "https://example.com/store/registry/"),
        ] {
            for key in keys() {
                let link = links.to(&key);
                assert_eq!(link, format!("{start}{key}"));
                assert_eq!(Links::target(&link).as_ref(), Some(&key));
                assert_eq!(Links::beside(&links.to(&Key::Discovery), &key), Some(link));
            }
            assert_eq!(links.service(), format!("{start}registry/"));
        }
        assert_eq!(Links::target("https://elsewhere.example/x.zip"), None);
    }

    #[test]
    fn base_urls_are_checked() {
        for bad in [
            "",
            "example.com",
            "/x/",
            "ftp://h/",
            "https://",
            "https://h/?q",
            "https://h/#f",
            "https://u:p@h/",
        ] {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_address_of_a_registry_is_https_or_this_machine() {
        for (good, written) in [
            ("https://example.com", "https://example.com/"),
            ("https://Example.com:443/tf", "https://example.com/tf/"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
            ("http://[::1]:8080", "http://[::1]:8080/"),
            ("http://localhost:1", "http://localhost:1/"),
        ] {
            assert_eq!(BaseUrl::of_registry(good).unwrap().as_str(), written);
        }
        for bad in
            ["http://example.com/", "http://10.0.0.1/", "http://localhost.example.com/", "https://h/?q", "/"]
        {
            assert!(BaseUrl::of_registry(bad).is_err(), "{bad}");
        }
        assert!(BaseUrl::of_registry("https://h/tf").unwrap().has_path());
        assert!(!BaseUrl::of_registry("https://h").unwrap().has_path());
    }
}
