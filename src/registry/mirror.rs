//! The files of a network mirror: `mirror/HOST/NS/TYPE/index.json` and `mirror/HOST/NS/TYPE/VERSION.json`, the provider
//! network mirror protocol of Terraform and OpenTofu.
//!
//! A mirror keeps the address `HOST/NS/TYPE` of a provider, and offers its zips at other places. Several tools may write
//! into one: what is not understood, or not this program's, is kept byte for byte.
//! Source: Terraform 1.11 and OpenTofu 1.12, `internal/getproviders/http_mirror_source.go`.

mod host;
pub mod kept;
pub mod trusted;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::json;
use super::layout::Key;
use super::marks::{self, Mark};
use super::packages::{ZipFacts, others};
use super::raw::RawObject;
use crate::error::Refusal;
use crate::provider::{Platform, Version};
pub use host::MirrorHost;

const VERSIONS: &str = "versions";
const ARCHIVES: &str = "archives";
const URL: &str = "url";
const HASHES: &str = "hashes";
/// Not of the protocol; of zips of other registries, and named as in download documents.
const SUMS_URL: &str = "shasums_url";
const SIGNATURE_URL: &str = "shasums_signature_url";

/// A platform's zip in a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Where it is: absolute, or relative to the document.
    pub url: String,
    /// Its hashes, as lock files have them. Clients that ask for `h1:` alone take none of `zh:`, and the other way round.
    pub hashes: Vec<String>,
    /// Of a zip of another registry: what upstream has signed. Clients pass it over.
    pub signed: Option<SignedLinks>,
}

/// The links to the SHA256SUMS that lists a zip of another registry, and to its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedLinks {
    /// To SHA256SUMS.
    pub sums: String,
    /// To its signature.
    pub signature: String,
}

impl Archive {
    /// The zip at `url`, of which all bytes are known.
    #[must_use]
    pub fn of(url: String, zip: &ZipFacts) -> Self {
        let [zh, h1] = zip.hashes();
        Self { url, hashes: vec![h1, zh], signed: None }
    }

    /// The SHA-256 of the whole zip, with its scheme, if it is given.
    #[must_use]
    pub fn zh(&self) -> Option<&str> {
        self.hash("zh:")
    }

    /// The hash of the zip's contents, with its scheme, if it is given.
    #[must_use]
    pub fn h1(&self) -> Option<&str> {
        self.hash("h1:")
    }

    fn hash(&self, scheme: &str) -> Option<&str> {
        self.hashes.iter().map(String::as_str).find(|hash| hash.starts_with(scheme))
    }
}

/// The index of a mirrored provider: the versions that a client may choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorIndex {
    key: Key,
    object: RawObject,
}

impl MirrorIndex {
    /// An index without versions, to be written at `key`.
    #[must_use]
    pub fn empty(key: &Key) -> Self {
        let mut object = RawObject::new(0);
        object.set_text(VERSIONS, "{}");
        Self { key: key.clone(), object }
    }

    /// Reads the index at `key`, strictly.
    ///
    /// # Errors
    /// The document is not the index of a mirror, or has something else than marks of yanked versions as `yanked`. It is
    /// never taken for an empty one.
    pub fn parse(key: &Key, bytes: &[u8]) -> Result<Self, Refusal> {
        let object = RawObject::parse(key, bytes)?;
        is_object(key, &object, VERSIONS)?;
        marks::read(key, &object)?;
        Ok(Self { key: key.clone(), object })
    }

    /// The key under which it is stored.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The versions in it. What no version of tfreg is, such as `1.0`, is left out.
    #[must_use]
    pub fn versions(&self) -> BTreeSet<Version> {
        self.object.object(VERSIONS).names().filter_map(|name| name.parse().ok()).collect()
    }

    /// Returns the index with the versions of `add`, and without those of `remove`; all others stay. The versions are in
    /// semver order, newest last, behind what is no version.
    #[must_use]
    pub fn with(&self, add: &BTreeSet<Version>, remove: &BTreeSet<Version>) -> Self {
        let mut changed = self.clone();
        let mut versions = self.object.object(VERSIONS);
        let is_removed = |name: &str| {
            name.parse().is_ok_and(|version| remove.contains(&version) && !add.contains(&version))
        };
        versions.retain(|name| !is_removed(name));
        let there = self.versions();
        let new: Vec<String> = add.difference(&there).map(ToString::to_string).collect();
        for name in &new {
            versions.push(name, &Value::from(name.as_str()).to_string(), "{}");
        }
        if !new.is_empty() {
            versions.sort_by_cached_key(|name| name.parse::<Version>().ok());
        }
        changed.object.set_object(VERSIONS, &versions);
        changed
    }

    /// The marks of the versions that are or were yanked. They make no two indexes equal, as in the registry's own
    /// [index](super::VersionsDocument).
    #[must_use]
    pub fn marks(&self) -> BTreeMap<Version, Mark> {
        // They were checked when the document was read.
        marks::read(&self.key, &self.object).unwrap_or_default()
    }

    /// Returns the index with these marks, which replace earlier ones of the same versions.
    #[must_use]
    pub fn with_marks(&self, marks: &BTreeMap<Version, Mark>) -> Self {
        let mut changed = self.clone();
        marks::set(&mut changed.object, marks);
        changed
    }

    /// The document's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.object.to_bytes()
    }
}

/// What a mirror has of one version: where each platform's zip is, and its hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorVersion {
    key: Key,
    object: RawObject,
    archives: BTreeMap<Platform, Archive>,
}

impl MirrorVersion {
    /// A document without archives, to be written at `key`.
    #[must_use]
    pub fn empty(key: &Key) -> Self {
        let mut object = RawObject::new(0);
        object.set_text(ARCHIVES, "{}");
        Self { key: key.clone(), object, archives: BTreeMap::new() }
    }

    /// Reads the document at `key`, strictly.
    ///
    /// # Errors
    /// The document is not that of a mirrored version. It is never taken for an empty one.
    pub fn parse(key: &Key, bytes: &[u8]) -> Result<Self, Refusal> {
        let object = RawObject::parse(key, bytes)?;
        let value = is_object(key, &object, ARCHIVES)?;
        let mut archives = BTreeMap::new();
        for (name, archive) in value.as_object().into_iter().flatten() {
            let Value::Object(members) = archive else {
                return Err(json::refuse(key, format!("the archive {name:?} is {}", json::kind(archive))));
            };
            let url = json::string(key, members, URL)?.to_owned();
            let hashes = match members.get(HASHES) {
                None | Some(Value::Null) => Vec::new(),
                Some(_) => json::strings(key, members, HASHES)?,
            };
            if let Ok(platform) = name.parse() {
                let link = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
                let signed = link(SUMS_URL).zip(link(SIGNATURE_URL));
                let signed = signed.map(|(sums, signature)| SignedLinks { sums, signature });
                archives.insert(platform, Archive { url, hashes, signed });
            }
        }
        Ok(Self { key: key.clone(), object, archives })
    }

    /// The key under which it is stored.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The archives. Those of what is no platform are left out.
    #[must_use]
    pub fn archives(&self) -> &BTreeMap<Platform, Archive> {
        &self.archives
    }

    /// Returns the document with these archives; those of other platforms stay as they are.
    #[must_use]
    pub fn merged(&self, archives: &BTreeMap<Platform, Archive>) -> Self {
        self.set(archives, |_| true)
    }

    /// Returns the document with exactly these archives, and those of the platforms of `kept`, which stay as they are.
    #[must_use]
    pub fn with_only(&self, archives: &BTreeMap<Platform, Archive>, kept: &BTreeSet<Platform>) -> Self {
        self.set(archives, |name| name.parse().is_ok_and(|platform| kept.contains(&platform)))
    }

    /// Sets archives, and keeps others by their names. What an archive has beside what is known here is kept, as are hashes
    /// of other schemes if they are of the same zip.
    fn set(&self, archives: &BTreeMap<Platform, Archive>, keep: impl Fn(&str) -> bool) -> Self {
        let earlier = self.object.object(ARCHIVES);
        let mut wanted = earlier.clone();
        let is_set = |name: &str| name.parse().is_ok_and(|platform| archives.contains_key(&platform));
        wanted.retain(|name| is_set(name) || keep(name));
        for (platform, archive) in archives {
            let name = platform.to_string();
            let mut entry = earlier.object(&name);
            let mut hashes = archive.hashes.clone();
            if let Some(zh) = archive.zh() {
                hashes.extend(others(&entry, zh));
            }
            entry.set(URL, &archive.url.as_str().into());
            // In whatever order another program lists them.
            let is_so = |hash: &str| hashes.iter().any(|wanted| wanted == hash);
            let now: Vec<String> = texts(entry.value(HASHES).as_ref());
            if now.len() != hashes.len() || !now.iter().all(|hash| is_so(hash)) {
                entry.set(HASHES, &json!(hashes));
            }
            if let Some(SignedLinks { sums, signature }) = &archive.signed {
                entry.set(SUMS_URL, &sums.as_str().into());
                entry.set(SIGNATURE_URL, &signature.as_str().into());
            }
            wanted.set_object(&name, &entry);
        }
        if archives.keys().any(|platform| !self.archives.contains_key(platform)) {
            wanted.sort_by_cached_key(|name| name.parse::<Platform>().ok());
        }
        let mut text = String::new();
        wanted.write(&mut text);
        let mut changed = self.clone();
        // However another program has formatted it.
        if self.object.value(ARCHIVES).is_none_or(|now| json::value(&text).ok() != Some(now)) {
            changed.object.set_object(ARCHIVES, &wanted);
        }
        changed.archives.retain(|platform, _| keep(&platform.to_string()));
        for (platform, archive) in archives {
            let hashes = texts(wanted.object(&platform.to_string()).value(HASHES).as_ref());
            let earlier = self.archives.get(platform).and_then(|earlier| earlier.signed.clone());
            let signed = archive.signed.clone().or(earlier);
            changed.archives.insert(platform.clone(), Archive { url: archive.url.clone(), hashes, signed });
        }
        changed
    }

    /// The document's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.object.to_bytes()
    }
}

/// The texts in a list; none if it is no list.
fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A member that is there, and is an object.
fn is_object(key: &Key, object: &RawObject, name: &str) -> Result<Value, Refusal> {
    match object.values(key, &[name])?.remove(name) {
        Some(value @ Value::Object(_)) => Ok(value),
        Some(other) => Err(json::refuse(key, format!("{name:?} is {}, not an object", json::kind(&other)))),
        None => Err(json::refuse(key, format!("no {name:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::content::{Digest, DirHash};

    fn index_key() -> Key {
        "mirror/registry.example.com/acme/x/index.json".parse().unwrap()
    }

    fn version_key() -> Key {
        "mirror/registry.example.com/acme/x/1.0.0.json".parse().unwrap()
    }

    fn versions(texts: &[&str]) -> BTreeSet<Version> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn index(text: &str) -> MirrorIndex {
        MirrorIndex::parse(&index_key(), text.as_bytes()).unwrap()
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    fn archive(name: &str) -> Archive {
        let shasum = Digest::of(name.as_bytes());
        let zip = ZipFacts { shasum, h1: DirHash::of([(name, shasum)]), size: 7 };
        Archive::of(format!("https://h/store/{name}.zip"), &zip)
    }

    fn archives(names: &[(&str, &str)]) -> BTreeMap<Platform, Archive> {
        names.iter().map(|(platform, name)| (platform.parse().unwrap(), archive(name))).collect()
    }

    #[test]
    fn an_index_is_the_protocols() {
        let written = MirrorIndex::empty(&index_key()).with(&versions(&["1.10.0", "1.9.0"]), &versions(&[]));
        let expected = "{\n  \"versions\": {\n    \"1.9.0\": {},\n    \"1.10.0\": {}\n  }\n}\n";
        assert_eq!(text(written.to_bytes()), expected);
        assert_eq!(index(expected), written);
        assert_eq!(written.versions(), versions(&["1.9.0", "1.10.0"]));
    }

    #[test]
    fn what_other_tools_wrote_into_an_index_is_kept() {
        let theirs = r#"{"note": 1.50, "versions":{"2.0.0":{"by": [1,  2]},"1.0":{},"1.0.0": {"x":1}}}"#;
        let kept = index(theirs).with(&versions(&["1.5.0", "1.0.0"]), &versions(&["1.0.1"]));
        let expected = "{\n  \"note\": 1.50,\n  \"versions\": {\n    \"1.0\": {},\n    \"1.0.0\": {\"x\":1},\n    \
                        \"1.5.0\": {},\n    \"2.0.0\": {\"by\": [1,  2]}\n  }\n}\n";
        assert_eq!(text(kept.to_bytes()), expected);
        let fewer = kept.with(&versions(&[]), &versions(&["1.0.0", "1.5.0"]));
        assert_eq!(text(fewer.to_bytes()).matches("1.0.0").count(), 0);
        assert!(text(fewer.to_bytes()).contains(r#""2.0.0": {"by": [1,  2]}"#));
        assert_eq!(index(theirs).with(&versions(&["1.0.0"]), &versions(&["3.0.0"])), index(theirs));
    }

    #[test]
    fn marks_make_indexes_differ() {
        let mark = |is_yanked, when: &str| Mark { is_yanked, when: when.to_owned() };
        let of = |mark: Mark| BTreeMap::from([("1.0.0".parse::<Version>().unwrap(), mark)]);
        let first = MirrorIndex::empty(&index_key());
        let yanked = first.with_marks(&of(mark(true, "2026-01-02T03:04:05Z")));
        assert_ne!(first.to_bytes(), yanked.to_bytes());
        assert_eq!(index(&text(yanked.to_bytes())).marks(), yanked.marks());
        assert_eq!(first.with_marks(&BTreeMap::new()), first);
        let (early, late) = (mark(true, "2026-01-02T03:04:05Z"), mark(false, "2026-01-02T03:04:05.5Z"));
        assert!(late.is_newer_than(&early) && !early.is_newer_than(&late) && !early.is_newer_than(&early));
        assert!(early.is_newer_than(&mark(false, "?")));
        let time = |text: &str| text.parse().unwrap();
        let after = |now: &str, marks: &[Mark]| Mark::time_after(time(now), marks).to_string();
        let now = "2026-01-02T03:04:05.2Z";
        assert_eq!(after(now, &[]), now);
        assert_eq!(after(now, &[early.clone(), mark(true, "?")]), now);
        assert_eq!(after(now, &[late, early]), "2026-01-02T03:04:05.500000001Z");
    }

    #[test]
    fn a_version_is_the_protocols() {
        let written = MirrorVersion::empty(&version_key())
            .merged(&archives(&[("linux_arm64", "b"), ("darwin_arm64", "a")]));
        let (a, b) = (archive("a"), archive("b"));
        let entry = |platform: &str, Archive { url, hashes, .. }: &Archive| {
            format!(
                "    \"{platform}\": {{\n      \"url\": \"{url}\",\n      \"hashes\": [\n        \"{}\",\n        \"{}\"\n      \
                 ]\n    }}",
                hashes[0], hashes[1]
            )
        };
        let entries = [entry("darwin_arm64", &a), entry("linux_arm64", &b)].join(",\n");
        assert_eq!(text(written.to_bytes()), format!("{{\n  \"archives\": {{\n{entries}\n  }}\n}}\n"));
        assert!(a.hashes[0].starts_with("h1:") && a.hashes[1].starts_with("zh:"));
        assert_eq!(MirrorVersion::parse(&version_key(), &written.to_bytes()), Ok(written));
    }

    #[test]
    fn what_other_tools_wrote_into_a_version_is_kept() {
        let mine = MirrorVersion::empty(&version_key())
            .merged(&archives(&[("linux_amd64", "a"), ("plan9_386", "p")]));
        let theirs = text(mine.to_bytes())
            .replace("\"h1:", "\"h2:other\", \"h1:")
            .replace("\"url\"", "\"note\": 2.50, \"url\"")
            .replacen('{', "{\"by\": \"x\",", 1);
        let theirs = MirrorVersion::parse(&version_key(), theirs.as_bytes()).unwrap();
        assert_eq!(theirs.archives().len(), 2);
        // The same zips: nothing changes.
        assert_eq!(theirs.merged(&archives(&[("linux_amd64", "a")])), theirs);
        let kept =
            theirs.with_only(&archives(&[("linux_amd64", "a")]), &"plan9_386".parse().into_iter().collect());
        assert_eq!(kept, theirs);
        // Another zip: its other hashes are not of this one.
        let moved = theirs.with_only(&archives(&[("linux_amd64", "b")]), &BTreeSet::new());
        let written = text(moved.to_bytes());
        assert!(written.contains("\"by\": \"x\"") && written.contains("2.50"), "{written}");
        assert!(!written.contains("h2:other") && !written.contains("plan9"), "{written}");
        assert_eq!(MirrorVersion::parse(&version_key(), &moved.to_bytes()), Ok(moved));
    }

    #[test]
    fn what_is_no_file_of_a_mirror_is_refused() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"versions":[]}"#,
            r#"{"versions":{},"yanked":1}"#,
            r#"{"versions":{},"versions":{}}"#,
        ] {
            assert!(MirrorIndex::parse(&index_key(), bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in [
            "{}",
            r#"{"archives":[]}"#,
            r#"{"archives":{"linux_amd64":1}}"#,
            r#"{"archives":{"linux_amd64":{}}}"#,
            r#"{"archives":{"linux_amd64":{"url":1}}}"#,
            r#"{"archives":{"linux_amd64":{"url":"x","hashes":[1]}}}"#,
        ] {
            assert!(MirrorVersion::parse(&version_key(), bad.as_bytes()).is_err(), "{bad}");
        }
        // As Terraform's own `providers mirror` writes it.
        let known = r#"{"archives":{"linux_amd64":{"hashes":["h1:x"],"url":"x.zip"},"other":{"url":"y"}}}"#;
        assert_eq!(MirrorVersion::parse(&version_key(), known.as_bytes()).unwrap().archives().len(), 1);
    }

    const VERSION: [&str; 5] = ["1.0.0", "1.0.1-rc.1", "1.0.1", "1.10.0", "2.0.0"];
    const PLATFORMS: [&str; 4] = ["darwin_arm64", "linux_386", "linux_amd64", "windows_amd64"];

    fn any_versions() -> impl Strategy<Value = BTreeSet<Version>> {
        prop::collection::btree_set(prop::sample::select(&VERSION[..]), 0..4)
            .prop_map(|texts| texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn any_archives() -> impl Strategy<Value = BTreeMap<Platform, Archive>> {
        prop::collection::btree_map(prop::sample::select(&PLATFORMS[..]), "[a-c]", 0..4).prop_map(|all| {
            all.iter().map(|(platform, name)| (platform.parse().unwrap(), archive(name))).collect()
        })
    }

    proptest! {
        /// Whoever adds first, the bytes are the same, and nothing that is not removed is lost.
        #[test]
        fn indexes_merge_in_any_order(
            there in any_versions(), one in any_versions(), two in any_versions(), gone in any_versions(), compact: bool
        ) {
            let none = BTreeSet::new();
            let mut start = MirrorIndex::empty(&index_key()).with(&there, &none);
            if compact {
                let value: Value = serde_json::from_slice(&start.to_bytes()).unwrap();
                start = index(&value.to_string());
            }
            let all = start.with(&one, &none).with(&two, &none);
            prop_assert_eq!(&all.versions(), &start.with(&two, &none).with(&one, &none).versions());
            prop_assert_eq!(&all.with(&one, &none), &all);
            let left = all.with(&none, &gone);
            prop_assert_eq!(left.versions(), all.versions().difference(&gone).cloned().collect::<BTreeSet<_>>());
            let expected = MirrorIndex::empty(&index_key()).with(&all.versions(), &none);
            let value = |index: &MirrorIndex| serde_json::from_slice::<Value>(&index.to_bytes()).unwrap().to_string();
            prop_assert_eq!(value(&all), value(&expected));
            prop_assert_eq!(index(&text(left.to_bytes())), left);
        }

        /// The archives are those that were set last, whatever the order, and `with_only` leaves no others.
        #[test]
        fn versions_merge(history in prop::collection::vec(any_archives(), 0..4), last in any_archives(), kept in 0_usize..4) {
            let start = MirrorVersion::empty(&version_key());
            let all = history.iter().fold(start.clone(), |now, archives| now.merged(archives));
            let mut expected = BTreeMap::new();
            expected.extend(history.iter().flatten().map(|(platform, archive)| (platform.clone(), archive.clone())));
            prop_assert_eq!(all.archives(), &expected);
            prop_assert_eq!(&all.to_bytes(), &start.merged(&expected).to_bytes());
            let only = all.with_only(&last, &BTreeSet::new());
            prop_assert_eq!(&only.to_bytes(), &start.merged(&last).to_bytes());
            prop_assert_eq!(&only.with_only(&last, &BTreeSet::new()), &only);
            let kept = PLATFORMS[kept].parse::<Platform>().unwrap();
            let one = all.with_only(&last, &[kept.clone()].into());
            let mut expected = last.clone();
            if let Some(archive) = all.archives().get(&kept) {
                expected.entry(kept).or_insert_with(|| archive.clone());
            }
            prop_assert_eq!(one.archives(), &expected);
            prop_assert_eq!(&MirrorVersion::parse(&version_key(), &one.to_bytes()).unwrap(), &one);
        }

        /// Whatever text is read as a file of a mirror, a change of it keeps what is not understood.
        #[test]
        fn arbitrary_documents_do_not_panic(text in r#"\{("versions"|"archives"): ?[{\[]("1\.0\.0"|"linux_amd64"|"x")?:?[{\[1]?.{0,12}"#) {
            drop(MirrorIndex::parse(&index_key(), text.as_bytes()));
            drop(MirrorVersion::parse(&version_key(), text.as_bytes()));
        }
    }
}
