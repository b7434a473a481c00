//! The warnings that clients show at init: the top-level `warnings` of the index.

use super::{Goal, Observation, Plan, ReadKind, Step, condition_check, lost_index, replace};
use crate::error::Refusal;
use crate::provider::Provider;
use crate::registry::{Key, VersionsDocument};

/// Sets other warnings for a provider; an empty list clears them.
#[derive(Debug)]
pub struct Warn {
    /// The provider.
    pub provider: Provider,
    /// The messages that clients show.
    pub warnings: Vec<String>,
}

impl Goal for Warn {
    /// Whether this run has written the index.
    type RunState = bool;

    fn next(&self, seen: &Observation, written: &mut bool) -> Result<Step, Refusal> {
        let key = Key::Versions { provider: self.provider.clone() };
        if let Some(step) = seen.missing([(Key::Discovery, ReadKind::Read), (key.clone(), ReadKind::Read)]) {
            return Ok(step);
        }
        let Some(read) = seen.document(&key) else {
            return lost_index::without_index(seen, &self.provider);
        };
        let index = VersionsDocument::parse(&key, &read.bytes)?;
        let now = index.warnings()?;
        let mut plan = Plan { condition_check: condition_check(seen, &key), ..Plan::default() };
        if now == self.warnings {
            plan.writes.push(super::keep(key, &read.bytes));
            return Ok(Step::Ready(Box::new(plan)));
        }
        if *written {
            // Two runs that set different warnings would overwrite each other endlessly.
            return Err(Refusal::new(key, "overtaken: another run has set other warnings")
                .found(words(&now))
                .expected(words(&self.warnings))
                .remedy("find out which were meant, and set those again"));
        }
        let gone =
            now.iter().filter(|text| !self.warnings.contains(text)).map(|text| format!("- warning {text:?}"));
        let new =
            self.warnings.iter().filter(|text| !now.contains(text)).map(|text| format!("+ warning {text:?}"));
        plan.changes = gone.chain(new).collect();
        plan.writes.push(replace(key, read, index.with_warnings(&self.warnings).to_bytes()));
        Ok(Step::Ready(Box::new(plan)))
    }

    fn written(&self, key: &Key, written: &mut bool) {
        *written |= matches!(key, Key::Versions { .. });
    }

    fn indexed(&self) -> &'static str {
        "The index holds the new warnings."
    }
}

fn words(warnings: &[String]) -> String {
    if warnings.is_empty() { "no warnings".to_owned() } else { warnings.join("\n") }
}
