//! The CLI configuration of Terraform and OpenTofu: where its files are, and the variables with tokens.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{Error, Refusal, Result};
use crate::reader::client_config::ClientConfig;
use crate::regular;
use crate::report::Reporter;

/// The largest file that is read; real ones have some lines.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the configuration as clients do: the file that `TF_CLI_CONFIG_FILE` names, or else `~/.tofurc`, `~/.terraformrc` and
/// all `*.tfrc` and `*.tfrc.json` in `~/.terraform.d`, of which later ones count more; then the variables `TF_TOKEN_…`.
///
/// # Errors
/// A file cannot be read. The message has nothing of its contents.
pub(super) fn read(reporter: &Reporter) -> Result<ClientConfig> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let mut config = ClientConfig::default();
    // The second one is the name that Terraform had for it before.
    match ["TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG"].into_iter().find_map(|name| Some((name, set(name)?))) {
        Some((name, path)) => {
            let path = PathBuf::from(path);
            if !add(&mut config, &path)? {
                // As clients do.
                reporter.warn(&format!("{name} names {}, and there is no such file", path.display()));
            }
        }
        None => {
            for path in set("HOME").map(|home| files(Path::new(&home))).unwrap_or_default() {
                add(&mut config, &path)?;
            }
        }
    }
    for (name, value) in std::env::vars_os() {
        let (Some(name), Ok(value)) = (name.to_str(), value.into_string()) else { continue };
        config.add_variable(name, &Zeroizing::new(value)).map_err(Error::Usage)?;
    }
    Ok(config)
}

/// The files of a home directory, in the order of what counts more.
fn files(home: &Path) -> Vec<PathBuf> {
    let mut files = vec![home.join(".tofurc"), home.join(".terraformrc")];
    // A folder that cannot be read has no files, as for clients.
    let entries = std::fs::read_dir(home.join(".terraform.d")).into_iter().flatten().flatten();
    let is_config = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        [".tfrc", ".tfrc.json"].iter().any(|end| name.ends_with(end))
    };
    let mut further: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_config).collect();
    further.sort();
    files.extend(further);
    files
}

/// Adds what a file says; whether it is there.
fn add(config: &mut ClientConfig, path: &Path) -> Result<bool> {
    let failed = |error| Error::io("cannot read", path, error);
    let file = match regular::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    config.add(&text).map_err(|found| {
        Refusal::new(path.display(), "the CLI configuration cannot be understood")
            .found(found)
            .expected("what terraform and tofu read, such as credentials \"HOST\" { token = \"…\" }")
            .remedy("correct the file; or name another one by TF_CLI_CONFIG_FILE")
    })?;
    Ok(true)
}
