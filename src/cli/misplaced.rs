//! Refuses secrets in the place of a name or a value: a later message would repeat them, or a folder would get that
//! name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::error::Error;
use crate::openpgp::key_text::holds_secret_key;

/// The variables, and the settings of `tfreg drone`, that are meant for secrets.
const HOLDERS: [&str; 2] = ["SIGNING_KEY", "SIGNING_PASSPHRASE"];

/// Refuses the text of a secret key, or a part of one, among the arguments and in variables that are not meant for it.
pub(super) fn misplaced_key(
    mut arguments: impl Iterator<Item = OsString>,
    mut variables: impl Iterator<Item = (OsString, OsString)>,
) -> Option<Error> {
    let in_argument = |argument: OsString| {
        let bytes = argument.as_bytes();
        // For --option=VALUE, the value is checked too.
        let value = bytes.iter().position(|byte| *byte == b'=').and_then(|at| bytes.get(at + 1..));
        holds_secret_key(bytes) || value.is_some_and(holds_secret_key)
    };
    if arguments.any(in_argument) {
        return Some(refusal("an argument"));
    }
    let takes_none = |name: &OsStr| {
        let name = name.to_str()?;
        let rest = ["TFREG_", "PLUGIN_"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
        (!HOLDERS.contains(&rest)).then(|| name.to_owned())
    };
    let named = variables.find_map(|(name, value)| {
        let name = takes_none(&name)?;
        holds_secret_key(value.as_bytes()).then_some(name)
    });
    named.map(|name| refusal(&name))
}

pub(super) fn refusal(place: &str) -> Error {
    Error::Usage(format!(
        "{place} holds a secret key (not repeated here); name its file by --signing-key-file, or put its text into \
         TFREG_SIGNING_KEY"
    ))
}

/// The name of a file in messages, or `stand_in` if there is no such file and the name does not look like one: then it
/// may be the secret itself. A passphrase of several words may well contain a dot.
pub(super) fn name_of(file: &Path, stand_in: &str) -> String {
    let name = file.as_os_str().as_bytes();
    let looks_like_one =
        name.iter().any(|byte| b"./".contains(byte)) && !name.iter().any(u8::is_ascii_whitespace);
    if looks_like_one || file.exists() { file.display().to_string() } else { stand_in.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_file_s_name_is_repeated() {
        for name in ["missing.asc", "folder/missing", "/missing/key"] {
            assert_eq!(name_of(Path::new(name), "the file"), name);
        }
        for secret in ["hush", "correct horse, no. 2", "and/or else", "line.\nline"] {
            assert_eq!(name_of(Path::new(secret), "the file"), "the file", "{secret:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my key");
        std::fs::write(&file, "").unwrap();
        assert_eq!(name_of(&file, "the file"), file.display().to_string());
    }

    #[test]
    fn keys_are_found_wherever_they_do_not_belong() {
        let key =
            std::fs::read_to_string(format!("{}/testdata/keys/ed25519.asc", env!("CARGO_MANIFEST_DIR")))
                .unwrap();
        let found = |argument: &str, variable: (&str, &str)| {
            let variable = (OsString::from(variable.0), OsString::from(variable.1));
            misplaced_key([OsString::from(argument)].into_iter(), [variable].into_iter())
                .map(|error| error.to_string())
        };
        let said = |found: Option<String>, place: &str| {
            found.is_some_and(|text| text.starts_with(place) && text.len() < 200)
        };
        assert!(said(found(&key, ("A", "")), "an argument holds"));
        assert!(said(found(&format!("--to={key}"), ("A", "")), "an argument holds"));
        for name in
            ["TFREG_TO", "PLUGIN_SIGNING_KEY_FILE", "PLUGIN_SIGNING_PASSPHRASE_FILE", "PLUGIN_TARBALLS"]
        {
            assert!(said(found("x", (name, &key)), &format!("{name} holds")), "{name}");
        }
        for name in ["TFREG_SIGNING_KEY", "PLUGIN_SIGNING_KEY", "TFREG_SIGNING_PASSPHRASE", "KEY"] {
            assert_eq!(found("x", (name, &key)), None, "{name}");
        }
    }
}
