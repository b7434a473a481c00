//! Error types, as distinct as their callers need them.
//!
//! A [`Refusal`] means that the program rejects its input: it names the file or key, what was found there, what was
//! expected, and what to do. All other errors are failures of the environment: disk, network, store.

use std::fmt;
use std::io;
use std::path::Path;

/// Shorthand for this crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command did not succeed. [`Error::exit_code`] maps it to the documented exit codes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is not valid.
    #[error("{0}")]
    Usage(String),
    /// Input, registry contents or a verification was refused.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
    /// A refusal that the printed result already contains: with `--format json` nothing more is printed.
    #[error(transparent)]
    Reported(Box<Refusal>),
    /// A publish succeeded, but its result could not be read back; the printed result already says so.
    #[error("all is published, but it could not be read back to be verified (run `tfreg verify`)")]
    Unverified(#[source] Box<Error>),
    /// A file could not be read or written.
    #[error("{context}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// A store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The contention budget was used up: every attempt lost to another publisher, or the store was too busy.
    #[error("gave up after {waited} s of contention: {last}")]
    Contended {
        /// Seconds since the first conflict-free attempt began.
        waited: u64,
        /// The last conflict met.
        last: String,
    },
    /// The current state of this machine does not allow the operation.
    #[error("{0}")]
    Machine(String),
    /// The user did not confirm a plan.
    #[error("not confirmed; nothing was written")]
    Declined,
    /// The user or the system asked to stop.
    #[error(
        "interrupted. What is listed in the registry is whole at every point; running the same command again is safe, and \
         completes what is missing"
    )]
    Interrupted,
    /// A publish stopped half way; lists what is and what is not published.
    #[error("{cause}")]
    Unfinished {
        /// What stopped it; decides the exit code.
        cause: Box<Error>,
        /// What was and what was not written.
        state: Box<Unfinished>,
    },
}

impl Error {
    /// An [`Error::Io`] about `path`; `doing` reads like "cannot read".
    pub fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        Self::Io { context: format!("{doing} {}", path.display()), source }
    }

    /// The exit code that the command line promises: 1 failed, 2 usage, 3 refused, 4 gave up under contention.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Io { .. } | Self::Store(_) | Self::Machine(_) | Self::Declined | Self::Interrupted => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) | Self::Reported(_) => 3,
            Self::Contended { .. } => 4,
            Self::Unfinished { cause, .. } | Self::Unverified(cause) => cause.exit_code(),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// A rejection of the input: which file or key, what was found, what was expected, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The file, key or option that is refused.
    pub subject: String,
    /// What is wrong with it, in a few words.
    pub problem: String,
    /// What was found.
    pub found: String,
    /// What was expected instead.
    pub expected: String,
    /// What the user can do about it.
    pub remedy: String,
}

impl Refusal {
    /// Starts a refusal of `subject`; the other parts are set by [`found`](Self::found), [`expected`](Self::expected)
    /// and [`remedy`](Self::remedy).
    pub fn new(subject: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self {
            subject: subject.to_string(),
            problem: problem.into(),
            found: String::new(),
            expected: String::new(),
            remedy: String::new(),
        }
    }

    /// Sets what was found.
    #[must_use]
    pub fn found(mut self, found: impl fmt::Display) -> Self {
        self.found = found.to_string();
        self
    }

    /// Sets what was expected instead.
    #[must_use]
    pub fn expected(mut self, expected: impl fmt::Display) -> Self {
        self.expected = expected.to_string();
        self
    }

    /// Sets what the user can do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl fmt::Display) -> Self {
        self.remedy = remedy.to_string();
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.problem)?;
        for (label, text) in [("found", &self.found), ("expected", &self.expected), ("remedy", &self.remedy)]
        {
            if !text.is_empty() {
                let indented = text.replace('\n', "\n            ");
                write!(f, "\n  {:<10}{indented}", format!("{label}:"))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// A store could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub struct StoreError {
    /// What was being done, with the object: "cannot read s3://bucket/key".
    pub doing: String,
    /// What the store answered.
    pub answer: String,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// What the user can do, where that is known.
    pub remedy: Option<String>,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.answer)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n  remedy:   {remedy}"),
            None => Ok(()),
        }
    }
}

/// What a run that stopped had and had not written.
#[derive(Debug)]
pub struct Unfinished {
    /// The store, as the user named it.
    pub target: String,
    /// The keys that were written.
    pub written: Vec<String>,
    /// The keys that were not written, or not known to be.
    pub pending: Vec<String>,
    /// The consequence for users of the registry, in full sentences.
    pub consequence: String,
    /// Whether running the command again can complete the publish; after a refusal it cannot.
    pub completes: bool,
    /// The versions, where there are several.
    pub versions: Option<Versions>,
}

/// The versions of a run that stopped, each as `NAMESPACE/TYPE VERSION`, in the order of publishing.
#[derive(Debug)]
pub struct Versions {
    /// Those that are published.
    pub published: Vec<String>,
    /// Those that are not, or not known to be.
    pub pending: Vec<String>,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Versions { published, pending }) = &self.versions {
            let all = published.len() + pending.len();
            write!(f, "Published to {}: {} of {all} versions", self.target, published.len())?;
            if let Some(last) = published.last() {
                write!(f, ", the last one {last}")?;
            }
            if let Some(first) = pending.first() {
                write!(f, ". Not published, or not known to be: {}, the first one {first}", pending.len())?;
            }
            write!(f, ". {}", self.consequence)?;
        } else if self.written.is_empty() {
            write!(f, "Nothing was written to {}.", self.target)?;
        } else {
            writeln!(f, "Written to {}:", self.target)?;
            for key in &self.written {
                writeln!(f, "  + {key}")?;
            }
            writeln!(f, "Not written, or not known to be:")?;
            for key in &self.pending {
                writeln!(f, "  - {key}")?;
            }
            write!(f, "{}", self.consequence)?;
        }
        if self.completes {
            write!(f, " Running the same command again is safe, and completes what is missing.")
        } else {
            write!(f, " Running the same command again is safe, and is refused for the same reason.")
        }
    }
}

/// An error with its causes, each once. The AWS SDK's own `Display` prints only "service error" or "dispatch failure".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut parts: Vec<String> = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        cause = error.source();
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_names_file_found_expected_and_remedy() {
        let refusal =
            Refusal::new("a.tar.gz", "wrong checksum").found("1\n2").expected("3").remedy("fetch it again");
        assert_eq!(
            refusal.to_string(),
            "a.tar.gz: wrong checksum\n  found:    1\n            2\n  expected: 3\n  remedy:   fetch it again"
        );
    }
}
