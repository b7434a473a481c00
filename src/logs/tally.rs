//! Counts of requests.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::civil::Date;
use percent_encoding::percent_decode;

use super::client::Client;
use super::record::{Method, Part, Record};
use crate::provider::{Platform, ReleaseId};
use crate::registry::{Key, Links};

/// The downloads of one platform's zip of one version, by one client on one day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// The provider and the version.
    pub release: ReleaseId,
    /// The platform.
    pub platform: Platform,
    /// The client.
    pub client: Client,
    /// The day, in UTC.
    pub day: Date,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it or as it was listed.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
}

/// The requests for an object that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// How many there were.
    pub requests: u64,
    /// The day of the last one, in UTC.
    pub last: Date,
}

/// What was found in logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The downloads.
    pub downloads: BTreeMap<Row, u64>,
    /// What was asked for in vain (404 or 410), of the keys that a registry may have: at most [`Tally::MOST_MISSING`].
    pub missing: BTreeMap<Key, Missing>,
    /// Requests for further keys that do not exist.
    pub missing_more: u64,
    /// Requests that were answered with another error, by status; 0 is a client that was gone before the answer.
    pub errors: BTreeMap<u16, u64>,
    /// Ranges of zips that begin later than at the first byte.
    pub later_ranges: u64,
    /// Ranges of zips, of which the log does not say where they begin.
    pub unknown_ranges: u64,
    /// HEAD requests for zips.
    pub head: u64,
    /// Zips that a CDN fetched from the bucket.
    pub by_cdn: u64,
    /// Zips that tfreg itself fetched, to verify them.
    pub by_tfreg: u64,
    /// Files.
    pub files: u64,
    /// Lines, of all kinds.
    pub lines: u64,
    /// Lines that are not understood.
    pub malformed: u64,
    /// The first of these.
    pub first_malformed: Option<Place>,
    /// Files that end early, or are damaged or of another format, each with the reason; what was read of them is counted.
    pub damaged: Vec<(String, String)>,
    /// The first and the last day of the requests that were looked at.
    pub days: Option<(Date, Date)>,
}

impl Tally {
    /// How many keys are kept of those that do not exist: anybody may ask for anything.
    pub const MOST_MISSING: usize = 10_000;

    /// The number of downloads.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.downloads.values().sum()
    }

    /// Adds the counts of further files.
    pub fn add(&mut self, other: Self) {
        for (row, count) in other.downloads {
            *self.downloads.entry(row).or_default() += count;
        }
        self.missing_more += other.missing_more;
        for (key, missing) in other.missing {
            self.add_missing(key, &missing);
        }
        for (status, count) in other.errors {
            *self.errors.entry(status).or_default() += count;
        }
        self.later_ranges += other.later_ranges;
        self.unknown_ranges += other.unknown_ranges;
        self.head += other.head;
        self.by_cdn += other.by_cdn;
        self.by_tfreg += other.by_tfreg;
        self.files += other.files;
        self.lines += other.lines;
        self.malformed += other.malformed;
        self.first_malformed = self.first_malformed.take().or(other.first_malformed);
        self.damaged.extend(other.damaged);
        for day in other.days.into_iter().flat_map(|(first, last)| [first, last]) {
            self.saw(day);
        }
    }

    fn saw(&mut self, day: Date) {
        self.days = Some(self.days.map_or((day, day), |(first, last)| (first.min(day), last.max(day))));
    }

    fn add_missing(&mut self, key: Key, missing: &Missing) {
        if let Some(known) = self.missing.get_mut(&key) {
            known.requests += missing.requests;
            known.last = known.last.max(missing.last);
        } else if self.missing.len() < Self::MOST_MISSING {
            self.missing.insert(key, missing.clone());
        } else {
            self.missing_more += missing.requests;
        }
    }
}

/// A zip, without its digest: a replaced one counts for the same version.
type Zip = Arc<(ReleaseId, Platform)>;

/// How many paths are remembered: what is answered with 200 exists, so these are the zips of a registry.
const MOST_PATHS: usize = 1 << 16;

/// Counts the requests of one file.
#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) tally: Tally,
    /// Paths as the log has them, with what they name.
    paths: HashMap<Box<[u8]>, Option<Zip>>,
    counts: HashMap<(Zip, Client, Date), u64>,
}

impl Counter {
    /// Counts a request.
    pub(super) fn count(&mut self, record: &Record<'_>) {
        if self.tally.days.is_none_or(|(first, last)| record.date < first || record.date > last) {
            self.tally.saw(record.date);
        }
        match (record.method, record.status) {
            (Method::Head, _) => {
                if self.zip(&record.path).is_some() {
                    self.tally.head += 1;
                }
            }
            (Method::Get, 200 | 206) => self.count_answered(record),
            (Method::Get, 404 | 410) => {
                // A CDN asks once for many clients, whose requests are in its own log.
                if !record.is_cdn
                    && !record.is_own
                    && let Some(key) = key(&record.path)
                {
                    self.tally.add_missing(key, &Missing { requests: 1, last: record.date });
                }
            }
            (Method::Get, 0 | 400..) => {
                // Of what a CDN asked for, its own log has the answer that clients got.
                if !record.is_cdn && !record.is_own {
                    *self.tally.errors.entry(record.status).or_default() += 1;
                }
            }
            (Method::Get | Method::Other, _) => {}
        }
    }

    fn count_answered(&mut self, record: &Record<'_>) {
        let Some(zip) = self.zip(&record.path) else { return };
        let other = match record.part {
            _ if record.is_cdn => &mut self.tally.by_cdn,
            _ if record.is_own => &mut self.tally.by_tfreg,
            Part::Later => &mut self.tally.later_ranges,
            Part::Unknown => &mut self.tally.unknown_ranges,
            Part::First => self.counts.entry((zip, record.client, record.date)).or_default(),
        };
        *other += 1;
    }

    /// The zip that a path names.
    fn zip(&mut self, path: &[u8]) -> Option<Zip> {
        if let Some(known) = self.paths.get(path) {
            return known.clone();
        }
        let zip = match key(path) {
            Some(Key::Zip { release, platform, .. }) => Some(Arc::new((release, platform))),
            _ => None,
        };
        if self.paths.len() >= MOST_PATHS {
            self.paths.clear();
        }
        self.paths.insert(path.into(), zip.clone());
        zip
    }

    /// The counts.
    pub(super) fn finish(mut self) -> Tally {
        for ((zip, client, day), count) in self.counts {
            let (release, platform) = (zip.0.clone(), zip.1.clone());
            *self.tally.downloads.entry(Row { release, platform, client, day }).or_default() += count;
        }
        self.tally
    }
}

/// The object that a path of a log names, behind any prefix; `None` if that is none of a registry.
///
/// Keys of a registry have nothing to encode, but a prefix may, and clients may encode what they need not. S3 encodes a key
/// once more than the request had it.
fn key(path: &[u8]) -> Option<Key> {
    let mut text = path.to_vec();
    for _ in 0..2 {
        if !text.contains(&b'%') {
            break;
        }
        text = percent_decode(&text).collect();
    }
    let text = String::from_utf8(text).ok()?;
    // What a link says behind these is not a part of the path.
    if text.contains(['?', '#']) {
        return None;
    }
    Links::target(&format!("/{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZIP: &str =
        "store/acme/sample/1.2.0/0123456789abcdef/terraform-provider-sample_1.2.0_linux_amd64.zip";

    #[test]
    fn paths_name_keys() {
        let encoded = ZIP.replace('_', "%5F");
        let twice = ZIP.replace('_', "%255F");
        for path in [
            ZIP,
            &format!("/{ZIP}"),
            &format!("/a%20b/tf/{ZIP}"),
            &encoded,
            &twice,
            &format!("a%2520b/{ZIP}"),
        ] {
            assert_eq!(key(path.as_bytes()).map(|key| key.to_string()).as_deref(), Some(ZIP), "{path}");
        }
        for path in
            ["", "/", "favicon.ico", &format!("{ZIP}?x"), &format!("{ZIP}%3Fx"), "%ff", &format!("%ff/{ZIP}")]
        {
            assert_eq!(key(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn what_is_asked_for_in_vain_is_bounded() {
        let day: Date = "2026-01-01".parse().unwrap();
        let mut tally = Tally::default();
        let most = u64::try_from(Tally::MOST_MISSING).unwrap();
        for number in 0..most + 5 {
            let key = format!("registry/acme/x{number}/versions").parse().unwrap();
            tally.add_missing(key, &Missing { requests: 2, last: day });
        }
        assert_eq!((tally.missing.len(), tally.missing_more), (Tally::MOST_MISSING, 10));
        let mut sum = Tally::default();
        sum.add(tally.clone());
        sum.add(tally);
        assert_eq!((sum.missing.len(), sum.missing_more), (Tally::MOST_MISSING, 20));
        assert!(sum.missing.values().all(|missing| missing.requests == 4));
    }
}
