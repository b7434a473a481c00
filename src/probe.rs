//! Asks the executable of a release which plugin protocol it speaks, by starting it as Terraform does.
//!
//! The registry's documents say which protocols a provider speaks, and clients choose a version by them: a provider
//! with a wrong declaration installs, and fails on every user's machine. A declaration can only be checked by running
//! the executable (the usual SDKs link both protocols, so its bytes do not tell), so only an executable for the machine
//! that runs tfreg can be checked.
//!
//! It is started from the finished zip, in a private folder, without tfreg's environment. Its output is read until its
//! first line or a time limit, and then it is killed with its process group. A build may be malicious, and could steal
//! the signing key: from tfreg's memory, from the environment of tfreg or of the shell that started it, or from the
//! key's file. So the executable is started by a launcher (tfreg itself), which first gives up all access that the
//! system lets it give up: to files, other processes, sockets (`confinement`), and the user, if tfreg is root. Access
//! that could not be given up is listed in [`Probe::missing`].

#[cfg(target_os = "linux")]
mod confinement;
mod handshake;
pub mod launcher;
mod process;

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use tempfile::TempDir;

use crate::error::{Error, Refusal, Result};
use crate::package::archive::{self, ZipError};
use crate::package::{Package, PackageSet};
use handshake::{COOKIE, FORM, OFFERED};
use launcher::Word;
use process::{End, FirstLine, Start};

/// How an executable is probed.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long to wait for its answer.
    pub patience: Duration,
    /// The tfreg program, in which [`launcher::run`] is called.
    pub launcher: PathBuf,
}

impl Options {
    /// With the usual time limit.
    #[must_use]
    pub fn new(launcher: PathBuf) -> Self {
        // Large providers take a second or two to start on a slow runner; go-plugin itself waits for a minute.
        Self { patience: Duration::from_secs(10), launcher }
    }
}

/// The result of a probe. A mismatch of an executable and its declaration is returned as a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The platform that runs tfreg, in Go's words.
    pub platform: String,
    /// The result for its executable.
    pub outcome: Outcome,
    /// The access that this system could not deny to the executable; empty if it was not started.
    pub missing: Vec<&'static str>,
}

impl Probe {
    /// The warnings for the user: a declaration that could not be checked, and an executable that was not confined.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let unchecked = match &self.outcome {
            Outcome::Speaks(_) => None,
            Outcome::NotRunnable(reason) => Some(format!("the plugin protocol is not checked: {reason}")),
        };
        let missing = (!self.missing.is_empty()).then(|| {
            format!(
                "the executable that was started to check the plugin protocol was not confined as it should be; this system \
                 did not keep it from: {}",
                self.missing.join("; ")
            )
        });
        unchecked.into_iter().chain(missing).collect()
    }
}

/// The result for the executable of the platform that runs tfreg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It speaks this major version of the protocol, which is declared, when it is offered all versions, as by clients.
    /// If other major versions are declared too, it speaks each of them when it is offered only that one.
    Speaks(u32),
    /// There is no executable, or this machine cannot run it, for this reason: nothing is known.
    NotRunnable(String),
}

/// Asks the release's executable for this machine which protocol it speaks.
///
/// Every declared major version is a promise to clients that speak no other, so each is checked. First all versions
/// that clients offer today are offered, of which a plugin picks its highest; the answer must be declared. Then each
/// other declared version is offered alone: a plugin without it answers with one that it has (go-plugin's
/// `protocolVersion`).
///
/// When this returns or is dropped, no process of the process group is left. A process that has left the group on
/// purpose is not found.
///
/// # Errors
/// Fails if the executable speaks another protocol than is declared, or gives an answer that clients do not understand,
/// or the temporary folder cannot be used.
pub async fn probe(packages: &PackageSet, options: &Options) -> Result<Probe> {
    let (os, arch) = machine();
    let platform = format!("{os}_{arch}");
    let not_runnable = |reason: String, missing| Probe {
        platform: platform.clone(),
        outcome: Outcome::NotRunnable(reason),
        missing,
    };
    let host = packages.packages().iter().find(|package| package.platform.to_string() == platform);
    let Some(package) = host else {
        let reason = format!("the release has no executable for {platform}, which this machine is");
        return Ok(not_runnable(reason, Vec::new()));
    };
    let executable = Executable::unpack(package).await?;
    let mut asked = Asked { packages, package, executable, options, missing: Vec::new() };
    let declared = packages.protocols().majors();
    let spoken = match asked.offer(OFFERED).await? {
        Answer::Major(major) => major,
        Answer::NotRunnable(reason) => return Ok(not_runnable(reason, asked.missing)),
    };
    if !declared.contains(&spoken) {
        return Err(asked.mislabelled(&format!("the executable speaks protocol {spoken}")).into());
    }
    for major in declared.into_iter().filter(|major| *major != spoken) {
        match asked.offer(&[major]).await? {
            Answer::Major(other) if other == major => {}
            Answer::Major(other) => {
                let found = format!("offered protocol {major} alone, the executable speaks protocol {other}");
                return Err(asked.mislabelled(&found).into());
            }
            Answer::NotRunnable(reason) => return Ok(not_runnable(reason, asked.missing)),
        }
    }
    Ok(Probe { platform, outcome: Outcome::Speaks(spoken), missing: asked.missing })
}

/// Operating system and architecture that tfreg is built for, in Go's words.
fn machine() -> (&'static str, &'static str) {
    let little = cfg!(target_endian = "little");
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "loongarch64" => "loong64",
        "powerpc64" if little => "ppc64le",
        "powerpc64" => "ppc64",
        "mips" if little => "mipsle",
        "mips64" if little => "mips64le",
        arch => arch,
    };
    (os, arch)
}

/// The executable of the finished zip, in a folder that no other user can enter.
struct Executable {
    path: PathBuf,
    folder: TempDir,
    /// The user that owns both, if it is not tfreg's own.
    user: Option<u32>,
}

impl Executable {
    async fn unpack(package: &Package) -> Result<Self> {
        let (zip, name) = (package.zip.at_hand().await?, package.executable.clone());
        let unpack = move || -> Result<Self, ZipError> {
            let private = std::fs::Permissions::from_mode(0o700);
            let folder = tempfile::Builder::new().prefix("tfreg-").permissions(private).tempdir()?;
            // It is started in that folder, so a path relative to the present one would not work.
            let path = std::path::absolute(folder.path())?.join(&name);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o700).open(&path)?;
            archive::extract(&zip, &name, &mut file)?;
            drop(file);
            let user = give_to_another_user(&path, folder.path());
            Ok(Self { path, folder, user })
        };
        let failed = |source| Error::Io {
            context: format!(
                "cannot unpack the executable of {} in the temporary folder {} (another one: TMPDIR)",
                package.artifact.display(),
                std::env::temp_dir().display()
            ),
            source,
        };
        match tokio::task::spawn_blocking(unpack).await {
            Ok(Ok(executable)) => Ok(executable),
            Ok(Err(ZipError::Io(error) | ZipError::Zip(zip::result::ZipError::Io(error)))) => {
                Err(failed(error))
            }
            Ok(Err(error)) => Err(failed(std::io::Error::other(error))),
            Err(error) => Err(failed(std::io::Error::other(error))),
        }
    }
}

/// Gives an executable and its folder to a user that owns nothing else, and returns that user; only if this process may
/// do so, and may end the processes of that user and remove its files.
///
/// The user is of the range that systemd uses for users that exist only while a service runs (`DynamicUser=`), so no
/// account has it; each process uses another one, so that two do not meet.
fn give_to_another_user(executable: &Path, folder: &Path) -> Option<u32> {
    const RANGE: std::ops::Range<u32> = 61_184..65_520;
    if !rustix::process::geteuid().is_root() || !may_be_another_user() {
        return None;
    }
    let user = RANGE.start + std::process::id() % (RANGE.end - RANGE.start);
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(user), Some(user));
    // This fails if the other user is not mapped, as in many user namespaces.
    give(executable).and_then(|()| give(folder)).ok().map(|()| user)
}

/// Whether this process has the usual capabilities of root, which a container may have removed.
#[cfg(target_os = "linux")]
fn may_be_another_user() -> bool {
    use rustix::thread::CapabilitySet;

    let needed = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::KILL
        | CapabilitySet::SETGID
        | CapabilitySet::SETUID;
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

#[cfg(not(target_os = "linux"))]
fn may_be_another_user() -> bool {
    true
}

/// The access that could not be denied to an executable.
fn missing(word: Word) -> Vec<&'static str> {
    let rows = [
        (
            word.confinement.files_and_processes || word.other_user,
            "memory and environment of this user's processes, and so the key",
        ),
        (word.confinement.files_and_processes || word.other_user, "this user's files"),
        (word.confinement.files_and_processes || !word.other_user, "files that every user can read"),
        (word.confinement.signals, "signals to this user's processes"),
        (word.confinement.network, "the network, and sockets of other programs"),
    ];
    rows.into_iter().filter_map(|(held, what)| (!held).then_some(what)).collect()
}

/// The result of one start.
enum Answer {
    Major(u32),
    NotRunnable(String),
}

/// The executable, and the facts that a refusal contains.
struct Asked<'a> {
    packages: &'a PackageSet,
    package: &'a Package,
    executable: Executable,
    options: &'a Options,
    /// The access that could not be denied to the executable.
    missing: Vec<&'static str>,
}

impl Asked<'_> {
    /// Starts it once and offers it these major versions.
    async fn offer(&mut self, majors: &[u32]) -> Result<Answer> {
        let offered = majors.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let Executable { path, folder, user } = &self.executable;
        tracing::debug!(executable = %path.display(), offered, ?user, "starting the provider");
        let start = Start {
            launcher: &self.options.launcher,
            executable: path.file_name().unwrap_or_default(),
            folder: folder.path(),
            user: *user,
        };
        let FirstLine { end, stderr, word } =
            match process::hear(start, &offered, self.options.patience).await {
                Ok(heard) => heard,
                Err(error) => return self.not_started(error),
            };
        self.missing = missing(word);
        let found = match end {
            End::Line(line) => match handshake::parse(&line) {
                Ok(major) => return Ok(Answer::Major(major)),
                Err(wrong) => format!("the answer {}: {wrong}", excerpt(&line)),
            },
            End::Endless(text) => format!("an answer without a line end: {}", excerpt(&text)),
            // The exit status of loaders and shells when a program or its libraries are missing.
            End::Ended(status, _) if matches!(status.code(), Some(126 | 127)) => {
                let said = last_lines(&stderr).map(|lines| format!(": {}", lines.replace('\n', " ")));
                return Ok(Answer::NotRunnable(format!(
                    "the executable for {} ends with {status}, as without its loader or libraries{}",
                    self.package.platform,
                    said.unwrap_or_default()
                )));
            }
            End::Ended(status, text) if text.is_empty() => format!("no answer; it ended with {status}"),
            End::Ended(status, text) => {
                format!("an answer without a line end: {}; it ended with {status}", excerpt(&text))
            }
            End::Silent => format!("no answer in {}", self.patience()),
        };
        let found = match last_lines(&stderr) {
            Some(lines) => format!("{found}\non its standard error:\n{lines}"),
            None => found,
        };
        let (patience, (cookie, value)) = (self.patience(), COOKIE);
        Err(self
            .refuse("the executable does not answer as a plugin")
            .found(found)
            .expected(format!("{FORM} as the first line of its standard output, within {patience}"))
            .remedy(format!(
                "start it by hand, with {cookie}={value} and PLUGIN_PROTOCOL_VERSIONS={offered}; if it cannot run on \
                 this machine, publish without --probe-protocol"
            ))
            .into())
    }

    fn patience(&self) -> String {
        format!("{} s", self.options.patience.as_secs_f64())
    }

    /// Distinguishes a machine that cannot run this executable from one that cannot start any process.
    fn not_started(&self, error: std::io::Error) -> Result<Answer> {
        let platform = &self.package.platform;
        let reason = match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => format!(
                "the executable for {platform} cannot be started: its loader is not on this machine ({error})"
            ),
            Some(Errno::ACCESS | Errno::PERM) => format!(
                "programs in the temporary folder {} cannot be started; it may be mounted noexec (another one: \
                 TMPDIR) ({error})",
                std::env::temp_dir().display()
            ),
            Some(Errno::NOEXEC | Errno::INVAL | Errno::TXTBSY) => {
                format!("the executable for {platform} cannot be started ({error})")
            }
            _ => {
                return Err(Error::Io {
                    context: format!("cannot start the executable of {}", self.package.artifact.display()),
                    source: error,
                });
            }
        };
        Ok(Answer::NotRunnable(reason))
    }

    fn refuse(&self, problem: &str) -> Refusal {
        Refusal::new(self.package.artifact.display(), problem)
    }

    fn mislabelled(&self, found: &str) -> Refusal {
        let declared_by = match self.packages.declared_by() {
            [] => String::new(),
            [one] => format!(" (declared by {one})"),
            [first, more @ ..] => format!(" (declared by {first} and {} more)", more.len()),
        };
        self.refuse("the plugin protocol is mislabelled")
            .found(found)
            .expected(format!("{}{declared_by}", self.packages.protocols()))
            .remedy("correct the declaration, or build the provider for the protocol that is declared")
    }
}

/// The beginning of an invalid answer.
fn excerpt(text: &[u8]) -> String {
    const SHOWN: usize = 200;
    let shown = String::from_utf8_lossy(text.get(..SHOWN).unwrap_or(text)).into_owned();
    if text.len() > SHOWN { format!("{shown:?}…") } else { format!("{shown:?}") }
}

/// The last lines that are not empty.
fn last_lines(text: &[u8]) -> Option<String> {
    const SHOWN: usize = 10;
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { None } else { Some(lines[lines.len().saturating_sub(SHOWN)..].join("\n")) }
}
