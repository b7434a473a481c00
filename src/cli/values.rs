//! Parsers for the values of options: each returns a typed value or a message.

use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::fetch;
use crate::plan::upstream::MirroredProvider;
use crate::provider::{InvalidName, Provider, Version};
use crate::reader::web;
use crate::registry::MirrorHost;
use crate::store::s3::Location;
use crate::workflow::downloads::Logs;
use crate::workflow::mirror::Wanted;
use crate::workflow::signer::SignerReference;
use crate::workflow::source::Source;
use crate::workflow::target::{Place, Target};

/// Reads a directory, or `s3://BUCKET[/PREFIX]`.
pub(super) fn target(text: &str) -> Result<Target, String> {
    if text.is_empty() {
        return Err("expected a directory or s3://BUCKET[/PREFIX]".to_owned());
    }
    if text.starts_with("s3:") {
        return Location::parse(text).map(Target::S3);
    }
    match text.split_once("://") {
        Some((scheme, _)) => {
            Err(format!("{scheme}:// cannot be written to; expected a directory or s3://BUCKET[/PREFIX]"))
        }
        None => Ok(Target::Directory(PathBuf::from(text))),
    }
}

/// Reads the path of a file or folder, `s3://BUCKET/PREFIX/`, or the address of a SHA256SUMS.
pub(super) fn artifact(text: &str) -> Result<Source, String> {
    if text.starts_with("https:") || text.starts_with("http:") {
        return fetch::web::address(text).map(Source::Web);
    }
    if !text.starts_with("s3:") {
        return Ok(Source::File(PathBuf::from(text)));
    }
    let location = Location::parse(text)?;
    if !text.ends_with('/') {
        return Err("a prefix ends in a slash, as in s3://BUCKET/v9.1.2/: without it, v9.1.2 would be the beginning of \
                    v9.1.2-dev.1/ too"
            .to_owned());
    }
    Ok(Source::Prefix(location))
}

/// Reads the path of logs, or `s3://BUCKET[/PREFIX]`.
pub(super) fn logs(text: &str) -> Result<Logs, String> {
    if text.starts_with("s3:") {
        Location::parse(text).map(Logs::Prefix)
    } else {
        Ok(Logs::Path(PathBuf::from(text)))
    }
}

/// Reads a moment: a date, which is its beginning in UTC, a time with its zone, or how long before `now` it was.
pub(super) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let expected =
        || "expected a date such as 2026-01-31, a time such as 2026-01-31T12:00:00Z, or 30d".to_owned();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    if let Ok(date) = Date::strptime("%Y-%m-%d", text) {
        return date
            .to_zoned(TimeZone::UTC)
            .map(|moment| moment.timestamp())
            .map_err(|error| error.to_string());
    }
    let span = text.parse::<Span>().ok().filter(|span| !span.is_negative()).ok_or_else(expected)?;
    let earlier = now.to_zoned(TimeZone::UTC).checked_sub(span).map_err(|error| error.to_string())?;
    Ok(earlier.timestamp())
}

/// Reads a directory, `s3://BUCKET[/PREFIX]` or `https://HOST/`.
pub(super) fn place(text: &str) -> Result<Place, String> {
    if text.starts_with("https:") || text.starts_with("http:") {
        web::address(text).map(Place::Web)
    } else {
        target(text).map(Place::Target)
    }
}

/// Reads `gpg:FINGERPRINT` or `awskms:ARN`.
pub(super) fn signer(text: &str) -> Result<SignerReference, String> {
    text.trim().parse()
}

/// Reads `HOST/NAMESPACE/TYPE[@CONSTRAINT]`.
pub(super) fn mirrored(text: &str) -> Result<Wanted, String> {
    let (source, constraint) = match text.split_once('@') {
        Some((source, constraint)) => {
            (source, Some(constraint.parse().map_err(|error: InvalidName| error.to_string())?))
        }
        None => (text, None),
    };
    let parts = source.split_once('/').filter(|(_, rest)| rest.contains('/'));
    let (host, rest) = parts.ok_or(
        "expected HOST/NAMESPACE/TYPE, the whole source address, such as registry.terraform.io/hashicorp/random",
    )?;
    let host = MirrorHost::given(host).map_err(|error| error.to_string())?;
    Ok(Wanted { provider: MirroredProvider { host, provider: provider(rest)? }, constraint })
}

/// Reads `NAMESPACE/TYPE`.
pub(super) fn provider(text: &str) -> Result<Provider, String> {
    let (namespace, provider_type) = text
        .split_once('/')
        .ok_or("expected NAMESPACE/TYPE, the source address without its host, such as acme/sample")?;
    Ok(Provider {
        namespace: namespace.parse().map_err(|error: InvalidName| error.to_string())?,
        provider_type: provider_type.parse().map_err(|error: InvalidName| error.to_string())?,
    })
}

/// A provider, and one of its versions if one was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) provider: Provider,
    pub(super) version: Option<Version>,
}

/// Reads `NAMESPACE/TYPE` or `NAMESPACE/TYPE@VERSION`; the version may be a tag, such as `v1.2.3`.
pub(super) fn named(text: &str) -> Result<Named, String> {
    let (source, version) = match text.split_once('@') {
        Some((source, version)) => {
            (source, Some(Version::from_tag(version).map_err(|error| error.to_string())?))
        }
        None => (text, None),
    };
    Ok(Named { provider: provider(source)?, version })
}

/// Reads `90`, `90s`, `5m` or `1h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let parsed =
        text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| "expected a time such as 90s or 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        assert_eq!(target("site"), Ok(Target::Directory("site".into())));
        assert!(matches!(target("s3://bucket/p"), Ok(Target::S3(_))));
        for bad in ["", "s3:bucket", "s3://", "https://example.com/", "file:///x"] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn places() {
        assert_eq!(place("site"), Ok(Place::Target(Target::Directory("site".into()))));
        assert!(matches!(place("s3://bucket"), Ok(Place::Target(Target::S3(_)))));
        assert!(matches!(place("https://registry.example.com"), Ok(Place::Web(_))));
        for bad in ["", "http://registry.example.com", "ftp://x", "https://"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tarballs_are_files_or_prefixes() {
        assert_eq!(artifact("build/x.tar.gz"), Ok(Source::File("build/x.tar.gz".into())));
        assert!(matches!(artifact("s3://bucket/v1.0.0/"), Ok(Source::Prefix(_))));
        assert!(matches!(artifact("s3://bucket/"), Ok(Source::Prefix(_))));
        for bad in ["s3://bucket/v1.0.0", "s3://bucket", "s3:/bucket/", "s3:///x/", "s3://bucket/a//"] {
            assert!(artifact(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn providers() {
        assert_eq!(provider("acme/sample").map(|p| p.to_string()), Ok("acme/sample".to_owned()));
        for bad in ["", "acme", "acme/", "/sample", "h.example/acme/sample", "Acme/sample", "../x"] {
            assert!(provider(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn providers_of_other_registries() {
        for (text, source, constraint) in [
            ("registry.terraform.io/hashicorp/aws", "registry.terraform.io/hashicorp/aws", None),
            ("Registry.Example.com:8443/a/b@~> 5.0", "registry.example.com:8443/a/b", Some("~> 5.0")),
            ("h.example/a/b@>= 1.2, < 2", "h.example/a/b", Some(">= 1.2, < 2")),
        ] {
            let wanted = mirrored(text).unwrap();
            assert_eq!(wanted.provider.to_string(), source);
            assert_eq!(wanted.constraint.map(|constraint| constraint.to_string()).as_deref(), constraint);
        }
        for bad in [
            "",
            "hashicorp/aws",
            "h.example/a",
            "h.example/a/b/c",
            "h.example/A/b",
            "h.example/a/b@",
            "h.example/a/b@x",
        ] {
            assert!(mirrored(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_provider_may_be_named_with_a_version() {
        for (text, version) in [
            ("acme/sample", None),
            ("acme/sample@1.2.3", Some("1.2.3")),
            ("acme/sample@v1.2.3-rc.1", Some("1.2.3-rc.1")),
            ("acme/sample@refs/tags/terraform-provider-sample-v1.2.3", Some("1.2.3")),
        ] {
            let named = named(text).unwrap();
            assert_eq!(named.provider.to_string(), "acme/sample", "{text}");
            assert_eq!(named.version.map(|version| version.to_string()).as_deref(), version, "{text}");
        }
        for bad in [
            "",
            "acme",
            "acme/sample@",
            "acme/sample@1",
            "acme/sample@latest",
            "@1.2.3",
            "acme@1.2.3",
            "acme/sample@1.2.3@1.2.4",
        ] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments() {
        let now = "2026-03-31T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
            ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
            ("30d", "2026-03-01T12:00:00Z"),
            ("12h", "2026-03-31T00:00:00Z"),
            ("2w", "2026-03-17T12:00:00Z"),
            ("1mo", "2026-02-28T12:00:00Z"),
            ("0d", "2026-03-31T12:00:00Z"),
        ] {
            assert_eq!(moment(text, now).map(|moment| moment.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for bad in ["", "30", "-30d", "2026-02-30", "yesterday", "2026-01-31 12:00", "99999y"] {
            assert!(moment(bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, seconds) in [("0", 0), ("90", 90), ("90s", 90), ("5m", 300), ("1h 30m", 5400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "-1", "-5m", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
