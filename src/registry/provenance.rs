//! The record of a publish: `provenance.json`, an in-toto statement (v1) with a SLSA provenance predicate (v1), beside the
//! SHA256SUMS that it belongs to.
//!
//! It names the tarballs that the zips of one run were made from, their repository, commit and tag, and the build. Its
//! subjects are the zips of that run only; other runs have their own records. The other zips in the SHA256SUMS are among
//! its dependencies, so that the record beside a SHA256SUMS has the hashes and sizes of all of its zips. It is signed like SHA256SUMS, and is not
//! a line of SHA256SUMS: Terraform would write such a line into lock files.
//!
//! A record is a function of the SHA256SUMS, of the tarballs, and of the build that publishes them: every attempt of a build writes the
//! same bytes, so an attempt signs an existing record only if it equals its own, byte for byte. Its time is therefore
//! the one that the build server reports; the signature has the time when it was signed.
//! Sources: <https://in-toto.io/Statement/v1>, <https://slsa.dev/provenance/v1>.

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::json;
use super::{Checksums, Key, ZipFacts};
use crate::content::{Digest, DirHash};
use crate::provider::{Protocols, Provider, Version};

/// The build type of the predicate: it defines the meaning of the parameters below.
const BUILD_TYPE: &str = "urn:tfreg:publish:v1";
/// The builder's id if no build server reports one.
const LOCAL_BUILDER: &str = "urn:tfreg:local";

/// The build that publishes, as reported by the build server (`DRONE_*`); empty for a publish by hand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Build {
    /// The repository, such as `acme/sample`.
    pub repository: Option<String>,
    /// The address that the repository is cloned from.
    pub clone_url: Option<String>,
    /// The commit's full hash.
    pub commit: Option<String>,
    /// The tag that was built.
    pub tag: Option<String>,
    /// The event that started the build: `tag`, `promote`, …
    pub event: Option<String>,
    /// The target of the promotion.
    pub target: Option<String>,
    /// The build's number.
    pub number: Option<String>,
    /// The build's page.
    pub link: Option<String>,
    /// When the build was started.
    pub started: Option<Timestamp>,
}

/// The data of a run for its records; the same for all its rounds, and for all attempts of a build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The build that the run is a part of.
    pub build: Build,
}

/// A file by its name and SHA-256, with the address that it was fetched from, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material {
    /// The file's name, without folders.
    pub name: String,
    /// Its SHA-256.
    pub digest: Digest,
    /// The address that it was fetched from.
    pub uri: Option<String>,
}

/// A zip by its name in SHA256SUMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedZip {
    /// The zip's name.
    pub name: String,
    /// The zip.
    pub zip: ZipFacts,
}

impl Record {
    /// The statement that `zips` of a version were made from `tarballs` by this run, and published beside the zips of
    /// `earlier` runs; ends in a line feed.
    #[must_use]
    pub fn statement(
        &self,
        provider: &Provider,
        version: &Version,
        protocols: &Protocols,
        zips: &[RecordedZip],
        earlier: &[RecordedZip],
        tarballs: &[Material],
    ) -> Vec<u8> {
        let build = &self.build;
        let external = without_null(json!({
            "namespace": provider.namespace.to_string(),
            "type": provider.provider_type.to_string(),
            "version": version.to_string(),
            "protocols": protocols.to_strings(),
            "repository": build.repository,
            "commit": build.commit,
            "tag": build.tag,
            "event": build.event,
            "deployTarget": build.target,
        }));
        let link = build.link.as_deref().and_then(public_url);
        let builder =
            link.as_ref().map_or(LOCAL_BUILDER.to_owned(), |link| link.origin().ascii_serialization());
        let mut dependencies: Vec<Value> = build.source().into_iter().collect();
        dependencies.extend(tarballs.iter().map(Material::to_json));
        dependencies.extend(earlier.iter().map(RecordedZip::to_json));
        let mut definition = json!({ "buildType": BUILD_TYPE, "externalParameters": external });
        if let Some(number) = &build.number {
            definition["internalParameters"] = json!({ "buildNumber": number });
        }
        definition["resolvedDependencies"] = Value::Array(dependencies);
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": zips.iter().map(RecordedZip::to_json).collect::<Vec<_>>(),
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": definition,
                "runDetails": {
                    "builder": { "id": builder, "version": { "tfreg": env!("CARGO_PKG_VERSION") } },
                    "metadata": without_null(json!({
                        "invocationId": link.map(String::from),
                        "startedOn": build.started.map(|started| started.to_string()),
                    })),
                },
            },
        });
        match statement {
            Value::Object(object) => json::to_bytes(&object),
            _ => Vec::new(),
        }
    }
}

impl Build {
    /// The build according to a record, as far as it says; see [`Record::statement`].
    #[must_use]
    pub fn of(record: &[u8]) -> Self {
        let statement: Value = serde_json::from_slice(record).unwrap_or_default();
        let text = |path: &str| statement.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let external = |name: &str| text(&format!("/predicate/buildDefinition/externalParameters/{name}"));
        let source = text("/predicate/buildDefinition/resolvedDependencies/0/uri");
        let clone_url = source.as_deref().and_then(|uri| uri.strip_prefix("git+"));
        Self {
            repository: external("repository"),
            clone_url: clone_url.map(|url| url.split('@').next().unwrap_or(url).to_owned()),
            commit: external("commit"),
            tag: external("tag"),
            event: external("event"),
            target: external("deployTarget"),
            number: text("/predicate/buildDefinition/internalParameters/buildNumber"),
            link: text("/predicate/runDetails/metadata/invocationId"),
            started: text("/predicate/runDetails/metadata/startedOn").and_then(|text| text.parse().ok()),
        }
    }

    /// The source code, where repository and commit are known.
    fn source(&self) -> Option<Value> {
        let commit = self.commit.as_deref().filter(|commit| {
            matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit())
        })?;
        let url = public_url(self.clone_url.as_deref()?)?;
        let tag = self.tag.as_ref().map_or(String::new(), |tag| format!("@refs/tags/{tag}"));
        Some(json!({ "uri": format!("git+{url}{tag}"), "digest": { "gitCommit": commit } }))
    }
}

impl Material {
    fn to_json(&self) -> Value {
        without_null(json!({
            "name": self.name, "uri": self.uri, "digest": { "sha256": self.digest.to_string() },
        }))
    }
}

impl RecordedZip {
    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "digest": { "sha256": self.zip.shasum.to_string(), "dirHash": self.zip.h1.to_hex() },
            "annotations": { "size": self.zip.size },
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        let zip = ZipFacts {
            shasum: text("/digest/sha256")?.parse().ok()?,
            h1: DirHash::from_hex(text("/digest/dirHash")?).ok()?,
            size: value.pointer("/annotations/size").and_then(Value::as_u64)?,
        };
        Some(Self { name: text("/name")?.to_owned(), zip })
    }
}

/// The zips of which a record says everything: those of its run and of earlier ones. Records that earlier releases of
/// tfreg wrote say it of none. Only a record with a trusted signature proves what it says.
#[must_use]
pub fn recorded_zips(record: &[u8]) -> Vec<RecordedZip> {
    let Ok(statement) = json::parse(&Key::Discovery, record) else { return Vec::new() };
    let statement = Value::Object(statement);
    let lists = ["/subject", "/predicate/buildDefinition/resolvedDependencies"];
    let found = lists.into_iter().filter_map(|list| statement.pointer(list).and_then(Value::as_array));
    found.flatten().filter_map(RecordedZip::from_json).collect()
}

/// Checks that a record with a trusted signature is for this version, and for zips that `sums` lists.
///
/// # Errors
/// The description of what it is for instead.
pub fn tells_of(
    record: &[u8],
    provider: &Provider,
    version: &Version,
    sums: &Checksums,
) -> Result<(), String> {
    let statement: Value =
        serde_json::from_slice(record).map_err(|error| format!("it is no statement: {error}"))?;
    let parameters = statement.pointer("/predicate/buildDefinition/externalParameters");
    for (member, expected) in [
        ("namespace", provider.namespace.to_string()),
        ("type", provider.provider_type.to_string()),
        ("version", version.to_string()),
    ] {
        let found = parameters.and_then(|parameters| parameters.get(member)).and_then(Value::as_str);
        if found != Some(expected.as_str()) {
            return Err(format!("its {member:?} is {}", found.unwrap_or("not there")));
        }
    }
    let subjects = statement.get("subject").and_then(Value::as_array).filter(|list| !list.is_empty());
    for subject in subjects.ok_or("it tells of no zip")? {
        let name = subject.get("name").and_then(Value::as_str).unwrap_or_default();
        let digest = subject.pointer("/digest/sha256").and_then(Value::as_str).unwrap_or_default();
        if sums.get(name).map(|listed| listed.to_string()).as_deref() != Some(digest) {
            return Err(format!("it tells of {name:?}, SHA-256 {digest}, which SHA256SUMS does not list"));
        }
    }
    Ok(())
}

/// An address that may be published: http or https, with a user's name and password removed.
fn public_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url)
}

/// The object without its null members.
fn without_null(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            Value::Object(object.into_iter().filter(|(_, member)| !member.is_null()).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let text = |text: &str| Some(text.to_owned());
        let build = Build {
            repository: text("acme/sample"),
            clone_url: text("https://user:hunter2@git.example.com/acme/sample.git"),
            commit: text(&"0123456789".repeat(4)),
            tag: text("terraform-provider-sample-v1.2.0"),
            event: text("promote"),
            target: text("production"),
            number: text("42"),
            link: text("https://drone.example.com/acme/sample/42"),
            started: Some("2026-01-02T03:04:06Z".parse().unwrap()),
        };
        Record { build }
    }

    fn zip(name: &str) -> RecordedZip {
        let shasum = Digest::of(name.as_bytes());
        let zip = ZipFacts { shasum, h1: DirHash::of([(name, shasum)]), size: 7 };
        RecordedZip { name: name.to_owned(), zip }
    }

    fn statement(record: &Record) -> Vec<u8> {
        let provider =
            Provider { namespace: "acme".parse().unwrap(), provider_type: "sample".parse().unwrap() };
        let material = |name: &str, uri: Option<&str>| Material {
            name: name.to_owned(),
            digest: Digest::of(name.as_bytes()),
            uri: uri.map(str::to_owned),
        };
        let protocols = Protocols::new(["6.0".parse().unwrap()]).unwrap();
        record.statement(
            &provider,
            &"1.2.0".parse().unwrap(),
            &protocols,
            &[zip("a.zip")],
            &[zip("b.zip")],
            &[material("a.tar.gz", Some("s3://artifacts/v1.2.0/a.tar.gz"))],
        )
    }

    #[test]
    fn a_statement_has_what_slsa_asks_for() {
        let text = String::from_utf8(statement(&record())).unwrap();
        let sha = |name: &str| Digest::of(name.as_bytes()).to_string();
        let zip_digest = |name: &str| json!({ "sha256": sha(name), "dirHash": zip(name).zip.h1.to_hex() });
        let expected = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "name": "a.zip", "digest": zip_digest("a.zip"), "annotations": { "size": 7 } }],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": "urn:tfreg:publish:v1",
                    "externalParameters": {
                        "namespace": "acme", "type": "sample", "version": "1.2.0", "protocols": ["6.0"],
                        "repository": "acme/sample", "commit": "0123456789".repeat(4),
                        "tag": "terraform-provider-sample-v1.2.0", "event": "promote", "deployTarget": "production",
                    },
                    "internalParameters": { "buildNumber": "42" },
                    "resolvedDependencies": [
                        {
                            "uri": "git+https://git.example.com/acme/sample.git@refs/tags/terraform-provider-sample-v1.2.0",
                            "digest": { "gitCommit": "0123456789".repeat(4) },
                        },
                        {
                            "name": "a.tar.gz", "uri": "s3://artifacts/v1.2.0/a.tar.gz",
                            "digest": { "sha256": sha("a.tar.gz") },
                        },
                        { "name": "b.zip", "digest": zip_digest("b.zip"), "annotations": { "size": 7 } },
                    ],
                },
                "runDetails": {
                    "builder": {
                        "id": "https://drone.example.com", "version": { "tfreg": env!("CARGO_PKG_VERSION") },
                    },
                    "metadata": {
                        "invocationId": "https://drone.example.com/acme/sample/42",
                        "startedOn": "2026-01-02T03:04:06Z",
                    },
                },
            },
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        assert!(!text.contains("hunter2") && text.ends_with("}\n"), "{text}");
        assert_eq!(recorded_zips(text.as_bytes()), [zip("a.zip"), zip("b.zip")]);
        // As earlier releases wrote it.
        assert!(recorded_zips(text.replace("dirHash", "other").as_bytes()).is_empty());
        // It is read back, without the user's name and password.
        let clone_url = Some("https://git.example.com/acme/sample.git".to_owned());
        assert_eq!(Build::of(text.as_bytes()), Build { clone_url, ..record().build });
        assert_eq!(Build::of(&statement(&Record::default())), Build::default());
        assert_eq!(Build::of(b"{"), Build::default());
    }

    #[test]
    fn a_publish_by_hand_tells_what_it_knows() {
        let value: Value = serde_json::from_slice(&statement(&Record::default())).unwrap();
        let definition = &value["predicate"]["buildDefinition"];
        assert_eq!(definition["resolvedDependencies"].as_array().unwrap().len(), 2);
        assert_eq!(definition.get("internalParameters"), None);
        assert_eq!(definition["externalParameters"].get("commit"), None);
        assert_eq!(value["predicate"]["runDetails"]["builder"]["id"], LOCAL_BUILDER);
        assert_eq!(value["predicate"]["runDetails"]["metadata"], json!({}));
    }
}
