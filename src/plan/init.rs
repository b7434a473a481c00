//! Making or changing the registry's settings. What the run does not name stays as it is.

use super::{Action, ConditionCheck, Goal, Observation, Plan, ReadKind, Step, Write, keep, replace};
use crate::content::Sealed;
use crate::error::Refusal;
use crate::registry::settings::SettingsChange;
use crate::registry::{Key, Links, MirrorHost, Settings};

/// Changes the settings.
#[derive(Debug)]
pub struct Init {
    /// What changes.
    pub change: SettingsChange,
    /// The prefix of the registry's keys in its bucket, with its slash; empty if there is none.
    pub prefix: String,
}

/// The state of a run.
#[derive(Debug, Default)]
pub struct RunState {
    /// Whether it has written the settings.
    is_written: bool,
    /// Whether documents that are there depend on what it changes.
    moves_documents: bool,
    /// Whether it turns pages off.
    leaves_pages: bool,
    /// The host whose files of a network mirror are not written any more.
    left_host: Option<MirrorHost>,
}

impl Goal for Init {
    type RunState = RunState;

    fn next(&self, seen: &Observation, state: &mut RunState) -> Result<Step, Refusal> {
        let key = Key::Settings;
        if let Some(step) = seen.missing([(Key::Discovery, ReadKind::Read), (key.clone(), ReadKind::Read)]) {
            return Ok(step);
        }
        let earlier = seen.settings();
        let wanted = Settings::changed(earlier, &self.change)?;
        let mut changes = wanted.differences(earlier);
        if let (Some(line), Some(base), true) = (
            changes.iter_mut().find(|line| line[2..].starts_with("network_mirror:")),
            wanted.base_url(),
            wanted.network_mirror(),
        ) {
            *line = format!("{line}, at {base}mirror/");
        }
        let mut plan = Plan { changes, max_age: Some(wanted.document_max_age()), ..Plan::default() };
        if state.is_written && !plan.changes.is_empty() {
            // Two runs that set the same member to different values would overwrite each other endlessly.
            return Err(Refusal::new(key, "overtaken: another run has changed the same settings")
                .found(earlier.map_or("no settings".to_owned(), |now| now.differences(None).join("\n")))
                .expected(wanted.differences(None).join("\n"))
                .remedy("find out which were meant, and set those again"));
        }
        let body = Sealed::from_bytes(wanted.to_bytes());
        let (there, discovery) = (seen.document(&key), seen.document(&Key::Discovery));
        plan.condition_check = Some(match (there, discovery) {
            (Some(read), _) => ConditionCheck::there(&key, read),
            (None, Some(read)) => ConditionCheck::there(&Key::Discovery, read),
            (None, None) => ConditionCheck { key: key.clone(), body: body.clone(), is_there: false },
        });
        let derived = |settings: &Settings| {
            let title = settings.title().filter(|_| settings.pages()).map(str::to_owned);
            (settings.links(), settings.network_mirror(), settings.pages(), title)
        };
        let was = earlier.map_or((Links::RootRelative, false, false, None), derived);
        state.leaves_pages |= was.2 && !wanted.pages();
        let is_moved = was != derived(&wanted);
        // Said at the end too, when nothing is left to change.
        state.moves_documents |= is_moved && discovery.is_some();
        if let Some(left) =
            earlier.and_then(Settings::mirror_host).filter(|left| wanted.mirror_host().as_ref() != Some(left))
        {
            state.left_host = Some(left);
        }
        plan.warnings = self.warnings(&wanted, state);
        plan.writes.push(match there {
            None => Write { key, body, action: Action::Create },
            Some(read) if plan.changes.is_empty() => keep(key, &read.bytes),
            Some(read) => replace(key, read, wanted.to_bytes()),
        });
        Ok(Step::Ready(Box::new(plan)))
    }

    fn written(&self, _: &Key, state: &mut RunState) {
        state.is_written = true;
    }

    fn indexed(&self) -> &'static str {
        "No index was changed."
    }
}

impl Init {
    fn warnings(&self, wanted: &Settings, state: &RunState) -> Vec<String> {
        let mut warnings = Vec::new();
        let prefix = self.prefix.trim_end_matches('/');
        if let Some(base) = wanted.base_url().filter(|base| !prefix.is_empty() && !base.has_path()) {
            warnings.push(format!(
                "the registry is below the prefix {prefix} of its bucket, and {base} has no path: that is right only if the CDN \
                 adds the prefix; else it is {base}{prefix}/"
            ));
        }
        if let Some(host) = wanted.mirror_host().filter(MirrorHost::has_port) {
            warnings.push(format!(
                "no client finds a provider of {host} in the network mirror: the host has a port, and Terraform and OpenTofu take \
                 the path {host}/NAMESPACE/TYPE/index.json for an address of another scheme"
            ));
        }
        if let Some(host) = &state.left_host {
            warnings.push(format!(
                "what stands below mirror/{host}/ is not written any more, and goes on offering what it offers, yanked versions \
                 too; remove it by hand once nobody uses it"
            ));
        }
        if state.moves_documents {
            warnings.push(
                "documents that were published before are not changed by this: `tfreg reindex TARGET --all` brings them in line"
                    .to_owned(),
            );
        }
        if state.leaves_pages {
            warnings.push(
                "the pages that were written stay as they are: remove index.html and providers/ by hand if nobody shall see them"
                    .to_owned(),
            );
        }
        warnings
    }
}
