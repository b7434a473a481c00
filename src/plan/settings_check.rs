//! The registry's settings as every command meets them: they are read in the first round of reads, and what the command
//! line says otherwise is refused.
//!
//! A run observes them anew in every round, the last one included. So a run whose registry gets other settings meanwhile
//! plans again under the new ones, or is refused, and never reports success under the old ones.

use super::{Goal, Observation, Observed, Plan, ReadKind, Step, pages};
use crate::error::Refusal;
use crate::openpgp::Fingerprint;
use crate::provider::Version;
use crate::registry::{BaseUrl, DocumentMaxAge, Key, Links, Settings};

/// What a command line says that the settings may say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--base-url`.
    pub base_url: Option<BaseUrl>,
    /// Whether published contents may be replaced (`--replace`).
    pub replace: bool,
    /// The version that is published.
    pub version: Option<Version>,
    /// The primary key that signs, or that documents embed.
    pub key: Option<Fingerprint>,
    /// `--document-max-age`.
    pub max_age: Option<DocumentMaxAge>,
}

/// The links of a registry with these settings; without settings the flag decides.
#[must_use]
pub fn links(settings: Option<&Settings>, base_url: Option<&BaseUrl>) -> Links {
    match settings {
        Some(settings) => settings.links(),
        None => base_url.cloned().map_or(Links::RootRelative, Links::Absolute),
    }
}

/// The warning of links that some clients do not resolve.
pub(super) fn relative_links(links: &Links) -> Option<String> {
    (*links == Links::RootRelative).then(|| {
        "the documents have links from the host's root, which Renovate, Terragrunt before 1.0, tfupdate and pull-through mirrors \
         do not resolve; say where clients reach the registry: `tfreg init TARGET --base-url https://HOST/`"
            .to_owned()
    })
}

/// The next step of a goal, whose flags are `flags`. The first step reads the settings too.
///
/// # Errors
/// Fails if the settings are not understood, if a flag contradicts them, or if the goal is refused.
pub fn next<G: Goal>(
    goal: &G,
    flags: &Flags,
    seen: &mut Observation,
    state: &mut G::RunState,
) -> Result<Step, Refusal> {
    let Some(observed) = seen.objects.get(&Key::Settings) else {
        let mut reads = match goal.next(seen, state)? {
            Step::Read(reads) => reads,
            // Whatever comes next depends on the settings.
            _ => Vec::new(),
        };
        // Last, so that of several failures that of a document which clients read is reported.
        reads.retain(|(key, _)| *key != Key::Settings);
        reads.push((Key::Settings, ReadKind::Read));
        return Ok(Step::Read(reads));
    };
    if let (Observed::Document(read), None) = (observed, &seen.settings) {
        let settings = Settings::parse(&read.bytes)?;
        flags.check(&settings)?;
        seen.settings = Some(settings);
    }
    Ok(match goal.next(seen, state)? {
        Step::Ready(plan) => {
            let max_age = plan.max_age.or(seen.settings().map(Settings::document_max_age));
            let plan = Plan { max_age, settings: seen.settings().cloned(), ..*plan };
            match seen.settings().and_then(pages::site) {
                Some(site) => pages::with_pages(plan, &goal.pages(state), &site, seen)?,
                None => Step::Ready(Box::new(without_pages(plan, &goal.pages(state)))),
            }
        }
        step => step,
    })
}

/// The plan for a registry without pages, which says so if documentation was to be published.
fn without_pages(mut plan: Plan, wanted: &pages::Wanted<'_>) -> Plan {
    if wanted.docs.as_ref().is_some_and(|docs| docs.source.is_named) {
        plan.warnings.push(
            "the registry has no pages, so the documentation of --docs is not published; `tfreg init TARGET --pages` turns them on"
                .to_owned(),
        );
    }
    plan
}

impl Flags {
    /// # Errors
    /// A flag contradicts the settings.
    fn check(&self, settings: &Settings) -> Result<(), Refusal> {
        self.check_replace(settings)?;
        self.check_version(settings)?;
        self.check_key(settings)?;
        self.check_base_url(settings)?;
        self.check_max_age(settings)
    }

    fn check_replace(&self, settings: &Settings) -> Result<(), Refusal> {
        if !self.replace || settings.replace() {
            return Ok(());
        }
        Err(Refusal::new("--replace", "what is published here is never replaced")
            .found("--replace")
            .expected(by_settings("\"replace\": false"))
            .remedy(
                "leave out --replace and release a new version; if this is a staging registry, allow it by \
                 `tfreg init TARGET --allow-replace`",
            ))
    }

    fn check_version(&self, settings: &Settings) -> Result<(), Refusal> {
        let Some(version) = self.version.as_ref().filter(|version| version.is_prerelease()) else {
            return Ok(());
        };
        if settings.prereleases() {
            return Ok(());
        }
        Err(Refusal::new(format!("version {version}"), "no pre-release is published here")
            .found(format!("{version}, a pre-release"))
            .expected(by_settings("\"prereleases\": false"))
            .remedy(
                "release it without a pre-release part; if this registry takes pre-releases, allow them by \
                 `tfreg init TARGET --stable-only=false`",
            ))
    }

    fn check_key(&self, settings: &Settings) -> Result<(), Refusal> {
        let Some(key) = &self.key else { return Ok(()) };
        let allowed = settings.signing_keys();
        if allowed.is_empty() || allowed.contains(key) {
            return Ok(());
        }
        let allowed = allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(Refusal::new(format!("key {key}"), "the signing key is not one of this registry")
            .found(key)
            .expected(by_settings(&format!("\"signing_keys\": {allowed}")))
            .remedy(format!(
                "sign with one of these keys; if the key is meant, allow it by `tfreg init TARGET --allow-key {key}`"
            )))
    }

    fn check_base_url(&self, settings: &Settings) -> Result<(), Refusal> {
        let Some(flag) = self.base_url.as_ref().filter(|flag| settings.base_url() != Some(*flag)) else {
            return Ok(());
        };
        let theirs = settings.base_url().map_or_else(
            || "no \"base_url\": links begin at the host's root".to_owned(),
            |base| format!("\"base_url\": {:?}", base.as_str()),
        );
        Err(Refusal::new("--base-url", "this registry has another address")
            .found(format!("--base-url {flag}"))
            .expected(by_settings(&theirs))
            .remedy(format!(
                "leave out --base-url (TFREG_BASE_URL); if the registry has moved, change its settings by \
                 `tfreg init TARGET --base-url {flag}`"
            )))
    }

    fn check_max_age(&self, settings: &Settings) -> Result<(), Refusal> {
        let Some(flag) = self.max_age.filter(|flag| settings.document_max_age() != *flag) else {
            return Ok(());
        };
        Err(Refusal::new("--document-max-age", "documents of this registry have another cache rule")
            .found(format!("--document-max-age {}", flag.0))
            .expected(by_settings(&format!("\"document_max_age\": {}", settings.document_max_age().0)))
            .remedy(format!(
                "leave out --document-max-age; to change it for the registry: `tfreg init TARGET --document-max-age {}`",
                flag.0
            )))
    }
}

/// The other value, with its place.
fn by_settings(member: &str) -> String {
    format!("{member}, in {}", Key::Settings)
}
