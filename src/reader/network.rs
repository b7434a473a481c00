//! The addresses to which a registry's host may lead a reader.
//!
//! A host's answers are not trusted: its documents and redirects may name any address, and its names may resolve to any
//! machine, and to another one each time. So each address is checked after its name is resolved, and before the
//! connection:
//!
//! - The host that the user named may be anywhere: in a company's network, or on this machine. Its first resolution
//!   decides between public, private and loopback, and this stays fixed: a name that changes from one to another is
//!   refused.
//! - Every other host must be public, or of the same kind as the user's host. Private hosts are also followed if the
//!   user allows it.
//! - Link-local, multicast and reserved addresses, and those at which clouds give out credentials to any caller, are
//!   never connected to, unless the user names that very address.
//!
//! If a proxy is set for an address, the proxy connects, and decides what it may reach. Names are then checked here
//! too, as far as this machine can resolve them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The kind of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// On the public internet.
    Public,
    /// In a private network, such as that of a company, a home or a provider.
    Private,
    /// This machine.
    Loopback,
    /// Not usable: no registry is served there.
    Unusable,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::Unusable => "link-local or reserved",
        })
    }
}

/// Returns the kind of an address.
///
/// Source: IANA's registries of special-purpose addresses (RFC 6890). The single addresses are those at which clouds
/// answer their machines: Alibaba's and Azure's lie in ordinary ranges, the others are link-local.
pub(super) fn network(address: IpAddr) -> Network {
    match address {
        IpAddr::V4(address) => network_v4(address),
        IpAddr::V6(address) => network_v6(address),
    }
}

#[expect(
    clippy::match_same_arms,
    clippy::unnested_or_patterns,
    reason = "one range a pattern, and those inside of others first"
)]
fn network_v4(address: Ipv4Addr) -> Network {
    match address.octets() {
        [127, ..] => Network::Loopback,
        [100, 100, 100, 200] | [168, 63, 129, 16] => Network::Unusable,
        // RFC 1918, carriers' NAT (RFC 6598), and benchmarks (RFC 2544), which local proxies use.
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [198, 18 | 19, ..] => {
            Network::Private
        }
        [0, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => Network::Unusable,
        _ => Network::Public,
    }
}

#[expect(
    clippy::match_same_arms,
    clippy::unnested_or_patterns,
    reason = "one range a pattern, and those inside of others first"
)]
fn network_v6(address: Ipv6Addr) -> Network {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        network_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Network::Loopback,
        // IPv4 addresses in IPv6: mapped, through NAT64 (RFC 6052), and through 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        [0xfd00, 0xec2, ..] => Network::Unusable,
        [0xfc00..=0xfdff, ..] => Network::Private,
        // Addresses of Teredo and other protocols, and for documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Network::Unusable,
        [0x2000..=0x3fff, ..] => Network::Public,
        _ => Network::Unusable,
    }
}

/// A host that is not followed, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} is at {address}, a {network} address, and is not asked")]
pub struct Forbidden {
    /// The host, as a link or the user names it.
    pub host: String,
    /// One of its addresses.
    pub address: IpAddr,
    network: Network,
}

impl Forbidden {
    /// Whether the user may allow it.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.network == Network::Private
    }
}

/// Resolves names.
pub(super) trait Lookup: Send + Sync + 'static {
    /// All addresses of a name.
    fn lookup(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>>;
}

/// The operating system's resolver.
pub(super) struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Decides which addresses a reader may connect to.
pub(super) struct Guard {
    host: String,
    /// The kind of the user's host, once it is known.
    home: Mutex<Option<Network>>,
    private_links: bool,
    lookup: Box<dyn Lookup>,
}

impl Guard {
    /// Makes a guard for the registry at `host`, the address that the user named. `private_links` also allows other
    /// hosts at private addresses.
    pub(super) fn new(host: &Url, private_links: bool, lookup: Box<dyn Lookup>) -> Arc<Self> {
        let home = literal(host).map(network);
        let host = host.host_str().unwrap_or_default().to_owned();
        Arc::new(Self { host, home: Mutex::new(home), private_links, lookup })
    }

    /// Those of a host's addresses that may be connected to; fails if there are none.
    fn allowed(&self, host: &str, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Forbidden> {
        let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if host.eq_ignore_ascii_case(&self.host) && home.is_none() {
            let kinds = [Network::Public, Network::Private, Network::Loopback];
            *home = kinds.into_iter().find(|kind| addresses.iter().any(|address| network(*address) == *kind));
        }
        let may = |kind: Network| match kind {
            Network::Unusable => false,
            _ if host.eq_ignore_ascii_case(&self.host) => *home == Some(kind),
            Network::Public => true,
            Network::Private => self.private_links || *home == Some(kind),
            Network::Loopback => *home == Some(kind),
        };
        let allowed: Vec<IpAddr> =
            addresses.iter().copied().filter(|address| may(network(*address))).collect();
        match addresses.first() {
            Some(address) if allowed.is_empty() => {
                Err(Forbidden { host: host.to_owned(), address: *address, network: network(*address) })
            }
            _ => Ok(allowed),
        }
    }

    /// Checks an IP address in a URL, for which no name is resolved. The user's own host may be any address.
    pub(super) fn check_literal(&self, url: &Url) -> Result<(), Forbidden> {
        match (literal(url), url.host_str()) {
            (Some(address), Some(host)) if host != self.host => self.allowed(host, &[address]).map(drop),
            _ => Ok(()),
        }
    }

    /// Checks the name in a URL that a proxy will resolve. A name that this machine cannot resolve is left to the
    /// proxy.
    pub(super) async fn check_name(&self, url: &Url) -> Result<(), Forbidden> {
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        match self.lookup.lookup(name.to_owned()).await {
            Ok(addresses) => self.allowed(name, &addresses).map(drop),
            Err(_) => Ok(()),
        }
    }
}

/// The IP address in a URL, if its host is one.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// Whether a URL names this machine, as localhost or by a loopback address.
pub(super) fn is_local(url: &Url) -> bool {
    literal(url).map_or(url.host_str() == Some("localhost"), |address| network(address) == Network::Loopback)
}

/// Resolves names for connections, and returns only addresses that the guard allows.
pub(super) struct GuardedResolver(pub(super) Arc<Guard>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = guard.lookup.lookup(name.clone()).await?;
            let allowed = guard.allowed(&name, &found)?;
            Ok(Box::new(allowed.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_what_iana_says() {
        let table: [(Network, &[&str]); 4] = [
            (
                Network::Public,
                &[
                    "1.1.1.1",
                    "9.255.255.255",
                    "11.0.0.0",
                    "172.15.255.255",
                    "172.32.0.0",
                    "100.63.255.255",
                    "100.128.0.0",
                    "192.0.1.0",
                    "223.255.255.255",
                    "2606:4700::1111",
                    "2a00::1",
                    "::ffff:8.8.8.8",
                    "64:ff9b::8.8.8.8",
                    "2002:808:808::1",
                ],
            ),
            (
                Network::Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "198.18.0.1",
                    "fc00::1",
                    "fd12:3456::1",
                    "::ffff:10.0.0.1",
                    "64:ff9b::192.168.0.1",
                    "2002:a00:1::1",
                ],
            ),
            (Network::Loopback, &["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"]),
            (
                Network::Unusable,
                &[
                    "0.0.0.0",
                    "169.254.169.254",
                    "169.254.0.1",
                    "100.100.100.200",
                    "168.63.129.16",
                    "192.0.0.192",
                    "192.0.2.1",
                    "224.0.0.1",
                    "240.0.0.1",
                    "255.255.255.255",
                    "::",
                    "fd00:ec2::254",
                    "fe80::1",
                    "ff02::1",
                    "2001:db8::1",
                    "2001::1",
                    "64:ff9b:1::1",
                    "::ffff:169.254.169.254",
                    "64:ff9b::169.254.169.254",
                    "2002:a9fe:a9fe::1",
                    "::7f00:1",
                ],
            ),
        ];
        for (kind, addresses) in table {
            for address in addresses {
                assert_eq!(network(ip(address)), kind, "{address}");
            }
        }
    }

    /// Names with the addresses for each lookup; the last answer is repeated.
    struct Zone(Mutex<BTreeMap<&'static str, VecDeque<Vec<IpAddr>>>>);

    impl Lookup for Zone {
        fn lookup(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
            let mut zone = self.0.lock().unwrap();
            let found = zone.get_mut(name.as_str()).map(|answers| {
                if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
            });
            let found = found.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound));
            Box::pin(std::future::ready(found))
        }
    }

    fn guard(host: &str, private_links: bool, zone: &[(&'static str, &[&str])]) -> Arc<Guard> {
        let mut names = BTreeMap::<_, VecDeque<_>>::new();
        for (name, addresses) in zone {
            names.entry(*name).or_default().push_back(addresses.iter().map(|address| ip(address)).collect());
        }
        Guard::new(&Url::parse(host).unwrap(), private_links, Box::new(Zone(Mutex::new(names))))
    }

    fn resolve(guard: &Arc<Guard>, name: &str) -> Result<Vec<IpAddr>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let resolver = GuardedResolver(Arc::clone(guard));
        match runtime.block_on(resolver.resolve(name.parse().unwrap())) {
            Ok(found) => Ok(found.map(|address| address.ip()).collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_public_host_leads_to_public_addresses_only() {
        let zone: &[(&str, &[&str])] = &[
            ("r.example", &["93.184.215.14"]),
            ("cdn.example", &["10.0.0.7", "151.101.1.1", "::ffff:127.0.0.1"]),
            ("internal.example", &["10.0.0.7"]),
            ("metadata.example", &["169.254.169.254"]),
            ("v6.example", &["fd00:ec2::254", "::1"]),
            ("local.example", &["127.0.0.1"]),
        ];
        for private_links in [false, true] {
            let guard = guard("https://r.example/", private_links, zone);
            assert_eq!(resolve(&guard, "r.example"), Ok(vec![ip("93.184.215.14")]));
            assert_eq!(resolve(&guard, "cdn.example").unwrap().contains(&ip("10.0.0.7")), private_links);
            assert_eq!(resolve(&guard, "internal.example").is_ok(), private_links);
            for refused in ["metadata.example", "v6.example", "local.example"] {
                let error = resolve(&guard, refused).unwrap_err();
                assert!(error.contains(refused) && error.contains("is not asked"), "{error}");
            }
            for (url, good) in [
                ("https://93.184.215.14/", true),
                ("https://10.1.2.3/", private_links),
                ("https://127.0.0.1:8443/", false),
                ("https://[::ffff:169.254.169.254]/", false),
                ("https://0x7f.1/", false),
                ("https://2852039166/", false),
            ] {
                assert_eq!(guard.check_literal(&Url::parse(url).unwrap()).is_ok(), good, "{url}");
            }
        }
    }

    #[test]
    fn a_name_that_moves_inwards_is_refused() {
        let zone: &[(&str, &[&str])] = &[
            ("r.example", &["93.184.215.14"]),
            ("r.example", &["127.0.0.1"]),
            ("r.example", &["10.0.0.1"]),
            ("r.example", &["93.184.215.15"]),
        ];
        let guard = guard("https://r.example/", true, zone);
        assert!(resolve(&guard, "r.example").is_ok());
        assert!(resolve(&guard, "R.example").is_err(), "not in the zone");
        assert!(resolve(&guard, "r.example").unwrap_err().contains("loopback"));
        assert!(resolve(&guard, "r.example").unwrap_err().contains("private"));
        assert!(resolve(&guard, "r.example").is_ok());
    }

    #[test]
    fn a_registry_in_a_companys_network_can_be_read() {
        let zone: &[(&str, &[&str])] = &[
            ("registry.corp", &["10.0.0.1"]),
            ("store.corp", &["10.0.0.2"]),
            ("metadata.corp", &["169.254.169.254"]),
            ("local.corp", &["127.0.0.1"]),
            ("cdn.example", &["151.101.1.1"]),
        ];
        let guard = guard("https://registry.corp/", false, zone);
        assert!(resolve(&guard, "store.corp").is_err(), "where the host is, is not known yet");
        for good in ["registry.corp", "store.corp", "cdn.example"] {
            assert!(resolve(&guard, good).is_ok(), "{good}");
        }
        for bad in ["metadata.corp", "local.corp"] {
            assert!(resolve(&guard, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_address_that_the_user_names_is_asked_and_no_neighbour_of_a_reserved_one() {
        let named = guard("https://169.254.10.1/", false, &[("neighbour.example", &["169.254.10.2"])]);
        assert!(named.check_literal(&Url::parse("https://169.254.10.1/x").unwrap()).is_ok());
        assert!(named.check_literal(&Url::parse("https://169.254.10.2/x").unwrap()).is_err());
        assert!(resolve(&named, "neighbour.example").is_err());
        let local = guard("http://127.0.0.1:8080/", false, &[("localhost", &["127.0.0.1"])]);
        assert!(resolve(&local, "localhost").is_ok());
        assert!(local.check_literal(&Url::parse("http://10.0.0.1/").unwrap()).is_err());
    }

    #[test]
    fn what_a_proxy_will_resolve_is_judged_as_far_as_it_is_known() {
        let zone: &[(&str, &[&str])] = &[("r.example", &["93.184.215.14"]), ("in.example", &["10.0.0.7"])];
        let guard = guard("https://r.example/", false, zone);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let good = |url: &str| runtime.block_on(guard.check_name(&Url::parse(url).unwrap())).is_ok();
        assert!(good("https://r.example/") && good("https://nobody.example/"));
        assert!(!good("https://in.example/"));
    }
}
