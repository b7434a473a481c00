//! The keys of mirrored providers: recorded at first use, pinned by the user, and never changed without a word.

use std::path::PathBuf;

use super::{KEYS, SOURCE, World, assert_mirrored, json_of, publish_upstream};
use crate::support::mutated::Signer;
use crate::support::{run, tarballs, tfreg};

/// The armored public half of a test key, in a file.
fn public(world: &World, name: &str) -> PathBuf {
    let file = world.root.path().join(format!("{name}.pub"));
    std::fs::write(&file, Signer::of(name).armored()).unwrap();
    file
}

fn recorded(world: &World) -> Vec<String> {
    let keys = json_of(&world.objects(), KEYS)["gpg_public_keys"].clone();
    keys.as_array().unwrap().iter().map(|key| key["fingerprint"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_key_is_recorded_at_first_use_and_another_one_refused() {
    let world = World::new(&["release-1.2.0"]);
    let first = run(&mut world.mirror(&[SOURCE])).succeeds();
    let known = recorded(&world);
    assert!(known.len() == 1 && first.stderr.contains(&known[0]), "{first:?}");
    // Upstream signs the next version by another key.
    publish_upstream(&world.upstream(), "rsa3072.asc", &tarballs("release-1.10.0"));
    let before = world.objects();
    let zips = world.host.gets(".zip");
    let refused = run(&mut world.mirror(&[SOURCE]));
    let refused =
        refused.refused("another key", &["another key than before", &known[0], "--public-key", "1.10.0"]);
    assert_eq!((world.objects(), world.host.gets(".zip")), (before, zips));
    // Not by a key that did not sign it either.
    let other = public(&world, "p256.asc");
    let wrong = run(world.mirror(&[SOURCE, "--public-key"]).arg(&other));
    wrong.refused("a third key", &["another key than before"]);
    // The remedy, carried out: the key that was found is given.
    let found = refused.stderr.split_once("found:    ").unwrap().1.split_once(' ').unwrap().0.to_owned();
    let file = public(&world, "rsa3072.asc");
    let shown = run(tfreg().arg("key").arg(&file)).succeeds();
    assert!(shown.stdout.replace(' ', "").contains(&found), "{shown:?}");
    run(world.mirror(&[SOURCE, "--public-key"]).arg(&file)).succeeds();
    assert_mirrored(&world, &["1.2.0", "1.10.0"]);
    assert_eq!(recorded(&world), [known[0].clone(), found]);
    // It is recorded now, and both are taken.
    let again = run(&mut world.mirror(&[&format!("{SOURCE}@>= 1.0")])).succeeds();
    assert!(again.stdout.contains("nothing to do"), "{again:?}");
}

#[test]
fn a_key_that_is_pinned_is_taken_alone() {
    let world = World::new(&["release-1.2.0"]);
    let other = public(&world, "rsa3072.asc");
    let refused = run(world.mirror(&[SOURCE, "--public-key"]).arg(&other));
    refused.refused("pinned", &["another key than --public-key"]);
    assert!(!world.objects().contains_key(KEYS));
    let own = public(&world, "ed25519.asc");
    let done =
        run(world.mirror(&[SOURCE, "--public-key"]).arg(&other).arg("--public-key").arg(&own)).succeeds();
    assert!(done.stdout.contains("given by --public-key"), "{done:?}");
    assert_eq!(recorded(&world).len(), 1, "what has not signed is not recorded");
}

#[test]
fn a_first_run_of_several_keys_records_all() {
    let world = World::new(&["release-1.2.0"]);
    publish_upstream(&world.upstream(), "rsa3072.asc", &tarballs("release-1.10.0"));
    run(&mut world.mirror(&[&format!("{SOURCE}@>= 1.0")])).succeeds();
    assert_mirrored(&world, &["1.2.0", "1.10.0"]);
    assert_eq!(recorded(&world).len(), 2);
}

#[test]
fn a_record_that_cannot_be_read_is_none() {
    let world = World::new(&["release-1.2.0"]);
    for bad in ["", "{}", r#"{"gpg_public_keys": [{}]}"#, r#"{"gpg_public_keys": [{"ascii_armor": "x"}]}"#] {
        let path = world.site().join(KEYS);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bad).unwrap();
        run(&mut world.mirror(&[SOURCE])).refused(bad, &[KEYS, "cannot be understood"]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), bad);
    }
}
