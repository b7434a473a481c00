//! `packages` in download documents: every platform's zip and its hashes in the document of each, so that a client knows
//! all platforms after it has asked for one. OpenTofu 1.12 and newer read it, other clients pass it over. What it says is not
//! signed, so that OpenTofu locks nothing by it, but of providers in its own registry that need no signature.
//!
//! OpenTofu refuses a provider of whose `packages` something is wrong, and only logs that there is none. So it has all
//! platforms that the SHA256SUMS of the document lists, or is not there.
//! Source: OpenTofu 1.12, `internal/getproviders/registry_client.go`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::json;
use super::raw::RawObject;
use crate::content::{Digest, DirHash};
use crate::provider::Platform;

/// The member's name.
pub(super) const PACKAGES: &str = "packages";
const HASHES: &str = "hashes";
const SIZE: &str = "package_size";

/// The schemes of the hashes that tfreg writes.
const SCHEMES: [&str; 2] = ["zh:", "h1:"];

/// What is known of a zip by all of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZipFacts {
    /// Its SHA-256.
    pub shasum: Digest,
    /// The hash of the files in it.
    pub h1: DirHash,
    /// Its length in bytes.
    pub size: u64,
}

impl ZipFacts {
    /// The hashes as lock files have them, in the order in which they are written.
    #[must_use]
    pub fn hashes(&self) -> [String; 2] {
        [format!("zh:{}", self.shasum), self.h1.to_string()]
    }
}

/// The zips of all platforms of a version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packages(BTreeMap<Platform, ZipFacts>);

impl FromIterator<(Platform, ZipFacts)> for Packages {
    fn from_iter<I: IntoIterator<Item = (Platform, ZipFacts)>>(zips: I) -> Self {
        Self(zips.into_iter().collect())
    }
}

impl Packages {
    /// The platforms and their zips, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Platform, &ZipFacts)> {
        self.0.iter()
    }

    /// Sets the member in a document: to exactly these platforms. What a platform of it has beside what is known here is
    /// kept, as are hashes of other schemes, if they are of the same zip.
    pub(super) fn set_in(&self, document: &mut RawObject) {
        let earlier = document.object(PACKAGES);
        // Depth 1: below the document.
        let mut wanted = RawObject::new(1);
        for (platform, zip) in &self.0 {
            let name = platform.to_string();
            let mut entry = earlier.object(&name);
            let [zh, h1] = zip.hashes();
            let further = others(&entry, &zh);
            let hashes: Vec<String> = [zh, h1].into_iter().chain(further).collect();
            entry.set(HASHES, &json!(hashes));
            entry.set(SIZE, &json!(zip.size));
            wanted.set_object(&name, &entry);
        }
        let mut text = String::new();
        wanted.write(&mut text);
        // However another program has formatted it.
        if document.value(PACKAGES).is_none_or(|now| json::value(&text).ok() != Some(now)) {
            document.set_object(PACKAGES, &wanted);
        }
    }
}

/// The hashes of other schemes that an entry has for the zip whose `zh:` hash is this.
pub(super) fn others(entry: &RawObject, zh: &str) -> Vec<String> {
    let Some(Value::Array(found)) = entry.value(HASHES) else { return Vec::new() };
    let found: Vec<String> = found.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let same = found.iter().any(|hash| hash == zh);
    let other = |hash: &String| same && !SCHEMES.iter().any(|scheme| hash.starts_with(scheme));
    found.into_iter().filter(other).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::Key;

    fn zip(name: &str) -> ZipFacts {
        let shasum = Digest::of(name.as_bytes());
        ZipFacts { shasum, h1: DirHash::of([(name, shasum)]), size: name.len() as u64 + 1 }
    }

    fn set(text: &str, packages: &Packages) -> String {
        let mut document = RawObject::parse(&Key::Discovery, text.as_bytes()).unwrap();
        packages.set_in(&mut document);
        String::from_utf8(document.to_bytes()).unwrap()
    }

    fn packages(names: &[(&str, &str)]) -> Packages {
        names.iter().map(|(platform, name)| (platform.parse().unwrap(), zip(name))).collect()
    }

    #[test]
    fn the_member_is_opentofus() {
        let text = set("{}", &packages(&[("linux_arm64", "b"), ("linux_amd64", "a")]));
        let (a, b) = (zip("a"), zip("b"));
        let expected = format!(
            r#"{{
  "packages": {{
    "linux_amd64": {{
      "hashes": [
        "zh:{}",
        "{}"
      ],
      "package_size": 2
    }},
    "linux_arm64": {{
      "hashes": [
        "zh:{}",
        "{}"
      ],
      "package_size": 2
    }}
  }}
}}
"#,
            a.shasum, a.h1, b.shasum, b.h1
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_not_understood_is_kept_while_it_is_of_the_same_zip() {
        let first = packages(&[("linux_amd64", "a"), ("darwin_arm64", "c")]);
        let text = set("{\"x\": 1.50}", &first)
            .replace("\"package_size\": 2", "\"package_size\": 2, \"note\": 2.50")
            .replace("\"zh:", "\"h2:other\", \"zh:");
        let kept = set(&text, &first);
        assert_eq!(kept.matches("h2:other").count(), 2);
        assert_eq!((kept.matches("2.50").count(), kept.matches("1.50").count()), (2, 1));
        assert_eq!(set(&kept, &first), kept);
        // One platform has another zip, and one is gone.
        let moved = set(&kept, &packages(&[("linux_amd64", "b")]));
        assert!(!moved.contains("h2:other") && !moved.contains("darwin"), "{moved}");
        assert!(
            moved.contains(&zip("b").shasum.to_string()) && !moved.contains(&zip("a").shasum.to_string())
        );
    }

    #[test]
    fn a_member_that_is_something_else_is_replaced() {
        for other in ["null", "[]", "\"x\"", "{\"linux_amd64\": 7}", "{\"linux_amd64\": {\"hashes\": {}}}"] {
            let wanted = packages(&[("linux_amd64", "a")]);
            assert_eq!(set(&format!("{{\"packages\": {other}}}"), &wanted), set("{}", &wanted), "{other}");
        }
    }

    const PLATFORMS: [&str; 5] = ["darwin_arm64", "linux_386", "linux_amd64", "linux_arm64", "windows_amd64"];

    fn any_packages() -> impl Strategy<Value = Packages> {
        let platform = prop::sample::select(&PLATFORMS[..]);
        prop::collection::btree_map(platform, "[a-c]{1,2}", 1..5).prop_map(|zips| {
            zips.iter().map(|(platform, name)| (platform.parse().unwrap(), zip(name))).collect()
        })
    }

    proptest! {
        /// Whatever was there before, in whatever formatting, the member has what is wanted, once.
        #[test]
        fn the_last_one_wins(history in prop::collection::vec((any_packages(), any::<bool>()), 0..4), last in any_packages()) {
            let mut text = "{\"os\": \"linux\"}".to_owned();
            for (packages, compact) in &history {
                text = set(&text, packages);
                if *compact {
                    text = serde_json::from_str::<Value>(&text).unwrap().to_string();
                }
            }
            let written = set(&text, &last);
            prop_assert_eq!(&set(&written, &last), &written);
            let value: Value = serde_json::from_str(&written).unwrap();
            let fresh: Value = serde_json::from_str(&set("{\"os\": \"linux\"}", &last)).unwrap();
            prop_assert_eq!(value, fresh);
        }
    }
}
