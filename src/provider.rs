//! The registry's vocabulary: namespace, type, version, platform and protocol.
//!
//! Each is validated when it is parsed, so that no later step meets an empty name, a `..` in a key, or a version that
//! an older Terraform cannot read.

mod constraint;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

pub use constraint::Constraint;

/// A name that does not follow its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no valid {what}: {rule}")]
pub struct InvalidName {
    /// Which kind of name.
    pub what: &'static str,
    /// The text that was given.
    pub found: String,
    /// The rule it breaks, and what to write instead where that is known.
    pub rule: String,
}

fn invalid(what: &'static str, found: &str, rule: impl Into<String>) -> InvalidName {
    InvalidName { what, found: found.to_owned(), rule: rule.into() }
}

/// The longest namespace or type: that of a DNS label, far above any real one, far below S3's 1,024 bytes a key.
const MAX_PART: usize = 63;
/// The longest version text, so that every file name stays below the 255 bytes of common file systems.
const MAX_VERSION: usize = 100;

/// The signs that a part of a source address may have between letters and digits.
struct Signs {
    /// The signs, in bytes.
    all: &'static [u8],
    /// Names what is allowed.
    plural: &'static str,
    /// Names one of them.
    one: &'static str,
}

/// The rules of Terraform's `ParseProviderPart` and, with an underscore among the signs, `ParseProviderNamespace`
/// (terraform-registry-address 0.5), narrowed to ASCII because the part becomes an object key and a URL path: letters,
/// digits, and the signs inside, but no two dashes in a row. Clients convert an address to lower case before they request
/// it, so an upper-case name would never be found.
fn check_part(what: &'static str, text: &str, signs: &Signs) -> Result<(), InvalidName> {
    let is_sign = |b: u8| signs.all.contains(&b);
    let ends = [text.bytes().next(), text.bytes().next_back()];
    let rule = if text.is_empty() {
        "it is empty".to_owned()
    } else if text.len() > MAX_PART {
        format!("it has {} characters, {MAX_PART} are allowed", text.len())
    } else if text.bytes().any(|b| b.is_ascii_uppercase()) {
        format!("clients ask in lower case; write {:?}", text.to_ascii_lowercase())
    } else if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || is_sign(b)) {
        format!("only lower-case letters, digits{} are allowed", signs.plural)
    } else if ends.into_iter().flatten().any(is_sign) {
        format!("it may not begin or end with {}", signs.one)
    } else if text.contains("--") {
        "it may not have two dashes in a row".to_owned()
    } else {
        return Ok(());
    };
    Err(invalid(what, text, rule))
}

/// A provider namespace, the middle part of a source address: `HOST/NAMESPACE/TYPE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

impl Namespace {
    /// The warning for a namespace that not every client accepts. Terraform 1.16 was the first to accept an underscore, and
    /// only here: it uses terraform-registry-address 0.5, 1.15 uses 0.4. OpenTofu's registry-address does not accept one.
    #[must_use]
    pub fn client_warning(&self) -> Option<String> {
        self.0.contains('_').then(|| {
            format!(
                "the namespace {:?} has an underscore, which Terraform before 1.16 and OpenTofu (all releases up to 1.12 at \
                 least) refuse in a source address; every client accepts a dash",
                self.0
            )
        })
    }
}

impl FromStr for Namespace {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let signs = Signs { all: b"-_", plural: ", dashes and underscores", one: "a dash or an underscore" };
        check_part("namespace", text, &signs)?;
        Ok(Self(text.to_owned()))
    }
}

/// A provider type, the last part of a source address and the word in `terraform-provider-TYPE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderType(String);

impl ProviderType {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProviderType {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        check_part("provider type", text, &Signs { all: b"-", plural: " and dashes", one: "a dash" })?;
        // Terraform's ParseProviderSource refuses such a type as a likely mistake.
        if text.starts_with("terraform-") {
            let rule = "clients refuse a type that begins with \"terraform-\"; give the part after \"terraform-provider-\"";
            return Err(invalid("provider type", text, rule));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A provider in the registry: `NAMESPACE/TYPE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Provider {
    /// The namespace that it is published in.
    pub namespace: Namespace,
    /// Its type.
    pub provider_type: ProviderType,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.provider_type)
    }
}

/// One version of a provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseId {
    /// The provider.
    pub provider: Provider,
    /// The version.
    pub version: Version,
}

impl ReleaseId {
    /// The release of `provider` that has `version`.
    #[must_use]
    pub fn new(provider: &Provider, version: &Version) -> Self {
        Self { provider: provider.clone(), version: version.clone() }
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.provider, self.version)
    }
}

/// A release version: Semantic Versioning 2.0.0 in canonical form, without build metadata.
///
/// Ordered by semver precedence. Build metadata is refused because its `+` would be in the URL path, where S3 reads it
/// as a space. One non-canonical version in an index makes older clients refuse the whole provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(semver::Version);

impl Version {
    /// Reads a version, or a tag that ends in `-vVERSION` (also `vVERSION` and `refs/tags/…`), as release pipelines
    /// name them: `terraform-provider-teleport-v9.1.2` is `9.1.2`.
    ///
    /// # Errors
    /// The text is neither.
    pub fn from_tag(text: &str) -> Result<Self, InvalidName> {
        let tag = text.strip_prefix("refs/tags/").unwrap_or(text);
        // The first dot of the tag is in the version core, because a type has no dot: the version begins at the last
        // `v` before it.
        let core = tag.find('.').map_or(tag, |dot| &tag[..dot]);
        let start = match core.rfind("-v") {
            Some(at) => at + 2,
            None => usize::from(tag.starts_with('v')),
        };
        if text.is_empty() {
            let rule = "it is empty: is the variable of the tag set in this build?";
            return Err(invalid("version", text, rule.to_owned()));
        }
        let version = Self::read(&tag[start..], ", or a tag that ends in it, such as v1.2.3");
        version.map_err(|error| InvalidName { found: text.to_owned(), ..error })
    }
}

impl Version {
    /// Whether it has a pre-release part, such as `1.2.0-rc.1`.
    #[must_use]
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }
}

impl ProviderType {
    /// The type that the tag of a provider's release names: `terraform-provider-TYPE-vVERSION`, with or without
    /// `refs/tags/`. `None` for other tags.
    #[must_use]
    pub fn from_tag(text: &str) -> Option<Self> {
        let tag = text.strip_prefix("refs/tags/").unwrap_or(text).strip_prefix("terraform-provider-")?;
        // As in `Version::from_tag`.
        let core = tag.find('.').map_or(tag, |dot| &tag[..dot]);
        core[..core.rfind("-v")?].parse().ok()
    }
}

impl FromStr for Version {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::read(text, "")
    }
}

impl Version {
    /// Reads a version; `others` names what else the caller accepts, in the message for text of another form.
    fn read(text: &str, others: &str) -> Result<Self, InvalidName> {
        if text.len() > MAX_VERSION {
            return Err(invalid("version", text, format!("more than {MAX_VERSION} characters")));
        }
        let version = semver::Version::parse(text).map_err(|error| {
            invalid(
                "version",
                text,
                format!("{error}; expected MAJOR.MINOR.PATCH or MAJOR.MINOR.PATCH-PRERELEASE{others}"),
            )
        })?;
        if !version.build.is_empty() {
            let rule =
                format!("build metadata (+{}) cannot be served from S3; release it without", version.build);
            return Err(invalid("version", text, rule));
        }
        Ok(Self(version))
    }
}

/// An operating system and an architecture, with Go's names (`GOOS`, `GOARCH`): `linux_amd64`.
///
/// Ordered by operating system, then architecture, as the documents list them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: String,
    arch: String,
}

impl Platform {
    /// A platform of an operating system and an architecture.
    ///
    /// # Errors
    /// A part is empty or has anything but lower-case letters and digits.
    pub fn new(os: &str, arch: &str) -> Result<Self, InvalidName> {
        for (what, text) in [("operating system", os), ("architecture", arch)] {
            let ok = !text.is_empty()
                && text.len() <= 20
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if !ok {
                return Err(invalid(
                    what,
                    text,
                    "expected up to 20 lower-case letters and digits, such as linux or amd64",
                ));
            }
        }
        Ok(Self { os: os.to_owned(), arch: arch.to_owned() })
    }

    /// The operating system, `GOOS`.
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The architecture, `GOARCH`.
    #[must_use]
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// The suffix of an executable's name on this platform.
    #[must_use]
    pub fn executable_suffix(&self) -> &'static str {
        if self.os == "windows" { ".exe" } else { "" }
    }
}

impl FromStr for Platform {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (os, arch) = text
            .split_once('_')
            .ok_or_else(|| invalid("platform", text, "expected OS_ARCH, such as linux_amd64"))?;
        Self::new(os, arch)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.os, self.arch)
    }
}

/// A version of Terraform's plugin protocol, `MAJOR.MINOR`. Clients support majors 5 and 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol {
    major: u8,
    minor: u16,
}

impl FromStr for Protocol {
    type Err = InvalidName;

    /// Parses `6.0`; a bare `6` means `6.0`.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let number = |part: &str| -> Option<u16> {
            let canonical = part == "0" || !part.starts_with('0');
            if canonical && part.bytes().all(|b| b.is_ascii_digit()) { part.parse().ok() } else { None }
        };
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        match (number(major), number(minor)) {
            (Some(major @ (5 | 6)), Some(minor)) => Ok(Self { major: if major == 5 { 5 } else { 6 }, minor }),
            (Some(_), Some(_)) => {
                Err(invalid("protocol", text, "Terraform and OpenTofu speak 5 and 6, such as 5.0 or 6.0"))
            }
            _ => Err(invalid("protocol", text, "expected MAJOR.MINOR, such as 6.0")),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The protocols that a release supports: at least one, sorted, without duplicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocols(BTreeSet<Protocol>);

impl Protocols {
    /// The set of the given protocols; `None` when there is none.
    pub fn new(protocols: impl IntoIterator<Item = Protocol>) -> Option<Self> {
        let set: BTreeSet<_> = protocols.into_iter().collect();
        if set.is_empty() { None } else { Some(Self(set)) }
    }

    /// The major versions, in order.
    #[must_use]
    pub fn majors(&self) -> BTreeSet<u32> {
        self.0.iter().map(|protocol| u32::from(protocol.major)).collect()
    }

    /// The protocols as the documents write them, in order.
    #[must_use]
    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_strings().join(", "))
    }
}

macro_rules! display_inner {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}
display_inner!(Namespace, ProviderType, Version);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_follow_the_clients_rules() {
        for good in ["a", "gravitational", "google-beta", "x1", "0"] {
            assert_eq!(good.parse::<Namespace>().unwrap().to_string(), good);
            assert_eq!(good.parse::<ProviderType>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "a--b", "a.b", "..", "a/b", "é", "a b", &"a".repeat(64)] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad}");
            assert!(bad.parse::<ProviderType>().is_err(), "{bad}");
        }
        // terraform-registry-address 0.5.1 judges each of these names so.
        for underscored in ["a_b", "my_org", "a__b", "a_-b", "a-_b", "0_0"] {
            assert_eq!(underscored.parse::<Namespace>().unwrap().to_string(), underscored);
            assert!(underscored.parse::<ProviderType>().is_err(), "{underscored}");
            let warning = underscored.parse::<Namespace>().unwrap().client_warning();
            assert!(warning.is_some_and(|warning| warning.contains(underscored)), "{underscored}");
        }
        for bad in ["_", "_a", "a_", "__", "a_--b", "-_a", "a_-"] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad}");
        }
        assert_eq!("my-org".parse::<Namespace>().unwrap().client_warning(), None);
        assert!("Acme".parse::<Namespace>().unwrap_err().rule.contains("\"acme\""));
        assert!("terraform-provider-x".parse::<ProviderType>().is_err());
    }

    #[test]
    fn versions_are_canonical() {
        for good in ["0.0.1", "1.2.3", "9.1.2-dev.1", "1.0.0-v2", "1.0.0-alpha-1"] {
            assert_eq!(good.parse::<Version>().unwrap().to_string(), good);
        }
        for bad in
            ["", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3+build", "1.2.3-rc.1+x", "1.2.3-", "1.2.3 ", "1.2.x"]
        {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
        assert!("1.2.3+b7".parse::<Version>().unwrap_err().to_string().contains("+b7"));
    }

    #[test]
    fn tags_are_read_as_versions() {
        for (tag, version) in [
            ("1.2.3", "1.2.3"),
            ("v1.2.3", "1.2.3"),
            ("terraform-provider-teleport-v9.1.2-dev.1", "9.1.2-dev.1"),
            ("refs/tags/terraform-provider-my-vault-v1.0.0-v2", "1.0.0-v2"),
            ("x-v1.0.0-v2.0.0", "1.0.0-v2.0.0"),
        ] {
            assert_eq!(Version::from_tag(tag).unwrap().to_string(), version, "{tag}");
        }
        for bad in ["", "v", "release", "terraform-provider-x-1.2.3", "x-v1.2", "é-v"] {
            assert!(Version::from_tag(bad).is_err(), "{bad}");
        }
        let said = |text: &str| Version::from_tag(text).unwrap_err().to_string();
        assert!(said("").contains("is the variable of the tag set"), "{}", said(""));
        assert!(!said("v1.2.3+1").contains("a tag"), "{}", said("v1.2.3+1"));
        assert!(said("main").contains("or a tag that ends in it, such as v1.2.3"), "{}", said("main"));
    }

    #[test]
    fn tags_name_a_type() {
        for (tag, provider_type) in [
            ("terraform-provider-sample-v1.2.0", "sample"),
            ("refs/tags/terraform-provider-my-v2-thing-v1.0.0-v2", "my-v2-thing"),
        ] {
            assert_eq!(ProviderType::from_tag(tag).unwrap().to_string(), provider_type, "{tag}");
        }
        for other in ["v1.2.0", "sample-v1.2.0", "terraform-provider-v1.2.0", "terraform-provider-x"] {
            assert_eq!(ProviderType::from_tag(other), None, "{other}");
        }
    }

    #[test]
    fn protocols_are_written_with_their_minor() {
        assert_eq!("6".parse::<Protocol>().unwrap().to_string(), "6.0");
        assert_eq!("5.1".parse::<Protocol>().unwrap().to_string(), "5.1");
        for bad in ["", "v5.0", "4.0", "7", "5.", ".0", "5.0.0", "05.0", "5.00", "+5.0", "-5"] {
            assert!(bad.parse::<Protocol>().is_err(), "{bad}");
        }
        let twice = ["6.0", "5.0", "6"].map(|p| p.parse().unwrap());
        let protocols = Protocols::new(twice).unwrap();
        assert_eq!(protocols.to_string(), "5.0, 6.0");
        assert_eq!(protocols.majors(), BTreeSet::from([5, 6]));
        assert!(Protocols::new([]).is_none());
    }

    proptest! {
        #[test]
        fn version_order_is_semver_precedence(mut numbers in prop::collection::vec((0u64..3, 0u64..12, 0u64..3, prop::option::of(0u64..12)), 2..8)) {
            let text = |&(a, b, c, pre): &(u64, u64, u64, Option<u64>)| match pre {
                Some(pre) => format!("{a}.{b}.{c}-rc.{pre}"),
                None => format!("{a}.{b}.{c}"),
            };
            let mut versions: Vec<Version> = numbers.iter().map(|n| text(n).parse().unwrap()).collect();
            versions.sort();
            // A pre-release comes before its release, and numbers compare as numbers.
            numbers.sort_by_key(|&(a, b, c, pre)| (a, b, c, pre.is_none(), pre));
            let expected: Vec<String> = numbers.iter().map(text).collect();
            prop_assert_eq!(versions.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn no_parser_panics(text in "\\PC{0,40}") {
            let _ = (text.parse::<Namespace>(), text.parse::<ProviderType>(), Version::from_tag(&text));
            let _ = (text.parse::<Version>(), text.parse::<Platform>(), text.parse::<Protocol>());
        }
    }
}
