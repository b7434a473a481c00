//! How objects are served: statuses and headers, the same for all kinds of objects.

use std::fmt;

use crate::reader::Reply;
use crate::store::Headers;

use super::finding::{Finding, Group, Rule, Severity, rules};

rules! { Objects:
    /// Source: `application/json` is what the registry protocol answers; Terraform and OpenTofu read documents of other
    /// types too, and their network mirrors do not.
    DOCUMENT_TYPE = "document-content-type", Warning,
        "a document does not have the content type application/json",
        "other readers of the protocol, and network mirrors, refuse it",
        "have the web server give it that type; objects that tfreg writes to S3 have it";
    /// Source: CloudFront keeps objects without `Cache-Control` for a day by default.
    DOCUMENT_CACHE = "document-cache", Warning,
        "a document may be kept too long, or nothing says how long",
        "clients and CDNs go on with an old index: a release is not seen for hours or days",
        "set Cache-Control: public, max-age=60, must-revalidate on registry/ and .well-known/";
    STORE_CACHE = "store-cache", Warning,
        "nothing says that an object in store/ may be kept",
        "every terraform init may fetch the zip from the origin, which is slow and costs money",
        "set Cache-Control: public, max-age=31536000, immutable on store/";
    /// Source: Terraform takes 403 for a registry that needs credentials, 404 for "there is none".
    MISSING_STATUS = "missing-status", Error,
        "a missing object is not answered 404",
        "terraform init says that the registry requires credentials, where a version or platform is just not there",
        "grant s3:ListBucket to what reads the bucket (the CDN, or these credentials): without it S3 answers 403 for what does \
         not exist";
}

/// The longest time for which a CDN may hold an index before somebody waits for a release.
const LONGEST_DOCUMENT_AGE: u64 = 3600;
/// The shortest one that is worth anything for a zip.
const SHORTEST_STORE_AGE: u64 = 86_400;

/// What an answer other than the object was, in words.
pub(super) fn in_words<T>(reply: &Reply<T>) -> String {
    match reply {
        Reply::Found(_) => "it is there".to_owned(),
        Reply::Absent => "404: it does not exist".to_owned(),
        Reply::Status(_, text) | Reply::Misdirected(text) => text.clone(),
        Reply::TooLarge => format!("more than {} bytes", crate::store::MAX_DOCUMENT),
    }
}

/// What was asked for; where it is not there, `missing` is the rule that is broken, and where it is not given, `unreadable`.
pub(super) fn found<T>(
    reply: Reply<T>,
    subject: &str,
    [missing, unreadable]: [&'static Rule; 2],
    expected: impl fmt::Display,
) -> Result<T, Finding> {
    match reply {
        Reply::Found(found) => Ok(found),
        Reply::Absent => Err(missing.at(subject).found("404").expected(expected)),
        other => Err(unreadable.at(subject).found(in_words(&other)).expected("status 200")),
    }
}

/// The headers of a document; of a file nothing is known.
pub(super) fn document(subject: &str, headers: &Headers) -> Vec<Finding> {
    content_type(subject, headers).into_iter().chain(document_cache(subject, headers)).collect()
}

fn content_type(subject: &str, headers: &Headers) -> Option<Finding> {
    let found = headers.http.as_ref()?.content_type.as_deref().unwrap_or("none");
    (media_type(found) != "application/json")
        .then(|| DOCUMENT_TYPE.at(subject).found(found).expected("application/json"))
}

/// A content type without its parameters.
pub(super) fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(super) fn document_cache(subject: &str, headers: &Headers) -> Option<Finding> {
    let cache = Cache::parse(headers.http.as_ref()?.cache_control.as_deref());
    let found = match cache {
        Cache::Unsaid => "no Cache-Control with a max-age".to_owned(),
        Cache::Never => return None,
        Cache::For(seconds) if seconds <= LONGEST_DOCUMENT_AGE => return None,
        Cache::For(seconds) => format!("{seconds} seconds"),
    };
    Some(DOCUMENT_CACHE.at(subject).found(found).expected(format!("at most {LONGEST_DOCUMENT_AGE} seconds")))
}

/// The headers of an object in `store/`.
pub(super) fn stored(subject: &str, headers: &Headers) -> Option<Finding> {
    let cache = Cache::parse(headers.http.as_ref()?.cache_control.as_deref());
    let found = match cache {
        Cache::For(seconds) if seconds >= SHORTEST_STORE_AGE => return None,
        Cache::For(seconds) => format!("{seconds} seconds"),
        Cache::Never => "it may not be kept".to_owned(),
        Cache::Unsaid => "no Cache-Control with a max-age".to_owned(),
    };
    Some(STORE_CACHE.at(subject).found(found).expected("public, max-age=31536000, immutable"))
}

/// Whether what does not exist is said not to exist.
pub(super) fn missing<T>(subject: &str, reply: &Reply<T>) -> Option<Finding> {
    let found = match reply {
        Reply::Absent => return None,
        Reply::Found(_) => "200: something is answered where nothing is".to_owned(),
        other => in_words(other),
    };
    Some(MISSING_STATUS.at(subject).found(found).expected("404"))
}

/// What `Cache-Control` says of a shared cache.
#[derive(Debug, PartialEq, Eq)]
enum Cache {
    Unsaid,
    Never,
    For(u64),
}

impl Cache {
    fn parse(header: Option<&str>) -> Self {
        let directives: Vec<String> = header
            .unwrap_or_default()
            .split(',')
            .map(|directive| directive.trim().to_ascii_lowercase())
            .collect();
        if directives.iter().any(|d| matches!(d.as_str(), "no-store" | "no-cache" | "private")) {
            return Self::Never;
        }
        let age = |name: &str| {
            let mut values = directives.iter().filter_map(|d| d.strip_prefix(name));
            values.next()?.trim_matches('"').parse().ok()
        };
        // A CDN goes by the first where it is there.
        age("s-maxage=").or_else(|| age("max-age=")).map_or(Self::Unsaid, Self::For)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control_is_read() {
        for (header, cache) in [
            (None, Cache::Unsaid),
            (Some("public"), Cache::Unsaid),
            (Some("public, max-age=60, must-revalidate"), Cache::For(60)),
            (Some("max-age=60, s-maxage=7200"), Cache::For(7200)),
            (Some("No-Store, max-age=5"), Cache::Never),
            (Some("max-age=soon"), Cache::Unsaid),
        ] {
            assert_eq!(Cache::parse(header), cache, "{header:?}");
        }
    }
}
