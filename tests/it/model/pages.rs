//! The pages, where the registry has them. They are written last, so what is judged is:
//!
//! - in every state, no page is ahead: it names no version that the index has never listed, and every page to which it leads
//!   its readers on, from the providers to their versions, is there (the way back may not be, in a first publish);
//! - at every end, where all that began has ended or was run again, every page is, byte for byte, what its documents give.
//!
//! In between, pages may be behind: a page may name a version that was yanked a moment ago.
//!
//! All orders of two runs that write the same pages take hours. So what is explored is a run that crashes at every step, and
//! of two runs those orders in which one comes whole between two steps of the other.

use std::collections::BTreeSet;

use tfreg::content::Digest;
use tfreg::plan::pages as plan;
use tfreg::plan::{Action, Observation, Observed, Step};
use tfreg::registry::pages::PageKey;
use tfreg::registry::settings::SettingsChange;
use tfreg::registry::{Key, Settings};
use tfreg::store::{Document, Revision};

use super::batch::{third, two_in_one};
use super::{
    Actor, Choice, Covered, INDEX, Quiet, SETTINGS, World, address, after, after_from, both_succeed,
    explore_indexes, immutable, index_of, init, judge_end, sample, yank, yanked_stays_out,
};
use crate::support::reader::{Listed, Objects};
use crate::support::tarball;

/// Whether operations on a page are steps of their own.
pub(super) fn is_step(page: &PageKey, quiet: Quiet) -> bool {
    match page {
        PageKey::Registry | PageKey::Provider { .. } => true,
        PageKey::Release { .. } | PageKey::Docs { .. } => quiet == Quiet::Nothing,
        // The feed is read and written with the provider's page, from the same facts.
        PageKey::Feed { .. } | PageKey::DocsVersions { .. } | PageKey::Asset { .. } => false,
    }
}

/// The versions that the index lists.
pub(super) fn indexed(objects: &Objects) -> BTreeSet<String> {
    let versions = index_of(objects.get(INDEX)).into_iter();
    versions.map(|name| name.split_once(' ').unwrap().0.to_owned()).collect()
}

fn is_page(key: &str) -> bool {
    key == "index.html" || key.starts_with("providers/")
}

/// What readers see at any moment: no page names a version that the index has never listed, or leads on to a page that is
/// not there.
pub(super) fn not_ahead(objects: &Objects, listed_ever: &BTreeSet<String>) -> Result<(), String> {
    for (key, bytes) in objects.iter().filter(|(key, _)| is_page(key)) {
        let text = String::from_utf8(bytes.clone()).map_err(|error| format!("{key}: {error}"))?;
        for version in ["1.2.0", "1.10.0", "2.1.0"] {
            if (text.contains(version) || key.contains(version)) && !listed_ever.contains(version) {
                return Err(format!("{key} names {version}, which the index has never listed"));
            }
        }
        let page: PageKey = key.parse().map_err(|_| format!("{key} is no page"))?;
        if !key.ends_with(".html") {
            continue;
        }
        for link in tfreg::pages::links(&page, &text) {
            let leads_on = match link.parse() {
                Ok(Key::Page(PageKey::Provider { .. })) => page == PageKey::Registry,
                Ok(Key::Page(PageKey::Registry | PageKey::Feed { .. } | PageKey::DocsVersions { .. })) => {
                    false
                }
                _ => true,
            };
            if leads_on && !objects.contains_key(&link) {
                return Err(format!("{key} leads to {link}, which is not there"));
            }
        }
    }
    Ok(())
}

/// Whether every page is what the documents give.
pub(super) fn current(objects: &Objects) -> Result<(), String> {
    let settings = Settings::parse(&objects[SETTINGS]).map_err(|error| error.to_string())?;
    let site = plan::site(&settings).ok_or("no pages")?;
    if !objects.contains_key(INDEX) {
        return Ok(());
    }
    let mut seen = Observation::default();
    loop {
        let read = |key: &Key| match objects.get(&key.to_string()) {
            Some(bytes) => {
                let revision = Revision(Digest::of(bytes).to_string());
                Observed::Document(Document { bytes: bytes.clone().into(), revision })
            }
            None => Observed::Absent,
        };
        match plan::current(&sample(), None, &site, &seen).map_err(|error| error.to_string())? {
            Step::Read(keys) => {
                seen.objects.extend(keys.into_iter().map(|(key, _)| (key.clone(), read(&key))));
            }
            Step::Ready(plan) => {
                let mut others = plan.writes().iter().filter(|write| write.action != Action::Keep);
                return others.next().map_or(Ok(()), |write| Err(write.to_string()));
            }
            other => return Err(format!("{other:?}")),
        }
    }
}

/// A registry with pages, and with what these publish.
fn with_pages(published: &[Actor]) -> Objects {
    let pages = SettingsChange { pages: Some(true), ..address() };
    after_from(&after(&[init(pages)]), published)
}

fn linux() -> Actor {
    immutable(&[tarball("release-1.2.0", "linux-amd64")])
}

/// Explores two runs, one of which does all that it does between two steps of the other: at each of its steps.
fn one_within_the_other(name: &str, start: &Objects, two: &[Actor; 2], judge: impl Fn(&World<'_>, &Listed)) {
    let mut covered = Covered::default();
    for (outer, inner) in [(0, 1), (1, 0)] {
        for steps in 0.. {
            let (mut world, mut path) = (World::with(start, two, None, &[], Quiet::Versions), Vec::new());
            let mut step = |world: &mut World<'_>, publisher: usize| {
                if world.running[publisher].is_none() {
                    return false;
                }
                let choice = Choice::Step(publisher);
                path.push(choice);
                world.take(choice);
                covered.states += 1;
                let objects = world.objects.lock().unwrap();
                if let Err(error) = not_ahead(&objects, &world.listed_ever) {
                    panic!("the pages after {path:?}: {error}");
                }
                true
            };
            let is_over = !(0..steps).all(|_| step(&mut world, outer));
            while step(&mut world, inner) {}
            while step(&mut world, outer) {}
            judge_end(&world, two, &path, &mut covered, &judge);
            if is_over {
                break;
            }
        }
    }
    println!("{name}: {covered:?}");
    assert!(covered.ends > 15 && covered.starved == 0, "{name}: {covered:?}");
}

#[test]
fn two_versions_on_the_same_pages() {
    let two = [linux(), immutable(&[tarball("release-1.10.0", "linux_amd64")])];
    one_within_the_other("the same pages", &with_pages(&[third()]), &two, both_succeed);
}

#[test]
fn several_versions_in_one_run_and_another_on_the_same_pages() {
    let start = with_pages(&[immutable(&[tarball("release-1.2.0", "darwin-arm64")])]);
    one_within_the_other("several versions", &start, &[two_in_one(), third()], both_succeed);
}

#[test]
fn a_yank_and_a_publish_on_the_same_pages() {
    let start = with_pages(&[linux()]);
    let two = [yank("1.2.0", 1), immutable(&[tarball("release-1.10.0", "linux_amd64")])];
    let both = |world: &World<'_>, listed: &Listed| {
        both_succeed(world, listed);
        yanked_stays_out("1.2.0")(world, listed);
    };
    one_within_the_other("another version", &start, &two, both);
}

#[test]
fn a_run_that_dies_leaves_no_page_that_is_ahead() {
    let start = with_pages(&[immutable(&[tarball("release-1.2.0", "darwin-arm64")])]);
    for (name, start, actor) in [
        ("the first pages", &with_pages(&[]), linux()),
        ("a version", &start, immutable(&[tarball("release-1.10.0", "linux_amd64")])),
        ("two versions", &start, two_in_one()),
        ("a yank", &start, yank("1.2.0", 1)),
    ] {
        // It is run again, and then the pages are what they have to be.
        let covered = explore_indexes(start, &[actor], both_succeed);
        println!("{name}: {covered:?}");
        assert!(covered.crashes > 3, "{name}: {covered:?}");
    }
}
