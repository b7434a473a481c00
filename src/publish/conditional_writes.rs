//! Checks that a store honours conditional writes, before an index is written to it.
//!
//! Some S3-compatible servers silently ignore `If-None-Match` and `If-Match`; on these, two publishers lose each
//! other's versions. The check makes two writes of bytes that are already stored, which must both be refused: a create
//! of an existing object, and a replace with a revision that no object has. On a store that ignores conditions they
//! change nothing. The replace may be forbidden instead, by a policy that demands another condition.

use std::sync::Arc;

use crate::content::Sealed;
use crate::error::{Error, Refusal, Result};
use crate::registry::Key;
use crate::store::{Answer, Condition, RegistryStore, Revision};

/// A revision that no object has.
const NO_REVISION: &str = "\"00000000000000000000000000000000\"";

/// The result of the check.
pub enum Proof {
    /// Conditions are honoured.
    Honoured,
    /// The store gave no clear answer; the check may be repeated.
    Unclear(String),
}

/// Checks the store with `key`, whose contents are exactly `body`.
///
/// # Errors
/// Fails if the store does not honour conditions, or refuses the writes.
pub async fn prove(store: &RegistryStore, key: &Key, body: &Sealed) -> Result<Proof> {
    let nothing: crate::store::OnSent = Arc::new(|_| {});
    let wrong = Condition::Unchanged(Revision(NO_REVISION.to_owned()));
    let (create, replace) = tokio::join!(
        store.put(key, body, &Condition::Absent, Arc::clone(&nothing)),
        store.put(key, body, &wrong, nothing),
    );
    let mut create_refused = false;
    for (answer, tried) in [
        (create, "a create (If-None-Match: *) of an object that exists"),
        (replace, "a replace (If-Match) with a revision that no object has"),
    ] {
        match answer {
            Answer::ConditionFailed(_) => create_refused = true,
            // A bucket policy may demand `If-None-Match` here, as that of `tfreg policy` does. If two writes differ
            // only in their condition and only this one is refused, the server distinguishes conditions.
            Answer::Failed(error) if error.status == Some(403) && create_refused => {}
            Answer::Written => return Err(refuse(store, tried, key, "was carried out").into()),
            Answer::Failed(error) if error.status == Some(501) && error.remedy.is_none() => {
                return Err(refuse(store, tried, key, &format!("was answered {}", error.answer)).into());
            }
            Answer::Failed(error) => return Err(Error::Store(error)),
            Answer::Unknown(error) => return Ok(Proof::Unclear(error.to_string())),
            Answer::Busy(who) => return Ok(Proof::Unclear(who)),
        }
    }
    Ok(Proof::Honoured)
}

/// The first write of a run into an empty registry; a store without conditions may refuse this one already.
pub const FIRST_CREATE: &str = "a create (If-None-Match: *)";

/// The refusal for a store, with the write that was tried and its answer.
pub fn refuse(store: &RegistryStore, tried: &str, key: &Key, answer: &str) -> Refusal {
    Refusal::new(store.describe(), "the store does not honour conditional writes")
        .found(format!("{tried} ({key}) {answer}"))
        .expected("HTTP status 412 where the condition does not hold")
        .remedy(
            "use a store with conditional writes, such as Amazon S3; without them concurrent publishes lose each other's \
             versions. Nothing was indexed",
        )
}
