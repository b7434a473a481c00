//! Hosts of providers' addresses.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::provider::InvalidName;
use crate::registry::links::BaseUrl;

/// The port that clients leave out of a host.
const HTTPS_PORT: u16 = 443;
/// The longest name of a host.
const MAX_HOST: usize = 253;

/// The host of a provider's address, as clients spell it in the path of a mirror: in lower case, punycode where it is not
/// ASCII, with its port if that is not 443. Source: `ForComparison` of terraform-svchost.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MirrorHost(String);

impl MirrorHost {
    /// The host of the addresses of a registry's own providers. `None` if no address can have it: an IPv6 address has
    /// colons of its own.
    #[must_use]
    pub fn of(base: &BaseUrl) -> Option<Self> {
        let url = Url::parse(base.as_str()).ok()?;
        let host = url.host_str()?;
        match url.port_or_known_default() {
            None | Some(HTTPS_PORT) => host.parse().ok(),
            Some(port) => format!("{host}:{port}").parse().ok(),
        }
    }

    /// Reads a host as users write it: in any case, IDNs in Unicode, with the port of https or without.
    ///
    /// # Errors
    /// No provider's address has it.
    pub fn given(text: &str) -> Result<Self, InvalidName> {
        let url = Url::parse(&format!("https://{text}/")).ok();
        let is_host = |url: &Url| {
            url.path() == "/" && url.username().is_empty() && url.query().or(url.fragment()).is_none()
        };
        let host = url.filter(is_host).and_then(|url| {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            Some(format!("{}{port}", url.host_str()?))
        });
        host.as_deref().unwrap_or(text).parse()
    }

    /// The host.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has a port.
    #[must_use]
    pub fn has_port(&self) -> bool {
        self.0.contains(':')
    }
}

impl fmt::Display for MirrorHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MirrorHost {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
        let is_label = |label: &str| {
            let is_inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            label.bytes().all(is_inside)
                && (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // Written as a number is, and not as clients leave it out.
        let is_port = |port: &str| {
            let number = port.parse::<u16>().ok().filter(|number| ![0, HTTPS_PORT].contains(number));
            number.is_some_and(|number| number.to_string() == port)
        };
        if name.len() <= MAX_HOST && name.split('.').all(is_label) && port.is_none_or(is_port) {
            return Ok(Self(text.to_owned()));
        }
        let rule = "expected the host of a provider's address in lower case, such as registry.example.com, with its port \
                    behind a colon if that is not 443"
            .to_owned();
        Err(InvalidName { what: "host of a mirror", found: text.to_owned(), rule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_spelled_as_clients_do() {
        for (base, host) in [
            ("https://Registry.Example.com/", Some("registry.example.com")),
            ("https://registry.example.com:443/providers/", Some("registry.example.com")),
            ("https://registry.example.com:8443/", Some("registry.example.com:8443")),
            ("https://bücher.example/", Some("xn--bcher-kva.example")),
            ("http://localhost:8080/", Some("localhost:8080")),
            ("http://127.0.0.1/", Some("127.0.0.1:80")),
            ("http://[::1]:8080/", None),
        ] {
            let found = MirrorHost::of(&base.parse().unwrap());
            assert_eq!(found.as_ref().map(MirrorHost::as_str), host, "{base}");
        }
        for bad in [
            "",
            "a..b",
            "-a.b",
            "A.b",
            "a_b",
            "a.b:443",
            "a.b:0443",
            "a.b:0",
            "a.b:99999",
            "a.b:",
            "a:b:1",
            "..",
        ] {
            assert!(bad.parse::<MirrorHost>().is_err(), "{bad}");
        }
        for (given, host) in [
            ("Registry.Example.com", "registry.example.com"),
            ("registry.example.com:443", "registry.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("localhost:8443", "localhost:8443"),
        ] {
            assert_eq!(MirrorHost::given(given).unwrap().as_str(), host);
        }
        for bad in ["", "a b", "a/b", "u@h", "h?x", "h#x", "[::1]", "https://h", "a..b"] {
            assert!(MirrorHost::given(bad).is_err(), "{bad}");
        }
    }
}
