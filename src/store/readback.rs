//! The result of a conditional write. Two pure functions: one interprets a store's answer; the other decides, from the
//! intended write, the answer and the stored object, what to do.
//!
//! A timeout or a 5xx does not say whether a write took effect, and a 412 may be caused by the run's own write whose
//! answer was lost. So nothing is concluded before the object is read back: an object of `store/` here, a document by
//! the next observation of the whole version.

use super::{Answer, Condition, StoreError, Summary};
use crate::content::Digest;
use crate::registry::Key;
use crate::registry::mirror::kept::{KeptKey, KeptObject};

/// Interprets the HTTP answer to a conditional write, by the status rather than by one vendor's code: a conflict is
/// `ConditionalRequestConflict` on AWS and `ConcurrentModification` on Ceph. A status of `None` means that there was no
/// answer.
#[must_use]
pub fn meaning(condition: &Condition, status: Option<u16>, code: &str, error: StoreError) -> Answer {
    match (status, condition) {
        // 412 the condition failed, 409 another operation was under way.
        (Some(409 | 412), _) => Answer::ConditionFailed(error.answer),
        // AWS answers this to the replacement of an object that is gone; others answer 412. A missing bucket is
        // different.
        (Some(404), Condition::Unchanged(_)) if code != "NoSuchBucket" => {
            Answer::ConditionFailed(error.answer)
        }
        // Not implemented: repeating it does not help.
        (Some(501), _) => Answer::Failed(error),
        (None | Some(408 | 429 | 500..), _) => Answer::Unknown(error),
        (Some(400), _) if matches!(code, "RequestTimeout" | "BadDigest") => Answer::Unknown(error),
        _ => Answer::Failed(error),
    }
}

/// The intended write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// An object that is created and never replaced, with this digest.
    Object(Digest),
    /// A signature: another one over the same file is equivalent, if it verifies.
    Signature(Digest),
    /// A document, which may be merged again; or the record of a publish, of which the first one is kept.
    Document,
}

impl Intent {
    /// The intent of a write of `digest` to `key`.
    #[must_use]
    pub fn by(key: &Key, digest: Digest) -> Self {
        match key {
            Key::Zip { .. } | Key::Sums { .. } => Self::Object(digest),
            Key::Signature { .. } | Key::ProvenanceSignature { .. } => Self::Signature(digest),
            Key::Kept(KeptKey { object, .. }) => match object {
                KeptObject::Zip { .. } | KeptObject::Sums { .. } => Self::Object(digest),
                KeptObject::Signature { .. } => Self::Signature(digest),
                KeptObject::Facts { .. } => Self::Document,
            },
            Key::Discovery
            | Key::Settings
            | Key::Page(_)
            | Key::Versions { .. }
            | Key::Download { .. }
            | Key::Yanked { .. }
            | Key::Provenance { .. }
            | Key::MirrorIndex { .. }
            | Key::MirrorVersion { .. }
            | Key::MirrorKeys { .. } => Self::Document,
        }
    }
}

/// What a write has led to.
#[derive(Debug)]
pub enum WriteOutcome {
    /// It is written, or the same bytes were there already.
    Done,
    /// Another run has written the object, or is writing it: everything is observed and planned again.
    Overtaken(String),
    /// Another writer has locked the store: everything is observed and planned again once the lock is released.
    Busy(String),
    /// The store gave no clear answer: everything is observed and planned again.
    Unclear(StoreError),
    /// The key of an immutable object has other bytes.
    Different(Digest),
    /// It failed permanently.
    Failed(StoreError),
}

/// Whether [`judge`] needs to know what is in the store now.
#[must_use]
pub fn needs_reading(meant: Intent, answer: &Answer) -> bool {
    meant != Intent::Document && matches!(answer, Answer::ConditionFailed(_) | Answer::Unknown(_))
}

/// Decides on a write of `meant`, given `answer` and, if it was read, the stored object `now`.
#[must_use]
pub fn judge(meant: Intent, answer: Answer, now: Option<Summary>) -> WriteOutcome {
    let again = match answer {
        Answer::Written => return WriteOutcome::Done,
        Answer::Failed(error) => return WriteOutcome::Failed(error),
        Answer::Busy(who) => return WriteOutcome::Busy(who),
        Answer::ConditionFailed(answer) => WriteOutcome::Overtaken(answer),
        Answer::Unknown(error) => WriteOutcome::Unclear(error),
    };
    match (meant, now) {
        (Intent::Object(digest) | Intent::Signature(digest), Some(found)) if found.digest == digest => {
            WriteOutcome::Done
        }
        (Intent::Object(_), Some(found)) => WriteOutcome::Different(found.digest),
        (Intent::Signature(_), Some(_)) => WriteOutcome::Overtaken("another signature is there".to_owned()),
        (_, None) | (Intent::Document, _) => again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Revision;

    fn error(answer: &str) -> StoreError {
        StoreError { doing: "cannot write x".into(), answer: answer.into(), status: None, remedy: None }
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Kind {
        ConditionFailed,
        Unknown,
        Failed,
    }

    #[test]
    fn every_row_of_the_meaning() {
        use Kind::{ConditionFailed, Failed, Unknown};
        let create = Condition::Absent;
        let replace = Condition::Unchanged(Revision("r".into()));
        for (condition, status, code, expected) in [
            (&create, Some(412), "PreconditionFailed", ConditionFailed),
            (&replace, Some(412), "PreconditionFailed", ConditionFailed),
            (&create, Some(409), "ConditionalRequestConflict", ConditionFailed),
            (&replace, Some(409), "ConcurrentModification", ConditionFailed),
            (&replace, Some(404), "NoSuchKey", ConditionFailed),
            (&replace, Some(404), "", ConditionFailed),
            (&replace, Some(404), "NoSuchBucket", Failed),
            (&create, Some(404), "NoSuchKey", Failed),
            (&create, None, "", Unknown),
            (&replace, None, "", Unknown),
            (&create, Some(500), "InternalError", Unknown),
            (&replace, Some(503), "SlowDown", Unknown),
            (&replace, Some(504), "", Unknown),
            (&create, Some(429), "", Unknown),
            (&create, Some(408), "", Unknown),
            (&create, Some(400), "RequestTimeout", Unknown),
            (&create, Some(400), "BadDigest", Unknown),
            (&create, Some(400), "InvalidRequest", Failed),
            (&create, Some(501), "NotImplemented", Failed),
            (&replace, Some(403), "AccessDenied", Failed),
            (&create, Some(301), "PermanentRedirect", Failed),
        ] {
            let found = match meaning(condition, status, code, error(code)) {
                Answer::Written => panic!("an error is no success"),
                Answer::Busy(_) => panic!("no HTTP answer says so"),
                Answer::ConditionFailed(_) => ConditionFailed,
                Answer::Unknown(_) => Unknown,
                Answer::Failed(_) => Failed,
            };
            assert_eq!(found, expected, "{condition:?} {status:?} {code}");
        }
    }

    #[test]
    fn every_row_of_the_judgement() {
        let mine = Digest::of(b"mine");
        let is = |bytes: &[u8]| Some(Summary { len: bytes.len() as u64, digest: Digest::of(bytes) });
        let failed = || Answer::ConditionFailed("412".into());
        let unknown = || Answer::Unknown(error("500"));
        let (object, signature, document) = (Intent::Object(mine), Intent::Signature(mine), Intent::Document);

        for meant in [object, signature, document] {
            assert!(matches!(judge(meant, Answer::Written, None), WriteOutcome::Done));
            // Access stays denied, whatever is stored.
            assert!(matches!(
                judge(meant, Answer::Failed(error("403")), is(b"mine")),
                WriteOutcome::Failed(_)
            ));
            assert!(matches!(judge(meant, Answer::Busy("1".into()), is(b"theirs")), WriteOutcome::Busy(_)));
            assert!(!needs_reading(meant, &Answer::Busy("1".into())));
            // The object does not exist: the write did not take effect.
            assert!(matches!(judge(meant, failed(), None), WriteOutcome::Overtaken(_)));
            assert!(matches!(judge(meant, unknown(), None), WriteOutcome::Unclear(_)));
        }
        for answer in [failed, unknown] {
            // The write took effect after all, or another run wrote the same bytes.
            assert!(matches!(judge(object, answer(), is(b"mine")), WriteOutcome::Done));
            assert!(matches!(judge(signature, answer(), is(b"mine")), WriteOutcome::Done));
            // Other bytes: final for an object, equivalent for a signature.
            let WriteOutcome::Different(theirs) = judge(object, answer(), is(b"theirs")) else {
                panic!("a conflict")
            };
            assert_eq!(theirs, Digest::of(b"theirs"));
            assert!(matches!(judge(signature, answer(), is(b"theirs")), WriteOutcome::Overtaken(_)));
        }
        assert!(needs_reading(object, &failed()) && needs_reading(signature, &unknown()));
        assert!(!needs_reading(document, &failed()) && !needs_reading(document, &unknown()));
        assert!(
            !needs_reading(object, &Answer::Written) && !needs_reading(object, &Answer::Failed(error("403")))
        );
    }
}
