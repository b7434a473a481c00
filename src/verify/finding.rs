//! Rules and findings.

use std::fmt;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

/// The severity of a broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A client fails because of it, or the next publish does.
    Error,
    /// Everything installs, but the user should know.
    Warning,
}

/// The subject of a rule; a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// `/.well-known/terraform.json`.
    Discovery,
    /// The index of versions.
    Index,
    /// The download documents.
    Documents,
    /// SHA256SUMS.
    Checksums,
    /// The signature, and the key that made it.
    Signature,
    /// The zips.
    Zips,
    /// How objects are served, and unreferenced objects.
    Objects,
    /// The record of the publish.
    Record,
    /// The network mirror.
    Mirror,
    /// The pages for people.
    Pages,
}

impl Group {
    /// All groups, in the order in which clients meet them.
    pub const ALL: [Self; 10] = [
        Self::Discovery,
        Self::Index,
        Self::Documents,
        Self::Checksums,
        Self::Signature,
        Self::Zips,
        Self::Objects,
        Self::Record,
        Self::Mirror,
        Self::Pages,
    ];

    /// The group in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Index => "index",
            Self::Documents => "download documents",
            Self::Checksums => "SHA256SUMS",
            Self::Signature => "signature and key",
            Self::Zips => "zips",
            Self::Objects => "objects",
            Self::Record => "record of the publish",
            Self::Mirror => "network mirror",
            Self::Pages => "pages",
        }
    }

    /// Why it matters to a user.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::Discovery => "clients find the registry by it",
            Self::Index => "it is what clients choose a version from",
            Self::Documents => "they lead clients to the zip, its checksum and the key",
            Self::Checksums => "every line of it goes into users' lock files",
            Self::Signature => "it proves to clients who made the release",
            Self::Zips => "they are what is installed and started",
            Self::Objects => "a missing object must look missing, and nobody should pay for what nobody uses",
            Self::Record => "it tells what the release was made of",
            Self::Mirror => "its users install from it alone",
            Self::Pages => "people choose a provider by them, and check its key",
        }
    }
}

/// A property that a registry must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name, which does not change.
    pub name: &'static str,
    /// Its subject.
    pub group: Group,
    /// The severity if it is broken.
    pub severity: Severity,
    /// The problem if it is broken.
    pub what: &'static str,
    /// Why it matters to a user.
    pub why: &'static str,
    /// The remedy.
    pub remedy: &'static str,
}

impl Rule {
    /// The rule is broken at `subject`: a key, or a URL.
    pub(super) fn at(&'static self, subject: impl fmt::Display) -> Finding {
        let (subject, found, expected) = (subject.to_string(), String::new(), String::new());
        Finding { rule: self, subject, found, expected, own_remedy: None }
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// The key or URL where it is broken.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// The remedy, if the cause is known more precisely than to the rule.
    own_remedy: Option<&'static str>,
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_struct("Finding", 9)?;
        members.serialize_field("rule", self.rule.name)?;
        members.serialize_field("group", &self.rule.group)?;
        members.serialize_field("severity", &self.rule.severity)?;
        members.serialize_field("what", self.rule.what)?;
        members.serialize_field("why", self.rule.why)?;
        members.serialize_field("remedy", self.remedy())?;
        members.serialize_field("subject", &self.subject)?;
        members.serialize_field("found", &self.found)?;
        members.serialize_field("expected", &self.expected)?;
        members.end()
    }
}

impl Finding {
    /// The remedy.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        self.own_remedy.unwrap_or(self.rule.remedy)
    }

    /// Replaces the remedy of the rule.
    pub(super) fn remedied(mut self, remedy: &'static str) -> Self {
        self.own_remedy = Some(remedy);
        self
    }

    /// Sets the value that was found.
    pub(super) fn found(mut self, found: impl fmt::Display) -> Self {
        self.found = found.to_string();
        self
    }

    /// Sets the expected value.
    pub(super) fn expected(mut self, expected: impl fmt::Display) -> Self {
        self.expected = expected.to_string();
        self
    }

    /// The sort key of findings: the worst first, then in the order in which clients meet them.
    pub(super) fn order(&self) -> (Severity, Group, &'static str, &str, &str) {
        (self.rule.severity, self.rule.group, self.rule.name, &self.subject, &self.found)
    }
}

/// Defines rules and the list of them.
macro_rules! rules {
    ($group:ident: $($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident, $what:literal, $why:literal, $remedy:literal;)+) => {
        $($(#[$doc])*
        pub(super) static $name: Rule = Rule {
            name: $text,
            group: Group::$group,
            severity: Severity::$severity,
            what: $what,
            why: $why,
            remedy: $remedy,
        };)+

        /// The rules of this module.
        pub(super) static RULES: &[&Rule] = &[$(&$name),+];
    };
}
pub(super) use rules;
