//! Several versions in one run, beside another publisher: their documents are written together, and the index once. The run
//! may crash at every step of it; then it is run again, as a whole.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use tfreg::plan::batch::Batch;
use tfreg::plan::{PublishGoal, Published};

use super::{
    Actor, Objects, after, all_succeed_in_the_end, both_succeed, explore_indexes, immutable, report, yank,
    yanked_stays_out,
};
use crate::support::archive::{Archive, genuine_executable, write};
use crate::support::in_process::wanted;
use crate::support::{folder, tarball};

/// One run of these versions, the oldest first.
fn batch(mut goals: Vec<PublishGoal>) -> Actor {
    let platforms =
        |goal: &PublishGoal| goal.packages.packages().iter().map(|p| p.platform.clone()).collect();
    let together: BTreeMap<_, _> =
        goals.iter().map(|goal| (goal.packages.version().clone(), platforms(goal))).collect();
    let together = Arc::new(together);
    for goal in &mut goals {
        goal.together = Arc::clone(&together);
    }
    Actor::Batch(Box::new(Batch::new(goals)))
}

/// 1.2.0 and 1.10.0 in one run.
pub(super) fn two_in_one() -> Actor {
    let tarballs = [tarball("release-1.2.0", "linux-amd64"), tarball("release-1.10.0", "linux_amd64")];
    batch(tarballs.map(|tarball| wanted(&[tarball], Published::Immutable)).into())
}

/// A third version.
pub(super) fn third() -> Actor {
    static ARCHIVE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let manifest = r#"{"version": 1, "metadata": {"protocol_versions": ["6.0"]}}"#;
        let archive = Archive::new().file("terraform-registry-manifest.json", manifest);
        archive.file("terraform-provider-sample", genuine_executable("linux-amd64")).gz()
    });
    let root = folder();
    let tarball = write(root.path(), "terraform-provider-sample_2.1.0_linux_amd64.tar.gz", &*ARCHIVE);
    immutable(&[tarball])
}

#[test]
fn two_versions_in_one_run_beside_a_third() {
    let start = after(&[immutable(&[tarball("release-1.2.0", "darwin-arm64")])]);
    report("a third", &explore_indexes(&start, &[two_in_one(), third()], both_succeed));
}

#[test]
fn two_versions_in_one_run_are_the_first() {
    let actors = [two_in_one(), third()];
    let all = all_succeed_in_the_end(&actors);
    report("the first", &explore_indexes(&Objects::new(), &actors, all));
}

#[test]
fn one_of_two_versions_is_yanked_meanwhile() {
    let start = after(&[immutable(&[tarball("release-1.2.0", "linux-amd64")])]);
    let actors = [yank("1.2.0", 1), two_in_one()];
    report("a yank", &explore_indexes(&start, &actors, yanked_stays_out("1.2.0")));
}
