//! What a conditional write has come to: one pure function over what was meant, what was answered, and what is there.
//!
//! A timeout or a 5xx does not say whether a write took effect, and a 412 may be the echo of one's own write whose answer
//! was lost. So before anything is concluded the object is read back. S3's answers: 412 the condition failed, 409 a
//! concurrent operation, 404 the object of a replace is gone (AWS; others say 412).

use super::{Answer, StoreError, Summary};
use crate::digest::Digest;

/// What to make of a create in `store/`, where an object is only ever created.
#[derive(Debug)]
pub enum Verdict {
    /// This write put the object there.
    Created,
    /// The same bytes are there already: as good as created.
    AlreadyThere,
    /// Nothing is there, though the condition failed: another write was under way. It may be tried again.
    Contended(String),
    /// Nothing is there, and the store gave no clear answer. It may be tried again.
    TryAgain(StoreError),
    /// Other bytes are there. They are never overwritten.
    Different(Digest),
    /// It failed for good.
    Failed(StoreError),
}

/// Whether `answer` leaves open what is in the store, so that [`judge_create`] needs a read.
#[must_use]
pub fn needs_reading(answer: &Answer) -> bool {
    matches!(answer, Answer::ConditionFailed(_) | Answer::Unknown(_))
}

/// Decides what a create of an object with digest `meant` has come to, after `answer` and with `now` in the store.
#[must_use]
pub fn judge_create(meant: Digest, answer: Answer, now: Option<Summary>) -> Verdict {
    match (answer, now) {
        (Answer::Written, _) => Verdict::Created,
        (Answer::Failed(error), _) => Verdict::Failed(error),
        (Answer::ConditionFailed(_) | Answer::Unknown(_), Some(found)) if found.digest == meant => {
            Verdict::AlreadyThere
        }
        (Answer::ConditionFailed(_) | Answer::Unknown(_), Some(found)) => Verdict::Different(found.digest),
        (Answer::ConditionFailed(answer), None) => Verdict::Contended(answer),
        (Answer::Unknown(error), None) => Verdict::TryAgain(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> StoreError {
        StoreError { doing: "cannot write x".into(), answer: "500".into(), status: Some(500), remedy: None }
    }

    fn found(bytes: &[u8]) -> Summary {
        Summary { len: bytes.len() as u64, digest: Digest::of(bytes) }
    }

    #[test]
    fn every_row_of_a_create() {
        let meant = Digest::of(b"mine");
        let judge = |answer, now| judge_create(meant, answer, now);
        let failed = || Answer::ConditionFailed("412".into());
        let unknown = || Answer::Unknown(error());

        assert!(matches!(judge(Answer::Written, None), Verdict::Created));
        assert!(matches!(judge(Answer::Failed(error()), None), Verdict::Failed(_)));
        assert!(matches!(judge(Answer::Failed(error()), Some(found(b"mine"))), Verdict::Failed(_)));
        for answer in [failed, unknown] {
            assert!(matches!(judge(answer(), Some(found(b"mine"))), Verdict::AlreadyThere));
            let Verdict::Different(theirs) = judge(answer(), Some(found(b"theirs"))) else {
                panic!("a conflict")
            };
            assert_eq!(theirs, Digest::of(b"theirs"));
        }
        assert!(matches!(judge(failed(), None), Verdict::Contended(_)));
        assert!(matches!(judge(unknown(), None), Verdict::TryAgain(_)));
        assert!(needs_reading(&failed()) && needs_reading(&unknown()));
        assert!(!needs_reading(&Answer::Written) && !needs_reading(&Answer::Failed(error())));
    }
}
