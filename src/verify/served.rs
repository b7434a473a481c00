//! How objects are served: statuses and headers, the same for all kinds of objects.

use std::fmt;

use crate::reader::{Fetched, Missing, Reply};
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
        "have the web server answer 404 for what does not exist";
    /// Source: CDNs keep a 404 as `Cache-Control` says, or by a rule of their own.
    MISSING_CACHE = "missing-cache", Warning,
        "the answer that an object is missing may be kept too long",
        "one request for a release before it is there makes the CDN tell everybody that it is missing, long after it was published",
        "send no Cache-Control with 404, or max-age=60 at most; set the CDN's time for error answers to a minute at most";
    /// Source: `GET Bucket`, which S3 answers for the empty key to callers with the right to list.
    ROOT_LISTING = "root-listing", Warning,
        "the root of the host lists the bucket",
        "everybody can read which objects there are, also those that no version lists",
        "set a default root object on the CDN, such as .well-known/terraform.json";
}

const GRANT_LISTING: &str = "grant s3:ListBucket to what reads the bucket (the CDN, or these credentials): without it S3 answers \
    403 for what does not exist";
const NO_ERROR_PAGE: &str = "answer 404 with the status 404: take the CDN's error page (in CloudFront the custom error response) \
    for 403 and 404 away, or the web server's fallback (in nginx: try_files, error_page)";
const LOOK: &str = "look at what is served there: it is not what a publish has written";
const NO_REDIRECT: &str = "have the server answer it without a redirect, or by one to https";
const ALLOW: &str = "let the CDN or web server answer it without credentials; where a bucket is behind it, grant it s3:GetObject";

/// The maximum time for which a CDN may keep an index without delaying a release.
const LONGEST_DOCUMENT_AGE: u64 = 3600;
/// The minimum useful time for a zip.
const SHORTEST_STORE_AGE: u64 = 86_400;
/// The maximum time for a missing object, according to README.
const LONGEST_MISSING_AGE: u64 = 60;

/// Describes an answer other than the object.
fn in_words<T>(reply: &Reply<T>) -> String {
    match reply {
        Reply::Found(_) => "it is there".to_owned(),
        Reply::Absent(Missing::Stored) => "it is not there".to_owned(),
        Reply::Absent(Missing::Answered { .. }) => "404: it is not there".to_owned(),
        Reply::Status(_, text) | Reply::Misdirected(text) => text.clone(),
        Reply::NotFollowed(why) => why.to_string(),
        Reply::TooLarge(limit) => format!("more than {limit} bytes"),
    }
}

/// Returns the requested object; if it does not exist, `missing` is the broken rule, and if it cannot be read,
/// `unreadable`.
pub(super) fn found<T>(
    reply: Reply<T>,
    subject: &str,
    [missing, unreadable]: [&'static Rule; 2],
    expected: impl fmt::Display,
) -> Result<T, Finding> {
    let words = in_words(&reply);
    let unreadable = |expected: &str| unreadable.at(subject).found(&words).expected(expected);
    Err(match reply {
        Reply::Found(found) => return Ok(found),
        Reply::Absent(_) => missing.at(subject).found(words).expected(expected),
        Reply::Status(401 | 403, _) => unreadable("status 200").remedied(ALLOW),
        Reply::Status(..) => unreadable("status 200"),
        Reply::Misdirected(_) => unreadable("status 200").remedied(NO_REDIRECT),
        Reply::NotFollowed(why) => unreadable("an https URL of a public host").remedied(why.remedy()),
        Reply::TooLarge(limit) => unreadable(&format!("at most {limit} bytes")).remedied(LOOK),
    })
}

/// Describes unexpected contents without repeating any of them.
pub(super) fn shape(document: &Fetched) -> String {
    let content_type = document.headers.http.as_ref().and_then(|http| http.content_type.as_deref());
    let content_type = content_type.map_or_else(String::new, |text| format!(" of type {}", media_type(text)));
    format!("{} bytes{content_type}", document.bytes.len())
}

/// The finding for a page that lists the keys of a bucket.
pub(super) fn listing(subject: &str, page: &Fetched) -> Option<Finding> {
    let tag = b"<ListBucketResult";
    let lists = page.bytes.windows(tag.len()).any(|window| window == tag);
    lists.then(|| ROOT_LISTING.at(subject).found("a listing of the bucket").expected("no listing"))
}

/// Checks the headers of a document; nothing is known of those of a file.
pub(super) fn document(subject: &str, headers: &Headers) -> Vec<Finding> {
    content_type(subject, headers).into_iter().chain(document_cache(subject, headers)).collect()
}

fn content_type(subject: &str, headers: &Headers) -> Option<Finding> {
    let found = headers.http.as_ref()?.content_type.as_deref().unwrap_or("none");
    (media_type(found) != "application/json")
        .then(|| DOCUMENT_TYPE.at(subject).found(found).expected("application/json"))
}

/// The media type of a content type, without parameters.
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

/// Checks the headers of an object in `store/`.
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

/// Whether a missing object is reported as missing, and the answer is not cached for long.
pub(super) fn missing<T>(subject: &str, reply: &Reply<T>) -> Option<Finding> {
    let (found, remedy) = match reply {
        Reply::Absent(Missing::Stored) => return None,
        Reply::Absent(Missing::Answered { cache_control, age }) => {
            return missing_cache(subject, cache_control.as_deref(), *age);
        }
        Reply::Found(_) => ("200: something is answered where nothing is".to_owned(), NO_ERROR_PAGE),
        Reply::Status(401 | 403, text) => (text.clone(), GRANT_LISTING),
        Reply::Misdirected(_) | Reply::NotFollowed(_) => (in_words(reply), NO_REDIRECT),
        other => (in_words(other), MISSING_STATUS.remedy),
    };
    Some(MISSING_STATUS.at(subject).found(found).expected("404").remedied(remedy))
}

fn missing_cache(subject: &str, cache_control: Option<&str>, age: Option<u64>) -> Option<Finding> {
    let found = match (Cache::parse(cache_control), age) {
        (Cache::For(seconds), _) if seconds > LONGEST_MISSING_AGE => format!("404, for {seconds} seconds"),
        (_, Some(age)) if age > LONGEST_MISSING_AGE => {
            format!("404, which was kept for {age} seconds already")
        }
        _ => return None,
    };
    Some(MISSING_CACHE.at(subject).found(found).expected(format!("at most {LONGEST_MISSING_AGE} seconds")))
}

/// The meaning of `Cache-Control` for a shared cache.
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
        // A CDN uses the first one if it is present.
        age("s-maxage=").or_else(|| age("max-age=")).map_or(Self::Unsaid, Self::For)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &'static str) -> Fetched {
        let url = url::Url::parse("https://h/").unwrap();
        Fetched { bytes: text.into(), headers: Headers::default(), url, redirects: 0 }
    }

    #[test]
    fn a_listing_at_the_root_is_noticed() {
        let listing = r#"<?xml version="1.0"?><ListBucketResult xmlns="x"><Name>b</Name></ListBucketResult>"#;
        assert!(super::listing("h", &page(listing)).is_some());
        assert_eq!(super::listing("h", &page("<html>")), None);
        assert_eq!(super::listing("h", &page("")), None);
    }

    #[test]
    fn the_remedy_for_what_is_not_answered_404_goes_by_the_cause() {
        let remedy = |reply: Reply<()>| missing("x", &reply).map(|finding| finding.remedy());
        assert!(remedy(Reply::Found(())).unwrap().contains("error page"));
        assert!(remedy(Reply::Status(403, String::new())).unwrap().contains("s3:ListBucket"));
        assert!(remedy(Reply::Misdirected(String::new())).unwrap().contains("without a redirect"));
        assert_eq!(remedy(Reply::Absent(Missing::Stored)), None);
        for (cache, age, kept) in [
            (None, None, false),
            (Some("max-age=60"), Some(60), false),
            (Some("max-age=604800"), None, true),
            (Some("no-store"), None, false),
            (None, Some(61), true),
        ] {
            let reply = Reply::Absent(Missing::Answered { cache_control: cache.map(str::to_owned), age });
            assert_eq!(remedy(reply).is_some(), kept, "{cache:?} {age:?}");
        }
    }

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
