//! `tfreg init`: what it writes, how it is changed and taken back, and what it refuses.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use super::{BASE, ED25519, P256, SETTINGS, init, set};
use crate::support::child::Running;
use crate::support::s3_server::{Action, Conditions, Gate, Matcher, Point, S3Server};
use crate::support::{folder, publish, ran, run, tarball, tfreg, tree};

#[test]
fn settings_are_made_changed_one_by_one_and_taken_back() {
    let root = folder();
    let site = root.path().join("site");
    let first = set(&site, &["--base-url", "https://Registry.example.com/tf", "--stable-only"]).succeeds();
    for text in
        ["+ base_url: \"https://registry.example.com/tf/\"", "+ prereleases: false", "+ replace: false"]
    {
        assert!(first.stdout.contains(text), "{text}: {first:?}");
    }
    assert!(first.stdout.contains("Created the settings in "), "{first:?}");
    let now = |key: &str| super::json(&site, SETTINGS)[key].clone();
    assert_eq!(
        super::json(&site, SETTINGS),
        json!({
            "format": 1, "base_url": BASE, "replace": false, "prereleases": false, "signing_keys": [],
            "document_max_age": 60, "network_mirror": false, "pages": false,
        })
    );
    let before = tree(&site);
    let again = set(&site, &["--base-url", BASE, "--stable-only"]).succeeds();
    assert!(again.stdout.contains("Nothing to do"), "{again:?}");
    let nothing = set(&site, &[]).succeeds();
    assert!(nothing.stdout.contains("Nothing to do"), "{nothing:?}");
    assert_eq!(tree(&site), before);

    for (args, key, value, said) in [
        (&["--allow-replace"][..], "replace", json!(true), "~ replace: false -> true"),
        (&["--allow-replace=false"], "replace", json!(false), "~ replace: true -> false"),
        (&["--stable-only=false"], "prereleases", json!(true), "~ prereleases: false -> true"),
        (&["--allow-key", ED25519], "signing_keys", json!([ED25519]), ED25519),
        (&["--allow-key", &P256.to_lowercase()], "signing_keys", json!([ED25519, P256]), P256),
        (&["--remove-key", ED25519], "signing_keys", json!([P256]), "~ signing_keys"),
        (&["--any-key"], "signing_keys", json!([]), "~ signing_keys"),
        (&["--document-max-age", "5"], "document_max_age", json!(5), "60 -> 5"),
        (&["--network-mirror"], "network_mirror", json!(true), "~ network_mirror"),
        (&["--network-mirror=false"], "network_mirror", json!(false), "~ network_mirror"),
        (&["--pages"], "pages", json!(true), "~ pages: false -> true"),
        (&["--title", " Acme "], "title", json!("Acme"), "~ title: none -> \"Acme\""),
        (&["--title", ""], "title", Value::Null, "~ title: \"Acme\" -> none"),
        (&["--pages=false"], "pages", json!(false), "~ pages"),
        (&["--base-url", ""], "base_url", Value::Null, "tf/\" -> none"),
    ] {
        let others = |settings: Value| {
            let mut settings = settings;
            settings.as_object_mut().unwrap().remove(key);
            settings
        };
        let was = others(super::json(&site, SETTINGS));
        let folder = root.path().join("preview");
        let dry = [args, &["--dry-run", folder.to_str().unwrap()]].concat();
        let unchanged = tree(&site);
        let planned = set(&site, &dry).succeeds();
        assert!(planned.stdout.contains(said) && tree(&site) == unchanged, "{args:?}: {planned:?}");
        let changed = set(&site, args).succeeds();
        assert!(changed.stdout.contains(said), "{args:?}: {changed:?}");
        assert_eq!(now(key), value, "{args:?}");
        assert_eq!(others(super::json(&site, SETTINGS)), was, "{args:?} changed something else");
        assert_eq!(tree(&folder)[SETTINGS], tree(&site)[SETTINGS]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
    // A member of somebody else's stays, byte for byte.
    let text = std::fs::read_to_string(site.join(SETTINGS)).unwrap();
    std::fs::write(site.join(SETTINGS), text.replacen('{', "{\n  \"note\":  [1, 2.50],", 1)).unwrap();
    set(&site, &["--allow-replace"]).succeeds();
    let text = std::fs::read_to_string(site.join(SETTINGS)).unwrap();
    assert!(text.contains("\"note\": [1, 2.50]"), "{text}");
}

#[test]
fn the_target_is_named_as_in_other_commands_and_the_result_is_json() {
    let root = folder();
    let site = root.path().join("site");
    let at = site.to_str().unwrap();
    let elsewhere = root.path().join("elsewhere");
    let json = |ran: crate::support::Ran| -> Value { serde_json::from_str(&ran.succeeds().stdout).unwrap() };
    let made = json(run(tfreg().args(["init", "--to", at, "--allow-replace", "--format", "json"])));
    assert_eq!((&made["outcome"], &made["command"]), (&"changed".into(), &"init".into()));
    assert_eq!(made["settings"], super::json(&site, SETTINGS));
    assert_eq!(made["objects"][0]["key"], SETTINGS);
    assert!(made.get("provider").is_none(), "{made}");
    let same = json(run(tfreg().args(["init", "--allow-replace", "--format", "json"]).env("TFREG_TO", at)));
    assert_eq!((&same["outcome"], &same["settings"]["replace"]), (&"unchanged".into(), &true.into()));
    let word = json(run(tfreg().args(["init", at, "--format", "json"]).env("TFREG_TO", &elsewhere)));
    assert_eq!(word["outcome"], "unchanged");
    run(tfreg().args(["init"])).fails(2, &["no TARGET"]);
    run(tfreg().args(["init", at, "--to", at])).fails(2, &["named twice"]);
    for (args, text) in [
        (&["--base-url", "http://registry.example.com/"][..], "expected https"),
        (&["--base-url", "https://registry.example.com/?x"], "query"),
        (&["--base-url", "https://u:p@registry.example.com/"], "--base-url"),
        (&["--allow-key", "A7F2BC5B6E845A69"], "40 hex digits"),
        (&["--allow-replace=perhaps"], "--allow-replace"),
        (&["--any-key", "--remove-key", ED25519], "cannot be used with"),
        (&["--allow-key", ED25519, "--remove-key", ED25519], "same key"),
        (&["--document-max-age=-1"], "--document-max-age"),
        (&["--title", "a\nb"], "control character"),
        (&["--title", &"x".repeat(101)], "at most 100"),
    ] {
        set(&site, args).fails(2, &[text]);
    }
    assert!(!elsewhere.exists());
}

#[test]
fn what_makes_no_sense_or_is_not_understood_is_refused() {
    let root = folder();
    let site = root.path().join("site");
    let refused =
        set(&site, &["--network-mirror"]).refused("a mirror", &["\"network_mirror\"", "--base-url"]);
    assert!(!site.join(SETTINGS).exists(), "{refused:?}");
    set(&site, &["--network-mirror", "--base-url", BASE, "--allow-key", ED25519]).succeeds();
    set(&site, &["--base-url", ""]).refused("its address", &["\"network_mirror\"", "--network-mirror=false"]);
    set(&site, &["--base-url", "", "--network-mirror=false"]).succeeds();
    set(&site, &["--pages"]).refused("pages", &["\"pages\"", "--base-url", "--pages=false"]);
    set(&site, &["--pages", "--base-url", BASE]).succeeds();
    set(&site, &["--base-url", ""]).refused("its address", &["\"pages\"", "--pages=false"]);
    set(&site, &["--base-url", "", "--pages=false"]).succeeds();
    set(&site, &["--remove-key", ED25519]).refused("the last key", &["no key could sign", "--any-key"]);
    set(&site, &["--remove-key", ED25519, "--allow-key", P256]).succeeds();

    let good = std::fs::read_to_string(site.join(SETTINGS)).unwrap();
    run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).refused("a key", &[P256, ED25519]);
    for (from, to, text) in [
        ("\"format\": 1", "\"format\": 2", "format that this tfreg does not know"),
        ("\"replace\": false", "\"replace\": \"no\"", "\"replace\" is a string"),
        ("\"document_max_age\": 60", "\"document_max_age\": 1.5", "\"document_max_age\" is 1.5"),
        ("\"signing_keys\": [", "\"signing_keys\": [7, ", "\"signing_keys\" is a list with a number"),
        ("\"network_mirror\": false", "\"network_mirror\": true", "\"network_mirror\" needs"),
        ("\"pages\": false", "\"pages\": true", "\"pages\" needs"),
        ("{", "", "strict JSON"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        std::fs::write(site.join(SETTINGS), &bad).unwrap();
        let before = tree(&site);
        set(&site, &["--allow-replace"]).refused(to, &[SETTINGS, text]);
        run(&mut publish(&site, &[tarball("release-1.2.0", "linux-amd64")])).refused(to, &[SETTINGS, text]);
        assert_eq!(tree(&site), before, "{to}");
    }
}

#[test]
fn settings_in_a_bucket_are_written_under_a_condition() {
    let server = S3Server::start(&["bucket"]);
    let on = |args: &[&str]| run(init("s3://bucket/tf", args).envs(server.envs()));
    let made = on(&["--base-url", "https://registry.example.com/"]).succeeds();
    assert!(made.stderr.contains("below the prefix tf"), "{made:?}");
    let puts = server.requests().into_iter().filter(|request| request.method == "PUT").count();
    assert_eq!(puts, 3, "the settings, and the two of the proof that conditions are honoured");
    let object = server.objects("bucket")["tf/registry/settings.json"].clone();
    assert_eq!(object.content_type.as_deref(), Some("application/json"));
    let prefixed = on(&["--base-url", BASE]).succeeds();
    assert!(!prefixed.stderr.contains("below the prefix"), "{prefixed:?}");
    server.fault(Matcher::put().suffix("settings.json").nth(1), Action::AnswerAfter(500, "InternalError"));
    on(&["--allow-replace"]).succeeds();
    server.verify();

    // A server that takes no conditions is told before anything is changed.
    let blind = S3Server::start(&["bucket"]);
    run(init("s3://bucket", &["--allow-replace"]).envs(blind.envs())).succeeds();
    blind.set_conditions(Conditions::Ignored);
    let before = blind.objects("bucket");
    run(init("s3://bucket", &["--allow-replace=false"]).envs(blind.envs()))
        .fails(3, &["does not honour conditional writes"]);
    assert_eq!(blind.objects("bucket")[SETTINGS].bytes, before[SETTINGS].bytes);
}

/// Two change different members at once: both hold. Two that change the same member do not overwrite each other for ever.
#[test]
fn two_at_once_lose_nothing() {
    let held = |matcher: Matcher, theirs: &[&str]| {
        let server = S3Server::start(&["bucket"]);
        run(init("s3://bucket", &[]).envs(server.envs())).succeeds();
        let gate = Gate::manual();
        server.gate(matcher, Point::Before, &gate);
        let mut ours = init("s3://bucket", &["--document-max-age", "9"]);
        ours.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ours = Running::start(&mut ours);
        gate.wait_until_arrived(1, Duration::from_mins(1));
        run(init("s3://bucket", theirs).envs(server.envs())).succeeds();
        gate.release();
        let ran = ran(&ours.output());
        let settings: Value = serde_json::from_slice(&server.objects("bucket")[SETTINGS].bytes).unwrap();
        (ran, settings)
    };
    // The third PUT is that of the settings, behind the two of the proof.
    let (ours, settings) = held(Matcher::put().suffix("settings.json").nth(3), &["--stable-only"]);
    ours.succeeds();
    assert_eq!((&settings["document_max_age"], &settings["prereleases"]), (&9.into(), &false.into()));
    // The second GET is that of the last observation.
    let observed = || Matcher::get().suffix("settings.json").nth(2);
    let (ours, settings) = held(observed(), &["--stable-only"]);
    ours.succeeds();
    assert_eq!((&settings["document_max_age"], &settings["prereleases"]), (&9.into(), &false.into()));
    let (ours, settings) = held(observed(), &["--document-max-age", "5"]);
    ours.fails(3, &["overtaken", "document_max_age: 5", "document_max_age: 9"]);
    assert_eq!(settings["document_max_age"], 5);
}
