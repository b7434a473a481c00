//! Formats parts of messages: counts with their nouns, sizes, and shell commands for the user to copy.

use std::fmt;

/// A number and its noun, which takes an `s` unless the number is one: "1 error", "2 errors", "0 errors".
pub(crate) fn count<N: fmt::Display + PartialEq + From<bool> + Copy>(number: N, noun: &str) -> String {
    let plural = if number == N::from(true) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// A number of bytes, such as "1.09 KiB".
pub(crate) fn size(bytes: u64) -> impl fmt::Display {
    indicatif::HumanBytes(bytes)
}

/// Formats a word of a command shown in a message: quoted if the shell requires it (POSIX.1-2017, "Quoting").
pub(crate) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./@:+=%,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_of_a_shell() {
        for (name, expected) in [
            ("release", "release"),
            ("s3://bucket/a%b,c", "s3://bucket/a%b,c"),
            ("my team", "'my team'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(quoted(name), expected);
        }
    }

    #[test]
    fn one_is_singular() {
        assert_eq!([0_u8, 1, 2].map(|number| count(number, "error")), ["0 errors", "1 error", "2 errors"]);
    }
}
