//! `tfreg drone`: publish as a Drone plugin. Settings become the options of `tfreg publish`, without a list of them
//! here.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, CommandFactory as _};
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Cli, misplaced};
use crate::error::{Error, Refusal, Result};
use crate::openpgp::key_text::holds_secret_key;
use crate::openpgp::signing_key::Secret;
use crate::provider::{ProviderType, Version};

/// Publish in a Drone pipeline, as its plugin: options come from the step's settings
///
/// Every option of `tfreg publish` is a setting: --expect-match is `expect_match`, ARTIFACT is `artifacts` or `tarballs`. Drone
/// hands settings over as variables, PLUGIN_EXPECT_MATCH; lists have commas. Beyond the options there are `signing_key` and
/// `signing_passphrase`, the texts of these secrets, and `registries`, which says what build goes where.
///
/// With `all_versions: true` the artifacts may be of several versions and providers (a backfill), and nothing is expected of
/// DRONE_TAG.
///
/// Unless settings say otherwise, the release must be of the version and the provider that DRONE_TAG names, and the
/// executable is asked which plugin protocol it speaks (probe_protocol: false turns that off). In `artifacts`, {type} and
/// {version} stand for that provider and that version.
///
/// A setting, or a variable TFREG_… or AWS_…, that is set to nothing is refused: its secret is missing.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  What Drone runs for a step with the settings `to`, `namespace` and `tarballs`:
    export PLUGIN_TO=site PLUGIN_NAMESPACE=acme
    PLUGIN_TARBALLS='build/*.tar.gz' tfreg drone

  Staging and production in one step, told apart by what started the build:
    export PLUGIN_NAMESPACE=acme
    export PLUGIN_TARBALLS='s3://artifacts/{type}/v{version}/'
    export PLUGIN_REGISTRIES='[
      {\"event\": \"tag\", \"to\": \"s3://staging\", \"replace\": true},
      {\"event\": \"promote\", \"deploy_to\": \"production\", \"to\": \"s3://production\",
       \"expect_match\": \"s3://staging\"}]'
    DRONE_BUILD_EVENT=tag tfreg drone
    DRONE_BUILD_EVENT=promote DRONE_DEPLOY_TO=production tfreg drone

The setting `registries` is a list. Of each entry, `event` and `deploy_to` (a
text or a list of texts; left out: any) are compared with DRONE_BUILD_EVENT and
DRONE_DEPLOY_TO. Exactly one entry must fit; its other members are settings,
which take precedence over those of the step. A text that begins with $ names a
variable of the step's environment, in which a secret can be.")]
pub(super) struct DroneArgs {}

/// Settings by name; some are secrets.
pub(super) type Settings = BTreeMap<String, Zeroizing<String>>;

/// The variables that the runner passes.
pub(super) struct Runner<'a> {
    /// The variables that begin with `PLUGIN_`, by their names without the prefix.
    pub(super) settings: Settings,
    /// Any other variable of the step; `None` if it is unset or empty.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The variables that are empty.
    pub(super) empty: BTreeSet<String>,
}

/// The command that corresponds to the settings.
pub(super) struct Resolved {
    /// `tfreg publish …`
    pub(super) arguments: Vec<String>,
    pub(super) signing_key: Option<Secret>,
    pub(super) signing_passphrase: Option<Secret>,
}

/// A destination of builds.
#[derive(Deserialize)]
struct Registry {
    event: Option<Words>,
    deploy_to: Option<Words>,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Words {
    fn contain(&self, word: Option<&str>) -> bool {
        match self {
            Self::One(one) => word == Some(one),
            Self::Many(many) => many.iter().any(|one| word == Some(one)),
        }
    }
}

impl std::fmt::Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(one) => f.write_str(one),
            Self::Many(many) => f.write_str(&many.join(" or ")),
        }
    }
}

const REGISTRIES: &str = "registries";
const SIGNING_KEY: &str = "signing_key";
const SIGNING_PASSPHRASE: &str = "signing_passphrase";
const TARBALLS: &str = "tarballs";
/// The setting of a backfill, whose versions no tag names.
const ALL_VERSIONS: &str = "all_versions";
/// Another name of the same setting, for releases of ready-made zips.
const ARTIFACTS: &str = "artifacts";

/// Turns settings into the command line of `tfreg publish`.
///
/// # Errors
/// Fails if a setting is unknown, empty or unreadable, if not exactly one registry matches, or if nothing determines
/// the expected version.
pub(super) fn resolve(mut runner: Runner<'_>) -> Result<Resolved> {
    let given = std::mem::take(&mut runner.settings);
    let mut settings: Settings =
        given.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    if let Some(registries) = settings.remove(REGISTRIES) {
        settings.extend(registry_settings(&registries, &runner)?);
    }
    if settings.contains_key(ARTIFACTS) && settings.contains_key(TARBALLS) {
        return Err(Error::Usage(format!(
            "the settings {ARTIFACTS} and {TARBALLS} are one; give one of them"
        )));
    }
    if let Some(name) = settings.iter().find(|(_, value)| value.trim().is_empty()).map(|(name, _)| name) {
        // A check whose setting is empty because of a missing secret would not be made.
        return Err(emptied(&format!("the setting {name}")));
    }
    let of_publish = |name: &&String| name.starts_with("TFREG_") || name.starts_with("AWS_");
    if let Some(name) = runner.empty.iter().find(of_publish) {
        // If credentials are empty because of a missing secret, others would be used: those of the machine.
        return Err(emptied(&format!("the variable {name}")));
    }
    let mut secret = |name: &str| {
        settings.remove(name).map(|mut text| Secret::new(std::mem::take(&mut *text).into_bytes()))
    };
    let (signing_key, signing_passphrase) = (secret(SIGNING_KEY), secret(SIGNING_PASSPHRASE));
    // A variable that an entry of `registries` names was not checked before.
    if let Some(name) =
        settings.iter().find(|(_, value)| holds_secret_key(value.as_bytes())).map(|(name, _)| name)
    {
        return Err(misplaced::refusal(&format!("the setting {name}")));
    }
    if let Some(artifacts) = settings.remove(ARTIFACTS) {
        settings.insert(TARBALLS.to_owned(), artifacts);
    }
    add_defaults(&mut settings, &runner)?;
    fill_in(&mut settings)?;
    Ok(Resolved { arguments: arguments(&settings)?, signing_key, signing_passphrase })
}

fn emptied(what: &str) -> Error {
    Error::Usage(format!(
        "{what} is set to nothing; give it a value (does its secret exist, and may this build read it?), or remove it"
    ))
}

/// The settings of the one registry to which this build is published.
fn registry_settings(text: &str, runner: &Runner<'_>) -> Result<Settings> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Error::Usage(format!(
            "the setting {REGISTRIES}: {error}; expected a list of registries, see `tfreg help drone`"
        ))
    };
    let registries: Vec<Registry> = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    let (event, target) = ((runner.variable)("DRONE_BUILD_EVENT"), (runner.variable)("DRONE_DEPLOY_TO"));
    let fits = |registry: &&Registry| {
        registry.event.as_ref().is_none_or(|words| words.contain(event.as_deref()))
            && registry.deploy_to.as_ref().is_none_or(|words| words.contain(target.as_deref()))
    };
    let mut fitting = registries.iter().filter(fits);
    let (Some(registry), None) = (fitting.next(), fitting.next()) else {
        let any = |words: &Option<Words>| words.as_ref().map_or("any".to_owned(), ToString::to_string);
        let known = registries.iter().map(|registry| {
            format!("event {}, deploy target {}", any(&registry.event), any(&registry.deploy_to))
        });
        let problem = if registries.iter().any(|registry| fits(&registry)) {
            "this build goes to more than one registry"
        } else {
            "this build goes to no registry"
        };
        let set = |value: Option<String>| value.unwrap_or("none".to_owned());
        return Err(Refusal::new(format!("the setting {REGISTRIES}"), problem)
            .found(format!("event {}, deploy target {}", set(event), set(target)))
            .expected(format!("exactly one of:\n{}", known.collect::<Vec<_>>().join("\n")))
            .remedy("promote to a target that is listed, correct the setting, or leave the step out of such builds")
            .into());
    };
    let mut settings = BTreeMap::new();
    for (name, value) in &registry.settings {
        let text = text_of(value)
            .ok_or_else(|| unreadable(&format!("{name} is neither a text nor a list of texts")))?;
        let text = match text.strip_prefix('$') {
            Some(variable) => (runner.variable)(variable)
                .ok_or_else(|| unreadable(&format!("{name} is the variable {variable}, which is not set")))?,
            None => text,
        };
        settings.insert(name.to_lowercase(), text.into());
    }
    Ok(settings)
}

/// A value in Drone's form: lists with commas.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(values) => {
            let texts: Option<Vec<String>> =
                values.iter().filter(|value| !value.is_array()).map(text_of).collect();
            texts.filter(|texts| texts.len() == values.len()).map(|texts| texts.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// Adds settings that a pipeline should not have to give.
fn add_defaults(settings: &mut Settings, runner: &Runner<'_>) -> Result<()> {
    settings.entry("probe_protocol".to_owned()).or_insert_with(|| "true".to_owned().into());
    match settings.remove(ALL_VERSIONS).as_ref().map(|value| value.trim()) {
        None | Some("false") => {}
        Some("true") => return Ok(()),
        Some(other) => {
            return Err(Error::Usage(format!(
                "the setting {ALL_VERSIONS} is {other:?}; expected true or false"
            )));
        }
    }
    let tag = (runner.variable)("DRONE_TAG");
    if let Some(provider_type) = tag.as_deref().and_then(ProviderType::from_tag) {
        settings.entry("expect_type".to_owned()).or_insert_with(|| provider_type.to_string().into());
    }
    match (settings.contains_key("expect_version"), tag) {
        (true, _) => {}
        (false, Some(tag)) => drop(settings.insert("expect_version".to_owned(), tag.into())),
        (false, None) => {
            return Err(Error::Usage(
                "DRONE_TAG is not set, so this is not the build of a tag; run the step on tags, or name the version by the \
                 setting expect_version"
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

/// Replaces `{type}` and `{version}` in the tarballs' addresses by the expected values: a step without a shell cannot
/// split a tag.
fn fill_in(settings: &mut Settings) -> Result<()> {
    let Some(tarballs) = settings.get(TARBALLS).filter(|tarballs| tarballs.contains('{')) else {
        return Ok(());
    };
    let failed = |problem: &dyn std::fmt::Display| Error::Usage(format!("the setting {TARBALLS}: {problem}"));
    let mut filled = tarballs.to_string();
    if tarballs.contains("{type}") {
        let unknown = "{type} is not known; DRONE_TAG is not that of a provider (terraform-provider-TYPE-vVERSION), so name \
                       the type by the setting expect_type";
        filled =
            filled.replace("{type}", settings.get("expect_type").ok_or_else(|| failed(&unknown))?.trim());
    }
    if let Some(version) = settings.get("expect_version").filter(|_| tarballs.contains("{version}")) {
        let version = Version::from_tag(version.trim()).map_err(|error| failed(&error))?;
        filled = filled.replace("{version}", &version.to_string());
    }
    if filled.contains(['{', '}']) {
        return Err(failed(&format!("{} has braces; there are {{type}} and {{version}}", tarballs.as_str())));
    }
    settings.insert(TARBALLS.to_owned(), filled.into());
    Ok(())
}

/// `tfreg publish` with these settings.
fn arguments(settings: &Settings) -> Result<Vec<String>> {
    let mut command = Cli::command();
    // Only after `build` do the subcommands have the global options.
    command.build();
    let publish =
        command.find_subcommand("publish").map(|publish| publish.get_arguments().collect::<Vec<_>>());
    let options: BTreeMap<String, &clap::Arg> = publish
        .into_iter()
        .flatten()
        .filter_map(|option| Some((option.get_long()?.replace('-', "_"), option)))
        .filter(|(name, _)| !matches!(name.as_str(), "help" | "version"))
        .collect();
    let mut arguments = vec!["tfreg".to_owned(), "publish".to_owned()];
    for (name, value) in settings.iter().filter(|(name, _)| *name != TARBALLS) {
        let Some(option) = options.get(name) else {
            let known: BTreeSet<&str> = options
                .keys()
                .map(String::as_str)
                .chain([REGISTRIES, SIGNING_KEY, SIGNING_PASSPHRASE, TARBALLS, ARTIFACTS, ALL_VERSIONS])
                .collect();
            return Err(Error::Usage(format!(
                "the setting {name} is not known; there are {}",
                known.into_iter().collect::<Vec<_>>().join(", ")
            )));
        };
        let long = name.replace('_', "-");
        if option.get_action().takes_values() {
            arguments.push(format!("--{long}={}", value.trim()));
        } else {
            match value.trim() {
                "true" => arguments.push(format!("--{long}")),
                "false" => {}
                other => {
                    return Err(Error::Usage(format!(
                        "the setting {name} is {other:?}; expected true or false"
                    )));
                }
            }
        }
    }
    arguments.push("--".to_owned());
    for tarball in settings.get(TARBALLS).iter().flat_map(|list| list.split(',')).map(str::trim) {
        arguments.extend(expand(tarball));
    }
    Ok(arguments)
}

/// The files that match a pattern, as in a shell: the pattern itself if no file matches, or if it is not a pattern.
fn expand(pattern: &str) -> Vec<String> {
    if ["s3:", "https:", "http:"].iter().any(|scheme| pattern.starts_with(scheme))
        || !pattern.contains(['*', '?', '['])
    {
        return vec![pattern.to_owned()];
    }
    let paths = glob::glob(pattern).into_iter().flatten().filter_map(std::result::Result::ok);
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    if paths.is_empty() { vec![pattern.to_owned()] } else { paths }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: (&str, &str) = ("DRONE_TAG", "terraform-provider-sample-v1.2.0");

    fn resolved(settings: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Resolved> {
        let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let settings = owned(settings).into_iter().map(|(name, value)| (name, value.into())).collect();
        let variables = owned(variables);
        let variable = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
        let empty = variables.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| name.clone());
        resolve(Runner { settings, variable: &variable, empty: empty.collect() })
    }

    fn arguments_of(settings: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
        resolved(settings, variables).unwrap().arguments.join(" ")
    }

    fn refused(settings: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
        match resolved(settings, variables) {
            Ok(resolved) => panic!("not refused: {:?}", resolved.arguments),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn artifacts_are_tarballs_by_another_name() {
        let text = arguments_of(&[("artifacts", "dist/"), ("public_key", "key.asc")], &[TAG]);
        assert!(text.ends_with("--public-key=key.asc -- dist/"), "{text}");
        let twice = resolved(&[("artifacts", "dist/"), ("tarballs", "x.tar.gz")], &[TAG]);
        assert!(matches!(twice, Err(Error::Usage(_))));
    }

    #[test]
    fn every_option_of_publish_is_a_setting() {
        let mut command = Cli::command();
        command.build();
        let publish = command.find_subcommand("publish").unwrap();
        for option in publish.get_arguments().filter(|option| !option.is_positional()) {
            let long = option.get_long().unwrap();
            if matches!(long, "help" | "version") {
                continue;
            }
            let takes_value = option.get_action().takes_values();
            let setting = long.replace('-', "_").to_uppercase();
            let value = if takes_value { "x" } else { "true" };
            let expected = if takes_value { format!(" --{long}=x") } else { format!(" --{long} ") };
            let found = arguments_of(&[(&setting, value)], &[TAG]);
            assert!(found.contains(&expected), "{setting}: {found}");
        }
    }

    #[test]
    fn the_tag_is_what_is_expected() {
        assert_eq!(
            arguments_of(
                &[
                    ("TO", "site"),
                    ("TARBALLS", "a.tgz, b.tgz"),
                    ("EXPECT_PLATFORM", "linux_amd64,linux_arm64")
                ],
                &[TAG]
            ),
            "tfreg publish --expect-platform=linux_amd64,linux_arm64 --expect-type=sample \
             --expect-version=terraform-provider-sample-v1.2.0 --probe-protocol --to=site -- a.tgz b.tgz"
        );
        let other = [("PROBE_PROTOCOL", "false"), ("EXPECT_VERSION", "1.0.0"), ("EXPECT_TYPE", "x")];
        assert_eq!(arguments_of(&other, &[TAG]), "tfreg publish --expect-type=x --expect-version=1.0.0 --");
        assert_eq!(arguments_of(&other[..2], &[]), "tfreg publish --expect-version=1.0.0 --");
        assert!(refused(&[("TO", "site")], &[]).contains("DRONE_TAG is not set"));
        assert!(refused(&[("TO", "site")], &[("DRONE_TAG", "")]).contains("DRONE_TAG is not set"));
    }

    #[test]
    fn a_backfill_expects_no_version() {
        let all = ("ALL_VERSIONS", "true");
        let expected = "tfreg publish --probe-protocol -- releases/";
        assert_eq!(arguments_of(&[all, ("ARTIFACTS", "releases/")], &[]), expected);
        assert_eq!(arguments_of(&[all, ("ARTIFACTS", "releases/")], &[TAG]), expected);
        let one = arguments_of(&[("ALL_VERSIONS", "false"), ("ARTIFACTS", "releases/")], &[TAG]);
        assert!(one.contains("--expect-version="), "{one}");
        assert!(refused(&[("ALL_VERSIONS", "yes")], &[TAG]).contains("expected true or false"));
        assert!(refused(&[all, ("ARTIFACTS", "v{version}/")], &[TAG]).contains("has braces"));
    }

    #[test]
    fn settings_that_would_be_lost_are_refused() {
        for (name, value, said) in [
            ("EXPECT_PLATFROM", "linux_amd64", "expect_platform"),
            ("EXPECT_MATCH", "", "expect_match is set to nothing"),
            ("EXPECT_MATCH", " ", "expect_match is set to nothing"),
            ("SIGNING_KEY", "", "signing_key is set to nothing"),
            ("REPLACE", "yes", "expected true or false"),
            ("HELP", "true", "not known"),
            ("REGISTRIES", "{}", "registries"),
            ("REGISTRIES", "[{\"to\": {}}]", "neither a text nor a list"),
            ("REGISTRIES", "[{\"to\": [[\"x\"]]}]", "neither a text nor a list"),
            ("REGISTRIES", "[{\"to\": \"$NOWHERE\"}]", "NOWHERE, which is not set"),
            ("REGISTRIES", "[{\"to\": \"\"}]", "to is set to nothing"),
            ("REGISTRIES", "[{\"two\": \"site\"}]", "two is not known"),
        ] {
            let found = refused(&[(name, value)], &[TAG]);
            assert!(found.contains(said), "{name}={value}: {found}");
        }
    }

    #[test]
    fn variables_that_a_missing_secret_has_emptied_are_refused() {
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "TFREG_SIGNING_KEY", "TFREG_ROLE_ARN"] {
            let found = refused(&[("TO", "site")], &[TAG, (name, "")]);
            assert!(found.contains(&format!("the variable {name} is set to nothing")), "{found}");
        }
        arguments_of(&[("TO", "site")], &[TAG, ("DRONE_DEPLOY_TO", ""), ("AWS_REGION", "eu-west-1")]);
    }

    #[test]
    fn tarballs_may_be_named_by_what_is_expected() {
        let of = |settings: &[(&str, &str)], tag: &str| {
            arguments_of(settings, &[("DRONE_TAG", tag)]).split(" -- ").nth(1).map(str::to_owned)
        };
        let release = ("TARBALLS", "s3://artifacts/terraform-provider-{type}/v{version}/");
        for (tag, expected) in [
            ("terraform-provider-sample-v1.2.0", "sample/v1.2.0/"),
            ("refs/tags/terraform-provider-sample-v1.2.0-rc.1", "sample/v1.2.0-rc.1/"),
            ("terraform-provider-in-v-out-v2.0.0-v3", "in-v-out/v2.0.0-v3/"),
        ] {
            let expected = format!("s3://artifacts/terraform-provider-{expected}");
            assert_eq!(of(&[release], tag).as_deref(), Some(&*expected));
        }
        let named = [("TARBALLS", "s3://a/{type}/{version}/,b/{version}.tgz"), ("EXPECT_TYPE", "other")];
        assert_eq!(of(&named, "v3.0.0").as_deref(), Some("s3://a/other/3.0.0/ b/3.0.0.tgz"));
        for (tarballs, tag, said) in [
            (release.1, "v1.2.0", "{type} is not known"),
            ("s3://a/{version}/", "latest", "latest"),
            ("s3://a/{tag}/", TAG.1, "there are {type} and {version}"),
            ("s3://a/{version", TAG.1, "there are {type} and {version}"),
        ] {
            let found = refused(&[("TARBALLS", tarballs)], &[("DRONE_TAG", tag)]);
            assert!(found.contains(said), "{tarballs} {tag}: {found}");
        }
    }

    #[test]
    fn secrets_are_no_arguments() {
        let resolved =
            resolved(&[("SIGNING_KEY", "the key"), ("SIGNING_PASSPHRASE", "hunter2")], &[TAG]).unwrap();
        assert!(resolved.signing_key.is_some() && resolved.signing_passphrase.is_some());
        let arguments = resolved.arguments.join(" ");
        assert!(!arguments.contains("hunter2") && !arguments.contains("the key"), "{arguments}");
    }

    #[test]
    fn a_build_goes_to_exactly_one_registry() {
        let registries = r#"[
            {"event": "tag", "to": "s3://staging", "replace": true},
            {"event": "promote", "deploy_to": ["staging", "staging-terraform"], "to": "s3://staging"},
            {"event": "promote", "deploy_to": "production", "to": "$TARGET", "expect_match": "https://s.example.com/",
             "expect_platform": ["linux_amd64", "linux_arm64"]}
        ]"#;
        let settings = [("REGISTRIES", registries), ("TO", "elsewhere"), ("NAMESPACE", "acme")];
        let to = |event: &str, target: &str| {
            let variables = [
                TAG,
                ("DRONE_BUILD_EVENT", event),
                ("DRONE_DEPLOY_TO", target),
                ("TARGET", "s3://production"),
            ];
            resolved(&settings, &variables).map(|resolved| resolved.arguments.join(" "))
        };
        let tag = to("tag", "").unwrap();
        assert!(
            tag.contains("--namespace=acme")
                && tag.contains("--replace")
                && tag.contains("--to=s3://staging"),
            "{tag}"
        );
        let staging = to("promote", "staging-terraform").unwrap();
        assert!(staging.contains("--to=s3://staging") && !staging.contains("--replace"), "{staging}");
        let production = to("promote", "production").unwrap();
        assert!(
            production.contains("--to=s3://production --") || production.contains("--to=s3://production ")
        );
        assert!(production.contains("--expect-match=https://s.example.com/"), "{production}");
        assert!(production.contains("--expect-platform=linux_amd64,linux_arm64"), "{production}");
        for (event, target) in
            [("push", ""), ("promote", "prodution"), ("promote", ""), ("rollback", "production")]
        {
            let refusal = to(event, target).unwrap_err().to_string();
            assert!(
                refusal.contains("goes to no registry") && refusal.contains("staging or staging-terraform"),
                "{refusal}"
            );
        }
        let twice = refused(&[("REGISTRIES", "[{\"to\": \"a\"}, {\"to\": \"b\"}]")], &[TAG]);
        assert!(twice.contains("more than one registry"), "{twice}");
    }

    #[test]
    fn patterns_are_expanded_as_by_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.tar.gz", "a.tar.gz", "c.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let inside = |name: &str| folder.path().join(name).display().to_string();
        assert_eq!(expand(&inside("*.tar.gz")), [inside("a.tar.gz"), inside("b.tar.gz")]);
        assert_eq!(expand(&inside("*.tgz")), [inside("*.tgz")]);
        assert_eq!(expand("s3://bucket/a*/"), ["s3://bucket/a*/"]);
    }
}
