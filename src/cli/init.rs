//! `tfreg init`

use clap::Args;

use super::change::{self, About, ChangeArgs, Consent, RunArgs};
use super::invalidation::InvalidateArgs;
use super::subject::TargetArgs;
use super::values;
use super::{Environment, GlobalArgs};
use crate::error::{Error, Result};
use crate::openpgp::Fingerprint;
use crate::plan::init::Init;
use crate::registry::settings::SettingsChange;
use crate::registry::{BaseUrl, DocumentMaxAge, Links};
use crate::report::Reporter;
use crate::workflow::target::Target;

/// Make or change the settings of a registry, which every command then keeps to
///
/// What holds for a registry is written once into registry/settings.json, and not into the flags of each pipeline: its address,
/// whether published contents may be replaced, who may sign. Every command reads it, and refuses a flag that says otherwise.
/// What is not given stays as it is; a registry without settings takes the defaults.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  A registry at https://registry.example.com/, for one signing key:
    tfreg init s3://registry-bucket --base-url https://registry.example.com/ \\
      --stable-only --allow-key 4E8911C0E0EC692102243A48A7F2BC5B6E845A69

  Staging, where contents may be replaced:
    tfreg init s3://staging --base-url https://staging.example.com/ \\
      --allow-replace

  What would be done, without writing to the target:
    tfreg init site --allow-replace --dry-run preview

  To take back what was set:
    tfreg init site --allow-replace=false --stable-only=false --any-key \\
      --network-mirror=false --pages=false --title '' --base-url ''")]
pub(super) struct InitArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// Where clients reach the registry: https://HOST/, or https://HOST/PREFIX/ below a prefix. All documents then have absolute
    /// links, as Renovate and others need. '' takes it back: links from the host's root
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,

    /// Let `publish --replace` replace published contents (staging registries); =false takes it back
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_replace: Option<bool>,

    /// Refuse every pre-release, such as 1.2.0-rc.1; =false takes it back
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    stable_only: Option<bool>,

    /// A key that may sign, by the fingerprint that `tfreg key FILE` prints; others are refused; repeatable [default: any key]
    #[arg(long = "allow-key", value_name = "FINGERPRINT")]
    allowed: Vec<Fingerprint>,

    /// A key that may not sign any more; repeatable
    #[arg(long = "remove-key", value_name = "FINGERPRINT", conflicts_with = "any_key")]
    removed: Vec<Fingerprint>,

    /// Let every key sign again
    #[arg(long, conflicts_with = "allowed")]
    any_key: bool,

    /// How long clients and CDNs may keep a document, in seconds (S3 only) [default of a registry without settings: 60]
    #[arg(long, value_name = "SECONDS")]
    document_max_age: Option<u32>,

    /// Write the files of a network mirror of the registry's providers too; needs --base-url; =false takes it back
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    network_mirror: Option<bool>,

    /// Write HTML pages of the registry for people too, index.html the first of them; needs --base-url; =false takes it back
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pages: Option<bool>,

    /// The title of the pages; '' takes it back [default: the host of --base-url]
    #[arg(long, value_name = "TEXT", value_parser = title)]
    title: Option<String>,

    #[command(flatten)]
    run: RunArgs,
}

/// The longest title, in characters.
const MAX_TITLE: usize = 100;

fn title(text: &str) -> std::result::Result<String, String> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err("it has a control character; expected one line of text".to_owned());
    }
    match text.chars().count() {
        len if len > MAX_TITLE => Err(format!("it has {len} characters; at most {MAX_TITLE} are allowed")),
        _ => Ok(text.to_owned()),
    }
}

pub(super) fn run(
    args: InitArgs,
    global: &GlobalArgs,
    environment: &Environment,
    reporter: &Reporter,
) -> Result<()> {
    let target = args.target.read(environment.to.as_deref(), values::target)?;
    let links = args.base_url.as_deref().map(|text| match text {
        "" => Ok(Links::RootRelative),
        text => BaseUrl::of_registry(text).map(Links::Absolute),
    });
    let links = links.transpose().map_err(|error| Error::Usage(format!("--base-url: {error}")))?;
    if let Some(key) = args.allowed.iter().find(|key| args.removed.contains(key)) {
        return Err(Error::Usage(format!("--allow-key and --remove-key name the same key, {key}")));
    }
    let change = SettingsChange {
        links,
        replace: args.allow_replace,
        prereleases: args.stable_only.map(|stable| !stable),
        any_key: args.any_key,
        added_keys: args.allowed.into_iter().collect(),
        removed_keys: args.removed.into_iter().collect(),
        document_max_age: args.document_max_age.map(DocumentMaxAge),
        network_mirror: args.network_mirror,
        pages: args.pages,
        title: args.title,
    };
    let prefix = match &target {
        Target::S3(location) => location.prefix().to_owned(),
        Target::Directory(_) => String::new(),
    };
    let (about, goal) = (About { target: &target, provider: None }, Init { change, prefix });
    let change = ChangeArgs { run: args.run, document_max_age: None, invalidate: InvalidateArgs::default() };
    change::run("init", (about, &change), &goal, None, Consent::Given, (global, environment, reporter))
}
