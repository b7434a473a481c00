//! The command line. Each subcommand is one file: its arguments, their conversion into a typed request, its call. Only
//! this module reads the environment.

mod change;
mod client_config;
mod completions;
mod downloads;
mod drone;
mod hardening;
mod hosting;
mod init;
mod invalidation;
mod key;
mod key_create;
mod list;
mod machine;
mod man;
mod mirror;
mod misplaced;
mod policy;
mod publish;
mod reindex;
mod resign;
mod running;
mod serve;
mod signatures;
mod signing;
mod source;
mod subject;
mod target;
mod values;
mod verify;
mod warn;
mod yank;

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use zeroize::Zeroizing;

use crate::error::{Error, Refusal, Result};
use crate::openpgp::signing_key::Secret;
use crate::probe::launcher;
use crate::registry::provenance::Build;
use crate::regular;
use crate::report::{Format, Reporter, Volume};
use crate::store::trust::CaBundle;
use running::{runtime, stop_signal};

/// Publish Terraform providers to a registry that is nothing but files.
///
/// tfreg takes the release tarballs of a provider, repacks them as zips, writes SHA256SUMS and a detached GPG signature,
/// merges the registry's documents, and puts everything into a directory or an S3 bucket, so that `terraform init` and
/// `tofu init` install from it. There is no server: a reader sees a whole registry at every moment, whatever fails and
/// however many publish at once.
#[derive(Debug, Parser)]
#[command(
    name = "tfreg",
    version = env!("TFREG_VERSION"),
    max_term_width = 110,
    after_long_help = "\
Examples:
  From the tarballs of a release to a registry in the directory `site`:
    tfreg publish --to site --namespace acme --signing-key-file key.asc \\
      build/*.tar.gz

  What a command does, its options, and examples of it:
    tfreg help publish

Exit codes:
  0  done, or nothing to do
  1  failed: a file, the store or the network
  2  usage
  3  refused: bad input, other contents already published, failed verification
  4  gave up: other publishers were always first (see --contention-timeout)"
)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(Box<init::InitArgs>),
    Publish(Box<publish::PublishArgs>),
    Drone(drone::DroneArgs),
    Mirror(Box<mirror::MirrorArgs>),
    Verify(Box<verify::VerifyArgs>),
    List(list::ListArgs),
    Serve(serve::ServeArgs),
    Policy(Box<policy::PolicyArgs>),
    Hosting(Box<hosting::HostingArgs>),
    Downloads(downloads::DownloadsArgs),
    Warn(warn::WarnArgs),
    Yank(yank::YankArgs),
    Unyank(yank::UnyankArgs),
    Reindex(reindex::ReindexArgs),
    Resign(Box<resign::ResignArgs>),
    Key(key::KeyArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct GlobalArgs {
    /// How results are printed on standard output
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// Print errors only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Log the steps on standard error
    #[arg(long, short, global = true)]
    verbose: bool,

    /// How many tarballs are repacked, and how many requests are under way, at once
    /// [default: one tarball per core, 8 writes and 64 reads]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

/// The variables that the commands read, besides clap's own and the AWS SDK's.
struct Environment {
    /// The registry, from `TFREG_TO`, for the commands that also take it by position.
    to: Option<String>,
    signing_key: Option<Secret>,
    signing_passphrase: Option<Secret>,
    /// The name of a key that stays where it is, from `TFREG_SIGNER`.
    signer: Option<String>,
    /// Whether GnuPG is told its terminal by `GPG_TTY`.
    has_gpg_tty: bool,
    /// A PEM file, and the setting that names it: `AWS_CA_BUNDLE`, or an option.
    ca_bundle: Option<(&'static str, PathBuf)>,
    /// Empty variables of the SDK, which it would use as addresses.
    empty_endpoints: Vec<&'static str>,
    /// The build server's facts about the build.
    build: Build,
    /// `SOURCE_DATE_EPOCH`.
    source_date: Option<String>,
}

impl Environment {
    fn read() -> Self {
        // In pipelines, variables of missing secrets are empty.
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
        let secret = |value: OsString| Secret::new(std::os::unix::ffi::OsStringExt::into_vec(value));
        Self {
            to: text("TFREG_TO"),
            signing_key: set("TFREG_SIGNING_KEY").map(secret),
            signing_passphrase: set("TFREG_SIGNING_PASSPHRASE").map(secret),
            signer: text("TFREG_SIGNER"),
            has_gpg_tty: set("GPG_TTY").is_some(),
            ca_bundle: set("AWS_CA_BUNDLE").map(|path| ("AWS_CA_BUNDLE", PathBuf::from(path))),
            empty_endpoints: [
                "AWS_ENDPOINT_URL",
                "AWS_ENDPOINT_URL_S3",
                "AWS_ENDPOINT_URL_KMS",
                "AWS_ENDPOINT_URL_CLOUDFRONT",
            ]
            .into_iter()
            .filter(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()))
            .collect(),
            build: Build {
                repository: text("DRONE_REPO"),
                clone_url: text("DRONE_GIT_HTTP_URL"),
                commit: text("DRONE_COMMIT_SHA"),
                tag: text("DRONE_TAG"),
                event: text("DRONE_BUILD_EVENT"),
                target: text("DRONE_DEPLOY_TO"),
                number: text("DRONE_BUILD_NUMBER"),
                link: text("DRONE_BUILD_LINK"),
                started: text("DRONE_BUILD_STARTED")
                    .and_then(|seconds| seconds.parse().ok())
                    .filter(|seconds| *seconds > 0)
                    .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()),
            },
            source_date: text("SOURCE_DATE_EPOCH"),
        }
    }

    /// The date of a publish: when the build was started, else `SOURCE_DATE_EPOCH`, else now. Whole seconds.
    ///
    /// # Errors
    /// Fails if `SOURCE_DATE_EPOCH` is needed and no number of seconds: its specification asks for that
    /// (<https://reproducible-builds.org/specs/source-date-epoch/>).
    fn date(&self) -> Result<jiff::Timestamp> {
        if let Some(started) = self.build.started {
            return Ok(started);
        }
        let seconds = match self.source_date.as_deref() {
            None => {
                return Ok(
                    jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default()
                );
            }
            Some(text) => text.parse::<i64>().ok().filter(|seconds| *seconds >= 0),
        };
        seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()).ok_or_else(|| {
            let text = self.source_date.as_deref().unwrap_or_default();
            Error::Usage(format!(
                "SOURCE_DATE_EPOCH is {text:?}; set it to the seconds since 1970 in digits, or to nothing"
            ))
        })
    }

    /// Refuses an empty address of an S3 server.
    fn check_endpoints(&self) -> Result<()> {
        match self.empty_endpoints.first() {
            Some(name) => {
                Err(Error::Usage(format!("{name} is set to nothing; unset it, or name the server's address")))
            }
            None => Ok(()),
        }
    }

    /// The certificates that `AWS_CA_BUNDLE` or an option names; the SDK ignores this setting. Without them those of the
    /// TLS libraries' variables.
    fn ca_bundle(&self) -> Result<Option<CaBundle>> {
        let Some((name, path)) = &self.ca_bundle else { return Ok(CaBundle::of_environment()) };
        let failed = |error| Error::io(&format!("cannot read {name}"), path, error);
        let mut pem = Vec::new();
        let read = regular::open_or_handed_over(path)
            .and_then(|file| file.take(signing::MAX_SECRET).read_to_end(&mut pem));
        read.map_err(failed)?;
        let bundle = CaBundle::parse(&pem).map_err(|found| {
            Refusal::new(format!("{name} {}", path.display()), "not a file of certificates")
                .found(found)
                .expected("PEM certificates (-----BEGIN CERTIFICATE-----)")
                .remedy("name the file with the certificate of the server's CA, or none")
        })?;
        Ok(Some(bundle))
    }
}

/// The limits of concurrent work.
#[derive(Debug, Clone, Copy)]
struct Jobs {
    repack: usize,
    writes: usize,
    reads: usize,
}

impl GlobalArgs {
    /// Falls back to `those` for options that are not set.
    fn or(self, those: &Self) -> Self {
        Self {
            format: if self.format == Format::Human { those.format } else { self.format },
            quiet: self.quiet || (those.quiet && !self.verbose),
            verbose: self.verbose || (those.verbose && !self.quiet),
            jobs: self.jobs.or(those.jobs),
        }
    }

    fn jobs(&self) -> Jobs {
        match self.jobs {
            Some(jobs) => {
                Jobs { repack: usize::from(jobs), writes: usize::from(jobs), reads: usize::from(jobs) }
            }
            None => Jobs {
                repack: std::thread::available_parallelism().map_or(1, usize::from),
                writes: 8,
                reads: 64,
            },
        }
    }

    fn reporter(&self) -> Reporter {
        let volume = match (self.quiet, self.verbose) {
            (true, _) => Volume::Quiet,
            (_, true) => Volume::Verbose,
            _ => Volume::Normal,
        };
        // A pseudo-terminal of a CI runner records every redrawn bar.
        Reporter::new(self.format, volume, std::env::var_os("CI").is_none())
    }
}

/// The definition of the command line, from which the tests make `docs/cli.md`.
#[doc(hidden)]
#[must_use]
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Parses the command line, runs the command, prints its error once, and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    hardening::harden();
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == launcher::ARGUMENT) {
        return launcher::run(&arguments.collect::<Vec<_>>());
    }
    if let Some(error) = misplaced::misplaced_key(std::env::args_os().skip(1), std::env::vars_os()) {
        Reporter::new(wanted_format(), Volume::Normal, false).failed(&error);
        return ExitCode::from(error.exit_code());
    }
    let mut environment = Environment::read();
    let cli = match parse(&mut environment) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let reporter = cli.global.reporter();
    let outcome = machine::check_clock(std::time::SystemTime::now());
    let outcome = outcome.and_then(|()| dispatch(cli, environment, &reporter));
    // The changes stay; but a result that could not be printed is a failure all the same.
    match outcome.and_then(|()| reporter.check_written()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            reporter.failed(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Runs the command.
fn dispatch(cli: Cli, environment: Environment, reporter: &Reporter) -> Result<()> {
    match cli.command {
        Command::Init(args) => init::run(*args, &cli.global, &environment, reporter),
        Command::Publish(args) => publish::run(*args, &cli.global, environment, reporter),
        // `parse` has replaced its command line.
        Command::Drone(_) => Err(Error::Usage("tfreg drone stands for tfreg publish".to_owned())),
        Command::Mirror(args) => mirror::run(*args, &cli.global, &environment, reporter),
        Command::Verify(args) => verify::run(*args, &cli.global, environment, reporter),
        Command::List(args) => list::run(args, &cli.global, environment, reporter),
        Command::Serve(args) => serve::run(&args, reporter),
        Command::Policy(args) => policy::run(*args, reporter),
        Command::Hosting(args) => hosting::run(*args, reporter),
        Command::Downloads(args) => downloads::run(args, &cli.global, &environment, reporter),
        Command::Resign(args) => resign::run(*args, &cli.global, environment, reporter),
        Command::Reindex(args) => reindex::run(args, &cli.global, &environment, reporter),
        Command::Yank(args) => yank::yank(args, &cli.global, &environment, reporter),
        Command::Unyank(args) => yank::unyank(args, &cli.global, &environment, reporter),
        Command::Warn(args) => warn::run(args, &cli.global, &environment, reporter),
        Command::Key(args) => key::run(&args, environment, reporter),
        Command::Completions(args) => completions::run(&args, reporter),
        Command::Man(args) => man::run(&args, reporter),
    }
}

/// The format that the command line requests, if it could not be parsed as a whole.
fn wanted_format() -> Format {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let is_json = arguments.iter().any(|argument| argument == "--format=json")
        || arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json");
    if is_json { Format::Json } else { Format::Human }
}

/// Prints clap's message, which may be the help or the version, and returns the exit code.
fn tell(mut error: clap::Error) -> ExitCode {
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) if error.kind() == ErrorKind::UnknownArgument => name.as_str(),
        _ => "",
    };
    // Other programs have these names for the option; clap suggests only similar spellings.
    if matches!(unknown, "--output" | "--json" | "-o") {
        let format = StyledStr::from("results are printed as JSON with '--format json'");
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![format]));
    }
    let reporter = Reporter::new(wanted_format(), Volume::Normal, false);
    if error.use_stderr() {
        reporter.usage(&error);
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    match error.print().and_then(|()| std::io::stdout().flush()) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            let error = Error::Io { context: "cannot write to standard output".to_owned(), source };
            reporter.failed(&error);
            ExitCode::from(error.exit_code())
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Parses the command line; for `tfreg drone`, that of its settings, whose secrets are put into `environment`. An error
/// is printed, and its exit code returned.
fn parse(environment: &mut Environment) -> Result<Cli, ExitCode> {
    let cli = Cli::try_parse().map_err(tell)?;
    if !matches!(cli.command, Command::Drone(_)) {
        return Ok(cli);
    }
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let settings = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?.strip_prefix("PLUGIN_")?.to_owned();
        // Moved, not copied, if it is valid text: it may be a secret.
        let value = value.into_string().unwrap_or_else(|value| value.to_string_lossy().into_owned());
        Some((name, Zeroizing::new(value)))
    });
    let empty = std::env::vars_os().filter(|(_, value)| value.is_empty());
    let empty = empty.filter_map(|(name, _)| name.into_string().ok());
    let runner = drone::Runner { settings: settings.collect(), variable: &set, empty: empty.collect() };
    let resolved = drone::resolve(runner).map_err(|error| {
        cli.global.reporter().failed(&error);
        ExitCode::from(error.exit_code())
    })?;
    environment.signing_key = resolved.signing_key.or(environment.signing_key.take());
    environment.signing_passphrase = resolved.signing_passphrase.or(environment.signing_passphrase.take());
    let publish = Cli::try_parse_from(resolved.arguments).map_err(tell)?;
    Ok(Cli { global: cli.global.or(&publish.global), ..publish })
}
