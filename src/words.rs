//! Numbers of things in messages.

use std::fmt;

/// A number and its noun, which takes an `s` unless the number is one: "1 error", "2 errors", "0 errors".
pub(crate) fn count<N: fmt::Display + PartialEq + From<bool> + Copy>(number: N, noun: &str) -> String {
    let plural = if number == N::from(true) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!([0_u8, 1, 2].map(|number| count(number, "error")), ["0 errors", "1 error", "2 errors"]);
    }
}
