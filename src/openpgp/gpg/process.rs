//! Runs `gpg`: for a limited time, and no longer than somebody waits for it.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;

use tempfile::TempPath;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::Settings;
use super::failure::Failure;

/// More than any certificate or signature has.
const MAX_OUTPUT: u64 = 4 << 20;
/// The end of standard error is enough.
const MAX_SAID: u64 = 64 << 10;
/// Variables with secrets that GnuPG does not need.
const SECRETS: [&str; 4] =
    ["TFREG_SIGNING_KEY", "TFREG_SIGNING_PASSPHRASE", "PLUGIN_SIGNING_KEY", "PLUGIN_SIGNING_PASSPHRASE"];

/// The program, and what every call of it has.
pub(super) struct Gpg {
    settings: Settings,
    /// A keyring that is used in place of GnuPG's own.
    keyring: Option<TempPath>,
}

impl Gpg {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, keyring: None }
    }

    pub(super) fn use_keyring(&mut self, keyring: TempPath) {
        self.keyring = Some(keyring);
    }

    /// Runs it with `arguments` and `input`, and gives its standard output. It is killed if it takes too long, or if
    /// this future is dropped; a prompt of its agent stays until somebody cancels it.
    pub(super) async fn run(&self, arguments: &[OsString], input: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut command = Command::new(&self.settings.program);
        // The first one keeps the user's gpg.conf away.
        command.args(["--no-options", "--batch", "--no-tty", "--status-fd", "2", "--trust-model", "always"]);
        if let Some(keyring) = &self.keyring {
            command.args([OsStr::new("--no-default-keyring"), OsStr::new("--keyring"), keyring.as_os_str()]);
        }
        command.args(arguments);
        for name in SECRETS {
            command.env_remove(name);
        }
        if let Some(terminal) = &self.settings.terminal {
            command.env("GPG_TTY", terminal);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child =
            command.spawn().map_err(|error| Failure::not_started(&self.settings.program, &error))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let work = async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A program that ends early says why.
                    let _ = stdin.write_all(input).await;
                    let _ = stdin.shutdown().await;
                }
            };
            let ((), output, said) = tokio::join!(write, read(stdout, MAX_OUTPUT), read(stderr, MAX_SAID));
            (child.wait().await, output, said)
        };
        match tokio::time::timeout(self.settings.patience, work).await {
            Ok((Ok(status), output, _)) if status.success() => Ok(output),
            Ok((_, _, said)) => Err(Failure::read(&String::from_utf8_lossy(&said))),
            Err(_) => Err(Failure::silent(self.settings.patience)),
        }
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read until an error is judged by itself.
        let _ = pipe.take(limit).read_to_end(&mut bytes).await;
    }
    bytes
}
