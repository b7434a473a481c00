//! Rules and what breaks them.

use std::fmt;

use serde::Serialize;

/// How bad it is when a rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A client trips over it, or the next publish does.
    Error,
    /// Everything installs, and somebody should know.
    Warning,
}

/// What a rule is about; a row of the table.
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
    /// How objects are served, and what nothing refers to.
    Objects,
    /// The record of the publish.
    Record,
}

impl Group {
    /// All groups, in the order in which clients meet them.
    pub const ALL: [Self; 8] = [
        Self::Discovery,
        Self::Index,
        Self::Documents,
        Self::Checksums,
        Self::Signature,
        Self::Zips,
        Self::Objects,
        Self::Record,
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
        }
    }

    /// Why it matters to a user.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::Discovery => "by it clients find the registry",
            Self::Index => "it is what clients choose a version from",
            Self::Documents => "they lead clients to the zip, its checksum and the key",
            Self::Checksums => "every line of it goes into users' lock files",
            Self::Signature => "it proves to clients who made the release",
            Self::Zips => "they are what is installed and started",
            Self::Objects => "a missing object must look missing, and nobody should pay for what nobody uses",
            Self::Record => "it tells what the release was made of",
        }
    }
}

/// Something that must be true of a registry.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its name, which does not change.
    #[serde(rename = "rule")]
    pub name: &'static str,
    /// What it is about.
    pub group: Group,
    /// How bad it is when it is broken.
    pub severity: Severity,
    /// What is wrong when it is broken.
    pub what: &'static str,
    /// Why that matters to a user.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

impl Rule {
    /// The rule is broken at `subject`: a key, or a URL.
    pub(super) fn at(&'static self, subject: impl fmt::Display) -> Finding {
        Finding { rule: self, subject: subject.to_string(), found: String::new(), expected: String::new() }
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule.
    #[serde(flatten)]
    pub rule: &'static Rule,
    /// The key or URL where it is broken.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl Finding {
    /// Says what was found.
    pub(super) fn found(mut self, found: impl fmt::Display) -> Self {
        self.found = found.to_string();
        self
    }

    /// Says what was expected.
    pub(super) fn expected(mut self, expected: impl fmt::Display) -> Self {
        self.expected = expected.to_string();
        self
    }

    /// What findings are ordered by: the worst first, then as clients meet them.
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
