//! The registry's settings, `registry/settings.json`: what holds for everybody who publishes to it.
//!
//! Without the document each pipeline decides by its flags. With it the document decides, and a member that it does not
//! have has its default: `tfreg` refuses flags that say otherwise.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::json::{self, Object};
use super::layout::{DocumentMaxAge, Key};
use super::links::{BaseUrl, Links};
use super::mirror::MirrorHost;
use super::raw::RawObject;
use crate::error::Refusal;
use crate::openpgp::Fingerprint;

/// The format that this program reads and writes.
const FORMAT: u64 = 1;

/// The names of the members.
const FORMAT_NAME: &str = "format";
const BASE_URL: &str = "base_url";
const REPLACE: &str = "replace";
const PRERELEASES: &str = "prereleases";
const SIGNING_KEYS: &str = "signing_keys";
const MAX_AGE: &str = "document_max_age";
const MIRROR: &str = "network_mirror";
const PAGES: &str = "pages";
const TITLE: &str = "title";
const KNOWN: &[&str] =
    &[FORMAT_NAME, BASE_URL, REPLACE, PRERELEASES, SIGNING_KEYS, MAX_AGE, MIRROR, PAGES, TITLE];

/// The settings; unknown members are kept.
#[expect(clippy::struct_excessive_bools, reason = "members of a document")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    object: RawObject,
    base_url: Option<BaseUrl>,
    replace: bool,
    prereleases: bool,
    signing_keys: BTreeSet<Fingerprint>,
    document_max_age: DocumentMaxAge,
    network_mirror: bool,
    pages: bool,
    title: Option<String>,
}

/// What changes in the settings; what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// The form of all links, with the address where clients reach the registry if they are absolute.
    pub links: Option<Links>,
    /// Whether published contents may be replaced.
    pub replace: Option<bool>,
    /// Whether pre-releases may be published.
    pub prereleases: Option<bool>,
    /// Whether every key may sign again; then [`added_keys`](Self::added_keys) are the only ones, if there are any.
    pub any_key: bool,
    /// Keys that may sign too.
    pub added_keys: BTreeSet<Fingerprint>,
    /// Keys that may not sign any more.
    pub removed_keys: BTreeSet<Fingerprint>,
    /// How long clients may keep a document.
    pub document_max_age: Option<DocumentMaxAge>,
    /// Whether the files of a network mirror are written.
    pub network_mirror: Option<bool>,
    /// Whether pages are written.
    pub pages: Option<bool>,
    /// The title of the pages; an empty one takes it back.
    pub title: Option<String>,
}

/// The members as they are read.
struct Members(Object);

impl Members {
    /// The refusal of a member.
    fn refuse(name: &str, found: impl fmt::Display, expected: impl fmt::Display) -> Refusal {
        Refusal::new(Key::Settings, "the registry's settings cannot be understood")
            .found(format!("{name:?} is {found}"))
            .expected(format!("{name:?}: {expected}"))
            .remedy(format!("correct or remove {name:?} in that object by hand; nothing was written"))
    }

    fn bool(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        match self.0.get(name) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(Self::refuse(name, json::kind(other), "true or false")),
        }
    }

    fn text(&self, name: &str, expected: &str) -> Result<Option<&str>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Self::refuse(name, json::kind(other), expected)),
        }
    }

    fn format(&self) -> Result<(), Refusal> {
        let found = match self.0.get(FORMAT_NAME) {
            Some(Value::Number(format)) if format.as_u64() == Some(FORMAT) => return Ok(()),
            Some(Value::Number(format)) => format.to_string(),
            Some(other) => return Err(Self::refuse(FORMAT_NAME, json::kind(other), FORMAT)),
            None => return Err(Self::refuse(FORMAT_NAME, "missing", FORMAT)),
        };
        Err(Refusal::new(
            Key::Settings,
            "the registry's settings have a format that this tfreg does not know",
        )
        .found(format!("{FORMAT_NAME:?} is {found}"))
        .expected(format!("{FORMAT_NAME:?}: {FORMAT}"))
        .remedy("use the tfreg that wrote them, or a newer one; nothing was written"))
    }

    fn base_url(&self) -> Result<Option<BaseUrl>, Refusal> {
        let expected = "an https URL, without user, query or fragment";
        let Some(text) = self.text(BASE_URL, expected)? else { return Ok(None) };
        let base = BaseUrl::of_registry(text);
        base.map(Some).map_err(|error| Self::refuse(BASE_URL, format!("{text:?}: {}", error.rule), expected))
    }

    fn signing_keys(&self) -> Result<BTreeSet<Fingerprint>, Refusal> {
        let expected = "a list of fingerprints, each of 40 hex digits";
        let list = match self.0.get(SIGNING_KEYS) {
            None => return Ok(BTreeSet::new()),
            Some(Value::Array(list)) => list,
            Some(other) => return Err(Self::refuse(SIGNING_KEYS, json::kind(other), expected)),
        };
        let fingerprint = |value: &Value| match value {
            Value::String(text) => text.parse().map_err(|_| format!("a list with {text:?}")),
            other => Err(format!("a list with {}", json::kind(other))),
        };
        let keys = list.iter().map(fingerprint).collect::<Result<_, String>>();
        keys.map_err(|found| Self::refuse(SIGNING_KEYS, found, expected))
    }

    fn document_max_age(&self) -> Result<DocumentMaxAge, Refusal> {
        let expected = "a whole number of seconds";
        match self.0.get(MAX_AGE) {
            None => Ok(DocumentMaxAge::default()),
            Some(Value::Number(number)) => number
                .as_u64()
                .and_then(|seconds| u32::try_from(seconds).ok())
                .map(DocumentMaxAge)
                .ok_or_else(|| Self::refuse(MAX_AGE, number, expected)),
            Some(other) => Err(Self::refuse(MAX_AGE, json::kind(other), expected)),
        }
    }
}

impl Settings {
    /// Reads the document.
    ///
    /// # Errors
    /// It is not understood: it has another format, or a known member has a value of another kind. It is never treated as
    /// absent.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let key = Key::Settings;
        let object = RawObject::parse(&key, bytes)?;
        let members = Members(object.values(&key, KNOWN)?);
        members.format()?;
        let settings = Self {
            base_url: members.base_url()?,
            replace: members.bool(REPLACE, false)?,
            prereleases: members.bool(PRERELEASES, true)?,
            signing_keys: members.signing_keys()?,
            document_max_age: members.document_max_age()?,
            network_mirror: members.bool(MIRROR, false)?,
            pages: members.bool(PAGES, false)?,
            title: members.text(TITLE, "a text")?.map(str::to_owned),
            object,
        };
        settings.check_base_url()?;
        Ok(settings)
    }

    /// The settings of a registry that had none.
    fn new() -> Self {
        let mut object = RawObject::new(0);
        object.set(FORMAT_NAME, &FORMAT.into());
        Self {
            object,
            base_url: None,
            replace: false,
            prereleases: true,
            signing_keys: BTreeSet::new(),
            document_max_age: DocumentMaxAge::default(),
            network_mirror: false,
            pages: false,
            title: None,
        }
    }

    /// What is written with absolute URLs only needs one; and the files of a mirror have its host in their keys.
    fn check_base_url(&self) -> Result<(), Refusal> {
        if let Some(base) =
            self.base_url.as_ref().filter(|base| self.network_mirror && MirrorHost::of(base).is_none())
        {
            return Err(Refusal::new(
                Key::Settings,
                format!("{MIRROR:?} needs a host that providers can have in their address"),
            )
            .found(format!("{BASE_URL:?}: {:?}", base.as_str()))
            .expected("a host with a name, or an IPv4 address")
            .remedy(
                "give --base-url URL with such a host, or --network-mirror=false, to `tfreg init TARGET`",
            ));
        }
        let needing = [(self.network_mirror, MIRROR), (self.pages, PAGES)];
        let Some((_, name)) = needing.into_iter().find(|(is_set, _)| *is_set && self.base_url.is_none())
        else {
            return Ok(());
        };
        let off = if name == MIRROR { "--network-mirror=false" } else { "--pages=false" };
        Err(Refusal::new(Key::Settings, format!("{name:?} needs the address of the registry"))
            .found(format!("{name:?}: true, and no {BASE_URL:?}"))
            .expected(format!("{BASE_URL:?}, where clients reach the registry"))
            .remedy(format!("give --base-url URL, or {off}, to `tfreg init TARGET`")))
    }

    /// The settings of a registry after a change; `earlier` are those that it has, if it has any. Of earlier ones only the
    /// members that change are written, of new ones all.
    ///
    /// # Errors
    /// What results is no settings of a registry.
    pub fn changed(earlier: Option<&Self>, change: &SettingsChange) -> Result<Self, Refusal> {
        let mut next = earlier.cloned().unwrap_or_else(Self::new);
        match &change.links {
            Some(Links::Absolute(base_url)) => next.base_url = Some(base_url.clone()),
            Some(Links::RootRelative) => next.base_url = None,
            None => {}
        }
        next.replace = change.replace.unwrap_or(next.replace);
        next.prereleases = change.prereleases.unwrap_or(next.prereleases);
        if change.any_key {
            next.signing_keys.clear();
        }
        next.signing_keys.extend(change.added_keys.iter().cloned());
        let had_keys = !next.signing_keys.is_empty();
        next.signing_keys.retain(|key| !change.removed_keys.contains(key));
        if had_keys && next.signing_keys.is_empty() {
            // An empty list would let every key sign.
            let removed: Vec<String> = change.removed_keys.iter().map(ToString::to_string).collect();
            return Err(Refusal::new(Key::Settings, "no key could sign any more")
                .found(format!("--remove-key of every key in {SIGNING_KEYS:?}: {}", removed.join(", ")))
                .expected("a key that may sign, or the permission of all of them")
                .remedy(
                    "name another key by --allow-key FINGERPRINT; or let every key sign again by --any-key",
                ));
        }
        next.document_max_age = change.document_max_age.unwrap_or(next.document_max_age);
        next.network_mirror = change.network_mirror.unwrap_or(next.network_mirror);
        next.pages = change.pages.unwrap_or(next.pages);
        if let Some(title) = &change.title {
            next.title = Some(title.clone()).filter(|title| !title.is_empty());
        }
        next.check_base_url()?;
        let was = earlier.map(Self::values);
        for (name, value) in next.values() {
            let is_unchanged = was.as_ref().is_some_and(|was| was.contains(&(name, value.clone())));
            match value {
                _ if is_unchanged => {}
                Value::Null => next.object.remove(name),
                value => next.object.set(name, &value),
            }
        }
        Ok(next)
    }

    /// The members that `tfreg init` sets, with null for what is not set.
    fn values(&self) -> [(&'static str, Value); 8] {
        let keys = self.signing_keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        [
            (BASE_URL, self.base_url.as_ref().map_or(Value::Null, |base| base.as_str().into())),
            (REPLACE, self.replace.into()),
            (PRERELEASES, self.prereleases.into()),
            (SIGNING_KEYS, keys.into()),
            (MAX_AGE, self.document_max_age.0.into()),
            (MIRROR, self.network_mirror.into()),
            (PAGES, self.pages.into()),
            (TITLE, self.title.as_deref().map_or(Value::Null, Value::from)),
        ]
    }

    /// The differences from `earlier`, a line each, in words; all members if there were none.
    #[must_use]
    pub fn differences(&self, earlier: Option<&Self>) -> Vec<String> {
        let said = |value: &Value| if value.is_null() { "none".to_owned() } else { value.to_string() };
        let was = earlier.map(Self::values);
        let line = |(at, (name, value)): (usize, (&str, Value))| match was.as_ref().map(|was| &was[at].1) {
            None if value.is_null() => None,
            None => Some(format!("+ {name}: {value}")),
            Some(old) if *old == value => None,
            Some(old) => Some(format!("~ {name}: {} -> {}", said(old), said(&value))),
        };
        self.values().into_iter().enumerate().filter_map(line).collect()
    }

    /// Where clients reach the registry, if that is said.
    #[must_use]
    pub fn base_url(&self) -> Option<&BaseUrl> {
        self.base_url.as_ref()
    }

    /// The form of all links in the registry's documents.
    #[must_use]
    pub fn links(&self) -> Links {
        self.base_url.clone().map_or(Links::RootRelative, Links::Absolute)
    }

    /// Whether published contents may be replaced.
    #[must_use]
    pub fn replace(&self) -> bool {
        self.replace
    }

    /// Whether pre-releases may be published.
    #[must_use]
    pub fn prereleases(&self) -> bool {
        self.prereleases
    }

    /// The primary keys that may sign; every key, if there are none.
    #[must_use]
    pub fn signing_keys(&self) -> &BTreeSet<Fingerprint> {
        &self.signing_keys
    }

    /// How long clients may keep a document.
    #[must_use]
    pub fn document_max_age(&self) -> DocumentMaxAge {
        self.document_max_age
    }

    /// Whether the files of a network mirror are written; then there is a [`base_url`](Self::base_url).
    #[must_use]
    pub fn network_mirror(&self) -> bool {
        self.network_mirror
    }

    /// The host under which the files of the network mirror stand; `None` if they are not written.
    #[must_use]
    pub fn mirror_host(&self) -> Option<MirrorHost> {
        MirrorHost::of(self.base_url.as_ref().filter(|_| self.network_mirror)?)
    }

    /// Whether pages are written; then there is a [`base_url`](Self::base_url).
    #[must_use]
    pub fn pages(&self) -> bool {
        self.pages
    }

    /// The title of the pages.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// The document's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.object.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "4E8911C0E0EC692102243A48A7F2BC5B6E845A69";

    fn links(text: &str) -> Links {
        Links::Absolute(BaseUrl::of_registry(text).unwrap())
    }

    fn read(text: &str) -> Settings {
        Settings::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn new_settings_say_all_that_holds() {
        let change = SettingsChange {
            links: Some(links("https://registry.example.com/tf")),
            prereleases: Some(false),
            added_keys: [KEY.parse().unwrap()].into(),
            network_mirror: Some(true),
            ..SettingsChange::default()
        };
        let settings = Settings::changed(None, &change).unwrap();
        let text = String::from_utf8(settings.to_bytes()).unwrap();
        let expected = format!(
            "{{\n  \"format\": 1,\n  \"base_url\": \"https://registry.example.com/tf/\",\n  \"replace\": false,\n  \
             \"prereleases\": false,\n  \"signing_keys\": [\n    \"{KEY}\"\n  ],\n  \"document_max_age\": 60,\n  \
             \"network_mirror\": true,\n  \"pages\": false\n}}\n"
        );
        assert_eq!(text, expected);
        assert_eq!(read(&text), settings);
        assert_eq!(settings.links().base(), "https://registry.example.com/tf/");
        assert_eq!(Settings::changed(Some(&settings), &change).unwrap(), settings);
        assert_eq!(settings.differences(Some(&settings)), [""; 0]);
    }

    #[test]
    fn a_change_leaves_everything_else_as_it_is_written() {
        let text = r#"{"format": 1, "ticket":[1,  2.50], "replace" : false, "pages": true, "base_url": "https://h",
            "title":"Acme"}"#;
        let was = read(text);
        assert!(was.pages() && was.title() == Some("Acme"));
        let next = Settings::changed(
            Some(&was),
            &SettingsChange { replace: Some(true), ..SettingsChange::default() },
        );
        let next = next.unwrap();
        assert_eq!(next.differences(Some(&was)), ["~ replace: false -> true"]);
        let expected = "{\n  \"format\": 1,\n  \"ticket\": [1,  2.50],\n  \"replace\": true,\n  \"pages\": true,\n  \
                        \"base_url\": \"https://h\",\n  \"title\":\"Acme\"\n}\n";
        assert_eq!(
            String::from_utf8(next.to_bytes()).unwrap(),
            expected.replace("\"title\":", "\"title\": ")
        );
        // Pages need the address.
        let without = SettingsChange { links: Some(Links::RootRelative), ..SettingsChange::default() };
        assert!(Settings::changed(Some(&was), &without).unwrap_err().problem.contains("\"pages\""));
    }

    #[test]
    fn every_change_can_be_taken_back() {
        let keys = || BTreeSet::from([KEY.parse().unwrap()]);
        let on = SettingsChange {
            links: Some(links("https://h/")),
            replace: Some(true),
            prereleases: Some(false),
            added_keys: keys(),
            document_max_age: Some(DocumentMaxAge(5)),
            network_mirror: Some(true),
            pages: Some(true),
            title: Some("Acme".to_owned()),
            ..SettingsChange::default()
        };
        let off = SettingsChange {
            links: Some(Links::RootRelative),
            replace: Some(false),
            prereleases: Some(true),
            any_key: true,
            document_max_age: Some(DocumentMaxAge(60)),
            network_mirror: Some(false),
            pages: Some(false),
            title: Some(String::new()),
            ..SettingsChange::default()
        };
        let none = SettingsChange::default();
        let start = Settings::changed(None, &none).unwrap();
        let changed = Settings::changed(Some(&start), &on).unwrap();
        assert_eq!(changed.differences(Some(&start)).len(), 8);
        assert_eq!(Settings::changed(Some(&changed), &none).unwrap(), changed);
        assert_eq!(Settings::changed(Some(&changed), &off).unwrap().to_bytes(), start.to_bytes());
        let last = SettingsChange { removed_keys: keys(), ..none };
        assert!(Settings::changed(Some(&changed), &last).is_err(), "an empty list lets every key sign");
        let start = Settings::changed(Some(&start), &last).unwrap();
        assert!(start.signing_keys().is_empty(), "no key was named before either");
    }

    #[test]
    fn what_is_not_understood_is_refused_by_its_name() {
        for (member, name) in [
            (r#""format": 2"#, "format"),
            (r#""format": "1""#, "format"),
            (r#""format": 1, "base_url": 1"#, "base_url"),
            (r#""format": 1, "base_url": "http://registry.example.com/""#, "base_url"),
            (r#""format": 1, "base_url": "https://registry.example.com/?x""#, "base_url"),
            (r#""format": 1, "replace": "false""#, "replace"),
            (r#""format": 1, "prereleases": null"#, "prereleases"),
            (r#""format": 1, "signing_keys": "any""#, "signing_keys"),
            (r#""format": 1, "signing_keys": ["A7F2BC5B6E845A69"]"#, "signing_keys"),
            (r#""format": 1, "document_max_age": -1"#, "document_max_age"),
            (r#""format": 1, "document_max_age": 1e3"#, "document_max_age"),
            (r#""format": 1, "network_mirror": 1"#, "network_mirror"),
            (r#""format": 1, "network_mirror": true"#, "network_mirror"),
            (r#""format": 1, "pages": true"#, "pages"),
            (r#""format": 1, "title": []"#, "title"),
        ] {
            let refusal = Settings::parse(format!("{{{member}}}").as_bytes()).unwrap_err();
            assert!(refusal.found.contains(&format!("{name:?}")), "{member}: {refusal:?}");
        }
        for bad in ["", "{}", "[]", r#"{"format": 1, "format": 1}"#] {
            assert!(Settings::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(read(r#"{"format": 1}"#).values(), Settings::new().values());
    }
}
