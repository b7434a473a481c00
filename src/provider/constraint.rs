//! Version constraints as Terraform reads them: `~> 5.0`, `>= 1.2, < 2.0`, `1.2.3`, `!= 1.2.4`.
//!
//! Source: `ParseRubyStyleMulti` and `RequestedByConstraints` of go-versions, which Terraform and OpenTofu use. They are
//! not those of Cargo: a bare version is that version alone, parts that are left out are zero, and `~>` lets the last part
//! that is written grow.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::{InvalidName, MAX_VERSION, Version, invalid};

/// A constraint: all of its terms hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    text: String,
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    operator: Operator,
    version: semver::Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// At least the version, and older than this one.
    Pessimistic(semver::Version),
}

/// The operators, longer ones before those that they begin with.
const OPERATORS: [&str; 8] = ["~>", "!=", ">=", "<=", "=", ">", "<", ""];

impl Constraint {
    /// Whether a version meets it. A pre-release does only if it is named exactly, with `=` or alone.
    #[must_use]
    pub fn allows(&self, version: &Version) -> bool {
        let is_named =
            || self.terms.iter().any(|term| term.operator == Operator::Equal && term.version == version.0);
        self.terms.iter().all(|term| term.allows(&version.0)) && (!version.is_prerelease() || is_named())
    }

    /// Those of `versions` that meet it.
    #[must_use]
    pub fn choose<'v>(&self, versions: impl IntoIterator<Item = &'v Version>) -> BTreeSet<Version> {
        versions.into_iter().filter(|version| self.allows(version)).cloned().collect()
    }
}

impl Term {
    fn allows(&self, version: &semver::Version) -> bool {
        match &self.operator {
            Operator::Equal => *version == self.version,
            Operator::NotEqual => *version != self.version,
            Operator::Greater => *version > self.version,
            Operator::GreaterOrEqual => *version >= self.version,
            Operator::Less => *version < self.version,
            Operator::LessOrEqual => *version <= self.version,
            Operator::Pessimistic(end) => *version >= self.version && version < end,
        }
    }

    /// Reads one term.
    fn read(text: &str) -> Result<Self, String> {
        let (operator, rest) = OPERATORS
            .iter()
            .find_map(|operator| Some((*operator, text.strip_prefix(operator)?)))
            .unwrap_or(("", text));
        let rest = rest.trim_start();
        // A tag, such as v1.2.3, stands for its version.
        let (version, parts) = read_version(rest.strip_prefix('v').unwrap_or(rest))?;
        let operator = match operator {
            "!=" => Operator::NotEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            "~>" => {
                let next = |number: u64| number.checked_add(1).ok_or("a number is too large");
                Operator::Pessimistic(if parts == 3 {
                    semver::Version::new(version.major, next(version.minor)?, 0)
                } else {
                    semver::Version::new(next(version.major)?, 0, 0)
                })
            }
            _ => Operator::Equal,
        };
        Ok(Self { operator, version })
    }
}

/// Reads a version of which parts may be left out; also returns how many are written.
fn read_version(text: &str) -> Result<(semver::Version, usize), String> {
    let core = text.find(['-', '+']).unwrap_or(text.len());
    let (core, rest) = text.split_at(core);
    let parts = core.split('.').count();
    if core.is_empty() || parts > 3 {
        return Err("expected one to three numbers, such as 5.0".to_owned());
    }
    if rest.starts_with('+') || rest.contains('+') {
        return Err("build metadata (+…) is in no version of a mirror".to_owned());
    }
    let whole = format!("{core}{}{rest}", ".0".repeat(3 - parts));
    semver::Version::parse(&whole).map(|version| (version, parts)).map_err(|error| error.to_string())
}

impl FromStr for Constraint {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse = |problem: &str| {
            let rule = format!(
                "{problem}; expected a constraint as Terraform has it, such as 1.2.3, ~> 5.0 or \">= 1.2, < 2.0\""
            );
            invalid("version constraint", text, rule)
        };
        // Some ten terms, each with a version.
        if text.len() > 10 * MAX_VERSION {
            return Err(refuse("it is too long"));
        }
        let terms = text.split(',').map(|term| Term::read(term.trim())).collect::<Result<_, _>>();
        Ok(Self { text: text.trim().to_owned(), terms: terms.map_err(|problem| refuse(&problem))? })
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn constraints_mean_what_they_mean_to_terraform() {
        for (constraint, allowed, refused) in [
            ("1.2.3", "1.2.3", "1.2.4 1.2.2 1.2.3-rc.1"),
            ("v1.2.3", "1.2.3", "1.2.4"),
            ("= 1.2", "1.2.0", "1.2.1 1.3.0"),
            ("1", "1.0.0", "1.0.1"),
            ("!= 1.2.3", "1.2.2 1.2.4 0.1.0", "1.2.3 1.2.4-rc.1"),
            (">= 1.2, < 2", "1.2.0 1.9.9", "1.1.9 2.0.0 2.0.0-rc.1 1.5.0-rc.1"),
            ("> 1.2", "1.2.1 2.0.0", "1.2.0 1.1.0"),
            ("<=1.2", "1.2.0 1.1.9", "1.2.1"),
            ("~> 5.0", "5.0.0 5.9.1", "4.9.9 6.0.0 6.0.0-rc.1"),
            ("~> 5", "5.0.0 5.9.1", "4.9.9 6.0.0"),
            ("~> 5.1.2", "5.1.2 5.1.9", "5.1.1 5.2.0 6.0.0"),
            ("~> 5.1.2-rc.1", "5.1.2 5.1.9", "5.1.2-rc.1 5.2.0"),
            ("1.2.3-rc.1", "1.2.3-rc.1", "1.2.3 1.2.3-rc.2"),
            ("= 1.2.3-rc.1, >= 1.0", "1.2.3-rc.1", "1.2.3"),
            (">= 1.2.3-rc.1", "1.2.3", "1.2.3-rc.1 1.2.3-rc.2"),
            ("1.2-rc.1", "1.2.0-rc.1", "1.2.0"),
            ("  ~>5.0 ,!= 5.1.0  ", "5.0.0 5.1.1", "5.1.0"),
        ] {
            let parsed: Constraint = constraint.parse().unwrap();
            for text in allowed.split(' ') {
                assert!(parsed.allows(&version(text)), "{constraint} allows {text}");
            }
            for text in refused.split(' ') {
                assert!(!parsed.allows(&version(text)), "{constraint} does not allow {text}");
            }
        }
        for bad in [
            "",
            " ",
            ",",
            "1.2.3,",
            "=> 1",
            "=< 1",
            "^1.2",
            "~1.2",
            "1.2.3.4",
            "1.x",
            "*",
            "1 2",
            ">= 1 < 2",
            "1.2.3 || 2",
            "01.2",
            "latest",
            "1.2.3+meta",
            ">= ",
            "v",
            "vv1",
            "-1",
        ] {
            assert!(bad.parse::<Constraint>().is_err(), "{bad}");
        }
    }

    fn any_version() -> impl Strategy<Value = Version> {
        (0_u64..4, 0_u64..4, 0_u64..4, prop::sample::select(&["", "-rc.1", "-rc.2"][..]))
            .prop_map(|(major, minor, patch, pre)| version(&format!("{major}.{minor}.{patch}{pre}")))
    }

    proptest! {
        /// Each operator against the order of versions; and a pre-release only where it is named.
        #[test]
        fn operators_follow_the_order(one in any_version(), other in any_version(), two in any_version()) {
            let allows = |text: String, version: &Version| text.parse::<Constraint>().unwrap().allows(version);
            let is_stable = !one.is_prerelease();
            prop_assert_eq!(allows(format!("= {other}"), &one), one == other);
            prop_assert_eq!(allows(other.to_string(), &one), one == other);
            for (operator, holds) in [
                ("!=", one != other), (">", one > other), (">=", one >= other), ("<", one < other), ("<=", one <= other),
            ] {
                prop_assert_eq!(allows(format!("{operator} {other}"), &one), holds && is_stable);
                let both = allows(format!("{operator} {other}, <= {two}"), &one);
                prop_assert_eq!(both, holds && one <= two && is_stable);
            }
            // The last part that is written may grow, the others may not.
            let (v, w) = (&one.0, &other.0);
            let patch = one >= other && (v.major, v.minor) == (w.major, w.minor);
            prop_assert_eq!(allows(format!("~> {other}"), &one), patch && is_stable);
            let minor = v.major == w.major && v.minor >= w.minor;
            prop_assert_eq!(allows(format!("~> {}.{}", w.major, w.minor), &one), minor && is_stable);
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in "[~<>=!v0-9., x+-]{0,24}") {
            if let Ok(constraint) = text.parse::<Constraint>() {
                prop_assert_eq!(constraint.to_string().parse::<Constraint>().unwrap(), constraint);
            }
        }
    }
}
