//! Messages repeat the user's input, which may be a secret: a line of a key, an access key, a token. Text that looks
//! like a secret is omitted from errors, and very long text is cut.

use std::fmt::Write as _;

use crate::openpgp::key_text::looks_random;

/// The minimum length of a run of letters that is omitted: an AWS secret access key has 40.
const SHORTEST: usize = 40;
/// How many characters of a word without a space are shown.
const LONGEST: usize = 300;

/// The text without anything that looks like base64 of random bytes, and with very long words cut.
pub(super) fn masked(text: &str) -> String {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_letter) {
        let (before, from) = rest.split_at(start);
        let (run, after) = from.split_at(from.find(|c| !is_letter(c)).unwrap_or(from.len()));
        masked.push_str(before);
        if run.len() >= SHORTEST && looks_random(run.as_bytes()) {
            // Writing to a string cannot fail.
            let _ = write!(masked, "…({} characters)", run.len());
        } else {
            masked.push_str(run);
        }
        rest = after;
    }
    masked.push_str(rest);
    let words =
        masked.split_inclusive(char::is_whitespace).map(|word| match word.char_indices().nth(LONGEST) {
            Some((at, _)) => {
                let end =
                    word.chars().last().filter(|c| c.is_whitespace()).map(String::from).unwrap_or_default();
                format!("{}…({} characters){end}", &word[..at], word.chars().count())
            }
            None => word.to_owned(),
        });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out() {
        let key =
            std::fs::read_to_string(format!("{}/testdata/keys/rsa3072.asc", env!("CARGO_MANIFEST_DIR")))
                .unwrap();
        let lines = key.lines().filter(|line| line.len() == 64 && !line.contains('-'));
        for line in lines {
            let text = masked(&format!("cannot read {line}: no such file"));
            assert_eq!(text, "cannot read …(64 characters): no such file");
        }
        let text = masked("invalid value 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' for '--jobs <N>'");
        assert_eq!(text, "invalid value '…(40 characters)' for '--jobs <N>'");
    }

    #[test]
    fn names_stay() {
        for text in [
            "",
            "cannot read /home/User1/Projects/AcmeTerraformProviderSample/build/output/dir: No such file",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 is not it",
            "h1:TCvR2ZNtgQvZ1fFL3mPGsyrDXpYDc7bYcOaUqeN0tAg=",
            "start it by hand, with TF_PLUGIN_MAGIC_COOKIE=d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
            "key 6A7A1A0B3E5C2C1F1F0B9E5D4C3B2A1908F7E6D5",
            "arn:aws:iam::123456789012:role/publisher and s3://registry-bucket/some/long/prefix/of/a/registry\n",
            "store/acme/sample/1.2.0/0123456789abcdef/terraform-provider-sample_1.2.0_linux_amd64.zip",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn long_words_are_cut() {
        let text = masked(&format!("a {} b\n", "x.".repeat(1000)));
        assert!(text.starts_with("a x.x.") && text.ends_with("…(2001 characters) b\n"), "{text}");
        assert!(text.len() < 400);
    }
}
