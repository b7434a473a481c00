//! The subject of a command: the registry, and the provider in it with or without a version. All commands take them the
//! same way.

use std::path::PathBuf;

use clap::Args;

use super::Environment;
use super::target::{access_to, check_exists, patience};
use super::values::{self, Named};
use crate::error::{Error, Result};
use crate::provider::{Provider, Version};
use crate::report::Reporter;
use crate::store::access::Access;
use crate::store::budget::DEFAULT_PATIENCE;
use crate::workflow::target::Place;

/// TARGET and NS/TYPE as the command line has them. `TARGET` may be left out where `--to` or `TFREG_TO` names it; then what
/// follows moves up, so both are read as text first.
#[derive(Debug, Args)]
pub(super) struct SubjectArgs {
    /// Where the registry is: a directory, or s3://BUCKET[/PREFIX]. Not given where --to or TFREG_TO names it
    #[arg(value_name = "TARGET")]
    target: Option<String>,

    /// The provider, the source address without its host; and the version, where the command is about one
    #[arg(value_name = "NS/TYPE[@VERSION]")]
    provider: Option<String>,

    /// The same as TARGET; or in TFREG_TO
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
}

/// TARGET alone, for a command that is about the whole registry.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Where the registry is: a directory, or s3://BUCKET[/PREFIX]. Not given where --to or TFREG_TO names it
    #[arg(value_name = "TARGET")]
    target: Option<String>,

    /// The same as TARGET; or in TFREG_TO
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
}

impl TargetArgs {
    /// Parses it by `read`; `variable` is that of `TFREG_TO`.
    ///
    /// # Errors
    /// Fails if it is missing, named twice, or invalid.
    pub(super) fn read<T>(
        self,
        variable: Option<&str>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T> {
        let Self { target, to } = self;
        if let (Some(target), Some(to)) = (&target, &to) {
            return Err(Error::Usage(format!(
                "the registry is named twice, by --to {to} and by {target}; give one of them"
            )));
        }
        let target = target.or(to).or(variable.map(str::to_owned));
        let target = target.ok_or_else(|| {
            Error::Usage("no TARGET: name the registry, by --to, or in TFREG_TO".to_owned())
        })?;
        value("TARGET", &target, read)
    }
}

/// The registry that a command reads, wherever it is, what it names of it, and how a host is reached.
#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    /// The registry: a directory, s3://BUCKET[/PREFIX], or https://HOST/ as clients see it. Not given where --to or TFREG_TO
    /// names it
    #[arg(value_name = "TARGET|URL")]
    target: Option<String>,

    /// Only this provider, or this version of it; for a host the provider is needed
    #[arg(value_name = "NS/TYPE[@VERSION]")]
    provider: Option<String>,

    /// The same as TARGET|URL; or in TFREG_TO
    #[arg(long, value_name = "TARGET|URL")]
    to: Option<String>,

    /// A PEM file of certificates to trust beside the system's, instead of those of AWS_CA_BUNDLE
    #[arg(long, value_name = "PEM")]
    ca_file: Option<PathBuf>,

    /// Follow the links of a public host to private addresses too, inside of your network
    ///
    /// A host may lead anywhere. Only https is followed, and only to public addresses, or to those of the network in which the
    /// host itself is. Link-local and loopback addresses stay closed.
    #[arg(long)]
    allow_private_links: bool,
}

/// The place according to [`PlaceArgs`].
pub(super) struct ReadPlace {
    pub(super) place: Place,
    pub(super) named: Option<Named>,
    pub(super) access: Access,
    /// Whether a host may lead to private addresses.
    pub(super) private_links: bool,
}

impl PlaceArgs {
    /// Finds the registry, and the access to it. `doing` is the command.
    ///
    /// # Errors
    /// Fails if the registry is not named, a word is invalid, a file of certificates cannot be read, or there is no such directory.
    pub(super) fn read(
        self,
        environment: Environment,
        doing: &str,
        reporter: &Reporter,
    ) -> Result<ReadPlace> {
        let words = self.target.into_iter().chain(self.provider).collect();
        let (place, named) = place(words, self.to, environment.to.as_deref())?;
        check_exists(&place, doing)?;
        let ca_file = self.ca_file.map(|path| ("--ca-file", path));
        let environment = Environment { ca_bundle: ca_file.or(environment.ca_bundle), ..environment };
        let mut access = access_to(&place, &environment)?;
        access.patience = patience(DEFAULT_PATIENCE, reporter);
        Ok(ReadPlace { place, named, access, private_links: self.allow_private_links })
    }
}

/// The subject according to [`SubjectArgs`].
#[derive(Debug)]
pub(super) struct Subject<T> {
    pub(super) target: T,
    pub(super) named: Named,
    /// The words after it.
    pub(super) rest: Vec<String>,
}

/// The words of a command line: the text of the target, and the other words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) target: Option<String>,
    pub(super) rest: Vec<String>,
}

/// Finds the target among the words. It is the first one, if neither `to` (`--to`) nor `variable` (`TFREG_TO`) names
/// one. The variable applies to all commands, so a word takes precedence over it; a word is then the target if it is
/// not of the form NS/TYPE, or if a word of that form follows it.
pub(super) fn words(words: Vec<String>, to: Option<String>, variable: Option<&str>) -> Result<Words> {
    let is_provider = |at: usize| words.get(at).is_some_and(|word| values::named(word).is_ok());
    let led = !words.is_empty() && (!is_provider(0) || is_provider(1));
    if let Some(to) = to {
        if !is_provider(0) && is_provider(1) {
            return Err(Error::Usage(format!(
                "the registry is named twice, by --to {to} and by {}; give one of them",
                words.first().map_or("", String::as_str)
            )));
        }
        return Ok(Words { target: Some(to), rest: words });
    }
    let mut rest = words.into_iter();
    let target = match variable {
        Some(variable) if !led => Some(variable.to_owned()),
        _ => rest.next(),
    };
    Ok(Words { target, rest: rest.collect() })
}

/// Parses a word that clap has not parsed; an error has clap's wording.
pub(super) fn value<T>(name: &str, text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T> {
    read(text).map_err(|error| Error::Usage(format!("invalid value '{text}' for '{name}': {error}")))
}

/// The place that a command reads, and what it names of it, for a command whose words are `TARGET|URL` and
/// `NS/TYPE[@VERSION]`, both of which may be left out: see [`words`].
///
/// # Errors
/// Fails if the place is missing, or a word is invalid.
fn place(all: Vec<String>, to: Option<String>, variable: Option<&str>) -> Result<(Place, Option<Named>)> {
    let Words { target, rest } = words(all, to, variable)?;
    let target = target
        .ok_or_else(|| Error::Usage("no TARGET: name the registry, by --to, or in TFREG_TO".to_owned()))?;
    let place = value("TARGET|URL", &target, values::place)?;
    let named = match rest.as_slice() {
        [] => None,
        [named] => Some(value("NS/TYPE[@VERSION]", named, values::named)?),
        [_, unexpected, ..] => return Err(Error::Usage(format!("unexpected argument '{unexpected}'"))),
    };
    Ok((place, named))
}

impl SubjectArgs {
    /// Parses the target of a command that is about every provider.
    ///
    /// # Errors
    /// Fails if it is missing or invalid, or a provider is named.
    pub(super) fn read_target<T>(
        self,
        variable: Option<&str>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T> {
        let Words { target, rest } =
            words(self.target.into_iter().chain(self.provider).collect(), self.to, variable)?;
        if let Some(word) = rest.first() {
            return Err(Error::Usage(format!("{word}: --all is about every provider; leave it out")));
        }
        let target = target.ok_or_else(|| {
            Error::Usage("no TARGET: name the registry, by --to, or in TFREG_TO".to_owned())
        })?;
        value("TARGET", &target, read)
    }

    /// Parses them and the words after them; `read` parses the target.
    ///
    /// # Errors
    /// Fails if one is missing or invalid.
    pub(super) fn read<T>(
        self,
        more: Vec<String>,
        variable: Option<&str>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Subject<T>> {
        let all: Vec<String> = self.target.into_iter().chain(self.provider).chain(more).collect();
        let missing = |what: &str| Error::Usage(format!("{what}; see --help"));
        let is_provider = |at: usize| all.get(at).is_some_and(|word| values::named(word).is_ok());
        if self.to.is_none() && variable.is_none() && (all.is_empty() || is_provider(0) && !is_provider(1)) {
            return Err(missing("no TARGET: name the registry before NS/TYPE, by --to, or in TFREG_TO"));
        }
        let Words { target, rest } = words(all, self.to, variable)?;
        let target = target.unwrap_or_default();
        let mut rest = rest.into_iter();
        let provider =
            rest.next().ok_or_else(|| missing("no NS/TYPE: name the provider, such as acme/sample"))?;
        Ok(Subject {
            target: value("TARGET", &target, read)?,
            named: value("NS/TYPE[@VERSION]", &provider, values::named)?,
            rest: rest.collect(),
        })
    }
}

impl<T> Subject<T> {
    pub(super) fn provider(&self) -> &Provider {
        &self.named.provider
    }

    /// The versions in `@VERSION` and in the words after it.
    ///
    /// # Errors
    /// Fails if a word is not a version.
    pub(super) fn versions(&self) -> Result<Vec<Version>> {
        let mut versions: Vec<Version> = self.named.version.iter().cloned().collect();
        for word in &self.rest {
            versions.push(value("VERSION", word, |text| {
                Version::from_tag(text).map_err(|error| error.to_string())
            })?);
        }
        Ok(versions)
    }

    /// The only version.
    ///
    /// # Errors
    /// Fails if there is none, or several.
    pub(super) fn version(&self) -> Result<Version> {
        match self.versions()?.as_slice() {
            [version] => Ok(version.clone()),
            [] => Err(Error::Usage(format!(
                "no version: name it with the provider, such as {}@1.2.3; see --help",
                self.provider()
            ))),
            several => {
                Err(Error::Usage(format!("{} versions are named, and this command takes one", several.len())))
            }
        }
    }

    /// Refuses a version, for a command that applies to all of them.
    ///
    /// # Errors
    /// Fails if one is named.
    pub(super) fn no_version(&self) -> Result<()> {
        match &self.named.version {
            None => Ok(()),
            Some(version) => Err(Error::Usage(format!(
                "{0}@{version}: this command is about all versions; name {0} only",
                self.provider()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, to: Option<&str>, variable: Option<&str>) -> (Option<String>, String) {
        let all = text.split_whitespace().map(str::to_owned).collect();
        let Words { target, rest } = words(all, to.map(str::to_owned), variable).unwrap();
        (target, rest.join(" "))
    }

    #[test]
    fn the_target_is_told_among_the_words() {
        let (to, variable) = (Some("option"), Some("variable"));
        for (text, to, variable, target, rest) in [
            ("site acme/sample 1.2.0", None, None, "site", "acme/sample 1.2.0"),
            ("out/site acme/sample", None, None, "out/site", "acme/sample"),
            ("acme/sample@1.2.0", to, None, "option", "acme/sample@1.2.0"),
            ("acme/sample a/b", to, variable, "option", "acme/sample a/b"),
            ("acme/sample text", None, variable, "variable", "acme/sample text"),
            ("site acme/sample text", None, variable, "site", "acme/sample text"),
            ("out/site acme/sample", None, variable, "out/site", "acme/sample"),
            ("site", None, variable, "site", ""),
            ("", None, variable, "variable", ""),
            ("", to, None, "option", ""),
        ] {
            let expected = (Some(target.to_owned()), rest.to_owned());
            assert_eq!(split(text, to, variable), expected, "{text:?}, {to:?}, {variable:?}");
        }
        assert_eq!(split("", None, None), (None, String::new()));
    }

    #[test]
    fn a_target_is_not_named_twice() {
        let all = ["site", "acme/sample"].map(str::to_owned).to_vec();
        assert!(words(all, Some("other".to_owned()), None).is_err());
    }
}
